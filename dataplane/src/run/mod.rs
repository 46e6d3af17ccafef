//! The serving process, from start to end.
//!
//! Start: manifest, admin sockets (which also tell whether another process is running), workers, RADIUS,
//! machine, control task; only then `/readyz` says yes. What fails says so in one line, and what was
//! set up before is taken back. End: the reverse, after the LACs were told.

mod cluster;
pub(crate) mod comparison;
pub(crate) mod control;
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod reload;
pub(crate) mod situation;
mod source;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::{fs, process};

use lns_api::{Manifest, read_manifest};
use lns_cluster::member::Times;
use lns_datapath::{Datapath, FlowConfig, HandingConfig, Home, Marks, Punt, PuntSink, clock};
use lns_gate::Mark;
use lns_node::Node;
use lns_objects::Objects;
use notify::RecommendedWatcher;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use self::control::{Asker, Control};
use self::keeper::Keeper;
use self::reload::{Change, Hands, Reloader};
use self::situation::{Phase, Situation, unix_seconds};
use self::source::{First, Source};
use crate::admin::{self, Admin, StatsSource, relay, server};
use crate::cli::{ObjectName, RunArguments, VERSION};
use crate::config::{ClusterSetup, Setup};
use crate::failure::Failure;
use crate::host::{Host, HostError, INTERFACE};
use crate::log::{self, Ring};
use crate::member::{Berth, Forwarder, Membership, Role, Stamp};
use crate::radius::dynamic::Desk;
use crate::radius::line::Line;
use crate::radius::service::{Service, service};

/// How long LACs have to acknowledge that the tunnel is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// How long RADIUS servers then have to take the last records. Those that they do not take are on disk.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// How often it is looked whether all workers run.
const WORKER_INTERVAL: Duration = Duration::from_secs(1);

/// Changes of this node's role that wait for RADIUS.
const ROLES: usize = 4;

/// Threads beside the workers: control task and admin interface.
const THREADS: usize = 2;

/// `lnsd run`
pub(crate) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let origin = Origin::of(arguments)?;
    let logs = log::start(arguments.log_format);
    runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("lnsd-control")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the runtime", error))?
        .block_on(serve(arguments, origin, logs))
}

/// Where the configuration comes from.
enum Origin {
    /// A file or folder, which was read.
    File(PathBuf, Box<Manifest>),
    /// The objects of an API server, of which this is a member.
    Cluster(ObjectName),
}

impl Origin {
    fn of(arguments: &RunArguments) -> Result<Self, Failure> {
        match (&arguments.manifest, &arguments.member.cluster) {
            (Some(path), _) => {
                let manifest = read_manifest(path).map_err(|problems| {
                    Failure::BadInput(problems.iter().map(ToString::to_string).collect())
                })?;
                Ok(Self::File(path.clone(), Box::new(manifest)))
            }
            (None, Some(cluster)) => Ok(Self::Cluster(cluster.clone())),
            (None, None) => Err(Failure::bad_input(
                "neither --manifest nor --cluster is given",
            )),
        }
    }
}

async fn serve(arguments: &RunArguments, origin: Origin, logs: Arc<Ring>) -> Result<(), Failure> {
    let signal = |kind| signal(kind).map_err(|error| Failure::failed("cannot take signals", error));
    let mut ends = Ends {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        quit: signal(SignalKind::quit())?,
    };
    let hangups = signal(SignalKind::hangup())?;
    let socket = arguments.state.socket();
    let sockets = (
        server::bind_unix(&socket)?,
        server::bind_tcp(arguments.admin).await?,
    );
    let ended = match Box::pin(begin(arguments, origin, &mut ends)).await {
        Ok(Some(beginning)) => {
            match Box::pin(Process::start(arguments, beginning, sockets, hangups, logs)).await {
                Ok(process) => process.serve(&mut ends).await,
                Err(failure) => Err(failure),
            }
        }
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    // Gone or not, the next start copes with it.
    let _leftover = fs::remove_file(&socket);
    ended
}

/// The signals that end the process.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// Which of them, and what it asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// The LACs are told, and everything is taken down.
    Drain(&'static str),
    /// Nobody is told anything: the next start goes on with what is up.
    Leave,
}

impl Ends {
    /// Waits for one of them, and says which it was.
    async fn wait(&mut self) -> Cause {
        tokio::select! {
            _ = self.terminate.recv() => Cause::Drain("SIGTERM"),
            _ = self.interrupt.recv() => Cause::Drain("SIGINT"),
            _ = self.quit.recv() => Cause::Leave,
        }
    }
}

/// Everything that runs.
struct Process {
    asker: Asker,
    situation: Arc<Situation>,
    datapath: Arc<Datapath>,
    control: JoinHandle<()>,
    radius_ended: oneshot::Receiver<()>,
    reloader: JoinHandle<Reloader>,
    hangups: JoinHandle<()>,
    admin: [JoinHandle<()>; 2],
    /// Who tells of changes of the file.
    watcher: Option<RecommendedWatcher>,
    /// Of a member of a cluster.
    member: Option<Membership>,
}

/// What the process begins with.
struct Beginning {
    manifest: Manifest,
    setup: Setup,
    node: Node,
    keeper: Keeper,
    source: Source,
    /// Of a member of a cluster.
    member: Option<Joining>,
}

/// What a member begins with besides.
struct Joining {
    berth: Berth,
    sysctls: Vec<(String, &'static str)>,
    setups: watch::Receiver<ClusterSetup>,
}

impl Joining {
    /// Has the member begin: it, and what the control task has of it.
    fn begin(
        self,
        asker: Asker,
        punts: mpsc::Sender<Punt>,
        roles: mpsc::Sender<Role>,
        stats: StatsSource,
    ) -> (Membership, (Stamp, Forwarder)) {
        let stamp = self.berth.stamp();
        let member = self.berth.begin(asker, punts, roles, self.setups, stats);
        let voice = (stamp, member.forwarder.clone());
        (member, voice)
    }
}

impl Process {
    async fn start(
        arguments: &RunArguments,
        beginning: Beginning,
        sockets: (UnixListener, TcpListener),
        hangups: Signal,
        logs: Arc<Ring>,
    ) -> Result<Self, Failure> {
        let (manifest, setup, node) = (beginning.manifest, beginning.setup, beginning.node);
        let (source, member) = (beginning.source, beginning.member);
        let is_alone = member.is_none();
        let state = &arguments.state.directory;
        let handing = member.as_ref().map(|joining| joining.berth.handing());
        let (punt, punts) = mpsc::channel(control::PUNT_QUEUE);
        let (datapath, path) = start_datapath(&setup, &node, punt.clone(), handing)?;
        let (radius, line, radius_ended) = start_radius(state, &setup, is_alone).await?;
        let (asker, inputs) = control::inputs(punts);
        let desk = start_desk(&asker, &setup).await?;
        let sysctls = member.as_ref().map(|it| it.sysctls.as_slice());
        let places = (state.as_path(), arguments.sysctls.as_path());
        let host = prepare(places, &setup, sysctls.unwrap_or_default()).await?;
        announce(&manifest, &setup, arguments);
        let (role, roles) = mpsc::channel(ROLES);
        let joined =
            member.map(|joining| joining.begin(asker.clone(), punt, role, stats_of(&datapath)));
        let (mut member, voice) = joined.unzip();

        let (reach, reaches) = mpsc::channel(control::REACH_QUEUE);
        let control = Control::new(node, path, reach, line, beginning.keeper, voice);
        let control = tokio::spawn(control.serve(inputs));
        let situation = situation_of(&source, &manifest);
        let (comparer, questions) = reload::comparisons();
        let admin = Admin {
            asker: asker.clone(),
            situation: Arc::clone(&situation),
            stats: stats_of(&datapath),
            flows: datapath.flows(),
            comparer,
            radius: radius.asker(),
            dynamic: desk.figures(),
            logs,
            member: member.as_ref().map(|member| member.desk.clone()),
        };
        if let Some(queries) = member.as_mut().and_then(|member| member.queries.take()) {
            // Ends with the member's task.
            tokio::spawn(relay::serve(admin.clone(), queries));
        }
        let admin = serve_admin(sockets, admin);
        let (change, changes) = mpsc::channel(1);
        let watcher = watch(&source, change.clone());
        let reloader = Reloader::new(
            source,
            manifest,
            setup,
            host,
            Hands {
                asker: asker.clone(),
                flows: datapath.flows(),
                radius,
                desk,
            },
            Arc::clone(&situation),
        );
        let reloader = tokio::spawn(reloader.serve(changes, questions, reaches, roles));
        let hangups = tokio::spawn(forward(hangups, change));
        situation.enter(Phase::Serving);
        Ok(Self {
            asker,
            situation,
            datapath,
            control,
            radius_ended,
            reloader,
            hangups,
            admin,
            watcher,
            member,
        })
    }

    /// Serves until a signal, or until a part that must not end has ended.
    async fn serve(mut self, ends: &mut Ends) -> Result<(), Failure> {
        let [unix, tcp] = &mut self.admin;
        let mut cause = Cause::Leave;
        let failed = tokio::select! {
            signal = ends.wait() => {
                cause = signal;
                None
            }
            _ = &mut self.control => Some("the control task has ended"),
            _ = &mut self.radius_ended => Some("the thread of RADIUS has ended"),
            _ = &mut self.reloader => Some("the reload task has ended"),
            _ = unix => Some("the admin socket has ended"),
            _ = tcp => Some("the admin interface has ended"),
            () = any_ended(&self.datapath) => Some("a worker has ended"),
            () = ended(&mut self.member) => Some("the task of the member has ended"),
        };
        if let Some(what) = failed {
            // What is left on the machine is replaced by the next start.
            return Err(Failure::Failed(format!(
                "{what}, which must not happen: please report it with the lines above"
            )));
        }
        if self.member.is_some() {
            return self.leave_cluster(cause, ends).await;
        }
        let Cause::Drain(cause) = cause else {
            info!("ended by SIGQUIT: nobody is told, and the next start goes on with what is up");
            self.leave().await;
            return Ok(());
        };
        self.situation.enter(Phase::Draining);
        info!(
            cause,
            "ending: telling the LACs; a second signal ends at once"
        );
        tokio::select! {
            () = self.drain() => {}
            cause = ends.wait() => {
                warn!(?cause, "ended at once: not every LAC was told, and rules stay until the next start");
                process::exit(1);
            }
        }
        self.end().await;
        info!("ended");
        Ok(())
    }

    /// Tells each LAC, and waits for the answers for a while; then hands over what RADIUS is to be told.
    async fn drain(&self) {
        self.drain_tunnels().await;
        let flushed =
            |control: &mut Control, _| control.keeper.is_empty() && control.radius.is_flushed();
        while self.asker.ask(flushed).await == Ok(false) {
            sleep(DRAIN_INTERVAL).await;
        }
    }

    async fn drain_tunnels(&self) {
        let deadline = Instant::now() + DRAIN;
        let mut drained = self
            .asker
            .ask(|control, now| control.node.handle_drain(now))
            .await
            .map(|()| false);
        while drained == Ok(false) {
            if Instant::now() > deadline {
                return warn!("not every LAC has acknowledged; those find out by their HELLO");
            }
            sleep(DRAIN_INTERVAL).await;
            drained = self.asker.ask(|control, _| control.node.is_drained()).await;
        }
    }

    /// Ends as a member: the others go on, so no LAC and no server is told anything.
    async fn leave_cluster(mut self, cause: Cause, ends: &mut Ends) -> Result<(), Failure> {
        self.situation.enter(Phase::Draining);
        info!(?cause, "ending: leaving the cluster to the other members");
        if let Some(member) = self.member.take() {
            tokio::select! {
                () = member.desk.leave() => {}
                cause = ends.wait() => {
                    warn!(?cause, "ended at once: the others wait until the Lease has lapsed");
                    process::exit(1);
                }
            }
        }
        self.end().await;
        info!("ended");
        Ok(())
    }

    /// Ends without a word: what is stored is all that is left, and the machine stays as it is.
    async fn leave(self) {
        self.control.abort();
        // With it goes the vault, once it has stored what it was given.
        let _aborted = self.control.await;
    }

    /// Takes everything down: nobody changes anything any more, then the machine is put back.
    async fn end(self) {
        for task in self.admin.iter().chain([&self.hangups]) {
            task.abort();
        }
        let _aborted = self.hangups.await;
        drop(self.watcher);
        // Both who could tell it of changes are gone, so it ends.
        if let Ok(reloader) = self.reloader.await {
            reloader.end(LAST_RECORDS).await;
        }
        self.control.abort();
        let _aborted = self.control.await;
        if let Some(datapath) = Arc::into_inner(self.datapath) {
            datapath.stop();
        }
    }
}

/// Makes what the process begins with. `None`: a signal has ended it before.
async fn begin(
    arguments: &RunArguments,
    origin: Origin,
    ends: &mut Ends,
) -> Result<Option<Beginning>, Failure> {
    match origin {
        Origin::File(path, manifest) => resume(arguments, path, *manifest).map(Some),
        Origin::Cluster(cluster) => tokio::select! {
            begun = join(arguments, &cluster) => begun.map(Some),
            cause = ends.wait() => {
                info!(?cause, "ended before it had begun");
                Ok(None)
            }
        },
    }
}

/// The node alone, with what was up when the process before it ended.
fn resume(
    arguments: &RunArguments,
    path: PathBuf,
    manifest: Manifest,
) -> Result<Beginning, Failure> {
    let state = &arguments.state.directory;
    let mut setup = Setup::new(&manifest).map_err(|error| Failure::bad_input(error.to_string()))?;
    setup.node.epoch = lns_spool::next_epoch(state, unix_seconds());
    let now = clock::now();
    let mut node = Node::standby(setup.node.clone(), seed()?, now);
    let keeper = Keeper::resume(state, &mut node, setup.node.epoch, now)?;
    Ok(Beginning {
        manifest,
        setup,
        node,
        keeper,
        source: Source::File(path),
        member: None,
    })
}

/// The node as a member, which follows until it is master.
async fn join(arguments: &RunArguments, name: &ObjectName) -> Result<Beginning, Failure> {
    let member = &arguments.member;
    let api_server = cluster::api_server(member.kubeconfig.as_deref()).await?;
    let client = cluster::client(api_server.clone())?;
    let objects = Objects::start(client, &name.namespace, &name.name);
    let title = format!("LnsCluster {name}");
    let first = source::first(&objects, &title).await;
    let arrival = cluster::arrive(member, name, &first, api_server).await?;
    let (source, setups) = Source::objects(objects, title, arrival.node, &first);
    let First {
        manifest, setup, ..
    } = first;
    let rest = Times::of(setup.staleness).outlasts();
    let setup = Setup::new(&manifest).map_err(|error| Failure::bad_input(error.to_string()))?;
    let setup = setup.of_member(rest);
    let node = Node::standby(setup.node.clone(), seed()?, clock::now());
    Ok(Beginning {
        manifest,
        setup,
        node,
        keeper: arrival.keeper,
        source,
        member: Some(Joining {
            berth: arrival.berth,
            sysctls: arrival.sysctls,
            setups,
        }),
    })
}

/// Returns when the task of a member has ended, which it does only when it is told to.
async fn ended(member: &mut Option<Membership>) {
    match member {
        Some(member) => drop((&mut member.task).await),
        None => core::future::pending().await,
    }
}

/// Objects are followed by whoever reads them.
fn watch(source: &Source, changes: mpsc::Sender<Change>) -> Option<RecommendedWatcher> {
    let Source::File(path) = source else {
        return None;
    };
    reload::watch(path, changes)
        .inspect_err(|error| {
            warn!("the manifest is not watched ({error}): send SIGHUP after a change");
        })
        .ok()
}

fn situation_of(source: &Source, manifest: &Manifest) -> Arc<Situation> {
    let situation = Situation::new(source.to_string().into(), manifest.warnings.clone());
    situation.show(manifest);
    Arc::new(situation)
}

/// Random octets of the system, from which everything unpredictable comes.
pub(crate) fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::failed("the system gives no random octets", error))?;
    Ok(seed)
}

/// RADIUS of a node that serves alone is there at once; a member's when it is the active one. What a dead
/// member's disk has is of use to nobody, so it keeps nothing there.
async fn start_radius(
    state: &Path,
    setup: &Setup,
    is_alone: bool,
) -> Result<(Service, Line, oneshot::Receiver<()>), Failure> {
    let folder = is_alone.then(|| state.to_owned());
    let (mut radius, line, ended) = service(seed()?, folder);
    if is_alone {
        let configured = radius.configure(setup.radius_thread.clone()).await;
        configured.map_err(Failure::Failed)?;
    }
    Ok((radius, line, ended))
}

/// Whoever asks for a change now waits for the control task.
async fn start_desk(asker: &Asker, setup: &Setup) -> Result<Desk, Failure> {
    let mut desk = Desk::new(asker.clone());
    let listening = desk.configure(reload::desk(setup)).await;
    listening.map_err(Failure::Failed)?;
    Ok(desk)
}

fn start_datapath(
    setup: &Setup,
    node: &Node,
    punt: mpsc::Sender<Punt>,
    handing: Option<HandingConfig>,
) -> Result<(Arc<Datapath>, lns_datapath::Control), Failure> {
    let config = lns_datapath::Config {
        interface: INTERFACE.to_owned(),
        workers: setup.workers,
        listen: setup.listen.clone(),
        capacity: setup.node.max_sessions,
        pools: setup.pools.clone(),
        icmp_source: setup.icmp_source,
        flows: FlowConfig {
            entries: setup.flows.entries.number,
            options: setup.flows.options,
        },
        // A node without a cluster has no gate.
        marks: handing.is_some().then_some(Marks {
            data: Mark::Data.value(),
            control: Mark::Control.value(),
        }),
        handing,
    };
    let punts: PuntSink = Arc::new(move |packet| punt.try_send(packet).is_ok());
    let is_member = config.handing.is_some();
    let started = Datapath::start(&config, node.index(), punts);
    let (datapath, path) = started.map_err(|error| Failure::Failed(error.to_string()))?;
    if is_member {
        path.set_home(Home::Nowhere);
    }
    Ok((Arc::new(datapath), path))
}

/// Makes the machine look as planned, or as before.
async fn prepare(
    (state, root): (&Path, &Path),
    setup: &Setup,
    sysctls: &[(String, &'static str)],
) -> Result<Host, Failure> {
    let failed = |error: HostError| Failure::Failed(error.to_string());
    let mut host = Host::open(state, root).await.map_err(failed)?;
    let required = host.require(sysctls.iter());
    let applied = match required {
        Ok(()) => host.apply(setup.host.clone()).await,
        Err(error) => Err(error),
    };
    if let Err(error) = applied {
        for problem in host.remove().await {
            warn!("{problem}");
        }
        return Err(failed(error));
    }
    Ok(host)
}

/// The workers' counters, as long as there are workers.
fn stats_of(datapath: &Arc<Datapath>) -> StatsSource {
    let workers: Weak<Datapath> = Arc::downgrade(datapath);
    Arc::new(move || {
        workers
            .upgrade()
            .map(|datapath| datapath.stats())
            .unwrap_or_default()
    })
}

fn serve_admin((unix, tcp): (UnixListener, TcpListener), admin: Admin) -> [JoinHandle<()>; 2] {
    [
        tokio::spawn(server::serve_unix(unix, admin::over_unix(admin.clone()))),
        tokio::spawn(server::serve_tcp(tcp, admin::over_tcp(admin))),
    ]
}

/// Hands SIGHUP on as a reason to look at the manifest.
async fn forward(mut hangups: Signal, changes: mpsc::Sender<Change>) {
    while hangups.recv().await.is_some() && changes.send(Change::Signal).await.is_ok() {}
}

/// Returns when a worker has ended, which it never does by itself.
async fn any_ended(datapath: &Datapath) {
    while datapath.is_running() {
        sleep(WORKER_INTERVAL).await;
    }
}

fn announce(manifest: &Manifest, setup: &Setup, arguments: &RunArguments) {
    for warning in &manifest.warnings {
        warn!("{warning}");
    }
    let listen = setup
        .listen
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    info!(
        version = VERSION,
        host_name = manifest.cluster.host_name(),
        listen,
        workers = setup.workers,
        flows = setup.flows.entries.number,
        interface = INTERFACE,
        admin = %arguments.admin,
        socket = %arguments.state.socket().display(),
        "serving"
    );
}
