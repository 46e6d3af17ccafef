//! Policy tables: rules as an operator writes them, what they are compiled to, and the set of them that
//! is in force.
//!
//! A policy has a table of rules for each direction, or none. A subscriber has a chain of policies: the
//! first rule that matches in any of them decides, and where none does, the default of the last policy
//! that has the direction. What it means to match is written in [`linear`].
//!
//! The control keeps policies and chains in a [`PolicyBook`]. Each change of it makes a new edition,
//! [`Policies`], of which workers hold one as long as they like; nothing in an edition ever changes but
//! the counters.

mod book;
mod check;
mod compile;
mod counters;
mod edition;
mod fields;
#[doc(hidden)]
pub mod linear;
mod ranges;
mod refusal;
mod rule;
#[cfg(test)]
mod tests;
mod tuples;

pub use book::PolicyBook;
pub use check::Invalid;
pub use compile::Excess;
pub use counters::{Hits, TableHits};
pub use edition::{Chain, Policies};
pub use refusal::{BookError, check};
pub use rule::{
    Action, FlagsMatch, Matches, OctetsMatch, OnChange, Policy, PolicyTable, Prefix, Rates, Rule,
};

/// Where a chain of policies lies in the set that is in force. 0: no policy, all packets pass.
///
/// The lower bits are a place; the others count how often it was used. So a number that a worker still
/// holds never leads to another chain: it leads to the one that it was given for, or to none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChainId(pub u32);

impl ChainId {
    /// No policy.
    pub const NONE: Self = Self(0);
}

/// A policy's number, the same as long as there is a policy of its name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PolicyId(pub u16);

impl PolicyId {
    /// Nobody's: what a packet passes by that no policy judges.
    pub const NONE: Self = Self(u16::MAX);
}

/// Since when the policies of a chain judge as they do: another number after each change that open flows
/// must be judged by anew, and another one for each chain. 0 is that of flows without a chain.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Epoch(pub u32);

/// What a rule with ports, ICMP types or TCP flags does with a fragment that is not the first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum LaterFragments {
    /// It matches by all that it says but these: a port that is refused is refused whole.
    #[default]
    Match,
    /// It does not match.
    Ignore,
}

/// What the policies of a chain say of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// What becomes of it.
    pub action: Action,
    /// Whose rule or default that is.
    pub policy: PolicyId,
}
