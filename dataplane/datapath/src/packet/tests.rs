//! Packets through [`upstream`] and [`Downstream`], with sinks that remember.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;

use lns_tables::index::{IndexLimits, IndexWriter, PageIndex};
use lns_tables::path::{SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::ip::{Ipv4, checksum};

use super::{Downstream, DownstreamSink, Origin, Reorder, UpstreamSink, expire, upstream};
use crate::limits::{REORDER_PACKETS, REORDER_WAIT};
use crate::stats::DropReason;
use crate::tables::{AddressTable, Service, Tables};

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

    fn answer(&mut self, packet: &[u8]) {
        self.answers.push(packet.to_vec());
    }

    fn fragmented(&mut self, fragments: usize) {
        assert_eq!(fragments, self.sent.len());
    }

    fn drop(&mut self, reason: DropReason) {
        self.drops.push(reason);
    }
}

/// One tunnel with one session, and what a worker keeps.
pub(super) struct Bed {
    pub(super) tables: Tables,
    pub(super) addresses: AddressTable,
    pub(super) reorder: Reorder,
    pub(super) downstream: Downstream,
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
            quarantine: Duration::ZERO,
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
        };
        change(&mut path);
        tables.session_slot(SLOT).unwrap().write(Some(&path));
        let addresses = AddressTable::new(&["100.64.0.0/24".parse().unwrap()], 10).unwrap();
        addresses.insert(SUBSCRIBER, SLOT);
        Self {
            tables,
            addresses,
            reorder: Reorder::new().unwrap(),
            downstream: Downstream::new(Ipv4Addr::new(100, 64, 0, 1)),
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
        upstream(
            &self.tables,
            &mut self.reorder,
            &mut datagram,
            origin,
            now,
            seen,
        );
    }

    fn up(&mut self, datagram: &[u8]) -> Seen {
        let (origin, mut seen) = (self.origin(), Seen::default());
        self.up_from(datagram, &origin, NOW, &mut seen);
        seen
    }

    fn down(&mut self, packet: &mut [u8]) -> Seen {
        let mut seen = Seen::default();
        self.downstream
            .packet(&self.tables, &self.addresses, packet, NOW, &mut seen);
        seen
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

#[test]
fn every_combination_of_header_bits_leads_to_the_same_packet() {
    for flags in [0x40, 0x08, 0x02, 0x01]
        .into_iter()
        .fold(vec![0_u8], |all, bit| {
            all.iter()
                .flat_map(|flags| [*flags, *flags | bit])
                .collect()
        })
    {
        for ppp in [
            &[0xff, 0x03, 0x00, 0x21][..],
            &[0xff, 0x03, 0x21],
            &[0x00, 0x21],
            &[0x21],
        ] {
            let mut bed = Bed::new();
            let message = bed.header(flags, &[ppp, &from_subscriber()].concat());
            let seen = bed.up(&message);
            assert_eq!(
                seen.forwarded,
                [from_subscriber()],
                "{flags:#04x} {ppp:02x?}"
            );
            assert_eq!(
                (
                    bed.counters().up.ipv4_packets,
                    bed.counters().up.ipv4_octets
                ),
                (1, 60)
            );
        }
    }
}

#[test]
fn every_truncation_is_dropped_and_nothing_is_read_beyond() {
    for flags in [0x00, 0x40, 0x08, 0x02, 0x4b] {
        let mut bed = Bed::new();
        let whole = bed.header(flags, &frame(&from_subscriber()));
        for length in 0..whole.len() {
            let seen = bed.up(&whole[..length]);
            assert!(
                seen.forwarded.is_empty() && seen.control.is_empty(),
                "{flags:#04x} {length}"
            );
            assert_eq!(seen.drops.len(), 1, "{flags:#04x} {length}");
        }
        assert_eq!(bed.up(&whole).forwarded.len(), 1);
    }
}

#[test]
fn padding_behind_the_packet_is_not_forwarded() {
    let mut bed = Bed::new();
    let mut padded = frame(&from_subscriber());
    padded.extend([0xaa; 9]);
    let message = bed.data(&padded);
    assert_eq!(bed.up(&message).forwarded, [from_subscriber()]);
    let mut with_length = bed.header(0x40, &frame(&from_subscriber()));
    with_length.extend([0xbb; 9]);
    assert_eq!(bed.up(&with_length).forwarded, [from_subscriber()]);
}

#[test]
fn a_source_that_is_not_the_sessions_is_dropped_and_counted() {
    let mut bed = Bed::new();
    for source in [Ipv4Addr::new(100, 64, 0, 8), SERVER, Ipv4Addr::UNSPECIFIED] {
        let message = bed.data(&frame(&packet(source, SERVER, 60, true)));
        let seen = bed.up(&message);
        assert_eq!(
            (seen.drops, seen.forwarded.len()),
            (vec![DropReason::SourceCheck], 0)
        );
    }
    assert_eq!(bed.counters().up.dropped, 3);
    assert_eq!(bed.counters().up.ipv4_packets, 0);
}

#[test]
fn anything_but_the_exact_ends_of_the_tunnel_is_dropped() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let right = bed.origin();
    for wrong in [
        Origin {
            remote: "192.0.2.1:1702".parse().unwrap(),
            ..right
        },
        Origin {
            remote: "192.0.2.2:1701".parse().unwrap(),
            ..right
        },
        Origin {
            remote: "[::ffff:192.0.2.1]:1701".parse().unwrap(),
            ..right
        },
        Origin {
            service: Service(0),
            ..right
        },
    ] {
        let mut seen = Seen::default();
        bed.up_from(&message, &wrong, NOW, &mut seen);
        assert_eq!(seen.drops, [DropReason::WrongPeer], "{wrong:?}");
    }
    assert_eq!(bed.tables.session_slot(SLOT).unwrap().last_received(), None);
    assert_eq!(
        bed.tables.tunnel_slot(bed.tunnel).unwrap().last_received(),
        None
    );
}

#[test]
fn unknown_ids_are_dropped_each_with_its_reason() {
    let mut bed = Bed::new();
    let mut message = bed.data(&frame(&from_subscriber()));
    message[4] ^= 0x55;
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
    message[2] ^= 0x55;
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownTunnel]);
}

#[test]
fn a_slot_that_has_changed_hands_is_not_the_session_that_the_index_says() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let slot = bed.tables.session_slot(SLOT).unwrap();
    let other = SessionPath {
        session: SessionId(bed.session.0 ^ 1),
        ..slot.read().unwrap().unwrap()
    };
    slot.write(Some(&other));
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
    bed.tables.session_slot(SLOT).unwrap().write(None);
    assert_eq!(bed.up(&message).drops, [DropReason::UnknownSession]);
}

#[test]
fn control_messages_go_to_the_control_as_they_came() {
    let mut bed = Bed::new();
    for message in [
        &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[0x80],
        &[0xff, 0xff],
    ] {
        assert_eq!(bed.up(message).control, [message]);
    }
}

#[test]
fn a_session_that_floods_the_control_is_cut_to_its_share() {
    let mut bed = Bed::new();
    let message = bed.data(&[0xff, 3, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0]);
    let (origin, mut seen) = (bed.origin(), Seen::default());
    for _ in 0..1_000 {
        bed.up_from(&message, &origin, NOW, &mut seen);
    }
    assert_eq!(seen.ppp.len(), 200);
    assert_eq!(seen.drops, [DropReason::ControlRate; 800]);
    let mut later = Seen::default();
    for _ in 0..1_000 {
        let now = NOW + Duration::from_secs(1);
        bed.up_from(&message, &origin, now, &mut later);
    }
    assert_eq!(later.ppp.len(), 100);
}

#[test]
fn ppp_control_goes_to_the_control_and_ipv6_is_not_enabled() {
    let mut bed = Bed::new();
    for protocol in [
        [0xc0, 0x21],
        [0xc0, 0x23],
        [0x80, 0x21],
        [0x80, 0x57],
        [0x00, 0x2d],
        [0x40, 0x03],
    ] {
        let frame = [&[0xff, 0x03], &protocol[..], &[1, 1, 0, 4]].concat();
        let message = bed.data(&frame);
        assert_eq!(bed.up(&message).ppp, [frame]);
    }
    let message = bed.data(&[0xff, 0x03, 0x00, 0x57, 0x60]);
    assert_eq!(bed.up(&message).drops, [DropReason::Ipv6NotEnabled]);
    let message = bed.data(&[0xff, 0x03, 0xc0, 0x22]);
    assert_eq!(bed.up(&message).drops, [DropReason::MalformedPpp]);
    assert_eq!(
        bed.tables.session_slot(SLOT).unwrap().last_received(),
        Some(NOW)
    );
    assert_eq!(
        bed.tables.session_slot(SLOT).unwrap().last_forwarded(),
        None
    );
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
fn what_the_interface_does_not_take_counts_as_dropped() {
    let mut bed = Bed::new();
    let message = bed.data(&frame(&from_subscriber()));
    let mut seen = Seen {
        interface_is_down: true,
        ..Seen::default()
    };
    let origin = bed.origin();
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert_eq!(
        (bed.counters().up.dropped, bed.counters().up.ipv4_packets),
        (1, 0)
    );
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
fn downstream_headers_are_as_short_as_the_peer_allows() {
    for (acfc, pfc, ppp) in [
        (false, false, &[0xff, 0x03, 0x00, 0x21][..]),
        (true, false, &[0x00, 0x21]),
        (false, true, &[0xff, 0x03, 0x21]),
        (true, true, &[0x21]),
    ] {
        for sequencing in [false, true] {
            let mut bed =
                Bed::with(|path| (path.acfc, path.pfc, path.sequencing) = (acfc, pfc, sequencing));
            for ns in 0..3_u8 {
                let mut packet = packet(SERVER, SUBSCRIBER, 100, true);
                let seen = bed.down(&mut packet);
                let mut header = vec![if sequencing { 8 } else { 0 }, 2, 0x0a, 0x0b, 0x0c, 0x0d];
                if sequencing {
                    header.extend([0, ns, 0, 0]);
                }
                header.extend(ppp);
                assert_eq!(seen.sent, [(header, 0..100)]);
            }
            assert_eq!(
                (
                    bed.counters().down.ipv4_packets,
                    bed.counters().down.ipv4_octets
                ),
                (3, 300)
            );
        }
    }
}

#[test]
fn what_has_no_session_or_is_no_ipv4_is_dropped() {
    let mut bed = Bed::new();
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(100, 64, 0, 10), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(9, 9, 9, 9), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    assert_eq!(
        bed.down(&mut [0x60; 40]).drops,
        [DropReason::Ipv6NotEnabled]
    );
    assert_eq!(bed.down(&mut []).drops, [DropReason::MalformedIp]);
    assert_eq!(bed.down(&mut [0x45; 12]).drops, [DropReason::MalformedIp]);
    // The address table is stale: the session has another address by now.
    bed.addresses.insert(Ipv4Addr::new(100, 64, 0, 20), SLOT);
    assert_eq!(
        bed.down(&mut packet(SERVER, Ipv4Addr::new(100, 64, 0, 20), 60, true))
            .drops,
        [DropReason::NoSession]
    );
    bed.tables.tunnel_slot(bed.tunnel).unwrap().write(None);
    assert_eq!(
        bed.down(&mut packet(SERVER, SUBSCRIBER, 60, true)).drops,
        [DropReason::NoSession]
    );
}

#[test]
fn too_large_with_df_is_answered_with_the_sessions_mtu() {
    let mut bed = Bed::new();
    let mut fits = packet(SERVER, SUBSCRIBER, 1460, true);
    assert_eq!(bed.down(&mut fits).sent.len(), 1);
    let mut large = packet(SERVER, SUBSCRIBER, 1461, true);
    let seen = bed.down(&mut large);
    assert_eq!(
        (seen.sent.len(), seen.drops),
        (0, vec![DropReason::FragmentationNeeded])
    );
    let answer = Ipv4::parse(&seen.answers[0]).unwrap();
    assert_eq!(
        (answer.source(), answer.destination()),
        (Ipv4Addr::new(100, 64, 0, 1), SERVER)
    );
    assert_eq!(
        (answer.payload()[..2].to_vec(), &answer.payload()[6..8]),
        (vec![3, 4], &1460_u16.to_be_bytes()[..])
    );
    assert_eq!(checksum::of(answer.payload()), 0);
    assert_eq!(answer.payload()[8..], large[..548]);
    assert_eq!(bed.counters().down.dropped, 1);
}

#[test]
fn answers_are_limited_per_session_and_never_about_errors() {
    let mut bed = Bed::new();
    let mut large = packet(SERVER, SUBSCRIBER, 1500, true);
    let answered = (0..100)
        .filter(|_| !bed.down(&mut large).answers.is_empty())
        .count();
    assert_eq!(answered, 20);
    let mut bed = Bed::new();
    let mut error = packet(SERVER, SUBSCRIBER, 1500, true);
    error[9] = 1;
    error[20] = 3;
    assert!(bed.down(&mut error).answers.is_empty());
}

#[test]
fn too_large_without_df_leaves_in_fragments_that_reassemble() {
    for (mtu, sequencing) in [(1460, false), (576, true), (68, false), (0, false)] {
        let mut bed = Bed::with(|path| (path.mtu, path.sequencing) = (mtu, sequencing));
        let original = packet(SERVER, SUBSCRIBER, 1500, false);
        let seen = bed.down(&mut original.clone());
        let l2tp = if sequencing { 14 } else { 10 };
        let mut payload: Vec<u8> = Vec::new();
        for (number, (header, part)) in seen.sent.iter().enumerate() {
            let fragment = [&header[l2tp..], &original[part.clone()]].concat();
            assert!(fragment.len() <= usize::from(mtu.max(68)));
            let view = Ipv4::parse(&fragment).unwrap();
            assert_eq!(view.packet().len(), fragment.len());
            assert_eq!(usize::from(view.fragment_offset()) * 8, payload.len());
            assert_eq!(view.more_fragments(), number + 1 < seen.sent.len());
            payload.extend(view.payload());
            if sequencing {
                assert_eq!(usize::from(header[7]), number);
            }
        }
        assert!(seen.sent.len() > 1);
        assert_eq!(payload, original[20..]);
        assert_eq!(
            (
                bed.counters().down.ipv4_packets,
                bed.counters().down.ipv4_octets
            ),
            (1, 1500)
        );
    }
}

/// A packet that can be told from others by its last octet.
fn marked(mark: u8) -> Vec<u8> {
    let mut packet = from_subscriber();
    packet[59] = mark;
    packet
}

/// Sends packets with these numbers, each marked with the low octet of its own, and says in which order
/// they came out.
fn arrive(bed: &mut Bed, numbers: &[u16], now: Instant, seen: &mut Seen) -> Vec<u8> {
    let before = seen.forwarded.len();
    let origin = bed.origin();
    for ns in numbers {
        let [_, low] = ns.to_be_bytes();
        let message = bed.numbered(*ns, &frame(&marked(low)));
        bed.up_from(&message, &origin, now, seen);
    }
    seen.forwarded[before..]
        .iter()
        .map(|packet| packet[59])
        .collect()
}

fn sequenced() -> Bed {
    Bed::with(|path| path.sequencing = true)
}

#[test]
fn early_packets_wait_for_the_missing_one() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(
        arrive(&mut bed, &[0, 2, 3, 1, 4], NOW, &mut seen),
        [0, 1, 2, 3, 4]
    );
    assert!(seen.drops.is_empty() && !bed.reorder.is_waiting());
}

#[test]
fn two_gaps_are_closed_one_after_the_other() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(arrive(&mut bed, &[1, 3, 0], NOW, &mut seen), [0, 1]);
    assert!(bed.reorder.is_waiting());
    assert_eq!(arrive(&mut bed, &[2], NOW, &mut seen), [2, 3]);
    assert!(!bed.reorder.is_waiting());
}

#[test]
fn old_packets_and_duplicates_are_dropped() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert_eq!(
        arrive(&mut bed, &[0, 0, 1, 0, 3, 3, 2, 3], NOW, &mut seen),
        [0, 1, 2, 3]
    );
    assert_eq!(seen.drops, [DropReason::SequenceOld; 4]);
    assert_eq!(bed.counters().up.dropped, 4);
}

#[test]
fn a_packet_beyond_the_window_ends_the_waiting() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    let beyond = u16::try_from(REORDER_PACKETS).unwrap() + 1;
    assert_eq!(
        arrive(&mut bed, &[2, 8, beyond, 0, beyond + 1], NOW, &mut seen),
        [2, 8, 9, 10]
    );
    assert_eq!(seen.drops, [DropReason::SequenceOld]);
}

#[test]
fn a_full_window_comes_out_whole_across_the_wrap() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    for start in [0_u16, 65_530] {
        let mut bed_numbers: Vec<u16> = (1..=8)
            .map(|ahead| start.wrapping_add(ahead))
            .rev()
            .collect();
        bed_numbers.push(start);
        let slot = bed.tables.session_slot(SLOT).unwrap();
        super::sequence::Arrivals {
            expected: start,
            ..Default::default()
        }
        .store(&slot.arrivals);
        let expected: Vec<u8> = (0..=8)
            .map(|ahead| start.wrapping_add(ahead).to_be_bytes()[1])
            .collect();
        assert_eq!(arrive(&mut bed, &bed_numbers, NOW, &mut seen), expected);
        assert!(!bed.reorder.is_waiting());
    }
}

#[test]
fn after_the_wait_the_missing_one_is_given_up() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert!(arrive(&mut bed, &[1, 3], NOW, &mut seen).is_empty());
    let nearly =
        Instant::from_nanos(NOW.as_nanos() + u64::try_from(REORDER_WAIT.as_nanos()).unwrap() - 1);
    expire(&bed.tables, &mut bed.reorder, nearly, &mut seen);
    assert!(seen.forwarded.is_empty());
    expire(
        &bed.tables,
        &mut bed.reorder,
        Instant::from_nanos(nearly.as_nanos() + 1),
        &mut seen,
    );
    assert_eq!(seen.forwarded, [marked(1), marked(3)]);
    assert!(!bed.reorder.is_waiting());
    assert_eq!(arrive(&mut bed, &[2, 4], NOW, &mut seen), [4]);
}

#[test]
fn what_waits_for_a_session_that_ends_is_forgotten() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    arrive(&mut bed, &[1], NOW, &mut seen);
    bed.tables.session_slot(SLOT).unwrap().write(None);
    expire(
        &bed.tables,
        &mut bed.reorder,
        Instant::from_millis(60_000),
        &mut seen,
    );
    assert!(seen.forwarded.is_empty() && !bed.reorder.is_waiting());
}

#[test]
fn what_waited_in_a_slot_is_not_the_next_sessions() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    arrive(&mut bed, &[1, 2], NOW, &mut seen);
    let slot = bed.tables.session_slot(SLOT).unwrap();
    let path = slot.read().unwrap().unwrap();
    bed.session = SessionId(0x5679);
    assert!(bed.index.claim_session(bed.tunnel, bed.session, SLOT));
    slot.reset();
    slot.write(Some(&SessionPath {
        session: bed.session,
        ..path
    }));
    assert_eq!(
        arrive(&mut bed, &[1, 0, 3, 2], NOW, &mut seen),
        [0, 1, 2, 3]
    );
    assert_eq!(seen.drops.len(), 0);
    assert!(!bed.reorder.is_waiting());
}

#[test]
fn a_frame_too_long_to_wait_passes_at_once_behind_what_waits() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    assert!(arrive(&mut bed, &[1], NOW, &mut seen).is_empty());
    let message = bed.numbered(2, &frame(&packet(SUBSCRIBER, SERVER, 3000, true)));
    let origin = bed.origin();
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert_eq!(
        seen.forwarded.iter().map(Vec::len).collect::<Vec<_>>(),
        [60, 3000]
    );
    assert_eq!(arrive(&mut bed, &[3], NOW, &mut seen), [3]);
}

#[test]
fn control_frames_take_their_turn_among_numbered_packets() {
    let (mut bed, mut seen) = (sequenced(), Seen::default());
    let origin = bed.origin();
    let echo = [0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0];
    let message = bed.numbered(1, &echo);
    bed.up_from(&message, &origin, NOW, &mut seen);
    assert!(seen.ppp.is_empty());
    assert_eq!(arrive(&mut bed, &[0, 2], NOW, &mut seen), [0, 2]);
    assert_eq!(seen.ppp, [echo]);
}

#[test]
fn numbers_of_a_session_that_is_not_sequenced_are_ignored() {
    let (mut bed, mut seen) = (Bed::new(), Seen::default());
    assert_eq!(arrive(&mut bed, &[7, 7, 3], NOW, &mut seen), [7, 7, 3]);
}

#[test]
fn tables_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let bed = Bed::new();
    shared(&Arc::new(&bed.tables));
    shared(&bed.addresses);
}

/// Numbers that look random and are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    /// Changes, cuts or lengthens octets here and there.
    fn spoil(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..self.next(4) {
            match self.next(4) {
                0 => octets.truncate(self.next(octets.len() + 1)),
                1 => octets.resize(octets.len() + self.next(40), 0xaa),
                _ if octets.is_empty() => {}
                _ => {
                    let at = self.next(octets.len().min(64));
                    octets[at] ^= u8::try_from(1 + self.next(255)).unwrap();
                }
            }
        }
    }
}

#[test]
fn whatever_comes_up_only_true_packets_of_the_subscriber_leave() {
    let mut noise = Noise(1);
    for sequencing in [false, true] {
        let mut bed = Bed::with(|path| path.sequencing = sequencing);
        let (origin, mut seen) = (bed.origin(), Seen::default());
        for round in 0..30_000_u64 {
            let inner = if round % 2 == 0 {
                from_subscriber()
            } else {
                syn(SUBSCRIBER, SERVER)
            };
            let flags = [0x00, 0x40, 0x08, 0x02, 0x4b][noise.next(5)];
            let mut datagram = bed.header(flags, &frame(&inner));
            noise.spoil(&mut datagram);
            let now = Instant::from_millis(round);
            upstream(
                &bed.tables,
                &mut bed.reorder,
                &mut datagram,
                &origin,
                now,
                &mut seen,
            );
            expire(&bed.tables, &mut bed.reorder, now, &mut seen);
            for packet in seen.forwarded.drain(..) {
                let view = Ipv4::parse(&packet).unwrap();
                assert_eq!(
                    (view.source(), view.total_length()),
                    (SUBSCRIBER, packet.len())
                );
            }
        }
        assert!(bed.counters().up.ipv4_packets > 1_000);
        assert!(
            DropReason::ALL
                .iter()
                .filter(|reason| seen.drops.contains(reason))
                .count()
                >= 6
        );
    }
}

#[test]
fn whatever_comes_down_leaves_whole_and_within_the_mtu() {
    let mut noise = Noise(2);
    let mut bed = Bed::new();
    for _ in 0..30_000 {
        let length = 40 + noise.next(3_000);
        let mut inner = packet(SERVER, SUBSCRIBER, length, noise.next(3) == 0);
        if noise.next(2) == 0 {
            inner[0] = 0x45 + u8::try_from(noise.next(6)).unwrap();
        }
        noise.spoil(&mut inner);
        let seen = bed.down(&mut inner);
        for (header, part) in &seen.sent {
            let whole = [&header[10..], &inner[part.clone()]].concat();
            assert!(whole.len() <= 1460);
            assert_eq!(Ipv4::parse(&whole).unwrap().total_length(), whole.len());
        }
        assert_eq!(seen.sent.is_empty(), !seen.drops.is_empty());
    }
    assert!(bed.counters().down.ipv4_packets > 1_000);
}
