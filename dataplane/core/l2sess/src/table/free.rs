//! The records that no flow has: a stack without a lock above those that were never used.

use super::records::{NOBODY, Records, pair, split};
use super::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed};

/// All free records of a table. The last one given back is the first one taken again: it is still in
/// the cache, and what was never needed stays untouched.
pub(super) struct Free {
    entries: u32,
    /// How often the stack has changed 32, its top 32: who takes the top knows that it is still the
    /// same stack.
    stack: AtomicU64,
    /// Records above this one have never been used.
    used: AtomicU32,
    /// How many are out.
    taken: AtomicU32,
}

impl Free {
    pub(super) fn new(entries: u32) -> Self {
        Self {
            entries,
            stack: AtomicU64::default(),
            used: AtomicU32::default(),
            taken: AtomicU32::default(),
        }
    }

    pub(super) const fn entries(&self) -> u32 {
        self.entries
    }

    /// The last record that was ever used.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Acquire)
    }

    /// How many are out.
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// Takes one; `None` if all are out.
    pub(super) fn take(&self, records: &Records) -> Option<u32> {
        let record = self.pop(records).or_else(|| self.fresh())?;
        self.taken.fetch_add(1, Relaxed);
        Some(record)
    }

    /// Gives one back, which has left all lists and its bucket.
    pub(super) fn give(&self, record: u32, records: &Records) {
        self.taken.fetch_sub(1, Relaxed);
        let mut stack = self.stack.load(Relaxed);
        loop {
            let (changes, top) = split(stack);
            records.set_next_free(record, top);
            let pushed = pair(changes.wrapping_add(1), record);
            match self
                .stack
                .compare_exchange_weak(stack, pushed, AcqRel, Relaxed)
            {
                Ok(_) => return,
                Err(other) => stack = other,
            }
        }
    }

    fn pop(&self, records: &Records) -> Option<u32> {
        let mut stack = self.stack.load(Acquire);
        loop {
            let (changes, top) = split(stack);
            if top == NOBODY {
                return None;
            }
            let popped = pair(changes.wrapping_add(1), records.next_free(top));
            match self
                .stack
                .compare_exchange_weak(stack, popped, AcqRel, Acquire)
            {
                Ok(_) => return Some(top),
                Err(other) => stack = other,
            }
        }
    }

    fn fresh(&self) -> Option<u32> {
        let next = |used: u32| (used < self.entries).then(|| used.saturating_add(1));
        let before = self.used.fetch_update(AcqRel, Relaxed, next).ok()?;
        next(before)
    }
}
