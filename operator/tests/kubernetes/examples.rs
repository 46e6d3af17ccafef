//! The files of `crds/examples`, applied as `kubectl apply --server-side` does, and what is said of them.

use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{World, says};

/// An object, and what a condition says of it: kind, name, condition, status, reason.
type Said = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Of each file, what becomes of the objects where no node is theirs: of a policy it is said that it is accepted.
const EXPECTED: [(&str, &[Said]); 4] = [
    (
        "full.yaml",
        &[
            ("LnsCluster", "edge", "Stalled", "True", "NoNodes"),
            (
                "SessionPolicy",
                "residential",
                "Accepted",
                "False",
                "Stalled",
            ),
        ],
    ),
    // What serves alone lacks what a cluster needs.
    (
        "minimal.yaml",
        &[("LnsCluster", "edge", "Stalled", "True", "Incomplete")],
    ),
    (
        "radius.yaml",
        &[("LnsCluster", "edge", "Stalled", "True", "Incomplete")],
    ),
    (
        "residential.yaml",
        &[(
            "SessionPolicy",
            "residential",
            "Accepted",
            "False",
            "NoSuchCluster",
        )],
    ),
];

pub(crate) async fn every_example_is_taken_and_applied_again_changes_nothing(world: &World) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/examples");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        EXPECTED.map(|(file, _)| file),
        "say what becomes of a new example"
    );
    let operator = world.operator("registry.example/lns:1");
    for (file, expected) in EXPECTED {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in &mut objects {
            object["metadata"]["namespace"] = json!(world.namespace);
            apply(world, object).await;
        }
        for &(kind, name, condition, status, reason) in expected {
            let what = format!("{file}: {kind}/{name} {condition}={status} {reason}");
            let is_told = |it: &Value| {
                it["status"]["observedGeneration"] == it["metadata"]["generation"]
                    && says(it, condition, status, reason)
            };
            world.until(kind, name, &what, is_told).await;
        }
        for object in &objects {
            again(world, file, object).await;
        }
        remove(world, &objects).await;
    }
    operator.end();
}

/// No force: nobody else has these fields.
async fn apply(world: &World, object: &Value) -> Value {
    let (kind, name) = (
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    let how = PatchParams::apply("kubectl");
    let applied = world
        .objects(kind)
        .patch(name, &how, &Patch::Apply(object))
        .await;
    let applied = applied.unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
    serde_json::to_value(applied).unwrap()
}

/// Another version can be the status, once; one that comes back each time is a difference.
async fn again(world: &World, file: &str, object: &Value) {
    let (kind, name) = (
        object["kind"].as_str().unwrap(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    for _ in 0..5 {
        let before = world.get(kind, name).await;
        let after = apply(world, object).await;
        let of = |field: &str| {
            (
                before["metadata"][field].clone(),
                after["metadata"][field].clone(),
            )
        };
        let generation = of("generation");
        assert_eq!(generation.0, generation.1, "{file}: {kind}/{name}");
        let version = of("resourceVersion");
        if version.0 == version.1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{file}: {kind}/{name} is another one each time that it is applied");
}

async fn remove(world: &World, objects: &[Value]) {
    let give_up = Instant::now() + Duration::from_secs(30);
    for object in objects {
        let (kind, name) = (
            object["kind"].as_str().unwrap(),
            object["metadata"]["name"].as_str().unwrap(),
        );
        let api = world.objects(kind);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        while api.get_opt(name).await.unwrap().is_some() {
            assert!(Instant::now() < give_up, "{kind}/{name} stays");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
