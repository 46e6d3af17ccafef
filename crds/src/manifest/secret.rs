//! The `Secret` documents: their keys, and what the cluster's references make of them.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lns_crypto::Secret;
use serde_json::Value;

use super::{
    document::{Document, Kind, shape},
    error::ManifestError,
    users::{self, User},
};
use crate::{
    limits,
    schema::{Violation, unknown},
};

/// The secret that an LNS and the LACs of one entry share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSecret {
    /// What we use ourselves, and accept.
    pub current: Secret,
    /// What we accept too, while not every LAC has been changed.
    pub previous: Option<Secret>,
}

/// A place in the cluster that names a `Secret`.
pub(super) struct Reference {
    path: String,
    name: String,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    SharedSecret,
    Users,
}

impl Reference {
    pub(super) fn shared_secret(path: String, name: &str) -> Self {
        Self {
            path,
            name: name.to_owned(),
            role: Role::SharedSecret,
        }
    }

    pub(super) fn users(path: String, name: &str) -> Self {
        Self {
            path,
            name: name.to_owned(),
            role: Role::Users,
        }
    }
}

/// What the references have yielded so far.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) shared: BTreeMap<String, SharedSecret>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) users_secret: String,
    pub(super) errors: Vec<ManifestError>,
    pub(super) warnings: Vec<String>,
    named: BTreeSet<String>,
}

/// Follows one reference of `cluster`.
pub(super) fn resolve(
    reference: &Reference,
    cluster: &Document,
    documents: &[Document],
    parts: &mut Parts,
) {
    let Reference { path, name, role } = reference;
    let first = parts.named.insert(name.clone());
    let same_name = || {
        documents
            .iter()
            .filter(|one| one.kind == Kind::Secret && one.name == *name)
    };
    let Some(document) = same_name().find(|one| one.namespace == cluster.namespace) else {
        let elsewhere = same_name().next().map(|one| {
            format!(
                "; there is one in namespace {:?}, and the cluster is in {:?}",
                one.namespace, cluster.namespace
            )
        });
        let message = format!(
            "{name:?} is no Secret of this manifest{}",
            elsewhere.unwrap_or_default()
        );
        parts
            .errors
            .push(cluster.error(Violation::new(path, message)));
        return;
    };
    let (values, violations) = values(document, role.keys());
    // Of a Secret that two places name, its own faults are told once.
    if first {
        parts.errors.extend(
            violations
                .into_iter()
                .map(|violation| document.error(violation)),
        );
    }
    match values.get(role.required()) {
        None => {
            let message = format!("Secret {name:?} has no key {}", role.required());
            parts
                .errors
                .push(cluster.error(Violation::new(path, message)));
        }
        Some(None) => {}
        Some(Some(value)) => match role {
            Role::SharedSecret => shared(
                document,
                value,
                values.get("previous").cloned().flatten(),
                parts,
            ),
            Role::Users => {
                parts.users_secret.clone_from(name);
                parts.users = users::parse(document, value, &mut parts.errors);
            }
        },
    }
}

/// Warns of the `Secret`s that nothing names.
pub(super) fn unused(documents: &[Document], parts: &mut Parts) {
    for document in documents.iter().filter(|one| one.kind == Kind::Secret) {
        if !parts.named.contains(&document.name) {
            parts
                .warnings
                .push(format!("{}: nothing names it", document.title()));
        }
    }
}

impl Role {
    fn required(self) -> &'static str {
        match self {
            Self::SharedSecret => "current",
            Self::Users => "users.yaml",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::SharedSecret => &["current", "previous"],
            Self::Users => &["users.yaml"],
        }
    }
}

fn shared(document: &Document, current: &Secret, previous: Option<Secret>, parts: &mut Parts) {
    let both = [("current", Some(current)), ("previous", previous.as_ref())];
    for (key, value) in both
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?.expose())))
    {
        let title = document.title();
        if value.is_empty() {
            parts
                .errors
                .push(document.error(Violation::new(key, "is empty")));
        } else if value.len() < limits::WEAK_SECRET {
            let (octets, least) = (value.len(), limits::WEAK_SECRET);
            parts.warnings.push(format!(
                "{title}: {key}: has {octets} octets; below {least} a secret can be guessed from one recorded exchange"
            ));
        }
        if value.last().is_some_and(u8::is_ascii_whitespace) {
            parts.warnings.push(format!(
                "{title}: {key}: ends in a blank or a line end, which is part of the secret; most LACs have none there"
            ));
        }
    }
    parts.shared.insert(
        document.name.clone(),
        SharedSecret {
            current: current.clone(),
            previous,
        },
    );
}

type Values = BTreeMap<String, Option<Secret>>;

/// The values of a `Secret`, by key; `None` where one is there and cannot be read, which is reported.
fn values(document: &Document, known: &[&str]) -> (Values, Vec<Violation>) {
    let mut values = Values::new();
    let mut violations = Vec::new();
    let fields = [
        "apiVersion",
        "kind",
        "metadata",
        "type",
        "immutable",
        "data",
        "stringData",
    ];
    for (field, value) in document.value.as_object().into_iter().flatten() {
        match (field.as_str(), value) {
            ("apiVersion" | "kind" | "metadata", _)
            | ("immutable", Value::Bool(_))
            | ("data" | "stringData" | "type" | "immutable", Value::Null) => {}
            ("type", Value::String(kind)) if kind == "Opaque" => {}
            ("type", Value::String(kind)) => {
                violations.push(Violation::new(
                    "type",
                    format!("{kind:?} is not known here; leave it out, or write Opaque"),
                ));
            }
            ("data" | "stringData", Value::Object(entries)) => {
                for (key, value) in entries {
                    let path = format!("{field}.{key}");
                    if !known.contains(&key.as_str()) {
                        violations.push(Violation::new(&path, unknown(key, known)));
                    }
                    let value = decode(field == "data", value)
                        .map_err(|fault| violations.push(Violation::new(&path, fault)));
                    if values.insert(key.clone(), value.ok()).is_some() {
                        violations.push(Violation::new(path, "is in both data and stringData"));
                    }
                }
            }
            ("data" | "stringData" | "type" | "immutable", other) => {
                violations.push(Violation::new(
                    field,
                    format!("must not be {}", shape(other)),
                ));
            }
            (other, _) => violations.push(Violation::new(other, unknown(other, &fields))),
        }
    }
    (values, violations)
}

fn decode(is_base64: bool, value: &Value) -> Result<Secret, String> {
    let Value::String(text) = value else {
        return Err(format!(
            "must be a string, and is {}; quote it",
            shape(value)
        ));
    };
    if is_base64 {
        // As the API server does: line ends in the text are no part of it.
        let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let octets = STANDARD
            .decode(text)
            .map_err(|_| "is no base64; plain text goes into stringData")?;
        return Ok(Secret::new(octets));
    }
    Ok(super::concealed(text))
}
