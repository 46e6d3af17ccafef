//! Whether a packet's session is this node's to forward for, or has its home at another one.

use core::sync::atomic::AtomicU64;

use lns_l2sess::ChainId;

use super::{Batch, Meter};
use crate::handing::{Home, Peer};
use crate::limits::{
    UNKNOWN_DOWN_BURST, UNKNOWN_DOWN_PER_SECOND, UNKNOWN_UP_BURST, UNKNOWN_UP_PER_SECOND,
};
use crate::stats::DropReason;
use crate::tables::Found;

const UP: Meter = Meter::new(UNKNOWN_UP_PER_SECOND, UNKNOWN_UP_BURST);
const DOWN: Meter = Meter::new(UNKNOWN_DOWN_PER_SECOND, UNKNOWN_DOWN_BURST);

/// How much one worker has handed over that nobody here knows.
#[derive(Debug, Default)]
pub struct Unknown {
    up: AtomicU64,
    down: AtomicU64,
}

/// From where the packets of a batch came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Came {
    /// From a LAC or the core, to this node.
    Here,
    /// To another node, which has handed them over.
    Handed,
}

/// What a node that is not the home of sessions does with a batch of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    /// `None`: nobody knows where.
    home: Option<Peer>,
    came: Came,
    unknown: &'a Unknown,
}

impl<'a> Batch<'a> {
    /// The same batch, at a node of a cluster.
    #[must_use]
    pub const fn with_home(self, home: Home, came: Came, unknown: &'a Unknown) -> Self {
        let home = match home {
            Home::Here => return self,
            Home::Peer(peer) => Some(peer),
            Home::Nowhere => None,
        };
        Self {
            member: Some(Member {
                home,
                came,
                unknown,
            }),
            ..self
        }
    }

    /// The node that a packet of this session is to be handed to; `None`: it is forwarded here.
    ///
    /// # Errors
    /// It is dropped.
    ///
    /// # Cost
    /// At the master, or alone: one compare. Else, of a session with policies, one look at them.
    pub(super) fn elsewhere(&self, found: &Found<'_>) -> Result<Option<Peer>, DropReason> {
        match &self.member {
            Some(member) if self.is_homed(found) => member.peer().map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The node that is asked about a data message of nobody's that is known here.
    pub(super) fn unknown_up(&self, reason: DropReason) -> Result<Peer, DropReason> {
        self.unknown(&UP, |unknown| &unknown.up, reason)
    }

    /// The node that is asked about a packet for an address that nobody here has.
    pub(super) fn unknown_down(&self, reason: DropReason) -> Result<Peer, DropReason> {
        self.unknown(&DOWN, |unknown| &unknown.down, reason)
    }

    fn unknown(
        &self,
        meter: &Meter,
        state: impl Fn(&Unknown) -> &AtomicU64,
        reason: DropReason,
    ) -> Result<Peer, DropReason> {
        // What is unknown to all is so: it is counted as what it is, and not as something of the cluster's.
        let member = self.member.as_ref();
        let member = member.filter(|member| member.came == Came::Here && member.home.is_some());
        let member = member.ok_or(reason)?;
        let peer = member.peer()?;
        if !meter.allows(state(member.unknown), self.now) {
            return Err(DropReason::UnknownRate);
        }
        Ok(peer)
    }

    /// Whether what becomes of a packet depends on those before it.
    fn is_homed(&self, found: &Found<'_>) -> bool {
        let view = &found.view;
        let tracks = || {
            let chain = self.policies.chain(view.chain);
            chain.is_some_and(lns_l2sess::policy::Chain::tracks)
        };
        view.sequencing || view.policer.is_some() || (view.chain != ChainId::NONE && tracks())
    }
}

impl Member<'_> {
    fn peer(&self) -> Result<Peer, DropReason> {
        match self.came {
            Came::Handed => Err(DropReason::NotHome),
            Came::Here => self.home.ok_or(DropReason::HomeUnknown),
        }
    }
}
