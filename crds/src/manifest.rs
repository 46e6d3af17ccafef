//! The standalone reader: a manifest file, or a folder of them, into typed values.
//!
//! A manifest is one `LnsCluster`, the `SessionPolicy`s that are for it, and the `Secret`s that it names,
//! in the shapes that Kubernetes uses, so that the same stream goes through `kubectl apply`. What `kubectl` and the API server refuse is
//! refused here; what they would take silently for something else (a repeated key, an unquoted `yes`)
//! too. All errors are collected. No error, warning or `Debug` output has a secret or a password in it.

mod document;
mod error;
mod objects;
mod policies;
mod secret;
mod shown;
mod users;
mod yaml;

use core::net::Ipv4Addr;
use std::{collections::BTreeMap, fs, path::Path};

use lns_crypto::Secret;
use serde_json::Value;

pub use self::error::ManifestError;
pub use self::objects::{digest, is_for, own_policy, parse_objects, secrets_of};
pub use self::secret::{SharedSecret, StoreSecret, TlsSecret};
pub use self::users::User;
pub use self::yaml::Fault;

use self::{
    document::{Document, Kind},
    secret::{Reference, Role},
};
use crate::{
    LnsCluster, Resource, SessionPolicy,
    cluster::Lac,
    limits, rules,
    schema::{self, Violation},
};

/// A manifest that passed every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The cluster, with all defaults applied.
    pub cluster: LnsCluster,
    /// The policies that are for it, with all defaults applied, in the order of their names.
    pub policies: Vec<SessionPolicy>,
    /// The secrets shared with LACs and RADIUS servers, by the name of their `Secret`.
    pub secrets: BTreeMap<String, SharedSecret>,
    /// What TLS is spoken with, by the name of its `Secret`.
    pub tls: BTreeMap<String, TlsSecret>,
    /// The passwords of status checks, by the name of their `Secret`.
    pub passwords: BTreeMap<String, Secret>,
    /// What members log in to their store with, by the name of its `Secret`.
    pub stores: BTreeMap<String, StoreSecret>,
    /// The authorities of a store's certificate, PEM, by the name of their `Secret`.
    pub authorities: BTreeMap<String, Secret>,
    /// The local users, by name.
    pub users: BTreeMap<String, User>,
    /// What is allowed and yet likely to be a mistake; one line each.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// The secret that the LNS shares with the LACs of `lac`; `None` where tunnels are not
    /// authenticated.
    pub fn shared_secret(&self, lac: &Lac) -> Option<&SharedSecret> {
        let reference = lac.tunnel_authentication.secret_ref.as_ref()?;
        self.secrets.get(&reference.name)
    }
}

/// Reads a manifest: a file with one YAML stream, or the `.yaml` and `.yml` files of a folder in the
/// order of their names. Hidden files and folders inside are left alone.
///
/// # Errors
/// Everything that is wrong, at least one.
pub fn read_manifest(path: &Path) -> Result<Manifest, Vec<ManifestError>> {
    let sources = read_sources(path)?;
    parse_manifest(
        sources
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    )
}

/// Reads the texts of a manifest and parses none: each with the name of its file.
///
/// # Errors
/// Everything that cannot be read, at least one.
pub fn read_sources(path: &Path) -> Result<Vec<(String, String)>, Vec<ManifestError>> {
    let files = if path.is_dir() {
        files_of(path).map_err(|error| vec![error])?
    } else {
        vec![path.to_owned()]
    };
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match read_file(&file) {
            Ok(text) => sources.push((file.display().to_string(), text)),
            Err(error) => errors.push(error),
        }
    }
    // What a manifest lacks may stand in the file that cannot be read: nothing more is said then.
    if errors.is_empty() {
        Ok(sources)
    } else {
        Err(errors)
    }
}

/// Parses a manifest from texts, each with the name that its errors are to have.
///
/// # Errors
/// Everything that is wrong, at least one.
pub fn parse_manifest<'a>(
    sources: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Manifest, Vec<ManifestError>> {
    let mut errors = Vec::new();
    let mut documents = Vec::new();
    let mut names = Vec::new();
    for (name, text) in sources {
        names.push(name);
        match yaml::documents(text) {
            Ok(values) => documents.extend(Document::all(name, values, &mut errors)),
            Err(fault) => errors.push(ManifestError::Syntax {
                file: name.to_owned(),
                fault,
            }),
        }
    }
    if errors
        .iter()
        .any(|error| matches!(error, ManifestError::Syntax { .. }))
    {
        // Half a stream: what else is missing may stand in the other half.
        return Err(errors);
    }
    assemble(&documents, &names.join(", "), errors)
}

fn assemble(
    documents: &[Document],
    sources: &str,
    mut errors: Vec<ManifestError>,
) -> Result<Manifest, Vec<ManifestError>> {
    repeated(documents, &mut errors);
    let Some(document) = documents
        .iter()
        .find(|document| document.kind == Kind::LnsCluster)
    else {
        if errors.is_empty() {
            errors.push(ManifestError::file(sources, "there is no LnsCluster in it"));
        }
        return Err(errors);
    };
    let (value, violations) = schema::check(Resource::LnsCluster, &document.value);
    errors.extend(
        violations
            .into_iter()
            .map(|violation| document.error(violation)),
    );
    let checked = policies::checked(documents, &mut errors);
    let mut parts = secret::Parts::default();
    for reference in references(&value) {
        secret::resolve(&reference, document, documents, &mut parts);
    }
    secret::unused(documents, &mut parts);
    let policies = policies::assemble(checked, document, &value, &mut parts);
    errors.append(&mut parts.errors);
    errors.extend(addresses(&value, &parts));
    match serde_json::from_value::<LnsCluster>(value) {
        Ok(cluster) if errors.is_empty() => {
            let of_rules = rules::warnings(&cluster.spec).into_iter();
            let mut warnings: Vec<_> = of_rules
                .map(|warning| document.error(warning).to_string())
                .collect();
            warnings.append(&mut parts.warnings);
            Ok(Manifest {
                cluster,
                policies,
                secrets: parts.shared,
                tls: parts.tls,
                passwords: parts.passwords,
                stores: parts.stores,
                authorities: parts.authorities,
                users: parts.users,
                warnings,
            })
        }
        Err(error) if errors.is_empty() => {
            Err(vec![document.error(Violation::new("", error.to_string()))])
        }
        Ok(_) | Err(_) => Err(errors),
    }
}

/// There is one cluster, and one of each other kind of a name.
fn repeated(documents: &[Document], errors: &mut Vec<ManifestError>) {
    for (index, document) in documents.iter().enumerate() {
        let earlier = documents
            .iter()
            .take(index)
            .find(|earlier| match document.kind {
                Kind::LnsCluster => earlier.kind == Kind::LnsCluster,
                Kind::SessionPolicy | Kind::Secret => {
                    earlier.kind == document.kind
                        && (&earlier.name, &earlier.namespace)
                            == (&document.name, &document.namespace)
                }
            });
        if let Some(earlier) = earlier {
            let message = match document.kind {
                Kind::LnsCluster => {
                    format!(
                        "a manifest has one LnsCluster, and {} is there already, in {}",
                        earlier.title(),
                        earlier.file
                    )
                }
                Kind::SessionPolicy | Kind::Secret => {
                    format!("is there twice, first in {}", earlier.file)
                }
            };
            errors.push(document.error(Violation::new("", message)));
        }
    }
}

/// The `Secret`s that a cluster names, also a cluster that is wrong in other places.
fn references(value: &Value) -> Vec<Reference> {
    let lacs = ("lacs", "tunnelAuthentication.secretRef", Role::Lac);
    let servers = [
        "authentication.servers",
        "accounting.servers",
        "accounting.copies",
    ];
    let mut lists = vec![lacs.0.to_owned()];
    lists.extend(servers.map(|list| format!("radius.{list}")));
    lists.push("radius.dynamicAuthorization.clients".to_owned());
    let mut found = Vec::new();
    for list in &lists {
        let pointer = format!("/spec/{}", list.replace('.', "/"));
        let entries = value.pointer(&pointer).and_then(Value::as_array);
        for (index, entry) in entries.into_iter().flatten().enumerate() {
            let at = format!("spec.{list}[{index}]");
            let inside = if list == lacs.0 {
                &[(lacs.1, lacs.2)][..]
            } else {
                &[("secretRef", Role::Radius), ("tlsSecretRef", Role::Tls)]
            };
            found.extend(named(entry, &at, inside));
        }
    }
    let single = [
        (
            "radius.authentication.statusCheck.passwordSecretRef",
            Role::Password,
        ),
        ("subscribers.localUsers.secretRef", Role::Users),
        ("store.redis.credentialsSecretRef", Role::Store),
        ("store.redis.caSecretRef", Role::Authorities),
        ("peers.tlsSecretRef", Role::Peers),
    ];
    let spec = value.get("spec").unwrap_or(&Value::Null);
    found.extend(named(spec, "spec", &single));
    found
}

/// Those of these references that are inside of a value, which is at this path.
fn named(value: &Value, path: &str, inside: &[(&str, Role)]) -> Vec<Reference> {
    let reference = |(field, role): &(&str, Role)| {
        let pointer = format!("/{}/name", field.replace('.', "/"));
        let name = value.pointer(&pointer)?.as_str()?;
        Some(Reference::new(*role, format!("{path}.{field}.name"), name))
    };
    inside.iter().filter_map(reference).collect()
}

/// A user's own address must be his alone: not another user's, not one of the LNS.
fn addresses(value: &Value, parts: &secret::Parts) -> Vec<ManifestError> {
    let spec = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let service = spec("/spec/service/addresses").filter_map(Value::as_str);
    let local = spec("/spec/pools").filter_map(|pool| pool.get("localAddress")?.as_str());
    let ours: Vec<Ipv4Addr> = service
        .chain(local)
        .filter_map(|text| text.parse().ok())
        .collect();
    let mut owners = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, user) in &parts.users {
        let Some(address) = user.address else {
            continue;
        };
        let fault = if ours.contains(&address) {
            Some("is an address of the LNS itself".to_owned())
        } else {
            owners
                .insert(address, name)
                .map(|owner| format!("is the address of {owner:?} already"))
        };
        if let Some(fault) = fault {
            errors.push(ManifestError::user(
                &parts.users_secret,
                name,
                &format!("address: \"{address}\" {fault}"),
            ));
        }
    }
    errors
}

fn files_of(folder: &Path) -> Result<Vec<std::path::PathBuf>, ManifestError> {
    let fault = |error: std::io::Error| {
        ManifestError::file(&folder.display().to_string(), &error.to_string())
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ManifestError::file(
            &folder.display().to_string(),
            "there is no .yaml or .yml file in it",
        ));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<String, ManifestError> {
    let fault = |reason: &str| ManifestError::file(&path.display().to_string(), reason);
    let length = fs::metadata(path)
        .map_err(|error| fault(&error.to_string()))?
        .len();
    if length > limits::FILE_OCTETS {
        return Err(fault(&format!(
            "has {length} octets; {} are the most",
            limits::FILE_OCTETS
        )));
    }
    let octets = fs::read(path).map_err(|error| fault(&error.to_string()))?;
    String::from_utf8(octets).map_err(|_| fault("is not UTF-8 text"))
}

/// A secret for what is only compared, never shown.
pub(crate) fn concealed(text: &str) -> Secret {
    Secret::new(text.as_bytes())
}

#[cfg(test)]
mod tests;
