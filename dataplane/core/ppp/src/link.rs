//! The way out: where a layer puts its packets.

use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Framing, Packet, Protocol, emit_packet};

use crate::output::Frames;

/// What a layer needs to send, and the time.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// Where the frames go.
    pub(crate) frames: &'a mut Frames,
    /// What the peer lets us leave out.
    pub(crate) framing: Framing,
    /// The longest packet that the peer takes, octets.
    pub(crate) mtu: u16,
}

impl Link<'_> {
    /// Sends one control packet whose data `write` appends.
    pub(crate) fn send(
        &mut self,
        protocol: Protocol,
        code: Code,
        id: u8,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let framing = self.framing;
        self.frames.push(|out| {
            framing.emit_header(protocol, out);
            emit_packet(out, code, id, write);
        });
    }

    /// As much of `octets` as fits one packet behind `before` octets of data (RFC 1661, 5.6 and 5.7:
    /// a copy that is sent back is cut to the peer's MRU).
    pub(crate) fn fitting<'o>(&self, octets: &'o [u8], before: usize) -> &'o [u8] {
        let room = usize::from(self.mtu)
            .saturating_sub(Packet::HEADER)
            .saturating_sub(before);
        octets.get(..room).unwrap_or(octets)
    }
}

/// The time that never comes: a timer that is not set.
pub(crate) const NEVER: Instant = Instant::from_nanos(u64::MAX);
