//! What the API server has, as it is followed: everything of one namespace that has to do with clusters, and the nodes.
//!
//! Objects of ours are kept as they come, typed or not: one that no version of the operator can read is one object
//! that is stalled, and not an end of following the others.

use core::hash::{Hash as _, Hasher as _};
use core::time::Duration;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use lns_api::{LnsCluster, SessionPolicy};
use lns_tables::time::Instant;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::labels::{INSTANCE, LNSD, MANAGED_BY, MANAGER, NAME, STATUS_MANAGER};

/// A stream of objects that are new, changed or gone.
pub(crate) type Touched<K> = futures::stream::BoxStream<'static, Result<K, watcher::Error>>;

/// The caches.
pub(crate) struct World {
    /// To write, and to read what is not cached.
    pub(crate) client: Client,
    /// Where all of it is.
    pub(crate) namespace: String,
    /// `LnsCluster`s.
    pub(crate) clusters: Store<DynamicObject>,
    /// `SessionPolicy`s.
    pub(crate) policies: Store<DynamicObject>,
    /// The nodes of Kubernetes.
    pub(crate) nodes: Store<Node>,
    /// Pods of members.
    pub(crate) pods: Store<Pod>,
    /// Leases of masters and nodes.
    pub(crate) leases: Store<DynamicObject>,
    /// Which Secrets there are, without what is in them.
    pub(crate) secrets: Store<PartialObjectMeta<Secret>>,
    ages: Arc<Ages>,
}

/// What changes, stream by stream.
pub(crate) struct Changes {
    pub(crate) clusters: Touched<DynamicObject>,
    pub(crate) policies: Touched<DynamicObject>,
    pub(crate) nodes: Touched<Node>,
    pub(crate) pods: Touched<Pod>,
    /// The clusters of what was made for them.
    pub(crate) made: Touched<String>,
    pub(crate) leases: Touched<DynamicObject>,
    pub(crate) secrets: Touched<PartialObjectMeta<Secret>>,
}

/// When each Lease was last seen to change, on this machine's clock: what is written in it is another's time.
#[derive(Debug, Default)]
struct Ages(Mutex<BTreeMap<String, (String, Instant)>>);

/// What kind of object an `LnsCluster` is.
pub(crate) fn clusters() -> ApiResource {
    ApiResource::erase::<LnsCluster>(&())
}

/// What kind of object a `SessionPolicy` is.
pub(crate) fn policies() -> ApiResource {
    ApiResource::erase::<SessionPolicy>(&())
}

fn leases() -> ApiResource {
    ApiResource::erase::<Lease>(&())
}

impl World {
    /// Begins to follow.
    pub(crate) fn follow(client: Client, namespace: &str) -> (Self, Changes) {
        let of = |kind: &ApiResource| {
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace, kind)
        };
        let all = watcher::Config::default();
        let ours = all.clone().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let members = all.clone().labels(&format!("{NAME}={LNSD}"));
        let labelled = all.clone().labels(lns_lease::CLUSTER_LABEL);
        let (clusters, of_clusters) = reflect_with(of(&clusters()), all.clone(), clusters());
        let (policies, of_policies) = reflect_with(of(&policies()), all.clone(), policies());
        let (nodes, of_nodes) = reflect(Api::<Node>::all(client.clone()), all.clone());
        let (pods, of_pods) = reflect(Api::<Pod>::namespaced(client.clone(), namespace), members);
        let made = futures::stream::select_all([
            made::<ServiceAccount>(&client, namespace, &ours),
            made::<Role>(&client, namespace, &ours),
            made::<RoleBinding>(&client, namespace, &ours),
            made::<DaemonSet>(&client, namespace, &ours),
        ]);
        let (leases, of_leases) = reflect_with(of(&leases()), labelled, leases());
        let (secrets, of_secrets) = reflect(
            Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), namespace),
            all,
        );
        let ages: Arc<Ages> = Arc::default();
        let changes = Changes {
            clusters: of_clusters,
            policies: of_policies,
            nodes: sieve(of_nodes, of_node),
            pods: of_pods,
            made: made.boxed(),
            leases: sieve(ageing(of_leases, Arc::clone(&ages)), of_lease),
            secrets: of_secrets,
        };
        let world = Self {
            client,
            namespace: namespace.to_owned(),
            clusters,
            policies,
            nodes,
            pods,
            leases,
            secrets,
            ages,
        };
        (world, changes)
    }

    /// Waits until all of it was read once.
    pub(crate) async fn read(&self) {
        // Whoever fills them goes on as long as the process does.
        let _all = tokio::join!(
            self.clusters.wait_until_ready(),
            self.policies.wait_until_ready(),
            self.nodes.wait_until_ready(),
            self.pods.wait_until_ready(),
            self.leases.wait_until_ready(),
            self.secrets.wait_until_ready(),
        );
    }

    /// Writes the status of an object of ours.
    ///
    /// The API server applies nothing to an object that breaks the structure of its definition: one that another
    /// definition took. To say so its status is patched.
    pub(crate) async fn tell(
        &self,
        kind: &ApiResource,
        object: &DynamicObject,
        status: Value,
    ) -> Result<(), kube::Error> {
        let name = object.name_any();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, kind);
        let patch = json!({
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": { "name": name, "uid": object.metadata.uid },
            "status": status,
        });
        let how = PatchParams::apply(STATUS_MANAGER).force();
        let Err(refused) = api.patch_status(&name, &how, &Patch::Apply(&patch)).await else {
            return Ok(());
        };
        if !is_untyped(&refused) {
            return Err(refused);
        }
        let how = PatchParams {
            field_manager: Some(STATUS_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({
            "metadata": { "uid": object.metadata.uid },
            "status": instead(object.data.get("status"), status),
        });
        let patched = api.patch_status(&name, &how, &Patch::Merge(&patch)).await;
        patched.map(|_| ())
    }

    /// For how long a Lease has not been seen to change.
    pub(crate) fn age(&self, lease: &str, now: Instant) -> Option<Duration> {
        self.ages.of(lease).map(|at| now.since(at))
    }

    /// The cluster of this name.
    pub(crate) fn cluster(&self, name: &str) -> Option<Arc<DynamicObject>> {
        self.clusters
            .get(&reflector::ObjectRef::new_with(name, clusters()).within(&self.namespace))
    }

    /// The version of the Secret of this name; none: there is none.
    pub(crate) fn secret_version(&self, name: &str) -> Option<String> {
        let secret = self
            .secrets
            .get(&reflector::ObjectRef::new(name).within(&self.namespace));
        secret?.resource_version()
    }

    /// The Lease of this name.
    pub(crate) fn lease(&self, name: &str) -> Option<Arc<DynamicObject>> {
        self.leases
            .get(&reflector::ObjectRef::new_with(name, leases()).within(&self.namespace))
    }
}

/// Whether it was not applied because of what the object is, and not of what it was to become.
fn is_untyped(refused: &kube::Error) -> bool {
    let says = ["failed to create typed live object", "to smd typed"];
    let is_said = |message: &str| says.iter().any(|words| message.contains(words));
    matches!(refused, kube::Error::Api(status) if is_said(&status.message))
}

/// A patch that leaves nothing of `before` but what is in `status` too.
fn instead(before: Option<&Value>, status: Value) -> Value {
    let (Some(Value::Object(before)), Value::Object(status)) = (before, &status) else {
        return status;
    };
    let gone = before.keys().map(|key| (key.clone(), Value::Null));
    let stays = status.clone();
    Value::Object(gone.chain(stays).collect())
}

impl Ages {
    fn note(&self, lease: &DynamicObject, now: Instant) {
        let (name, version) = (
            lease.name_any(),
            lease.resource_version().unwrap_or_default(),
        );
        let mut ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ages.get(&name).is_none_or(|(known, _)| *known != version) {
            ages.insert(name, (version, now));
        }
    }

    fn of(&self, lease: &str) -> Option<Instant> {
        let ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ages.get(lease).map(|(_, at)| *at)
    }
}

fn reflect<K>(api: Api<K>, config: watcher::Config) -> (Store<K>, Touched<K>)
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + core::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    reflect_with(api, config, ())
}

fn reflect_with<K>(
    api: Api<K>,
    config: watcher::Config,
    kind: K::DynamicType,
) -> (Store<K>, Touched<K>)
where
    K: Resource + Clone + DeserializeOwned + core::fmt::Debug + Send + Sync + 'static,
    K::DynamicType: Eq + core::hash::Hash + Clone + Send + Sync,
{
    let writer = reflector::store::Writer::new(kind);
    let store = writer.as_reader();
    let stream = watcher(api, config)
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    (store, stream.boxed())
}

/// The clusters of objects of a kind that were made for them, whenever one of these changes.
fn made<K>(client: &Client, namespace: &str, config: &watcher::Config) -> Touched<String>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + core::fmt::Debug
        + Send
        + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client.clone(), namespace);
    watcher(api, config.clone())
        .default_backoff()
        .touched_objects()
        .map_ok(|object| object.labels().get(INSTANCE).cloned().unwrap_or_default())
        .boxed()
}

/// Notes how old each Lease is, as it passes.
fn ageing(leases: Touched<DynamicObject>, ages: Arc<Ages>) -> Touched<DynamicObject> {
    leases
        .inspect(move |lease| {
            if let Ok(lease) = lease {
                ages.note(lease, lns_lease::clock::now());
            }
        })
        .boxed()
}

/// Lets pass what says something else than before, by `gist`.
fn sieve<K>(stream: Touched<K>, gist: fn(&K, &mut DefaultHasher)) -> Touched<K>
where
    K: Resource + Send + 'static,
{
    let mut known: HashMap<String, u64> = HashMap::new();
    stream
        .filter(move |object| {
            let is_news = object.as_ref().map_or(true, |object| {
                let mut hasher = DefaultHasher::new();
                gist(object, &mut hasher);
                let hash = hasher.finish();
                known.insert(object.name_any(), hash) != Some(hash)
            });
            core::future::ready(is_news)
        })
        .boxed()
}

/// What of a Lease somebody acts on: it is renewed each second, and says nothing new by that.
fn of_lease(lease: &DynamicObject, hasher: &mut DefaultHasher) {
    lease.metadata.uid.hash(hasher);
    lease.metadata.deletion_timestamp.is_some().hash(hasher);
    let holder = lease.data.pointer("/spec/holderIdentity");
    holder.map(ToString::to_string).hash(hasher);
    let annotations = lease.annotations().iter();
    // How far a node has read changes all the time, and each write of a master has a number.
    let quiet = [
        "kubelns.io/loaded",
        "kubelns.io/serial",
        "kubelns.io/sessions",
    ];
    for (key, value) in annotations.filter(|(key, _)| !quiet.contains(&key.as_str())) {
        (key, value).hash(hasher);
    }
}

/// What of a node somebody acts on: its kubelet writes it every few seconds.
fn of_node(node: &Node, hasher: &mut DefaultHasher) {
    node.metadata.uid.hash(hasher);
    node.metadata.labels.hash(hasher);
    let spec = node.spec.as_ref();
    spec.and_then(|spec| spec.unschedulable).hash(hasher);
    is_alive(node).hash(hasher);
}

/// Whether Kubernetes has heard of a node lately.
pub(crate) fn is_alive(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
