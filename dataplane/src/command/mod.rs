//! The commands that look at a manifest, ask a running process, or look at this machine.

mod capture;
pub(crate) mod check;
mod client;
pub(crate) mod disconnect;
pub(crate) mod failures;
mod filter;
pub(crate) mod flows;
pub(crate) mod handshake;
pub(crate) mod members;
pub(crate) mod policies;
pub(crate) mod preflight;
pub(crate) mod radius;
pub(crate) mod read;
pub(crate) mod report;
mod sink;
pub(crate) mod table;
pub(crate) mod trace;
mod watch;
