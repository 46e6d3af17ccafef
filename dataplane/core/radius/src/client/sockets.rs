//! Connections as they come and go: each transition of a socket, and of what a trunk sees of it.

use core::time::Duration;

use lns_tables::time::Instant;

use crate::client::Client;
use crate::client::time::{Wait, of_link};
use crate::config::Purpose;
use crate::connection::{ConnectionEvent, ConnectionState};
use crate::event::{Action, Cause, ConnectionId};
use crate::limits;
use crate::server::ServerKey;
use crate::trunk::link::{Link, LinkKey};
use crate::trunk::{TrunkEvent, TrunkState};

/// Who closes a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closer {
    /// The client: the process must be asked to.
    Client,
    /// The process has.
    Process,
}

impl Client {
    /// Whether one more socket to that server is within the limits. A server without any comes before
    /// the second one of another.
    pub(super) fn can_open(&self, server: ServerKey) -> bool {
        let Some(own) = self.servers.get(server) else {
            return false;
        };
        let waiting = self.preference.iter().filter(|other| {
            **other != server
                && self
                    .servers
                    .get(**other)
                    .is_some_and(|other| other.links.is_empty())
        });
        let kept = if own.links.is_empty() {
            0
        } else {
            u16::try_from(waiting.count()).unwrap_or(u16::MAX)
        };
        let max = self.max_sockets();
        !own.gone
            && own.opening() < self.rules.connecting
            && u32::from(own.living()) < self.rules.max
            && u32::from(self.sockets.saturating_add(kept)) < max
    }

    /// Sockets at most.
    pub(super) fn max_sockets(&self) -> u32 {
        u32::from(self.config.limits.max_connections).min(limits::CONNECTIONS)
    }

    /// Opens one more connection, if the limits allow it.
    pub(super) fn open(&mut self, server: ServerKey, now: Instant) {
        if !self.can_open(server) {
            return;
        }
        let id = ConnectionId {
            index: 0,
            generation: 0,
        };
        let Some(key) = self.links.insert_with(|_| Link::new(server, id, now)) else {
            return;
        };
        if let Some(server) = self.servers.get_mut(server) {
            server.links.push(key);
            server.recount(None, Some(TrunkState::Halted));
            server.last_opened = now;
        }
        self.start(key, now);
    }

    /// Asks the process for the socket of a connection that has none.
    pub(super) fn start(&mut self, key: LinkKey, now: Instant) {
        if u32::from(self.sockets) >= self.max_sockets() {
            self.timers
                .arm(of_link(key, Wait::State), now + self.rules.reconnect_delay);
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let id = ConnectionId {
            index: key.0,
            generation: self.generation,
        };
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.begin(id);
        let server = link.server;
        self.socket_on(key, ConnectionEvent::Start, None);
        self.trunk_on(key, TrunkEvent::Init);
        self.sockets = self.sockets.saturating_add(1);
        self.socket_on(key, ConnectionEvent::Allocate, None);
        self.trunk_on(key, TrunkEvent::Connect);
        let Some(server) = self.servers.get_mut(server) else {
            return;
        };
        server.stats.opened = server.stats.opened.saturating_add(1);
        self.actions.push_back(Action::Open {
            connection: id,
            server: server.config.name.clone(),
            address: server.config.address,
            transport: server.config.transport,
        });
        self.timers
            .arm(of_link(key, Wait::State), now + self.rules.connect_timeout);
    }

    /// The process has opened a socket. After a failure the server has to show that it lives, if it is
    /// known to answer checks.
    pub(super) fn opened(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if link.socket != ConnectionState::Connecting || link.open {
            return;
        }
        link.open = true;
        link.connected = now;
        self.timers.disarm(of_link(key, Wait::State));
        let server = link.server;
        let checks = self.servers.get(server).is_some_and(|server| {
            server.tries(self.config.purpose) && self.config.check.is_sure(server.check)
        });
        if checks {
            self.begin_checks(key, now);
        } else {
            self.connected(key, now);
        }
    }

    /// A connection can be used.
    pub(super) fn connected(&mut self, key: LinkKey, now: Instant) {
        let purpose = self.config.purpose;
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.connected = now;
        let server = link.server;
        if let Some(server) = self.servers.get_mut(server) {
            link.trial = server.tries(purpose);
            server.trials = server.trials.saturating_add(u16::from(link.trial));
        }
        self.socket_on(key, ConnectionEvent::Open, None);
        self.trunk_on(key, TrunkEvent::Connected);
        self.begin_watch(key, now);
        self.rebalance(key, now);
        self.serve(key, now);
        self.rescue(server, now);
        self.arm_manage(server, now);
    }

    /// A connection has failed. What was on it goes elsewhere; it is opened again after a while if it was
    /// one of those that a server always has.
    pub(super) fn fail_link(&mut self, key: LinkKey, cause: Cause, closer: Closer, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let server = link.server;
        let expired = link.state == TrunkState::DrainingToFree;
        let lived = link.state != TrunkState::Connecting
            && now.since(link.connected) > limits::RECONNECT_MAX;
        let owners: Vec<_> = link.ids.live().collect();
        let in_flight = core::mem::take(&mut link.in_flight);
        let timeout = cause == Cause::ConnectTimeout;
        let unchecked = link.checking.on && cause == Cause::NoAnswer;
        self.trial_over(key);
        if timeout {
            self.socket_on(key, ConnectionEvent::Expire, Some(cause));
        }
        self.socket_on(key, ConnectionEvent::Fail, Some(cause));
        self.close_socket(key, closer);
        if let Some(server) = self.servers.get_mut(server) {
            server.in_flight = server.in_flight.saturating_sub(u32::from(in_flight));
            let stats = &mut server.stats;
            stats.failed = stats.failed.saturating_add(1);
            stats.timed_out = stats.timed_out.saturating_add(u64::from(timeout));
            if unchecked && server.failures >= limits::CHECKS_DOUBTED {
                server.check = None;
            }
            if !expired {
                server.troubled = true;
                server.cause = Some(cause);
                server.failures = if lived {
                    1
                } else {
                    server.failures.saturating_add(1)
                };
            }
        }
        self.end_or_wait(key, now);
        self.stand_in(server, now);
        self.tell_server(server);
        for owner in owners {
            self.displace(owner, now);
        }
        self.after_loss(server, now);
    }

    /// A connection that is not needed, or has failed, is gone for good, or tried again later.
    fn end_or_wait(&mut self, key: LinkKey, now: Instant) {
        let Some(server) = self.links.get(key).map(|link| link.server) else {
            return;
        };
        let floor = usize::from(self.floor(server));
        let wait = self
            .servers
            .get(server)
            .filter(|server| !server.gone && server.links.len() <= floor)
            .map(|server| self.delay(server.failures));
        match wait {
            Some(delay) => self.timers.arm(of_link(key, Wait::State), now + delay),
            None => self.free(key),
        }
    }

    /// How long after so many failures in a row.
    fn delay(&self, failures: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.rules
            .reconnect_delay
            .saturating_mul(doubled)
            .min(limits::RECONNECT_MAX)
    }

    /// A connection that is to go takes nothing new, and goes at once if nothing is on it.
    pub(super) fn expire(&mut self, key: LinkKey, now: Instant) {
        self.drain_as(key, TrunkEvent::Expire, now);
    }

    /// The same for one that is one too many; it may be taken back.
    pub(super) fn drain(&mut self, key: LinkKey, now: Instant) {
        self.drain_as(key, TrunkEvent::Drain, now);
    }

    fn drain_as(&mut self, key: LinkKey, event: TrunkEvent, now: Instant) {
        if !self.trunk_on(key, event) {
            return;
        }
        self.displace_unsent(key, now);
        self.close_if_empty(key, now);
    }

    /// Closes one that drains once nothing is on it.
    pub(super) fn close_if_empty(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        let drains = matches!(
            link.state,
            TrunkState::Draining | TrunkState::InactiveDraining | TrunkState::DrainingToFree
        );
        if drains && link.in_flight == 0 {
            self.socket_on(key, ConnectionEvent::Shut, Some(Cause::Expired));
            self.give_up(key, now);
        }
    }

    /// Ends a connection on which nothing is, whatever it is doing.
    pub(super) fn give_up(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        let server = link.server;
        self.trial_over(key);
        if self
            .links
            .get(key)
            .is_some_and(|link| link.socket == ConnectionState::Connecting)
        {
            self.socket_on(key, ConnectionEvent::Fail, Some(Cause::Expired));
        }
        self.close_socket(key, Closer::Client);
        self.free(key);
        self.after_loss(server, now);
    }

    /// The socket goes back to the process, and all that was the socket's is forgotten.
    fn close_socket(&mut self, key: LinkKey, closer: Closer) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let id = link.id;
        let had = matches!(
            link.socket,
            ConnectionState::Failed | ConnectionState::Connected | ConnectionState::Shutdown
        );
        link.checking.stop();
        link.unsent.clear();
        link.ids.clear();
        if had {
            self.sockets = self.sockets.saturating_sub(1);
            if closer == Closer::Client {
                self.actions.push_back(Action::Close(id));
            }
            self.socket_on(key, ConnectionEvent::Close, None);
        }
        if self.trunk_may(key, TrunkEvent::Close) {
            self.trunk_on(key, TrunkEvent::Close);
        }
        for wait in [Wait::State, Wait::Check, Wait::Rest, Wait::Pause] {
            self.timers.disarm(of_link(key, wait));
        }
    }

    /// The connection is gone.
    fn free(&mut self, key: LinkKey) {
        self.socket_on(key, ConnectionEvent::Halt, None);
        self.trunk_on(key, TrunkEvent::Halt);
        self.timers.disarm(of_link(key, Wait::State));
        let Some(link) = self.links.remove(key) else {
            return;
        };
        if let Some(server) = self.servers.get_mut(link.server) {
            server.links.retain(|other| *other != key);
            server.recount(Some(link.state), None);
        }
        self.regard(link.server);
    }

    /// How many sockets there are.
    pub(super) const fn sockets(&self) -> u16 {
        self.sockets
    }

    /// Whether nothing is asked but to send.
    pub(super) fn is_copy(&self) -> bool {
        self.config.purpose == Purpose::Copy
    }
}
