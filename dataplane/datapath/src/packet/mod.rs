//! What happens to one packet: no socket, no clock, no allocation, nothing shared but the tables.
//!
//! [`upstream`] and [`downstream`] take a packet and the time and say through a sink what becomes of
//! it. A worker's sinks move octets; a test's remember them.

mod downstream;
mod meter;
mod ppp;
mod sequence;
mod upstream;

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod tests;

pub use downstream::{Downstream, DownstreamSink};
pub use meter::Meter;
pub use sequence::Reorder;
pub use upstream::{Origin, UpstreamSink, expire, upstream};
