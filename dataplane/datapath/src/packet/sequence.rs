//! Putting numbered data messages back into order (RFC 2661, 5.4 and appendix C).
//!
//! What is expected next is in the session's slot. A packet that comes too early waits, in memory of
//! the worker that is reserved once, for those before it: up to [`REORDER_PACKETS`] of a session, of
//! [`REORDER_WINDOWS`] sessions, for [`REORDER_WAIT`]. Where there is no room for it those before it are
//! given up at once, as they are when the wait is over: what comes of them later is dropped, so that
//! nothing ever leaves out of order.

use core::ops::Add as _;
use core::sync::atomic::{AtomicU64, Ordering};

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::limits::{
    REORDER_OCTETS, REORDER_PACKETS, REORDER_WAIT, REORDER_WINDOWS, RESYNCHRONISE,
};
use crate::memory::{NoMemory, Zeroed};
use crate::tables::Found;

/// What has arrived of a session, as its slot keeps it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Arrivals {
    /// The number of the next packet. The first is 0.
    pub(super) expected: u16,
    pub(super) last_old: u16,
    pub(super) old_in_a_row: u8,
}

/// What a number says of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It is the next one.
    Next,
    /// Few are missing before it.
    Early,
    /// More are missing before it than are waited for, or the peer counts anew: nothing before it
    /// comes any more.
    Jump,
    /// It was passed on, or given up.
    Old,
}

impl Arrivals {
    pub(super) fn load(word: &AtomicU64) -> Self {
        let [expected0, expected1, old0, old1, old_in_a_row, ..] =
            word.load(Ordering::Relaxed).to_be_bytes();
        Self {
            expected: u16::from_be_bytes([expected0, expected1]),
            last_old: u16::from_be_bytes([old0, old1]),
            old_in_a_row,
        }
    }

    pub(super) fn store(self, word: &AtomicU64) {
        let [expected0, expected1] = self.expected.to_be_bytes();
        let [old0, old1] = self.last_old.to_be_bytes();
        let bits =
            u64::from_be_bytes([expected0, expected1, old0, old1, self.old_in_a_row, 0, 0, 0]);
        word.store(bits, Ordering::Relaxed);
    }

    /// Takes note of a packet numbered `ns`.
    pub(super) fn arrive(&mut self, ns: u16) -> Arrival {
        const AHEAD: u16 = 0x7fff;
        let distance = ns.wrapping_sub(self.expected);
        if distance > AHEAD && !self.counts_anew(ns) {
            return Arrival::Old;
        }
        self.old_in_a_row = 0;
        if distance > 0 && usize::from(distance) <= REORDER_PACKETS {
            return Arrival::Early;
        }
        self.expected = ns.wrapping_add(1);
        if distance == 0 {
            Arrival::Next
        } else {
            Arrival::Jump
        }
    }

    /// Whether so many old packets have come in good order that it is the expectation that is wrong.
    fn counts_anew(&mut self, ns: u16) -> bool {
        let follows = self.old_in_a_row > 0 && ns == self.last_old.wrapping_add(1);
        self.old_in_a_row = if follows {
            self.old_in_a_row.saturating_add(1)
        } else {
            1
        };
        self.last_old = ns;
        self.old_in_a_row >= RESYNCHRONISE
    }
}

/// One worker's packets that came too early.
#[derive(Debug)]
pub struct Reorder {
    /// A session's window is that of its slot's number modulo [`REORDER_WINDOWS`].
    windows: Box<[Window]>,
    octets: Zeroed<u8>,
    waiting: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    owner: Option<(SlotIndex, TunnelId, SessionId)>,
    deadline: Instant,
    /// By number modulo [`REORDER_PACKETS`].
    held: [Option<Held>; REORDER_PACKETS],
}

#[derive(Clone, Copy, Debug)]
struct Held {
    ns: u16,
    length: usize,
}

/// What [`Reorder::hold`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    /// The packet waits.
    Held,
    /// It waits already.
    Duplicate,
    /// There is no room.
    Full,
}

impl Reorder {
    /// An empty one.
    ///
    /// # Errors
    /// [`NoMemory`] when the system gives none.
    pub fn new() -> Result<Self, NoMemory> {
        let octets = REORDER_WINDOWS
            .saturating_mul(REORDER_PACKETS)
            .saturating_mul(REORDER_OCTETS);
        Ok(Self {
            windows: vec![Window::default(); REORDER_WINDOWS].into_boxed_slice(),
            octets: Zeroed::new(octets)?,
            waiting: 0,
        })
    }

    /// Whether any session's packets wait.
    pub fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Keeps a copy of `frame` until those before it have come.
    pub(super) fn hold(&mut self, found: &Found<'_>, ns: u16, frame: &[u8], now: Instant) -> Hold {
        let at = window_of(found.index);
        let place = usize::from(ns) % REORDER_PACKETS;
        let owner = owner(found);
        let Some(window) = self.windows.get_mut(at) else {
            return Hold::Full;
        };
        if window
            .owner
            .is_some_and(|other| other.0 == owner.0 && other != owner)
        {
            // The slot has changed hands: what waited was the session's before.
            *window = Window::default();
            self.waiting = self.waiting.saturating_sub(1);
        }
        if window.owner.is_some_and(|other| other != owner) || frame.len() > REORDER_OCTETS {
            return Hold::Full;
        }
        let Some(held) = window.held.get_mut(place) else {
            return Hold::Full;
        };
        if held.is_some_and(|held| held.ns == ns) {
            return Hold::Duplicate;
        }
        let Some(octets) =
            buffer(&mut self.octets, at, place).and_then(|octets| octets.get_mut(..frame.len()))
        else {
            return Hold::Full;
        };
        octets.copy_from_slice(frame);
        *held = Some(Held {
            ns,
            length: frame.len(),
        });
        if window.owner.is_none() {
            window.owner = Some(owner);
            window.deadline = now.add(REORDER_WAIT);
            self.waiting = self.waiting.saturating_add(1);
        }
        Hold::Held
    }

    /// Gives the session's waiting packets to `pass`, in order, from the one numbered `from`: up to the
    /// first that is missing, or all. Returns the number that is expected after them.
    pub(super) fn release(
        &mut self,
        found: &Found<'_>,
        from: u16,
        all: bool,
        now: Instant,
        mut pass: impl FnMut(&mut [u8]),
    ) -> u16 {
        let at = window_of(found.index);
        let Some(window) = self
            .windows
            .get_mut(at)
            .filter(|window| window.owner == Some(owner(found)))
        else {
            return from;
        };
        let mut expected = from;
        for ns in (0..=REORDER_PACKETS).scan(from, |next, _| {
            let ns = *next;
            *next = ns.wrapping_add(1);
            Some(ns)
        }) {
            let place = usize::from(ns) % REORDER_PACKETS;
            let held = window
                .held
                .get_mut(place)
                .and_then(|held| held.take_if(|held| held.ns == ns));
            match held {
                Some(Held { length, .. }) => {
                    if let Some(frame) = buffer(&mut self.octets, at, place)
                        .and_then(|octets| octets.get_mut(..length))
                    {
                        pass(frame);
                    }
                    expected = ns.wrapping_add(1);
                }
                None if !all => break,
                None => {}
            }
        }
        if all || window.held.iter().all(Option::is_none) {
            *window = Window::default();
            self.waiting = self.waiting.saturating_sub(1);
        } else if expected != from {
            window.deadline = now.add(REORDER_WAIT);
        }
        expected
    }

    /// The slots of sessions that have waited long enough, one after the other.
    pub(super) fn overdue(&self, now: Instant) -> Option<(SlotIndex, TunnelId, SessionId)> {
        let overdue = self
            .windows
            .iter()
            .find(|window| window.owner.is_some() && window.deadline <= now);
        overdue
            .filter(|_| self.is_waiting())
            .and_then(|window| window.owner)
    }

    /// Forgets what waits for a session that is gone.
    pub(super) fn forget(&mut self, slot: SlotIndex) {
        if let Some(window) = self.windows.get_mut(window_of(slot))
            && window.owner.is_some_and(|owner| owner.0 == slot)
        {
            *window = Window::default();
            self.waiting = self.waiting.saturating_sub(1);
        }
    }
}

fn owner(found: &Found<'_>) -> (SlotIndex, TunnelId, SessionId) {
    (found.index, found.view.tunnel, found.view.session)
}

fn window_of(slot: SlotIndex) -> usize {
    usize::try_from(slot.0).unwrap_or(0) % REORDER_WINDOWS
}

fn buffer(octets: &mut Zeroed<u8>, window: usize, place: usize) -> Option<&mut [u8]> {
    let packet = window.saturating_mul(REORDER_PACKETS).saturating_add(place);
    octets.chunks_exact_mut(REORDER_OCTETS).nth(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_judged_by_their_distance_across_the_wrap() {
        let from = |expected: u16, ns: u16| {
            let mut arrivals = Arrivals {
                expected,
                ..Arrivals::default()
            };
            (arrivals.arrive(ns), arrivals.expected)
        };
        assert_eq!(from(0, 0), (Arrival::Next, 1));
        assert_eq!(from(0xffff, 0xffff), (Arrival::Next, 0));
        assert_eq!(from(0xffff, 0), (Arrival::Early, 0xffff));
        assert_eq!(from(0, 8), (Arrival::Early, 0));
        assert_eq!(from(0, 9), (Arrival::Jump, 10));
        assert_eq!(from(0, 0x7fff), (Arrival::Jump, 0x8000));
        assert_eq!(from(0, 0x8000), (Arrival::Old, 0));
        assert_eq!(from(0, 0xffff), (Arrival::Old, 0));
        assert_eq!(from(3, 2), (Arrival::Old, 3));
    }

    #[test]
    fn a_peer_that_counts_anew_is_followed_after_a_run_of_old_packets() {
        let mut arrivals = Arrivals {
            expected: 1000,
            ..Arrivals::default()
        };
        for ns in 0..15 {
            assert_eq!(arrivals.arrive(ns), Arrival::Old);
        }
        assert_eq!(arrivals.arrive(15), Arrival::Jump);
        assert_eq!(arrivals.arrive(16), Arrival::Next);
    }

    #[test]
    fn duplicates_of_one_old_packet_do_not_turn_the_numbering_back() {
        let mut arrivals = Arrivals {
            expected: 1000,
            ..Arrivals::default()
        };
        for _ in 0..100 {
            assert_eq!(arrivals.arrive(999), Arrival::Old);
        }
    }

    #[test]
    fn the_state_survives_its_word() {
        let word = AtomicU64::new(0);
        let arrivals = Arrivals {
            expected: 0xfedc,
            last_old: 0x1234,
            old_in_a_row: 9,
        };
        arrivals.store(&word);
        assert_eq!(Arrivals::load(&word), arrivals);
    }
}
