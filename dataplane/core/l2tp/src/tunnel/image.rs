//! What of a tunnel has to outlive the node that has it. Only tunnels that a peer has asked for have an
//! image: nobody waits for an answer to what was asked of a peer by a node that is gone.

use core::ops::Add as _;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_tables::time::Instant;
use lns_wire::id::{PeerTunnelId, TunnelId};

use super::auth::Challenge;
use super::{Role, Tunnel, TunnelState};
use crate::channel::{Channel, ChannelImage, KeptMessage, MessageNumber};
use crate::config::{SecretChoice, TunnelConfig};
use crate::limits;

/// What is left of a tunnel without its node. Times are distances from the moment of the image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TunnelImage {
    /// The peer's id.
    pub peer: PeerTunnelId,
    /// Where it is; never [`TunnelState::WaitCtlReply`].
    pub state: TunnelState,
    /// The secret in use towards the peer.
    pub choice: SecretChoice,
    /// Our challenge, until it is answered.
    pub challenge: Option<[u8; 16]>,
    /// The peer challenged us.
    pub was_challenged: bool,
    /// The peer's Host Name.
    pub peer_name: Box<[u8]>,
    /// The peer's Vendor Name.
    pub peer_vendor: Box<[u8]>,
    /// How long nothing has come from the peer.
    pub silent: Duration,
    /// How long the state may still last, if it may not for ever.
    pub remaining: Option<Duration>,
    /// Numbers, and messages that are nobody else's.
    pub channel: ChannelImage,
}

impl Tunnel {
    /// What is to outlive the node; `None`: nothing, for it was we who asked for the tunnel.
    pub fn image(&self, now: Instant) -> Option<TunnelImage> {
        (self.role == Role::Responder).then(|| TunnelImage {
            peer: self.peer,
            state: self.state,
            choice: self.choice,
            challenge: self.challenge.map(|challenge| challenge.0),
            was_challenged: self.was_challenged,
            peer_name: self.peer_name.clone(),
            peer_vendor: self.peer_vendor.clone(),
            silent: now.since(self.heard),
            remaining: self.deadline.map(|at| at.since(now)),
            channel: self.channel.image(),
        })
    }

    /// A message of a call that is not acknowledged.
    pub fn kept(&self, number: MessageNumber) -> Option<KeptMessage> {
        self.channel.kept(number)
    }

    /// The tunnel of an image, with what its calls kept. `now` is when its time goes on.
    ///
    /// It tells no event of its having been established: whoever restores it knows.
    pub fn restore(
        config: Arc<TunnelConfig>,
        local: TunnelId,
        image: TunnelImage,
        of_calls: impl IntoIterator<Item = KeptMessage>,
        now: Instant,
    ) -> Self {
        let channel = Channel::restore(
            config.retransmit,
            config.offered_window(),
            image.channel,
            of_calls,
        );
        let mut tunnel = Self {
            config,
            local,
            peer: image.peer,
            role: Role::Responder,
            state: image.state,
            channel,
            choice: image.choice,
            challenge: image.challenge.map(Challenge::sent),
            was_challenged: image.was_challenged,
            tie_breaker: None,
            peer_name: image.peer_name,
            peer_vendor: image.peer_vendor,
            heard: now.ago(image.silent),
            deadline: image.remaining.map(|remaining| now.add(remaining)),
            events: VecDeque::new(),
        };
        if tunnel.state == TunnelState::WaitCtlConn {
            tunnel
                .channel
                .set_kept_limit(limits::KEPT_OCTETS_UNVERIFIED);
            tunnel.channel.hold(true, now);
        }
        tunnel
    }
}
