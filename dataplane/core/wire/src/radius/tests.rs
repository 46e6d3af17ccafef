//! Packets that are whole, packets that lie, and what is written comes back.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec as any_vec;
use proptest::prelude::*;

use super::*;
use crate::Truncated;

/// A packet with these octets as its attributes, and as its Length what they are or what is asked for.
fn packet(attributes: &[u8], length: Option<u16>) -> Vec<u8> {
    let length = length.unwrap_or(20 + u16::try_from(attributes.len()).unwrap());
    let mut octets = vec![2, 7];
    octets.extend(length.to_be_bytes());
    octets.extend([0xaa; 16]);
    octets.extend(attributes);
    octets
}

fn parsed(attributes: &[u8]) -> Result<(), ParseError> {
    Packet::parse(&packet(attributes, None)).map(drop)
}

#[test]
fn a_packet_is_its_header_and_its_attributes_in_their_order() {
    let octets = packet(b"\x01\x05bob\x06\x06\x00\x00\x00\x02\x19\x02", None);
    let packet = Packet::parse(&octets).unwrap();
    assert_eq!((packet.code, packet.id), (Code::ACCESS_ACCEPT, Id(7)));
    assert_eq!(packet.authenticator, [0xaa; 16]);
    assert_eq!(packet.octets(), octets);
    let attributes: Vec<_> = packet.attributes().map(|it| (it.kind, it.value)).collect();
    let expected: [(u8, &[u8]); 3] = [(1, b"bob"), (6, &[0, 0, 0, 2]), (25, b"")];
    assert_eq!(attributes, expected);
    assert_eq!(packet.first(kind::SERVICE_TYPE), Some(&[0, 0, 0, 2][..]));
    assert_eq!(packet.first(kind::STATE), None);
}

#[test]
fn cve_2001_1377_an_attribute_shorter_than_its_header_is_refused() {
    for length in [0, 1] {
        let wrong = [kind::CLASS, length, 0, 0];
        assert_eq!(parsed(&wrong), Err(ParseError::AttributeLength));
        let behind = [&[kind::CLASS, 3, 0][..], &wrong].concat();
        assert_eq!(parsed(&behind), Err(ParseError::AttributeLength));
    }
    assert_eq!(parsed(&[kind::CLASS, 2]), Ok(()));
}

/// The same within Vendor-Specific, whose inside is the vendor's own: the packet is whole, and what is not
/// an attribute ends the list.
#[test]
fn cve_2020_28194_a_vendors_attribute_shorter_than_its_header_ends_the_list() {
    for length in [0, 1, 9] {
        let inside = [28, 6, 192, 0, 2, 53, 29, length, 0, 0];
        let mut octets = vec![kind::VENDOR_SPECIFIC, 16, 0, 0, 1, 55];
        octets.extend(inside);
        let octets = packet(&octets, None);
        let packet = Packet::parse(&octets).unwrap();
        let first = packet.attributes().next().unwrap();
        let (vendor, attributes) = first.vendor().unwrap().unwrap();
        assert_eq!(vendor, kind::vendor::MICROSOFT);
        let kinds: Vec<_> = attributes.map(|it| it.kind).collect();
        assert_eq!(kinds, [28], "{length}");
    }
}

#[test]
fn cve_2020_28194_a_vendor_specific_without_a_vendor_is_an_error() {
    for len in 0..4_usize {
        let attribute = Attribute {
            kind: kind::VENDOR_SPECIFIC,
            value: &[0; 4][..len],
        };
        assert!(matches!(attribute.vendor(), Some(Err(Truncated))), "{len}");
    }
    let other = Attribute {
        kind: kind::CLASS,
        value: &[0; 8],
    };
    assert!(other.vendor().is_none());
}

#[test]
fn cve_2022_24704_values_of_a_fixed_length_have_no_other() {
    let octets = [0xc0; 253];
    for len in 0..=253 {
        let attribute = Attribute {
            kind: kind::FRAMED_IP_ADDRESS,
            value: &octets[..len],
        };
        let number = attribute.u32().is_ok();
        assert_eq!(number, len == 4, "{len}");
        assert_eq!(attribute.ipv4().is_ok(), len == 4, "{len}");
        assert_eq!(attribute.ipv6().is_ok(), len == 16, "{len}");
        assert_eq!(attribute.exactly::<8>().is_ok(), len == 8, "{len}");
    }
}

#[test]
fn cve_2021_29629_attributes_end_where_the_packet_does() {
    // The last one goes on behind the Length, though there are octets.
    let octets = packet(&[kind::CLASS, 10, 1, 2, 3, 4, 5, 6, 7, 8], Some(29));
    assert_eq!(Packet::parse(&octets), Err(ParseError::Truncated));
    // Its header alone does.
    let octets = packet(&[kind::CLASS, 3, 1, kind::CLASS, 2], Some(24));
    assert_eq!(Packet::parse(&octets), Err(ParseError::Truncated));
    assert_eq!(
        parsed(&[kind::CLASS, 255, 1, 2]),
        Err(ParseError::Truncated)
    );
}

#[test]
fn cve_2004_0938_a_length_beyond_the_datagram_is_refused_and_one_below_is_padding() {
    let whole = [kind::CLASS, 4, 1, 2];
    assert_eq!(
        Packet::parse(&packet(&whole, Some(25))),
        Err(ParseError::Truncated)
    );
    let padded = packet(&[kind::CLASS, 4, 1, 2, 0, 0, 0], Some(24));
    let packet = Packet::parse(&padded).unwrap();
    assert_eq!(packet.octets().len(), 24);
    assert_eq!(packet.attributes().count(), 1);
}

#[test]
fn lengths_are_from_20_to_4096() {
    let full: Vec<u8> = [kind::CLASS, 255].into_iter().chain([0; 253]).collect();
    let mut longest = full.repeat(15);
    longest.extend([kind::CLASS, 251].into_iter().chain([0; 249]));
    assert_eq!(longest.len(), 4076);
    for (length, expected) in [
        (0, Err(ParseError::Length)),
        (19, Err(ParseError::Length)),
        (20, Ok(20)),
        (4096, Ok(4096)),
        (4097, Err(ParseError::Length)),
        (u16::MAX, Err(ParseError::Length)),
    ] {
        let octets = packet(&longest, Some(length));
        let parsed = Packet::parse(&octets).map(|packet| packet.octets().len());
        assert_eq!(parsed, expected, "{length}");
    }
    for len in 0..20 {
        let octets = packet(&[], None);
        assert_eq!(Packet::parse(&octets[..len]), Err(ParseError::Truncated));
    }
}

#[test]
fn there_are_at_most_255_attributes() {
    assert_eq!(parsed(&[kind::CLASS, 2].repeat(255)), Ok(()));
    let more = [kind::CLASS, 2].repeat(256);
    assert_eq!(parsed(&more), Err(ParseError::TooManyAttributes));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut list = AttributeList::new();
    assert_eq!(list.push(1, &[0; 253]), Ok(()));
    assert_eq!(list.push(1, &[0; 254]), Err(EmitError::ValueTooLong(1)));
    assert_eq!(list.push_vendor(9, 1, &[0; 247]), Ok(()));
    let too_long = Err(EmitError::ValueTooLong(kind::VENDOR_SPECIFIC));
    assert_eq!(list.push_vendor(9, 1, &[0; 248]), too_long);
    assert_eq!(list.octets().len(), 2 * 255);

    let mut list = AttributeList::new();
    list.push_long(kind::EAP_MESSAGE, &[7; 4076 - 2 * 16]);
    let mut out = vec![1, 2, 3];
    let written = list.emit(Code::ACCESS_REQUEST, Id(1), &[0; 16], &mut out);
    assert_eq!((written, out.len()), (Ok(()), 4096));
    list.push(1, &[]).unwrap();
    let written = list.emit(Code::ACCESS_REQUEST, Id(1), &[0; 16], &mut out);
    assert_eq!(written, Err(EmitError::PacketTooLong));
    assert!(out.is_empty());
}

#[test]
fn a_long_value_goes_in_as_many_attributes_as_it_takes() {
    for (len, parts) in [
        (0, &[][..]),
        (1, &[1]),
        (253, &[253]),
        (254, &[253, 1]),
        (600, &[253, 253, 94]),
    ] {
        let value: Vec<u8> = (0..=255).cycle().take(len).collect();
        let mut list = AttributeList::new();
        list.push_long(kind::EAP_MESSAGE, &value);
        let lengths: Vec<_> = list.iter().map(|it| it.value.len()).collect();
        assert_eq!(lengths, parts);
        let joined: Vec<u8> = list.iter().flat_map(|it| it.value.to_vec()).collect();
        assert_eq!(joined, value);
    }
}

#[test]
fn an_original_packet_code_is_found_among_other_extended_attributes() {
    for (value, expected) in [
        (&[4, 0, 0, 0, 1][..], Some(Code::ACCESS_REQUEST)),
        (&[4, 0, 0, 1, 0], None),
        (&[4, 0, 0, 0], None),
        (&[4, 0, 0, 0, 1, 0], None),
        (&[1, 0, 0, 0, 1], None),
        (&[], None),
    ] {
        let mut list = AttributeList::new();
        list.push(kind::EXTENDED_1, &[26, 1]).unwrap();
        list.push(kind::EXTENDED_1, value).unwrap();
        let mut out = Vec::new();
        list.emit(Code::PROTOCOL_ERROR, Id(1), &[0; 16], &mut out)
            .unwrap();
        assert_eq!(Packet::parse(&out).unwrap().original_code(), expected);
    }
}

#[test]
fn passwords_are_not_printed() {
    let mut list = AttributeList::new();
    list.push(kind::USER_PASSWORD, b"canary").unwrap();
    let mut out = Vec::new();
    list.emit(Code::ACCESS_REQUEST, Id(1), &[0; 16], &mut out)
        .unwrap();
    let packet = Packet::parse(&out).unwrap();
    let shown = alloc::format!("{packet:?} {list:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("99, 97"),
        "{shown}"
    );
}

#[test]
fn names_and_numbers_of_attributes_belong_together() {
    let known = (0..=255).filter_map(|number| Some((number, kind::name(number)?)));
    let known: Vec<_> = known.collect();
    assert!(known.len() > 50);
    for (number, name) in known {
        assert_eq!(kind::number(name), Some(number));
    }
    assert_eq!(kind::number("User-name"), None);
}

/// One attribute of any sort.
#[derive(Clone, Debug)]
enum Any {
    Octets(u8, Vec<u8>),
    Number(u8, u32),
    Ipv4(u8, Ipv4Addr),
    Ipv6(u8, Ipv6Addr),
    Vendor(u32, u8, Vec<u8>),
}

impl Any {
    fn push(&self, list: &mut AttributeList) {
        match self {
            Self::Octets(kind, value) => list.push(*kind, value).unwrap(),
            Self::Number(kind, value) => list.push_u32(*kind, *value),
            Self::Ipv4(kind, value) => list.push_ipv4(*kind, *value),
            Self::Ipv6(kind, value) => list.push_ipv6(*kind, *value),
            Self::Vendor(vendor, kind, value) => list.push_vendor(*vendor, *kind, value).unwrap(),
        }
    }

    fn is(&self, read: &Attribute<'_>) -> bool {
        match self {
            Self::Octets(kind, value) => read.kind == *kind && read.value == value,
            Self::Number(kind, value) => read.kind == *kind && read.u32() == Ok(*value),
            Self::Ipv4(kind, value) => read.kind == *kind && read.ipv4() == Ok(*value),
            Self::Ipv6(kind, value) => read.kind == *kind && read.ipv6() == Ok(*value),
            Self::Vendor(vendor, kind, value) => read.vendor().is_some_and(|it| {
                let (read, mut attributes) = it.unwrap();
                let first = attributes.next().unwrap();
                read == *vendor
                    && (first.kind, first.value) == (*kind, value)
                    && attributes.next().is_none()
            }),
        }
    }
}

fn any_attribute() -> impl Strategy<Value = Any> {
    prop_oneof![
        (any::<u8>(), any_vec(any::<u8>(), 0..=253)).prop_map(|(k, v)| Any::Octets(k, v)),
        any::<(u8, u32)>().prop_map(|(k, v)| Any::Number(k, v)),
        any::<(u8, Ipv4Addr)>().prop_map(|(k, v)| Any::Ipv4(k, v)),
        any::<(u8, Ipv6Addr)>().prop_map(|(k, v)| Any::Ipv6(k, v)),
        (any::<(u32, u8)>(), any_vec(any::<u8>(), 0..=247))
            .prop_map(|((vendor, k), v)| Any::Vendor(vendor, k, v)),
    ]
}

proptest! {
    #[test]
    fn what_a_list_writes_a_packet_reads(
        attributes in any_vec(any_attribute(), 0..15),
        code in any::<u8>(),
        id in any::<u8>(),
        authenticator in any::<[u8; 16]>(),
        padding in any_vec(any::<u8>(), 0..10),
    ) {
        let mut list = AttributeList::new();
        for attribute in &attributes {
            attribute.push(&mut list);
        }
        let mut octets = Vec::new();
        list.emit(Code(code), Id(id), &authenticator, &mut octets).unwrap();
        let written = octets.clone();
        octets.extend(padding);
        let packet = Packet::parse(&octets).unwrap();
        prop_assert_eq!((packet.code.0, packet.id.0), (code, id));
        prop_assert_eq!(packet.authenticator, authenticator);
        prop_assert_eq!(packet.octets(), written);
        prop_assert_eq!(packet.attributes().count(), attributes.len());
        for (read, pushed) in packet.attributes().zip(&attributes) {
            prop_assert!(pushed.is(&read), "{:?} {:?}", pushed, read.value);
        }
        for (place, read) in places(packet.octets()).zip(packet.attributes()) {
            prop_assert_eq!(place.kind, read.kind);
            prop_assert_eq!(&packet.octets()[place.value], read.value);
        }
        prop_assert_eq!(places(packet.octets()).count(), attributes.len());
        prop_assert_eq!(AttributeList::from(list.octets().to_vec()), list);
    }

    #[test]
    fn whatever_comes_is_read_or_refused(octets in any_vec(any::<u8>(), 0..300)) {
        if let Ok(packet) = Packet::parse(&octets) {
            let attributes: usize = packet.attributes().map(|it| it.value.len() + 2).sum();
            prop_assert_eq!(attributes + HEADER, packet.octets().len());
        }
        prop_assert!(places(&octets).all(|place| place.value.end <= octets.len()));
    }
}
