//! Certificates change while members speak.

use lns_cluster::Epoch;

use super::bed::{Bed, MEMBER, Node, Plan, cluster, node, run};
use crate::tls::certificates::Authority;
use crate::wire::{Control, Message};
use crate::{Credentials, Event, Material};

fn control(number: u8) -> Message {
    let address = "192.0.2.1:1701".parse().unwrap();
    Message::Control(Control {
        local: address,
        remote: address,
        octets: vec![number],
    })
}

async fn heard(node: &mut Node) -> u8 {
    loop {
        match node.next().await {
            Event::Message(message) => {
                let Message::Control(control) = message.value() else {
                    panic!("nothing else was sent");
                };
                return control.octets[0];
            }
            Event::Disconnected(_, failed) => panic!("{failed}"),
            _ => {}
        }
    }
}

#[test]
fn certificates_change_under_traffic_and_cut_nothing() {
    run(async {
        let bed = Bed::new();
        let [mut a, mut b] = bed.nodes(["a", "b"]).await;
        // Another authority, first believed, then shown, then alone.
        let next = Authority::new();
        let issued = next.issue(&[MEMBER]);
        let both = format!("{}{}", bed.authority.certificate, next.certificate);
        let steps = [
            Material {
                authorities: both.as_bytes(),
                ..bed.issued.with(&bed.authority)
            },
            Material {
                authorities: both.as_bytes(),
                ..issued.with(&next)
            },
            issued.with(&next),
        ];
        for (step, number) in steps.iter().zip(1..) {
            for node in [&a, &b] {
                let credentials = Credentials::new(*step, &cluster(), &node.name).unwrap();
                node.peers.set_credentials(credentials);
            }
            for from in 0..10 {
                a.speaker.send(&node("b"), control(number + from)).unwrap();
                assert_eq!(heard(&mut b).await, number + from);
                b.speaker.send(&node("a"), control(number)).unwrap();
                assert_eq!(heard(&mut a).await, number);
            }
        }
        for (node, peer) in [(&a, "b"), (&b, "a")] {
            node.until(peer, |figures| figures.connections == 1).await;
        }
        // Whoever comes now needs the new ones.
        let mut c = Node::start(Plan {
            credentials: issued.credentials(&next, &cluster(), "c"),
            ..bed.plan("c")
        })
        .await;
        c.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        assert_eq!(c.connected().await.node(), &a.name);
        let d = bed.node("d").await;
        d.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        d.until_failed("open", "certificate").await;
        assert_eq!(a.epochs.known(), Epoch::NONE);
    });
}
