//! Packets per second: what is sent in runs by segmentation offload, and what counts it at the
//! other end.
//!
//! A run is one buffer of equal packets for one UDP destination, which the kernel cuts up
//! (`UDP_SEGMENT`), so that the generator costs a fraction of what it measures. All packets of an
//! L2TP tunnel share one destination, so a run upstream holds packets of many sessions.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmsg,
};
use socket2::{Domain, Protocol, Socket, Type};

/// The port that measured traffic goes to.
pub(crate) const PORT: u16 = 9;

/// Segments of one run: what every kernel since 4.18 takes.
const RUN: usize = 64;
/// Octets of one run: what fits into one UDP datagram before it is cut.
const RUN_OCTETS: usize = 60_000;
/// Datagrams that the counter reads at once.
const READ: usize = 64;
/// How often the sender looks at the clock.
const TICK: Duration = Duration::from_millis(1);

/// Equal packets for one destination.
#[derive(Debug)]
pub(crate) struct Run {
    socket: Arc<OwnedFd>,
    to: SocketAddr,
    octets: Vec<u8>,
    segment: u16,
    packets: u64,
}

impl Run {
    /// Splits `packets`, all of one length, into runs to `to`.
    pub(crate) fn split(
        socket: &Arc<OwnedFd>,
        to: SocketAddr,
        packets: &[Vec<u8>],
    ) -> Result<Vec<Self>> {
        let Some(length) = packets.first().map(Vec::len) else {
            return Ok(Vec::new());
        };
        ensure!(
            packets.iter().all(|packet| packet.len() == length),
            "a run has packets of one length"
        );
        let segment = u16::try_from(length).context("the packet is too large")?;
        let per_run = (RUN_OCTETS / length.max(1)).clamp(1, RUN);
        Ok(packets
            .chunks(per_run)
            .map(|chunk| Self {
                socket: Arc::clone(socket),
                to,
                octets: chunk.concat(),
                segment,
                packets: chunk.len() as u64,
            })
            .collect())
    }

    fn send(&self) -> nix::Result<usize> {
        let cut = [ControlMessage::UdpGsoSegments(&self.segment)];
        let cut = if self.packets > 1 { &cut[..] } else { &[] };
        sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&self.octets)],
            cut,
            MsgFlags::empty(),
            Some(&SockaddrStorage::from(self.to)),
        )
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    /// Packets that the kernel took.
    pub(crate) packets: u64,
    /// Packets that it did not take, because its queue was full.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Sends `runs` round robin at `rate` packets per second for `duration`, or until `stop`.
pub(crate) fn send(runs: &[Run], rate: u64, duration: Duration, stop: &AtomicBool) -> Result<Sent> {
    let started = Instant::now();
    let mut sent = Sent::default();
    for run in runs.iter().cycle() {
        let due = || (started.elapsed().as_secs_f64() * rate as f64) as u64;
        while sent.packets + sent.refused > due() {
            std::thread::sleep(TICK);
        }
        if started.elapsed() >= duration || stop.load(Ordering::Relaxed) {
            break;
        }
        match run.send() {
            Ok(_) => sent.packets += run.packets,
            Err(Errno::EAGAIN | Errno::ENOBUFS) => sent.refused += run.packets,
            Err(error) => return Err(error).context("sending a run"),
        }
    }
    sent.took = started.elapsed();
    Ok(sent)
}

/// Sends each of `runs` once, as fast as the kernel takes them, and gives the number of packets.
pub(crate) fn send_once(runs: &[Run]) -> Result<u64> {
    let mut packets = 0;
    for run in runs {
        while let Err(error) = run.send() {
            if !matches!(error, Errno::EAGAIN | Errno::ENOBUFS) {
                return Err(error).context("sending a run");
            }
            std::thread::sleep(TICK);
        }
        packets += run.packets;
    }
    Ok(packets)
}

/// The inner packet of measured traffic: IPv4 and UDP, `size` octets in all, no UDP checksum.
pub(crate) fn udp_packet(source: Ipv4Addr, to: Ipv4Addr, port: u16, size: usize) -> Vec<u8> {
    let size = size.clamp(28, 1500);
    let total = u16::try_from(size).unwrap_or(1500);
    let mut packet = Vec::with_capacity(size);
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&total.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend_from_slice(&source.octets());
    packet.extend_from_slice(&to.octets());
    let sum = checksum(&packet).to_be_bytes();
    packet.splice(10..12, sum);
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&(total - 20).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.resize(size, 0);
    packet
}

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(octets: &[u8]) -> u16 {
    let mut sum = octets.chunks(2).fold(0_u32, |sum, pair| {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u32::from(u16::from_be_bytes([high, low]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Runs from a host in the core to each of `addresses`, `size` octets each with its IP header,
/// in bursts of eight, as a TCP sender would make them.
pub(crate) fn downstream(addresses: &[Ipv4Addr], size: usize) -> Result<Vec<Run>> {
    const BURST: usize = 8;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(OwnedFd::from(socket));
    let packets = vec![vec![0; size.clamp(29, 1500) - 28]; BURST];
    let mut runs = Vec::new();
    for address in addresses {
        let to = SocketAddr::from((*address, PORT));
        runs.extend(Run::split(&socket, to, &packets)?);
    }
    Ok(runs)
}

/// A UDP socket that counts what arrives on [`PORT`], on a thread of its own.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    packets: AtomicU64,
    octets: AtomicU64,
    stop: AtomicBool,
}

impl Sink {
    /// The socket that [`Self::count`] reads, with a receive queue deep enough for the bursts of a
    /// generator that shares the processor with it.
    pub(crate) fn bind(port: u16) -> Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(64 << 20)?;
        if let Err(error) = nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::RcvBufForce,
            &(64 << 20),
        ) {
            eprintln!("the sink's receive buffer stays small: {error}");
        }
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket.into())
    }

    /// Counts until [`Self::stop`].
    pub(crate) fn count(&self, socket: &UdpSocket) -> Result<()> {
        let mut buffers = vec![[0_u8; 2048]; READ];
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(READ, None);
        while !self.stop.load(Ordering::Relaxed) {
            let mut slices: Vec<_> = buffers
                .iter_mut()
                .map(|buffer| [IoSliceMut::new(buffer)])
                .collect();
            let received = recvmmsg(
                socket.as_raw_fd(),
                &mut headers,
                slices.iter_mut(),
                MsgFlags::MSG_WAITFORONE,
                None,
            );
            match received {
                Ok(batch) => {
                    let (packets, octets) =
                        batch.fold((0, 0), |(n, sum), one| (n + 1, sum + one.bytes as u64));
                    self.packets.fetch_add(packets, Ordering::Relaxed);
                    self.octets.fetch_add(octets, Ordering::Relaxed);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error).context("the sink"),
            }
        }
        Ok(())
    }

    /// Packets so far.
    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Octets of payload so far.
    pub(crate) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    /// Ends [`Self::count`] within a tenth of a second.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_the_length_asked_for_and_a_right_checksum() {
        let packet = udp_packet([100, 64, 0, 20].into(), [203, 0, 113, 10].into(), PORT, 64);
        assert_eq!(packet.len(), 64);
        assert_eq!(packet[2..4], [0, 64]);
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(packet[24..26], [0, 44]);
    }

    #[test]
    fn runs_are_cut_into_packets_that_the_sink_counts() {
        let receiver = Sink::bind(0).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], receiver.local_addr().unwrap().port()));
        let socket = Arc::new(OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()));
        let runs = Run::split(&socket, to, &vec![vec![7; 100]; 150]).unwrap();
        assert_eq!(runs.len(), 3);

        let sink = Sink::default();
        std::thread::scope(|scope| {
            scope.spawn(|| sink.count(&receiver).unwrap());
            for run in &runs {
                run.send().unwrap();
            }
            let give_up = Instant::now() + Duration::from_secs(5);
            while sink.packets() < 150 && Instant::now() < give_up {
                std::thread::sleep(TICK);
            }
            sink.stop();
        });
        assert_eq!((sink.packets(), sink.octets()), (150, 15_000));
    }
}
