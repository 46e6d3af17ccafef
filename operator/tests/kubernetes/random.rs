//! Whatever the API server takes, the operator deals with: a thousand random objects that keep to the schema.
//!
//! The seed is printed; `LNS_OBJECTS_SEED` repeats it, `LNS_OBJECTS` makes fewer or more of them.

use core::fmt::Debug;
use core::str::FromStr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use futures::{StreamExt as _, stream};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use lns_api::Resource;
use serde_json::{Map, Value, json};

use crate::generate::{Generator, Names};
use crate::world::{World, condition};

/// Objects that there are at a time.
const BATCH: usize = 50;

/// How long the objects of a batch may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The Secret that has everything that a Secret may be asked for.
const SECRET: &str = "everything";

/// What became of objects.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// By kind and what was said.
    verdicts: BTreeMap<String, usize>,
    /// Why the API server did not take some.
    reasons: Vec<String>,
}

pub(crate) async fn whatever_the_api_server_takes_is_reconciled_or_stalled(world: &World) {
    let seed = variable("LNS_OBJECTS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::from(now.unwrap().subsec_nanos())
    });
    let wanted: usize = variable("LNS_OBJECTS").unwrap_or(1000);
    println!("-- {wanted} random objects, LNS_OBJECTS_SEED={seed}");
    let example = world.example("edge");
    world.node("a").await;
    secret(world, &example).await;
    let mut operator = world.operator("registry.example/lns:1");
    let mut tally = Tally::default();
    let mut number = 0;
    let names = Names {
        clusters: Vec::new(),
        policies: Vec::new(),
        secrets: vec![SECRET.to_owned()],
        nodes: world.selector(),
    };
    let mut generator = Generator::new(seed, names);
    while tally.accepted < wanted {
        let names = |kind: &str| {
            (0..BATCH / 2)
                .map(|at| format!("{kind}{}", number + at))
                .collect()
        };
        generator.names.clusters = names("c");
        generator.names.policies = names("p");
        let left = (wanted - tally.accepted).div_ceil(2).min(BATCH / 2);
        let objects = (number..number + left).flat_map(|at| {
            [
                (Resource::SessionPolicy, format!("p{at}")),
                (Resource::LnsCluster, format!("c{at}")),
            ]
        });
        let objects: Vec<Value> = objects
            .map(|(resource, name)| object(&mut generator, resource, &name))
            .collect();
        number += left;
        let created = create(world, objects, &mut tally).await;
        settle(world, created, &mut tally).await;
        assert!(operator.is_running(), "the operator has ended; seed {seed}");
        clear(world).await;
    }
    println!("-- {tally:?}");
    assert!(
        tally.refused < 2 * tally.accepted,
        "the API server refuses too many: {tally:?}"
    );
    for needed in [
        "LnsCluster Invalid",
        "SessionPolicy Accepted=False",
        "SessionPolicy Invalid",
    ] {
        assert!(
            tally.verdicts.keys().any(|it| it.starts_with(needed)),
            "{needed}: {tally:?}"
        );
    }
    // It goes on to do its work.
    world.apply(&example).await;
    world
        .until("DaemonSet", "edge-lnsd", "one that is well is made", |it| {
            !it.is_null()
        })
        .await;
    assert!(operator.is_running());
    operator.end();
}

fn variable<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error:?}")),
    )
}

/// One Secret with the keys of all of the example.
async fn secret(world: &World, example: &[Value]) {
    let mut all = Map::new();
    for object in example.iter().filter(|it| it["kind"] == "Secret") {
        for (key, value) in object["stringData"].as_object().unwrap() {
            all.insert(key.clone(), value.clone());
        }
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": all,
        "metadata": { "name": SECRET, "namespace": world.namespace },
    });
    world.apply_one(&secret).await.unwrap();
}

fn object(generator: &mut Generator, resource: Resource, name: &str) -> Value {
    let crd = json!(resource.crd());
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    json!({
        "apiVersion": "kubelns.io/v1alpha1",
        "kind": crd["spec"]["names"]["kind"],
        "metadata": { "name": name },
        "spec": generator.value(schema, "spec"),
    })
}

/// Has the API server take what it takes: kinds and names of these.
async fn create(world: &World, objects: Vec<Value>, tally: &mut Tally) -> Vec<(String, String)> {
    let created = stream::iter(objects).map(|object| async move {
        let (kind, name) = (text(&object, "/kind"), text(&object, "/metadata/name"));
        let dynamic: DynamicObject = serde_json::from_value(object).unwrap();
        let api = world.objects(&kind);
        let made = api.create(&PostParams::default(), &dynamic).await;
        (kind, name, made.map(|_| ()))
    });
    let mut taken = Vec::new();
    let outcomes: Vec<_> = created.buffer_unordered(16).collect().await;
    for (kind, name, outcome) in outcomes {
        match outcome {
            Ok(()) => {
                tally.accepted += 1;
                taken.push((kind, name));
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {
                tally.refused += 1;
                if tally.reasons.len() < 5 {
                    tally.reasons.push(status.message.clone());
                }
            }
            Err(other) => panic!("{kind}/{name}: {other}"),
        }
    }
    taken
}

/// Waits until something was said of each, and notes what.
async fn settle(world: &World, mut left: Vec<(String, String)>, tally: &mut Tally) {
    let give_up = Instant::now() + PATIENCE;
    while !left.is_empty() {
        assert!(
            Instant::now() < give_up,
            "nothing is said of {:?}",
            describe(world, &left).await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
        for kind in ["LnsCluster", "SessionPolicy"] {
            for object in world
                .objects(kind)
                .list(&ListParams::default())
                .await
                .unwrap()
            {
                let object = serde_json::to_value(object).unwrap();
                let name = text(&object, "/metadata/name");
                let at = left.iter().position(|(of, it)| of == kind && *it == name);
                if let (Some(at), Some(verdict)) = (at, verdict(kind, &object)) {
                    left.swap_remove(at);
                    *tally
                        .verdicts
                        .entry(format!("{kind} {verdict}"))
                        .or_default() += 1;
                }
            }
        }
    }
}

/// Why the operator does what it does with an object; none: it has not come to it yet.
fn verdict(kind: &str, object: &Value) -> Option<String> {
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return None;
    }
    let stalled = condition(object, "Stalled");
    let (reason, message) = (text(&stalled, "/reason"), text(&stalled, "/message"));
    if stalled["status"] == "True" {
        // What is wrong with the objects is told with the field; a Secret, with its name.
        let names_it = match reason.as_str() {
            "SecretMissing" => message.contains("Secret nowhere"),
            "Invalid" | "Incomplete" | "NoNodes" | "Conflict" => {
                message.contains("spec.") || message.contains("Secret/")
            }
            _ => false,
        };
        assert!(names_it, "{reason}: {message}\n{object:#}");
        return Some(reason);
    }
    if kind == "SessionPolicy" {
        let accepted = condition(object, "Accepted");
        let status = text(&accepted, "/status");
        return ["True", "False"]
            .contains(&status.as_str())
            .then(|| format!("Accepted={status} {}", text(&accepted, "/reason")));
    }
    // It has its objects, and members are waited for; nobody plays them here.
    let reconciling = condition(object, "Reconciling");
    (reconciling["status"] == "True").then(|| text(&reconciling, "/reason"))
}

async fn describe(world: &World, left: &[(String, String)]) -> Vec<String> {
    let mut told = Vec::new();
    for (kind, name) in left.iter().take(3) {
        told.push(format!("{:#}", world.get(kind, name).await));
    }
    told
}

/// Makes room for the next.
async fn clear(world: &World) {
    let give_up = Instant::now() + PATIENCE;
    for kind in ["SessionPolicy", "LnsCluster"] {
        let api = world.objects(kind);
        let all = ListParams::default();
        api.delete_collection(&DeleteParams::default(), &all)
            .await
            .unwrap();
        while !api.list(&all).await.unwrap().items.is_empty() {
            assert!(Instant::now() < give_up, "{kind}s stay");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
