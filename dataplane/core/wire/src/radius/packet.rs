//! The packet: header and attributes (RFC 2865, 3), read whole before anything is believed.

use alloc::vec::Vec;
use core::fmt;

use super::{Attribute, Attributes, Code, kind};
use crate::{Reader, Truncated};

/// Octets of the header.
pub const HEADER: usize = 20;

/// The longest packet that is sent or read, octets (RFC 2865, 3).
pub const MAX_PACKET: usize = 4096;

/// Attributes of one packet at most. An honest reply has some tens.
const MAX_ATTRIBUTES: usize = 255;

/// The identifier that tells replies apart, on one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Id(pub u8);

/// A packet whose every attribute is whole.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Packet<'a> {
    /// What it is.
    pub code: Code,
    /// What it answers, or wants answered.
    pub id: Id,
    /// The Request or Response Authenticator.
    pub authenticator: [u8; 16],
    octets: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Octets behind the packet's Length are padding (RFC 2865, 3).
    ///
    /// # Errors
    /// [`ParseError`]: what is wrong with it.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(datagram);
        let code = Code(reader.u8()?);
        let id = Id(reader.u8()?);
        let length = usize::from(reader.u16()?);
        let authenticator = reader.array()?;
        if !(HEADER..=MAX_PACKET).contains(&length) {
            return Err(ParseError::Length);
        }
        let octets = Reader::new(datagram).take(length)?;
        let packet = Self {
            code,
            id,
            authenticator,
            octets,
        };
        let mut count = 0_usize;
        let mut rest = Reader::new(octets);
        rest.take(HEADER)?;
        while !rest.is_empty() {
            Attribute::read(&mut rest)?;
            count = count.saturating_add(1);
        }
        if count > MAX_ATTRIBUTES {
            return Err(ParseError::TooManyAttributes);
        }
        Ok(packet)
    }

    /// The packet without padding.
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Its attributes in their order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.octets.get(HEADER..).unwrap_or_default())
    }

    /// The code of the request that a Protocol-Error answers: Original-Packet-Code (RFC 7930, 4), which is
    /// the fourth of the extended attributes 241 (RFC 6929, 2.1).
    pub fn original_code(&self) -> Option<Code> {
        const ORIGINAL_PACKET_CODE: u8 = 4;
        self.attributes()
            .filter(|attribute| attribute.kind == kind::EXTENDED_1)
            .find_map(|attribute| match attribute.value {
                [ORIGINAL_PACKET_CODE, 0, 0, 0, code] => Some(Code(*code)),
                _ => None,
            })
    }

    /// The values of all attributes of that kind, one behind the other: how long values and texts are sent.
    pub fn joined(&self, kind: u8) -> Vec<u8> {
        let all = self.attributes().filter(|attribute| attribute.kind == kind);
        all.flat_map(|attribute| attribute.value).copied().collect()
    }

    /// The first attribute of that kind.
    pub fn first(&self, kind: u8) -> Option<&'a [u8]> {
        self.attributes()
            .find(|attribute| attribute.kind == kind)
            .map(|attribute| attribute.value)
    }
}

impl fmt::Debug for Packet<'_> {
    /// An attribute may be a password: only how many octets there are is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("code", &self.code)
            .field("id", &self.id.0)
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

/// What is wrong with a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// It ends before what its lengths promise.
    Truncated,
    /// The Length field is below 20 or above 4,096.
    Length,
    /// An attribute's length is 0 or 1.
    AttributeLength,
    /// There are more than 255 attributes.
    TooManyAttributes,
}

impl ParseError {
    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Length => "length",
            Self::AttributeLength => "attribute_length",
            Self::TooManyAttributes => "too_many_attributes",
        }
    }
}

impl From<Truncated> for ParseError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// Why something cannot be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EmitError {
    /// The value of an attribute of this kind is longer than 253 octets (247 for a vendor's).
    ValueTooLong(u8),
    /// The packet would be longer than 4,096 octets.
    PacketTooLong,
}

/// Writes a header with a Length that is still to come, then what `attributes` appends, then the Length.
///
/// # Errors
/// [`EmitError::PacketTooLong`]; `out` is empty then.
pub(super) fn emit(
    code: Code,
    id: Id,
    authenticator: &[u8; 16],
    attributes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EmitError> {
    out.clear();
    let length = HEADER.saturating_add(attributes.len());
    if length > MAX_PACKET {
        return Err(EmitError::PacketTooLong);
    }
    let length = u16::try_from(length).map_err(|_| EmitError::PacketTooLong)?;
    out.extend_from_slice(&[code.0, id.0]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(authenticator);
    out.extend_from_slice(attributes);
    Ok(())
}
