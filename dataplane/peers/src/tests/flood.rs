//! Peers that flood, and peers that read slowly.

use lns_cluster::{Ask, Epoch};
use lns_tables::time::Instant;

use super::bed::{Bed, node, run};
use crate::limits::FORWARDS;
use crate::wire::{Body, Control, Kind, Message};
use crate::{Event, NotTaken, SendError};

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
        holder: "a/1".parse().unwrap(),
        epoch: Epoch::NONE,
        sent: Instant::from_nanos(sent),
    })
}

#[test]
fn a_question_for_a_promise_overtakes_what_floods_to_a_peer_that_reads_slowly() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        // It reads nothing for now.
        let mut slow = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let mut sent = 0;
        // The kernel's buffers are full when the outbox stays full.
        let mut refused = 0;
        while refused < 1000 {
            match a.speaker.send(&node("b"), control(1400)) {
                Ok(()) => (sent, refused) = (sent + 1, 0),
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    refused += 1;
                    tokio::time::sleep(core::time::Duration::from_micros(200)).await;
                }
            }
        }
        assert!(sent > FORWARDS / 2, "{sent}");
        for number in 1..=3 {
            a.speaker.send(&node("b"), ask(number)).unwrap();
        }
        let (mut before, mut after) = (0, 0);
        let mut asked = None;
        while before + after < sent {
            let (body, _) = slow.hear().await.unwrap();
            match body {
                Body::Message(Message::Ask(ask)) => asked = Some(ask.sent),
                Body::Message(Message::Control(_)) if asked.is_none() => before += 1,
                Body::Message(Message::Control(_)) => after += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            asked,
            Some(Instant::from_nanos(3)),
            "the last one, and only that"
        );
        // All that waited in the outbox came behind it.
        assert!(after >= 700, "{before} before, {after} after");
        a.until("b", |figures| {
            figures
                .dropped
                .iter()
                .any(|(kind, count)| *kind == Kind::Control && *count >= 1000)
        })
        .await;
    });
}

#[test]
fn a_peer_that_reads_nothing_holds_nobody_else_up() {
    run(async {
        let bed = Bed::new();
        let [mut a, mut c] = bed.nodes(["a", "c"]).await;
        let _slow = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let mut lost = 0;
        while lost < 100 {
            lost += usize::from(a.speaker.send(&node("b"), control(9000)).is_err());
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            a.speaker.send(&node("c"), control(9000)).unwrap();
            loop {
                if let Event::Message(message) = c.next().await {
                    assert_eq!(message.value().kind(), Kind::Control);
                    break;
                }
            }
        }
        assert!(c.events.take().is_none());
    });
}

#[test]
fn what_floods_an_owner_that_does_not_take_it_is_dropped_and_what_is_urgent_is_not() {
    run(async {
        let bed = Bed::new();
        let [mut a, b] = bed.nodes(["a", "b"]).await;
        let mut refused = 0;
        for _ in 0..3 * FORWARDS {
            while b.speaker.send(&node("a"), control(100)).is_err() {
                refused += 1;
                tokio::task::yield_now().await;
            }
        }
        let ask = Message::Ask(Ask {
            holder: "b/1".parse().unwrap(),
            epoch: Epoch::NONE,
            sent: Instant::from_nanos(7),
        });
        b.speaker.send(&node("a"), ask).unwrap();
        let dropped = u64::try_from(2 * FORWARDS).unwrap();
        a.until("b", |figures| {
            let asked = figures.received.iter().any(|(kind, _)| *kind == Kind::Ask);
            asked && figures.not_taken == [(NotTaken::Full, dropped)]
        })
        .await;
        let Event::Message(first) = a.next().await else {
            panic!("a message");
        };
        assert_eq!(first.value().kind(), Kind::Ask);
        let mut taken = 0;
        while a.events.take().is_some() {
            taken += 1;
        }
        assert_eq!(taken, FORWARDS, "{refused} were refused by the sender");
    });
}
