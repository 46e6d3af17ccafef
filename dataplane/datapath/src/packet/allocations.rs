//! That a packet allocates nothing: an allocator that counts, per thread, under everything that a worker
//! does with a packet.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::net::SocketAddr;
use core::ops::Range;
use std::alloc::System;
use std::net::UdpSocket;

use lns_l2sess::graph::Event;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::mask::mask_datagram;

use super::tests::filters::residential;
use super::tests::{Bed, NOW, SERVER, SUBSCRIBER, frame, from_subscriber, packet, syn};
use super::{Batch, Came, DownstreamSink, Origin, Unknown, UpstreamSink, upstream};
use crate::handing::{Home, Peer};
use crate::io::receive::ReceiveBatch;
use crate::io::send::SendBatch;
use crate::stats::{DropReason, ThreadCounters};
use crate::tables::Service;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get().wrapping_add(1)));
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often `work` allocates on this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get().wrapping_sub(before)
}

/// Counts what comes out.
#[derive(Default)]
struct Count(u32);

impl UpstreamSink for Count {
    fn forward(&mut self, _packet: &[u8]) -> bool {
        self.0 = self.0.wrapping_add(1);
        true
    }
    fn control(&mut self, _origin: &Origin, _datagram: &[u8]) {}
    fn ppp(&mut self, _origin: &Origin, _tunnel: TunnelId, _session: SessionId, _frame: &[u8]) {}
    fn hand_over(&mut self, _to: Peer, _origin: &Origin, _datagram: &[u8]) {}
    fn drop(&mut self, _reason: DropReason) {}
}

impl DownstreamSink for Count {
    fn send(
        &mut self,
        _service: Service,
        _remote: SocketAddr,
        _header: &[u8],
        _payload: Range<usize>,
    ) {
    }
    fn forwarded(&mut self, _octets: usize) {
        self.0 = self.0.wrapping_add(1);
    }
    fn hand_over(&mut self, _to: Peer, _packet: &[u8]) {}
    fn answer(&mut self, _packet: &[u8]) {}
    fn fragmented(&mut self, _fragments: usize) {}
    fn drop(&mut self, _reason: DropReason) {}
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(core::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn ten_thousand_packets_upstream_allocate_nothing() {
    for sequencing in [false, true] {
        let mut bed = Bed::with(|path| path.sequencing = sequencing);
        let origin = bed.origin();
        let mut data = bed.data(&frame(&from_subscriber()));
        let mut clamped = bed.data(&frame(&syn(SUBSCRIBER, SERVER)));
        let mut forged = bed.data(&frame(&packet(SERVER, SERVER, 60, true)));
        let mut early: Vec<_> = [1, 3, 2, 0]
            .map(|ns| bed.numbered(ns, &frame(&from_subscriber())))
            .into();
        let mut count = Count::default();
        let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
        let made = allocations(|| {
            for _ in 0..2_500 {
                for datagram in [&mut data, &mut clamped, &mut forged]
                    .into_iter()
                    .chain(&mut early)
                {
                    upstream(&batch, &mut bed.reorder, datagram, &origin, &mut count);
                }
            }
        });
        assert_eq!(made, 0);
        assert!(count.0 > 5_000, "{}", count.0);
    }
}

#[test]
fn ten_thousand_packets_downstream_allocate_nothing() {
    let mut bed = Bed::with(|path| path.sequencing = true);
    let mut small = packet(SERVER, SUBSCRIBER, 100, true);
    let mut large = packet(SERVER, SUBSCRIBER, 1500, true);
    let mut cut = packet(SERVER, SUBSCRIBER, 4000, false);
    let mut clamped = syn(SERVER, SUBSCRIBER);
    let mut count = Count::default();
    let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
    let made = allocations(|| {
        for _ in 0..2_500 {
            for packet in [&mut small, &mut large, &mut cut, &mut clamped] {
                bed.downstream
                    .packet(&batch, &bed.addresses, packet, &mut count);
            }
        }
    });
    assert_eq!((made, count.0), (0, 7_500));
}

#[test]
fn ten_thousand_packets_at_a_member_allocate_nothing() {
    let mut bed = Bed::filtered(residential()).0;
    let origin = bed.origin();
    let mut homed = bed.data(&frame(&from_subscriber()));
    let mut unknown = homed.clone();
    unknown[5] ^= 1;
    let mut down = packet(SERVER, SUBSCRIBER, 100, true);
    let mut count = Count::default();
    let asked = Unknown::default();
    let made = [Came::Here, Came::Handed].map(|came| {
        let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
        let batch = batch.with_home(Home::Peer(Peer(1)), came, &asked);
        allocations(|| {
            for _ in 0..2_500 {
                for datagram in [&mut homed, &mut unknown] {
                    upstream(&batch, &mut bed.reorder, datagram, &origin, &mut count);
                }
                bed.downstream
                    .packet(&batch, &bed.addresses, &mut down, &mut count);
            }
        })
    });
    assert_eq!((made, count.0), ([0, 0], 0));
}

#[test]
fn a87_ten_thousand_packets_of_tracked_flows_allocate_nothing_in_either_direction() {
    let (mut bed, _book) = Bed::filtered(residential());
    let origin = bed.origin();
    let mut up = [
        packet(SUBSCRIBER, SERVER, 60, true),
        syn(SUBSCRIBER, SERVER),
    ]
    .map(|packet| bed.data(&frame(&packet)));
    let mut down = [
        packet(SERVER, SUBSCRIBER, 60, true),
        syn(SERVER, SUBSCRIBER),
    ];
    down[0][20..24].copy_from_slice(&[2, 3, 0, 1]);
    down[1][20..24].copy_from_slice(&[0, 80, 0x30, 0x39]);
    let mut refused = packet(SERVER, SUBSCRIBER, 60, true);
    let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
    let mut count = Count::default();
    let made = allocations(|| {
        for _ in 0..2_500 {
            // The first round opens the flows: that takes nothing from the heap either.
            for datagram in &mut up {
                upstream(&batch, &mut bed.reorder, datagram, &origin, &mut count);
            }
            for packet in down.iter_mut().chain([&mut refused]) {
                bed.downstream
                    .packet(&batch, &bed.addresses, packet, &mut count);
            }
        }
    });
    assert_eq!((made, count.0), (0, 10_000));
    assert_eq!(bed.classifier.events().of(Event::Opened), 2);
}

#[test]
fn a_batch_that_is_looked_ahead_at_allocates_nothing() {
    let (bed, _book) = Bed::filtered(residential());
    bed.crowd();
    let up = bed.data(&frame(&from_subscriber()));
    let down = packet(SERVER, SUBSCRIBER, 60, true);
    let origin = bed.origin();
    let Bed { mut reorder, .. } = bed;
    let batch = Batch::new(&bed.tables, &bed.classifier, &bed.policies, 0, NOW);
    let mut count = Count::default();
    upstream(&batch, &mut reorder, &mut up.clone(), &origin, &mut count);
    let mut met = 0;
    let made = allocations(|| {
        for _ in 0..100 {
            met += batch.meet_upstream([&up[..]; 70]);
            met += batch.meet_downstream(&bed.addresses, [&down[..]; 70]);
        }
    });
    assert_eq!((made, met), (0, 7_000));
}

#[test]
fn batches_of_datagrams_allocate_nothing_once_they_exist() {
    let (left, right) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let remote = right.local_addr().unwrap();
    let mut sending = SendBatch::new();
    let mut receiving = ReceiveBatch::new().unwrap();
    let counters = ThreadCounters::default();
    let buffer = [0x5a; 100];
    let mut received = 0;
    let made = allocations(|| {
        for _ in 0..150 {
            while !sending.is_full() {
                sending.push(remote, &[1, 2, 3], 10..90);
            }
            sending.flush(&left, &buffer, &counters);
            while receiving.receive(&right).is_ok() {
                received += receiving
                    .datagrams()
                    .filter(|(octets, _)| octets.as_ref().is_some_and(|octets| octets.len() == 83))
                    .count();
            }
        }
    });
    assert_eq!((made, received), (0, 9_600));
}

#[test]
fn masking_a_datagram_allocates_nothing() {
    let datagrams: [&[u8]; 4] = [
        b"\xc8\x02\x00\x1f\0\x01\0\x02\0\x03\0\x04\x80\x08\0\0\0\0\0\x0c\0\x0b\0\0\0\x21proof",
        b"\x00\x02\0\x01\0\x02\xff\x03\xc0\x23\x01\x07\x00\x0f\x05alice\x04word",
        b"\x00\x02\0\x01\0\x02\xc2\x23\x03\x01\x00\x0eS=0123 M=hi",
        b"\xc8\x02\x00\x63 is no L2TP message",
    ];
    for datagram in datagrams {
        let mut octets = datagram.to_vec();
        let masking = || mask_datagram(core::hint::black_box(&mut octets));
        assert_eq!(allocations(masking), 0);
        assert_ne!(octets, datagram);
    }
}
