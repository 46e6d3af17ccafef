//! All peers of a member: who they are, how they are reached, and what is said to them.
//!
//! A member opens connections to the peers that its owner lists, and takes those of any member of the
//! cluster: a peer may know of us before we know of it. Between two members one connection is kept. Of
//! two that cross, that of the one whose name comes first; of two that the same one has opened, the
//! later; that of a new incarnation in any case. The one whose name comes last waits a moment before its
//! first attempt, so that they seldom cross.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use lns_cluster::NodeName;
use tokio::sync::{Notify, watch};

use crate::config::Config;
use crate::epochs::Epochs;
use crate::event::Event;
use crate::failed::{Failed, FailedFor};
use crate::figures::{Counters, PeerFigures};
use crate::greet::{Greeted, Ours};
use crate::inbox::Inbox;
use crate::limits::{NUMBERS, PEERS, UNLISTED};
use crate::link::{Context, Link, Rank};
use crate::member::{Member, PeerNumber};
use crate::tls::Credentials;
use crate::wire::{Goodbye, Hello, OLDEST, Refused, RefusedFor, VERSION};

/// What all tasks of a member share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) credentials: ArcSwap<Credentials>,
    pub(crate) epochs: Epochs,
    pub(crate) inbox: Arc<Inbox>,
    /// Where connections are opened from.
    pub(crate) source: Option<IpAddr>,
    peers: Mutex<BTreeMap<NodeName, Arc<Peer>>>,
    /// The list has changed.
    pub(crate) listed: Notify,
    dials: AtomicU64,
    /// No connection is taken any more.
    is_leaving: AtomicBool,
    pub(crate) failures: Failures,
}

/// Connections that were not made, by why.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

/// One peer, connected or not.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeName,
    number: PeerNumber,
    counters: Arc<Counters>,
    /// Where it is reached, if it is listed.
    pub(crate) address: watch::Sender<Option<SocketAddr>>,
    link: Mutex<Option<Arc<Link>>>,
    /// Whether there is one.
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
    fn new(node: NodeName, number: PeerNumber) -> Self {
        Self {
            node,
            number,
            counters: Arc::default(),
            address: watch::Sender::new(None),
            link: Mutex::new(None),
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

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a connection of this peer would not be kept.
    fn objection(&self, current: Option<&Arc<Link>>, hello: &Hello, rank: Rank) -> Option<Refused> {
        let current = current?;
        let is_new = *current.member.identity() != hello.identity;
        if is_new || rank > current.rank {
            return None;
        }
        let words = format!("there is a connection between {} and this node", self.node);
        Some(Refused::new(RefusedFor::Duplicate, words))
    }
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        credentials: Credentials,
        epochs: Epochs,
        source: Option<IpAddr>,
    ) -> Self {
        Self {
            config,
            credentials: ArcSwap::from_pointee(credentials),
            epochs,
            inbox: Arc::default(),
            source,
            peers: Mutex::default(),
            listed: Notify::new(),
            dials: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            failures: Failures::default(),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            epochs: &self.epochs,
            inbox: &self.inbox,
            timing: self.config.timing,
        }
    }

    /// What we say of ourselves on the next connection.
    pub(crate) fn ours(&self) -> Ours {
        let hello = Hello {
            cluster: self.config.cluster.clone(),
            identity: self.config.identity.clone(),
            version: VERSION,
            oldest: OLDEST,
            capabilities: self.config.capabilities,
            dial: self.dials.fetch_add(1, Ordering::Relaxed),
            software: self.config.software.clone(),
        };
        Ours {
            hello,
            epoch: self.epochs.known(),
            credentials: Credentials::clone(&self.credentials.load()),
        }
    }

    /// Lists these peers and no others. Those that are gone from the list keep their connections.
    pub(crate) fn list(&self, listed: &BTreeMap<NodeName, SocketAddr>) -> Result<(), Full> {
        let me = self.config.identity.node();
        let others = || listed.iter().filter(|(node, _)| *node != me);
        if others().count() > PEERS {
            return Err(Full);
        }
        let mut peers = self.lock();
        peers.retain(|node, peer| {
            let address = listed.get(node).copied();
            peer.address
                .send_if_modified(|at| core::mem::replace(at, address) != address);
            address.is_some() || peer.lock().is_some()
        });
        for (node, address) in others() {
            let peer = entry(&mut peers, node).ok_or(Full)?;
            peer.address
                .send_if_modified(|at| at.replace(*address) != Some(*address));
        }
        drop(peers);
        self.listed.notify_one();
        Ok(())
    }

    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn link(&self, node: &NodeName) -> Option<Arc<Link>> {
        self.lock().get(node)?.link()
    }

    /// Whether somebody at this address may be a listed peer.
    pub(crate) fn is_listed(&self, address: IpAddr) -> bool {
        let peers = self.lock();
        let mut at = peers.values().filter_map(|peer| *peer.address.borrow());
        at.any(|peer| peer.ip().to_canonical() == address.to_canonical())
    }

    /// Whether a connection that this peer has opened would be kept.
    pub(crate) fn judge(&self, hello: &Hello) -> Result<(), Refused> {
        let node = hello.identity.node();
        let peers = self.lock();
        self.stay()?;
        let Some(peer) = peers.get(node) else {
            return if has_room(&peers) {
                Ok(())
            } else {
                Err(full())
            };
        };
        let rank = Rank::new(node, self.config.identity.node(), hello.dial);
        let objection = peer.objection(peer.lock().as_ref(), hello, rank);
        objection.map_or(Ok(()), Err)
    }

    /// Takes a connection, in the place of one that there may be; `dial` is its number, if it is ours.
    ///
    /// # Errors
    /// There is a better one, or no room for the peer.
    pub(crate) fn enter(&self, greeted: &Greeted, dial: u64) -> Result<Arc<Link>, Refused> {
        let hello = &*greeted.theirs;
        let (node, me) = (hello.identity.node(), self.config.identity.node());
        let rank = if greeted.is_ours {
            Rank::new(me, node, dial)
        } else {
            Rank::new(node, me, hello.dial)
        };
        let mut peers = self.lock();
        self.stay()?;
        if !peers.contains_key(node) && !has_room(&peers) {
            return Err(full());
        }
        let peer = entry(&mut peers, node).ok_or_else(full)?;
        let mut current = peer.lock();
        if let Some(refused) = peer.objection(current.as_ref(), hello, rank) {
            return Err(refused);
        }
        let member = Member::new(peer.number, hello.clone(), greeted.version, greeted.address);
        let counters = Arc::clone(&peer.counters);
        counters.connected();
        let link = Arc::new(Link::new(member.clone(), rank, greeted.epoch, counters));
        if let Some(before) = current.replace(Arc::clone(&link)) {
            before.outbox.close(Goodbye::Replaced, self.epochs.known());
        }
        self.inbox.state(peer.number, Event::Connected(member));
        peer.is_connected.send_replace(true);
        drop(current);
        drop(peers);
        link.hear(greeted.epoch, &self.context());
        Ok(link)
    }

    /// Takes no connection any more, and says goodbye to those that are there.
    pub(crate) fn farewell(&self) {
        let peers = self.lock();
        self.is_leaving.store(true, Ordering::Relaxed);
        for link in peers.values().filter_map(|peer| peer.link()) {
            link.outbox.close(Goodbye::Leaving, self.epochs.known());
        }
    }

    /// No connection is taken or opened any more.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Whether connections are taken. Asked and changed under the lock.
    fn stay(&self) -> Result<(), Refused> {
        if self.is_leaving() {
            return Err(Refused::new(RefusedFor::Leaving, "this node leaves"));
        }
        Ok(())
    }

    /// A connection has ended. Nothing is told of one that another one has replaced. A peer that is not
    /// listed either is forgotten, so that others find room.
    pub(crate) fn leave(&self, link: &Arc<Link>, failed: &Failed) {
        let mut peers = self.lock();
        let node = link.member.node();
        let Some(peer) = peers.get(node).cloned() else {
            return;
        };
        let mut current = peer.lock();
        if !current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, link))
        {
            return;
        }
        *current = None;
        let event = Event::Disconnected(link.member.clone(), failed.clone());
        self.inbox.state(peer.number, event);
        peer.is_connected.send_replace(false);
        if peer.address.borrow().is_none() {
            peers.remove(node);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There are as many peers as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a member has {PEERS} peers at most")]
pub struct Full;

/// Whether one more peer may be taken that is not listed.
fn has_room(peers: &BTreeMap<NodeName, Arc<Peer>>) -> bool {
    let unlisted = peers
        .values()
        .filter(|peer| peer.address.borrow().is_none());
    unlisted.count() < UNLISTED
}

fn full() -> Refused {
    Refused::new(RefusedFor::Full, "too many peers that are not listed")
}

/// The peer of this node, which is made if there is a number for it.
fn entry(peers: &mut BTreeMap<NodeName, Arc<Peer>>, node: &NodeName) -> Option<Arc<Peer>> {
    if let Some(peer) = peers.get(node) {
        return Some(Arc::clone(peer));
    }
    let is_taken = |number: u8| peers.values().any(|peer| peer.number.0 == number);
    let mut numbers = (0..u8::MAX).take(NUMBERS);
    let number = numbers.find(|number| !is_taken(*number))?;
    let peer = Arc::new(Peer::new(node.clone(), PeerNumber(number)));
    peers.insert(node.clone(), Arc::clone(&peer));
    Some(peer)
}
