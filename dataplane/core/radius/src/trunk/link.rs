//! One connection of a trunk, with its socket, its identifiers and what is known of its life.

use std::collections::VecDeque;

use lns_tables::slab::Key;
use lns_tables::time::Instant;

use crate::check::Checking;
use crate::connection::ConnectionState;
use crate::event::ConnectionId;
use crate::ids::{Ids, Owner};
use crate::server::ServerKey;
use crate::trunk::TrunkState;

/// The place of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct LinkKey(pub(crate) u16);

impl Key for LinkKey {
    fn from_index(index: u32) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }

    fn index(self) -> u32 {
        u32::from(self.0)
    }
}

/// One connection.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says something of its own, and any of them go together"
)]
pub(crate) struct Link {
    pub(crate) server: ServerKey,
    pub(crate) id: ConnectionId,
    pub(crate) socket: ConnectionState,
    pub(crate) state: TrunkState,
    pub(crate) ids: Ids,
    /// Requests whose next packet waits to be sent.
    pub(crate) unsent: VecDeque<Owner>,
    /// It is among those that have something to send.
    pub(crate) ready: bool,
    /// The socket takes nothing at the moment.
    pub(crate) blocked: bool,
    /// Requests on it.
    pub(crate) in_flight: u16,
    /// The process has opened it.
    pub(crate) open: bool,
    /// It takes one request at a time until something is answered.
    pub(crate) trial: bool,
    /// A request on it has been waiting too long.
    pub(crate) suspect: bool,
    pub(crate) last_reply: Option<Instant>,
    /// When it could be used for the first time.
    pub(crate) connected: Instant,
    pub(crate) checking: Checking,
    pub(crate) sent: u64,
    pub(crate) replies: u64,
}

impl Link {
    pub(crate) fn new(server: ServerKey, id: ConnectionId, now: Instant) -> Self {
        Self {
            server,
            id,
            socket: ConnectionState::Halted,
            state: TrunkState::Halted,
            ids: Ids::new(),
            unsent: VecDeque::new(),
            ready: false,
            blocked: false,
            in_flight: 0,
            open: false,
            trial: false,
            suspect: false,
            last_reply: None,
            connected: now,
            checking: Checking::default(),
            sent: 0,
            replies: 0,
        }
    }

    /// A new socket begins with nothing of the old one.
    pub(crate) fn begin(&mut self, id: ConnectionId) {
        self.id = id;
        self.ids = Ids::new();
        self.unsent.clear();
        self.blocked = false;
        self.in_flight = 0;
        self.open = false;
        self.trial = false;
        self.suspect = false;
        self.last_reply = None;
        self.checking = Checking::default();
        self.sent = 0;
        self.replies = 0;
    }

    /// Whether packets can be sent on it.
    pub(crate) const fn can_send(&self) -> bool {
        self.open && !self.blocked
    }

    /// Whether it has all that it can take.
    pub(crate) fn is_full(&self, per_connection: u16) -> bool {
        let limit = if self.trial { 1 } else { per_connection };
        self.in_flight >= limit || self.ids.free() == 0
    }

    /// The last time that a sign of life was there, or could have been.
    pub(crate) fn alive_at(&self) -> Instant {
        self.last_reply
            .unwrap_or(self.connected)
            .max(self.connected)
    }
}
