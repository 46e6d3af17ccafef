//! What is answered: ACK, or NAK with an Error-Cause (RFC 5176, 3.5).

use lns_crypto::Secret;
use lns_crypto::radius::{NO_AUTHENTICATOR, sign_message, sign_response};
use lns_wire::radius::{AttributeList, Code, HEADER, kind};

use super::cache::Key;
use super::order::Command;

lns_wire::labelled! {
    /// Why what was asked is not done: the values of Error-Cause that an LNS has.
    pub enum ErrorCause {
        /// There is an attribute that cannot be in such a request, or with which nothing can be done here.
        UnsupportedAttribute = "unsupported_attribute",
        /// No attribute says which session, or what of it to change.
        MissingAttribute = "missing_attribute",
        /// It is meant for another NAS.
        NasIdentificationMismatch = "nas_identification_mismatch",
        /// It asks for Authorize Only, or another service than PPP.
        UnsupportedService = "unsupported_service",
        /// An attribute has a value that it cannot have, or contradicts another one.
        InvalidAttributeValue = "invalid_attribute_value",
        /// No session is as it says.
        SessionContextNotFound = "session_context_not_found",
        /// There is not the room for it.
        ResourcesUnavailable = "resources_unavailable",
        /// More sessions are as it says than can be changed by one request.
        MultipleSessionSelectionUnsupported = "multiple_session_selection_unsupported",
    }
}

impl ErrorCause {
    /// The value of the attribute.
    pub const fn number(self) -> u32 {
        match self {
            Self::UnsupportedAttribute => 401,
            Self::MissingAttribute => 402,
            Self::NasIdentificationMismatch => 403,
            Self::UnsupportedService => 405,
            Self::InvalidAttributeValue => 407,
            Self::SessionContextNotFound => 503,
            Self::ResourcesUnavailable => 506,
            Self::MultipleSessionSelectionUnsupported => 508,
        }
    }
}

/// Acct-Terminate-Cause: Admin Reset.
const ADMIN_RESET: u32 = 6;

/// The signed packet.
pub(super) fn emit(
    command: Command,
    request: &Key,
    answer: Result<(), ErrorCause>,
    proxy_states: &AttributeList,
    secret: &Secret,
) -> Vec<u8> {
    let code = match (command, answer) {
        (Command::Disconnect, Ok(())) => Code::DISCONNECT_ACK,
        (Command::Disconnect, Err(_)) => Code::DISCONNECT_NAK,
        (Command::Change, Ok(())) => Code::COA_ACK,
        (Command::Change, Err(_)) => Code::COA_NAK,
    };
    let mut list = AttributeList::new();
    let _: Result<(), _> = list.push(kind::MESSAGE_AUTHENTICATOR, &NO_AUTHENTICATOR);
    match (command, answer) {
        (_, Err(cause)) => list.push_u32(kind::ERROR_CAUSE, cause.number()),
        (Command::Disconnect, Ok(())) => list.push_u32(kind::ACCT_TERMINATE_CAUSE, ADMIN_RESET),
        (Command::Change, Ok(())) => {}
    }
    let mut out = Vec::new();
    let mut whole = list.octets().to_vec();
    whole.extend_from_slice(proxy_states.octets());
    // What proxies want back filled a packet, of which the rest was longer than ours: it may not fit then.
    if AttributeList::from(whole)
        .emit(code, request.id, &request.authenticator, &mut out)
        .is_err()
    {
        let _: Result<(), _> = list.emit(code, request.id, &request.authenticator, &mut out);
    }
    let at = HEADER.saturating_add(2);
    let signed = sign_message(&mut out, at, &request.authenticator, secret)
        .and_then(|()| sign_response(&mut out, &request.authenticator, secret));
    // The places are those that were just written.
    debug_assert!(signed.is_ok());
    out
}
