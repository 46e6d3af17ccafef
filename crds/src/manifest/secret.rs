//! The `Secret` documents: their keys, and what the cluster's references make of them.

use std::collections::BTreeMap;

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

/// What TLS is spoken with: PEM texts, in the shape of `kubernetes.io/tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSecret {
    /// Our certificate, and those between it and an authority.
    pub certificate: Secret,
    /// The key of the certificate.
    pub key: Secret,
    /// The authorities that the peer's certificate may be of.
    pub authorities: Secret,
}

/// What members log in to their store with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSecret {
    /// The user, in UTF-8; `None`: the default one.
    pub user: Option<Secret>,
    /// The password.
    pub password: Secret,
}

/// A place in the cluster that names a `Secret`.
pub(super) struct Reference {
    path: String,
    name: String,
    role: Role,
}

/// What a `Secret` is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Shared with LACs.
    Lac,
    /// Shared with RADIUS servers and clients.
    Radius,
    Tls,
    /// The same, of the members of a cluster.
    Peers,
    Password,
    /// Of a store.
    Store,
    /// The authorities of a store's certificate.
    Authorities,
    Users,
}

impl Reference {
    pub(super) fn new(role: Role, path: String, name: &str) -> Self {
        Self {
            path,
            name: name.to_owned(),
            role,
        }
    }

    /// The `Secret`'s name.
    pub(super) fn into_name(self) -> String {
        self.name
    }
}

/// What the references have yielded so far.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) shared: BTreeMap<String, SharedSecret>,
    pub(super) tls: BTreeMap<String, TlsSecret>,
    pub(super) passwords: BTreeMap<String, Secret>,
    pub(super) stores: BTreeMap<String, StoreSecret>,
    pub(super) authorities: BTreeMap<String, Secret>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) users_secret: String,
    pub(super) errors: Vec<ManifestError>,
    pub(super) warnings: Vec<String>,
    named: BTreeMap<String, Role>,
}

/// Follows one reference of `cluster`.
pub(super) fn resolve(
    reference: &Reference,
    cluster: &Document,
    documents: &[Document],
    parts: &mut Parts,
) {
    let Reference { path, name, role } = reference;
    let (role, first) = (*role, !parts.named.contains_key(name));
    let before = *parts.named.entry(name.clone()).or_insert(role);
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
    if before.keys() != role.keys() {
        let message = format!(
            "Secret {name:?} is named elsewhere for {}, and cannot be for {} too",
            before.word(),
            role.word()
        );
        parts
            .errors
            .push(cluster.error(Violation::new(path, message)));
        return;
    }
    let (values, violations) = values(document, role);
    // Of a Secret that two places name, its own faults are told once.
    if first {
        parts.errors.extend(
            violations
                .into_iter()
                .map(|violation| document.error(violation)),
        );
    }
    let missing = role
        .required()
        .iter()
        .find(|key| !values.contains_key(**key));
    if let Some(key) = missing {
        let message = format!("Secret {name:?} has no key {key}");
        parts
            .errors
            .push(cluster.error(Violation::new(path, message)));
        return;
    }
    if first {
        taken(role, document, &values, parts);
    }
}

/// Takes over what a `Secret` has; a value that cannot be read has been reported.
fn taken(role: Role, document: &Document, values: &Values, parts: &mut Parts) {
    let value = |key: &str| values.get(key).cloned().flatten();
    match role {
        Role::Lac | Role::Radius => {
            if let Some(current) = value("current") {
                shared(role, document, current, value("previous"), parts);
            }
        }
        Role::Tls | Role::Peers => tls(document, value, parts),
        Role::Authorities => {
            if let Some(found) = pem(document, "ca.crt", "CERTIFICATE", value, parts) {
                parts.authorities.insert(document.name.clone(), found);
            }
        }
        Role::Store => store(document, value, parts),
        Role::Password => {
            if let Some(secret) = value("password") {
                password(document, secret, parts);
            }
        }
        Role::Users => {
            if let Some(text) = value("users.yaml") {
                parts.users_secret.clone_from(&document.name);
                parts.users = users::parse(document, &text, &mut parts.errors);
            }
        }
    }
}

/// Warns of the `Secret`s that nothing names.
pub(super) fn unused(documents: &[Document], parts: &mut Parts) {
    for document in documents.iter().filter(|one| one.kind == Kind::Secret) {
        if !parts.named.contains_key(&document.name) {
            parts
                .warnings
                .push(format!("{}: nothing names it", document.title()));
        }
    }
}

impl Role {
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Lac | Self::Radius => &["current"],
            Self::Tls | Self::Peers => &["tls.crt", "tls.key", "ca.crt"],
            Self::Authorities => &["ca.crt"],
            Self::Password | Self::Store => &["password"],
            Self::Users => &["users.yaml"],
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Lac | Self::Radius => &["current", "previous"],
            Self::Store => &["username", "password"],
            Self::Tls | Self::Peers | Self::Authorities | Self::Password | Self::Users => {
                self.required()
            }
        }
    }

    /// The type of the `Secret` that means this role, beside `Opaque`.
    fn kind(self) -> Option<&'static str> {
        match self {
            Self::Tls | Self::Peers => Some("kubernetes.io/tls"),
            Self::Store => Some("kubernetes.io/basic-auth"),
            Self::Lac | Self::Radius | Self::Password | Self::Authorities | Self::Users => None,
        }
    }

    /// What such a `Secret` is for.
    fn word(self) -> &'static str {
        match self {
            Self::Lac | Self::Radius => "a shared secret",
            Self::Tls | Self::Peers => "TLS",
            Self::Authorities => "the authorities of a store",
            Self::Password => "a password",
            Self::Store => "a store",
            Self::Users => "users",
        }
    }

    /// Who else has the secret.
    fn peers(self) -> &'static str {
        if self == Self::Lac {
            "LACs"
        } else {
            "RADIUS servers"
        }
    }
}

fn tls(document: &Document, value: impl Fn(&str) -> Option<Secret>, parts: &mut Parts) {
    let mut pem = |key: &str, label: &str| pem(document, key, label, &value, parts);
    let (certificate, key, authorities) = (
        pem("tls.crt", "CERTIFICATE"),
        pem("tls.key", "PRIVATE KEY"),
        pem("ca.crt", "CERTIFICATE"),
    );
    if let (Some(certificate), Some(key), Some(authorities)) = (certificate, key, authorities) {
        let secret = TlsSecret {
            certificate,
            key,
            authorities,
        };
        parts.tls.insert(document.name.clone(), secret);
    }
}

/// The PEM text under a key; what is wrong with it is reported.
fn pem(
    document: &Document,
    key: &str,
    label: &str,
    value: impl Fn(&str) -> Option<Secret>,
    parts: &mut Parts,
) -> Option<Secret> {
    let found = value(key)?;
    let wrong = not_pem(&found, label);
    let told = wrong.map(|message| document.error(Violation::new(key, message)));
    parts.errors.extend(told);
    Some(found)
}

/// Why a text has no PEM block of this label (RFC 7468). Whether the block is a certificate or a key that can
/// be used is told where TLS is set up.
fn not_pem(text: &Secret, label: &str) -> Option<String> {
    let octets = text.expose();
    if octets.len() > limits::PEM_OCTETS {
        let most = limits::PEM_OCTETS;
        return Some(format!("has {} octets; {most} are the most", octets.len()));
    }
    let lines = core::str::from_utf8(octets).unwrap_or_default().lines();
    let is_begin = |line: &str| {
        let label_of = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        Some(label_of.ends_with(label))
    };
    let mut begins = lines.map(|line| is_begin(line.trim_end()).unwrap_or(false));
    (!begins.any(|is| is))
        .then(|| format!("has no line -----BEGIN {label}-----: it is no PEM text"))
}

fn password(document: &Document, secret: Secret, parts: &mut Parts) {
    bounded(document, "password", &secret, limits::USER_PASSWORD, parts);
    parts.passwords.insert(document.name.clone(), secret);
}

fn store(document: &Document, value: impl Fn(&str) -> Option<Secret>, parts: &mut Parts) {
    let Some(password) = value("password") else {
        return;
    };
    let user = value("username");
    bounded(
        document,
        "password",
        &password,
        limits::STORE_PASSWORD,
        parts,
    );
    if let Some(user) = &user {
        bounded(document, "username", user, limits::STORE_USER, parts);
        if core::str::from_utf8(user.expose()).is_err() {
            let violation = Violation::new("username", "is no UTF-8 text");
            parts.errors.push(document.error(violation));
        }
    }
    let both = [("password", Some(&password)), ("username", user.as_ref())];
    let ends_blank = |secret: &Secret| secret.expose().last().is_some_and(u8::is_ascii_whitespace);
    for (key, _) in both
        .into_iter()
        .filter(|(_, secret)| secret.is_some_and(ends_blank))
    {
        let title = document.title();
        parts.warnings.push(format!(
            "{title}: {key}: ends in a blank or a line end, which is sent with it; most stores have none there"
        ));
    }
    let secret = StoreSecret { user, password };
    parts.stores.insert(document.name.clone(), secret);
}

/// Reports a value that is empty or too long.
fn bounded(document: &Document, key: &str, secret: &Secret, most: usize, parts: &mut Parts) {
    let octets = secret.expose().len();
    if octets == 0 {
        let violation = Violation::new(key, "is empty");
        parts.errors.push(document.error(violation));
    } else if octets > most {
        let message = format!("has {octets} octets; {most} are the most");
        let violation = Violation::new(key, message);
        parts.errors.push(document.error(violation));
    }
}

fn shared(
    role: Role,
    document: &Document,
    current: Secret,
    previous: Option<Secret>,
    parts: &mut Parts,
) {
    let both = [("current", Some(&current)), ("previous", previous.as_ref())];
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
                "{title}: {key}: ends in a blank or a line end, which is part of the secret; most {} have none there", role.peers()
            ));
        }
    }
    parts
        .shared
        .insert(document.name.clone(), SharedSecret { current, previous });
}

type Values = BTreeMap<String, Option<Secret>>;

/// The values of a `Secret`, by key; `None` where one is there and cannot be read, which is reported.
fn values(document: &Document, role: Role) -> (Values, Vec<Violation>) {
    let known = role.keys();
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
            ("type", Value::String(kind)) if role.kind() == Some(kind) => {}
            ("type", Value::String(kind)) => {
                let other = role.kind().map(|kind| format!(" or {kind}"));
                violations.push(Violation::new(
                    "type",
                    format!(
                        "{kind:?} is not known here; leave it out, or write Opaque{}",
                        other.unwrap_or_default()
                    ),
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
