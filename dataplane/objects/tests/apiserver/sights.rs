//! What is seen of a cluster whose objects change.

use lns_api::{Manifest, parse_manifest};
use lns_objects::{Seen, Sight};
use serde_json::{Value, json};

use crate::world::{World, seen, sight, trouble};

const FULL: &str = include_str!("../../../../crds/examples/full.yaml");
const MINIMAL: &str = include_str!("../../../../crds/examples/minimal.yaml");
const RADIUS: &str = include_str!("../../../../crds/examples/radius.yaml");
const DEMO: &str = include_str!("../../../../e2e/demo.yaml");

/// The Secrets of the minimal example.
const SECRETS: &[&str] = &["wholesale-a", "users"];

const GOLD: &str = "
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: gold }
spec: { clusterRefs: [{ name: edge }], filterIds: [GOLD] }
";

fn manifest(seen: &Seen) -> &Manifest {
    seen.manifest.as_ref().expect("a manifest")
}

fn is_good(seen: &Seen) -> bool {
    seen.manifest.is_ok()
}

/// What of the metadata a file has.
fn as_a_file(manifest: &Manifest) -> Value {
    json!({
        "spec": manifest.cluster.spec,
        "name": manifest.cluster.metadata.name,
        "policies": manifest.policies.iter().map(|it| json!([it.metadata.name, it.spec])).collect::<Vec<_>>(),
        "secrets": format!("{:?}", manifest.secrets.keys()),
        "users": manifest.users.len(),
        "warnings": manifest.warnings,
    })
}

pub(crate) async fn the_examples_are_taken_and_say_what_they_say_as_files(world: &World) {
    let mut names = Vec::new();
    for text in [FULL, MINIMAL, RADIUS, DEMO] {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let secrets = documents.into_iter().filter(|it| it["kind"] == "Secret");
        names.extend(secrets.map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.permit(&names).await;
    for text in [FULL, MINIMAL, RADIUS, DEMO] {
        let text = world.text(text);
        let file = parse_manifest([("file", text.as_str())]).unwrap();
        let name = file.cluster.metadata.name.clone().unwrap();
        world.apply(&text).await;
        let objects = world.follow_named(&name);
        let mut sights = objects.sights();
        let seen = seen(&mut sights, &name, is_good).await;
        assert_eq!(as_a_file(manifest(&seen)), as_a_file(&file), "{name}");
        assert_eq!(manifest(&seen).secrets, file.secrets, "{name}");
        assert_eq!(manifest(&seen).tls, file.tls, "{name}");
        assert_eq!(manifest(&seen).stores, file.stores, "{name}");
        assert_eq!(manifest(&seen).users, file.users, "{name}");
        assert!(!seen.uid.is_empty() && seen.generation > 0);
        // Of a Secret that is applied anew, keys of before would stay.
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in documents {
            let name = object["metadata"]["name"].as_str().unwrap();
            world.delete(object["kind"].as_str().unwrap(), name).await;
        }
    }
}

pub(crate) async fn the_api_server_refuses_in_the_words_of_a_file(world: &World) {
    let documents: Vec<Value> = serde_saphyr::from_multiple(FULL).unwrap();
    let good = documents.first().unwrap();
    let mut wrongs = Vec::new();
    for (pointer, value) in [
        ("/spec/store/redis/url", json!("redis://:hunter2@redis")),
        ("/spec/store/redis/url", json!("http://redis")),
        ("/spec/store/redis/durability", json!("Single")),
        ("/spec/store/redis/sentinel/addresses/0", json!("a:b")),
        ("/spec/datapath/accessInterface", json!("lns0")),
        ("/spec/election/profile", json!("Slow")),
        ("/spec/forwarding/stalenessSeconds", json!(59)),
        ("/spec/pools/0/prefixes/0/cidr", json!("100.64.0.0/33")),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        if pointer == "/spec/election/profile" {
            wrong["spec"]["forwarding"]["stalenessSeconds"] = json!(60);
        }
        wrongs.push((pointer, wrong));
    }
    let mut alone = good.clone();
    alone["spec"].as_object_mut().unwrap().remove("peers");
    wrongs.push(("/spec/peers", alone));
    for (pointer, wrong) in wrongs {
        let own = lns_api::schema::validate(&wrong).unwrap_err();
        let refused = world.apply_one(wrong).await.expect_err(pointer).to_string();
        let message = &own.first().unwrap().message;
        // Of ranges the API server says the same in other words.
        let is_rule = !message.contains("is not within");
        assert!(
            !is_rule || refused.contains(message.as_str()),
            "{message}: {refused}"
        );
    }
    world.apply_one(good.clone()).await.unwrap();
}

pub(crate) async fn a_changed_policy_a_changed_secret_and_a_changed_cluster_are_seen(
    world: &World,
) {
    world.permit(SECRETS).await;
    let objects = world.follow(None);
    let mut sights = objects.sights();
    sight(&mut sights, "none", |sight| *sight == Sight::Absent).await;
    world.apply(MINIMAL).await;
    let first = seen(&mut sights, "the example", is_good).await;
    assert_eq!(manifest(&first).policies.len(), 0);

    world.apply(GOLD).await;
    seen(&mut sights, "a policy", |seen| {
        manifest(seen).policies.len() == 1
    })
    .await;
    world
        .merge(
            "SessionPolicy",
            "gold",
            json!({ "spec": { "filterIds": ["GOLD", "G2"] } }),
        )
        .await;
    seen(&mut sights, "its change", |seen| {
        manifest(seen).policies[0].spec.filter_ids.len() == 2
    })
    .await;
    world
        .merge(
            "SessionPolicy",
            "gold",
            json!({ "spec": { "clusterRefs": [{ "name": "rim" }] } }),
        )
        .await;
    seen(&mut sights, "that it left", |seen| {
        manifest(seen).policies.is_empty()
    })
    .await;

    let text = "another-secret-0123456789";
    world
        .merge(
            "Secret",
            "wholesale-a",
            json!({ "stringData": { "current": text } }),
        )
        .await;
    seen(&mut sights, "a secret", |seen| {
        manifest(seen).secrets["wholesale-a"]
            .current
            .is(text.as_bytes())
    })
    .await;

    let patch = json!({ "metadata": { "annotations": { "kubelns.io/paused": "true" } }, "spec": { "ppp": { "mru": 1400 } } });
    world.merge("LnsCluster", "edge", patch).await;
    let last = seen(&mut sights, "the cluster", |seen| {
        manifest(seen).cluster.spec.ppp.mru == 1400
    })
    .await;
    assert_eq!(last.uid, first.uid);
    assert!(last.generation > first.generation);
    assert_eq!(last.annotations["kubelns.io/paused"], "true");
    assert_eq!(trouble(&objects, false).await, None);
}

pub(crate) async fn what_is_wrong_is_told_and_what_is_right_again_is_seen(world: &World) {
    world.permit(SECRETS).await;
    world.apply(MINIMAL).await;
    let objects = world.follow(None);
    let mut sights = objects.sights();
    seen(&mut sights, "the example", is_good).await;
    // What no rule of the API server tells: two prefixes that overlap.
    let pool = |prefixes: Value| json!({ "spec": { "pools": [{ "name": "default", "localAddress": "100.64.0.1", "prefixes": prefixes }] } });
    let wrong = json!([{ "cidr": "100.64.0.0/16" }, { "cidr": "100.64.1.0/24" }]);
    world.merge("LnsCluster", "edge", pool(wrong)).await;
    let refused = seen(&mut sights, "the overlap", |seen| seen.manifest.is_err()).await;
    assert_eq!(
        refused.manifest.as_ref().unwrap_err(),
        &[
            r#"LnsCluster/edge: spec.pools[0].prefixes[1].cidr: "100.64.1.0/24" overlaps "100.64.0.0/16" at spec.pools[0].prefixes[0].cidr; an address belongs to one pool"#
        ]
    );
    world
        .merge(
            "LnsCluster",
            "edge",
            pool(json!([{ "cidr": "100.64.0.0/16" }])),
        )
        .await;
    seen(&mut sights, "that it is right", is_good).await;
    world.delete("Secret", "wholesale-a").await;
    let refused = seen(&mut sights, "the missing one", |seen| {
        seen.manifest.is_err()
    })
    .await;
    let line = refused
        .manifest
        .as_ref()
        .unwrap_err()
        .first()
        .unwrap()
        .clone();
    assert!(
        line.contains("\"wholesale-a\" is no Secret of this manifest"),
        "{line}"
    );
    world.apply(MINIMAL).await;
    seen(&mut sights, "that it is there again", is_good).await;
}

pub(crate) async fn a_secret_is_followed_from_when_it_is_named(world: &World) {
    world.permit(&["wholesale-a", "users", "other"]).await;
    world.apply(MINIMAL).await;
    let objects = world.follow(None);
    let mut sights = objects.sights();
    seen(&mut sights, "the example", is_good).await;
    let secret = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" },
            "stringData": { "current": value },
        })
    };
    let mut cluster: Value = serde_saphyr::from_multiple(MINIMAL).unwrap().swap_remove(0);
    let lac = &mut cluster["spec"]["lacs"][0]["tunnelAuthentication"]["secretRef"]["name"];
    *lac = json!("other");
    world.apply_one(cluster).await.unwrap();
    seen(&mut sights, "that it is missing", |seen| {
        seen.manifest.is_err()
    })
    .await;
    for value in ["the-other-secret-0123456789", "one-more-secret-0123456789"] {
        world.apply_one(secret(value)).await.unwrap();
        seen(&mut sights, value, |seen| {
            let other = seen
                .manifest
                .as_ref()
                .ok()
                .and_then(|it| it.secrets.get("other"));
            other.is_some_and(|it| it.current.is(value.as_bytes()))
        })
        .await;
    }
}

pub(crate) async fn an_api_server_that_is_away_leaves_what_was_seen_and_is_told(world: &World) {
    world.permit(SECRETS).await;
    world.apply(MINIMAL).await;
    let proxy = world.proxy().await;
    let objects = world.follow(Some(&proxy));
    let mut sights = objects.sights();
    let before = seen(&mut sights, "the example", is_good).await;
    for mru in [1401, 1402] {
        proxy.away(true);
        let told = trouble(&objects, true).await.unwrap();
        let of_what = ["LnsCluster/edge: ", "the SessionPolicies: ", "Secret/"];
        assert!(of_what.iter().any(|what| told.starts_with(what)), "{told}");
        let patch = json!({ "spec": { "ppp": { "mru": mru } } });
        world.merge("LnsCluster", "edge", patch).await;
        let Sight::There(still) = sights.borrow().clone() else {
            panic!("nothing is seen any more");
        };
        assert_eq!(still.uid, before.uid);
        assert_ne!(manifest(&still).cluster.spec.ppp.mru, mru);
        proxy.away(false);
        seen(&mut sights, "the change", |seen| {
            manifest(seen).cluster.spec.ppp.mru == mru
        })
        .await;
        assert_eq!(trouble(&objects, false).await, None);
    }
}

pub(crate) async fn without_rights_nothing_is_seen_and_it_is_told_why(world: &World) {
    world.apply(MINIMAL).await;
    let objects = world.follow(None);
    let told = trouble(&objects, true).await.unwrap();
    assert!(told.contains("403") && told.contains("forbidden"), "{told}");
    assert_eq!(*objects.sights().borrow(), Sight::Unknown);
    // One Secret less than it names: what there is of it is not half of it.
    world.permit(&["users"]).await;
    let mut told = objects.trouble();
    let of_the_secret = |told: &Option<std::sync::Arc<str>>| {
        told.as_deref()
            .is_some_and(|told| told.starts_with("Secret/wholesale-a: "))
    };
    let reached = told.wait_for(of_the_secret).await;
    assert!(reached.unwrap().as_deref().unwrap().contains("403"));
    assert_eq!(*objects.sights().borrow(), Sight::Unknown);
}

pub(crate) async fn a_cluster_that_is_deleted_is_gone_and_one_made_anew_is_another(world: &World) {
    world.permit(SECRETS).await;
    world.apply(MINIMAL).await;
    let objects = world.follow(None);
    let mut sights = objects.sights();
    let first = seen(&mut sights, "the example", is_good).await;
    let held = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
    world
        .merge("LnsCluster", "edge", held(json!(["kubelns.io/cleanup"])))
        .await;
    world.delete("LnsCluster", "edge").await;
    seen(&mut sights, "that it is being deleted", |seen| {
        seen.is_being_deleted
    })
    .await;
    world.merge("LnsCluster", "edge", held(json!([]))).await;
    let uid = first.uid.clone();
    sight(&mut sights, "that it is gone", |sight| {
        *sight == Sight::Gone { uid: uid.clone() }
    })
    .await;
    world.apply(MINIMAL).await;
    let second = seen(&mut sights, "another one", is_good).await;
    assert_ne!(second.uid, first.uid);
}
