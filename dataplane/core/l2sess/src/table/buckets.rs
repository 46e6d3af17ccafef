//! Where the hash of a key leads: chains of records that readers walk without a lock.
//!
//! A bucket is one word: how many records have left it, and the first of those that are in it. A
//! reader that comes to the end of the chain without having found its key knows that the key was not
//! there only if no record has left meanwhile: one that has may have led it into another bucket's
//! chain. Buckets belong to no shard, so that every subscriber has the whole table; a few locks of
//! their own, which nobody holds while waiting, keep writers from each other.

use super::NoMemory;
use super::records::{NOBODY, Reading, Records, pair, split};
use super::scale::{ATTEMPTS, BUCKET_LOCKS, STEPS};
use super::sync::{Acquire, AtomicU64, Guard, Lock, Relaxed, Release, fence, zeroed};
use crate::key::FlowKey;

/// A lock in a cache line of its own.
#[repr(align(64))]
struct BucketLock(Lock<()>);

/// All buckets of a table.
pub(super) struct Buckets {
    words: Box<[AtomicU64]>,
    locks: Box<[BucketLock]>,
    /// Stands for a bucket that does not exist.
    nowhere: AtomicU64,
}

/// A bucket that is one's own for a moment.
pub(super) struct Held<'a> {
    word: &'a AtomicU64,
    records: &'a Records,
    _lock: Option<Guard<'a, ()>>,
}

/// How a reader's walk ended.
enum Walk {
    Found(u32, Reading),
    Absent,
    /// Records left the bucket; nothing is known.
    Disturbed,
}

/// How many buckets a table of so many records has: the next power of two, so that a chain holds one
/// or two.
const fn buckets_of(entries: usize) -> usize {
    entries.next_power_of_two()
}

/// Octets of the buckets of a table of so many records.
pub(super) const fn octets(entries: usize) -> usize {
    buckets_of(entries).saturating_mul(size_of::<u64>())
}

impl Buckets {
    pub(super) fn new(entries: usize) -> Result<Self, NoMemory> {
        Ok(Self {
            words: zeroed(buckets_of(entries))?,
            locks: (0..BUCKET_LOCKS)
                .map(|_| BucketLock(Lock::new(())))
                .collect(),
            nowhere: AtomicU64::default(),
        })
    }

    /// The flow of a key and its record, without a lock. It is not found if it is not there, or if
    /// records left its bucket [`ATTEMPTS`] times while it was being looked for.
    #[inline]
    pub(super) fn find(
        &self,
        hash: u64,
        key: &FlowKey,
        records: &Records,
    ) -> Option<(u32, Reading)> {
        let (word, key) = (self.word(hash), key.words());
        for _ in 0..ATTEMPTS {
            match walk(word, &key, records) {
                Walk::Found(record, reading) => return Some((record, reading)),
                Walk::Absent => return None,
                Walk::Disturbed => {}
            }
        }
        None
    }

    /// The first record of the bucket that this hash leads to, at this moment.
    #[inline]
    pub(super) fn first(&self, hash: u64) -> u32 {
        let (_, first) = split(self.word(hash).load(Relaxed));
        first
    }

    /// Waits until no other writer uses that bucket.
    pub(super) fn hold<'a>(&'a self, hash: u64, records: &'a Records) -> Held<'a> {
        let lock = self.locks.get(self.place(hash) % BUCKET_LOCKS);
        Held {
            word: self.word(hash),
            records,
            _lock: lock.map(|BucketLock(lock)| lock.lock()),
        }
    }

    fn word(&self, hash: u64) -> &AtomicU64 {
        self.words.get(self.place(hash)).unwrap_or(&self.nowhere)
    }

    fn place(&self, hash: u64) -> usize {
        let mask = self.words.len().wrapping_sub(1);
        usize::try_from(hash & u64::try_from(mask).unwrap_or(0)).unwrap_or(0)
    }
}

#[inline]
fn walk(word: &AtomicU64, key: &[u64; FlowKey::WORDS], records: &Records) -> Walk {
    let (left, mut record) = split(word.load(Acquire));
    for _ in 0..STEPS {
        if record == NOBODY {
            fence(Acquire);
            let (now, _) = split(word.load(Relaxed));
            return if now == left {
                Walk::Absent
            } else {
                Walk::Disturbed
            };
        }
        let Some(reading) = records.hot(record).read() else {
            return Walk::Disturbed;
        };
        if reading.is_of(key) {
            return Walk::Found(record, reading);
        }
        // One that has ended, and that its writer has not come to take out yet, leads on.
        record = reading.next;
    }
    Walk::Disturbed
}

impl Held<'_> {
    /// The flow of a key and its record: certain, as no record comes or goes.
    pub(super) fn find(&self, key: &FlowKey) -> Option<(u32, Reading)> {
        let key = key.words();
        let (_, mut record) = split(self.word.load(Acquire));
        while record != NOBODY {
            let hot = self.records.hot(record);
            if let Some(reading) = hot.read().filter(|reading| reading.is_of(&key)) {
                return Some((record, reading));
            }
            record = hot.next();
        }
        None
    }

    /// Puts a record at the front: from here on readers find it.
    pub(super) fn link(&self, record: u32) {
        let (left, first) = split(self.word.load(Relaxed));
        self.records.hot(record).set_next(first);
        self.word.store(pair(left, record), Release);
    }

    /// Takes a record out. Where it leads to stays, for readers that are at it.
    pub(super) fn unlink(&self, record: u32) {
        let (left, first) = split(self.word.load(Relaxed));
        let left = left.wrapping_add(1);
        let next = self.records.hot(record).next();
        if first == record {
            self.word.store(pair(left, next), Release);
            return;
        }
        let mut previous = first;
        while previous != NOBODY {
            let hot = self.records.hot(previous);
            if hot.next() == record {
                hot.set_next(next);
                break;
            }
            previous = hot.next();
        }
        self.word.store(pair(left, first), Release);
    }
}
