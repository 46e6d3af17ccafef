//! One peer, connected or not, and the connections that were not made.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lns_cluster::{Identity, NodeName};
use tokio::sync::watch;

use crate::failed::FailedFor;
use crate::figures::{Counters, PeerFigures};
use crate::link::{Link, Rank};
use crate::member::PeerNumber;
use crate::wire::{Hello, Refused, RefusedFor};

/// Connections that were not made, by why.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

/// One peer, connected or not.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeName,
    pub(crate) number: PeerNumber,
    pub(crate) counters: Arc<Counters>,
    /// Where it is reached, if it is listed.
    pub(crate) address: watch::Sender<Option<SocketAddr>>,
    link: Mutex<Option<Arc<Link>>>,
    /// The incarnation that was connected last.
    last: Mutex<Option<Identity>>,
    /// Whether there is a connection.
    pub(crate) is_connected: watch::Sender<bool>,
}

impl Failures {
    pub(crate) fn add(&self, side: &'static str, why: FailedFor) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry((side, why.label())).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|((side, why), count)| (*side, *why, *count))
            .collect()
    }
}

impl Peer {
    pub(crate) fn new(node: NodeName, number: PeerNumber) -> Self {
        Self {
            node,
            number,
            counters: Arc::default(),
            address: watch::Sender::new(None),
            link: Mutex::new(None),
            last: Mutex::new(None),
            is_connected: watch::Sender::new(false),
        }
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.lock().clone()
    }

    /// What has passed between the two.
    pub(crate) fn figures(&self) -> PeerFigures {
        let mut figures = self.counters.read();
        if let Some(link) = self.link() {
            figures.connected = Some(link.member.identity().clone());
            figures.version = link.member.version();
            figures.capabilities = link.member.capabilities();
            figures.epoch = link.epoch();
        }
        figures
    }

    /// Who holds this holds the list of peers too, or takes it first.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is another incarnation than the one that was connected last.
    pub(crate) fn is_other(&self, identity: &Identity) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(identity.clone()).as_ref() != Some(identity)
    }

    /// Why a connection of this peer would not be kept.
    pub(crate) fn objection(
        &self,
        current: Option<&Arc<Link>>,
        hello: &Hello,
        rank: Rank,
    ) -> Option<Refused> {
        let current = current?;
        let is_new = *current.member.identity() != hello.identity;
        if is_new || rank > current.rank {
            return None;
        }
        let words = format!("there is a connection between {} and this node", self.node);
        Some(Refused::new(RefusedFor::Duplicate, words))
    }
}
