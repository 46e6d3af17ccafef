//! What stands in the Lease `<cluster>.master`: the holder, the epoch, the serial of the last write and
//! the roster.
//!
//! Covers rule E5 (an identity is one incarnation of one node) and the epoch of E4. How the record is
//! written as a Lease with annotations is the driver's.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use lns_tables::time::Instant;
use thiserror::Error;

use crate::roster::Roster;

/// The name of a node, as the API server has it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeName(Arc<str>);

/// Who holds: a node, and which of its incarnations.
///
/// As text `node/podUid/bootId/nonce`. A process that starts again, or a machine, is another holder
/// (E5): what its predecessor held it cannot know to be still its own.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    node: NodeName,
    incarnation: Arc<str>,
}

/// Why a text is no name or no identity.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum IdentityError {
    /// The name of a node is not empty and has no slash.
    #[error("this is no name of a node")]
    NoNode,
    /// An incarnation is not empty: without one, a restart could not be told.
    #[error("the incarnation is missing")]
    NoIncarnation,
}

/// The number of a mastership. It grows with each, and is the fence.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(u64);

/// Which of its writer's writes this is: when it was given out on the writer's clock, or one more than
/// the one before. Together with the holder it tells any two writes apart, which `renewTime` does not: a
/// wall clock that is set back may show the same time twice.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Serial(u64);

/// The API server's resource version of the record: what a conditional write is conditional on.
/// Compared for equality only.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Revision(pub Arc<str>);

/// What stands in the Lease.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Record {
    /// Who holds; nobody after a release, or after somebody emptied it by hand.
    pub holder: Option<Identity>,
    /// The epoch of the holder, or of the last one.
    pub epoch: Epoch,
    /// The holder's last write.
    pub serial: Serial,
    /// Who released it, if that is why nobody holds (E6, E9).
    pub released: Option<Identity>,
    /// The nodes of the cluster. Only the holder changes it.
    pub roster: Roster,
}

/// A record as it was read, with its revision.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Stored {
    /// What it says.
    pub record: Record,
    /// Which version of it that is.
    pub revision: Revision,
}

impl NodeName {
    /// A name.
    ///
    /// # Errors
    /// It is empty or has a slash.
    pub fn new(name: &str) -> Result<Self, IdentityError> {
        if name.is_empty() || name.contains('/') {
            return Err(IdentityError::NoNode);
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Identity {
    /// The incarnation of a node.
    ///
    /// # Errors
    /// The incarnation is empty.
    pub fn new(node: NodeName, incarnation: &str) -> Result<Self, IdentityError> {
        if incarnation.is_empty() {
            return Err(IdentityError::NoIncarnation);
        }
        Ok(Self {
            node,
            incarnation: incarnation.into(),
        })
    }

    /// Which node it is.
    pub const fn node(&self) -> &NodeName {
        &self.node
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let (node, incarnation) = text.split_once('/').ok_or(IdentityError::NoIncarnation)?;
        Self::new(NodeName::new(node)?, incarnation)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.incarnation)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Epoch {
    /// Before the first.
    pub const NONE: Self = Self(0);

    /// The largest that the annotation takes, a signed number of 64 bits.
    pub const LAST: Self = Self(i64::MAX.unsigned_abs());

    /// The epoch of this number, if the annotation takes it.
    pub const fn new(number: u64) -> Option<Self> {
        if number > Self::LAST.0 {
            return None;
        }
        Some(Self(number))
    }

    /// The one after it (E4). None after the last: a number that cannot grow fences nothing.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1))
    }

    /// As a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Serial {
    /// The serial of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// That of a write at `now` which comes after this one.
    #[must_use]
    pub fn next(self, now: Instant) -> Self {
        Self(now.as_nanos().max(self.0.saturating_add(1)))
    }

    /// As a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Record {
    /// Whether this incarnation holds, with this epoch (E5, E7).
    pub fn names(&self, holder: &Identity, epoch: Epoch) -> bool {
        self.epoch == epoch && self.holder.as_ref() == Some(holder)
    }

    /// Whether the two are different writes. A revision tells that too, unless a store was put back and
    /// gives it a second time.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let key = |record: &Self| (record.epoch, record.serial);
        key(self) != key(other) || self.holder != other.holder || self.released != other.released
    }

    /// Whether this is the release of exactly what `before` says (E9).
    pub(crate) fn releases(&self, before: &Self) -> bool {
        self.holder.is_none()
            && self.epoch == before.epoch
            && before.holder.is_some()
            && self.released == before.holder
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_without_node_or_incarnation_is_none() {
        let parsed = |text: &str| text.parse::<Identity>();
        assert_eq!(parsed("/pod/boot/1"), Err(IdentityError::NoNode));
        assert_eq!(parsed("a"), Err(IdentityError::NoIncarnation));
        assert_eq!(parsed("a/"), Err(IdentityError::NoIncarnation));
        assert_eq!(parsed(""), Err(IdentityError::NoIncarnation));
    }

    #[test]
    fn the_last_epoch_has_no_next() {
        assert_eq!(Epoch::LAST.next(), None);
        assert_eq!(Epoch::new(u64::MAX), None);
        assert_eq!(Epoch::NONE.next(), Epoch::new(1));
    }

    proptest! {
        #[test]
        fn an_identity_is_read_as_it_is_written(node in "[a-z0-9.-]{1,20}", rest in "[a-z0-9/-]{1,60}") {
            let identity = Identity::new(NodeName::new(&node)?, &rest)?;
            prop_assert_eq!(identity.to_string().parse(), Ok(identity));
        }
    }
}
