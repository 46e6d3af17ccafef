//! The rules by which a trunk has more or fewer connections, and by which one is given up.

use core::time::Duration;

use crate::limits;

/// Figures that no manifest names. Each client has those of [`Rules::DEFAULT`]; a test may have others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Connections to each server from the start on: the first login does not wait for a socket.
    pub start: u16,
    /// Connections that stay when there is little to do.
    pub min: u16,
    /// As many of them, when they are streams: the firewall that drops one must not leave logins to wait
    /// for the next one's handshake, nor for the answers that were to come before theirs.
    pub min_streams: u16,
    /// Connections of one server at most, those that drain not counted. The limit of the client is
    /// another one, and is kept too.
    pub max: u32,
    /// Sockets that may be about to open at once: a server that dies is not knocked at by all.
    pub connecting: u16,
    /// Requests on a connection at most: no more than it has identifiers.
    pub per_connection_max: u16,
    /// Requests on a connection beyond which another one is opened: half, so that it is there in time.
    pub per_connection_target: u16,
    /// Requests that wait for a connection to one server.
    pub max_backlog: u32,
    /// How long there must be more to do before one more is opened, and between two that are.
    pub open_delay: Duration,
    /// How long there must be less to do before one is closed, and between two that are.
    pub close_delay: Duration,
    /// How often that is looked at, while there is something to look at.
    pub manage_interval: Duration,
    /// How long a socket may take to open.
    pub connect_timeout: Duration,
    /// How long after a failure it is tried again; each failure in a row doubles it, up to
    /// [`RECONNECT_MAX`](limits::RECONNECT_MAX).
    pub reconnect_delay: Duration,
    /// How long a connection must have been silent before a request without an answer makes it a zombie:
    /// a datagram that is lost on an idle link does not. The end of a request does in any case.
    pub response_window: Duration,
    /// How long a zombie may come to life by itself where no status checks are sent.
    pub zombie_period: Duration,
    /// Checks in a row that must be answered before a connection is used again.
    pub answers_to_alive: u8,
    /// Tw of RFC 3539, 3.4.1: how long a stream may be silent before it is asked something.
    pub watchdog: Duration,
    /// Packets of one socket; 0: no limit.
    pub uses: u64,
    /// Age of one socket; zero: no limit.
    pub lifetime: Duration,
}

impl Rules {
    /// FreeRADIUS's figures, but for the number of connections, which is the client's limit.
    pub const DEFAULT: Self = Self {
        start: 1,
        min: 1,
        min_streams: 2,
        max: limits::CONNECTIONS,
        connecting: 1,
        per_connection_max: limits::PER_CONNECTION,
        per_connection_target: 127,
        max_backlog: limits::BACKLOG,
        open_delay: Duration::from_millis(200),
        close_delay: Duration::from_secs(10),
        manage_interval: Duration::from_millis(200),
        connect_timeout: Duration::from_secs(3),
        reconnect_delay: Duration::from_secs(1),
        response_window: Duration::from_secs(5),
        zombie_period: Duration::from_secs(10),
        answers_to_alive: 3,
        watchdog: Duration::from_secs(30),
        uses: 0,
        lifetime: Duration::ZERO,
    };
}
