//! What the accounting servers are told, and that nothing is lost or told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::detail::Entry;
use super::login::USERS;
use super::rig::{self, Radius};
use super::server::{FreeRadius, Server};
use crate::blast;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::net;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "accounting-octets",
        says: "Start and Stop tell what was sent both ways, octet by octet",
        run: || octets(false),
    },
    Scenario {
        name: "accounting-interim",
        says: "a record in between tells what was sent until then",
        run: || octets(true),
    },
    Scenario {
        name: "accounting-away",
        says: "records wait while no server is there, over a kill of lnsd too, and come once and in order",
        run: away,
    },
    Scenario {
        name: "accounting-on-off",
        says: "On at the start, Off at the end, and no id comes twice",
        run: on_off,
    },
];

/// How long records may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Packets of the measured session each way, and octets of each, IP header included: up and down.
const PACKETS: usize = 40;
const SIZE: usize = 500;
const DOWN: usize = 300;
/// Of IP and UDP.
const HEADERS: usize = 28;

fn octets(in_between: bool) -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let manifest = Radius {
        accounting_lines: "interimSeconds: 60".into(),
        ..Radius::one()
    };
    let lnsd = Lnsd::start(&topology.lns, &manifest.manifest())?;
    let lac = Lac::up(&topology.lac, options())?;
    let address = lac.address(0)?;
    // Somebody listens: nothing comes back of itself.
    let socket = topology
        .core
        .enter(|| UdpSocket::bind((net::CORE, blast::PORT)))??;
    let packet = blast::udp_packet(address, net::CORE, blast::PORT, SIZE);
    for _ in 0..PACKETS {
        lac.inject(address, &packet)?;
        socket.send_to(&[0; DOWN - HEADERS], (address, blast::PORT))?;
    }
    lnsd.wait(PATIENCE, "the packets are counted", |lnsd| {
        let count = |way| lnsd.metric("lns_packets_total", &[way]);
        let wanted = PACKETS as u64;
        Ok(count("direction=\"up\"")? >= wanted && count("direction=\"down\"")? >= wanted)
    })?;
    if in_between {
        let records = wait_for(&radius, PATIENCE + PATIENCE, |records| {
            count(records, "Interim-Update") == 1
        })?;
        check_counters(find(&records, "Interim-Update")?)?;
    }
    lac.close()?;
    let records = wait_for(&radius, PATIENCE, |records| count(records, "Stop") == 1)?;
    let stop = find(&records, "Stop")?;
    let start = find(&records, "Start")?;
    check_counters(stop)?;
    for (name, value) in [
        ("User-Name", "user@isp".to_owned()),
        ("Framed-IP-Address", address.to_string()),
        ("NAS-Identifier", "edge".to_owned()),
        ("NAS-IP-Address", net::LNS_CORE.to_string()),
        ("Acct-Terminate-Cause", "User-Request".to_owned()),
    ] {
        expect(
            stop.get(name) == Some(&value),
            format!("{name} is not {value}: {stop:?}"),
        )?;
    }
    expect(
        start.get("Acct-Session-Id") == stop.get("Acct-Session-Id"),
        "Start and Stop are of two sessions",
    )?;
    expect(
        start.get("Event-Timestamp").is_some(),
        format!("no Event-Timestamp: {start:?}"),
    )?;
    Ok(String::new())
}

/// Fails unless a record has what was sent.
fn check_counters(record: &Entry) -> Result<()> {
    for (way, octets) in [("Input", SIZE), ("Output", DOWN)] {
        let packets = record.number(&format!("Acct-{way}-Packets"))?;
        expect(
            record.octets(way)? == (PACKETS * octets) as u64 && packets == PACKETS as u64,
            format!("not {PACKETS} packets of {octets} octets: {record:?}"),
        )?;
    }
    Ok(())
}

/// Sessions of the scenario in which nobody hears.
const SESSIONS: usize = 50;

fn away() -> Result<String> {
    let topology = rig::topology()?;
    let names = users(SESSIONS);
    let _judge = FreeRadius::start(&topology.core, Server::new(0, &names))?;
    let mut radius = FreeRadius::start(&topology.core, Server::new(1, &names))?;
    let servers = Radius {
        authentication: vec![0],
        accounting: vec![1],
        ..Radius::default()
    };
    radius.kill()?;
    let mut lnsd = Lnsd::start(&topology.lns, &servers.manifest())?;
    let many = Options {
        sessions: SESSIONS,
        user: "user{}@isp".into(),
        ..options()
    };
    Lac::up(&topology.lac, many)?.close()?;
    lnsd.wait(PATIENCE, "all records are on disk", |lnsd| {
        let answer = lnsd.json(&["radius"])?;
        let queue = |key: &str| answer.pointer(&format!("/queue/{key}"))?.as_u64();
        let all = 1 + 2 * SESSIONS as u64;
        Ok(queue("records") == Some(all) && queue("unwritten") == Some(0))
    })?;
    lnsd.signal(Signal::SIGKILL)?;
    lnsd.wait_exit(PATIENCE)?;
    lnsd.restart()?;
    radius.restart(|_| {})?;
    let records = wait_for(&radius, PATIENCE, |records| {
        count(records, "Stop") == SESSIONS && count(records, "Accounting-On") == 2
    })?;
    exactly_once(&[&records], SESSIONS)?;
    let first = records.first().and_then(|it| it.get("Acct-Status-Type"));
    let last = records.last().and_then(|it| it.get("Acct-Status-Type"));
    expect(
        (first, last) == (Some("Accounting-On"), Some("Accounting-On")),
        format!("not in order: {first:?} to {last:?}"),
    )?;
    Ok(format!("{SESSIONS} sessions"))
}

fn on_off() -> Result<String> {
    let topology = rig::topology()?;
    let radius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    let mut lnsd = Lnsd::start(&topology.lns, &Radius::one().manifest())?;
    for round in 1..=3 {
        let lac = Lac::up(&topology.lac, options())?;
        lnsd.signal(Signal::SIGTERM)?;
        expect(
            lnsd.wait_exit(PATIENCE)?.success(),
            "lnsd failed at its end",
        )?;
        lac.abandon()?;
        let records = wait_for(&radius, PATIENCE, |records| {
            count(records, "Accounting-Off") == round
        })?;
        expect(
            count(&records, "Accounting-On") == round,
            format!("{records:?}"),
        )?;
        expect(count(&records, "Stop") == round, "the end is no Stop")?;
        let off = records
            .iter()
            .rposition(|record| is(record, "Accounting-Off"));
        let stop = records.iter().rposition(|record| is(record, "Stop"));
        expect(stop < off, "Off came before a Stop")?;
        if round < 3 {
            lnsd.restart()?;
        }
    }
    exactly_once(&[&radius.records()?], 3)?;
    Ok(String::new())
}

/// A file `users` with `user0@isp` and so on.
pub(super) fn users(sessions: usize) -> String {
    (0..sessions)
        .map(|number| format!("user{number}@isp Cleartext-Password := \"a-long-password\"\n"))
        .collect()
}

/// Waits until what a server was told is enough, and gives it.
pub(super) fn wait_for(
    radius: &FreeRadius<'_>,
    patience: Duration,
    enough: impl Fn(&[Entry]) -> bool,
) -> Result<Vec<Entry>> {
    let give_up = std::time::Instant::now() + patience;
    loop {
        let records = radius.records()?;
        if enough(&records) {
            return Ok(records);
        }
        ensure!(
            std::time::Instant::now() < give_up,
            "the server was told only this: {:?}\n{}",
            tally(&records),
            radius.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many records of each kind there are.
pub(super) fn tally(records: &[Entry]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for record in records {
        let kind = record.get("Acct-Status-Type").unwrap_or("none").to_owned();
        *tally.entry(kind).or_default() += 1;
    }
    tally
}

/// How many records of a kind there are.
pub(super) fn count(records: &[Entry], kind: &str) -> usize {
    records.iter().filter(|record| is(record, kind)).count()
}

fn is(record: &Entry, kind: &str) -> bool {
    record.get("Acct-Status-Type") == Some(kind)
}

fn find<'a>(records: &'a [Entry], kind: &str) -> Result<&'a Entry> {
    let found = records.iter().find(|record| is(record, kind));
    found.with_context(|| format!("no {kind} in {records:?}"))
}

/// Fails unless all servers together were told of `sessions` sessions, each with one Start and behind it
/// one Stop. What two servers have of one session must be the same record: the first had it and could
/// not say so.
pub(super) fn exactly_once(servers: &[&[Entry]], sessions: usize) -> Result<()> {
    let mut told: BTreeMap<(String, String), Vec<Vec<String>>> = BTreeMap::new();
    for records in servers {
        let mut seen = BTreeSet::new();
        for record in *records {
            let session = record
                .get("Acct-Session-Id")
                .context("no Acct-Session-Id")?;
            let kind = record
                .get("Acct-Status-Type")
                .context("no Acct-Status-Type")?;
            if !["Start", "Stop"].contains(&kind) {
                continue;
            }
            let key = (session.to_owned(), kind.to_owned());
            ensure!(
                seen.insert(key.clone()),
                "one server was told twice of the {kind} of {session}"
            );
            let start = (session.to_owned(), "Start".to_owned());
            ensure!(
                servers.len() > 1 || kind == "Start" || seen.contains(&start),
                "the Stop of {session} came before its Start"
            );
            let content = ["Event-Timestamp", "User-Name", "Framed-IP-Address"];
            let content = content.map(|name| record.get(name).unwrap_or_default().to_owned());
            told.entry(key).or_default().push(content.to_vec());
        }
    }
    for ((session, kind), contents) in &told {
        ensure!(
            contents.windows(2).all(|pair| pair.first() == pair.last()),
            "two servers were told two things of the {kind} of {session}: {contents:?}"
        );
    }
    for kind in ["Start", "Stop"] {
        let count = told.keys().filter(|key| key.1 == kind).count();
        ensure!(
            count == sessions,
            "{count} of {sessions} sessions have a {kind}"
        );
    }
    Ok(())
}
