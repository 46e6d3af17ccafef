//! The clock of an election, `CLOCK_BOOTTIME`: it goes on while the machine sleeps, as the API server's and
//! the other nodes' do. `std`'s does not.
//!
//! Timers of the runtime stand still in a sleep, so the driver wakes late after one. That costs nobody
//! anything: an [`Authority`](lns_cluster::Authority) carries its end on this clock.

use lns_tables::time::Instant;
use rustix::time::{ClockId, clock_gettime};

/// The time since the machine was started.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_since_the_machine_was_started() {
        let before = now();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = now();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let hundredths = |time: Instant| time.as_millis() / 10;
        let told = format!("{:.0}", seconds * 100.0).parse::<u64>().unwrap();
        assert!((hundredths(before)..=hundredths(after)).contains(&told));
    }
}
