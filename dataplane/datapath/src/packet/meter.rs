//! A rate limit in one word: the virtual time up to which the allowance is used (the generic cell rate
//! algorithm). It needs no refilling and no second word.

use core::sync::atomic::{AtomicU64, Ordering};

use lns_tables::time::Instant;

/// So many per second, with a burst.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// Nanoseconds that one costs.
    cost: u64,
    /// Nanoseconds that the virtual time may be ahead.
    ahead: u64,
}

impl Meter {
    /// `per_second` in the long run, `burst` at once.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        #[allow(
            clippy::as_conversions,
            clippy::cast_lossless,
            reason = "u64::from is not const; widening loses nothing"
        )]
        let (per_second, burst) = (per_second as u64, burst as u64);
        let cost = match 1_000_000_000_u64.checked_div(per_second) {
            Some(cost) => cost,
            None => u64::MAX,
        };
        let ahead = match cost.checked_mul(burst) {
            Some(ahead) => ahead,
            None => 0,
        };
        Self { cost, ahead }
    }

    /// Whether one more is allowed at `now`; if so, it is accounted in `state`, which begins at 0. Two
    /// threads that ask at the same moment may both be allowed the same one.
    pub fn allows(&self, state: &AtomicU64, now: Instant) -> bool {
        let now = now.as_nanos();
        let used = state
            .load(Ordering::Relaxed)
            .max(now)
            .saturating_add(self.cost);
        let allowed = used.saturating_sub(now) <= self.ahead;
        if allowed {
            state.store(used, Ordering::Relaxed);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let meter = Meter::new(100, 20);
        let state = AtomicU64::new(0);
        let allowed = |millis: u64| {
            (0..50)
                .filter(|_| meter.allows(&state, Instant::from_millis(millis)))
                .count()
        };
        assert_eq!(allowed(5), 20);
        assert_eq!(allowed(5), 0);
        assert_eq!(allowed(14), 0);
        assert_eq!(allowed(15), 1);
        assert_eq!(allowed(65), 5);
        assert_eq!(allowed(100_000), 20);
    }

    #[test]
    fn none_per_second_allows_none() {
        assert!(!Meter::new(0, 5).allows(&AtomicU64::new(0), Instant::from_millis(5)));
    }
}
