//! The one hand that changes a [`PageIndex`]: draws ids, gives them back, recycles blocks.

mod kept;
mod tunnels;

use std::sync::Arc;

use lns_wire::id::{SessionId, TunnelId};

use self::tunnels::{Tunnel, TunnelIds};
use super::places::{Places, bit, count, nth_set};
use super::quarantine::Quarantine;
use super::scale::{self, PAGES, PLACES, TUNNELS};
use super::{IndexLimits, PageIndex};
use crate::chunks::Chunks;
use crate::free::FreeList;
use crate::path::SlotIndex;
use crate::time::Instant;

/// Rested ids that one call at most puts back, so that no call pays for a long silence. More than
/// one, so that they are put back faster than they come.
const RESTED_PER_CALL: usize = 32;

/// Changes a [`PageIndex`]. There is one per index; it draws every tunnel and session id.
///
/// Ids come from `random`, which must give uniform `u32`s nobody can foresee: nothing but the ids
/// and the source address protects a session's data from a stranger (RFC 2661, 9.2).
///
/// # Cost
/// Every call is O(1): at most 64 pages or groups of ids are looked at, and 32 ids end their rest.
/// An index at its limit goes on ending rests until one helps; each is paid for by the call that
/// began it. Taking a block that was closed over living sessions empties its 1024 entries.
#[derive(Debug)]
pub struct IndexWriter {
    limits: IndexLimits,
    index: Arc<PageIndex>,
    ids: TunnelIds,
    tunnels: Box<[Tunnel]>,
    free_blocks: FreeList,
    blocks: Chunks<Block>,
    /// Blocks in use beyond the first of each tunnel.
    further: usize,
    sessions: u32,
    /// Tunnel ids that rest without a time: see `kept`.
    kept_tunnels: usize,
    resting_tunnels: Quarantine<TunnelId>,
    resting_sessions: Quarantine<Resting>,
}

/// What an index holds at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct IndexCounts {
    /// Open tunnels.
    pub tunnels: u32,
    /// Tunnel ids in quarantine.
    pub resting_tunnels: u32,
    /// Open sessions.
    pub sessions: u32,
    /// Session ids in quarantine.
    pub resting_sessions: u32,
    /// Index blocks in use, 4 KiB each.
    pub blocks: u32,
}

/// What only the writer knows of an index block.
#[derive(Debug, Default)]
struct Block {
    /// Places that are in use or rest.
    taken: Places,
    /// Places that lead to a slot.
    live: Places,
    /// Its tunnel was closed over living sessions: entries must be emptied before the next use.
    littered: bool,
}

/// A session id in quarantine.
#[derive(Clone, Copy, Debug)]
struct Resting {
    tunnel: TunnelId,
    /// The tunnel's, at that time. Another one means that the id died with its tunnel.
    incarnation: u32,
    session: SessionId,
}

impl IndexWriter {
    pub(super) fn new(limits: IndexLimits, index: Arc<PageIndex>) -> Self {
        let blocks = scale::blocks(limits);
        Self {
            limits,
            index,
            ids: TunnelIds::new(),
            tunnels: (0..TUNNELS).map(|_| Tunnel::default()).collect(),
            free_blocks: FreeList::new(u32::try_from(blocks).unwrap_or(u32::MAX)),
            blocks: Chunks::new(blocks),
            further: 0,
            sessions: 0,
            kept_tunnels: 0,
            resting_tunnels: Quarantine::new(limits.quarantine),
            resting_sessions: Quarantine::new(limits.quarantine),
        }
    }

    /// Draws a tunnel id, each free one with the same chance. `None` if as many tunnels are open as
    /// may be, or every other id is in quarantine.
    pub fn open_tunnel(
        &mut self,
        now: Instant,
        random: &mut impl FnMut() -> u32,
    ) -> Option<TunnelId> {
        self.end_rests(now);
        if self.open_tunnels() >= usize::from(self.limits.tunnels) {
            return None;
        }
        if self.ids.free() == 0 {
            let rested = self.resting_tunnels.pop(now)?;
            self.ids.release(rested);
        }
        let tunnel = self.ids.nth_free(below(self.ids.free(), random))?;
        self.claim_tunnel(tunnel).then_some(tunnel)
    }

    /// Opens a tunnel under an id that it had before, when a node is restored. `false` if the id is
    /// taken or in quarantine, or as many tunnels are open as may be.
    pub fn claim_tunnel(&mut self, tunnel: TunnelId) -> bool {
        if self.open_tunnels() >= usize::from(self.limits.tunnels) || !self.ids.take(tunnel) {
            return false;
        }
        if let Some(state) = self.tunnels.get_mut(usize::from(tunnel.0)) {
            state.open();
        }
        true
    }

    /// Closes a tunnel with all sessions that it still has. Its id rests, and theirs with it.
    /// `false` if there is no such tunnel.
    pub fn close_tunnel(&mut self, tunnel: TunnelId, now: Instant) -> bool {
        self.end_rests(now);
        let closed = self.shut_tunnel(tunnel);
        if closed {
            self.resting_tunnels.push(tunnel, now);
        }
        closed
    }

    /// Closes a tunnel; its id stays taken.
    fn shut_tunnel(&mut self, tunnel: TunnelId) -> bool {
        let Some(state) = self.tunnel_mut(tunnel) else {
            return false;
        };
        let (pages, sessions) = (state.pages, state.sessions);
        state.close();
        for page in (0..PAGES).filter(|page| pages & bit(*page) != 0) {
            self.drop_block(tunnel, page);
        }
        self.further = self.further.saturating_sub(count(pages).saturating_sub(1));
        self.sessions = self.sessions.saturating_sub(sessions);
        true
    }

    /// Closes a tunnel of whose id nobody was told: it can be drawn again at once. `false` if there is no
    /// such tunnel, or it has had sessions.
    pub fn withdraw_tunnel(&mut self, tunnel: TunnelId) -> bool {
        let Some(state) = self.tunnel_mut(tunnel).filter(|state| state.pages == 0) else {
            return false;
        };
        state.close();
        self.ids.release(tunnel);
        true
    }

    /// Draws a session id in the tunnel and makes it lead to `slot`. `None` if there is no such
    /// tunnel, as many sessions are open as may be, the tunnel has no id left that is neither in use
    /// nor in quarantine, or too many ids rest at once.
    pub fn open_session(
        &mut self,
        tunnel: TunnelId,
        slot: SlotIndex,
        now: Instant,
        random: &mut impl FnMut() -> u32,
    ) -> Option<SessionId> {
        self.end_rests(now);
        self.tunnel_mut(tunnel).filter(|_| is_slot(slot))?;
        while !self.has_room() {
            self.end_one_rest(now)?;
        }
        let page = loop {
            match self.choose_page(tunnel, random) {
                Some(page) => break page,
                None => self.end_one_rest(now)?,
            }
        };
        let block = self.index.block(tunnel, page)?;
        let taken = &self.blocks.get(block)?.taken;
        let place = taken.nth_free(below(PLACES.saturating_sub(taken.len()), random))?;
        let session = scale::session_at(page, place)?;
        self.put(tunnel, session, slot).then_some(session)
    }

    /// Opens a session under an id that it had before, when a node is restored. `false` if there is
    /// no such tunnel, the id is taken or in quarantine, or the index is at its limit.
    pub fn claim_session(&mut self, tunnel: TunnelId, session: SessionId, slot: SlotIndex) -> bool {
        let page = scale::page_of(session);
        let Some(state) = self.tunnel_mut(tunnel) else {
            return false;
        };
        let open = state.pages & bit(page) != 0;
        if session.is_none() || page >= PAGES || !is_slot(slot) || !self.has_room() {
            return false;
        }
        (open || self.open_page(tunnel, page)) && self.put(tunnel, session, slot)
    }

    /// Closes a session; its id rests. Says which slot it led to, or `None` if there was no such
    /// session.
    pub fn close_session(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        now: Instant,
    ) -> Option<SlotIndex> {
        self.end_rests(now);
        let slot = self.shut_session(tunnel, session)?;
        self.push_rest(tunnel, session, now);
        Some(slot)
    }

    /// Closes a session; its id stays taken.
    fn shut_session(&mut self, tunnel: TunnelId, session: SessionId) -> Option<SlotIndex> {
        let slot = self.index.lookup(tunnel, session)?;
        let block = self.index.block(tunnel, scale::page_of(session))?;
        let place = scale::place_of(session);
        self.index.set(block, place, None);
        self.blocks.get_mut(block)?.live.remove(place);
        let state = self.tunnel_mut(tunnel)?;
        state.sessions = state.sessions.saturating_sub(1);
        self.sessions = self.sessions.saturating_sub(1);
        Some(slot)
    }

    fn push_rest(&mut self, tunnel: TunnelId, session: SessionId, now: Instant) {
        let Some(state) = self.tunnel_mut(tunnel) else {
            return;
        };
        let resting = Resting {
            tunnel,
            incarnation: state.incarnation,
            session,
        };
        self.resting_sessions.push(resting, now);
    }

    /// The slot of a session, if it has one: the writer's own answer is never stale.
    pub fn lookup(&self, tunnel: TunnelId, session: SessionId) -> Option<SlotIndex> {
        self.index.lookup(tunnel, session)
    }

    /// One session of the tunnel, if it has any: closing it and asking again visits them all.
    pub fn first_session(&self, tunnel: TunnelId) -> Option<(SessionId, SlotIndex)> {
        let pages = self.tunnels.get(usize::from(tunnel.0))?.pages;
        (0..PAGES)
            .filter(|page| pages & bit(*page) != 0)
            .find_map(|page| {
                let place = self
                    .blocks
                    .get(self.index.block(tunnel, page)?)?
                    .live
                    .first()?;
                let session = scale::session_at(page, place)?;
                Some((session, self.lookup(tunnel, session)?))
            })
    }

    /// Whether the tunnel is open.
    pub fn is_open(&self, tunnel: TunnelId) -> bool {
        self.tunnels
            .get(usize::from(tunnel.0))
            .is_some_and(|state| state.is_open)
    }

    /// How many sessions the tunnel has.
    pub fn sessions_of(&self, tunnel: TunnelId) -> u32 {
        self.tunnels
            .get(usize::from(tunnel.0))
            .map_or(0, |state| state.sessions)
    }

    /// What the index holds at the moment.
    pub fn counts(&self) -> IndexCounts {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        IndexCounts {
            tunnels: number(self.open_tunnels()),
            resting_tunnels: number(self.resting_tunnels.len()),
            sessions: self.sessions,
            resting_sessions: number(self.resting_sessions.len()),
            blocks: self.free_blocks.taken(),
        }
    }

    /// The page that the tunnel's next session goes into, opened if need be.
    fn choose_page(&mut self, tunnel: TunnelId, random: &mut impl FnMut() -> u32) -> Option<usize> {
        let state = self.tunnel_mut(tunnel)?;
        let (open, full) = (state.pages, state.full);
        if state.roomy != 0 {
            return Some(nth_set(state.roomy, 0));
        }
        let closed = scale::ALL_PAGES & !open;
        if closed != 0 {
            let page = nth_set(closed, below(count(closed), random));
            if self.open_page(tunnel, page) {
                return Some(page);
            }
        }
        let crowded = open & !full;
        (crowded != 0).then(|| nth_set(crowded, below(count(crowded), random)))
    }

    /// Gives the page a block. `false` if only blocks are left that other tunnels have a right to.
    fn open_page(&mut self, tunnel: TunnelId, page: usize) -> bool {
        let is_first = self
            .tunnels
            .get(usize::from(tunnel.0))
            .is_some_and(|state| state.pages == 0);
        if !is_first && self.further >= scale::further_blocks(self.limits) {
            return false;
        }
        let Some(number) = self.free_blocks.take() else {
            return false;
        };
        let Some(block) = self.blocks.entry(number) else {
            return false;
        };
        if block.littered {
            self.index.clear(number);
        }
        *block = Block::default();
        if page == 0 {
            block.taken.insert(0); // session id 0 is no id (RFC 2661, 3.1)
        }
        let taken = block.taken.len();
        self.further = self.further.saturating_add(usize::from(!is_first));
        self.index.link(tunnel, page, number);
        if let Some(state) = self.tunnel_mut(tunnel) {
            state.pages |= bit(page);
            state.note(page, taken);
        }
        true
    }

    /// Puts a session into its place, which must be on an open page.
    fn put(&mut self, tunnel: TunnelId, session: SessionId, slot: SlotIndex) -> bool {
        let (page, place) = (scale::page_of(session), scale::place_of(session));
        let Some(number) = self.index.block(tunnel, page) else {
            return false;
        };
        let Some(block) = self.blocks.get_mut(number) else {
            return false;
        };
        if !block.taken.insert(place) {
            return false;
        }
        block.live.insert(place);
        let taken = block.taken.len();
        if let Some(state) = self.tunnel_mut(tunnel) {
            state.sessions = state.sessions.saturating_add(1);
            state.note(page, taken);
        }
        self.sessions = self.sessions.saturating_add(1);
        self.index.set(number, place, Some(slot));
        true
    }

    /// Takes the block from a page, which no session has a place on any more or whose tunnel is
    /// being closed.
    fn drop_block(&mut self, tunnel: TunnelId, page: usize) {
        let Some(number) = self.index.block(tunnel, page) else {
            return;
        };
        self.index.unlink(tunnel, page);
        if let Some(block) = self.blocks.get_mut(number) {
            block.littered = block.live.len() > 0;
        }
        self.free_blocks.give(number);
    }

    fn has_room(&self) -> bool {
        let resting = u32::try_from(self.resting_sessions.len()).unwrap_or(u32::MAX);
        let places = self.limits.sessions.saturating_mul(2);
        self.sessions < self.limits.sessions && self.sessions.saturating_add(resting) < places
    }

    fn open_tunnels(&self) -> usize {
        let resting = self.resting_tunnels.len().saturating_add(self.kept_tunnels);
        self.ids.taken().saturating_sub(resting)
    }

    fn tunnel_mut(&mut self, tunnel: TunnelId) -> Option<&mut Tunnel> {
        self.tunnels
            .get_mut(usize::from(tunnel.0))
            .filter(|state| state.is_open)
    }

    fn end_rests(&mut self, now: Instant) {
        for _ in 0..RESTED_PER_CALL {
            let session = self.end_one_rest(now);
            let tunnel = self
                .resting_tunnels
                .pop(now)
                .map(|tunnel| self.ids.release(tunnel));
            if session.or(tunnel).is_none() {
                return;
            }
        }
    }

    /// Makes one rested session id free again; `None` if none has rested long enough.
    fn end_one_rest(&mut self, now: Instant) -> Option<()> {
        let Resting {
            tunnel,
            incarnation,
            session,
        } = self.resting_sessions.pop(now)?;
        let is_same = self
            .tunnel_mut(tunnel)
            .is_some_and(|state| state.incarnation == incarnation);
        if is_same {
            self.put_back(tunnel, session);
        }
        Some(())
    }

    /// Makes a taken id without a session free, and its page with the last of them. `None`: there is no
    /// such page.
    fn put_back(&mut self, tunnel: TunnelId, session: SessionId) -> Option<()> {
        let page = scale::page_of(session);
        let number = self.index.block(tunnel, page)?;
        let block = self.blocks.get_mut(number)?;
        block.taken.remove(scale::place_of(session));
        let taken = block.taken.len();
        let is_empty = taken == usize::from(page == 0);
        if is_empty {
            self.drop_block(tunnel, page);
        }
        let state = self.tunnel_mut(tunnel)?;
        state.note(page, taken);
        if is_empty {
            state.forget(page);
            let had_others = state.pages != 0;
            self.further = self.further.saturating_sub(usize::from(had_others));
        }
        Some(())
    }
}

/// Whether an entry can lead there: it holds the index plus one.
const fn is_slot(slot: SlotIndex) -> bool {
    slot.0 != u32::MAX
}

/// A number below `bound`, each with the same chance but for one in 65,536: `bound` is at most that
/// and `random` gives 32 bits.
fn below(bound: usize, random: &mut impl FnMut() -> u32) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX);
    let scaled = u64::from(random()).saturating_mul(bound).wrapping_shr(32);
    usize::try_from(scaled).unwrap_or_default()
}
