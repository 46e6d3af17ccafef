//! The custom resource definitions, and what they say about a document.
//!
//! [`validate`] does to a document what the API server does to an object, in the same order: values
//! of the wrong shape are refused, defaults filled in, the CEL rules evaluated. It reads all of it
//! from the definition itself; no rule is written a second time. Left out: `pattern`, `format` and the
//! logical junctors, which our schema does not use (a test sees to it).

pub mod effect;
mod structure;

pub(crate) use structure::{describe, nearest, unknown};

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    CustomResourceExt as _,
    core::cel::{
        CompiledSchema, ErrorKind, ValidationError, ValidationErrors, apply_defaults,
        compile_schema, validate_compiled,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{LnsCluster, SessionPolicy, rules, status::UNSEEN};

/// One thing wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The field, as `spec.pools[0].prefixes[0].cidr`; empty for the document itself.
    pub path: String,
    /// What is wrong and what to do, with the value where that may be shown.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// A resource of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// [`LnsCluster`].
    LnsCluster,
    /// [`SessionPolicy`].
    SessionPolicy,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LnsCluster, Self::SessionPolicy];

    /// Its custom resource definition, as it is committed.
    pub fn crd(self) -> CustomResourceDefinition {
        let mut crd = match self {
            Self::LnsCluster => LnsCluster::crd(),
            Self::SessionPolicy => SessionPolicy::crd(),
        };
        let versions = crd.spec.versions.iter_mut();
        for schema in versions.filter_map(|version| version.schema.as_mut()) {
            let generated = serde_json::to_value(&schema.open_api_v3_schema).ok();
            let fit = generated.map(|mut value| {
                fit(&mut value);
                unseen(&mut value);
                value
            });
            schema.open_api_v3_schema = fit.and_then(|value| serde_json::from_value(value).ok());
        }
        crd
    }

    /// The [`crd`](Self::crd) in YAML.
    ///
    /// # Errors
    /// When it cannot be written as YAML, which the tests rule out.
    pub fn crd_yaml(self) -> Result<String, serde_saphyr::ser_error::Error> {
        let mut value = json!(self.crd());
        whole_numbers(&mut value);
        serde_saphyr::to_string(&value)
    }

    /// The name of the file in which the definition is committed.
    pub const fn file(self) -> &'static str {
        match self {
            Self::LnsCluster => "lnsclusters.kubelns.io.yaml",
            Self::SessionPolicy => "sessionpolicies.kubelns.io.yaml",
        }
    }

    /// The schema of its `spec`.
    pub(crate) fn spec(self) -> &'static Value {
        let spec = self.root().value.pointer("/properties/spec");
        spec.unwrap_or(&Value::Null)
    }

    fn root(self) -> &'static RootSchema {
        match self {
            Self::LnsCluster => &CLUSTER,
            Self::SessionPolicy => &POLICY,
        }
    }
}

/// The definition of the resource [`LnsCluster`], as it is committed.
pub fn crd() -> CustomResourceDefinition {
    Resource::LnsCluster.crd()
}

/// Checks `document` against structure and rules.
///
/// # Errors
/// Everything that is wrong with it, in the order of the paths.
pub fn validate(document: &Value) -> Result<LnsCluster, Vec<Violation>> {
    typed(check(Resource::LnsCluster, document))
}

/// The same for a policy. What is wrong between policies is told by [`rules::policies`].
///
/// # Errors
/// Everything that is wrong with it, in the order of the paths.
pub fn validate_policy(document: &Value) -> Result<SessionPolicy, Vec<Violation>> {
    typed(check(Resource::SessionPolicy, document))
}

fn typed<T: DeserializeOwned>(checked: (Value, Vec<Violation>)) -> Result<T, Vec<Violation>> {
    let (value, violations) = checked;
    if !violations.is_empty() {
        return Err(violations);
    }
    serde_json::from_value(value).map_err(|error| vec![Violation::new("", error.to_string())])
}

/// Checks `document` and gives it back with all defaults applied, even where it is wrong, so that
/// what it refers to can be checked too.
pub(crate) fn check(resource: Resource, document: &Value) -> (Value, Vec<Violation>) {
    let schema = resource.root();
    let mut violations = Vec::new();
    let mut value = document.clone();
    structure::check_and_prune(&schema.value, &mut value, &mut violations);
    let value = apply_defaults(&schema.value, &value);
    let broken = validate_compiled(&schema.compiled, &value, None)
        .err()
        .map(ValidationErrors::into_vec);
    let (said_no, failed): (Vec<_>, Vec<_>) = broken
        .into_iter()
        .flatten()
        .partition(|error| error.kind == ErrorKind::ValidationFailure);
    violations.extend(said_no.into_iter().map(violation));
    // A rule that could not be evaluated stumbled over what another has reported already. If none
    // has, the document is refused for it: nothing passes that was not checked.
    if violations.is_empty() {
        violations.extend(failed.into_iter().map(violation));
    }
    violations.extend(match resource {
        Resource::LnsCluster => rules::check(&value),
        Resource::SessionPolicy => rules::policies::check(&value),
    });
    violations
        .sort_by_cached_key(|violation| (natural(&violation.path), violation.message.clone()));
    violations.dedup();
    (value, violations)
}

/// Takes out of an object what an earlier release than its definition does not know, and gives the paths of it.
pub(crate) fn take_out_unknown(resource: Resource, object: &mut Value) -> Vec<String> {
    structure::take_out_unknown(&resource.root().value, object)
}

/// A path with its indices padded, so that [10] comes after [9].
fn natural(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |padded, part| {
        let (index, rest) = part.split_once(']').unwrap_or((part, ""));
        format!("{padded}[{index:0>9}]{rest}")
    })
}

struct RootSchema {
    value: Value,
    compiled: CompiledSchema,
}

impl RootSchema {
    fn of(resource: Resource) -> Self {
        let crd = resource.crd();
        let schema = crd
            .spec
            .versions
            .first()
            .and_then(|version| version.schema.as_ref());
        let mut value = json!(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()));
        // What Kubernetes is told is no part of a manifest.
        if let Some(fields) = value
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut)
        {
            fields.remove("status");
        }
        Self {
            compiled: compile_schema(&value),
            value,
        }
    }
}

static CLUSTER: LazyLock<RootSchema> = LazyLock::new(|| RootSchema::of(Resource::LnsCluster));
static POLICY: LazyLock<RootSchema> = LazyLock::new(|| RootSchema::of(Resource::SessionPolicy));

fn violation(error: ValidationError) -> Violation {
    Violation::new(error.field_path, error.message)
}

/// Makes the generated schema what the API server takes without complaint and without surprise:
/// - the formats of Rust's integers are unknown to it, and every integer has a range anyway;
/// - an optional field is absent or has a value. Were it nullable, `null` would be a third state that
///   every rule had to know; so it is dropped like any other null.
fn fit(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let known = match fields.get("format").and_then(Value::as_str) {
                Some("uint64") => Some("int64"),
                Some(format) if format.starts_with("uint") => Some("int32"),
                Some(_) | None => None,
            };
            if let Some(known) = known {
                fields.insert("format".to_owned(), json!(known));
            }
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(fit);
        }
        Value::Array(items) => items.iter_mut().for_each(fit),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object that nobody has looked at says so, or programs that wait for it take it for done.
fn unseen(schema: &mut Value) {
    if let Some(Value::Object(status)) = schema.pointer_mut("/properties/status") {
        status.insert(
            "default".to_owned(),
            json!({ "observedGeneration": UNSEEN }),
        );
    }
}

/// Writes the bounds of integers as integers; the Kubernetes types hold them as floating point.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(whole) = text
                .strip_suffix(".0")
                .and_then(|whole| whole.parse::<i64>().ok())
            {
                *value = json!(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
