//! Every order in which threads can see what others do to the session table.
//!
//! It is the production module, [`lns_l2sess::table`], built with `--cfg loom`: loom's atomics and
//! locks in the place of the machine's, and a few shards, buckets and records. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p lns-l2sess --test loom`. The defects in `../mutants` turn it
//! red: `e2e/mutants table`.
#![cfg(loom)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows fails"
)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool as Seen;
use std::sync::atomic::Ordering::Relaxed;

use lns_l2sess::key::{Detail, HashSeed};
use lns_l2sess::policy::Policies;
use lns_l2sess::state::TcpFlags;
use lns_l2sess::table::{Added, Changed, Hit, NewFlow, TableConfig};
use lns_l2sess::{
    Class, Direction, Epoch, Family, FlowKey, FlowTable, PolicyId, PortId, Refusal, Seconds, State,
    Timeouts, Tuple,
};
use loom::thread;

const SEED: HashSeed = HashSeed(0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211);
const NOW: u64 = 100;
const MANY: u32 = 100;

/// Port 0 and port 1 have no shard in common.
fn table(entries: u32) -> Arc<FlowTable> {
    let table = FlowTable::new(&TableConfig {
        entries,
        ports: 2,
        seed: SEED,
    })
    .unwrap();
    table.open(PortId(0));
    table.open(PortId(1));
    Arc::new(table)
}

/// The `nth` key of a port whose flow falls into that one of two buckets.
fn key(port: u32, protocol: u8, bucket: u64, nth: usize) -> FlowKey {
    let keys = (0..=u16::MAX).map(|source| {
        let tuple = Tuple {
            family: Family::IPv4,
            source: 1,
            destination: 2,
            protocol,
            detail: Detail::Ports {
                source,
                destination: 53,
            },
        };
        FlowKey::new(PortId(port), Direction::Input, &tuple)
    });
    let mut there = keys.filter(|key| key.hash(SEED) % 2 == bucket);
    there.nth(nth).unwrap()
}

fn udp(port: u32, bucket: u64, nth: usize) -> FlowKey {
    key(port, 17, bucket, nth)
}

fn tcp(port: u32, bucket: u64, nth: usize) -> FlowKey {
    key(port, 6, bucket, nth)
}

fn at(seconds: u64) -> Seconds {
    Seconds::new(seconds)
}

/// A flow whose policy and epoch say whose it is.
fn new_flow(key: &FlowKey, mark: u16) -> NewFlow {
    let flags = key.is_tcp().then_some(TcpFlags(TcpFlags::SYN));
    NewFlow {
        state: State::first(Direction::Input, flags, at(NOW)),
        policy: PolicyId(mark),
        epoch: Epoch(mark.into()),
        opener: Direction::Input,
        timeouts: Timeouts::DEFAULT,
    }
}

fn add(table: &FlowTable, key: &FlowKey, mark: u16) -> Result<Added, Refusal> {
    table.add(key, &new_flow(key, mark), MANY, at(NOW))
}

fn add_new(table: &FlowTable, key: &FlowKey, mark: u16) {
    assert_eq!(add(table, key, mark), Ok(Added::New { evicted: false }));
}

/// What a hit must be if it is one of that flow.
fn assert_is(hit: &Hit, mark: u16) {
    assert_eq!(
        (hit.policy, hit.epoch),
        (PolicyId(mark), Epoch(mark.into()))
    );
}

/// No thread is in the table: what is in use is what is there, and its records are different ones.
fn check(table: &FlowTable) {
    let (flows, end) = table.flows(0, 100);
    let counts = table.counts();
    assert_eq!(end, None);
    assert_eq!(
        counts.in_use,
        counts.flows(),
        "no record is lost or given out twice"
    );
    assert_eq!(counts.in_use, u32::try_from(flows.len()).unwrap());
    for flow in &flows {
        assert!(table.find(&flow.key).is_some(), "what is listed is found");
    }
    let of_ports = [0, 1].map(|port| table.flows_of(PortId(port), 100).len());
    assert_eq!(of_ports[0] + of_ports[1], flows.len());
}

/// Runs `model` for all orders of events in which threads are interrupted at most so often where they
/// need not be.
fn explore(interruptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(interruptions);
    builder.max_branches = 100_000;
    builder.check(model);
}

/// Whether something was met in at least one order of events.
struct Met(Seen);

impl Met {
    const fn new() -> Self {
        Self(Seen::new(false))
    }

    fn note(&self) {
        self.0.store(true, Relaxed);
    }

    fn assert(&self, what: &str) {
        assert!(self.0.load(Relaxed), "it was never met that {what}");
    }
}

fn spawn<R: 'static>(
    table: &Arc<FlowTable>,
    work: impl FnOnce(&FlowTable) -> R + 'static,
) -> thread::JoinHandle<R> {
    let table = Arc::clone(table);
    thread::spawn(move || work(&table))
}

#[test]
fn a_key_that_two_threads_add_comes_in_once() {
    static FIRST: Met = Met::new();
    static SECOND: Met = Met::new();
    explore(2, || {
        let table = table(2);
        let key = udp(0, 0, 0);
        let other = spawn(&table, move |table| add(table, &key, 1).unwrap());
        let ours = add(&table, &key, 2).unwrap();
        let theirs = other.join().unwrap();
        let hit = table.find(&key).unwrap();
        match (ours, theirs) {
            (Added::New { .. }, Added::Existing(found)) => {
                assert_eq!(found, hit);
                assert_is(&hit, 2);
                FIRST.note();
            }
            (Added::Existing(found), Added::New { .. }) => {
                assert_eq!(found, hit);
                assert_is(&hit, 1);
                SECOND.note();
            }
            both => panic!("{both:?}"),
        }
        check(&table);
    });
    FIRST.assert("this thread was first");
    SECOND.assert("the other thread was first");
}

#[test]
fn a_flow_that_comes_is_not_there_or_wholly_there() {
    static THERE: Met = Met::new();
    static ABSENT: Met = Met::new();
    explore(2, || {
        let table = table(2);
        let key = udp(0, 0, 0);
        let reader = spawn(&table, move |table| table.find(&key));
        add_new(&table, &key, 7);
        match reader.join().unwrap() {
            Some(hit) => {
                assert_is(&hit, 7);
                assert_eq!(Some(hit), table.find(&key));
                THERE.note();
            }
            None => ABSENT.note(),
        }
    });
    THERE.assert("the flow was there");
    ABSENT.assert("it was not");
}

#[test]
fn a_flow_stays_findable_while_its_neighbour_leaves_and_its_record_goes_elsewhere() {
    explore(2, || {
        let table = table(2);
        let (stays, leaves, comes) = (udp(0, 0, 0), udp(0, 0, 1), udp(0, 1, 0));
        add_new(&table, &stays, 1);
        add_new(&table, &leaves, 2);
        let hit = table.find(&leaves).unwrap();
        let reader = spawn(&table, move |table| {
            let hit = table.find(&stays).expect("it is there all the time");
            assert_is(&hit, 1);
        });
        assert!(table.wipe(&hit));
        add_new(&table, &comes, 3);
        reader.join().unwrap();
        check(&table);
    });
}

#[test]
fn a_record_that_is_used_again_is_never_taken_for_the_flow_before() {
    static THERE: Met = Met::new();
    static ABSENT: Met = Met::new();
    explore(2, || {
        let table = table(1);
        let (old, new) = (udp(0, 0, 0), udp(1, 0, 1));
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let reader = spawn(&table, move |table| match table.find(&old) {
            Some(hit) => {
                assert_is(&hit, 1);
                THERE.note();
            }
            None => ABSENT.note(),
        });
        assert!(table.wipe(&hit));
        add_new(&table, &new, 2);
        reader.join().unwrap();
        assert_eq!(table.find(&old), None);
        check(&table);
    });
    THERE.assert("the flow was there");
    ABSENT.assert("it was not");
}

#[test]
fn a_record_that_is_used_again_is_wholly_the_flow_after_as_soon_as_it_is_found() {
    static THERE: Met = Met::new();
    static ABSENT: Met = Met::new();
    explore(2, || {
        let table = table(1);
        let (old, new) = (udp(0, 0, 0), udp(1, 0, 1));
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let reader = spawn(&table, move |table| match table.find(&new) {
            Some(hit) => {
                assert_is(&hit, 2);
                THERE.note();
            }
            None => ABSENT.note(),
        });
        assert!(table.wipe(&hit));
        add_new(&table, &new, 2);
        reader.join().unwrap();
    });
    THERE.assert("the flow was there");
    ABSENT.assert("it was not");
}

#[test]
fn a_change_never_comes_to_the_flow_that_took_over_the_record() {
    static CAME: Met = Met::new();
    static GONE: Met = Met::new();
    explore(2, || {
        let table = table(1);
        let (old, new) = (udp(0, 0, 0), udp(1, 0, 1));
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let packet = spawn(&table, move |table| {
            match table.change(&hit, hit.state.at(at(NOW + 20))) {
                Ok(()) => CAME.note(),
                Err(Changed::Gone) => GONE.note(),
                Err(Changed::Other(hit)) => panic!("nobody else has changed it: {hit:?}"),
            }
        });
        assert!(table.wipe(&hit));
        add_new(&table, &new, 2);
        packet.join().unwrap();
        let hit = table.find(&new).unwrap();
        assert_eq!(hit.state.seconds(), at(NOW));
        assert_is(&hit, 2);
    });
    CAME.assert("the packet came before the end");
    GONE.assert("it came after");
}

#[test]
fn of_two_that_wipe_one_has_done_it_and_the_record_is_free_once() {
    explore(2, || {
        let table = table(2);
        let key = udp(0, 0, 0);
        add_new(&table, &key, 1);
        let hit = table.find(&key).unwrap();
        let other = spawn(&table, move |table| table.wipe(&hit));
        let ours = table.wipe(&hit);
        assert!(ours != other.join().unwrap());
        assert_eq!(table.find(&key), None);
        assert_eq!(table.counts().in_use, 0);
        add_new(&table, &udp(0, 0, 1), 2);
        add_new(&table, &udp(1, 1, 2), 3);
        check(&table);
    });
}

#[test]
fn a_wipe_is_not_lost_to_an_add_of_the_same_key() {
    explore(2, || {
        let table = table(2);
        let key = udp(0, 0, 0);
        add_new(&table, &key, 1);
        let hit = table.find(&key).unwrap();
        let adder = spawn(&table, move |table| add(table, &key, 2).unwrap());
        assert!(table.wipe(&hit));
        match adder.join().unwrap() {
            Added::New { .. } => assert_is(&table.find(&key).unwrap(), 2),
            Added::Existing(found) => {
                assert_eq!(found, hit);
                assert_eq!(table.find(&key), None);
            }
        }
        check(&table);
    });
}

#[test]
fn two_ends_in_one_bucket_leave_it_empty_though_their_shards_differ() {
    explore(2, || {
        let table = table(2);
        let keys = [udp(0, 0, 0), udp(1, 0, 0)];
        for key in &keys {
            add_new(&table, key, 1);
        }
        let hits = keys.map(|key| table.find(&key).unwrap());
        let other = spawn(&table, move |table| assert!(table.wipe(&hits[1])));
        assert!(table.wipe(&hits[0]));
        other.join().unwrap();
        assert_eq!(keys.map(|key| table.find(&key)), [None; 2]);
        for key in &keys {
            add_new(&table, key, 2);
        }
        check(&table);
    });
}

#[test]
fn what_comes_to_a_port_that_closes_does_not_stay() {
    explore(2, || {
        let table = table(2);
        let key = udp(0, 0, 0);
        let adder = spawn(&table, move |table| add(table, &key, 1));
        let ended = table.close(PortId(0));
        match adder.join().unwrap() {
            Ok(_) => assert_eq!(ended, 1),
            Err(refusal) => assert_eq!((refusal, ended), (Refusal::PortClosed, 0)),
        }
        assert_eq!(table.find(&key), None);
        assert_eq!(table.counts().in_use, 0);
    });
}

#[test]
fn records_go_from_hand_to_hand_and_none_is_in_two() {
    explore(2, || {
        let table = table(2);
        let (first, second) = (udp(0, 0, 0), udp(1, 1, 0));
        add_new(&table, &first, 1);
        add_new(&table, &second, 2);
        let hits = [first, second].map(|key| table.find(&key).unwrap());
        let other = spawn(&table, move |table| {
            assert!(table.wipe(&hits[1]));
            add(table, &udp(1, 0, 1), 3).unwrap();
        });
        assert!(table.wipe(&hits[0]));
        add(&table, &udp(0, 1, 1), 4).unwrap();
        other.join().unwrap();
        assert_eq!(table.counts().in_use, 2);
        check(&table);
    });
}

#[test]
fn a_record_is_free_only_when_it_is_nowhere_else() {
    static FULL: Met = Met::new();
    static FREE: Met = Met::new();
    explore(2, || {
        let table = table(2);
        let (old, new) = (udp(0, 0, 0), udp(1, 0, 1));
        add_new(&table, &udp(0, 1, 0), 0);
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let adder = spawn(&table, move |table| add(table, &new, 2));
        assert!(table.wipe(&hit));
        match adder.join().unwrap() {
            Ok(_) => {
                assert_is(&table.find(&new).unwrap(), 2);
                FREE.note();
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::FlowTableFull);
                FULL.note();
            }
        }
        check(&table);
    });
    FULL.assert("the record was not free yet");
    FREE.assert("it was");
}

#[test]
fn who_takes_a_free_record_while_others_take_and_give_takes_it_alone() {
    explore(3, || {
        let table = table(2);
        let used = [udp(0, 0, 0), udp(0, 1, 0)];
        for key in &used {
            add_new(&table, key, 1);
        }
        table.clear(PortId(0));
        let other = spawn(&table, |table| add(table, &udp(1, 0, 1), 2));
        let ours = used.map(|key| add(&table, &key, 3));
        if let Some(hit) = table.find(&used[0]) {
            assert!(table.wipe(&hit));
        }
        let theirs = other.join().unwrap();
        let _may_be_full = add(&table, &udp(1, 1, 2), 4);
        assert!(ours[0].is_ok() || theirs.is_ok());
        check(&table);
    });
}

#[test]
fn a_full_table_takes_what_comes_from_two_sides_at_once() {
    explore(2, || {
        let table = table(1);
        add_new(&table, &tcp(0, 0, 0), 1);
        let other = spawn(&table, |table| add(table, &tcp(1, 0, 1), 2));
        let ours = add(&table, &tcp(0, 0, 2), 3);
        let added = [ours, other.join().unwrap()];
        assert!(
            added.contains(&Ok(Added::New { evicted: true })),
            "{added:?}"
        );
        assert_eq!(table.counts().in_use, 1);
        check(&table);
    });
}

/// What these segments make of a flow.
fn after(hit: &Hit, segments: &[(Direction, u8)]) -> State {
    use lns_l2sess::state::Step;
    segments
        .iter()
        .fold(hit.state, |state, (direction, flags)| {
            let flags = Some(TcpFlags(*flags));
            match state.step(*direction, flags, &Timeouts::DEFAULT, at(NOW)) {
                Step::Changed(to) => to,
                other => panic!("{other:?}"),
            }
        })
}

/// After a SYN: its answer, and the answer's.
fn established(hit: &Hit) -> State {
    let answer = (Direction::Output, TcpFlags::SYN | TcpFlags::ACK);
    after(hit, &[answer, (Direction::Input, TcpFlags::ACK)])
}

fn closing(hit: &Hit) -> State {
    after(hit, &[(Direction::Output, TcpFlags::RST)])
}

/// Sweeps until the table has seen to everything that packets left it.
fn settle(table: &FlowTable, policies: &Policies) {
    for _ in 0..3 {
        table.sweep(at(NOW), policies, 100);
    }
}

#[test]
fn a_change_of_class_is_seen_to_by_the_next_sweep_though_one_was_under_way() {
    explore(3, || {
        let (table, policies) = (table(1), Policies::none());
        let key = tcp(0, 0, 0);
        add_new(&table, &key, 1);
        let hit = table.find(&key).unwrap();
        table.change(&hit, established(&hit)).unwrap();
        let hit = table.find(&key).unwrap();
        let packet = spawn(&table, move |table| {
            table.change(&hit, closing(&hit)).unwrap();
        });
        table.sweep(at(NOW), &policies, 100);
        packet.join().unwrap();
        settle(&table, &policies);
        assert_eq!(table.counts().of(Class::Closing), 1);
        check(&table);
    });
}

#[test]
fn a_change_of_class_is_seen_to_though_the_record_comes_to_another_shard() {
    explore(2, || {
        let (table, policies) = (table(1), Policies::none());
        let (old, new) = (tcp(0, 0, 0), tcp(1, 0, 1));
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let packet = spawn(&table, move |table| {
            let _gone_or_not = table.change(&hit, established(&hit));
        });
        assert!(table.wipe(&hit));
        add_new(&table, &new, 2);
        let hit = table.find(&new).unwrap();
        table.change(&hit, established(&hit)).unwrap();
        packet.join().unwrap();
        settle(&table, &policies);
        assert_eq!(table.counts().of(Class::Established), 1);
        check(&table);
    });
}

#[test]
fn a_flow_that_a_packet_has_kept_is_not_ended_by_a_sweep() {
    static KEPT: Met = Met::new();
    static ENDED: Met = Met::new();
    explore(2, || {
        let (table, policies) = (table(1), Policies::none());
        let key = udp(0, 0, 0);
        add_new(&table, &key, 0);
        let late = NOW + 311;
        let hit = table.find(&key).unwrap();
        let packet = spawn(&table, move |table| {
            table.change(&hit, hit.state.at(at(late)))
        });
        let swept = table.sweep(at(late), &policies, 100);
        if packet.join().unwrap().is_ok() {
            assert!(swept.expired == 0 && table.find(&key).is_some());
            KEPT.note();
        } else {
            assert!(swept.expired == 1 && table.find(&key).is_none());
            ENDED.note();
        }
        check(&table);
    });
    KEPT.assert("the packet was first");
    ENDED.assert("the sweep was first");
}

#[test]
fn an_epoch_is_never_seen_without_the_policy_that_came_with_it() {
    explore(2, || {
        let table = table(1);
        let key = udp(0, 0, 0);
        add_new(&table, &key, 1);
        let hit = table.find(&key).unwrap();
        let reader = spawn(&table, move |table| table.find(&key).unwrap());
        assert!(table.adopt(&hit, PolicyId(2), Epoch(2)));
        let hit = reader.join().unwrap();
        assert!(hit.epoch == Epoch(1) || hit.policy == PolicyId(2));
    });
}

#[test]
fn a_listing_has_flows_as_they_are_while_records_change_hands() {
    explore(2, || {
        let table = table(1);
        let (old, new) = (udp(0, 0, 0), udp(1, 0, 1));
        add_new(&table, &old, 1);
        let hit = table.find(&old).unwrap();
        let reader = spawn(&table, move |table| {
            for flow in table.flows(0, 9).0 {
                let (opened, mark) = if flow.key == old {
                    (NOW, 1)
                } else {
                    (NOW + 5, 2)
                };
                assert_eq!((flow.opened, flow.policy), (at(opened), PolicyId(mark)));
                assert!(flow.key == old || flow.key == new);
            }
        });
        assert!(table.wipe(&hit));
        table
            .add(&new, &new_flow(&new, 2), MANY, at(NOW + 5))
            .unwrap();
        reader.join().unwrap();
    });
}
