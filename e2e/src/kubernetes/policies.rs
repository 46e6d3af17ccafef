//! A story of a `SessionPolicy` that is changed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Story;
use super::bed::{PATIENCE, Scene};
use crate::cluster::flows::Flows;
use crate::cluster::scene::{Expected, Ground as _, rest};

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-policy-change",
    says: "a policy is changed ten times over: all members have it in force, and no packet is lost under it or under none",
    tell: change,
}];

const POLICY: &str = "sessionpolicy/residential";
/// How often it is changed.
const TIMES: u16 = 10;
/// Subscribers of each LAC that the scene has no traffic of, behind those that it has.
const OURS: std::ops::Range<usize> = 26..36;

fn change(scene: &mut Scene) -> Result<Expected> {
    let flows = (0..2).map(|lac| {
        let addresses = scene.addresses(lac);
        let ours = addresses.get(OURS).context("too few subscribers")?;
        let set = 2 + u16::try_from(lac)?;
        Flows::start(scene.lac_space(lac), scene.bed.core(), set, ours)
    });
    let flows = flows.collect::<Result<Vec<_>>>()?;
    rest(1);
    let before = scene.bed.kind.get(&[POLICY])?;
    let mut rules = before
        .pointer("/spec/input/rules")
        .and_then(Value::as_array)
        .cloned()
        .context("a policy without rules")?;
    rules.insert(0, Value::Null);
    let mut slowest = Duration::ZERO;
    for number in 0..TIMES {
        let port = (7000 + number).to_string();
        let rule = json!({ "name": "changed", "protocol": "TCP", "destinationPorts": [port], "action": "Drop" });
        rules.splice(0..1, [rule]);
        let began = Instant::now();
        scene
            .bed
            .kind
            .patch(POLICY, &json!({ "spec": { "input": { "rules": rules } } }))?;
        in_force(scene)?;
        slowest = slowest.max(began.elapsed());
    }
    rest(1);
    for flows in flows {
        let report = flows.end()?;
        report.all_live()?;
        ensure!(report.lost() == [0, 0], "{}", report.shown());
    }
    scene.bed.note(format!(
        "in force everywhere after {} ms at most",
        slowest.as_millis()
    ));
    Ok(Expected::default())
}

/// Waits until the status says that all members have it in force as it is now.
fn in_force(scene: &Scene) -> Result<()> {
    scene
        .bed
        .kind
        .wait(PATIENCE, "the policy is in force", |kind| {
            let policy = kind.get(&[POLICY])?;
            let generation = policy.pointer("/metadata/generation");
            let clusters = policy.pointer("/status/clusters").and_then(Value::as_array);
            let programmed = clusters.into_iter().flatten().all(|cluster| {
                let conditions = cluster.pointer("/conditions").and_then(Value::as_array);
                conditions.into_iter().flatten().any(|it| {
                    it.get("type").is_some_and(|kind| kind == "Programmed")
                        && it.get("status").is_some_and(|status| status == "True")
                        && it.get("observedGeneration") == generation
                })
            });
            ensure!(
                programmed,
                "{}",
                policy.pointer("/status").unwrap_or(&Value::Null)
            );
            Ok(true)
        })
}
