//! A09 to A29: rules without flows. What the compiled form does is held against the plain one elsewhere.

use core::ops::RangeInclusive;

use lns_l2sess::policy::{Action, FlagsMatch, LaterFragments, Matches, Rule};
use lns_l2sess::{Direction, Event, Family};

use crate::support::bed::*;
use crate::support::*;

/// Traffic of three protocols.
fn mixed(case: Case) -> [(u8, Vec<u8>); 3] {
    let number = case.icmp_number();
    [
        (6, case.packet(case.opener, 6, &tcp(1000, 80, SYN))),
        (17, case.packet(case.opener, 17, &udp(1000, 53, 4))),
        (number, case.packet(case.opener, number, &icmp(3, 0, 0, 8))),
    ]
}

fn of_protocol(protocol: u8) -> Matches {
    Matches {
        protocol: Some(protocol),
        ..Matches::default()
    }
}

fn to_ports(protocol: u8, ports: RangeInclusive<u16>) -> Matches {
    Matches {
        destination_ports: vec![ports],
        ..of_protocol(protocol)
    }
}

/// The protocols of the packets that pass.
fn passing(case: Case, rules: Vec<Rule>, default: Action) -> Vec<u8> {
    let bed = Bed::new(vec![one_way(case.opener, rules, default)]);
    let packets = mixed(case).into_iter();
    let passing = packets.filter(|(_, packet)| bed.passes(case.opener, packet));
    let passing = passing.map(|(protocol, _)| protocol).collect();
    assert_eq!((bed.flows(), bed.events(Event::Opened)), (0, 0));
    passing
}

#[test]
fn a09_a10_pass_any_passes_all_and_drop_any_passes_none() {
    for case in Case::all() {
        assert_eq!(passing(case, Vec::new(), Action::Pass).len(), 3);
        let any = rule("any", Action::Pass, Matches::default());
        assert_eq!(passing(case, vec![any], Action::Drop).len(), 3);
        assert_eq!(passing(case, Vec::new(), Action::Drop).len(), 0);
        let any = rule("any", Action::Drop, Matches::default());
        assert_eq!(passing(case, vec![any], Action::Pass).len(), 0);
    }
}

#[test]
fn a11_to_a16_a_rule_of_a_protocol_passes_or_drops_that_one_only() {
    for case in Case::all() {
        let all = mixed(case).map(|(protocol, _)| protocol);
        for protocol in all {
            let named = |action| vec![rule("named", action, of_protocol(protocol))];
            assert_eq!(passing(case, named(Action::Pass), Action::Drop), [protocol]);
            let others: Vec<_> = all.into_iter().filter(|it| *it != protocol).collect();
            assert_eq!(passing(case, named(Action::Drop), Action::Pass), others);
        }
    }
}

#[test]
fn a17_to_a20_a_rule_of_one_port_leaves_its_neighbours_alone() {
    for case in Case::all() {
        for protocol in [6, 17] {
            for action in [Action::Pass, Action::Drop] {
                let default = if action == Action::Pass {
                    Action::Drop
                } else {
                    Action::Pass
                };
                let rules = vec![rule("port", action, to_ports(protocol, 443..=443))];
                let bed = Bed::new(vec![one_way(case.opener, rules, default)]);
                for (port, is_named) in [(442, false), (443, true), (444, false)] {
                    let upper = if protocol == 6 {
                        tcp(1000, port, SYN)
                    } else {
                        udp(1000, port, 0)
                    };
                    let packet = case.packet(case.opener, protocol, &upper);
                    let passes = is_named == (action == Action::Pass);
                    assert_eq!(
                        bed.passes(case.opener, &packet),
                        passes,
                        "{protocol} {port}"
                    );
                }
            }
        }
    }
}

#[test]
fn a21_a_range_after_one_that_does_not_match_matches() {
    for case in Case::all() {
        let rules = vec![
            rule("low", Action::Drop, to_ports(6, 0..=1023)),
            rule("high", Action::Pass, to_ports(6, 8000..=8100)),
        ];
        let bed = Bed::new(vec![one_way(case.opener, rules, Action::Drop)]);
        for (port, passes) in [
            (80, false),
            (7999, false),
            (8000, true),
            (8100, true),
            (8101, false),
        ] {
            let packet = case.packet(case.opener, 6, &tcp(1000, port, SYN));
            assert_eq!(bed.passes(case.opener, &packet), passes, "{port}");
        }
    }
}

#[test]
fn a23_the_first_match_of_two_policies_in_a_row_decides() {
    for case in Case::all() {
        let named = |name: &str, action| {
            let mut policy = one_way(
                case.opener,
                vec![rule("web", action, to_ports(6, 80..=80))],
                Action::Drop,
            );
            policy.name = name.into();
            policy
        };
        let web = case.packet(case.opener, 6, &tcp(1000, 80, SYN));
        let (drops, passes) = (named("drops", Action::Drop), named("passes", Action::Pass));
        let bed = Bed::new(vec![drops.clone(), passes.clone()]);
        assert!(!bed.passes(case.opener, &web));
        let bed = Bed::new(vec![passes, drops]);
        assert!(bed.passes(case.opener, &web));
    }
}

#[test]
fn a24_a_refused_port_refuses_later_fragments_unless_they_are_ignored() {
    for direction in Direction::ALL {
        let rules = vec![rule("dns", Action::Drop, to_ports(17, 53..=53))];
        let bed = Bed::new(vec![one_way(direction, rules, Action::Pass)]);
        let datagram = udp(1000, 80, 24);
        let v4 = ipv4(INSIDE, OUTSIDE, 17, 2, &[], &datagram);
        let other_v4 = ipv4(INSIDE, OUTSIDE, 6, 2, &[], &datagram);
        let behind = [fragment_header(17, 2, false), datagram.clone()].concat();
        let v6 = ipv6(INSIDE, OUTSIDE, 44, &behind);
        let first = ipv4(INSIDE, OUTSIDE, 17, 0x2000, &[], &datagram);
        for (choice, passes) in [
            (LaterFragments::Match, false),
            (LaterFragments::Ignore, true),
        ] {
            bed.set(|options| options.later_fragments = choice);
            assert_eq!(bed.passes(direction, &v4), passes);
            assert_eq!(bed.passes(direction, &v6), passes);
            assert!(
                bed.passes(direction, &first),
                "a first fragment has its port"
            );
            assert!(
                bed.passes(direction, &other_v4),
                "another protocol is not meant"
            );
        }
    }
}

#[test]
fn a25_a_datagram_without_data_passes_by_the_rule_of_its_port() {
    for case in Case::all() {
        let rules = vec![rule("dns", Action::Pass, to_ports(17, 53..=53))];
        let bed = Bed::new(vec![one_way(case.opener, rules, Action::Drop)]);
        let packet = case.packet(case.opener, 17, &udp(1000, 53, 0));
        assert!(bed.passes(case.opener, &packet));
        let short = case.packet(case.opener, 17, &udp(1000, 53, 0)[..7]);
        assert!(!bed.passes(case.opener, &short), "its port cannot be read");
    }
}

#[test]
fn a27_rules_of_tcp_flags_look_at_those_of_their_mask() {
    for case in Case::all() {
        let syn_only = Matches {
            tcp_flags: Some(FlagsMatch {
                value: SYN,
                mask: SYN | ACK,
            }),
            ..of_protocol(6)
        };
        let rules = vec![rule("syn-only", Action::Drop, syn_only)];
        let bed = Bed::new(vec![one_way(case.opener, rules, Action::Pass)]);
        for (flags, passes) in [
            (SYN, false),
            (SYN | PSH, false),
            (SYN | FIN, false),
            (SYN | ACK, true),
            (ACK, true),
            (0, true),
        ] {
            assert_eq!(
                bed.passes(case.opener, &case.tcp(case.opener, flags)),
                passes,
                "{flags}"
            );
        }
        let cut = case.packet(case.opener, 6, &tcp(1000, 80, SYN)[..13]);
        assert!(bed.passes(case.opener, &cut), "its flags cannot be read");
    }
}

#[test]
fn a29_each_rule_counts_the_packets_that_it_decided() {
    for case in Case::all() {
        let rules = vec![
            rule("web", Action::Pass, to_ports(6, 80..=80)),
            rule("dns", Action::Drop, to_ports(17, 53..=53)),
            rule("none", Action::Pass, to_ports(17, 54..=54)),
        ];
        let bed = Bed::new(vec![one_way(case.opener, rules, Action::Drop)]);
        for (packets, protocol, upper) in [
            (5, 6, tcp(1000, 80, ACK)),
            (3, 17, udp(1000, 53, 0)),
            (2, 17, udp(1000, 99, 0)),
        ] {
            let packet = case.packet(case.opener, protocol, &upper);
            for _ in 0..packets {
                bed.send(case.opener, &packet);
            }
        }
        let (id, _) = bed.policies().policies().next().unwrap();
        let hits = bed.policies().hits(id).unwrap();
        let hits = match case.opener {
            Direction::Input => hits.input,
            Direction::Output => hits.output,
        };
        let hits = hits.unwrap();
        assert_eq!((hits.rules, hits.default), (vec![5, 3, 0], 2));
    }
}

#[test]
fn a75_a_drop_in_either_direction_blocks_exactly_there() {
    for family in Family::ALL {
        for blocked in Direction::ALL {
            let case = Case { family, opener: UP };
            let bed = Bed::new(vec![one_way(blocked, Vec::new(), Action::Drop)]);
            for direction in Direction::ALL {
                let passes = bed.passes(direction, &case.udp(direction));
                assert_eq!(passes, direction != blocked);
            }
        }
    }
}
