//! The one end of each request: answered, without an answer, cancelled, or refused before it began.

use core::time::Duration;

use lns_tables::time::Instant;

use crate::client::Client;
use crate::client::requests::Identifier;
use crate::config::Transport;
use crate::ids::Owner;
use crate::limits;
use crate::request::{Failure, Outcome, Reply, Token};
use crate::trunk::link::LinkKey;
use crate::trunk::{RequestEvent, RequestState};

impl Client {
    pub(super) fn refuse(&mut self, token: Token, failure: Failure) {
        self.count_failure(failure);
        self.outcomes.push_back(Outcome {
            token,
            server: None,
            rtt: None,
            sends: 0,
            result: Err(failure),
        });
    }

    /// What a server is to blame for that did not answer a request, if it is for more than silence.
    pub(super) fn blame(&mut self, owner: Owner) -> Option<Failure> {
        let ask = self.ask(owner)?;
        let (server, complaint) = (ask.server?, ask.complaint?);
        self.servers.get_mut(server)?.complaint = Some(complaint);
        Some(complaint)
    }

    /// Nobody has answered a request in time.
    pub(super) fn time_out(&mut self, owner: Owner, now: Instant) {
        let Some(ask) = self.ask(owner) else {
            return;
        };
        let server = ask.server;
        if let Some(server) = server.and_then(|key| self.servers.get_mut(key)) {
            server.stats.timeouts = server.stats.timeouts.saturating_add(1);
        }
        let failure = self.blame(owner).unwrap_or(Failure::TimedOut);
        let identifier = self.given_up(owner);
        self.end(owner, Err(failure), None, identifier, now);
    }

    pub(super) fn cancel(&mut self, token: Token, now: Instant) {
        let Some(owner) = self.owner_of(token) else {
            return;
        };
        let left_behind = self.ask(owner).is_some_and(|ask| ask.left_behind);
        let links = if left_behind { self.links.span() } else { 0 };
        for link in 0..links {
            let key = LinkKey(u16::try_from(link).unwrap_or(u16::MAX));
            if self.transport(key) == Some(Transport::Tls) {
                continue;
            }
            let Some(link) = self.links.get_mut(key) else {
                continue;
            };
            if link.ids.next_expiry().is_some() {
                link.ids.forget(owner);
                self.arm_rest(key);
                self.rank(key);
            }
        }
        let identifier = self.given_up(owner);
        self.end(owner, Err(Failure::Cancelled), None, identifier, now);
    }

    /// Copies that were sent, and of which nobody said that they were not.
    pub(super) fn reap(&mut self) {
        while let Some(owner) = self.reapable.pop_front() {
            let Some(ask) = self.ask(owner) else {
                continue;
            };
            if ask.state == RequestState::Reapable {
                let now = ask.last_sent.unwrap_or_default();
                self.end(owner, Ok(Reply::none()), None, Identifier::Free, now);
            }
        }
    }

    /// The one end of a request.
    pub(super) fn end(
        &mut self,
        owner: Owner,
        result: Result<Reply, Failure>,
        rtt: Option<Duration>,
        identifier: Identifier,
        now: Instant,
    ) {
        let Some(ask) = self.ask(owner) else {
            return;
        };
        if let (RequestState::Backlog, Some(server)) = (ask.state, ask.server)
            && let Some(server) = self.servers.get_mut(server)
        {
            server.backlog.remove(&owner.number);
        }
        let left = self.leave(owner, identifier, now);
        match &result {
            Ok(_) => self.step(owner, RequestEvent::Finish),
            Err(Failure::Cancelled) => {
                self.step(owner, RequestEvent::Cancel);
                self.step(owner, RequestEvent::Release);
            }
            Err(_) => self.step(owner, RequestEvent::Fail),
        }
        if let Err(failure) = &result {
            self.count_failure(*failure);
        }
        self.ask_timers.disarm(owner.place);
        let Some(mut ask) = self.asks.remove(owner.place) else {
            return;
        };
        self.tokens.remove(&ask.request.token);
        if self.spare.len() < limits::SPARE_BUFFERS {
            ask.packet.clear();
            self.spare.push(ask.packet);
        }
        let server = ask.server.and_then(|key| self.servers.get(key));
        self.outcomes.push_back(Outcome {
            token: ask.request.token,
            server: server.map(|server| server.config.name.clone()),
            rtt,
            sends: ask.sends,
            result,
        });
        if let Some(at) = left {
            self.close_if_empty(at.link, now);
            self.serve(at.link, now);
        }
        if let Some(server) = ask.server {
            self.bury(server);
        }
    }

    pub(super) fn count_failure(&mut self, failure: Failure) {
        if let Some(count) = self.failures.get_mut(failure.place()) {
            *count = count.saturating_add(1);
        }
    }
}
