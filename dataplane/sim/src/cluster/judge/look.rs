//! When what is looked at.

use lns_cluster::Epoch;
use lns_cluster::member::Gates;

use super::Invariant;
use crate::cluster::site::Process;
use crate::cluster::world::World;

impl World {
    /// The gate of a site lets control through for longer, or no more.
    pub(in crate::cluster) fn judge_gate(&mut self, number: usize, before: Gates) {
        let now = self.now;
        let site = &self.sites[number];
        let Some(until) = site.gate.control else {
            self.judge.gate_is_closed(number);
            return;
        };
        debug_assert!(site.gate.control != before.control);
        let until = site.clock.world(until);
        let Some(process) = &site.process else {
            return;
        };
        let epoch = process.serves().unwrap_or_default();
        let holder = process.identity().clone();
        self.judge.gate_is_open(number, &holder, epoch, until, now);
    }

    /// A process has done something.
    pub(in crate::cluster) fn judge_process(&mut self, number: usize) {
        let now = self.now;
        let site = &self.sites[number];
        let Some(process) = &site.process else {
            return;
        };
        if process.refused() > 0 {
            let what = format!("n{number}: an event came in a state that does not know it");
            self.judge.report(Invariant::Bounds, what, now);
            return;
        }
        let Some(authority) = process.authority(site.clock.local(now)) else {
            return;
        };
        let holder = process.identity().clone();
        let before = self.judge.failovers();
        self.judge.holds(&holder, authority, now);
        if self.judge.failovers() != before {
            self.judge_others(number, authority.epoch);
        }
        let process = self.sites[number].process.as_ref();
        let has_all = self.judge.is_lost()
            && process.is_some_and(|it| it.is_quiet() && it.held_with() == Some(self.store.origin))
            && self.store.fence().map(|fence| fence.epoch) == Some(authority.epoch);
        if has_all {
            self.judge.store_has_all();
        }
    }

    /// A mastership has begun: nobody else has authority.
    fn judge_others(&mut self, number: usize, epoch: Epoch) {
        let now = self.now;
        self.remark(|| format!("n{number} has epoch {}", epoch.number()));
        let mut others = self.sites.iter().enumerate();
        let other = others.find(|(other, site)| {
            let local = site.clock.local(now);
            let process = site.process.as_ref().filter(|_| *other != number);
            process.is_some_and(|process| process.authority(local).is_some())
        });
        if let Some((other, _)) = other {
            let what = format!(
                "n{number} has authority in epoch {}, and n{other} has still",
                epoch.number()
            );
            self.judge.report(Invariant::OneMaster, what, now);
        }
    }

    /// A process is about to end.
    pub(in crate::cluster) fn judge_end(&mut self, number: usize) {
        let process = self.sites[number].process.as_mut();
        if process.is_some_and(|process| process.commit().has_left_more()) {
            self.judge.is_uncertain(self.now);
        }
    }

    /// A site becomes the active one.
    pub(in crate::cluster) fn takes_over(
        &mut self,
        number: usize,
        epoch: Epoch,
        is_complete: bool,
    ) {
        self.judge.count("takeovers");
        self.remark(|| {
            format!(
                "n{number} takes over, epoch {}, complete: {is_complete}",
                epoch.number()
            )
        });
        self.judge.serves(number, epoch, is_complete, self.now);
        let mut others = self.sites.iter_mut().enumerate();
        let knows_more = others.any(|(other, site)| {
            let process = site.process.as_mut().filter(|_| other != number);
            process.is_some_and(|process| process.commit().has_left_more())
        });
        if !is_complete || knows_more || self.judge.is_lost() {
            self.judge.is_uncertain(self.now);
        }
        // What was lost is lost.
        self.judge.store_has_all();
    }

    /// A site is the active one no more.
    pub(in crate::cluster) fn follows(&mut self, number: usize) {
        self.remark(|| format!("n{number} follows"));
        self.judge_end(number);
        if let Some(process) = &mut self.sites[number].process {
            *process.commit() = crate::cluster::site::Commit::default();
        }
    }

    /// Everything is looked at.
    pub(in crate::cluster) fn audit(&mut self) {
        self.judge.look_at_lines(&self.lacs, self.now);
        if self.lacs.is_empty() {
            return;
        }
        self.compare_paths();
        self.compare_tables();
    }

    /// Somebody has removed the roster by hand, and nobody has seen it before: nobody may acquire, until somebody
    /// writes a roster or deletes the Lease. Members ask the store for theirs only where there is no holder.
    pub(in crate::cluster) fn is_orphaned(&self) -> bool {
        let is_unlisted = self.api.record().is_some_and(|it| it.roster.is_empty());
        let mut processes = self.sites.iter().filter_map(|site| site.process.as_ref());
        is_unlisted && processes.all(|process| !process.knows_a_roster())
    }

    /// Why not all is well; `None`: all is.
    pub(in crate::cluster) fn missing(&self) -> Option<String> {
        let serving = |number: &usize| {
            let process = self.sites[*number].process.as_ref();
            process.is_some_and(|process| process.serves().is_some())
        };
        let masters: Vec<usize> = (0..self.sites.len()).filter(serving).collect();
        let [master] = masters[..] else {
            return Some(format!("masters: {masters:?}"));
        };
        let process = self.sites[master].process.as_ref()?;
        if !process.is_quiet() {
            return Some(format!("n{master} has not stored all"));
        }
        let position = process.reached();
        for (number, site) in self.sites.iter().enumerate() {
            let process = site.process.as_ref().filter(|_| number != master);
            let is_behind = |process: &Process| {
                !process.is_loaded() || process.reached() != position || !process.has_link()
            };
            if process.is_some_and(is_behind) {
                let (here, link) =
                    process.map_or((None, false), |it| (it.reached(), it.has_link()));
                return Some(format!(
                    "n{number} has not all that n{master} has: {here:?} of {position:?}, connected: {link}"
                ));
            }
        }
        self.missing_line().or_else(|| self.missing_account(master))
    }

    fn missing_line(&self) -> Option<String> {
        for (number, lac) in self.lacs.iter().enumerate() {
            for (place, line) in lac.lines().iter().enumerate() {
                if line.is_wanted() && line.subscriber().address().is_none() {
                    return Some(format!("line {place} of LAC {number} is not up"));
                }
            }
        }
        None
    }
}
