//! The classifier in front of every subscriber: session tables over policy tables, add nodes and
//! track nodes.
//!
//! Each port (a PPP session) has two directions: input is from the subscriber, output is to him. A
//! packet is first looked up in the session table; a hit goes to the track node of its direction and
//! family and never sees policy. A miss is judged by the port's chain of policy tables: `Pass` lets it
//! go on, `Drop` ends it, `Track` hands it to the add node, which puts its tuple into this direction's
//! table and the mirrored tuple into the other direction's, and the packet goes on. [`graph`] is that
//! sentence as code.
//!
//! ```text
//!              ┌── hit ──▶ track ──▶ forward | drop (timed out)
//! packet ──▶ session
//!              └── miss ─▶ policy ─┬─ Track ─▶ add ──▶ forward | drop (no room)
//!                                  ├─ Pass ──▶ forward
//!                                  └─ Drop ──▶ drop
//! ```
//!
//! | room | holds |
//! |---|---|
//! | [`packet`] | what a packet's headers say, read without leaving the packet |
//! | [`key`] | tuples, their mirrors, and the one key that both have |
//! | [`state`] | the state word: 8 TCP bits, 24 bits of seconds; classes and timeouts |
//! | [`table`] | the session table: records, their keys, their end |
//! | [`policy`] | rules, the classifier that they are compiled to, chains, epochs |
//! | [`graph`] | the eight nodes and the way between them |
//!
//! Everything takes the time as an argument and any number of threads may be in it at once. A hit
//! allocates nothing, takes no lock and makes no system call; memory is fixed from the start.
#![forbid(unsafe_code)]

pub mod graph;
pub mod key;
pub mod limits;
pub mod packet;
pub mod policy;
pub mod state;
pub mod table;
mod verdict;

pub use graph::{Classifier, Coming, Event, Events, NodeId, Options, Visit};
pub use key::{Direction, Family, FlowKey, PortId, Tuple};
pub use packet::Packet;
pub use policy::{ChainId, Epoch, Policies, PolicyId};
pub use state::{Class, Seconds, State, Timeouts};
pub use table::{FlowTable, TableConfig};
pub use verdict::{Refusal, Verdict};
