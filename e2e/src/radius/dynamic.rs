//! CoA and Disconnect (RFC 5176) from Debian's radclient.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Result;
use lns_crypto::Secret;
use lns_crypto::radius::{NO_AUTHENTICATOR, sign_message, sign_request};
use lns_wire::radius::{AttributeList, Code, HEADER, Id, kind};
use serde_json::json;

use super::login::USERS;
use super::rig::{self, DYNAMIC_SECRET, Radius};
use super::server::{ADDRESSES, FreeRadius, Server};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::LNS_CORE;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dynamic-change",
        says: "Filter-Id and timeouts of a session change, and it stays",
        run: change,
    },
    Scenario {
        name: "dynamic-disconnect",
        says: "a session ends by its id, its name, its address, and says why to accounting",
        run: disconnect,
    },
    Scenario {
        name: "dynamic-refused",
        says: "wrong secrets, old requests, strangers and unknown sessions change nothing",
        run: refused,
    },
];

const PATIENCE: Duration = Duration::from_secs(20);

/// Two policies that the manifest has, so that one can be left for the other.
const POLICIES: &str = "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
    metadata: { name: gold, namespace: lns }\nspec: { clusterRefs: [{ name: edge }], \
    rates: { upBitsPerSecond: 50000000, downBitsPerSecond: 100000000, burstMilliseconds: 200 } }\n\
    ---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
    metadata: { name: garden, namespace: lns }\nspec: { clusterRefs: [{ name: edge }], \
    input: { defaultAction: Drop } }\n";

fn manifest() -> Manifest {
    let radius = Radius {
        lines: "dynamicAuthorization:\n  port: 3799\n  clients:\n  \
                - { name: oss, from: [203.0.113.0/28], secretRef: { name: oss } }\n"
            .into(),
        ..Radius::one()
    };
    let mut manifest = radius.manifest();
    manifest.policies.push_str(POLICIES);
    manifest
}

fn to() -> String {
    format!("{LNS_CORE}:3799")
}

/// The first value of a key, wherever in `json` it is.
fn field(json: &serde_json::Value, key: &str) -> Option<serde_json::Value> {
    match json {
        serde_json::Value::Object(object) => object.get(key).cloned().or_else(|| {
            let mut values = object.values();
            values.find_map(|value| field(value, key))
        }),
        serde_json::Value::Array(list) => list.iter().find_map(|value| field(value, key)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => None,
    }
}

fn session_id(lnsd: &Lnsd<'_>, user: &str) -> Result<String> {
    let rows = lnsd.rows("sessions", &["sessions", "--user", user])?;
    let id = rows.first().and_then(|row| field(row, "acctSessionId"));
    let id = id.and_then(|id| id.as_str().map(str::to_owned));
    id.ok_or_else(|| anyhow::anyhow!("no acctSessionId in {rows:?}"))
}

/// A request with what every honest one has.
fn signed(attributes: &str) -> String {
    format!(
        "{attributes}\nEvent-Timestamp = {}\nMessage-Authenticator = 0x00\n",
        now(0)
    )
}

/// Seconds since 1970, `ago` seconds ago.
fn now(ago: u64) -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().saturating_sub(ago))
}

fn change() -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let lnsd = Lnsd::start(&topology.lns, &manifest())?;
    let lac = Lac::up(&topology.lac, options())?;
    let id = session_id(&lnsd, "user@isp")?;
    let request = signed(&format!(
        "Acct-Session-Id = \"{id}\"\nFilter-Id = \"garden\"\nSession-Timeout = 7200"
    ));
    let answer = radius.radclient(&to(), "coa", DYNAMIC_SECRET, &request)?;
    expect(answer.contains("CoA-ACK"), answer)?;
    let rows = lnsd.rows("sessions", &["sessions", "--user", "user@isp"])?;
    let shown = format!("{rows:?}");
    expect(
        shown.contains("garden"),
        format!("the policy stays: {shown}"),
    )?;
    let remaining = rows.first().and_then(|row| field(row, "remainingSeconds"));
    let remaining = remaining.and_then(|seconds| seconds.as_u64()).unwrap_or(0);
    expect(
        (7000..=7200).contains(&remaining),
        format!("it ends in {remaining} s"),
    )?;
    expect(lac.count_up() == 1, "the session has ended")?;
    let unknown = signed(&format!(
        "Acct-Session-Id = \"{id}\"\nFilter-Id = \"no-such\""
    ));
    let answer = radius.radclient(&to(), "coa", DYNAMIC_SECRET, &unknown)?;
    expect(
        answer.contains("CoA-NAK") && answer.contains("Error-Cause"),
        answer,
    )?;
    let rows = lnsd.rows("sessions", &["sessions", "--user", "user@isp"])?;
    expect(
        format!("{rows:?}").contains("garden"),
        "a refused change has changed something",
    )?;
    lac.close()?;
    Ok(String::new())
}

fn disconnect() -> Result<String> {
    let topology = rig::topology()?;
    let users = super::accounting::users(3);
    let radius = FreeRadius::start(&topology.core, Server::new(0, &users))?;
    let lnsd = Lnsd::start(&topology.lns, &manifest())?;
    let three = Options {
        sessions: 3,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::up(&topology.lac, three)?;
    let requests = [
        format!("Acct-Session-Id = \"{}\"", session_id(&lnsd, "user0@isp")?),
        "User-Name = \"user1@isp\"".to_owned(),
        format!("Framed-IP-Address = {}", lac.address(2)?),
    ];
    for (ended, request) in requests.iter().enumerate() {
        let request = signed(request);
        let answer = radius.radclient(&to(), "disconnect", DYNAMIC_SECRET, &request)?;
        expect(answer.contains("Disconnect-ACK"), answer)?;
        lac.wait(PATIENCE, "one session less", |shared| {
            shared.count(|stage| *stage == crate::lac::Stage::Up) == 2 - ended
        })?;
    }
    let seen = lnsd.json(&["radius"])?;
    let row = json!({ "client": "oss", "type": "disconnect", "result": "ack", "count": 3 });
    expect(
        seen.get("dynamic") == Some(&json!([row])),
        format!("it is shown otherwise: {seen}"),
    )?;
    let records = super::accounting::wait_for(&radius, PATIENCE, |records| {
        super::accounting::count(records, "Stop") == 3
    })?;
    let causes = records
        .iter()
        .filter(|record| record.get("Acct-Terminate-Cause") == Some("Admin-Reset"));
    let causes = causes.count();
    expect(
        causes == 3,
        format!("{causes} of 3 records say Admin-Reset"),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn refused() -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let lnsd = Lnsd::start(&topology.lns, &manifest())?;
    let lac = Lac::up(&topology.lac, options())?;
    let name = "User-Name = \"user@isp\"";
    let undated = format!("{name}\nMessage-Authenticator = 0x00\n");
    let silent = [
        ("bad_authenticator", "another-long-secret", signed(name)),
        (
            "missing_message_authenticator",
            DYNAMIC_SECRET,
            format!("{name}\nEvent-Timestamp = {}\n", now(0)),
        ),
        (
            "stale",
            DYNAMIC_SECRET,
            format!("{undated}Event-Timestamp = {}\n", now(3600)),
        ),
    ];
    for (reason, secret, request) in silent {
        let answer = radius.radclient(&to(), "disconnect", secret, &request)?;
        expect(
            answer.contains("No reply") && dropped(&lnsd, reason)? == 1,
            format!("{reason}: {answer}"),
        )?;
    }
    // Signed as it should be, and from an address that no client has.
    let socket = topology
        .core
        .enter(|| UdpSocket::bind((ADDRESSES[0], 0)))??;
    socket.send_to(&by_hand()?, to())?;
    lnsd.wait(PATIENCE, "the stranger is counted", |lnsd| {
        Ok(dropped(lnsd, "stranger")? == 1)
    })?;
    let unknown = signed("User-Name = \"nobody@isp\"");
    let answer = radius.radclient(&to(), "disconnect", DYNAMIC_SECRET, &unknown)?;
    expect(
        answer.contains("Disconnect-NAK") && answer.contains("Session-Context-Not-Found"),
        answer,
    )?;
    expect(lac.count_up() == 1, "the session has ended")?;
    lac.close()?;
    Ok(String::new())
}

/// How many requests got no answer for that reason.
fn dropped(lnsd: &Lnsd<'_>, reason: &str) -> Result<u64> {
    let result = format!("result=\"{reason}\"");
    lnsd.metric("lns_radius_dynamic_requests_total", &[&result])
}

/// A Disconnect-Request for the subscriber, with both signatures.
fn by_hand() -> Result<Vec<u8>> {
    let secret = Secret::new(DYNAMIC_SECRET.as_bytes());
    let mut attributes = AttributeList::new();
    let misfit = |error| anyhow::anyhow!("{error:?}");
    attributes
        .push(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
        .map_err(misfit)?;
    attributes
        .push(kind::USER_NAME, b"user@isp")
        .map_err(misfit)?;
    let mut octets = Vec::new();
    attributes
        .emit(Code::DISCONNECT_REQUEST, Id(7), &[0; 16], &mut octets)
        .map_err(misfit)?;
    sign_message(&mut octets, HEADER + 2, &NO_AUTHENTICATOR, &secret)
        .and_then(|()| sign_request(&mut octets, &secret))
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(octets)
}
