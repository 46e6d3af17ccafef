//! Runs a plan: things go wrong for a while and what must hold is judged all along; then all is healed, and all must be
//! well again within a bound.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::catch_unwind;

use lns_tables::time::Instant;

use super::judge::{Invariant, Violation};
use super::plan::Plan;
use super::world::World;
use crate::observe::Record;

/// How far time goes before somebody looks whether all is well.
const SLICE: Duration = Duration::from_secs(2);

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What did not hold first.
    pub violation: Option<Violation>,
    /// Time that passed in the world.
    pub simulated: Duration,
    /// Things that happened in it.
    pub steps: u64,
    /// Masterships that there were.
    pub failovers: u64,
    /// Sessions that came up.
    pub sessions: u64,
    /// What went wrong and what came of it, by kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// All that happened, as one number.
    pub hash: u64,
    /// All that was told, if it was kept.
    pub records: Vec<Record>,
}

/// Runs `plan`. What was told is kept where `records` says so.
pub fn run(plan: &Plan, records: bool) -> Report {
    let mut run = match catch_unwind(|| Run::new(plan, records)) {
        Ok(run) => run,
        Err(panic) => return panicked(&*panic, Instant::ZERO),
    };
    let played = catch_unwind(AssertUnwindSafe(|| run.play()));
    let panic = played.err().map(|panic| panicked(&*panic, run.world.now));
    let mut report = run.finish();
    if let Some(panic) = panic {
        report.violation = report.violation.or(panic.violation);
    }
    report
}

fn panicked(panic: &(dyn Any + Send), at: Instant) -> Report {
    Report {
        violation: Some(Violation {
            invariant: Invariant::Panic,
            at,
            what: crate::run::said(panic),
        }),
        ..Report::default()
    }
}

struct Run<'p> {
    plan: &'p Plan,
    world: World,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, records: bool) -> Self {
        Self {
            plan,
            world: World::new(plan, records),
        }
    }

    fn is_over(&self) -> bool {
        self.world.judge.violation().is_some()
    }

    fn play(&mut self) {
        let start = self.world.now;
        for (at, act) in &self.plan.acts {
            self.world.run_until(start + *at);
            if self.is_over() {
                return;
            }
            self.world.act(*act);
        }
        self.world.run_until(start + self.plan.span);
        if self.is_over() {
            return;
        }
        self.world.heal();
        let end = self.world.now + self.patience();
        let mut missing = self.world.missing();
        while missing.is_some() && self.world.now < end && !self.is_over() {
            self.world.run_until(self.world.now + SLICE);
            missing = self.world.missing();
        }
        if self.world.is_orphaned() {
            self.world.judge.count("orphaned clusters");
            return;
        }
        if let Some(what) = missing {
            let now = self.world.now;
            self.world.judge.report(Invariant::Liveness, what, now);
        }
    }

    /// How long it may take until all is well. A node without records leaves the Lease to others for two minutes;
    /// one that is gone stays on the roster for S. A LAC that was forgotten says HELLO after a minute, gives up after 31 s
    /// and asks anew; so does a master. Addresses rest for S. Calls that fail on their way are dialled again.
    fn patience(&self) -> Duration {
        let times = self.plan.times();
        let election = self.plan.profile.timing().wait * 6 + times.cold;
        let lacs = if self.plan.lacs.is_empty() {
            Duration::ZERO
        } else {
            Duration::from_secs(500)
        };
        election + times.outlasts() * 2 + lacs
    }

    fn finish(self) -> Report {
        let judge = &self.world.judge;
        Report {
            violation: judge.violation().cloned(),
            simulated: self.world.now - Instant::ZERO,
            steps: self.world.steps,
            failovers: judge.failovers(),
            sessions: judge.ups(),
            counts: judge.counts.clone(),
            hash: judge.hash(),
            records: self.world.log.unwrap_or_default(),
        }
    }
}
