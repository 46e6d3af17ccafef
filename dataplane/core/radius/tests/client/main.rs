//! The client against servers in virtual time: each requirement has a test with its number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    clippy::std_instead_of_core,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod checks;
mod connections;
mod failover;
mod graphs;
mod hostile;
mod limits;
mod modes;
mod plan;
mod random;
mod retransmission;
mod secrets;
mod storm;
mod trunk;
mod world;
mod zombies;
