//! A node on standby that LACs and subscribers talk to: it gives the active one what is its own, and answers
//! echoes.

use core::net::SocketAddr;
use core::time::Duration;

use lns_node::config::Config;
use lns_node::{Beginning, Forward, Node, limits};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{Packet, emit_data};
use proptest::prelude::*;

use crate::client::Client;
use crate::manifest::{SECRET, config, seconds};
use crate::world::{Faults, World, service};

const PING: &[u8] = &[0xab, 0xad, 0xca, 0xfe, b'p', b'i', b'n', b'g'];

/// A LAC and `count` subscribers, all of whose packets come to the second node.
fn through_standby(config: Config, seed: u8, count: u16) -> World {
    let mut world = World::followed(config, seed);
    world.through_standby = true;
    dial(&mut world, count);
    world
}

fn dial(world: &mut World, count: u16) {
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
}

/// Subscriber `id` sends this echo, and has its time for an answer.
fn echo(world: &mut World, id: u16, echo: u8, data: &[u8]) {
    let mut frames = Vec::new();
    Client::echo(echo, data, &mut frames);
    world.send_frames(0, SessionId(id), frames);
    world.run(Duration::from_millis(10));
}

fn standby(world: &mut World) -> &mut Node {
    &mut world.followed.as_mut().expect("somebody follows").standby
}

fn forwarded(world: &mut World) -> (u64, u64, u64) {
    let stats = standby(world).stats();
    let of = |what| stats.forwarded.get(what).copied().unwrap_or_default();
    (of("control"), of("ppp"), stats.echoes_answered)
}

#[test]
fn a_lac_that_talks_only_to_a_member_brings_sessions_up_and_its_echoes_are_answered_there() {
    let mut world = through_standby(config(), 1, 20);
    world.run(seconds(5));
    assert!((1..=20).all(|id| world.is_up(0, id)));
    assert_eq!(world.node.status().sessions, 20);
    let (control, ppp, echoes) = forwarded(&mut world);
    assert!(control > 40 && ppp > 40 && echoes == 0, "{control} {ppp}");
    for id in 1..=20 {
        echo(&mut world, id, 5, PING);
    }
    assert_eq!(forwarded(&mut world), (control, ppp, 20));
    assert_eq!(world.sent_by_standby.len(), 20);
    // The active node says the same.
    world.through_standby = false;
    for id in 1..=20 {
        echo(&mut world, id, 5, PING);
        let replies = &world.client(0, id).echo_replies;
        let [here, there] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(here, there);
        assert_eq!((here.0, &here.1[4..]), (5, &PING[4..]));
    }
    assert_eq!(world.sent_by_standby.len(), 20);
}

#[test]
fn echoes_are_answered_while_there_is_no_active_node() {
    let mut world = through_standby(config(), 2, 1);
    world.run(seconds(5));
    world.node = Node::standby(config(), [9; 32], world.now);
    for round in 1..=50 {
        echo(&mut world, 1, round, PING);
    }
    assert_eq!(world.client(0, 1).echo_replies.len(), 50);
}

#[test]
fn an_echo_is_the_active_nodes_where_more_than_an_answer_comes_of_it() {
    let mut world = through_standby(config(), 3, 3);
    world.caller(0, 2).sequencing = true;
    world.run(seconds(5));
    let (.., before) = forwarded(&mut world);
    // The second is numbered.
    echo(&mut world, 2, 1, PING);
    // A line that is looped, an echo without a number, and one of ours that is answered.
    echo(&mut world, 1, 2, PING);
    let magic = world.client(0, 1).echo_replies[0].1[..4].to_vec();
    let (_, ppp, answered) = forwarded(&mut world);
    assert_eq!(answered, before + 1);
    echo(&mut world, 1, 3, &magic);
    echo(&mut world, 1, 4, &[1, 2, 3]);
    let mut reply = Vec::new();
    Client::echo(4, PING, &mut reply);
    reply[0][4] = 10;
    world.send_frames(0, SessionId(1), reply);
    world.run(Duration::from_millis(10));
    assert_eq!(
        forwarded(&mut world),
        (forwarded(&mut world).0, ppp + 3, answered)
    );
    assert_eq!(world.node.stats().drops["loop"], 1);
    // One that is about to go.
    let now = world.now;
    let page = world
        .node
        .sessions(&lns_node::view::SessionFilter::default(), None, 10, now);
    let user3 = page
        .sessions
        .iter()
        .find(|it| it.user.as_deref() == Some("user3"));
    let user3 = user3.expect("it is up");
    let (tunnel, session) = (TunnelId(user3.tunnel), SessionId(user3.session));
    world.caller(0, 3).client.answers_echo = false;
    assert!(world.node.handle_disconnect(tunnel, session, now));
    world.settle();
    echo(&mut world, 3, 6, PING);
    assert_eq!(forwarded(&mut world).2, answered);
    assert!(world.client(0, 3).echo_replies.is_empty());
}

#[test]
fn what_is_not_from_the_tunnels_peer_is_dropped() {
    let mut world = through_standby(config(), 4, 1);
    world.run(seconds(5));
    let before = forwarded(&mut world);
    let now = world.now;
    let page = world
        .node
        .sessions(&lns_node::view::SessionFilter::default(), None, 1, now);
    let (tunnel, session) = (
        TunnelId(page.sessions[0].tunnel),
        SessionId(page.sessions[0].session),
    );
    let mut frames = Vec::new();
    Client::echo(1, PING, &mut frames);
    let elsewhere = "198.51.100.1:1702".parse().expect("an address");
    let node = standby(&mut world);
    node.handle_ppp(tunnel, session, elsewhere, &frames[0], now);
    node.handle_ppp(TunnelId(tunnel.0 ^ 1), session, elsewhere, &frames[0], now);
    let stats = node.stats();
    assert_eq!(stats.drops["ppp_wrong_source"], 1);
    assert_eq!(stats.drops["ppp_unknown_session"], 1);
    // A session that has not come here is the active node's to know.
    let from = "198.51.100.1:1701".parse().expect("an address");
    node.handle_ppp(tunnel, SessionId(session.0 ^ 1), from, &frames[0], now);
    assert_eq!(forwarded(&mut world), (before.0, before.1 + 1, before.2));
}

/// An SCCRQ's header; who reads on finds nothing.
const CONTROL: [u8; 12] = [0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn of_what_waits_too_long_the_newest_goes_and_strangers_have_half() {
    let now = Instant::ZERO;
    let mut node = Node::standby(config(), [1; 32], now);
    let lac: SocketAddr = "198.51.100.1:1701".parse().expect("an address");
    let stranger: SocketAddr = "203.0.113.9:1701".parse().expect("an address");
    let message = |number: usize| {
        let [.., high, low] = number.to_be_bytes();
        let mut octets = CONTROL;
        octets[8..10].copy_from_slice(&[high, low]);
        octets
    };
    for number in 0..limits::FORWARD_QUEUE {
        node.handle_control(service(), stranger, &message(number), now);
    }
    for number in 0..limits::FORWARD_QUEUE {
        node.handle_control(service(), lac, &message(number), now);
    }
    let half = limits::FORWARD_QUEUE / 2;
    let full = u64::try_from(limits::FORWARD_QUEUE).expect("a number");
    assert_eq!(node.stats().drops["forward_queue_full"], full);
    assert_eq!(node.stats().forwarded["control"], full);
    for number in 0..limits::FORWARD_QUEUE {
        let remote = if number < half { stranger } else { lac };
        let octets = message(number % half).to_vec();
        let local = service();
        let expected = Forward::Control {
            local,
            remote,
            octets,
        };
        assert_eq!(node.poll_forward(), Some(expected));
    }
    assert_eq!(node.poll_forward(), None);
}

#[test]
fn who_takes_over_forgets_what_waited_for_another_and_serves() {
    let now = Instant::ZERO;
    let mut node = Node::standby(config(), [1; 32], now);
    let lac = "198.51.100.1:1701".parse().expect("an address");
    node.handle_control(service(), lac, &CONTROL, now);
    node.handle_takeover(1, Beginning::Takeover, now);
    assert_eq!(node.stats().drops["forward_role_changed"], 1);
    node.handle_control(service(), lac, &CONTROL, now);
    assert_eq!(node.poll_forward(), None);
    assert_eq!(node.stats().forwarded["control"], 1);
}

#[test]
fn what_is_no_control_message_is_dropped_where_it_comes() {
    let mut node = Node::standby(config(), [1; 32], Instant::ZERO);
    let lac = "198.51.100.1:1701".parse().expect("an address");
    let mut data = Vec::new();
    emit_data(PeerTunnelId(1), PeerSessionId(1), None, &mut data);
    for octets in [&data[..], &CONTROL[..11], &[]] {
        node.handle_control(service(), lac, octets, Instant::ZERO);
    }
    assert_eq!(node.poll_forward(), None);
    assert_eq!(node.stats().drops["data_on_control"], 1);
    assert_eq!(node.stats().drops.values().sum::<u64>(), 3);
}

/// The active node gets the same in the same order, so it does the same, whatever the network does; but for
/// echoes, of which it sends more where it does not see what comes.
#[test]
fn a_member_in_front_of_the_active_node_changes_nothing() {
    let mut config = config();
    config.ppp.echo_interval = Duration::ZERO;
    for seed in 0..20 {
        let faults = Faults {
            loss: 5,
            duplication: 5,
            reordering: 5,
        };
        let mut direct = World::followed(config.clone(), seed);
        let mut through = World::followed(config.clone(), seed);
        through.through_standby = true;
        for world in [&mut direct, &mut through] {
            world.faults = faults;
            dial(world, 10);
            world.run(seconds(120));
        }
        assert!(direct.node.status().sessions > 5, "seed {seed}");
        assert!(direct.sent == through.sent, "seed {seed}");
        let (control, ppp, _) = forwarded(&mut through);
        assert!(control > 20 && ppp > 20, "seed {seed}");
    }
}

proptest! {
    /// Nothing is lost between what comes, what is given out, what is answered and what is counted.
    #[test]
    fn whatever_comes_is_given_out_as_it_is_or_counted(
        datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..40),
    ) {
        let now = Instant::ZERO;
        let mut node = Node::standby(config(), [1; 32], now);
        let lac = "198.51.100.1:1701".parse().expect("an address");
        let mut expected = Vec::new();
        for (is_whole, mut octets) in datagrams {
            if is_whole && octets.len() >= 12 {
                octets[..4].copy_from_slice(&[0xc8, 2, 0, 12]);
            }
            node.handle_control(service(), lac, &octets, now);
            if matches!(Packet::parse(&octets), Ok(Packet::Control(..))) {
                expected.push(octets);
            }
        }
        let given = u64::try_from(expected.len()).expect("few");
        prop_assert_eq!(node.stats().forwarded.get("control").copied().unwrap_or_default(), given);
        for octets in expected {
            let forward = Forward::Control { local: service(), remote: lac, octets };
            prop_assert_eq!(node.poll_forward(), Some(forward));
        }
        prop_assert_eq!(node.poll_forward(), None);
        prop_assert_eq!(node.poll_transmit(now, &mut Vec::new()), None);
    }
}
