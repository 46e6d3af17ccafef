//! The objects of a cluster: an account that may do what members do, and a `DaemonSet` of them.
//!
//! Everything is made of what was validated and of the [`Settings`], and of nothing else: the same input makes the
//! same objects, octet by octet, so that applying them again changes nothing.

mod pods;
mod rights;

pub(crate) use pods::digest_of;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use lns_cluster::NodeName;

use crate::labels::{labels, object_name};
use crate::settings::Settings;

/// What objects are made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The namespace of the `LnsCluster` and of all that is made for it.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) cluster: String,
    /// Its uid: objects go with it.
    pub(crate) uid: String,
    /// Which nodes become members.
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Those that are.
    pub(crate) nodes: BTreeSet<NodeName>,
    /// The Secrets that it names.
    pub(crate) secrets: BTreeSet<String>,
    /// As long as it has sessions nothing ends it: what is made has no owner that it would go with.
    pub(crate) is_protected: bool,
}

/// The objects of a cluster, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objects {
    pub(crate) account: ServiceAccount,
    pub(crate) role: Role,
    pub(crate) binding: RoleBinding,
    pub(crate) members: DaemonSet,
}

/// Makes them.
pub(crate) fn build(plan: &Plan, settings: &Settings) -> Objects {
    Objects {
        account: rights::account(plan),
        role: rights::role(plan),
        binding: rights::binding(plan),
        members: pods::daemon_set(plan, settings),
    }
}

impl Plan {
    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(object_name(&self.cluster)),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels(&self.cluster)),
            owner_references: (!self.is_protected).then(|| vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: "kubelns.io/v1alpha1".to_owned(),
            kind: "LnsCluster".to_owned(),
            name: self.cluster.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

#[cfg(test)]
mod tests;
