//! One request under way.

use lns_tables::time::Instant;
use lns_wire::radius::Id;

use crate::config::Key;
use crate::ids::Owner;
use crate::request::{Failure, Request};
use crate::retry::Retry;
use crate::server::ServerKey;
use crate::trunk::RequestState;
use crate::trunk::link::LinkKey;

/// One request.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    /// Its place and its number; those who came earlier have a lower number.
    pub(crate) owner: Owner,
    pub(crate) state: RequestState,
    /// When it is over, wherever it is then.
    pub(crate) end: Instant,
    /// The server whose connection it is on or waits for.
    pub(crate) server: Option<ServerKey>,
    pub(crate) at: Option<At>,
    /// The servers that did not answer it, one bit for each place.
    pub(crate) tried: u32,
    pub(crate) retry: Option<Retry>,
    /// The packet as it was sent last.
    pub(crate) packet: Vec<u8>,
    /// The packet is to be made anew before it is sent.
    pub(crate) stale: bool,
    /// Where its Acct-Delay-Time is, and what it is.
    pub(crate) delay: Option<(usize, u32)>,
    /// The secret that it is, or will be, signed with.
    pub(crate) key: Key,
    pub(crate) sends: u16,
    /// Of them, those on this connection.
    pub(crate) sends_here: u16,
    /// When it was sent first on this connection.
    pub(crate) first_sent: Option<Instant>,
    pub(crate) last_sent: Option<Instant>,
    /// It is in the connection's queue.
    pub(crate) queued: bool,
    /// Identifiers of it rest somewhere.
    pub(crate) left_behind: bool,
    /// What was wrong with the answers that came.
    pub(crate) complaint: Option<Failure>,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct At {
    pub(crate) link: LinkKey,
    pub(crate) id: Id,
}

impl Ask {
    /// One that just came; `packet` is an empty buffer.
    pub(crate) const fn new(request: Request, owner: Owner, end: Instant, packet: Vec<u8>) -> Self {
        Self {
            request,
            owner,
            state: RequestState::Init,
            end,
            server: None,
            at: None,
            tried: 0,
            retry: None,
            packet,
            stale: true,
            delay: None,
            key: Key::Current,
            sends: 0,
            sends_here: 0,
            first_sent: None,
            last_sent: None,
            queued: false,
            left_behind: false,
            complaint: None,
        }
    }

    /// Whether it has been sent and waits for its answer.
    pub(crate) const fn waits_for_answer(&self) -> bool {
        matches!(self.state, RequestState::Sent)
    }

    /// Whether that server has failed it.
    pub(crate) fn has_tried(&self, server: ServerKey) -> bool {
        self.tried & server.bit() != 0
    }
}
