//! The channel over loopback, with real sockets and real certificates, in one process.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test that overflows or meets something else fails"
)]

mod bed;
mod certificates;
mod fence;
mod flood;
mod greetings;
mod packets;
mod questions;
mod together;
