//! Reading a batch of packets from a queue of the subscribers' interface.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::read;

use crate::limits::{BATCH, PACKET};
use crate::memory::{NoMemory, Zeroed};

/// Room for a batch.
#[derive(Debug)]
pub(crate) struct ReadBatch {
    octets: Zeroed<u8>,
    /// Of each packet of the batch: its length; `None` when it was longer than its room.
    lengths: Box<[Option<usize>; BATCH]>,
    count: usize,
}

impl ReadBatch {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        Ok(Self {
            octets: Zeroed::new(BATCH.saturating_mul(PACKET))?,
            lengths: Box::new([None; BATCH]),
            count: 0,
        })
    }

    /// Reads what is there, without waiting; the packets replace those before. Returns how many they
    /// are: there may be more if they are a whole batch.
    pub(crate) fn read(&mut self, queue: impl AsFd) -> usize {
        self.count = 0;
        let rooms = self.octets.chunks_exact_mut(PACKET);
        for (length, room) in self.lengths.iter_mut().zip(rooms) {
            let read = loop {
                match read(&queue, room) {
                    Err(Errno::EINTR) => {}
                    other => break other,
                }
            };
            let Ok(octets) = read else { break };
            // What fills all of its room may have been cut.
            *length = (octets < PACKET).then_some(octets);
            self.count = self.count.saturating_add(1);
        }
        self.count
    }

    /// The packets, as they have come: `None` for one that was too long.
    pub(crate) fn packets(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let rooms = self.octets.chunks_exact(PACKET).zip(self.lengths.iter());
        let packets = rooms.map(|(room, length)| length.and_then(|length| room.get(..length)));
        packets.take(self.count)
    }

    /// One of them, to be changed in place, and where in [`octets`](Self::octets) it begins.
    pub(crate) fn packet_mut(&mut self, number: usize) -> (usize, Option<&mut [u8]>) {
        let start = number.saturating_mul(PACKET);
        let length = self.lengths.get(number).copied().flatten();
        let length = length.filter(|_| number < self.count);
        let packet =
            length.and_then(|length| self.octets.get_mut(start..start.saturating_add(length)));
        (start, packet)
    }

    /// All of the room.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_batch_keeps_packets_and_their_order_and_marks_what_was_too_long() {
        let (here, there) = UnixDatagram::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let mut batch = ReadBatch::new().unwrap();
        assert_eq!(batch.read(&there), 0);
        for packet in [&b"first"[..], &[7; PACKET], &[7; PACKET - 1]] {
            here.send(packet).unwrap();
        }
        assert_eq!(batch.read(&there), 3);
        let lengths = batch.packets().map(|packet| packet.map(<[u8]>::len));
        assert_eq!(
            lengths.collect::<Vec<_>>(),
            [Some(5), None, Some(PACKET - 1)]
        );
        assert_eq!(batch.packet_mut(0), (0, Some(&mut b"first".to_vec()[..])));
        assert_eq!(batch.packet_mut(1), (PACKET, None));
        let (start, last) = batch.packet_mut(2);
        last.unwrap().fill(9);
        assert_eq!(batch.octets()[start..start + PACKET - 1], [9; PACKET - 1]);
        assert_eq!(batch.packet_mut(3), (3 * PACKET, None));
        assert_eq!(batch.read(&there), 0);
        assert_eq!(batch.packets().count(), 0);
        assert_eq!(batch.packet_mut(0), (0, None));
    }

    #[test]
    fn no_more_than_a_batch_is_read_at_once() {
        let [here, there] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        there.set_nonblocking(true).unwrap();
        let mut batch = ReadBatch::new().unwrap();
        let all: Vec<_> = (0_u8..).take(BATCH + 3).collect();
        for number in &all {
            let sent = here.send_to(&[*number], there.local_addr().unwrap());
            assert_eq!(sent.unwrap(), 1);
        }
        let mut seen = Vec::new();
        for count in [BATCH, 3, 0] {
            assert_eq!(batch.read(&there), count);
            seen.extend(batch.packets().map(|packet| packet.unwrap()[0]));
        }
        assert_eq!(seen, all);
    }
}
