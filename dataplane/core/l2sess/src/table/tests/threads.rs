//! Several threads at once, on the machine's own memory.

use core::sync::atomic::AtomicU32 as Count;

use super::*;

const ROUNDS: u32 = 20_000;
const PORTS: u32 = 70;
const NUMBERS: u32 = 10;

/// A sequence that has no pattern to the eye.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % bound
    }
}

/// Whose flow it is can be read from its policy and epoch.
fn mark(key: &FlowKey) -> (PolicyId, Epoch) {
    let [_, _, _, _, ends, what] = key.words();
    let mark = (ends ^ ends >> 48 ^ what >> 16) as u16;
    (PolicyId(mark), Epoch(mark.into()))
}

fn marked(key: &FlowKey, now: Seconds) -> NewFlow {
    let (policy, epoch) = mark(key);
    NewFlow {
        policy,
        epoch,
        ..new_flow(key, now)
    }
}

/// One packet after another, of any port and either direction.
fn packets(table: &FlowTable, seed: u64, hits: &Count) {
    use crate::state::Step;
    let mut random = Numbers(seed);
    for round in 0..ROUNDS {
        let now = at(u64::from(round / 100));
        let protocol = if random.below(3) == 0 { UDP } else { TCP };
        let key = key(random.below(PORTS), protocol, random.below(NUMBERS));
        let Some(hit) = table.find(&key) else {
            let _may_be_refused = table.add(&key, &marked(&key, now), 20, now);
            continue;
        };
        hits.fetch_add(1, Relaxed);
        assert_eq!((hit.policy, hit.epoch), mark(&key), "another's record");
        let direction = if random.below(2) == 0 {
            Direction::Input
        } else {
            Direction::Output
        };
        let flags = [0x02, 0x12, 0x10, 0x11, 0x04][random.below(5) as usize];
        let flags = key.is_tcp().then_some(TcpFlags(flags));
        match hit.state.step(direction, flags, &Timeouts::DEFAULT, now) {
            Step::Changed(to) | Step::Restarted(to) => {
                let _may_be_gone = table.change(&hit, to);
            }
            Step::Same => {}
            Step::Expired => {
                table.wipe(&hit);
            }
        }
        match random.below(200) {
            0 => assert!(table.clear(PortId(random.below(PORTS))) <= 41),
            1 => {
                let port = PortId(random.below(PORTS));
                table.close(port);
                table.open(port);
            }
            2 => {
                table.wipe(&hit);
            }
            _ => {}
        }
    }
}

#[test]
fn what_several_threads_do_at_once_leaves_every_record_in_its_place() {
    // As small as to be full all the time.
    let (table, policies, hits) = (
        table(500, PORTS),
        policies(Timeouts::DEFAULT),
        Count::new(0),
    );
    table.follow(true).unwrap();
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let (table, hits) = (&table, &hits);
            scope.spawn(move || packets(table, seed, hits));
        }
        scope.spawn(|| {
            let mut told = Vec::new();
            for round in 0..2_000 {
                table.sweep(at(round / 10), &policies, 50);
                told.clear();
                let _counted = table.deltas(&mut told, 100);
                for flow in table.flows(0, 50).0 {
                    assert_eq!((flow.policy, flow.epoch), mark(&flow.key));
                }
            }
        });
    });
    assert!(
        hits.load(Relaxed) > ROUNDS / 2,
        "many packets are of flows that are there"
    );
    check(&table);
    sweep(&table, at(200), &policies);
    check(&table);
    let classes = table.counts().classes;
    for (class, flows) in Class::ALL.into_iter().zip(classes) {
        let listed = all_flows(&table);
        let listed = listed
            .iter()
            .filter(|flow| flow.state.class(flow.key.is_tcp()) == class);
        assert_eq!(listed.count() as u32, flows, "{}", class.label());
    }
    assert!(table.counts().evicted > 0, "it was full");
    table.clear_all();
    assert_eq!((table.counts().in_use, table.counts().flows()), (0, 0));
}

#[test]
fn a_flow_that_stays_is_found_by_every_packet_while_others_come_and_go() {
    let table = table(64, 10);
    let stays: Vec<FlowKey> = (0..20).map(|number| udp(5, number)).collect();
    for key in &stays {
        table.add(key, &marked(key, at(0)), MANY, at(0)).unwrap();
    }
    std::thread::scope(|scope| {
        for port in 0..2 {
            let table = &table;
            scope.spawn(move || {
                for number in 0..ROUNDS {
                    let key = tcp(port, number);
                    table.add(&key, &marked(&key, at(0)), MANY, at(0)).unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..ROUNDS as usize {
                    let key = &stays[round % stays.len()];
                    let hit = table.find(key).expect("it is there all the time");
                    assert_eq!((hit.policy, hit.epoch), mark(key));
                }
            });
        }
    });
    check(&table);
}
