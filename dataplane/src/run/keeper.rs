//! What is stored, and what waits for it: between the node, which gives out records of all that changes,
//! and the vault in the state folder. What the node wants sent leaves when the records before it are
//! stored (spec: cluster, 2: output commit).
//!
//! Records of accounting are kept with those of sessions, from the moment that they are ordered until the
//! spool has them: a session that says that servers were told, and the record that tells them, are stored
//! in one go, so that no end of the process loses either.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use lns_cluster::Epoch;
use lns_cluster::journal::{Journal, Patience, Standing, Ticket};
use lns_node::{Beginning, Node, RecordChange, RecordKey, StoreTime, Transmit, Unreadable};
use lns_radius::record::{Kept, Record, Status};
use lns_tables::time::Instant;
use lns_vault::{Entry, News, OpenError, Vault, last_mark};
use lns_wire::radius::AttributeList;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::situation::unix_millis;
use crate::failure::Failure;

/// The form of a record of accounting, as it is kept.
const FORM: u8 = 1;

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
    /// `None`: there can be none, and nothing is kept.
    vault: Option<Vault>,
    news: Arc<Notify>,
    waiting: VecDeque<(Ticket, Output)>,
    /// Records that were ordered in this round.
    ordered: Vec<Record>,
    /// The number of the last record of accounting that was kept.
    number: u64,
    /// Those that are kept.
    kept: BTreeSet<u64>,
    /// The record that is being written.
    octets: Vec<u8>,
    /// Records of another version: they wait for it.
    foreign: u64,
    failing: bool,
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
    /// Records that another version has written, and that are kept for it.
    pub(crate) foreign: u64,
}

/// A record of accounting, as it is kept. `attributes` has no Event-Timestamp.
#[derive(Debug, Deserialize, Serialize)]
struct Account {
    status: u32,
    session: String,
    date: u64,
    realm: Option<String>,
    attributes: Vec<u8>,
}

/// What was found in the vault.
#[derive(Debug, Default)]
struct Found {
    /// Records of accounting that the spool may not have.
    accounts: Vec<(u64, Account)>,
    /// Of no use: they are forgotten.
    useless: Vec<String>,
    foreign: u64,
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
        let (vault, entries) = match Vault::open(state, wake) {
            Ok((vault, entries)) => (Some(vault), entries),
            Err(error @ OpenError::Locked(_)) => return Err(Failure::Failed(error.to_string())),
            Err(error @ (OpenError::Io { .. } | OpenError::NoThread(_))) => {
                error!("{error}: sessions are not stored, and are lost with the process");
                node.handle_no_store();
                (None, Vec::new())
            }
        };
        let mut journal = Journal::new(Patience::default());
        let last = last_mark(&entries);
        // Higher than all that were there, though the counter of starts was lost.
        let epoch = epoch.max(last.epoch.number().saturating_add(1));
        let found = apply(node, &mut journal, &entries, now);
        let status = node.status();
        if status.tunnels > 0 {
            info!(
                tunnels = status.tunnels,
                sessions = status.sessions,
                "resumed what was up when the process before ended"
            );
        }
        node.handle_takeover(epoch, Beginning::Start, now);
        journal.handle_claimed(Epoch::new(epoch).unwrap_or(Epoch::NONE), 0, now);
        let mut keeper = Self {
            journal,
            vault,
            news,
            waiting: VecDeque::new(),
            ordered: Vec::new(),
            number: 0,
            kept: BTreeSet::new(),
            octets: Vec::new(),
            foreign: found.foreign,
            failing: false,
        };
        keeper.take_up(found, now);
        Ok(keeper)
    }

    /// What the process before had ordered and not handed over is ordered again.
    fn take_up(&mut self, found: Found, now: Instant) {
        for key in found.useless {
            self.journal.forget(key);
        }
        for (number, account) in found.accounts {
            self.number = self.number.max(number);
            self.kept.insert(number);
            let settled = self.journal.settled();
            match record(account, number, now) {
                Some(record) => self.waiting.push_back((settled, Output::Record(record))),
                None => self.forget(number),
            }
        }
    }

    /// A record of accounting that the node has ordered in this round.
    pub(super) fn take(&mut self, record: Record) {
        self.ordered.push(record);
    }

    /// Stores all that the node has changed in this round. What it wants sent waits for the ticket.
    pub(super) fn store(&mut self, node: &mut Node, now: Instant) -> Ticket {
        let date = StoreTime(unix_millis());
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
        for record in ordered.drain(..) {
            let output = Output::Record(Box::new(record));
            self.waiting.push_back((ticket, output));
        }
        self.ordered = ordered;
        self.write();
        ticket
    }

    /// Keeps a record until the spool has it. An interim says nothing that the next does not say.
    fn keep(&mut self, record: &mut Record, now: Instant) {
        if record.status == Status::Interim || self.vault.is_none() {
            return;
        }
        self.number = self.number.saturating_add(1);
        let date = record.date(now, unix_millis() / 1000);
        record.kept = Some(Kept {
            number: self.number,
            date,
        });
        let account = Account {
            status: record.status.number(),
            session: record.session.to_string(),
            date,
            realm: record.realm.as_deref().map(str::to_owned),
            attributes: record.attributes.octets().to_vec(),
        };
        // What grows as it needs refuses nothing.
        if let Ok(octets) = postcard::to_extend(&account, vec![FORM]) {
            self.kept.insert(self.number);
            self.journal.put(key(self.number), &octets, true);
        }
    }

    /// The spool has it.
    pub(super) fn handle_on_disk(&mut self, number: u64) {
        if self.kept.remove(&number) {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        self.journal.forget(key(number));
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
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let journal = &self.journal;
        let (_, output) = self
            .waiting
            .pop_front_if(|(ticket, _)| journal.is_settled(*ticket))?;
        Some(output)
    }

    /// Takes what the vault has done, and lets go what has waited too long.
    pub(super) fn turn(&mut self, now: Instant) {
        while let Some(news) = self.vault.as_ref().and_then(Vault::poll_news) {
            match news {
                News::Stored(ticket) => self.journal.handle_stored_through(ticket),
                News::Failing(true) => {
                    self.failing = true;
                    self.journal.handle_away();
                }
                News::Failing(false) => {
                    self.failing = false;
                    let last = self.journal.last_mark();
                    self.journal.handle_claimed(last.epoch, last.seq, now);
                }
            }
        }
        let before = self.journal.standing();
        if self.journal.handle_timeout(now) {
            warn!(
                failing = self.failing,
                unstored = self.journal.unstored(),
                "session records are not stored in time: the node serves on, and what it does now is not resumed if the process ends"
            );
        }
        if before == Standing::Degraded && self.journal.standing() == Standing::Whole {
            info!("session records are stored again");
        }
        self.write();
    }

    fn write(&mut self) {
        let Some(vault) = &self.vault else {
            return;
        };
        while let Some(round) = self.journal.poll_round() {
            vault.write(round.clone());
        }
    }

    /// How long it may be before there is something to do.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        self.journal.poll_timeout().map(|at| at.since(now))
    }

    /// Resolves when there is something to do.
    pub(super) async fn wait(&mut self) {
        self.news.notified().await;
    }

    /// How it stands.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            degraded: self.journal.standing() == Standing::Degraded || self.vault.is_none(),
            failing: self.failing || self.vault.is_none(),
            unstored: self.journal.unstored(),
            waiting: self.waiting.len(),
            foreign: self.foreign,
        }
    }
}

/// The node takes in what is stored.
fn apply(node: &mut Node, journal: &mut Journal<String>, entries: &[Entry], now: Instant) -> Found {
    let date = StoreTime(unix_millis());
    let mut found = Found::default();
    for Entry { key, mark, octets } in entries {
        journal.handle_loaded(key.clone(), *mark);
        if let Some(number) = number(key) {
            match octets.split_first() {
                Some((&FORM, rest)) => match postcard::from_bytes(rest) {
                    Ok(account) => found.accounts.push((number, account)),
                    Err(_) => found.useless.push(key.clone()),
                },
                Some(_) | None => found.foreign += 1,
            }
            continue;
        }
        let taken = key
            .parse::<RecordKey>()
            .map_err(|_| Unreadable::Unfit)
            .and_then(|key| node.handle_record(key, octets, now, date));
        match taken {
            Ok(()) => {}
            Err(Unreadable::Version) => found.foreign += 1,
            Err(why) => {
                warn!(record = %key, why = why.label(), "a session record cannot be resumed: it is given up");
                found.useless.push(key.clone());
            }
        }
    }
    if found.foreign > 0 {
        warn!(
            records = found.foreign,
            "another version has written session records: they are kept for it, and not resumed by this one"
        );
    }
    found.accounts.sort_by_key(|(number, _)| *number);
    found
}

fn record(account: Account, number: u64, now: Instant) -> Option<Box<Record>> {
    let mut all = Status::ALL.iter().copied();
    let status = all.find(|status| status.number() == account.status)?;
    let ago = (unix_millis() / 1000).saturating_sub(account.date);
    let ago = u64::try_from(Duration::from_secs(ago).as_nanos()).unwrap_or(u64::MAX);
    Some(Box::new(Record {
        status,
        session: account.session.into(),
        at: Instant::from_nanos(now.as_nanos().saturating_sub(ago)),
        attributes: AttributeList::from(account.attributes),
        realm: account.realm.map(Into::into),
        kept: Some(Kept {
            number,
            date: account.date,
        }),
    }))
}

fn key(number: u64) -> String {
    format!("a/{number}")
}

fn number(key: &str) -> Option<u64> {
    key.strip_prefix("a/")?.parse().ok()
}
