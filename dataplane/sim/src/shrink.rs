//! Makes a plan that fails smaller, as long as the same invariant still fails.
//!
//! What happens goes first, then who is hostile, what the network does, who is there, and how they
//! behave; then all of it again, until nothing more can go.

use core::time::Duration;

use crate::observe::Invariant;
use crate::peers::{Bugs, Proxied, Quirks};
use crate::plan::{Filters, LoginPlan, Plan};

/// Runs that are spent on one plan at most: some minutes.
const RUNS: u32 = 3_000;

/// What is left of a plan.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that still fails.
    pub plan: Plan,
    /// Runs that it took.
    pub runs: u32,
}

/// Makes `plan`, which breaks `invariant`, smaller. `fails` runs a plan and tells what it breaks.
pub fn shrink(
    plan: &Plan,
    invariant: Invariant,
    fails: impl FnMut(&Plan) -> Option<Invariant>,
) -> Shrunk {
    let mut search = Search {
        plan: plan.clone(),
        invariant,
        runs: 0,
        fails,
    };
    loop {
        let before = search.plan.clone();
        search.round();
        if search.plan == before || search.runs >= RUNS {
            break;
        }
    }
    Shrunk {
        plan: search.plan,
        runs: search.runs,
    }
}

struct Search<F> {
    plan: Plan,
    invariant: Invariant,
    runs: u32,
    fails: F,
}

impl<F: FnMut(&Plan) -> Option<Invariant>> Search<F> {
    /// Keeps a change if the plan fails as before.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut candidate = self.plan.clone();
        change(&mut candidate);
        if candidate == self.plan || self.runs >= RUNS || candidate.lacs.is_empty() {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&candidate) == Some(self.invariant);
        if fails {
            self.plan = candidate;
        }
        fails
    }

    /// Takes pieces of a list out: large ones first.
    fn thin_out(&mut self, len: impl Fn(&Plan) -> usize, remove: impl Fn(&mut Plan, usize, usize)) {
        let mut size = len(&self.plan).next_power_of_two();
        while size > 0 {
            let mut at = 0;
            while at < len(&self.plan) {
                let end = (at + size).min(len(&self.plan));
                if !self.attempt(|plan| remove(plan, at, end)) {
                    at = end;
                }
            }
            size /= 2;
        }
    }

    fn round(&mut self) {
        self.thin_out(
            |plan| plan.acts.len(),
            |plan, from, to| drop(plan.acts.drain(from..to)),
        );
        self.thin_out(
            |plan| plan.hostiles.len(),
            |plan, from, to| drop(plan.hostiles.drain(from..to)),
        );
        self.calm_network();
        self.attempt(|plan| plan.store.latency = 0);
        self.attempt(|plan| plan.store.follows = false);
        self.thin_out(
            |plan| plan.lacs.len(),
            |plan, from, to| drop(plan.lacs.drain(from..to)),
        );
        for lac in 0..self.plan.lacs.len() {
            self.thin_out(
                |plan| plan.lacs[lac].lines.len(),
                |plan, from, to| drop(plan.lacs[lac].lines.drain(from..to)),
            );
        }
        self.simplify();
        self.shorten();
    }

    fn calm_network(&mut self) {
        self.attempt(|plan| plan.faults.loss = 0);
        self.attempt(|plan| plan.faults.duplication = 0);
        self.attempt(|plan| plan.faults.reordering = 0);
        self.attempt(|plan| plan.faults.corruption = 0);
        self.attempt(|plan| plan.faults.delay = 0);
    }

    fn simplify(&mut self) {
        for lac in 0..self.plan.lacs.len() {
            self.attempt(|plan| plan.lacs[lac].bugs = Bugs::default());
            self.attempt(|plan| plan.lacs[lac].hides = false);
            self.attempt(|plan| plan.lacs[lac].has_previous_secret = false);
            for line in 0..self.plan.lacs[lac].lines.len() {
                self.attempt(|plan| plan.lacs[lac].lines[line].quirks = Quirks::default());
                self.attempt(|plan| plan.lacs[lac].lines[line].proxied = Proxied::No);
                self.attempt(|plan| plan.lacs[lac].lines[line].sequencing = false);
                self.attempt(|plan| plan.lacs[lac].lines[line].echo = None);
                self.attempt(|plan| plan.lacs[lac].lines[line].login = LoginPlan::Own);
            }
        }
        self.attempt(|plan| plan.settings.has_secret = false);
        self.attempt(|plan| plan.settings.hides = false);
        self.attempt(|plan| plan.settings.rechallenge = Duration::ZERO);
        self.attempt(|plan| plan.settings.session = Duration::ZERO);
        self.attempt(|plan| plan.settings.idle = Duration::ZERO);
        self.attempt(|plan| plan.settings.filters = Filters::default());
    }

    fn shorten(&mut self) {
        while self.attempt(|plan| {
            plan.span = (plan.span / 2).max(Duration::from_secs(1));
            let span = plan.span;
            plan.acts.retain(|(at, _)| *at < span);
        }) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Act;
    use crate::run;
    use crate::{Corpus, observe::Rules};

    /// A plan with something of everything.
    fn large() -> Plan {
        let plans = (0..).map(Plan::draw);
        let is_large = |plan: &Plan| {
            plan.lacs.len() > 3
                && plan.lines() > 20
                && plan.acts.len() > 10
                && !plan.hostiles.is_empty()
        };
        plans.into_iter().find(is_large).expect("there is one")
    }

    #[test]
    fn a_planted_failure_is_left_with_what_it_needs() {
        let plan = large();
        let corpus = Corpus::load();
        // The observer is told of a bound of three sessions, which four lines are enough to break.
        let fails = |plan: &Plan| {
            let rules = Rules {
                max_sessions: 3,
                ..run::rules(plan)
            };
            let (report, _) = run::run_under(plan, &rules, &corpus, false);
            report.violation.map(|found| found.invariant)
        };
        assert_eq!(fails(&plan), Some(Invariant::Bounds));
        let shrunk = shrink(&plan, Invariant::Bounds, fails);
        assert_eq!(shrunk.plan.lines(), 4, "{:?}", shrunk.plan);
        assert!(shrunk.plan.acts.is_empty() && shrunk.plan.hostiles.is_empty());
        assert!(shrunk.plan.faults.is_none());
        assert!(shrunk.plan.lacs.iter().all(crate::plan::LacPlan::conforms));
    }

    #[test]
    fn one_act_of_many_that_matters_is_what_is_left() {
        let mut plan = large();
        let at = plan.span / 2;
        plan.acts.push((at, Act::Restart(0)));
        let restarts = |plan: &Plan| {
            let found = plan
                .acts
                .iter()
                .any(|(_, act)| matches!(act, Act::Restart(_)));
            found.then_some(Invariant::Delivery)
        };
        let shrunk = shrink(&plan, Invariant::Delivery, restarts);
        assert_eq!((shrunk.plan.acts.len(), shrunk.plan.lacs.len()), (1, 1));
        assert_eq!((shrunk.plan.lines(), shrunk.plan.hostiles.len()), (0, 0));
    }
}
