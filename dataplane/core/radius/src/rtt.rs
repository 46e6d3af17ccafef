//! How long answers take: a histogram of fixed size, four buckets to each doubling of a microsecond.

use core::fmt;
use core::time::Duration;

use crate::view::RttView;

/// Four for each bit of a duration in microseconds up to half an hour; beyond, the last one.
const BUCKETS: usize = 4 * 31;

/// A histogram of durations.
#[derive(Clone)]
pub(crate) struct Rtt {
    buckets: [u64; BUCKETS],
    count: u64,
    max: Duration,
}

impl Rtt {
    pub(crate) const fn new() -> Self {
        Self {
            buckets: [0; BUCKETS],
            count: 0,
            max: Duration::ZERO,
        }
    }

    pub(crate) fn add(&mut self, took: Duration) {
        if let Some(bucket) = self.buckets.get_mut(place(took)) {
            *bucket = bucket.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.max = self.max.max(took);
    }

    pub(crate) fn view(&self) -> RttView {
        RttView {
            count: self.count,
            median: self.quantile(50),
            p90: self.quantile(90),
            p99: self.quantile(99),
            max: (self.count > 0).then_some(self.max),
        }
    }

    /// The upper end of the bucket in which that part of them ends, or the longest if that is less.
    fn quantile(&self, percent: u64) -> Option<Duration> {
        let wanted = self.count.saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        for (at, bucket) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*bucket);
            if seen >= wanted && *bucket > 0 {
                return Some(end(at).min(self.max));
            }
        }
        None
    }
}

fn place(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let octave = micros.ilog2();
    // The two bits below the highest one.
    let quarter = micros
        .wrapping_shl(2)
        .wrapping_shr(octave)
        .wrapping_sub(4)
        .min(3);
    let octave = usize::try_from(octave).unwrap_or_default();
    let quarter = usize::try_from(quarter).unwrap_or_default();
    octave
        .saturating_mul(4)
        .saturating_add(quarter)
        .min(BUCKETS.saturating_sub(1))
}

/// Where a bucket ends.
fn end(at: usize) -> Duration {
    let octave = u32::try_from(at / 4).unwrap_or_default();
    let quarters = u64::try_from(at % 4).unwrap_or_default().saturating_add(5);
    Duration::from_micros(quarters.wrapping_shl(octave) / 4)
}

impl fmt::Debug for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Rtt::new().view(), RttView::default());
    }

    #[test]
    fn what_takes_days_is_in_the_last_bucket_and_its_longest_is_told() {
        let mut rtt = Rtt::new();
        rtt.add(Duration::from_hours(50));
        assert_eq!(rtt.view().max, Some(Duration::from_hours(50)));
        assert!(rtt.view().median.is_some());
    }

    proptest! {
        #[test]
        fn a_quantile_is_exact_to_a_quarter(mut all in prop::collection::vec(8_u64..1_000_000_000, 1..200)) {
            let mut rtt = Rtt::new();
            for micros in &all {
                rtt.add(Duration::from_micros(*micros));
            }
            all.sort_unstable();
            for percent in [50_usize, 90, 99] {
                let rank = all.len().saturating_mul(percent).div_ceil(100);
                let exact = all[rank.saturating_sub(1)];
                let told = rtt.quantile(u64::try_from(percent).unwrap()).unwrap();
                let told = u64::try_from(told.as_micros()).unwrap();
                let most = exact.saturating_add(exact.div_ceil(4)).saturating_add(1);
                prop_assert!((exact..=most).contains(&told), "{told} for {exact}");
            }
        }
    }
}
