//! What an engineer does to a node: disconnects, limits of time, drains, reloads.

use core::time::Duration;

use lns_node::Event;
use lns_node::view::SessionFilter;
use lns_wire::id::{SessionId, TunnelId};

use crate::client::Client;
use crate::manifest::{SECRET, config};
use crate::world::World;

fn with_sessions(config: lns_node::config::Config, count: u16) -> World {
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

fn ids(world: &World, filter: &SessionFilter) -> Vec<(TunnelId, SessionId)> {
    let page = world.node.sessions(filter, None, 1000, world.now);
    page.sessions
        .iter()
        .map(|session| (TunnelId(session.tunnel), SessionId(session.session)))
        .collect()
}

#[test]
fn a_disconnected_subscriber_hears_of_it_before_its_lac_does() {
    let mut world = with_sessions(config(), 3);
    let filter = SessionFilter {
        user: Some(Box::from(*b"user2")),
        ..SessionFilter::default()
    };
    let [(tunnel, session)] = ids(&world, &filter)[..] else {
        panic!("one session of user2")
    };
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(Duration::from_secs(1));
    assert!(world.client(0, 2).terminated && world.caller(0, 2).cleared);
    assert_eq!(world.ends(), ["admin_reset"]);
    assert_eq!(world.node.status().sessions, 2);
    assert!(
        !world.node.handle_disconnect(tunnel, session, world.now),
        "it is gone"
    );
}

#[test]
fn a_tunnel_that_is_ended_takes_its_calls_with_it() {
    let mut world = with_sessions(config(), 600);
    let (tunnels, _) = world.node.tunnels(None, 10, world.now);
    assert!(
        world
            .node
            .handle_disconnect_tunnel(TunnelId(tunnels[0].id), world.now)
    );
    world.run(Duration::from_secs(1));
    assert_eq!(world.lacs[0].closed.as_deref(), Some("peer_request"));
    assert_eq!(world.ends().len(), 600);
    let status = world.node.status();
    assert_eq!((status.tunnels, status.sessions), (0, 0));
    assert!(world.workers.tunnels.is_empty());
}

#[test]
fn a_session_ends_at_its_age_and_an_idle_one_for_want_of_traffic() {
    let mut limited = config();
    limited.subscribers.session = Duration::from_secs(100);
    limited.subscribers.idle = Duration::from_secs(20);
    let mut world = with_sessions(limited, 2);
    // The first subscriber sends something every five seconds; the other is idle.
    let busy = ids(
        &world,
        &SessionFilter {
            user: Some(Box::from(*b"user1")),
            ..SessionFilter::default()
        },
    );
    let slot = world.workers.slot(busy[0].0, busy[0].1).expect("a slot");
    for _ in 0..19 {
        world.workers.last_forwarded.insert(slot, world.now);
        world.run(Duration::from_secs(5));
    }
    assert_eq!(world.ends(), ["idle_timeout"]);
    world.workers.last_forwarded.insert(slot, world.now);
    world.run(Duration::from_secs(10));
    assert_eq!(world.ends(), ["idle_timeout", "session_timeout"]);
    assert_eq!(world.node.stats().overdue, 0);
}

#[test]
fn a_drained_node_tells_each_lac_and_accepts_nothing_more() {
    let mut world = with_sessions(config(), 20);
    world.dial_tunnel(1702, Some(SECRET));
    world.run(Duration::from_secs(2));
    world.node.handle_drain(world.now);
    world.dial_tunnel(1703, Some(SECRET));
    world.run(Duration::from_secs(1));
    assert!(world.node.is_drained());
    let ends = world.lacs.iter().map(|lac| lac.closed.as_deref());
    // Who comes too late is sent elsewhere.
    let told = ["peer_shutdown", "peer_shutdown", "peer_general_error"];
    assert!(ends.eq(told.map(Some)));
    assert_eq!(world.ends().len(), 20);
    assert!(world.node.status().draining);
}

#[test]
fn a_reload_ends_no_session_whatever_it_changes() {
    let mut world = with_sessions(config(), 10);
    let mut changed = config();
    changed.lacs.clear();
    changed.pools.clear();
    changed.subscribers.users.clear();
    world.node.handle_config(changed, world.now);
    world.run(Duration::from_secs(200));
    assert_eq!(world.node.status().sessions, 10);
    assert_eq!(world.node.lacs()[0].admission, "Removed");
    // All that the old entry still had goes with its last tunnel.
    world.node.handle_config(config(), world.now);
    world.dial(0, 99, Client::new("user9", "user9"));
    world.run(Duration::from_secs(5));
    assert!(world.is_up(0, 99));
    assert_eq!(world.node.pools()[0].used, 11);
}

#[test]
fn addresses_in_use_go_over_with_their_prefix_and_are_nobody_elses() {
    let mut world = with_sessions(config(), 10);
    let mut changed = config();
    changed.pools[0].name = "renamed".into();
    world.node.handle_config(changed, world.now);
    let pools = world.node.pools();
    assert_eq!(pools.len(), 1, "{pools:?}");
    assert_eq!((&*pools[0].name, pools[0].used), ("renamed", 10));
    world.dial(0, 99, Client::new("user99", "user99"));
    world.run(Duration::from_secs(5));
    let new = world.address(0, 99).expect("an address");
    for id in 1..=10 {
        assert_ne!(world.address(0, id), Some(new), "held twice");
    }
    // What is given back rests where it lies now.
    world
        .node
        .handle_disconnect_tunnel(TunnelId(world.lacs[0].machine.peer().0), world.now);
    world.run(Duration::from_secs(5));
    let pool = world.node.pools().remove(0);
    assert_eq!((pool.used, pool.resting), (0, 11));
}

#[test]
fn sessions_are_shown_in_pages_that_together_are_all_of_them() {
    let world = with_sessions(config(), 50);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = world
            .node
            .sessions(&SessionFilter::default(), after, 7, world.now);
        seen.extend(page.sessions.into_iter().map(|session| session.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 50);
    let filter = SessionFilter {
        calling_number: Some("0301234567".into()),
        ..SessionFilter::default()
    };
    assert_eq!(ids(&world, &filter).len(), 50);
}

#[test]
fn a_subscriber_is_challenged_again_when_it_is_configured() {
    let mut again = config();
    again.ppp.rechallenge = Duration::from_secs(30);
    let mut world = with_sessions(again, 1);
    world.run(Duration::from_secs(100));
    assert!(world.client(0, 1).challenges_seen >= 4);
    assert!(world.ends().is_empty());
    let ups = world
        .events
        .iter()
        .filter(|event| matches!(event, Event::SessionUp { .. }))
        .count();
    assert_eq!(ups, 1);
}
