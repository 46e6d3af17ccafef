//! The slow background visit of a table: the back-stop for whatever a timer or a dirty list missed.
//!
//! Nothing depends on it. It finds entries that should have been dealt with long ago, and each find
//! is a defect to be counted.

use core::ops::Range;
use core::time::Duration;

use crate::time::Instant;

/// How long one round takes, in nanoseconds: a 64th of the table per second.
const ROUND: u128 = SECOND * 64;
const SECOND: u128 = Duration::from_secs(1).as_nanos();

/// Where the visit of a table has come to.
#[derive(Debug)]
pub struct Sweep {
    cursor: u32,
    last: Instant,
    /// Entries owed for the time until `last`, in parts of [`ROUND`].
    owed: u128,
}

impl Sweep {
    /// A sweep that begins its first round now.
    pub const fn new(now: Instant) -> Self {
        Self {
            cursor: 0,
            last: now,
            owed: 0,
        }
    }

    /// The entries of a table of `len` to visit now, perhaps none.
    ///
    /// Called at least once a second, it goes through the whole table in 64 s, however often it is
    /// called and however the table grows. After a longer silence it falls behind rather than make
    /// up for it: no call visits more than a 64th of the table.
    pub fn range(&mut self, now: Instant, len: u32) -> Range<u32> {
        let elapsed = now.since(self.last).as_nanos().min(SECOND);
        self.last = self.last.max(now);
        if self.cursor >= len {
            self.cursor = 0;
        }
        let owed = self
            .owed
            .saturating_add(elapsed.saturating_mul(u128::from(len)));
        let due = u32::try_from(owed.wrapping_div(ROUND)).unwrap_or(u32::MAX);
        let most = len.div_ceil(64);
        let start = self.cursor;
        let end = start.saturating_add(due.min(most)).min(len);
        let visited = u128::from(end.saturating_sub(start)).saturating_mul(ROUND);
        self.owed = owed
            .saturating_sub(visited)
            .min(ROUND.saturating_mul(u128::from(most)));
        self.cursor = end;
        start..end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_call_a_second_visits_the_table_in_a_round() {
        let mut sweep = Sweep::new(Instant::ZERO);
        let mut visits = vec![0; 6400];
        for second in 1..=64 {
            let range = sweep.range(Instant::from_millis(second * 1000), 6400);
            assert_eq!(range.len(), 100);
            for entry in range {
                visits[usize::try_from(entry).unwrap()] += 1;
            }
        }
        assert!(visits.iter().all(|count| *count == 1));
    }

    #[test]
    fn a_jump_of_years_does_not_visit_the_whole_table() {
        let mut sweep = Sweep::new(Instant::ZERO);
        assert_eq!(sweep.range(Instant::from_millis(u64::MAX), 640), 0..10);
        assert_eq!(sweep.range(Instant::ZERO, 640), 10..10);
        assert_eq!(sweep.range(Instant::ZERO, 0), 0..0);
    }

    proptest! {
        #[test]
        fn any_rhythm_visits_every_entry_in_a_round(len in 1_u32..3000, step in 1_u64..1000) {
            let mut sweep = Sweep::new(Instant::ZERO);
            let mut missing: std::collections::BTreeSet<u32> = (0..len).collect();
            for millis in (step..=66_000).step_by(usize::try_from(step).unwrap()) {
                for entry in sweep.range(Instant::from_millis(millis), len) {
                    prop_assert!(entry < len);
                    missing.remove(&entry);
                }
            }
            prop_assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
