//! nftables over netlink: a table's parts ([`model`]), the messages that make them
//! ([`Batch`]), and the socket that hands them to the kernel ([`Socket`]).
//!
//! The `nft` program is not used: a renewal would be the start of a process, which takes some
//! milliseconds instead of some tens of microseconds, and needs memory, files and a free process id just when the
//! machine is in trouble. Attributes and message headers are those of `netlink-packet-core`; of the crates that
//! know nftables, one is GPL-3, one needs a C library, and one has the octets of timeouts in
//! the wrong order. Only what the gate needs is here.

mod attribute;
mod batch;
mod consts;
pub(crate) mod model;
mod socket;

/// The flags of a table that only we may change, and that outlives us (Linux 6.9).
pub(crate) const OWNED: u32 = consts::NFT_TABLE_F_OWNER | consts::NFT_TABLE_F_PERSIST;
/// Those of a table that anybody may change.
pub(crate) const UNOWNED: u32 = 0;

pub(crate) use batch::Batch;
pub(crate) use socket::{Owner, Socket};
