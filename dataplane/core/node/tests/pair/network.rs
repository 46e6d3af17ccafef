//! What the network and hostile peers do to a node: loss, repetition, reordering, silence, nonsense.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::{Rng, Secret};
use lns_l2tp::{HostName, Secrets, Tunnel, TunnelConfig};
use lns_node::Event;
use lns_node::view::SessionFilter;
use lns_wire::id::{PeerSessionId, PeerTunnelId, TunnelId};
use lns_wire::l2tp::{Message, Packet, ProtocolVersion, Sccrq, Seq16, StopCcnResult, emit_control};

use crate::client::Client;
use crate::manifest::{SECRET, config};
use crate::world::{Faults, World, service};

#[test]
fn every_subscriber_logs_in_over_a_network_that_loses_repeats_and_reorders() {
    for seed in 0..24 {
        let mut world = World::new(config(), seed);
        world.faults = Faults {
            loss: 10,
            duplication: 10,
            reordering: 20,
        };
        for lac in 0..3_u16 {
            let at = world.dial_tunnel(1701 + lac, Some(SECRET));
            for id in 1..=20 {
                let name = format!("user{id}");
                world.dial(at, id, Client::new(&name, &name));
            }
        }
        world.run(Duration::from_secs(60));
        world.faults = Faults::default();
        world.run(Duration::from_secs(5));
        for lac in 0..3 {
            for id in 1..=20 {
                assert!(
                    world.is_up(lac, id),
                    "seed {seed}, LAC {lac}, subscriber {id}: {:?}",
                    world.client(lac, id)
                );
            }
        }
        let status = world.node.status();
        assert!(world.ends().is_empty(), "seed {seed}: {:?}", world.ends());
        assert_eq!(
            (status.sessions, status.sessions_opening, status.overdue),
            (60, 0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn equal_seeds_and_inputs_give_equal_outputs() {
    let capture = |seed| {
        let mut world = World::new(config(), seed);
        world.faults = Faults {
            loss: 10,
            duplication: 5,
            reordering: 10,
        };
        let lac = world.dial_tunnel(1701, Some(SECRET));
        for id in 1..=10 {
            world.dial(lac, id, Client::new("user1", "user1"));
        }
        world.run(Duration::from_secs(100));
        world.sent
    };
    assert_eq!(capture(3), capture(3));
    assert_ne!(capture(3), capture(4));
}

#[test]
fn a_lac_that_falls_silent_is_given_up_and_everything_of_it_is_free_again() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=50 {
        world.dial(lac, id, Client::new("user1", "user1"));
    }
    world.run(Duration::from_secs(5));
    assert_eq!(world.node.status().sessions, 50);
    world.faults.loss = 100;
    // The subscribers' echoes end first, after four of 30 s, or the HELLO: 60 s and 31 s of trying.
    world.run(Duration::from_secs(100));
    let status = world.node.status();
    assert_eq!((status.sessions, status.tunnels, status.overdue), (0, 0, 0));
    assert_eq!(world.ends(), ["tunnel_closed"; 50]);
    let down = world.events.iter().any(|event| {
        matches!(
            event,
            Event::TunnelDown {
                reason: "no_answer",
                ..
            }
        )
    });
    assert!(down);
    assert!(world.workers.sessions.is_empty() && world.workers.tunnels.is_empty());
    assert_eq!(world.node.pools()[0].used, 0);
}

#[test]
fn a_subscriber_that_falls_silent_loses_its_session_and_its_neighbour_does_not() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.caller(lac, 1).client.answers_echo = false;
    world.dial(lac, 2, Client::new("user2", "user2"));
    world.run(Duration::from_secs(200));
    assert_eq!(world.ends(), ["lost_carrier"]);
    assert_eq!(world.node.status().sessions, 1);
}

#[test]
fn a_lac_that_restarts_dials_in_again_and_its_old_tunnel_goes_when_it_answers_nothing() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(Duration::from_secs(5));
    world.restart_lac(lac);
    world.dial(lac, 2, Client::new("user2", "user2"));
    world.run(Duration::from_secs(120));
    assert!(world.is_up(lac, 2));
    assert_eq!(world.node.status().tunnels, 1);
    assert_eq!(world.ends().len(), 1);
}

#[test]
fn a_wrong_tunnel_secret_is_refused_with_result_4_and_costs_nothing() {
    for secret in [Some("another secret of sixteen"), None] {
        let mut world = World::new(config(), 1);
        let lac = world.dial_tunnel(1701, secret);
        world.dial(lac, 1, Client::new("user1", "user1"));
        world.run(Duration::from_secs(100));
        assert!(world.lacs[lac].closed.is_some(), "{secret:?}");
        let status = world.node.status();
        assert_eq!(
            (status.tunnels, status.tunnels_opening, status.sessions),
            (0, 0, 0)
        );
        let lac = &world.node.lacs()[0];
        assert_eq!((lac.tunnels, lac.refusals), (0, 1));
        let refused = world.node.refused_lacs(world.now);
        let reasons: Vec<_> = refused.iter().map(|lac| lac.reason).collect();
        let by_reason: Vec<_> = lac.refusals_by_reason.keys().copied().collect();
        assert_eq!(by_reason, reasons);
        assert!(matches!(
            reasons[..],
            ["wrong_secret" | "secret_refused_by_lac"]
        ));
    }
}

#[test]
fn a_lac_with_the_previous_secret_comes_in_at_its_second_attempt_at_the_latest() {
    let mut rotated = config();
    let secret = rotated.lacs[0].secret.as_mut().expect("a secret");
    secret.previous = Some(secret.current.clone());
    secret.current = Secret::new(*b"the new secret of the LAC");
    let mut world = World::new(rotated, 1);
    let first = world.dial_tunnel(1701, Some(SECRET));
    world.run(Duration::from_secs(5));
    assert!(world.lacs[first].closed.is_some());
    let second = world.dial_tunnel(1702, Some(SECRET));
    world.dial(second, 1, Client::new("user1", "user1"));
    world.run(Duration::from_secs(5));
    assert!(world.is_up(second, 1));
    let new = world.dial_tunnel(1703, Some("the new secret of the LAC"));
    world.run(Duration::from_secs(5));
    let newer = world.dial_tunnel(1704, Some("the new secret of the LAC"));
    world.run(Duration::from_secs(5));
    assert!(world.lacs[new].up || world.lacs[newer].up);
}

#[test]
fn a_stranger_is_told_nothing_and_is_listed() {
    let mut world = World::new(config(), 1);
    let stranger = SocketAddr::from(([203, 0, 113, 9], 1701));
    world.deliver_to_node(stranger, &sccrq(b"lac1", ProtocolVersion::ONE));
    let unnamed = SocketAddr::from(([198, 51, 100, 9], 1701));
    world.deliver_to_node(unnamed, &sccrq(b"router", ProtocolVersion::ONE));
    world.settle();
    assert!(world.sent.is_empty());
    let refused = world.node.refused_lacs(world.now);
    let names: Vec<_> = refused
        .iter()
        .map(|lac| (lac.remote, lac.host_name.as_str(), lac.reason))
        .collect();
    assert_eq!(
        names,
        [
            (unnamed, "router", "unknown_lac"),
            (stranger, "lac1", "unknown_lac")
        ]
    );
}

#[test]
fn an_sccrq_of_another_version_is_answered_with_result_5_and_leaves_nothing() {
    let mut world = World::new(config(), 1);
    let lac = SocketAddr::from(([198, 51, 100, 1], 1701));
    world.deliver_to_node(
        lac,
        &sccrq(
            b"lac1",
            ProtocolVersion {
                version: 2,
                revision: 0,
            },
        ),
    );
    world.settle();
    let (_, octets) = world.sent.first().expect("an answer");
    let Ok(Packet::Control(_, body)) = Packet::parse(octets) else {
        panic!("a control message")
    };
    let Ok(Message::StopCcn(stop)) = Message::parse(body) else {
        panic!("a StopCCN")
    };
    assert_eq!(stop.result.result, StopCcnResult::VERSION.0);
    assert_eq!(world.node.status().tunnels_opening, 0);
}

#[test]
fn nonsense_is_counted_by_reason_and_changes_nothing() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(Duration::from_secs(5));
    world.sent.clear();
    let from = world.lacs[lac].address;
    let tunnel = world.lacs[lac].machine.peer();
    let mut unknown = Vec::new();
    emit_control(
        PeerTunnelId(tunnel.0 ^ 1),
        PeerSessionId(0),
        Seq16(9),
        Seq16(9),
        &[],
        &mut unknown,
    )
    .expect("short");
    let before = format!(
        "{:?}",
        world
            .node
            .sessions(&SessionFilter::default(), None, 10, world.now)
    );
    for octets in [
        &[][..],
        &[0xc8],
        &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0],
        &[0xc8, 3, 0, 0],
        &unknown,
    ] {
        world.deliver_to_node(from, octets);
    }
    let stranger = SocketAddr::from(([198, 51, 100, 77], 1701));
    let mut valid = Vec::new();
    emit_control(
        tunnel,
        PeerSessionId(0),
        Seq16(99),
        Seq16(0),
        &[],
        &mut valid,
    )
    .expect("short");
    world.deliver_to_node(stranger, &valid);
    world.settle();
    assert!(world.sent.is_empty());
    assert_eq!(
        format!(
            "{:?}",
            world
                .node
                .sessions(&SessionFilter::default(), None, 10, world.now)
        ),
        before
    );
    let drops = &world.node.stats().drops;
    assert_eq!(
        drops["header_truncated"],
        3 - u64::from(drops.get("header_length").is_some())
    );
    assert_eq!(
        (
            drops["header_version"],
            drops["unknown_tunnel"],
            drops["control_wrong_source"]
        ),
        (1, 1, 1)
    );
}

#[test]
fn half_open_tunnels_go_by_themselves_and_never_touch_those_that_are_up() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.run(Duration::from_secs(2));
    for port in 2000..2100 {
        let from = SocketAddr::from(([198, 51, 100, 2], port));
        world.deliver_to_node(from, &sccrq(b"lac2", ProtocolVersion::ONE));
    }
    world.settle();
    // The entry allows 16 in all.
    assert_eq!(world.node.status().tunnels_opening, 15);
    world.run(Duration::from_secs(100));
    assert_eq!(
        (
            world.node.status().tunnels_opening,
            world.node.status().tunnels
        ),
        (0, 1)
    );
    assert!(world.lacs[lac].closed.is_none());
    assert_eq!(world.node.stats().overdue, 0);
}

#[test]
fn a_repeated_sccrq_is_one_tunnel() {
    let mut world = World::new(config(), 1);
    let from = SocketAddr::from(([198, 51, 100, 2], 1701));
    for _ in 0..5 {
        world.deliver_to_node(from, &sccrq(b"lac2", ProtocolVersion::ONE));
        world.run(Duration::from_secs(1));
    }
    assert_eq!(world.node.status().tunnels_opening, 1);
    let answers = world.sent.len();
    assert!(
        (2..=5).contains(&answers),
        "one answer for each SCCRQ at most, {answers}"
    );
}

fn sccrq(host_name: &[u8], version: ProtocolVersion) -> Vec<u8> {
    let message = Message::Sccrq(Sccrq {
        version,
        host_name,
        framing: 3,
        assigned_tunnel: PeerTunnelId(77),
        bearer: None,
        receive_window: None,
        challenge: None,
        tie_breaker: None,
        firmware: None,
        vendor_name: None,
    });
    let (mut body, mut octets) = (Vec::new(), Vec::new());
    message.emit(&mut body).expect("it fits");
    emit_control(
        PeerTunnelId(0),
        PeerSessionId(0),
        Seq16(0),
        Seq16(0),
        &body,
        &mut octets,
    )
    .expect("it fits");
    assert_eq!(service().port(), 1701);
    octets
}

#[test]
fn a_tunnel_that_only_lingers_takes_no_place_from_its_lac() {
    let mut one = config();
    one.lacs[0].limits.max_tunnels = 1;
    let mut world = World::new(one, 1);
    for port in 1701..1705 {
        let lac = world.dial_tunnel(port, Some(SECRET));
        world.run(Duration::from_secs(1));
        assert!(world.lacs[lac].up, "port {port}");
        world.lacs[lac]
            .machine
            .close(lns_l2tp::StopReason::Requested, world.now);
        world.run(Duration::from_secs(1));
        assert_eq!(world.node.lacs()[0].tunnels, 0);
    }
}

#[test]
fn a_lac_may_move_to_another_port_until_its_scccn_and_to_another_address_never() {
    let mut world = World::new(config(), 1);
    let [first, second, stranger] = [
        ([198, 51, 100, 7], 1701),
        ([198, 51, 100, 7], 40_001),
        ([198, 51, 100, 8], 40_001),
    ]
    .map(SocketAddr::from);
    let mut rng = Rng::from_seed([7; 32]);
    let mut tunnel = TunnelConfig::new(HostName::new(*b"lac7").expect("a name"));
    tunnel.secrets = Some(Secrets::single(Secret::new(SECRET.as_bytes())));
    let mut lac = Tunnel::connect(Arc::new(tunnel), TunnelId(5), world.now, &mut rng);
    let mut octets = Vec::new();
    assert!(lac.poll_transmit(world.now, &mut octets));
    world.deliver_to_node(first, &octets);
    world.settle();
    let (to, sccrp) = world.sent.last().expect("an SCCRP");
    assert_eq!(*to, first);
    let Ok(Packet::Control(header, body)) = Packet::parse(sccrp) else {
        panic!("a control message")
    };
    lac.handle_control(header, body, world.now, &mut rng)
        .expect("it is for us");
    assert!(lac.poll_transmit(world.now, &mut octets));
    world.deliver_to_node(stranger, &octets);
    world.settle();
    assert_eq!(world.node.status().tunnels, 0);
    world.deliver_to_node(second, &octets);
    world.settle();
    assert_eq!(world.node.status().tunnels, 1);
    let path = world.workers.tunnels.values().next().expect("a path");
    assert_eq!(path.remote, second);
    world.deliver_to_node(first, &octets);
    assert_eq!(world.node.stats().drops["control_wrong_source"], 2);
}
