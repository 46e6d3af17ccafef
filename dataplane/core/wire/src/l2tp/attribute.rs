//! The value of each AVP that RFC 2661, 4.4 defines, and of RFC 3145's, typed; in and out.
//!
//! Values of fixed size have exactly that size. Values that the RFC marks as free octets are borrowed
//! and not interpreted: host names, numbers, advisory texts need not be ASCII or UTF-8.

use alloc::vec::Vec;
use core::fmt;

use super::code::{GeneralError, ProxyAuthenType};
use crate::id::{PeerSessionId, PeerTunnelId};
use crate::{Reader, Truncated};

/// Attribute types, vendor 0.
pub mod kind {
    macro_rules! kinds {
        ($($name:ident = $value:literal $text:literal,)*) => {
            $(#[doc = $text] pub const $name: u16 = $value;)*

            /// The name of an attribute type, as the RFC writes it.
            pub const fn name(kind: u16) -> &'static str {
                match kind {
                    $($value => $text,)*
                    _ => "unknown",
                }
            }

            /// Whether the type has a name here.
            pub const fn is_known(kind: u16) -> bool {
                matches!(kind, $($value)|*)
            }
        };
    }

    kinds! {
        MESSAGE_TYPE = 0 "Message Type",
        RESULT_CODE = 1 "Result Code",
        PROTOCOL_VERSION = 2 "Protocol Version",
        FRAMING_CAPABILITIES = 3 "Framing Capabilities",
        BEARER_CAPABILITIES = 4 "Bearer Capabilities",
        TIE_BREAKER = 5 "Tie Breaker",
        FIRMWARE_REVISION = 6 "Firmware Revision",
        HOST_NAME = 7 "Host Name",
        VENDOR_NAME = 8 "Vendor Name",
        ASSIGNED_TUNNEL_ID = 9 "Assigned Tunnel ID",
        RECEIVE_WINDOW_SIZE = 10 "Receive Window Size",
        CHALLENGE = 11 "Challenge",
        Q931_CAUSE_CODE = 12 "Q.931 Cause Code",
        CHALLENGE_RESPONSE = 13 "Challenge Response",
        ASSIGNED_SESSION_ID = 14 "Assigned Session ID",
        CALL_SERIAL_NUMBER = 15 "Call Serial Number",
        MINIMUM_BPS = 16 "Minimum BPS",
        MAXIMUM_BPS = 17 "Maximum BPS",
        BEARER_TYPE = 18 "Bearer Type",
        FRAMING_TYPE = 19 "Framing Type",
        CALLED_NUMBER = 21 "Called Number",
        CALLING_NUMBER = 22 "Calling Number",
        SUB_ADDRESS = 23 "Sub-Address",
        TX_CONNECT_SPEED = 24 "(Tx) Connect Speed",
        PHYSICAL_CHANNEL_ID = 25 "Physical Channel ID",
        INITIAL_RECEIVED_LCP = 26 "Initial Received LCP CONFREQ",
        LAST_SENT_LCP = 27 "Last Sent LCP CONFREQ",
        LAST_RECEIVED_LCP = 28 "Last Received LCP CONFREQ",
        PROXY_AUTHEN_TYPE = 29 "Proxy Authen Type",
        PROXY_AUTHEN_NAME = 30 "Proxy Authen Name",
        PROXY_AUTHEN_CHALLENGE = 31 "Proxy Authen Challenge",
        PROXY_AUTHEN_ID = 32 "Proxy Authen ID",
        PROXY_AUTHEN_RESPONSE = 33 "Proxy Authen Response",
        CALL_ERRORS = 34 "Call Errors",
        ACCM = 35 "ACCM",
        RANDOM_VECTOR = 36 "Random Vector",
        PRIVATE_GROUP_ID = 37 "Private Group ID",
        RX_CONNECT_SPEED = 38 "Rx Connect Speed",
        SEQUENCING_REQUIRED = 39 "Sequencing Required",
        PPP_DISCONNECT_CAUSE = 46 "PPP Disconnect Cause Code",
    }

    /// Whether we send it with the M bit, as RFC 2661, 4.4 says for each.
    pub const fn is_mandatory(kind: u16) -> bool {
        matches!(
            kind,
            MESSAGE_TYPE..=BEARER_CAPABILITIES
                | HOST_NAME
                | ASSIGNED_TUNNEL_ID..=SUB_ADDRESS
                | TX_CONNECT_SPEED
                | CALL_ERRORS..=RANDOM_VECTOR
                | SEQUENCING_REQUIRED
        )
    }

    /// Whether the RFC lets it be hidden.
    pub const fn may_be_hidden(kind: u16) -> bool {
        !matches!(
            kind,
            MESSAGE_TYPE
                ..=PROTOCOL_VERSION
                    | TIE_BREAKER
                    | HOST_NAME
                    | RECEIVE_WINDOW_SIZE
                    | Q931_CAUSE_CODE
                    | RANDOM_VECTOR
                    | SEQUENCING_REQUIRED
        )
    }
}

/// An AVP of vendor 0 with its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attribute<'a> {
    /// The number of the message.
    MessageType(u16),
    /// Why a tunnel or session ends.
    ResultCode(ResultCode<'a>),
    /// The sender's L2TP version.
    ProtocolVersion(ProtocolVersion),
    /// Bit 0: synchronous, bit 1: asynchronous.
    FramingCapabilities(u32),
    /// Bit 0: digital, bit 1: analogue.
    BearerCapabilities(u32),
    /// The lower of two wins.
    TieBreaker(u64),
    /// The sender's own.
    FirmwareRevision(u16),
    /// Who the sender is.
    HostName(&'a [u8]),
    /// What the sender is.
    VendorName(&'a [u8]),
    /// The sender's tunnel id.
    AssignedTunnelId(PeerTunnelId),
    /// How many messages the sender takes before it acknowledges; not 0.
    ReceiveWindowSize(u16),
    /// What the receiver is to answer.
    Challenge(&'a [u8]),
    /// Why the switched call ended.
    Q931CauseCode(Q931Cause<'a>),
    /// The answer to a challenge.
    ChallengeResponse([u8; 16]),
    /// The sender's session id.
    AssignedSessionId(PeerSessionId),
    /// The sender's number for this call.
    CallSerialNumber(u32),
    /// Lowest line speed, bit/s.
    MinimumBps(u32),
    /// Highest line speed, bit/s.
    MaximumBps(u32),
    /// As in `BearerCapabilities`.
    BearerType(u32),
    /// As in `FramingCapabilities`.
    FramingType(u32),
    /// The number that was called.
    CalledNumber(&'a [u8]),
    /// The number of who called.
    CallingNumber(&'a [u8]),
    /// More of the called number.
    SubAddress(&'a [u8]),
    /// From the LAC to the subscriber, bit/s.
    TxConnectSpeed(u32),
    /// The LAC's own name of the line.
    PhysicalChannelId(u32),
    /// The first LCP Configure-Request from the subscriber, its options only.
    InitialReceivedLcp(&'a [u8]),
    /// The last one that the LAC sent.
    LastSentLcp(&'a [u8]),
    /// The last one that the LAC received.
    LastReceivedLcp(&'a [u8]),
    /// How the LAC authenticated the subscriber.
    ProxyAuthenType(ProxyAuthenType),
    /// The subscriber's name.
    ProxyAuthenName(&'a [u8]),
    /// The LAC's CHAP challenge.
    ProxyAuthenChallenge(&'a [u8]),
    /// The identifier of the CHAP challenge or PAP request.
    ProxyAuthenId(u8),
    /// The CHAP response or PAP password.
    ProxyAuthenResponse(Concealed<'a>),
    /// The line's error counters.
    CallErrors(CallErrors),
    /// The negotiated character maps.
    Accm(Accm),
    /// What hidden AVPs after it are enciphered with.
    RandomVector(&'a [u8]),
    /// The customer group of the call.
    PrivateGroupId(&'a [u8]),
    /// From the subscriber to the LAC, bit/s.
    RxConnectSpeed(u32),
    /// Data messages must carry numbers.
    SequencingRequired,
    /// Why PPP ended (RFC 3145).
    PppDisconnectCause(PppDisconnectCause<'a>),
}

/// Why a tunnel or session ends (RFC 2661, 4.4.2). What `result` means depends on the message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ResultCode<'a> {
    /// A [`StopCcnResult`](super::StopCcnResult) or [`CdnResult`](super::CdnResult).
    pub result: u16,
    /// The error code, if one was sent.
    pub error: Option<GeneralError>,
    /// Text for a human, in no given character set.
    pub advisory: &'a [u8],
}

/// An L2TP version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProtocolVersion {
    /// Major.
    pub version: u8,
    /// Minor.
    pub revision: u8,
}

impl ProtocolVersion {
    /// What RFC 2661 describes, and all that is spoken here.
    pub const ONE: Self = Self {
        version: 1,
        revision: 0,
    };
}

/// Why the switched call ended (RFC 2661, 4.4.2: Q.931 Cause Code).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Q931Cause<'a> {
    /// The cause, as Q.931 numbers it.
    pub cause: u16,
    /// The Q.931 message that carried it.
    pub message: u8,
    /// Text for a human.
    pub advisory: &'a [u8],
}

/// The line's error counters since the call began (RFC 2661, 4.4.6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CallErrors {
    /// PPP frames with a bad checksum.
    pub crc: u32,
    /// PPP frames too short or malformed.
    pub framing: u32,
    /// Receive buffers overrun.
    pub hardware_overruns: u32,
    /// Buffers overrun.
    pub buffer_overruns: u32,
    /// Times without data.
    pub timeouts: u32,
    /// Misaligned frames.
    pub alignment: u32,
}

/// Asynchronous control character maps (RFC 2661, 4.4.6).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accm {
    /// For what the LAC sends to the subscriber.
    pub send: u32,
    /// For what the LAC receives.
    pub receive: u32,
}

/// Why PPP ended (RFC 3145, 2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PppDisconnectCause<'a> {
    /// The disconnect code.
    pub code: u16,
    /// The PPP protocol number of the network protocol at fault, or 0.
    pub protocol: u16,
    /// 0 none, 1 at the peer, 2 at the sender.
    pub direction: u8,
    /// Text for a human, UTF-8.
    pub message: &'a [u8],
}

/// Octets that may be a password: they are there, and are not printed.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Concealed<'a>(pub &'a [u8]);

impl fmt::Debug for Concealed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// A value whose length is not what its attribute type has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongLength;

impl From<Truncated> for WrongLength {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl<'a> Attribute<'a> {
    /// Reads the value of an AVP of vendor 0; `None` for an attribute type that is not known.
    ///
    /// # Errors
    /// [`WrongLength`] for a value that is too short or, of fixed size, too long.
    pub fn parse(kind: u16, value: &'a [u8]) -> Result<Option<Self>, WrongLength> {
        let mut reader = Reader::new(value);
        let attribute = match Self::parse_number(kind, &mut reader)? {
            Some(attribute) => attribute,
            None => match Self::parse_octets(kind, &mut reader)? {
                Some(attribute) => attribute,
                None => return Ok(None),
            },
        };
        if reader.is_empty() {
            Ok(Some(attribute))
        } else {
            Err(WrongLength)
        }
    }

    fn parse_number(kind: u16, r: &mut Reader<'a>) -> Result<Option<Self>, WrongLength> {
        Ok(Some(match kind {
            kind::MESSAGE_TYPE => Self::MessageType(r.u16()?),
            kind::PROTOCOL_VERSION => Self::ProtocolVersion(ProtocolVersion {
                version: r.u8()?,
                revision: r.u8()?,
            }),
            kind::FRAMING_CAPABILITIES => Self::FramingCapabilities(r.u32()?),
            kind::BEARER_CAPABILITIES => Self::BearerCapabilities(r.u32()?),
            kind::TIE_BREAKER => Self::TieBreaker(u64::from_be_bytes(r.array()?)),
            kind::FIRMWARE_REVISION => Self::FirmwareRevision(r.u16()?),
            kind::ASSIGNED_TUNNEL_ID => Self::AssignedTunnelId(PeerTunnelId(r.u16()?)),
            kind::RECEIVE_WINDOW_SIZE => Self::ReceiveWindowSize(r.u16()?),
            kind::CHALLENGE_RESPONSE => Self::ChallengeResponse(r.array()?),
            kind::ASSIGNED_SESSION_ID => Self::AssignedSessionId(PeerSessionId(r.u16()?)),
            kind::CALL_SERIAL_NUMBER => Self::CallSerialNumber(r.u32()?),
            kind::MINIMUM_BPS => Self::MinimumBps(r.u32()?),
            kind::MAXIMUM_BPS => Self::MaximumBps(r.u32()?),
            kind::BEARER_TYPE => Self::BearerType(r.u32()?),
            kind::FRAMING_TYPE => Self::FramingType(r.u32()?),
            kind::TX_CONNECT_SPEED => Self::TxConnectSpeed(r.u32()?),
            kind::PHYSICAL_CHANNEL_ID => Self::PhysicalChannelId(r.u32()?),
            kind::PROXY_AUTHEN_TYPE => Self::ProxyAuthenType(ProxyAuthenType(r.u16()?)),
            kind::PROXY_AUTHEN_ID => {
                let [_reserved, id] = r.array()?;
                Self::ProxyAuthenId(id)
            }
            kind::CALL_ERRORS => Self::CallErrors(CallErrors::parse(r)?),
            kind::ACCM => Self::Accm(Accm::parse(r)?),
            kind::RX_CONNECT_SPEED => Self::RxConnectSpeed(r.u32()?),
            kind::SEQUENCING_REQUIRED => Self::SequencingRequired,
            _ => return Ok(None),
        }))
    }

    fn parse_octets(kind: u16, r: &mut Reader<'a>) -> Result<Option<Self>, WrongLength> {
        Ok(Some(match kind {
            kind::RESULT_CODE => Self::ResultCode(ResultCode::parse(r)?),
            kind::HOST_NAME => Self::HostName(r.take_rest()),
            kind::VENDOR_NAME => Self::VendorName(r.take_rest()),
            kind::CHALLENGE => Self::Challenge(r.take_rest()),
            kind::Q931_CAUSE_CODE => Self::Q931CauseCode(Q931Cause {
                cause: r.u16()?,
                message: r.u8()?,
                advisory: r.take_rest(),
            }),
            kind::CALLED_NUMBER => Self::CalledNumber(r.take_rest()),
            kind::CALLING_NUMBER => Self::CallingNumber(r.take_rest()),
            kind::SUB_ADDRESS => Self::SubAddress(r.take_rest()),
            kind::INITIAL_RECEIVED_LCP => Self::InitialReceivedLcp(r.take_rest()),
            kind::LAST_SENT_LCP => Self::LastSentLcp(r.take_rest()),
            kind::LAST_RECEIVED_LCP => Self::LastReceivedLcp(r.take_rest()),
            kind::PROXY_AUTHEN_NAME => Self::ProxyAuthenName(r.take_rest()),
            kind::PROXY_AUTHEN_CHALLENGE => Self::ProxyAuthenChallenge(r.take_rest()),
            kind::PROXY_AUTHEN_RESPONSE => Self::ProxyAuthenResponse(Concealed(r.take_rest())),
            kind::RANDOM_VECTOR => Self::RandomVector(r.take_rest()),
            kind::PRIVATE_GROUP_ID => Self::PrivateGroupId(r.take_rest()),
            kind::PPP_DISCONNECT_CAUSE => Self::PppDisconnectCause(PppDisconnectCause {
                code: r.u16()?,
                protocol: r.u16()?,
                direction: r.u8()?,
                message: r.take_rest(),
            }),
            _ => return Ok(None),
        }))
    }

    /// The attribute type.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::MessageType(_) => kind::MESSAGE_TYPE,
            Self::ResultCode(_) => kind::RESULT_CODE,
            Self::ProtocolVersion(_) => kind::PROTOCOL_VERSION,
            Self::FramingCapabilities(_) => kind::FRAMING_CAPABILITIES,
            Self::BearerCapabilities(_) => kind::BEARER_CAPABILITIES,
            Self::TieBreaker(_) => kind::TIE_BREAKER,
            Self::FirmwareRevision(_) => kind::FIRMWARE_REVISION,
            Self::HostName(_) => kind::HOST_NAME,
            Self::VendorName(_) => kind::VENDOR_NAME,
            Self::AssignedTunnelId(_) => kind::ASSIGNED_TUNNEL_ID,
            Self::ReceiveWindowSize(_) => kind::RECEIVE_WINDOW_SIZE,
            Self::Challenge(_) => kind::CHALLENGE,
            Self::Q931CauseCode(_) => kind::Q931_CAUSE_CODE,
            Self::ChallengeResponse(_) => kind::CHALLENGE_RESPONSE,
            Self::AssignedSessionId(_) => kind::ASSIGNED_SESSION_ID,
            Self::CallSerialNumber(_) => kind::CALL_SERIAL_NUMBER,
            Self::MinimumBps(_) => kind::MINIMUM_BPS,
            Self::MaximumBps(_) => kind::MAXIMUM_BPS,
            Self::BearerType(_) => kind::BEARER_TYPE,
            Self::FramingType(_) => kind::FRAMING_TYPE,
            Self::CalledNumber(_) => kind::CALLED_NUMBER,
            Self::CallingNumber(_) => kind::CALLING_NUMBER,
            Self::SubAddress(_) => kind::SUB_ADDRESS,
            Self::TxConnectSpeed(_) => kind::TX_CONNECT_SPEED,
            Self::PhysicalChannelId(_) => kind::PHYSICAL_CHANNEL_ID,
            Self::InitialReceivedLcp(_) => kind::INITIAL_RECEIVED_LCP,
            Self::LastSentLcp(_) => kind::LAST_SENT_LCP,
            Self::LastReceivedLcp(_) => kind::LAST_RECEIVED_LCP,
            Self::ProxyAuthenType(_) => kind::PROXY_AUTHEN_TYPE,
            Self::ProxyAuthenName(_) => kind::PROXY_AUTHEN_NAME,
            Self::ProxyAuthenChallenge(_) => kind::PROXY_AUTHEN_CHALLENGE,
            Self::ProxyAuthenId(_) => kind::PROXY_AUTHEN_ID,
            Self::ProxyAuthenResponse(_) => kind::PROXY_AUTHEN_RESPONSE,
            Self::CallErrors(_) => kind::CALL_ERRORS,
            Self::Accm(_) => kind::ACCM,
            Self::RandomVector(_) => kind::RANDOM_VECTOR,
            Self::PrivateGroupId(_) => kind::PRIVATE_GROUP_ID,
            Self::RxConnectSpeed(_) => kind::RX_CONNECT_SPEED,
            Self::SequencingRequired => kind::SEQUENCING_REQUIRED,
            Self::PppDisconnectCause(_) => kind::PPP_DISCONNECT_CAUSE,
        }
    }

    /// Appends the value.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match *self {
            Self::MessageType(n) | Self::FirmwareRevision(n) | Self::ReceiveWindowSize(n) => {
                out.extend_from_slice(&n.to_be_bytes());
            }
            Self::AssignedTunnelId(PeerTunnelId(n))
            | Self::AssignedSessionId(PeerSessionId(n))
            | Self::ProxyAuthenType(ProxyAuthenType(n)) => out.extend_from_slice(&n.to_be_bytes()),
            Self::FramingCapabilities(n)
            | Self::BearerCapabilities(n)
            | Self::CallSerialNumber(n)
            | Self::MinimumBps(n)
            | Self::MaximumBps(n)
            | Self::BearerType(n)
            | Self::FramingType(n)
            | Self::TxConnectSpeed(n)
            | Self::PhysicalChannelId(n)
            | Self::RxConnectSpeed(n) => out.extend_from_slice(&n.to_be_bytes()),
            Self::TieBreaker(n) => out.extend_from_slice(&n.to_be_bytes()),
            Self::ProtocolVersion(v) => out.extend_from_slice(&[v.version, v.revision]),
            Self::ProxyAuthenId(id) => out.extend_from_slice(&[0, id]),
            Self::ChallengeResponse(octets) => out.extend_from_slice(&octets),
            Self::HostName(octets)
            | Self::VendorName(octets)
            | Self::Challenge(octets)
            | Self::CalledNumber(octets)
            | Self::CallingNumber(octets)
            | Self::SubAddress(octets)
            | Self::InitialReceivedLcp(octets)
            | Self::LastSentLcp(octets)
            | Self::LastReceivedLcp(octets)
            | Self::ProxyAuthenName(octets)
            | Self::ProxyAuthenChallenge(octets)
            | Self::ProxyAuthenResponse(Concealed(octets))
            | Self::RandomVector(octets)
            | Self::PrivateGroupId(octets) => out.extend_from_slice(octets),
            Self::ResultCode(code) => code.emit(out),
            Self::Q931CauseCode(cause) => cause.emit(out),
            Self::CallErrors(errors) => errors.emit(out),
            Self::Accm(accm) => accm.emit(out),
            Self::SequencingRequired => {}
            Self::PppDisconnectCause(cause) => cause.emit(out),
        }
    }
}

impl<'a> ResultCode<'a> {
    fn parse(r: &mut Reader<'a>) -> Result<Self, WrongLength> {
        let result = r.u16()?;
        let error = if r.is_empty() {
            None
        } else {
            Some(GeneralError(r.u16()?))
        };
        Ok(Self {
            result,
            error,
            advisory: r.take_rest(),
        })
    }

    /// An advisory text needs an error code before it: 0 if there is none.
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.result.to_be_bytes());
        if self.error.is_some() || !self.advisory.is_empty() {
            out.extend_from_slice(&self.error.unwrap_or_default().0.to_be_bytes());
            out.extend_from_slice(self.advisory);
        }
    }
}

impl Q931Cause<'_> {
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cause.to_be_bytes());
        out.push(self.message);
        out.extend_from_slice(self.advisory);
    }
}

impl CallErrors {
    fn parse(r: &mut Reader<'_>) -> Result<Self, WrongLength> {
        let [_, _] = r.array()?;
        Ok(Self {
            crc: r.u32()?,
            framing: r.u32()?,
            hardware_overruns: r.u32()?,
            buffer_overruns: r.u32()?,
            timeouts: r.u32()?,
            alignment: r.u32()?,
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let Self {
            crc,
            framing,
            hardware_overruns,
            buffer_overruns,
            timeouts,
            alignment,
        } = self;
        out.extend_from_slice(&[0, 0]);
        for counter in [
            crc,
            framing,
            hardware_overruns,
            buffer_overruns,
            timeouts,
            alignment,
        ] {
            out.extend_from_slice(&counter.to_be_bytes());
        }
    }
}

impl Accm {
    fn parse(r: &mut Reader<'_>) -> Result<Self, WrongLength> {
        let [_, _] = r.array()?;
        Ok(Self {
            send: r.u32()?,
            receive: r.u32()?,
        })
    }

    fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.send.to_be_bytes());
        out.extend_from_slice(&self.receive.to_be_bytes());
    }
}

impl PppDisconnectCause<'_> {
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_be_bytes());
        out.extend_from_slice(&self.protocol.to_be_bytes());
        out.push(self.direction);
        out.extend_from_slice(self.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least length of a value, and whether it may be longer.
    const SIZES: [(u16, usize, bool); 40] = [
        (0, 2, false),
        (1, 2, true),
        (2, 2, false),
        (3, 4, false),
        (4, 4, false),
        (5, 8, false),
        (6, 2, false),
        (7, 0, true),
        (8, 0, true),
        (9, 2, false),
        (10, 2, false),
        (11, 0, true),
        (12, 3, true),
        (13, 16, false),
        (14, 2, false),
        (15, 4, false),
        (16, 4, false),
        (17, 4, false),
        (18, 4, false),
        (19, 4, false),
        (21, 0, true),
        (22, 0, true),
        (23, 0, true),
        (24, 4, false),
        (25, 4, false),
        (26, 0, true),
        (27, 0, true),
        (28, 0, true),
        (29, 2, false),
        (30, 0, true),
        (31, 0, true),
        (32, 2, false),
        (33, 0, true),
        (34, 26, false),
        (35, 10, false),
        (36, 0, true),
        (37, 0, true),
        (38, 4, false),
        (39, 0, false),
        (46, 5, true),
    ];

    #[test]
    fn each_value_has_the_length_that_the_rfc_gives_it() {
        for (kind, size, longer) in SIZES {
            for len in 0..=size + 1 {
                let octets = alloc::vec![0; len];
                let read = Attribute::parse(kind, &octets);
                // A Result Code of three octets has half an error code.
                let fits = len == size || (longer && len > size && kind != 1);
                assert_eq!(read.is_ok(), fits, "attribute {kind} with {len} octets");
                assert!(read != Ok(None));
            }
        }
        assert_eq!(
            Attribute::parse(1, &[0, 2, 0, 8]).unwrap().unwrap().kind(),
            1
        );
    }

    #[test]
    fn every_attribute_goes_out_as_it_came_in() {
        for (kind, size, longer) in SIZES {
            let mut value: Vec<u8> = (1..=u8::try_from(size).unwrap()).collect();
            if longer {
                value.extend_from_slice(b"text");
            }
            if matches!(kind, 32 | 34 | 35) {
                value[0] = 0;
            }
            if matches!(kind, 34 | 35) {
                value[1] = 0;
            }
            let attribute = Attribute::parse(kind, &value).unwrap().unwrap();
            let mut out = Vec::new();
            attribute.emit(&mut out);
            assert_eq!((attribute.kind(), out), (kind, value));
        }
    }

    #[test]
    fn types_that_nobody_assigned_are_not_known() {
        for kind in [20, 40, 45, 47, 65_535] {
            assert_eq!(Attribute::parse(kind, &[]), Ok(None));
            assert_eq!(kind::name(kind), "unknown");
            assert!(!kind::is_known(kind));
        }
    }

    #[test]
    fn an_advisory_text_goes_out_after_an_error_code() {
        let mut out = Vec::new();
        ResultCode {
            result: 6,
            error: None,
            advisory: b"bye",
        }
        .emit(&mut out);
        assert_eq!(out, [0, 6, 0, 0, b'b', b'y', b'e']);
        out.clear();
        ResultCode {
            result: 6,
            error: None,
            advisory: b"",
        }
        .emit(&mut out);
        assert_eq!(out, [0, 6]);
    }

    #[test]
    fn m_bits_and_the_right_to_hide_are_the_rfcs() {
        let optional: Vec<u16> = SIZES
            .iter()
            .map(|s| s.0)
            .filter(|k| !kind::is_mandatory(*k))
            .collect();
        assert_eq!(
            optional,
            [5, 6, 8, 25, 26, 27, 28, 29, 30, 31, 32, 33, 37, 38, 46]
        );
        let clear: Vec<u16> = SIZES
            .iter()
            .map(|s| s.0)
            .filter(|k| !kind::may_be_hidden(*k))
            .collect();
        assert_eq!(clear, [0, 1, 2, 5, 7, 10, 12, 36, 39]);
    }
}
