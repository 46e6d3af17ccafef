//! A76 to A78 and D1 to D8: what was wrong with earlier programs of this kind.

use lns_l2sess::key::HashSeed;
use lns_l2sess::table::TableConfig;
use lns_l2sess::{Direction, Event, Family, FlowKey, PortId, Refusal, Verdict};

use crate::support::bed::*;
use crate::support::*;

#[test]
fn d1_a76_an_end_takes_both_entries() {
    for case in Case::all() {
        let (there, back) = (case.udp(case.opener), case.udp(case.back()));
        let ends: [fn(&Bed, FlowKey); 4] = [
            |bed, key| {
                let hit = bed.classifier.table().find(&key).unwrap();
                assert!(bed.classifier.table().wipe(&hit));
            },
            |bed, _| assert_eq!(bed.classifier.clear(PORT), 1),
            |bed, _| assert_eq!(bed.classifier.close(PORT), 1),
            |bed, _| {
                bed.wait(10_000);
                bed.sweep();
            },
        ];
        for end in ends {
            let bed = case.bed();
            assert!(bed.passes(case.opener, &there));
            assert!(bed.has(case.opener, &there) && bed.has(case.back(), &back));
            end(&bed, Bed::key(PORT, case.back(), &back));
            assert!(!bed.has(case.opener, &there) && !bed.has(case.back(), &back));
            // The record is used again, and no entry of the old flow leads to the new one.
            bed.classifier.open(PORT);
            let other = case.packet(case.opener, 17, &udp(2000, 99, 0));
            assert!(bed.passes(case.opener, &other));
            assert!(!bed.has(case.opener, &there) && !bed.has(case.back(), &back));
            assert!(!bed.passes(case.back(), &back));
        }
    }
}

#[test]
fn d2_a77_a_packet_that_comes_too_late_is_dropped_indeed() {
    for case in Case::all() {
        for direction in [case.opener, case.back()] {
            let bed = case.bed();
            assert!(bed.passes(case.opener, &case.udp(case.opener)));
            bed.wait(311);
            let late = Verdict::Drop(Refusal::FlowExpired);
            assert_eq!(bed.send(direction, &case.udp(direction)), late);
            assert_eq!((bed.events(Event::Expired), bed.flows()), (1, 0));
            // The next one is judged anew: the opener's opens another flow, the other's is refused.
            let opens = direction == case.opener;
            assert_eq!(bed.passes(direction, &case.udp(direction)), opens);
            assert_eq!(bed.flows(), u32::from(opens));
        }
    }
}

#[test]
fn d3_a78_a_packet_that_opens_no_flow_takes_no_record() {
    for case in Case::all() {
        let bed = case.bed();
        for (protocol, upper) in [
            (17, &[0; 7][..]),
            (6, &[0; 13][..]),
            (case.icmp_number(), &[8, 0, 0, 0][..]),
        ] {
            assert!(bed.passes(case.opener, &case.packet(case.opener, protocol, upper)));
        }
        let counts = bed.classifier.table().counts();
        assert_eq!((counts.flows(), counts.in_use), (0, 0));
        assert_eq!(bed.events(Event::Untracked), 3);
    }
}

#[test]
fn d4_ports_and_flags_are_read_where_the_headers_say_they_are() {
    for opener in Direction::ALL {
        let bed = Case {
            family: Family::IPv4,
            opener,
        }
        .bed();
        let (from, to) = if opener == UP {
            (INSIDE, OUTSIDE)
        } else {
            (OUTSIDE, INSIDE)
        };
        let options = [1; 12];
        for (direction, from, to, ports, flags) in [
            (opener, from, to, (1000, 80), SYN),
            (opener.other(), to, from, (80, 1000), SYN | ACK),
            (opener, from, to, (1000, 80), ACK),
        ] {
            let segment = tcp(ports.0, ports.1, flags);
            assert!(bed.passes(direction, &ipv4(from, to, 6, 0, &options, &segment)));
        }
        let segment = Case {
            family: Family::IPv4,
            opener,
        }
        .tcp(opener, 0);
        assert_eq!(
            bed.class(opener, &segment),
            Some(lns_l2sess::Class::Established)
        );
    }
}

#[test]
fn d5_two_first_packets_of_a_flow_open_one() {
    for case in Case::all() {
        let bed = case.bed();
        let (there, back) = (case.udp(case.opener), case.udp(case.back()));
        for _ in 0..2 {
            assert!(bed.passes(case.opener, &there));
        }
        let counts = bed.classifier.table().counts();
        assert_eq!((counts.flows(), counts.in_use), (1, 1));
        assert_eq!(bed.events(Event::Opened), 1);
        assert!(bed.has(case.back(), &back));
    }
}

#[test]
fn d6_a_table_without_memory_is_an_error_and_a_full_one_a_refusal() {
    let config = TableConfig {
        entries: u32::MAX,
        ports: 1,
        seed: HashSeed(1, 2),
    };
    // As many entries as there can be are promised, not written to; more are not asked for.
    let octets = lns_l2sess::table::FlowTable::octets(&config);
    assert!(
        octets <= u64::from(lns_l2sess::limits::ENTRIES) * 128 + (1 << 20),
        "{octets}"
    );
    let case = Case {
        family: Family::IPv4,
        opener: UP,
    };
    let bed = Bed::with_room(1, vec![reflect(UP)]);
    assert!(bed.passes(UP, &case.udp(UP)));
    let other = case.packet(UP, 17, &udp(2000, 53, 0));
    assert_eq!(bed.send(UP, &other), Verdict::Drop(Refusal::FlowTableFull));
}

#[test]
fn d7_a_flow_with_both_its_entries_takes_128_octets_at_most() {
    let octets = |entries| {
        let config = TableConfig {
            entries,
            ports: 64,
            seed: HashSeed(1, 2),
        };
        lns_l2sess::table::FlowTable::octets(&config)
    };
    let (few, many) = (octets(1 << 16), octets(1 << 17));
    assert!(
        (many - few) / (1 << 16) <= 128,
        "{}",
        (many - few) / (1 << 16)
    );
}

#[test]
fn d8_l01_ports_of_any_number_are_told_apart() {
    let config = TableConfig {
        entries: 100,
        ports: 200_000,
        seed: HashSeed(1, 2),
    };
    let classifier = lns_l2sess::Classifier::new(&config, 1).unwrap();
    let case = Case {
        family: Family::IPv4,
        opener: UP,
    };
    let bed = case.bed();
    let send = |port, direction| {
        let packet = case.udp(direction);
        classifier.classify(bed.policies(), &bed.visit(port, direction, &packet))
    };
    let (near, far) = (PortId(7), PortId(7 + (1 << 16)));
    for port in [near, far] {
        classifier.open(port);
    }
    assert_eq!(send(far, UP), Verdict::Forward);
    assert_eq!(send(near, DOWN), Verdict::Drop(Refusal::Policy));
    assert_eq!(send(far, DOWN), Verdict::Forward);
    assert_eq!(send(near, UP), Verdict::Forward);
    assert_eq!(classifier.table().counts().flows(), 2);
}
