//! A layer that negotiates: the automaton's counters and timer around the options of LCP or an NCP
//! (RFC 1661, 4 and 5).

use core::ops::Add as _;

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::ppp::{self, Code, Options, Packet, Protocol};

use crate::automaton::{Action, Event, State, transition};
use crate::config::Config;
use crate::error::{Discard, Error};
use crate::event::CloseReason;
use crate::limits;
use crate::link::{Link, NEVER};

/// The options of one protocol: what we ask for and what we think of what the peer asks for.
pub(crate) trait Negotiation {
    /// Whose options these are.
    const PROTOCOL: Protocol;

    /// Why a session ends whose peer refuses what we ask for without end.
    const DISAGREED: CloseReason;

    /// Appends the options of a Configure-Request.
    fn request(&self, config: &Config, out: &mut Vec<u8>);

    /// Judges the peer's Configure-Request and, when it is acknowledged, keeps what it says. After
    /// `patience` ran out nothing is answered with a Nak.
    fn judge(
        &mut self,
        options: Options<'_>,
        patience: Patience,
        config: &Config,
        rng: &mut Rng,
    ) -> Judgement;

    /// Takes the values that the peer would rather see, as far as we can.
    ///
    /// # Errors
    /// Why the negotiation is hopeless.
    fn nakked(
        &mut self,
        options: Options<'_>,
        config: &Config,
        rng: &mut Rng,
    ) -> Result<(), CloseReason>;

    /// Gives up the options that the peer will not hear of. All of them are ours.
    ///
    /// # Errors
    /// Why the negotiation is hopeless.
    fn rejected(&mut self, options: Options<'_>, config: &Config) -> Result<(), CloseReason>;

    /// Begins anew with what the configuration wants: what was given up is asked for again.
    fn restart(&mut self, config: &Config);
}

/// Whether we still suggest other values (RFC 1661, 4.6, Max-Failure).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// We do.
    Left,
    /// We have, too often.
    Exhausted,
}

/// What we think of a Configure-Request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// All of it is fine.
    Ack,
    /// These values would be.
    Nak(Vec<u8>),
    /// These options never will be.
    Reject(Vec<u8>),
    /// The owner has to say whether the peer may have what it asks for.
    Ask(Option<core::net::Ipv4Addr>),
    /// There is no point in going on.
    GiveUp(CloseReason),
}

/// What an event meant to the layers around this one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Signal {
    /// Nothing.
    None,
    /// This layer is open.
    Up,
    /// It is not any more.
    Down,
    /// It has ended.
    Finished,
    /// The owner is to be asked; nothing was answered.
    Ask(Option<core::net::Ipv4Addr>),
    /// It should be ended for this reason; nothing was answered.
    GiveUp(CloseReason),
}

impl Signal {
    fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// A layer: its automaton, its counters, its timer, its options.
#[derive(Debug)]
pub(crate) struct Layer<N> {
    pub(crate) options: N,
    deadline: Instant,
    state: State,
    /// Tries that are left (RFC 1661, 4.6).
    restarts: u8,
    /// Naks that we sent since the last Ack.
    naks: u8,
    /// Naks and Rejects that we got since the layer was last opened or up.
    refusals: u8,
    /// Identifier of our last Configure- or Terminate-Request.
    id: u8,
    /// Identifier of our last Code-Reject.
    reject_id: u8,
    /// Our last Configure-Request has no answer yet. An answer counts once: a doubled Ack would
    /// otherwise look like a crossed connection and undo what it has just done.
    awaiting: bool,
    /// The first Configure-Request is out and nothing was heard.
    early: bool,
}

impl<N: Negotiation> Layer<N> {
    /// A layer that nobody has opened. `id` is the identifier before the first one.
    pub(crate) const fn new(options: N, id: u8) -> Self {
        Self {
            options,
            deadline: NEVER,
            state: State::Initial,
            restarts: 0,
            naks: 0,
            refusals: 0,
            id,
            reject_id: 0,
            awaiting: false,
            early: false,
        }
    }

    /// A layer that somebody else has negotiated for us. It has all its tries, as one has that has just
    /// received an Ack: the peer may begin anew, and our first request be lost.
    pub(crate) const fn opened(options: N, id: u8) -> Self {
        let mut layer = Self::new(options, id);
        layer.state = State::Opened;
        layer.restarts = limits::MAX_CONFIGURE;
        layer
    }

    /// Opens the layer over a layer that is up.
    pub(crate) fn open(&mut self, config: &Config, link: &mut Link<'_>) {
        self.awaiting = false;
        self.naks = 0;
        self.refusals = 0;
        for event in [Event::Open, Event::Up] {
            // Neither of the two ends in a signal, and where one is illegal it is not needed.
            let _: Result<Signal, Discard> = self.event(event, Reply::None, config, link);
        }
    }

    /// Sends the first Configure-Request again soon if nothing is heard.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.early = true;
        self.deadline = now.add(limits::EARLY_RESTART);
    }

    /// What somebody other than the peer wants: Down or Close. Does nothing where it means nothing.
    pub(crate) fn command(&mut self, event: Event, config: &Config, link: &mut Link<'_>) -> Signal {
        self.event(event, Reply::None, config, link)
            .unwrap_or(Signal::None)
    }

    /// When [`Layer::handle_timeout`] is due.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where the negotiation is.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Whether it has succeeded.
    pub(crate) fn is_opened(&self) -> bool {
        self.state == State::Opened
    }

    /// The restart timer ran out.
    pub(crate) fn handle_timeout(&mut self, config: &Config, link: &mut Link<'_>) -> Signal {
        if self.early {
            self.early = false;
            self.deadline = link.now.add(limits::RESTART);
            self.send_request(config, link);
            return Signal::None;
        }
        let event = if self.restarts > 0 {
            Event::TimeoutRetry
        } else {
            Event::TimeoutFinal
        };
        self.command(event, config, link)
    }

    /// Handles one packet of this layer.
    ///
    /// # Errors
    /// Why it was not acted on.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &Packet<'_>,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Result<Signal, Error> {
        let signal = match packet.code {
            Code::CONFIGURE_REQUEST => self.handle_request(packet, config, rng, link)?,
            Code::CONFIGURE_ACK | Code::CONFIGURE_NAK | Code::CONFIGURE_REJECT => {
                self.handle_answer(packet, config, rng, link)?
            }
            Code::TERMINATE_REQUEST => {
                self.event(Event::TerminateRequest, Reply::To(packet), config, link)?
            }
            Code::TERMINATE_ACK => {
                self.event(Event::TerminateAck, Reply::To(packet), config, link)?
            }
            Code::CODE_REJECT => self.handle_code_reject(packet, config, link)?,
            _ => self.event(Event::UnknownCode, Reply::To(packet), config, link)?,
        };
        self.calm(link.now);
        Ok(signal)
    }

    /// An event that comes with a packet or none; what it makes us send may quote the packet.
    ///
    /// # Errors
    /// [`Discard::State`] where the table has a dash.
    pub(crate) fn event(
        &mut self,
        event: Event,
        reply: Reply<'_>,
        config: &Config,
        link: &mut Link<'_>,
    ) -> Result<Signal, Discard> {
        let transition = transition(self.state, event).ok_or(Discard::State)?;
        if !transition.next.is_timed() {
            self.deadline = NEVER;
            self.early = false;
        }
        self.state = transition.next;
        if transition.actions.contains(&Action::InitializeRestartCount) {
            let ending = transition.actions.contains(&Action::SendTerminateRequest);
            self.restarts = if ending {
                limits::MAX_TERMINATE
            } else {
                limits::MAX_CONFIGURE
            };
        }
        let mut signal = Signal::None;
        for &action in transition.actions {
            // No cell of the table signals twice.
            signal = signal.or(self.act(action, reply, config, link));
        }
        Ok(signal)
    }

    fn act(
        &mut self,
        action: Action,
        reply: Reply<'_>,
        config: &Config,
        link: &mut Link<'_>,
    ) -> Signal {
        match action {
            Action::ThisLayerUp => {
                self.refusals = 0;
                return Signal::Up;
            }
            Action::ThisLayerDown => {
                self.options.restart(config);
                self.awaiting = false;
                return Signal::Down;
            }
            Action::ThisLayerFinished => return Signal::Finished,
            Action::ThisLayerStarted | Action::InitializeRestartCount => {}
            Action::ZeroRestartCount => {
                self.restarts = 0;
                self.deadline = link.now.add(limits::RESTART);
            }
            Action::SendConfigureRequest => {
                self.restarts = self.restarts.saturating_sub(1);
                self.deadline = link.now.add(limits::RESTART);
                self.send_request(config, link);
            }
            Action::SendTerminateRequest => {
                self.restarts = self.restarts.saturating_sub(1);
                self.deadline = link.now.add(limits::RESTART);
                self.awaiting = false;
                self.early = false;
                self.id = self.id.wrapping_add(1);
                link.send(N::PROTOCOL, Code::TERMINATE_REQUEST, self.id, |_| {});
            }
            Action::SendConfigureAck
            | Action::SendConfigureNak
            | Action::SendTerminateAck
            | Action::SendCodeReject
            | Action::SendEchoReply => self.send_reply(action, reply, link),
        }
        Signal::None
    }

    /// Sends the Configure-Request; a new identifier once the last one was answered (RFC 1661, 5.1).
    fn send_request(&mut self, config: &Config, link: &mut Link<'_>) {
        if !self.awaiting {
            self.id = self.id.wrapping_add(1);
            self.awaiting = true;
        }
        let options = &self.options;
        link.send(N::PROTOCOL, Code::CONFIGURE_REQUEST, self.id, |out| {
            options.request(config, out);
        });
    }

    fn send_reply(&mut self, action: Action, reply: Reply<'_>, link: &mut Link<'_>) {
        match (action, reply) {
            (Action::SendTerminateAck, Reply::To(packet) | Reply::Configure { packet, .. }) => {
                link.send(N::PROTOCOL, Code::TERMINATE_ACK, packet.id, |_| {});
            }
            (Action::SendCodeReject, Reply::To(packet)) => {
                self.reject_id = self.reject_id.wrapping_add(1);
                let copy = link.fitting(packet.octets, 0);
                link.send(N::PROTOCOL, Code::CODE_REJECT, self.reject_id, |out| {
                    out.extend_from_slice(copy);
                });
            }
            (
                Action::SendConfigureAck | Action::SendConfigureNak,
                Reply::Configure { packet, code, data },
            ) => {
                link.send(N::PROTOCOL, code, packet.id, |out| {
                    out.extend_from_slice(data);
                });
            }
            (Action::SendEchoReply, Reply::Echo { id, magic, data }) => {
                link.send(N::PROTOCOL, Code::ECHO_REPLY, id, |out| {
                    out.extend_from_slice(&magic.to_be_bytes());
                    out.extend_from_slice(data);
                });
            }
            _ => {}
        }
    }

    fn handle_request(
        &mut self,
        packet: &Packet<'_>,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Result<Signal, Error> {
        let options = Options::parse(packet.data)?;
        if !self.is_negotiable() {
            return Ok(self.event(Event::RequestGood, Reply::To(packet), config, link)?);
        }
        let patience = if self.naks < limits::MAX_FAILURE {
            Patience::Left
        } else {
            Patience::Exhausted
        };
        let (event, code, data) = match self.options.judge(options, patience, config, rng) {
            Judgement::Ask(address) => return Ok(Signal::Ask(address)),
            Judgement::GiveUp(reason) => return Ok(Signal::GiveUp(reason)),
            Judgement::Ack => {
                self.naks = 0;
                (
                    Event::RequestGood,
                    Code::CONFIGURE_ACK,
                    packet.data.to_vec(),
                )
            }
            Judgement::Nak(values) => {
                self.naks = self.naks.saturating_add(1);
                (Event::RequestBad, Code::CONFIGURE_NAK, values)
            }
            Judgement::Reject(values) => (Event::RequestBad, Code::CONFIGURE_REJECT, values),
        };
        let data = if code == Code::CONFIGURE_REJECT {
            whole_options(&data, link)
        } else {
            &data
        };
        Ok(self.event(event, Reply::Configure { packet, code, data }, config, link)?)
    }

    /// An Ack, Nak or Reject. It counts if it answers our last Configure-Request, and once.
    fn handle_answer(
        &mut self,
        packet: &Packet<'_>,
        config: &Config,
        rng: &mut Rng,
        link: &mut Link<'_>,
    ) -> Result<Signal, Error> {
        let event = if packet.code == Code::CONFIGURE_ACK {
            Event::Ack
        } else {
            Event::NakOrReject
        };
        if !self.is_negotiable() || self.state == State::Stopped {
            return Ok(self.event(event, Reply::To(packet), config, link)?);
        }
        let options = Options::parse(packet.data)?;
        if !self.awaiting || packet.id != self.id {
            return Err(Discard::Identifier.into());
        }
        let outcome = match packet.code {
            Code::CONFIGURE_ACK if packet.data != self.requested(config) => {
                return Err(Discard::Mismatch.into());
            }
            Code::CONFIGURE_NAK => self.options.nakked(options, config, rng),
            Code::CONFIGURE_REJECT => {
                self.check_rejected(options, config)?;
                self.options.rejected(options, config)
            }
            _ => Ok(()),
        };
        if let Err(reason) = outcome {
            return Ok(Signal::GiveUp(reason));
        }
        if event == Event::NakOrReject {
            self.refusals = self.refusals.saturating_add(1);
            if self.refusals > limits::MAX_REFUSALS {
                return Ok(Signal::GiveUp(N::DISAGREED));
            }
        }
        self.awaiting = false;
        Ok(self.event(event, Reply::To(packet), config, link)?)
    }

    /// Whether all that is rejected is ours, as we asked for it (RFC 1661, 5.4).
    fn check_rejected(&self, rejected: Options<'_>, config: &Config) -> Result<(), Error> {
        let requested = self.requested(config);
        let ours = Options::parse(&requested)?;
        let is_ours = |octets| ours.iter().any(|option| option.octets == octets);
        let mut options = rejected.iter().peekable();
        if options.peek().is_none() || !options.all(|option| is_ours(option.octets)) {
            return Err(Discard::Mismatch.into());
        }
        Ok(())
    }

    fn handle_code_reject(
        &mut self,
        packet: &Packet<'_>,
        config: &Config,
        link: &mut Link<'_>,
    ) -> Result<Signal, Error> {
        let &code = packet.data.first().ok_or(ppp::Error::Truncated)?;
        let fatal = (Code::CONFIGURE_REQUEST..=Code::CODE_REJECT).contains(&Code(code));
        let event = if fatal {
            Event::RejectFatal
        } else {
            Event::RejectHarmless
        };
        Ok(self.event(event, Reply::To(packet), config, link)?)
    }

    /// Whether the options of a packet matter: elsewhere the table answers without looking at them.
    const fn is_negotiable(&self) -> bool {
        match self.state {
            State::Initial | State::Starting | State::Closed | State::Closing | State::Stopping => {
                false
            }
            State::Stopped | State::ReqSent | State::AckRcvd | State::AckSent | State::Opened => {
                true
            }
        }
    }

    fn requested(&self, config: &Config) -> Vec<u8> {
        let mut octets = Vec::new();
        self.options.request(config, &mut octets);
        octets
    }

    /// Something was heard: the line is open, and the ordinary restart timer is enough.
    fn calm(&mut self, now: Instant) {
        if core::mem::take(&mut self.early) && self.state.is_timed() {
            self.deadline = now.add(limits::RESTART);
        }
    }
}

/// What a reply quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply<'a> {
    /// Nothing came.
    None,
    /// This came.
    To(&'a Packet<'a>),
    /// A Configure-Request came, and this is the answer.
    Configure {
        /// The request.
        packet: &'a Packet<'a>,
        /// Ack, Nak or Reject.
        code: Code,
        /// The options of the answer.
        data: &'a [u8],
    },
    /// An Echo-Request came.
    Echo {
        /// Its identifier.
        id: u8,
        /// Our magic number.
        magic: u32,
        /// What is sent back behind it.
        data: &'a [u8],
    },
}

/// As many of the options as fit one packet; the rest is rejected when the peer asks again.
fn whole_options<'a>(list: &'a [u8], link: &Link<'_>) -> &'a [u8] {
    let room = link.fitting(list, 0).len();
    let Ok(options) = Options::parse(list) else {
        return &[];
    };
    let fitting = options.iter().fold((0_usize, true), |(len, open), option| {
        let longer = len.saturating_add(option.octets.len());
        if open && longer <= room {
            (longer, true)
        } else {
            (len, false)
        }
    });
    list.get(..fitting.0).unwrap_or(list)
}
