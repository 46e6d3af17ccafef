//! Who repeats, who cancels, and who does not wait for an answer (R28-R32).

use lns_radius::config::{Config, Mode, Purpose};
use lns_radius::event::{Cause, SendError};
use lns_radius::request::Failure;
use lns_wire::radius::Code;

use crate::world::*;

fn synchronous() -> Config {
    let mut config = config(&["r1"]);
    config.mode = Mode::Synchronous;
    config
}

#[test]
fn r28_in_synchronous_mode_each_repetition_of_the_peer_is_one_datagram_and_nothing_else_is() {
    let mut world = World::new(synchronous());
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(4));
    assert_eq!(world.requests("r1").len(), 1, "we repeat nothing");
    world.repeat(token);
    world.repeat(token);
    let seen = world.requests("r1");
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter()
            .all(|again| again.octets == seen[0].octets && again.over == seen[0].over)
    );
    world.run(secs(40));
    assert_eq!(world.requests("r1").len(), 3);
    assert_eq!(
        world.failure(token),
        Some(Failure::TimedOut),
        "one last timeout"
    );
    world.nothing_is_held();
}

#[test]
fn r28_on_a_stream_a_repetition_of_the_peer_is_nothing() {
    let mut config = synchronous();
    config.servers[0].transport = lns_radius::config::Transport::Tls;
    let mut world = World::new(config);
    world.peer("r1").delay = secs(1);
    let token = world.ask();
    world.repeat(token);
    world.run(secs(2));
    assert_eq!(world.requests("r1").len(), 1);
    assert!(world.is_ok(token));
}

#[test]
fn r29_in_client_mode_a_repetition_of_the_peer_is_no_datagram_and_no_request() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = millis(500);
    let token = world.ask();
    for _ in 0..5 {
        world.repeat(token);
    }
    assert_eq!(world.requests("r1").len(), 1);
    world.run(secs(1));
    world.repeat(token);
    assert_eq!((world.requests("r1").len(), world.outcomes.len()), (1, 1));
}

#[test]
fn r30_who_cancels_is_rid_of_it_at_once_and_a_later_answer_is_dropped_and_counted() {
    let mut world = World::with_rules(config(&["r1"]), patient());
    world.peer("r1").delay = millis(500);
    let token = world.ask();
    assert_eq!(world.client.held().ids, 1);
    world.cancel(token);
    world.nothing_is_held();
    assert_eq!(world.failure(token), Some(Failure::Cancelled));
    world.run(secs(1));
    assert_eq!(world.dropped("r1", "late"), 1);
    assert_eq!(world.outcomes.len(), 1);
    // The three ends can be told apart.
    let answered = world.ask();
    world.run(secs(1));
    world.peer("r1").life = Life::Silent;
    let timed_out = world.ask();
    world.run(secs(40));
    assert!(world.is_ok(answered));
    assert_eq!(world.failure(timed_out), Some(Failure::TimedOut));
}

#[test]
fn r30_a_request_that_left_identifiers_behind_leaves_none_when_it_is_cancelled() {
    let mut config = config(&["r1"]);
    config.purpose = Purpose::Accounting;
    config.delay_time = true;
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    world.run(secs(7));
    assert!(world.client.held().ids >= 3);
    world.cancel(token);
    world.nothing_is_held();
}

#[test]
fn r31_the_same_seed_and_the_same_events_give_the_same_packets() {
    let run = || {
        let mut world = World::new(config(&["r1", "r2"]));
        world.peer("r1").life = Life::Silent;
        world.asks(5);
        world.run(secs(20));
        let octets = |name: &str| -> Vec<_> {
            let seen = world.peers[name].seen.iter();
            seen.map(|seen| (seen.at, seen.octets.clone())).collect()
        };
        (octets("r1"), octets("r2"))
    };
    assert_eq!(run(), run());
}

#[test]
fn r32_requests_without_a_peer_that_repeats_are_known_by_nothing_once_they_end() {
    let mut config = config(&["r1"]);
    config.purpose = Purpose::Accounting;
    let mut world = World::new(config);
    let tokens = world.asks(100);
    assert_eq!(world.client.held().tokens, 100);
    world.run(secs(1));
    world.nothing_is_held();
    let before = world.requests("r1").len();
    world.repeat(tokens[0]);
    assert_eq!(world.requests("r1").len(), before);
}

fn copies() -> World {
    let mut config = config(&["r1"]);
    config.purpose = Purpose::Copy;
    World::new(config)
}

#[test]
fn t1_1_a_copy_is_complete_once_it_is_sent_and_its_answer_is_read_and_dropped() {
    let mut world = copies();
    let tokens = world.asks(50);
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.as_ref().unwrap().packet().is_none())
    );
    world.run(secs(1));
    assert_eq!(world.dropped("r1", "unasked"), 50);
    assert_eq!(world.requests("r1").len(), 50);
    assert!(
        world
            .requests("r1")
            .iter()
            .all(|seen| seen.packet().code == Code::ACCOUNTING_REQUEST)
    );
    world.nothing_is_held();
}

#[test]
fn a_copy_that_could_not_be_sent_is_sent_later_or_fails() {
    let mut world = copies();
    world.send_errors = vec![SendError::Temporary];
    let token = world.ask();
    assert!(!world.is_ok(token));
    world.run(millis(50));
    assert!(world.is_ok(token));
    world.send_errors = vec![SendError::TooLarge];
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::DatagramTooLarge));
    world.close(world.connection("r1").id, Cause::Refused);
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::AllDown));
    world.run(secs(2));
    let token = world.ask();
    assert!(world.is_ok(token), "and nobody is on trial");
    assert!(!world.connection("r1").on_trial);
}

#[test]
fn copies_go_out_as_fast_as_they_come_however_few_are_answered() {
    let mut world = copies();
    world.peer("r1").life = Life::Silent;
    let tokens = world.asks(2000);
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    world.run(secs(100));
    assert_eq!(world.requests("r1").len(), 2000, "none is repeated");
    world.nothing_is_held();
}
