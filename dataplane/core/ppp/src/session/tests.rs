//! A session against peers written out octet by octet, and against a client that negotiates.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly"
)]

mod auth;
mod bench;
mod client;
mod eap;
mod echo;

mod hostile;
mod lcp;
mod network;
mod pair;
mod proxy;

use super::Session;

#[test]
fn a_million_sessions_fit_the_control_memory_of_a_node() {
    // Beside itself a session owns a name and an answer: two texts of some tens of octets.
    let octets = size_of::<Session>();
    assert!(octets <= 256, "{octets}");
}
