//! What happens because time has passed.

use lns_crypto::Rng;
use lns_tables::slab::Key as _;
use lns_tables::time::Instant;

use crate::client::Client;
use crate::client::sockets::Closer;
use crate::config::Transport;
use crate::connection::ConnectionState;
use crate::event::Cause;
use crate::ids::Owner;
use crate::limits;
use crate::retry::Due;
use crate::server::ServerKey;
use crate::trunk::RequestState;
use crate::trunk::ask::At;
use crate::trunk::link::LinkKey;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// Until it must be open, is opened again, or is given up as a zombie.
    State,
    /// Until the next status check.
    Check,
    /// Until an identifier has rested.
    Rest,
    /// Until it is tried to send again.
    Pause,
}

/// Timers of one connection.
const WAITS: u32 = 4;

/// Timers of all connections, and behind them one for each server.
pub(super) const TIMERS: u32 = limits::CONNECTIONS * WAITS + super::SERVER_PLACES;

/// The timer of a connection.
pub(super) fn of_link(link: LinkKey, wait: Wait) -> u32 {
    let wait = match wait {
        Wait::State => 0,
        Wait::Check => 1,
        Wait::Rest => 2,
        Wait::Pause => 3,
    };
    link.index().saturating_mul(WAITS).saturating_add(wait)
}

/// The timer of a server.
pub(super) fn of_server(server: ServerKey) -> u32 {
    limits::CONNECTIONS
        .saturating_mul(WAITS)
        .saturating_add(server.index())
}

impl Client {
    pub(super) fn time(&mut self, now: Instant, rng: &mut Rng) {
        while let Some(timer) = self.timers.pop_due(now) {
            let servers = of_server(ServerKey(0));
            if let Some(server) = timer.checked_sub(servers) {
                self.manage(ServerKey::from_index(server), now);
                continue;
            }
            let link = LinkKey::from_index(timer / WAITS);
            match timer % WAITS {
                0 => self.state_over(link, now),
                1 => self.check_over(link, now, rng),
                2 => self.rest_over(link, now),
                _ => self.writable(link),
            }
        }
        while let Some(place) = self.ask_timers.pop_due(now) {
            self.ask_over(place, now, rng);
        }
    }

    fn state_over(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        match link.socket {
            ConnectionState::Connecting => {
                self.fail_link(key, Cause::ConnectTimeout, Closer::Client, now);
            }
            ConnectionState::Closed | ConnectionState::Failed => self.start(key, now),
            ConnectionState::Connected | ConnectionState::Shutdown => {
                self.patience_over(key, now);
            }
            ConnectionState::Halted | ConnectionState::Init | ConnectionState::Timeout => {}
        }
    }

    /// A zombie has had its time; one that was only suspected gets requests again, for want of anything
    /// else that would show whether it is answered.
    fn patience_over(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if link.state.is_zombie() {
            return self.fail_link(key, Cause::NoAnswer, Closer::Client, now);
        }
        link.suspect = false;
        self.rank(key);
        self.serve(key, now);
    }

    /// Identifiers have rested.
    fn rest_over(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.ids.expire(now);
        self.arm_rest(key);
        self.rank(key);
        self.serve(key, now);
    }

    /// Sees to it that identifiers that rest are free again in time.
    pub(super) fn arm_rest(&mut self, key: LinkKey) {
        let timer = of_link(key, Wait::Rest);
        match self.links.get(key).and_then(|link| link.ids.next_expiry()) {
            Some(at) => self.timers.arm(timer, at),
            None => {
                self.timers.disarm(timer);
            }
        }
    }

    /// A request's wait is over, or its life.
    fn ask_over(&mut self, place: u32, now: Instant, rng: &mut Rng) {
        let Some(ask) = self.asks.get_mut(place) else {
            return;
        };
        let owner = ask.owner;
        let due = match (&mut ask.retry, ask.state) {
            (Some(retry), RequestState::Sent) => retry.due(now, rng),
            _ if now >= ask.end => Due::Over,
            _ => Due::Wait,
        };
        match due {
            Due::Wait => self.arm_ask(place),
            Due::Over => self.unanswered_for_good(owner, now),
            Due::Send | Due::Skip => self.unanswered(owner, due == Due::Send, now),
        }
    }

    /// Arms the timer of a request for whatever comes next.
    pub(super) fn arm_ask(&mut self, place: u32) {
        let Some(ask) = self.asks.get(place) else {
            return;
        };
        let retry = ask.retry.as_ref().filter(|_| ask.waits_for_answer());
        let next = retry.map_or(ask.end, |retry| retry.next().min(ask.end));
        self.ask_timers.arm(place, next);
    }

    /// Nothing has come back for a packet so far. It goes out again, here or elsewhere.
    fn unanswered(&mut self, owner: Owner, send: bool, now: Instant) {
        self.arm_ask(owner.place);
        self.judge(owner, false, now);
        let Some(at) = self.still_waiting(owner) else {
            return;
        };
        let silent = self
            .links
            .get(at.link)
            .is_some_and(|link| link.state.is_zombie());
        if silent && self.move_on(owner, now) {
            return;
        }
        if send && self.transport(at.link) == Some(Transport::Udp) {
            self.send_again(owner);
        }
    }

    /// Nothing has come back, and here nothing will.
    fn unanswered_for_good(&mut self, owner: Owner, now: Instant) {
        let at = self.ask(owner).and_then(|ask| ask.at);
        if let Some(ask) = self.ask_mut(owner) {
            // Wherever it goes on, it is repeated as if it were new.
            ask.retry = None;
        }
        self.arm_ask(owner.place);
        self.judge(owner, true, now);
        let Some(ask) = self.ask(owner) else {
            return;
        };
        let (over, moved) = (now >= ask.end, ask.at != at);
        if over || !(moved || self.move_on(owner, now)) {
            self.time_out(owner, now);
        }
    }

    /// Where a request is that has been sent, if it still waits there.
    fn still_waiting(&self, owner: Owner) -> Option<At> {
        let ask = self.ask(owner)?;
        ask.at.filter(|_| ask.waits_for_answer())
    }

    pub(super) fn transport(&self, link: LinkKey) -> Option<Transport> {
        let server = self.servers.get(self.links.get(link)?.server)?;
        Some(server.config.transport)
    }
}
