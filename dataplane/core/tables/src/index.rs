//! The session page index: from our tunnel and session id to a slot, and where those ids come from.
//!
//! A tunnel has 64 pages; an index block of 1024 entries is allocated when a page is first needed
//! and points into the dense slot array (ids: RFC 2661, 3.1, 4.4.3). Any number of workers read the
//! [`PageIndex`] without a lock; the control alone changes it through its [`IndexWriter`], which
//! draws the ids, keeps freed ones out of use for a while and recycles blocks.
//!
//! Not here: what a slot holds, and the peer's ids.

mod atomic;
mod places;
mod quarantine;
mod scale;
#[cfg(test)]
mod tests;
mod writer;

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::time::Duration;
use std::sync::Arc;

use lns_wire::id::{SessionId, TunnelId};

use self::atomic::{AtomicU32, zeroed};
use self::scale::{PAGES, PLACES, TUNNELS};
pub use self::writer::{IndexCounts, IndexWriter};
use crate::path::SlotIndex;
use crate::rest::Rest;

/// How much an index may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexLimits {
    /// Tunnels at once.
    pub tunnels: u16,
    /// Sessions at once, over all tunnels. As many ids again may rest.
    pub sessions: u32,
    /// How long an id rests before it can be drawn again.
    pub quarantine: Rest,
}

impl Default for IndexLimits {
    /// Every tunnel id, a million sessions, and the 31 s that a peer goes on retransmitting for when
    /// nobody answers (RFC 2661, 5.8: 1 + 2 + 4 + 8 + 8 + 8 s): until then it may still mean the
    /// former holder of an id.
    fn default() -> Self {
        Self {
            tunnels: u16::MAX,
            sessions: 1_000_000,
            quarantine: Rest::of(Duration::from_secs(31)),
        }
    }
}

/// What workers look sessions up in.
///
/// Memory is reserved for the limits and touched as it is used: an idle index costs next to
/// nothing, a tunnel with sessions one block of 4 KiB and a row of 256 octets, and 65,535 tunnels
/// with one session each about 285 MB.
pub struct PageIndex {
    /// Tunnel x page: the number of its block plus one, or 0.
    directory: Box<[AtomicU32]>,
    /// Block x place: the slot plus one, or 0.
    entries: Box<[AtomicU32]>,
}

impl PageIndex {
    /// An empty index, and the one handle that can change it.
    #[allow(
        clippy::new_ret_no_self,
        reason = "the index is only ever shared, so it comes in its Arc"
    )]
    pub fn new(limits: IndexLimits) -> (IndexWriter, Arc<Self>) {
        let index = Arc::new(Self {
            directory: zeroed(TUNNELS.saturating_mul(PAGES)),
            entries: zeroed(scale::blocks(limits).saturating_mul(PLACES)),
        });
        (IndexWriter::new(limits, Arc::clone(&index)), index)
    }

    /// The slot of a session, if it has one.
    ///
    /// The answer may be stale: while the control closes a session or tunnel and gives its block to
    /// another, a reader between the two loads can get either's slot. That is harmless as long as
    /// the caller compares the ids in the slot with those it asked for, which it must anyway since
    /// the slot may have changed hands after this call returned.
    ///
    /// # Cost
    /// Two loads, no lock, no loop.
    pub fn lookup(&self, tunnel: TunnelId, session: SessionId) -> Option<SlotIndex> {
        let block = self.block(tunnel, scale::page_of(session))?;
        let slot = self.entry(block, scale::place_of(session))?.load(Acquire);
        slot.checked_sub(1).map(SlotIndex)
    }

    /// The block of a page, if the page is open.
    fn block(&self, tunnel: TunnelId, page: usize) -> Option<u32> {
        self.page(tunnel, page)?.load(Acquire).checked_sub(1)
    }

    /// Makes `block` the block of a page. Whatever was written into the block before is visible to
    /// a reader that finds it this way.
    fn link(&self, tunnel: TunnelId, page: usize, block: u32) {
        if let Some(entry) = self.page(tunnel, page) {
            entry.store(block.saturating_add(1), Release);
        }
    }

    fn unlink(&self, tunnel: TunnelId, page: usize) {
        if let Some(entry) = self.page(tunnel, page) {
            entry.store(0, Release);
        }
    }

    /// Makes a place lead to `slot`, or nowhere. What the writer did before is visible to a reader
    /// that finds the slot here.
    fn set(&self, block: u32, place: usize, slot: Option<SlotIndex>) {
        if let Some(entry) = self.entry(block, place) {
            entry.store(slot.map_or(0, |slot| slot.0.saturating_add(1)), Release);
        }
    }

    /// Empties a block that no page leads to any more.
    fn clear(&self, block: u32) {
        for place in 0..PLACES {
            if let Some(entry) = self.entry(block, place) {
                entry.store(0, Relaxed);
            }
        }
    }

    fn page(&self, tunnel: TunnelId, page: usize) -> Option<&AtomicU32> {
        self.directory.get(
            usize::from(tunnel.0)
                .saturating_mul(PAGES)
                .saturating_add(page),
        )
    }

    fn entry(&self, block: u32, place: usize) -> Option<&AtomicU32> {
        let block = usize::try_from(block).ok()?;
        self.entries
            .get(block.saturating_mul(PLACES).saturating_add(place))
    }
}

impl fmt::Debug for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageIndex").finish_non_exhaustive()
    }
}
