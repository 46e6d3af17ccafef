//! Our ends of the links: which of them sessions use, and which are kept from the pools for that.
//!
//! An address that was our end of a pool's links lies in a prefix more often than not. Once the
//! manifest names another it could be given to a subscriber, while other subscribers still have it as
//! their peer, and the machine as its own. So it is kept back until somebody says that it is free.
//!
//! Not here: which addresses are our ends for new sessions (`pools`), and what the machine has.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

/// Our ends of links, in use and former.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    /// Sessions by our end of their link: one entry for each that has any.
    sessions: BTreeMap<Ipv4Addr, u32>,
    /// Those that the manifest does not name any more and nobody has freed: at most as many as it has
    /// named since.
    former: BTreeSet<Ipv4Addr>,
}

impl Locals {
    /// A session has this as our end of its link.
    pub(crate) fn begin(&mut self, local: Ipv4Addr) {
        let count = self.sessions.entry(local).or_default();
        *count = count.saturating_add(1);
    }

    /// A session of those is over.
    pub(crate) fn end(&mut self, local: Ipv4Addr) {
        if let Some(count) = self.sessions.get_mut(&local) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sessions.remove(&local);
            }
        }
    }

    /// What sessions have as our end of their links.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.sessions.keys().copied()
    }

    /// Whether it is kept back, or some session's.
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.former.contains(&address) || self.sessions.contains_key(&address)
    }

    /// What is kept back, lowest first.
    pub(crate) fn former(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.former.iter().copied()
    }

    /// The manifest names `after` in the place of `before`.
    pub(crate) fn replace(&mut self, before: &BTreeSet<Ipv4Addr>, after: &BTreeSet<Ipv4Addr>) {
        self.former.extend(before.difference(after));
        self.former.extend(self.sessions.keys());
        self.former.retain(|address| !after.contains(address));
    }

    /// Keeps it back no longer. `false`: it was not kept back, or a session has it.
    pub(crate) fn free(&mut self, address: Ipv4Addr) -> bool {
        !self.sessions.contains_key(&address) && self.former.remove(&address)
    }
}
