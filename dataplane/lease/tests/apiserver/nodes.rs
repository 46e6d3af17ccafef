//! Nodes' own Leases.

use core::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use lns_cluster::NodeName;
use lns_lease::{ClusterName, LeaseName, NodeConfig, NodeState, Notes, announce, directory};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::world::World;

/// Waits until what is made known is as it should be.
async fn becomes<T>(mut known: watch::Receiver<T>, as_it_should: impl FnMut(&T) -> bool) {
    let becomes = timeout(Duration::from_secs(60), known.wait_for(as_it_should)).await;
    assert!(becomes.is_ok_and(|known| known.is_ok()));
}

pub(crate) async fn a_node_keeps_its_own_lease_and_whoever_likes_finds_it(world: &World) {
    world.permit().await;
    let node = NodeName::new("worker-1.example").unwrap();
    let cluster = ClusterName::new("isp").unwrap();
    let lease = LeaseName::node(&cluster, &node);
    let config = NodeConfig {
        namespace: world.namespace().to_owned(),
        cluster: cluster.clone(),
        node: node.clone(),
        pod_uid: None,
        manager: "lns-dataplane".to_owned(),
        renew: Duration::from_secs(5),
    };
    let kept = announce(config, NodeState::default(), world.client()).unwrap();
    let followed = directory(world.namespace(), cluster, world.client());
    becomes(followed.nodes.clone(), |nodes| {
        nodes.entries.contains_key(&node)
    })
    .await;

    kept.state.send_modify(|state| {
        state.ready = true;
        state.peer = Some("192.0.2.1:1702".parse().unwrap());
    });
    let says = kept.state.borrow().clone();
    becomes(followed.nodes.clone(), |nodes| {
        nodes.entries[&node].state == says
    })
    .await;

    // What somebody asks of it stays, and is handed on.
    let asks = json!({ "metadata": { "annotations": { "kubelns.io/drain": "yes" } } });
    let patched = world
        .leases
        .patch(lease.as_str(), &PatchParams::default(), &Patch::Merge(asks))
        .await;
    patched.unwrap();
    becomes(kept.asked.clone(), |asked| {
        asked.get("drain") == Some("yes")
    })
    .await;
    let mut notes = Notes::default();
    notes.set("drained", "yes").unwrap();
    kept.state.send_modify(|state| state.notes = notes);
    let both = |notes: &Notes| notes.get("drain").is_some() && notes.get("drained").is_some();
    becomes(followed.nodes.clone(), |nodes| {
        both(&nodes.entries[&node].state.notes)
    })
    .await;

    world
        .leases
        .delete(lease.as_str(), &DeleteParams::default())
        .await
        .unwrap();
    let is_anew = |nodes: &lns_lease::Nodes| {
        let entry = nodes.entries.get(&node);
        entry.is_some_and(|entry| entry.state.notes.get("drain").is_none())
    };
    becomes(followed.nodes.clone(), is_anew).await;

    drop(kept.state);
    kept.task.await.unwrap();
    let ended = |nodes: &lns_lease::Nodes| {
        nodes
            .entries
            .get(&node)
            .is_some_and(|entry| entry.holder.is_none() && !entry.state.ready)
    };
    becomes(followed.nodes.clone(), ended).await;
    assert_eq!(*kept.trouble.borrow(), None);
    drop(followed.nodes);
    followed.task.abort();
}
