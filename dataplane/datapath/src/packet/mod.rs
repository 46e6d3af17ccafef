//! What happens to one packet: no socket, no clock, no allocation, nothing shared but the tables and the
//! classifier.
//!
//! [`upstream`] and [`downstream`] take a packet and its [`Batch`] and say through a sink what becomes of
//! it; before the first of a batch it is looked ahead at all of them. A worker's sinks move octets; a test's remember them.

mod ahead;
mod batch;
mod downstream;
mod member;
mod meter;
mod ppp;
mod sequence;
mod upstream;

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use downstream::{Downstream, DownstreamSink};
pub use member::{Came, Unknown};
pub use meter::Meter;
pub use sequence::Reorder;
pub use upstream::{Origin, UpstreamSink, expire, upstream};
