//! The machine of a control connection (RFC 2661, 5.1, 5.5 to 5.7, 7.2), on both sides.
//!
//! Two deviations, both against those who send SCCRQs under somebody else's address: until an SCCCN
//! has shown that the peer is where it says, an SCCRP is sent again only in answer to an SCCRQ that
//! comes again, never by our own timer; and nothing is acknowledged in between except by that SCCRP.
//!
//! The table of states and messages is [`action`]; what each action does is in `handle`, tunnel
//! authentication in `auth`. Addresses, ports and calls are the node's.

mod action;
mod auth;
mod handle;
mod image;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests;

use core::ops::Add as _;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    ControlHeader, Message, MessageType, ParseError, PppDisconnectCause, ProtocolVersion, Sccrp,
    Sccrq, hidden,
};

use crate::channel::{Channel, ChannelStatus, Full, Keeper, MessageNumber};
use crate::config::{SecretChoice, TunnelConfig};
use crate::error::SendError;
use crate::hiding::{self, Hider};
use crate::limits;
use crate::reason::{CdnReason, CloseReason, StopReason};

pub use action::{Action, TunnelState, action};
use auth::Challenge;
pub use image::TunnelImage;

/// One control connection.
#[derive(Debug)]
pub struct Tunnel {
    config: Arc<TunnelConfig>,
    local: TunnelId,
    peer: PeerTunnelId,
    role: Role,
    state: TunnelState,
    channel: Channel,
    choice: SecretChoice,
    /// Ours, until it is answered.
    challenge: Option<Challenge>,
    /// The peer challenged us, and we answered with `choice`.
    was_challenged: bool,
    tie_breaker: Option<u64>,
    peer_name: Box<[u8]>,
    peer_vendor: Box<[u8]>,
    /// When anything last came from the peer, control or data.
    heard: Instant,
    /// When the state is left if nothing else happens.
    deadline: Option<Instant>,
    events: VecDeque<TunnelEvent>,
}

/// Who asked for the tunnel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// We did.
    Initiator,
    /// The peer did.
    Responder,
}

/// What has happened to a tunnel.
#[derive(Clone, Debug, PartialEq)]
pub enum TunnelEvent {
    /// It is up: calls may come.
    Established,
    /// A message of a call came, in its order.
    Call(CallMessage),
    /// A message of a call came that cannot be accepted: the call is to be closed with
    /// [`CdnReason::Invalid`]. One that is about no session of ours yet was answered already.
    InvalidCall {
        /// Which message; it does not parse.
        message: CallMessage,
        /// What is wrong with it.
        error: ParseError,
    },
    /// It is over, and with it all its calls. It stays for a while to answer what comes again: until
    /// [`Tunnel::is_drained`].
    Closed {
        /// Why.
        reason: CloseReason,
        /// The peer may have refused our answer to its challenge: its next SCCRQ should be answered
        /// with this secret.
        retry_with: Option<SecretChoice>,
    },
}

/// A message of a call, parsed once and kept as octets.
#[derive(Clone, Eq, PartialEq)]
pub struct CallMessage {
    header: ControlHeader,
    body: Box<[u8]>,
}

impl core::fmt::Debug for CallMessage {
    /// A body may hold a password, and is not shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = MessageType::peek(&self.body);
        f.debug_struct("CallMessage")
            .field("header", &self.header)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

impl CallMessage {
    /// The session of the header: none in an ICRQ, and in a CDN that comes before our ICRP has arrived;
    /// there the Assigned Session ID tells the call.
    pub const fn session(&self) -> SessionId {
        self.header.session
    }

    /// The header with which it came.
    pub const fn header(&self) -> ControlHeader {
        self.header
    }

    /// The AVPs, with nothing hidden that we can read.
    pub const fn body(&self) -> &[u8] {
        &self.body
    }

    /// The message.
    ///
    /// # Errors
    /// None in practice: the octets were parsed before the event was made.
    pub fn message(&self) -> Result<Message<'_>, ParseError> {
        Message::parse(&self.body)
    }
}

/// Of two SCCRQs that crossed, which tunnel lives (RFC 2661, 4.4.3: Tie Breaker).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Tie {
    /// Ours: the peer's SCCRQ is to be ignored.
    Ours,
    /// Theirs: ours is to be discarded ([`Tunnel::discard`]), the SCCRQ answered.
    Theirs,
    /// Neither: ours is to be discarded, the SCCRQ ignored.
    Neither,
    /// Both, for they do not compete.
    Both,
}

impl Tunnel {
    /// Asks a peer for a tunnel. `local` is our id for it.
    pub fn connect(
        config: Arc<TunnelConfig>,
        local: TunnelId,
        now: Instant,
        rng: &mut Rng,
    ) -> Self {
        let channel = Channel::new(config.retransmit, config.offered_window());
        let mut tunnel = Self::new(config, local, Role::Initiator, channel, now);
        tunnel.deadline = Some(now.add(limits::TUNNEL_SETUP));
        tunnel.challenge = tunnel
            .config
            .secrets
            .is_some()
            .then(|| Challenge::draw(rng, None));
        tunnel.tie_breaker = Some(u64::from_be_bytes(rng.array()));
        let config = Arc::clone(&tunnel.config);
        let challenge = tunnel.challenge;
        tunnel.queue(&Message::Sccrq(Sccrq {
            version: ProtocolVersion::ONE,
            host_name: config.host_name.octets(),
            framing: FRAMING,
            assigned_tunnel: PeerTunnelId(local.0),
            bearer: Some(BEARER),
            receive_window: Some(config.offered_window()),
            challenge: challenge.as_ref().map(Challenge::octets),
            tie_breaker: tunnel.tie_breaker,
            firmware: None,
            vendor_name: Some(VENDOR),
        }));
        tunnel
    }

    /// Answers an SCCRQ, which the node has parsed and admitted. `local` is our id for the tunnel,
    /// `choice` the secret with which the peer's challenge is answered.
    ///
    /// A node that also dials must not answer an SCCRQ whose challenge is one of its own
    /// ([`Tunnel::issued_challenge`]): the answer would be what that other tunnel waits for.
    ///
    /// # Errors
    /// Why the peer gets no tunnel; nothing is kept, and [`emit_refusal`](crate::emit_refusal) tells it.
    pub fn accept(
        config: Arc<TunnelConfig>,
        local: TunnelId,
        sccrq: &Sccrq<'_>,
        choice: SecretChoice,
        now: Instant,
        rng: &mut Rng,
    ) -> Result<Self, StopReason> {
        if sccrq.version != ProtocolVersion::ONE {
            return Err(StopReason::Version);
        }
        let response = auth::respond(
            config.secrets.as_ref(),
            choice,
            MessageType::Sccrp,
            sccrq.challenge,
        )?;
        let channel = Channel::answering(config.retransmit, config.offered_window());
        let mut tunnel = Self::new(config, local, Role::Responder, channel, now);
        tunnel.choice = choice;
        tunnel.was_challenged = response.is_some();
        tunnel.challenge = tunnel
            .config
            .secrets
            .is_some()
            .then(|| Challenge::draw(rng, sccrq.challenge));
        tunnel.meet(
            sccrq.assigned_tunnel,
            sccrq.host_name,
            sccrq.vendor_name,
            sccrq.receive_window,
        );
        tunnel
            .channel
            .set_kept_limit(limits::KEPT_OCTETS_UNVERIFIED);
        tunnel.channel.hold(true, now);
        tunnel.deadline = Some(now.add(tunnel.config.retransmit.cycle()));
        let config = Arc::clone(&tunnel.config);
        let challenge = tunnel.challenge;
        tunnel.queue(&Message::Sccrp(Sccrp {
            version: ProtocolVersion::ONE,
            host_name: config.host_name.octets(),
            framing: FRAMING,
            assigned_tunnel: PeerTunnelId(local.0),
            bearer: Some(BEARER),
            receive_window: Some(config.offered_window()),
            challenge: challenge.as_ref().map(Challenge::octets),
            challenge_response: response,
            firmware: None,
            vendor_name: None,
        }));
        Ok(tunnel)
    }

    fn new(
        config: Arc<TunnelConfig>,
        local: TunnelId,
        role: Role,
        channel: Channel,
        now: Instant,
    ) -> Self {
        let state = match role {
            Role::Initiator => TunnelState::WaitCtlReply,
            Role::Responder => TunnelState::WaitCtlConn,
        };
        Self {
            config,
            local,
            peer: PeerTunnelId::NONE,
            role,
            state,
            channel,
            choice: SecretChoice::Current,
            challenge: None,
            was_challenged: false,
            tie_breaker: None,
            peer_name: Box::default(),
            peer_vendor: Box::default(),
            heard: now,
            deadline: None,
            events: VecDeque::new(),
        }
    }

    // What goes out.

    /// Sends a message of a call, in whose record it then stands; hidden if the configuration says so.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed.
    pub fn send_call(
        &mut self,
        session: PeerSessionId,
        message: &Message<'_>,
        rng: &mut Rng,
    ) -> Result<MessageNumber, SendError> {
        self.say((session, Keeper::Call), message, rng)
    }

    fn say(
        &mut self,
        (session, keeper): (PeerSessionId, Keeper),
        message: &Message<'_>,
        rng: &mut Rng,
    ) -> Result<MessageNumber, SendError> {
        if self.state != TunnelState::Established {
            return Err(SendError::NotEstablished);
        }
        let mut body = Vec::with_capacity(64);
        match &self.config.secrets {
            Some(secrets) if self.config.hide => {
                message
                    .emit_hidden(&mut Hider::new(secrets.choose(self.choice), rng), &mut body)?;
            }
            Some(_) | None => message.emit(&mut body)?,
        }
        Ok(self.channel.send(session, keeper, body.into())?)
    }

    /// Sends the CDN of a call that we end. `local` is our id of the session, none if it has none.
    ///
    /// # Errors
    /// [`SendError`]; nothing changed.
    pub fn send_cdn(
        &mut self,
        session: PeerSessionId,
        local: SessionId,
        reason: CdnReason,
        disconnect: Option<PppDisconnectCause<'_>>,
        rng: &mut Rng,
    ) -> Result<MessageNumber, SendError> {
        reason.with_message(local, disconnect, |message| {
            self.send_call(session, message, rng)
        })
    }

    /// Ends the tunnel with a `StopCCN`. What was not sent yet is forgotten.
    ///
    /// A peer that has not shown yet that it is where it says is told once, and not waited for.
    pub fn close(&mut self, reason: StopReason, now: Instant) {
        if !self.state.is_open() {
            return;
        }
        let doubtful = self.channel.is_held();
        if doubtful {
            self.channel.abandon();
        }
        self.channel.drop_unsent();
        let mut body = Vec::with_capacity(64);
        if reason.emit(self.local, &mut body).is_ok() {
            // The queue has room: what was not sent has just left it.
            let _: Result<MessageNumber, Full> =
                self.channel
                    .send(PeerSessionId::NONE, Keeper::Tunnel, body.into());
        }
        self.end(TunnelState::Stopping, CloseReason::Local(reason));
        let retransmit = self.config.retransmit;
        let patience = if doubtful {
            retransmit.wait(0)
        } else {
            retransmit.cycle()
        };
        self.deadline = Some(now.add(patience));
    }

    /// Forgets the tunnel without a word, since the peer's SCCRQ has won ([`Tie`]).
    pub fn discard(&mut self) {
        self.forget(CloseReason::TieLost);
    }

    /// Forgets the tunnel without a word, since the peer has opened another under the same id: whatever
    /// was said in this one would be taken for a message of that.
    pub fn replace(&mut self) {
        self.forget(CloseReason::PeerRestarted);
    }

    fn forget(&mut self, reason: CloseReason) {
        if self.state.is_open() {
            self.channel.abandon();
            self.end(TunnelState::Closed, reason);
        }
    }

    /// Writes the next UDP payload, if there is one. `out` is cleared first.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.channel.poll_transmit(self.peer, now, out)
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // An idle tunnel keeps no heap.
            self.events = VecDeque::new();
        }
        event
    }

    // Time.

    /// When [`Tunnel::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.channel.poll_timeout(), self.deadline, self.hello_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a HELLO goes out if nothing comes from the peer before. A node that can ask its workers
    /// for the last data does so now, and tells it with [`Tunnel::note_activity`].
    pub fn hello_at(&self) -> Option<Instant> {
        let silent = self.state == TunnelState::Established && self.channel.is_idle();
        self.config
            .hello
            .filter(|_| silent)
            .map(|hello| self.heard.add(hello))
    }

    /// Something came from the peer then: data, that is, for control is known here.
    pub fn note_activity(&mut self, then: Instant) {
        self.heard = self.heard.max(then);
    }

    /// The body with nothing hidden, as far as this tunnel's secrets go: for those who show it.
    pub fn reveal<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        if !hidden(body) {
            return Cow::Borrowed(body);
        }
        hiding::open(body, self.config.secrets.as_ref(), self.choice)
            .map_or(Cow::Borrowed(body), |(clear, _)| clear)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hello_at().is_some_and(|at| at <= now) {
            self.queue(&Message::Hello);
        }
        if self.channel.handle_timeout(now).is_err() {
            self.channel.abandon();
            self.end(TunnelState::Closed, CloseReason::NoAnswer);
        } else if self.deadline.is_some_and(|at| at <= now) {
            self.expire(now);
        }
    }

    /// The state has lasted as long as it may.
    fn expire(&mut self, now: Instant) {
        match self.state {
            TunnelState::WaitCtlReply => self.close(StopReason::SetupTimeout, now),
            // A peer that has not even acknowledged our SCCRP may not exist.
            TunnelState::WaitCtlConn if !self.channel.is_idle() => {
                self.channel.abandon();
                self.end(TunnelState::Closed, CloseReason::NoAnswer);
            }
            TunnelState::WaitCtlConn => {
                self.channel.hold(false, now);
                self.close(StopReason::SetupTimeout, now);
            }
            TunnelState::Stopping | TunnelState::Lingering => {
                self.channel.abandon();
                self.state = TunnelState::Closed;
                self.deadline = None;
            }
            TunnelState::Established | TunnelState::Closed => self.deadline = None,
        }
    }

    // What it is like.

    /// Which of two SCCRQs that crossed wins: ours, or one with this tie breaker. Both, unless ours
    /// is still to be answered.
    pub fn tie(&self, theirs: Option<u64>) -> Tie {
        let ours = self
            .tie_breaker
            .filter(|_| self.state == TunnelState::WaitCtlReply);
        match (ours, theirs) {
            _ if self.state != TunnelState::WaitCtlReply => Tie::Both,
            (None, None) => Tie::Both,
            (Some(_), None) => Tie::Ours,
            (None, Some(_)) => Tie::Theirs,
            (Some(ours), Some(theirs)) => match ours.cmp(&theirs) {
                core::cmp::Ordering::Less => Tie::Ours,
                core::cmp::Ordering::Greater => Tie::Theirs,
                core::cmp::Ordering::Equal => Tie::Neither,
            },
        }
    }

    /// Our id.
    pub const fn local(&self) -> TunnelId {
        self.local
    }

    /// The peer's id; none until its SCCRP has come.
    pub const fn peer(&self) -> PeerTunnelId {
        self.peer
    }

    /// Who asked for it.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where it is.
    pub const fn state(&self) -> TunnelState {
        self.state
    }

    /// The peer's Host Name, cut to 255 octets; empty until it is known.
    pub fn peer_name(&self) -> &[u8] {
        &self.peer_name
    }

    /// The peer's Vendor Name, cut to 255 octets; empty if it has not said.
    pub fn peer_vendor(&self) -> &[u8] {
        &self.peer_vendor
    }

    /// The secret in use towards the peer; proved by it once the tunnel is established.
    pub const fn secret_choice(&self) -> SecretChoice {
        self.choice
    }

    /// Our challenge, until it is answered.
    pub fn issued_challenge(&self) -> Option<&[u8]> {
        self.challenge.as_ref().map(Challenge::octets)
    }

    /// When anything last came from the peer.
    pub const fn heard(&self) -> Instant {
        self.heard
    }

    /// The numbers of its channel.
    pub fn channel(&self) -> ChannelStatus {
        self.channel.status()
    }

    /// Whether nothing is left to send, to answer or to tell: it can be dropped.
    pub fn is_drained(&self) -> bool {
        self.state == TunnelState::Closed && !self.channel.is_ack_due() && self.events.is_empty()
    }
}

/// Synchronous and asynchronous: what comes over the line is the LAC's affair.
const FRAMING: u32 = 3;

/// Digital and analogue, for the same reason.
const BEARER: u32 = 3;

const VENDOR: &[u8] = b"kubelns";
