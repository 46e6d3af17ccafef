//! What a store answers when it does not do what was asked, and why there is none.
//!
//! Three things are told apart, because each asks for something else: it was refused (the answer is known, and
//! nothing has changed), it was never sent, and it is unknown what became of it.

use core::fmt;
use std::sync::Arc;

use lns_cluster::Epoch;
use lns_cluster::journal::Mark;
use thiserror::Error;

use crate::remote::ACL;

/// Why something was not done.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The store has refused it: nothing has changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No answer came in time: it was done, or was not, or will be. Whoever asks again does so under a new mark.
    #[error("the store has not answered: it may have done what it was asked, or still do it")]
    Unknown,
    /// The store is away, and nothing was sent to it.
    #[error("{0}")]
    Away(Arc<Reason>),
}

/// Why a store has refused something.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// Somebody else is master there, or nobody is.
    #[error("the store has another master: {0}")]
    NotHolder(Fenced),
    /// The record's last change is this one or a later one.
    #[error("the record has a change that is as late: {stored}")]
    StaleSeq {
        /// Its mark.
        stored: Mark,
    },
    /// The stream has an entry of this mark or of a later one.
    #[error("the stream has a change that is as late: {last}")]
    StaleId {
        /// The mark of its last entry.
        last: Mark,
    },
    /// Somebody has claimed a higher epoch, or the same.
    #[error("the store knows a later master: {0}")]
    StaleEpoch(Fenced),
    /// The records are another object's, whose master was alive when this was asked.
    #[error(
        "the records belong to another LnsCluster object of this name (uid {owner}), whose master writes them"
    )]
    OtherOwner {
        /// Its uid.
        owner: Box<str>,
        /// When its master was heard last. It is not alive if this stays the same.
        beat: Beat,
    },
    /// The store does not compare numbers as large as these exactly.
    #[error(
        "the store does not know numbers from 2^53 on exactly, and this is {0}: the epoch of the Lease is damaged"
    )]
    Inexact(Mark),
    /// Redis has fewer replicas than it needs for a write.
    #[error("too few replicas are connected to take a write (min-replicas-to-write)")]
    TooFewReplicas,
    /// The server is full.
    #[error("the server has no memory left (maxmemory)")]
    Full,
    /// Anything else, in the store's own words.
    #[error("the store says: {0}")]
    Other(Box<str>),
}

/// Who is master as the store has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fenced {
    /// In which epoch; `None`: the store knows of no master, as one that has lost its data does.
    pub epoch: Option<Epoch>,
    /// Who it is, as it has called itself.
    pub holder: Box<str>,
}

/// When a master was last heard, on the clock of the store; compared for equality only, so no clock that jumps
/// makes a dead master alive or a living one dead.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Beat(pub(crate) Box<str>);

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{} in epoch {}", self.holder, epoch.number()),
            None => f.write_str("nobody"),
        }
    }
}

/// Why there is no connection to a store. Each is one line that says what is wrong and what to do.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Reason {
    /// It was not tried yet.
    #[error("the store is being connected")]
    Connecting,
    /// The handle's task has ended.
    #[error("the store was closed")]
    Closed,
    /// A name that resolves to nothing.
    #[error(
        "store.redis: the host {host} is unknown ({why}): set a name that resolves on this node"
    )]
    UnknownHost {
        /// The name.
        host: Box<str>,
        /// What the resolver says.
        why: Box<str>,
    },
    /// Nothing listens there, or no route leads there.
    #[error("store.redis: {address} cannot be reached ({why})")]
    Unreachable {
        /// Where.
        address: Box<str>,
        /// What the system says.
        why: Box<str>,
    },
    /// It listens and says nothing.
    #[error("store.redis: {address} does not answer")]
    Silent {
        /// Where.
        address: Box<str>,
    },
    /// The connection broke.
    #[error("store.redis: the connection to {address} broke ({why})")]
    Lost {
        /// Where.
        address: Box<str>,
        /// What the system says.
        why: Box<str>,
    },
    /// No trust, or no TLS there.
    #[error("store.redis: no TLS with {address} ({why}): {advice}")]
    Tls {
        /// Where.
        address: Box<str>,
        /// What TLS says.
        why: Box<str>,
        /// What to look at.
        advice: &'static str,
    },
    /// No certificate of an authority.
    #[error(
        "store.redis: {0}: put the authority's certificate (PEM) into the Secret of store.redis.caSecretRef"
    )]
    Authorities(Box<str>),
    /// Name and password do not fit.
    #[error(
        "store.redis: {address} does not take the password of user {user}, or has no such user, or it is off: mend the Secret of store.redis.credentialsSecretRef"
    )]
    Credentials {
        /// Where.
        address: Box<str>,
        /// Who.
        user: Box<str>,
    },
    /// It asks for a password.
    #[error(
        "store.redis: {address} asks for a password, and none is configured: set store.redis.credentialsSecretRef"
    )]
    NoCredentials {
        /// Where.
        address: Box<str>,
    },
    /// It has no password.
    #[error(
        "store.redis: {address} has no password, and one is configured: protect the server (requirepass or ACL SETUSER), or take store.redis.credentialsSecretRef away"
    )]
    Unprotected {
        /// Where.
        address: Box<str>,
    },
    /// The user may not do what is needed.
    #[error(
        "store.redis: user {user} may not do what is needed ({why}): give it {acl}", acl = ACL)]
    NotPermitted {
        /// Who.
        user: Box<str>,
        /// What the server says.
        why: Box<str>,
    },
    /// It is no master.
    #[error(
        "store.redis: {address} is a {role}, not a master: set the address of the master, or store.redis.sentinel"
    )]
    NotMaster {
        /// Where.
        address: Box<str>,
        /// What it is.
        role: Box<str>,
    },
    /// It reads its data from disk.
    #[error("store.redis: {address} is loading its data")]
    Loading {
        /// Where.
        address: Box<str>,
    },
    /// It is too old.
    #[error(
        "store.redis: {address} is version {version}: 7.0 or newer is needed, which has functions"
    )]
    TooOld {
        /// Where.
        address: Box<str>,
        /// What it says it is.
        version: Box<str>,
    },
    /// It is part of a Redis Cluster.
    #[error(
        "store.redis: {address} runs with cluster-enabled yes, and failover of a Redis Cluster is not followed: use a single server, or Sentinel"
    )]
    ClusterMode {
        /// Where.
        address: Box<str>,
    },
    /// A setting with which records would be lost (rule S6).
    #[error("store.redis: {address} would lose records: {setting}")]
    Unsafe {
        /// Where.
        address: Box<str>,
        /// Which.
        setting: UnsafeSetting,
    },
    /// The library cannot be loaded.
    #[error("store.redis: {address} does not take the function library ({why})")]
    Library {
        /// Where.
        address: Box<str>,
        /// What the server says.
        why: Box<str>,
    },
    /// No Sentinel answers.
    #[error("store.redis.sentinel: no Sentinel answers; the last one: {0}")]
    NoSentinel(Box<str>),
    /// They know no such master.
    #[error(
        "store.redis.sentinel.master: the Sentinels know no master {0:?}: set the name that their configuration has"
    )]
    UnknownMaster(Box<str>),
    /// The server is another one than before, or is it in another life.
    #[error("store.redis: {address} is no longer the server that it was ({why})")]
    Changed {
        /// Where.
        address: Box<str>,
        /// How.
        why: &'static str,
    },
    /// It has answered what is no answer to this.
    #[error("store.redis: {address} answers {text:?}")]
    Strange {
        /// Where.
        address: Box<str>,
        /// What.
        text: Box<str>,
    },
}

impl Reason {
    /// Whether waiting does not help: somebody has to change the server's configuration, or ours.
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Tls { .. }
            | Self::Authorities(_)
            | Self::Credentials { .. }
            | Self::NoCredentials { .. }
            | Self::Unprotected { .. }
            | Self::NotPermitted { .. }
            | Self::TooOld { .. }
            | Self::ClusterMode { .. }
            | Self::Unsafe { .. }
            | Self::Library { .. }
            | Self::UnknownMaster(_) => true,
            Self::Connecting
            | Self::Closed
            | Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Lost { .. }
            | Self::NotMaster { .. }
            | Self::Loading { .. }
            | Self::NoSentinel(_)
            | Self::Changed { .. }
            | Self::Strange { .. } => false,
        }
    }
}

/// A setting of a server with which records would be lost (rule S6).
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum UnsafeSetting {
    /// A full server throws keys away.
    #[error("maxmemory-policy is {0}: set maxmemory-policy noeviction")]
    Eviction(Box<str>),
    /// A restarted server is empty, or an hour old.
    #[error("appendonly is no: set appendonly yes")]
    NoAppendOnly,
    /// A master that is cut off goes on taking writes.
    #[error(
        "min-replicas-to-write or min-replicas-max-lag is 0: set min-replicas-to-write 1 or more, or store.redis.durability: Single"
    )]
    NoReplicas,
}
