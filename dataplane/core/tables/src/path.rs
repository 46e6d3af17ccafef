//! What passes between the node's control and the workers that move packets.
//!
//! The control is the only writer. It says what a worker must know of a tunnel or session
//! ([`PathUpdate`]) and asks for what only a worker sees ([`PathUpdate::ReportSession`]); the answer
//! comes back as a [`PathReport`]. Nothing here is shared memory: how a worker keeps it is its own
//! affair.

use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_l2sess::ChainId;
use lns_l2sess::policy::{Policies, Rates};
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};

use crate::time::Instant;

/// A place in the dense slot array: one session's, as long as it lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotIndex(pub u32);

/// Where a tunnel's packets go and from where they must come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TunnelPath {
    /// Our end: the service address and port.
    pub local: SocketAddr,
    /// The LAC's end. A data packet from anywhere else is dropped.
    pub remote: SocketAddr,
    /// What goes into the tunnel field of what we send.
    pub peer_tunnel: PeerTunnelId,
}

/// What a worker must know of one session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionPath {
    /// Our ids: what the LAC writes into the header. They also guard the slot: an index that leads
    /// to a slot with other ids leads to no session.
    pub tunnel: TunnelId,
    /// See `tunnel`.
    pub session: SessionId,
    /// What goes into the session field of what we send.
    pub peer_session: PeerSessionId,
    /// The subscriber's address once IPCP is open: before that no IP packet passes in either
    /// direction.
    pub address: Option<Ipv4Addr>,
    /// The largest IP packet that may be sent to the subscriber, octets: its MRU. One that is too
    /// large for the way to the LAC goes in outer fragments; `mss` sees to it that TCP has none.
    pub mtu: u16,
    /// TCP SYNs in either direction leave with at most this MSS, octets; 0 leaves them alone.
    pub mss: u16,
    /// The LAC required sequencing (RFC 2661, 5.4): Ns goes out on data, and what comes in is put
    /// back in order.
    pub sequencing: bool,
    /// The peer accepts a PPP header without FF03 (RFC 1661, 6.6).
    pub acfc: bool,
    /// The peer accepts a one-octet protocol field (RFC 1661, 6.5).
    pub pfc: bool,
    /// The policies by which its packets are judged, in the set that was last given.
    pub chain: ChainId,
    /// How fast it may be.
    pub rates: Rates,
}

/// One instruction of the control to the workers, in the order in which it was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathUpdate {
    /// These policies are in force from now on. Every chain that a session has is in them.
    SetPolicies {
        /// All of them.
        policies: Arc<Policies>,
    },
    /// The tunnel exists, or its peer has moved to another port.
    SetTunnel {
        /// Which one.
        tunnel: TunnelId,
        /// Its ends.
        path: TunnelPath,
    },
    /// The tunnel is gone. Its sessions were cleared before.
    ClearTunnel {
        /// Which one.
        tunnel: TunnelId,
    },
    /// The session exists, or something about it has changed. Counters of the slot go on unless its
    /// ids change.
    SetSession {
        /// Where.
        slot: SlotIndex,
        /// What.
        path: SessionPath,
    },
    /// What lies in `route` lies behind the session: packets for it go there, and may come from there.
    /// Whoever had the route before has it no longer.
    SetRoute {
        /// Where the session is.
        slot: SlotIndex,
        /// The prefix.
        route: Ipv4Net,
    },
    /// The session has that route no longer. It comes before the session's end.
    ClearRoute {
        /// Where the session is.
        slot: SlotIndex,
        /// The prefix.
        route: Ipv4Net,
    },
    /// The session is gone.
    ClearSession {
        /// Where it was.
        slot: SlotIndex,
        /// Which it was.
        tunnel: TunnelId,
        /// Which it was.
        session: SessionId,
    },
    /// The control wants a [`PathReport::Session`].
    ReportSession {
        /// Of which slot.
        slot: SlotIndex,
        /// Of which session.
        tunnel: TunnelId,
        /// Of which session.
        session: SessionId,
    },
    /// The control wants a [`PathReport::Tunnel`].
    ReportTunnel {
        /// Of which tunnel.
        tunnel: TunnelId,
    },
}

/// What the workers saw: the answer to a `Report*` of [`PathUpdate`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathReport {
    /// Of a session.
    Session {
        /// Which.
        slot: SlotIndex,
        /// Which.
        tunnel: TunnelId,
        /// Which.
        session: SessionId,
        /// When anything last came from the subscriber, data or PPP control; `None`: never.
        last_received: Option<Instant>,
        /// When an IP packet last passed in either direction; `None`: never.
        last_forwarded: Option<Instant>,
        /// What has passed so far.
        counters: Counters,
    },
    /// Of a tunnel.
    Tunnel {
        /// Which.
        tunnel: TunnelId,
        /// When a data message last came from the LAC; `None`: never.
        last_received: Option<Instant>,
    },
}

/// What has passed through a session. Octets are those of the IP packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// From the subscriber.
    pub up: DirectionCounters,
    /// To the subscriber.
    pub down: DirectionCounters,
}

/// One direction of [`Counters`], by address family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DirectionCounters {
    /// IPv4 packets.
    pub ipv4_packets: u64,
    /// Octets of the IPv4 packets.
    pub ipv4_octets: u64,
    /// IPv6 packets.
    pub ipv6_packets: u64,
    /// Octets of the IPv6 packets.
    pub ipv6_octets: u64,
    /// Packets dropped, whatever the reason.
    pub dropped: u64,
}

impl Counters {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What is in this and not in `other`, which is a part of it.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// Whether nothing in it is less than in `other`.
    pub fn is_at_least(&self, other: &Self) -> bool {
        other.less(self) == Self::default()
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            up: self.up.with(&other.up, &each),
            down: self.down.with(&other.down, &each),
        }
    }
}

impl DirectionCounters {
    /// Octets of both families.
    pub const fn octets(&self) -> u64 {
        self.ipv4_octets.saturating_add(self.ipv6_octets)
    }

    /// Packets of both families.
    pub const fn packets(&self) -> u64 {
        self.ipv4_packets.saturating_add(self.ipv6_packets)
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            ipv4_packets: each(self.ipv4_packets, other.ipv4_packets),
            ipv4_octets: each(self.ipv4_octets, other.ipv4_octets),
            ipv6_packets: each(self.ipv6_packets, other.ipv6_packets),
            ipv6_octets: each(self.ipv6_octets, other.ipv6_octets),
            dropped: each(self.dropped, other.dropped),
        }
    }
}
