//! Control messages from the network to the tunnel that they belong to, and tunnels from their first
//! message to their last (RFC 2661, 5.1, 5.5, 5.7).
//!
//! Calls are in `calls`; when a message is accepted and in which order is the tunnel's own affair.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use lns_l2tp::{
    CloseReason, SecretChoice, StopReason, Tunnel, TunnelEvent, TunnelState, emit_refusal,
};
use lns_tables::path::{PathUpdate, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerTunnelId, TunnelId};
use lns_wire::l2tp::{
    Avps, ControlHeader, Message, MessageType, Packet, ParseError, Sccrq, StopCcnResult,
    assigned_tunnel, kind,
};

use crate::ends::TUNNEL_CLOSED;
use crate::event::Event;
use crate::lacs::{Denial, Profile};
use crate::limits;
use crate::node::{Node, SecretKey};
use crate::observe::TurnedAway;
use crate::record::{RecordKey, Role};
use crate::transmit::Transmit;
use crate::tunnels::{Asked, Link};

/// How long the workers may take to say when they last heard from a LAC, before a HELLO asks it.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Name of the counter's label for a message whose type is not known.
const NO_TYPE: &str = "none";

/// An SCCRQ that is about no tunnel yet, and where it came from.
struct Asking<'a> {
    local: SocketAddr,
    remote: SocketAddr,
    header: ControlHeader,
    /// With nothing hidden.
    body: &'a [u8],
    asked: Asked,
    sccrq: &'a Sccrq<'a>,
}

impl Node {
    /// A control message as it came from the network.
    pub fn handle_control(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        let (header, body) = match Packet::parse(datagram) {
            Ok(Packet::Control(header, body)) => (header, body),
            Ok(Packet::Data(..)) => return self.stats.drop("data_on_control"),
            Err(error) => return self.stats.drop(error.label()),
        };
        if self.role() == Role::Standby {
            return self.forward_control(local, remote, datagram);
        }
        if header.tunnel.is_none() {
            self.handle_unaddressed(local, remote, header, body, now);
        } else {
            self.handle_addressed(remote, header, body, now);
        }
    }

    fn handle_addressed(
        &mut self,
        remote: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        let tunnel = header.tunnel;
        let Some(link) = self.tunnels.get(tunnel) else {
            return self.stats.drop("unknown_tunnel");
        };
        let may_move =
            link.machine.state() == TunnelState::WaitCtlConn && link.remote.ip() == remote.ip();
        if link.remote != remote && !may_move {
            return self.stats.drop("control_wrong_source");
        }
        let moved = link.remote != remote;
        if self.deliver(tunnel, header, body, now) && moved && self.is_established(tunnel) {
            // The port is the peer's to choose until its SCCCN, and the SCCCN has shown that it is the
            // peer's.
            self.tunnels.moved(tunnel, remote);
            self.publish_tunnel(tunnel);
        }
        self.settle_tunnel(tunnel, now);
    }

    /// A message that names no tunnel: only an SCCRQ may.
    fn handle_unaddressed(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        if !self.lacs.knows(remote.ip()) {
            return self.refuse_silently(local, remote, header, body, now);
        }
        let clear = self.lacs.reveal(remote.ip(), body);
        let message = match Message::parse(&clear) {
            Ok(message) => message,
            Err(error) => {
                return self.refuse_unreadable((local, remote), header, &clear, error, now);
            }
        };
        // An SCCRQ may come again, and a LAC may leave before it has learned our id.
        let known = match &message {
            Message::Sccrq(sccrq) => {
                self.repeated(remote, sccrq.assigned_tunnel, Asked::of(body), now)
            }
            Message::StopCcn(stop) => self.leaving(remote, stop.assigned_tunnel, now),
            Message::Sccrp(_)
            | Message::Scccn(_)
            | Message::Hello
            | Message::Ocrq(_)
            | Message::Ocrp(_)
            | Message::Occn(_)
            | Message::Icrq(_)
            | Message::Icrp(_)
            | Message::Iccn(_)
            | Message::Cdn(_)
            | Message::Wen(_)
            | Message::Sli(_) => None,
        };
        match (known, &message) {
            (Some(tunnel), _) => {
                self.deliver(tunnel, header, body, now);
                self.settle_tunnel(tunnel, now);
            }
            (None, Message::Sccrq(sccrq)) => {
                let asking = Asking {
                    local,
                    remote,
                    header,
                    body: &clear,
                    asked: Asked::of(body),
                    sccrq,
                };
                self.open_tunnel(&asking, now);
            }
            (None, other) => self
                .stats
                .control_message(other.kind().label(), "no_tunnel"),
        }
    }

    /// The tunnel whose SCCRQ comes again. One that is over, or has outlived its SCCRQ, is no answer to
    /// a LAC that starts anew.
    fn repeated(
        &self,
        remote: SocketAddr,
        peer: PeerTunnelId,
        asked: Asked,
        now: Instant,
    ) -> Option<TunnelId> {
        let tunnel = self.tunnels.of_peer(remote, peer)?;
        let link = self.tunnels.get(tunnel)?;
        link.is_of_its_sccrq(asked, now).then_some(tunnel)
    }

    /// The tunnel of a LAC that leaves before it has learned our id.
    fn leaving(&self, remote: SocketAddr, peer: PeerTunnelId, now: Instant) -> Option<TunnelId> {
        let tunnel = self.tunnels.of_peer(remote, peer)?;
        let link = self.tunnels.get(tunnel)?;
        link.is_of_its_sccrq(link.asked, now).then_some(tunnel)
    }

    /// A message without a tunnel that cannot be accepted: an SCCRQ of a LAC that has an entry is told
    /// why (RFC 2661, 4.2), anything else is counted.
    fn refuse_unreadable(
        &mut self,
        (local, remote): (SocketAddr, SocketAddr),
        header: ControlHeader,
        body: &[u8],
        error: ParseError,
        now: Instant,
    ) {
        self.stats.control_message(type_of(body), error.label());
        let name = host_name(body).unwrap_or_default();
        let Some(profile) = self.lacs.find(remote.ip(), name) else {
            return;
        };
        if MessageType::peek(body) != Ok(MessageType::Sccrq) {
            return;
        }
        let lac = Arc::clone(&profile.lac.name);
        let who = TurnedAway {
            local,
            remote,
            header,
            body,
            host_name: &printable(name),
            lac: Some(&lac),
            reason: error.label(),
            answer: assigned_tunnel(body)
                .filter(|_| error.general_error().is_some())
                .map(|peer| (peer, StopReason::Invalid(error))),
        };
        self.note_turned_away(&who, now);
        if let Some((peer, reason)) = who.answer {
            self.refuse(local, remote, peer, reason);
        }
    }

    /// Gives a message to its tunnel and counts what became of it. Whether it was accepted.
    fn deliver(
        &mut self,
        tunnel: TunnelId,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) -> bool {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return false;
        };
        let before = link.machine.state();
        let handled = link
            .machine
            .handle_control(header, body, now, &mut self.rng);
        let result = handled
            .as_ref()
            .map_or_else(lns_l2tp::Error::label, |_| "ok");
        self.stats.control_message(type_of(body), result);
        self.note_arrival(tunnel, (header, body), before, handled, now);
        handled.is_ok()
    }

    fn refuse_silently(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) {
        let reason = Denial::Unknown.label();
        match Message::parse(body) {
            Ok(Message::Sccrq(sccrq)) => {
                let asking = Asking {
                    local,
                    remote,
                    header,
                    body,
                    asked: Asked::of(body),
                    sccrq: &sccrq,
                };
                self.turn_away(&asking, reason, None, now);
            }
            // Not even that: nothing that an engineer would want to see in a list of LACs.
            Ok(_) | Err(_) => self.stats.drop(reason),
        }
    }

    /// Notes everywhere that a LAC gets no tunnel, and tells it so where there is an answer.
    fn turn_away(
        &mut self,
        asking: &Asking<'_>,
        reason: &'static str,
        answer: Option<StopReason>,
        now: Instant,
    ) {
        let host_name = printable(asking.sccrq.host_name);
        let remote = asking.remote;
        self.stats
            .control_message(MessageType::Sccrq.label(), reason);
        self.lacs.note_refused(remote, &host_name, reason, now);
        let lac = self
            .lacs
            .find(remote.ip(), asking.sccrq.host_name)
            .map(|profile| Arc::clone(&profile.lac.name));
        let who = TurnedAway {
            local: asking.local,
            remote,
            header: asking.header,
            body: asking.body,
            host_name: &host_name,
            lac: lac.as_ref(),
            reason,
            answer: answer.map(|answer| (asking.sccrq.assigned_tunnel, answer)),
        };
        self.note_turned_away(&who, now);
        if let Some((peer, answer)) = who.answer {
            self.refuse(asking.local, remote, peer, answer);
        }
        self.event(Event::LacRefused {
            remote,
            host_name: host_name.into(),
            reason,
        });
    }

    fn open_tunnel(&mut self, asking: &Asking<'_>, now: Instant) {
        let profile = match self.admit_lac(asking.remote, asking.sccrq) {
            Ok(profile) => profile,
            Err(denial) => {
                return self.turn_away(asking, denial.label(), answer_to(denial), now);
            }
        };
        let opened = if self.tunnels.may_open() {
            let rng = &mut self.rng;
            self.index.open_tunnel(now, &mut || rng.u32())
        } else {
            None
        };
        let Some(tunnel) = opened else {
            let answer = Some(StopReason::Resources);
            return self.turn_away(asking, "no_tunnel_ids", answer, now);
        };
        self.reopen(RecordKey::Tunnel(tunnel));
        let key = (Arc::clone(&profile.lac.name), asking.remote.ip());
        let choice = self.secret_choices.get(&key).copied().unwrap_or_default();
        match Tunnel::accept(
            Arc::clone(&profile.tunnel),
            tunnel,
            asking.sccrq,
            choice,
            now,
            &mut self.rng,
        ) {
            Ok(machine) => self.insert_tunnel(tunnel, asking, profile, machine, now),
            Err(reason) => {
                self.index.withdraw_tunnel(tunnel);
                self.turn_away(asking, reason.label(), Some(reason), now);
            }
        }
    }

    fn insert_tunnel(
        &mut self,
        tunnel: TunnelId,
        asking: &Asking<'_>,
        profile: Arc<Profile>,
        machine: Tunnel,
        now: Instant,
    ) {
        let replaces = self
            .tunnels
            .of_peer(asking.remote, asking.sccrq.assigned_tunnel);
        let link = Link {
            shown: machine.state(),
            machine,
            profile,
            local: asking.local,
            remote: asking.remote,
            opened_at: now,
            up_at: None,
            closed: false,
            why: None,
            clearing: false,
            report_asked: false,
            replaces,
            asked: asking.asked,
            last: None,
            written: None,
            stored: None,
        };
        if let Some(entry) = self.lacs.entry(&link.profile.lac.name) {
            entry.tunnels = entry.tunnels.saturating_add(1);
        }
        self.tunnels.insert(tunnel, link);
        self.stats.control_message(MessageType::Sccrq.label(), "ok");
        self.note_sccrq(tunnel, asking.header, asking.body, now);
        self.settle_tunnel(tunnel, now);
    }

    fn admit_lac(&mut self, remote: SocketAddr, sccrq: &Sccrq<'_>) -> Result<Arc<Profile>, Denial> {
        let profile = self
            .lacs
            .find(remote.ip(), sccrq.host_name)
            .cloned()
            .ok_or(Denial::Unknown)?;
        if self.draining {
            return Err(Denial::Draining);
        }
        if !self.admitting {
            return Err(Denial::TakingOver);
        }
        self.lacs
            .entry(&profile.lac.name)
            .ok_or(Denial::Unknown)?
            .admit_tunnel()?;
        Ok(profile)
    }

    /// Answers an SCCRQ with a StopCCN and keeps nothing of it.
    fn refuse(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        peer: PeerTunnelId,
        reason: StopReason,
    ) {
        let transmit = Transmit {
            local,
            remote,
            sequence: None,
            waits: false,
            as_data: false,
        };
        let mut written = Ok(());
        let queued = self
            .frames
            .push(transmit, |out| written = emit_refusal(peer, reason, out));
        if !queued || written.is_err() {
            self.stats.drop("transmit_queue_full");
        }
    }

    /// Deals with all that a step of a tunnel brought about.
    pub(crate) fn settle_tunnel(&mut self, tunnel: TunnelId, now: Instant) {
        self.note_tunnel_state(tunnel, now);
        while let Some(event) = self
            .tunnels
            .get_mut(tunnel)
            .and_then(|link| link.machine.poll_event())
        {
            match event {
                TunnelEvent::Established => self.tunnel_established(tunnel, now),
                TunnelEvent::Call(message) => self.handle_call(tunnel, &message, now),
                TunnelEvent::InvalidCall { message, error } => {
                    self.invalid_call(tunnel, &message, error, now);
                }
                TunnelEvent::Closed { reason, retry_with } => {
                    self.tunnel_closed(tunnel, &reason, retry_with, now);
                }
            }
        }
        self.ready.mark(u32::from(tunnel.0));
        self.touch_tunnel(tunnel);
        self.rearm_tunnel(tunnel);
        self.drop_if_drained(tunnel, now);
    }

    fn tunnel_established(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        link.up_at = Some(now);
        let event = Event::TunnelUp {
            tunnel,
            lac: Arc::clone(&link.profile.lac.name),
            remote: link.remote,
            host_name: printable(link.machine.peer_name()).into(),
        };
        let replaced = link.replaces.take();
        self.tunnels.opening = self.tunnels.opening.saturating_sub(1);
        self.tunnels.up = self.tunnels.up.saturating_add(1);
        self.publish_tunnel(tunnel);
        self.event(event);
        if let Some(old) = replaced {
            self.replace_tunnel(old, tunnel, now);
        }
    }

    /// The LAC of `new` has proved to be there, and has another tunnel under the same id: it has
    /// forgotten that one. Nothing is said in it, for the LAC would take it for said in `new`.
    fn replace_tunnel(&mut self, old: TunnelId, new: TunnelId, now: Instant) {
        let end = |link: &Link| (link.remote.ip(), link.machine.peer());
        let same = self.tunnels.get(old).map(end) == self.tunnels.get(new).map(end);
        if let Some(link) = self.tunnels.get_mut(old).filter(|_| same) {
            link.machine.replace();
            self.settle_tunnel(old, now);
        }
    }

    fn is_established(&self, tunnel: TunnelId) -> bool {
        self.tunnels
            .get(tunnel)
            .is_some_and(|link| link.machine.state() == TunnelState::Established)
    }

    pub(crate) fn publish_tunnel(&mut self, tunnel: TunnelId) {
        let Some(link) = self.tunnels.get(tunnel) else {
            return;
        };
        let path = TunnelPath {
            local: link.local,
            remote: link.remote,
            peer_tunnel: link.machine.peer(),
        };
        self.path.push_back(PathUpdate::SetTunnel { tunnel, path });
    }

    fn tunnel_closed(
        &mut self,
        tunnel: TunnelId,
        reason: &CloseReason,
        retry_with: Option<SecretChoice>,
        now: Instant,
    ) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        if core::mem::replace(&mut link.closed, true) {
            return;
        }
        link.clearing = true;
        link.why = Some(reason.label());
        self.note_tunnel_end(tunnel, reason, now);
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let key = (Arc::clone(&link.profile.lac.name), link.remote.ip());
        let message = said(reason);
        let event = Event::TunnelDown {
            tunnel,
            lac: Arc::clone(&link.profile.lac.name),
            remote: link.remote,
            reason: reason.label(),
            message,
        };
        let refused = unproven(reason).filter(|_| link.up_at.is_none());
        let refused =
            refused.map(|reason| (reason, link.remote, printable(link.machine.peer_name())));
        let count = match link.up_at {
            Some(_) => &mut self.tunnels.up,
            None => &mut self.tunnels.opening,
        };
        *count = count.saturating_sub(1);
        if let Some((reason, remote, host_name)) = refused {
            if let Some(entry) = self.lacs.entry(&key.0) {
                entry.note_refusal(reason);
            }
            self.lacs.note_refused(remote, &host_name, reason, now);
            self.event(Event::LacRefused {
                remote,
                host_name: host_name.into(),
                reason,
            });
        }
        // What only lingers to acknowledge takes no place from a LAC that comes back.
        self.lacs.release_tunnel(&key.0);
        if let Some(choice) = retry_with {
            self.remember_secret(key, choice);
        }
        self.stats.tunnel_ending(reason.label());
        self.event(event);
        self.teardown.push_back((tunnel, TUNNEL_CLOSED));
    }

    /// The next SCCRQ of this LAC is answered with this secret. Only what differs from the usual is
    /// kept, so an entry costs an address of a LAC that has authenticated itself or tried to.
    fn remember_secret(&mut self, key: SecretKey, choice: SecretChoice) {
        match choice {
            SecretChoice::Current => {
                self.secret_choices.remove(&key);
            }
            SecretChoice::Previous if self.secret_choices.len() < limits::SECRET_CHOICES => {
                self.secret_choices.insert(key, choice);
            }
            SecretChoice::Previous => {}
        }
    }

    /// Ends a tunnel with all its calls: StopCCN.
    pub(crate) fn close_tunnel(&mut self, tunnel: TunnelId, reason: StopReason, now: Instant) {
        if let Some(link) = self.tunnels.get_mut(tunnel) {
            link.machine.close(reason, now);
            self.settle_tunnel(tunnel, now);
        }
    }

    /// Ends a tunnel as an administrator would. `false`: there is no such tunnel.
    pub fn handle_disconnect_tunnel(&mut self, tunnel: TunnelId, now: Instant) -> bool {
        let open = self
            .tunnels
            .get(tunnel)
            .is_some_and(|link| link.machine.state().is_open());
        self.close_tunnel(tunnel, StopReason::Requested, now);
        open
    }

    /// The last of a tunnel's calls is gone. If its peer may still ask, it stays to answer.
    pub(crate) fn calls_cleared(&mut self, tunnel: TunnelId, now: Instant) {
        if let Some(link) = self.tunnels.get_mut(tunnel) {
            link.clearing = false;
        }
        self.path.push_back(PathUpdate::ClearTunnel { tunnel });
        self.drop_if_drained(tunnel, now);
    }

    /// Forgets a tunnel that is over for both sides.
    pub(crate) fn drop_if_drained(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(link) = self.tunnels.get(tunnel) else {
            return;
        };
        if !link.closed || link.clearing || !link.machine.is_drained() {
            return;
        }
        self.tunnels.remove(tunnel);
        self.bury_tunnel(tunnel, now);
        self.wheel
            .disarm(self.max_sessions.saturating_add(u32::from(tunnel.0)));
        self.index.close_tunnel(tunnel, now);
    }

    pub(crate) fn tunnel_due(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        let hello_due = link.machine.hello_at().is_some_and(|at| at <= now);
        if hello_due && !link.report_asked {
            // Data counts as a sign of life, and only the workers see it.
            link.report_asked = true;
            self.path.push_back(PathUpdate::ReportTunnel { tunnel });
            let key = self.max_sessions.saturating_add(u32::from(tunnel.0));
            return self.wheel.arm(key, now + REPORT_PATIENCE);
        }
        link.report_asked = false;
        link.machine.handle_timeout(now);
        self.settle_tunnel(tunnel, now);
    }

    pub(crate) fn tunnel_reported(
        &mut self,
        tunnel: TunnelId,
        last_received: Option<Instant>,
        now: Instant,
    ) {
        let Some(link) = self.tunnels.get_mut(tunnel) else {
            return;
        };
        if let Some(then) = last_received {
            link.machine.note_activity(then);
        }
        if link.report_asked {
            self.tunnel_due(tunnel, now);
        }
    }
}

/// What the LAC said when it closed a tunnel, if it said anything.
fn said(reason: &CloseReason) -> Option<Box<str>> {
    match reason {
        CloseReason::Peer { advisory, .. } if !advisory.is_empty() => {
            Some(printable(advisory).into())
        }
        CloseReason::Peer { .. }
        | CloseReason::Local(_)
        | CloseReason::NoAnswer
        | CloseReason::TieLost
        | CloseReason::PeerRestarted => None,
    }
}

/// More of why a tunnel ended than its label says.
pub(crate) fn why(reason: &CloseReason) -> Option<Box<str>> {
    unproven(reason).map(Into::into).or_else(|| said(reason))
}

/// What a LAC that is turned away is told; `None`: nothing.
const fn answer_to(denial: Denial) -> Option<StopReason> {
    match denial {
        // The LAC says it again, and then there may be an answer.
        Denial::Unknown | Denial::TakingOver => None,
        Denial::Draining => Some(StopReason::TryAnother),
        Denial::Refused => Some(StopReason::NotAuthorized),
        Denial::MaxTunnels | Denial::MaxSessions | Denial::SetupRate => Some(StopReason::Resources),
    }
}

/// How tunnel authentication failed, in words that tell the two sides apart.
const fn unproven(reason: &CloseReason) -> Option<&'static str> {
    match reason {
        CloseReason::Local(StopReason::NotAuthorized) => Some("wrong_secret"),
        CloseReason::Peer { result, .. } if result.0 == StopCcnResult::NOT_AUTHORIZED.0 => {
            Some("secret_refused_by_lac")
        }
        CloseReason::Local(_)
        | CloseReason::Peer { .. }
        | CloseReason::NoAnswer
        | CloseReason::TieLost
        | CloseReason::PeerRestarted => None,
    }
}

/// Octets of a peer's as text that can be shown: what is no UTF-8, and control characters, are
/// replaced.
pub(crate) fn printable(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The Host Name of a message that may otherwise be unacceptable.
fn host_name(body: &[u8]) -> Option<&[u8]> {
    Avps::new(body)
        .map_while(Result::ok)
        .find(|avp| avp.is_readable() && avp.kind == kind::HOST_NAME)
        .map(|avp| avp.value)
}

fn type_of(body: &[u8]) -> &'static str {
    if body.is_empty() {
        "ZLB"
    } else {
        MessageType::peek(body).map_or(NO_TYPE, MessageType::label)
    }
}
