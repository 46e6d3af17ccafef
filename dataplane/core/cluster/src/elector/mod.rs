//! The elector of one node: its state, what time does to it, and what it may say.
//!
//! Call order: any `handle_*`, then `poll_transition`, `poll_request` and `poll_ask` until each has
//! nothing more, then sleep until [`Elector::poll_timeout`]. [`Elector::authority`] may be asked at any
//! time and changes nothing; it is right even if nobody has polled for a while.
//!
//! `requests` has what goes to the API server, `answers` what comes back, `members` the promises.

mod answers;
mod members;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use lns_tables::time::Instant;

use crate::authority::{Authority, Tenure};
use crate::candidacy::Candidacy;
use crate::limits::TRANSITIONS;
use crate::profile::Profile;
use crate::record::{Epoch, Identity, NodeName, Serial};
use crate::request::{Operation, RequestId};
use crate::roster::Roster;
use crate::state::{Event, State, Transition, step};
use crate::view::View;

/// The elector of one node.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Elector {
    me: Identity,
    profile: Profile,
    /// There is no roster: who can write the Lease may acquire, and nobody can promise for all others.
    open: bool,
    /// Whether it is to acquire.
    candidacy: Candidacy,
    state: State,
    view: View,
    /// The highest epoch that was heard of, from anywhere: the Lease, the store, members, itself (E4).
    highest: Epoch,
    /// The highest that somebody is known to have held; attempts of its own do not count.
    held: Epoch,
    /// The acquiring write that may still become a mastership.
    attempt: Option<Attempt>,
    /// The mastership; while it is being given up, what there is to release.
    tenure: Option<Tenure>,
    /// Until when it has promised to acquire nothing.
    promised: Instant,
    /// The roster that it is to write when it is master.
    wanted: Option<Roster>,
    /// The store has no fence, and nobody knows a roster: it may create the first record.
    may_found: bool,
    serial: Serial,
    flight: Option<Flight>,
    last_id: RequestId,
    /// When the next look or renewal is due.
    due: Instant,
    /// What the record is now is not known: it is read before it is written (E3).
    blind: bool,
    questions: Questions,
    transitions: VecDeque<Transition>,
    refused: u32,
}

/// An acquiring write.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Attempt {
    epoch: Epoch,
    /// Until when an answer makes it a mastership: as long as the authority that it would give, and as
    /// long as what it was based on is not too old, for it may have landed on a store that was put back
    /// in between (E10).
    until: Instant,
}

/// The request that is out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Flight {
    id: RequestId,
    sent: Instant,
    operation: Operation,
}

/// A round of questions for promises.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Questions {
    /// When the next round begins.
    next: Instant,
    /// Who is still to be asked in this one.
    left: VecDeque<NodeName>,
}

impl Elector {
    /// An elector that has seen nothing yet.
    pub fn new(me: Identity, profile: Profile) -> Self {
        Self::of(me, profile, false)
    }

    /// One of an election without a roster, for replicas that nobody lists. Whoever can write the Lease
    /// may acquire; nobody is asked for a promise, so no authority outlasts the Lease's time.
    pub fn open(me: Identity, profile: Profile) -> Self {
        Self::of(me, profile, true)
    }

    fn of(me: Identity, profile: Profile, open: bool) -> Self {
        Self {
            me,
            profile,
            open,
            candidacy: Candidacy::Full,
            state: State::Waiting,
            view: View::default(),
            highest: Epoch::NONE,
            held: Epoch::NONE,
            attempt: None,
            tenure: None,
            promised: Instant::ZERO,
            wanted: None,
            may_found: false,
            serial: Serial::default(),
            flight: None,
            last_id: RequestId::default(),
            due: Instant::ZERO,
            blind: true,
            questions: Questions::default(),
            transitions: VecDeque::new(),
            refused: 0,
        }
    }

    /// Its own identity.
    pub const fn me(&self) -> &Identity {
        &self.me
    }

    /// Where it is. It may have lapsed since: [`Self::authority`] is what counts.
    pub const fn state(&self) -> State {
        self.state
    }

    /// What it has seen of the record.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Events that came in a state that does not know them: a defect, if it is not zero.
    pub const fn refused(&self) -> u32 {
        self.refused
    }

    /// What it may do in the cluster's name, and for how long (E1).
    pub fn authority(&self, now: Instant) -> Option<Authority> {
        let until = self.authority_until(now).filter(|until| now < *until)?;
        let tenure = self.tenure.as_ref()?;
        let vouched = if self.open {
            tenure.renewed()
        } else {
            tenure.vouched(self.me.node(), now)
        };
        Some(Authority {
            epoch: tenure.epoch(),
            until,
            vouched,
        })
    }

    /// The next step to be told.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// Until when it has authority, if it is master.
    fn authority_until(&self, now: Instant) -> Option<Instant> {
        let tenure = self.tenure.as_ref()?;
        let by_lease = tenure.by_lease(&self.profile);
        match self.state {
            State::Holding | State::Extending if self.open => Some(by_lease),
            State::Holding | State::Extending => {
                let by_promises = tenure.by_promises(self.me.node(), now, &self.profile);
                Some(by_promises.map_or(by_lease, |until| until.max(by_lease)))
            }
            State::Waiting
            | State::Acquiring
            | State::Closing
            | State::Releasing
            | State::Stopped => None,
        }
    }

    /// What time alone has done. First in whatever is handled or polled: an answer that comes after the
    /// end brings nothing back.
    fn expire(&mut self, now: Instant) {
        match self.state {
            State::Acquiring if self.attempt_until().is_none_or(|until| until <= now) => {
                self.go(Event::Lapsed);
            }
            State::Holding | State::Extending if self.authority(now).is_none() => {
                self.go(Event::Lapsed);
            }
            State::Holding => {
                let by_lease = self
                    .tenure
                    .as_ref()
                    .map(|tenure| tenure.by_lease(&self.profile));
                if by_lease.is_none_or(|until| until <= now) {
                    self.go(Event::Extended);
                }
            }
            State::Waiting
            | State::Acquiring
            | State::Extending
            | State::Closing
            | State::Releasing
            | State::Stopped => {}
        }
    }

    fn attempt_until(&self) -> Option<Instant> {
        Some(self.attempt?.until)
    }

    /// Follows the table. What it does not know is counted and ends whatever there is: no authority
    /// comes of a defect.
    fn go(&mut self, on: Event) {
        let from = self.state;
        let to = step(from, on).unwrap_or_else(|| {
            self.refused = self.refused.saturating_add(1);
            if from == State::Stopped {
                from
            } else {
                State::Waiting
            }
        });
        let epoch = self.tenure.as_ref().map(Tenure::epoch);
        let epoch = epoch.or(self.attempt.map(|attempt| attempt.epoch));
        self.state = to;
        if to != State::Acquiring {
            self.attempt = None;
        }
        if matches!(to, State::Waiting | State::Stopped) {
            self.tenure = None;
        }
        if self.transitions.len() >= TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back(Transition {
            from,
            on,
            to,
            epoch: epoch.unwrap_or_default(),
        });
    }

    /// Somebody held this epoch.
    fn hear(&mut self, epoch: Epoch) {
        self.held = self.held.max(epoch);
        self.highest = self.highest.max(epoch);
    }
}
