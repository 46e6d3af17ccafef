//! The client's test plan on real sockets: what a server sees of us when it falls silent, comes back, or
//! cannot be reached. The numbers are those of the plan.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lns_crypto::Secret;
use lns_crypto::radius::{reveal_password, verify_message, verify_request};
use lns_wire::radius::{Code, HEADER, Packet, kind};

use super::responder::{self, Responder, Script, Seen};
use super::rig::{self, Radius};
use super::server::{ADDRESSES, SECRET};
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::net::{LNS_CORE, Topology};
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "t1.1-copies",
        says: "copies of accounting are written only, and the kernel sends no ICMP",
        run: copies,
    },
    Scenario {
        name: "t2.1-zombie-without-checks",
        says: "a silent server: asked again by RFC 5080, then left, opened anew, used again",
        run: without_checks,
    },
    Scenario {
        name: "t2.2-zombie-all-lost",
        says: "a dead server costs checks only; three answers bring it back",
        run: all_lost,
    },
    Scenario {
        name: "t2.3-zombie-for-a-while",
        says: "a server that answers its checks in time keeps its connection",
        run: for_a_while,
    },
    Scenario {
        name: "t2.4-synchronous",
        says: "each repetition of the subscriber is one datagram with the same octets",
        run: synchronous,
    },
    Scenario {
        name: "t3.1-well-formed",
        says: "requests are signed, and passwords hidden, as servers want them",
        run: well_formed,
    },
    Scenario {
        name: "t3.3-too-large-for-the-way",
        says: "a request that the way is too small for fails alone",
        run: too_large,
    },
    Scenario {
        name: "t3.4-full-socket",
        says: "a socket that takes nothing for a while costs the while: no connection is lost for it",
        run: full_socket,
    },
    Scenario {
        name: "t3.7-link-down",
        says: "a link that goes down takes its connection with it, and a new one comes with the link",
        run: link_down,
    },
    Scenario {
        name: "t3.5-no-route",
        says: "without a route to a server the other one serves, and it comes back",
        run: no_route,
    },
];

const PATIENCE: Duration = Duration::from_secs(90);

/// A server that can be told to be silent.
struct Silencer {
    answers: Arc<AtomicBool>,
}

impl Silencer {
    fn new() -> Self {
        Self {
            answers: Arc::new(AtomicBool::new(true)),
        }
    }

    fn script(&self) -> Script {
        let answers = Arc::clone(&self.answers);
        Arc::new(move |request, _| {
            let reply = responder::accept(request).filter(|_| answers.load(Ordering::Relaxed));
            reply
                .map(|reply| (Duration::ZERO, reply))
                .into_iter()
                .collect()
        })
    }

    fn answer(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
    }
}

fn one(authentication_lines: &str) -> Radius {
    Radius {
        authentication: vec![0],
        accounting: Vec::new(),
        authentication_lines: authentication_lines.to_owned(),
        ..Radius::default()
    }
}

fn log_in(topology: &Topology) -> Result<()> {
    Lac::up(&topology.lac, options())?.close()?;
    Ok(())
}

fn ports(seen: &[Seen]) -> BTreeSet<SocketAddr> {
    seen.iter().map(|it| it.from).collect()
}

/// Waits until the only authentication server has a connection of that state.
fn wait_for_state(lnsd: &Lnsd<'_>, state: &str) -> Result<()> {
    let what = format!("a connection is {state}");
    let label = format!("state=\"{state}\"");
    lnsd.wait(PATIENCE, &what, |lnsd| {
        Ok(lnsd.metric("lns_radius_connections", &[&label])? > 0)
    })
}

fn copies() -> Result<String> {
    let topology = rig::topology()?;
    let instantly = || responder::accept_after(Duration::ZERO);
    let server = Responder::start(&topology.core, ADDRESSES[0], &instantly())?;
    let copied = Responder::start(&topology.core, ADDRESSES[1], &instantly())?;
    topology.core.nft(
        "table inet watch { chain input { type filter hook input priority 0; \
         icmp type destination-unreachable counter\n}\n}\n",
    )?;
    let radius = Radius {
        accounting_lines: format!(
            "copies:\n- {{ name: c1, address: {}, port: 1813, secretRef: {{ name: radius }} }}",
            ADDRESSES[1]
        ),
        ..Radius::one()
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let many = Options {
        sessions: 50,
        user: "user{}@isp".into(),
        ..options()
    };
    Lac::up(&topology.lac, many)?.close()?;
    let of_both = || {
        let own = server.seen(Code::ACCOUNTING_REQUEST).len();
        (own, copied.seen(Code::ACCOUNTING_REQUEST).len())
    };
    lnsd.wait(PATIENCE, "On and all records are copied", |_| {
        Ok(of_both() == (101, 101))
    })
    .with_context(|| format!("{:?}", of_both()))?;
    for seen in copied.seen(Code::ACCOUNTING_REQUEST) {
        let secret = Secret::new(SECRET.as_bytes());
        ensure!(
            verify_request(&seen.octets, &secret),
            "a copy is not signed"
        );
    }
    let output = topology
        .core
        .output(Command::new("nft").args(["list", "table", "inet", "watch"]))?;
    let rules = String::from_utf8_lossy(&output.stdout).into_owned();
    expect(rules.contains("packets 0"), rules)?;
    Ok("50 sessions".into())
}

fn without_checks() -> Result<String> {
    let topology = rig::topology()?;
    let silencer = Silencer::new();
    let server = Responder::start(&topology.core, ADDRESSES[0], &silencer.script())?;
    let radius = one("statusCheck: { type: None }");
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    log_in(&topology)?;
    let before = server.seen(Code::ACCESS_REQUEST);
    silencer.answer(false);
    let lac = Lac::start(&topology.lac, options());
    wait_for_state(&lnsd, "zombie")?;
    lac.settle(PATIENCE)?;
    lac.close()?;
    let asked: Vec<_> = server.seen(Code::ACCESS_REQUEST).split_off(before.len());
    let first = asked.first().context("nothing was asked")?;
    ensure!(
        asked
            .iter()
            .all(|it| it.octets == first.octets && it.from == first.from),
        "a repetition has other octets"
    );
    expect(asked.len() >= 3, format!("asked {} times", asked.len()))?;
    let sent: Vec<_> = asked
        .iter()
        .map(|it| it.at.duration_since(first.at).as_secs_f64())
        .collect();
    // RFC 5080, 2.2.1: 2 s and twice as much each time up to 16, a tenth less at least. Late is whoever
    // runs on a busy machine; early is nobody.
    let (mut earliest, mut interval) = (0.0, 1.8_f64);
    for seconds in &sent {
        ensure!(
            *seconds >= earliest - 0.05,
            "sent after {sent:?} s, of which {seconds} is before {earliest}"
        );
        earliest += interval;
        interval = (interval * 1.9).min(14.4);
    }
    let before = ports(&asked);
    silencer.answer(true);
    lnsd.wait(PATIENCE, "a connection is open again", |lnsd| {
        Ok(lnsd.metric("lns_radius_connections", &["state=\"active\""])? > 0)
    })?;
    log_in(&topology)?;
    let last = server.seen(Code::ACCESS_REQUEST);
    let last = last.last().context("nothing was asked")?;
    expect(
        !before.contains(&last.from),
        format!("{} was not opened anew", last.from),
    )?;
    Ok(format!("{sent:.1?} s"))
}

/// Gets a connection into the zombie state, by a subscriber who is not answered: his LAC.
fn fall_silent(topology: &Topology, lnsd: &Lnsd<'_>, silencer: &Silencer) -> Result<Lac> {
    log_in(topology)?;
    silencer.answer(false);
    let lac = Lac::start(&topology.lac, options());
    wait_for_state(lnsd, "zombie")?;
    Ok(lac)
}

fn all_lost() -> Result<String> {
    let topology = rig::topology()?;
    let silencer = Silencer::new();
    let server = Responder::start(&topology.core, ADDRESSES[0], &silencer.script())?;
    let radius = one("statusCheck: { type: StatusServer }");
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let lac = fall_silent(&topology, &lnsd, &silencer)?;
    lnsd.wait(PATIENCE, "no connection is zombie or active", |lnsd| {
        let of = |state| lnsd.metric("lns_radius_connections", &[state]);
        Ok(of("state=\"zombie\"")? + of("state=\"active\"")? == 0)
    })?;
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 0, "somebody is let in by nobody")?;
    lac.close()?;
    let checks = server.seen(Code::STATUS_SERVER);
    let mut ids = BTreeSet::new();
    for check in &checks {
        let packet = check.packet()?;
        check_signature(&packet)?;
        for forbidden in [kind::USER_NAME, kind::USER_PASSWORD, kind::EAP_MESSAGE] {
            ensure!(packet.first(forbidden).is_none(), "a check names somebody");
        }
        ids.insert(packet.authenticator);
    }
    ensure!(
        ids.len() == checks.len() && !checks.is_empty(),
        "{} checks, {} authenticators",
        checks.len(),
        ids.len()
    );
    // Nobody to ask: it is known at once, without a datagram.
    let before = server.seen(Code::ACCESS_REQUEST).len();
    let lac = Lac::start(&topology.lac, options());
    lac.settle(PATIENCE)?;
    lac.close()?;
    expect(
        server.seen(Code::ACCESS_REQUEST).len() == before,
        "a dead server is asked",
    )?;
    let unanswered = server.seen(Code::STATUS_SERVER).len();
    silencer.answer(true);
    wait_for_state(&lnsd, "active")?;
    let answered = server.seen(Code::STATUS_SERVER);
    let answered: Vec<_> = answered.into_iter().skip(unanswered).collect();
    let last = answered.last().map(|check| check.from);
    let in_a_row = answered
        .iter()
        .rev()
        .take_while(|check| Some(check.from) == last);
    expect(
        in_a_row.count() >= 3,
        "less than three answers made it alive again",
    )?;
    log_in(&topology)?;
    Ok(format!("{} checks", checks.len()))
}

fn for_a_while() -> Result<String> {
    let topology = rig::topology()?;
    let silencer = Silencer::new();
    let server = Responder::start(&topology.core, ADDRESSES[0], &silencer.script())?;
    let radius = Radius {
        authentication_lines: "statusCheck: { type: StatusServer }\n\
                               limits: { maxConnections: 1, maxInFlight: 100 }"
            .into(),
        ..one("")
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let lac = fall_silent(&topology, &lnsd, &silencer)?;
    let before = ports(&server.seen(Code::ACCESS_REQUEST));
    lnsd.wait(PATIENCE, "a check was sent", |_| {
        Ok(!server.seen(Code::STATUS_SERVER).is_empty())
    })?;
    silencer.answer(true);
    lac.settle(PATIENCE)?;
    wait_for_state(&lnsd, "active")?;
    log_in(&topology)?;
    lac.close()?;
    let after = ports(&server.seen(Code::ACCESS_REQUEST));
    expect(
        after == before,
        format!("another connection was opened: {before:?}, {after:?}"),
    )?;
    Ok(String::new())
}

fn synchronous() -> Result<String> {
    let topology = rig::topology()?;
    let silencer = Silencer::new();
    let server = Responder::start(&topology.core, ADDRESSES[0], &silencer.script())?;
    let manifest = Manifest {
        authentication: "[PAP]",
        ..one("mode: Synchronous\nstatusCheck: { type: None }").manifest()
    };
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    silencer.answer(false);
    let started = Instant::now();
    let lac = Lac::start(&topology.lac, options());
    // The subscriber repeats himself every three seconds.
    lnsd.wait(PATIENCE, "four datagrams", |_| {
        Ok(server.seen(Code::ACCESS_REQUEST).len() >= 4)
    })?;
    expect(
        started.elapsed() >= Duration::from_secs(9),
        "repeated by ourselves",
    )?;
    silencer.answer(true);
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 1, format!("{:?}", lac.failures()))?;
    let asked = server.seen(Code::ACCESS_REQUEST);
    let first = asked.first().context("nothing was asked")?;
    ensure!(
        asked.iter().all(|it| it.octets == first.octets),
        "a repetition has other octets"
    );
    lac.close()?;
    Ok(format!("{} datagrams", asked.len()))
}

/// Fails unless a Message-Authenticator comes first and is right.
fn check_signature(packet: &Packet<'_>) -> Result<()> {
    let secret = Secret::new(SECRET.as_bytes());
    let first = packet.attributes().next().map(|attribute| attribute.kind);
    ensure!(
        first == Some(kind::MESSAGE_AUTHENTICATOR),
        "the first attribute is {first:?}"
    );
    let right = verify_message(packet.octets(), HEADER + 2, &packet.authenticator, &secret);
    ensure!(right, "the Message-Authenticator is wrong");
    Ok(())
}

fn well_formed() -> Result<String> {
    let topology = rig::topology()?;
    let script = responder::accept_after(Duration::ZERO);
    let server = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    let secret = Secret::new(SECRET.as_bytes());
    let lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    for method in [Authentication::Pap, Authentication::Chap] {
        let options = Options {
            authentication: vec![method],
            ..options()
        };
        Lac::up(&topology.lac, options)?.close()?;
    }
    let asked = server.seen(Code::ACCESS_REQUEST);
    ensure!(asked.len() == 2, "{} requests", asked.len());
    for seen in &asked {
        let packet = seen.packet()?;
        check_signature(&packet)?;
        for (kind, value) in [
            (kind::USER_NAME, &b"user@isp"[..]),
            (kind::NAS_IDENTIFIER, b"edge"),
            (kind::NAS_IP_ADDRESS, &LNS_CORE.octets()),
        ] {
            ensure!(packet.first(kind) == Some(value), "attribute {kind}");
        }
        if let Some(hidden) = packet.first(kind::USER_PASSWORD) {
            let password = reveal_password(hidden, &packet.authenticator, &secret);
            let right = password.is_some_and(|it| it.is(PASSWORD.as_bytes()));
            ensure!(right, "the password is hidden wrongly");
        } else {
            let length = |kind| packet.first(kind).map(<[u8]>::len);
            ensure!(length(kind::CHAP_PASSWORD) == Some(17), "no CHAP-Password");
            ensure!(
                length(kind::CHAP_CHALLENGE) == Some(16),
                "no CHAP-Challenge"
            );
        }
    }
    let told = |kind: u32| {
        let value = kind.to_be_bytes();
        let records = server.seen(Code::ACCOUNTING_REQUEST);
        let of_kind = records.into_iter().filter(move |seen| {
            seen.packet()
                .is_ok_and(|it| it.first(kind::ACCT_STATUS_TYPE) == Some(&value[..]))
        });
        of_kind.collect::<Vec<_>>()
    };
    lnsd.wait(PATIENCE, "two Starts and two Stops", |_| {
        Ok(told(1).len() == 2 && told(2).len() == 2)
    })?;
    for seen in server.seen(Code::ACCOUNTING_REQUEST) {
        ensure!(
            verify_request(&seen.octets, &secret),
            "a record is not signed"
        );
        let packet = seen.packet()?;
        ensure!(
            packet.first(kind::EVENT_TIMESTAMP).is_some(),
            "a record without a date"
        );
    }
    Ok(String::new())
}

fn too_large() -> Result<String> {
    let topology = rig::topology()?;
    let script = responder::accept_after(Duration::ZERO);
    let server = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    let lnsd = Lnsd::start(&topology.lns, &one("").manifest())?;
    log_in(&topology)?;
    let before = ports(&server.seen(Code::ACCESS_REQUEST));
    topology.lns.ip(&["link set core0 mtu 100"])?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 0, "let in without a question")?;
    lac.close()?;
    let failures = lnsd.table(&["failures", "-o", "json"])?;
    expect(failures.contains("too_large"), failures)?;
    topology.lns.ip(&["link set core0 mtu 1500"])?;
    log_in(&topology)?;
    let after = ports(&server.seen(Code::ACCESS_REQUEST));
    expect(before == after, "the connection was not kept")?;
    Ok(String::new())
}

/// A figure of the first server in what `lnsd radius -o json` prints.
fn figure(lnsd: &Lnsd<'_>, key: &str) -> Result<u64> {
    let answer = lnsd.json(&["radius"])?;
    let figure = answer.pointer(&format!("/servers/0/{key}"));
    figure
        .and_then(serde_json::Value::as_u64)
        .with_context(|| format!("no {key} in {answer}"))
}

fn full_socket() -> Result<String> {
    const SESSIONS: usize = 600;
    let topology = rig::topology()?;
    let instantly = responder::accept_after(Duration::ZERO);
    let _server = Responder::start(&topology.core, ADDRESSES[0], &instantly)?;
    let radius = one("limits: { maxConnections: 1, maxInFlight: 4096 }");
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    log_in(&topology)?;
    // What waits here for its turn fills the socket, as the kernel counts it.
    let mut narrow = Command::new("tc");
    narrow.args(["qdisc", "add", "dev", "core0", "root", "tbf"]);
    narrow.args(["rate", "600kbit", "burst", "3000", "limit", "1000000"]);
    topology.lns.output(&mut narrow)?;
    let many = Options {
        sessions: SESSIONS,
        in_flight: SESSIONS,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::start(&topology.lac, many);
    lac.settle(PATIENCE)?;
    let (up, told) = (lac.count_up(), lac.failures());
    expect(up == SESSIONS, format!("{up} are up: {told:?}"))?;
    let refused = figure(&lnsd, "sendErrors")?;
    expect(refused > 0, "the socket was never full")?;
    let (opened, failed) = (figure(&lnsd, "opened")?, figure(&lnsd, "failed")?);
    expect(
        (opened, failed) == (1, 0),
        format!("{opened} sockets were opened, {failed} have failed"),
    )?;
    lac.close()?;
    Ok(format!("{SESSIONS} up, {refused} times full"))
}

fn link_down() -> Result<String> {
    let topology = rig::topology()?;
    let instantly = responder::accept_after(Duration::ZERO);
    let server = Responder::start(&topology.core, ADDRESSES[0], &instantly)?;
    let lnsd = Lnsd::start(&topology.lns, &one("").manifest())?;
    log_in(&topology)?;
    topology.lns.ip(&["link set core0 down"])?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 0, "somebody logs in without a link")?;
    lac.close()?;
    let failed = figure(&lnsd, "failed")?;
    expect(failed > 0, "no connection has failed")?;
    topology.lns.ip(&["link set core0 up"])?;
    lnsd.wait(PATIENCE, "the server is back", |_| {
        let lac = Lac::start(&topology.lac, options());
        lac.settle(PATIENCE)?;
        let up = lac.count_up();
        lac.close()?;
        Ok(up == 1)
    })?;
    let seen = server.seen(Code::ACCESS_REQUEST);
    let used = ports(&seen).len();
    expect(used > 1, "the socket without a link is used on")?;
    Ok(String::new())
}

fn no_route() -> Result<String> {
    let topology = rig::topology()?;
    let instantly = || responder::accept_after(Duration::ZERO);
    let first = Responder::start(&topology.core, ADDRESSES[0], &instantly())?;
    let second = Responder::start(&topology.core, ADDRESSES[1], &instantly())?;
    let radius = Radius {
        accounting: Vec::new(),
        ..Radius::default()
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let asked = |server: &Responder| server.seen(Code::ACCESS_REQUEST).len();
    log_in(&topology)?;
    expect(asked(&second) == 0, "the second server was asked first")?;
    let address = ADDRESSES[0];
    for kind in ["unreachable", "prohibit", "blackhole"] {
        let (of_first, of_second) = (asked(&first), asked(&second));
        topology
            .lns
            .ip(&[&format!("route add {kind} {address}/32")])?;
        log_in(&topology)?;
        expect(
            asked(&first) == of_first && asked(&second) > of_second,
            format!("{kind}: {} and {} requests", asked(&first), asked(&second)),
        )?;
        topology
            .lns
            .ip(&[&format!("route delete {kind} {address}/32")])?;
        lnsd.wait(PATIENCE, "the first server is back", |_| {
            log_in(&topology)?;
            Ok(asked(&first) > of_first)
        })?;
    }
    Ok(String::new())
}
