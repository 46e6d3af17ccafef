//! What a driver makes known: where its elector stands, and each step that led there.

use lns_cluster::{Authority, Epoch, Event, Identity, Roster, State, Transition};
use lns_tables::time::Instant;

use crate::notes::Notes;
use crate::trouble::Trouble;

/// Where an elector stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Which incarnation of this node.
    pub me: Identity,
    /// Its state.
    pub state: State,
    /// Its right to speak in the cluster's name, as it was when this was made known. It ends at its
    /// deadline even if nothing newer comes: use [`Self::authority`].
    pub authority: Option<Authority>,
    /// The mastership whose gate is to be closed now: answer with [`Handle::closed`](super::Handle::closed)
    /// once nothing leaves in its name any more.
    pub closing: Option<Epoch>,
    /// Since when it is in this state.
    pub since: Instant,
    /// What led to it; nothing yet at the start.
    pub why: Option<Event>,
    /// What the Lease said when it was last read or written.
    pub seen: Seen,
    /// Why it could not be read or written last, if it could not.
    pub trouble: Option<Trouble>,
}

/// What a Lease says. Unknown things are absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Who holds.
    pub holder: Option<Identity>,
    /// The highest epoch that it ever said.
    pub epoch: Epoch,
    /// The last roster that it said.
    pub roster: Roster,
    /// What the master keeps beside it.
    pub notes: Notes,
}

/// A step of an elector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// From where, why, to where.
    pub transition: Transition,
    /// When it was made.
    pub at: Instant,
    /// How many steps before it were not told, because nobody took them.
    pub untold: u32,
}

impl Standing {
    /// Its right to speak in the cluster's name, if it has it at `now` ([`clock`](crate::clock)).
    pub fn authority(&self, now: Instant) -> Option<Authority> {
        self.authority.filter(|authority| now < authority.until)
    }
}
