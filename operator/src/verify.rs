//! `verify`: whether every `LnsCluster` of a namespace is as it says, and whether all who speak of its mastership
//! mean the same: the Lease, which elects; the status, which people read; and the nodes, which say up to which
//! change of which epoch they have what is in the store.
//!
//! It reads and changes nothing. What is under way comes to an end: it looks again until all agree, or for so long as
//! it was told. The store itself is not asked: its address and password are the members' alone.

use core::fmt::Write as _;
use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, Resource as _, ResourceExt as _};
use lns_cluster::Epoch;
use lns_lease::{CLUSTER_LABEL, ClusterName, LeaseName, look};
use serde_json::Value;

use crate::labels::MANAGER;
use crate::run::{Failure, api_server};

/// How often it looks.
const AGAIN: Duration = Duration::from_secs(1);

/// What `verify` takes.
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    /// The namespace in which every LnsCluster is looked at
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: String,
    /// How long what is under way may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience_seconds: u64,
    /// How the API server is reached [default: $KUBECONFIG, ~/.kube/config, or as a pod does]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
}

/// Looks until all is well.
///
/// # Errors
/// What is not, or why it cannot be seen.
pub(crate) fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(error.to_string()))?;
    print!("{}", runtime.block_on(agree(arguments))?);
    Ok(())
}

async fn agree(arguments: &VerifyArguments) -> Result<String, Failure> {
    let config = api_server(arguments.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).map_err(|error| {
        Failure::BadInput(format!("the API server cannot be spoken with: {error}"))
    })?;
    let began = Instant::now();
    let patience = Duration::from_secs(arguments.patience_seconds);
    let leader = leader(&client, &arguments.namespace, began + patience).await?;
    loop {
        let told = look_once(&client, &arguments.namespace).await;
        let told = told.map_err(|error| Failure::Failed(format!("the API server: {error}")))?;
        match told {
            Ok(text) => return Ok(format!("the operator is led by {leader}\n{text}")),
            Err(text) if began.elapsed() >= patience => return Err(Failure::Failed(text)),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Which replica leads: its Lease is renewed while it is watched, whatever the clocks say.
async fn leader(client: &Client, namespace: &str, until: Instant) -> Result<String, Failure> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let mut first = None;
    loop {
        let lease = leases.get_opt(MANAGER).await;
        let lease = lease.map_err(|error| Failure::Failed(format!("the API server: {error}")))?;
        let holder = lease
            .as_ref()
            .and_then(|it| it.spec.as_ref()?.holder_identity.clone());
        let version = lease.and_then(|lease| lease.metadata.resource_version);
        let before = first.get_or_insert_with(|| version.clone());
        if let Some(holder) = holder
            && *before != version
        {
            return Ok(holder);
        }
        if Instant::now() >= until {
            return Err(Failure::Failed(format!(
                "nobody renews the Lease {MANAGER}: no operator runs in namespace {namespace}, or none reaches the API server"
            )));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What there is; the inner error is what is not well.
async fn look_once(
    client: &Client,
    namespace: &str,
) -> Result<Result<String, String>, kube::Error> {
    let kinds = ApiResource::erase::<lns_api::LnsCluster>(&());
    let clusters: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kinds);
    let clusters = clusters.list(&ListParams::default()).await?;
    let kinds = ApiResource::erase::<Lease>(&());
    let leases: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kinds);
    let leases = leases
        .list(&ListParams::default().labels(CLUSTER_LABEL))
        .await?;
    let mut text = String::new();
    let mut problems = Vec::new();
    for cluster in &clusters {
        match judge(cluster, &leases.items) {
            // Writing into a String does not fail.
            Ok(line) => writeln!(text, "{line}").unwrap_or_default(),
            Err(problem) => problems.push(format!("{}: {problem}", cluster.name_any())),
        }
    }
    if clusters.items.is_empty() {
        writeln!(text, "namespace {namespace} has no LnsCluster yet").unwrap_or_default();
    }
    Ok(if problems.is_empty() {
        Ok(text)
    } else {
        Err(problems.join("\n"))
    })
}

/// Whether a cluster is well, and all agree on who its master is.
fn judge(cluster: &DynamicObject, leases: &[DynamicObject]) -> Result<String, String> {
    let called = cluster.name_any();
    let name = ClusterName::new(&called).map_err(|error| error.to_string())?;
    let of = |path: &str| {
        let found = cluster.data.pointer(&format!("/status{path}"));
        found.cloned().unwrap_or(Value::Null)
    };
    if of("/observedGeneration").as_i64() != cluster.meta().generation {
        return Err("the operator has not seen this generation yet".to_owned());
    }
    let ready = condition(&of(""), "Ready");
    let words = |key: &str| {
        let text = ready.get(key).and_then(Value::as_str);
        text.unwrap_or("unknown").to_owned()
    };
    if words("status") != "True" {
        return Err(format!(
            "not Ready: {}: {}",
            words("reason"),
            words("message")
        ));
    }
    let found = |name: &LeaseName| {
        let mut all = leases.iter();
        all.find(|lease| lease.name_any() == name.as_str())
    };
    let held = found(&LeaseName::master(&name)).and_then(look::held);
    let held = held.ok_or("it is Ready, and no Lease says who is master")?;
    let holder = held
        .holder
        .ok_or("it is Ready, and its Lease has no holder")?;
    let (node, epoch) = (holder.node().to_string(), held.epoch.number());
    let (told, in_epoch) = (of("/active/node"), of("/active/epoch"));
    if told != node || in_epoch != epoch {
        return Err(format!(
            "the Lease says {node} with epoch {epoch}, the status {told} with epoch {in_epoch}"
        ));
    }
    let behind = behind(&name, held.epoch, leases);
    if !behind.is_empty() {
        return Err(format!(
            "the master has epoch {epoch}, and {}",
            behind.join(", ")
        ));
    }
    Ok(format!(
        "{called}: master {node}, epoch {epoch}, {} members",
        of("/members/ready")
    ))
}

/// The nodes that serve, and have what another epoch wrote last.
fn behind(name: &ClusterName, epoch: Epoch, leases: &[DynamicObject]) -> Vec<String> {
    let states = leases.iter().filter_map(|lease| look::node(lease, name));
    let serving = states.filter(|(_, state)| state.ready);
    let others = serving.filter_map(|(node, state)| {
        // Whoever writes the records has loaded none.
        let loaded = state.loaded?;
        (loaded.epoch != epoch)
            .then(|| format!("{node} what epoch {} wrote", loaded.epoch.number()))
    });
    others.collect()
}

fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status.get("conditions").and_then(Value::as_array);
    let mut all = conditions.into_iter().flatten();
    let found = all.find(|condition| condition.get("type").is_some_and(|it| it == kind));
    found.cloned().unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn cluster(node: &str, epoch: u64, ready: &str) -> DynamicObject {
        object(json!({
            "apiVersion": "kubelns.io/v1alpha1", "kind": "LnsCluster",
            "metadata": { "name": "edge", "namespace": "lns", "generation": 3 },
            "status": {
                "observedGeneration": 3,
                "active": { "node": node, "epoch": epoch },
                "members": { "desired": 2, "ready": 2 },
                "conditions": [{ "type": "Ready", "status": ready, "reason": "NoMaster", "message": "nobody" }],
            },
        }))
    }

    fn lease(name: &LeaseName, kind: &str, annotations: &Value, holder: &str) -> DynamicObject {
        object(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": name.as_str(), "namespace": "lns", "resourceVersion": "7",
                "labels": { "kubelns.io/cluster": "edge", "kubelns.io/lease": kind },
                "annotations": annotations,
            },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 5, "acquireTime": "2026-11-27T20:00:00.000000Z" },
        }))
    }

    fn leases(epoch: &str, loaded: &str) -> Vec<DynamicObject> {
        let name = ClusterName::new("edge").unwrap();
        let node = lns_cluster::NodeName::new("b").unwrap();
        let of_node = json!({
            "kubelns.io/node": "b", "kubelns.io/ready": "true", "kubelns.io/version": "1",
            "kubelns.io/loaded": loaded,
        });
        vec![
            lease(
                &LeaseName::master(&name),
                "master",
                &json!({ "kubelns.io/epoch": epoch }),
                "a/pod/boot/nonce",
            ),
            lease(&LeaseName::node(&name, &node), "node", &of_node, "b/1"),
        ]
    }

    #[test]
    fn all_who_speak_of_a_mastership_must_mean_the_same() {
        let ready = cluster("a", 4, "True");
        assert_eq!(
            judge(&ready, &leases("4", "4-17")),
            Ok("edge: master a, epoch 4, 2 members".to_owned())
        );
        let told =
            |cluster: &DynamicObject, leases: &[DynamicObject]| judge(cluster, leases).unwrap_err();
        assert_eq!(
            told(&ready, &leases("5", "5-1")),
            "the Lease says a with epoch 5, the status \"a\" with epoch 4"
        );
        assert_eq!(
            told(&ready, &leases("4", "3-900")),
            "the master has epoch 4, and b what epoch 3 wrote"
        );
        assert!(told(&cluster("b", 4, "True"), &leases("4", "4-1")).contains("the status \"b\""));
        assert_eq!(
            told(&ready, &[]),
            "it is Ready, and no Lease says who is master"
        );
        assert_eq!(
            told(&cluster("a", 4, "False"), &leases("4", "4-1")),
            "not Ready: NoMaster: nobody"
        );
    }

    #[test]
    fn what_an_older_generation_says_counts_for_nothing() {
        let mut changed = cluster("a", 4, "True");
        changed.metadata.generation = Some(4);
        let told = judge(&changed, &leases("4", "4-1"));
        assert_eq!(
            told,
            Err("the operator has not seen this generation yet".to_owned())
        );
    }
}
