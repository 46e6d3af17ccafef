//! A client with a trivial server: every request is answered at once and rightly.

use core::net::SocketAddr;
use std::sync::Arc;

use lns_crypto::radius::{Authenticator, sign_message, sign_response};
use lns_crypto::{Rng, Secret};
use lns_radius::Client;
use lns_radius::config::{
    Config, Limits, LoadBalance, Mode, Purpose, Require, Secrets, Server, StatusCheck, Timing,
    Transport,
};
use lns_radius::event::{Action, ConnectionId, Transmit};
use lns_radius::request::{Request, Token};
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, Id, Packet, kind};

/// A client with its randomness and its clock.
#[derive(Debug)]
pub struct Bed {
    pub client: Client,
    pub rng: Rng,
    pub now: Instant,
    pub secret: Secret,
    pub out: Vec<u8>,
    pub answer: Vec<u8>,
    token: u64,
}

/// What a network access server says of a subscriber, about 200 octets.
pub fn attributes() -> AttributeList {
    let mut list = AttributeList::new();
    for (number, value) in [
        (kind::USER_NAME, &b"alice@example.org"[..]),
        (kind::CALLING_STATION_ID, b"+49 30 1234567"),
        (kind::CALLED_STATION_ID, b"edge"),
        (kind::NAS_PORT_ID, b"tunnel 1234 session 5678"),
        (kind::CONNECT_INFO, b"100000000/40000000"),
        (kind::ACCT_SESSION_ID, b"0123456789abcdef0123456789abcdef"),
        (kind::TUNNEL_CLIENT_ENDPOINT, b"\x01192.0.2.100"),
    ] {
        list.push(number, value).unwrap();
    }
    list
}

impl Bed {
    pub fn new(purpose: Purpose, delay_time: bool) -> Self {
        Self::with_timing(purpose, delay_time, Timing::ACCESS)
    }

    pub fn with_timing(purpose: Purpose, delay_time: bool, timing: Timing) -> Self {
        let mut identity = AttributeList::new();
        identity.push(kind::NAS_IDENTIFIER, b"edge").unwrap();
        let secret = Secret::new(*b"xyzzy");
        let config = Config {
            purpose,
            servers: vec![Server {
                name: Arc::from("r1"),
                address: SocketAddr::from(([192, 0, 2, 1], 1812)),
                transport: Transport::Udp,
                secrets: Secrets {
                    current: secret.clone(),
                    previous: None,
                },
                message_authenticator: Require::Always,
                realms: Vec::new(),
            }],
            balance: LoadBalance::FailOver,
            mode: Mode::Originate,
            timing,
            check: StatusCheck::None,
            limits: Limits::default(),
            identity,
            delay_time,
        };
        let now = Instant::from_millis(1000);
        let mut bed = Self {
            client: Client::new(config, now),
            rng: Rng::from_seed([3; 32]),
            now,
            secret,
            out: Vec::with_capacity(4096),
            answer: Vec::with_capacity(4096),
            token: 0,
        };
        bed.open();
        bed
    }

    /// Opens what it wants opened, and forgets its events.
    pub fn open(&mut self) {
        while let Some(action) = self.client.poll_action() {
            if let Action::Open { connection, .. } = action {
                self.client.handle_open(connection, self.now);
            }
        }
        while self.client.poll_event().is_some() {}
    }

    pub fn ask(&mut self, code: Code) {
        self.token += 1;
        let login = code == Code::ACCESS_REQUEST;
        let request = Request {
            token: Token(self.token),
            code,
            attributes: attributes(),
            password: login.then(|| Secret::new(*b"secret")),
            realm: None,
            key: self.token,
            happened: self.now,
            server: None,
        };
        self.client.handle_request(request, self.now);
    }

    pub fn transmit(&mut self) -> Option<Transmit> {
        self.client
            .poll_transmit(self.now, &mut self.rng, &mut self.out)
    }

    /// The right answer to what was sent last, in `answer`.
    pub fn sign(&mut self) {
        let packet = Packet::parse(&self.out).unwrap();
        let (id, authenticator) = (packet.id, packet.authenticator);
        let code = match packet.code {
            Code::ACCOUNTING_REQUEST => Code::ACCOUNTING_RESPONSE,
            _ => Code::ACCESS_ACCEPT,
        };
        answer(code, id, &authenticator, &self.secret, &mut self.answer);
    }

    pub fn deliver(&mut self, over: ConnectionId) {
        self.client.handle_datagram(over, &self.answer, self.now);
    }
}

fn answer(code: Code, id: Id, request: &Authenticator, secret: &Secret, out: &mut Vec<u8>) {
    let mut attributes = AttributeList::new();
    attributes
        .push(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
        .unwrap();
    attributes.push(kind::CLASS, b"0123456789abcdef").unwrap();
    attributes.emit(code, id, request, out).unwrap();
    sign_message(out, 22, request, secret).unwrap();
    sign_response(out, request, secret).unwrap();
}
