//! Where the session records of a cluster live: in Redis or Valkey ([`Redis`]).
//!
//! The thin hand that executes (specification, 14): it connects, checks, writes, reads and tells what came of it.
//! What is written when, what is kept while a store is away, and what is read again after a failover, is decided in
//! `dataplane/core/cluster`. What a record says is not known here.
//!
//! # What is where
//! All keys of a cluster begin with `{lns:<namespace>/<name>}:`, one hash tag (rule S1). A record is a string
//! `<epoch>-<seq> <blob>` under `<kind>/<name>`; `fence` is a hash of epoch, holder, owner, beat and roster; `stream`
//! has an entry for each change under the id `<epoch>-<seq>`, about [`Config::stream_entries`] of them. With 300
//! octets a record takes 411 of memory (Redis 7.0.15).
//!
//! # What is fenced, and how
//! Everything is written by functions (`remote/functions.lua`), which Redis replicates and persists as it does the
//! data; they are loaded on connecting if they are missing or older. A change is refused
//! - unless epoch and holder are those of the fence ([`Refusal::NotHolder`]),
//! - if the record has that mark or a later one ([`Refusal::StaleSeq`]), whether it is to say something else or to be
//!   forgotten: so it protects itself when a failover of Redis has lost the fence,
//! - if the stream has ([`Refusal::StaleId`]): so what is new is protected, too.
//!
//! [`Redis::claim`] refuses lower epochs, an equal one of another holder, and another owner (the uid of the
//! `LnsCluster`) unless its caller has seen that the beat of the first does not move.
//!
//! # What is unknown
//! Changes go over one connection, a group at a time and in order, since the ids of the stream must grow. Each
//! call ends: with an answer, with [`Error::Away`] (nothing of it was sent), or with [`Error::Unknown`]: it may
//! have been done or still be. Then the connection is given up. What was under way may be done after it;
//! whoever repeats it does so under a later mark, and whichever comes last, the later mark stays.
//!
//! # Replicas
//! [`Redis::wait`] tells how many replicas have everything that was answered before. WAIT counts what its own
//! connection has written, and blocks it. So it has one of its own, and asks there after a write of its own, a
//! beat: replicas get all writes in one order. Both connections are of one [`LinkId`], to one life of one
//! server, because a promoted replica may never have had what was written before.
//!
//! # After a failover
//! [`State::Up`] tells the server's [`Origin`]: run id and replication id. If one has changed, acknowledged
//! writes may be gone. The master then claims again and writes what is missing ([`Redis::digest`] has the marks)
//! under later marks; a member that follows has it all without a gap. What Redis had acknowledged, no replica
//! had, and the master has not written again is lost if the master dies in that time: 100,000 records take
//! 1.6 s (64,700/s measured; two busy cores, a build for tests, `appendfsync everysec`).
//!
//! # Following
//! [`Redis::load`] notes the stream's position, then reads everything, tunnels first; [`Redis::tail`] goes on
//! from there. If the entry at its position is gone, others behind it may be, and that is a [`Followed::Gap`]:
//! load again.
//!
//! # The end
//! [`Redis::erase`] deletes all that a cluster has, if it is the owner's. The fence goes last, so that what was begun
//! and not ended can be begun again.
//!
//! # Tasks
//! [`writer`] and [`follower`] are the two that a node has: one while it is master, for its journal, and one while it
//! is not.
//!
//! # What a server needs
//! Version 7.0 or newer (of Valkey the version of Redis that it stands for), `maxmemory-policy noeviction`,
//! `appendonly yes`, and, unless it may be alone ([`Durability::Single`]), `min-replicas-to-write` and
//! `min-replicas-max-lag` above 0. The user of its ACL needs [`ACL`], which ends at keys of ours. Any that is missing
//! is a [`Reason`] of one line. With Sentinel all Sentinels are asked, and the answer with the latest
//! configuration counts; a certificate must name the addresses that they tell.
//!
//! # What is not here
//! Failover within a Redis Cluster (a server with `cluster-enabled yes` is refused), client certificates,
//! WAITAOF, the records of a node that serves alone (`dataplane/vault`), and any decision.
#![forbid(unsafe_code)]

mod config;
mod error;
pub mod follower;
mod record;
mod remote;
mod setup;
pub mod writer;

pub use config::{Address, Config, Credentials, Durability, Endpoint, Target, Timing, UrlError};
pub use error::{Beat, Error, Fenced, Reason, Refusal, UnsafeSetting};
pub use record::{Entry, Event, Key, MAX_PATH, NameError, Record, Space};
pub use remote::{
    ACL, Claim, Claimed, Digest, Fence, Followed, LinkId, Load, Origin, Redis, Server, State, Tail,
    Version, Writing, Written,
};
pub use setup::Setup;
