//! What happens to flows, counted.
//!
//! Each worker thread has a lane of whole cache lines, so that no two of them write to the same one;
//! one more lane is for the threads beside the workers. A packet of an open flow counts nothing.

use core::sync::atomic::{AtomicU64, Ordering};

lns_wire::labelled! {
    /// What happened to a flow, with the label that metrics use.
    pub enum Event {
        /// A flow was opened.
        Opened = "opened",
        /// A packet came after its flow had timed out, and both went.
        Expired = "expired",
        /// A flow that had timed out went without a packet.
        Swept = "swept",
        /// A flow gave way to a new one.
        Evicted = "evicted",
        /// No flow was opened: the table was full of flows that do not give way.
        RefusedFull = "refused_full",
        /// No flow was opened: the port had as many as one may have, none of which gives way.
        RefusedLimit = "refused_limit",
        /// No flow was opened: the port was closed.
        RefusedClosed = "refused_closed",
        /// A packet went on though there was no room for its flow.
        Stateless = "stateless",
        /// A SYN began a closing flow anew.
        Restarted = "restarted",
        /// A flow was judged anew and stays.
        Reclassified = "reclassified",
        /// A flow went because policy is asked anew: it would not be opened any more, or it was closing and
        /// the side that had not opened it begins another.
        Revoked = "revoked",
        /// A packet that should have opened a flow went on without one: its headers cannot be read, or it
        /// answers what nobody asked.
        Untracked = "untracked",
        /// An ICMP error about a packet of an open flow went on.
        Related = "related",
        /// A flow ended with its port, by a change of the port's policies, or because somebody asked for it.
        Cleared = "cleared",
    }
}

const EVENTS: usize = Event::ALL.len();

/// What one thread has counted. Two lines, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane([AtomicU64; EVENTS]);

impl Lane {
    fn count(&self, event: Event, times: u64) {
        if let Some(counter) = self.0.get(event.place()) {
            counter.fetch_add(times, Ordering::Relaxed);
        }
    }
}

/// The counters of all threads.
#[derive(Debug)]
pub(super) struct Lanes {
    workers: Box<[Lane]>,
    beside: Lane,
}

impl Lanes {
    pub(super) fn new(lanes: usize) -> Self {
        Self {
            workers: (0..lanes).map(|_| Lane::default()).collect(),
            beside: Lane::default(),
        }
    }

    /// A lane that does not exist counts beside the workers: right, but slower.
    pub(super) fn count(&self, lane: usize, event: Event) {
        self.workers
            .get(lane)
            .unwrap_or(&self.beside)
            .count(event, 1);
    }

    pub(super) fn count_beside(&self, event: Event, times: usize) {
        if times > 0 {
            let times = u64::try_from(times).unwrap_or(u64::MAX);
            self.beside.count(event, times);
        }
    }

    pub(super) fn sum(&self) -> Events {
        let lanes = self.workers.iter().chain([&self.beside]);
        lanes.fold(Events::default(), |mut sum, lane| {
            for (sum, counter) in sum.0.iter_mut().zip(&lane.0) {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
            sum
        })
    }
}

/// What all threads have counted since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Events([u64; EVENTS]);

impl Events {
    /// How often it has happened.
    pub fn of(&self, event: Event) -> u64 {
        self.0.get(event.place()).copied().unwrap_or_default()
    }

    pub(super) fn with(mut self, event: Event, times: u64) -> Self {
        if let Some(sum) = self.0.get_mut(event.place()) {
            *sum = times;
        }
        self
    }

    /// All of them, also those that have not happened.
    pub fn all(&self) -> impl Iterator<Item = (Event, u64)> + '_ {
        Event::ALL.iter().copied().zip(self.0)
    }
}
