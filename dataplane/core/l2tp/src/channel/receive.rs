//! The receiving half: what is expected, and what came too early.

use core::fmt;
use core::ops::Add as _;
use std::collections::VecDeque;

use lns_tables::time::Instant;
use lns_wire::l2tp::{ControlHeader, Seq16};

use super::{Arrival, Dropped};
use crate::limits;

/// Kept messages stand in order of their numbers, each less than a window after `expected`.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) expected: Seq16,
    /// So many octets of bodies may be kept.
    pub(super) limit: usize,
    window: u16,
    octets: usize,
    kept: VecDeque<Kept>,
    /// Until the first message in order after a takeover.
    unheard: Option<Unheard>,
}

/// The node before may have acknowledged messages that no record has: the peer does not send them again. It does so
/// with its oldest one behind them.
#[derive(Clone, Copy, Debug, Default)]
struct Unheard {
    oldest: Option<Ahead>,
}

/// A message that is ahead of what is expected.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    ns: Seq16,
    /// How often it came, and when it counts as coming again.
    times: u8,
    next: Instant,
}

struct Kept {
    header: ControlHeader,
    body: Box<[u8]>,
}

impl fmt::Debug for Kept {
    /// A body may hold a password, and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    pub(super) fn new(window: u16) -> Self {
        Self {
            expected: Seq16(0),
            limit: limits::KEPT_OCTETS,
            window: window.clamp(1, limits::WINDOW_MAX),
            octets: 0,
            kept: VecDeque::new(),
            unheard: None,
        }
    }

    /// Goes on for another node.
    pub(super) fn restore(&mut self, received: Seq16) {
        self.expected = received;
        self.unheard = Some(Unheard::default());
    }

    pub(super) const fn is_unheard(&self) -> bool {
        self.unheard.is_some()
    }

    /// A good message is ahead of what is expected. Where it comes again and again and nothing before it does, that
    /// was received by the node before: it is the next one.
    pub(super) fn note_ahead(&mut self, ns: Seq16, now: Instant) {
        let ahead = self.expected.distance(ns);
        let Some(unheard) = self.unheard.as_mut().filter(|_| ahead <= limits::UNHEARD) else {
            return;
        };
        let next = now.add(limits::REPEATED);
        match &mut unheard.oldest {
            Some(oldest) if oldest.ns.is_before(ns) => return,
            Some(oldest) if oldest.ns == ns && now < oldest.next => return,
            Some(oldest) if oldest.ns == ns => {
                oldest.times = oldest.times.saturating_add(1);
                oldest.next = next;
            }
            older => {
                let times = 1;
                *older = Some(Ahead { ns, times, next });
            }
        }
        if unheard.oldest.is_some_and(|it| it.times >= limits::REPEATS) {
            self.skip_to(ns);
        }
    }

    fn skip_to(&mut self, ns: Seq16) {
        self.unheard = None;
        self.expected = ns;
        // It is at hand, and is handled as the next one.
        if let Some(kept) = self.kept.pop_front_if(|kept| kept.header.ns == ns) {
            self.octets = self.octets.saturating_sub(kept.body.len());
        }
    }

    pub(super) fn classify(&self, ns: Seq16, octets: usize) -> Result<Arrival, Dropped> {
        let ahead = self.expected.distance(ns);
        if ahead == 0 {
            Ok(Arrival::Next)
        } else if ns.is_before(self.expected) {
            Ok(Arrival::Duplicate)
        } else if ahead >= self.window {
            Err(Dropped::OutsideWindow)
        } else if self.place(ns).is_ok() {
            Ok(Arrival::Duplicate)
        } else if self.octets.saturating_add(octets) > self.limit {
            Err(Dropped::NoRoom)
        } else {
            Ok(Arrival::Early)
        }
    }

    pub(super) const fn advance(&mut self) {
        self.expected = self.expected.next();
        self.unheard = None;
    }

    pub(super) fn keep(&mut self, header: ControlHeader, body: Box<[u8]>) {
        if let Err(place) = self.place(header.ns) {
            self.octets = self.octets.saturating_add(body.len());
            self.kept.insert(place, Kept { header, body });
        }
    }

    pub(super) fn next_kept(&mut self) -> Option<(ControlHeader, Box<[u8]>)> {
        let kept = self
            .kept
            .pop_front_if(|kept| kept.header.ns == self.expected)?;
        self.octets = self.octets.saturating_sub(kept.body.len());
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        self.advance();
        Some((kept.header, kept.body))
    }

    pub(super) fn clear(&mut self) {
        self.kept = VecDeque::new();
        self.octets = 0;
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Where `ns` is kept, or would be.
    fn place(&self, ns: Seq16) -> Result<usize, usize> {
        let ahead = self.expected.distance(ns);
        self.kept
            .binary_search_by_key(&ahead, |kept| self.expected.distance(kept.header.ns))
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.kept.capacity()
    }
}
