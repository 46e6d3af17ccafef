//! The network between the LACs and the node, and all that it does to a datagram.

use core::net::SocketAddr;
use core::time::Duration;

use lns_crypto::Rng;
use lns_tables::time::Instant;

use super::Origin;
use super::queue::{Item, Queue};

/// What the network does, each so many times in a thousand datagrams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// The datagram is lost.
    pub loss: u16,
    /// It arrives a second time, a while later.
    pub duplication: u16,
    /// It is late, so that others overtake it.
    pub reordering: u16,
    /// Some of its bits are turned over.
    pub corruption: u16,
    /// How long one takes in milliseconds, beside the one that each takes.
    pub delay: u16,
}

impl Faults {
    /// Whether it does nothing to anything.
    pub const fn is_none(&self) -> bool {
        self.loss == 0 && self.duplication == 0 && self.reordering == 0 && self.corruption == 0
    }
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the LAC to the node.
    ToNode,
    /// From the node to the LAC.
    ToLac,
}

/// How late a late datagram is at most, milliseconds: later than a first repeat.
const LATE: u32 = 1_500;

#[derive(Debug)]
pub(super) struct Network {
    pub(super) faults: Faults,
    pub(super) injected: u64,
    rng: Rng,
    lines: Vec<Line>,
}

/// The way to and from one LAC.
#[derive(Debug, Default)]
struct Line {
    cut: [bool; 2],
    delay: Duration,
}

impl Network {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            faults: Faults::default(),
            injected: 0,
            rng: Rng::from_seed(seed),
            lines: Vec::new(),
        }
    }

    pub(super) fn add_lac(&mut self) {
        self.lines.push(Line::default());
    }

    pub(super) fn cut(&mut self, lac: usize, direction: Direction, is_cut: bool) {
        let place = match direction {
            Direction::ToNode => 0,
            Direction::ToLac => 1,
        };
        self.lines[lac].cut[place] = is_cut;
    }

    pub(super) fn slow_down(&mut self, lac: usize, delay: Duration) {
        self.lines[lac].delay = delay;
    }

    pub(super) fn carry_to_lac(
        &mut self,
        lac: usize,
        octets: &[u8],
        now: Instant,
        queue: &mut Queue,
    ) {
        if self.lines[lac].cut[1] {
            self.injected += 1;
            return;
        }
        self.fly(octets, now, |at, octets, _| {
            queue.push(at, Item::ToLac(lac, octets));
        });
    }

    pub(super) fn carry_to_node(
        &mut self,
        lac: usize,
        from: SocketAddr,
        octets: &[u8],
        now: Instant,
        queue: &mut Queue,
    ) {
        if self.lines[lac].cut[0] {
            self.injected += 1;
            return;
        }
        let delay = self.lines[lac].delay;
        self.fly(octets, now, |at, octets, corrupted| {
            let origin = if corrupted {
                Origin::Corrupted(lac)
            } else {
                Origin::Lac(lac)
            };
            queue.push(at + delay, Item::ToNode(origin, from, octets));
        });
    }

    fn fly(&mut self, octets: &[u8], now: Instant, mut arrive: impl FnMut(Instant, Vec<u8>, bool)) {
        let faults = self.faults;
        let soon = now + Duration::from_millis(1 + u64::from(faults.delay));
        if faults.is_none() {
            return arrive(soon, octets.to_vec(), false);
        }
        if self.happens(faults.loss) {
            return;
        }
        if self.happens(faults.duplication) {
            let late = self.late(now);
            arrive(late, octets.to_vec(), false);
        }
        let at = if self.happens(faults.reordering) {
            self.late(now)
        } else {
            soon
        };
        let mut octets = octets.to_vec();
        let corrupted = self.happens(faults.corruption);
        if corrupted {
            self.corrupt(&mut octets);
        }
        arrive(at, octets, corrupted);
    }

    fn late(&mut self, now: Instant) -> Instant {
        now + Duration::from_millis(u64::from(1 + self.rng.u32() % LATE))
    }

    fn happens(&mut self, times_in_thousand: u16) -> bool {
        let happens =
            times_in_thousand > 0 && self.rng.u32() % 1_000 < u32::from(times_in_thousand);
        self.injected += u64::from(happens);
        happens
    }

    fn corrupt(&mut self, octets: &mut [u8]) {
        let Ok(len) = u32::try_from(octets.len()) else {
            return;
        };
        for _ in 0..=self.rng.u32() % 3 {
            let at = usize::try_from(self.rng.u32() % len.max(1)).expect("small");
            if let Some(octet) = octets.get_mut(at) {
                *octet ^= 1 << (self.rng.u32() % 8);
            }
        }
    }
}
