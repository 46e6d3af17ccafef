//! What the nodes say to the world, seen at the router: tcpdump on all of its interfaces, inwards, of
//! everything that may be said in the cluster's name.
//!
//! A node is known by the interface that its packet came in by, or by its hardware address where several share
//! one network, whatever else stands in it. Subscribers'
//! packets are left out: any member may forward them, and [`super::flows`] counts them where they arrive.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pcap_file::pcap::PcapReader;

use super::network::{NAS, Place};
use crate::cleanup::{self, Leftover};
use crate::net::{Namespace, VIP};

/// All but data messages with IPv4 in them; those that the LNS sends have no length and no numbers.
const FILTER: &str = "inbound and (arp or icmp or udp port 1812 or udp port 1813 or udp port 3799 or \
    (udp port 1701 and (udp[8] & 0x80 != 0 or \
    (udp[14:4] != 0xff030021 and udp[14:2] != 0x0021 and udp[14] != 0x21))))";
/// The kernel hands a block of packets over when it is full or a second old; what lies in one that it has
/// not is lost with tcpdump.
const HANDED_OVER: Duration = Duration::from_millis(1500);
/// Of the header that Linux puts before packets of any interface (`LINKTYPE_LINUX_SLL2`).
const COOKED: usize = 20;
/// The LCP codes that a member answers by itself: Echo-Request, Echo-Reply, Discard-Request (RFC 1661, 5).
const ECHO: [u8; 3] = [9, 10, 11];

/// What a node said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// An L2TP control message, or an acknowledgement.
    Control,
    /// A PPP frame that negotiates: its protocol.
    Negotiation(u16),
    /// An LCP echo or its answer, which needs no master.
    Echo,
    /// To this port of a RADIUS server, or as an answer of dynamic authorization from it.
    Radius(u16),
    /// nasAddress answers the router.
    Answer,
    /// The service address answers the router.
    Serving,
    /// ARP that says where an address of the cluster is.
    Arp,
}

impl Said {
    /// Whether only a master may say so.
    pub(crate) fn needs_authority(self) -> bool {
        match self {
            Self::Control | Self::Negotiation(_) | Self::Radius(_) | Self::Answer | Self::Arp => {
                true
            }
            Self::Echo | Self::Serving => false,
        }
    }
}

/// When a node said what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sighting {
    /// When it arrived.
    pub(crate) at: SystemTime,
    /// Who.
    pub(crate) place: Place,
    /// What.
    pub(crate) said: Said,
}

/// By what a node's packets are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    /// The number of the router's interface by which they come in.
    Interface(u32),
    /// The hardware address that they come from.
    Hardware([u8; 6]),
}

/// A running capture. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Capture {
    child: Child,
    folder: tempfile::TempDir,
    /// Whose packets are whose.
    marks: Vec<(Mark, Place)>,
}

impl Capture {
    /// Starts it and waits until it sees packets.
    pub(crate) fn start(router: &Namespace, marks: Vec<(Mark, Place)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = router.spawn(
            Command::new("tcpdump")
                .args(["-i", "any", "-y", "LINUX_SLL2", "-B", "32768"])
                .args(["-n", "-U", "-Z", "root", "-w"])
                .arg(folder.path().join("pcap"))
                .arg(FILTER)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        )?;
        cleanup::remember(process(&child));
        let capture = Self {
            child,
            folder,
            marks,
        };
        let give_up = Instant::now() + Duration::from_secs(10);
        while !capture.log().contains("listening on") {
            ensure!(
                Instant::now() < give_up,
                "tcpdump does not listen: {}",
                capture.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(capture)
    }

    /// Ends it and gives what every node said, in the order of time.
    pub(crate) fn end(mut self) -> Result<Vec<Sighting>> {
        std::thread::sleep(HANDED_OVER);
        kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            Signal::SIGINT,
        )?;
        self.child.wait()?;
        let log = self.log();
        ensure!(
            log.contains("\n0 packets dropped by kernel"),
            "the capture lacks packets: {log}"
        );
        read(&self.folder.path().join("pcap"), &self.marks)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        cleanup::forget(&process(&self.child));
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}

fn read(path: &Path, marks: &[(Mark, Place)]) -> Result<Vec<Sighting>> {
    let file = std::io::BufReader::new(std::fs::File::open(path)?);
    let mut reader = PcapReader::new(file).context("reading the capture")?;
    let mut sightings = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.context("reading the capture")?;
        let Some((came_by, said)) = classify(&packet.data) else {
            continue;
        };
        if let Some((_, place)) = marks.iter().find(|(known, _)| came_by.contains(known)) {
            sightings.push(Sighting {
                at: UNIX_EPOCH + packet.timestamp,
                place: *place,
                said,
            });
        }
    }
    sightings.sort_by_key(|sighting| sighting.at);
    Ok(sightings)
}

/// By what the sender of a packet may be known, and what it says in the cluster's name.
fn classify(packet: &[u8]) -> Option<([Mark; 2], Said)> {
    let index = u32::from_be_bytes(packet.get(4..8)?.try_into().ok()?);
    let hardware = packet.get(12..18)?.try_into().ok()?;
    let inner = packet.get(COOKED..)?;
    let said = match word(packet, 0)? {
        0x0806 => arp(inner)?,
        0x0800 => ip(inner)?,
        _ => return None,
    };
    Some(([Mark::Interface(index), Mark::Hardware(hardware)], said))
}

fn arp(packet: &[u8]) -> Option<Said> {
    let sender = address(packet, 14)?;
    (sender == VIP.octets() || sender == NAS.octets()).then_some(Said::Arp)
}

fn ip(packet: &[u8]) -> Option<Said> {
    let payload = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let source = address(packet, 12)?;
    let (from_service, from_nas) = (source == VIP.octets(), source == NAS.octets());
    match *packet.get(9)? {
        1 if from_nas => Some(Said::Answer),
        1 if from_service => Some(Said::Serving),
        17 if from_nas => {
            let ports = [word(payload, 0)?, word(payload, 2)?];
            let radius = |port: &&u16| [1812, 1813, 3799].contains(*port);
            ports.iter().find(radius).map(|port| Said::Radius(*port))
        }
        17 if from_service => l2tp(payload.get(8..)?),
        _ => None,
    }
}

fn l2tp(message: &[u8]) -> Option<Said> {
    if message.first()? & 0x80 != 0 {
        return Some(Said::Control);
    }
    let frame = message.get(6..)?;
    let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
    let protocol = word(frame, 0)?;
    if protocol == 0xc021 && ECHO.contains(frame.get(2)?) {
        return Some(Said::Echo);
    }
    Some(Said::Negotiation(protocol))
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

fn address(octets: &[u8], at: usize) -> Option<[u8; 4]> {
    octets.get(at..at + 4)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn packet(source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut octets = vec![8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9];
        octets.resize(COOKED, 0);
        let mut header = vec![0x45; 20];
        header[9] = protocol;
        header[12..16].copy_from_slice(&source.octets());
        [octets, header, payload.to_vec()].concat()
    }

    fn udp(source: Ipv4Addr, ports: [u16; 2], message: &[u8]) -> Vec<u8> {
        let [from, to] = ports.map(u16::to_be_bytes);
        let payload = [&from[..], &to, &[0; 4], message].concat();
        packet(source, 17, &payload)
    }

    #[test]
    fn what_only_a_master_may_say_is_told_from_the_rest() {
        let by = [Mark::Interface(7), Mark::Hardware([2, 0, 0, 0, 0, 9])];
        let said = |octets: &[u8]| {
            let (marks, said) = classify(octets)?;
            assert_eq!(marks, by);
            Some(said)
        };
        let control = udp(VIP, [1701, 5000], &[0xc8, 2, 0, 12]);
        assert_eq!(said(&control), Some(Said::Control));
        let lcp = [0, 2, 0, 1, 0, 1, 0xff, 3, 0xc0, 0x21, 1];
        assert_eq!(
            said(&udp(VIP, [1701, 5000], &lcp)),
            Some(Said::Negotiation(0xc021))
        );
        let echo = [0, 2, 0, 1, 0, 1, 0xff, 3, 0xc0, 0x21, 10];
        assert_eq!(said(&udp(VIP, [1701, 5000], &echo)), Some(Said::Echo));
        assert_eq!(
            said(&udp(NAS, [4000, 1813], &[4])),
            Some(Said::Radius(1813))
        );
        assert_eq!(said(&packet(NAS, 1, &[0])), Some(Said::Answer));
        assert_eq!(said(&packet(VIP, 1, &[0])), Some(Said::Serving));
        assert_eq!(said(&packet(Ipv4Addr::LOCALHOST, 1, &[0])), None);
        assert!(Said::Radius(1812).needs_authority() && !Said::Echo.needs_authority());
    }
}
