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

mod calls;
pub mod config;
mod control;
mod ends;
mod event;
pub mod explain;
mod forward;
mod glob;
mod lacs;
pub mod limits;
mod locals;
mod login;
mod node;
mod observe;
mod policies;
mod pools;
mod ppp;
mod profile;
pub mod radius;
mod rate;
mod record;
mod rejection;
mod reports;
mod session;
mod show;
mod stats;
mod subscribers;
mod tally;
mod timers;
mod transmit;
mod tunnels;
pub mod view;

pub use event::{Event, SessionEnd, Stage};
pub use forward::Forward;
pub use node::Node;
pub use record::{
    Beginning, NotAKey, RecordChange, RecordForm, RecordKey, Role, StoreTime, Unreadable,
};
pub use reports::{Caught, Passed, Reports, SessionReport};
pub use stats::Stats;
pub use transmit::{Sequence, Transmit};
