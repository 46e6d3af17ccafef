//! Our ends of the links, when a reload changes them: who has one keeps it, and nobody else gets it.

use core::net::Ipv4Addr;
use core::time::Duration;

use lns_node::config::Config;
use lns_tables::time::Instant;
use lns_wire::id::TunnelId;

use crate::client::Client;
use crate::manifest::{LOCAL, SECRET, config};
use crate::world::World;

const OTHER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const REST: Duration = Duration::from_secs(60);
const SECONDS: Duration = Duration::from_secs(5);

/// A pool of 100.64.0.0 to 100.64.0.3, whose addresses rest for a minute.
fn small(local: Ipv4Addr) -> Config {
    let mut config = config();
    config.pools[0].local_address = local;
    config.pools[0].addresses.prefixes[0].net = "100.64.0.0/30".parse().expect("a prefix");
    config
}

/// `count` subscribers with `LOCAL` as their peer.
fn with_sessions(config: Config, count: u16) -> World {
    let mut world = World::new(config, 1);
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        dial(&mut world, 0, id);
    }
    world
}

/// The address that the next subscriber gets.
fn dial(world: &mut World, lac: usize, id: u16) -> Option<Ipv4Addr> {
    let name = format!("user{id}");
    world.dial(lac, id, Client::new(&name, &name));
    world.run(SECONDS);
    world.address(lac, id)
}

fn end_tunnel(world: &mut World, lac: usize) {
    let tunnel = TunnelId(world.lacs[lac].machine.peer().0);
    world.node.handle_disconnect_tunnel(tunnel, world.now);
    world.run(SECONDS);
}

fn in_use(world: &World) -> Vec<Ipv4Addr> {
    world.node.local_addresses_in_use().collect()
}

#[test]
fn a_former_local_address_is_nobodys_while_a_session_has_it_as_its_peer() {
    let mut world = with_sessions(small(LOCAL), 1);
    assert_eq!(world.address(0, 1), Some(Ipv4Addr::new(100, 64, 0, 0)));
    assert_eq!(in_use(&world), [LOCAL]);
    world.node.handle_config(small(OTHER), world.now);
    world.dial_tunnel(1702, Some(SECRET));
    let last = Ipv4Addr::new(100, 64, 0, 3);
    assert_eq!(dial(&mut world, 1, 2), Some(last));
    assert_eq!(dial(&mut world, 1, 3), None, "all are in use");
    assert_eq!(in_use(&world), [LOCAL, OTHER]);
    let pool = world.node.pools().remove(0);
    assert_eq!((pool.free, pool.used, pool.excluded), (0, 2, 2));
    // Not even who says so frees it as long as it is used.
    world.node.handle_free_local(LOCAL, world.now);
    assert_eq!(dial(&mut world, 1, 4), None);

    end_tunnel(&mut world, 0);
    assert_eq!(in_use(&world), [OTHER]);
    world.run(REST);
    assert_eq!(dial(&mut world, 1, 5), Some([100, 64, 0, 0].into()));
    assert_eq!(dial(&mut world, 1, 6), None, "the machine still has it");
    world.node.handle_free_local(LOCAL, world.now);
    assert_eq!(dial(&mut world, 1, 7), None, "it rests");
    world.run(REST);
    assert_eq!(dial(&mut world, 1, 8), Some(LOCAL));
}

#[test]
fn a_former_local_address_stays_kept_back_through_further_reloads() {
    let mut world = with_sessions(small(LOCAL), 1);
    world.node.handle_config(small(OTHER), world.now);
    // Into another pool, out of all of them, and back.
    let mut renamed = small(OTHER);
    renamed.pools[0].name = "renamed".into();
    let mut elsewhere = small(OTHER);
    elsewhere.pools[0].addresses.prefixes[0].net = "100.65.0.0/30".parse().expect("a prefix");
    for config in [renamed, elsewhere, small(OTHER)] {
        world.node.handle_config(config, world.now);
    }
    assert_eq!(dial(&mut world, 0, 2), Some([100, 64, 0, 3].into()));
    assert_eq!(dial(&mut world, 0, 3), None);
    // As a local address it is a subscriber's peer again, not a subscriber's.
    world.node.handle_config(small(LOCAL), world.now);
    assert_eq!(in_use(&world), [LOCAL, OTHER]);
    let pool = world.node.pools().remove(0);
    assert_eq!((pool.free, pool.used, pool.excluded), (0, 2, 2));
    assert_eq!(dial(&mut world, 0, 4), None);
}

#[test]
fn a_user_whose_own_address_is_a_former_local_address_waits_for_its_end() {
    let mut world = with_sessions(small(LOCAL), 1);
    let mut changed = small(OTHER);
    let user = changed.subscribers.users.get_mut(&b"fixed"[..]);
    user.expect("the user").address = Some(LOCAL);
    world.node.handle_config(changed, world.now);
    world.dial_tunnel(1702, Some(SECRET));
    world.dial(1, 2, Client::new("fixed", "fixed"));
    world.run(SECONDS);
    assert_eq!(world.address(1, 2), None);
    end_tunnel(&mut world, 0);
    world.node.handle_free_local(LOCAL, world.now);
    world.run(REST);
    world.dial(1, 3, Client::new("fixed", "fixed"));
    world.run(SECONDS);
    assert_eq!(world.address(1, 3), Some(LOCAL));
}

#[test]
fn who_holds_an_address_that_is_to_be_a_local_address_is_named() {
    let world = with_sessions(small(LOCAL), 2);
    let held = world.address(0, 2).expect("an address");
    let now: Instant = world.now;
    let pools = small(held).pools;
    let (pool, holder) = world
        .node
        .local_address_holder(&pools, now)
        .expect("a holder");
    assert_eq!(&*pool.name, "default");
    assert_eq!(holder.user.as_deref(), Some("user2"));
    assert_eq!(holder.address, Some(held));
    for free in [LOCAL, [100, 64, 0, 3].into()] {
        let pools = small(free).pools;
        assert!(world.node.local_address_holder(&pools, now).is_none());
    }
}
