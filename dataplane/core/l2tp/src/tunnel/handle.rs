//! What a received control message does to a tunnel.

use core::ops::Add as _;
use std::borrow::Cow;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId};
use lns_wire::l2tp::{
    ControlHeader, Message, MessageType, ParseError, ProtocolVersion, Scccn, Sccrp, StopCcn,
    StopCcnResult, assigned_session,
};

use super::{Action, CallMessage, Tunnel, TunnelEvent, TunnelState, action, auth};
use crate::channel::{Arrival, Full, Keeper, MessageNumber};
use crate::error::{Error, SendError};
use crate::hiding;
use crate::limits;
use crate::reason::{CdnReason, CloseReason, StopReason};

impl Tunnel {
    /// Takes in a control message that the node has found to be this tunnel's: by the tunnel id of its
    /// header or, for an SCCRQ that comes again, by its sender and Assigned Tunnel ID. Says what reliable
    /// delivery made of it; a ZLB is always [`Arrival::Next`].
    ///
    /// # Errors
    /// [`Error`]: the message is dropped, nothing has changed, and the node counts it.
    ///
    /// # Denial of service
    /// A peer that sends in order what was kept makes up to a window of messages be handled at once.
    pub fn handle_control(
        &mut self,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
        rng: &mut Rng,
    ) -> Result<Arrival, Error> {
        if self.state == TunnelState::Closed {
            return Err(Error::Closed);
        }
        let arrival = if body.is_empty() {
            self.check_address(header, body, Arrival::Next)?;
            self.channel.check_acknowledgement(header.nr)?;
            self.channel.acknowledge(header.nr, now);
            Arrival::Next
        } else {
            self.note_number(header, body, now)?;
            let arrival = self.channel.classify(header.ns, header.nr, body.len())?;
            self.check_address(header, body, arrival)?;
            self.take(arrival, header, body, now, rng)?;
            arrival
        };
        self.note_activity(now);
        self.settle();
        Ok(arrival)
    }

    /// After a takeover it matters how often what comes is ahead of what is expected.
    fn note_number(
        &mut self,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        let is_up = self.state == TunnelState::Established && header.tunnel == self.local;
        if is_up && self.channel.is_unheard() {
            self.channel.check_acknowledgement(header.nr)?;
            self.open(body)?;
            self.channel.note_number(header.ns, now);
        }
        Ok(())
    }

    /// Two messages name no tunnel: an SCCRQ, which here can only be one that comes again, and the
    /// `StopCCN` of a peer that has not had our SCCRP.
    fn check_address(
        &self,
        header: ControlHeader,
        body: &[u8],
        arrival: Arrival,
    ) -> Result<(), Error> {
        let again = arrival == Arrival::Duplicate;
        let stop = || {
            self.state == TunnelState::WaitCtlConn
                && MessageType::peek(body) == Ok(MessageType::StopCcn)
        };
        if header.tunnel == self.local || header.tunnel.is_none() && (again || stop()) {
            Ok(())
        } else {
            Err(Error::WrongTunnel)
        }
    }

    fn take(
        &mut self,
        arrival: Arrival,
        header: ControlHeader,
        body: &[u8],
        now: Instant,
        rng: &mut Rng,
    ) -> Result<(), Error> {
        match arrival {
            Arrival::Duplicate => {
                // It was good when it came first: one that is not is somebody else's, or broken.
                self.open(body)?;
                self.channel.acknowledge(header.nr, now);
                self.channel.acknowledge_again();
                if self.state == TunnelState::WaitCtlConn {
                    self.channel.resend();
                }
            }
            Arrival::Next => {
                let clear = self.open(body)?;
                self.channel.acknowledge(header.nr, now);
                self.channel.receive();
                if self.state == TunnelState::WaitCtlConn {
                    // It answers our SCCRP: the peer is where it says.
                    self.channel.hold(false, now);
                }
                self.dispatch(header, &clear, now, rng);
                while let Some((header, body)) = self.channel.next_kept() {
                    self.dispatch(header, &body, now, rng);
                }
            }
            Arrival::Early => {
                let clear = self.open(body)?;
                self.channel.acknowledge(header.nr, now);
                if self.state.is_open() {
                    self.channel.keep(header, clear.into());
                }
            }
        }
        Ok(())
    }

    /// The body in clear, if it is worth a place in the order of messages: a good one, or one that is
    /// answered.
    fn open<'b>(&self, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Error> {
        let clear = match hiding::open(body, self.config.secrets.as_ref(), self.choice) {
            Ok((clear, _)) => clear,
            Err(error) if error.is_malformed() => return Err(Error::Malformed(error)),
            // What cannot be revealed is unknown to the parser, which says so again.
            Err(_) => Cow::Borrowed(body),
        };
        match Message::parse(&clear) {
            Err(error) if error.is_malformed() => Err(Error::Malformed(error)),
            Ok(_) | Err(_) => Ok(clear),
        }
    }

    /// Handles a message whose turn has come.
    fn dispatch(&mut self, header: ControlHeader, body: &[u8], now: Instant, rng: &mut Rng) {
        let message = match Message::parse(body) {
            Ok(message) => message,
            Err(error) => return self.reject(header, body, error, now, rng),
        };
        match (action(self.state, message.kind()), &message) {
            (Action::Connect, Message::Sccrp(sccrp)) => {
                if let Err(reason) = self.connected(sccrp) {
                    self.close(reason, now);
                }
            }
            (Action::Complete, Message::Scccn(scccn)) => {
                if let Err(reason) = self.completed(*scccn) {
                    self.close(reason, now);
                }
            }
            (Action::Stop, Message::StopCcn(stop)) => self.stopped(stop, now),
            (Action::Deliver, _) => {
                self.events.push_back(TunnelEvent::Call(CallMessage {
                    header,
                    body: body.into(),
                }));
            }
            (Action::Acknowledge | Action::Ignore, _) => {}
            (Action::FsmError | Action::Connect | Action::Complete | Action::Stop, _) => {
                self.close(StopReason::Fsm, now);
            }
        }
    }

    /// Answers a message that cannot be accepted: with the end of its call if it is about one, else of
    /// the tunnel (RFC 2661, 4.2 and 7).
    fn reject(
        &mut self,
        header: ControlHeader,
        body: &[u8],
        error: ParseError,
        now: Instant,
        rng: &mut Rng,
    ) {
        if error.is_ignorable() || !self.state.is_open() {
            return;
        }
        match MessageType::peek(body) {
            Ok(kind) if kind.is_call() && self.state == TunnelState::Established => {
                if let Some(peer) = assigned_session(body)
                    && header.session.is_none()
                    && kind != MessageType::Cdn
                {
                    // If the queue is full, the peer's patience ends it.
                    let _: Result<(), SendError> =
                        self.refuse_call(peer, CdnReason::Invalid(error), rng);
                }
                let body = body.into();
                let message = CallMessage { header, body };
                self.events
                    .push_back(TunnelEvent::InvalidCall { message, error });
            }
            Ok(_) | Err(_) => self.close(StopReason::Invalid(error), now),
        }
    }

    /// Sends the CDN of a call that never was.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed: the peer's patience ends the call.
    pub fn refuse_call(
        &mut self,
        peer: PeerSessionId,
        reason: CdnReason,
        rng: &mut Rng,
    ) -> Result<(), SendError> {
        reason.with_message(SessionId::NONE, None, |message| {
            self.say((peer, Keeper::Tunnel), message, rng).map(drop)
        })
    }

    fn connected(&mut self, sccrp: &Sccrp<'_>) -> Result<(), StopReason> {
        self.meet(
            sccrp.assigned_tunnel,
            sccrp.host_name,
            sccrp.vendor_name,
            sccrp.receive_window,
        );
        if sccrp.version != ProtocolVersion::ONE {
            return Err(StopReason::Version);
        }
        if sccrp.challenge.is_some() && sccrp.challenge == self.issued_challenge() {
            // Our own challenge: whoever sends it back wants us to answer it.
            return Err(StopReason::NotAuthorized);
        }
        self.verify(MessageType::Sccrp, sccrp.challenge_response)?;
        let secrets = self.config.secrets.as_ref();
        let challenge_response =
            auth::respond(secrets, self.choice, MessageType::Scccn, sccrp.challenge)?;
        self.queue(&Message::Scccn(Scccn { challenge_response }));
        self.establish();
        Ok(())
    }

    fn completed(&mut self, scccn: Scccn) -> Result<(), StopReason> {
        self.verify(MessageType::Scccn, scccn.challenge_response)?;
        self.establish();
        Ok(())
    }

    /// Checks the answer to our challenge, if there was one, and remembers the secret that it proves.
    fn verify(&mut self, kind: MessageType, response: Option<[u8; 16]>) -> Result<(), StopReason> {
        if let (Some(challenge), Some(secrets)) = (self.challenge, &self.config.secrets) {
            self.choice = challenge.verify(secrets, self.choice, kind, response)?;
            self.challenge = None;
        }
        Ok(())
    }

    fn establish(&mut self) {
        self.state = TunnelState::Established;
        self.deadline = None;
        self.tie_breaker = None;
        self.channel.set_kept_limit(limits::KEPT_OCTETS);
        self.events.push_back(TunnelEvent::Established);
    }

    fn stopped(&mut self, stop: &StopCcn<'_>, now: Instant) {
        if self.peer.is_none() {
            self.peer = stop.assigned_tunnel;
        }
        self.channel.abandon();
        self.deadline = Some(now.add(self.config.retransmit.cycle()));
        let advisory = stop.result.advisory;
        let reason = CloseReason::Peer {
            result: StopCcnResult(stop.result.result),
            error: stop.result.error,
            advisory: advisory.get(..limits::ADVISORY).unwrap_or(advisory).into(),
        };
        self.end(TunnelState::Lingering, reason);
    }

    /// Leaves the open states, and tells it once. Our answer to the peer's challenge may have been the
    /// reason if the peer went away, in words or in silence, before it proved anything itself.
    pub(super) fn end(&mut self, state: TunnelState, reason: CloseReason) {
        let before = core::mem::replace(&mut self.state, state);
        if state == TunnelState::Closed {
            self.deadline = None;
        }
        if !before.is_open() {
            return;
        }
        let peer_left = match reason {
            CloseReason::Peer { .. }
            | CloseReason::NoAnswer
            | CloseReason::Local(StopReason::SetupTimeout) => true,
            CloseReason::Local(_) | CloseReason::TieLost | CloseReason::PeerRestarted => false,
        };
        let has_other = self
            .config
            .secrets
            .as_ref()
            .is_some_and(|secrets| secrets.previous.is_some());
        let doubtful =
            peer_left && before == TunnelState::WaitCtlConn && self.was_challenged && has_other;
        let retry_with = doubtful.then(|| self.choice.other());
        self.events
            .push_back(TunnelEvent::Closed { reason, retry_with });
    }

    /// After our `StopCCN` is acknowledged nothing is left to wait for.
    fn settle(&mut self) {
        if self.state == TunnelState::Stopping && self.channel.is_idle() {
            self.state = TunnelState::Closed;
            self.deadline = None;
        }
    }

    /// Notes who the peer is.
    pub(super) fn meet(
        &mut self,
        id: PeerTunnelId,
        name: &[u8],
        vendor: Option<&[u8]>,
        receive_window: Option<u16>,
    ) {
        let cut = |name: &[u8]| name.get(..limits::PEER_NAME).unwrap_or(name).into();
        self.peer = id;
        self.peer_name = cut(name);
        self.peer_vendor = vendor.map(cut).unwrap_or_default();
        self.channel
            .set_peer_window(receive_window.unwrap_or(limits::PEER_WINDOW));
    }

    /// Queues a message of the tunnel itself. Its parts are of our own making and fit; the queue of a
    /// tunnel that has just begun, or is silent, has room.
    pub(super) fn queue(&mut self, message: &Message<'_>) {
        let mut body = Vec::with_capacity(128);
        if message.emit(&mut body).is_ok() {
            let _: Result<MessageNumber, Full> =
                self.channel
                    .send(PeerSessionId::NONE, Keeper::Tunnel, body.into());
        }
    }
}
