//! A connection to the API server for an election alone.

use kube::{Client, Config, Error};
use lns_cluster::Profile;

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
