//! Runs of many seeds, of one, and of one again and again until it is small.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use lns_sim::Corpus;
use lns_sim::observe::{Observer, Record, Way};
use lns_sim::plan::Plan;
use lns_sim::run::{self, Report};
use lns_sim::shrink;
use lns_wire::text::DatagramText;

use crate::report::Totals;

/// Seeds that have found something once, with a name each. They are run first, for ever.
const REGRESSIONS: &str = include_str!("../regressions.txt");

/// Of so many seeds one is run twice, and must do the same both times.
const TWICE: u64 = 100;

/// Runs seeds in `threads` threads; whether all of them passed.
pub(crate) fn run(seeds: Range<u64>, threads: usize, stops: bool) -> bool {
    run::keep_panics_quiet();
    let (corpus, start) = (Corpus::load(), Instant::now());
    let known: Vec<u64> = regressions().map(|(_, seed)| seed).collect();
    let count = u64::try_from(known.len()).expect("few") + seeds.end - seeds.start;
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
                    let known_seed = place.and_then(|place| known.get(place));
                    let after = at.saturating_sub(u64::try_from(known.len()).expect("few"));
                    let seed = known_seed.copied().unwrap_or(seeds.start + after);
                    let passed = one(seed, &corpus, &totals);
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

fn one(seed: u64, corpus: &Corpus, totals: &Mutex<Totals>) -> bool {
    let plan = Plan::draw(seed);
    let (report, _) = run::run(&plan, corpus, false);
    let mut wrong = report.violation.as_ref().map(ToString::to_string);
    if wrong.is_none() && seed.is_multiple_of(TWICE) {
        let (again, _) = run::run(&plan, corpus, false);
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

/// Runs one seed with a log; whether it passed.
pub(crate) fn replay(seed: u64, capture: Option<&Path>) -> bool {
    run::keep_panics_quiet();
    let plan = Plan::draw(seed);
    println!("{plan:#?}");
    let (report, watched) = run::run(&plan, &Corpus::load(), true);
    let records = watched
        .as_ref()
        .map_or(&[][..], |watched| watched.tape().records());
    print_log(records, &report);
    if let Some(path) = capture {
        match lns_sim::pcap::write(path, records) {
            Ok(()) => println!("written: {}", path.display()),
            Err(error) => println!("{} cannot be written: {error}", path.display()),
        }
    }
    outcome(seed, &plan, &report, watched.as_ref());
    report.violation.is_none()
}

fn print_log(records: &[Record], report: &Report) {
    print_records(records, report.violation.as_ref().map(|found| found.at));
}

/// Prints what was told up to `end`.
pub(crate) fn print_records(records: &[Record], end: Option<lns_tables::time::Instant>) {
    for record in records {
        match record {
            Record::Datagram(at, ..) | Record::Event(at, _) if end.is_some_and(|end| *at > end) => {
                break;
            }
            Record::Datagram(at, way, other, octets) => {
                let arrow = match way {
                    Way::ToNode => "->",
                    Way::FromNode => "<-",
                };
                println!("{at:?} {other} {arrow} {}", DatagramText::new(octets));
            }
            Record::Event(at, text) => println!("{at:?} {text}"),
        }
    }
}

fn outcome(seed: u64, plan: &Plan, report: &Report, watched: Option<&Observer>) {
    let (sessions, calls) = watched.map_or((0, 0), Observer::counts);
    println!(
        "seed {seed} {:?}: {:?} simulated, {} steps, {calls} calls, {sessions} sessions, hash {:016x}",
        plan.profile, report.simulated, report.steps, report.hash
    );
    match &report.violation {
        Some(violation) => println!("seed {seed} profile {:?} {violation}", plan.profile),
        None => println!("seed {seed} holds"),
    }
}

/// Makes the plan of a failing seed smaller; whether it fails at all.
pub(crate) fn shrink(seed: u64) -> bool {
    run::keep_panics_quiet();
    let (plan, corpus) = (Plan::draw(seed), Corpus::load());
    let (report, _) = run::run(&plan, &corpus, false);
    let Some(violation) = report.violation else {
        println!("seed {seed} holds: there is nothing to make smaller");
        return false;
    };
    println!("seed {seed} {violation}");
    let shrunk = shrink::shrink(&plan, violation.invariant, |plan| {
        let (report, _) = run::run(plan, &corpus, false);
        report.violation.map(|found| found.invariant)
    });
    println!("{:#?}", shrunk.plan);
    let (report, watched) = run::run(&shrunk.plan, &corpus, true);
    print_log(
        watched
            .as_ref()
            .map_or(&[][..], |watched| watched.tape().records()),
        &report,
    );
    println!("after {} runs:", shrunk.runs);
    outcome(seed, &shrunk.plan, &report, watched.as_ref());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_regression_has_a_seed_and_a_name() {
        assert!(regressions().count() > 0);
        assert!(regressions().all(|(name, _)| name.contains('_')));
    }

    #[test]
    fn equal_seeds_give_equal_runs() {
        let corpus = Corpus::load();
        for seed in 0..20 {
            let plan = Plan::draw(seed);
            let hash = || run::run(&plan, &corpus, false).0.hash;
            assert_eq!(hash(), hash(), "{seed}");
            assert_eq!(plan, Plan::draw(seed));
        }
    }
}
