//! The bucket against exact arithmetic, at the extremes, and between threads.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use proptest::prelude::*;

use super::*;

/// The largest packet of these tests, octets.
const LARGEST: u16 = 9_728;
const SECOND: u64 = 1_000_000_000;

fn pace(bits_per_second: u64, burst: u64) -> Pace {
    Pace::new(bits_per_second, Duration::from_millis(burst), LARGEST)
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// The octets of packets of `octets` that pass at `now`, of `tries`.
fn passed(pace: Pace, used: &AtomicU64, octets: usize, now: u64, tries: u32) -> u64 {
    let passing = (0..tries).filter(|_| pace.allows(used, octets, at(now)));
    u64::try_from(passing.count() * octets).unwrap()
}

/// The same bucket without any rounding: what is owed is a whole number of bits x nanoseconds.
struct Model {
    bits_per_second: u128,
    most: u128,
    owed: u128,
    last: u64,
}

impl Model {
    fn new(bits_per_second: u64, burst: u64) -> Self {
        let bits_per_second = u128::from(bits_per_second);
        Self {
            bits_per_second,
            most: (u128::from(burst) * 1_000_000 * bits_per_second).max(bits(LARGEST.into())),
            owed: 0,
            last: 0,
        }
    }

    /// What is owed once that packet has passed too.
    fn with(&mut self, octets: u64, now: u64) -> u128 {
        self.owed = self
            .owed
            .saturating_sub(u128::from(now - self.last) * self.bits_per_second);
        self.last = now;
        self.owed + bits(octets)
    }
}

fn bits(octets: u64) -> u128 {
    u128::from(octets) * 8 * u128::from(SECOND)
}

fn rates() -> impl Strategy<Value = u64> {
    prop_oneof![
        1_u64..1_000_000,
        1_000_000_u64..1_000_000_000,
        1_000_000_000_u64..400_000_000_000,
    ]
}

fn gaps() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0),
        4 => 1_u64..2_000,
        4 => 0_u64..10_000_000,
        1 => 0_u64..100 * SECOND,
        1 => 0_u64..1_000_000 * SECOND,
    ]
}

proptest! {
    #[test]
    fn every_decision_is_that_of_an_exact_bucket_but_for_rounding(
        rate in rates(),
        burst in 0_u64..5_000,
        packets in prop::collection::vec((gaps(), 1_u64..=u64::from(LARGEST)), 1..500),
    ) {
        let (pace, used) = (pace(rate, burst), AtomicU64::new(0));
        let mut model = Model::new(rate, burst);
        let mut now = 0;
        for (number, (gap, octets)) in (1_u128..).zip(packets) {
            now += gap;
            let owed = model.with(octets, now);
            let allowed = pace.allows(&used, usize::try_from(octets).unwrap(), at(now));
            // A unit per packet, and what two fractions of a unit in the pace may come to.
            let slack = (number + 2) * model.bits_per_second.div_ceil(u128::from(UNITS)) * 2;
            if allowed {
                prop_assert!(owed <= model.most + slack, "{owed} of {} passed", model.most);
                model.owed = owed;
            } else {
                prop_assert!(owed + slack > model.most, "{owed} of {} was refused", model.most);
            }
        }
    }

    #[test]
    fn a_new_pace_neither_fills_the_bucket_nor_makes_anybody_wait_longer_than_its_burst(
        before in (rates(), 0_u64..5_000),
        after in (rates(), 0_u64..5_000),
        spent in 0_u32..200,
        later in 0_u64..SECOND,
    ) {
        let used = AtomicU64::new(0);
        let (old, new) = (pace(before.0, before.1), pace(after.0, after.1));
        passed(old, &used, 1_500, SECOND, spent);
        let paid = used.load(Ordering::Relaxed);
        let now = SECOND + later;
        new.take_over(&used, at(now));
        let kept = used.load(Ordering::Relaxed);
        prop_assert!(kept == paid || kept == units(at(now)) + new.ahead);
        prop_assert!(kept <= paid);
        let full = at(now + new.ahead / UNITS + 1);
        prop_assert!(new.allows(&used, usize::from(LARGEST), full));
    }

    #[test]
    fn no_numbers_overflow(
        rate in any::<u64>(),
        burst in any::<u64>(),
        used in any::<u64>(),
        octets in any::<usize>(),
        now in any::<u64>(),
    ) {
        let pace = Pace::new(rate, Duration::from_millis(burst), u16::MAX);
        prop_assert_eq!(Pace::from_words(pace.words()), pace);
        let word = AtomicU64::new(used);
        let allowed = pace.allows(&word, octets, at(now));
        prop_assert!(allowed || word.load(Ordering::Relaxed) == used);
    }
}

#[test]
fn what_passes_in_the_long_run_is_the_rate_from_64_kilobits_to_100_gigabits() {
    for rate in [
        64_000,
        1_000_000,
        50_000_000,
        333_333_333,
        1_000_000_000,
        9_999_999_999,
        40_000_000_000,
        100_000_000_000,
    ] {
        for octets in [20_u64, 64, 577, 1_500, 9_000] {
            let (pace, used) = (pace(rate, 1), AtomicU64::new(0));
            // Twice as much is offered as may pass, for as long as 100,000 packets take.
            let gap = (4_000_000_000 * octets).div_ceil(rate);
            let start = SECOND;
            let octets = usize::try_from(octets).unwrap();
            while pace.allows(&used, octets, at(start)) {}
            let (mut sum, mut now) = (0, start);
            for _ in 0..200_000 {
                now += gap;
                sum += passed(pace, &used, octets, now, 1);
            }
            let expected = u128::from(now - start) * u128::from(rate) / (8 * u128::from(SECOND));
            let difference = u128::from(sum).abs_diff(expected);
            // Less than 0.01 % and a packet.
            assert!(
                difference <= expected / 10_000 + u128::try_from(octets).unwrap(),
                "{rate} bit/s, {octets} octets: {sum} instead of {expected}"
            );
        }
    }
}

#[test]
fn rounding_does_not_add_up_whatever_a_packet_costs() {
    // 0.08 ns for an octet: 2.56 units. Without the draw each packet of 21 octets would cost 53 units, or
    // 54, instead of 53.76.
    let pace = pace(100_000_000_000, 0);
    let mut used = SECOND;
    for _ in 0..1_000_000 {
        used += pace.price(21, used);
    }
    let units = used - SECOND;
    assert!(units.abs_diff(53_760_000) < 5_376, "{units}");
}

#[test]
fn after_silence_of_any_length_no_more_than_the_burst_passes_at_once() {
    let pace = pace(8_000_000, 100);
    for silence in [1, 60, 86_400, 10 * 365 * 86_400] {
        let used = AtomicU64::new(0);
        assert_eq!(passed(pace, &used, 1_000, SECOND, 1_000), 100_000);
        let later = (1 + silence) * SECOND;
        assert_eq!(passed(pace, &used, 1_000, later, 1_000), 100_000);
        assert_eq!(passed(pace, &used, 1_000, later, 1), 0);
        // 5 ms are worth 5,000 octets.
        assert_eq!(passed(pace, &used, 1_000, later + SECOND / 200, 10), 5_000);
    }
}

#[test]
fn the_largest_packet_passes_a_bucket_that_is_slower_than_any_burst_allows_for() {
    for rate in [1, 64_000, 1_000_000] {
        let (pace, used) = (pace(rate, 1), AtomicU64::new(0));
        let wait = u64::from(LARGEST) * 8 * SECOND / rate + 1;
        for number in 0..3 {
            let now = SECOND + number * wait;
            assert!(pace.allows(&used, usize::from(LARGEST), at(now)), "{rate}");
            assert!(!pace.allows(&used, usize::from(LARGEST), at(now)), "{rate}");
        }
    }
}

#[test]
fn no_limit_is_no_limit_and_leaves_the_word_alone() {
    let used = AtomicU64::new(5);
    for pace in [pace(0, 100), Pace::NONE, Pace::from_words([0, 0])] {
        assert_eq!(passed(pace, &used, 60_000, 7, 1_000), 60_000_000);
        assert_eq!(used.load(Ordering::Relaxed), 5);
    }
}

#[test]
fn what_is_refused_is_not_paid_for_and_a_smaller_packet_may_still_pass() {
    let (pace, used) = (pace(8_000_000, 10), AtomicU64::new(0));
    assert_eq!(passed(pace, &used, 1_500, SECOND, 100), 9_000);
    assert_eq!(passed(pace, &used, 1_000, SECOND, 100), 1_000);
    assert_eq!(passed(pace, &used, 40, SECOND, 100), 0);
}

#[test]
fn a_thread_whose_clock_is_behind_takes_nothing_that_is_not_there() {
    let (pace, used) = (pace(8_000_000, 100), AtomicU64::new(0));
    assert_eq!(passed(pace, &used, 1_000, 2 * SECOND, 1_000), 100_000);
    assert_eq!(passed(pace, &used, 1_000, SECOND, 1_000), 0);
    assert_eq!(passed(pace, &used, 1_000, 2 * SECOND, 1_000), 0);
}

#[test]
fn at_the_end_of_time_traffic_goes_on() {
    let (pace, used) = (pace(64_000, 100), AtomicU64::new(0));
    assert_eq!(passed(pace, &used, 1_000, u64::MAX, 100), 100_000);
}

#[test]
fn any_number_of_threads_get_together_what_one_would_get() {
    let pace = pace(8_000_000, 1_000);
    for _ in 0..20 {
        let used = AtomicU64::new(0);
        let sum: u64 = std::thread::scope(|scope| {
            let work = || scope.spawn(|| passed(pace, &used, 100, SECOND, 10_000));
            let threads: Vec<_> = (0..4).map(|_| work()).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(sum, 1_000_000);
    }
}
