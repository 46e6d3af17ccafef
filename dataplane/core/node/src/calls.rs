//! Calls: from the Incoming-Call-Request to the start of PPP (RFC 2661, 5.2, 7.4).

use std::sync::Arc;

use lns_l2tp::{Call, CallAction, CallMessage, CdnReason};
use lns_ppp::{Phase, ProxyAuth, ProxyAuthKind, ProxyLcp};
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, SessionId, TunnelId};
use lns_wire::l2tp::{Avps, Cdn, Iccn, Icrq, Message, MessageType, ParseError, Proxy, kind};

use crate::control::printable;
use crate::ends::TUNNEL_CLOSED;
use crate::event::{Event, Stage};
use crate::explain::transcript::What;
use crate::lacs::Denial;
use crate::limits;
use crate::node::Node;
use crate::radius::said;
use crate::record::RecordKey;
use crate::session::{About, Session};

impl Node {
    /// A message of a call, in its order.
    pub(crate) fn handle_call(&mut self, tunnel: TunnelId, message: &CallMessage, now: Instant) {
        // It was parsed before it got here.
        let Ok(parsed) = message.message() else {
            return;
        };
        let asked = self.received_call(message, "ok");
        match &parsed {
            Message::Icrq(icrq) => self.handle_icrq(tunnel, icrq, asked, now),
            Message::Ocrq(ocrq) => {
                let answer = CdnReason::NoFacilitiesEver;
                self.refused_call(tunnel, ("outgoing_call", answer), None, asked, now);
                self.refuse_call(tunnel, ocrq.assigned_session, answer);
            }
            Message::Cdn(cdn) => self.handle_cdn(tunnel, message.session(), cdn, asked, now),
            Message::Icrp(_)
            | Message::Iccn(_)
            | Message::Ocrp(_)
            | Message::Occn(_)
            | Message::Wen(_)
            | Message::Sli(_) => match self.index.lookup(tunnel, message.session()) {
                Some(slot) => {
                    self.note_session(slot, asked, now);
                    self.step_call(slot, &parsed, now);
                }
                None => self.unknown_session(tunnel, message, now),
            },
            // The tunnel keeps these to itself.
            Message::Sccrq(_)
            | Message::Sccrp(_)
            | Message::Scccn(_)
            | Message::StopCcn(_)
            | Message::Hello => self.stats.drop("unknown_session"),
        }
    }

    /// A message of a call that cannot be accepted ends the call, not the tunnel (RFC 2661, 4.2).
    pub(crate) fn invalid_call(
        &mut self,
        tunnel: TunnelId,
        message: &CallMessage,
        error: ParseError,
        now: Instant,
    ) {
        let came = self.received_call(message, error.label());
        match self.index.lookup(tunnel, message.session()) {
            Some(slot) => {
                self.note_session(slot, came, now);
                self.end_session_with(slot, error.label(), CdnReason::Invalid(error), now);
            }
            None if is_first(message) => {
                let number = number(calling_number(message.body()));
                let why = (error.label(), CdnReason::Invalid(error));
                self.refused_call(tunnel, why, number, came, now);
            }
            None => {
                self.stats.drop("unknown_session");
                self.note_tunnel(tunnel, came, now);
            }
        }
    }

    fn unknown_session(&mut self, tunnel: TunnelId, message: &CallMessage, now: Instant) {
        let reason = "unknown_session";
        self.stats.drop(reason);
        let came = self.received_call(message, reason);
        self.note_tunnel(tunnel, came, now);
    }

    fn handle_icrq(&mut self, tunnel: TunnelId, icrq: &Icrq<'_>, asked: What, now: Instant) {
        match self.open_call(tunnel, icrq, now) {
            Ok(slot) => {
                self.note_session(slot, asked, now);
                self.answer_call(slot, now);
            }
            Err((label, reason)) => {
                let number = number(icrq.calling_number);
                self.refused_call(tunnel, (label, reason), number, asked, now);
                self.refuse_call(tunnel, icrq.assigned_session, reason);
            }
        }
    }

    /// Counts and notes a call that never was.
    fn refused_call(
        &mut self,
        tunnel: TunnelId,
        why: (&'static str, CdnReason),
        calling_number: Option<Box<str>>,
        asked: What,
        now: Instant,
    ) {
        let (reason, _) = why;
        self.stats.failure(Stage::Call, reason);
        if let Some(link) = self.tunnels.get(tunnel) {
            let event = Event::CallRefused {
                tunnel,
                lac: Arc::clone(&link.profile.lac.name),
                calling_number: calling_number.clone(),
                reason,
            };
            self.event(event);
        }
        self.note_refused_call(tunnel, why, calling_number, asked, now);
    }

    fn open_call(
        &mut self,
        tunnel: TunnelId,
        icrq: &Icrq<'_>,
        now: Instant,
    ) -> Result<SlotIndex, (&'static str, CdnReason)> {
        let profile = self
            .admit_call(tunnel, now)
            .map_err(|denial| (denial.label(), answer_to(denial)))?;
        let account = self.accounts.next_id();
        let Self {
            sessions,
            index,
            rng,
            ..
        } = self;
        let mut id = None;
        // The ids are drawn for a slot, and the session is made of both.
        let slot = sessions.insert_with(|slot| {
            id = index.open_session(tunnel, slot, now, &mut || rng.u32());
            let id = id.unwrap_or_default();
            let call = Call::answer(id, icrq);
            Session::new(tunnel, call, profile, account, about(icrq), now)
        });
        let slot = slot.ok_or(("max_sessions_of_node", CdnReason::NoFacilitiesNow))?;
        let Some(id) = id else {
            self.sessions.remove(slot);
            return Err(("no_session_ids", CdnReason::NoFacilitiesNow));
        };
        self.reopen(RecordKey::Session(tunnel, id));
        self.accounts.enter(account, slot);
        self.opening = self.opening.saturating_add(1);
        Ok(slot)
    }

    /// Tells the LAC that its call is taken.
    fn answer_call(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let (tunnel, peer, answer) = (session.tunnel, session.call.peer(), session.call.icrp());
        self.unconnected.insert((tunnel, peer), slot);
        if let Some(entry) = self.lacs.entry(&session.profile.lac.name) {
            entry.sessions = entry.sessions.saturating_add(1);
        }
        self.publish(slot);
        self.rearm(slot);
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        if let Ok(number) = link.machine.send_call(peer, &answer, &mut self.rng) {
            return self.change(slot, |session| session.said = Some(number));
        }
        // The tunnel may have ended by a message that was handled in one go with this one.
        let reason = if link.machine.state().is_open() {
            "send_queue_full"
        } else {
            TUNNEL_CLOSED
        };
        self.remove_session(slot, reason, now);
    }

    fn admit_call(
        &mut self,
        tunnel: TunnelId,
        now: Instant,
    ) -> Result<Arc<crate::lacs::Profile>, Denial> {
        let link = self.tunnels.get(tunnel).ok_or(Denial::Unknown)?;
        if self.draining {
            return Err(Denial::Draining);
        }
        if !self.admitting {
            return Err(Denial::TakingOver);
        }
        let entry = self
            .lacs
            .entry(&link.profile.lac.name)
            .ok_or(Denial::Unknown)?;
        entry.admit_call(now)
    }

    fn step_call(&mut self, slot: SlotIndex, message: &Message<'_>, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let action = session.call.handle(message);
        self.note_session_states(slot, now);
        match action {
            CallAction::Connected => {
                if let Message::Iccn(iccn) = message {
                    self.connect(slot, iccn, now);
                }
            }
            CallAction::Refused(reason) => self.end_session_with(slot, reason.label(), reason, now),
            CallAction::Errors(_) => self.stats.drop("wan_error_notify"),
            CallAction::Replied
            | CallAction::Closed
            | CallAction::LinkInfo(_)
            | CallAction::Ignored => {}
        }
    }

    /// The call is connected: PPP begins, with what the LAC has settled already where that is wanted.
    fn connect(&mut self, slot: SlotIndex, iccn: &Iccn<'_>, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        self.unconnected
            .remove(&(session.tunnel, session.call.peer()));
        session.stage = Stage::Lcp;
        session.sequencing = iccn.sequencing_required;
        session.about.tx_speed = iccn.tx_connect_speed;
        session.about.rx_speed = iccn.rx_connect_speed.unwrap_or(iccn.tx_connect_speed);
        let config = Arc::clone(&session.profile.ppp);
        let proxy = proxied(&iccn.proxy);
        let mut out = core::mem::take(&mut self.ppp_output);
        let ppp = lns_ppp::Session::start(&config, Some(&proxy), now, &mut self.rng, &mut out);
        session.ppp = Some(Box::new(ppp));
        self.note_session_states(slot, now);
        self.publish(slot);
        self.settle_ppp(slot, &mut out, now);
        self.ppp_output = out;
        self.rearm(slot);
    }

    fn handle_cdn(
        &mut self,
        tunnel: TunnelId,
        session: SessionId,
        cdn: &Cdn<'_>,
        came: What,
        now: Instant,
    ) {
        let slot = match self.index.lookup(tunnel, session) {
            Some(slot) => Some(slot),
            // The LAC's id alone names a call until our ICRP has reached the LAC.
            None if session.is_none() => self
                .unconnected
                .get(&(tunnel, cdn.assigned_session))
                .copied(),
            None => None,
        };
        // Unknown: it crossed ours, or comes again.
        let Some(slot) = slot else {
            return self.note_tunnel(tunnel, came, now);
        };
        self.note_session(slot, came, now);
        let label = match cdn.result.result {
            1 => "peer_lost_carrier",
            3 => "peer_administrative",
            _ => "peer_disconnected",
        };
        if let Some(account) = self.sessions.get_mut(slot).and_then(|it| it.told.as_mut()) {
            account.said = cdn.disconnect.as_ref().and_then(said);
        }
        let session = self.sessions.get(slot);
        let closing = session.and_then(|session| session.closing);
        let is_leaving = session
            .and_then(|session| session.ppp.as_deref())
            .is_some_and(|ppp| ppp.phase() == Phase::Terminate);
        let ended = self.remove_session(slot, closing.unwrap_or(label), now);
        if let Some(session) = ended.filter(|_| is_leaving) {
            // Ours was to follow when the line had had its time (RFC 1661, 3.7). It crosses theirs
            // then: some LACs (xl2tpd) forget a call of which they are told so, and no other.
            self.send_cdn(&session, CdnReason::Administrative);
        }
    }

    fn refuse_call(&mut self, tunnel: TunnelId, peer: PeerSessionId, reason: CdnReason) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let sent = link.machine.refuse_call(peer, reason, &mut self.rng);
        if sent.is_err() && link.machine.state().is_open() {
            self.stats.drop("send_queue_full");
        }
    }

    /// Tells the LAC that a call has ended.
    pub(crate) fn send_cdn(&mut self, session: &Session, reason: CdnReason) {
        let Some(link) = self.tunnels.get_mut(session.tunnel) else {
            return;
        };
        let (local, peer) = (session.call.local(), session.call.peer());
        let sent = link
            .machine
            .send_cdn(peer, local, reason, None, &mut self.rng);
        match sent {
            Ok(number) => self.note_cdn(session.tunnel, local, number),
            Err(_) if link.machine.state().is_open() => self.stats.drop("send_queue_full"),
            Err(_) => {}
        }
        self.ready.mark(u32::from(session.tunnel.0));
        self.touch_tunnel(session.tunnel);
    }
}

/// Whether a message asks for a call.
fn is_first(message: &CallMessage) -> bool {
    let kind = MessageType::peek(message.body());
    kind.is_ok_and(|kind| [MessageType::Icrq, MessageType::Ocrq].contains(&kind))
}

/// The Calling Number of a message that may otherwise be unacceptable.
fn calling_number(body: &[u8]) -> Option<&[u8]> {
    Avps::new(body)
        .map_while(Result::ok)
        .find(|avp| avp.is_readable() && avp.kind == kind::CALLING_NUMBER)
        .map(|avp| avp.value)
}

const fn answer_to(denial: Denial) -> CdnReason {
    match denial {
        Denial::Draining => CdnReason::TryAnother,
        Denial::Unknown | Denial::Refused => CdnReason::Administrative,
        Denial::TakingOver | Denial::MaxTunnels | Denial::MaxSessions | Denial::SetupRate => {
            CdnReason::NoFacilitiesNow
        }
    }
}

/// A calling or called number as it is kept.
fn number(octets: Option<&[u8]>) -> Option<Box<str>> {
    let octets = octets?.get(..limits::NUMBER).or(octets)?;
    Some(printable(octets).into_boxed_str())
}

fn about(icrq: &Icrq<'_>) -> About {
    About {
        calling_number: number(icrq.calling_number),
        called_number: number(icrq.called_number),
        call_serial: icrq.serial_number,
        physical_channel: icrq.physical_channel,
        tx_speed: 0,
        rx_speed: 0,
    }
}

/// What of the proxy AVPs belongs together: LCP needs both sides' last request.
fn proxied<'a>(proxy: &Proxy<'a>) -> lns_ppp::Proxy<'a> {
    let lcp = proxy.last_sent_lcp.zip(proxy.last_received_lcp);
    let authentication = proxy.authen_type.map(|kind| ProxyAuth {
        kind: ProxyAuthKind::from(kind.0),
        name: proxy.authen_name.unwrap_or_default(),
        challenge: proxy.authen_challenge.unwrap_or_default(),
        id: proxy.authen_id.unwrap_or_default(),
        response: proxy.authen_response.unwrap_or_default(),
    });
    lns_ppp::Proxy {
        lcp: lcp.map(|(last_sent, last_received)| ProxyLcp {
            last_sent,
            last_received,
        }),
        authentication,
    }
}
