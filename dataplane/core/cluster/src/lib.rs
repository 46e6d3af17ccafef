//! One LNS out of many nodes: who is master, for how long, and with which epoch.
//!
//! [`Elector`] decides for one node. It is fed with what the Lease says, what other members promise and
//! what time it is; it gives out reads and conditional writes of the Lease, questions to members, and
//! the [`Authority`] that everything which leaves in the cluster's name must carry. It opens no
//! connection, reads no clock and draws no number, so what `tests/model` checks exhaustively is what
//! runs.
//!
//! The rules, as they are named in the comments and in `dataplane/SPECIFICATION.md`, section 13:
//!
//! | rule | says | where |
//! |---|---|---|
//! | E1 | authority lasts H from the *send* of the renewal | [`Elector::authority`] |
//! | E2 | a candidate waits D after it saw the record change | [`View`] |
//! | E3 | every write is conditional; an unknown outcome is read first | [`Elector::poll_request`] |
//! | E4 | the acquiring write raises the epoch above all that was ever heard of | [`Epoch::next`] |
//! | E5 | a new incarnation never adopts | [`Identity`] |
//! | E6 | gate closed first, released then | [`Elector::handle_closed`] |
//! | E7 | who is gone from the Lease, or whose authority lapsed, is done with that epoch | [`step`] |
//! | E8 | all decisions are pure, and checked | `tests/model` |
//! | E9 | D is waited after a deletion and an emptied holder too; only a release that follows what was seen saves it | [`View`] |
//! | E10 | what was not looked at for longer than a gap is seen anew | [`View`] |
//!
//! [`journal`] is output commit: nothing of a change leaves before the change is stored. [`member`] is what a
//! node does with all of this: when it claims, takes over, steps down, and what it lets pass.
//!
//! Not here: the driver that speaks with the API server (it stamps `renewTime`, and reads without a
//! resource version, so that no cache answers), the peer channel that carries questions and promises,
//! the gate, the store's fence, and session records.
#![forbid(unsafe_code)]

mod authority;
mod candidacy;
mod elector;
pub mod journal;
mod limits;
pub mod member;
mod profile;
mod promise;
mod record;
mod request;
mod roster;
mod state;
mod view;

pub use authority::Authority;
pub use candidacy::Candidacy;
pub use elector::Elector;
pub use limits::{MEMBERS, TRANSITIONS};
pub use profile::{Profile, ProfileError, Timing};
pub use promise::{Ask, Promise, Refusal};
pub use record::{Epoch, Identity, IdentityError, NodeName, Record, Revision, Serial, Stored};
pub use request::{Answer, Operation, Request, RequestId};
pub use roster::{Roster, RosterFull};
pub use state::{Event, State, Transition, step};
pub use view::View;
