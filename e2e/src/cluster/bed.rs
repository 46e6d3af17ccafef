//! Everything that a cluster needs, running: network, router, API server, Redis with Sentinel, FreeRADIUS,
//! three nodes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::Signal;

use super::apiserver::ApiServer;
use super::capture::Capture;
use super::flows;
use super::network::{MANAGEMENT, NAS, Network, Place};
use super::objects::{self, CLUSTER, USERS, Wanted};
use super::redis::Store;
use super::router::Router;
use super::scene::Ground;
use crate::lnsd::Lnsd;
use crate::net::Namespace;
use crate::radius::{Entry, FreeRadius, Server};

/// How long what must come may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What nodes stand on, and the nodes.
#[derive(Debug)]
pub(crate) struct Bed<'a> {
    /// Where everything is.
    pub(crate) network: &'a Network,
    /// The API server.
    pub(crate) api: ApiServer<'a>,
    /// Redis.
    pub(crate) store: Store<'a>,
    /// FreeRADIUS.
    pub(crate) radius: FreeRadius<'a>,
    /// The router's probes.
    pub(crate) router: Router,
    nodes: Vec<(Place, Lnsd<'a>)>,
    /// What nodes that start for the first time are; `None`: this release.
    release: Option<PathBuf>,
}

impl<'a> Bed<'a> {
    /// Starts everything but the nodes.
    pub(crate) fn start(network: &'a Network, wanted: &Wanted) -> Result<Self> {
        let (api, store, radius) = std::thread::scope(|scope| {
            let api = scope.spawn(|| -> Result<_> {
                let api = ApiServer::start(&network.management, MANAGEMENT)?;
                api.admit(&objects::stream(wanted)?)?;
                Ok(api)
            });
            let store = scope.spawn(|| Store::start(&network.management));
            let server = Server {
                client: NAS,
                ..Server::new(0, USERS)
            };
            let radius = FreeRadius::start(&network.core, server);
            let panicked = |_| anyhow!("a start panicked");
            (
                api.join().map_err(panicked),
                store.join().map_err(panicked),
                radius,
            )
        });
        flows::serve(&network.core)?;
        Ok(Self {
            network,
            api: api??,
            store: store??,
            radius: radius?,
            router: Router::start(network)?,
            nodes: Vec::new(),
            release: None,
        })
    }

    /// Nodes that start for the first time are this program.
    pub(crate) fn begin_as(&mut self, release: Option<&Path>) {
        self.release = release.map(Path::to_owned);
    }

    /// From its next start on a node is this program; `None`: the one of this release.
    pub(crate) fn install(&mut self, place: Place, release: Option<&Path>) -> Result<()> {
        self.node_mut(place)?.install(release.map(Path::to_owned));
        Ok(())
    }

    /// Starts all nodes and waits until each is ready and the router has found it.
    pub(crate) fn start_nodes(&mut self) -> Result<Place> {
        for place in Place::ALL {
            self.launch(place)?;
        }
        for place in Place::ALL {
            self.wait_ready(place)?;
        }
        self.router.wait_for(PATIENCE, &Place::ALL)
    }

    /// Starts a node, for the first time or again, and waits for nothing.
    pub(crate) fn launch(&mut self, place: Place) -> Result<()> {
        if let Ok(node) = self.node_mut(place) {
            return node.relaunch();
        }
        let arguments = Self::arguments(place, &self.api);
        let release = self.release.clone();
        let node = Lnsd::launch(self.network.node(place), arguments, release)?;
        self.nodes.push((place, node));
        Ok(())
    }

    /// What a node is told of its cluster, which this API server has.
    pub(crate) fn arguments(place: Place, api: &ApiServer<'_>) -> Vec<String> {
        [
            "--cluster",
            CLUSTER,
            "--node",
            &place.name(),
            "--kubeconfig",
            &api.kubeconfig().display().to_string(),
            "--peer-address",
            &place.management().to_string(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Waits until a node says that it is ready.
    pub(crate) fn wait_ready(&mut self, place: Place) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let node = self.node_mut(place)?;
            ensure!(
                !node.has_ended()?,
                "{} has ended\n{}",
                place.name(),
                node.log_tail()
            );
            let answer = node.get("/readyz");
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "{} is not ready: {answer:?}\n{}",
                place.name(),
                node.log_tail()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A node that was started.
    pub(crate) fn node(&self, place: Place) -> Result<&Lnsd<'a>> {
        let found = self.nodes.iter().find(|(known, _)| *known == place);
        found
            .map(|(_, node)| node)
            .with_context(|| format!("{} was not started", place.name()))
    }

    fn node_mut(&mut self, place: Place) -> Result<&mut Lnsd<'a>> {
        let found = self.nodes.iter_mut().find(|(known, _)| *known == place);
        found
            .map(|(_, node)| node)
            .with_context(|| format!("{} was not started", place.name()))
    }

    /// Whether a node has ended.
    pub(crate) fn has_ended(&mut self, place: Place) -> Result<bool> {
        self.node_mut(place)?.has_ended()
    }

    /// Ends a node with a signal and waits for its end.
    pub(crate) fn end(&mut self, place: Place, by: Signal) -> Result<()> {
        let node = self.node_mut(place)?;
        node.signal(by)?;
        node.wait_exit(PATIENCE)?;
        Ok(())
    }

    fn keep_logs(&self) -> Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix("kl-cluster-").tempdir()?;
        for (place, node) in &self.nodes {
            std::fs::write(folder.path().join(place.name()), node.log())?;
        }
        Ok(folder.keep())
    }
}

impl Ground for Bed<'_> {
    fn lacs(&self) -> &[Namespace; 2] {
        &self.network.lacs
    }

    fn core(&self) -> &Namespace {
        &self.network.core
    }

    fn capture(&self) -> Result<Capture> {
        Capture::start(&self.network.router, self.network.marks()?)
    }

    fn router(&self) -> &Router {
        &self.router
    }

    fn records_since(&self, place: u64) -> Result<(Vec<Entry>, u64)> {
        self.radius.records_since(place)
    }

    fn recover(&mut self) -> Result<()> {
        for place in Place::ALL {
            if self.node_mut(place)?.has_ended()? {
                self.launch(place)?;
            }
        }
        self.store.wait_whole()?;
        for place in Place::ALL {
            self.wait_ready(place)?;
        }
        let master = self.router.wait_for(PATIENCE, &Place::ALL)?;
        // A master that dies before its store has everything is another fault, by which something may be lost.
        self.node(master)?
            .wait(PATIENCE, "records are stored", |lnsd| {
                let answer = lnsd.json(&["status"])?;
                let degraded = answer.pointer("/records/degraded");
                Ok(degraded.context("a status without records")? == false)
            })
    }

    fn sessions(&self, master: Place) -> Result<u64> {
        self.node(master)?.status("sessions")
    }

    fn attest<T>(&self, result: Result<T>) -> Result<T> {
        let Err(error) = result else { return result };
        let kept = self.keep_logs();
        let where_to = kept.map_or_else(
            |error| format!("and their logs could not be kept: {error}"),
            |path| format!("their logs are in {}", path.display()),
        );
        let last = self
            .nodes
            .iter()
            .map(|(place, node)| format!("    {}\n{}", place.name(), node.log_tail()));
        let last: String = last.collect();
        Err(anyhow!(
            "{error:#}\n{last}    the router: {:?}\n    {where_to}",
            self.router.views().last()
        ))
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        // Those that were stopped would not hear of their end.
        for (_, node) in &self.nodes {
            node.signal(Signal::SIGCONT).ok();
        }
    }
}
