//! The journal, and what waits for it: as `dataplane/src/run/keeper` has it. What only the store knows when somebody takes
//! over is forgotten here, and not ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lns_cluster::Epoch;
use lns_cluster::journal::{Journal, Mark, Patience, Round, Standing, Ticket};
use lns_node::{Beginning, Node, RecordChange, RecordForm, StoreTime, Transmit, Unreadable};
use lns_radius::account::{self, Read};
use lns_radius::record::{Record, Status};
use lns_tables::time::Instant;

use super::commit::Commit;
use super::follower::Told;
use crate::cluster::key::Key;

/// Records of accounting of a mastership, at most.
const NUMBERS: u64 = 1 << 32;

/// What waits, and the last change that it may tell of.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) output: Output,
    pub(super) version: u64,
    ticket: Ticket,
}

/// What leaves.
#[derive(Debug)]
pub(super) enum Output {
    Datagram(Transmit, Vec<u8>),
    /// For the accounting servers.
    Record(Box<Record>),
}

/// The keeper of a member.
pub(super) struct Keeper {
    journal: Journal<Key>,
    pub(super) commit: Commit,
    waiting: VecDeque<Waiting>,
    /// Records that were ordered in this round.
    ordered: Vec<Record>,
    /// The number of the last one that was kept.
    number: u64,
    /// Those that no server has.
    kept: BTreeMap<u64, Box<[u8]>>,
    last: Ticket,
    /// The mastership that was claimed, and the place of its claim.
    claimed: Option<(Epoch, u64)>,
    /// While everything is read anew: what has not been read yet.
    unread: Option<BTreeSet<Key>>,
    useless: BTreeSet<Key>,
    /// The mastership that was taken over last.
    epoch: Epoch,
    /// What is known is of a mastership that is over, and is nobody's once the store is read again.
    is_former: bool,
    /// There is something of which the store had nothing when it was read.
    pub(super) is_doubtful: bool,
    octets: Vec<u8>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self {
            journal: Journal::new(Patience::default()),
            commit: Commit::default(),
            waiting: VecDeque::new(),
            ordered: Vec::new(),
            number: 0,
            kept: BTreeMap::new(),
            last: Ticket::default(),
            claimed: None,
            unread: None,
            useless: BTreeSet::new(),
            epoch: Epoch::NONE,
            is_former: false,
            is_doubtful: false,
            octets: Vec::new(),
        }
    }
}

impl Keeper {
    // What the store tells while another node is master.

    pub(super) fn follow(
        &mut self,
        node: Option<&mut Node>,
        told: &Told,
        now: Instant,
        date: StoreTime,
    ) {
        let Some(node) = node else {
            return;
        };
        match told {
            Told::Loading => {
                node.handle_reload();
                self.unread = Some(self.journal.keys().copied().collect());
                self.is_doubtful = false;
                if core::mem::take(&mut self.is_former) {
                    self.journal = Journal::new(Patience::default());
                    self.kept.clear();
                }
            }
            Told::Record(key, mark, blob) => self.take_record(node, *key, *mark, blob, now, date),
            Told::Forgotten(key, mark) => {
                if self.journal.mark(key).is_none_or(|known| known <= *mark) {
                    self.journal.handle_gone(key);
                    match key {
                        Key::Node(key) => node.handle_forgotten(*key),
                        Key::Account(number) => drop(self.kept.remove(number)),
                    }
                }
            }
            Told::Loaded(_) => {
                self.is_doubtful = self.unread.as_ref().is_some_and(|it| !it.is_empty());
                if !self.is_doubtful {
                    self.end_reading(node, now);
                }
            }
            Told::Claim(..) | Told::Position(_) | Told::CaughtUp | Told::Away => {}
        }
    }

    /// The master says that all that there is was written, and it was applied here.
    pub(super) fn handle_written_again(&mut self, node: Option<&mut Node>, now: Instant) {
        if let Some(node) = node.filter(|_| core::mem::take(&mut self.is_doubtful)) {
            self.end_reading(node, now);
        }
    }

    fn end_reading(&mut self, node: &mut Node, now: Instant) {
        for key in self.unread.take().unwrap_or_default() {
            self.journal.handle_gone(&key);
            if let Key::Account(number) = key {
                self.kept.remove(&number);
            }
        }
        node.handle_reloaded(now);
    }

    fn take_record(
        &mut self,
        node: &mut Node,
        key: Key,
        mark: Mark,
        blob: &[u8],
        now: Instant,
        date: StoreTime,
    ) {
        if self.journal.mark(&key).is_some_and(|known| known > mark) {
            return;
        }
        if let Some(unread) = &mut self.unread {
            unread.remove(&key);
        }
        let taken = match key {
            Key::Node(key) => node.handle_record(key, blob, now, date),
            Key::Account(number) => {
                self.kept.insert(number, blob.into());
                Ok(())
            }
        };
        match taken {
            Ok(()) => {}
            // Its tunnel comes, and then it comes again.
            Err(Unreadable::NoTunnel | Unreadable::Active) => return,
            Err(Unreadable::Version | Unreadable::Damaged | Unreadable::Unfit) => {
                self.useless.insert(key);
            }
        }
        self.journal.handle_loaded(key, mark);
    }

    // Masterships.

    pub(super) fn take_over(
        &mut self,
        mut node: Option<&mut Node>,
        epoch: Epoch,
        now: Instant,
        date: StoreTime,
    ) {
        let unread = self.unread.take();
        let doubtful = unread.filter(|_| core::mem::take(&mut self.is_doubtful));
        self.is_former = false;
        self.epoch = epoch;
        let useless = core::mem::take(&mut self.useless);
        let claimed = self.claimed.filter(|(of, _)| *of == epoch);
        // Where there was nobody there is nothing to take over.
        let is_first = self.journal.keys().next().is_none();
        let beginning = if is_first && claimed.is_some() {
            Beginning::Start
        } else {
            Beginning::Takeover
        };
        self.commit = Commit::default();
        if let Some(node) = &mut node {
            node.handle_takeover(epoch.number(), beginning, now);
            // Masters that write one form and the other follow each other.
            node.handle_form(if epoch.number().is_multiple_of(2) {
                RecordForm::default()
            } else {
                RecordForm::NEWEST
            });
        }
        if let Some((epoch, seq)) = claimed {
            self.journal.handle_claimed(epoch, seq, now);
        }
        self.number = self.number.max(epoch.number().saturating_mul(NUMBERS));
        for key in useless {
            self.journal.forget(key);
        }
        if let Some(node) = node {
            self.give_again(node, doubtful.unwrap_or_default());
        }
        self.order_kept(now, date);
    }

    /// What no server has is told again.
    fn order_kept(&mut self, now: Instant, date: StoreTime) {
        for (number, octets) in &self.kept {
            self.number = self.number.max(*number);
            if let Read::Record(record) = account::read(octets, *number, now, date.0 / 1_000) {
                self.waiting.push_back(Waiting {
                    output: Output::Record(record),
                    version: 0,
                    ticket: self.journal.settled(),
                });
            }
        }
    }

    pub(super) fn demote(&mut self, node: Option<&mut Node>, now: Instant) {
        if let Some(node) = node {
            node.handle_demotion(now);
        }
        self.resign();
        // Here nobody asks for what the store may not have.
        drop(self.journal.handle_end(self.epoch));
        self.is_former = true;
        self.waiting.clear();
        self.ordered.clear();
        self.last = Ticket::default();
    }

    pub(super) const fn resign(&mut self) {
        self.claimed = None;
    }

    pub(super) fn handle_claimed(&mut self, epoch: Epoch, seq: u64, is_active: bool, now: Instant) {
        self.claimed = Some((epoch, seq));
        // Before the takeover there is nothing to be written.
        if is_active {
            self.journal.handle_claimed(epoch, seq, now);
        }
    }

    pub(super) fn handle_away(&mut self) {
        self.journal.handle_away();
    }

    pub(super) fn handle_stored(&mut self, ticket: Ticket) {
        self.journal.handle_stored(ticket);
    }

    pub(super) fn handle_digest(&mut self, node: Option<&mut Node>, marks: Vec<(Key, Mark)>) {
        let Some(node) = node else {
            return;
        };
        let lost = self.journal.handle_digest(marks);
        self.give_again(node, lost);
    }

    /// Stores again what the store has lost, and has it forget what is nobody's.
    fn give_again(&mut self, node: &mut Node, lost: impl IntoIterator<Item = Key>) {
        for key in lost {
            let is_ours = match key {
                Key::Node(key) => node.handle_lost_record(key),
                Key::Account(number) => self.keep_again(number),
            };
            if !is_ours {
                self.journal.forget(key);
            }
        }
    }

    fn keep_again(&mut self, number: u64) -> bool {
        let octets = self.kept.get(&number);
        if let Some(octets) = octets {
            self.journal.put(Key::Account(number), octets, true);
            self.commit.changes(Key::Account(number), octets);
        }
        octets.is_some()
    }

    /// The last change that has a place in the stream; `None`: the store is away.
    pub(super) fn position(&self) -> Option<Mark> {
        self.journal.is_up().then(|| self.journal.last_mark())
    }

    // Rounds.

    /// Stores all that the node has changed in this round; whether that was anything.
    pub(super) fn store(
        &mut self,
        node: &mut Node,
        now: Instant,
        date: StoreTime,
    ) -> (Ticket, bool) {
        let mut any = false;
        while let Some((key, change)) = node.poll_record(now, date, &mut self.octets) {
            any = true;
            let key = Key::Node(key);
            match change {
                RecordChange::Put { lasting } => {
                    self.journal.put(key, &self.octets, lasting);
                    self.commit.changes(key, &self.octets);
                }
                RecordChange::Forget => {
                    self.journal.forget(key);
                    self.commit.is_stored(key, None);
                }
            }
        }
        let mut ordered = core::mem::take(&mut self.ordered);
        any |= !ordered.is_empty();
        for record in &mut ordered {
            self.keep(record, now, date);
        }
        self.last = self.journal.close(now);
        for record in ordered {
            self.waiting.push_back(Waiting {
                output: Output::Record(Box::new(record)),
                version: self.commit.version(),
                ticket: self.last,
            });
        }
        (self.last, any)
    }

    /// A record of accounting that the node has ordered in this round.
    pub(super) fn take(&mut self, record: Record) {
        self.ordered.push(record);
    }

    /// Keeps a record until a server has it. An interim says nothing that the next does not say.
    fn keep(&mut self, record: &mut Record, now: Instant, date: StoreTime) {
        if record.status == Status::Interim {
            return;
        }
        self.number = self.number.saturating_add(1);
        if let Some(octets) = account::keep(record, self.number, now, date.0) {
            let key = Key::Account(self.number);
            self.journal.put(key, &octets, true);
            self.commit.changes(key, &octets);
            self.kept.insert(self.number, octets.into());
        }
    }

    /// A server has it.
    pub(super) fn handle_settled(&mut self, number: u64) {
        if self.kept.remove(&number).is_some() {
            self.journal.forget(Key::Account(number));
            self.commit.is_stored(Key::Account(number), None);
        }
    }

    pub(super) const fn last(&self) -> Ticket {
        self.last
    }

    /// Lets go what has waited too long; whether anything was done.
    pub(super) fn turn(&mut self, node: Option<&mut Node>, now: Instant) -> bool {
        let is_overrun = self.journal.take_overrun();
        if let Some(node) = node.filter(|_| is_overrun) {
            node.handle_lost_store();
        }
        let is_due = self.journal.poll_timeout().is_some_and(|at| at <= now);
        self.journal.handle_timeout(now);
        is_due || is_overrun
    }

    pub(super) fn handle_vouched(&mut self, at: Instant) {
        self.journal.handle_vouched(at);
    }

    /// Whether it is to be found out that nobody else was master.
    pub(super) fn poll_question(&mut self, now: Instant) -> bool {
        self.journal.poll_question(now)
    }

    pub(super) fn poll_round(&mut self) -> Option<Round<Key>> {
        self.journal.poll_round().cloned()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.journal.poll_timeout()
    }

    // What waits.

    pub(super) fn is_settled(&self, ticket: Ticket) -> bool {
        self.waiting.is_empty() && self.journal.is_settled(ticket)
    }

    pub(super) fn delay(&mut self, ticket: Ticket, transmit: Transmit, octets: &[u8]) {
        self.waiting.push_back(Waiting {
            output: Output::Datagram(transmit, octets.to_vec()),
            version: self.commit.version(),
            ticket,
        });
    }

    pub(super) fn poll_output(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let journal = &self.journal;
            let waiting = self
                .waiting
                .pop_front_if(|it| journal.is_settled(it.ticket))?;
            let is_interim = matches!(&waiting.output, Output::Record(record) if record.status == Status::Interim);
            if !is_interim || journal.may_say_more(waiting.ticket, now) {
                return Some(waiting);
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.journal.standing() == Standing::Whole
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.is_whole() && self.journal.unstored() == 0 && self.commit.is_whole()
    }
}
