//! What becomes of a `SessionPolicy`.

use serde_json::{Value, json};

use crate::clusters::serving;
use crate::world::{World, condition, says};

pub(crate) async fn a_policy_names_the_cluster_that_is_not_there(world: &World) {
    let mut objects = world.example("edge");
    let policy = objects
        .iter_mut()
        .find(|it| it["metadata"]["name"] == "residential")
        .unwrap();
    policy["spec"]["clusterRefs"] = json!([{ "name": "nowhere" }]);
    world.apply(&objects).await;
    let _operator = world.operator("registry.example/lns:1");
    let absent = |it: &Value| says(it, "Accepted", "False", "NoSuchCluster");
    let object = world
        .until("SessionPolicy", "residential", "one is missing", absent)
        .await;
    let message = condition(&object, "Accepted")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.starts_with("nowhere: "), "{message}");
    assert_eq!(condition(&object, "Stalled")["status"], "False");
}

pub(crate) async fn a_policy_says_in_which_clusters_it_is_in_force(world: &World) {
    let _operator = serving(world, &["a"], "a").await;
    let in_force = |it: &Value| {
        says(it, "Ready", "True", "Programmed")
            && it["status"]["observedGeneration"] == it["metadata"]["generation"]
    };
    let of = ("SessionPolicy", "residential");
    let object = world.until(of.0, of.1, "it is in force", in_force).await;
    assert_eq!(object["status"]["clusters"][0]["name"], "edge");
    // A change is not in force before members say so.
    world
        .merge(of.0, of.1, json!({ "spec": { "onChange": "Reclassify" } }))
        .await;
    let pending = |it: &Value| says(it, "Programmed", "False", "NotInForce");
    let object = world
        .until(of.0, of.1, "it is not in force yet", pending)
        .await;
    let message = condition(&object, "Programmed")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains(&world.node_name("a")), "{message}");
    world
        .announce("edge", "a", &world.digest("edge").await)
        .await;
    world
        .until(of.0, of.1, "it is in force again", in_force)
        .await;
}
