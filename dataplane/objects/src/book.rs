//! What is known of the objects, and what it makes together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_api::{ManifestError, digest, is_for, parse_objects, secrets_of};
use serde_json::Value;

use crate::follow::{Said, Source};
use crate::limits::SECRETS;
use crate::{Seen, Sight};

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Book {
    name: String,
    cluster: Known,
    policies: Option<BTreeMap<String, Value>>,
    /// Those that the cluster names.
    secrets: BTreeMap<String, Known>,
    troubles: BTreeMap<Source, String>,
    /// The `LnsCluster` that there was last.
    uid: Option<String>,
}

/// What is known of one object.
#[derive(Clone, Debug, Default, PartialEq)]
enum Known {
    /// It has not been looked at.
    #[default]
    No,
    /// It is not there.
    Absent,
    /// It is there.
    There(Value),
}

/// All that a manifest is made of, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    cluster: Value,
    policies: Vec<Value>,
    secrets: Vec<Value>,
}

/// What there is to be told.
#[derive(Debug)]
pub(crate) enum Look {
    /// Not everything has been looked at.
    Unknown,
    /// There is no cluster.
    Without(Sight),
    /// It is there, and is to be read.
    With(Box<Parts>),
}

impl Book {
    /// Of the cluster of this name.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            cluster: Known::No,
            policies: None,
            secrets: BTreeMap::new(),
            troubles: BTreeMap::new(),
            uid: None,
        }
    }

    /// Takes news; whether it changes what there is.
    pub(crate) fn note(&mut self, source: &Source, said: Said) -> bool {
        let (all, gone) = match said {
            Said::Well => {
                self.troubles.remove(source);
                return false;
            }
            Said::Trouble(words) => {
                let is_followed = match source {
                    Source::Secret(name) => self.secrets.contains_key(name),
                    Source::Cluster | Source::Policies => true,
                };
                if is_followed {
                    self.troubles.insert(source.clone(), words);
                }
                return false;
            }
            Said::All(all) => (Some(all), None),
            Said::Changed(one) if *source == Source::Policies => return self.policy(&one),
            Said::Changed(one) => (Some(vec![one]), None),
            Said::Gone(name) => (None, Some(name)),
        };
        match source {
            Source::Cluster => {
                let found = all.and_then(|all| all.into_iter().next());
                self.uid = found.as_ref().map(uid).or(self.uid.take());
                replace(&mut self.cluster, Known::of(found))
            }
            Source::Policies => match (all, gone) {
                (Some(all), _) => {
                    let named = all.into_iter().map(|one| (name(&one), one));
                    replace(&mut self.policies, Some(named.collect()))
                }
                (None, gone) => {
                    let known = self.policies.as_mut();
                    let name = gone.unwrap_or_default();
                    known.is_some_and(|known| known.remove(&name).is_some())
                }
            },
            Source::Secret(name) => match self.secrets.get_mut(name) {
                Some(known) => {
                    let found = all.and_then(|all| all.into_iter().next());
                    replace(known, Known::of(found))
                }
                // It is named no more.
                None => false,
            },
        }
    }

    fn policy(&mut self, one: &Value) -> bool {
        let Some(known) = &mut self.policies else {
            return false;
        };
        let before = known.insert(name(one), one.clone());
        before.as_ref() != Some(one)
    }

    /// Takes the names of the Secrets that are to be followed from the cluster: those that are new, and those
    /// that are not named any more. Without a cluster there are none.
    pub(crate) fn rename(&mut self) -> (BTreeSet<String>, BTreeSet<String>) {
        let named = match &self.cluster {
            Known::There(cluster) => secrets_of(cluster).into_iter().take(SECRETS).collect(),
            Known::Absent | Known::No => BTreeSet::new(),
        };
        let known: BTreeSet<_> = self.secrets.keys().cloned().collect();
        let new: BTreeSet<_> = named.difference(&known).cloned().collect();
        let old: BTreeSet<_> = known.difference(&named).cloned().collect();
        for name in &old {
            self.secrets.remove(name);
            self.troubles.remove(&Source::Secret(name.clone()));
        }
        self.secrets
            .extend(new.iter().cloned().map(|name| (name, Known::No)));
        (new, old)
    }

    /// What there is, if everything has been looked at.
    pub(crate) fn look(&self) -> Look {
        let cluster = match &self.cluster {
            Known::No => return Look::Unknown,
            Known::Absent => {
                return Look::Without(match &self.uid {
                    None => Sight::Absent,
                    Some(uid) => Sight::Gone { uid: uid.clone() },
                });
            }
            Known::There(cluster) => cluster.clone(),
        };
        let Some(policies) = &self.policies else {
            return Look::Unknown;
        };
        let own = policies.values().filter(|it| is_for(it, &self.name));
        let policies = own.cloned().collect();
        let mut secrets = Vec::new();
        for known in self.secrets.values() {
            match known {
                Known::No => return Look::Unknown,
                Known::Absent => {}
                Known::There(secret) => secrets.push(secret.clone()),
            }
        }
        Look::With(Box::new(Parts {
            cluster,
            policies,
            secrets,
        }))
    }

    /// Why it cannot be seen whether something has changed: one line.
    pub(crate) fn trouble(&self) -> Option<Arc<str>> {
        let (source, words) = self.troubles.first_key_value()?;
        let what = match source {
            Source::Cluster => format!("LnsCluster/{}", self.name),
            Source::Policies => "the SessionPolicies".to_owned(),
            Source::Secret(name) => format!("Secret/{name}"),
        };
        let more = match self.troubles.len() {
            0 | 1 => String::new(),
            all => format!(" (and {} more)", all.saturating_sub(1)),
        };
        Some(format!("{what}: {words}{more}").into())
    }
}

impl Known {
    fn of(found: Option<Value>) -> Self {
        found.map_or(Self::Absent, Self::There)
    }
}

impl Parts {
    /// Reads them as a manifest.
    pub(crate) fn read(&self) -> Seen {
        let field = |name: &str| self.cluster.get("metadata")?.get(name);
        let annotations = field("annotations").and_then(Value::as_object);
        let manifest = parse_objects(&self.cluster, &self.policies, &self.secrets);
        let printed = |errors: Vec<ManifestError>| errors.iter().map(ToString::to_string).collect();
        Seen {
            uid: uid(&self.cluster),
            generation: field("generation")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            annotations: annotations
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            digest: digest(&self.cluster, &self.policies),
            is_being_deleted: field("deletionTimestamp").is_some_and(Value::is_string),
            manifest: manifest.map_err(printed),
        }
    }
}

/// Whether it is another one than before.
fn replace<T: PartialEq>(place: &mut T, new: T) -> bool {
    let differs = *place != new;
    *place = new;
    differs
}

fn name(object: &Value) -> String {
    text(object, "name")
}

fn uid(object: &Value) -> String {
    text(object, "uid")
}

fn text(object: &Value, field: &str) -> String {
    let metadata = object.get("metadata");
    let text = metadata.and_then(|metadata| metadata.get(field)?.as_str());
    text.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
