//! Two secrets, and servers that have the wrong one or send no Message-Authenticator.

use lns_crypto::Secret;
use lns_radius::config::{Config, Key, Purpose, Require};
use lns_radius::request::Failure;
use lns_radius::trunk::TrunkState;
use lns_wire::radius::{AttributeList, Code};

use crate::world::*;

fn rotating() -> Config {
    let mut config = config(&["r1"]);
    config.servers[0].secrets.current = Secret::new(*b"new");
    config.servers[0].secrets.previous = Some(Secret::new(*b"old"));
    config
}

#[test]
fn a_server_that_has_the_new_secret_is_asked_with_it() {
    let mut world = World::new(rotating());
    let token = world.ask();
    world.run(secs(1));
    assert_eq!(world.outcomes[&token].sends, 1);
    assert_eq!(world.server("r1").verified, Some(Key::Current));
}

#[test]
fn a_server_that_still_has_the_old_secret_answers_the_second_packet_and_from_then_on_the_first() {
    for purpose in [Purpose::Authentication, Purpose::Accounting] {
        let mut config = rotating();
        config.purpose = purpose;
        let mut world = World::new(config);
        world.peer("r1").secret = Secret::new(*b"old");
        let first = world.ask();
        world.run(secs(3));
        assert_eq!(world.outcomes[&first].sends, 2);
        assert_eq!(world.server("r1").verified, Some(Key::Previous));
        let (one, two) = (
            world.requests("r1")[0].clone(),
            world.requests("r1")[1].clone(),
        );
        assert_ne!(one.packet().id, two.packet().id, "its content is another");
        assert_ne!(one.packet().authenticator, two.packet().authenticator);
        let second = world.ask();
        world.run(secs(1));
        assert_eq!(world.outcomes[&second].sends, 1);
        // It gets the new one in the middle of everything.
        world.peer("r1").secret = Secret::new(*b"new");
        let third = world.ask();
        world.run(secs(3));
        assert_eq!(world.outcomes[&third].sends, 2);
        assert_eq!(world.server("r1").verified, Some(Key::Current));
        world.run(secs(60));
        world.nothing_is_held();
    }
}

#[test]
fn a_packet_that_is_merely_lost_is_repeated_with_the_same_secret() {
    let mut world = World::new(rotating());
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.peer("r1").life = Life::Answers;
    world.run(secs(1));
    world.ask();
    world.run(secs(3));
    assert!(world.is_ok(token));
    let seen = world.requests("r1");
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].octets, seen[2].octets);
}

#[test]
fn a_secret_that_changes_drops_nothing_that_is_under_way() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = millis(500);
    let tokens = world.asks(10);
    let mut config = world.config.clone();
    config.servers[0].secrets.current = Secret::new(*b"another");
    world.configure(config);
    world.run(secs(1));
    assert!(
        tokens.iter().all(|token| world.is_ok(*token)),
        "signed with the old one, answered with it"
    );
    world.peer("r1").secret = Secret::new(*b"another");
    let token = world.ask();
    world.run(secs(1));
    assert!(world.is_ok(token));
    assert_eq!(world.server("r1").counts.opened, 1);
}

#[test]
fn an_answer_is_believed_only_with_the_secret_that_its_request_was_signed_with() {
    let mut world = World::new(rotating());
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    let sent = world.requests("r1")[0].clone();
    world.peer("r1").secret = Secret::new(*b"old");
    let wrong = world.peers["r1"].sign(&sent.packet(), Code::ACCESS_ACCEPT, &AttributeList::new());
    world.forge(sent.over, &wrong);
    assert!(!world.is_ok(token));
    assert_eq!(world.dropped("r1", "bad_authenticator"), 1);
}

/// A server that answers everything, with a secret of its own.
fn answers_wrongly(world: &mut World) {
    let mut known = 0;
    for _ in 0..400 {
        world.run(millis(100));
        let seen = world.peers["r1"].seen.clone();
        for sent in &seen[known..] {
            let wrong =
                world.peers["r1"].sign(&sent.packet(), Code::ACCESS_ACCEPT, &AttributeList::new());
            world.forge(sent.over, &wrong);
        }
        known = seen.len();
    }
}

#[test]
fn a_wrong_secret_is_what_a_request_fails_with_and_those_after_it_too() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").life = Life::Silent;
    world.peer("r1").secret = Secret::new(*b"wrong");
    let token = world.ask();
    answers_wrongly(&mut world);
    assert_eq!(world.failure(token), Some(Failure::WrongSecret));
    world.close(world.connection("r1").id, lns_radius::event::Cause::Broken);
    let token = world.ask();
    assert_eq!(
        world.failure(token),
        Some(Failure::WrongSecret),
        "and not that all are down"
    );
    assert_eq!(world.server("r1").last_reply, None);
}

#[test]
fn a_missing_message_authenticator_is_what_a_request_fails_with_and_those_after_it_too() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").message_authenticator = false;
    let token = world.ask();
    world.run(secs(40));
    assert_eq!(world.failure(token), Some(Failure::NoMessageAuthenticator));
    assert!(world.dropped("r1", "missing_message_authenticator") >= 2);
    world.close(world.connection("r1").id, lns_radius::event::Cause::Broken);
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::NoMessageAuthenticator));
}

#[test]
fn by_auto_and_never_a_server_without_one_is_believed_until_it_has_shown_one() {
    for (require, believed) in [(Require::Auto, false), (Require::Never, true)] {
        let mut config = config(&["r1"]);
        config.servers[0].message_authenticator = require;
        let mut world = World::new(config);
        world.peer("r1").message_authenticator = false;
        let first = world.ask();
        world.run(secs(1));
        assert!(world.is_ok(first));
        world.peer("r1").message_authenticator = true;
        world.ask();
        world.run(secs(1));
        assert_eq!(world.server("r1").requires_message_authenticator, !believed);
        world.peer("r1").message_authenticator = false;
        let last = world.ask();
        world.run(secs(1));
        assert_eq!(world.is_ok(last), believed);
        assert_eq!(world.states("r1"), [TrunkState::Active]);
    }
}
