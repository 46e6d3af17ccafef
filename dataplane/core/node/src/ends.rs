//! How calls and tunnels end: each for one recorded reason, with all that they held given back.

use std::sync::Arc;

use lns_l2tp::CdnReason;
use lns_ppp::CloseReason;
use lns_tables::path::{Counters, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::event::{Event, SessionEnd};
use crate::explain::transcript::Step;
use crate::limits;
use crate::node::Node;
use crate::session::Session;

/// Why a call ends whose tunnel ends.
pub(crate) const TUNNEL_CLOSED: &str = "tunnel_closed";

/// Whether a session that is taken out of the tables is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Departure {
    /// It is: what it held is given back, and the workers are told.
    Over,
    /// It comes in again at once, as another record has it: what it held is its still.
    Renewed,
}

impl Node {
    /// Ends one session as an administrator would: the subscriber is told, then the LAC. `false`:
    /// there is no such session.
    pub fn handle_disconnect(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.index.lookup(tunnel, session) else {
            return false;
        };
        self.close_session(slot, "admin_reset", now);
        true
    }

    /// Begins to end a session: an open LCP is terminated first (RFC 1661, 5.5), so that the
    /// subscriber knows; one that has none ends at once.
    pub(crate) fn close_session(&mut self, slot: SlotIndex, reason: &'static str, now: Instant) {
        if let Some(session) = self.sessions.get_mut(slot) {
            session.closing.get_or_insert(reason);
        }
        let polite = self.with_ppp(slot, now, |ppp, _, out| {
            ppp.close(CloseReason::Requested, now, out);
        });
        if polite.is_none() {
            self.end_session(slot, reason, now);
        }
    }

    /// Ends a session now and tells its LAC (Call-Disconnect-Notify).
    pub(crate) fn end_session(&mut self, slot: SlotIndex, reason: &'static str, now: Instant) {
        let answer = match reason {
            "lost_carrier" => CdnReason::LostCarrier,
            "pool_exhausted" | "address_unavailable" | "timed_out" | "all_down" | "no_capacity" => {
                CdnReason::NoFacilitiesNow
            }
            "bring_up_timeout" => CdnReason::Timeout,
            _ => CdnReason::Administrative,
        };
        self.end_session_with(slot, reason, answer, now);
    }

    /// The same, with what the LAC is told as the reason.
    pub(crate) fn end_session_with(
        &mut self,
        slot: SlotIndex,
        reason: &'static str,
        answer: CdnReason,
        now: Instant,
    ) {
        let told = Step::Told {
            message: "CDN",
            result: answer.label(),
        };
        self.note_step(slot, told, now);
        if let Some(session) = self.remove_session(slot, reason, now) {
            self.send_cdn(&session, answer);
        }
    }

    /// Forgets a session whose LAC knows already, or will learn it from the end of the tunnel.
    pub(crate) fn remove_session(
        &mut self,
        slot: SlotIndex,
        reason: &'static str,
        now: Instant,
    ) -> Option<Session> {
        self.account_stop(slot, reason, now);
        let mut session = self.strip_session(slot, Departure::Over, now)?;
        self.index
            .close_session(session.tunnel, session.call.local(), now);
        self.bury_session(slot, &session, now);
        self.cancel(session.question.take());
        let address = session.address.take().map(|held| held.address);
        self.note_session_end(&mut session, reason, address, now);
        if session.up_at.is_some() {
            self.stats.ending(reason);
        } else {
            self.stats.failure(session.stage, reason);
        }
        let end = SessionEnd {
            slot,
            tunnel: session.tunnel,
            session: session.call.local(),
            lac: Arc::clone(&session.profile.lac.name),
            user: session.user.clone(),
            address,
            calling_number: session.about.calling_number.clone(),
            stage: session.stage,
            reason,
            detail: session.detail.clone(),
            radius: session.answer.clone(),
            up: session.up_at.map(|at| now.since(at)),
            elsewhere: session
                .tally
                .as_ref()
                .map_or_else(Counters::default, |tally| tally.elsewhere()),
        };
        self.event(Event::SessionDown(Box::new(end)));
        Some(session)
    }

    /// Takes a session out of every table but the index of ids.
    pub(crate) fn strip_session(
        &mut self,
        slot: SlotIndex,
        departure: Departure,
        now: Instant,
    ) -> Option<Session> {
        self.forget_subscriber(slot);
        let session = self.sessions.remove(slot)?;
        self.accounts.forget(session.account);
        self.wheel.disarm(slot.0);
        let named = (session.tunnel, session.call.peer());
        if self.unconnected.get(&named) == Some(&slot) {
            self.unconnected.remove(&named);
        }
        if departure == Departure::Over {
            if let Some(granted) = &session.granted {
                self.clear_routes(slot, &granted.routes);
            }
            self.path.push_back(PathUpdate::ClearSession {
                slot,
                tunnel: session.tunnel,
                session: session.call.local(),
            });
            if let Some(held) = &session.address {
                self.give_back(held, now);
            }
            self.bindings.release(&session.binding);
        }
        self.lacs.release_session(&session.profile.lac.name);
        let count = match session.up_at {
            Some(_) => &mut self.up,
            None => &mut self.opening,
        };
        *count = count.saturating_sub(1);
        Some(session)
    }

    /// Ends all sessions of tunnels that are over, a batch at a time.
    pub(crate) fn tear_down(&mut self, now: Instant) {
        for _ in 0..limits::TEARDOWN_BATCH {
            let Some(&(tunnel, reason)) = self.teardown.front() else {
                return self.account_off(now);
            };
            if let Some((_, slot)) = self.index.first_session(tunnel) {
                self.remove_session(slot, reason, now);
            } else {
                self.teardown.pop_front();
                self.calls_cleared(tunnel, now);
            }
        }
    }
}
