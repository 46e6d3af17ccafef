//! The whole datapath in a network namespace of its own: real sockets, a real interface, the kernel's
//! routing. The LAC and the server are sockets of the test.
//!
//! ```text
//! lac 127.0.0.2 ── UDP ── service 127.0.0.1 │ workers │ lns-t0 ── routes ── server 198.51.100.7 on lo
//! ```
//!
//! It needs root; with `LNS_WITHOUT_ROOT` in the environment its tests are not made. Nothing of the machine's
//! own network is touched, because the thread leaves it first and what it makes vanishes with it.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail this way"
)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use lns_datapath::{
    Config, Control, Datagram, Datapath, DropReason, FlowConfig, Marks, Punt, PuntSink, StartError,
};
use lns_gate::{Announce, Gate, Kind, Mark, Plan, clock};
use lns_l2sess::graph::Event;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyBook, PolicyTable};
use lns_l2sess::{PolicyId, Timeouts};
use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::path::{PathReport, PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::ip::{Ipv4, checksum};
use nix::sched::{CloneFlags, unshare};

const TUNNEL: TunnelId = TunnelId(0x1111);
const SESSION: SessionId = SessionId(0x2222);
const SLOT: SlotIndex = SlotIndex(4);
const SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// A Configure-Request of LCP.
const NEGOTIATION: &[u8] = &[
    0, 2, 0x0a, 0x0b, 0x0c, 0x0d, 0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4,
];
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `test` on a thread in a new network namespace whose loopback is up.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if std::env::var_os("LNS_WITHOUT_ROOT").is_some() {
        println!("skipped: LNS_WITHOUT_ROOT is set");
        return;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root for a network namespace and a TUN interface, or LNS_WITHOUT_ROOT=1 to go without"
    );
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        ip("link set lo up");
        ip(&format!("address add {SERVER}/32 dev lo"));
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A child of this thread is in its namespace.
fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("iproute2");
    assert!(status.success(), "ip {arguments}");
}

struct Bed {
    datapath: Option<Datapath>,
    control: Control,
    punts: mpsc::Receiver<Punt>,
    lac: UdpSocket,
    _index: IndexWriter,
}

fn config(workers: usize) -> Config {
    Config {
        interface: "lns-t0".into(),
        workers,
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        capacity: 100,
        pools: vec!["100.64.0.0/24".parse().unwrap()],
        icmp_source: GATEWAY,
        flows: FlowConfig::default(),
        marks: None,
        handing: None,
    }
}

fn index() -> (IndexWriter, Arc<PageIndex>) {
    PageIndex::new(IndexLimits {
        tunnels: 10,
        sessions: 100,
        ..IndexLimits::default()
    })
}

fn session() -> SessionPath {
    SessionPath {
        tunnel: TUNNEL,
        session: SESSION,
        peer_session: PeerSessionId(0x0c0d),
        address: Some(SUBSCRIBER),
        mtu: 1400,
        mss: 1360,
        sequencing: false,
        acfc: false,
        pfc: false,
        chain: lns_l2sess::ChainId::NONE,
        rates: lns_l2sess::policy::Rates::default(),
    }
}

impl Bed {
    fn new(workers: usize) -> Self {
        Self::with(&config(workers))
    }

    fn with(config: &Config) -> Self {
        let (mut writer, index) = index();
        assert!(writer.claim_tunnel(TUNNEL) && writer.claim_session(TUNNEL, SESSION, SLOT));
        let (sender, punts) = mpsc::sync_channel(16);
        let sender = Mutex::new(sender);
        let sink: PuntSink = Arc::new(move |punt| sender.lock().unwrap().try_send(punt).is_ok());
        let (datapath, mut control) = Datapath::start(config, index, sink).unwrap();
        ip("link set lns-t0 up mtu 1500");
        ip("route add 100.64.0.0/24 dev lns-t0");
        let lac = UdpSocket::bind("127.0.0.2:0").unwrap();
        lac.set_read_timeout(Some(PATIENCE)).unwrap();
        let path = TunnelPath {
            local: datapath.listen()[0],
            remote: lac.local_addr().unwrap(),
            peer_tunnel: PeerTunnelId(0x0a0b),
        };
        control.apply(&PathUpdate::SetTunnel {
            tunnel: TUNNEL,
            path,
        });
        control.apply(&PathUpdate::SetSession {
            slot: SLOT,
            path: session(),
        });
        assert_eq!(control.refused(), 0);
        Self {
            datapath: Some(datapath),
            control,
            punts,
            lac,
            _index: writer,
        }
    }

    fn datapath(&self) -> &Datapath {
        self.datapath.as_ref().unwrap()
    }

    fn service(&self) -> SocketAddr {
        self.datapath().listen()[0]
    }

    fn up(&self, frame: &[u8]) {
        let message = [&[0, 2, 0x11, 0x11, 0x22, 0x22], frame].concat();
        self.lac.send_to(&message, self.service()).unwrap();
    }

    /// The next datagram for the subscriber, without its L2TP and PPP header.
    fn down(&self) -> Vec<u8> {
        let mut octets = [0; 2048];
        let (length, from) = self
            .lac
            .recv_from(&mut octets)
            .expect("a datagram for the subscriber");
        assert_eq!(from, self.service());
        assert_eq!(
            octets[..10],
            [0, 2, 0x0a, 0x0b, 0x0c, 0x0d, 0xff, 0x03, 0x00, 0x21]
        );
        octets[10..length].to_vec()
    }

    /// The next datagram, whole.
    fn next(&self) -> Vec<u8> {
        let mut octets = [0; 2048];
        let length = self.lac.recv(&mut octets).expect("a datagram");
        octets[..length].to_vec()
    }

    /// LCP to the LAC: PPP, so without the T bit.
    fn negotiation(&self) -> Datagram<'static> {
        Datagram {
            local: self.service(),
            remote: self.lac.local_addr().unwrap(),
            octets: NEGOTIATION,
            as_data: false,
        }
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.datapath().stats().dropped(reason)
    }

    fn report(&mut self) -> (u64, u64) {
        let update = PathUpdate::ReportSession {
            slot: SLOT,
            tunnel: TUNNEL,
            session: SESSION,
        };
        match self.control.apply(&update) {
            Some(PathReport::Session {
                counters,
                last_received,
                last_forwarded,
                ..
            }) => {
                assert!(last_received.is_some() && last_forwarded.is_some());
                (counters.up.ipv4_packets, counters.down.ipv4_packets)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A UDP packet in IP with valid checksums.
fn udp(source: Ipv4Addr, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut segment = [ports[0].to_be_bytes(), ports[1].to_be_bytes()].concat();
    let length = u16::try_from(8 + payload.len()).unwrap();
    segment.extend(length.to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(payload);
    let sum = checksum::Sum::new().pseudo_header(
        &source.octets(),
        &SERVER.octets(),
        u32::from(length),
        17,
    );
    let sum = sum.octets(&segment).finish();
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 17, 0, 0];
    packet.extend(source.octets());
    packet.extend(SERVER.octets());
    packet[2..4].copy_from_slice(&(length + 20).to_be_bytes());
    let sum = checksum::of(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(segment);
    packet
}

fn frame(packet: &[u8]) -> Vec<u8> {
    [&[0xff, 0x03, 0x00, 0x21], packet].concat()
}

fn server() -> UdpSocket {
    let server = UdpSocket::bind((SERVER, 7000)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server
}

#[test]
fn packets_reach_the_server_and_its_answers_the_subscriber() {
    in_namespace(|| {
        let mut bed = Bed::new(2);
        let server = server();
        for number in 0..200_u8 {
            bed.up(&frame(&udp(SUBSCRIBER, [5000, 7000], &[number; 100])));
            let mut octets = [0; 2048];
            let (length, from) = server
                .recv_from(&mut octets)
                .expect("a packet from the subscriber");
            assert_eq!(from, SocketAddr::from((SUBSCRIBER, 5000)));
            assert_eq!(octets[..length], [number; 100]);
            server.send_to(&[!number; 50], from).unwrap();
            let answer = bed.down();
            let view = Ipv4::parse(&answer).unwrap();
            assert_eq!((view.source(), view.destination()), (SERVER, SUBSCRIBER));
            assert_eq!(view.payload()[8..], [!number; 50]);
        }
        assert_eq!(bed.report(), (200, 200));
        let stats = bed.datapath().stats();
        assert_eq!((stats.up_packets, stats.down_packets), (200, 200));
        // No packet comes any more: if stopping waited for one, this would not end.
        bed.datapath.take().unwrap().stop();
        assert!(interface_is_gone());
    });
}

/// Whether this thread's namespace has no such interface any more.
fn interface_is_gone() -> bool {
    !Command::new("ip")
        .args(["link", "show", "lns-t0"])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn a_lac_may_come_over_ipv6() {
    in_namespace(|| {
        let (mut writer, index) = index();
        assert!(writer.claim_tunnel(TUNNEL) && writer.claim_session(TUNNEL, SESSION, SLOT));
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
            ..config(2)
        };
        let (datapath, mut control) = Datapath::start(&config, index, Arc::new(|_| true)).unwrap();
        ip("link set lns-t0 up mtu 1500");
        ip("route add 100.64.0.0/24 dev lns-t0");
        let lac = UdpSocket::bind("[::1]:0").unwrap();
        lac.set_read_timeout(Some(PATIENCE)).unwrap();
        let (local, remote) = (datapath.listen()[1], lac.local_addr().unwrap());
        let path = TunnelPath {
            local,
            remote,
            peer_tunnel: PeerTunnelId(0x0a0b),
        };
        control.apply(&PathUpdate::SetTunnel {
            tunnel: TUNNEL,
            path,
        });
        control.apply(&PathUpdate::SetSession {
            slot: SLOT,
            path: session(),
        });
        let server = server();
        let message = [
            &[0, 2, 0x11, 0x11, 0x22, 0x22][..],
            &frame(&udp(SUBSCRIBER, [5000, 7000], b"up")),
        ]
        .concat();
        lac.send_to(&message, local).unwrap();
        let mut octets = [0; 64];
        assert_eq!(
            server.recv_from(&mut octets).unwrap(),
            (2, SocketAddr::from((SUBSCRIBER, 5000)))
        );
        server.send_to(b"down", (SUBSCRIBER, 5000)).unwrap();
        let (length, from) = lac.recv_from(&mut octets).unwrap();
        assert_eq!((from, &octets[length - 4..length]), (local, &b"down"[..]));
    });
}

#[test]
fn a_burst_is_moved_in_batches_and_nothing_is_lost() {
    in_namespace(|| {
        let mut bed = Bed::new(1);
        let server = server();
        for number in 0..1000_u16 {
            bed.up(&frame(&udp(
                SUBSCRIBER,
                [5000, 7000],
                &number.to_be_bytes(),
            )));
            let mut octets = [0; 16];
            if number % 100 == 99 {
                for expected in number - 99..=number {
                    let (length, _) = server.recv_from(&mut octets).unwrap();
                    assert_eq!(octets[..length], expected.to_be_bytes());
                }
                for answer in number - 99..=number {
                    server
                        .send_to(&answer.to_be_bytes(), (SUBSCRIBER, 5000))
                        .unwrap();
                }
                for expected in number - 99..=number {
                    assert_eq!(bed.down()[28..], expected.to_be_bytes());
                }
            }
        }
        assert_eq!(bed.report(), (1000, 1000));
    });
}

#[test]
fn a_forged_source_does_not_leave() {
    in_namespace(|| {
        let bed = Bed::new(1);
        let server = server();
        bed.up(&frame(&udp(
            Ipv4Addr::new(100, 64, 0, 10),
            [5000, 7000],
            b"forged",
        )));
        eventually("the drop is counted", || {
            bed.dropped(DropReason::SourceCheck) == 1
        });
        bed.up(&frame(&udp(SUBSCRIBER, [5000, 7000], b"true")));
        let mut octets = [0; 16];
        assert_eq!(server.recv_from(&mut octets).unwrap().0, 4);
    });
}

#[test]
fn a_stranger_is_dropped_and_control_and_ppp_reach_the_control() {
    in_namespace(|| {
        let bed = Bed::new(1);
        let stranger = UdpSocket::bind("127.0.0.3:0").unwrap();
        let data = [
            &[0, 2, 0x11, 0x11, 0x22, 0x22][..],
            &frame(&udp(SUBSCRIBER, [1, 7000], b"x")),
        ]
        .concat();
        stranger.send_to(&data, bed.service()).unwrap();
        eventually("the drop is counted", || {
            bed.dropped(DropReason::WrongPeer) == 1
        });
        let sccrq = [0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0];
        stranger.send_to(&sccrq, bed.service()).unwrap();
        let remote = stranger.local_addr().unwrap();
        let expected = Punt::Control {
            local: bed.service(),
            remote,
            octets: sccrq.to_vec(),
        };
        assert_eq!(bed.punts.recv_timeout(PATIENCE).unwrap(), expected);
        let echo = [0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4];
        bed.up(&echo);
        let (local, remote) = (bed.service(), bed.lac.local_addr().unwrap());
        let expected = Punt::Ppp {
            tunnel: TUNNEL,
            session: SESSION,
            local,
            remote,
            frame: echo.to_vec(),
        };
        assert_eq!(bed.punts.recv_timeout(PATIENCE).unwrap(), expected);
        assert_eq!(
            bed.control.send(&[Datagram {
                local,
                remote,
                octets: b"reply",
                as_data: true,
            }]),
            1
        );
        let mut octets = [0; 16];
        let (length, from) = bed.lac.recv_from(&mut octets).unwrap();
        assert_eq!((&octets[..length], from), (&b"reply"[..], local));
        for _ in 0..20 {
            stranger.send_to(&sccrq, bed.service()).unwrap();
        }
        eventually("what the full queue refuses is counted", || {
            bed.dropped(DropReason::ControlQueueFull) == 4
        });
    });
}

#[test]
fn a_packet_too_large_teaches_the_server_the_mtu() {
    in_namespace(|| {
        let bed = Bed::new(1);
        learns_the_mtu(&bed);
    });
}

#[test]
fn the_source_of_icmp_errors_may_be_an_address_of_the_interface() {
    in_namespace(|| {
        let bed = Bed::new(1);
        ip(&format!("address add {GATEWAY}/32 dev lns-t0"));
        std::fs::write("/proc/sys/net/ipv4/conf/lns-t0/accept_local", "1").unwrap();
        learns_the_mtu(&bed);
    });
}

fn learns_the_mtu(bed: &Bed) {
    let server = server();
    discover_path_mtu(&server);
    server.send_to(&[1; 1472], (SUBSCRIBER, 5000)).unwrap();
    eventually("the packet is refused", || {
        bed.dropped(DropReason::FragmentationNeeded) == 1
    });
    eventually("the kernel has learned", || {
        server.send_to(&[2; 1373], (SUBSCRIBER, 5000)).is_err()
    });
    server.send_to(&[3; 1372], (SUBSCRIBER, 5000)).unwrap();
    assert_eq!(bed.down()[28..], [3; 1372]);
    assert!(bed.datapath().stats().icmp_sent >= 1);
}

/// Sends with DF from now on.
fn discover_path_mtu(socket: &UdpSocket) {
    use std::os::fd::AsRawFd;
    let value = libc::IP_PMTUDISC_DO;
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap();
    let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
    // SAFETY: the descriptor is open and the pointer is to an int of that length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            length,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn an_interface_that_exists_is_not_taken() {
    in_namespace(|| {
        let _bed = Bed::new(1);
        let error = Datapath::start(&config(1), index().1, Arc::new(|_| true))
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(error, StartError::InterfaceExists { .. }),
            "{error}"
        );
    });
}

/// As a member of a cluster: the fence in the kernel tells control and data apart by their marks.
#[test]
fn what_workers_send_is_data_to_the_gate_and_what_the_control_sends_is_control() {
    in_namespace(|| {
        let service = SocketAddr::from(([192, 0, 2, 1], 1701));
        let mut gate = Gate::install(Plan {
            cluster: "lns/edge".to_owned(),
            service: [service.ip()].into(),
            nas: None,
            announce: Announce::External,
            interfaces: [].into(),
            subscribers: "lns-t0".to_owned(),
        })
        .unwrap();
        let marks = Marks {
            data: Mark::Data.value(),
            control: Mark::Control.value(),
        };
        let mut bed = Bed::with(&Config {
            listen: vec![service],
            marks: Some(marks),
            ..config(2)
        });
        let server = server();
        let later = || clock::now() + Duration::from_secs(600);
        let negotiates = |bed: &Bed| bed.control.send(&[bed.negotiation()]) == 1;
        let answers = |bed: &Bed| {
            let echo = Datagram {
                as_data: true,
                ..bed.negotiation()
            };
            bed.control.send(&[echo]) == 1
        };

        gate.control_until(later()).unwrap();
        assert!(negotiates(&bed));
        assert_eq!(bed.next(), NEGOTIATION);
        gate.close_control().unwrap();
        assert!(!negotiates(&bed) && !answers(&bed));

        gate.data_until(later()).unwrap();
        assert!(!negotiates(&bed));
        // An echo is answered wherever data passes.
        assert!(answers(&bed));
        assert_eq!(bed.next(), NEGOTIATION);
        server.send_to(b"data", (SUBSCRIBER, 5000)).unwrap();
        assert_eq!(bed.down()[28..], *b"data");
        gate.close(Kind::Data).unwrap();
        gate.control_until(later()).unwrap();
        server.send_to(b"late", (SUBSCRIBER, 5000)).unwrap();
        assert!(!answers(&bed));
        // Two echoes, and what a worker could not send to the subscriber.
        eventually("the drops are counted", || {
            gate.state().unwrap().dropped["data"] == 3
        });
        assert!(negotiates(&bed));
        assert_eq!(bed.next(), NEGOTIATION, "and nothing before it");
        gate.remove().unwrap();
        bed.datapath.take().unwrap().stop();
    });
}

#[test]
fn an_interface_that_is_taken_away_ends_the_workers() {
    in_namespace(|| {
        let bed = Bed::new(2);
        assert!(bed.datapath().is_running());
        ip("link delete lns-t0");
        eventually("the end is noticed", || !bed.datapath().is_running());
    });
}

#[test]
fn a_start_that_fails_leaves_no_interface() {
    in_namespace(|| {
        let taken = UdpSocket::bind("127.0.0.1:1701").unwrap();
        let config = Config {
            listen: vec![taken.local_addr().unwrap()],
            ..config(2)
        };
        let error = Datapath::start(&config, index().1, Arc::new(|_| true))
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, StartError::AddressTaken { .. }), "{error}");
        eventually("the interface is gone", interface_is_gone);
        drop(taken);
        Datapath::start(&config, index().1, Arc::new(|_| true)).unwrap();
    });
}

#[test]
fn a_cleared_session_gets_nothing_more() {
    in_namespace(|| {
        let mut bed = Bed::new(1);
        let server = server();
        server.send_to(b"one", (SUBSCRIBER, 5000)).unwrap();
        assert_eq!(bed.down()[28..], *b"one");
        let update = PathUpdate::ClearSession {
            slot: SLOT,
            tunnel: TUNNEL,
            session: SESSION,
        };
        assert!(bed.control.apply(&update).is_some());
        server.send_to(b"two", (SUBSCRIBER, 5000)).unwrap();
        eventually("the drop is counted", || {
            bed.dropped(DropReason::NoSession) == 1
        });
        bed.up(&frame(&udp(SUBSCRIBER, [5000, 7000], b"three")));
        eventually("the drop is counted", || {
            bed.dropped(DropReason::UnknownSession) == 1
        });
    });
}

/// What the subscriber asks for comes back; UDP flows live a second.
fn policy() -> Policy {
    let table = |default| {
        Some(PolicyTable {
            rules: Vec::new(),
            default,
        })
    };
    Policy {
        name: "residential".into(),
        filter_ids: Vec::new(),
        input: table(Action::Track),
        output: table(Action::Drop),
        timeouts: Timeouts {
            udp_idle: 1,
            ..Timeouts::DEFAULT
        },
        on_change: OnChange::Keep,
        rates: None,
    }
}

#[test]
fn a_flow_is_let_back_in_listed_and_swept_without_any_traffic() {
    in_namespace(|| {
        let mut bed = Bed::new(2);
        let mut book = PolicyBook::new(2);
        book.replace(vec![policy()]).unwrap();
        let chain = book.chain(&["residential".into()]).unwrap();
        let policies = Arc::clone(book.current());
        bed.control.apply(&PathUpdate::SetPolicies { policies });
        let path = SessionPath { chain, ..session() };
        bed.control
            .apply(&PathUpdate::SetSession { slot: SLOT, path });
        bed.control.settle();
        let (server, flows) = (server(), bed.datapath().flows());
        server.send_to(b"unasked", (SUBSCRIBER, 5000)).unwrap();
        eventually("what nobody asked for is refused", || {
            bed.dropped(DropReason::Policy) == 1
        });
        bed.up(&frame(&udp(SUBSCRIBER, [5000, 7000], b"question")));
        let mut octets = [0; 16];
        assert_eq!(server.recv_from(&mut octets).unwrap().0, 8);
        server.send_to(b"answer", (SUBSCRIBER, 5000)).unwrap();
        assert_eq!(bed.down()[28..], *b"answer");
        assert_eq!(flows.events().of(Event::Opened), 1);
        eventually("a flow that is silent is swept", || {
            flows.events().of(Event::Swept) == 1 && flows.counts().in_use == 0
        });
        server.send_to(b"too late", (SUBSCRIBER, 5000)).unwrap();
        eventually("who comes too late is a stranger", || {
            bed.dropped(DropReason::Policy) == 2
        });
        let hits = flows.policies().hits(PolicyId(0)).unwrap();
        assert_eq!(
            (hits.input.unwrap().default, hits.output.unwrap().default),
            (1, 2)
        );
    });
}
