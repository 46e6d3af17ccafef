//! One control connection of the LAC with its calls (RFC 2661, 7.2.1 and 7.4.1), without sockets:
//! datagrams and time in, datagrams out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lns_crypto::Rng;
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Attribute, ControlHeader, DataHeader, MessageType, Packet, Seq16};
use lns_wire::ppp::{Frame, Protocol};
use tokio::net::UdpSocket;

use super::channel::Channel;
use super::message::{CAPABILITIES, Incoming, Writer};
use super::options::{Authentication, Options, Profile};
use super::ppp::{Event, Ppp};
use super::proxy;
use super::report::{Route, Shared, Stage};

/// A call that is not up by then has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often calls that are being set up are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How long the acknowledgement of our StopCCN is waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the tunnel's owner has to do for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Send this datagram to the LNS.
    Send(Vec<u8>),
    /// Hand this packet to the subscribers' hosts.
    Deliver(Vec<u8>),
    /// A subscriber got this address.
    AddressUp(Ipv4Addr),
    /// A subscriber lost it.
    AddressDown(Ipv4Addr),
    /// A call is no longer being set up: another may start.
    Settled,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    WaitReply,
    Established,
    Closing(Instant),
    Closed,
}

/// One tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    options: Arc<Options>,
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    writer: Writer,
    rng: Rng,
    profile: Arc<Profile>,
    local: u16,
    peer: PeerTunnelId,
    challenge: [u8; 16],
    channel: Channel,
    state: State,
    calls: Vec<Call>,
    /// Sessions to dial once the control connection is up.
    early: Vec<usize>,
    /// Calls that are being set up, by their place in `calls`.
    pending: BTreeSet<usize>,
    retransmissions: u64,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct Call {
    index: usize,
    peer: PeerSessionId,
    route: Option<Route>,
    ppp: Ppp,
    address: Option<Ipv4Addr>,
    started: Instant,
    connected: bool,
    settled: bool,
    over: bool,
}

impl Tunnel {
    /// Tunnel number `index` of the LAC, about to send its SCCRQ.
    pub(crate) fn connect(
        options: &Arc<Options>,
        shared: &Arc<Shared>,
        socket: &Arc<UdpSocket>,
        index: usize,
        mut rng: Rng,
    ) -> Self {
        let local = u16::try_from(index + 1).unwrap_or(u16::MAX);
        let challenge = rng.array();
        let mut tunnel = Self {
            writer: Writer::new(options.secret.as_deref(), options.hide),
            profile: Arc::new(options.profile()),
            options: Arc::clone(options),
            shared: Arc::clone(shared),
            socket: Arc::clone(socket),
            rng,
            local,
            peer: PeerTunnelId::NONE,
            challenge,
            channel: Channel::new(),
            state: State::WaitReply,
            calls: Vec::new(),
            early: Vec::new(),
            pending: BTreeSet::new(),
            retransmissions: 0,
            effects: Vec::new(),
        };
        let options = Arc::clone(&tunnel.options);
        let mut attributes = CAPABILITIES.to_vec();
        attributes.extend([
            Attribute::HostName(options.host_name.as_bytes()),
            Attribute::AssignedTunnelId(PeerTunnelId(local)),
            Attribute::ReceiveWindowSize(options.window),
        ]);
        if options.secret.is_some() {
            attributes.push(Attribute::Challenge(&challenge));
        }
        tunnel.send(PeerSessionId::NONE, MessageType::Sccrq, &attributes);
        tunnel
    }

    /// Starts the call of session `index`.
    pub(crate) fn dial(&mut self, index: usize, now: Instant) {
        if self.state == State::WaitReply {
            return self.early.push(index);
        }
        let place = self.calls.len();
        let Some(sid) = u16::try_from(place + 1).ok() else {
            self.shared.update(index, |view| {
                view.stage = Stage::Failed("more sessions than a tunnel holds".into());
            });
            return self.effects.push(Effect::Settled);
        };
        let authentication = self.options.authentication_of(index);
        let user = self.options.user_of(index);
        let profile = Arc::clone(&self.profile);
        let ppp = Ppp::new(profile, user, authentication, &mut self.rng);
        self.calls.push(Call {
            index,
            peer: PeerSessionId::NONE,
            route: None,
            ppp,
            address: None,
            started: now,
            connected: false,
            settled: false,
            over: false,
        });
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return self.finish(place, "the tunnel is gone");
        }
        self.pending.insert(place);
        self.shared
            .update(index, |view| view.stage = Stage::Dialling);
        let number = format!("{:010}", 3_000_000_000_u64 + index as u64);
        self.send(
            PeerSessionId::NONE,
            MessageType::Icrq,
            &[
                Attribute::AssignedSessionId(PeerSessionId(sid)),
                Attribute::CallSerialNumber(u32::try_from(index).unwrap_or(u32::MAX)),
                Attribute::CallingNumber(number.as_bytes()),
                Attribute::CalledNumber(b"isp"),
            ],
        );
    }

    /// Handles one datagram from the LNS.
    pub(crate) fn handle(&mut self, datagram: &[u8], now: Instant) {
        match Packet::parse(datagram) {
            Ok(Packet::Data(header, frame)) => self.handle_data(header, frame, now),
            Ok(Packet::Control(header, body)) => self.handle_control(header, body, now),
            Err(_) => {}
        }
    }

    /// Does what is due, and gives what the owner has to do.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Effect> {
        self.look_after_calls(now);
        if self.peer.is_none() && self.state == State::Closed {
            return std::mem::take(&mut self.effects);
        }
        let effects = &mut self.effects;
        self.channel.poll(self.peer, now, |octets| {
            effects.push(Effect::Send(octets.to_vec()));
        });
        self.shared
            .note_acknowledged(self.local, self.channel.acknowledged());
        let sent_again = self.channel.retransmissions();
        let news = sent_again - std::mem::replace(&mut self.retransmissions, sent_again);
        self.shared
            .retransmissions
            .fetch_add(news, Ordering::Relaxed);
        if self.channel.is_dead() && self.state != State::Closed {
            self.closed("the LNS does not answer".into());
        }
        if let State::Closing(until) = self.state
            && (self.channel.is_idle() || until <= now)
        {
            self.state = State::Closed;
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Self::poll`] has something to do by itself.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let calls = (!self.pending.is_empty()).then(|| now + TICK);
        let farewell = match self.state {
            State::Closing(until) => Some(until),
            State::WaitReply | State::Established | State::Closed => None,
        };
        [calls, farewell, self.channel.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is nothing more to do.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Ends one session as its subscriber would: PPP first, then the call.
    pub(crate) fn hang_up(&mut self, index: usize) {
        // One that was dialled again has ended calls of its number before it.
        let is_its = |call: &Call| call.index == index && !call.over;
        let Some(place) = self.calls.iter().position(is_its) else {
            return;
        };
        let mut frames = Vec::new();
        let Some(call) = self.calls.get_mut(place) else {
            return;
        };
        call.ppp.terminate(&mut frames);
        self.send_frames(place, &frames);
        self.disconnect(place, 3);
        self.finish(place, "hung up");
    }

    /// Queues as many HELLOs as take the numbers of messages up to this one, which is the next one's.
    pub(crate) fn say_hello(&mut self, until: u16) {
        let missing = self.channel.next_queued().distance(Seq16(until));
        for _ in 0..missing {
            self.send(PeerSessionId::NONE, MessageType::Hello, &[]);
        }
    }

    /// Ends all sessions and the tunnel.
    pub(crate) fn close(&mut self, now: Instant) {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return;
        }
        for place in 0..self.calls.len() {
            let index = self.calls.get(place).filter(|call| !call.over);
            if let Some(index) = index.map(|call| call.index) {
                self.hang_up(index);
            }
        }
        self.end_calls("never dialled");
        let assigned = Attribute::AssignedTunnelId(PeerTunnelId(self.local));
        let body = self
            .writer
            .goodbye(MessageType::StopCcn, assigned, 6, &mut self.rng);
        self.channel.queue(PeerSessionId::NONE, body);
        self.state = State::Closing(now + FAREWELL);
    }

    fn send(&mut self, session: PeerSessionId, message: MessageType, with: &[Attribute<'_>]) {
        let body = self.writer.body(message, with, &mut self.rng);
        self.channel.queue(session, body);
    }

    fn handle_control(&mut self, header: ControlHeader, body: &[u8], now: Instant) {
        let session = header.session.0;
        for (session, body) in self.channel.handle(header.ns, header.nr, session, body) {
            let Some(message) = self.writer.read(&body) else {
                continue;
            };
            match message {
                Incoming::Sccrp {
                    tunnel,
                    window,
                    challenge,
                    response,
                } => self.handle_sccrp(tunnel, window, challenge.as_deref(), response, now),
                Incoming::StopCcn(reason) => self.closed(reason),
                Incoming::Icrp(peer) => self.handle_icrp(session, peer, now),
                Incoming::Cdn(reason) => {
                    if let Some(place) = self.place_of(session) {
                        self.finish(place, &reason);
                    }
                }
                Incoming::Other(_) => {}
            }
        }
    }

    fn handle_sccrp(
        &mut self,
        tunnel: PeerTunnelId,
        window: Option<u16>,
        challenge: Option<&[u8]>,
        response: Option<[u8; 16]>,
        now: Instant,
    ) {
        if self.state != State::WaitReply {
            return;
        }
        self.peer = tunnel;
        self.channel.set_window(window.unwrap_or(4));
        let expected = self.writer.response(MessageType::Sccrp, &self.challenge);
        if expected.is_some() && expected != response {
            let assigned = Attribute::AssignedTunnelId(PeerTunnelId(self.local));
            let body = self
                .writer
                .goodbye(MessageType::StopCcn, assigned, 4, &mut self.rng);
            self.channel.queue(PeerSessionId::NONE, body);
            self.end_calls("the LNS does not know the secret");
            self.state = State::Closing(now + FAREWELL);
            return;
        }
        let answer = challenge
            .and_then(|challenge| self.writer.response(MessageType::Scccn, challenge))
            .map(Attribute::ChallengeResponse);
        self.send(PeerSessionId::NONE, MessageType::Scccn, answer.as_slice());
        self.state = State::Established;
        self.shared.note_tunnel_up();
        for index in std::mem::take(&mut self.early) {
            self.dial(index, now);
        }
    }

    fn handle_icrp(&mut self, session: u16, peer: PeerSessionId, now: Instant) {
        let Some(place) = self.place_of(session) else {
            return;
        };
        let options = Arc::clone(&self.options);
        let Some(call) = self.calls.get_mut(place).filter(|call| !call.connected) else {
            return;
        };
        call.peer = peer;
        call.connected = true;
        let route = Route::new(&self.socket, self.peer, peer, options.sequencing);
        call.route = Some(route);
        let user = call.ppp.user().to_owned();
        let proxied = options.proxy && call.ppp.authentication() != Authentication::Any;
        let body = if let Some(octets) = &options.iccn {
            call.ppp.start_proxied();
            octets.clone()
        } else {
            let proxy = proxied.then(|| {
                let method = call.ppp.authentication();
                proxy::Values::new(method, &user, &self.profile, &mut self.rng)
            });
            let mut attributes = vec![
                Attribute::TxConnectSpeed(100_000_000),
                Attribute::FramingType(1),
            ];
            if let Some(values) = &proxy {
                call.ppp.start_proxied();
                values.append_to(&mut attributes);
            }
            if options.sequencing {
                attributes.push(Attribute::SequencingRequired);
            }
            self.writer
                .body(MessageType::Iccn, &attributes, &mut self.rng)
        };
        self.channel.queue(peer, body);
        if !proxied && options.iccn.is_none() {
            call.ppp.start(now);
        }
    }

    fn handle_data(&mut self, header: DataHeader, frame: &[u8], now: Instant) {
        let Some(place) = self.place_of(header.session.0) else {
            return;
        };
        let Ok(frame) = Frame::parse(frame) else {
            return;
        };
        if let Some(sequence) = header.sequence {
            self.shared.note_sequence(self.local, place, sequence.ns);
        }
        if frame.protocol == Protocol::IPV4 {
            self.shared.down.count(1, frame.information.len() as u64);
            self.shared.capture(frame.information);
            return self
                .effects
                .push(Effect::Deliver(frame.information.to_vec()));
        }
        let mut frames = Vec::new();
        let Some(call) = self.calls.get_mut(place).filter(|call| !call.over) else {
            return;
        };
        let event = call.ppp.handle(frame, now, &mut frames);
        let (index, heard) = (call.index, call.ppp.heard);
        self.shared.update(index, |view| view.heard = heard);
        self.send_frames(place, &frames);
        self.handle_event(place, event, now);
    }

    fn handle_event(&mut self, place: usize, event: Option<Event>, now: Instant) {
        let Some(call) = self.calls.get_mut(place) else {
            return;
        };
        match event {
            None => {}
            Some(Event::Up(address)) => {
                self.pending.remove(&place);
                call.address = Some(address);
                if !std::mem::replace(&mut call.settled, true) {
                    self.effects.push(Effect::Settled);
                }
                if call.index < self.options.hosts {
                    self.effects.push(Effect::AddressUp(address));
                }
                if let Some(route) = &call.route {
                    self.shared.add_route(address, route.clone());
                }
                let setup = now.duration_since(call.started);
                self.shared.note_up(call.index, address, setup);
            }
            Some(Event::Down) => {
                call.started = now;
                self.pending.insert(place);
                self.shared
                    .update(call.index, |view| view.stage = Stage::Dialling);
            }
            Some(Event::Ended(reason)) => {
                self.disconnect(place, 3);
                self.finish(place, &reason);
            }
        }
    }

    /// Repeats PPP requests and gives up calls that take too long.
    fn look_after_calls(&mut self, now: Instant) {
        let due: Vec<_> = self
            .pending
            .iter()
            .copied()
            .filter(|place| {
                self.calls.get(*place).is_some_and(|call| {
                    call.started + PATIENCE <= now
                        || call.ppp.deadline().is_some_and(|due| due <= now)
                })
            })
            .collect();
        for place in due {
            let mut frames = Vec::new();
            let Some(call) = self.calls.get_mut(place) else {
                continue;
            };
            let event = if call.started + PATIENCE <= now {
                Some(Event::Ended("not up within 60 s".into()))
            } else {
                call.ppp.handle_timeout(now, &mut frames)
            };
            self.send_frames(place, &frames);
            self.handle_event(place, event, now);
        }
    }

    fn send_frames(&mut self, place: usize, frames: &[Vec<u8>]) {
        let Some(route) = self.calls.get(place).and_then(|call| call.route.as_ref()) else {
            return;
        };
        for frame in frames {
            self.effects.push(Effect::Send(route.data(frame)));
        }
    }

    fn disconnect(&mut self, place: usize, result: u16) {
        let Some(call) = self.calls.get(place).filter(|call| call.connected) else {
            return;
        };
        let sid = u16::try_from(place + 1).unwrap_or(u16::MAX);
        let assigned = Attribute::AssignedSessionId(PeerSessionId(sid));
        let body = self
            .writer
            .goodbye(MessageType::Cdn, assigned, result, &mut self.rng);
        self.channel.queue(call.peer, body);
    }

    /// A call is over, and why.
    fn finish(&mut self, place: usize, reason: &str) {
        self.pending.remove(&place);
        let Some(call) = self.calls.get_mut(place) else {
            return;
        };
        if std::mem::replace(&mut call.over, true) {
            return;
        }
        if !std::mem::replace(&mut call.settled, true) {
            self.effects.push(Effect::Settled);
        }
        if let Some(address) = call.address.take() {
            self.shared.remove_route(address);
            if call.index < self.options.hosts {
                self.effects.push(Effect::AddressDown(address));
            }
        }
        self.shared.update(call.index, |view| {
            view.stage = if view.setup.is_some() {
                Stage::Ended(reason.into())
            } else {
                Stage::Failed(reason.into())
            };
        });
    }

    fn end_calls(&mut self, reason: &str) {
        for place in 0..self.calls.len() {
            self.finish(place, reason);
        }
        for index in std::mem::take(&mut self.early) {
            self.shared
                .update(index, |view| view.stage = Stage::Failed(reason.into()));
            self.effects.push(Effect::Settled);
        }
    }

    /// The LNS has ended the tunnel, or is gone. Its StopCCN is still acknowledged.
    fn closed(&mut self, reason: String) {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return;
        }
        self.end_calls(&reason);
        self.shared.note_tunnel_end(reason);
        self.state = State::Closed;
    }

    fn place_of(&self, session: u16) -> Option<usize> {
        let place = usize::from(session).checked_sub(1)?;
        (place < self.calls.len()).then_some(place)
    }
}
