//! The Leases in which nodes say what they are: each keeps its own, and whoever likes reads them all.

mod announce;
mod directory;
mod state;

pub use announce::{Announcing, NodeConfig, announce};
pub use directory::{Directory, Entry, Nodes, directory};
pub use state::NodeState;
pub(crate) use state::parse;
