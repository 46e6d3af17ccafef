//! Two whole datapaths, each in a network namespace of its own, that hand packets over to each other over
//! a cable between them.
//!
//! ```text
//! member: lac 198.18.0.9 ── service 192.0.2.1 │ workers │ lns-t0 ── server 198.51.100.7
//!                                10.0.0.1 ══ veth ══ 10.0.0.2
//! home:                     service 192.0.2.1 │ workers │ lns-t0 ── server 198.51.100.7
//! ```
//!
//! Which server hears of a packet shows which node has forwarded it. What seals here is no secret, and cuts
//! what is long in two, as the peer channel does.
//!
//! It needs root; with `LNS_WITHOUT_ROOT` in the environment its tests are not made.
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
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use lns_datapath::{
    Config, Control, Datapath, DropReason, FlowConfig, Handed, HandingConfig, Home, Open, Peer,
    Punt, PuntSink, Seal, Sealed,
};
use lns_l2sess::policy::Rates;
use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::path::{PathReport, PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::ip::{Ipv4, checksum};
use nix::sched::{CloneFlags, unshare};

const TUNNEL: TunnelId = TunnelId(0x1111);
const SESSION: SessionId = SessionId(0x2222);
const SLOT: SlotIndex = SlotIndex(4);
const SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const SERVICE: &str = "192.0.2.1:1701";
const LAC: &str = "198.18.0.9:1701";
const MEMBER: Peer = Peer(1);
const HOME: Peer = Peer(2);
const PATIENCE: Duration = Duration::from_secs(5);
/// So fast that no test is held up.
const SHAPED: Rates = Rates {
    up: 1_000_000_000,
    down: 1_000_000_000,
    burst_milliseconds: 100,
};

// === What seals ===

/// What is in front of a sealed packet: which part it is, and its ends, if it is a LAC's.
const HEAD: usize = 13;
const TAIL: usize = 2;
/// What one datagram takes.
const WHOLE: usize = 1_000;

/// All nodes, by number.
#[derive(Clone, Debug)]
struct Plain(Arc<Mutex<Vec<Option<SocketAddr>>>>);

#[derive(Default)]
struct PlainOpen {
    half: Vec<u8>,
}

impl Seal for Plain {
    fn headroom(&self) -> usize {
        HEAD
    }

    fn tailroom(&self) -> usize {
        TAIL
    }

    fn seal(&self, to: Peer, what: Handed, buffer: &mut [u8], spare: &mut [u8]) -> Option<Sealed> {
        let to = (*self.0.lock().unwrap().get(usize::from(to.0))?)?;
        let (head, _) = buffer.split_first_chunk_mut::<HEAD>()?;
        *head = [0; HEAD];
        if let Handed::Upstream {
            local: SocketAddr::V4(local),
            remote: SocketAddr::V4(remote),
        } = what
        {
            head[0] = 1;
            for (at, end) in [(1, local), (7, remote)] {
                head[at..at + 4].copy_from_slice(&end.ip().octets());
                head[at + 4..at + 6].copy_from_slice(&end.port().to_be_bytes());
            }
        }
        let end = buffer.len();
        buffer[end - TAIL..].fill(0xee);
        if end <= WHOLE {
            return Some(Sealed {
                to,
                first: 0..end,
                second: None,
            });
        }
        let rest = end - WHOLE;
        buffer[0] |= 0x10;
        spare[0] = 0x20;
        spare[1..=rest].copy_from_slice(&buffer[WHOLE..]);
        Some(Sealed {
            to,
            first: 0..WHOLE,
            second: Some(rest + 1),
        })
    }

    fn opener(&self) -> Box<dyn Open> {
        Box::<PlainOpen>::default()
    }
}

impl Open for PlainOpen {
    fn open(&mut self, datagram: &mut [u8], take: &mut dyn FnMut(Handed, &mut [u8])) {
        match datagram[0] & 0xf0 {
            0x10 => return self.half = datagram.to_vec(),
            0x20 => self.half.extend(&datagram[1..]),
            _ => self.half = datagram.to_vec(),
        }
        let mut whole = core::mem::take(&mut self.half);
        let end = |at: usize| {
            let ip: [u8; 4] = whole[at..at + 4].try_into().unwrap();
            let port = u16::from_be_bytes([whole[at + 4], whole[at + 5]]);
            SocketAddr::from((Ipv4Addr::from(ip), port))
        };
        let what = if whole[0] & 1 == 0 {
            Handed::Downstream
        } else {
            Handed::Upstream {
                local: end(1),
                remote: end(7),
            }
        };
        let last = whole.len() - TAIL;
        assert_eq!(whole[last..], [0xee; TAIL]);
        take(what, &mut whole[HEAD..last]);
    }
}

// === The bed ===

struct Node {
    datapath: Datapath,
    control: Control,
    punts: mpsc::Receiver<Punt>,
    server: UdpSocket,
    /// Where there is one.
    lac: Option<UdpSocket>,
    _index: IndexWriter,
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("iproute2");
    assert!(status.success(), "ip {arguments}");
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
        rates: Rates::default(),
    }
}

fn socket(address: impl std::net::ToSocketAddrs) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A member and the home, with a cable between them and one session that both know.
fn nodes(test: impl FnOnce(Node, Node) + Send + 'static) {
    if std::env::var_os("LNS_WITHOUT_ROOT").is_some() {
        println!("skipped: LNS_WITHOUT_ROOT is set");
        return;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "needs root for network namespaces and TUN interfaces, or LNS_WITHOUT_ROOT=1 to go without"
    );
    let all = Plain(Arc::new(Mutex::new(vec![None; 3])));
    let (here, is_here) = mpsc::channel();
    let (cabled, is_cabled) = mpsc::channel();
    let other = all.clone();
    let home = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        here.send(nix::unistd::gettid()).unwrap();
        is_cabled.recv().unwrap();
        start("10.0.0.2", "10.0.0.1", HOME, &other)
    });
    let member = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let home = is_here.recv().unwrap();
        ip(&format!(
            "link add cable type veth peer name cable netns {home}"
        ));
        ip("link set lo up");
        ip("address add 198.18.0.9/32 dev lo");
        cabled.send(()).unwrap();
        let mut node = start("10.0.0.1", "10.0.0.2", MEMBER, &all);
        // What the home sends the LAC has the service address, which this node has, too.
        std::fs::write("/proc/sys/net/ipv4/conf/cable/accept_local", "1").unwrap();
        node.lac = Some(socket(LAC));
        node
    });
    let (home, member) = (home.join().unwrap(), member.join().unwrap());
    member.control.set_home(Home::Peer(HOME));
    test(member, home);
}

fn start(address: &str, other: &str, number: Peer, all: &Plain) -> Node {
    ip("link set lo up");
    ip("link set cable up");
    ip(&format!("address add {address}/24 dev cable"));
    ip(&format!("address add {SERVER}/32 dev lo"));
    ip("address add 192.0.2.1/32 dev lo");
    if number == HOME {
        ip(&format!("route add 198.18.0.9 via {other}"));
    }
    let (mut writer, index) = PageIndex::new(IndexLimits {
        tunnels: 10,
        sessions: 100,
        ..IndexLimits::default()
    });
    assert!(writer.claim_tunnel(TUNNEL) && writer.claim_session(TUNNEL, SESSION, SLOT));
    let (sender, punts) = mpsc::sync_channel(16);
    let sender = Mutex::new(sender);
    let sink: PuntSink = Arc::new(move |punt| sender.lock().unwrap().try_send(punt).is_ok());
    let config = Config {
        interface: "lns-t0".into(),
        workers: 2,
        listen: vec![SERVICE.parse().unwrap()],
        capacity: 100,
        pools: vec!["100.64.0.0/24".parse().unwrap()],
        icmp_source: Ipv4Addr::new(100, 64, 0, 1),
        flows: FlowConfig::default(),
        marks: None,
        handing: Some(HandingConfig {
            listen: format!("{address}:0").parse().unwrap(),
            seal: Arc::new(all.clone()),
        }),
    };
    let (datapath, control) = Datapath::start(&config, index, sink).unwrap();
    all.0.lock().unwrap()[usize::from(number.0)] = datapath.handing_address();
    ip("link set lns-t0 up mtu 1500");
    ip("route add 100.64.0.0/24 dev lns-t0");
    let mut node = Node {
        datapath,
        control,
        punts,
        server: socket((SERVER, 7000)),
        lac: None,
        _index: writer,
    };
    node.tunnel();
    node.set(session());
    node
}

impl Node {
    fn tunnel(&mut self) {
        let path = TunnelPath {
            local: SERVICE.parse().unwrap(),
            remote: LAC.parse().unwrap(),
            peer_tunnel: PeerTunnelId(0x0a0b),
        };
        let tunnel = TUNNEL;
        self.control.apply(&PathUpdate::SetTunnel { tunnel, path });
    }

    fn set(&mut self, path: SessionPath) {
        self.control
            .apply(&PathUpdate::SetSession { slot: SLOT, path });
        assert_eq!(self.control.refused(), 0);
    }

    fn clear(&mut self) {
        let update = PathUpdate::ClearSession {
            slot: SLOT,
            tunnel: TUNNEL,
            session: SESSION,
        };
        self.control.apply(&update).expect("it was there");
    }

    /// The LAC sends a data message.
    fn up(&self, frame: &[u8]) {
        let message = [&[0, 2, 0x11, 0x11, 0x22, 0x22], frame].concat();
        let lac = self.lac.as_ref().unwrap();
        lac.send_to(&message, SERVICE).unwrap();
    }

    /// What the server hears next.
    fn heard(&self) -> Vec<u8> {
        let mut octets = [0; 2048];
        let (length, from) = self.server.recv_from(&mut octets).expect("a packet");
        assert_eq!(from, (SUBSCRIBER, 5000).into());
        octets[..length].to_vec()
    }

    fn says(&self, payload: &[u8]) {
        self.server.send_to(payload, (SUBSCRIBER, 5000)).unwrap();
    }

    /// What the LAC gets next, without its headers of L2TP (which begin with these flags), PPP, IP and UDP.
    fn got(&self, flags: u8) -> Vec<u8> {
        let mut octets = [0; 2048];
        let lac = self.lac.as_ref().unwrap();
        let (length, from) = lac.recv_from(&mut octets).expect("a datagram");
        assert_eq!((from, octets[0]), (SERVICE.parse().unwrap(), flags));
        let header = if flags == 8 { 14 } else { 10 };
        octets[header + 28..length].to_vec()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.datapath.stats().dropped(reason)
    }

    /// The session has had so many packets here, up and down; a packet is counted when it is on its way.
    fn has_counted(&mut self, expected: (u64, u64)) {
        let end = Instant::now() + PATIENCE;
        loop {
            let update = PathUpdate::ReportSession {
                slot: SLOT,
                tunnel: TUNNEL,
                session: SESSION,
            };
            let Some(PathReport::Session { counters, .. }) = self.control.apply(&update) else {
                panic!("no report")
            };
            let counted = (counters.up.ipv4_packets, counters.down.ipv4_packets);
            if counted == expected {
                return;
            }
            assert!(Instant::now() < end, "{counted:?} and not {expected:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn packet(payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(20 + udp).to_be_bytes());
    packet[8..10].copy_from_slice(&[64, 17]);
    packet[12..16].copy_from_slice(&SUBSCRIBER.octets());
    packet[16..20].copy_from_slice(&SERVER.octets());
    let sum = checksum::of(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([5000_u16, 7000, udp, 0].map(u16::to_be_bytes).concat());
    packet.extend(payload);
    assert!(Ipv4::parse(&packet).is_ok());
    packet
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&[0xff, 0x03, 0x00, 0x21][..], &packet(payload)].concat()
}

/// As long as a subscriber's get.
fn long(mark: u8) -> Vec<u8> {
    vec![mark; 1_300]
}

// === The tests ===

#[test]
fn what_needs_no_home_is_forwarded_where_it_arrives() {
    nodes(|mut member, mut home| {
        member.up(&frame(b"up"));
        assert_eq!(member.heard(), b"up");
        member.says(b"down");
        assert_eq!(member.got(0), b"down");
        let stats = member.datapath.stats();
        assert_eq!((stats.handed_up, stats.handed_down), (0, 0));
        member.has_counted((1, 1));
        home.has_counted((0, 0));
    });
}

#[test]
fn a_session_with_a_rate_is_forwarded_at_its_home_whatever_its_length() {
    nodes(|mut member, mut home| {
        let path = SessionPath {
            rates: SHAPED,
            ..session()
        };
        member.set(path);
        home.set(path);
        for mark in 0..100 {
            member.up(&frame(&long(mark)));
            assert_eq!(home.heard(), long(mark));
            member.says(&long(mark));
            assert_eq!(member.got(0), long(mark));
        }
        member.up(&frame(b"short"));
        assert_eq!(home.heard(), b"short");
        // It is counted at its home only.
        home.has_counted((101, 100));
        member.has_counted((0, 0));
        let (stats, taken) = (member.datapath.stats(), home.datapath.stats());
        assert_eq!((stats.handed_up, stats.handed_down), (101, 100));
        assert_eq!((taken.taken_up, taken.taken_down), (101, 100));
    });
}

#[test]
fn a_numbered_session_is_numbered_at_its_home_and_its_echo_goes_there() {
    nodes(|mut member, mut home| {
        let path = SessionPath {
            sequencing: true,
            ..session()
        };
        member.set(path);
        home.set(path);
        let numbered = |ns: u8, frame: &[u8]| {
            let head = [8, 2, 0x11, 0x11, 0x22, 0x22, 0, ns, 0, 0];
            let lac = member.lac.as_ref().unwrap();
            lac.send_to(&[&head, frame].concat(), SERVICE).unwrap();
        };
        numbered(0, &frame(b"first"));
        assert_eq!(home.heard(), b"first");
        let echo = [0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4];
        numbered(2, &frame(b"third"));
        numbered(1, &echo);
        assert_eq!(home.heard(), b"third");
        let expected = Punt::Ppp {
            tunnel: TUNNEL,
            session: SESSION,
            local: SERVICE.parse().unwrap(),
            remote: LAC.parse().unwrap(),
            frame: echo.to_vec(),
        };
        assert_eq!(home.punts.recv_timeout(PATIENCE).unwrap(), expected);
        member.says(b"down");
        assert_eq!(member.got(8), b"down");
        assert!(member.punts.try_recv().is_err());
    });
}

#[test]
fn an_echo_of_a_session_with_a_rate_is_the_controls_where_it_arrives() {
    nodes(|mut member, home| {
        member.set(SessionPath {
            rates: SHAPED,
            ..session()
        });
        member.up(&[0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4]);
        let punt = member.punts.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(punt, Punt::Ppp { .. }));
        assert_eq!(home.datapath.stats().taken_up, 0);
    });
}

#[test]
fn a_session_that_only_the_home_knows_works_through_the_member() {
    nodes(|mut member, home| {
        member.clear();
        member.up(&frame(b"up"));
        assert_eq!(home.heard(), b"up");
        member.says(b"down");
        assert_eq!(member.got(0), b"down");
    });
}

#[test]
fn a_session_that_nobody_knows_ends_at_the_home() {
    nodes(|mut member, mut home| {
        member.clear();
        home.clear();
        member.up(&frame(b"up"));
        eventually("the home drops it", || {
            home.dropped(DropReason::UnknownSession) == 1
        });
        member.says(b"down");
        eventually("the home drops it", || {
            home.dropped(DropReason::NoSession) == 1
        });
        assert_eq!(member.dropped(DropReason::UnknownSession), 0);
    });
}

#[test]
fn two_that_take_each_other_for_the_home_send_nothing_around() {
    nodes(|mut member, mut home| {
        let path = SessionPath {
            rates: SHAPED,
            ..session()
        };
        member.set(path);
        home.set(path);
        home.control.set_home(Home::Peer(MEMBER));
        member.up(&frame(b"up"));
        member.says(b"down");
        eventually("both are dropped", || {
            home.dropped(DropReason::NotHome) == 2
        });
        assert_eq!(member.datapath.stats().taken_up, 0);
        // What needs no home any more is forwarded where it was handed to.
        home.set(session());
        member.up(&frame(b"up"));
        assert_eq!(home.heard(), b"up");
        member.says(b"down");
        assert_eq!(member.got(0), b"down");
        assert_eq!(home.datapath.stats().handed_up, 0);
    });
}

#[test]
fn who_has_no_way_to_the_home_or_knows_none_says_so_and_goes_on() {
    nodes(|mut member, home| {
        let path = SessionPath {
            rates: SHAPED,
            ..session()
        };
        member.set(path);
        member.control.set_home(Home::Nowhere);
        member.up(&frame(b"up"));
        eventually("it is dropped", || {
            member.dropped(DropReason::HomeUnknown) == 1
        });
        member.control.set_home(Home::Peer(Peer(0)));
        member.up(&frame(b"up"));
        eventually("it is dropped", || {
            member.dropped(DropReason::NoWayHome) == 1
        });
        member.control.set_home(Home::Here);
        member.up(&frame(b"here"));
        assert_eq!(member.heard(), b"here");
        assert_eq!(home.datapath.stats().taken_up, 0);
        member.datapath.stop();
    });
}

#[test]
fn a_control_message_that_is_handed_over_is_dropped() {
    nodes(|member, home| {
        let head = [1, 192, 0, 2, 1, 6, 165, 198, 18, 0, 9, 6, 165];
        let message = [0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0];
        let sealed = [&head[..], &message, &[0xee; TAIL]].concat();
        let lac = member.lac.as_ref().unwrap();
        let to = home.datapath.handing_address().unwrap();
        lac.send_to(&sealed, to).unwrap();
        eventually("it is dropped", || home.dropped(DropReason::WrongPeer) == 1);
        assert!(home.punts.try_recv().is_err());
    });
}
