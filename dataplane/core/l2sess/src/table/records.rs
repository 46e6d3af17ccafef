//! The records of a table: per flow one cache line that packets look at, and the links of the lists
//! that it is in, which only writers touch.
//!
//! | word | hot |
//! |---|---|
//! | 0 | generation 32, state 32 |
//! | 1 to 6 | the key; above it in the last one the opener and the policy |
//! | 7 | next record of the bucket 32, epoch 32 |
//!
//! Generation and state are one word, so that a change of state cannot come to a flow that took over
//! the record. An odd generation is that of a live flow. Record 0 is nobody.

use super::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed, Release, fence, zeroed};
use super::{Flow, NewFlow, NoMemory};
use crate::key::{Direction, FlowKey};
use crate::policy::{Epoch, PolicyId};
use crate::state::{Class, Seconds, State};

/// The record that none is.
pub(super) const NOBODY: u32 = 0;

const HOT: usize = 8;
const COLD: usize = 10;
/// Octets of a cache line, and of a hot part.
const LINE: usize = HOT * size_of::<u64>();

/// Octets of one record.
pub(super) const OCTETS: usize = HOT * size_of::<u64>() + COLD * size_of::<u32>();

/// A field of a record's cold part.
#[derive(Clone, Copy)]
pub(super) struct Column(usize);

/// A list that a record is in: its columns of the previous and the next.
#[derive(Clone, Copy)]
pub(super) struct List {
    previous: Column,
    next: Column,
}

/// The flows of a port, those that give way first, the oldest of these at the front.
pub(super) const PORT: List = List {
    previous: Column(0),
    next: Column(1),
};
/// Those that are due at one tick.
pub(super) const WHEEL: List = List {
    previous: Column(2),
    next: Column(3),
};
/// The flows of a shard that give way, oldest first.
pub(super) const QUEUE: List = List {
    previous: Column(4),
    next: Column(5),
};
/// The next on the stack of those that a hit has changed the class of.
const LOOK: Column = Column(6);
/// Whether it is on that stack.
const NOTED: Column = Column(7);
/// When it was opened 24, the wheel's slot 8.
const OPENED: Column = Column(8);
/// When it was put where it is in the lists 24, the class of which it was then 8.
const LISTED: Column = Column(9);
/// The next free record; a free one is in no list.
const FREE: Column = Column(1);

/// What a record says of its flow beside the key.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) generation: u32,
    pub(super) state: State,
}

impl Life {
    pub(super) fn of(word: u64) -> Self {
        let (generation, state) = split(word);
        Self {
            generation,
            state: State::from_word(state),
        }
    }

    pub(super) fn word(self) -> u64 {
        pair(self.generation, self.state.word())
    }

    pub(super) const fn is_live(self) -> bool {
        self.generation % 2 == 1
    }

    /// What follows it: the same record when its flow has begun, or ended.
    pub(super) const fn after(self, state: State) -> Self {
        Self {
            generation: self.generation.wrapping_add(1),
            state,
        }
    }
}

/// The hot part of one record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    life: &'a AtomicU64,
    key: &'a [AtomicU64; FlowKey::WORDS],
    link: &'a AtomicU64,
}

/// All of a record's hot part as it was at one moment.
pub(super) struct Reading {
    pub(super) life: Life,
    pub(super) words: [u64; FlowKey::WORDS],
    pub(super) epoch: Epoch,
    pub(super) next: u32,
}

/// What lies above the key in its last word.
mod above {
    pub(super) const KEY: u64 = 0x00ff_ffff;
    pub(super) const OPENED_OUTSIDE: u64 = 1 << 24;
    pub(super) const POLICY: u32 = 32;
}

impl Reading {
    /// Whether it is the flow of that key.
    #[inline]
    pub(super) fn is_of(&self, key: &[u64; FlowKey::WORDS]) -> bool {
        let [a, b, c, d, ends, what] = self.words;
        let [key_a, key_b, key_c, key_d, key_ends, key_what] = *key;
        // One branch for all words, where comparing arrays is a call.
        let differences = (a ^ key_a)
            | (b ^ key_b)
            | (c ^ key_c)
            | (d ^ key_d)
            | (ends ^ key_ends)
            | ((what & above::KEY) ^ key_what);
        self.life.is_live() && differences == 0
    }

    pub(super) fn key(&self) -> FlowKey {
        let [a, b, c, d, ends, what] = self.words;
        FlowKey::from_words([a, b, c, d, ends, what & above::KEY])
    }

    pub(super) fn policy(&self) -> PolicyId {
        let [.., what] = self.words;
        let [_, _, p0, p1, ..] = what.to_be_bytes();
        PolicyId(u16::from_be_bytes([p0, p1]))
    }

    pub(super) fn opener(&self) -> Direction {
        let [.., what] = self.words;
        if what & above::OPENED_OUTSIDE == 0 {
            Direction::Input
        } else {
            Direction::Output
        }
    }

    pub(super) fn class(&self) -> Class {
        self.life.state.class(self.key().is_tcp())
    }

    pub(super) fn flow(&self, opened: Seconds) -> Flow {
        Flow {
            key: self.key(),
            state: self.life.state,
            policy: self.policy(),
            epoch: self.epoch,
            opener: self.opener(),
            opened,
        }
    }
}

impl Record<'_> {
    /// Reads it without a lock; `None` if it began or ended meanwhile.
    ///
    /// A change that [`Records::adopt`] makes may be seen in part: an epoch is never seen without the
    /// policy that came with it.
    #[inline]
    pub(super) fn read(self) -> Option<Reading> {
        let life = Life::of(self.life.load(Acquire));
        let (next, epoch) = split(self.link.load(Acquire));
        let words = self.key.each_ref().map(|word| word.load(Relaxed));
        fence(Acquire);
        let (generation, _) = split(self.life.load(Relaxed));
        (generation == life.generation).then_some(Reading {
            life,
            words,
            epoch: Epoch(epoch),
            next,
        })
    }

    pub(super) fn life(self) -> Life {
        Life::of(self.life.load(Acquire))
    }

    /// Changes the state if generation and state are still those; else says what they are.
    #[inline]
    pub(super) fn change(self, from: Life, to: State) -> Result<(), Life> {
        let changed = Life { state: to, ..from };
        self.swap_if(from, changed)
    }

    /// Ends its flow, whatever its state: from here on no holder of a hit can change it. Returns its
    /// last state.
    pub(super) fn end(self) -> Life {
        let life = self.life();
        let ended = life.after(State::from_word(0));
        Life::of(self.life.swap(ended.word(), AcqRel))
    }

    /// Ends its flow if the state is still this one.
    pub(super) fn end_if(self, life: Life) -> Result<(), Life> {
        self.swap_if(life, life.after(State::from_word(0)))
    }

    fn swap_if(self, from: Life, to: Life) -> Result<(), Life> {
        self.life
            .compare_exchange(from.word(), to.word(), AcqRel, Acquire)
            .map_or_else(|other| Err(Life::of(other)), |_| Ok(()))
    }

    /// The key's word of ports, and the next of its bucket, neither of which need be so any more.
    #[inline]
    pub(super) fn glance(self) -> (u64, u32) {
        let [.., ends, _] = self.key;
        (ends.load(Relaxed), self.next())
    }

    /// The next of its bucket; for who holds the bucket's lock.
    pub(super) fn next(self) -> u32 {
        let (next, _) = split(self.link.load(Relaxed));
        next
    }

    /// Makes `next` the next of its bucket; for who holds the bucket's lock.
    pub(super) fn set_next(self, next: u32) {
        let (_, epoch) = split(self.link.load(Relaxed));
        self.link.store(pair(next, epoch), Release);
    }

    /// Gives it another policy and epoch; for who holds the locks of its shard and its bucket.
    pub(super) fn adopt(self, policy: PolicyId, epoch: Epoch) {
        let [.., last] = self.key;
        let what = last.load(Relaxed) & (above::KEY | above::OPENED_OUTSIDE);
        last.store(what | u64::from(policy.0) << above::POLICY, Relaxed);
        self.link.store(pair(self.next(), epoch.0), Release);
    }

    /// Writes a flow into a free record and makes it live. It is in no bucket yet.
    pub(super) fn begin(self, key: &FlowKey, new: &NewFlow) {
        // A reader that comes by an old way and sees any of what follows sees also that the record
        // had left its bucket.
        fence(Release);
        let [a, b, c, d, ends, what] = key.words();
        let outside = match new.opener {
            Direction::Input => 0,
            Direction::Output => above::OPENED_OUTSIDE,
        };
        let what = what | outside | u64::from(new.policy.0) << above::POLICY;
        for (word, value) in self.key.iter().zip([a, b, c, d, ends, what]) {
            word.store(value, Relaxed);
        }
        self.link.store(pair(NOBODY, new.epoch.0), Relaxed);
        let life = Life::of(self.life.load(Relaxed));
        self.life.store(life.after(new.state).word(), Release);
    }
}

/// All records of a table.
pub(super) struct Records {
    hot: Box<[AtomicU64]>,
    /// Words before the first cache line that begins in `hot`.
    skip: usize,
    cold: Box<[AtomicU32]>,
    /// Stands for a record that does not exist.
    nobody: ([AtomicU64; HOT], AtomicU32),
}

impl Records {
    pub(super) fn new(entries: usize) -> Result<Self, NoMemory> {
        let all = entries.saturating_add(1);
        let words = all.saturating_mul(HOT).saturating_add(HOT);
        let hot: Box<[AtomicU64]> = zeroed(words)?;
        Ok(Self {
            skip: if cfg!(loom) {
                0
            } else {
                hot.as_ptr().align_offset(LINE)
            },
            hot,
            cold: zeroed(all.saturating_mul(COLD))?,
            nobody: Default::default(),
        })
    }

    /// Its hot part.
    #[inline]
    pub(super) fn hot(&self, record: u32) -> Record<'_> {
        let records = self.hot.get(self.skip..).unwrap_or_default();
        let (records, _) = records.as_chunks::<HOT>();
        let [life, key @ .., link] = records.get(at(record)).unwrap_or(&self.nobody.0);
        Record { life, key, link }
    }

    /// The addresses of all hot parts, if each begins with a cache line.
    #[cfg(all(test, not(loom)))]
    pub(super) fn cache_lines(&self) -> Option<Vec<usize>> {
        let (records, _) = self.hot.get(self.skip..)?.as_chunks::<HOT>();
        let lines = records.iter().map(|record| record.as_ptr().addr());
        let lines: Vec<usize> = lines.collect();
        lines.iter().all(|line| line % 64 == 0).then_some(lines)
    }

    fn cold(&self, record: u32, Column(column): Column) -> &AtomicU32 {
        let (records, _) = self.cold.as_chunks::<COLD>();
        let word = records
            .get(at(record))
            .and_then(|record| record.get(column));
        word.unwrap_or(&self.nobody.1)
    }

    fn get(&self, record: u32, column: Column) -> u32 {
        self.cold(record, column).load(Relaxed)
    }

    fn set(&self, record: u32, column: Column, value: u32) {
        // Not for those who hold the lock: for a listing, which has none.
        self.cold(record, column).store(value, Release);
    }

    /// The record after this one in a list; for who holds the list's lock, as is all that follows up
    /// to [`Records::note`].
    pub(super) fn next(&self, list: List, record: u32) -> u32 {
        self.get(record, list.next)
    }

    /// Puts a record between two neighbours, either of which may be nobody.
    pub(super) fn join(&self, list: List, record: u32, (previous, next): (u32, u32)) {
        self.set(record, list.previous, previous);
        self.set(record, list.next, next);
        if previous != NOBODY {
            self.set(previous, list.next, record);
        }
        if next != NOBODY {
            self.set(next, list.previous, record);
        }
    }

    /// Takes it from between its neighbours and says who they are.
    pub(super) fn part(&self, list: List, record: u32) -> (u32, u32) {
        let (previous, next) = (self.get(record, list.previous), self.get(record, list.next));
        if previous != NOBODY {
            self.set(previous, list.next, next);
        }
        if next != NOBODY {
            self.set(next, list.previous, previous);
        }
        (previous, next)
    }

    pub(super) fn opened(&self, record: u32) -> Seconds {
        Seconds::new(u64::from(self.get(record, OPENED)))
    }

    pub(super) fn set_opened(&self, record: u32, opened: Seconds) {
        self.set(record, OPENED, opened.get());
    }

    /// The slot of the wheel that it is in.
    pub(super) fn slot(&self, record: u32) -> u8 {
        let [slot, ..] = self.get(record, OPENED).to_be_bytes();
        slot
    }

    pub(super) fn set_slot(&self, record: u32, slot: u8) {
        let opened = self.opened(record).get();
        self.set(record, OPENED, u32::from(slot) << 24 | opened);
    }

    /// The class by which it is listed, and since when.
    pub(super) fn listed(&self, record: u32) -> (Class, Seconds) {
        let word = self.get(record, LISTED);
        let [class, ..] = word.to_be_bytes();
        let class = Class::ALL.get(usize::from(class)).copied();
        (class.unwrap_or(Class::Udp), Seconds::new(u64::from(word)))
    }

    pub(super) fn set_listed(&self, record: u32, class: Class, since: Seconds) {
        let class = match class {
            Class::Transient => 0,
            Class::Established => 1 << 24,
            Class::Closing => 2 << 24,
            Class::Udp => 3 << 24,
        };
        self.set(record, LISTED, class | since.get());
    }

    /// Marks it as one to be looked at; `true` if it was not.
    pub(super) fn note(&self, record: u32) -> bool {
        self.cold(record, NOTED).fetch_or(1, AcqRel) == 0
    }

    /// It is being looked at: whoever changes it from here on must note it again.
    pub(super) fn forget(&self, record: u32) {
        self.cold(record, NOTED).swap(0, AcqRel);
    }

    pub(super) fn after_on_stack(&self, record: u32) -> u32 {
        self.get(record, LOOK)
    }

    pub(super) fn set_after_on_stack(&self, record: u32, next: u32) {
        self.set(record, LOOK, next);
    }

    pub(super) fn next_free(&self, record: u32) -> u32 {
        self.get(record, FREE)
    }

    pub(super) fn set_next_free(&self, record: u32, next: u32) {
        self.set(record, FREE, next);
    }
}

fn at(record: u32) -> usize {
    usize::try_from(record).unwrap_or(usize::MAX)
}

/// One word of two.
pub(super) fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The two of one word.
pub(super) const fn split(word: u64) -> (u32, u32) {
    let [h0, h1, h2, h3, l0, l1, l2, l3] = word.to_be_bytes();
    (
        u32::from_be_bytes([h0, h1, h2, h3]),
        u32::from_be_bytes([l0, l1, l2, l3]),
    )
}
