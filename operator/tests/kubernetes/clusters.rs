//! What becomes of an `LnsCluster`.

use core::time::Duration;

use serde_json::{Value, json};

use crate::world::{Operator, World, condition, says};

const IMAGE: &str = "registry.example/lns:1";

/// A cluster whose members serve, one of them as the master.
pub(crate) async fn serving(world: &World, nodes: &[&str], master: &str) -> Operator {
    for node in nodes {
        world.node(node).await;
    }
    world.apply(&world.example("edge")).await;
    let operator = world.operator(IMAGE);
    let made = |it: &Value| !it.is_null();
    world
        .until("DaemonSet", "edge-lnsd", "it is made", made)
        .await;
    for node in nodes {
        world.member("edge", node).await;
    }
    world.elect("edge", master, 1).await;
    operator
}

pub(crate) fn is_ready(object: &Value) -> bool {
    let generation = &object["metadata"]["generation"];
    says(object, "Ready", "True", "Serving")
        && object["status"]["observedGeneration"] == *generation
}

pub(crate) async fn an_object_that_nobody_has_looked_at_says_so(world: &World) {
    world.apply(&world.example("edge")).await;
    for (kind, name) in [("LnsCluster", "edge"), ("SessionPolicy", "residential")] {
        let object = world.get(kind, name).await;
        assert_eq!(
            object["status"],
            json!({ "observedGeneration": -1 }),
            "{kind}"
        );
    }
}

pub(crate) async fn a_cluster_gets_its_objects_and_waits_for_members(world: &World) {
    for node in ["a", "b"] {
        world.node(node).await;
    }
    world.apply(&world.example("edge")).await;
    let operator = world.operator(IMAGE);
    let waits = |it: &Value| says(it, "Reconciling", "True", "MemberNotReady");
    let object = world
        .until("LnsCluster", "edge", "it waits for members", waits)
        .await;
    assert!(says(&object, "MasterElected", "False", "NoMaster"));
    assert_eq!(
        object["status"]["members"],
        json!({ "desired": 2, "ready": 0 })
    );
    let set = world.get("DaemonSet", "edge-lnsd").await;
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], IMAGE);
    assert_eq!(set["spec"]["updateStrategy"]["type"], "OnDelete");
    // It is protected, and nothing of it goes with its object.
    assert_eq!(set["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["kubelns.io/cleanup"])
    );
    let role = world.get("Role", "edge-lnsd").await;
    let mut rules = role["rules"].as_array().unwrap().iter();
    let secrets = rules
        .find(|it| it["resources"] == json!(["secrets"]))
        .unwrap();
    let names = secrets["resourceNames"].as_array().unwrap();
    assert!(names.contains(&json!("edge-peers")));
    operator.end();
}

pub(crate) async fn a_cluster_whose_members_serve_is_ready_and_says_who_is_master(world: &World) {
    let _operator = serving(world, &["a", "b"], "b").await;
    let object = world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    let status = &object["status"];
    let active = &status["active"];
    assert_eq!(active["node"], world.node_name("b"));
    assert_eq!(
        (&active["epoch"], &active["podUid"]),
        (&json!(1), &json!("pod"))
    );
    assert_eq!(status["members"], json!({ "desired": 2, "ready": 2 }));
    assert_eq!(
        (&status["version"], &status["recordFormat"]),
        (&json!("test"), &json!(1))
    );
    assert_eq!(status["sessions"], 120);
    let told = [
        ("Stalled", "False"),
        ("Reconciling", "False"),
        ("StoreSynced", "True"),
        ("Degraded", "False"),
        ("Paused", "False"),
    ];
    for (kind, says) in told {
        assert_eq!(condition(&object, kind)["status"], says, "{kind}");
    }
    // Somebody else is master: that is seen without anything else having changed.
    world.elect("edge", "a", 8).await;
    let is_moved = |it: &Value| it["status"]["active"]["epoch"] == 8;
    let object = world
        .until("LnsCluster", "edge", "another master", is_moved)
        .await;
    assert_eq!(object["status"]["active"]["node"], world.node_name("a"));
    for pod in world.pods().await {
        let role = &pod.metadata.labels.unwrap()["kubelns.io/role"];
        assert!(["master", "standby"].contains(&role.as_str()), "{role}");
    }
}

pub(crate) async fn what_somebody_changes_by_hand_is_put_back(world: &World) {
    world.node("a").await;
    world.apply(&world.example("edge")).await;
    let _operator = world.operator(IMAGE);
    let made = |it: &Value| !it.is_null();
    world
        .until("DaemonSet", "edge-lnsd", "it is made", made)
        .await;
    let other = json!({ "spec": { "template": { "spec": { "hostNetwork": false } } } });
    world.merge("DaemonSet", "edge-lnsd", other).await;
    let on_the_host = |it: &Value| it["spec"]["template"]["spec"]["hostNetwork"] == true;
    world
        .until("DaemonSet", "edge-lnsd", "it is put back", on_the_host)
        .await;
    let sets = world.objects("DaemonSet");
    sets.delete("edge-lnsd", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world
        .until("DaemonSet", "edge-lnsd", "it is made again", made)
        .await;
    let roles = world.objects("Role");
    roles
        .delete("edge-lnsd", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world
        .until("Role", "edge-lnsd", "so are the rights", made)
        .await;
}

pub(crate) async fn what_is_wrong_is_stalled_with_the_field_and_goes_on_when_it_is_put_right(
    world: &World,
) {
    world.node("a").await;
    let objects = world.example("edge");
    let peers = objects
        .iter()
        .find(|it| it["metadata"]["name"] == "edge-peers")
        .unwrap()
        .clone();
    world.apply(&objects).await;
    world.delete_secret("edge-peers").await;
    let _operator = world.operator(IMAGE);
    let lacks = |it: &Value| says(it, "Stalled", "True", "SecretMissing");
    let object = world
        .until("LnsCluster", "edge", "a Secret is missing", lacks)
        .await;
    assert!(
        condition(&object, "Stalled")["message"]
            .as_str()
            .unwrap()
            .contains("edge-peers")
    );
    assert_eq!(condition(&object, "Ready")["status"], "False");
    assert_eq!(world.get("DaemonSet", "edge-lnsd").await, Value::Null);
    world.apply_one(&peers).await.unwrap();
    let goes_on = |it: &Value| says(it, "Stalled", "False", "NotStalled");
    world
        .until("LnsCluster", "edge", "it goes on", goes_on)
        .await;
    world
        .until("DaemonSet", "edge-lnsd", "it is made", |it| !it.is_null())
        .await;
    // What the API server cannot check: pools that overlap.
    let pool = json!({ "name": "more", "localAddress": "100.64.0.1", "prefixes": [{ "cidr": "100.64.1.0/24" }] });
    let mut overlapping = world.get("LnsCluster", "edge").await["spec"]["pools"].clone();
    overlapping.as_array_mut().unwrap().push(pool);
    world
        .merge(
            "LnsCluster",
            "edge",
            json!({ "spec": { "pools": overlapping } }),
        )
        .await;
    let invalid = |it: &Value| says(it, "Stalled", "True", "Invalid");
    let object = world
        .until("LnsCluster", "edge", "pools overlap", invalid)
        .await;
    let message = condition(&object, "Stalled")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("spec.pools["), "{message}");
    // What ran goes on.
    assert_ne!(world.get("DaemonSet", "edge-lnsd").await, Value::Null);
    let events = world
        .objects("Event")
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let reasons: Vec<_> = events
        .iter()
        .map(|event| event.data["reason"].clone())
        .collect();
    assert!(reasons.contains(&json!("SecretMissing")), "{reasons:?}");
}

pub(crate) async fn one_object_that_cannot_be_read_does_not_stop_the_others(world: &World) {
    world.node("a").await;
    let _operator = world.operator(IMAGE);
    // Valid by the schema of the API server, and nothing that a member could do with.
    let mut odd = world.example("odd")[0].clone();
    for field in ["store", "peers"] {
        odd["spec"].as_object_mut().unwrap().remove(field);
    }
    odd["spec"]["nodeSelector"] = json!({ "nobody": "has" });
    odd["spec"]["subscribers"]["defaultPolicyRefs"] = json!([]);
    world.apply_one(&odd).await.unwrap();
    world.apply(&world.example("edge")).await;
    world
        .until("DaemonSet", "edge-lnsd", "the other one is made", |it| {
            !it.is_null()
        })
        .await;
    let refused = |it: &Value| says(it, "Stalled", "True", "Incomplete");
    let object = world
        .until("LnsCluster", "odd", "it says what it lacks", refused)
        .await;
    assert!(
        condition(&object, "Stalled")["message"]
            .as_str()
            .unwrap()
            .contains("spec.store")
    );
}

pub(crate) async fn what_the_api_server_does_not_take_is_stalled_in_its_words(world: &World) {
    world.node("a").await;
    world.apply(&world.example("edge")).await;
    // A label of the pods that is none.
    let operator = world.operator("registry.example/lns:1\npodLabels: { site: \"not a label!\" }");
    let refused = |it: &Value| says(it, "Stalled", "True", "Refused");
    let object = world
        .until("LnsCluster", "edge", "no such label can be", refused)
        .await;
    let message = condition(&object, "Stalled")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("not a label!"), "{message}");
    operator.end();
}

pub(crate) async fn a_paused_cluster_is_left_alone(world: &World) {
    world.node("a").await;
    let mut objects = world.example("edge");
    objects[0]["metadata"]["annotations"] = json!({ "kubelns.io/paused": "true" });
    world.apply(&objects).await;
    let _operator = world.operator(IMAGE);
    let paused = |it: &Value| says(it, "Paused", "True", "Annotation");
    world
        .until("LnsCluster", "edge", "it is paused", paused)
        .await;
    assert_eq!(world.get("DaemonSet", "edge-lnsd").await, Value::Null);
    world
        .merge(
            "LnsCluster",
            "edge",
            json!({ "metadata": { "annotations": { "kubelns.io/paused": null } } }),
        )
        .await;
    world
        .until("DaemonSet", "edge-lnsd", "it goes on", |it| !it.is_null())
        .await;
}

pub(crate) async fn a_node_serves_one_cluster(world: &World) {
    world.node("a").await;
    world.apply(&world.example("edge")).await;
    // Times of objects have seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut rim = world.example("rim")[0].clone();
    // Policies of the example are for the other one.
    rim["spec"]["subscribers"]["defaultPolicyRefs"] = json!([]);
    world.apply_one(&rim).await.unwrap();
    let _operator = world.operator(IMAGE);
    let conflict = |it: &Value| says(it, "Stalled", "True", "Conflict");
    let object = world
        .until("LnsCluster", "rim", "it has come second", conflict)
        .await;
    assert!(
        condition(&object, "Stalled")["message"]
            .as_str()
            .unwrap()
            .contains("LnsCluster/edge")
    );
    let not_stalled = |it: &Value| says(it, "Stalled", "False", "NotStalled");
    world
        .until(
            "LnsCluster",
            "edge",
            "the first one is not concerned",
            not_stalled,
        )
        .await;
}

pub(crate) async fn what_is_well_is_left_in_peace(world: &World) {
    let _operator = serving(world, &["a"], "a").await;
    world
        .until("LnsCluster", "edge", "it is ready", is_ready)
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let before = (
        world.get("LnsCluster", "edge").await,
        world.get("DaemonSet", "edge-lnsd").await,
    );
    // A master renews its Lease, and nothing else changes.
    for _ in 0..3 {
        world.merge_lease("edge.master").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let after = (
        world.get("LnsCluster", "edge").await,
        world.get("DaemonSet", "edge-lnsd").await,
    );
    assert_eq!(version(&before.0), version(&after.0));
    assert_eq!(version(&before.1), version(&after.1));
}
