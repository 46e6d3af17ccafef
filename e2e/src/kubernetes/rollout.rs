//! Stories of rollouts: what pods look like changes, and one after the other is replaced, the master last.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Story;
use super::bed::{Bed, MEMBERS, PATIENCE, Scene};
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-rollout-crashes",
    says: "every pod is replaced, and the operator that leads is killed at each step of it",
    tell: |scene| interrupted(scene, Some("operator")),
}];

pub(super) const LONG: &[Story] = &[Story {
    name: "kube-rollout",
    says: "every pod is replaced, one after the other",
    tell: |scene| interrupted(scene, None),
}];

/// A pod of a member, as it is seen at one time.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Seen {
    node: String,
    name: String,
    goes: bool,
    ready: bool,
}

/// All of them, in the order of nodes.
type Step = Vec<Seen>;

/// Replaces all pods. At each step that is seen from outside, whoever leads the operator is killed.
fn interrupted(scene: &mut Scene, killed: Option<&str>) -> Result<Expected> {
    let bed = &scene.bed;
    let began = Instant::now();
    let before = step(bed)?;
    let round = format!("dataplane.podAnnotations.round=r{}", std::process::id());
    let word = killed.unwrap_or("nobody");
    bed.upgrade(&[&format!("{round}-{word}")])?;
    let (mut seen, mut kills) = (before.clone(), 0);
    let mut most_away = 0;
    while seen
        .iter()
        .any(|pod| before.iter().any(|old| old.name == pod.name))
        || !is_whole(&seen)
    {
        ensure!(
            began.elapsed() < 3 * PATIENCE,
            "not within {} s: every pod is replaced; there are {seen:?}",
            3 * PATIENCE.as_secs()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = step(bed)?;
        most_away = most_away.max(away(&before, &now));
        if now == seen {
            continue;
        }
        seen = now;
        if killed.is_some() {
            kills += usize::from(kill_leader(bed)?);
        }
    }
    bed.wait_ready(PATIENCE)?;
    ensure!(
        killed.is_none() || kills >= before.len(),
        "only {kills} operators were killed"
    );
    ensure!(most_away <= 1, "{most_away} members were away at once");
    let took = began.elapsed().as_secs();
    scene.newcomers("behind")?;
    scene
        .bed
        .note(format!("{took} s, {kills} operators killed"));
    Ok(Expected::handed_over(1))
}

/// On how many nodes the rollout has taken the member away, and not yet brought one back: the next pod may be there
/// while the one before still goes. One that is not ready and was not touched is no matter of the rollout.
fn away(before: &Step, now: &Step) -> usize {
    let serves = |node: &str| {
        let here = now.iter().filter(|pod| pod.node == node);
        let is_old = |pod: &Seen| before.iter().any(|old| old.name == pod.name);
        here.filter(|pod| !pod.goes)
            .any(|pod| pod.ready || is_old(pod))
    };
    before.iter().filter(|pod| !serves(&pod.node)).count()
}

fn is_whole(step: &Step) -> bool {
    step.iter().all(|pod| !pod.goes && pod.ready)
}

fn step(bed: &Bed) -> Result<Step> {
    let pods = bed.kind.get(&["pod", "-l", MEMBERS])?;
    let pods = pods.pointer("/items").and_then(Value::as_array);
    let one = |pod: &Value| {
        let text = |path| pod.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let ready = pod.pointer("/status/containerStatuses/0/ready");
        Ok(Seen {
            node: text("/spec/nodeName").unwrap_or_default(),
            name: text("/metadata/name").context("a pod without a name")?,
            goes: text("/metadata/deletionTimestamp").is_some(),
            ready: ready == Some(&Value::Bool(true)),
        })
    };
    let step: Result<Vec<_>> = pods.into_iter().flatten().map(one).collect();
    let mut step = step?;
    step.sort();
    Ok(step)
}

/// Kills the pod of the operator that holds the Lease, as a power cut does. Says whether there was one.
fn kill_leader(bed: &Bed) -> Result<bool> {
    let path = "jsonpath={.spec.holderIdentity}";
    let holder = bed
        .kind
        .kubectl(&["get", "lease", "lns-operator", "-o", path])?;
    let pods = bed.operator_pods()?;
    let leader = pods.iter().find(|(_, uid)| holder.contains(uid.as_str()));
    let Some((name, _)) = leader else {
        return Ok(false);
    };
    bed.kind.kubectl(&[
        "delete",
        "pod",
        name,
        "--grace-period=0",
        "--force",
        "--wait=false",
    ])?;
    Ok(true)
}
