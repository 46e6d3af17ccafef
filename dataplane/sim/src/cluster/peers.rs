//! What members say to each other, as far as the simulator has it (`lns_peers` has the octets), and between whom
//! anything passes.

use core::net::SocketAddr;

use lns_cluster::journal::Mark;
use lns_cluster::{Ask, Epoch, Promise};
use lns_node::{Forward, SessionReport};
use lns_tables::time::Instant;

/// A message: what it says, and the epoch that its sender knew.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) epoch: Epoch,
    pub(super) body: Body,
}

/// What it says.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// The epoch, and no more.
    Alive,
    Ask(Ask),
    Promise(Promise),
    /// Up to where a member has all records.
    Applied,
    /// Where is your stream? Sent at this time of who asks.
    AskPosition(Instant),
    /// There; `None`: who was asked is not the one to say so.
    Position(Instant, Option<Mark>),
    /// What came to a member and is the master's.
    Forward(Forward),
    /// Data of a session that is not known where it came.
    Packet(SocketAddr, Vec<u8>),
    Report(Vec<SessionReport>),
}

impl Body {
    /// Whether an older epoch than is known makes it void (`lns_peers::wire::Kind::is_fenced`).
    pub(super) const fn is_fenced(&self) -> bool {
        match self {
            Self::Applied
            | Self::Position(..)
            | Self::Forward(_)
            | Self::Packet(..)
            | Self::Report(_) => true,
            Self::Alive | Self::Ask(_) | Self::Promise(_) | Self::AskPosition(_) => false,
        }
    }
}

/// Which ways are cut, each in one direction and how often.
#[derive(Debug)]
pub(super) struct Ways {
    sites: usize,
    cut: Vec<u32>,
}

impl Ways {
    pub(super) fn new(sites: usize) -> Self {
        Self {
            sites,
            cut: vec![0; sites * sites],
        }
    }

    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from * self.sites + to] += 1;
    }

    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.cut[from * self.sites + to] -= 1;
    }

    pub(super) fn passes(&self, from: usize, to: usize) -> bool {
        self.cut[from * self.sites + to] == 0
    }

    pub(super) fn heal(&mut self) {
        self.cut.fill(0);
    }
}
