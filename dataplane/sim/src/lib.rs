//! The simulator: the real node ([`lns_node::Node`]) between LACs and subscribers, in virtual time,
//! over a network that loses, repeats, reorders and corrupts. One seed decides everything, so every
//! run can be had again.
//!
//! - [`peers`]: LACs and subscribers. They share nothing with the node but codecs and digests: an error
//!   in the node's machines is not made by its peers as well.
//! - [`world`]: the node, its workers, its peers and the network under one queue of events.
//! - [`observe`]: what must hold at any time, judged from outside.
//! - [`plan`]: who is there and what goes wrong, drawn from a seed; [`run`] runs a plan, [`shrink`] takes
//!   away from a failing one what it does not need.
//!
//! - [`cluster`]: several nodes, with an API server, a store and routers around them.
//!
//! Left out: sockets, clocks and the workers' own code, which have tests where they live.
#![forbid(unsafe_code)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a simulator's panics are its findings, and it looks at what it knows"
)]

pub mod cluster;
pub mod config;
mod malice;
pub mod observe;
pub mod pcap;
pub mod peers;
pub mod plan;
pub mod run;
pub mod shrink;
pub mod world;

pub use malice::Corpus;
