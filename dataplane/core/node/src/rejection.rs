//! Why a subscriber is not let in: what engineers and what the subscriber are told of it.

use std::borrow::Cow;
use std::sync::Arc;

use lns_radius::request::Failure;

use crate::control::printable;

/// Why a subscriber is not let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Rejection {
    /// Nobody has this name.
    UnknownUser,
    /// The name has another password.
    WrongPassword,
    /// It was let in under another name.
    AnotherUser,
    /// It has no name, and RADIUS has no User-Name without octets (RFC 2865, 5.1).
    NoName,
    /// Its password is longer than a User-Password can be (RFC 2865, 5.2).
    PasswordTooLong,
    /// EAP, and no server to pass it to.
    NeedsRadius,
    /// The rule for duplicates.
    Duplicate,
    /// Its user has as many sessions as a server allows.
    PortLimit,
    /// Its Filter-Id, which names no policy.
    UnknownFilterId(Arc<str>),
    /// It has more policies than one session may have.
    TooManyPolicies,
    /// There is no room for one more combination of policies.
    NoPolicyChain,
    /// Its Framed-Pool, which names no pool.
    UnknownPool(Arc<str>),
    /// A server's no.
    Refused {
        /// What the subscriber is to be told; may be empty.
        message: Box<[u8]>,
        /// The number in an MS-CHAP-Error.
        ms_chap_error: Option<u16>,
    },
    /// No server has answered, or none that can be believed.
    NoAnswer(Failure),
    /// A server has answered something that cannot be done: what is wrong with it.
    Malformed(Box<str>),
}

impl Rejection {
    /// For engineers.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::AnotherUser => "another_user",
            Self::NoName => "no_user_name",
            Self::PasswordTooLong => "password_too_long",
            Self::NeedsRadius => "eap_needs_radius",
            Self::Duplicate => "duplicate_user",
            Self::PortLimit => "port_limit",
            Self::UnknownFilterId(_) => "unknown_filter_id",
            Self::TooManyPolicies => "too_many_policies",
            Self::NoPolicyChain => "no_policy_chain",
            Self::UnknownPool(_) => "unknown_pool",
            Self::Refused { .. } => "rejected",
            Self::NoAnswer(failure) => failure.label(),
            Self::Malformed(_) => "malformed_reply",
        }
    }

    /// The reason of the end.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownUser
            | Self::WrongPassword
            | Self::AnotherUser
            | Self::NoName
            | Self::PasswordTooLong
            | Self::NeedsRadius => "authentication_failed",
            Self::Duplicate
            | Self::PortLimit
            | Self::UnknownFilterId(_)
            | Self::TooManyPolicies
            | Self::NoPolicyChain
            | Self::UnknownPool(_)
            | Self::Refused { .. }
            | Self::NoAnswer(_)
            | Self::Malformed(_) => self.label(),
        }
    }

    /// More of why than the reason: the value, what the server said, or the label.
    pub(crate) fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::UnknownFilterId(value) | Self::UnknownPool(value) => {
                printable(value.as_bytes()).into()
            }
            Self::Refused { message, .. } if !message.is_empty() => printable(message).into(),
            Self::Malformed(what) => what.to_string().into(),
            Self::UnknownUser
            | Self::WrongPassword
            | Self::AnotherUser
            | Self::NoName
            | Self::PasswordTooLong
            | Self::NeedsRadius
            | Self::Duplicate
            | Self::PortLimit
            | Self::TooManyPolicies
            | Self::NoPolicyChain
            | Self::Refused { .. }
            | Self::NoAnswer(_) => self.label().into(),
        }
    }

    /// For the subscriber, who is not told whether name or password is wrong.
    pub(crate) fn message(&self) -> &[u8] {
        match self {
            Self::Duplicate | Self::PortLimit => b"Already logged in",
            Self::Refused { message, .. } if !message.is_empty() => message,
            Self::UnknownUser
            | Self::WrongPassword
            | Self::AnotherUser
            | Self::NoName
            | Self::PasswordTooLong
            | Self::Refused { .. } => b"Login incorrect",
            Self::UnknownFilterId(_)
            | Self::TooManyPolicies
            | Self::NoPolicyChain
            | Self::UnknownPool(_)
            | Self::NeedsRadius
            | Self::NoAnswer(_)
            | Self::Malformed(_) => b"Service not available",
        }
    }

    /// The number that an MS-CHAPv2 peer is told in place of "authentication failure".
    pub(crate) const fn ms_chap_error(&self) -> Option<u16> {
        match self {
            Self::Refused { ms_chap_error, .. } => *ms_chap_error,
            Self::UnknownUser
            | Self::WrongPassword
            | Self::AnotherUser
            | Self::NoName
            | Self::PasswordTooLong
            | Self::NeedsRadius
            | Self::Duplicate
            | Self::PortLimit
            | Self::UnknownFilterId(_)
            | Self::TooManyPolicies
            | Self::NoPolicyChain
            | Self::UnknownPool(_)
            | Self::NoAnswer(_)
            | Self::Malformed(_) => None,
        }
    }
}
