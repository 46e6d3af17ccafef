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
    /// A server's yes for this Service-Type, which is not ours.
    OtherService(u32),
    /// No server has answered, or none that can be believed.
    NoAnswer(Failure),
    /// A server has answered something that cannot be done: what is wrong with it.
    Malformed(Box<str>),
}

/// What is told of a rejection.
struct Row {
    /// For engineers.
    label: &'static str,
    /// Of the end.
    reason: &'static str,
    /// For the subscriber, who is not told whether name or password is wrong.
    message: &'static [u8],
}

impl Rejection {
    const fn row(&self) -> Row {
        const FAILED: &str = "authentication_failed";
        const INCORRECT: &[u8] = b"Login incorrect";
        const THERE: &[u8] = b"Already logged in";
        const UNAVAILABLE: &[u8] = b"Service not available";
        let (label, reason, message) = match self {
            Self::UnknownUser => ("unknown_user", FAILED, INCORRECT),
            Self::WrongPassword => ("wrong_password", FAILED, INCORRECT),
            Self::AnotherUser => ("another_user", FAILED, INCORRECT),
            Self::NoName => ("no_user_name", FAILED, INCORRECT),
            Self::PasswordTooLong => ("password_too_long", FAILED, INCORRECT),
            Self::NeedsRadius => ("eap_needs_radius", FAILED, UNAVAILABLE),
            Self::Duplicate => ("duplicate_user", "duplicate_user", THERE),
            Self::PortLimit => ("port_limit", "port_limit", THERE),
            Self::UnknownFilterId(_) => ("unknown_filter_id", "unknown_filter_id", UNAVAILABLE),
            Self::TooManyPolicies => ("too_many_policies", "too_many_policies", UNAVAILABLE),
            Self::NoPolicyChain => ("no_policy_chain", "no_policy_chain", UNAVAILABLE),
            Self::UnknownPool(_) => ("unknown_pool", "unknown_pool", UNAVAILABLE),
            Self::Refused { .. } => ("rejected", "rejected", INCORRECT),
            Self::OtherService(_) => ("other_service", "other_service", UNAVAILABLE),
            Self::NoAnswer(failure) => (failure.label(), failure.label(), UNAVAILABLE),
            Self::Malformed(_) => ("malformed_reply", "malformed_reply", UNAVAILABLE),
        };
        Row {
            label,
            reason,
            message,
        }
    }

    /// For engineers.
    pub(crate) const fn label(&self) -> &'static str {
        self.row().label
    }

    /// The reason of the end.
    pub(crate) const fn reason(&self) -> &'static str {
        self.row().reason
    }

    /// What a server wants the subscriber to be told, if it wants anything.
    fn words(&self) -> Option<&[u8]> {
        let Self::Refused { message, .. } = self else {
            return None;
        };
        (!message.is_empty()).then_some(message)
    }

    /// More of why than the reason: the value, what the server said, or the label.
    pub(crate) fn detail(&self) -> Cow<'static, str> {
        if let Self::UnknownFilterId(value) | Self::UnknownPool(value) = self {
            return printable(value.as_bytes()).into();
        }
        if let Self::OtherService(service) = self {
            return format!("Service-Type {service}").into();
        }
        if let Self::Malformed(what) = self {
            return what.to_string().into();
        }
        match self.words() {
            Some(words) => printable(words).into(),
            None => self.label().into(),
        }
    }

    /// For the subscriber.
    pub(crate) fn message(&self) -> &[u8] {
        self.words().unwrap_or(self.row().message)
    }

    /// The number that an MS-CHAPv2 peer is told in place of "authentication failure".
    pub(crate) const fn ms_chap_error(&self) -> Option<u16> {
        if let Self::Refused { ms_chap_error, .. } = self {
            *ms_chap_error
        } else {
            None
        }
    }
}
