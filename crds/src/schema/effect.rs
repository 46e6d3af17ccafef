//! When a change of a field takes effect.
//!
//! A field's description says it, in one of a few phrases, and nothing else does: what is told of a
//! change is read from there, so that it cannot say another thing than the reference.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Resource;

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
pub enum Effect {
    /// With the reload: for what lives too, or for whatever comes from then on.
    AtOnce,
    /// What lives keeps the old value; a new session has the new one, also in an old tunnel.
    NewSessions,
    /// What lives keeps the old value; a new tunnel has the new one, and its sessions.
    NewTunnels,
    /// A running process cannot change it.
    Restart,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::AtOnce,
        Self::NewSessions,
        Self::NewTunnels,
        Self::Restart,
    ];

    /// What a field's description says behind "A change takes effect".
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewSessions => "for new sessions",
            Self::NewTunnels => "for new tunnels",
            Self::Restart => "at the next start of the process",
        }
    }

    /// The same in a table.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewSessions => "new sessions",
            Self::NewTunnels => "new tunnels",
            Self::Restart => "restart",
        }
    }
}

/// What a description says of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// When one takes effect.
    At(Effect),
    /// Each field inside says it.
    AtEachField,
    /// As the field around it.
    AsAround,
}

const CHANGE: &str = "A change takes effect ";
const TAKING_OUT: &str = "Taking an entry out takes effect ";
const AT_EACH_FIELD: &str = "When a change takes effect is said at each field.";
const AS_AROUND: &str = "when that of the field that holds the reference does";

/// What the description of `schema` says of a change; `None`: nothing, or nothing that is known.
pub(crate) fn of_change(schema: &Value) -> Option<Said> {
    let text = description(schema);
    if text.contains(AT_EACH_FIELD) {
        return Some(Said::AtEachField);
    }
    let said = behind(&text, CHANGE)?;
    if said.starts_with(AS_AROUND) {
        return Some(Said::AsAround);
    }
    effect(said).map(Said::At)
}

/// What the description of the list `schema` says of an entry that is taken out, where that is
/// another thing than of a change.
pub(crate) fn of_taking_out(schema: &Value) -> Option<Effect> {
    effect(behind(&description(schema), TAKING_OUT)?)
}

/// The text behind the one occurrence of `phrase`.
fn behind<'a>(text: &'a str, phrase: &str) -> Option<&'a str> {
    let (_, said) = text.split_once(phrase)?;
    (!said.contains(phrase)).then_some(said)
}

fn effect(said: &str) -> Option<Effect> {
    Effect::ALL.into_iter().find(|effect| {
        said.strip_prefix(effect.phrase())
            .is_some_and(|rest| rest.starts_with(['.', ',', ';', ':']))
    })
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    let words: Vec<_> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

/// A field of the manifest that has a value of its own, or the order of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Its path, as `spec.lacs[].pathMtu`; the order of a list has the path of the list. A field of a
    /// policy is called `SessionPolicy: spec.onChange`, a policy itself `SessionPolicy`, and a key of a
    /// Secret `Secret: current`, of one that is shared with RADIUS servers `RADIUS Secret: current`, of one of
    /// the store `Store Secret: password`.
    pub path: String,
    /// When a change takes effect.
    pub effect: Effect,
}

/// Every field of the `spec` of a cluster and of a policy, the policy itself, and every key of a Secret
/// that a cluster names.
pub fn fields() -> Vec<Field> {
    let mut found = Vec::new();
    collect(Resource::LnsCluster.spec(), "spec", None, &mut found);
    let policy = Resource::SessionPolicy;
    collect(policy.spec(), "SessionPolicy: spec", None, &mut found);
    found.extend(of_policy().map(|effect| Field {
        path: "SessionPolicy".to_owned(),
        effect,
    }));
    let keys = [
        ("current", SHARED_SECRET),
        ("previous", SHARED_SECRET),
        ("tls.crt", TLS_SECRET),
        ("tls.key", TLS_SECRET),
        ("ca.crt", TLS_SECRET),
        ("password", CHECK_PASSWORD),
        ("users.yaml", USERS),
    ];
    let of_servers = [("current", RADIUS_SECRET), ("previous", RADIUS_SECRET)];
    let keys = keys
        .map(|(key, holder)| ("Secret", key, holder))
        .into_iter();
    let keys = keys.chain(of_servers.map(|(key, holder)| ("RADIUS Secret", key, holder)));
    let of_store = [
        ("username", STORE_SECRET),
        ("password", STORE_SECRET),
        ("ca.crt", STORE_CA),
    ];
    let keys = keys.chain(of_store.map(|(key, holder)| ("Store Secret", key, holder)));
    found.extend(keys.filter_map(|(kind, key, holder)| {
        Some(Field {
            path: format!("{kind}: {key}"),
            effect: of_path(holder)?,
        })
    }));
    found
}

/// The field that names the Secret of a LAC: a change of a key takes effect as one of it.
pub(crate) const SHARED_SECRET: &[&str] = &["lacs", "tunnelAuthentication", "secretRef"];
/// The same for a RADIUS server. A test sees to it that all of them, and clients, say the same.
pub(crate) const RADIUS_SECRET: &[&str] = &["radius", "authentication", "servers", "secretRef"];
/// The same for its certificates; those of members say the same.
pub(crate) const TLS_SECRET: &[&str] = &["radius", "authentication", "servers", "tlsSecretRef"];
/// The same for the password of a status check.
pub(crate) const CHECK_PASSWORD: &[&str] = &[
    "radius",
    "authentication",
    "statusCheck",
    "passwordSecretRef",
];
/// The same for what members log in to their store with.
pub(crate) const STORE_SECRET: &[&str] = &["store", "redis", "credentialsSecretRef"];
/// The same for the authorities of its certificate.
pub(crate) const STORE_CA: &[&str] = &["store", "redis", "caSecretRef"];
/// The same for the users.
pub(crate) const USERS: &[&str] = &["subscribers", "localUsers", "secretRef"];

/// When it takes effect that a policy comes or goes: as when it comes to be for the cluster, or no more.
pub(crate) fn of_policy() -> Option<Effect> {
    of_field(Resource::SessionPolicy, &["clusterRefs"])
}

/// When a change of the cluster's field takes effect to which these names lead, through lists.
pub(crate) fn of_path(names: &[&str]) -> Option<Effect> {
    of_field(Resource::LnsCluster, names)
}

fn of_field(resource: Resource, names: &[&str]) -> Option<Effect> {
    let mut schema = resource.spec();
    let mut effect = None;
    for name in names {
        schema = schema.get("items").unwrap_or(schema);
        schema = schema.get("properties")?.get(name)?;
        effect = within(effect, schema);
    }
    effect
}

/// The effect at `schema`, given the one around it.
pub(crate) fn within(around: Option<Effect>, schema: &Value) -> Option<Effect> {
    match of_change(schema)? {
        Said::At(effect) => Some(effect),
        Said::AtEachField => None,
        Said::AsAround => around,
    }
}

/// The key by which the entries of a list are told apart.
pub(crate) fn key_of(list: &Value) -> Option<&'static str> {
    let fields = list.get("items")?.get("properties")?;
    ["name", "cidr"]
        .into_iter()
        .find(|key| fields.get(key).is_some())
}

fn collect(schema: &Value, path: &str, around: Option<Effect>, found: &mut Vec<Field>) {
    let effect = within(around, schema);
    let mut note = || {
        found.extend(effect.map(|effect| Field {
            path: path.to_owned(),
            effect,
        }));
    };
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (name, field) in fields {
            collect(field, &format!("{path}.{name}"), effect, found);
        }
    } else if let (Some(_), Some(entry)) = (key_of(schema), schema.get("items")) {
        note();
        let fields = entry.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            collect(field, &format!("{path}[].{name}"), effect, found);
        }
    } else {
        note();
    }
}
