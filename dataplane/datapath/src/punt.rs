//! What a worker does not decide itself and hands to the control.

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use lns_wire::id::{SessionId, TunnelId};

/// A packet for the control. It owns its octets: the worker's buffer is needed for the next batch.
#[derive(Clone, Eq, PartialEq)]
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

impl fmt::Debug for Punt {
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

/// Where the workers put what is for the control. It must not wait: it answers `false` when it is
/// full, and the packet is counted as
/// [`DropReason::ControlQueueFull`](crate::DropReason::ControlQueueFull). The bound is the giver's,
/// for instance `move |punt| sender.try_send(punt).is_ok()`.
pub type PuntSink = Arc<dyn Fn(Punt) -> bool + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_frame_carries_is_not_printed() {
        let address = "127.0.0.1:1701".parse().unwrap();
        let frame = b"secret".to_vec();
        let ppp = Punt::Ppp {
            tunnel: TunnelId(1),
            session: SessionId(2),
            local: address,
            remote: address,
            frame,
        };
        let control = Punt::Control {
            local: address,
            remote: address,
            octets: b"secret".to_vec(),
        };
        for punt in [ppp, control] {
            let text = format!("{punt:?}");
            assert!(
                text.contains("length: 6") && !text.contains("115"),
                "{text}"
            );
        }
    }
}
