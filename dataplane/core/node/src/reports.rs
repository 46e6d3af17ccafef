//! What a node on standby tells the active one of its sessions: activity, and what has passed here (spec:
//! cluster, 3).
//!
//! A part of the table is looked at every [`TICK`](limits::REPORT_TICK), so that each session that moves is
//! told of within [`REPORT_ROUND`](limits::REPORT_ROUND); and one that ends is told of once more. Figures are
//! absolute: one that was lost is in the next.
//!
//! # The rule by which nothing is counted twice
//! What the active node has of a session is in its record at every checkpoint (an interim), and the next
//! active node goes on from there. So of what was reported to the one before, some is in the record. A
//! node therefore remembers, of each session, what it had reported when the record's counters last changed:
//! no more than that can be in them. To the next active node it reports what has passed since
//! ([`Node::handle_master`]). What was reported and is in no checkpoint is told again, then; what was
//! reported while the checkpoint was under way is lost, which is a round of reports at most. A node that
//! has not read all records of the one before begins with all that it has ever reported, and loses a
//! checkpoint at most.
//!
//! Not here: what the active node makes of it (`tally`).

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lns_tables::path::{Counters, DirectionCounters, PathReport, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::limits;
use crate::node::Node;
use crate::radius::accounting::Key;
use crate::record::Role;

/// What sessions have received and sent at this node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reports {
    /// For the active node of this mastership and no other.
    pub epoch: u64,
    /// One for each session.
    pub sessions: Vec<SessionReport>,
}

/// One session's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionReport {
    /// Our tunnel id.
    pub tunnel: TunnelId,
    /// Our session id.
    pub session: SessionId,
    /// From the subscriber; its age is that of the last frame of his, of whatever kind.
    pub up: Passed,
    /// To the subscriber; its age is that of the last IP packet in either direction.
    pub down: Passed,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    /// Octets since the figures begin.
    pub octets: u64,
    /// Packets since then.
    pub packets: u64,
    /// How long ago the last one was; `None`: there was none.
    pub age: Option<Duration>,
}

/// Whether all that the last active node has written is known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Caught {
    /// All of it: the stream of records was read to its end, or to an entry of this mastership, after that
    /// began.
    Up,
    /// That is not certain.
    Behind,
}

/// The part of the node that reports.
#[derive(Debug, Default)]
pub(crate) struct Reporting {
    /// To whom; `None`: to nobody.
    epoch: Option<u64>,
    /// When to look at sessions next, and where.
    due: Instant,
    next: u32,
    /// Sessions of which anything has passed here.
    known: BTreeMap<SlotIndex, Known>,
    /// Those of them that have moved.
    moved: VecDeque<SlotIndex>,
    /// Those that are gone and whose last counters are on their way.
    leaving: BTreeMap<Key, Known>,
    /// The last reports of those.
    last: VecDeque<SessionReport>,
}

/// What is known of one session, in the workers' own figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    now: Seen,
    reported: Seen,
    /// Where the figures for this active node begin.
    base: Counters,
    /// What may be in the record.
    included: Counters,
    is_queued: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Seen {
    counters: Counters,
    received: Option<Instant>,
    forwarded: Option<Instant>,
}

impl Known {
    /// What may be in the record.
    pub(crate) const fn included(&self) -> Counters {
        self.included
    }

    fn report(&self, (_, tunnel, session): Key, now: Instant) -> SessionReport {
        let Seen {
            counters,
            received,
            forwarded,
        } = self.now;
        let age = |at: Option<Instant>| at.map(|at| now.since(at));
        let since = counters.less(&self.base);
        let passed = |it: &DirectionCounters, at| Passed {
            octets: it.octets(),
            packets: it.packets(),
            age: age(at),
        };
        SessionReport {
            tunnel,
            session,
            up: passed(&since.up, received),
            down: passed(&since.down, forwarded),
        }
    }
}

impl Node {
    /// On standby: the node of this mastership is the active one, and wants reports. What was polled
    /// before is not for it.
    ///
    /// # Cost
    /// One step for each session of which anything has passed here.
    pub fn handle_master(&mut self, epoch: u64, caught: Caught, now: Instant) {
        if self.role() == Role::Active || self.reports.epoch == Some(epoch) {
            return;
        }
        let reports = &mut self.reports;
        reports.epoch = Some(epoch);
        reports.due = now;
        reports.last.clear();
        reports.moved.clear();
        for (slot, known) in &mut reports.known {
            if caught == Caught::Behind {
                known.included = known.reported.counters;
            }
            known.base = known.included;
            known.is_queued = true;
            reports.moved.push_back(*slot);
        }
    }

    /// What the active node is to be told, of so many sessions at most; ask until there is none, now and
    /// then.
    pub fn poll_reports(&mut self, most: usize, now: Instant) -> Option<Reports> {
        let epoch = self.reports.epoch?;
        let mut sessions = Vec::new();
        while sessions.len() < most
            && let Some(report) = self.next_report(now)
        {
            sessions.push(report);
        }
        (!sessions.is_empty()).then_some(Reports { epoch, sessions })
    }

    fn next_report(&mut self, now: Instant) -> Option<SessionReport> {
        if let Some(last) = self.reports.last.pop_front() {
            return Some(last);
        }
        loop {
            let slot = self.reports.moved.pop_front()?;
            let session = self.sessions.get(slot);
            let key = session.map(|it| (slot, it.tunnel, it.call.local()));
            if let Some((key, known)) = key.zip(self.reports.known.get_mut(&slot)) {
                known.is_queued = false;
                known.reported = known.now;
                return Some(known.report(key, now));
            }
        }
    }

    /// When to look at sessions next.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let reports = &self.reports;
        (reports.epoch.is_some() && !self.sessions.is_empty()).then_some(reports.due)
    }

    /// Looks at the next part of the table, if it is time.
    pub(crate) fn look_for_reports(&mut self, now: Instant) {
        if self.next_look().is_none_or(|due| due > now) {
            return;
        }
        let span = self.sessions.span();
        let reports = &mut self.reports;
        reports.due = now + limits::REPORT_TICK;
        reports.leaving.clear();
        let start = if reports.next < span { reports.next } else { 0 };
        let end = start.saturating_add(span.div_ceil(limits::REPORT_PARTS));
        reports.next = end;
        for (slot, session) in self.sessions.range(start..end) {
            if session.up_at.is_some() {
                self.path.push_back(PathUpdate::ReportSession {
                    slot,
                    tunnel: session.tunnel,
                    session: session.call.local(),
                });
            }
        }
    }

    /// What the workers of a node on standby have seen of a session that is there, or has just gone.
    pub(crate) fn note_seen(&mut self, report: &PathReport, now: Instant) {
        let PathReport::Session {
            slot,
            tunnel,
            session,
            last_received: received,
            last_forwarded: forwarded,
            counters,
        } = *report
        else {
            return;
        };
        let seen = Seen {
            counters,
            received,
            forwarded,
        };
        let reports = &mut self.reports;
        if reports.epoch.is_none() || seen == Seen::default() {
            return;
        }
        if self.index.lookup(tunnel, session) != Some(slot) {
            let key = (slot, tunnel, session);
            let mut known = reports.leaving.remove(&key).unwrap_or_default();
            known.now = seen;
            if known.now != known.reported && reports.last.len() < limits::LAST_REPORTS {
                reports.last.push_back(known.report(key, now));
            }
            return;
        }
        let known = reports.known.entry(slot).or_default();
        known.now = seen;
        if known.now != known.reported && !core::mem::replace(&mut known.is_queued, true) {
            reports.moved.push_back(slot);
        }
    }

    /// A session is gone from the tables of a node on standby; its last counters come behind it.
    pub(crate) fn end_reports_of(&mut self, key: Key) {
        if let Some(known) = self.reports.known.remove(&key.0) {
            self.reports.leaving.insert(key, known);
        }
    }

    /// The record of a session has other counters than before.
    pub(crate) fn note_checkpoint(&mut self, slot: SlotIndex) {
        if let Some(known) = self.reports.known.get_mut(&slot) {
            known.included = known.reported.counters;
        }
    }
}

impl Reporting {
    /// What is known, for a node that takes over: it reports to nobody any more.
    pub(crate) fn end(&mut self) -> BTreeMap<SlotIndex, Known> {
        core::mem::take(self).known
    }

    /// A node that was the active one begins with this: so much of its own is in the record.
    pub(crate) fn begin(&mut self, slot: SlotIndex, included: &Counters) {
        let reported = Seen {
            counters: *included,
            ..Seen::default()
        };
        let known = Known {
            now: reported,
            reported,
            base: *included,
            included: *included,
            is_queued: false,
        };
        self.known.insert(slot, known);
    }
}
