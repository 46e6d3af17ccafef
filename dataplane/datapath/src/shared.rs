//! What control and workers share.

use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lns_l2sess::Classifier;
use lns_l2sess::policy::Policies;

use crate::handing::SharedHome;
use crate::stats::ThreadCounters;
use crate::tables::{AddressTable, Tables};

/// What control and workers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) tables: Arc<Tables>,
    pub(crate) addresses: Arc<Published<AddressTable>>,
    pub(crate) policies: Arc<Published<Policies>>,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) home: Arc<SharedHome>,
    pub(crate) stages: Arc<[Stage]>,
    pub(crate) worker_counters: Arc<[ThreadCounters]>,
    pub(crate) control_counters: Arc<ThreadCounters>,
}

/// Whether a worker is in a batch (odd) or waits (even), and in which: read by the control, written by
/// its worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Stage(AtomicU64);

impl Stage {
    /// Between two of these the worker may hold what it read from the tables. The order is sequential,
    /// so that a worker whose stage the control still saw even after it had emptied a slot sees the
    /// slot empty.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    pub(crate) fn load(&self) -> u64 {
        core::sync::atomic::fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst)
    }
}

/// Something whole that is in force until another is: the address table, the policies. Workers look at
/// the number once per batch and take what is new only when it has changed.
#[derive(Debug)]
pub(crate) struct Published<T> {
    number: AtomicU64,
    current: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    pub(crate) fn new(first: Arc<T>) -> Self {
        Self {
            number: AtomicU64::new(0),
            current: Mutex::new(first),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `next` in force and returns what was.
    pub(crate) fn publish(&self, next: Arc<T>) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let last = core::mem::replace(&mut *current, next);
        self.number.fetch_add(1, Ordering::Release);
        last
    }
}

/// What a worker has taken of something [`Published`].
#[derive(Debug)]
pub(crate) struct Taken<T> {
    number: u64,
    current: Arc<T>,
}

impl<T> Taken<T> {
    pub(crate) fn of(published: &Published<T>) -> Self {
        // In this order: what is published between the two is taken once more.
        let number = published.number();
        Self {
            number,
            current: published.current(),
        }
    }

    /// Takes what is in force by now.
    pub(crate) fn refresh(&mut self, published: &Published<T>) {
        if published.number() != self.number {
            *self = Self::of(published);
        }
    }
}

impl<T> Deref for Taken<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_taken_with_the_next_look_and_what_was_comes_back() {
        let published = Published::new(Arc::new(1));
        let mut taken = Taken::of(&published);
        let first = published.publish(Arc::new(2));
        assert_eq!((*taken, *first, *published.current()), (1, 1, 2));
        taken.refresh(&published);
        assert_eq!((*taken, Arc::strong_count(&first)), (2, 1));
        let same = Arc::as_ptr(&taken.current);
        taken.refresh(&published);
        assert_eq!(Arc::as_ptr(&taken.current), same);
    }
}
