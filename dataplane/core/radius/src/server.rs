//! One server: its connections, what waits for them, and what is known of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lns_tables::slab::Key as Place;
use lns_tables::time::Instant;

use crate::check::CheckKind;
use crate::config::{self, Key, Purpose, Secrets};
use crate::event::{Cause, Dropped};
use crate::order::Order;
use crate::request::Failure;
use crate::rtt::Rtt;
use crate::trunk::link::LinkKey;
use crate::trunk::rules::Rules;
use crate::trunk::{AggregateState, TrunkState};
use crate::verify::Verifier;
use crate::view::Counts;

lns_wire::labelled! {
    /// What a log says of a server. Nothing is decided by it: each connection is judged alone.
    pub enum ServerState {
        /// It was not needed yet.
        Idle = "idle",
        /// A connection is being opened.
        Opening = "opening",
        /// After a failure there is a connection again, and it has to show that it is answered.
        Trial = "trial",
        /// A connection takes requests.
        Up = "up",
        /// Connections are there, and none is answered.
        Zombie = "zombie",
        /// No connection is there, and the last one failed.
        Down = "down",
    }
}

/// The place of a server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ServerKey(pub(crate) u8);

impl ServerKey {
    /// Its bit in a word that has one for each place.
    pub(crate) const fn bit(self) -> u32 {
        1_u32.rotate_left(u32::from_be_bytes([0, 0, 0, self.0]))
    }
}

impl Place for ServerKey {
    fn from_index(index: u32) -> Self {
        Self(u8::try_from(index).unwrap_or(u8::MAX))
    }

    fn index(self) -> u32 {
        u32::from(self.0)
    }
}

/// How good it is to give a request to a server, best first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Standing {
    /// A connection takes it, or one more may be opened for it.
    Open,
    /// Those that take it have not answered for a while.
    Suspect,
    /// All connections have what they can take.
    Full,
    /// None is answered, and all are being asked whether they live.
    Zombie,
    /// There is none.
    Down,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: config::Server,
    /// Each of its secrets alone: an answer is held against the one that the request was signed with.
    keys: [Option<Arc<Secrets>>; 2],
    /// It is configured no longer, and goes when its connections have.
    pub(crate) gone: bool,
    pub(crate) links: Vec<LinkKey>,
    /// Those of them that take requests.
    pub(crate) order: Order,
    /// How many are in which state.
    counts: [u16; TrunkState::ALL.len()],
    /// Requests that wait for a connection, by number.
    pub(crate) backlog: BTreeMap<u64, u32>,
    /// Requests on connections.
    pub(crate) in_flight: u32,
    pub(crate) aggregate: AggregateState,
    pub(crate) state: ServerState,
    pub(crate) last_reply: Option<Instant>,
    /// A connection failed or fell silent, and nothing was answered since.
    pub(crate) troubled: bool,
    /// Connections on trial.
    pub(crate) trials: u16,
    pub(crate) cause: Option<Cause>,
    /// What is wrong with its answers, if nothing better came since.
    pub(crate) complaint: Option<Failure>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Since when there is more or less to do than its connections are for.
    pub(crate) above: Option<Instant>,
    pub(crate) below: Option<Instant>,
    pub(crate) last_opened: Instant,
    pub(crate) last_drained: Instant,
    /// The secret that requests are signed with.
    pub(crate) key: Key,
    pub(crate) verified: Option<Key>,
    pub(crate) verifier: Verifier,
    pub(crate) check: Option<CheckKind>,
    pub(crate) rtt: Rtt,
    pub(crate) stats: Counts,
    pub(crate) dropped: [u64; Dropped::COUNT],
}

impl Server {
    pub(crate) fn new(config: config::Server, now: Instant) -> Self {
        let verifier = Verifier::new(config.message_authenticator);
        let keys = keys(&config.secrets);
        Self {
            config,
            keys,
            gone: false,
            links: Vec::new(),
            order: Order::default(),
            counts: [0; TrunkState::ALL.len()],
            backlog: BTreeMap::new(),
            in_flight: 0,
            aggregate: AggregateState::Idle,
            state: ServerState::Idle,
            last_reply: None,
            troubled: false,
            trials: 0,
            cause: None,
            complaint: None,
            failures: 0,
            above: None,
            below: None,
            last_opened: now,
            last_drained: now,
            key: Key::Current,
            verified: None,
            verifier,
            check: None,
            rtt: Rtt::new(),
            stats: Counts::default(),
            dropped: [0; Dropped::COUNT],
        }
    }

    /// Takes what is configured anew. What was signed with an old secret is still held against that.
    pub(crate) fn configure(&mut self, config: config::Server) {
        if config.secrets != self.config.secrets {
            self.keys = keys(&config.secrets);
            self.key = Key::Current;
            self.verified = None;
        }
        self.verifier.set_require(config.message_authenticator);
        self.config = config;
    }

    /// A secret alone; the current one if there is no such one.
    pub(crate) fn secrets(&self, key: Key) -> Option<Arc<Secrets>> {
        let [current, previous] = &self.keys;
        match key {
            Key::Previous if previous.is_some() => previous.clone(),
            Key::Previous | Key::Current => current.clone(),
        }
    }

    /// The secret to try when `key` was not answered, if there are two.
    pub(crate) fn other_key(&self, key: Key) -> Option<Key> {
        self.config.secrets.previous.as_ref()?;
        Some(match key {
            Key::Current => Key::Previous,
            Key::Previous => Key::Current,
        })
    }

    /// How many connections are in a state.
    pub(crate) fn count(&self, state: TrunkState) -> u16 {
        self.counts.get(state.place()).copied().unwrap_or_default()
    }

    /// One connection has left a state for another, or came, or went.
    pub(crate) fn recount(&mut self, from: Option<TrunkState>, to: Option<TrunkState>) {
        if let Some(count) = from.and_then(|from| self.counts.get_mut(from.place())) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = to.and_then(|to| self.counts.get_mut(to.place())) {
            *count = count.saturating_add(1);
        }
    }

    /// Connections that are being opened.
    pub(crate) fn opening(&self) -> u16 {
        self.count(TrunkState::Init)
            .saturating_add(self.count(TrunkState::Connecting))
    }

    /// Connections that are used, may be again, or are about to be.
    pub(crate) fn living(&self) -> u16 {
        [TrunkState::Active, TrunkState::Full, TrunkState::Inactive]
            .into_iter()
            .fold(self.opening(), |sum, state| {
                sum.saturating_add(self.count(state))
            })
    }

    /// The living, and those that are opened again after a while.
    pub(crate) fn staying(&self) -> u16 {
        let all = u16::try_from(self.links.len()).unwrap_or(u16::MAX);
        all.saturating_sub(self.draining())
    }

    /// Those that are about to go.
    pub(crate) fn draining(&self) -> u16 {
        [
            TrunkState::Draining,
            TrunkState::InactiveDraining,
            TrunkState::DrainingToFree,
        ]
        .into_iter()
        .fold(0, |sum, state| sum.saturating_add(self.count(state)))
    }

    /// Requests that it has, on connections and waiting.
    pub(crate) fn requests(&self) -> u32 {
        let backlog = u32::try_from(self.backlog.len()).unwrap_or(u32::MAX);
        self.in_flight.saturating_add(backlog)
    }

    /// Whether a connection has as many requests as it can take, and not because it is on trial.
    pub(crate) fn has_full(&self) -> bool {
        self.count(TrunkState::Full) > self.trials
    }

    /// How good it is to give it a request. `can_open`: the limits allow one more connection.
    pub(crate) fn standing(&self, can_open: impl FnOnce() -> bool) -> Standing {
        if let Some((lively, _)) = self.order.first() {
            return if lively.answers {
                Standing::Open
            } else {
                Standing::Suspect
            };
        }
        let opening = self.opening() > 0;
        if !self.troubled {
            if opening || can_open() {
                return Standing::Open;
            }
            return if self.living() > 0 {
                Standing::Full
            } else {
                Standing::Down
            };
        }
        if self.living() > self.opening() {
            return Standing::Zombie;
        }
        if self.links.is_empty() && can_open() {
            return Standing::Open;
        }
        Standing::Down
    }

    /// What its connections are together. CONNECTING is looked for before FULL.
    pub(crate) fn aggregated(&self, rules: &Rules) -> AggregateState {
        if self.count(TrunkState::Active) > 0 {
            return AggregateState::Active;
        }
        if self.opening() > 0 {
            return AggregateState::Pending;
        }
        let full = self.count(TrunkState::Full);
        if full > 0 {
            return if u32::from(full) >= rules.max {
                AggregateState::Full
            } else {
                AggregateState::Active
            };
        }
        if self
            .count(TrunkState::Inactive)
            .saturating_add(self.draining())
            > 0
        {
            return AggregateState::Pending;
        }
        if self.count(TrunkState::Closed) > 0 {
            return AggregateState::Failed;
        }
        AggregateState::Idle
    }

    /// What a log says of it.
    pub(crate) fn told(&self) -> ServerState {
        let usable = self
            .count(TrunkState::Active)
            .saturating_add(self.count(TrunkState::Full));
        match self.aggregate {
            AggregateState::Active | AggregateState::Full if usable <= self.trials => {
                ServerState::Trial
            }
            AggregateState::Active | AggregateState::Full => ServerState::Up,
            AggregateState::Pending if self.count(TrunkState::Inactive) > 0 => ServerState::Zombie,
            AggregateState::Pending if self.troubled => ServerState::Down,
            AggregateState::Pending if self.opening() == 0 => ServerState::Idle,
            AggregateState::Pending => ServerState::Opening,
            AggregateState::Idle => ServerState::Idle,
            AggregateState::Failed => ServerState::Down,
        }
    }

    /// Whether a failed connection to it is on trial when it can be used again.
    pub(crate) fn tries(&self, purpose: Purpose) -> bool {
        self.troubled && purpose != Purpose::Copy
    }

    /// Counts a packet that was dropped.
    pub(crate) fn drop_packet(&mut self, reason: Dropped) {
        if let Some(count) = self.dropped.get_mut(reason.place()) {
            *count = count.saturating_add(1);
        }
    }
}

fn keys(secrets: &Secrets) -> [Option<Arc<Secrets>>; 2] {
    let alone = |secret: &lns_crypto::Secret| {
        Arc::new(Secrets {
            current: secret.clone(),
            previous: None,
        })
    };
    [
        Some(alone(&secrets.current)),
        secrets.previous.as_ref().map(alone),
    ]
}
