//! What members may do with the API server: read the objects of their namespace, the Secrets that their cluster
//! names, and keep their Leases.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use lns_lease::{ClusterName, LeaseName};

use super::Plan;
use crate::labels::object_name;

pub(super) fn account(plan: &Plan) -> ServiceAccount {
    ServiceAccount {
        metadata: plan.metadata(),
        ..ServiceAccount::default()
    }
}

pub(super) fn role(plan: &Plan) -> Role {
    let leases = lease_names(plan);
    let secrets: Vec<String> = plan.secrets.iter().cloned().collect();
    let mut rules = vec![
        rule(
            "kubelns.io",
            &["lnsclusters", "sessionpolicies"],
            None,
            &["get", "list", "watch"],
        ),
        rule(
            "coordination.k8s.io",
            &["leases"],
            Some(leases),
            &["get", "update", "watch"],
        ),
        // Which one is created cannot be limited to a name; and without it a Lease that somebody has deleted would
        // mean that there is no master until the operator is there.
        rule("coordination.k8s.io", &["leases"], None, &["create"]),
        // A label cannot limit who is listed.
        rule("coordination.k8s.io", &["leases"], None, &["list", "watch"]),
    ];
    // A rule without names would be one for all Secrets.
    if !secrets.is_empty() {
        rules.push(rule("", &["secrets"], Some(secrets), &["get", "watch"]));
    }
    Role {
        metadata: plan.metadata(),
        rules: Some(rules),
    }
}

pub(super) fn binding(plan: &Plan) -> RoleBinding {
    let name = object_name(&plan.cluster);
    RoleBinding {
        metadata: plan.metadata(),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name,
            namespace: Some(plan.namespace.clone()),
            api_group: None,
        }]),
    }
}

/// The Leases of the election and of the nodes.
fn lease_names(plan: &Plan) -> Vec<String> {
    // A cluster whose name is none has not passed validation.
    let Ok(cluster) = ClusterName::new(&plan.cluster) else {
        return Vec::new();
    };
    let master = LeaseName::master(&cluster);
    let nodes = plan
        .nodes
        .iter()
        .map(|node| LeaseName::node(&cluster, node));
    core::iter::once(master)
        .chain(nodes)
        .map(|name| name.as_str().to_owned())
        .collect()
}

fn rule(group: &str, resources: &[&str], names: Option<Vec<String>>, verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    PolicyRule {
        api_groups: Some(owned(&[group])),
        resources: Some(owned(resources)),
        resource_names: names,
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}
