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

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;
    use crate::handing::Open;

    /// Two datagrams for each packet: a mark and what is behind it, and a mark alone.
    #[derive(Debug)]
    struct Twice(SocketAddr);

    impl Seal for Twice {
        fn headroom(&self) -> usize {
            1
        }

        fn tailroom(&self) -> usize {
            0
        }

        fn seal(
            &self,
            to: Peer,
            _what: Handed,
            buffer: &mut [u8],
            spare: &mut [u8],
        ) -> Option<Sealed> {
            (buffer[0], spare[0]) = (1, 2);
            let first = 0..buffer.len();
            (to == Peer(1)).then_some(Sealed {
                to: self.0,
                first,
                second: Some(1),
            })
        }

        fn opener(&self) -> Box<dyn Open> {
            unreachable!("nothing is opened here")
        }
    }

    #[test]
    fn more_than_a_batch_leaves_whole_and_in_order() {
        let (ours, theirs) = ("127.0.0.1:0", "127.0.0.1:0");
        let ours = UdpSocket::bind(ours).unwrap();
        let theirs = UdpSocket::bind(theirs).unwrap();
        let patience = core::time::Duration::from_secs(5);
        theirs.set_read_timeout(Some(patience)).unwrap();
        let seal = Arc::new(Twice(theirs.local_addr().unwrap()));
        let mut outbox = Outbox::new(ours, seal).unwrap();
        let counters = ThreadCounters::default();
        let what = Some(Handed::Downstream);
        for number in 0..100_u8 {
            let mut this = Some(&mut outbox);
            assert!(Outbox::put(
                &mut this,
                Peer(1),
                what,
                &[number; 30],
                &counters
            ));
            // What is not sealed takes nobody's room.
            assert!(!Outbox::put(&mut this, Peer(2), what, &[number], &counters));
            assert!(!Outbox::put(&mut this, Peer(1), None, &[number], &counters));
            assert!(!Outbox::put(
                &mut this,
                Peer(1),
                what,
                &[0; ROOM],
                &counters
            ));
        }
        Outbox::flush(&mut Some(&mut outbox), &counters);
        let mut octets = [0; 100];
        for number in 0..100_u8 {
            let length = theirs.recv(&mut octets).unwrap();
            assert_eq!(octets[..length], [&[1][..], &[number; 30]].concat());
            assert_eq!(theirs.recv(&mut octets).unwrap(), 1);
            assert_eq!(octets[0], 2);
        }
        assert!(!Outbox::put(&mut None, Peer(1), what, &[1], &counters));
        let stats = crate::Stats::sum([&counters].into_iter());
        assert_eq!(stats.dropped(DropReason::NoWayHome), 3 * 100 + 1);
    }
}
