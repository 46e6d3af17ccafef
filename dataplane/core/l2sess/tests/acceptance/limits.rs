//! A59 to A64: no room.

use lns_l2sess::graph::WhenFull;
use lns_l2sess::policy::{Action, Matches};
use lns_l2sess::{Class, Event, PortId, Refusal, Verdict};

use crate::support::bed::*;
use crate::support::*;

const ROOM: u16 = 64;

/// Tracks TCP and UDP of the opener's, passes what is for port 9, and drops what comes back.
fn bed(case: Case) -> Bed {
    let mut policy = reflect(case.opener);
    let stateless = Matches {
        protocol: Some(17),
        destination_ports: vec![9..=9],
        ..Matches::default()
    };
    let there = match case.opener {
        lns_l2sess::Direction::Input => &mut policy.input,
        lns_l2sess::Direction::Output => &mut policy.output,
    };
    there.as_mut().unwrap().rules = vec![rule("discard", Action::Pass, stateless)];
    let bed = Bed::with_room(ROOM.into(), vec![policy]);
    bed.set(|options| options.per_port = 1_000);
    bed
}

fn segment(case: Case, is_opener: bool, port: u16, flags: u8) -> Vec<u8> {
    if is_opener {
        case.packet(case.opener, 6, &tcp(port, 80, flags))
    } else {
        case.packet(case.back(), 6, &tcp(80, port, flags))
    }
}

fn open(case: Case, bed: &Bed, at: PortId, port: u16) {
    for (is_opener, flags) in [(true, SYN), (false, SYN | ACK), (true, ACK)] {
        let direction = if is_opener { case.opener } else { case.back() };
        let verdict = bed.send_at(at, direction, &segment(case, is_opener, port, flags));
        assert_eq!(verdict, Verdict::Forward);
    }
}

fn syn(case: Case, bed: &Bed, at: PortId, port: u16) -> Verdict {
    bed.send_at(at, case.opener, &segment(case, true, port, SYN))
}

fn datagram(case: Case, destination: u16) -> Vec<u8> {
    case.packet(case.opener, 17, &udp(1000, destination, 0))
}

#[test]
fn a59_where_the_table_is_full_the_oldest_transient_flow_gives_way_in_the_same_pass() {
    for case in Case::all() {
        let bed = bed(case);
        for port in 0..ROOM {
            assert_eq!(syn(case, &bed, PORT, port), Verdict::Forward);
            bed.wait(1);
        }
        assert_eq!(syn(case, &bed, PortId(2), 1000), Verdict::Forward);
        assert_eq!(
            (bed.flows(), bed.events(Event::Evicted)),
            (u32::from(ROOM), 1)
        );
        assert!(
            !bed.has(case.opener, &segment(case, true, 0, SYN)),
            "the oldest is gone"
        );
        assert!(
            bed.has(case.opener, &segment(case, true, 1, SYN)),
            "the second is there"
        );
    }
}

#[test]
fn a60_where_all_are_established_the_packet_is_dropped_and_nothing_else_is_harmed() {
    for case in Case::all() {
        let bed = bed(case);
        for port in 0..ROOM {
            open(case, &bed, PORT, port);
        }
        let full = Verdict::Drop(Refusal::FlowTableFull);
        assert_eq!(syn(case, &bed, PortId(2), 1000), full);
        assert_eq!(bed.events(Event::RefusedFull), 1);
        assert!(
            bed.passes(case.opener, &datagram(case, 9)),
            "what needs no flow passes"
        );
        for port in 0..ROOM {
            assert!(bed.passes(case.back(), &segment(case, false, port, ACK)));
        }
        assert_eq!(
            bed.classifier.table().counts().of(Class::Established),
            u32::from(ROOM)
        );

        bed.set(|options| options.when_full = WhenFull::Stateless);
        assert_eq!(syn(case, &bed, PortId(2), 1000), Verdict::Forward);
        assert_eq!(
            (bed.events(Event::Stateless), bed.flows()),
            (1, u32::from(ROOM))
        );
        let back = segment(case, false, 1000, SYN | ACK);
        assert_eq!(
            bed.send_at(PortId(2), case.back(), &back),
            Verdict::Drop(Refusal::Policy)
        );
    }
}

#[test]
fn a60_a_table_full_of_udp_stays_full_until_it_is_idle() {
    for case in Case::all() {
        let bed = bed(case);
        for port in 0..ROOM {
            assert!(bed.passes(
                case.opener,
                &case.packet(case.opener, 17, &udp(port, 53, 0))
            ));
        }
        assert_eq!(
            bed.send(case.opener, &datagram(case, 53)),
            Verdict::Drop(Refusal::FlowTableFull)
        );
        bed.wait(400);
        bed.sweep();
        assert!(bed.passes(case.opener, &datagram(case, 53)));
    }
}

#[test]
fn l08_one_port_cannot_fill_the_table() {
    for case in Case::all() {
        let bed = bed(case);
        bed.set(|options| options.per_port = 8);
        for port in 0..8 {
            open(case, &bed, PORT, port);
        }
        assert_eq!(syn(case, &bed, PORT, 8), Verdict::Drop(Refusal::FlowLimit));
        assert_eq!(bed.events(Event::RefusedLimit), 1);
        assert_eq!(syn(case, &bed, PortId(2), 8), Verdict::Forward);
        // Of its own flows one that is closing gives way.
        assert!(bed.passes(case.back(), &segment(case, false, 3, RST)));
        assert_eq!(syn(case, &bed, PORT, 8), Verdict::Forward);
        assert_eq!(bed.events(Event::Evicted), 1);
        assert!(!bed.has(case.opener, &segment(case, true, 3, 0)));
        assert_eq!(bed.flows(), 9);
    }
}

#[test]
fn a63_filled_and_emptied_a_hundred_times_the_table_is_as_it_was() {
    for case in Case::all() {
        let bed = bed(case);
        for round in 0..100 {
            for port in 0..ROOM {
                assert_eq!(syn(case, &bed, PORT, port), Verdict::Forward, "{round}");
            }
            assert_eq!(bed.flows(), u32::from(ROOM));
            match round % 3 {
                0 => assert_eq!(bed.classifier.clear_all(), usize::from(ROOM)),
                1 => assert_eq!(bed.classifier.clear(PORT), usize::from(ROOM)),
                _ => {
                    bed.wait(200);
                    bed.sweep();
                }
            }
            let counts = bed.classifier.table().counts();
            assert_eq!((counts.flows(), counts.in_use), (0, 0), "{round}");
        }
        assert_eq!(bed.events(Event::Evicted), 0);
    }
}

#[test]
fn a64_a_flood_of_syns_ten_times_the_table_costs_no_established_flow_a_packet() {
    for case in Case::all() {
        let bed = bed(case);
        let established = ROOM / 2;
        for port in 0..established {
            open(case, &bed, PORT, port);
        }
        for flood in 0..ROOM * 10 {
            assert_eq!(syn(case, &bed, PortId(2), 2_000 + flood), Verdict::Forward);
            let port = flood % established;
            for (is_opener, direction) in [(true, case.opener), (false, case.back())] {
                assert!(bed.passes(direction, &segment(case, is_opener, port, ACK)));
            }
        }
        bed.sweep();
        assert_eq!(bed.flows(), u32::from(ROOM));
        let counts = bed.classifier.table().counts();
        assert_eq!(counts.of(Class::Established), u32::from(established));
    }
}
