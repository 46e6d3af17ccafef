//! What goes to the API server: looks, renewals, the acquiring write, the release (E2, E3, E4, E6).

use core::ops::Add as _;

use lns_tables::time::Instant;

use super::{Attempt, Elector, Flight};
use crate::candidacy::Candidacy;
use crate::record::{Epoch, Identity, Record};
use crate::request::{Operation, Request};
use crate::roster::Roster;
use crate::state::{Event, State};

impl Elector {
    /// What is to be asked of the API server now. One request is out at a time.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        self.expire(now);
        self.give_up(now);
        if self.flight.is_some() {
            return None;
        }
        let operation = self.next_operation(now)?;
        self.last_id = self.last_id.next(now);
        self.flight = Some(Flight {
            id: self.last_id,
            sent: now,
            operation: operation.clone(),
        });
        Some(Request {
            id: self.last_id,
            operation,
        })
    }

    /// When something is to be done, if nothing comes in before; it may be past.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let request = match &self.flight {
            Some(flight) => Some(Instant::add(flight.sent, self.profile.patience())),
            None => self.next_request_at(now),
        };
        let ends = [
            request,
            self.attempt_until(),
            self.lease_ends(),
            self.authority_until(now),
            self.next_question_at(),
        ];
        ends.into_iter().flatten().min()
    }

    /// The shell has seen that the record has changed, or may have, or wants to know whether it still is as it was: look
    /// now, or renew. What a watch says is not used itself, for it may be old.
    pub fn handle_hint(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }

    /// The node is to stop. A master has no authority from here on; it releases the Lease once
    /// [`Self::handle_closed`] says that nothing leaves any more.
    pub fn handle_stop(&mut self, now: Instant) {
        self.expire(now);
        match self.state {
            State::Waiting | State::Acquiring | State::Holding | State::Extending => {
                self.go(Event::Stop);
            }
            State::Closing | State::Releasing | State::Stopped => {}
        }
    }

    /// The route is withdrawn, the gate closed, accounting stopped (E6).
    pub fn handle_closed(&mut self, now: Instant) {
        if self.state == State::Closing {
            self.go(Event::Closed);
            self.due = now;
        }
    }

    /// A request that is waited for no longer has an unknown outcome.
    fn give_up(&mut self, now: Instant) {
        let patience = self.profile.patience();
        let is_over = |flight: &Flight| Instant::add(flight.sent, patience) <= now;
        if let Some(flight) = self.flight.take_if(|flight| is_over(flight)) {
            self.unknown(&flight);
        }
    }

    fn next_operation(&mut self, now: Instant) -> Option<Operation> {
        if self.may_acquire(now) {
            return self.acquire(now);
        }
        if self.next_request_at(now).is_none_or(|at| now < at) {
            return None;
        }
        if self.blind || self.state == State::Waiting {
            return Some(Operation::Read);
        }
        match self.state {
            State::Holding => {
                let epoch = self.tenure.as_ref()?.epoch();
                let roster = self.roster_to_write()?;
                Some(self.renewal(epoch, roster, now))
            }
            // While members' promises carry it, the roster that they were asked by stays.
            State::Extending => {
                let tenure = self.tenure.as_ref()?;
                let (epoch, roster) = (tenure.epoch(), tenure.roster().clone());
                Some(self.renewal(epoch, roster, now))
            }
            State::Releasing => self.release(now),
            State::Waiting | State::Acquiring | State::Closing | State::Stopped => None,
        }
    }

    /// When the next request goes out, if none is out.
    fn next_request_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Waiting => Some(
                self.acquires_at(now)
                    .map_or(self.due, |at| at.min(self.due)),
            ),
            State::Acquiring | State::Holding | State::Extending | State::Releasing => {
                Some(self.due)
            }
            State::Closing | State::Stopped => None,
        }
    }

    fn may_acquire(&self, now: Instant) -> bool {
        self.state == State::Waiting && self.acquires_at(now).is_some_and(|at| at <= now)
    }

    /// From when on it may acquire, as far as it knows: D has passed (E2, E9), its promise too, and it
    /// is on the roster. None if what it knows is too old, or will be then: a look comes first (E10).
    fn acquires_at(&self, now: Instant) -> Option<Instant> {
        if self.blind || self.eligible().is_none() || self.highest.next().is_none() {
            return None;
        }
        let free = self.view.free_at(&self.profile)?;
        let free = match self.candidacy {
            Candidacy::Full => free,
            Candidacy::Last => Instant::add(free, self.profile.wait()),
            Candidacy::No => return None,
        };
        let at = free.max(self.promised);
        (at.max(now) <= self.view.fresh_until(&self.profile)?).then_some(at)
    }

    /// The roster of the record that it would write, if it is on it.
    fn eligible(&self) -> Option<Roster> {
        if self.open {
            return Some(Roster::default());
        }
        let me = self.me.node();
        let known = self.view.roster();
        if known.is_empty() {
            return self.may_found.then(|| Roster::lone(me.clone()));
        }
        known.contains(me).then(|| known.clone())
    }

    /// The acquiring write, with an epoch above all that it ever heard of (E4).
    fn acquire(&mut self, now: Instant) -> Option<Operation> {
        let roster = self.eligible()?;
        let epoch = self.highest.next()?;
        self.highest = epoch;
        let by_hold = Instant::add(now, self.profile.hold());
        let until = by_hold.min(self.view.fresh_until(&self.profile)?);
        self.attempt = Some(Attempt { epoch, until });
        self.go(Event::Due);
        Some(self.write(Some(self.me.clone()), epoch, None, roster, now))
    }

    fn renewal(&mut self, epoch: Epoch, roster: Roster, now: Instant) -> Operation {
        let base = self.view.base();
        if let Some(tenure) = &mut self.tenure {
            tenure.propose(&roster, base);
        }
        self.write(Some(self.me.clone()), epoch, None, roster, now)
    }

    /// Nobody holds any more, and the last one says so itself (E9).
    fn release(&mut self, now: Instant) -> Option<Operation> {
        let tenure = self.tenure.as_ref()?;
        let (epoch, roster) = (tenure.epoch(), tenure.roster().clone());
        Some(self.write(None, epoch, Some(self.me.clone()), roster, now))
    }

    fn write(
        &mut self,
        holder: Option<Identity>,
        epoch: Epoch,
        released: Option<Identity>,
        roster: Roster,
        now: Instant,
    ) -> Operation {
        self.serial = self.serial.next(now);
        let record = Record {
            holder,
            epoch,
            serial: self.serial,
            released,
            roster,
        };
        Operation::Write {
            record,
            base: self.view.base(),
        }
    }

    /// The roster that is wanted, and the node itself.
    fn roster_to_write(&self) -> Option<Roster> {
        let current = self.tenure.as_ref()?.roster();
        Some(self.wanted.as_ref().unwrap_or(current).clone())
    }
}
