//! Keeps a node's own Lease: writes it when there is something new, and else slowly.
//!
//! A write is conditional on what was read, so what others ask of the node in its Lease stays, and is
//! handed on.

use core::time::Duration;
use std::io;

use kube::Client;
use kube::api::DynamicObject;
use lns_cluster::{Identity, IdentityError, NodeName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::NodeState;
use crate::api::{Failure, LeaseApi};
use crate::driver::StartError;
use crate::hint::{Hint, Watch};
use crate::incarnation::Origin;
use crate::limits::{ANNOUNCE_PATIENCE, ANNOUNCE_PAUSE, HINTS, NODE_LASTS, TRIES};
use crate::name::{ClusterName, LeaseName};
use crate::notes::Notes;
use crate::object::{self, Form};
use crate::trouble::Trouble;
use crate::{chance, clock};

/// Whose Lease it is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where it is.
    pub namespace: String,
    /// Of which cluster the node is.
    pub cluster: ClusterName,
    /// Which node.
    pub node: NodeName,
    /// The pod's uid, where there is a pod.
    pub pod_uid: Option<String>,
    /// As whom fields of it are managed.
    pub manager: String,
    /// How often it is written when there is nothing new.
    pub renew: Duration,
}

/// A node's Lease that is kept.
#[derive(Debug)]
pub struct Announcing {
    /// What the node says of itself. Once this is dropped the Lease says that nobody is there, and the
    /// task ends.
    pub state: watch::Sender<NodeState>,
    /// What others ask of the node in its Lease: notes that are not its own.
    pub asked: watch::Receiver<Notes>,
    /// Why it cannot be written, if it cannot.
    pub trouble: watch::Receiver<Option<Trouble>>,
    /// The task.
    pub task: JoinHandle<()>,
}

struct Announcer {
    api: LeaseApi,
    node: NodeName,
    me: Identity,
    renew: Duration,
    state: watch::Receiver<NodeState>,
    /// The Lease as it was last written.
    lease: Option<DynamicObject>,
    hints: mpsc::Receiver<Hint>,
    asked: watch::Sender<Notes>,
    trouble: watch::Sender<Option<Trouble>>,
    _watch: AbortOnDropHandle<()>,
}

/// Keeps the Lease of this node, on the runtime that calls.
///
/// # Errors
/// There is no identity to write.
pub fn announce(
    config: NodeConfig,
    state: NodeState,
    client: Client,
) -> Result<Announcing, StartError> {
    let form = Form {
        name: LeaseName::node(&config.cluster, &config.node),
        namespace: config.namespace,
        labels: object::labels(&config.cluster.to_string(), "node"),
        lasts: config.renew.saturating_mul(NODE_LASTS),
    };
    let me = identity(&config.node, config.pod_uid.as_deref())?;
    let api = LeaseApi::new(client, form, &config.manager, ANNOUNCE_PATIENCE);
    let (hinting, hints) = mpsc::channel(HINTS);
    let watch_of_lease = Watch::new(api.objects().clone(), api.name(), config.renew, hinting);
    let (state, states) = watch::channel(state);
    let (ask, asked) = watch::channel(Notes::default());
    let (tell, trouble) = watch::channel(None);
    let announcer = Announcer {
        api,
        node: config.node,
        me,
        renew: config.renew,
        state: states,
        lease: None,
        hints,
        asked: ask,
        trouble: tell,
        _watch: AbortOnDropHandle::new(tokio::spawn(watch_of_lease.run())),
    };
    Ok(Announcing {
        state,
        asked,
        trouble,
        task: tokio::spawn(announcer.run()),
    })
}

fn identity(node: &NodeName, pod_uid: Option<&str>) -> Result<Identity, StartError> {
    let origin = Origin::new(node.clone(), pod_uid).map_err(|error: io::Error| error)?;
    let identity: Result<Identity, IdentityError> = origin.next();
    Ok(identity?)
}

impl Announcer {
    async fn run(mut self) {
        loop {
            let state = self.state.borrow_and_update().clone();
            let holder = Some(self.me.to_string());
            let result = self.write(&state, holder).await;
            let has_failed = result.is_err();
            self.tell(result);
            if !self.rests(&state, has_failed).await {
                break;
            }
        }
        let mut last = self.state.borrow().clone();
        last.ready = false;
        let result = self.write(&last, None).await;
        self.tell(result);
    }

    /// Writes over what is there. What others have written meanwhile is read first.
    async fn write(&mut self, state: &NodeState, holder: Option<String>) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let base = match self.lease.take() {
                Some(lease) => Some(lease),
                None => self.api.get().await?,
            };
            let content = state.content(&self.node, holder.clone());
            if let Some(lease) = self.api.put(content, base.as_ref(), &state.notes).await? {
                let notes = object::notes(&lease).without(&state.notes);
                self.asked.send_if_modified(|asked| {
                    let is_new = *asked != notes;
                    *asked = notes;
                    is_new
                });
                self.lease = Some(lease);
                return Ok(());
            }
        }
        // Somebody writes faster than we do: the next time.
        Ok(())
    }

    fn tell(&self, result: Result<(), Failure>) {
        let before = self.trouble.borrow().clone();
        let after = Trouble::after(before, result.err(), clock::now());
        self.trouble.send_if_modified(|trouble| {
            let is_new = *trouble != after;
            *trouble = after;
            is_new
        });
    }

    /// Until there is something to write. Not: the node ends.
    async fn rests(&mut self, written: &NodeState, has_failed: bool) -> bool {
        let began = Instant::now();
        let renew = if has_failed {
            self.renew.mul_f64(0.25)
        } else {
            self.renew
        };
        let due = tokio::time::sleep(renew.saturating_add(chance::up_to(renew.mul_f64(0.25))));
        let mut due = core::pin::pin!(due);
        let goes_on = loop {
            tokio::select! {
                () = &mut due => break true,
                changed = self.state.changed() => {
                    if changed.is_err() {
                        break false;
                    }
                    if self.state.borrow_and_update().differs(written) {
                        break true;
                    }
                }
                Some(hint) = self.hints.recv() => if self.is_news(hint.as_ref()) {
                    self.lease = None;
                    break true;
                },
            }
        };
        if goes_on {
            tokio::time::sleep_until(began.checked_add(ANNOUNCE_PAUSE).unwrap_or(began)).await;
        }
        goes_on
    }

    /// Whether somebody else has written into the Lease, as far as the watch knows.
    fn is_news(&self, hint: Option<&DynamicObject>) -> bool {
        let version = |lease: &DynamicObject| lease.metadata.resource_version.clone();
        let gist = |lease: &DynamicObject| {
            (
                lease.metadata.annotations.clone(),
                object::holder(lease).map(str::to_owned),
            )
        };
        let ours = self.lease.as_ref();
        hint.and_then(version) != ours.and_then(version) && hint.map(gist) != ours.map(gist)
    }
}
