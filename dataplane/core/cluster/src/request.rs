//! What is asked of the API server, and what it answers.
//!
//! Covers rule E3: there is no write without a condition, and no answer is taken for more than it says.

use lns_tables::time::Instant;

use crate::record::{Record, Revision, Stored};

/// Which request an answer is for: when it was given out, or one more than the one before. One is out
/// at a time; an answer to another is too late.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

impl RequestId {
    /// That of a request at `now` which comes after this one.
    pub(crate) fn next(self, now: Instant) -> Self {
        Self(now.as_nanos().max(self.0.saturating_add(1)))
    }
}

/// A request. It is sent at once: what follows from it is counted from when it was given out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Request {
    /// To be given back with the answer.
    pub id: RequestId,
    /// What to do.
    pub operation: Operation,
}

/// What to do with the Lease.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Operation {
    /// Read it, from the store and from no cache.
    Read,
    /// Write it, if it is still at `base`; create it, if there is no base.
    Write {
        /// What it shall say.
        record: Record,
        /// The version that it must have.
        base: Option<Revision>,
    },
}

/// What came of a request.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Answer {
    /// It was read; there may be none.
    Found(Option<Stored>),
    /// It was written, and is at this revision now.
    Written(Revision),
    /// It was not written: it is not at the base, or is there, or is not.
    Conflict,
    /// Anything else: no answer, or one that does not say whether it was done.
    Unknown,
}
