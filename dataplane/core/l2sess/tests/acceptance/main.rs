//! The acceptance list, as far as packets and a clock are enough for it: each row by its number, for
//! both families, and for flows that either side opens. What needs a running node is tested there;
//! D1 to D8 are faults of earlier programs of this kind.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod configuration;
mod defects;
mod flows;
mod limits;
mod protocols;
mod stateless;
mod tcp;
mod timeouts;
