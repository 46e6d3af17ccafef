//! How a driver begins: what its election is about, and what whoever starts it gets.

use core::sync::atomic::AtomicU64;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use kube::Client;
use lns_cluster::{Ask, Candidacy, Epoch, IdentityError, MEMBERS, NodeName, Profile};
use lns_tables::time::Instant;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::{Channels, Driver, Handle, Seen, Standing, Told, elector};
use crate::api::LeaseApi;
use crate::clock;
use crate::hint::Watch;
use crate::incarnation::Origin;
use crate::limits::{COMMANDS, HINTS, TRANSITIONS};
use crate::name::LeaseName;
use crate::object::Form;

/// What an election is about, and who takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the Lease is.
    pub namespace: String,
    /// What it is called.
    pub lease: LeaseName,
    /// Labels that the Lease shall have.
    pub labels: BTreeMap<String, String>,
    /// As whom fields of it are managed: `lns-dataplane`, `lns-operator`.
    pub manager: String,
    /// Which node this is; of replicas that no node is named after, which pod.
    pub node: NodeName,
    /// The pod's uid, where there is a pod.
    pub pod_uid: Option<String>,
    /// H, D and the rest.
    pub profile: Profile,
    /// Who may acquire.
    pub candidates: Candidates,
}

/// Who may acquire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Candidates {
    /// The nodes of the roster in the Lease. They can promise, and so carry a master through an outage of
    /// the API server.
    Rostered,
    /// Whoever can write the Lease, for replicas that nobody lists. Authority ends H after the last
    /// renewal.
    Open,
}

/// Why a driver does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The machine does not say which of its boots this is.
    #[error("the boot id of the machine cannot be read: {0}")]
    BootId(#[from] io::Error),
    /// There is no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A question for a promise, to be carried to a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// To whom.
    pub to: NodeName,
    /// What.
    pub ask: Ask,
}

/// A driver that runs.
#[derive(Debug)]
pub struct Running {
    /// To speak to it.
    pub handle: Handle,
    /// Its steps, one by one.
    pub transitions: mpsc::Receiver<Told>,
    /// Its questions to members. Whoever has no channel to them drops this.
    pub questions: mpsc::Receiver<Question>,
    /// Its task. It ends by itself when it was stopped, or when no handle is left; what ends it otherwise
    /// is a defect, and a reason for the process to end.
    pub task: JoinHandle<()>,
}

/// Starts a driver on the runtime that calls, with a client of its own ([`client`](crate::client)).
///
/// # Errors
/// There is no identity to stand with.
pub fn start(config: Config, client: Client) -> Result<Running, StartError> {
    let timing = config.profile.timing();
    let form = Form {
        name: config.lease,
        namespace: config.namespace,
        labels: config.labels,
        lasts: timing.wait,
    };
    let api = LeaseApi::new(client, form, &config.manager, timing.patience);
    let (hinting, hints) = mpsc::channel(HINTS);
    let watch_of_lease = Watch::new(api.objects().clone(), api.name(), timing.renew, hinting);
    let origin = Origin::new(config.node, config.pod_uid.as_deref())?;
    let elector = elector(&origin, config.profile, config.candidates)?;
    let standing = Standing {
        me: elector.me().clone(),
        state: elector.state(),
        authority: None,
        closing: None,
        since: clock::now(),
        why: None,
        seen: Seen::default(),
        trouble: None,
    };
    let (publish, published) = watch::channel(standing.clone());
    let (command, commands) = mpsc::channel(COMMANDS);
    let (tell, transitions) = mpsc::channel(TRANSITIONS);
    let (question, questions) = mpsc::channel(MEMBERS);
    let alive = Arc::new(AtomicU64::new(clock::now().as_nanos()));
    let driver = Driver {
        origin,
        profile: config.profile,
        candidates: config.candidates,
        elector,
        api,
        flight: None,
        breath: Instant::ZERO,
        recent: VecDeque::new(),
        hint_at: None,
        wanted: None,
        heard: Epoch::NONE,
        candidacy: Candidacy::Full,
        leaving: None,
        standing,
        untold: 0,
        channels: Channels {
            commands,
            hints,
            transitions: tell,
            questions: question,
            standing: publish,
            alive: Arc::clone(&alive),
            _watch: AbortOnDropHandle::new(tokio::spawn(watch_of_lease.run())),
        },
    };
    Ok(Running {
        handle: Handle {
            commands: command,
            standing: published,
            alive,
            hold: timing.hold,
        },
        transitions,
        questions,
        task: tokio::spawn(driver.run()),
    })
}
