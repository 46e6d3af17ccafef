//! What other members and the store say: promises, epochs, rosters (E4, the promise protocol).

use core::ops::Add as _;

use lns_tables::time::Instant;

use super::Elector;
use crate::candidacy::Candidacy;
use crate::promise::{Ask, Promise, Refusal};
use crate::record::{Epoch, NodeName};
use crate::roster::Roster;
use crate::state::{Event, State};

impl Elector {
    /// A master asks for a promise. Whoever gives one acquires nothing for [`Profile::promise`], and
    /// what it has tried and not won is void, whether it lands or not.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// [`Profile::promise`]: crate::Profile::promise
    pub fn handle_ask(&mut self, ask: &Ask, now: Instant) -> Result<Promise, Refusal> {
        self.expire(now);
        self.may_promise(ask)?;
        self.hear(ask.epoch);
        self.promised = self.promised.max(Instant::add(now, self.profile.promise()));
        if self.state == State::Acquiring {
            self.go(Event::Voided);
        }
        Ok(Promise {
            from: self.me.node().clone(),
            holder: ask.holder.clone(),
            epoch: ask.epoch,
            sent: ask.sent,
        })
    }

    /// A member promised. It counts from the send of the question, and only while there is something
    /// to prolong.
    pub fn handle_promise(&mut self, promise: &Promise, now: Instant) {
        self.expire(now);
        let me = self.me.node().clone();
        let is_mine = promise.holder == self.me && promise.sent <= now;
        let Some(tenure) = &mut self.tenure else {
            return;
        };
        if is_mine && promise.epoch == tenure.epoch() && tenure.others(&me).contains(&promise.from)
        {
            tenure.promises().take(&promise.from, promise.sent);
        }
    }

    /// The next member to be asked for a promise, and what: when renewals fail, once per renewal.
    pub fn poll_ask(&mut self, now: Instant) -> Option<(NodeName, Ask)> {
        self.expire(now);
        if self.next_question_at().is_none_or(|at| now < at) {
            return None;
        }
        let tenure = self.tenure.as_ref()?;
        if self.questions.left.is_empty() {
            self.questions.left = tenure.others(self.me.node()).iter().cloned().collect();
            self.questions.next = Instant::add(now, self.profile.renew());
        }
        let to = self.questions.left.pop_front()?;
        let ask = Ask {
            holder: self.me.clone(),
            epoch: tenure.epoch(),
            sent: now,
        };
        Some((to, ask))
    }

    /// The store or a member knows of this epoch: whoever acquires takes a higher one, for a Lease that
    /// was put back to an earlier state does not know it (E4).
    pub fn handle_epoch(&mut self, epoch: Epoch) {
        self.hear(epoch);
    }

    /// The store has no fence and no member knows a roster: this node may create the first record.
    pub fn handle_nobody_knows(&mut self) {
        self.may_found = true;
    }

    /// Whether it is to acquire from now on. What it holds, and a write that is out, stay what they are.
    pub const fn handle_candidacy(&mut self, candidacy: Candidacy) {
        self.candidacy = candidacy;
    }

    /// The roster that the Lease shall have. The master writes it with its next renewal; it is always on
    /// it itself. An open election has none.
    pub fn handle_roster(&mut self, roster: Roster) {
        if self.open {
            return;
        }
        let mut roster = roster;
        // A full roster without the node itself is no roster of its cluster.
        if roster.insert(self.me.node().clone()).is_ok() {
            self.wanted = Some(roster);
        }
    }

    fn may_promise(&self, ask: &Ask) -> Result<(), Refusal> {
        if ask.holder.node() == self.me.node() {
            return Err(Refusal::OwnNode);
        }
        if matches!(self.state, State::Holding | State::Extending) {
            return Err(Refusal::Master);
        }
        if ask.epoch < self.held {
            return Err(Refusal::OldEpoch);
        }
        if self.view.contradicts(&ask.holder, ask.epoch) {
            return Err(Refusal::NotInLease);
        }
        Ok(())
    }

    /// When the next question is due.
    pub(super) fn next_question_at(&self) -> Option<Instant> {
        let tenure = self.tenure.as_ref()?;
        if !matches!(self.state, State::Holding | State::Extending) {
            return None;
        }
        let overdue = Instant::add(tenure.renewed(), self.profile.overdue());
        if !self.questions.left.is_empty() {
            return Some(overdue);
        }
        let alone = tenure.others(self.me.node()).is_empty();
        (!alone).then(|| overdue.max(self.questions.next))
    }

    /// When the Lease's time is over, for who is master by it.
    pub(super) fn lease_ends(&self) -> Option<Instant> {
        let tenure = self
            .tenure
            .as_ref()
            .filter(|_| self.state == State::Holding)?;
        Some(tenure.by_lease(&self.profile))
    }
}
