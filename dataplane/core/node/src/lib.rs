//! One L2TP network server node, without sockets or clocks: tunnels, calls, PPP, local users and
//! address pools composed into [`Node`].
//!
//! What happens in the world comes in by `handle_*(input, now)`; what the node wants done goes out
//! by `poll_*`. No `handle_*` fails outward: an error becomes a counter, an event or the answer that
//! the RFC demands. Two nodes with equal seeds and equal inputs give equal outputs.
//!
//! Call order: after any `handle_*`, drain [`Node::poll_path`], then [`Node::poll_transmit`], then
//! [`Node::poll_event`], then arm one timer for [`Node::poll_timeout`].
#![forbid(unsafe_code)]

pub mod config;
mod event;
pub mod limits;
mod node;
mod stats;
pub mod view;

pub use event::{Event, SessionEnd, Stage};
pub use node::{Node, Transmit};
pub use stats::Stats;
