//! Why tunnels and calls end, and how that is told to the peer (RFC 2661, 4.4.2).

use core::fmt::Write as _;

use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    Cdn, CdnResult, EmitError, GeneralError, Message, ParseError, PppDisconnectCause, ResultCode,
    Seq16, StopCcn, StopCcnResult, emit_control,
};

/// Why we end a tunnel, or do not begin one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopReason {
    /// An operator, or the configuration, wants it.
    Requested,
    /// The node shuts down.
    Shutdown,
    /// The peer may not have one, or has not proved that it may.
    NotAuthorized,
    /// There is one already.
    Exists,
    /// The peer's L2TP is not version 1.0.
    Version,
    /// No more tunnels or memory for now.
    Resources,
    /// Another LNS should be tried: this one drains.
    TryAnother,
    /// It was not established in time.
    SetupTimeout,
    /// A message came in a state that does not allow it.
    Fsm,
    /// A message could not be accepted.
    Invalid(ParseError),
}

impl StopReason {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Shutdown => "shutdown",
            Self::NotAuthorized => "not_authorized",
            Self::Exists => "exists",
            Self::Version => "version",
            Self::Resources => "resources",
            Self::TryAnother => "try_another",
            Self::SetupTimeout => "setup_timeout",
            Self::Fsm => "fsm_error",
            Self::Invalid(error) => error.label(),
        }
    }

    /// The Result Code and, where one belongs to it, the error code.
    pub const fn code(self) -> (StopCcnResult, Option<GeneralError>) {
        match self {
            Self::Requested | Self::SetupTimeout => (StopCcnResult::REQUEST, None),
            Self::Shutdown => (StopCcnResult::SHUTDOWN, None),
            Self::NotAuthorized => (StopCcnResult::NOT_AUTHORIZED, None),
            Self::Exists => (StopCcnResult::EXISTS, None),
            // The error code holds the highest version that is spoken: 1, revision 0.
            Self::Version => (StopCcnResult::VERSION, Some(GeneralError(0x0100))),
            Self::Resources => (StopCcnResult::GENERAL_ERROR, Some(GeneralError::RESOURCES)),
            Self::TryAnother => (
                StopCcnResult::GENERAL_ERROR,
                Some(GeneralError::TRY_ANOTHER),
            ),
            Self::Fsm => (StopCcnResult::FSM_ERROR, None),
            Self::Invalid(error) => (
                StopCcnResult::GENERAL_ERROR,
                Some(or_vendor(error.general_error())),
            ),
        }
    }

    /// Appends the `StopCCN`'s body. `local` is our id of the tunnel, none if it has none.
    pub(crate) fn emit(self, local: TunnelId, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let (result, error) = self.code();
        let text = match self {
            Self::Invalid(error) => advisory(error),
            Self::Requested => String::from("closed by the operator"),
            Self::Shutdown => String::from("shutting down"),
            Self::TryAnother => String::from("draining, try another"),
            Self::NotAuthorized => String::from("not authorized"),
            Self::Resources => String::from("no resources now"),
            Self::SetupTimeout => String::from("not established in time"),
            Self::Fsm => String::from("message not allowed in this state"),
            // The codes say it all.
            Self::Exists | Self::Version => String::new(),
        };
        let result = ResultCode {
            result: result.0,
            error,
            advisory: text.as_bytes(),
        };
        Message::StopCcn(StopCcn {
            assigned_tunnel: PeerTunnelId(local.0),
            result,
        })
        .emit(out)
    }
}

/// Writes the whole UDP payload of a `StopCCN` that refuses an SCCRQ without keeping anything of it.
/// `out` is cleared first. It goes out once: if it is lost, the SCCRQ comes again.
///
/// # Errors
/// [`EmitError`], which no `reason` of this crate can cause.
pub fn emit_refusal(
    peer: PeerTunnelId,
    reason: StopReason,
    out: &mut Vec<u8>,
) -> Result<(), EmitError> {
    let mut body = Vec::with_capacity(64);
    reason.emit(TunnelId::NONE, &mut body)?;
    out.clear();
    emit_control(peer, PeerSessionId::NONE, Seq16(0), Seq16(1), &body, out)
}

/// Why we end a call, or do not begin one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CdnReason {
    /// An operator, a policy, or the subscriber's own hang-up.
    Administrative,
    /// PPP is gone: the subscriber answers no echo.
    LostCarrier,
    /// No sessions, memory or addresses for now.
    NoFacilitiesNow,
    /// Something that is never offered here, such as an outgoing call.
    NoFacilitiesEver,
    /// Another LNS should be tried: this one drains.
    TryAnother,
    /// It was not established in time.
    Timeout,
    /// A message came in a state that does not allow it.
    Fsm,
    /// A session id that is not in use, or in use already.
    SessionId,
    /// A message could not be accepted.
    Invalid(ParseError),
}

impl CdnReason {
    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Administrative => "administrative",
            Self::LostCarrier => "lost_carrier",
            Self::NoFacilitiesNow => "no_facilities_now",
            Self::NoFacilitiesEver => "no_facilities_ever",
            Self::TryAnother => "try_another",
            Self::Timeout => "timeout",
            Self::Fsm => "fsm_error",
            Self::SessionId => "session_id",
            Self::Invalid(error) => error.label(),
        }
    }

    /// The Result Code and, where one belongs to it, the error code. The RFC has no code for a message
    /// in the wrong state of a call: it is the generic one, with an advisory text.
    pub const fn code(self) -> (CdnResult, Option<GeneralError>) {
        match self {
            Self::Administrative => (CdnResult::ADMINISTRATIVE, None),
            Self::LostCarrier => (CdnResult::LOST_CARRIER, None),
            Self::NoFacilitiesNow => (CdnResult::NO_FACILITIES_NOW, None),
            Self::NoFacilitiesEver => (CdnResult::NO_FACILITIES_EVER, None),
            Self::Timeout => (CdnResult::TIMEOUT, None),
            Self::TryAnother => (CdnResult::GENERAL_ERROR, Some(GeneralError::TRY_ANOTHER)),
            Self::Fsm => (CdnResult::GENERAL_ERROR, Some(GeneralError::VENDOR)),
            Self::SessionId => (CdnResult::GENERAL_ERROR, Some(GeneralError::SESSION_ID)),
            Self::Invalid(error) => (
                CdnResult::GENERAL_ERROR,
                Some(or_vendor(error.general_error())),
            ),
        }
    }

    /// Calls `send` with the CDN: its advisory text lives only so long. `local` is our id of the
    /// session, none if it has none.
    pub(crate) fn with_message<T>(
        self,
        local: SessionId,
        disconnect: Option<PppDisconnectCause<'_>>,
        send: impl FnOnce(&Message<'_>) -> T,
    ) -> T {
        let (result, error) = self.code();
        let text = match self {
            Self::Invalid(error) => advisory(error),
            Self::Fsm => String::from("message not allowed in this state"),
            Self::Administrative
            | Self::LostCarrier
            | Self::NoFacilitiesNow
            | Self::NoFacilitiesEver
            | Self::TryAnother
            | Self::Timeout
            | Self::SessionId => String::new(),
        };
        let result = ResultCode {
            result: result.0,
            error,
            advisory: text.as_bytes(),
        };
        let assigned_session = PeerSessionId(local.0);
        send(&Message::Cdn(Cdn {
            assigned_session,
            result,
            q931: None,
            disconnect,
        }))
    }
}

/// Why a tunnel has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseReason {
    /// We ended it.
    Local(StopReason),
    /// The peer did.
    Peer {
        /// Its Result Code.
        result: StopCcnResult,
        /// Its error code.
        error: Option<GeneralError>,
        /// Its advisory text, cut to [`limits::ADVISORY`](crate::limits::ADVISORY) octets.
        advisory: Box<[u8]>,
    },
    /// The peer acknowledged nothing any more.
    NoAnswer,
    /// The peer's SCCRQ crossed ours and won.
    TieLost,
    /// The peer has another tunnel under the same id now: it has forgotten this one.
    PeerRestarted,
}

impl CloseReason {
    /// The value of a metric's label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Local(reason) => reason.label(),
            Self::Peer { result, .. } => match *result {
                StopCcnResult::REQUEST => "peer_request",
                StopCcnResult::GENERAL_ERROR => "peer_general_error",
                StopCcnResult::EXISTS => "peer_exists",
                StopCcnResult::NOT_AUTHORIZED => "peer_not_authorized",
                StopCcnResult::VERSION => "peer_version",
                StopCcnResult::SHUTDOWN => "peer_shutdown",
                StopCcnResult::FSM_ERROR => "peer_fsm_error",
                _ => "peer_unassigned",
            },
            Self::NoAnswer => "no_answer",
            Self::TieLost => "tie_lost",
            Self::PeerRestarted => "peer_restarted",
        }
    }
}

fn advisory(error: ParseError) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _: Result<(), core::fmt::Error> = write!(text, "{error}");
    text
}

const fn or_vendor(error: Option<GeneralError>) -> GeneralError {
    match error {
        Some(error) => error,
        None => GeneralError::VENDOR,
    }
}

#[cfg(test)]
mod tests {
    use lns_wire::l2tp::Packet;

    use super::*;

    #[test]
    fn a_refused_version_is_answered_with_result_5_and_the_version_that_is_spoken() {
        let mut out = Vec::new();
        emit_refusal(PeerTunnelId(0x1234), StopReason::Version, &mut out).unwrap();
        let octets = [
            0xc8, 0x02, 0, 38, 0x12, 0x34, 0, 0, 0, 0, 0, 1, // header
            0x80, 8, 0, 0, 0, 0, 0, 4, // StopCCN
            0x80, 8, 0, 0, 0, 9, 0, 0, // no Assigned Tunnel ID
            0x80, 10, 0, 0, 0, 1, 0, 5, 1, 0, // result 5, version 1.0
        ];
        assert_eq!(out, octets);
    }

    #[test]
    fn an_unknown_mandatory_avp_is_named_in_the_answer() {
        let mut out = Vec::new();
        let error = ParseError::UnknownMandatory {
            vendor: 9,
            kind: 77,
        };
        emit_refusal(PeerTunnelId(1), StopReason::Invalid(error), &mut out).unwrap();
        let Ok(Packet::Control(_, body)) = Packet::parse(&out) else {
            panic!("no control message")
        };
        let Ok(Message::StopCcn(stop)) = Message::parse(body) else {
            panic!("no StopCCN")
        };
        assert_eq!(
            (stop.result.result, stop.result.error),
            (2, Some(GeneralError(8)))
        );
        assert_eq!(
            stop.result.advisory,
            b"unknown mandatory AVP 77 of vendor 9"
        );
    }
}
