//! What a member is told of the Lease, and what it orders: as `dataplane/src/member/crew/mod.rs` has it.

use lns_cluster::Epoch;
use lns_cluster::member::{Heard, Order, Side};
use lns_tables::time::Instant;

use super::follower::Follower;
use super::writer::Mastership;
use super::{Body, Effect, Env, Process};

impl Process {
    pub(super) fn hear_lease(&mut self, now: Instant) {
        let standing = self.driver.standing.clone();
        if let Some(holder) = &standing.holder {
            self.member.handle_epoch(standing.epoch, Some(holder));
        }
        let authority = standing.authority(now);
        if let Some(authority) = authority {
            self.vouched = authority.vouched;
            self.member
                .handle_epoch(authority.epoch, Some(&standing.me));
        }
        self.attendance.handle_roster(&standing.roster, now);
        self.member
            .handle_authority(authority, standing.closing, now);
    }

    pub(super) fn ask_for_promises(&mut self, env: &mut Env<'_>) {
        for (to, ask) in core::mem::take(&mut self.driver.asks) {
            if let Some(to) = self.number(&to) {
                self.say(to, Body::Ask(ask), env);
            }
        }
    }

    /// Carries out what there is to do, and holds the gates. Whether there was anything.
    pub(super) fn carry_out_orders(&mut self, env: &mut Env<'_>) -> bool {
        self.member.handle_timeout(env.now);
        let mut any = false;
        while let Some(order) = self.member.poll_order() {
            any = true;
            self.carry_out_order(order, env);
        }
        self.hold(env);
        if self.member.side().0 == Side::Serving {
            self.keeper.handle_vouched(self.vouched);
        }
        any
    }

    fn hold(&mut self, env: &mut Env<'_>) {
        let gates = self.member.gates(env.now);
        self.stamp = gates.control;
        // What only lasts a little longer than was said can wait for the next tick.
        let is_news = gates.control != self.held.control
            || gates.data.is_some() != self.held.data.is_some()
            || gates.announce.is_some() != self.held.announce.is_some();
        if is_news {
            self.held = gates;
            *env.gate = gates;
        }
    }

    fn carry_out_order(&mut self, order: Order, env: &mut Env<'_>) {
        env.remark(|| format!("order: {order:?}"));
        match order {
            Order::Raise(epoch) => self.raise(epoch, env),
            Order::Master(master) => {
                let other = master.filter(|it| it.node() != self.member.me());
                self.master = other.and_then(|it| self.number(it.node()));
            }
            Order::Claim(epoch) => {
                let standing = &self.driver.standing;
                self.writer.claim(Mastership {
                    epoch,
                    holder: standing.me.clone(),
                    roster: standing.roster.clone(),
                });
            }
            Order::CatchUp => {
                if let Some(follower) = &mut self.follower {
                    follower.catch_up();
                }
            }
            Order::AskOthers(epoch) => self.ask_others(epoch, env.now),
            Order::TakeOver {
                epoch,
                is_complete,
                admits,
            } => self.take_over((epoch, is_complete), admits, env),
            Order::Admit => self.admit(true),
            Order::Demote => self.demote(env),
            Order::Resign => self.resign(),
            Order::Release(epoch) => self.driver.closed(epoch, env.now),
            Order::StepDown => self.driver.step_down(env.now),
        }
    }

    fn raise(&mut self, epoch: Epoch, env: &mut Env<'_>) {
        self.epochs = self.epochs.max(epoch);
        self.driver.heard(epoch);
        let peers: Vec<usize> = self.connected.keys().copied().collect();
        for to in peers {
            self.say(to, Body::Alive, env);
        }
    }

    /// Here members tell nobody what they have newer: whoever has others on the roster hears nothing of them.
    fn ask_others(&mut self, epoch: Epoch, now: Instant) {
        let is_alone = self
            .driver
            .standing
            .roster
            .iter()
            .all(|node| node == self.member.me());
        let heard = if is_alone { Heard::All } else { Heard::Some };
        self.member.handle_heard(epoch, heard, now);
    }

    fn admit(&mut self, is_open: bool) {
        if let Some(engine) = &mut self.engine {
            engine.node.handle_admission(is_open);
        }
    }

    fn take_over(&mut self, taken: (Epoch, bool), admits: bool, env: &mut Env<'_>) {
        let (epoch, is_complete) = taken;
        self.admit(admits);
        // What it says first has to pass the gate.
        self.hold(env);
        env.out.push(Effect::TakesOver(epoch, is_complete));
        self.keeper.handle_vouched(self.vouched);
        let node = self.engine.as_mut().map(|it| &mut it.node);
        self.keeper.take_over(node, epoch, env.now, env.date);
        self.follower = None;
        self.is_incomplete = !is_complete;
        self.doubt = None;
        self.master = None;
    }

    fn demote(&mut self, env: &mut Env<'_>) {
        self.stamp = None;
        env.gate.control = None;
        let node = self.engine.as_mut().map(|it| &mut it.node);
        self.keeper.demote(node, env.now);
        self.office.forget();
        self.resign();
        if let Some(engine) = &mut self.engine {
            while engine
                .node
                .poll_transmit(env.now, &mut self.octets)
                .is_some()
            {}
        }
        env.out.push(Effect::Follows);
        self.follower = Some(Follower::default());
        self.roster = None;
        self.is_incomplete = false;
    }

    fn resign(&mut self) {
        self.writer.resign();
        self.keeper.resign();
    }

    pub(super) fn is_serving(&self) -> bool {
        self.member.side().0 == Side::Serving
    }
}
