//! What processes want done, and what comes of it: requests to the API server, questions to the store, messages to each
//! other.

use core::time::Duration;

use lns_cluster::{Answer, Operation, RequestId};
use lns_tables::time::Instant;

use super::World;
use crate::cluster::judge::Invariant;
use crate::cluster::peers::{Body, Message};
use crate::cluster::plan::Ways;
use crate::cluster::queue::{Item, Process as Which};
use crate::cluster::site::Effect;
use crate::cluster::store::{Op, Refusal, Reply};

/// How long replicas are waited for.
const PATIENCE: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn carry_out(&mut self, site: usize, effect: Effect) {
        match effect {
            Effect::Api(id, operation) => self.ask_api(site, id, operation),
            Effect::Store(link, op) => {
                let at = self.now + self.store_takes();
                let who = self.which(site);
                self.queue.push(at, Item::ToStore(who, link, op));
            }
            Effect::Tail(link) => {
                self.sites[site].tail = Some((link, false));
                self.visit(site);
            }
            Effect::Peer(to, message) => self.say(site, to, message),
            Effect::Send {
                to,
                octets,
                as_data,
            } => self.send(site, to, &octets, as_data),
            Effect::Radius(asked) => self.ask_servers(site, asked),
            Effect::Event(event) => self.judge_event(site, &event),
            Effect::TakesOver(epoch, is_complete) => self.takes_over(site, epoch, is_complete),
            Effect::Follows => self.follows(site),
            Effect::Leaks(to) => {
                let what =
                    format!("n{site}: what leaves for {to} tells of a change that is not stored");
                self.judge.report(Invariant::Commit, what, self.now);
            }
            Effect::ReleasesEarly => {
                let what = format!("n{site} releases the Lease while its gate is open");
                self.judge.report(Invariant::OneMaster, what, self.now);
            }
            Effect::Remark(what) => self.remark(|| format!("n{site} {what}")),
        }
    }

    /// How long something takes that goes such a way.
    pub(super) fn takes(&mut self, way: Ways) -> Duration {
        if self.happens(way.slow) {
            self.millis(way.longest)
        } else {
            self.millis(way.delay)
        }
    }

    // The API server.

    pub(super) fn api_is_there(&self, site: usize) -> bool {
        self.api_away == 0 && self.sites[site].api_cut == 0
    }

    fn ask_api(&mut self, site: usize, id: RequestId, operation: Operation) {
        if let Operation::Write { record, .. } = &operation {
            self.judge.may_have_roster(record);
        }
        let way = self.plan.api;
        let who = self.which(site);
        let at = self.now + self.takes(way);
        if !self.api_is_there(site) {
            // It is refused, or nothing comes back.
            if self.dice.percent(50) {
                self.queue.push(at, Item::FromApi(who, id, Answer::Unknown));
            }
            return;
        }
        if !self.happens(way.lost) {
            let item = Item::ToApi(who, self.api.life, self.now, id, operation);
            self.queue.push(at, item);
        }
    }

    pub(super) fn arrive_at_api(
        &mut self,
        who: Which,
        life: u64,
        sent: Instant,
        id: RequestId,
        operation: &Operation,
    ) {
        if life != self.api.life || self.api_away != 0 {
            return;
        }
        let before = self.api.gist();
        let answer = self.api.serve(operation);
        if let (Answer::Written(_), Operation::Write { record, .. }) = (&answer, operation) {
            self.judge.written(record, sent);
            self.remark(|| {
                format!(
                    "the Lease: {:?}, epoch {}, roster {:?}",
                    record.holder,
                    record.epoch.number(),
                    record.roster.iter().collect::<Vec<_>>()
                )
            });
        }
        if self.api.gist() != before {
            self.hint();
        }
        let way = self.plan.api;
        if !self.happens(way.unanswered) {
            let at = self.now + self.takes(way);
            self.queue.push(at, Item::FromApi(who, id, answer));
        }
    }

    /// Watches tell of what the Lease says now, sooner or later or never.
    pub(super) fn hint(&mut self) {
        let gist = self.api.gist();
        for site in 0..self.sites.len() {
            if self.api_is_there(site) && !self.happens(50) {
                let at = self.now + self.takes(self.plan.api);
                let who = self.which(site);
                self.queue.push(at, Item::Hint(who, gist.clone()));
            }
        }
    }

    // The store.

    pub(super) fn store_takes(&mut self) -> Duration {
        let (count, slow) = self.store_slow;
        let slow = if count == 0 { 0 } else { slow };
        self.millis(self.plan.store.latency.saturating_add(slow))
    }

    pub(super) fn reaches_store(&self, site: usize) -> bool {
        self.store_away == 0 && self.sites[site].store_cut == 0
    }

    pub(super) fn arrive_at_store(&mut self, who: Which, link: u64, op: Op) {
        let current = &self.sites[who.site];
        let is_current = current.link == link && current.make.life == who.life;
        // What was on its way when the way was cut arrives or does not.
        let arrives = (is_current && self.reaches_store(who.site)) || self.dice.percent(50);
        if !arrives || self.store_away != 0 {
            return;
        }
        let replicated = self.now + Duration::from_millis(self.plan.store.lag.into());
        let entries = self.store.entries;
        let (reply, also) = self.serve(who, op, replicated);
        if self.store.entries != entries {
            self.store.settle(self.now);
            for site in 0..self.sites.len() {
                self.visit(site);
            }
        }
        let takes = self.store_takes();
        let replicated = replicated.min(self.now + PATIENCE);
        let waits = matches!(reply, Reply::Claimed { .. }) && self.plan.store.waits;
        let at = if waits { replicated } else { self.now };
        self.queue
            .push(at + takes, Item::FromStore(who, link, reply));
        if let Some(reply) = also {
            let item = Item::FromStore(who, link, reply);
            self.queue.push(replicated + takes, item);
        }
    }

    fn serve(&mut self, who: Which, op: Op, replicated: Instant) -> (Reply, Option<Reply>) {
        let reply = match op {
            Op::Claim {
                mark,
                holder,
                roster,
            } => match self.store.claim(mark, &holder, &roster, replicated) {
                Ok(again) => {
                    self.judge.claimed(mark.epoch);
                    let records = self.store.digest().len();
                    self.remark(|| {
                        format!("the store: claim {mark} of {holder}; {records} records")
                    });
                    if replicated.since(self.now) < PATIENCE && self.plan.store.waits {
                        self.store.claimed = self.store.claimed.max(mark.epoch);
                    }
                    Reply::Claimed { again }
                }
                Err(refusal) => Reply::Refused(refusal),
            },
            Op::Round { .. } => return self.serve_round(who, op, replicated),
            Op::Beat { epoch, holder } => {
                (self.store.beat(epoch, &holder)).map_or_else(Reply::Refused, |()| Reply::Beaten)
            }
            Op::Digest(asker) => Reply::Digest(asker, self.store.digest()),
            Op::Fence => Reply::Fence(self.store.fence().cloned()),
            Op::Position => Reply::Position(self.store.position()),
            Op::LoadPosition => Reply::LoadPosition(self.store.position()),
            Op::LoadTunnels(position) => Reply::Tunnels(position, self.store.records(true)),
            Op::LoadSessions(position) => Reply::Sessions(position, self.store.records(false)),
        };
        (reply, None)
    }

    fn serve_round(&mut self, who: Which, op: Op, replicated: Instant) -> (Reply, Option<Reply>) {
        let Op::Round {
            ticket,
            lasting,
            epoch,
            holder,
            writes,
        } = op
        else {
            return (Reply::Beaten, None);
        };
        let mut gravest: Option<Refusal> = None;
        for write in writes.iter() {
            match self.store.write(epoch, &holder, write, replicated) {
                Ok(()) => {
                    self.judge.stored(epoch, self.store.claimed, self.now);
                    self.is_stored(who, write);
                }
                Err(refusal) => {
                    let is_graver = matches!(refusal, Refusal::NotHolder(_)) || gravest.is_none();
                    gravest = if is_graver { Some(refusal) } else { gravest };
                }
            }
        }
        match gravest {
            Some(refusal) => (Reply::Refused(refusal), None),
            None => (
                Reply::Written { ticket, lasting },
                lasting.then_some(Reply::Replicated(ticket)),
            ),
        }
    }

    fn is_stored(
        &mut self,
        who: Which,
        write: &lns_cluster::journal::Write<crate::cluster::key::Key>,
    ) {
        use lns_cluster::journal::Change;
        let site = &mut self.sites[who.site];
        if site.make.life != who.life {
            return;
        }
        if let Some(process) = &mut site.process {
            let octets = match &write.change {
                Change::Put(octets) => Some(&**octets),
                Change::Forget => None,
            };
            process.commit().is_stored(write.key, octets);
        }
    }

    /// Whoever follows the stream is visited, if it is not on its way already.
    fn visit(&mut self, site: usize) {
        if let Some((link, false)) = self.sites[site].tail {
            self.sites[site].tail = Some((link, true));
            let at = self.now + self.store_takes();
            let who = self.which(site);
            self.queue.push(at, Item::Stream(who, link));
        }
    }

    pub(super) fn stream(&mut self, number: usize, link: u64) {
        let site = &mut self.sites[number];
        if site.tail.is_none_or(|(current, _)| current != link) {
            // Of a connection that is gone.
            return;
        }
        site.tail = Some((link, false));
        if !self.reaches_store(number) {
            return;
        }
        let process = self.sites[number].process.as_ref();
        let Some(position) = process.and_then(|process| process.follows_from(link)) else {
            self.sites[number].tail = None;
            return;
        };
        let entries = self.store.follow(position);
        if entries.as_ref().is_none_or(|entries| !entries.is_empty()) {
            self.with(number, |process, env| {
                process.stream_has_news(link, entries, env);
            });
        }
    }

    // Members.

    fn say(&mut self, from: usize, to: usize, message: Message) {
        let way = self.plan.peers;
        if let Body::Promise(promise) = &message.body {
            self.judge.promised(promise, self.now);
        }
        if from == to || !self.ways.passes(from, to) || self.happens(way.lost) {
            return;
        }
        // They go one behind the other.
        let place = from * self.sites.len() + to;
        let at = (self.now + self.takes(way)).max(self.said[place]);
        self.said[place] = at;
        let who = self.which(to);
        self.queue.push(at, Item::Peer(who, from, message));
    }
}
