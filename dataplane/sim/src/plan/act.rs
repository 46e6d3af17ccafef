//! What befalls the node and its peers at a moment of a run.

use core::time::Duration;

use super::Settings;
use crate::world::{Death, Direction};

/// One thing. Numbers of LACs, tunnels and sessions are taken modulo how many there are; a line that is
/// not there does nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Act {
    /// The node gets another configuration.
    Reload(Box<Settings>),
    /// An engineer ends a session.
    Disconnect(u32),
    /// An engineer ends a tunnel.
    DisconnectTunnel(u32),
    /// Nothing passes one way for a while.
    Cut(usize, Direction, Duration),
    /// The node does nothing for a while; what comes is lost, or waits.
    Pause(Duration, bool),
    /// The workers answer so late from now on.
    ReportDelay(Duration),
    /// A LAC loses its memory.
    Restart(usize),
    /// A subscriber hangs up and dials again after a while.
    Redial(usize, usize, Duration),
    /// A subscriber sends a packet of so many octets.
    Packet(usize, usize, u16),
    /// A LAC is so slow from now on.
    Slow(usize, Duration),
    /// A LAC says HELLO so many times.
    Talk(usize, u32),
    /// A LAC asks for so many outgoing calls, each of which is refused.
    Refused(usize, u32),
    /// The process ends, and another one goes on.
    Die(Death),
    /// The store is away for a while.
    CutStore(Duration),
}

impl Act {
    /// What it is called in a summary.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Reload(_) => "reloads",
            Self::Disconnect(_) | Self::DisconnectTunnel(_) => "disconnects",
            Self::Cut(..) => "cuts",
            Self::Pause(..) => "pauses",
            Self::ReportDelay(_) => "late reports",
            Self::Restart(_) => "restarts",
            Self::Redial(..) => "hang-ups",
            Self::Packet(..) => "packets",
            Self::Slow(..) => "slow LACs",
            Self::Die(_) => "deaths",
            Self::CutStore(_) => "outages of the store",
            Self::Talk(..) | Self::Refused(..) => "talks",
        }
    }
}
