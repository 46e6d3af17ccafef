//! How a master outlives an API server (spec: the promise protocol): every other node of the roster
//! promises to write nothing for a while.
//!
//! The question carries when it was sent, on the clock of who asks, and the promise brings it back: so
//! who asks counts from there without having to remember its questions, and nothing depends on how long
//! either was on its way. The channel is authenticated; both ends are members.

use core::ops::Add as _;
use std::collections::BTreeMap;

use lns_tables::time::Instant;
use thiserror::Error;

use crate::profile::Profile;
use crate::record::{Epoch, Identity, NodeName};
use crate::roster::Roster;

/// The question of a master to one member: will you write nothing for a while?
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Ask {
    /// Who asks.
    pub holder: Identity,
    /// With which epoch.
    pub epoch: Epoch,
    /// When, on its own clock.
    pub sent: Instant,
}

/// The answer: not before [`Profile::promise`] has passed since your question came.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Promise {
    /// Which node promises. A restart does not take it back, so which incarnation does not matter.
    pub from: NodeName,
    /// Whom.
    pub holder: Identity,
    /// For which epoch.
    pub epoch: Epoch,
    /// The time in the question.
    pub sent: Instant,
}

/// Why a member promises nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// It is master itself.
    #[error("this node is master")]
    Master,
    /// Who asks is another incarnation of this node.
    #[error("the question is from another incarnation of this node")]
    OwnNode,
    /// It knows of a later epoch.
    #[error("there is a later epoch")]
    OldEpoch,
    /// It has seen that the Lease does not name who asks.
    #[error("the Lease does not name who asks")]
    NotInLease,
}

/// The promises that a master has.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Promises {
    /// By node, the newest question that it has promised upon. No larger than the rosters.
    sent: BTreeMap<NodeName, Instant>,
}

impl Promises {
    pub(crate) fn take(&mut self, from: &NodeName, sent: Instant) {
        let newest = self.sent.entry(from.clone()).or_insert(sent);
        *newest = sent.max(*newest);
    }

    /// Until when all of `others` keep still. None: one of them has promised nothing.
    pub(crate) fn until(&self, others: &Roster, profile: &Profile) -> Option<Instant> {
        Some(Instant::add(self.oldest(others)?, profile.reliance()))
    }

    /// The oldest question of those that all of `others` have promised upon.
    pub(crate) fn oldest(&self, others: &Roster) -> Option<Instant> {
        let sent = others.iter().map(|node| self.sent.get(node).copied());
        sent.reduce(|oldest, sent| Some(oldest?.min(sent?)))?
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(number: u8) -> NodeName {
        NodeName::new(&format!("n{number}")).unwrap()
    }

    proptest! {
        /// Promises last as long as the oldest of those that are needed, and one that is missing is
        /// enough to have none; those that are not needed do not matter.
        #[test]
        fn promises_last_as_long_as_the_oldest_that_is_needed(
            given in prop::collection::vec((0_u8..6, 0_u64..10_000), 0..20),
            needed in prop::collection::btree_set(0_u8..6, 1..6),
        ) {
            let mut promises = Promises::default();
            for (from, sent) in &given {
                promises.take(&node(*from), Instant::from_millis(*sent));
            }
            let others = Roster::of(needed.iter().map(|number| node(*number))).unwrap();
            let newest = |of: u8| given.iter().filter(|(from, _)| *from == of).map(|(_, sent)| *sent).max();
            let oldest: Option<Vec<u64>> = needed.iter().map(|of| newest(*of)).collect();
            let expected = oldest.and_then(|sent| sent.into_iter().min()).map(|sent| {
                Instant::from_millis(sent) + Profile::DEFAULT.reliance()
            });
            prop_assert_eq!(promises.until(&others, &Profile::DEFAULT), expected);
        }
    }
}
