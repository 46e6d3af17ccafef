//! One datagram of each kind, made by the crate's own emitters, with the line that it is as text. Each
//! secret in them is made of the letter Q alone, and no other octet is one.

mod control;
mod ppp;

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::{PeerSessionId, PeerTunnelId};
use crate::l2tp::{Message, Seq16, emit_control, emit_data};
use crate::ppp::{Code, Framing, Protocol, emit_packet};

/// The octet of all secrets.
pub(crate) const SECRET: u8 = b'Q';

/// A datagram and its text.
pub(crate) struct Sample {
    pub(crate) datagram: Vec<u8>,
    pub(crate) text: String,
}

/// All of them.
pub(crate) fn all() -> Vec<Sample> {
    control::all().into_iter().chain(ppp::all()).collect()
}

/// A secret of that many octets.
pub(crate) const fn secret<const N: usize>() -> [u8; N] {
    [SECRET; N]
}

/// A control message of tunnel 4711.
pub(crate) fn message(session: u16, message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    message.emit(&mut body).unwrap();
    with_body(4711, session, &body)
}

/// A control message of any body, with Ns 3 and Nr 2.
pub(crate) fn with_body(tunnel: u16, session: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (tunnel, session) = (PeerTunnelId(tunnel), PeerSessionId(session));
    emit_control(tunnel, session, Seq16(3), Seq16(2), body, &mut out).unwrap();
    out
}

/// A control packet with `data`.
pub(crate) fn packet(code: Code, id: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_packet(&mut out, code, id, |out| out.extend_from_slice(data));
    out
}

/// A frame with a header of the long form.
pub(crate) fn frame(protocol: Protocol, information: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Framing::default().emit_header(protocol, &mut out);
    out.extend_from_slice(information);
    out
}

/// A data message of session 12 of tunnel 4711.
pub(crate) fn data(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    emit_data(PeerTunnelId(4711), PeerSessionId(12), None, &mut out);
    out.extend_from_slice(frame);
    out
}
