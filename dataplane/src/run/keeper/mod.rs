//! What is stored, and what waits for it: between the node, which gives out records of all that changes,
//! and where they are kept: the vault in the state folder, or the store of a cluster. What the node wants sent
//! leaves when the records before it are stored (spec: cluster, 2: output commit).
//!
//! [`account`] has what is kept of accounting, [`storage`] the two places, [`member`] what only a member of a
//! cluster does, [`form`] in which form records are written.

mod form;
mod member;
mod storage;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use lns_cluster::Epoch;
use lns_cluster::journal::{Journal, Patience, Standing, Ticket};
use lns_node::{
    Beginning, Node, RecordChange, RecordForm, RecordKey, Role, StoreTime, Transmit, Unreadable,
};
use lns_radius::account;
use lns_radius::record::{Record, Status};
use lns_tables::time::Instant;
use lns_vault::{Entry, OpenError, Vault, last_mark};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{error, info, warn};

pub(crate) use self::form::Finalized;
use self::member::Membership;
pub(crate) use self::member::{StoreClock, StoreNews};
use self::storage::{News, Storage};
use super::situation::unix_millis;
use crate::failure::Failure;

/// Records that the store has lost and that are given out again in one round: a few milliseconds of the control
/// task's time.
const AGAIN: usize = 1_024;

/// Changes that the store may be behind by when more of what it has lost is given out.
const BEHIND: usize = 8_192;

/// What waits for its ticket.
#[derive(Debug)]
pub(super) enum Output {
    /// A datagram of the node's.
    Datagram(Transmit, Vec<u8>),
    /// A record for the accounting servers.
    Record(Box<Record>),
}

/// The journal, the vault, and what waits.
#[derive(Debug)]
pub(crate) struct Keeper {
    journal: Journal<String>,
    storage: Storage,
    membership: Option<Membership>,
    news: Arc<Notify>,
    waiting: VecDeque<(Ticket, Output)>,
    /// Records that were ordered in this round.
    ordered: Vec<Record>,
    /// The number of the last record of accounting that was kept.
    number: u64,
    /// Those that are kept, and what is kept.
    kept: BTreeMap<u64, Box<[u8]>>,
    /// In which form records of tunnels and sessions are written.
    form: RecordForm,
    /// The record that is being written.
    octets: Vec<u8>,
    /// What the store has not as it should, and is still to be given out again.
    lost: VecDeque<String>,
    /// Records of another version: they wait for it.
    foreign: u64,
    /// Records that could not be read.
    unreadable: u64,
    /// Rounds that fewer replicas have than are configured.
    unreplicated: u64,
    /// Interims that were not told.
    unsaid: u64,
    failing: bool,
    /// Why the store is away.
    away: Option<Arc<str>>,
}

/// How it stands with the records of tunnels and sessions, by which the next start goes on with them.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Records")]
pub(crate) struct Figures {
    /// What has left is not stored: the disk is slow, or fails.
    pub(crate) degraded: bool,
    /// The disk fails.
    pub(crate) failing: bool,
    /// Changes that are not stored yet.
    pub(crate) unstored: usize,
    /// Datagrams and records of accounting that wait to leave until they are.
    pub(crate) waiting: usize,
    /// The number of the form in which records of tunnels and sessions are written.
    pub(crate) form: u8,
    /// That of the newest form that this release writes, once an upgrade is declared final.
    pub(crate) newest_form: u8,
    /// Records that another version has written, and that are kept for it.
    pub(crate) foreign: u64,
    /// Records that were damaged, or did not fit, and were not applied, since the start.
    pub(crate) unreadable: u64,
    /// Times that replicas of the store were waited for and did not have it in time, since the start.
    pub(crate) unreplicated: u64,
    /// Interims of a master without a store that were not told, since the start: the next ones say all that they would
    /// have, and a master that follows could say less.
    pub(crate) unsaid: u64,
}

/// Whether this is said again, and more of it.
fn is_interim(output: &Output) -> bool {
    matches!(output, Output::Record(record) if record.status == Status::Interim)
}

impl Keeper {
    /// Opens the vault in `state`, lets `node` have what is in it, and makes it the active one.
    ///
    /// Where there can be no vault the node serves without one.
    ///
    /// # Errors
    /// Another process has the vault.
    pub(super) fn resume(
        state: &Path,
        node: &mut Node,
        epoch: u64,
        now: Instant,
    ) -> Result<Self, Failure> {
        let news = Arc::new(Notify::new());
        let wake = {
            let news = Arc::clone(&news);
            move || news.notify_one()
        };
        // Also one that is moved aside may be an older release's.
        let is_first = !state.join(lns_vault::FOLDER).exists();
        let (vault, entries) = match Vault::open(state, wake) {
            Ok((vault, entries)) => (Some(vault), entries),
            Err(error @ OpenError::Locked(_)) => return Err(Failure::Failed(error.to_string())),
            Err(error @ (OpenError::Io { .. } | OpenError::NoThread(_))) => {
                error!("{error}: sessions are not stored, and are lost with the process");
                node.handle_no_store();
                (None, Vec::new())
            }
        };
        let last = last_mark(&entries);
        // Higher than all that were there, though the counter of starts was lost.
        let epoch = epoch.max(last.epoch.number().saturating_add(1));
        let storage = vault.map_or(Storage::None, Storage::Vault);
        let mut keeper = Self::new(news, storage, None);
        let useless = keeper.load(node, &entries, now);
        let status = node.status();
        if status.tunnels > 0 {
            info!(
                tunnels = status.tunnels,
                sessions = status.sessions,
                "resumed what was up when the process before ended"
            );
        }
        node.handle_takeover(epoch, Beginning::Start, now);
        let claimed = Epoch::new(epoch).unwrap_or(Epoch::NONE);
        keeper.journal.handle_claimed(claimed, 0, now);
        if is_first {
            keeper.begin_in_newest(node);
        }
        for key in useless {
            keeper.journal.forget(key);
        }
        // What the process before had ordered and not handed over is ordered again.
        keeper.order_kept(now);
        Ok(keeper)
    }

    fn new(news: Arc<Notify>, storage: Storage, membership: Option<Membership>) -> Self {
        Self {
            journal: Journal::new(Patience::default()),
            storage,
            membership,
            news,
            waiting: VecDeque::new(),
            ordered: Vec::new(),
            number: 0,
            kept: BTreeMap::new(),
            lost: VecDeque::new(),
            form: RecordForm::default(),
            octets: Vec::new(),
            foreign: 0,
            unreadable: 0,
            unreplicated: 0,
            unsaid: 0,
            failing: false,
            away: None,
        }
    }

    /// The node takes in what is stored. The keys of what is of no use.
    fn load(&mut self, node: &mut Node, entries: &[Entry], now: Instant) -> Vec<String> {
        let mut useless = Vec::new();
        for Entry { key, mark, octets } in entries {
            self.journal.handle_loaded(key.clone(), *mark);
            match self.take_in(node, key, octets, now) {
                Ok(()) => {}
                Err(Unreadable::Version) => self.foreign += 1,
                Err(why) => {
                    warn!(record = %key, why = why.label(), "a session record cannot be resumed: it is given up");
                    self.unreadable += 1;
                    useless.push(key.clone());
                }
            }
        }
        if self.foreign > 0 {
            warn!(
                records = self.foreign,
                "another version has written session records: they are kept for it, and not resumed by this one"
            );
        }
        useless
    }

    fn take_in(
        &mut self,
        node: &mut Node,
        key: &str,
        octets: &[u8],
        now: Instant,
    ) -> Result<(), Unreadable> {
        if let Some(number) = account::number(key) {
            self.kept.insert(number, octets.into());
            return Ok(());
        }
        if key == form::KEY {
            return self.take_form(node, octets);
        }
        let date = StoreTime(self.millis());
        // A kind of records that is not known is a later release's.
        let key = key.parse::<RecordKey>().map_err(|_| Unreadable::Version)?;
        node.handle_record(key, octets, now, date)
    }

    /// The storage's time, milliseconds since 1970.
    fn millis(&self) -> u64 {
        let clock = self.membership.as_ref().map(|it| &it.clock);
        clock.map_or_else(unix_millis, |clock| clock.at(unix_millis()))
    }

    /// A record of accounting that the node has ordered in this round.
    pub(super) fn take(&mut self, record: Record) {
        self.ordered.push(record);
    }

    /// Stores all that the node has changed in this round. What it wants sent waits for the ticket.
    pub(super) fn store(&mut self, node: &mut Node, now: Instant) -> Ticket {
        self.give_again(node);
        let date = StoreTime(self.millis());
        while let Some((key, change)) = node.poll_record(now, date, &mut self.octets) {
            match change {
                RecordChange::Put { lasting } => {
                    self.journal.put(key.to_string(), &self.octets, lasting);
                }
                RecordChange::Forget => self.journal.forget(key.to_string()),
            }
        }
        let mut ordered = core::mem::take(&mut self.ordered);
        for record in &mut ordered {
            self.keep(record, now);
        }
        let ticket = self.journal.close(now);
        self.note_written(now);
        for record in ordered.drain(..) {
            let output = Output::Record(Box::new(record));
            self.waiting.push_back((ticket, output));
        }
        self.ordered = ordered;
        self.write();
        ticket
    }

    /// Keeps a record until whoever delivers it needs no other copy. An interim says nothing that the next does
    /// not say.
    fn keep(&mut self, record: &mut Record, now: Instant) {
        if record.status == Status::Interim || !self.storage.is_there() {
            return;
        }
        self.number = self.number.saturating_add(1);
        if let Some(octets) = account::keep(record, self.number, now, self.millis()) {
            self.journal.put(account::key(self.number), &octets, true);
            self.kept.insert(self.number, octets.into());
        }
    }

    /// Whoever delivers it needs no other copy: it is on disk, or with a server.
    pub(super) fn handle_settled(&mut self, number: u64) {
        if self.kept.remove(&number).is_some() {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.journal.forget(account::key(number));
    }

    /// Whether what waits for this ticket may leave.
    pub(super) fn is_settled(&self, ticket: Ticket) -> bool {
        self.waiting.is_empty() && self.journal.is_settled(ticket)
    }

    /// Whether nothing waits to leave.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Has a datagram wait.
    pub(super) fn delay(&mut self, ticket: Ticket, transmit: Transmit, octets: &[u8]) {
        let output = Output::Datagram(transmit, octets.to_vec());
        self.waiting.push_back((ticket, output));
    }

    /// The next of what waited and may leave.
    pub(super) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        loop {
            let journal = &self.journal;
            let (ticket, output) = self
                .waiting
                .pop_front_if(|(ticket, _)| journal.is_settled(*ticket))?;
            if !is_interim(&output) || journal.may_say_more(ticket, now) {
                return Some(output);
            }
            self.unsaid = self.unsaid.saturating_add(1);
        }
    }

    /// Takes what the storage has done, and lets go what has waited too long.
    pub(super) fn turn(&mut self, node: &mut Node, now: Instant) {
        let before = self.journal.standing();
        while let Some(news) = self.storage.poll_news() {
            self.hear(node, news, now);
        }
        if self.journal.take_overrun() {
            node.handle_lost_store();
        }
        if self.journal.poll_question(now) {
            self.tell(StoreNews::Unvouched);
        }
        if self.journal.handle_timeout(now) {
            warn!(
                failing = self.failing,
                away = self.away.as_deref(),
                unstored = self.journal.unstored(),
                "session records are not stored in time: the node serves on, and what it does now is not resumed if the process ends"
            );
        }
        if before == Standing::Degraded && self.journal.standing() == Standing::Whole {
            info!("session records are stored again");
        }
        self.write();
    }

    fn hear(&mut self, node: &mut Node, news: News, now: Instant) {
        match news {
            News::Stored(ticket) => self.journal.handle_stored(ticket),
            News::StoredThrough(ticket) => self.journal.handle_stored_through(ticket),
            News::Failing(true) => {
                self.failing = true;
                self.journal.handle_away();
            }
            News::Failing(false) => {
                self.failing = false;
                let last = self.journal.last_mark();
                self.journal.handle_claimed(last.epoch, last.seq, now);
            }
            News::Away(why) => {
                self.away = Some(Arc::clone(&why));
                self.journal.handle_away();
                self.tell(StoreNews::Away(why));
            }
            News::Claimed { epoch, seq } => self.hear_claimed(node, epoch, seq, now),
            News::Lost(epoch) => {
                self.journal.handle_away();
                self.tell(StoreNews::Lost(epoch));
            }
            News::Changed(marks) => self.handle_digest(node, marks, &BTreeMap::new(), now),
            News::NotReplicated => self.unreplicated = self.unreplicated.saturating_add(1),
        }
    }

    fn hear_claimed(&mut self, node: &Node, epoch: Epoch, seq: u64, now: Instant) {
        self.away = None;
        if let Some(membership) = &mut self.membership {
            membership.claimed = Some((epoch, seq));
        }
        // Before the takeover there is nothing to be written.
        if node.role() == Role::Active {
            self.journal.handle_claimed(epoch, seq, now);
        }
        self.tell(StoreNews::Claimed(epoch));
    }

    fn write(&mut self) {
        while self.storage.is_there()
            && let Some(round) = self.journal.poll_round()
        {
            if let Some(membership) = &mut self.membership {
                membership.note(round);
            }
            self.storage.write(round.clone());
        }
    }

    /// How long it may be before there is something to do.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        if self.gives_again() {
            return Some(Duration::ZERO);
        }
        self.journal.poll_timeout().map(|at| at.since(now))
    }

    /// Resolves when there is something to do.
    pub(super) async fn wait(&mut self) {
        self.news.notified().await;
    }

    /// How it stands.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            degraded: self.journal.standing() == Standing::Degraded || !self.storage.is_there(),
            failing: self.failing || self.away.is_some() || !self.storage.is_there(),
            unstored: self.journal.unstored(),
            waiting: self.waiting.len(),
            form: self.form.number(),
            newest_form: RecordForm::NEWEST.number(),
            foreign: self.foreign,
            unreadable: self.unreadable,
            unreplicated: self.unreplicated,
            unsaid: self.unsaid,
        }
    }
}
