//! Requests from their coming to their one outcome.

use lns_tables::time::Instant;

use crate::client::Client;
use crate::config::{Mode, Transport};
use crate::event::Event;
use crate::ids::Owner;
use crate::limits;
use crate::request::{Failure, Request, Token};
use crate::server::ServerKey;
use crate::trunk::ask::{Ask, At};
use crate::trunk::link::LinkKey;
use crate::trunk::{RequestEvent, RequestState};

/// What becomes of the identifier of a request that leaves its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Identifier {
    /// Nothing will be answered to it, or it was: it is free.
    Free,
    /// Its answer may still come.
    Rests,
}

impl Client {
    pub(super) fn take(&mut self, request: Request, now: Instant) {
        if self.tokens.contains_key(&request.token) {
            return;
        }
        let token = request.token;
        let max = self.config.limits.max_in_flight.min(limits::IN_FLIGHT);
        if self.asks.len() >= max {
            return self.refuse(token, Failure::NoCapacity);
        }
        self.number = self.number.saturating_add(1);
        let number = self.number;
        let end = self.config.timing.end(now);
        let packet = self.spare.pop().unwrap_or_default();
        let mut owner = Owner { place: 0, number };
        let place = self.asks.insert_with(|place| {
            owner.place = place;
            Ask::new(request, owner, end, packet)
        });
        if place.is_none() {
            return self.refuse(token, Failure::NoCapacity);
        }
        self.tokens.insert(token, owner.place);
        self.arm_ask(owner.place);
        self.step(owner, RequestEvent::Take);
        self.place(owner, now);
    }

    /// Gives a request that is nowhere to a server, or ends it.
    pub(super) fn place(&mut self, owner: Owner, now: Instant) {
        match self.choose(owner) {
            Ok(server) => self.give(owner, server, now),
            Err(Failure::AllDown) => {
                let failure = self.blame(owner).unwrap_or(Failure::AllDown);
                self.end(owner, Err(failure), None, Identifier::Free, now);
            }
            Err(failure) => self.end(owner, Err(failure), None, Identifier::Free, now),
        }
    }

    /// Gives a request that is nowhere to that server.
    fn give(&mut self, owner: Owner, server: ServerKey, now: Instant) {
        let Some(there) = self.servers.get_mut(server) else {
            return;
        };
        let key = there.key;
        let first = there.order.first();
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        if ask.server != Some(server) {
            ask.server = Some(server);
            ask.key = key;
        }
        self.arm_manage(server, now);
        if let Some((_, link)) = first {
            self.assign(owner, LinkKey(link), now);
            return;
        }
        self.step(owner, RequestEvent::Wait);
        if let Some(there) = self.servers.get_mut(server) {
            there.backlog.insert(owner.number, owner.place);
        }
        self.grow(server, now);
    }

    /// Puts a request that is nowhere, or waits for that server, on a connection that takes one.
    pub(super) fn assign(&mut self, owner: Owner, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let server = link.server;
        let Some(id) = link.ids.take(owner) else {
            debug_assert!(false, "one without identifiers is full");
            return self.end(owner, Err(Failure::NoCapacity), None, Identifier::Free, now);
        };
        link.in_flight = link.in_flight.saturating_add(1);
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        ask.at = Some(At { link: key, id });
        ask.stale = true;
        // Only its end stays: on each connection it is repeated as if it were new.
        ask.retry = None;
        ask.sends_here = 0;
        ask.first_sent = None;
        ask.queued = false;
        if let Some(server) = self.servers.get_mut(server) {
            server.in_flight = server.in_flight.saturating_add(1);
        }
        self.step(owner, RequestEvent::Assign);
        self.rank(key);
        self.queue(owner);
    }

    /// Has a request's packet sent as soon as its connection takes one.
    pub(super) fn queue(&mut self, owner: Owner) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        let Some(at) = ask.at.filter(|_| !ask.queued) else {
            return;
        };
        ask.queued = true;
        let (asks, key) = (&self.asks, at.link);
        if let Some(link) = self.links.get_mut(key) {
            // What has left a connection that takes nothing is still in its queue.
            if link.unsent.len() >= limits::UNSENT {
                link.unsent.retain(|owner| {
                    let ask = asks.get(owner.place).filter(|ask| ask.owner == *owner);
                    ask.is_some_and(|ask| ask.queued && ask.at.is_some_and(|at| at.link == key))
                });
            }
            link.unsent.push_back(owner);
        }
        self.ready(key);
    }

    /// Until when an identifier rests whose answer may still come (RFC 5080, 2.2.2).
    pub(super) fn rest_until(&self, now: Instant) -> Instant {
        self.config.timing.end(now).min(now + limits::REST)
    }

    /// What becomes of the identifier of a request for which nobody waits any more. Over UDP it is free: a
    /// late answer does not fit who has it next, and is dropped. In a stream such an answer would be taken
    /// for the end of all sense, so that there it rests.
    pub(super) fn given_up(&self, owner: Owner) -> Identifier {
        let at = self.ask(owner).and_then(|ask| ask.at);
        match at.and_then(|at| self.transport(at.link)) {
            Some(Transport::Tls) => Identifier::Rests,
            Some(Transport::Udp) | None => Identifier::Free,
        }
    }

    /// Takes a request off its connection, if it is on one.
    pub(super) fn leave(
        &mut self,
        owner: Owner,
        identifier: Identifier,
        now: Instant,
    ) -> Option<At> {
        let rest = self.rest_until(now);
        let ask = self.ask_mut(owner)?;
        ask.queued = false;
        let at = ask.at.take()?;
        let until = match self.transport(at.link) {
            // Nothing is lost there, and what is slow comes in the end.
            Some(Transport::Tls) => now + limits::REST,
            Some(Transport::Udp) | None => rest,
        };
        let ask = self.ask_mut(owner)?;
        ask.left_behind |= identifier == Identifier::Rests;
        let link = self.links.get_mut(at.link)?;
        match identifier {
            Identifier::Free => link.ids.release(at.id),
            Identifier::Rests => link.ids.rest(at.id, until),
        }
        link.in_flight = link.in_flight.saturating_sub(1);
        if let Some(server) = self.servers.get_mut(link.server) {
            server.in_flight = server.in_flight.saturating_sub(1);
        }
        if identifier == Identifier::Rests {
            self.arm_rest(at.link);
        }
        self.rank(at.link);
        Some(at)
    }

    /// The connection of a request is gone.
    pub(super) fn displace(&mut self, owner: Owner, now: Instant) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        ask.at = None;
        ask.queued = false;
        if ask.sends > 0 {
            ask.tried |= ask.server.map_or(0, ServerKey::bit);
        }
        self.step(owner, RequestEvent::Requeue);
        if self.is_copy() {
            return self.end(owner, Err(Failure::AllDown), None, Identifier::Free, now);
        }
        self.count_moved(owner);
        self.place(owner, now);
    }

    /// What waits on a connection that takes nothing new goes elsewhere.
    pub(super) fn displace_unsent(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        let owners: Vec<Owner> = link.unsent.iter().copied().collect();
        for owner in owners {
            let pending = |ask: &Ask| ask.state == RequestState::Pending;
            if self.ask(owner).is_some_and(pending) {
                self.leave(owner, Identifier::Free, now);
                self.step(owner, RequestEvent::Requeue);
                self.place(owner, now);
            }
        }
    }

    /// Gives a request that was sent and not answered to somebody else, if there is one. Its old
    /// identifier rests: the answer may still come.
    pub(super) fn move_on(&mut self, owner: Owner, now: Instant) -> bool {
        let Some(server) = self.better(owner) else {
            return false;
        };
        if let Some(ask) = self.ask_mut(owner) {
            let here = ask.server.filter(|here| *here != server);
            ask.tried |= here.map_or(0, ServerKey::bit);
        }
        self.go_to(owner, server, Identifier::Rests, now);
        true
    }

    /// Gives a request that is on a connection to that server.
    pub(super) fn go_to(
        &mut self,
        owner: Owner,
        server: ServerKey,
        identifier: Identifier,
        now: Instant,
    ) {
        self.count_moved(owner);
        let left = self.leave(owner, identifier, now);
        self.step(owner, RequestEvent::Requeue);
        self.give(owner, server, now);
        if let Some(at) = left {
            self.close_if_empty(at.link, now);
            self.serve(at.link, now);
        }
    }

    pub(super) fn repeat(&mut self, token: Token, now: Instant) {
        if self.config.mode != Mode::Synchronous {
            return;
        }
        let Some(owner) = self.owner_of(token) else {
            return;
        };
        self.judge(owner, false, now);
        let Some(ask) = self.ask(owner).filter(|ask| ask.waits_for_answer()) else {
            return;
        };
        let transport = ask.at.and_then(|at| self.transport(at.link));
        let silent = ask
            .at
            .and_then(|at| self.links.get(at.link))
            .is_some_and(|link| link.state.is_zombie());
        if silent && self.move_on(owner, now) {
            return;
        }
        if transport == Some(Transport::Udp) {
            self.queue(owner);
        }
    }

    /// A request's transition.
    pub(super) fn step(&mut self, owner: Owner, on: RequestEvent) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        let from = ask.state;
        match from.on(on) {
            Ok(to) => {
                ask.state = to;
                let token = ask.request.token;
                self.tell(Event::Request { token, from, to });
            }
            Err(illegal) => debug_assert!(false, "{illegal}"),
        }
    }

    /// The request, if it is still that one.
    pub(super) fn ask(&self, owner: Owner) -> Option<&Ask> {
        self.asks.get(owner.place).filter(|ask| ask.owner == owner)
    }

    pub(super) fn ask_mut(&mut self, owner: Owner) -> Option<&mut Ask> {
        self.asks
            .get_mut(owner.place)
            .filter(|ask| ask.owner == owner)
    }

    pub(super) fn owner_of(&self, token: Token) -> Option<Owner> {
        let place = self.tokens.get(&token)?;
        self.asks.get(*place).map(|ask| ask.owner)
    }

    fn count_moved(&mut self, owner: Owner) {
        let server = self.ask(owner).and_then(|ask| ask.server);
        if let Some(server) = server.and_then(|key| self.servers.get_mut(key)) {
            server.stats.moved = server.stats.moved.saturating_add(1);
        }
    }
}
