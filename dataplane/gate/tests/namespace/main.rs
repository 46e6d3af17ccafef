//! The gate between a node and its neighbours: two network namespaces, and a capture outside the node's.
//!
//! ```text
//! node                                    peer
//! 192.0.2.1, 192.0.2.10 on lo (the gate's)
//! 10.9.0.1 acc0 ───────────────────────── acc0 10.9.0.2   LAC, router, RADIUS server; captured
//!               lns0 ──────────────────── sub0 100.64.0.9 a subscriber; captured
//! ```
//!
//! It needs root; with `LNS_WITHOUT_ROOT` in the environment its tests are not made. Nothing of the machine's
//! own network is touched: what a test makes vanishes with its threads.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

mod bed;
mod capture;
mod kinds;
mod layer2;
mod life;
mod probes;
mod process;
