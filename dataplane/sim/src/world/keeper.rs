//! What is stored of the node, and what waits for it: the real journal, a store that takes its rounds after a
//! while, answers later and is away at times, and the datagrams that wait to leave. Driven as the process
//! drives it (`dataplane/src/run/keeper.rs`).
//!
//! Whether something may leave is the journal's word; whether that was right is judged by what the store has.
//! Left out: changes beyond what a journal keeps while the store is away.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lns_cluster::Epoch;
use lns_cluster::journal::{Change, Journal, Mark, Patience, Round, Standing, Ticket};
use lns_crypto::Rng;
use lns_node::{Node, RecordChange, RecordKey, StoreTime, Transmit};
use lns_tables::time::Instant;

use super::queue::{Item, Queue};

/// The store's clock: it has nothing in common with the node's.
const STORE_EPOCH: u64 = 1_795_000_000_000;

/// The longest time until it is noticed that the store is away, milliseconds.
const UNNOTICED: u32 = 2_000;

/// How a store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreSettings {
    /// A round, or its answer, is on its way so long at most, milliseconds. 0: all is stored at once.
    pub latency: u16,
    /// A second node follows what is stored.
    pub follows: bool,
}

/// What happens between the process and the store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire {
    /// The next round reaches the store.
    Arrives,
    /// The answer to a round reaches the process.
    Answer(Ticket),
    /// The process notices that the store is away.
    Lost,
    /// The store is back.
    Back,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Up,
    /// Away, and nobody has noticed it.
    Cut,
    Away,
}

/// A datagram that waits, and the last change that it may tell of.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) transmit: Transmit,
    pub(super) octets: Vec<u8>,
    pub(super) version: u64,
    ticket: Ticket,
}

/// What a node that dies leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// Records whose last change is not in the store: what they said is nobody's.
    pub lost: BTreeSet<RecordKey>,
    /// Those of them of which something may have left nevertheless, for the journal was degraded.
    pub revealed: BTreeSet<RecordKey>,
    /// The next node has another configuration.
    pub reconfigured: bool,
}

/// A change, and what it says.
type Unstored = (u64, Box<[u8]>);

/// The journal, the store, and what waits.
#[derive(Debug)]
pub(super) struct Keeper {
    settings: StoreSettings,
    journal: Journal<RecordKey>,
    epoch: u64,
    records: BTreeMap<RecordKey, (Mark, Box<[u8]>)>,
    /// What has changed in the store since somebody looked.
    news: Vec<(RecordKey, Option<Box<[u8]>>)>,
    waiting: VecDeque<Waiting>,
    rng: Rng,
    link: Link,
    /// Which connection to the store this is: what belongs to others is nobody's.
    connection: u64,
    back_at: Option<Instant>,
    flight: VecDeque<Round<RecordKey>>,
    arrival: Instant,
    answer: Instant,
    /// Changes, counted by us.
    version: u64,
    /// Which of them the store has not, by what they say.
    unstored: BTreeMap<RecordKey, VecDeque<Unstored>>,
    missing: BTreeSet<u64>,
    /// All up to this one may be known to others, stored or not.
    left: u64,
    octets: Vec<u8>,
}

impl Keeper {
    pub(super) fn new(settings: StoreSettings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            journal: Journal::new(Patience::default()),
            epoch: 0,
            records: BTreeMap::new(),
            news: Vec::new(),
            waiting: VecDeque::new(),
            rng: Rng::from_seed(seed),
            link: Link::Up,
            connection: 0,
            back_at: None,
            flight: VecDeque::new(),
            arrival: Instant::ZERO,
            answer: Instant::ZERO,
            version: 0,
            unstored: BTreeMap::new(),
            missing: BTreeSet::new(),
            left: 0,
            octets: Vec::new(),
        }
    }

    // Masterships.

    /// The next mastership begins, over what is stored. Its epoch.
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        self.epoch += 1;
        self.link = Link::Up;
        self.back_at = None;
        self.journal = Journal::new(Patience::default());
        for (key, (mark, _)) in &self.records {
            self.journal.handle_loaded(*key, *mark);
        }
        let epoch = Epoch::new(self.epoch).expect("a number");
        self.journal.handle_claimed(epoch, 0, now);
        self.epoch
    }

    /// The process is gone, with all that waited. What was on its way is stored or not.
    pub(super) fn die(&mut self) -> Estate {
        self.disconnect();
        self.waiting.clear();
        self.missing.clear();
        let unstored = core::mem::take(&mut self.unstored);
        let first = |changes: &VecDeque<(u64, _)>| changes.front().map_or(u64::MAX, |it| it.0);
        let revealed = unstored.iter().filter(|(_, it)| first(it) <= self.left);
        Estate {
            revealed: revealed.map(|(key, _)| *key).collect(),
            lost: unstored.keys().copied().collect(),
            reconfigured: false,
        }
    }

    /// When there is a store to begin from.
    pub(super) const fn back_at(&self) -> Option<Instant> {
        self.back_at
    }

    /// A record of no use: it is forgotten.
    pub(super) fn forget(&mut self, key: RecordKey) {
        self.journal.forget(key);
    }

    // Rounds.

    /// Takes all that the node has changed. What it wants sent waits for the ticket.
    pub(super) fn take(&mut self, node: &mut Node, now: Instant) -> Ticket {
        let mut octets = core::mem::take(&mut self.octets);
        while let Some((key, change)) = node.poll_record(now, date(now), &mut octets) {
            match change {
                RecordChange::Put { lasting } => {
                    self.journal.put(key, &octets, lasting);
                    self.version += 1;
                    self.missing.insert(self.version);
                    let changes = self.unstored.entry(key).or_default();
                    changes.push_back((self.version, octets.as_slice().into()));
                }
                RecordChange::Forget => {
                    self.journal.forget(key);
                    self.is_stored(key, None);
                }
            }
        }
        self.octets = octets;
        self.journal.close(now)
    }

    /// Gives out the rounds that are to be written.
    pub(super) fn give_out(&mut self, now: Instant, queue: &mut Queue) {
        while let Some(round) = self.journal.poll_round() {
            let round = round.clone();
            if self.link != Link::Up {
                continue;
            }
            if self.settings.latency == 0 {
                let ticket = round.ticket;
                self.apply(round);
                self.journal.handle_stored(ticket);
                continue;
            }
            self.arrival = self.arrival.max(now + self.delay());
            self.flight.push_back(round);
            queue.push(self.arrival, Item::Store(self.connection, Wire::Arrives));
        }
    }

    /// Something happens between the process and the store.
    pub(super) fn handle(&mut self, connection: u64, wire: Wire, now: Instant, queue: &mut Queue) {
        if connection != self.connection {
            return;
        }
        match wire {
            Wire::Arrives => {
                let Some(round) = self.flight.pop_front() else {
                    return;
                };
                let ticket = round.ticket;
                self.apply(round);
                self.answer = self.answer.max(now + self.delay());
                queue.push(self.answer, Item::Store(connection, Wire::Answer(ticket)));
            }
            Wire::Answer(ticket) => self.journal.handle_stored(ticket),
            Wire::Lost => {
                self.link = Link::Away;
                self.journal.handle_away();
            }
            Wire::Back => self.come_back(now),
        }
        self.give_out(now, queue);
    }

    /// The store is away for a while.
    pub(super) fn go_away(&mut self, span: Duration, now: Instant, queue: &mut Queue) {
        if self.link != Link::Up {
            return;
        }
        self.disconnect();
        self.link = Link::Cut;
        let notice = match self.rng.u32() % 2 {
            0 => 0,
            _ => self.rng.u32() % UNNOTICED,
        };
        let notice = now + Duration::from_millis(u64::from(notice)).min(span);
        self.back_at = Some(now + span);
        queue.push(notice, Item::Store(self.connection, Wire::Lost));
        queue.push(now + span, Item::Store(self.connection, Wire::Back));
    }

    /// The store is back at once.
    pub(super) fn come_back(&mut self, now: Instant) {
        if self.link == Link::Up {
            return;
        }
        self.connection += 1;
        self.link = Link::Up;
        self.back_at = None;
        self.journal.handle_away();
        let last = self.journal.last_mark();
        self.journal.handle_claimed(last.epoch, last.seq, now);
    }

    /// Nothing more is heard of what is on its way: some of it is stored.
    fn disconnect(&mut self) {
        self.connection += 1;
        let under_way = u32::try_from(self.flight.len()).expect("few");
        for _ in 0..self.rng.u32() % (under_way + 1) {
            if let Some(round) = self.flight.pop_front() {
                self.apply(round);
            }
        }
        self.flight.clear();
    }

    fn delay(&mut self) -> Duration {
        let most = u32::from(self.settings.latency);
        Duration::from_micros(u64::from(self.rng.u32() % (most * 1_000)))
    }

    // The store.

    fn apply(&mut self, round: Round<RecordKey>) {
        for write in round.writes {
            let known = self.records.get(&write.key).map(|(mark, _)| *mark);
            if known.is_some_and(|known| known >= write.mark) {
                continue;
            }
            let octets = match write.change {
                Change::Put(octets) => {
                    let entry = (write.mark, octets.clone());
                    self.records.insert(write.key, entry);
                    Some(octets)
                }
                Change::Forget => {
                    self.records.remove(&write.key);
                    None
                }
            };
            self.is_stored(write.key, octets.as_deref());
            self.news.push((write.key, octets));
        }
    }

    /// The store says this of a key: so it has all up to the change that said it.
    fn is_stored(&mut self, key: RecordKey, octets: Option<&[u8]>) {
        let Some(changes) = self.unstored.get_mut(&key) else {
            return;
        };
        // A record that is forgotten has told its last: nobody waits for it.
        let through = match octets {
            Some(octets) => changes.iter().rposition(|(_, it)| **it == *octets),
            None => changes.len().checked_sub(1),
        };
        for (version, _) in changes.drain(..through.map_or(0, |at| at + 1)) {
            self.missing.remove(&version);
        }
        if changes.is_empty() {
            self.unstored.remove(&key);
        }
    }

    /// What is stored.
    pub(super) fn records(&self) -> impl Iterator<Item = (RecordKey, &[u8])> {
        self.records
            .iter()
            .map(|(key, (_, octets))| (*key, &**octets))
    }

    /// How many records are stored.
    pub(super) fn stored(&self) -> usize {
        self.records.len()
    }

    /// What has changed in the store.
    pub(super) fn take_news(&mut self) -> Vec<(RecordKey, Option<Box<[u8]>>)> {
        core::mem::take(&mut self.news)
    }

    /// Nothing is under way, and nothing was kept from the store.
    pub(super) fn is_quiet(&self) -> bool {
        self.missing.is_empty()
            && self.journal.unstored() == 0
            && self.journal.standing() == Standing::Whole
    }

    // What waits.

    /// Whether what waits for this ticket may leave, by the journal's word.
    pub(super) fn is_settled(&self, ticket: Ticket) -> bool {
        self.waiting.is_empty() && self.journal.is_settled(ticket)
    }

    /// Has a datagram wait.
    pub(super) fn delay_output(&mut self, ticket: Ticket, transmit: Transmit, octets: &[u8]) {
        self.waiting.push_back(Waiting {
            transmit,
            octets: octets.to_vec(),
            version: self.version,
            ticket,
        });
    }

    /// The next of what waited and may leave.
    pub(super) fn poll_output(&mut self) -> Option<Waiting> {
        let journal = &self.journal;
        self.waiting
            .pop_front_if(|it| journal.is_settled(it.ticket))
    }

    /// Changes so far.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Something that waits leaves, and may tell of all changes up to `version`. Whether it should: the store
    /// has them, or the journal has said that it has not.
    pub(super) fn reveal(&mut self, version: u64) -> bool {
        if self.missing.first().is_none_or(|first| *first > version) {
            return true;
        }
        self.left = self.left.max(version);
        self.journal.standing() == Standing::Degraded
    }

    // Time.

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.journal.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.journal.handle_timeout(now);
    }
}

/// The store's time.
pub(super) fn date(now: Instant) -> StoreTime {
    StoreTime(STORE_EPOCH + now.as_millis())
}
