//! The tasks of the channel: one that accepts, one per listed peer that opens connections, one per
//! connection that was accepted. All end with the first of them.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_cluster::NodeName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::{Backoff, chance};
use crate::failed::{Failed, FailedFor};
use crate::greet::{Greeted, accept, leave, open};
use crate::limits::{HANDSHAKE, HANDSHAKES, HANDSHAKES_OTHERS};
use crate::link::serve;
use crate::peer::Peer;
use crate::peers::Shared;
use crate::wire::{Goodbye, RefusedFor};

/// How long to wait when the system gives out no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How often it is looked whether keys have lingered for long enough.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until `end` says so, or whoever could is gone.
pub(crate) async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut end: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    let mut dialers = BTreeMap::new();
    let gate = Gate::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.listed.notified() => call(&shared, &mut dialers, &mut tasks),
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    if let Some(permit) = gate.enter(&shared, address.ip()) {
                        let shared = Arc::clone(&shared);
                        tasks.spawn(take(shared, stream, address, permit));
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection of a peer");
                    sleep(EXHAUSTED).await;
                }
            },
            _ = look.tick() => shared.data.expire(Instant::now().into_std(), shared.config.timing.linger),
            // Tasks that have ended are let go.
            _ = tasks.join_next(), if !tasks.is_empty() => {}
            _ = until(&mut end, true) => break,
        }
    }
}

/// How many handshakes there may be at once.
struct Gate {
    listed: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self {
            listed: Arc::new(Semaphore::new(HANDSHAKES)),
            others: Arc::new(Semaphore::new(HANDSHAKES_OTHERS)),
        }
    }

    /// Whether one more may begin with this address. Whoever is not listed takes no room of those who are.
    fn enter(&self, shared: &Shared, address: IpAddr) -> Option<OwnedSemaphorePermit> {
        let room = if shared.is_listed(address) {
            &self.listed
        } else {
            &self.others
        };
        let permit = Arc::clone(room).try_acquire_owned();
        if permit.is_err() {
            shared
                .failures
                .add("accept", FailedFor::Refused(RefusedFor::Full));
        }
        permit.ok()
    }
}

/// Starts a task for each listed peer that has none, and ends those of peers that are not listed.
fn call(
    shared: &Arc<Shared>,
    dialers: &mut BTreeMap<NodeName, AbortHandle>,
    tasks: &mut JoinSet<()>,
) {
    let listed = shared.peers().into_iter();
    let listed: Vec<_> = listed
        .filter(|peer| peer.address.borrow().is_some())
        .collect();
    dialers.retain(|_, task| !task.is_finished());
    for peer in listed {
        dialers
            .entry(peer.node.clone())
            .or_insert_with(|| tasks.spawn(dial(Arc::clone(shared), Arc::clone(&peer))));
    }
}

/// Takes a connection that somebody has opened, and serves it.
async fn take(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) {
    let ours = shared.ours();
    let judge = |hello: &crate::wire::Hello| shared.judge(hello);
    let greeted = timeout(HANDSHAKE, accept(stream, address, &ours, judge)).await;
    match greeted.unwrap_or_else(|_| Err(Failed::timeout("the peer took too long to greet"))) {
        Ok(greeted) => {
            drop(permit);
            connected(&shared, greeted, 0).await;
        }
        Err(failed) => {
            shared.failures.add("accept", failed.why);
            // Anybody may cause this as often as they like.
            debug!(%address, reason = failed.why.label(), %failed, "a connection was not taken");
            sleep(shared.config.timing.penance).await;
            drop(permit);
        }
    }
}

/// Keeps a connection to a peer for as long as it is listed.
async fn dial(shared: Arc<Shared>, peer: Arc<Peer>) {
    let timing = shared.config.timing;
    let mut backoff = Backoff::new(&timing, chance());
    let mut is_connected = peer.is_connected.subscribe();
    let mut address = peer.address.subscribe();
    let mut last = None;
    if shared.config.identity.node() > &peer.node {
        let _opened = timeout(timing.courtesy, until(&mut is_connected, true)).await;
    }
    loop {
        if !until(&mut is_connected, false).await {
            return;
        }
        let Some(at) = *address.borrow_and_update() else {
            return;
        };
        if shared.is_leaving() {
            return;
        }
        tokio::select! {
            // If the peer opens one meanwhile, the two sort out which is kept when both have greeted.
            _ = address.changed() => continue,
            result = attempt(&shared, at) => match result {
                Ok((greeted, dial)) => {
                    let since = Instant::now();
                    if connected(&shared, greeted, dial).await && since.elapsed() > timing.dead {
                        backoff.reset(&timing);
                    }
                    last = None;
                }
                Err(failed) => {
                    shared.failures.add("open", failed.why);
                    tell(&peer.node, at, &failed, &mut last);
                }
            },
        }
        tokio::select! {
            () = sleep(backoff.wait(&timing)) => {}
            _ = until(&mut is_connected, true) => {}
            _ = address.changed() => {}
        }
    }
}

/// Waits until this is so. False: nobody will say so any more.
async fn until(what: &mut watch::Receiver<bool>, is_so: bool) -> bool {
    what.wait_for(|it| *it == is_so).await.is_ok()
}

/// Says once why a peer is not reached, and again when the reason is another.
fn tell(node: &NodeName, address: SocketAddr, failed: &Failed, last: &mut Option<FailedFor>) {
    if last.replace(failed.why) == Some(failed.why) {
        debug!(peer = %node, %address, reason = failed.why.label(), %failed, "still no connection to a peer");
    } else if failed.why == FailedFor::RefusedByPeer(RefusedFor::Duplicate) {
        debug!(peer = %node, %address, "the peer has opened a connection meanwhile");
    } else {
        warn!(peer = %node, %address, reason = failed.why.label(), %failed, "no connection to a peer");
    }
}

async fn attempt(shared: &Shared, address: SocketAddr) -> Result<(Greeted, u64), Failed> {
    let ours = shared.ours();
    let greeted = timeout(HANDSHAKE, open(shared.source, address, &ours)).await;
    let late = |_| Err(Failed::timeout("the peer took too long to answer"));
    Ok((greeted.unwrap_or_else(late)?, ours.hello.dial))
}

/// Serves a connection to its end. False: it was not kept at all.
async fn connected(shared: &Arc<Shared>, greeted: Greeted, dial: u64) -> bool {
    let link = match shared.enter(&greeted, dial) {
        Ok(link) => link,
        Err(refused) => {
            debug!(peer = %greeted.theirs.identity, why = refused.why.label(), "a connection is not kept");
            let why = match refused.why {
                RefusedFor::Leaving => Goodbye::Leaving,
                RefusedFor::Duplicate => Goodbye::Replaced,
                RefusedFor::Greeting
                | RefusedFor::Cluster
                | RefusedFor::Name
                | RefusedFor::OwnName
                | RefusedFor::Version
                | RefusedFor::Full
                | RefusedFor::Other => Goodbye::Other,
            };
            leave(greeted, why, shared.epochs.known()).await;
            return false;
        }
    };
    info!(peer = ?link.member, software = link.member.software(), "connected to a peer");
    let Greeted { stream, frames, .. } = greeted;
    let failed = serve(&link, stream, frames, shared.context()).await;
    shared.leave(&link, &failed);
    info!(peer = %link.member.identity(), reason = failed.why.label(), %failed, "the connection to a peer has ended");
    true
}
