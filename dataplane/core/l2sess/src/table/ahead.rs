//! Bringing into the cache what packets that have come will look up.
//!
//! A table of a million flows is larger than any cache. One packet after the other waits for its bucket,
//! then for the records of that bucket, one by one. For a batch all buckets are read first, then all
//! records: these loads do not wait for each other. Nothing is decided here and nothing is written: who
//! looks a flow up afterwards finds what [`FlowTable::find`] finds.

use super::FlowTable;
use super::records::NOBODY;
use super::scale::FEW;
use crate::key::FlowKey;

/// Keys that are met at once: more loads than a processor has under way, and few enough that what they
/// bring stays in its nearest cache until it is needed.
const AHEAD: usize = 32;

/// What a key that is met leads to.
#[derive(Clone, Copy, Default)]
struct Met {
    hash: u64,
    /// The word of the key by which most keys differ.
    ends: u64,
    /// The record that is to be read next.
    record: u32,
}

impl FlowTable {
    /// Whether there are so many flows that [`meet`](Self::meet) is worth its while. Cost: one load.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.free.taken() > FEW
    }

    /// Reads what [`find`](Self::find) will read of these keys, the first two records of each bucket at
    /// most: nine flows in ten are there. Returns of how many keys a record has the ports, which is what
    /// it has found of them. Takes no lock, writes nothing.
    #[inline]
    pub fn meet(&self, keys: impl IntoIterator<Item = FlowKey>) -> usize {
        let mut keys = keys.into_iter();
        let mut found = 0_usize;
        loop {
            let mut batch = [Met::default(); AHEAD];
            let mut count = 0_usize;
            for (met, key) in batch.iter_mut().zip(&mut keys) {
                (met.hash, met.ends) = (key.hash(self.seed), key.ends());
                count = count.saturating_add(1);
            }
            match batch.get_mut(..count) {
                Some(batch) if !batch.is_empty() => {
                    found = found.saturating_add(self.meet_batch(batch));
                }
                _ => return found,
            }
        }
    }

    /// Each loop does one thing and no more, so that the processor has many loads under way at once.
    fn meet_batch(&self, batch: &mut [Met]) -> usize {
        for met in &mut *batch {
            met.record = self.buckets.first(met.hash);
        }
        let mut found = 0_usize;
        for met in &mut *batch {
            let (ends, next) = self.records.hot(met.record).glance();
            let is_it = met.record != NOBODY && ends == met.ends;
            found = found.saturating_add(usize::from(is_it));
            met.record = if is_it { NOBODY } else { next };
        }
        let seconds = batch.iter().filter(|met| {
            met.record != NOBODY && self.records.hot(met.record).glance().0 == met.ends
        });
        found.saturating_add(seconds.count())
    }
}
