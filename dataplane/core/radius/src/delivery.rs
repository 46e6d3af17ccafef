//! In which order records of accounting go to servers: by their place in the spool, some at once, so that
//! no session's record overtakes another of it, and none the node's own On and Off.
//!
//! The spool is somebody else's: it gives the records in their order, and is told which are delivered.
//! When servers are away nothing is given up. What is under way is taken back, and after a pause one record
//! asks whether they are there again, each time another one; then more go at once with every answer.
//!
//! A record that fails while others are delivered, or that no server is for, is its own affair: it rests, its
//! session waits for it, and nobody else does. One that has failed [`STUBBORN`] times holds up no On or Off
//! any more, and, if it is one, nothing behind it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lns_tables::time::Instant;

use crate::record::Status;
use crate::request::{Failure, Outcome};

/// The first pause after a failure.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest: half a minute after the servers are back, the records are on their way.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a record rests at first that fails while others do not.
const SHORTEST_REST: Duration = Duration::from_secs(30);

/// And at last: each time twice as long.
const LONGEST_REST: Duration = Duration::from_mins(15);

/// How often a record must fail until On and Off do not wait for it: some minutes.
const STUBBORN: u8 = 8;

/// Records that rest at most beside those that it wants, for each that may be under way.
const RESTING: usize = 16;

/// Where a record is in the spool. A later record has a higher one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place(pub u64);

/// What became of a record that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// A server has it.
    Delivered,
    /// None has it yet.
    Again,
    /// None takes this one now, which says nothing of others.
    Refused,
    /// None will ever take it.
    Never,
}

impl Ending {
    /// Of the request that carried it.
    pub const fn of(outcome: &Outcome) -> Self {
        match &outcome.result {
            Ok(_) => Self::Delivered,
            Err(Failure::TooLarge) => Self::Never,
            // Another manifest may name one for its realm, another way take it.
            Err(Failure::NoServer | Failure::DatagramTooLarge | Failure::ProtocolError) => {
                Self::Refused
            }
            Err(
                Failure::TimedOut
                | Failure::AllDown
                | Failure::NoCapacity
                | Failure::NoMessageAuthenticator
                | Failure::WrongSecret
                | Failure::Cancelled,
            ) => Self::Again,
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Delivery {
    /// How many may be under way when all is well.
    most: usize,
    /// How many may be now.
    window: usize,
    records: BTreeMap<Place, Waiting>,
    /// The records of each session, in their order.
    lines: BTreeMap<Arc<str>, VecDeque<Place>>,
    /// Those at the head of their line that may be sent.
    ready: BTreeSet<Place>,
    /// Those at the head of their line that are left alone for a while, and until when.
    resting: BTreeSet<(Instant, Place)>,
    /// On and Off: all before them, then they, then the others.
    barriers: BTreeSet<Place>,
    /// Those that On and Off wait for.
    firm: BTreeSet<Place>,
    sent: usize,
    /// The last one that failed: the next one to ask is behind it.
    failed: Option<Place>,
    /// When a server has taken one last.
    delivered: Option<Instant>,
    /// Until when nothing is sent.
    paused: Option<Instant>,
    pause: Duration,
}

#[derive(Debug)]
struct Waiting {
    session: Arc<str>,
    /// Since when it is under way.
    sent: Option<Instant>,
    /// How often it has failed.
    failures: u8,
    /// How long it rests next time.
    rest: Duration,
}

impl Delivery {
    /// With at most so many records under way at once; one at least.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            window: most,
            records: BTreeMap::new(),
            lines: BTreeMap::new(),
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            barriers: BTreeSet::new(),
            firm: BTreeSet::new(),
            sent: 0,
            failed: None,
            delivered: None,
            paused: None,
            pause: SHORTEST_PAUSE,
        }
    }

    /// How many more records it wants of the spool: as many again as may be under way, so that one session
    /// with many does not hold up the others; and instead of some that rest, others.
    pub fn room(&self) -> usize {
        let wanted = self.most.saturating_mul(2);
        let resting = self.most.saturating_mul(RESTING).min(self.resting.len());
        wanted
            .saturating_add(resting)
            .saturating_sub(self.records.len())
    }

    /// The next record of the spool. One whose place is not behind all others is there already, and is
    /// ignored.
    pub fn handle_loaded(&mut self, place: Place, session: &str, status: Status) {
        let last = self.records.last_key_value();
        if last.is_some_and(|(last, _)| *last >= place) {
            return;
        }
        let session: Arc<str> = session.into();
        let line = self.lines.entry(Arc::clone(&session)).or_default();
        if line.is_empty() {
            self.ready.insert(place);
        }
        line.push_back(place);
        if matches!(status, Status::On | Status::Off) {
            self.barriers.insert(place);
        }
        self.firm.insert(place);
        let waiting = Waiting {
            session,
            sent: None,
            failures: 0,
            rest: SHORTEST_REST,
        };
        self.records.insert(place, waiting);
    }

    /// The next record to send now.
    pub fn poll_send(&mut self, now: Instant) -> Option<Place> {
        while let Some((until, place)) = self.resting.first().copied()
            && until <= now
        {
            self.resting.remove(&(until, place));
            self.ready.insert(place);
        }
        if self.paused.is_some_and(|until| now < until) || self.sent >= self.window {
            return None;
        }
        self.paused = None;
        let place = self.next()?;
        self.ready.remove(&place);
        self.records.get_mut(&place)?.sent = Some(now);
        self.sent = self.sent.saturating_add(1);
        Some(place)
    }

    /// The first that is ready, behind the one that failed last if there is one.
    fn next(&self) -> Option<Place> {
        let barrier = self.barriers.first().copied();
        let may = |place: &Place| {
            barrier.is_none_or(|barrier| {
                *place < barrier || *place == barrier && self.firm.first() == Some(place)
            })
        };
        let behind = self
            .failed
            .map_or(Place(0), |Place(failed)| Place(failed.saturating_add(1)));
        let next = self.ready.range(behind..).next().filter(|place| may(place));
        let first = self.ready.first().filter(|place| may(place));
        next.or(first).copied()
    }

    /// What became of a record that was sent. `true`: it is done with, and the spool may forget it.
    pub fn handle_end(&mut self, place: Place, ending: Ending, now: Instant) -> bool {
        let waiting = self.records.get_mut(&place);
        let Some((waiting, sent)) = waiting.and_then(|it| it.sent.take().map(|sent| (it, sent)))
        else {
            return false;
        };
        self.sent = self.sent.saturating_sub(1);
        match ending {
            Ending::Delivered => {
                self.pause = SHORTEST_PAUSE;
                self.window = self.window.saturating_mul(2).min(self.most);
                self.failed = None;
                self.delivered = Some(now);
                self.forget(place);
                return true;
            }
            Ending::Never => {
                self.forget(place);
                return true;
            }
            Ending::Again | Ending::Refused => {}
        }
        waiting.failures = waiting.failures.saturating_add(1);
        if waiting.failures >= STUBBORN {
            self.firm.remove(&place);
            self.barriers.remove(&place);
        }
        if ending == Ending::Refused || self.delivered.is_some_and(|delivered| delivered > sent) {
            self.resting.insert((now + waiting.rest, place));
            waiting.rest = waiting.rest.saturating_mul(2).min(LONGEST_REST);
        } else {
            self.ready.insert(place);
            self.failed = Some(place);
            self.hold(now);
        }
        false
    }

    /// All that was under way fails at about the same time, and makes one pause.
    fn hold(&mut self, now: Instant) {
        self.window = 1;
        if self.paused.is_none_or(|until| until <= now) {
            self.paused = Some(now + self.pause);
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn forget(&mut self, place: Place) {
        let Some(waiting) = self.records.remove(&place) else {
            return;
        };
        self.barriers.remove(&place);
        self.firm.remove(&place);
        let Some(line) = self.lines.get_mut(&waiting.session) else {
            return;
        };
        line.pop_front();
        match line.front() {
            Some(next) => drop(self.ready.insert(*next)),
            None => drop(self.lines.remove(&waiting.session)),
        }
    }

    /// Other servers are there now: they are asked at once.
    pub fn handle_change(&mut self) {
        self.paused = None;
        self.pause = SHORTEST_PAUSE;
        let rested = core::mem::take(&mut self.resting);
        self.ready
            .extend(rested.into_iter().map(|(_, place)| place));
    }

    /// When to ask [`poll_send`](Self::poll_send) again; `None`: after the next record or outcome.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rested = self.resting.first().map(|(until, _)| *until);
        // Where as many are under way as may be, the end of a pause changes nothing.
        let may_send = !self.ready.is_empty() && self.sent < self.window;
        let paused = self.paused.filter(|_| may_send);
        rested.into_iter().chain(paused).min()
    }

    /// Records that are under way.
    pub const fn under_way(&self) -> usize {
        self.sent
    }

    /// Records that it knows of.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it knows of none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests;
