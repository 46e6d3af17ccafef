//! What rules match, in both families, by the compiled form as a chain uses it.

use core::ops::RangeInclusive;

use super::*;
use crate::policy::{FlagsMatch, OctetsMatch};

#[test]
fn a_prefix_holds_the_addresses_of_its_family_that_begin_with_it() {
    let (four, _) = ends(Family::IPv4);
    let (six, _) = ends(Family::IPv6);
    assert!(prefix("100.64.0.0/10").contains(Family::IPv4, four));
    assert!(prefix("100.64.0.2/32").contains(Family::IPv4, four));
    assert!(!prefix("100.64.0.3/32").contains(Family::IPv4, four));
    assert!(prefix("0.0.0.0/0").contains(Family::IPv4, four));
    assert!(!prefix("::/0").contains(Family::IPv4, four));
    assert!(!prefix("0.0.0.0/0").contains(Family::IPv6, six));
    assert!(prefix("::/0").contains(Family::IPv6, six));
    assert!(prefix("2001:db8:0:1::2/128").contains(Family::IPv6, six));
    assert!(!prefix("2001:db9::/32").contains(Family::IPv6, six));
}

const fn any() -> Matches {
    Matches {
        family: None,
        source: None,
        destination: None,
        protocol: None,
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
        icmp_types: Vec::new(),
        icmp_codes: Vec::new(),
        tcp_flags: None,
        dscp: Vec::new(),
        length: Vec::new(),
        octets: Vec::new(),
    }
}

fn of(protocol: u8) -> Matches {
    Matches {
        protocol: Some(protocol),
        ..any()
    }
}

fn to(protocol: u8, ports: RangeInclusive<u16>) -> Matches {
    Matches {
        destination_ports: vec![ports],
        ..of(protocol)
    }
}

/// Eighteen rules that have all there is to say, as an operator mixes them.
pub(super) fn mixed() -> Vec<Rule> {
    let flags = FlagsMatch {
        value: 0x02,
        mask: 0x12,
    };
    let octets = OctetsMatch {
        at: 8,
        mask: [0xff].into(),
        value: [1].into(),
    };
    let all = [
        any(),
        of(TCP),
        of(UDP),
        of(1),
        of(58),
        of(50),
        to(TCP, 80..=80),
        to(UDP, 53..=53),
        to(TCP, 8_000..=8_100),
        to(132, 0..=65_535),
        Matches {
            icmp_types: vec![8..=8, 13..=14],
            icmp_codes: vec![0..=0],
            ..of(1)
        },
        Matches {
            source: Some(prefix("100.64.0.0/10")),
            ..any()
        },
        Matches {
            destination: Some(prefix("2001:db8::/32")),
            ..to(UDP, 5_000..=6_000)
        },
        Matches {
            source_ports: vec![1_024..=65_535],
            family: Some(Family::IPv6),
            ..of(TCP)
        },
        Matches {
            tcp_flags: Some(flags),
            ..of(TCP)
        },
        Matches {
            dscp: vec![0, 46],
            ..any()
        },
        Matches {
            length: vec![0..=64, 1_500..=9_000],
            ..any()
        },
        Matches {
            octets: vec![octets],
            ..any()
        },
    ];
    let numbered = all.into_iter().enumerate();
    let rules = numbered.map(|(number, said)| rule(&format!("r{number}"), Action::Track, said));
    rules.collect()
}

/// A chain of one policy that passes what `said` matches and drops the rest, or the other way round.
fn passes(said: &Matches, packet: &Packet<'_>) -> bool {
    let only = |action, default| {
        let rules = vec![rule("rule", action, said.clone())];
        policy("p", Some(table(default, rules)), None)
    };
    let permitted = judged(&[only(Action::Pass, Action::Drop)], packet) == Action::Pass;
    let denied = judged(&[only(Action::Drop, Action::Pass)], packet) == Action::Drop;
    assert_eq!(permitted, denied, "a rule matches whatever its action is");
    permitted
}

fn icmp(family: Family, kind: u8, code: u8) -> Packet<'static> {
    let upper = Upper::Icmp {
        kind,
        code,
        identifier: 7,
    };
    let protocol = match family {
        Family::IPv4 => 1,
        Family::IPv6 => 58,
    };
    packet(family, protocol, upper)
}

fn esp(family: Family) -> Packet<'static> {
    packet(family, 50, Upper::None)
}

fn later(family: Family, protocol: u8) -> Packet<'static> {
    packet(family, protocol, Upper::LaterFragment)
}

#[test]
fn a08_an_empty_policy_drops_all_and_no_policy_passes_all() {
    for family in Family::ALL {
        let empty = policy("p", Some(table(Action::Drop, Vec::new())), None);
        assert_eq!(judged(&[empty], &tcp(family, 80, 2)), Action::Drop);
        let other_way = policy("p", None, Some(table(Action::Drop, Vec::new())));
        assert_eq!(judged(&[other_way], &tcp(family, 80, 2)), Action::Pass);
    }
}

#[test]
fn a09_a10_a_rule_that_says_nothing_matches_every_packet() {
    for family in Family::ALL {
        let unreadable = packet(family, TCP, Upper::Unreadable);
        for packet in [
            tcp(family, 80, 2),
            udp(family, 53),
            icmp(family, 8, 0),
            esp(family),
            later(family, UDP),
            unreadable,
        ] {
            assert!(passes(&any(), &packet), "{packet:?}");
        }
    }
}

#[test]
fn a11_a12_icmp_is_matched_alone_and_by_type_and_code() {
    let (four, six) = (icmp(Family::IPv4, 8, 0), icmp(Family::IPv6, 128, 0));
    assert!(passes(&of(1), &four) && !passes(&of(58), &four));
    assert!(passes(&of(58), &six) && !passes(&of(1), &six));
    for family in Family::ALL {
        for packet in [tcp(family, 80, 2), udp(family, 53), esp(family)] {
            assert!(!passes(&of(1), &packet) && !passes(&of(58), &packet));
        }
    }
    let typed = |protocol, types, codes| Matches {
        icmp_types: types,
        icmp_codes: codes,
        ..of(protocol)
    };
    let unreachable = typed(1, vec![3..=3], vec![1..=4]);
    for (code, matches) in [(0, false), (1, true), (4, true), (5, false)] {
        assert_eq!(passes(&unreachable, &icmp(Family::IPv4, 3, code)), matches);
        assert!(!passes(&unreachable, &icmp(Family::IPv4, 4, code)));
    }
    let echo = typed(58, vec![128..=129], vec![]);
    for (kind, matches) in [(127, false), (128, true), (129, true), (130, false)] {
        assert_eq!(passes(&echo, &icmp(Family::IPv6, kind, 9)), matches);
    }
    let (high, all) = (
        typed(1, vec![], vec![200..=255]),
        typed(1, vec![0..=255], vec![]),
    );
    assert!(passes(&high, &icmp(Family::IPv4, 0, 255)));
    assert!(!passes(&high, &icmp(Family::IPv4, 255, 0)));
    assert!(passes(&all, &icmp(Family::IPv4, 255, 255)));
}

#[test]
fn a13_to_a16_tcp_and_udp_are_matched_whatever_their_ports() {
    for family in Family::ALL {
        for port in [0, 1, 80, 65_535] {
            assert!(passes(&of(TCP), &tcp(family, port, 2)));
            assert!(passes(&of(UDP), &udp(family, port)));
            assert!(passes(&to(TCP, 0..=65_535), &tcp(family, port, 2)));
            assert!(!passes(&of(UDP), &tcp(family, port, 2)));
            assert!(!passes(&of(TCP), &udp(family, port)));
            assert!(!passes(&to(TCP, 0..=65_535), &udp(family, port)));
        }
    }
}

#[test]
fn a17_to_a20_a_port_is_matched_and_its_neighbours_are_not() {
    for family in Family::ALL {
        for port in [1, 53, 255, 256, 4_096, 65_534] {
            for (other, matches) in [(port - 1, false), (port, true), (port + 1, false)] {
                assert_eq!(
                    passes(&to(TCP, port..=port), &tcp(family, other, 2)),
                    matches
                );
                assert_eq!(passes(&to(UDP, port..=port), &udp(family, other)), matches);
                assert!(!passes(&to(UDP, port..=port), &tcp(family, other, 2)));
            }
        }
        let from = |port| Matches {
            source_ports: vec![port..=port],
            ..of(UDP)
        };
        assert!(passes(&from(40_000), &udp(family, 53)));
        assert!(
            !passes(&from(53), &udp(family, 53)),
            "that is where it goes to"
        );
    }
}

#[test]
fn a21_a_range_is_matched_behind_one_that_does_not_match() {
    for family in Family::ALL {
        let rules = vec![
            rule("low", Action::Drop, to(UDP, 100..=199)),
            rule("high", Action::Pass, to(UDP, 200..=299)),
        ];
        let both = policy("p", Some(table(Action::Drop, rules)), None);
        for (port, action) in [
            (99, Action::Drop),
            (150, Action::Drop),
            (199, Action::Drop),
            (200, Action::Pass),
            (299, Action::Pass),
            (300, Action::Drop),
        ] {
            let packet = udp(family, port);
            assert_eq!(
                judged(core::slice::from_ref(&both), &packet),
                action,
                "{port}"
            );
        }
    }
}

#[test]
fn a24_a_refused_port_is_refused_with_all_its_fragments_unless_they_are_to_be_ignored() {
    for family in Family::ALL {
        let rules = vec![
            rule("no-dns", Action::Drop, to(UDP, 53..=53)),
            rule("rest", Action::Pass, any()),
        ];
        let mut book = PolicyBook::new(1);
        book.replace(vec![policy("p", Some(table(Action::Drop, rules)), None)])
            .unwrap();
        let chain = book.chain(&names(["p"])).unwrap();
        let chain = book.current().chain(chain).unwrap();
        let judge =
            |packet: &Packet<'_>, later| chain.judge(packet, Direction::Input, 0, later).action;
        let (matching, ignoring) = (LaterFragments::Match, LaterFragments::Ignore);
        assert_eq!(judge(&later(family, UDP), matching), Action::Drop);
        assert_eq!(judge(&later(family, UDP), ignoring), Action::Pass);
        assert_eq!(judge(&later(family, TCP), matching), Action::Pass);
        for option in [matching, ignoring] {
            assert_eq!(judge(&udp(family, 53), option), Action::Drop);
            assert_eq!(judge(&udp(family, 54), option), Action::Pass);
        }
    }
}

#[test]
fn a_later_fragment_is_held_against_all_that_its_own_header_says() {
    let fragment = later(Family::IPv4, TCP);
    let said = Matches {
        tcp_flags: Some(FlagsMatch { value: 2, mask: 2 }),
        ..to(TCP, 80..=80)
    };
    assert!(passes(&said, &fragment));
    let source = Matches {
        source: Some(prefix("100.64.0.3/32")),
        ..said.clone()
    };
    assert!(!passes(&source, &fragment));
    let dscp = Matches {
        dscp: vec![46],
        ..said.clone()
    };
    assert!(!passes(&dscp, &fragment));
    let length = Matches {
        length: vec![61..=1_500],
        ..said
    };
    assert!(!passes(&length, &fragment));
    let icmp = Matches {
        icmp_types: vec![8..=8],
        ..of(1)
    };
    assert!(passes(&icmp, &later(Family::IPv4, 1)));
}

#[test]
fn what_a_packet_ends_before_is_matched_by_no_rule_that_asks_for_it() {
    for family in Family::ALL {
        let unreadable = packet(family, TCP, Upper::Unreadable);
        assert!(passes(&of(TCP), &unreadable));
        assert!(!passes(&to(TCP, 0..=65_535), &unreadable));
        let flags = Matches {
            tcp_flags: Some(FlagsMatch { value: 0, mask: 0 }),
            ..of(TCP)
        };
        assert!(!passes(&flags, &unreadable));
        let short = Upper::Tcp {
            source: 1,
            destination: 80,
            flags: None,
        };
        let short = packet(family, TCP, short);
        assert!(passes(&to(TCP, 80..=80), &short));
        assert!(!passes(&flags, &short));
        assert!(passes(&flags, &tcp(family, 80, 0)));
        let types = Matches {
            icmp_types: vec![0..=255],
            ..of(58)
        };
        assert!(!passes(&types, &packet(family, 58, Upper::Unreadable)));
        assert!(!passes(&types, &packet(family, 58, Upper::None)));
    }
}

#[test]
fn a25_a_datagram_of_no_length_is_matched_by_its_ports() {
    for family in Family::ALL {
        let empty = Packet {
            length: match family {
                Family::IPv4 => 28,
                Family::IPv6 => 48,
            },
            ..udp(family, 53)
        };
        assert!(passes(&to(UDP, 53..=53), &empty));
    }
}

#[test]
fn a27_tcp_flags_are_matched_by_value_under_a_mask() {
    let (syn, ack, rst, psh) = (0x02, 0x10, 0x04, 0x08);
    let flags = |value, mask| Matches {
        tcp_flags: Some(FlagsMatch { value, mask }),
        ..of(TCP)
    };
    for family in Family::ALL {
        let syn_only = flags(syn, syn | ack);
        assert!(passes(&syn_only, &tcp(family, 80, syn)));
        assert!(passes(&syn_only, &tcp(family, 80, syn | psh | 0xc0)));
        assert!(!passes(&syn_only, &tcp(family, 80, syn | ack)));
        assert!(!passes(&syn_only, &tcp(family, 80, ack)));
        let not_rst = flags(0, rst);
        assert!(passes(&not_rst, &tcp(family, 80, ack)));
        assert!(!passes(&not_rst, &tcp(family, 80, ack | rst)));
        let none = flags(0, 0xff);
        assert!(passes(&none, &tcp(family, 80, 0)));
        assert!(!passes(&none, &tcp(family, 80, 0x80)));
    }
}

#[test]
fn addresses_are_matched_by_prefix_from_both_sides() {
    for (family, source, other, whole) in [
        (Family::IPv4, "100.64.0.2/32", "100.64.0.0/31", "0.0.0.0/0"),
        (
            Family::IPv6,
            "2001:db8:0:1::2/128",
            "2001:db8:0:1::/127",
            "::/0",
        ),
    ] {
        let from = |text| Matches {
            source: Some(prefix(text)),
            ..any()
        };
        let to = |text| Matches {
            destination: Some(prefix(text)),
            ..any()
        };
        let packet = tcp(family, 80, 2);
        assert!(passes(&from(source), &packet));
        assert!(!passes(&from(other), &packet));
        assert!(passes(&from(whole), &packet));
        assert!(!passes(&to(source), &packet));
        assert!(passes(&to(whole), &packet));
        let next = Packet {
            source: packet.source ^ 1,
            ..packet
        };
        assert!(!passes(&from(source), &next));
        let of_family = |family| Matches {
            family: Some(family),
            ..any()
        };
        for other in Family::ALL {
            assert_eq!(passes(&of_family(other), &packet), family == other);
        }
    }
}

#[test]
fn dscp_and_length_are_matched_as_said() {
    for family in Family::ALL {
        let marked = |dscp, length| Packet {
            dscp,
            length,
            ..udp(family, 53)
        };
        let expedited = Matches {
            dscp: vec![46, 63],
            ..any()
        };
        for (dscp, matches) in [(45, false), (46, true), (47, false), (63, true), (0, false)] {
            assert_eq!(passes(&expedited, &marked(dscp, 60)), matches, "{dscp}");
        }
        let sizes = Matches {
            length: vec![0..=63, 1_280..=1_500],
            ..any()
        };
        for (length, matches) in [
            (28, true),
            (63, true),
            (64, false),
            (1_279, false),
            (1_280, true),
            (1_500, true),
            (1_501, false),
        ] {
            assert_eq!(passes(&sizes, &marked(0, length)), matches, "{length}");
        }
    }
}

#[test]
fn octets_are_matched_anywhere_in_the_packet_and_not_behind_its_end() {
    let octets: Vec<u8> = (0..40).collect();
    let packet = Packet {
        octets: &octets,
        ..udp(Family::IPv4, 53)
    };
    let at = |at, mask: &[u8], value: &[u8]| OctetsMatch {
        at,
        mask: mask.into(),
        value: value.into(),
    };
    let said = |octets| Matches { octets, ..any() };
    assert!(passes(&said(vec![at(8, &[0xff], &[8])]), &packet));
    assert!(!passes(&said(vec![at(8, &[0xff], &[9])]), &packet));
    assert!(passes(&said(vec![at(8, &[0xf8, 0x01], &[8, 1])]), &packet));
    assert!(passes(&said(vec![at(38, &[0xff; 2], &[38, 39])]), &packet));
    assert!(!passes(
        &said(vec![at(38, &[0xff, 0xff, 0], &[38, 39, 0])]),
        &packet
    ));
    assert!(!passes(&said(vec![at(40, &[0], &[0])]), &packet));
    let two = vec![
        at(0, &[0xff; 16], &octets[..16]),
        at(16, &[0xff; 16], &octets[16..32]),
    ];
    assert!(passes(&said(two.clone()), &packet));
    let mut wrong = octets.clone();
    for place in 0..32 {
        wrong[place] ^= 0x40;
        let packet = Packet {
            octets: &wrong,
            ..packet
        };
        assert!(!passes(&said(two.clone()), &packet), "{place}");
        wrong[place] ^= 0x40;
    }
    let agree = vec![at(3, &[0x0f, 0xff], &[3, 4]), at(4, &[0xff], &[4])];
    assert!(passes(&said(agree), &packet));
    let contradict = vec![at(3, &[0xff, 0xff], &[3, 4]), at(4, &[0xff], &[5])];
    assert!(!passes(&said(contradict), &packet));
}
