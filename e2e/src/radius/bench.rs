//! `lns-e2e bench-radius`: the figures of RADIUS beside what is promised, as one table.
//!
//! What the client costs alone comes from the benchmarks that `e2e/bench` runs before; how fast subscribers
//! come in is measured here, beside Debian's l2tpns with the same FreeRADIUS, in turn.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use super::login::USERS;
use super::responder::{self, Responder};
use super::rig::{self, Radius};
use super::server::{ADDRESSES, FreeRadius, SECRET, Server};
use crate::bench::{Figure, Nanoseconds, print};
use crate::differential::{self, L2tpns};
use crate::lac::{Authentication, Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::Topology;
use crate::scenario;

/// What was measured before.
#[derive(Args, Debug)]
pub(crate) struct BenchOptions {
    /// Criterion's folder
    #[arg(long, value_name = "FOLDER")]
    criterion: PathBuf,
    /// Requests and replies per second over sockets, against a server that only answers
    #[arg(long, value_name = "NUMBER")]
    sockets: f64,
    /// Copies of accounting per second that are written to a server
    #[arg(long, value_name = "NUMBER")]
    copies: f64,
}

/// Subscribers of a round, and rounds.
const SESSIONS: usize = 2_000;
const ROUNDS: usize = 3;
const TUNNELS: usize = 10;
/// Calls that are being set up at once: with more of them l2tpns loses some.
const IN_FLIGHT: usize = 64;

/// How long all of them may take.
const SETUP: Duration = Duration::from_secs(120);

/// Subscribers that dial in within a second, and how long the slow server takes for each.
const CROWD: usize = 10_000;
const SLOW: Duration = Duration::from_secs(5);
/// How often it is looked how many requests wait.
const SAMPLE: Duration = Duration::from_millis(50);

/// Prints the table. Says whether everything that is promised holds.
pub(crate) fn run(options: &BenchOptions) -> Result<bool> {
    let mut figures = Vec::new();
    for code in ["login", "accounting"] {
        figures.push(machine(&options.criterion, code)?);
    }
    for (what, measured, least) in [
        (
            "requests and replies over sockets",
            options.sockets,
            30_000.0,
        ),
        (
            "copies of 128 octets over sockets (T1.2)",
            options.copies,
            50_000.0,
        ),
    ] {
        figures.push(Figure {
            what: what.to_owned(),
            measured: format!("{measured:.0} per second"),
            promised: format!(">= {least:.0} per second"),
            held: Some(measured >= least),
        });
    }
    figures.extend(setups()?);
    figures.push(crowd()?);
    print(&figures);
    Ok(figures.iter().all(|figure| figure.held != Some(false)))
}

/// Pairs of one iteration of the benchmark `pairs`.
const BATCH: f64 = 100.0;

/// Requests and replies through the client's machine alone, on one core: without what the server of the
/// benchmark needs to sign, which a real one does elsewhere.
fn machine(folder: &Path, code: &str) -> Result<Figure> {
    let both = Nanoseconds::of(folder, &format!("pairs/{code}"))?;
    let server = Nanoseconds::of(folder, &format!("pairs/{code}, the server's part"))?;
    let rate = |both: f64, server: f64| BATCH * 1e9 / (both - server);
    let median = rate(both.median, server.median);
    Ok(Figure {
        what: format!("requests and replies, machine alone, {code}"),
        measured: format!(
            "{median:.0} per second (best {:.0})",
            rate(both.best, server.best)
        ),
        promised: ">= 100000 per second".to_owned(),
        held: Some(median >= 100_000.0),
    })
}

fn options() -> Options {
    Options {
        sessions: SESSIONS,
        tunnels: TUNNELS,
        in_flight: IN_FLIGHT,
        authentication: vec![Authentication::Chap],
        ..scenario::options()
    }
}

fn setups() -> Result<Vec<Figure>> {
    let (mut ours, mut theirs, mut trivial) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(l2tpns()?);
        ours.push(lnsd(false)?);
        trivial.push(lnsd(true)?);
    }
    let [ours, theirs, trivial] = [ours, theirs, trivial].map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates
    });
    let (median, least) = (ROUNDS / 2, 0);
    let at = |rates: &[f64], place: usize| rates.get(place).copied().unwrap_or(0.0);
    let ratio = at(&ours, median) / at(&theirs, median);
    let text = |rates: &[f64]| {
        format!(
            "{:.0} per second (minimum {:.0})",
            at(rates, median),
            at(rates, least)
        )
    };
    Ok(vec![
        Figure {
            what: "sessions set up, lnsd and FreeRADIUS".to_owned(),
            measured: format!("{}, {ratio:.1} times l2tpns", text(&ours)),
            promised: ">= 3 times l2tpns".to_owned(),
            held: Some(ratio >= 3.0),
        },
        Figure {
            what: "sessions set up, l2tpns and FreeRADIUS".to_owned(),
            measured: text(&theirs),
            promised: String::new(),
            held: None,
        },
        Figure {
            what: "sessions set up, lnsd and a server that only answers".to_owned(),
            measured: text(&trivial),
            promised: String::new(),
            held: None,
        },
    ])
}

/// Sessions per second through `lnsd`; with FreeRADIUS, or with a server that only answers.
fn lnsd(trivial: bool) -> Result<f64> {
    let topology = rig::topology()?;
    let (_freeradius, _responder);
    if trivial {
        let script = responder::accept_after(Duration::ZERO);
        _responder = Responder::start(&topology.core, ADDRESSES[0], &script)?;
    } else {
        _freeradius = FreeRadius::start(&topology.core, Server::new(0, USERS))?;
    }
    let radius = Radius {
        authentication: vec![0],
        accounting: Vec::new(),
        ..Radius::default()
    };
    let lnsd = Lnsd::start(&topology.lns, &radius.manifest())?;
    let (rate, up) = dial_in(&topology)?;
    drop(lnsd);
    ensure!(up == SESSIONS, "{up} of {SESSIONS} came up through lnsd");
    Ok(rate)
}

/// Subscribers dial in as fast as they are served. Sessions per second until nine of ten are up, since one
/// whose packet is lost repeats it after a second, and how many come up in the end.
fn dial_in(topology: &Topology) -> Result<(f64, usize)> {
    const MOST: usize = SESSIONS / 10 * 9;
    let started = Instant::now();
    let lac = Lac::start(&topology.lac, options());
    lac.wait(SETUP, "nine of ten are up", |shared| {
        shared.count(|stage| *stage == crate::lac::Stage::Up) >= MOST
    })?;
    let took = started.elapsed();
    lac.settle(SETUP)?;
    let up = lac.count_up();
    lac.close()?;
    Ok((MOST as f64 / took.as_secs_f64(), up))
}

fn l2tpns() -> Result<f64> {
    let topology = rig::topology()?;
    let server = Server {
        // It signs no request.
        strict: false,
        ..Server::new(0, USERS)
    };
    let freeradius = FreeRadius::start(&topology.core, server)?;
    let root = differential::unpack()?;
    let change = |text: &str| {
        text.replace(
            "127.0.0.1\nset radius_secret \"radius-secret\"",
            &format!("{}\nset radius_secret \"{SECRET}\"", ADDRESSES[0]),
        )
        .replace("100.64.1.0/24", "100.64.16.0/20")
        .replace("set debug 3", "set debug 0")
    };
    let mut l2tpns = L2tpns::alone(&topology.lns, &root, change)?;
    l2tpns.wait_ready(&topology.lac)?;
    let (rate, _) = dial_in(&topology)
        .with_context(|| format!("l2tpns\n{}{}", l2tpns.log(), freeradius.log()))?;
    Ok(rate)
}

/// Many at once, before a server that takes its time.
fn crowd() -> Result<Figure> {
    let topology = rig::topology()?;
    let server = Responder::start(&topology.core, ADDRESSES[0], &responder::accept_after(SLOW))?;
    let limits = "limits: { maxConnections: 64, maxInFlight: 16384 }";
    let radius = Radius {
        authentication: vec![0],
        accounting: Vec::new(),
        authentication_lines: limits.to_owned(),
        ..Radius::default()
    };
    let manifest = Manifest {
        pools: vec![("default", "100.64.0.1", "100.64.0.0/16")],
        ..radius.manifest()
    };
    let lnsd = Lnsd::start(&topology.lns, &manifest)?;
    let crowd = Options {
        sessions: CROWD,
        rate: 10_000,
        in_flight: CROWD,
        ..options()
    };
    let lac = Lac::start(&topology.lac, crowd);
    let most = Cell::new(0);
    lac.wait(
        Duration::from_secs(180),
        "all are up or have failed",
        |shared| {
            let in_flight = lnsd.metric("lns_radius_in_flight", &[]).unwrap_or(0);
            most.set(in_flight.max(most.get()));
            std::thread::sleep(SAMPLE);
            shared.count(|stage| {
                matches!(stage, crate::lac::Stage::Idle | crate::lac::Stage::Dialling)
            }) == 0
        },
    )?;
    let up = lac.count_up();
    lac.close()?;
    drop(server);
    let most = most.get();
    if most > 16_384 {
        bail!("{most} requests in flight, of 16384");
    }
    Ok(Figure {
        what: format!(
            "{CROWD} sessions at once, answered after {} s",
            SLOW.as_secs()
        ),
        measured: format!("{up} came up, {most} requests in flight at most"),
        promised: format!("all, {} at most", 16_384),
        held: Some(up == CROWD),
    })
}
