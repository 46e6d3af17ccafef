//! What a definition must not lose once it was released: objects that were accepted stay accepted, and mean what they
//! meant.
//!
//! `crds/released/VERSION/` holds the definitions of each release, as they were; a test compares all of them with those
//! of now, and `crdgen compare` does so with any two folders. A field, a value, a version or a kind may be added. What
//! makes less of the same file is a [`Violation`]: something removed, a bound drawn closer, a type, a default or the way
//! lists are merged changed, a new CEL rule that nobody gave a reason for ([`REASONS`]).
//!
//! A keyword that is not known here may not change at all. Left out: descriptions, printer columns, messages of rules,
//! and which version is stored; no object is refused for them.

mod schema;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::schema::Violation;
use schema::Comparison;

/// A CEL rule that released definitions do not have where it stands, and why it may come: objects that break it can
/// have worked for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Where the rule stands, as a [`Violation`] tells it.
    pub path: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// Why nobody loses anything by it.
    pub because: &'static str,
}

/// The rules that have come since a release.
pub const REASONS: &[Reason] = &[];

/// The definitions in a folder, file by file.
///
/// # Errors
/// What cannot be read, or is no YAML.
pub fn read(folder: &Path) -> Result<Vec<Value>, String> {
    let wrong = |path: &Path, why: String| format!("{}: {why}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| wrong(folder, error.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(
            entry
                .map_err(|error| wrong(folder, error.to_string()))?
                .path(),
        );
    }
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    paths.sort();
    if paths.is_empty() {
        return Err(wrong(folder, "no definitions are there".to_owned()));
    }
    let mut definitions = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| wrong(&path, error.to_string()))?;
        let read: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|error| wrong(&path, error.to_string()))?;
        definitions.extend(read);
    }
    Ok(definitions)
}

/// What `now` has lost against what was `released`: definitions that go by their names.
pub fn losses(released: &[Value], now: &[Value], reasons: &[Reason]) -> Vec<Violation> {
    let mut lost = Vec::new();
    for definition in released {
        let name = text(definition, "/metadata/name");
        match now
            .iter()
            .find(|other| text(other, "/metadata/name") == name)
        {
            Some(other) => lost.extend(losses_of(definition, other, reasons)),
            None => lost.push(Violation::new(name, "the kind is removed")),
        }
    }
    lost
}

/// What one definition has lost.
fn losses_of(released: &Value, now: &Value, reasons: &[Reason]) -> Vec<Violation> {
    let kind = text(released, "/spec/names/kind");
    let mut lost = Vec::new();
    for field in [
        "group",
        "scope",
        "names/kind",
        "names/plural",
        "names/singular",
        "names/listKind",
    ] {
        let pointer = format!("/spec/{field}");
        if let Some(before) = released
            .pointer(&pointer)
            .filter(|before| now.pointer(&pointer) != Some(*before))
        {
            lost.push(Violation::new(
                kind,
                format!("{field} is not {before} any more"),
            ));
        }
    }
    for field in ["names/shortNames", "names/categories"] {
        lost.extend(
            removed(released, now, &format!("/spec/{field}"))
                .map(|entry| Violation::new(kind, format!("{field} has no {entry} any more"))),
        );
    }
    for version in list(released, "/spec/versions") {
        let name = text(version, "/name");
        let path = format!("{kind} {name}");
        match list(now, "/spec/versions")
            .iter()
            .find(|other| text(other, "/name") == name)
        {
            Some(other) => lost.extend(losses_of_version(&path, version, other, reasons)),
            None => lost.push(Violation::new(path, "the version is removed")),
        }
    }
    lost
}

fn losses_of_version(
    path: &str,
    released: &Value,
    now: &Value,
    reasons: &[Reason],
) -> Vec<Violation> {
    let mut lost = Vec::new();
    let is_served = |version: &Value| version.get("served") == Some(&Value::Bool(true));
    if is_served(released) && !is_served(now) {
        lost.push(Violation::new(path, "the version is served no more"));
    }
    for subresource in ["status", "scale"] {
        let pointer = format!("/subresources/{subresource}");
        let before = released.pointer(&pointer);
        if before.is_some() && now.pointer(&pointer) != before {
            lost.push(Violation::new(
                path,
                format!("the subresource {subresource} is removed or another one"),
            ));
        }
    }
    lost.extend(
        removed(released, now, "/selectableFields")
            .map(|field| Violation::new(path, format!("objects are selected by {field} no more"))),
    );
    let root = "/schema/openAPIV3Schema";
    match (released.pointer(root), now.pointer(root)) {
        (Some(before), Some(after)) => {
            lost.extend(Comparison::new(path, reasons).of(before, after));
        }
        (Some(_), None) => lost.push(Violation::new(path, "the schema is removed")),
        (None, _) => {}
    }
    lost
}

/// The entries of a list that are there no more.
fn removed<'a>(
    released: &'a Value,
    now: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = &'a Value> {
    let left = list(now, pointer);
    list(released, pointer)
        .iter()
        .filter(move |entry| !left.contains(entry))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
