//! Why a session ended, in the words of accounting: Acct-Terminate-Cause (RFC 2866, 5.10) for each of the
//! node's own reasons, and for what a LAC says of the PPP that it saw end (RFC 3145, 2).

use lns_radius::request::Failure;
use lns_wire::l2tp::PppDisconnectCause;

use crate::ends::TUNNEL_CLOSED;

const USER_REQUEST: u32 = 1;
const LOST_CARRIER: u32 = 2;
const LOST_SERVICE: u32 = 3;
const IDLE_TIMEOUT: u32 = 4;
const SESSION_TIMEOUT: u32 = 5;
const ADMIN_RESET: u32 = 6;
const ADMIN_REBOOT: u32 = 7;
const PORT_ERROR: u32 = 8;
const NAS_ERROR: u32 = 9;
const NAS_REQUEST: u32 = 10;
const PORT_PREEMPTED: u32 = 13;
const SERVICE_UNAVAILABLE: u32 = 15;
const USER_ERROR: u32 = 17;

/// What a LAC's CDN ends a call with, where nothing has ended it before.
const ENDED_BY_LAC: [&str; 3] = [
    "peer_lost_carrier",
    "peer_administrative",
    "peer_disconnected",
];

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// The node's reason.
    pub(crate) reason: &'static str,
    /// Why its tunnel ended, if it did.
    pub(crate) tunnel: Option<&'static str>,
    /// The node leaves.
    pub(crate) draining: bool,
    /// What the LAC said of the PPP. It is why only where the LAC ended the call.
    pub(crate) said: Option<u32>,
}

impl Ended {
    /// The value of Acct-Terminate-Cause.
    pub(crate) fn cause(&self) -> u32 {
        if self.reason == TUNNEL_CLOSED {
            return self.of_tunnel();
        }
        let of_lac = self.said.filter(|_| ENDED_BY_LAC.contains(&self.reason));
        of_lac.unwrap_or_else(|| of_reason(self.reason))
    }

    fn of_tunnel(&self) -> u32 {
        match self.tunnel {
            _ if self.draining => ADMIN_REBOOT,
            Some("requested") => ADMIN_RESET,
            Some("no_answer" | "peer_restarted") => LOST_CARRIER,
            Some(_) | None => LOST_SERVICE,
        }
    }
}

/// What is not listed went wrong between us and the LAC: a message that cannot be accepted, a queue that
/// is full.
fn of_reason(reason: &str) -> u32 {
    match reason {
        "peer_terminated" => USER_REQUEST,
        "lost_carrier" | "peer_lost_carrier" | "lcp_timeout" => LOST_CARRIER,
        "network_closed" | "network_timeout" | "peer_disconnected" => LOST_SERVICE,
        "idle_timeout" => IDLE_TIMEOUT,
        "session_timeout" => SESSION_TIMEOUT,
        "admin_reset" | "peer_administrative" => ADMIN_RESET,
        "looped_back" => PORT_ERROR,
        "address_taken_back" | "requested" => NAS_REQUEST,
        "replaced" => PORT_PREEMPTED,
        "pool_exhausted"
        | "no_address"
        | "address_unavailable"
        | "unknown_filter_id"
        | "unknown_pool"
        | "too_many_policies"
        | "no_policy_chain"
        | "malformed_reply"
        | "other_service" => SERVICE_UNAVAILABLE,
        "rejected"
        | "port_limit"
        | "authentication_failed"
        | "authentication_refused"
        | "authentication_timeout"
        | "address_refused"
        | "duplicate_user"
        | "lcp_rejected"
        | "proxy_mismatch" => USER_ERROR,
        // No server has answered.
        reason if Failure::ALL.iter().any(|it| it.label() == reason) => SERVICE_UNAVAILABLE,
        _ => NAS_ERROR,
    }
}

/// What a LAC's PPP Disconnect Cause Code tells beyond its CDN: an administrator's act, a subscriber who
/// left (in the direction of the peer; in the other the LAC's own timers ended it), one who was not heard
/// any more. The others are about negotiations that the LAC has not led.
pub(crate) fn said(disconnect: &PppDisconnectCause<'_>) -> Option<u32> {
    match disconnect.code {
        1 => Some(ADMIN_RESET),
        3 if disconnect.direction == 1 => Some(USER_REQUEST),
        8 => Some(LOST_CARRIER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lns_ppp::CloseReason;

    use super::*;

    fn ended(reason: &'static str) -> Ended {
        Ended {
            reason,
            tunnel: None,
            draining: false,
            said: None,
        }
    }

    #[test]
    fn each_reason_of_ppp_has_its_terminate_cause() {
        for (reason, cause) in [
            (CloseReason::Requested, 10),
            (CloseReason::PeerTerminated, 1),
            (CloseReason::LcpTimeout, 2),
            (CloseReason::LcpRejected, 17),
            (CloseReason::LoopedBack, 8),
            (CloseReason::ProxyMismatch, 17),
            (CloseReason::AuthenticationRefused, 17),
            (CloseReason::AuthenticationTimeout, 17),
            (CloseReason::AuthenticationFailed, 17),
            (CloseReason::NoAddress, 15),
            (CloseReason::AddressRefused, 17),
            (CloseReason::NetworkTimeout, 3),
            (CloseReason::NetworkClosed, 3),
            (CloseReason::LostCarrier, 2),
        ] {
            assert_eq!(ended(reason.label()).cause(), cause, "{reason:?}");
        }
    }

    #[test]
    fn each_reason_of_ours_and_of_the_lac_has_its_terminate_cause() {
        for (reason, cause) in [
            ("idle_timeout", 4),
            ("session_timeout", 5),
            ("admin_reset", 6),
            ("replaced", 13),
            ("pool_exhausted", 15),
            ("peer_lost_carrier", 2),
            ("peer_administrative", 6),
            ("peer_disconnected", 3),
            ("rejected", 17),
            ("duplicate_user", 17),
            ("port_limit", 17),
            ("unknown_pool", 15),
            ("malformed_reply", 15),
            ("other_service", 15),
            ("address_unavailable", 15),
            ("send_queue_full", 9),
            ("bad_length", 9),
        ] {
            assert_eq!(ended(reason).cause(), cause, "{reason}");
        }
        for failure in Failure::ALL {
            assert_eq!(ended(failure.label()).cause(), 15, "{failure:?}");
        }
    }

    #[test]
    fn what_ended_the_tunnel_ended_its_sessions() {
        for (why, draining, cause) in [
            (Some("shutdown"), true, 7),
            (Some("requested"), false, 6),
            (Some("no_answer"), false, 2),
            (Some("peer_restarted"), false, 2),
            (Some("peer_shutdown"), false, 3),
            (None, false, 3),
        ] {
            let ended = Ended {
                tunnel: why,
                draining,
                // About another call, or none: the tunnel has ended this one.
                said: Some(1),
                ..ended(TUNNEL_CLOSED)
            };
            assert_eq!(ended.cause(), cause, "{why:?}");
        }
    }

    #[test]
    fn what_the_lac_saw_of_ppp_says_more_than_its_result() {
        for (code, direction, cause) in [
            (1, 0, 6),
            (3, 1, 1),
            (3, 2, 3),
            (8, 1, 2),
            (0, 0, 3),
            (99, 1, 3),
        ] {
            let disconnect = PppDisconnectCause {
                code,
                direction,
                ..PppDisconnectCause::default()
            };
            let ended = Ended {
                said: said(&disconnect),
                ..ended("peer_disconnected")
            };
            assert_eq!(ended.cause(), cause, "{code}");
        }
        // What ended the session before the LAC said anything is why it ended.
        for (reason, cause) in [
            ("idle_timeout", 4),
            ("admin_reset", 6),
            ("peer_terminated", 1),
        ] {
            let said = Some(LOST_CARRIER);
            let ended = Ended {
                said,
                ..ended(reason)
            };
            assert_eq!(ended.cause(), cause, "{reason}");
        }
    }
}
