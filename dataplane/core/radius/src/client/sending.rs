//! Packets out: which is next, how it is made, and what if it is not sent after all.

use lns_crypto::Rng;
use lns_tables::time::Instant;
use lns_wire::radius::{Code, Id};

use crate::client::Client;
use crate::client::requests::Identifier;
use crate::client::sockets::Closer;
use crate::client::time::{Wait, of_link};
use crate::config::Mode;
use crate::event::{Cause, SendError, Sent, Transmit};
use crate::ids::{Owner, Signed};
use crate::limits;
use crate::packet::{self, Parts, TooLarge};
use crate::request::Failure;
use crate::retry::Retry;
use crate::server::ServerKey;
use crate::trunk::ask::{Ask, At};
use crate::trunk::link::LinkKey;
use crate::trunk::{RequestEvent, RequestState};

impl Client {
    /// Notes that a connection has something to send.
    pub(super) fn ready(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        if link.can_send() && !link.ready && (link.checking.due || !link.unsent.is_empty()) {
            link.ready = true;
            self.ready.push_back(key);
        }
    }

    /// The next packet: one of each connection in turn, checks first.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        while let Some(key) = self.ready.pop_front() {
            let Some(link) = self.links.get_mut(key) else {
                continue;
            };
            link.ready = false;
            if !link.can_send() {
                continue;
            }
            let connection = link.id;
            let sent = if core::mem::take(&mut link.checking.due) {
                self.send_check(key, now, rng, out)
            } else {
                let next = link.unsent.pop_front();
                next.and_then(|owner| self.send(key, owner, now, rng, out))
            };
            self.ready(key);
            if let Some(packet) = sent {
                self.count_sent(key);
                return Some(Transmit { connection, packet });
            }
        }
        None
    }

    fn count_sent(&mut self, key: LinkKey) {
        if let Some(link) = self.links.get_mut(key) {
            link.sent = link.sent.saturating_add(1);
        }
    }

    /// Sends the packet of a request that is on that connection.
    fn send(
        &mut self,
        key: LinkKey,
        owner: Owner,
        now: Instant,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Option<Sent> {
        let ask = self.ask_mut(owner)?;
        let at = ask.at.filter(|at| at.link == key && ask.queued)?;
        ask.queued = false;
        if self.prepare(owner, at, now, rng).is_err() {
            self.end(owner, Err(Failure::TooLarge), None, Identifier::Free, now);
            return None;
        }
        let ask = self.ask(owner)?;
        out.clear();
        out.extend_from_slice(&ask.packet);
        let server = ask.server;
        let again = ask.state == RequestState::Sent;
        if let Some(server) = server.and_then(|server| self.servers.get_mut(server)) {
            server.stats.sent = server.stats.sent.saturating_add(1);
            let repeated = u64::from(again);
            server.stats.retransmissions = server.stats.retransmissions.saturating_add(repeated);
        }
        self.note_sent(owner, now, rng);
        Some(Sent::Request(owner.place, owner.number))
    }

    /// What is different once the packet of a request is out.
    fn note_sent(&mut self, owner: Owner, now: Instant, rng: &mut Rng) {
        let (timing, mode, copy) = (self.config.timing, self.config.mode, self.is_copy());
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        ask.sends = ask.sends.saturating_add(1);
        ask.sends_here = ask.sends_here.saturating_add(1);
        ask.last_sent = Some(now);
        ask.first_sent.get_or_insert(now);
        if copy {
            self.step(owner, RequestEvent::WriteCopy);
            self.reapable.push_back(owner);
            return;
        }
        if ask.state != RequestState::Pending {
            return;
        }
        if ask.retry.is_none() && mode == Mode::Originate {
            ask.retry = Some(Retry::start(timing, now, ask.end, rng));
        }
        self.step(owner, RequestEvent::Write);
        self.arm_ask(owner.place);
    }

    /// Sees to it that a request's buffer holds what is to be sent now: the same as last time, unless its
    /// content has changed, and then with another identifier and authenticator (RFC 2866, 5.2).
    fn prepare(
        &mut self,
        owner: Owner,
        at: At,
        now: Instant,
        rng: &mut Rng,
    ) -> Result<(), TooLarge> {
        let delay_time = self.config.delay_time;
        let rest = self.rest_until(now);
        let (Some(ask), Some(link)) = (self.asks.get_mut(owner.place), self.links.get_mut(at.link))
        else {
            return Ok(());
        };
        let delay = delay_time
            .then(|| seconds(ask, now))
            .filter(|_| ask.request.code == Code::ACCOUNTING_REQUEST);
        let same_delay = ask.delay.map(|(_, told)| told) == delay;
        if !ask.stale && same_delay {
            link.ids.sent_again(at.id, now);
            return Ok(());
        }
        let sent_before = link
            .ids
            .get(at.id)
            .is_some_and(|(_, signed)| signed.is_some());
        let id = if sent_before {
            link.ids.renew(at.id, rest)
        } else {
            at.id
        };
        ask.at = Some(At { link: at.link, id });
        ask.left_behind |= id != at.id;
        let Some(server) = self.servers.get(link.server) else {
            return Ok(());
        };
        let Some(secrets) = server.secrets(ask.key) else {
            return Ok(());
        };
        let secret = &secrets.current;
        let authenticator = match (ask.stale, ask.delay, delay) {
            (false, Some((place, _)), Some(delay)) => {
                ask.delay = Some((place, delay));
                packet::patch_delay(&mut ask.packet, id, place, delay, secret)?
            }
            _ => write(ask, &self.config.identity, id, delay, secret, rng)?,
        };
        let signed = Signed {
            code: ask.request.code,
            authenticator,
            key: ask.key,
            secrets: secrets.clone(),
            sent: now,
        };
        link.ids.sign(id, signed);
        if sent_before {
            self.arm_rest(at.link);
            self.rank(at.link);
        }
        Ok(())
    }

    /// Has a request that was not answered sent again: with the secret that was right last, if that is
    /// another one, and with the other one if nothing shows that this one is right.
    pub(super) fn send_again(&mut self, owner: Owner) {
        let Some(ask) = self.ask(owner) else {
            return;
        };
        let server = ask.server.and_then(|server| self.servers.get(server));
        let other = server
            .and_then(|server| server.other_key(ask.key).map(|other| (server, other)))
            .filter(|(server, _)| server.key != ask.key || server.last_reply < ask.last_sent)
            .map(|(_, other)| other);
        if let (Some(other), Some(ask)) = (other, self.ask_mut(owner)) {
            ask.key = other;
            ask.stale = true;
        }
        self.queue(owner);
    }

    pub(super) fn not_sent(&mut self, transmit: Transmit, error: SendError, now: Instant) {
        let Some(key) = self.find(transmit.connection) else {
            return;
        };
        self.count_send_error(key);
        match (error, transmit.packet) {
            (SendError::Broken, _) => self.fail_link(key, Cause::Broken, Closer::Client, now),
            (SendError::TooLarge, Sent::Request(place, number)) => {
                self.too_large_here(Owner { place, number }, now);
            }
            (SendError::TooLarge, Sent::Check) => {}
            (SendError::Temporary, Sent::Request(place, number)) => {
                self.block(key, now);
                self.take_back(key, Owner { place, number });
            }
            (SendError::Temporary, Sent::Check) => {
                self.block(key, now);
                if let Some(link) = self.links.get_mut(key) {
                    link.checking.due = true;
                }
            }
        }
    }

    /// The way to a server does not take a datagram of a request: that to another one may.
    fn too_large_here(&mut self, owner: Owner, now: Instant) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        ask.sends = ask.sends.saturating_sub(1);
        ask.tried |= ask.server.map_or(0, ServerKey::bit);
        // It may have gone out before the way had become so.
        let identifier = if ask.sends == 0 {
            Identifier::Free
        } else {
            Identifier::Rests
        };
        let other = self.choose(owner).ok();
        let fresh = |key: &ServerKey| self.ask(owner).is_some_and(|ask| !ask.has_tried(*key));
        let Some(other) = other.filter(fresh).filter(|_| !self.is_copy()) else {
            let failure = Failure::DatagramTooLarge;
            return self.end(owner, Err(failure), None, identifier, now);
        };
        self.go_to(owner, other, identifier, now);
    }

    fn count_send_error(&mut self, key: LinkKey) {
        let server = self.links.get(key).map(|link| link.server);
        if let Some(server) = server.and_then(|server| self.servers.get_mut(server)) {
            server.stats.send_errors = server.stats.send_errors.saturating_add(1);
        }
    }

    /// Nothing is sent on a connection until it can be written, or for a while.
    fn block(&mut self, key: LinkKey, now: Instant) {
        if let Some(link) = self.links.get_mut(key) {
            link.blocked = true;
            let timer = of_link(key, Wait::Pause);
            self.timers.arm(timer, now + limits::WRITE_PAUSE);
        }
    }

    /// A packet that was polled is not sent yet.
    fn take_back(&mut self, key: LinkKey, owner: Owner) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        if ask.queued || ask.at.is_none_or(|at| at.link != key) {
            return;
        }
        ask.queued = true;
        ask.sends = ask.sends.saturating_sub(1);
        ask.sends_here = ask.sends_here.saturating_sub(1);
        if ask.sends_here == 0 {
            ask.retry = None;
            ask.first_sent = None;
            self.step(owner, RequestEvent::Unwrite);
            self.arm_ask(owner.place);
        }
        if let Some(link) = self.links.get_mut(key) {
            link.unsent.push_front(owner);
        }
    }

    /// A connection takes packets again.
    pub(super) fn writable(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.blocked = false;
        self.timers.disarm(of_link(key, Wait::Pause));
        self.ready(key);
    }
}

/// Whole seconds since what the request tells of has happened.
fn seconds(ask: &Ask, now: Instant) -> u32 {
    u32::try_from(now.since(ask.request.happened).as_secs()).unwrap_or(u32::MAX)
}

/// Makes the packet of a request anew, in its buffer.
fn write(
    ask: &mut Ask,
    identity: &lns_wire::radius::AttributeList,
    id: Id,
    delay: Option<u32>,
    secret: &lns_crypto::Secret,
    rng: &mut Rng,
) -> Result<lns_crypto::radius::Authenticator, TooLarge> {
    let parts = Parts {
        code: ask.request.code,
        id,
        attributes: [&ask.request.attributes, identity],
        password: ask.request.password.as_ref(),
        delay,
    };
    let written = packet::write(&parts, secret, rng, &mut ask.packet)?;
    ask.delay = written.delay_at.zip(delay);
    ask.stale = false;
    Ok(written.authenticator)
}
