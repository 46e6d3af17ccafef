//! The Network phase (RFC 1661, 3.5): IPCP, the address that it is about, and the protocols that we
//! do not speak. The next network protocol gets its layer beside IPCP here.

use core::ops::Add as _;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Frame, Options, Packet, Protocol};

use super::{Phase, Session};
use crate::automaton::{self, State};
use crate::error::{Discard, Error};
use crate::event::{AddressGrant, CloseReason, Event, GrantedAddress, Parameters};
use crate::layer::{Reply, Signal};
use crate::limits;
use crate::link::{Link, NEVER};
use crate::output::Output;

impl Session {
    /// Takes the answer to [`Event::AddressWanted`]; `None` ends the session. So does a second
    /// [`GrantedAddress::PeerChooses`]: the peer has chosen, or has nothing to choose.
    pub fn handle_address(
        &mut self,
        grant: Option<AddressGrant>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) {
        if self.phase != Phase::Network {
            return;
        }
        let first = !self.has_address();
        match grant {
            Some(_) if !first && self.waiting.is_none() => {}
            Some(grant) if first || grant.address != GrantedAddress::PeerChooses => {
                self.ipcp.options.grant(grant, &self.config);
                if first {
                    let mut link = Link::over(&self.lcp, now, &mut out.frames);
                    self.ipcp.open(&self.config, &mut link);
                }
                self.resume(now, rng, out);
            }
            Some(_) | None => self.terminate(CloseReason::NoAddress, now, out),
        }
    }

    pub(super) fn handle_ipcp(
        &mut self,
        information: &[u8],
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) -> Result<(), Error> {
        let packet = Packet::parse(information)?;
        if self.phase != Phase::Network {
            return Err(Discard::Phase.into());
        }
        if !self.has_address() {
            if packet.code != Code::CONFIGURE_REQUEST {
                return Err(Discard::Phase.into());
            }
            Options::parse(packet.data)?;
            self.waiting = Some(Box::from(packet.octets));
            return Ok(());
        }
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let signal = self
            .ipcp
            .handle_packet(&packet, &self.config, rng, &mut link)?;
        if let Signal::Ask(requested) = signal {
            if self.waiting.replace(Box::from(packet.octets)).is_some() {
                return Err(Discard::Repeated.into());
            }
            out.events.push(Event::AddressWanted { requested });
            return Ok(());
        }
        self.ipcp_signal(signal, CloseReason::NetworkClosed, now, out);
        Ok(())
    }

    pub(super) fn ipcp_timeout(&mut self, now: Instant, out: &mut Output) {
        if self.ipcp.deadline() > now {
            return;
        }
        let closed = self.ipcp.state() == State::Stopping;
        let cause = if closed {
            CloseReason::NetworkClosed
        } else {
            CloseReason::NetworkTimeout
        };
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let signal = self.ipcp.handle_timeout(&self.config, &mut link);
        self.ipcp_signal(signal, cause, now, out);
    }

    /// The peer does not speak IPCP.
    pub(super) fn ipcp_rejected(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Output) {
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let event = automaton::Event::RejectFatal;
        let signal = self
            .ipcp
            .event(event, Reply::To(packet), &self.config, &mut link);
        self.ipcp_signal(
            signal.unwrap_or(Signal::None),
            CloseReason::NetworkClosed,
            now,
            out,
        );
    }

    /// Whether the owner has said which address the peer gets: IPCP is up since then.
    pub(super) fn has_address(&self) -> bool {
        !matches!(self.ipcp.state(), State::Initial | State::Starting)
    }

    /// What nobody here speaks is sent back, cut to what the peer takes (RFC 1661, 5.7); before the
    /// Network phase it is silently discarded (RFC 1661, 3.4 and 3.5).
    pub(super) fn reject_protocol(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        out: &mut Output,
    ) -> Result<(), Error> {
        if self.phase != Phase::Network {
            return Err(Discard::Phase.into());
        }
        let id = self.next_id();
        let protocol = frame.protocol.0.to_be_bytes();
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let copy = link.fitting(frame.information, protocol.len());
        link.send(Protocol::LCP, Code::PROTOCOL_REJECT, id, |out| {
            out.extend_from_slice(&protocol);
            out.extend_from_slice(copy);
        });
        Ok(())
    }

    /// Handles the Configure-Request that had to wait for an address.
    fn resume(&mut self, now: Instant, rng: &mut Rng, out: &mut Output) {
        if let Some(information) = self.waiting.take() {
            // It was checked when it came, and what it means now is answered to the peer.
            let _: Result<(), Error> = self.handle_ipcp(&information, now, rng, out);
        }
    }

    fn ipcp_signal(&mut self, signal: Signal, cause: CloseReason, now: Instant, out: &mut Output) {
        match signal {
            Signal::None | Signal::Ask(_) => {}
            Signal::Up => {
                self.open = true;
                self.bring_up = NEVER;
                out.events.push(Event::Opened(self.parameters()));
            }
            Signal::Down => {
                self.bring_up = now.add(limits::BRING_UP);
                if core::mem::take(&mut self.open) {
                    out.events.push(Event::NetworkDown);
                }
            }
            Signal::Finished => self.terminate(cause, now, out),
            Signal::GiveUp(reason) => self.terminate(reason, now, out),
        }
    }

    fn parameters(&self) -> Parameters {
        let peer = &self.lcp.options.peer;
        Parameters {
            address: self.ipcp.options.address,
            local: self.ipcp.options.local,
            dns: self.ipcp.options.dns,
            mru: peer.mru,
            acfc: peer.framing.acfc,
            pfc: peer.framing.pfc,
        }
    }
}
