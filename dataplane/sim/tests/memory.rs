//! I18: nothing more is allocated while nothing more happens.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    missing_docs,
    reason = "a test's own panics are its findings"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::alloc::System;

use lns_crypto::Secret;
use lns_sim::config::{SECRET, config};
use lns_sim::peers::{LacSettings, LineSettings, Login};
use lns_sim::world::{SERVICE, Watch, World};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the whole program holds of the heap. One thread runs, so what a call adds is its own.
fn held() -> i64 {
    let stats = HEAP.stats();
    let octets = |count| i64::try_from(count).expect("an amount of memory");
    octets(stats.bytes_allocated) - octets(stats.bytes_deallocated)
}

/// What the node holds of the heap.
#[derive(Debug, Default)]
struct Heap(i64);

impl Watch for Heap {
    fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        let before = held();
        let result = call();
        self.0 += held() - before;
        result
    }
}

#[test]
fn a_node_whose_sessions_only_live_takes_no_more_memory() {
    let mut config = config(100);
    config.ppp.echo_interval = Duration::from_secs(5);
    let mut world = World::watched(config, 1, Heap::default());
    world.add_lac(LacSettings {
        secret: Some(Secret::new(SECRET.as_bytes())),
        ..LacSettings::new(SocketAddr::from(([198, 18, 0, 1], 1701)), SERVICE, "lac")
    });
    for user in 0..100 {
        let name = format!("user{user}");
        world.add_line(0, LineSettings::new(Login::new(&name, &name)));
    }
    // What is kept of the messages of the last time has its full size by then.
    world.run(Duration::from_secs(5 * 3_600));
    assert_eq!(world.node().status().sessions, 100);
    let before = world.watch().0;
    world.run(Duration::from_secs(2 * 3_600));
    assert_eq!(world.node().status().sessions, 100);
    let after = world.watch().0;
    // One message in place of another may be some octets longer.
    assert!(
        after - before < 65_536,
        "{before} octets have become {after}"
    );
}
