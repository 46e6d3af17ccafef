//! A LAC: one tunnel to the node at a time (RFC 2661, 5.1 to 5.8) and the calls of its lines in it.
//!
//! A tunnel that ends is asked for again, a call that ends is dialled again, both after a pause, as long
//! as they are wanted. [`Bugs`] are what it does wrong; without any it conforms.

use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use lns_crypto::{Rng, Secret, l2tp};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{
    Cdn, CdnResult, ControlHeader, DataHeader, Iccn, Icrq, Message, Packet, ProtocolVersion,
    ResultCode, Scccn, Sccrp, Sccrq, Seq16, StopCcn, StopCcnResult, emit_data, reveal,
};

use super::channel::Channel;
use super::frames::Frames;
use super::hiding::{Concealer, Revealer};
use super::line::{CallState, Line, LineSettings, Overheard};
use super::number::{after, is_older};

/// How long the node may take to answer an ICRQ.
const CALL_SETUP: Duration = Duration::from_secs(60);

/// How long a tunnel may take to come up after the SCCRQ was acknowledged.
const TUNNEL_SETUP: Duration = Duration::from_secs(60);

/// What a LAC is like.
#[derive(Clone, Debug)]
pub struct LacSettings {
    /// Where it sends from.
    pub address: SocketAddr,
    /// The node's service address.
    pub server: SocketAddr,
    /// The Host Name AVP.
    pub host_name: Box<[u8]>,
    /// The tunnel secret: it answers challenges with it.
    pub secret: Option<Secret>,
    /// It challenges the node, if it has a secret.
    pub challenges: bool,
    /// It hides what may be hidden, if it has a secret.
    pub hides: bool,
    /// The receive window that it offers.
    pub window: u16,
    /// Silence before it sends a HELLO; `None`: it never does.
    pub hello: Option<Duration>,
    /// The pause before a tunnel or a call is tried again.
    pub pause: Duration,
    /// Repeats of a message before the node is given up.
    pub tries: u32,
    /// What it does wrong.
    pub bugs: Bugs,
}

/// What a LAC does wrong, each so many times in a thousand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bugs {
    /// A message goes out a second time.
    pub repeats: u16,
    /// A message goes out with another Ns.
    pub wrong_ns: u16,
    /// A message goes out with another Nr.
    pub wrong_nr: u16,
    /// A call message or frame goes to another session.
    pub wrong_session: u16,
    /// The ICRP is not answered.
    pub forgets_call: u16,
    /// Frames are sent before the ICCN.
    pub early_frames: u16,
    /// A tunnel that is asked for again has the same Assigned Tunnel ID.
    pub same_tunnel_id: bool,
}

impl LacSettings {
    /// A conforming LAC without a secret.
    pub fn new(address: SocketAddr, server: SocketAddr, host_name: &str) -> Self {
        Self {
            address,
            server,
            host_name: host_name.as_bytes().into(),
            secret: None,
            challenges: true,
            hides: false,
            window: 64,
            hello: Some(Duration::from_secs(60)),
            pause: Duration::from_secs(5),
            tries: 5,
            bugs: Bugs::default(),
        }
    }
}

/// Where a LAC's tunnel is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LacState {
    /// There is none; one is asked for at this time.
    Idle(Option<Instant>),
    /// The SCCRQ is sent; given up at this time.
    Asking(Instant),
    /// It is up.
    Up,
    /// The `StopCCN` is sent; forgotten at this time.
    Leaving(Instant),
}

/// One LAC.
#[derive(Debug)]
pub struct Lac {
    settings: LacSettings,
    rng: Rng,
    state: LacState,
    local: u16,
    peer: u16,
    challenge: Option<[u8; 16]>,
    channel: Channel,
    heard: Instant,
    lines: Vec<Line>,
    by_session: BTreeMap<u16, u32>,
    next_session: u16,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    out: VecDeque<Vec<u8>>,
    /// It wants a tunnel.
    wanted: bool,
    tunnels: u32,
}

impl Lac {
    /// One that asks for its tunnel at `now`. All that it draws follows from `seed`.
    pub fn new(settings: LacSettings, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = Rng::from_seed(seed);
        Self {
            channel: Channel::new(settings.window, settings.tries),
            settings,
            state: LacState::Idle(Some(now)),
            local: rng.u16().max(1),
            rng,
            peer: 0,
            challenge: None,
            heard: now,
            lines: Vec::new(),
            by_session: BTreeMap::new(),
            next_session: 0,
            timers: BinaryHeap::new(),
            out: VecDeque::new(),
            wanted: true,
            tunnels: 0,
        }
    }

    // What it is like.

    /// What it was made with.
    pub const fn settings(&self) -> &LacSettings {
        &self.settings
    }

    /// Its lines, by number.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Where its tunnel is.
    pub const fn state(&self) -> LacState {
        self.state
    }

    /// The LAC's id of its tunnel and the node's; 0: none.
    pub const fn ids(&self) -> (u16, u16) {
        (self.local, self.peer)
    }

    /// How many tunnels have come up.
    pub const fn tunnels(&self) -> u32 {
        self.tunnels
    }

    /// The numbers that its channel sends and expects next.
    pub fn numbers(&self) -> (u16, u16) {
        self.channel.numbers()
    }

    // What it is told.

    /// Adds a line that dials at `now`, or as soon as the tunnel is up. Its number.
    pub fn add_line(&mut self, settings: LineSettings, now: Instant) -> usize {
        self.lines.push(Line::new(settings, now));
        let number = self.lines.len() - 1;
        self.arm(number);
        number
    }

    /// The subscriber of a line hangs up, for good.
    pub fn hang_up(&mut self, line: usize, now: Instant) {
        let mut frames = Frames::new();
        let it = &mut self.lines[line];
        it.wanted = false;
        if it.state == CallState::Connected {
            it.subscriber.hang_up(now, &mut frames);
            self.send_frames(line, frames);
            self.settle_line(line, now);
        } else {
            self.clear(line, CdnResult::LOST_CARRIER, now);
        }
    }

    /// The subscriber of a line wants to be up again.
    pub fn dial(&mut self, line: usize, now: Instant) {
        let it = &mut self.lines[line];
        it.wanted = true;
        if it.session == 0 {
            it.state = CallState::Idle(Some(now));
        }
        self.arm(line);
    }

    /// Ends the tunnel with a `StopCCN`, for good.
    pub fn close(&mut self, now: Instant) {
        self.wanted = false;
        match self.state {
            LacState::Up => self.stop(StopCcnResult::REQUEST, now),
            LacState::Asking(_) | LacState::Idle(_) => self.forget(now),
            LacState::Leaving(_) => {}
        }
    }

    /// Loses all memory of its tunnel and calls without a word, and starts over.
    pub fn restart(&mut self, now: Instant) {
        self.forget(now);
    }

    /// Sends an IP packet of a line's subscriber, if its call is connected.
    pub fn send_packet(&mut self, line: usize, packet: &[u8]) {
        if self.lines[line].state == CallState::Connected {
            self.send_frames(line, vec![[&[0xff, 3, 0, 0x21], packet].concat()]);
        }
    }

    /// Sends a message of the tunnel, whatever it is good for, if the tunnel is up.
    pub fn send_message(&mut self, message: &Message<'_>) {
        if self.state == LacState::Up {
            self.send(0, message);
        }
    }

    // Time.

    /// When [`Lac::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let state = match self.state {
            LacState::Idle(at) => at,
            LacState::Asking(until) | LacState::Leaving(until) => Some(until),
            LacState::Up => None,
        };
        let line = self.timers.peek().map(|Reverse((at, _))| *at);
        [state, line, self.hello_at(), self.channel.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn hello_at(&self) -> Option<Instant> {
        let silent = self.state == LacState::Up && self.channel.is_idle();
        let hello = self.settings.hello.filter(|_| silent)?;
        Some(self.heard + hello)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hello_at().is_some_and(|at| at <= now) {
            self.send(0, &Message::Hello);
        }
        self.channel.handle_timeout(now);
        if self.channel.is_dead() {
            return self.forget(now);
        }
        match self.state {
            LacState::Idle(Some(at)) if at <= now => self.ask(now),
            LacState::Asking(until) if until <= now => self.stop(StopCcnResult::REQUEST, now),
            LacState::Leaving(until) if until <= now => self.forget(now),
            LacState::Idle(_) | LacState::Asking(_) | LacState::Up | LacState::Leaving(_) => {}
        }
        while let Some(Reverse((at, line))) = self.timers.peek().copied().filter(|it| it.0.0 <= now)
        {
            self.timers.pop();
            let line = usize::try_from(line).expect("a line");
            // A timer that was set to an earlier time since then has fired already.
            if self.lines[line].armed == Some(at) {
                self.lines[line].armed = None;
                self.line_due(line, now);
                self.arm(line);
            }
        }
    }

    fn line_due(&mut self, line: usize, now: Instant) {
        let it = &mut self.lines[line];
        if it.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match it.state {
            CallState::Idle(_) if self.state == LacState::Up && it.wanted => self.offer(line, now),
            // The tunnel dials when it is up.
            CallState::Idle(_) => it.state = CallState::Idle(None),
            CallState::Asked(_) => self.clear(line, CdnResult::TIMEOUT, now),
            CallState::Connected => {
                let mut frames = Frames::new();
                it.subscriber
                    .handle_timeout(now, &mut self.rng, &mut frames);
                self.send_frames(line, frames);
                self.settle_line(line, now);
            }
        }
    }

    fn arm(&mut self, line: usize) {
        let it = &mut self.lines[line];
        let Some(at) = it.poll_timeout() else { return };
        if it.armed.is_none_or(|armed| at < armed) {
            it.armed = Some(at);
            let line = u32::try_from(line).expect("a line");
            self.timers.push(Reverse((at, line)));
        }
    }

    // What comes in.

    /// Takes in a datagram of the node's.
    pub fn handle_datagram(&mut self, octets: &[u8], now: Instant) {
        // The network may have broken it.
        match Packet::parse(octets) {
            Ok(Packet::Control(header, body)) => self.handle_control(header, body, now),
            Ok(Packet::Data(header, frame)) => self.handle_data(header, frame, now),
            Err(_) => {}
        }
    }

    fn handle_control(&mut self, header: ControlHeader, body: &[u8], now: Instant) {
        if header.tunnel.0 != self.local || matches!(self.state, LacState::Idle(_)) {
            return;
        }
        let clear = match reveal(body, &mut Revealer(self.settings.secret.as_ref())) {
            Ok(clear) if clear.is_empty() || Message::parse(&clear).is_ok() => clear,
            Ok(_) | Err(_) => return,
        };
        self.heard = now;
        let mut turn = Vec::new();
        self.channel.handle(header, &clear, now, &mut turn);
        for (session, body) in turn {
            if let Ok(message) = Message::parse(&body) {
                self.handle_message(session, &message, now);
            }
        }
        if matches!(self.state, LacState::Leaving(_)) && self.channel.is_idle() {
            self.forget(now);
        }
    }

    fn handle_message(&mut self, session: u16, message: &Message<'_>, now: Instant) {
        match message {
            Message::Sccrp(sccrp) if matches!(self.state, LacState::Asking(_)) => {
                self.accepted(sccrp, now);
            }
            Message::StopCcn(_) => self.stopped(now),
            Message::Icrp(icrp) => self.connect(session, icrp.assigned_session.0, now),
            Message::Cdn(cdn) => {
                let known = self.by_session.get(&session).copied();
                let line = known
                    .filter(|_| session != 0)
                    .map(|line| usize::try_from(line).expect("a line"));
                // The node names its own id beside ours.
                let peer = cdn.assigned_session.0;
                if let Some(line) = line.filter(|line| [0, peer].contains(&self.lines[*line].peer))
                {
                    self.end_call(line, now);
                }
            }
            // What a LAC is not told, and what tells it nothing.
            Message::Sccrq(_)
            | Message::Sccrp(_)
            | Message::Scccn(_)
            | Message::Hello
            | Message::Ocrq(_)
            | Message::Ocrp(_)
            | Message::Occn(_)
            | Message::Icrq(_)
            | Message::Iccn(_)
            | Message::Wen(_)
            | Message::Sli(_) => {}
        }
    }

    fn accepted(&mut self, sccrp: &Sccrp<'_>, now: Instant) {
        self.peer = sccrp.assigned_tunnel.0;
        self.channel.set_peer_window(sccrp.receive_window);
        let secret = self.settings.secret.as_ref();
        if let (Some(challenge), Some(secret)) = (self.challenge, secret) {
            let right = l2tp::challenge_response(2, secret, &challenge);
            if sccrp.challenge_response != Some(right) {
                return self.stop(StopCcnResult::NOT_AUTHORIZED, now);
            }
        }
        let challenge_response = match (sccrp.challenge, secret) {
            (Some(theirs), Some(secret)) => Some(l2tp::challenge_response(3, secret, theirs)),
            (None, _) => None,
            (Some(_), None) => return self.stop(StopCcnResult::NOT_AUTHORIZED, now),
        };
        self.send(0, &Message::Scccn(Scccn { challenge_response }));
        self.state = LacState::Up;
        self.tunnels += 1;
        for line in 0..self.lines.len() {
            if self.lines[line].wanted {
                self.lines[line].state = CallState::Idle(Some(now));
                self.arm(line);
            }
        }
    }

    /// The node has ended the tunnel: the acknowledgement is the last that it hears.
    fn stopped(&mut self, now: Instant) {
        let mut out = Vec::new();
        while self.channel.poll_transmit(self.peer, now, &mut out) {
            self.out.push_back(out.clone());
        }
        self.forget(now);
    }

    fn handle_data(&mut self, header: DataHeader, frame: &[u8], now: Instant) {
        let Some(line) = self.by_session.get(&header.session.0).copied() else {
            return;
        };
        let line = usize::try_from(line).expect("a line");
        let it = &mut self.lines[line];
        if header.tunnel.0 != self.local || it.state != CallState::Connected {
            return;
        }
        if let Some(sequence) = header.sequence {
            if is_older(sequence.ns.0, it.data.1) {
                return;
            }
            it.data.1 = after(sequence.ns.0, 1);
        }
        let mut frames = Frames::new();
        it.subscriber
            .handle_frame(frame, now, &mut self.rng, &mut frames);
        self.send_frames(line, frames);
        self.settle_line(line, now);
    }

    /// Ends the call of a subscriber that has ended, and sets the line's timer.
    fn settle_line(&mut self, line: usize, now: Instant) {
        let it = &self.lines[line];
        if it.state == CallState::Connected && it.subscriber.ended().is_some() {
            self.clear(line, CdnResult::LOST_CARRIER, now);
        }
        self.arm(line);
    }

    // Tunnels.

    fn ask(&mut self, now: Instant) {
        if !self.settings.bugs.same_tunnel_id || self.tunnels == 0 {
            self.local = after(self.local, 1).max(1);
        }
        self.peer = 0;
        self.heard = now;
        self.channel = Channel::new(self.settings.window, self.settings.tries);
        self.state = LacState::Asking(now + TUNNEL_SETUP);
        let challenges = self.settings.challenges && self.settings.secret.is_some();
        self.challenge = challenges.then(|| self.rng.array());
        let (host_name, challenge) = (self.settings.host_name.clone(), self.challenge);
        self.send(
            0,
            &Message::Sccrq(Sccrq {
                version: ProtocolVersion::ONE,
                host_name: &host_name,
                framing: 3,
                assigned_tunnel: PeerTunnelId(self.local),
                bearer: Some(3),
                receive_window: Some(self.settings.window),
                challenge: challenge.as_ref().map(|it| &it[..]),
                tie_breaker: None,
                firmware: Some(1),
                vendor_name: Some(b"a LAC"),
            }),
        );
    }

    fn stop(&mut self, result: StopCcnResult, now: Instant) {
        let message = Message::StopCcn(StopCcn {
            assigned_tunnel: PeerTunnelId(self.local),
            result: ResultCode {
                result: result.0,
                error: None,
                advisory: b"",
            },
        });
        self.send(0, &message);
        self.hang_all_up(now);
        self.state = LacState::Leaving(now + Duration::from_secs(31));
    }

    fn hang_all_up(&mut self, now: Instant) {
        let lines: Vec<u32> = core::mem::take(&mut self.by_session)
            .into_values()
            .collect();
        for line in lines {
            self.end_call(usize::try_from(line).expect("a line"), now);
        }
    }

    fn forget(&mut self, now: Instant) {
        self.hang_all_up(now);
        self.channel = Channel::new(self.settings.window, self.settings.tries);
        self.state = LacState::Idle(self.wanted.then(|| now + self.pause()));
    }

    fn pause(&mut self) -> Duration {
        let pause = self.settings.pause;
        let share = self.rng.u32() % 1_000;
        pause + pause * share / 1_000
    }

    // Calls.

    fn offer(&mut self, line: usize, now: Instant) {
        let Some(session) = self.free_session() else {
            return;
        };
        let number = u32::try_from(line).expect("a line");
        self.by_session.insert(session, number);
        let it = &mut self.lines[line];
        it.session = session;
        it.peer = 0;
        it.data = (0, 0);
        it.state = CallState::Asked(now + CALL_SETUP);
        let (calling_number, channel) = (it.settings.calling_number.clone(), it.settings.channel);
        let icrq = Message::Icrq(Icrq {
            assigned_session: PeerSessionId(session),
            serial_number: number,
            bearer_type: None,
            physical_channel: channel,
            calling_number: calling_number.as_deref(),
            called_number: None,
            sub_address: None,
        });
        self.send(0, &icrq);
    }

    fn free_session(&mut self) -> Option<u16> {
        if self.by_session.len() >= usize::from(u16::MAX) {
            return None;
        }
        loop {
            self.next_session = after(self.next_session, 1);
            let id = self.next_session;
            if id != 0 && !self.by_session.contains_key(&id) {
                return Some(id);
            }
        }
    }

    fn connect(&mut self, session: u16, peer: u16, now: Instant) {
        let Some(line) = self.by_session.get(&session).copied() else {
            return;
        };
        let line = usize::try_from(line).expect("a line");
        let it = &mut self.lines[line];
        if !matches!(it.state, CallState::Asked(_)) {
            return;
        }
        it.peer = peer;
        if self.has_bug(self.settings.bugs.forgets_call) {
            return;
        }
        let it = &mut self.lines[line];
        it.state = CallState::Connected;
        let login = std::sync::Arc::clone(&it.settings.login);
        let overheard = Overheard::draw(&it.settings, &mut self.rng);
        let sequencing_required = it.settings.sequencing;
        let mut frames = Frames::new();
        match overheard.method {
            None => it.subscriber.start(now, &mut self.rng, &mut frames),
            Some(method) => it.subscriber.start_proxied(method, overheard.magic, now),
        }
        if self.has_bug(self.settings.bugs.early_frames) {
            self.send_frames(line, core::mem::take(&mut frames));
        }
        let iccn = Message::Iccn(Iccn {
            tx_connect_speed: 100_000_000,
            framing_type: 1,
            proxy: overheard.avps(&login),
            private_group: None,
            rx_connect_speed: Some(40_000_000),
            sequencing_required,
        });
        self.send(peer, &iccn);
        self.send_frames(line, frames);
        self.arm(line);
    }

    /// Ends the call of a line and tells the node.
    fn clear(&mut self, line: usize, result: CdnResult, now: Instant) {
        let (session, peer) = self.lines[line].ids();
        if session == 0 {
            return;
        }
        let cdn = Message::Cdn(Cdn {
            assigned_session: PeerSessionId(session),
            result: ResultCode {
                result: result.0,
                error: None,
                advisory: b"",
            },
            q931: None,
            disconnect: None,
        });
        self.send(peer, &cdn);
        self.end_call(line, now);
    }

    /// The call of a line is over for both sides.
    fn end_call(&mut self, line: usize, now: Instant) {
        let pause = self.pause();
        let it = &mut self.lines[line];
        self.by_session.remove(&it.session);
        it.session = 0;
        it.peer = 0;
        it.subscriber.disconnect();
        it.wanted &= it.settings.redials;
        it.state = CallState::Idle(it.wanted.then(|| now + pause));
        self.arm(line);
    }

    // What goes out.

    fn has_bug(&mut self, times_in_thousand: u16) -> bool {
        times_in_thousand > 0 && self.rng.u32() % 1_000 < u32::from(times_in_thousand)
    }

    fn send(&mut self, session: u16, message: &Message<'_>) {
        let session = self.session_on_the_wire(session);
        let mut body = Vec::with_capacity(96);
        match &self.settings.secret {
            Some(secret) if self.settings.hides => {
                let mut hide = Concealer {
                    secret,
                    rng: &mut self.rng,
                };
                message.emit_hidden(&mut hide, &mut body)
            }
            Some(_) | None => message.emit(&mut body),
        }
        .expect("a message of our own fits");
        self.channel.send(session, body.into());
    }

    fn session_on_the_wire(&mut self, session: u16) -> u16 {
        if session != 0 && self.has_bug(self.settings.bugs.wrong_session) {
            self.rng.u16()
        } else {
            session
        }
    }

    fn send_frames(&mut self, line: usize, frames: Frames) {
        for frame in frames {
            let peer = self.lines[line].peer;
            let session = self.session_on_the_wire(peer);
            let it = &mut self.lines[line];
            let ns = it.settings.sequencing.then_some(Seq16(it.data.0));
            it.data.0 = after(it.data.0, usize::from(ns.is_some()));
            let mut octets = Vec::with_capacity(frame.len() + 12);
            emit_data(
                PeerTunnelId(self.peer),
                PeerSessionId(session),
                ns,
                &mut octets,
            );
            octets.extend(frame);
            self.out.push_back(octets);
        }
    }

    /// Writes the next datagram to the node, if there is one: messages before frames.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if !matches!(self.state, LacState::Idle(_))
            && self.channel.poll_transmit(self.peer, now, out)
        {
            self.spoil(out);
            return true;
        }
        self.out.pop_front().is_some_and(|octets| {
            *out = octets;
            true
        })
    }

    /// Does to a message what a wrong LAC would.
    fn spoil(&mut self, out: &mut [u8]) {
        let bugs = self.settings.bugs;
        for (rate, at) in [(bugs.wrong_ns, 8), (bugs.wrong_nr, 10)] {
            if self.has_bug(rate) {
                let near = self.rng.u16() % 5;
                let field = u16::from_be_bytes([out[at], out[at + 1]]);
                let wrong = after(field, usize::from(near)).wrapping_sub(2);
                out[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
            }
        }
        if self.has_bug(bugs.repeats) {
            self.out.push_back(out.to_vec());
        }
    }
}
