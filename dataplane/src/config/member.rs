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
use lns_api::cluster::{AnnounceMode, ElectionProfile};
use lns_api::rules::members;
use lns_api::schema::Violation;
use lns_api::{Manifest, ManifestError, TlsSecret};
use lns_cluster::{NodeName, Profile};
use lns_gate::{Announce, Plan, PlanError};
use lns_peers::{ClusterId, Material, TlsError};

use super::seconds;
use crate::host::{INTERFACE, Ways};

/// What a manifest means for a member of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterSetup {
    /// Where records are kept.
    pub(crate) store: lns_store::Setup,
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
        wrong.take(members::check(spec));
        let store = match lns_store::Setup::new(manifest) {
            Ok(store) => store,
            Err(violations) => {
                wrong.take(violations);
                None
            }
        };
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
}

#[cfg(test)]
mod tests;
