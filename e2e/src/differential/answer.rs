//! What an LNS sent, in the few words by which two servers are compared: the message and its result, or
//! the PPP packet and the options in it. Not the values that each chooses for itself.

use lns_wire::l2tp::{Attribute, Avps, MessageType};
use lns_wire::ppp::{Code, Options, Packet, Protocol};

use super::script::{CODES, PROTOCOLS};

/// The class of a control message's body.
pub(super) fn control(body: &[u8]) -> String {
    let mut attributes = Avps::new(body)
        .map_while(Result::ok)
        .filter(|avp| avp.vendor == 0 && !avp.hidden)
        .filter_map(|avp| Attribute::parse(avp.kind, avp.value).ok().flatten());
    let Some(Attribute::MessageType(number)) = attributes.next() else {
        return "a message without a type".into();
    };
    let mut label = match MessageType::from_number(number) {
        Some(message) => message.label().to_owned(),
        None => format!("message type {number}"),
    };
    let mut beside = Vec::new();
    for attribute in attributes {
        if let Attribute::ResultCode(code) = attribute {
            label.push_str(&format!(" {}", code.result));
            if let Some(error) = code.error {
                label.push_str(&format!("/{}", error.0));
            }
        } else if matches!(attribute, Attribute::ChallengeResponse(_)) {
            beside.push("response");
        } else if matches!(attribute, Attribute::Challenge(_)) {
            beside.push("challenge");
        }
    }
    if !beside.is_empty() {
        label.push_str(&format!(" with {}", beside.join(" and ")));
    }
    label
}

/// The class of a PPP packet.
pub(super) fn packet(protocol: Protocol, packet: &Packet<'_>) -> String {
    let name = PROTOCOLS.iter().find(|(known, _)| *known == protocol);
    let name = match name {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{:04x}", protocol.0),
    };
    let code = code_name(protocol, packet.code);
    match packet.code {
        _ if matches!(protocol, Protocol::PAP | Protocol::CHAP) => format!("{name} {code}"),
        Code::CONFIGURE_REQUEST
        | Code::CONFIGURE_ACK
        | Code::CONFIGURE_NAK
        | Code::CONFIGURE_REJECT => {
            format!("{name} {code}{}", options(protocol, packet.data))
        }
        Code::PROTOCOL_REJECT => {
            let rejected = packet.data.first_chunk::<2>();
            let rejected = rejected.map_or(0, |octets| u16::from_be_bytes(*octets));
            format!("{name} {code} {rejected:04x}")
        }
        _ => format!("{name} {code}"),
    }
}

fn code_name(protocol: Protocol, code: Code) -> String {
    let special: &[&str] = match protocol {
        Protocol::PAP => &[
            "Authenticate-Request",
            "Authenticate-Ack",
            "Authenticate-Nak",
        ],
        Protocol::CHAP => &["Challenge", "Response", "Success", "Failure"],
        _ => &[],
    };
    let place = usize::from(code.0).wrapping_sub(1);
    if let Some(name) = special.get(place) {
        return (*name).to_owned();
    }
    let known = CODES.iter().find(|(known, _)| *known == code);
    match known {
        Some((_, name)) => (*name).to_owned(),
        None => format!("code {}", code.0),
    }
}

/// The options: their types, and what is asked for where that is no choice of the moment.
fn options(protocol: Protocol, data: &[u8]) -> String {
    let Ok(options) = Options::parse(data) else {
        return " with broken options".into();
    };
    options
        .iter()
        .map(|option| match (protocol, option.kind) {
            (Protocol::LCP, 3) => format!(
                " 3={}",
                option
                    .value
                    .iter()
                    .map(|octet| format!("{octet:02x}"))
                    .collect::<String>()
            ),
            (_, kind) => format!(" {kind}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_message_is_its_type_and_result() {
        let stop = b"\x80\x08\0\0\0\0\0\x04\x80\x0a\0\0\0\x01\0\x02\0\x08";
        assert_eq!(control(stop), "StopCCN 2/8");
        assert_eq!(control(b"\x80\x08\0\0\0\0\0\x06"), "HELLO");
        assert_eq!(control(b""), "a message without a type");
    }

    #[test]
    fn a_packet_is_its_code_and_the_options_in_it() {
        let label = |protocol, octets: &[u8]| packet(protocol, &Packet::parse(octets).unwrap());
        assert_eq!(
            label(
                Protocol::LCP,
                b"\x01\x01\0\x0d\x03\x05\xc2\x23\x05\x01\x04\x05\xdc"
            ),
            "LCP Configure-Request 3=c22305 1"
        );
        assert_eq!(label(Protocol::CHAP, b"\x04\x01\0\x04"), "CHAP Failure");
        assert_eq!(
            label(Protocol::LCP, b"\x08\x01\0\x06\x80\xfd"),
            "LCP Protocol-Reject 80fd"
        );
        assert_eq!(
            label(Protocol::IPCP, b"\x09\x01\0\x04"),
            "IPCP Echo-Request"
        );
    }
}
