//! What can be seen of a client.

use lns_tables::slab::Key as _;
use lns_tables::time::Instant;

use crate::client::Client;
use crate::config::StatusCheck;
use crate::event::Dropped;
use crate::request::Failure;
use crate::server::Server;
use crate::trunk::link::{Link, LinkKey};
use crate::view::{ConnectionView, Held, ServerView, View};

impl Client {
    /// What it looks like now.
    pub fn view(&self, now: Instant) -> View {
        let servers = self
            .preference
            .iter()
            .filter_map(|key| self.servers.get(*key));
        let failures = Failure::ALL.iter().zip(&self.failures);
        View {
            purpose: self.config.purpose,
            servers: servers
                .map(|server| self.view_server(server, now))
                .collect(),
            in_flight: self.asks.len(),
            max_in_flight: self.config.limits.max_in_flight,
            connections: self.sockets(),
            max_connections: self.config.limits.max_connections,
            failures: failures
                .map(|(failure, count)| (failure.label(), *count))
                .collect(),
            events_lost: self.events_lost,
        }
    }

    fn view_server(&self, server: &Server, now: Instant) -> ServerView {
        let links = server.links.iter().filter_map(|key| self.links.get(*key));
        let dropped = Dropped::all().zip(server.dropped);
        let check = if matches!(self.config.check, StatusCheck::Auto(_)) {
            server.check
        } else {
            self.config.check.kind(self.config.purpose, None, 0)
        };
        ServerView {
            name: server.config.name.clone(),
            address: server.config.address,
            transport: server.config.transport,
            state: server.state,
            cause: server.cause,
            aggregate: server.aggregate,
            in_flight: server.in_flight,
            backlog: u32::try_from(server.backlog.len()).unwrap_or(u32::MAX),
            last_reply: server.last_reply.map(|reply| now.since(reply)),
            rtt: server.rtt.view(),
            verified: server.verified,
            requires_message_authenticator: server.verifier.requires(),
            check,
            counts: server.stats,
            dropped: dropped
                .map(|(reason, count)| (reason.label(), count))
                .collect(),
            connections: links.map(|link| view_link(link, now)).collect(),
        }
    }

    /// What is in use.
    pub fn held(&self) -> Held {
        let links =
            || (0..self.links.span()).filter_map(|at| self.links.get(LinkKey::from_index(at)));
        let asks = || (0..self.asks.span()).filter_map(|at| self.asks.get(at));
        let servers = self
            .preference
            .iter()
            .filter_map(|key| self.servers.get(*key));
        Held {
            requests: self.asks.len(),
            tokens: self.tokens.len(),
            ids: links().map(|link| u32::from(link.ids.used())).sum(),
            timers: self.ask_timers.len(),
            backlog: servers.map(|server| server.backlog.len()).sum(),
            unsent: links().map(|link| link.unsent.len()).sum(),
            buffers: asks().filter(|ask| ask.packet.capacity() > 0).count(),
        }
    }
}

fn view_link(link: &Link, now: Instant) -> ConnectionView {
    ConnectionView {
        id: link.id,
        state: link.state,
        socket: link.socket,
        checking: link.checking.on,
        on_trial: link.trial,
        in_flight: link.in_flight,
        free_ids: link.ids.free(),
        last_reply: link.last_reply.map(|reply| now.since(reply)),
        sent: link.sent,
        replies: link.replies,
    }
}
