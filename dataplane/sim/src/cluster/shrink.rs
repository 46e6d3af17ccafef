//! Makes a plan that fails smaller, as long as the same invariant still fails.

use super::judge::Invariant;
use super::plan::{Plan, Ways};
use crate::world::Faults;

/// Runs that are spent on one plan at most.
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
        if candidate == self.plan || self.runs >= RUNS || candidate.sites.is_empty() {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&candidate) == Some(self.invariant);
        if fails {
            self.plan = candidate;
        }
        fails
    }

    fn round(&mut self) {
        self.end_early();
        self.thin_out();
        self.attempt(|plan| plan.faults = Faults::default());
        self.attempt(|plan| plan.api = calm(plan.api));
        self.attempt(|plan| plan.peers = calm(plan.peers));
        self.attempt(|plan| plan.store.latency = 1);
        self.attempt(|plan| plan.store.lag = 1);
        self.attempt(|plan| plan.store.stream = 5_000);
        self.attempt(|plan| plan.store.waits = false);
        self.attempt(|plan| plan.radius = None);
        self.attempt(|plan| {
            if let Some(radius) = &mut plan.radius {
                radius.ways = calm(radius.ways);
            }
        });
        self.attempt(|plan| plan.sprays = false);
        self.attempt(|plan| plan.sites.fill(0));
        while self.attempt(|plan| plan.sites.truncate(plan.sites.len().saturating_sub(1))) {}
        while self.attempt(|plan| plan.lacs.truncate(plan.lacs.len().saturating_sub(1))) {}
        for lac in 0..self.plan.lacs.len() {
            self.attempt(|plan| plan.lacs[lac] = 1);
        }
    }

    /// What comes after the failure does not matter, unless it comes after all was healed.
    fn end_early(&mut self) {
        while self.attempt(|plan| {
            plan.span = plan.span * 3 / 4;
            let span = plan.span;
            plan.acts.retain(|(at, _)| *at < span);
        }) {}
    }

    /// Takes acts out: large pieces first.
    fn thin_out(&mut self) {
        let mut size = self.plan.acts.len().next_power_of_two();
        while size > 0 {
            let mut at = 0;
            while at < self.plan.acts.len() {
                let end = (at + size).min(self.plan.acts.len());
                if !self.attempt(|plan| drop(plan.acts.drain(at..end))) {
                    at = end;
                }
            }
            size /= 2;
        }
    }
}

const fn calm(ways: Ways) -> Ways {
    Ways {
        delay: ways.delay,
        slow: 0,
        longest: 0,
        lost: 0,
        unanswered: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::plan::Act;

    #[test]
    fn one_act_of_many_that_matters_is_what_is_left_of_a_cluster() {
        let plans = (0..).map(Plan::draw);
        let mut plan = plans
            .into_iter()
            .find(|plan| plan.acts.len() > 10 && plan.sites.len() > 2)
            .unwrap();
        let at = plan.span / 2;
        plan.acts.push((at, Act::Flush));
        plan.acts.sort_by_key(|(at, _)| *at);
        let flushes = |plan: &Plan| {
            let found = plan.acts.iter().any(|(_, act)| *act == Act::Flush);
            found.then_some(Invariant::Standby)
        };
        let shrunk = shrink(&plan, Invariant::Standby, flushes);
        assert_eq!((shrunk.plan.acts.len(), shrunk.plan.sites.len()), (1, 1));
    }
}
