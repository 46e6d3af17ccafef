//! The client: requests in, packets out, outcomes back.
//!
//! What happens to it is in the modules below, by what it concerns.

mod answers;
mod checks;
mod choice;
mod configure;
mod ends;
mod look;
mod manage;
mod requests;
mod sending;
mod sockets;
mod time;
mod transitions;

use std::collections::{BTreeMap, VecDeque};

use lns_crypto::Rng;
use lns_tables::slab::Slab;
use lns_tables::time::Instant;
use lns_tables::wheel::Wheel;

use crate::config::Config;
use crate::event::{Action, Cause, ConnectionId, Event, SendError, Transmit};
use crate::ids::Owner;
use crate::limits;
use crate::request::{Failure, Outcome, Request, Token};
use crate::server::{Server, ServerKey};
use crate::trunk::ask::Ask;
use crate::trunk::link::{Link, LinkKey};
use crate::trunk::rules::Rules;

/// Places for servers: as many as may be configured, and as many that are on their way out.
const SERVER_PLACES: u32 = 32;

/// The client of one purpose: authentication, accounting, or copies for one further server.
///
/// After each `handle_*` the process drains [`poll_action`](Self::poll_action),
/// [`poll_transmit`](Self::poll_transmit), [`poll_outcome`](Self::poll_outcome) and
/// [`poll_event`](Self::poll_event), and calls [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
///
/// # Cost
/// What is done for one request or one packet takes as many steps as the number of connections, of
/// requests in flight, or of servers has bits; choosing among servers takes one step for each. A cancelled
/// request that has left identifiers behind takes one for each connection, and a connection that fails
/// one for each of its identifiers.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rules: Rules,
    servers: Slab<Server, ServerKey>,
    /// The configured servers, in the order of preference.
    preference: Vec<ServerKey>,
    links: Slab<Link, LinkKey>,
    /// Sockets that the process has, or was asked for.
    sockets: u16,
    asks: Slab<Ask, u32>,
    tokens: BTreeMap<Token, u32>,
    ask_timers: Wheel,
    timers: Wheel,
    /// Connections that have something to send, in turn.
    ready: VecDeque<LinkKey>,
    /// Copies that were sent, and are complete unless somebody says otherwise now.
    reapable: VecDeque<Owner>,
    spare: Vec<Vec<u8>>,
    /// Of the last request.
    number: u64,
    /// Of the last socket.
    generation: u32,
    actions: VecDeque<Action>,
    outcomes: VecDeque<Outcome>,
    events: VecDeque<Event>,
    events_lost: u64,
    failures: Vec<u64>,
}

impl Client {
    /// A client that has asked nobody yet.
    pub fn new(config: Config, now: Instant) -> Self {
        Self::with_rules(config, Rules::DEFAULT, now)
    }

    /// One with other figures than those that suit a network access server.
    pub fn with_rules(config: Config, rules: Rules, now: Instant) -> Self {
        let nobody = Config {
            servers: Vec::new(),
            ..config.clone()
        };
        let mut client = Self {
            config: nobody,
            rules,
            servers: Slab::new(SERVER_PLACES),
            preference: Vec::new(),
            links: Slab::new(limits::CONNECTIONS),
            sockets: 0,
            asks: Slab::new(limits::IN_FLIGHT),
            tokens: BTreeMap::new(),
            ask_timers: Wheel::new(limits::IN_FLIGHT),
            timers: Wheel::new(time::TIMERS),
            ready: VecDeque::new(),
            reapable: VecDeque::new(),
            spare: Vec::new(),
            number: 0,
            generation: 0,
            actions: VecDeque::new(),
            outcomes: VecDeque::new(),
            events: VecDeque::new(),
            events_lost: 0,
            failures: vec![0; Failure::ALL.len()],
        };
        client.handle_config(config, now);
        client
    }

    /// Other servers, secrets, limits. A server that keeps name, address and transport keeps its
    /// connections; what is under way stays under way.
    pub fn handle_config(&mut self, config: Config, now: Instant) {
        self.configure(config, now);
    }

    /// Takes a request, or refuses it: either way it has one outcome. A token that lives already is no new
    /// request, and nothing happens.
    pub fn handle_request(&mut self, request: Request, now: Instant) {
        self.take(request, now);
    }

    /// The subscriber has asked again: in synchronous mode one more datagram, else nothing.
    pub fn handle_repeat(&mut self, token: Token, now: Instant) {
        self.repeat(token, now);
    }

    /// Nobody waits for the answer any more: the outcome is [`Failure::Cancelled`], and all is free at once.
    pub fn handle_cancel(&mut self, token: Token, now: Instant) {
        self.cancel(token, now);
    }

    /// A socket that was asked for is open.
    pub fn handle_open(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(link) = self.find(connection) {
            self.opened(link, now);
        }
    }

    /// It could not be opened.
    pub fn handle_open_failed(&mut self, connection: ConnectionId, cause: Cause, now: Instant) {
        self.handle_closed(connection, cause, now);
    }

    /// A datagram came, or one whole packet of a stream.
    pub fn handle_datagram(&mut self, connection: ConnectionId, datagram: &[u8], now: Instant) {
        if let Some(link) = self.find(connection) {
            self.answer(link, datagram, now);
        }
    }

    /// A packet could not be sent. To be told of each packet that was taken and not sent.
    pub fn handle_send_error(&mut self, transmit: Transmit, error: SendError, now: Instant) {
        self.not_sent(transmit, error, now);
    }

    /// The socket takes packets again.
    pub fn handle_writable(&mut self, connection: ConnectionId) {
        if let Some(link) = self.find(connection) {
            self.writable(link);
        }
    }

    /// The socket is at its end: an error when reading, or the stream's. Who says so has closed it.
    pub fn handle_closed(&mut self, connection: ConnectionId, cause: Cause, now: Instant) {
        if let Some(link) = self.find(connection) {
            if let Some(link) = self.links.get_mut(link) {
                link.open = false;
            }
            self.fail_link(link, cause, sockets::Closer::Process, now);
        }
    }

    /// Time has come to [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        self.time(now, rng);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (asks, others) = (self.ask_timers.next_deadline(), self.timers.next_deadline());
        asks.into_iter().chain(others).min()
    }

    /// The next thing to do with sockets.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next packet to send, in `out`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.transmit(now, rng, out)
    }

    /// The next request that has ended. A copy ends here, once its packet was polled and no error was told.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        if self.outcomes.is_empty() {
            self.reap();
        }
        self.outcomes.pop_front()
    }

    /// The next thing that has changed.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.asks.is_empty()
    }

    /// The connection whose socket that is, if it is still its socket.
    fn find(&self, connection: ConnectionId) -> Option<LinkKey> {
        let key = LinkKey(connection.index);
        let link = self.links.get(key)?;
        (link.id == connection && link.socket.has_socket()).then_some(key)
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= limits::EVENTS {
            self.events.pop_front();
            self.events_lost = self.events_lost.saturating_add(1);
        }
        self.events.push_back(event);
    }
}
