//! The node's workers: they keep what the node tells them, look sessions up in its page table as the
//! real ones do, count what passes, number what must be numbered, and report.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_l2sess::policy::Policies;
use lns_node::Sequence;
use lns_tables::index::PageIndex;
use lns_tables::path::{Counters, PathReport, PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};
use lns_wire::l2tp::DataHeader;
use lns_wire::ppp::{Frame, Protocol};

/// What the workers know.
#[derive(Debug)]
pub struct Workers {
    index: Arc<PageIndex>,
    policies: Option<Arc<Policies>>,
    tunnels: BTreeMap<TunnelId, (TunnelPath, Option<Instant>)>,
    slots: Vec<Option<Box<Slot>>>,
    sessions: usize,
}

/// One session.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What the node said of it.
    pub path: SessionPath,
    /// What has passed.
    pub counters: Counters,
    last_received: Option<Instant>,
    last_forwarded: Option<Instant>,
    ns: u16,
}

impl Workers {
    pub(crate) const fn new(index: Arc<PageIndex>) -> Self {
        Self {
            index,
            policies: None,
            tunnels: BTreeMap::new(),
            slots: Vec::new(),
            sessions: 0,
        }
    }

    /// Tunnels that they know.
    pub fn tunnels(&self) -> impl Iterator<Item = (TunnelId, &TunnelPath)> {
        self.tunnels
            .iter()
            .map(|(tunnel, (path, _))| (*tunnel, path))
    }

    /// All that they know, as they would have to be told it anew. Routes are not among it.
    pub(crate) fn known(&self) -> Vec<PathUpdate> {
        let policies = self.policies.iter().cloned();
        let policies = policies.map(|policies| PathUpdate::SetPolicies { policies });
        let tunnels = self.tunnels();
        let tunnels = tunnels.map(|(tunnel, path)| PathUpdate::SetTunnel {
            tunnel,
            path: *path,
        });
        let sessions = self.slots.iter().zip(0..).filter_map(|(slot, place)| {
            let (slot, path) = (SlotIndex(place), slot.as_ref()?.path);
            Some(PathUpdate::SetSession { slot, path })
        });
        policies.chain(tunnels).chain(sessions).collect()
    }

    /// How many sessions they know.
    pub const fn sessions(&self) -> usize {
        self.sessions
    }

    /// The session in a slot.
    pub fn slot(&self, slot: SlotIndex) -> Option<&Slot> {
        self.slots.get(place(slot))?.as_deref()
    }

    /// The slot of a session, found as a worker finds it.
    pub fn find(&self, tunnel: TunnelId, session: SessionId) -> Option<SlotIndex> {
        let slot = self.index.lookup(tunnel, session)?;
        let path = &self.slot(slot)?.path;
        ((path.tunnel, path.session) == (tunnel, session)).then_some(slot)
    }

    /// Takes data in. Whether it is the node's to handle: what is no IP packet.
    pub(crate) fn take(
        &mut self,
        header: &DataHeader,
        frame: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> bool {
        let is_from_there = match self.tunnels.get_mut(&header.tunnel) {
            Some((path, heard)) if path.remote == from => {
                *heard = Some(now);
                true
            }
            Some(_) | None => false,
        };
        let found = self
            .find(header.tunnel, header.session)
            .filter(|_| is_from_there);
        let Some(slot) = found.and_then(|slot| self.slots[place(slot)].as_mut()) else {
            // The node drops and counts it.
            return true;
        };
        slot.last_received = Some(now);
        match Frame::parse(frame) {
            Ok(frame) if frame.protocol == Protocol::IPV4 => {
                slot.forward(frame.information, now);
                false
            }
            Ok(_) | Err(_) => true,
        }
    }

    /// Puts the next number of a session into a data message (RFC 2661, 5.4).
    pub(crate) fn number(&mut self, sequence: Sequence, octets: &mut [u8]) {
        let Sequence { slot, skips } = sequence;
        let slot = self.slots.get_mut(place(slot)).and_then(Option::as_mut);
        // A session's last frames go out after its slot was cleared.
        let ns = slot.map_or(0, |slot| {
            let ns = slot.ns.wrapping_add(skips);
            slot.ns = ns.wrapping_add(1);
            ns
        });
        if let Some(field) = octets.get_mut(6..8) {
            field.copy_from_slice(&ns.to_be_bytes());
        }
    }

    pub(crate) fn apply(&mut self, update: &PathUpdate) -> Option<PathReport> {
        match *update {
            PathUpdate::SetRoute { .. } | PathUpdate::ClearRoute { .. } => {}
            PathUpdate::SetPolicies { ref policies } => self.policies = Some(Arc::clone(policies)),
            PathUpdate::SetTunnel { tunnel, path } => {
                self.tunnels.entry(tunnel).or_insert((path, None)).0 = path;
            }
            PathUpdate::ClearTunnel { tunnel } => drop(self.tunnels.remove(&tunnel)),
            PathUpdate::SetSession { slot, path } => self.set(slot, path),
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => {
                let known = self.slots.get_mut(place(slot)).and_then(Option::take)?;
                self.sessions -= 1;
                return Some(known.report(slot, tunnel, session));
            }
            PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            } => return Some(self.slot(slot)?.report(slot, tunnel, session)),
            PathUpdate::ReportTunnel { tunnel } => {
                return Some(PathReport::Tunnel {
                    tunnel,
                    last_received: self.tunnels.get(&tunnel).and_then(|it| it.1),
                });
            }
        }
        None
    }

    fn set(&mut self, slot: SlotIndex, path: SessionPath) {
        let place = place(slot);
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, || None);
        }
        match &mut self.slots[place] {
            Some(known) => known.path = path,
            empty @ None => {
                *empty = Some(Box::new(Slot {
                    path,
                    counters: Counters::default(),
                    last_received: None,
                    last_forwarded: None,
                    ns: 0,
                }));
                self.sessions += 1;
            }
        }
    }
}

impl Slot {
    const fn report(&self, slot: SlotIndex, tunnel: TunnelId, session: SessionId) -> PathReport {
        PathReport::Session {
            slot,
            tunnel,
            session,
            last_received: self.last_received,
            last_forwarded: self.last_forwarded,
            counters: self.counters,
        }
    }

    /// Passes an IPv4 packet on if its source is the session's address.
    fn forward(&mut self, packet: &[u8], now: Instant) {
        let source = packet
            .get(12..16)
            .and_then(|it| <[u8; 4]>::try_from(it).ok());
        let up = &mut self.counters.up;
        if source.is_none() || source != self.path.address.map(|it| it.octets()) {
            up.dropped += 1;
            return;
        }
        self.last_forwarded = Some(now);
        up.ipv4_packets += 1;
        up.ipv4_octets += u64::try_from(packet.len()).expect("a packet");
    }
}

fn place(slot: SlotIndex) -> usize {
    usize::try_from(slot.0).expect("32 bits")
}
