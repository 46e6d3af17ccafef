//! A member that is asked to stand aside: drained with care, or fenced at once. One that cannot read what the store has.

use super::*;

/// A member that follows, and was in step with the master at 200.
fn following() -> Member {
    let mut member = loaded();
    member.handle_epoch(epoch(6), Some(&identity("n2")));
    member.handle_answer(epoch(6), mark(6, 10), at(150), at(200));
    orders(&mut member);
    assert!(member.gates(at(200)).announce.is_some());
    member
}

/// The master gives its Lease up, and follows.
fn hand_over(member: &mut Member, now: u64) {
    assert_eq!(orders(member), [Order::StepDown]);
    member.handle_authority(None, Some(epoch(7)), at(now));
    let done = [Order::Demote, Order::Resign, Order::Release(epoch(7))];
    assert_eq!(orders(member), done);
}

#[test]
fn who_is_drained_hands_over_is_passed_by_and_forwards_what_still_comes() {
    let mut member = serving();
    assert!(member.gates(at(400)).announce.is_some());
    member.handle_aside(Aside::Draining, true, at(500));
    hand_over(&mut member, 600);
    assert_eq!(member.candidacy(), Candidacy::Last);
    let gates = member.gates(at(700));
    assert_eq!((gates.control, gates.announce), (None, None));
    assert!(gates.data > Some(at(60_000)), "{gates:?}");
    member.handle_aside(Aside::No, true, at(900));
    assert_eq!(member.candidacy(), Candidacy::Full);
    assert!(member.gates(at(900)).announce.is_some());
}

#[test]
fn nobody_is_drained_before_others_are_there() {
    let mut member = serving();
    member.handle_aside(Aside::Draining, false, at(500));
    assert_eq!(orders(&mut member), []);
    assert!(
        member.gates(at(500)).announce.is_some(),
        "there is nobody else"
    );
    member.handle_aside(Aside::Draining, true, at(1500));
    hand_over(&mut member, 1600);
}

#[test]
fn who_hands_over_and_is_not_followed_serves_for_a_while_before_the_next_try() {
    let mut member = serving();
    member.handle_aside(Aside::Draining, true, at(500));
    hand_over(&mut member, 600);
    member.handle_authority(authority(8, 400_000), None, at(9000));
    member.handle_claimed(epoch(8), at(9000));
    member.handle_caught_up(at(9000));
    orders(&mut member);
    for seconds in 0..119 {
        member.handle_aside(Aside::Draining, true, at(9000 + seconds * 1000));
        assert_eq!(orders(&mut member), []);
    }
    assert!(member.gates(at(10_000)).announce.is_some());
    member.handle_aside(Aside::Draining, true, at(129_000));
    assert_eq!(orders(&mut member), [Order::StepDown]);
}

#[test]
fn a_node_is_drained_once_nothing_has_come_for_a_while() {
    let mut member = following();
    member.handle_aside(Aside::Draining, true, at(1000));
    for (packets, now) in [(5, 2000), (9, 3000), (9, 4000), (9, 5999)] {
        member.handle_traffic(packets, at(now));
        assert!(!member.is_drained(at(now)), "{now}");
    }
    assert!(member.is_drained(at(6000)));
    member.handle_traffic(10, at(6500));
    assert!(!member.is_drained(at(6500)), "somebody has come again");
    member.handle_aside(Aside::No, true, at(7000));
    assert!(!member.is_drained(at(60_000)));
}

#[test]
fn a_master_is_never_drained() {
    let mut member = serving();
    member.handle_authority(authority(7, 99_000), None, at(400));
    member.handle_aside(Aside::Draining, false, at(500));
    assert!(!member.is_drained(at(60_000)));
}

#[test]
fn who_is_fenced_serves_nobody_whoever_is_there() {
    let mut member = serving();
    member.handle_aside(Aside::Fenced, false, at(500));
    assert_eq!(member.gates(at(500)).announce, None);
    hand_over(&mut member, 510);
    assert_eq!(member.candidacy(), Candidacy::No);
    let closes = at(500) + Times::default().withdraw;
    assert_eq!(
        member.gates(at(510)).data,
        Some(closes),
        "routers have yet to learn"
    );
    assert_eq!(member.gates(closes).data, None);
    // What it won before it was told is given back.
    member.handle_authority(authority(8, 99_000), None, at(3000));
    member.handle_aside(Aside::Fenced, true, at(3500));
    let orders = orders(&mut member);
    assert_eq!(orders.last(), Some(&Order::StepDown));
}

#[test]
fn who_is_unfenced_serves_again() {
    let mut member = following();
    member.handle_aside(Aside::Fenced, true, at(300));
    assert_eq!(member.gates(at(9000)).data, None);
    member.handle_aside(Aside::No, true, at(10_000));
    member.handle_answer(epoch(6), mark(6, 10), at(10_100), at(10_200));
    let gates = member.gates(at(10_200));
    assert!(gates.data.is_some() && gates.announce.is_some());
}

#[test]
fn who_cannot_read_what_the_store_has_serves_nobody_and_does_not_stand() {
    let mut member = following();
    member.handle_foreign(true);
    assert!(!member.is_loaded());
    assert_eq!(member.candidacy(), Candidacy::No);
    let gates = member.gates(at(300));
    assert_eq!((gates.data, gates.announce), (None, None));
    member.handle_loaded(mark(6, 10), at(400));
    assert!(!member.is_loaded());
    // They are read anew, and there are none any more.
    member.handle_foreign(false);
    assert!(!member.is_loaded());
    member.handle_loaded(mark(6, 11), at(500));
    assert!(member.is_loaded() && member.gates(at(500)).announce.is_some());
    assert_eq!(member.candidacy(), Candidacy::Full);
}

#[test]
fn who_finds_only_after_its_claim_that_it_cannot_read_all_hands_over_and_waits_for_nothing() {
    let mut member = loaded();
    member.handle_authority(authority(7, 90_000), None, at(200));
    member.handle_claimed(epoch(7), at(300));
    assert_eq!(orders(&mut member).last(), Some(&Order::CatchUp));
    member.handle_foreign(true);
    assert_eq!(orders(&mut member), [Order::StepDown]);
    member.handle_foreign(true);
    member.handle_caught_up(at(400));
    // It is not asked again and again meanwhile.
    assert_eq!(member.poll_timeout(), Some(at(90_000)));
    member.handle_timeout(at(60_000));
    assert_eq!(orders(&mut member), []);
    member.handle_authority(None, Some(epoch(7)), at(60_100));
    let done = [Order::Resign, Order::Release(epoch(7))];
    assert_eq!(orders(&mut member), done);
}
