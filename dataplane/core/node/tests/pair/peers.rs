//! What real LACs and subscribers do beside the plain exchange: start over under the same id, hide
//! what they say, change their mind, go before they have come.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use lns_crypto::{Rng, Secret};
use lns_l2tp::hiding::Hider;
use lns_node::Event;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId};
use lns_wire::l2tp::{
    GeneralError, Message, Packet, ProtocolVersion, ResultCode, Sccrq, Seq16, StopCcn,
    StopCcnResult, emit_control,
};

use crate::client::Client;
use crate::manifest::{LOCAL, SECRET, config};
use crate::world::World;

const SECONDS: Duration = Duration::from_secs(5);

fn lac2() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], 1701))
}

fn sccrq(host_name: &[u8]) -> Message<'_> {
    Message::Sccrq(Sccrq {
        version: ProtocolVersion::ONE,
        host_name,
        framing: 3,
        assigned_tunnel: PeerTunnelId(77),
        bearer: None,
        receive_window: Some(8),
        challenge: None,
        tie_breaker: None,
        firmware: None,
        vendor_name: Some(b"somebody"),
    })
}

fn unaddressed(ns: u16, body: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let session = PeerSessionId(0);
    emit_control(
        PeerTunnelId(0),
        session,
        Seq16(ns),
        Seq16(0),
        body,
        &mut octets,
    )
    .expect("it fits");
    octets
}

fn body(message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    message.emit(&mut body).expect("it fits");
    body
}

#[test]
fn a_lac_that_restarts_under_the_same_tunnel_id_comes_in_again_and_its_old_calls_end() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(Duration::from_secs(40));
    assert!(world.is_up(lac, 1));
    world.restart_lac_under_the_same_id(lac);
    world.dial(lac, 2, Client::new("user2", "user2"));
    world.run(SECONDS);
    assert!(world.is_up(lac, 2));
    assert_eq!(world.ends(), ["tunnel_closed"]);
    assert_eq!(world.node.status().tunnels, 1);
    assert_eq!(world.node.lacs()[0].tunnels, 1);
    let replaced = |event: &Event| {
        matches!(
            event,
            Event::TunnelDown {
                reason: "peer_restarted",
                ..
            }
        )
    };
    assert_eq!(
        world.events.iter().filter(|event| replaced(event)).count(),
        1
    );
    // Nothing of the old tunnel reaches the new one of the same id.
    world.run(Duration::from_secs(200));
    assert_eq!(world.node.status().sessions, 1);
    assert!(world.lacs[lac].closed.is_none());
}

#[test]
fn a_lac_that_restarts_at_once_under_the_same_id_is_told_from_a_copy_by_its_challenge() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(SECONDS);
    assert!(world.is_up(lac, 1));
    world.restart_lac_under_the_same_id(lac);
    world.dial(lac, 2, Client::new("user2", "user2"));
    world.run(SECONDS);
    assert!(world.is_up(lac, 2));
    assert_eq!(world.node.status().tunnels, 1);
}

#[test]
fn a_late_copy_of_an_sccrq_begins_no_second_tunnel() {
    let mut world = World::new(config(), 1);
    world.faults.duplication = 100;
    world.dial_tunnel(1701, Some(SECRET));
    world.run(Duration::from_secs(29));
    let status = world.node.status();
    assert_eq!((status.tunnels, status.tunnels_opening), (1, 0));
}

#[test]
fn an_sccrq_with_hidden_avps_is_read_with_the_secret_of_its_lac() {
    for (secret, opened) in [(SECRET, 1), ("another secret of sixteen", 0)] {
        let mut world = World::new(config(), 1);
        let (secret, mut rng) = (Secret::new(secret.as_bytes()), Rng::from_seed([9; 32]));
        let mut body = Vec::new();
        sccrq(b"lac2")
            .emit_hidden(&mut Hider::new(&secret, &mut rng), &mut body)
            .expect("it fits");
        assert!(Message::parse(&body).is_err(), "something is hidden");
        world.deliver_to_node(lac2(), &unaddressed(0, &body));
        world.settle();
        assert_eq!(world.node.status().tunnels_opening, opened);
    }
}

#[test]
fn an_sccrq_with_an_unknown_mandatory_avp_is_refused_with_result_2_error_8() {
    let mut world = World::new(config(), 1);
    let unknown = [0x80, 8, 0, 9, 0, 77, 1, 2];
    for name in [&b"lac2"[..], b"router"] {
        let body = [&body(&sccrq(name))[..], &unknown].concat();
        world.deliver_to_node(lac2(), &unaddressed(0, &body));
    }
    world.settle();
    assert_eq!(world.sent.len(), 1, "a LAC of no entry is told nothing");
    let Ok(Packet::Control(header, body)) = Packet::parse(&world.sent[0].1) else {
        panic!("a control message")
    };
    assert_eq!((header.tunnel.0, header.nr), (77, Seq16(1)));
    let Ok(Message::StopCcn(stop)) = Message::parse(body) else {
        panic!("a StopCCN")
    };
    assert_eq!(
        (stop.result.result, stop.result.error),
        (2, Some(GeneralError(8)))
    );
    assert_eq!(world.node.status().tunnels_opening, 0);
}

#[test]
fn a_lac_that_gives_up_before_it_knows_our_id_leaves_no_half_open_tunnel() {
    let mut world = World::new(config(), 1);
    world.deliver_to_node(lac2(), &unaddressed(0, &body(&sccrq(b"lac2"))));
    world.settle();
    assert_eq!(world.node.status().tunnels_opening, 1);
    let stop = Message::StopCcn(StopCcn {
        assigned_tunnel: PeerTunnelId(77),
        result: ResultCode {
            result: StopCcnResult::REQUEST.0,
            error: None,
            advisory: b"",
        },
    });
    world.deliver_to_node(lac2(), &unaddressed(1, &body(&stop)));
    world.settle();
    assert_eq!(world.node.status().tunnels_opening, 0);
    assert_eq!(world.sent.len(), 2, "the SCCRP and an acknowledgement");
}

#[test]
fn a_drain_waits_for_no_lac_that_has_left_or_never_came() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.run(SECONDS);
    world.lacs[lac]
        .machine
        .close(lns_l2tp::StopReason::Requested, world.now);
    world.run(Duration::from_millis(100));
    world.deliver_to_node(lac2(), &unaddressed(0, &body(&sccrq(b"lac2"))));
    world.settle();
    world.node.handle_drain(world.now);
    world.run(Duration::from_millis(1_100));
    assert!(world.node.is_drained());
}

#[test]
fn a_pap_subscriber_that_gets_it_right_the_second_time_ends_for_the_reason_that_it_has() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    let mut client = Client::new("user1", "wrong");
    client.refuses_chap = true;
    world.dial(lac, 1, client);
    world.run(SECONDS);
    assert!(world.client(lac, 1).failed);
    let again = [
        &[0xff, 3, 0xc0, 0x23, 1, 8, 0, 16, 5][..],
        b"user1",
        &[5],
        b"user1",
    ]
    .concat();
    world.send_frames(lac, SessionId(1), vec![again]);
    world.run(SECONDS);
    assert!(world.is_up(lac, 1));
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(lac, SessionId(1), frames);
    world.run(SECONDS);
    assert_eq!(world.ends(), ["peer_terminated"]);
}

#[test]
fn another_user_on_the_same_call_does_not_get_the_first_ones_address() {
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("fixed", "fixed"));
    world.run(SECONDS);
    assert_eq!(world.address(lac, 1), Some(Ipv4Addr::new(203, 0, 113, 7)));
    let mut frames = Vec::new();
    let now = world.now;
    let client = &mut world.caller(lac, 1).client;
    client.name = "user1".to_owned();
    client.password = Secret::new(*b"user1");
    client.renegotiate(now, &mut frames);
    world.send_frames(lac, SessionId(1), frames);
    world.run(SECONDS);
    let address = world.address(lac, 1).expect("it is up");
    assert_eq!(address.octets()[..2], LOCAL.octets()[..2]);
    assert_eq!(world.node.pools()[0].used, 1);
    world.dial(lac, 2, Client::new("fixed", "fixed"));
    world.run(SECONDS);
    assert!(world.is_up(lac, 2) && world.ends().is_empty());
}

#[test]
fn a_subscriber_that_answers_a_new_challenge_under_another_name_is_not_the_same() {
    let mut again = config();
    again.ppp.rechallenge = Duration::from_secs(30);
    let mut world = World::new(again, 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("user1", "user1"));
    world.run(SECONDS);
    let client = &mut world.caller(lac, 1).client;
    client.name = "user2".to_owned();
    client.password = Secret::new(*b"user2");
    world.run(Duration::from_secs(60));
    assert_eq!(world.ends(), ["authentication_failed"]);
    let user = world.events.iter().find_map(|event| match event {
        Event::SessionDown(end) => end.user.clone(),
        _ => None,
    });
    assert_eq!(user.as_deref(), Some(&b"user1"[..]));
}

#[test]
fn a_peer_that_may_choose_its_address_and_does_not_gets_one_of_the_pool() {
    let mut choosing = config();
    let user = choosing.subscribers.users.get_mut(&b"fixed"[..]);
    user.expect("a user").address = Some(Ipv4Addr::BROADCAST);
    let mut world = World::new(choosing, 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.dial(lac, 1, Client::new("fixed", "fixed"));
    world.run(SECONDS);
    let address = world.address(lac, 1).expect("it is up");
    assert_eq!(address.octets()[..2], LOCAL.octets()[..2]);
    assert_eq!(world.node.pools()[0].used, 1);
}

#[test]
fn a_lac_that_clears_a_line_which_is_being_terminated_gets_our_cdn_too() {
    for (terminated, cdns) in [(true, 1), (false, 0)] {
        let mut world = World::new(config(), 1);
        let lac = world.dial_tunnel(1701, Some(SECRET));
        world.dial(lac, 1, Client::new("user1", "user1"));
        world.run(SECONDS);
        if terminated {
            let mut frames = Vec::new();
            Client::terminate(&mut frames);
            world.send_frames(lac, SessionId(1), frames);
            world.run(Duration::from_millis(100));
        }
        let (peer, mut rng) = (world.caller(lac, 1).call.peer(), Rng::from_seed([9; 32]));
        let reason = lns_l2tp::CdnReason::LostCarrier;
        let machine = &mut world.lacs[lac].machine;
        machine
            .send_cdn(peer, SessionId(1), reason, None, &mut rng)
            .expect("room");
        let before = world.sent.len();
        world.run(Duration::from_secs(10));
        let told = world.sent[before..].iter().filter(|(_, octets)| {
            matches!(Packet::parse(octets), Ok(Packet::Control(_, body))
                if matches!(Message::parse(body), Ok(Message::Cdn(_))))
        });
        assert_eq!(told.count(), cdns, "terminated: {terminated}");
        assert_eq!(world.node.status().sessions, 0);
    }
}

#[test]
fn a_tunnel_with_data_is_asked_for_no_sign_of_life_and_a_silent_one_is() {
    let hellos = |world: &World| {
        let is_hello = |octets: &[u8]| {
            matches!(Packet::parse(octets), Ok(Packet::Control(_, body))
                if Message::parse(body) == Ok(Message::Hello))
        };
        world
            .sent
            .iter()
            .filter(|(_, octets)| is_hello(octets))
            .count()
    };
    let mut world = World::new(config(), 1);
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.run(SECONDS);
    let tunnel = lns_wire::id::TunnelId(world.lacs[lac].machine.peer().0);
    // The LAC asks for nothing either.
    world.faults.loss = 100;
    for _ in 0..60 {
        world.workers.last_of_tunnel.insert(tunnel, world.now);
        world.run(SECONDS);
    }
    assert_eq!((hellos(&world), world.node.status().tunnels), (0, 1));
    world.run(Duration::from_millis(55_700));
    assert_eq!(hellos(&world), 1);
    world.run(Duration::from_secs(40));
    assert_eq!(world.node.status().tunnels, 0);
}

#[test]
fn refused_sccrqs_use_up_no_tunnel_ids() {
    let mut world = World::new(config(), 1);
    let mut message = sccrq(b"lac2");
    if let Message::Sccrq(sccrq) = &mut message {
        sccrq.version.version = 2;
    }
    let refused = unaddressed(0, &body(&message));
    for _ in 0..70_000 {
        world.deliver_to_node(lac2(), &refused);
        world.settle();
    }
    let lac = world.dial_tunnel(1701, Some(SECRET));
    world.run(SECONDS);
    assert!(world.lacs[lac].up);
}
