//! The AVPs of a control message (RFC 2661, 4.4; RFC 3145).

use core::fmt;

use super::names::{self, Named, ProtocolName};
use super::octets::{Bits, Items, Quoted};
use super::options::OptionList;
use crate::l2tp::{
    Attribute, Avp, Avps, CallErrors, MessageType, ParseError, PppDisconnectCause, Q931Cause,
    ResultCode, StopCcnResult, kind,
};
use crate::ppp::Protocol;

/// The AVPs of `body` behind the Message Type, each after ": " or ", ": those before a fault, then the
/// fault.
pub(super) fn write(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    let peeked = MessageType::peek(body);
    let message = peeked.ok();
    let named = matches!(peeked, Ok(_) | Err(ParseError::UnknownMessage { .. }));
    let mut items = Items::new(f, ": ");
    for avp in Avps::new(body).skip(usize::from(named)) {
        if !items.has_room()? {
            return Ok(());
        }
        match avp {
            Ok(avp) => items.item(AvpText { avp, message })?,
            Err(error) => return items.item(format_args!("malformed: {}", error.label())),
        }
    }
    match peeked {
        Err(ParseError::NoMessageType) if !body.is_empty() => items.item(format_args!(
            "malformed: {}",
            ParseError::NoMessageType.label()
        )),
        _ => Ok(()),
    }
}

struct AvpText<'a> {
    avp: Avp<'a>,
    message: Option<MessageType>,
}

impl fmt::Display for AvpText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { avp, message } = *self;
        let known = avp.vendor == 0 && kind::is_known(avp.kind);
        if known {
            f.write_str(kind::name(avp.kind))?;
        } else {
            write!(f, "AVP {}/{}", avp.vendor, avp.kind)?;
        }
        let octets = avp.value.len();
        if avp.reserved {
            write!(f, " with reserved bits")?;
        }
        if avp.hidden {
            write!(f, " hidden")?;
        }
        match Attribute::parse(avp.kind, avp.value) {
            Ok(Some(attribute)) if avp.is_readable() => value(f, &attribute, message)?,
            Err(_) if avp.is_readable() => {
                let label = ParseError::ValueLength { kind: avp.kind }.label();
                write!(f, " {octets} octets malformed: {label}")?;
            }
            _ => write!(f, " {octets} octets")?,
        }
        // The M bit of an AVP that is known goes without saying when it is as the RFC has it.
        if !known || avp.mandatory != kind::is_mandatory(avp.kind) {
            write!(f, " M={}", u8::from(avp.mandatory))?;
        }
        Ok(())
    }
}

/// The value of an AVP, after a space.
fn value(
    f: &mut fmt::Formatter<'_>,
    attribute: &Attribute<'_>,
    message: Option<MessageType>,
) -> fmt::Result {
    use Attribute as A;
    match *attribute {
        A::MessageType(n) => {
            let name = MessageType::from_number(n).map(MessageType::label);
            write!(f, " {}", Named(n, name))
        }
        A::ResultCode(code) => result(f, &code, message),
        A::ProtocolVersion(v) => write!(f, " {}.{}", v.version, v.revision),
        A::FramingCapabilities(value) | A::FramingType(value) => {
            let names = ["sync", "async"];
            write!(f, " {}", Bits { value, names })
        }
        A::BearerCapabilities(value) | A::BearerType(value) => {
            let names = ["digital", "analogue"];
            write!(f, " {}", Bits { value, names })
        }
        A::TieBreaker(n) => write!(f, " {n:#018x}"),
        A::FirmwareRevision(n) | A::ReceiveWindowSize(n) => write!(f, " {n}"),
        A::AssignedTunnelId(id) => write!(f, " {id}"),
        A::AssignedSessionId(id) => write!(f, " {id}"),
        A::CallSerialNumber(n)
        | A::MinimumBps(n)
        | A::MaximumBps(n)
        | A::TxConnectSpeed(n)
        | A::RxConnectSpeed(n) => write!(f, " {n}"),
        A::PhysicalChannelId(n) => write!(f, " {n:#010x}"),
        A::HostName(text)
        | A::VendorName(text)
        | A::CalledNumber(text)
        | A::CallingNumber(text)
        | A::SubAddress(text)
        | A::ProxyAuthenName(text)
        | A::PrivateGroupId(text) => write!(f, " {}", Quoted(text)),
        A::Challenge(octets) | A::ProxyAuthenChallenge(octets) | A::RandomVector(octets) => {
            write!(f, " {} octets", octets.len())
        }
        A::ChallengeResponse(_) | A::ProxyAuthenResponse(_) => f.write_str(" masked"),
        A::InitialReceivedLcp(octets) | A::LastSentLcp(octets) | A::LastReceivedLcp(octets) => {
            write!(f, " ({})", OptionList::new(Protocol::LCP, octets))
        }
        A::ProxyAuthenType(kind) => write!(f, " {}", Named(kind.0, names::proxy_authen(kind))),
        A::ProxyAuthenId(id) => write!(f, " {id}"),
        A::Q931CauseCode(cause) => q931(f, &cause),
        A::CallErrors(errors) => call_errors(f, &errors),
        A::Accm(accm) => write!(
            f,
            " (send {:#010x}, receive {:#010x})",
            accm.send, accm.receive
        ),
        A::SequencingRequired => Ok(()),
        A::PppDisconnectCause(cause) => disconnect(f, &cause),
    }
}

fn result(
    f: &mut fmt::Formatter<'_>,
    code: &ResultCode<'_>,
    message: Option<MessageType>,
) -> fmt::Result {
    let name = names::result(message, code.result);
    write!(f, " {}", Named(code.result, name))?;
    let version = message == Some(MessageType::StopCcn) && code.result == StopCcnResult::VERSION.0;
    match code.error {
        // Not an error code then, but the highest version (RFC 2661, 4.4.2).
        Some(highest) if version => write!(f, " highest version {}", highest.0)?,
        Some(error) => write!(f, " error {}", Named(error.0, names::error(error)))?,
        None => {}
    }
    text(f, code.advisory)
}

fn q931(f: &mut fmt::Formatter<'_>, cause: &Q931Cause<'_>) -> fmt::Result {
    write!(f, " {} message {:#04x}", cause.cause, cause.message)?;
    text(f, cause.advisory)
}

fn call_errors(f: &mut fmt::Formatter<'_>, errors: &CallErrors) -> fmt::Result {
    write!(
        f,
        " (CRC {}, framing {}, hardware overruns {}, buffer overruns {}, timeouts {}, alignment {})",
        errors.crc,
        errors.framing,
        errors.hardware_overruns,
        errors.buffer_overruns,
        errors.timeouts,
        errors.alignment
    )
}

fn disconnect(f: &mut fmt::Formatter<'_>, cause: &PppDisconnectCause<'_>) -> fmt::Result {
    write!(f, " {}", Named(cause.code, names::disconnect(cause.code)))?;
    if cause.protocol != 0 {
        write!(f, " {}", ProtocolName(Protocol(cause.protocol)))?;
    }
    let direction = Named(cause.direction, names::direction(cause.direction));
    write!(f, " direction {direction}")?;
    text(f, cause.message)
}

/// A text for people, if there is one.
fn text(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    if octets.is_empty() {
        return Ok(());
    }
    write!(f, " {}", Quoted(octets))
}
