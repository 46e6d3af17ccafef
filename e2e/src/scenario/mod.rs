//! Scenarios: a running `lnsd`, a LAC, and what can be seen of both from outside.
//!
//! Each makes its own namespaces and its own `lnsd`, so that none depends on another and any can be
//! run alone: `lns-e2e scenario NAME...`.

mod admin;
mod canary;
mod command;
mod datapath;
mod explain;
mod flood;
mod isolation;
mod lifecycle;
mod login;
mod outside;
mod peer;
mod proxy;
mod reload;
mod resume;
mod scale;
mod session;

use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub(crate) use self::isolation::{is_no_route, probe};
pub(crate) use self::scale::{Rate, downstream, upstream};
use crate::http;
use crate::lac::Options;
use crate::lnsd::{Lnsd, take_overdue};
use crate::manifest::Manifest;
use crate::net::{self, Topology};

/// One scenario.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) says: &'static str,
    /// Runs it. The text says what was measured, if anything was.
    pub(crate) run: fn() -> Result<String>,
}

/// The port of the HTTP server in the core.
pub(crate) const HTTP: u16 = 8080;

fn all() -> Vec<Scenario> {
    [
        login::SCENARIOS,
        peer::SCENARIOS,
        proxy::SCENARIOS,
        datapath::SCENARIOS,
        isolation::SCENARIOS,
        session::SCENARIOS,
        lifecycle::SCENARIOS,
        resume::SCENARIOS,
        reload::SCENARIOS,
        command::SCENARIOS,
        outside::SCENARIOS,
        explain::SCENARIOS,
        admin::SCENARIOS,
        canary::SCENARIOS,
        flood::SCENARIOS,
        scale::SCENARIOS,
    ]
    .concat()
}

/// Prints what there is.
pub(crate) fn list() {
    show(&all());
}

/// Runs the scenarios whose names contain one of `names`, all without names. Says whether all passed.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    play(all(), names)
}

/// Prints the names of scenarios, and what each shows.
pub(crate) fn show(all: &[Scenario]) {
    for scenario in all {
        println!("{:<28} {}", scenario.name, scenario.says);
    }
}

/// Runs those of `all` whose names contain one of `names` (all without names), prints a line each
/// and `N passed, N failed`. Says whether all passed.
pub(crate) fn play(all: Vec<Scenario>, names: &[String]) -> Result<bool> {
    play_in_lanes(Vec::new(), all, names)
}

/// Scenarios that run at once: they mostly wait.
const LANES: usize = 6;

/// The same, where those of `beside` run beside each other, and those of `alone` one by one behind them.
pub(crate) fn play_in_lanes(
    mut beside: Vec<Scenario>,
    mut alone: Vec<Scenario>,
    names: &[String],
) -> Result<bool> {
    let is_chosen = |scenario: &Scenario| {
        let mut words = names.iter();
        names.is_empty() || words.any(|name| scenario.name.contains(name.as_str()))
    };
    beside.retain(is_chosen);
    alone.retain(is_chosen);
    let count = beside.len() + alone.len();
    if count == 0 {
        bail!(
            "no scenario is called {}; `--list` shows them",
            names.join(", ")
        );
    }
    let failed = AtomicUsize::new(0);
    let play_one = |scenario: &Scenario| {
        if !perform(scenario.name, scenario.says, scenario.run) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    };
    let waiting = Mutex::new(beside.into_iter());
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(scenario) = next() {
                    play_one(&scenario);
                }
            });
        }
    });
    alone.iter().for_each(play_one);
    let failed = failed.into_inner();
    println!("{} passed, {failed} failed", count - failed);
    Ok(failed == 0)
}

/// Runs one and prints its line. Says whether it passed.
pub(crate) fn perform(name: &str, says: &str, run: impl FnOnce() -> Result<String>) -> bool {
    let started = Instant::now();
    // A panic is one scenario's failure; what it made is removed as it unwinds.
    let result = std::panic::catch_unwind(AssertUnwindSafe(run));
    let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
    let result = match take_overdue() {
        0 => result,
        found => result.and(Err(anyhow::anyhow!("the sweep found {found} overdue"))),
    };
    if let Err(error) = report(name, says, started.elapsed(), &result) {
        eprintln!("{name}: {error}");
    }
    result.is_ok()
}

fn report(name: &str, says: &str, took: Duration, result: &Result<String>) -> Result<()> {
    let colour = std::io::stdout().is_terminal();
    let (mark, note) = match result {
        Ok(note) => (
            if colour {
                "\x1b[32mok  \x1b[0m"
            } else {
                "ok  "
            },
            note.clone(),
        ),
        Err(_) => (
            if colour {
                "\x1b[31mFAIL\x1b[0m"
            } else {
                "FAIL"
            },
            String::new(),
        ),
    };
    println!(
        "{mark} {name:<28} {:>6.1} s  {says}{}",
        took.as_secs_f64(),
        if note.is_empty() {
            note
        } else {
            format!(": {note}")
        }
    );
    if let Err(error) = result {
        println!("      {}", format!("{error:#}").trim_end());
    }
    Ok(std::io::stdout().flush()?)
}

/// What most scenarios begin with.
pub(crate) fn topology() -> Result<Topology> {
    Topology::create()
}

/// A LAC with one subscriber towards the LNS of the topology.
pub(crate) fn options() -> Options {
    Options {
        from: net::LAC,
        ..Options::towards(SocketAddr::from((net::VIP, 1701)))
    }
}

/// Starts `lnsd` in `topology`.
pub(crate) fn start<'a>(topology: &'a Topology, manifest: &Manifest) -> Result<Lnsd<'a>> {
    Lnsd::start(&topology.lns, manifest)
}

/// Starts the HTTP server in the core and gives its address.
pub(crate) fn serve_http(topology: &Topology) -> Result<SocketAddr> {
    let address = SocketAddr::from((net::CORE, HTTP));
    let listener = topology.core.enter(|| TcpListener::bind(address))??;
    std::thread::spawn(move || http::serve(&listener));
    Ok(address)
}

/// Fails with `what` unless `holds`.
pub(crate) fn expect(holds: bool, what: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { bail!("{what}") }
}
