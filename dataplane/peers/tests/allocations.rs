//! Packets that are handed over cost no memory: nothing is allocated per frame, neither by who seals nor
//! by who opens, nor for what is refused.
#![allow(
    unused_crate_dependencies,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test that overflows or finds nothing fails"
)]

use std::alloc::System;

use lns_cluster::Epoch;
use lns_peers::data::{
    Data, Direction, HEADER, HEADROOM, Halves, Handover, Keyring, PathMtu, Refused, SECRET, Secret,
    TAILROOM,
};
use lns_peers::{Epochs, PeerNumber};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn nothing_is_allocated_per_frame() {
    let peer = PeerNumber::new(1).unwrap();
    let keyring = |outbound| Keyring {
        peer,
        secret: Secret::new(&[7; SECRET]),
        outbound,
        connection: 1,
    };
    let epochs = Epochs::new(Epoch::new(1).unwrap());
    let sender = Data::new(Epochs::new(epochs.known()), PathMtu::default(), 0);
    let receiver = Data::new(epochs.clone(), PathMtu::default(), 0);
    sender.set_address(peer, Some("192.0.2.7:1702".parse().unwrap()));
    let key = receiver.expect(&keyring(Direction::ToOpener), 1).unwrap();
    assert!(sender.seal_with(&keyring(Direction::FromOpener), key));
    let mut halves = Halves::new(PathMtu::default());
    let mut buffer = vec![0; HEADROOM + 1500 + TAILROOM];
    let mut spare = vec![0; 1500];
    let (mut whole, mut refused) = (0, 0);
    let region = Region::new(ALLOCATOR);
    for round in 0..3000 {
        if round == 2000 {
            epochs.raise(Epoch::new(2).unwrap());
        }
        // One frame, or two.
        let length = if round % 2 == 0 { 64 } else { 1500 };
        let routes = sender.routes();
        let route = routes.get(peer).unwrap();
        let packet = &mut buffer[..HEADROOM + length + TAILROOM];
        let sealed = route
            .seal(Handover::ToHomeDownstream, packet, &mut spare)
            .unwrap();
        let lengths = [sealed.first.len(), sealed.second.map_or(0, <[u8]>::len)];
        let start = HEADROOM - HEADER;
        let frames = [
            &mut buffer[start..start + lengths[0]],
            &mut spare[..lengths[1]],
        ];
        let openers = receiver.openers();
        for frame in frames.into_iter().filter(|frame| !frame.is_empty()) {
            match openers.open(frame, &mut halves) {
                Ok(opened) => whole += u32::from(opened.is_some()),
                Err(why) => refused += u32::from(why == Refused::OldEpoch),
            }
        }
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert_eq!((whole, refused), (2000, 1500));
}
