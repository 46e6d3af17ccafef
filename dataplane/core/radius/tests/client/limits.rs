//! What may be used at most (R19, R20), and what one packet may be.

use lns_radius::config::Limits;
use lns_radius::event::SendError;
use lns_radius::request::{Failure, Token};
use lns_radius::trunk::TrunkState;
use lns_wire::radius::kind;

use crate::world::*;

#[test]
fn r19_the_limit_of_requests_in_flight_holds_exactly_and_what_is_more_fails_at_once() {
    let mut config = config(&["r1", "r2"]);
    config.limits.max_in_flight = 300;
    let mut world = World::new(config);
    world.peer("r1").delay = secs(1);
    for round in 1..=3 {
        let tokens = world.asks(320);
        let refused = |token: &&Token| world.failure(**token) == Some(Failure::NoCapacity);
        assert_eq!(tokens.iter().filter(refused).count(), 20);
        assert_eq!(world.client.view(world.now).in_flight, 300);
        // One that ends makes room for one.
        world.cancel(tokens[5]);
        let one = world.ask();
        let two = world.ask();
        assert_eq!(
            (world.failure(one), world.failure(two)),
            (None, Some(Failure::NoCapacity))
        );
        world.run(secs(10));
        assert_eq!(world.outcomes.len(), round * 322);
    }
    let failures = world.client.view(world.now).failures;
    let counted = failures
        .iter()
        .find(|(label, _)| *label == "no_capacity")
        .unwrap()
        .1;
    assert_eq!(counted, 63);
    world.nothing_is_held();
}

#[test]
fn r20_the_limit_of_connections_holds_and_each_server_has_its_first_before_another_has_two() {
    let mut config = config(&["r1", "r2", "r3"]);
    config.limits = Limits {
        max_connections: 4,
        max_in_flight: 4096,
    };
    let mut world = World::new(config);
    world.peer("r1").delay = secs(1);
    for _ in 0..40 {
        world.asks(100);
        assert!(world.sockets.len() <= 4);
        world.run(millis(10));
    }
    let count = |name: &str| world.connections(name).len();
    assert_eq!((count("r1"), count("r2"), count("r3")), (2, 1, 1));
    world.run(secs(20));
    assert_eq!(world.outcomes.len(), 4000);
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    world.nothing_is_held();
}

#[test]
fn ten_thousand_logins_in_a_second_at_a_server_that_takes_five_wait_in_bounds() {
    let mut config = config(&["r1"]);
    config.limits.max_in_flight = 4096;
    let mut world = World::new(config);
    world.peer("r1").delay = secs(5);
    for _ in 0..100 {
        world.asks(100);
        let view = world.client.view(world.now);
        assert!(view.in_flight <= 4096 && view.connections <= 8);
        world.run(millis(10));
    }
    world.run(secs(60));
    assert_eq!(world.outcomes.len(), 10_000);
    let count = |failure| {
        let all = world.outcomes.values();
        all.filter(|outcome| outcome.result.as_ref().err() == failure)
            .count()
    };
    assert_eq!(count(None), 4096, "all that were taken are answered");
    assert_eq!(count(Some(&Failure::NoCapacity)), 10_000 - 4096);
    world.nothing_is_held();
}

#[test]
fn who_waits_for_a_connection_all_his_time_is_told_so() {
    let rules = lns_radius::trunk::rules::Rules {
        per_connection_max: 1,
        max: 1,
        response_window: secs(90),
        ..patient()
    };
    let mut config = config(&["r1"]);
    config.timing.duration = secs(10);
    let mut world = World::with_rules(config, rules);
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(5));
    let waits = world.ask();
    world.run(millis(4900));
    assert_eq!(world.server("r1").backlog, 1);
    world.run(millis(5200));
    let outcome = &world.outcomes[&waits];
    assert_eq!(
        (world.failure(waits), outcome.sends),
        (Some(Failure::TimedOut), 0)
    );
    assert!(world.ended[&waits].since(world.ended[&Token(1)]) >= millis(4980));
    world.nothing_is_held();
}

#[test]
fn t3_2_what_fits_into_no_packet_fails_and_its_connection_lives() {
    let mut world = World::new(config(&["r1"]));
    let mut request = world.login();
    for _ in 0..17 {
        request.attributes.push(kind::CLASS, &[0; 253]).unwrap();
    }
    let token = world.ask_for(request);
    assert_eq!(world.failure(token), Some(Failure::TooLarge));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    assert!(world.requests("r1").is_empty());
    world.nothing_is_held();
}

#[test]
fn t3_3_what_the_socket_says_is_too_large_fails_and_its_connection_lives() {
    let mut world = World::new(config(&["r1"]));
    world.send_errors = vec![SendError::TooLarge];
    let (one, two) = (world.ask(), world.ask());
    world.run(secs(1));
    assert_eq!(world.failure(one), Some(Failure::DatagramTooLarge));
    assert_eq!(world.outcomes[&one].sends, 0);
    assert!(world.is_ok(two));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    world.nothing_is_held();
}

#[test]
fn t3_3_what_is_too_large_for_the_way_to_one_server_goes_to_the_next() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.send_errors = vec![SendError::TooLarge];
    let one = world.ask();
    world.run(secs(1));
    assert!(world.is_ok(one));
    assert_eq!(world.outcomes[&one].server.as_deref(), Some("r2"));
    world.send_errors = vec![SendError::TooLarge; 2];
    let both = world.ask();
    world.run(secs(1));
    assert_eq!(world.failure(both), Some(Failure::DatagramTooLarge));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    world.nothing_is_held();
}

#[test]
fn t3_4_a_socket_that_is_full_for_a_while_costs_nothing_but_the_while() {
    let mut world = World::new(config(&["r1"]));
    world.send_errors = vec![SendError::Temporary; 5];
    let tokens = world.asks(20);
    assert!(world.requests("r1").is_empty(), "it is not knocked at");
    world.run(millis(200));
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    assert!(tokens.iter().all(|token| world.outcomes[token].sends == 1));
    let server = world.server("r1");
    assert_eq!((server.counts.opened, server.counts.send_errors), (1, 5));
    world.nothing_is_held();
}

#[test]
fn t3_4_it_is_tried_at_once_when_the_socket_says_so() {
    let mut world = World::new(config(&["r1"]));
    world.send_errors = vec![SendError::Temporary];
    world.ask();
    let over = world.connection("r1").id;
    world.client.handle_writable(over);
    world.settle();
    assert_eq!(world.requests("r1").len(), 1);
}

#[test]
fn t3_5_to_t3_7_an_error_that_stays_fails_the_connection_and_requests_go_on() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.send_errors = vec![SendError::Broken];
    let token = world.ask();
    assert_eq!(world.states("r1"), [TrunkState::Closed]);
    world.run(secs(1));
    assert!(world.is_ok(token));
    assert_eq!(world.requests("r2").len(), 1);
    world.run(secs(1));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}
