//! Stories of the chart's hooks: `helm test` and preflight, in pods.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Story;
use super::bed::{Bed, CLUSTER, PATIENCE, Scene};
use super::kind::{CONTROL_PLANE, NAMESPACE, node_of};
use super::mistakes::stalls;
use super::objects::REDIS;
use super::outside;
use crate::cluster::network::Place;
use crate::cluster::scene::Expected;
use crate::net::VIP;
use crate::radius::ADDRESSES;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-preflight",
    says: "preflight stops an upgrade by a node whose port is taken, and says so; where all can be members it passes",
    tell: preflight,
}];

/// It waits for what does not come.
pub(super) const LONG: &[Story] = &[Story {
    name: "kube-helm-test",
    says: "helm test passes, confined, with a handshake; it fails and says why where nobody has the address, and while the cluster is Stalled",
    tell: test,
}];

/// The LAC that `helm test` is, and its Secret.
const PROBE: &str = "probe";
/// Nobody has this address.
const NOBODY: &str = "192.0.2.77";
/// Who runs the pods of `helm test`, as the chart has it.
const CONFINED: u64 = 65_532;
/// The labels of all nodes, and of those of the cluster, as `--set` names them.
const ALL_NODES: &str = r"preflight.nodeSelector.kubernetes\.io/os=linux";
const OUR_NODES: &str = r"preflight.nodeSelector.kubelns\.io/edge=";

fn test(scene: &mut Scene) -> Result<Expected> {
    let bed = &scene.bed;
    let (before, revision) = (bed.spec()?, bed.revision()?);
    let tested = let_in(bed, &before)
        .and_then(|()| passes(bed))
        .and_then(|()| fails(bed));
    bed.kind.replace_spec(CLUSTER, &before)?;
    bed.rollback(&revision)?;
    tested?;
    Ok(Expected::default())
}

/// Has the cluster serve the pod that shakes hands, which is on the control plane's node and comes by the router.
fn let_in(bed: &Bed, spec: &Value) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": PROBE, "namespace": NAMESPACE },
        "stringData": { "current": "a-long-secret-of-the-probe" },
    });
    bed.kind.apply(&secret.to_string())?;
    let [from, _] = ADDRESSES;
    let probe = json!({
        "name": PROBE, "from": [format!("{from}/32")], "hostName": "lnsd-handshake",
        "tunnelAuthentication": { "mode": "Secret", "secretRef": { "name": PROBE } },
    });
    let lacs = spec.get("lacs").and_then(Value::as_array);
    let lacs = [&lacs.cloned().unwrap_or_default()[..], &[probe]].concat();
    bed.kind
        .patch(CLUSTER, &json!({ "spec": { "lacs": lacs } }))?;
    bed.wait_ready(PATIENCE)
}

fn shake(bed: &Bed, address: &str, more: &[&str]) -> Result<()> {
    let address = format!("test.handshakes[0].address={address}");
    let secret = format!("test.handshakes[0].secretRef.name={PROBE}");
    let values = [
        &*address,
        &secret,
        "test.hostNetwork=true",
        r"test.nodeSelector.node-role\.kubernetes\.io/control-plane=",
        "test.tolerations[0].operator=Exists",
    ];
    bed.upgrade(&[&values[..], more].concat())
}

fn passes(bed: &Bed) -> Result<()> {
    shake(bed, &VIP.to_string(), &[])?;
    bed.kind.helm(&["test", "lns"])?;
    says(
        bed,
        "verify",
        &["the operator is led by ", "edge: master ", ", 3 members"],
    )?;
    says(
        bed,
        "handshake",
        &["both sides have proved the secret", "given back"],
    )?;
    ["verify", "handshake"]
        .iter()
        .try_for_each(|test| is_confined(bed, test))
}

fn fails(bed: &Bed) -> Result<()> {
    shake(bed, NOBODY, &["test.patienceSeconds=10"])?;
    let told = format!("{NOBODY}:1701: no answer to ");
    refuses(
        bed,
        "handshake",
        &[&told, "is the address announced", "spec.lacs"],
    )?;
    let change = json!({ "spec": { "peers": { "tlsSecretRef": { "name": "nowhere" } } } });
    stalls(bed, CLUSTER, &change, "SecretMissing", &["nowhere"])?;
    refuses(
        bed,
        "verify",
        &["edge: not Ready: SecretMissing: ", "nowhere"],
    )
}

/// One of the tests fails, and says this.
fn refuses(bed: &Bed, test: &str, words: &[&str]) -> Result<()> {
    let filter = format!("name=lns-test-{test}");
    let failed = bed.kind.helm(&["test", "lns", "--filter", &filter]);
    let error = failed.err().with_context(|| format!("{test} passes"))?;
    let error = format!("{error:#}");
    ensure!(error.contains(&format!("lns-test-{test}")), "{error}");
    says(bed, test, words)
}

fn says(bed: &Bed, test: &str, words: &[&str]) -> Result<()> {
    let said = bed.kind.kubectl(&["logs", &format!("lns-test-{test}")])?;
    for word in words {
        ensure!(said.contains(word), "{test}: {word} is not in: {said}");
    }
    Ok(())
}

/// What the container was run with, as its node has it.
fn is_confined(bed: &Bed, test: &str) -> Result<()> {
    let pod = bed.kind.get(&[&format!("pod/lns-test-{test}")])?;
    let of_pod = |path| pod.pointer(path).and_then(Value::as_str);
    let node = of_pod("/spec/nodeName").context("a pod without a node")?;
    let id = of_pod("/status/containerStatuses/0/containerID");
    let id = id.context("a pod without a container")?;
    let id = id.trim_start_matches("containerd://");
    let info = ["ctr", "-n", "k8s.io", "containers", "info", id];
    let info: Value = serde_json::from_str(&bed.kind.on(node, &info)?)?;
    let of_spec = |path: &str| info.pointer(&format!("/Spec{path}")).cloned();
    let held = of_spec("/process/capabilities/bounding").unwrap_or_default();
    ensure!(
        of_spec("/process/user/uid") == Some(json!(CONFINED))
            && of_spec("/process/noNewPrivileges") == Some(json!(true))
            && of_spec("/root/readonly") == Some(json!(true))
            && of_spec("/linux/seccomp").is_some_and(|it| it.is_object())
            && held.as_array().is_none_or(Vec::is_empty),
        "{test} is not confined: {info}"
    );
    Ok(())
}

fn preflight(scene: &mut Scene) -> Result<Expected> {
    let bed = &scene.bed;
    let revision = bed.revision()?;
    let looked = stopped(bed).and_then(|()| upgrade(bed, &[]));
    bed.rollback(&revision)?;
    looked?;
    Ok(Expected::default())
}

/// Upgrades the release when each node of the cluster has been looked at, and can be a member.
pub(super) fn upgrade(bed: &Bed, values: &[&str]) -> Result<()> {
    let [redis, _] = REDIS;
    let redis = format!("preflight.redis.url=redis://{redis}:6379");
    let address = format!("preflight.addresses={{{VIP}}}");
    let preflight = ["preflight.enabled=true", "preflight.nodes=3", OUR_NODES];
    bed.upgrade(&[&preflight, &[&*address, &*redis][..], values].concat())?;
    let (ended, said) = looked_at(bed)?;
    let all = Place::ALL.map(|place| (node_of(place), "Succeeded".to_owned()));
    ensure!(ended == BTreeMap::from(all), "{ended:?}: {said}");
    let ours = format!("{VIP}:1701 has the lnsd of this node");
    ensure!(said.matches(&ours).count() == Place::ALL.len(), "{said}");
    Ok(())
}

/// Somebody else has the port on a node that is to be a member: nothing is upgraded.
fn stopped(bed: &Bed) -> Result<()> {
    let settings = [
        "get",
        "configmap",
        "lns-dataplane",
        "-o",
        "jsonpath={.data}",
    ];
    let before = bed.kind.kubectl(&settings)?;
    let node = outside::attach(&bed.kind, CONTROL_PLANE)?;
    let taken = node.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 1701)))??;
    let stopped = bed.upgrade(&[
        "preflight.enabled=true",
        "preflight.nodes=4",
        ALL_NODES,
        "dataplane.podAnnotations.round=stopped",
    ]);
    drop(taken);
    let error = stopped.err().context("the upgrade was not stopped")?;
    let error = format!("{error:#}");
    ensure!(error.contains("job lns-preflight failed"), "{error}");
    let (ended, said) = looked_at(bed)?;
    ensure!(
        ended.get(CONTROL_PLANE).is_some_and(|it| it == "Failed"),
        "{ended:?}: {said}"
    );
    for word in [
        "0.0.0.0:1701 is taken",
        "this node can be no member yet: L2TP port",
    ] {
        ensure!(said.contains(word), "{word} is not in: {said}");
    }
    ensure!(bed.kind.kubectl(&settings)? == before, "it was upgraded");
    Ok(())
}

/// Which nodes the last preflight has looked at and how that ended, and what it said.
fn looked_at(bed: &Bed) -> Result<(BTreeMap<String, String>, String)> {
    let job = bed.kind.get(&["job/lns-preflight"])?;
    let uid = job.pointer("/metadata/uid").and_then(Value::as_str);
    let uid = uid.context("a Job without a uid")?;
    let selector = format!("batch.kubernetes.io/controller-uid={uid}");
    let ends = "jsonpath={range .items[*]}{.spec.nodeName} {.status.phase}{\"\\n\"}{end}";
    let pods = ["get", "pods", "-l", &selector, "-o", ends];
    let ended = bed.kind.kubectl(&pods)?;
    let ended = ended.lines().filter_map(|line| line.split_once(' '));
    let ended = ended.map(|(node, phase)| (node.to_owned(), phase.to_owned()));
    let logs = ["logs", "-l", &selector, "--prefix", "--tail=-1"];
    Ok((ended.collect(), bed.kind.kubectl(&logs)?))
}

#[cfg(test)]
mod tests {
    use super::super::objects::LABEL;
    use super::*;

    #[test]
    fn the_nodes_of_the_cluster_are_looked_at() {
        let label = LABEL.replace('.', r"\.");
        assert_eq!(OUR_NODES, format!("preflight.nodeSelector.{label}="));
    }
}
