//! What an operator chooses, in one word that every worker reads and the control writes.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::policy::LaterFragments;

/// What becomes of a packet whose flow should be opened when there is no room for it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum WhenFull {
    /// It is dropped.
    #[default]
    Deny,
    /// It goes on, and nothing is remembered: what comes back is judged by policy.
    Stateless,
}

/// What becomes of an ICMP error about a packet of an open flow.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum IcmpErrors {
    /// It goes on: the sender learns what became of its packet. The flow lives no longer by it.
    #[default]
    Pass,
    /// Policy judges it, as any other packet.
    Judge,
}

/// What is to be done where there is a choice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Options {
    /// How many flows a port may have.
    pub per_port: u32,
    /// No room.
    pub when_full: WhenFull,
    /// ICMP errors.
    pub icmp_errors: IcmpErrors,
    /// Fragments without ports.
    pub later_fragments: LaterFragments,
}

impl Options {
    /// Flows of a port where nothing is said: a household with some devices has a tenth of that at
    /// once, and ten thousand such ports fill no table that a node has.
    pub const PER_PORT: u32 = 400;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            per_port: Self::PER_PORT,
            when_full: WhenFull::default(),
            icmp_errors: IcmpErrors::default(),
            later_fragments: LaterFragments::default(),
        }
    }
}

/// [`Options`] that threads share.
#[derive(Debug)]
pub(super) struct Shared(AtomicU64);

const STATELESS: u64 = 1 << 32;
const JUDGE: u64 = 1 << 33;
const IGNORE: u64 = 1 << 34;

impl Shared {
    pub(super) const fn new(options: Options) -> Self {
        Self(AtomicU64::new(word(options)))
    }

    pub(super) fn set(&self, options: Options) {
        self.0.store(word(options), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Options {
        let word = self.0.load(Ordering::Relaxed);
        let [_, _, _, _, a, b, c, d] = word.to_be_bytes();
        let is_set = |flag| word & flag != 0;
        Options {
            per_port: u32::from_be_bytes([a, b, c, d]),
            when_full: if is_set(STATELESS) {
                WhenFull::Stateless
            } else {
                WhenFull::Deny
            },
            icmp_errors: if is_set(JUDGE) {
                IcmpErrors::Judge
            } else {
                IcmpErrors::Pass
            },
            later_fragments: if is_set(IGNORE) {
                LaterFragments::Ignore
            } else {
                LaterFragments::Match
            },
        }
    }
}

const fn word(options: Options) -> u64 {
    let [a, b, c, d] = options.per_port.to_be_bytes();
    let mut word = u64::from_be_bytes([0, 0, 0, 0, a, b, c, d]);
    if matches!(options.when_full, WhenFull::Stateless) {
        word |= STATELESS;
    }
    if matches!(options.icmp_errors, IcmpErrors::Judge) {
        word |= JUDGE;
    }
    if matches!(options.later_fragments, LaterFragments::Ignore) {
        word |= IGNORE;
    }
    word
}
