//! I1, I2, I4: who may speak, as it follows from what the Lease was made to say and what members promised.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lns_cluster::{Authority, Epoch, Identity, NodeName, Promise, Record, Roster};
use lns_tables::time::Instant;

use super::{Finding, Invariant, Judge};
use crate::cluster::plan::Plan;

/// Masterships that are kept in mind.
const KEPT: usize = 16;

/// By how much a span on a site's clock may be longer in the world.
const SLOWEST: f64 = 1.01;

/// What the Lease was made to say of a mastership, and who promised.
#[derive(Debug)]
struct Tenure {
    holder: Identity,
    epoch: Epoch,
    /// When the last write that landed was sent.
    sent: Instant,
    rosters: Vec<Roster>,
    promised: BTreeMap<NodeName, Instant>,
}

#[derive(Debug)]
pub(super) struct Masters {
    hold: Duration,
    wait: Duration,
    tenures: VecDeque<Tenure>,
    highest: Epoch,
    holder: Option<Identity>,
    failovers: u64,
    /// The Lease was put back, or edited by hand.
    is_edited: bool,
    /// Looks at an authority with an epoch that there was before, after that.
    given_again: u64,
    /// The highest epoch in which anybody has taken over.
    served: Epoch,
    /// The same, with the store.
    known: Epoch,
    /// Until when each site's gate lets control through, and of which epoch.
    open: Vec<Option<(Instant, Epoch)>>,
}

impl Masters {
    pub(super) fn new(plan: &Plan) -> Self {
        let timing = plan.profile.timing();
        Self {
            hold: timing.hold.mul_f64(SLOWEST),
            wait: timing.wait.mul_f64(SLOWEST),
            tenures: VecDeque::new(),
            highest: Epoch::NONE,
            holder: None,
            failovers: 0,
            is_edited: false,
            given_again: 0,
            served: Epoch::NONE,
            known: Epoch::NONE,
            open: vec![None; plan.sites.len()],
        }
    }

    pub(super) const fn highest(&self) -> Epoch {
        self.highest
    }

    pub(super) const fn failovers(&self) -> u64 {
        self.failovers
    }

    fn written(&mut self, record: &Record, sent: Instant) {
        let Some(holder) = &record.holder else {
            return;
        };
        let known = self
            .tenures
            .iter_mut()
            .find(|it| it.epoch == record.epoch && it.holder == *holder);
        if let Some(tenure) = known {
            tenure.sent = tenure.sent.max(sent);
            if tenure.rosters != [record.roster.clone()] {
                tenure.rosters = vec![record.roster.clone()];
            }
            return;
        }
        if self.tenures.len() >= KEPT {
            self.tenures.pop_front();
        }
        self.tenures.push_back(Tenure {
            holder: holder.clone(),
            epoch: record.epoch,
            sent,
            rosters: vec![record.roster.clone()],
            promised: BTreeMap::new(),
        });
    }

    /// A write is out, or somebody has edited the Lease: the roster may be this one.
    fn may_have_roster(&mut self, record: &Record) {
        let known = self
            .tenures
            .iter_mut()
            .find(|it| it.epoch == record.epoch && Some(&it.holder) == record.holder.as_ref());
        if let Some(tenure) = known
            && !record.roster.is_empty()
            && !tenure.rosters.contains(&record.roster)
        {
            tenure.rosters.push(record.roster.clone());
        }
    }

    fn promised(&mut self, promise: &Promise, now: Instant) {
        let known = self
            .tenures
            .iter_mut()
            .find(|it| it.epoch == promise.epoch && it.holder == promise.holder);
        if let Some(tenure) = known {
            tenure.promised.insert(promise.from.clone(), now);
        }
    }

    /// Until when this one may speak at most.
    fn bound(&self, holder: &Identity, epoch: Epoch, now: Instant) -> Option<Instant> {
        let mut tenures = self.tenures.iter();
        let tenure = tenures.find(|it| it.epoch == epoch && it.holder == *holder)?;
        let by_lease = tenure.sent + self.hold;
        let of_roster = tenure.rosters.iter().filter_map(|roster| {
            let mut others = roster.iter().filter(|node| *node != holder.node());
            let first = others.next();
            let Some(first) = first else {
                // Nobody else may acquire.
                return Some(now + self.hold.max(self.wait));
            };
            let mut oldest = *tenure.promised.get(first)?;
            for other in others {
                oldest = oldest.min(*tenure.promised.get(other)?);
            }
            Some(oldest + self.wait)
        });
        Some(of_roster.fold(by_lease, Instant::max))
    }

    /// A site has this authority now.
    fn holds(&mut self, holder: &Identity, epoch: Epoch) -> Finding {
        if epoch > self.highest {
            self.highest = epoch;
            self.holder = Some(holder.clone());
            self.failovers += 1;
            return Ok(());
        }
        if epoch == self.highest && self.holder.as_ref() == Some(holder) {
            return Ok(());
        }
        if self.is_edited {
            // Who has just begun and reads a Lease that was put back or edited does not know better until the
            // store says so: the claim is refused. What counts then is who takes over.
            self.given_again += 1;
            return Ok(());
        }
        let what = format!(
            "{holder} has authority in epoch {}, and {} was {:?}'s",
            epoch.number(),
            self.highest.number(),
            self.holder
        );
        Err((Invariant::Epochs, what))
    }

    /// A site takes over.
    fn serves(&mut self, site: usize, epoch: Epoch, is_complete: bool) -> Finding {
        // Without the store nobody can know better than a Lease that was edited; nor with it, of a mastership that never
        // had the store.
        let before = match (self.is_edited, is_complete) {
            (false, _) => self.served,
            (true, true) => self.known,
            (true, false) => Epoch::NONE,
        };
        if epoch <= before {
            let what = format!(
                "n{site} takes over in epoch {}, and somebody did in {}",
                epoch.number(),
                before.number()
            );
            return Err((Invariant::Epochs, what));
        }
        self.served = self.served.max(epoch);
        if is_complete {
            self.known = self.known.max(epoch);
        }
        Ok(())
    }

    /// The gate of a site lets control through until then.
    fn opens(&mut self, site: usize, until: Instant, epoch: Epoch, now: Instant) -> Finding {
        for (other, open) in self.open.iter().enumerate() {
            if let Some((end, of)) = open
                && other != site
                && *end > now
            {
                let what = format!(
                    "n{site} may speak in epoch {}, and the gate of n{other} is open for {} until {end:?}",
                    epoch.number(),
                    of.number()
                );
                return Err((Invariant::OneMaster, what));
            }
        }
        self.open[site] = Some((until, epoch));
        Ok(())
    }

    /// Control leaves a site.
    pub(super) fn speaks(&self, site: usize, now: Instant) -> Finding {
        let own = self.open[site].filter(|(until, _)| now < *until);
        let Some((_, epoch)) = own else {
            let what = format!("n{site} speaks, and its gate was never opened for that");
            return Err((Invariant::Authority, what));
        };
        let mut others = self.open.iter().enumerate();
        let other = others
            .find(|(other, open)| *other != site && open.is_some_and(|(until, _)| now < until));
        match other {
            Some((other, _)) => Err((
                Invariant::OneMaster,
                format!(
                    "n{site} speaks in epoch {}, and the gate of n{other} is open",
                    epoch.number()
                ),
            )),
            None => Ok(()),
        }
    }
}

impl Judge {
    /// A write has landed that was sent then.
    pub(in crate::cluster) fn written(&mut self, record: &Record, sent: Instant) {
        self.mix(record.serial.number());
        self.masters.written(record, sent);
    }

    pub(in crate::cluster) fn may_have_roster(&mut self, record: &Record) {
        self.masters.may_have_roster(record);
    }

    pub(in crate::cluster) fn promised(&mut self, promise: &Promise, now: Instant) {
        self.masters.promised(promise, now);
    }

    /// A site has this authority now, or says so.
    pub(in crate::cluster) fn holds(
        &mut self,
        holder: &Identity,
        authority: Authority,
        now: Instant,
    ) {
        let before = self.masters.failovers;
        let found = self.masters.holds(holder, authority.epoch);
        self.note(found, now);
        if self.masters.failovers != before {
            self.mix(now.as_nanos());
        }
    }

    /// The Lease was put back, or edited by hand.
    pub(in crate::cluster) const fn lease_is_edited(&mut self) {
        self.masters.is_edited = true;
    }

    /// A site takes over.
    pub(in crate::cluster) fn serves(
        &mut self,
        site: usize,
        epoch: Epoch,
        is_complete: bool,
        now: Instant,
    ) {
        let found = self.masters.serves(site, epoch, is_complete);
        self.note(found, now);
    }

    pub(in crate::cluster) fn gate_is_closed(&mut self, site: usize) {
        self.masters.open[site] = None;
    }

    /// The gate of a site lets control through until `until`, for this one.
    pub(in crate::cluster) fn gate_is_open(
        &mut self,
        site: usize,
        holder: &Identity,
        epoch: Epoch,
        until: Instant,
        now: Instant,
    ) {
        let found = self.masters.opens(site, until, epoch, now);
        self.note(found, now);
        let bound = self.masters.bound(holder, epoch, now);
        if bound.is_none_or(|bound| until > bound) {
            let what = format!(
                "the gate of {holder} is open in epoch {} until {until:?}, and may be until {bound:?}",
                epoch.number()
            );
            self.report(Invariant::Authority, what, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use lns_cluster::Serial;

    use super::*;

    fn epoch(number: u64) -> Epoch {
        Epoch::new(number).unwrap()
    }

    fn holder(site: usize) -> Identity {
        let node = NodeName::new(&format!("n{site}")).unwrap();
        Identity::new(node, "1").unwrap()
    }

    fn record(site: usize, number: u64, sites: usize) -> Record {
        let nodes = (0..sites).map(|site| holder(site).node().clone());
        Record {
            holder: Some(holder(site)),
            epoch: epoch(number),
            serial: Serial::new(1),
            released: None,
            roster: Roster::of(nodes).unwrap(),
        }
    }

    fn masters() -> Masters {
        let plan = Plan {
            sites: vec![0, 0, 0],
            profile: lns_cluster::Profile::DEFAULT,
            ..Plan::draw(0)
        };
        Masters::new(&plan)
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn two_gates_that_are_open_and_an_epoch_that_comes_again_are_i1_and_i2() {
        let mut masters = masters();
        assert_eq!(masters.holds(&holder(0), epoch(1)), Ok(()));
        assert_eq!(masters.opens(0, at(9), epoch(1), at(5)), Ok(()));
        assert_eq!(masters.opens(1, at(14), epoch(2), at(9)), Ok(()));
        assert!(masters.opens(2, at(14), epoch(3), at(13)).is_err());
        assert!(masters.speaks(2, at(13)).is_err(), "its gate is closed");
        assert_eq!(masters.holds(&holder(1), epoch(2)), Ok(()));
        assert!(masters.holds(&holder(0), epoch(2)).is_err());
        assert!(masters.holds(&holder(0), epoch(1)).is_err());
        assert_eq!(masters.failovers(), 2);
    }

    #[test]
    fn nobody_may_speak_longer_than_h_but_by_promises_of_all_others() {
        let mut masters = masters();
        masters.written(&record(0, 1, 3), at(10));
        let bound = |masters: &Masters| masters.bound(&holder(0), epoch(1), at(11));
        let by_lease = at(10) + Duration::from_millis(4_040);
        assert_eq!(bound(&masters), Some(by_lease));
        let promise = |site| Promise {
            from: holder(site).node().clone(),
            holder: holder(0),
            epoch: epoch(1),
            sent: at(0),
        };
        masters.promised(&promise(1), at(12));
        assert_eq!(bound(&masters), Some(by_lease), "one is missing");
        masters.promised(&promise(2), at(11));
        assert_eq!(bound(&masters), Some(at(11) + Duration::from_millis(5_050)));
        assert_eq!(masters.bound(&holder(1), epoch(1), at(11)), None);
    }
}
