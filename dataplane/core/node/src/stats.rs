//! Counters of the node. Labels come from fixed lists in the code, so the maps are bounded.

use std::collections::BTreeMap;

use crate::event::Stage;

/// What the node has counted since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Packets dropped by the control, by reason.
    pub drops: BTreeMap<&'static str, u64>,
    /// What a node on standby has given out for the active one, by what it was (`control`, `ppp`).
    pub forwarded: BTreeMap<&'static str, u64>,
    /// LCP Echo-Requests that a node on standby has answered itself.
    pub echoes_answered: u64,
    /// Control messages handled, by type and result (`ok`, or the label of the error).
    pub control_messages: BTreeMap<(&'static str, &'static str), u64>,
    /// Calls that ended before they were up, by stage and reason.
    pub failures: BTreeMap<(Stage, &'static str), u64>,
    /// Sessions that ended after they were up, by reason.
    pub endings: BTreeMap<&'static str, u64>,
    /// Tunnels that ended, by reason.
    pub tunnel_endings: BTreeMap<&'static str, u64>,
    /// What the back-stop sweep found overdue. Anything but 0 is a bug.
    pub overdue: u64,
}

impl Stats {
    pub(crate) fn drop(&mut self, reason: &'static str) {
        count(self.drops.entry(reason).or_default());
    }

    pub(crate) fn forward(&mut self, what: &'static str) {
        count(self.forwarded.entry(what).or_default());
    }

    pub(crate) fn echo_answered(&mut self) {
        count(&mut self.echoes_answered);
    }

    pub(crate) fn control_message(&mut self, kind: &'static str, result: &'static str) {
        count(self.control_messages.entry((kind, result)).or_default());
    }

    pub(crate) fn failure(&mut self, stage: Stage, reason: &'static str) {
        count(self.failures.entry((stage, reason)).or_default());
    }

    pub(crate) fn ending(&mut self, reason: &'static str) {
        count(self.endings.entry(reason).or_default());
    }

    pub(crate) fn tunnel_ending(&mut self, reason: &'static str) {
        count(self.tunnel_endings.entry(reason).or_default());
    }
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
