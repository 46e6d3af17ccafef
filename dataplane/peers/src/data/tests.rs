//! Frames that were sealed, and frames that were not quite.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use lns_cluster::Epoch;
use proptest::prelude::*;

use super::*;
use crate::epochs::Epochs;
use crate::limits::{REKEY, SEALED, WINDOW};
use crate::member::PeerNumber;

/// Two members; the first has opened the connection. Each is number 3 of the other.
struct Pair {
    keyrings: [Keyring; 2],
    epochs: [Epochs; 2],
    data: [Data; 2],
    halves: Halves,
}

const PEER: PeerNumber = PeerNumber(3);

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

impl Pair {
    fn new(mtu: u16, address: &str) -> Self {
        let mtu = PathMtu::new(mtu).unwrap();
        let epochs = [Epochs::new(epoch(5)), Epochs::new(epoch(5))];
        let data = [0, 1].map(|at: usize| Data::new(epochs[at].clone(), mtu, 4711));
        for data in &data {
            data.set_address(PEER, Some(address.parse().unwrap()));
        }
        let secret = Secret::new(&[7; SECRET]);
        let keyring = |outbound| Keyring {
            peer: PEER,
            secret: secret.clone(),
            outbound,
            connection: 1,
        };
        let pair = Self {
            keyrings: [keyring(Direction::FromOpener), keyring(Direction::ToOpener)],
            epochs,
            data,
            halves: Halves::new(mtu),
        };
        pair.rekey(1);
        pair
    }

    /// A key of this generation from the first to the second.
    fn rekey(&self, generation: u32) {
        let [a, b] = &self.data;
        let key = b.expect(&self.keyrings[1], generation).unwrap();
        assert!(a.seal_with(&self.keyrings[0], key));
    }

    /// The frames of a packet from the first to the second.
    fn seal(&self, handover: Handover, packet: &[u8]) -> Result<Vec<Vec<u8>>, SealError> {
        let routes = self.data[0].routes();
        let route = routes.get(PEER).unwrap();
        let mut buffer = vec![0; HEADROOM];
        buffer.extend(packet);
        buffer.extend([0; TAILROOM]);
        let mut spare = vec![0; self.data[0].mtu().octets()];
        let sealed = route.seal(handover, &mut buffer, &mut spare)?;
        Ok([Some(sealed.first), sealed.second]
            .into_iter()
            .flatten()
            .map(<[u8]>::to_vec)
            .collect())
    }

    fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let frames = self.seal(Handover::ToHomeDownstream, packet).unwrap();
        assert_eq!(frames.len(), 1);
        frames.into_iter().next().unwrap()
    }

    /// What the second makes of a frame.
    fn open(&mut self, frame: &[u8]) -> Result<Option<(Handover, Vec<u8>)>, Refused> {
        let mut frame = frame.to_vec();
        let openers = self.data[1].openers();
        let opened = openers.open(&mut frame, &mut self.halves)?;
        Ok(opened.map(|opened| {
            assert_eq!(opened.from, PEER);
            (opened.packet.handover, opened.packet.octets.to_vec())
        }))
    }

    fn opened(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.open(frame).unwrap().map(|(_, packet)| packet)
    }
}

fn v4() -> Pair {
    Pair::new(1500, "192.0.2.2:1702")
}

fn to_home() -> Handover {
    Handover::ToHome {
        local: "192.0.2.1:1701".parse().unwrap(),
        remote: "198.51.100.7:1701".parse().unwrap(),
    }
}

fn to_home_v6() -> Handover {
    Handover::ToHome {
        local: "[2001:db8::1]:1701".parse().unwrap(),
        remote: "[2001:db8::2]:1701".parse().unwrap(),
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_is_opened(
        packet in prop::collection::vec(any::<u8>(), 1..2600),
        which in 0_usize..3,
        v6 in any::<bool>(),
    ) {
        let mut pair = Pair::new(1500, if v6 { "[2001:db8::9]:1702" } else { "192.0.2.2:1702" });
        let handover = [Handover::ToHomeDownstream, to_home(), to_home_v6()][which];
        let frames = pair.seal(handover, &packet).unwrap();
        let headers = if v6 { 48 } else { 28 };
        for frame in &frames {
            prop_assert!(frame.len() + headers <= 1500);
        }
        let mut opened: Vec<_> = frames.iter().map(|frame| pair.open(frame).unwrap()).collect();
        prop_assert_eq!(opened.pop(), Some(Some((handover, packet))));
        prop_assert!(opened.iter().all(Option::is_none));
    }

    #[test]
    fn a_frame_that_was_changed_is_refused_and_changes_nothing(
        packet in prop::collection::vec(any::<u8>(), 1..100),
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut pair = v4();
        let frame = pair.frame(&packet);
        let mut changed = frame.clone();
        changed[at.index(frame.len())] ^= 1 << bit;
        prop_assert!(pair.open(&changed).is_err());
        prop_assert!(pair.open(&frame[..cut.index(frame.len())]).is_err());
        let longer = [&frame[..], &[0]].concat();
        prop_assert_eq!(pair.open(&longer), Err(Refused::Forged));
        prop_assert_eq!(pair.opened(&frame), Some(packet));
    }

    #[test]
    fn any_octets_are_refused(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(v4().open(&octets).is_err());
    }
}

#[test]
fn a_frame_is_opened_once() {
    let mut pair = v4();
    let frame = pair.frame(b"once");
    assert_eq!(pair.opened(&frame), Some(b"once".to_vec()));
    for _ in 0..3 {
        assert_eq!(pair.open(&frame), Err(Refused::Repeated));
    }
    let refused = pair.data[1].figures().refused;
    assert_eq!(refused, [(Refused::Repeated, 3)]);
}

#[test]
fn frames_may_be_late_by_the_window_and_no_more() {
    let mut pair = v4();
    let first = pair.frame(b"first");
    let second = pair.frame(b"second");
    let behind = usize::try_from(WINDOW).unwrap() - 1;
    let between: Vec<_> = (0..behind).map(|_| pair.frame(b"x")).collect();
    let last = between.last().unwrap();
    assert!(pair.opened(last).is_some());
    assert_eq!(pair.open(&first), Err(Refused::Late));
    assert_eq!(pair.opened(&second), Some(b"second".to_vec()));
}

#[test]
fn a_frame_of_an_older_epoch_is_refused_and_is_not_taken() {
    let mut pair = v4();
    let frame = pair.frame(b"old");
    pair.epochs[1].raise(epoch(6));
    for _ in 0..2 {
        assert_eq!(pair.open(&frame), Err(Refused::OldEpoch));
    }
    pair.epochs[0].raise(epoch(7));
    let frame = pair.frame(b"new");
    assert_eq!(pair.opened(&frame), Some(b"new".to_vec()));
    assert_eq!(pair.data[1].figures().refused, [(Refused::OldEpoch, 2)]);
}

#[test]
fn a_frame_of_the_other_way_or_of_another_secret_is_forged() {
    let mut pair = v4();
    let [a, b] = &pair.data;
    let [ours, theirs] = pair.keyrings.clone();
    let key = b.expect(&theirs, 2).unwrap();
    let reflected = Keyring {
        outbound: Direction::ToOpener,
        ..ours.clone()
    };
    assert!(a.seal_with(&reflected, key));
    let frame = pair.frame(b"reflected");
    assert_eq!(pair.open(&frame), Err(Refused::Forged));
    let [a, b] = &pair.data;
    let key = b.expect(&theirs, 3).unwrap();
    let other = Keyring {
        secret: Secret::new(&[8; SECRET]),
        ..ours
    };
    assert!(a.seal_with(&other, key));
    let frame = pair.frame(b"of another connection");
    assert_eq!(pair.open(&frame), Err(Refused::Forged));
}

#[test]
fn no_key_seals_twice_from_its_beginning_and_no_connection_overrides_a_later_one() {
    let pair = v4();
    let [a, b] = &pair.data;
    let [ours, theirs] = pair.keyrings.clone();
    let later = |keyring: &Keyring| Keyring {
        connection: 2,
        ..keyring.clone()
    };
    let key = b.expect(&theirs, 2).unwrap();
    assert!(a.seal_with(&ours, key));
    for generation in [1, 2] {
        let again = crate::wire::DataKey { generation, ..key };
        assert!(!a.seal_with(&ours, again));
    }
    a.forget(PEER);
    assert!(!a.seal_with(&ours, key), "nor after it was forgotten");
    let of_later = b.expect(&later(&theirs), 0).unwrap();
    assert_eq!(b.expect(&theirs, 3), None);
    assert!(a.seal_with(&later(&ours), of_later));
    let of_first = crate::wire::DataKey {
        generation: 9,
        ..key
    };
    assert!(!a.seal_with(&ours, of_first));
}

#[test]
fn a_new_key_loses_nothing_that_is_under_way_and_the_third_ends_the_first() {
    let mut pair = v4();
    let frames: Vec<_> = (0..3_u8).map(|_| pair.frame(b"first")).collect();
    pair.rekey(2);
    let second = pair.frame(b"second");
    assert_eq!(pair.opened(&second), Some(b"second".to_vec()));
    assert_eq!(pair.opened(&frames[0]), Some(b"first".to_vec()));
    pair.rekey(3);
    let third = pair.frame(b"third");
    assert_eq!(pair.open(&frames[1]), Err(Refused::UnknownKey));
    assert_eq!(pair.opened(&third), Some(b"third".to_vec()));
}

#[test]
fn a_packet_that_does_not_fit_goes_in_two_halves_in_any_order() {
    let mut pair = v4();
    let packet: Vec<u8> = (0..1500_u32).map(|at| at.to_be_bytes()[3]).collect();
    let frames = pair.seal(to_home(), &packet).unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(pair.open(&frames[1]), Ok(None));
    assert_eq!(pair.open(&frames[1]), Err(Refused::Repeated));
    assert_eq!(pair.open(&frames[0]), Ok(Some((to_home(), packet))));
}

#[test]
fn a_packet_of_1500_octets_passes_over_a_path_of_1500_octets() {
    for (address, headers) in [("192.0.2.2:1702", 28), ("[2001:db8::9]:1702", 48)] {
        // In L2TP a packet of 1,500 octets has 8 more, with sequence numbers 12, and 4 of PPP.
        for (handover, length) in [
            (Handover::ToHomeDownstream, 1500),
            (to_home(), 1516),
            (to_home_v6(), 1516),
        ] {
            let mut pair = Pair::new(1500, address);
            let packet = vec![9; length];
            let frames = pair.seal(handover, &packet).unwrap();
            assert_eq!(frames.len(), 2);
            assert!(frames.iter().all(|frame| frame.len() + headers <= 1500));
            assert_eq!(pair.open(&frames[0]), Ok(None));
            assert_eq!(pair.open(&frames[1]), Ok(Some((handover, packet))));
        }
    }
}

#[test]
fn what_fits_exactly_is_one_frame_and_what_fits_into_no_two_is_refused() {
    let pair = v4();
    let most = 1500 - 28 - OVERHEAD;
    let count = |length| {
        pair.seal(Handover::ToHomeDownstream, &vec![0; length])
            .map(|it| it.len())
    };
    assert_eq!(count(most), Ok(1));
    assert_eq!(count(most + 1), Ok(2));
    assert_eq!(count(2 * most), Ok(2));
    assert_eq!(count(2 * most + 1), Err(SealError::TooLong));
    assert_eq!(count(0), Err(SealError::Empty));
    let mapped = Pair::new(1500, "[::ffff:192.0.2.2]:1702");
    let frames = mapped.seal(Handover::ToHomeDownstream, &vec![0; most]);
    assert_eq!(frames.map(|it| it.len()), Ok(1), "it goes over IPv4");
}

#[test]
fn buffers_without_room_and_ends_of_two_families_are_refused() {
    let pair = v4();
    let routes = pair.data[0].routes();
    let route = routes.get(PEER).unwrap();
    let mut short = [0; HEADROOM + TAILROOM - 1];
    let refused = route.seal(Handover::ToHomeDownstream, &mut short, &mut []);
    assert_eq!(refused, Err(SealError::Empty));
    let mut long = vec![0; 2000];
    let mut spare = [0; 100];
    let refused = route.seal(Handover::ToHomeDownstream, &mut long, &mut spare);
    assert_eq!(refused, Err(SealError::NoRoom));
    let mixed = Handover::ToHome {
        local: "192.0.2.1:1701".parse().unwrap(),
        remote: "[2001:db8::2]:1701".parse().unwrap(),
    };
    assert_eq!(pair.seal(mixed, b"x"), Err(SealError::Families));
}

#[test]
fn a_half_that_is_longer_than_our_path_is_refused_and_not_taken() {
    let mut pair = Pair::new(9000, "192.0.2.2:1702");
    let frames = pair
        .seal(Handover::ToHomeDownstream, &vec![1; 10_000])
        .unwrap();
    let mut ours = Halves::new(PathMtu::default());
    core::mem::swap(&mut pair.halves, &mut ours);
    assert_eq!(pair.open(&frames[0]), Err(Refused::TooLong));
    core::mem::swap(&mut pair.halves, &mut ours);
    assert_eq!(pair.open(&frames[0]), Ok(None));
    assert_eq!(pair.opened(&frames[1]), Some(vec![1; 10_000]));
}

#[test]
fn a_key_seals_so_many_frames_and_no_more_and_is_worn_at_the_half() {
    let mut pair = v4();
    let skip = |to| pair.data[0].routes().get(PEER).unwrap().skip_to(to);
    skip(REKEY - 1);
    let frames = [pair.frame(b"a"), pair.frame(b"b")];
    skip(SEALED - 1);
    let last = pair.frame(b"last");
    assert_eq!(
        pair.seal(Handover::ToHomeDownstream, b"x"),
        Err(SealError::Worn)
    );
    let two = pair.seal(to_home(), &[0; 1500]);
    assert_eq!(two, Err(SealError::Worn));
    assert!(pair.opened(&frames[0]).is_some());
    assert!(!pair.data[1].is_worn(PEER));
    assert!(pair.opened(&frames[1]).is_some());
    assert!(pair.data[1].is_worn(PEER));
    assert!(pair.opened(&last).is_some());
    pair.rekey(2);
    assert!(!pair.data[1].is_worn(PEER));
    let next = pair.frame(b"goes on");
    assert_eq!(pair.opened(&next), Some(b"goes on".to_vec()));
}

#[test]
fn keys_of_a_peer_that_is_gone_linger_and_then_are_forgotten() {
    let mut pair = v4();
    let now = Instant::now();
    let linger = Duration::from_secs(600);
    for data in &pair.data {
        data.lose(PEER, now);
        data.expire(now + linger.mul_f64(0.99), linger);
    }
    let frame = pair.frame(b"lingers");
    assert!(pair.opened(&frame).is_some());
    let frame = pair.frame(b"too late");
    for data in &pair.data {
        data.expire(now + linger, linger);
    }
    assert!(pair.data[0].routes().get(PEER).is_none());
    assert_eq!(pair.open(&frame), Err(Refused::UnknownKey));
    // Whoever comes back has keys and is not forgotten for having been gone.
    pair.rekey(2);
    pair.data[1].expire(now + 10 * linger, linger);
    let frame = pair.frame(b"is back");
    assert!(pair.opened(&frame).is_some());
    pair.data[0].forget(PEER);
    assert!(pair.data[0].routes().get(PEER).is_none());
}

#[test]
fn peers_have_keys_of_their_own_and_no_id_comes_twice() {
    let pair = v4();
    let mut ids = BTreeSet::new();
    for number in 0..u8::MAX {
        let Some(peer) = PeerNumber::new(number) else {
            break;
        };
        for generation in 0..4 {
            let keyring = Keyring {
                peer,
                ..pair.keyrings[1].clone()
            };
            let key = pair.data[1].expect(&keyring, generation);
            assert!(ids.insert(key.unwrap().id));
        }
    }
    assert_eq!(ids.len(), 4 * crate::limits::NUMBERS);
}

#[test]
fn no_key_is_printed() {
    let pair = v4();
    let text = format!(
        "{:?} {:?} {:?}",
        pair.keyrings,
        pair.data,
        pair.data[0].routes()
    );
    assert!(text.contains("Secret(..)") && text.contains("Key(..)"));
    assert!(!text.contains("iv") && !text.contains("7, 7"), "{text}");
}

#[test]
fn threads_that_seal_for_one_peer_never_use_a_counter_twice() {
    let pair = v4();
    let frames: Vec<_> = std::thread::scope(|scope| {
        let seal = || (0..500).map(|_| pair.frame(b"x")).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(seal)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let counters: BTreeSet<_> = frames.iter().map(|frame| frame[6..14].to_vec()).collect();
    assert_eq!(counters.len(), 2000);
}
