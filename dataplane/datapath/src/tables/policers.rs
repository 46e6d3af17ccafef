//! The policers of sessions that have a rate: one token bucket per direction ([`lns_tables::bucket`]).
//!
//! They are a pool, so that a session without rates has none. The control gives them out and takes them
//! back; a worker finds a session's by the number in its slot. A pace may change under a worker's hands:
//! a packet that is judged by half of each is judged by something between them.
//!
//! What a policer does to TCP: the sum of some connections, and one alone over a line with a delay of
//! some milliseconds, keep within 1 % of the rate with a burst of 200 ms. One alone over a line without
//! any delay gets some per cent less, because it then says nothing for the 200 ms or more of Linux's
//! least retransmission timeout, in which the bucket overflows; a burst above 250 ms makes up for it. A
//! burst of 50 ms costs half of the rate there.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use lns_l2sess::policy::Rates;
use lns_tables::bucket::Pace;
use lns_tables::time::Instant;

use crate::limits::PACKET;
use crate::memory::{NoMemory, Zeroable, Zeroed};

/// A place in the pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolicerId(u32);

impl PolicerId {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// As it is written into a slot: 0 is none.
    pub(super) const fn to_word(policer: Option<Self>) -> u32 {
        match policer {
            Some(Self(number)) => number.saturating_add(1),
            None => 0,
        }
    }

    /// See [`PolicerId::to_word`].
    pub(super) fn from_word(word: u32) -> Option<Self> {
        word.checked_sub(1).map(Self)
    }
}

/// The pool.
#[derive(Debug)]
pub(super) struct Policers(Zeroed<Policer>);

impl Policers {
    /// For so many sessions. Memory is touched when one is first used.
    pub(super) fn new(capacity: usize) -> Result<Self, NoMemory> {
        Zeroed::new(capacity).map(Self)
    }

    pub(super) fn get(&self, policer: PolicerId) -> Option<&Policer> {
        usize::try_from(policer.0)
            .ok()
            .and_then(|at| self.0.get(at))
    }
}

/// One session's rates: a cache line per direction, since other workers use the other one.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Policer {
    pub(crate) up: Meter,
    pub(crate) down: Meter,
}

/// One direction of a [`Policer`].
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Meter {
    cost: AtomicU64,
    ahead: AtomicU64,
    used: AtomicU64,
    /// As it was given; only the control reads it. So it does what follows.
    bits_per_second: AtomicU64,
    burst_milliseconds: AtomicU64,
    /// When the policer was last given back, nanoseconds.
    pub(crate) released: AtomicU64,
}

// SAFETY: it consists of atomic integers only, for which zero is a value.
unsafe impl Zeroable for Policer {}

const _: () = assert!(size_of::<Policer>() == 128);

impl Policer {
    /// Begins anew with these rates and full buckets. For the control only, while no session has it and
    /// no worker is in a batch that began before it was given back.
    pub(crate) fn begin(&self, rates: Rates, now: Instant) {
        for meter in [&self.up, &self.down] {
            meter.used.store(0, Ordering::Relaxed);
        }
        self.set(rates, now);
    }

    /// Changes the rates. What has been used stays used. For the control only.
    pub(crate) fn set(&self, rates: Rates, now: Instant) {
        for (meter, bits_per_second) in [(&self.up, rates.up), (&self.down, rates.down)] {
            meter.set(bits_per_second, rates.burst_milliseconds, now);
        }
    }

    /// The rates that were given last.
    pub(crate) fn rates(&self) -> Rates {
        let burst = self.up.burst_milliseconds.load(Ordering::Relaxed);
        Rates {
            up: self.up.bits_per_second.load(Ordering::Relaxed),
            down: self.down.bits_per_second.load(Ordering::Relaxed),
            burst_milliseconds: u32::try_from(burst).unwrap_or(u32::MAX),
        }
    }

    /// When it was last given back, for the control.
    pub(crate) const fn released(&self) -> &AtomicU64 {
        &self.up.released
    }
}

impl Meter {
    /// Whether a packet of so many octets may pass now. It has used its share then.
    pub(crate) fn allows(&self, octets: usize, now: Instant) -> bool {
        let words = [&self.cost, &self.ahead].map(|word| word.load(Ordering::Relaxed));
        Pace::from_words(words).allows(&self.used, octets, now)
    }

    fn set(&self, bits_per_second: u64, burst_milliseconds: u32, now: Instant) {
        let burst = Duration::from_millis(burst_milliseconds.into());
        let pace = Pace::new(
            bits_per_second,
            burst,
            u16::try_from(PACKET).unwrap_or(u16::MAX),
        );
        for (word, value) in [&self.cost, &self.ahead].into_iter().zip(pace.words()) {
            word.store(value, Ordering::Relaxed);
        }
        pace.take_over(&self.used, now);
        self.bits_per_second
            .store(bits_per_second, Ordering::Relaxed);
        self.burst_milliseconds
            .store(burst_milliseconds.into(), Ordering::Relaxed);
    }
}

/// Whether there is anything to police.
pub(crate) const fn is_limited(rates: &Rates) -> bool {
    rates.up != 0 || rates.down != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);

    fn octets(meter: &Meter, tries: usize) -> usize {
        (0..tries)
            .filter(|_| meter.allows(1_000, NOW))
            .count()
            .saturating_mul(1_000)
    }

    #[test]
    fn each_direction_has_its_own_rate_and_none_is_no_limit() {
        let pool = Policers::new(1).unwrap();
        let policer = pool.get(PolicerId::new(0)).unwrap();
        let rates = |up, down| Rates {
            up,
            down,
            burst_milliseconds: 100,
        };
        policer.begin(rates(800_000, 8_000_000), NOW);
        assert_eq!(policer.rates(), rates(800_000, 8_000_000));
        assert_eq!(
            (octets(&policer.up, 500), octets(&policer.down, 500)),
            (10_000, 100_000)
        );
        policer.set(rates(0, 80_000_000), NOW);
        assert_eq!(
            (octets(&policer.up, 500), octets(&policer.down, 500)),
            (500_000, 0)
        );
        policer.begin(rates(8_000_000, 0), NOW);
        assert_eq!(
            (octets(&policer.up, 500), octets(&policer.down, 500)),
            (100_000, 500_000)
        );
        assert!(pool.get(PolicerId::new(1)).is_none());
    }

    #[test]
    fn a_word_of_zero_is_no_policer() {
        for policer in [None, Some(PolicerId(0)), Some(PolicerId(77))] {
            assert_eq!(PolicerId::from_word(PolicerId::to_word(policer)), policer);
        }
        assert_eq!(PolicerId::to_word(None), 0);
    }
}
