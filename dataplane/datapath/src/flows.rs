//! Flows and policies from beside the packet path: what lists, ends and sweeps them.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lns_l2sess::graph::{Events, Options};
use lns_l2sess::policy::Policies;
use lns_l2sess::table::{Counts, Flow};
use lns_l2sess::{Classifier, PortId, Seconds};
use lns_tables::path::SlotIndex;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use crate::clock;
use crate::limits::{SWEEP_BUDGET, SWEEP_MILLISECONDS};
use crate::shared::{Published, Shared};

/// The flows of all sessions, and the policies that are in force. It can be cloned and used beside the
/// control: nothing here disturbs the packet path.
#[derive(Clone, Debug)]
pub struct FlowsHandle {
    classifier: Arc<Classifier>,
    policies: Arc<Published<Policies>>,
}

impl FlowsHandle {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            classifier: Arc::clone(&shared.classifier),
            policies: Arc::clone(&shared.policies),
        }
    }

    /// Flows of one session, `most` at most.
    pub fn flows_of(&self, slot: SlotIndex, most: usize) -> Vec<Flow> {
        self.classifier.table().flows_of(port_of(slot), most)
    }

    /// Flows of all sessions, `most` at most, beginning with `from`; and with what to go on, if there may
    /// be more. Those that come or go between two calls may be missed, all others are met once.
    pub fn flows(&self, from: u32, most: usize) -> (Vec<Flow>, Option<u32>) {
        self.classifier.table().flows(from, most)
    }

    /// Ends the flows of one session; returns how many.
    pub fn flush(&self, slot: SlotIndex) -> usize {
        self.classifier.clear(port_of(slot))
    }

    /// Ends all flows; returns how many.
    pub fn flush_all(&self) -> usize {
        self.classifier.clear_all()
    }

    /// Changes what is done where there is a choice. Workers heed it from their next packet on.
    pub fn set_options(&self, options: Options) {
        self.classifier.set_options(options);
    }

    /// How many flows there are, and can be.
    pub fn counts(&self) -> Counts {
        self.classifier.table().counts()
    }

    /// What has happened to flows since the start.
    pub fn events(&self) -> Events {
        self.classifier.events()
    }

    /// The classifier itself, for everything else.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The policies that are in force, with what their rules have counted.
    pub fn policies(&self) -> Arc<Policies> {
        self.policies.current()
    }

    /// The time on the clock of flows.
    pub fn now() -> Seconds {
        Seconds::new(clock::now().as_secs())
    }

    /// Frees what flows have left that were silent for too long, until the other end of `ended` is
    /// closed.
    pub(crate) fn sweep(&self, ended: &UnixStream) {
        loop {
            let mut descriptors = [PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, SWEEP_MILLISECONDS) {
                Ok(0) | Err(Errno::EINTR) => self.sweep_once(Self::now()),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// All that is due at `now`, in pieces, between which others may have the table's locks.
    fn sweep_once(&self, now: Seconds) {
        let policies = self.policies();
        while self.classifier.sweep(&policies, now, SWEEP_BUDGET) {}
    }
}

/// A session is known to the classifier by its slot.
pub(crate) const fn port_of(slot: SlotIndex) -> PortId {
    PortId(slot.0)
}
