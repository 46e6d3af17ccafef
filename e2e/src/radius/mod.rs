//! Scenarios of RADIUS: a running `lnsd` between a LAC and Debian's FreeRADIUS, or a server of ours that
//! does what none should. `lns-e2e radius [NAME...]`.
//!
//! Faults are made where the server is: its process is killed or stopped, or packets are dropped in its
//! namespace. What came to it is judged by its own detail file, or by what the server of ours has read.

mod accounting;
mod bench;
mod detail;
mod dynamic;
mod faults;
mod hostile;
mod login;
mod plan;
mod responder;
mod rig;
mod server;
mod soak;
mod tls;

use anyhow::Result;

pub(crate) use self::bench::{BenchOptions, run as bench};
pub(crate) use self::detail::Entry;
#[cfg(test)]
pub(crate) use self::detail::parse;
pub(crate) use self::server::{ADDRESSES, FreeRadius, SECRET, Server, prepare, records_since};
use crate::scenario::{self, Scenario};

/// Those that mostly wait.
fn beside() -> Vec<Scenario> {
    [
        plan::SCENARIOS,
        login::SCENARIOS,
        accounting::SCENARIOS,
        dynamic::SCENARIOS,
        hostile::SCENARIOS,
        tls::SCENARIOS,
    ]
    .concat()
}

/// Prints what there is.
pub(crate) fn list() {
    scenario::show(&beside());
    scenario::show(faults::SCENARIOS);
    scenario::show(soak::SCENARIOS);
}

/// Runs those that take half an hour, beside each other. Says whether all passed.
pub(crate) fn run_long(names: &[String]) -> Result<bool> {
    scenario::play_in_lanes(soak::SCENARIOS.to_vec(), Vec::new(), names)
}

/// Runs the scenarios whose names contain one of `names`, all without names. Says whether all passed.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    scenario::play_in_lanes(beside(), faults::SCENARIOS.to_vec(), names)
}
