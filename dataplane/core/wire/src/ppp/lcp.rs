//! The options of LCP (RFC 1661, 6; RFC 1994, 3; RFC 2759, 2) as values.
//!
//! What a tunnel server refuses whatever the value (quality protocol, callback, multilink, endpoint
//! discriminator) has a type number here and no value: it is only ever sent back.

use alloc::vec::Vec;

use super::{Protocol, RawOption, emit_option};
use crate::Reader;

/// Type numbers (RFC 1661, 6; RFC 1570, 3; RFC 1990, 5.1).
pub mod kind {
    /// Maximum-Receive-Unit.
    pub const MRU: u8 = 1;
    /// Async-Control-Character-Map (RFC 1662, 7.1).
    pub const ACCM: u8 = 2;
    /// Authentication-Protocol.
    pub const AUTHENTICATION: u8 = 3;
    /// Quality-Protocol.
    pub const QUALITY: u8 = 4;
    /// Magic-Number.
    pub const MAGIC: u8 = 5;
    /// Protocol-Field-Compression.
    pub const PFC: u8 = 7;
    /// Address-and-Control-Field-Compression.
    pub const ACFC: u8 = 8;
    /// Callback (RFC 1570, 3.4).
    pub const CALLBACK: u8 = 13;
    /// Maximum-Reconstructed-Receive-Unit of multilink.
    pub const MRRU: u8 = 17;
    /// Short sequence numbers of multilink.
    pub const SHORT_SEQUENCE: u8 = 18;
    /// Endpoint discriminator of multilink.
    pub const ENDPOINT: u8 = 19;
}

/// CHAP algorithm numbers (RFC 1994, 3; RFC 2433, 2; RFC 2759, 2).
pub mod algorithm {
    /// CHAP with MD5.
    pub const MD5: u8 = 5;
    /// MS-CHAP, version 1.
    pub const MS_CHAP_V1: u8 = 0x80;
    /// MS-CHAP, version 2.
    pub const MS_CHAP_V2: u8 = 0x81;
}

/// What Authentication-Protocol asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthenticationProtocol {
    /// The password protocol.
    Pap,
    /// The challenge protocol, with an algorithm number.
    Chap(u8),
    /// Anything else: EAP, or what nobody knows.
    Other(Protocol),
}

impl AuthenticationProtocol {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let protocol = Protocol(reader.u16().ok()?);
        match (protocol, reader.rest()) {
            (Protocol::PAP, []) => Some(Self::Pap),
            (Protocol::CHAP, &[algorithm]) => Some(Self::Chap(algorithm)),
            (Protocol::PAP | Protocol::CHAP, _) => None,
            (other, _) => Some(Self::Other(other)),
        }
    }

    fn emit(self, out: &mut Vec<u8>) {
        let [high, low] = match self {
            Self::Pap => Protocol::PAP,
            Self::Chap(_) => Protocol::CHAP,
            Self::Other(protocol) => protocol,
        }
        .0
        .to_be_bytes();
        match self {
            Self::Chap(algorithm) => {
                emit_option(out, kind::AUTHENTICATION, &[high, low, algorithm]);
            }
            Self::Pap | Self::Other(_) => emit_option(out, kind::AUTHENTICATION, &[high, low]),
        }
    }
}

/// One LCP option.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LcpOption<'a> {
    /// The longest information field that the sender takes, octets.
    Mru(u16),
    /// Characters that the sender wants escaped; means nothing in a tunnel.
    Accm(u32),
    /// How the sender wants the receiver to say who it is.
    Authentication(AuthenticationProtocol),
    /// What the sender calls itself, to notice a loop.
    Magic(u32),
    /// The sender takes protocol fields of one octet.
    Pfc,
    /// The sender takes frames without FF03.
    Acfc,
    /// One of the above with a length that it cannot have.
    WrongLength {
        /// Its type.
        kind: u8,
    },
    /// Any other, as it came.
    Other(RawOption<'a>),
}

impl<'a> LcpOption<'a> {
    /// Gives the option its meaning.
    pub fn parse(raw: RawOption<'a>) -> Self {
        let known = match raw.kind {
            kind::MRU => number(raw.value).map(|octets| Self::Mru(u16::from_be_bytes(octets))),
            kind::ACCM => number(raw.value).map(|octets| Self::Accm(u32::from_be_bytes(octets))),
            kind::AUTHENTICATION => {
                AuthenticationProtocol::parse(raw.value).map(Self::Authentication)
            }
            kind::MAGIC => number(raw.value).map(|octets| Self::Magic(u32::from_be_bytes(octets))),
            kind::PFC => raw.value.is_empty().then_some(Self::Pfc),
            kind::ACFC => raw.value.is_empty().then_some(Self::Acfc),
            _ => Some(Self::Other(raw)),
        };
        known.unwrap_or(Self::WrongLength { kind: raw.kind })
    }

    /// Appends the option. One of a wrong length has no form and appends nothing.
    pub fn emit(self, out: &mut Vec<u8>) {
        match self {
            Self::Mru(mru) => emit_option(out, kind::MRU, &mru.to_be_bytes()),
            Self::Accm(map) => emit_option(out, kind::ACCM, &map.to_be_bytes()),
            Self::Authentication(protocol) => protocol.emit(out),
            Self::Magic(magic) => emit_option(out, kind::MAGIC, &magic.to_be_bytes()),
            Self::Pfc => emit_option(out, kind::PFC, &[]),
            Self::Acfc => emit_option(out, kind::ACFC, &[]),
            Self::Other(raw) => emit_option(out, raw.kind, raw.value),
            Self::WrongLength { .. } => {}
        }
    }
}

fn number<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}
