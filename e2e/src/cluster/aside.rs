//! Nodes that are taken out of service, as the operator or a person has it done: drained by a note in the node's Lease,
//! fenced by the annotation of the `LnsCluster`.

use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::bed::PATIENCE;
use super::network::Place;
use super::objects::{LEASES, OBJECT};
use super::scene::{Expected, LONGER, Scene, rest};
use super::story::Story;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "cluster-drain",
        says: "the master's node is drained: it hands over, is passed by, and says when nothing comes any more",
        tell: drain,
    },
    Story {
        name: "cluster-fence",
        says: "the master's node is fenced: it serves nobody, and is not master again before that is lifted",
        tell: fence,
    },
];

fn drain(scene: &mut Scene<'_>) -> Result<Expected> {
    let first = scene.first;
    let lease = lease_of(scene, first)?;
    ask(scene, &lease, &json!({ "kubelns.io/drain": "yes" }))?;
    scene.leaves(first)?;
    scene
        .bed
        .node(first)?
        .wait(PATIENCE, "it is drained", |lnsd| {
            let members = lnsd.json(&["members"])?;
            Ok(members.get("aside").is_some_and(|it| it == "drained"))
        })?;
    scene.newcomers("drained")?;
    let said = scene.bed.api.get(&lease)?;
    ensure!(
        note(&said, "aside").is_some_and(|it| it == "drained"),
        "its Lease says {said}"
    );
    ask(scene, &lease, &json!({ "kubelns.io/drain": null }))?;
    Ok(Expected::handed_over(1))
}

fn fence(scene: &mut Scene<'_>) -> Result<Expected> {
    let first = scene.first;
    let list = serde_json::to_string(&[first.name()])?;
    ask(scene, OBJECT, &json!({ "kubelns.io/fenced": list }))?;
    scene.leaves(first)?;
    let at = SystemTime::now();
    scene
        .bed
        .node(first)?
        .wait(PATIENCE, "its gate is closed", |lnsd| {
            let members = lnsd.json(&["members"])?;
            let is_fenced = members.get("aside").is_some_and(|it| it == "fenced");
            Ok(is_fenced && members.get("dataSeconds").is_none_or(Value::is_null))
        })?;
    // Whoever follows hands over: to anybody but that one.
    let second = scene.master()?;
    scene.bed.node(second)?.table(&["step-down"])?;
    rest(LONGER);
    let third = scene.master()?;
    ensure!(third != first, "{first:?} is fenced, and master");
    scene.newcomers("fenced")?;
    ask(scene, OBJECT, &json!({ "kubelns.io/fenced": null }))?;
    Ok(Expected {
        silent: Some((first, at)),
        ..Expected::handed_over(2)
    })
}

fn ask(scene: &Scene<'_>, path: &str, notes: &Value) -> Result<()> {
    let change = json!({ "metadata": { "annotations": notes } });
    scene.bed.api.patch(path, &change)
}

/// Where the Lease of a node is.
fn lease_of(scene: &Scene<'_>, place: Place) -> Result<String> {
    let all = scene.bed.api.get(LEASES)?;
    let leases = all.get("items").and_then(Value::as_array);
    let leases = leases.context("no Leases")?;
    let name = place.name();
    let of = |lease: &&Value| note(lease, "node").is_some_and(|it| *it == *name);
    let lease = leases.iter().find(of);
    let lease = lease.with_context(|| format!("{name} has no Lease"))?;
    let lease = lease.pointer("/metadata/name").and_then(Value::as_str);
    Ok(format!("{LEASES}/{}", lease.context("no name")?))
}

/// An annotation of ours.
fn note<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.pointer(&format!("/metadata/annotations/kubelns.io~1{name}"))
}
