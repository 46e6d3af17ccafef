//! Servers that die, hang, lose packets, are slow, restart, change their secret, while 500 subscribers per
//! second dial in: nobody is refused, no record is lost.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::accounting::{exactly_once, users, wait_for};
use super::rig::{self, Radius};
use super::server::{FreeRadius, SECRET, Server};
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

fn dial(stage: &mut Stage<'_>, fault: impl FnOnce(&mut Stage<'_>) -> Result<()>) -> Result<Lac> {
    let many = Options {
        sessions: SESSIONS,
        tunnels: 4,
        rate: RATE,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::start(&stage.topology.lac, many);
    lac.wait(PATIENCE, "half of the subscribers are up", |shared| {
        shared.count(|it| *it == crate::lac::Stage::Up) >= SESSIONS / 2
    })?;
    fault(stage)?;
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

/// One source port of the LNS towards the first server is dropped where the server is.
fn one_port() -> Result<String> {
    with_stage(&Radius::default(), |stage| {
        let lac = dial(stage, |stage| {
            let answer = stage.lnsd.json(&["radius"])?;
            let port = busiest_port(&answer).with_context(|| format!("no port in {answer}"))?;
            stage.topology.core.nft(&format!(
                "table inet fault {{ chain input {{ type filter hook input priority 0; \
                 udp dport 1812 udp sport {port} drop\n}}\n}}\n"
            ))
        })?;
        end(stage, lac)
    })
}

/// The local port of a connection to an authentication server that has answered.
fn busiest_port(answer: &serde_json::Value) -> Option<u64> {
    let servers = answer.get("servers")?.as_array()?;
    servers.iter().find_map(|server| {
        let connections = server.get("connections")?.as_array()?;
        let ports = connections
            .iter()
            .filter_map(|connection| connection.get("localPort")?.as_u64());
        ports.max()
    })
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
