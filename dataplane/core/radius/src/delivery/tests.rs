//! Servers that answer, that are away, and records in any order of sessions.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "small numbers of a test"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::record::Status::{Interim, Off, On, Start, Stop};

const NOW: Instant = Instant::from_millis(1_000_000);

fn after(millis: u64) -> Instant {
    NOW + Duration::from_millis(millis)
}

/// A machine that was given these records, from place 1.
fn with(most: usize, records: &[(&str, Status)]) -> Delivery {
    let mut delivery = Delivery::new(most);
    for ((session, status), place) in records.iter().zip(1..) {
        delivery.handle_loaded(Place(place), session, *status);
    }
    delivery
}

fn sent(delivery: &mut Delivery, now: Instant) -> Vec<u64> {
    core::iter::from_fn(|| delivery.poll_send(now))
        .map(|place| place.0)
        .collect()
}

#[test]
fn records_go_in_their_order_and_of_one_session_one_at_a_time() {
    let mut delivery = with(
        10,
        &[
            ("a", Start),
            ("a", Interim),
            ("b", Start),
            ("a", Stop),
            ("b", Stop),
        ],
    );
    assert_eq!(sent(&mut delivery, NOW), [1, 3]);
    assert!(delivery.handle_end(Place(3), Ending::Delivered, NOW));
    assert_eq!(sent(&mut delivery, NOW), [5]);
    assert!(delivery.handle_end(Place(1), Ending::Delivered, NOW));
    assert_eq!(sent(&mut delivery, NOW), [2]);
    assert!(delivery.handle_end(Place(2), Ending::Delivered, NOW));
    assert_eq!(sent(&mut delivery, NOW), [4]);
    assert!(delivery.handle_end(Place(5), Ending::Delivered, NOW));
    assert!(delivery.handle_end(Place(4), Ending::Delivered, NOW));
    assert!(delivery.is_empty() && delivery.lines.is_empty());
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let records: Vec<_> = names.iter().map(|name| (&**name, Start)).collect();
    let mut delivery = with(3, &records);
    assert_eq!(sent(&mut delivery, NOW), [1, 2, 3]);
    delivery.handle_end(Place(2), Ending::Delivered, NOW);
    assert_eq!(sent(&mut delivery, NOW), [4]);
    assert_eq!(delivery.under_way(), 3);
}

/// A server that hears On ends all sessions that it knows of.
#[test]
fn on_and_off_wait_for_all_before_them_and_hold_up_all_behind_them() {
    let mut delivery = with(
        10,
        &[
            ("a", Stop),
            ("off", Off),
            ("on", On),
            ("b", Start),
            ("c", Start),
        ],
    );
    for expected in [&[1][..], &[2], &[3], &[4, 5]] {
        assert_eq!(sent(&mut delivery, NOW), expected);
        delivery.handle_end(Place(expected[0]), Ending::Delivered, NOW);
    }
}

#[test]
fn when_servers_are_away_one_record_asks_for_them_and_nothing_is_given_up() {
    let mut delivery = with(4, &[("a", Start), ("b", Start), ("c", Start), ("d", Start)]);
    assert_eq!(sent(&mut delivery, NOW), [1, 2, 3, 4]);
    for place in 1..=4 {
        assert!(!delivery.handle_end(Place(place), Ending::Again, NOW));
    }
    // One pause, whatever has failed in it.
    assert_eq!(delivery.poll_timeout(), Some(after(1000)));
    assert_eq!(sent(&mut delivery, after(999)), []);
    assert_eq!(sent(&mut delivery, after(1000)), [1]);
    delivery.handle_end(Place(1), Ending::Again, after(1000));
    assert_eq!(delivery.poll_timeout(), Some(after(3000)));
    assert_eq!(sent(&mut delivery, after(3000)), [2], "another one");
    delivery.handle_end(Place(2), Ending::Delivered, after(3000));
    assert_eq!(sent(&mut delivery, after(3000)), [1, 3]);
    delivery.handle_end(Place(1), Ending::Delivered, after(3000));
    assert_eq!(sent(&mut delivery, after(3000)), [4]);
}

#[test]
fn pauses_double_up_to_half_a_minute_and_an_answer_makes_them_short_again() {
    let mut delivery = with(1, &[("a", Start), ("a", Stop)]);
    let mut now = NOW;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(sent(&mut delivery, now), [1]);
        delivery.handle_end(Place(1), Ending::Again, now);
        let until = now + Duration::from_secs(pause);
        assert_eq!(delivery.poll_timeout(), Some(until));
        now = until;
    }
    assert_eq!(sent(&mut delivery, now), [1]);
    delivery.handle_end(Place(1), Ending::Delivered, now);
    assert_eq!(sent(&mut delivery, now), [2]);
    delivery.handle_end(Place(2), Ending::Again, now);
    assert_eq!(delivery.poll_timeout(), Some(now + Duration::from_secs(1)));
}

#[test]
fn other_servers_are_asked_at_once() {
    let mut delivery = with(1, &[("a", Start)]);
    assert_eq!(sent(&mut delivery, NOW), [1]);
    delivery.handle_end(Place(1), Ending::Again, NOW);
    assert_eq!(sent(&mut delivery, NOW), []);
    delivery.handle_change();
    assert_eq!(sent(&mut delivery, NOW), [1]);
}

#[test]
fn what_no_server_will_ever_take_holds_nobody_up() {
    let mut delivery = with(1, &[("a", Start), ("a", Stop)]);
    assert_eq!(sent(&mut delivery, NOW), [1]);
    assert!(delivery.handle_end(Place(1), Ending::Never, NOW));
    assert_eq!(sent(&mut delivery, NOW), [2]);
}

#[test]
fn an_outcome_that_was_not_waited_for_changes_nothing() {
    let mut delivery = with(1, &[("a", Start), ("b", Start)]);
    for place in [1, 2, 9] {
        assert!(!delivery.handle_end(Place(place), Ending::Delivered, NOW));
    }
    assert_eq!(sent(&mut delivery, NOW), [1]);
    assert!(delivery.handle_end(Place(1), Ending::Delivered, NOW));
    assert!(!delivery.handle_end(Place(1), Ending::Delivered, NOW));
    assert_eq!(sent(&mut delivery, NOW), [2]);
}

#[test]
fn it_wants_as_many_again_as_may_be_under_way() {
    let mut delivery = with(2, &[("a", Start), ("a", Interim), ("a", Stop)]);
    assert_eq!(delivery.room(), 1);
    delivery.handle_loaded(Place(2), "z", Start);
    assert_eq!((delivery.room(), delivery.len()), (1, 3), "it has that one");
    delivery.handle_loaded(Place(4), "b", Start);
    assert_eq!(delivery.room(), 0);
    assert_eq!(sent(&mut delivery, NOW), [1, 4]);
}

#[test]
fn a_record_that_no_server_acknowledges_holds_up_its_session_and_nobody_else() {
    let mut delivery = with(
        2,
        &[("bad", Start), ("bad", Stop), ("a", Start), ("b", Start)],
    );
    for place in 5..20 {
        delivery.handle_loaded(Place(place), &place.to_string(), Start);
    }
    let (mut now, mut delivered) = (NOW, Vec::new());
    for _ in 0..100 {
        now = delivery.poll_timeout().map_or(now, |at| at.max(now));
        for place in sent(&mut delivery, now) {
            let ending = if place == 1 {
                Ending::Again
            } else {
                Ending::Delivered
            };
            if ending == Ending::Delivered {
                delivered.push(place);
            }
            delivery.handle_end(Place(place), ending, now + Duration::from_millis(place));
        }
    }
    assert_eq!(delivered, (3..20).collect::<Vec<_>>());
    // It is tried again, ever more seldom, and then its session goes on.
    assert!(now > NOW + Duration::from_mins(30));
    assert_eq!(sent(&mut delivery, now + LONGEST_REST), [1]);
    assert!(delivery.handle_end(Place(1), Ending::Delivered, now + LONGEST_REST));
    assert_eq!(sent(&mut delivery, now + LONGEST_REST), [2]);
}

#[test]
fn a_record_that_fails_while_others_are_delivered_makes_no_pause_for_them() {
    for ending in [Ending::Again, Ending::Refused] {
        let mut delivery = with(
            2,
            &[("bad", Start), ("a", Start), ("a", Stop), ("b", Start)],
        );
        assert_eq!(sent(&mut delivery, NOW), [1, 2]);
        delivery.handle_end(Place(2), Ending::Delivered, after(5));
        delivery.handle_end(Place(1), ending, after(30_000));
        assert_eq!(sent(&mut delivery, after(30_000)), [3, 4]);
        assert_eq!(delivery.poll_timeout(), Some(after(60_000)));
        // Other servers may take it.
        delivery.handle_end(Place(3), Ending::Delivered, after(30_000));
        delivery.handle_change();
        assert_eq!(sent(&mut delivery, after(30_000)), [1]);
    }
}

#[test]
fn on_and_off_wait_for_a_record_that_fails_no_longer_than_some_minutes() {
    let mut delivery = with(4, &[("bad", Start), ("off", Off), ("on", On), ("a", Start)]);
    let mut now = NOW;
    for _ in 0..STUBBORN {
        assert_eq!(sent(&mut delivery, now), [1]);
        now += Duration::from_secs(30);
        delivery.handle_end(Place(1), Ending::Again, now);
        now = delivery.poll_timeout().unwrap();
    }
    assert!(now < NOW + Duration::from_mins(8));
    assert_eq!(sent(&mut delivery, now), [2]);
    delivery.handle_end(Place(2), Ending::Delivered, now);
    assert_eq!(sent(&mut delivery, now), [1, 3]);
    // A server that answers no On: those behind it go on without.
    now += Duration::from_secs(1);
    delivery.handle_end(Place(1), Ending::Delivered, now);
    for _ in 0..STUBBORN {
        delivery.handle_end(Place(3), Ending::Refused, now);
        now = delivery.poll_timeout().unwrap();
        assert_eq!(sent(&mut delivery, now).first(), Some(&3));
    }
    assert_eq!(delivery.under_way(), 2, "the last one too");
}

#[test]
fn those_that_rest_leave_room_for_others_up_to_a_bound() {
    let mut delivery = Delivery::new(2);
    let mut next = 0;
    for _ in 0..100 {
        while delivery.room() > 0 {
            delivery.handle_loaded(Place(next), &next.to_string(), Start);
            next += 1;
        }
        for place in sent(&mut delivery, NOW) {
            delivery.handle_end(Place(place), Ending::Refused, NOW);
        }
    }
    assert_eq!((delivery.len(), next), (2 * 2 + 2 * RESTING, 36));
}

#[test]
fn every_failure_but_one_is_tried_again() {
    for failure in Failure::ALL {
        let outcome = Outcome {
            token: crate::request::Token(1),
            server: None,
            rtt: None,
            sends: 1,
            result: Err(*failure),
        };
        let expected = match failure {
            Failure::TooLarge => Ending::Never,
            Failure::NoServer | Failure::DatagramTooLarge | Failure::ProtocolError => {
                Ending::Refused
            }
            _ => Ending::Again,
        };
        assert_eq!(Ending::of(&outcome), expected, "{failure:?}");
    }
}

#[test]
fn the_end_of_a_pause_wakes_nobody_while_others_are_under_way() {
    let mut delivery = with(2, &[("a", Start), ("b", Start), ("c", Start)]);
    assert_eq!(sent(&mut delivery, NOW), [1, 2]);
    assert!(!delivery.handle_end(Place(1), Ending::Again, NOW));
    // The second one is not answered for longer than the pause.
    assert_eq!(delivery.poll_send(after(1_000)), None);
    assert_eq!(delivery.poll_timeout(), None);
    assert!(delivery.handle_end(Place(2), Ending::Delivered, after(5_000)));
    assert_eq!(delivery.poll_send(after(5_000)), Some(Place(1)));
}

proptest! {
    /// Whatever sessions, whatever servers do: each record is delivered once, those of a session in their
    /// order, one at a time, and On and Off between all before and all behind them.
    #[test]
    fn every_record_is_delivered_once_and_none_overtakes_another(
        sessions in vec(0..8_u8, 1..80),
        window in 1..10_usize,
        choices in vec(any::<(u8, bool)>(), 2000),
    ) {
        let records: Vec<(String, Status)> = sessions
            .iter()
            .enumerate()
            .map(|(at, session)| match session {
                0 => (format!("node{at}"), if at % 2 == 0 { On } else { Off }),
                _ => (session.to_string(), Interim),
            })
            .collect();
        let mut delivery = Delivery::new(window);
        let mut next = 0;
        let mut under_way: Vec<u64> = Vec::new();
        let mut delivered: Vec<u64> = Vec::new();
        let mut now = NOW;
        let mut failures = vec![0; records.len()];
        for (choice, answers) in choices {
            while delivery.room() > 0 && next < records.len() {
                let (session, status) = &records[next];
                delivery.handle_loaded(Place(next as u64), session, *status);
                next += 1;
            }
            now = delivery.poll_timeout().map_or(now, |at| at.max(now));
            if let Some(Place(place)) = delivery.poll_send(now) {
                let (session, status) = &records[place as usize];
                let stubborn = |place: u64| failures[place as usize] >= STUBBORN;
                let is_barrier = |status: &Status| matches!(status, On | Off);
                for other in &under_way {
                    prop_assert!(records[*other as usize].0 != *session);
                    let together = stubborn(*other) || stubborn(place);
                    prop_assert!(together || !is_barrier(&records[*other as usize].1));
                    prop_assert!(together || !is_barrier(status));
                }
                under_way.push(place);
                prop_assert!(under_way.len() <= window);
            } else {
                prop_assert!(delivery.poll_timeout().is_none_or(|at| at > now), "it is asked for ever");
            }
            if !under_way.is_empty() && choice % 3 != 0 {
                let place = under_way.swap_remove(usize::from(choice) % under_way.len());
                let ending = if answers { Ending::Delivered } else { Ending::Again };
                failures[place as usize] += u8::from(!answers);
                now += Duration::from_millis(u64::from(choice));
                let is_over = delivery.handle_end(Place(place), ending, now);
                prop_assert_eq!(is_over, answers);
                if answers {
                    delivered.push(place);
                }
            }
        }
        let rank = |place: u64| delivered.iter().position(|it| *it == place);
        for (at, (session, status)) in records.iter().enumerate() {
            let earlier = (0..at).filter(|other| {
                let firm = failures[*other] < STUBBORN && failures[at] < STUBBORN;
                records[*other].0 == *session
                    || firm && matches!(status, On | Off)
                    || firm && matches!(records[*other].1, On | Off)
            });
            for other in earlier {
                if let Some(mine) = rank(at as u64) {
                    prop_assert!(rank(other as u64).is_some_and(|theirs| theirs < mine));
                }
            }
        }
        let mut once = delivered.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), delivered.len());
        prop_assert!(!delivered.is_empty());
    }
}
