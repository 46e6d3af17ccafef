//! Status checks: what a server is asked when it does not answer (RFC 5997).
//!
//! A check is never sent twice: each has an authenticator of its own, and all have the identifier that is
//! kept for them. The answer to any of the last ones counts.
//!
//! Status-Server says who asks and what is configured, and names no user. An Access-Request is a login, an
//! Accounting-Request the end of a session that never was: its Acct-Session-Id is drawn for each, and with
//! that its authenticator is one of its own too.
//!
//! Left out: Event-Timestamp, which RFC 5997 (4.1) would have in each. Who builds a check here does not know
//! the date, and what is different in each of them is enough.

use lns_crypto::Rng;
use lns_wire::radius::{Attribute, AttributeList, Code, kind};

use crate::config::{Check, Purpose, StatusCheck, Timing};
use crate::ids::Signed;
use crate::limits::CHECKS_REMEMBERED;
use crate::record::Status;
use crate::retry::Retry;

lns_wire::labelled! {
    /// A kind of status check.
    pub enum CheckKind {
        /// RFC 5997.
        StatusServer = "status_server",
        /// A login that nobody uses; Accept and Reject both mean that the server lives.
        AccessRequest = "access_request",
        /// A record that nobody needs.
        AccountingRequest = "accounting_request",
    }
}

impl CheckKind {
    /// The code of its packet.
    pub const fn code(self) -> Code {
        match self {
            Self::StatusServer => Code::STATUS_SERVER,
            Self::AccessRequest => Code::ACCESS_REQUEST,
            Self::AccountingRequest => Code::ACCOUNTING_REQUEST,
        }
    }

    /// How it is repeated: as RFC 5080 says of its packet.
    pub const fn timing(self) -> Timing {
        match self {
            Self::StatusServer => Timing::CHECK,
            Self::AccessRequest => Timing::ACCESS,
            Self::AccountingRequest => Timing::ACCOUNTING,
        }
    }
}

impl StatusCheck {
    /// What a check says, if there are any.
    pub const fn check(&self) -> Option<&Check> {
        match self {
            Self::None => None,
            Self::Auto(check)
            | Self::StatusServer(check)
            | Self::AccessRequest(check)
            | Self::AccountingRequest(check) => Some(check),
        }
    }

    /// The kind for the `turn`th check to a server: the one that is configured, or, of Auto, the one that
    /// has worked, or all that can in turn.
    pub fn kind(&self, purpose: Purpose, works: Option<CheckKind>, turn: u8) -> Option<CheckKind> {
        match self {
            Self::None => None,
            Self::StatusServer(_) => Some(CheckKind::StatusServer),
            Self::AccessRequest(_) => Some(CheckKind::AccessRequest),
            Self::AccountingRequest(_) => Some(CheckKind::AccountingRequest),
            Self::Auto(check) => works.or_else(|| {
                let other = other_kind(check, purpose).filter(|_| turn % 2 == 1);
                Some(other.unwrap_or(CheckKind::StatusServer))
            }),
        }
    }

    /// Whether a server is known to answer checks, so that it can be made to before it is used again.
    pub const fn is_sure(&self, works: Option<CheckKind>) -> bool {
        match self {
            Self::None => false,
            Self::Auto(_) => works.is_some(),
            Self::StatusServer(_) | Self::AccessRequest(_) | Self::AccountingRequest(_) => true,
        }
    }
}

impl Check {
    /// What a check of that kind says, beside the identity.
    pub(crate) fn said(&self, kind: CheckKind, rng: &mut Rng) -> AttributeList {
        let mut list = AttributeList::new();
        let is_login = |attribute: &Attribute<'_>| attribute.kind == kind::USER_NAME;
        for attribute in &self.attributes {
            if kind == CheckKind::StatusServer && is_login(&attribute) {
                continue;
            }
            // It fitted into an attribute before.
            let _: Result<(), _> = list.push(attribute.kind, attribute.value);
        }
        if kind == CheckKind::AccountingRequest {
            let session = format!("check-{:016x}", u64::from_be_bytes(rng.array()));
            list.push_u32(kind::ACCT_STATUS_TYPE, Status::Stop.number());
            let _: Result<(), _> = list.push(kind::ACCT_SESSION_ID, session.as_bytes());
        }
        list
    }
}

/// What beside Status-Server may be sent to servers of that purpose, if its attributes suffice.
fn other_kind(check: &Check, purpose: Purpose) -> Option<CheckKind> {
    let named = check
        .attributes
        .iter()
        .any(|attribute| attribute.kind == kind::USER_NAME);
    match purpose {
        Purpose::Authentication => {
            (named && check.password.is_some()).then_some(CheckKind::AccessRequest)
        }
        Purpose::Accounting => named.then_some(CheckKind::AccountingRequest),
        Purpose::Copy => None,
    }
}

/// Where the checks of one connection have come to.
#[derive(Debug, Default)]
pub(crate) struct Checking {
    /// They are going on.
    pub(crate) on: bool,
    /// One is to be sent now.
    pub(crate) due: bool,
    /// Since when none was answered.
    pub(crate) retry: Option<Retry>,
    /// Answered in a row.
    pub(crate) answers: u8,
    /// Sent on this connection.
    pub(crate) turn: u8,
    /// Tw is over that many times without a packet (RFC 3539, 3.4.1).
    pub(crate) silent: u8,
    /// What was sent last, oldest first.
    pub(crate) sent: Vec<(CheckKind, Signed)>,
}

impl Checking {
    /// Notes one that was sent.
    pub(crate) fn note(&mut self, kind: CheckKind, signed: Signed) {
        if self.sent.len() >= CHECKS_REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push((kind, signed));
        self.turn = self.turn.wrapping_add(1);
    }

    /// The service is resumed, or there is no connection any more.
    pub(crate) fn stop(&mut self) {
        self.on = false;
        self.due = false;
        self.retry = None;
        self.answers = 0;
    }
}
