//! One document of a manifest: what it is, what it is called, and its metadata.

use serde_json::{Map, Value};

use super::error::ManifestError;
use crate::schema::{Violation, describe, unknown};

/// The kinds of documents that a manifest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    LnsCluster,
    SessionPolicy,
    Secret,
}

/// A document with a kind and a name.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) value: Value,
}

/// What Kubernetes keeps in the metadata of an object. What it writes there itself is taken and means
/// nothing: a file may come from `kubectl get -o yaml`.
const METADATA: [&str; 12] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

impl Document {
    /// The documents of one file; those that are none leave an error.
    pub(super) fn all(
        file: &str,
        values: Vec<Value>,
        errors: &mut Vec<ManifestError>,
    ) -> Vec<Self> {
        let mut documents = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let place = format!("document {} of {file}", index.saturating_add(1));
            match Self::parse(file, &place, value, errors) {
                Ok(document) => documents.push(document),
                Err(error) => errors.push(error),
            }
        }
        documents
    }

    /// Kind and name, as errors call the document.
    pub(super) fn title(&self) -> String {
        title(self.kind.word(), &self.name)
    }

    pub(super) fn error(&self, violation: Violation) -> ManifestError {
        ManifestError::Document {
            document: self.title(),
            violation,
        }
    }

    fn parse(
        file: &str,
        place: &str,
        value: Value,
        errors: &mut Vec<ManifestError>,
    ) -> Result<Self, ManifestError> {
        let fault = |document: &str, path: &str, message: String| ManifestError::Document {
            document: document.to_owned(),
            violation: Violation::new(path, message),
        };
        let Some(fields) = value.as_object() else {
            return Err(fault(
                place,
                "",
                format!("must be a map, and is {}", shape(&value)),
            ));
        };
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(fault(
                place,
                name,
                format!("must be a string, and is {}", describe(other)),
            )),
            None => Err(fault(place, name, "is required".to_owned())),
        };
        let (version, kind) = (text("apiVersion")?, text("kind")?);
        let name = fields
            .get("metadata")
            .and_then(|metadata| metadata.get("name")?.as_str());
        let title = name.map_or_else(|| format!("{kind} ({place})"), |name| title(&kind, name));
        let kind = Kind::parse(&kind).ok_or_else(|| {
            let message = format!("{kind:?} is no kind of a manifest; it has one LnsCluster, its SessionPolicies, and the Secrets that it names");
            fault(&title, "kind", message)
        })?;
        if version != kind.api_version() {
            let message = format!(
                "{version:?} is not known; this LNS reads {}",
                kind.api_version()
            );
            return Err(fault(&title, "apiVersion", message));
        }
        let mut violations = Vec::new();
        let namespace = metadata(fields, &mut violations);
        let valid = violations.is_empty();
        let to_error = |violation| ManifestError::Document {
            document: title.clone(),
            violation,
        };
        errors.extend(violations.into_iter().map(to_error));
        match name {
            Some(name) => {
                let (file, name) = (file.to_owned(), name.to_owned());
                let namespace = namespace.unwrap_or_else(|| "default".to_owned());
                Ok(Self {
                    file,
                    kind,
                    name,
                    namespace,
                    value,
                })
            }
            // The missing name has been reported with the metadata, or is reported here.
            None if valid => Err(fault(&title, "metadata.name", "is required".to_owned())),
            None => Err(errors
                .pop()
                .unwrap_or_else(|| fault(&title, "metadata", "is required".to_owned()))),
        }
    }
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        [Self::LnsCluster, Self::SessionPolicy, Self::Secret]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::LnsCluster => "LnsCluster",
            Self::SessionPolicy => "SessionPolicy",
            Self::Secret => "Secret",
        }
    }

    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::LnsCluster | Self::SessionPolicy => "kubelns.io/v1alpha1",
            Self::Secret => "v1",
        }
    }
}

/// Checks the metadata of an object and gives its namespace.
fn metadata(object: &Map<String, Value>, violations: &mut Vec<Violation>) -> Option<String> {
    let Some(Value::Object(fields)) = object.get("metadata") else {
        violations.push(Violation::new("metadata.name", "is required"));
        return None;
    };
    for (field, value) in fields {
        let path = format!("metadata.{field}");
        match field.as_str() {
            "name" => name(path, value, ".", violations),
            "namespace" => name(path, value, "", violations),
            "labels" | "annotations" => texts(&path, value, violations),
            known if METADATA.contains(&known) => {}
            other => violations.push(Violation::new(path, unknown(other, &METADATA))),
        }
    }
    if !fields.contains_key("name") {
        violations.push(Violation::new("metadata.name", "is required"));
    }
    fields
        .get("namespace")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// A name is made of small letters, digits, hyphens and what else is allowed `between`.
fn name(path: String, value: &Value, between: &str, violations: &mut Vec<Violation>) {
    let Some(text) = value.as_str() else {
        violations.push(Violation::new(
            path,
            format!("must be a string, and is {}", describe(value)),
        ));
        return;
    };
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(alphanumeric) && text.ends_with(alphanumeric);
    let most = if between.is_empty() { 63 } else { 253 };
    if !ends
        || text.len() > most
        || !text
            .chars()
            .all(|c| alphanumeric(c) || c == '-' || between.contains(c))
    {
        violations.push(Violation::new(
            path,
            format!("{text:?} is no name: small letters, digits and hyphens only, with a letter or digit at both ends"),
        ));
    }
}

fn texts(path: &str, value: &Value, violations: &mut Vec<Violation>) {
    let Value::Object(entries) = value else {
        violations.push(Violation::new(
            path,
            format!("must be a map, and is {}", describe(value)),
        ));
        return;
    };
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_string()) {
        let message = format!("must be a string, and is {}", describe(value));
        violations.push(Violation::new(format!("{path}.{key}"), message));
    }
}

/// The shape of a value without the value, which may be a secret.
pub(super) fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn title(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}
