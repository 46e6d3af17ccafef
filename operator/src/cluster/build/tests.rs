//! What is made for a cluster, as it is applied.

use lns_cluster::NodeName;

use super::*;
use crate::settings::Security;
use crate::settings::tests::least;

fn plan(nodes: &[&str], secrets: &[&str]) -> Plan {
    Plan {
        namespace: "lns".to_owned(),
        cluster: "edge".to_owned(),
        uid: "c0ffee".to_owned(),
        node_selector: [("kubelns.io/edge".to_owned(), String::new())].into(),
        nodes: nodes
            .iter()
            .map(|name| NodeName::new(name).unwrap())
            .collect(),
        secrets: secrets.iter().map(|&name| name.to_owned()).collect(),
        is_protected: false,
    }
}

fn yaml(objects: &Objects) -> String {
    let all = [
        serde_saphyr::to_string(&objects.account),
        serde_saphyr::to_string(&objects.role),
        serde_saphyr::to_string(&objects.binding),
        serde_saphyr::to_string(&objects.members),
    ];
    all.map(Result::unwrap).join("---\n")
}

#[test]
fn a_cluster_is_made_of_these_objects() {
    let objects = build(&plan(&["a", "b"], &["radius", "edge-peers"]), &least());
    insta::assert_snapshot!(yaml(&objects));
}

#[test]
fn with_capabilities_a_member_gets_what_it_needs_by_name() {
    let mut settings = least();
    settings.security = Security::Capabilities;
    let objects = build(&plan(&["a"], &[]), &settings);
    let pod = objects.members.spec.unwrap().template.spec.unwrap();
    insta::assert_snapshot!(serde_saphyr::to_string(&pod).unwrap());
}

#[test]
fn what_is_made_for_a_protected_cluster_goes_with_nobody() {
    let mut plan = plan(&["a"], &[]);
    let owners = |plan: &Plan| {
        let made = build(plan, &least());
        let all = [
            made.account.metadata,
            made.role.metadata,
            made.binding.metadata,
            made.members.metadata,
        ];
        all.map(|metadata| metadata.owner_references.map_or(0, |it| it.len()))
    };
    assert_eq!(owners(&plan), [1; 4]);
    plan.is_protected = true;
    assert_eq!(owners(&plan), [0; 4]);
}

fn template(plan: &Plan, settings: &Settings) -> String {
    let members = build(plan, settings).members;
    let metadata = members.spec.unwrap().template.metadata.unwrap();
    digest_of(metadata.annotations.as_ref()).unwrap().to_owned()
}

#[test]
fn only_what_is_in_the_template_replaces_pods() {
    let before = template(&plan(&["a"], &["radius"]), &least());
    // Other nodes and Secrets change what members may do, and no pod.
    assert_eq!(
        template(&plan(&["a", "b"], &["radius", "users"]), &least()),
        before
    );
    let mut other = least();
    other.image = "registry.example/lns:2".to_owned();
    assert_ne!(template(&plan(&["a"], &["radius"]), &other), before);
}

#[test]
fn no_rule_speaks_of_all_secrets() {
    for secrets in [&[][..], &["radius"]] {
        let role = build(&plan(&["a"], secrets), &least()).role;
        for rule in role.rules.unwrap() {
            let is_of_secrets = rule.resources.iter().flatten().any(|it| it == "secrets");
            if is_of_secrets {
                assert_eq!(rule.resource_names.unwrap(), secrets);
                assert_eq!(rule.verbs, ["get", "watch"]);
            }
            assert!(!rule.verbs.contains(&"*".to_owned()));
        }
    }
}
