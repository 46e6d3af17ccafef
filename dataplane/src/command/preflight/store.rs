//! A Redis that is named: whether it can be reached, and keeps records (rules S4 and S6), as a member will find out.

use lns_crypto::Secret;
use lns_store::{Config, Credentials, Durability, Endpoint, Redis, Space, Target, Timing};
use tokio::runtime;

use super::Check;
use crate::cli::PreflightArguments;
use crate::failure::Failure;

const NAME: &str = "redis";

/// Who we are there: others can read command lines.
const USER: &str = "LNSD_REDIS_USERNAME";
const PASSWORD: &str = "LNSD_REDIS_PASSWORD";

/// The store that the arguments name.
pub(super) fn config(arguments: &PreflightArguments) -> Result<Option<Config>, Failure> {
    let Some(url) = &arguments.redis else {
        return Ok(None);
    };
    let server = Endpoint::parse(url)
        .map_err(|error| Failure::bad_input(format!("--redis: {url:?}: {error}")))?;
    let password = std::env::var(PASSWORD).ok();
    let credentials = password.map(|password| Credentials {
        user: std::env::var(USER).ok().map(Into::into),
        password: Secret::new(password.into_bytes()),
    });
    let authorities = arguments.redis_ca.as_ref().map(std::fs::read).transpose();
    let authorities =
        authorities.map_err(|error| Failure::bad_input(format!("--redis-ca: {error}")))?;
    // No record has this name, and none is asked for.
    let space = Space::new("lns", "preflight")
        .map_err(|error| Failure::failed("cannot name a space", error))?;
    Ok(Some(Config {
        target: Target::Server(server),
        credentials,
        authorities,
        space,
        durability: if arguments.redis_single {
            Durability::Single
        } else {
            Durability::Replicated
        },
        stream_entries: 1,
        timing: Timing::default(),
    }))
}

/// Asks it.
pub(super) fn check(config: Config) -> Check {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let server = match runtime {
        Ok(runtime) => runtime.block_on(Redis::probe(config)),
        Err(error) => return Check::fail(NAME, error.to_string(), "is there memory left?"),
    };
    match server {
        Ok(server) => Check::ok(
            NAME,
            format!(
                "{} is {}, with {} replicas",
                server.address, server.version, server.replicas
            ),
        ),
        Err(reason) => Check::fail(
            NAME,
            reason.to_string(),
            "members store their records there: correct spec.store.redis, or the server",
        ),
    }
}
