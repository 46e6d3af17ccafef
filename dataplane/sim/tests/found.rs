//! What the simulator has found in the node, each as a test of its own.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test's own panics are its findings"
)]

use core::net::SocketAddr;
use core::time::Duration;

use lns_crypto::Secret;
use lns_node::{Stage, view};
use lns_sim::config::{SECRET, config};
use lns_sim::observe::{Observer, Rules};
use lns_sim::peers::{LacSettings, LineSettings, Login};
use lns_sim::world::{SERVICE, World};
use lns_wire::id::{PeerSessionId, PeerTunnelId};
use lns_wire::l2tp::{Icrq, Message, ResultCode, Seq16, StopCcn, emit_control};

fn from() -> SocketAddr {
    SocketAddr::from(([198, 18, 0, 1], 1701))
}

/// A world with one LAC of one line, under the observer's eyes.
fn world() -> World<Observer> {
    let rules = Rules {
        rest: Duration::from_secs(60),
        owned: Vec::new(),
        hello: Duration::from_secs(60),
        echo: Duration::from_secs(180),
        session: Duration::ZERO,
        max_sessions: 10_000,
        commit: Duration::ZERO,
        everybody_has_policies: false,
    };
    let mut world = World::watched(config(1), 1, Observer::new(&rules, false));
    world.add_lac(LacSettings {
        secret: Some(Secret::new(SECRET.as_bytes())),
        ..LacSettings::new(from(), SERVICE, "lac1")
    });
    world.add_line(0, LineSettings::new(Login::new("user0", "user0")));
    world.run(Duration::from_secs(2));
    assert!(world.is_up(0, 0));
    world
}

fn check(world: &World<Observer>) {
    assert_eq!(world.watch().violation(), None);
}

#[test]
fn a_session_that_authenticates_again_is_shown_as_up() {
    let mut world = world();
    let now = world.now();
    let anew = [&[0xff, 3, 0xc0, 0x21, 1, 77, 0, 10, 5, 6][..], b"anew"].concat();
    let (_, tunnel) = world.lacs()[0].ids();
    let (_, session) = world.lacs()[0].lines()[0].ids();
    let mut octets = Vec::new();
    lns_wire::l2tp::emit_data(
        PeerTunnelId(tunnel),
        PeerSessionId(session),
        None,
        &mut octets,
    );
    octets.extend(anew);
    world.forge(from(), octets);
    while world.now() < now + Duration::from_secs(5) {
        world.run(Duration::from_millis(1));
        let filter = view::SessionFilter::default();
        let shown = world
            .node()
            .sessions(&filter, None, 10, world.now())
            .sessions;
        let up = shown.iter().filter(|it| it.stage == Stage::Up).count();
        assert_eq!((shown.len(), up), (1, 1));
        assert_eq!(world.node().status().sessions, 1);
    }
    check(&world);
}

#[test]
fn a_call_that_is_asked_for_in_one_go_with_the_end_of_its_tunnel_is_told_to_the_workers() {
    let mut world = world();
    let (_, tunnel) = world.lacs()[0].ids();
    let (ns, nr) = world.lacs()[0].numbers();
    let icrq = Message::Icrq(Icrq {
        assigned_session: PeerSessionId(9),
        ..Icrq::default()
    });
    let stop = Message::StopCcn(StopCcn {
        assigned_tunnel: PeerTunnelId(world.lacs()[0].ids().0),
        result: ResultCode {
            result: 1,
            error: None,
            advisory: b"",
        },
    });
    // The first one comes last, and brings the others with it.
    for (ahead, message) in [(1, icrq), (2, stop), (0, Message::Hello)] {
        let (mut body, mut octets) = (Vec::new(), Vec::new());
        message.emit(&mut body).expect("it fits");
        let (ns, nr) = (Seq16(ns.wrapping_add(ahead)), Seq16(nr));
        let session = PeerSessionId::NONE;
        emit_control(PeerTunnelId(tunnel), session, ns, nr, &body, &mut octets).expect("it fits");
        world.forge(from(), octets);
    }
    world.run(Duration::from_millis(1));
    check(&world);
    let failures = &world.node().stats().failures;
    assert_eq!(failures.get(&(Stage::Call, "tunnel_closed")), Some(&1));
}
