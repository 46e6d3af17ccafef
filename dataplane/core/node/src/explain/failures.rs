//! Why logins failed, LACs were refused, and calls and tunnels ended: a day back, in bounded memory.
//!
//! What fails again in the same way for the same subscriber, line and LAC is one failure with a count
//! and a first and a last time; the messages kept are those of the last time. Shelves with a bound each,
//! in number and in octets, so that strangers cannot crowd out LACs, nor ordinary ends failed logins,
//! nor the sessions of a tunnel the reason why it ended. The failure that was seen longest ago makes
//! room.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::Bound;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::same;
use super::transcript::{Entry, RadiusAnswer};
use crate::ends::TUNNEL_CLOSED;
use crate::event::Stage;
use crate::limits::{self, ShelfLimit};

/// What kind of end it is.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[schemars(rename = "FailureKind")]
pub enum Kind {
    /// A LAC was refused, or its tunnel never came up.
    Refused,
    /// A call never came up.
    Failed,
    /// A tunnel or session that was up has ended, for whatever reason.
    Ended,
}

/// Who failed, and how: what is counted together.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Subject {
    /// How far it had come.
    pub stage: Stage,
    /// Why: a label from a fixed list.
    pub reason: &'static str,
    /// The LAC's entry, if it has one.
    pub lac: Option<Arc<str>>,
    /// The LAC's address.
    pub remote: IpAddr,
    /// The name that the subscriber logged in with, or tried to.
    pub user: Option<Arc<[u8]>>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<str>>,
}

/// Something that failed or ended, once or many times.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The last time's number.
    pub number: Number,
    /// What kind of end it is.
    pub kind: Kind,
    /// Who and how.
    pub subject: Subject,
    /// How often.
    pub count: u64,
    /// When for the first time.
    pub first: Instant,
    /// The last time: the rest is of that, or of one less than [`limits::FAILURE_INTERVAL`] before.
    pub last: Last,
}

/// One time at which something failed or ended.
#[derive(Clone, Debug)]
pub struct Last {
    /// When.
    pub at: Instant,
    /// Where the LAC was.
    pub remote: SocketAddr,
    /// Its Host Name AVP.
    pub host_name: Option<Box<str>>,
    /// More of why: what the password was, or what the LAC said.
    pub detail: Option<Box<str>>,
    /// What RADIUS said last, if it was asked.
    pub radius: Option<Arc<RadiusAnswer>>,
    /// Our tunnel id.
    pub tunnel: Option<TunnelId>,
    /// Our session id.
    pub session: Option<SessionId>,
    /// The Calling Number AVP, where failures of all callers are counted together.
    pub calling_number: Option<Box<str>>,
    /// The Called Number AVP.
    pub called_number: Option<Box<str>>,
    /// The address that the subscriber had.
    pub address: Option<Ipv4Addr>,
    /// How long it was up; `None`: it never was.
    pub up: Option<Duration>,
    /// Calls that a tunnel took with it.
    pub sessions: u32,
    /// What was said and done before, oldest first; at most [`limits::FAILURE_ENTRIES`].
    pub transcript: Vec<Arc<Entry>>,
    /// More was said before, and is not kept.
    pub is_cut: bool,
}

/// Which failures are wanted: all that is given must match.
#[derive(Clone, Debug, Default)]
pub struct FailureFilter {
    /// The subscriber's name.
    pub user: Option<Box<[u8]>>,
    /// The LAC's entry.
    pub lac: Option<Box<str>>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<str>>,
    /// The LAC's address.
    pub remote: Option<IpAddr>,
    /// How far it had come.
    pub stage: Option<Stage>,
    /// What kind of end it is.
    pub kind: Option<Kind>,
    /// Seen at this time or later.
    pub since: Instant,
}

/// The number of the last time, counted over all failures: their order, and where a list goes on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Number(pub u64);

/// A part of the failures.
#[derive(Clone, Debug)]
pub struct FailurePage {
    /// What was found, the newest first.
    pub failures: Vec<Failure>,
    /// Where to go on; `None`: this was the last page.
    pub next: Option<Number>,
}

impl Failure {
    /// The Calling Number, of the last time where it is not what is counted.
    pub fn calling_number(&self) -> Option<&str> {
        let counted = self.subject.calling_number.as_deref();
        counted.or(self.last.calling_number.as_deref())
    }
}

impl FailureFilter {
    fn matches(&self, failure: &Failure) -> bool {
        let subject = &failure.subject;
        same(self.user.as_deref(), subject.user.as_deref())
            && same(self.lac.as_deref(), subject.lac.as_deref())
            && same(self.calling_number.as_deref(), failure.calling_number())
            && same(self.remote.as_ref(), Some(&subject.remote))
            && same(self.stage.as_ref(), Some(&subject.stage))
            && same(self.kind.as_ref(), Some(&failure.kind))
    }
}

/// All failures.
#[derive(Debug)]
pub(crate) struct Failures {
    strangers: Shelf,
    refused: Shelf,
    failed: Shelf,
    tunnels: Shelf,
    ended: Shelf,
    /// Calls that went with their tunnel.
    swept: Shelf,
    number: Number,
}

#[derive(Debug)]
struct Shelf {
    limit: ShelfLimit,
    by_number: BTreeMap<Number, Failure>,
    numbers: BTreeMap<Subject, Number>,
    /// Those that have a transcript, and what all transcripts take, octets.
    told: BTreeSet<Number>,
    octets: usize,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            strangers: Shelf::new(limits::FAILURES_STRANGERS),
            refused: Shelf::new(limits::FAILURES_REFUSED),
            failed: Shelf::new(limits::FAILURES_FAILED),
            tunnels: Shelf::new(limits::FAILURES_TUNNELS),
            ended: Shelf::new(limits::FAILURES_ENDED),
            swept: Shelf::new(limits::FAILURES_SWEPT),
            number: Number(0),
        }
    }
}

impl Failures {
    /// Notes that something has failed or ended. `transcript` is asked for what went before, unless
    /// the same happened less than [`limits::FAILURE_INTERVAL`] ago and is told already.
    pub(crate) fn note(
        &mut self,
        kind: Kind,
        subject: Subject,
        mut last: Last,
        transcript: impl FnOnce() -> (Vec<Arc<Entry>>, bool),
    ) {
        let now = last.at;
        let number = Number(self.number.0.saturating_add(1));
        self.number = number;
        let place = self.shelf(kind, &subject);
        let before = place.take(&subject);
        let told_at = |before: &Failure| Some(before.last.transcript.last()?.at);
        let is_told = before
            .as_ref()
            .and_then(told_at)
            .is_some_and(|at| now.since(at) < limits::FAILURE_INTERVAL);
        let (first, count) = before
            .as_ref()
            .map_or((now, 0), |before| (before.first, before.count));
        match before {
            // Ids and messages stay those of one call.
            Some(before) if is_told => {
                last = Last {
                    at: now,
                    ..before.last
                }
            }
            Some(_) | None => (last.transcript, last.is_cut) = transcript(),
        }
        place.put(Failure {
            number,
            kind,
            subject,
            count: count.saturating_add(1),
            first,
            last,
        });
        for shelf in self.shelves_mut() {
            shelf.forget(now);
        }
    }

    fn shelf(&mut self, kind: Kind, subject: &Subject) -> &mut Shelf {
        match kind {
            _ if subject.reason == TUNNEL_CLOSED => &mut self.swept,
            Kind::Refused if subject.lac.is_none() => &mut self.strangers,
            Kind::Refused => &mut self.refused,
            Kind::Failed => &mut self.failed,
            Kind::Ended if subject.stage == Stage::Tunnel => &mut self.tunnels,
            Kind::Ended => &mut self.ended,
        }
    }

    fn shelves_mut(&mut self) -> [&mut Shelf; 6] {
        let Self {
            strangers,
            refused,
            failed,
            tunnels,
            ended,
            swept,
            ..
        } = self;
        [strangers, refused, failed, tunnels, ended, swept]
    }

    fn shelves(&self) -> [&Shelf; 6] {
        let Self {
            strangers,
            refused,
            failed,
            tunnels,
            ended,
            swept,
            ..
        } = self;
        [strangers, refused, failed, tunnels, ended, swept]
    }

    /// The failures that match `filter` behind `after`, the newest first: at most `most`, among the next
    /// `look_at`.
    pub(crate) fn page(
        &self,
        filter: &FailureFilter,
        after: Option<Number>,
        (look_at, most): (usize, usize),
        now: Instant,
    ) -> FailurePage {
        let mut shelves = self
            .shelves()
            .map(|shelf| shelf.newest_before(after).peekable());
        let mut looked_at = 0_usize;
        let mut page = FailurePage {
            failures: Vec::new(),
            next: None,
        };
        loop {
            let newest = shelves
                .iter_mut()
                .map(|shelf| (shelf.peek().map(|(number, _)| **number), shelf))
                .max_by_key(|(number, _)| *number);
            let newest = newest.and_then(|(_, shelf)| shelf.next());
            let wanted = |failure: &Failure| {
                !is_old(failure.last.at, now) && failure.last.at >= filter.since
            };
            let Some((number, failure)) = newest.filter(|(_, failure)| wanted(failure)) else {
                page.next = None;
                return page;
            };
            if looked_at == look_at || page.failures.len() == most {
                return page;
            }
            looked_at = looked_at.saturating_add(1);
            page.next = Some(*number);
            if filter.matches(failure) {
                page.failures.push(failure.clone());
            }
        }
    }
}

impl Shelf {
    const fn new(limit: ShelfLimit) -> Self {
        Self {
            limit,
            by_number: BTreeMap::new(),
            numbers: BTreeMap::new(),
            told: BTreeSet::new(),
            octets: 0,
        }
    }

    fn put(&mut self, failure: Failure) {
        let octets = cost(&failure.last.transcript);
        if octets > 0 {
            self.told.insert(failure.number);
            self.octets = self.octets.saturating_add(octets);
        }
        self.numbers.insert(failure.subject.clone(), failure.number);
        self.by_number.insert(failure.number, failure);
    }

    fn take(&mut self, subject: &Subject) -> Option<Failure> {
        let number = self.numbers.remove(subject)?;
        let failure = self.by_number.remove(&number)?;
        self.untold(&failure);
        Some(failure)
    }

    /// A transcript is no longer kept.
    fn untold(&mut self, failure: &Failure) {
        if self.told.remove(&failure.number) {
            let octets = cost(&failure.last.transcript);
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    /// Forgets what is older than a day or too much, and the oldest transcripts when all take too much.
    fn forget(&mut self, now: Instant) {
        while self.by_number.len() > self.limit.failures
            || self.oldest().is_some_and(|at| is_old(at, now))
        {
            let Some((_, failure)) = self.by_number.pop_first() else {
                return;
            };
            self.numbers.remove(&failure.subject);
            self.untold(&failure);
        }
        while self.octets > self.limit.octets {
            let Some(number) = self.told.pop_first() else {
                return;
            };
            let Some(failure) = self.by_number.get_mut(&number) else {
                continue;
            };
            let octets = cost(&failure.last.transcript);
            failure.last.is_cut = true;
            failure.last.transcript = Vec::new();
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    /// When the one that was seen longest ago was seen.
    fn oldest(&self) -> Option<Instant> {
        let (_, failure) = self.by_number.first_key_value()?;
        Some(failure.last.at)
    }

    fn newest_before(&self, after: Option<Number>) -> impl Iterator<Item = (&Number, &Failure)> {
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_number.range((Bound::Unbounded, end)).rev()
    }
}

fn is_old(at: Instant, now: Instant) -> bool {
    now.since(at) > limits::FAILURE_AGE
}

/// Octets that a transcript takes, as if nobody else had its entries.
fn cost(transcript: &[Arc<Entry>]) -> usize {
    transcript.iter().map(|entry| entry.cost()).sum()
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests {
    use super::super::transcript::{Octets, What};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn subject(user: &str, reason: &'static str) -> Subject {
        Subject {
            stage: Stage::Authentication,
            reason,
            lac: Some("lab".into()),
            remote: [198, 51, 100, 1].into(),
            user: Some(user.as_bytes().into()),
            calling_number: Some("030".into()),
        }
    }

    fn last(at: Instant) -> Last {
        Last {
            at,
            remote: ([198, 51, 100, 1], 1701).into(),
            host_name: None,
            detail: None,
            radius: None,
            tunnel: Some(TunnelId(1)),
            session: Some(SessionId(2)),
            calling_number: None,
            called_number: None,
            address: None,
            up: None,
            sessions: 0,
            transcript: Vec::new(),
            is_cut: false,
        }
    }

    fn told(at: Instant, octets: usize) -> (Vec<Arc<Entry>>, bool) {
        let octets = Octets::cut(&vec![1; octets]);
        let entry = Entry::alone(at, What::Sent { octets });
        (vec![Arc::new(entry)], false)
    }

    fn fail(failures: &mut Failures, kind: Kind, user: &str, at: Instant) {
        failures.note(kind, subject(user, "wrong"), last(at), || told(at, 10));
    }

    fn all(failures: &Failures, filter: &FailureFilter, now: Instant) -> Vec<Failure> {
        failures
            .page(filter, None, (usize::MAX, usize::MAX), now)
            .failures
    }

    fn users(found: &[Failure]) -> Vec<&str> {
        let user = |failure: &Failure| failure.subject.user.clone().unwrap();
        found
            .iter()
            .map(|failure| match &*user(failure) {
                b"a" => "a",
                b"b" => "b",
                b"c" => "c",
                _ => "?",
            })
            .collect()
    }

    #[test]
    fn what_fails_again_in_the_same_way_is_counted() {
        let mut failures = Failures::default();
        for second in 0..10 {
            fail(
                &mut failures,
                Kind::Failed,
                "a",
                Instant::from_millis(second * 2_000),
            );
        }
        let now = Instant::from_millis(20_000);
        let found = all(&failures, &FailureFilter::default(), now);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].count, found[0].first), (10, Instant::ZERO));
        assert_eq!(found[0].last.at, Instant::from_millis(18_000));
        assert_eq!(found[0].last.transcript.len(), 1);
        failures.note(Kind::Failed, subject("a", "other"), last(now), || {
            told(now, 1)
        });
        assert_eq!(all(&failures, &FailureFilter::default(), now).len(), 2);
    }

    #[test]
    fn the_newest_comes_first_whatever_its_kind_and_pages_join_without_a_gap() {
        let mut failures = Failures::default();
        for (at, kind) in (0_u64..100).zip(
            [Kind::Ended, Kind::Failed, Kind::Refused, Kind::Failed]
                .into_iter()
                .cycle(),
        ) {
            let user = format!("user{at}");
            fail(&mut failures, kind, &user, Instant::from_millis(at / 3));
        }
        let now = Instant::from_millis(100);
        let whole = all(&failures, &FailureFilter::default(), now);
        assert!(whole.windows(2).all(|two| two[0].last.at >= two[1].last.at));
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let page = failures.page(&FailureFilter::default(), after, (7, 5), now);
            joined.extend(page.failures);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let names = |list: &[Failure]| -> Vec<_> {
            list.iter().map(|one| one.subject.user.clone()).collect()
        };
        assert_eq!((names(&joined), joined.len()), (names(&whole), 100));
    }

    #[test]
    fn a_filter_shows_what_matches_all_of_it() {
        let mut failures = Failures::default();
        for (user, hours) in [("a", 1), ("b", 2), ("c", 3)] {
            fail(
                &mut failures,
                Kind::Failed,
                user,
                Instant::ZERO + HOUR * hours,
            );
        }
        let now = Instant::ZERO + HOUR * 4;
        let found = |filter: FailureFilter| all(&failures, &filter, now).len();
        let none = FailureFilter::default;
        assert_eq!(found(none()), 3);
        assert_eq!(
            found(FailureFilter {
                user: Some((*b"b").into()),
                ..none()
            }),
            1
        );
        assert_eq!(
            found(FailureFilter {
                lac: Some("lab".into()),
                ..none()
            }),
            3
        );
        assert_eq!(
            found(FailureFilter {
                lac: Some("else".into()),
                ..none()
            }),
            0
        );
        assert_eq!(
            found(FailureFilter {
                calling_number: Some("03".into()),
                ..none()
            }),
            0
        );
        assert_eq!(
            found(FailureFilter {
                stage: Some(Stage::Lcp),
                ..none()
            }),
            0
        );
        assert_eq!(
            found(FailureFilter {
                kind: Some(Kind::Ended),
                ..none()
            }),
            0
        );
        assert_eq!(
            found(FailureFilter {
                remote: Some([1, 2, 3, 4].into()),
                ..none()
            }),
            0
        );
        let since = Instant::ZERO + HOUR * 2;
        let recent = all(&failures, &FailureFilter { since, ..none() }, now);
        assert_eq!(users(&recent), ["c", "b"]);
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten() {
        let mut failures = Failures::default();
        fail(&mut failures, Kind::Failed, "a", Instant::ZERO);
        fail(&mut failures, Kind::Ended, "b", Instant::ZERO + HOUR * 23);
        let now = Instant::ZERO + HOUR * 25;
        assert_eq!(
            users(&all(&failures, &FailureFilter::default(), now)),
            ["b"]
        );
        fail(&mut failures, Kind::Refused, "c", now);
        assert_eq!(failures.failed.by_number.len(), 0);
    }

    #[test]
    fn strangers_crowd_out_no_subscriber_ends_no_failure_and_sessions_no_tunnel() {
        let mut failures = Failures::default();
        let full = |at| {
            let one = told(at, 512).0;
            ((0..32).map(|_| Arc::clone(&one[0])).collect(), false)
        };
        let tunnel = Subject {
            stage: Stage::Tunnel,
            ..subject("a", "no_answer")
        };
        let stranger = |n: u64| Subject {
            lac: None,
            ..subject(&format!("stranger{n}"), "unknown_lac")
        };
        let user = |n: u64, reason| subject(&format!("user{n}"), reason);
        let note = |failures: &mut Failures, kind, who, at| {
            failures.note(kind, who, last(at), || full(at));
        };
        let start = Instant::ZERO;
        note(&mut failures, Kind::Failed, subject("a", "wrong"), start);
        note(&mut failures, Kind::Refused, subject("a", "refused"), start);
        note(&mut failures, Kind::Ended, tunnel, start);
        for n in 0..40_000 {
            let at = Instant::from_millis(n);
            note(&mut failures, Kind::Refused, stranger(n), at);
            note(&mut failures, Kind::Ended, user(n, "peer_terminated"), at);
            note(&mut failures, Kind::Ended, user(n, TUNNEL_CLOSED), at);
        }
        let filter = FailureFilter {
            user: Some((*b"a").into()),
            ..FailureFilter::default()
        };
        let kept = all(&failures, &filter, Instant::from_millis(40_000));
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|one| one.last.transcript.len() == 32));
        for shelf in failures.shelves() {
            assert!(shelf.by_number.len() <= shelf.limit.failures);
            assert!(shelf.numbers.len() == shelf.by_number.len());
            assert!(shelf.octets <= shelf.limit.octets);
        }
    }

    #[test]
    fn transcripts_take_no_more_than_their_limit_and_the_newest_stay() {
        let mut failures = Failures::default();
        for n in 0..16_000 {
            let subject = subject(&format!("user{n}"), "wrong");
            let many = || {
                let one = told(Instant::ZERO, 512).0;
                ((0..32).map(|_| Arc::clone(&one[0])).collect(), false)
            };
            failures.note(Kind::Failed, subject, last(Instant::from_millis(n)), many);
        }
        assert!(failures.failed.octets <= limits::FAILURES_FAILED.octets);
        let found = all(
            &failures,
            &FailureFilter::default(),
            Instant::from_millis(16_000),
        );
        assert_eq!(found.len(), 16_000);
        assert!(!found[0].last.transcript.is_empty() && !found[0].last.is_cut);
        let oldest = &found.last().unwrap().last;
        assert!(oldest.transcript.is_empty() && oldest.is_cut);
        let sum: usize = found.iter().map(|one| cost(&one.last.transcript)).sum();
        assert_eq!(sum, failures.failed.octets);
    }

    #[test]
    fn a_storm_of_the_same_failure_copies_its_messages_once_a_second() {
        let mut failures = Failures::default();
        let mut asked = 0;
        for at in 0..3_000 {
            let now = Instant::from_millis(at);
            let last = Last {
                session: Some(SessionId(u16::try_from(at).unwrap())),
                ..last(now)
            };
            failures.note(Kind::Failed, subject("a", "wrong"), last, || {
                asked += 1;
                told(now, 10)
            });
        }
        let now = Instant::from_millis(3_000);
        let found = all(&failures, &FailureFilter::default(), now);
        assert_eq!((found[0].count, asked), (3_000, 3));
        // The ids are those of the call whose messages they are.
        assert_eq!(found[0].last.session, Some(SessionId(2_000)));
        assert_eq!(found[0].last.transcript[0].at, Instant::from_millis(2_000));
        assert_eq!(found[0].last.at, Instant::from_millis(2_999));
    }
}
