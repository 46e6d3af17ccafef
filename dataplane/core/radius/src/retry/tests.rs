//! RFC 5080's intervals, drawn many times.

use lns_crypto::Rng;
use proptest::prelude::*;

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Instant {
    Instant::from_millis(secs.saturating_mul(1000))
}

fn timing(initial: u64, longest: u64, count: u8, duration: u64) -> Timing {
    Timing {
        initial: secs(initial),
        longest: secs(longest),
        count,
        duration: secs(duration),
    }
}

/// The waits until it is over, asked for exactly when they end, and when that is.
fn waits(timing: Timing, seed: u8) -> (Vec<Duration>, Instant) {
    let mut rng = Rng::from_seed([seed; 32]);
    let start = at(100);
    let mut retry = Retry::start(timing, start, start + secs(100_000), &mut rng);
    let mut waits = vec![retry.wait()];
    for _ in 0..300 {
        let now = retry.next();
        match retry.due(now, &mut rng) {
            Due::Send => waits.push(retry.wait()),
            Due::Over => return (waits, now),
            Due::Wait | Due::Skip => panic!("not due at the time that it named"),
        }
    }
    panic!("it never ends");
}

fn within(wait: Duration, base: Duration, factor: f64) -> bool {
    let (wait, base) = (wait.as_secs_f64(), base.as_secs_f64());
    let slack = 1e-6;
    wait >= base * (factor - 0.1) - slack && wait <= base * (factor + 0.1) + slack
}

#[test]
fn mrc_ends_it_before_mrd_does_and_mrd_before_mrc() {
    let (waits_, end) = waits(timing(1, 16, 3, 1000), 1);
    assert_eq!(waits_.len(), 3, "three sends");
    let all: Duration = waits_.iter().sum();
    assert_eq!(end, at(100) + all, "the last wait is waited for");
    let (waits_, end) = waits(timing(2, 16, 100, 30), 1);
    assert_eq!(end, at(130));
    assert!(waits_.len() < 8);
}

#[test]
fn one_send_is_waited_for_until_mrd_and_looked_at_after_each_wait() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut retry = Retry::start(timing(2, 16, 1, 30), at(0), at(30), &mut rng);
    let mut looks = Vec::new();
    loop {
        let now = retry.next();
        match retry.due(now, &mut rng) {
            Due::Skip => looks.push(now),
            Due::Over => break assert_eq!(now, at(30)),
            Due::Wait | Due::Send => panic!("{now:?}"),
        }
    }
    assert_eq!(looks.len(), 3, "at about 2, 6 and 14 s: {looks:?}");
    assert_eq!(retry.sends(), 1);
}

#[test]
fn without_mrd_it_ends_after_a_day() {
    let mut rng = Rng::from_seed([1; 32]);
    let end = at(0) + secs(1_000_000);
    let mut retry = Retry::start(timing(2, 16, 0, 0), at(0), end, &mut rng);
    assert_ne!(retry.due(at(86_399), &mut rng), Due::Over);
    assert_eq!(retry.due(at(86_400), &mut rng), Due::Over);
}

#[test]
fn the_end_that_is_given_is_kept_even_if_mrd_is_longer() {
    let mut rng = Rng::from_seed([1; 32]);
    let mut retry = Retry::start(timing(2, 16, 5, 30), at(25), at(30), &mut rng);
    assert!(retry.next() <= at(30));
    assert_eq!(retry.due(at(30), &mut rng), Due::Over);
}

#[test]
fn a_wait_begins_when_the_last_one_was_to_end() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut retry = Retry::start(timing(2, 16, 5, 60), at(0), at(60), &mut rng);
    let due = retry.next();
    let late = due + Duration::from_millis(300);
    assert_eq!(retry.due(late, &mut rng), Due::Send);
    assert_eq!(retry.next(), due + retry.wait(), "no drift");
}

#[test]
fn a_time_that_was_missed_by_more_than_half_a_wait_is_skipped() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut retry = Retry::start(timing(2, 16, 5, 60), at(0), at(60), &mut rng);
    let late = retry.next() + retry.wait() / 2 + secs(1);
    assert_eq!(retry.due(late, &mut rng), Due::Skip);
    assert_eq!(retry.sends(), 1);
    assert!(retry.next() > late);
}

#[test]
fn a_clock_that_jumps_far_ahead_ends_it() {
    let mut rng = Rng::from_seed([3; 32]);
    let mut retry = Retry::start(timing(2, 16, 5, 30), at(0), at(30), &mut rng);
    assert_eq!(retry.due(at(100_000_000), &mut rng), Due::Over);
}

proptest! {
    #[test]
    fn there_are_as_many_sends_as_may_be_and_no_wait_is_without_a_look(
        seed: u8,
        count in prop::sample::select(vec![1_u8, 2, 5]),
        late in 0_u64..3000,
    ) {
        let timing = timing(2, 16, count, 30);
        let mut rng = Rng::from_seed([seed; 32]);
        let mut retry = Retry::start(timing, at(0), at(30), &mut rng);
        let mut last = at(0);
        let mut sends = 1_u8;
        loop {
            let now = retry.next() + Duration::from_millis(late);
            prop_assert!(now.since(last) <= secs(21));
            last = now;
            match retry.due(now, &mut rng) {
                Due::Send => sends = sends.saturating_add(1),
                Due::Skip => {}
                Due::Over => break,
                Due::Wait => prop_assert!(false, "it was due"),
            }
        }
        prop_assert!(sends <= count && sends == retry.sends());
        prop_assert!(last >= at(30) || count > 1 && sends == count);
    }

    #[test]
    fn waits_are_those_of_rfc_5080(seed: u8, initial in 1_u64..6, longest in 0_u64..31, count in 2_u8..20) {
        let (waits, _) = waits(timing(initial, longest, count, 100_000), seed);
        prop_assert!(within(waits[0], secs(initial), 1.0));
        for pair in waits.windows(2) {
            let doubled = within(pair[1], pair[0], 2.0);
            let capped = longest != 0
                && pair[0].as_secs_f64() * 2.1 > secs(longest).as_secs_f64()
                && within(pair[1], secs(longest), 1.0);
            prop_assert!(doubled || capped, "{pair:?}");
            if longest != 0 {
                prop_assert!(pair[1].as_secs_f64() <= secs(longest).as_secs_f64() * 1.1 + 1e-6);
            }
        }
    }

    #[test]
    fn the_jitter_is_spread_over_both_sides(seed: u8) {
        let mut rng = Rng::from_seed([seed; 32]);
        let waits: Vec<f64> = (0..200)
            .map(|_| spread(secs(1), 1, &mut rng).as_secs_f64())
            .collect();
        prop_assert!(waits.iter().any(|wait| *wait < 0.97));
        prop_assert!(waits.iter().any(|wait| *wait > 1.03));
    }
}
