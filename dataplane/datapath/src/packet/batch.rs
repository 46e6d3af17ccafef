//! What all packets of a batch are looked up in and judged by.

use lns_l2sess::graph::Visit;
use lns_l2sess::policy::Policies;
use lns_l2sess::{ChainId, Classifier, Direction, PortId, Seconds, Verdict};
use lns_tables::time::Instant;

use super::member::Member;
use crate::stats::DropReason;
use crate::tables::{Found, Tables};

/// What all packets of a batch are looked up in and judged by: the same tables, policies and time.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub(super) tables: &'a Tables,
    pub(super) classifier: &'a Classifier,
    pub(super) policies: &'a Policies,
    /// At a node that is not the home of sessions.
    pub(super) member: Option<Member<'a>>,
    /// The worker's number.
    pub(super) lane: usize,
    pub(super) now: Instant,
    pub(super) seconds: Seconds,
}

impl<'a> Batch<'a> {
    /// Of the worker with that number, at `now`, of a node that is the home of all sessions.
    pub const fn new(
        tables: &'a Tables,
        classifier: &'a Classifier,
        policies: &'a Policies,
        lane: usize,
        now: Instant,
    ) -> Self {
        Self {
            tables,
            classifier,
            policies,
            member: None,
            lane,
            now,
            seconds: Seconds::new(now.as_secs()),
        }
    }

    /// Whether the policies of the session let the packet pass; without any, all do.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Cost
    /// Of a session without policies one compare; else that of
    /// [`classify`](Classifier::classify).
    pub(super) fn judge(
        &self,
        found: &Found<'_>,
        direction: Direction,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        if found.view.chain == ChainId::NONE {
            return Ok(());
        }
        let visit = Visit {
            lane: self.lane,
            port: PortId(found.index.0),
            chain: found.view.chain,
            direction,
            packet,
            now: self.seconds,
        };
        match self.classifier.classify(self.policies, &visit) {
            Verdict::Forward => Ok(()),
            Verdict::Drop(refusal) => Err(refusal.into()),
        }
    }
}
