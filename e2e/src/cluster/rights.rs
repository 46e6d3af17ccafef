//! What members may do with the API server: what `dataplane/lease/rbac.yaml` and `dataplane/objects/rbac.yaml` say,
//! with the names of this cluster in place of their examples, as whoever installs a cluster writes them.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::network::Place;

/// Where the API server has the account of all members.
pub(crate) const ACCOUNT: &str = "/api/v1/namespaces/lns/serviceaccounts/lns-dataplane";

const LEASES: &str = include_str!("../../../dataplane/lease/rbac.yaml");
const OBJECTS: &str = include_str!("../../../dataplane/objects/rbac.yaml");
/// The names in them.
const EXAMPLES: [&str; 3] = [
    "isp.master",
    "isp.node.f615b9184c9c9fd0",
    "[wholesale-a, users]",
];

/// The account, its Roles, and that it has them; with the Secrets among these objects, which the cluster names.
pub(crate) fn stream(cluster: &str) -> String {
    let account =
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: lns-dataplane, namespace: lns }";
    let bound = |role: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{ name: {role}, namespace: lns }}\n\
             roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: {role} }}\n\
             subjects: [ {{ kind: ServiceAccount, name: lns-dataplane, namespace: lns }} ]"
        )
    };
    let [master, node, secrets] = EXAMPLES;
    let nodes: Vec<_> = Place::ALL.map(lease_of).into();
    let leases = LEASES
        .replace(master, "edge.master")
        .replace(node, &nodes.join(", "));
    let objects = OBJECTS.replace(secrets, &format!("[{}]", secrets_of(cluster).join(", ")));
    let documents = [
        account.to_owned(),
        leases,
        objects,
        bound("lns-lease"),
        bound("lns-objects"),
    ];
    documents.join("\n---\n")
}

/// The names of the Secrets in a stream of manifests.
fn secrets_of(objects: &str) -> Vec<&str> {
    let documents = objects.split("\n---\n");
    let secrets = documents.filter(|text| text.lines().any(|line| line == "kind: Secret"));
    let names = secrets.filter_map(|text| {
        let (_, behind) = text.split_once("metadata: { name: ")?;
        behind.split([',', ' ']).next()
    });
    names.collect()
}

/// The Lease in which a node says what it is.
fn lease_of(place: Place) -> String {
    let hash = Sha256::digest(place.name());
    let first: String = hash
        .iter()
        .take(8)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("edge.node.{first}")
}

/// How members reach the API server.
pub(crate) fn kubeconfig(server: &str, authority: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lns\n\
         clusters: [ {{ name: lns, cluster: {{ server: \"{server}\", certificate-authority: \"{}\" }} }} ]\n\
         users: [ {{ name: lns-dataplane, user: {{ token: \"{token}\" }} }} ]\n\
         contexts: [ {{ name: lns, context: {{ cluster: lns, user: lns-dataplane }} }} ]\n",
        authority.display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::objects::{self, Wanted};
    use super::*;

    #[test]
    fn no_example_is_left_and_every_secret_is_one_of_the_clusters() {
        let objects = objects::stream(&Wanted::default()).unwrap();
        assert_eq!(secrets_of(&objects).len(), 3);
        let text = stream(&objects);
        for example in EXAMPLES {
            assert!(!text.contains(example), "{example}");
        }
        for name in ["wholesale-a", "radius", "edge-peers"] {
            assert!(secrets_of(&objects).contains(&name), "{name}");
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn a_lease_is_named_after_its_node() {
        // printf n1 | sha256sum | cut -c1-16
        assert_eq!(lease_of(Place(0)), "edge.node.676b8bb84ce7267d");
    }
}
