//! What differs between two manifests, as an engineer wants to be told: a row for each field, with
//! both values and the time when the change takes effect.
//!
//! The walk follows the schema, not the types, so that a field cannot be forgotten. Entries of lists
//! with a key are compared by the key, and their order as such. Of a Secret it is said that a value
//! has changed, and never which value it has.

mod policies;
mod secrets;
mod text;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Manifest;
use crate::schema::{
    self, Resource, effect::Effect, effect::key_of, effect::of_taking_out, effect::within,
};

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Where, as `spec.lacs[wholesale-a].pathMtu`, `SessionPolicy/gold: spec.input.rules[web].action` or
    /// `Secret/users: users.yaml`.
    pub path: String,
    /// The old value, short enough for a line; `None`: there was none, or it is not shown.
    pub before: Option<String>,
    /// The new value, or what has happened to one that is not shown; `None`: there is none.
    pub after: Option<String>,
    /// When it takes effect.
    pub effect: Effect,
    /// Whose it is.
    #[serde(skip)]
    pub scope: Scope,
}

/// Whose tunnels and sessions began with the old value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    Everybody,
    /// Those of these entries of `lacs`.
    Lacs(Vec<String>),
    /// Those with an address of this pool.
    Pool(String),
    /// Those with an address in this prefix.
    Prefix(Ipv4Net),
    /// Those of these users, in the order of their names.
    Users(Vec<String>),
    /// Nobody's: it is new.
    Nobody,
}

/// What differs, in the order of the reference; then the policies, and the Secrets last.
///
/// # Cost
/// One step for each value and each user of both.
pub fn diff(before: &Manifest, after: &Manifest) -> Vec<Change> {
    let (old, new) = (json!(before.cluster.spec), json!(after.cluster.spec));
    let mut walk = Walk {
        changes: Vec::new(),
    };
    walk.host_name(before, after);
    let place = Place {
        path: "spec".to_owned(),
        effect: None,
        scope: Scope::Everybody,
    };
    walk.value(Resource::LnsCluster.spec(), &place, Some(&old), Some(&new));
    let mut changes = walk.changes;
    for change in &mut changes {
        if change.path == "spec.ppp.authentication" {
            change.scope = Scope::Lacs(without_own_authentication(before));
        }
    }
    changes.extend(policies::diff(before, after));
    changes.extend(secrets::diff(before, after));
    changes
}

/// The entries of `lacs` for which `ppp.authentication` holds.
fn without_own_authentication(manifest: &Manifest) -> Vec<String> {
    let lacs = manifest.cluster.spec.lacs.iter();
    lacs.filter(|lac| lac.authentication.is_none())
        .map(|lac| lac.name.clone())
        .collect()
}

struct Walk {
    changes: Vec<Change>,
}

/// Where the walk is.
struct Place {
    path: String,
    effect: Option<Effect>,
    scope: Scope,
}

impl Place {
    /// The same place, one step on.
    fn step(&self, step: &str, effect: Option<Effect>) -> Self {
        Self {
            path: format!("{}{step}", self.path),
            effect,
            scope: self.scope.clone(),
        }
    }
}

type Entries<'a> = Vec<(&'a str, &'a Value)>;

impl Walk {
    /// The resource's own name is told to LACs where there is no other.
    fn host_name(&mut self, before: &Manifest, after: &Manifest) {
        let own = |manifest: &Manifest| manifest.cluster.spec.service.host_name.is_none();
        let (old, new) = (before.cluster.host_name(), after.cluster.host_name());
        if own(before) && own(after) && old != new {
            let place = Place {
                path: "metadata.name".to_owned(),
                effect: schema::effect::of_path(&["service", "hostName"]),
                scope: Scope::Everybody,
            };
            self.row(&place, Some(text::short(old)), Some(text::short(new)));
        }
    }

    fn value(
        &mut self,
        schema: &Value,
        place: &Place,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if before == after {
            return;
        }
        let fields = schema.get("properties").and_then(Value::as_object);
        match (before, after, fields) {
            (Some(Value::Object(before)), Some(Value::Object(after)), Some(fields)) => {
                self.fields(fields, place, before, after);
            }
            (Some(Value::Array(before)), Some(Value::Array(after)), _) => {
                self.list(schema, place, before, after);
            }
            _ => self.row(place, before.map(text::of), after.map(text::of)),
        }
    }

    fn fields(
        &mut self,
        fields: &Map<String, Value>,
        place: &Place,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) {
        for (name, schema) in fields {
            let inner = place.step(&format!(".{name}"), within(place.effect, schema));
            self.value(schema, &inner, before.get(name), after.get(name));
        }
    }

    fn list(&mut self, schema: &Value, place: &Place, before: &[Value], after: &[Value]) {
        if let Some(key) = key_of(schema) {
            return self.entries(schema, place, &keyed(before, key), &keyed(after, key));
        }
        let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
        let holds = |all: &[Value], some: &[Value]| some.iter().all(|one| all.contains(one));
        if !(is_set && holds(before, after) && holds(after, before)) {
            let (old, new) = text::of_lists(before, after);
            self.row(place, Some(old), Some(new));
        }
    }

    /// Entries that are told apart by a key. What went comes first, then a change of order, then what
    /// is there now, in its order.
    fn entries(
        &mut self,
        schema: &Value,
        place: &Place,
        before: &Entries<'_>,
        after: &Entries<'_>,
    ) {
        let Some(entry) = schema.get("items") else {
            return;
        };
        let at = |key: &str, effect, scope| Place {
            scope,
            ..place.step(&format!("[{key}]"), effect)
        };
        for (index, (key, _)) in before.iter().enumerate() {
            if find(after, key).is_none() {
                let effect = of_taking_out(schema).or(place.effect);
                let place = at(key, effect, scope(&place.path, key));
                self.row(&place, Some(text::position(index, before.len())), None);
            }
        }
        self.order(place, before, after);
        for (index, (key, new)) in after.iter().enumerate() {
            if let Some(old) = find(before, key) {
                let place = at(key, place.effect, scope(&place.path, key));
                self.value(entry, &place, Some(old), Some(new));
            } else {
                let place = at(key, place.effect, Scope::Nobody);
                self.row(&place, None, Some(text::position(index, after.len())));
            }
        }
    }

    /// The order of what is in both.
    fn order(&mut self, place: &Place, before: &Entries<'_>, after: &Entries<'_>) {
        let kept = |these: &Entries<'_>, those: &Entries<'_>| -> Vec<Value> {
            let kept = these.iter().filter(|(key, _)| find(those, key).is_some());
            kept.map(|(key, _)| json!(key)).collect()
        };
        let (old, new) = (kept(before, after), kept(after, before));
        if old != new {
            let (old, new) = text::of_orders(&old, &new);
            self.row(place, Some(old), Some(new));
        }
    }

    fn row(&mut self, place: &Place, before: Option<String>, after: Option<String>) {
        self.changes.push(Change {
            path: place.path.clone(),
            before,
            after,
            // A test sees to it that each field says it. If one did not, a restart is what always helps.
            effect: place.effect.unwrap_or(Effect::Restart),
            scope: place.scope.clone(),
        });
    }
}

fn keyed<'a>(entries: &'a [Value], key: &str) -> Entries<'a> {
    let key = |entry: &'a Value| entry.get(key).and_then(Value::as_str);
    let pairs = entries
        .iter()
        .filter_map(|entry| Some((key(entry)?, entry)));
    pairs.collect()
}

fn find<'a>(entries: &Entries<'a>, key: &str) -> Option<&'a Value> {
    let found = entries.iter().find(|(other, _)| *other == key);
    found.map(|(_, entry)| *entry)
}

/// Whose an entry of the list at `path` is.
fn scope(path: &str, key: &str) -> Scope {
    match path {
        "spec.lacs" => Scope::Lacs(vec![key.to_owned()]),
        "spec.pools" => Scope::Pool(key.to_owned()),
        _ => key.parse().map_or(Scope::Everybody, Scope::Prefix),
    }
}

#[cfg(test)]
mod tests;
