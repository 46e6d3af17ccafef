//! PPP inside a tunnel (RFC 1661, 2; RFC 2661, 5.0): the frame header, the protocol numbers, and in
//! the modules below the control packets, their options and the authentication packets.
//!
//! Left out: octet stuffing, frame checks and the async control character map (a tunnel carries
//! whole frames), multilink fragments (RFC 1990), compressed headers.

mod authentication;
mod eap;
mod error;
pub mod ipcp;
pub mod lcp;
mod options;
mod packet;

use alloc::vec::Vec;
use core::fmt;

pub use authentication::{
    ChapCode, ChapPacket, ChapValue, MsChapV2Response, PapCode, PapReply, PapRequest,
    authenticator_response, emit_chap_value, emit_pap_reply,
};
pub use eap::{EapCode, EapData, EapPacket, EapType};
pub use error::Error;
pub use options::{Options, RawOption, emit_option};
pub use packet::{Code, Packet, emit_packet};

use crate::Reader;

/// The number that says what a frame carries (RFC 1661, 2; the assigned-numbers list).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Protocol(pub u16);

impl Protocol {
    /// An IPv4 datagram.
    pub const IPV4: Self = Self(0x0021);
    /// An IPv6 datagram.
    pub const IPV6: Self = Self(0x0057);
    /// A multilink fragment (RFC 1990).
    pub const MULTILINK: Self = Self(0x003d);
    /// IP control (RFC 1332).
    pub const IPCP: Self = Self(0x8021);
    /// IPX control (RFC 1552).
    pub const IPXCP: Self = Self(0x802b);
    /// Encryption control (RFC 1968).
    pub const ECP: Self = Self(0x8053);
    /// IPv6 control (RFC 5072).
    pub const IPV6CP: Self = Self(0x8057);
    /// Compression control (RFC 1962).
    pub const CCP: Self = Self(0x80fd);
    /// Link control (RFC 1661).
    pub const LCP: Self = Self(0xc021);
    /// The password protocol (RFC 1334).
    pub const PAP: Self = Self(0xc023);
    /// Link quality reports (RFC 1989).
    pub const LQR: Self = Self(0xc025);
    /// The challenge protocol (RFC 1994).
    pub const CHAP: Self = Self(0xc223);
    /// The extensible protocol (RFC 3748).
    pub const EAP: Self = Self(0xc227);

    /// Whether its packets may hold a password or what proves one: those of PAP and CHAP do, and those
    /// of EAP or a protocol of the same range that nobody here knows may (RFC 1661, 2: C000 to FFFF are
    /// link-layer control).
    pub const fn may_hold_secrets(self) -> bool {
        self.0 >= 0xc000 && self.0 != Self::LCP.0 && self.0 != Self::LQR.0
    }

    /// Whether it carries control packets: network control and link control, reports aside.
    pub const fn is_control(self) -> bool {
        self.0 >= 0x8000 && self.0 != Self::LQR.0
    }

    /// Whether one octet can carry it where the peer agreed (RFC 1661, 6.5). Alone, FF would be the
    /// address field of a frame.
    pub const fn is_compressible(self) -> bool {
        self.0 < 0xff
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol({:#06x})", self.0)
    }
}

/// One frame as it lies in the payload of a data message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// What it carries.
    pub protocol: Protocol,
    /// What follows the protocol field, padding included.
    pub information: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame with or without FF03, with a protocol field of one or two octets.
    ///
    /// # Errors
    /// [`Error::Truncated`]; [`Error::AddressControl`] when FF is not followed by 03;
    /// [`Error::ProtocolNumber`] when the number's last octet is even (RFC 1661, 2).
    pub fn parse(octets: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(octets);
        let mut first = reader.u8()?;
        if first == ADDRESS {
            if reader.u8()? != CONTROL {
                return Err(Error::AddressControl);
            }
            first = reader.u8()?;
        }
        let protocol = if is_odd(first) {
            u16::from(first)
        } else {
            let second = reader.u8()?;
            if !is_odd(second) {
                return Err(Error::ProtocolNumber);
            }
            u16::from_be_bytes([first, second])
        };
        Ok(Self {
            protocol: Protocol(protocol),
            information: reader.rest(),
        })
    }
}

/// How short a frame header the receiver of our frames takes (RFC 1661, 6.5 and 6.6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Framing {
    /// It takes frames without FF03.
    pub acfc: bool,
    /// It takes protocol fields of one octet.
    pub pfc: bool,
}

impl Framing {
    /// Appends the header of a frame. LCP always gets the long form, so that a peer which forgot
    /// what was agreed still understands it (RFC 1661, 6.5 and 6.6).
    pub fn emit_header(self, protocol: Protocol, out: &mut Vec<u8>) {
        let short = if protocol == Protocol::LCP {
            Self::default()
        } else {
            self
        };
        if !short.acfc {
            out.extend_from_slice(&[ADDRESS, CONTROL]);
        }
        let [high, low] = protocol.0.to_be_bytes();
        if !(short.pfc && protocol.is_compressible()) {
            out.push(high);
        }
        out.push(low);
    }
}

/// What a RADIUS User-Name can carry, octets (RFC 2865, 5).
const MAX_NAME: usize = 253;

const ADDRESS: u8 = 0xff;
const CONTROL: u8 = 0x03;

const fn is_odd(octet: u8) -> bool {
    octet & 1 == 1
}

#[cfg(test)]
mod tests;
