//! Which `LnsCluster` is meant: the only one of the namespace, or the one that is named.
//!
//! Objects are taken as they come: one that this version cannot read is still one that can be looked into.

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use lns_api::LnsCluster;

use crate::cli::Place;
use crate::failure::{Failure, of_api};

/// The API server, and the namespace that is looked into.
pub(crate) struct Access {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Access {
    /// As the options and the kubeconfig say.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) async fn of(place: &Place) -> Result<Self, Failure> {
        let config = config(place).await?;
        let namespace = place.namespace.clone();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| {
            Failure::bad_input(format!(
                "the API server cannot be spoken with: {error}: check the kubeconfig"
            ))
        })?;
        Ok(Self { client, namespace })
    }

    pub(crate) fn clusters(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<LnsCluster>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// The cluster that is meant.
    ///
    /// # Errors
    /// There is none, or which one is not said.
    pub(crate) async fn cluster(&self, place: &Place) -> Result<DynamicObject, Failure> {
        let all = self.clusters().list(&ListParams::default()).await;
        let all = all.map_err(|error| {
            if let kube::Error::Api(status) = &error
                && status.code == 404
            {
                return Failure::failed(
                    "this API server knows no LnsClusters",
                    "install the chart lns-crds, or choose another with --context",
                );
            }
            of_api("reading LnsClusters", &error)
        })?;
        choose(all.items, place.cluster.as_deref(), &self.namespace)
    }
}

async fn config(place: &Place) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: place.context.clone(),
        ..KubeConfigOptions::default()
    };
    let wrong = |error: &dyn core::fmt::Display| {
        Failure::bad_input(format!("the kubeconfig is of no use: {error}"))
    };
    let Some(path) = &place.kubeconfig else {
        // In a pod there is none; with a context that is named there must be.
        return match Config::from_kubeconfig(&options).await {
            Ok(config) => Ok(config),
            Err(error) if place.context.is_some() => Err(wrong(&error)),
            Err(error) => Config::incluster().map_err(|_| wrong(&error)),
        };
    };
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let config = Config::from_custom_kubeconfig(read, &options).await;
    config.map_err(|error| wrong(&error))
}

fn choose(
    all: Vec<DynamicObject>,
    name: Option<&str>,
    namespace: &str,
) -> Result<DynamicObject, Failure> {
    let mut names: Vec<String> = all.iter().map(DynamicObject::name_any).collect();
    names.sort();
    let names = names.join(", ");
    let mut meant: Vec<DynamicObject> = all
        .into_iter()
        .filter(|it| name.is_none_or(|name| it.name_any() == name))
        .collect();
    match (meant.pop(), name) {
        (Some(one), _) if meant.is_empty() => Ok(one),
        (Some(_), _) => Err(Failure::bad_input(format!(
            "namespace {namespace} has several LnsClusters ({names}): say which with --cluster"
        ))),
        (None, _) if names.is_empty() => Err(Failure::bad_input(format!(
            "there is no LnsCluster in namespace {namespace}: name another one with -n"
        ))),
        (None, name) => Err(Failure::bad_input(format!(
            "there is no LnsCluster {} in namespace {namespace}: there is {names}",
            name.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(names: &[&str]) -> Vec<DynamicObject> {
        let kind = ApiResource::erase::<LnsCluster>(&());
        names
            .iter()
            .map(|name| DynamicObject::new(name, &kind))
            .collect()
    }

    #[test]
    fn the_only_cluster_need_not_be_named_and_one_of_several_must_be() {
        let chosen =
            |names: &[&str], name| choose(clusters(names), name, "isp").map(|it| it.name_any());
        assert_eq!(chosen(&["edge"], None), Ok("edge".to_owned()));
        assert_eq!(
            chosen(&["rim", "edge"], Some("edge")),
            Ok("edge".to_owned())
        );
        let said = |outcome: Result<String, Failure>| match outcome {
            Err(Failure::BadInput(line)) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            said(chosen(&["rim", "edge"], None)),
            "namespace isp has several LnsClusters (edge, rim): say which with --cluster"
        );
        assert_eq!(
            said(chosen(&["rim", "edge"], Some("core"))),
            "there is no LnsCluster core in namespace isp: there is edge, rim"
        );
        assert_eq!(
            said(chosen(&[], None)),
            "there is no LnsCluster in namespace isp: name another one with -n"
        );
    }
}
