//! Many connections, each judged alone (R01-R09).

use std::collections::BTreeSet;

use lns_radius::config::{Mode, Purpose, Transport};
use lns_radius::connection::ConnectionState;
use lns_radius::event::{Cause, ConnectionId, Event, SendError};
use lns_radius::request::Failure;
use lns_radius::trunk::TrunkState;
use lns_radius::trunk::rules::Rules;

use crate::world::*;

/// As many connections from the start, whatever there is to do.
pub fn many(start: u16) -> Rules {
    Rules {
        start,
        min: start,
        connecting: 8,
        ..Rules::DEFAULT
    }
}

/// Two connections of few requests each, the second of which soon drains when there is little to do.
pub fn draining() -> Rules {
    Rules {
        per_connection_max: 3,
        per_connection_target: 10,
        close_delay: millis(500),
        start: 2,
        connecting: 2,
        ..Rules::DEFAULT
    }
}

fn sockets(world: &World, name: &str) -> Vec<ConnectionId> {
    let connections = world.connections(name);
    connections.iter().map(|connection| connection.id).collect()
}

#[test]
fn a_request_is_answered_and_nothing_is_held_afterwards() {
    let mut world = World::new(config(&["r1", "r2"]));
    let token = world.ask();
    world.run(secs(1));
    let outcome = &world.outcomes[&token];
    assert!(world.is_ok(token));
    assert_eq!((outcome.sends, outcome.rtt), (1, Some(millis(5))));
    assert_eq!(outcome.server.as_deref(), Some("r1"));
    assert!(world.requests("r2").is_empty());
    world.nothing_is_held();
}

#[test]
fn r01_the_next_request_goes_to_the_connection_with_the_newest_answer_whatever_it_has() {
    let mut world = World::with_rules(config(&["r1"]), many(2));
    world.peer("r1").delay = millis(50);
    // The first one takes 255, the second one the rest; then both have answered at the same time.
    world.asks(300);
    world.run(millis(60));
    let (first, second) = {
        let seen = world.requests("r1");
        (seen[0].over, seen[299].over)
    };
    assert_ne!(first, second);
    // From now on, whichever was answered last gets the next one, however much it has already.
    world.ask();
    world.run(millis(60));
    let liked = world.requests("r1")[300].over;
    world.peer("r1").delay = millis(1000);
    world.asks(200);
    let seen = world.requests("r1");
    assert!(seen[301..].iter().all(|seen| seen.over == liked));
    let connections = world.connections("r1");
    let in_flight = |over| {
        let one = connections.iter().find(|one| one.id == over);
        one.unwrap().in_flight
    };
    assert_eq!(in_flight(liked), 200);
    assert_eq!(in_flight(if liked == first { second } else { first }), 0);
}

#[test]
fn r02_the_faster_connection_attracts_more_and_one_that_stops_answering_gets_nothing() {
    let mut world = World::with_rules(config(&["r1"]), many(2));
    world.peer("r1").delay = millis(50);
    world.asks(300);
    world.run(millis(60));
    world.ask();
    world.run(millis(60));
    let liked = world.requests("r1")[300].over;
    // It falls silent. Its first unanswered request is repeated after about 2 s; from then on the other
    // one has everything.
    world.peer("r1").lost.insert(liked);
    world.ask();
    world.run(millis(2300));
    let before = world.requests("r1").len();
    for _ in 0..50 {
        world.ask();
        world.run(millis(7));
    }
    let seen = world.requests("r1");
    assert!(seen[before..].iter().all(|seen| seen.over != liked));
    assert_eq!(seen.len(), before + 50);
    world.run(millis(60));
    assert_eq!(world.outcomes.len(), 351, "and all of that is answered");
    // Its unanswered request finds its answer too.
    world.peer("r1").lost.clear();
    world.run(secs(5));
    assert_eq!(world.outcomes.len(), 352);
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
}

#[test]
fn r04_a_port_that_is_unreachable_fails_its_connection_and_no_other() {
    let mut world = World::with_rules(config(&["r1"]), many(3));
    let all = sockets(&world, "r1");
    let waiting = world.ask();
    let hit = world.requests("r1")[0].over;
    world.close(hit, Cause::Refused);
    assert_eq!(world.requests("r1").len(), 2, "the request goes on at once");
    assert_ne!(world.requests("r1")[1].over, hit);
    let left: BTreeSet<_> = sockets(&world, "r1").into_iter().collect();
    assert!(all.iter().all(|one| left.contains(one)));
    for connection in world.connections("r1") {
        let lives = connection.state == TrunkState::Active;
        assert_eq!(lives, connection.id != hit);
    }
    world.run(secs(2));
    assert_eq!(world.states("r1"), [TrunkState::Active; 3], "opened again");
    assert!(world.is_ok(waiting));
    world.nothing_is_held();
}

#[test]
fn r05_without_status_checks_a_failed_connection_is_opened_again_after_the_delay() {
    let mut world = World::new(config(&["r1"]));
    let first = sockets(&world, "r1")[0];
    world.close(first, Cause::Refused);
    assert_eq!(world.states("r1"), [TrunkState::Closed]);
    world.run(millis(990));
    assert_eq!(world.states("r1"), [TrunkState::Closed]);
    world.run(millis(20));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    assert_ne!(sockets(&world, "r1")[0], first, "a socket of its own");
    let token = world.ask();
    world.run(secs(1));
    assert!(world.is_ok(token));
}

#[test]
fn r06_with_status_checks_a_reopened_connection_serves_nobody_before_three_answers() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").delay = millis(100);
    world.close(sockets(&world, "r1")[0], Cause::Refused);
    world.run(millis(1010));
    for answered in 0..3 {
        assert_eq!(world.checks("r1").len(), answered + 1);
        assert_eq!(world.connection("r1").socket, ConnectionState::Connecting);
        let token = world.ask();
        assert_eq!(world.failure(token), Some(Failure::AllDown));
        world.run(millis(if answered < 2 { 2110 } else { 110 }));
    }
    assert_eq!(world.connection("r1").socket, ConnectionState::Connected);
    assert!(world.requests("r1").is_empty());
    let token = world.ask();
    world.run(millis(110));
    assert!(world.is_ok(token));
    assert!(!world.connection("r1").on_trial, "it has shown enough");
}

#[test]
fn r07_packets_of_one_source_port_are_lost_and_all_others_go_on() {
    for count in [1, 2, 5] {
        let mut config = config(&["r1"]);
        config.timing.count = count;
        one_source_port_is_lost(World::with_rules(config, many(4)));
    }
}

fn one_source_port_is_lost(mut world: World) {
    world.peer("r1").delay = millis(50);
    world.asks(1000);
    world.run(secs(1));
    let lost = world.requests("r1")[0].over;
    world.peer("r1").lost.insert(lost);
    let mut zombie = false;
    for _ in 0..400 {
        world.asks(3);
        world.run(millis(100));
        let others = world.connections("r1");
        let others = others.iter().filter(|one| one.id != lost);
        assert!(others.clone().count() >= 3);
        for other in others {
            assert!(
                matches!(other.state, TrunkState::Active | TrunkState::Full),
                "{:?}",
                other.state
            );
        }
        let states = world.connections("r1");
        zombie |= states
            .iter()
            .any(|one| one.id == lost && one.state == TrunkState::Inactive);
    }
    assert!(zombie, "the one was judged");
    world.run(secs(40));
    assert_eq!(world.outcomes.len(), 2200);
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    world.nothing_is_held();
}

#[test]
fn r08_states_have_the_words_for_people_and_every_transition_is_told() {
    let words = TrunkState::ALL.iter().map(|state| state.word());
    let words: BTreeSet<_> = words.collect();
    assert!(
        ["opening", "active", "full", "zombie"]
            .iter()
            .all(|word| words.contains(word))
    );
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = millis(50);
    world.asks(300);
    world.run(secs(1));
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(60));
    // What is told fits together without a gap: each transition begins where the last one ended.
    let mut sockets = std::collections::BTreeMap::new();
    let mut trunks = std::collections::BTreeMap::new();
    let mut requests = std::collections::BTreeMap::new();
    let mut told = BTreeSet::new();
    for event in &world.events {
        match event {
            Event::Connection {
                connection,
                from,
                to,
                ..
            } => {
                told.insert(to.label());
                let last = sockets.insert(connection.number() & 0xffff, *to);
                assert_eq!(*from, last.unwrap_or(ConnectionState::Halted));
            }
            Event::Trunk {
                connection,
                from,
                to,
                ..
            } => {
                told.insert(to.label());
                let last = trunks.insert(connection.number() & 0xffff, *to);
                assert_eq!(*from, last.unwrap_or(TrunkState::Halted));
            }
            Event::Request { token, from, to } => {
                told.insert(to.label());
                let last = requests.insert(*token, *to);
                assert_eq!(*from, last.unwrap_or(lns_radius::trunk::RequestState::Init));
            }
            Event::Aggregate { to, .. } => {
                told.insert(to.label());
            }
            Event::Server { to, .. } => {
                told.insert(to.label());
            }
            Event::Dropped { .. } => {}
        }
    }
    let expected = [
        "INIT",
        "CONNECTING",
        "CONNECTED",
        "FAILED",
        "CLOSED",
        "ACTIVE",
        "FULL",
        "INACTIVE",
        "UNASSIGNED",
        "BACKLOG",
        "PENDING",
        "SENT",
        "COMPLETE",
        "up",
        "zombie",
        "down",
    ];
    for state in expected {
        assert!(told.contains(state), "{state} in {told:?}");
    }
}

#[test]
fn r09_the_255th_request_makes_a_connection_full_and_the_next_goes_elsewhere_or_waits() {
    let mut config = config(&["r1"]);
    config.limits.max_connections = 2;
    let mut world = World::new(config);
    world.peer("r1").delay = millis(500);
    world.asks(254);
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    world.ask();
    assert_eq!(world.states("r1"), [TrunkState::Full]);
    let ids: BTreeSet<u8> = world
        .requests("r1")
        .iter()
        .map(|seen| seen.packet().id.0)
        .collect();
    assert_eq!(ids, (1..=255).collect());
    world.ask();
    assert_eq!(world.states("r1"), [TrunkState::Full, TrunkState::Active]);
    world.asks(300);
    assert_eq!(world.states("r1"), [TrunkState::Full, TrunkState::Full]);
    assert_eq!(world.server("r1").backlog, 46);
    world.run(secs(2));
    assert_eq!(world.outcomes.len(), 556);
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    world.nothing_is_held();
}

/// In a stream an answer that fits nothing ends the connection, so that nobody gets the identifier of a
/// request whose answer may still come.
#[test]
fn late_answers_to_cancelled_and_timed_out_requests_do_not_end_a_stream() {
    for cancelled in [true, false] {
        let mut config = config(&["r1"]);
        config.servers[0].transport = Transport::Tls;
        config.limits.max_connections = 2;
        config.timing.duration = secs(if cancelled { 30 } else { 4 });
        let mut world = World::with_rules(config, patient());
        world.ask();
        world.run(secs(1));
        world.peer("r1").delay = secs(5);
        let given_up = world.asks(100);
        if cancelled {
            for token in &given_up {
                world.cancel(*token);
            }
        }
        world.run(millis(4500));
        // They come back for what is asked now, and get others' identifiers.
        world.peer("r1").delay = millis(3000);
        let tokens = world.asks(400);
        world.run(secs(4));
        assert!(tokens.iter().all(|token| world.is_ok(*token)));
        let expected = if cancelled {
            Failure::Cancelled
        } else {
            Failure::TimedOut
        };
        assert!(
            given_up
                .iter()
                .all(|token| world.failure(*token) == Some(expected))
        );
        assert_eq!(world.server("r1").counts.failed, 0);
        assert_eq!(world.dropped("r1", "late"), 100);
        world.run(secs(60));
        world.nothing_is_held();
    }
}

#[test]
fn answers_to_earlier_copies_do_not_end_a_stream() {
    let mut config = config(&["r1"]);
    config.purpose = Purpose::Copy;
    config.servers[0].transport = Transport::Tls;
    config.limits.max_connections = 1;
    let mut world = World::new(config);
    world.peer("r1").delay = secs(1);
    world.asks(255);
    world.run(millis(990));
    // It has the first one's identifier, and waits for the socket when that one's answer comes.
    world.send_errors = vec![SendError::Temporary];
    let last = world.ask();
    world.run(secs(2));
    assert!(world.is_ok(last));
    assert_eq!(world.dropped("r1", "bad_authenticator"), 1);
    assert_eq!(world.server("r1").counts.failed, 0);
}

#[test]
fn a_sibling_that_drains_takes_over_when_the_last_one_that_serves_fails() {
    let rules = draining();
    for silent in [false, true] {
        let mut config = config(&["r1"]);
        // So that nothing is sent again unless the test does it.
        config.mode = Mode::Synchronous;
        let mut world = World::with_rules(config, rules);
        world.peer("r1").delay = secs(20);
        let tokens = world.asks(4);
        world.run(secs(1));
        let states = world.connections("r1");
        let of = |state| states.iter().find(|one| one.state == state);
        let draining = of(TrunkState::Draining).unwrap().id;
        let serving = of(TrunkState::Active).unwrap().id;
        world.peer("r1").delay = millis(10);
        if silent {
            world.peer("r1").lost.insert(serving);
            let seen = world.requests("r1");
            let stuck = (0..4).filter(|at| seen[*at].over == serving);
            let stuck: Vec<_> = stuck.map(|at| tokens[at]).collect();
            for _ in 0..3 {
                world.run(secs(2));
                for token in &stuck {
                    world.repeat(*token);
                }
            }
            for token in &tokens {
                world.repeat(*token);
            }
        } else {
            world.close(serving, Cause::Broken);
            for token in &tokens {
                world.repeat(*token);
            }
        }
        world.run(secs(1));
        assert!(tokens.iter().all(|token| world.is_ok(*token)), "{silent}");
        assert_eq!(world.requests("r1").last().unwrap().over, draining);
        assert_eq!(world.server("r1").counts.opened, 2);
    }
}
