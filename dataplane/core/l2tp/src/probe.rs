//! Asks an LNS for a tunnel to see whether it serves (RFC 2661, 5.1): SCCRQ, SCCRP, SCCCN, and then a `StopCCN`, so
//! that nothing stays behind. No call is made.
//!
//! It is used as a [`Tunnel`] is: any `handle_*`, then [`Probe::poll_transmit`] until nothing is left and
//! [`Probe::poll_timeout`], until [`Probe::outcome`] has one. Left to the caller: addresses, the socket, the time.

use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;
use lns_wire::l2tp::{
    GeneralError, Message, Packet, ParseError, ProtocolVersion, Sccrp, StopCcnResult,
};
use thiserror::Error;

use crate::config::TunnelConfig;
use crate::limits;
use crate::reason::{CloseReason, StopReason};
use crate::tunnel::{Tunnel, TunnelEvent, TunnelState};

/// One tunnel that is asked for and given back.
#[derive(Debug)]
pub struct Probe {
    tunnel: Tunnel,
    has_secret: bool,
    /// When the SCCRQ went out last, and how often it did.
    asked: Instant,
    times: u16,
    said: Option<Said>,
    is_up: bool,
    is_given_up: bool,
    stopped: Option<Refusal>,
    closed: Option<CloseReason>,
}

/// What the LNS says of itself in its SCCRP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    /// Its Host Name, cut to 255 octets.
    pub host_name: Box<[u8]>,
    /// Its Vendor Name, cut likewise; empty if it has none.
    pub vendor: Box<[u8]>,
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// Its firmware revision, if it names one.
    pub firmware: Option<u16>,
    /// How many messages it takes at once.
    pub receive_window: u16,
    /// Whether it wants us to prove that we know the secret.
    pub challenges: bool,
    /// Whether it has answered a challenge.
    pub responds: bool,
    /// From the last SCCRQ to this.
    pub round_trip: Duration,
    /// SCCRQs until then.
    pub requests: u16,
}

/// What a `StopCCN` of the LNS says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Its Result Code.
    pub result: StopCcnResult,
    /// Its error code.
    pub error: Option<GeneralError>,
    /// Its advisory text, cut to [`limits::ADVISORY`] octets.
    pub advisory: Box<[u8]>,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "result {}", self.result)?;
        if let Some(error) = self.error.filter(|it| *it != GeneralError::NONE) {
            write!(f, ", error {error}")?;
        }
        if !self.advisory.is_empty() {
            write!(f, ", \"{}\"", self.advisory.escape_ascii())?;
        }
        Ok(())
    }
}

/// Why there was no tunnel.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ProbeError {
    /// Not a word came.
    #[error("no answer to {requests} SCCRQs")]
    Silent {
        /// How often it was asked.
        requests: u16,
    },
    /// It has acknowledged the SCCRQ and sent no SCCRP.
    #[error("the SCCRQ is acknowledged, and no SCCRP comes")]
    NoReply,
    /// It ends the tunnel.
    #[error("StopCCN: {0}")]
    Refused(Refusal),
    /// It wants a proof, and there is no secret to prove.
    #[error("it challenges, and no secret is given")]
    WantsSecret,
    /// Its answer to our challenge was made with another secret.
    #[error("its Challenge Response was made with another secret")]
    OtherSecret,
    /// It has not answered our challenge.
    #[error("its SCCRP has no Challenge Response")]
    NoProof,
    /// It sends our own challenge back.
    #[error("it sends our own Challenge back")]
    Reflected,
    /// It speaks another version.
    #[error("its version is {}.{}", .0.version, .0.revision)]
    Version(ProtocolVersion),
    /// What it has sent cannot be accepted.
    #[error("its SCCRP is not acceptable: {0}")]
    Invalid(ParseError),
    /// It has sent another message than the one that is due.
    #[error("its message is not allowed in this state")]
    Fsm,
    /// It was heard, and then no more.
    #[error("after its SCCRP it acknowledges nothing")]
    Lost,
}

impl Probe {
    /// Asks for a tunnel. `local` is our id for it.
    pub fn new(config: TunnelConfig, local: TunnelId, now: Instant, rng: &mut Rng) -> Self {
        let has_secret = config.secrets.is_some();
        Self {
            tunnel: Tunnel::connect(Arc::new(config), local, now, rng),
            has_secret,
            asked: now,
            times: 0,
            said: None,
            is_up: false,
            is_given_up: false,
            stopped: None,
            closed: None,
        }
    }

    /// Takes in what came from the LNS. What is no control message, or no message of this tunnel, changes nothing.
    pub fn handle_datagram(&mut self, payload: &[u8], now: Instant, rng: &mut Rng) {
        let Ok(Packet::Control(header, body)) = Packet::parse(payload) else {
            return;
        };
        if header.tunnel == self.tunnel.local() {
            self.note(body, now);
        }
        // What is dropped is the line's affair: what is missing comes again, or does not.
        let _: Result<crate::Arrival, crate::Error> =
            self.tunnel.handle_control(header, body, now, rng);
        self.go_on(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tunnel.handle_timeout(now);
        // An end that is acknowledged comes with a datagram, never with the time.
        self.is_given_up |= self.tunnel.state() == TunnelState::Closed;
        self.go_on(now);
    }

    /// Writes the next UDP payload, if there is one. `out` is cleared first.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let sent = self.tunnel.poll_transmit(now, out);
        if sent && self.tunnel.state() == TunnelState::WaitCtlReply {
            self.asked = now;
            self.times = self.times.saturating_add(1);
        }
        sent
    }

    /// When [`Probe::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tunnel.poll_timeout()
    }

    /// How it went; nothing while it goes on.
    ///
    /// # Errors
    /// [`ProbeError`]: there was no tunnel, or its end was not acknowledged.
    pub fn outcome(&self) -> Option<Result<&Said, ProbeError>> {
        if let Some(refusal) = &self.stopped {
            return Some(Err(ProbeError::Refused(refusal.clone())));
        }
        let over = match self.tunnel.state() {
            TunnelState::Closed => true,
            // It has said a version or proof that does not do: how that is acknowledged is not waited for.
            TunnelState::Stopping => !self.is_up,
            TunnelState::WaitCtlReply
            | TunnelState::WaitCtlConn
            | TunnelState::Established
            | TunnelState::Lingering => false,
        };
        let reason = self.closed.as_ref().filter(|_| over)?;
        Some(match (&self.said, self.is_up) {
            (Some(said), true) if !self.is_given_up => Ok(said),
            _ => Err(self.error(reason)),
        })
    }

    /// What the LNS has said of itself, also where there was no tunnel in the end.
    pub const fn said(&self) -> Option<&Said> {
        self.said.as_ref()
    }

    /// Keeps what the tunnel does not.
    fn note(&mut self, body: &[u8], now: Instant) {
        let clear = self.tunnel.reveal(body);
        match Message::parse(&clear) {
            Ok(Message::Sccrp(sccrp)) if self.said.is_none() => {
                self.said = Some(self.heard(&sccrp, now));
            }
            Ok(Message::StopCcn(stop)) if self.stopped.is_none() => {
                let advisory = stop.result.advisory;
                self.stopped = Some(Refusal {
                    result: StopCcnResult(stop.result.result),
                    error: stop.result.error,
                    advisory: advisory.get(..limits::ADVISORY).unwrap_or(advisory).into(),
                });
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn heard(&self, sccrp: &Sccrp<'_>, now: Instant) -> Said {
        let cut = |name: &[u8]| name.get(..limits::PEER_NAME).unwrap_or(name).into();
        Said {
            host_name: cut(sccrp.host_name),
            vendor: sccrp.vendor_name.map(cut).unwrap_or_default(),
            version: sccrp.version,
            firmware: sccrp.firmware,
            receive_window: sccrp.receive_window.unwrap_or(limits::PEER_WINDOW),
            challenges: sccrp.challenge.is_some(),
            responds: sccrp.challenge_response.is_some(),
            round_trip: now.since(self.asked),
            requests: self.times,
        }
    }

    /// The tunnel is given back as soon as our SCCCN is acknowledged: an LNS that refuses it says so by then.
    fn go_on(&mut self, now: Instant) {
        while let Some(event) = self.tunnel.poll_event() {
            match event {
                TunnelEvent::Established => self.is_up = true,
                TunnelEvent::Closed { reason, .. } => self.closed = Some(reason),
                TunnelEvent::Call(_) | TunnelEvent::InvalidCall { .. } => {}
            }
        }
        let channel = self.tunnel.channel();
        let is_acknowledged = channel.unacknowledged == 0 && channel.waiting == 0;
        if self.tunnel.state() == TunnelState::Established && is_acknowledged {
            self.tunnel.close(StopReason::Requested, now);
            self.go_on(now);
        }
    }

    fn error(&self, reason: &CloseReason) -> ProbeError {
        match (reason, &self.said) {
            (CloseReason::Local(StopReason::SetupTimeout), _) => ProbeError::NoReply,
            (CloseReason::Local(StopReason::Version), Some(said)) => {
                ProbeError::Version(said.version)
            }
            (CloseReason::Local(StopReason::NotAuthorized), Some(said)) => self.mistrust(said),
            (CloseReason::Local(StopReason::Invalid(error)), _) => ProbeError::Invalid(*error),
            (CloseReason::Local(StopReason::Fsm), _) => ProbeError::Fsm,
            (CloseReason::NoAnswer, None) => ProbeError::Silent {
                requests: self.times,
            },
            (
                CloseReason::Local(_)
                | CloseReason::Peer { .. }
                | CloseReason::NoAnswer
                | CloseReason::TieLost
                | CloseReason::PeerRestarted,
                _,
            ) => ProbeError::Lost,
        }
    }

    fn mistrust(&self, said: &Said) -> ProbeError {
        match (self.has_secret, said.responds) {
            (false, _) => ProbeError::WantsSecret,
            (true, false) => ProbeError::NoProof,
            (true, true) if self.tunnel.issued_challenge().is_some() => ProbeError::OtherSecret,
            (true, true) => ProbeError::Reflected,
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests;
