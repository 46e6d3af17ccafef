//! What a worker hands to other nodes: sealed as it comes, sent a batch at a time.

use std::net::UdpSocket;
use std::sync::Arc;

use crate::handing::{Handed, Peer, Seal, Sealed};
use crate::io::send::SendBatch;
use crate::limits::{BATCH, HANDING_ROOM, PACKET};
use crate::memory::{NoMemory, Zeroed};
use crate::stats::{DropReason, ThreadCounters};

/// Octets of one sealed packet, and of what did not fit into its first datagram.
const ROOM: usize = PACKET + HANDING_ROOM;

/// What waits to be sent to other nodes.
pub(super) struct Outbox {
    socket: UdpSocket,
    seal: Arc<dyn Seal>,
    /// For each packet that waits the room for its first datagram, and that for its second.
    octets: Zeroed<u8>,
    packets: usize,
    sending: SendBatch,
}

impl Outbox {
    pub(super) fn new(socket: UdpSocket, seal: Arc<dyn Seal>) -> Result<Self, NoMemory> {
        let rooms = BATCH.saturating_mul(2);
        Ok(Self {
            socket,
            seal,
            octets: Zeroed::new(rooms.saturating_mul(ROOM))?,
            packets: 0,
            sending: SendBatch::new(),
        })
    }

    /// The socket by which other nodes are reached, and reach this one.
    pub(super) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Seals a packet, which leaves with the next [`flush`](Self::flush). `false`: it does not, and that was
    /// counted; there may be nothing that seals, or nothing to say where the packet came in.
    pub(super) fn put(
        this: &mut Option<&mut Self>,
        to: Peer,
        what: Option<Handed>,
        packet: &[u8],
        counters: &ThreadCounters,
    ) -> bool {
        let sealed = match (this, what) {
            (Some(this), Some(what)) => this.seal(to, what, packet, counters),
            _ => None,
        };
        if sealed.is_none() {
            counters.count_drop(DropReason::NoWayHome);
        }
        sealed.is_some()
    }

    fn seal(
        &mut self,
        to: Peer,
        what: Handed,
        packet: &[u8],
        counters: &ThreadCounters,
    ) -> Option<()> {
        if self.packets >= BATCH || self.sending.is_full() {
            self.send(counters);
        }
        let (head, tail) = (self.seal.headroom(), self.seal.tailroom());
        let start = self.packets.checked_mul(ROOM.checked_mul(2)?)?;
        let rooms = self.octets.get_mut(start..)?;
        let (buffer, spare) = rooms.split_at_mut_checked(ROOM)?;
        let end = head.checked_add(packet.len())?;
        let buffer = buffer.get_mut(..end.checked_add(tail)?)?;
        buffer.get_mut(head..end)?.copy_from_slice(packet);
        let spare = spare.get_mut(..ROOM)?;
        let Sealed { to, first, second } = self.seal.seal(to, what, buffer, spare)?;
        let first = start.checked_add(first.start)?..start.checked_add(first.end)?;
        // There is room, for there was before the first.
        self.sending.push(to, &[], first);
        if let Some(length) = second {
            let spare = start.checked_add(ROOM)?;
            self.sending
                .push(to, &[], spare..spare.checked_add(length)?);
        }
        self.packets = self.packets.saturating_add(1);
        Some(())
    }

    /// Sends what waits.
    pub(super) fn flush(this: &mut Option<&mut Self>, counters: &ThreadCounters) {
        if let Some(this) = this.as_mut().filter(|this| this.packets > 0) {
            this.send(counters);
        }
    }

    fn send(&mut self, counters: &ThreadCounters) {
        self.sending.flush(&self.socket, &self.octets, counters);
        self.packets = 0;
    }
}
