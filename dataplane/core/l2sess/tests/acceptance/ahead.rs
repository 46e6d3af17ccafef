//! Packets that are met before they are classified.

use lns_l2sess::policy::Action;
use lns_l2sess::{Coming, Event, PortId, Verdict};

use crate::support::bed::*;
use crate::support::*;

const ROOM: u32 = 40_000;

fn coming(case: Case, packet: &[u8]) -> Coming<'_> {
    Coming {
        port: PORT,
        direction: case.opener,
        packet,
    }
}

/// A datagram of one of so many conversations.
fn datagram(case: Case, number: u32) -> Vec<u8> {
    let [_, _, high, low] = number.to_be_bytes();
    let port = u16::from_be_bytes([high, low]);
    case.packet(case.opener, 17, &udp(port, 53, 0))
}

/// With more flows than the caches keep.
fn crowded(case: Case) -> Bed {
    let bed = Bed::with_room(ROOM, vec![reflect(case.opener)]);
    bed.set(|options| options.per_port = ROOM);
    let mut number = 0;
    while !bed.classifier.table().is_large() {
        assert!(bed.passes(case.opener, &datagram(case, number)));
        number += 1;
    }
    bed
}

#[test]
fn among_many_flows_those_of_the_packets_that_have_come_are_met() {
    for case in Case::all() {
        let bed = crowded(case);
        let opened = bed.events(Event::Opened);
        let known: Vec<_> = (0..100).map(|number| datagram(case, number)).collect();
        let unknown: Vec<_> = (0..100)
            .map(|number| datagram(case, 50_000 + number))
            .collect();
        let unreadable = [Vec::new(), vec![0x45; 19], vec![0x60; 3]];
        let meet = |packets: &[Vec<u8>]| {
            let coming = packets.iter().map(|packet| coming(case, packet));
            bed.classifier.meet(coming)
        };
        let found = meet(&known);
        assert!(found > 80, "{case:?}: {found}");
        assert_eq!((meet(&unknown), meet(&unreadable)), (0, 0), "{case:?}");
        // Only classifying opens flows.
        assert_eq!(bed.events(Event::Opened), opened);
        assert!(bed.passes(case.opener, &unknown[0]));
        assert_eq!(bed.events(Event::Opened), opened + 1);
        let elsewhere = known.iter().map(|packet| Coming {
            port: PortId(2),
            ..coming(case, packet)
        });
        assert_eq!(bed.classifier.meet(elsewhere), 0);
        let answers: Vec<_> = (0..100)
            .map(|port| case.packet(case.back(), 17, &udp(53, port, 0)))
            .collect();
        let back = answers.iter().map(|packet| Coming {
            direction: case.back(),
            ..coming(case, packet)
        });
        assert_eq!(bed.classifier.meet(back), found);
    }
}

#[test]
fn among_few_flows_packets_are_not_even_looked_at() {
    let bed = Bed::new(vec![one_way(UP, Vec::new(), Action::Track)]);
    let packets = core::iter::from_fn(|| -> Option<Coming<'static>> { panic!("looked at") });
    assert_eq!(bed.classifier.meet(packets), 0);
    let packet = Case::all().next().unwrap().udp(UP);
    assert_eq!(bed.send(UP, &packet), Verdict::Forward);
}
