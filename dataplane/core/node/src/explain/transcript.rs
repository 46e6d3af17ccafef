//! The last messages and steps of every tunnel and call, in one bounded log.
//!
//! Each entry points to the one before it of the same tunnel or call, so that what belongs together
//! is found without a search and costs a tunnel or call eight octets. The oldest entries make room
//! for new ones, whoever they belong to.

use core::net::Ipv4Addr;
use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_tables::time::Instant;

use crate::limits;

/// One thing that was said or done.
#[derive(Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
    before: Option<Position>,
}

/// What was said or done.
#[derive(Debug)]
pub enum What {
    /// A message came.
    Received {
        /// The datagram.
        octets: Octets,
        /// What became of it: `ok`, `duplicate`, `early`, or the label of the error for which it was
        /// dropped.
        result: &'static str,
    },
    /// A message was sent.
    Sent {
        /// The datagram.
        octets: Octets,
    },
    /// The machine took a step.
    Step(Step),
}

/// What the machine did, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// A machine went into another state.
    State {
        /// `tunnel`, `call`, `LCP`, `IPCP`, `phase`.
        machine: &'static str,
        /// From which.
        from: &'static str,
        /// Into which.
        to: &'static str,
    },
    /// Somebody's claim to be somebody was judged.
    Login {
        /// `CHAP`, `MSCHAPv2`, `PAP`, `None`.
        method: &'static str,
        /// `accepted`, or why not.
        verdict: &'static str,
    },
    /// RADIUS was asked whether it is true.
    Asked,
    /// And this came of it.
    Answered(Arc<RadiusAnswer>),
    /// The session was bound to policies.
    Policies {
        /// Which, in order.
        names: Box<[Arc<str>]>,
        /// `filter_id`, `default`: how it has come to them.
        by: &'static str,
        /// The Filter-Id that names no policy, for which it has the default ones.
        unknown: Option<Arc<str>>,
    },
    /// An address was found.
    Address {
        /// Which.
        address: Ipv4Addr,
        /// `pool`, `user`, `RADIUS`, `peer`: who chose it.
        source: &'static str,
    },
    /// No address was found.
    NoAddress {
        /// Why.
        reason: &'static str,
    },
    /// The LAC is told of the end of a call.
    Told {
        /// With which message.
        message: &'static str,
        /// The reason in it.
        result: &'static str,
    },
    /// A tunnel or call was refused, or has ended.
    Ended {
        /// Why.
        reason: &'static str,
    },
}

/// What RADIUS has said of a login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RadiusAnswer {
    /// The server that has answered, or was asked last.
    pub server: Option<Arc<str>>,
    /// `accepted`, `rejected`, `challenge`, `malformed_reply`, or why there is no answer: the label of a
    /// [`Failure`](lns_radius::request::Failure).
    pub result: &'static str,
    /// From the last send to the answer.
    pub rtt: Option<Duration>,
    /// Datagrams that it took.
    pub sends: u16,
    /// The Reply-Message, or what is wrong with the answer; what cannot be shown in it is replaced.
    pub message: Option<Box<str>>,
}

impl RadiusAnswer {
    /// Octets that it takes.
    fn cost(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |text| text.len());
        message.saturating_add(size_of::<Self>())
    }
}

/// A datagram with every password and secret masked. Hidden AVPs that the node can read are shown as
/// it reads them. A data message has the ids and the frame of the one that was on the line, under a
/// header without Length, Ns and Offset: those are the workers' affair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Octets {
    /// The datagram, from the L2TP header on; at most [`limits::KEPT_OF_DATAGRAM`] octets.
    pub octets: Box<[u8]>,
    /// How long it was.
    pub len: usize,
}

impl Octets {
    /// As much of a masked datagram as is kept.
    pub(crate) fn cut(masked: &[u8]) -> Self {
        Self {
            octets: masked
                .get(..limits::KEPT_OF_DATAGRAM)
                .unwrap_or(masked)
                .into(),
            len: masked.len(),
        }
    }
}

impl Entry {
    /// An entry of nobody's chain.
    pub(crate) const fn alone(at: Instant, what: What) -> Self {
        Self {
            at,
            what,
            before: None,
        }
    }

    /// Octets that it takes.
    pub(crate) fn cost(&self) -> usize {
        let octets = match &self.what {
            What::Received { octets, .. } | What::Sent { octets } => octets.octets.len(),
            What::Step(Step::Policies { names, unknown, .. }) => {
                let texts = names.iter().chain(unknown);
                let each = |text: &Arc<str>| text.len().saturating_add(size_of::<Arc<str>>());
                texts.map(each).fold(0, usize::saturating_add)
            }
            What::Step(Step::Answered(answer)) => answer.cost(),
            What::Step(_) => 0,
        };
        octets.saturating_add(size_of::<Self>())
    }
}

/// Where an entry is in the log. It stays good when the entry is forgotten: it leads to nothing then.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Position(NonZeroU64);

/// The log.
#[derive(Debug)]
pub(crate) struct Transcript {
    entries: VecDeque<Arc<Entry>>,
    /// The position of the first of `entries`.
    first: NonZeroU64,
    octets: usize,
}

impl Default for Transcript {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            first: NonZeroU64::MIN,
            octets: 0,
        }
    }
}

impl Transcript {
    /// Appends an entry to the log and to the chain whose last entry is at `chain`.
    pub(crate) fn push(
        &mut self,
        chain: &mut Option<Position>,
        at: Instant,
        what: What,
    ) -> Arc<Entry> {
        let before = chain.take();
        let entry = Arc::new(Entry { at, what, before });
        let behind = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        *chain = Some(Position(self.first.saturating_add(behind)));
        self.octets = self.octets.saturating_add(entry.cost());
        self.entries.push_back(Arc::clone(&entry));
        self.forget();
        entry
    }

    fn forget(&mut self) {
        while self.octets > limits::TRANSCRIPT_OCTETS {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.octets = self.octets.saturating_sub(oldest.cost());
            self.first = self.first.saturating_add(1);
        }
    }

    /// The last entries of a chain, oldest first: at most `most` of them, as far as they are still
    /// there. Whether there were more.
    pub(crate) fn last(&self, chain: Option<Position>, most: usize) -> (Vec<Arc<Entry>>, bool) {
        let mut found = VecDeque::new();
        let mut next = chain;
        while let Some(entry) = next.and_then(|position| self.at(position)) {
            if found.len() == most {
                break;
            }
            next = entry.before;
            found.push_front(Arc::clone(entry));
        }
        (found.into(), next.is_some())
    }

    fn at(&self, position: Position) -> Option<&Arc<Entry>> {
        let ahead = position.0.get().checked_sub(self.first.get())?;
        self.entries.get(usize::try_from(ahead).ok()?)
    }

    /// Octets that the log takes.
    #[cfg(test)]
    pub(crate) const fn octets(&self) -> usize {
        self.octets
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(octets: usize) -> What {
        What::Sent {
            octets: Octets::cut(&vec![7; octets]),
        }
    }

    #[test]
    fn the_last_messages_of_a_call_are_found_in_their_order_among_those_of_others() {
        let mut log = Transcript::default();
        let mut chains = [None; 3];
        for (at, which) in (0_u64..300).zip((0..3).cycle()) {
            let chain = &mut chains[which];
            log.push(chain, Instant::from_millis(at), sent(10));
        }
        for (which, chain) in (0_u64..).zip(chains) {
            let (last, more) = log.last(chain, 32);
            let times: Vec<_> = last.iter().map(|entry| entry.at.as_millis()).collect();
            let expected: Vec<_> = (68..100).map(|n| n * 3 + which).collect();
            assert_eq!((times, more), (expected, true));
        }
        assert_eq!(log.last(chains[0], 1_000).0.len(), 100);
        assert!(!log.last(chains[0], 1_000).1);
        assert!(log.last(None, 32).0.is_empty());
    }

    #[test]
    fn the_log_never_takes_more_than_its_limit_and_forgets_the_oldest_first() {
        let mut log = Transcript::default();
        let (mut old, mut flood) = (None, None);
        log.push(&mut old, Instant::ZERO, sent(100));
        let mut most = 0;
        for at in 0..200_000 {
            log.push(&mut flood, Instant::from_millis(at), sent(512));
            most = most.max(log.octets());
        }
        assert!(most <= limits::TRANSCRIPT_OCTETS, "{most}");
        assert_eq!(log.last(old, 32).0.len(), 0);
        assert!(log.last(old, 32).1, "it is known that there was something");
        let (last, more) = log.last(flood, 32);
        assert_eq!((last.len(), more), (32, true));
        assert_eq!(last[31].at, Instant::from_millis(199_999));
    }

    #[test]
    fn a_long_datagram_is_cut_and_its_length_is_kept() {
        let octets = Octets::cut(&[1; 5_000]);
        assert_eq!(octets.octets.len(), limits::KEPT_OF_DATAGRAM);
        assert_eq!(octets.len, 5_000);
    }

    proptest! {
        #[test]
        fn a_chain_is_what_a_list_of_its_own_would_be(steps in prop::collection::vec(0..5_usize, 0..200)) {
            let mut log = Transcript::default();
            let mut chains = [None; 5];
            let mut lists = [const { Vec::new() }; 5];
            for (at, which) in (0_u64..).zip(steps) {
                let at = Instant::from_millis(at);
                log.push(&mut chains[which], at, sent(1));
                lists[which].push(at);
            }
            for (chain, list) in chains.into_iter().zip(lists) {
                let (found, _) = log.last(chain, usize::MAX);
                prop_assert_eq!(found.iter().map(|entry| entry.at).collect::<Vec<_>>(), list);
            }
        }
    }
}
