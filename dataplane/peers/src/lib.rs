//! The peer channel: what the members of an `LnsCluster` say to each other (spec: cluster, 1, 3, 5.3 and
//! 7.1; reliability, 7a and 8).
//!
//! One connection of TCP with mutual TLS 1.3 between each two members. Over it go questions for promises
//! and their answers, what a member hands to the master (L2TP control messages, PPP frames, reports of
//! what sessions have received and sent), positions in the stream of changes, records for who takes over
//! without a store, requests of dynamic authorization and of the admin interface. Packets whose session
//! has its home on another member go beside it, over UDP, sealed by keys of the connection.
//!
//! ```text
//!  Peers ─ list ─▶ tasks ─ greet ─▶ link ─ frames ─▶ inbox ─ Events ─▶ owner
//!    Speaker ─ send, ask ────▶ outbox ─┘     ▲
//!                     Epochs ────────────────┘ refuses what is older
//! ```
//!
//! [`wire`] has the octets; it opens no socket and reads no clock, and is what the fuzzer runs. [`data`]
//! seals and opens the packets that are handed over beside it, for threads that are none of tokio's. All
//! else are tasks of tokio and what they share.
//!
//! # Who is believed
//!
//! Who can reach the port is nobody. Whoever shows a certificate of the cluster's authorities that is for
//! a member of this cluster ([`ClusterId`] has the rule) is that member, and what it says is believed as
//! far as a member can be wrong: it may lie about what it has received, and it may flood. It cannot
//! speak for another member (a promise is its own, whatever it writes), nor as a node that its
//! certificate is not for, nor under an epoch that is over, nor make this process grow beyond
//! [`limits`]. Where one certificate serves all members, whoever has its key is any of them.
//!
//! | who | may | and cannot |
//! |---|---|---|
//! | anybody who reaches the port | hold one of [`HANDSHAKES_OTHERS`](limits::HANDSHAKES_OTHERS) handshakes for [`HANDSHAKE`](limits::HANDSHAKE), or let four fail there in a second | keep a listed peer out, be told anything but an alert of TLS, make a message be looked at |
//! | whoever is on the path | drop, delay and cut | read, change, repeat: TLS |
//! | a member of another cluster, or another object of the same name | learn the names of both in the refusal | come in |
//! | a member that is mad | use up its own room in every queue, and send frames that cannot be read | use another's room, block what is urgent, change anything by what cannot be read |
//! | a master whose epoch is over | say what it likes | be taken seriously: [`Kind::is_fenced`](wire::Kind::is_fenced) |
//!
//! # What may be lost
//!
//! Everything, with its connection; nothing comes twice. Nothing that is queued outlives the connection,
//! and a message that was dropped because there was no room is counted. So whoever sends says again what
//! must arrive: LACs and subscribers do, reports are absolute, positions grow, and a question has an
//! answer or a failure. Which queue gives way how, [`limits`] and [`SendError`] say.
//!
//! # Left out
//!
//! Finding peers: the owner lists them. Revocation of certificates: [`Credentials`]. Answers: the owner
//! gives them. Members that the roster does not have are taken if they are believed, a few at a time,
//! because a roster may be older than they are; the owner sees who they are.
#![forbid(unsafe_code)]

mod backoff;
mod cluster;
mod config;
pub mod data;
mod epochs;
mod event;
mod failed;
mod figures;
mod greet;
mod handle;
mod inbox;
pub mod limits;
mod link;
mod member;
mod peer;
mod peers;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
pub mod wire;

pub use cluster::{ClusterId, ClusterIdError};
pub use config::{Config, Timing};
pub use epochs::Epochs;
pub use event::{Event, Events, Responder};
pub use failed::{Failed, FailedFor};
pub use figures::{NotTaken, PeerFigures};
pub use handle::{Peers, Speaker};
pub use link::outbox::SendError;
pub use member::{Authenticated, Member, PeerNumber};
pub use peers::Full;
pub use tls::{Credentials, Material, TlsError};
