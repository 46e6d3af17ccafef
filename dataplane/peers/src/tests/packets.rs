//! Packets that are handed over: keys come by the control channel, frames go over UDP.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;

use tokio::time::{sleep, timeout};

use super::bed::{Bed, Node, PATIENCE, Plan, node, run};
use crate::data::{HEADROOM, Halves, Handover, PathMtu, Refused, TAILROOM};
use crate::limits::REKEY;
use crate::wire::{Body, DataKey};
use crate::{Event, NotTaken, PeerNumber};

fn to_home() -> Handover {
    Handover::ToHome {
        local: "192.0.2.1:1701".parse().unwrap(),
        remote: "198.51.100.7:1701".parse().unwrap(),
    }
}

impl Node {
    /// The number that a connected peer has here.
    fn number(&self, peer: &str) -> PeerNumber {
        let all = self.peers.shared().peers().into_iter();
        let mut of = all.filter(|it| it.node == node(peer));
        of.next().unwrap().number
    }

    /// Waits until packets can be sealed for a peer, with another key than `not`.
    async fn until_sealed(&self, peer: &str, not: Option<[u8; 4]>) -> [u8; 4] {
        let waited = timeout(PATIENCE, async {
            loop {
                if let Some((_, frames)) = self.try_seal(peer, b"x") {
                    let id = frames[0][2..6].try_into().unwrap();
                    if Some(id) != not {
                        return id;
                    }
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("a key")
    }

    /// Where a packet goes, and its frames.
    fn try_seal(&self, peer: &str, packet: &[u8]) -> Option<(SocketAddr, Vec<Vec<u8>>)> {
        let data = self.peers.data();
        let routes = data.routes();
        let route = routes.get(self.number(peer))?;
        let mut buffer = vec![0; HEADROOM];
        buffer.extend(packet);
        buffer.extend([0; TAILROOM]);
        let mut spare = vec![0; data.mtu().octets()];
        let sealed = route.seal(to_home(), &mut buffer, &mut spare).unwrap();
        let frames = [Some(sealed.first), sealed.second];
        let frames = frames.into_iter().flatten().map(<[u8]>::to_vec).collect();
        Some((route.address(), frames))
    }

    /// The frames of a packet.
    fn seal(&self, peer: &str, packet: &[u8]) -> Vec<Vec<u8>> {
        self.try_seal(peer, packet).unwrap().1
    }

    /// What frames of a peer have.
    fn open(&self, peer: &str, frames: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Refused> {
        let data = self.peers.data();
        let mut halves = Halves::new(PathMtu::default());
        let mut last = None;
        for frame in frames {
            let mut frame = frame.clone();
            let openers = data.openers();
            last = openers.open(&mut frame, &mut halves)?.map(|opened| {
                assert_eq!(opened.from, self.number(peer));
                assert_eq!(opened.packet.handover, to_home());
                opened.packet.octets.to_vec()
            });
        }
        Ok(last)
    }

    /// Ends the connection to a peer, for no reason.
    fn cut(&self, peer: &str) {
        let link = self.peers.shared().link(&node(peer)).unwrap();
        link.outbox
            .close(crate::wire::Goodbye::Other, self.epochs.known());
    }
}

#[test]
fn packets_pass_over_udp_on_the_port_of_the_channel() {
    run(async {
        let [a, b] = Bed::new().nodes(["a", "b"]).await;
        let (from, to) = (
            UdpSocket::bind(a.address).unwrap(),
            UdpSocket::bind(b.address).unwrap(),
        );
        to.set_read_timeout(Some(PATIENCE)).unwrap();
        a.until_sealed("b", None).await;
        b.until_sealed("a", None).await;
        let data = b.peers.data();
        let mut halves = Halves::new(data.mtu());
        for length in [1, 64, 1400, 1500] {
            let packet = vec![7; length];
            let (address, frames) = a.try_seal("b", &packet).unwrap();
            let mut opened = None;
            for frame in &frames {
                assert!(frame.len() + 28 <= 1500);
                from.send_to(frame, address).unwrap();
                let mut received = [0; 2000];
                let (octets, _) = to.recv_from(&mut received).unwrap();
                let frame = &mut received[..octets];
                let openers = data.openers();
                opened = openers.open(frame, &mut halves).unwrap().map(|opened| {
                    assert_eq!(opened.from, b.number("a"));
                    opened.packet.octets.to_vec()
                });
            }
            assert_eq!(opened, Some(packet));
        }
        assert_eq!(halves.incomplete(), 0);
        // And the other way.
        let frames = b.seal("a", b"back");
        assert_eq!(a.open("b", &frames), Ok(Some(b"back".to_vec())));
        assert_eq!(
            b.open("a", &frames),
            Err(Refused::UnknownKey),
            "it is nobody else's"
        );
    });
}

#[test]
fn a_new_connection_brings_new_keys_and_loses_no_packet_under_way() {
    run(async {
        let [a, b] = Bed::new().nodes(["a", "b"]).await;
        let first = a.until_sealed("b", None).await;
        let under_way = [a.seal("b", b"one"), a.seal("b", b"two")];
        a.cut("b");
        // Packets pass meanwhile, too.
        let meanwhile = a.seal("b", b"meanwhile");
        assert_eq!(b.open("a", &meanwhile), Ok(Some(b"meanwhile".to_vec())));
        a.until_sealed("b", Some(first)).await;
        a.until("b", |figures| figures.connections == 2).await;
        let next = a.seal("b", b"three");
        assert_eq!(b.open("a", &next), Ok(Some(b"three".to_vec())));
        for (frames, packet) in under_way.iter().zip([b"one", b"two"]) {
            assert_eq!(b.open("a", frames), Ok(Some(packet.to_vec())));
        }
    });
}

#[test]
fn a_key_that_is_half_worn_is_replaced_on_the_same_connection() {
    run(async {
        let [a, b] = Bed::new().nodes(["a", "b"]).await;
        let first = a.until_sealed("b", None).await;
        let data = a.peers.data();
        data.routes().get(a.number("b")).unwrap().skip_to(REKEY);
        let worn = a.seal("b", b"worn");
        let under_way = a.seal("b", b"under way");
        assert_eq!(b.open("a", &worn), Ok(Some(b"worn".to_vec())));
        a.until_sealed("b", Some(first)).await;
        let next = a.seal("b", b"next");
        assert_eq!(b.open("a", &next), Ok(Some(b"next".to_vec())));
        assert_eq!(b.open("a", &under_way), Ok(Some(b"under way".to_vec())));
        a.until("b", |figures| figures.connections == 1).await;
    });
}

#[test]
fn a_peer_that_is_killed_may_be_back_and_one_that_leaves_is_not() {
    run(async {
        let bed = Bed::new();
        let [mut a, b, c] = bed.nodes(["a", "b", "c"]).await;
        a.until_sealed("b", None).await;
        a.until_sealed("c", None).await;
        drop(b);
        assert!(matches!(a.next().await, Event::Disconnected(..)));
        assert!(a.try_seal("b", b"x").is_some());
        c.peers.close().await;
        assert!(matches!(a.next().await, Event::Disconnected(..)));
        assert!(a.try_seal("c", b"x").is_none());
    });
}

#[test]
fn another_incarnation_gets_nothing_that_only_the_one_before_could_open() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let b = bed.node("b").await;
        a.peers.list(&[(b.name.clone(), b.address)].into()).unwrap();
        a.connected().await;
        a.until_sealed("b", None).await;
        let address = b.address;
        drop(b);
        assert!(matches!(a.next().await, Event::Disconnected(..)));
        // It comes back, and says nothing of keys yet.
        let mut mute = bed
            .stranger("b", &a, |hello| {
                hello.identity = "b/2".parse().unwrap();
                hello.capabilities = crate::wire::Capabilities::DATA;
            })
            .await;
        a.connected().await;
        assert!(a.try_seal("b", b"x").is_none());
        let Some((Body::DataKey(expected), _)) = mute.hear().await else {
            panic!("what to seal with");
        };
        assert_eq!(expected.generation, 1);
        let key = DataKey {
            generation: 1,
            id: 77,
        };
        mute.say(&Body::DataKey(key), a.epochs.known()).await;
        let id = a.until_sealed("b", None).await;
        assert_eq!(id, 77_u32.to_be_bytes());
        assert_eq!(a.try_seal("b", b"x").unwrap().0, address);
        // A key is announced once.
        mute.say(&Body::DataKey(key), a.epochs.known()).await;
        a.until("b", |figures| {
            figures.not_taken == [(NotTaken::Unexpected, 1)]
        })
        .await;
    });
}

#[test]
fn a_peer_that_hands_nothing_over_or_is_not_listed_has_no_way() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        let key = DataKey {
            generation: 1,
            id: 77,
        };
        b.say(&Body::DataKey(key), a.epochs.known()).await;
        a.until("b", |figures| {
            figures.not_taken == [(NotTaken::Unexpected, 1)]
        })
        .await;
        let c = Node::start(Plan {
            timing: super::bed::TIMING,
            ..bed.plan("c")
        })
        .await;
        c.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        a.connected().await;
        c.until_sealed("a", None).await;
        assert!(a.try_seal("c", b"x").is_none());
        a.peers.list(&[(c.name.clone(), c.address)].into()).unwrap();
        a.until_sealed("c", None).await;
        assert_eq!(a.try_seal("c", b"x").unwrap().0, c.address);
    });
}
