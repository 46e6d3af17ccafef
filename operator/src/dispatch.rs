//! From what has changed to what is to be looked at again.
//!
//! | what changes | what is looked at |
//! |---|---|
//! | an `LnsCluster` | it, the policies that are for it, and the clusters that may want the same nodes |
//! | a `SessionPolicy` | it, and the clusters that it is or was for |
//! | a pod, a Lease, a `DaemonSet` of a cluster | the cluster, and the policies that are for it |
//! | a Secret | the clusters that name it |
//! | a node | all clusters |

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::cluster::Context;
use crate::labels::INSTANCE;
use crate::world::{self, Changes};

/// How often it is looked whether masters are heard of: in memory, no request is made for it.
const LOOK: Duration = Duration::from_secs(5);

/// Something that has changed.
#[derive(Clone, Debug)]
enum Change {
    Cluster(String),
    Policy {
        name: String,
        clusters: BTreeSet<String>,
    },
    /// Something of a cluster.
    Of(String),
    /// Something that was made for a cluster.
    Made(String),
    Secret(String),
    Node,
}

/// What is to be looked at.
pub(crate) struct Queues {
    pub(crate) clusters: BoxStream<'static, ObjectRef<DynamicObject>>,
    pub(crate) policies: BoxStream<'static, ObjectRef<DynamicObject>>,
}

/// The other ends of the queues, and what is known to tell who else is concerned.
pub(crate) struct Dispatch {
    changes: BoxStream<'static, Result<Change, watcher::Error>>,
    clusters: UnboundedSender<String>,
    policies: UnboundedSender<String>,
    /// Which clusters each policy was for, when it was last seen.
    refs: BTreeMap<String, BTreeSet<String>>,
    /// Clusters whose master was heard of lately, when that was looked at last.
    led: BTreeSet<String>,
}

/// Both ends.
pub(crate) fn dispatch(changes: Changes, namespace: &str) -> (Dispatch, Queues) {
    let (clusters, of_clusters) = unbounded_channel();
    let (policies, of_policies) = unbounded_channel();
    let dispatch = Dispatch {
        changes: merged(changes),
        clusters,
        policies,
        refs: BTreeMap::new(),
        led: BTreeSet::new(),
    };
    let queues = Queues {
        clusters: queue(of_clusters, namespace, world::clusters()),
        policies: queue(of_policies, namespace, world::policies()),
    };
    (dispatch, queues)
}

fn queue(
    names: UnboundedReceiver<String>,
    namespace: &str,
    kind: kube::api::ApiResource,
) -> BoxStream<'static, ObjectRef<DynamicObject>> {
    let namespace = namespace.to_owned();
    let names = stream::unfold(names, |mut names| async {
        let name = names.recv().await?;
        Some((name, names))
    });
    names
        .map(move |name| ObjectRef::new_with(&name, kind.clone()).within(&namespace))
        .boxed()
}

fn merged(changes: Changes) -> BoxStream<'static, Result<Change, watcher::Error>> {
    fn each<K>(
        stream: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
        name: impl Fn(K) -> Option<Change> + Send + 'static,
    ) -> BoxStream<'static, Result<Change, watcher::Error>> {
        stream
            .filter_map(move |object| core::future::ready(object.map(&name).transpose()))
            .boxed()
    }
    let label = |object: &BTreeMap<String, String>, key: &str| object.get(key).cloned();
    stream::select_all([
        each(changes.clusters, |it| Some(Change::Cluster(it.name_any()))),
        each(changes.policies, |it| {
            let value = serde_json::to_value(&it).unwrap_or(Value::Null);
            Some(Change::Policy {
                name: it.name_any(),
                clusters: lns_api::rules::policies::clusters(&value)
                    .map(str::to_owned)
                    .collect(),
            })
        }),
        each(changes.pods, move |it| {
            label(it.labels(), INSTANCE).map(Change::Of)
        }),
        each(changes.made, |cluster| Some(Change::Made(cluster))),
        each(changes.leases, move |it| {
            label(it.labels(), lns_lease::CLUSTER_LABEL).map(Change::Of)
        }),
        each(changes.secrets, |it| Some(Change::Secret(it.name_any()))),
        each(changes.nodes, |_| Some(Change::Node)),
    ])
    .boxed()
}

impl Dispatch {
    /// Works until nothing can be followed any more.
    pub(crate) async fn run(mut self, context: Arc<Context>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = self.changes.next() => match change {
                    Some(Ok(change)) => self.handle(change, &context),
                    Some(Err(problem)) => warn!("the API server cannot be followed: {problem}"),
                    None => return,
                },
                _ = look.tick() => self.look_at_masters(&context),
            }
        }
    }

    /// Nobody tells that a master is heard of no more.
    fn look_at_masters(&mut self, context: &Context) {
        let led: BTreeSet<String> = context.led().into_iter().collect();
        for lost in self.led.difference(&led) {
            self.policies_for(lost);
            self.look(lost.clone());
        }
        self.led = led;
    }

    fn handle(&mut self, change: Change, context: &Context) {
        match change {
            Change::Cluster(name) => {
                if context.world.cluster(&name).is_none() {
                    context.doubt(&name);
                    context.metrics.forget(&name);
                }
                // Who has which nodes may be another one's now.
                self.all(context);
                self.policies_for(&name);
                self.look(name);
            }
            Change::Policy { name, clusters } => {
                let before = self.refs.insert(name.clone(), clusters.clone());
                for cluster in before.into_iter().flatten().chain(clusters) {
                    self.look(cluster);
                }
                // Whoever cannot be told has ended.
                let _ended = self.policies.send(name);
            }
            Change::Made(cluster) => {
                context.doubt(&cluster);
                self.look(cluster);
            }
            Change::Of(cluster) => {
                self.policies_for(&cluster);
                self.look(cluster);
            }
            Change::Secret(name) => {
                for cluster in context.clusters_that_name(&name) {
                    self.look(cluster);
                }
            }
            Change::Node => self.all(context),
        }
    }

    fn all(&self, context: &Context) {
        for cluster in context.world.clusters.state() {
            self.look(cluster.name_any());
        }
    }

    fn look(&self, cluster: String) {
        let _ended = self.clusters.send(cluster);
    }

    fn policies_for(&self, cluster: &str) {
        let concerned = self
            .refs
            .iter()
            .filter(|(_, clusters)| clusters.contains(cluster));
        for (policy, _) in concerned {
            let _ended = self.policies.send(policy.clone());
        }
    }
}
