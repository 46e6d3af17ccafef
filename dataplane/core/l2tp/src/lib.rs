//! L2TP control connections and calls (RFC 2661): reliable delivery, the machines of a tunnel and of an
//! incoming call, tunnel authentication and the hiding of AVPs. Both roles: what answers a LAC here
//! is paired with what a LAC does in the tests.
//!
//! Nothing here owns a socket, a clock or randomness. A [`Tunnel`] is used in this order: any
//! `handle_*`, then [`Tunnel::poll_event`] and [`Tunnel::poll_transmit`] until each has nothing more,
//! then [`Tunnel::poll_timeout`] for the time of the next [`Tunnel::handle_timeout`].
//!
//! Left to the node: addresses and ports, which peer may open a tunnel, the ids, the calls of a tunnel.
//! Left out: outgoing calls, which are refused (RFC 2661, 7.5).
#![forbid(unsafe_code)]

mod call;
mod channel;
mod config;
mod error;
pub mod hiding;
pub mod limits;
mod probe;
mod reason;
mod tunnel;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a test may overflow: it then fails"
)]
mod pair;

pub use call::{Call, CallAction, CallState, CallStep, call_step};
pub use channel::{
    Arrival, Channel, ChannelImage, ChannelStatus, Dropped, Full, Keeper, KeptMessage,
    MessageNumber, NoAnswer,
};
pub use config::{HostName, RetransmitConfig, SecretChoice, Secrets, TunnelConfig};
pub use error::{Error, SendError};
pub use probe::{Probe, ProbeError, Refusal, Said};
pub use reason::{CdnReason, CloseReason, StopReason, emit_refusal};
pub use tunnel::{
    Action, CallMessage, Role, Tie, Tunnel, TunnelEvent, TunnelImage, TunnelState, action,
};
