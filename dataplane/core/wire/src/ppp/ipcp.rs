//! The options of IPCP (RFC 1332, 3; RFC 1877, 1) as values.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::{RawOption, emit_option};

/// Type numbers.
pub mod kind {
    /// IP-Addresses, deprecated (RFC 1332, 3.1).
    pub const ADDRESSES: u8 = 1;
    /// IP-Compression-Protocol (RFC 1332, 3.2).
    pub const COMPRESSION: u8 = 2;
    /// IP-Address (RFC 1332, 3.3).
    pub const ADDRESS: u8 = 3;
    /// Primary DNS server (RFC 1877, 1.1).
    pub const PRIMARY_DNS: u8 = 129;
    /// Primary NBNS server (RFC 1877, 1.2).
    pub const PRIMARY_NBNS: u8 = 130;
    /// Secondary DNS server (RFC 1877, 1.3).
    pub const SECONDARY_DNS: u8 = 131;
    /// Secondary NBNS server (RFC 1877, 1.4).
    pub const SECONDARY_NBNS: u8 = 132;
}

/// One IPCP option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpcpOption<'a> {
    /// The address that the sender wants to have.
    Address(Ipv4Addr),
    /// The first name server that the sender wants to use.
    PrimaryDns(Ipv4Addr),
    /// The second one.
    SecondaryDns(Ipv4Addr),
    /// One of the above with a length that it cannot have.
    WrongLength {
        /// Its type.
        kind: u8,
    },
    /// Any other, as it came.
    Other(RawOption<'a>),
}

impl<'a> IpcpOption<'a> {
    /// Gives the option its meaning.
    pub fn parse(raw: RawOption<'a>) -> Self {
        let meaning = match raw.kind {
            kind::ADDRESS => Self::Address,
            kind::PRIMARY_DNS => Self::PrimaryDns,
            kind::SECONDARY_DNS => Self::SecondaryDns,
            _ => return Self::Other(raw),
        };
        match <[u8; 4]>::try_from(raw.value) {
            Ok(octets) => meaning(Ipv4Addr::from(octets)),
            Err(_) => Self::WrongLength { kind: raw.kind },
        }
    }

    /// Appends the option. One of a wrong length has no form and appends nothing.
    pub fn emit(self, out: &mut Vec<u8>) {
        match self {
            Self::Address(address) => emit_option(out, kind::ADDRESS, &address.octets()),
            Self::PrimaryDns(address) => emit_option(out, kind::PRIMARY_DNS, &address.octets()),
            Self::SecondaryDns(address) => emit_option(out, kind::SECONDARY_DNS, &address.octets()),
            Self::Other(raw) => emit_option(out, raw.kind, raw.value),
            Self::WrongLength { .. } => {}
        }
    }
}
