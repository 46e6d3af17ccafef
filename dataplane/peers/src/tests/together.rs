//! Members find each other, lose each other, and find each other again.

use core::time::Duration;

use tokio::time::sleep;

use super::bed::{Bed, Node, TIMING, cluster, introduce, node, run};
use crate::wire::{Body, Goodbye, Message, Position};
use crate::{Event, FailedFor, Timing};

fn applied(seq: u64) -> Message {
    Message::Applied(Position {
        epoch: lns_cluster::Epoch::NONE,
        seq,
    })
}

/// The next position that a peer tells, and which peer.
async fn heard(node: &mut Node) -> (String, u64) {
    loop {
        if let Event::Message(message) = node.next().await {
            let Message::Applied(at) = message.value() else {
                panic!("nothing else was sent");
            };
            return (message.from().node().to_string(), at.seq);
        }
    }
}

#[test]
fn two_members_find_each_other_over_one_connection() {
    run(async {
        let [mut a, mut b] = Bed::new().nodes(["a", "b"]).await;
        a.speaker.send(&node("b"), applied(1)).unwrap();
        b.speaker.send(&node("a"), applied(2)).unwrap();
        assert_eq!(heard(&mut b).await, ("a".to_owned(), 1));
        assert_eq!(heard(&mut a).await, ("b".to_owned(), 2));
        for (node, peer) in [(&a, "b"), (&b, "a")] {
            node.until(peer, |figures| {
                figures.connections == 1 && figures.connected.is_some() && figures.version == 1
            })
            .await;
        }
    });
}

#[test]
fn three_members_find_each_other_and_each_speaks_to_each() {
    run(async {
        let mut nodes = Bed::new().nodes(["a", "b", "c"]).await;
        for from in &nodes {
            for to in nodes.iter().filter(|to| to.name != from.name) {
                from.speaker.send(&to.name, applied(7)).unwrap();
            }
        }
        for (at, others) in [(0, ["b", "c"]), (1, ["a", "c"]), (2, ["a", "b"])] {
            let mut from = [heard(&mut nodes[at]).await.0, heard(&mut nodes[at]).await.0];
            from.sort();
            assert_eq!(from, others);
        }
    });
}

#[test]
fn when_both_dial_at_once_one_connection_is_left() {
    run(async {
        let bed = Bed::new();
        let timing = Timing {
            courtesy: Duration::ZERO,
            ..TIMING
        };
        for _ in 0..10 {
            let start = |name| {
                Node::start(super::bed::Plan {
                    timing,
                    ..bed.plan(name)
                })
            };
            let (mut a, mut b) = (start("a").await, start("b").await);
            introduce(&mut [&a, &b].into_iter());
            a.connected().await;
            b.connected().await;
            // Whatever crossed has been sorted out when both speak over what is left.
            loop {
                let said = [
                    a.speaker.send(&b.name, applied(1)),
                    b.speaker.send(&a.name, applied(1)),
                ];
                if said.iter().all(Result::is_ok) {
                    let both = async { tokio::join!(heard(&mut a), heard(&mut b)) };
                    if tokio::time::timeout(Duration::from_secs(1), both)
                        .await
                        .is_ok()
                    {
                        break;
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
            for (node, peer) in [(&a, "b"), (&b, "a")] {
                node.until(peer, |figures| figures.connections <= 3).await;
            }
        }
    });
}

#[test]
fn a_member_that_is_not_listed_is_taken_if_it_dials() {
    run(async {
        let bed = Bed::new();
        let (mut a, mut b) = (bed.node("a").await, bed.node("b").await);
        let list = [(a.name.clone(), a.address)].into();
        b.peers.list(&list).unwrap();
        assert_eq!(a.connected().await.node(), &node("b"));
        b.connected().await;
        a.speaker.send(&node("b"), applied(3)).unwrap();
        assert_eq!(heard(&mut b).await.1, 3);
    });
}

#[test]
fn a_peer_that_is_killed_is_gone_at_once_and_comes_back_as_another_incarnation() {
    run(async {
        let bed = Bed::new();
        let [mut a, b] = bed.nodes(["a", "b"]).await;
        let address = b.address.to_string();
        drop(b);
        let Event::Disconnected(member, failed) = a.next().await else {
            panic!("it is gone");
        };
        assert_eq!((member.node(), failed.why), (&node("b"), FailedFor::Closed));
        assert!(a.speaker.send(&node("b"), applied(1)).is_err());
        let mut b = Node::start(super::bed::Plan {
            incarnation: 2,
            address: &address,
            ..bed.plan("b")
        })
        .await;
        assert_eq!(a.connected().await.identity().to_string(), "b/2");
        b.connected().await;
        a.speaker.send(&node("b"), applied(2)).unwrap();
        assert_eq!(heard(&mut b).await.1, 2);
    });
}

#[test]
fn a_new_incarnation_takes_the_place_of_one_that_nobody_saw_leave() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut before = bed.stranger("b", &a, |_| {}).await;
        assert_eq!(a.connected().await.identity().to_string(), "b/1");
        // The same node again, while the connection to the old incarnation is open.
        let b = Node::start(super::bed::Plan {
            incarnation: 2,
            ..bed.plan("b")
        })
        .await;
        b.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        assert_eq!(a.connected().await.identity().to_string(), "b/2");
        let said = before.hear().await.map(|(body, _)| body);
        assert_eq!(said, Some(Body::Goodbye(Goodbye::Replaced)));
    });
}

#[test]
fn a_peer_that_leaves_says_goodbye() {
    run(async {
        let [mut a, b] = Bed::new().nodes(["a", "b"]).await;
        a.speaker.send(&node("b"), applied(1)).unwrap();
        b.peers.close().await;
        let Event::Disconnected(_, failed) = a.next().await else {
            panic!("it is gone");
        };
        assert_eq!(failed.to_string(), "the peer says goodbye: it leaves");
    });
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    run(async {
        let bed = Bed::new();
        let mut a = Node::start(super::bed::Plan {
            timing: Timing {
                dead: Duration::from_millis(300),
                ..TIMING
            },
            ..bed.plan("a")
        })
        .await;
        // It greets, and says nothing more; the socket stays open.
        let stranger = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let Event::Disconnected(_, failed) = a.next().await else {
            panic!("it is gone");
        };
        assert_eq!(failed.why, FailedFor::Timeout);
        drop(stranger);
    });
}

#[test]
fn a_peer_that_is_taken_from_the_list_keeps_its_connection_and_is_not_dialled_again() {
    run(async {
        let bed = Bed::new();
        let [mut a, mut b] = bed.nodes(["a", "b"]).await;
        for node in [&a, &b] {
            node.peers.list(&[].into()).unwrap();
        }
        a.speaker.send(&node("b"), applied(1)).unwrap();
        assert_eq!(heard(&mut b).await.1, 1);
        drop(b);
        assert!(matches!(a.next().await, Event::Disconnected(..)));
        assert!(a.peers.figures().is_empty(), "it is forgotten");
        // Somebody else is where it was, and hears nothing.
        let c = bed.node("c").await;
        a.peers.list(&[(c.name.clone(), c.address)].into()).unwrap();
        assert_eq!(a.connected().await.node(), &node("c"));
    });
}

#[test]
fn a_peer_that_moves_is_found_where_it_is_listed() {
    run(async {
        let bed = Bed::new();
        let (mut a, b) = (bed.node("a").await, bed.node("b").await);
        let nowhere = "127.0.0.1:1".parse().unwrap();
        a.peers.list(&[(b.name.clone(), nowhere)].into()).unwrap();
        a.until_failed("open", "unreachable").await;
        a.peers.list(&[(b.name.clone(), b.address)].into()).unwrap();
        assert_eq!(a.connected().await.node(), &node("b"));
    });
}

#[test]
fn there_are_as_many_peers_as_a_roster_has_nodes() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let list = |count: usize| (0..count).map(|number| (node(&format!("n{number}")), nowhere));
        let most = crate::limits::PEERS;
        assert_eq!(a.peers.list(&list(most + 1).collect()), Err(crate::Full));
        assert!(a.peers.figures().is_empty());
        assert_eq!(a.peers.list(&list(most).collect()), Ok(()));
        assert_eq!(a.peers.figures().len(), most);
        assert_eq!(cluster().name(), "edge");
    });
}

#[test]
fn peers_that_are_not_listed_are_bounded_and_keep_no_listed_one_out() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut strangers = Vec::new();
        for number in 0..crate::limits::UNLISTED {
            strangers.push(bed.stranger(&format!("s{number}"), &a, |_| {}).await);
            a.connected().await;
        }
        let b = bed.node("b").await;
        b.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        b.until_failed("open", "full").await;
        a.peers.list(&[(b.name.clone(), b.address)].into()).unwrap();
        assert_eq!(a.connected().await.node(), &node("b"));
    });
}
