//! The serving process, from start to end.
//!
//! Start: manifest, admin sockets (which also tell whether another process is running), workers, RADIUS,
//! machine, control task; only then `/readyz` says yes. What fails says so in one line, and what was
//! set up before is taken back. End: the reverse, after the LACs were told.

pub(crate) mod comparison;
pub(crate) mod control;
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod reload;
pub(crate) mod situation;
mod source;

use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::{fs, process};

use lns_api::{Manifest, read_manifest};
use lns_datapath::{Datapath, FlowConfig, Punt, PuntSink, clock};
use lns_node::Node;
use notify::RecommendedWatcher;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use self::control::{Asker, Control};
use self::keeper::Keeper;
use self::reload::{Change, Hands, Reloader};
use self::situation::{Phase, Situation, unix_seconds};
use self::source::Source;
use crate::admin::{self, Admin, StatsSource, server};
use crate::cli::{RunArguments, VERSION};
use crate::config::Setup;
use crate::failure::Failure;
use crate::host::{Host, HostError, INTERFACE};
use crate::log::{self, Ring};
use crate::radius::dynamic::Desk;
use crate::radius::service::service;

/// How long LACs have to acknowledge that the tunnel is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// How long RADIUS servers then have to take the last records. Those that they do not take are on disk.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// How often it is looked whether they have.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// How often it is looked whether all workers run.
const WORKER_INTERVAL: Duration = Duration::from_secs(1);

/// Threads beside the workers: control task and admin interface.
const THREADS: usize = 2;

/// `lnsd run`
pub(crate) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let manifest = read_manifest(&arguments.manifest).map_err(|problems| {
        Failure::BadInput(problems.iter().map(ToString::to_string).collect())
    })?;
    let logs = log::start(arguments.log_format);
    runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("lnsd-control")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the runtime", error))?
        .block_on(serve(arguments, manifest, logs))
}

async fn serve(
    arguments: &RunArguments,
    manifest: Manifest,
    logs: Arc<Ring>,
) -> Result<(), Failure> {
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
    let ended = match Process::start(arguments, manifest, sockets, hangups, logs).await {
        Ok(process) => process.serve(&mut ends).await,
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
    watcher: Option<RecommendedWatcher>,
}

impl Process {
    async fn start(
        arguments: &RunArguments,
        manifest: Manifest,
        sockets: (UnixListener, TcpListener),
        hangups: Signal,
        logs: Arc<Ring>,
    ) -> Result<Self, Failure> {
        let (setup, node, keeper) = resume(arguments, &manifest)?;
        let (punt, punts) = mpsc::channel(control::PUNT_QUEUE);
        let (datapath, path) = start_datapath(&setup, &node, punt)?;
        let (mut radius, line, radius_ended) = service(seed()?, arguments.state.directory.clone());
        let configured = radius.configure(setup.radius_thread.clone()).await;
        configured.map_err(Failure::Failed)?;
        // Who asks for a change now waits for the control task.
        let (asker, inputs) = control::inputs(punts);
        let mut desk = Desk::new(asker.clone());
        let listening = desk.configure(reload::desk(&setup)).await;
        listening.map_err(Failure::Failed)?;
        let host = prepare(&arguments.state.directory, &setup).await?;
        announce(&manifest, &setup, arguments);

        let (reach, reaches) = mpsc::channel(control::REACH_QUEUE);
        let control = tokio::spawn(Control::new(node, path, reach, line, keeper).serve(inputs));
        let situation = Arc::new(Situation::new(
            arguments.manifest.clone(),
            manifest.warnings.clone(),
        ));
        situation.show(&manifest);
        let datapath = Arc::new(datapath);
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
        };
        let admin = serve_admin(sockets, admin);
        let (change, changes) = mpsc::channel(1);
        let watcher = reload::watch(&arguments.manifest, change.clone())
            .inspect_err(|error| {
                warn!("the manifest is not watched ({error}): send SIGHUP after a change");
            })
            .ok();
        let reloader = Reloader::new(
            Source::File(arguments.manifest.clone()),
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
        let reloader = tokio::spawn(reloader.serve(changes, questions, reaches));
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
        };
        if let Some(what) = failed {
            // What is left on the machine is replaced by the next start.
            return Err(Failure::Failed(format!(
                "{what}, which must not happen: please report it with the lines above"
            )));
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

/// The node, with what was up when the process before it ended.
fn resume(arguments: &RunArguments, manifest: &Manifest) -> Result<(Setup, Node, Keeper), Failure> {
    let state = &arguments.state.directory;
    let mut setup = Setup::new(manifest).map_err(|error| Failure::bad_input(error.to_string()))?;
    setup.node.epoch = lns_spool::next_epoch(state, unix_seconds());
    let now = clock::now();
    let mut node = Node::standby(setup.node.clone(), seed()?, now);
    let keeper = Keeper::resume(state, &mut node, setup.node.epoch, now)?;
    Ok((setup, node, keeper))
}

/// Random octets of the system, from which everything unpredictable comes.
fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::failed("the system gives no random octets", error))?;
    Ok(seed)
}

fn start_datapath(
    setup: &Setup,
    node: &Node,
    punt: mpsc::Sender<Punt>,
) -> Result<(Datapath, lns_datapath::Control), Failure> {
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
        marks: None,
        handing: None,
    };
    let punts: PuntSink = Arc::new(move |packet| punt.try_send(packet).is_ok());
    Datapath::start(&config, node.index(), punts)
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// Makes the machine look as planned, or as before.
async fn prepare(state: &Path, setup: &Setup) -> Result<Host, Failure> {
    let failed = |error: HostError| Failure::Failed(error.to_string());
    let mut host = Host::open(state).await.map_err(failed)?;
    if let Err(error) = host.apply(setup.host.clone()).await {
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
