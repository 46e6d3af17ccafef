//! Connections that are not answered (R10-R12), and what becomes of what is on them.

use lns_radius::config::{Mode, Timing};
use lns_radius::event::Cause;
use lns_radius::request::{Failure, Token};
use lns_radius::trunk::TrunkState;
use lns_radius::trunk::rules::Rules;

use crate::connections::many;
use crate::world::*;

#[test]
fn r10_a_request_that_ends_by_count_or_by_time_makes_its_connection_a_zombie() {
    let by_count = Timing {
        count: 1,
        duration: secs(3),
        ..Timing::ACCESS
    };
    let by_time = Timing {
        count: 0,
        duration: secs(3),
        ..Timing::ACCESS
    };
    let capped = Timing {
        initial: secs(1),
        longest: secs(1),
        count: 3,
        duration: secs(60),
    };
    for timing in [by_count, by_time, capped] {
        let mut config = config(&["r1"]);
        config.timing = timing;
        let mut world = World::new(config);
        world.peer("r1").life = Life::Silent;
        let token = world.ask();
        world.run(millis(2900 - 300));
        assert_eq!(world.states("r1"), [TrunkState::Active], "{timing:?}");
        world.run(millis(800));
        assert_eq!(world.failure(token), Some(Failure::TimedOut), "{timing:?}");
        assert_eq!(world.states("r1"), [TrunkState::Inactive], "{timing:?}");
    }
}

#[test]
fn r10_an_answer_that_is_newer_than_the_last_send_says_that_only_this_one_was_lost() {
    let mut config = config(&["r1"]);
    config.timing = Timing {
        count: 1,
        duration: secs(3),
        ..Timing::ACCESS
    };
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.peer("r1").life = Life::Answers;
    world.run(secs(2));
    let other = world.ask();
    world.run(secs(2));
    assert_eq!(world.failure(token), Some(Failure::TimedOut));
    assert!(world.is_ok(other));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}

#[test]
fn r11_the_first_check_leaves_as_soon_as_a_connection_is_a_zombie() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    world.ask();
    while world.states("r1") != [TrunkState::Inactive] {
        assert!(world.checks("r1").is_empty());
        world.run(millis(10));
    }
    let checks = world.checks("r1");
    assert_eq!(checks.len(), 1);
    assert!(world.now.since(checks[0].at) <= millis(10));
}

#[test]
fn r12_a_zombie_gets_nothing_new_and_one_answer_to_an_old_request_brings_it_back() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").life = Life::Silent;
    let old = world.ask();
    world.run(secs(8));
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
    let sent = world.requests("r1");
    let new = world.ask();
    assert_eq!(world.requests("r1").len(), sent.len(), "it waits");
    assert_eq!(world.server("r1").backlog, 1);
    let answer = world.peers["r1"].answer(&sent[0].octets).unwrap();
    world.peer("r1").life = Life::Answers;
    world.forge(sent[0].over, &answer);
    assert!(world.is_ok(old));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    world.run(secs(1));
    assert!(world.is_ok(new));
    assert_eq!(
        world.server("r1").counts.opened,
        1,
        "nothing was opened anew"
    );
    world.nothing_is_held();
}

#[test]
fn one_lost_request_on_an_idle_link_is_no_zombie() {
    let mut world = World::new(config(&["r1"]));
    world.run(secs(100));
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(millis(1500));
    world.peer("r1").life = Life::Answers;
    while world.failure(token).is_none() && !world.is_ok(token) {
        assert_eq!(world.states("r1"), [TrunkState::Active]);
        world.run(millis(50));
    }
    assert_eq!(world.outcomes[&token].sends, 2);
}

#[test]
fn what_was_sent_on_a_zombie_goes_to_a_sibling_and_its_old_identifier_rests() {
    let mut world = World::with_rules(config(&["r1"]), many(2));
    world.ask();
    world.run(millis(100));
    let first = world.requests("r1")[0].over;
    world.peer("r1").lost.insert(first);
    let token = world.ask();
    world.run(secs(8));
    assert!(world.is_ok(token), "over the other one");
    let seen = world.requests("r1");
    assert_ne!(seen.last().unwrap().over, first);
    let zombie = world
        .connections("r1")
        .into_iter()
        .find(|one| one.id == first)
        .unwrap();
    assert_eq!((zombie.state, zombie.free_ids), (TrunkState::Inactive, 254));
    world.run(secs(60));
    world.nothing_is_held();
}

#[test]
fn a_dead_server_costs_a_probe_that_comes_ever_more_seldom() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    let mut world = World::new(config);
    world.peer("r1").life = Life::Refuses;
    world.ask();
    world.run(secs(600));
    let probes = world.peers["r1"].seen.len();
    // 1, 2, 4, 8, 16, 30, 30, ... s
    assert!((18..=26).contains(&probes), "{probes}");
    world.peer("r1").life = Life::Silent;
    let before = probes;
    world.run(secs(600));
    let probes = world.peers["r1"].seen.len() - before;
    assert!(probes < 80, "{probes}: five checks, then a wait");
}

#[test]
fn a_connection_that_was_suspected_for_one_request_gets_others_again_even_if_that_one_is_cancelled()
{
    let mut world = World::new(config(&["r1", "r2"]));
    world.peer("r1").life = Life::Silent;
    let lost = world.ask();
    world.run(millis(2500));
    world.peer("r1").life = Life::Answers;
    world.cancel(lost);
    let elsewhere = world.ask();
    world.run(millis(100));
    assert_eq!(world.outcomes[&elsewhere].server.as_deref(), Some("r2"));
    world.run(secs(5));
    let back = world.ask();
    world.run(millis(100));
    assert_eq!(world.outcomes[&back].server.as_deref(), Some("r1"));
}

#[test]
fn who_ends_by_count_on_one_connection_has_all_its_sends_on_the_next() {
    let mut config = config(&["r1"]);
    config.timing = Timing {
        count: 2,
        ..Timing::ACCESS
    };
    let mut world = World::with_rules(config, many(2));
    world.ask();
    world.run(millis(100));
    let first = world.requests("r1")[0].over;
    world.peer("r1").lost.insert(first);
    world.peer("r1").delay = millis(2500);
    let token = world.ask();
    world.run(secs(12));
    assert!(world.is_ok(token), "{:?}", world.outcomes[&token]);
    world.run(secs(60));
    world.nothing_is_held();
}

#[test]
fn who_moves_to_a_sibling_is_repeated_there_as_if_it_were_new() {
    for count in [2, 5] {
        let mut config = config(&["r1"]);
        config.timing.count = count;
        let mut world = World::with_rules(config, many(2));
        world.ask();
        world.run(millis(100));
        let first = world.requests("r1")[0].over;
        world.peer("r1").life = Life::Silent;
        world.ask();
        world.run(secs(11));
        let seen = world.requests("r1");
        let there: Vec<_> = seen.iter().filter(|seen| seen.over != first).collect();
        let took = there[1].at.since(there[0].at);
        assert!(
            (millis(1800)..=millis(2200)).contains(&took),
            "{count}: {took:?}"
        );
    }
}

#[test]
fn what_was_sent_on_a_zombie_waits_for_a_sibling_that_is_full() {
    let rules = Rules {
        per_connection_max: 2,
        max: 2,
        ..many(2)
    };
    let mut world = World::with_rules(config(&["r1"]), rules);
    world.ask();
    world.run(millis(100));
    let first = world.requests("r1")[0].over;
    world.peer("r1").lost.insert(first);
    world.peer("r1").delay = millis(900);
    let asked = world.now;
    let stuck = world.asks(2);
    // The other one has as many as it can take all the time, and more wait.
    for _ in 0..100 {
        world.ask();
        if world.server("r1").backlog > 2 {
            world.cancel(Token(world.next_token));
        }
        world.run(millis(100));
    }
    for token in stuck {
        assert!(world.is_ok(token));
        let took = world.ended[&token].since(asked);
        assert!(took < millis(8500), "{took:?}");
    }
    world.run(secs(100));
    world.nothing_is_held();
}

#[test]
fn nothing_is_suspected_before_an_answer_could_be_missed() {
    let mut config = config(&["r1", "r2"]);
    config.mode = Mode::Synchronous;
    let mut world = World::new(config);
    world.close(world.connection("r1").id, Cause::Refused);
    world.run(millis(1100));
    assert!(world.connection("r1").on_trial);
    world.peer("r1").life = Life::Silent;
    // Its peer is impatient; that says nothing of the server.
    let token = world.ask();
    assert_eq!(world.requests("r1").len(), 1);
    for _ in 0..17 {
        world.run(millis(100));
        world.repeat(token);
        assert_eq!(world.states("r1")[0], TrunkState::Full);
    }
    world.run(millis(200));
    world.repeat(token);
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
}

#[test]
fn a_request_that_ends_just_after_it_was_sent_says_nothing_of_its_connection() {
    let rules = Rules {
        per_connection_max: 1,
        max: 1,
        ..patient()
    };
    let mut config = config(&["r1", "r2"]);
    config.timing.duration = secs(10);
    let mut world = World::with_rules(config, rules);
    world.peer("r1").delay = millis(9500);
    let first = world.ask();
    let request = lns_radius::request::Request {
        server: Some("r1".into()),
        ..world.login()
    };
    let second = world.ask_for(request);
    world.run(millis(10_100));
    assert!(world.is_ok(first));
    assert_eq!(world.failure(second), Some(Failure::TimedOut));
    assert_eq!(world.outcomes[&second].sends, 1, "at 9.5 s");
    let before = world.requests("r1").len();
    world.ask();
    assert_eq!(world.requests("r1").len(), before + 1);
}

#[test]
fn a_request_that_lasts_less_than_one_wait_makes_a_zombie_too() {
    let mut config = config(&["r1"]);
    config.timing.duration = secs(1);
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(millis(1100));
    assert_eq!(world.failure(token), Some(Failure::TimedOut));
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
}

/// A request on a zombie that is not answered does not end the checks.
#[test]
fn a_zombie_that_is_being_checked_is_not_given_up_for_another_request() {
    let mut config = config(&["r1"]);
    config.check = with_status_server();
    config.timing = Timing {
        longest: secs(2),
        count: 0,
        duration: secs(60),
        ..Timing::ACCESS
    };
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    world.ask();
    while world.states("r1") != [TrunkState::Inactive] {
        world.run(millis(10));
    }
    world
        .peer("r1")
        .deaf_to
        .insert(lns_wire::radius::Code::ACCESS_REQUEST.0);
    world.peer("r1").life = Life::Answers;
    while world.server("r1").counts.checks_answered == 0 {
        world.run(millis(10));
    }
    world.peer("r1").life = Life::Silent;
    world.run(secs(12));
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
    world.peer("r1").deaf_to.clear();
    world.peer("r1").life = Life::Answers;
    world.run(secs(12));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    assert_eq!(world.server("r1").counts.opened, 1);
}
