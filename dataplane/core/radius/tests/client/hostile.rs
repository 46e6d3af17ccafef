//! Forged, late, doubled and broken answers: counted, and nothing is changed by them.

use lns_crypto::Secret;
use lns_radius::config::Transport;
use lns_radius::event::{Cause, Event};
use lns_radius::request::Failure;
use lns_radius::trunk::TrunkState;
use lns_wire::radius::{AttributeList, Code, Id, kind};

use crate::world::*;

/// Everything that can be seen, but what is counted as dropped.
fn seen(world: &World) -> String {
    let mut view = world.client.view(world.now);
    for server in &mut view.servers {
        server.dropped.clear();
    }
    format!(
        "{view:?} {:?} {:?}",
        world.client.held(),
        world.client.poll_timeout()
    )
}

/// Forgeries of an answer to that request.
fn forgeries(world: &World, sent: &Seen) -> Vec<Vec<u8>> {
    let peer = &world.peers["r1"];
    let good = peer.sign(&sent.packet(), Code::ACCESS_ACCEPT, &AttributeList::new());
    let mut forged = Vec::new();
    for at in 4..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        forged.push(changed);
    }
    let mut other = good.clone();
    other[1] = other[1].wrapping_add(1);
    forged.push(other);
    for code in [4, 5, 12, 40, 41, 43, 44, 52, 255] {
        let mut changed = good.clone();
        changed[0] = code;
        forged.push(changed);
    }
    forged.extend((0..good.len()).map(|len| good[..len].to_vec()));
    // The forgery of CVE-2024-3596: the authenticator in the header is right, and nothing else is signed.
    let mut bare = AttributeList::new();
    bare.push(kind::PROXY_STATE, &[0x41; 200]).unwrap();
    let mut blast = Vec::new();
    bare.emit(Code::ACCESS_ACCEPT, sent.packet().id, &[0; 16], &mut blast)
        .unwrap();
    lns_crypto::radius::sign_response(
        &mut blast,
        &sent.packet().authenticator,
        &Secret::new(*b"xyzzy"),
    )
    .unwrap();
    forged.push(blast);
    let mut large = good;
    large.resize(5000, 0);
    large[2..4].copy_from_slice(&5000_u16.to_be_bytes());
    forged.push(large);
    forged
}

#[test]
fn a_forged_answer_changes_nothing_but_a_count() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(1));
    let sent = world.requests("r1")[0].clone();
    let forged = forgeries(&world, &sent);
    let before = seen(&world);
    for octets in &forged {
        world.events.clear();
        world.forge(sent.over, octets);
        assert!(
            world
                .events
                .iter()
                .all(|event| matches!(event, Event::Dropped { .. }))
        );
        assert_eq!(world.events.len(), 1, "it is counted by its reason");
    }
    assert_eq!(seen(&world), before);
    let server = world.server("r1");
    let dropped: u64 = server.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!(usize::try_from(dropped), Ok(forged.len()));
    let good = world.peers["r1"].answer(&sent.octets).unwrap();
    world.forge(sent.over, &good);
    assert!(world.is_ok(token));
}

#[test]
fn forged_answers_do_not_hold_a_dead_server_alive_and_do_not_bring_a_zombie_back() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").life = Life::Silent;
    world.ask();
    let sent = world.requests("r1")[0].clone();
    let forged = forgeries(&world, &sent);
    let mut quiet = World::new(config(&["r1"]));
    quiet.peer("r1").life = Life::Silent;
    quiet.ask();
    let mut zombie = false;
    for round in 0..200 {
        world.run(millis(100));
        quiet.run(millis(100));
        if world.sockets.contains_key(&sent.over) {
            for octets in forged.iter().skip(round % 7).step_by(7) {
                world.forge(sent.over, octets);
            }
        }
        let states = world.states("r1");
        assert_eq!(states, quiet.states("r1"), "as if nobody had forged");
        zombie |= states == [TrunkState::Inactive];
    }
    assert!(zombie);
}

#[test]
fn a_doubled_answer_is_dropped_and_an_answer_on_another_socket_too() {
    let mut world = World::with_rules(config(&["r1"]), crate::connections::many(2));
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    let sent = world.requests("r1")[0].clone();
    let good = world.peers["r1"].answer(&sent.octets).unwrap();
    let other = world
        .connections("r1")
        .into_iter()
        .find(|one| one.id != sent.over)
        .unwrap();
    world.forge(other.id, &good);
    assert!(!world.is_ok(token));
    assert_eq!(world.dropped("r1", "late"), 1);
    world.forge(sent.over, &good);
    world.forge(sent.over, &good);
    assert!(world.is_ok(token));
    assert_eq!((world.outcomes.len(), world.dropped("r1", "late")), (1, 2));
}

#[test]
fn what_comes_for_a_socket_that_is_gone_is_nothing() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").life = Life::Silent;
    world.ask();
    let sent = world.requests("r1")[0].clone();
    let good = world.peers["r1"].answer(&sent.octets).unwrap();
    world.close(sent.over, Cause::Broken);
    world.run(secs(2));
    let before = seen(&world);
    world.forge(sent.over, &good);
    world.client.handle_open(sent.over, world.now);
    world
        .client
        .handle_closed(sent.over, Cause::Broken, world.now);
    world.client.handle_writable(sent.over);
    world.settle();
    assert_eq!(seen(&world), before);
}

#[test]
fn a_forged_answer_to_a_check_does_not_count() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(8));
    let check = world.checks("r1")[0].clone();
    assert_eq!(check.packet().id, Id(0));
    for octets in forgeries(&world, &check) {
        // Without a Message-Authenticator the answer to a check is believed (RFC 5997).
        if octets.len() > 200 && octets.len() < 5000 {
            continue;
        }
        world.forge(check.over, &octets);
    }
    assert_eq!(world.server("r1").counts.checks_answered, 0);
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
}

#[test]
fn a_stream_that_carries_something_else_is_closed_and_what_was_on_it_goes_on() {
    let mut config = config(&["r1", "r2"]);
    config.servers[0].transport = Transport::Tls;
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    let sent = world.requests("r1")[0].clone();
    // An identifier that nobody waits for, or a code that answers nothing, is no reason.
    let peer = &world.peers["r1"];
    let good = peer.sign(&sent.packet(), Code::ACCESS_ACCEPT, &AttributeList::new());
    let mut unknown = good.clone();
    unknown[1] = unknown[1].wrapping_add(1);
    world.forge(sent.over, &unknown);
    assert!(world.sockets.contains_key(&sent.over));
    let mut bad = good;
    bad[5] ^= 1;
    world.forge(sent.over, &bad);
    assert!(!world.sockets.contains_key(&sent.over));
    assert_eq!(world.server("r1").cause, Some(Cause::BadStream));
    world.run(secs(1));
    assert_eq!(world.outcomes[&token].server.as_deref(), Some("r2"));
}

#[test]
fn a_protocol_error_is_an_answer_and_says_so() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").reply = Code::PROTOCOL_ERROR;
    let token = world.ask();
    world.run(secs(1));
    assert_eq!(world.failure(token), Some(Failure::ProtocolError));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    assert!(world.server("r1").last_reply.is_some());
    world.nothing_is_held();
}
