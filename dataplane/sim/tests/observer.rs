//! The observer sees what it is there for: each invariant, broken by hand.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test's own panics are its findings"
)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Secret;
use lns_l2sess::policy::{Action, OnChange, Policies, Policy, PolicyTable, Rates};
use lns_l2sess::{ChainId, Timeouts};
use lns_node::{Node, RecordKey};
use lns_sim::config::{SECRET, config};
use lns_sim::observe::{Invariant, Observer, Rules};
use lns_sim::peers::{LacSettings, LineSettings, Login};
use lns_sim::world::{Estate, Origin, SERVICE, Watch, World};
use lns_tables::path::{PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    Icrp, Icrq, Message, ProtocolVersion, Sccrp, Sccrq, Seq16, emit_control, emit_data,
};

const TUNNEL: TunnelId = TunnelId(7);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);

fn lac() -> SocketAddr {
    SocketAddr::from(([198, 18, 0, 1], 1701))
}

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn rules() -> Rules {
    Rules {
        rest: Duration::from_secs(60),
        owned: Vec::new(),
        hello: Duration::from_secs(60),
        echo: Duration::from_secs(180),
        session: Duration::ZERO,
        max_sessions: 10,
        commit: Duration::ZERO,
        everybody_has_policies: false,
    }
}

/// An observer, and a node that has nothing to do with what it is told.
struct Bench {
    observer: Observer,
    node: Node,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            observer: Observer::new(&rules(), false),
            node: Node::new(config(1), [1; 32], Instant::ZERO),
        };
        bench.open();
        bench
    }

    /// A tunnel with a window of two comes up.
    fn open(&mut self) {
        let sccrq = Message::Sccrq(Sccrq {
            version: ProtocolVersion::ONE,
            host_name: b"lac",
            framing: 3,
            assigned_tunnel: PeerTunnelId(70),
            bearer: None,
            receive_window: Some(2),
            challenge: None,
            tie_breaker: None,
            firmware: None,
            vendor_name: None,
        });
        let answer = Message::Sccrp(Sccrp {
            version: ProtocolVersion::ONE,
            host_name: b"lns",
            framing: 3,
            assigned_tunnel: PeerTunnelId(TUNNEL.0),
            bearer: None,
            receive_window: Some(4),
            challenge: None,
            challenge_response: None,
            firmware: None,
            vendor_name: None,
        });
        self.hear(0, (0, 0), 0, &sccrq);
        self.say((0, 1), 0, &answer);
        self.hear(
            TUNNEL.0,
            (1, 1),
            0,
            &Message::Scccn(lns_wire::l2tp::Scccn::default()),
        );
        let path = TunnelPath {
            local: SERVICE,
            remote: lac(),
            peer_tunnel: PeerTunnelId(70),
        };
        self.observer.path(
            &PathUpdate::SetTunnel {
                tunnel: TUNNEL,
                path,
            },
            at(0),
        );
    }

    fn hear(&mut self, tunnel: u16, (ns, nr): (u16, u16), session: u16, message: &Message<'_>) {
        let octets = control(tunnel, (ns, nr), session, message);
        self.observer
            .receives(Origin::Lac(0), lac(), &octets, &self.node, at(0));
    }

    fn say(&mut self, numbers: (u16, u16), session: u16, message: &Message<'_>) {
        self.observer
            .sends(lac(), &control(70, numbers, session, message), at(0));
    }

    fn set(&mut self, slot: u32, session: u16, address: Option<Ipv4Addr>, now: Instant) {
        let path = SessionPath {
            tunnel: TUNNEL,
            session: SessionId(session),
            peer_session: PeerSessionId(session + 100),
            address,
            mtu: 1_492,
            mss: 1_420,
            sequencing: false,
            acfc: false,
            pfc: false,
            chain: ChainId::NONE,
            rates: Rates::default(),
        };
        let slot = SlotIndex(slot);
        self.observer
            .path(&PathUpdate::SetSession { slot, path }, now);
    }

    fn clear(&mut self, slot: u32, session: u16, now: Instant) {
        let (slot, tunnel, session) = (SlotIndex(slot), TUNNEL, SessionId(session));
        let update = PathUpdate::ClearSession {
            slot,
            tunnel,
            session,
        };
        self.observer.path(&update, now);
    }

    fn found(&self) -> Option<Invariant> {
        self.observer.violation().map(|found| found.invariant)
    }
}

fn control(tunnel: u16, (ns, nr): (u16, u16), session: u16, message: &Message<'_>) -> Vec<u8> {
    let (mut body, mut octets) = (Vec::new(), Vec::new());
    message.emit(&mut body).expect("it fits");
    let (tunnel, session) = (PeerTunnelId(tunnel), PeerSessionId(session));
    emit_control(tunnel, session, Seq16(ns), Seq16(nr), &body, &mut octets).expect("it fits");
    octets
}

fn icrq(session: u16) -> Message<'static> {
    Message::Icrq(Icrq {
        assigned_session: PeerSessionId(session),
        ..Icrq::default()
    })
}

fn icrp(session: u16) -> Message<'static> {
    Message::Icrp(Icrp {
        assigned_session: PeerSessionId(session),
    })
}

#[test]
fn an_address_that_is_held_twice_or_has_not_rested_is_i6() {
    let mut bench = Bench::new();
    bench.set(0, 1, Some(ADDRESS), at(0));
    bench.set(1, 2, Some(ADDRESS), at(0));
    assert_eq!(bench.found(), Some(Invariant::Addresses));
    for (seconds, found) in [(59, Some(Invariant::Addresses)), (60, None)] {
        let mut bench = Bench::new();
        bench.set(0, 1, Some(ADDRESS), at(0));
        bench.clear(0, 1, at(0));
        bench.set(1, 2, Some(ADDRESS), at(seconds));
        assert_eq!(bench.found(), found, "{seconds}");
    }
}

#[test]
fn an_id_that_comes_again_inside_its_quarantine_is_i7() {
    for (seconds, found) in [(30, Some(Invariant::Ids)), (31, None)] {
        let mut bench = Bench::new();
        bench.set(0, 1, None, at(0));
        bench.clear(0, 1, at(0));
        bench.set(1, 1, None, at(seconds));
        assert_eq!(bench.found(), found, "{seconds}");
    }
    let mut bench = Bench::new();
    bench.set(0, 1, None, at(0));
    bench.set(0, 2, None, at(0));
    assert_eq!(
        bench.found(),
        Some(Invariant::Ids),
        "a slot is given away twice"
    );
}

#[test]
fn an_end_without_a_beginning_and_one_that_is_not_told_are_i8() {
    let mut bench = Bench::new();
    bench.clear(0, 1, at(0));
    assert_eq!(bench.found(), Some(Invariant::Endings));
    let mut bench = Bench::new();
    bench.set(0, 1, None, at(0));
    bench.clear(0, 1, at(0));
    let node = &bench.node;
    bench.observer.settled(node, at(0));
    assert_eq!(bench.found(), Some(Invariant::Endings));
}

#[test]
fn a_window_that_is_exceeded_a_wrong_nr_and_another_repeat_are_i10() {
    let mut bench = Bench::new();
    for ns in 1..=2 {
        bench.say((ns, 2), 0, &Message::Hello);
    }
    assert_eq!(bench.found(), None);
    bench.say((3, 2), 0, &Message::Hello);
    assert_eq!(bench.found(), Some(Invariant::Delivery), "three of two");
    for nr in [1, 3] {
        let mut bench = Bench::new();
        bench.say((1, 2), 0, &Message::Hello);
        bench.say((2, nr), 0, &Message::Hello);
        assert_eq!(
            bench.found(),
            Some(Invariant::Delivery),
            "back, or ahead: {nr}"
        );
    }
    let mut bench = Bench::new();
    bench.hear(TUNNEL.0, (2, 1), 0, &icrq(100));
    bench.say((1, 3), 100, &icrp(1));
    bench.say((1, 3), 100, &icrp(1));
    assert_eq!(bench.found(), None, "a repeat");
    bench.say((1, 3), 100, &icrp(2));
    assert_eq!(bench.found(), Some(Invariant::Delivery), "another repeat");
}

#[test]
fn a_request_that_is_answered_twice_or_out_of_turn_is_i10() {
    let mut bench = Bench::new();
    bench.hear(TUNNEL.0, (2, 1), 0, &icrq(100));
    bench.say((1, 3), 100, &icrp(1));
    bench.hear(TUNNEL.0, (2, 2), 0, &icrq(100));
    assert_eq!(bench.found(), None);
    bench.say((2, 3), 100, &icrp(2));
    assert_eq!(bench.found(), Some(Invariant::Delivery), "answered twice");
    let mut bench = Bench::new();
    bench.hear(TUNNEL.0, (3, 1), 0, &icrq(100));
    bench.say((1, 2), 100, &icrp(1));
    assert_eq!(bench.found(), Some(Invariant::Delivery), "before its turn");
}

#[test]
fn a_tunnel_that_nothing_comes_from_for_too_long_is_i12() {
    let mut bench = Bench::new();
    bench.set(0, 1, None, at(0));
    bench
        .observer
        .settled(&Node::new(config(1), [1; 32], Instant::ZERO), at(0));
    // What the node counts is another matter here: it has no such call.
    assert_eq!(bench.found(), Some(Invariant::Endings));
    let late = |seconds| {
        let mut bench = Bench::new();
        let node = &bench.node;
        bench.observer.settled(node, at(seconds));
        bench.found()
    };
    assert_eq!(late(90), None);
    assert_eq!(late(97), Some(Invariant::Deadlines), "a silent tunnel");
}

/// A world with one subscriber that is up.
fn world() -> World<Observer> {
    let mut world = World::watched(config(1), 1, Observer::new(&rules(), false));
    world.add_lac(LacSettings {
        secret: Some(Secret::new(SECRET.as_bytes())),
        ..LacSettings::new(lac(), SERVICE, "lac1")
    });
    world.add_line(0, LineSettings::new(Login::new("user0", "user0")));
    world.run(Duration::from_secs(2));
    assert!(world.is_up(0, 0));
    world
}

fn data((tunnel, session): (u16, u16), frame: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let (tunnel, session) = (PeerTunnelId(tunnel), PeerSessionId(session));
    emit_data(tunnel, session, None, &mut octets);
    octets.extend(frame);
    octets
}

#[test]
fn a_request_in_opened_that_is_not_answered_as_the_table_says_is_i13() {
    let request = [0xff, 3, 0xc0, 0x21, 1, 9, 0, 8, 1, 4, 5, 0xd4];
    let ours = [0xff, 3, 0xc0, 0x21, 1, 1, 0, 8, 1, 4, 5, 0xd4];
    let ack = [0xff, 3, 0xc0, 0x21, 2, 9, 0, 8, 1, 4, 5, 0xd4];
    let other = [0xff, 3, 0xc0, 0x21, 2, 9, 0, 8, 1, 4, 5, 0xd5];
    let cases: [(&[&[u8]], Option<Invariant>); 5] = [
        (&[&ours, &ack], None),
        (&[&ack], Some(Invariant::Automaton)),
        (&[&ours, &other], Some(Invariant::Automaton)),
        (&[&ours, &ack, &ack], Some(Invariant::Automaton)),
        (&[], Some(Invariant::Automaton)),
    ];
    for (answers, found) in cases {
        let mut world = world();
        let (of_lac, of_node) = {
            let it = &world.lacs()[0];
            let (tunnel, session) = (it.ids(), it.lines()[0].ids());
            ((tunnel.0, session.0), (tunnel.1, session.1))
        };
        let ids = (TunnelId(of_node.0), SessionId(of_node.1));
        let slot = world.workers().find(ids.0, ids.1).expect("it is up");
        let path = SessionPath {
            address: None,
            ..world.workers().slot(slot).expect("it is up").path
        };
        // Only the observer hears of it.
        world.audit(|observer, node, now| {
            let heard = data(of_node, &request);
            observer.receives(Origin::Lac(0), lac(), &heard, node, now);
            observer.path(&PathUpdate::SetSession { slot, path }, now);
            for answer in answers {
                observer.says(lac(), &data(of_lac, answer), now);
                observer.sends(lac(), &data(of_lac, answer), now);
            }
            observer.settled(node, now);
        });
        let seen = world.watch().violation().map(|found| found.invariant);
        assert_eq!(seen, found, "{answers:?}");
    }
}

#[test]
fn octets_that_are_counted_for_nobody_are_i15_and_what_a_call_leaves_is_found() {
    let mut world = world();
    let address = world.address(0, 0).expect("it is up");
    let mut packet = vec![0x45; 40];
    packet[12..16].copy_from_slice(&address.octets());
    world.with_lac(0, |lac| lac.send_packet(0, &packet));
    world.run(Duration::from_secs(1));
    let counted: Vec<_> = world.watch().octets().collect();
    assert_eq!(counted.len(), 1);
    let ((tunnel, session), octets) = counted[0];
    let slot = world.workers().find(tunnel, session).expect("it is up");
    let slot = world.workers().slot(slot).expect("it is up");
    assert_eq!((octets, slot.counters.up.ipv4_octets), (40, 40));
    // A source that is not the session's is nobody's.
    packet[15] ^= 1;
    world.with_lac(0, |lac| lac.send_packet(0, &packet));
    world.run(Duration::from_secs(1));
    assert_eq!(world.watch().octets().next().map(|it| it.1), Some(40));
    world.audit(Observer::audit);
    assert_eq!(world.watch().violation(), None);
}

#[test]
fn more_datagrams_for_one_input_than_there_can_be_are_i17() {
    let mut bench = Bench::new();
    let heard = data((TUNNEL.0, 1), &[0xff, 3, 0xc0, 0x21, 9, 1, 0, 4]);
    bench
        .observer
        .receives(Origin::Lac(0), lac(), &heard, &bench.node, at(0));
    for _ in 0..401 {
        bench.observer.says(lac(), &heard, at(0));
        bench.observer.sends(lac(), &heard, at(0));
    }
    bench.observer.settled(&bench.node, at(0));
    assert_eq!(bench.found(), Some(Invariant::Work));
}

/// A world in which everybody has a policy.
fn with_a_policy() -> World<Observer> {
    let mut config = config(1);
    config.policies = vec![Policy {
        name: "residential".into(),
        filter_ids: Vec::new(),
        input: Some(PolicyTable {
            rules: Vec::new(),
            default: Action::Track,
        }),
        output: None,
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: Some(Rates {
            up: 1_000,
            down: 2_000,
            burst_milliseconds: 100,
        }),
    }];
    config.subscribers.default_policies = vec!["residential".into()];
    let rules = Rules {
        everybody_has_policies: true,
        ..rules()
    };
    let mut world = World::watched(config, 1, Observer::new(&rules, false));
    world.add_lac(LacSettings {
        secret: Some(Secret::new(SECRET.as_bytes())),
        ..LacSettings::new(lac(), SERVICE, "lac1")
    });
    world.add_line(0, LineSettings::new(Login::new("user0", "user0")));
    world.run(Duration::from_secs(2));
    assert!(world.is_up(0, 0));
    world.audit(Observer::audit);
    assert_eq!(world.watch().violation(), None);
    world
}

/// Tells the observer something of a session that the node has not said.
type Tell = fn(&mut Observer, &Node, SlotIndex, SessionPath);

fn set(observer: &mut Observer, slot: SlotIndex, path: SessionPath) {
    observer.path(&PathUpdate::SetSession { slot, path }, at(2));
}

fn set_policies(observer: &mut Observer, policies: Arc<Policies>) {
    observer.path(&PathUpdate::SetPolicies { policies }, at(2));
}

const fn without_policies(path: SessionPath, address: Option<Ipv4Addr>) -> SessionPath {
    SessionPath {
        chain: ChainId::NONE,
        rates: Rates {
            up: 0,
            down: 0,
            burst_milliseconds: 0,
        },
        address,
        ..path
    }
}

/// What breaks it, but the first.
const TELLS: [Tell; 7] = [
    |observer, _, slot, path| set(observer, slot, path),
    |observer, _, slot, path| {
        let chain = ChainId(99);
        set(observer, slot, SessionPath { chain, ..path });
    },
    |observer, _, slot, mut path| {
        path.rates.up += 1;
        set(observer, slot, path);
    },
    |observer, _, slot, path| set(observer, slot, without_policies(path, path.address)),
    |observer, node, slot, path| {
        set(observer, slot, without_policies(path, None));
        observer.audit(node, at(2));
    },
    |observer, _, _, _| set_policies(observer, Policies::none()),
    |observer, node, _, _| set_policies(observer, Arc::clone(node.policies())),
];

#[test]
fn a_chain_that_is_not_there_has_other_rates_or_is_nobodys_is_i19() {
    for (number, tell) in TELLS.into_iter().enumerate() {
        let mut world = with_a_policy();
        let (tunnel, session) = {
            let it = &world.lacs()[0];
            (TunnelId(it.ids().1), SessionId(it.lines()[0].ids().1))
        };
        let slot = world.workers().find(tunnel, session).expect("it is up");
        let path = world.workers().slot(slot).expect("it is up").path;
        world.audit(|observer, node, _| tell(observer, node, slot, path));
        let seen = world.watch().violation().map(|found| found.invariant);
        let expected = (number > 0).then_some(Invariant::Policies);
        assert_eq!(seen, expected, "{number}");
    }
}

/// Another node goes on, whose workers know `known`.
fn succeed(bench: &mut Bench, known: &[PathUpdate], estate: &Estate) {
    let node = Node::standby(config(1), [2; 32], Instant::ZERO);
    bench.observer.dies(at(1));
    bench.observer.succeeds(&node, known, estate, at(2));
}

#[test]
fn who_is_up_and_stored_and_unknown_to_the_next_node_is_i5() {
    let mut bench = Bench::new();
    bench.set(0, 1, Some(ADDRESS), at(0));
    succeed(&mut bench, &[], &Estate::default());
    assert_eq!(bench.found(), Some(Invariant::Survival));
    let mut bench = Bench::new();
    bench.set(0, 1, Some(ADDRESS), at(0));
    let key = RecordKey::Session(TUNNEL, SessionId(1));
    let estate = Estate {
        lost: [key].into(),
        ..Estate::default()
    };
    succeed(&mut bench, &[], &estate);
    assert_eq!(bench.found(), None, "it was not stored");
}

#[test]
fn ids_and_addresses_rest_over_nodes() {
    for (session, address) in [(1, None), (2, Some(ADDRESS))] {
        let mut bench = Bench::new();
        bench.set(0, 1, Some(ADDRESS), at(0));
        bench.clear(0, 1, at(0));
        succeed(&mut bench, &[], &Estate::default());
        assert_eq!(bench.found(), None);
        bench.set(0, session, address, at(20));
        assert!(matches!(
            bench.found(),
            Some(Invariant::Ids | Invariant::Addresses)
        ));
    }
}

#[test]
fn what_leaves_before_it_is_stored_is_told() {
    let mut bench = Bench::new();
    bench.observer.leaks(lac(), at(0));
    assert_eq!(bench.found(), Some(Invariant::Commit));
}

#[test]
fn a_node_that_follows_and_knows_nothing_is_i9() {
    let mut world = world();
    let follower = Node::standby(config(1), [2; 32], Instant::ZERO);
    world.audit(|observer, node, now| observer.compare(node, &follower, now));
    let found = world.watch().violation().map(|found| found.invariant);
    assert_eq!(found, Some(Invariant::Standby));
}
