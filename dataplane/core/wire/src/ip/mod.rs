//! Views of IP headers as a forwarder needs them: RFC 791 (IPv4), RFC 8200 (IPv6), the maximum segment
//! size of RFC 9293, 3.7.1, the errors of RFC 792 and RFC 4443 that end path MTU discovery, and
//! checksums (RFC 1071, RFC 1624).
//!
//! Nothing here reads outside the octets it was given, nor beyond what the header says of their
//! length. Left out: reassembly, options other than those named, everything that a host does.

pub mod checksum;
mod fragment;
mod icmp;
mod mss;
mod v4;
mod v6;

pub use fragment::{Fragment, Fragments};
pub use icmp::{Unreachable, deserves_error, packet_too_big, unreachable};
pub use mss::clamp_mss;
pub use v4::Ipv4;
pub use v6::Ipv6;

use core::fmt;

/// Protocol numbers (IANA, Assigned Internet Protocol Numbers).
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// Why octets are no IP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpError {
    /// They end before the header does.
    Truncated,
    /// The version field is another.
    Version,
    /// The header length is below 20 octets or beyond the packet (RFC 791, 3.1).
    HeaderLength,
    /// The length field is below the header or beyond what arrived.
    TotalLength,
}

impl IpError {
    /// The label that metrics use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::HeaderLength => "header_length",
            Self::TotalLength => "total_length",
        }
    }
}

impl fmt::Display for IpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl core::error::Error for IpError {}
