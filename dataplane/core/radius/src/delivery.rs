//! In which order records of accounting go to servers: by their place in the spool, some at once, so that
//! no session's record overtakes another of it, and none the node's own On and Off.
//!
//! The spool is somebody else's: it gives the records in their order, and is told which are delivered.
//! When servers are away nothing is given up. What is under way is taken back, and after a pause one record
//! asks whether they are there again; then more go at once with every answer.

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
    /// None will ever take it.
    Never,
}

impl Ending {
    /// Of the request that carried it.
    pub const fn of(outcome: &Outcome) -> Self {
        match &outcome.result {
            Ok(_) => Self::Delivered,
            Err(Failure::TooLarge | Failure::NoServer) => Self::Never,
            Err(
                Failure::TimedOut
                | Failure::AllDown
                | Failure::NoCapacity
                | Failure::NoMessageAuthenticator
                | Failure::WrongSecret
                | Failure::ProtocolError
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
    /// Those at the head of their line that are not under way.
    ready: BTreeSet<Place>,
    /// On and Off: all before them, then they, then the others.
    barriers: BTreeSet<Place>,
    sent: usize,
    /// Until when nothing is sent.
    paused: Option<Instant>,
    pause: Duration,
}

#[derive(Debug)]
struct Waiting {
    session: Arc<str>,
    is_sent: bool,
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
            barriers: BTreeSet::new(),
            sent: 0,
            paused: None,
            pause: SHORTEST_PAUSE,
        }
    }

    /// How many more records it wants of the spool: as many again as may be under way, so that one session
    /// with many does not hold up the others.
    pub fn room(&self) -> usize {
        let wanted = self.most.saturating_mul(2);
        wanted.saturating_sub(self.records.len())
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
        let waiting = Waiting {
            session,
            is_sent: false,
        };
        self.records.insert(place, waiting);
    }

    /// The next record to send now.
    pub fn poll_send(&mut self, now: Instant) -> Option<Place> {
        if self.paused.is_some_and(|until| now < until) || self.sent >= self.window {
            return None;
        }
        self.paused = None;
        let place = *self.ready.first()?;
        if let Some(barrier) = self.barriers.first()
            && (place > *barrier || place == *barrier && self.records.keys().next() != Some(&place))
        {
            return None;
        }
        self.ready.remove(&place);
        self.records.get_mut(&place)?.is_sent = true;
        self.sent = self.sent.saturating_add(1);
        Some(place)
    }

    /// What became of a record that was sent. `true`: it is done with, and the spool may forget it.
    pub fn handle_end(&mut self, place: Place, ending: Ending, now: Instant) -> bool {
        let Some(waiting) = self.records.get_mut(&place).filter(|it| it.is_sent) else {
            return false;
        };
        waiting.is_sent = false;
        self.sent = self.sent.saturating_sub(1);
        match ending {
            Ending::Delivered => {
                self.pause = SHORTEST_PAUSE;
                self.window = self.window.saturating_mul(2).min(self.most);
                self.forget(place);
                true
            }
            Ending::Never => {
                self.forget(place);
                true
            }
            Ending::Again => {
                self.ready.insert(place);
                self.hold(now);
                false
            }
        }
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
    pub const fn handle_change(&mut self) {
        self.paused = None;
        self.pause = SHORTEST_PAUSE;
    }

    /// When to ask [`poll_send`](Self::poll_send) again; `None`: after the next record or outcome.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paused.filter(|_| !self.ready.is_empty())
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
