//! How the API server is reached, and a connection to it for an election alone.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use lns_cluster::Profile;

/// How the API server is reached: as this kubeconfig says, or else as the environment or a pod does.
///
/// # Errors
/// Nothing says how, or what says so cannot be read: a line for whoever typed the option `--kubeconfig`.
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config, String> {
    let Some(path) = kubeconfig else {
        return Config::infer().await.map_err(|error| {
            format!("nothing says how the API server is reached ({error}): give --kubeconfig")
        });
    };
    let wrong = |why: &dyn core::fmt::Display| format!("--kubeconfig {}: {why}", path.display());
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    config.map_err(|error| wrong(&error))
}

/// A client for an election: nothing beneath the elector tries again, so that what is counted from the
/// send of a request is the send of that request, and no other program's requests are before its own.
///
/// # Errors
/// What the configuration names (certificates, a proxy) cannot be used.
pub fn client(config: Config, profile: &Profile) -> Result<Client, Error> {
    let mut config = config;
    config.default_retry = false;
    config.connect_timeout = Some(profile.timing().patience);
    Client::try_from(config)
}
