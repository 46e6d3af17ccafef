//! How long to wait before the next attempt to connect.

use core::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(50);

/// Attempts that have failed one after another.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// The pause after another failure: twice the one before, `patience` at most, less up to the half of it, so
    /// that nodes that have lost a server together do not come back together.
    pub(crate) fn next(&mut self, patience: Duration) -> Duration {
        // Without randomness they do; it is a courtesy, not a promise.
        self.pause(patience, getrandom::u32().unwrap_or(0))
    }

    /// The connection was a good one.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    fn pause(&mut self, patience: Duration, random: u32) -> Duration {
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.failed).unwrap_or(u32::MAX));
        self.failed = self.failed.saturating_add(1).min(16);
        let whole = doubled.min(patience);
        let half = whole.checked_div(2).unwrap_or(whole);
        let share = f64::from(random) / f64::from(u32::MAX);
        half.saturating_add(half.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_from_node_to_node() {
        let patience = Duration::from_secs(2);
        let pauses = |random| {
            let mut backoff = Backoff::default();
            [(); 40].map(|()| backoff.pause(patience, random).as_millis())
        };
        assert_eq!(
            pauses(u32::MAX)[..8],
            [50, 100, 200, 400, 800, 1600, 2000, 2000]
        );
        assert_eq!(pauses(0)[..8], [25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pauses(u32::MAX)[39], 2000);
    }

    #[test]
    fn after_a_good_connection_the_first_pause_is_short_again() {
        let patience = Duration::from_secs(2);
        let mut backoff = Backoff::default();
        let first = backoff.pause(patience, 0);
        assert!(backoff.pause(patience, 0) > first);
        backoff.reset();
        assert_eq!(backoff.pause(patience, 0), first);
    }
}
