//! The fourteen control messages (RFC 2661, 6), typed.
//!
//! Parsing is in `parse`, writing in `emit`. Message types 5 and 13 are reserved and unknown.

mod emit;
mod parse;

#[cfg(test)]
mod tests;

use core::fmt;

use super::attribute::{
    Accm, CallErrors, Concealed, PppDisconnectCause, ProtocolVersion, Q931Cause, ResultCode,
};
use super::code::ProxyAuthenType;
use crate::id::{PeerSessionId, PeerTunnelId};

pub use parse::{assigned_session, assigned_tunnel};

/// A control message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// Asks for a tunnel.
    Sccrq(Sccrq<'a>),
    /// Accepts it.
    Sccrp(Sccrp<'a>),
    /// Completes it.
    Scccn(Scccn),
    /// Ends it.
    StopCcn(StopCcn<'a>),
    /// Wants an acknowledgement, nothing else.
    Hello,
    /// An LNS asks for an outgoing call.
    Ocrq(Ocrq<'a>),
    /// The LAC tries to make it.
    Ocrp(Ocrp),
    /// The call is up.
    Occn(Occn),
    /// A LAC announces an incoming call.
    Icrq(Icrq<'a>),
    /// The LNS takes it.
    Icrp(Icrp),
    /// The call is up.
    Iccn(Iccn<'a>),
    /// Ends a call.
    Cdn(Cdn<'a>),
    /// The line's errors.
    Wen(Wen),
    /// The line's character maps.
    Sli(Sli),
}

/// The type of a control message, as its first AVP numbers it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MessageType {
    /// Start-Control-Connection-Request.
    Sccrq,
    /// Start-Control-Connection-Reply.
    Sccrp,
    /// Start-Control-Connection-Connected.
    Scccn,
    /// Stop-Control-Connection-Notification.
    StopCcn,
    /// Hello.
    Hello,
    /// Outgoing-Call-Request.
    Ocrq,
    /// Outgoing-Call-Reply.
    Ocrp,
    /// Outgoing-Call-Connected.
    Occn,
    /// Incoming-Call-Request.
    Icrq,
    /// Incoming-Call-Reply.
    Icrp,
    /// Incoming-Call-Connected.
    Iccn,
    /// Call-Disconnect-Notify.
    Cdn,
    /// WAN-Error-Notify.
    Wen,
    /// Set-Link-Info.
    Sli,
}

/// Start-Control-Connection-Request (RFC 2661, 6.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sccrq<'a> {
    /// The sender's L2TP version. The sender of a reply checks it.
    pub version: ProtocolVersion,
    /// Who the sender is; not empty.
    pub host_name: &'a [u8],
    /// Bit 0: synchronous, bit 1: asynchronous.
    pub framing: u32,
    /// The sender's tunnel id; not 0.
    pub assigned_tunnel: PeerTunnelId,
    /// Bit 0: digital, bit 1: analogue.
    pub bearer: Option<u32>,
    /// Absent: 4. Never 0.
    pub receive_window: Option<u16>,
    /// To be answered in the SCCRP; not empty.
    pub challenge: Option<&'a [u8]>,
    /// The lower of two wins.
    pub tie_breaker: Option<u64>,
    /// The sender's own.
    pub firmware: Option<u16>,
    /// What the sender is.
    pub vendor_name: Option<&'a [u8]>,
}

/// Start-Control-Connection-Reply (RFC 2661, 6.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sccrp<'a> {
    /// The sender's L2TP version.
    pub version: ProtocolVersion,
    /// Who the sender is; not empty.
    pub host_name: &'a [u8],
    /// Bit 0: synchronous, bit 1: asynchronous.
    pub framing: u32,
    /// The sender's tunnel id; not 0.
    pub assigned_tunnel: PeerTunnelId,
    /// Bit 0: digital, bit 1: analogue.
    pub bearer: Option<u32>,
    /// Absent: 4. Never 0.
    pub receive_window: Option<u16>,
    /// To be answered in the SCCCN; not empty.
    pub challenge: Option<&'a [u8]>,
    /// The answer to the SCCRQ's challenge.
    pub challenge_response: Option<[u8; 16]>,
    /// The sender's own.
    pub firmware: Option<u16>,
    /// What the sender is.
    pub vendor_name: Option<&'a [u8]>,
}

/// Start-Control-Connection-Connected (RFC 2661, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scccn {
    /// The answer to the SCCRP's challenge.
    pub challenge_response: Option<[u8; 16]>,
}

/// Stop-Control-Connection-Notification (RFC 2661, 6.4).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StopCcn<'a> {
    /// The sender's tunnel id; none if it had assigned none.
    pub assigned_tunnel: PeerTunnelId,
    /// Why.
    pub result: ResultCode<'a>,
}

/// Outgoing-Call-Request (RFC 2661, 6.9).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ocrq<'a> {
    /// The sender's session id; not 0.
    pub assigned_session: PeerSessionId,
    /// The sender's number for this call.
    pub serial_number: u32,
    /// Bit/s.
    pub minimum_bps: u32,
    /// Bit/s.
    pub maximum_bps: u32,
    /// Bit 0: digital, bit 1: analogue.
    pub bearer_type: u32,
    /// Bit 0: synchronous, bit 1: asynchronous.
    pub framing_type: u32,
    /// The number to call.
    pub called_number: &'a [u8],
    /// More of it.
    pub sub_address: Option<&'a [u8]>,
}

/// Outgoing-Call-Reply (RFC 2661, 6.10).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ocrp {
    /// The sender's session id; not 0.
    pub assigned_session: PeerSessionId,
    /// The LAC's own name of the line.
    pub physical_channel: Option<u32>,
}

/// Outgoing-Call-Connected (RFC 2661, 6.11).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Occn {
    /// From the LAC to the called, bit/s.
    pub tx_connect_speed: u32,
    /// Bit 0: synchronous, bit 1: asynchronous.
    pub framing_type: u32,
    /// From the called to the LAC, bit/s.
    pub rx_connect_speed: Option<u32>,
    /// Data messages must carry numbers.
    pub sequencing_required: bool,
}

/// Incoming-Call-Request (RFC 2661, 6.6).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Icrq<'a> {
    /// The sender's session id; not 0.
    pub assigned_session: PeerSessionId,
    /// The sender's number for this call.
    pub serial_number: u32,
    /// Bit 0: digital, bit 1: analogue.
    pub bearer_type: Option<u32>,
    /// The LAC's own name of the line.
    pub physical_channel: Option<u32>,
    /// The number of who called.
    pub calling_number: Option<&'a [u8]>,
    /// The number that was called.
    pub called_number: Option<&'a [u8]>,
    /// More of the called number.
    pub sub_address: Option<&'a [u8]>,
}

/// Incoming-Call-Reply (RFC 2661, 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Icrp {
    /// The sender's session id; not 0.
    pub assigned_session: PeerSessionId,
}

/// Incoming-Call-Connected (RFC 2661, 6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Iccn<'a> {
    /// From the LAC to the subscriber, bit/s.
    pub tx_connect_speed: u32,
    /// Bit 0: synchronous, bit 1: asynchronous.
    pub framing_type: u32,
    /// What the LAC has negotiated for us.
    pub proxy: Proxy<'a>,
    /// The customer group of the call.
    pub private_group: Option<&'a [u8]>,
    /// From the subscriber to the LAC, bit/s; absent: as `tx_connect_speed`.
    pub rx_connect_speed: Option<u32>,
    /// Data messages must carry numbers.
    pub sequencing_required: bool,
}

/// What a LAC has negotiated with the subscriber before the LNS came in (RFC 2661, 4.4.5). The LCP
/// fields hold the options of a Configure-Request, without its header.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Proxy<'a> {
    /// The subscriber's first.
    pub initial_received_lcp: Option<&'a [u8]>,
    /// The LAC's last.
    pub last_sent_lcp: Option<&'a [u8]>,
    /// The subscriber's last.
    pub last_received_lcp: Option<&'a [u8]>,
    /// How the LAC authenticated the subscriber.
    pub authen_type: Option<ProxyAuthenType>,
    /// The subscriber's name.
    pub authen_name: Option<&'a [u8]>,
    /// The LAC's CHAP challenge.
    pub authen_challenge: Option<&'a [u8]>,
    /// The identifier of the CHAP challenge or PAP request.
    pub authen_id: Option<u8>,
    /// The CHAP response or the PAP password.
    pub authen_response: Option<&'a [u8]>,
}

/// Call-Disconnect-Notify (RFC 2661, 6.12; RFC 3145).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cdn<'a> {
    /// The sender's session id; none if it had assigned none.
    pub assigned_session: PeerSessionId,
    /// Why.
    pub result: ResultCode<'a>,
    /// Why the switched call ended.
    pub q931: Option<Q931Cause<'a>>,
    /// Why PPP ended.
    pub disconnect: Option<PppDisconnectCause<'a>>,
}

/// WAN-Error-Notify (RFC 2661, 6.13).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wen {
    /// The counters.
    pub errors: CallErrors,
}

/// Set-Link-Info (RFC 2661, 6.14).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sli {
    /// The maps.
    pub accm: Accm,
}

impl fmt::Debug for Proxy<'_> {
    /// The response may be a password, and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("initial_received_lcp", &self.initial_received_lcp)
            .field("last_sent_lcp", &self.last_sent_lcp)
            .field("last_received_lcp", &self.last_received_lcp)
            .field("authen_type", &self.authen_type)
            .field("authen_name", &self.authen_name)
            .field("authen_challenge", &self.authen_challenge)
            .field("authen_id", &self.authen_id)
            .field("authen_response", &self.authen_response.map(Concealed))
            .finish()
    }
}

impl MessageType {
    /// All fourteen, by number.
    pub const ALL: [Self; 14] = [
        Self::Sccrq,
        Self::Sccrp,
        Self::Scccn,
        Self::StopCcn,
        Self::Hello,
        Self::Ocrq,
        Self::Ocrp,
        Self::Occn,
        Self::Icrq,
        Self::Icrp,
        Self::Iccn,
        Self::Cdn,
        Self::Wen,
        Self::Sli,
    ];

    /// The type with that number (RFC 2661, 3.2).
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Sccrq,
            2 => Self::Sccrp,
            3 => Self::Scccn,
            4 => Self::StopCcn,
            6 => Self::Hello,
            7 => Self::Ocrq,
            8 => Self::Ocrp,
            9 => Self::Occn,
            10 => Self::Icrq,
            11 => Self::Icrp,
            12 => Self::Iccn,
            14 => Self::Cdn,
            15 => Self::Wen,
            16 => Self::Sli,
            _ => return None,
        })
    }

    /// Its number (RFC 2661, 3.2).
    pub const fn number(self) -> u16 {
        match self {
            Self::Sccrq => 1,
            Self::Sccrp => 2,
            Self::Scccn => 3,
            Self::StopCcn => 4,
            Self::Hello => 6,
            Self::Ocrq => 7,
            Self::Ocrp => 8,
            Self::Occn => 9,
            Self::Icrq => 10,
            Self::Icrp => 11,
            Self::Iccn => 12,
            Self::Cdn => 14,
            Self::Wen => 15,
            Self::Sli => 16,
        }
    }

    /// Whether it is about one session, not about the tunnel.
    pub const fn is_call(self) -> bool {
        match self {
            Self::Sccrq | Self::Sccrp | Self::Scccn | Self::StopCcn | Self::Hello => false,
            Self::Ocrq
            | Self::Ocrp
            | Self::Occn
            | Self::Icrq
            | Self::Icrp
            | Self::Iccn
            | Self::Cdn
            | Self::Wen
            | Self::Sli => true,
        }
    }

    /// Its abbreviation in the RFC; also the value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sccrq => "SCCRQ",
            Self::Sccrp => "SCCRP",
            Self::Scccn => "SCCCN",
            Self::StopCcn => "StopCCN",
            Self::Hello => "HELLO",
            Self::Ocrq => "OCRQ",
            Self::Ocrp => "OCRP",
            Self::Occn => "OCCN",
            Self::Icrq => "ICRQ",
            Self::Icrp => "ICRP",
            Self::Iccn => "ICCN",
            Self::Cdn => "CDN",
            Self::Wen => "WEN",
            Self::Sli => "SLI",
        }
    }
}

impl Message<'_> {
    /// Its type.
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Sccrq(_) => MessageType::Sccrq,
            Self::Sccrp(_) => MessageType::Sccrp,
            Self::Scccn(_) => MessageType::Scccn,
            Self::StopCcn(_) => MessageType::StopCcn,
            Self::Hello => MessageType::Hello,
            Self::Ocrq(_) => MessageType::Ocrq,
            Self::Ocrp(_) => MessageType::Ocrp,
            Self::Occn(_) => MessageType::Occn,
            Self::Icrq(_) => MessageType::Icrq,
            Self::Icrp(_) => MessageType::Icrp,
            Self::Iccn(_) => MessageType::Iccn,
            Self::Cdn(_) => MessageType::Cdn,
            Self::Wen(_) => MessageType::Wen,
            Self::Sli(_) => MessageType::Sli,
        }
    }
}
