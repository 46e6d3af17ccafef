//! A record as a Lease of the API server (`coordination.k8s.io/v1`), and a Lease as a record.
//!
//! | in the Lease | is |
//! |---|---|
//! | `spec.holderIdentity` | the holder, `node/podUid/bootId/nonce`; absent: nobody |
//! | `kubelns.io/epoch` | the epoch |
//! | `kubelns.io/serial` | which of its holder's writes this is |
//! | `kubelns.io/released` | who released it, if that is why nobody holds |
//! | `kubelns.io/roster` | the nodes of the cluster, a JSON list of names |
//! | `spec.renewTime`, `acquireTime`, `leaseDurationSeconds` (D), `leaseTransitions` | for people and other programs; we go by none of them |
//! | labels, other annotations, owners, finalizers | kept as they are found |
//!
//! Anybody who may write the Lease may write anything into it, so reading it cannot fail: what does not
//! say what it should is unknown (no holder, no epoch, no roster), and the elector knows what to do with
//! that. Only an object without a resource version is none.

use core::time::Duration;
use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use lns_cluster::{Epoch, Identity, NodeName, Record, Revision, Roster, Serial, Stored};
use serde_json::json;

use crate::limits::FOREIGN;
use crate::name::LeaseName;
use crate::notes::{Notes, octets};

/// What the names of all annotations of this project begin with.
pub(crate) const PREFIX: &str = "kubelns.io/";

const EPOCH: &str = "kubelns.io/epoch";
const SERIAL: &str = "kubelns.io/serial";
const RELEASED: &str = "kubelns.io/released";
const ROSTER: &str = "kubelns.io/roster";

/// The annotations that the record is in.
pub(crate) const OWN: [&str; 4] = [EPOCH, SERIAL, RELEASED, ROSTER];

/// What a Lease is written with besides its record.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) name: LeaseName,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// D.
    pub(crate) wait: Duration,
}

/// What kind of object a Lease is.
pub(crate) fn kind() -> ApiResource {
    ApiResource::erase::<Lease>(&())
}

/// Reads a Lease. None: it has no resource version, so it is none.
pub(crate) fn parse(lease: &DynamicObject) -> Option<Stored> {
    let revision = lease.metadata.resource_version.as_deref()?;
    if revision.is_empty() {
        return None;
    }
    let record = Record {
        holder: holder(lease).and_then(|text| text.parse().ok()),
        epoch: number(lease, EPOCH)
            .and_then(Epoch::new)
            .unwrap_or_default(),
        serial: number(lease, SERIAL).map(Serial::new).unwrap_or_default(),
        released: annotation(lease, RELEASED).and_then(|text| text.parse().ok()),
        roster: annotation(lease, ROSTER)
            .and_then(parse_roster)
            .unwrap_or_default(),
    };
    Some(Stored {
        record,
        revision: Revision(revision.into()),
    })
}

/// Writes a record over `base`, or as a new Lease.
///
/// # Errors
/// A time cannot be written.
pub(crate) fn emit(
    record: &Record,
    base: Option<&DynamicObject>,
    form: &Form,
    notes: &Notes,
    at: Timestamp,
) -> Result<DynamicObject, serde_json::Error> {
    let spec = serde_json::to_value(spec(record, base, form, at))?;
    let mut metadata = base.map_or_else(|| new_metadata(form), kept_metadata);
    let labels = metadata.labels.get_or_insert_default();
    labels.extend(form.labels.clone());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.extend(own_annotations(record));
    let notes = notes.annotations();
    annotations.extend(notes.map(|(key, text)| (key.clone(), text.clone())));
    let mut object = DynamicObject::new(form.name.as_str(), &kind());
    object.metadata = metadata;
    object.data = json!({ "spec": spec });
    Ok(object)
}

/// A roster is unknown as soon as one of its names is none, or there are too many.
fn parse_roster(text: &str) -> Option<Roster> {
    let names: Vec<String> = serde_json::from_str(text).ok()?;
    let names: Result<Vec<_>, _> = names.iter().map(|name| NodeName::new(name)).collect();
    Roster::of(names.ok()?).ok()
}

fn own_annotations(record: &Record) -> BTreeMap<String, String> {
    let mut own = BTreeMap::from([
        (EPOCH.to_owned(), record.epoch.number().to_string()),
        (SERIAL.to_owned(), record.serial.number().to_string()),
    ]);
    if let Some(released) = &record.released {
        own.insert(RELEASED.to_owned(), released.to_string());
    }
    if !record.roster.is_empty() {
        let names: Vec<_> = record.roster.iter().map(ToString::to_string).collect();
        own.insert(ROSTER.to_owned(), json!(names).to_string());
    }
    own
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

fn spec(record: &Record, base: Option<&DynamicObject>, form: &Form, at: Timestamp) -> LeaseSpec {
    let before = base.and_then(holder);
    let holder = record.holder.as_ref().map(Identity::to_string);
    let changes = holder.is_some() && holder.as_deref() != before;
    let acquired = base.filter(|_| !changes).and_then(acquired);
    LeaseSpec {
        acquire_time: acquired.or_else(|| holder.is_some().then_some(MicroTime(at))),
        holder_identity: holder,
        lease_duration_seconds: Some(seconds(form.wait)),
        lease_transitions: Some(transitions(base).saturating_add(i32::from(changes))),
        renew_time: Some(MicroTime(at)),
        ..LeaseSpec::default()
    }
}

/// As whole seconds, rounded up: a program that takes the Lease for one of its own kind waits no less.
fn seconds(wait: Duration) -> i32 {
    let up = wait
        .saturating_add(Duration::from_nanos(999_999_999))
        .as_secs();
    i32::try_from(up).unwrap_or(i32::MAX).max(1)
}

fn holder(lease: &DynamicObject) -> Option<&str> {
    lease.data.pointer("/spec/holderIdentity")?.as_str()
}

fn acquired(lease: &DynamicObject) -> Option<MicroTime> {
    let text = lease.data.pointer("/spec/acquireTime")?;
    serde_json::from_value(text.clone()).ok()
}

/// How often the holder has changed; the API server takes no negative number.
fn transitions(base: Option<&DynamicObject>) -> i32 {
    let told = base.and_then(|lease| lease.data.pointer("/spec/leaseTransitions")?.as_i64());
    told.and_then(|told| i32::try_from(told).ok())
        .unwrap_or(0)
        .max(0)
}

fn annotation<'a>(lease: &'a DynamicObject, key: &str) -> Option<&'a str> {
    lease
        .metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// Digits only: "+1", "-1" and what is larger than a number of ours are unknown.
fn number(lease: &DynamicObject, key: &str) -> Option<u64> {
    let text = annotation(lease, key)?;
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
