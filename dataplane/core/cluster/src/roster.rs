//! The nodes of a cluster: who may acquire, and whose promise a holder needs.
//!
//! Who is on it, and for how long after it has gone, the members decide; here it is only a set.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::limits::MEMBERS;
use crate::record::NodeName;

/// The nodes of a cluster, in order.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Roster(BTreeSet<NodeName>);

/// There are [`MEMBERS`] already.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a roster has {MEMBERS} nodes at most")]
pub struct RosterFull;

impl Roster {
    /// Of these nodes.
    ///
    /// # Errors
    /// There are too many.
    pub fn of(nodes: impl IntoIterator<Item = NodeName>) -> Result<Self, RosterFull> {
        let mut roster = Self::default();
        for node in nodes {
            roster.insert(node)?;
        }
        Ok(roster)
    }

    /// Of one.
    pub fn lone(node: NodeName) -> Self {
        Self(BTreeSet::from([node]))
    }

    /// Puts a node on it.
    ///
    /// # Errors
    /// It is full.
    pub fn insert(&mut self, node: NodeName) -> Result<(), RosterFull> {
        if self.0.len() >= MEMBERS && !self.0.contains(&node) {
            return Err(RosterFull);
        }
        self.0.insert(node);
        Ok(())
    }

    /// Whether a node is on it.
    pub fn contains(&self, node: &NodeName) -> bool {
        self.0.contains(node)
    }

    /// Whether nobody is: a roster that is missing, as far as anybody knows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &NodeName> {
        self.0.iter()
    }

    /// All but one.
    pub(crate) fn without(mut self, node: &NodeName) -> Self {
        self.0.remove(node);
        self
    }

    /// Those of both. A union of two rosters that are written one after the other: no bound grows.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(other.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_bounded_and_a_node_is_on_it_once() {
        let node = |number: usize| NodeName::new(&format!("n{number}")).unwrap();
        let mut roster = Roster::of((0..MEMBERS).map(node)).unwrap();
        assert_eq!(roster.insert(node(0)), Ok(()));
        assert_eq!(roster.insert(node(MEMBERS)), Err(RosterFull));
        assert_eq!(roster.iter().count(), MEMBERS);
    }
}
