//! Receiving a batch of datagrams with one system call.

use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use super::sockaddr::RawAddress;
use crate::limits::{BATCH, PACKET};
use crate::memory::{NoMemory, Zeroed};

/// Room for a batch.
#[derive(Debug)]
pub(crate) struct ReceiveBatch {
    octets: Zeroed<u8>,
    names: Box<[RawAddress; BATCH]>,
    /// Of each datagram of the batch: its length; `None` when it was longer than its room.
    lengths: Box<[Option<usize>; BATCH]>,
    count: usize,
}

impl ReceiveBatch {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        Ok(Self {
            octets: Zeroed::new(BATCH.saturating_mul(PACKET))?,
            names: Box::new([RawAddress::EMPTY; BATCH]),
            lengths: Box::new([None; BATCH]),
            count: 0,
        })
    }

    /// Receives what is there, without waiting, and returns how many datagrams that were; they replace
    /// those before.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.count = 0;
        let mut vectors = [libc::iovec {
            iov_base: core::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        for (vector, room) in vectors.iter_mut().zip(self.octets.chunks_exact_mut(PACKET)) {
            *vector = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            };
        }
        // SAFETY: a structure of integers and pointers, for which zeros (and null) are values.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { core::mem::zeroed() };
        for ((header, vector), name) in headers
            .iter_mut()
            .zip(&mut vectors)
            .zip(self.names.iter_mut())
        {
            header.msg_hdr.msg_name = core::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = u32::try_from(RawAddress::LENGTH).unwrap_or(0);
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        let room = u32::try_from(BATCH).unwrap_or(0);
        let (descriptor, nothing) = (socket.as_raw_fd(), core::ptr::null_mut());
        // SAFETY: the descriptor is open; there are `room` headers, each with one vector and one name;
        // vectors, names and the octets that they point to live through the call, nobody else refers to
        // them, and their lengths are those of the arrays; there is no control data and no timeout.
        let result = unsafe {
            libc::recvmmsg(
                descriptor,
                headers.as_mut_ptr(),
                room,
                libc::MSG_DONTWAIT,
                nothing,
            )
        };
        let count = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(count) {
            let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            *length = usize::try_from(header.msg_len).ok().filter(|_| whole);
        }
        self.count = count;
        Ok(count)
    }

    /// The datagrams as they have come, but for those that were too long.
    pub(crate) fn octets(&self) -> impl Iterator<Item = &[u8]> {
        let rooms = self.octets.chunks_exact(PACKET).zip(self.lengths.iter());
        let datagrams = rooms.take(self.count);
        datagrams.filter_map(|(room, length)| room.get(..(*length)?))
    }

    /// The datagrams with their senders: `None` for one that was too long.
    pub(crate) fn datagrams(
        &mut self,
    ) -> impl Iterator<Item = (Option<&mut [u8]>, Option<SocketAddr>)> {
        let rooms = self
            .octets
            .chunks_exact_mut(PACKET)
            .zip(self.lengths.iter());
        let datagrams =
            rooms.map(|(room, length)| length.and_then(|length| room.get_mut(..length)));
        datagrams
            .zip(self.names.iter().map(RawAddress::decode))
            .take(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_octets_senders_and_order_and_marks_what_was_too_long() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let senders = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = socket.local_addr().unwrap();
        senders[0].send_to(b"first", address).unwrap();
        senders[1].send_to(&[7; PACKET + 1], address).unwrap();
        senders[2].send_to(b"", address).unwrap();
        let mut batch = ReceiveBatch::new().unwrap();
        assert_eq!(batch.receive(&socket).unwrap(), 3);
        let got: Vec<_> = batch
            .datagrams()
            .map(|(octets, from)| (octets.map(|octets| octets.to_vec()), from))
            .collect();
        assert!(batch.octets().eq([&b"first"[..], b""]));
        let from = |at: usize| Some(senders[at].local_addr().unwrap());
        assert_eq!(
            got,
            [
                (Some(b"first".to_vec()), from(0)),
                (None, from(1)),
                (Some(Vec::new()), from(2))
            ]
        );
        assert_eq!(
            batch.receive(&socket).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert_eq!(batch.datagrams().count(), 0);
    }
}
