//! A UDP socket to one server (RFC 2865, 3), and what its errors mean.
//!
//! The socket is connected: what others send does not reach it, and an ICMP error that a datagram of ours
//! brought about is told to it and to no other. Datagrams are never cut on the way: a server that
//! is reached only by fragments is found out by the first large request, which fails alone.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::net::UdpSocket;

use lns_radius::event::SendError;
use lns_wire::radius::MAX_PACKET;
use nix::errno::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, Socket, Type};

/// Octets of replies that the kernel keeps for us: as many as can be asked for at once (256), of the
/// longest kind. Less where the system's limit is lower.
const RECEIVE_BUFFER: usize = 256 * MAX_PACKET;

/// Opens a socket from `source`, by a port that the kernel chooses, to `server`.
///
/// # Errors
/// What the kernel says: `source` is not ours, no way leads to `server`, no descriptor is left.
pub(super) fn open(source: Option<IpAddr>, server: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(server), kind, Some(Protocol::UDP))?;
    never_cut(&socket, server)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(source_for(source, server), 0).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// `source` if it is of the server's family; else whichever address of ours the way begins at.
pub(super) const fn source_for(source: Option<IpAddr>, server: SocketAddr) -> IpAddr {
    match (source, server) {
        (Some(source @ IpAddr::V4(_)), SocketAddr::V4(_))
        | (Some(source @ IpAddr::V6(_)), SocketAddr::V6(_)) => source,
        (_, SocketAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (_, SocketAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn never_cut(socket: &Socket, server: SocketAddr) -> io::Result<()> {
    match server {
        SocketAddr::V4(_) => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?,
        SocketAddr::V6(_) => set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?,
    }
    Ok(())
}

/// Sends one datagram.
///
/// # Errors
/// What the kernel says; [`blame`] tells what that means.
pub(super) fn send(socket: &tokio::net::UdpSocket, octets: &[u8]) -> io::Result<()> {
    match socket.try_send(octets) {
        // It may be an ICMP error that an earlier, longer datagram has brought about; then it is told
        // once, and this one is not to blame (udp(7)).
        Err(error) if blame(&error) == SendError::TooLarge => socket.try_send(octets),
        sent => sent,
    }
    .map(|_| ())
}

/// What an error of a send says: of the moment, of the datagram, or of the connection.
pub(super) fn blame(error: &io::Error) -> SendError {
    match error.raw_os_error().map(Errno::from_raw) {
        // `EWOULDBLOCK` is the same number.
        Some(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EINTR) => SendError::Temporary,
        Some(Errno::EMSGSIZE) => SendError::TooLarge,
        None if error.kind() == io::ErrorKind::WouldBlock => SendError::Temporary,
        _ => SendError::Broken,
    }
}

/// Reads at most `most` datagrams and gives each to `take`. Whether there may be more.
///
/// # Errors
/// The connection has failed.
pub(super) fn receive(
    socket: &tokio::net::UdpSocket,
    buffer: &mut [u8],
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> io::Result<bool> {
    for _ in 0..most {
        match socket.try_recv(buffer) {
            Ok(length) => take(buffer.get(..length).unwrap_or_default()),
            // An earlier datagram was too long for the way; it is found out when it is sent again.
            Err(error) if blame(&error) == SendError::TooLarge => {}
            Err(error) if blame(&error) == SendError::Temporary => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
