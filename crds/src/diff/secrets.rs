//! What differs in the Secrets: told without a value, and of users without a name.

use lns_crypto::Secret;

use super::{Change, Scope};
use crate::schema::effect::{self, Effect};
use crate::{Manifest, TlsSecret, User};

/// The rows of all Secrets that both manifests name; one that is new or gone shows by its reference.
pub(super) fn diff(before: &Manifest, after: &Manifest) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, new) in &after.secrets {
        let Some(old) = before.secrets.get(name) else {
            continue;
        };
        let keys = [
            ("current", Some(&old.current), Some(&new.current)),
            ("previous", old.previous.as_ref(), new.previous.as_ref()),
        ];
        let lacs = lacs_with(before, name);
        // A Secret of both is told of twice: it takes effect at two times.
        if !lacs.is_empty() {
            let scope = Scope::Lacs(lacs);
            changes.extend(rows(name, &keys, effect::SHARED_SECRET, &scope));
        }
        if radius_has(before, name) {
            changes.extend(rows(name, &keys, effect::RADIUS_SECRET, &Scope::Everybody));
        }
    }
    for (name, new) in &after.tls {
        let old = before.tls.get(name);
        let pair = |of: fn(&TlsSecret) -> &Secret| old.map(|old| (of(old), of(new)));
        let keys = [
            ("tls.crt", pair(|secret| &secret.certificate)),
            ("tls.key", pair(|secret| &secret.key)),
            ("ca.crt", pair(|secret| &secret.authorities)),
        ];
        let keys = keys.map(|(key, pair)| (key, pair.map(|it| it.0), pair.map(|it| it.1)));
        changes.extend(rows(name, &keys, effect::TLS_SECRET, &Scope::Everybody));
    }
    for (name, new) in &after.passwords {
        if let Some(old) = before.passwords.get(name) {
            let keys = [("password", Some(old), Some(new))];
            changes.extend(rows(name, &keys, effect::CHECK_PASSWORD, &Scope::Everybody));
        }
    }
    for (name, new) in &after.stores {
        if let Some(old) = before.stores.get(name) {
            let keys = [
                ("username", old.user.as_ref(), new.user.as_ref()),
                ("password", Some(&old.password), Some(&new.password)),
            ];
            changes.extend(rows(name, &keys, effect::STORE_SECRET, &Scope::Everybody));
        }
    }
    for (name, new) in &after.authorities {
        if let Some(old) = before.authorities.get(name) {
            let keys = [("ca.crt", Some(old), Some(new))];
            changes.extend(rows(name, &keys, effect::STORE_CA, &Scope::Everybody));
        }
    }
    changes.extend(users(before, after));
    changes
}

/// A key, its old value and its new one.
type Key<'a> = (&'a str, Option<&'a Secret>, Option<&'a Secret>);

fn rows(name: &str, keys: &[Key<'_>], holder: &[&str], scope: &Scope) -> Vec<Change> {
    let timing = effect::of_path(holder);
    let changed = keys.iter().filter_map(|(key, old, new)| {
        let what = what_happened(*old, *new)?;
        let path = format!("Secret/{name}: {key}");
        Some(row(path, what.to_owned(), timing, scope.clone()))
    });
    changed.collect()
}

fn what_happened(old: Option<&Secret>, new: Option<&Secret>) -> Option<&'static str> {
    match (old, new) {
        (None, Some(_)) => Some("added"),
        (Some(_), None) => Some("removed"),
        (Some(old), Some(new)) if old != new => Some("changed"),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn lacs_with(manifest: &Manifest, secret: &str) -> Vec<String> {
    let lacs = manifest.cluster.spec.lacs.iter();
    let with = lacs.filter(|lac| {
        let reference = lac.tunnel_authentication.secret_ref.as_ref();
        reference.is_some_and(|reference| reference.name == secret)
    });
    with.map(|lac| lac.name.clone()).collect()
}

/// Whether a RADIUS server or client shares this secret.
fn radius_has(manifest: &Manifest, secret: &str) -> bool {
    let Some(radius) = &manifest.cluster.spec.radius else {
        return false;
    };
    let authentication = radius.authentication.iter().flat_map(|it| &it.servers);
    let accounting = radius.accounting.iter();
    let accounting = accounting.flat_map(|it| it.servers.iter().chain(&it.copies));
    let clients = radius.dynamic_authorization.iter();
    let clients = clients.flat_map(|it| &it.clients);
    let references = authentication
        .filter_map(|it| it.secret_ref.as_ref())
        .chain(accounting.filter_map(|it| it.secret_ref.as_ref()))
        .chain(clients.map(|it| &it.secret_ref));
    references.into_iter().any(|it| it.name == secret)
}

/// The users who differ, counted by what differs.
#[derive(Default)]
struct Counts {
    added: usize,
    removed: usize,
    passwords: usize,
    policies: usize,
    addresses: usize,
}

fn users(before: &Manifest, after: &Manifest) -> Option<Change> {
    let mut counts = Counts::default();
    let mut touched = Vec::new();
    for (name, old) in &before.users {
        if counts.note(old, after.users.get(name)) {
            touched.push(name.clone());
        }
    }
    let is_new = |(name, _): &(&String, &User)| !before.users.contains_key(*name);
    counts.added = after.users.iter().filter(is_new).count();
    let text = counts.text()?;
    let name = users_secret(after).or(users_secret(before))?;
    let timing = effect::of_path(effect::USERS);
    Some(row(
        format!("Secret/{name}: users.yaml"),
        text,
        timing,
        Scope::Users(touched),
    ))
}

fn users_secret(manifest: &Manifest) -> Option<&str> {
    let users = manifest.cluster.spec.subscribers.local_users.as_ref()?;
    Some(&users.secret_ref.name)
}

impl Counts {
    /// Counts one who was there before; whether anything differs.
    fn note(&mut self, old: &User, new: Option<&User>) -> bool {
        let Some(new) = new else {
            self.removed = self.removed.saturating_add(1);
            return true;
        };
        let (password, address) = (old.password != new.password, old.address != new.address);
        let policies = old.policies != new.policies;
        self.passwords = self.passwords.saturating_add(usize::from(password));
        self.policies = self.policies.saturating_add(usize::from(policies));
        self.addresses = self.addresses.saturating_add(usize::from(address));
        password || policies || address
    }

    fn text(&self) -> Option<String> {
        let of = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let parts = [
            of(self.added, "user added", "users added"),
            of(self.removed, "user removed", "users removed"),
            of(self.passwords, "password changed", "passwords changed"),
            of(
                self.policies,
                "user with other policies",
                "users with other policies",
            ),
            of(self.addresses, "address changed", "addresses changed"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn row(path: String, what: String, timing: Option<Effect>, scope: Scope) -> Change {
    Change {
        path,
        before: None,
        after: Some(what),
        effect: timing.unwrap_or(Effect::Restart),
        scope,
    }
}
