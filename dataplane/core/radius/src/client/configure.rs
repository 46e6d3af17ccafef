//! Which servers there are.

use lns_tables::slab::Key as _;
use lns_tables::time::Instant;

use crate::client::Client;
use crate::config::{self, Config};
use crate::limits;
use crate::server::{Server, ServerKey};
use crate::trunk::TrunkEvent;

impl Client {
    pub(super) fn configure(&mut self, mut config: Config, now: Instant) {
        let servers = core::mem::take(&mut config.servers);
        self.config = config;
        let before = core::mem::take(&mut self.preference);
        for server in servers.into_iter().take(limits::SERVERS) {
            if let Some(key) = self.same(&before, &server) {
                if let Some(there) = self.servers.get_mut(key) {
                    there.configure(server);
                }
                self.preference.push(key);
            } else if let Ok(key) = self.servers.insert(Server::new(server, now)) {
                self.preference.push(key);
            }
        }
        for key in before {
            if !self.preference.contains(&key) {
                self.retire(key, now);
            }
        }
        for key in self.preference.clone() {
            for _ in 0..self.rules.start {
                if self.living(key) < self.rules.start {
                    self.open(key, now);
                }
            }
        }
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
        self.empty_backlog(key, now);
        self.bury(key);
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
