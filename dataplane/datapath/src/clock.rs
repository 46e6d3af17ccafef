//! The one clock of the process: `CLOCK_BOOTTIME`, which counts through a suspend.

use lns_tables::time::Instant;

/// The time since the machine was started.
///
/// # Cost
/// No system call on common machines (vDSO), yet a worker calls it once per batch only.
pub fn now() -> Instant {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec that the call fills; the clock id is a constant
    // that Linux knows since 2.6.39, so the call cannot fail, and if it did the time would stay 0.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_and_never_goes_back() {
        let first = now();
        std::thread::sleep(core::time::Duration::from_millis(2));
        let second = now();
        assert!(second.since(first) >= core::time::Duration::from_millis(2));
        assert!(first.as_nanos() > 0);
    }
}
