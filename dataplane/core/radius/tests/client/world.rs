//! A client, its sockets, and servers behind a network that loses what it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lns_crypto::radius::{sign_message, sign_response, verify_message, verify_request};
use lns_crypto::{Rng, Secret};
use lns_radius::Client;
use lns_radius::config::{
    Check, Config, Limits, LoadBalance, Mode, Purpose, Require, Secrets, Server, StatusCheck,
    Timing, Transport,
};
use lns_radius::event::{Action, Cause, ConnectionId, Event, SendError, Transmit};
use lns_radius::request::{Failure, Outcome, Request, Token};
use lns_radius::trunk::TrunkState;
use lns_radius::trunk::rules::Rules;
use lns_radius::view::{ConnectionView, Held, ServerView};
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, Id, Packet, kind};

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a server does with what comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    Answers,
    Silent,
    /// Nobody listens: its host says so.
    Refuses,
}

/// A server.
pub struct Peer {
    pub life: Life,
    pub secret: Secret,
    pub delay: Duration,
    pub message_authenticator: bool,
    pub deaf_to: BTreeSet<u8>,
    /// Of a hundred requests that come to it, as many are lost.
    pub loss: u32,
    pub reply: Code,
    /// Sockets whose packets are lost on the way.
    pub lost: BTreeSet<ConnectionId>,
    /// What came: when, over which socket, and what.
    pub seen: Vec<Seen>,
    /// Whether sockets to it open.
    pub opens: bool,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub over: ConnectionId,
    pub octets: Vec<u8>,
}

impl Seen {
    pub fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.octets).unwrap()
    }

    pub fn is_check(&self) -> bool {
        self.packet().id == Id(0)
    }
}

enum Coming {
    Datagram(ConnectionId, Vec<u8>),
    Refused(ConnectionId),
}

pub struct World {
    pub client: Client,
    pub config: Config,
    pub now: Instant,
    pub rng: Rng,
    pub peers: BTreeMap<String, Peer>,
    /// Which server a socket goes to.
    pub sockets: BTreeMap<ConnectionId, String>,
    pub all_sockets: BTreeSet<ConnectionId>,
    coming: BTreeMap<(Instant, u64), Coming>,
    order: u64,
    luck: Rng,
    /// Whose packet went out last with an identifier.
    owners: BTreeMap<(ConnectionId, Id), Token>,
    /// Those whose identifier another one has got since the outcomes were looked at.
    replaced: Vec<Token>,
    pub outcomes: BTreeMap<Token, Outcome>,
    /// When each ended.
    pub ended: BTreeMap<Token, Instant>,
    pub events: Vec<Event>,
    pub next_token: u64,
    /// What the next sends say instead of being sent.
    pub send_errors: Vec<SendError>,
    /// Packets that were polled: what goes to whom.
    pub last: Option<Transmit>,
}

pub fn attributes(user: &str) -> AttributeList {
    let mut list = AttributeList::new();
    list.push(kind::USER_NAME, user.as_bytes()).unwrap();
    list
}

pub fn identity() -> AttributeList {
    let mut list = AttributeList::new();
    list.push(kind::NAS_IDENTIFIER, b"edge").unwrap();
    list
}

pub fn server(name: &str, host: u8) -> Server {
    Server {
        name: Arc::from(name),
        address: SocketAddr::from(([192, 0, 2, host], 1812)),
        transport: Transport::Udp,
        secrets: Secrets {
            current: Secret::new(*b"xyzzy"),
            previous: None,
        },
        message_authenticator: Require::Always,
        realms: Vec::new(),
    }
}

/// Rules by which a zombie is waited for longer than any request lasts.
pub fn patient() -> Rules {
    Rules {
        zombie_period: secs(90),
        ..Rules::DEFAULT
    }
}

/// A client of these servers, without checks.
pub fn config(servers: &[&str]) -> Config {
    Config {
        purpose: Purpose::Authentication,
        servers: servers
            .iter()
            .zip(1..)
            .map(|(name, host)| server(name, host))
            .collect(),
        balance: LoadBalance::FailOver,
        mode: Mode::Originate,
        timing: Timing::ACCESS,
        check: StatusCheck::None,
        limits: Limits::default(),
        identity: identity(),
        delay_time: false,
    }
}

pub fn with_status_server() -> StatusCheck {
    StatusCheck::StatusServer(Check::default())
}

impl World {
    pub fn new(config: Config) -> Self {
        Self::with_rules(config, Rules::DEFAULT)
    }

    pub fn with_rules(config: Config, rules: Rules) -> Self {
        let now = Instant::from_millis(1_000_000);
        let peers = config.servers.iter().map(|server| {
            let peer = Peer {
                life: Life::Answers,
                secret: server.secrets.current.clone(),
                delay: millis(5),
                message_authenticator: true,
                deaf_to: BTreeSet::new(),
                loss: 0,
                reply: Code::ACCESS_ACCEPT,
                lost: BTreeSet::new(),
                seen: Vec::new(),
                opens: true,
            };
            (server.name.to_string(), peer)
        });
        let mut world = Self {
            peers: peers.collect(),
            client: Client::with_rules(config.clone(), rules, now),
            config,
            now,
            rng: Rng::from_seed([9; 32]),
            sockets: BTreeMap::new(),
            all_sockets: BTreeSet::new(),
            coming: BTreeMap::new(),
            order: 0,
            luck: Rng::from_seed([5; 32]),
            owners: BTreeMap::new(),
            replaced: Vec::new(),
            outcomes: BTreeMap::new(),
            ended: BTreeMap::new(),
            events: Vec::new(),
            next_token: 0,
            send_errors: Vec::new(),
            last: None,
        };
        world.settle();
        world
    }

    pub fn peer(&mut self, name: &str) -> &mut Peer {
        self.peers.get_mut(name).unwrap()
    }

    pub fn login(&mut self) -> Request {
        self.next_token += 1;
        Request {
            token: Token(self.next_token),
            code: Code::ACCESS_REQUEST,
            attributes: self.subscriber(),
            password: Some(Secret::new(*b"secret")),
            realm: None,
            key: self.next_token,
            happened: self.now,
            server: None,
        }
    }

    pub fn record(&mut self) -> Request {
        let mut request = self.login();
        request.code = Code::ACCOUNTING_REQUEST;
        request.password = None;
        request.attributes.push_u32(kind::ACCT_STATUS_TYPE, 1);
        request
    }

    /// What tells one request from all others.
    fn subscriber(&self) -> AttributeList {
        let mut attributes = attributes("alice");
        let port = u32::try_from(self.next_token).unwrap();
        attributes.push_u32(kind::NAS_PORT, port);
        attributes
    }

    /// Asks, and sends what there is to send.
    pub fn ask(&mut self) -> Token {
        let request = self.request();
        self.ask_for(request)
    }

    pub fn request(&mut self) -> Request {
        match self.config.purpose {
            Purpose::Authentication => self.login(),
            Purpose::Accounting | Purpose::Copy => self.record(),
        }
    }

    pub fn ask_for(&mut self, request: Request) -> Token {
        let token = request.token;
        self.client.handle_request(request, self.now);
        self.settle();
        token
    }

    pub fn asks(&mut self, count: usize) -> Vec<Token> {
        (0..count).map(|_| self.ask()).collect()
    }

    pub fn cancel(&mut self, token: Token) {
        self.client.handle_cancel(token, self.now);
        self.settle();
    }

    pub fn repeat(&mut self, token: Token) {
        self.client.handle_repeat(token, self.now);
        self.settle();
    }

    pub fn configure(&mut self, config: Config) {
        self.config = config.clone();
        self.client.handle_config(config, self.now);
        self.settle();
    }

    /// Everything that happens now.
    pub fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(action) = self.client.poll_action() {
                idle = false;
                self.act(action);
            }
            let mut out = Vec::new();
            while let Some(transmit) = self.client.poll_transmit(self.now, &mut self.rng, &mut out)
            {
                idle = false;
                self.send(transmit, &out);
            }
            while let Some(outcome) = self.client.poll_outcome() {
                idle = false;
                let token = outcome.token;
                self.ended.insert(token, self.now);
                assert!(
                    self.outcomes.insert(token, outcome).is_none(),
                    "one outcome"
                );
            }
            while let Some(event) = self.client.poll_event() {
                self.events.push(event);
            }
            for token in self.replaced.drain(..) {
                let ended = self.ended.contains_key(&token);
                assert!(ended, "{token:?} has lost its identifier");
            }
            if idle {
                return;
            }
        }
    }

    /// No identifier is used for two requests at once: who gets one that another had finds that one ended.
    fn note_owner(&mut self, over: ConnectionId, octets: &[u8]) {
        let packet = Packet::parse(octets).unwrap();
        let Some(port) = packet.first(kind::NAS_PORT) else {
            return;
        };
        let token = Token(u64::from(u32::from_be_bytes(port.try_into().unwrap())));
        let before = self.owners.insert((over, packet.id), token);
        self.replaced
            .extend(before.filter(|before| *before != token));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open {
                connection, server, ..
            } => {
                assert!(self.all_sockets.insert(connection), "never used for two");
                self.sockets.insert(connection, server.to_string());
                if self.peers[&*server].opens {
                    self.client.handle_open(connection, self.now);
                }
            }
            Action::Close(connection) => {
                assert!(self.sockets.remove(&connection).is_some(), "it was open");
            }
        }
    }

    fn send(&mut self, transmit: Transmit, octets: &[u8]) {
        self.last = Some(transmit);
        if let Some(error) = self.send_errors.pop() {
            if error == SendError::Broken {
                // The client closes it.
                assert!(self.sockets.contains_key(&transmit.connection));
            }
            self.client.handle_send_error(transmit, error, self.now);
            return;
        }
        let over = transmit.connection;
        self.note_owner(over, octets);
        let name = self.sockets.get(&over).expect("the socket is open").clone();
        let now = self.now;
        let peer = self.peers.get_mut(&name).unwrap();
        peer.seen.push(Seen {
            at: now,
            over,
            octets: octets.to_vec(),
        });
        let lost = peer.loss > 0 && self.luck.u32() % 100 < peer.loss;
        if lost || peer.lost.contains(&over) || peer.life == Life::Silent {
            return;
        }
        let coming = if peer.life == Life::Refuses {
            Coming::Refused(over)
        } else if let Some(reply) = peer.answer(octets) {
            Coming::Datagram(over, reply)
        } else {
            return;
        };
        let delay = peer.delay;
        self.order += 1;
        self.coming.insert((now + delay, self.order), coming);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        loop {
            let coming = self.coming.keys().next().map(|(at, _)| *at);
            let timeout = self.client.poll_timeout();
            let next = coming
                .into_iter()
                .chain(timeout)
                .min()
                .map(|at| at.max(self.now));
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = next;
            self.arrive();
            self.client.handle_timeout(self.now, &mut self.rng);
            self.settle();
        }
        self.now = until;
        self.client.handle_timeout(self.now, &mut self.rng);
        self.settle();
    }

    fn arrive(&mut self) {
        while let Some(entry) = self.coming.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Coming::Datagram(over, octets) => {
                    if self.sockets.contains_key(&over) {
                        self.client.handle_datagram(over, &octets, self.now);
                    }
                }
                Coming::Refused(over) => self.close(over, Cause::Refused),
            }
            self.settle();
        }
    }

    /// The socket comes to its end, and the process closes it.
    pub fn close(&mut self, over: ConnectionId, cause: Cause) {
        if self.sockets.remove(&over).is_some() {
            self.client.handle_closed(over, cause, self.now);
            self.settle();
        }
    }

    /// Whatever anybody sends to a socket.
    pub fn forge(&mut self, over: ConnectionId, octets: &[u8]) {
        self.client.handle_datagram(over, octets, self.now);
        self.settle();
    }

    pub fn server(&self, name: &str) -> ServerView {
        let view = self.client.view(self.now);
        view.servers
            .into_iter()
            .find(|server| &*server.name == name)
            .unwrap()
    }

    pub fn connections(&self, name: &str) -> Vec<ConnectionView> {
        self.server(name).connections
    }

    pub fn connection(&self, name: &str) -> ConnectionView {
        self.connections(name)[0].clone()
    }

    pub fn states(&self, name: &str) -> Vec<TrunkState> {
        let connections = self.connections(name);
        connections
            .iter()
            .map(|connection| connection.state)
            .collect()
    }

    pub fn is_ok(&self, token: Token) -> bool {
        self.outcomes
            .get(&token)
            .is_some_and(|outcome| outcome.result.is_ok())
    }

    pub fn failure(&self, token: Token) -> Option<Failure> {
        self.outcomes.get(&token)?.result.as_ref().err().copied()
    }

    /// What a server has seen of requests, without checks.
    pub fn requests(&self, name: &str) -> Vec<Seen> {
        let seen = self.peers[name].seen.iter();
        seen.filter(|seen| !seen.is_check()).cloned().collect()
    }

    pub fn checks(&self, name: &str) -> Vec<Seen> {
        let seen = self.peers[name].seen.iter();
        seen.filter(|seen| seen.is_check()).cloned().collect()
    }

    pub fn dropped(&self, name: &str, label: &str) -> u64 {
        let dropped = self.server(name).dropped;
        dropped
            .iter()
            .find(|(reason, _)| *reason == label)
            .unwrap()
            .1
    }

    pub fn nothing_is_held(&self) {
        assert_eq!(self.client.held(), Held::default());
        assert!(self.client.is_idle());
    }
}

impl Peer {
    /// The answer to a request, if it is one that this server answers.
    pub fn answer(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::parse(octets).unwrap();
        if self.deaf_to.contains(&packet.code.0) || !self.believes(&packet) {
            return None;
        }
        let code = match packet.code {
            Code::ACCOUNTING_REQUEST => Code::ACCOUNTING_RESPONSE,
            _ => self.reply,
        };
        let mut attributes = AttributeList::new();
        if code == Code::PROTOCOL_ERROR {
            attributes
                .push(kind::EXTENDED_1, &[4, 0, 0, 0, packet.code.0])
                .unwrap();
        }
        Some(self.sign(&packet, code, &attributes))
    }

    /// Whether a request is signed with its secret; one that is not is dropped, as servers do.
    pub fn believes(&self, packet: &Packet<'_>) -> bool {
        match packet.code {
            Code::ACCOUNTING_REQUEST => verify_request(packet.octets(), &self.secret),
            _ => verify_message(packet.octets(), 22, &packet.authenticator, &self.secret),
        }
    }

    pub fn sign(&self, request: &Packet<'_>, code: Code, more: &AttributeList) -> Vec<u8> {
        let mut attributes = AttributeList::new();
        if self.message_authenticator {
            attributes
                .push(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
                .unwrap();
        }
        for attribute in more {
            attributes.push(attribute.kind, attribute.value).unwrap();
        }
        let mut out = Vec::new();
        attributes
            .emit(code, request.id, &request.authenticator, &mut out)
            .unwrap();
        if self.message_authenticator {
            sign_message(&mut out, 22, &request.authenticator, &self.secret).unwrap();
        }
        sign_response(&mut out, &request.authenticator, &self.secret).unwrap();
        out
    }
}
