//! Stories of specs that are wrong: the condition `Stalled` says what to do, and nobody notices but whoever made the
//! mistake.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Story;
use super::bed::{Bed, CLUSTER, OPERATOR, PATIENCE, Scene, condition};
use super::objects;
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-bad-specs",
    says: "a Secret that is missing, one without its key, a selector of no node, a policy that is missing, pools that overlap, a second cluster on the same nodes: Stalled, and Ready when it is put right",
    tell: specs,
}];

pub(super) const LONG: &[Story] = &[Story {
    name: "kube-bad-image",
    says: "an image that cannot be pulled: one member waits for it, the others serve",
    tell: image,
}];

/// A Secret that has nothing that anybody reads.
const KEYLESS: &str = "keyless";

/// What is wrong, what it is stalled by, and words that its message has.
type Mistake = (&'static str, Value, &'static str, &'static [&'static str]);

fn mistakes() -> Vec<Mistake> {
    vec![
        (
            "a Secret that is missing",
            json!({ "peers": { "tlsSecretRef": { "name": "nowhere" } } }),
            "SecretMissing",
            &["nowhere", "create it"],
        ),
        (
            "a Secret without its key",
            json!({ "peers": { "tlsSecretRef": { "name": KEYLESS } } }),
            "Invalid",
            &["spec.peers.tlsSecretRef", KEYLESS, "tls."],
        ),
        (
            "a selector of no node",
            json!({ "nodeSelector": { objects::LABEL: null, "kubelns.io/nowhere": "" } }),
            "NoNodes",
            &["kubelns.io/nowhere", "label nodes"],
        ),
        (
            "a policy that is missing",
            json!({ "subscribers": { "defaultPolicyRefs": [{ "name": "nowhere" }] } }),
            "Invalid",
            &["defaultPolicyRefs", "nowhere"],
        ),
        (
            "pools that overlap",
            json!({ "pools": [pool("default", "100.64.0.1", "100.64.0.0/16"), pool("second", "100.64.8.1", "100.64.8.0/24")] }),
            "Invalid",
            &["spec.pools["],
        ),
    ]
}

fn pool(name: &str, local: &str, cidr: &str) -> Value {
    json!({
        "name": name, "localAddress": local, "reuseDelaySeconds": 1,
        "prefixes": [{ "cidr": cidr, "allocation": "Enabled" }],
    })
}

fn specs(scene: &mut Scene) -> Result<Expected> {
    let bed = &scene.bed;
    let keyless = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": KEYLESS, "namespace": "lns" }, "stringData": { "nothing": "of use" },
    });
    bed.kind.apply(&keyless.to_string())?;
    let before = bed.spec()?;
    let mut slowest = Duration::ZERO;
    for (what, change, reason, words) in mistakes() {
        let took = stalls(bed, CLUSTER, &json!({ "spec": change }), reason, words);
        let took = took.map_err(|error| error.context(what.to_owned()));
        // All of the spec, so that nothing of the mistake is left.
        bed.kind.replace_spec(CLUSTER, &before)?;
        slowest = slowest.max(took?);
        bed.wait_ready(PATIENCE)
            .map_err(|error| error.context(format!("after {what}")))?;
    }
    second_cluster(bed)?;
    scene.newcomers("behind")?;
    scene.bed.note(format!(
        "Stalled after {:.1} s at most",
        slowest.as_secs_f64()
    ));
    Ok(Expected::default())
}

/// Makes a change and waits until it is told to be a mistake, in these words.
pub(super) fn stalls(
    bed: &Bed,
    object: &str,
    change: &Value,
    reason: &str,
    words: &[&str],
) -> Result<Duration> {
    let began = Instant::now();
    bed.kind.patch(object, change)?;
    is_stalled(bed, object, reason, words)?;
    Ok(began.elapsed())
}

fn is_stalled(bed: &Bed, object: &str, reason: &str, words: &[&str]) -> Result<()> {
    let mut message = String::new();
    bed.kind
        .wait(PATIENCE, &format!("Stalled by {reason}"), |kind| {
            let (status, why, text) = condition(&kind.get(&[object])?, "Stalled")?;
            ensure!(status == "True" && why == reason, "{status}, {why}: {text}");
            message = text;
            Ok(true)
        })?;
    for word in words {
        ensure!(message.contains(word), "{word} is not in: {message}");
    }
    Ok(())
}

/// A cluster on the nodes of another one, with its address.
fn second_cluster(bed: &Bed) -> Result<()> {
    let spec = bed.spec()?;
    let other = json!({
        "apiVersion": "kubelns.io/v1alpha1", "kind": "LnsCluster",
        "metadata": { "name": "rim", "namespace": "lns" }, "spec": spec,
    });
    bed.kind.apply(&other.to_string())?;
    let conflict = is_stalled(
        bed,
        "lnscluster/rim",
        "Conflict",
        &["edge", "select others"],
    );
    bed.kind
        .kubectl(&["delete", "lnscluster/rim", "--timeout=60s"])?;
    conflict?;
    bed.wait_ready(PATIENCE)
}

/// The file that says what pods look like names an image that is nowhere.
fn image(scene: &mut Scene) -> Result<Expected> {
    let bed = &scene.bed;
    let file = bed.kind.get(&["configmap/lns-dataplane"])?;
    let text = file.pointer("/data/dataplane.yaml").and_then(Value::as_str);
    let right = text.unwrap_or_default().to_owned();
    let set = |text: &str| -> Result<()> {
        let change = json!({ "data": { "dataplane.yaml": text } });
        bed.kind.patch("configmap/lns-dataplane", &change)?;
        bed.kind.kubectl(&["rollout", "restart", OPERATOR])?;
        bed.kind
            .kubectl(&["rollout", "status", OPERATOR, "--timeout=120s"])?;
        Ok(())
    };
    set(&right.replace(":e2e", ":nowhere"))?;
    let stalled = is_stalled(bed, CLUSTER, "ImageUnavailable", &["nowhere"]);
    let new = stalled.and_then(|()| scene.newcomers("meanwhile"));
    set(&right)?;
    new?;
    Ok(Expected::default())
}
