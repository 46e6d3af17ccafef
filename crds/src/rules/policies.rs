//! The rules of policies that a schema cannot say: over all rules of a table, whose number would be
//! squared, over the bits of octets, between policies, and between them and their cluster.
//!
//! Like all rules here they work on documents that may be wrong in other places.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{limits, policy::Hex, schema::Violation};

/// The violations of one policy: rules of one name, and octets that cannot match or always do.
pub fn check(document: &Value) -> Vec<Violation> {
    let mut violations = Vec::new();
    for direction in ["input", "output"] {
        let rules = document.pointer(&format!("/spec/{direction}/rules"));
        let rules = rules
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let mut names = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("spec.{direction}.rules[{index}]");
            let name = rule.get("name").and_then(Value::as_str);
            let first = name.map(|name| (name, *names.entry(name).or_insert(index)));
            if let Some((name, first)) = first.filter(|(_, first)| *first < index) {
                let message = format!("{name:?} is there already, at [{first}]");
                violations.push(Violation::new(format!("{path}.name"), message));
            }
            let octets = rule.get("octets").and_then(Value::as_array);
            for (at, octets) in octets.into_iter().flatten().enumerate() {
                violations.extend(octets_match(&format!("{path}.octets[{at}]"), octets));
            }
        }
    }
    violations
}

fn octets_match(path: &str, octets: &Value) -> Option<Violation> {
    let text = |field: &str| octets.get(field).and_then(Value::as_str);
    let (mask, value) = (text("mask")?, text("value")?);
    let (Hex(mask_octets), Hex(octets)) = (mask.parse().ok()?, value.parse().ok()?);
    if mask_octets.iter().all(|octet| *octet == 0) {
        let message = format!("{mask:?} looks at no bit, so that every packet matches");
        return Some(Violation::new(format!("{path}.mask"), message));
    }
    let mut pairs = mask_octets.iter().zip(&octets);
    pairs.any(|(mask, octet)| octet & !mask != 0).then(|| {
        let message =
            format!("{value:?} has a bit that mask {mask:?} has not, so that no packet matches");
        Violation::new(format!("{path}.value"), message)
    })
}

/// The policies that are for one cluster, by what means them.
#[derive(Debug)]
pub struct Names<'a> {
    /// Names of policies, and values of Filter-Id, each with the policy's name.
    meanings: BTreeMap<&'a str, &'a str>,
    policies: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Names<'a> {
    /// Of the policies with these names; and what is wrong between them, each with the name of its
    /// policy. A Filter-Id means one policy.
    pub fn new(
        policies: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> (Self, Vec<(&'a str, Violation)>) {
        let policies: BTreeMap<_, _> = policies.into_iter().collect();
        let mut meanings: BTreeMap<_, _> = policies.keys().map(|name| (*name, *name)).collect();
        let mut violations = Vec::new();
        for (name, document) in &policies {
            for (index, filter_id) in filter_ids(document) {
                let path = format!("spec.filterIds[{index}]");
                let message = match meanings.get(filter_id) {
                    None => {
                        meanings.insert(filter_id, name);
                        continue;
                    }
                    Some(owner) if *owner == filter_id => {
                        format!(
                            "{filter_id:?} is the name of SessionPolicy/{owner}, which it means already"
                        )
                    }
                    // The same policy: its list has it twice, which has been reported.
                    Some(owner) if owner == name => continue,
                    Some(owner) => format!("{filter_id:?} means SessionPolicy/{owner} already"),
                };
                violations.push((*name, Violation::new(path, message)));
            }
        }
        (Self { meanings, policies }, violations)
    }

    /// The name of the policy that a Filter-Id means.
    pub fn meaning(&self, filter_id: &str) -> Option<&'a str> {
        self.meanings.get(filter_id).copied()
    }

    /// Whether there is a policy of this name.
    pub fn has(&self, name: &str) -> bool {
        self.policies.contains_key(name)
    }

    /// What is wrong with what the document of their cluster says of them: there are more than a node
    /// holds, or it names one that is not there.
    pub fn check(&self, cluster: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        let (count, most) = (self.policies.len(), limits::POLICIES);
        if count > most {
            let message =
                format!("{count} SessionPolicies are for this cluster; {most} are the most");
            violations.push(Violation::new("", message));
        }
        for (index, name) in default_policies(cluster) {
            if !self.has(name) {
                let path = format!("spec.subscribers.defaultPolicyRefs[{index}].name");
                let message = format!("{name:?} is no SessionPolicy for this cluster");
                violations.push(Violation::new(path, message));
            }
        }
        violations
    }
}

/// The names of the clusters that a policy is for.
pub fn clusters(policy: &Value) -> impl Iterator<Item = &str> {
    let refs = policy
        .pointer("/spec/clusterRefs")
        .and_then(Value::as_array);
    let names = refs.into_iter().flatten();
    names.filter_map(|reference| reference.get("name")?.as_str())
}

fn filter_ids(policy: &Value) -> impl Iterator<Item = (usize, &str)> {
    let list = policy.pointer("/spec/filterIds").and_then(Value::as_array);
    let texts = list.into_iter().flatten().enumerate();
    texts.filter_map(|(index, text)| Some((index, text.as_str()?)))
}

fn default_policies(cluster: &Value) -> impl Iterator<Item = (usize, &str)> {
    let refs = cluster
        .pointer("/spec/subscribers/defaultPolicyRefs")
        .and_then(Value::as_array);
    let names = refs.into_iter().flatten().enumerate();
    names.filter_map(|(index, reference)| Some((index, reference.get("name")?.as_str()?)))
}
