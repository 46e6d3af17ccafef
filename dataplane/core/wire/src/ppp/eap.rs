//! EAP (RFC 3748, 4): the packet as a pass-through authenticator reads it. Its header is the one of all
//! control packets, so that [`Packet::octets`] is what goes into EAP-Message (RFC 3579, 3.1).
//!
//! Left out: the methods themselves, which are between the peer and the RADIUS server.

use super::{Code, Error, Packet};
use crate::Reader;

/// EAP's codes (RFC 3748, 4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EapCode {
    /// The authenticator asks.
    Request,
    /// The peer answers.
    Response,
    /// It is let in.
    Success,
    /// It is not.
    Failure,
}

impl EapCode {
    /// The code, if EAP has it.
    pub const fn from_code(code: Code) -> Option<Self> {
        match code.0 {
            1 => Some(Self::Request),
            2 => Some(Self::Response),
            3 => Some(Self::Success),
            4 => Some(Self::Failure),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> Code {
        match self {
            Self::Request => Code(1),
            Self::Response => Code(2),
            Self::Success => Code(3),
            Self::Failure => Code(4),
        }
    }
}

/// The type of a Request or Response (RFC 3748, 5): those that everybody speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EapType(pub u8);

impl EapType {
    /// Who is it?
    pub const IDENTITY: Self = Self(1);
    /// A text for the user.
    pub const NOTIFICATION: Self = Self(2);
    /// Another method, please. A Response only.
    pub const NAK: Self = Self(3);
    /// CHAP's digest.
    pub const MD5_CHALLENGE: Self = Self(4);
}

/// An EAP packet by its form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EapPacket<'a> {
    /// What an authenticator asks.
    Request(EapData<'a>),
    /// What a peer answers.
    Response(EapData<'a>),
    /// The peer is let in.
    Success,
    /// It is not.
    Failure,
}

/// The data of a Request or Response (RFC 3748, 4.1).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct EapData<'a> {
    /// What it is about.
    pub kind: EapType,
    /// What the type says; may be a password (RFC 3748, 5.6).
    pub data: &'a [u8],
}

impl core::fmt::Debug for EapData<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EapData")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<'a> EapPacket<'a> {
    /// Gives a control packet of protocol EAP its meaning.
    ///
    /// # Errors
    /// [`Error::Code`]; [`Error::Truncated`] for a Request or Response without a type;
    /// [`Error::NameTooLong`] for an identity beyond the 253 octets of a User-Name.
    pub fn parse(packet: &Packet<'a>) -> Result<Self, Error> {
        match EapCode::from_code(packet.code).ok_or(Error::Code)? {
            EapCode::Request => EapData::parse(packet.data).map(Self::Request),
            EapCode::Response => {
                let response = EapData::parse(packet.data)?;
                if response.kind == EapType::IDENTITY && response.data.len() > super::MAX_NAME {
                    return Err(Error::NameTooLong);
                }
                Ok(Self::Response(response))
            }
            EapCode::Success => Ok(Self::Success),
            EapCode::Failure => Ok(Self::Failure),
        }
    }
}

impl<'a> EapData<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(data);
        Ok(Self {
            kind: EapType(reader.u8()?),
            data: reader.rest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(octets: &[u8]) -> Result<EapPacket<'_>, Error> {
        EapPacket::parse(&Packet::parse(octets)?)
    }

    #[test]
    fn a_packet_is_read_by_its_code_and_type() {
        let identity = EapData {
            kind: EapType::IDENTITY,
            data: b"bob",
        };
        let octets = [&[2, 7, 0, 8, 1][..], b"bob"].concat();
        assert_eq!(parse(&octets), Ok(EapPacket::Response(identity)));
        let nobody = EapData {
            data: b"",
            ..identity
        };
        assert_eq!(parse(&[1, 7, 0, 5, 1]), Ok(EapPacket::Request(nobody)));
        assert_eq!(parse(&[3, 7, 0, 4]), Ok(EapPacket::Success));
        assert_eq!(parse(&[4, 7, 0, 4]), Ok(EapPacket::Failure));
    }

    #[test]
    fn what_is_no_eap_says_why() {
        for (octets, error) in [
            (&[2, 7, 0, 4][..], Error::Truncated),
            (&[1, 7, 0, 4], Error::Truncated),
            (&[5, 7, 0, 5, 1], Error::Code),
            (&[0, 7, 0, 5, 1], Error::Code),
            (&[2, 7, 0, 9, 1], Error::LengthBeyondEnd),
            (&[2, 7, 0, 3], Error::LengthBelowHeader),
        ] {
            assert_eq!(parse(octets), Err(error), "{octets:?}");
        }
        let mut long = alloc::vec![b'x'; 5 + 254];
        long[..5].copy_from_slice(&[2, 7, 1, 3, 1]);
        assert_eq!(parse(&long), Err(Error::NameTooLong));
        long[4] = 4;
        assert!(parse(&long).is_ok(), "only an identity is a name");
    }

    #[test]
    fn data_that_may_be_a_password_is_not_shown() {
        let data = EapData {
            kind: EapType(6),
            data: b"canary",
        };
        assert!(!alloc::format!("{data:?}").contains("canary"));
    }
}
