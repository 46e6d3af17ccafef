//! What a packet's headers say, as far as the packet goes: RFC 791, RFC 8200, RFC 9293, RFC 768,
//! RFC 792, RFC 4443, and the packet that an ICMP error quotes.
//!
//! A length is believed only where the octets are there. What cannot be read is
//! [`Upper::Unreadable`]: policy without ports judges it, and no flow is opened for it. Left out:
//! reassembly, checksums, and what lies behind AH and ESP.

mod head;
mod icmp;

use lns_wire::ip::{IpError, Ipv4, Ipv6, protocol};

use crate::key::{Detail, Family, Tuple};
use crate::state::TcpFlags;
use head::Head;

/// A packet, read once.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// All of it, without padding.
    pub octets: &'a [u8],
    /// Which IP.
    pub family: Family,
    /// From where, as a number; IPv4 in the low 32 bits.
    pub source: u128,
    /// Where to.
    pub destination: u128,
    /// The upper protocol: of IPv6 what the chain of extension headers ends with. Where the chain
    /// cannot be followed to its end, the header that it could not be followed beyond; in a later
    /// fragment what the fragment header names.
    pub protocol: u8,
    /// The upper six bits of TOS or traffic class (RFC 2474).
    pub dscp: u8,
    /// The length of the packet, octets; 65,535 also for IPv6 packets that are longer.
    pub length: u16,
    /// What the upper protocol says.
    pub upper: Upper,
}

/// What the upper protocol of a [`Packet`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Upper {
    /// TCP. Without flags where the fragment ends before them.
    Tcp {
        /// The sender's port.
        source: u16,
        /// The receiver's port.
        destination: u16,
        /// The flags, when they are there.
        flags: Option<TcpFlags>,
    },
    /// Another protocol with ports at the beginning of its header: UDP, UDP-Lite, SCTP, DCCP.
    Ports {
        /// The sender's port.
        source: u16,
        /// The receiver's port.
        destination: u16,
    },
    /// ICMP, of either family.
    Icmp {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The identifier, in the messages that have one; else 0.
        identifier: u16,
    },
    /// A protocol without ports.
    None,
    /// A fragment that is not the first: no upper header is in it. Its tuple is one of addresses and
    /// protocol: that of a flow of its own, which the first fragment of an open flow opens, or policy.
    LaterFragment,
    /// The packet ends before what should be there.
    Unreadable,
}

impl<'a> Packet<'a> {
    /// The packet at the beginning of `octets`; what is behind its length is padding and cut off.
    ///
    /// # Errors
    /// An [`IpError`] when the IP header does not describe the packet.
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Self, IpError> {
        let octets = match octets.first().map(|first| first >> 4) {
            Some(6) => Ipv6::parse(octets)?.packet(),
            _ => Ipv4::parse(octets)?.packet(),
        };
        let head = Head::read(octets).ok_or(IpError::HeaderLength)?;
        Ok(Self {
            octets,
            family: head.family,
            source: head.source,
            destination: head.destination,
            protocol: head.protocol,
            dscp: head.dscp,
            length: u16::try_from(octets.len()).unwrap_or(u16::MAX),
            upper: head.upper(),
        })
    }

    /// What tells its flow from others. `None`: no flow is opened for it, since its upper header or, of
    /// TCP, the flags cannot be read.
    #[inline]
    pub const fn tuple(&self) -> Option<Tuple> {
        if matches!(self.upper, Upper::Tcp { flags: None, .. }) {
            return None;
        }
        let Some(detail) = detail(self.family, self.upper) else {
            return None;
        };
        Some(Tuple {
            family: self.family,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            detail,
        })
    }

    /// The TCP flags, where it is a segment with flags.
    #[inline]
    pub const fn tcp_flags(&self) -> Option<TcpFlags> {
        match self.upper {
            Upper::Tcp { flags, .. } => flags,
            Upper::Ports { .. }
            | Upper::Icmp { .. }
            | Upper::None
            | Upper::LaterFragment
            | Upper::Unreadable => None,
        }
    }

    /// Whether it is a fragment that begins within the header of TCP, before the flags: put together with
    /// a first one that is as short, or over one that has other flags, it is a segment that nobody has
    /// judged (RFC 1858, 3; RFC 3128).
    #[inline]
    pub(crate) fn hides_tcp_flags(&self) -> bool {
        self.upper == Upper::LaterFragment
            && self.protocol == protocol::TCP
            && Head::read(self.octets).is_some_and(|head| head.fragment_offset == 1)
    }

    /// Of the first fragment of a packet the tuple that those behind it have; `None` of all others.
    #[inline]
    pub(crate) fn fragments(&self) -> Option<Tuple> {
        let may_be = match self.family {
            Family::IPv4 => self.octets.get(6).is_some_and(|flags| flags & 0x20 != 0),
            // Without an extension header there is no fragment.
            Family::IPv6 => self.octets.get(6) != Some(&self.protocol),
        };
        let is_first = self.upper != Upper::LaterFragment
            && may_be
            && Head::read(self.octets).is_some_and(|head| head.more_fragments);
        is_first.then_some(Tuple {
            family: self.family,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            detail: Detail::None,
        })
    }

    /// The packet that this one answers, as far as it can be told: ends and ports exchanged, of an ICMP
    /// answer the question. Its octets are not known: no rule about octets matches it.
    pub(crate) const fn mirror(&self) -> Packet<'static> {
        let upper = match self.upper {
            Upper::Tcp {
                source,
                destination,
                flags,
            } => Upper::Tcp {
                source: destination,
                destination: source,
                flags,
            },
            Upper::Ports {
                source,
                destination,
            } => Upper::Ports {
                source: destination,
                destination: source,
            },
            Upper::Icmp {
                kind,
                code,
                identifier,
            } => Upper::Icmp {
                kind: match icmp::question(self.family, kind) {
                    Some(question) => question,
                    None => kind,
                },
                code,
                identifier,
            },
            same @ (Upper::None | Upper::LaterFragment | Upper::Unreadable) => same,
        };
        Packet {
            octets: &[],
            family: self.family,
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            dscp: self.dscp,
            length: self.length,
            upper,
        }
    }

    /// Of an ICMP error: the tuple of the packet that it quotes, as that packet went. The quote may be
    /// cut after 8 octets of the upper header (RFC 792). `None` when this is no error, when it quotes
    /// too little or an ICMP message that nothing answers, and when it does not go to the sender of
    /// what it quotes, as every error does.
    pub fn quoted(&self) -> Option<Tuple> {
        let Upper::Icmp { kind, .. } = self.upper else {
            return None;
        };
        if !icmp::is_error(self.family, kind) {
            return None;
        }
        let message = Head::read(self.octets)?.payload?;
        let quote = Head::read(message.get(icmp::HEADER..)?)?;
        if quote.family != self.family || quote.source != self.destination {
            return None;
        }
        let detail = detail(quote.family, quote.upper())?;
        if matches!(detail, Detail::Message { .. }) {
            return None;
        }
        Some(Tuple {
            family: quote.family,
            source: quote.source,
            destination: quote.destination,
            protocol: quote.protocol,
            detail,
        })
    }
}

/// What `upper` adds to a tuple; `None` where it cannot be read.
#[inline]
const fn detail(family: Family, upper: Upper) -> Option<Detail> {
    Some(match upper {
        Upper::Tcp {
            source,
            destination,
            ..
        }
        | Upper::Ports {
            source,
            destination,
        } => Detail::Ports {
            source,
            destination,
        },
        Upper::Icmp {
            kind,
            code,
            identifier,
        } => match icmp::question(family, kind) {
            Some(question) => Detail::Query {
                question,
                identifier,
                answer: kind != question,
            },
            None => Detail::Message { kind, code },
        },
        Upper::None | Upper::LaterFragment => Detail::None,
        Upper::Unreadable => return None,
    })
}

impl Head<'_> {
    /// What the upper header says. At least 8 octets of it must be there; of protocols that it does not
    /// know, none.
    #[inline]
    fn upper(&self) -> Upper {
        /// Protocols with ports in the first four octets, beside TCP and UDP (RFC 4340, RFC 9260,
        /// RFC 3828).
        const WITH_PORTS: [u8; 3] = [33, 132, 136];
        let Some(payload) = self.payload else {
            return if self.fragment_offset == 0 {
                Upper::Unreadable
            } else {
                Upper::LaterFragment
            };
        };
        let is_icmp = self.protocol
            == match self.family {
                Family::IPv4 => protocol::ICMP,
                Family::IPv6 => protocol::ICMPV6,
            };
        let is_tcp = self.protocol == protocol::TCP;
        let has_ports =
            is_tcp || self.protocol == protocol::UDP || WITH_PORTS.contains(&self.protocol);
        if !is_icmp && !has_ports {
            return Upper::None;
        }
        let Some([a, b, c, d, ..]) = payload.first_chunk::<8>() else {
            return Upper::Unreadable;
        };
        if is_icmp {
            return icmp::read(self.family, payload);
        }
        let (source, destination) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        if is_tcp {
            Upper::Tcp {
                source,
                destination,
                flags: payload.get(13).copied().map(TcpFlags),
            }
        } else {
            Upper::Ports {
                source,
                destination,
            }
        }
    }
}
