//! A hierarchical hashed timing wheel: one timer per dense key, everything in O(1).
//!
//! Seven levels of 64 slots, each slot of a level as wide as the whole level below, cover all of
//! [`Instant`] at a tick of 8.4 ms: no deadline is too far, and a jump of years costs no more than
//! a tick. A timer never fires early, and at most one tick late.

#[cfg(test)]
mod tests;

use core::fmt;

use crate::chunks::Chunks;
use crate::time::Instant;

/// Nanoseconds of a tick: fine enough for a retransmission after a second (RFC 2661, 5.8), coarse
/// enough that a busy node deals with its timers in batches.
const TICK: u64 = 1 << 23;
/// Slots of a level: one word says which have timers.
const SLOTS: usize = 64;
/// The bits of a tick that a level looks at.
const BITS: u32 = 6;
/// The 2^41 ticks of an [`Instant`] fit into seven levels.
const LEVELS: usize = 7;
/// The list of timers whose tick has come; those of the slots are before it.
const DUE: usize = SLOTS * LEVELS;
/// No key.
const NONE: u32 = u32::MAX;
/// The list of a timer that is not armed.
const UNARMED: u16 = u16::MAX;

/// Timers of the keys `0..capacity`, at most one for each.
///
/// # Cost
/// [`arm`](Self::arm), [`disarm`](Self::disarm) and the questions are O(1). [`pop_due`](Self::pop_due)
/// moves a timer down at most six times in its life, in batches of a slot: a call may move all
/// timers that fall due within the same half minute, once in that half minute.
pub struct Wheel {
    capacity: u32,
    /// The tick up to which time was followed. Timers up to it are in [`DUE`], any other on the level
    /// of the highest bits in which its tick differs from this one, so always in a slot ahead.
    tick: u64,
    /// For each level, which slots have timers.
    occupied: [u64; LEVELS],
    lists: Box<[List]>,
    timers: Chunks<Timer>,
    len: u32,
}

/// The timers of a slot, first armed first.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// No timer of the list fires before this tick. It stays when the timer goes that set it.
    earliest: u64,
}

/// A key's timer.
#[derive(Clone, Copy, Debug)]
struct Timer {
    deadline: Instant,
    previous: u32,
    next: u32,
    list: u16,
}

impl Wheel {
    /// A wheel without timers. Takes memory as keys are armed, 24 octets each.
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            tick: 0,
            occupied: [0; LEVELS],
            lists: vec![List::EMPTY; DUE.saturating_add(1)].into_boxed_slice(),
            timers: Chunks::new(usize::try_from(capacity).unwrap_or(usize::MAX)),
            len: 0,
        }
    }

    /// Makes the key's timer fire at `deadline`, whatever it was set to before. A deadline in the
    /// past fires at the next [`pop_due`](Self::pop_due).
    ///
    /// The key must be below the capacity: another has no timer, and nothing happens.
    pub fn arm(&mut self, key: u32, deadline: Instant) {
        debug_assert!(key < self.capacity, "key {key} of {}", self.capacity);
        if key >= self.capacity {
            return;
        }
        self.disarm(key);
        if let Some(timer) = self.timers.entry(key) {
            timer.deadline = deadline;
            self.len = self.len.saturating_add(1);
            self.insert(key, deadline);
        }
    }

    /// Stops the key's timer. `false` if it was not armed.
    pub fn disarm(&mut self, key: u32) -> bool {
        let was_armed = self.unlink(key);
        self.len = self.len.saturating_sub(u32::from(was_armed));
        was_armed
    }

    /// Takes a key whose deadline has passed by `now`; its timer is no longer armed. Called until
    /// `None`, it gives all of them, those of an earlier tick first.
    ///
    /// `now` must not go back from call to call; if it does, the later one counts.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos() / TICK;
        loop {
            if let Some(key) = self.first_of(DUE) {
                self.disarm(key);
                return Some(key);
            }
            match self.next_slot() {
                Some((list, start)) if start <= now => {
                    self.tick = start;
                    self.spread(list);
                }
                Some(_) | None => {
                    self.tick = self.tick.max(now);
                    return None;
                }
            }
        }
    }

    /// When to call [`pop_due`](Self::pop_due) next; `None` if no timer is armed.
    ///
    /// Never later than the next timer fires. Exact, unless that timer is more than half a second
    /// away and an earlier one near it was disarmed: then the call finds nothing due and the next
    /// answer is closer.
    pub fn next_deadline(&self) -> Option<Instant> {
        if let Some(key) = self.first_of(DUE) {
            return self.armed(key);
        }
        let (list, _) = self.next_slot()?;
        self.lists
            .get(list)
            .map(|list| Instant::from_nanos(list.earliest.saturating_mul(TICK)))
    }

    /// What the key's timer is set to, if it is armed.
    pub fn armed(&self, key: u32) -> Option<Instant> {
        self.timers
            .get(key)
            .filter(|timer| timer.list != UNARMED)
            .map(|timer| timer.deadline)
    }

    /// How many timers are armed.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot whose timers come first, and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let (level, occupied) = self
            .occupied
            .iter()
            .enumerate()
            .find(|(_, word)| **word != 0)?;
        let slot = occupied.trailing_zeros();
        let shift = shift_of(level);
        let above = shift.saturating_add(BITS);
        let window = self.tick.wrapping_shr(above).wrapping_shl(above);
        let list = level
            .saturating_mul(SLOTS)
            .saturating_add(usize::try_from(slot).ok()?);
        Some((list, window | u64::from(slot).wrapping_shl(shift)))
    }

    /// Moves the timers of a slot that has begun to where they belong now.
    fn spread(&mut self, list: usize) {
        while let Some(key) = self.first_of(list) {
            self.unlink(key);
            if let Some(timer) = self.timers.get(key) {
                self.insert(key, timer.deadline);
            }
        }
    }

    fn first_of(&self, list: usize) -> Option<u32> {
        self.lists
            .get(list)
            .map(|list| list.first)
            .filter(|key| *key != NONE)
    }

    /// Puts a timer that is in no list into the one of its deadline.
    fn insert(&mut self, key: u32, deadline: Instant) {
        let tick = deadline.as_nanos().div_ceil(TICK);
        let list = if tick <= self.tick {
            DUE
        } else {
            self.occupy(tick)
        };
        let Some(ends) = self.lists.get_mut(list) else {
            return;
        };
        let previous = ends.last;
        ends.last = key;
        ends.earliest = ends.earliest.min(tick);
        if previous == NONE {
            ends.first = key;
        } else if let Some(timer) = self.timers.get_mut(previous) {
            timer.next = key;
        }
        if let Some(timer) = self.timers.get_mut(key) {
            let list = u16::try_from(list).unwrap_or(UNARMED);
            *timer = Timer {
                deadline,
                previous,
                next: NONE,
                list,
            };
        }
    }

    /// The list of a tick that is yet to come, marked as one with timers.
    fn occupy(&mut self, tick: u64) -> usize {
        let highest = (tick ^ self.tick).checked_ilog2().unwrap_or_default();
        let level = usize::try_from(highest / BITS).unwrap_or_default();
        let slot = tick.wrapping_shr(shift_of(level)) & 63;
        if let Some(word) = self.occupied.get_mut(level) {
            *word |= 1_u64.wrapping_shl(u32::try_from(slot).unwrap_or_default());
        }
        level
            .saturating_mul(SLOTS)
            .saturating_add(usize::try_from(slot).unwrap_or_default())
    }

    /// Takes a timer out of its list. `false` if it was in none.
    fn unlink(&mut self, key: u32) -> bool {
        let Some(timer) = self
            .timers
            .get_mut(key)
            .filter(|timer| timer.list != UNARMED)
        else {
            return false;
        };
        let Timer {
            previous,
            next,
            list,
            ..
        } = *timer;
        timer.list = UNARMED;
        let Some(ends) = self.lists.get_mut(usize::from(list)) else {
            return false;
        };
        match self.timers.get_mut(previous) {
            Some(timer) if previous != NONE => timer.next = next,
            Some(_) | None => ends.first = next,
        }
        match self.timers.get_mut(next) {
            Some(timer) if next != NONE => timer.previous = previous,
            Some(_) | None => ends.last = previous,
        }
        if ends.first == NONE {
            *ends = List::EMPTY;
            self.vacate(usize::from(list));
        }
        true
    }

    fn vacate(&mut self, list: usize) {
        if let Some(word) = self.occupied.get_mut(list / SLOTS) {
            *word &= !1_u64.wrapping_shl(u32::try_from(list % SLOTS).unwrap_or_default());
        }
    }
}

impl List {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        earliest: u64::MAX,
    };
}

impl Default for Timer {
    fn default() -> Self {
        Self {
            deadline: Instant::ZERO,
            previous: NONE,
            next: NONE,
            list: UNARMED,
        }
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("armed", &self.len)
            .field("next_deadline", &self.next_deadline())
            .finish_non_exhaustive()
    }
}

/// How far right a tick is shifted for a level.
fn shift_of(level: usize) -> u32 {
    u32::try_from(level)
        .unwrap_or_default()
        .saturating_mul(BITS)
}
