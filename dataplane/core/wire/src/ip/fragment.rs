//! Cutting an IPv4 packet into fragments (RFC 791, 3.2). The payload is not copied: a fragment is a new
//! header and a range of the old packet.

use core::ops::Range;

use super::{Ipv4, checksum};

/// One fragment: a header, and where in the original packet its payload is.
#[derive(Clone, Debug)]
pub struct Fragment {
    header: [u8; Self::HEADER_MAX],
    header_length: usize,
    /// The payload's place in the original packet.
    pub payload: Range<usize>,
}

impl Fragment {
    const HEADER_MAX: usize = 60;

    /// The header with its checksum.
    pub fn header(&self) -> &[u8] {
        self.header.get(..self.header_length).unwrap_or_default()
    }
}

/// The fragments of one packet, in order.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    packet: Ipv4<'a>,
    mtu: usize,
    at: usize,
}

impl<'a> Fragments<'a> {
    /// The fragments of `packet`, none of them longer than `mtu` octets. `None` when the MTU leaves no
    /// room for 8 octets behind the header, and when the packet is itself a fragment that ends beyond
    /// the largest packet: its offsets would begin again at 0. The caller has looked at DF.
    pub fn new(packet: Ipv4<'a>, mtu: u16) -> Option<Self> {
        let mtu = usize::from(mtu);
        let room = mtu.saturating_sub(packet.header_length());
        let end = usize::from(packet.fragment_offset())
            .saturating_mul(8)
            .saturating_add(packet.total_length());
        (room >= 8 && u16::try_from(end).is_ok()).then_some(Self {
            packet,
            mtu,
            at: packet.header_length(),
        })
    }
}

impl Iterator for Fragments<'_> {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        let left = self
            .packet
            .total_length()
            .checked_sub(self.at)
            .filter(|left| *left > 0)?;
        let first = self.at == self.packet.header_length();
        let (mut header, header_length) = if first {
            whole(&self.packet)
        } else {
            copied(&self.packet)
        };
        let room = self.mtu.saturating_sub(header_length);
        let length = if left <= room { left } else { room & !7 };
        let end = self.at.saturating_add(length);

        let done = self.at.saturating_sub(self.packet.header_length()) / 8;
        let offset = self
            .packet
            .fragment_offset()
            .wrapping_add(u16::try_from(done).ok()?)
            & 0x1fff;
        let more = length < left || self.packet.more_fragments();
        let flags = (header[6] & 0xc0) | if more { 0x20 } else { 0 };
        [header[2], header[3]] = u16::try_from(header_length.saturating_add(length))
            .ok()?
            .to_be_bytes();
        [header[6], header[7]] = (offset | u16::from(flags) << 8).to_be_bytes();
        [header[10], header[11]] = [0, 0];
        let sum = checksum::of(header.get(..header_length)?);
        [header[10], header[11]] = sum.to_be_bytes();

        let payload = self.at..end;
        self.at = end;
        Some(Fragment {
            header,
            header_length,
            payload,
        })
    }
}

/// The header of the first fragment: that of the packet.
fn whole(packet: &Ipv4<'_>) -> ([u8; Fragment::HEADER_MAX], usize) {
    let mut header = [0; Fragment::HEADER_MAX];
    for (to, from) in header.iter_mut().zip(packet.header()) {
        *to = *from;
    }
    (header, packet.header_length())
}

/// The header of a later fragment: of the options only those with the "copied" flag (RFC 791, 3.1),
/// padded to a whole word.
fn copied(packet: &Ipv4<'_>) -> ([u8; Fragment::HEADER_MAX], usize) {
    const COPIED: u8 = 0x80;
    let (mut header, _) = whole(packet);
    let mut length = Ipv4::HEADER;
    let mut options = packet.header().get(Ipv4::HEADER..).unwrap_or_default();
    while let Some(kind) = options.first().copied().filter(|kind| *kind != 0) {
        let size = if kind == 1 {
            1
        } else {
            options.get(1).map_or(0, |size| usize::from(*size))
        };
        let Some((option, rest)) = options
            .split_at_checked(size)
            .filter(|_| size >= 1 && (kind == 1 || size >= 2))
        else {
            break;
        };
        if kind & COPIED != 0 {
            let end = length.saturating_add(size);
            if let Some(place) = header.get_mut(length..end) {
                place.copy_from_slice(option);
                length = end;
            }
        }
        options = rest;
    }
    let padded = length.next_multiple_of(4).min(Fragment::HEADER_MAX);
    if let Some(padding) = header.get_mut(length..padded) {
        padding.fill(0);
    }
    let words = u8::try_from(padded / 4).unwrap_or(5);
    header[0] = 0x40 | words;
    (header, padded)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn packet(options: &[u8], payload: usize, fragment_field: u16) -> Vec<u8> {
        let header = 20 + options.len();
        let total = u16::try_from(header + payload).unwrap();
        let mut packet = vec![0; header + payload];
        packet[0] = 0x40 | u8::try_from(header / 4).unwrap();
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[4..6].copy_from_slice(&[0xab, 0xcd]);
        packet[6..8].copy_from_slice(&fragment_field.to_be_bytes());
        packet[8..10].copy_from_slice(&[61, 17]);
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        packet[20..header].copy_from_slice(options);
        for (at, octet) in packet[header..].iter_mut().enumerate() {
            *octet = u8::try_from(at % 251).unwrap();
        }
        packet
    }

    fn cut(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let fragments = Fragments::new(Ipv4::parse(packet).unwrap(), mtu).unwrap();
        fragments
            .map(|each| [each.header(), &packet[each.payload.clone()]].concat())
            .collect()
    }

    /// Puts the payloads back by offset, as a host would (RFC 791, 3.2).
    fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (at, fragment) in fragments.iter().enumerate() {
            let view = Ipv4::parse(fragment).unwrap();
            assert_eq!(checksum::of(view.header()), 0);
            assert_eq!(usize::from(view.fragment_offset()) * 8, payload.len());
            assert_eq!(view.more_fragments(), at + 1 < fragments.len());
            payload.extend(view.payload());
        }
        payload
    }

    #[test]
    fn the_fragments_fit_and_reassemble_to_the_original_payload() {
        for size in [8, 9, 1473, 1480, 1481, 2959, 2960, 2961, 8000] {
            for mtu in [68, 576, 1460, 1493, 1500] {
                let original = packet(&[], size, 0);
                let fragments = cut(&original, mtu);
                assert!(fragments.iter().all(|each| each.len() <= usize::from(mtu)));
                assert_eq!(reassemble(&fragments), original[20..], "{size} {mtu}");
            }
        }
    }

    #[test]
    fn a_fragment_of_a_fragment_keeps_its_place_and_that_more_follow() {
        let original = packet(&[], 1480, 0x2000 | 0xb9);
        let fragments = cut(&original, 1000);
        let views: Vec<_> = fragments
            .iter()
            .map(|each| Ipv4::parse(each).unwrap())
            .collect();
        assert_eq!(views[0].fragment_offset(), 185);
        assert_eq!(views[1].fragment_offset(), 185 + 122);
        assert!(views.iter().all(Ipv4::more_fragments));
    }

    #[test]
    fn later_fragments_carry_only_options_that_are_copied() {
        // Record route (not copied), no operation, loose source route (copied), end.
        let options = [7, 7, 4, 1, 1, 1, 1, 1, 131, 7, 4, 10, 0, 0, 9, 0];
        let original = packet(&options, 200, 0);
        let fragments = cut(&original, 100);
        assert_eq!(Ipv4::parse(&fragments[0]).unwrap().header(), {
            let mut header = original[..36].to_vec();
            header[2..4].copy_from_slice(&fragments[0][2..4]);
            header[6..8].copy_from_slice(&[0x20, 0]);
            header[10..12].copy_from_slice(&fragments[0][10..12]);
            header
        });
        let later = Ipv4::parse(&fragments[1]).unwrap();
        assert_eq!(later.header()[20..], [131, 7, 4, 10, 0, 0, 9, 0]);
        assert_eq!(reassemble(&fragments), original[36..]);
    }

    #[test]
    fn options_that_lie_about_their_length_end_the_copying() {
        for options in [
            [131, 0, 0, 0],
            [131, 1, 0, 0],
            [131, 200, 0, 0],
            [1, 1, 1, 131],
        ] {
            let original = packet(&options, 200, 0);
            let fragments = cut(&original, 100);
            assert_eq!(Ipv4::parse(&fragments[1]).unwrap().header_length(), 20);
            assert_eq!(reassemble(&fragments), original[24..]);
        }
    }

    #[test]
    fn an_mtu_without_room_for_eight_octets_is_refused() {
        let original = packet(&[], 100, 0);
        assert!(Fragments::new(Ipv4::parse(&original).unwrap(), 27).is_none());
        assert!(Fragments::new(Ipv4::parse(&original).unwrap(), 28).is_some());
    }
}
