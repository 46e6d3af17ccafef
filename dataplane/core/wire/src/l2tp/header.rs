//! The L2TP header (RFC 2661, 3.1), of control and of data messages, in and out.
//!
//! Not here: what a tunnel or session id means, and whether a sequence number is expected.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::Seq16;
use super::error::EmitError;
use crate::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use crate::{Reader, Truncated};

/// One UDP payload, taken apart.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Packet<'a> {
    /// The T bit is set. The octets are the AVPs; none of them make a Zero-Length Body message.
    Control(ControlHeader, &'a [u8]),
    /// The T bit is clear. The octets are the PPP frame.
    Data(DataHeader, &'a [u8]),
}

/// The header of a control message, as its receiver reads it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ControlHeader {
    /// The receiver's tunnel; none in an SCCRQ.
    pub tunnel: TunnelId,
    /// The receiver's session; none in a message that is about no session, or in the first of one.
    pub session: SessionId,
    /// This message's number; in a ZLB that of the next message.
    pub ns: Seq16,
    /// The number of the message that the sender expects next.
    pub nr: Seq16,
}

/// The header of a data message, as its receiver reads it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DataHeader {
    /// The receiver's tunnel.
    pub tunnel: TunnelId,
    /// The receiver's session.
    pub session: SessionId,
    /// The numbers, if the S bit is set.
    pub sequence: Option<DataSequence>,
    /// The P bit: treat it before others.
    pub priority: bool,
}

/// The numbers of a data message with the S bit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DataSequence {
    /// This message's number.
    pub ns: Seq16,
    /// Reserved in data messages: ignored on receipt.
    pub nr: Seq16,
}

/// Why a UDP payload is no L2TP message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderError {
    /// The octets end within the header.
    Truncated,
    /// The version is not 2: 1 is L2F, 3 is `L2TPv3`.
    Version,
    /// A control message lacks the L or S bit, or has the O or P bit.
    Flags,
    /// The Length field is not the datagram's (control), or goes beyond it (data).
    Length,
    /// The offset goes beyond the message.
    Offset,
}

impl HeaderError {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "header_truncated",
            Self::Version => "header_version",
            Self::Flags => "header_flags",
            Self::Length => "header_length",
            Self::Offset => "header_offset",
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl core::error::Error for HeaderError {}

impl From<Truncated> for HeaderError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl fmt::Debug for Packet<'_> {
    /// The octets may hold a password, and only how many they are is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(header, body) => f
                .debug_tuple("Control")
                .field(header)
                .field(&body.len())
                .finish(),
            Self::Data(header, frame) => f
                .debug_tuple("Data")
                .field(header)
                .field(&frame.len())
                .finish(),
        }
    }
}

impl<'a> Packet<'a> {
    /// Takes the header off a UDP payload.
    ///
    /// Reserved flag bits are ignored. What a data message has beyond its Length is padding and cut
    /// off.
    ///
    /// # Errors
    /// [`HeaderError`]; such a message is discarded (RFC 2661, 7).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, HeaderError> {
        let mut reader = Reader::new(datagram);
        let flags = reader.u16()?;
        if flags & VERSION != VERSION_2 {
            return Err(HeaderError::Version);
        }
        if flags & T == 0 {
            return Self::parse_data(flags, datagram);
        }
        if flags & (L | S | O | P) != L | S {
            return Err(HeaderError::Flags);
        }
        if usize::from(reader.u16()?) != datagram.len() {
            return Err(HeaderError::Length);
        }
        let header = ControlHeader {
            tunnel: TunnelId(reader.u16()?),
            session: SessionId(reader.u16()?),
            ns: Seq16(reader.u16()?),
            nr: Seq16(reader.u16()?),
        };
        Ok(Self::Control(header, reader.rest()))
    }

    fn parse_data(flags: u16, datagram: &'a [u8]) -> Result<Self, HeaderError> {
        let mut reader = Reader::new(datagram);
        reader.take(2)?;
        if flags & L != 0 {
            let len = usize::from(reader.u16()?);
            let mut message = Reader::new(datagram)
                .take(len)
                .map(Reader::new)
                .map_err(|_| HeaderError::Length)?;
            message.take(4).map_err(|_| HeaderError::Length)?;
            reader = message;
        }
        let tunnel = TunnelId(reader.u16()?);
        let session = SessionId(reader.u16()?);
        let sequence = if flags & S == 0 {
            None
        } else {
            Some(DataSequence {
                ns: Seq16(reader.u16()?),
                nr: Seq16(reader.u16()?),
            })
        };
        if flags & O != 0 {
            let padding = usize::from(reader.u16()?);
            reader.take(padding).map_err(|_| HeaderError::Offset)?;
        }
        let header = DataHeader {
            tunnel,
            session,
            sequence,
            priority: flags & P != 0,
        };
        Ok(Self::Data(header, reader.rest()))
    }
}

/// Where the parts of a UDP payload lie, for who changes one in place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Parts {
    /// The octets of the header, its offset padding aside; of a payload that is no L2TP message, those
    /// that make it none.
    pub(crate) header: usize,
    /// What a message carries.
    pub(crate) content: Content,
}

/// What [`Packet::parse`] gives, as a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// The AVPs of a control message.
    Body(Range<usize>),
    /// The PPP frame of a data message.
    Frame(Range<usize>),
    /// It is no L2TP message.
    None,
}

impl Parts {
    /// The parts of `datagram`, as [`Packet::parse`] reads it.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        let len = datagram.len();
        let mut reader = Reader::new(datagram);
        let flags = reader.u16().unwrap_or_default();
        let content = match Packet::parse(datagram) {
            Ok(Packet::Control(_, body)) => Content::Body(len.saturating_sub(body.len())..len),
            Ok(Packet::Data(_, frame)) => {
                let end = if flags & L == 0 {
                    len
                } else {
                    reader.u16().map_or(len, usize::from)
                };
                Content::Frame(end.saturating_sub(frame.len())..end)
            }
            Err(_) => Content::None,
        };
        let header = if flags & VERSION == VERSION_2 {
            header_length(flags)
        } else {
            2
        };
        Self { header, content }
    }
}

/// The octets of a header with these flags, offset padding aside.
fn header_length(flags: u16) -> usize {
    if flags & T != 0 {
        return CONTROL_HEADER;
    }
    let present = |flag, octets| if flags & flag == 0 { 0 } else { octets };
    [DATA_HEADER, present(L, 2), present(S, 4), present(O, 2)]
        .into_iter()
        .sum()
}

/// Appends a whole control message: the header with T, L and S, then `body`.
///
/// # Errors
/// [`EmitError::MessageTooLong`] when the Length field cannot hold it; `out` is as it was.
pub fn emit_control(
    tunnel: PeerTunnelId,
    session: PeerSessionId,
    ns: Seq16,
    nr: Seq16,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EmitError> {
    let len = body.len().saturating_add(CONTROL_HEADER);
    let len = u16::try_from(len).map_err(|_| EmitError::MessageTooLong)?;
    for field in [T | L | S | VERSION_2, len, tunnel.0, session.0, ns.0, nr.0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(body);
    Ok(())
}

/// Appends the header of a data message: six octets, or ten when it is numbered. Length, Offset and
/// Priority are never sent.
pub fn emit_data(
    tunnel: PeerTunnelId,
    session: PeerSessionId,
    ns: Option<Seq16>,
    out: &mut Vec<u8>,
) {
    let flags = if ns.is_some() {
        S | VERSION_2
    } else {
        VERSION_2
    };
    for field in [flags, tunnel.0, session.0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    if let Some(ns) = ns {
        out.extend_from_slice(&ns.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
    }
}

const CONTROL_HEADER: usize = 12;
const DATA_HEADER: usize = 6;

const T: u16 = 0x8000;
const L: u16 = 0x4000;
const S: u16 = 0x0800;
const O: u16 = 0x0200;
const P: u16 = 0x0100;
const VERSION: u16 = 0x000f;
const VERSION_2: u16 = 0x0002;

#[cfg(test)]
mod tests {
    use super::*;

    const ZLB: [u8; 12] = [0xc8, 2, 0, 12, 0x12, 0x34, 0, 0, 0, 5, 0x80, 0];

    fn data(octets: &[u8]) -> Result<(DataHeader, &[u8]), HeaderError> {
        match Packet::parse(octets)? {
            Packet::Data(header, frame) => Ok((header, frame)),
            Packet::Control(..) => panic!("control"),
        }
    }

    #[test]
    fn a_zlb_is_a_header_with_nothing_behind_it() {
        let header = ControlHeader {
            tunnel: TunnelId(0x1234),
            session: SessionId(0),
            ns: Seq16(5),
            nr: Seq16(0x8000),
        };
        assert_eq!(Packet::parse(&ZLB), Ok(Packet::Control(header, &[])));
        let mut out = Vec::new();
        emit_control(
            PeerTunnelId(0x1234),
            PeerSessionId(0),
            Seq16(5),
            Seq16(0x8000),
            &[],
            &mut out,
        )
        .unwrap();
        assert_eq!(out, ZLB);
    }

    #[test]
    fn every_truncation_of_a_control_header_is_refused() {
        for len in 0..ZLB.len() {
            assert!(Packet::parse(&ZLB[..len]).is_err(), "{len}");
            let mut short = ZLB[..len].to_vec();
            if let Some(octet) = short.get_mut(3) {
                *octet = u8::try_from(len).unwrap();
                assert_eq!(Packet::parse(&short), Err(HeaderError::Truncated), "{len}");
            }
        }
    }

    #[test]
    fn a_control_length_that_is_not_the_datagrams_is_refused() {
        for len in [0, 11, 13, 255] {
            let mut lying = ZLB;
            lying[3] = len;
            assert_eq!(Packet::parse(&lying), Err(HeaderError::Length), "{len}");
        }
    }

    #[test]
    fn control_needs_length_and_sequence_and_refuses_offset_and_priority() {
        for flags in [0x80, 0x88, 0xc0, 0xca, 0xc9] {
            let mut wrong = ZLB;
            wrong[0] = flags;
            assert_eq!(Packet::parse(&wrong), Err(HeaderError::Flags), "{flags:#x}");
        }
        let mut reserved = ZLB;
        reserved[0] |= 0x34;
        reserved[1] |= 0xf0;
        assert!(Packet::parse(&reserved).is_ok());
    }

    #[test]
    fn only_version_2_is_spoken() {
        for version in [0, 1, 3, 15] {
            let mut wrong = ZLB;
            wrong[1] = version;
            assert_eq!(Packet::parse(&wrong), Err(HeaderError::Version));
            assert_eq!(
                Packet::parse(&[0, version, 0, 1, 0, 2]),
                Err(HeaderError::Version)
            );
        }
    }

    #[test]
    fn plain_data_is_six_octets_of_header() {
        let octets = [0, 2, 0, 1, 0, 2, 0xff, 0x03, 0xc0, 0x21];
        let header = DataHeader {
            tunnel: TunnelId(1),
            session: SessionId(2),
            ..DataHeader::default()
        };
        assert_eq!(data(&octets), Ok((header, &[0xff, 0x03, 0xc0, 0x21][..])));
        for len in 0..6 {
            assert_eq!(data(&octets[..len]), Err(HeaderError::Truncated));
        }
    }

    #[test]
    fn data_with_length_sequence_offset_and_priority_is_read() {
        let octets = [
            0x4b, 2, 0, 18, 0, 1, 0, 2, 0xff, 0xff, 0, 9, 0, 2, 7, 7, 0xc0, 0x21, 0xee, 0xee,
        ];
        let header = DataHeader {
            tunnel: TunnelId(1),
            session: SessionId(2),
            sequence: Some(DataSequence {
                ns: Seq16(0xffff),
                nr: Seq16(9),
            }),
            priority: true,
        };
        assert_eq!(
            data(&octets),
            Ok((header, &[0xc0, 0x21][..])),
            "what follows the length is padding"
        );
        for len in 2..18 {
            assert!(data(&octets[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_data_length_may_fall_short_of_the_datagram_and_never_go_beyond() {
        let with = |len: u8| [0x40, 2, 0, len, 0, 1, 0, 2, 0x21];
        assert_eq!(data(&with(9)).unwrap().1, [0x21]);
        assert_eq!(data(&with(8)).unwrap().1, []);
        assert_eq!(data(&with(10)), Err(HeaderError::Length));
        assert_eq!(data(&with(3)), Err(HeaderError::Length));
        assert_eq!(data(&with(7)), Err(HeaderError::Truncated));
    }

    #[test]
    fn an_offset_beyond_the_message_is_refused() {
        assert_eq!(data(&[2, 2, 0, 1, 0, 2, 0, 1]), Err(HeaderError::Offset));
        assert_eq!(data(&[2, 2, 0, 1, 0, 2, 0, 0]).unwrap().1, []);
    }

    #[test]
    fn data_is_sent_plain_or_numbered() {
        let mut out = Vec::new();
        emit_data(PeerTunnelId(1), PeerSessionId(2), None, &mut out);
        assert_eq!(out, [0, 2, 0, 1, 0, 2]);
        out.clear();
        emit_data(PeerTunnelId(1), PeerSessionId(2), Some(Seq16(3)), &mut out);
        assert_eq!(out, [8, 2, 0, 1, 0, 2, 0, 3, 0, 0]);
    }

    #[test]
    fn a_control_message_beyond_the_length_field_is_not_sent() {
        let mut out = Vec::new();
        let body = alloc::vec![0; 65_524];
        let sent = emit_control(
            PeerTunnelId(1),
            PeerSessionId(0),
            Seq16(0),
            Seq16(0),
            &body,
            &mut out,
        );
        assert_eq!(sent, Err(EmitError::MessageTooLong));
        assert!(out.is_empty());
    }
}
