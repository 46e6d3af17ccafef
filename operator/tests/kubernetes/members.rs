//! What becomes of pods and nodes.

use core::time::Duration;
use std::time::Instant;

use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::world::{World, names, says};

pub(crate) async fn pods_are_replaced_one_at_a_time_and_the_master_last(world: &World) {
    let nodes = ["a", "b", "c"];
    for node in nodes {
        world.node(node).await;
    }
    world.apply(&world.example("edge")).await;
    let operator = world.operator("registry.example/lns:1");
    world
        .until("DaemonSet", "edge-lnsd", "it is made", |it| !it.is_null())
        .await;
    for node in nodes {
        world.member("edge", node).await;
    }
    world.elect("edge", "a", 1).await;
    let ready = |it: &Value| says(it, "Ready", "True", "Serving");
    world
        .until("LnsCluster", "edge", "it is ready", ready)
        .await;
    operator.end();
    let _newer = world.operator("registry.example/lns:2");
    let image = |it: &Value| {
        it["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/lns:2"
    };
    world
        .until("DaemonSet", "edge-lnsd", "another image", image)
        .await;
    let mut order = Vec::new();
    let give_up = Instant::now() + Duration::from_secs(90);
    while order.len() < nodes.len() {
        assert!(Instant::now() < give_up, "{order:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let there = names(&world.pods().await);
        let gone: Vec<_> = nodes
            .iter()
            .filter(|node| !there.contains(&format!("edge-{node}")))
            .collect();
        assert!(gone.len() <= 1, "{gone:?} at once");
        let Some(&&node) = gone.first() else {
            continue;
        };
        // Nobody else goes as long as this one is away.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.pods().await.len(), 2);
        if node == "a" {
            world.elect("edge", "b", 2).await;
        }
        world.member("edge", node).await;
        order.push(node);
    }
    assert_eq!(order, ["b", "c", "a"]);
    world
        .until("LnsCluster", "edge", "it is ready again", ready)
        .await;
    for pod in world.pods().await {
        let image = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers[0].image.clone());
        assert_eq!(
            image.as_deref(),
            Some("registry.example/lns:2"),
            "{}",
            pod.name_any()
        );
    }
}

pub(crate) async fn a_new_node_becomes_a_member_and_may_keep_its_lease(world: &World) {
    world.node("a").await;
    world.apply(&world.example("edge")).await;
    let _operator = world.operator("registry.example/lns:1");
    let leases = |role: &Value| {
        let rules = role["rules"].as_array().cloned().unwrap_or_default();
        let named = rules
            .iter()
            .find(|it| it["resources"] == json!(["leases"]) && it["resourceNames"].is_array());
        named.map_or(0, |rule| rule["resourceNames"].as_array().unwrap().len())
    };
    world
        .until(
            "Role",
            "edge-lnsd",
            "the master's Lease and one node's",
            |it| leases(it) == 2,
        )
        .await;
    world.node("b").await;
    world
        .until("Role", "edge-lnsd", "and another one's", |it| {
            leases(it) == 3
        })
        .await;
    let two = |it: &Value| it["status"]["members"]["desired"] == 2;
    world.until("LnsCluster", "edge", "two members", two).await;
}
