//! The fourth step: objects are applied by the server, under one manager, and only if something differs.
//!
//! What was applied last is remembered with the version of the object that came of it. As long as both are what they
//! were there is nothing to ask the API server.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::build::Objects;
use super::{Context, lock};
use crate::error::Error;
use crate::labels::MANAGER;

/// What was applied of a cluster: of each kind a digest of it.
pub(crate) type Applied = BTreeMap<&'static str, String>;

impl Context {
    /// Applies them, in their order.
    pub(super) async fn apply(&self, cluster: &str, objects: &Objects) -> Result<(), Error> {
        self.apply_one(cluster, "ServiceAccount", &objects.account)
            .await?;
        self.apply_one(cluster, "Role", &objects.role).await?;
        self.apply_one(cluster, "RoleBinding", &objects.binding)
            .await?;
        self.apply_one(cluster, "DaemonSet", &objects.members).await
    }

    async fn apply_one<K>(&self, cluster: &str, kind: &'static str, object: &K) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + core::fmt::Debug,
    {
        let text = serde_json::to_string(object).map_err(Error::Unwritable)?;
        let digest = format!("{:x?}", Sha256::digest(text));
        let is_known = || {
            let applied = lock(&self.applied);
            applied.get(cluster).and_then(|kinds| kinds.get(kind)) == Some(&digest)
        };
        if is_known() {
            return Ok(());
        }
        let api: Api<K> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let how = PatchParams::apply(MANAGER).force();
        api.patch(&object.name_any(), &how, &Patch::Apply(object))
            .await
            .map_err(Error::Api)?;
        let mut applied = lock(&self.applied);
        applied
            .entry(cluster.to_owned())
            .or_default()
            .insert(kind, digest);
        Ok(())
    }

    /// Something of a cluster is not as it was: all of it is applied again.
    pub(crate) fn doubt(&self, cluster: &str) {
        let mut applied = lock(&self.applied);
        applied.remove(cluster);
    }
}
