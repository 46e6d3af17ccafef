//! A peer that has shown who it is, and what came from it.

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use lns_cluster::{Epoch, Identity, NodeName};

use crate::limits::NUMBERS;
use crate::wire::{Capabilities, Hello};

/// The number of a peer in this process: small, and its own for as long as the process lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerNumber(pub(crate) u8);

impl PeerNumber {
    /// The peer of this number, if there may be one.
    pub fn new(number: u8) -> Option<Self> {
        (usize::from(number) < NUMBERS).then_some(Self(number))
    }

    /// The number, for a table: below [`NUMBERS`](crate::limits::NUMBERS).
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// A peer that has shown who it is: there is no other way to one of these than a connection of mutual
/// TLS whose certificate is for this node of this cluster.
#[derive(Clone)]
pub struct Member(Arc<Shown>);

struct Shown {
    number: PeerNumber,
    identity: Identity,
    address: SocketAddr,
    version: u16,
    capabilities: Capabilities,
    software: String,
}

/// Something that came from a peer which has shown who it is.
#[derive(Clone, Debug)]
pub struct Authenticated<T> {
    from: Member,
    epoch: Epoch,
    value: T,
}

impl Member {
    pub(crate) fn new(number: PeerNumber, hello: Hello, version: u16, address: SocketAddr) -> Self {
        Self(Arc::new(Shown {
            number,
            identity: hello.identity,
            address,
            version,
            capabilities: hello.capabilities,
            software: hello.software,
        }))
    }

    /// Its number here.
    pub fn number(&self) -> PeerNumber {
        self.0.number
    }

    /// Which node it is.
    pub fn node(&self) -> &NodeName {
        self.0.identity.node()
    }

    /// Which incarnation of the node it is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The other end of the connection. If the peer has opened it, the port is any.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The version of the channel that both speak.
    pub fn version(&self) -> u16 {
        self.0.version
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.0.capabilities
    }

    /// Its release.
    pub fn software(&self) -> &str {
        &self.0.software
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("identity", &self.0.identity)
            .field("address", &self.0.address)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Member {
    /// The same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Member {}

impl<T> Authenticated<T> {
    pub(crate) const fn new(from: Member, epoch: Epoch, value: T) -> Self {
        Self { from, epoch, value }
    }

    /// From whom it is.
    pub const fn from(&self) -> &Member {
        &self.from
    }

    /// The highest epoch that the peer knew when it said this.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it is.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// Something else from the same.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Authenticated<U> {
        Authenticated {
            from: self.from,
            epoch: self.epoch,
            value: change(self.value),
        }
    }

    /// What it is, without from whom.
    pub fn into_value(self) -> T {
        self.value
    }
}
