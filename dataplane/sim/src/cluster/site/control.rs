//! The control task's round: as `dataplane/src/run/control.rs` has it.

use core::net::SocketAddr;

use lns_cluster::journal::Ticket;
use lns_node::Role;
use lns_node::radius::Order;
use lns_tables::time::Instant;
use lns_wire::l2tp::Packet;

use super::keeper::Output;
use super::{Body, Effect, Env, Process};
use crate::world::SERVICE;

/// Sessions in one report.
const REPORTS: usize = 512;

impl Process {
    /// A datagram reaches this node.
    pub(in crate::cluster) fn receive(
        &mut self,
        from: SocketAddr,
        octets: &[u8],
        env: &mut Env<'_>,
    ) {
        self.take_in(from, octets, env);
        self.settle(env);
    }

    /// What a worker does with a datagram.
    pub(super) fn take_in(&mut self, from: SocketAddr, octets: &[u8], env: &mut Env<'_>) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let now = env.now;
        let Ok(Packet::Data(header, frame)) = Packet::parse(octets) else {
            engine.node.handle_control(SERVICE, from, octets, now);
            return;
        };
        let (tunnel, session) = (header.tunnel, header.session);
        if engine.node.role() == Role::Standby && engine.workers.find(tunnel, session).is_none() {
            // The home of what is not known is the master.
            if let Some(master) = self.master {
                self.say(master, Body::Packet(from, octets.to_vec()), env);
            }
            return;
        }
        if engine.workers.take(&header, frame, from, now) {
            engine.node.handle_ppp(tunnel, session, from, frame, now);
        }
    }

    /// The timer, and all that follows from what was heard. Whether there was anything.
    pub(super) fn control(&mut self, env: &mut Env<'_>) -> bool {
        let now = env.now;
        let mut any = false;
        if let Some(engine) = &mut self.engine
            && engine.node.poll_timeout().is_some_and(|at| at <= now)
        {
            engine.node.handle_timeout(now);
            any = true;
        }
        any |= self.hear_servers(now);
        let node = self.engine.as_mut().map(|it| &mut it.node);
        any |= self.keeper.turn(node, now);
        self.give_out();
        any |= self.release(env);
        any |= self.carry_out(env);
        any
    }

    fn give_out(&mut self) {
        while let Some(round) = self.keeper.poll_round() {
            self.writer.write(round);
        }
    }

    /// Does what the node wants, in its order.
    fn carry_out(&mut self, env: &mut Env<'_>) -> bool {
        if self.engine.is_none() {
            return false;
        }
        let mut any = self.update(env.now);
        any |= self.hand_over(env);
        let ticket = self.store(env);
        any |= ticket.is_some();
        let last = ticket.unwrap_or_else(|| self.keeper.last());
        any |= self.transmit(last, env);
        any |= self.release(env);
        any |= self.ask_servers(env);
        while let Some(event) = self.engine.as_mut().and_then(|it| it.node.poll_event()) {
            env.out.push(Effect::Event(event));
            any = true;
        }
        any
    }

    fn update(&mut self, now: Instant) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        let mut any = false;
        while let Some(update) = engine.node.poll_path() {
            any = true;
            if let Some(report) = engine.workers.apply(&update) {
                engine.node.handle_report(&report, now);
            }
        }
        while let Some(order) = engine.node.poll_order() {
            any = true;
            match order {
                Order::Record(record) => self.keeper.take(*record),
                order => self.office.order(order, now),
            }
        }
        any
    }

    // RADIUS.

    /// What servers have said.
    fn hear_servers(&mut self, now: Instant) -> bool {
        let mut any = false;
        for outcome in self.office.take_outcomes() {
            any = true;
            if let Some(engine) = &mut self.engine {
                engine.node.handle_outcome(&outcome, now);
            }
        }
        for number in self.office.take_settled() {
            any = true;
            self.keeper.handle_settled(number);
        }
        any
    }

    fn ask_servers(&mut self, env: &mut Env<'_>) -> bool {
        let mut any = false;
        while let Some(asked) = self.office.poll(env.now) {
            any = true;
            env.out.push(Effect::Radius(asked));
        }
        any
    }

    /// What is the master's, and what it is to be told, of a member that is not the master.
    fn hand_over(&mut self, env: &mut Env<'_>) -> bool {
        let mut any = false;
        while let Some(forward) = self.engine.as_mut().and_then(|it| it.node.poll_forward()) {
            any = true;
            if let Some(master) = self.master {
                self.say(master, Body::Forward(forward), env);
            }
        }
        while let Some(reports) = self
            .engine
            .as_mut()
            .and_then(|it| it.node.poll_reports(REPORTS, env.now))
        {
            any = true;
            let is_over = self.epochs.number() != reports.epoch;
            if let Some(master) = self.master.filter(|_| !is_over) {
                self.say(master, Body::Report(reports.sessions), env);
            }
        }
        any
    }

    fn store(&mut self, env: &Env<'_>) -> Option<Ticket> {
        let engine = self.engine.as_mut()?;
        let (ticket, any) = self.keeper.store(&mut engine.node, env.now, env.date);
        self.give_out();
        any.then_some(ticket)
    }

    /// Whether what leaves may leave. On standby a node says nothing that only a master says.
    fn may_speak(&self, now: Instant) -> bool {
        let role = self.engine.as_ref().map(|it| it.node.role());
        role != Some(Role::Active) || self.stamp.is_some_and(|until| now < until)
    }

    /// Sends what may leave; what tells of a change that is not stored waits for the ticket.
    fn transmit(&mut self, ticket: Ticket, env: &mut Env<'_>) -> bool {
        let may_speak = self.may_speak(env.now);
        let mut any = false;
        let mut octets = core::mem::take(&mut self.octets);
        while let Some(engine) = &mut self.engine
            && let Some(transmit) = engine.node.poll_transmit(env.now, &mut octets)
        {
            any = true;
            if !may_speak || (transmit.waits && !self.keeper.is_settled(ticket)) {
                self.keeper.delay(ticket, transmit, &octets);
                continue;
            }
            if transmit.waits {
                let version = self.keeper.commit.version();
                self.reveal(&transmit.remote, version, env);
            }
            self.send(transmit, &octets, env);
        }
        self.octets = octets;
        any
    }

    /// Sends what has waited and may leave now.
    fn release(&mut self, env: &mut Env<'_>) -> bool {
        if !self.may_speak(env.now) {
            return false;
        }
        let mut any = false;
        while let Some(waited) = self.keeper.poll_output(env.now) {
            any = true;
            match waited.output {
                Output::Datagram(transmit, octets) => {
                    if transmit.waits {
                        self.reveal(&transmit.remote, waited.version, env);
                    }
                    self.send(transmit, &octets, env);
                }
                Output::Record(record) => {
                    self.reveal(&record.session, waited.version, env);
                    self.office.record(record);
                }
            }
        }
        any
    }

    /// Something leaves for a LAC, or of a session, and may tell of all changes up to `version`.
    fn reveal(&mut self, of: &dyn ToString, version: u64, env: &mut Env<'_>) {
        let is_whole = self.keeper.is_whole();
        if !self.keeper.commit.reveal(version) && is_whole {
            env.out.push(Effect::Leaks(of.to_string()));
        }
    }

    fn send(&mut self, transmit: lns_node::Transmit, octets: &[u8], env: &mut Env<'_>) {
        let mut octets = octets.to_vec();
        if let (Some(sequence), Some(engine)) = (transmit.sequence, &mut self.engine) {
            engine.workers.number(sequence, &mut octets);
        }
        env.out.push(Effect::Send {
            to: transmit.remote,
            octets,
            as_data: transmit.as_data,
        });
    }
}
