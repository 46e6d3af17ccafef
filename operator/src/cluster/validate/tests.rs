//! What is refused, and in which words.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::*;

const FULL: &str = include_str!("../../../../crds/examples/full.yaml");

fn objects(edits: &[(&str, &str)]) -> (Value, Vec<Value>, Vec<Value>) {
    let mut text = FULL.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from:?}");
        text = text.replacen(from, to, 1);
    }
    let mut all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let of = |kind: &str, all: &[Value]| {
        all.iter()
            .filter(|it| it["kind"] == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    all[0]["metadata"]["uid"] = json!("c0ffee");
    all[0]["metadata"]["creationTimestamp"] = json!("2026-11-27T20:00:00Z");
    (
        all[0].clone(),
        of("SessionPolicy", &all),
        of("Secret", &all),
    )
}

fn node(name: &str, labels: &Value) -> Arc<Node> {
    let node = json!({ "metadata": { "name": name, "labels": labels } });
    Arc::new(serde_json::from_value(node).unwrap())
}

/// The full example on two of three nodes.
fn named(edits: &[(&str, &str)]) -> Named {
    let (cluster, policies, secrets) = objects(edits);
    let selector = cluster["spec"]["nodeSelector"].clone();
    Named {
        cluster,
        policies,
        secrets,
        nodes: vec![
            node("b", &selector),
            node("a", &selector),
            node("c", &json!({})),
        ],
        others: Vec::new(),
    }
}

fn refused(named: &Named) -> (&'static str, String) {
    let problem = validate(named).unwrap_err();
    (problem.reason, problem.message)
}

#[test]
fn the_example_becomes_a_plan_for_the_nodes_with_the_labels() {
    let valid = validate(&named(&[])).unwrap();
    let nodes: Vec<_> = valid.plan.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(nodes, ["a", "b"]);
    assert_eq!(
        (
            &*valid.plan.namespace,
            &*valid.plan.cluster,
            &*valid.plan.uid
        ),
        ("lns", "edge", "c0ffee")
    );
    assert!(
        valid.plan.secrets.contains("edge-peers"),
        "{:?}",
        valid.plan.secrets
    );
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let mut named = named(&[]);
    named
        .secrets
        .retain(|it| it["metadata"]["name"] != "edge-peers");
    let (reason, message) = refused(&named);
    assert_eq!(reason, reason::SECRET_MISSING);
    assert!(message.contains("edge-peers"), "{message}");
}

#[test]
fn a_secret_without_its_key_is_refused_as_by_members() {
    let mut named = named(&[]);
    let secret = named
        .secrets
        .iter_mut()
        .find(|it| it["metadata"]["name"] == "edge-peers")
        .unwrap();
    for data in ["data", "stringData"] {
        if let Some(fields) = secret.get_mut(data).and_then(Value::as_object_mut) {
            fields.remove("tls.key");
        }
    }
    let (reason, message) = refused(&named);
    assert_eq!(reason, reason::INVALID);
    assert!(message.contains("tls.key"), "{message}");
}

#[test]
fn what_breaks_a_rule_is_told_with_field_and_value() {
    let wrong = named(&[("cidr: 100.64.0.0/16", "cidr: 100.64.0.0/33")]);
    let (reason, message) = refused(&wrong);
    assert_eq!(reason, reason::INVALID);
    assert!(
        message.contains("spec.pools[0].prefixes[0].cidr: \"100.64.0.0/33\" is no CIDR"),
        "{message}"
    );
}

#[test]
fn what_a_file_may_lack_and_a_cluster_may_not_is_asked_for() {
    let mut without = named(&[]);
    without.cluster["spec"]["nodeSelector"] = json!({});
    without.cluster["spec"]["radius"]["nasAddress"] = json!(null);
    let (reason, message) = refused(&without);
    assert_eq!(reason, reason::INCOMPLETE);
    for field in ["spec.nodeSelector", "spec.radius.nasAddress"] {
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn a_selector_that_no_node_has_says_which_labels_it_wants() {
    let mut nowhere = named(&[]);
    nowhere.nodes.truncate(0);
    let (reason, message) = refused(&nowhere);
    assert_eq!(reason, reason::NO_NODES);
    assert!(message.contains("kubelns.io/edge="), "{message}");
}

#[test]
fn a_node_serves_the_cluster_that_came_first() {
    let (first, later) = (named(&[]), named(&[]));
    let claim = |named: &Named, name: &str, since: &str| {
        let mut cluster = named.cluster.clone();
        cluster["metadata"]["name"] = json!(name);
        cluster["metadata"]["creationTimestamp"] = json!(since);
        claim_of(&cluster, &named.nodes).unwrap()
    };
    let with = |mut named: Named, other: Claim| {
        named.others.push(other);
        named
    };
    let after = with(later, claim(&first, "rim", "2026-11-27T19:59:59Z"));
    let (reason, message) = refused(&after);
    assert_eq!(reason, reason::CONFLICT);
    assert!(
        message.contains("node a is LnsCluster/rim's already"),
        "{message}"
    );
    let before = with(first, claim(&named(&[]), "rim", "2026-11-27T20:00:01Z"));
    validate(&before).unwrap();
    // Another one that selects nothing claims nothing.
    let mut nobody = named(&[]).cluster;
    nobody["spec"]["nodeSelector"] = json!({});
    assert_eq!(claim_of(&nobody, &before.nodes), None);
}

#[test]
fn many_problems_are_told_a_few_at_a_time() {
    let lines = (0..9).map(|number| format!("line {number}"));
    let told = problem(reason::INVALID, lines).message;
    assert_eq!(told, "line 0; line 1; line 2; line 3; line 4; and 4 more");
}
