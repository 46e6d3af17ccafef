//! The transitions of sockets, of what a trunk sees of them, and of what they are together: nothing changes
//! a state but by its table, and everything that does is told.

use core::cmp::Reverse;

use crate::client::Client;
use crate::connection::ConnectionEvent;
use crate::event::{Cause, Event};
use crate::order::Lively;
use crate::server::{ServerKey, ServerState};
use crate::trunk::link::LinkKey;
use crate::trunk::{TrunkEvent, TrunkState};

impl Client {
    /// A socket's transition.
    pub(super) fn socket_on(&mut self, key: LinkKey, on: ConnectionEvent, cause: Option<Cause>) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let from = link.socket;
        let to = match from.on(on) {
            Ok(to) => to,
            Err(illegal) => {
                debug_assert!(false, "{illegal}");
                return;
            }
        };
        link.socket = to;
        let connection = link.id;
        let server = link.server;
        let server = self
            .servers
            .get(server)
            .map(|server| server.config.name.clone());
        if let Some(server) = server {
            self.tell(Event::Connection {
                connection,
                server,
                from,
                to,
                cause,
            });
        }
    }

    /// Whether a trunk's connection knows that event in its state.
    pub(super) fn trunk_may(&self, key: LinkKey, on: TrunkEvent) -> bool {
        self.links
            .get(key)
            .is_some_and(|link| link.state.on(on).is_ok())
    }

    /// The transition of what a trunk sees of a connection. `false` if there is no such one.
    pub(super) fn trunk_on(&mut self, key: LinkKey, on: TrunkEvent) -> bool {
        let Some(link) = self.links.get_mut(key) else {
            return false;
        };
        let from = link.state;
        let to = match from.on(on) {
            Ok(to) => to,
            Err(illegal) => {
                debug_assert!(false, "{illegal}");
                return false;
            }
        };
        link.state = to;
        let (connection, server) = (link.id, link.server);
        let Some(there) = self.servers.get_mut(server) else {
            return true;
        };
        there.recount(Some(from), Some(to));
        let name = there.config.name.clone();
        self.tell(Event::Trunk {
            connection,
            server: name,
            from,
            to,
        });
        self.rank(key);
        self.regard(server);
        true
    }

    /// Notes what the connections of a server are together.
    pub(super) fn regard(&mut self, key: ServerKey) {
        let rules = self.rules;
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let from = server.aggregate;
        let to = server.aggregated(&rules);
        if from != to {
            server.aggregate = to;
            let server = server.config.name.clone();
            self.tell(Event::Aggregate { server, from, to });
        }
        self.tell_server(key);
    }

    /// Says so if a server is another thing than before.
    pub(super) fn tell_server(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let (from, to) = (server.state, server.told());
        if from != to {
            server.state = to;
            let event = Event::Server {
                server: server.config.name.clone(),
                from,
                to,
                cause: server.cause.filter(|_| to == ServerState::Down),
            };
            self.tell(event);
        }
    }

    /// Puts a connection where it belongs among those that take requests.
    pub(super) fn rank(&mut self, key: LinkKey) {
        let per_connection = self.rules.per_connection_max;
        let Some(link) = self.links.get(key) else {
            return;
        };
        let full = link.is_full(per_connection);
        if link.state == TrunkState::Active && full {
            self.trunk_on(key, TrunkEvent::Fill);
            return;
        }
        if link.state == TrunkState::Full && !full {
            self.trunk_on(key, TrunkEvent::Room);
            return;
        }
        let Some(server) = self.servers.get_mut(link.server) else {
            return;
        };
        if link.state == TrunkState::Active {
            let lively = Lively {
                answers: !link.suspect,
                last_reply: link.last_reply,
                free_ids: link.ids.free(),
                number: Reverse(key.0),
            };
            server.order.put(key.0, lively);
        } else {
            server.order.remove(key.0);
        }
    }

    /// A connection is on trial no longer.
    pub(super) fn trial_over(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let trial = core::mem::take(&mut link.trial);
        if let Some(server) = self.servers.get_mut(link.server) {
            server.trials = server.trials.saturating_sub(u16::from(trial));
        }
    }
}
