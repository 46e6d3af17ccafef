//! The standalone reader: a manifest file or a folder of them into typed values.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

use lns_crypto::Secret;

use crate::LnsCluster;

/// A manifest that passed every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The cluster, with all defaults applied.
    pub cluster: LnsCluster,
    /// The shared secrets by the name of their `Secret`.
    pub secrets: BTreeMap<String, SharedSecret>,
    /// The local users by name.
    pub users: BTreeMap<String, User>,
    /// What is allowed and yet likely to be wrong, one line each.
    pub warnings: Vec<String>,
}

/// The secret that an LNS and a LAC share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSecret {
    /// What we use ourselves and accept.
    pub current: Secret,
    /// What is still accepted while the LAC has not been changed.
    pub previous: Option<Secret>,
}

/// One local user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// His password.
    pub password: Secret,
    /// The address that he always gets.
    pub address: Option<Ipv4Addr>,
}

/// One thing wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    line: String,
}

/// Reads a manifest: a file with one YAML stream, or a folder of `.yaml` and `.yml` files.
pub fn read_manifest(path: &Path) -> Result<Manifest, Vec<ManifestError>> {
    Err(vec![ManifestError {
        line: path.display().to_string(),
    }])
}
