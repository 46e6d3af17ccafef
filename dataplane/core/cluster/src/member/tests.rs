//! A member from order to order, and properties of it under any inputs.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "small numbers of a test, which may fail this way"
)]

mod aside;

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::profile::Profile;
use crate::roster::Roster;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn mark(of: u64, seq: u64) -> Mark {
    Mark::new(epoch(of), seq).unwrap()
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn identity(text: &str) -> Identity {
    Identity::new(name(text), "1").unwrap()
}

#[allow(clippy::unnecessary_wraps, reason = "as a member is told of it")]
fn authority(of: u64, until: u64) -> Option<Authority> {
    Some(Authority {
        epoch: epoch(of),
        until: at(until),
        vouched: at(0),
    })
}

fn member() -> Member {
    Member::new(name("n1"), Times::default(), at(0))
}

fn orders(member: &mut Member) -> Vec<Order> {
    core::iter::from_fn(|| member.poll_order()).collect()
}

fn loaded() -> Member {
    let mut member = member();
    member.handle_loaded(mark(6, 10), at(100));
    assert_eq!(
        orders(&mut member),
        [Order::Raise(epoch(6))],
        "somebody has written them"
    );
    member
}

fn take_over(is_complete: bool, admits: bool) -> Order {
    Order::TakeOver {
        epoch: epoch(7),
        is_complete,
        admits,
    }
}

#[test]
fn whoever_has_the_lease_claims_reads_to_the_end_and_takes_over() {
    let mut member = loaded();
    member.handle_authority(authority(7, 4000), None, at(200));
    assert_eq!(
        orders(&mut member),
        [Order::Raise(epoch(7)), Order::Claim(epoch(7))]
    );
    assert_eq!(member.gates(at(200)).control, None, "it does not serve yet");
    member.handle_claimed(epoch(6), at(250));
    assert_eq!(orders(&mut member), [], "the claim of another mastership");
    member.handle_claimed(epoch(7), at(300));
    assert_eq!(orders(&mut member), [Order::CatchUp]);
    member.handle_caught_up(at(400));
    assert_eq!(orders(&mut member), [take_over(true, true)]);
    assert_eq!(member.gates(at(400)).control, Some(at(4000)));
    member.handle_authority(authority(7, 5000), None, at(1200));
    assert_eq!(orders(&mut member), [], "a renewal");
    assert_eq!(member.gates(at(1200)).control, Some(at(5000)));
}

#[test]
fn a_master_whose_time_is_over_is_demoted_though_nobody_tells_it() {
    let mut member = serving();
    assert_eq!(member.poll_timeout(), Some(at(4000)));
    assert_eq!(member.gates(at(4000)).control, None);
    member.handle_timeout(at(4000));
    assert_eq!(orders(&mut member), [Order::Demote, Order::Resign]);
    assert_eq!(member.side().0, Side::Following);
    // What it knew was right until then.
    assert_eq!(
        member.gates(at(4001)).data,
        Some(at(4000) + Times::default().forwards())
    );
    member.handle_authority(authority(7, 9000), None, at(4100));
    assert_eq!(
        orders(&mut member),
        [],
        "an epoch that is over does not come back"
    );
}

fn serving() -> Member {
    let mut member = loaded();
    member.handle_authority(authority(7, 4000), None, at(200));
    member.handle_claimed(epoch(7), at(200));
    member.handle_caught_up(at(200));
    orders(&mut member);
    member
}

#[test]
fn a_master_that_steps_down_is_demoted_before_the_lease_is_released() {
    let mut member = serving();
    member.handle_authority(None, Some(epoch(7)), at(1000));
    assert_eq!(
        orders(&mut member),
        [Order::Demote, Order::Resign, Order::Release(epoch(7))]
    );
}

#[test]
fn without_a_store_a_master_takes_over_with_what_it_knows() {
    let mut member = loaded();
    member.handle_authority(authority(7, 4000), None, at(200));
    orders(&mut member);
    assert_eq!(member.poll_timeout(), Some(at(1700)));
    member.handle_timeout(at(1699));
    assert_eq!(orders(&mut member), []);
    member.handle_timeout(at(1700));
    assert_eq!(orders(&mut member), [Order::AskOthers(epoch(7))]);
    assert_eq!(member.poll_timeout(), Some(at(2700)));
    member.handle_timeout(at(2700));
    assert_eq!(orders(&mut member), [take_over(false, false)]);
    // The claim comes late, and changes nothing.
    member.handle_claimed(epoch(7), at(2800));
    member.handle_caught_up(at(2800));
    assert_eq!(orders(&mut member), []);
}

/// One that has no store and asks the others, at 1700.
fn asking() -> Member {
    let mut member = loaded();
    member.handle_authority(authority(7, 9000), None, at(200));
    member.handle_timeout(at(1700));
    orders(&mut member);
    member
}

#[test]
fn nobody_new_is_let_in_until_all_members_or_the_store_have_told_what_they_have() {
    let mut member = asking();
    member.handle_heard(epoch(6), Heard::All, at(1800));
    assert_eq!(orders(&mut member), [], "of another mastership");
    member.handle_heard(epoch(7), Heard::All, at(1800));
    assert_eq!(orders(&mut member), [take_over(false, true)]);

    let mut member = asking();
    member.handle_heard(epoch(7), Heard::Some, at(1800));
    assert_eq!(orders(&mut member), [take_over(false, false)]);
    assert!(member.is_unsure());
    member.handle_heard(epoch(7), Heard::Some, at(2800));
    assert_eq!(orders(&mut member), []);
    let mut by_members = member;
    by_members.handle_heard(epoch(7), Heard::All, at(3800));
    assert_eq!(orders(&mut by_members), [Order::Admit]);
    by_members.handle_looked(epoch(7));
    assert_eq!(orders(&mut by_members), [], "once");

    let mut by_store = asking();
    by_store.handle_heard(epoch(7), Heard::Some, at(1800));
    orders(&mut by_store);
    by_store.handle_looked(epoch(6));
    assert_eq!(orders(&mut by_store), []);
    by_store.handle_looked(epoch(7));
    assert_eq!(orders(&mut by_store), [Order::Admit]);

    // A claim that comes in between is as good as one that came at once.
    let mut in_time = asking();
    in_time.handle_claimed(epoch(7), at(1900));
    assert_eq!(orders(&mut in_time), [Order::CatchUp]);
    in_time.handle_heard(epoch(7), Heard::Some, at(1950));
    in_time.handle_caught_up(at(2000));
    assert_eq!(orders(&mut in_time), [take_over(true, true)]);
}

#[test]
fn a_master_without_the_store_leaves_the_lease_to_whom_has_it_and_serves_if_it_comes_back() {
    let mut member = asking();
    member.handle_heard(epoch(7), Heard::Store, at(1800));
    assert_eq!(orders(&mut member), [Order::StepDown]);
    member.handle_authority(None, Some(epoch(7)), at(1900));
    assert_eq!(
        orders(&mut member),
        [Order::Resign, Order::Release(epoch(7))]
    );
    // The other one could not become master.
    member.handle_authority(authority(8, 20_000), None, at(10_000));
    member.handle_timeout(at(11_500));
    orders(&mut member);
    member.handle_heard(epoch(8), Heard::Store, at(11_600));
    let serves = Order::TakeOver {
        epoch: epoch(8),
        is_complete: false,
        admits: false,
    };
    assert_eq!(orders(&mut member), [serves]);
}

#[test]
fn a_node_without_records_leaves_the_lease_to_others_until_nobody_can_have_any() {
    let mut member = member();
    member.handle_authority(authority(7, 4000), None, at(200));
    orders(&mut member);
    member.handle_timeout(at(1700));
    assert_eq!(orders(&mut member), [Order::StepDown]);
    member.handle_timeout(at(2300));
    assert_eq!(orders(&mut member), [], "once");
    member.handle_authority(None, Some(epoch(7)), at(2400));
    assert_eq!(
        orders(&mut member),
        [Order::Resign, Order::Release(epoch(7))]
    );
    let cold = 120_000;
    member.handle_authority(authority(8, cold + 4000), None, at(cold));
    orders(&mut member);
    member.handle_timeout(at(cold + 2000));
    assert_eq!(
        orders(&mut member),
        [Order::TakeOver {
            epoch: epoch(8),
            is_complete: false,
            admits: true,
        }]
    );
}

#[test]
fn a_store_that_is_read_for_the_first_time_is_waited_for() {
    let mut member = member();
    member.handle_authority(authority(7, 100_000), None, at(200));
    member.handle_claimed(epoch(7), at(300));
    orders(&mut member);
    member.handle_timeout(at(10_000));
    assert_eq!(orders(&mut member), []);
    member.handle_loaded(mark(7, 0), at(11_000));
    member.handle_caught_up(at(11_000));
    assert_eq!(orders(&mut member), [take_over(true, true)]);
}

#[test]
fn whom_the_store_does_not_know_any_more_steps_down() {
    let mut member = serving();
    member.handle_lost(epoch(8), at(1000));
    assert_eq!(
        orders(&mut member),
        [
            Order::Raise(epoch(8)),
            Order::StepDown,
            Order::Demote,
            Order::Resign
        ]
    );
    assert_eq!(member.gates(at(1000)).control, None);
}

#[test]
fn a_member_forwards_for_s_from_the_send_of_its_last_question() {
    let mut member = loaded();
    let n2 = identity("n2");
    member.handle_epoch(epoch(6), Some(&n2));
    orders(&mut member);
    assert_eq!(
        member.gates(at(200)),
        Gates::default(),
        "the master has said nothing"
    );
    member.handle_answer(epoch(6), mark(6, 12), at(300), at(400));
    assert_eq!(
        member.gates(at(400)).data,
        None,
        "it has not applied that yet"
    );
    member.handle_position(mark(6, 11), at(500));
    assert_eq!(member.gates(at(500)).data, None);
    member.handle_position(mark(6, 12), at(600));
    let until = at(300) + Times::default().forwards();
    assert_eq!(member.gates(at(600)).data, Some(until));
    assert!(
        until < at(300) + Duration::from_secs(595),
        "its clock may be slow"
    );
    // A new master has to say it again, an old one is not heard.
    member.handle_epoch(epoch(7), Some(&identity("n3")));
    member.handle_answer(epoch(6), mark(6, 1), at(900), at(900));
    assert_eq!(member.gates(at(900)).data, Some(until));
    assert_eq!(member.gates(until).data, None);
}

#[test]
fn routers_are_answered_shortly_and_only_while_store_or_master_is_heard() {
    let mut member = loaded();
    member.handle_epoch(epoch(6), Some(&identity("n2")));
    member.handle_answer(epoch(6), mark(6, 10), at(300), at(300));
    assert_eq!(member.gates(at(1000)).announce, Some(at(2500)));
    let later = at(300) + Times::default().touch;
    assert_eq!(member.gates(later).announce, None);
    assert!(
        member.gates(later).data.is_some(),
        "what comes is forwarded"
    );
    member.handle_store(later);
    assert!(member.gates(later).announce.is_some());
}

#[test]
fn a_node_that_leaves_sends_routers_away_and_goes_on_forwarding() {
    let mut member = serving();
    assert!(member.gates(at(500)).announce.is_some());
    member.handle_leaving();
    let gates = member.gates(at(600));
    assert_eq!(gates.announce, None);
    assert!(gates.data.is_some() && gates.control.is_some());
}

#[test]
fn who_hears_nobody_sends_routers_away_before_lacs_give_up() {
    // A LAC says the same again after 1, 2, 4 and 8 seconds (RFC 2661, 5.8), and a router may miss three probes.
    let last_word = Duration::from_secs(15);
    let router = Duration::from_secs(1);
    for profile in [Profile::DEFAULT, Profile::FAST] {
        let timing = profile.timing();
        let times = Times::default().with_wait(timing.wait);
        assert!(
            times.touch + times.announce + router < last_word,
            "{times:?}"
        );
        assert!(times.touch > timing.wait + times.store * 2, "{times:?}");
    }
}

#[test]
fn the_master_is_that_of_the_highest_epoch() {
    let mut member = member();
    let (n2, n3) = (identity("n2"), identity("n3"));
    member.handle_epoch(epoch(5), Some(&n2));
    member.handle_epoch(epoch(4), Some(&n3));
    member.handle_epoch(epoch(6), None);
    assert_eq!(member.master(), Some(&(epoch(5), n2.clone())));
    member.handle_epoch(epoch(6), Some(&n3));
    assert_eq!(
        orders(&mut member),
        [
            Order::Raise(epoch(5)),
            Order::Master(Some(n2)),
            Order::Raise(epoch(6)),
            Order::Master(Some(n3)),
        ]
    );
}

#[test]
fn a_node_that_is_gone_stays_on_the_roster_until_it_forwards_no_more() {
    let lasts = Times::default().outlasts();
    assert_eq!(lasts, Duration::from_secs(606));
    let mut attendance = Attendance::new(lasts);
    let (me, n2, n3) = (name("n1"), name("n2"), name("n3"));
    attendance.handle_roster(&Roster::of([me.clone(), n3.clone()]).unwrap(), at(0));
    attendance.handle_seen(&n2, at(1000));
    let nodes = |roster: &Roster| roster.iter().cloned().collect::<Vec<_>>();
    let all = attendance.roster(&me, &Roster::default(), at(2000));
    assert_eq!(nodes(&all), [me.clone(), n2.clone(), n3.clone()]);
    let rest = attendance.roster(&me, &all, at(606_001));
    assert_eq!(nodes(&rest), [me.clone(), n2], "n3 was never seen");
    assert_eq!(nodes(&attendance.roster(&me, &all, at(607_001))), [me]);
}

#[derive(Clone, Debug)]
enum Input {
    Authority(Option<(u64, u64)>, bool),
    Epoch(u64, Option<bool>),
    Claimed(u64),
    Lost(u64),
    Loaded(u64),
    Position(u64),
    CaughtUp,
    Looked(u64),
    Heard(u64, Heard),
    Answer(u64, u64, u64),
    Aside(Aside, bool),
    Foreign(bool),
    Wait(u64),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        4 => (prop::option::of((1..6_u64, 0..6000_u64)), any::<bool>())
            .prop_map(|(authority, closing)| Input::Authority(authority, closing)),
        1 => (1..6_u64, prop::option::of(any::<bool>())).prop_map(|(of, holder)| Input::Epoch(of, holder)),
        2 => (1..6_u64).prop_map(Input::Claimed),
        1 => (1..6_u64).prop_map(Input::Lost),
        1 => (0..9_u64).prop_map(Input::Loaded),
        1 => (0..9_u64).prop_map(Input::Position),
        2 => Just(Input::CaughtUp),
        1 => (1..6_u64).prop_map(Input::Looked),
        2 => (1..6_u64, prop::sample::select(vec![Heard::All, Heard::Some, Heard::Store]))
            .prop_map(|(of, heard)| Input::Heard(of, heard)),
        1 => (1..6_u64, 0..9_u64, 0..3000_u64).prop_map(|(of, seq, ago)| Input::Answer(of, seq, ago)),
        1 => (prop::sample::select(Aside::ALL), any::<bool>())
            .prop_map(|(aside, others)| Input::Aside(aside, others)),
        1 => any::<bool>().prop_map(Input::Foreign),
        3 => (0..5000_u64).prop_map(Input::Wait),
    ];
    prop::collection::vec(input, 1..80)
}

proptest! {
    /// Control passes only between a takeover and the end of its authority; orders come in an order that can
    /// be carried out; an epoch is taken over once.
    #[test]
    fn whatever_comes_control_passes_only_in_a_mastership_that_was_taken_over(inputs in inputs()) {
        let (mut member, mut now) = (member(), 0_u64);
        let (mut serving, mut claimed, mut last) = (None, None, Epoch::NONE);
        let (mut is_closed, mut is_foreign) = (false, false);
        let mut until = None::<(Epoch, Instant)>;
        for input in inputs {
            match input {
                Input::Authority(granted, closing) => {
                    let granted = granted.and_then(|(of, rest)| authority(of, now + rest));
                    until = granted.map(|it| (it.epoch, it.until));
                    let closing = (granted.is_none() && closing).then(|| epoch(1));
                    member.handle_authority(granted, closing, at(now));
                }
                Input::Epoch(of, holder) => {
                    let holder = holder.map(|it| identity(if it { "n2" } else { "n3" }));
                    member.handle_epoch(epoch(of), holder.as_ref());
                }
                Input::Claimed(of) => member.handle_claimed(epoch(of), at(now)),
                Input::Lost(of) => member.handle_lost(epoch(of), at(now)),
                Input::Loaded(seq) => member.handle_loaded(mark(1, seq), at(now)),
                Input::Position(seq) => member.handle_position(mark(1, seq), at(now)),
                Input::CaughtUp => member.handle_caught_up(at(now)),
                Input::Looked(of) => member.handle_looked(epoch(of)),
                Input::Heard(of, heard) => member.handle_heard(epoch(of), heard, at(now)),
                Input::Answer(of, seq, ago) => {
                    member.handle_answer(epoch(of), mark(1, seq), at(now.saturating_sub(ago)), at(now));
                }
                Input::Aside(aside, others) => member.handle_aside(aside, others, at(now)),
                Input::Foreign(is) => {
                    is_foreign = is;
                    member.handle_foreign(is);
                }
                Input::Wait(millis) => {
                    now += millis;
                    member.handle_timeout(at(now));
                }
            }
            for order in orders(&mut member) {
                match order {
                    Order::Claim(of) => {
                        prop_assert_eq!((claimed, serving), (None, None));
                        prop_assert!(of > last);
                        (claimed, last) = (Some(of), of);
                    }
                    Order::TakeOver { epoch, is_complete, admits } => {
                        prop_assert_eq!(claimed, Some(epoch));
                        prop_assert_eq!(serving.replace(epoch), None);
                        prop_assert!(admits || !is_complete);
                        prop_assert!(!is_foreign);
                        is_closed = !admits;
                    }
                    Order::Admit => {
                        prop_assert!(serving.is_some());
                        prop_assert!(core::mem::take(&mut is_closed));
                    }
                    Order::AskOthers(epoch) => {
                        prop_assert_eq!((claimed, serving), (Some(epoch), None));
                    }
                    Order::Demote => prop_assert!(serving.take().is_some()),
                    Order::Resign => {
                        prop_assert_eq!(serving, None);
                        prop_assert!(claimed.take().is_some());
                    }
                    Order::Release(_) => prop_assert_eq!((claimed, serving), (None, None)),
                    Order::Raise(_) | Order::Master(_) | Order::CatchUp | Order::StepDown => {}
                }
            }
            let gates = member.gates(at(now));
            let may = until.filter(|(of, until)| serving == Some(*of) && *until > at(now));
            prop_assert_eq!(gates.control, may.map(|(_, until)| until));
            prop_assert!(gates.announce <= gates.data);
            prop_assert!(gates.announce.is_none() || member.aside() != Aside::Fenced);
            prop_assert!(gates.data.is_none() || member.is_loaded());
            prop_assert_eq!(member.is_unsure(), serving.is_some() && is_closed);
        }
    }
}
