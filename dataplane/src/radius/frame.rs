//! Packets on a stream (RFC 6613, 2.1): one behind the other, each as long as its Length says.

use lns_wire::radius::{HEADER, MAX_PACKET};

/// Octets that are read ahead: some packets, so that a busy stream is not read one by one.
const AHEAD: usize = 4 * MAX_PACKET;

/// How long the packet is with which `octets` begin, as its Length says.
pub(super) fn length(octets: &[u8]) -> Option<usize> {
    let [_, _, high, low, ..] = octets.first_chunk::<4>()?;
    Some(u16::from_be_bytes([*high, *low]).into())
}

/// A Length that no packet has: where the next one begins cannot be known any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadLength(pub(super) usize);

/// What was read of a stream and is not whole yet.
#[derive(Debug)]
pub(super) struct Frames {
    octets: Box<[u8]>,
    /// Where the next packet begins.
    start: usize,
    /// Where what was read ends.
    end: usize,
}

impl Frames {
    /// Of a stream of which nothing was read.
    pub(super) fn new() -> Self {
        Self {
            octets: vec![0; AHEAD].into(),
            start: 0,
            end: 0,
        }
    }

    /// Where to read to. Never empty once [`Self::next`] has said that there is no more.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.octets.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.octets.get_mut(self.end..).unwrap_or_default()
    }

    /// So many octets were read there.
    pub(super) fn read(&mut self, octets: usize) {
        self.end = self.end.saturating_add(octets).min(self.octets.len());
    }

    /// The next whole packet.
    ///
    /// # Errors
    /// [`BadLength`]: the stream cannot be followed any further.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, BadLength> {
        let read = self.octets.get(self.start..self.end).unwrap_or_default();
        let Some(length) = length(read) else {
            return Ok(None);
        };
        if !(HEADER..=MAX_PACKET).contains(&length) {
            return Err(BadLength(length));
        }
        let Some(packet) = read.get(..length) else {
            return Ok(None);
        };
        self.start += packet.len();
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a stream that is read in pieces of `at_once` octets.
    fn read(stream: &[u8], at_once: usize) -> Result<Vec<Vec<u8>>, BadLength> {
        let mut frames = Frames::new();
        let mut packets = Vec::new();
        for piece in stream.chunks(at_once) {
            let mut piece = piece;
            while !piece.is_empty() {
                let space = frames.space();
                let now = piece.len().min(space.len());
                space[..now].copy_from_slice(&piece[..now]);
                frames.read(now);
                piece = &piece[now..];
                while let Some(packet) = frames.next()? {
                    packets.push(packet.to_vec());
                }
            }
        }
        Ok(packets)
    }

    fn packet(length: u16, fill: u8) -> Vec<u8> {
        let mut octets = vec![fill; usize::from(length)];
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    }

    #[test]
    fn packets_come_out_as_they_went_in_however_the_stream_is_cut() {
        let packets: Vec<_> = [20, 4096, 21, 4096, 4095, 20, 20]
            .into_iter()
            .zip(1..)
            .map(|(length, fill)| packet(length, fill))
            .collect();
        let stream = packets.concat();
        for at_once in [1, 3, 19, 20, 21, 4096, 5000, stream.len()] {
            assert_eq!(read(&stream, at_once).as_ref(), Ok(&packets), "{at_once}");
        }
    }

    #[test]
    fn a_length_that_no_packet_has_ends_the_stream() {
        for length in [0, 1, 19, 4097, u16::MAX] {
            let mut stream = packet(20, 1);
            stream.extend([2, 0]);
            stream.extend(length.to_be_bytes());
            assert_eq!(read(&stream, 7), Err(BadLength(length.into())));
        }
    }

    #[test]
    fn there_is_always_room_for_the_rest_of_a_packet() {
        let mut frames = Frames::new();
        let long = packet(4096, 9);
        // Three whole packets and most of a fourth fill it to the last octets.
        for _ in 0..3 {
            frames.space()[..4096].copy_from_slice(&long);
            frames.read(4096);
        }
        frames.space()[..4095].copy_from_slice(&long[..4095]);
        frames.read(4095);
        for _ in 0..3 {
            assert_eq!(frames.next().unwrap(), Some(&*long));
        }
        assert_eq!(frames.next(), Ok(None));
        assert!(!frames.space().is_empty());
    }
}
