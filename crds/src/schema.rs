//! The CustomResourceDefinition.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The CustomResourceDefinition of [`LnsCluster`](crate::LnsCluster).
pub fn crd() -> CustomResourceDefinition {
    crate::LnsCluster::crd()
}

/// The CustomResourceDefinition in YAML.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser_error::Error> {
    serde_saphyr::to_string(&crd())
}
