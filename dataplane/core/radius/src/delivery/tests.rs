//! Servers that answer, that are away, and records in any order of sessions.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
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
    assert_eq!(sent(&mut delivery, after(3000)), [1]);
    delivery.handle_end(Place(1), Ending::Delivered, after(3000));
    assert_eq!(sent(&mut delivery, after(3000)), [2, 3]);
    delivery.handle_end(Place(2), Ending::Delivered, after(3000));
    assert_eq!(sent(&mut delivery, after(3000)), [4]);
}

#[test]
fn pauses_double_up_to_half_a_minute_and_an_answer_makes_them_short_again() {
    let mut delivery = with(1, &[("a", Start), ("b", Start)]);
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
fn every_failure_but_two_is_tried_again() {
    for failure in Failure::ALL {
        let outcome = Outcome {
            token: crate::request::Token(1),
            server: None,
            rtt: None,
            sends: 1,
            result: Err(*failure),
        };
        let never = matches!(failure, Failure::TooLarge | Failure::NoServer);
        let expected = if never { Ending::Never } else { Ending::Again };
        assert_eq!(Ending::of(&outcome), expected, "{failure:?}");
    }
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
        for (choice, answers) in choices {
            while delivery.room() > 0 && next < records.len() {
                let (session, status) = &records[next];
                delivery.handle_loaded(Place(next as u64), session, *status);
                next += 1;
            }
            now = delivery.poll_timeout().map_or(now, |at| at.max(now));
            if let Some(Place(place)) = delivery.poll_send(now) {
                let (session, status) = &records[place as usize];
                for other in &under_way {
                    prop_assert!(records[*other as usize].0 != *session);
                    prop_assert!(!matches!(records[*other as usize].1, On | Off));
                }
                prop_assert!(under_way.is_empty() || !matches!(status, On | Off));
                under_way.push(place);
                prop_assert!(under_way.len() <= window);
            }
            if !under_way.is_empty() && choice % 3 != 0 {
                let place = under_way.swap_remove(usize::from(choice) % under_way.len());
                let ending = if answers { Ending::Delivered } else { Ending::Again };
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
                records[*other].0 == *session
                    || matches!(status, On | Off)
                    || matches!(records[*other].1, On | Off)
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
