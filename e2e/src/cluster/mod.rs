//! Stories of a cluster: three `lnsd` in namespaces behind a router, with a real API server, Redis with
//! Sentinel and FreeRADIUS. `lns-e2e cluster [NAME...]`.
//!
//! Faults are signals by pid and cuts of links, under traffic. What is concluded comes from a capture
//! outside of the nodes, from what the subscribers received, and from FreeRADIUS's detail file; never
//! from what a node says of itself.

mod apiserver;
mod bed;
mod bench;
mod capture;
mod demo;
mod faults;
mod flows;
mod ground;
mod neighbours;
mod network;
mod objects;
mod random;
mod redis;
mod router;
mod scene;
mod verdict;

use anyhow::Result;

pub(crate) use self::bench::{BenchOptions, run as bench};
pub(crate) use self::demo::run as demo;
use crate::scenario::{self, Scenario};

fn all() -> Vec<Scenario> {
    [ground::SCENARIOS, faults::SCENARIOS].concat()
}

fn long() -> Vec<Scenario> {
    [faults::LONG, random::SCENARIOS].concat()
}

/// Prints what there is.
pub(crate) fn list() {
    scenario::show(&all());
    scenario::show(&long());
}

/// Runs the stories whose names contain one of `names`, all without names. Says whether all passed.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    scenario::play(all(), names)
}

/// Runs those that take minutes. Says whether all passed.
pub(crate) fn run_long(names: &[String]) -> Result<bool> {
    scenario::play(long(), names)
}
