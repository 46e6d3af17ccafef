//! The control without workers: what it writes, what it reports, what it refuses.

mod flows;
mod policers;

use core::net::Ipv4Addr;
use core::sync::atomic::AtomicU64;

use lns_l2sess::key::HashSeed;
use lns_l2sess::table::TableConfig;
use lns_tables::index::{IndexLimits, PageIndex};
use lns_tables::path::{Counters, SessionPath, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId};

use super::*;

const TUNNEL: TunnelId = TunnelId(5);
const NOW: Instant = Instant::from_millis(7);

fn service() -> SocketAddr {
    "127.0.0.1:1701".parse().unwrap()
}

fn shared(workers: usize) -> Shared {
    let (_writer, index) = PageIndex::new(IndexLimits {
        tunnels: 10,
        sessions: 10,
        ..IndexLimits::default()
    });
    let table = TableConfig {
        entries: 1_000,
        ports: 10,
        seed: HashSeed(1, 2),
    };
    Shared {
        tables: Arc::new(Tables::new(10, vec![service()], index).unwrap()),
        addresses: Arc::new(Published::new(Arc::new(
            AddressTable::new(&["100.64.0.0/24".parse().unwrap()], 4).unwrap(),
        ))),
        policies: Arc::new(Published::new(Policies::none())),
        classifier: Arc::new(Classifier::new(&table, 1).unwrap()),
        home: Arc::default(),
        stages: (0..workers).map(|_| Stage::default()).collect(),
        worker_counters: (0..workers).map(|_| ThreadCounters::default()).collect(),
        control_counters: Arc::new(ThreadCounters::default()),
    }
}

fn control() -> Control {
    Control::new(&shared(0), Vec::new(), 4)
}

fn path(session: u16, address: Option<[u8; 4]>) -> SessionPath {
    SessionPath {
        tunnel: TUNNEL,
        session: SessionId(session),
        peer_session: PeerSessionId(9),
        address: address.map(Ipv4Addr::from),
        mtu: 1460,
        mss: 1420,
        sequencing: true,
        acfc: false,
        pfc: false,
        chain: lns_l2sess::ChainId::NONE,
        rates: lns_l2sess::policy::Rates::default(),
    }
}

fn set(control: &mut Control, slot: u32, path: SessionPath) {
    assert_eq!(
        control.apply(&PathUpdate::SetSession {
            slot: SlotIndex(slot),
            path
        }),
        None
    );
}

fn clear(control: &mut Control, slot: u32, session: u16) -> Option<PathReport> {
    let (slot, session) = (SlotIndex(slot), SessionId(session));
    control.apply(&PathUpdate::ClearSession {
        slot,
        tunnel: TUNNEL,
        session,
    })
}

fn lookup(control: &Control, address: [u8; 4]) -> Option<SlotIndex> {
    control.addresses.lookup(Ipv4Addr::from(address))
}

#[test]
fn a_session_is_found_by_its_address_until_it_is_cleared() {
    let mut control = control();
    for (slot, address) in [(1, [100, 64, 0, 9]), (2, [10, 0, 0, 1])] {
        let session = u16::try_from(slot).unwrap();
        set(&mut control, slot, path(session, None));
        assert_eq!(lookup(&control, address), None);
        set(&mut control, slot, path(session, Some(address)));
        assert_eq!(lookup(&control, address), Some(SlotIndex(slot)));
        assert!(clear(&mut control, slot, session).is_some());
        assert_eq!(lookup(&control, address), None);
        assert!(control.tables().slot(SlotIndex(slot)).unwrap().is_none());
    }
}

#[test]
fn an_address_that_changes_leaves_nothing_behind() {
    let mut control = control();
    set(&mut control, 1, path(1, Some([100, 64, 0, 9])));
    set(&mut control, 1, path(1, Some([100, 64, 0, 10])));
    assert_eq!(lookup(&control, [100, 64, 0, 9]), None);
    assert_eq!(lookup(&control, [100, 64, 0, 10]), Some(SlotIndex(1)));
}

#[test]
fn a_change_keeps_the_counters_and_another_session_begins_at_zero() {
    let mut control = control();
    set(&mut control, 1, path(1, Some([100, 64, 0, 9])));
    let tables = Arc::clone(&control.tables);
    let slot = tables.session_slot(SlotIndex(1)).unwrap();
    slot.up.received(NOW);
    slot.up.forwarded(100, NOW);
    slot.down.dropped();
    set(&mut control, 1, path(1, Some([100, 64, 0, 10])));
    let Some(PathReport::Session {
        counters,
        last_received,
        last_forwarded,
        ..
    }) = clear(&mut control, 1, 1)
    else {
        panic!("a report");
    };
    assert_eq!(
        (
            counters.up.ipv4_packets,
            counters.up.ipv4_octets,
            counters.down.dropped
        ),
        (1, 100, 1)
    );
    assert_eq!((last_received, last_forwarded), (Some(NOW), Some(NOW)));
    set(&mut control, 1, path(2, None));
    let slot_index = SlotIndex(1);
    let report = control.apply(&PathUpdate::ReportSession {
        slot: slot_index,
        tunnel: TUNNEL,
        session: SessionId(2),
    });
    let Some(PathReport::Session {
        counters,
        last_received,
        ..
    }) = report
    else {
        panic!("a report")
    };
    assert_eq!((counters, last_received), (Counters::default(), None));
}

#[test]
fn what_is_not_there_is_neither_cleared_nor_reported() {
    let mut control = control();
    set(&mut control, 1, path(1, Some([100, 64, 0, 9])));
    assert_eq!(clear(&mut control, 1, 2), None);
    assert_eq!(clear(&mut control, 2, 1), None);
    assert_eq!(clear(&mut control, 99, 1), None);
    let update = PathUpdate::ReportSession {
        slot: SlotIndex(1),
        tunnel: TunnelId(6),
        session: SessionId(1),
    };
    assert_eq!(control.apply(&update), None);
    assert_eq!(
        control.apply(&PathUpdate::ReportTunnel { tunnel: TUNNEL }),
        None
    );
    assert_eq!(lookup(&control, [100, 64, 0, 9]), Some(SlotIndex(1)));
}

#[test]
fn a_tunnel_is_set_reported_and_cleared() {
    let mut control = control();
    let ends = TunnelPath {
        local: service(),
        remote: service(),
        peer_tunnel: PeerTunnelId(3),
    };
    control.apply(&PathUpdate::SetTunnel {
        tunnel: TUNNEL,
        path: ends,
    });
    let report =
        |control: &mut Control| control.apply(&PathUpdate::ReportTunnel { tunnel: TUNNEL });
    assert_eq!(
        report(&mut control),
        Some(PathReport::Tunnel {
            tunnel: TUNNEL,
            last_received: None
        })
    );
    control.tables.tunnel_slot(TUNNEL).unwrap().received(NOW);
    assert_eq!(
        report(&mut control),
        Some(PathReport::Tunnel {
            tunnel: TUNNEL,
            last_received: Some(NOW)
        })
    );
    control.apply(&PathUpdate::ClearTunnel { tunnel: TUNNEL });
    assert_eq!(report(&mut control), None);
    control.apply(&PathUpdate::SetTunnel {
        tunnel: TUNNEL,
        path: ends,
    });
    assert_eq!(
        report(&mut control),
        Some(PathReport::Tunnel {
            tunnel: TUNNEL,
            last_received: None
        })
    );
}

#[test]
fn what_cannot_be_kept_is_counted_and_changes_nothing() {
    let mut control = control();
    set(&mut control, 10, path(1, None));
    assert_eq!(control.refused(), 1);
    let stranger = TunnelPath {
        local: "127.0.0.2:1701".parse().unwrap(),
        remote: service(),
        peer_tunnel: PeerTunnelId(3),
    };
    control.apply(&PathUpdate::SetTunnel {
        tunnel: TUNNEL,
        path: stranger,
    });
    assert_eq!(control.refused(), 2);
    assert!(control.tables.tunnel(TUNNEL).unwrap().is_none());
}

#[test]
fn new_pools_find_the_same_sessions() {
    let mut control = control();
    let addresses = [[100, 64, 0, 9], [10, 0, 0, 1], [192, 0, 2, 1]];
    for (slot, address) in (1_u16..).zip(addresses) {
        set(&mut control, u32::from(slot), path(slot, Some(address)));
    }
    let before = control.published.number();
    let source = Ipv4Addr::new(10, 0, 0, 200);
    let pools = ["10.0.0.0/8".parse().unwrap()];
    control.set_pools(&pools, source).unwrap();
    assert_ne!(control.published.number(), before);
    assert_eq!(control.published.current().icmp_source(), source);
    for (slot, address) in (1..).zip(addresses) {
        assert_eq!(
            control.published.current().lookup(address.into()),
            Some(SlotIndex(slot))
        );
    }
    assert_eq!(control.refused(), 0);
}

#[test]
fn control_frames_are_numbered_together_with_data() {
    let mut control = control();
    set(&mut control, 1, path(1, None));
    let tables = Arc::clone(&control.tables);
    assert_eq!(
        tables.session_slot(SlotIndex(1)).unwrap().next_sequence(),
        0
    );
    let mut message = [0x08, 2, 0, 3, 0, 9, 0xee, 0xee, 0, 0, 0xff, 0x03];
    assert!(control.stamp_sequence(SlotIndex(1), 0, &mut message));
    assert_eq!(message, [0x08, 2, 0, 3, 0, 9, 0, 1, 0, 0, 0xff, 0x03]);
    assert!(control.stamp_sequence(SlotIndex(1), 0x1fff, &mut message));
    assert_eq!(message[6..8], [0x20, 1]);
    assert_eq!(
        tables.session_slot(SlotIndex(1)).unwrap().next_sequence(),
        0x2002
    );
}

#[test]
fn what_has_no_number_is_not_stamped() {
    let mut control = control();
    set(&mut control, 1, path(1, None));
    for first in [0x00, 0x48, 0x88, 0xc8] {
        let mut message = [first, 2, 0, 3, 0, 9, 0xee, 0xee, 0, 0];
        assert!(!control.stamp_sequence(SlotIndex(1), 0, &mut message));
        assert_eq!(message[6..8], [0xee, 0xee]);
    }
    assert!(!control.stamp_sequence(SlotIndex(1), 0, &mut [0x08, 2, 0, 3, 0, 9, 0, 0, 0]));
    assert!(!control.stamp_sequence(SlotIndex(2), 0, &mut [0x08, 2, 0, 3, 0, 9, 0, 0, 0, 0]));
    set(
        &mut control,
        1,
        SessionPath {
            sequencing: false,
            ..path(1, None)
        },
    );
    assert!(!control.stamp_sequence(SlotIndex(1), 0, &mut [0x08, 2, 0, 3, 0, 9, 0, 0, 0, 0]));
}

#[test]
fn a_slot_is_not_given_on_while_a_worker_may_still_hold_it() {
    let shared = shared(1);
    let mut control = Control::new(&shared, Vec::new(), 4);
    set(&mut control, 1, path(1, None));
    shared.stages[0].advance();
    assert!(clear(&mut control, 1, 1).is_some());
    waits_for_the_worker(&shared, &mut control, |control| {
        set(control, 1, path(2, None));
    });
}

/// That `work` does not end before the worker, which is in a batch, has left it.
fn waits_for_the_worker(shared: &Shared, control: &mut Control, work: impl FnOnce(&mut Control)) {
    control.grace = Duration::from_secs(60);
    let left = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Not needed to pass: who does not wait is caught by it.
            std::thread::sleep(GRACE);
            left.store(1, Ordering::SeqCst);
            shared.stages[0].advance();
        });
        work(control);
        assert_eq!(left.load(Ordering::SeqCst), 1);
    });
}

/// That `work` ends though the worker does not leave its batch.
fn does_not_wait(shared: &Shared, control: &mut Control, work: impl FnOnce(&mut Control)) {
    control.grace = Duration::from_secs(60);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let ended = scope.spawn(move || {
            let ended = ended.recv_timeout(Duration::from_secs(20)).is_ok();
            shared.stages[0].advance();
            ended
        });
        work(control);
        // Nobody is there any more who could take it, if it comes too late.
        let _late = done.send(());
        assert!(ended.join().unwrap());
    });
}

#[test]
fn datagrams_leave_from_the_service_address() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lac = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let (_writer, index) = PageIndex::new(IndexLimits {
        tunnels: 1,
        sessions: 1,
        ..IndexLimits::default()
    });
    let shared = Shared {
        tables: Arc::new(Tables::new(1, vec![local], index).unwrap()),
        ..shared(0)
    };
    let control = Control::new(&shared, vec![socket], 1);
    let remote = lac.local_addr().unwrap();
    let stranger = Datagram {
        local: service(),
        remote,
        octets: b"never",
        as_data: false,
    };
    let sent = control.send(&[
        stranger,
        Datagram {
            local,
            remote,
            octets: b"hello",
            as_data: false,
        },
    ]);
    assert_eq!(sent, 1);
    let mut octets = [0; 16];
    let (length, from) = lac.recv_from(&mut octets).unwrap();
    assert_eq!((&octets[..length], from), (&b"hello"[..], local));
}
