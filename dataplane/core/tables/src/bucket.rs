//! A token bucket in one word: how fast a subscriber may be, octet by octet.
//!
//! It is the generic cell rate algorithm over octets: the word is the time up to which what has passed
//! is paid for. It needs no refilling, is changed by compare-exchange (any number of threads share one
//! bucket exactly), and does not depend on the pace, which may change at any time beside it.
//!
//! What is refused costs nothing and waits for nothing: this is a policer, not a queue.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::time::Instant;

/// So fast in the long run, and so much at once after silence.
///
/// Costs are exact to 1 in 10^8 between 1 bit/s and 400 Gbit/s. Each packet's is rounded to a 32nd of a
/// nanosecond, up or down in proportion to what is left over, so that the errors of many packets cancel
/// each other out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// What an octet costs, units of time with [`FRACTION`] more bits; 0: nothing, there is no limit.
    cost: u64,
    /// How far the word may be ahead of the time, units.
    ahead: u64,
}

/// Units of the word in a nanosecond: after 18 years without a start of the machine the word is at its
/// end, and no limit holds any more.
const UNITS: u64 = 32;

/// Bits behind the point in the cost of an octet. With these, 1 bit/s still fits.
const FRACTION: u32 = 24;

impl Pace {
    /// No limit.
    pub const NONE: Self = Self { cost: 0, ahead: 0 };

    /// `bits_per_second` in the long run (0: no limit), and what comes in `burst` at that pace at once;
    /// but never less than a packet of `largest` octets, which would wait for ever otherwise.
    pub fn new(bits_per_second: u64, burst: Duration, largest: u16) -> Self {
        const OCTET: u64 = (8 * 1_000_000_000 * UNITS) << FRACTION;
        let Some(cost) = OCTET.checked_div(bits_per_second) else {
            return Self::NONE;
        };
        // What is faster than anything costs the least that something can cost.
        let cost = cost.max(1);
        let burst = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX);
        let one = u128::from(cost).saturating_mul(u128::from(largest)) >> FRACTION;
        let one = u64::try_from(one).unwrap_or(u64::MAX).saturating_add(1);
        Self {
            cost,
            ahead: burst.saturating_mul(UNITS).max(one),
        }
    }

    /// The pace as it is stored.
    pub const fn words(self) -> [u64; 2] {
        [self.cost, self.ahead]
    }

    /// The pace of those words. Zeros are [`Pace::NONE`]. A mix of two paces is a pace.
    pub const fn from_words([cost, ahead]: [u64; 2]) -> Self {
        Self { cost, ahead }
    }

    /// Whether a packet of so many octets may pass at `now`; if so it is paid for in `used`, which begins
    /// at 0.
    ///
    /// # Cost
    /// No division. Threads that ask at the same moment try again until each had its turn.
    pub fn allows(self, used: &AtomicU64, octets: usize, now: Instant) -> bool {
        if self.cost == 0 {
            return true;
        }
        used.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            self.pay(used, octets, now)
        })
        .is_ok()
    }

    /// After a change to this pace: what was paid for by the one before stays paid, but nobody waits
    /// longer than the new burst makes up for.
    pub fn take_over(self, used: &AtomicU64, now: Instant) {
        let most = units(now).saturating_add(self.ahead);
        used.fetch_min(most, Ordering::Relaxed);
    }

    /// The word after the packet, or `None` if it may not pass.
    fn pay(self, used: u64, octets: usize, now: Instant) -> Option<u64> {
        let now = units(now);
        let from = used.max(now);
        let used = from.saturating_add(self.price(octets, from));
        (used.saturating_sub(now) <= self.ahead).then_some(used)
    }

    /// What the packet costs, units. `from` decides whether it is rounded up.
    fn price(self, octets: usize, from: u64) -> u64 {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let exact = u128::from(self.cost).saturating_mul(u128::from(octets));
        let drawn = mix(from) >> (u64::BITS - FRACTION);
        let rounded = exact.saturating_add(u128::from(drawn)) >> FRACTION;
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }
}

/// Another number for each, as good as drawn: one product alone would go on in steps, and the choice
/// between two steps would not be even.
const fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ number >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

const fn units(now: Instant) -> u64 {
    now.as_nanos().saturating_mul(UNITS)
}

#[cfg(test)]
mod tests;
