//! Packets through [`upstream()`] and [`Downstream`], with sinks that remember: the bed that the tests
//! share, and what holds in both directions.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

pub(super) mod ahead;
mod downstream;
pub(super) mod filters;
mod hostile;
mod member;
mod rates;
mod sequence;
mod upstream;

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;

use lns_l2sess::Classifier;
use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::Policies;
use lns_l2sess::table::TableConfig;
use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::path::{SessionPath, SlotIndex, TunnelPath};
use lns_tables::rest::Rest;
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::ip::checksum;

use super::upstream::{expire, upstream};
use super::{Batch, Came, Downstream, DownstreamSink, Origin, Reorder, Unknown, UpstreamSink};
use crate::flows::port_of;
use crate::handing::{Home, Peer};
use crate::stats::DropReason;
use crate::tables::{AddressTable, PolicerId, Service, SessionView, Tables, is_limited};

pub(super) const SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const SLOT: SlotIndex = SlotIndex(3);
pub(super) const NOW: Instant = Instant::from_millis(5_000);

/// What came out, in order.
#[derive(Debug, Default)]
struct Seen {
    forwarded: Vec<Vec<u8>>,
    control: Vec<Vec<u8>>,
    ppp: Vec<Vec<u8>>,
    drops: Vec<DropReason>,
    sent: Vec<(Vec<u8>, Range<usize>)>,
    answers: Vec<Vec<u8>>,
    handed: Vec<(Peer, Vec<u8>)>,
    interface_is_down: bool,
}

impl UpstreamSink for Seen {
    fn forward(&mut self, packet: &[u8]) -> bool {
        self.forwarded.push(packet.to_vec());
        !self.interface_is_down
    }

    fn control(&mut self, _origin: &Origin, datagram: &[u8]) {
        self.control.push(datagram.to_vec());
    }

    fn ppp(&mut self, _origin: &Origin, tunnel: TunnelId, session: SessionId, frame: &[u8]) {
        assert!(!tunnel.is_none() && !session.is_none());
        self.ppp.push(frame.to_vec());
    }

    fn hand_over(&mut self, to: Peer, origin: &Origin, datagram: &[u8]) {
        assert_eq!(origin.remote, lac());
        self.handed.push((to, datagram.to_vec()));
    }

    fn drop(&mut self, reason: DropReason) {
        self.drops.push(reason);
    }
}

impl DownstreamSink for Seen {
    fn send(&mut self, service: Service, remote: SocketAddr, header: &[u8], payload: Range<usize>) {
        assert_eq!((service, remote), (Service(1), lac()));
        self.sent.push((header.to_vec(), payload));
    }

    fn forwarded(&mut self, _octets: usize) {}

    fn hand_over(&mut self, to: Peer, packet: &[u8]) {
        self.handed.push((to, packet.to_vec()));
    }

    fn answer(&mut self, packet: &[u8]) {
        self.answers.push(packet.to_vec());
    }

    fn fragmented(&mut self, fragments: usize) {
        assert!(fragments > 1 && fragments <= self.sent.len());
    }

    fn drop(&mut self, reason: DropReason) {
        self.drops.push(reason);
    }
}

/// One tunnel with one session, and what a worker keeps.
pub(super) struct Bed {
    pub(super) tables: Tables,
    pub(super) addresses: AddressTable,
    pub(super) classifier: Classifier,
    pub(super) policies: Arc<Policies>,
    pub(super) reorder: Reorder,
    pub(super) downstream: Downstream,
    home: Home,
    came: Came,
    unknown: Unknown,
    tunnel: TunnelId,
    session: SessionId,
    index: IndexWriter,
}

pub(super) fn lac() -> SocketAddr {
    "192.0.2.1:1701".parse().unwrap()
}

pub(super) fn services() -> Vec<SocketAddr> {
    vec![
        "203.0.113.1:1701".parse().unwrap(),
        "203.0.113.2:1701".parse().unwrap(),
    ]
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut SessionPath)) -> Self {
        let limits = IndexLimits {
            tunnels: 10,
            sessions: 10,
            quarantine: Rest::of(Duration::ZERO),
        };
        let (mut writer, index) = PageIndex::new(limits);
        let (tunnel, session) = (TunnelId(0x1234), SessionId(0x5678));
        assert!(writer.claim_tunnel(tunnel) && writer.claim_session(tunnel, session, SLOT));
        let tables = Tables::new(10, services(), index).unwrap();
        let ends = TunnelPath {
            local: services()[1],
            remote: lac(),
            peer_tunnel: PeerTunnelId(0x0a0b),
        };
        assert!(tables.set_tunnel(tunnel, &ends));
        let mut path = SessionPath {
            tunnel,
            session,
            peer_session: PeerSessionId(0x0c0d),
            address: Some(SUBSCRIBER),
            mtu: 1460,
            mss: 1420,
            sequencing: false,
            acfc: false,
            pfc: false,
            chain: lns_l2sess::ChainId::NONE,
            rates: lns_l2sess::policy::Rates::default(),
        };
        change(&mut path);
        let policer = is_limited(&path.rates).then(|| PolicerId::new(1));
        if let Some(policer) = policer.and_then(|policer| tables.policer(policer)) {
            policer.begin(path.rates, NOW);
        }
        let view = SessionView::new(&path, policer);
        tables.session_slot(SLOT).unwrap().write(Some(&view));
        let addresses = AddressTable::new(&["100.64.0.0/24".parse().unwrap()], 10)
            .unwrap()
            .answering_from(Ipv4Addr::new(100, 64, 0, 1));
        addresses.insert(SUBSCRIBER, SLOT);
        let table = TableConfig {
            entries: 30_000,
            ports: 10,
            seed: HashSeed(1, 2),
        };
        let classifier = Classifier::new(&table, 1).unwrap();
        classifier.open(port_of(SLOT));
        Self {
            tables,
            addresses,
            classifier,
            policies: Policies::none(),
            reorder: Reorder::new().unwrap(),
            downstream: Downstream::default(),
            home: Home::Here,
            came: Came::Here,
            unknown: Unknown::default(),
            tunnel,
            session,
            index: writer,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            service: self.tables.service_of(services()[1]).unwrap(),
            remote: lac(),
        }
    }

    fn up_from(&mut self, datagram: &[u8], origin: &Origin, now: Instant, seen: &mut Seen) {
        let mut datagram = datagram.to_vec();
        let Self {
            tables,
            classifier,
            policies,
            reorder,
            unknown,
            ..
        } = self;
        let batch = Batch::new(tables, classifier, policies, 0, now);
        let batch = batch.with_home(self.home, self.came, unknown);
        upstream(&batch, reorder, &mut datagram, origin, seen);
    }

    fn expire(&mut self, now: Instant, seen: &mut Seen) {
        let Self {
            tables,
            classifier,
            policies,
            reorder,
            ..
        } = self;
        let batch = Batch::new(tables, classifier, policies, 0, now);
        expire(&batch, reorder, seen);
    }

    fn up(&mut self, datagram: &[u8]) -> Seen {
        let (origin, mut seen) = (self.origin(), Seen::default());
        self.up_from(datagram, &origin, NOW, &mut seen);
        seen
    }

    fn down(&mut self, packet: &mut [u8]) -> Seen {
        let mut seen = Seen::default();
        self.down_at(packet, NOW, &mut seen);
        seen
    }

    fn down_at(&mut self, packet: &mut [u8], now: Instant, seen: &mut Seen) {
        let Self {
            tables,
            classifier,
            policies,
            addresses,
            downstream,
            unknown,
            ..
        } = self;
        let batch = Batch::new(tables, classifier, policies, 0, now);
        let batch = batch.with_home(self.home, self.came, unknown);
        downstream.packet(&batch, addresses, packet, seen);
    }

    /// A data message without any optional field.
    pub(super) fn data(&self, frame: &[u8]) -> Vec<u8> {
        self.header(0, frame)
    }

    /// A data message with the optional fields that `flags` says: L 0x40, S 0x08, O 0x02, P 0x01. The
    /// length is right, the offset padding three octets, Ns 0.
    fn header(&self, flags: u8, frame: &[u8]) -> Vec<u8> {
        let mut message = vec![flags, 2];
        let mut rest = [self.tunnel.0.to_be_bytes(), self.session.0.to_be_bytes()].concat();
        if flags & 0x08 != 0 {
            rest.extend([0, 0, 0, 0]);
        }
        if flags & 0x02 != 0 {
            rest.extend([0, 3, 0xee, 0xee, 0xee]);
        }
        rest.extend(frame);
        if flags & 0x40 != 0 {
            message.extend(u16::try_from(rest.len() + 4).unwrap().to_be_bytes());
        }
        message.extend(rest);
        message
    }

    pub(super) fn numbered(&self, ns: u16, frame: &[u8]) -> Vec<u8> {
        let mut message = self.header(0x08, frame);
        message[6..8].copy_from_slice(&ns.to_be_bytes());
        message
    }

    fn counters(&self) -> lns_tables::path::Counters {
        self.tables.session_slot(SLOT).unwrap().counters()
    }
}

/// A UDP packet of that many octets in all.
pub(super) fn packet(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    length: usize,
    dont_fragment: bool,
) -> Vec<u8> {
    let mut packet = vec![0; length];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    packet[6] = if dont_fragment { 0x40 } else { 0 };
    packet[8..10].copy_from_slice(&[64, 17]);
    packet[12..16].copy_from_slice(&source.octets());
    packet[16..20].copy_from_slice(&destination.octets());
    for (at, octet) in packet[20..].iter_mut().enumerate() {
        *octet = u8::try_from(at % 253).unwrap();
    }
    let sum = checksum::of(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

pub(super) fn from_subscriber() -> Vec<u8> {
    packet(SUBSCRIBER, SERVER, 60, true)
}

pub(super) fn frame(packet: &[u8]) -> Vec<u8> {
    [&[0xff, 0x03, 0x00, 0x21], packet].concat()
}

/// A SYN with MSS 1460 between the two addresses.
pub(super) fn syn(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut syn = packet(source, destination, 44, true);
    syn[9] = 6;
    syn[20..44].copy_from_slice(&[
        0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05,
        0xb4,
    ]);
    let sum = checksum::Sum::new().pseudo_header(&source.octets(), &destination.octets(), 24, 6);
    let sum = sum.octets(&syn[20..]).finish();
    syn[36..38].copy_from_slice(&sum.to_be_bytes());
    syn
}

#[test]
fn before_ipcp_is_open_no_ip_passes_in_either_direction() {
    let mut bed = Bed::with(|path| path.address = None);
    let message = bed.data(&frame(&from_subscriber()));
    assert_eq!(bed.up(&message).drops, [DropReason::NetworkNotOpen]);
    assert_eq!(
        bed.down(&mut packet(SERVER, SUBSCRIBER, 60, true)).drops,
        [DropReason::NoSession]
    );
}

#[test]
fn a_syn_is_clamped_in_both_directions_unless_the_session_says_zero() {
    for (mss, expected) in [(1420, 1420_u16), (0, 1460), (1500, 1460)] {
        let mut bed = Bed::with(|path| path.mss = mss);
        let message = bed.data(&frame(&syn(SUBSCRIBER, SERVER)));
        let up = bed.up(&message).forwarded.remove(0);
        let mut down = syn(SERVER, SUBSCRIBER);
        assert_eq!(bed.down(&mut down).sent.len(), 1);
        for packet in [up, down] {
            assert_eq!(packet[42..44], expected.to_be_bytes(), "{mss}");
            let sum = checksum::Sum::new().pseudo_header(&packet[12..16], &packet[16..20], 24, 6);
            assert_eq!(sum.octets(&packet[20..]).finish(), 0);
        }
    }
}

#[test]
fn tables_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let bed = Bed::new();
    shared(&Arc::new(&bed.tables));
    shared(&bed.addresses);
}
