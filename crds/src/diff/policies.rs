//! What differs in the policies: by field, and a policy that comes or goes as one row.

use serde_json::json;

use super::{Change, Place, Scope, Walk};
use crate::schema::{Resource, effect};
use crate::{Manifest, SessionPolicy};

/// The rows of all policies, in the order of their names; those that went come first.
pub(super) fn diff(before: &Manifest, after: &Manifest) -> Vec<Change> {
    let mut walk = Walk {
        changes: Vec::new(),
    };
    for old in &before.policies {
        if find(after, old).is_none() {
            walk.row(&place(old, ""), Some(size(old)), None);
        }
    }
    for new in &after.policies {
        let Some(old) = find(before, new) else {
            walk.row(&place(new, ""), None, Some(size(new)));
            continue;
        };
        let fields = Place {
            effect: None,
            ..place(new, ": spec")
        };
        let (old, new) = (json!(old.spec), json!(new.spec));
        walk.value(
            Resource::SessionPolicy.spec(),
            &fields,
            Some(&old),
            Some(&new),
        );
    }
    walk.changes
}

fn find<'a>(manifest: &'a Manifest, policy: &SessionPolicy) -> Option<&'a SessionPolicy> {
    let mut policies = manifest.policies.iter();
    policies.find(|other| other.metadata.name == policy.metadata.name)
}

/// A policy in a cell of the table.
fn size(policy: &SessionPolicy) -> String {
    let tables = [&policy.spec.input, &policy.spec.output]
        .into_iter()
        .flatten();
    match tables.map(|table| table.rules.len()).sum() {
        1 => "1 rule".to_owned(),
        rules => format!("{rules} rules"),
    }
}

fn place(policy: &SessionPolicy, behind: &str) -> Place {
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    Place {
        path: format!("SessionPolicy/{name}{behind}"),
        effect: effect::of_policy(),
        scope: Scope::Everybody,
    }
}
