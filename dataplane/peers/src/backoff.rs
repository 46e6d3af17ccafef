//! How long to wait before a peer is tried again.

use core::time::Duration;

use lns_crypto::Rng;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::config::Timing;

/// The waits between attempts: each twice the one before, up to a longest one, and each off by up to a
/// quarter, so that members which have lost a peer together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    rng: Rng,
}

impl Backoff {
    pub(crate) const fn new(timing: &Timing, rng: Rng) -> Self {
        Self {
            next: timing.first_wait,
            rng,
        }
    }

    /// How long to wait now.
    pub(crate) fn wait(&mut self, timing: &Timing) -> Duration {
        let wait = self.next.min(timing.longest_wait);
        self.next = wait.saturating_mul(2).min(timing.longest_wait);
        // Between 768 and 1,279 thousandths and a bit of it.
        let share = u32::from(self.rng.u16() % 512).saturating_add(768);
        wait.saturating_mul(share).checked_div(1024).unwrap_or(wait)
    }

    /// The peer was reached.
    pub(crate) const fn reset(&mut self, timing: &Timing) {
        self.next = timing.first_wait;
    }
}

/// A source of chance for waits, and for numbers that only should not be the same twice.
pub(crate) fn chance() -> Rng {
    let mut seed = [0; 32];
    // Without chance, members come back together; that is all.
    let _equal = SystemRandom::new().fill(&mut seed);
    Rng::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_off_by_a_quarter_at_most() {
        let timing = Timing::default();
        for seed in 0..20 {
            let mut backoff = Backoff::new(&timing, Rng::from_seed([seed; 32]));
            let wanted = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
            for millis in wanted.map(Duration::from_millis) {
                let wait = backoff.wait(&timing);
                assert!(wait >= millis * 3 / 4 && wait <= millis * 5 / 4, "{wait:?}");
            }
            backoff.reset(&timing);
            assert!(backoff.wait(&timing) <= timing.first_wait * 5 / 4);
        }
    }

    #[test]
    fn members_that_lost_a_peer_together_come_back_apart() {
        let timing = Timing::default();
        let first = |seed| Backoff::new(&timing, Rng::from_seed([seed; 32])).wait(&timing);
        let mut waits: Vec<_> = (0..20).map(first).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 10);
    }
}
