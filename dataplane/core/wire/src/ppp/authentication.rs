//! PAP (RFC 1334, 2.2), CHAP (RFC 1994, 4) and the MS-CHAPv2 response value (RFC 2759, 4).

use alloc::vec::Vec;
use core::ops::Range;

use super::{Code, Error, MAX_NAME, Packet};
use crate::Reader;

/// PAP's codes (RFC 1334, 2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PapCode {
    /// Authenticate-Request.
    Request,
    /// Authenticate-Ack.
    Ack,
    /// Authenticate-Nak.
    Nak,
}

impl PapCode {
    /// The code, if PAP has it.
    pub const fn from_code(code: Code) -> Option<Self> {
        match code.0 {
            1 => Some(Self::Request),
            2 => Some(Self::Ack),
            3 => Some(Self::Nak),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> Code {
        match self {
            Self::Request => Code(1),
            Self::Ack => Code(2),
            Self::Nak => Code(3),
        }
    }
}

/// An Authenticate-Request (RFC 1334, 2.2.1). Either field may be empty.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct PapRequest<'a> {
    /// Peer-ID: the name.
    pub name: &'a [u8],
    /// The password, in clear.
    pub password: &'a [u8],
}

impl<'a> PapRequest<'a> {
    /// Reads the data of an Authenticate-Request.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::NameTooLong`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(data);
        let len = usize::from(reader.u8()?);
        let name = checked_name(reader.take(len)?)?;
        let len = usize::from(reader.u8()?);
        Ok(Self {
            name,
            password: reader.take(len)?,
        })
    }

    /// Appends the data of an Authenticate-Request; each field is cut at 255 octets.
    pub fn emit(self, out: &mut Vec<u8>) {
        emit_text(out, self.name);
        emit_text(out, self.password);
    }
}

impl core::fmt::Debug for PapRequest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PapRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The text of an Authenticate-Ack or -Nak (RFC 1334, 2.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PapReply<'a> {
    /// For people.
    pub message: &'a [u8],
}

impl<'a> PapReply<'a> {
    /// Reads the data of a reply. Some peers leave the length octet out of an empty one.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    pub fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(data);
        if reader.is_empty() {
            return Ok(Self { message: &[] });
        }
        let len = usize::from(reader.u8()?);
        Ok(Self {
            message: reader.take(len)?,
        })
    }
}

/// Appends the data of an Authenticate-Ack or -Nak; the text is cut at 255 octets.
pub fn emit_pap_reply(out: &mut Vec<u8>, message: &[u8]) {
    emit_text(out, message);
}

/// CHAP's codes (RFC 1994, 4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChapCode {
    /// Challenge.
    Challenge,
    /// Response.
    Response,
    /// Success.
    Success,
    /// Failure.
    Failure,
}

impl ChapCode {
    /// The code, if CHAP has it.
    pub const fn from_code(code: Code) -> Option<Self> {
        match code.0 {
            1 => Some(Self::Challenge),
            2 => Some(Self::Response),
            3 => Some(Self::Success),
            4 => Some(Self::Failure),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> Code {
        match self {
            Self::Challenge => Code(1),
            Self::Response => Code(2),
            Self::Success => Code(3),
            Self::Failure => Code(4),
        }
    }
}

/// A CHAP packet by its form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChapPacket<'a> {
    /// What the authenticator sent.
    Challenge(ChapValue<'a>),
    /// What the peer answered.
    Response(ChapValue<'a>),
    /// All is well, with a text.
    Success(&'a [u8]),
    /// Nothing is, with a text.
    Failure(&'a [u8]),
}

impl<'a> ChapPacket<'a> {
    /// Gives a control packet of protocol CHAP its meaning.
    ///
    /// # Errors
    /// [`Error::Code`], [`Error::Truncated`], [`Error::ValueSize`], [`Error::NameTooLong`].
    pub fn parse(packet: &Packet<'a>) -> Result<Self, Error> {
        match ChapCode::from_code(packet.code).ok_or(Error::Code)? {
            ChapCode::Challenge => ChapValue::parse(packet.data).map(Self::Challenge),
            ChapCode::Response => ChapValue::parse(packet.data).map(Self::Response),
            ChapCode::Success => Ok(Self::Success(packet.data)),
            ChapCode::Failure => Ok(Self::Failure(packet.data)),
        }
    }
}

/// The data of a Challenge or Response (RFC 1994, 4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChapValue<'a> {
    /// The challenge, or its digest. Never empty.
    pub value: &'a [u8],
    /// Who sends it; may be empty.
    pub name: &'a [u8],
}

impl<'a> ChapValue<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(data);
        let len = usize::from(reader.u8()?);
        if len == 0 {
            return Err(Error::ValueSize);
        }
        let value = reader.take(len)?;
        Ok(Self {
            value,
            name: checked_name(reader.take_rest())?,
        })
    }
}

/// Appends the data of a Challenge or Response; the value is cut at 255 octets.
pub fn emit_chap_value(out: &mut Vec<u8>, value: &[u8], name: &[u8]) {
    emit_text(out, value);
    out.extend_from_slice(name);
}

/// The 49 octets that MS-CHAPv2 sends as its response value (RFC 2759, 4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MsChapV2Response {
    /// The peer's own challenge.
    pub peer_challenge: [u8; 16],
    /// The proof.
    pub nt_response: [u8; 24],
    /// Reserved; zero, and not checked.
    pub flags: u8,
}

impl MsChapV2Response {
    /// Octets of the value.
    pub const LEN: usize = 49;

    /// Reads the value.
    ///
    /// # Errors
    /// [`Error::ValueSize`] unless it has 49 octets.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        if value.len() != Self::LEN {
            return Err(Error::ValueSize);
        }
        let mut reader = Reader::new(value);
        let peer_challenge = reader.array()?;
        let _reserved: [u8; 8] = reader.array()?;
        Ok(Self {
            peer_challenge,
            nt_response: reader.array()?,
            flags: reader.u8()?,
        })
    }

    /// Appends the value.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.peer_challenge);
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.nt_response);
        out.push(self.flags);
    }
}

/// Where in the text of a Success the authenticator response of MS-CHAPv2 lies, which proves the
/// password: behind "S=", up to " M=" or the end (RFC 2759, 5). `None` in the text of any other CHAP.
pub fn authenticator_response(message: &[u8]) -> Option<Range<usize>> {
    let start = position(message, b"S=")?.saturating_add(2);
    let rest = message.get(start..)?;
    let len = position(rest, b" M=").unwrap_or(rest.len());
    Some(start..start.saturating_add(len))
}

fn position(octets: &[u8], pattern: &[u8]) -> Option<usize> {
    octets.windows(pattern.len()).position(|at| at == pattern)
}

fn checked_name(name: &[u8]) -> Result<&[u8], Error> {
    if name.len() > MAX_NAME {
        Err(Error::NameTooLong)
    } else {
        Ok(name)
    }
}

fn emit_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..usize::from(u8::MAX)).unwrap_or(text);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}
