//! I16 and I17: tables stay inside their bounds, and one input makes bounded work.

use lns_node::{Node, limits};
use lns_tables::time::Instant;

use super::{Finding, Invariant, Rules};

/// Datagrams that one input may bring out: an acknowledgement that opens the largest window of any
/// peer here, and an answer for each message that was kept for its turn.
const OUTPUTS: u32 = 400;

/// What the last input has brought out.
#[derive(Debug)]
pub(super) struct Bounds {
    max_sessions: u32,
    is_input: bool,
    outputs: u32,
}

impl Bounds {
    pub(super) const fn new(rules: &Rules) -> Self {
        Self {
            max_sessions: rules.max_sessions,
            is_input: false,
            outputs: 0,
        }
    }

    pub(super) const fn receives(&mut self) {
        self.is_input = true;
        self.outputs = 0;
    }

    pub(super) const fn sends(&mut self) {
        self.outputs += 1;
    }

    /// Nothing comes of the last input: the process has ended.
    pub(super) const fn forget(&mut self) {
        self.is_input = false;
        self.outputs = 0;
    }

    pub(super) fn settled(&mut self) -> Finding {
        let outputs = core::mem::take(&mut self.outputs);
        if core::mem::take(&mut self.is_input) && outputs > OUTPUTS {
            return Err((
                Invariant::Work,
                format!("one input brought {outputs} datagrams out"),
            ));
        }
        Ok(())
    }

    /// Tables against their bounds.
    pub(super) fn audit(&self, node: &Node, now: Instant) -> Finding {
        let status = node.status();
        let tables = [
            (
                "sessions",
                status.sessions + status.sessions_opening,
                self.max_sessions,
            ),
            (
                "half-open tunnels",
                status.tunnels_opening,
                limits::MAX_HALF_OPEN_TUNNELS,
            ),
            (
                "tunnels",
                status.tunnels + status.tunnels_opening,
                limits::MAX_TUNNELS,
            ),
            (
                "refused LACs",
                u32::try_from(node.refused_lacs(now).len()).unwrap_or(u32::MAX),
                u32::try_from(limits::REFUSED_LACS).unwrap_or(u32::MAX),
            ),
        ];
        for (table, holds, bound) in tables {
            if holds > bound {
                return Err((
                    Invariant::Bounds,
                    format!("{holds} {table}; the bound is {bound}"),
                ));
            }
        }
        let full = ["transmit_queue_full", "event_queue_full"];
        let dropped = full
            .iter()
            .find(|label| node.stats().drops.contains_key(*label));
        match dropped {
            Some(label) => Err((
                Invariant::Bounds,
                format!("a queue that is drained was full: {label}"),
            )),
            None => Ok(()),
        }
    }
}
