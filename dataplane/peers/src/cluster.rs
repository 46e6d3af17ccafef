//! Which cluster a member is of, and what its certificate must be for.
//!
//! A certificate is for a member of a cluster by a dNSName among its subjectAltNames, letter by letter
//! (RFC 5280, 4.2.1.6; case does not matter; wildcards and common names count for nothing):
//!
//! - `<cluster>.<namespace>.peers.kubelns.io`: whoever has the key may be any member of this cluster. It
//!   is what a Certificate of cert-manager gives that writes one Secret for all pods.
//! - `<node>.<cluster>.<namespace>.peers.kubelns.io`: whoever has the key may be this node of this
//!   cluster and no other.
//!
//! A bare name of a node is not enough: kubelets and others have certificates for that too. A name of a
//! cluster has no dot, nor has a namespace, so the first form is the second form of nothing. Where the
//! second form is longer than a DNS name may be, 253 octets, only the first is left.

use core::fmt;

use lns_cluster::NodeName;
use thiserror::Error;

use crate::limits::CLUSTER_NAME;

/// The domain of names that certificates of members are for. Nothing resolves them.
const DOMAIN: &str = "peers.kubelns.io";

/// Which cluster: an `LnsCluster` of Kubernetes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterId {
    namespace: String,
    name: String,
    uid: String,
}

/// Why there is no such cluster.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "{0}: use 1 to {CLUSTER_NAME} lower-case letters, digits and hyphens, with a letter or a digit at both ends"
)]
pub struct ClusterIdError(&'static str);

impl ClusterId {
    /// The cluster of this namespace and name. An object that is deleted and made again is another
    /// cluster, by its uid.
    ///
    /// # Errors
    /// Which part is no name.
    pub fn new(namespace: &str, name: &str, uid: &str) -> Result<Self, ClusterIdError> {
        for (part, text) in [("namespace", namespace), ("name", name), ("uid", uid)] {
            if !is_label(text) {
                return Err(ClusterIdError(part));
            }
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// What a certificate is for that any member may show.
    pub fn member_name(&self) -> String {
        format!("{}.{}.{DOMAIN}", self.name, self.namespace)
    }

    /// What a certificate is for that only this node may show.
    pub fn node_name(&self, node: &NodeName) -> String {
        format!("{node}.{}", self.member_name())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

/// Whether this is a DNS label, as the names of clusters and namespaces are (RFC 1123, 2.1).
fn is_label(text: &str) -> bool {
    let octets = text.as_bytes();
    let plain = |octet: &u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    let ends = [octets.first(), octets.last()];
    octets.len() <= CLUSTER_NAME
        && ends.iter().all(|end| end.is_some_and(plain))
        && octets.iter().all(|octet| plain(octet) || *octet == b'-')
}

/// Whom a certificate lets its owner be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entitled {
    /// Any member.
    Member,
    /// One of these nodes, in lower case.
    Nodes(Vec<String>),
}

impl Entitled {
    /// By the dNSNames of a certificate. `None`: it is for no member of this cluster.
    pub(crate) fn by<'a>(
        names: impl Iterator<Item = &'a str>,
        cluster: &ClusterId,
    ) -> Option<Self> {
        let member = cluster.member_name().to_ascii_lowercase();
        let mut nodes = Vec::new();
        for name in names.map(str::to_ascii_lowercase) {
            if name == member {
                return Some(Self::Member);
            }
            let node = name
                .strip_suffix(&member)
                .and_then(|rest| rest.strip_suffix('.'));
            nodes.extend(node.map(str::to_owned));
        }
        (!nodes.is_empty()).then_some(Self::Nodes(nodes))
    }

    /// Whether its owner may be this node.
    pub(crate) fn admits(&self, node: &NodeName) -> bool {
        let node = node.to_string();
        match self {
            Self::Member => true,
            Self::Nodes(nodes) => nodes.iter().any(|each| each.eq_ignore_ascii_case(&node)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> ClusterId {
        ClusterId::new("lns", "edge", "7d1c").unwrap()
    }

    fn by(names: &[&str]) -> Option<Entitled> {
        Entitled::by(names.iter().copied(), &edge())
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn a_certificate_of_the_cluster_is_for_any_member() {
        let any = by(&["other.example", "Edge.lns.PEERS.kubelns.io"]).unwrap();
        assert_eq!(any, Entitled::Member);
        assert!(any.admits(&node("a")) && any.admits(&node("b.example")));
    }

    #[test]
    fn a_certificate_of_a_node_is_for_that_node_only() {
        let one = by(&["n1.example.edge.lns.peers.kubelns.io"]).unwrap();
        assert!(one.admits(&node("n1.example")));
        for other in [
            "n1",
            "example",
            "n1.example.edge",
            "xn1.example",
            "n2.example",
        ] {
            assert!(!one.admits(&node(other)), "{other}");
        }
    }

    #[test]
    fn wildcards_bare_nodes_and_other_clusters_are_for_nobody() {
        for name in [
            "n1",
            "lns.peers.kubelns.io",
            "edge.other.peers.kubelns.io",
            "xedge.lns.peers.kubelns.io",
            ".edge.lns.peers.kubelns.io",
            "edge.lns.peers.kubelns.io.example",
        ] {
            assert_eq!(
                by(&[name]).filter(|it| it.admits(&node("n1"))),
                None,
                "{name}"
            );
        }
        let wild = by(&["*.edge.lns.peers.kubelns.io"]).unwrap();
        assert!(
            !wild.admits(&node("n1")),
            "an asterisk is no name of a node"
        );
    }

    #[test]
    fn a_cluster_has_names_without_dots() {
        let refused = |namespace, name, uid| {
            ClusterId::new(namespace, name, uid)
                .unwrap_err()
                .to_string()
        };
        let why = ": use 1 to 63 lower-case letters, digits and hyphens, with a letter or a digit at both ends";
        assert_eq!(refused("", "edge", "u"), format!("namespace{why}"));
        assert_eq!(refused("lns", "ed.ge", "u"), format!("name{why}"));
        assert_eq!(refused("lns", "edge", "a/b"), format!("uid{why}"));
        assert_eq!(refused("lns", "edge", "-u"), format!("uid{why}"));
        assert_eq!(refused("lns", "Edge", "u"), format!("name{why}"));
        assert_eq!(edge().to_string(), "lns/edge (7d1c)");
    }
}
