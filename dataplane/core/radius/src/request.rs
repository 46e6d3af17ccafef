//! What is asked, and what came of it.

use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Secret;
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, Code, Packet};

use crate::config::Secrets;
use crate::verify::Authenticated;

/// The asker's name for a request; comes back with the outcome. Never used for two that live.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Token(pub u64);

/// A question to whichever server it concerns.
///
/// Identifier, authenticators, Message-Authenticator, User-Password, Acct-Delay-Time and the identity of
/// the NAS are the client's to add: they depend on the connection and the moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The asker's name for it.
    pub token: Token,
    /// Access-Request or Accounting-Request.
    pub code: Code,
    /// All attributes but those above.
    pub attributes: AttributeList,
    /// The User-Password (RFC 2865, 5.2), at most 128 octets.
    pub password: Option<Secret>,
    /// The realm of the user, by which servers may be chosen.
    pub realm: Option<Box<str>>,
    /// What [`KeyedBalance`](crate::config::LoadBalance::KeyedBalance) holds on to.
    pub key: u64,
    /// When what an Accounting-Request tells of happened: Acct-Delay-Time counts from here.
    pub happened: Instant,
    /// The server that the last answer of this dialogue came from: an answer to an Access-Challenge must
    /// go there (RFC 2865, 4.4). `None`: whichever.
    pub server: Option<Arc<str>>,
}

/// What keyed balance holds on to, of whatever names it: a number (FNV-1a).
pub fn balance_key(name: &[u8]) -> u64 {
    hash(name.iter().copied())
}

/// FNV-1a.
pub(crate) fn hash(octets: impl Iterator<Item = u8>) -> u64 {
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What became of a request. Each that was taken has exactly one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Which request.
    pub token: Token,
    /// The server that answered, or was asked last.
    pub server: Option<Arc<str>>,
    /// From the last send to the answer.
    pub rtt: Option<Duration>,
    /// Datagrams that it took.
    pub sends: u16,
    /// The answer, or why there is none.
    pub result: Result<Reply, Failure>,
}

/// An answer whose signature was right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    octets: Box<[u8]>,
    /// The Request Authenticator that it answers: passwords in it are hidden with it.
    pub request_authenticator: [u8; 16],
    /// The secret that it was signed with.
    pub secret: Secret,
}

impl Reply {
    /// Of a packet that was verified with one of `secrets`, and answers a request with that authenticator.
    pub fn new(
        packet: &Authenticated<Packet<'_>>,
        request_authenticator: [u8; 16],
        secrets: &Secrets,
    ) -> Self {
        Self {
            octets: packet.octets().into(),
            request_authenticator,
            secret: secrets.of(packet.key()).clone(),
        }
    }

    /// Of a copy, of which nobody waits for the answer.
    pub(crate) fn none() -> Self {
        Self {
            octets: Box::default(),
            request_authenticator: [0; 16],
            secret: Secret::new([]),
        }
    }

    /// The packet; `None` of a copy, which nobody answers.
    pub fn packet(&self) -> Option<Packet<'_>> {
        Packet::parse(&self.octets).ok()
    }
}

lns_wire::labelled! {
    /// Why there is no answer.
    pub enum Failure {
        /// Nobody answered in time.
        TimedOut = "timed_out",
        /// All servers were down when it was asked, or went down while it waited.
        AllDown = "all_down",
        /// As many requests are in flight as may be.
        NoCapacity = "no_capacity",
        /// It does not fit into a packet.
        TooLarge = "too_large",
        /// The way to no server that is for it takes a datagram of its length.
        DatagramTooLarge = "datagram_too_large",
        /// No server is for this realm.
        NoServer = "no_server",
        /// The server answers, but without the Message-Authenticator that is required.
        NoMessageAuthenticator = "no_message_authenticator",
        /// The server answers, and signs with another secret.
        WrongSecret = "wrong_secret",
        /// The server answered with Protocol-Error (RFC 7930).
        ProtocolError = "protocol_error",
        /// Who asked did not want to know any more.
        Cancelled = "cancelled",
    }
}
