//! What threads share a table through: the machine's atomics and locks, or loom's while it explores
//! what they can see of each other.

#[cfg(not(loom))]
use std::sync as shared;

#[cfg(loom)]
use loom::sync as shared;

pub(super) use shared::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
pub(super) use shared::atomic::{AtomicU32, AtomicU64, fence};

use super::NoMemory;

/// What one thread at a time may use. No reader of the table ever waits for one.
#[allow(
    clippy::disallowed_types,
    reason = "any number of workers add to the table; a shard's lists are one thread's at a time"
)]
pub(super) struct Lock<T>(shared::Mutex<T>);

/// The right to use it.
#[allow(clippy::disallowed_types, reason = "as above")]
pub(super) type Guard<'a, T> = shared::MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(super) fn new(guarded: T) -> Self {
        #[allow(clippy::disallowed_types, reason = "as above")]
        Self(shared::Mutex::new(guarded))
    }

    /// Waits for whoever uses it. A thread that died while it did has left a list as it was between
    /// two changes at worst; the table goes on.
    pub(super) fn lock(&self) -> Guard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// `len` zeros in memory that the operating system gives when it is first touched.
#[cfg(not(loom))]
pub(super) fn zeroed<T: bytemuck::Zeroable>(len: usize) -> Result<Box<[T]>, NoMemory> {
    let octets = len.saturating_mul(size_of::<T>());
    bytemuck::try_zeroed_slice_box(len).map_err(|()| NoMemory {
        octets: u64::try_from(octets).unwrap_or(u64::MAX),
    })
}

/// `len` zeros.
#[cfg(loom)]
pub(super) fn zeroed<T: Default>(len: usize) -> Result<Box<[T]>, NoMemory> {
    Ok((0..len).map(|_| T::default()).collect())
}
