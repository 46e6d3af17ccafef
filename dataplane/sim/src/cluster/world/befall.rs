//! What befalls somebody, and its end.

use core::time::Duration;

use lns_cluster::member::{Aside, Gates};
use lns_tables::time::Instant;

use super::{Clock, World};
use crate::cluster::plan::{Act, Target};
use crate::cluster::queue::{Item, Over, Process as Which};
use crate::cluster::site::{Env, Process};
use crate::world::{Faults, octets};

/// A member from which nothing has come for so long is gone.
const DEAD: Duration = Duration::from_secs(5);

/// How long a process that ends has to leave the Lease to others.
const LEAVE: Duration = Duration::from_secs(5);

/// How long members, and who looks for the store, need to find each other at most, milliseconds.
const SEEK: u16 = 1_000;

/// How long it takes at most until it is noticed that the store is gone, milliseconds.
const NOTICE: u16 = 2_000;

/// What a machine's clock shows after a boot.
const BOOT: Instant = Instant::from_millis(9_000);

impl World {
    pub(super) fn over(&mut self, after: Duration, over: Over) {
        self.queue
            .push(self.now + after, Item::Over(self.count, over));
    }

    fn site_of(&self, target: Target) -> usize {
        match target {
            Target::Site(site) => usize::from(site) % self.sites.len(),
            Target::Master => self.master().unwrap_or_default(),
        }
    }

    /// Who serves.
    pub(in crate::cluster) fn master(&self) -> Option<usize> {
        let mut sites = self.sites.iter().enumerate();
        let (number, _) = sites.find(|(_, site)| {
            let now = site.clock.local(self.now);
            let process = site.process.as_ref().filter(|it| it.serves().is_some());
            process.is_some_and(|it| it.authority(now).is_some())
        })?;
        Some(number)
    }

    pub(in crate::cluster) fn act(&mut self, act: Act) {
        self.remark(|| format!("{act:?}"));
        self.judge.act(&act, self.now);
        match act {
            Act::Kill(target, down) => self.kill(self.site_of(target), down, false),
            Act::Reboot(target, down) => self.kill(self.site_of(target), down, true),
            Act::KillAll(down) => {
                for site in 0..self.sites.len() {
                    self.kill(site, down, false);
                }
            }
            Act::Pause(target, span) => self.pause(self.site_of(target), span),
            Act::StepDown(target) => self.with(self.site_of(target), Process::step_down),
            Act::Aside(target, aside, span) => {
                let site = self.site_of(target);
                self.sites[site].aside = aside;
                self.over(span, Over::Aside(site));
            }
            Act::Leave(target, down) => self.leave(self.site_of(target), down),
            Act::ApiAway(_)
            | Act::ApiCut(..)
            | Act::Delete
            | Act::Empty
            | Act::Unnumber
            | Act::Unlist
            | Act::Name(_)
            | Act::Save
            | Act::Restore
            | Act::Rewind => self.act_on_api(act),
            Act::StoreAway(_)
            | Act::StoreCut(..)
            | Act::StoreSlow(..)
            | Act::FailOver(_)
            | Act::Flush => self.act_on_store(act),
            Act::RadiusAway(span) => {
                self.radius_away += 1;
                self.over(span, Over::RadiusAway);
            }
            Act::PeerCut(..) | Act::Isolate(..) | Act::RouterCut(..) => self.act_on_ways(act),
            Act::Restart(_) | Act::Redial(..) | Act::Packets(_) => self.act_on_lacs(act),
        }
    }

    // Processes.

    pub(super) fn start(&mut self, number: usize) {
        let seed = self.plan.seed;
        let site = &mut self.sites[number];
        site.make.life += 1;
        let salt = (u64::try_from(number).expect("few") << 32) + site.make.life;
        site.make.seed = octets(seed, (1 << 48) + salt);
        let mut effects = Vec::new();
        let mut env = Env {
            now: site.clock.local(self.now),
            date: lns_node::StoreTime::default(),
            gate: &mut site.gate,
            out: &mut effects,
            dice: &mut self.dice,
            tells: false,
            aside: (Aside::No, false),
        };
        site.process = Some(Process::new(site.make.clone(), &mut env));
        self.judge.gate_is_closed(number);
        self.remark(|| format!("n{number} begins"));
        self.with(number, Process::settle);
        let at = self.now + self.millis(300);
        let who = self.which(number);
        self.queue.push(at, Item::StoreBack(who));
        self.seek(number);
    }

    fn kill(&mut self, number: usize, down: Duration, reboots: bool) {
        if self.sites[number].process.is_none() {
            return;
        }
        self.end(number);
        if reboots {
            let now = self.now;
            let site = &mut self.sites[number];
            site.gate = Gates::default();
            site.make.boot += 1;
            site.clock = Clock::new(site.drift, now, BOOT);
            self.judge.gate_is_closed(number);
        }
        let who = self.which(number);
        self.over(down, Over::Started(who));
    }

    /// The process is gone. What the kernel has stays.
    fn end(&mut self, number: usize) {
        self.remark(|| format!("n{number} ends"));
        self.judge_end(number);
        let site = &mut self.sites[number];
        site.process = None;
        site.paused = None;
        site.deferred.clear();
        site.armed = None;
        site.tail = None;
        site.leaves = None;
        site.link += 1;
        // Nothing of what is under way for it reaches the next.
        site.make.life += 1;
        self.part(number, Duration::from_millis(10));
    }

    fn part(&mut self, number: usize, after: Duration) {
        for other in 0..self.sites.len() {
            if other != number {
                let who = self.which(other);
                self.queue.push(self.now + after, Item::Parted(who, number));
            }
        }
    }

    fn pause(&mut self, number: usize, span: Duration) {
        let site = &mut self.sites[number];
        if site.process.is_none() || site.paused.is_some() {
            return;
        }
        site.paused = Some(self.now + span);
        let who = self.which(number);
        self.over(span, Over::Resumed(who));
        if span > DEAD {
            self.part(number, DEAD);
        }
    }

    pub(super) fn resume(&mut self, number: usize) {
        let now = self.now;
        let site = &mut self.sites[number];
        let Some(until) = site.paused.take() else {
            return;
        };
        let was_long = site.deferred.len() > 64 || until > now + DEAD;
        let wakes_first = self.dice.percent(50);
        let deferred = core::mem::take(&mut self.sites[number].deferred);
        if wakes_first || was_long {
            self.with(number, Process::settle);
        }
        let who = self.which(number);
        for item in deferred {
            if self.which(number) == who {
                self.reach(number, item);
            }
        }
        self.with(number, Process::settle);
        self.seek(number);
    }

    fn leave(&mut self, number: usize, down: Duration) {
        let site = &mut self.sites[number];
        if site.process.is_none() || site.paused.is_some() || site.leaves.is_some() {
            return;
        }
        site.leaves = Some(down);
        let who = self.which(number);
        self.over(LEAVE, Over::Gone(who));
        self.with(number, Process::stop);
    }

    /// Nothing is held any more: the gate is taken away, with its addresses.
    pub(super) fn farewell(&mut self, number: usize) {
        let Some(down) = self.sites[number].leaves else {
            return;
        };
        self.sites[number].gate = Gates::default();
        self.judge.gate_is_closed(number);
        self.kill(number, down, false);
    }

    // Who finds whom.

    /// Whether anything that one says comes to another one.
    pub(super) fn hears(&self, number: usize, from: usize) -> bool {
        let is_there = |site: usize| {
            let site = &self.sites[site];
            site.process.is_some() && site.paused.is_none()
        };
        is_there(number)
            && is_there(from)
            && self.ways.passes(from, number)
            && self.ways.passes(number, from)
    }

    /// A member looks for the others.
    pub(super) fn seek(&mut self, number: usize) {
        for other in 0..self.sites.len() {
            if other != number {
                let at = self.now + self.millis(SEEK);
                let (one, other) = (self.which(number), self.which(other));
                self.queue.push(at, Item::Met(one, other));
            }
        }
    }

    pub(super) fn meet(&mut self, one: Which, other: Which) {
        let is_current = self.which(one.site) == one && self.which(other.site) == other;
        if !is_current || !self.hears(one.site, other.site) {
            return;
        }
        for (site, peer) in [(one.site, other.site), (other.site, one.site)] {
            let process = self.sites[site].process.as_ref();
            let known = process.is_some_and(|process| process.is_connected(peer));
            let identity = self.sites[peer]
                .process
                .as_ref()
                .map(|it| it.identity().clone());
            if let Some(identity) = identity.filter(|_| !known) {
                self.with(site, |process, env| process.met(peer, identity, env));
            }
        }
    }

    // The API server.

    fn act_on_api(&mut self, act: Act) {
        match act {
            Act::ApiAway(span) => {
                self.api_away += 1;
                self.over(span, Over::ApiAway);
            }
            Act::ApiCut(target, span) => {
                let site = self.site_of(target);
                self.sites[site].api_cut += 1;
                self.over(span, Over::ApiCut(site));
            }
            Act::Delete => self.api.delete(),
            Act::Empty => self.api.empty(),
            Act::Unnumber => self.api.unnumber(),
            Act::Unlist => self.api.unlist(),
            Act::Name(site) => {
                let site = usize::from(site) % self.sites.len();
                let process = self.sites[site].process.as_ref();
                if let Some(holder) = process.map(|process| process.identity().clone()) {
                    self.api.name(holder);
                }
            }
            Act::Save => self.api.save(),
            Act::Restore => self.api.restore(),
            // Whoever does that has seen to it that no master goes on out of its reach: it may have a roster without those
            // whom the one that is put back has.
            Act::Rewind if self.master().is_some_and(|it| self.sites[it].api_cut > 0) => return,
            Act::Rewind => {
                // Nobody stops it, puts its store back and starts it again within a gap.
                self.api.rewind();
                self.api_away += 1;
                let gap = self.plan.profile.timing().gap.mul_f64(1.01);
                let more = self.millis(5_000);
                self.over(gap + more, Over::ApiAway);
            }
            _ => {}
        }
        if !matches!(act, Act::ApiAway(_) | Act::ApiCut(..) | Act::Save) {
            self.judge.lease_is_edited();
        }
        if let Some(record) = self.api.record() {
            self.judge.may_have_roster(record);
        }
        self.hint();
    }

    // The store.

    fn act_on_store(&mut self, act: Act) {
        match act {
            Act::StoreAway(span) => {
                self.store_away += 1;
                self.lose_store_everywhere();
                self.over(span, Over::StoreAway);
            }
            Act::FailOver(span) => {
                let has_lost = self.store.fail_over(self.now);
                self.remark(|| format!("the store: its replica is asked; lost: {has_lost}"));
                self.judge.store_lost(has_lost);
                self.store_away += 1;
                self.lose_store_everywhere();
                self.over(span, Over::StoreAway);
            }
            Act::StoreCut(target, span) => {
                let site = self.site_of(target);
                self.sites[site].store_cut += 1;
                self.lose_store(site);
                self.over(span, Over::StoreCut(site));
            }
            Act::StoreSlow(millis, span) => {
                self.store_slow = (self.store_slow.0 + 1, millis);
                self.over(span, Over::StoreSlow);
            }
            Act::Flush => {
                self.store.flush();
                self.judge.store_lost(true);
            }
            _ => {}
        }
    }

    fn lose_store_everywhere(&mut self) {
        for site in 0..self.sites.len() {
            self.lose_store(site);
        }
    }

    fn lose_store(&mut self, number: usize) {
        let at = self.now + self.millis(NOTICE);
        let who = self.which(number);
        let site = &mut self.sites[number];
        site.link += 1;
        site.tail = None;
        // It may be noticing another loss still.
        site.notices = site.notices.max(at);
        self.queue.push(at, Item::StoreLost(who));
    }

    fn find_store(&mut self, number: usize) {
        let at = self.sites[number].notices.max(self.now) + self.millis(SEEK);
        let who = self.which(number);
        self.queue.push(at, Item::StoreBack(who));
    }

    pub(super) fn store_back(&mut self, number: usize) {
        if !self.reaches_store(number) {
            return;
        }
        let (link, origin) = (self.sites[number].link, self.store.origin);
        self.with(number, |process, env| {
            process.store_is_back(link, origin, env);
        });
    }

    // Ways.

    fn act_on_ways(&mut self, act: Act) {
        match act {
            Act::PeerCut(from, to, span) => {
                let sites = self.sites.len();
                let (from, to) = (usize::from(from) % sites, usize::from(to) % sites);
                self.cut_peers(from, to, span);
            }
            Act::Isolate(target, span) => {
                let site = self.site_of(target);
                for other in (0..self.sites.len()).filter(|other| *other != site) {
                    self.cut_peers(site, other, span);
                    self.cut_peers(other, site, span);
                }
                self.act_on_api(Act::ApiCut(number(site), span));
                self.act_on_store(Act::StoreCut(number(site), span));
                self.act_on_ways(Act::RouterCut(number(site), span));
            }
            Act::RouterCut(target, span) => {
                let site = self.site_of(target);
                self.sites[site].router_cut += 1;
                self.over(span, Over::RouterCut(site));
            }
            _ => {}
        }
    }

    fn cut_peers(&mut self, from: usize, to: usize, span: Duration) {
        if from == to {
            return;
        }
        self.ways.cut(from, to);
        self.over(span, Over::PeerCut(from, to));
        if span > DEAD {
            for (one, other) in [(from, to), (to, from)] {
                let who = self.which(one);
                self.queue.push(self.now + DEAD, Item::Parted(who, other));
            }
        }
    }

    // LACs.

    fn act_on_lacs(&mut self, act: Act) {
        let (Act::Restart(lac) | Act::Redial(lac, ..) | Act::Packets(lac)) = act else {
            return;
        };
        if self.lacs.is_empty() {
            return;
        }
        let (number, now) = (usize::from(lac) % self.lacs.len(), self.now);
        let lines = self.lacs[number].lines().len();
        match act {
            Act::Restart(_) => self.lacs[number].restart(now),
            Act::Redial(_, line, after) if lines > 0 => {
                let line = usize::from(line) % lines;
                self.lacs[number].hang_up(line, now);
                self.over(after, Over::Dial(number, line));
            }
            Act::Packets(_) => {
                for line in 0..lines {
                    let address = self.lacs[number].lines()[line].subscriber().address();
                    let mut packet = vec![0; 64];
                    packet[0] = 0x45;
                    packet[12..16]
                        .copy_from_slice(&address.map_or([10, 0, 0, 1], |it| it.octets()));
                    self.lacs[number].send_packet(line, &packet);
                }
            }
            _ => {}
        }
        self.settle_lac(number);
    }

    // What is over.

    pub(super) fn is_over(&mut self, over: Over) {
        match over {
            Over::Started(who) => {
                if self.which(who.site) == who && self.sites[who.site].process.is_none() {
                    self.start(who.site);
                }
            }
            Over::Resumed(who) => {
                if self.which(who.site) == who {
                    self.resume(who.site);
                }
            }
            Over::Gone(who) => {
                if self.which(who.site) == who && self.sites[who.site].paused.is_none() {
                    self.farewell(who.site);
                }
            }
            Over::ApiAway => self.api_away -= 1,
            Over::ApiCut(site) => self.sites[site].api_cut -= 1,
            Over::StoreAway => {
                self.store_away -= 1;
                for site in 0..self.sites.len() {
                    self.find_store(site);
                }
            }
            Over::StoreCut(site) => {
                self.sites[site].store_cut -= 1;
                self.find_store(site);
            }
            Over::StoreSlow => self.store_slow.0 -= 1,
            Over::PeerCut(from, to) => {
                self.ways.mend(from, to);
                self.seek(from);
            }
            Over::RadiusAway => self.radius_away -= 1,
            Over::Aside(site) => self.sites[site].aside = Aside::No,
            Over::RouterCut(site) => self.sites[site].router_cut -= 1,
            Over::Dial(lac, line) => {
                self.lacs[lac].dial(line, self.now);
                self.settle_lac(lac);
            }
        }
    }

    /// All is well again.
    pub(in crate::cluster) fn heal(&mut self) {
        self.count += 1;
        self.is_calm = true;
        self.remark(|| "all is well again".to_owned());
        (self.api_away, self.store_away, self.store_slow) = (0, 0, (0, 0));
        self.radius_away = 0;
        self.ways.heal();
        self.faults = Faults::default();
        for site in 0..self.sites.len() {
            let it = &mut self.sites[site];
            (it.api_cut, it.store_cut, it.router_cut) = (0, 0, 0);
            it.aside = Aside::No;
            if it.leaves.is_some() {
                // Who was about to end in good order is not waited for.
                self.end(site);
            }
        }
        for site in 0..self.sites.len() {
            if self.sites[site].process.is_none() {
                self.start(site);
            }
            self.resume(site);
            self.find_store(site);
            self.seek(site);
        }
        for lac in 0..self.lacs.len() {
            for line in 0..self.lacs[lac].lines().len() {
                if !self.lacs[lac].lines()[line].is_wanted() {
                    self.lacs[lac].dial(line, self.now);
                }
            }
            self.settle_lac(lac);
        }
    }
}

fn number(site: usize) -> Target {
    Target::Site(u8::try_from(site).expect("few"))
}
