//! Which tunnel ids are free, and what the writer keeps of each tunnel.

use lns_wire::id::TunnelId;

use crate::index::places::{Places, bit};
use crate::index::scale::{CROWDED, PLACES, TUNNELS};

/// Ids in one group of [`TunnelIds`].
const GROUP: usize = 1024;

/// The set of tunnel ids that are taken: open or in quarantine.
#[derive(Debug)]
pub(super) struct TunnelIds {
    groups: Box<[Places]>,
    /// How many are taken, without id 0, which is never given to anything.
    taken: usize,
}

impl TunnelIds {
    pub(super) fn new() -> Self {
        let mut groups: Box<[Places]> = (0..TUNNELS.div_ceil(GROUP))
            .map(|_| Places::default())
            .collect();
        if let Some(group) = groups.first_mut() {
            group.insert(0);
        }
        Self { groups, taken: 0 }
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// How many are not.
    pub(super) fn free(&self) -> usize {
        TUNNELS.saturating_sub(1).saturating_sub(self.taken)
    }

    /// The free id below which `rank` other free ones lie.
    pub(super) fn nth_free(&self, rank: usize) -> Option<TunnelId> {
        let mut left = rank;
        for (at, group) in self.groups.iter().enumerate() {
            let free = GROUP.saturating_sub(group.len());
            if left < free {
                let id = at
                    .saturating_mul(GROUP)
                    .saturating_add(group.nth_free(left)?);
                return u16::try_from(id).ok().map(TunnelId);
            }
            left = left.saturating_sub(free);
        }
        None
    }

    /// Takes an id; `false` if it is taken, or none.
    pub(super) fn take(&mut self, tunnel: TunnelId) -> bool {
        let id = usize::from(tunnel.0);
        let is_free = id < TUNNELS
            && self
                .groups
                .get_mut(id / GROUP)
                .is_some_and(|group| group.insert(id % GROUP));
        self.taken = self.taken.saturating_add(usize::from(is_free));
        is_free
    }

    /// Makes a taken id free.
    pub(super) fn release(&mut self, tunnel: TunnelId) {
        let id = usize::from(tunnel.0);
        let was_taken = self
            .groups
            .get_mut(id / GROUP)
            .is_some_and(|group| group.remove(id % GROUP));
        self.taken = self.taken.saturating_sub(usize::from(was_taken));
    }
}

/// What the writer keeps of a tunnel. The masks have one bit per page.
#[derive(Clone, Debug, Default)]
pub(super) struct Tunnel {
    pub(super) is_open: bool,
    /// Pages with a block.
    pub(super) pages: u64,
    /// Of those, the ones less than three quarters full.
    pub(super) roomy: u64,
    /// And the ones without a free place.
    pub(super) full: u64,
    pub(super) sessions: u32,
    /// Counts how often the id was given out: whatever began under another one is over.
    pub(super) incarnation: u32,
}

impl Tunnel {
    pub(super) fn open(&mut self) {
        let incarnation = self.incarnation.wrapping_add(1);
        *self = Self {
            is_open: true,
            incarnation,
            ..Self::default()
        };
    }

    pub(super) fn close(&mut self) {
        *self = Self {
            incarnation: self.incarnation,
            ..Self::default()
        };
    }

    /// Takes note that `taken` places of a page are now taken.
    pub(super) fn note(&mut self, page: usize, taken: usize) {
        self.roomy = if taken < CROWDED {
            self.roomy | bit(page)
        } else {
            self.roomy & !bit(page)
        };
        self.full = if taken < PLACES {
            self.full & !bit(page)
        } else {
            self.full | bit(page)
        };
    }

    /// Takes note that a page has lost its block.
    pub(super) fn forget(&mut self, page: usize) {
        self.pages &= !bit(page);
        self.roomy &= !bit(page);
        self.full &= !bit(page);
    }
}
