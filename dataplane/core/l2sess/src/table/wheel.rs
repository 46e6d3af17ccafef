//! When a flow is to be looked at again: one turn of slots of one second each, a list of records in
//! every slot. Hits do not touch it. A flow that is due is looked at, and what its state word says
//! decides whether it is over or gets another slot; who is due after the end of the turn is looked at
//! once before.

use super::records::{NOBODY, Records, WHEEL};
use super::scale::TURN;
use crate::state::Seconds;

const SLOTS: usize = 128;
const _: () = assert!(
    TURN == 128 || cfg!(loom),
    "as many slots as the turn has seconds"
);
/// A turn back.
const BACK: u32 = (1 << 24) - TURN;

/// The wheel of one shard.
pub(super) struct Wheel {
    slots: [u32; SLOTS],
    /// The tick up to which all slots have been emptied; none before the first flow or sweep.
    at: Option<Seconds>,
}

impl Wheel {
    pub(super) const fn new() -> Self {
        Self {
            slots: [NOBODY; SLOTS],
            at: None,
        }
    }

    /// The next record that is due at `now`, still in its slot.
    pub(super) fn due(&mut self, now: Seconds) -> Option<u32> {
        let mut at = *self.at.get_or_insert(now);
        if now.since(at) > TURN {
            at = now.plus(BACK); // every slot once is enough
        }
        while now.since(at) > 0 {
            let tick = at.plus(1);
            let first = self.first(tick);
            if first != NOBODY {
                self.at = Some(at);
                return Some(first);
            }
            at = tick;
        }
        self.at = Some(at);
        None
    }

    /// Any record that is in it, or nobody.
    pub(super) fn any(&self) -> u32 {
        let mut slots = self.slots.iter().copied();
        slots.find(|first| *first != NOBODY).unwrap_or(NOBODY)
    }

    /// Puts a record where it is due, as far as the turn goes.
    pub(super) fn insert(&mut self, record: u32, due: Seconds, now: Seconds, records: &Records) {
        let at = *self.at.get_or_insert(now);
        self.put(record, at.plus(due.since(at).clamp(1, TURN - 1)), records);
    }

    /// Moves a record that [`Wheel::due`] has given on to when it is due again: never into the slot
    /// that is being emptied.
    pub(super) fn defer(&mut self, record: u32, due: Seconds, records: &Records) {
        let Some(at) = self.at else { return };
        self.remove(record, records);
        self.put(record, at.plus(due.since(at).clamp(2, TURN - 1)), records);
    }

    /// Moves a record to the next tick.
    pub(super) fn hasten(&mut self, record: u32, records: &Records) {
        let Some(at) = self.at else { return };
        self.remove(record, records);
        self.put(record, at.plus(1), records);
    }

    pub(super) fn remove(&mut self, record: u32, records: &Records) {
        let (previous, next) = records.part(WHEEL, record);
        if previous == NOBODY
            && let Some(first) = self.slots.get_mut(usize::from(records.slot(record)))
        {
            *first = next;
        }
    }

    fn put(&mut self, record: u32, tick: Seconds, records: &Records) {
        let slot = slot_of(tick);
        records.set_slot(record, slot);
        if let Some(first) = self.slots.get_mut(usize::from(slot)) {
            records.join(WHEEL, record, (NOBODY, *first));
            *first = record;
        }
    }

    fn first(&self, tick: Seconds) -> u32 {
        let first = self.slots.get(usize::from(slot_of(tick)));
        first.copied().unwrap_or(NOBODY)
    }
}

fn slot_of(tick: Seconds) -> u8 {
    let [slot, ..] = tick.get().wrapping_rem(TURN).to_le_bytes();
    slot
}
