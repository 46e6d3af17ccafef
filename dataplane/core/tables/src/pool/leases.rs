//! The state of every IPv4 address that has one, and the order in which the resting ones came.

use crate::chunks::Chunks;
use crate::time::Instant;

/// No address: 0.0.0.0 is never held.
const NONE: u32 = 0;
/// Neighbours whose leases are kept together, and parts of a page.
const LEAF: usize = 256;
/// Values of an address's first two octets.
const PAGES: usize = 65_536;

/// Whether somebody has an address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    /// Nobody has or had it.
    #[default]
    Free,
    /// A subscriber has it.
    Held,
    /// Nobody has it.
    Resting {
        /// When it was released.
        since: Instant,
        /// It was seen to have rested long enough.
        over: bool,
    },
}

/// A tree over the octets of the address: the first two, the third, the fourth. Parts without a
/// held or resting address take no memory.
#[derive(Debug)]
pub(super) struct Leases {
    pages: Chunks<Page>,
    held: u64,
    resting: u64,
    /// Those of the resting ones that have been seen to have rested long enough: the first of the list.
    over: u64,
    /// The ends of the list of resting addresses.
    longest: u32,
    latest: u32,
    /// The first of the list that has not been seen to have rested long enough.
    unsettled: u32,
}

#[derive(Debug, Default)]
struct Page {
    /// None or 256.
    leaves: Box<[Option<Leaf>]>,
    /// How many leaves there are.
    used: usize,
}

#[derive(Debug)]
struct Leaf {
    leases: Box<[Lease]>,
    /// How many leases are not free.
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lease {
    state: State,
    /// Its neighbours in the list, while it rests.
    previous: u32,
    next: u32,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            pages: Chunks::new(PAGES),
            held: 0,
            resting: 0,
            over: 0,
            longest: NONE,
            latest: NONE,
            unsettled: NONE,
        }
    }

    /// Changes an address's state; says what it was. What begins to rest has rested least.
    pub(super) fn set(&mut self, address: u32, to: State) -> State {
        let from = self.state(address);
        match from {
            State::Free => {}
            State::Held => self.held = self.held.saturating_sub(1),
            State::Resting { over, .. } => {
                self.resting = self.resting.saturating_sub(1);
                self.over = self.over.saturating_sub(u64::from(over));
                if self.unsettled == address {
                    self.unsettled = self.after(address);
                }
                self.unlink(address);
            }
        }
        match to {
            State::Free => {
                if from != State::Free {
                    self.remove(address);
                }
            }
            State::Held => {
                self.held = self.held.saturating_add(1);
                self.insert(
                    address,
                    Lease {
                        state: to,
                        ..Lease::default()
                    },
                );
            }
            State::Resting { .. } => {
                self.resting = self.resting.saturating_add(1);
                self.insert(
                    address,
                    Lease {
                        state: to,
                        previous: self.latest,
                        next: NONE,
                    },
                );
                self.link_after(self.latest, address);
                self.latest = address;
                if self.unsettled == NONE {
                    self.unsettled = address;
                }
            }
        }
        from
    }

    pub(super) fn state(&self, address: u32) -> State {
        self.lease(address).map_or(State::Free, |lease| lease.state)
    }

    /// The address that has rested longest, and since when.
    pub(super) fn longest_resting(&self) -> Option<(u32, Instant)> {
        match self.lease(self.longest)?.state {
            State::Resting { since, .. } => Some((self.longest, since)),
            State::Free | State::Held => None,
        }
    }

    /// How many addresses are held.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// How many are resting, as far as it has been looked.
    pub(super) fn resting(&self) -> u64 {
        self.resting.saturating_sub(self.over)
    }

    /// The address that has rested longest of those not seen to be over it, and since when.
    pub(super) fn unsettled(&self) -> Option<(u32, Instant)> {
        match self.lease(self.unsettled)?.state {
            State::Resting { since, .. } => Some((self.unsettled, since)),
            State::Free | State::Held => None,
        }
    }

    /// That address has rested long enough. Says what it was and what it is.
    pub(super) fn settle(&mut self) -> Option<(State, State)> {
        let (address, since) = self.unsettled()?;
        let lease = self.lease_mut(address)?;
        let from = core::mem::replace(&mut lease.state, State::Resting { since, over: true });
        let (next, to) = (lease.next, lease.state);
        self.unsettled = next;
        self.over = self.over.saturating_add(1);
        Some((from, to))
    }

    /// Forgets who has rested long enough: how long that is has changed.
    pub(super) fn unsettle(&mut self) {
        let mut address = self.longest;
        while address != NONE && address != self.unsettled {
            if let Some(Lease {
                state: State::Resting { over, .. },
                ..
            }) = self.lease_mut(address)
            {
                *over = false;
            }
            address = self.after(address);
        }
        (self.unsettled, self.over) = (self.longest, 0);
    }

    fn after(&self, address: u32) -> u32 {
        self.lease(address).map_or(NONE, |lease| lease.next)
    }

    /// Visits all addresses that are not free, in order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(u32, State)) {
        for high in 0_u32..=0xffff {
            let Some(page) = self.pages.get(high) else {
                continue;
            };
            for (third, leaf) in (0_u32..).zip(&page.leaves) {
                let Some(leaf) = leaf else { continue };
                for (fourth, lease) in (0_u32..).zip(&leaf.leases) {
                    if lease.state != State::Free {
                        visit(high << 16 | third << 8 | fourth, lease.state);
                    }
                }
            }
        }
    }

    fn lease(&self, address: u32) -> Option<&Lease> {
        let (page, leaf, place) = split(address);
        self.pages
            .get(page)?
            .leaves
            .get(leaf)?
            .as_ref()?
            .leases
            .get(place)
    }

    fn lease_mut(&mut self, address: u32) -> Option<&mut Lease> {
        let (page, leaf, place) = split(address);
        self.pages
            .get_mut(page)?
            .leaves
            .get_mut(leaf)?
            .as_mut()?
            .leases
            .get_mut(place)
    }

    fn insert(&mut self, address: u32, new: Lease) {
        let (page, leaf, place) = split(address);
        let Some(page) = self.pages.entry(page) else {
            return;
        };
        if page.leaves.is_empty() {
            page.leaves = (0..LEAF).map(|_| None).collect();
        }
        let Some(leaf) = page.leaves.get_mut(leaf) else {
            return;
        };
        if leaf.is_none() {
            page.used = page.used.saturating_add(1);
        }
        let leaf = leaf.get_or_insert_with(Leaf::new);
        let Some(lease) = leaf.leases.get_mut(place) else {
            return;
        };
        if lease.state == State::Free {
            leaf.used = leaf.used.saturating_add(1);
        }
        *lease = new;
    }

    /// Frees a lease that is not free, and its leaf and page with it if they hold no other.
    fn remove(&mut self, address: u32) {
        let (page, at, place) = split(address);
        let Some(page) = self.pages.get_mut(page) else {
            return;
        };
        let Some(Some(leaf)) = page.leaves.get_mut(at) else {
            return;
        };
        if let Some(lease) = leaf.leases.get_mut(place) {
            *lease = Lease::default();
            leaf.used = leaf.used.saturating_sub(1);
        }
        if leaf.used == 0 {
            page.used = page.used.saturating_sub(1);
            if let Some(leaf) = page.leaves.get_mut(at) {
                *leaf = None;
            }
        }
        if page.used == 0 {
            *page = Page::default();
        }
    }

    fn unlink(&mut self, address: u32) {
        let Some(Lease { previous, next, .. }) = self.lease(address).copied() else {
            return;
        };
        self.link_after(previous, next);
        match self.lease_mut(next) {
            Some(lease) if next != NONE => lease.previous = previous,
            Some(_) | None => self.latest = previous,
        }
    }

    fn link_after(&mut self, previous: u32, next: u32) {
        match self.lease_mut(previous) {
            Some(lease) if previous != NONE => lease.next = next,
            Some(_) | None => self.longest = next,
        }
    }
}

impl Leaf {
    fn new() -> Self {
        Self {
            leases: vec![Lease::default(); LEAF].into_boxed_slice(),
            used: 0,
        }
    }
}

fn split(address: u32) -> (u32, usize, usize) {
    let [first, second, third, fourth] = address.to_be_bytes();
    (
        u32::from_be_bytes([0, 0, first, second]),
        usize::from(third),
        usize::from(fourth),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_with_the_last_lease_of_a_leaf() {
        let mut leases = Leases::new();
        leases.set(0x0a00_0001, State::Held);
        leases.set(
            0x0a00_0101,
            State::Resting {
                since: Instant::ZERO,
                over: false,
            },
        );
        assert_eq!(leases.pages.get(0x0a00).unwrap().used, 2);
        assert_eq!(leases.set(0x0a00_0001, State::Free), State::Held);
        assert_eq!(leases.pages.get(0x0a00).unwrap().used, 1);
        leases.set(0x0a00_0101, State::Free);
        assert!(leases.pages.get(0x0a00).unwrap().leaves.is_empty());
        assert_eq!(
            (leases.held(), leases.resting(), leases.longest_resting()),
            (0, 0, None)
        );
    }
}
