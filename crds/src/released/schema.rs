//! Two structural schemas, keyword by keyword.

use std::collections::BTreeSet;

use kube::core::cel::apply_defaults;
use serde_json::{Map, Value};

use super::Reason;
use crate::schema::Violation;

/// What says nothing about objects.
const FREE: [&str; 5] = ["description", "title", "example", "externalDocs", "$schema"];

/// A walk through two schemas.
pub(super) struct Comparison<'a> {
    reasons: &'a [Reason],
    path: String,
    lost: Vec<Violation>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(path: &str, reasons: &'a [Reason]) -> Self {
        Self {
            reasons,
            path: format!("{path}:"),
            lost: Vec::new(),
        }
    }

    /// What `after` has lost against `before`.
    pub(super) fn of(mut self, before: &Value, after: &Value) -> Vec<Violation> {
        self.schema(before, after);
        self.lost
    }

    fn schema(&mut self, before: &Value, after: &Value) {
        let none = Map::new();
        let old = fields(Some(before)).unwrap_or(&none);
        let new = fields(Some(after)).unwrap_or(&none);
        let keywords: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for keyword in keywords {
            let (was, is) = (old.get(keyword), new.get(keyword));
            if was == is || FREE.contains(&keyword.as_str()) {
                continue;
            }
            match keyword.as_str() {
                "properties" => {
                    let (was, is) = (fields(was), fields(is));
                    self.properties(was.unwrap_or(&none), is.unwrap_or(&none));
                }
                "items" | "additionalProperties" => self.within(keyword, was, is),
                "required" => self.required(was, is, new),
                "x-kubernetes-validations" => self.rules(was, is),
                "default" => self.default(before, after),
                _ => self.lost.extend(
                    narrowed(keyword, was, is).map(|message| Violation::new(&*self.path, message)),
                ),
            }
        }
    }

    fn properties(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        for (name, old) in before {
            self.at(&format!(".{name}"), |walk| match after.get(name) {
                Some(new) => walk.schema(old, new),
                None => walk.report("the field is removed"),
            });
        }
    }

    /// What entries must be; `true` and nothing stand for anything that may be there.
    fn within(&mut self, keyword: &str, before: Option<&Value>, after: Option<&Value>) {
        let is_open = |value: Option<&Value>| value.is_some_and(|it| *it == Value::Bool(true));
        match (before, after) {
            (Some(old), Some(new)) if old.is_object() && new.is_object() => {
                self.at("[]", |walk| walk.schema(old, new));
            }
            // Fields that nobody knows are dropped where nothing is said of them.
            (None | Some(Value::Bool(false)), _) if keyword == "additionalProperties" => {}
            _ if is_open(after) => {}
            _ => self.report(&format!("{keyword} is another one")),
        }
    }

    /// A field that has a default is always there.
    fn required(
        &mut self,
        before: Option<&Value>,
        after: Option<&Value>,
        now: &Map<String, Value>,
    ) {
        let names =
            |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let old = names(before);
        let has_default = |name: &str| {
            let field = now.get("properties").and_then(|fields| fields.get(name));
            field.is_some_and(|field| field.get("default").is_some())
        };
        for name in names(after).iter().filter(|name| !old.contains(name)) {
            let name = name.as_str().unwrap_or_default();
            if !has_default(name) {
                self.at(&format!(".{name}"), |walk| walk.report("is required now"));
            }
        }
    }

    fn rules(&mut self, before: Option<&Value>, after: Option<&Value>) {
        let rules =
            |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        // A message may change; what is asked may not.
        let asked = |rule: &Value| {
            (
                rule.get("rule").cloned(),
                rule.get("optionalOldSelf").cloned(),
            )
        };
        let old: Vec<_> = rules(before).iter().map(asked).collect();
        for rule in rules(after)
            .iter()
            .filter(|rule| !old.contains(&asked(rule)))
        {
            let text = rule.get("rule").and_then(Value::as_str).unwrap_or_default();
            let is_known = |reason: &Reason| reason.path == self.path && reason.rule == text;
            if !self.reasons.iter().any(is_known) {
                self.report(&format!(
                    "there is a new rule, and no reason for it is listed: {text}"
                ));
            }
        }
    }

    /// What an object gets that says nothing: the same as before. What has come since may have any.
    fn default(&mut self, before: &Value, after: &Value) {
        let given = |schema: &Value| schema.get("default").map(|it| apply_defaults(schema, it));
        let now = given(after).map(|value| known(before, value));
        let was = given(before);
        if was != now {
            let shown =
                |value: Option<Value>| value.map_or_else(|| "none".to_owned(), |it| it.to_string());
            self.report(&format!(
                "the default was {} and is {}",
                shown(was),
                shown(now)
            ));
        }
    }

    fn at(&mut self, segment: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // The first field stands behind the kind and the version.
        let segment = match segment.strip_prefix('.') {
            Some(first) if self.path.ends_with(':') => format!(" {first}"),
            _ => segment.to_owned(),
        };
        self.path.push_str(&segment);
        visit(self);
        self.path.truncate(length);
    }

    fn report(&mut self, message: &str) {
        self.lost.push(Violation::new(&*self.path, message));
    }
}

/// Of a value the fields that `schema` knows.
fn known(schema: &Value, value: Value) -> Value {
    let fields = schema.get("properties").and_then(Value::as_object);
    match (value, fields) {
        (Value::Object(values), Some(fields)) => {
            let of = |(name, value)| Some((fields.get(&name).map(|it| known(it, value))?, name));
            let left = values.into_iter().filter_map(of);
            Value::Object(left.map(|(value, name)| (name, value)).collect())
        }
        (value, _) => value,
    }
}

/// What is wrong with a keyword that is another one than before.
fn narrowed(keyword: &str, before: Option<&Value>, after: Option<&Value>) -> Option<String> {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let is_true = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let is_narrower = match keyword {
        "minimum" => above(number(after), number(before)),
        "minLength" | "minItems" | "minProperties" => {
            above(number(after), Some(number(before).unwrap_or(0.0)))
        }
        "maximum" | "maxLength" | "maxItems" | "maxProperties" => {
            above(number(after).map(|it| -it), number(before).map(|it| -it))
        }
        "enum" => !has_all(before, after),
        // What is open may not be closed.
        "nullable" | "x-kubernetes-int-or-string" | "x-kubernetes-preserve-unknown-fields" => {
            !is_true(after)
        }
        "exclusiveMaximum"
        | "exclusiveMinimum"
        | "uniqueItems"
        | "x-kubernetes-embedded-resource" => is_true(after),
        "format" => !matches!(
            (
                before.and_then(Value::as_str),
                after.and_then(Value::as_str)
            ),
            (_, None) | (Some("int32"), Some("int64"))
        ),
        "pattern" => after.is_some(),
        // Of a type, of how lists are merged, and of what is not known here, nothing may change.
        _ => true,
    };
    is_narrower.then(|| {
        let shown =
            |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), Value::to_string);
        format!("{keyword} was {} and is {}", shown(before), shown(after))
    })
}

/// Whether there is a bound, and none before or a lower one.
fn above(after: Option<f64>, before: Option<f64>) -> bool {
    after.is_some_and(|after| before.is_none_or(|before| after > before))
}

/// Whether what could be chosen still can be.
fn has_all(before: Option<&Value>, after: Option<&Value>) -> bool {
    let Some(after) = after.and_then(Value::as_array) else {
        return true;
    };
    let before = before.and_then(Value::as_array);
    before.is_some_and(|before| before.iter().all(|value| after.contains(value)))
}

/// The fields of a map.
fn fields(schema: Option<&Value>) -> Option<&Map<String, Value>> {
    schema.and_then(Value::as_object)
}
