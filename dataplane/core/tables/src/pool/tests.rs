//! Tests of the address pool, and its agreement with a plain model.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use core::ops::Add as _;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const DELAY: Duration = Duration::from_secs(60);

fn enabled(net: &str) -> PoolPrefix {
    PoolPrefix {
        net: net.parse().unwrap(),
        allocation: Allocation::Enabled,
    }
}

fn disabled(net: &str) -> PoolPrefix {
    PoolPrefix {
        net: net.parse().unwrap(),
        allocation: Allocation::Disabled,
    }
}

fn config(prefixes: &[PoolPrefix], excluded: &[&str]) -> PoolConfig {
    PoolConfig {
        prefixes: prefixes.to_vec(),
        excluded: excluded.iter().map(|net| net.parse().unwrap()).collect(),
        reuse_delay: DELAY,
    }
}

fn pool(prefixes: &[PoolPrefix], excluded: &[&str]) -> AddressPool {
    AddressPool::new(&config(prefixes, excluded)).unwrap()
}

fn at(secs: u64) -> Instant {
    Instant::from_millis(secs * 1000)
}

fn ip(address: &str) -> Ipv4Addr {
    address.parse().unwrap()
}

/// All that the pool gives at `now`.
fn drain(pool: &mut AddressPool, now: Instant) -> Vec<Ipv4Addr> {
    core::iter::from_fn(|| pool.allocate(now)).collect()
}

#[test]
fn addresses_come_in_order_of_the_prefixes_without_the_excluded_ones() {
    let mut pool = pool(
        &[
            enabled("10.0.1.0/30"),
            enabled("10.0.0.0/29"),
            disabled("10.0.2.0/24"),
        ],
        &["10.0.0.0/31", "10.0.0.2/32", "10.0.1.3/32", "10.9.0.0/16"],
    );
    let expected: Vec<Ipv4Addr> = [
        "10.0.1.0", "10.0.1.1", "10.0.1.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6",
        "10.0.0.7",
    ]
    .map(ip)
    .to_vec();
    assert_eq!(drain(&mut pool, at(0)), expected);
    assert_eq!(
        pool.counts(),
        PoolCounts {
            free: 0,
            used: 8,
            resting: 0,
            excluded: 4
        }
    );
}

#[test]
fn a_released_address_rests_and_the_longest_rested_comes_first() {
    let mut pool = pool(&[enabled("10.0.0.0/31")], &[]);
    assert_eq!(drain(&mut pool, at(0)).len(), 2);
    assert!(pool.release(ip("10.0.0.1"), at(0)));
    assert!(pool.release(ip("10.0.0.0"), at(1)));
    assert!(!pool.release(ip("10.0.0.0"), at(2)), "it is free already");
    assert_eq!(pool.allocate(at(59)), None);
    assert!(!pool.request(ip("10.0.0.1"), at(59)));
    assert_eq!(pool.allocate(at(60)), Some(ip("10.0.0.1")));
    assert_eq!(pool.allocate(at(60)), None);
    assert!(pool.request(ip("10.0.0.0"), at(61)));
    assert!(!pool.request(ip("10.0.0.0"), at(61)));
}

#[test]
fn a_claim_needs_neither_rest_nor_prefix_but_a_free_host_address() {
    let mut pool = pool(&[enabled("10.0.0.0/30")], &["10.0.0.3/32"]);
    assert!(pool.claim(ip("10.0.0.0")));
    assert!(!pool.claim(ip("10.0.0.0")));
    assert!(pool.claim(ip("10.0.0.3")), "excluded");
    assert!(pool.claim(ip("192.0.2.1")), "in no prefix");
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1"] {
        assert!(!pool.claim(ip(address)), "{address}");
    }
    assert!(!pool.request(ip("192.0.2.2"), at(0)));
    assert_eq!(
        pool.counts(),
        PoolCounts {
            free: 2,
            used: 3,
            resting: 0,
            excluded: 1
        }
    );
    assert!(pool.release(ip("10.0.0.0"), at(0)));
    assert!(pool.release(ip("192.0.2.1"), at(0)));
    assert_eq!(
        pool.counts(),
        PoolCounts {
            free: 2,
            used: 1,
            resting: 1,
            excluded: 1
        }
    );
    assert!(pool.claim(ip("10.0.0.0")), "its holder is back");
    assert_eq!(drain(&mut pool, at(1)), [ip("10.0.0.1"), ip("10.0.0.2")]);
}

#[test]
fn a_prefix_drains_and_what_is_used_outside_vanishes_on_release() {
    let mut pool = pool(&[enabled("10.0.0.0/31"), enabled("10.0.1.0/31")], &[]);
    assert_eq!(drain(&mut pool, at(0)).len(), 4);
    pool.reconfigure(
        &config(&[disabled("10.0.0.0/31"), enabled("10.0.2.0/31")], &[]),
        at(0),
    )
    .unwrap();
    assert_eq!(
        pool.counts(),
        PoolCounts {
            free: 2,
            used: 4,
            resting: 0,
            excluded: 0
        }
    );
    let draining = pool.prefixes().next().unwrap();
    assert_eq!((draining.counts.used, draining.counts.free), (2, 0));
    for address in ["10.0.0.0", "10.0.0.1", "10.0.1.0", "10.0.1.1"] {
        assert!(!pool.claim(ip(address)), "{address} is used still");
        assert!(pool.release(ip(address), at(1)));
    }
    assert_eq!(drain(&mut pool, at(1000)), [ip("10.0.2.0"), ip("10.0.2.1")]);
    assert_eq!(
        pool.counts(),
        PoolCounts {
            free: 0,
            used: 2,
            resting: 0,
            excluded: 0
        }
    );
    pool.reconfigure(&config(&[enabled("10.0.0.0/31")], &[]), at(1000))
        .unwrap();
    assert_eq!(drain(&mut pool, at(1000)), [ip("10.0.0.0"), ip("10.0.0.1")]);
}

#[test]
fn an_address_that_has_rested_counts_as_free_without_being_given_out() {
    let mut pool = pool(&[enabled("10.0.0.0/30")], &[]);
    assert_eq!(drain(&mut pool, at(0)).len(), 4);
    for (address, second) in [("10.0.0.1", 0), ("10.0.0.2", 5), ("10.0.0.3", 10)] {
        pool.release(ip(address), at(second));
    }
    let free_and_resting = |pool: &AddressPool| (pool.counts().free, pool.counts().resting);
    assert!(pool.settle(at(59), 10));
    assert_eq!(free_and_resting(&pool), (0, 3));
    assert!(!pool.settle(at(66), 2), "there may be more");
    assert!(pool.settle(at(66), 2));
    assert_eq!(free_and_resting(&pool), (2, 1));
    assert_eq!(pool.allocate(at(66)), Some(ip("10.0.0.1")));
    assert_eq!(free_and_resting(&pool), (1, 1));
    // A longer delay brings back what was over.
    let longer = PoolConfig {
        reuse_delay: DELAY * 2,
        ..config(&[enabled("10.0.0.0/30")], &[])
    };
    pool.reconfigure(&longer, at(66)).unwrap();
    assert!(pool.settle(at(66), 10));
    assert_eq!(free_and_resting(&pool), (0, 2));
    assert!(pool.settle(at(130), 10));
    assert_eq!(free_and_resting(&pool), (2, 0));
}

#[test]
fn an_address_rests_on_through_a_reconfiguration() {
    let mut pool = pool(&[enabled("10.0.0.0/32")], &[]);
    let address = pool.allocate(at(0)).unwrap();
    pool.release(address, at(0));
    pool.reconfigure(&config(&[], &[]), at(30)).unwrap();
    pool.reconfigure(&config(&[enabled("10.0.0.0/31")], &["10.0.0.1/32"]), at(31))
        .unwrap();
    assert_eq!(pool.allocate(at(59)), None);
    assert_eq!(pool.allocate(at(60)), Some(address));
}

#[test]
fn a_pool_that_cannot_be_changes_nothing() {
    let mut pool = pool(&[enabled("10.0.0.0/24")], &[]);
    let (one, other) = (enabled("10.0.0.0/16"), enabled("10.0.255.0/24"));
    let refused = pool.reconfigure(&config(&[other, one], &[]), at(0));
    assert_eq!(refused, Err(PoolError::Overlap(one.net, other.net)));
    let many = vec![enabled("10.0.0.0/32"); MAX_PREFIXES + 1];
    assert_eq!(
        pool.reconfigure(&config(&many, &[]), at(0)),
        Err(PoolError::TooManyPrefixes)
    );
    assert_eq!(pool.counts().free, 256);
}

#[test]
fn the_whole_of_ipv4_is_a_pool_that_takes_no_memory() {
    let mut pool = pool(&[enabled("0.0.0.0/0")], &["0.0.0.0/1"]);
    assert_eq!(pool.counts().free, (1 << 31) - 1);
    assert_eq!(pool.allocate(at(0)), Some(ip("128.0.0.0")));
    assert!(pool.claim(ip("255.255.255.254")));
}

#[test]
fn a_prefix_of_a_million_is_given_out_to_the_last() {
    let mut pool = pool(&[enabled("10.0.0.0/12")], &[]);
    let all: BTreeSet<Ipv4Addr> = drain(&mut pool, at(0)).into_iter().collect();
    assert_eq!(all.len(), 1 << 20);
    for address in &all {
        assert!(pool.release(*address, at(1)));
    }
    assert_eq!(drain(&mut pool, at(61)).len(), 1 << 20);
}

#[derive(Clone, Debug)]
enum Step {
    Allocate,
    Request(u8),
    Claim(u8),
    Release(u8),
    Wait(u64),
    Reconfigure(Vec<(u8, bool)>, Vec<u8>),
    Settle(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Allocate),
        2 => any::<u8>().prop_map(Step::Request),
        2 => any::<u8>().prop_map(Step::Claim),
        6 => any::<u8>().prop_map(Step::Release),
        2 => (0_u64..50).prop_map(Step::Wait),
        1 => (prop::collection::vec((0_u8..32, any::<bool>()), 0..6), prop::collection::vec(any::<u8>(), 0..5))
            .prop_map(|(prefixes, excluded)| Step::Reconfigure(prefixes, excluded)),
        2 => (1_usize..5).prop_map(Step::Settle),
    ]
}

fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// The pool as it should be, by sets that are walked.
#[derive(Default)]
struct Model {
    /// Address to whether it may be given out; excluded ones are not there.
    usable: BTreeMap<Ipv4Addr, bool>,
    held: BTreeSet<Ipv4Addr>,
    released: BTreeMap<Ipv4Addr, Instant>,
}

impl Model {
    fn allocatable(&self, address: Ipv4Addr, now: Instant) -> bool {
        self.usable.get(&address) == Some(&true)
            && !self.held.contains(&address)
            && self
                .released
                .get(&address)
                .is_none_or(|since| since.add(DELAY) <= now)
    }

    fn reconfigure(&mut self, prefixes: &[(u8, bool)], excluded: &[u8]) -> PoolConfig {
        let prefixes: BTreeMap<u8, bool> = prefixes.iter().copied().collect();
        self.usable.clear();
        let mut config = PoolConfig {
            reuse_delay: DELAY,
            ..PoolConfig::default()
        };
        for (block, is_enabled) in prefixes {
            let net = Ipv4Net::new(host(block * 8), 29).unwrap();
            let allocation = if is_enabled {
                Allocation::Enabled
            } else {
                Allocation::Disabled
            };
            config.prefixes.push(PoolPrefix { net, allocation });
            self.usable
                .extend((block * 8..=block * 8 + 7).map(|last| (host(last), is_enabled)));
        }
        for last in excluded {
            config.excluded.push(Ipv4Net::new(host(*last), 32).unwrap());
            self.usable.remove(&host(*last));
        }
        config
    }

    fn check(&self, pool: &AddressPool) {
        assert_eq!(pool.counts().used, u64::try_from(self.held.len()).unwrap());
        for last in 0..=255 {
            assert_eq!(pool.is_held(host(last)), self.held.contains(&host(last)));
        }
        let total = self.usable.values().filter(|enabled| **enabled).count();
        let taken = pool
            .prefixes()
            .filter(|prefix| prefix.prefix.allocation == Allocation::Enabled);
        let resting: u64 = taken.map(|prefix| prefix.counts.resting).sum();
        let held = self
            .held
            .iter()
            .filter(|address| self.usable.get(address) == Some(&true))
            .count();
        assert_eq!(
            pool.counts().free,
            u64::try_from(total - held).unwrap() - resting
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_address_is_held_twice_or_before_it_has_rested(steps in prop::collection::vec(step(), 0..300)) {
        let mut model = Model::default();
        let first = model.reconfigure(&[(0, true), (2, true), (3, false)], &[1, 17]);
        let mut pool = AddressPool::new(&first).unwrap();
        let mut now = at(0);
        for step in steps {
            match step {
                Step::Allocate => match pool.allocate(now) {
                    Some(address) => {
                        prop_assert!(model.allocatable(address, now), "{address}");
                        model.held.insert(address);
                    }
                    None => prop_assert!((0..=255).all(|last| !model.allocatable(host(last), now))),
                },
                Step::Request(last) => {
                    let granted = pool.request(host(last), now);
                    prop_assert_eq!(granted, model.allocatable(host(last), now));
                    model.held.extend(granted.then_some(host(last)));
                }
                Step::Claim(last) => {
                    prop_assert_eq!(pool.claim(host(last)), model.held.insert(host(last)));
                }
                Step::Release(last) => {
                    let was_held = model.held.remove(&host(last));
                    prop_assert_eq!(pool.release(host(last), now), was_held);
                    if was_held && model.usable.contains_key(&host(last)) {
                        model.released.insert(host(last), now);
                    } else if was_held {
                        model.released.remove(&host(last));
                    }
                }
                Step::Wait(secs) => now = now.add(Duration::from_secs(secs)),
                Step::Reconfigure(prefixes, excluded) => {
                    pool.reconfigure(&model.reconfigure(&prefixes, &excluded), now).unwrap();
                }
                Step::Settle(limit) => {
                    while !pool.settle(now, limit) {}
                    let free = (0..=255).filter(|last| model.allocatable(host(*last), now));
                    prop_assert_eq!(pool.counts().free, u64::try_from(free.count()).unwrap());
                }
            }
            model.check(&pool);
        }
    }
}
