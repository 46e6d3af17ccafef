//! What a worker does not decide itself and hands to the control.

use core::net::SocketAddr;
use std::sync::Arc;

use lns_wire::id::{SessionId, TunnelId};

/// A packet for the control. It owns its octets: the worker's buffer is needed for the next batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Punt {
    /// A datagram with the T bit (RFC 2661, 3.1): an L2TP control message, unchecked but for that
    /// bit.
    Control {
        /// The service address at which it came in.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
        /// The UDP payload.
        octets: Vec<u8>,
    },
    /// A PPP frame that is not an IP packet, of a session that exists and from that tunnel's peer.
    Ppp {
        /// Our tunnel id.
        tunnel: TunnelId,
        /// Our session id.
        session: SessionId,
        /// The service address at which it came in.
        local: SocketAddr,
        /// From where it came.
        remote: SocketAddr,
        /// The frame as it came: address and control field (FF03) if the peer sent them, protocol
        /// field in one or two octets, information.
        frame: Vec<u8>,
    },
}

/// Where the workers put what is for the control. It must not wait: it answers `false` when it is
/// full, and the packet is counted as
/// [`DropReason::ControlQueueFull`](crate::DropReason::ControlQueueFull). The bound is the giver's,
/// for instance `move |punt| sender.try_send(punt).is_ok()`.
pub type PuntSink = Arc<dyn Fn(Punt) -> bool + Send + Sync>;
