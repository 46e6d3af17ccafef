//! Which IPv4 addresses of a pool are free, held by a subscriber, or resting after one.
//!
//! The link to a subscriber is point-to-point and its route a host route (RFC 1332, 3.3), so the
//! first and the last address of a prefix are ordinary ones: there is no network or broadcast to
//! keep them for. Who wants them unused excludes them. 0.0.0.0 and 255.255.255.255 are never used:
//! the one asks for an address (RFC 1332, 3.3), the other is no host (RFC 919, 7).
//!
//! Not here: whose an address is, and the addresses that RADIUS may not give, such as our own.

mod leases;
mod plan;
#[cfg(test)]
mod tests;

use core::net::Ipv4Addr;
use core::time::Duration;

use ipnet::Ipv4Net;

use self::leases::{Leases, State};
use self::plan::Plan;
use crate::rest::Rest;
use crate::time::Instant;

/// The prefixes a pool may have, and the exclusions: a lookup takes ten steps at most.
pub const MAX_PREFIXES: usize = 1024;

/// What a pool gives out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PoolConfig {
    /// Where addresses come from; while none was used before, from the first of them first.
    pub prefixes: Vec<PoolPrefix>,
    /// Addresses of the prefixes that are not given out.
    pub excluded: Vec<Ipv4Net>,
    /// How long an address rests after one subscriber before another can have it.
    pub reuse_delay: Duration,
}

/// A prefix of a pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolPrefix {
    /// All its addresses, first and last included.
    pub net: Ipv4Net,
    /// Whether addresses are given out of it.
    pub allocation: Allocation,
}

/// Whether addresses are given out of a prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Allocation {
    /// They are.
    Enabled,
    /// Who has one keeps it, nobody gets another: the prefix drains.
    Disabled,
}

/// Why a pool cannot be as it is asked for. All are the configuration's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PoolError {
    /// Two prefixes have addresses in common.
    Overlap(Ipv4Net, Ipv4Net),
    /// More than [`MAX_PREFIXES`] prefixes.
    TooManyPrefixes,
    /// More than [`MAX_PREFIXES`] exclusions.
    TooManyExclusions,
}

impl PoolError {
    /// A name for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Overlap(..) => "overlap",
            Self::TooManyPrefixes => "too_many_prefixes",
            Self::TooManyExclusions => "too_many_exclusions",
        }
    }
}

impl core::fmt::Display for PoolError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Overlap(one, other) => write!(f, "{one} and {other} have addresses in common"),
            Self::TooManyPrefixes => write!(f, "more than {MAX_PREFIXES} prefixes"),
            Self::TooManyExclusions => write!(f, "more than {MAX_PREFIXES} exclusions"),
        }
    }
}

impl core::error::Error for PoolError {}

/// Addresses by state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PoolCounts {
    /// Could be given out now.
    pub free: u64,
    /// Held by subscribers, wherever they lie.
    pub used: u64,
    /// Were held, and have not rested for the delay yet.
    pub resting: u64,
    /// In a prefix, but not to be given out.
    pub excluded: u64,
}

/// [`PoolCounts`] of one prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrefixCounts {
    /// Which one.
    pub prefix: PoolPrefix,
    /// Its addresses. None of a disabled prefix is free.
    pub counts: PoolCounts,
}

/// The addresses of a pool, and of whoever holds one that is in no prefix.
///
/// Addresses never given out before come first, in order: so each rests as long as possible, and
/// memory is touched where addresses are in use. Then come those released, longest ago first.
///
/// # Cost
/// Every call but [`reconfigure`](Self::reconfigure) is O(1), apart from a binary search over the
/// prefixes and one over the exclusions. [`allocate`](Self::allocate) steps over addresses that were
/// claimed before their turn, each once. Memory: 6 KiB for each 256 neighbours of which one is used
/// or rests, so 24 octets for an address of a dense pool; an unused /8 costs next to nothing.
#[derive(Debug)]
pub struct AddressPool {
    plan: Plan,
    leases: Leases,
    rest: Rest,
}

impl AddressPool {
    /// A pool with every address free.
    pub fn new(config: &PoolConfig) -> Result<Self, PoolError> {
        let plan = Plan::new(config)?;
        Ok(Self {
            plan,
            leases: Leases::new(),
            rest: Rest::of(config.reuse_delay),
        })
    }

    /// Changes prefixes, exclusions and the delay. Used addresses stay used, even outside of the
    /// prefixes, where they vanish when they are released; resting ones go on resting. After an
    /// error the pool is as before.
    ///
    /// # Cost
    /// One step for each address that is used or resting.
    pub fn reconfigure(&mut self, config: &PoolConfig, now: Instant) -> Result<(), PoolError> {
        self.plan = Plan::new(config)?;
        self.rest.set_own(config.reuse_delay);
        self.leases.unsettle();
        let mut gone = Vec::new();
        let (plan, rest) = (&mut self.plan, self.rest);
        self.leases.for_each(|address, state| match state {
            State::Resting { since, .. }
                if !plan.is_usable(address) && rest.is_over(since, now) =>
            {
                gone.push(address);
            }
            State::Free | State::Held | State::Resting { .. } => {
                plan.note(address, State::Free, state);
            }
        });
        for address in gone {
            self.leases.set(address, State::Free);
        }
        self.plan.settle(&self.leases);
        Ok(())
    }

    /// An address that was given back rests for `unheard`, unless everybody has [heard](Self::handle_heard) of it
    /// before.
    #[must_use]
    pub fn with_unheard(self, unheard: Duration) -> Self {
        let rest = self.rest.with_unheard(unheard);
        Self { rest, ..self }
    }

    /// Everybody knows which addresses were given back before that moment.
    pub fn handle_heard(&mut self, before: Instant) {
        self.rest.handle_heard(before);
    }

    /// Takes an address for a subscriber that wants any. `None` if all are used or resting.
    pub fn allocate(&mut self, now: Instant) -> Option<Ipv4Addr> {
        if let Some(address) = self.plan.next_untouched(&self.leases) {
            self.change(address, State::Held);
            return Some(Ipv4Addr::from(address));
        }
        while let Some((address, since)) = self.leases.longest_resting() {
            if !self.rest.is_over(since, now) {
                return None;
            }
            if self.plan.is_allocatable(address) {
                self.change(address, State::Held);
                return Some(Ipv4Addr::from(address));
            }
            self.change(address, State::Free);
        }
        None
    }

    /// Takes the address that a subscriber asked for, if [`allocate`](Self::allocate) could give it.
    pub fn request(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        let address = u32::from(address);
        let is_rested = match self.leases.state(address) {
            State::Free => true,
            State::Held => false,
            State::Resting { since, .. } => self.rest.is_over(since, now),
        };
        let granted = is_rested && self.plan.is_allocatable(address);
        if granted {
            self.change(address, State::Held);
        }
        granted
    }

    /// Takes an address on the word of somebody who knows whose it is: RADIUS, a local user's entry,
    /// a restored session. It may be excluded, in a disabled prefix or in none, and need not have
    /// rested, for the rest only keeps one subscriber's traffic from the next. `false` if it is
    /// held, or no host's address.
    pub fn claim(&mut self, address: Ipv4Addr) -> bool {
        let is_host = !(address.is_unspecified()
            || address.is_broadcast()
            || address.is_multicast()
            || address.is_loopback());
        let granted = is_host && self.leases.state(u32::from(address)) != State::Held;
        if granted {
            self.change(u32::from(address), State::Held);
        }
        granted
    }

    /// Gives an address back. It rests, unless the pool would not give it out anyway. `false` if
    /// nobody held it.
    pub fn release(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        let address = u32::from(address);
        let was_held = self.leases.state(address) == State::Held;
        if was_held {
            let rests = self.plan.is_usable(address);
            self.change(
                address,
                if rests {
                    State::Resting {
                        since: now,
                        over: false,
                    }
                } else {
                    State::Free
                },
            );
        }
        was_held
    }

    /// Whether a subscriber holds the address.
    pub fn is_held(&self, address: Ipv4Addr) -> bool {
        self.leases.state(u32::from(address)) == State::Held
    }

    /// Whether the address lies in a prefix of the pool, excluded or not.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.plan.contains(u32::from(address))
    }

    /// Looks at `limit` addresses more that may have rested long enough, and says whether that was all.
    /// They are counted as free then. Nothing else changes: whether one is given out is decided when it
    /// is wanted.
    pub fn settle(&mut self, now: Instant, limit: usize) -> bool {
        for _ in 0..limit {
            match self.leases.unsettled() {
                Some((address, since)) if self.rest.is_over(since, now) => {
                    if let Some((from, to)) = self.leases.settle() {
                        self.plan.note(address, from, to);
                    }
                }
                Some(_) | None => return true,
            }
        }
        false
    }

    /// Addresses by state, as of the last [`settle`](Self::settle).
    ///
    /// # Cost
    /// One step for each prefix.
    pub fn counts(&self) -> PoolCounts {
        let mut counts = PoolCounts {
            used: self.leases.held(),
            resting: self.leases.resting(),
            ..PoolCounts::default()
        };
        for PrefixCounts { counts: prefix, .. } in self.prefixes() {
            counts.free = counts.free.saturating_add(prefix.free);
            counts.excluded = counts.excluded.saturating_add(prefix.excluded);
        }
        counts
    }

    /// The same for each prefix, lowest address first: a disabled one may be taken away without
    /// anybody's notice when nothing in it is used.
    pub fn prefixes(&self) -> impl Iterator<Item = PrefixCounts> {
        self.plan.prefixes().iter().map(plan::Prefix::counts)
    }

    fn change(&mut self, address: u32, to: State) {
        let from = self.leases.set(address, to);
        self.plan.note(address, from, to);
    }
}
