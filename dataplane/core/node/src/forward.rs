//! What comes to a node on standby and is the active one's (spec: cluster, 2 of the design: one master for
//! control): control messages, and all of PPP but LCP's echo.
//!
//! An Echo-Request of a session that is up is answered here, from the record: a subscriber whose packets
//! arrive here is told that there is somebody, also while there is no active node. All else waits for
//! [`Node::poll_forward`], unchanged: what it means, the active node decides. Only what is no L2TP control
//! message at all is dropped here already.
//!
//! Not here: the way to the active node; data, which the workers forward or hand over.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::fmt;

use lns_tables::path::SlotIndex;
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

use crate::limits;
use crate::node::Node;

/// Why something is dropped that is the active node's: too much waits for it.
const QUEUE_FULL: &str = "forward_queue_full";

/// Why something is dropped that waited for the active node: this is the one now, and who sent it sends it
/// again.
const ROLE_CHANGED: &str = "forward_role_changed";

/// Something for the active node, as it came.
#[derive(Clone, Eq, PartialEq)]
pub enum Forward {
    /// An L2TP control message, of which the header is one: for [`Node::handle_control`].
    Control {
        /// The service address at which it came in.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
        /// The UDP payload.
        octets: Vec<u8>,
    },
    /// A PPP frame from the peer of a tunnel that is known: for [`Node::handle_ppp`].
    Ppp {
        /// Our tunnel id.
        tunnel: TunnelId,
        /// Our session id.
        session: SessionId,
        /// The service address of the tunnel.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
        /// As it came.
        frame: Vec<u8>,
    },
}

/// What waits to be given to the active node.
#[derive(Debug, Default)]
pub(crate) struct Forwards(VecDeque<Forward>);

impl Node {
    /// On standby, the next thing that the active node is to have, oldest first; ask until there is none,
    /// after each `handle_control` and `handle_ppp`.
    pub fn poll_forward(&mut self) -> Option<Forward> {
        self.forwards.0.pop_front()
    }

    /// Strangers may fill half of the queue: what LACs say is not lost for them.
    pub(crate) fn forward_control(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        let room = if self.lacs.knows(remote.ip()) {
            limits::FORWARD_QUEUE
        } else {
            limits::FORWARD_QUEUE / 2
        };
        self.forward(room, "control", || Forward::Control {
            local,
            remote,
            octets: datagram.to_vec(),
        });
    }

    /// Answers an echo; anything else is the active node's.
    pub(crate) fn forward_ppp(
        &mut self,
        (tunnel, session): (TunnelId, SessionId),
        remote: SocketAddr,
        frame: &[u8],
        now: Instant,
    ) {
        let Some(link) = self.tunnels.get(tunnel) else {
            return self.stats.drop("ppp_unknown_session");
        };
        if link.remote != remote {
            return self.stats.drop("ppp_wrong_source");
        }
        let local = link.local;
        let slot = self.index.lookup(tunnel, session);
        if slot.is_some_and(|slot| self.answer_echo(slot, frame, now)) {
            return;
        }
        self.forward(limits::FORWARD_QUEUE, "ppp", || Forward::Ppp {
            tunnel,
            session,
            local,
            remote,
            frame: frame.to_vec(),
        });
    }

    /// `false`: it is no echo, or not to be answered here. What is numbered is numbered at one place, so the
    /// echo of a session with sequencing is the active node's.
    fn answer_echo(&mut self, slot: SlotIndex, frame: &[u8], now: Instant) -> bool {
        let session = self.sessions.get(slot);
        if session.is_none_or(|session| session.sequencing) {
            return false;
        }
        // There is an image as long as IP may pass.
        let Some((_, image)) = self.records.ppp.get(&slot) else {
            return false;
        };
        let mut out = core::mem::take(&mut self.ppp_output);
        let is_answered = image.answer_echo(frame, now, &mut out);
        if is_answered {
            self.stats.echo_answered();
            self.note_frame(slot, frame, "ok", now);
            self.send_frames(slot, &mut out, now);
        }
        self.ppp_output = out;
        is_answered
    }

    fn forward(&mut self, room: usize, what: &'static str, forward: impl FnOnce() -> Forward) {
        if self.forwards.0.len() >= room {
            return self.stats.drop(QUEUE_FULL);
        }
        self.forwards.0.push_back(forward());
        self.stats.forward(what);
    }

    /// What waits is for a node that is active no longer.
    pub(crate) fn forget_forwards(&mut self) {
        while self.forwards.0.pop_front().is_some() {
            self.stats.drop(ROLE_CHANGED);
        }
    }
}

impl fmt::Debug for Forward {
    /// Without the octets: a frame may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control {
                local,
                remote,
                octets,
            } => f
                .debug_struct("Control")
                .field("local", local)
                .field("remote", remote)
                .field("length", &octets.len())
                .finish(),
            Self::Ppp {
                tunnel,
                session,
                local,
                remote,
                frame,
            } => f
                .debug_struct("Ppp")
                .field("tunnel", tunnel)
                .field("session", session)
                .field("local", local)
                .field("remote", remote)
                .field("length", &frame.len())
                .finish(),
        }
    }
}
