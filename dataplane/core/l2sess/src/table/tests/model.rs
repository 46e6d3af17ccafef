//! Random lists of what may happen to a table, against a plain map that counts whole seconds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::Step as Next;

const ENTRIES: u32 = 12;
const PER_PORT: u32 = 5;
/// Two of them have a shard in common.
const PORTS: [u32; 4] = [0, 1, 64, 7];
const NUMBERS: u32 = 4;
const TIMEOUTS: Timeouts = Timeouts {
    udp_idle: 50,
    tcp_idle: 700,
    tcp_transient: 8,
    tcp_closing: 3,
};

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Add(FlowKey),
    Segment(FlowKey, Direction, u8),
    Wipe(FlowKey),
    Adopt(FlowKey, u32),
    Open(u32),
    Close(u32),
    Clear(u32),
    ClearAll,
    Wait(u64),
    Sweep(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let key = || {
        let port = prop::sample::select(PORTS.to_vec());
        let protocol = prop::sample::select(vec![UDP, TCP, TCP, TCP]);
        (port, protocol, 0..NUMBERS)
            .prop_map(|(port, protocol, number)| key(port, protocol, number))
    };
    let port = || prop::sample::select(PORTS.to_vec());
    let direction = prop::sample::select(Direction::ALL.to_vec());
    let flags = prop::sample::select(vec![0x02, 0x12, 0x10, 0x10, 0x11, 0x11, 0x04, 0x18]);
    // The longest stretch without a sweep is half a turn of the clock.
    let long = (8_000_000_u64..8_300_000).prop_map(Event::Wait);
    prop_oneof![
        12 => key().prop_map(Event::Add),
        16 => (key(), direction, flags).prop_map(|(key, direction, flags)| Event::Segment(key, direction, flags)),
        2 => key().prop_map(Event::Wipe),
        2 => (key(), any::<u32>()).prop_map(|(key, epoch)| Event::Adopt(key, epoch)),
        2 => port().prop_map(Event::Open),
        1 => port().prop_map(Event::Close),
        1 => port().prop_map(Event::Clear),
        1 => Just(Event::ClearAll),
        8 => (0_u64..4).prop_map(Event::Wait),
        2 => (0_u64..150).prop_map(Event::Wait),
        1 => long,
        5 => prop::sample::select(vec![1_usize, 2, 1_000]).prop_map(Event::Sweep),
    ]
}

/// Moments at which the 24 bits turn, and others.
fn start() -> impl Strategy<Value = u64> {
    let turns = vec![0, (1 << 24) - 3, (1 << 23) - 3, (1 << 30) - 8, 12_345];
    prop::sample::select(turns)
}

/// A flow as the map has it.
#[derive(Clone, Debug)]
struct Known {
    state: State,
    last: u64,
    epoch: Epoch,
    opened: u64,
}

impl Known {
    fn is_over(&self, key: &FlowKey, now: u64) -> bool {
        now - self.last > u64::from(TIMEOUTS.end(self.state.class(key.is_tcp())))
    }
}

/// The table and what it should hold.
struct World {
    table: FlowTable,
    policies: Arc<Policies>,
    known: BTreeMap<[u64; FlowKey::WORDS], (FlowKey, Known)>,
    open: BTreeMap<u32, bool>,
    now: u64,
}

impl World {
    fn new(now: u64) -> Self {
        Self {
            table: table(ENTRIES, 0),
            policies: policies(TIMEOUTS),
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            now,
        }
    }

    fn flows_of(&self, port: u32) -> impl Iterator<Item = &(FlowKey, Known)> {
        let all = self.known.values();
        all.filter(move |(key, _)| key.port() == PortId(port))
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Add(key) => self.add(key),
            Event::Segment(key, direction, flags) => self.segment(key, direction, flags),
            Event::Wipe(key) => {
                let wiped = self.table.find(&key).map(|hit| self.table.wipe(&hit));
                let known = self.known.remove(&key.words());
                assert_eq!(wiped, known.map(|_| true));
            }
            Event::Adopt(key, epoch) => {
                let found = self.table.find(&key);
                let adopted = found.map(|hit| self.table.adopt(&hit, PolicyId(0), Epoch(epoch)));
                let known = self.known.get_mut(&key.words());
                assert_eq!(
                    adopted,
                    known.map(|(_, known)| {
                        known.epoch = Epoch(epoch);
                        true
                    })
                );
            }
            Event::Open(port) => {
                self.table.open(PortId(port));
                self.open.insert(port, true);
            }
            Event::Close(port) => {
                self.open.insert(port, false);
                let ended = self.table.close(PortId(port));
                self.forget(ended, |key| key.port() == PortId(port));
            }
            Event::Clear(port) => {
                let ended = self.table.clear(PortId(port));
                self.forget(ended, |key| key.port() == PortId(port));
            }
            Event::ClearAll => {
                let ended = self.table.clear_all();
                self.forget(ended, |_| true);
            }
            Event::Wait(seconds) => self.wait(seconds),
            Event::Sweep(budget) => self.sweep(budget),
        }
    }

    fn forget(&mut self, ended: usize, which: impl Fn(&FlowKey) -> bool) {
        let before = self.known.len();
        self.known.retain(|_, (key, _)| !which(key));
        assert_eq!(ended, before - self.known.len());
    }

    fn wait(&mut self, seconds: u64) {
        if seconds > 1_000 {
            self.sweep(1_000);
        }
        self.now += seconds;
        if seconds > 1_000 {
            self.sweep(1_000);
        }
    }

    fn add(&mut self, key: FlowKey) {
        let now = at(self.now);
        let new = NewFlow {
            timeouts: TIMEOUTS,
            ..new_flow(&key, now)
        };
        let added = self.table.add(&key, &new, PER_PORT, now);
        let port = key.port().0;
        let gives_way =
            |(key, known): &&(FlowKey, Known)| known.state.class(key.is_tcp()).gives_way();
        let is_known = self.known.contains_key(&key.words());
        let is_open = self.open.get(&port).copied().unwrap_or(false);
        let is_limited = self.flows_of(port).count() >= PER_PORT as usize;
        let is_full = self.known.len() >= ENTRIES as usize;
        let port_yields = self.flows_of(port).any(|flow| gives_way(&flow));
        let table_yields = self.known.values().any(|flow| gives_way(&flow));
        match added {
            Ok(Added::Existing(_)) => assert!(is_known),
            Err(Refusal::PortClosed) => assert!(!is_known && !is_open),
            Err(Refusal::FlowLimit) => assert!(!is_known && is_limited && !port_yields),
            Err(Refusal::FlowTableFull) => assert!(!is_known && is_full && !table_yields),
            Ok(Added::New { evicted }) => {
                assert!(!is_known && is_open);
                assert_eq!(evicted, is_limited || is_full);
                let gone: Vec<FlowKey> = self
                    .known
                    .values()
                    .filter(|(key, _)| self.table.find(key).is_none())
                    .inspect(|flow| assert!(gives_way(flow), "this one does not: {flow:?}"))
                    .map(|(key, _)| *key)
                    .collect();
                assert_eq!(gone.len(), usize::from(evicted));
                assert!(!is_limited || gone.iter().all(|gone| gone.port().0 == port));
                for gone in gone {
                    self.known.remove(&gone.words());
                }
                let known = Known {
                    state: new_flow(&key, now).state,
                    last: self.now,
                    epoch: Epoch(0),
                    opened: self.now,
                };
                self.known.insert(key.words(), (key, known));
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn segment(&mut self, key: FlowKey, direction: Direction, flags: u8) {
        let Some(hit) = self.table.find(&key) else {
            assert!(!self.known.contains_key(&key.words()), "it is there");
            return;
        };
        let (_, known) = self.known.get_mut(&key.words()).unwrap();
        let flags = key.is_tcp().then_some(TcpFlags(flags));
        match hit.state.step(direction, flags, &TIMEOUTS, at(self.now)) {
            Next::Same => assert!(!known.is_over(&key, self.now)),
            Next::Changed(to) | Next::Restarted(to) => {
                assert!(!known.is_over(&key, self.now));
                assert_eq!(self.table.change(&hit, to), Ok(()));
                (known.state, known.last) = (to, self.now);
            }
            Next::Expired => {
                assert!(known.is_over(&key, self.now));
                assert!(self.table.wipe(&hit));
                self.known.remove(&key.words());
            }
        }
    }

    /// What is over is gone when there is nothing more to be done, and what is not is there.
    fn sweep(&mut self, budget: usize) {
        let swept = self.table.sweep(at(self.now), &self.policies, budget);
        let mut expired = 0;
        let (table, now) = (&self.table, self.now);
        self.known.retain(|_, (key, known)| {
            let (is_there, is_over) = (table.find(key).is_some(), known.is_over(key, now));
            assert!(is_there || is_over, "too early: {known:?} at {now}");
            assert!(
                swept.more || is_there != is_over,
                "too late: {known:?} at {now}"
            );
            expired += usize::from(!is_there);
            is_there
        });
        assert_eq!(swept.expired, expired);
    }

    fn check(&self) {
        check(&self.table);
        assert_eq!(self.table.counts().in_use as usize, self.known.len());
        for (key, known) in self.known.values() {
            let hit = self.table.find(key).unwrap();
            assert_eq!((hit.state, hit.epoch), (known.state, known.epoch));
            assert_eq!(hit.state.seconds(), at(known.last));
        }
        for flow in all_flows(&self.table) {
            let (_, known) = &self.known[&flow.key.words()];
            assert_eq!(flow.opened, at(known.opened));
        }
    }
}

/// Another table, whose clock shows something else, and which knows of the first by its deltas.
struct Follower {
    table: FlowTable,
    ahead: u64,
}

impl Follower {
    fn clocks(&self, world: &World) -> Clocks {
        Clocks {
            theirs: at(world.now),
            ours: at(world.now + self.ahead),
        }
    }

    /// Begins in the middle of what happens.
    fn begin(world: &World, ahead: u64) -> Self {
        world.table.follow(true).unwrap();
        let follower = Self {
            table: table(ENTRIES * 10, 100),
            ahead,
        };
        for flow in all_flows(&world.table) {
            follower.take_in(world, &Delta::New(flow));
        }
        follower
    }

    fn take_in(&self, world: &World, delta: &Delta) {
        let received = Delta::decode(&delta.encode()).unwrap();
        assert_eq!(received, *delta);
        let taken = self
            .table
            .take_in(&received, self.clocks(world), &TIMEOUTS, MANY);
        assert_eq!(taken, Ok(()));
    }

    fn fetch(&self, world: &World, most: usize) {
        let mut deltas = Vec::new();
        assert_eq!(world.table.deltas(&mut deltas, most), Lost(0));
        assert!(deltas.len() <= most);
        for delta in &deltas {
            self.take_in(world, delta);
        }
    }

    /// What is of the first table's flows here, by that table's clock, as far as deltas tell of it.
    fn flows(&self, world: &World) -> BTreeMap<[u64; FlowKey::WORDS], (Class, Epoch, u32)> {
        let clocks = self.clocks(world);
        let back = Clocks {
            theirs: clocks.ours,
            ours: clocks.theirs,
        };
        let flows = all_flows(&self.table).into_iter().map(|flow| {
            let class = flow.state.class(flow.key.is_tcp());
            let opened = back.translate(flow.opened).get();
            (flow.key.words(), (class, flow.epoch, opened))
        });
        flows.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_table_holds_what_a_map_holds(start in start(), events in prop::collection::vec(event(), 0..250)) {
        let mut world = World::new(start);
        for port in PORTS {
            world.happen(&Event::Open(port));
        }
        for event in &events {
            world.happen(event);
            world.check();
        }
        world.wait(2_000);
        prop_assert_eq!(world.table.counts().in_use, 0, "all are over by now");
    }

    #[test]
    fn a_follower_that_comes_late_has_the_same_flows(
        start in start(),
        ahead in any::<u32>(),
        before in prop::collection::vec(event(), 0..60),
        after in prop::collection::vec(event(), 0..200),
        most in 1_usize..20,
    ) {
        let mut world = World::new(start);
        for port in PORTS {
            world.happen(&Event::Open(port));
        }
        for event in &before {
            world.happen(event);
        }
        let follower = Follower::begin(&world, ahead.into());
        for event in &after {
            world.happen(event);
            if !matches!(event, Event::Add(_)) {
                follower.fetch(&world, most);
            }
        }
        world.sweep(1_000);
        follower.fetch(&world, 10_000);
        let flows = world.known.values().map(|(key, known)| {
            let class = known.state.class(key.is_tcp());
            (key.words(), (class, known.epoch, at(known.opened).get()))
        });
        prop_assert_eq!(follower.flows(&world), flows.collect::<BTreeMap<_, _>>());
        check(&follower.table);
    }
}
