//! The clock that deadlines are on: `CLOCK_BOOTTIME`, which counts through a suspend.

use lns_tables::time::Instant;
use rustix::time::{ClockId, clock_gettime};

/// The time since the machine was started.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
