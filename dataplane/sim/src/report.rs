//! What many runs come to.

use core::time::Duration;
use std::collections::BTreeMap;

use lns_sim::plan::Plan;
use lns_sim::run::Report;

/// A line of progress after so many seeds.
const PROGRESS: u64 = 500;

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    passed: u64,
    failed: u64,
    simulated: Duration,
    steps: u64,
    sessions: u64,
    calls: u64,
    faults: BTreeMap<&'static str, u64>,
}

impl Totals {
    /// Adds a run; one that went wrong is told in a line.
    pub(crate) fn add(&mut self, plan: &Plan, report: &Report, wrong: Option<&str>) {
        match wrong {
            None => self.passed += 1,
            Some(wrong) => {
                self.failed += 1;
                let (seed, profile) = (plan.seed, plan.profile);
                println!(
                    "seed {seed} profile {profile:?} {wrong}  replay: e2e/test sim --seed {seed}"
                );
            }
        }
        self.simulated += report.simulated;
        self.steps += report.steps;
        self.sessions += report.sessions;
        self.calls += report.calls;
        for (kind, times) in &report.faults {
            *self.faults.entry(kind).or_default() += times;
        }
        let seeds = self.passed + self.failed;
        if seeds.is_multiple_of(PROGRESS) {
            println!("{seeds} seeds, {:.0} h simulated", self.hours());
        }
    }

    fn hours(&self) -> f64 {
        self.simulated.as_secs_f64() / 3_600.0
    }

    /// Prints the sums; whether all runs passed.
    pub(crate) fn print(&self, real: Duration) -> bool {
        let speed = self.simulated.as_secs_f64() / real.as_secs_f64().max(1e-9);
        println!(
            "{} seeds: {:.1} h simulated in {:.1} s, {speed:.0} times real time; {} steps, {} calls, \
             {} sessions",
            self.passed + self.failed,
            self.hours(),
            real.as_secs_f64(),
            self.steps,
            self.calls,
            self.sessions
        );
        let faults = self
            .faults
            .iter()
            .map(|(kind, times)| format!("{times} {kind}"));
        println!("what went wrong: {}", faults.collect::<Vec<_>>().join(", "));
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
