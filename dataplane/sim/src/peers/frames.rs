//! PPP frames as a subscriber writes them.

use lns_wire::ppp::{Code, Framing, Protocol, emit_packet};

/// Frames on their way out.
pub(crate) type Frames = Vec<Vec<u8>>;

/// Appends a control packet, in the long form that everybody reads.
pub(crate) fn send(
    out: &mut Frames,
    protocol: Protocol,
    code: Code,
    id: u8,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let mut frame = Vec::with_capacity(48);
    Framing::default().emit_header(protocol, &mut frame);
    emit_packet(&mut frame, code, id, write);
    out.push(frame);
}
