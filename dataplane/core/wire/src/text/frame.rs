//! A PPP frame: control packets, authentication packets, headers of IP packets.

use core::fmt;

use super::names::{CodeName, ProtocolName};
use super::octets::{Hex, Quoted};
use super::options::OptionList;
use crate::ip::{Ipv4, Ipv6, protocol};
use crate::ppp::{
    ChapPacket, Code, Error, Frame, MsChapV2Response, Packet, PapCode, PapReply, PapRequest,
    Protocol, authenticator_response,
};
use crate::{Reader, Truncated};

/// What a frame is, in few words: `LCP Configure-Request`, `IPv4`.
pub(super) struct Kind<'a>(pub(super) Frame<'a>);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame {
            protocol,
            information,
        } = self.0;
        write!(f, "{}", ProtocolName(protocol))?;
        match Packet::parse(information) {
            Ok(packet) if protocol.is_control() => {
                write!(f, " {}", CodeName(protocol, packet.code))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a frame, after its [`Kind`].
pub(super) fn write(f: &mut fmt::Formatter<'_>, frame: Frame<'_>) -> fmt::Result {
    let Frame {
        protocol,
        information,
    } = frame;
    write!(f, "{}", Kind(frame))?;
    match protocol {
        Protocol::IPV4 => ipv4(f, information),
        Protocol::IPV6 => ipv6(f, information),
        _ if protocol.is_control() => match Packet::parse(information) {
            Ok(packet) => {
                write!(f, " id {}", packet.id)?;
                control(f, protocol, &packet)
            }
            Err(error) => malformed(f, error),
        },
        Protocol::LQR | Protocol::MULTILINK => write!(f, " {} octets", information.len()),
        _ => {
            write!(f, " {} octets", information.len())?;
            raw(f, information)
        }
    }
}

fn control(f: &mut fmt::Formatter<'_>, protocol: Protocol, packet: &Packet<'_>) -> fmt::Result {
    match protocol {
        Protocol::PAP => pap(f, packet).or_malformed(f),
        Protocol::CHAP => chap(f, packet).or_malformed(f),
        _ if protocol.may_hold_secrets() => write!(f, ": {} octets", packet.data.len()),
        _ => negotiation(f, protocol, packet).or_malformed(f),
    }
}

/// What LCP and the NCPs have in common, and then what only LCP has.
fn negotiation(f: &mut fmt::Formatter<'_>, protocol: Protocol, packet: &Packet<'_>) -> Written {
    let octets = packet.data;
    match packet.code {
        Code::CONFIGURE_REQUEST
        | Code::CONFIGURE_ACK
        | Code::CONFIGURE_NAK
        | Code::CONFIGURE_REJECT => {
            write!(f, "{}", OptionList::new(protocol, octets).behind(": "))?;
        }
        Code::TERMINATE_REQUEST | Code::TERMINATE_ACK if octets.is_empty() => {}
        Code::TERMINATE_REQUEST | Code::TERMINATE_ACK => write!(f, ": {}", Quoted(octets))?,
        Code::CODE_REJECT => {
            // The packet may be cut to the MRU: its code is what this is about.
            let mut reader = Reader::new(octets);
            let code = Code(reader.u8()?);
            write!(f, ": {}, {} octets", CodeName(protocol, code), octets.len())?;
        }
        code if protocol == Protocol::LCP => link(f, code, octets)?,
        _ => raw(f, octets)?,
    }
    Ok(())
}

/// What only LCP has (RFC 1661, 5.7 to 5.9; RFC 1570, 2).
fn link(f: &mut fmt::Formatter<'_>, code: Code, data: &[u8]) -> Written {
    let mut reader = Reader::new(data);
    match code {
        Code::PROTOCOL_REJECT => {
            let protocol = ProtocolName(Protocol(reader.u16()?));
            write!(f, ": {protocol}, {} octets", reader.len())?;
        }
        Code::ECHO_REQUEST | Code::ECHO_REPLY | Code::DISCARD_REQUEST => {
            write!(f, ": Magic-Number {:#010x}", reader.u32()?)?;
            if !reader.is_empty() {
                write!(f, ", {} octets", reader.len())?;
            }
        }
        Code::IDENTIFICATION => {
            write!(f, ": Magic-Number {:#010x}", reader.u32()?)?;
            write!(f, ", {}", Quoted(reader.rest()))?;
        }
        Code::TIME_REMAINING => {
            write!(f, ": Magic-Number {:#010x}", reader.u32()?)?;
            write!(f, ", {} s", reader.u32()?)?;
            if !reader.is_empty() {
                write!(f, ", {}", Quoted(reader.rest()))?;
            }
        }
        _ => raw(f, data)?,
    }
    Ok(())
}

fn pap(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>) -> Written {
    match PapCode::from_code(packet.code).ok_or(Error::Code)? {
        PapCode::Request => {
            let request = PapRequest::parse(packet.data)?;
            write!(f, ": name {}, password masked", Quoted(request.name))?;
        }
        PapCode::Ack | PapCode::Nak => {
            let reply = PapReply::parse(packet.data)?;
            if !reply.message.is_empty() {
                write!(f, ": {}", Quoted(reply.message))?;
            }
        }
    }
    Ok(())
}

fn chap(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>) -> Written {
    match ChapPacket::parse(packet)? {
        ChapPacket::Challenge(challenge) => {
            let name = Quoted(challenge.name);
            write!(f, ": name {name}, value {} octets", challenge.value.len())?;
        }
        ChapPacket::Response(response) => {
            let algorithm = match MsChapV2Response::parse(response.value) {
                Ok(_) => "MS-CHAPv2 ",
                Err(_) => "",
            };
            let name = Quoted(response.name);
            write!(f, ": name {name}, {algorithm}value masked")?;
        }
        ChapPacket::Success(message) => success(f, message)?,
        ChapPacket::Failure([]) => {}
        ChapPacket::Failure(message) => write!(f, ": {}", Quoted(message))?,
    }
    Ok(())
}

/// The text of a Success without what proves the password.
fn success(f: &mut fmt::Formatter<'_>, message: &[u8]) -> fmt::Result {
    let Some(proof) = authenticator_response(message) else {
        return if message.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", Quoted(message))
        };
    };
    f.write_str(": MS-CHAPv2 authenticator response masked")?;
    let (before, after) = (message.get(..proof.start), message.get(proof.end..));
    for text in [before, after].into_iter().flatten() {
        let text = text.trim_ascii();
        if !text.is_empty() && text != b"S=" {
            write!(f, ", {}", Quoted(text))?;
        }
    }
    Ok(())
}

fn ipv4(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    match Ipv4::parse(octets) {
        Ok(packet) => write!(
            f,
            " {} {} to {}, {} octets",
            Upper(packet.protocol()),
            packet.source(),
            packet.destination(),
            packet.total_length()
        ),
        Err(error) => malformed(f, error),
    }
}

fn ipv6(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    match Ipv6::parse(octets) {
        Ok(packet) => {
            let upper = packet.upper_layer();
            write!(
                f,
                " {} {} to {}, {} octets",
                Upper(upper.map_or(packet.next_header(), |(upper, _)| upper)),
                packet.source(),
                packet.destination(),
                packet.total_length()
            )
        }
        Err(error) => malformed(f, error),
    }
}

/// A protocol over IP by its name, or by its number.
struct Upper(u8);

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            protocol::ICMP => "ICMP",
            protocol::TCP => "TCP",
            protocol::UDP => "UDP",
            protocol::ICMPV6 => "ICMPv6",
            number => return write!(f, "protocol {number}"),
        })
    }
}

/// Octets that nobody here knows, if there are any.
fn raw(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    if octets.is_empty() {
        return Ok(());
    }
    write!(f, ": {}", Hex(octets))
}

fn malformed(f: &mut fmt::Formatter<'_>, error: impl fmt::Display) -> fmt::Result {
    write!(f, ": malformed: {error}")
}

/// What becomes of writing a packet that may be malformed.
type Written = Result<(), Fault>;

/// Why a packet is not written to its end.
enum Fault {
    Malformed(Error),
    Formatter,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

impl From<Truncated> for Fault {
    fn from(error: Truncated) -> Self {
        Self::Malformed(error.into())
    }
}

impl From<fmt::Error> for Fault {
    fn from(_: fmt::Error) -> Self {
        Self::Formatter
    }
}

/// Says that a packet is malformed, where it is.
trait OrMalformed {
    fn or_malformed(self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl OrMalformed for Written {
    fn or_malformed(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ok(()) => Ok(()),
            Err(Fault::Malformed(error)) => malformed(f, error),
            Err(Fault::Formatter) => Err(fmt::Error),
        }
    }
}
