//! The client: requests in, packets out, outcomes back.

use std::collections::VecDeque;

use lns_crypto::Rng;
use lns_tables::time::Instant;

use crate::config::Config;
use crate::event::{Action, Cause, ConnectionId, Event, SendError, Transmit};
use crate::request::{Failure, Outcome, Request, Token};
use crate::view::{Held, View};

/// The client of one purpose: authentication, accounting, or copies for one further server.
///
/// After each `handle_*` the process drains [`poll_action`](Self::poll_action),
/// [`poll_transmit`](Self::poll_transmit), [`poll_outcome`](Self::poll_outcome) and
/// [`poll_event`](Self::poll_event), and calls [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Client {
    config: Config,
    outcomes: VecDeque<Outcome>,
}

impl Client {
    /// A client that has asked nobody yet.
    pub fn new(config: Config, now: Instant) -> Self {
        let _ = now;
        Self {
            config,
            outcomes: VecDeque::new(),
        }
    }

    /// Other servers, secrets, limits. A server that keeps name, address and transport keeps its connections.
    pub fn handle_config(&mut self, config: Config, _now: Instant) {
        self.config = config;
    }

    /// Takes a request, or refuses it: either way it has one outcome.
    pub fn handle_request(&mut self, request: Request, _now: Instant) {
        self.outcomes.push_back(Outcome {
            token: request.token,
            server: None,
            rtt: None,
            sends: 0,
            result: Err(Failure::AllDown),
        });
    }

    /// The subscriber has asked again: in synchronous mode one more datagram, else nothing.
    pub fn handle_repeat(&mut self, _token: Token, _now: Instant) {}

    /// Nobody waits for the answer any more.
    pub fn handle_cancel(&mut self, _token: Token, _now: Instant) {}

    /// A socket that was asked for is open.
    pub fn handle_open(&mut self, _connection: ConnectionId, _now: Instant) {}

    /// It could not be opened.
    pub fn handle_open_failed(&mut self, _connection: ConnectionId, _cause: Cause, _now: Instant) {}

    /// A datagram came, or one whole packet of a stream.
    pub fn handle_datagram(&mut self, _connection: ConnectionId, _datagram: &[u8], _now: Instant) {}

    /// A packet could not be sent. To be told of each packet that was taken and not sent.
    pub fn handle_send_error(&mut self, _transmit: Transmit, _error: SendError, _now: Instant) {}

    /// A packet was written in part, the rest is the process's to write. Until
    /// [`handle_writable`](Self::handle_writable) nothing more comes for that socket.
    pub fn handle_partial(&mut self, _transmit: Transmit, _now: Instant) {}

    /// The socket takes packets again.
    pub fn handle_writable(&mut self, _connection: ConnectionId, _now: Instant) {}

    /// The socket is at its end: an error when reading, or the stream's. It is closed by whoever says so.
    pub fn handle_closed(&mut self, _connection: ConnectionId, _cause: Cause, _now: Instant) {}

    /// Time has come to [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, _now: Instant, _rng: &mut Rng) {}

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next thing to do with sockets.
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// The next packet to send, in `out`.
    pub fn poll_transmit(
        &mut self,
        _now: Instant,
        _rng: &mut Rng,
        _out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        None
    }

    /// The next request that has ended.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// The next thing that has changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// What it looks like now.
    pub fn view(&self, _now: Instant) -> View {
        View {
            purpose: self.config.purpose,
            servers: Vec::new(),
            in_flight: 0,
            max_in_flight: self.config.limits.max_in_flight,
            connections: 0,
            max_connections: self.config.limits.max_connections,
            failures: Vec::new(),
            events_lost: 0,
        }
    }

    /// What is in use.
    pub fn held(&self) -> Held {
        Held::default()
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        true
    }
}
