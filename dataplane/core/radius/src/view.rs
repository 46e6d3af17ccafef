//! What a client shows of itself: plain values, made when somebody looks.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use crate::check::CheckKind;
use crate::config::{Key, Purpose, Transport};
use crate::connection::ConnectionState;
use crate::event::{Cause, ConnectionId};
use crate::server::ServerState;
use crate::trunk::{AggregateState, TrunkState};

/// All of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// What its servers are asked.
    pub purpose: Purpose,
    /// Its servers, in the order of preference.
    pub servers: Vec<ServerView>,
    /// Requests that were taken and have not ended.
    pub in_flight: u32,
    /// As many may be.
    pub max_in_flight: u32,
    /// Sockets.
    pub connections: u16,
    /// As many may be.
    pub max_connections: u16,
    /// How requests ended that have no answer: by the label of the [`Failure`](crate::request::Failure).
    pub failures: Vec<(&'static str, u64)>,
    /// Events that nobody took in time.
    pub events_lost: u64,
}

/// One server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerView {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// What a log says of it.
    pub state: ServerState,
    /// Why its last connection failed.
    pub cause: Option<Cause>,
    /// What its connections are together.
    pub aggregate: AggregateState,
    /// Requests on its connections.
    pub in_flight: u32,
    /// Requests that wait for one.
    pub backlog: u32,
    /// Since its last answer that was believed.
    pub last_reply: Option<Duration>,
    /// From a packet to its answer.
    pub rtt: RttView,
    /// Which secret its last answer was signed with.
    pub verified: Option<Key>,
    /// Whether an answer to an Access-Request without Message-Authenticator is refused now.
    pub requires_message_authenticator: bool,
    /// What it is asked when it does not answer; of Auto what has worked, once something has.
    pub check: Option<CheckKind>,
    /// What was counted.
    pub counts: Counts,
    /// Packets that were dropped, by the label of the [`Dropped`](crate::event::Dropped).
    pub dropped: Vec<(&'static str, u64)>,
    /// Its connections.
    pub connections: Vec<ConnectionView>,
}

/// What is counted of a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Packets of requests, first ones and repeated ones.
    pub sent: u64,
    /// Those of them that were repeated.
    pub retransmissions: u64,
    /// Answers that were believed and that a request waited for.
    pub replies: u64,
    /// Requests that ended here without an answer.
    pub timeouts: u64,
    /// Requests that went on to another server or connection.
    pub moved: u64,
    /// Status checks that were sent.
    pub checks: u64,
    /// Those that were answered.
    pub checks_answered: u64,
    /// Sockets that were opened.
    pub opened: u64,
    /// Sockets that failed.
    pub failed: u64,
    /// Sockets that took too long to open.
    pub timed_out: u64,
    /// Packets that the socket did not take at once.
    pub send_errors: u64,
}

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RttView {
    /// How many.
    pub count: u64,
    /// Half of them took no longer; like all of these exact to a quarter.
    pub median: Option<Duration>,
    /// Nine of ten.
    pub p90: Option<Duration>,
    /// 99 of 100.
    pub p99: Option<Duration>,
    /// All.
    pub max: Option<Duration>,
}

/// One connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectionView {
    /// Its name.
    pub id: ConnectionId,
    /// Its state as the trunk sees it; [`TrunkState::word`] for people.
    pub state: TrunkState,
    /// Its socket's state.
    pub socket: ConnectionState,
    /// Whether it is being asked whether its server lives.
    pub checking: bool,
    /// Whether it takes one request at a time until something is answered: it was opened after a failure.
    pub on_trial: bool,
    /// Requests on it.
    pub in_flight: u16,
    /// Identifiers that are free.
    pub free_ids: u16,
    /// Since its last answer that was believed.
    pub last_reply: Option<Duration>,
    /// Packets sent on it since it was opened.
    pub sent: u64,
    /// Answers that were believed since then.
    pub replies: u64,
}

/// What is in use: all zero once every request has ended and the time of every identifier is over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Requests.
    pub requests: u32,
    /// Their names.
    pub tokens: usize,
    /// Identifiers on all connections, resting ones included.
    pub ids: u32,
    /// Timers of requests.
    pub timers: u32,
    /// Requests that wait for a connection.
    pub backlog: usize,
    /// Packets that wait to be sent.
    pub unsent: usize,
    /// Buffers that belong to a request.
    pub buffers: usize,
}
