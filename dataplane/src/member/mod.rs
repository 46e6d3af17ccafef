//! A node as a member of a cluster (spec: cluster): what decides is in `lns_cluster`, what it decides about in
//! `lns_node`; here are the hands between them and the Lease, the store, the kernel's gate and the other members.
//!
//! | file | what |
//! |---|---|
//! | `crew` | the task that hears everybody and carries out what is decided |
//! | `forwarder` | hands to the master what is its own |
//! | `fence` | the thread that holds the gate in the kernel |
//! | `stamp` | until when this process may say what only a master says |
//! | `view` | what is shown of it |
//!
//! [`Berth::prepare`] has all that must be there before a packet moves: the gate, closed, and the store's
//! handle; [`Berth::begin`] starts the task, when there is a control task to speak to.

mod crew;
mod fence;
mod forwarder;
mod stamp;
mod view;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;
use lns_cluster::member::Times;
use lns_cluster::{NodeName, Profile};
use lns_datapath::{HandingConfig, Punt};
use lns_gate::Plan;
use lns_lease::{
    Announcing, Candidates, ClusterName, Directory, LeaseName, NodeConfig, NodeState, Running,
};
use lns_peers::data::PathMtu;
use lns_peers::wire::{AdminAnswer, AdminQuery, Answer, Capabilities, Failure, Question};
use lns_peers::{ClusterId, Credentials, Epochs, Events, Peers, Responder, Speaker};
use lns_store::Redis;
use lns_store::writer::{Settings, Writer};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::crew::Role;
use self::crew::{Command, Master};
use self::crew::{Crew, Parts};
use self::fence::Fence;
pub(crate) use self::forwarder::Forwarder;
pub(crate) use self::stamp::Stamp;
pub(crate) use self::view::View;
use crate::admin::StatsSource;
use crate::cli::VERSION;
use crate::config::ClusterSetup;
use crate::handover::Keys;
use crate::run::control::Asker;
use crate::run::keeper::{Finalized, Keeper, StoreClock, StoreNews};

/// As whom fields of objects are managed.
const MANAGER: &str = "lns-dataplane";

/// How often a node's own Lease is written when there is nothing new: information, no fence.
const RENEW: Duration = Duration::from_secs(10);

/// Questions of other members about what the admin interface has: they wait for their answers, and are few.
const QUERIES: usize = 64;

/// Commands that wait. Those who give them wait, too.
const COMMANDS: usize = 4;

/// Why nothing is done any more.
const ENDING: &str = "lnsd is ending";

/// How long a node that ends has to leave the Lease to others. While the API server is away that does not come
/// about, and the others wait D.
const LEAVE: Duration = Duration::from_secs(5);

/// What a node is as a member.
pub(crate) struct Wants {
    /// Of which cluster.
    pub(crate) cluster: ClusterId,
    /// Which node.
    pub(crate) node: NodeName,
    /// The pod's uid, where there is a pod.
    pub(crate) pod_uid: Option<String>,
    /// Where the other members reach it.
    pub(crate) peer: SocketAddr,
    /// The API server, by a client of the election's own.
    pub(crate) client: Client,
    /// H, D and the rest.
    pub(crate) profile: Profile,
    /// S and the rest.
    pub(crate) times: Times,
    /// The store.
    pub(crate) store: lns_store::Config,
    /// How much its writer waits for.
    pub(crate) settings: Settings,
    /// What the gate is for.
    pub(crate) plan: Plan,
    /// Who it is for other members, and whom it believes.
    pub(crate) credentials: Credentials,
}

/// A member whose task has not begun.
pub(crate) struct Berth {
    cluster: ClusterId,
    node: NodeName,
    peer: SocketAddr,
    times: Times,
    redis: Redis,
    fence: Fence,
    stamp: Stamp,
    clock: StoreClock,
    store_news: mpsc::UnboundedReceiver<StoreNews>,
    election: Running,
    announcing: Announcing,
    directory: Directory,
    epochs: Epochs,
    peers: Peers,
    events: Events,
}

/// A member that runs.
#[derive(Debug)]
pub(crate) struct Membership {
    /// Ends when it must not.
    pub(crate) task: JoinHandle<()>,
    /// To see it, and to have it step down.
    pub(crate) desk: Desk,
    /// The way to the master.
    pub(crate) forwarder: Forwarder,
    /// What other members ask the admin interface, until somebody answers it.
    pub(crate) queries: Option<mpsc::Receiver<AskedByMember>>,
}

/// What another member asks the admin interface.
#[derive(Debug)]
pub(crate) struct AskedByMember {
    /// Which.
    pub(crate) from: NodeName,
    /// What.
    pub(crate) query: AdminQuery,
    responder: Responder,
}

impl AskedByMember {
    /// This is the answer.
    pub(crate) fn answer(self, answer: AdminAnswer) {
        self.responder.answer(Answer::Admin(answer));
    }

    /// This node is not the one to ask.
    pub(crate) fn fail(self) {
        self.responder.fail(Failure::NotMaster);
    }
}

/// What the admin interface has of a member.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    commands: mpsc::Sender<Command>,
    view: Arc<Mutex<View>>,
    lease: lns_lease::Handle,
    speaker: Speaker,
    master: Master,
    stamp: Stamp,
}

impl Berth {
    /// Has the gate made, closed, with the cluster's addresses on this node; the store's connection begun, and the
    /// peers' port taken.
    ///
    /// # Errors
    /// What cannot be had.
    pub(crate) async fn prepare(wants: Wants) -> Result<(Self, Keeper), String> {
        let fence = tokio::task::spawn_blocking(move || Fence::install(wants.plan))
            .await
            .map_err(|failed| failed.to_string())??;
        let listener = TcpListener::bind(wants.peer).await.map_err(|error| {
            format!(
                "cannot listen for other members at {}: {error} (--peer-address names an address of this node)",
                wants.peer
            )
        })?;
        let redis = Redis::start(wants.store).map_err(|reason| reason.to_string())?;
        let news = Arc::new(Notify::new());
        let wake = {
            let news = Arc::clone(&news);
            move || news.notify_one()
        };
        let writer = Writer::start(redis.clone(), wants.settings, wake);
        let (told, store_news) = mpsc::unbounded_channel();
        let clock = StoreClock::default();
        let keeper = Keeper::of_member(news, writer, told, clock.clone());
        let (election, announcing, directory) = elect(
            &wants.cluster,
            &wants.node,
            wants.pod_uid,
            wants.peer,
            wants.profile,
            wants.client,
        )?;
        let epochs = Epochs::default();
        let config = lns_peers::Config {
            cluster: wants.cluster.clone(),
            identity: election.handle.standing().borrow().me.clone(),
            capabilities: Capabilities::DATA,
            software: VERSION.to_owned(),
            path_mtu: PathMtu::default(),
            timing: lns_peers::Timing {
                linger: wants.times.forwards(),
                ..lns_peers::Timing::default()
            },
        };
        let (peers, events) = Peers::start(config, listener, wants.credentials, epochs.clone())
            .map_err(|error| format!("the peer channel cannot begin: {error}"))?;
        let berth = Self {
            cluster: wants.cluster,
            node: wants.node,
            peer: wants.peer,
            times: wants.times,
            redis,
            fence,
            stamp: Stamp::default(),
            clock,
            store_news,
            election,
            announcing,
            directory,
            epochs,
            peers,
            events,
        };
        Ok((berth, keeper))
    }

    /// What the control task looks at before it says what only a master says.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    /// How workers hand packets over to the other members, and take them in.
    pub(crate) fn handing(&self) -> HandingConfig {
        HandingConfig {
            listen: self.peer,
            seal: Arc::new(Keys(self.peers.data())),
        }
    }

    /// Starts the task that hears all of them and obeys.
    pub(crate) fn begin(
        self,
        asker: Asker,
        punts: mpsc::Sender<Punt>,
        roles: mpsc::Sender<Role>,
        setups: watch::Receiver<ClusterSetup>,
        stats: StatsSource,
    ) -> Membership {
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let view: Arc<Mutex<View>> = Arc::default();
        let master = Master::default();
        let desk = Desk {
            commands,
            view: Arc::clone(&view),
            lease: self.election.handle.clone(),
            speaker: self.peers.speaker(),
            master: master.clone(),
            stamp: self.stamp.clone(),
        };
        let (asks, queries) = mpsc::channel(QUERIES);
        let forwarder = Forwarder::new(self.peers.speaker(), self.epochs.clone(), master.clone());
        let setup = setups.borrow().clone();
        let crew = Crew::new(Parts {
            me: self.node,
            peer: self.peer,
            owner: self.cluster.uid().into(),
            times: self.times,
            lease: self.election.handle,
            steps: self.election.transitions,
            wanted: self.election.questions,
            announcing: self.announcing,
            directory: self.directory,
            peers: self.peers,
            events: self.events,
            epochs: self.epochs,
            redis: self.redis,
            store_news: self.store_news,
            clock: self.clock,
            fence: self.fence,
            stamp: self.stamp,
            asker,
            punts,
            roles,
            cluster: self.cluster.clone(),
            setup,
            setups,
            commands: commanded,
            stats,
            queried: asks,
            master,
            view,
        });
        Membership {
            task: tokio::spawn(crew.serve()),
            desk,
            forwarder,
            queries: Some(queries),
        }
    }
}

/// Begins to stand in the election, to say what this node is, and to hear of the others.
fn elect(
    cluster: &ClusterId,
    node: &NodeName,
    pod_uid: Option<String>,
    peer: SocketAddr,
    profile: Profile,
    client: Client,
) -> Result<(Running, Announcing, Directory), String> {
    let name = ClusterName::new(cluster.name()).map_err(|error| error.to_string())?;
    let labels = [
        (lns_lease::CLUSTER_LABEL, cluster.name()),
        (lns_lease::KIND_LABEL, "master"),
    ];
    let lease = lns_lease::Config {
        namespace: cluster.namespace().to_owned(),
        lease: LeaseName::master(&name),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        manager: MANAGER.to_owned(),
        node: node.clone(),
        pod_uid: pod_uid.clone(),
        profile,
        candidates: Candidates::Rostered,
    };
    let election = lns_lease::start(lease, client.clone())
        .map_err(|error| format!("the election cannot begin: {error}"))?;
    let own = NodeConfig {
        namespace: cluster.namespace().to_owned(),
        cluster: name.clone(),
        node: node.clone(),
        pod_uid,
        manager: MANAGER.to_owned(),
        renew: RENEW,
    };
    let state = NodeState {
        version: VERSION.to_owned(),
        peer: Some(peer),
        ..NodeState::default()
    };
    let announcing =
        lns_lease::announce(own, state, client.clone()).map_err(|error| error.to_string())?;
    let directory = lns_lease::directory(cluster.namespace(), name, client);
    Ok((election, announcing, directory))
}

impl Desk {
    /// The cluster, as this member sees it.
    pub(crate) fn view(&self) -> View {
        self.view
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it serves subscribers: it has the cluster's records, and they are young enough to forward by.
    pub(crate) fn is_ready(&self) -> bool {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.loaded && view.data_seconds.is_some()
    }

    /// Whether it may answer for the cluster now.
    pub(crate) fn serves(&self) -> bool {
        self.stamp.is_valid(lns_datapath::clock::now())
    }

    /// Who is master, where that is another one.
    pub(crate) fn other_master(&self) -> Option<NodeName> {
        self.master.other()
    }

    /// Asks the admin interface of another member.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask_admin(
        &self,
        whom: &NodeName,
        query: AdminQuery,
    ) -> Result<AdminAnswer, Failure> {
        let answer = self.speaker.ask(whom, Question::Admin(query)).await?;
        match answer.into_value() {
            Answer::Admin(answer) => Ok(answer),
            Answer::Position(_) | Answer::Records(_) | Answer::Dynamic(_) => Err(Failure::Mismatch),
        }
    }

    /// Whether the election's task hangs.
    pub(crate) fn is_stuck(&self) -> bool {
        self.lease.is_stuck(lns_datapath::clock::now())
    }

    /// A planned switchover.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn step_down(&self) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::StepDown(answer)).await?;
        answered.await.map_err(|_| ENDING.to_owned())?
    }

    /// Ends what lets the release before be gone back to.
    ///
    /// # Errors
    /// Why not, and what is to be done.
    pub(crate) async fn finalize(&self) -> Result<Finalized, String> {
        let (answer, answered) = oneshot::channel();
        self.tell(Command::Finalize(answer)).await?;
        answered.await.map_err(|_| ENDING.to_owned())?
    }

    async fn tell(&self, command: Command) -> Result<(), String> {
        let told = self.commands.send(command).await;
        told.map_err(|_| ENDING.to_owned())
    }

    /// Leaves the Lease to others, and waits until nothing is held any more, or for long enough.
    pub(crate) async fn leave(&self) {
        let (done, left) = oneshot::channel();
        let leaving = async {
            if self.commands.send(Command::Leave(done)).await.is_ok() {
                let _gone = left.await;
            }
        };
        if timeout(LEAVE, leaving).await.is_err() {
            tracing::warn!("the Lease could not be released: the others wait until it has lapsed");
        }
    }
}
