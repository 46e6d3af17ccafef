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
        open: false,
        cold: false,
        peers: false,
        lossy: true,
        slow_promises: false,
        slow: &[],
        misses_one_in: 0,
        ghosts: 0,
        slow_reads: false,
        restore: 0,
        faults: Faults::default(),
        mortal: &[],
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
    holds(
        "late and lost",
        Check {
            horizon: 11,
            ..base()
        },
    );
}

/// Times as short as can be, in ticks of a second: all of a takeover in few of them.
fn short(hold: u64, wait: u64, drift: u16) -> Profile {
    Profile::new(Timing {
        hold: SECOND * u32::try_from(hold).unwrap(),
        wait: SECOND * u32::try_from(wait).unwrap(),
        renew: SECOND,
        patience: SECOND * 2,
        gap: SECOND * 3,
        drift,
        grain: Duration::ZERO,
    })
    .unwrap()
}

#[test]
fn a_write_that_is_done_when_nobody_waits_for_it_makes_no_second_master() {
    holds(
        "ghosts",
        Check {
            ghosts: 1,
            ..base()
        },
    );
}

#[test]
fn answers_to_reads_that_are_late_make_no_second_master() {
    holds(
        "slow reads",
        Check {
            slow_reads: true,
            profile: short(3, 4, 0),
            horizon: 7,
            ..base()
        },
    );
}

#[test]
fn clocks_that_differ_in_rate_make_no_second_master() {
    let check = Check {
        profile: short(4, 5, 250),
        slow: &[0, 1],
        misses_one_in: 5,
        horizon: 7,
        ..base()
    };
    holds("clocks", check);
}

#[test]
fn promises_hold_on_clocks_that_differ_in_rate() {
    let check = Check {
        profile: short(4, 6, 500),
        slow: &[0],
        misses_one_in: 5,
        peers: true,
        lossy: false,
        horizon: 7,
        reaches: &[Reached::Takeover, Reached::Extension],
        ..base()
    };
    holds("clocks and promises", check);
}

#[test]
fn a_lease_that_is_deleted_or_edited_by_hand_makes_no_second_master() {
    let faults = Faults {
        deletions: 1,
        edits: 1,
        ..Faults::default()
    };
    holds(
        "hands",
        Check {
            faults,
            profile: short(3, 4, 0),
            ghosts: 1,
            horizon: 6,
            ..base()
        },
    );
}

#[test]
fn a_store_that_is_put_back_makes_no_second_master_and_no_epoch_comes_twice() {
    let check = Check {
        profile: short(5, 6, 0),
        restore: 4,
        horizon: 9,
        faults: Faults {
            rewinds: 1,
            ..Faults::default()
        },
        ..base()
    };
    holds("rewind", check);
}

#[test]
fn a_lease_that_is_put_back_by_hand_makes_no_second_master() {
    let check = Check {
        profile: short(3, 4, 0),
        horizon: 6,
        faults: Faults {
            restores: 2,
            ..Faults::default()
        },
        ..base()
    };
    holds("restore", check);
}

#[test]
fn promises_prolong_a_master_and_make_no_second_one() {
    let check = Check {
        profile: short(3, 4, 0),
        peers: true,
        ghosts: 1,
        horizon: 6,
        reaches: &[Reached::Takeover, Reached::Extension, Reached::Return],
        ..base()
    };
    holds("promises", check);
}

#[test]
fn a_promise_that_comes_late_counts_from_its_question() {
    let check = Check {
        profile: short(3, 4, 0),
        peers: true,
        lossy: false,
        slow_promises: true,
        horizon: 7,
        reaches: &[Reached::Takeover, Reached::Extension],
        ..base()
    };
    holds("late promises", check);
}

#[test]
fn a_member_that_may_be_on_the_roster_has_to_promise() {
    let check = Check {
        profile: short(3, 4, 0),
        rostered: 1,
        peers: true,
        ghosts: 1,
        horizon: 6,
        reaches: &[Reached::Takeover, Reached::Extension],
        ..base()
    };
    holds("roster", check);
}

#[test]
fn a_restart_takes_no_promise_back_and_adopts_nothing() {
    let check = Check {
        profile: short(3, 4, 0),
        peers: true,
        lossy: false,
        horizon: 7,
        faults: Faults {
            restarts: 1,
            ..Faults::default()
        },
        mortal: &[1],
        reaches: &[Reached::Takeover, Reached::Extension],
        ..base()
    };
    holds("restarts", check);
}

#[test]
fn a_release_hands_over_at_once_and_to_one() {
    let check = Check {
        profile: short(3, 4, 0),
        ghosts: 1,
        horizon: 5,
        faults: Faults {
            stops: 1,
            deletions: 1,
            ..Faults::default()
        },
        reaches: &[Reached::Takeover, Reached::Handover],
        ..base()
    };
    holds("release", check);
}

#[test]
fn a_cluster_is_founded_once() {
    let check = Check {
        profile: short(3, 4, 0),
        cold: true,
        horizon: 9,
        ..base()
    };
    holds("cold", check);
}

#[test]
fn an_election_without_a_roster_has_one_master() {
    let faults = Faults {
        deletions: 1,
        ..Faults::default()
    };
    let check = Check {
        open: true,
        profile: short(3, 4, 0),
        faults,
        ghosts: 1,
        horizon: 7,
        ..base()
    };
    holds("open", check);
}

#[test]
fn an_election_without_a_roster_is_founded_once() {
    let check = Check {
        open: true,
        profile: short(3, 4, 0),
        cold: true,
        horizon: 9,
        ..base()
    };
    holds("open, cold", check);
}

#[test]
fn ticks_of_half_a_second_show_nothing_else() {
    let check = Check {
        tick: SECOND / 2,
        horizon: 14,
        ..base()
    };
    holds("half seconds", check);
}

#[test]
fn three_nodes_have_one_master() {
    let check = Check {
        nodes: 3,
        rostered: 3,
        profile: short(3, 4, 0),
        horizon: 6,
        ..base()
    };
    holds("three", check);
}
