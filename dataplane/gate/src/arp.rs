//! Gratuitous ARP: hosts and routers on the access network learn that the service address is here
//! now (RFC 5227, 3; RFC 826).
//!
//! The frames go out raw, past the hooks of ARP, and through that of the interface: whoever sends them
//! without authority sends them in vain.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use lns_tables::time::Instant;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::error::KernelError;
use crate::plan::{Announce, Plan};

/// When to say it after the beginning; some switches and hosts lose the first. Afterwards it is
/// said once an [`INTERVAL`], for those that forgot, or heard somebody else.
const BEGINNING: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
const INTERVAL: Duration = Duration::from_secs(30);

const ETHERNET: u16 = 1;
const BROADCAST: [u8; 6] = [0xff; 6];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Says where the cluster's addresses are, as long as it is asked to.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
    /// When it began, and how often it has been said since.
    began: Instant,
    said: usize,
    due: Instant,
}

impl Announcer {
    /// For the plan's addresses on its access interface; `None`: it is not for L2 mode. The network
    /// namespace is that of the calling thread.
    pub fn open(plan: &Plan, now: Instant) -> Result<Option<Self>, KernelError> {
        let Announce::L2 { interface } = &plan.announce else {
            return Ok(None);
        };
        let doing = format!("send ARP on {interface}");
        let opened = Self::try_open(plan, interface, now);
        opened
            .map(Some)
            .map_err(|source| KernelError::new(&doing, source))
    }

    fn try_open(plan: &Plan, interface: &str, now: Instant) -> io::Result<Self> {
        let link = link(interface)?;
        let hardware = link.addr().unwrap_or_default();
        // Protocol 0: it receives nothing.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        bind(socket.as_raw_fd(), &link)?;
        let addresses = plan.own().filter_map(|address| match address {
            core::net::IpAddr::V4(address) => Some(address),
            core::net::IpAddr::V6(_) => None,
        });
        Ok(Self {
            socket,
            frames: addresses
                .flat_map(|address| [REQUEST, REPLY].map(|kind| frame(kind, hardware, address)))
                .collect(),
            began: now,
            said: 0,
            due: now,
        })
    }

    /// Says it if it is due, and tells when it will be next. Only a master calls this; what another
    /// sends is dropped by the gate, and is no error.
    pub fn tick(&mut self, now: Instant) -> Result<Instant, KernelError> {
        if now >= self.due {
            self.say()
                .map_err(|source| KernelError::new("send ARP", source))?;
            self.said = self.said.saturating_add(1);
            self.due = match BEGINNING.get(self.said) {
                Some(after) => self.began + *after,
                None => now + INTERVAL,
            };
        }
        Ok(self.due)
    }

    fn say(&self) -> io::Result<()> {
        for frame in &self.frames {
            match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
                // The gate's word for a drop, and a full queue's.
                Ok(_) | Err(nix::Error::ENOBUFS | nix::Error::EPERM | nix::Error::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The interface as a socket's address, which has its hardware address in it.
fn link(interface: &str) -> io::Result<LinkAddr> {
    let found = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied());
    let link = found
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such interface"))?;
    if link.hatype() == ETHERNET {
        Ok(link)
    } else {
        let said = "it is no Ethernet, which L2 mode needs";
        Err(io::Error::new(io::ErrorKind::Unsupported, said))
    }
}

/// "`address` is at `hardware`", to everybody.
fn frame(kind: u16, hardware: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let target = if kind == REQUEST { [0; 6] } else { BROADCAST };
    let address = address.octets();
    [
        &BROADCAST[..],
        &hardware,
        &[0x08, 0x06],
        &[0, 1, 0x08, 0x00, 6, 4],
        &kind.to_be_bytes(),
        &hardware,
        &address,
        &target,
        &address,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_who_is_where() {
        let hardware = [2, 0, 0, 0, 0, 7];
        let frame = frame(REPLY, hardware, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(frame.len(), 14 + 28);
        let packet = etherparse::SlicedPacket::from_ethernet(&frame).map(|packet| packet.net);
        let Ok(Some(etherparse::NetSlice::Arp(arp))) = packet else {
            panic!("{packet:?}");
        };
        assert_eq!(arp.operation(), etherparse::ArpOperation::REPLY);
        assert_eq!(arp.sender_hw_addr(), hardware);
        assert_eq!(arp.sender_protocol_addr(), [192, 0, 2, 1]);
        assert_eq!(arp.target_protocol_addr(), [192, 0, 2, 1]);
    }
}
