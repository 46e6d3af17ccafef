//! Why a subscriber is not let in: what engineers and what the subscriber are told of it.

use std::borrow::Cow;
use std::sync::Arc;

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
    /// The rule for duplicates.
    Duplicate,
    /// Its Filter-Id, which names no policy.
    UnknownFilterId(Arc<str>),
    /// It has more policies than one session may have.
    TooManyPolicies,
    /// There is no room for one more combination of policies.
    NoPolicyChain,
}

impl Rejection {
    /// For engineers.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::AnotherUser => "another_user",
            Self::Duplicate => "duplicate_user",
            Self::UnknownFilterId(_) => "unknown_filter_id",
            Self::TooManyPolicies => "too_many_policies",
            Self::NoPolicyChain => "no_policy_chain",
        }
    }

    /// The reason of the end.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownUser | Self::WrongPassword | Self::AnotherUser => "authentication_failed",
            Self::Duplicate
            | Self::UnknownFilterId(_)
            | Self::TooManyPolicies
            | Self::NoPolicyChain => self.label(),
        }
    }

    /// More of why than the reason: the value, or the label.
    pub(crate) fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::UnknownFilterId(value) => printable(value.as_bytes()).into(),
            Self::UnknownUser
            | Self::WrongPassword
            | Self::AnotherUser
            | Self::Duplicate
            | Self::TooManyPolicies
            | Self::NoPolicyChain => self.label().into(),
        }
    }

    /// For the subscriber, who is not told whether name or password is wrong.
    pub(crate) const fn message(&self) -> &'static [u8] {
        match self {
            Self::Duplicate => b"Already logged in",
            Self::UnknownUser | Self::WrongPassword | Self::AnotherUser => b"Login incorrect",
            Self::UnknownFilterId(_) | Self::TooManyPolicies | Self::NoPolicyChain => {
                b"Service not available"
            }
        }
    }
}
