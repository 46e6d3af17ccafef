//! The API server, as far as an election needs it: one Lease with a revision, read and written one request after the
//! other, whatever happens to requests and answers on their way; deleted and edited by hand, and put back with its
//! store to an earlier state.

use lns_cluster::{Answer, Epoch, Identity, Operation, Record, Revision, Roster, Stored};

/// What of a Lease is worth a look when it changes: a renewal is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Gist {
    pub(super) holder: Option<Identity>,
    pub(super) epoch: Epoch,
    pub(super) released: Option<Identity>,
}

impl Gist {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            holder: record.holder.clone(),
            epoch: record.epoch,
            released: record.released.clone(),
        }
    }
}

/// The server.
#[derive(Debug, Default)]
pub(super) struct Api {
    lease: Option<Stored>,
    revision: u64,
    saved: Option<(Option<Stored>, u64)>,
    /// How often its store was put back: what was under way before is gone.
    pub(super) life: u64,
}

impl Api {
    /// Does what is asked.
    pub(super) fn serve(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Read => Answer::Found(self.lease.clone()),
            Operation::Write { record, base } => {
                let current = self.lease.as_ref().map(|stored| &stored.revision);
                if current == base.as_ref() {
                    Answer::Written(self.put(record.clone()))
                } else {
                    Answer::Conflict
                }
            }
        }
    }

    fn put(&mut self, record: Record) -> Revision {
        self.revision += 1;
        let revision = Revision(self.revision.to_string().into());
        self.lease = Some(Stored {
            record,
            revision: revision.clone(),
        });
        revision
    }

    /// What the Lease says.
    pub(super) fn record(&self) -> Option<&Record> {
        Some(&self.lease.as_ref()?.record)
    }

    pub(super) fn gist(&self) -> Option<Gist> {
        self.record().map(Gist::of)
    }

    // By hand.

    pub(super) fn delete(&mut self) {
        self.lease = None;
    }

    fn edit(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(mut stored) = self.lease.take() {
            change(&mut stored.record);
            self.put(stored.record);
        }
    }

    pub(super) fn empty(&mut self) {
        self.edit(|record| record.holder = None);
    }

    pub(super) fn unnumber(&mut self) {
        self.edit(|record| record.epoch = Epoch::NONE);
    }

    pub(super) fn unlist(&mut self) {
        self.edit(|record| record.roster = Roster::default());
    }

    pub(super) fn name(&mut self, holder: Identity) {
        self.edit(|record| record.holder = Some(holder));
    }

    /// Keeps what there is, to be put back later.
    pub(super) fn save(&mut self) {
        self.saved = Some((self.lease.clone(), self.revision));
    }

    /// Somebody writes into the Lease what was saved.
    pub(super) fn restore(&mut self) {
        if self.lease.is_some()
            && let Some((Some(stored), _)) = self.saved.clone()
        {
            self.put(stored.record);
        }
    }

    /// The whole store is as it was when it was saved, its count of revisions too.
    pub(super) fn rewind(&mut self) {
        if let Some((lease, revision)) = self.saved.take() {
            (self.lease, self.revision) = (lease, revision);
            self.life += 1;
        }
    }
}
