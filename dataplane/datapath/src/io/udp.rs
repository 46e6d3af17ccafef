//! The sockets towards the LACs: for each service address one per worker.

use core::net::SocketAddr;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::StartError;
use crate::limits::SOCKET_BUFFER;

/// For each worker the sockets of all service addresses, in their order.
///
/// The first socket of an address is bound alone, so that another process that listens there is
/// noticed, whoever runs it; only then it is made one that others may join.
pub(crate) fn bind(
    listen: &[SocketAddr],
    workers: usize,
    mark: Option<u32>,
) -> Result<Vec<Vec<UdpSocket>>, StartError> {
    let mut all: Vec<Vec<UdpSocket>> = (0..workers)
        .map(|_| Vec::with_capacity(listen.len()))
        .collect();
    for address in listen {
        let mut actual = *address;
        for (number, sockets) in all.iter_mut().enumerate() {
            let socket = open(actual, number > 0, mark).map_err(|error| explain(error, actual))?;
            actual = socket
                .local_addr()
                .map_err(|error| explain(error, actual))?;
            sockets.push(socket);
        }
    }
    Ok(all)
}

/// The addresses that the sockets really have: as configured, but for ports left to the kernel.
pub(crate) fn local_addresses(
    listen: &[SocketAddr],
    all: &[Vec<UdpSocket>],
) -> Result<Vec<SocketAddr>, StartError> {
    let sockets = all.first().map(Vec::as_slice).unwrap_or_default();
    let address = |(socket, wanted): (&UdpSocket, &SocketAddr)| {
        socket.local_addr().map_err(|error| explain(error, *wanted))
    };
    sockets.iter().zip(listen).map(address).collect()
}

/// The same sockets once more, for another thread to send by. They share their mark.
pub(crate) fn duplicate(
    sockets: &[UdpSocket],
    listen: &[SocketAddr],
) -> Result<Vec<UdpSocket>, StartError> {
    let copy = |(socket, address): (&UdpSocket, &SocketAddr)| {
        socket.try_clone().map_err(|error| explain(error, *address))
    };
    sockets.iter().zip(listen).map(copy).collect()
}

fn open(address: SocketAddr, joins: bool, mark: Option<u32>) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if joins {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if !joins {
        socket.set_reuse_port(true)?;
    }
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    enlarge_buffers(&socket)?;
    allow_fragments(&socket, address)?;
    Ok(socket.into())
}

/// Beyond the system's limit where the process may, up to it otherwise.
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
    }
    Ok(())
}

/// Lets routers on the way to the LAC cut our datagrams: the session's MTU is made for that way, and
/// where it was wrong a subscriber should be slow, not cut off. It also keeps forged ICMP errors from
/// lowering what the kernel believes of the way.
fn allow_fragments(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let (level, name, value) = if address.is_ipv4() {
        (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
        )
    } else {
        (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DONT,
        )
    };
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the descriptor is open, and the pointer is to an int of that length, which the kernel
    // only reads during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How many datagrams the kernel dropped because the socket's queue was full (`SO_MEMINFO`,
/// `linux/sock_diag.h`); 0 where it does not say.
pub(crate) fn overflows(socket: &UdpSocket) -> u64 {
    const FIELDS: usize = 9;
    let mut fields = [0_u32; FIELDS];
    let mut length = libc::socklen_t::try_from(size_of_val(&fields)).unwrap_or(0);
    let (descriptor, room) = (socket.as_raw_fd(), (&raw mut fields).cast());
    // SAFETY: the descriptor is open, and the kernel writes at most `length` octets to `room`, which
    // has as many and whose integers every pattern is a value of.
    unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            room,
            &raw mut length,
        )
    };
    let [.., drops] = fields;
    u64::from(drops)
}

fn explain(error: io::Error, address: SocketAddr) -> StartError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => StartError::AddressTaken { address },
        Some(libc::EADDRNOTAVAIL) => StartError::AddressNotHere { address },
        Some(libc::EACCES | libc::EPERM) => StartError::AddressForbidden { address },
        _ => StartError::Listen {
            address,
            source: error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn workers_share_an_address_and_strangers_do_not() {
        let all = bind(&[any()], 3, None).unwrap();
        let [address] = local_addresses(&[any()], &all).unwrap()[..] else {
            panic!("one address")
        };
        assert!(
            all.iter()
                .all(|sockets| sockets[0].local_addr().unwrap() == address)
        );
        let error = bind(&[address], 1, None).unwrap_err();
        assert!(matches!(error, StartError::AddressTaken { .. }), "{error}");
        assert!(error.to_string().contains("is taken"), "{error}");
        drop(all);
        bind(&[address], 1, None).unwrap();
    }

    #[test]
    fn all_workers_of_an_address_receive() {
        let all = bind(&[any()], 2, None).unwrap();
        let address = all[0][0].local_addr().unwrap();
        let mut got = [0; 2];
        for _ in 0..64 {
            UdpSocket::bind("127.0.0.1:0")
                .unwrap()
                .send_to(b"x", address)
                .unwrap();
        }
        for (sockets, got) in all.iter().zip(&mut got) {
            while sockets[0].recv(&mut [0; 8]).is_ok() {
                *got += 1;
            }
        }
        assert_eq!(got.iter().sum::<i32>(), 64);
        assert!(got.iter().all(|packets| *packets > 0), "{got:?}");
    }

    #[test]
    fn what_the_kernel_drops_for_want_of_room_is_known() {
        let all = bind(&[any()], 1, None).unwrap();
        let socket = &all[0][0];
        assert_eq!(overflows(socket), 0);
        setsockopt(socket, sockopt::RcvBuf, &2048).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..50 {
            sender
                .send_to(&[0; 1000], socket.local_addr().unwrap())
                .unwrap();
        }
        let mut received = 0;
        while socket.recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
        assert!(received < 50);
        assert_eq!(overflows(socket), 50 - received);
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let error = bind(&["192.0.2.1:1701".parse().unwrap()], 1, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "192.0.2.1:1701 is not an address of this machine: add it to an interface, or correct the service address"
        );
    }
}
