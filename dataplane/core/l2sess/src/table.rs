//! The session table: one record per flow, found by the one key that a tuple and its mirror have.
//!
//! * A hit takes no lock: [`FlowTable::find`] reads a bucket's word and a record's cache line, and
//!   [`FlowTable::change`] is one compare-exchange that is left out when the state stays the same. A
//!   reader never waits for a writer: what it has read half is told by the record's generation and by
//!   the bucket's count of records that have left it.
//! * Who adds or wipes has the lock of the port's shard, and for a few instructions that of a bucket;
//!   nobody holds two shards' locks.
//! * A flow ends in two stages: its generation passes, from which moment nobody finds it and no holder
//!   of a [`Hit`] can change it; then it leaves its bucket and all lists, and its record is free.
//! * Memory is fixed: at most 128 octets per flow with its keys, which the operating system gives when
//!   they are first used. Nothing walks the table on the way of a packet.
//! * What the table is full of gives way to what comes, if it may ([`Class::gives_way`]): within a port
//!   at its limit that port's oldest, else the table's.
//!
//! [`FlowTable::sweep`] frees, without any traffic, what has been silent for too long; who follows the
//! table with [`FlowTable::deltas`] can build another that has the same flows.

mod add;
mod ahead;
mod buckets;
mod delta;
mod free;
mod list;
mod records;
mod ring;
mod scale;
mod shard;
mod sweep;
mod sync;
mod wheel;

#[cfg(test)]
mod tests;

use core::fmt;

pub use delta::{Clocks, Delta, DeltaError, Lost};
pub use sweep::Swept;

use self::buckets::Buckets;
use self::free::Free;
use self::records::{Life, NOBODY, Reading, Records};
use self::scale::SHARDS;
use self::shard::{Shard, is_still, shard_of};
use self::sync::{Acquire, AtomicU32, Lock, Relaxed, Release};
use crate::key::{Direction, FlowKey, HashSeed, PortId};
use crate::limits;
use crate::policy::{Epoch, PolicyId};
use crate::state::{Class, Seconds, State, Timeouts};

/// How large a table is.
#[derive(Clone, Copy, Debug)]
pub struct TableConfig {
    /// Flows at most, up to [`limits::ENTRIES`].
    pub entries: u32,
    /// Ports are the numbers below this.
    pub ports: u32,
    /// The secret that spreads flows over the buckets.
    pub seed: HashSeed,
}

/// The operating system has not as much memory as a table needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoMemory {
    /// How much was asked for at once.
    pub octets: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no {} octets of memory for the session table",
            self.octets
        )
    }
}

impl core::error::Error for NoMemory {}

/// A flow that was found, as it was then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hit {
    record: u32,
    generation: u32,
    port: PortId,
    is_tcp: bool,
    /// Its state.
    pub state: State,
    /// The policy that let it in, whose timeouts it has.
    pub policy: PolicyId,
    /// The epoch of the chain that let it in.
    pub epoch: Epoch,
    /// The direction of its first packet.
    pub opener: Direction,
}

impl Hit {
    fn new(record: u32, reading: &Reading) -> Self {
        let key = reading.key();
        Self {
            record,
            generation: reading.life.generation,
            port: key.port(),
            is_tcp: key.is_tcp(),
            state: reading.life.state,
            policy: reading.policy(),
            epoch: reading.epoch,
            opener: reading.opener(),
        }
    }

    /// Whether it has the states of TCP.
    pub const fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    /// The class that its state is of.
    pub const fn class(&self) -> Class {
        self.state.class(self.is_tcp)
    }

    fn life(&self) -> Life {
        Life {
            generation: self.generation,
            state: self.state,
        }
    }
}

/// What a flow begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewFlow {
    /// Its first state.
    pub state: State,
    /// The policy that lets it in.
    pub policy: PolicyId,
    /// The epoch of the chain.
    pub epoch: Epoch,
    /// The direction of its first packet.
    pub opener: Direction,
    /// The timeouts of the policy.
    pub timeouts: Timeouts,
}

/// A flow, for those who list or follow the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flow {
    /// Its port and both ends.
    pub key: FlowKey,
    /// Its state.
    pub state: State,
    /// The policy that let it in.
    pub policy: PolicyId,
    /// The epoch of the chain that let it in.
    pub epoch: Epoch,
    /// The direction of its first packet.
    pub opener: Direction,
    /// When that came.
    pub opened: Seconds,
}

/// A flow was added, or is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Added {
    /// It is new.
    New {
        /// Whether another has given way to it.
        evicted: bool,
    },
    /// It was there: another thread was first.
    Existing(Hit),
}

/// Why a state was not changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Changed {
    /// The flow has ended.
    Gone,
    /// Another packet has changed it first: this is what it is now.
    Other(Hit),
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// How many flows there can be.
    pub capacity: u32,
    /// Records that are in use: the flows, and those that are just coming or going.
    pub in_use: u32,
    /// Flows by class, in the order of [`Class::ALL`]; a change that a hit has made counts from the
    /// next sweep on at the latest.
    pub classes: [u32; 4],
    /// Flows that have given way to others since the start.
    pub evicted: u64,
}

impl Counts {
    /// Flows of that class.
    pub fn of(&self, class: Class) -> u32 {
        let flows = self.classes.get(shard::place_of(class));
        flows.copied().unwrap_or_default()
    }

    /// All flows.
    pub fn flows(&self) -> u32 {
        self.classes.iter().copied().fold(0, u32::saturating_add)
    }
}

/// A shard, and what threads without its lock see of it.
#[repr(align(128))]
struct Cell {
    shard: Lock<Shard>,
    /// The stack of flows whose class a hit has changed.
    looks: AtomicU32,
    /// Since when the oldest flow that gives way has: 24 bits of seconds below a bit that says that
    /// there is one.
    oldest: AtomicU32,
}

/// The session table of a node. Any number of threads may use it.
pub struct FlowTable {
    seed: HashSeed,
    ports: u32,
    records: Records,
    buckets: Buckets,
    free: Free,
    cells: Box<[Cell; SHARDS]>,
    /// The shard with which the next sweep begins.
    swept: AtomicU32,
    /// The shard with which the next fetch of deltas begins.
    fetched: AtomicU32,
}

impl fmt::Debug for FlowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTable")
            .field("capacity", &self.free.entries())
            .field("in_use", &self.free.taken())
            .finish_non_exhaustive()
    }
}

impl FlowTable {
    /// An empty table, all ports closed.
    ///
    /// # Errors
    /// [`NoMemory`]: there is less than [`octets`](Self::octets) says.
    pub fn new(config: &TableConfig) -> Result<Self, NoMemory> {
        let entries = config.entries.clamp(1, limits::ENTRIES);
        let records = usize::try_from(entries).unwrap_or(usize::MAX);
        let cell = || {
            Ok(Cell {
                shard: Lock::new(Shard::new(config.ports)?),
                looks: AtomicU32::new(NOBODY),
                oldest: AtomicU32::new(0),
            })
        };
        let cells: Vec<Cell> = (0..SHARDS).map(|_| cell()).collect::<Result<_, _>>()?;
        Ok(Self {
            seed: config.seed,
            ports: config.ports,
            records: Records::new(records)?,
            buckets: Buckets::new(records)?,
            free: Free::new(entries),
            cells: cells.try_into().map_err(|_| NoMemory { octets: 0 })?,
            swept: AtomicU32::new(0),
            fetched: AtomicU32::new(0),
        })
    }

    /// Octets of memory that a table of that size takes when it is full: its records, keys and ports.
    pub fn octets(config: &TableConfig) -> u64 {
        let entries = config.entries.clamp(1, limits::ENTRIES);
        let records = usize::try_from(entries).unwrap_or(usize::MAX);
        let number = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let records = number(records.saturating_add(1))
            .saturating_mul(number(records::OCTETS))
            .saturating_add(number(buckets::octets(records)));
        records.saturating_add(u64::from(config.ports).saturating_mul(number(shard::PORT_OCTETS)))
    }

    /// The flow of that key, if it has one. Takes no lock and writes nothing; two cache lines, and one
    /// more for each other flow whose key falls into the same bucket.
    #[inline]
    pub fn find(&self, key: &FlowKey) -> Option<Hit> {
        let found = self.buckets.find(key.hash(self.seed), key, &self.records);
        found.map(|(record, reading)| Hit::new(record, &reading))
    }

    /// Makes `to` the state of a flow that was found.
    ///
    /// # Errors
    /// [`Changed`] if the flow, or its state, is not what it was.
    #[inline]
    pub fn change(&self, hit: &Hit, to: State) -> Result<(), Changed> {
        let changed = self.records.hot(hit.record).change(hit.life(), to);
        if let Err(Life { generation, state }) = changed {
            return Err(if generation == hit.generation {
                Changed::Other(Hit { state, ..*hit })
            } else {
                Changed::Gone
            });
        }
        if to.class(hit.is_tcp) != hit.class() {
            self.note(hit.record, hit.port);
        }
        Ok(())
    }

    /// The flow has been judged anew and stays: under this policy, as of this epoch. `false` if it has
    /// ended.
    pub fn adopt(&self, hit: &Hit, policy: PolicyId, epoch: Epoch) -> bool {
        self.cell(hit.port).with(&self.records, |shard| {
            let Some(before) = self.reading(hit) else {
                return false;
            };
            let record = self.records.hot(hit.record);
            let bucket = self
                .buckets
                .hold(before.key().hash(self.seed), &self.records);
            record.adopt(policy, epoch);
            drop(bucket);
            shard.wheel.hasten(hit.record, &self.records);
            if let Some(after) = record.read() {
                shard.tell(hit.record, &after, &self.records);
            }
            true
        })
    }

    /// Ends a flow. `true` if it was this call that did it.
    pub fn wipe(&self, hit: &Hit) -> bool {
        let is_wiped = self.cell(hit.port).with(&self.records, |shard| {
            let reading = self.reading(hit);
            if let Some(reading) = &reading {
                self.retire(shard, hit.record, reading);
            }
            reading.is_some()
        });
        if is_wiped {
            self.free.give(hit.record, &self.records);
        }
        is_wiped
    }

    /// The record of a hit, if its flow has not ended; for who holds the lock of its shard.
    fn reading(&self, hit: &Hit) -> Option<Reading> {
        let reading = self.records.hot(hit.record).read()?;
        is_still(&reading, hit.generation).then_some(reading)
    }

    /// The first stage of an end: nobody finds the flow any more, nobody can change it, and it is in no
    /// list. Its record is free once [`Free::give`] has it.
    fn retire(&self, shard: &mut Shard, record: u32, reading: &Reading) {
        self.records.hot(record).end();
        self.unlink(shard, record, reading);
    }

    /// Takes a flow that has ended from its bucket and all lists.
    fn unlink(&self, shard: &mut Shard, record: u32, reading: &Reading) {
        let hash = reading.key().hash(self.seed);
        self.buckets.hold(hash, &self.records).unlink(record);
        shard.remove(record, reading, &self.records);
    }

    /// The shard of a port.
    fn cell(&self, port: PortId) -> &Cell {
        let [first, ..] = &*self.cells;
        self.cells.get(shard_of(port)).unwrap_or(first)
    }

    /// Leaves a flow to be looked at by whoever next has the lock of its shard.
    fn note(&self, record: u32, port: PortId) {
        if self.records.note(record) {
            self.cell(port).push_look(record, &self.records);
        }
    }
}

impl Cell {
    /// Does something with the lock, and then says what others may know of the shard.
    fn with<R>(&self, records: &Records, work: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.shard.lock();
        let done = work(&mut shard);
        // Also where it is the same record as before: another flow may have come into it.
        let since = shard.oldest_since(records);
        let oldest = since.map_or(0, |since| Self::ONE | since.get());
        self.oldest.store(oldest, Relaxed);
        done
    }

    /// There is a flow that gives way.
    const ONE: u32 = 1 << 24;

    /// Since when the shard's oldest flow that gives way has.
    fn oldest(&self) -> Option<Seconds> {
        let word = self.oldest.load(Relaxed);
        (word & Self::ONE != 0).then(|| Seconds::new(u64::from(word)))
    }

    /// Whether there are flows to be looked at.
    fn has_looks(&self) -> bool {
        self.looks.load(Relaxed) != NOBODY
    }

    fn push_look(&self, record: u32, records: &Records) {
        let mut top = self.looks.load(Relaxed);
        loop {
            records.set_after_on_stack(record, top);
            match self
                .looks
                .compare_exchange_weak(top, record, Release, Relaxed)
            {
                Ok(_) => return,
                Err(other) => top = other,
            }
        }
    }

    /// Takes one from the stack; for who holds the lock: only one thread takes, so that what is on top
    /// has been there all the time.
    fn pop_look(&self, records: &Records) -> Option<u32> {
        let mut top = self.looks.load(Acquire);
        loop {
            if top == NOBODY {
                return None;
            }
            let next = records.after_on_stack(top);
            match self
                .looks
                .compare_exchange_weak(top, next, Acquire, Acquire)
            {
                Ok(_) => return Some(top),
                Err(other) => top = other,
            }
        }
    }
}
