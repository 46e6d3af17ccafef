//! What happened, for those who write logs and metrics. The node itself writes neither.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use lns_tables::path::{Counters, SlotIndex};
use lns_wire::id::{SessionId, TunnelId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explain::transcript::RadiusAnswer;

/// Something an operator would want to know. User names are octets of the peer's: escape them.
#[derive(Clone, Debug)]
pub enum Event {
    /// A control connection is established.
    TunnelUp {
        /// Ours.
        tunnel: TunnelId,
        /// The LAC's entry.
        lac: Arc<str>,
        /// Where it is.
        remote: SocketAddr,
        /// Its Host Name AVP.
        host_name: Arc<str>,
    },
    /// A control connection is gone, established or not.
    TunnelDown {
        /// Ours.
        tunnel: TunnelId,
        /// The LAC's entry.
        lac: Arc<str>,
        /// Where it was.
        remote: SocketAddr,
        /// Why: a label from a fixed list.
        reason: &'static str,
        /// The advisory text that came with it, if any.
        message: Option<Box<str>>,
    },
    /// A LAC was turned away; it was told nothing unless it matched an entry.
    LacRefused {
        /// Where it is.
        remote: SocketAddr,
        /// Its Host Name AVP.
        host_name: Box<str>,
        /// Why: a label from a fixed list.
        reason: &'static str,
    },
    /// A call was refused before it was one.
    CallRefused {
        /// Our id of its tunnel.
        tunnel: TunnelId,
        /// The LAC's entry.
        lac: Arc<str>,
        /// The Calling Number AVP.
        calling_number: Option<Box<str>>,
        /// Why: a label from a fixed list.
        reason: &'static str,
    },
    /// A subscriber can send and receive.
    SessionUp {
        /// Its slot.
        slot: SlotIndex,
        /// Our ids.
        tunnel: TunnelId,
        /// Our ids.
        session: SessionId,
        /// The LAC's entry.
        lac: Arc<str>,
        /// The name that it logged in with.
        user: Arc<[u8]>,
        /// What it was given; `None`: nothing, and it can send nothing.
        address: Option<Ipv4Addr>,
        /// The Filter-Id that names no policy, for which it has the default ones.
        unknown_filter_id: Option<Arc<str>>,
        /// From the Incoming-Call-Request to now.
        setup: Duration,
    },
    /// A call ended, established or not. Exactly one for each call that was accepted.
    SessionDown(Box<SessionEnd>),
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// Its slot: free now.
    pub slot: SlotIndex,
    /// Our ids.
    pub tunnel: TunnelId,
    /// Our ids.
    pub session: SessionId,
    /// The LAC's entry.
    pub lac: Arc<str>,
    /// The name that it logged in with, or tried to.
    pub user: Option<Arc<[u8]>>,
    /// What it had been given.
    pub address: Option<Ipv4Addr>,
    /// The Calling Number AVP.
    pub calling_number: Option<Box<str>>,
    /// How far it had come.
    pub stage: Stage,
    /// Why: a label from a fixed list.
    pub reason: &'static str,
    /// More of why, for engineers: `wrong_password`, `unknown_user`, the Filter-Id that names no policy.
    pub detail: Option<Cow<'static, str>>,
    /// What RADIUS said last, if it was asked.
    pub radius: Option<Arc<RadiusAnswer>>,
    /// How long it was up; `None`: it never was.
    pub up: Option<Duration>,
    /// What has passed through it that the own workers have not counted: at other nodes, as far as they
    /// have reported, and before this was the active one.
    pub elsewhere: Counters,
}

/// How far a call has come.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Stage {
    /// The control connection.
    Tunnel,
    /// The call itself: ICRQ to ICCN.
    Call,
    /// LCP is being negotiated.
    #[serde(rename = "LCP")]
    Lcp,
    /// The subscriber proves who it is.
    Authentication,
    /// RADIUS is asked whether it may come in.
    #[serde(rename = "RADIUS")]
    Radius,
    /// An address is being found.
    Address,
    /// A network control protocol is being negotiated.
    #[serde(rename = "NCP")]
    Ncp,
    /// The subscriber can send and receive.
    Up,
}

impl Stage {
    /// The name as the metric label `stage` and the commands show it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tunnel => "Tunnel",
            Self::Call => "Call",
            Self::Lcp => "LCP",
            Self::Authentication => "Authentication",
            Self::Radius => "RADIUS",
            Self::Address => "Address",
            Self::Ncp => "NCP",
            Self::Up => "Up",
        }
    }
}
