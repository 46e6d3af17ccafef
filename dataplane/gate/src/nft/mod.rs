//! nftables over netlink: a table's parts ([`model`]), the messages that make them
//! ([`Batch`]), and the socket that hands them to the kernel ([`Socket`]).
//!
//! The `nft` program is not used: a renewal would be the start of a process, which is a thousand times slower
//! than two messages and needs memory, files and a free process id just when the machine is in trouble.
//! Attributes and message headers are those of `netlink-packet-core`. Only what the gate needs is here.

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
