//! Objects that keep to another schema than the operator's: a newer one that was taken back, or an older one.

use core::time::Duration;
use std::time::Instant;

use futures::FutureExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use lns_api::Resource;
use serde_json::{Value, json};

use crate::world::{World, condition, says};

const IMAGE: &str = "registry.example/lns:1";

/// A number that is a word there.
const FIELD: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/lacs/items/properties/helloSeconds";

pub(crate) async fn an_object_of_another_schema_is_stalled_and_the_others_are_followed(
    world: &World,
) {
    world.node("a").await;
    let operator = world.operator(IMAGE);
    let objects = world.example("odd");
    let mut odd = objects[0].clone();
    // All that it names is there.
    for secret in objects.iter().filter(|it| it["kind"] == "Secret") {
        world.apply_one(secret).await.unwrap();
    }
    odd["spec"]["subscribers"]["defaultPolicyRefs"] = json!([]);
    odd["spec"]["lacs"][0]["helloSeconds"] = json!("soon");
    odd["spec"]["nodeSelector"] = json!({ "nobody": "has" });
    let wider = wider();
    // Whatever happens, others need the true one.
    let made = core::panic::AssertUnwindSafe(async {
        define(world, &wider).await;
        until_created(world, &odd).await;
    });
    let made = made.catch_unwind().await;
    define(world, &json!(Resource::LnsCluster.crd())).await;
    made.unwrap();
    until_refused(world, &odd).await;
    let stored = world.get("LnsCluster", "odd").await;
    assert_eq!(stored["spec"]["lacs"][0]["helloSeconds"], "soon");

    is_stalled(world).await;
    follows(world, "edge").await;
    operator.end();
    // One that begins with it does as well.
    let mut operator = world.operator(IMAGE);
    let policy = world.get("SessionPolicy", "residential").await;
    let change = json!({ "metadata": { "annotations": { "kubelns.io/paused": "true" } } });
    world.merge("LnsCluster", "edge", change).await;
    let paused = |it: &Value| says(it, "Paused", "True", "Annotation");
    world
        .until("LnsCluster", "edge", "the other one is followed", paused)
        .await;
    assert!(policy["status"]["conditions"].is_array());
    is_stalled(world).await;
    assert!(operator.is_running());
    // It can be put right, by whoever wrote it.
    let mut lacs = odd["spec"]["lacs"].clone();
    lacs[0]["helloSeconds"] = json!(60);
    // The API server applies nothing to what it cannot read itself.
    world
        .merge("LnsCluster", "odd", json!({ "spec": { "lacs": lacs } }))
        .await;
    let is_right = |it: &Value| says(it, "Stalled", "True", "NoNodes");
    world
        .until("LnsCluster", "odd", "only nodes are missing", is_right)
        .await;
}

async fn is_stalled(world: &World) {
    let invalid = |it: &Value| {
        says(it, "Stalled", "True", "Invalid")
            && it["status"]["observedGeneration"] == it["metadata"]["generation"]
    };
    let object = world
        .until("LnsCluster", "odd", "it cannot be read", invalid)
        .await;
    let message = condition(&object, "Stalled")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("spec.lacs[0].helloSeconds"), "{message}");
}

async fn follows(world: &World, name: &str) {
    world.apply(&world.example(name)).await;
    let set = format!("{name}-lnsd");
    world
        .until("DaemonSet", &set, "the other one is made", |it| {
            !it.is_null()
        })
        .await;
}

/// The definition with a field that takes anything.
fn wider() -> Value {
    let mut definition = json!(Resource::LnsCluster.crd());
    let field = definition.pointer_mut(FIELD).unwrap();
    *field = json!({ "description": "Anything.", "x-kubernetes-int-or-string": true });
    definition
}

async fn define(world: &World, definition: &Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = definition["metadata"]["name"].as_str().unwrap();
    let mut definition = definition.clone();
    definition["apiVersion"] = json!("apiextensions.k8s.io/v1");
    definition["kind"] = json!("CustomResourceDefinition");
    let how = PatchParams::apply("e2e").force();
    definitions
        .patch(name, &how, &Patch::Apply(&definition))
        .await
        .unwrap();
}

/// The API server goes by a new definition within moments.
async fn until_created(world: &World, object: &Value) {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match world.apply_one(object).await {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_refused(world: &World, object: &Value) {
    let give_up = Instant::now() + Duration::from_secs(30);
    let mut other = object.clone();
    other["metadata"]["name"] = json!("another");
    let only_asked = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    loop {
        let object = serde_json::from_value(other.clone()).unwrap();
        match world
            .objects("LnsCluster")
            .create(&only_asked, &object)
            .await
        {
            Err(kube::Error::Api(status)) if status.message.contains("helloSeconds") => return,
            other => assert!(Instant::now() < give_up, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
