//! The changes of a shard's flows that a follower has not fetched yet.

use std::collections::VecDeque;

use super::scale::NEWS;
use super::{Delta, NoMemory};

/// A bounded queue of deltas, there only while somebody follows.
#[derive(Default)]
pub(super) struct Ring {
    news: Option<VecDeque<Delta>>,
    lost: u64,
}

impl Ring {
    /// Begins, with an empty queue, or ends.
    pub(super) fn follow(&mut self, on: bool) -> Result<(), NoMemory> {
        *self = Self::default();
        if !on {
            return Ok(());
        }
        let mut news = VecDeque::new();
        news.try_reserve_exact(NEWS).map_err(|_| NoMemory {
            octets: u64::try_from(NEWS.saturating_mul(size_of::<Delta>())).unwrap_or(u64::MAX),
        })?;
        self.news = Some(news);
        Ok(())
    }

    /// Adds one, or counts it as lost.
    pub(super) fn push(&mut self, delta: impl FnOnce() -> Delta) {
        let Some(news) = &mut self.news else { return };
        if news.len() < NEWS {
            news.push_back(delta());
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Moves up to `most` of them to `out`, oldest first; returns how many were lost since the last
    /// time.
    pub(super) fn drain(&mut self, out: &mut Vec<Delta>, most: usize) -> u64 {
        if let Some(news) = &mut self.news {
            out.extend(news.drain(..most.min(news.len())));
        }
        core::mem::take(&mut self.lost)
    }
}
