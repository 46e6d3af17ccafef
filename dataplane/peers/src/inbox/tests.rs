//! What is given out first, what gives way, and that no peer takes another's room.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use std::sync::Arc;

use lns_cluster::Refusal;
use lns_tables::time::Instant;

use super::*;
use crate::cluster::ClusterId;
use crate::config::Timing;
use crate::data::{Data, PathMtu};
use crate::epochs::Epochs;
use crate::failed::{Failed, FailedFor};
use crate::link::{Context, Link, Rank};
use crate::wire::{Capabilities, Control, Hello, QuestionId, Report};

fn member(number: u8) -> Member {
    let hello = Hello {
        cluster: ClusterId::new("lns", "edge", "7d1c").unwrap(),
        identity: format!("n{number}/1").parse().unwrap(),
        version: 1,
        oldest: 1,
        capabilities: Capabilities::default(),
        dial: 0,
        software: String::new(),
    };
    let address = "192.0.2.1:1702".parse().unwrap();
    Member::new(PeerNumber(number), hello, 1, address)
}

fn from<T>(member: &Member, value: T) -> Authenticated<T> {
    Authenticated::new(member.clone(), Epoch::NONE, value)
}

fn control(length: usize) -> Message {
    let address = "192.0.2.1:1701".parse().unwrap();
    Message::Control(Control {
        local: address,
        remote: address,
        octets: vec![0; length],
    })
}

fn ask(member: &Member, sent: u64) -> Message {
    Message::Ask(Ask {
        holder: member.identity().clone(),
        epoch: Epoch::NONE,
        sent: Instant::from_nanos(sent),
    })
}

/// What an event is, and of which peer.
fn label(event: &Event) -> (&'static str, usize) {
    match event {
        Event::Connected(member) => ("connected", member.number().index()),
        Event::Disconnected(member, _) => ("disconnected", member.number().index()),
        Event::Epoch(epoch) => ("epoch", epoch.from().number().index()),
        Event::Message(message) => {
            let number = message.from().number().index();
            (message.value().kind().label(), number)
        }
        Event::Question(question, _) => ("question", question.from().number().index()),
    }
}

fn drain(inbox: &Inbox) -> Vec<(&'static str, usize)> {
    core::iter::from_fn(|| inbox.take())
        .map(|event| label(&event))
        .collect()
}

#[test]
fn what_is_urgent_comes_before_all_that_waits_of_any_peer() {
    let inbox = Inbox::default();
    let (one, two) = (member(1), member(2));
    for _ in 0..3 {
        assert!(inbox.message(from(&one, control(9))));
    }
    let refused = AskRefused {
        holder: two.identity().clone(),
        epoch: Epoch::NONE,
        sent: Instant::ZERO,
        why: Refusal::Master,
    };
    inbox.message(from(&two, Message::Applied(Position::default())));
    inbox.message(from(&two, ask(&two, 1)));
    inbox.message(from(&two, Message::AskRefused(refused)));
    inbox.epoch(two.clone(), Epoch::new(3).unwrap());
    inbox.state(two.number(), Event::Connected(two.clone()));
    let order = ["connected", "epoch", "ask_refused", "ask", "applied"].map(|it| (it, 2));
    let controls = [("control", 1); 3];
    assert_eq!(drain(&inbox), [&order[..], &controls].concat());
}

#[test]
fn of_what_is_urgent_the_last_one_counts() {
    let inbox = Inbox::default();
    let peer = member(1);
    for sent in 1..=3 {
        inbox.message(from(&peer, ask(&peer, sent)));
    }
    for number in [5, 9, 7] {
        inbox.epoch(peer.clone(), Epoch::new(number).unwrap());
    }
    let gone = Failed::new(FailedFor::Closed, "");
    inbox.state(peer.number(), Event::Disconnected(peer.clone(), gone));
    inbox.state(peer.number(), Event::Connected(peer.clone()));
    let all: Vec<_> = core::iter::from_fn(|| inbox.take()).collect();
    assert_eq!(
        all.iter().map(label).collect::<Vec<_>>(),
        [("connected", 1), ("epoch", 1), ("ask", 1)]
    );
    let [_, Event::Epoch(epoch), Event::Message(message)] = &all[..] else {
        panic!("as they are labelled");
    };
    assert_eq!(epoch.epoch(), Epoch::new(9).unwrap());
    assert_eq!(*message.value(), ask(&peer, 3));
}

#[test]
fn a_peer_that_sends_much_fills_its_own_room_and_waits_its_turn() {
    let inbox = Inbox::default();
    let (noisy, quiet) = (member(1), member(2));
    for _ in 0..FORWARDS {
        assert!(inbox.message(from(&noisy, control(1))));
    }
    assert!(!inbox.message(from(&noisy, control(1))));
    assert!(inbox.message(from(&quiet, control(1))));
    for _ in 0..REPORTS {
        assert!(inbox.message(from(&noisy, Message::Report(Report::default()))));
    }
    assert!(!inbox.message(from(&noisy, Message::Report(Report::default()))));
    let first: Vec<_> = drain(&inbox).into_iter().take(4).collect();
    assert_eq!(
        first,
        [
            ("control", 1),
            ("control", 2),
            ("report", 1),
            ("control", 1)
        ]
    );
    assert!(inbox.message(from(&noisy, control(1))));
}

#[test]
fn forwarded_octets_are_bounded_too() {
    let inbox = Inbox::default();
    let peer = member(1);
    let mut taken = 0;
    while inbox.message(from(&peer, control(60_000))) {
        taken += 1;
    }
    assert_eq!(taken, FORWARDS_OCTETS / 60_000);
    assert_eq!(drain(&inbox).len(), taken);
    assert!(inbox.message(from(&peer, control(60_000))));
}

#[test]
fn a_question_that_is_dropped_is_answered_all_the_same() {
    let inbox = Inbox::default();
    let peer = member(1);
    let rank = Rank::new(peer.node(), peer.node(), 0);
    let link = Arc::new(Link::new(
        peer.clone(),
        rank,
        Epoch::NONE,
        Arc::default(),
        None,
    ));
    let responder = Responder::new(Arc::clone(&link), QuestionId(7), Epochs::default());
    inbox.question(from(&peer, Question::Position), responder);
    assert_eq!(drain(&inbox), [("question", 1)]);
    let crate::link::outbox::Next::Frame(kind, _) = link.outbox.take() else {
        panic!("an answer");
    };
    assert_eq!(kind, crate::wire::Kind::Failed);
}

#[test]
fn a_peer_that_knows_a_later_epoch_is_told_of_and_one_that_does_not_is_not() {
    let inbox = Inbox::default();
    let epochs = Epochs::new(Epoch::new(5).unwrap());
    let data = Data::new(epochs.clone(), PathMtu::default(), 1);
    let context = Context {
        epochs: &epochs,
        inbox: &inbox,
        data: &data,
        timing: Timing::default(),
    };
    let peer = member(1);
    let rank = Rank::new(peer.node(), peer.node(), 0);
    let link = Link::new(peer, rank, Epoch::NONE, Arc::default(), None);
    link.hear(Epoch::new(5).unwrap(), &context);
    assert!(inbox.take().is_none());
    link.hear(Epoch::new(6).unwrap(), &context);
    assert_eq!(drain(&inbox), [("epoch", 1)]);
    assert_eq!(link.epoch(), Epoch::new(6).unwrap());
}
