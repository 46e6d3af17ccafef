//! Conforming LACs and subscribers with the real node: they come up in every way that there is, stay,
//! and leave nothing.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test's own panics are its findings"
)]

use core::net::SocketAddr;
use core::time::Duration;

use lns_crypto::Secret;
use lns_node::config::{Authentication, Config};
use lns_sim::config::{FIXED, SECRET, config};
use lns_sim::peers::{LacSettings, LineSettings, Login, Method, Proxied};
use lns_sim::world::{Faults, SERVICE, World};

fn lac() -> LacSettings {
    let address = SocketAddr::from(([198, 18, 0, 1], 1701));
    LacSettings {
        secret: Some(Secret::new(SECRET.as_bytes())),
        ..LacSettings::new(address, SERVICE, "lac1")
    }
}

fn line(user: usize) -> LineSettings {
    let name = format!("user{user}");
    LineSettings::new(Login::new(&name, &name))
}

/// A world with one LAC of `lines` lines.
fn world(config: Config, lac: LacSettings, lines: usize) -> World {
    let mut world = World::new(config, 1);
    world.add_lac(lac);
    for user in 0..lines {
        world.add_line(0, line(user));
    }
    world
}

fn up(world: &World) -> usize {
    let lines = world.lacs()[0].lines().iter();
    lines
        .filter(|line| line.subscriber().address().is_some())
        .count()
}

#[test]
fn a_hundred_subscribers_come_up_stay_and_leave_nothing() {
    let mut world = world(config(100), lac(), 100);
    world.run(Duration::from_secs(2));
    assert_eq!(up(&world), 100);
    world.run(Duration::from_secs(3_600));
    assert_eq!(up(&world), 100);
    assert!(
        world.lacs()[0]
            .lines()
            .iter()
            .all(|line| line.subscriber().logins() == 1)
    );
    let now = world.now();
    for line in 0..100 {
        world.with_lac(0, |lac| lac.hang_up(line, now));
    }
    world.run(Duration::from_secs(5));
    world.with_lac(0, |lac| lac.close(now));
    world.run(Duration::from_secs(120));
    let status = world.node().status();
    assert_eq!((status.sessions, status.sessions_opening), (0, 0));
    assert_eq!(
        (status.tunnels, status.tunnels_opening, status.overdue),
        (0, 0, 0)
    );
    assert_eq!(
        (
            world.workers().sessions(),
            world.workers().tunnels().count()
        ),
        (0, 0)
    );
    assert_eq!(world.node().pools()[0].used, 0);
}

#[test]
fn every_method_and_all_that_a_lac_settles_before_logs_in() {
    let methods = [
        (Authentication::Chap, Method::Chap),
        (Authentication::MsChapV2, Method::MsChapV2),
        (Authentication::Pap, Method::Pap),
    ];
    for (asked, method) in methods {
        for proxied in [Proxied::No, Proxied::Lcp, Proxied::Chap, Proxied::Pap] {
            for sequencing in [false, true] {
                let mut config = config(1);
                config.ppp.authentication = vec![asked];
                let mut world = world(config, lac(), 0);
                let mut login = Login::new("user0", "user0");
                login.methods = vec![method, Method::Pap];
                let settings = LineSettings {
                    proxied,
                    sequencing,
                    ..LineSettings::new(login)
                };
                world.add_line(0, settings);
                world.run(Duration::from_secs(5));
                assert!(world.is_up(0, 0), "{asked:?} {proxied:?} {sequencing}");
            }
        }
    }
}

#[test]
fn a_subscriber_without_authentication_and_one_with_its_own_address_come_up() {
    let mut open = config(1);
    open.ppp.authentication = vec![Authentication::None];
    let mut anyone = world(open, lac(), 1);
    anyone.run(Duration::from_secs(2));
    assert!(anyone.is_up(0, 0));
    let mut world = world(config(1), lac(), 0);
    world.add_line(0, LineSettings::new(Login::new("fixed", "fixed")));
    world.run(Duration::from_secs(2));
    assert_eq!(world.address(0, 0), Some(FIXED));
}

#[test]
fn hidden_avps_and_no_secret_at_all_come_up() {
    let mut hiding = config(1);
    hiding.lacs[0].hide_avps = true;
    let hides = LacSettings {
        hides: true,
        ..lac()
    };
    let mut world_of_secrets = world(hiding, hides, 1);
    world_of_secrets.run(Duration::from_secs(2));
    assert!(world_of_secrets.is_up(0, 0));
    let mut open = config(1);
    open.lacs[0].secret = None;
    let mut world = world(
        open,
        LacSettings {
            secret: None,
            ..lac()
        },
        1,
    );
    world.run(Duration::from_secs(2));
    assert!(world.is_up(0, 0));
}

#[test]
fn a_wrong_password_stays_out_and_a_wrong_secret_gets_no_tunnel() {
    let mut wrong = world(config(1), lac(), 0);
    wrong.add_line(0, LineSettings::new(Login::new("user0", "wrong")));
    wrong.run(Duration::from_secs(60));
    assert_eq!((wrong.is_up(0, 0), wrong.lacs()[0].tunnels()), (false, 1));
    let secret = Some(Secret::new(*b"another secret of sixteen"));
    let mut wrong = world(config(1), LacSettings { secret, ..lac() }, 1);
    wrong.run(Duration::from_secs(60));
    assert_eq!((wrong.is_up(0, 0), wrong.lacs()[0].tunnels()), (false, 0));
}

#[test]
fn everybody_comes_up_over_a_line_that_loses_repeats_reorders_and_corrupts() {
    let mut world = world(config(50), lac(), 0);
    world.set_faults(Faults {
        loss: 100,
        duplication: 100,
        reordering: 100,
        corruption: 20,
        delay: 20,
    });
    for user in 0..50 {
        world.add_line(0, line(user));
    }
    world.run(Duration::from_secs(300));
    world.set_faults(Faults::default());
    world.run(Duration::from_secs(120));
    assert_eq!(up(&world), 50);
}

#[test]
fn a_lac_that_loses_its_memory_and_one_that_is_paused_come_back() {
    let mut world = world(config(10), lac(), 10);
    world.run(Duration::from_secs(5));
    let now = world.now();
    world.with_lac(0, |lac| lac.restart(now));
    world.run(Duration::from_secs(30));
    assert_eq!(up(&world), 10);
    world.pause_node(Duration::from_secs(300), true);
    world.run(Duration::from_secs(500));
    assert_eq!(up(&world), 10);
    assert_eq!(world.node().status().tunnels, 1);
}

#[test]
fn equal_seeds_give_equal_worlds() {
    let run = |seed| {
        let mut world = World::new(config(20), seed);
        world.add_lac(lac());
        world.set_faults(Faults {
            loss: 50,
            reordering: 50,
            ..Faults::default()
        });
        for user in 0..20 {
            world.add_line(0, line(user));
        }
        world.run(Duration::from_secs(300));
        let addresses: Vec<_> = (0..20).map(|line| world.address(0, line)).collect();
        (world.steps(), addresses)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
