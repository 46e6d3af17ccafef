//! Sending a batch of datagrams with as few system calls as possible. A datagram is a header, kept
//! here, and a part of a buffer that the caller keeps: payloads are not copied.

use core::net::SocketAddr;
use core::ops::Range;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use super::sockaddr::RawAddress;
use crate::limits::{BATCH, FRAGMENTS, HEADER};
use crate::stats::{DropReason, ThreadCounters, add};

/// Datagrams that wait to be sent from one socket.
#[derive(Debug)]
pub(crate) struct SendBatch {
    waiting: Vec<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    header: [u8; HEADER],
    header_length: usize,
    payload: Range<usize>,
    name: RawAddress,
    name_length: u32,
}

impl SendBatch {
    /// Room for a batch and the fragments of one more packet.
    const ROOM: usize = BATCH.saturating_add(FRAGMENTS);

    pub(crate) fn new() -> Self {
        Self {
            waiting: Vec::with_capacity(Self::ROOM),
        }
    }

    /// Adds a datagram whose payload is `payload` of the buffer that [`SendBatch::flush`] will be given;
    /// `false` when there is no room.
    pub(crate) fn push(
        &mut self,
        remote: SocketAddr,
        header: &[u8],
        payload: Range<usize>,
    ) -> bool {
        let (name, name_length) = RawAddress::encode(remote);
        let mut waiting = Waiting {
            header: [0; HEADER],
            header_length: header.len(),
            payload,
            name,
            name_length,
        };
        let fits = self.waiting.len() < Self::ROOM;
        match waiting.header.get_mut(..header.len()).filter(|_| fits) {
            Some(place) => {
                place.copy_from_slice(header);
                self.waiting.push(waiting);
                true
            }
            None => false,
        }
    }

    /// Whether another packet should wait until this is flushed.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH
    }

    /// Sends what waits, without waiting itself. What the kernel does not take is counted and gone.
    pub(crate) fn flush(&mut self, socket: &UdpSocket, buffer: &[u8], counters: &ThreadCounters) {
        let mut left = self.waiting.as_mut_slice();
        while !left.is_empty() {
            add(&counters.send_calls, 1);
            let skip = match send(socket, left, buffer) {
                Ok(sent) => sent.max(1),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => 0,
                    Some(libc::EAGAIN | libc::ENOBUFS) => {
                        counters.count_drops(
                            DropReason::SocketFull,
                            u64::try_from(left.len()).unwrap_or(0),
                        );
                        left.len()
                    }
                    // About the first one only: those behind it may have another way.
                    _ => {
                        counters.count_drop(DropReason::SocketError);
                        1
                    }
                },
            };
            left = left.get_mut(skip..).unwrap_or_default();
        }
        self.waiting.clear();
    }
}

/// Sends up to a batch of `waiting`; returns how many the kernel took.
fn send(socket: &UdpSocket, waiting: &mut [Waiting], buffer: &[u8]) -> io::Result<usize> {
    let empty = libc::iovec {
        iov_base: core::ptr::null_mut(),
        iov_len: 0,
    };
    let mut vectors = [[empty; 2]; BATCH];
    // SAFETY: a structure of integers and pointers, for which zeros (and null) are values.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { core::mem::zeroed() };
    let count = waiting.len().min(BATCH);
    for ((header, vector), waiting) in headers.iter_mut().zip(&mut vectors).zip(waiting) {
        let front = waiting
            .header
            .get(..waiting.header_length)
            .unwrap_or_default();
        let payload = buffer.get(waiting.payload.clone()).unwrap_or_default();
        *vector = [front, payload].map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        header.msg_hdr.msg_name = core::ptr::from_mut(&mut waiting.name).cast();
        header.msg_hdr.msg_namelen = waiting.name_length;
        header.msg_hdr.msg_iov = vector.as_mut_ptr();
        header.msg_hdr.msg_iovlen = vector.len();
    }
    let count = u32::try_from(count).unwrap_or(0);
    // SAFETY: the descriptor is open; the first `count` headers each name one address and two vectors,
    // which lie in `waiting`, `vectors` and `buffer`, live through the call and have the lengths given;
    // the kernel only reads them (the pointers are mutable by the structure's definition only), and
    // writes only into `headers`.
    let result = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Sends one datagram with a mark that is not the socket's (Linux 5.5), or with the socket's.
pub(crate) fn send_one(
    socket: &UdpSocket,
    payload: &[u8],
    remote: SocketAddr,
    mark: Option<u32>,
) -> io::Result<()> {
    let Some(mark) = mark else {
        return socket.send_to(payload, remote).map(drop);
    };
    let (mut name, name_length) = RawAddress::encode(remote);
    let mut vector = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    let mut ancillary = MarkMessage::new(mark);
    // SAFETY: a structure of integers and pointers, for which zeros (and null) are values.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = name_length;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut ancillary).cast();
    message.msg_controllen = size_of::<MarkMessage>();
    // SAFETY: the descriptor is open; the message names one address, one vector and one ancillary message, which
    // live through the call and have the lengths given; the kernel only reads them (the pointers are
    // mutable by the structure's definition only).
    let result =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// An ancillary message `SO_MARK`: header, value, and padding up to the header's alignment.
#[derive(Debug)]
#[repr(C)]
struct MarkMessage {
    header: libc::cmsghdr,
    mark: u32,
}

impl MarkMessage {
    fn new(mark: u32) -> Self {
        let length = core::mem::offset_of!(Self, mark).saturating_add(size_of::<u32>());
        Self {
            header: libc::cmsghdr {
                cmsg_len: length,
                cmsg_level: libc::SOL_SOCKET,
                cmsg_type: libc::SO_MARK,
            },
            mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    /// A socket that gives up when nothing comes.
    fn receiver() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = core::time::Duration::from_secs(5);
        socket.set_read_timeout(Some(patience)).unwrap();
        socket
    }

    #[test]
    fn more_than_a_batch_arrives_whole_and_in_order() {
        let receiver = receiver();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let counters = ThreadCounters::default();
        let buffer: Vec<u8> = (0..=255).collect();
        let mut batch = SendBatch::new();
        let remote = receiver.local_addr().unwrap();
        for number in 0..150_u8 {
            assert_eq!(batch.is_full(), number >= 64);
            assert!(batch.push(
                remote,
                &[number, 1],
                usize::from(number)..usize::from(number) + 3
            ));
        }
        batch.flush(&sender, &buffer, &counters);
        for number in 0..150 {
            let mut octets = [0; 16];
            let (length, from) = receiver.recv_from(&mut octets).unwrap();
            assert_eq!(from, sender.local_addr().unwrap());
            assert_eq!(
                octets[..length],
                [number, 1, number, number + 1, number + 2]
            );
        }
        assert_eq!(Stats::sum([&counters].into_iter()).send_calls, 3);
    }

    #[test]
    fn one_that_the_kernel_refuses_does_not_stop_those_behind_it() {
        let receiver = receiver();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let counters = ThreadCounters::default();
        let mut batch = SendBatch::new();
        let good = receiver.local_addr().unwrap();
        batch.push(good, b"a", 0..1);
        batch.push("255.255.255.255:9".parse().unwrap(), b"b", 0..1);
        batch.push(good, b"c", 0..1);
        batch.flush(&sender, b"!", &counters);
        for expected in [b"a!", b"c!"] {
            let mut octets = [0; 8];
            assert_eq!(receiver.recv(&mut octets).unwrap(), 2);
            assert_eq!(&octets[..2], expected);
        }
        assert_eq!(
            Stats::sum([&counters].into_iter()).dropped(DropReason::SocketError),
            1
        );
    }

    #[test]
    fn room_is_bounded_and_a_header_too_long_is_refused() {
        let mut batch = SendBatch::new();
        let remote = "127.0.0.1:9".parse().unwrap();
        assert!(!batch.push(remote, &[0; HEADER + 1], 0..0));
        let taken = (0..1000)
            .filter(|_| batch.push(remote, &[0; HEADER], 0..0))
            .count();
        assert_eq!(taken, BATCH + FRAGMENTS);
    }
}
