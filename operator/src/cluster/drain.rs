//! Nodes that are cordoned are drained: their member is asked to leave the service to the others, in its Lease, and its
//! pod is labelled once nothing comes there any more.
//!
//! `kubectl drain` passes pods of a `DaemonSet` by and no `PodDisruptionBudget` counts them, so this is what a
//! member's subscribers have instead. Who is master members decide by themselves; this asks, and waits.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use lns_cluster::NodeName;
use lns_lease::{ClusterName, LeaseName};
use serde_json::json;
use tracing::info;

use super::Context;
use super::status::{Aside, NodeSeen};
use crate::error::Error;
use crate::labels::DRAINED;

/// The note in a node's Lease that asks for it, and what it says.
const ASKED: (&str, &str) = ("drain", "yes");

/// Which of these nodes are asked to leave the service to the others: those that are cordoned, as long as one serves that
/// is not.
pub(crate) fn asked(nodes: &[NodeSeen], cordoned: &BTreeSet<String>) -> BTreeSet<String> {
    let stays = |node: &&NodeSeen| {
        node.is_alive
            && node.is_ready
            && node.aside != Aside::Fenced
            && !cordoned.contains(&node.name)
    };
    if nodes.iter().find(stays).is_none() {
        return BTreeSet::new();
    }
    let named = nodes.iter().map(|node| node.name.clone());
    named.filter(|name| cordoned.contains(name)).collect()
}

impl Context {
    /// The nodes that nothing new is to be put on.
    pub(super) fn cordoned(&self) -> BTreeSet<String> {
        let nodes = self.world.nodes.state();
        let cordoned = nodes.iter().filter(|node| {
            let spec = node.spec.as_ref();
            spec.and_then(|spec| spec.unschedulable) == Some(true)
        });
        cordoned.map(|node| node.name_any()).collect()
    }

    /// Asks members to let themselves be drained, or not any more, and labels those that are.
    pub(super) async fn drain(&self, cluster: &str, nodes: &[NodeSeen]) -> Result<(), Error> {
        let Ok(name) = ClusterName::new(cluster) else {
            return Ok(());
        };
        let asked = asked(nodes, &self.cordoned());
        for node in nodes {
            let Ok(known) = NodeName::new(&node.name) else {
                continue;
            };
            let lease = LeaseName::node(&name, &known);
            self.ask(&name, &known, &lease, asked.contains(&node.name))
                .await?;
            self.label_drained(cluster, node).await?;
        }
        Ok(())
    }

    async fn ask(
        &self,
        cluster: &ClusterName,
        node: &NodeName,
        lease: &LeaseName,
        is_asked: bool,
    ) -> Result<(), Error> {
        let Some(state) = self.state(cluster, node) else {
            return Ok(());
        };
        let was_asked = state.notes.get(ASKED.0) == Some(ASKED.1);
        if was_asked == is_asked {
            return Ok(());
        }
        let leases: Api<Lease> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let key = format!("kubelns.io/{}", ASKED.0);
        let patch = json!({ "metadata": { "annotations": { key: is_asked.then_some(ASKED.1) } } });
        let how = PatchParams::default();
        leases
            .patch_metadata(lease.as_str(), &how, &Patch::Merge(patch))
            .await
            .map_err(Error::Api)?;
        info!(%cluster, %node, drain = is_asked, "the node is cordoned, or is not any more");
        Ok(())
    }

    async fn label_drained(&self, cluster: &str, node: &NodeSeen) -> Result<(), Error> {
        let pods = self.pods_of(cluster);
        let here = |pod: &&std::sync::Arc<PodObject>| {
            pod.spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.as_deref() == Some(&node.name))
                && pod.metadata.deletion_timestamp.is_none()
        };
        let Some(pod) = pods.iter().find(here) else {
            return Ok(());
        };
        let is_drained = node.aside == Aside::Drained;
        if pod.labels().contains_key(DRAINED) == is_drained {
            return Ok(());
        }
        let label = is_drained.then_some("true");
        let patch = json!({ "metadata": { "uid": pod.uid(), "labels": { DRAINED: label } } });
        self.patch_pod(&pod.name_any(), &patch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, is_ready: bool, aside: Aside) -> NodeSeen {
        NodeSeen {
            name: name.to_owned(),
            is_alive: true,
            is_ready,
            lacks_image: false,
            trouble: None,
            aside,
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn cordoned_nodes_are_drained_as_long_as_one_serves_that_is_not() {
        let ready = |name| node(name, true, Aside::No);
        let all = [ready("a"), ready("b"), ready("c")];
        assert_eq!(asked(&all, &set(&[])), set(&[]));
        assert_eq!(
            asked(&all, &set(&["a", "c", "elsewhere"])),
            set(&["a", "c"])
        );
        assert_eq!(asked(&all, &set(&["a", "b", "c"])), set(&[]));
        let only_one_well = [ready("a"), node("b", false, Aside::No)];
        assert_eq!(asked(&only_one_well, &set(&["a"])), set(&[]));
        assert_eq!(asked(&only_one_well, &set(&["b"])), set(&["b"]));
        let fenced = [ready("a"), node("b", true, Aside::Fenced)];
        assert_eq!(asked(&fenced, &set(&["a"])), set(&[]));
        let mut dead = [ready("a"), ready("b")];
        dead[1].is_alive = false;
        assert_eq!(asked(&dead, &set(&["a"])), set(&[]));
    }
}
