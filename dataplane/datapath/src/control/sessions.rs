//! Sessions come, change and go: their slots, addresses and policers.

use core::ops::Add as _;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use lns_l2sess::ChainId;
use lns_l2sess::policy::Rates;
use lns_tables::path::{PathReport, SessionPath, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use super::{Control, report_of};
use crate::clock;
use crate::flows::port_of;
use crate::limits::REBOUND;
use crate::tables::{PolicerId, SessionSlot, SessionView, is_limited};

impl Control {
    /// `false`, and nothing has changed, when the slot or the address has no place.
    pub(super) fn set_session(&mut self, index: SlotIndex, path: &SessionPath) -> bool {
        let tables = Arc::clone(&self.tables);
        let Some(slot) = tables.session_slot(index) else {
            return false;
        };
        let old = slot.read().ok().flatten();
        if let Some(address) = path.address
            && !self.addresses.insert(address, index)
        {
            return false;
        }
        if let Some(address) = old
            .and_then(|old| old.address)
            .filter(|address| path.address != Some(*address))
        {
            self.addresses.remove(address, index);
        }
        let same = old.filter(|old| (old.tunnel, old.session) == (path.tunnel, path.session));
        if same.is_none() {
            if let Some(old) = old {
                self.vacate(index, slot, &old);
            }
            self.wait_for_workers(&slot.cleared);
            slot.reset();
            self.classifier.open(port_of(index));
        }
        let rebound = same.filter(|same| same.chain != path.chain);
        if self.has_news && rebound.is_some_and(|rebound| rebound.address.is_some()) {
            // Of a chain that a worker does not have yet it would drop all packets; here there may be
            // some. A session that is only coming up has none.
            self.let_workers_pass();
        }
        let had = same.and_then(|same| same.policer);
        let has = self.police(had, path.rates);
        slot.write(Some(&SessionView::new(path, has)));
        if has.is_none() {
            self.release(had);
        }
        // Without policies no flow was opened.
        if rebound.is_some_and(|rebound| rebound.chain != ChainId::NONE) {
            self.rebind(index);
        }
        true
    }

    /// The policies of a session are others: none of its flows outlives that. Those that workers open
    /// until they have left their batch may be of the former ones, so the end of all waits for them.
    fn rebind(&mut self, index: SlotIndex) {
        self.rebound.push(index);
        if self.rebound.len() >= REBOUND {
            self.settle();
        }
    }

    pub(super) fn clear_session(
        &mut self,
        index: SlotIndex,
        tunnel: TunnelId,
        session: SessionId,
    ) -> Option<PathReport> {
        let tables = Arc::clone(&self.tables);
        let found = tables.slot(index).ok()??;
        if (found.view.tunnel, found.view.session) != (tunnel, session) {
            return None;
        }
        if let Some(address) = found.view.address {
            self.addresses.remove(address, index);
        }
        self.vacate(index, found.slot, &found.view);
        Some(report_of(&found))
    }

    /// Empties a slot, ends the flows of its session and takes back what it had.
    fn vacate(&mut self, index: SlotIndex, slot: &SessionSlot, old: &SessionView) {
        slot.write(None);
        self.classifier.close(port_of(index));
        self.mark_cleared(&slot.cleared);
        self.release(old.policer);
    }

    /// The policer for a session with these rates that had this one, or none.
    fn police(&mut self, had: Option<PolicerId>, rates: Rates) -> Option<PolicerId> {
        if !is_limited(&rates) {
            return None;
        }
        let tables = Arc::clone(&self.tables);
        if let Some(policer) = had.and_then(|had| tables.policer(had)) {
            if policer.rates() != rates {
                policer.set(rates, clock::now());
            }
            return had;
        }
        // There are as many as slots, so there is one.
        let taken = self.policers.take().map(PolicerId::new);
        let Some(policer) = taken.and_then(|taken| tables.policer(taken)) else {
            self.refuse();
            return None;
        };
        self.wait_for_workers(policer.released());
        policer.begin(rates, clock::now());
        taken
    }

    /// Takes back a policer that no slot names any more.
    fn release(&mut self, policer: Option<PolicerId>) {
        let tables = Arc::clone(&self.tables);
        let Some((id, policer)) = policer.and_then(|id| Some((id, tables.policer(id)?))) else {
            return;
        };
        self.mark_cleared(policer.released());
        self.policers.give(id.number());
    }

    /// Remembers in `cleared` when a slot was emptied or a policer given back, and in which batch each
    /// worker was.
    fn mark_cleared(&mut self, cleared: &AtomicU64) {
        cleared.store(clock::now().as_nanos(), Ordering::Relaxed);
        for (mark, stage) in self.cleared.iter_mut().zip(self.stages.iter()) {
            *mark = stage.load();
        }
    }

    /// Waits until no worker is in a batch that began before now.
    pub(super) fn let_workers_pass(&mut self) {
        let now = AtomicU64::new(0);
        self.mark_cleared(&now);
        self.wait_for_workers(&now);
        self.has_news = false;
    }

    /// Waits until no worker is in a batch in which it may have read what was there before `cleared`.
    ///
    /// What was cleared longer than its patience ago needs no wait: that is as long as it would last. For
    /// the others it suffices to look at what the stages were when *anything* was last cleared, because
    /// a worker that is still in an earlier batch was in it then too.
    fn wait_for_workers(&self, cleared: &AtomicU64) {
        let end = Instant::from_nanos(cleared.load(Ordering::Relaxed)).add(self.grace);
        for (mark, stage) in self.cleared.iter().zip(self.stages.iter()) {
            while !mark.is_multiple_of(2) && stage.load() == *mark && clock::now() < end {
                std::thread::sleep(Duration::from_micros(5));
            }
        }
    }
}
