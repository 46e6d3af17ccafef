//! The control packet that LCP, the NCPs, PAP and CHAP share: Code, Identifier, Length, Data
//! (RFC 1661, 5).

use alloc::vec::Vec;

use super::Error;
use crate::Reader;

/// What a control packet is (RFC 1661, 5; RFC 1570, 2). PAP and CHAP have codes of their own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(pub u8);

impl Code {
    /// Asks for options.
    pub const CONFIGURE_REQUEST: Self = Self(1);
    /// Takes all of them.
    pub const CONFIGURE_ACK: Self = Self(2);
    /// Would take other values.
    pub const CONFIGURE_NAK: Self = Self(3);
    /// Takes some options with no value at all.
    pub const CONFIGURE_REJECT: Self = Self(4);
    /// Ends the protocol.
    pub const TERMINATE_REQUEST: Self = Self(5);
    /// Agrees to the end.
    pub const TERMINATE_ACK: Self = Self(6);
    /// Did not know a code.
    pub const CODE_REJECT: Self = Self(7);
    /// LCP only: did not know a protocol.
    pub const PROTOCOL_REJECT: Self = Self(8);
    /// LCP only: asks whether we are there.
    pub const ECHO_REQUEST: Self = Self(9);
    /// LCP only: is there.
    pub const ECHO_REPLY: Self = Self(10);
    /// LCP only: to be ignored.
    pub const DISCARD_REQUEST: Self = Self(11);
    /// LCP only: says what the sender is (RFC 1570, 2.1).
    pub const IDENTIFICATION: Self = Self(12);
    /// LCP only: says how long the session may last (RFC 1570, 2.2).
    pub const TIME_REMAINING: Self = Self(13);
}

/// One control packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// What it is.
    pub code: Code,
    /// Ties an answer to its question.
    pub id: u8,
    /// What Length covers, without the four octets of the header.
    pub data: &'a [u8],
    /// The whole packet as Length covers it: what a Code-Reject sends back.
    pub octets: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Code, Identifier and Length, octets.
    pub const HEADER: usize = 4;

    /// Reads a packet; octets past its Length are padding and left out (RFC 1661, 5).
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::LengthBelowHeader`], [`Error::LengthBeyondEnd`].
    pub fn parse(information: &'a [u8]) -> Result<Self, Error> {
        let mut header = Reader::new(information);
        let code = Code(header.u8()?);
        let id = header.u8()?;
        let len = usize::from(header.u16()?);
        if len < Self::HEADER {
            return Err(Error::LengthBelowHeader);
        }
        let octets = information.get(..len).ok_or(Error::LengthBeyondEnd)?;
        let data = octets.get(Self::HEADER..).ok_or(Error::LengthBelowHeader)?;
        Ok(Self {
            code,
            id,
            data,
            octets,
        })
    }
}

/// Appends a control packet whose data `write` appends. What would not fit the Length field is cut.
pub fn emit_packet(out: &mut Vec<u8>, code: Code, id: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[code.0, id, 0, 0]);
    write(out);
    out.truncate(start.saturating_add(usize::from(u16::MAX)));
    let len = u16::try_from(out.len().saturating_sub(start))
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    if let Some(field) = out
        .get_mut(start.saturating_add(2)..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *field = len;
    }
}
