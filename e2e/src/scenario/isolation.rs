//! Subscribers and the node: they reach the core, and nothing of the machine that forwards for them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Scenario, expect, options, start, topology};
use crate::blast;
use crate::http;
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::Manifest;
use crate::net::{self, Topology};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "isolation-scan",
        says: "a scan of every address and port of the node gets nothing, conntrack stays flat",
        run: scan,
    },
    Scenario {
        name: "isolation-open",
        says: "the same scan finds the node's services with isolation Open",
        run: open,
    },
    Scenario {
        name: "isolation-other-way",
        says: "packets of a subscriber that another node lets out into the core reach nothing of this one",
        run: other_way,
    },
];

/// What a node has beside us: a kubelet, a node port, a resolver.
const SERVICES: [u16; 3] = [10_250, 30_080, 53];
/// A service address as kube-proxy would translate it to a port of the node.
const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Where clouds answer with credentials.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Probes sent before the LNS is seen to have taken them, so that none is lost in a full queue.
const CHUNK: usize = 2048;

/// Addresses that a subscriber might find the node at.
const TARGETS: [Ipv4Addr; 7] = [
    net::VIP,
    net::LNS_ACCESS,
    net::LNS_CORE,
    Ipv4Addr::new(100, 64, 0, 1),
    CLUSTER_IP,
    METADATA,
    Ipv4Addr::LOCALHOST,
];

/// Makes the LNS's namespace a node: listeners on every address, a translated service address,
/// rules that track connections as kube-proxy's do.
fn make_node(topology: &Topology) -> Result<Vec<TcpListener>> {
    topology
        .lns
        .ip(&[&format!("address add {METADATA}/32 dev lo")])?;
    topology.lns.nft(&format!(
        "table ip services {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                ip daddr {CLUSTER_IP} tcp dport 443 redirect to :10250
            }}
            # Reading the counters over HTTP is no subscriber's doing.
            chain raw {{
                type filter hook prerouting priority raw;
                iif lo notrack
            }}
            chain own {{
                type filter hook output priority raw;
                oif lo notrack
            }}
            chain forward {{
                type filter hook forward priority filter;
                ct state invalid drop
            }}
        }}"
    ))?;
    topology.lns.enter(|| -> Result<Vec<TcpListener>> {
        let mut listeners = Vec::new();
        for port in SERVICES {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
            let serving = listener.try_clone()?;
            std::thread::spawn(move || http::serve(&serving));
            listeners.push(listener);
            let echo = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((len, from)) = echo.recv_from(&mut buffer) {
                    // Whether the answer arrives is what the scenario is about.
                    echo.send_to(buffer.get(..len).unwrap_or_default(), from)
                        .ok();
                }
            });
        }
        Ok(listeners)
    })?
}

fn tracked(topology: &Topology) -> Result<i64> {
    let text = topology
        .lns
        .read("/proc/sys/net/netfilter/nf_conntrack_count")?;
    text.trim().parse().context("nf_conntrack_count")
}

/// A TCP SYN to `port`, or a UDP datagram.
pub(crate) fn probe(source: Ipv4Addr, to: Ipv4Addr, port: u16, tcp: bool) -> Vec<u8> {
    let mut packet = blast::udp_packet(source, to, port, 40);
    if !tcp {
        return packet;
    }
    let mut segment = Vec::with_capacity(20);
    segment.extend_from_slice(&40_000_u16.to_be_bytes());
    segment.extend_from_slice(&port.to_be_bytes());
    segment.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let mut pseudo = Vec::with_capacity(32);
    pseudo.extend_from_slice(&source.octets());
    pseudo.extend_from_slice(&to.octets());
    pseudo.extend_from_slice(&[0, 6, 0, 20]);
    pseudo.extend_from_slice(&segment);
    segment.splice(16..18, blast::checksum(&pseudo).to_be_bytes());
    packet.truncate(20);
    packet.splice(9..12, [6, 0, 0]);
    let sum = blast::checksum(&packet).to_be_bytes();
    packet.splice(10..12, sum);
    packet.extend_from_slice(&segment);
    packet
}

/// Sends a SYN and a datagram to `ports` of each target and gives what came back.
fn run_scan(lnsd: &Lnsd<'_>, lac: &Lac, source: Ipv4Addr, ports: &[u16]) -> Result<Vec<Vec<u8>>> {
    lac.shared().take_captured();
    let mut wanted = taken(lnsd)?;
    for target in TARGETS {
        for tcp in [true, false] {
            for ports in ports.chunks(CHUNK) {
                let runs = lac.shared().runs(|_| {
                    let probes = ports.iter().map(|port| probe(source, target, *port, tcp));
                    probes.collect()
                })?;
                wanted += blast::send_once(&runs)?;
                wait_taken(lnsd, wanted)?;
            }
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let mut answers = lac.shared().take_captured();
    answers.retain(|packet| !is_no_route(packet));
    Ok(answers)
}

/// Packets that came out of sessions so far.
fn taken(lnsd: &Lnsd<'_>) -> Result<u64> {
    lnsd.metric("lns_packets_total", &["direction=\"up\""])
}

/// Waits until `wanted` packets came out of sessions, but not for ever: the verdict is the scenario's.
fn wait_taken(lnsd: &Lnsd<'_>, wanted: u64) -> Result<()> {
    let give_up = Instant::now() + Duration::from_millis(500);
    while taken(lnsd)? < wanted && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// What a router that has no route says, with its end of the link as the source: that it routes is no
/// secret. That one of its ports is closed would be: code 3 is an answer.
pub(crate) fn is_no_route(packet: &[u8]) -> bool {
    packet.get(9) == Some(&1)
        && packet.get(12..16) == Some(&[100, 64, 0, 1])
        && packet.get(20) == Some(&3)
        && matches!(packet.get(21), Some(0 | 1))
}

fn scan() -> Result<String> {
    let topology = topology()?;
    let _listeners = make_node(&topology)?;
    let lnsd = start(&topology, &Manifest::default())?;
    // A single session, so that the runs below are that subscriber's alone.
    let options = Options {
        capture: true,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let source = lac.address(0)?;

    // The services are there: whoever is not a subscriber reaches them.
    let service = SocketAddr::from((net::LNS_CORE, 10_250));
    let from = IpAddr::from(net::CORE);
    topology.core.enter(|| http::connect(service, from))??;

    let before = tracked(&topology)?;
    let packets = taken(&lnsd)?;
    let ports: Vec<u16> = (1..=u16::MAX).collect();
    let answers = run_scan(&lnsd, &lac, source, &ports)?;
    let scanned = taken(&lnsd)? - packets;
    let after = tracked(&topology)?;

    let wanted = (TARGETS.len() * 2 * ports.len()) as u64;
    expect(
        scanned * 100 >= wanted * 99,
        format!("only {scanned} of {wanted} probes went through the session"),
    )?;
    expect(
        answers.is_empty(),
        format!(
            "{} answers, the first: {:02x?}",
            answers.len(),
            answers.first()
        ),
    )?;
    expect(
        after - before < 16,
        format!("connection tracking went from {before} to {after} entries"),
    )?;
    lac.close()?;
    Ok(format!(
        "{scanned} probes, conntrack {before} before, {after} after"
    ))
}

/// With isolation, and without it, where he is answered.
fn other_way() -> Result<String> {
    let isolated = answers_of_other_way("Nodeless")?;
    expect(
        isolated == 0,
        format!("{isolated} answers in spite of isolation"),
    )?;
    let open = answers_of_other_way("Open")?;
    expect(open > 0, "nobody answers where nothing is isolated")?;
    Ok(format!("0 answers, and {open} with isolation Open"))
}

/// How often a subscriber is answered for packets that come from the core with his address.
fn answers_of_other_way(isolation: &'static str) -> Result<usize> {
    let topology = topology()?;
    let _listeners = make_node(&topology)?;
    let manifest = Manifest {
        isolation,
        ..Manifest::default()
    };
    let _lnsd = start(&topology, &manifest)?;
    let options = Options {
        capture: true,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let source = lac.address(0)?;
    // Where several nodes serve one address, reverse paths are not strict.
    for name in ["all", "core0"] {
        let setting = format!("net/ipv4/conf/{name}/rp_filter");
        topology.lns.sysctl(&setting, "0")?;
    }
    topology
        .core
        .ip(&[&format!("address add {source}/32 dev lo")])?;
    topology.core.enter(|| -> Result<()> {
        let socket = UdpSocket::bind((source, 0))?;
        for port in [9, 53, 10_250] {
            socket.send_to(b"?", (net::LNS_CORE, port))?;
        }
        Ok(())
    })??;
    std::thread::sleep(Duration::from_millis(500));
    let answers = lac.shared().take_captured();
    lac.close()?;
    Ok(answers.len())
}

fn open() -> Result<String> {
    let topology = topology()?;
    let _listeners = make_node(&topology)?;
    let manifest = Manifest {
        isolation: "Open",
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    let options = Options {
        capture: true,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let source = lac.address(0)?;
    let before = tracked(&topology)?;
    let answers = run_scan(&lnsd, &lac, source, &[22, 53, 443, 10_250, 30_080])?;
    let after = tracked(&topology)?;
    expect(
        !answers.is_empty(),
        "the scan found nothing where it should have",
    )?;
    expect(after > before, "connection tracking saw nothing")?;
    lac.close()?;
    Ok(format!("{} answers", answers.len()))
}
