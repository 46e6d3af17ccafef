//! What Leases are called: `<cluster>.master`, and `<cluster>.node.<hash>` for each node.
//!
//! A name of a cluster has no dot, so none of these can be another's. A name of a node may be longer
//! than what is left, so it is hashed.

use core::fmt;
use std::sync::Arc;

use lns_cluster::NodeName;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Characters in the name of a cluster; `crds` refuses a longer one too.
pub const CLUSTER_NAME: usize = 45;

/// The name of an `LnsCluster`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClusterName(Arc<str>);

/// The name of a Lease.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaseName(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// It is no DNS label.
    #[error(
        "\"{0}\" is no name of a cluster: use 1 to {CLUSTER_NAME} lower-case letters, digits and hyphens, \
         beginning and ending with a letter or a digit"
    )]
    Cluster(String),
    /// It is no DNS subdomain.
    #[error(
        "\"{0}\" is no name of a Lease: use 1 to 253 lower-case letters, digits, hyphens and dots, with a \
         letter or a digit at both ends of what is between dots"
    )]
    Lease(String),
}

impl ClusterName {
    /// The name of a cluster.
    ///
    /// # Errors
    /// It is no DNS label, or too long.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.len() > CLUSTER_NAME || !is_label(name) {
            return Err(NameError::Cluster(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl LeaseName {
    /// A name of the caller's own, for an election of something else than a cluster's master.
    ///
    /// # Errors
    /// It is no DNS subdomain.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(NameError::Lease(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The Lease whose holder is master of a cluster.
    pub fn master(cluster: &ClusterName) -> Self {
        Self(format!("{cluster}.master").into())
    }

    /// The Lease in which a node says what it is: behind `.node.` stand the first 16 hexadecimal digits of
    /// the SHA-256 of the node's name.
    pub fn node(cluster: &ClusterName, node: &NodeName) -> Self {
        let hash = Sha256::digest(node.to_string());
        let first = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
        Self(format!("{cluster}.node.{first:016x}").into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    let is_alphanumeric = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= 63
        && text
            .bytes()
            .all(|octet| is_alphanumeric(octet) || octet == b'-')
        && ends.into_iter().all(|end| end.is_some_and(is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_leases_of_a_cluster_are_named_after_it_and_a_hash_of_the_node() {
        let cluster = ClusterName::new("isp").unwrap();
        let node = NodeName::new("worker-1.example").unwrap();
        assert_eq!(LeaseName::master(&cluster).as_str(), "isp.master");
        // printf worker-1.example | sha256sum | cut -c1-16
        assert_eq!(
            LeaseName::node(&cluster, &node).as_str(),
            "isp.node.f615b9184c9c9fd0"
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_to_write_instead() {
        for name in ["", "-a", "a-", "a.b", "A", "a_b", &"a".repeat(46)] {
            let refused = ClusterName::new(name).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("\"{name}\" is no name of a cluster: use 1 to 45"))
            );
        }
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a.-b",
            "a/b",
            &"a".repeat(64),
            &"a.".repeat(127),
        ] {
            assert!(LeaseName::new(name).is_err(), "{name}");
        }
        for name in ["a", "lns-operator", "isp.master", "1.2"] {
            assert_eq!(LeaseName::new(name).unwrap().as_str(), name);
        }
    }

    proptest! {
        /// Whatever a node is called, the API server takes the name of its Lease.
        #[test]
        fn any_name_of_a_node_makes_a_name_of_a_lease(
            cluster in "[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?",
            node in "[^/]{1,300}",
        ) {
            let cluster = ClusterName::new(&cluster)?;
            let name = LeaseName::node(&cluster, &NodeName::new(&node)?);
            prop_assert_eq!(LeaseName::new(name.as_str()), Ok(name));
        }
    }
}
