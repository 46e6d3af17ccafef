//! Stories of nodes that are taken out of service in good order: cordoned and drained, or fenced.

use std::time::SystemTime;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Story;
use super::bed::{Bed, CLUSTER, PATIENCE, Scene};
use super::kind::node_of;
use crate::cluster::network::Place;
use crate::cluster::scene::{Expected, LONGER, rest};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "kube-drain",
        says: "the master's node is cordoned: it hands over, is passed by and labelled; then kubectl drain, uncordon",
        tell: drain,
    },
    Story {
        name: "kube-fence",
        says: "the master's node is fenced by the annotation: its pod stays, and serves nobody until it is lifted",
        tell: fence,
    },
];

/// What the operator says of a pod to whose node nothing comes any more.
const DRAINED: &str = "/metadata/labels/kubelns.io~1drained";

fn drain(scene: &mut Scene) -> Result<Expected> {
    let (first, node) = (scene.first, node_of(scene.first));
    let kind = &scene.bed.kind;
    kind.kubectl(&["cordon", &node])?;
    scene.leaves(first)?;
    let is_drained = |bed: &Bed| -> Result<bool> {
        Ok(bed.pod(first)?.pointer(DRAINED) == Some(&json!("true")))
    };
    let what = "the pod is labelled as drained";
    kind.wait(PATIENCE, what, |_| is_drained(&scene.bed))?;
    degraded(&scene.bed, "Drained", &node)?;
    scene.newcomers("drained")?;
    kind.kubectl(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=60s",
    ])?;
    kind.kubectl(&["uncordon", &node])?;
    kind.wait(PATIENCE, "the label is gone", |_| {
        Ok(!is_drained(&scene.bed)?)
    })?;
    Ok(Expected::handed_over(1))
}

fn fence(scene: &mut Scene) -> Result<Expected> {
    let (first, node) = (scene.first, node_of(scene.first));
    let pod = scene.bed.pod_name(first)?;
    annotate(&scene.bed, &json!(serde_json::to_string(&[&node])?))?;
    let fenced = fenced(scene, first);
    annotate(&scene.bed, &Value::Null)?;
    let since = fenced?;
    ensure!(scene.bed.pod_name(first)? == pod, "another pod was made");
    Ok(Expected {
        silent: Some((first, since)),
        ..Expected::handed_over(2)
    })
}

/// What is seen while it is fenced; since when it says nothing.
fn fenced(scene: &Scene, first: Place) -> Result<SystemTime> {
    scene.leaves(first)?;
    let since = SystemTime::now();
    degraded(&scene.bed, "Fenced", &node_of(first))?;
    // Whoever follows hands over: to anybody but that one.
    let name = scene.bed.pod_name(scene.master()?)?;
    let command = ["exec", &name, "--", "/usr/local/bin/lnsd", "step-down"];
    scene.bed.kind.kubectl(&command)?;
    rest(LONGER);
    ensure!(scene.master()? != first, "a fenced node is master");
    scene.newcomers("fenced")?;
    Ok(since)
}

fn annotate(bed: &Bed, nodes: &Value) -> Result<()> {
    let annotations = json!({ "kubelns.io/fenced": nodes });
    bed.kind.patch(
        CLUSTER,
        &json!({ "metadata": { "annotations": annotations } }),
    )
}

/// Waits until the cluster says that it is degraded by this, and names the node.
pub(super) fn degraded(bed: &Bed, reason: &str, node: &str) -> Result<()> {
    let what = format!("the cluster says that {node} is {reason}");
    bed.kind.wait(PATIENCE, &what, |_| {
        let (status, why, message) = bed.condition("Degraded")?;
        ensure!(
            status == "True" && why == reason && message.contains(node),
            "{status}, {why}: {message}"
        );
        Ok(true)
    })
}
