//! Policy tables: rules as an operator writes them, and the set of them that is in force.

mod book;
mod rule;

pub use book::{BookError, Chain, Policies, PolicyBook};
pub use rule::{
    Action, FlagsMatch, Matches, OctetsMatch, OnChange, Policy, PolicyTable, Prefix, Rates, Rule,
};

/// Where a chain of policies lies in the set that is in force. 0: no policy, all packets pass.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChainId(pub u32);

impl ChainId {
    /// No policy.
    pub const NONE: Self = Self(0);
}

/// A policy's number, the same as long as there is a policy of its name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyId(pub u16);

/// How often the policies of a chain have changed in a way that open flows must be judged by anew.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Epoch(pub u32);
