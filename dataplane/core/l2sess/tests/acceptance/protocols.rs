//! A65 to A73: other protocols, fragments and headers on the way.

use lns_l2sess::policy::{Action, Matches};
use lns_l2sess::{Direction, Event, Family};

use crate::support::bed::*;
use crate::support::*;

#[test]
fn a65_a_flow_behind_routing_headers_and_a_first_fragment_is_tracked_both_ways() {
    for opener in Direction::ALL {
        let case = Case {
            family: Family::IPv6,
            opener,
        };
        let bed = case.bed();
        let packet = |direction, ports: (u16, u16)| {
            let datagram = udp(ports.0, ports.1, 16);
            let behind = [fragment_header(17, 0, true), datagram].concat();
            let (next, behind) = extensions(&[(43, 1), (43, 0)], 44, &behind);
            case.packet(direction, next, &behind)
        };
        assert!(!bed.passes(case.back(), &packet(case.back(), (53, 1000))));
        assert!(bed.passes(opener, &packet(opener, (1000, 53))));
        assert!(bed.passes(case.back(), &packet(case.back(), (53, 1000))));
        assert!(
            bed.passes(case.back(), &case.udp(case.back())),
            "the headers are no part of it"
        );
        assert!(!bed.passes(case.back(), &packet(case.back(), (53, 1001))));

        let matches = Matches {
            protocol: Some(17),
            destination_ports: vec![53..=53],
            ..Matches::default()
        };
        let rules = vec![rule("dns", Action::Drop, matches)];
        let bed = Bed::new(vec![one_way(opener, rules, Action::Pass)]);
        assert!(!bed.passes(opener, &packet(opener, (1000, 53))));
        assert!(bed.passes(opener, &packet(opener, (1000, 54))));
    }
}

/// Questions and their answers, by family.
fn queries(family: Family) -> &'static [(u8, u8)] {
    match family {
        Family::IPv4 => &[(8, 0), (13, 14), (15, 16), (17, 18)],
        Family::IPv6 => &[(128, 129), (139, 140)],
    }
}

fn query(case: Case, direction: Direction, kind: u8, identifier: u16) -> Vec<u8> {
    let mut message = icmp(kind, 0, identifier, 12);
    if kind == 139 || kind == 140 {
        // What tells node information queries apart is the nonce.
        message[8..10].copy_from_slice(&identifier.to_be_bytes());
        message[4..6].copy_from_slice(&[0, 2]);
    }
    case.packet(direction, case.icmp_number(), &message)
}

#[test]
fn a67_a68_the_answer_to_a_question_returns_and_no_other_does() {
    for case in Case::all() {
        for (question, answer) in queries(case.family) {
            let bed = case.bed();
            let back = |kind, identifier| query(case, case.back(), kind, identifier);
            assert!(
                !bed.passes(case.back(), &back(*answer, 77)),
                "nobody has asked"
            );
            assert!(bed.passes(case.opener, &query(case, case.opener, *question, 77)));
            assert!(bed.passes(case.back(), &back(*answer, 77)));
            assert!(
                !bed.passes(case.back(), &back(*answer, 78)),
                "another's question"
            );
            assert!(
                !bed.passes(case.back(), &back(*question, 77)),
                "a question is no answer"
            );
            for (other_question, other) in queries(case.family) {
                if other != answer {
                    assert!(!bed.passes(case.back(), &back(*other, 77)));
                    assert!(!bed.passes(case.back(), &back(*other_question, 77)));
                }
            }
            assert_eq!(bed.flows(), 1);
        }
    }
}

#[test]
fn a_message_that_nothing_answers_has_an_entry_in_its_own_direction_only() {
    for case in Case::all() {
        let bed = case.bed();
        let kind = if case.family == Family::IPv4 { 9 } else { 133 };
        let message = |direction| case.packet(direction, case.icmp_number(), &icmp(kind, 0, 0, 8));
        assert!(bed.passes(case.opener, &message(case.opener)));
        assert!(bed.passes(case.opener, &message(case.opener)));
        assert_eq!((bed.flows(), bed.events(Event::Opened)), (1, 1));
        assert!(!bed.passes(case.back(), &message(case.back())));
    }
}

#[test]
fn a70_an_error_about_a_packet_of_an_open_flow_passes() {
    for case in Case::all() {
        let bed = case.bed();
        let sent = [
            case.udp(case.opener),
            case.tcp(case.opener, SYN),
            query(case, case.opener, queries(case.family)[0].0, 77),
            case.packet(case.opener, 50, &[0x5a; 24]),
        ];
        for packet in sent {
            let error = case.error(case.back(), &packet);
            let cut = packet
                .len()
                .min(if case.family == Family::IPv4 { 28 } else { 48 });
            let short = case.error(case.back(), &packet[..cut]);
            assert!(!bed.passes(case.back(), &error));
            assert!(bed.passes(case.opener, &packet));
            assert!(bed.passes(case.back(), &error));
            assert!(bed.passes(case.back(), &short));
        }
        assert_eq!((bed.flows(), bed.events(Event::Related)), (4, 8));
    }
}

#[test]
fn a71_protocols_without_ports_are_tracked_by_addresses_and_protocol() {
    for case in Case::all() {
        for (protocol, other) in [(50, 51), (51, 47), (47, 50), (4, 41)] {
            let bed = case.bed();
            let packet = |direction, protocol| case.packet(direction, protocol, &[0x5a; 24]);
            assert!(!bed.passes(case.back(), &packet(case.back(), protocol)));
            assert!(bed.passes(case.opener, &packet(case.opener, protocol)));
            assert!(bed.passes(case.back(), &packet(case.back(), protocol)));
            assert!(!bed.passes(case.back(), &packet(case.back(), other)));
            let (from, to) = (Host(77), if case.back() == DOWN { INSIDE } else { OUTSIDE });
            let stranger = support_packet(case.family, from, to, protocol);
            assert!(!bed.passes(case.back(), &stranger));
        }
    }
}

fn support_packet(family: Family, from: Host, to: Host, protocol: u8) -> Vec<u8> {
    packet(family, from, to, protocol, &[0x5a; 24])
}

#[test]
fn a73_a_flow_behind_ipv4_options_is_the_one_without() {
    for opener in Direction::ALL {
        let case = Case {
            family: Family::IPv4,
            opener,
        };
        let (from, to) = if opener == UP {
            (INSIDE, OUTSIDE)
        } else {
            (OUTSIDE, INSIDE)
        };
        for words in 1..=10 {
            let bed = case.bed();
            let options = vec![1; words * 4];
            assert!(bed.passes(opener, &ipv4(from, to, 17, 0, &options, &udp(1000, 53, 0))));
            assert!(bed.passes(case.back(), &case.udp(case.back())));
            let back = ipv4(to, from, 17, 0, &options, &udp(53, 1000, 0));
            assert!(bed.passes(case.back(), &back));
            assert_eq!(bed.flows(), 1);
        }
    }
}

#[test]
fn later_fragments_are_tracked_by_addresses_and_protocol() {
    for case in Case::all() {
        let bed = case.bed();
        let later = |direction| match case.family {
            Family::IPv4 => {
                let mut packet = case.packet(direction, 17, &[0x5a; 24]);
                packet[7] = 3;
                packet
            }
            Family::IPv6 => {
                let behind = [fragment_header(17, 3, false), vec![0x5a; 24]].concat();
                case.packet(direction, 44, &behind)
            }
        };
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert!(!bed.passes(case.back(), &later(case.back())));
        assert!(bed.passes(case.opener, &later(case.opener)));
        assert!(bed.passes(case.back(), &later(case.back())));
        assert_eq!(bed.flows(), 2);
    }
}

/// One half of a datagram between port 1000 of the opener and `port`: the first one, or the other.
fn half(case: Case, direction: Direction, port: u16, is_first: bool) -> Vec<u8> {
    let (from, to) = Case::ends(direction);
    let ports = if direction == case.opener {
        (1000, port)
    } else {
        (port, 1000)
    };
    let octets = if is_first {
        udp(ports.0, ports.1, 16)
    } else {
        vec![0x5a; 24]
    };
    let offset = if is_first { 0 } else { 3 };
    match case.family {
        Family::IPv4 => ipv4(
            from,
            to,
            17,
            offset | u16::from(is_first) << 13,
            &[],
            &octets,
        ),
        Family::IPv6 => {
            let behind = [fragment_header(17, offset, is_first), octets].concat();
            ipv6(from, to, 44, &behind)
        }
    }
}

#[test]
fn fragments_behind_the_first_of_an_open_flow_follow_it_and_no_others_do() {
    for case in Case::all() {
        let bed = case.bed();
        let back = case.back();
        assert!(bed.passes(case.opener, &case.udp(case.opener)));
        assert!(
            !bed.passes(back, &half(case, back, 53, false)),
            "nothing is before it"
        );
        assert!(!bed.passes(back, &half(case, back, 54, true)), "of no flow");
        assert!(
            !bed.passes(back, &half(case, back, 53, false)),
            "of one that was dropped"
        );
        assert!(bed.passes(back, &half(case, back, 53, true)));
        assert!(bed.passes(back, &half(case, back, 53, false)));
        assert!(
            !bed.passes(back, &half(case, back, 54, true)),
            "ports decide as before"
        );
    }
}

#[test]
fn what_opens_a_flow_with_a_first_fragment_lets_the_others_of_it_follow_whatever_rules_of_ports_say()
 {
    for case in Case::all() {
        let matches = Matches {
            protocol: Some(17),
            destination_ports: vec![137..=137],
            ..Matches::default()
        };
        let rules = vec![rule("netbios", Action::Drop, matches)];
        let bed = Bed::new(vec![one_way(case.opener, rules, Action::Track)]);
        assert!(!bed.passes(case.opener, &half(case, case.opener, 53, false)));
        assert!(bed.passes(case.opener, &half(case, case.opener, 53, true)));
        assert!(bed.passes(case.opener, &half(case, case.opener, 53, false)));
        assert_eq!(bed.classifier.table().counts().flows(), 2);
    }
}
