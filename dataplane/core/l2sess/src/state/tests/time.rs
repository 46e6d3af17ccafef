//! When a flow ends, and when its time is written anew: at the boundaries, and where the 24 bits wrap.

use proptest::prelude::*;

use super::*;

const TURN: u32 = 1 << 24;

/// A state of each class with its time, and whether it is TCP.
fn of_class(class: Class, at: Seconds) -> (State, Option<TcpFlags>) {
    let bits = match class {
        Class::Transient => 0x01,
        Class::Established => 0x0f,
        Class::Closing => 0xff,
        Class::Udp => 0,
    };
    // A segment that changes none of those bits.
    let flags = (class != Class::Udp).then_some(TcpFlags(0x08));
    (State::from_word(bits << 24 | at.get()), flags)
}

fn timeouts(each: u32) -> Timeouts {
    Timeouts {
        udp_idle: each,
        tcp_idle: each,
        tcp_transient: each,
        tcp_closing: each,
    }
}

/// R of a timeout, as the requirement has it.
fn refresh(timeout: u32) -> u32 {
    10.min(timeout / 4)
}

/// Where flows begin: also so that each boundary lies behind the wrap.
const BEGINNINGS: [u32; 6] = [0, 1_000, TURN / 2, TURN - 1, TURN - 20, TURN - 8_000_011];

const LENGTHS: [u32; 14] = [
    1, 2, 3, 4, 5, 10, 39, 40, 41, 120, 300, 7_440, 86_400, 8_000_000,
];

#[test]
fn a54_a_flow_lives_until_its_timeout_and_the_refresh_have_gone_by_and_not_a_second_more() {
    for beginning in BEGINNINGS {
        let at = Seconds::new(beginning.into());
        for timeout in LENGTHS {
            let end = timeout + refresh(timeout);
            for class in Class::ALL {
                let (state, flags) = of_class(class, at);
                let timeouts = timeouts(timeout);
                assert_eq!(timeouts.end(class), end);
                for (age, is_over) in [
                    (0, false),
                    (timeout - 1, false),
                    (timeout, false),
                    (end, false),
                    (end + 1, true),
                    (end + 100, true),
                ] {
                    let now = at.plus(age);
                    let name = format!("{beginning} {timeout} {class:?} {age}");
                    let step = state.step(UP, flags, &timeouts, now);
                    assert_eq!(step == Step::Expired, is_over, "{name}");
                    assert_eq!(
                        state.is_over(flags.is_some(), &timeouts, now),
                        is_over,
                        "{name}"
                    );
                }
            }
        }
    }
}

#[test]
fn a55_the_time_is_written_anew_only_when_it_is_older_than_the_refresh() {
    for beginning in BEGINNINGS {
        let at = Seconds::new(beginning.into());
        for timeout in LENGTHS {
            for class in Class::ALL {
                let (state, flags) = of_class(class, at);
                for age in 0..=refresh(timeout) + 1 {
                    let now = at.plus(age);
                    let step = state.step(UP, flags, &timeouts(timeout), now);
                    if age <= refresh(timeout) {
                        assert_eq!(step, Step::Same, "{timeout} {class:?} {age}");
                    } else {
                        let (fresh, _) = of_class(class, now);
                        assert_eq!(step, Step::Changed(fresh), "{timeout} {class:?} {age}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_change_of_bits_writes_the_time_too() {
    let state = states(&OPENED);
    let now = NOW.plus(5);
    let step = state.step(UP, Some(TcpFlags(FIN | ACK)), &TIMEOUTS, now);
    assert!(matches!(step, Step::Changed(next) if next.seconds() == now));
}

#[test]
fn a_flow_that_has_timed_out_is_over_for_a_syn_too() {
    let closed = states(&[(UP, RST)]);
    let step = closed.step(UP, Some(TcpFlags(SYN)), &TIMEOUTS, NOW.plus(13));
    assert_eq!(step, Step::Expired);
}

#[test]
fn the_class_before_the_packet_says_whether_it_comes_too_late() {
    // A connection whose last ACK comes after the transient timeout is not saved by becoming established.
    let half = states(&OPENED[..2]);
    let late = NOW.plus(TIMEOUTS.end(Class::Transient) + 1);
    assert_eq!(
        half.step(UP, Some(TcpFlags(ACK)), &TIMEOUTS, late),
        Step::Expired
    );
}

#[test]
fn another_thread_with_an_earlier_clock_sees_no_age() {
    let state = states(&OPENED);
    for behind in [1, 2, 100] {
        let now = Seconds::new(u64::from(NOW.get() - behind));
        assert_eq!(
            state.step(DOWN, Some(TcpFlags(ACK)), &TIMEOUTS, now),
            Step::Same
        );
    }
    let at_wrap = State::first(UP, None, Seconds::new(0));
    let before = Seconds::new(u64::from(TURN - 1));
    assert_eq!(at_wrap.step(UP, None, &TIMEOUTS, before), Step::Same);
}

#[test]
fn every_timeout_that_is_allowed_ends_before_half_a_turn() {
    let longest = timeouts(crate::limits::TIMEOUT);
    for class in Class::ALL {
        assert!(longest.end(class) + 1 < TURN / 2);
    }
}

proptest! {
    #[test]
    fn an_age_is_the_difference_wherever_it_begins(
        beginning in 0..u64::from(u32::MAX), age in 0..TURN / 2,
    ) {
        let then = Seconds::new(beginning);
        let now = Seconds::new(beginning + u64::from(age));
        prop_assert_eq!(now.since(then), age);
        prop_assert_eq!(then.plus(age), now);
        prop_assert_eq!(then.since(now), if age == 0 || age == TURN / 2 { age } else { 0 });
    }

    #[test]
    fn an_active_flow_never_ends_and_an_idle_one_ends_between_its_bounds(
        beginning in 0..TURN, timeout in 1..100_000_u32, gaps in prop::collection::vec(0.0..=1.0, 1..40),
    ) {
        let timeouts = timeouts(timeout);
        let mut now = Seconds::new(beginning.into());
        let mut state = State::first(UP, None, now);
        for gap in gaps {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::as_conversions, reason = "below the timeout")]
            let gap = (f64::from(timeout) * gap) as u32;
            now = now.plus(gap);
            match state.step(DOWN, None, &timeouts, now) {
                Step::Same => {}
                Step::Changed(next) => state = next,
                other => prop_assert!(false, "{other:?} after {gap} s"),
            }
        }
        // From the last packet on: at least the timeout, at most the refresh more.
        prop_assert!(!state.is_over(false, &timeouts, now.plus(timeout)));
        let longest = timeout + timeouts.refresh(Class::Udp) + 1;
        prop_assert!(state.is_over(false, &timeouts, now.plus(longest)));
    }
}
