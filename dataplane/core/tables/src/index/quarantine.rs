//! Ids that were given back and may not be given out yet, oldest first.

use std::collections::VecDeque;

use crate::rest::Rest;
use crate::time::Instant;

/// A queue from which the first in is the first out. Its length is bounded by whoever pushes: an id rests once.
#[derive(Debug)]
pub(super) struct Quarantine<T> {
    rest: Rest,
    queue: VecDeque<(Instant, T)>,
}

impl<T> Quarantine<T> {
    pub(super) fn new(rest: Rest) -> Self {
        Self {
            rest,
            queue: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, id: T, now: Instant) {
        self.queue.push_back((now, id));
    }

    /// Everybody knows what was given back before that moment.
    pub(super) fn handle_heard(&mut self, before: Instant) {
        self.rest.handle_heard(before);
    }

    /// Forgets all: whoever asks knows what becomes of them.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// An id whose time is over.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        let rest = self.rest;
        self.queue
            .pop_front_if(|(since, _)| rest.is_over(*since, now))
            .map(|(_, id)| id)
    }
}
