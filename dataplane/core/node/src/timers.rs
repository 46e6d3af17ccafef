//! Time: every object that waits for something has one timer in the wheel, and what is due is found
//! there and nowhere else.

use core::time::Duration;

use lns_tables::path::{PathReport, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

use crate::limits;
use crate::node::Node;
use crate::record::Role;

/// How late a timer may be before the back-stop sweep calls it overdue: far beyond a tick of the wheel
/// and any batch of work, so that it finds bugs and not load.
const OVERDUE: Duration = Duration::from_secs(2);

impl Node {
    /// Does what is due. Call it when [`Node::poll_timeout`] has come; earlier does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.role() == Role::Standby {
            self.look_for_reports(now);
            return self.bindings.settle();
        }
        self.sweep_back_stop(now);
        self.exhume(now);
        while let Some(key) = self.wheel.pop_due(now) {
            match key.checked_sub(self.max_sessions) {
                None => self.session_due(SlotIndex(key), now),
                Some(tunnel) => {
                    if let Ok(tunnel) = u16::try_from(tunnel) {
                        self.tunnel_due(TunnelId(tunnel), now);
                    }
                }
            }
        }
        self.account_due(now);
        self.tear_down(now);
    }

    /// When to call [`Node::handle_timeout`] next; ask after each other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.teardown.is_empty() {
            return Some(Instant::ZERO);
        }
        if self.role() == Role::Standby {
            return self.next_look();
        }
        let others = [
            self.wheel.next_deadline(),
            self.accounts.deadline(),
            self.next_exhumation(),
        ];
        others.into_iter().flatten().chain([self.sweep_at]).min()
    }

    /// What the workers answer to a question of [`Node::poll_path`], or to the end of a session.
    pub fn handle_report(&mut self, report: &PathReport, now: Instant) {
        if self.role() == Role::Standby {
            return self.note_seen(report, now);
        }
        match *report {
            PathReport::Session {
                slot,
                tunnel,
                session,
                last_received,
                last_forwarded,
                counters,
            } => {
                if self.index.lookup(tunnel, session) == Some(slot) {
                    self.account_interim(slot, &counters, now);
                    let session = self.sessions.get(slot);
                    let tally = session.and_then(|session| session.tally.as_ref());
                    let own = (last_received, last_forwarded);
                    let (received, forwarded) = tally.map_or(own, |tally| tally.last(own.0, own.1));
                    self.session_reported(slot, received, forwarded, now);
                } else {
                    self.account_final((slot, tunnel, session), &counters, now);
                }
            }
            PathReport::Tunnel {
                tunnel,
                last_received,
            } => self.tunnel_reported(tunnel, last_received, now),
        }
    }

    /// Sets the session's timer to what it waits for now.
    pub(crate) fn rearm(&mut self, slot: SlotIndex) {
        if self.role() == Role::Standby {
            return;
        }
        match self
            .sessions
            .get(slot)
            .and_then(super::session::Session::deadline)
        {
            Some(deadline) => self.wheel.arm(slot.0, deadline),
            None => drop(self.wheel.disarm(slot.0)),
        }
    }

    /// Sets the tunnel's timer to what it waits for now.
    pub(crate) fn rearm_tunnel(&mut self, tunnel: TunnelId) {
        let key = self.max_sessions.saturating_add(u32::from(tunnel.0));
        let deadline = self
            .tunnels
            .get(tunnel)
            .and_then(|link| link.machine.poll_timeout());
        match deadline {
            Some(deadline) => self.wheel.arm(key, deadline),
            None => drop(self.wheel.disarm(key)),
        }
    }

    fn session_due(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        if session.up_at.is_none() && now >= session.opened_at + limits::BRING_UP {
            let reason = session.closing.unwrap_or("bring_up_timeout");
            return self.end_session(slot, reason, now);
        }
        if session.ends_at.is_some_and(|at| at <= now) {
            session.ends_at = None;
            if self.prove_anew(slot, now) {
                return;
            }
            return self.close_session(slot, "session_timeout", now);
        }
        let mut must_ask = session.told.as_mut().is_some_and(|it| it.must_ask(now));
        if let Some(idle) = session.idle.as_mut().filter(|idle| idle.check_at <= now) {
            idle.check_at = now + limits::REPORT_PATIENCE;
            must_ask = true;
        }
        if must_ask {
            let (tunnel, session) = (session.tunnel, session.call.local());
            self.path.push_back(PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            });
        }
        if self
            .with_ppp(slot, now, |ppp, rng, out| ppp.handle_timeout(now, rng, out))
            .is_none()
        {
            self.rearm(slot);
        }
    }

    fn session_reported(
        &mut self,
        slot: SlotIndex,
        last_received: Option<Instant>,
        last_forwarded: Option<Instant>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let up_at = session.up_at.unwrap_or(session.opened_at);
        if let Some(idle) = session.idle.as_mut() {
            let ends_at = last_forwarded.unwrap_or(idle.since).max(idle.since) + idle.after;
            idle.check_at = ends_at;
            if ends_at <= now {
                session.idle = None;
                return self.close_session(slot, "idle_timeout", now);
            }
        }
        if core::mem::take(&mut session.echo_asked) {
            let heard = last_received.unwrap_or(up_at);
            self.with_ppp(slot, now, |ppp, _, out| ppp.handle_echo(heard, now, out));
        } else {
            self.rearm(slot);
        }
    }

    /// Visits a part of the tables and puts right what no timer came for. There is no such thing: what
    /// it finds is counted, and a bug.
    fn sweep_back_stop(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + Duration::from_secs(1);
        self.bindings.settle();
        let overdue: Vec<SlotIndex> = self
            .sessions
            .range(self.sweep.range(now, self.sessions.span()))
            .filter(|(_, session)| session.deadline().is_some_and(|at| at + OVERDUE < now))
            .map(|(slot, _)| slot)
            .collect();
        for slot in overdue {
            if self.is_unarmed(slot.0, now) {
                self.stats.overdue = self.stats.overdue.saturating_add(1);
                self.session_due(slot, now);
            }
        }
        self.sweep_tunnels(now);
    }

    fn sweep_tunnels(&mut self, now: Instant) {
        let ids = u32::from(u16::MAX).saturating_add(1);
        for id in self.tunnel_sweep.range(now, ids) {
            let tunnel = TunnelId(u16::try_from(id).unwrap_or(0));
            let deadline = self
                .tunnels
                .get(tunnel)
                .and_then(|link| link.machine.poll_timeout());
            let key = self.max_sessions.saturating_add(id);
            if deadline.is_some_and(|at| at + OVERDUE < now) && self.is_unarmed(key, now) {
                self.stats.overdue = self.stats.overdue.saturating_add(1);
                self.tunnel_due(tunnel, now);
            }
        }
    }

    /// Whether the wheel will not fire by itself. One that is about to, late after a long sleep of the
    /// machine, is no bug; one that was told no time, or too late a time, is.
    fn is_unarmed(&self, key: u32, now: Instant) -> bool {
        self.wheel.armed(key).is_none_or(|at| at > now)
    }
}
