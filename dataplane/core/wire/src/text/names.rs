//! What the RFCs call the numbers: result and error codes (RFC 2661, 4.4.2), PPP disconnect causes
//! (RFC 3145, 3), PPP protocols, codes and options (RFC 1661; RFC 1332; RFC 1877).

use core::fmt;

use crate::l2tp::{CdnResult, GeneralError, MessageType, ProxyAuthenType, StopCcnResult};
use crate::ppp::{ChapCode, Code, PapCode, Protocol, ipcp, lcp};

/// A number with what it is called, if it is called anything.
pub(super) struct Named<N>(pub(super) N, pub(super) Option<&'static str>);

impl<N: fmt::Display> fmt::Display for Named<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The Result Code of a message: a `StopCCN` and a CDN number them each in its own way.
pub(super) fn result(message: Option<MessageType>, code: u16) -> Option<&'static str> {
    match message {
        Some(MessageType::StopCcn) => stop_ccn_result(StopCcnResult(code)),
        Some(MessageType::Cdn) => cdn_result(CdnResult(code)),
        _ => None,
    }
}

fn stop_ccn_result(code: StopCcnResult) -> Option<&'static str> {
    Some(match code {
        StopCcnResult::REQUEST => "general request to clear the control connection",
        StopCcnResult::GENERAL_ERROR => "general error",
        StopCcnResult::EXISTS => "control channel already exists",
        StopCcnResult::NOT_AUTHORIZED => "requester not authorized",
        StopCcnResult::VERSION => "protocol version not supported",
        StopCcnResult::SHUTDOWN => "requester is being shut down",
        StopCcnResult::FSM_ERROR => "finite state machine error",
        _ => return None,
    })
}

fn cdn_result(code: CdnResult) -> Option<&'static str> {
    Some(match code {
        CdnResult::LOST_CARRIER => "loss of carrier",
        CdnResult::GENERAL_ERROR => "general error",
        CdnResult::ADMINISTRATIVE => "administrative reasons",
        CdnResult::NO_FACILITIES_NOW => "no facilities available, temporary",
        CdnResult::NO_FACILITIES_EVER => "no facilities available, permanent",
        CdnResult::INVALID_DESTINATION => "invalid destination",
        CdnResult::NO_CARRIER => "no carrier detected",
        CdnResult::BUSY => "busy signal",
        CdnResult::NO_DIAL_TONE => "no dial tone",
        CdnResult::TIMEOUT => "not established within the LAC's time",
        CdnResult::NO_FRAMING => "no appropriate framing detected",
        _ => return None,
    })
}

pub(super) fn error(code: GeneralError) -> Option<&'static str> {
    Some(match code {
        GeneralError::NONE => "no general error",
        GeneralError::NO_TUNNEL => "no control connection exists yet",
        GeneralError::LENGTH => "length is wrong",
        GeneralError::RANGE => "field value out of range or reserved field not zero",
        GeneralError::RESOURCES => "insufficient resources",
        GeneralError::SESSION_ID => "session id invalid in this context",
        GeneralError::VENDOR => "vendor-specific error",
        GeneralError::TRY_ANOTHER => "try another",
        GeneralError::UNKNOWN_MANDATORY_AVP => "unknown AVP with the M bit",
        _ => return None,
    })
}

pub(super) fn proxy_authen(kind: ProxyAuthenType) -> Option<&'static str> {
    Some(match kind {
        ProxyAuthenType::TEXTUAL => "textual exchange",
        ProxyAuthenType::CHAP => "CHAP",
        ProxyAuthenType::PAP => "PAP",
        ProxyAuthenType::NONE => "none",
        ProxyAuthenType::MS_CHAP_V1 => "MS-CHAPv1",
        _ => return None,
    })
}

/// A PPP Disconnect Cause Code (RFC 3145, 3).
pub(super) fn disconnect(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "no information",
        1 => "administrative disconnect",
        2 => "LCP renegotiation disabled, no proxy LCP sent",
        3 => "normal disconnection",
        4 => "compulsory encryption refused",
        5 => "LCP timeout",
        6 => "no recognizable LCP packets",
        7 => "LCP magic number error, possibly looped back",
        8 => "LCP echo timeout",
        9 => "unexpected endpoint discriminator for the bundle",
        10 => "unexpected MRRU for the bundle",
        11 => "unexpected short sequence numbers for the bundle",
        12 => "compulsory call-back refused",
        13 => "authentication timeout",
        14 => "unexpected authenticated name for the bundle",
        15 => "authentication protocol unacceptable",
        16 => "authentication failed",
        17 => "NCP timeout",
        18 => "no NCPs available",
        19 => "no acceptable addresses",
        20 => "user not permitted any address",
        _ => return None,
    })
}

/// The Direction of a PPP Disconnect Cause Code (RFC 3145, 2).
pub(super) fn direction(direction: u8) -> Option<&'static str> {
    Some(match direction {
        0 => "global",
        1 => "at the peer",
        2 => "at the sender",
        _ => return None,
    })
}

/// A PPP protocol by its name, or by its number.
pub(super) struct ProtocolName(pub(super) Protocol);

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Protocol::IPV4 => "IPv4",
            Protocol::IPV6 => "IPv6",
            Protocol::MULTILINK => "multilink",
            Protocol::IPCP => "IPCP",
            Protocol::IPXCP => "IPXCP",
            Protocol::ECP => "ECP",
            Protocol::IPV6CP => "IPV6CP",
            Protocol::CCP => "CCP",
            Protocol::LCP => "LCP",
            Protocol::PAP => "PAP",
            Protocol::LQR => "LQR",
            Protocol::CHAP => "CHAP",
            Protocol::EAP => "EAP",
            Protocol(number) => return write!(f, "protocol {number:#06x}"),
        })
    }
}

/// The code of a control packet by its name in that protocol, or by its number.
pub(super) struct CodeName(pub(super) Protocol, pub(super) Code);

impl fmt::Display for CodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(protocol, code) = *self;
        let name = match protocol {
            Protocol::PAP => pap_code(code),
            Protocol::CHAP => chap_code(code),
            Protocol::EAP => eap_code(code),
            _ if protocol.may_hold_secrets() => None,
            Protocol::LCP => ncp_code(code).or_else(|| lcp_code(code)),
            _ => ncp_code(code),
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", code.0),
        }
    }
}

/// Codes of LCP and all NCPs (RFC 1661, 5).
fn ncp_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::CONFIGURE_REQUEST => "Configure-Request",
        Code::CONFIGURE_ACK => "Configure-Ack",
        Code::CONFIGURE_NAK => "Configure-Nak",
        Code::CONFIGURE_REJECT => "Configure-Reject",
        Code::TERMINATE_REQUEST => "Terminate-Request",
        Code::TERMINATE_ACK => "Terminate-Ack",
        Code::CODE_REJECT => "Code-Reject",
        _ => return None,
    })
}

/// Codes of LCP alone (RFC 1661, 5; RFC 1570, 2).
fn lcp_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::PROTOCOL_REJECT => "Protocol-Reject",
        Code::ECHO_REQUEST => "Echo-Request",
        Code::ECHO_REPLY => "Echo-Reply",
        Code::DISCARD_REQUEST => "Discard-Request",
        Code::IDENTIFICATION => "Identification",
        Code::TIME_REMAINING => "Time-Remaining",
        _ => return None,
    })
}

fn pap_code(code: Code) -> Option<&'static str> {
    PapCode::from_code(code).map(|code| match code {
        PapCode::Request => "Authenticate-Request",
        PapCode::Ack => "Authenticate-Ack",
        PapCode::Nak => "Authenticate-Nak",
    })
}

fn chap_code(code: Code) -> Option<&'static str> {
    ChapCode::from_code(code).map(|code| match code {
        ChapCode::Challenge => "Challenge",
        ChapCode::Response => "Response",
        ChapCode::Success => "Success",
        ChapCode::Failure => "Failure",
    })
}

/// Codes of EAP (RFC 3748, 4).
fn eap_code(code: Code) -> Option<&'static str> {
    Some(match code.0 {
        1 => "Request",
        2 => "Response",
        3 => "Success",
        4 => "Failure",
        _ => return None,
    })
}

/// An option of a protocol by its name there, or by its number.
pub(super) struct OptionName(pub(super) Protocol, pub(super) u8);

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            Protocol::LCP => lcp_option(self.1),
            Protocol::IPCP => ipcp_option(self.1),
            _ => None,
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "option {}", self.1),
        }
    }
}

fn lcp_option(kind: u8) -> Option<&'static str> {
    use lcp::kind;
    Some(match kind {
        kind::MRU => "MRU",
        kind::ACCM => "ACCM",
        kind::AUTHENTICATION => "Authentication",
        kind::QUALITY => "Quality",
        kind::MAGIC => "Magic-Number",
        kind::PFC => "PFC",
        kind::ACFC => "ACFC",
        kind::CALLBACK => "Callback",
        kind::MRRU => "MRRU",
        kind::SHORT_SEQUENCE => "Short-Sequence-Number",
        kind::ENDPOINT => "Endpoint-Discriminator",
        _ => return None,
    })
}

fn ipcp_option(kind: u8) -> Option<&'static str> {
    use ipcp::kind;
    Some(match kind {
        kind::ADDRESSES => "IP-Addresses",
        kind::COMPRESSION => "IP-Compression-Protocol",
        kind::ADDRESS => "IP-Address",
        kind::PRIMARY_DNS => "Primary-DNS",
        kind::PRIMARY_NBNS => "Primary-NBNS",
        kind::SECONDARY_DNS => "Secondary-DNS",
        kind::SECONDARY_NBNS => "Secondary-NBNS",
        _ => return None,
    })
}
