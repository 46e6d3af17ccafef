//! How a member of a cluster arrives: its objects are read, what they ask for is looked for on this machine, and
//! the gate is made, closed, before anything else.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::net::{ToSocketAddrs as _, UdpSocket};
use std::path::Path;

use kube::{Client, Config};
use lns_cluster::NodeName;
use lns_cluster::member::Times;
use lns_store::{Fence, Redis, State};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::keeper::Keeper;
use super::source::First;
use crate::cli::{MemberArguments, ObjectName};
use crate::config::ClusterSetup;
use crate::failure::Failure;
use crate::member::{Berth, Wants};

/// For how long another owner of the records is looked at: his master is heard each second.
const OWNER: Duration = Duration::from_secs(4);

/// A node that has all that a member needs.
pub(super) struct Arrival {
    /// What it does not share with a node that serves alone.
    pub(super) berth: Berth,
    /// The keeper of its records.
    pub(super) keeper: Keeper,
    /// What must be set below `/proc/sys/net`.
    pub(super) sysctls: Vec<(String, &'static str)>,
    /// The name of this node.
    pub(super) node: NodeName,
}

/// How the API server is reached.
///
/// # Errors
/// Nothing says how, or what says so cannot be read.
pub(super) async fn api_server(kubeconfig: Option<&Path>) -> Result<Config, Failure> {
    let config = lns_lease::config(kubeconfig).await;
    config.map_err(|why| Failure::BadInput(vec![why]))
}

/// Has all made that a member needs, in an order in which nothing passes too early.
///
/// # Errors
/// What is wrong with its objects, or cannot be had here.
pub(super) async fn arrive(
    arguments: &MemberArguments,
    cluster: &ObjectName,
    first: &First,
    api_server: Config,
) -> Result<Arrival, Failure> {
    let setup = &first.setup;
    let bad = |why: String| Failure::BadInput(vec![why]);
    let node = node_name(arguments.node.as_deref())?;
    let address = match arguments.peer_address {
        Some(address) => address,
        None => way_to(&api_server).map_err(bad)?,
    };
    let (id, credentials) = setup.peers.credentials(&first.uid, &node).map_err(bad)?;
    try_store(setup).await?;
    try_owner(setup, cluster, &first.uid).await?;
    let interfaces = setup
        .gate
        .ways
        .interfaces()
        .await
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let plan = setup
        .gate
        .plan(interfaces)
        .map_err(|error| bad(error.to_string()))?;
    let sysctls = plan.sysctls().collect();
    let times = Times::of(setup.staleness).with_wait(setup.profile.timing().wait);
    let client = lns_lease::client(api_server, &setup.profile)
        .map_err(|error| bad(format!("the API server cannot be spoken with: {error}")))?;
    let peer = SocketAddr::new(address, setup.peers.port);
    info!(%cluster, %node, %peer, "a member of a cluster");
    let (berth, keeper) = Berth::prepare(Wants {
        cluster: id,
        node: node.clone(),
        pod_uid: arguments.pod_uid.clone(),
        peer,
        client,
        profile: setup.profile,
        times,
        store: setup.store.config(),
        settings: setup.store.settings(),
        plan,
        credentials,
    })
    .await
    .map_err(Failure::Failed)?;
    Ok(Arrival {
        berth,
        keeper,
        sysctls,
        node,
    })
}

/// A client of the API server for what is not the election's.
///
/// # Errors
/// What the configuration names cannot be used.
pub(super) fn client(api_server: Config) -> Result<Client, Failure> {
    Client::try_from(api_server).map_err(|error| {
        Failure::BadInput(vec![format!(
            "the API server cannot be spoken with: {error}"
        )])
    })
}

fn node_name(named: Option<&str>) -> Result<NodeName, Failure> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = named.unwrap_or(host.trim());
    NodeName::new(name)
        .map_err(|error| Failure::BadInput(vec![format!("--node {name:?}: {error}")]))
}

/// The address of ours that leads to the API server.
fn way_to(api_server: &Config) -> Result<IpAddr, String> {
    let unknown = |why: String| {
        format!("no address of this node leads to the API server ({why}): give --peer-address")
    };
    let url = &api_server.cluster_url;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_u16().unwrap_or(443);
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    let to = found
        .next()
        .ok_or_else(|| unknown("it has none".to_owned()))?;
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: the kernel only chooses.
    let local = UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect(to).and_then(|()| socket.local_addr()));
    local
        .map(|local| local.ip())
        .map_err(|error| unknown(error.to_string()))
}

/// Records of another object of this name, which another API server has or had, are left alone while its master
/// writes them. One that stands still is no hindrance: a cluster that is made anew takes its records over.
async fn try_owner(setup: &ClusterSetup, cluster: &ObjectName, uid: &str) -> Result<(), Failure> {
    let bad = |why: String| Failure::BadInput(vec![why]);
    let redis = Redis::start(setup.store.config()).map_err(|reason| bad(reason.to_string()))?;
    let Some(before) = other_owner(&redis, uid).await else {
        return Ok(());
    };
    sleep(OWNER).await;
    match other_owner(&redis, uid).await {
        Some(now) if now.beat != before.beat => Err(bad(format!(
            "store.redis has the records of another LnsCluster {cluster}, uid {}, whose master {} writes them: give \
             this one a store of its own, or end the other one",
            now.owner, now.fenced.holder
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What the store says of its owner, if that is another one. A store that is away says nothing.
async fn other_owner(redis: &Redis, uid: &str) -> Option<Fence> {
    let mut state = redis.state();
    let is_up = state.wait_for(|state| matches!(state, State::Up { .. }));
    drop(timeout(OWNER, is_up).await.ok()?.ok()?);
    let fence = redis.fence().await.ok()??;
    (!fence.owner.is_empty() && *fence.owner != *uid).then_some(fence)
}

/// A store that will never do is told at the start; one that is away may be back.
async fn try_store(setup: &ClusterSetup) -> Result<(), Failure> {
    match Redis::probe(setup.store.config()).await {
        Ok(_) => Ok(()),
        Err(reason) if reason.is_configuration() => {
            Err(Failure::BadInput(vec![reason.to_string()]))
        }
        Err(reason) => {
            warn!("the store is away: {reason}; it is tried again");
            Ok(())
        }
    }
}
