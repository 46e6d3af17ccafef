//! What every machine of the node stands on: time, the timing wheel, free lists, dirty lists, the
//! session page index, token buckets, a mailbox between two threads, and what a worker must know of a
//! session to forward its packets.
//!
//! Everything here is O(1) per operation and fixed in size from the start: nothing is walked.
#![forbid(unsafe_code)]

pub mod bucket;
mod chunks;
pub mod dirty;
pub mod free;
pub mod index;
pub mod mailbox;
pub mod path;
pub mod pool;
pub mod rest;
pub mod slab;
pub mod sweep;
pub mod time;
pub mod wheel;
