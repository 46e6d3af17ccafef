//! Packets as the model knows them, and as octets.

use lns_l2sess::Family;

use crate::support::{Host, fragment_header, icmp, icmp_error, ipv4, ipv6, packet, tcp, udp};

/// A packet without its octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) family: Family,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    Question(u16),
    Answer(u16),
    /// An ICMP message that nothing answers.
    Message,
    /// A protocol without ports.
    Bare(u8),
    /// A later fragment of UDP.
    Later,
    /// UDP that ends too early.
    Cut,
    /// An ICMP error about a packet.
    Error(Box<Sent>),
}

impl Sent {
    /// The protocol's number.
    pub(crate) fn protocol(&self) -> u8 {
        match self.what {
            What::Tcp { .. } => 6,
            What::Udp { .. } | What::Later | What::Cut => 17,
            What::Bare(protocol) => protocol,
            What::Question(_) | What::Answer(_) | What::Message | What::Error(_) => {
                if self.family == Family::IPv4 { 1 } else { 58 }
            }
        }
    }

    /// The packet that answers this one; with these flags, if it is a segment.
    pub(crate) fn answer(&self, flags: u8) -> Self {
        let what = match self.what.clone() {
            What::Tcp {
                source,
                destination,
                ..
            } => What::Tcp {
                source: destination,
                destination: source,
                flags,
            },
            What::Udp {
                source,
                destination,
            } => What::Udp {
                source: destination,
                destination: source,
            },
            What::Question(identifier) => What::Answer(identifier),
            What::Answer(identifier) => What::Question(identifier),
            same => same,
        };
        Self {
            family: self.family,
            from: self.to,
            to: self.from,
            what,
        }
    }

    /// The next packet of its sender's.
    pub(crate) fn again(&self, flags: u8) -> Self {
        self.answer(flags).answer(flags)
    }

    /// What a router says of it to its sender.
    pub(crate) fn error(&self) -> Self {
        Self {
            family: self.family,
            from: 9,
            to: self.from,
            what: What::Error(Box::new(self.clone())),
        }
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        let (from, to) = (Host(self.from), Host(self.to));
        let whole = |upper: &[u8]| packet(self.family, from, to, self.protocol(), upper);
        let is_v4 = self.family == Family::IPv4;
        match &self.what {
            What::Tcp {
                source,
                destination,
                flags,
            } => whole(&tcp(*source, *destination, *flags)),
            What::Udp {
                source,
                destination,
            } => whole(&udp(*source, *destination, 4)),
            What::Question(id) => whole(&icmp(if is_v4 { 8 } else { 128 }, 0, *id, 4)),
            What::Answer(id) => whole(&icmp(if is_v4 { 0 } else { 129 }, 0, *id, 4)),
            What::Message => whole(&icmp(if is_v4 { 9 } else { 133 }, 0, 0, 8)),
            What::Bare(_) => whole(&[0x5a; 16]),
            What::Cut => whole(&udp(1, 2, 0)[..7]),
            What::Later if is_v4 => ipv4(from, to, 17, 3, &[], &[0x5a; 16]),
            What::Later => {
                let behind = [fragment_header(17, 3, false), vec![0x5a; 16]].concat();
                ipv6(from, to, 44, &behind)
            }
            What::Error(about) => {
                let kind = if is_v4 { 3 } else { 1 };
                icmp_error(self.family, from, to, kind, &about.octets())
            }
        }
    }
}
