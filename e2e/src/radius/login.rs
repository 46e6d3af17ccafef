//! Who gets in when RADIUS is asked, and who does not, and what they are told.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::rig::{self, Radius};
use super::server::{FreeRadius, Server};
use crate::blast;
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::net::{CORE, LNS_CORE, Topology};
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "radius-pap",
        says: "a subscriber logs in with PAP",
        run: || log_in("[PAP]", Authentication::Pap, false),
    },
    Scenario {
        name: "radius-chap",
        says: "a subscriber logs in with CHAP",
        run: || log_in("[CHAP]", Authentication::Chap, false),
    },
    Scenario {
        name: "radius-mschapv2",
        says: "a subscriber logs in with MS-CHAPv2, and the server proves itself",
        run: || log_in("[MSCHAPv2]", Authentication::Mschapv2, false),
    },
    Scenario {
        name: "radius-eap-md5",
        says: "EAP passes through between subscriber and server",
        run: || log_in("[EAP]", Authentication::Eap, false),
    },
    Scenario {
        name: "radius-attributes",
        says: "attributes of an Accept: address, routes, pool, size, policy, times, name servers, rates",
        run: attributes,
    },
    Scenario {
        name: "radius-proxied",
        says: "what the LAC has overheard goes to the server",
        run: || log_in("[CHAP]", Authentication::Chap, true),
    },
    Scenario {
        name: "radius-refused",
        says: "the subscriber is told what the server says, and so is the engineer",
        run: refused,
    },
    Scenario {
        name: "radius-local-users",
        says: "local users are asked before or after RADIUS, as the manifest says",
        run: local_users,
    },
    Scenario {
        name: "radius-unsigned",
        says: "a server without Message-Authenticator has a reason of its own, and is not dead",
        run: unsigned,
    },
];

/// One subscriber, and one whom the server knows and refuses.
pub(super) const USERS: &str = "user@isp Cleartext-Password := \"a-long-password\"\n\
    suspended@isp Auth-Type := Reject\n    Reply-Message = \"line suspended: call 0800\"\n";

fn log_in(offered: &'static str, method: Authentication, proxy: bool) -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let manifest = Manifest {
        authentication: offered,
        ..Radius::one().manifest()
    };
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    let options = Options {
        authentication: vec![method],
        proxy,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options.clone())?;
    let view = lnsd.rows("sessions", &["sessions"])?;
    expect(view.len() == 1, "there is not one session")?;
    let challenges = lac.session(0)?.heard.challenges;
    expect(
        !proxy || challenges == 0,
        "the subscriber is asked for what the LAC had heard",
    )?;
    let report = lac.close()?;
    // A wrong password is refused by the same server.
    let wrong = Options {
        password: "not-the-password".into(),
        ..options
    };
    let lac = Lac::start(&topology.lac, wrong);
    lac.settle(Duration::from_secs(60))?;
    expect(lac.count_up() == 0, "a wrong password is let in")?;
    lac.close()?;
    lnsd.wait(Duration::from_secs(20), "the record of the end", |_| {
        let records = radius.records()?;
        Ok(records
            .iter()
            .any(|record| record.get("Acct-Status-Type") == Some("Stop")))
    })?;
    Ok(format!("up in {} ms", report.setup_milliseconds_p50))
}

const PATIENCE: Duration = Duration::from_secs(20);

/// The policy that a Filter-Id names.
const GOLD: &str = "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
    metadata: { name: gold, namespace: lns }\nspec: { clusterRefs: [{ name: edge }], \
    input: { defaultAction: Pass } }\n";

/// A subscriber with every attribute, one with a pool of his own, one with a pool that is not there.
const GRANTED: &str = "full@isp Cleartext-Password := \"a-long-password\"
    Framed-IP-Address = 100.64.77.7,
    Framed-IP-Netmask = 255.255.255.255,
    Framed-Route = \"198.18.77.0/24 100.64.77.7 1\",
    Framed-Route += \"198.18.78.0/24\",
    Framed-MTU = 1400,
    Filter-Id = \"gold\",
    Session-Timeout = 3600,
    Idle-Timeout = 600,
    Class = 0x01fe,
    Class += \"second\",
    MS-Primary-DNS-Server = 203.0.113.77,
    MS-Secondary-DNS-Server = 203.0.113.78,
    Acct-Interim-Interval = 300,
    Cisco-AVPair = \"throttle=5000\",
    Reply-Message = \"welcome\"
pooled@isp Cleartext-Password := \"a-long-password\"
    Framed-Pool = \"second\"
nowhere@isp Cleartext-Password := \"a-long-password\"
    Framed-Pool = \"no-such-pool\"
";

fn attributes() -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, GRANTED))?;
    let mut manifest = Manifest {
        pools: vec![
            ("default", "100.64.0.1", "100.64.0.0/18"),
            ("second", "100.64.128.1", "100.64.128.0/24"),
        ],
        ..Radius::one().manifest()
    };
    manifest.policies.push_str(GOLD);
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    let of = |user: &str| Options {
        user: user.into(),
        capture: true,
        ..options()
    };
    let lac = Lac::up(&topology.lac, of("full@isp"))?;
    let address = lac.address(0)?;
    expect(
        address.octets() == [100, 64, 77, 7],
        format!("Framed-IP-Address: {address}"),
    )?;
    // Subscribers here ask for the first name server alone.
    let [dns, _] = lac.session(0)?.heard.dns;
    expect(
        dns == Ipv4Addr::new(203, 0, 113, 77),
        format!("name server: {dns}"),
    )?;
    granted(&lnsd)?;
    routes(&topology, &lac, address)?;
    classes(&radius)?;
    lac.close()?;

    let lac = Lac::up(&topology.lac, of("pooled@isp"))?;
    let address = lac.address(0)?;
    expect(
        address.octets().starts_with(&[100, 64, 128]),
        format!("Framed-Pool: {address}"),
    )?;
    lac.close()?;
    let lac = Lac::start(&topology.lac, of("nowhere@isp"));
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 0, "an unknown pool gives an address")?;
    lac.close()?;
    let failures = lnsd.table(&["failures", "--user", "nowhere@isp", "-o", "json"])?;
    expect(failures.contains("no-such-pool"), failures)?;
    Ok(String::new())
}

/// `lnsd sessions` has what [`GRANTED`] gives to `full@isp`, and it is in force.
fn granted(lnsd: &Lnsd<'_>) -> Result<()> {
    let rows = lnsd.rows("sessions", &["sessions"])?;
    let session = rows.first().context("no session")?;
    let left = session["remainingSeconds"].as_u64().unwrap_or(0);
    expect(
        (3500..=3600).contains(&left),
        format!("Session-Timeout: {session}"),
    )?;
    let shown = session.to_string();
    expect(
        shown.contains("FilterId"),
        format!("the policy is not by Filter-Id: {shown}"),
    )?;
    let wanted = json!({
        "/mtu": 1400,
        "/rates/upBitsPerSecond": 5_000_000,
        "/rates/downBitsPerSecond": 5_000_000,
        "/granted/server": "r1",
        "/granted/framedIpAddress": "100.64.77.7",
        "/granted/framedIpNetmask": "255.255.255.255",
        "/granted/framedMtu": 1400,
        "/granted/routes": ["198.18.77.0/24", "198.18.78.0/24"],
        "/granted/filterIds": ["gold"],
        "/granted/sessionTimeoutSeconds": 3600,
        "/granted/idleTimeoutSeconds": 600,
        "/granted/interimSeconds": 300,
        "/granted/dns": ["203.0.113.77", "203.0.113.78"],
        "/granted/upBitsPerSecond": 5_000_000,
        "/granted/downBitsPerSecond": 5_000_000,
        "/granted/classes": 2,
    });
    for (pointer, value) in wanted.as_object().into_iter().flatten() {
        let found = session.pointer(pointer);
        expect(found == Some(value), format!("{pointer}: {found:?}"))?;
    }
    Ok(())
}

/// Every Class of the answer is in the Start, in its order.
fn classes(radius: &FreeRadius<'_>) -> Result<()> {
    let records = super::accounting::wait_for(radius, PATIENCE, |records| {
        super::accounting::count(records, "Start") == 1
    })?;
    let start = records
        .iter()
        .find(|record| record.get("Acct-Status-Type") == Some("Start"));
    let classes = start.map(|record| record.all("Class").collect::<Vec<_>>());
    expect(
        classes == Some(vec!["0x01fe", "0x7365636f6e64"]),
        format!("Class: {classes:?}"),
    )
}

/// What is sent to and from a network behind the subscriber goes through his session.
fn routes(topology: &Topology, lac: &Lac, address: Ipv4Addr) -> Result<()> {
    let (core, behind) = (&topology.core, Ipv4Addr::new(198, 18, 77, 5));
    core.ip(&[&format!("route add 198.18.77.0/24 via {LNS_CORE}")])?;
    let socket = core.enter(|| UdpSocket::bind((CORE, blast::PORT)))??;
    socket.set_read_timeout(Some(PATIENCE))?;
    let packet = blast::udp_packet(behind, CORE, blast::PORT, 100);
    lac.inject(address, &packet)?;
    let mut buffer = [0; 2048];
    let (_, from) = socket
        .recv_from(&mut buffer)
        .context("nothing comes from behind the subscriber")?;
    expect(from.ip() == behind, format!("it comes from {from}"))?;
    socket.send_to(b"down", (behind, 9))?;
    let give_up = Instant::now() + PATIENCE;
    let wanted = behind.octets();
    while Instant::now() < give_up {
        let packets = lac.shared().wait_captured(Duration::from_millis(100));
        if packets
            .iter()
            .any(|packet| packet.get(16..20) == Some(&wanted[..]))
        {
            return Ok(());
        }
    }
    anyhow::bail!("nothing goes to the network behind the subscriber")
}

fn refused() -> Result<String> {
    let topology = rig::topology()?;
    let _radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    for method in [
        Authentication::Pap,
        Authentication::Chap,
        Authentication::Mschapv2,
    ] {
        let options = Options {
            user: "suspended@isp".into(),
            authentication: vec![method],
            ..options()
        };
        let lac = Lac::start(&topology.lac, options);
        lac.settle(Duration::from_secs(60))?;
        let told = lac.failures();
        expect(
            told.iter()
                .any(|text| text.contains("line suspended: call 0800")),
            format!("with {method:?} the subscriber is told {told:?}"),
        )?;
        lac.close()?;
    }
    let failures = lnsd.table(&["failures", "--user", "suspended@isp", "-o", "wide"])?;
    for word in ["RADIUS", "r1", "line suspended: call 0800"] {
        expect(failures.contains(word), format!("no {word} in\n{failures}"))?;
    }
    Ok(String::new())
}

fn local_users() -> Result<String> {
    const OF_SERVER: &str = "of-the-server";
    let topology = rig::topology()?;
    let users = format!(
        "remote@isp Cleartext-Password := \"{PASSWORD}\"\n\
         both@isp Cleartext-Password := \"{OF_SERVER}\"\n"
    );
    let mut radius = FreeRadius::start(&topology.core, Server::new(0, &users))?;
    let start = |order: &str| {
        let manifest = Manifest {
            users: vec![
                ("local@isp".into(), PASSWORD.into()),
                ("both@isp".into(), PASSWORD.into()),
            ],
            subscribers: format!("localUsers: {{ secretRef: {{ name: users }}, order: {order} }}"),
            ..Radius::one().manifest()
        };
        Lnsd::start(&topology.lns, &manifest)
    };
    let is_let_in = |user: &str, password: &str| -> Result<bool> {
        let options = Options {
            user: user.into(),
            password: password.into(),
            ..options()
        };
        let lac = Lac::start(&topology.lac, options);
        lac.settle(Duration::from_secs(60))?;
        let up = lac.count_up() == 1;
        lac.close()?;
        Ok(up)
    };
    let before = start("Before")?;
    expect(is_let_in("local@isp", PASSWORD)?, "Before: a local user")?;
    expect(
        is_let_in("remote@isp", PASSWORD)?,
        "Before: the server's user",
    )?;
    expect(is_let_in("both@isp", PASSWORD)?, "Before: who is both")?;
    drop(before);
    let only = start("Only")?;
    expect(is_let_in("local@isp", PASSWORD)?, "Only: a local user")?;
    expect(
        !is_let_in("remote@isp", PASSWORD)?,
        "Only: the server's user",
    )?;
    drop(only);
    let _after = start("After")?;
    expect(is_let_in("both@isp", OF_SERVER)?, "After: who is both")?;
    expect(!is_let_in("local@isp", PASSWORD)?, "After: a no is final")?;
    radius.kill()?;
    expect(is_let_in("local@isp", PASSWORD)?, "After: nobody answers")?;
    expect(
        !is_let_in("remote@isp", PASSWORD)?,
        "After: nobody knows him",
    )?;
    Ok(String::new())
}

fn unsigned() -> Result<String> {
    let topology = rig::topology()?;
    let server = Server {
        signs: false,
        ..Server::new(0, USERS)
    };
    let _radius = FreeRadius::start(&topology.core, server)?;
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(Duration::from_secs(90))?;
    expect(lac.count_up() == 0, "an unsigned Accept lets in")?;
    lac.close()?;
    let failures = lnsd.table(&["failures", "-o", "json"])?;
    expect(
        failures.contains("no_message_authenticator"),
        format!("the reason is not told:\n{failures}"),
    )?;
    // Who trusts the way to such a server says so.
    let never = Radius {
        server: ", requireMessageAuthenticator: Never".into(),
        ..Radius::one()
    };
    let reload = lnsd.reload(&never.manifest().yaml())?;
    expect(reload.is_ok(), format!("{reload:?}"))?;
    Lac::up(&topology.lac, options())?.close()?;
    Ok(String::new())
}
