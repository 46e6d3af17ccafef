//! A Lease as an object of the API server: what stands in it besides what it is for.
//!
//! `spec.renewTime`, `acquireTime`, `leaseDurationSeconds` and `leaseTransitions` are for people and other
//! programs; we go by none of them. Labels, annotations, owners and finalizers of others are kept as they
//! are found.

use core::time::Duration;
use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use serde_json::json;

use crate::limits::FOREIGN;
use crate::name::LeaseName;
use crate::notes::{Notes, octets};

/// What the names of all annotations of this project begin with.
pub(crate) const PREFIX: &str = "kubelns.io/";

pub(crate) const EPOCH: &str = "kubelns.io/epoch";
pub(crate) const SERIAL: &str = "kubelns.io/serial";
pub(crate) const RELEASED: &str = "kubelns.io/released";
pub(crate) const ROSTER: &str = "kubelns.io/roster";
pub(crate) const NODE: &str = "kubelns.io/node";
pub(crate) const LOADED: &str = "kubelns.io/loaded";
pub(crate) const VERSION: &str = "kubelns.io/version";
pub(crate) const READY: &str = "kubelns.io/ready";
pub(crate) const PEER: &str = "kubelns.io/peer";

/// The annotations that are written here, and are no notes.
pub(crate) const OWN: [&str; 9] = [
    EPOCH, SERIAL, RELEASED, ROSTER, NODE, LOADED, VERSION, READY, PEER,
];

/// The label that says whose Lease it is.
pub const CLUSTER_LABEL: &str = "kubelns.io/cluster";

/// The label that says what it is for: `master` or `node`.
pub const KIND_LABEL: &str = "kubelns.io/lease";

/// What a Lease is written with, whatever it is for.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) name: LeaseName,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// How long it lasts, for other programs.
    pub(crate) lasts: Duration,
}

/// What it is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) holder: Option<String>,
    /// Some of [`OWN`].
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What kind of object a Lease is.
pub(crate) fn kind() -> ApiResource {
    ApiResource::erase::<Lease>(&())
}

/// The labels of a Lease of a cluster.
pub(crate) fn labels(cluster: &str, kind: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CLUSTER_LABEL.to_owned(), cluster.to_owned()),
        (KIND_LABEL.to_owned(), kind.to_owned()),
    ])
}

/// Writes a Lease over `base`, or a new one.
///
/// # Errors
/// A time cannot be written.
pub(crate) fn emit(
    content: Content,
    base: Option<&DynamicObject>,
    form: &Form,
    notes: &Notes,
    at: Timestamp,
) -> Result<DynamicObject, serde_json::Error> {
    let spec = serde_json::to_value(spec(content.holder, base, form, at))?;
    let mut metadata = base.map_or_else(|| new_metadata(form), kept_metadata);
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(form.labels.clone());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.extend(content.annotations);
    let notes = notes.annotations();
    annotations.extend(notes.map(|(key, text)| (key.clone(), text.clone())));
    let mut object = DynamicObject::new(form.name.as_str(), &kind());
    object.metadata = metadata;
    object.data = json!({ "spec": spec });
    Ok(object)
}

/// Who holds it, as text.
pub(crate) fn holder(lease: &DynamicObject) -> Option<&str> {
    lease.data.pointer("/spec/holderIdentity")?.as_str()
}

pub(crate) fn annotation<'a>(lease: &'a DynamicObject, key: &str) -> Option<&'a str> {
    let annotations = lease.metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

/// The notes in it.
pub(crate) fn notes(lease: &DynamicObject) -> Notes {
    let annotations = lease.metadata.annotations.as_ref();
    annotations.map(Notes::among).unwrap_or_default()
}

/// For how long it lasts, as it says.
pub(crate) fn lasts(lease: &DynamicObject) -> Option<Duration> {
    let seconds = lease.data.pointer("/spec/leaseDurationSeconds")?.as_u64()?;
    Some(Duration::from_secs(seconds))
}

fn new_metadata(form: &Form) -> ObjectMeta {
    ObjectMeta {
        name: Some(form.name.to_string()),
        namespace: Some(form.namespace.clone()),
        ..ObjectMeta::default()
    }
}

/// What others put there stays, as long as it leaves room.
fn kept_metadata(base: &DynamicObject) -> ObjectMeta {
    let mut metadata = base.metadata.clone();
    // Who manages which field is the API server's to say.
    metadata.managed_fields = None;
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.retain(|key, _| !OWN.contains(&key.as_str()));
    let foreign: usize = annotations
        .iter()
        .map(|(key, text)| octets(key, text))
        .sum();
    if foreign > FOREIGN {
        annotations.clear();
    }
    metadata
}

fn spec(
    holder: Option<String>,
    base: Option<&DynamicObject>,
    form: &Form,
    at: Timestamp,
) -> LeaseSpec {
    let before = base.and_then(self::holder);
    let changes = holder.is_some() && holder.as_deref() != before;
    let acquired = base.filter(|_| !changes).and_then(acquired);
    LeaseSpec {
        acquire_time: acquired.or_else(|| holder.is_some().then_some(MicroTime(at))),
        holder_identity: holder,
        lease_duration_seconds: Some(seconds(form.lasts)),
        lease_transitions: Some(transitions(base).saturating_add(i32::from(changes))),
        renew_time: Some(MicroTime(at)),
        ..LeaseSpec::default()
    }
}

/// As whole seconds, rounded up: a program that takes the Lease for one of its own kind waits no less.
fn seconds(lasts: Duration) -> i32 {
    let up = lasts
        .saturating_add(Duration::from_nanos(999_999_999))
        .as_secs();
    i32::try_from(up).unwrap_or(i32::MAX).max(1)
}

pub(crate) fn acquired(lease: &DynamicObject) -> Option<MicroTime> {
    let text = lease.data.pointer("/spec/acquireTime")?;
    serde_json::from_value(text.clone()).ok()
}

/// How often the holder has changed; the API server takes no negative number.
pub(crate) fn transitions(base: Option<&DynamicObject>) -> i32 {
    let told = base.and_then(|lease| lease.data.pointer("/spec/leaseTransitions")?.as_i64());
    told.and_then(|told| i32::try_from(told).ok())
        .unwrap_or(0)
        .max(0)
}
