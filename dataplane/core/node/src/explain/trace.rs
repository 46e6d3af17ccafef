//! Those who follow what is going on, live.
//!
//! A trace sees what its filter matches, from the moment at which it matches; a subscriber whose name
//! becomes known is shown from its first message on, out of the transcript. While nobody follows
//! anything, this costs one comparison per message.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;
use std::sync::Arc;

use lns_wire::id::{SessionId, TunnelId};

use super::same;
use super::transcript::Entry;
use crate::limits;

/// A trace that is going on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceId(u64);

/// Too many traces are going on: [`limits::TRACES`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManyTraces;

/// What is to be followed: all that is given must match. A message of a tunnel has no user and no
/// calling number.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TraceFilter {
    /// The name that a subscriber logs in with.
    pub user: Option<Box<[u8]>>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<str>>,
    /// The LAC entry.
    pub lac: Option<Box<str>>,
    /// The LAC's address, whether it has an entry or not.
    pub remote: Option<IpAddr>,
    /// Our tunnel id.
    pub tunnel: Option<TunnelId>,
    /// Our session id.
    pub session: Option<SessionId>,
}

/// One line of a trace.
#[derive(Clone, Debug)]
pub struct TraceLine {
    /// What was said or done.
    pub entry: Arc<Entry>,
    /// Whose it was.
    pub subject: Subject,
    /// Lines that were left out before this one, because too many waited to be taken.
    pub missed: u64,
}

/// Whose message or step it is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Our tunnel id; `None`: it has no tunnel.
    pub tunnel: Option<TunnelId>,
    /// Our session id, where it is about a call.
    pub session: Option<SessionId>,
    /// The LAC's entry, if it has one.
    pub lac: Option<Arc<str>>,
    /// The subscriber's name, once it is known.
    pub user: Option<Arc<[u8]>>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<str>>,
    /// Our end.
    pub local: SocketAddr,
    /// The LAC's end.
    pub remote: SocketAddr,
}

impl TraceFilter {
    /// Whether all that it names is this subject's.
    fn matches(&self, subject: &Subject) -> bool {
        same(self.user.as_deref(), subject.user.as_deref())
            && same(
                self.calling_number.as_deref(),
                subject.calling_number.as_deref(),
            )
            && same(self.lac.as_deref(), subject.lac.as_deref())
            && same(self.remote.as_ref(), Some(&subject.remote.ip()))
            && same(self.tunnel.as_ref(), subject.tunnel.as_ref())
            && same(self.session.as_ref(), subject.session.as_ref())
    }
}

/// All traces.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    traces: Vec<Trace>,
    begun: u64,
}

#[derive(Debug)]
struct Trace {
    id: TraceId,
    filter: TraceFilter,
    lines: VecDeque<TraceLine>,
    missed: u64,
}

impl Traces {
    /// Begins one.
    ///
    /// # Errors
    /// [`TooManyTraces`].
    pub(crate) fn begin(&mut self, filter: TraceFilter) -> Result<TraceId, TooManyTraces> {
        if self.traces.len() >= limits::TRACES {
            return Err(TooManyTraces);
        }
        self.begun = self.begun.saturating_add(1);
        let id = TraceId(self.begun);
        self.traces.push(Trace {
            id,
            filter,
            lines: VecDeque::new(),
            missed: 0,
        });
        Ok(id)
    }

    /// Ends one.
    pub(crate) fn end(&mut self, id: TraceId) {
        self.traces.retain(|trace| trace.id != id);
    }

    /// Whether nobody follows anything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// Shows an entry to all who follow its subject.
    pub(crate) fn show(&mut self, entry: &Arc<Entry>, subject: &Subject) {
        let following = self.traces.iter_mut();
        for trace in following.filter(|trace| trace.filter.matches(subject)) {
            trace.push(entry, subject);
        }
    }

    /// The subject's name has just become known: shows what went before to those who wait for that
    /// name.
    pub(crate) fn show_earlier(&mut self, entries: &[Arc<Entry>], subject: &Subject) {
        let waiting =
            |trace: &&mut Trace| trace.filter.user.is_some() && trace.filter.matches(subject);
        for trace in self.traces.iter_mut().filter(waiting) {
            for entry in entries {
                trace.push(entry, subject);
            }
        }
    }

    /// The next line of a trace.
    pub(crate) fn poll(&mut self, id: TraceId) -> Option<TraceLine> {
        self.find(id)?.lines.pop_front()
    }

    fn find(&mut self, id: TraceId) -> Option<&mut Trace> {
        self.traces.iter_mut().find(|trace| trace.id == id)
    }
}

impl Trace {
    fn push(&mut self, entry: &Arc<Entry>, subject: &Subject) {
        if self.lines.len() >= limits::TRACE_LINES {
            self.missed = self.missed.saturating_add(1);
            return;
        }
        self.lines.push_back(TraceLine {
            entry: Arc::clone(entry),
            subject: subject.clone(),
            missed: core::mem::take(&mut self.missed),
        });
    }
}

#[cfg(test)]
mod tests {
    use lns_tables::time::Instant;

    use super::super::transcript::{Step, What};
    use super::*;

    fn entry() -> Arc<Entry> {
        let step = Step::Ended { reason: "test" };
        Arc::new(Entry::alone(Instant::ZERO, What::Step(step)))
    }

    fn subject(user: Option<&[u8]>) -> Subject {
        Subject {
            tunnel: Some(TunnelId(7)),
            session: Some(SessionId(9)),
            lac: Some("lab".into()),
            user: user.map(Into::into),
            calling_number: Some("030".into()),
            local: ([192, 0, 2, 1], 1701).into(),
            remote: ([198, 51, 100, 1], 1701).into(),
        }
    }

    #[test]
    fn everything_that_a_filter_names_must_match() {
        let all = TraceFilter {
            user: Some((*b"alice").into()),
            calling_number: Some("030".into()),
            lac: Some("lab".into()),
            remote: Some([198, 51, 100, 1].into()),
            tunnel: Some(TunnelId(7)),
            session: Some(SessionId(9)),
        };
        let subject = subject(Some(b"alice"));
        assert!(all.matches(&subject) && TraceFilter::default().matches(&subject));
        let others: [fn(&mut TraceFilter); 6] = [
            |filter| filter.user = Some((*b"bob").into()),
            |filter| filter.calling_number = Some("031".into()),
            |filter| filter.lac = Some("other".into()),
            |filter| filter.remote = Some([198, 51, 100, 2].into()),
            |filter| filter.tunnel = Some(TunnelId(8)),
            |filter| filter.session = Some(SessionId(8)),
        ];
        for other in others {
            let mut filter = all.clone();
            other(&mut filter);
            assert!(!filter.matches(&subject), "{filter:?}");
        }
    }

    #[test]
    fn a_trace_that_nobody_reads_is_bounded_and_says_how_much_it_missed() {
        let mut traces = Traces::default();
        let id = traces.begin(TraceFilter::default()).unwrap();
        for _ in 0..limits::TRACE_LINES + 3 {
            traces.show(&entry(), &subject(None));
        }
        for _ in 0..limits::TRACE_LINES {
            assert_eq!(traces.poll(id).map(|line| line.missed), Some(0));
        }
        assert!(traces.poll(id).is_none());
        for missed in [3, 0] {
            traces.show(&entry(), &subject(None));
            assert_eq!(traces.poll(id).map(|line| line.missed), Some(missed));
        }
    }

    #[test]
    fn there_are_so_many_traces_and_no_more_until_one_ends() {
        let mut traces = Traces::default();
        let begun: Vec<_> = (0..limits::TRACES)
            .map(|_| traces.begin(TraceFilter::default()).unwrap())
            .collect();
        assert_eq!(traces.begin(TraceFilter::default()), Err(TooManyTraces));
        traces.end(begun[0]);
        assert!(traces.begin(TraceFilter::default()).is_ok());
    }

    #[test]
    fn what_went_before_is_shown_to_those_only_who_wait_for_a_name() {
        let mut traces = Traces::default();
        let by_lac = TraceFilter {
            lac: Some("lab".into()),
            ..TraceFilter::default()
        };
        let by_user = TraceFilter {
            user: Some((*b"alice").into()),
            ..TraceFilter::default()
        };
        let (lac, user) = (
            traces.begin(by_lac).unwrap(),
            traces.begin(by_user).unwrap(),
        );
        traces.show(&entry(), &subject(None));
        traces.show_earlier(&[entry()], &subject(Some(b"alice")));
        assert!(traces.poll(lac).is_some() && traces.poll(lac).is_none());
        assert!(traces.poll(user).is_some() && traces.poll(user).is_none());
    }
}
