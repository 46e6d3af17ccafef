//! A netlink socket on which the kernel is asked something and has answered when the call returns.
//!
//! It carries out a request while that is being sent, so nothing here ever waits for an answer.

use std::io;

use netlink_packet_core::{NetlinkBuffer, NetlinkDeserializable, NetlinkMessage};
use netlink_sys::SocketAddr;
use nix::libc::MSG_DONTWAIT;

/// What there is room for in a datagram: the kernel fills those of a list up to 32 KiB.
const MAX_DATAGRAM: usize = 32 * 1024;

/// A socket to one of the kernel's subsystems. It belongs to the network namespace of the thread
/// that opened it.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: netlink_sys::Socket,
    port: u32,
}

impl Channel {
    /// Opens a socket to `NETLINK_*`.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // Errors say what is wrong, and do not repeat the request.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self { socket, port })
    }

    /// The number by which the kernel knows this socket.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends requests, and gives all answers.
    pub(crate) fn exchange<T: NetlinkDeserializable>(
        &self,
        requests: &[u8],
    ) -> io::Result<Vec<NetlinkMessage<T>>> {
        // What an exchange left that failed half-way is about something else.
        while self.receive()?.is_some() {}
        self.socket.send(requests, 0)?;
        let mut messages = Vec::new();
        while let Some(datagram) = self.receive()? {
            messages.extend(parse(&datagram));
        }
        Ok(messages)
    }

    /// A datagram, if there is one.
    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut datagram = Vec::with_capacity(MAX_DATAGRAM);
        match self.socket.recv(&mut datagram, MSG_DONTWAIT) {
            Ok(_) => Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The messages of a datagram.
fn parse<T: NetlinkDeserializable>(datagram: &[u8]) -> Vec<NetlinkMessage<T>> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while let Ok(frame) = NetlinkBuffer::new_checked(rest) {
        messages.extend(NetlinkMessage::deserialize(rest).ok());
        let length = usize::try_from(frame.length()).unwrap_or(usize::MAX);
        let next = length.checked_next_multiple_of(4).unwrap_or(usize::MAX);
        rest = rest.get(next..).unwrap_or_default();
    }
    messages
}
