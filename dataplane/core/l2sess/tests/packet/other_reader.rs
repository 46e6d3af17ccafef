//! What `etherparse` reads of the same packets. It skips AH, which we do not, and does not know the
//! extension headers beyond RFC 8200's: such packets are not drawn.

use core::net::IpAddr;

use etherparse::{IpSlice, SlicedPacket, TransportSlice};
use lns_l2sess::Family;
use lns_l2sess::packet::{Packet, Upper};
use lns_l2sess::state::TcpFlags;
use proptest::prelude::*;

use super::support::*;

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// What `etherparse` says of an upper header; without identifier, which it gives to some types only.
fn other_upper(transport: Option<&TransportSlice<'_>>) -> Upper {
    match transport {
        Some(TransportSlice::Tcp(tcp)) => Upper::Tcp {
            source: tcp.source_port(),
            destination: tcp.destination_port(),
            flags: Some(TcpFlags(tcp.slice()[13])),
        },
        Some(TransportSlice::Udp(udp)) => Upper::Ports {
            source: udp.source_port(),
            destination: udp.destination_port(),
        },
        Some(TransportSlice::Icmpv4(icmp)) => Upper::Icmp {
            kind: icmp.type_u8(),
            code: icmp.code_u8(),
            identifier: 0,
        },
        Some(TransportSlice::Icmpv6(icmp)) => Upper::Icmp {
            kind: icmp.type_u8(),
            code: icmp.code_u8(),
            identifier: 0,
        },
        Some(TransportSlice::Igmp(_)) | None => Upper::None,
    }
}

fn without_identifier(upper: Upper) -> Upper {
    match upper {
        Upper::Icmp { kind, code, .. } => Upper::Icmp {
            kind,
            code,
            identifier: 0,
        },
        other => other,
    }
}

fn upper_header() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let ports = (any::<u16>(), any::<u16>());
    prop_oneof![
        (ports, any::<u8>()).prop_map(|((s, d), flags)| (6, tcp(s, d, flags))),
        (ports, 0..40_usize).prop_map(|((s, d), data)| (17, udp(s, d, data))),
        (any::<u8>(), any::<u8>(), any::<u16>())
            .prop_map(|(kind, code, id)| (1, icmp(kind, code, id, 20))),
        (any::<u8>(), any::<u8>(), any::<u16>())
            .prop_map(|(kind, code, id)| (58, icmp(kind, code, id, 20))),
        Just((47, vec![0, 0, 8, 0])),
        Just((50, vec![0x5a; 24])),
    ]
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let hosts = (any::<u8>(), any::<u8>()).prop_map(|(from, to)| (Host(from), Host(to)));
    let fragment = prop_oneof![3 => Just((0, false)), 1 => (0..0x2000_u16, any::<bool>())];
    let v4 = (
        hosts.clone(),
        fragment.clone(),
        0..=10_usize,
        upper_header(),
    )
        .prop_map(|((from, to), (offset, more), options, (protocol, upper))| {
            let word = offset | if more { 0x2000 } else { 0 };
            ipv4(from, to, protocol, word, &vec![1; options * 4], &upper)
        });
    let headers = prop::collection::vec((prop::sample::select(vec![43_u8, 60]), 0..4_u8), 0..3);
    let v6 = (
        hosts,
        any::<bool>(),
        headers.clone(),
        prop::option::of(fragment),
        headers,
        upper_header(),
    )
        .prop_map(
            |((from, to), hop_by_hop, before, fragment, behind, (protocol, upper))| {
                let (next, mut octets) = extensions(&behind, protocol, &upper);
                let mut first = next;
                if let Some((offset, more)) = fragment {
                    octets = [fragment_header(next, offset, more), octets].concat();
                    first = 44;
                }
                let mut before = before;
                if hop_by_hop {
                    before.insert(0, (0, 1));
                }
                let (next, octets) = extensions(&before, first, &octets);
                ipv6(from, to, next, &octets)
            },
        );
    prop_oneof![v4, v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_readers_see_the_same(octets in packets()) {
        let ours = Packet::parse(&octets).unwrap();
        let ip = IpSlice::from_slice(&octets).unwrap();
        prop_assert_eq!(ours.source, number(ip.source_addr()));
        prop_assert_eq!(ours.destination, number(ip.destination_addr()));
        prop_assert_eq!(ours.family == Family::IPv4, ip.ipv4().is_some());
        if ours.upper == Upper::LaterFragment {
            prop_assert!(ip.is_fragmenting_payload());
            return Ok(());
        }
        prop_assert_eq!(ours.protocol, ip.payload_ip_number().0);
        let other = SlicedPacket::from_ip(&octets).unwrap();
        let is_own_icmp = match ours.family {
            Family::IPv4 => ours.protocol != 58,
            Family::IPv6 => ours.protocol != 1,
        };
        if !ip.is_fragmenting_payload() && is_own_icmp {
            let theirs = other_upper(other.transport.as_ref());
            prop_assert_eq!(without_identifier(ours.upper), theirs);
        }
    }
}
