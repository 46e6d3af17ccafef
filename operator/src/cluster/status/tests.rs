//! What is told, and that kstatus makes of it what is meant.

use k8s_openapi::jiff::Timestamp;
use lns_cluster::NodeName;

use super::*;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn node(name: &str) -> NodeSeen {
    NodeSeen {
        name: name.to_owned(),
        is_alive: true,
        is_ready: true,
        lacks_image: false,
        trouble: None,
        aside: Aside::No,
    }
}

/// A cluster with which all is well.
fn well() -> Found {
    Found {
        generation: 3,
        nodes: ["a", "b", "c"].map(node).into(),
        master: Some(MasterSeen {
            node: "a".to_owned(),
            pod_uid: Some("5d1c".to_owned()),
            epoch: 7,
            since: Some(at(10)),
            version: Some("0.1.0".to_owned()),
            record_format: Some(1),
            sessions: Some(12_000),
        }),
        rollout: Some(Step::Done),
        store: Some(StoreSeen::Synced),
        ..Found::default()
    }
}

fn told(found: &Found) -> LnsClusterStatus {
    status(found, None, &at(100))
}

/// What a condition says, and why.
fn said(found: &Found, kind: &str) -> (String, String) {
    let told = told(found);
    let condition = find(&told.conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

fn is(found: &Found, kind: &str, status: &str, reason: &str) {
    assert_eq!(
        said(found, kind),
        (status.to_owned(), reason.to_owned()),
        "{kind} of {found:?}"
    );
}

/// What kstatus makes of it (its rules, in its order).
fn kstatus(status: &LnsClusterStatus, generation: i64) -> &'static str {
    let is_true = |kind| find(&status.conditions, kind).is_some_and(|it| it.status == "True");
    match () {
        () if status.observed_generation != generation => "InProgress",
        () if is_true(condition::RECONCILING) => "InProgress",
        () if is_true(condition::STALLED) => "Failed",
        () if is_true(condition::READY) => "Current",
        () => "InProgress",
    }
}

#[test]
fn a_cluster_that_serves_is_ready_and_says_who_is_master() {
    let status = told(&well());
    assert_eq!(kstatus(&status, 3), "Current");
    assert_eq!(kstatus(&status, 4), "InProgress");
    let active = status.active.unwrap();
    assert_eq!(
        (&*active.node, active.epoch, active.since),
        ("a", 7, Some(at(10)))
    );
    assert_eq!(
        status.members,
        Some(Members {
            desired: 3,
            ready: 3
        })
    );
    assert_eq!(status.sessions, Some(12_000));
    for condition in &status.conditions {
        assert!(!condition.reason.is_empty() && !condition.message.is_empty());
        assert_eq!(condition.observed_generation, Some(3));
    }
}

#[test]
fn what_somebody_has_to_put_right_is_failed_and_not_in_progress() {
    let mut found = well();
    found.stalled = Some(Problem {
        reason: reason::INVALID,
        message: "spec.pools[0].prefixes[0].cidr: \"x\" is no CIDR".to_owned(),
    });
    found.nodes[0].is_ready = false;
    assert_eq!(kstatus(&told(&found), 3), "Failed");
    is(&found, condition::STALLED, "True", reason::INVALID);
    is(&found, condition::READY, "False", reason::INVALID);
    is(&found, condition::RECONCILING, "False", reason::STALLED);
}

#[test]
fn without_a_master_it_is_not_ready() {
    let mut found = well();
    (found.master, found.store) = (None, None);
    is(
        &found,
        condition::MASTER_ELECTED,
        "False",
        reason::NO_MASTER,
    );
    is(&found, condition::READY, "False", reason::NO_MASTER);
    is(
        &found,
        condition::STORE_SYNCED,
        "Unknown",
        reason::NO_MASTER,
    );
    assert_eq!(kstatus(&told(&found), 3), "InProgress");
}

#[test]
fn a_node_that_is_dead_degrades_and_a_pod_that_comes_is_progress() {
    let mut dead = well();
    (dead.nodes[1].is_alive, dead.nodes[1].is_ready) = (false, false);
    is(&dead, condition::READY, "True", reason::SERVING);
    is(&dead, condition::DEGRADED, "True", reason::MEMBER_NOT_READY);
    let mut comes = well();
    comes.nodes[1].is_ready = false;
    comes.nodes[1].trouble = Some("CrashLoopBackOff: back-off 10s".to_owned());
    is(
        &comes,
        condition::RECONCILING,
        "True",
        reason::MEMBER_NOT_READY,
    );
    is(&comes, condition::READY, "False", reason::MEMBER_NOT_READY);
    let status = told(&comes);
    let message = &find(&status.conditions, condition::READY).unwrap().message;
    assert_eq!(message, "b: CrashLoopBackOff: back-off 10s");
}

#[test]
fn a_rollout_and_what_is_not_in_force_are_progress() {
    let mut rolling = well();
    rolling.rollout = Some(Step::Wait(Why::NotSynced(NodeName::new("b").unwrap())));
    is(
        &rolling,
        condition::RECONCILING,
        "True",
        reason::ROLLING_OUT,
    );
    let mut lagging = well();
    lagging.lagging = vec!["b".to_owned(), "c".to_owned()];
    is(&lagging, condition::READY, "False", reason::NOT_IN_FORCE);
    is(
        &lagging,
        condition::RECONCILING,
        "True",
        reason::NOT_IN_FORCE,
    );
}

#[test]
fn a_store_that_is_late_degrades_and_nobody_waits_for_it() {
    let mut found = well();
    found.store = Some(StoreSeen::Late("the store is away: timed out".to_owned()));
    is(&found, condition::STORE_SYNCED, "False", reason::STORE_LATE);
    is(&found, condition::DEGRADED, "True", reason::STORE_LATE);
    is(&found, condition::READY, "True", reason::SERVING);
}

#[test]
fn a_condition_keeps_its_time_as_long_as_it_says_the_same() {
    let first = told(&well());
    assert_eq!(status(&well(), Some(&first), &at(200)), first);
    let mut found = well();
    found.master = None;
    let second = status(&found, Some(&first), &at(200));
    let time = |status: &LnsClusterStatus, kind| {
        find(&status.conditions, kind)
            .unwrap()
            .last_transition_time
            .clone()
    };
    assert_eq!(time(&second, condition::MASTER_ELECTED), at(200));
    assert_eq!(time(&second, condition::STALLED), at(100));
}

#[test]
fn every_reason_is_a_word_and_says_what_it_means() {
    for (word, says) in reason::ALL {
        assert!(
            word.starts_with(|first: char| first.is_ascii_uppercase()),
            "{word}"
        );
        assert!(
            word.chars().all(|char| char.is_ascii_alphanumeric()),
            "{word}"
        );
        assert!(!says.trim().is_empty(), "{word}");
    }
}

#[test]
fn members_that_stand_aside_are_told_of_and_it_serves_all_the_same() {
    let mut found = well();
    for (aside, is_ready, reason) in [
        (Aside::Fenced, false, reason::FENCED),
        (Aside::Cordoned, true, reason::DRAINING),
        (Aside::Draining, true, reason::DRAINING),
        (Aside::Drained, true, reason::DRAINED),
    ] {
        (found.nodes[1].aside, found.nodes[1].is_ready) = (aside, is_ready);
        is(&found, condition::DEGRADED, "True", reason);
        is(&found, condition::READY, "True", reason::SERVING);
        let told = told(&found);
        let message = &find(&told.conditions, condition::DEGRADED).unwrap().message;
        assert!(message.contains(": b"), "{message}");
    }
}

#[test]
fn who_fences_all_or_a_stranger_reads_so() {
    let mut found = well();
    found.strangers = vec!["x".to_owned()];
    is(&found, condition::DEGRADED, "True", reason::FENCED);
    for node in &mut found.nodes {
        (node.aside, node.is_ready) = (Aside::Fenced, false);
    }
    (found.master, found.store) = (None, None);
    is(&found, condition::READY, "False", reason::FENCED);
    is(&found, condition::MASTER_ELECTED, "False", reason::FENCED);
}
