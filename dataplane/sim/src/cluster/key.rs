//! Of what the store has a record: what the node knows, and what accounting is still to be told.

use lns_node::RecordKey;

/// One key of the store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    /// A record of the node.
    Node(RecordKey),
    /// A record of accounting that no server has, by its number.
    Account(u64),
}

impl Key {
    /// Whether it is read before all others.
    pub(super) const fn is_tunnel(self) -> bool {
        matches!(self, Self::Node(RecordKey::Tunnel(_)))
    }
}
