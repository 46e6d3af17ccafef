//! The elector, checked exhaustively: every order in which requests, answers, promises, faults and
//! ticks can come, over a bounded time (rule E8).
//!
//! What is checked is the crate itself: each step of a node is a call of `lns_cluster::Elector`. The
//! world around it has one record with conditional writes, requests that are slow, lost after they were
//! done, or done after nobody waits for them any more, members that lose questions and promises, clocks
//! that miss ticks, and hands that edit or delete the Lease.
//!
//! Bounds are those of each test: so many nodes, ticks and faults of each kind.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::option_option,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::unwrap_used,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "a test's own panics are its findings"
)]

mod checks;
mod node;
mod world;
