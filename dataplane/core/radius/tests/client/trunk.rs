//! FreeRADIUS's cases for its trunks, for ours.

use lns_radius::config::Transport;
use lns_radius::connection::ConnectionState;
use lns_radius::event::{Action, Cause, ConnectionId, Event, SendError};
use lns_radius::request::{Failure, Token};
use lns_radius::trunk::rules::Rules;
use lns_radius::trunk::{AggregateState, RequestState, TrunkState};

use crate::connections::{draining, many};
use crate::world::*;

/// The states that a request has been in, in their order.
fn life(world: &World, token: Token) -> Vec<RequestState> {
    let mut states = vec![RequestState::Init];
    for event in &world.events {
        if let Event::Request { token: of, to, .. } = event
            && *of == token
        {
            states.push(*to);
        }
    }
    states
}

fn aggregate(world: &World) -> AggregateState {
    world.server("r1").aggregate
}

#[test]
fn alloc_and_free() {
    let mut world = World::with_rules(config(&["r1"]), many(4));
    assert_eq!(
        (world.sockets.len(), world.states("r1")),
        (4, vec![TrunkState::Active; 4])
    );
    let mut config = world.config.clone();
    config.servers.clear();
    world.configure(config);
    assert_eq!(world.sockets.len(), 0);
    assert_eq!(world.client.view(world.now).servers.len(), 0);
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn alloc_reconnect_free() {
    let mut world = World::new(config(&["r1"]));
    for round in 0..5 {
        world.close(world.connection("r1").id, Cause::Broken);
        assert_eq!(aggregate(&world), AggregateState::Failed);
        world.run(secs(40));
        assert_eq!(
            (world.sockets.len(), aggregate(&world)),
            (1, AggregateState::Active),
            "{round}"
        );
    }
    assert_eq!(world.server("r1").counts.opened, 6);
}

#[test]
fn a_socket_that_does_not_open_in_time_is_given_up_and_tried_again() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").opens = false;
    world.close(world.connection("r1").id, Cause::Broken);
    world.run(millis(1100));
    assert_eq!(
        (world.states("r1"), aggregate(&world)),
        (vec![TrunkState::Connecting], AggregateState::Pending)
    );
    world.run(secs(3));
    let server = world.server("r1");
    assert_eq!(
        (server.counts.timed_out, server.cause),
        (1, Some(Cause::ConnectTimeout))
    );
    assert_eq!(world.sockets.len(), 0);
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Connection { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    assert!(told.windows(3).any(|states| states
        == [
            ConnectionState::Timeout,
            ConnectionState::Failed,
            ConnectionState::Closed
        ]));
    // The second delay is twice the first.
    world.run(millis(1900));
    assert_eq!(world.states("r1"), [TrunkState::Closed]);
    world.peer("r1").opens = true;
    world.run(millis(200));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}

#[test]
fn enqueue_basic() {
    let mut world = World::new(config(&["r1"]));
    let token = world.ask();
    world.run(secs(1));
    let expected = [
        RequestState::Init,
        RequestState::Unassigned,
        RequestState::Pending,
        RequestState::Sent,
        RequestState::Complete,
    ];
    assert_eq!(life(&world, token), expected);
}

/// A client whose only connection is still being opened.
fn opening() -> (World, ConnectionId) {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").opens = false;
    let mut config = world.config.clone();
    config.servers[0].address = std::net::SocketAddr::from(([192, 0, 2, 99], 1812));
    world.configure(config);
    let over = world.connection("r1").id;
    assert_eq!(world.states("r1"), [TrunkState::Connecting]);
    (world, over)
}

#[test]
fn what_comes_before_the_first_connection_waits_for_it() {
    let (mut world, over) = opening();
    let tokens = world.asks(3);
    assert_eq!(world.server("r1").backlog, 3);
    world.client.handle_open(over, world.now);
    world.run(secs(1));
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    let states = life(&world, tokens[0]);
    assert_eq!(
        states[1..4],
        [
            RequestState::Unassigned,
            RequestState::Backlog,
            RequestState::Pending
        ]
    );
    let order: Vec<_> = world
        .requests("r1")
        .iter()
        .map(|seen| seen.packet().id.0)
        .collect();
    assert!(order.is_sorted(), "first come, first served");
}

#[test]
fn cancelled_in_backlog() {
    let (mut world, over) = opening();
    let token = world.ask();
    world.cancel(token);
    assert_eq!(world.failure(token), Some(Failure::Cancelled));
    assert_eq!(
        life(&world, token)[2..],
        [
            RequestState::Backlog,
            RequestState::Cancel,
            RequestState::CancelComplete
        ]
    );
    world.client.handle_open(over, world.now);
    world.run(secs(1));
    assert!(world.requests("r1").is_empty());
    world.nothing_is_held();
}

#[test]
fn cancelled_while_pending() {
    let mut world = World::new(config(&["r1"]));
    world.send_errors = vec![SendError::Temporary];
    let (one, two) = (world.ask(), world.ask());
    assert_eq!(life(&world, two).last(), Some(&RequestState::Pending));
    world.cancel(one);
    world.cancel(two);
    world.run(secs(1));
    assert!(world.requests("r1").is_empty());
    assert!(
        [one, two]
            .iter()
            .all(|token| world.failure(*token) == Some(Failure::Cancelled))
    );
    world.nothing_is_held();
}

#[test]
fn cancelled_when_it_is_sent() {
    let mut world = World::new(config(&["r1"]));
    let token = world.ask();
    world.cancel(token);
    world.cancel(token);
    assert_eq!(
        life(&world, token)[2..],
        [
            RequestState::Pending,
            RequestState::Sent,
            RequestState::Cancel,
            RequestState::CancelComplete
        ]
    );
    world.run(secs(1));
    assert_eq!((world.outcomes.len(), world.dropped("r1", "late")), (1, 1));
}

#[test]
fn requeued_when_its_connection_fails_whether_it_was_pending_or_sent() {
    for kind in 0..2 {
        let mut world = World::with_rules(config(&["r1"]), many(2));
        if kind == 0 {
            world.send_errors = vec![SendError::Temporary];
        }
        let token = world.ask();
        let over = world.last.unwrap().connection;
        world.close(over, Cause::Broken);
        world.run(secs(1));
        assert!(world.is_ok(token), "{kind}");
        let states = life(&world, token);
        assert!(
            states.contains(&RequestState::Unassigned)
                && states.ends_with(&[
                    RequestState::Pending,
                    RequestState::Sent,
                    RequestState::Complete
                ])
        );
        world.nothing_is_held();
    }
}

#[test]
fn what_waits_moves_to_a_connection_that_becomes_active() {
    let mut config = config(&["r1", "r2"]);
    config.limits.max_connections = 2;
    let mut world = World::with_rules(config, patient());
    world.peer("r1").life = Life::Silent;
    world.peer("r2").life = Life::Silent;
    world.asks(10);
    world.run(secs(16));
    assert_eq!(
        (world.states("r1"), world.states("r2")),
        (vec![TrunkState::Inactive], vec![TrunkState::Inactive])
    );
    let waiting = world.asks(5);
    assert_eq!(
        world.server("r1").backlog,
        5,
        "the first of those that are as good"
    );
    // The second one lives again: it takes them.
    world.peer("r2").life = Life::Answers;
    let sent = world.requests("r2").last().unwrap().clone();
    let answer = world.peers["r2"].answer(&sent.octets).unwrap();
    world.forge(sent.over, &answer);
    world.run(secs(1));
    assert!(waiting.iter().all(|token| world.is_ok(*token)));
    assert_eq!(world.outcomes[&waiting[0]].server.as_deref(), Some("r2"));
}

#[test]
fn what_cannot_be_sent_moves_to_a_sibling_that_becomes_active() {
    let mut world = World::with_rules(config(&["r1"]), many(2));
    world.ask();
    world.run(millis(100));
    let first = world.requests("r1")[0].over;
    // It falls silent and is a zombie; then the other one's socket takes nothing.
    world.peer("r1").life = Life::Silent;
    world.ask();
    world.run(secs(7));
    world.send_errors = vec![SendError::Temporary];
    let waiting = world.asks(5);
    let sent = world.requests("r1").len();
    let zombie = world
        .requests("r1")
        .into_iter()
        .rfind(|seen| seen.over == first)
        .unwrap();
    let answer = world.peers["r1"].answer(&zombie.octets).unwrap();
    world.peer("r1").life = Life::Answers;
    world.forge(first, &answer);
    let seen = world.requests("r1");
    assert_eq!(seen.len(), sent + 5, "sent at once");
    assert!(seen[sent..].iter().all(|seen| seen.over == first));
    world.run(secs(1));
    assert!(waiting.iter().all(|token| world.is_ok(*token)));
}

#[test]
fn a_request_without_a_connection_has_one_opened() {
    let none = Rules {
        start: 0,
        min: 0,
        ..Rules::DEFAULT
    };
    let mut world = World::with_rules(config(&["r1"]), none);
    assert_eq!(
        (world.sockets.len(), aggregate(&world)),
        (0, AggregateState::Idle)
    );
    let token = world.ask();
    assert_eq!(world.sockets.len(), 1);
    world.run(millis(50));
    assert!(world.is_ok(token));
}

#[test]
fn one_that_is_opening_or_has_room_has_no_other_opened() {
    let (mut world, over) = opening();
    world.asks(100);
    assert_eq!(world.states("r1"), [TrunkState::Connecting]);
    world.client.handle_open(over, world.now);
    world.settle();
    world.asks(100);
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}

#[test]
fn two_connections_of_two_requests_take_four_and_the_fifth_is_refused() {
    let rules = Rules {
        max: 2,
        per_connection_max: 2,
        max_backlog: 0,
        start: 2,
        min: 2,
        connecting: 2,
        ..Rules::DEFAULT
    };
    let mut world = World::with_rules(config(&["r1"]), rules);
    let tokens = world.asks(4);
    assert_eq!(aggregate(&world), AggregateState::Full);
    let fifth = world.ask();
    assert_eq!(world.failure(fifth), Some(Failure::NoCapacity));
    world.run(secs(1));
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    assert_eq!(aggregate(&world), AggregateState::Active);
}

#[test]
fn load_that_stays_has_one_more_opened_and_load_that_goes_has_it_drained() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = millis(900);
    for _ in 0..10 {
        world.asks(20);
        world.run(millis(100));
    }
    assert_eq!(world.states("r1").len(), 2, "200 are more than 127 on one");
    world.run(secs(5));
    assert_eq!(world.states("r1").len(), 2, "not at once");
    world.run(secs(30));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
    assert_eq!(world.sockets.len(), 1);
    assert_eq!(
        world.client.poll_timeout(),
        None,
        "and nothing is left to do"
    );
}

#[test]
fn alternating_edges() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = millis(900);
    for _ in 0..6 {
        for _ in 0..12 {
            world.asks(20);
            world.run(millis(100));
        }
        world.run(secs(4));
    }
    let opened = world.server("r1").counts.opened;
    assert!(
        opened <= 3,
        "what comes and goes has nothing opened and closed each time: {opened}"
    );
    world.run(secs(60));
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    world.nothing_is_held();
}

#[test]
fn one_that_drains_is_taken_back_before_another_is_opened() {
    let rules = draining();
    let mut world = World::with_rules(config(&["r1"]), rules);
    world.peer("r1").delay = millis(1500);
    world.asks(4);
    world.run(secs(1));
    let mut states = world.states("r1");
    states.sort();
    assert_eq!(
        states,
        [TrunkState::Active, TrunkState::Draining],
        "one would do"
    );
    world.asks(2);
    assert_eq!(world.server("r1").counts.opened, 2);
    assert!(!world.states("r1").contains(&TrunkState::Draining));
    world.run(secs(3));
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.sends == 1 && outcome.result.is_ok())
    );
    assert_eq!(world.outcomes.len(), 6);
}

#[test]
fn a_connection_that_is_old_or_worn_is_replaced_and_what_is_on_it_is_waited_for() {
    let rules = [
        Rules {
            lifetime: secs(10),
            ..Rules::DEFAULT
        },
        Rules {
            uses: 50,
            ..Rules::DEFAULT
        },
    ];
    for rules in rules {
        let mut world = World::with_rules(config(&["r1"]), rules);
        world.peer("r1").delay = millis(300);
        let first = world.connection("r1").id;
        for _ in 0..130 {
            world.ask();
            world.run(millis(100));
        }
        world.run(secs(1));
        assert_ne!(world.connection("r1").id, first);
        assert!(world.events.iter().any(|event| matches!(
            event,
            Event::Trunk {
                to: TrunkState::DrainingToFree,
                ..
            }
        )));
        assert_eq!(world.outcomes.len(), 130);
        assert!(
            world
                .outcomes
                .values()
                .all(|outcome| outcome.result.is_ok() && outcome.sends == 1)
        );
        world.nothing_is_held();
    }
}

#[test]
fn a_stream_is_a_connection_like_any_other_and_its_sibling_goes_on() {
    let mut config = config(&["r1"]);
    config.servers[0].transport = Transport::Tls;
    config.check = with_status_server();
    let mut world = World::with_rules(config, many(2));
    world.ask();
    world.run(millis(100));
    let dropped = world.requests("r1")[0].over;
    // A firewall has forgotten one of them.
    world.peer("r1").lost.insert(dropped);
    let token = world.ask();
    for _ in 0..100 {
        world.ask();
        world.run(millis(100));
    }
    world.run(secs(10));
    assert!(world.is_ok(token));
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    let sibling = world
        .connections("r1")
        .into_iter()
        .find(|one| one.id != dropped)
        .unwrap();
    assert_eq!(sibling.state, TrunkState::Active);
}

#[test]
fn a_stream_has_a_sibling_from_the_start_and_again_when_one_is_lost() {
    let mut config = config(&["r1"]);
    config.servers[0].transport = Transport::Tls;
    let mut world = World::new(config);
    world.run(secs(1));
    assert_eq!(world.states("r1"), [TrunkState::Active; 2]);
    let first = world.connection("r1").id;
    world.close(first, Cause::Broken);
    world.run(millis(500));
    let active = |world: &World| {
        let states = world.states("r1");
        states
            .iter()
            .filter(|it| **it == TrunkState::Active)
            .count()
    };
    assert_eq!(active(&world), 1, "not before the delay is over");
    world.run(secs(2));
    assert_eq!(active(&world), 2);
    world.run(secs(60));
    assert_eq!(active(&world), 2, "it stays when there is nothing to do");
}

#[test]
fn a_limit_of_one_connection_holds_for_streams_too() {
    let mut config = config(&["r1"]);
    config.servers[0].transport = Transport::Tls;
    config.limits.max_connections = 1;
    let mut world = World::new(config);
    world.run(secs(5));
    assert_eq!(world.states("r1"), [TrunkState::Active]);
}

#[test]
fn actions_say_where_to_and_how() {
    let mut client = lns_radius::Client::new(config(&["r1"]), lns_tables::time::Instant::ZERO);
    let Some(Action::Open {
        server,
        address,
        transport,
        connection,
    }) = client.poll_action()
    else {
        panic!("it opens one");
    };
    assert_eq!((&*server, transport), ("r1", Transport::Udp));
    assert_eq!(address.to_string(), "192.0.2.1:1812");
    assert_eq!(client.poll_action(), None);
    client.handle_open_failed(
        connection,
        Cause::NotOpened,
        lns_tables::time::Instant::ZERO,
    );
    assert_eq!(client.poll_action(), None, "it was never open");
    assert!(client.poll_timeout().is_some());
}

/// A socket that takes nothing when a request has just come to it: it was not sent there.
#[test]
fn one_that_moved_and_could_not_be_sent_waits_as_if_it_were_new() {
    let mut world = World::with_rules(config(&["r1"]), many(2));
    world.ask();
    world.run(millis(100));
    world.peer("r1").life = Life::Silent;
    let token = world.ask();
    let first = world.last.unwrap().connection;
    world.run(millis(100));
    world.peer("r1").life = Life::Answers;
    world.send_errors = vec![SendError::Temporary];
    world.close(first, Cause::Broken);
    assert_eq!(life(&world, token).last(), Some(&RequestState::Pending));
    world.run(secs(1));
    let outcome = &world.outcomes[&token];
    assert!(outcome.result.is_ok());
    assert_eq!((outcome.sends, outcome.rtt), (2, Some(millis(5))));
}
