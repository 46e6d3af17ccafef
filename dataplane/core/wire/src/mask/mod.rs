//! Datagrams without what proves or reveals a password or a shared secret, for a capture file and for
//! whoever keeps messages.
//!
//! Masked in place with `*`, in one walk, without an allocation and without a change of any length, so
//! that a reader of the capture still takes the datagram apart:
//!
//! - of a control message: Challenge Response, Proxy Authen Response (RFC 2661, 4.4.3 and 4.4.5), the
//!   Message Digest of a LAC that speaks version 3 too (RFC 3931, 5.4.1), the value of each hidden AVP;
//! - of PPP: the password of PAP, the response value of CHAP and MS-CHAPv2, the authenticator response
//!   in a Success, all data of EAP and of other link control that nobody here knows;
//! - of a packet that a Code-Reject or Protocol-Reject quotes: all but its first four octets;
//! - all that lies beyond a Length or in an offset's padding;
//! - from the first fault on, all that is left of a control message, of a PPP control packet whose
//!   Length does not fit, of a PAP or CHAP packet, and of what is no L2TP message or no PPP frame.
//!
//! What remains are the fields that the parsers need to come to the same end, so that
//! [`text`](crate::text) says the same before and after.
//!
//! Left alone: names, challenges, Random Vectors, which are sent to be seen; the values of AVPs that
//! nobody here knows; options of LCP and NCPs; whatever the subscriber's own IP packets carry. An octet
//! is what the datagram says that it is: where a fault has made a Calling Number of a password, it is a
//! number.

use core::ops::Range;

use crate::Reader;
use crate::l2tp::{Avp, Content, Parts, kind};
use crate::ppp::{
    ChapCode, ChapPacket, Code, Frame, Packet, PapCode, PapReply, PapRequest, Protocol,
    authenticator_response,
};

#[cfg(test)]
mod tests;

/// What masked octets are.
pub const MASK: u8 = b'*';

/// Masks a whole UDP payload.
pub fn mask_datagram(octets: &mut [u8]) {
    let Parts { header, content } = Parts::of(octets);
    match content {
        Content::Body(body) => mask_message(octets.get_mut(body).unwrap_or_default()),
        Content::Frame(frame) => {
            fill(octets, header..frame.start);
            fill(octets, frame.end..usize::MAX);
            mask_frame(octets.get_mut(frame).unwrap_or_default());
        }
        Content::None => fill(octets, header..usize::MAX),
    }
}

/// Masks the body of a control message: AVPs without the header before them.
pub fn mask_message(body: &mut [u8]) {
    let mut rest = body;
    while !rest.is_empty() {
        let mut reader = Reader::new(rest);
        let Ok(avp) = Avp::read(&mut reader) else {
            // The flags and the Length that does not fit stay: with them it is as broken as before.
            fill(rest, AVP_LENGTH..usize::MAX);
            return;
        };
        let secret = is_secret(&avp);
        let len = rest.len().saturating_sub(reader.len());
        let (this, next) = rest.split_at_mut(len);
        if secret {
            fill(this, AVP_HEADER..len);
        }
        rest = next;
    }
}

/// Masks a PPP frame.
pub fn mask_frame(frame: &mut [u8]) {
    let Ok(parsed) = Frame::parse(frame) else {
        // What makes it none stays: FF and three octets at most, or two.
        let address = frame.first() == Some(&0xff);
        fill(frame, if address { 4 } else { 2 }..usize::MAX);
        return;
    };
    let protocol = parsed.protocol;
    let at = frame.len().saturating_sub(parsed.information.len());
    mask_information(protocol, frame.get_mut(at..).unwrap_or_default());
}

fn mask_information(protocol: Protocol, information: &mut [u8]) {
    if protocol == Protocol::MULTILINK {
        // A fragment of any packet; nobody here puts it together.
        fill(information, 0..usize::MAX);
    }
    if !protocol.is_control() {
        return;
    }
    let secrets = match Packet::parse(information) {
        Ok(packet) => {
            let end = packet.octets.len();
            let [first, second] = secrets(protocol, &packet);
            let place = |range: Range<usize>| {
                let at = |place: usize| place.saturating_add(Packet::HEADER).min(end);
                at(range.start)..at(range.end)
            };
            [place(first), place(second), end..usize::MAX]
        }
        Err(_) => [NOTHING, NOTHING, Packet::HEADER..usize::MAX],
    };
    for range in secrets {
        fill(information, range);
    }
}

/// Where secrets lie in the data of a control packet.
fn secrets(protocol: Protocol, packet: &Packet<'_>) -> [Range<usize>; 2] {
    let one = match protocol {
        Protocol::PAP => return pap(packet),
        Protocol::CHAP => chap(packet),
        _ if protocol.may_hold_secrets() => ALL,
        _ if packet.code == Code::CODE_REJECT => Packet::HEADER..usize::MAX,
        Protocol::LCP if packet.code == Code::PROTOCOL_REJECT => {
            PROTOCOL.saturating_add(Packet::HEADER)..usize::MAX
        }
        _ => NOTHING,
    };
    [one, NOTHING]
}

fn pap(packet: &Packet<'_>) -> [Range<usize>; 2] {
    match PapCode::from_code(packet.code) {
        Some(PapCode::Request) => {
            // The octets before the password: its own length is the last of them.
            let name = packet.data.first().copied().map_or(0, usize::from);
            let password = name.saturating_add(2)..usize::MAX;
            let broken = PapRequest::parse(packet.data).is_err();
            // A name that leads to a broken password may have swallowed some of it.
            let name = 1..name.saturating_add(1);
            [if broken { name } else { NOTHING }, password]
        }
        Some(PapCode::Ack | PapCode::Nak) => {
            let text = PapReply::parse(packet.data).map_or(0, |reply| reply.message.len());
            [text.saturating_add(1)..usize::MAX, NOTHING]
        }
        None => [ALL, NOTHING],
    }
}

fn chap(packet: &Packet<'_>) -> Range<usize> {
    match ChapPacket::parse(packet) {
        Ok(ChapPacket::Response(response)) => 1..response.value.len().saturating_add(1),
        Ok(ChapPacket::Success(message)) => authenticator_response(message).unwrap_or(NOTHING),
        Ok(ChapPacket::Challenge(_) | ChapPacket::Failure(_)) => NOTHING,
        Err(_) if ChapCode::from_code(packet.code).is_some() => 1..usize::MAX,
        Err(_) => ALL,
    }
}

fn is_secret(avp: &Avp<'_>) -> bool {
    let response = matches!(
        avp.kind,
        kind::CHALLENGE_RESPONSE | kind::PROXY_AUTHEN_RESPONSE | MESSAGE_DIGEST
    );
    avp.hidden || avp.vendor == 0 && response
}

/// Masks what of `range` there is.
fn fill(octets: &mut [u8], range: Range<usize>) {
    let range = range.start..range.end.min(octets.len());
    octets.get_mut(range).unwrap_or_default().fill(MASK);
}

const NOTHING: Range<usize> = 0..0;
const ALL: Range<usize> = 0..usize::MAX;

/// Octets of an AVP's flags and Length, and of its whole header.
const AVP_LENGTH: usize = 2;
const AVP_HEADER: usize = 6;

/// Octets of the Rejected-Protocol in a Protocol-Reject (RFC 1661, 5.7).
const PROTOCOL: usize = 2;

/// The Message Digest of `L2TPv3`, keyed with the shared secret (RFC 3931, 5.4.1).
const MESSAGE_DIGEST: u16 = 59;
