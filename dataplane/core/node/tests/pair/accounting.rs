//! What servers are told of sessions, from the first Start to the last Stop.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_node::config::{AccountingConfig, Authentication, Config, DuplicateAction};
use lns_node::radius::{AccountId, Order};
use lns_node::view::SessionFilter;
use lns_radius::record::{Record, Status};
use lns_tables::path::{Counters, DirectionCounters, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::{Attribute, kind};

use crate::client::Client;
use crate::manifest::{SECRET, config};
use crate::world::World;

/// The configuration of the others, and servers that are told.
fn told(interim: u64) -> Config {
    Config {
        accounting: Some(AccountingConfig {
            interim: Duration::from_secs(interim),
        }),
        epoch: 0x2a,
        ..config()
    }
}

fn with_sessions(config: Config, count: u16) -> World {
    let mut world = World::new(config, 1);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(Duration::from_secs(5));
    assert_eq!(world.node.status().sessions, u32::from(count));
    world
}

fn record(order: &Order) -> Option<&Record> {
    match order {
        Order::Record(record) => Some(record),
        Order::Ask(_) | Order::Repeat(_) | Order::Cancel(_) => None,
    }
}

fn records(world: &World) -> Vec<&Record> {
    world.orders.iter().filter_map(record).collect()
}

fn of(world: &World, status: Status) -> Vec<&Record> {
    let all = records(world).into_iter();
    all.filter(|record| record.status == status).collect()
}

fn statuses(world: &World) -> Vec<Status> {
    records(world).iter().map(|record| record.status).collect()
}

fn value(record: &Record, kind: u8) -> Option<Attribute<'_>> {
    let mut found = record.attributes.iter().filter(|it| it.kind == kind);
    let first = found.next();
    assert!(found.next().is_none(), "{kind} is there twice");
    first
}

fn number(record: &Record, kind: u8) -> Option<u32> {
    value(record, kind).map(|it| it.u32().expect("four octets"))
}

fn text(record: &Record, kind: u8) -> Option<String> {
    value(record, kind).map(|it| String::from_utf8(it.value.to_vec()).expect("a text"))
}

fn only_session(world: &World) -> (TunnelId, SessionId, SlotIndex) {
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 10, world.now);
    let [session] = &page.sessions[..] else {
        panic!("one session")
    };
    (
        TunnelId(session.tunnel),
        SessionId(session.session),
        session.slot,
    )
}

fn passed(up: (u64, u64), down: (u64, u64)) -> Counters {
    let direction = |(ipv4_packets, ipv4_octets)| DirectionCounters {
        ipv4_packets,
        ipv4_octets,
        ..DirectionCounters::default()
    };
    Counters {
        up: direction(up),
        down: direction(down),
    }
}

#[test]
fn a_session_has_one_start_and_one_stop_with_all_that_is_known_of_it() {
    let mut world = with_sessions(told(0), 1);
    let (tunnel, session, slot) = only_session(&world);
    let octets = (7_u64 << 32) + 5;
    world
        .workers
        .counters
        .insert(slot, passed((3, octets), (4, 6)));
    world.run(Duration::from_secs(100));
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(Duration::from_secs(1));
    assert_eq!(
        statuses(&world),
        [Status::On, Status::Start, Status::Stop],
        "no interim is configured"
    );
    let (start, stop) = (of(&world, Status::Start)[0], of(&world, Status::Stop)[0]);
    for record in [start, stop] {
        assert_eq!(
            number(record, kind::ACCT_STATUS_TYPE),
            Some(record.status.number())
        );
        let id = text(record, kind::ACCT_SESSION_ID);
        assert_eq!(id.as_deref(), Some("0000002a-00000002"));
        assert_eq!(id.as_deref(), Some(&*record.session));
        assert_eq!(text(record, kind::USER_NAME).as_deref(), Some("user1"));
        assert_eq!(number(record, kind::ACCT_AUTHENTIC), Some(2), "local");
        let address = value(record, kind::FRAMED_IP_ADDRESS).expect("an address");
        assert_eq!(address.ipv4(), Ok(Ipv4Addr::new(100, 64, 0, 0)));
        for (kind, expected) in [
            (kind::SERVICE_TYPE, 2),
            (kind::FRAMED_PROTOCOL, 1),
            (kind::NAS_PORT_TYPE, 5),
            (kind::TUNNEL_TYPE, 3),
            (kind::TUNNEL_MEDIUM_TYPE, 1),
        ] {
            assert_eq!(number(record, kind), Some(expected), "{kind}");
        }
        let connection = format!("{tunnel}.{session}");
        for (kind, expected) in [
            (kind::NAS_PORT_ID, "wholesale/1"),
            (kind::TUNNEL_CLIENT_ENDPOINT, "198.51.100.1"),
            (kind::TUNNEL_SERVER_ENDPOINT, "192.0.2.1"),
            (kind::TUNNEL_CLIENT_AUTH_ID, "lac1"),
            (kind::TUNNEL_SERVER_AUTH_ID, "lns1"),
            (kind::ACCT_TUNNEL_CONNECTION, &*connection),
        ] {
            assert_eq!(text(record, kind).as_deref(), Some(expected), "{kind}");
        }
        // The client's and the shell's to add.
        for kind in [
            kind::EVENT_TIMESTAMP,
            kind::ACCT_DELAY_TIME,
            kind::NAS_IDENTIFIER,
        ] {
            assert!(value(record, kind).is_none(), "{kind}");
        }
    }
    for (kind, expected) in [
        (kind::ACCT_INPUT_OCTETS, 5),
        (kind::ACCT_INPUT_GIGAWORDS, 7),
        (kind::ACCT_INPUT_PACKETS, 3),
        (kind::ACCT_OUTPUT_OCTETS, 6),
        (kind::ACCT_OUTPUT_GIGAWORDS, 0),
        (kind::ACCT_OUTPUT_PACKETS, 4),
        (kind::ACCT_TERMINATE_CAUSE, 6),
    ] {
        assert_eq!(number(stop, kind), Some(expected), "{kind}");
        assert_eq!(number(start, kind), None, "{kind}");
    }
    let seconds = number(stop, kind::ACCT_SESSION_TIME).expect("its time");
    assert!((100..=105).contains(&seconds), "{seconds}");
    assert_eq!(
        stop.at.since(start.at).as_secs(),
        u64::from(seconds),
        "the Stop is of when it ended"
    );
}

#[test]
fn the_name_of_a_session_finds_it_while_it_lives() {
    let mut world = with_sessions(told(0), 2);
    let starts = of(&world, Status::Start);
    let ids: Vec<AccountId> = starts
        .iter()
        .map(|record| record.session.parse().expect("a name"))
        .collect();
    let page = world
        .node
        .sessions(&SessionFilter::default(), None, 10, world.now);
    for session in &page.sessions {
        let id: AccountId = session.acct_session_id.parse().expect("a name");
        assert!(ids.contains(&id));
        let found = world.node.session_of_account(id);
        let expected = (TunnelId(session.tunnel), SessionId(session.session));
        assert_eq!(found, Some(expected));
        let earlier = AccountId {
            epoch: id.epoch - 1,
            ..id
        };
        assert_eq!(world.node.session_of_account(earlier), None);
    }
    let (tunnel, session) = world.node.session_of_account(ids[0]).expect("the first");
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(Duration::from_secs(1));
    assert_eq!(world.node.session_of_account(ids[0]), None);
    assert!(world.node.session_of_account(ids[1]).is_some());
}

#[test]
fn interims_tell_what_the_workers_have_counted_at_their_interval_and_a_tenth() {
    let mut world = with_sessions(told(100), 1);
    let (_, _, slot) = only_session(&world);
    for round in 1..=50_u64 {
        let so_far = passed((round, round * 1000), (2 * round, round));
        world.workers.counters.insert(slot, so_far);
        world.run(Duration::from_secs(10));
    }
    let interims = of(&world, Status::Interim);
    assert!((4..=5).contains(&interims.len()), "{}", interims.len());
    let begins = of(&world, Status::Start)[0].at;
    let mut last = (begins, 0);
    let mut gaps = Vec::new();
    for record in &interims {
        let gap = record.at.since(last.0);
        assert!(gap >= Duration::from_secs(100) && gap <= Duration::from_millis(110_100));
        let seconds = number(record, kind::ACCT_SESSION_TIME).expect("its time");
        assert_eq!(u64::from(seconds), record.at.since(begins).as_secs());
        let octets = number(record, kind::ACCT_INPUT_OCTETS).expect("octets");
        // What had passed within the ten seconds before.
        let round = record.at.since(Instant::ZERO).as_millis() / 10_000;
        assert!(octets > last.1 && u128::from(octets / 1000).abs_diff(round) <= 1);
        last = (record.at, octets);
        gaps.push(gap);
    }
    gaps.dedup();
    assert!(gaps.len() > 1, "all gaps are equal: {gaps:?}");
}

#[test]
fn sessions_that_came_together_do_not_tell_together() {
    let mut world = with_sessions(told(600), 100);
    world.run(Duration::from_secs(700));
    let interims = of(&world, Status::Interim);
    assert_eq!(interims.len(), 100);
    let mut tenths: Vec<u128> = interims
        .iter()
        .map(|record| record.at.since(Instant::ZERO).as_millis() / 100)
        .collect();
    tenths.dedup();
    assert!(tenths.len() > 50, "{}", tenths.len());
}

#[test]
fn counters_that_do_not_come_are_those_that_were_told_last() {
    let mut world = with_sessions(told(60), 1);
    let (tunnel, session, slot) = only_session(&world);
    world.workers.forget_finals = true;
    world
        .workers
        .counters
        .insert(slot, passed((1, 1000), (0, 0)));
    world.run(Duration::from_secs(70));
    assert_eq!(of(&world, Status::Interim).len(), 1);
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(Duration::from_secs(3));
    let [stop] = of(&world, Status::Stop)[..] else {
        panic!("one Stop")
    };
    assert_eq!(number(stop, kind::ACCT_INPUT_OCTETS), Some(1000));
    assert_eq!(world.node.stats().drops["no_final_report"], 1);
}

#[test]
fn who_was_never_up_and_who_was_never_asked_has_no_records() {
    let mut world = World::new(told(60), 1);
    world.dial_tunnel(1701, Some(SECRET));
    world.dial(0, 1, Client::new("user1", "wrong"));
    world.run(Duration::from_secs(5));
    assert_eq!(world.ends(), ["authentication_failed"]);
    assert_eq!(statuses(&world), [Status::On]);

    let mut anybody = told(60);
    anybody.ppp.authentication = vec![Authentication::None];
    let mut world = with_sessions(anybody, 1);
    world.run(Duration::from_secs(100));
    world.node.handle_drain(world.now);
    world.run(Duration::from_secs(5));
    assert_eq!(statuses(&world), [Status::On, Status::Off]);
}

#[test]
fn without_servers_nobody_is_told_anything() {
    let mut world = with_sessions(config(), 3);
    world.node.handle_drain(world.now);
    world.run(Duration::from_secs(5));
    assert!(world.orders.is_empty());
    assert!(world.node.is_drained());
}

#[test]
fn a_node_that_leaves_tells_of_each_session_and_then_of_itself() {
    let mut world = with_sessions(told(60), 600);
    world.node.handle_drain(world.now);
    assert!(!world.node.is_drained());
    world.run(Duration::from_secs(5));
    assert!(world.node.is_drained());
    let told = statuses(&world);
    let stops = of(&world, Status::Stop);
    assert_eq!(stops.len(), 600);
    assert_eq!(told.first(), Some(&Status::On));
    assert_eq!(told.last(), Some(&Status::Off));
    assert_eq!(told.iter().filter(|it| **it == Status::Off).count(), 1);
    for stop in stops {
        assert_eq!(number(stop, kind::ACCT_TERMINATE_CAUSE), Some(7));
    }
    let on_and_off = [of(&world, Status::On)[0], of(&world, Status::Off)[0]];
    assert_ne!(on_and_off[0].session, on_and_off[1].session);
    for record in on_and_off {
        let id = text(record, kind::ACCT_SESSION_ID);
        assert_eq!(id.as_deref(), Some(&*record.session));
    }
}

#[test]
fn no_name_is_given_twice_whatever_the_sessions_are_about() {
    let mut world = with_sessions(told(60), 50);
    world.node.handle_drain(world.now);
    world.run(Duration::from_secs(5));
    let mut names: Vec<_> = records(&world)
        .into_iter()
        .filter(|record| record.status != Status::Stop)
        .map(|record| &record.session)
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!((all, names.len()), (52, 52));
}

#[test]
fn a_reload_that_brings_the_first_servers_begins_with_on_and_tells_of_new_sessions() {
    let mut world = with_sessions(config(), 1);
    let mut brought = told(60);
    brought.epoch = config().epoch;
    world.node.handle_config(brought.clone(), world.now);
    world.node.handle_config(brought, world.now);
    world.dial(0, 2, Client::new("user2", "user2"));
    world.run(Duration::from_secs(5));
    assert_eq!(statuses(&world), [Status::On, Status::Start]);
    assert_eq!(
        text(of(&world, Status::Start)[0], kind::USER_NAME).as_deref(),
        Some("user2")
    );
    // And one that takes them away ends it.
    world.node.handle_config(config(), world.now);
    world.run(Duration::from_secs(200));
    world.node.handle_drain(world.now);
    world.run(Duration::from_secs(5));
    assert_eq!(statuses(&world), [Status::On, Status::Start]);
    assert!(world.node.is_drained());
}

#[test]
fn a_reload_changes_how_often_sessions_that_live_are_told_of() {
    let mut world = with_sessions(told(600), 2);
    let mut told_within = |interim, seconds| {
        world.node.handle_config(told(interim), world.now);
        let before = of(&world, Status::Interim).len();
        world.run(Duration::from_secs(seconds));
        of(&world, Status::Interim).len() - before
    };
    assert_eq!(told_within(60, 140), 4, "two of each");
    assert_eq!(told_within(0, 1000), 0);
    assert_eq!(told_within(300, 340), 2);
    // A reload that says the same begins nothing anew.
    assert_eq!(told_within(300, 200), 0);
    assert_eq!(told_within(300, 140), 2);
}

#[test]
fn who_is_replaced_has_a_stop_before_the_other_has_a_start() {
    let mut replacing = told(60);
    replacing.subscribers.duplicates.action = DuplicateAction::Replace;
    let mut world = with_sessions(replacing, 1);
    world.dial(0, 2, Client::new("user1", "user1"));
    world.run(Duration::from_secs(5));
    assert_eq!(
        statuses(&world),
        [Status::On, Status::Start, Status::Stop, Status::Start]
    );
    let stop = of(&world, Status::Stop)[0];
    assert_eq!(number(stop, kind::ACCT_TERMINATE_CAUSE), Some(13));
    let starts = of(&world, Status::Start);
    assert_eq!(stop.session, starts[0].session);
    assert_ne!(starts[0].session, starts[1].session);
}
