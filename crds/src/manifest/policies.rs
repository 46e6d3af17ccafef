//! The `SessionPolicy` documents: which are for the cluster, and what holds between them, the cluster
//! and the users.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    document::{Document, Kind},
    error::ManifestError,
    secret::Parts,
    users::User,
};
use crate::{
    Resource, SessionPolicy,
    cluster::UnknownFilterId,
    limits,
    rules::policies::{Names, clusters},
    schema::{self, Violation},
};

/// A policy document with its defaults applied.
pub(super) struct Checked<'a> {
    document: &'a Document,
    value: Value,
}

/// Checks every policy, also those of other clusters.
pub(super) fn checked<'a>(
    documents: &'a [Document],
    errors: &mut Vec<ManifestError>,
) -> Vec<Checked<'a>> {
    let of_kind = documents
        .iter()
        .filter(|one| one.kind == Kind::SessionPolicy);
    let checked = of_kind.map(|document| {
        let (value, violations) = schema::check(Resource::SessionPolicy, &document.value);
        errors.extend(
            violations
                .into_iter()
                .map(|violation| document.error(violation)),
        );
        Checked { document, value }
    });
    checked.collect()
}

/// Sorts out the policies that are for the cluster and checks what is between them, it and its users.
/// `cluster` is its document, `value` the same with defaults.
pub(super) fn assemble(
    mut checked: Vec<Checked<'_>>,
    cluster: &Document,
    value: &Value,
    parts: &mut Parts,
) -> Vec<SessionPolicy> {
    checked.retain(|policy| match elsewhere(policy, cluster) {
        None => true,
        Some(violation) => {
            let line = policy.document.error(violation).to_string();
            parts.warnings.push(line);
            false
        }
    });
    checked.sort_by(|a, b| a.document.name.cmp(&b.document.name));
    let by_name = checked.iter().map(|one| (&*one.document.name, &one.value));
    let (names, between) = Names::new(by_name);
    for (name, violation) in between {
        let of_name = checked.iter().find(|one| one.document.name == name);
        parts
            .errors
            .extend(of_name.map(|one| one.document.error(violation)));
    }
    let of_cluster = names.check(value).into_iter();
    parts
        .errors
        .extend(of_cluster.map(|violation| cluster.error(violation)));
    users(&names, value, parts);
    // One that cannot be read has been reported, and there is no manifest.
    let typed = checked
        .iter()
        .map(|one| serde_json::from_value(one.value.clone()));
    typed.filter_map(Result::ok).collect()
}

/// Why a policy is not for the cluster. As in Kubernetes, that is no error: it may be there for another.
fn elsewhere(policy: &Checked<'_>, cluster: &Document) -> Option<Violation> {
    let (own, its) = (&policy.document.namespace, &cluster.namespace);
    if own != its {
        let message = format!(
            "{own:?} is not {its:?}, the namespace of {}: it is not used",
            cluster.title()
        );
        return Some(Violation::new("metadata.namespace", message));
    }
    let mut named = clusters(&policy.value);
    (!named.any(|name| name == cluster.name)).then(|| {
        let message = format!("does not name {}: it is not used", cluster.title());
        Violation::new("spec.clusterRefs", message)
    })
}

/// Checks the Filter-Ids of the users: a policy twice in one chain is an error, one that is not there a
/// warning, since what becomes of it is said by `unknownFilterId`.
fn users(names: &Names<'_>, value: &Value, parts: &mut Parts) {
    let mut unknown: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, user) in &parts.users {
        if let Some(message) = repeated(names, user) {
            errors.push(ManifestError::user(&parts.users_secret, name, &message));
        }
        let strangers = user
            .policies
            .iter()
            .filter(|it| names.meaning(it).is_none());
        for filter_id in strangers {
            let (count, _) = unknown.entry(filter_id).or_insert((0, name));
            *count = count.saturating_add(1);
        }
    }
    parts.errors.append(&mut errors);
    let refuse = value
        .pointer("/spec/subscribers/unknownFilterId")
        .and_then(Value::as_str)
        == serde_json::to_value(UnknownFilterId::Refuse)
            .ok()
            .as_ref()
            .and_then(Value::as_str);
    let outcome = if refuse {
        "cannot log in (unknownFilterId: Refuse)"
    } else {
        "gets the default policies (unknownFilterId: UseDefault)"
    };
    let title = format!("Secret/{}: users.yaml", parts.users_secret);
    let more = unknown.len().saturating_sub(limits::WARNINGS);
    let lines = unknown.into_iter().take(limits::WARNINGS);
    let lines = lines.map(|(filter_id, (count, first))| {
        let others = match count {
            0 | 1 => String::new(),
            count => format!(" and {} more", count.saturating_sub(1)),
        };
        format!("{title}: {first}{others}: policies: {filter_id:?} is no SessionPolicy for this cluster and no filterId of one; who has it {outcome}")
    });
    parts.warnings.extend(lines);
    if more > 0 {
        parts.warnings.push(format!(
            "{title}: {more} more values of policies are unknown"
        ));
    }
}

/// A policy that a user has twice, under whichever of its names.
fn repeated(names: &Names<'_>, user: &User) -> Option<String> {
    // An unknown one stands for itself.
    let meaning = |filter_id: &'_ str| names.meaning(filter_id).map(str::to_owned);
    let all: Vec<_> = user
        .policies
        .iter()
        .map(|it| meaning(it).unwrap_or_else(|| it.clone()))
        .collect();
    let mut numbered = all.iter().enumerate();
    numbered.find_map(|(index, policy)| {
        let first = all.iter().position(|other| other == policy)?;
        let text = user.policies.get(index)?;
        (first < index).then(|| {
            format!(
                "policies[{index}]: {text:?} means {policy:?}, which is there already, at [{first}]"
            )
        })
    })
}
