//! Stories of members' pods.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Story;
use super::bed::{Bed, PATIENCE, Scene};
use super::kind::node_of;
use crate::cluster::network::Place;
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "kube-pod-delete",
        says: "the master's pod is deleted: it hands over, and another one is made",
        tell: delete,
    },
    Story {
        name: "kube-operator-away",
        says: "there is no operator when the master is killed: another one follows, and the pod is started again",
        tell: without_operator,
    },
];

fn delete(scene: &mut Scene) -> Result<Expected> {
    let first = scene.first;
    let name = scene.bed.pod_name(first)?;
    scene
        .bed
        .kind
        .kubectl(&["delete", "pod", &name, "--wait=false"])?;
    let second = scene.another(&[first])?;
    ensure!(first != second, "nobody took over");
    scene.newcomers("second")?;
    scene.bed.kind.wait(PATIENCE, "another pod is made", |_| {
        Ok(scene.bed.pod_name(first)? != name)
    })?;
    Ok(Expected::handed_over(1))
}

fn without_operator(scene: &mut Scene) -> Result<Expected> {
    let first = scene.first;
    let before = restarts(&scene.bed.pod(first)?)?;
    scene.bed.scale_operator(0)?;
    let killed = kill_process(&scene.bed, first);
    let second = killed.and_then(|()| scene.another(&[first]));
    let new = second.and_then(|_| scene.newcomers("second"));
    let came_back = scene
        .bed
        .kind
        .wait(PATIENCE, "the kubelet starts it again", |_| {
            Ok(restarts(&scene.bed.pod(first)?)? > before)
        });
    scene.bed.scale_operator(2)?;
    new.and(came_back)?;
    Ok(Expected::followed())
}

/// Kills the process of a member.
pub(super) fn kill_process(bed: &Bed, place: Place) -> Result<()> {
    let node = node_of(place);
    let process = bed.kind.on(&node, &["pidof", "lnsd"])?;
    bed.kind.on(&node, &["kill", "-KILL", process.trim()])?;
    Ok(())
}

fn restarts(pod: &Value) -> Result<u64> {
    let restarts = pod.pointer("/status/containerStatuses/0/restartCount");
    restarts
        .and_then(Value::as_u64)
        .context("a pod without a container")
}
