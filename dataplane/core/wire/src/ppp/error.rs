//! Why octets are no PPP packet.

use core::fmt;

use crate::Truncated;

/// What is wrong with a frame, packet or option list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// It ended before a fixed field did.
    Truncated,
    /// FF was not followed by 03.
    AddressControl,
    /// The protocol number's last octet is even (RFC 1661, 2).
    ProtocolNumber,
    /// A control packet's Length is less than its own header.
    LengthBelowHeader,
    /// A control packet's Length goes past the end of the frame.
    LengthBeyondEnd,
    /// An option's Length is 0, 1 or goes past the end of the list (RFC 1661, 6).
    OptionLength,
    /// An authentication packet has a code that its protocol does not know.
    Code,
    /// A CHAP value is empty (RFC 1994, 4.1) or has a size that its algorithm does not.
    ValueSize,
    /// A name is longer than the 253 octets that RADIUS can carry (RFC 2865, 5).
    NameTooLong,
}

impl Error {
    /// A metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::AddressControl => "address_control",
            Self::ProtocolNumber => "protocol_number",
            Self::LengthBelowHeader => "length_below_header",
            Self::LengthBeyondEnd => "length_beyond_end",
            Self::OptionLength => "option_length",
            Self::Code => "code",
            Self::ValueSize => "value_size",
            Self::NameTooLong => "name_too_long",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl core::error::Error for Error {}

impl From<Truncated> for Error {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}
