//! What is found of a cluster: its nodes, their pods and Leases, the master.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as PodObject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use lns_api::fence::{self, Fenced};
use lns_cluster::NodeName;
use lns_lease::{ClusterName, LeaseName, NodeState, look};
use serde_json::Value;

use super::Context;
use super::build::{Plan, digest_of};
use super::rollout::{Health, Place, Pod};
use super::status::{Aside, Found, MasterSeen, NodeSeen, StoreSeen};
use super::validate::{Named, Valid};
use crate::labels::{INSTANCE, LNSD, ROLE};
use crate::world::is_alive;

/// A Lease of a master that was not renewed for this many times as long as it lasts is nobody's: clocks differ, and
/// events of the API server come late.
const LAPSED: u32 = 3;

/// How Kubernetes calls an image that cannot be had.
const NO_IMAGE: [&str; 4] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
];

impl Context {
    /// Everything that a status is made of, but for what is carried out now.
    pub(super) fn look(
        &self,
        object: &DynamicObject,
        named: &Named,
        valid: Option<&Valid>,
    ) -> Found {
        let name = object.name_any();
        let mut found = Found {
            generation: object.metadata.generation.unwrap_or_default(),
            ..Found::default()
        };
        let Ok(cluster) = ClusterName::new(&name) else {
            return found;
        };
        let pods = self.pods_of(&name);
        let wanted: BTreeSet<String> = match valid {
            Some(valid) => valid.plan.nodes.iter().map(ToString::to_string).collect(),
            // What is wrong now was right before: its pods are where they were.
            None => pods.iter().filter_map(|pod| node_of(pod)).collect(),
        };
        let in_force = lns_api::digest(&named.cluster, &named.policies);
        let fenced = Fenced::of(object.annotations());
        if let Err(wrong) = &fenced {
            found.misread = Some(wrong.to_string());
        }
        let fenced = fenced.unwrap_or_default();
        found.strangers = strangers(&fenced, &wanted);
        for node in &wanted {
            let pod = pods
                .iter()
                .find(|pod| node_of(pod).as_deref() == Some(node) && !is_leaving(pod));
            let state = NodeName::new(node)
                .ok()
                .and_then(|node| self.state(&cluster, &node));
            let mut seen = self.node_seen(node, pod.map(|pod| &**pod));
            seen.aside = self.aside(node, state.as_ref(), &fenced);
            let has_taken = has_in_force(state.as_ref(), &in_force);
            if valid.is_some() && seen.is_ready && !has_taken {
                found.lagging.push(node.clone());
            }
            found.nodes.push(seen);
        }
        found.master = self.master(&cluster);
        found.store = found
            .master
            .as_ref()
            .and_then(|master| self.store(&cluster, &master.node));
        found
    }

    /// Members that serve and do not have in force what the objects say now.
    pub(crate) fn lagging(&self, object: &DynamicObject) -> Vec<String> {
        let name = object.name_any();
        let (Ok(cluster), Ok(value)) = (ClusterName::new(&name), serde_json::to_value(object))
        else {
            return Vec::new();
        };
        let in_force = lns_api::digest(&value, &self.policies_for(&name));
        let serving = self.pods_of(&name).into_iter().filter(|pod| is_ready(pod));
        let nodes = serving.filter_map(|pod| node_of(&pod));
        let lags = |node: &String| {
            let state = NodeName::new(node)
                .ok()
                .and_then(|node| self.state(&cluster, &node));
            !has_in_force(state.as_ref(), &in_force)
        };
        nodes.filter(lags).collect()
    }

    /// The policies that are for a cluster.
    pub(super) fn policies_for(&self, cluster: &str) -> Vec<Value> {
        let policies = self.world.policies.state();
        // There may be a thousand of them, and each look at each asks for those of one cluster.
        let concerned = policies
            .iter()
            .filter(|policy| lns_api::is_for(&policy.data, cluster));
        concerned
            .filter_map(|policy| serde_json::to_value(&**policy).ok())
            .collect()
    }

    /// Whether a node leaves the service to the others.
    fn aside(&self, node: &str, state: Option<&NodeState>, fenced: &Fenced) -> Aside {
        let said = state.and_then(|state| state.notes.get("aside"));
        match said {
            _ if fenced.has(node) => Aside::Fenced,
            Some("drained") => Aside::Drained,
            Some("draining") => Aside::Draining,
            _ if self.cordoned().contains(node) => Aside::Cordoned,
            _ => Aside::No,
        }
    }

    pub(super) fn pods_of(&self, cluster: &str) -> Vec<Arc<PodObject>> {
        let all = self.world.pods.state();
        let of = |pod: &Arc<PodObject>| pod.labels().get(INSTANCE).is_some_and(|it| it == cluster);
        all.into_iter().filter(of).collect()
    }

    fn node_seen(&self, name: &str, pod: Option<&PodObject>) -> NodeSeen {
        let nodes = self.world.nodes.state();
        let node = nodes.iter().find(|node| node.name_any() == name);
        let trouble = pod.and_then(trouble);
        NodeSeen {
            name: name.to_owned(),
            is_alive: node.is_some_and(|node| is_alive(node)),
            is_ready: pod.is_some_and(is_ready),
            lacks_image: trouble
                .as_ref()
                .is_some_and(|(reason, _)| NO_IMAGE.contains(&reason.as_str())),
            trouble: trouble.map(|(reason, message)| match message {
                Some(message) => format!("{reason}: {message}"),
                None => reason,
            }),
            aside: Aside::No,
        }
    }

    /// What a node says of itself.
    pub(super) fn state(&self, cluster: &ClusterName, node: &NodeName) -> Option<NodeState> {
        let lease = self.world.lease(LeaseName::node(cluster, node).as_str())?;
        look::node(&lease, cluster).map(|(_, state)| state)
    }

    /// The clusters whose master was heard of lately.
    pub(crate) fn led(&self) -> Vec<String> {
        let clusters = self.world.clusters.state();
        let names = clusters.iter().map(|cluster| cluster.name_any());
        let is_led = |name: &String| {
            let name = ClusterName::new(name).ok();
            name.is_some_and(|name| self.master(&name).is_some())
        };
        names.filter(is_led).collect()
    }

    fn master(&self, cluster: &ClusterName) -> Option<MasterSeen> {
        let name = LeaseName::master(cluster);
        let lease = self.world.lease(name.as_str())?;
        let held = look::held(&lease)?;
        let holder = held.holder?;
        let lasts = lease.data.pointer("/spec/leaseDurationSeconds")?.as_u64()?;
        let lasts = core::time::Duration::from_secs(lasts).saturating_mul(LAPSED);
        if self.world.age(name.as_str(), lns_lease::clock::now())? > lasts {
            return None;
        }
        let state = self.state(cluster, holder.node());
        let note = |name: &str| state.as_ref().and_then(|state| state.notes.get(name));
        Some(MasterSeen {
            node: holder.node().to_string(),
            pod_uid: look::pod_uid(&holder),
            epoch: held.epoch.number(),
            since: held.since.map(|at| Time(at.0)),
            version: state.as_ref().map(|state| state.version.clone()),
            record_format: note("format").and_then(|text| text.parse().ok()),
            sessions: note("sessions").and_then(|text| text.parse().ok()),
        })
    }

    /// What a master says of its store.
    fn store(&self, cluster: &ClusterName, master: &str) -> Option<StoreSeen> {
        let state = self.state(cluster, &NodeName::new(master).ok()?)?;
        match state.notes.get("store")? {
            "synced" => Some(StoreSeen::Synced),
            why => Some(StoreSeen::Late(why.to_owned())),
        }
    }

    /// The pods of the nodes that are wanted, for a rollout.
    pub(super) fn places(&self, plan: &Plan, members: &DaemonSet, found: &Found) -> Vec<Place> {
        let template = members
            .spec
            .as_ref()
            .and_then(|spec| spec.template.metadata.as_ref());
        let wanted = digest_of(template.and_then(|metadata| metadata.annotations.as_ref()));
        let pods = self.pods_of(&plan.cluster);
        let Ok(cluster) = ClusterName::new(&plan.cluster) else {
            return Vec::new();
        };
        let master = found.master.as_ref().map(|master| master.node.as_str());
        let is_fenced = |name: &str| {
            let seen = found.nodes.iter().find(|node| node.name == name);
            seen.is_some_and(|node| node.aside == Aside::Fenced)
        };
        let place = |node: &NodeName| {
            let name = node.to_string();
            let here = pods
                .iter()
                .filter(|pod| node_of(pod).as_deref() == Some(&name));
            // While one goes another one may have come already.
            let pod = here.min_by_key(|pod| is_leaving(pod));
            let synced = self.state(&cluster, node).is_some_and(|state| state.ready);
            Place {
                node: node.clone(),
                pod: pod.map(|pod| Pod {
                    name: pod.name_any(),
                    uid: pod.uid().unwrap_or_default(),
                    is_current: digest_of(pod.metadata.annotations.as_ref()) == wanted,
                    is_leaving: is_leaving(pod),
                    is_master: master == Some(&name),
                    role: pod.labels().get(ROLE).cloned(),
                    health: match (is_ready(pod), synced) {
                        // It serves nobody, and is not to: it is not waited for.
                        _ if is_fenced(&name) => {
                            if digest_of(pod.metadata.annotations.as_ref()) == wanted {
                                Health::Whole
                            } else {
                                Health::Away
                            }
                        }
                        (true, true) => Health::Whole,
                        (true, false) => Health::Behind,
                        (false, _) => Health::Away,
                    },
                }),
            }
        };
        // A node that Kubernetes does not hear of is away whatever is done: nobody waits for it.
        let nodes = found.nodes.iter().filter(|node| node.is_alive);
        let alive: BTreeSet<&str> = nodes.map(|node| node.name.as_str()).collect();
        let nodes = plan.nodes.iter();
        nodes
            .filter(|node| alive.contains(node.to_string().as_str()))
            .map(place)
            .collect()
    }
}

/// Names that are fenced and are no members'.
fn strangers(fenced: &Fenced, members: &BTreeSet<String>) -> Vec<String> {
    let named = fenced.names().filter(|name| *name != fence::ALL);
    let unknown = named.filter(|name| !members.contains(*name));
    unknown.map(str::to_owned).collect()
}

/// Whether a node says that it has these objects in force.
fn has_in_force(state: Option<&NodeState>, digest: &str) -> bool {
    state.is_some_and(|state| state.notes.get("objects") == Some(digest))
}

fn node_of(pod: &PodObject) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

fn is_leaving(pod: &PodObject) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn is_ready(pod: &PodObject) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let conditions = conditions.into_iter().flatten();
    !is_leaving(pod)
        && conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

/// Why the container of a member does not run: a reason and what Kubernetes says of it.
fn trouble(pod: &PodObject) -> Option<(String, Option<String>)> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let of_member = |status: &&ContainerStatus| status.name == LNSD;
    let state = statuses.iter().find(of_member)?.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        return Some((waiting.reason.clone()?, waiting.message.clone()));
    }
    let ended = state.terminated.as_ref()?;
    Some((ended.reason.clone()?, ended.message.clone()))
}
