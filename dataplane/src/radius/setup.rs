//! What the manifest says of RADIUS, with what only this process can tell of it: whether certificates
//! and keys are of use.

use core::fmt;
use std::collections::BTreeMap;

use lns_radius::config::{Config, Purpose};

use super::pool::{Settings, Tls};
use super::tls::{Identity, Material, server_name};
use crate::config::RadiusSetup;

/// What the thread is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Those who are asked.
    pub(super) authentication: Option<Settings>,
    /// Those who are told.
    pub(super) accounting: Option<Settings>,
    /// Those who are told too, and not waited for.
    pub(super) copies: Vec<Settings>,
    /// Octets of the records that wait on disk.
    pub(super) spool_max: u64,
}

/// A certificate or a key of a server's Secret is of no use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unfit {
    purpose: Purpose,
    server: String,
    problem: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.purpose {
            Purpose::Authentication => "authentication.servers",
            Purpose::Accounting => "accounting.servers",
            Purpose::Copy => "accounting.copies",
        };
        let Self {
            server, problem, ..
        } = self;
        write!(f, "spec.radius.{path}[{server}].tlsSecretRef: {problem}")
    }
}

impl Setup {
    /// Of what the manifest says.
    ///
    /// # Errors
    /// [`Unfit`]
    pub(crate) fn new(from: &RadiusSetup) -> Result<Self, Unfit> {
        let settings = |config: &Config| settings(from, config);
        Ok(Self {
            authentication: from.authentication.as_ref().map(settings).transpose()?,
            accounting: from.accounting.as_ref().map(settings).transpose()?,
            copies: from.copies.iter().map(settings).collect::<Result<_, _>>()?,
            spool_max: from.spool_max,
        })
    }
}

fn settings(from: &RadiusSetup, config: &Config) -> Result<Settings, Unfit> {
    let mut tls = BTreeMap::new();
    for server in &config.servers {
        let key = (config.purpose, server.name.clone());
        let Some(material) = from.tls.get(&key) else {
            continue;
        };
        let unfit = |problem: String| Unfit {
            purpose: config.purpose,
            server: server.name.to_string(),
            problem,
        };
        let identity = Identity::new(Material {
            certificate: material.certificate.expose(),
            key: material.key.expose(),
            authorities: material.authorities.expose(),
        });
        let identity = identity.map_err(|error| unfit(error.to_string()))?;
        let name = server_name(material.server_name.as_deref(), server.address.ip());
        let name = name.map_err(unfit)?;
        tls.insert(server.name.clone(), Tls { identity, name });
    }
    Ok(Settings {
        client: config.clone(),
        source: from.nas_address,
        tls,
    })
}
