//! The second step: an `LnsCluster` with everything that it names becomes a [`Plan`], or it is said why not.
//!
//! Pure. The objects go through the same reader as a file and as a member's do, so that the operator refuses what
//! members would refuse, in the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use lns_api::rules::members;
use lns_api::{Manifest, parse_objects, secrets_of};
use lns_cluster::NodeName;
use serde_json::Value;

use super::build::Plan;
use super::status::Problem;
use crate::reason;

/// How many problems a condition tells of.
const TOLD: usize = 5;

/// What the API server has of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    /// The `LnsCluster`, as it is there.
    pub(crate) cluster: Value,
    /// The policies that are for it.
    pub(crate) policies: Vec<Value>,
    /// The Secrets that it names, those that are there.
    pub(crate) secrets: Vec<Value>,
    /// All nodes.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The nodes of other clusters.
    pub(crate) others: Vec<Claim>,
}

/// The nodes that a cluster has to itself: there is one subscribers' interface, one port 1701 and one packet filter of
/// ours on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The cluster.
    pub(crate) cluster: String,
    /// When it was made: who came first has the nodes.
    pub(crate) since: String,
    /// Its nodes.
    pub(crate) nodes: BTreeSet<String>,
}

/// A cluster that is as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Valid {
    /// What objects are made of.
    pub(crate) plan: Plan,
    /// What is allowed and yet likely to be a mistake.
    pub(crate) warnings: Vec<String>,
}

/// Looks at all of it.
///
/// # Errors
/// The first thing that somebody has to put right.
pub(crate) fn validate(named: &Named) -> Result<Valid, Problem> {
    let missing = missing_secrets(named);
    if !missing.is_empty() {
        return Err(Problem {
            reason: reason::SECRET_MISSING,
            message: format!(
                "there is no Secret {} in this namespace: create it, or name another one",
                missing.join(", ")
            ),
        });
    }
    let manifest = parse_objects(&named.cluster, &named.policies, &named.secrets)
        .map_err(|errors| problem(reason::INVALID, errors.iter().map(ToString::to_string)))?;
    incomplete(&manifest)?;
    let nodes = nodes_of(&manifest, &named.nodes);
    if nodes.is_empty() {
        return Err(Problem {
            reason: reason::NO_NODES,
            message: format!(
                "spec.nodeSelector: no node has {}: label nodes, or select by other labels",
                selector_text(&manifest)
            ),
        });
    }
    let claim = Claim {
        since: created(&named.cluster),
        cluster: manifest.cluster.metadata.name.clone().unwrap_or_default(),
        nodes: nodes.clone(),
    };
    if let Some(conflict) = conflict(&claim, &named.others) {
        return Err(conflict);
    }
    let metadata = &manifest.cluster.metadata;
    let uid = named
        .cluster
        .pointer("/metadata/uid")
        .and_then(Value::as_str);
    Ok(Valid {
        plan: Plan {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            cluster: metadata.name.clone().unwrap_or_default(),
            uid: uid.unwrap_or_default().to_owned(),
            node_selector: manifest.cluster.spec.node_selector.clone(),
            nodes: nodes
                .iter()
                .filter_map(|name| NodeName::new(name).ok())
                .collect(),
            secrets: secrets_of(&named.cluster),
            is_protected: super::deletion::is_protected(&named.cluster),
        },
        warnings: manifest.warnings,
    })
}

fn missing_secrets(named: &Named) -> Vec<String> {
    let there: BTreeSet<&str> = named
        .secrets
        .iter()
        .filter_map(|secret| secret.pointer("/metadata/name")?.as_str())
        .collect();
    let named = secrets_of(&named.cluster).into_iter();
    named
        .filter(|name| !there.contains(name.as_str()))
        .collect()
}

fn incomplete(manifest: &Manifest) -> Result<(), Problem> {
    let lacking = members::check_in_kubernetes(&manifest.cluster.spec);
    if lacking.is_empty() {
        return Ok(());
    }
    let lines = lacking
        .iter()
        .map(|it| format!("{}: {}", it.path, it.message));
    Err(problem(reason::INCOMPLETE, lines))
}

fn problem(reason: &'static str, lines: impl Iterator<Item = String>) -> Problem {
    let lines: Vec<String> = lines.collect();
    let shown = lines
        .iter()
        .take(TOLD)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    let more = lines.len().saturating_sub(TOLD);
    let message = if more > 0 {
        format!("{shown}; and {more} more")
    } else {
        shown
    };
    Problem { reason, message }
}

/// The nodes that carry all labels of the selector.
fn nodes_of(manifest: &Manifest, nodes: &[Arc<Node>]) -> BTreeSet<String> {
    selected(&manifest.cluster.spec.node_selector, nodes)
}

fn selected(wanted: &BTreeMap<String, String>, nodes: &[Arc<Node>]) -> BTreeSet<String> {
    let carries = |node: &Node| {
        let labels = node.labels();
        wanted
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    };
    let chosen = nodes.iter().filter(|node| carries(node));
    chosen.map(|node| node.name_any()).collect()
}

fn selector_text(manifest: &Manifest) -> String {
    let labels = manifest.cluster.spec.node_selector.iter();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    labels.join(",")
}

/// The nodes of a cluster, valid or not, as far as they can be made out: for the others.
pub(crate) fn claim_of(cluster: &Value, nodes: &[Arc<Node>]) -> Option<Claim> {
    let selector = cluster.pointer("/spec/nodeSelector")?.as_object()?;
    let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let selector: BTreeMap<String, String> = selector.iter().filter_map(label).collect();
    if selector.is_empty() {
        return None;
    }
    Some(Claim {
        cluster: cluster.pointer("/metadata/name")?.as_str()?.to_owned(),
        since: created(cluster),
        nodes: selected(&selector, nodes),
    })
}

/// When an object was made. All such texts have one form, so that they compare.
fn created(object: &Value) -> String {
    let text = object.pointer("/metadata/creationTimestamp");
    text.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn conflict(claim: &Claim, others: &[Claim]) -> Option<Problem> {
    let came_first =
        |other: &&Claim| (&other.since, &other.cluster) < (&claim.since, &claim.cluster);
    others.iter().filter(came_first).find_map(|other| {
        let node = claim.nodes.intersection(&other.nodes).next()?;
        Some(Problem {
            reason: reason::CONFLICT,
            message: format!(
                "spec.nodeSelector: node {node} is LnsCluster/{}'s already, and a node serves one cluster: select others",
                other.cluster
            ),
        })
    })
}

#[cfg(test)]
mod tests;
