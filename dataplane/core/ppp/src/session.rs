//! One subscriber's PPP: the phases of RFC 1661, 3 around LCP, authentication and IPCP, and the echo
//! that notices a peer which is gone (RFC 1661, 5.8).

mod image;
mod network;

use core::ops::Add as _;
use std::sync::Arc;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Frame, Packet, Protocol};
use lns_wire::{Reader, ppp};

use crate::auth::{Authentication, Outcome, Said};
use crate::automaton::{self, State};
use crate::config::{AuthMethod, Config, LcpRenegotiation, ProxiedAuthentication};
use crate::error::{Discard, Error};
use crate::event::{CloseReason, Event, LcpParameters, Verdict};
use crate::ipcp::Ipcp;
use crate::layer::{Layer, Reply, Signal};
use crate::lcp::{Lcp, Peer};
use crate::limits;
use crate::link::{Link, NEVER};
use crate::output::{Frames, Output};
use crate::proxy::{Proxy, ProxyAuth, ProxyLcp};

pub use image::SessionImage;

/// Where a session is (RFC 1661, 3.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// LCP is being negotiated.
    Establish,
    /// The peer says who it is.
    Authenticate,
    /// IPCP is being negotiated, or open.
    Network,
    /// One of the two has sent a Terminate-Request.
    Terminate,
    /// It is over.
    Dead,
}

impl Phase {
    /// The RFC's word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Establish => "Establish",
            Self::Authenticate => "Authenticate",
            Self::Network => "Network",
            Self::Terminate => "Terminate",
            Self::Dead => "Dead",
        }
    }
}

/// LCP, authentication and IPCP of one subscriber.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    lcp: Layer<Lcp>,
    authentication: Authentication,
    ipcp: Layer<Ipcp>,
    /// A Configure-Request of IPCP that came before its address was known.
    waiting: Option<Box<[u8]>>,
    phase: Phase,
    /// IP may pass: the owner was told so.
    open: bool,
    /// The LAC negotiated this LCP.
    proxied: bool,
    /// Why we are ending it.
    reason: Option<CloseReason>,
    /// Identifier of our last Protocol-Reject or Echo-Request.
    id: u8,
    /// Echo-Requests without an answer.
    echoes: u8,
    /// When the peer was heard last, as far as its packets come here.
    heard: Instant,
    /// When the peer must have got through.
    bring_up: Instant,
    /// When the owner is to be asked what it has heard.
    echo: Instant,
}

impl Session {
    /// Begins: takes over what the LAC has settled, or sends the first Configure-Request.
    pub fn start(
        config: &Arc<Config>,
        proxy: Option<&Proxy<'_>>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) -> Self {
        let [lcp_id, ipcp_id, auth_id, id] = rng.array();
        let mut session = Self {
            config: Arc::clone(config),
            lcp: Layer::new(Lcp::new(config, rng), lcp_id),
            authentication: Authentication::new(auth_id),
            ipcp: Layer::new(Ipcp::new(config), ipcp_id),
            waiting: None,
            phase: Phase::Establish,
            open: false,
            proxied: false,
            reason: None,
            id,
            echoes: 0,
            heard: now,
            bring_up: now.add(limits::BRING_UP),
            echo: NEVER,
        };
        match proxy.and_then(|proxy| Some((proxy, proxy.lcp.as_ref()?))) {
            Some((proxy, lcp)) if config.lcp_renegotiation != LcpRenegotiation::Always => {
                session.take_over(proxy, lcp, now, rng, out);
            }
            _ => session.negotiate(now, out),
        }
        session
    }

    /// Handles one whole frame as it lay in the payload of a data message.
    ///
    /// # Errors
    /// Why the frame was not acted on: for a counter. The session is unchanged then.
    ///
    /// # Denial of service
    /// The work and what is sent grow with the frame and nothing else: at most a request and one answer
    /// that is no longer than the frame, or than a challenge.
    pub fn handle_frame(
        &mut self,
        frame: &[u8],
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) -> Result<(), Error> {
        let frame = Frame::parse(frame)?;
        if self.phase == Phase::Dead {
            return Err(Discard::Phase.into());
        }
        match frame.protocol {
            Protocol::LCP => self.handle_lcp(&Packet::parse(frame.information)?, now, rng, out)?,
            Protocol::PAP | Protocol::CHAP => self.handle_authentication(&frame, now, out)?,
            Protocol::EAP if self.config.allows(AuthMethod::Eap) => {
                self.handle_authentication(&frame, now, out)?;
            }
            Protocol::IPCP => self.handle_ipcp(frame.information, now, rng, out)?,
            Protocol::IPV4 if self.open => {}
            Protocol::IPV4 => return Err(Discard::Phase.into()),
            _ => self.reject_protocol(&frame, now, out)?,
        }
        self.heard = now;
        self.echoes = 0;
        Ok(())
    }

    /// Takes the answer to [`Event::Authenticate`].
    pub fn handle_verdict(
        &mut self,
        verdict: &Verdict,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) {
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let outcome = self
            .authentication
            .handle_verdict(verdict, &self.config, rng, &mut link);
        self.judged(outcome, now, out);
    }

    /// Has a peer that is up say who it is once more, before its time; one that is being asked already, or
    /// judged, is not asked a second time. `false`: its method cannot be asked again, or it is not up.
    pub fn ask_again(&mut self, now: Instant, rng: &mut Rng, out: &mut Output) -> bool {
        if self.phase != Phase::Network {
            return false;
        }
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        self.authentication.ask_again(&self.config, rng, &mut link)
    }

    /// Takes the answer to [`Event::EchoDue`]: when the datapath last received anything of the peer.
    pub fn handle_echo(&mut self, last_received: Instant, now: Instant, out: &mut Output) {
        let Some(echo) = self.config.echo.filter(|_| self.lcp.is_opened()) else {
            return;
        };
        let heard = last_received.max(self.heard);
        if now.since(heard) < echo.interval {
            self.echoes = 0;
            self.echo = heard.add(echo.interval);
        } else if self.echoes >= echo.failures {
            self.close(CloseReason::LostCarrier, now, out);
            self.finish(CloseReason::LostCarrier, now, out);
        } else {
            self.echoes = self.echoes.saturating_add(1);
            self.echo = now.add(echo.interval);
            let (id, magic) = (self.next_id(), self.lcp.options.magic.to_be_bytes());
            let mut link = Link::over(&self.lcp, now, &mut out.frames);
            link.send(Protocol::LCP, Code::ECHO_REQUEST, id, |out| {
                out.extend_from_slice(&magic);
            });
        }
    }

    /// Says something that the peer throws away (RFC 1661, 5.9), if LCP is open: who counts what comes has one message
    /// more.
    pub fn discard(&mut self, now: Instant, out: &mut Output) {
        if !self.lcp.is_opened() {
            return;
        }
        let (id, magic) = (self.next_id(), self.lcp.options.magic.to_be_bytes());
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        link.send(Protocol::LCP, Code::DISCARD_REQUEST, id, |out| {
            out.extend_from_slice(&magic);
        });
    }

    /// Does what is due. Call it when [`Session::poll_timeout`] has come; earlier does nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng, out: &mut Output) {
        if self.phase == Phase::Dead {
            return;
        }
        if self.lcp.deadline() <= now {
            let mut link = Link::over(&self.lcp, now, &mut out.frames);
            let signal = self.lcp.handle_timeout(&self.config, &mut link);
            self.lcp_signal(signal, CloseReason::LcpTimeout, now, rng, out);
        }
        if self.authentication.deadline() <= now {
            let mut link = Link::over(&self.lcp, now, &mut out.frames);
            let outcome = self
                .authentication
                .handle_timeout(&self.config, rng, &mut link);
            self.judged(outcome, now, out);
        }
        self.ipcp_timeout(now, out);
        if self.bring_up <= now {
            self.bring_up = NEVER;
            self.terminate(self.overdue(), now, out);
        }
        if let Some(echo) = self.config.echo.filter(|_| self.echo <= now) {
            self.echo = now.add(echo.interval);
            out.events.push(Event::EchoDue);
        }
    }

    /// When to call [`Session::handle_timeout`] next; ask after each other call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Dead {
            return None;
        }
        let deadlines = [
            self.lcp.deadline(),
            self.authentication.deadline(),
            self.ipcp.deadline(),
            self.bring_up,
            self.echo,
        ];
        deadlines
            .into_iter()
            .min()
            .filter(|&deadline| deadline != NEVER)
    }

    /// Ends the session: a Terminate-Request goes out. The caller may drop the session right away or
    /// wait for [`Event::Closed`], which comes within six seconds of timeouts.
    pub fn close(&mut self, reason: CloseReason, now: Instant, out: &mut Output) {
        match self.phase {
            Phase::Establish | Phase::Authenticate | Phase::Network => {
                self.phase = Phase::Terminate;
                self.reason = Some(reason);
                let mut link = Link::over(&self.lcp, now, &mut out.frames);
                // Down or nothing: a layer that is wanted and over one that is up waits for an answer.
                let _: Signal = self
                    .lcp
                    .command(automaton::Event::Close, &self.config, &mut link);
                self.suspend(now, out);
                self.bring_up = NEVER;
                if !self.lcp.state().is_timed() {
                    self.finish(reason, now, out);
                }
            }
            Phase::Terminate | Phase::Dead => {}
        }
    }

    /// Where the session is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Where LCP is.
    pub const fn lcp_state(&self) -> State {
        self.lcp.state()
    }

    /// Where IPCP is.
    pub const fn ipcp_state(&self) -> State {
        self.ipcp.state()
    }

    /// How the peer says, or is being asked to say, who it is.
    pub const fn authentication(&self) -> AuthMethod {
        self.lcp.options.method
    }

    /// The name that the peer gave; empty before it did.
    pub const fn name(&self) -> &[u8] {
        self.authentication.name()
    }

    /// The longest information field that the peer takes, octets.
    pub const fn peer_mru(&self) -> u16 {
        self.lcp.options.peer.mru
    }

    // === Establish ===

    fn negotiate(&mut self, now: Instant, out: &mut Output) {
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        self.lcp.open(&self.config, &mut link);
        self.lcp.hurry(now);
    }

    fn take_over(
        &mut self,
        proxy: &Proxy<'_>,
        lcp: &ProxyLcp<'_>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) {
        if let Some(options) = Lcp::taken_over(lcp, &self.config, rng) {
            let [id] = rng.array();
            self.lcp = Layer::opened(options, id);
            self.proxied = true;
            let usable = self.config.proxied_authentication == ProxiedAuthentication::Use;
            self.authenticate(
                proxy.authentication.as_ref().filter(|_| usable),
                now,
                rng,
                out,
            );
        } else if self.config.lcp_renegotiation == LcpRenegotiation::Never {
            self.finish(CloseReason::ProxyMismatch, now, out);
        } else {
            self.negotiate(now, out);
        }
    }

    fn handle_lcp(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) -> Result<(), Error> {
        match packet.code {
            Code::PROTOCOL_REJECT => return self.handle_protocol_reject(packet, now, rng, out),
            Code::ECHO_REQUEST | Code::ECHO_REPLY => {
                return self.handle_echo_packet(packet, now, out);
            }
            Code::DISCARD_REQUEST | Code::IDENTIFICATION | Code::TIME_REMAINING => return Ok(()),
            _ => {}
        }
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let signal = self
            .lcp
            .handle_packet(packet, &self.config, rng, &mut link)?;
        if packet.code == Code::CODE_REJECT && packet.data.first() == Some(&Code::ECHO_REQUEST.0) {
            self.echo = NEVER;
        }
        // Who asks for the end of an open LCP is to lose its line no sooner than one restart time after
        // the Terminate-Ack (RFC 1661, 3.7). One that is not open goes on by the table.
        let cause = if packet.code == Code::TERMINATE_REQUEST {
            self.peer_reason()
        } else {
            CloseReason::LcpRejected
        };
        self.lcp_signal(signal, cause, now, rng, out);
        Ok(())
    }

    /// Acts on what LCP has become; `cause` is why it ended, if it did and we did not want it to.
    fn lcp_signal(
        &mut self,
        signal: Signal,
        cause: CloseReason,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) {
        match signal {
            Signal::None | Signal::Ask(_) => {}
            Signal::Up => {
                self.proxied = false;
                self.authenticate(None, now, rng, out);
            }
            Signal::Down => {
                self.suspend(now, out);
                if self.lcp.state() == State::Stopping {
                    self.phase = Phase::Terminate;
                    self.reason = Some(cause);
                    self.bring_up = NEVER;
                    out.events.push(Event::Closing(cause));
                } else {
                    self.phase = Phase::Establish;
                    // Who begins anew before it is up again has no more time for it.
                    if self.bring_up == NEVER {
                        self.bring_up = now.add(limits::BRING_UP);
                    }
                }
            }
            Signal::Finished => self.finish(self.reason.unwrap_or(cause), now, out),
            Signal::GiveUp(reason) => self.terminate(reason, now, out),
        }
    }

    /// A Protocol-Reject counts while LCP is open (RFC 1661, 5.7), and one of LCP itself always: where
    /// LCP is not spoken no waiting helps.
    fn handle_protocol_reject(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) -> Result<(), Error> {
        let rejected = Protocol(Reader::new(packet.data).u16().map_err(ppp::Error::from)?);
        if rejected != Protocol::LCP && !self.lcp.is_opened() {
            return Err(Discard::Phase.into());
        }
        let fatal = rejected == Protocol::LCP;
        let event = if fatal {
            automaton::Event::RejectFatal
        } else {
            automaton::Event::RejectHarmless
        };
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let signal = self
            .lcp
            .event(event, Reply::To(packet), &self.config, &mut link)?;
        self.lcp_signal(signal, CloseReason::LcpRejected, now, rng, out);
        match (self.phase, rejected) {
            (Phase::Authenticate, rejected) if Some(rejected) == self.authentication_protocol() => {
                self.terminate(CloseReason::AuthenticationRefused, now, out);
            }
            (Phase::Network, Protocol::IPCP) => self.ipcp_rejected(packet, now, out),
            _ => {}
        }
        Ok(())
    }

    /// An Echo-Request with our own magic number is one that we sent. An Echo-Reply with it is one of
    /// those peers that send the request back as it was: it is there, and that was the question.
    fn handle_echo_packet(
        &mut self,
        packet: &Packet<'_>,
        now: Instant,
        out: &mut Output,
    ) -> Result<(), Error> {
        let mut reader = Reader::new(packet.data);
        let magic = reader.u32().map_err(ppp::Error::from)?;
        if !self.lcp.is_opened() {
            return Err(Discard::Phase.into());
        }
        if packet.code == Code::ECHO_REPLY {
            return Ok(());
        }
        if self.lcp.options.is_ours(magic) {
            if let Err(reason) = self.lcp.options.note_loop() {
                self.terminate(reason, now, out);
            }
            return Err(Discard::Loop.into());
        }
        self.lcp.options.note_peer();
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let reply = Reply::Echo {
            id: packet.id,
            magic: self.lcp.options.magic,
            data: link.fitting(reader.rest(), size_of::<u32>()),
        };
        // Opened answers and stays: there is no signal.
        let _: Signal = self
            .lcp
            .event(automaton::Event::Echo, reply, &self.config, &mut link)?;
        Ok(())
    }

    // === Authenticate ===

    fn authenticate(
        &mut self,
        proxied: Option<&ProxyAuth<'_>>,
        now: Instant,
        rng: &mut Rng,
        out: &mut Output,
    ) {
        self.phase = Phase::Authenticate;
        self.echo = self
            .config
            .echo
            .map_or(NEVER, |echo| now.add(echo.interval));
        let options = &self.lcp.options;
        let method = options.method;
        out.events.push(Event::LcpOpened(LcpParameters {
            authentication: method,
            peer_mru: options.peer.mru,
            local_mru: options.mru.unwrap_or(limits::DEFAULT_MRU),
            proxied: self.proxied,
        }));
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let request = self
            .authentication
            .start(method, proxied, &self.config, rng, &mut link);
        out.events.extend(request.map(Event::Authenticate));
    }

    fn handle_authentication(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        out: &mut Output,
    ) -> Result<(), Error> {
        let packet = Packet::parse(frame.information)?;
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        let said = match (self.phase, frame.protocol) {
            (Phase::Authenticate | Phase::Network, Protocol::PAP) => {
                self.authentication.handle_pap(&packet, &mut link)?
            }
            (Phase::Authenticate | Phase::Network, Protocol::EAP) => {
                self.authentication.handle_eap(&packet, &mut link)?
            }
            (Phase::Authenticate | Phase::Network, _) => {
                self.authentication.handle_chap(&packet, &mut link)?
            }
            (Phase::Establish | Phase::Terminate | Phase::Dead, _) => {
                return Err(Discard::Phase.into());
            }
        };
        match said {
            Said::Nothing => {}
            Said::Again => out.events.push(Event::Repeated),
            Said::New(request) => out.events.push(Event::Authenticate(request)),
        }
        Ok(())
    }

    fn judged(&mut self, outcome: Outcome, now: Instant, out: &mut Output) {
        match outcome {
            Outcome::None | Outcome::Confirmed => {}
            Outcome::Accepted => {
                self.phase = Phase::Network;
                out.events.push(Event::AddressWanted { requested: None });
            }
            Outcome::Failed(reason) => self.terminate(reason, now, out),
        }
    }

    const fn authentication_protocol(&self) -> Option<Protocol> {
        match self.lcp.options.method {
            AuthMethod::Chap | AuthMethod::MsChapV2 => Some(Protocol::CHAP),
            AuthMethod::Pap => Some(Protocol::PAP),
            AuthMethod::Eap => Some(Protocol::EAP),
            AuthMethod::None => None,
        }
    }

    // === Terminate ===

    /// Ends the session of our own accord.
    fn terminate(&mut self, reason: CloseReason, now: Instant, out: &mut Output) {
        if matches!(self.phase, Phase::Terminate | Phase::Dead) {
            return;
        }
        self.close(reason, now, out);
        if self.phase == Phase::Terminate {
            out.events.push(Event::Closing(reason));
        }
    }

    /// Takes the network down and forgets who the peer is.
    fn suspend(&mut self, now: Instant, out: &mut Output) {
        if self.authentication.stop() {
            out.events.push(Event::Withdrawn);
        }
        self.waiting = None;
        self.echo = NEVER;
        self.echoes = 0;
        let mut link = Link::over(&self.lcp, now, &mut out.frames);
        // Down leads to Initial, Starting or nowhere, and what it signals is said here.
        let _: Signal = self
            .ipcp
            .command(automaton::Event::Down, &self.config, &mut link);
        if core::mem::take(&mut self.open) {
            out.events.push(Event::NetworkDown);
        }
    }

    fn finish(&mut self, reason: CloseReason, now: Instant, out: &mut Output) {
        if self.phase != Phase::Dead {
            self.suspend(now, out);
            self.phase = Phase::Dead;
            out.events.push(Event::Closed(reason));
        }
    }

    /// Why the peer ended it: a peer whose password was wrong does so before we do.
    const fn peer_reason(&self) -> CloseReason {
        if self.authentication.is_rejected() {
            CloseReason::AuthenticationFailed
        } else {
            CloseReason::PeerTerminated
        }
    }

    /// What was not done in time.
    fn overdue(&self) -> CloseReason {
        match self.phase {
            Phase::Establish | Phase::Terminate | Phase::Dead => CloseReason::LcpTimeout,
            Phase::Authenticate if self.authentication.is_rejected() => {
                CloseReason::AuthenticationFailed
            }
            Phase::Authenticate => CloseReason::AuthenticationTimeout,
            Phase::Network if self.has_address() => CloseReason::NetworkTimeout,
            Phase::Network => CloseReason::NoAddress,
        }
    }

    const fn next_id(&mut self) -> u8 {
        self.id = self.id.wrapping_add(1);
        self.id
    }
}

impl<'a> Link<'a> {
    /// The way out over this LCP: before it is open every peer takes the defaults (RFC 1661, 6).
    fn over(lcp: &Layer<Lcp>, now: Instant, frames: &'a mut Frames) -> Self {
        let peer = if lcp.is_opened() {
            lcp.options.peer
        } else {
            Peer::default()
        };
        Self {
            now,
            frames,
            framing: peer.framing,
            mtu: peer.mru,
        }
    }
}

#[cfg(test)]
mod tests;
