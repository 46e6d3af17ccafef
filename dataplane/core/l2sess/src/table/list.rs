//! What people and programs ask a table: its flows and how many there are. None of it is on a
//! packet's way.

use super::records::{NOBODY, PORT};
use super::scale::LISTED;
use super::sync::{Acquire, fence};
use super::{Counts, Flow, FlowTable};
use crate::key::PortId;

impl FlowTable {
    /// Up to `most` flows of a port, those first that would give way first.
    pub fn flows_of(&self, port: PortId, most: usize) -> Vec<Flow> {
        let cell = self.cell(port);
        let flows = cell.with(&self.records, |shard| shard.port(port).flows);
        let most = most.min(usize::try_from(flows).unwrap_or(usize::MAX));
        let mut listed = Vec::with_capacity(most);
        cell.with(&self.records, |shard| {
            let mut record = shard.port(port).first;
            while record != NOBODY && listed.len() < most {
                listed.extend(self.flow(record));
                record = self.records.next(PORT, record);
            }
        });
        listed
    }

    /// How many flows a port has.
    pub fn flows_at(&self, port: PortId) -> u32 {
        let cell = self.cell(port);
        cell.with(&self.records, |shard| shard.port(port).flows)
    }

    /// Up to `most` flows from the place `from` on, 0 at first, and the place with which to go on;
    /// none at the end. Flows that are there all the time are listed once; one that comes or ends
    /// meanwhile may be missing. There may be fewer than `most` before the end: a call looks at no more
    /// than 65,536 places that are empty.
    pub fn flows(&self, from: u32, most: usize) -> (Vec<Flow>, Option<u32>) {
        let mut listed = Vec::new();
        let used = self.free.used();
        let mut empty = 0_u32;
        let mut record = from.saturating_add(1);
        while record <= used {
            if listed.len() >= most || empty >= LISTED {
                return (listed, Some(record.saturating_sub(1)));
            }
            match self.flow(record) {
                Some(flow) => listed.push(flow),
                None => empty = empty.saturating_add(1),
            }
            record = record.saturating_add(1);
        }
        (listed, None)
    }

    /// How many flows there are.
    pub fn counts(&self) -> Counts {
        let (mut classes, mut evicted) = ([0_u32; 4], 0_u64);
        for cell in &*self.cells {
            let (of_shard, gave_way) =
                cell.with(&self.records, |shard| (shard.classes, shard.evicted));
            evicted = evicted.wrapping_add(gave_way);
            for (all, some) in classes.iter_mut().zip(of_shard) {
                *all = all.saturating_add(some);
            }
        }
        Counts {
            capacity: self.free.entries(),
            in_use: self.free.taken(),
            classes,
            evicted,
        }
    }

    /// The flow of a record, unless it comes or ends this very moment.
    fn flow(&self, record: u32) -> Option<Flow> {
        let hot = self.records.hot(record);
        let before = hot.read().filter(|reading| reading.life.is_live())?;
        let opened = self.records.opened(record);
        fence(Acquire);
        let after = hot.read()?;
        (after.life.generation == before.life.generation).then(|| after.flow(opened))
    }
}
