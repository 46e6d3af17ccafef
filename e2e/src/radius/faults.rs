//! Servers that die, hang, lose packets, are slow, restart, change their secret, while 500 subscribers per
//! second dial in: nobody is refused, no record is lost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::accounting::{count, exactly_once, users, wait_for};
use super::responder::{self, Responder};
use super::rig::{self, Radius};
use super::server::{ADDRESSES, FreeRadius, SECRET, Server};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::net::Topology;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fault-killed",
        says: "a server is killed",
        run: || under_load(|stage| stage.first.kill(), |_| Ok(())),
    },
    Scenario {
        name: "fault-stopped",
        says: "a server hangs (SIGSTOP), and comes back",
        run: || {
            under_load(
                |stage| stage.first.signal(Signal::SIGSTOP),
                |stage| stage.first.signal(Signal::SIGCONT),
            )
        },
    },
    Scenario {
        name: "fault-one-port",
        says: "packets of one source port are lost; its siblings serve",
        run: one_port,
    },
    Scenario {
        name: "fault-slowed",
        says: "a server takes a second and a half for each answer",
        run: slowed,
    },
    Scenario {
        name: "fault-restarted",
        says: "a server restarts",
        run: || {
            under_load(
                |stage| {
                    stage.first.kill()?;
                    stage.first.restart(|_| {})
                },
                |_| Ok(()),
            )
        },
    },
    Scenario {
        name: "fault-secret-rotated",
        says: "the secret of a server changes; the manifest has both",
        run: rotated,
    },
];

/// Subscribers, and how many of them dial in per second.
const SESSIONS: usize = 2_000;
const RATE: u32 = 500;
const PATIENCE: Duration = Duration::from_secs(90);

/// The parts of a scenario.
struct Stage<'a> {
    topology: &'a Topology,
    lnsd: &'a Lnsd<'a>,
    first: FreeRadius<'a>,
    second: FreeRadius<'a>,
}

/// Lets subscribers dial in, does `fault` when half of them are there, `after` when all are, and lets
/// them go. All come up, and each has one Start and one Stop.
fn under_load(
    fault: impl FnOnce(&mut Stage<'_>) -> Result<()>,
    after: impl FnOnce(&mut Stage<'_>) -> Result<()>,
) -> Result<String> {
    let radius = Radius::default();
    with_stage(&radius, |stage| {
        let lac = dial(stage, fault)?;
        after(stage)?;
        end(stage, lac)
    })
}

fn with_stage(
    radius: &Radius,
    work: impl FnOnce(&mut Stage<'_>) -> Result<String>,
) -> Result<String> {
    let topology = rig::topology()?;
    let names = users(SESSIONS);
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let mut stage = Stage {
        first: FreeRadius::start(&topology.core, Server::new(0, &names))?,
        second: FreeRadius::start(&topology.core, Server::new(1, &names))?,
        topology: &topology,
        lnsd: &lnsd,
    };
    work(&mut stage)
}

fn dial<'a>(
    stage: &mut Stage<'a>,
    fault: impl FnOnce(&mut Stage<'a>) -> Result<()>,
) -> Result<Lac> {
    let topology = stage.topology;
    dial_in(topology, || fault(stage))
}

/// Lets subscribers dial in and does `fault` when half of them are up. All come up.
fn dial_in(topology: &Topology, fault: impl FnOnce() -> Result<()>) -> Result<Lac> {
    let many = Options {
        sessions: SESSIONS,
        tunnels: 4,
        rate: RATE,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::start(&topology.lac, many);
    lac.wait(PATIENCE, "half of the subscribers are up", |shared| {
        shared.count(|it| *it == crate::lac::Stage::Up) >= SESSIONS / 2
    })?;
    fault()?;
    lac.settle(PATIENCE)?;
    expect(
        lac.count_up() == SESSIONS,
        format!(
            "{} of {SESSIONS} are up: {:?}",
            lac.count_up(),
            lac.failures()
        ),
    )?;
    Ok(lac)
}

fn end(stage: &mut Stage<'_>, lac: Lac) -> Result<String> {
    let report = lac.close()?;
    let lnsd = stage.lnsd;
    lnsd.wait(PATIENCE, "all sessions have ended", |lnsd| {
        Ok(lnsd.status("sessions")? == 0)
    })?;
    lnsd.wait(PATIENCE, "all records are delivered", |lnsd| {
        Ok(lnsd.metric("lns_accounting_queue_records", &[])? == 0)
    })?;
    let first = wait_for(&stage.first, PATIENCE, |_| true)?;
    let second = wait_for(&stage.second, PATIENCE, |_| true)?;
    exactly_once(&[&first, &second], SESSIONS)?;
    Ok(format!(
        "{SESSIONS} up, p99 {} ms",
        report.setup_milliseconds_p99
    ))
}

/// One source port of the LNS towards the only server is dropped where the server is.
fn one_port() -> Result<String> {
    let radius = Radius {
        authentication: vec![0],
        ..Radius::default()
    };
    with_stage(&radius, |stage| {
        let lac = dial(stage, |stage| {
            let answer = stage.lnsd.json(&["radius"])?;
            let port =
                rig::busiest_port(&answer).with_context(|| format!("no port in {answer}"))?;
            rig::drop_port(&stage.topology.core, "udp dport 1812 udp sport", port)
        })?;
        rig::check_dropped(&stage.topology.core)?;
        let labels = [
            "server=\"r1\"",
            "purpose=\"authentication\"",
            "state=\"active\"",
        ];
        let active = stage.lnsd.metric("lns_radius_connections", &labels)?;
        expect(active > 0, "no sibling is active")?;
        end(stage, lac)
    })
}

/// The first server answers after a while, from the middle of the storm on.
fn slowed() -> Result<String> {
    const SLOW: Duration = Duration::from_millis(1500);
    let topology = rig::topology()?;
    let script: responder::Script = Arc::new(|request, before| {
        let slow = before > SESSIONS / 2;
        let after = if slow { SLOW } else { Duration::ZERO };
        let reply = responder::accept(request);
        reply.map(|reply| (after, reply)).into_iter().collect()
    });
    let _slow = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    let second = FreeRadius::start(&topology.core, Server::new(1, &users(SESSIONS)))?;
    let radius = Radius {
        accounting: vec![1],
        ..Radius::default()
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let lac = dial_in(&topology, || Ok(()))?;
    let report = lac.close()?;
    let records = wait_for(&second, PATIENCE, |records| {
        count(records, "Stop") == SESSIONS
    })?;
    exactly_once(&[&records], SESSIONS)?;
    drop(lnsd);
    Ok(format!(
        "{SESSIONS} up, p99 {} ms",
        report.setup_milliseconds_p99
    ))
}

fn rotated() -> Result<String> {
    const NEW: &str = "another-long-radius-secret";
    let radius = Radius {
        secrets: [Some(NEW.to_owned()), Some(SECRET.to_owned())],
        ..Radius::default()
    };
    with_stage(&radius, |stage| {
        let lac = dial(stage, |stage| {
            stage.first.kill()?;
            stage
                .first
                .restart(|server| NEW.clone_into(&mut server.secret))
        })?;
        end(stage, lac)
    })
}
