//! What workers would know, and what they would report.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_l2sess::ChainId;
use lns_l2sess::policy::{Chain, Policies};
use lns_node::Node;
use lns_tables::path::{Counters, PathReport, PathUpdate, SessionPath, SlotIndex, TunnelPath};
use lns_tables::time::Instant;
use lns_wire::id::{SessionId, TunnelId};

/// What the workers know, and what they would report.
#[derive(Debug)]
pub struct Workers {
    pub policies: Arc<Policies>,
    /// How often the policies were told, and each session.
    pub policies_told: u32,
    pub sessions_told: BTreeMap<SlotIndex, u32>,
    pub tunnels: BTreeMap<TunnelId, TunnelPath>,
    pub sessions: BTreeMap<SlotIndex, SessionPath>,
    pub last_received: BTreeMap<SlotIndex, Instant>,
    pub last_forwarded: BTreeMap<SlotIndex, Instant>,
    /// Who has which prefix.
    pub routes: BTreeMap<Ipv4Net, SlotIndex>,
    /// What has passed through a session.
    pub counters: BTreeMap<SlotIndex, Counters>,
    /// They do not say what a session that is cleared had counted.
    pub forget_finals: bool,
    /// When data of any session last came through a tunnel.
    pub last_of_tunnel: BTreeMap<TunnelId, Instant>,
}

/// The workers of a node that follows do what it says, and answer.
pub fn settle_standby(node: &mut Node, workers: &mut Workers, now: Instant) {
    while let Some(update) = node.poll_path() {
        if let Some(report) = workers.apply(&update) {
            node.handle_report(&report, now);
        }
    }
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            policies: Policies::none(),
            policies_told: 0,
            sessions_told: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_received: BTreeMap::new(),
            last_forwarded: BTreeMap::new(),
            routes: BTreeMap::new(),
            counters: BTreeMap::new(),
            forget_finals: false,
            last_of_tunnel: BTreeMap::new(),
        }
    }

    /// The policies by which the packets in a slot are judged, in order.
    pub fn policies_of(&self, slot: SlotIndex) -> Vec<String> {
        let chain = self.sessions[&slot].chain;
        let chain = self.policies.chain(chain);
        let names = chain.into_iter().flat_map(Chain::names);
        names.map(ToString::to_string).collect()
    }

    pub fn slot(&self, tunnel: TunnelId, session: SessionId) -> Option<SlotIndex> {
        let found = self
            .sessions
            .iter()
            .find(|(_, path)| (path.tunnel, path.session) == (tunnel, session));
        found.map(|(slot, _)| *slot)
    }

    pub fn apply(&mut self, update: &PathUpdate) -> Option<PathReport> {
        match *update {
            PathUpdate::SetPolicies { ref policies } => {
                self.policies = Arc::clone(policies);
                self.policies_told += 1;
                self.check_chains();
            }
            PathUpdate::SetTunnel { tunnel, path } => drop(self.tunnels.insert(tunnel, path)),
            PathUpdate::ClearTunnel { tunnel } => drop(self.tunnels.remove(&tunnel)),
            PathUpdate::SetSession { slot, path } => {
                let old = self.sessions.insert(slot, path);
                assert!(
                    old.is_none_or(|old| (old.tunnel, old.session) == (path.tunnel, path.session)),
                    "a slot was given away before it was cleared"
                );
                *self.sessions_told.entry(slot).or_default() += 1;
                self.check_addresses();
                self.check_chains();
            }
            PathUpdate::ClearSession {
                slot,
                tunnel,
                session,
            } => {
                let old = self
                    .sessions
                    .remove(&slot)
                    .expect("only what was set is cleared");
                assert_eq!((old.tunnel, old.session), (tunnel, session));
                let report = PathReport::Session {
                    slot,
                    tunnel,
                    session,
                    last_received: self.last_received.remove(&slot),
                    last_forwarded: self.last_forwarded.remove(&slot),
                    counters: self.counters.remove(&slot).unwrap_or_default(),
                };
                return (!self.forget_finals).then_some(report);
            }
            PathUpdate::SetRoute { slot, route } => {
                assert!(self.sessions.contains_key(&slot), "a route to nobody");
                self.routes.insert(route, slot);
            }
            PathUpdate::ClearRoute { slot, route } => {
                assert!(self.sessions.contains_key(&slot), "a route of nobody");
                assert_eq!(self.routes.remove(&route), Some(slot));
            }
            PathUpdate::ReportSession {
                slot,
                tunnel,
                session,
            } => {
                return Some(PathReport::Session {
                    slot,
                    tunnel,
                    session,
                    last_received: self.last_received.get(&slot).copied(),
                    last_forwarded: self.last_forwarded.get(&slot).copied(),
                    counters: self.counters.get(&slot).copied().unwrap_or_default(),
                });
            }
            PathUpdate::ReportTunnel { tunnel } => {
                return Some(PathReport::Tunnel {
                    tunnel,
                    last_received: self.last_of_tunnel.get(&tunnel).copied(),
                });
            }
        }
        None
    }

    /// Every chain that a session has is there.
    fn check_chains(&self) {
        for (slot, path) in &self.sessions {
            let is_there = self.policies.chain(path.chain).is_some();
            assert!(path.chain == ChainId::NONE || is_there, "{slot:?}");
        }
    }

    /// No address is ever held by two sessions.
    fn check_addresses(&self) {
        let mut seen = BTreeMap::new();
        for (slot, path) in &self.sessions {
            if let Some(address) = path.address {
                assert_eq!(seen.insert(address, slot), None, "{address} is held twice");
            }
        }
    }
}
