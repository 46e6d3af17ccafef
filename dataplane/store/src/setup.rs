//! What a manifest says of the store: `spec.store.redis`, and the Secrets that it names.

use lns_api::cluster::{Redis, Sentinel};
use lns_api::schema::Violation;
use lns_api::{Manifest, StoreSecret};
use lns_crypto::Secret;

use crate::config::{Address, Config, Credentials, Durability, Endpoint, Target, Timing};
use crate::record::Space;
use crate::writer::Settings;

/// About how many changes the store's stream keeps: a member that was away for less need not load
/// everything. Some 300 octets each.
const STREAM_ENTRIES: u32 = 100_000;

/// Where records are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    target: Target,
    login: Option<StoreSecret>,
    authorities: Option<Secret>,
    space: Space,
    durability: Durability,
    replicas: u32,
}

impl Setup {
    /// Reads a manifest. `None`: it has no store.
    ///
    /// # Errors
    /// What is wrong with it, beyond the rules of manifests.
    pub fn new(manifest: &Manifest) -> Result<Option<Self>, Vec<Violation>> {
        let spec = &manifest.cluster.spec;
        let Some(redis) = spec.store.as_ref().map(|store| &store.redis) else {
            return Ok(None);
        };
        let mut wrong = Vec::new();
        let endpoint = Endpoint::parse(&redis.url)
            .map_err(|error| wrong.push(violation("spec.store.redis.url", &error)));
        let sentinels = redis.sentinel.as_ref().map(|it| sentinels(it, &mut wrong));
        let metadata = &manifest.cluster.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let space = Space::new(namespace, metadata.name.as_deref().unwrap_or_default())
            .map_err(|error| wrong.push(violation("metadata.name", &error)));
        match (endpoint, space) {
            (Ok(endpoint), Ok(space)) if wrong.is_empty() => {
                let target = target(redis, sentinels, endpoint);
                Ok(Some(Self::of(manifest, redis, target, space)))
            }
            _ => Err(wrong),
        }
    }

    fn of(manifest: &Manifest, redis: &Redis, target: Target, space: Space) -> Self {
        let login = redis.credentials_secret_ref.as_ref();
        let authorities = redis.ca_secret_ref.as_ref();
        Self {
            target,
            login: login.and_then(|it| manifest.stores.get(&it.name).cloned()),
            authorities: authorities.and_then(|it| manifest.authorities.get(&it.name).cloned()),
            space,
            durability: match redis.durability {
                lns_api::cluster::Durability::Replicated => Durability::Replicated,
                lns_api::cluster::Durability::Single => Durability::Single,
            },
            replicas: redis.wanted_replicas().into(),
        }
    }

    /// What a connection needs to know.
    pub fn config(&self) -> Config {
        Config {
            target: self.target.clone(),
            credentials: self.login.as_ref().map(|login| Credentials {
                // The manifest's rules have seen that it is a text.
                user: login
                    .user
                    .as_ref()
                    .map(|user| String::from_utf8_lossy(user.expose()).into()),
                password: login.password.clone(),
            }),
            authorities: self.authorities.as_ref().map(|pem| pem.expose().to_vec()),
            space: self.space.clone(),
            durability: self.durability,
            stream_entries: STREAM_ENTRIES,
            timing: Timing::default(),
        }
    }

    /// How much the writer of a mastership waits for.
    pub fn settings(&self) -> Settings {
        Settings {
            replicas: self.replicas,
            ..Settings::default()
        }
    }
}

fn target(redis: &Redis, sentinels: Option<Vec<Address>>, endpoint: Endpoint) -> Target {
    match (&redis.sentinel, sentinels) {
        (Some(sentinel), Some(sentinels)) => Target::Sentinel {
            master: sentinel.master.as_str().into(),
            sentinels,
            tls: endpoint.tls,
            database: endpoint.database,
        },
        _ => Target::Server(endpoint),
    }
}

fn sentinels(sentinel: &Sentinel, wrong: &mut Vec<Violation>) -> Vec<Address> {
    let mut read = Vec::new();
    for (index, text) in sentinel.addresses.iter().enumerate() {
        match Address::sentinel(text) {
            Ok(address) => read.push(address),
            Err(error) => {
                let path = format!("spec.store.redis.sentinel.addresses[{index}]");
                wrong.push(violation(&path, &error));
            }
        }
    }
    read
}

fn violation(path: &str, error: &impl ToString) -> Violation {
    Violation {
        path: path.to_owned(),
        message: error.to_string(),
    }
}
