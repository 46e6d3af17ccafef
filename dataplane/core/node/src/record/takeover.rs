//! The change of sides: a node on standby becomes the active one.

use std::collections::BTreeMap;
use std::sync::Arc;

use lns_l2tp::{CallState, KeptMessage, Tunnel};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

use super::{Beginning, RecordKey, Role};
use crate::ends::TUNNEL_CLOSED;
use crate::node::Node;

/// Numbers of data messages, and how far apart those are that lead around: three of them may be lost in a row, and
/// the next one is still less than half of all ahead.
const NUMBERS: u32 = 1 << 16;
const STEP: u32 = 1 << 13;

impl Node {
    /// Becomes the active node, in this mastership: retransmissions and timers go on from the records. A
    /// start with no session of an earlier life is told to accounting.
    ///
    /// # Cost
    /// One step for each tunnel, session and record of what is over.
    pub fn handle_takeover(&mut self, epoch: u64, beginning: Beginning, now: Instant) {
        if self.records.role == Role::Active {
            return;
        }
        self.records.role = Role::Active;
        self.forget_forwards();
        self.begin_tallies();
        let is_empty = self.sessions.is_empty() && self.accounts.is_told();
        let is_cold = beginning == Beginning::Start && is_empty;
        self.accounts.begin_epoch(epoch, is_cold);
        self.take_over_tunnels(now);
        self.take_over_graves(now);
        self.take_over_sessions(now);
        self.accounts.wait_for_all(now);
        self.account_on(now);
    }

    fn take_over_tunnels(&mut self, now: Instant) {
        let mut of_calls: BTreeMap<TunnelId, Vec<KeptMessage>> = BTreeMap::new();
        for (key, messages) in core::mem::take(&mut self.records.said) {
            if let RecordKey::Session(tunnel, _) = key {
                of_calls.entry(tunnel).or_default().extend(messages);
            }
        }
        for (tunnel, (at, mut image)) in core::mem::take(&mut self.records.images) {
            let Some(link) = self.tunnels.get_mut(tunnel) else {
                continue;
            };
            let since = now.since(at);
            image.silent = image.silent.saturating_add(since);
            image.remaining = image.remaining.map(|rest| rest.saturating_sub(since));
            let config = Arc::clone(&link.profile.tunnel);
            let messages = of_calls.remove(&tunnel).unwrap_or_default();
            link.machine = Tunnel::restore(config, tunnel, image, messages, now);
            link.written = Some(link.shape());
            if link.clearing {
                self.teardown.push_back((tunnel, TUNNEL_CLOSED));
            }
            self.ready.mark(u32::from(tunnel.0));
            self.rearm_tunnel(tunnel);
        }
    }

    /// What another node gave back rests from the beginning: since when it does is known to nobody.
    fn take_over_graves(&mut self, now: Instant) {
        let mut graves = core::mem::take(&mut self.records.graves);
        for (key, grave) in &mut graves {
            match *key {
                RecordKey::Tunnel(tunnel) => self.index.rest_tunnel(tunnel, now),
                RecordKey::Session(tunnel, session) => {
                    self.index.rest_session(tunnel, session, now);
                }
            }
            self.rest(*key, grave, now);
        }
        self.records.graves = graves;
    }

    fn take_over_sessions(&mut self, now: Instant) {
        let mut images = core::mem::take(&mut self.records.ppp);
        let slots: Vec<SlotIndex> = self
            .sessions
            .range(0..self.sessions.span())
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            if let Some(idle) = &mut session.idle {
                // When it was last heard is known to the workers of the node that is gone.
                idle.since = now;
                idle.check_at = now + idle.after;
            }
            if let Some(reason) = session.closing {
                self.end_session(slot, reason, now);
            } else if let Some((at, mut image)) = images.remove(&slot) {
                image.rechallenge = image
                    .rechallenge
                    .map(|rest| rest.saturating_sub(now.since(at)));
                let config = Arc::clone(&session.profile.ppp);
                let ppp = lns_ppp::Session::restore(&config, image, now, &mut self.rng);
                session.ppp = Some(Box::new(ppp));
                if session.sequencing {
                    self.records.renumber.push_back(slot);
                }
                self.rearm(slot);
            } else if session.call.state() == CallState::Established {
                self.begin_ppp_anew(slot, now);
            } else {
                self.rearm(slot);
            }
        }
    }

    /// Has the LAC of a session that was taken over go on with the numbers that data messages have here (RFC 2661, 5.4).
    /// Those of the node before are known to nobody, and a LAC takes for old what is up to half of all numbers behind
    /// what it expects: so it is sent messages all the way around, with steps that it takes each for a loss. They say
    /// nothing, and some of them may be lost.
    pub(crate) fn renumber(&mut self, now: Instant) {
        let Some(slot) = self.records.renumber.pop_front() else {
            return;
        };
        let mut out = core::mem::take(&mut self.ppp_output);
        for _ in 0..=NUMBERS / STEP {
            let session = self.sessions.get_mut(slot).filter(|it| it.sequencing);
            if let Some(ppp) = session.and_then(|session| session.ppp.as_mut()) {
                ppp.discard(now, &mut out);
            }
            let skips = u16::try_from(STEP).unwrap_or(u16::MAX).saturating_sub(1);
            self.send_numbered(slot, skips, &mut out, now);
        }
        self.ppp_output = out;
    }

    /// Nothing is known of what the subscriber's PPP has agreed on: it begins anew, and has its time.
    fn begin_ppp_anew(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        session.opened_at = now;
        let config = Arc::clone(&session.profile.ppp);
        let mut out = core::mem::take(&mut self.ppp_output);
        let ppp = lns_ppp::Session::start(&config, None, now, &mut self.rng, &mut out);
        session.ppp = Some(Box::new(ppp));
        self.settle_ppp(slot, &mut out, now);
        self.ppp_output = out;
        self.rearm(slot);
    }
}
