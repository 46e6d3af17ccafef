//! The elector's limits, each with its reason.

/// Nodes on a roster: a question goes to each of them, and all are in one annotation of the Lease.
pub const MEMBERS: usize = 128;

/// Transitions that wait to be told. One input makes two at most; beyond this the oldest is forgotten,
/// for they are for people and decide nothing.
pub const TRANSITIONS: usize = 16;
