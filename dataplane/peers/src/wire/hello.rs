//! Who is there: the first frame of each side, and how a connection is refused or ends.

use core::fmt;

use lns_cluster::Identity;

use crate::cluster::ClusterId;
use crate::limits::TEXT;

/// The version of the channel that this is.
pub const VERSION: u16 = 1;

/// The oldest one that it still speaks: that of the release before.
pub const OLDEST: u16 = 1;

/// What a member says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Of which cluster it is.
    pub cluster: ClusterId,
    /// Which node it is, and which incarnation of it.
    pub identity: Identity,
    /// The newest version of the channel that it speaks.
    pub version: u16,
    /// The oldest one.
    pub oldest: u16,
    /// What else it can do.
    pub capabilities: Capabilities,
    /// Of who opens the connection: how many it has opened before. Of two that one side has opened the
    /// later one is kept.
    pub dial: u64,
    /// The release, for people.
    pub software: String,
}

impl Hello {
    /// The version that both speak, if there is one.
    pub(crate) fn common(&self, other: &Self) -> Option<u16> {
        let version = self.version.min(other.version);
        (version >= self.oldest && version >= other.oldest).then_some(version)
    }
}

/// What a member can do, a bit each. Bits that are not known are kept and mean nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// It takes packets that are handed over by [`data`](crate::data).
    pub const DATA: Self = Self(1);

    /// Whether it can do all of this.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Why a connection is not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Why.
    pub why: RefusedFor,
    /// The same for people, with what was found and what was expected.
    pub words: String,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RefusedFor {
    /// The greeting cannot be read.
    Greeting,
    /// It is of another cluster.
    Cluster,
    /// The certificate is for another node.
    Name,
    /// It says that it is the node that it speaks to.
    OwnName,
    /// There is no version that both speak.
    Version,
    /// There is another connection between the two, which is kept.
    Duplicate,
    /// There are too many peers.
    Full,
    /// The process ends.
    Leaving,
    /// Something that this version does not know.
    Other,
}

/// Why a connection ends that was taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Goodbye {
    /// The process ends.
    Leaving,
    /// There is a better connection between the two.
    Replaced,
    /// The other side has sent what cannot be followed.
    Stream,
    /// Something that this version does not know.
    Other,
}

impl Refused {
    /// With words of at most [`TEXT`] octets; what is beyond is left out.
    pub(crate) fn new(why: RefusedFor, words: impl Into<String>) -> Self {
        let mut words = words.into();
        words.truncate(words.floor_char_boundary(TEXT));
        Self { why, words }
    }
}

impl RefusedFor {
    const ALL: [Self; 8] = [
        Self::Greeting,
        Self::Cluster,
        Self::Name,
        Self::OwnName,
        Self::Version,
        Self::Duplicate,
        Self::Full,
        Self::Leaving,
    ];

    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Cluster => "cluster",
            Self::Name => "name",
            Self::OwnName => "own_name",
            Self::Version => "version",
            Self::Duplicate => "duplicate",
            Self::Full => "full",
            Self::Leaving => "leaving",
            Self::Other => "other",
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Greeting => 1,
            Self::Cluster => 2,
            Self::Name => 3,
            Self::OwnName => 4,
            Self::Version => 5,
            Self::Duplicate => 6,
            Self::Full => 7,
            Self::Leaving => 8,
        }
    }

    pub(super) fn of(code: u8) -> Self {
        let known = Self::ALL.into_iter().find(|why| why.code() == code);
        known.unwrap_or(Self::Other)
    }
}

impl Goodbye {
    const ALL: [Self; 3] = [Self::Leaving, Self::Replaced, Self::Stream];

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Leaving => 1,
            Self::Replaced => 2,
            Self::Stream => 3,
        }
    }

    pub(super) fn of(code: u8) -> Self {
        let known = Self::ALL.into_iter().find(|why| why.code() == code);
        known.unwrap_or(Self::Other)
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leaving => "it leaves",
            Self::Replaced => "there is a better connection",
            Self::Stream => "it cannot follow what we send",
            Self::Other => "for a reason that this version does not know",
        })
    }
}
