//! What was made under an older epoch is refused, and epochs are heard of.

use lns_cluster::{Ask, Epoch};
use lns_tables::time::Instant;

use super::bed::{Bed, epoch, node, run};
use crate::wire::{
    Answer, Body, Control, DynamicRequest, Failure, Kind, Message, Position, Question, QuestionId,
    RecordsPage, Report,
};
use crate::{Event, NotTaken};

fn control() -> Message {
    let address = "192.0.2.1:1701".parse().unwrap();
    Message::Control(Control {
        local: address,
        remote: address,
        octets: vec![1],
    })
}

#[test]
fn whatever_changes_something_and_is_of_an_older_epoch_is_refused_and_counted() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        a.epochs.raise(epoch(7));
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let position = Position::default();
        for message in [
            control(),
            Message::Applied(position),
            Message::Report(Report::default()),
        ] {
            b.say(&Body::Message(message), epoch(6)).await;
        }
        a.until("b", |figures| {
            figures.not_taken == [(NotTaken::OldEpoch, 3)]
        })
        .await;
        // The elector refuses questions for promises itself, and says why.
        let ask = Message::Ask(Ask {
            holder: "b/1".parse().unwrap(),
            epoch: epoch(6),
            sent: Instant::ZERO,
        });
        b.say(&Body::Message(ask), epoch(6)).await;
        b.say(&Body::Message(control()), epoch(7)).await;
        for kind in [Kind::Ask, Kind::Control] {
            let Event::Message(message) = a.next().await else {
                panic!("a message");
            };
            assert_eq!(message.value().kind(), kind);
        }
        assert!(a.events.take().is_none());
    });
}

#[test]
fn a_question_of_an_older_epoch_is_refused_by_name_and_so_is_an_answer() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        a.epochs.raise(epoch(7));
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let address = "192.0.2.1:3799".parse().unwrap();
        let request = Question::Dynamic(DynamicRequest {
            local: address,
            remote: address,
            octets: vec![43],
        });
        b.say(&Body::Question(QuestionId(5), request), epoch(6))
            .await;
        assert_eq!(
            b.hear().await,
            Some((Body::Failed(QuestionId(5), Failure::OldEpoch), epoch(7)))
        );
        let speaker = a.speaker.clone();
        let asked = tokio::spawn(async move { speaker.ask(&node("b"), Question::Position).await });
        let Some((Body::Question(id, Question::Position), _)) = b.hear().await else {
            panic!("a question");
        };
        let answer = Answer::Position(Position::default());
        b.say(&Body::Answer(id, answer), epoch(6)).await;
        assert_eq!(asked.await.unwrap().unwrap_err(), Failure::OldEpoch);
    });
}

#[test]
fn records_are_given_by_who_has_not_heard_of_the_epoch_yet() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        a.epochs.raise(epoch(8));
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let speaker = a.speaker.clone();
        let question = Question::Records(Position::default());
        let asked = tokio::spawn(async move { speaker.ask(&node("b"), question).await });
        let Some((Body::Question(id, Question::Records(_)), _)) = b.hear().await else {
            panic!("a question");
        };
        let page = Answer::Records(RecordsPage::default());
        b.say(&Body::Answer(id, page.clone()), epoch(7)).await;
        let answer = asked.await.unwrap().unwrap();
        assert_eq!((answer.epoch(), answer.value()), (epoch(7), &page));
    });
}

#[test]
fn a_later_epoch_is_heard_of_from_whatever_comes_first() {
    run(async {
        let [mut a, mut b] = Bed::new().nodes(["a", "b"]).await;
        b.epochs.raise(epoch(4));
        let Event::Epoch(heard) = a.next().await else {
            panic!("an epoch");
        };
        assert_eq!((heard.epoch(), heard.from().node()), (epoch(4), &node("b")));
        // Nothing is refused before the owner says so, and everything after it.
        assert_eq!(a.epochs.known(), Epoch::NONE);
        b.epochs.raise(epoch(5));
        a.epochs.raise(epoch(6));
        b.speaker.send(&node("a"), control()).unwrap();
        let Event::Epoch(heard) = b.next().await else {
            panic!("an epoch");
        };
        assert_eq!(heard.epoch(), epoch(6));
        a.until("b", |figures| {
            figures.not_taken == [(NotTaken::OldEpoch, 1)]
        })
        .await;
        b.epochs.raise(epoch(6));
        b.speaker.send(&node("a"), control()).unwrap();
        loop {
            match a.next().await {
                Event::Message(message) => break assert_eq!(message.epoch(), epoch(6)),
                other => assert!(matches!(other, Event::Epoch(_)), "{other:?}"),
            }
        }
    });
}

#[test]
fn a_greeting_tells_the_epoch_already() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let b = bed.node("b").await;
        b.epochs.raise(epoch(9));
        b.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        a.connected().await;
        let Event::Epoch(heard) = a.next().await else {
            panic!("an epoch");
        };
        assert_eq!(heard.epoch(), epoch(9));
    });
}
