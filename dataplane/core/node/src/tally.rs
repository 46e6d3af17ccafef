//! What other nodes count of the active node's sessions, and what was counted before it was the active
//! one (spec: cluster, 3).
//!
//! What has passed through a session in all is what the own workers have counted, what the record had at
//! the takeover, and what each other node has reported last, in each of its lives. It never goes down:
//! a node that reports less than before has begun to count anew, and what it had said stays.
//! That nothing is counted twice is seen to by those who report (`reports`).
//!
//! A session that ends waits for what others have still to say of it as long as for the own workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::limits;
use crate::node::Node;
use crate::record::{RecordKey, Role};
use crate::reports::{Known, Passed, SessionReport};

/// What of a session other nodes have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// What is over: of the time before, and of earlier lives of others.
    before: Counters,
    shares: Vec<Share>,
    /// When anything last came from the subscriber elsewhere, and when IP last passed.
    received: Option<Instant>,
    forwarded: Option<Instant>,
    /// How much of what the own workers have counted is in the record.
    pub(crate) written: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    member: usize,
    /// In which of its lives.
    life: u32,
    counters: Counters,
}

/// The nodes that report.
#[derive(Debug, Default)]
pub(crate) struct Reporters {
    by_name: BTreeMap<Arc<str>, Reporter>,
}

#[derive(Debug)]
struct Reporter {
    number: usize,
    life: u32,
    incarnation: Box<str>,
    /// Those before it, of which nothing is believed any more.
    over: VecDeque<Box<str>>,
}

impl Tally {
    /// Of a session whose record had these counters when the node took over, and so much of the own
    /// workers' in them.
    pub(crate) fn taken_over(record: &Counters, own: &Counters) -> Self {
        Self {
            before: record.less(own),
            written: *own,
            ..Self::default()
        }
    }

    /// What has passed elsewhere, or before.
    pub(crate) fn elsewhere(&self) -> Counters {
        let shares = self.shares.iter();
        shares.fold(self.before, |sum, share| sum.plus(&share.counters))
    }

    /// Whether other nodes have reported, and may have more to say.
    pub(crate) fn is_shared(&self) -> bool {
        !self.shares.is_empty()
    }

    /// When anything last came from the subscriber, here or elsewhere, and when IP last passed.
    pub(crate) fn last(
        &self,
        received: Option<Instant>,
        forwarded: Option<Instant>,
    ) -> (Option<Instant>, Option<Instant>) {
        (self.received.max(received), self.forwarded.max(forwarded))
    }

    fn take(&mut self, (member, life): (usize, u32), report: &SessionReport, now: Instant) {
        let at = |age| now.ago(age);
        self.received = self.received.max(report.up.age.map(at));
        self.forwarded = self.forwarded.max(report.down.age.map(at));
        let passed = |it: &Passed| DirectionCounters {
            ipv4_packets: it.packets,
            ipv4_octets: it.octets,
            ..DirectionCounters::default()
        };
        let counters = Counters {
            up: passed(&report.up),
            down: passed(&report.down),
        };
        let new = Share {
            member,
            life,
            counters,
        };
        let Some(share) = self.shares.iter_mut().find(|it| it.member == member) else {
            return self.shares.push(new);
        };
        if share.life != life || !counters.is_at_least(&share.counters) {
            self.before = self.before.plus(&share.counters);
        }
        *share = new;
    }
}

impl Reporters {
    /// The number of a member, and of its life. `None`: that life is over, or there are too many members.
    fn number(&mut self, member: &str, incarnation: &str) -> Option<(usize, u32)> {
        let number = self.by_name.len();
        let Some(reporter) = self.by_name.get_mut(member) else {
            let reporter = Reporter {
                number,
                life: 0,
                incarnation: incarnation.into(),
                over: VecDeque::new(),
            };
            let has_room = number < limits::REPORTERS;
            return has_room.then(|| {
                self.by_name.insert(member.into(), reporter);
                (number, 0)
            });
        };
        if *reporter.incarnation != *incarnation {
            if reporter.over.iter().any(|over| **over == *incarnation) {
                return None;
            }
            let over = core::mem::replace(&mut reporter.incarnation, incarnation.into());
            reporter.over.push_back(over);
            if reporter.over.len() > limits::LIVES {
                reporter.over.pop_front();
            }
            reporter.life = reporter.life.saturating_add(1);
        }
        Some((reporter.number, reporter.life))
    }

    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
    }
}

impl Node {
    /// What sessions have received and sent at another node, in one of its lives. On standby it is
    /// dropped.
    pub fn handle_reports_of(
        &mut self,
        member: &str,
        incarnation: &str,
        sessions: &[SessionReport],
        now: Instant,
    ) {
        if self.role() == Role::Standby {
            return self.stats.drop("report_on_standby");
        }
        let Some(who) = self.reporters.number(member, incarnation) else {
            return self.stats.drop("report_of_nobody");
        };
        for report in sessions {
            self.take_report(who, report, now);
        }
    }

    fn take_report(&mut self, who: (usize, u32), report: &SessionReport, now: Instant) {
        let SessionReport {
            tunnel, session, ..
        } = *report;
        if let Some(age) = report.up.age
            && let Some(link) = self.tunnels.get_mut(tunnel)
        {
            // Data counts as a sign of life of the LAC, too.
            link.machine.note_activity(now.ago(age));
        }
        let slot = self.index.lookup(tunnel, session);
        if let Some(session) = slot.and_then(|slot| self.sessions.get_mut(slot)) {
            // Until others had a part in it, all that was told was the own workers'.
            let told = session.told.as_ref().map(|told| told.told);
            let tally = session.tally.get_or_insert_with(|| {
                Box::new(Tally {
                    written: told.unwrap_or_default(),
                    ..Tally::default()
                })
            });
            return tally.take(who, report, now);
        }
        let grave = self.records.grave(RecordKey::Session(tunnel, session));
        if let Some(slot) = grave
            && let Some(tally) = self.accounts.tally((slot, tunnel, session))
        {
            tally.take(who, report, now);
        }
    }

    /// What has passed through a session in all, if the own workers have counted this.
    pub fn counted(&self, tunnel: TunnelId, session: SessionId, own: &Counters) -> Counters {
        let slot = self.index.lookup(tunnel, session);
        let session = slot.and_then(|slot| self.sessions.get(slot));
        session.map_or(*own, |session| session.counted(own))
    }

    /// A node that takes over goes on from the records.
    pub(crate) fn begin_tallies(&mut self) {
        let known = self.reports.end();
        let slots: Vec<SlotIndex> = self.all_slots().collect();
        for slot in slots {
            let own = known.get(&slot).map(Known::included).unwrap_or_default();
            self.change(slot, |session| {
                let told = session.told.as_ref().map(|told| told.told);
                let record = told.unwrap_or_default();
                if record != Counters::default() || own != Counters::default() {
                    session.tally = Some(Box::new(Tally::taken_over(&record, &own)));
                }
            });
        }
    }

    /// A node that steps down reports what its own workers have counted and no record has.
    pub(crate) fn end_tallies(&mut self) {
        self.reporters.clear();
        let slots: Vec<SlotIndex> = self.all_slots().collect();
        for slot in slots {
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            let told = session.told.as_ref().map(|told| told.told);
            let written = match session.tally.take() {
                Some(tally) => tally.written,
                None => told.unwrap_or_default(),
            };
            if written != Counters::default() {
                self.reports.begin(slot, &written);
            }
        }
    }

    fn all_slots(&self) -> impl Iterator<Item = SlotIndex> {
        let all = self.sessions.range(0..self.sessions.span());
        all.map(|(slot, _)| slot)
    }
}
