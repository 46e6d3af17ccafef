//! Until when this process may say what only a master says (spec: cluster, 7.1): the second fence, before the one
//! in the kernel. Whatever would leave in the cluster's name looks at it; what may not leave waits, and is
//! dropped when the node steps down.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use lns_tables::time::Instant;

/// A handle on it. All clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp(Arc<AtomicU64>);

impl Stamp {
    /// It may until then; `None`: it may not.
    pub(crate) fn set(&self, until: Option<Instant>) {
        let nanos = until.map_or(0, Instant::as_nanos);
        self.0.store(nanos, Ordering::Release);
    }

    /// Whether it may.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        now.as_nanos() < self.0.load(Ordering::Acquire)
    }

    /// For how much longer it may.
    pub(crate) fn left(&self, now: Instant) -> core::time::Duration {
        Instant::from_nanos(self.0.load(Ordering::Acquire)).since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_valid_until_its_end_and_not_at_it() {
        let stamp = Stamp::default();
        let at = Instant::from_millis;
        assert!(!stamp.is_valid(at(0)));
        stamp.set(Some(at(5)));
        assert!(stamp.clone().is_valid(at(4)));
        assert!(!stamp.is_valid(at(5)));
        stamp.set(None);
        assert!(!stamp.is_valid(at(4)));
    }
}
