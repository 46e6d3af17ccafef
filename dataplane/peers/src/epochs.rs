//! The highest epoch that this member knows of: set by its owner, looked at by everything that refuses
//! what is older (spec: F4).

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use lns_cluster::Epoch;
use tokio::sync::watch;

/// A handle on it. All clones are one.
#[derive(Clone, Debug)]
pub struct Epochs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    known: AtomicU64,
    /// Tells connections, which tell their peers.
    news: watch::Sender<()>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self(Arc::new(Shared {
            known: AtomicU64::new(Epoch::NONE.number()),
            news: watch::Sender::new(()),
        }))
    }
}

impl Epochs {
    /// One that knows this epoch.
    pub fn new(known: Epoch) -> Self {
        let epochs = Self::default();
        epochs.raise(known);
        epochs
    }

    /// The highest epoch that is known.
    pub fn known(&self) -> Epoch {
        Epoch::new(self.0.known.load(Ordering::Acquire)).unwrap_or(Epoch::LAST)
    }

    /// There is this epoch. Whatever was made under an older one is refused from here on, by every
    /// thread that looks; peers are told. A lower one than is known changes nothing.
    pub fn raise(&self, epoch: Epoch) {
        let before = self.0.known.fetch_max(epoch.number(), Ordering::AcqRel);
        if before < epoch.number() {
            self.0.news.send_replace(());
        }
    }

    /// Waits for raises.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.0.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_epoch_stays() {
        let epochs = Epochs::new(Epoch::new(7).unwrap());
        let other = epochs.clone();
        let mut news = epochs.watch();
        other.raise(Epoch::new(6).unwrap());
        assert!(!news.has_changed().unwrap());
        assert_eq!(epochs.known(), Epoch::new(7).unwrap());
        other.raise(Epoch::new(9).unwrap());
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        assert_eq!(epochs.known(), Epoch::new(9).unwrap());
    }
}
