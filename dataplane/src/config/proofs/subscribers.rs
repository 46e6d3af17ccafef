//! Fields of `spec.subscribers`, and the Secret that it names.

use lns_api::Effect::{AtOnce, NewSessions};
use lns_node::radius::Order;
use lns_sim::peers::{LineSettings, Quirks};

use super::stage::{Stage, line, line_with};
use super::{Proof, proof};

pub(super) const PROOFS: &[Proof] = &[
    proof(
        "spec.subscribers.localUsers.secretRef.name",
        NewSessions,
        local_users,
    ),
    proof(
        "spec.subscribers.localUsers.order",
        NewSessions,
        local_users_order,
    ),
    proof("Secret: users.yaml", NewSessions, users),
    proof("spec.subscribers.duplicates.key", AtOnce, duplicate_key),
    proof(
        "spec.subscribers.duplicates.action",
        AtOnce,
        duplicate_action,
    ),
    proof("spec.subscribers.idleSeconds", NewSessions, idle),
    proof(
        "spec.subscribers.sessionSeconds",
        NewSessions,
        session_limit,
    ),
];

fn local_users(stage: &mut Stage) {
    let old = stage.alice();
    let early = stage.call(old.lac, "dave");
    assert!(!stage.is_up(early));
    stage.change(&[(
        "localUsers: { secretRef: { name: users },",
        "localUsers: { secretRef: { name: guests },",
    )]);
    assert!(stage.is_up(old), "who is up stays");
    let again = stage.call(old.lac, "alice");
    assert!(!stage.is_up(again));
    let late = stage.call(old.lac, "dave");
    assert!(stage.is_up(late));
}

/// Who is asked about whoever logs in from then on.
fn local_users_order(stage: &mut Stage) {
    let asked = |stage: &mut Stage| {
        let orders = stage.orders();
        orders.iter().any(|it| matches!(it, Order::Ask(_)))
    };
    let old = stage.alice();
    assert!(!asked(stage), "she is a local user");
    stage.call(old.lac, "dave");
    assert!(asked(stage), "he is none");
    stage.change(&[("order: Before", "order: Only")]);
    let late = stage.call(old.lac, "dave");
    assert!(!asked(stage) && !stage.is_up(late));
    stage.change(&[("order: Only", "order: After")]);
    stage.call(old.lac, "bob");
    assert!(asked(stage), "servers come first");
    assert!(stage.is_up(old));
}

fn users(stage: &mut Stage) {
    let old = stage.alice();
    let bob = stage.call(old.lac, "bob");
    let carol = stage.call(old.lac, "carol");
    let early = stage.call(old.lac, "erin");
    assert!(!stage.is_up(early));
    stage.change(&[
        ("    alice: alice-password\n", "    erin: erin-password\n"),
        ("bob: bob-password", "bob: another-password"),
        (
            "carol: carol-password",
            "carol: { password: carol-password, policies: [GOLD], address: 203.0.113.7 }",
        ),
    ]);
    assert!([old, bob, carol].iter().all(|call| stage.is_up(*call)));
    let late = stage.call(old.lac, "erin");
    assert!(stage.is_up(late), "added");
    let again = stage.call(old.lac, "alice");
    assert!(!stage.is_up(again), "removed");
    let again = stage.call(old.lac, "bob");
    assert!(!stage.is_up(again), "the old password");
    let quirks = Quirks::default();
    let again = stage.call_with(old.lac, line_with("bob", "another-password", quirks));
    assert!(stage.is_up(again), "the new password");
    let again = stage.call(old.lac, "carol");
    assert_eq!(stage.address(again), "203.0.113.7");
    assert_ne!(stage.address(carol), "203.0.113.7");
    let users = &stage.setup.node.subscribers.users;
    assert_eq!(
        users[&b"carol"[..]].policies,
        [std::sync::Arc::<str>::from("GOLD")]
    );

    challenged_again_with_the_new_password(stage);
}

/// A live session that is challenged again must know the new password.
fn challenged_again_with_the_new_password(stage: &mut Stage) {
    let mut other = Stage::new();
    other.begin_with(&[("rechallengeSeconds: 0", "rechallengeSeconds: 20")]);
    let old = other.alice();
    other.change(&[("alice: alice-password", "alice: another-password")]);
    assert!(other.is_up(old));
    other.run(30);
    assert!(!other.is_up(old), "challenged, and the answer is wrong");
    assert!(stage.node().status().sessions > 0);
}

fn calling_from(number: &str, user: &str) -> LineSettings {
    LineSettings {
        calling_number: Some(number.as_bytes().into()),
        ..line(user)
    }
}

/// Who logged in under another key is known by the new one, too.
fn duplicate_key(stage: &mut Stage) {
    stage.begin_with(&[("action: Allow", "action: Refuse")]);
    let lac = stage.lac();
    let old = stage.call_with(lac, calling_from("1", "alice"));
    let same_name = stage.call_with(lac, calling_from("2", "alice"));
    assert!(stage.is_up(old) && !stage.is_up(same_name));
    stage.change(&[("key: [UserName]", "key: [CallingStationId]")]);
    let same_name = stage.call_with(lac, calling_from("2", "alice"));
    assert!(stage.is_up(same_name));
    let same_number = stage.call_with(lac, calling_from("1", "bob"));
    assert!(!stage.is_up(same_number));
    assert!(stage.is_up(old));
}

/// Who logged in under another rule is judged by the new one, too.
fn duplicate_action(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("action: Allow", "action: Refuse")]);
    let refused = stage.call(old.lac, "alice");
    assert!(!stage.is_up(refused) && stage.is_up(old));
    stage.change(&[("action: Refuse", "action: Replace")]);
    let newer = stage.call(old.lac, "alice");
    assert!(stage.is_up(newer) && !stage.is_up(old));
    let reasons: Vec<_> = stage
        .ends("alice")
        .into_iter()
        .map(|(_, why)| why)
        .collect();
    assert!(reasons.contains(&"replaced"), "{reasons:?}");
}

fn idle(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("idleSeconds: 0", "idleSeconds: 30")]);
    let new = stage.call(old.lac, "bob");
    assert!(stage.is_up(new));
    stage.run(60);
    assert!(stage.is_up(old) && !stage.is_up(new));
    assert_eq!(stage.ends("bob")[0].1, "idle_timeout");
}

fn session_limit(stage: &mut Stage) {
    let old = stage.alice();
    stage.change(&[("sessionSeconds: 0", "sessionSeconds: 30")]);
    let new = stage.call(old.lac, "bob");
    assert!(stage.is_up(new));
    stage.run(60);
    assert!(stage.is_up(old) && !stage.is_up(new));
    assert_eq!(stage.ends("bob")[0].1, "session_timeout");
}
