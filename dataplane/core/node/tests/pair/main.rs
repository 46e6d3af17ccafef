//! LACs, subscribers and a node in virtual time: what a subscriber, a LAC and an engineer see.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test's own panics are its findings"
)]

mod accounting;
mod client;
mod dynamic;
mod explain;
mod locals;
mod logins;
mod manifest;
mod members;
mod network;
mod operator;
mod peers;
mod policies;
mod radius;
mod reports;
mod server;
mod strays;
mod takeover;
mod world;
