//! A client, servers for it, and what became of its requests.

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use lns_crypto::{Secret, radius};
use lns_radius::config::{
    Check, Config, Limits, LoadBalance, Mode, Purpose, Require, Secrets, Server, StatusCheck,
    Timing, Transport,
};
use lns_radius::request::{Outcome, Request, Token};
use lns_radius::view::ServerView;
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, HEADER, Id, MAX_PACKET, Packet, kind};
use tokio::net::UdpSocket;
use tokio::runtime;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::radius::figures::rtts;
use crate::radius::pool::{Desk, Settings, Tls};

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all share.
const SECRET: &[u8] = b"a secret of the tests";

/// Runs a test on a thread like that of RADIUS.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let bounded = async { timeout(PATIENCE, test).await.unwrap() };
    LocalSet::new().block_on(&runtime.unwrap(), bounded);
}

pub(super) fn secret() -> Secret {
    Secret::new(SECRET)
}

/// A server that is asked over UDP.
pub(super) fn server(name: &str, address: SocketAddr) -> Server {
    Server {
        name: name.into(),
        address,
        transport: Transport::Udp,
        secrets: Secrets {
            current: secret(),
            previous: None,
        },
        message_authenticator: Require::Always,
        realms: Vec::new(),
    }
}

/// What a client is told; with requests that are repeated soon.
pub(super) fn settings(purpose: Purpose, servers: Vec<Server>) -> Settings {
    let mut identity = AttributeList::new();
    identity.push(kind::NAS_IDENTIFIER, b"test").unwrap();
    Settings {
        client: Config {
            purpose,
            servers,
            balance: LoadBalance::FailOver,
            mode: Mode::Originate,
            timing: Timing {
                initial: Duration::from_millis(200),
                longest: Duration::from_millis(400),
                count: 4,
                duration: Duration::from_secs(3),
            },
            check: StatusCheck::StatusServer(Check::default()),
            limits: Limits::default(),
            identity,
            delay_time: false,
        },
        source: None,
        tls: BTreeMap::<Arc<str>, Tls>::new(),
    }
}

/// A client with its sockets, and what became of its requests.
pub(super) struct Bed {
    pub(super) desk: Desk,
    outcomes: Rc<RefCell<Vec<Outcome>>>,
    came: Rc<Notify>,
}

impl Bed {
    pub(super) fn new(settings: Settings) -> Self {
        let outcomes = Rc::<RefCell<Vec<Outcome>>>::default();
        let came = Rc::new(Notify::new());
        let sink = {
            let (outcomes, came) = (Rc::clone(&outcomes), Rc::clone(&came));
            Box::new(move |outcome| {
                outcomes.borrow_mut().push(outcome);
                came.notify_one();
                Ok(())
            })
        };
        Self {
            desk: Desk::new(settings, [7; 32], &rtts(), sink),
            outcomes,
            came,
        }
    }

    /// The next `count` requests that have ended, in the order of their names.
    pub(super) async fn ended(&self, count: usize) -> Vec<Outcome> {
        while self.outcomes.borrow().len() < count {
            self.came.notified().await;
        }
        let mut ended = self.outcomes.take();
        ended.sort_by_key(|outcome| outcome.token);
        assert_eq!(ended.len(), count);
        ended
    }

    /// Asks once for each name, and waits for what became of it.
    pub(super) async fn ask(&self, tokens: core::ops::Range<u64>) -> Vec<Outcome> {
        let count = usize::try_from(tokens.end - tokens.start).unwrap();
        self.desk.ask(tokens.map(access));
        self.ended(count).await
    }

    pub(super) fn server(&self, name: &str) -> ServerView {
        let servers = self.desk.seen().view.servers;
        let found = servers.into_iter().find(|server| &*server.name == name);
        found.unwrap()
    }
}

/// May this subscriber come in?
pub(super) fn access(token: u64) -> Request {
    let mut attributes = AttributeList::new();
    attributes
        .push(kind::USER_NAME, format!("user{token}").as_bytes())
        .unwrap();
    Request {
        token: Token(token),
        code: Code::ACCESS_REQUEST,
        attributes,
        password: Some(Secret::new(*b"password")),
        realm: None,
        key: token,
        happened: Instant::ZERO,
        server: None,
    }
}

/// A record.
pub(super) fn record(token: u64) -> Request {
    let mut attributes = AttributeList::new();
    attributes.push_u32(kind::ACCT_STATUS_TYPE, 1);
    attributes
        .push(kind::ACCT_SESSION_ID, format!("s{token}").as_bytes())
        .unwrap();
    Request {
        code: Code::ACCOUNTING_REQUEST,
        attributes,
        password: None,
        ..access(token)
    }
}

/// A request with an attribute that makes its packet about so long.
pub(super) fn long(token: u64, octets: usize) -> Request {
    let mut request = access(token);
    request
        .attributes
        .push_long(kind::REPLY_MESSAGE, &vec![b'x'; octets]);
    request
}

/// How a server answers: everybody is let in, every record taken.
pub(super) fn answer(request: &[u8], secret: &Secret) -> Vec<u8> {
    let packet = Packet::parse(request).unwrap();
    let code = match packet.code {
        Code::ACCOUNTING_REQUEST => Code::ACCOUNTING_RESPONSE,
        _ => Code::ACCESS_ACCEPT,
    };
    let mut attributes = AttributeList::new();
    attributes
        .push(kind::MESSAGE_AUTHENTICATOR, &[0; 16])
        .unwrap();
    let mut reply = Vec::new();
    let Id(id) = packet.id;
    attributes
        .emit(code, Id(id), &packet.authenticator, &mut reply)
        .unwrap();
    radius::sign_message(&mut reply, HEADER + 2, &packet.authenticator, secret).unwrap();
    radius::sign_response(&mut reply, &packet.authenticator, secret).unwrap();
    reply
}

/// A server over UDP.
pub(super) struct Responder {
    pub(super) address: SocketAddr,
    seen: Rc<RefCell<BTreeMap<SocketAddr, u64>>>,
    deaf: Rc<RefCell<BTreeSet<SocketAddr>>>,
    /// How long it takes for each answer.
    pub(super) slow: Rc<Cell<Duration>>,
}

impl Responder {
    pub(super) async fn new(address: IpAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        let responder = Self {
            address: socket.local_addr().unwrap(),
            seen: Rc::default(),
            deaf: Rc::default(),
            slow: Rc::default(),
        };
        let slow = Rc::clone(&responder.slow);
        let (seen, deaf) = (Rc::clone(&responder.seen), Rc::clone(&responder.deaf));
        spawn_local(async move {
            let mut buffer = vec![0; MAX_PACKET];
            loop {
                // An error of the socket is what an ICMP message to it would be.
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                *seen.borrow_mut().entry(from).or_default() += 1;
                if deaf.borrow().contains(&from) {
                    continue;
                }
                let reply = answer(&buffer[..length], &secret());
                sleep(slow.get()).await;
                // There may be no way back.
                let _unsent = socket.send_to(&reply, from).await;
            }
        });
        responder
    }

    pub(super) async fn local() -> Self {
        Self::new([127, 0, 0, 1].into()).await
    }

    pub(super) fn server(&self, name: &str) -> Server {
        server(name, self.address)
    }

    /// Who has asked, and how often.
    pub(super) fn seen(&self) -> BTreeMap<SocketAddr, u64> {
        self.seen.borrow().clone()
    }

    /// Answers this one no more.
    pub(super) fn ignore(&self, from: SocketAddr) {
        self.deaf.borrow_mut().insert(from);
    }
}
