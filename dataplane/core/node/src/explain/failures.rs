//! Why logins failed, LACs were refused, and calls and tunnels ended: a day back, in bounded memory.
//!
//! What fails again in the same way for the same subscriber, line and LAC is one failure with a count
//! and a first and a last time; the messages kept are those of the last time. Three shelves with a
//! bound each, so that strangers cannot crowd out subscribers, nor ordinary ends failed logins. The
//! failure that was seen longest ago makes room.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::Bound;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transcript::{Entry, What};
use crate::event::Stage;
use crate::limits;

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
    /// What kind of end it is.
    pub kind: Kind,
    /// Who and how.
    pub subject: Subject,
    /// How often.
    pub count: u64,
    /// When for the first time.
    pub first: Instant,
    /// The last time: the rest is of that.
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
    /// Our tunnel id.
    pub tunnel: Option<TunnelId>,
    /// Our session id.
    pub session: Option<SessionId>,
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

impl FailureFilter {
    fn matches(&self, failure: &Failure) -> bool {
        fn same<T: PartialEq + ?Sized>(wanted: Option<&T>, actual: Option<&T>) -> bool {
            wanted.is_none() || wanted == actual
        }
        let subject = &failure.subject;
        same(self.user.as_deref(), subject.user.as_deref())
            && same(self.lac.as_deref(), subject.lac.as_deref())
            && same(
                self.calling_number.as_deref(),
                subject.calling_number.as_deref(),
            )
            && same(self.remote.as_ref(), Some(&subject.remote))
            && same(self.stage.as_ref(), Some(&subject.stage))
            && same(self.kind.as_ref(), Some(&failure.kind))
    }
}

/// All failures.
#[derive(Debug)]
pub(crate) struct Failures {
    refused: Shelf,
    failed: Shelf,
    ended: Shelf,
    /// Those that have a transcript, and what all transcripts take, octets.
    told: BTreeSet<(Number, Kind)>,
    octets: usize,
    number: Number,
}

#[derive(Debug)]
struct Shelf {
    most: usize,
    by_number: BTreeMap<Number, Failure>,
    numbers: BTreeMap<Subject, Number>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            refused: Shelf::new(limits::FAILURES_REFUSED),
            failed: Shelf::new(limits::FAILURES_FAILED),
            ended: Shelf::new(limits::FAILURES_ENDED),
            told: BTreeSet::new(),
            octets: 0,
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
        self.number = Number(self.number.0.saturating_add(1));
        let number = self.number;
        let before = self.take(kind, &subject);
        let told_at = |before: &Failure| Some(before.last.transcript.last()?.at);
        let is_told = before
            .as_ref()
            .and_then(told_at)
            .is_some_and(|at| now.since(at) < limits::FAILURE_INTERVAL);
        let (first, count) = before
            .as_ref()
            .map_or((now, 0), |before| (before.first, before.count));
        (last.transcript, last.is_cut) = match before {
            Some(before) if is_told => (before.last.transcript, before.last.is_cut),
            Some(_) | None => transcript(),
        };
        let failure = Failure {
            kind,
            subject,
            count: count.saturating_add(1),
            first,
            last,
        };
        self.put(number, failure);
        self.forget(now);
    }

    fn shelf(&mut self, kind: Kind) -> &mut Shelf {
        match kind {
            Kind::Refused => &mut self.refused,
            Kind::Failed => &mut self.failed,
            Kind::Ended => &mut self.ended,
        }
    }

    fn put(&mut self, number: Number, failure: Failure) {
        let kind = failure.kind;
        let octets = cost(&failure.last.transcript);
        if octets > 0 {
            self.told.insert((number, kind));
            self.octets = self.octets.saturating_add(octets);
        }
        let is_full = {
            let on = self.shelf(kind);
            on.put(number, failure);
            on.by_number.len() > on.most
        };
        if is_full {
            self.drop_oldest(kind);
        }
    }

    fn take(&mut self, kind: Kind, subject: &Subject) -> Option<Failure> {
        let (number, failure) = self.shelf(kind).take(subject)?;
        self.untold(number, &failure);
        Some(failure)
    }

    fn drop_oldest(&mut self, kind: Kind) {
        if let Some((number, failure)) = self.shelf(kind).by_number.pop_first() {
            self.shelf(kind).numbers.remove(&failure.subject);
            self.untold(number, &failure);
        }
    }

    /// A transcript is no longer kept.
    fn untold(&mut self, number: Number, failure: &Failure) {
        if self.told.remove(&(number, failure.kind)) {
            let octets = cost(&failure.last.transcript);
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    /// Forgets what is older than a day, and the oldest transcripts when all take too much.
    fn forget(&mut self, now: Instant) {
        for kind in [Kind::Refused, Kind::Failed, Kind::Ended] {
            while self
                .shelf(kind)
                .oldest()
                .is_some_and(|age| is_old(age, now))
            {
                self.drop_oldest(kind);
            }
        }
        while self.octets > limits::FAILURE_OCTETS {
            let Some((number, kind)) = self.told.pop_first() else {
                return;
            };
            let Some(failure) = self.shelf(kind).by_number.get_mut(&number) else {
                continue;
            };
            let octets = cost(&failure.last.transcript);
            failure.last.is_cut = true;
            failure.last.transcript = Vec::new();
            self.octets = self.octets.saturating_sub(octets);
        }
    }

    /// The failures that match `filter` among the next `limit` behind `after`, the newest first.
    pub(crate) fn page(
        &self,
        filter: &FailureFilter,
        after: Option<Number>,
        limit: usize,
        now: Instant,
    ) -> FailurePage {
        let mut shelves = [&self.refused, &self.failed, &self.ended]
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
            let Some((number, failure)) = newest.and_then(|(_, shelf)| shelf.next()) else {
                page.next = None;
                return page;
            };
            if is_old(failure.last.at, now) || failure.last.at < filter.since {
                page.next = None;
                return page;
            }
            if looked_at == limit {
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
    const fn new(most: usize) -> Self {
        Self {
            most,
            by_number: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    fn put(&mut self, number: Number, failure: Failure) {
        self.numbers.insert(failure.subject.clone(), number);
        self.by_number.insert(number, failure);
    }

    fn take(&mut self, subject: &Subject) -> Option<(Number, Failure)> {
        let number = self.numbers.remove(subject)?;
        Some((number, self.by_number.remove(&number)?))
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
    let cost = |entry: &Arc<Entry>| {
        let octets = match &entry.what {
            What::Received { octets, .. } | What::Sent { octets } => octets.octets.len(),
            What::Step(_) => 0,
        };
        octets.saturating_add(size_of::<Entry>())
    };
    transcript.iter().map(cost).sum()
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod tests {
    use super::super::transcript::Octets;
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
            tunnel: Some(TunnelId(1)),
            session: Some(SessionId(2)),
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
        failures.page(filter, None, usize::MAX, now).failures
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
            let page = failures.page(&FailureFilter::default(), after, 7, now);
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
    fn strangers_crowd_out_no_subscriber_and_ends_no_failure() {
        let mut failures = Failures::default();
        fail(&mut failures, Kind::Failed, "a", Instant::ZERO);
        for n in 0..100_000 {
            let at = Instant::from_millis(n);
            fail(&mut failures, Kind::Refused, &format!("stranger{n}"), at);
            fail(&mut failures, Kind::Ended, &format!("user{n}"), at);
        }
        let now = Instant::from_millis(100_000);
        let filter = FailureFilter {
            kind: Some(Kind::Failed),
            ..FailureFilter::default()
        };
        assert_eq!(users(&all(&failures, &filter, now)), ["a"]);
        assert_eq!(failures.refused.by_number.len(), limits::FAILURES_REFUSED);
        assert_eq!(failures.ended.by_number.len(), limits::FAILURES_ENDED);
        assert_eq!(failures.ended.numbers.len(), limits::FAILURES_ENDED);
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
        assert!(failures.octets <= limits::FAILURE_OCTETS);
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
        assert_eq!(sum, failures.octets);
    }

    #[test]
    fn a_storm_of_the_same_failure_copies_its_messages_once_a_second() {
        let mut failures = Failures::default();
        let mut asked = 0;
        for at in 0..3_000 {
            let at = Instant::from_millis(at);
            failures.note(Kind::Failed, subject("a", "wrong"), last(at), || {
                asked += 1;
                told(at, 10)
            });
        }
        let now = Instant::from_millis(3_000);
        let found = all(&failures, &FailureFilter::default(), now);
        assert_eq!((found[0].count, asked), (3_000, 3));
    }
}
