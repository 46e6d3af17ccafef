//! What the node shows of itself. Nothing here changes anything.

use core::net::Ipv4Addr;
use std::sync::Arc;

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::config::Pool;
use crate::control::printable;
use crate::explain::failures::{FailureFilter, FailurePage, Number};
use crate::explain::trace::{TooManyTraces, TraceFilter, TraceId, TraceLine};
use crate::explain::transcript::Entry;
use crate::limits;
use crate::node::Node;
use crate::stats::Stats;
use crate::view;

impl Node {
    /// The whole node at a glance.
    pub fn status(&self) -> view::Status {
        view::Status {
            host_name: printable(self.host_name.octets()),
            tunnels: self.tunnels.up,
            tunnels_opening: self.tunnels.opening,
            sessions: self.up,
            sessions_opening: self.opening,
            max_sessions: self.max_sessions,
            draining: self.draining,
            overdue: self.stats.overdue,
        }
    }

    /// The LAC entries, those of the manifest first and in its order.
    pub fn lacs(&self) -> Vec<view::Lac> {
        self.lacs.view()
    }

    /// The LACs that were turned away, by address.
    pub fn refused_lacs(&self, now: Instant) -> Vec<view::RefusedLac> {
        self.lacs.view_refused(now)
    }

    /// At most `limit` tunnels behind `after`, and where to go on.
    pub fn tunnels(
        &self,
        after: Option<TunnelId>,
        limit: usize,
        now: Instant,
    ) -> (Vec<view::Tunnel>, Option<TunnelId>) {
        let mut found = self.tunnels.after(after);
        let mut last = None;
        let page = found
            .by_ref()
            .take(limit)
            .map(|(tunnel, link)| {
                last = Some(tunnel);
                link.view(tunnel, self.index.sessions_of(tunnel), now)
            })
            .collect();
        let more = found.next().is_some();
        (page, last.filter(|_| more))
    }

    /// The sessions that match `filter` among the next `limit` slots behind `after`, and where to go
    /// on.
    ///
    /// # Cost
    /// `limit` slots are looked at, however few match: the caller chooses how long others wait.
    pub fn sessions(
        &self,
        filter: &view::SessionFilter,
        after: Option<SlotIndex>,
        limit: u32,
        now: Instant,
    ) -> view::SessionPage {
        let first = after.map_or(0, |slot| slot.0.saturating_add(1));
        let end = first.saturating_add(limit).min(self.sessions.span());
        let sessions = self
            .sessions
            .range(first..end)
            .filter(|(_, session)| session.matches(filter))
            .map(|(slot, session)| session.view(slot, &self.bindings, now))
            .collect();
        let next = (end < self.sessions.span()).then(|| SlotIndex(end.saturating_sub(1)));
        view::SessionPage { sessions, next }
    }

    /// One session.
    pub fn session(
        &self,
        tunnel: TunnelId,
        session: SessionId,
        now: Instant,
    ) -> Option<view::Session> {
        let slot = self.index.lookup(tunnel, session)?;
        self.session_at(slot, now)
    }

    /// The session in a slot.
    pub fn session_at(&self, slot: SlotIndex, now: Instant) -> Option<view::Session> {
        let session = self.sessions.get(slot)?;
        Some(session.view(slot, &self.bindings, now))
    }

    /// The id of the session in a slot, and the name that it logged in with: octets of the subscriber's.
    pub fn name_of(&self, slot: SlotIndex) -> Option<(TunnelId, SessionId, Option<&[u8]>)> {
        let session = self.sessions.get(slot)?;
        Some((
            session.tunnel,
            session.call.local(),
            session.user.as_deref(),
        ))
    }

    /// The slots of the sessions that match `filter` among the next `limit` slots behind `after`, and where
    /// to go on.
    ///
    /// # Cost
    /// That of [`sessions`](Self::sessions), without what is shown of each.
    pub fn slots(
        &self,
        filter: &view::SessionFilter,
        after: Option<SlotIndex>,
        limit: u32,
    ) -> (Vec<SlotIndex>, Option<SlotIndex>) {
        let first = after.map_or(0, |slot| slot.0.saturating_add(1));
        let end = first.saturating_add(limit).min(self.sessions.span());
        let found = self.sessions.range(first..end);
        let slots = found
            .filter(|(_, session)| session.matches(filter))
            .map(|(slot, _)| slot)
            .collect();
        let next = (end < self.sessions.span()).then(|| SlotIndex(end.saturating_sub(1)));
        (slots, next)
    }

    /// Finds addresses that have rested and are free now, so that [`pools`](Self::pools) shows them as
    /// such: some `limit` at a time. `true`: there are no more.
    pub fn settle_pools(&mut self, now: Instant, limit: usize) -> bool {
        self.pools.settle(now, limit)
    }

    /// The address pools, in the order of the manifest, as of the last
    /// [`settle_pools`](Self::settle_pools).
    pub fn pools(&self) -> Vec<view::Pool> {
        self.pools.view()
    }

    /// What sessions have as our end of their links, lowest first: the local addresses of the pools, and
    /// former ones.
    pub fn local_addresses_in_use(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.pools.locals_in_use()
    }

    /// The session that has the local address of one of `pools` as its own address, and that pool.
    pub fn local_address_holder<'a>(
        &self,
        pools: &'a [Pool],
        now: Instant,
    ) -> Option<(&'a Pool, view::Session)> {
        pools.iter().find_map(|pool| {
            let slot = self.addresses.get(&pool.local_address)?;
            Some((pool, self.session_at(*slot, now)?))
        })
    }

    /// The failures that match `filter` behind `after`, the newest first: at most `most`, among the next
    /// `look_at`.
    ///
    /// # Cost
    /// `look_at` failures are looked at, however few match: the caller chooses how long others wait.
    pub fn failures(
        &self,
        filter: &FailureFilter,
        after: Option<Number>,
        (look_at, most): (usize, usize),
        now: Instant,
    ) -> FailurePage {
        let bounds = (look_at, most);
        self.explain.failures.page(filter, after, bounds, now)
    }

    /// The last messages and steps of a session, oldest first, as far as they are remembered. Whether
    /// there were more.
    pub fn transcript(&self, tunnel: TunnelId, session: SessionId) -> (Vec<Arc<Entry>>, bool) {
        let slot = self.index.lookup(tunnel, session);
        let chain = slot
            .and_then(|slot| self.sessions.get(slot))
            .and_then(|session| session.last);
        self.explain.transcript.last(chain, limits::FAILURE_ENTRIES)
    }

    /// Begins to follow what matches `filter`. Changes nothing but what [`Node::poll_trace`] gives.
    ///
    /// # Errors
    /// [`TooManyTraces`].
    pub fn handle_trace(&mut self, filter: TraceFilter) -> Result<TraceId, TooManyTraces> {
        self.explain.traces.begin(filter)
    }

    /// The next line of a trace; poll after each other call.
    pub fn poll_trace(&mut self, trace: TraceId) -> Option<TraceLine> {
        self.explain.traces.poll(trace)
    }

    /// Ends a trace.
    pub fn handle_trace_end(&mut self, trace: TraceId) {
        self.explain.traces.end(trace);
    }

    /// What was counted since the start.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }
}
