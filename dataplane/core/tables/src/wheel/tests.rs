//! Tests of the timing wheel, and its agreement with a sorted map.

use core::ops::Add as _;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const KEYS: u32 = 600;

fn fires_at(deadline: Instant) -> u64 {
    deadline.as_nanos().div_ceil(TICK)
}

/// A span from nanoseconds to centuries, every magnitude as likely.
fn span() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(bits, shift)| bits >> shift)
}

#[derive(Clone, Debug)]
enum Step {
    Arm(u32, u64),
    Disarm(u32),
    Advance(u64),
    AdvanceToNext,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..KEYS, span()).prop_map(|(key, after)| Step::Arm(key, after)),
        2 => (0..8_u32, 0..100_000_000_000_u64).prop_map(|(key, after)| Step::Arm(key, after)),
        1 => (0..KEYS).prop_map(Step::Disarm),
        1 => (0..8_u32).prop_map(Step::Disarm),
        2 => (0..100_000_000_000_u64).prop_map(Step::Advance),
        1 => (0..10_000_000_u64).prop_map(Step::Advance),
        1 => span().prop_map(Step::Advance),
        1 => Just(Step::AdvanceToNext),
    ]
}

fn later(now: Instant, nanos: u64) -> Instant {
    now.add(Duration::from_nanos(nanos))
}

/// Pops all that is due and compares with `expected`, from which it is taken.
fn drain(wheel: &mut Wheel, expected: &mut BTreeMap<u32, Instant>, now: Instant) {
    let tick = now.as_nanos() / TICK;
    let due: BTreeSet<u32> = expected
        .iter()
        .filter(|(_, at)| fires_at(**at) <= tick)
        .map(|(key, _)| *key)
        .collect();
    let mut popped = BTreeSet::new();
    while let Some(key) = wheel.pop_due(now) {
        assert!(popped.insert(key), "{key} twice");
        assert!(
            expected.remove(&key).is_some_and(|at| at <= now),
            "{key} early"
        );
    }
    assert_eq!(popped, due);
}

fn check(wheel: &Wheel, expected: &BTreeMap<u32, Instant>, now: Instant) {
    assert_eq!(usize::try_from(wheel.len()).unwrap(), expected.len());
    for key in 0..KEYS {
        assert_eq!(wheel.armed(key), expected.get(&key).copied());
    }
    let first = expected.values().map(|at| fires_at(*at)).min();
    assert_eq!(wheel.next_deadline().is_some(), first.is_some());
    if let (Some(next), Some(first)) = (wheel.next_deadline(), first) {
        assert!(
            next <= Instant::from_nanos(first.saturating_mul(TICK)),
            "{next:?} is too late"
        );
        let is_past = first <= now.as_nanos() / TICK;
        assert!(is_past || next > now, "{next:?} would spin at {now:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(steps in prop::collection::vec(step(), 0..200)) {
        let mut wheel = Wheel::new(KEYS);
        let mut expected = BTreeMap::new();
        let mut now = Instant::from_millis(12_345);
        for step in steps {
            match step {
                Step::Arm(key, after) => {
                    wheel.arm(key, later(now, after));
                    expected.insert(key, later(now, after));
                }
                Step::Disarm(key) => {
                    prop_assert_eq!(wheel.disarm(key), expected.remove(&key).is_some());
                }
                Step::Advance(nanos) => {
                    // The last tick of time is left out: what lies after it never fires.
                    now = later(now, nanos).min(Instant::from_nanos(u64::MAX - 2 * TICK));
                    drain(&mut wheel, &mut expected, now);
                }
                Step::AdvanceToNext => {
                    drain(&mut wheel, &mut expected, now);
                    now = wheel.next_deadline().unwrap_or(now).min(Instant::from_nanos(u64::MAX - 2 * TICK));
                    drain(&mut wheel, &mut expected, now);
                }
            }
            if wheel.next_deadline().is_none_or(|next| next < Instant::from_nanos(u64::MAX - 2 * TICK)) {
                check(&wheel, &expected, now);
            }
        }
    }

    #[test]
    fn sleeping_until_the_next_deadline_fires_a_timer_in_its_tick(after in span(), others in prop::collection::vec(span(), 0..50)) {
        let mut wheel = Wheel::new(KEYS);
        let at = Instant::from_nanos(after.min(u64::MAX / 2));
        for (key, other) in (1..).zip(&others) {
            wheel.arm(key, Instant::from_nanos(*other));
        }
        wheel.arm(0, at);
        for (key, _) in (1..).zip(&others) {
            wheel.disarm(key);
        }
        // One wake-up a level at most: the disarmed ones may have left early ones behind.
        for _ in 0..=LEVELS {
            let now = wheel.next_deadline().unwrap();
            if wheel.pop_due(now) == Some(0) {
                prop_assert!(at <= now && now.since(at) < Duration::from_nanos(TICK));
                prop_assert_eq!(wheel.next_deadline(), None);
                return Ok(());
            }
        }
        prop_assert!(false, "never fired");
    }
}

#[test]
fn a_timer_fires_in_its_tick_and_not_before() {
    let mut wheel = Wheel::new(1);
    let at = Instant::from_millis(1000);
    wheel.arm(0, at);
    assert_eq!(wheel.pop_due(Instant::from_nanos(at.as_nanos() - 1)), None);
    let fires = wheel.next_deadline().unwrap();
    assert!(fires >= at && fires.since(at) < Duration::from_nanos(TICK));
    assert_eq!(wheel.pop_due(fires), Some(0));
    assert_eq!(
        (wheel.pop_due(fires), wheel.armed(0), wheel.is_empty()),
        (None, None, true)
    );
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = Wheel::new(2);
    let now = Instant::from_millis(60_000);
    assert_eq!(wheel.pop_due(now), None);
    wheel.arm(1, Instant::ZERO);
    assert_eq!(wheel.next_deadline(), Some(Instant::ZERO));
    assert_eq!(wheel.pop_due(now), Some(1));
}

#[test]
fn a_jump_of_centuries_fires_all_in_order() {
    let mut wheel = Wheel::new(64);
    for key in 0..61 {
        wheel.arm(key, Instant::from_nanos(1 << key));
    }
    let end = Instant::from_nanos(1 << 62);
    let order: Vec<u32> = core::iter::from_fn(|| wheel.pop_due(end)).collect();
    assert_eq!(order.len(), 61);
    assert!(order.iter().skip(24).is_sorted(), "{order:?}");
}

#[test]
fn a_deadline_at_the_end_of_time_never_fires() {
    let mut wheel = Wheel::new(1);
    let end = Instant::from_nanos(u64::MAX);
    wheel.arm(0, end);
    assert_eq!(wheel.next_deadline(), Some(end));
    assert_eq!(wheel.pop_due(Instant::from_nanos(u64::MAX - TICK)), None);
    assert_eq!(wheel.armed(0), Some(end));
    assert!(wheel.disarm(0));
}

#[test]
fn time_that_goes_back_fires_nothing_early() {
    let mut wheel = Wheel::new(1);
    assert_eq!(wheel.pop_due(Instant::from_millis(5000)), None);
    assert_eq!(wheel.pop_due(Instant::ZERO), None);
    wheel.arm(0, Instant::from_millis(6000));
    assert_eq!(wheel.pop_due(Instant::from_millis(5500)), None);
    assert_eq!(wheel.pop_due(Instant::from_millis(6009)), Some(0));
}

#[test]
fn a_million_timers_cost_a_million_steps() {
    let mut wheel = Wheel::new(1_000_000);
    for key in 0..1_000_000 {
        wheel.arm(key, Instant::from_millis(u64::from(key % 120_000)));
    }
    let mut fired = 0;
    for second in 0..=121 {
        while wheel.pop_due(Instant::from_millis(second * 1000)).is_some() {
            fired += 1;
        }
    }
    assert_eq!(fired, 1_000_000);
}
