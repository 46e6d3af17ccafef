//! What comes back: believed or dropped, and only then acted upon.

use lns_tables::time::Instant;
use lns_wire::radius::{Code, Id, Packet};

use crate::client::Client;
use crate::client::requests::Identifier;
use crate::client::sockets::Closer;
use crate::config::{Key, Transport};
use crate::event::{Cause, Dropped, Event, Unwanted};
use crate::ids::{Owner, Signed};
use crate::limits::CHECK_ID;
use crate::request::{Failure, Reply};
use crate::server::ServerKey;
use crate::trunk::TrunkState;
use crate::trunk::ask::At;
use crate::trunk::link::LinkKey;
use crate::verify::{Asked, Rejected, Verifier};

/// An answer that is believed.
struct Believed {
    owner: Owner,
    reply: Reply,
    code: Code,
    key: Key,
    sent: Instant,
}

impl Client {
    pub(super) fn answer(&mut self, key: LinkKey, datagram: &[u8], now: Instant) {
        let id = datagram.get(1).copied().unwrap_or(CHECK_ID);
        if id == CHECK_ID {
            return self.answer_to_check(key, datagram, now);
        }
        match self.judge_answer(key, Id(id), datagram) {
            Err((reason, owner)) => self.drop_packet(key, reason, owner, now),
            Ok(believed) => self.believe(key, Id(id), believed, now),
        }
    }

    /// Holds an answer against what was sent with its identifier. Changes nothing.
    fn judge_answer(
        &mut self,
        key: LinkKey,
        id: Id,
        datagram: &[u8],
    ) -> Result<Believed, (Dropped, Option<Owner>)> {
        let copy = self.is_copy();
        let nobody = || (unwanted(datagram, copy), None);
        let link = self.links.get(key).ok_or_else(nobody)?;
        let (owner, signed) = link.ids.get(id).ok_or_else(nobody)?;
        let signed = signed.ok_or_else(nobody)?;
        let server = self.servers.get_mut(link.server).ok_or_else(nobody)?;
        let asked = asked(id, signed);
        let packet = server
            .verifier
            .answer(datagram, &asked, &signed.secrets)
            .map_err(|rejected| (Dropped::Rejected(rejected), Some(owner)))?;
        Ok(Believed {
            owner,
            code: packet.code,
            reply: Reply::new(&packet, signed.authenticator, &signed.secrets),
            key: signed.key,
            sent: signed.sent,
        })
    }

    fn believe(&mut self, key: LinkKey, id: Id, believed: Believed, now: Instant) {
        let Believed {
            owner,
            reply,
            code,
            key: secret,
            sent,
        } = believed;
        let rtt = now.since(sent);
        let current = self
            .ask(owner)
            .map(|ask| ask.at == Some(At { link: key, id }));
        if current != Some(true)
            && let Some(link) = self.links.get_mut(key)
        {
            link.ids.release(id);
        }
        if let Some(server) = self.links.get(key).map(|link| link.server)
            && let Some(server) = self.servers.get_mut(server)
        {
            server.rtt.add(rtt);
            server.stats.replies = server
                .stats
                .replies
                .saturating_add(u64::from(current.is_some()));
        }
        self.lively(key, secret, now);
        let Some(current) = current else {
            return self.drop_packet(key, Dropped::Unwanted(Unwanted::Late), None, now);
        };
        let identifier = if current {
            Identifier::Free
        } else {
            Identifier::Rests
        };
        if let (false, Some(link)) = (current, self.links.get(key)) {
            let answered = link.server;
            self.answered_elsewhere(owner, answered);
        }
        let result = if code == Code::PROTOCOL_ERROR {
            Err(Failure::ProtocolError)
        } else {
            Ok(reply)
        };
        self.end(owner, result, Some(rtt), identifier, now);
        self.serve(key, now);
    }

    /// A connection has shown that it is answered.
    pub(super) fn lively(&mut self, key: LinkKey, secret: Key, now: Instant) {
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        link.last_reply = Some(now);
        link.suspect = false;
        link.replies = link.replies.saturating_add(1);
        link.checking.silent = 0;
        if let Some(server) = self.servers.get_mut(link.server) {
            server.last_reply = Some(now);
            server.verified = Some(secret);
            server.key = secret;
            server.complaint = None;
        }
        self.count_sign_of_life(key, now);
        self.trust(key);
        self.rank(key);
    }

    /// A connection that takes requests and is answered is trusted, and its server with it.
    pub(super) fn trust(&mut self, key: LinkKey) {
        let Some(link) = self.links.get(key) else {
            return;
        };
        if !matches!(link.state, TrunkState::Active | TrunkState::Full) {
            return;
        }
        let server = link.server;
        self.trial_over(key);
        if let Some(there) = self.servers.get_mut(server)
            && there.troubled
        {
            there.troubled = false;
            there.failures = 0;
        }
        self.tell_server(server);
    }

    /// Drops a packet. All that changes is what is counted, and what a request that ends without an
    /// answer says of those that came; but a stream that carries such things is of no use.
    pub(super) fn drop_packet(
        &mut self,
        key: LinkKey,
        reason: Dropped,
        owner: Option<Owner>,
        now: Instant,
    ) {
        let Some(server) = self.links.get(key).map(|link| link.server) else {
            return;
        };
        let Some(there) = self.servers.get_mut(server) else {
            return;
        };
        there.drop_packet(reason);
        let name = there.config.name.clone();
        let stream = there.config.transport == Transport::Tls;
        self.tell(Event::Dropped {
            server: name,
            reason,
        });
        let Dropped::Rejected(rejected) = reason else {
            return;
        };
        if let (Some(complaint), Some(owner)) = (complaint(rejected), owner)
            && let Some(ask) = self.ask_mut(owner)
        {
            ask.complaint = Some(complaint);
        }
        if stream && breaks_a_stream(rejected, self.is_copy()) {
            self.fail_link(key, Cause::BadStream, Closer::Client, now);
        }
    }

    /// Holds an answer against the last checks, newest first.
    fn answer_to_check(&mut self, key: LinkKey, datagram: &[u8], now: Instant) {
        let copy = self.is_copy();
        let Some(link) = self.links.get_mut(key) else {
            return;
        };
        let Some(server) = self.servers.get_mut(link.server) else {
            return;
        };
        let mut reason = unwanted(datagram, copy);
        let mut found = None;
        for (at, (kind, signed)) in link.checking.sent.iter().enumerate().rev() {
            match check_answer(&mut server.verifier, datagram, signed) {
                Ok(()) => {
                    found = Some((at, *kind, signed.key));
                    break;
                }
                Err(rejected) => reason = Dropped::Rejected(rejected),
            }
        }
        let Some((at, kind, secret)) = found else {
            return self.drop_packet(key, reason, None, now);
        };
        link.checking.sent.drain(..=at);
        link.checking.retry = None;
        server.check = Some(kind);
        server.stats.checks_answered = server.stats.checks_answered.saturating_add(1);
        self.next_check_after(key, kind, now);
        self.lively(key, secret, now);
        self.serve(key, now);
    }

    /// A request was answered by a server that it had left: it waits nowhere else any more.
    fn answered_elsewhere(&mut self, owner: Owner, answered: ServerKey) {
        let Some(ask) = self.ask_mut(owner) else {
            return;
        };
        let asked = ask.server.replace(answered);
        if let Some(server) = asked.and_then(|key| self.servers.get_mut(key)) {
            server.backlog.remove(&owner.number);
        }
    }
}

fn asked(id: Id, signed: &Signed) -> Asked {
    Asked {
        code: signed.code,
        id,
        authenticator: signed.authenticator,
    }
}

fn check_answer(verifier: &mut Verifier, datagram: &[u8], signed: &Signed) -> Result<(), Rejected> {
    let asked = asked(Id(CHECK_ID), signed);
    verifier
        .answer(datagram, &asked, &signed.secrets)
        .map(|_| ())
}

/// What a packet is that answers nothing that was asked here.
fn unwanted(datagram: &[u8], copy: bool) -> Dropped {
    match Packet::parse(datagram) {
        Err(error) => Dropped::Rejected(error.into()),
        Ok(_) if copy => Dropped::Unwanted(Unwanted::Unasked),
        Ok(_) => Dropped::Unwanted(Unwanted::Late),
    }
}

/// What a request that ends without an answer says of such a one.
fn complaint(rejected: Rejected) -> Option<Failure> {
    match rejected {
        Rejected::BadAuthenticator => Some(Failure::WrongSecret),
        Rejected::MissingMessageAuthenticator | Rejected::EapWithoutMessageAuthenticator => {
            Some(Failure::NoMessageAuthenticator)
        }
        Rejected::Truncated
        | Rejected::Length
        | Rejected::AttributeLength
        | Rejected::TooManyAttributes
        | Rejected::MessageAuthenticatorLength
        | Rejected::DuplicateMessageAuthenticator
        | Rejected::Identifier
        | Rejected::Code
        | Rejected::OriginalPacketCode
        | Rejected::BadMessageAuthenticator => None,
    }
}

/// Whether nothing that comes after it in a stream can be believed (RFC 6614, 3.4; RFC 6613, 2.6.4). The
/// identifier of a copy is free once it is sent, and an answer to the last one with it is no harm.
fn breaks_a_stream(rejected: Rejected, copy: bool) -> bool {
    match rejected {
        Rejected::Truncated
        | Rejected::Length
        | Rejected::AttributeLength
        | Rejected::TooManyAttributes
        | Rejected::MessageAuthenticatorLength => true,
        Rejected::BadAuthenticator | Rejected::BadMessageAuthenticator => !copy,
        Rejected::DuplicateMessageAuthenticator
        | Rejected::Identifier
        | Rejected::Code
        | Rejected::OriginalPacketCode
        | Rejected::MissingMessageAuthenticator
        | Rejected::EapWithoutMessageAuthenticator => false,
    }
}
