//! A record as a Lease of the API server (`coordination.k8s.io/v1`), and a Lease as a record.
//!
//! | in the Lease | is |
//! |---|---|
//! | `spec.holderIdentity` | the holder, `node/podUid/bootId/nonce`; absent: nobody |
//! | `kubelns.io/epoch` | the epoch |
//! | `kubelns.io/serial` | which of its holder's writes this is |
//! | `kubelns.io/released` | who released it, if that is why nobody holds |
//! | `kubelns.io/roster` | the nodes of the cluster, a JSON list of names |
//!
//! Anybody who may write the Lease may write anything into it, so reading it cannot fail: what does not
//! say what it should is unknown (no holder, no epoch, no roster), and the elector knows what to do with
//! that. Only an object without a resource version is none.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use lns_cluster::journal::Mark;
use lns_cluster::{Epoch, Identity, NodeName, Record, Revision, Roster, Serial, Stored};
use serde_json::json;

use crate::object::{Content, EPOCH, RELEASED, ROSTER, SERIAL, annotation, holder};

/// Reads a Lease. None: it has no resource version, so it is none.
pub(crate) fn parse(lease: &DynamicObject) -> Option<Stored> {
    let revision = lease.metadata.resource_version.as_deref()?;
    if revision.is_empty() {
        return None;
    }
    let record = Record {
        holder: holder(lease).and_then(|text| text.parse().ok()),
        epoch: annotation(lease, EPOCH)
            .and_then(parse_epoch)
            .unwrap_or_default(),
        serial: annotation(lease, SERIAL)
            .and_then(number)
            .map(Serial::new)
            .unwrap_or_default(),
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

/// What a record is written as.
pub(crate) fn content(record: &Record) -> Content {
    let mut annotations = BTreeMap::from([
        (EPOCH.to_owned(), record.epoch.number().to_string()),
        (SERIAL.to_owned(), record.serial.number().to_string()),
    ]);
    if let Some(released) = &record.released {
        annotations.insert(RELEASED.to_owned(), released.to_string());
    }
    if !record.roster.is_empty() {
        let names: Vec<_> = record.roster.iter().map(ToString::to_string).collect();
        annotations.insert(ROSTER.to_owned(), json!(names).to_string());
    }
    Content {
        holder: record.holder.as_ref().map(Identity::to_string),
        annotations,
    }
}

/// One that a store cannot compare exactly fences nothing, and no election came so far.
fn parse_epoch(text: &str) -> Option<Epoch> {
    let epoch = Epoch::new(number(text)?)?;
    Some(Mark::new(epoch, 0)?.epoch)
}

/// A roster is unknown as soon as one of its names is none, or there are too many.
fn parse_roster(text: &str) -> Option<Roster> {
    let names: Vec<String> = serde_json::from_str(text).ok()?;
    let names: Result<Vec<_>, _> = names.iter().map(|name| NodeName::new(name)).collect();
    Roster::of(names.ok()?).ok()
}

/// Digits only: "+1", "-1" and what is larger than a number of ours are unknown.
fn number(text: &str) -> Option<u64> {
    let are_digits = text.bytes().all(|octet| octet.is_ascii_digit());
    are_digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
