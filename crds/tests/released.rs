//! Every way to make less of the real definitions is caught, and more of them is let through.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail this way"
)]

use core::slice::from_ref;
use std::fs;
use std::path::{Path, PathBuf};

use lns_api::Resource;
use lns_api::released::{REASONS, Reason, losses, read};
use serde_json::{Value, json};

fn folder(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn now() -> Vec<Value> {
    let definition =
        |resource: Resource| serde_saphyr::from_str(&resource.crd_yaml().unwrap()).unwrap();
    Resource::ALL.map(definition).into()
}

/// The definition of clusters of the first release.
fn released() -> Value {
    let all = read(&folder("released/0.1.0")).unwrap();
    all.into_iter()
        .find(|it| it["spec"]["names"]["kind"] == "LnsCluster")
        .unwrap()
}

type Mutation = Box<dyn FnOnce(&mut Value)>;

const ROOT: &str = "/spec/versions/0/schema/openAPIV3Schema";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// The list of LACs, and the fields of one.
const LACS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/lacs";
const LAC: &str =
    "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/lacs/items/properties";

/// Another value of a keyword.
fn set(keyword: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |it| it[keyword] = value
}

/// What is lost when `change` is made to the object at `pointer`.
fn lost(pointer: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let before = released();
    let mut after = before.clone();
    let place = after.pointer_mut(pointer);
    change(place.unwrap_or_else(|| panic!("there is no {pointer}")));
    assert_ne!(before, after, "{pointer}: nothing was changed");
    losses(&[before], &[after], REASONS)
        .iter()
        .map(|it| format!("{} {}", it.path, it.message))
        .collect()
}

#[test]
fn nothing_that_was_released_is_lost() {
    let mut releases = 0;
    for release in fs::read_dir(folder("released")).unwrap() {
        let path = release.unwrap().path();
        let lost = losses(&read(&path).unwrap(), &now(), REASONS);
        assert_eq!(lost, [], "against {}", path.display());
        releases += 1;
    }
    assert!(releases > 0);
}

/// A reason that no release needs any more hides the next rule of the same words.
#[test]
fn every_reason_is_needed() {
    for reason in REASONS {
        assert!(reason.because.len() > 20, "{reason:?}");
        let others: Vec<_> = REASONS.iter().filter(|it| *it != reason).copied().collect();
        let is_needed = fs::read_dir(folder("released")).unwrap().any(|release| {
            let released = read(&release.unwrap().path()).unwrap();
            !losses(&released, &now(), &others).is_empty()
        });
        assert!(is_needed, "{reason:?}");
    }
}

/// Where, what, and how it is told.
type Narrowing = (String, Mutation, &'static str);

/// Ways to make less of the definition of clusters.
fn narrowings() -> Vec<Narrowing> {
    vec![
        (
            format!("{SPEC}/properties"),
            Box::new(|it| drop(it.as_object_mut().unwrap().remove("pools"))),
            "LnsCluster v1alpha1: spec.pools the field is removed",
        ),
        (
            format!("{LAC}/pathMtu"),
            Box::new(set("type", json!("string"))),
            "LnsCluster v1alpha1: spec.lacs[].pathMtu type was \"integer\" and is \"string\"",
        ),
        (
            format!("{LAC}/admission/enum"),
            Box::new(|it| drop(it.as_array_mut().unwrap().remove(1))),
            "LnsCluster v1alpha1: spec.lacs[].admission enum was [\"Accept\",\"Drain\",\"Refuse\"] and is [\"Accept\",\"Refuse\"]",
        ),
        (
            format!("{LACS}/items/required"),
            Box::new(|it| it.as_array_mut().unwrap().push(json!("authentication"))),
            "LnsCluster v1alpha1: spec.lacs[].authentication is required now",
        ),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("minimum", json!(6))),
            "LnsCluster v1alpha1: spec.lacs[].helloSeconds minimum was 5 and is 6",
        ),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("maximum", json!(3599))),
            "LnsCluster v1alpha1: spec.lacs[].helloSeconds maximum was 3600 and is 3599",
        ),
        (
            format!("{LAC}/hostName"),
            Box::new(set("maxLength", json!(252))),
            "LnsCluster v1alpha1: spec.lacs[].hostName maxLength was 253 and is 252",
        ),
        (
            LACS.to_owned(),
            Box::new(set("maxItems", json!(1))),
            "LnsCluster v1alpha1: spec.lacs maxItems was ",
        ),
    ]
}

/// And more of them.
fn more_narrowings() -> Vec<Narrowing> {
    vec![
        (
            format!("{LAC}/hostName"),
            Box::new(set("pattern", json!("^lac"))),
            "LnsCluster v1alpha1: spec.lacs[].hostName pattern was none and is \"^lac\"",
        ),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("default", json!(61))),
            "LnsCluster v1alpha1: spec.lacs[].helloSeconds the default was 60 and is 61",
        ),
        (
            format!("{SPEC}/properties/datapath/default"),
            Box::new(set("workers", json!(1))),
            "LnsCluster v1alpha1: spec.datapath the default was ",
        ),
        (
            LACS.to_owned(),
            Box::new(set("x-kubernetes-list-type", json!("set"))),
            "LnsCluster v1alpha1: spec.lacs x-kubernetes-list-type was \"atomic\" and is \"set\"",
        ),
        (
            format!("{ROOT}/properties/status/properties/conditions"),
            Box::new(set("x-kubernetes-list-map-keys", json!(["type", "status"]))),
            "LnsCluster v1alpha1: status.conditions x-kubernetes-list-map-keys was [\"type\"] and is [\"type\",\"status\"]",
        ),
        (
            SPEC.to_owned(),
            Box::new(|it| it["x-kubernetes-validations"][0]["rule"] = json!("size(self.lacs) < 3")),
            "LnsCluster v1alpha1: spec there is a new rule, and no reason for it is listed: size(self.lacs) < 3",
        ),
        (
            format!("{SPEC}/properties/nodeSelector/additionalProperties"),
            Box::new(set("maxLength", json!(1))),
            "LnsCluster v1alpha1: spec.nodeSelector[] maxLength was ",
        ),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("x-new", json!(true))),
            "LnsCluster v1alpha1: spec.lacs[].helloSeconds x-new was none and is true",
        ),
    ]
}

#[test]
fn each_narrowing_of_the_real_schema_is_told_with_its_path() {
    for (pointer, change, expected) in narrowings().into_iter().chain(more_narrowings()) {
        let lost = lost(&pointer, change);
        assert!(
            matches!(&*lost, [one] if one.starts_with(expected)),
            "{expected}: {lost:?}"
        );
    }
}

#[test]
fn each_narrowing_of_a_definition_around_its_schema_is_told() {
    let cases: [(&str, Value, &str); 9] = [
        (
            "/spec/group",
            json!("other.io"),
            "LnsCluster group is not \"kubelns.io\" any more",
        ),
        (
            "/spec/scope",
            json!("Cluster"),
            "LnsCluster scope is not \"Namespaced\" any more",
        ),
        (
            "/spec/names/plural",
            json!("lns"),
            "LnsCluster names/plural is not \"lnsclusters\" any more",
        ),
        (
            "/spec/names/shortNames",
            json!([]),
            "LnsCluster names/shortNames has no \"lns\" any more",
        ),
        (
            "/spec/names/categories",
            json!(["all"]),
            "LnsCluster names/categories has no \"kubelns\" any more",
        ),
        (
            "/spec/versions",
            json!([]),
            "LnsCluster v1alpha1 the version is removed",
        ),
        (
            "/spec/versions/0/served",
            json!(false),
            "LnsCluster v1alpha1 the version is served no more",
        ),
        (
            "/spec/versions/0/subresources",
            json!({}),
            "LnsCluster v1alpha1 the subresource status is removed or another one",
        ),
        (
            "/spec/versions/0/schema",
            json!({}),
            "LnsCluster v1alpha1 the schema is removed",
        ),
    ];
    for (pointer, value, expected) in cases {
        assert_eq!(lost(pointer, |it| *it = value), [expected]);
    }
    let gone = losses(&[released()], &[], REASONS);
    assert_eq!(gone.len(), 1);
    assert_eq!(
        (&*gone[0].path, &*gone[0].message),
        ("lnsclusters.kubelns.io", "the kind is removed")
    );
}

/// Ways to make more of it.
fn widenings() -> Vec<(String, Mutation)> {
    let without = |keyword: &'static str| {
        move |it: &mut Value| drop(it.as_object_mut().unwrap().remove(keyword))
    };
    vec![
        (
            format!("{SPEC}/properties"),
            Box::new(set("more", json!({ "type": "string", "maxLength": 3 }))),
        ),
        (
            format!("{LAC}/admission/enum"),
            Box::new(|it| it.as_array_mut().unwrap().push(json!("Later"))),
        ),
        (format!("{LAC}/admission"), Box::new(without("enum"))),
        (
            format!("{SPEC}/required"),
            Box::new(|it| drop(it.as_array_mut().unwrap().remove(0))),
        ),
        // A field with a default is there in any case.
        (
            format!("{LACS}/items/required"),
            Box::new(|it| it.as_array_mut().unwrap().push(json!("helloSeconds"))),
        ),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("minimum", json!(4))),
        ),
        (format!("{LAC}/helloSeconds"), Box::new(without("maximum"))),
        (
            format!("{LAC}/helloSeconds"),
            Box::new(set("format", json!("int64"))),
        ),
        (LACS.to_owned(), Box::new(set("maxItems", json!(100_000)))),
        (LACS.to_owned(), Box::new(set("minItems", json!(0)))),
        (
            format!("{LAC}/hostName"),
            Box::new(set("nullable", json!(true))),
        ),
        (
            SPEC.to_owned(),
            Box::new(without("x-kubernetes-validations")),
        ),
        (
            SPEC.to_owned(),
            Box::new(|it| it["x-kubernetes-validations"][0]["messageExpression"] = json!("'no'")),
        ),
        (
            format!("{LAC}/hostName"),
            Box::new(set("description", json!("Another one."))),
        ),
        (
            "/spec/versions/0".to_owned(),
            Box::new(set("additionalPrinterColumns", json!([]))),
        ),
        (
            "/spec/versions".to_owned(),
            Box::new(|it| it.as_array_mut().unwrap().push(json!({ "name": "v1" }))),
        ),
        (
            "/spec/names/shortNames".to_owned(),
            Box::new(|it| it.as_array_mut().unwrap().push(json!("lnss"))),
        ),
    ]
}

#[test]
fn what_is_wider_passes() {
    for (pointer, change) in widenings() {
        assert_eq!(
            lost(&pointer, change),
            <[String; 0]>::default(),
            "{pointer}"
        );
    }
}

/// A new field comes with a default of its own and into that of the object around it.
#[test]
fn a_new_field_may_have_a_default() {
    let more = lost(&format!("{SPEC}/properties/datapath"), |datapath| {
        datapath["properties"]["more"] = json!({ "type": "integer", "default": 7 });
        datapath["default"]["more"] = json!(7);
    });
    assert_eq!(more, <[String; 0]>::default());
    // The same said at each field, and not once more around them.
    let same = lost(&format!("{SPEC}/properties/datapath"), |it| {
        it["default"] = json!({});
    });
    assert_eq!(same, <[String; 0]>::default());
}

#[test]
fn a_rule_with_a_reason_passes_at_its_place_only() {
    let before = released();
    let mut after = before.clone();
    let rule = json!({ "rule": "size(self.lacs) < 3", "message": "too many" });
    let rules = after.pointer_mut(SPEC).unwrap()["x-kubernetes-validations"].as_array_mut();
    rules.unwrap().push(rule);
    let reason = |path| Reason {
        path,
        rule: "size(self.lacs) < 3",
        because: "no cluster with more has ever started",
    };
    let lost = |reasons: &[Reason]| losses(from_ref(&before), from_ref(&after), reasons).len();
    assert_eq!(lost(&[]), 1);
    assert_eq!(lost(&[reason("LnsCluster v1alpha1: spec.lacs")]), 1);
    assert_eq!(lost(&[reason("LnsCluster v1alpha1: spec")]), 0);
}

/// Not some places but all of them: every keyword of every field of both kinds is made narrower, one at a time.
#[test]
fn whatever_is_made_narrower_anywhere_is_caught() {
    let mut tried = 0;
    for definition in read(&folder("released/0.1.0")).unwrap() {
        let root = definition.pointer(ROOT).unwrap();
        let mut places = Vec::new();
        narrower(root, ROOT, &mut places);
        for (pointer, value) in places {
            let mut after = definition.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = after.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => drop(parent.insert(key.to_owned(), value)),
                None => drop(parent.remove(key)),
            }
            let lost = losses(from_ref(&definition), &[after], REASONS);
            assert!(!lost.is_empty(), "{pointer}");
            tried += 1;
        }
    }
    assert!(tried > 900, "{tried} narrowings");
}

/// What could be put at which place; none: what is there is taken out.
fn narrower(schema: &Value, path: &str, places: &mut Vec<(String, Option<Value>)>) {
    for (keyword, value) in schema.as_object().unwrap() {
        let by = |step: i64| Some(json!(value.as_i64().unwrap() + step));
        let to = match keyword.as_str() {
            "minimum" | "minLength" | "minItems" => by(1),
            "maximum" | "maxLength" | "maxItems" | "maxProperties" => by(-1),
            "enum" => Some(json!(value.as_array().unwrap()[1..])),
            "type" => Some(json!("number")),
            "default" => None,
            "x-kubernetes-list-type" => Some(json!("granular")),
            "x-kubernetes-list-map-keys" => Some(json!(["other"])),
            "x-kubernetes-validations" => Some(json!([{ "rule": "false" }])),
            "format" => Some(json!("byte")),
            _ => continue,
        };
        places.push((format!("{path}/{keyword}"), to));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}/properties/{name}");
        narrower(field, &below, places);
        places.push((below, None));
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            narrower(&schema[inner], &format!("{path}/{inner}"), places);
        }
    }
}
