//! One node of the model: its elector, its clock, and what it says when it is asked.

use core::time::Duration;

use lns_cluster::{Ask, Authority, Elector, Identity, NodeName, Request, Roster};
use lns_tables::time::Instant;

use crate::world::Check;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Node {
    pub elector: Elector,
    /// Ticks of its own clock.
    pub clock: u8,
    /// Ticks since it missed one, up to what allows another.
    pub steady: u8,
    pub incarnation: u8,
    /// It has begun to stop, and is not to be stopped again.
    pub stopping: bool,
}

pub fn name(index: usize) -> NodeName {
    NodeName::new(["a", "b", "c"][index]).unwrap()
}

pub fn roster(nodes: usize) -> Roster {
    Roster::of((0..nodes).map(name)).unwrap()
}

fn identity(index: usize, incarnation: u8) -> Identity {
    Identity::new(name(index), &incarnation.to_string()).unwrap()
}

impl Node {
    pub fn new(index: usize, incarnation: u8, check: &Check) -> Self {
        let me = identity(index, incarnation);
        let elector = if check.open {
            Elector::open(me, check.profile)
        } else {
            Elector::new(me, check.profile)
        };
        Self {
            elector,
            clock: 0,
            steady: u8::MAX,
            incarnation,
            stopping: false,
        }
    }

    /// The process ends and another starts: it remembers nothing, and its clock goes on.
    pub fn restart(&mut self, index: usize, check: &Check) {
        let (clock, steady) = (self.clock, self.steady);
        *self = Self::new(index, self.incarnation + 1, check);
        (self.clock, self.steady) = (clock, steady);
    }

    pub fn now(&self, tick: Duration) -> Instant {
        Instant::ZERO + tick * u32::from(self.clock)
    }

    pub fn authority(&self, tick: Duration) -> Option<Authority> {
        self.elector.authority(self.now(tick))
    }

    /// All that it has to say now.
    pub fn poll(&mut self, tick: Duration) -> (Option<Request>, Vec<(NodeName, Ask)>) {
        let now = self.now(tick);
        let request = self.elector.poll_request(now);
        let asks = core::iter::from_fn(|| self.elector.poll_ask(now)).collect();
        while self.elector.poll_transition().is_some() {}
        (request, asks)
    }
}
