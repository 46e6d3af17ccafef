//! Whether something may leave, judged by what the store has had and not by what the journal says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::cluster::key::Key;

/// A change, and what it says.
type Unstored = (u64, Box<[u8]>);

/// The changes of a mastership, counted, and which of them the store has never had.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Commit {
    version: u64,
    unstored: BTreeMap<Key, VecDeque<Unstored>>,
    missing: BTreeSet<u64>,
    /// All up to this one may be known to others, stored or not.
    left: u64,
}

impl Commit {
    /// Changes so far.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn changes(&mut self, key: Key, octets: &[u8]) {
        self.version += 1;
        self.missing.insert(self.version);
        let changes = self.unstored.entry(key).or_default();
        changes.push_back((self.version, octets.into()));
    }

    /// The store says this of a key: so it has had all up to the change that said it. A record that is forgotten has
    /// told its last: nobody waits for it.
    pub(in crate::cluster) fn is_stored(&mut self, key: Key, octets: Option<&[u8]>) {
        let Some(changes) = self.unstored.get_mut(&key) else {
            return;
        };
        let through = match octets {
            Some(octets) => changes.iter().rposition(|(_, it)| **it == *octets),
            None => changes.len().checked_sub(1),
        };
        for (version, _) in changes.drain(..through.map_or(0, |at| at + 1)) {
            self.missing.remove(&version);
        }
        if changes.is_empty() {
            self.unstored.remove(&key);
        }
    }

    /// Something that waits leaves, and may tell of all changes up to `version`. Whether the store has had them.
    pub(super) fn reveal(&mut self, version: u64) -> bool {
        if self.missing.first().is_none_or(|first| *first > version) {
            return true;
        }
        self.left = self.left.max(version);
        false
    }

    /// Whether something has left that the store has not.
    pub(in crate::cluster) fn has_left_more(&self) -> bool {
        self.missing
            .first()
            .is_some_and(|first| *first <= self.left)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }
}
