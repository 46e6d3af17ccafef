//! What of a record is worth a look when it changes: a renewal is not.

use kube::api::DynamicObject;
use lns_cluster::{Epoch, Identity, Record};

use crate::record::parse;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Gist {
    holder: Option<Identity>,
    epoch: Epoch,
    released: Option<Identity>,
}

impl Gist {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            holder: record.holder.clone(),
            epoch: record.epoch,
            released: record.released.clone(),
        }
    }

    pub(super) fn in_lease(lease: &DynamicObject) -> Option<Self> {
        Some(Self::of(&parse(lease)?.record))
    }
}
