//! Random packets, changes of policies, clearings, limits and time, against a plain model.
//!
//! The model ([`plain`]) is written from the description of the classifier and shares no code with it: two
//! separate tables per port, one for each direction, into which the add node writes a tuple and its
//! mirror. After each step the verdict and all flows are compared. The one thing that is left open is
//! which of several flows gives way when there is no room; that it may is checked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod both;
mod packets;
mod plain;
mod steps;

use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;

use both::Both;

prop_state_machine! {
    #![proptest_config(Config { cases: 256, max_shrink_iters: 20_000, ..Config::default() })]

    #[test]
    fn the_classifier_does_what_the_plain_model_does(sequential 1..120 => Both);
}
