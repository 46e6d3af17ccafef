//! The node's time: nanoseconds on a clock that only the caller reads.
//!
//! The core never asks what time it is. The process passes `CLOCK_BOOTTIME` (it counts through a
//! suspend, as a LAC's patience does), a test or the simulator passes whatever it likes.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A century in nanoseconds: what a record tells of may be older than the machine's clock.
const CENTURY: u64 = 36_525 * 24 * 3_600 * 1_000_000_000;

/// A point in time, in nanoseconds since an origin that the caller chose, or before it. Good for a century
/// before it, and for 484 years after.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The origin of the caller's clock.
    pub const ZERO: Self = Self(CENTURY);

    /// The instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos.saturating_add(CENTURY))
    }

    /// The instant `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the origin; zero before it.
    pub const fn as_nanos(self) -> u64 {
        self.0.saturating_sub(CENTURY)
    }

    /// Whole milliseconds since the origin; zero before it.
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }

    /// Whole seconds since the origin; zero before it.
    pub const fn as_secs(self) -> u64 {
        self.as_nanos() / 1_000_000_000
    }

    /// So long before this. The clock may have begun after that: what another node saw began before a machine
    /// was started that goes on with it.
    #[must_use]
    pub fn ago(self, before: Duration) -> Self {
        let before = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(before))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time: a timer that far out never fires, and nothing wraps.
    fn add(self, after: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = Self::add(*self, after);
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self < Self::ZERO {
            return write!(f, "-{:?}", Self::ZERO.since(*self));
        }
        write!(f, "{:?}", Duration::from_nanos(self.as_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        let late = Instant::from_nanos(u64::MAX);
        assert_eq!(Instant::add(late, Duration::from_secs(1)), late);
        assert_eq!(Instant::ZERO.since(late), Duration::ZERO);
        assert_eq!(Instant::from_millis(1500).as_secs(), 1);
    }

    #[test]
    fn what_began_before_the_machine_did_is_as_old_as_it_is() {
        let hour = Duration::from_secs(3_600);
        let now = Instant::from_millis(9_000);
        let began = now.ago(hour);
        assert_eq!(now.since(began), hour);
        assert_eq!((began.as_nanos(), Instant::default()), (0, Instant::ZERO));
        assert_eq!(format!("{began:?} {now:?}"), "-3591s 9s");
        assert_eq!(now.ago(Duration::MAX).since(now), Duration::ZERO);
    }
}
