//! What has been said, and what was not taken, counted.

use core::sync::atomic::{AtomicU64, Ordering};

use lns_cluster::{Epoch, Identity};

use crate::wire::{Capabilities, Kind, Unreadable};

/// Why a frame of a peer was not taken. The connection goes on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NotTaken {
    /// It was made under an older epoch than we know.
    OldEpoch,
    /// Its kind is of a newer version.
    UnknownKind,
    /// It cannot be read.
    Malformed,
    /// It says more than is allowed.
    TooLong,
    /// Greetings are said once.
    Unexpected,
    /// The peer asks more than may wait at once. It was told.
    Busy,
    /// An answer to something that nobody waits for (any more).
    Unasked,
    /// The owner of this member has not taken what came before.
    Full,
}

impl NotTaken {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::OldEpoch,
        Self::UnknownKind,
        Self::Malformed,
        Self::TooLong,
        Self::Unexpected,
        Self::Busy,
        Self::Unasked,
        Self::Full,
    ];

    /// The value of a metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OldEpoch => "old_epoch",
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Unexpected => "unexpected",
            Self::Busy => "busy",
            Self::Unasked => "unasked",
            Self::Full => "full",
        }
    }
}

impl From<Unreadable> for NotTaken {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Unknown(_) => Self::UnknownKind,
            Unreadable::Malformed(_) => Self::Malformed,
            Unreadable::TooLong(_) => Self::TooLong,
        }
    }
}

/// What has passed between this member and one peer, over all connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerFigures {
    /// The peer, if it is connected.
    pub connected: Option<Identity>,
    /// Its version of the channel; 0 while it is not connected.
    pub version: u16,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The highest epoch that it has told.
    pub epoch: Epoch,
    /// How often it was connected.
    pub connections: u64,
    /// Frames that were written, by kind.
    pub sent: Vec<(Kind, u64)>,
    /// Frames that were taken, by kind.
    pub received: Vec<(Kind, u64)>,
    /// What gave way before it was written: the newest of what may be lost, by kind.
    pub dropped: Vec<(Kind, u64)>,
    /// Frames that were not taken, by reason.
    pub not_taken: Vec<(NotTaken, u64)>,
}

/// Counters by something of which there are `N`.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Tally<N> {
    /// One more of the one of `all` that is `which`.
    pub(crate) fn add<T: PartialEq>(&self, all: &[T; N], which: &T) {
        let at = all.iter().position(|each| each == which);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that are not zero.
    pub(crate) fn read<T: Copy>(&self, all: &[T; N]) -> Vec<(T, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let each = all.iter().copied().zip(counts);
        each.filter(|(_, count)| *count > 0).collect()
    }
}

/// The counters of one peer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    sent: Tally<{ Kind::ALL.len() }>,
    received: Tally<{ Kind::ALL.len() }>,
    dropped: Tally<{ Kind::ALL.len() }>,
    not_taken: Tally<{ NotTaken::ALL.len() }>,
}

impl Counters {
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, kind: Kind) {
        self.sent.add(&Kind::ALL, &kind);
    }

    pub(crate) fn received(&self, kind: Kind) {
        self.received.add(&Kind::ALL, &kind);
    }

    pub(crate) fn dropped(&self, kind: Kind) {
        self.dropped.add(&Kind::ALL, &kind);
    }

    pub(crate) fn not_taken(&self, why: NotTaken) {
        self.not_taken.add(&NotTaken::ALL, &why);
    }

    /// What was counted, of a peer that is not connected.
    pub(crate) fn read(&self) -> PeerFigures {
        PeerFigures {
            connected: None,
            version: 0,
            capabilities: Capabilities::default(),
            epoch: Epoch::NONE,
            connections: self.connections.load(Ordering::Relaxed),
            sent: self.sent.read(&Kind::ALL),
            received: self.received.read(&Kind::ALL),
            dropped: self.dropped.read(&Kind::ALL),
            not_taken: self.not_taken.read(&NotTaken::ALL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read_by_kind_and_reason() {
        let counters = Counters::default();
        counters.sent(Kind::Failed);
        counters.sent(Kind::Failed);
        counters.not_taken(Unreadable::Unknown(99).into());
        counters.connected();
        let figures = counters.read();
        assert_eq!(figures.sent, [(Kind::Failed, 2)]);
        assert_eq!(figures.not_taken, [(NotTaken::UnknownKind, 1)]);
        assert!(figures.received.is_empty() && figures.dropped.is_empty());
        assert_eq!(figures.connections, 1);
    }
}
