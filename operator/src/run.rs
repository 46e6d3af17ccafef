//! From the start to the end: the API server is followed by every replica, and one of them, elected, reconciles.
//!
//! A replica that is no longer the one that writes ends, and is started again by its kubelet: what it had under way
//! was conditional on nothing that another one could have changed, and ends with the process.

use core::convert::Infallible;
use core::fmt;
use core::pin::pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::{FutureExt as _, StreamExt as _};
use kube::api::DynamicObject;
use kube::runtime::applier;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config, ResourceExt as _};
use lns_cluster::{NodeName, Profile};
use lns_lease::{Candidates, LeaseName, Running};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::RunArguments;
use crate::cluster::{self, Context, jittered};
use crate::dispatch::dispatch;
use crate::error::Error;
use crate::http::{self, Answers};
use crate::labels::MANAGER;
use crate::metrics::Metrics;
use crate::policy;
use crate::settings::Settings;
use crate::world::{Changes, World};

/// Objects that are looked at at once, of each kind.
const AT_ONCE: u16 = 8;

/// What changes within this time is looked at once.
const TOGETHER: Duration = Duration::from_millis(50);

/// The shortest and the longest time until an object is tried again that could not be reconciled.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// How long a replica that ends has to hand over.
const LEAVE: Duration = Duration::from_secs(5);

/// Why the operator has ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What it was given is of no use.
    BadInput(String),
    /// Something else.
    Failed(String),
}

impl Failure {
    /// What the process ends with.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Runs until SIGTERM, or until another replica has taken over.
///
/// # Errors
/// What is wrong with what it was given, or what it cannot do without.
pub(crate) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let settings = Settings::read(&arguments.dataplane)
        .map_err(|error| Failure::BadInput(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(error.to_string()))?;
    runtime.block_on(serve(arguments, settings))
}

async fn serve(arguments: &RunArguments, settings: Settings) -> Result<(), Failure> {
    let api_server = api_server(arguments.kubeconfig.as_deref()).await?;
    // A renewal a second, and an installation that need not wait for most of a minute until somebody may write.
    let profile = Profile::DEFAULT;
    let replica = replica(arguments.replica.as_deref())?;
    let election = elect(arguments, &replica, &api_server, profile)?;
    let client = Client::try_from(api_server).map_err(|error| {
        Failure::BadInput(format!("the API server cannot be spoken with: {error}"))
    })?;
    let metrics = Metrics::new();
    let (told, is_ready) = watch::channel(false);
    let handle = election.handle.clone();
    let answers = Answers {
        metrics: metrics.clone(),
        is_ready,
        is_alive: Arc::new(move || !handle.is_stuck(lns_lease::clock::now())),
    };
    let listen = arguments.listen;
    let http = http::serve(listen, answers).map(move |ended| format!("{listen}: {}", words(ended)));
    let (world, changes) = World::follow(client.clone(), &arguments.namespace);
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: Some(replica.to_string()),
    };
    let context = Arc::new(Context {
        world,
        settings,
        recorder: Recorder::new(client, reporter),
        metrics: metrics.clone(),
        secrets: Mutex::default(),
        applied: Mutex::default(),
        tries: Mutex::default(),
        ending: Mutex::default(),
    });
    info!(namespace = arguments.namespace, %replica, image = context.settings.image, "the operator runs");
    // Whoever is not elected has nothing to do but to be ready; answering probes is part of that.
    let _unwanted = told.send(true);
    let mut http = pin!(http);
    tokio::select! {
        ended = &mut http => return Err(Failure::Failed(ended)),
        elected = elected(&election) => elected?,
        () = terminated() => return leave(election).await,
    }
    metrics.lead(true);
    info!("this replica is the one that writes");
    tokio::select! {
        // Whoever was held up looks first whether it may still write.
        biased;
        () = lost(&election) => Err(Failure::Failed("another replica may write from now on: this one begins anew".to_owned())),
        () = terminated() => leave(election).await,
        ended = &mut http => Err(Failure::Failed(ended)),
        () = control(context, changes) => Err(Failure::Failed("the controllers have ended".to_owned())),
    }
}

fn words(ended: io::Result<()>) -> String {
    match ended {
        Ok(()) => "HTTP has ended".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// How the API server is reached.
pub(crate) async fn api_server(kubeconfig: Option<&Path>) -> Result<Config, Failure> {
    let config = lns_lease::config(kubeconfig).await;
    config.map_err(Failure::BadInput)
}

fn replica(named: Option<&str>) -> Result<NodeName, Failure> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = named.unwrap_or(host.trim());
    NodeName::new(name).map_err(|error| Failure::BadInput(format!("--replica {name:?}: {error}")))
}

fn elect(
    arguments: &RunArguments,
    replica: &NodeName,
    api_server: &Config,
    profile: Profile,
) -> Result<Running, Failure> {
    let client = lns_lease::client(api_server.clone(), &profile).map_err(|error| {
        Failure::BadInput(format!("the API server cannot be spoken with: {error}"))
    })?;
    let config = lns_lease::Config {
        namespace: arguments.namespace.clone(),
        lease: LeaseName::new(MANAGER).map_err(|error| Failure::Failed(error.to_string()))?,
        labels: BTreeMap::new(),
        manager: MANAGER.to_owned(),
        node: replica.clone(),
        pod_uid: arguments.pod_uid.clone(),
        profile,
        candidates: Candidates::Open,
    };
    lns_lease::start(config, client).map_err(|error| Failure::Failed(error.to_string()))
}

/// Until this replica may write.
async fn elected(election: &Running) -> Result<(), Failure> {
    let mut standing = election.handle.standing();
    loop {
        if election.handle.authority().is_some() {
            return Ok(());
        }
        if standing.changed().await.is_err() {
            return Err(Failure::Failed("the election's task has ended".to_owned()));
        }
    }
}

/// Until it may not any more.
async fn lost(election: &Running) {
    let mut standing = election.handle.standing();
    loop {
        let Some(authority) = election.handle.authority() else {
            return;
        };
        let left = authority.until.since(lns_lease::clock::now());
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            changed = standing.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn terminated() {
    let both = signal(SignalKind::terminate())
        .and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    match both {
        Ok((mut term, mut interrupt)) => {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        Err(error) => {
            error!("signals cannot be heard: {error}");
            core::future::pending::<()>().await;
        }
    }
}

/// Hands over, so that another replica need not wait.
async fn leave(election: Running) -> Result<(), Failure> {
    let leaving = async {
        let epoch = election.handle.authority().map(|it| it.epoch);
        let _ended = election.handle.stop().await;
        if let Some(epoch) = epoch {
            // Nothing is under way: the controllers were dropped.
            let _ended = election.handle.closed(epoch).await;
        }
        let _ended = election.task.await;
    };
    if tokio::time::timeout(LEAVE, leaving).await.is_err() {
        warn!("the Lease could not be released: the other replica waits until it has lapsed");
    }
    Ok(())
}

/// Reconciles until the process ends.
async fn control(context: Arc<Context>, changes: Changes) {
    let (dispatch, queues) = dispatch(changes, &context.world.namespace);
    let config = || {
        controller::Config::default()
            .concurrency(AT_ONCE)
            .debounce(TOGETHER)
    };
    let of_clusters = applier(
        |object, context| cluster::reconcile(object, context).boxed(),
        failed,
        Arc::clone(&context),
        context.world.clusters.clone(),
        queues.clusters.map(Ok::<_, Infallible>),
        config(),
    );
    let of_policies = applier(
        |object, context| policy::reconcile(object, context).boxed(),
        failed,
        Arc::clone(&context),
        context.world.policies.clone(),
        queues.policies.map(Ok::<_, Infallible>),
        config(),
    );
    let reconciled = futures::stream::select(of_clusters, of_policies).for_each(|result| async {
        match result {
            // It was deleted meanwhile; or it was told when it failed.
            Ok(_)
            | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) =>
                {}
            Err(problem) => warn!("{problem}"),
        }
    });
    let reconcile = async {
        // What was not read yet would be taken for what is not there.
        context.world.read().await;
        reconciled.await;
    };
    tokio::join!(reconcile, dispatch.run(Arc::clone(&context)));
}

/// When an object that could not be reconciled is tried again: each time about twice as late.
#[allow(clippy::needless_pass_by_value, reason = "this is how it is called")]
fn failed(object: Arc<DynamicObject>, problem: &Error, context: Arc<Context>) -> Action {
    let name = object.name_any();
    let tries = context.failures(&name);
    warn!(
        name,
        category = problem.category(),
        tries,
        "not reconciled: {problem}"
    );
    let (shortest, longest) = AGAIN;
    let pause = shortest.saturating_mul(1 << tries.min(16)).min(longest);
    Action::requeue(jittered(pause))
}
