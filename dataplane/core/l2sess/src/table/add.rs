//! How a flow comes into the table, and which one gives way to it.

use super::records::{NOBODY, Reading};
use super::scale::{EVICTED_PER_ADD, EVICTIONS, HOLD, LOOKS_PER_ADD};
use super::shard::Shard;
use super::{Added, Cell, FlowTable, Hit, NewFlow};
use crate::key::{FlowKey, PortId};
use crate::state::Seconds;
use crate::verdict::Refusal;

/// A flow that is to come in.
pub(super) struct Wanted<'a> {
    pub(super) key: &'a FlowKey,
    pub(super) new: &'a NewFlow,
    pub(super) opened: Seconds,
    pub(super) per_port: u32,
    pub(super) now: Seconds,
}

/// What an attempt came to.
enum Attempt {
    Done(Result<Added, Refusal>),
    /// Nothing stands against it but that all records are out.
    NoRecord,
}

impl FlowTable {
    /// Adds a flow to a port that may have `per_port` of them. From any number of threads at once the
    /// same key comes in once; the others learn that it is there.
    ///
    /// The work does not depend on how many flows there are. Where something must give way it is the
    /// port's oldest flow that may, if the port is at its limit, and the table's oldest, as far as the
    /// shards have said, if the table is; the new flow comes in in the same call.
    ///
    /// # Errors
    /// [`Refusal::PortClosed`], [`Refusal::FlowLimit`] or [`Refusal::FlowTableFull`]; no flow has
    /// come, and of those that were there none has ended that was not to give way.
    pub fn add(
        &self,
        key: &FlowKey,
        new: &NewFlow,
        per_port: u32,
        now: Seconds,
    ) -> Result<Added, Refusal> {
        self.admit(&Wanted {
            key,
            new,
            opened: now,
            per_port,
            now,
        })
    }

    pub(super) fn admit(&self, wanted: &Wanted<'_>) -> Result<Added, Refusal> {
        if let Attempt::Done(answer) = self.attempt(wanted, None) {
            return answer;
        }
        let given_up = self.evict_oldest(wanted.now);
        if given_up.is_none() {
            return Err(Refusal::FlowTableFull);
        }
        match self.attempt(wanted, given_up) {
            Attempt::Done(answer) => answer,
            Attempt::NoRecord => Err(Refusal::FlowTableFull),
        }
    }

    /// Tries it, with a record that another flow has given up if there is one.
    fn attempt(&self, wanted: &Wanted<'_>, given_up: Option<u32>) -> Attempt {
        let mut spare = given_up;
        let cell = self.cell(wanted.key.port());
        let attempt = cell.with(&self.records, |shard| {
            self.look(cell, shard, LOOKS_PER_ADD, wanted.now);
            self.enter(cell, shard, wanted, &mut spare)
        });
        if let Some(left) = spare {
            self.free.give(left, &self.records);
        }
        match attempt {
            Attempt::Done(Ok(Added::New { evicted })) => Attempt::Done(Ok(Added::New {
                evicted: evicted || given_up.is_some(),
            })),
            other @ (Attempt::Done(_) | Attempt::NoRecord) => other,
        }
    }

    fn enter(
        &self,
        cell: &Cell,
        shard: &mut Shard,
        wanted: &Wanted<'_>,
        spare: &mut Option<u32>,
    ) -> Attempt {
        let (port, hash) = (wanted.key.port(), wanted.key.hash(self.seed));
        // Nobody else adds or wipes flows of this port: what is not there now is not there below.
        let found = self.buckets.hold(hash, &self.records).find(wanted.key);
        if let Some((record, reading)) = found {
            return Attempt::Done(Ok(Added::Existing(Hit::new(record, &reading))));
        }
        if !shard.port(port).is_open {
            return Attempt::Done(Err(Refusal::PortClosed));
        }
        let mut evicted = false;
        if shard.port(port).flows >= wanted.per_port {
            evicted = self.make_room(cell, shard, wanted, spare);
            if !evicted {
                return Attempt::Done(Err(Refusal::FlowLimit));
            }
        }
        let Some(record) = spare.take().or_else(|| self.free.take(&self.records)) else {
            return Attempt::NoRecord;
        };
        self.begin(shard, record, wanted);
        Attempt::Done(Ok(Added::New { evicted }))
    }

    /// Writes the flow into a free record and lists it; last of all readers find it.
    fn begin(&self, shard: &mut Shard, record: u32, wanted: &Wanted<'_>) {
        let Wanted { key, new, now, .. } = *wanted;
        let hot = self.records.hot(record);
        self.records.set_opened(record, wanted.opened);
        hot.begin(key, new);
        let Some(reading) = hot.read() else { return };
        let age = new.timeouts.end(reading.class()).saturating_add(1);
        let due = new.state.seconds().plus(age);
        shard.insert(record, &reading, now, &self.records);
        shard.wheel.insert(record, due, now, &self.records);
        self.buckets
            .hold(key.hash(self.seed), &self.records)
            .link(record);
    }

    /// Ends the oldest flows of a port that give way, until there is room for one more, but no more
    /// than a few. The first one's record is for the flow that comes. `false` if there was none.
    fn make_room(
        &self,
        cell: &Cell,
        shard: &mut Shard,
        wanted: &Wanted<'_>,
        spare: &mut Option<u32>,
    ) -> bool {
        let (port, now) = (wanted.key.port(), wanted.now);
        self.look(cell, shard, HOLD, now);
        let mut evicted = false;
        for _ in 0..EVICTED_PER_ADD {
            if shard.port(port).flows < wanted.per_port {
                break;
            }
            let Some(record) = self.give_up(shard, now, |shard| first_soft(shard, port)) else {
                break;
            };
            evicted = true;
            if let Some(second) = spare.replace(record) {
                self.free.give(second, &self.records);
            }
        }
        evicted
    }

    /// Ends the oldest flow of the table that gives way; its record is the caller's.
    fn evict_oldest(&self, now: Seconds) -> Option<u32> {
        for _ in 0..EVICTIONS {
            let cell = self.oldest_cell(now).or_else(|| self.noted_cell())?;
            let given_up = cell.with(&self.records, |shard| {
                self.look(cell, shard, HOLD, now);
                self.give_up(shard, now, |shard| {
                    Some(shard.oldest()).filter(|record| *record != NOBODY)
                })
            });
            if given_up.is_some() {
                return given_up;
            }
        }
        None
    }

    /// Ends the first that `choose` names and that gives way indeed: one that a hit has put into
    /// another class, be it this very moment, is listed anew.
    fn give_up(
        &self,
        shard: &mut Shard,
        now: Seconds,
        choose: impl Fn(&Shard) -> Option<u32>,
    ) -> Option<u32> {
        for _ in 0..HOLD {
            let record = choose(shard)?;
            let hot = self.records.hot(record);
            let reading = hot.read()?;
            if !reading.class().gives_way() {
                self.relist(shard, record, &reading, now);
            } else if hot.end_if(reading.life).is_ok() {
                self.unlink(shard, record, &reading);
                shard.evicted = shard.evicted.wrapping_add(1);
                return Some(record);
            }
        }
        None
    }

    /// The shard whose oldest flow that gives way is the oldest of all.
    fn oldest_cell(&self, now: Seconds) -> Option<&Cell> {
        let aged = |cell| Some((Cell::oldest(cell)?, cell));
        let cells = self.cells.iter().filter_map(aged);
        let oldest = cells.max_by_key(|(since, _)| now.since(*since));
        oldest.map(|(_, cell)| cell)
    }

    /// A shard that has flows to be looked at.
    fn noted_cell(&self) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.has_looks())
    }

    /// Sees to up to `most` of those flows whose class a hit has changed; returns how many there were.
    pub(super) fn look(&self, cell: &Cell, shard: &mut Shard, most: usize, now: Seconds) -> usize {
        for seen in 0..most {
            let Some(record) = cell.pop_look(&self.records) else {
                return seen;
            };
            self.records.forget(record);
            let Some(reading) = self.records.hot(record).read() else {
                // It is changing hands in another shard; later it is clear whose it is.
                if self.records.note(record) {
                    cell.push_look(record, &self.records);
                }
                continue;
            };
            let port = reading.key().port();
            if !reading.life.is_live() {
                continue;
            }
            if core::ptr::eq(self.cell(port), cell) {
                self.relist(shard, record, &reading, now);
            } else {
                self.note(record, port); // its record has come to another shard since
            }
        }
        most
    }

    /// Lists a flow by the class that it has now and has the sweep look when it is due.
    pub(super) fn relist(&self, shard: &mut Shard, record: u32, reading: &Reading, now: Seconds) {
        if shard.relist(record, reading, now, &self.records) {
            shard.wheel.hasten(record, &self.records);
        }
    }
}

fn first_soft(shard: &Shard, port: PortId) -> Option<u32> {
    let port = shard.port(port);
    (port.last_soft != NOBODY).then_some(port.first)
}
