//! What the node says of a datagram, and what it keeps of one: text and mask (RFC 2661, 4.4; RFC 1334;
//! RFC 1994; RFC 2759).

use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Avps, Packet as Datagram, Seq16, emit_control, emit_data, kind};
use lns_wire::mask::{MASK, mask_datagram};
use lns_wire::ppp::{
    ChapPacket, Code, Frame, Framing, Packet, PapCode, PapRequest, Protocol,
    authenticator_response, emit_packet,
};
use lns_wire::text::DatagramText;

use crate::Outcome;

/// A whole datagram, and the same octets in every place of one where a peer's own words begin. What is
/// there afterwards is the text.
pub(crate) fn run(octets: &[u8]) -> Outcome {
    for datagram in [message(octets), data(octets), configure(octets)] {
        check(&datagram);
    }
    for protocol in [Protocol::LCP, Protocol::PAP, Protocol::CHAP, Protocol::IPCP] {
        check(&data(&frame(protocol, octets)));
    }
    check(octets);
    let then = DatagramText::new(octets).to_string();
    let verdict = if then.contains("malformed: ") {
        Err("malformed")
    } else {
        Ok(())
    };
    Outcome { verdict, then }
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (tunnel, session) = (PeerTunnelId(1), PeerSessionId(2));
    emit_control(tunnel, session, Seq16(3), Seq16(4), body, &mut out).expect("inputs are short");
    out
}

fn data(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_data(PeerTunnelId(1), PeerSessionId(2), None, &mut out);
    out.extend_from_slice(frame);
    out
}

fn frame(protocol: Protocol, information: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Framing::default().emit_header(protocol, &mut out);
    out.extend_from_slice(information);
    out
}

fn configure(options: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    emit_packet(&mut packet, Code::CONFIGURE_REQUEST, 1, |out| {
        out.extend_from_slice(options);
    });
    data(&frame(Protocol::LCP, &packet))
}

/// What must hold of any datagram.
fn check(datagram: &[u8]) {
    let text = DatagramText::new(datagram).to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 300 + 32 * datagram.len(), "{text}");
    let masked = masked(datagram);
    assert_eq!(masked.len(), datagram.len());
    // What lies under the mask decides nothing: neither what is masked nor what is said.
    let mut other = datagram.to_vec();
    for (octet, mask) in other.iter_mut().zip(&masked) {
        if *octet != *mask {
            assert_eq!(*mask, MASK);
            *octet = !*octet;
        }
    }
    assert_eq!(self::masked(&masked), masked, "masked once and for all");
    assert_eq!(self::masked(&other), masked);
    for again in [&masked, &other] {
        assert_eq!(DatagramText::new(again).to_string(), text);
    }
    match Datagram::parse(&masked) {
        Ok(Datagram::Control(_, body)) => check_message(body),
        Ok(Datagram::Data(_, frame)) => check_frame(frame),
        Err(_) => {}
    }
}

fn masked(datagram: &[u8]) -> Vec<u8> {
    let mut octets = datagram.to_vec();
    mask_datagram(&mut octets);
    octets
}

/// Nothing but masks where the parsers find a secret.
fn check_message(body: &[u8]) {
    for avp in Avps::new(body).flatten() {
        let response = [kind::CHALLENGE_RESPONSE, kind::PROXY_AUTHEN_RESPONSE];
        if avp.hidden || avp.vendor == 0 && response.contains(&avp.kind) {
            assert_only_masks(avp.value);
        }
    }
}

fn check_frame(frame: &[u8]) {
    let Ok(frame) = Frame::parse(frame) else {
        return;
    };
    let Ok(packet) = Packet::parse(frame.information) else {
        return;
    };
    match frame.protocol {
        Protocol::PAP if packet.code == PapCode::Request.code() => {
            if let Ok(request) = PapRequest::parse(packet.data) {
                assert_only_masks(request.password);
            }
        }
        Protocol::CHAP => match ChapPacket::parse(&packet) {
            Ok(ChapPacket::Response(response)) => assert_only_masks(response.value),
            Ok(ChapPacket::Success(message)) => {
                let proof = authenticator_response(message).unwrap_or_default();
                assert_only_masks(&message[proof]);
            }
            Ok(ChapPacket::Challenge(_) | ChapPacket::Failure(_)) | Err(_) => {}
        },
        Protocol::EAP => assert_only_masks(packet.data),
        Protocol::LCP if packet.code == Code::PROTOCOL_REJECT => {
            assert_only_masks(packet.data.get(6..).unwrap_or_default());
        }
        _ => {}
    }
}

fn assert_only_masks(octets: &[u8]) {
    assert!(octets.iter().all(|octet| *octet == MASK), "{octets:02x?}");
}
