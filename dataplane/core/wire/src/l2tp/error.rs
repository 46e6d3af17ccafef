//! Why a control message was refused, and what the peer is told (RFC 2661, 4.2 and 7).
//!
//! Two kinds: octets that make no message are dropped and counted, and nothing moves; a well-formed
//! message that cannot be accepted is acknowledged and ends its session or tunnel.

use core::fmt;

use super::code::GeneralError;
use crate::Truncated;

/// Why a body is no control message that can be acted on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParseError {
    /// An AVP's header or value goes beyond the message.
    Truncated,
    /// An AVP's Length is smaller than its header.
    LengthBelowHeader,
    /// The first AVP is not a plain Message Type of two octets.
    NoMessageType,
    /// A hidden AVP has no Random Vector before it.
    NoRandomVector,
    /// A hidden AVP's original length does not fit what was deciphered: a wrong secret, or a lie.
    HiddenLength,
    /// The message type is not known. Without the M bit the message is to be ignored.
    UnknownMessage {
        /// The value of the Message Type AVP.
        kind: u16,
        /// Its M bit.
        mandatory: bool,
    },
    /// An AVP with the M bit is not known, has reserved bits, or is hidden where no secret exists.
    UnknownMandatory {
        /// Its vendor; 0 is IETF.
        vendor: u16,
        /// Its attribute type.
        kind: u16,
    },
    /// An AVP with the M bit has a value of a wrong length.
    ValueLength {
        /// Its attribute type.
        kind: u16,
    },
    /// An AVP has a value that the RFC does not allow, such as an assigned id of 0.
    ValueRange {
        /// Its attribute type.
        kind: u16,
    },
    /// An AVP is missing that the message must have.
    Missing {
        /// Its attribute type.
        kind: u16,
    },
}

impl ParseError {
    /// Whether the octets make no message at all: dropped, counted, not acknowledged.
    pub const fn is_malformed(self) -> bool {
        self.general_error().is_none() && !self.is_ignorable()
    }

    /// Whether the message is to be acknowledged and otherwise ignored (RFC 2661, 4.4.1).
    pub const fn is_ignorable(self) -> bool {
        matches!(
            self,
            Self::UnknownMessage {
                mandatory: false,
                ..
            }
        )
    }

    /// The error code that a `StopCCN` or CDN with result 2 carries; `None` when nothing is answered.
    ///
    /// No code says that an AVP is missing: it is the generic one, with an advisory text.
    pub const fn general_error(self) -> Option<GeneralError> {
        match self {
            Self::Truncated
            | Self::LengthBelowHeader
            | Self::NoMessageType
            | Self::NoRandomVector
            | Self::HiddenLength
            | Self::UnknownMessage {
                mandatory: false, ..
            } => None,
            Self::UnknownMessage {
                mandatory: true, ..
            }
            | Self::UnknownMandatory { .. } => Some(GeneralError::UNKNOWN_MANDATORY_AVP),
            Self::ValueLength { .. } => Some(GeneralError::LENGTH),
            Self::ValueRange { .. } => Some(GeneralError::RANGE),
            Self::Missing { .. } => Some(GeneralError::VENDOR),
        }
    }

    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "avp_truncated",
            Self::LengthBelowHeader => "avp_length_below_header",
            Self::NoMessageType => "no_message_type",
            Self::NoRandomVector => "no_random_vector",
            Self::HiddenLength => "hidden_length",
            Self::UnknownMessage { .. } => "unknown_message",
            Self::UnknownMandatory { .. } => "unknown_mandatory_avp",
            Self::ValueLength { .. } => "avp_value_length",
            Self::ValueRange { .. } => "avp_value_range",
            Self::Missing { .. } => "avp_missing",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated
            | Self::LengthBelowHeader
            | Self::NoMessageType
            | Self::NoRandomVector
            | Self::HiddenLength => f.write_str(self.label()),
            Self::UnknownMessage { kind, .. } => write!(f, "unknown message type {kind}"),
            Self::UnknownMandatory { vendor, kind } => {
                write!(f, "unknown mandatory AVP {kind} of vendor {vendor}")
            }
            Self::ValueLength { kind } => write!(f, "AVP {kind} has a wrong length"),
            Self::ValueRange { kind } => write!(f, "AVP {kind} has a value out of range"),
            Self::Missing { kind } => write!(f, "AVP {kind} is missing"),
        }
    }
}

impl core::error::Error for ParseError {}

impl From<Truncated> for ParseError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// Why a message cannot be written. It is the caller's fault, never the peer's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EmitError {
    /// The value of this attribute type does not fit an AVP: 1,017 octets, 1,015 when hidden.
    ValueTooLong {
        /// Its attribute type.
        kind: u16,
    },
    /// The message does not fit the header's Length field.
    MessageTooLong,
}

impl EmitError {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ValueTooLong { .. } => "emit_value_too_long",
            Self::MessageTooLong => "emit_message_too_long",
        }
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl core::error::Error for EmitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_is_not_answered_and_what_is_not_is() {
        use ParseError as E;
        for error in [
            E::Truncated,
            E::LengthBelowHeader,
            E::NoMessageType,
            E::NoRandomVector,
            E::HiddenLength,
        ] {
            assert!(
                error.is_malformed() && error.general_error().is_none(),
                "{error}"
            );
        }
        let unknown = E::UnknownMandatory { vendor: 9, kind: 1 };
        assert_eq!(unknown.general_error(), Some(GeneralError(8)));
        assert!(!unknown.is_malformed());
        let ignorable = E::UnknownMessage {
            kind: 99,
            mandatory: false,
        };
        assert!(ignorable.is_ignorable() && !ignorable.is_malformed());
        assert_eq!(
            E::ValueLength { kind: 9 }.general_error(),
            Some(GeneralError(2))
        );
        assert_eq!(
            E::ValueRange { kind: 9 }.general_error(),
            Some(GeneralError(3))
        );
        assert_eq!(
            E::Missing { kind: 9 }.general_error(),
            Some(GeneralError(6))
        );
    }
}
