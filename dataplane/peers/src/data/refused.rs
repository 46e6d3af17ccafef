//! Why a packet is not sealed, and why a frame is not opened.

use thiserror::Error;

/// Why a frame is not opened. It is counted, dropped, and has changed nothing.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum Refused {
    /// It has no room for a header and a tag.
    #[error("it is too short")]
    Short,
    /// It is of another version.
    #[error("it is of another version")]
    Version,
    /// What it says it has is nothing that is known.
    #[error("it has nothing that is known")]
    Kind,
    /// There is no such key, or no longer.
    #[error("its key is not known")]
    UnknownKey,
    /// Too much has come since by this key.
    #[error("it is too late")]
    Late,
    /// It has come before.
    #[error("it has come before")]
    Repeated,
    /// The key has sealed all that it may.
    #[error("its key is worn out")]
    Worn,
    /// It was not sealed with this key, or was changed since.
    #[error("it is forged")]
    Forged,
    /// It was made under an older epoch than we know.
    #[error("its epoch is over")]
    OldEpoch,
    /// What was sealed is not what it should be: a defect of the peer.
    #[error("what it has is broken")]
    Malformed,
    /// A half has no room: the peer's path MTU is set larger than ours.
    #[error("it is too long")]
    TooLong,
}

impl Refused {
    /// All.
    pub const ALL: [Self; 11] = [
        Self::Short,
        Self::Version,
        Self::Kind,
        Self::UnknownKey,
        Self::Late,
        Self::Repeated,
        Self::Worn,
        Self::Forged,
        Self::OldEpoch,
        Self::Malformed,
        Self::TooLong,
    ];

    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::UnknownKey => "unknown_key",
            Self::Late => "late",
            Self::Repeated => "repeated",
            Self::Worn => "worn",
            Self::Forged => "forged",
            Self::OldEpoch => "old_epoch",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
        }
    }
}

/// Why a packet is not sealed.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum SealError {
    /// There is nothing between headroom and tailroom.
    #[error("there is no packet")]
    Empty,
    /// Its two ends are not of one family.
    #[error("one end is of IPv4 and the other of IPv6")]
    Families,
    /// It does not fit into two frames.
    #[error("it does not fit into two frames of the path")]
    TooLong,
    /// The room for the second frame is too small.
    #[error("there is no room for the second frame")]
    NoRoom,
    /// The key has sealed all that it may, and there is no other yet.
    #[error("the key is worn out")]
    Worn,
}
