//! What is checked, one test for each kind of fault.

use core::time::Duration;

use lns_cluster::{Profile, Timing};
use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::world::{Check, Faults, Reached};

const SECOND: Duration = Duration::from_secs(1);

/// Two nodes, the first of them master; H 4 s, D 5 s, a tick each second; no fault but that requests
/// and answers are late or lost.
fn base() -> Check {
    Check {
        nodes: 2,
        profile: Profile::DEFAULT,
        tick: SECOND,
        horizon: 9,
        rostered: 2,
        cold: false,
        peers: false,
        misses_one_in: 0,
        ghosts: 0,
        slow_reads: false,
        restore: 0,
        faults: Faults::default(),
        reaches: &[Reached::Takeover],
    }
}

/// Runs a check to its end, and says how large it was.
fn holds(name: &str, check: Check) {
    let checker = check
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    println!(
        "{name}: {} states, {} transitions",
        checker.unique_state_count(),
        checker.state_count()
    );
    checker.assert_properties();
}

#[test]
fn late_and_lost_answers_never_make_two_masters() {
    holds("late and lost", base());
}
