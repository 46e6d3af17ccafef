//! The plan's cases of loss, in virtual time (T2.1-T2.5).

use lns_radius::config::Mode;
use lns_radius::connection::ConnectionState;
use lns_radius::request::Failure;
use lns_radius::trunk::TrunkState;

use crate::world::*;

#[test]
fn t2_1_a_zombie_without_checks() {
    let mut world = World::new(config(&["r1"]));
    let first = world.ask();
    world.run(secs(1));
    assert!(world.is_ok(first));
    // Everything is lost. What was asked is repeated, at about 2 s and about 6 s.
    world.peer("r1").life = Life::Silent;
    let begun = world.now;
    let outstanding = world.ask();
    world.run(millis(6700));
    let sends: Vec<u64> = world.requests("r1")[1..]
        .iter()
        .map(|seen| seen.at.since(begun).as_secs())
        .collect();
    assert_eq!(sends.len(), 3, "{sends:?}");
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
    // What is new waits, and nothing fails yet.
    let waiting = world.ask();
    assert_eq!(world.server("r1").backlog, 1);
    world.run(secs(5));
    assert_eq!(
        (world.failure(outstanding), world.failure(waiting)),
        (None, None)
    );
    // The zombie's time is over: both fail, and after the delay it is opened anew.
    while world.states("r1") == [TrunkState::Inactive] {
        world.run(millis(100));
    }
    assert_eq!(world.states("r1"), [TrunkState::Closed]);
    assert_eq!(world.failure(outstanding), Some(Failure::AllDown));
    assert_eq!(world.failure(waiting), Some(Failure::AllDown));
    world.peer("r1").life = Life::Answers;
    world.run(millis(1100));
    assert_eq!(world.connection("r1").socket, ConnectionState::Connected);
    let last = world.ask();
    world.run(millis(10));
    assert!(world.is_ok(last));
    world.nothing_is_held();
}

#[test]
fn t2_2_checks_and_nothing_comes_back() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let outstanding = world.ask();
    while world.states("r1") != [TrunkState::Inactive] {
        world.run(millis(100));
    }
    while world.states("r1") == [TrunkState::Inactive] {
        world.run(millis(100));
    }
    assert_eq!(world.checks("r1").len(), 5, "MRC");
    assert!(world.failure(outstanding).is_some());
    let new = world.ask();
    assert_eq!(world.failure(new), Some(Failure::AllDown), "at once");
    // It lives: after the delay three checks at equal distances, then service, without a wait.
    world.peer("r1").life = Life::Answers;
    world.run(secs(6));
    let checks = world.checks("r1")[5..].to_vec();
    assert_eq!(checks.len(), 3);
    for pair in checks.windows(2) {
        let took = pair[1].at.since(pair[0].at);
        assert!((secs(2)..millis(2030)).contains(&took), "{took:?}");
    }
    assert_eq!(world.connection("r1").socket, ConnectionState::Connected);
    let before = world.requests("r1").len();
    let token = world.ask();
    assert_eq!(world.requests("r1").len(), before + 1);
    world.run(millis(10));
    assert!(world.is_ok(token));
    world.nothing_is_held();
}

#[test]
fn t2_3_checks_and_the_server_comes_back_in_time() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let outstanding = world.ask();
    while world.states("r1") != [TrunkState::Inactive] {
        world.run(millis(100));
    }
    let over = world.connection("r1").id;
    // So that only checks say that it lives.
    world.cancel(outstanding);
    let waiting = world.ask();
    assert_eq!(
        (world.checks("r1").len(), world.server("r1").backlog),
        (1, 1)
    );
    world.peer("r1").life = Life::Answers;
    while world.server("r1").counts.checks_answered < 3 {
        assert_eq!(world.states("r1"), [TrunkState::Inactive]);
        assert_eq!(world.outcomes.len(), 1);
        world.run(millis(1));
    }
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    world.run(millis(10));
    assert!(world.is_ok(waiting));
    assert_eq!(
        world.checks("r1").len(),
        4,
        "one was lost, three were answered"
    );
    assert_eq!(world.connection("r1").id, over, "nothing was opened anew");
    world.nothing_is_held();
}

#[test]
fn t2_4_synchronous_mode_sends_what_the_peer_sends() {
    let mut config = config(&["r1"]);
    config.mode = Mode::Synchronous;
    let mut world = World::with_rules(
        config,
        lns_radius::trunk::rules::Rules {
            response_window: secs(60),
            ..patient()
        },
    );
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    for _ in 0..2 {
        world.run(secs(5));
        world.repeat(token);
    }
    assert_eq!(world.requests("r1").len(), 3);
    world.peer("r1").life = Life::Answers;
    world.run(secs(5));
    assert!(!world.is_ok(token), "the lost ones stay lost");
    world.repeat(token);
    world.run(secs(1));
    assert!(world.is_ok(token));
    world.repeat(token);
    world.run(secs(60));
    let seen = world.requests("r1");
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|again| again.octets == seen[0].octets));
}

/// Half an hour of traffic of which a third is lost, in virtual time: nothing grows.
#[test]
fn t2_5_a_third_of_all_packets_is_lost_and_nothing_grows() {
    for check in [lns_radius::config::StatusCheck::None, with_status_server()] {
        let mut config = config(&["r1"]);
        config.check = check;
        let mut world = World::new(config);
        world.peer("r1").loss = 35;
        let mut most = 0;
        for second in 0..1800_u64 {
            world.asks(3);
            world.run(millis(1000));
            world.peer("r1").seen.clear();
            world.events.clear();
            let held = world.client.held();
            if second == 900 {
                most = 0;
            }
            most = most.max(held.ids);
            assert!(held.requests <= 200, "{held:?}");
        }
        assert!(most <= 200);
        world.peer("r1").loss = 0;
        world.run(secs(60));
        assert_eq!(world.outcomes.len(), 5400);
        let ok = world
            .outcomes
            .values()
            .filter(|outcome| outcome.result.is_ok())
            .count();
        assert!(ok > 5300, "{ok}");
        world.nothing_is_held();
    }
}
