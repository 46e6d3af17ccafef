//! What is going to happen in a cluster, in order; of things at one moment, what was put in first.

use core::cmp::Ordering;
use core::net::SocketAddr;
use std::collections::BinaryHeap;

use lns_cluster::{Answer, Epoch, Operation, RequestId};
use lns_tables::time::Instant;

use super::api::Gist;
use super::peers::Message;
use super::site::{Answered, Asked};
use super::store::{Op, Reply};

/// Which process: a site, and how many there were before on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Process {
    pub(super) site: usize,
    pub(super) life: u64,
}

/// One thing that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A process has something to do.
    Wake(usize),
    /// A request that was sent then reaches the API server, if it is the same life of that still.
    ToApi(Process, u64, Instant, RequestId, Operation),
    /// Its answer reaches the process.
    FromApi(Process, RequestId, Answer),
    /// A watch says what the Lease said.
    Hint(Process, Option<Gist>),
    /// A question reaches the store, over this connection.
    ToStore(Process, u64, Op),
    /// Its answer reaches the process.
    FromStore(Process, u64, Reply),
    /// The store has something for who follows its stream.
    Stream(Process, u64),
    /// A process notices that its connection to the store is gone, or that it has another one.
    StoreLost(Process),
    StoreBack(Process),
    /// A member says something to another one.
    Peer(Process, usize, Message),
    /// Two members have found each other, or lost.
    Met(Process, Process),
    Parted(Process, usize),
    /// Something reaches the RADIUS servers, from a mastership of a process, and their answer that.
    ToRadius(Process, Epoch, Asked),
    FromRadius(Process, Answered),
    /// A router asks all members whether they are there.
    Probe,
    /// A datagram of a LAC's reaches the router.
    ToCluster(SocketAddr, Vec<u8>),
    /// A datagram reaches a LAC.
    ToLac(usize, Vec<u8>),
    /// A LAC's timer is due.
    Lac(usize),
    /// Something is over that befell somebody since so many healings.
    Over(u64, Over),
    /// Somebody looks at all.
    Audit,
}

/// What is over, unless all was healed before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Over {
    /// A process that was ended is there again, another one.
    Started(Process),
    /// A process that was stopped goes on.
    Resumed(Process),
    /// A process that ends in good order has had its time.
    Gone(Process),
    ApiAway,
    ApiCut(usize),
    StoreAway,
    StoreCut(usize),
    StoreSlow,
    PeerCut(usize, usize),
    RouterCut(usize),
    Aside(usize),
    RadiusAway,
    Dial(usize, usize),
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

    pub(super) fn pop(&mut self) -> Option<Item> {
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
