//! What is done each second: as `dataplane/src/member/crew/look.rs` has it.

use lns_cluster::journal::Mark;
use lns_cluster::member::Side;

use super::{ANSWER, Body, Env, Process, Seen};
use crate::cluster::store::Op;

impl Process {
    pub(super) fn look(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        if self.asking.is_some_and(|sent| sent + ANSWER <= now) {
            self.asking = None;
        }
        let (aside, others) = env.aside;
        self.member.handle_aside(aside, others, now);
        self.driver.stand(self.member.candidacy());
        if let Some(master) = self.master
            && self.doubt.is_none()
        {
            self.say(master, Body::Applied, env);
        }
        match self.member.side().0 {
            Side::Following => self.ask_master(env),
            Side::Serving => {
                self.keep_roster(env);
                self.own = self.position(env).or(self.own);
            }
            Side::Claiming | Side::Reading | Side::Asking => {}
        }
        if self.is_unfounded() {
            self.read_fence(env);
        }
        if !self.is_away && self.member.side().0 == Side::Following {
            self.member.handle_store(now);
        }
    }

    /// Whether somebody may have to found the cluster: nobody holds the Lease, or it lists nobody who could.
    fn is_unfounded(&self) -> bool {
        let standing = &self.driver.standing;
        standing.holder.is_none() || standing.roster.is_empty()
    }

    fn ask_master(&mut self, env: &mut Env<'_>) {
        let Some(master) = self.master else {
            return;
        };
        if self.asking.is_none() && self.connected.contains_key(&master) {
            self.asking = Some(env.now);
            self.say(master, Body::AskPosition(env.now), env);
        }
    }

    /// Who is there goes onto the roster, who is gone for long off it.
    fn keep_roster(&mut self, env: &Env<'_>) {
        let now = env.now;
        for site in self.connected.keys() {
            self.attendance.handle_seen(&self.make.names[*site], now);
        }
        let before = &self.driver.standing.roster;
        let roster = self.attendance.roster(self.member.me(), before, now);
        if self.roster.as_ref() != Some(&roster) {
            self.driver.roster(roster.clone());
            self.roster = Some(roster);
        }
    }

    /// Where the stream is, if this node is the one to say so.
    pub(super) fn position(&self, env: &Env<'_>) -> Option<Mark> {
        self.stamp.filter(|until| env.now < *until)?;
        self.keeper.position()
    }

    fn read_fence(&mut self, env: &mut Env<'_>) {
        if let Some((link, _)) = self.link
            && !core::mem::replace(&mut self.is_reading_fence, true)
        {
            env.out.push(super::Effect::Store(link, Op::Fence));
        }
    }

    pub(super) fn heed_fence(&mut self, fence: &Seen) {
        if let Some(fence) = fence {
            self.member.handle_epoch(fence.epoch, None);
            self.driver.heard(fence.epoch);
        }
        let may_found = match fence {
            // Members that know each other would know of a roster.
            None => self.member.master().is_none(),
            Some(fence) => fence.roster.contains(self.member.me()),
        };
        if may_found && self.is_unfounded() {
            self.driver.elector.handle_nobody_knows();
        }
    }
}
