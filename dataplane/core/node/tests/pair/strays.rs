//! A node that took over without having heard of everything: who is not let in meanwhile, and how what it had not
//! heard of is ended.

use core::time::Duration;

use lns_node::radius::Order;
use lns_node::{Beginning, Event, Node, RecordChange, RecordKey, StoreTime, Unreadable};
use lns_radius::record::{Record, Status};
use lns_wire::radius::{Attributes, kind};

use crate::client::Client;
use crate::manifest::{SECRET, accounted, seconds};
use crate::world::World;

fn date(world: &World) -> StoreTime {
    StoreTime(1_795_000_000_000 + world.now.as_millis())
}

fn records(node: &mut Node) -> Vec<Record> {
    let orders = core::iter::from_fn(|| node.poll_order());
    let records = orders.filter_map(|order| match order {
        Order::Record(record) => Some(*record),
        _ => None,
    });
    records.collect()
}

fn number(record: &Record, wanted: u8) -> Option<u32> {
    let found =
        Attributes::new(record.attributes.octets()).find(|attribute| attribute.kind == wanted);
    let value = found?.value;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

#[test]
fn what_nobody_has_taken_over_has_one_stop_and_its_ids_and_address_rest() {
    let mut world = World::followed(accounted(), 20);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=5 {
        let name = format!("guest{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    let names = |status: Status, records: &[Record]| {
        let of = records.iter().filter(|it| it.status == status);
        let mut names: Vec<String> = of.map(|it| it.session.to_string()).collect();
        names.sort();
        names
    };
    let told: Vec<Record> = world
        .orders
        .drain(..)
        .filter_map(|order| match order {
            Order::Record(record) => Some(*record),
            _ => None,
        })
        .collect();
    let started = names(Status::Start, &told);
    assert_eq!(started.len(), 5);
    let store = world.followed.as_ref().expect("followed").store.clone();
    assert_eq!(store.len(), 6);

    let (now, date) = (world.now, date(&world));
    let mut node = Node::standby(accounted(), [77; 32], now);
    let (first, octets) = store.first_key_value().expect("records");
    assert_eq!(
        node.handle_stray(*first, octets, now, date),
        Ok(false),
        "it follows"
    );
    node.handle_takeover(9, Beginning::Takeover, now);
    assert_eq!(
        node.handle_stray(*first, b"\x01nonsense", now, date),
        Err(Unreadable::Damaged)
    );
    for (key, octets) in &store {
        assert_eq!(node.handle_stray(*key, octets, now, date), Ok(true));
        assert_eq!(node.handle_stray(*key, octets, now, date), Ok(false));
    }
    let stops = records(&mut node);
    assert_eq!(names(Status::Stop, &stops), started);
    assert_eq!(stops.len(), 5, "{stops:?}");
    for stop in &stops {
        assert_eq!(number(stop, kind::ACCT_TERMINATE_CAUSE), Some(9));
        assert!(number(stop, kind::FRAMED_IP_ADDRESS).is_some());
        assert!(number(stop, kind::ACCT_SESSION_TIME) >= Some(5));
    }
    assert_eq!(node.status().sessions, 0);
    assert_eq!(node.pools().first().map(|pool| pool.resting), Some(5));

    let mut octets = Vec::new();
    let mut written = std::collections::BTreeMap::new();
    while let Some((key, change)) = node.poll_record(now, date, &mut octets) {
        assert!(matches!(change, RecordChange::Put { .. }));
        written.insert(key, octets.clone());
    }
    assert!(written.keys().eq(store.keys()), "all are over");
    // Whoever follows has them rest, too, and tells nobody a second time.
    let mut next = Node::standby(accounted(), [78; 32], now);
    for (key, octets) in &written {
        assert_eq!(next.handle_record(*key, octets, now, date), Ok(()));
    }
    next.handle_takeover(10, Beginning::Takeover, now);
    assert_eq!(names(Status::Stop, &records(&mut next)), [""; 0]);
    assert_eq!(next.pools().first().map(|pool| pool.resting), Some(5));

    let later = now + seconds(3600);
    node.handle_timeout(later);
    let mut forgotten = std::collections::BTreeSet::new();
    while let Some((key, change)) = node.poll_record(later, date, &mut octets) {
        assert_eq!(change, RecordChange::Forget);
        forgotten.insert(key);
    }
    assert!(forgotten.iter().eq(store.keys()), "and are forgotten");
}

#[test]
fn a_stray_of_a_tunnel_that_goes_on_keeps_its_id_from_others() {
    let mut world = World::followed(accounted(), 21);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=2 {
        let name = format!("guest{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    let store = world.followed.as_ref().expect("followed").store.clone();
    let (stray, octets) = store.last_key_value().expect("records");
    let (now, date) = (world.now, date(&world));
    let mut node = Node::standby(accounted(), [79; 32], now);
    for (key, octets) in store.iter().filter(|(key, _)| *key != stray) {
        assert_eq!(node.handle_record(*key, octets, now, date), Ok(()));
    }
    node.handle_takeover(9, Beginning::Takeover, now);
    assert_eq!(node.handle_stray(*stray, octets, now, date), Ok(true));
    assert_eq!(records(&mut node).len(), 1);
    assert_eq!(node.status().sessions, 1, "the other one goes on");
    let RecordKey::Session(tunnel, session) = *stray else {
        panic!("{stray} is no session");
    };
    assert_eq!(node.index().lookup(tunnel, session), None);
    let resting = node.handle_stray(*stray, octets, now, date);
    assert_eq!(resting, Ok(false), "it is known to be over");
}

#[test]
fn while_it_is_unknown_who_has_what_nobody_new_is_let_in_and_who_is_in_stays() {
    let mut world = World::followed(accounted(), 22);
    world.dial_tunnel(1701, Some(SECRET));
    world.dial(0, 1, Client::new("guest1", "guest1"));
    world.run(seconds(5));
    assert!(world.is_up(0, 1));
    // This one has no address yet.
    world.dial(0, 2, Client::new("guest2", "guest2"));
    world.run(Duration::from_millis(20));
    assert!(!world.is_up(0, 2));

    world.node.handle_admission(false);
    world.events.clear();
    world.dial(0, 3, Client::new("guest3", "guest3"));
    let second = world.dial_tunnel(1702, Some(SECRET));
    world.run(seconds(6));
    assert!(world.is_up(0, 1), "who is in, stays");
    assert!(!world.is_up(0, 2) && !world.is_up(0, 3));
    let refused = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::CallRefused { reason, .. } | Event::LacRefused { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect::<Vec<_>>();
    assert!(refused.len() >= 2, "{refused:?}");
    assert!(refused.iter().all(|reason| *reason == "taking_over"));
    assert_eq!(world.node.pools().first().map(|pool| pool.used), Some(1));
    assert!(!world.lacs[second].up && world.lacs[second].closed.is_none());

    world.node.handle_admission(true);
    world.run(seconds(20));
    assert!(world.lacs[second].up, "it has said it again");
    world.dial(second, 1, Client::new("guest4", "guest4"));
    world.dial(0, 4, Client::new("guest5", "guest5"));
    world.run(seconds(5));
    assert!(world.is_up(second, 1) && world.is_up(0, 4));
}

#[test]
fn what_was_given_back_rests_until_all_members_know_over_takeovers_too() {
    let mut of_member = accounted();
    of_member.id_rest = seconds(600);
    let mut world = World::followed(of_member, 23);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=2 {
        let name = format!("guest{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(10));
    let resting = |world: &mut World| {
        world.node.settle_pools(world.now, 1000);
        let store = &world.followed.as_ref().expect("followed").store;
        // A tunnel and a session go on.
        let graves = store.len() - 2;
        (
            world.node.pools().first().map(|pool| pool.resting),
            graves,
            world.node.pools().first().map(|pool| pool.used),
        )
    };
    let key = *world
        .followed
        .as_ref()
        .and_then(|followed| followed.store.keys().last())
        .expect("records");
    let RecordKey::Session(tunnel, session) = key else {
        panic!("{key} is no session");
    };
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(seconds(400));
    assert_eq!(resting(&mut world), (Some(1), 1, Some(1)));
    world.take_over_by(false);
    world.run(seconds(550));
    assert_eq!(
        resting(&mut world),
        (Some(0), 1, Some(1)),
        "the id since the takeover; the address since this node was told"
    );
    world.run(seconds(100));
    assert_eq!(
        resting(&mut world),
        (Some(0), 0, Some(1)),
        "all of S is over"
    );

    // Where all members know, it is as on a node that serves alone.
    world.dial(0, 3, Client::new("guest3", "guest3"));
    world.run(seconds(10));
    let key = *world
        .followed
        .as_ref()
        .and_then(|followed| {
            let mut keys = followed.store.keys();
            keys.find(|it| matches!(it, RecordKey::Session(..)))
        })
        .expect("records");
    let RecordKey::Session(tunnel, session) = key else {
        panic!("{key} is no session");
    };
    let given_back = world.now;
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(seconds(90));
    assert_eq!(resting(&mut world), (Some(1), 1, Some(1)));
    world.node.handle_heard_by_all(given_back);
    world.run(seconds(5));
    assert_eq!(resting(&mut world), (Some(1), 1, Some(1)), "they know less");
    world.node.handle_heard_by_all(world.now);
    world.run(seconds(5));
    assert_eq!(resting(&mut world), (Some(0), 0, Some(1)));
}
