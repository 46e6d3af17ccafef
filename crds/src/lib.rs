//! The kubelns.io resources: types, defaults, validation, and the reader of manifest files.
//!
//! [`LnsCluster`] and [`SessionPolicy`] are resources with two homes: objects in Kubernetes, or
//! documents of the file that `lnsd run --manifest` reads. Both are held to the same rules, and the
//! rules are written once: the structure and the CEL rules of the definition of each ([`Resource`]),
//! evaluated here the way the API server evaluates them, and the few of [`rules`] that span lists and
//! objects and that the operator shares.
//!
//! [`read_manifest`] is the way in for a file; it gives typed values, so that nobody parses an
//! address a second time.
#![forbid(unsafe_code)]

#[allow(
    unreachable_pub,
    reason = "the schema derive makes a private twin of each type, with the type's visibility"
)]
pub mod cluster;
pub mod diff;
pub mod fence;
mod format;
pub mod limits;
pub mod manifest;
#[allow(
    unreachable_pub,
    reason = "the schema derive makes a private twin of each type, with the type's visibility"
)]
#[allow(
    clippy::struct_field_names,
    clippy::duplicated_attributes,
    reason = "the names of the manifest's fields; two columns of one type"
)]
pub mod policy;
pub mod released;
pub mod rules;
pub mod schema;
pub mod status;

pub use cluster::{LnsCluster, LnsClusterSpec};
pub use diff::{Change, diff};
pub use manifest::{
    Manifest, ManifestError, SharedSecret, StoreSecret, TlsSecret, User, digest, is_for,
    own_policy, parse_manifest, parse_objects, read_manifest, read_sources, secrets_of,
};
pub use policy::{SessionPolicy, SessionPolicySpec};
pub use schema::{Resource, crd, effect::Effect};
pub use status::{LnsClusterStatus, SessionPolicyStatus};

pub use ipnet::{IpNet, Ipv4Net};
