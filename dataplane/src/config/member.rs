//! What a manifest means for a member of a cluster, beside what it means for any node: store, channel to
//! peers, election, gate (spec/cluster.md).
//!
//! A file may lack all of it, so that neither the schema nor its rules ask for it: a member does, here, by
//! the name of the field. What a change asks for is told by [`ClusterSetup::changes`] and
//! [`ClusterSetup::needs_restart`]. The parts compare by value; no text of it has a secret in it.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use ipnet::IpNet;
use lns_api::cluster::{AnnounceMode, Durability, ElectionProfile, Redis, Sentinel};
use lns_api::rules::members;
use lns_api::schema::Violation;
use lns_api::{Manifest, ManifestError, StoreSecret, TlsSecret};
use lns_cluster::{NodeName, Profile};
use lns_crypto::Secret;
use lns_gate::{Announce, Plan, PlanError};
use lns_peers::{ClusterId, Material, TlsError};
use lns_store::writer::Settings;
use lns_store::{Address, Credentials, Endpoint, Space, Target};

use super::seconds;
use crate::host::{INTERFACE, Ways};

/// About how many changes the store's stream keeps: a member that was away for less need not load
/// everything. Some 300 octets each.
const STREAM_ENTRIES: u32 = 100_000;

/// What a manifest means for a member of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterSetup {
    /// Where records are kept.
    pub(crate) store: StoreSetup,
    /// How members reach each other.
    pub(crate) peers: PeersSetup,
    /// S: how long a member forwards by itself.
    pub(crate) staleness: Duration,
    /// The times of the election.
    pub(crate) profile: Profile,
    /// What is fenced.
    pub(crate) gate: GateSetup,
    /// Which state of the objects this is of ([`lns_api::digest`]).
    pub(crate) objects: String,
    /// This node is kept out of service ([`lns_api::fence`]).
    pub(crate) is_fenced: bool,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoreSetup {
    target: Target,
    login: Option<StoreSecret>,
    authorities: Option<Secret>,
    space: Space,
    durability: lns_store::Durability,
    replicas: u32,
}

/// How members reach each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeersSetup {
    /// The TCP and UDP port of each node.
    pub(crate) port: u16,
    namespace: String,
    name: String,
    tls: TlsSecret,
}

/// What is fenced, but for the interfaces that routes lead to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GateSetup {
    cluster: String,
    service: BTreeSet<IpAddr>,
    nas: Option<IpAddr>,
    announce: Announce,
    /// What interfaces are looked for by.
    pub(crate) ways: Ways,
}

/// What of a running member a newer set-up changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is done, or not, by itself"
)]
pub(crate) struct Changes {
    /// The store: a new connection, and a writer with other settings.
    pub(crate) store: bool,
    /// TLS of peers: new credentials.
    pub(crate) credentials: bool,
    /// How long it forwards by itself.
    pub(crate) staleness: bool,
    /// The gate: another plan, for interfaces that are looked for anew.
    pub(crate) gate: bool,
}

impl ClusterSetup {
    /// Maps a valid manifest.
    ///
    /// # Errors
    /// All that a member lacks or cannot do, in the words of a manifest's errors.
    pub(crate) fn new(manifest: &Manifest) -> Result<Self, Vec<ManifestError>> {
        let spec = &manifest.cluster.spec;
        let mut wrong = Wrong::new(manifest);
        let redis = spec.store.as_ref().map(|store| &store.redis);
        wrong.take(members::check(spec));
        let store = redis.and_then(|redis| StoreSetup::new(redis, manifest, &mut wrong));
        let peers = PeersSetup::new(manifest);
        let gate = GateSetup::new(manifest);
        match (store, peers) {
            (Some(store), Some(peers)) if wrong.errors.is_empty() => Ok(Self {
                store,
                peers,
                staleness: seconds(spec.forwarding.staleness_seconds),
                profile: match spec.election.profile {
                    ElectionProfile::Default => Profile::DEFAULT,
                    ElectionProfile::Fast => Profile::FAST,
                    ElectionProfile::Slow => Profile::SLOW,
                },
                gate,
                objects: String::new(),
                is_fenced: false,
            }),
            _ => Err(wrong.errors),
        }
    }

    /// It is of this state of the objects.
    pub(crate) fn of_objects(mut self, digest: &str) -> Self {
        digest.clone_into(&mut self.objects);
        self
    }

    /// This node is kept out of service, or not.
    pub(crate) const fn of_node(mut self, is_fenced: bool) -> Self {
        self.is_fenced = is_fenced;
        self
    }

    /// What a running member does about `newer`, beside what needs a restart.
    pub(crate) fn changes(&self, newer: &Self) -> Changes {
        Changes {
            store: self.store != newer.store,
            credentials: self.peers.tls != newer.peers.tls,
            staleness: self.staleness != newer.staleness,
            gate: self.gate != newer.gate,
        }
    }

    /// The fields in which `newer` asks for what a running member cannot change.
    pub(crate) fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        [
            ("spec.peers.port", self.peers.port != newer.peers.port),
            ("spec.election.profile", self.profile != newer.profile),
        ]
        .into_iter()
        .filter_map(|(field, changed)| changed.then_some(field))
        .collect()
    }
}

impl StoreSetup {
    /// None: it was told why.
    fn new(redis: &Redis, manifest: &Manifest, wrong: &mut Wrong) -> Option<Self> {
        let endpoint = Endpoint::parse(&redis.url)
            .map_err(|error| wrong.tell("spec.store.redis.url", &error.to_string()));
        let sentinels = redis.sentinel.as_ref().map(|it| sentinels(it, wrong));
        let (namespace, name) = identity(manifest);
        let space = Space::new(namespace, name)
            .map_err(|error| wrong.tell("metadata.name", &error.to_string()));
        let (endpoint, space) = (endpoint.ok()?, space.ok()?);
        let target = match (&redis.sentinel, sentinels) {
            (Some(sentinel), Some(sentinels)) => Target::Sentinel {
                master: sentinel.master.as_str().into(),
                sentinels,
                tls: endpoint.tls,
                database: endpoint.database,
            },
            _ => Target::Server(endpoint),
        };
        let login = redis.credentials_secret_ref.as_ref();
        let authorities = redis.ca_secret_ref.as_ref();
        Some(Self {
            target,
            login: login.and_then(|it| manifest.stores.get(&it.name).cloned()),
            authorities: authorities.and_then(|it| manifest.authorities.get(&it.name).cloned()),
            space,
            durability: match redis.durability {
                Durability::Replicated => lns_store::Durability::Replicated,
                Durability::Single => lns_store::Durability::Single,
            },
            replicas: redis.wanted_replicas().into(),
        })
    }

    /// What a connection needs to know.
    pub(crate) fn config(&self) -> lns_store::Config {
        lns_store::Config {
            target: self.target.clone(),
            credentials: self.login.as_ref().map(|login| Credentials {
                // The manifest's rules have seen that it is a text.
                user: login
                    .user
                    .as_ref()
                    .map(|user| String::from_utf8_lossy(user.expose()).into()),
                password: login.password.clone(),
            }),
            authorities: self.authorities.as_ref().map(|pem| pem.expose().to_vec()),
            space: self.space.clone(),
            durability: self.durability,
            stream_entries: STREAM_ENTRIES,
            timing: lns_store::Timing::default(),
        }
    }

    /// How much the writer of a mastership waits for.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            replicas: self.replicas,
            ..Settings::default()
        }
    }
}

fn sentinels(sentinel: &Sentinel, wrong: &mut Wrong) -> Vec<Address> {
    let addresses = sentinel.addresses.iter().enumerate();
    let read = addresses.filter_map(|(index, text)| {
        let field = format!("spec.store.redis.sentinel.addresses[{index}]");
        Address::sentinel(text)
            .map_err(|error| wrong.tell(&field, &error.to_string()))
            .ok()
    });
    read.collect()
}

impl PeersSetup {
    fn new(manifest: &Manifest) -> Option<Self> {
        let peers = manifest.cluster.spec.peers.as_ref()?;
        let (namespace, name) = identity(manifest);
        Some(Self {
            port: peers.port,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            // The manifest's rules have seen that it is there.
            tls: manifest.tls.get(&peers.tls_secret_ref.name)?.clone(),
        })
    }

    /// What this node shows to its peers, and whom it believes. `uid` is that of the `LnsCluster`.
    ///
    /// # Errors
    /// What is wrong with the Secret, in the words of a manifest's errors.
    pub(crate) fn credentials(
        &self,
        uid: &str,
        node: &NodeName,
    ) -> Result<(ClusterId, lns_peers::Credentials), String> {
        let cluster = ClusterId::new(&self.namespace, &self.name, uid)
            .map_err(|error| format!("LnsCluster/{}: metadata: {error}", self.name))?;
        let material = Material {
            certificate: self.tls.certificate.expose(),
            key: self.tls.key.expose(),
            authorities: self.tls.authorities.expose(),
        };
        let credentials = lns_peers::Credentials::new(material, &cluster, node);
        let told =
            |error: TlsError| format!("LnsCluster/{}: spec.peers.tlsSecretRef: {error}", self.name);
        Ok((cluster, credentials.map_err(told)?))
    }
}

impl GateSetup {
    fn new(manifest: &Manifest) -> Self {
        let spec = &manifest.cluster.spec;
        let access = spec.datapath.access_interface.clone();
        let announce = match spec.service.announce.mode {
            AnnounceMode::External => Announce::External,
            // The manifest's rules have seen that it is there.
            AnnounceMode::L2 => Announce::L2 {
                interface: access.clone().unwrap_or_default(),
            },
        };
        let (namespace, name) = identity(manifest);
        Self {
            cluster: format!("{namespace}/{name}"),
            service: spec.service.addresses.iter().copied().collect(),
            nas: spec.radius.as_ref().and_then(|radius| radius.nas_address),
            announce,
            ways: Ways {
                core: spec.core.interface.clone(),
                access,
                others: others(manifest),
            },
        }
    }

    /// The plan of a gate on these interfaces, which [`Ways::interfaces`] finds.
    ///
    /// # Errors
    /// It contradicts itself.
    pub(crate) fn plan(&self, interfaces: BTreeSet<String>) -> Result<Plan, PlanError> {
        let plan = Plan {
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            nas: self.nas,
            announce: self.announce.clone(),
            interfaces,
            subscribers: INTERFACE.to_owned(),
        };
        plan.check()?;
        Ok(plan)
    }
}

/// Where LACs, RADIUS servers and their clients are.
fn others(manifest: &Manifest) -> BTreeSet<IpNet> {
    let spec = &manifest.cluster.spec;
    let mut others: BTreeSet<_> = spec.lacs.iter().flat_map(|lac| lac.from.clone()).collect();
    let Some(radius) = &spec.radius else {
        return others;
    };
    let asked = radius.authentication.iter().flat_map(|it| &it.servers);
    others.extend(asked.map(|server| IpNet::from(server.address)));
    let told = radius.accounting.iter();
    let told = told.flat_map(|it| it.servers.iter().chain(&it.copies));
    others.extend(told.map(|server| IpNet::from(server.address)));
    let clients = radius.dynamic_authorization.iter();
    others.extend(
        clients
            .flat_map(|it| &it.clients)
            .flat_map(|it| it.from.clone()),
    );
    others
}

/// Namespace and name of the cluster.
fn identity(manifest: &Manifest) -> (&str, &str) {
    let metadata = &manifest.cluster.metadata;
    (
        metadata.namespace.as_deref().unwrap_or("default"),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// What is wrong so far.
struct Wrong {
    document: String,
    errors: Vec<ManifestError>,
}

impl Wrong {
    fn new(manifest: &Manifest) -> Self {
        let (_, name) = identity(manifest);
        Self {
            document: format!("LnsCluster/{name}"),
            errors: Vec::new(),
        }
    }

    fn take(&mut self, violations: Vec<Violation>) {
        let document = &self.document;
        let told = violations
            .into_iter()
            .map(|violation| ManifestError::Document {
                document: document.clone(),
                violation,
            });
        self.errors.extend(told);
    }

    fn tell(&mut self, field: &str, message: &str) {
        self.errors.push(ManifestError::Document {
            document: self.document.clone(),
            violation: Violation {
                path: field.to_owned(),
                message: message.to_owned(),
            },
        });
    }
}

#[cfg(test)]
mod tests;
