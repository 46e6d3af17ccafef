//! Which servers there are.

use lns_tables::slab::Key as _;
use lns_tables::time::Instant;

use crate::client::Client;
use crate::client::sockets::Closer;
use crate::config::{self, Config};
use crate::event::Cause;
use crate::limits;
use crate::server::{Server, ServerKey};
use crate::trunk::TrunkEvent;

impl Client {
    pub(super) fn configure(&mut self, mut config: Config, now: Instant) {
        let mut servers = core::mem::take(&mut config.servers);
        servers.truncate(limits::SERVERS);
        self.make_places(servers.len(), now);
        self.config = config;
        let before = core::mem::take(&mut self.preference);
        for server in servers {
            if let Some(key) = self.same(&before, &server) {
                if let Some(there) = self.servers.get_mut(key) {
                    there.configure(server);
                }
                self.preference.push(key);
            } else if let Ok(key) = self.servers.insert(Server::new(server, now)) {
                self.preference.push(key);
            }
        }
        let leaving = before
            .into_iter()
            .filter(|key| !self.preference.contains(key));
        let leaving: Vec<ServerKey> = leaving.collect();
        for key in &leaving {
            self.retire(*key, now);
        }
        for key in self.preference.clone() {
            if self.living(key) == 0 {
                self.make_socket(now);
            }
            for _ in self.living(key)..self.rules.start {
                self.open(key, now);
            }
        }
        for key in leaving {
            self.empty_backlog(key, now);
            self.bury(key);
        }
        self.checks_changed(now);
    }

    /// Sees to it that there are places for so many servers more.
    fn make_places(&mut self, count: usize, now: Instant) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let most = super::SERVER_PLACES.saturating_sub(count);
        for _ in 0..super::SERVER_PLACES {
            if self.servers.len() <= most || !self.hurry(now) {
                return;
            }
        }
    }

    /// Sees to it that there is a socket for a server that has none.
    fn make_socket(&mut self, now: Instant) {
        for _ in 0..super::SERVER_PLACES {
            if !self.has_no_socket() || !self.hurry(now) {
                return;
            }
        }
    }

    fn has_no_socket(&self) -> bool {
        u32::from(self.sockets) >= self.max_sockets()
    }

    /// A server that is on its way out is not waited for any longer: its place and its sockets are wanted.
    /// `false` if there is none.
    fn hurry(&mut self, now: Instant) -> bool {
        let leaving = (0..self.servers.span())
            .map(ServerKey::from_index)
            .find(|key| {
                let server = self.servers.get(*key);
                server.is_some_and(|server| server.gone)
            });
        let Some(key) = leaving else {
            return false;
        };
        let links = self.servers.get(key).map(|server| server.links.clone());
        for link in links.into_iter().flatten() {
            self.fail_link(link, Cause::Expired, Closer::Client, now);
        }
        true
    }

    /// The server that this one is, with other secrets perhaps.
    fn same(&self, before: &[ServerKey], server: &config::Server) -> Option<ServerKey> {
        before.iter().copied().find(|key| {
            self.servers.get(*key).is_some_and(|there| {
                there.config.name == server.name
                    && there.config.address == server.address
                    && there.config.transport == server.transport
            })
        })
    }

    /// The server is configured no longer: what waits for it goes elsewhere, what was sent is waited for.
    fn retire(&mut self, key: ServerKey, now: Instant) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.gone = true;
        let links = server.links.clone();
        for link in links {
            if self.trunk_may(link, TrunkEvent::Expire) {
                self.expire(link, now);
            } else {
                self.give_up(link, now);
            }
        }
    }

    /// Forgets a server that is configured no longer, once it has no connection and no request.
    pub(super) fn bury(&mut self, key: ServerKey) {
        let over = self
            .servers
            .get(key)
            .is_some_and(|server| server.gone && server.links.is_empty() && server.requests() == 0);
        if over {
            self.timers.disarm(super::time::of_server(key));
            self.servers.remove(key);
        }
    }

    fn living(&self, key: ServerKey) -> u16 {
        debug_assert!(key.index() < super::SERVER_PLACES);
        self.servers.get(key).map_or(0, Server::living)
    }
}
