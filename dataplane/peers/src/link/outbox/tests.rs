//! What goes first, what takes turns, and what gives way.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use lns_cluster::Ask;
use lns_tables::time::Instant;

use super::*;
use crate::limits::{BODY, RECORD};
use crate::wire::{AdminQuery, Control, Frames, PeerRecord, Position, RecordsPage, Report, decode};

const EPOCH: Epoch = Epoch::NONE;

fn control(length: usize) -> Message {
    let address = "192.0.2.1:1701".parse().unwrap();
    Message::Control(Control {
        local: address,
        remote: address,
        octets: vec![0; length],
    })
}

fn ask(sent: u64) -> Message {
    Message::Ask(Ask {
        holder: "n1/1".parse().unwrap(),
        epoch: EPOCH,
        sent: Instant::from_nanos(sent),
    })
}

fn admin(length: usize) -> Answer {
    Answer::Admin(AdminAnswer {
        status: 200,
        content_type: String::new(),
        body: vec![7; length],
    })
}

/// What is taken until there is nothing more.
fn drain(outbox: &Outbox) -> Vec<(Kind, Body)> {
    let mut all = Vec::new();
    while let Next::Frame(kind, octets) = outbox.take() {
        let mut frames = Frames::new(BODY);
        frames.space()[..octets.len()].copy_from_slice(&octets);
        frames.read(octets.len());
        let frame = frames.next_frame().unwrap().unwrap();
        all.push((kind, decode(frame, &"n1/1".parse().unwrap()).unwrap()));
    }
    all
}

fn kinds(outbox: &Outbox) -> Vec<Kind> {
    drain(outbox).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn what_is_urgent_overtakes_all_that_waits_and_only_the_last_of_it_counts() {
    let outbox = Outbox::default();
    for _ in 0..3 {
        assert_eq!(outbox.message(control(100), EPOCH), Ok(true));
    }
    assert_eq!(outbox.message(ask(1), EPOCH), Ok(true));
    assert_eq!(outbox.message(ask(2), EPOCH), Ok(true));
    let key = DataKey {
        generation: 1,
        id: 2,
    };
    outbox.data_key(key, EPOCH);
    outbox.alive(EPOCH);
    let all = drain(&outbox);
    let order: Vec<_> = all.iter().map(|(kind, _)| *kind).collect();
    let control = [Kind::Control; 3];
    assert_eq!(
        order,
        [&[Kind::Alive, Kind::DataKey, Kind::Ask][..], &control].concat()
    );
    assert_eq!(all[2].1, Body::Message(ask(2)));
}

#[test]
fn all_else_takes_turns() {
    let outbox = Outbox::default();
    for id in 0..2 {
        outbox.message(control(1), EPOCH).unwrap();
        outbox
            .message(Message::Report(Report::default()), EPOCH)
            .unwrap();
        outbox
            .question(QuestionId(id), Question::Position, EPOCH)
            .unwrap();
        assert!(outbox.admit());
        outbox.answer(QuestionId(id), Err(Failure::NotMaster), EPOCH);
    }
    let round = [Kind::Failed, Kind::AskPosition, Kind::Control, Kind::Report];
    assert_eq!(kinds(&outbox), [round, round].concat());
}

#[test]
fn a_long_answer_goes_in_parts_between_which_others_go() {
    let outbox = Outbox::default();
    for (id, length) in [(1, 2 * PART + 5), (2, PART), (3, 0)] {
        assert!(outbox.admit());
        outbox.answer(QuestionId(id), Ok(admin(length)), EPOCH);
    }
    outbox.message(control(1), EPOCH).unwrap();
    let all = drain(&outbox);
    let part = |length| Body::Part(QuestionId(1), vec![7; length]);
    let last = |id, length| Body::Answer(QuestionId(id), admin(length));
    let bodies: Vec<_> = all.into_iter().map(|(_, body)| body).collect();
    assert_eq!(
        bodies,
        [
            part(PART),
            Body::Message(control(1)),
            last(2, PART),
            last(3, 0),
            part(PART),
            last(1, 5),
        ]
    );
}

#[test]
fn of_what_may_be_lost_the_newest_gives_way() {
    let outbox = Outbox::default();
    for length in 0..FORWARDS {
        assert_eq!(outbox.message(control(length % 7), EPOCH), Ok(true));
    }
    assert_eq!(outbox.message(control(1), EPOCH), Ok(false));
    for _ in 0..REPORTS {
        assert_eq!(
            outbox.message(Message::Report(Report::default()), EPOCH),
            Ok(true)
        );
    }
    assert_eq!(
        outbox.message(Message::Report(Report::default()), EPOCH),
        Ok(false)
    );
    assert_eq!(outbox.message(ask(1), EPOCH), Ok(true));
    let taken = kinds(&outbox);
    assert_eq!(taken.first(), Some(&Kind::Ask));
    assert_eq!(taken.len(), 1 + FORWARDS + REPORTS);
    assert_eq!(outbox.message(control(1), EPOCH), Ok(true));
}

#[test]
fn forwarded_octets_are_bounded_too() {
    let outbox = Outbox::default();
    let mut taken = 0;
    while outbox.message(control(60_000), EPOCH).unwrap() {
        taken += 1;
    }
    assert_eq!(taken, FORWARDS_OCTETS / 60_050);
    assert_eq!(kinds(&outbox).len(), taken);
    assert_eq!(outbox.message(control(60_000), EPOCH), Ok(true));
}

#[test]
fn questions_are_bounded_and_one_that_is_too_long_is_refused() {
    let outbox = Outbox::default();
    let ask = |id| outbox.question(QuestionId(id), Question::Position, EPOCH);
    for id in 0..u32::try_from(QUESTIONS).unwrap() {
        assert_eq!(ask(id), Ok(()));
    }
    assert_eq!(ask(0), Err(SendError::Full));
    let query = AdminQuery {
        method: String::new(),
        path: "/".repeat(10_000),
        body: Vec::new(),
    };
    let long = outbox.question(QuestionId(0), Question::Admin(query), EPOCH);
    assert_eq!(long, Err(SendError::TooLong));
}

#[test]
fn answers_are_bounded_in_number_and_octets_and_the_peer_is_told() {
    let outbox = Outbox::default();
    for _ in 0..QUESTIONS {
        assert!(outbox.admit());
    }
    assert!(!outbox.admit());
    let half = ANSWERS_OCTETS / 2;
    outbox.answer(QuestionId(1), Ok(admin(half)), EPOCH);
    outbox.answer(QuestionId(2), Ok(admin(half)), EPOCH);
    outbox.answer(QuestionId(3), Ok(admin(1)), EPOCH);
    outbox.answer(QuestionId(4), Ok(admin(ADMIN_ANSWER + 1)), EPOCH);
    let failed: Vec<_> = drain(&outbox)
        .into_iter()
        .filter_map(|(_, body)| {
            let Body::Failed(id, failure) = body else {
                return None;
            };
            Some((id.0, failure))
        })
        .collect();
    assert_eq!(failed, [(3, Failure::Busy), (4, Failure::TooLong)]);
    for _ in 0..4 {
        assert!(outbox.admit());
    }
    assert!(!outbox.admit(), "as many as were answered, and written");
    for _ in 0..10 * QUESTIONS {
        outbox.refuse(QuestionId(9), Failure::Busy, EPOCH);
    }
    assert_eq!(kinds(&outbox).len(), 2 * QUESTIONS);
}

#[test]
fn an_answer_that_cannot_be_written_fails_by_name() {
    let outbox = Outbox::default();
    assert!(outbox.admit());
    outbox.answer(
        QuestionId(1),
        Ok(Answer::Dynamic(Some(vec![0; 70_000]))),
        EPOCH,
    );
    let failed = Body::Failed(QuestionId(1), Failure::TooLong);
    assert_eq!(drain(&outbox), [(Kind::Failed, failed)]);
    let record = PeerRecord::new("t/1".to_owned(), Position::default(), Some(vec![0; RECORD]));
    assert!(outbox.admit());
    let page = RecordsPage::of([record.unwrap()]);
    outbox.answer(QuestionId(2), Ok(Answer::Records(page)), EPOCH);
    assert_eq!(kinds(&outbox), [Kind::Records]);
}

#[test]
fn the_end_comes_after_what_is_urgent_and_before_what_waits() {
    let outbox = Outbox::default();
    outbox.message(control(1), EPOCH).unwrap();
    outbox.message(ask(1), EPOCH).unwrap();
    outbox.close(Goodbye::Leaving, EPOCH);
    outbox.close(Goodbye::Stream, EPOCH);
    let all = drain(&outbox);
    assert_eq!(
        all,
        [
            (Kind::Ask, Body::Message(ask(1))),
            (Kind::Goodbye, Body::Goodbye(Goodbye::Leaving)),
        ]
    );
    assert_eq!(outbox.take(), Next::End);
}
