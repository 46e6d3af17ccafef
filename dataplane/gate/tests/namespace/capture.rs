//! What arrives in a namespace, frame by frame, with the kernel's time of arrival.

use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lns_gate::clock;
use lns_tables::time::Instant;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use socket2::{Domain, Protocol, Socket, Type};

/// `PACKET_OUTGOING`
const OUTGOING: u8 = 4;
/// `ETH_P_ALL`
const ALL: u16 = 3;

/// A frame that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// When, by the kernel.
    pub(crate) at: Instant,
    octets: Vec<u8>,
}

impl Frame {
    /// Source and payload, if it is UDP.
    pub(crate) fn udp(&self) -> Option<Udp> {
        let packet = SlicedPacket::from_ethernet(&self.octets).ok()?;
        let from = match packet.net? {
            NetSlice::Ipv4(ip) => IpAddr::from(ip.header().source_addr()),
            NetSlice::Ipv6(ip) => IpAddr::from(ip.header().source_addr()),
            NetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            return None;
        };
        Some(Udp {
            from,
            payload: udp.payload().to_vec(),
        })
    }

    /// The source of ICMP.
    pub(crate) fn icmp_from(&self) -> Option<Ipv4Addr> {
        let packet = SlicedPacket::from_ethernet(&self.octets).ok()?;
        let Some(TransportSlice::Icmpv4(_)) = packet.transport else {
            return None;
        };
        match packet.net? {
            NetSlice::Ipv4(ip) => Some(ip.header().source_addr()),
            NetSlice::Ipv6(_) | NetSlice::Arp(_) => None,
        }
    }

    /// Who speaks in ARP, and for whom he asks.
    pub(crate) fn arp(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let packet = SlicedPacket::from_ethernet(&self.octets).ok()?;
        let Some(NetSlice::Arp(arp)) = packet.net else {
            return None;
        };
        let address = |octets: &[u8]| Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?));
        Some((
            address(arp.sender_protocol_addr())?,
            address(arp.target_protocol_addr())?,
        ))
    }
}

/// A datagram.
#[derive(Clone, Debug)]
pub(crate) struct Udp {
    pub(crate) from: IpAddr,
    pub(crate) payload: Vec<u8>,
}

/// A capture of all that arrives.
#[derive(Debug)]
pub(crate) struct Capture {
    frames: Arc<Mutex<Vec<Frame>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// In the namespace of this thread, on all interfaces.
    pub(crate) fn start() -> Self {
        let protocol = Protocol::from(i32::from(ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
        let socket = OwnedFd::from(socket);
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000)).unwrap();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (filled, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let behind = behind();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(frame) = receive(&socket, behind) {
                    filled.lock().unwrap().push(frame);
                }
            }
        });
        Self {
            frames,
            stop,
            thread: Some(thread),
        }
    }

    /// What has arrived so far.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap().clone()
    }

    /// Forgets it.
    pub(crate) fn clear(&self) {
        self.frames.lock().unwrap().clear();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// How far the clock of the machine's start is behind the wall clock, by which frames are timed.
fn behind() -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    wall.checked_sub(Duration::from_nanos(clock::now().as_nanos()))
        .unwrap()
}

fn receive(socket: &OwnedFd, behind: Duration) -> Option<Frame> {
    let mut octets = vec![0; 2048];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let (length, at) = {
        let mut parts = [IoSliceMut::new(&mut octets)];
        let message = recvmsg::<LinkAddr>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::empty(),
        )
        .ok()?;
        if message.address?.pkttype() == OUTGOING {
            return None;
        }
        let at = message.cmsgs().ok()?.find_map(|part| {
            if let ControlMessageOwned::ScmTimestampns(at) = part {
                Some(Duration::from(at))
            } else {
                None
            }
        })?;
        (message.bytes, at)
    };
    octets.truncate(length);
    let nanos = u64::try_from(at.checked_sub(behind).unwrap().as_nanos()).unwrap();
    Some(Frame {
        at: Instant::from_nanos(nanos),
        octets,
    })
}
