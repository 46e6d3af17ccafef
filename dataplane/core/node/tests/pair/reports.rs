//! What sessions have received and sent at nodes that are not the active one.

use lns_node::config::Config;
use lns_node::radius::Order;
use lns_node::view::SessionFilter;
use lns_node::{Caught, Passed, SessionReport, StoreTime, limits};
use lns_radius::record::Status;
use lns_tables::path::{Counters, DirectionCounters, PathUpdate, SlotIndex};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::radius::kind;
use proptest::prelude::*;

use crate::client::Client;
use crate::manifest::{SECRET, accounted, config, seconds};
use crate::world::{Workers, World, settle_standby};

fn reporting(config: Config, seed: u8, count: u16) -> World {
    let mut world = World::followed(config, seed);
    world.reports = Some(Caught::Up);
    world.quiet_lacs = true;
    world.dial_tunnel(1701, Some(SECRET));
    for id in 1..=count {
        let name = format!("user{id}");
        world.dial(0, id, Client::new(&name, &name));
    }
    world.run(seconds(5));
    assert_eq!(world.node.status().sessions, u32::from(count));
    world.add_third();
    world
}

/// So many packets of 100 octets pass in each direction.
fn pass(workers: &mut Workers, slot: SlotIndex, packets: u64, now: Instant) {
    let counters = workers.counters.entry(slot).or_default();
    for direction in [&mut counters.up, &mut counters.down] {
        direction.ipv4_packets += packets;
        direction.ipv4_octets += 100 * packets;
    }
    workers.last_received.insert(slot, now);
    workers.last_forwarded.insert(slot, now);
}

/// Which node.
#[derive(Clone, Copy, Debug)]
enum At {
    Active,
    Second,
    Third,
}

impl World {
    fn pass(&mut self, at: At, slot: SlotIndex, packets: u64) {
        let now = self.now;
        let workers = match at {
            At::Active => &mut self.workers,
            At::Second => &mut self.followed.as_mut().expect("somebody follows").workers,
            At::Third => &mut self.third.as_mut().expect("a third").1,
        };
        pass(workers, slot, packets, now);
    }

    fn the_slot(&self) -> SlotIndex {
        *self.workers.sessions.keys().next().expect("a session")
    }

    fn the_ids(&self) -> (TunnelId, SessionId) {
        let path = &self.workers.sessions[&self.the_slot()];
        (path.tunnel, path.session)
    }

    /// Packets of the session in all, as the active node shows them; octets of both directions fit.
    fn shown(&self) -> u64 {
        let (tunnel, session) = self.the_ids();
        let own = self.workers.counters.get(&self.the_slot());
        let own = own.copied().unwrap_or_default();
        let Counters { up, down } = self.node.counted(tunnel, session, &own);
        assert_eq!((up.ipv4_octets, down), (100 * up.ipv4_packets, up));
        up.ipv4_packets
    }

    /// Packets that records of this kind tell of, in order.
    fn told(&self, status: Status) -> Vec<u32> {
        let records = self.orders.iter().filter_map(|order| match order {
            Order::Record(record) if record.status == status => Some(record),
            _ => None,
        });
        let packets = records.map(|record| {
            let mut attributes = record.attributes.iter();
            let packets = attributes.find(|it| it.kind == kind::ACCT_INPUT_PACKETS);
            packets.expect("packets").u32().expect("a number")
        });
        packets.collect()
    }
}

#[test]
fn what_passes_at_any_node_is_in_what_is_shown_and_told() {
    let mut world = reporting(accounted(), 1, 1);
    let slot = world.the_slot();
    for (at, packets) in [(At::Active, 1), (At::Second, 10), (At::Third, 100)] {
        world.pass(at, slot, packets);
    }
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 111);
    world.pass(At::Second, slot, 10);
    world.run(seconds(75));
    assert_eq!(world.told(Status::Interim), [121]);
    world.pass(At::Third, slot, 100);
    let (tunnel, session) = world.the_ids();
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(seconds(10));
    // What nobody had asked for yet is said at the end.
    assert_eq!(world.told(Status::Stop), [221]);
    let elsewhere = world.events.iter().find_map(|event| match event {
        lns_node::Event::SessionDown(end) => Some(end.elsewhere.up.ipv4_packets),
        _ => None,
    });
    assert_eq!(elsewhere, Some(120));
}

#[test]
fn a_subscriber_who_is_heard_elsewhere_is_not_asked_and_does_not_idle() {
    let mut config = config();
    config.subscribers.idle = seconds(100);
    let mut world = reporting(config, 2, 2);
    let mut slots = world.workers.sessions.keys().copied();
    let [busy, idle] = [slots.next(), slots.next()].map(|slot| slot.expect("a session"));
    let busy_session = world.workers.sessions[&busy].peer_session;
    drop(slots);
    let before = world.sent.len();
    for _ in 0..40 {
        world.pass(At::Third, busy, 1);
        world.run(seconds(5));
    }
    assert_eq!(world.ends(), ["idle_timeout"]);
    assert!(
        world.workers.sessions.contains_key(&busy) && !world.workers.sessions.contains_key(&idle)
    );
    let asked = world.sent[before..].iter().filter(|(_, octets)| {
        octets[4..6] == busy_session.0.to_be_bytes()
            && octets[6..].starts_with(&[255, 3, 0xc0, 0x21, 9])
    });
    assert_eq!(asked.count(), 0);
    // Nor is the LAC asked whether it is there.
    let hello = [0x80, 8, 0, 0, 0, 0, 0, 6];
    let hellos = world.sent[before..]
        .iter()
        .filter(|(_, octets)| octets[12..] == hello);
    assert_eq!(hellos.count(), 0);
}

#[test]
fn a_life_that_is_over_keeps_what_it_had_and_says_nothing_more() {
    let mut world = reporting(config(), 3, 1);
    let (tunnel, session) = world.the_ids();
    let mut report = |life: &str, packets: u64| {
        let passed = Passed {
            octets: 100 * packets,
            packets,
            age: None,
        };
        let report = SessionReport {
            tunnel,
            session,
            up: passed,
            down: passed,
        };
        world
            .node
            .handle_reports_of("x", life, &[report], world.now);
        world.shown()
    };
    assert_eq!(report("first", 10), 10);
    assert_eq!(report("first", 10), 10);
    assert_eq!(report("first", 15), 15);
    assert_eq!(report("second", 3), 18);
    assert_eq!(report("first", 20), 18, "too late");
    assert_eq!(report("second", 5), 20);
    // It has begun to count anew.
    assert_eq!(report("second", 1), 21);
    assert_eq!(report("third", 1), 22);
    assert_eq!(world.node.stats().drops["report_of_nobody"], 1);
    let now = world.now;
    let standby = &mut world.followed.as_mut().expect("somebody follows").standby;
    standby.handle_reports_of("x", "first", &[], now);
    assert_eq!(standby.stats().drops["report_on_standby"], 1);
}

#[test]
fn who_steps_down_reports_what_no_record_has() {
    let mut world = reporting(accounted(), 4, 1);
    let slot = world.the_slot();
    world.pass(At::Active, slot, 5);
    world.run(seconds(80));
    assert_eq!(world.told(Status::Interim), [5]);
    world.pass(At::Active, slot, 7);
    world.step_down();
    assert_eq!(world.shown(), 5, "the checkpoint");
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 12);
}

#[test]
fn of_a_node_that_is_killed_no_more_is_lost_than_since_the_checkpoint() {
    let mut world = reporting(accounted(), 5, 1);
    let slot = world.the_slot();
    for at in [At::Active, At::Second, At::Third] {
        world.pass(at, slot, 10);
    }
    world.run(seconds(80));
    assert_eq!(world.told(Status::Interim), [30]);
    for at in [At::Active, At::Second, At::Third] {
        world.pass(at, slot, 1);
    }
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 33);
    world.take_over_by(false);
    world.run(limits::REPORT_ROUND);
    // But for the last packet of the one that is gone.
    assert_eq!(world.shown(), 32);
    // The last word of each is as far from its beginning as the others were.
    world.pass(At::Third, slot, 100);
    let (tunnel, session) = world.the_ids();
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(seconds(10));
    assert_eq!(world.told(Status::Stop), [132]);
}

/// Who follows has read that it waits, and then that it does not.
#[test]
fn a_stop_that_has_waited_for_other_nodes_is_told_once() {
    let mut world = reporting(accounted(), 7, 1);
    let slot = world.the_slot();
    world.pass(At::Third, slot, 10);
    world.run(limits::REPORT_ROUND);
    let (tunnel, session) = world.the_ids();
    assert!(world.node.handle_disconnect(tunnel, session, world.now));
    world.run(seconds(10));
    assert_eq!(world.told(Status::Stop), [10]);
    world.take_over_by(false);
    world.run(seconds(10));
    assert_eq!(world.told(Status::Stop), [10]);
}

/// What was seen and not reported when a checkpoint came is in no record.
#[test]
fn what_waits_to_be_reported_is_in_no_checkpoint() {
    let mut world = reporting(accounted(), 5, 1);
    let slot = world.the_slot();
    world.settle();
    let (mut third, mut workers) = world.third.take().expect("a third");
    for packets in [10, 1] {
        pass(&mut workers, slot, packets, world.now);
        for _ in 0..limits::REPORT_PARTS {
            world.run(limits::REPORT_TICK);
            third.handle_timeout(world.now);
            settle_standby(&mut third, &mut workers, world.now);
        }
        // The second is not polled for.
        if packets == 10 {
            let reports = third.poll_reports(10, world.now).expect("a report");
            world
                .node
                .handle_reports_of("c", "0", &reports.sessions, world.now);
        }
    }
    world.run(seconds(60));
    assert_eq!(world.told(Status::Interim), [10]);
    let followed = world.followed.as_ref().expect("somebody follows");
    for (key, octets) in &followed.store {
        let date = StoreTime(1_795_000_000_000 + world.now.as_millis());
        assert_eq!(third.handle_record(*key, octets, world.now, date), Ok(()));
    }
    world.third = Some((third, workers));
    world.take_over_by(false);
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 11);
}

/// What it had reported is in a record that it has not read; it must not be told again.
#[test]
fn a_node_that_has_not_read_the_last_checkpoint_tells_nothing_twice() {
    let mut world = reporting(accounted(), 5, 1);
    let slot = world.the_slot();
    world.pass(At::Third, slot, 10);
    world.run(limits::REPORT_ROUND);
    let (mut third, workers) = world.third.take().expect("a third");
    world.run(seconds(80));
    assert_eq!(world.told(Status::Interim), [10]);
    world.take_over_by(false);
    assert_eq!(third.poll_reports(1, world.now), None);
    third.handle_master(8, Caught::Behind, world.now);
    world.third = Some((third, workers));
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 10);
    world.pass(At::Third, slot, 1);
    world.run(limits::REPORT_ROUND);
    assert_eq!(world.shown(), 11);
}

#[test]
fn the_table_is_looked_through_in_parts_within_a_round() {
    let mut world = reporting(config(), 6, 500);
    world.settle();
    let now = world.now;
    let slots: Vec<SlotIndex> = world.workers.sessions.keys().copied().collect();
    let (third, workers) = world.third.as_mut().expect("a third");
    for slot in slots.iter().step_by(2) {
        pass(workers, *slot, 1, now);
    }
    while third.poll_reports(100, now).is_some() {}
    let mut told = 0;
    let parts = u64::from(limits::REPORT_PARTS);
    let mut now = now;
    for _ in 0..parts {
        now += limits::REPORT_TICK;
        assert!(third.poll_timeout().is_some_and(|at| at <= now));
        third.handle_timeout(now);
        let mut asked = 0_u32;
        while let Some(update) = third.poll_path() {
            assert!(matches!(update, PathUpdate::ReportSession { .. }));
            asked += 1;
            if let Some(report) = workers.apply(&update) {
                third.handle_report(&report, now);
            }
        }
        assert!(
            asked <= 500_u32.div_ceil(limits::REPORT_PARTS) + 1,
            "{asked}"
        );
        third.handle_timeout(now);
        assert!(third.poll_path().is_none(), "twice at one time");
        while let Some(reports) = third.poll_reports(7, now) {
            assert!(reports.sessions.len() <= 7);
            told += reports.sessions.len();
        }
    }
    assert_eq!(
        limits::REPORT_TICK * limits::REPORT_PARTS,
        limits::REPORT_ROUND
    );
    assert_eq!(told, 250, "who has not moved is not told of");
}

#[test]
fn who_has_no_master_looks_at_nothing() {
    let mut world = World::followed(config(), 7);
    world.dial_tunnel(1701, Some(SECRET));
    world.dial(0, 1, Client::new("user1", "user1"));
    world.run(seconds(5));
    let now = world.now;
    let standby = &mut world.followed.as_mut().expect("somebody follows").standby;
    assert_eq!(
        standby
            .sessions(&SessionFilter::default(), None, 10, now)
            .sessions
            .len(),
        1
    );
    assert_eq!(standby.poll_timeout(), None);
    standby.handle_timeout(now + seconds(100));
    assert!(standby.poll_path().is_none());
    assert_eq!(standby.poll_reports(10, now), None);
}

/// What happens to a cluster of three.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(At, u64),
    Run(u64),
    /// The active node is another one, and lives.
    Demote(Caught),
    /// It is another one, and dead.
    Die(Caught),
}

fn step() -> impl Strategy<Value = Step> {
    let at = prop_oneof![Just(At::Active), Just(At::Second), Just(At::Third)];
    let caught = || prop_oneof![3 => Just(Caught::Up), 1 => Just(Caught::Behind)];
    prop_oneof![
        6 => (at, 1_u64..1_000).prop_map(|(at, packets)| Step::Pass(at, packets)),
        4 => (1_u64..40).prop_map(Step::Run),
        2 => caught().prop_map(Step::Demote),
        1 => caught().prop_map(Step::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Nothing is counted twice; what is shown goes down at a takeover only, and not below what was told;
    /// and nothing is lost where nobody dies and all is read.
    #[test]
    fn whoever_is_active_shows_no_more_than_has_passed_and_no_less_than_was_told(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = reporting(accounted(), 8, 1);
        let slot = world.the_slot();
        let mut passed = 0;
        let mut is_whole = true;
        let mut shown = 0;
        for step in steps {
            match step {
                Step::Pass(at, packets) => {
                    world.pass(at, slot, packets);
                    passed += packets;
                }
                Step::Run(for_seconds) => world.run(seconds(for_seconds)),
                Step::Demote(caught) => {
                    world.reports = Some(caught);
                    world.step_down();
                    is_whole &= caught == Caught::Up;
                    shown = 0;
                }
                Step::Die(caught) => {
                    world.reports = Some(caught);
                    world.take_over();
                    is_whole = false;
                    shown = 0;
                }
            }
            let now_shown = world.shown();
            prop_assert!(now_shown <= passed, "{} of {}", now_shown, passed);
            prop_assert!(now_shown >= shown, "{} after {}", now_shown, shown);
            let told = world.told(Status::Interim);
            prop_assert!(told.is_sorted(), "{:?}", told);
            let told = told.last().copied().unwrap_or_default();
            prop_assert!(now_shown >= u64::from(told), "{} after {} was told", now_shown, told);
            shown = now_shown;
        }
        world.run(limits::REPORT_ROUND);
        prop_assert!(world.shown() <= passed);
        if is_whole {
            prop_assert_eq!(world.shown(), passed);
        }
    }
}

#[test]
fn counters_are_added_and_taken_away_by_field() {
    let direction = |first: u64| DirectionCounters {
        ipv4_packets: first,
        ipv4_octets: first + 1,
        ipv6_packets: first + 2,
        ipv6_octets: first + 3,
        dropped: first + 4,
    };
    let of = |up, down| Counters {
        up: direction(up),
        down: direction(down),
    };
    let (large, small) = (of(100, 200), of(10, 20));
    let sum = large.plus(&small);
    assert_eq!((sum.up.ipv4_packets, sum.down.dropped), (110, 228));
    assert_eq!(sum.less(&small), large);
    assert!(sum.is_at_least(&large) && large.is_at_least(&large) && !small.is_at_least(&large));
    let mut less = large;
    less.down.ipv6_octets -= 1;
    assert!(!less.is_at_least(&large));
    assert_eq!((large.up.octets(), large.up.packets()), (204, 202));
}
