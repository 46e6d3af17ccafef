//! Several servers: which one is asked, and who is asked when it does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_radius::config::{Config, LoadBalance, Purpose, Timing};
use lns_radius::request::{Failure, Request, Token};
use lns_radius::server::ServerState;
use lns_radius::trunk::TrunkState;

use crate::world::*;

fn balanced(balance: LoadBalance) -> Config {
    let mut config = config(&["r1", "r2", "r3"]);
    config.balance = balance;
    config
}

fn asked(world: &World, name: &str) -> usize {
    world.requests(name).len()
}

#[test]
fn a_server_that_refuses_costs_no_request_and_is_asked_again_when_it_is_back() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.peer("r1").life = Life::Refuses;
    let first = world.asks(20);
    world.run(millis(50));
    assert!(first.iter().all(|token| world.is_ok(*token)));
    let all: BTreeSet<_> = first
        .iter()
        .map(|token| world.outcomes[token].server.clone())
        .collect();
    assert_eq!(all, BTreeSet::from([Some(Arc::from("r2"))]));
    assert_eq!(world.server("r1").state, ServerState::Down);
    world.peer("r1").life = Life::Answers;
    world.run(secs(2));
    let back = world.ask();
    world.run(millis(50));
    assert_eq!(world.outcomes[&back].server.as_deref(), Some("r1"));
    assert_eq!(world.server("r1").state, ServerState::Up);
}

#[test]
fn a_server_that_falls_silent_loses_new_requests_after_the_first_wait_and_old_ones_when_it_is_a_zombie()
 {
    let mut world = World::new(config(&["r1", "r2"]));
    world.asks(10);
    world.run(secs(1));
    world.peer("r1").life = Life::Silent;
    let begun = world.now;
    let mut tokens = Vec::new();
    for _ in 0..80 {
        tokens.extend(world.asks(5));
        world.run(millis(100));
    }
    world.run(secs(2));
    assert!(
        tokens.iter().all(|token| world.is_ok(*token)),
        "nobody is refused"
    );
    let last = world.requests("r1").into_iter().filter(|seen| {
        // First sends only: a packet that was not seen before.
        seen.at.since(begun) < secs(9)
    });
    let mut known = BTreeSet::new();
    let fresh: Vec<_> = last
        .filter(|seen| known.insert(seen.octets.clone()))
        .collect();
    let newest = fresh.iter().map(|seen| seen.at.since(begun)).max().unwrap();
    assert!(newest <= millis(2300), "{newest:?}");
    world.run(secs(60));
    world.nothing_is_held();
}

#[test]
fn a_dead_server_that_comes_first_delays_nobody_but_one_that_tries_it_now_and_then() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.peer("r1").life = Life::Silent;
    world.asks(1);
    world.run(secs(60));
    let before = asked(&world, "r1");
    let mut slow = 0;
    for _ in 0..600 {
        let token = world.ask();
        world.run(millis(1000));
        slow += u32::from(!world.is_ok(token));
    }
    world.run(secs(10));
    assert!(
        world
            .outcomes
            .values()
            .all(|outcome| outcome.result.is_ok())
    );
    // Each trial is one request that waits for two seconds, then silence, then a longer and longer wait.
    assert!((10..=25).contains(&slow), "{slow} of 600 waited");
    let sent = asked(&world, "r1") - before;
    assert!(sent <= 60, "{sent} packets in ten minutes");
}

#[test]
fn one_that_moves_on_has_its_time_kept_and_another_identifier_and_authenticator() {
    let mut world = World::with_rules(config(&["r1", "r2"]), patient());
    world.peer("r1").life = Life::Silent;
    world.peer("r2").life = Life::Silent;
    let begun = world.now;
    let token = world.ask();
    while world.failure(token).is_none() {
        world.run(millis(10));
    }
    assert_eq!(world.failure(token), Some(Failure::TimedOut));
    let took = world.now.since(begun);
    assert!(took >= secs(30) && took < millis(30_050), "{took:?}");
    let (one, two) = (world.requests("r1"), world.requests("r2"));
    assert!(one.len() >= 2 && two.len() >= 3);
    assert_ne!(one[0].packet().authenticator, two[0].packet().authenticator);
    assert!(two.iter().all(|seen| seen.octets == two[0].octets));
    world.run(secs(40));
    world.nothing_is_held();
}

#[test]
fn a_late_answer_of_the_first_server_ends_a_request_that_has_moved_on() {
    let mut world = World::with_rules(config(&["r1", "r2"]), patient());
    world.peer("r1").life = Life::Silent;
    world.peer("r2").life = Life::Silent;
    let token = world.ask();
    world.run(secs(10));
    assert!(!world.requests("r2").is_empty());
    let sent = world.requests("r1")[0].clone();
    let late = world.peers["r1"].answer(&sent.octets).unwrap();
    world.forge(sent.over, &late);
    assert!(world.is_ok(token));
    assert_eq!(world.outcomes[&token].server.as_deref(), Some("r1"));
    world.run(secs(40));
    world.nothing_is_held();
}

#[test]
fn all_servers_down_is_said_at_once() {
    let mut world = World::new(config(&["r1", "r2"]));
    for name in ["r1", "r2"] {
        world.peer(name).life = Life::Refuses;
    }
    let token = world.ask();
    world.run(millis(20));
    assert_eq!(world.failure(token), Some(Failure::AllDown));
    let token = world.ask();
    assert_eq!(world.failure(token), Some(Failure::AllDown));
    world.nothing_is_held();
}

#[test]
fn balance_gives_each_server_what_it_is_quick_enough_for() {
    let mut world = World::new(balanced(LoadBalance::Balance));
    for (name, delay) in [("r1", 10), ("r2", 20), ("r3", 40)] {
        world.peer(name).delay = millis(delay);
    }
    for _ in 0..2000 {
        world.asks(3);
        world.run(millis(2));
    }
    let count = |name: &str| f64::from(u32::try_from(asked(&world, name)).unwrap());
    let (one, two, three) = (count("r1"), count("r2"), count("r3"));
    assert!(
        (1.7..2.3).contains(&(one / two)) && (1.7..2.3).contains(&(two / three)),
        "{one} {two} {three}"
    );
}

#[test]
fn keyed_balance_keeps_a_key_at_its_server_and_moves_only_those_of_one_that_is_gone() {
    let mut world = World::new(balanced(LoadBalance::KeyedBalance));
    let mut where_is = BTreeMap::new();
    let round = |world: &mut World| {
        let mut homes = BTreeMap::new();
        for key in 0..300_u64 {
            let request = Request {
                key,
                ..world.request()
            };
            let token = world.ask_for(request);
            world.run(millis(20));
            homes.insert(key, world.outcomes[&token].server.clone().unwrap());
        }
        homes
    };
    let first = round(&mut world);
    for home in first.values() {
        *where_is.entry(home.clone()).or_insert(0) += 1;
    }
    assert!(
        where_is.len() == 3 && where_is.values().all(|count| (70..=130).contains(count)),
        "{where_is:?}"
    );
    assert_eq!(round(&mut world), first);
    world.peer("r2").life = Life::Refuses;
    let third = round(&mut world);
    for (key, home) in &third {
        let before = &first[key];
        assert!(
            **before == *"r2" || before == home,
            "{key} has moved from {before} to {home}"
        );
        assert_ne!(**home, *"r2");
    }
}

#[test]
fn a_realm_has_its_servers_and_all_others_have_the_rest() {
    let mut config = config(&["r1", "r2", "r3"]);
    config.servers[1].realms = vec!["Example.org".into()];
    config.servers[2].realms = vec!["other.org".into()];
    let mut world = World::new(config.clone());
    let ask = |world: &mut World, realm: Option<&str>| {
        let request = Request {
            realm: realm.map(Into::into),
            ..world.request()
        };
        let token = world.ask_for(request);
        world.run(millis(10));
        world.outcomes[&token].clone()
    };
    let home = |outcome: lns_radius::request::Outcome| outcome.server.unwrap().to_string();
    assert_eq!(home(ask(&mut world, Some("EXAMPLE.ORG"))), "r2");
    assert_eq!(home(ask(&mut world, Some("nobody.org"))), "r1");
    assert_eq!(home(ask(&mut world, None)), "r1");
    config.servers.remove(0);
    world.configure(config);
    let none = ask(&mut world, Some("nobody.org"));
    assert_eq!(none.result, Err(Failure::NoServer));
    assert_eq!(home(ask(&mut world, Some("other.org"))), "r3");
}

#[test]
fn a_dialogue_stays_with_its_server() {
    let mut world = World::new(config(&["r1", "r2"]));
    let bound = |world: &mut World| Request {
        server: Some(Arc::from("r2")),
        ..world.login()
    };
    let request = bound(&mut world);
    let token = world.ask_for(request);
    world.run(secs(1));
    assert_eq!(world.outcomes[&token].server.as_deref(), Some("r2"));
    world.peer("r2").life = Life::Refuses;
    let request = bound(&mut world);
    let token = world.ask_for(request);
    world.run(millis(20));
    assert_eq!(
        world.failure(token),
        Some(Failure::AllDown),
        "nobody else knows of it"
    );
    assert!(world.requests("r1").is_empty());
}

#[test]
fn a_server_that_leaves_is_waited_for_and_asked_nothing_more() {
    let mut world = World::new(config(&["r1", "r2"]));
    world.peer("r1").delay = secs(3);
    let waits = world.ask();
    let mut config = world.config.clone();
    config.servers.remove(0);
    world.configure(config);
    let new = world.ask();
    world.run(secs(1));
    assert_eq!(world.outcomes[&new].server.as_deref(), Some("r2"));
    assert!(!world.is_ok(waits));
    world.run(secs(3));
    assert_eq!(world.outcomes[&waits].server.as_deref(), Some("r1"));
    assert_eq!(
        (asked(&world, "r1"), world.sockets.len()),
        (2, 1),
        "repeated once, then closed"
    );
    world.nothing_is_held();
}

#[test]
fn servers_that_leave_faster_than_they_answer_are_waited_for_no_longer() {
    let mut world = World::new(config(&["r1"]));
    world.peer("r1").delay = secs(25);
    for reload in 1..60_u16 {
        let token = world.ask();
        let mut config = world.config.clone();
        config.servers[0].address.set_port(1812 + reload);
        world.configure(config);
        assert_eq!(world.client.view(world.now).servers.len(), 1, "{reload}");
        assert!(world.sockets.len() <= 8);
        assert_eq!(world.connections("r1").len(), 1);
        assert_eq!(world.outcomes.get(&token), None);
        world.run(millis(5));
    }
    world.run(secs(60));
    assert_eq!(world.outcomes.len(), 59);
    world.nothing_is_held();
}

#[test]
fn a_server_that_stays_keeps_its_connection_over_a_reload_and_one_that_moves_does_not() {
    let mut world = World::new(config(&["r1", "r2"]));
    let (one, two) = (world.connection("r1").id, world.connection("r2").id);
    let mut config = world.config.clone();
    config.servers.reverse();
    config.servers[0].address = std::net::SocketAddr::from(([192, 0, 2, 77], 1812));
    world.configure(config);
    assert_eq!(world.connection("r1").id, one);
    assert_ne!(world.connection("r2").id, two);
    assert!(!world.sockets.contains_key(&two), "nothing was on it");
}

#[test]
fn an_accounting_request_that_one_server_does_not_take_is_taken_by_the_next() {
    let mut config = config(&["r1", "r2"]);
    config.purpose = Purpose::Accounting;
    config.timing = Timing::ACCOUNTING;
    let mut world = World::new(config);
    world.peer("r1").life = Life::Silent;
    let tokens: Vec<Token> = world.asks(100);
    world.run(secs(10));
    assert!(tokens.iter().all(|token| world.is_ok(*token)));
    assert_eq!(world.server("r1").counts.moved, 100);
    assert_eq!(world.states("r1"), [TrunkState::Inactive]);
}
