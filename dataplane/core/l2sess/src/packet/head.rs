//! The IP headers of a packet or of the beginning of one: RFC 791, 3.1; RFC 8200, 3 and 4; RFC 6275,
//! RFC 7401, RFC 5533 and RFC 4727 for the extension headers that are not RFC 8200's.

use lns_wire::Reader;
use lns_wire::ip::{Ipv4, Ipv6};

use crate::key::Family;

/// Extension headers that are followed: more than any that a host sends (RFC 8504, 5.3 lets it limit
/// them to 8), and few enough that nobody makes us walk.
const EXTENSIONS: usize = 8;

/// What the IP headers say. A quoted packet may end anywhere behind its first header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) family: Family,
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) protocol: u8,
    pub(super) dscp: u8,
    /// Where in the whole packet its part of the payload begins, units of 8 octets; 0 if it is no
    /// fragment, or the first.
    pub(super) fragment_offset: u16,
    /// Whether more fragments come after it.
    pub(super) more_fragments: bool,
    /// What is there of the upper protocol's octets; `None` in a later fragment, and where the way
    /// there is cut short or too long.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// The headers at the beginning of `octets`, which may end before the packet does. `None` when
    /// they end before the first header does, and when that contradicts itself.
    #[inline]
    pub(super) fn read(octets: &'a [u8]) -> Option<Self> {
        match octets.first()? >> 4 {
            4 => Self::v4(octets),
            6 => Self::v6(octets),
            _ => None,
        }
    }

    #[inline]
    fn v4(octets: &'a [u8]) -> Option<Self> {
        let fixed = octets.first_chunk::<{ Ipv4::HEADER }>()?;
        let header = usize::from(fixed[0] & 0x0f).saturating_mul(4);
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if header < Ipv4::HEADER {
            return None;
        }
        let payload = octets.get(header..total.min(octets.len()))?;
        let fragment_offset = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff;
        let (before, destination) = fixed.split_last_chunk::<4>()?;
        let source = before.last_chunk::<4>()?;
        Some(Self {
            family: Family::IPv4,
            source: u32::from_be_bytes(*source).into(),
            destination: u32::from_be_bytes(*destination).into(),
            protocol: fixed[9],
            dscp: fixed[1] >> 2,
            fragment_offset,
            more_fragments: fixed[6] & 0x20 != 0,
            payload: (fragment_offset == 0).then_some(payload),
        })
    }

    fn v6(octets: &'a [u8]) -> Option<Self> {
        let fixed = octets.first_chunk::<{ Ipv6::HEADER }>()?;
        let total = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]))
            .saturating_add(Ipv6::HEADER)
            .min(octets.len());
        let rest = Reader::new(octets.get(Ipv6::HEADER..total)?);
        let (before, destination) = fixed.split_last_chunk::<16>()?;
        let source = before.last_chunk::<16>()?;
        let way = Way::follow(fixed[6], rest);
        Some(Self {
            family: Family::IPv6,
            source: u128::from_be_bytes(*source),
            destination: u128::from_be_bytes(*destination),
            protocol: way.protocol,
            dscp: (fixed[0] & 0x0f) << 2 | fixed[1] >> 6,
            fragment_offset: way.fragment_offset,
            more_fragments: way.more_fragments,
            payload: way.payload,
        })
    }
}

/// The way along the extension headers.
struct Way<'a> {
    protocol: u8,
    fragment_offset: u16,
    more_fragments: bool,
    payload: Option<&'a [u8]>,
}

impl<'a> Way<'a> {
    fn follow(first: u8, mut rest: Reader<'a>) -> Self {
        let (mut protocol, mut more_fragments) = (first, false);
        let stuck = |protocol, fragment_offset| Self {
            protocol,
            fragment_offset,
            more_fragments: false,
            payload: None,
        };
        for _ in 0..EXTENSIONS {
            if !is_extension(protocol) {
                break;
            }
            let Some([next, length, high, low]) = rest.rest().first_chunk::<4>().copied() else {
                return stuck(protocol, 0);
            };
            let is_fragment = protocol == FRAGMENT;
            let length = if is_fragment { 0 } else { length };
            let length = usize::from(length).saturating_add(1).saturating_mul(8);
            if rest.take(length).is_err() {
                return stuck(protocol, 0);
            }
            protocol = next;
            let fragment_offset = u16::from_be_bytes([high, low]) >> 3;
            if is_fragment && fragment_offset != 0 {
                return stuck(protocol, fragment_offset);
            }
            more_fragments |= is_fragment && low & 1 == 1;
        }
        if is_extension(protocol) {
            return stuck(protocol, 0);
        }
        Self {
            protocol,
            fragment_offset: 0,
            more_fragments,
            payload: Some(rest.rest()),
        }
    }
}

const FRAGMENT: u8 = 44;

/// Whether another header follows this one: hop-by-hop options, routing, fragment, destination options,
/// mobility, HIP, Shim6, and the two for experiments. Not AH and ESP, which are what a rule names, and
/// not "no next header".
const fn is_extension(number: u8) -> bool {
    matches!(number, 0 | 43 | FRAGMENT | 60 | 135 | 139 | 140 | 253 | 254)
}
