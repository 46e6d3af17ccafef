//! RADIUS over TLS (RFC 6614) with FreeRADIUS, both sides with certificates of the scenario's own authority.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::accounting::{count, exactly_once, users, wait_for};
use super::login::USERS;
use super::rig;
use super::server::{ADDRESSES, FreeRadius, Server};
use crate::authority::{Authority, secret};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::LNS_CORE;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "radsec-login",
        says: "a subscriber logs in over TLS; a server with a certificate of others is told nothing",
        run: log_in,
    },
    Scenario {
        name: "radsec-one-connection",
        says: "a firewall drops one of the connections; its siblings serve",
        run: one_connection,
    },
];

const PATIENCE: Duration = Duration::from_secs(60);
const SESSIONS: usize = 1_000;

/// The first server with a certificate of `issuer`, which believes clients of `authority`.
fn server(issuer: &Authority, authority: &Authority, users: &str) -> Result<Server> {
    let identity = issuer.issue(&ADDRESSES[0].to_string())?;
    Ok(Server {
        tls: Some([authority.pem(), identity.certificate, identity.key]),
        ..Server::new(0, users)
    })
}

/// Everything over TLS to the first server, on `connections` at most.
fn manifest(authority: &Authority, connections: u16) -> Result<Manifest> {
    let issued = authority.issue("lns1.isp.example")?;
    let server = format!(
        "{{ name: r1, address: {}, transport: TLS, tlsSecretRef: {{ name: radsec }} }}",
        ADDRESSES[0]
    );
    let limits = format!("limits: {{ maxConnections: {connections}, maxInFlight: 4096 }}");
    Ok(Manifest {
        users: Vec::new(),
        radius: format!(
            "nasIdentifier: edge\nnasAddress: {LNS_CORE}\n\
             authentication:\n  servers: [ {server} ]\n  {limits}\n\
             accounting:\n  servers: [ {server} ]\n  {limits}\n"
        ),
        policies: secret("radsec", &issued, authority),
        ..Manifest::default()
    })
}

fn log_in() -> Result<String> {
    let topology = rig::topology()?;
    let (authority, others) = (Authority::new()?, Authority::new()?);
    let mut radius = FreeRadius::start(&topology.core, server(&others, &authority, USERS)?)?;
    let lnsd = Lnsd::start(&topology.lns, &manifest(&authority, 2)?)?;
    let lac = Lac::start(&topology.lac, options());
    lac.settle(PATIENCE)?;
    expect(lac.count_up() == 0, "a server of others is believed")?;
    lac.close()?;
    let seen = lnsd.table(&["radius", "-o", "json"])?;
    expect(
        seen.contains("\"tls\""),
        format!("the cause is not told: {seen}"),
    )?;
    expect(
        radius.records()?.is_empty(),
        "a server of others is told of us",
    )?;
    radius.kill()?;
    let right = server(&authority, &authority, USERS)?;
    radius.restart(|server| server.tls.clone_from(&right.tls))?;
    lnsd.wait(PATIENCE, "the server is up", |lnsd| {
        let lac = Lac::start(&topology.lac, options());
        lac.settle(PATIENCE)?;
        let up = lac.count_up();
        lac.close()?;
        Ok(up == 1 && lnsd.metric("lns_radius_connections", &["state=\"active\""])? > 0)
    })?;
    wait_for(&radius, PATIENCE, |records| count(records, "Stop") >= 1)?;
    Ok(String::new())
}

fn one_connection() -> Result<String> {
    let topology = rig::topology()?;
    let authority = Authority::new()?;
    let names = users(SESSIONS);
    let radius = FreeRadius::start(&topology.core, server(&authority, &authority, &names)?)?;
    let lnsd = Lnsd::start(&topology.lns, &manifest(&authority, 4)?)?;
    lnsd.wait(PATIENCE, "a stream has a sibling", |lnsd| {
        let labels = ["purpose=\"authentication\"", "state=\"active\""];
        Ok(lnsd.metric("lns_radius_connections", &labels)? >= 2)
    })?;
    let many = Options {
        sessions: SESSIONS,
        rate: 200,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::start(&topology.lac, many);
    lac.wait(PATIENCE, "a third of the subscribers are up", |shared| {
        shared.count(|stage| *stage == crate::lac::Stage::Up) >= SESSIONS / 3
    })?;
    // While the server says nothing, its connections fill up; one of them is then lost with all on it.
    radius.signal(Signal::SIGSTOP)?;
    std::thread::sleep(Duration::from_secs(1));
    let answer = lnsd.json(&["radius"])?;
    let port = rig::busiest_port(&answer).with_context(|| format!("no port in {answer}"))?;
    rig::drop_port(&topology.core, "tcp dport 2083 tcp sport", port)?;
    radius.signal(Signal::SIGCONT)?;
    lac.settle(PATIENCE)?;
    if lac.count_up() != SESSIONS {
        let seen = lnsd.table(&["radius"])?;
        let (up, told) = (lac.count_up(), lac.failures());
        anyhow::bail!(
            "{up} are up: {told:?}\n{seen}\n{}\n{}",
            lnsd.log_tail(),
            radius.log()
        );
    }
    rig::check_dropped(&topology.core)?;
    lac.close()?;
    let records = wait_for(&radius, PATIENCE, |records| {
        count(records, "Stop") == SESSIONS
    })?;
    exactly_once(&[&records], SESSIONS)?;
    Ok(format!("{SESSIONS} up"))
}
