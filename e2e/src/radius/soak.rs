//! The test plan's half hours: T2.5 (a third of all requests has no answer, with status checks and without) and T3.8
//! (everything arrives). Subscribers come and go as fast as the machine can; in the second half of the
//! time the LNS must not grow any more. `LNS_SOAK_MINUTES` says how long it lasts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::responder::{self, Responder};
use super::rig::{self, Radius};
use super::server::ADDRESSES;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::net::Topology;
use crate::scenario::{Scenario, expect, options};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "t2.5-loss-with-checks",
        says: "a third of all requests has no answer, and memory stays as it is; with status checks",
        run: || lossy("statusCheck: { type: StatusServer }"),
    },
    Scenario {
        name: "t2.5-loss-without-checks",
        says: "the same without status checks",
        run: || lossy(""),
    },
    Scenario {
        name: "t3.8-high-rate",
        says: "nothing is lost, subscribers come and go, and memory stays as it is",
        run: || soak("", 0, PER_ROUND),
    },
];

/// What the plan asks for.
const MINUTES: u64 = 30;
/// Subscribers of a round. A round ends when all of them are up or refused, and gone.
const PER_ROUND: usize = 2_000;
/// Of a hundred packets each way, so many are lost: more than a third of all requests has no answer.
const LOSS: u32 = 20;
/// MiB by which an LNS may be larger at the end than at half time: what an allocator keeps.
const GROWTH: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(180);

fn lossy(lines: &str) -> Result<String> {
    // A server of which no connection has been answered for a while is down, and who comes then is refused:
    // many get through, but not all.
    soak(lines, LOSS, PER_ROUND / 2)
}

fn soak(lines: &str, loss: u32, least: usize) -> Result<String> {
    let topology = rig::topology()?;
    let instantly = responder::accept_after(Duration::ZERO);
    let servers: Vec<_> = ADDRESSES
        .iter()
        .map(|address| Responder::forgetful(&topology.core, *address, &instantly))
        .collect::<Result<_>>()?;
    if loss > 0 {
        lose(&topology, loss)?;
    }
    let radius = Radius {
        authentication_lines: lines.to_owned(),
        ..Radius::default()
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let minutes = std::env::var("LNS_SOAK_MINUTES").ok();
    let minutes = minutes.map_or(Ok(MINUTES), |text| text.parse::<u64>())?;
    let (start, all) = (Instant::now(), Duration::from_secs(60 * minutes));
    let (mut rounds, mut up, mut half) = (0, 0, None);
    while start.elapsed() < all {
        let came = round(&topology)?;
        expect(came >= least, format!("{came} of {PER_ROUND} came up"))?;
        up += came;
        rounds += 1;
        if half.is_none() && start.elapsed() >= all / 2 {
            half = Some(lnsd.memory()?);
        }
    }
    let (before, now) = (half.context("there was no half time")?, lnsd.memory()?);
    expect(
        now <= before + GROWTH,
        format!("{before} MiB at half time, {now} at the end"),
    )?;
    drop(servers);
    Ok(format!(
        "{rounds} rounds in {minutes} min, {up} up, {before} MiB at half time, {now} at the end"
    ))
}

/// Subscribers come, and go when all that can have come. Says how many did.
fn round(topology: &Topology) -> Result<usize> {
    let many = Options {
        sessions: PER_ROUND,
        in_flight: 1_000,
        tunnels: 4,
        user: "user{}@isp".into(),
        ..options()
    };
    let lac = Lac::start(&topology.lac, many);
    lac.settle(PATIENCE)?;
    let up = lac.count_up();
    lac.close()?;
    Ok(up)
}

/// Loses so many of a hundred packets each way, where they arrive: who sends must not know.
fn lose(topology: &Topology, loss: u32) -> Result<()> {
    for (there, port) in [(&topology.core, "dport"), (&topology.lns, "sport")] {
        there.nft(&format!(
            "table inet loss {{ chain input {{ type filter hook input priority 0; \
             udp {port} 1812-1813 numgen random mod 100 < {loss} drop\n}}\n}}\n"
        ))?;
    }
    Ok(())
}
