//! What Kubernetes is told of a resource: the `status` of [`LnsCluster`](crate::LnsCluster) and of
//! [`SessionPolicy`](crate::SessionPolicy), and the words of their conditions.
//!
//! Whoever reads a status by the rules of kstatus, Argo CD or Flux needs nothing of ours: `Ready` says whether
//! the resource does what its spec says, `Stalled` that it will not until somebody changes something,
//! `Reconciling` that work is under way. An object that nobody has looked at yet has `observedGeneration: -1`,
//! by the default of the definition, so that it is not taken for one that is done.
//!
//! What changes all the time (counters, positions of a stream) is in metrics and not here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::limits;

/// The generation of an object that nobody has looked at.
pub const UNSEEN: i64 = -1;

/// What is told of an LnsCluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LnsClusterStatus {
    /// The metadata.generation that all of this is about. -1: nobody has looked at the object yet.
    #[serde(default = "unseen")]
    pub observed_generation: i64,

    /// Whether it is Ready, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The master. Absent: there is none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,

    /// How many nodes are members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,

    /// The version of the master's software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::VERSION))]
    pub version: Option<String>,

    /// The form in which the master writes records, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub record_format: Option<i32>,

    /// About how many sessions there are: two digits of it, some minutes old. The number
    /// itself is a metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub sessions: Option<i64>,
}

/// The master of a cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Active {
    /// Its node.
    #[schemars(length(max = limits::NODE_NAME))]
    pub node: String,

    /// The uid of its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::UID))]
    pub pod_uid: Option<String>,

    /// The number of its mastership: each has a higher one than all before.
    #[schemars(range(min = 0))]
    pub epoch: i64,

    /// When it became the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Nodes of a cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// Nodes that the selector names.
    #[schemars(range(min = 0))]
    pub desired: i32,

    /// Of them, those that serve subscribers.
    #[schemars(range(min = 0))]
    pub ready: i32,
}

/// What is told of a SessionPolicy.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SessionPolicyStatus {
    /// The metadata.generation that all of this is about. -1: nobody has looked at the object yet.
    #[serde(default = "unseen")]
    pub observed_generation: i64,

    /// Over all clusters that it is for: whether it is Accepted, Programmed and Ready, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,

    /// The same for each cluster that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = limits::CLUSTER_REFS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub clusters: Vec<PolicyInCluster>,
}

/// What a policy is in one cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInCluster {
    /// The name of the LnsCluster.
    #[schemars(length(max = limits::CLUSTER_NAME))]
    pub name: String,

    /// Whether the policy is Accepted there, and Programmed on its nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// One condition of each type.
fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("maxItems".to_owned(), json!(limits::CONDITIONS));
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["type"]));
    schema
}

fn unseen() -> i64 {
    UNSEEN
}

/// The types of conditions.
pub mod condition {
    /// The resource does what its spec says. The one to wait for.
    pub const READY: &str = "Ready";
    /// Something is being changed until it does.
    pub const RECONCILING: &str = "Reconciling";
    /// It will not, until somebody changes something; the message says what.
    pub const STALLED: &str = "Stalled";
    /// One node is the master.
    pub const MASTER_ELECTED: &str = "MasterElected";
    /// The store has all records, and its replicas have them.
    pub const STORE_SYNCED: &str = "StoreSynced";
    /// It serves, and less than all of it works; the message says what.
    pub const DEGRADED: &str = "Degraded";
    /// The operator changes nothing, because it was asked not to.
    pub const PAUSED: &str = "Paused";
    /// Of a policy: it is valid, and its cluster takes it.
    pub const ACCEPTED: &str = "Accepted";
    /// Of a policy: all members of the cluster have it in force.
    pub const PROGRAMMED: &str = "Programmed";
}

/// Annotations of an `LnsCluster`.
pub mod annotation {
    /// `"true"`: the operator changes nothing of this cluster. What runs goes on.
    pub const PAUSED: &str = "kubelns.io/paused";
    /// Nodes that are kept out of service, as a list in JSON: [`crate::fence`].
    pub const FENCED: &str = "kubelns.io/fenced";
}
