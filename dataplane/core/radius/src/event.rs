//! What passes between a client and the process that has the sockets, and what it tells those who watch.

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use crate::config::Transport;
use crate::connection::ConnectionState;
use crate::request::Token;
use crate::server::ServerState;
use crate::trunk::{AggregateState, RequestState, TrunkState};
use crate::verify::Rejected;

/// One socket, from [`Action::Open`] to its end. Never used for two.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// As one number.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 16 | u64::from(self.index)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the process should do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Open a socket of its own port, connected to that address, and say when it is
    /// ([`handle_open`](crate::Client::handle_open)) or why it is not
    /// ([`handle_open_failed`](crate::Client::handle_open_failed)).
    Open {
        /// Its name from now on.
        connection: ConnectionId,
        /// The server's name.
        server: Arc<str>,
        /// Where to.
        address: SocketAddr,
        /// How.
        transport: Transport,
    },
    /// Close it; nothing more is said about it.
    Close(ConnectionId),
}

/// A packet that [`poll_transmit`](crate::Client::poll_transmit) gave out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// The socket that it is for.
    pub connection: ConnectionId,
    pub(crate) packet: Sent,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    /// A request's: its place and its number.
    Request(u32, u64),
    /// A status check.
    Check,
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError {
    /// `EAGAIN`, `ENOBUFS`, `ENOMEM`, `EINTR`, or nothing was written: later it will be.
    Temporary,
    /// `EMSGSIZE`: this one never will be.
    TooLarge,
    /// Anything else: nothing will be on this socket.
    Broken,
}

lns_wire::labelled! {
    /// Why a connection failed.
    pub enum Cause {
        /// The process could not open a socket.
        NotOpened = "not_opened",
        /// It took too long to open.
        ConnectTimeout = "connect_timeout",
        /// Its peer's host says that nobody is there.
        Refused = "refused",
        /// Its peer closed the stream.
        ClosedByPeer = "closed_by_peer",
        /// The TLS handshake failed, or the peer's certificate is not the server's.
        Tls = "tls",
        /// Any other error of the socket.
        Broken = "broken",
        /// The stream carried something that is not RADIUS, or was not signed with the secret.
        BadStream = "bad_stream",
        /// Nothing came back for too long.
        NoAnswer = "no_answer",
        /// It is no longer needed, or too old.
        Expired = "expired",
    }
}

/// What has changed. Who does not look loses the oldest, and nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A socket.
    Connection {
        /// Which.
        connection: ConnectionId,
        /// Its server.
        server: Arc<str>,
        /// What it was.
        from: ConnectionState,
        /// What it is.
        to: ConnectionState,
        /// Why, if it failed.
        cause: Option<Cause>,
    },
    /// What a trunk sees of a socket.
    Trunk {
        /// Which.
        connection: ConnectionId,
        /// Its server.
        server: Arc<str>,
        /// What it was.
        from: TrunkState,
        /// What it is.
        to: TrunkState,
    },
    /// A request.
    Request {
        /// Which.
        token: Token,
        /// What it was.
        from: RequestState,
        /// What it is.
        to: RequestState,
    },
    /// All connections to a server together.
    Aggregate {
        /// Its name.
        server: Arc<str>,
        /// What they were.
        from: AggregateState,
        /// What they are.
        to: AggregateState,
    },
    /// A server, as a log should tell it.
    Server {
        /// Its name.
        server: Arc<str>,
        /// What it was.
        from: ServerState,
        /// What it is.
        to: ServerState,
        /// Why its last connection failed, if it is down.
        cause: Option<Cause>,
    },
    /// A packet came that was not believed.
    Dropped {
        /// Whose socket it came over.
        server: Arc<str>,
        /// Why.
        reason: Dropped,
    },
}

lns_wire::labelled! {
    /// Why a packet was dropped before it was verified.
    pub enum Unwanted {
        /// It answers nothing that waits on this socket: the answer came before, or too late, or it is forged.
        Late = "late",
        /// It answers a copy, of which nobody waits for the answer.
        Unasked = "unasked",
    }
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dropped {
    /// Nobody waits for it.
    Unwanted(Unwanted),
    /// It was not believed.
    Rejected(Rejected),
}

impl Dropped {
    /// How many there are.
    pub const COUNT: usize = Unwanted::ALL.len() + Rejected::ALL.len();

    /// Its place among all of them.
    pub const fn place(self) -> usize {
        match self {
            Self::Unwanted(unwanted) => unwanted.place(),
            Self::Rejected(rejected) => Unwanted::ALL.len().saturating_add(rejected.place()),
        }
    }

    /// All of them in the order of their places.
    pub fn all() -> impl Iterator<Item = Self> {
        let unwanted = Unwanted::ALL.iter().copied().map(Self::Unwanted);
        unwanted.chain(Rejected::ALL.iter().copied().map(Self::Rejected))
    }

    /// The label that metrics use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unwanted(unwanted) => unwanted.label(),
            Self::Rejected(rejected) => rejected.label(),
        }
    }
}
