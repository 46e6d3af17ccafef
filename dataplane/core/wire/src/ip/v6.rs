//! The IPv6 header (RFC 8200, 3) and the way along its extension headers to the upper layer
//! (RFC 8200, 4).

use core::net::Ipv6Addr;

use super::IpError;
use crate::Reader;

const HEADER: usize = 40;

/// A view of an IPv6 packet whose header describes it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    fixed: &'a [u8; HEADER],
    packet: &'a [u8],
}

/// Extension headers that are followed; a packet with more has none that a forwarder cares about.
const EXTENSIONS: usize = 8;

impl<'a> Ipv6<'a> {
    /// The length of the fixed header, octets.
    pub const HEADER: usize = HEADER;

    /// The packet at the beginning of `octets`; what is behind its length is cut off. Jumbograms
    /// (RFC 2675) are not known.
    ///
    /// # Errors
    /// An [`IpError`] when a length does not fit.
    pub fn parse(octets: &'a [u8]) -> Result<Self, IpError> {
        let fixed = octets.first_chunk::<HEADER>().ok_or(IpError::Truncated)?;
        if fixed[0] >> 4 != 6 {
            return Err(IpError::Version);
        }
        let payload = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let packet = octets
            .get(..payload.saturating_add(Self::HEADER))
            .ok_or(IpError::TotalLength)?;
        Ok(Self { fixed, packet })
    }

    /// The packet without padding.
    pub const fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// Its length, octets.
    pub const fn total_length(&self) -> usize {
        self.packet.len()
    }

    /// The source address.
    pub fn source(&self) -> Ipv6Addr {
        self.address(8)
    }

    /// The destination address.
    pub fn destination(&self) -> Ipv6Addr {
        self.address(24)
    }

    /// The protocol of the first header behind the fixed one.
    pub const fn next_header(&self) -> u8 {
        self.fixed[6]
    }

    /// The protocol of the upper layer and where in the packet it begins. `None` when the way there is
    /// cut short, too long, or this is not the first fragment.
    pub fn upper_layer(&self) -> Option<(u8, usize)> {
        let mut next = self.next_header();
        let mut rest = Reader::new(self.packet);
        rest.take(Self::HEADER).ok()?;
        for _ in 0..EXTENSIONS {
            let length = match next {
                // Hop-by-hop options, routing, destination options: 8 octets plus as many as they say.
                0 | 43 | 60 => {
                    let mut ahead = rest;
                    ahead.u8().ok()?;
                    usize::from(ahead.u8().ok()?)
                        .saturating_mul(8)
                        .saturating_add(8)
                }
                // Fragment (RFC 8200, 4.5): the offset is in the upper 13 bits of the second word.
                44 => {
                    let mut ahead = rest;
                    ahead.u16().ok()?;
                    if ahead.u16().ok()? >> 3 != 0 {
                        return None;
                    }
                    8
                }
                upper => return Some((upper, self.packet.len().saturating_sub(rest.len()))),
            };
            next = rest.take(length).ok()?.first().copied()?;
        }
        None
    }

    fn address(&self, at: usize) -> Ipv6Addr {
        let octets = self.fixed.get(at..).and_then(<[u8]>::first_chunk::<16>);
        octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![
            0x60,
            0,
            0,
            0,
            0,
            u8::try_from(payload.len()).unwrap(),
            next,
            64,
        ];
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(payload);
        packet
    }

    #[test]
    fn addresses_and_length_are_read_and_padding_is_cut_off() {
        let mut octets = packet(17, &[0; 8]);
        octets.push(0);
        let parsed = Ipv6::parse(&octets).unwrap();
        assert_eq!(parsed.source(), "2001:db8::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(
            parsed.destination(),
            "2001:db8::2".parse::<Ipv6Addr>().unwrap()
        );
        assert_eq!(
            (parsed.total_length(), parsed.upper_layer()),
            (48, Some((17, 40)))
        );
    }

    #[test]
    fn every_truncation_is_refused() {
        let octets = packet(17, &[0; 8]);
        for length in 0..octets.len() {
            assert!(Ipv6::parse(&octets[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn extension_headers_are_followed_to_the_upper_layer() {
        let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0];
        payload.extend([44, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([6, 0, 0, 1, 0, 0, 0, 7]);
        payload.extend([0; 20]);
        let octets = packet(0, &payload);
        assert_eq!(Ipv6::parse(&octets).unwrap().upper_layer(), Some((6, 72)));
    }

    #[test]
    fn a_later_fragment_and_an_endless_chain_have_no_upper_layer() {
        let later = packet(44, &[6, 0, 0, 8, 0, 0, 0, 7, 0, 0]);
        assert_eq!(Ipv6::parse(&later).unwrap().upper_layer(), None);
        let endless = packet(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(20));
        assert_eq!(Ipv6::parse(&endless).unwrap().upper_layer(), None);
        let cut = packet(60, &[6, 9, 1, 4, 0, 0, 0, 0]);
        assert_eq!(Ipv6::parse(&cut).unwrap().upper_layer(), None);
    }
}
