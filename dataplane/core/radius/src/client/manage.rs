//! How many connections a server has, and which requests that wait get one.

use core::time::Duration;

use lns_tables::time::Instant;

use crate::client::Client;
use crate::client::requests::Identifier;
use crate::client::time::of_server;
use crate::config::Transport;
use crate::ids::Owner;
use crate::server::{Server, ServerKey, Standing};
use crate::trunk::ask::Ask;
use crate::trunk::link::LinkKey;
use crate::trunk::{RequestEvent, RequestState, TrunkEvent, TrunkState};

impl Client {
    /// Gives requests that wait to the connections of that one's server that take some.
    pub(super) fn serve(&mut self, key: LinkKey, now: Instant) {
        let Some(server) = self.links.get(key).map(|link| link.server) else {
            return;
        };
        self.serve_all(server, now);
    }

    fn serve_all(&mut self, server: ServerKey, now: Instant) {
        loop {
            let Some(there) = self.servers.get_mut(server) else {
                return;
            };
            let Some((_, link)) = there.order.first() else {
                return;
            };
            let Some((number, place)) = there.backlog.pop_first() else {
                return;
            };
            self.assign(Owner { place, number }, LinkKey(link), now);
        }
    }

    /// A connection can take requests again: those that wait on its siblings to be sent, because their
    /// sockets take nothing at the moment, come over as long as it has room.
    pub(super) fn rebalance(&mut self, key: LinkKey, now: Instant) {
        let Some(server) = self.links.get(key).map(|link| link.server) else {
            return;
        };
        let siblings = self.servers.get(server).map(|server| server.links.clone());
        let mut waiting: Vec<Owner> = Vec::new();
        for sibling in siblings.into_iter().flatten() {
            let blocked = self.links.get(sibling).filter(|link| link.blocked);
            waiting.extend(blocked.iter().flat_map(|link| link.unsent.iter().copied()));
        }
        for owner in waiting {
            if !self.has_room(key) {
                return;
            }
            let pending = |ask: &Ask| {
                ask.state == RequestState::Pending && ask.at.is_some_and(|at| at.link != key)
            };
            if self.ask(owner).is_some_and(pending) {
                self.leave(owner, Identifier::Free, now);
                self.step(owner, RequestEvent::Requeue);
                self.assign(owner, key, now);
            }
        }
    }

    fn has_room(&self, key: LinkKey) -> bool {
        let link = self.links.get(key);
        link.is_some_and(|link| link.state == TrunkState::Active)
    }

    /// A server can take requests again: those that wait for others that cannot come to it, if they may.
    pub(super) fn rescue(&mut self, server: ServerKey, now: Instant) {
        for other in self.preference.clone() {
            let stuck = matches!(self.standing(other), Standing::Full | Standing::Zombie);
            if other == server || !stuck {
                continue;
            }
            let waiting = self.waiting(other);
            for owner in waiting {
                if self.standing(server) != Standing::Open {
                    return;
                }
                if self.choose(owner) == Ok(server) {
                    self.unqueue(other, owner);
                    self.place(owner, now);
                }
            }
        }
    }

    /// A server has lost a connection: what waits for it waits for others if there is none left.
    pub(super) fn after_loss(&mut self, server: ServerKey, now: Instant) {
        if self.standing(server) == Standing::Down {
            self.empty_backlog(server, now);
        } else if self
            .servers
            .get(server)
            .is_some_and(|server| !server.backlog.is_empty())
        {
            self.grow(server, now);
            self.serve_all(server, now);
        }
        self.bury(server);
    }

    /// Everything that waits for a server goes elsewhere.
    pub(super) fn empty_backlog(&mut self, server: ServerKey, now: Instant) {
        for owner in self.waiting(server) {
            self.unqueue(server, owner);
            if let Some(ask) = self.ask_mut(owner) {
                ask.tried |= server.bit();
            }
            self.place(owner, now);
        }
    }

    fn waiting(&self, server: ServerKey) -> Vec<Owner> {
        let Some(server) = self.servers.get(server) else {
            return Vec::new();
        };
        let owner = |(number, place): (&u64, &u32)| Owner {
            place: *place,
            number: *number,
        };
        server.backlog.iter().map(owner).collect()
    }

    fn unqueue(&mut self, server: ServerKey, owner: Owner) {
        if let Some(server) = self.servers.get_mut(server) {
            server.backlog.remove(&owner.number);
        }
        self.step(owner, RequestEvent::Requeue);
    }

    /// Something waits for a server: one that drains is taken back, or one more is opened.
    pub(super) fn grow(&mut self, server: ServerKey, now: Instant) {
        if self.undrain(server, now) {
            return;
        }
        let may = self.servers.get(server).is_some_and(|server| {
            server.opening() == 0 && (!server.troubled || server.links.is_empty())
        });
        if may {
            self.open(server, now);
        }
    }

    /// A server has lost a connection, or got a zombie: what was on it does not go elsewhere while one is
    /// there that merely drains.
    pub(super) fn stand_in(&mut self, server: ServerKey, now: Instant) {
        let wanted = |server: &Server| {
            let usable = [TrunkState::Active, TrunkState::Full];
            !server.gone && usable.into_iter().all(|state| server.count(state) == 0)
        };
        if self.servers.get(server).is_some_and(wanted) {
            self.undrain(server, now);
        }
    }

    /// Takes back a connection that is about to go for want of work.
    fn undrain(&mut self, server: ServerKey, now: Instant) -> bool {
        let Some(there) = self.servers.get(server) else {
            return false;
        };
        let key = there.links.iter().copied().find(|key| {
            let state = self.links.get(*key).map(|link| link.state);
            state == Some(TrunkState::Draining)
        });
        let Some(key) = key else {
            return false;
        };
        self.trunk_on(key, TrunkEvent::Undrain);
        self.serve_all(server, now);
        true
    }

    /// Sees to it that a server is looked at while there is something to do.
    pub(super) fn arm_manage(&mut self, server: ServerKey, now: Instant) {
        let timer = of_server(server);
        let Some(there) = self.servers.get(server) else {
            return;
        };
        let min = self.floor(server);
        let busy = there.requests() > 0
            || there.living() > min
            || (there.staying() < min && self.can_open(server))
            || there.draining() > 0
            || !self.rules.lifetime.is_zero();
        if busy && !there.gone && self.timers.armed(timer).is_none() {
            self.timers.arm(timer, now + self.rules.manage_interval);
        }
    }

    /// Connections that a server has whatever there is to do, if the limits allow so many.
    pub(super) fn floor(&self, server: ServerKey) -> u16 {
        match self.servers.get(server).map(|there| there.config.transport) {
            Some(Transport::Tls) => self.rules.min.max(self.rules.min_streams),
            Some(Transport::Udp) | None => self.rules.min,
        }
    }

    /// Opens or closes a connection, if there has been more or less to do for long enough.
    pub(super) fn manage(&mut self, key: ServerKey, now: Instant) {
        self.retire_worn(key, now);
        self.fill_up(key, now);
        let (target, min) = (u32::from(self.rules.per_connection_target), self.floor(key));
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let usable = u32::from(server.living().saturating_sub(server.opening()));
        let requests = server.requests();
        let share = requests.div_ceil(usable.saturating_add(1));
        let above = usable > 0
            && requests > target.saturating_mul(usable)
            && share.saturating_mul(2) >= target;
        let fewer = usable.saturating_sub(1);
        let below = usable > u32::from(min)
            && requests
                .checked_div(fewer)
                .is_some_and(|share| share < target.div_ceil(2));
        server.above = if above {
            server.above.or(Some(now))
        } else {
            None
        };
        server.below = if below {
            server.below.or(Some(now))
        } else {
            None
        };
        let long = |since: Option<Instant>, last: Instant, delay: Duration| {
            since.is_some_and(|since| now.since(since) >= delay && now.since(last) >= delay)
        };
        let open = long(server.above, server.last_opened, self.rules.open_delay);
        let close = long(server.below, server.last_drained, self.rules.close_delay);
        if open {
            self.grow(key, now);
        } else if close {
            self.drain_one(key, now);
        }
        self.arm_manage(key, now);
    }

    /// Lets the connection go that is missed least: a zombie, or the emptiest.
    fn drain_one(&mut self, key: ServerKey, now: Instant) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.last_drained = now;
        let links = server.links.iter().filter_map(|key| {
            let link = self.links.get(*key)?;
            let order = match link.state {
                TrunkState::Inactive => 0_u8,
                TrunkState::Active | TrunkState::Full => 1,
                TrunkState::Halted
                | TrunkState::Init
                | TrunkState::Connecting
                | TrunkState::InactiveDraining
                | TrunkState::Draining
                | TrunkState::DrainingToFree
                | TrunkState::Closed => return None,
            };
            Some((order, link.in_flight, link.last_reply, *key))
        });
        if let Some((_, _, _, link)) = links.min() {
            self.drain(link, now);
        }
    }

    /// Replaces connections that are old, or have carried as much as they may.
    fn retire_worn(&mut self, key: ServerKey, now: Instant) {
        let (uses, lifetime) = (self.rules.uses, self.rules.lifetime);
        if uses == 0 && lifetime.is_zero() {
            return;
        }
        let Some(server) = self.servers.get(key) else {
            return;
        };
        let worn = |key: &LinkKey| {
            self.links.get(*key).is_some_and(|link| {
                let old = !lifetime.is_zero() && now.since(link.connected) >= lifetime;
                let spent = uses != 0 && link.sent >= uses;
                let in_use = matches!(
                    link.state,
                    TrunkState::Active | TrunkState::Full | TrunkState::Draining
                );
                in_use && (old || spent)
            })
        };
        let worn: Vec<LinkKey> = server.links.iter().copied().filter(worn).collect();
        for link in worn {
            self.expire(link, now);
        }
    }

    /// Opens the next connection of a server that has fewer than it should have.
    fn fill_up(&mut self, key: ServerKey, now: Instant) {
        let min = self.floor(key);
        if self.servers.get(key).is_some_and(|it| it.staying() < min) {
            self.open(key, now);
        }
    }
}
