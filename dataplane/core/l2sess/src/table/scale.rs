//! The sizes of a table's parts, each with its reason.

/// Shards: as many threads may add at once, if their subscribers are of different ones. Far more than
/// a machine has workers, so that they seldom meet.
#[cfg(not(loom))]
pub(super) const SHARDS: usize = 64;
#[cfg(loom)]
pub(super) const SHARDS: usize = 2;

/// Locks of buckets. They are held for a few instructions.
#[cfg(not(loom))]
pub(super) const BUCKET_LOCKS: usize = 256;
#[cfg(loom)]
pub(super) const BUCKET_LOCKS: usize = 1;

/// Seconds of a wheel's turn. Who is due later is looked at once in a turn: that is also how long a
/// timeout that was shortened may take to free what it ended.
#[cfg(not(loom))]
pub(super) const TURN: u32 = 128;
#[cfg(loom)]
pub(super) const TURN: u32 = 4;

/// How often a reader begins anew because records were taken out of the bucket under it, before it
/// says that there is no such flow. Each time at least one record has left this very bucket.
pub(super) const ATTEMPTS: usize = 8;

/// Records that a reader passes before it begins anew: a bucket holds one or two.
pub(super) const STEPS: usize = 256;

/// Flows whose buckets and records the caches of a processor keep. No gain in meeting them ahead.
pub(super) const FEW: u32 = 20_000;

/// Records under one hold of a shard's lock: some tens of microseconds.
pub(super) const HOLD: usize = 64;

/// Changes of class that an add sees to, of those that hits have left for whoever has the lock. A flow
/// of TCP has three in its life, so that adds alone keep up with them.
pub(super) const LOOKS_PER_ADD: usize = 4;

/// Shards that are asked for a flow that gives way before the table is said to be full.
pub(super) const EVICTIONS: usize = 4;

/// Flows that leave a port for one that comes: more than one, so that a limit that was lowered is
/// reached in the end.
pub(super) const EVICTED_PER_ADD: usize = 2;

/// Records that one call of a listing looks at beyond those it lists.
pub(super) const LISTED: u32 = 1 << 16;

/// Deltas that a shard keeps for a follower: half a second of 130,000 changes in a second, in 6 MiB
/// over all shards, which are there only while somebody follows.
pub(super) const NEWS: usize = 1_024;
