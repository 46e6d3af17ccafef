//! What a client must be told: the servers of one purpose, authentication or accounting.
//!
//! Nothing here is checked again; whoever builds a [`Config`] has validated it (in the process that is
//! the manifest reader).

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Secret;
use lns_wire::radius::AttributeList;

/// All that a client is configured with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// What is asked of these servers.
    pub purpose: Purpose,
    /// The servers, in the order of preference.
    pub servers: Vec<Server>,
    /// How requests are spread over them.
    pub balance: LoadBalance,
    /// Who repeats a request that is not answered.
    pub mode: Mode,
    /// How requests are repeated (RFC 5080, 2.2.1).
    pub timing: Timing,
    /// How a server that does not answer is asked whether it lives.
    pub check: StatusCheck,
    /// What all connections together may use.
    pub limits: Limits,
    /// NAS-Identifier and NAS-IP-Address or NAS-IPv6-Address: in every request, status checks too.
    pub identity: AttributeList,
    /// Whether Acct-Delay-Time says how old a record is. Else Event-Timestamp alone does.
    pub delay_time: bool,
}

/// What servers are asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Purpose {
    /// Access-Request.
    Authentication,
    /// Accounting-Request.
    Accounting,
    /// Accounting-Request, of which nobody waits for the answer: a copy for others. A record goes to one of
    /// the servers, so each that is to have a copy has a client of its own.
    Copy,
}

/// One server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Its name: the key over a reload, and a metric label.
    pub name: Arc<str>,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// What it shares with us. Over TLS `radsec` (RFC 6614, 2.3).
    pub secrets: Secrets,
    /// Whether its replies to Access-Requests must carry a Message-Authenticator.
    pub message_authenticator: Require,
    /// Realms (what is behind the last `@` of a User-Name, ASCII case ignored) that it is for. Empty: for
    /// all whose realm no other server names.
    pub realms: Vec<Box<str>>,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// RFC 2865.
    Udp,
    /// RadSec (RFC 6614): a stream, on which nothing is repeated.
    Tls,
}

impl Transport {
    /// As the manifest and the commands write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tls => "TLS",
        }
    }
}

/// A secret, and the one before it while it is being rotated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secrets {
    /// What requests are signed with first.
    pub current: Secret,
    /// Tried when a server does not answer to `current`; a reply is believed with either.
    pub previous: Option<Secret>,
}

/// One of two secrets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// [`Secrets::current`].
    Current,
    /// [`Secrets::previous`].
    Previous,
}

impl Secrets {
    /// The secret of that name; the current one if there is no previous one.
    pub fn of(&self, key: Key) -> &Secret {
        match (key, &self.previous) {
            (Key::Previous, Some(previous)) => previous,
            (Key::Previous, None) | (Key::Current, _) => &self.current,
        }
    }

    /// The name of the first that `fits`, the current one before the previous one.
    pub fn find(&self, fits: impl Fn(&Secret) -> bool) -> Option<Key> {
        if fits(&self.current) {
            return Some(Key::Current);
        }
        self.previous
            .as_ref()
            .is_some_and(fits)
            .then_some(Key::Previous)
    }
}

/// Whether a Message-Authenticator must be in a reply to an Access-Request (CVE-2024-3596).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Require {
    /// A reply without one is dropped.
    #[default]
    Always,
    /// Once a server has sent a valid one without EAP, always.
    Auto,
    /// Only with EAP-Message (RFC 3579, 3.2).
    Never,
}

/// How requests are spread over servers that live.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LoadBalance {
    /// The first that lives.
    #[default]
    FailOver,
    /// The one with the fewest requests in flight.
    Balance,
    /// The same one for the same key, as long as it lives (rendezvous hashing).
    KeyedBalance,
}

/// Who repeats a request that is not answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// We do, by [`Timing`].
    #[default]
    Originate,
    /// The subscriber's PPP does, and each of its repetitions is one of ours.
    Synchronous,
}

/// How one kind of packet is repeated (RFC 5080, 2.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// IRT: until the first repetition, before jitter.
    pub initial: Duration,
    /// MRT: between two at most; zero: no limit.
    pub longest: Duration,
    /// MRC: sends in all; zero: no limit.
    pub count: u8,
    /// MRD: all of it; zero: a day.
    pub duration: Duration,
}

impl Timing {
    /// RFC 5080's figures for Access-Request.
    pub const ACCESS: Self = Self {
        initial: Duration::from_secs(2),
        longest: Duration::from_secs(16),
        count: 5,
        duration: Duration::from_secs(30),
    };
    /// One server's turn with an Accounting-Request; the queue behind it never gives up (RFC 5080, 2.2.1).
    pub const ACCOUNTING: Self = Self {
        initial: Duration::from_secs(2),
        longest: Duration::from_secs(16),
        count: 5,
        duration: Duration::from_secs(30),
    };
    /// Status checks, each with an identifier of its own (RFC 5997, 4.1).
    pub const CHECK: Self = Self {
        initial: Duration::from_secs(2),
        longest: Duration::from_secs(5),
        count: 5,
        duration: Duration::from_secs(30),
    };
}

/// How a server that does not answer is asked whether it lives. All attributes are static.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StatusCheck {
    /// It is not: a connection is closed and opened again.
    None,
    /// By the first of Status-Server, Access-Request, Accounting-Request that works; the latter two only
    /// if their attributes suffice.
    Auto(Check),
    /// RFC 5997.
    StatusServer(Check),
    /// With a User-Name and a User-Password; Accept and Reject both mean that it lives.
    AccessRequest(Check),
    /// With a User-Name.
    AccountingRequest(Check),
}

/// What a status check says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Check {
    /// Beside the identity; without User-Password, Message-Authenticator, Acct-Status-Type and
    /// Acct-Session-Id. A User-Name is left out of Status-Server.
    pub attributes: AttributeList,
    /// The User-Password of an Access-Request check.
    pub password: Option<Secret>,
}

/// What all connections of a client may use together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Sockets to all servers.
    pub max_connections: u16,
    /// Requests that were taken and have not ended, queued ones included.
    pub max_in_flight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 8,
            max_in_flight: 4096,
        }
    }
}
