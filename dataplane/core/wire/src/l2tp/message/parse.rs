//! Control messages, in (RFC 2661, 4.2, 6 and 7).
//!
//! An AVP that comes twice counts once, the first time: the RFC has no rule, and a message must not
//! change its meaning by what is appended to it. A known AVP that has no place in the message is
//! skipped. An AVP without the M bit whose value is wrong is skipped too (section 7); with it, the
//! message is refused.

use super::{
    Cdn, Iccn, Icrp, Icrq, Message, MessageType, Occn, Ocrp, Ocrq, Proxy, Scccn, Sccrp, Sccrq, Sli,
    StopCcn, Wen,
};
use crate::id::{PeerSessionId, PeerTunnelId};
use crate::l2tp::attribute::{
    Accm, Attribute, CallErrors, PppDisconnectCause, ProtocolVersion, Q931Cause, ResultCode, kind,
};
use crate::l2tp::avp::{Avp, Avps};
use crate::l2tp::code::ProxyAuthenType;
use crate::l2tp::error::ParseError;

impl<'a> Message<'a> {
    /// Reads the body of a control message, with nothing hidden in it (see
    /// [`reveal`](crate::l2tp::reveal)). The empty body of a ZLB is no message.
    ///
    /// # Errors
    /// [`ParseError`]; [`ParseError::is_malformed`] tells whether the octets are worth an answer.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut fields = Fields::default();
        let mut refused = None;
        // Octets that make no AVPs come first, then what message it is, then what is wrong with it.
        for avp in Avps::new(body) {
            refused = refused.or(fields.take(&avp?).err());
        }
        let kind = MessageType::peek(body)?;
        refused.map_or_else(|| fields.build(kind), Err)
    }
}

impl MessageType {
    /// The type of the message in `body`, from its first AVP alone.
    ///
    /// # Errors
    /// [`ParseError::NoMessageType`], [`ParseError::UnknownMessage`] and those of [`Avp::read`].
    pub fn peek(body: &[u8]) -> Result<Self, ParseError> {
        let avp = Avps::new(body).next().ok_or(ParseError::NoMessageType)??;
        let Ok(number) = <[u8; 2]>::try_from(avp.value).map(u16::from_be_bytes) else {
            return Err(ParseError::NoMessageType);
        };
        if !avp.is_readable() || avp.kind != kind::MESSAGE_TYPE {
            return Err(ParseError::NoMessageType);
        }
        Self::from_number(number).ok_or(ParseError::UnknownMessage {
            kind: number,
            mandatory: avp.mandatory,
        })
    }
}

/// The Assigned Session ID of a body that may otherwise be unacceptable: where a CDN would go.
pub fn assigned_session(body: &[u8]) -> Option<PeerSessionId> {
    if let Attribute::AssignedSessionId(id) = first(body, kind::ASSIGNED_SESSION_ID)? {
        Some(id).filter(|id| !id.is_none())
    } else {
        None
    }
}

/// The Assigned Tunnel ID of a body that may otherwise be unacceptable: where a `StopCCN` would go.
pub fn assigned_tunnel(body: &[u8]) -> Option<PeerTunnelId> {
    if let Attribute::AssignedTunnelId(id) = first(body, kind::ASSIGNED_TUNNEL_ID)? {
        Some(id).filter(|id| !id.is_none())
    } else {
        None
    }
}

fn first(body: &[u8], kind: u16) -> Option<Attribute<'_>> {
    let avp = Avps::new(body)
        .map_while(Result::ok)
        .find(|avp| avp.is_readable() && avp.kind == kind)?;
    Attribute::parse(avp.kind, avp.value).ok().flatten()
}

/// The first value of each attribute of a message.
#[derive(Default)]
struct Fields<'a> {
    result: Option<ResultCode<'a>>,
    version: Option<ProtocolVersion>,
    framing_capabilities: Option<u32>,
    bearer_capabilities: Option<u32>,
    tie_breaker: Option<u64>,
    firmware: Option<u16>,
    host_name: Option<&'a [u8]>,
    vendor_name: Option<&'a [u8]>,
    assigned_tunnel: Option<PeerTunnelId>,
    receive_window: Option<u16>,
    challenge: Option<&'a [u8]>,
    q931: Option<Q931Cause<'a>>,
    challenge_response: Option<[u8; 16]>,
    assigned_session: Option<PeerSessionId>,
    serial_number: Option<u32>,
    minimum_bps: Option<u32>,
    maximum_bps: Option<u32>,
    bearer_type: Option<u32>,
    framing_type: Option<u32>,
    called_number: Option<&'a [u8]>,
    calling_number: Option<&'a [u8]>,
    sub_address: Option<&'a [u8]>,
    tx_connect_speed: Option<u32>,
    physical_channel: Option<u32>,
    proxy: Proxy<'a>,
    call_errors: Option<CallErrors>,
    accm: Option<Accm>,
    private_group: Option<&'a [u8]>,
    rx_connect_speed: Option<u32>,
    sequencing_required: bool,
    disconnect: Option<PppDisconnectCause<'a>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, avp: &Avp<'a>) -> Result<(), ParseError> {
        let unknown = ParseError::UnknownMandatory {
            vendor: avp.vendor,
            kind: avp.kind,
        };
        let attribute = if avp.is_readable() {
            Attribute::parse(avp.kind, avp.value)
        } else {
            Ok(None)
        };
        match attribute {
            Ok(Some(attribute)) => {
                self.put(attribute);
                Ok(())
            }
            Ok(None) | Err(_) if !avp.mandatory => Ok(()),
            Ok(None) => Err(unknown),
            Err(_) => Err(ParseError::ValueLength { kind: avp.kind }),
        }
    }

    fn put(&mut self, attribute: Attribute<'a>) {
        match attribute {
            Attribute::MessageType(_) | Attribute::RandomVector(_) => {}
            Attribute::ResultCode(v) => keep(&mut self.result, v),
            Attribute::ProtocolVersion(v) => keep(&mut self.version, v),
            Attribute::FramingCapabilities(v) => keep(&mut self.framing_capabilities, v),
            Attribute::BearerCapabilities(v) => keep(&mut self.bearer_capabilities, v),
            Attribute::TieBreaker(v) => keep(&mut self.tie_breaker, v),
            Attribute::FirmwareRevision(v) => keep(&mut self.firmware, v),
            Attribute::HostName(v) => keep(&mut self.host_name, v),
            Attribute::VendorName(v) => keep(&mut self.vendor_name, v),
            Attribute::AssignedTunnelId(v) => keep(&mut self.assigned_tunnel, v),
            Attribute::ReceiveWindowSize(v) => keep(&mut self.receive_window, v),
            Attribute::Challenge(v) => keep(&mut self.challenge, v),
            Attribute::Q931CauseCode(v) => keep(&mut self.q931, v),
            Attribute::ChallengeResponse(v) => keep(&mut self.challenge_response, v),
            Attribute::AssignedSessionId(v) => keep(&mut self.assigned_session, v),
            Attribute::CallSerialNumber(v) => keep(&mut self.serial_number, v),
            Attribute::MinimumBps(v) => keep(&mut self.minimum_bps, v),
            Attribute::MaximumBps(v) => keep(&mut self.maximum_bps, v),
            Attribute::BearerType(v) => keep(&mut self.bearer_type, v),
            Attribute::FramingType(v) => keep(&mut self.framing_type, v),
            Attribute::CalledNumber(v) => keep(&mut self.called_number, v),
            Attribute::CallingNumber(v) => keep(&mut self.calling_number, v),
            Attribute::SubAddress(v) => keep(&mut self.sub_address, v),
            Attribute::TxConnectSpeed(v) => keep(&mut self.tx_connect_speed, v),
            Attribute::PhysicalChannelId(v) => keep(&mut self.physical_channel, v),
            Attribute::InitialReceivedLcp(v) => keep(&mut self.proxy.initial_received_lcp, v),
            Attribute::LastSentLcp(v) => keep(&mut self.proxy.last_sent_lcp, v),
            Attribute::LastReceivedLcp(v) => keep(&mut self.proxy.last_received_lcp, v),
            Attribute::ProxyAuthenType(v) => {
                keep::<ProxyAuthenType>(&mut self.proxy.authen_type, v);
            }
            Attribute::ProxyAuthenName(v) => keep(&mut self.proxy.authen_name, v),
            Attribute::ProxyAuthenChallenge(v) => keep(&mut self.proxy.authen_challenge, v),
            Attribute::ProxyAuthenId(v) => keep(&mut self.proxy.authen_id, v),
            Attribute::ProxyAuthenResponse(v) => keep(&mut self.proxy.authen_response, v.0),
            Attribute::CallErrors(v) => keep(&mut self.call_errors, v),
            Attribute::Accm(v) => keep(&mut self.accm, v),
            Attribute::PrivateGroupId(v) => keep(&mut self.private_group, v),
            Attribute::RxConnectSpeed(v) => keep(&mut self.rx_connect_speed, v),
            Attribute::SequencingRequired => self.sequencing_required = true,
            Attribute::PppDisconnectCause(v) => keep(&mut self.disconnect, v),
        }
    }

    fn build(self, kind: MessageType) -> Result<Message<'a>, ParseError> {
        Ok(match kind {
            MessageType::Sccrq => Message::Sccrq(self.sccrq()?),
            MessageType::Sccrp => Message::Sccrp(self.sccrp()?),
            MessageType::Scccn => Message::Scccn(Scccn {
                challenge_response: self.challenge_response,
            }),
            MessageType::StopCcn => Message::StopCcn(StopCcn {
                assigned_tunnel: need(self.assigned_tunnel, kind::ASSIGNED_TUNNEL_ID)?,
                result: need(self.result, kind::RESULT_CODE)?,
            }),
            MessageType::Hello => Message::Hello,
            MessageType::Ocrq => Message::Ocrq(self.ocrq()?),
            MessageType::Ocrp => Message::Ocrp(Ocrp {
                assigned_session: self.session()?,
                physical_channel: self.physical_channel,
            }),
            MessageType::Occn => Message::Occn(Occn {
                tx_connect_speed: need(self.tx_connect_speed, kind::TX_CONNECT_SPEED)?,
                framing_type: need(self.framing_type, kind::FRAMING_TYPE)?,
                rx_connect_speed: self.rx_connect_speed,
                sequencing_required: self.sequencing_required,
            }),
            MessageType::Icrq => Message::Icrq(self.icrq()?),
            MessageType::Icrp => Message::Icrp(Icrp {
                assigned_session: self.session()?,
            }),
            MessageType::Iccn => Message::Iccn(self.iccn()?),
            MessageType::Cdn => Message::Cdn(Cdn {
                assigned_session: need(self.assigned_session, kind::ASSIGNED_SESSION_ID)?,
                result: need(self.result, kind::RESULT_CODE)?,
                q931: self.q931,
                disconnect: self.disconnect,
            }),
            MessageType::Wen => Message::Wen(Wen {
                errors: need(self.call_errors, kind::CALL_ERRORS)?,
            }),
            MessageType::Sli => Message::Sli(Sli {
                accm: need(self.accm, kind::ACCM)?,
            }),
        })
    }

    fn sccrq(self) -> Result<Sccrq<'a>, ParseError> {
        Ok(Sccrq {
            version: need(self.version, kind::PROTOCOL_VERSION)?,
            host_name: self.host_name()?,
            framing: need(self.framing_capabilities, kind::FRAMING_CAPABILITIES)?,
            assigned_tunnel: self.tunnel()?,
            bearer: self.bearer_capabilities,
            receive_window: self.receive_window()?,
            challenge: self.challenge()?,
            tie_breaker: self.tie_breaker,
            firmware: self.firmware,
            vendor_name: self.vendor_name,
        })
    }

    fn sccrp(self) -> Result<Sccrp<'a>, ParseError> {
        Ok(Sccrp {
            version: need(self.version, kind::PROTOCOL_VERSION)?,
            host_name: self.host_name()?,
            framing: need(self.framing_capabilities, kind::FRAMING_CAPABILITIES)?,
            assigned_tunnel: self.tunnel()?,
            bearer: self.bearer_capabilities,
            receive_window: self.receive_window()?,
            challenge: self.challenge()?,
            challenge_response: self.challenge_response,
            firmware: self.firmware,
            vendor_name: self.vendor_name,
        })
    }

    fn ocrq(self) -> Result<Ocrq<'a>, ParseError> {
        Ok(Ocrq {
            assigned_session: self.session()?,
            serial_number: need(self.serial_number, kind::CALL_SERIAL_NUMBER)?,
            minimum_bps: need(self.minimum_bps, kind::MINIMUM_BPS)?,
            maximum_bps: need(self.maximum_bps, kind::MAXIMUM_BPS)?,
            bearer_type: need(self.bearer_type, kind::BEARER_TYPE)?,
            framing_type: need(self.framing_type, kind::FRAMING_TYPE)?,
            called_number: need(self.called_number, kind::CALLED_NUMBER)?,
            sub_address: self.sub_address,
        })
    }

    fn icrq(self) -> Result<Icrq<'a>, ParseError> {
        Ok(Icrq {
            assigned_session: self.session()?,
            serial_number: need(self.serial_number, kind::CALL_SERIAL_NUMBER)?,
            bearer_type: self.bearer_type,
            physical_channel: self.physical_channel,
            calling_number: self.calling_number,
            called_number: self.called_number,
            sub_address: self.sub_address,
        })
    }

    fn iccn(self) -> Result<Iccn<'a>, ParseError> {
        Ok(Iccn {
            tx_connect_speed: need(self.tx_connect_speed, kind::TX_CONNECT_SPEED)?,
            framing_type: need(self.framing_type, kind::FRAMING_TYPE)?,
            proxy: self.proxy,
            private_group: self.private_group,
            rx_connect_speed: self.rx_connect_speed,
            sequencing_required: self.sequencing_required,
        })
    }

    fn host_name(&self) -> Result<&'a [u8], ParseError> {
        let name = need(self.host_name, kind::HOST_NAME)?;
        if name.is_empty() {
            Err(ParseError::ValueRange {
                kind: kind::HOST_NAME,
            })
        } else {
            Ok(name)
        }
    }

    fn tunnel(&self) -> Result<PeerTunnelId, ParseError> {
        let id = need(self.assigned_tunnel, kind::ASSIGNED_TUNNEL_ID)?;
        if id.is_none() {
            Err(ParseError::ValueRange {
                kind: kind::ASSIGNED_TUNNEL_ID,
            })
        } else {
            Ok(id)
        }
    }

    fn session(&self) -> Result<PeerSessionId, ParseError> {
        let id = need(self.assigned_session, kind::ASSIGNED_SESSION_ID)?;
        if id.is_none() {
            Err(ParseError::ValueRange {
                kind: kind::ASSIGNED_SESSION_ID,
            })
        } else {
            Ok(id)
        }
    }

    /// A window of 0 would never let anything be sent.
    fn receive_window(&self) -> Result<Option<u16>, ParseError> {
        match self.receive_window {
            Some(0) => Err(ParseError::ValueRange {
                kind: kind::RECEIVE_WINDOW_SIZE,
            }),
            window => Ok(window),
        }
    }

    fn challenge(&self) -> Result<Option<&'a [u8]>, ParseError> {
        match self.challenge {
            Some([]) => Err(ParseError::ValueRange {
                kind: kind::CHALLENGE,
            }),
            challenge => Ok(challenge),
        }
    }
}

fn keep<T>(field: &mut Option<T>, value: T) {
    if field.is_none() {
        *field = Some(value);
    }
}

fn need<T>(field: Option<T>, kind: u16) -> Result<T, ParseError> {
    field.ok_or(ParseError::Missing { kind })
}
