//! Records of accounting on disk, until a server has them (RFC 2866; RFC 5080, 2.2.1: until acknowledged).
//!
//! A record is sent to nobody before it is on disk, and is on disk until a server has acknowledged it.
//! After a crash at any moment all that were not are delivered, in their order. One that a server had
//! acknowledged just then goes a second time, with the same Acct-Session-Id and Event-Timestamp, by which
//! servers tell such from two.
//!
//! There is room for so many octets. When they are used up the oldest interims go first, but those whose
//! turn has come; a Start, a Stop, an On or an Off is never given up for want of room. What is given up is a
//! record that fits into no packet, and one that the disk has damaged; both are logged as errors. One that
//! another version of this has written is kept for it, and is not delivered by this one.
//!
//! "In their order" is that of [`lns_radius::delivery`]: the records of a session wait for each other, and
//! not for a record of another one that no server takes.
//!
//! [`Spool::in_memory`] has no file: its records are kept elsewhere until a server has them.
//!
//! [`Spool`] is driven by its owner, who has the clock and the client of the accounting servers: it gives
//! records in, takes requests out, and brings their outcomes back. A thread of its own writes and reads.
//! [`next_epoch`] numbers the starts of a node.
#![forbid(unsafe_code)]

mod clerk;
mod entry;
mod epoch;
mod store;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;

use lns_radius::delivery::{Delivery, Ending, Place};
use lns_radius::record::{Record, Status};
use lns_radius::request::{Outcome, Request, Token, balance_key};
use lns_tables::time::Instant;
use lns_wire::radius::Code;
use tracing::error;

pub use epoch::next_epoch;

use clerk::{Clerk, News, Order};
use entry::Entry;
use store::{Change, Content, Loaded};

/// The name of the file in the state folder.
pub const FILE: &str = "accounting.redb";

/// Records under way at once: as many as one connection has identifiers for.
const WINDOW: usize = 255;

/// Records that wait for the disk; beyond it interims are given up, of which the next one says all. It is
/// what 100,000 sessions tell in five minutes.
const UNWRITTEN: usize = 65_536;

/// The records, from outside of their thread.
#[derive(Debug)]
pub struct Spool {
    clerk: Clerk,
    delivery: Delivery,
    /// Those that were loaded and are not delivered.
    loaded: BTreeMap<Place, Entry>,
    /// Up to here all were loaded.
    last_loaded: Option<Place>,
    /// It was asked for more.
    is_loading: bool,
    content: Content,
    /// Records that wait for the disk.
    unwritten: usize,
    dropped_by_store: u64,
    dropped_before: u64,
    undeliverable: u64,
    /// Of those in the file, those of another version.
    foreign: u64,
    is_failing: bool,
    elsewhere: Option<Elsewhere>,
}

/// Records that somebody else keeps until a server has them: by session and kind, and whom to tell.
#[derive(Debug)]
struct Elsewhere {
    numbers: BTreeMap<(Box<str>, u32), VecDeque<u64>>,
    delivered: Sender<u64>,
}

/// What waits, for an engineer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Records that no server has acknowledged.
    pub records: u64,
    /// Their octets on disk.
    pub octets: u64,
    /// How long ago the first of them happened.
    pub oldest: Option<Duration>,
    /// Of them, those that were sent and wait for an answer.
    pub under_way: usize,
    /// Of them, those that are not on disk yet.
    pub unwritten: usize,
    /// Interims that were given up for want of room, since the start.
    pub dropped_interims: u64,
    /// Records that no server will ever take, since the start.
    pub undeliverable: u64,
    /// Of the records, those that another version has written: they wait for it.
    pub foreign: u64,
    /// The disk fails.
    pub is_failing: bool,
}

impl Spool {
    /// Opens the file in `folder`, or begins it. `on_disk` is told the number of each record that was
    /// [kept](lns_radius::record::Kept) elsewhere, once it is on disk. `wake` is called from another thread when there is
    /// something for [`handle_news`](Self::handle_news).
    ///
    /// A file that cannot be read is moved aside; where there can be none the records are kept in memory.
    /// Both are logged as errors.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn open(
        folder: &Path,
        max_octets: u64,
        on_disk: Sender<u64>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (clerk, content) = Clerk::start(&folder.join(FILE), max_octets, on_disk, wake)?;
        Ok(Self::of(clerk, content, None))
    }

    /// One without a file: whoever [keeps](lns_radius::record::Kept) a record keeps it until a server has it, and is
    /// told then. A member of a cluster has this: what a dead node's disk has is of use to nobody.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn in_memory(
        max_octets: u64,
        delivered: Sender<u64>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (clerk, content) = Clerk::in_memory(max_octets, wake)?;
        let elsewhere = Elsewhere {
            numbers: BTreeMap::new(),
            delivered,
        };
        Ok(Self::of(clerk, content, Some(elsewhere)))
    }

    fn of(clerk: Clerk, content: Content, elsewhere: Option<Elsewhere>) -> Self {
        let mut spool = Self {
            clerk,
            delivery: Delivery::new(WINDOW),
            loaded: BTreeMap::new(),
            last_loaded: None,
            is_loading: false,
            content,
            unwritten: 0,
            dropped_by_store: 0,
            dropped_before: 0,
            undeliverable: 0,
            foreign: 0,
            is_failing: false,
            elsewhere,
        };
        spool.load();
        spool
    }

    /// How many octets all records may have.
    pub fn set_max_octets(&self, max_octets: u64) {
        self.clerk.order(Order::Change(Change::Limit(max_octets)));
    }

    /// Takes a record. Now is `now`, and `millis` since 1970.
    pub fn handle_record(&mut self, record: Record, now: Instant, millis: u64) {
        if self.unwritten >= UNWRITTEN && record.status == Status::Interim {
            self.dropped_before = self.dropped_before.saturating_add(1);
            return;
        }
        self.unwritten = self.unwritten.saturating_add(1);
        if let (Some(elsewhere), Some(kept)) = (&mut self.elsewhere, &record.kept) {
            let key = (record.session.clone(), record.status.number());
            let numbers = elsewhere.numbers.entry(key).or_default();
            numbers.push_back(kept.number);
        }
        let date = record.date(now, millis);
        let entry = Entry::new(record, date);
        self.clerk.order(Order::Change(Change::Append(entry)));
    }

    /// Takes what the thread has done.
    pub fn handle_news(&mut self) {
        while let Ok(news) = self.clerk.news.try_recv() {
            match news {
                News::Stored {
                    appended,
                    content,
                    dropped,
                } => {
                    self.unwritten = self.unwritten.saturating_sub(appended);
                    self.content = content;
                    self.dropped_by_store = dropped;
                }
                News::Loaded(Loaded {
                    entries,
                    through,
                    foreign,
                }) => {
                    self.is_loading = false;
                    self.foreign = self.foreign.saturating_add(foreign);
                    self.last_loaded = self.last_loaded.max(through);
                    for (place, entry) in entries {
                        self.delivery
                            .handle_loaded(place, &entry.session, entry.status);
                        self.loaded.insert(place, entry);
                    }
                }
                News::Failing(is_failing) => self.is_failing = is_failing,
            }
        }
        self.load();
    }

    /// The next record as a request to the accounting servers; its token is this spool's. `date` is now, in
    /// seconds since 1970.
    pub fn poll_request(&mut self, now: Instant, date: u64) -> Option<Request> {
        let place = self.delivery.poll_send(now)?;
        let entry = self.loaded.get(&place)?;
        let age = Duration::from_secs(date.saturating_sub(entry.date));
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        Some(Request {
            token: Token(place.0),
            code: Code::ACCOUNTING_REQUEST,
            attributes: entry.attributes.clone(),
            password: None,
            realm: entry.realm.clone(),
            key: balance_key(entry.session.as_bytes()),
            // What happened before the machine was started is as old as that.
            happened: Instant::from_nanos(now.as_nanos().saturating_sub(age)),
            server: None,
        })
    }

    /// What became of a request.
    pub fn handle_outcome(&mut self, outcome: &Outcome, now: Instant) {
        let place = Place(outcome.token.0);
        let ending = Ending::of(outcome);
        if !self.delivery.handle_end(place, ending, now) {
            return;
        }
        let entry = self.loaded.remove(&place);
        self.clerk.order(Order::Change(Change::Remove(place)));
        if let (Some(elsewhere), Some(entry)) = (&mut self.elsewhere, &entry) {
            elsewhere.tell(entry);
        }
        if let Some(entry) = entry.filter(|_| ending == Ending::Never) {
            self.undeliverable = self.undeliverable.saturating_add(1);
            let why = outcome.result.as_ref().err().map(|it| it.label());
            error!(session = %entry.session, status = entry.status.label(), why, "no server takes this record of accounting: it is given up");
        }
        self.load();
    }

    /// Other servers are configured: they are asked at once.
    pub fn handle_change(&mut self) {
        self.delivery.handle_change();
    }

    /// When to ask [`poll_request`](Self::poll_request) again; `None`: after the next news or outcome.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.delivery.poll_timeout()
    }

    /// Whether every record that was ever taken is with a server, but those of another version.
    pub const fn is_empty(&self) -> bool {
        self.content.records <= self.foreign && self.unwritten == 0
    }

    /// What waits. `date` is now, in seconds since 1970.
    pub fn figures(&self, date: u64) -> Figures {
        let unwritten = u64::try_from(self.unwritten).unwrap_or(u64::MAX);
        let age = |oldest| Duration::from_secs(date.saturating_sub(oldest));
        Figures {
            records: self.content.records.saturating_add(unwritten),
            octets: self.content.octets,
            oldest: self.content.oldest.map(age),
            under_way: self.delivery.under_way(),
            unwritten: self.unwritten,
            dropped_interims: self.dropped_by_store.saturating_add(self.dropped_before),
            undeliverable: self.undeliverable,
            foreign: self.foreign,
            is_failing: self.is_failing,
        }
    }

    /// Asks for more if there is room and there are more.
    fn load(&mut self) {
        let room = self.delivery.room();
        let is_behind = self.content.last > self.last_loaded;
        if self.is_loading || room == 0 || !is_behind {
            return;
        }
        self.is_loading = true;
        self.clerk.order(Order::Load {
            after: self.last_loaded,
            count: room,
        });
    }
}

impl Elsewhere {
    /// A record needs to be kept no more.
    fn tell(&mut self, entry: &Entry) {
        let key = (entry.session.clone(), entry.status.number());
        let Some(numbers) = self.numbers.get_mut(&key) else {
            return;
        };
        if let Some(number) = numbers.pop_front() {
            // Whoever kept it may have gone.
            let _unwanted = self.delivered.send(number);
        }
        if numbers.is_empty() {
            self.numbers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
