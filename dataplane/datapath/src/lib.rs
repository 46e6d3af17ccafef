//! Workers that move subscribers' packets between L2TP (RFC 2661, 3.1 and 5.4) and IP.
//!
//! ```text
//!            UDP sockets, one per service address        TUN queue
//! worker 0   recvmmsg ─▶ packet::upstream   ───────────▶ write      ─▶ kernel routes on
//!            sendmmsg ◀─ packet::downstream ◀─────────── read       ◀─ kernel routes here
//! worker 1   ...                        both read `tables`, which one `Control` writes
//! ```
//!
//! As a member of a cluster whose master is another node, a worker hands packets of sessions that have
//! their home there over to it, sealed, and takes what others hand over ([`Home`], [`Seal`]).
//!
//! A packet of a session is checked (whose is it, whose address does it have), then judged by the
//! session's policies ([`lns_l2sess`]), then held against its rate.
//!
//! [`packet`] says what happens to one packet and touches no socket, clock or memory of the heap;
//! [`tables`] is what it looks things up in: one writer, readers that never wait. One more thread,
//! `lns-flows`, frees what flows have left that were silent for too long. The rest of the
//! crate is sockets and threads. This is the only crate of the workspace with `unsafe`: kernel calls
//! that no safe interface offers in the needed form, and zeroed memory that is touched only when used.
//!
//! Left out so far: segmentation offloads, steering of one tunnel's sessions over several workers,
//! IPv6 inside PPP, XDP.

pub mod clock;
mod config;
mod control;
mod flows;
mod handing;
mod io;
pub mod limits;
mod memory;
pub mod packet;
mod punt;
mod shared;
mod start;
mod stats;
pub mod tables;
mod worker;

pub use config::{Config, FlowConfig, Marks, StartError};
pub use control::{Control, Datagram};
pub use flows::FlowsHandle;
pub use handing::{Handed, HandingConfig, Home, Open, Peer, Seal, Sealed};
pub use punt::{Punt, PuntSink};
pub use start::{Datapath, try_interface};
pub use stats::{DropReason, Stats};
