//! How flows leave that nobody's packet ends: by time, and with their port.

use super::records::NOBODY;
use super::scale::{HOLD, SHARDS, TURN};
use super::shard::Shard;
use super::sync::Relaxed;
use super::{Cell, FlowTable};
use crate::key::PortId;
use crate::policy::Policies;
use crate::state::Seconds;

/// What a sweep has done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// Flows that it has ended: they had been silent for too long.
    pub expired: usize,
    /// The budget was not enough: there is more to be done now.
    pub more: bool,
}

impl FlowTable {
    /// Ends the flows that have been silent for too long at `now`, by the timeouts of their policies in
    /// `policies`, and puts those into order whose class has changed. It looks at up to `budget` of
    /// those that are due, and holds a shard's lock for some tens of them at a time.
    ///
    /// Called four times a second it frees a flow within 1.5 T + 1 s after its last packet. A timeout
    /// that was shortened since the flow was looked at last counts for packets at once, and here within
    /// two minutes.
    pub fn sweep(&self, now: Seconds, policies: &Policies, budget: usize) -> Swept {
        let mut swept = Swept::default();
        let mut left = budget;
        let first = usize::try_from(self.swept.load(Relaxed)).unwrap_or(0);
        for at in 0..SHARDS {
            let number = first.wrapping_add(at) % SHARDS;
            let Some(cell) = self.cells.get(number) else {
                continue;
            };
            loop {
                let most = left.min(HOLD);
                let (seen, expired, is_done) = self.sweep_some(cell, now, policies, most);
                swept.expired = swept.expired.saturating_add(expired);
                left = left.saturating_sub(seen);
                if is_done {
                    break;
                }
                if left == 0 {
                    // The others are first the next time.
                    let next = u32::try_from(number.wrapping_add(1)).unwrap_or(0);
                    self.swept.store(next, Relaxed);
                    swept.more = true;
                    return swept;
                }
            }
        }
        swept
    }

    /// Looks at up to `most` flows of a shard: returns how many, how many of them it has ended, and
    /// whether no other is to be looked at now.
    fn sweep_some(
        &self,
        cell: &Cell,
        now: Seconds,
        policies: &Policies,
        most: usize,
    ) -> (usize, usize, bool) {
        let (mut ended, mut expired) = ([NOBODY; HOLD], 0_usize);
        let (seen, is_done) = cell.with(&self.records, |shard| {
            // Each of these may be due at once: however many there are, half is for the others.
            let changed = most.div_ceil(4);
            let mut seen = self.look(cell, shard, changed, now);
            let is_done = seen < changed;
            let mut places = ended.iter_mut();
            while seen < most
                && let Some(record) = shard.wheel.due(now)
            {
                seen = seen.saturating_add(1);
                if self.end_if_over(shard, record, now, policies) {
                    expired = expired.saturating_add(1);
                    if let Some(place) = places.next() {
                        *place = record;
                    }
                }
            }
            (seen, is_done && seen < most)
        });
        self.free_all(&ended);
        (seen, expired, is_done)
    }

    /// Ends a flow that is due if it is over, else puts it where it is due again.
    fn end_if_over(
        &self,
        shard: &mut Shard,
        record: u32,
        now: Seconds,
        policies: &Policies,
    ) -> bool {
        let hot = self.records.hot(record);
        let Some(reading) = hot.read() else {
            return false;
        };
        let (state, timeouts) = (reading.life.state, policies.timeouts(reading.policy()));
        let is_tcp = reading.key().is_tcp();
        // A packet that comes right now keeps it: then it is looked at again.
        if state.is_over(is_tcp, &timeouts, now) && hot.end_if(reading.life).is_ok() {
            self.unlink(shard, record, &reading);
            return true;
        }
        let age = timeouts.end(state.class(is_tcp)).saturating_add(1);
        shard
            .wheel
            .defer(record, state.seconds().plus(age), &self.records);
        let (_, listed) = self.records.listed(record);
        let is_fresh = now.since(state.seconds()) < TURN && state.seconds().since(listed) > 0;
        if !shard.relist(record, &reading, now, &self.records) && is_fresh {
            shard.tell(record, &reading, &self.records);
        }
        false
    }

    /// Opens a port: flows may be added to it from here on.
    pub fn open(&self, port: PortId) {
        if port.0 < self.ports {
            self.cell(port)
                .with(&self.records, |shard| shard.set_open(port, true));
        }
    }

    /// Closes a port and ends its flows; returns how many. None is left and none can be added, and the
    /// number can be used again.
    pub fn close(&self, port: PortId) -> usize {
        let cell = self.cell(port);
        cell.with(&self.records, |shard| shard.set_open(port, false));
        self.clear(port)
    }

    /// Ends the flows that a port has; returns how many. Those that are added meanwhile may be among
    /// them.
    pub fn clear(&self, port: PortId) -> usize {
        self.end_all(self.cell(port), |shard| shard.port(port).first)
    }

    /// Ends all flows; returns how many. Those that are added meanwhile may be among them.
    pub fn clear_all(&self) -> usize {
        let cells = self.cells.iter();
        cells
            .map(|cell| self.end_all(cell, |shard| shard.wheel.any()))
            .sum()
    }

    /// Ends flows of a shard, some under each hold of its lock, until `next` names nobody.
    fn end_all(&self, cell: &Cell, next: impl Fn(&Shard) -> u32) -> usize {
        let mut all = 0_usize;
        loop {
            let (mut ended, mut count) = ([NOBODY; HOLD], 0_usize);
            cell.with(&self.records, |shard| {
                for place in &mut ended {
                    let record = next(shard);
                    if record == NOBODY {
                        break;
                    }
                    let Some(reading) = self.records.hot(record).read() else {
                        break;
                    };
                    self.retire(shard, record, &reading);
                    *place = record;
                    count = count.saturating_add(1);
                }
            });
            self.free_all(&ended);
            all = all.saturating_add(count);
            if count < HOLD {
                return all;
            }
        }
    }

    /// The second stage of an end: the records may be used again.
    fn free_all(&self, ended: &[u32]) {
        for record in ended.iter().filter(|record| **record != NOBODY) {
            self.free.give(*record, &self.records);
        }
    }
}
