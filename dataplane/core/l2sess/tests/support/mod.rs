//! Packets for tests, written octet by octet: no code of the crate is in them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "each test uses some of it; a packet that cannot be written is the test's fault"
)]

pub mod bed;

use lns_l2sess::Family;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// Where a packet comes from or goes: the last octet of an address of either family.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Host(pub u8);

impl Host {
    pub fn octets(self, family: Family) -> Vec<u8> {
        match family {
            Family::IPv4 => vec![10, 0, 0, self.0],
            Family::IPv6 => {
                let mut octets = vec![0x20, 1, 0x0d, 0xb8];
                octets.resize(15, 0);
                octets.push(self.0);
                octets
            }
        }
    }

    pub fn number(self, family: Family) -> u128 {
        let octets = self.octets(family);
        octets
            .iter()
            .fold(0, |number, octet| number << 8 | u128::from(*octet))
    }
}

/// A packet without options or extension headers.
pub fn packet(family: Family, from: Host, to: Host, protocol: u8, upper: &[u8]) -> Vec<u8> {
    match family {
        Family::IPv4 => ipv4(from, to, protocol, 0, &[], upper),
        Family::IPv6 => ipv6(from, to, protocol, upper),
    }
}

/// An IPv4 packet; `fragment` is the word of flags and offset.
pub fn ipv4(
    from: Host,
    to: Host,
    protocol: u8,
    fragment: u16,
    options: &[u8],
    upper: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let total = u16::try_from(header + upper.len()).unwrap();
    let words = u8::try_from(header / 4).unwrap();
    let mut packet = vec![0x40 | words, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from.octets(Family::IPv4));
    packet.extend(to.octets(Family::IPv4));
    packet.extend(options);
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(upper);
    packet
}

/// An IPv6 packet whose first next header is `next`.
pub fn ipv6(from: Host, to: Host, next: u8, behind: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(behind.len()).unwrap().to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(from.octets(Family::IPv6));
    packet.extend(to.octets(Family::IPv6));
    packet.extend(behind);
    packet
}

/// What follows `headers` of IPv6: each is its number and how many units of 8 octets beyond the first
/// it has. Returns the first number and the octets.
pub fn extensions(headers: &[(u8, u8)], protocol: u8, upper: &[u8]) -> (u8, Vec<u8>) {
    let mut octets = Vec::new();
    for (at, (_, more)) in headers.iter().enumerate() {
        let next = headers.get(at + 1).map_or(protocol, |header| header.0);
        octets.extend([next, *more]);
        octets.resize(octets.len() + 6 + 8 * usize::from(*more), 0);
    }
    octets.extend(upper);
    (headers.first().map_or(protocol, |header| header.0), octets)
}

/// A fragment header of IPv6: what follows it, the offset in units of 8 octets, and whether more come.
pub fn fragment_header(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let mut octets = vec![next, 0];
    octets.extend((offset << 3 | u16::from(more)).to_be_bytes());
    octets.extend([0, 0, 0, 7]);
    octets
}

/// A UDP datagram with so many octets of data.
pub fn udp(source: u16, destination: u16, data: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(source.to_be_bytes());
    octets.extend(destination.to_be_bytes());
    octets.extend(u16::try_from(8 + data).unwrap().to_be_bytes());
    octets.resize(8 + data, 0);
    octets
}

/// A TCP segment without data.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut octets = Vec::new();
    octets.extend(source.to_be_bytes());
    octets.extend(destination.to_be_bytes());
    octets.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    octets
}

/// An ICMP message with an identifier and so many octets behind its header.
pub fn icmp(kind: u8, code: u8, identifier: u16, data: usize) -> Vec<u8> {
    let mut octets = vec![kind, code, 0, 0];
    octets.extend(identifier.to_be_bytes());
    octets.resize(8 + data, 0);
    octets
}

/// An ICMP error that quotes `packet`, from a router.
pub fn icmp_error(family: Family, router: Host, to: Host, kind: u8, packet: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(packet);
    let protocol = match family {
        Family::IPv4 => 1,
        Family::IPv6 => 58,
    };
    self::packet(family, router, to, protocol, &message)
}
