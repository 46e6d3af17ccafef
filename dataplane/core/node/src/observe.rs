//! What the node writes down as it works: messages in and out, steps of the machines, ends.
//!
//! A message of a call is noted when its turn has come, with what is hidden revealed; one that reliable
//! delivery kept, dropped or had before is noted when it came, with that result. ZLBs are shown to those
//! who follow, and not kept.

use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lns_l2tp::{
    Arrival, CallMessage, CallState, CdnReason, CloseReason, StopReason, TunnelState, emit_refusal,
};
use lns_ppp::Phase;
use lns_ppp::automaton::State;
use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    self, ControlHeader, EmitError, MessageType, Packet, assigned_session, emit_control,
};
use lns_wire::ppp::{Code, Frame, Packet as PppPacket, Protocol};

use crate::event::Stage;
use crate::explain::failures::{Kind, Last, Subject as Who};
use crate::explain::trace::Subject;
use crate::explain::transcript::{Entry, Octets, Step, What};
use crate::limits;
use crate::node::Node;
use crate::session::Session;
use crate::tunnels::Link;

/// What became of a message that was taken as it came.
const OK: &str = "ok";

/// A LAC that was turned away, for the list of failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnedAway<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) header: ControlHeader,
    pub(crate) body: &'a [u8],
    pub(crate) host_name: &'a str,
    /// The LAC's entry, if it has one.
    pub(crate) lac: Option<&'a Arc<str>>,
    pub(crate) reason: &'static str,
    /// What it was told, if anything.
    pub(crate) answer: Option<(PeerTunnelId, StopReason)>,
}

impl Node {
    // === Messages ===

    /// A control message has come for a tunnel, and this is what became of it.
    pub(crate) fn note_arrival(
        &mut self,
        tunnel: TunnelId,
        (header, body): (ControlHeader, &[u8]),
        before: TunnelState,
        handled: Result<Arrival, lns_l2tp::Error>,
        now: Instant,
    ) {
        let result = match handled {
            Ok(Arrival::Next) => OK,
            Ok(Arrival::Early) => "early",
            Ok(Arrival::Duplicate) => "duplicate",
            Err(error) => error.label(),
        };
        let is_told_by_its_call = result == OK
            && before == TunnelState::Established
            && MessageType::peek(body).is_ok_and(MessageType::is_call);
        if is_told_by_its_call {
            return;
        }
        let is_zlb = body.is_empty() && handled.is_ok();
        if is_zlb && self.explain.traces.is_empty() {
            return;
        }
        let octets = self.received(tunnel, header, body);
        let what = What::Received { octets, result };
        match self.index.lookup(tunnel, header.session) {
            _ if is_zlb => self.show_only(tunnel, what, now),
            Some(slot) => self.note_session(slot, what, now),
            None => self.note_tunnel(tunnel, what, now),
        }
    }

    /// The SCCRQ that has begun a tunnel.
    pub(crate) fn note_sccrq(
        &mut self,
        tunnel: TunnelId,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        let octets = self.explain.masked(|out| write_control(header, body, out));
        self.note_tunnel(tunnel, What::Received { octets, result: OK }, now);
    }

    /// A message of a call, whose turn has come.
    pub(crate) fn received_call(&mut self, message: &CallMessage, result: &'static str) -> What {
        let octets = self
            .explain
            .masked(|out| write_control(message.header(), message.body(), out));
        What::Received { octets, result }
    }

    fn received(&mut self, tunnel: TunnelId, header: ControlHeader, body: &[u8]) -> Octets {
        let machine = self.tunnels.get(tunnel).map(|link| &link.machine);
        let clear = machine.map_or(body.into(), |machine| machine.reveal(body));
        self.explain
            .masked(|out| write_control(header, &clear, out))
    }

    /// A control message leaves.
    pub(crate) fn note_sent(&mut self, tunnel: TunnelId, datagram: &[u8], now: Instant) {
        let Ok(Packet::Control(header, body)) = Packet::parse(datagram) else {
            return;
        };
        if body.is_empty() && self.explain.traces.is_empty() {
            return;
        }
        let machine = self.tunnels.get(tunnel).map(|link| &link.machine);
        let clear = machine.map_or(body.into(), |machine| machine.reveal(body));
        let octets = self
            .explain
            .masked(|out| write_control(header, &clear, out));
        let what = What::Sent { octets };
        if body.is_empty() {
            return self.show_only(tunnel, what, now);
        }
        // What we assign in a message of a call is our own id of it.
        let is_call = MessageType::peek(&clear).is_ok_and(MessageType::is_call);
        let ours = assigned_session(&clear).filter(|_| is_call);
        let ours = ours.map(|id| SessionId(id.0));
        match ours.and_then(|id| self.index.lookup(tunnel, id)) {
            Some(slot) => self.note_session(slot, what, now),
            None => self.note_sent_for(tunnel, ours, what, now),
        }
    }

    /// A message of no call; or the goodbye of one that has ended, which is shown to those who follow it
    /// and not kept: the tunnel has other things to tell.
    fn note_sent_for(
        &mut self,
        tunnel: TunnelId,
        ours: Option<SessionId>,
        what: What,
        now: Instant,
    ) {
        let Some(id) = ours else {
            return self.note_tunnel(tunnel, what, now);
        };
        let is_it = |gone: &Subject| (gone.tunnel, gone.session) == (Some(tunnel), Some(id));
        let departed = self.explain.departed.iter().position(is_it);
        if let Some(subject) = departed.and_then(|at| self.explain.departed.remove(at)) {
            let entry = Arc::new(Entry::alone(now, what));
            self.explain.traces.show(&entry, &subject);
        } else {
            self.show_only(tunnel, what, now);
        }
    }

    /// A PPP frame has come for a session. LCP's echo is shown to those who follow, and not kept: an
    /// idle session has nothing else, and its last messages are to be others.
    pub(crate) fn note_frame(
        &mut self,
        slot: SlotIndex,
        frame: &[u8],
        result: &'static str,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        // As the LAC wrote it: our ids.
        let (tunnel, id) = (
            PeerTunnelId(session.tunnel.0),
            PeerSessionId(session.call.local().0),
        );
        let octets = self.explain.masked(|out| {
            l2tp::emit_data(tunnel, id, None, out);
            out.extend_from_slice(frame);
        });
        self.note_ppp(slot, frame, What::Received { octets, result }, now);
    }

    /// A PPP frame leaves.
    pub(crate) fn note_frame_sent(
        &mut self,
        slot: SlotIndex,
        (tunnel, session): (PeerTunnelId, PeerSessionId),
        frame: &[u8],
        now: Instant,
    ) {
        let octets = self.explain.masked(|out| {
            l2tp::emit_data(tunnel, session, None, out);
            out.extend_from_slice(frame);
        });
        self.note_ppp(slot, frame, What::Sent { octets }, now);
    }

    fn note_ppp(&mut self, slot: SlotIndex, frame: &[u8], what: What, now: Instant) {
        if !is_echo(frame) {
            return self.note_session(slot, what, now);
        }
        if let Some(subject) = self.subject_of(slot) {
            let entry = Arc::new(Entry::alone(now, what));
            self.explain.traces.show(&entry, &subject);
        }
    }

    // === Steps ===

    /// Notes what state the machine of a tunnel has come to.
    pub(crate) fn note_tunnel_state(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let to = link.machine.state();
        let from = core::mem::replace(&mut link.shown, to);
        if from != to {
            let step = Step::State {
                machine: "tunnel",
                from: from.label(),
                to: to.label(),
            };
            self.note_tunnel(tunnel, What::Step(step), now);
        }
    }

    /// Notes what states the machines of a session have come to.
    pub(crate) fn note_session_states(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let to = Shown::of(session);
        let from = core::mem::replace(&mut session.shown, to);
        if from == to {
            return;
        }
        for ((machine, from), (_, to)) in from.labels().into_iter().zip(to.labels()) {
            if from != to {
                let step = Step::State { machine, from, to };
                self.note_session(slot, What::Step(step), now);
            }
        }
    }

    pub(crate) fn note_step(&mut self, slot: SlotIndex, step: Step, now: Instant) {
        self.note_session(slot, What::Step(step), now);
    }

    /// A subscriber has said who it is: those who wait for the name see what went before.
    pub(crate) fn note_user(&mut self, slot: SlotIndex) {
        if self.explain.traces.is_empty() {
            return;
        }
        let Some(subject) = self.subject_of(slot) else {
            return;
        };
        let chain = self.sessions.get(slot).and_then(|session| session.last);
        let (entries, _) = self.explain.transcript.last(chain, limits::FAILURE_ENTRIES);
        self.explain.traces.show_earlier(&entries, &subject);
    }

    // === Ends ===

    /// A LAC was turned away.
    pub(crate) fn note_turned_away(&mut self, who: &TurnedAway<'_>, now: Instant) {
        let octets = self
            .explain
            .masked(|out| write_control(who.header, who.body, out));
        let result = who.reason;
        let came = What::Received { octets, result };
        let answer = who.answer.map(|(peer, reason)| {
            let octets = self.explain.masked(|out| {
                // It is a few octets of our own making, and fits.
                let _: Result<(), EmitError> = emit_refusal(peer, reason, out);
            });
            What::Sent { octets }
        });
        let entries: Vec<_> = [Some(came), answer]
            .into_iter()
            .flatten()
            .map(|what| Arc::new(Entry::alone(now, what)))
            .collect();
        let subject = Subject {
            tunnel: None,
            session: None,
            lac: who.lac.cloned(),
            user: None,
            calling_number: None,
            local: who.local,
            remote: who.remote,
        };
        for entry in &entries {
            self.explain.traces.show(entry, &subject);
        }
        let last = Last {
            host_name: Some(who.host_name.into()),
            ..Last::new(now, who.remote)
        };
        let failed = Who::of_tunnel(who.reason, who.lac.cloned(), who.remote);
        self.explain
            .failures
            .note(Kind::Refused, failed, last, || (entries, false));
    }

    /// A call was refused, and there never was a session.
    pub(crate) fn note_refused_call(
        &mut self,
        tunnel: TunnelId,
        (reason, answer): (&'static str, CdnReason),
        calling_number: Option<Box<str>>,
        asked: What,
        now: Instant,
    ) {
        let Some(link) = self.tunnels.get(tunnel) else {
            return;
        };
        let mut subject = link.subject(tunnel);
        subject.calling_number.clone_from(&calling_number);
        let mut chain = None;
        let told = Step::Told {
            message: "CDN",
            result: answer.label(),
        };
        let ended = Step::Ended { reason };
        for what in [asked, What::Step(told), What::Step(ended)] {
            let entry = self.explain.transcript.push(&mut chain, now, what);
            self.explain.traces.show(&entry, &subject);
        }
        // A LAC at its limit is one failure, whoever calls.
        let who = Who {
            stage: Stage::Call,
            ..Who::of_tunnel(reason, subject.lac, subject.remote)
        };
        let last = Last {
            calling_number,
            tunnel: Some(tunnel),
            ..Last::new(now, subject.remote)
        };
        let transcript = &self.explain.transcript;
        self.explain.failures.note(Kind::Failed, who, last, || {
            transcript.last(chain, limits::FAILURE_ENTRIES)
        });
    }

    /// A tunnel has ended.
    pub(crate) fn note_tunnel_end(&mut self, tunnel: TunnelId, reason: &CloseReason, now: Instant) {
        let label = reason.label();
        let ended = What::Step(Step::Ended { reason: label });
        self.note_tunnel(tunnel, ended, now);
        let sessions = self.index.sessions_of(tunnel);
        let Some(link) = self.tunnels.get(tunnel) else {
            return;
        };
        let kind = match link.up_at {
            Some(_) => Kind::Ended,
            None => Kind::Refused,
        };
        let last = Last {
            host_name: Some(crate::control::printable(link.machine.peer_name()).into()),
            detail: crate::control::why(reason),
            tunnel: Some(tunnel),
            up: link.up_at.map(|at| now.since(at)),
            sessions,
            ..Last::new(now, link.remote)
        };
        let who = Who::of_tunnel(label, Some(Arc::clone(&link.profile.lac.name)), link.remote);
        let (chain, transcript) = (link.last, &self.explain.transcript);
        self.explain.failures.note(kind, who, last, || {
            transcript.last(chain, limits::FAILURE_ENTRIES)
        });
    }

    /// A session has ended and is no longer in the tables. One that its tunnel took with it has nothing
    /// to tell: the tunnel has.
    pub(crate) fn note_session_end(
        &mut self,
        session: &mut Session,
        reason: &'static str,
        address: Option<Ipv4Addr>,
        now: Instant,
    ) {
        let Some(link) = self.tunnels.get(session.tunnel) else {
            return;
        };
        let went_with_its_tunnel = link.closed;
        let ended = What::Step(Step::Ended { reason });
        let entry = if went_with_its_tunnel {
            Arc::new(Entry::alone(now, ended))
        } else {
            self.explain.transcript.push(&mut session.last, now, ended)
        };
        if !self.explain.traces.is_empty() {
            let subject = session.subject(link);
            self.explain.traces.show(&entry, &subject);
            self.explain.depart(subject);
        }
        let kind = match session.up_at {
            Some(_) => Kind::Ended,
            None => Kind::Failed,
        };
        let last = Last {
            detail: session.detail.as_deref().or(link.why).map(Into::into),
            radius: session.answer.clone(),
            tunnel: Some(session.tunnel),
            session: Some(session.call.local()),
            called_number: session.about.called_number.clone(),
            address,
            up: session.up_at.map(|at| now.since(at)),
            ..Last::new(now, link.remote)
        };
        let who = Who {
            stage: session.stage,
            reason,
            lac: Some(Arc::clone(&session.profile.lac.name)),
            remote: link.remote.ip(),
            user: session.user.clone(),
            calling_number: session.about.calling_number.clone(),
        };
        let (chain, transcript) = (session.last, &self.explain.transcript);
        self.explain.failures.note(kind, who, last, || {
            if went_with_its_tunnel {
                return (Vec::new(), true);
            }
            transcript.last(chain, limits::FAILURE_ENTRIES)
        });
    }

    // === Where it goes ===

    /// Keeps it with its session, and shows it to those who follow.
    pub(crate) fn note_session(&mut self, slot: SlotIndex, what: What, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let entry = self.explain.transcript.push(&mut session.last, now, what);
        if !self.explain.traces.is_empty()
            && let Some(link) = self.tunnels.get(session.tunnel)
        {
            self.explain.traces.show(&entry, &session.subject(link));
        }
    }

    /// The same for a tunnel.
    pub(crate) fn note_tunnel(&mut self, tunnel: TunnelId, what: What, now: Instant) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let entry = self.explain.transcript.push(&mut link.last, now, what);
        if !self.explain.traces.is_empty() {
            self.explain.traces.show(&entry, &link.subject(tunnel));
        }
    }

    fn show_only(&mut self, tunnel: TunnelId, what: What, now: Instant) {
        if let Some(link) = self.tunnels.get(tunnel) {
            let entry = Arc::new(Entry::alone(now, what));
            self.explain.traces.show(&entry, &link.subject(tunnel));
        }
    }

    fn subject_of(&self, slot: SlotIndex) -> Option<Subject> {
        let session = self.sessions.get(slot)?;
        Some(session.subject(self.tunnels.get(session.tunnel)?))
    }
}

/// The states of a session's machines that were noted last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    call: CallState,
    phase: Phase,
    lcp: State,
    ipcp: State,
}

impl Default for Shown {
    /// A call that has just been answered.
    fn default() -> Self {
        Self {
            call: CallState::WaitConnect,
            phase: Phase::Dead,
            lcp: State::Initial,
            ipcp: State::Initial,
        }
    }
}

impl Shown {
    fn of(session: &Session) -> Self {
        let before = Self {
            call: session.call.state(),
            ..Self::default()
        };
        session.ppp.as_deref().map_or(before, |ppp| Self {
            phase: ppp.phase(),
            lcp: ppp.lcp_state(),
            ipcp: ppp.ipcp_state(),
            ..before
        })
    }

    const fn labels(self) -> [(&'static str, &'static str); 4] {
        [
            ("call", self.call.label()),
            ("LCP", self.lcp.label()),
            ("phase", self.phase.label()),
            ("IPCP", self.ipcp.label()),
        ]
    }
}

impl Who {
    /// A tunnel, or a LAC that has none.
    fn of_tunnel(reason: &'static str, lac: Option<Arc<str>>, remote: SocketAddr) -> Self {
        Self {
            stage: Stage::Tunnel,
            reason,
            lac,
            remote: remote.ip(),
            user: None,
            calling_number: None,
        }
    }
}

impl Last {
    /// Nothing is known but the time and the place.
    const fn new(at: Instant, remote: SocketAddr) -> Self {
        Self {
            at,
            remote,
            host_name: None,
            detail: None,
            radius: None,
            tunnel: None,
            session: None,
            calling_number: None,
            called_number: None,
            address: None,
            up: None,
            sessions: 0,
            transcript: Vec::new(),
            is_cut: false,
        }
    }
}

impl Link {
    /// The tunnel, for those who follow it.
    fn subject(&self, tunnel: TunnelId) -> Subject {
        Subject {
            tunnel: Some(tunnel),
            session: None,
            lac: Some(Arc::clone(&self.profile.lac.name)),
            user: None,
            calling_number: None,
            local: self.local,
            remote: self.remote,
        }
    }
}

impl Session {
    /// The call in its tunnel, for those who follow it.
    pub(crate) fn subject(&self, link: &Link) -> Subject {
        Subject {
            session: Some(self.call.local()),
            user: self.user.clone(),
            calling_number: self.about.calling_number.clone(),
            ..link.subject(self.tunnel)
        }
    }
}

/// Whether a frame is LCP's Echo-Request or Echo-Reply.
fn is_echo(frame: &[u8]) -> bool {
    lcp_code(frame).is_some_and(|code| [Code::ECHO_REQUEST, Code::ECHO_REPLY].contains(&code))
}

/// Whether a frame is LCP's Echo-Reply.
pub(crate) fn is_echo_reply(frame: &[u8]) -> bool {
    lcp_code(frame) == Some(Code::ECHO_REPLY)
}

fn lcp_code(frame: &[u8]) -> Option<Code> {
    let frame = Frame::parse(frame).ok()?;
    let lcp = (frame.protocol == Protocol::LCP).then_some(frame.information)?;
    Some(PppPacket::parse(lcp).ok()?.code)
}

/// A control message as its receiver read it. One that is too long for its header was never received.
fn write_control(header: ControlHeader, body: &[u8], out: &mut Vec<u8>) {
    let (tunnel, session) = (
        PeerTunnelId(header.tunnel.0),
        PeerSessionId(header.session.0),
    );
    let _: Result<(), EmitError> = emit_control(tunnel, session, header.ns, header.nr, body, out);
}
