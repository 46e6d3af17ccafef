//! The errors that a forwarder sends: destination unreachable for IPv4 (RFC 792, RFC 1191, 4,
//! RFC 1812, 4.3.2) and packet too big for IPv6 (RFC 4443, 3.2).

use core::net::{Ipv4Addr, Ipv6Addr};

use super::{Ipv4, Ipv6, checksum, protocol};

/// Why an IPv4 packet was not delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unreachable {
    /// It is larger than the next hop takes and may not be fragmented (RFC 1191, 4).
    FragmentationNeeded {
        /// What the next hop takes, octets.
        mtu: u16,
    },
    /// A rule forbids it (RFC 1812, 5.2.7.1: code 13).
    Prohibited,
    /// Nobody has the address (RFC 792: code 1).
    Host,
}

/// Octets of an IPv4 error, the packet it tells of included (RFC 1812, 4.3.2.3).
const ERROR_V4: usize = 576;
/// Octets of an IPv6 error (RFC 4443, 2.4 (c)): the least MTU.
const ERROR_V6: usize = 1280;
const ICMP_HEADER: usize = 8;

/// Whether an error may be sent about `packet` (RFC 1812, 4.3.2.7): not about an ICMP error, a later
/// fragment, or a source or destination that is no single host's.
pub fn deserves_error(packet: &Ipv4<'_>) -> bool {
    let icmp_error = packet.protocol() == protocol::ICMP
        && packet
            .payload()
            .first()
            .is_none_or(|kind| !matches!(kind, 0 | 8 | 9 | 10 | 13..=18));
    let source = packet.source();
    let host = !(source.is_unspecified()
        || source.is_loopback()
        || source.is_broadcast()
        || source.is_multicast());
    let destination = packet.destination();
    let reserved =
        source.octets()[0] >= 240 || destination.is_multicast() || destination.is_broadcast();
    !icmp_error && packet.fragment_offset() == 0 && host && !reserved
}

/// Writes the error about `packet` into `out`, from `source` to the packet's source, and returns its
/// length. `None` when `out` has no room for at least the header that the error quotes; 576 octets
/// always suffice.
pub fn unreachable(
    why: Unreachable,
    source: Ipv4Addr,
    packet: &Ipv4<'_>,
    out: &mut [u8],
) -> Option<usize> {
    const HEADERS: usize = Ipv4::HEADER.saturating_add(ICMP_HEADER);
    let quoted = packet
        .packet()
        .len()
        .min(ERROR_V4.min(out.len()).checked_sub(HEADERS)?);
    if quoted < packet.header_length() {
        return None;
    }
    let total = HEADERS.saturating_add(quoted);
    let (header, rest) = out.split_first_chunk_mut::<{ Ipv4::HEADER }>()?;
    let message = rest.get_mut(..total.saturating_sub(Ipv4::HEADER))?;
    let (icmp, quote) = message.split_first_chunk_mut::<ICMP_HEADER>()?;
    quote.copy_from_slice(packet.packet().get(..quoted)?);
    let (code, mtu) = match why {
        Unreachable::FragmentationNeeded { mtu } => (4, mtu),
        Unreachable::Prohibited => (13, 0),
        Unreachable::Host => (1, 0),
    };
    let [mtu_high, mtu_low] = mtu.to_be_bytes();
    *icmp = [3, code, 0, 0, 0, 0, mtu_high, mtu_low];
    let sum = checksum::of(message);
    set_sum(message, 2, sum);

    let [high, low] = u16::try_from(total).ok()?.to_be_bytes();
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = packet.source().octets();
    // Precedence "internetwork control" for an error (RFC 1812, 4.3.2.5).
    *header = [
        0x45,
        0xc0,
        high,
        low,
        0,
        0,
        0,
        0,
        64,
        protocol::ICMP,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    let sum = checksum::of(header);
    [header[10], header[11]] = sum.to_be_bytes();
    Some(total)
}

/// Writes packet too big (RFC 4443, 3.2) about `packet` into `out`, from `source` to the packet's
/// source, and returns its length. `None` when `out` has no room for the headers; 1280 octets always
/// suffice.
pub fn packet_too_big(
    mtu: u32,
    source: Ipv6Addr,
    packet: &Ipv6<'_>,
    out: &mut [u8],
) -> Option<usize> {
    const HEADERS: usize = Ipv6::HEADER.saturating_add(ICMP_HEADER);
    let quoted = packet
        .packet()
        .len()
        .min(ERROR_V6.min(out.len()).checked_sub(HEADERS)?);
    if quoted < Ipv6::HEADER {
        return None;
    }
    let length = ICMP_HEADER.saturating_add(quoted);
    let (header, rest) = out.split_first_chunk_mut::<{ Ipv6::HEADER }>()?;
    let message = rest.get_mut(..length)?;
    let (icmp, quote) = message.split_first_chunk_mut::<ICMP_HEADER>()?;
    quote.copy_from_slice(packet.packet().get(..quoted)?);
    let [m0, m1, m2, m3] = mtu.to_be_bytes();
    *icmp = [2, 0, 0, 0, m0, m1, m2, m3];
    let (from, to) = (source.octets(), packet.source().octets());
    let pseudo = checksum::Sum::new().pseudo_header(
        &from,
        &to,
        u32::try_from(length).ok()?,
        protocol::ICMPV6,
    );
    let sum = pseudo.octets(message).finish();
    set_sum(message, 2, sum);

    let (fixed, addresses) = header.split_first_chunk_mut::<8>()?;
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    *fixed = [0x60, 0, 0, 0, high, low, protocol::ICMPV6, 64];
    let (first, second) = addresses.split_at_mut_checked(16)?;
    first.copy_from_slice(&from);
    second.copy_from_slice(&to);
    Some(HEADERS.saturating_add(quoted))
}

fn set_sum(message: &mut [u8], at: usize, sum: u16) {
    if let Some(place) = message.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = sum.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn udp(length: usize) -> Vec<u8> {
        let mut packet = vec![0x5a; length];
        packet[..20].copy_from_slice(&[
            0x45, 0, 0, 0, 0, 1, 0x40, 0, 63, 17, 0, 0, 198, 51, 100, 7, 100, 64, 0, 9,
        ]);
        packet[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        packet
    }

    #[test]
    fn fragmentation_needed_names_the_mtu_and_quotes_the_packet() {
        let offending = udp(1500);
        let mut out = [0; 576];
        let source = Ipv4Addr::new(100, 64, 0, 1);
        let packet = Ipv4::parse(&offending).unwrap();
        let length = unreachable(
            Unreachable::FragmentationNeeded { mtu: 1460 },
            source,
            &packet,
            &mut out,
        )
        .unwrap();
        let answer = Ipv4::parse(&out[..length]).unwrap();
        assert_eq!((length, answer.total_length()), (576, 576));
        assert_eq!(
            (answer.source(), answer.destination()),
            (source, Ipv4Addr::new(198, 51, 100, 7))
        );
        assert_eq!(checksum::of(answer.header()), 0);
        assert_eq!(checksum::of(answer.payload()), 0);
        assert_eq!(answer.payload()[..2], [3, 4]);
        assert_eq!(answer.payload()[6..8], 1460_u16.to_be_bytes());
        assert_eq!(answer.payload()[8..], offending[..548]);
    }

    #[test]
    fn a_short_packet_is_quoted_whole_and_a_small_buffer_is_respected() {
        let offending = udp(28);
        let packet = Ipv4::parse(&offending).unwrap();
        let source = Ipv4Addr::new(100, 64, 0, 1);
        let mut out = [0; 576];
        assert_eq!(
            unreachable(Unreachable::Prohibited, source, &packet, &mut out),
            Some(56)
        );
        assert_eq!(out[20..22], [3, 13]);
        for room in 0..60 {
            let answered = unreachable(Unreachable::Host, source, &packet, &mut vec![0; room]);
            assert_eq!(answered.is_some(), room >= 48, "{room}");
        }
    }

    #[test]
    fn no_error_is_sent_about_an_error_a_later_fragment_or_to_no_host() {
        let good = udp(100);
        assert!(deserves_error(&Ipv4::parse(&good).unwrap()));
        let with = |at: usize, octets: &[u8]| {
            let mut packet = udp(100);
            packet[at..at + octets.len()].copy_from_slice(octets);
            deserves_error(&Ipv4::parse(&packet).unwrap())
        };
        assert!(!with(7, &[1]));
        assert!(!with(12, &[0, 0, 0, 0]));
        assert!(!with(12, &[127, 0, 0, 1]));
        assert!(!with(12, &[255; 4]));
        assert!(!with(12, &[224, 0, 0, 1]));
        assert!(!with(12, &[240, 0, 0, 1]));
        assert!(!with(16, &[224, 0, 0, 1]));
        let icmp = |kind: u8| {
            let mut packet = udp(100);
            packet[9] = protocol::ICMP;
            packet[20] = kind;
            deserves_error(&Ipv4::parse(&packet).unwrap())
        };
        assert!(icmp(8) && icmp(0));
        assert!(!icmp(3) && !icmp(11) && !icmp(5) && !icmp(40));
    }

    #[test]
    fn packet_too_big_has_a_valid_checksum_and_fits_the_least_mtu() {
        let mut offending = vec![0; 1500];
        offending[0] = 0x60;
        offending[4..6].copy_from_slice(&1460_u16.to_be_bytes());
        offending[6] = 17;
        offending[8..24].copy_from_slice(&[0x20; 16]);
        offending[24..40].copy_from_slice(&[0x21; 16]);
        let packet = Ipv6::parse(&offending).unwrap();
        let mut out = [0; 1280];
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let length = packet_too_big(1400, source, &packet, &mut out).unwrap();
        let answer = Ipv6::parse(&out[..length]).unwrap();
        assert_eq!(answer.total_length(), 1280);
        assert_eq!(answer.destination(), packet.source());
        let message = &answer.packet()[40..];
        let length = u32::try_from(message.len()).unwrap();
        let sum = checksum::Sum::new().pseudo_header(
            &source.octets(),
            &[0x20; 16],
            length,
            protocol::ICMPV6,
        );
        assert_eq!(sum.octets(message).finish(), 0);
        assert_eq!(
            (message[0], &message[4..8]),
            (2, &1400_u32.to_be_bytes()[..])
        );
        assert!(packet_too_big(1400, source, &packet, &mut [0; 87]).is_none());
    }
}
