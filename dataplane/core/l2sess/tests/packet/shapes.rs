//! What is read of each shape of packet.

use lns_l2sess::Family;
use lns_l2sess::key::{Detail, Tuple};
use lns_l2sess::packet::{Packet, Upper};
use lns_l2sess::state::TcpFlags;

use super::support::*;
use super::{FROM, TO, samples};

const DNS: Detail = Detail::Ports {
    source: 1000,
    destination: 53,
};

fn detail(octets: &[u8]) -> Option<Detail> {
    Packet::parse(octets).unwrap().tuple().map(|it| it.detail)
}

fn upper(octets: &[u8]) -> Upper {
    Packet::parse(octets).unwrap().upper
}

#[test]
fn addresses_protocol_length_and_dscp_are_read_in_both_families() {
    for family in Family::ALL {
        let mut octets = packet(family, FROM, TO, 17, &udp(1000, 53, 5));
        match family {
            Family::IPv4 => octets[1] = 0xb9,
            Family::IPv6 => octets[..2].copy_from_slice(&[0x6b, 0x95]),
        }
        let length = octets.len();
        octets.extend([0xee; 7]);
        let read = Packet::parse(&octets).unwrap();
        assert_eq!(read.octets, &octets[..length], "padding is cut off");
        assert_eq!(usize::from(read.length), length);
        assert_eq!(read.dscp, 0x2e);
        assert_eq!(
            read.tuple(),
            Some(Tuple {
                family,
                source: FROM.number(family),
                destination: TO.number(family),
                protocol: 17,
                detail: DNS,
            })
        );
    }
}

#[test]
fn a73_ports_are_found_behind_ipv4_options_of_every_length() {
    for words in 0..=10 {
        let octets = ipv4(FROM, TO, 17, 0, &vec![1; words * 4], &udp(1000, 53, 0));
        assert_eq!(detail(&octets), Some(DNS), "{words}");
    }
}

#[test]
fn a65_ports_are_found_behind_each_extension_header_alone_and_behind_eight() {
    for number in [0, 43, 60, 135, 139, 140, 253, 254] {
        for more in [0, 1, 5] {
            let (next, behind) = extensions(&[(number, more)], 17, &udp(1000, 53, 0));
            let octets = ipv6(FROM, TO, next, &behind);
            assert_eq!(detail(&octets), Some(DNS), "{number} {more}");
        }
    }
    for (count, found) in [(8, Some(DNS)), (9, None)] {
        let (next, behind) = extensions(&vec![(60, 0); count], 17, &udp(1000, 53, 0));
        let octets = ipv6(FROM, TO, next, &behind);
        assert_eq!(detail(&octets), found, "{count}");
    }
}

#[test]
fn a65_two_routing_headers_and_a_first_fragment_before_udp_are_followed() {
    let behind = [fragment_header(17, 0, true), udp(1000, 53, 16)].concat();
    let (next, mut behind) = extensions(&[(43, 1), (43, 0)], 44, &behind);
    assert_eq!(behind[16], 44);
    assert_eq!(detail(&ipv6(FROM, TO, next, &behind)), Some(DNS));
    // The same, but not the first: what follows is no header, whatever it looks like.
    behind[27] |= 0x08;
    let octets = ipv6(FROM, TO, next, &behind);
    assert_eq!(upper(&octets), Upper::LaterFragment);
    assert_eq!(Packet::parse(&octets).unwrap().protocol, 17);
}

#[test]
fn no_way_leads_beyond_ah_esp_and_no_next_header() {
    for number in [50, 51, 59] {
        let (next, behind) = extensions(&[(number, 0)], 17, &udp(1000, 53, 0));
        let octets = ipv6(FROM, TO, next, &behind);
        let read = Packet::parse(&octets).unwrap();
        assert_eq!((read.protocol, read.upper), (number, Upper::None));
    }
}

#[test]
fn an_atomic_fragment_is_whole() {
    let behind = [fragment_header(6, 0, false), tcp(1000, 53, SYN)].concat();
    let octets = ipv6(FROM, TO, 44, &behind);
    assert_eq!(
        upper(&octets),
        Upper::Tcp {
            source: 1000,
            destination: 53,
            flags: Some(TcpFlags(SYN)),
        }
    );
}

#[test]
fn a_later_fragment_has_its_protocol_and_no_ports() {
    for offset in [1, 2, 0x1fff] {
        for more in [0, 0x2000] {
            let octets = ipv4(FROM, TO, 6, more | offset, &[], &tcp(1000, 53, SYN));
            let read = Packet::parse(&octets).unwrap();
            assert_eq!((read.protocol, read.upper), (6, Upper::LaterFragment));
            assert_eq!(detail(&octets), Some(Detail::None));
            let behind = [fragment_header(6, offset, more != 0), tcp(1000, 53, SYN)].concat();
            let octets = ipv6(FROM, TO, 44, &behind);
            let read = Packet::parse(&octets).unwrap();
            assert_eq!((read.protocol, read.upper), (6, Upper::LaterFragment));
            assert_eq!(detail(&octets), Some(Detail::None));
        }
    }
    // Neither "don't fragment" nor the reserved bit makes one.
    let octets = ipv4(FROM, TO, 17, 0xc000, &[], &udp(1000, 53, 0));
    assert_eq!(detail(&octets), Some(DNS));
}

#[test]
fn a25_eight_octets_of_udp_are_a_datagram_and_seven_are_not() {
    for family in Family::ALL {
        let whole = packet(family, FROM, TO, 17, &udp(1000, 53, 0));
        assert_eq!(detail(&whole), Some(DNS));
        let short = packet(family, FROM, TO, 17, &udp(1000, 53, 0)[..7]);
        assert_eq!(upper(&short), Upper::Unreadable);
        assert_eq!(detail(&short), None);
    }
}

#[test]
fn a_tcp_segment_has_flags_from_fourteen_octets_on_and_without_them_no_tuple() {
    for family in Family::ALL {
        for length in 0..=20 {
            let segment = &tcp(1000, 53, SYN | ACK)[..length];
            let octets = packet(family, FROM, TO, 6, segment);
            let flags = (length >= 14).then_some(TcpFlags(SYN | ACK));
            let expected = if length < 8 {
                Upper::Unreadable
            } else {
                Upper::Tcp {
                    source: 1000,
                    destination: 53,
                    flags,
                }
            };
            assert_eq!(upper(&octets), expected, "{length}");
            assert_eq!(Packet::parse(&octets).unwrap().tcp_flags(), flags);
            assert_eq!(detail(&octets), flags.map(|_| DNS), "{length}");
        }
    }
}

#[test]
fn a71_protocols_without_ports_have_a_tuple_of_addresses_and_protocol() {
    for family in Family::ALL {
        for protocol in [2, 4, 41, 47, 50, 51, 89, 103, 255] {
            for length in [0, 4, 20] {
                let octets = packet(family, FROM, TO, protocol, &vec![0x5a; length]);
                assert_eq!(upper(&octets), Upper::None, "{protocol}");
                assert_eq!(detail(&octets), Some(Detail::None), "{protocol}");
            }
        }
    }
    // The other family's ICMP is none.
    let octets = packet(Family::IPv4, FROM, TO, 58, &icmp(128, 0, 7, 0));
    assert_eq!(upper(&octets), Upper::None);
    let octets = packet(Family::IPv6, FROM, TO, 1, &icmp(8, 0, 7, 0));
    assert_eq!(upper(&octets), Upper::None);
}

#[test]
fn protocols_with_ports_where_udp_has_them_are_read_as_udp_is() {
    for family in Family::ALL {
        for protocol in [17, 33, 132, 136] {
            let octets = packet(family, FROM, TO, protocol, &udp(1000, 53, 0));
            assert_eq!(detail(&octets), Some(DNS), "{protocol}");
        }
    }
}

#[test]
fn a68_icmp_questions_and_answers_are_queries_and_all_else_are_messages() {
    let pairs_v4 = [(8, 0), (13, 14), (15, 16), (17, 18)];
    let pairs_v6 = [(128, 129), (139, 140)];
    for (family, number, pairs) in [
        (Family::IPv4, 1, &pairs_v4[..]),
        (Family::IPv6, 58, &pairs_v6[..]),
    ] {
        for kind in 0..=255 {
            let mut message = icmp(kind, 3, 0x0102, 8);
            if kind == 139 || kind == 140 {
                message[8..10].copy_from_slice(&[1, 2]);
            }
            let pair = pairs.iter().find(|pair| pair.0 == kind || pair.1 == kind);
            let expected = match pair {
                Some((question, answer)) => Detail::Query {
                    question: *question,
                    identifier: 0x0102,
                    answer: *answer == kind,
                },
                None => Detail::Message { kind, code: 3 },
            };
            let octets = packet(family, FROM, TO, number, &message);
            assert_eq!(detail(&octets), Some(expected), "{family:?} {kind}");
            let short = packet(family, FROM, TO, number, &message[..7]);
            assert_eq!(detail(&short), None, "{family:?} {kind}");
        }
    }
}

#[test]
fn a_node_information_query_without_its_nonce_cannot_be_read() {
    for (data, readable) in [(0, false), (1, false), (2, true), (8, true)] {
        let octets = packet(Family::IPv6, FROM, TO, 58, &icmp(139, 0, 2, data));
        assert_eq!(detail(&octets).is_some(), readable, "{data}");
    }
}

#[test]
fn a_packet_that_is_longer_than_a_length_can_say_has_the_largest() {
    let octets = ipv6(FROM, TO, 17, &udp(1000, 53, 65_500));
    assert_eq!(octets.len(), 65_548);
    assert_eq!(Packet::parse(&octets).unwrap().length, u16::MAX);
}

#[test]
fn every_sample_is_a_packet() {
    for (name, octets) in samples() {
        assert!(Packet::parse(&octets).is_ok(), "{name}");
    }
}
