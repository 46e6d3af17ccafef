//! Ids that were given back and may not be given out yet, oldest first.

use core::ops::Add as _;
use core::time::Duration;
use std::collections::VecDeque;

use crate::time::Instant;

/// A queue whose members all rest for the same time, so that the first in is the first out. Its
/// length is bounded by whoever pushes: an id rests once.
#[derive(Debug)]
pub(super) struct Quarantine<T> {
    rest: Duration,
    queue: VecDeque<(Instant, T)>,
}

impl<T> Quarantine<T> {
    pub(super) fn new(rest: Duration) -> Self {
        Self {
            rest,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, id: T, now: Instant) {
        self.queue.push_back((Instant::add(now, self.rest), id));
    }

    /// Forgets all: whoever asks knows what becomes of them.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// An id whose time is over.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        self.queue
            .pop_front_if(|(until, _)| *until <= now)
            .map(|(_, id)| id)
    }
}
