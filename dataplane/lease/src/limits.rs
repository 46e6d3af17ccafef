//! The driver's limits, each with its reason.

use core::time::Duration;

/// Octets of the notes that a master keeps in the Lease: a kibioctet for each node of a full roster.
pub const NOTES: usize = 128 * 1024;

/// Octets of annotations of others that a write keeps. An object has 256 KiB of annotations at most, and
/// what somebody else put there must not keep a master from renewing.
pub(crate) const FOREIGN: usize = 64 * 1024;

/// Commands, promises and questions that wait for the driver. It takes them at once; whoever sends more
/// waits.
pub(crate) const COMMANDS: usize = 64;

/// Transitions that wait to be told. A mastership makes a handful; beyond this the newest is not told.
pub(crate) const TRANSITIONS: usize = 64;

/// Hints of the watch that wait. One is as good as many.
pub(crate) const HINTS: usize = 4;

/// What part of the time between renewals lies between two requests at least, however they end: where
/// every write conflicts, nobody asks without a pause.
pub(crate) const BREATH: f64 = 0.05;

/// Candidates look, and hurry, at times that differ by up to this part of the time between renewals.
pub(crate) const SPREAD: f64 = 0.125;

/// The first and the longest pause before a watch is opened anew.
pub(crate) const WATCH_PAUSE: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(30));

/// A watch that says nothing for so long, or ten renewals if that is longer, is opened anew.
pub(crate) const WATCH_SILENCE: Duration = Duration::from_secs(30);

/// For how many seconds the API server keeps a watch open.
pub(crate) const WATCH_SECONDS: u32 = 290;

/// Nodes whose Leases are kept in mind: those of a full roster, and as many that are gone.
pub(crate) const NODES: usize = 2 * lns_cluster::MEMBERS;

/// The shortest time between two writes of a node's own Lease.
pub(crate) const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);

/// How long a request for a node's own Lease is waited for: nothing hangs on it.
pub(crate) const ANNOUNCE_PATIENCE: Duration = Duration::from_secs(5);

/// How often a write is tried in a row when others write as well.
pub(crate) const TRIES: usize = 3;

/// What a node says is current for so many renewals.
pub(crate) const NODE_LASTS: u32 = 3;
