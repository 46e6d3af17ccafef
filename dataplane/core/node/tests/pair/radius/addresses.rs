//! The addresses and routes that a server grants.

use core::net::Ipv4Addr;
use std::collections::BTreeSet;

use lns_node::Stage;
use lns_node::config::{Allocation, Authentication, Config, Pool, PoolConfig, PoolPrefix};
use lns_wire::id::SessionId;
use lns_wire::radius::AttributeList;
use lns_wire::radius::kind;

use super::{
    SECONDS, cisco, end, granted, login, net, renegotiate, routes, session, with_radius, world,
    world_of,
};
use crate::client::Client;

#[test]
fn an_address_of_the_servers_is_given_and_taken_back_from_a_call_that_hangs() {
    let wanted = Ipv4Addr::new(203, 0, 113, 99);
    let mut world = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, wanted));
    assert_eq!(world.address(0, 1), Some(wanted));
    login(&mut world, 2, "sub@isp.example");
    assert_eq!(world.address(0, 2), Some(wanted));
    assert_eq!(world.ends(), ["address_taken_back"]);
}

#[test]
fn routes_lead_to_the_session_as_long_as_it_is_up() {
    let mut world = granted(|list| {
        list.push_ipv4(kind::FRAMED_IP_ADDRESS, [203, 0, 113, 99].into());
        list.push_ipv4(kind::FRAMED_IP_NETMASK, [255, 255, 255, 248].into());
        let route = b"198.51.100.0/24 203.0.113.99 1";
        list.push(kind::FRAMED_ROUTE, route).expect("it fits");
        cisco(list, "ip:route=192.0.2.128 255.255.255.192");
    });
    let expected = ["192.0.2.128/26", "198.51.100.0/24", "203.0.113.96/29"];
    let expected: Vec<_> = expected.iter().map(|it| ((*it).to_owned(), 1)).collect();
    assert_eq!(routes(&world), expected);
    let reached = BTreeSet::from([
        net("192.0.2.128/26"),
        net("198.51.100.0/24"),
        net("203.0.113.96/29"),
        net("203.0.113.99/32"),
    ]);
    assert_eq!(
        world.reached, reached,
        "and its address, which lies in no pool"
    );
    // It begins anew, and the server grants less.
    world.server.grant = AttributeList::new();
    world
        .server
        .grant
        .push(kind::FRAMED_ROUTE, b"198.51.100.0/24")
        .expect("it fits");
    let (now, mut frames) = (world.now, Vec::new());
    world.caller(0, 1).client.renegotiate(now, &mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert_eq!(routes(&world), [("198.51.100.0/24".to_owned(), 1)]);
    let mut frames = Vec::new();
    Client::terminate(&mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert!(routes(&world).is_empty() && world.reached.is_empty());
}

#[test]
fn a_prefix_is_the_sessions_that_it_was_granted_to_last() {
    let mut world = granted(|list| {
        list.push(kind::FRAMED_ROUTE, b"198.51.100.0/24")
            .expect("it fits");
    });
    login(&mut world, 2, "other");
    assert_eq!(routes(&world), [("198.51.100.0/24".to_owned(), 2)]);
    assert!(
        world.is_up(0, 1) && world.ends().is_empty(),
        "no session ends for it"
    );
    // IPCP of the first begins anew: it does not take back what it lost.
    let mut frames = Vec::new();
    world.caller(0, 1).client.renegotiate_ipcp(&mut frames);
    world.send_frames(0, SessionId(1), frames);
    world.run(SECONDS);
    assert!(world.is_up(0, 1));
    assert_eq!(routes(&world), [("198.51.100.0/24".to_owned(), 2)]);
    for (id, left) in [(1, 1), (2, 0)] {
        let mut frames = Vec::new();
        Client::terminate(&mut frames);
        world.send_frames(0, SessionId(id), frames);
        world.run(SECONDS);
        assert_eq!(routes(&world).len(), left);
        assert_eq!(world.reached.len(), left);
    }
}

#[test]
fn two_addresses_of_the_servers_mean_that_the_pool_or_the_peer_chooses() {
    let ours = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, [255, 255, 255, 254].into()));
    assert_eq!(
        ours.address(0, 1).expect("it is up").octets()[..2],
        [100, 64]
    );
    assert_eq!(session(&ours).pool.as_deref(), Some("default"));
    let mut theirs = world(Authentication::Chap);
    theirs
        .server
        .grant
        .push_ipv4(kind::FRAMED_IP_ADDRESS, [255; 4].into());
    let chosen = Ipv4Addr::new(198, 51, 100, 200);
    theirs.dial(0, 1, Client::new("sub", "sub").asking_for(chosen));
    theirs.run(SECONDS);
    assert_eq!(theirs.address(0, 1), Some(chosen));
}

#[test]
fn an_address_that_is_ours_is_nobody_elses() {
    let world = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, crate::manifest::LOCAL));
    assert!(!world.is_up(0, 1));
    let (stage, reason, _) = end(&world);
    assert_eq!((stage, reason), (Stage::Address, "address_unavailable"));
}

/// A pool `gold` beside the default one.
fn with_pools() -> Config {
    let mut config = with_radius(Authentication::Chap);
    let gold = Pool {
        name: "gold".into(),
        local_address: Ipv4Addr::new(100, 65, 0, 1),
        addresses: PoolConfig {
            prefixes: vec![PoolPrefix {
                net: "100.65.0.0/29".parse().expect("a prefix"),
                allocation: Allocation::Enabled,
            }],
            ..config.pools[0].addresses.clone()
        },
    };
    config.pools.push(gold);
    config
}

#[test]
fn a_framed_pool_is_drawn_from_and_an_unknown_one_is_told_by_name() {
    let with_pool = |name: &str| {
        let mut world = world_of(with_pools());
        world
            .server
            .grant
            .push(kind::FRAMED_POOL, name.as_bytes())
            .expect("it fits");
        login(&mut world, 1, "sub");
        world
    };
    let mut gold = with_pool("gold");
    assert_eq!(
        gold.address(0, 1).expect("it is up").octets()[..2],
        [100, 65]
    );
    assert_eq!(session(&gold).pool.as_deref(), Some("gold"));
    for id in 2..9 {
        login(&mut gold, id, &format!("sub{id}"));
    }
    assert!(
        gold.ends().contains(&"pool_exhausted"),
        "no other pool helps out"
    );
    let unknown = with_pool("golden");
    assert_eq!(
        end(&unknown),
        (Stage::Radius, "unknown_pool", "golden".to_owned())
    );
    assert_eq!(unknown.client(0, 1).told, "Service not available");
}

#[test]
fn who_begins_anew_has_an_address_of_where_it_is_to_have_one_now() {
    let mut world = world_of(with_pools());
    login(&mut world, 1, "sub");
    let mut anew = |write: &dyn Fn(&mut AttributeList)| {
        world.server.grant = AttributeList::new();
        write(&mut world.server.grant);
        renegotiate(&mut world, 1, |_| ());
        let pool = session(&world).pool;
        (world.address(0, 1).expect("it is up"), pool)
    };
    let gold = |list: &mut AttributeList| list.push(kind::FRAMED_POOL, b"gold").expect("it fits");
    let own = Ipv4Addr::new(203, 0, 113, 99);
    let (first, pool) = anew(&gold);
    assert_eq!(pool.as_deref(), Some("gold"));
    assert_eq!(anew(&gold).0, first, "it has one of there");
    assert_eq!(anew(&|_| ()).0, first, "any pool is as good");
    let fixed = anew(&|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, own));
    assert_eq!(fixed, (own, None));
    assert_eq!(anew(&|_| ()).1.as_deref(), Some("default"));
}

#[test]
fn nobody_has_the_address_of_a_lac_or_of_ours_whoever_chose_it() {
    let (lac, service) = ([198, 51, 100, 1].into(), [192, 0, 2, 1].into());
    for taken in [lac, service, crate::manifest::LOCAL] {
        let mut world = world(Authentication::Chap);
        let grant = &mut world.server.grant;
        grant.push_ipv4(kind::FRAMED_IP_ADDRESS, [255; 4].into());
        world.dial(0, 1, Client::new("sub", "sub").asking_for(taken));
        world.run(SECONDS);
        assert_eq!(world.ends(), ["address_unavailable"], "{taken}");
        let world = granted(|list| list.push_ipv4(kind::FRAMED_IP_ADDRESS, taken));
        assert_eq!(world.ends(), ["address_unavailable"], "{taken}");
    }
}
