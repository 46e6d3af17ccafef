//! The store with real servers: Debian's redis-server, as server, as replica and as Sentinel.
//!
//! Each test starts its own in a folder of its own on the loopback interface, and ends them by their process
//! ids. Without `redis-server` the tests fail and say what to install.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test's own panics are its findings"
)]

mod connect;
mod faults;
mod fence;
mod follow;
mod follower;
mod measure;
mod replicas;
mod rig;
mod tls;
mod writer;
