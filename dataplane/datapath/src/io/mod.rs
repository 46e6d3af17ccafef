//! The kernel's side: the subscribers' interface and the sockets towards the LACs. What happens to a
//! packet is decided in [`packet`](crate::packet); this only moves octets.

pub(crate) mod queue;
pub(crate) mod receive;
pub(crate) mod send;
mod sockaddr;
pub(crate) mod tun;
pub(crate) mod udp;
