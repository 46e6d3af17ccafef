//! What comes back from the API server (E3, E7).
//!
//! Only an answer that says that a write was done gives authority, counted from its send. All else makes
//! the elector look before it writes again.

use core::ops::Add as _;

use lns_tables::time::Instant;

use super::{Elector, Flight};
use crate::authority::Tenure;
use crate::record::{Epoch, Record, Stored};
use crate::request::{Answer, Operation, RequestId};
use crate::state::{Event, State};

impl Elector {
    /// An answer came. One that was no longer waited for is not used: its outcome was taken for unknown,
    /// and is looked at.
    pub fn handle_answer(&mut self, id: RequestId, answer: Answer, now: Instant) {
        self.expire(now);
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else {
            return;
        };
        self.due = Instant::add(flight.sent, self.profile.renew());
        match (flight.operation.clone(), answer) {
            (Operation::Read, Answer::Found(stored)) => self.found(stored, flight.sent, now),
            (Operation::Write { record, .. }, Answer::Written(revision)) => {
                self.written(Stored { record, revision }, flight.sent, now);
            }
            (Operation::Write { .. }, Answer::Conflict) => self.conflict(now),
            // What does not answer the question answers nothing.
            (Operation::Read, Answer::Written(_) | Answer::Conflict)
            | (Operation::Write { .. }, Answer::Found(_))
            | (Operation::Read | Operation::Write { .. }, Answer::Unknown) => self.unknown(&flight),
        }
    }

    /// Nobody knows whether it was done: look before anything is written (E3).
    pub(super) fn unknown(&mut self, flight: &Flight) {
        self.due = Instant::add(flight.sent, self.profile.renew());
        match flight.operation {
            Operation::Read => {}
            Operation::Write { .. } => self.blind = true,
        }
    }

    /// It was not done, because the record is another one than was thought.
    fn conflict(&mut self, now: Instant) {
        self.blind = true;
        self.due = now;
        if self.state == State::Acquiring {
            self.go(Event::Lost);
        }
    }

    fn found(&mut self, stored: Option<Stored>, sent: Instant, now: Instant) {
        self.blind = false;
        self.see(stored, sent, now);
        match self.state {
            State::Waiting | State::Closing | State::Stopped => {}
            // Even if it says what was written: a record that is found is never adopted (E5).
            State::Acquiring => {
                self.due = now;
                self.go(Event::Lost);
            }
            State::Holding | State::Extending | State::Releasing => self.found_as_master(now),
        }
    }

    /// The record says the master's own identity and epoch, or the master is none any more (E7).
    fn found_as_master(&mut self, now: Instant) {
        let ours = self
            .tenure
            .as_ref()
            .is_some_and(|tenure| self.is_named(tenure.epoch()));
        if !ours {
            let releasing = self.state == State::Releasing;
            self.go(if releasing {
                Event::Released
            } else {
                Event::Gone
            });
            return;
        }
        self.due = now;
        let base = self.view.base();
        if let (Some(tenure), Some(record)) = (&mut self.tenure, self.view.record()) {
            tenure.read(&record.roster, base.as_ref());
        }
    }

    fn written(&mut self, stored: Stored, sent: Instant, now: Instant) {
        let record = stored.record.clone();
        self.blind = false;
        self.see(Some(stored), sent, now);
        match self.state {
            State::Acquiring => self.won(&record, sent),
            State::Holding | State::Extending => {
                if let Some(tenure) = &mut self.tenure {
                    tenure.renew(sent, record.roster);
                }
                self.renewed(now);
            }
            State::Releasing => {
                // A renewal may have been out when the gate was closed.
                if record.released.as_ref() == Some(&self.me) {
                    self.go(Event::Released);
                } else {
                    self.due = now;
                }
            }
            // An acquiring write that a promise or time has voided landed: nobody's mastership.
            State::Waiting | State::Closing | State::Stopped => {}
        }
    }

    fn won(&mut self, record: &Record, sent: Instant) {
        let Some(attempt) = self.attempt.filter(|attempt| attempt.epoch == record.epoch) else {
            return;
        };
        self.tenure = Some(Tenure::new(attempt.epoch, sent, record.roster.clone()));
        self.go(Event::Won);
    }

    fn renewed(&mut self, now: Instant) {
        let by_lease = self
            .tenure
            .as_ref()
            .map(|tenure| tenure.by_lease(&self.profile));
        if self.state == State::Extending && by_lease.is_some_and(|until| now < until) {
            self.go(Event::Renewed);
        }
    }

    fn see(&mut self, stored: Option<Stored>, sent: Instant, now: Instant) {
        self.view.see(stored, sent, now, &self.profile);
        self.hear(self.view.epoch());
    }

    fn is_named(&self, epoch: Epoch) -> bool {
        self.view
            .record()
            .is_some_and(|record| record.names(&self.me, epoch))
    }
}
