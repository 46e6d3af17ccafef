//! What a packet is (RFC 2865, 3; RFC 2866, 3; RFC 5176, 2.3; RFC 5997, 3; RFC 7930, 2).

use core::fmt;

/// The first octet of a packet.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(pub u8);

impl Code {
    /// May this subscriber come in?
    pub const ACCESS_REQUEST: Self = Self(1);
    /// He may.
    pub const ACCESS_ACCEPT: Self = Self(2);
    /// He may not.
    pub const ACCESS_REJECT: Self = Self(3);
    /// What he has used.
    pub const ACCOUNTING_REQUEST: Self = Self(4);
    /// It is written down.
    pub const ACCOUNTING_RESPONSE: Self = Self(5);
    /// He must answer something first.
    pub const ACCESS_CHALLENGE: Self = Self(11);
    /// Are you there?
    pub const STATUS_SERVER: Self = Self(12);
    /// End a session.
    pub const DISCONNECT_REQUEST: Self = Self(40);
    /// It is ended.
    pub const DISCONNECT_ACK: Self = Self(41);
    /// It is not.
    pub const DISCONNECT_NAK: Self = Self(42);
    /// Change a session.
    pub const COA_REQUEST: Self = Self(43);
    /// It is changed.
    pub const COA_ACK: Self = Self(44);
    /// It is not.
    pub const COA_NAK: Self = Self(45);
    /// The request cannot be answered as it is.
    pub const PROTOCOL_ERROR: Self = Self(52);

    /// The name of the registry, or nothing for other codes.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ACCESS_REQUEST => "Access-Request",
            Self::ACCESS_ACCEPT => "Access-Accept",
            Self::ACCESS_REJECT => "Access-Reject",
            Self::ACCOUNTING_REQUEST => "Accounting-Request",
            Self::ACCOUNTING_RESPONSE => "Accounting-Response",
            Self::ACCESS_CHALLENGE => "Access-Challenge",
            Self::STATUS_SERVER => "Status-Server",
            Self::DISCONNECT_REQUEST => "Disconnect-Request",
            Self::DISCONNECT_ACK => "Disconnect-ACK",
            Self::DISCONNECT_NAK => "Disconnect-NAK",
            Self::COA_REQUEST => "CoA-Request",
            Self::COA_ACK => "CoA-ACK",
            Self::COA_NAK => "CoA-NAK",
            Self::PROTOCOL_ERROR => "Protocol-Error",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
