//! The structural half of validation: types, unknown and missing fields, bounds, enumerations.
//!
//! It follows the API server: a null where the schema allows none counts as absent, keys of list-maps
//! and items of list-sets are unique, and a field that the schema does not know is an error (as with
//! `kubectl`'s strict field validation, its default). Of an object that an API server has taken it is none: its
//! definition may be of a later release than we are.

use serde_json::{Map, Value};

use super::Violation;

/// Fields of every object that Kubernetes itself knows; [`crate::manifest`] checks the metadata.
const OF_EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Checks a whole object against the root of its schema; removes nulls.
pub(super) fn check_and_prune(schema: &Value, object: &mut Value, violations: &mut Vec<Violation>) {
    Walk {
        violations,
        path: String::new(),
    }
    .value(schema, object);
}

/// Takes out what the schema does not know, and gives the paths of it.
pub(super) fn take_out_unknown(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut paths = Vec::new();
    take_out(schema, object, "", &mut paths);
    paths
}

fn take_out(schema: &Value, value: &mut Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties");
            let is_root = path.is_empty();
            fields.retain(|name, value| {
                if is_root && OF_EVERY_OBJECT.contains(&name.as_str()) {
                    return true;
                }
                let path = if is_root {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let Some(schema) = known.and_then(|known| known.get(name)).or(others) else {
                    paths.push(path);
                    return false;
                };
                take_out(schema, value, &path, paths);
                true
            });
        }
        Value::Array(items) => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            for (index, value) in items.iter_mut().enumerate() {
                take_out(item, value, &format!("{path}[{index}]"), paths);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

struct Walk<'a> {
    violations: &'a mut Vec<Violation>,
    path: String,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &mut Value) {
        let expected = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match (expected, value) {
            ("object", Value::Object(fields)) => self.object(schema, fields),
            ("array", Value::Array(items)) => self.list(schema, items),
            ("string", Value::String(text)) => self.string(schema, text),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.integer(schema, number);
            }
            ("boolean", Value::Bool(_)) => {}
            (_, other) => self.report(format!(
                "must be {}, and is {}",
                article(expected),
                describe(other)
            )),
        }
    }

    fn object(&mut self, schema: &Value, fields: &mut Map<String, Value>) {
        let none = Map::new();
        let known = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let others = schema.get("additionalProperties");
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        let is_root = self.path.is_empty();
        fields.retain(|name, value| !value.is_null() || !known.contains_key(name));
        for (name, value) in fields.iter_mut() {
            if is_root && OF_EVERY_OBJECT.contains(&name.as_str()) {
                continue;
            }
            match known.get(name).or(others) {
                Some(schema) => self.within(&format!(".{name}"), |walk| walk.value(schema, value)),
                None => self.within(&format!(".{name}"), |walk| {
                    walk.report(unknown(name, &names));
                }),
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.within(&format!(".{name}"), |walk| {
                    walk.report("is required".to_owned());
                });
            }
        }
        if let Some(most) = bound(schema, "maxProperties").filter(|most| fields.len() > *most) {
            self.report(format!("has {} entries; {most} are the most", fields.len()));
        }
    }

    fn list(&mut self, schema: &Value, items: &mut [Value]) {
        if let Some(item) = schema.get("items") {
            for (index, value) in items.iter_mut().enumerate() {
                self.within(&format!("[{index}]"), |walk| walk.value(item, value));
            }
        }
        if let Some(most) = bound(schema, "maxItems").filter(|most| items.len() > *most) {
            self.report(format!("has {} entries; {most} are the most", items.len()));
        }
        if let Some(least) = bound(schema, "minItems").filter(|least| items.len() < *least) {
            self.report(format!("has {} entries; {least} is the least", items.len()));
        }
        self.repetitions(schema, items);
    }

    /// Items of a list-set are unique as they are, those of a list-map by their keys.
    fn repetitions(&mut self, schema: &Value, items: &[Value]) {
        let keys = schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array);
        let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
        let key = |item: &Value| -> Option<String> {
            match keys {
                Some(keys) => keys
                    .iter()
                    .map(|key| Some(item.get(key.as_str()?)?.to_string()))
                    .collect(),
                None => is_set.then(|| item.to_string()),
            }
        };
        let found: Vec<_> = items.iter().map(key).collect();
        for (index, item) in found.iter().enumerate() {
            let first = found
                .iter()
                .position(|other| other.is_some() && other == item);
            if let (Some(text), Some(first)) = (item, first.filter(|first| *first < index)) {
                let message = format!("{text} is there already, at [{first}]");
                self.within(&format!("[{index}]"), |walk| walk.report(message));
            }
        }
    }

    fn string(&mut self, schema: &Value, text: &str) {
        let known = schema.get("enum").and_then(Value::as_array);
        if let Some(known) =
            known.filter(|known| !known.iter().any(|one| one.as_str() == Some(text)))
        {
            let known: Vec<_> = known.iter().filter_map(Value::as_str).collect();
            self.report(format!("{text:?} is none of {}", known.join(", ")));
        }
        let characters = text.chars().count();
        if let Some(most) = bound(schema, "maxLength").filter(|most| characters > *most) {
            self.report(format!(
                "{text:?} has {characters} characters; {most} are the most"
            ));
        }
        if bound(schema, "minLength").is_some_and(|least| characters < least) {
            self.report(format!("{text:?} is empty"));
        }
    }

    fn integer(&mut self, schema: &Value, number: &serde_json::Number) {
        let least = schema.get("minimum").and_then(Value::as_f64);
        let most = schema.get("maximum").and_then(Value::as_f64);
        let outside = number.as_f64().is_some_and(|number| {
            least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most)
        });
        if outside {
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or(f64::INFINITY));
            self.report(format!("{number} is not within {least} to {most}"));
        }
    }

    fn within(&mut self, segment: &str, visit: impl FnOnce(&mut Walk<'_>)) {
        let path = format!("{}{segment}", self.path);
        let path = path
            .strip_prefix('.')
            .map_or_else(|| path.clone(), str::to_owned);
        visit(&mut Walk {
            violations: self.violations,
            path,
        });
    }

    fn report(&mut self, message: String) {
        self.violations
            .push(Violation::new(self.path.clone(), message));
    }
}

fn bound(schema: &Value, keyword: &str) -> Option<usize> {
    usize::try_from(schema.get(keyword)?.as_u64()?).ok()
}

fn article(kind: &str) -> &'static str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "true or false",
        _ => "something else",
    }
}

/// What a value is, for someone who wrote another thing than he thinks: YAML takes an unquoted `yes`
/// for a boolean and an unquoted `1701` for a number.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Bool(truth) => {
            format!("the boolean {truth}; a word that YAML takes for one must be quoted")
        }
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

/// The message for a field that does not exist, with what was probably meant.
pub(crate) fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(other) => format!("unknown field; {other} is known"),
        None => format!("unknown field; known here: {}", known.join(", ")),
    }
}

/// The name among those that are known which `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distances = known.map(|other| (distance(&name, &other.to_lowercase()), other));
    let nearest = distances.min()?;
    (nearest.0 <= 2).then_some(nearest.1)
}

/// How many characters must be put in, taken out or exchanged to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut left = i.saturating_add(1);
        let mut diagonal = i;
        for (to, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let exchanged = diagonal.saturating_add(usize::from(from != to));
            diagonal = *cell;
            *cell = exchanged
                .min(left.saturating_add(1))
                .min(diagonal.saturating_add(1));
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}
