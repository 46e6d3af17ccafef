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
use std::time::Instant;

use arc_swap::ArcSwap;
use lns_cluster::NodeName;
use tokio::sync::Notify;

use crate::backoff::chance;
use crate::config::Config;
use crate::data::{Data, Direction, Keyring};
use crate::epochs::Epochs;
use crate::event::Event;
use crate::failed::{Failed, FailedFor};
use crate::greet::{Greeted, Ours};
use crate::inbox::Inbox;
use crate::limits::{NUMBERS, PEERS, UNLISTED};
use crate::link::{Context, Link, Rank};
use crate::member::{Member, PeerNumber};
use crate::peer::{Failures, Peer};
use crate::tls::Credentials;
use crate::wire::{Capabilities, Goodbye, Hello, OLDEST, Refused, RefusedFor, VERSION};

/// What all tasks of a member share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) credentials: ArcSwap<Credentials>,
    pub(crate) epochs: Epochs,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) data: Data,
    /// Where connections are opened from.
    pub(crate) source: Option<IpAddr>,
    peers: Mutex<BTreeMap<NodeName, Arc<Peer>>>,
    /// The list has changed.
    pub(crate) listed: Notify,
    dials: AtomicU64,
    connections: AtomicU64,
    /// No connection is taken any more.
    is_leaving: AtomicBool,
    pub(crate) failures: Failures,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        credentials: Credentials,
        epochs: Epochs,
        source: Option<IpAddr>,
    ) -> Self {
        Self {
            data: Data::new(epochs.clone(), config.path_mtu, chance().u32()),
            config,
            credentials: ArcSwap::from_pointee(credentials),
            epochs,
            inbox: Arc::default(),
            source,
            peers: Mutex::default(),
            listed: Notify::new(),
            dials: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            failures: Failures::default(),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            epochs: &self.epochs,
            inbox: &self.inbox,
            data: &self.data,
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
            self.data.set_address(peer.number, address);
            let stays = address.is_some() || peer.lock().is_some();
            if !stays {
                self.data.forget(peer.number);
            }
            stays
        });
        for (node, address) in others() {
            let peer = entry(&mut peers, node).ok_or(Full)?;
            peer.address
                .send_if_modified(|at| at.replace(*address) != Some(*address));
            self.data.set_address(peer.number, Some(*address));
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
        let link = Arc::new(self.link_to(&peer, greeted, rank));
        if let Some(before) = current.replace(Arc::clone(&link)) {
            before.outbox.close(Goodbye::Replaced, self.epochs.known());
        }
        self.inbox
            .state(peer.number, Event::Connected(link.member.clone()));
        peer.is_connected.send_replace(true);
        drop(current);
        drop(peers);
        link.hear(greeted.epoch, &self.context());
        link.rekey(&self.context());
        Ok(link)
    }

    fn link_to(&self, peer: &Peer, greeted: &Greeted, rank: Rank) -> Link {
        let hello = &*greeted.theirs;
        if peer.is_other(&hello.identity) {
            // What the one before could open, this one cannot.
            self.data.forget(peer.number);
        }
        let ours = [self.config.capabilities, hello.capabilities];
        let both = ours.iter().all(|each| each.has(Capabilities::DATA));
        let keyring = both.then(|| Keyring {
            peer: peer.number,
            secret: greeted.secret.clone(),
            outbound: if greeted.is_ours {
                Direction::FromOpener
            } else {
                Direction::ToOpener
            },
            connection: self
                .connections
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1),
        });
        let member = Member::new(peer.number, hello.clone(), greeted.version, greeted.address);
        let counters = Arc::clone(&peer.counters);
        counters.connected();
        Link::new(member, rank, greeted.epoch, counters, keyring)
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
        let is_listed = peer.address.borrow().is_some();
        if !is_listed || failed.why == FailedFor::Left {
            self.data.forget(peer.number);
        } else {
            self.data.lose(peer.number, Instant::now());
        }
        if !is_listed {
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
