//! The objects of an API server, in the place of a file's documents.
//!
//! What the API server itself writes into an object (`metadata.managedFields`, `status`, ...) is not looked at;
//! all else is held to the rules of a file, but for fields that are not known here. The API server knows them, or it
//! would have left them out: they are of a later release, by whose definitions the objects go while this one still
//! runs, or runs again. They are left out, and there is a warning.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Manifest, ManifestError, assemble,
    document::{Document, Kind},
    references,
    secret::Reference,
};
use crate::rules::policies::clusters;
use crate::schema::{self, Resource};

/// What errors call the place where the objects are.
const SOURCE: &str = "the API server";

/// What of an object's metadata means something here.
const METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// Puts a manifest together from objects: the `LnsCluster`, the policies that [are for it](is_for), and the
/// Secrets that it [names](secrets_of). All are of one namespace.
///
/// # Errors
/// Everything that is wrong, at least one, in the words of a file's errors.
pub fn parse_objects<'a>(
    cluster: &'a Value,
    policies: impl IntoIterator<Item = &'a Value>,
    secrets: impl IntoIterator<Item = &'a Value>,
) -> Result<Manifest, Vec<ManifestError>> {
    let policies = policies.into_iter().map(|it| (Kind::SessionPolicy, it));
    let secrets = secrets.into_iter().map(|it| (Kind::Secret, it));
    let all = core::iter::once((Kind::LnsCluster, cluster));
    let all = all.chain(policies).chain(secrets);
    let mut warnings = Vec::new();
    let values = all.map(|(kind, object)| known(kind, object, &mut warnings));
    let values = values.collect();
    let mut errors = Vec::new();
    let documents = Document::all(SOURCE, values, &mut errors);
    let mut manifest = assemble(&documents, SOURCE, errors)?;
    manifest.warnings.append(&mut warnings);
    Ok(manifest)
}

/// What is known here of an object.
fn known(kind: Kind, object: &Value, warnings: &mut Vec<String>) -> Value {
    let mut own = own(kind, object);
    let resource = match kind {
        Kind::LnsCluster => Resource::LnsCluster,
        Kind::SessionPolicy => Resource::SessionPolicy,
        Kind::Secret => return own,
    };
    let name = own.pointer("/metadata/name").and_then(Value::as_str);
    let title = format!("{}/{}", kind.word(), name.unwrap_or_default());
    let unknown = schema::take_out_unknown(resource, &mut own);
    warnings.extend(unknown.iter().map(|path| {
        format!("{title}: {path}: is of a later release, and says nothing to this one")
    }));
    own
}

/// The names of the Secrets that an `LnsCluster` names, also one that is wrong in other places.
pub fn secrets_of(cluster: &Value) -> BTreeSet<String> {
    let named = references(cluster).into_iter();
    named.map(Reference::into_name).collect()
}

/// Whether a `SessionPolicy` is for the cluster of this name.
pub fn is_for(policy: &Value, cluster: &str) -> bool {
    clusters(policy).any(|name| name == cluster)
}

/// Which state of an `LnsCluster` and of the policies that are for it this is: a member says it of what it has in
/// force, and whoever sees the same objects knows whether that is what they say now.
pub fn digest(cluster: &Value, policies: &[Value]) -> String {
    let text = |object: &Value, field: &str| {
        let field = object.pointer(&format!("/metadata/{field}"));
        field.map(ToString::to_string).unwrap_or_default()
    };
    let one = |object: &Value| ["name", "uid", "generation"].map(|field| text(object, field));
    let mut all: Vec<_> = policies.iter().map(one).collect();
    all.sort();
    all.insert(0, one(cluster));
    let digest = Sha256::digest(format!("{all:?}"));
    let first = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
    format!("{first:016x}")
}

/// A `SessionPolicy` without what the API server wrote into it, and what is not known here.
pub fn own_policy(object: &Value) -> Value {
    known(Kind::SessionPolicy, object, &mut Vec::new())
}

/// An object without what the API server wrote into it. It is of the kind that was asked for: entries of lists
/// do not say it themselves.
fn own(kind: Kind, object: &Value) -> Value {
    let mut own = object.as_object().cloned().unwrap_or_default();
    own.remove("status");
    let metadata = own.remove("metadata");
    let mut metadata = match metadata {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => Map::new(),
    };
    metadata.retain(|field, _| METADATA.contains(&field.as_str()));
    own.insert("apiVersion".to_owned(), json!(kind.api_version()));
    own.insert("kind".to_owned(), json!(kind.word()));
    own.insert("metadata".to_owned(), Value::Object(metadata));
    Value::Object(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_manifest;

    const FULL: &str = include_str!("../../examples/full.yaml");

    /// The documents of the full example, as an API server gives them out.
    fn objects() -> (Value, Vec<Value>, Vec<Value>) {
        let mut all: Vec<Value> = serde_saphyr::from_multiple(FULL).unwrap();
        for object in &mut all {
            object["metadata"]["uid"] = json!("c0ffee");
            object["metadata"]["generation"] = json!(7);
            object["metadata"]["deletionTimestamp"] = json!("2026-11-26T20:00:00Z");
            object["metadata"]["managedFields"] = json!([{ "manager": "kubectl" }]);
            object["metadata"]["generateName"] = json!("x-");
            if object["kind"] != "Secret" {
                object["status"] = json!({ "observedGeneration": -1 });
            }
        }
        let of = |kind: &str| {
            all.iter()
                .filter(|it| it["kind"] == kind)
                .cloned()
                .collect()
        };
        let (policies, mut secrets): (_, Vec<Value>) = (of("SessionPolicy"), of("Secret"));
        for item in &mut secrets {
            // As of a list.
            item.as_object_mut().unwrap().remove("kind");
        }
        (all[0].clone(), policies, secrets)
    }

    #[test]
    fn objects_make_the_manifest_that_the_same_documents_make() {
        let (cluster, policies, secrets) = objects();
        let manifest = parse_objects(&cluster, &policies, &secrets).unwrap();
        assert_eq!(manifest, parse_manifest([("full.yaml", FULL)]).unwrap());
    }

    #[test]
    fn the_secrets_that_a_cluster_names_are_known_also_where_it_is_wrong() {
        let (mut cluster, _, secrets) = objects();
        cluster["spec"]["pools"] = json!("none");
        let names = secrets
            .iter()
            .map(|it| it["metadata"]["name"].as_str().unwrap());
        let names: BTreeSet<_> = names.map(str::to_owned).collect();
        assert_eq!(secrets_of(&cluster), names);
        assert_eq!(secrets_of(&json!(null)), BTreeSet::new());
    }

    #[test]
    fn a_policy_is_for_the_clusters_that_it_names() {
        let (_, policies, _) = objects();
        assert!(is_for(&policies[0], "edge"));
        assert!(!is_for(&policies[0], "rim"));
        assert!(!is_for(&json!({ "spec": { "clusterRefs": 3 } }), "edge"));
    }

    #[test]
    fn a_digest_tells_states_apart_and_not_orders() {
        let (cluster, policies, _) = objects();
        let other = json!({ "metadata": { "name": "z", "uid": "1", "generation": 1 } });
        let both = [policies[0].clone(), other.clone()];
        let turned = [other.clone(), policies[0].clone()];
        assert_eq!(digest(&cluster, &both), digest(&cluster, &turned));
        assert_eq!(digest(&cluster, &both).len(), 16);
        let mut newer = both.clone();
        newer[1]["metadata"]["generation"] = json!(2);
        let mut again = both.clone();
        again[1]["metadata"]["uid"] = json!("2");
        for changed in [&newer[..], &again, &both[..1]] {
            assert_ne!(digest(&cluster, changed), digest(&cluster, &both));
        }
        // What Kubernetes writes of itself is no news.
        let mut told = cluster.clone();
        told["status"]["observedGeneration"] = json!(7);
        told["metadata"]["resourceVersion"] = json!("8");
        assert_eq!(digest(&told, &both), digest(&cluster, &both));
    }

    #[test]
    fn fields_of_a_later_release_say_nothing_and_stop_nobody() {
        let (mut cluster, mut policies, secrets) = objects();
        cluster["spec"]["fencing"] = json!({ "mode": "Watchdog" });
        cluster["spec"]["lacs"][0]["limits"]["maxOctets"] = json!(7);
        policies[0]["spec"]["input"]["rules"][0]["mirror"] = json!("eth9");
        policies[0]["quota"] = json!({ "octets": 1 });
        let mut manifest = parse_objects(&cluster, &policies, &secrets).unwrap();
        let says = "is of a later release, and says nothing to this one";
        let name = policies[0]["metadata"]["name"].as_str().unwrap();
        let expected = [
            format!("LnsCluster/edge: spec.fencing: {says}"),
            format!("LnsCluster/edge: spec.lacs[0].limits.maxOctets: {says}"),
            format!("SessionPolicy/{name}: quota: {says}"),
            format!("SessionPolicy/{name}: spec.input.rules[0].mirror: {says}"),
        ];
        let told = manifest.warnings.iter().filter(|line| line.contains(says));
        let mut told: Vec<_> = told.cloned().collect();
        told.sort();
        assert_eq!(told, expected);
        manifest.warnings.retain(|line| !line.contains(says));
        assert_eq!(manifest, parse_manifest([("full.yaml", FULL)]).unwrap());
        // Labels are the user's, and known by any name.
        assert_eq!(own_policy(&policies[0])["quota"], Value::Null);
    }

    #[test]
    fn what_is_wrong_is_told_as_of_a_file() {
        let (mut cluster, policies, mut secrets) = objects();
        cluster["spec"]["pools"][0]["prefixes"][0]["cidr"] = json!("100.64.0.0/33");
        cluster["spec"]["pools"][0]["prefixes"][0]["exclude"] = json!([]);
        secrets.retain(|it| it["metadata"]["name"] != "users");
        let errors = parse_objects(&cluster, &policies, &secrets).unwrap_err();
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"LnsCluster/edge: spec.pools[0].prefixes[0].cidr: "100.64.0.0/33" is no CIDR"#,
                r#"LnsCluster/edge: spec.subscribers.localUsers.secretRef.name: "users" is no Secret of this manifest"#,
            ]
        );
    }
}
