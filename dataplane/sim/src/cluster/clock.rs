//! The clock of one machine: it counts through pauses and restarts of processes, begins anew with each boot, and
//! runs a little too fast or too slow.

use core::time::Duration;

use lns_tables::time::Instant;

/// Parts of a rate.
const WHOLE: i64 = 1_000_000;

/// A clock, and how it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The world's time at the boot.
    since: Instant,
    /// What it showed then.
    began: Instant,
    /// Parts of [`WHOLE`] in which it goes while the world goes on by one.
    rate: u128,
}

impl Clock {
    /// A clock of a machine that boots at `since` and then shows `began`. It is `drift` millionths too fast.
    pub(super) fn new(drift: i32, since: Instant, began: Instant) -> Self {
        let rate = (WHOLE + i64::from(drift)).unsigned_abs();
        Self {
            since,
            began,
            rate: rate.into(),
        }
    }

    /// What it shows.
    pub(super) fn local(&self, world: Instant) -> Instant {
        let gone = world.since(self.since).as_nanos() * self.rate;
        self.began + nanos(gone / u128::from(WHOLE.unsigned_abs()))
    }

    /// The world's time from which on it shows `local`, or more.
    pub(super) fn world(&self, local: Instant) -> Instant {
        let gone = local.since(self.began).as_nanos() * u128::from(WHOLE.unsigned_abs());
        self.since + nanos(gone.div_ceil(self.rate))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_from_the_moment_that_it_names_for_it() {
        for drift in [-4_900, -1, 0, 1, 4_900] {
            let clock = Clock::new(drift, Instant::from_millis(5_000), Instant::from_millis(70));
            for millis in [70, 71, 1_000, 1_234_567] {
                let local = Instant::from_millis(millis);
                let world = clock.world(local);
                assert!(clock.local(world) >= local);
                assert!(clock.local(world.ago(Duration::from_nanos(2))) <= local);
            }
        }
    }
}
