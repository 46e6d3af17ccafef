//! A token bucket: so many per second, with one second's worth of burst.

use lns_tables::time::Instant;

const SECOND: u64 = 1_000_000_000;

/// A bucket that is full at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// What is left, in nanoseconds of accrual: at most one second.
    credit: u64,
    /// When `credit` was last brought up to date.
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) const fn full(now: Instant) -> Self {
        Self {
            credit: SECOND,
            at: now,
        }
    }

    /// Takes one token, if `per_second` has left one.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let Some(cost) = SECOND.checked_div(u64::from(per_second)) else {
            return false;
        };
        let passed = now.as_nanos().saturating_sub(self.at.as_nanos());
        self.credit = self.credit.saturating_add(passed).min(SECOND);
        self.at = now;
        let Some(rest) = self.credit.checked_sub(cost) else {
            return false;
        };
        self.credit = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn a_burst_of_one_second_passes_and_then_the_rate() {
        let start = Instant::ZERO;
        let mut bucket = Bucket::full(start);
        let burst = (0..100).filter(|_| bucket.take(10, start)).count();
        assert_eq!(burst, 10);
        let later = (1..=3000).filter(|ms| bucket.take(10, start + Duration::from_millis(*ms)));
        assert_eq!(later.count(), 30);
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_pass() {
        assert!(!Bucket::full(Instant::ZERO).take(0, Instant::from_millis(9_000)));
    }
}
