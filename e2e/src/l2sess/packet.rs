//! IPv4 packets as neither kernel would make them, and flows whose two ways they are.
//!
//! A packet of a run is told from every other by its addresses, its identification and its octets;
//! what routers change (TTL, header checksum) is left out of the comparison.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::blast::checksum;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Way {
    /// From the subscriber.
    Up,
    /// To the subscriber.
    Down,
}

impl Way {
    /// The way back.
    pub(super) const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    /// Its name in a label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The direction of a policy that judges it.
    pub(super) const fn direction(self) -> &'static str {
        match self {
            Self::Up => "input",
            Self::Down => "output",
        }
    }
}

/// Upper protocols by number.
pub(super) mod protocol {
    pub(in super::super) const ICMP: u8 = 1;
    pub(in super::super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(in super::super) const GRE: u8 = 47;
    pub(in super::super) const ESP: u8 = 50;
    pub(in super::super) const AH: u8 = 51;
}

/// Flags of a TCP header.
pub(super) mod flag {
    pub(in super::super) const FIN: u8 = 0x01;
    pub(in super::super) const SYN: u8 = 0x02;
    pub(in super::super) const RST: u8 = 0x04;
    pub(in super::super) const PSH: u8 = 0x08;
    pub(in super::super) const ACK: u8 = 0x10;
    pub(in super::super) const URG: u8 = 0x20;
    pub(in super::super) const ECE: u8 = 0x40;
    pub(in super::super) const CWR: u8 = 0x80;
}

/// A conversation, as its first packet says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Which way the first packet goes.
    pub(super) way: Way,
    /// Who sends it.
    pub(super) opener: Ipv4Addr,
    /// Who gets it.
    pub(super) other: Ipv4Addr,
    /// The upper protocol.
    pub(super) protocol: u8,
    /// What the upper protocol adds.
    pub(super) ends: Ends,
}

/// What an upper protocol adds to the addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// The opener's port and the other's.
    Ports(u16, u16),
    /// The types of a question and its answer, and the identifier of both.
    Query(u8, u8, u16),
    /// Nothing.
    None,
}

impl Flow {
    /// A packet of the opener's.
    pub(super) fn out(&self) -> Packet {
        let upper = match self.ends {
            Ends::Ports(from, to) => ports(self.protocol, from, to),
            Ends::Query(question, _, identifier) => icmp(question, 0, identifier),
            Ends::None => vec![0x5a; 16],
        };
        Packet::new(self.way, self.opener, self.other, self.protocol, upper)
    }

    /// A packet that answers.
    pub(super) fn back(&self) -> Packet {
        let upper = match self.ends {
            Ends::Ports(from, to) => ports(self.protocol, to, from),
            Ends::Query(_, answer, identifier) => icmp(answer, 0, identifier),
            Ends::None => vec![0xa5; 16],
        };
        let way = self.way.back();
        Packet::new(way, self.other, self.opener, self.protocol, upper)
    }

    /// The same flow with other ports of the opener and the other.
    pub(super) const fn between(self, from: u16, to: u16) -> Self {
        Self {
            ends: Ends::Ports(from, to),
            ..self
        }
    }
}

fn ports(protocol: u8, from: u16, to: u16) -> Vec<u8> {
    let mut upper = [from.to_be_bytes(), to.to_be_bytes()].concat();
    match protocol {
        protocol::TCP => {
            upper.extend([
                0,
                0,
                0,
                1,
                0,
                0,
                0,
                1,
                0x50,
                flag::ACK,
                0xff,
                0xff,
                0,
                0,
                0,
                0,
            ]);
        }
        _ => upper.extend([0, 12, 0, 0, 1, 2, 3, 4]),
    }
    upper
}

fn icmp(kind: u8, code: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    let mut message = vec![kind, code, 0, 0, high, low, 0, 1, 1, 2, 3, 4];
    let sum = checksum(&message).to_be_bytes();
    message.splice(2..4, sum);
    message
}

/// A packet before it is sent, with the way that it goes.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// Which way it goes.
    pub(super) way: Way,
    /// From where.
    pub(super) source: Ipv4Addr,
    /// Where to.
    pub(super) destination: Ipv4Addr,
    protocol: u8,
    tos: u8,
    identification: u16,
    /// Flags and offset.
    fragment: u16,
    options: Vec<u8>,
    upper: Vec<u8>,
}

/// The next identification. 0 is left out: the kernel would put one of its own.
static IDENTIFICATION: AtomicU16 = AtomicU16::new(1);

impl Packet {
    /// A packet with an upper header and payload.
    pub(super) fn new(
        way: Way,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        upper: Vec<u8>,
    ) -> Self {
        Self {
            way,
            source,
            destination,
            protocol,
            tos: 0,
            identification: IDENTIFICATION.fetch_add(1, Ordering::Relaxed).max(1),
            fragment: 0,
            options: Vec::new(),
            upper,
        }
    }

    /// With these TCP flags and no others.
    pub(super) fn flags(mut self, flags: u8) -> Self {
        if let Some(octet) = self.upper.get_mut(13) {
            *octet = flags;
        }
        self
    }

    /// With this ICMP type and code.
    pub(super) fn icmp(mut self, kind: u8, code: u8) -> Self {
        self.upper.splice(..4, [kind, code, 0, 0]);
        let sum = checksum(&self.upper).to_be_bytes();
        self.upper.splice(2..4, sum);
        self
    }

    /// With this TOS octet.
    pub(super) const fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// With these IP options, padded to whole words.
    pub(super) fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// With so many octets of payload in place of its own behind an upper header of `header` octets.
    pub(super) fn payload(mut self, header: usize, octets: usize) -> Self {
        self.upper.truncate(header);
        self.upper.resize(header + octets, 0x42);
        if self.protocol == protocol::UDP && header == 8 {
            let length = u16::try_from(8 + octets).unwrap_or(u16::MAX);
            self.upper.splice(4..6, length.to_be_bytes());
        }
        self
    }

    /// Going this way.
    pub(super) const fn on(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// From another address than its flow's.
    pub(super) const fn from(mut self, source: Ipv4Addr) -> Self {
        self.source = source;
        self
    }

    /// The first fragment of it, `octets` octets of what follows the IP header (a multiple of 8), and
    /// the rest.
    pub(super) fn fragments(self, octets: usize) -> [Self; 2] {
        const MORE: u16 = 0x2000;
        let mut first = self.clone();
        let mut rest = self;
        rest.upper = first.upper.split_off(octets.min(first.upper.len()));
        first.fragment = MORE;
        rest.fragment = u16::try_from(octets / 8).unwrap_or(0);
        [first, rest]
    }

    /// The octets as they are sent.
    pub(super) fn octets(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        let total = u16::try_from(header + self.upper.len()).unwrap_or(u16::MAX);
        let words = u8::try_from(header / 4).unwrap_or(15);
        let mut octets = vec![0x40 | words, self.tos];
        octets.extend(total.to_be_bytes());
        octets.extend(self.identification.to_be_bytes());
        octets.extend(self.fragment.to_be_bytes());
        octets.extend([64, self.protocol, 0, 0]);
        octets.extend(self.source.octets());
        octets.extend(self.destination.octets());
        octets.extend(&self.options);
        let sum = checksum(&octets).to_be_bytes();
        octets.splice(10..12, sum);
        octets.extend(&self.upper);
        octets
    }

    /// What arrives of it: what [`comparable`] makes of a packet.
    pub(super) fn expected(&self) -> Vec<u8> {
        comparable(&self.octets())
    }

    /// An ICMP error of type `kind` and code `code` from `reporter` to the sender of this packet, which
    /// it quotes with its header and eight octets.
    pub(super) fn error(&self, reporter: Ipv4Addr, kind: u8, code: u8) -> Self {
        let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
        let quoted = self.octets();
        let length = 20 + self.options.len() + 8;
        message.extend(quoted.iter().take(length));
        let sum = checksum(&message).to_be_bytes();
        message.splice(2..4, sum);
        let way = self.way.back();
        Self::new(way, reporter, self.source, protocol::ICMP, message)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<_> = self.upper.iter().take(4).copied().collect();
        let (source, destination) = match head.as_slice() {
            &[from, low, to, end] if matches!(self.protocol, protocol::TCP | protocol::UDP) => (
                format!("{}:{}", self.source, u16::from_be_bytes([from, low])),
                format!("{}:{}", self.destination, u16::from_be_bytes([to, end])),
            ),
            _ => (self.source.to_string(), self.destination.to_string()),
        };
        let protocol = match self.protocol {
            protocol::ICMP => "ICMP".to_owned(),
            protocol::TCP => "TCP".to_owned(),
            protocol::UDP => "UDP".to_owned(),
            other => format!("protocol {other}"),
        };
        let way = self.way.label();
        write!(f, "{way} {protocol} {source} > {destination}")?;
        if self.protocol == protocol::TCP
            && let Some(flags) = self.upper.get(13)
        {
            write!(f, " flags {flags:02x}")?;
        }
        if self.fragment != 0 {
            write!(f, " fragment {:04x}", self.fragment)?;
        }
        Ok(())
    }
}

/// A packet without what a router changes: TTL and header checksum.
pub(super) fn comparable(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for place in [8, 10, 11] {
        if let Some(octet) = octets.get_mut(place) {
            *octet = 0;
        }
    }
    octets
}

/// The addresses of a packet: from where and where to.
pub(super) fn addresses(octets: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let address = |at: usize| {
        let octets = octets.get(at..at + 4)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*octets))
    };
    Some((address(12)?, address(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow {
        way: Way::Up,
        opener: Ipv4Addr::new(100, 64, 0, 2),
        other: Ipv4Addr::new(198, 19, 0, 1),
        protocol: protocol::TCP,
        ends: Ends::Ports(4000, 80),
    };

    #[test]
    fn the_answer_has_addresses_and_ports_swapped_and_goes_the_other_way() {
        let (out, back) = (FLOW.out().octets(), FLOW.back());
        assert_eq!(back.way, Way::Down);
        let back = back.octets();
        assert_eq!(out[12..16], back[16..20]);
        assert_eq!(out[20..22], back[22..24]);
        assert_eq!(checksum(&out[..20]), 0);
    }

    #[test]
    fn fragments_are_the_packet_and_share_its_identification() {
        let whole = FLOW.out().payload(20, 44);
        let [first, rest] = whole.clone().fragments(24);
        let (first, rest) = (first.octets(), rest.octets());
        assert_eq!([&first[20..], &rest[20..]].concat(), whole.octets()[20..]);
        assert_eq!(first[4..6], rest[4..6]);
        assert_eq!((&first[6..8], &rest[6..8]), (&[0x20, 0][..], &[0, 3][..]));
    }

    #[test]
    fn a_packet_is_the_same_behind_a_router_and_no_other_packet_is() {
        let packet = FLOW.out().options(&[1, 1, 1]);
        let mut routed = packet.octets();
        routed[8] -= 1;
        routed[10..12].copy_from_slice(&[9, 9]);
        assert_eq!(comparable(&routed), packet.expected());
        assert_ne!(FLOW.out().expected(), FLOW.out().expected());
        assert_eq!(packet.octets().len(), 44);
    }
}
