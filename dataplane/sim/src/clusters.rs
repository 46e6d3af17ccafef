//! Runs of clusters: many seeds, one with a log, one again and again until it is small.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use lns_sim::cluster::plan::{Kind, Plan};
use lns_sim::cluster::run::{self, Report};
use lns_sim::cluster::shrink;

use crate::seeds::print_records;

/// Seeds that have found something once, with a name each. They are run first, for ever.
const REGRESSIONS: &str = include_str!("../cluster-regressions.txt");

/// Of so many seeds one is run twice, and must do the same both times.
const TWICE: u64 = 100;

/// A line of progress after so many seeds.
const PROGRESS: u64 = 2_000;

/// The sums.
#[derive(Debug, Default)]
struct Totals {
    passed: u64,
    failed: u64,
    simulated: Duration,
    steps: u64,
    failovers: u64,
    sessions: u64,
    counts: BTreeMap<&'static str, u64>,
}

/// Runs seeds in `threads` threads, all or those that only elect; whether all of them passed.
pub(crate) fn run(seeds: Range<u64>, elections: bool, threads: usize, stops: bool) -> bool {
    lns_sim::run::keep_panics_quiet();
    let start = Instant::now();
    let known: Vec<u64> = regressions().map(|(_, seed)| seed).collect();
    let first = u64::try_from(known.len()).expect("few");
    let count = first + seeds.end - seeds.start;
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let place = usize::try_from(at).ok();
                    let seed = place.and_then(|place| known.get(place)).copied();
                    let seed = seed.unwrap_or_else(|| seeds.start + at - first);
                    if elections && Kind::of(seed) != Kind::Election {
                        continue;
                    }
                    let passed = one(seed, &totals);
                    stop.fetch_or(stops && !passed, Ordering::Relaxed);
                }
            });
        }
    });
    let totals = totals.into_inner().expect("no thread has panicked");
    totals.print(start.elapsed())
}

/// The seeds of the regression file, by name.
fn regressions() -> impl Iterator<Item = (&'static str, u64)> {
    let lines = REGRESSIONS.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (seed, name) = line.split_once(' ').expect("a seed and a name");
        (name.trim(), seed.parse().expect("a seed"))
    })
}

fn one(seed: u64, totals: &Mutex<Totals>) -> bool {
    let plan = Plan::draw(seed);
    let report = run::run(&plan, false);
    let mut wrong = report.violation.as_ref().map(ToString::to_string);
    if wrong.is_none() && seed.is_multiple_of(TWICE) {
        let again = run::run(&plan, false);
        if again.hash != report.hash {
            wrong = Some(format!(
                "it is not the same twice: {:016x}, {:016x}",
                report.hash, again.hash
            ));
        }
    }
    let passed = wrong.is_none();
    totals
        .lock()
        .expect("no thread has panicked")
        .add(&plan, &report, wrong.as_deref());
    passed
}

impl Totals {
    fn add(&mut self, plan: &Plan, report: &Report, wrong: Option<&str>) {
        match wrong {
            None => self.passed += 1,
            Some(wrong) => {
                self.failed += 1;
                let (seed, kind) = (plan.seed, plan.kind);
                println!("seed {seed} {kind:?} {wrong}  replay: lns-sim cluster run --seed {seed}");
            }
        }
        self.simulated += report.simulated;
        self.steps += report.steps;
        self.failovers += report.failovers;
        self.sessions += report.sessions;
        for (what, times) in &report.counts {
            *self.counts.entry(what).or_default() += times;
        }
        let seeds = self.passed + self.failed;
        if seeds.is_multiple_of(PROGRESS) {
            println!("{seeds} seeds, {} failovers", self.failovers);
        }
    }

    /// Prints the sums; whether all runs passed.
    fn print(&self, real: Duration) -> bool {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        println!(
            "{} seeds of clusters: {hours:.1} h simulated in {:.1} s, {:.0} times real time; {} steps, \
             {} failovers, {} sessions",
            self.passed + self.failed,
            real.as_secs_f64(),
            self.simulated.as_secs_f64() / real.as_secs_f64().max(1e-9),
            self.steps,
            self.failovers,
            self.sessions
        );
        let counts = self.counts.iter();
        let counts: Vec<_> = counts
            .map(|(what, times)| format!("{times} {what}"))
            .collect();
        println!("what happened: {}", counts.join(", "));
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// Runs one seed with a log; whether it passed.
pub(crate) fn replay(seed: u64, capture: Option<&Path>) -> bool {
    lns_sim::run::keep_panics_quiet();
    let plan = Plan::draw(seed);
    println!("{plan:#?}");
    let report = run::run(&plan, true);
    print_records(&report.records, None);
    if let Some(path) = capture {
        match lns_sim::pcap::write(path, &report.records) {
            Ok(()) => println!("written: {}", path.display()),
            Err(error) => println!("{} cannot be written: {error}", path.display()),
        }
    }
    outcome(seed, &plan, &report);
    report.violation.is_none()
}

fn outcome(seed: u64, plan: &Plan, report: &Report) {
    println!(
        "seed {seed} {:?}: {:?} simulated, {} steps, {} failovers, {} sessions, hash {:016x}",
        plan.kind, report.simulated, report.steps, report.failovers, report.sessions, report.hash
    );
    match &report.violation {
        Some(violation) => println!("seed {seed} {violation}"),
        None => println!("seed {seed} holds"),
    }
}

/// Makes the plan of a failing seed smaller; whether it fails at all.
pub(crate) fn shrink(seed: u64) -> bool {
    lns_sim::run::keep_panics_quiet();
    let plan = Plan::draw(seed);
    let Some(violation) = run::run(&plan, false).violation else {
        println!("seed {seed} holds: there is nothing to make smaller");
        return false;
    };
    println!("seed {seed} {violation}");
    let shrunk = shrink::shrink(&plan, violation.invariant, |plan| {
        let report = run::run(plan, false);
        report.violation.map(|found| found.invariant)
    });
    println!("{:#?}", shrunk.plan);
    let report = run::run(&shrunk.plan, true);
    print_records(&report.records, None);
    println!("after {} runs:", shrunk.runs);
    outcome(seed, &shrunk.plan, &report);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_regression_of_clusters_has_a_seed_and_a_name() {
        assert!(regressions().all(|(name, _)| name.contains('_')));
    }

    #[test]
    fn equal_seeds_give_equal_clusters() {
        for seed in 0..12 {
            let plan = Plan::draw(seed);
            let hash = || run::run(&plan, false).hash;
            assert_eq!(hash(), hash(), "{seed}");
            assert_eq!(plan, Plan::draw(seed));
        }
    }
}
