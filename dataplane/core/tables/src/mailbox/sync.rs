//! What the two sides share: the machine's atomics, or loom's while it explores what they can see of
//! each other.

#[cfg(not(loom))]
use std::sync as shared;

#[cfg(loom)]
use loom::sync as shared;

pub(super) use shared::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
pub(super) use shared::atomic::{AtomicBool, AtomicU64, fence};

/// The place of one message. Its lock is always free: the counters say whose turn it is.
#[allow(
    clippy::disallowed_types,
    reason = "a cell that passes from thread to thread, without unsafe code; nobody ever waits for it"
)]
pub(super) struct Cell<T>(shared::Mutex<Option<T>>);

impl<T> Cell<T> {
    pub(super) fn new() -> Self {
        #[allow(clippy::disallowed_types, reason = "as above")]
        Self(shared::Mutex::new(None))
    }

    pub(super) fn put(&self, message: T) {
        if let Ok(mut place) = self.0.try_lock() {
            *place = Some(message);
        } else {
            debug_assert!(false, "it is not the sender's turn");
        }
    }

    pub(super) fn take(&self) -> Option<T> {
        let place = self.0.try_lock();
        debug_assert!(place.is_ok(), "it is not the receiver's turn");
        place.ok()?.take()
    }
}
