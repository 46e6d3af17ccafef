//! IP packets on their way through: what is changed in place, cut to pieces or answered (RFC 791;
//! RFC 792; RFC 4443; RFC 8200).

use core::net::{Ipv4Addr, Ipv6Addr};

use lns_wire::ip::{
    Fragments, Ipv4, Ipv6, Unreachable, checksum, clamp_mss, deserves_error, packet_too_big,
    unreachable,
};

use crate::Outcome;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A packet of a subscriber: it is read, and its MSS is lowered without any other change.
pub(crate) fn upstream(octets: &[u8]) -> Outcome {
    let mut changed = octets.to_vec();
    let clamped = clamp_mss(&mut changed, 1412);
    let differing = octets
        .iter()
        .zip(&changed)
        .filter(|(before, after)| before != after)
        .count();
    assert!(differing <= 4, "two octets of MSS, two of the checksum");
    assert!(clamped || differing == 0);
    assert!(!clamp_mss(&mut changed, 1412), "it is not lowered twice");
    read(octets)
}

fn read(octets: &[u8]) -> Outcome {
    if octets.first().is_some_and(|first| first >> 4 == 6) {
        let packet = match Ipv6::parse(octets) {
            Ok(packet) => packet,
            Err(error) => return Err(error.label()).into(),
        };
        assert!(packet.total_length() <= octets.len());
        if let Some((_, at)) = packet.upper_layer() {
            assert!(at <= packet.total_length());
        }
        let mut error = [0; 1280];
        if let Some(len) = packet_too_big(1280, Ipv6Addr::LOCALHOST, &packet, &mut error) {
            assert!(Ipv6::parse(&error[..len]).is_ok());
        }
        return Ok(()).into();
    }
    match Ipv4::parse(octets) {
        Ok(packet) => {
            assert!((20..=60).contains(&packet.header_length()));
            assert!(packet.total_length() <= octets.len());
            let parts = packet.header_length() + packet.payload().len();
            assert_eq!(parts, packet.total_length());
            Ok(()).into()
        }
        Err(error) => Err(error.label()).into(),
    }
}

/// A packet for a subscriber, behind two octets that are the MTU: in fragments that put together make
/// the packet again, each within the MTU; or answered with an error that is no longer than the RFC says.
pub(crate) fn downstream(input: &[u8]) -> Outcome {
    let Some((mtu, octets)) = input.split_first_chunk::<2>() else {
        return Err("no_mtu").into();
    };
    let mtu = u16::from_be_bytes(*mtu).max(68);
    let packet = match Ipv4::parse(octets) {
        Ok(packet) => packet,
        Err(error) => return Err(error.label()).into(),
    };
    if deserves_error(&packet) {
        let mut error = [0; 576];
        let why = Unreachable::FragmentationNeeded { mtu };
        if let Some(len) = unreachable(why, OURS, &packet, &mut error) {
            let answer = Ipv4::parse(&error[..len]).expect("our own packets are right");
            assert_eq!(answer.destination(), packet.source());
            assert!(!deserves_error(&answer), "no error about an error");
        }
    }
    match Fragments::new(packet, mtu) {
        Some(fragments) => put_together(&packet, fragments, mtu),
        None => return Err("not_fragmented").into(),
    }
    Ok(()).into()
}

fn put_together(packet: &Ipv4<'_>, fragments: Fragments<'_>, mtu: u16) {
    let mut next = packet.header_length();
    let mut last = false;
    for fragment in fragments {
        assert!(!last, "nothing follows the last");
        let mut whole = fragment.header().to_vec();
        whole.extend_from_slice(&packet.packet()[fragment.payload.clone()]);
        assert!(whole.len() <= usize::from(mtu));
        assert_eq!(fragment.payload.start, next, "no hole, nothing twice");
        next = fragment.payload.end;
        assert_eq!(checksum::of(fragment.header()), 0);
        let view = Ipv4::parse(&whole).expect("our own packets are right");
        let place = usize::from(view.fragment_offset() - packet.fragment_offset());
        assert_eq!(place * 8 + packet.header_length(), fragment.payload.start);
        last = next == packet.total_length();
        assert_eq!(view.more_fragments(), !last || packet.more_fragments());
    }
    assert_eq!(next, packet.total_length(), "all of it arrives");
}
