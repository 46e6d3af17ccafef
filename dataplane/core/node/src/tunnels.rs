//! The tunnels of the node, by our id.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_l2tp::TunnelState;
use lns_tables::time::Instant;
use lns_wire::id::{PeerTunnelId, TunnelId};
use lns_wire::l2tp::Seq16;

use crate::explain::transcript::Position;
use crate::lacs::Profile;
use crate::{limits, view};

/// One tunnel, and what the node adds to its machine.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) machine: lns_l2tp::Tunnel,
    /// The entry under which it came up: what is for new tunnels only stays as it was.
    pub(crate) profile: Arc<Profile>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) opened_at: Instant,
    pub(crate) up_at: Option<Instant>,
    /// It has ended; what is left is to acknowledge and to clear its calls.
    pub(crate) closed: bool,
    /// Why it has ended.
    pub(crate) why: Option<&'static str>,
    /// It waits in the line of those whose calls are being cleared.
    pub(crate) clearing: bool,
    /// The workers were asked when they last heard from the LAC.
    pub(crate) report_asked: bool,
    /// The tunnel that the LAC had under the same id when it asked for this one: if this one comes up,
    /// the LAC has forgotten the other.
    pub(crate) replaces: Option<TunnelId>,
    /// What its SCCRQ said: one that says something else is another LAC's, or of another life of this one.
    pub(crate) asked: Asked,
    /// The last entry of the transcript.
    pub(crate) last: Option<Position>,
    /// The state that was noted there last.
    pub(crate) shown: TunnelState,
    /// What it was like when it was last to be stored.
    pub(crate) written: Option<Shape>,
    /// The state that was stored last.
    pub(crate) stored: Option<TunnelState>,
}

/// The AVPs of an SCCRQ, as a number: a copy that was sent again has the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Asked(pub(crate) u64);

impl Asked {
    /// FNV-1a. Whoever makes two that have the same could as well send the same twice.
    pub(crate) fn of(body: &[u8]) -> Self {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let hash = body.iter().fold(BASIS, |hash, octet| {
            (hash ^ u64::from(*octet)).wrapping_mul(PRIME)
        });
        Self(hash)
    }
}

/// What tells whether a tunnel's record must be written anew: what the peer may learn from what we send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    state: TunnelState,
    remote: SocketAddr,
    received: Seq16,
    queued: Seq16,
}

/// All tunnels.
#[derive(Debug)]
pub(crate) struct Tunnels {
    links: Vec<Option<Box<Link>>>,
    /// By what a repeated SCCRQ shows.
    by_peer: BTreeMap<(SocketAddr, PeerTunnelId), TunnelId>,
    /// How many tunnels end at each address, ours and the LACs'.
    ends: BTreeMap<IpAddr, u32>,
    pub(crate) opening: u32,
    pub(crate) up: u32,
}

impl Tunnels {
    pub(crate) fn new() -> Self {
        let mut links = Vec::new();
        links.resize_with(usize::from(u16::MAX).saturating_add(1), || None);
        Self {
            links,
            by_peer: BTreeMap::new(),
            ends: BTreeMap::new(),
            opening: 0,
            up: 0,
        }
    }

    pub(crate) fn get(&self, tunnel: TunnelId) -> Option<&Link> {
        self.links.get(usize::from(tunnel.0))?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, tunnel: TunnelId) -> Option<&mut Link> {
        self.links.get_mut(usize::from(tunnel.0))?.as_deref_mut()
    }

    /// The tunnel whose SCCRQ came from `remote` with this Assigned Tunnel ID.
    pub(crate) fn of_peer(&self, remote: SocketAddr, peer: PeerTunnelId) -> Option<TunnelId> {
        self.by_peer.get(&(remote, peer)).copied()
    }

    pub(crate) fn insert(&mut self, tunnel: TunnelId, link: Link) {
        self.by_peer
            .insert((link.remote, link.machine.peer()), tunnel);
        self.begin_end(link.local);
        self.begin_end(link.remote);
        self.opening = self.opening.saturating_add(1);
        if let Some(place) = self.links.get_mut(usize::from(tunnel.0)) {
            *place = Some(Box::new(link));
        }
    }

    pub(crate) fn remove(&mut self, tunnel: TunnelId) -> Option<Box<Link>> {
        let link = self.links.get_mut(usize::from(tunnel.0))?.take()?;
        let key = (link.remote, link.machine.peer());
        if self.by_peer.get(&key) == Some(&tunnel) {
            self.by_peer.remove(&key);
        }
        self.give_up_end(link.local);
        self.give_up_end(link.remote);
        Some(link)
    }

    /// Whether a tunnel ends at this address, on our side or the LAC's.
    pub(crate) fn have_end(&self, address: Ipv4Addr) -> bool {
        self.ends.contains_key(&address.into())
    }

    fn begin_end(&mut self, end: SocketAddr) {
        let count = self.ends.entry(end.ip().to_canonical()).or_default();
        *count = count.saturating_add(1);
    }

    fn give_up_end(&mut self, end: SocketAddr) {
        let address = end.ip().to_canonical();
        match self.ends.get_mut(&address) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            Some(_) | None => drop(self.ends.remove(&address)),
        }
    }

    /// The peer has moved to another port (between SCCRQ and SCCCN it may).
    pub(crate) fn moved(&mut self, tunnel: TunnelId, remote: SocketAddr) {
        let Some(link) = self.get_mut(tunnel) else {
            return;
        };
        let (old, peer) = (link.remote, link.machine.peer());
        link.remote = remote;
        self.by_peer.remove(&(old, peer));
        self.by_peer.insert((remote, peer), tunnel);
        self.give_up_end(old);
        self.begin_end(remote);
    }

    /// Whether one more may be half open.
    pub(crate) const fn may_open(&self) -> bool {
        self.opening < limits::MAX_HALF_OPEN_TUNNELS
    }

    /// The tunnels behind `after`, in the order of their ids.
    pub(crate) fn after(&self, after: Option<TunnelId>) -> impl Iterator<Item = (TunnelId, &Link)> {
        let first = after.map_or(0, |after| after.0.saturating_add(1));
        (first..=u16::MAX)
            .map(TunnelId)
            .filter_map(|tunnel| Some((tunnel, self.get(tunnel)?)))
    }
}

impl Link {
    /// What of it a record must have.
    pub(crate) fn shape(&self) -> Shape {
        let channel = self.machine.channel();
        let waiting = u16::try_from(channel.waiting).unwrap_or(u16::MAX);
        Shape {
            state: self.machine.state(),
            remote: self.remote,
            received: channel.nr,
            queued: channel.ns.plus(waiting),
        }
    }

    /// Whether an SCCRQ with the id of this tunnel may be a copy of the one that began it. A LAC whose
    /// tunnel has been up for a full cycle of retransmissions sends none (RFC 2661, 5.8), and one that
    /// starts anew challenges us anew.
    pub(crate) fn is_of_its_sccrq(&self, asked: Asked, now: Instant) -> bool {
        let cycle = self.profile.tunnel.retransmit.cycle();
        let is_recent = self.up_at.is_none_or(|at| now.since(at) < cycle);
        !self.closed && is_recent && self.asked == asked
    }

    pub(crate) fn view(&self, tunnel: TunnelId, sessions: u32, now: Instant) -> view::Tunnel {
        view::Tunnel {
            id: tunnel.0,
            peer_id: self.machine.peer().0,
            lac: self.profile.lac.name.to_string(),
            host_name: String::from_utf8_lossy(self.machine.peer_name()).into_owned(),
            vendor: String::from_utf8_lossy(self.machine.peer_vendor()).into_owned(),
            local: self.local,
            remote: self.remote,
            state: self.machine.state().label(),
            sessions,
            seconds: now.since(self.up_at.unwrap_or(self.opened_at)).as_secs(),
        }
    }
}
