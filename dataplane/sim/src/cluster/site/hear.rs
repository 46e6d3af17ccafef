//! What the store and the other members say: as `dataplane/src/member/crew/{store,peers}.rs` have it.

use lns_cluster::journal::Mark;
use lns_cluster::member::Side;
use lns_cluster::{Epoch, Identity};
use lns_node::{Caught, Forward};
use lns_tables::time::Instant;

use super::follower::Told;
use super::writer::News;
use super::{Body, Effect, Env, Message, Process};
use crate::cluster::store::{Asker, Op, Reply};
use crate::world::SERVICE;

impl Process {
    // The store.

    /// There is a connection to the store, to this data.
    pub(in crate::cluster) fn store_is_back(&mut self, link: u64, origin: u64, env: &mut Env<'_>) {
        env.remark(|| format!("has the store, connection {link} to data {origin}"));
        self.link = Some((link, origin));
        self.settle(env);
    }

    /// There is none any more.
    pub(in crate::cluster) fn store_is_lost(&mut self, env: &mut Env<'_>) {
        env.remark(|| "has lost the store".to_owned());
        self.link = None;
        self.is_reading_fence = false;
        self.writer.lose_link(env.now);
        if let Some(follower) = &mut self.follower {
            follower.lose_link();
        }
        self.is_away = true;
        self.settle(env);
    }

    /// An answer of the store's.
    pub(in crate::cluster) fn store_answers(&mut self, link: u64, reply: Reply, env: &mut Env<'_>) {
        if self.link.is_none_or(|(current, _)| current != link) {
            return;
        }
        match reply {
            Reply::Fence(fence) => {
                self.is_reading_fence = false;
                self.heed_fence(&fence);
            }
            Reply::Digest(Asker::Crew(epoch), marks) => {
                if self.member.known() == epoch {
                    self.is_incomplete = false;
                    let node = self.engine.as_mut().map(|it| &mut it.node);
                    self.keeper.handle_digest(node, marks);
                    self.member.handle_looked(epoch);
                }
            }
            Reply::Position(_)
            | Reply::LoadPosition(_)
            | Reply::Tunnels(..)
            | Reply::Sessions(..) => {
                if let Some(follower) = &mut self.follower {
                    follower.answered(reply, link, env);
                }
            }
            reply => self.writer.answered(reply, env.now),
        }
        self.settle(env);
    }

    /// The stream has something new.
    pub(in crate::cluster) fn stream_has_news(
        &mut self,
        link: u64,
        entries: Option<Vec<(Mark, crate::cluster::store::Entry)>>,
        env: &mut Env<'_>,
    ) {
        if self.link.is_some_and(|(current, _)| current == link)
            && let Some(follower) = &mut self.follower
        {
            follower.followed(entries);
        }
        self.settle(env);
    }

    /// Where the stream was read up to, if it is followed.
    pub(in crate::cluster) fn follows_from(&self, link: u64) -> Option<Mark> {
        self.link.filter(|(current, _)| *current == link)?;
        self.follower.as_ref()?.cursor()
    }

    /// Takes what the writer has done; whether there was anything.
    pub(super) fn write(&mut self, env: &mut Env<'_>) -> bool {
        let mut any = self.writer.poll(self.link, env);
        while let Some(news) = self.writer.poll_news() {
            any = true;
            self.hear_news(news, env);
        }
        any
    }

    fn hear_news(&mut self, news: News, env: &mut Env<'_>) {
        let now = env.now;
        match news {
            News::Stored(ticket) => self.keeper.handle_stored(ticket),
            News::Changed(marks) => {
                let node = self.engine.as_mut().map(|it| &mut it.node);
                self.keeper.handle_digest(node, marks);
            }
            News::Claimed { epoch, seq } => {
                let node = self.engine.as_ref().map(|it| &it.node);
                let is_active = node.map_or(self.is_serving(), |node| {
                    node.role() == lns_node::Role::Active
                });
                self.keeper.handle_claimed(epoch, seq, is_active, now);
                self.is_away = false;
                self.member.handle_claimed(epoch, now);
                if self.is_incomplete
                    && let Some((link, _)) = self.link
                {
                    env.out
                        .push(Effect::Store(link, Op::Digest(Asker::Crew(epoch))));
                }
            }
            News::Away => {
                self.keeper.handle_away();
                self.is_away = true;
            }
            News::Lost(epoch) => {
                self.keeper.handle_away();
                self.member.handle_lost(epoch, now);
            }
        }
    }

    /// Takes what the follower has read; whether there was anything.
    pub(super) fn read(&mut self, env: &mut Env<'_>) -> bool {
        let mut any = false;
        while let Some(follower) = &mut self.follower {
            follower.poll(self.link, env);
            let Some(told) = follower.poll_told() else {
                break;
            };
            any = true;
            self.follow(told, env);
        }
        any
    }

    fn follow(&mut self, told: Told, env: &mut Env<'_>) {
        let now = env.now;
        let node = self.engine.as_mut().map(|it| &mut it.node);
        self.keeper.follow(node, &told, now, env.date);
        if matches!(told, Told::Loading | Told::Loaded(_)) {
            self.doubt = self.keeper.is_doubtful.then_some(now);
        }
        if matches!(told, Told::Away) {
            self.is_away = true;
            return;
        }
        self.is_away = false;
        match told {
            Told::Claim(epoch, holder) => {
                self.member.handle_epoch(epoch, Some(&holder));
                self.report_to(epoch, Caught::Up, now);
            }
            Told::Loaded(position) => {
                self.member.handle_loaded(position, now);
                self.report_to(position.epoch, Caught::Up, now);
            }
            Told::Position(position) => self.member.handle_position(position, now),
            Told::CaughtUp => self.member.handle_caught_up(now),
            Told::Loading | Told::Record(..) | Told::Forgotten(..) | Told::Away => {}
        }
    }

    /// The master of this mastership wants to know what passes here, if nobody is of a later one.
    fn report_to(&mut self, epoch: Epoch, caught: Caught, now: Instant) {
        let is_master = self.member.master().is_some_and(|(of, _)| *of == epoch);
        if is_master
            && self.master.is_some()
            && let Some(engine) = &mut self.engine
        {
            engine.node.handle_master(epoch.number(), caught, now);
        }
    }

    // Other members.

    pub(in crate::cluster) fn met(&mut self, site: usize, identity: Identity, env: &mut Env<'_>) {
        self.connected.insert(site, identity);
        self.say(site, Body::Alive, env);
        self.settle(env);
    }

    pub(in crate::cluster) fn parted(&mut self, site: usize, env: &mut Env<'_>) {
        self.connected.remove(&site);
        self.settle(env);
    }

    pub(in crate::cluster) fn is_connected(&self, site: usize) -> bool {
        self.connected.contains_key(&site)
    }

    pub(in crate::cluster) fn hear(&mut self, from: usize, message: Message, env: &mut Env<'_>) {
        if !self.connected.contains_key(&from) {
            return;
        }
        let Message { epoch, body } = message;
        if epoch > self.epochs {
            self.member.handle_epoch(epoch, None);
        }
        if body.is_fenced() && epoch < self.epochs {
            self.say(from, Body::Alive, env);
        } else {
            self.act(from, body, env);
        }
        self.settle(env);
    }

    fn act(&mut self, from: usize, body: Body, env: &mut Env<'_>) {
        let now = env.now;
        if !matches!(
            body,
            Body::Alive | Body::AskPosition(_) | Body::Position(..)
        ) {
            self.attendance.handle_seen(&self.make.names[from], now);
        }
        match body {
            Body::Alive | Body::Applied => {}
            Body::Ask(ask) => {
                if let Ok(promise) = self.driver.elector.handle_ask(&ask, now) {
                    self.say(from, Body::Promise(promise), env);
                }
            }
            Body::Promise(promise) => self.driver.elector.handle_promise(&promise, now),
            Body::AskPosition(sent) => {
                let position = self.position(env);
                self.say(from, Body::Position(sent, position), env);
            }
            Body::Position(sent, position) => self.take_position(sent, position, now),
            Body::Forward(forward) => self.hand_in(forward, now),
            Body::Packet(remote, octets) => {
                if self.is_serving() {
                    self.take_in(remote, &octets, env);
                }
            }
            Body::Report(sessions) => self.take_report(from, &sessions, now),
        }
    }

    fn take_position(&mut self, sent: Instant, position: Option<Mark>, now: Instant) {
        if self.asking != Some(sent) {
            return;
        }
        self.asking = None;
        let Some(mark) = position else {
            return;
        };
        self.member.handle_answer(mark.epoch, mark, sent, now);
        let was_asked_since = self.doubt.is_some_and(|since| since <= sent);
        if was_asked_since && mark <= self.member.applied() {
            self.doubt = None;
            let node = self.engine.as_mut().map(|it| &mut it.node);
            self.keeper.handle_written_again(node, now);
        }
        if self.is_away {
            self.report_to(mark.epoch, Caught::Behind, now);
        }
    }

    fn take_report(&mut self, from: usize, sessions: &[lns_node::SessionReport], now: Instant) {
        let incarnation = self.connected.get(&from).map(ToString::to_string);
        if let (Some(engine), Some(incarnation)) = (&mut self.engine, incarnation) {
            let name = self.make.names[from].to_string();
            let node = &mut engine.node;
            node.handle_reports_of(&name, &incarnation, sessions, now);
        }
    }

    /// Something that came to another member, and is the master's.
    fn hand_in(&mut self, forward: Forward, now: Instant) {
        if self.member.side().0 != Side::Serving {
            return;
        }
        let Some(engine) = &mut self.engine else {
            return;
        };
        match forward {
            Forward::Control { remote, octets, .. } => {
                engine.node.handle_control(SERVICE, remote, &octets, now);
            }
            Forward::Ppp {
                tunnel,
                session,
                remote,
                frame,
                ..
            } => engine.node.handle_ppp(tunnel, session, remote, &frame, now),
        }
    }
}
