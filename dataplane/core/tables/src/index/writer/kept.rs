//! Ids that are kept: given back on another node, which knows when they may be given out again. A node
//! that follows it keeps them until it is told, and has them rest from the beginning when it takes over.

use lns_wire::id::{SessionId, TunnelId};

use super::IndexWriter;
use crate::index::scale::{self, PAGES};
use crate::time::Instant;

impl IndexWriter {
    /// Keeps a tunnel's id; if the tunnel is open it is closed, with all sessions that it has. `false` if
    /// the id was kept, or rests.
    pub fn keep_tunnel(&mut self, tunnel: TunnelId) -> bool {
        let kept = self.shut_tunnel(tunnel) || self.ids.take(tunnel);
        self.kept_tunnels = self.kept_tunnels.saturating_add(usize::from(kept));
        kept
    }

    /// Makes a kept id free. Whoever asks knows that it is kept.
    pub fn free_tunnel(&mut self, tunnel: TunnelId) {
        if !self.is_open(tunnel) {
            self.ids.release(tunnel);
            self.kept_tunnels = self.kept_tunnels.saturating_sub(1);
        }
    }

    /// A kept id rests from now on. Whoever asks knows that it is kept.
    pub fn rest_tunnel(&mut self, tunnel: TunnelId, now: Instant) {
        if !self.is_open(tunnel) {
            self.kept_tunnels = self.kept_tunnels.saturating_sub(1);
            self.resting_tunnels.push(tunnel, now);
        }
    }

    /// Keeps a session's id; if there is such a session it is closed. `false` if its tunnel is not open,
    /// or the id was kept, or rests.
    pub fn keep_session(&mut self, tunnel: TunnelId, session: SessionId) -> bool {
        if self.shut_session(tunnel, session).is_some() {
            return true;
        }
        let page = scale::page_of(session);
        if session.is_none() || page >= PAGES || !self.is_open(tunnel) {
            return false;
        }
        if self.index.block(tunnel, page).is_none() && !self.open_page(tunnel, page) {
            return false;
        }
        self.take_place(tunnel, session).is_some()
    }

    /// Makes a kept id free.
    pub fn free_session(&mut self, tunnel: TunnelId, session: SessionId) {
        if self.lookup(tunnel, session).is_none() {
            let _unknown = self.put_back(tunnel, session);
        }
    }

    /// A kept id rests from now on. Whoever asks knows that it is kept.
    pub fn rest_session(&mut self, tunnel: TunnelId, session: SessionId, now: Instant) {
        if self.lookup(tunnel, session).is_none() {
            self.push_rest(tunnel, session, now);
        }
    }

    /// All ids that rest are kept from now on: another node knows when they may be given out again.
    pub fn keep_resting(&mut self) {
        let resting = self.resting_tunnels.len();
        self.kept_tunnels = self.kept_tunnels.saturating_add(resting);
        self.resting_tunnels.clear();
        self.resting_sessions.clear();
    }

    /// Every node knows which ids were given back before that moment.
    pub fn handle_heard(&mut self, before: Instant) {
        self.resting_tunnels.handle_heard(before);
        self.resting_sessions.handle_heard(before);
    }

    fn take_place(&mut self, tunnel: TunnelId, session: SessionId) -> Option<()> {
        let (page, place) = (scale::page_of(session), scale::place_of(session));
        let block = self.blocks.get_mut(self.index.block(tunnel, page)?)?;
        if !block.taken.insert(place) {
            return None;
        }
        let taken = block.taken.len();
        self.tunnel_mut(tunnel)?.note(page, taken);
        Some(())
    }
}
