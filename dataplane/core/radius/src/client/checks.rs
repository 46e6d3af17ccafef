//! Who is alive: requests without an answer, zombies, status checks, and the watchdog of streams.

use core::time::Duration;

use lns_crypto::Rng;
use lns_tables::slab::Key as _;
use lns_tables::time::Instant;
use lns_wire::radius::Id;

use crate::check::CheckKind;
use crate::client::Client;
use crate::client::sockets::Closer;
use crate::client::time::{Wait, of_link};
use crate::config::Transport;
use crate::connection::ConnectionState;
use crate::event::{Cause, Sent};
use crate::ids::{Owner, Signed};
use crate::limits::CHECK_ID;
use crate::packet::{self, Parts};
use crate::retry::{Due, Retry};
use crate::trunk::link::LinkKey;
use crate::trunk::{TrunkEvent, TrunkState};

/// How much a watchdog is early or late (RFC 3539, 3.4.1).
const WATCHDOG_JITTER: Duration = Duration::from_secs(2);

/// Watchdogs without a packet in between after which a stream is given up (RFC 3539, 3.4.1).
const WATCHDOGS: u8 = 2;

impl Client {
    /// A request has waited on its connection: what does that say of it? `last`: it will wait no longer.
    /// A valid answer that came since its last send says that only this one was lost, and who has not
    /// waited for IRT, or for as long as it may live, could not have missed one.
    pub(super) fn judge(&mut self, owner: Owner, last: bool, now: Instant) {
        let fair = self.config.timing.fair();
        let Some(ask) = self.ask(owner).filter(|ask| ask.waits_for_answer()) else {
            return;
        };
        let (Some(at), Some(first), Some(sent)) = (ask.at, ask.first_sent, ask.last_sent) else {
            return;
        };
        let Some(link) = self.links.get_mut(at.link) else {
            return;
        };
        let early = now.since(first) < fair;
        if early || link.last_reply.is_some_and(|reply| reply >= sent) {
            return;
        }
        // One that is a zombie, or goes, has another wait on that timer.
        let serves = matches!(link.state, TrunkState::Active | TrunkState::Full);
        if serves && !core::mem::replace(&mut link.suspect, true) {
            let timer = of_link(at.link, Wait::State);
            self.timers.arm(timer, now + self.rules.response_window);
        }
        let quiet = now.since(link.last_reply.map_or(first, |reply| reply.max(first)));
        let zombie = link.trial || last || quiet >= self.rules.response_window;
        self.rank(at.link);
        if zombie {
            self.zombie(at.link, now);
        }
    }

    /// A connection is not answered. What is under way stays, unless somebody else can take it; whether it
    /// lives is asked at once, or waited for.
    fn zombie(&mut self, key: LinkKey, now: Instant) {
        if !self.trunk_may(key, TrunkEvent::SignalInactive) {
            return;
        }
        self.trial_over(key);
        self.trunk_on(key, TrunkEvent::SignalInactive);
        let Some(link) = self.links.get(key) else {
            return;
        };
        let server = link.server;
        let owners: Vec<Owner> = link.ids.live().collect();
        if let Some(server) = self.servers.get_mut(server) {
            server.troubled = true;
        }
        self.stand_in(server, now);
        self.displace_unsent(key, now);
        let timer = of_link(key, Wait::State);
        if self.config.check.check().is_some() {
            self.timers.disarm(timer);
            self.begin_checks(key, now);
        } else {
            self.timers.arm(timer, now + self.rules.zombie_period);
        }
        for owner in owners {
            let waits = self.ask(owner).is_some_and(|ask| {
                ask.waits_for_answer() && ask.at.is_some_and(|at| at.link == key)
            });
            if waits {
                self.move_on(owner, now);
            }
        }
    }

    /// Starts asking whether a connection lives: the first check goes out at once.
    pub(super) fn begin_checks(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.checking.on = true;
        link.checking.due = true;
        link.checking.retry = None;
        link.checking.answers = 0;
        // Sooner or later it is sent, and what is armed then says when it is given up.
        self.arm_check(key, now);
        self.ready(key);
    }

    /// A check was answered: the next one follows after a constant while, if there is to be one.
    pub(super) fn next_check_after(&mut self, key: LinkKey, kind: CheckKind, now: Instant) {
        let checking = self.links.get(key).is_some_and(|link| link.checking.on);
        if checking {
            let timer = of_link(key, Wait::Check);
            self.timers.arm(timer, now + kind.timing().initial);
        }
    }

    /// An answer was believed. One is enough where the server is not known to answer checks.
    pub(super) fn count_sign_of_life(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let Some(server) = self.servers.get(link.server) else {
            return;
        };
        let mut enough = true;
        if link.checking.on && self.config.check.is_sure(server.check) {
            link.checking.answers = link.checking.answers.saturating_add(1);
            enough = link.checking.answers >= self.rules.answers_to_alive;
        }
        if !enough {
            return;
        }
        match link.state {
            TrunkState::Connecting => self.alive_again(key, now),
            TrunkState::Inactive | TrunkState::InactiveDraining => self.revive(key, now),
            TrunkState::Halted
            | TrunkState::Init
            | TrunkState::Active
            | TrunkState::Full
            | TrunkState::Draining
            | TrunkState::DrainingToFree
            | TrunkState::Closed => {}
        }
    }

    /// A reopened connection has answered as often as it must.
    fn alive_again(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.checking.stop();
        self.timers.disarm(of_link(key, Wait::Check));
        if let Some(server) = self.servers.get_mut(link.server) {
            server.troubled = false;
            server.failures = 0;
        }
        self.connected(key, now);
    }

    /// A zombie lives after all.
    fn revive(&mut self, key: LinkKey, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let server = link.server;
        link.checking.stop();
        self.timers.disarm(of_link(key, Wait::State));
        self.timers.disarm(of_link(key, Wait::Check));
        self.trunk_on(key, TrunkEvent::SignalActive);
        self.trust(key);
        self.begin_watch(key, now);
        self.rebalance(key, now);
        self.serve(key, now);
        self.rescue(server, now);
    }

    /// The time of a check is over.
    pub(super) fn check_over(&mut self, key: LinkKey, now: Instant, rng: &mut Rng) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if !link.checking.on {
            return self.watch(key, now, rng);
        }
        if self.config.check.check().is_none() {
            // A reload has ended the checks: nothing will show that it lives but a new beginning.
            return self.fail_link(key, Cause::NoAnswer, Closer::Client, now);
        }
        let due = match (&mut link.checking.retry, link.checking.due) {
            // It was never sent.
            (_, true) => Due::Over,
            (None, false) => Due::Send,
            (Some(retry), false) => {
                let due = retry.due(now, rng);
                if due == Due::Send {
                    link.checking.answers = 0;
                }
                due
            }
        };
        match due {
            Due::Over => self.fail_link(key, Cause::NoAnswer, Closer::Client, now),
            Due::Send => {
                link.checking.due = true;
                self.arm_check(key, now);
                self.ready(key);
            }
            Due::Skip | Due::Wait => self.arm_check(key, now),
        }
    }

    /// While checks go on there is always a time at which they end, sent or not.
    fn arm_check(&mut self, key: LinkKey, now: Instant) {
        let retry = self.links.get(key).and_then(|link| link.checking.retry);
        let given_up = now + CheckKind::StatusServer.timing().duration;
        let next = retry.map_or(given_up, |retry| retry.next());
        self.timers.arm(of_link(key, Wait::Check), next);
    }

    /// A stream is watched from now on.
    pub(super) fn begin_watch(&mut self, key: LinkKey, now: Instant) {
        if self.transport(key) == Some(Transport::Tls) && self.config.check.check().is_some() {
            let timer = of_link(key, Wait::Check);
            self.timers.arm(timer, now + self.rules.watchdog);
        }
    }

    /// Other checks, or none: streams are watched from now on, or no longer.
    pub(super) fn checks_changed(&mut self, now: Instant) {
        for link in 0..self.links.span() {
            let key = LinkKey::from_index(link);
            let timer = of_link(key, Wait::Check);
            let Some(link) = self.links.get_mut(key).filter(|link| !link.checking.on) else {
                continue;
            };
            let connected = link.socket == ConnectionState::Connected;
            if self.config.check.check().is_none() {
                link.checking.due = false;
                link.checking.silent = 0;
                self.timers.disarm(timer);
            } else if connected && self.timers.armed(timer).is_none() {
                self.begin_watch(key, now);
            }
        }
    }

    /// Tw is over: a stream that was silent for so long is asked something, or given up.
    fn watch(&mut self, key: LinkKey, now: Instant, rng: &mut Rng) {
        let watchdog = self.rules.watchdog;
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let alive = link.alive_at();
        let next = if now.since(alive) < watchdog {
            link.checking.silent = 0;
            alive + watchdog
        } else if link.checking.silent >= WATCHDOGS {
            return self.fail_link(key, Cause::NoAnswer, Closer::Client, now);
        } else {
            link.checking.silent = link.checking.silent.saturating_add(1);
            link.checking.due = true;
            now + watchdog
        };
        let drawn = u64::from(rng.u32()).wrapping_rem(4001);
        let jittered = next + Duration::from_millis(drawn);
        let early = Instant::from_nanos(
            jittered
                .as_nanos()
                .saturating_sub(u64::try_from(WATCHDOG_JITTER.as_nanos()).unwrap_or_default()),
        );
        self.timers.arm(of_link(key, Wait::Check), early);
        self.ready(key);
    }

    /// Sends a status check.
    pub(super) fn send_check(
        &mut self,
        key: LinkKey,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Option<Sent> {
        let purpose = self.config.purpose;
        let link = self.links.get_mut(key)?;
        let server = self.servers.get_mut(link.server)?;
        let config = &self.config.check;
        let kind = config.kind(purpose, server.check, link.checking.turn)?;
        let check = config.check()?;
        // Of two secrets each check takes the one that its predecessor did not, while none is answered.
        let other = link.checking.turn % 2 == 1 && link.checking.retry.is_some();
        let secret = server
            .other_key(server.key)
            .filter(|_| other)
            .unwrap_or(server.key);
        let secrets = server.secrets(secret)?;
        let said = check.said(kind, rng);
        let parts = Parts {
            code: kind.code(),
            id: Id(CHECK_ID),
            attributes: [&said, &self.config.identity],
            password: check
                .password
                .as_ref()
                .filter(|_| kind == CheckKind::AccessRequest),
            delay: None,
        };
        if link.checking.on && link.checking.retry.is_none() {
            let timing = kind.timing();
            link.checking.retry = Some(Retry::start(timing, now, timing.end(now), rng));
        }
        let written = packet::write(&parts, &secrets.current, rng, out).ok()?;
        let signed = Signed {
            code: kind.code(),
            authenticator: written.authenticator,
            key: secret,
            secrets,
            sent: now,
        };
        link.checking.note(kind, signed);
        server.stats.checks = server.stats.checks.saturating_add(1);
        if link.checking.on {
            self.arm_check(key, now);
        }
        Some(Sent::Check)
    }
}
