//! What control and workers share.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::ThreadCounters;
use crate::tables::{AddressTable, Tables};

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

/// The address table that is in force. Workers look at the number once per batch and take the table
/// only when it has changed.
#[derive(Debug)]
pub(crate) struct Published {
    number: AtomicU64,
    table: Mutex<Arc<AddressTable>>,
}

impl Published {
    pub(crate) fn new(table: AddressTable) -> Self {
        Self {
            number: AtomicU64::new(0),
            table: Mutex::new(Arc::new(table)),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(crate) fn current(&self) -> Arc<AddressTable> {
        Arc::clone(&self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish(&self, table: Arc<AddressTable>) {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
        self.number.fetch_add(1, Ordering::Release);
    }
}

/// What control and workers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) tables: Arc<Tables>,
    pub(crate) published: Arc<Published>,
    pub(crate) stages: Arc<[Stage]>,
    pub(crate) worker_counters: Arc<[ThreadCounters]>,
    pub(crate) control_counters: Arc<ThreadCounters>,
}
