//! What a packet's headers say, as far as the packet goes: RFC 791, RFC 8200, RFC 9293, RFC 768,
//! RFC 792, RFC 4443.

use crate::key::Family;
use crate::state::TcpFlags;

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
    /// The upper protocol: of IPv6 what the chain of extension headers ends with.
    pub protocol: u8,
    /// The upper six bits of TOS or traffic class (RFC 2474).
    pub dscp: u8,
    /// The length of the packet, octets.
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
        /// The identifier, in the messages that have one.
        identifier: u16,
    },
    /// A protocol without ports.
    None,
    /// A fragment that is not the first: no upper header is in it.
    LaterFragment,
    /// The packet ends before what should be there.
    Unreadable,
}
