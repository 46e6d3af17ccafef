//! What a node itself has seen of the record, and what it may conclude (rules E2, E4, E9, E10).
//!
//! Times in a record are never compared with a clock: only this node's own clock counts, from when it
//! saw something change.
//!
//! E10 is about a store that is put back to an earlier state. A candidate that looks away sees the same
//! record before and after it, and cannot know that somebody renewed it in between and still lives by
//! that renewal. So what was not looked at for longer than [`Timing::gap`](crate::Timing::gap) is seen
//! anew, and D begins again.
//!
//! It is the same with a Lease that somebody puts back by hand: what it says is what it said, and in between
//! it was somebody's. That is why a change is a change of the revision, whatever the record says. The
//! price is that whoever edits a label of a Lease without a living holder makes candidates wait.

use core::ops::Add as _;

use lns_tables::time::Instant;

use crate::profile::Profile;
use crate::record::{Epoch, Identity, Record, Revision, Stored};
use crate::roster::Roster;

/// What a node has seen of the record.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct View {
    /// Nothing before the first look.
    look: Option<Look>,
    /// The highest epoch that was read in the Lease.
    epoch: Epoch,
    /// The last roster that was read in it.
    roster: Roster,
}

/// The last look, and since when it has been the same.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Look {
    /// None: there was no record.
    stored: Option<Stored>,
    /// When what showed it was sent: what was seen is not older than that.
    asked: Instant,
    /// When a change was last seen: it is not younger than that.
    changed: Instant,
    /// The change was the release of what had been seen before.
    released: bool,
}

impl View {
    /// Takes in what a request showed that was sent at `asked`.
    pub(crate) fn see(
        &mut self,
        stored: Option<Stored>,
        asked: Instant,
        now: Instant,
        profile: &Profile,
    ) {
        if let Some(Stored { record, .. }) = &stored {
            self.epoch = self.epoch.max(record.epoch);
            if !record.roster.is_empty() {
                self.roster = record.roster.clone();
            }
        }
        let before = self
            .look
            .take()
            .filter(|before| now.since(before.asked) <= profile.gap());
        let same = before
            .as_ref()
            .is_some_and(|before| !before.differs(stored.as_ref()));
        let (changed, released) = match &before {
            Some(before) if same => (before.changed, before.released),
            Some(before) => (now, before.is_released_by(stored.as_ref())),
            None => (now, false),
        };
        self.look = Some(Look {
            stored,
            asked,
            changed,
            released,
        });
    }

    /// From when on nobody can have authority by the Lease any more; None before the first look.
    pub(crate) fn free_at(&self, profile: &Profile) -> Option<Instant> {
        let look = self.look.as_ref()?;
        if look.released {
            return Some(look.changed);
        }
        Some(Instant::add(look.changed, profile.wait()))
    }

    /// Until when what was seen may be acted upon.
    pub(crate) fn fresh_until(&self, profile: &Profile) -> Option<Instant> {
        let look = self.look.as_ref()?;
        Some(Instant::add(look.asked, profile.gap()))
    }

    /// The record, if there was one when the node last looked.
    pub fn record(&self) -> Option<&Record> {
        Some(&self.look.as_ref()?.stored.as_ref()?.record)
    }

    /// The revision that a write is to be conditional on; None creates the record.
    pub(crate) fn base(&self) -> Option<Revision> {
        let stored = self.look.as_ref()?.stored.as_ref()?;
        Some(stored.revision.clone())
    }

    /// The highest epoch that was read in the Lease.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last roster that was read, also when the record is gone or has none.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Whether the Lease is known to say anything else than that this one holds with this epoch.
    pub(crate) fn contradicts(&self, holder: &Identity, epoch: Epoch) -> bool {
        let named = self
            .record()
            .is_some_and(|record| record.names(holder, epoch));
        self.epoch > epoch || (self.epoch == epoch && !named)
    }
}

impl Look {
    fn differs(&self, stored: Option<&Stored>) -> bool {
        match (&self.stored, stored) {
            (Some(before), Some(after)) => {
                before.revision != after.revision || before.record.differs(&after.record)
            }
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    fn is_released_by(&self, stored: Option<&Stored>) -> bool {
        match (&self.stored, stored) {
            (Some(before), Some(after)) => after.record.releases(&before.record),
            (None | Some(_), None) | (None, Some(_)) => false,
        }
    }
}
