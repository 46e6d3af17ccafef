//! A second node follows the first by its records, and takes over from it at any moment.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeMap;

use lns_node::config::Config;
use lns_node::radius::Order;
use lns_node::view::SessionFilter;
use lns_node::{Event, Node, RecordForm, RecordKey, StoreTime, Unreadable};
use lns_radius::record::Status;
use lns_tables::path::{Counters, DirectionCounters};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::{AttributeList, kind};

use crate::client::Client;
use crate::manifest::{SECRET, accounted, config, seconds};
use crate::world::{Faults, World};

fn grants(world: &mut World) {
    let grant = &mut world.server.grant;
    grant.push(kind::CLASS, b"a class").expect("room");
    grant
        .push(kind::FRAMED_ROUTE, b"10.9.0.0/24")
        .expect("room");
    grant.push_u32(kind::SESSION_TIMEOUT, 100_000);
    grant.push_u32(kind::IDLE_TIMEOUT, 90_000);
}

fn with_sessions(config: Config, seed: u8, count: u16) -> World {
    let mut world = World::followed(config, seed);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        let name = format!("guest{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world
}

/// What there is to see of a node: its sessions, but for how long they have been there to the second.
fn sessions(node: &Node, now: Instant) -> Vec<String> {
    let page = node.sessions(&SessionFilter::default(), None, 10_000, now);
    let shown = page.sessions.iter().map(|session| {
        let mut shown = session.clone();
        shown.seconds /= 10;
        shown.remaining_seconds = shown.remaining_seconds.map(|left| left / 10);
        format!("{shown:?}")
    });
    shown.collect()
}

/// The node that follows has all that the first one has, and its workers, too.
fn assert_equal(world: &World) {
    let followed = world.followed.as_ref().expect("somebody follows");
    assert_eq!(
        sessions(&world.node, world.now),
        sessions(&followed.standby, world.now)
    );
    let (ours, theirs) = (&world.workers, &followed.workers);
    assert_eq!(ours.tunnels, theirs.tunnels);
    let paths = |workers: &crate::world::Workers| {
        let paths = workers.sessions.iter();
        let paths = paths.map(|(slot, path)| (*slot, (path.address, path.mtu, path.rates)));
        paths.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(paths(ours), paths(theirs));
    assert_eq!(ours.routes, theirs.routes);
    assert_eq!(world.reached, followed.reached);
    let (status, other) = (world.node.status(), followed.standby.status());
    assert_eq!(
        (status.sessions, status.tunnels),
        (other.sessions, other.tunnels)
    );
    let used = |node: &Node| {
        node.pools()
            .iter()
            .map(|pool| pool.used)
            .collect::<Vec<_>>()
    };
    assert_eq!(used(&world.node), used(&followed.standby));
}

fn of(world: &World, status: Status) -> Vec<(String, Instant)> {
    let records = world.orders.iter().filter_map(|order| match order {
        Order::Record(record) if record.status == status => {
            Some((record.session.to_string(), record.at))
        }
        _ => None,
    });
    records.collect()
}

#[test]
fn who_follows_has_all_that_the_first_one_has() {
    let mut world = with_sessions(accounted(), 1, 40);
    grants(&mut world);
    for _ in 0..30 {
        world.run(seconds(1));
        assert_equal(&world);
    }
    assert_eq!(world.node.status().sessions, 40);
    for (id, (tunnel, session)) in (1..=20).zip(ids(&world)) {
        assert!(world.node.handle_disconnect(tunnel, session, world.now));
        world.run(Duration::from_millis(100 * id));
        assert_equal(&world);
    }
    world.run(seconds(10));
    assert_equal(&world);
    assert_eq!(world.node.status().sessions, 20);
    let now = world.now;
    let tunnel = *world.workers.tunnels.keys().next().expect("a tunnel");
    assert!(world.node.handle_disconnect_tunnel(tunnel, now));
    world.run(seconds(10));
    assert_equal(&world);
    assert_eq!(world.node.status().sessions, 0);
    // What is over is forgotten when it has rested.
    assert!(!world.followed.as_ref().expect("followed").store.is_empty());
    world.run(seconds(70));
    let store = &world.followed.as_ref().expect("followed").store;
    assert!(store.is_empty(), "{:?}", store.keys());
}

#[test]
fn a_takeover_is_noticed_by_no_lac_and_no_subscriber() {
    let mut world = with_sessions(accounted(), 2, 30);
    grants(&mut world);
    world.run(seconds(10));
    let before: Vec<Option<Ipv4Addr>> = (1..=30).map(|id| world.address(0, id)).collect();
    let seen: Vec<u32> = (1..=30)
        .map(|id| world.client(0, id).lcp_requests_seen)
        .collect();
    assert!(before.iter().all(Option::is_some));
    for _ in 0..10 {
        world.take_over();
        world.run(seconds(100));
        assert_equal(&world);
        let after: Vec<Option<Ipv4Addr>> = (1..=30).map(|id| world.address(0, id)).collect();
        assert_eq!(before, after);
    }
    let asked: Vec<u32> = (1..=30)
        .map(|id| world.client(0, id).lcp_requests_seen)
        .collect();
    assert_eq!(seen, asked, "LCP began anew");
    assert_eq!(world.lacs[0].closed, None);
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    // New calls come up at the node that took over, and old ones end there.
    world.dial(0, 31, Client::new("guest31", "guest31"));
    world.run(seconds(5));
    assert!(world.is_up(0, 31));
    assert!(!before.contains(&world.address(0, 31)));
    let starts = of(&world, Status::Start);
    assert_eq!(starts.len(), 31, "{starts:?}");
    let now = world.now;
    world.node.handle_drain(now);
    world.run(seconds(20));
    let stops = of(&world, Status::Stop);
    let names = |told: &[(String, Instant)]| {
        let mut names: Vec<String> = told.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&starts), names(&stops));
    assert_eq!(of(&world, Status::On).len(), 1, "a cold start, once");
}

#[test]
fn a_node_that_steps_down_follows_and_takes_over_again() {
    let mut world = with_sessions(accounted(), 10, 30);
    grants(&mut world);
    world.run(seconds(10));
    for round in 0..12 {
        // Something has just ended, something else is coming up.
        if let Some((tunnel, session)) = ids(&world).pop() {
            world.node.handle_disconnect(tunnel, session, world.now);
        }
        let id = 100 + round;
        let name = format!("guest{id}");
        world.dial(0, id, Client::new(&name, &name));
        world.run(Duration::from_millis(10 * u64::from(round)));
        world.step_down();
        world.run(seconds(1));
        assert_equal(&world);
        world.run(seconds(20));
        assert_equal(&world);
    }
    assert_eq!(world.lacs[0].closed, None);
    let (starts, stops) = (of(&world, Status::Start), of(&world, Status::Stop));
    let there = world.node.status().sessions;
    assert_eq!(
        starts.len() - stops.len(),
        usize::try_from(there).expect("few")
    );
    assert!(there >= 30, "{there}");
}

#[test]
fn what_the_store_does_not_know_is_gone_when_all_is_read_anew() {
    let mut world = with_sessions(accounted(), 11, 10);
    world.run(seconds(10));
    let now = world.now;
    world.node.handle_demotion(now);
    world.node.handle_reload();
    world.node.handle_reloaded(now);
    world.settle();
    assert_eq!(world.node.status().sessions, 0);
    assert!(world.workers.sessions.is_empty() && world.workers.tunnels.is_empty());
    assert!(world.node.pools().iter().all(|pool| pool.used == 0));
    // Every id may be given out again.
    world
        .node
        .handle_takeover(9, lns_node::Beginning::Start, now);
    world.settle();
}

#[test]
fn nodes_that_die_at_any_moment_lose_nobody() {
    let mut takeovers = 0;
    for seed in 0..40 {
        let mut world = with_sessions(accounted(), seed, 25);
        grants(&mut world);
        // No frame of a node that is gone comes after one of the next: this client takes it for a new LCP.
        world.faults = Faults {
            loss: 5,
            duplication: 5,
            reordering: 0,
        };
        let followed = world.followed.as_mut().expect("followed");
        followed.mortality = 15;
        world.run(seconds(60));
        world.followed.as_mut().expect("followed").mortality = 0;
        world.run(seconds(60));
        assert_eq!(world.lacs[0].closed, None, "seed {seed}");
        // Some could not come up in their time, for they began anew too often; all that did are there.
        let up = (1..=25).filter(|id| world.is_up(0, *id)).count();
        let there = world.node.status().sessions;
        assert_eq!(usize::try_from(there).expect("few"), up, "seed {seed}");
        assert!(up >= 20, "seed {seed}: {up}");
        assert_equal(&world);
        let starts = of(&world, Status::Start);
        let mut names: Vec<&String> = starts.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), starts.len(), "seed {seed}: a Start twice");
        let stops = of(&world, Status::Stop).len();
        assert_eq!(starts.len() - stops, up, "seed {seed}: a Stop is missing");
        takeovers += world.followed.as_ref().expect("followed").takeovers;
    }
    assert!(takeovers > 400, "{takeovers}");
}

#[test]
fn calls_that_end_while_nodes_die_end_at_the_lac_and_in_accounting() {
    for seed in 0..40 {
        let mut world = with_sessions(accounted(), seed, 20);
        world.run(seconds(20));
        assert_eq!(world.node.status().sessions, 20, "seed {seed}");
        world.followed.as_mut().expect("followed").mortality = 60;
        for _ in 0..10 {
            let page = world
                .node
                .sessions(&SessionFilter::default(), None, 100, world.now);
            if let Some(session) = page.sessions.iter().find(|it| it.user.is_some()) {
                let (tunnel, session) = (TunnelId(session.tunnel), SessionId(session.session));
                world.node.handle_disconnect(tunnel, session, world.now);
            }
            world.run(seconds(3));
        }
        world.followed.as_mut().expect("followed").mortality = 0;
        world.run(seconds(40));
        let alive = world.node.status().sessions;
        let callers = world.lacs[0].callers.values();
        let of_lac = callers.filter(|caller| !caller.cleared).count();
        assert_eq!(usize::try_from(alive).expect("few"), of_lac, "seed {seed}");
        assert!(of_lac < 20, "seed {seed}");
        let stops = of(&world, Status::Stop);
        assert_eq!(stops.len(), 20 - of_lac, "seed {seed}: {stops:?}");
        assert_eq!(world.lacs[0].closed, None, "seed {seed}");
        assert_equal(&world);
    }
}

#[test]
fn a_tunnel_that_ends_while_nodes_die_is_cleared_whole() {
    for seed in 0..20 {
        let mut world = with_sessions(accounted(), seed, 20);
        world.run(seconds(20));
        let now = world.now;
        let tunnel = *world.workers.tunnels.keys().next().expect("a tunnel");
        world.node.handle_disconnect_tunnel(tunnel, now);
        world.settle();
        world.followed.as_mut().expect("followed").mortality = 200;
        world.run(seconds(20));
        world.followed.as_mut().expect("followed").mortality = 0;
        world.run(seconds(70));
        assert_eq!(world.node.status().sessions, 0, "seed {seed}");
        assert!(world.lacs[0].closed.is_some(), "seed {seed}");
        assert_eq!(of(&world, Status::Stop).len(), 20, "seed {seed}");
        assert_equal(&world);
        assert!(world.workers.sessions.is_empty() && world.workers.tunnels.is_empty());
    }
}

#[test]
fn the_counters_of_the_last_record_are_in_the_stop_of_the_node_that_took_over() {
    let mut world = with_sessions(accounted(), 3, 1);
    world.run(seconds(5));
    let slot = *world.workers.sessions.keys().next().expect("a session");
    let up = DirectionCounters {
        ipv4_packets: 10,
        ipv4_octets: 1_000,
        ..DirectionCounters::default()
    };
    let counted = Counters {
        up,
        ..Counters::default()
    };
    world.workers.counters.insert(slot, counted);
    world.run(seconds(70));
    assert_eq!(of(&world, Status::Interim).len(), 1);
    // It dies between the end of the session and its Stop.
    world.workers.forget_finals = true;
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 1, world.now);
    let (tunnel, session) = (page.sessions[0].tunnel, page.sessions[0].session);
    let now = world.now;
    world.lacs[0]
        .machine
        .close(lns_l2tp::StopReason::Requested, now);
    world.run(Duration::from_millis(100));
    assert!(of(&world, Status::Stop).is_empty());
    world.take_over();
    world.run(seconds(20));
    let stop = world.orders.iter().find_map(|order| match order {
        Order::Record(record) if record.status == Status::Stop => Some(record),
        _ => None,
    });
    let stop = stop.unwrap_or_else(|| panic!("no Stop of {tunnel}.{session}"));
    let octets = stop
        .attributes
        .iter()
        .find(|it| it.kind == kind::ACCT_INPUT_OCTETS);
    assert_eq!(octets.map(|it| it.u32()), Some(Ok(1_000)));
}

#[test]
fn times_go_on_over_a_takeover() {
    let mut config = accounted();
    config.subscribers.session = seconds(1_000);
    let mut world = with_sessions(config, 4, 1);
    world.run(seconds(5));
    for _ in 0..9 {
        world.run(seconds(100));
        world.take_over();
    }
    world.run(seconds(80));
    assert_eq!(world.node.status().sessions, 1);
    world.run(seconds(30));
    assert_eq!(world.node.status().sessions, 0);
    assert_eq!(world.ends(), ["session_timeout"]);
    let stop = world.orders.iter().rev().find_map(|order| match order {
        Order::Record(record) if record.status == Status::Stop => Some(record),
        _ => None,
    });
    let attributes = &stop.expect("a Stop").attributes;
    let time = attributes
        .iter()
        .find(|it| it.kind == kind::ACCT_SESSION_TIME)
        .map(|it| it.u32());
    assert!(matches!(time, Some(Ok(999..=1_001))), "{time:?}");
}

/// What a LAC that expects this number next expects once it has heard these (RFC 2661, 5.4).
fn heard<'a>(expected: u16, numbers: impl Iterator<Item = &'a u16>) -> u16 {
    numbers.fold(expected, |expected, number| {
        let is_old = number.wrapping_sub(expected) > 0x7fff;
        if is_old {
            expected
        } else {
            number.wrapping_add(1)
        }
    })
}

#[test]
fn a_lac_that_requires_numbers_takes_what_it_is_sent_after_a_takeover_whatever_it_expected() {
    let mut world = with_sessions(accounted(), 3, 3);
    world.caller(0, 2).sequencing = true;
    world.run(seconds(5));
    world.take_over();
    let (mut next, mut numbers, mut octets) = (0_u16, Vec::new(), Vec::new());
    while let Some(transmit) = world.node.poll_transmit(world.now, &mut octets) {
        let Some(sequence) = transmit.sequence else {
            continue;
        };
        assert_eq!(octets[octets.len() - 8], 11, "a Discard-Request");
        // As workers number it.
        numbers.push(next.wrapping_add(sequence.skips));
        next = next.wrapping_add(sequence.skips).wrapping_add(1);
    }
    assert!(!numbers.is_empty());
    for expected in 0..=u16::MAX {
        // Two in a row are lost.
        for lost in 0..numbers.len() {
            let arrived = numbers[..lost].iter().chain(numbers.iter().skip(lost + 2));
            let expected = heard(expected, arrived);
            assert!(
                next.wrapping_sub(expected) < 0x7fff,
                "{expected} is expected"
            );
        }
    }
}

#[test]
fn what_has_passed_before_a_takeover_is_no_idle_time_after_it() {
    let mut config = config();
    config.subscribers.idle = seconds(300);
    let mut world = with_sessions(config, 5, 0);
    world.dial(0, 1, Client::new("user1", "user1"));
    world.run(seconds(5));
    let slot = *world.workers.sessions.keys().next().expect("a session");
    for _ in 0..6 {
        world.run(seconds(100));
        world.workers.last_forwarded.insert(slot, world.now);
    }
    world.take_over();
    // Long enough for workers to be asked whether the subscriber is there.
    world.run(seconds(290));
    assert!(world.ends().is_empty(), "{:?}", world.ends());
    world.run(seconds(20));
    assert_eq!(world.ends(), ["idle_timeout"]);
}

#[test]
fn ids_and_addresses_of_who_is_gone_are_given_to_nobody_after_a_takeover() {
    let mut world = with_sessions(config(), 5, 0);
    for id in 1..=50 {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    let had: Vec<(u16, Option<Ipv4Addr>)> = shown(&world);
    assert_eq!(had.len(), 50);
    let ids: Vec<(TunnelId, SessionId)> = ids(&world);
    for (tunnel, session) in ids {
        world.node.handle_disconnect(tunnel, session, world.now);
    }
    world.run(seconds(5));
    world.take_over();
    for id in 101..=150 {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    let have = shown(&world);
    assert_eq!(have.len(), 50);
    for (id, address) in have {
        assert!(had.iter().all(|(old, _)| *old != id), "{id}");
        assert!(had.iter().all(|(_, old)| *old != address), "{address:?}");
    }
}

#[test]
fn an_address_rests_over_a_takeover_also_longer_than_ids_do() {
    for (reads_anew, after) in [(true, 5), (false, 5), (true, 40), (false, 40)] {
        let mut world = with_sessions(config(), 5, 0);
        world.dial(0, 1, Client::new("user1", "user1"));
        world.run(seconds(5));
        let had = world.address(0, 1).expect("it is up");
        let (tunnel, session) = ids(&world)[0];
        assert!(world.node.handle_disconnect(tunnel, session, world.now));
        world.run(seconds(after));
        world.take_over_by(reads_anew);
        world.dial(0, 2, Client::new("user2", "user2"));
        world.run(seconds(5));
        let has = world.address(0, 2).expect("it is up");
        assert_ne!(had, has, "read anew: {reads_anew}, after {after} s");
    }
}

fn shown(world: &World) -> Vec<(u16, Option<Ipv4Addr>)> {
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 1_000, world.now);
    let sessions = page.sessions.iter();
    sessions.map(|it| (it.session, it.address)).collect()
}

fn ids(world: &World) -> Vec<(TunnelId, SessionId)> {
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 1_000, world.now);
    let sessions = page.sessions.iter();
    sessions
        .map(|it| (TunnelId(it.tunnel), SessionId(it.session)))
        .collect()
}

#[test]
fn default_policies_are_those_of_the_node_that_takes_over() {
    let config = crate::policies::with_policies(&[]);
    let mut world = with_sessions(config.clone(), 6, 0);
    world.dial(0, 1, Client::new("user1", "user1"));
    world.run(seconds(10));
    let mut other = config;
    other.subscribers.default_policies = vec!["gold".into()];
    let followed = world.followed.as_ref().expect("followed");
    let mut node = Node::standby(other, [9; 32], world.now);
    for (key, octets) in &followed.store {
        let taken = node.handle_record(*key, octets, world.now, StoreTime(1_795_000_000_000));
        assert_eq!(taken, Ok(()));
    }
    let page = node.sessions(&SessionFilter::default(), None, 10, world.now);
    assert_eq!(page.sessions[0].policies, ["gold"]);
}

#[test]
fn policies_of_who_follows_are_told_before_their_sessions() {
    // `Workers::apply` fails where a session has a chain that it was not told of.
    let config = crate::policies::with_policies(&[("user2", &["gold", "no-mail"])]);
    let mut world = with_sessions(config, 6, 0);
    for id in 1..=5 {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    assert_equal(&world);
    world.take_over();
    world.run(seconds(10));
    assert_equal(&world);
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 10, world.now);
    assert_eq!(page.sessions.len(), 5);
    for session in page.sessions {
        let expected = match session.user.as_deref() {
            Some("user2") => vec!["gold", "no-mail"],
            _ => vec!["residential"],
        };
        assert_eq!(session.policies, expected);
        assert_eq!(world.workers.policies_of(session.slot), expected);
    }
}

#[test]
fn a_node_that_follows_does_nothing_else() {
    let now = Instant::ZERO;
    let mut node = Node::standby(accounted(), [1; 32], now);
    let from = "198.51.100.1:1701".parse().expect("an address");
    node.handle_control(crate::world::service(), from, &[0xc8, 2, 0, 12], now);
    node.handle_ppp(TunnelId(1), SessionId(1), from, &[0xc0, 0x21, 9], now);
    node.handle_timeout(now + seconds(100));
    let mut octets = Vec::new();
    assert_eq!(node.poll_transmit(now, &mut octets), None);
    assert_eq!(node.poll_record(now, StoreTime(1), &mut octets), None);
    assert!(node.poll_order().is_none());
}

#[test]
fn a_record_that_is_none_or_not_the_keys_or_of_another_version_changes_nothing() {
    let mut world = with_sessions(accounted(), 7, 3);
    grants(&mut world);
    world.run(seconds(10));
    let (now, date) = (world.now, StoreTime(1_795_000_000_000));
    let followed = world.followed.as_mut().expect("followed");
    let store = followed.store.clone();
    let before = sessions(&followed.standby, now);
    let refused = |node: &mut Node, key, octets: &[u8]| node.handle_record(key, octets, now, date);
    for (key, octets) in &store {
        for len in 0..octets.len() {
            let cut = refused(&mut followed.standby, *key, &octets[..len]);
            assert_eq!(cut, Err(Unreadable::Damaged), "{key} {len}");
        }
        let mut longer = octets.clone();
        longer.push(0);
        let long = refused(&mut followed.standby, *key, &longer);
        assert_eq!(long, Err(Unreadable::Damaged));
        longer[0] = RecordForm::NEWEST.number() + 1;
        let other = refused(&mut followed.standby, *key, &longer);
        assert_eq!(other, Err(Unreadable::Version));
        let wrong = match *key {
            RecordKey::Tunnel(tunnel) => RecordKey::Session(tunnel, SessionId(1)),
            RecordKey::Session(tunnel, _) => RecordKey::Tunnel(tunnel),
        };
        let wrong = refused(&mut followed.standby, wrong, octets);
        assert_eq!(wrong, Err(Unreadable::Unfit));
        if let RecordKey::Session(_, session) = *key {
            let nowhere = RecordKey::Session(TunnelId(9), session);
            let nowhere = refused(&mut followed.standby, nowhere, octets);
            assert_eq!(nowhere, Err(Unreadable::NoTunnel));
        }
        let active = refused(&mut world.node, *key, octets);
        assert_eq!(active, Err(Unreadable::Active));
    }
    followed.standby.handle_timeout(now);
    assert_eq!(before, sessions(&followed.standby, now));
}

#[test]
fn a_session_takes_less_than_300_octets_in_the_store_and_less_in_the_second_form() {
    // Worlds of odd seeds have the second form.
    let [first, second] = [8, 9].map(|seed| {
        let mut world = with_sessions(accounted(), seed, 100);
        let grant: &mut AttributeList = &mut world.server.grant;
        grant.push(kind::CLASS, &[7; 24]).expect("room");
        world.run(seconds(20));
        let followed = world.followed.as_ref().expect("followed");
        let records = followed.store.iter();
        let sizes = records.filter_map(|(key, octets)| match key {
            RecordKey::Session(..) => Some(octets.len()),
            RecordKey::Tunnel(_) => None,
        });
        sizes.max().expect("sessions")
    });
    assert!(first <= 300 && second * 10 <= first * 9, "{first} {second}");
}

#[test]
fn what_is_over_is_told_once() {
    let mut world = with_sessions(accounted(), 9, 10);
    world.run(seconds(10));
    for (tunnel, session) in ids(&world) {
        world.node.handle_disconnect(tunnel, session, world.now);
        world.settle();
        world.take_over();
        world.run(seconds(1));
    }
    world.run(seconds(20));
    let downs = world.events.iter();
    let downs = downs.filter(|event| matches!(event, Event::SessionDown(_)));
    assert_eq!(downs.count(), 10);
    assert_eq!(of(&world, Status::Stop).len(), 10);
}
