//! How often each rule has decided.
//!
//! Every worker thread counts in a lane of its own, of whole cache lines, so that no two of them write
//! to the same one; who reads adds the lanes up. One more lane is the book's: there it carries over what
//! an earlier edition of the policy had counted.

use core::sync::atomic::{AtomicU64, Ordering};

/// What fits into one line; two, as processors fetch them in pairs.
const CELLS: usize = 16;

#[repr(align(128))]
#[derive(Debug, Default)]
struct Line([AtomicU64; CELLS]);

/// The counters of one table: one for each rule, then that of the default.
#[derive(Debug)]
pub(super) struct Counters {
    cells: usize,
    lanes: Box<[Box<[Line]>]>,
    carried: Box<[Line]>,
}

/// How often the rules and the default of a table have decided.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TableHits {
    /// By rule, in their order.
    pub rules: Vec<u64>,
    /// No rule matched, and this was the last table of the chain.
    pub default: u64,
}

/// How often the rules and defaults of a policy have decided, of the directions that it has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hits {
    /// From the subscriber.
    pub input: Option<TableHits>,
    /// To him.
    pub output: Option<TableHits>,
}

impl Counters {
    pub(super) fn new(lanes: usize, rules: usize) -> Self {
        let cells = rules.saturating_add(1);
        let lane = || -> Box<[Line]> {
            let count = cells.div_ceil(CELLS);
            (0..count).map(|_| Line::default()).collect()
        };
        Self {
            cells,
            lanes: (0..lanes.max(1)).map(|_| lane()).collect(),
            carried: lane(),
        }
    }

    /// Rule number `rule` has decided; the number after the last one's is the default. A lane that does
    /// not exist counts in another one's: right, but slower.
    pub(super) fn count(&self, lane: usize, rule: usize) {
        let lane = lane.checked_rem(self.lanes.len());
        let lane = lane.and_then(|lane| self.lanes.get(lane));
        if let Some(cell) = lane.and_then(|lane| cell(lane, rule)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_default(&self, lane: usize) {
        self.count(lane, self.cells.saturating_sub(1));
    }

    /// Adds what was counted elsewhere.
    pub(super) fn carry(&self, rule: usize, hits: u64) {
        if let Some(cell) = cell(&self.carried, rule) {
            cell.fetch_add(hits, Ordering::Relaxed);
        }
    }

    /// All counters, that of the default last.
    pub(super) fn sums(&self) -> Vec<u64> {
        let sum = |rule| {
            let lanes = self.lanes.iter().chain([&self.carried]);
            let cells = lanes.filter_map(|lane| cell(lane, rule));
            let add = |sum: u64, cell: &AtomicU64| sum.wrapping_add(cell.load(Ordering::Relaxed));
            cells.fold(0, add)
        };
        (0..self.cells).map(sum).collect()
    }

    pub(super) fn hits(&self) -> TableHits {
        let mut rules = self.sums();
        let default = rules.pop().unwrap_or_default();
        TableHits { rules, default }
    }
}

#[cfg(test)]
impl Counters {
    /// Where the counters of a lane lie.
    pub(super) fn addresses(&self, lane: usize) -> Vec<usize> {
        let lane = self.lanes.get(lane).map_or(&[][..], |lane| lane);
        let cells = lane.iter().flat_map(|Line(cells)| cells);
        cells.map(|cell| core::ptr::from_ref(cell).addr()).collect()
    }
}

fn cell(lane: &[Line], rule: usize) -> Option<&AtomicU64> {
    let Line(cells) = lane.get(rule / CELLS)?;
    cells.get(rule % CELLS)
}
