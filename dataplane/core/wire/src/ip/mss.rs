//! Lowering the maximum segment size of a TCP SYN (RFC 9293, 3.7.1) on its way through, for paths on
//! which MTU discovery does not work. The checksum is updated, not computed anew, so a wrong one stays
//! wrong.

use super::{Ipv4, Ipv6, checksum, protocol};

/// Lowers the MSS option of a SYN or SYN-ACK in `packet` (IPv4 or IPv6) to `limit` octets; returns
/// whether it did. A SYN without the option is left alone: its sender gets 536 octets or 1220
/// (RFC 9293, 3.7.1), which fit.
///
/// # Cost
/// For anything but a SYN a few loads; for a SYN a walk along at most 40 octets of options.
pub fn clamp_mss(packet: &mut [u8], limit: u16) -> bool {
    tcp_offset(packet)
        .and_then(|at| packet.get_mut(at..))
        .is_some_and(|segment| clamp_segment(segment, limit))
}

/// Where the TCP header begins, if there is one.
fn tcp_offset(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => {
            let view = Ipv4::parse(packet).ok()?;
            let first = view.protocol() == protocol::TCP && view.fragment_offset() == 0;
            first.then_some(view.header_length())
        }
        6 => {
            let (upper, at) = Ipv6::parse(packet).ok()?.upper_layer()?;
            (upper == protocol::TCP).then_some(at)
        }
        _ => None,
    }
}

fn clamp_segment(segment: &mut [u8], limit: u16) -> bool {
    let Some(at) = mss_offset(segment) else {
        return false;
    };
    let (Some(old), Some(sum)) = (word(segment, at), word(segment, 16)) else {
        return false;
    };
    if old <= limit {
        return false;
    }
    // A value at an odd place lies in two words of the sum, which changes as if its octets were
    // swapped (RFC 1071, 2 (B)).
    let new_sum = if at.is_multiple_of(2) {
        checksum::update(sum, old, limit)
    } else {
        checksum::update(sum, old.swap_bytes(), limit.swap_bytes())
    };
    set_word(segment, at, limit);
    set_word(segment, 16, new_sum);
    true
}

/// Where the value of the MSS option is, if this is a SYN with one.
fn mss_offset(segment: &[u8]) -> Option<usize> {
    const SYN: u8 = 0x02;
    let fixed = segment.first_chunk::<20>()?;
    if fixed[13] & SYN == 0 {
        return None;
    }
    let end = usize::from(fixed[12] >> 4).saturating_mul(4);
    let options = segment.get(20..end)?;
    let mut at = 0_usize;
    while let Some(kind) = options.get(at) {
        match kind {
            0 => return None,
            1 => at = at.saturating_add(1),
            kind => {
                let length = usize::from(*options.get(at.saturating_add(1))?);
                let next = at.saturating_add(length);
                if length < 2 || next > options.len() {
                    return None;
                }
                if *kind == 2 {
                    return (length == 4).then_some(at.saturating_add(22));
                }
                at = next;
            }
        }
    }
    None
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    octets
        .get(at..)?
        .first_chunk()
        .map(|pair| u16::from_be_bytes(*pair))
}

fn set_word(octets: &mut [u8], at: usize, value: u16) {
    if let Some(pair) = octets.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *pair = value.to_be_bytes();
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const ACK: u8 = 0x10;

    /// A segment with the options padded to whole words; its checksum covers the pseudo-header.
    fn segment(flags: u8, options: &[u8], source: &[u8], destination: &[u8]) -> Vec<u8> {
        let words = options.len().div_ceil(4);
        let mut segment = vec![
            0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0, flags, 0xff, 0xff, 0, 0, 0, 0,
        ];
        segment[12] = u8::try_from(5 + words).unwrap() << 4;
        segment.extend(options);
        segment.resize(20 + words * 4, 0);
        let sum = tcp_sum(&segment, source, destination);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }

    fn tcp_sum(segment: &[u8], source: &[u8], destination: &[u8]) -> u16 {
        let length = u32::try_from(segment.len()).unwrap();
        checksum::Sum::new()
            .pseudo_header(source, destination, length, protocol::TCP)
            .octets(segment)
            .finish()
    }

    fn v4(flags: u8, options: &[u8]) -> Vec<u8> {
        let segment = segment(flags, options, &[10, 0, 0, 1], &[10, 0, 0, 2]);
        let total = u8::try_from(20 + segment.len()).unwrap();
        let mut packet = vec![
            0x45, 0, 0, total, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend(segment);
        packet
    }

    fn v6(flags: u8, options: &[u8]) -> Vec<u8> {
        let (source, destination) = ([0x20; 16], [0x21; 16]);
        let segment = segment(flags, options, &source, &destination);
        let mut packet = vec![
            0x60,
            0,
            0,
            0,
            0,
            u8::try_from(segment.len()).unwrap(),
            6,
            64,
        ];
        packet.extend(source);
        packet.extend(destination);
        packet.extend(segment);
        packet
    }

    #[test]
    fn syn_and_syn_ack_are_lowered_and_the_checksum_holds() {
        for flags in [SYN, SYN_ACK] {
            let mut packet = v4(flags, &[2, 4, 0x05, 0xb4]);
            assert!(clamp_mss(&mut packet, 1420));
            assert_eq!(packet[42..44], 1420_u16.to_be_bytes());
            assert_eq!(tcp_sum(&packet[20..], &[10, 0, 0, 1], &[10, 0, 0, 2]), 0);
            let mut packet = v6(flags, &[2, 4, 0x05, 0xa0]);
            assert!(clamp_mss(&mut packet, 1400));
            assert_eq!(packet[62..64], 1400_u16.to_be_bytes());
            assert_eq!(tcp_sum(&packet[40..], &[0x20; 16], &[0x21; 16]), 0);
        }
    }

    #[test]
    fn an_option_at_an_odd_place_keeps_the_checksum_right() {
        for before in [
            &[1][..],
            &[1, 1, 1],
            &[3, 3, 7],
            &[4, 2, 1],
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1],
        ] {
            for old in [1460_u16, 0xffff, 0x0605, 0xff00] {
                let mut options = before.to_vec();
                options.extend([2, 4]);
                options.extend(old.to_be_bytes());
                let mut packet = v4(SYN, &options);
                assert!(clamp_mss(&mut packet, 1400), "{before:?} {old}");
                assert_eq!(
                    tcp_sum(&packet[20..], &[10, 0, 0, 1], &[10, 0, 0, 2]),
                    0,
                    "{before:?} {old}"
                );
            }
        }
    }

    #[test]
    fn what_fits_already_is_left_alone() {
        for mss in [0_u16, 536, 1399, 1400] {
            let [high, low] = mss.to_be_bytes();
            let mut packet = v4(SYN, &[2, 4, high, low]);
            let before = packet.clone();
            assert!(!clamp_mss(&mut packet, 1400));
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn segments_without_syn_or_option_are_left_alone() {
        let cases = [
            v4(ACK, &[2, 4, 0x05, 0xb4]),
            v4(SYN, &[]),
            v4(SYN, &[0, 2, 4, 0x05, 0xb4]),
            v4(SYN, &[2, 3, 0x05, 0xb4]),
            v4(SYN, &[2, 0, 0x05, 0xb4]),
            v4(SYN, &[3, 1, 2, 4, 5, 0xb4]),
            v4(SYN, &[1, 1, 1, 2]),
            v4(SYN, &[8, 40, 2, 4, 0x05, 0xb4]),
        ];
        for mut packet in cases {
            let before = packet.clone();
            assert!(!clamp_mss(&mut packet, 100), "{before:?}");
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn a_later_fragment_and_another_protocol_are_no_segments() {
        let mut fragment = v4(SYN, &[2, 4, 0x05, 0xb4]);
        fragment[7] = 1;
        assert!(!clamp_mss(&mut fragment, 100));
        let mut udp = v4(SYN, &[2, 4, 0x05, 0xb4]);
        udp[9] = protocol::UDP;
        assert!(!clamp_mss(&mut udp, 100));
    }

    #[test]
    fn no_truncation_reads_or_writes_outside() {
        let whole = v4(SYN, &[1, 2, 4, 0x05, 0xb4]);
        for length in 0..whole.len() {
            let mut packet = whole[..length].to_vec();
            if let Some(total) = packet.get_mut(3) {
                *total = u8::try_from(length).unwrap();
            }
            let before = packet.clone();
            assert!(!clamp_mss(&mut packet, 100), "{length}");
            assert_eq!(packet, before);
        }
    }
}
