//! What is going to happen, in order; of things at one moment, what was put in first.

use core::cmp::Ordering;
use core::net::SocketAddr;
use std::collections::BinaryHeap;

use lns_tables::path::PathReport;
use lns_tables::time::Instant;

use super::Origin;
use super::keeper::Wire;

/// One thing that is going to happen.
#[derive(Debug)]
pub(super) enum Item {
    /// A datagram reaches the node.
    ToNode(Origin, SocketAddr, Vec<u8>),
    /// A datagram reaches a LAC.
    ToLac(usize, Vec<u8>),
    /// A LAC's timer is due.
    Lac(usize),
    /// The workers' answer reaches the node, if it is this process still.
    Report(u64, PathReport),
    /// Something happens between the process and the store, if it is this connection still.
    Store(u64, Wire),
    /// A node goes on from what this process has stored.
    Heir(u64),
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    order: u64,
    item: Item,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, item: Item) {
        self.order += 1;
        let order = self.order;
        self.heap.push(Entry { at, order, item });
    }

    pub(super) fn peek(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Item> {
        self.peek().filter(|at| *at <= now)?;
        self.heap.pop().map(|entry| entry.item)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
