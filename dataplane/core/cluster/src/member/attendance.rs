//! Who is on the roster: whoever is there, and whoever may still be forwarding (spec: cluster, 1).
//!
//! A node that is gone stays on it for S: until then it may forward by what it knew, so its promise is
//! needed and what is freed waits for it. Only a master asks for the roster, and writes it.

use core::time::Duration;
use std::collections::BTreeMap;

use lns_tables::time::Instant;

use crate::record::NodeName;
use crate::roster::Roster;

/// When which node was there.
#[derive(Debug)]
pub struct Attendance {
    /// How long after it was seen last a node may still be forwarding.
    lasts: Duration,
    seen: BTreeMap<NodeName, Instant>,
}

impl Attendance {
    /// Of a cluster where a node that is gone may go on forwarding for so long
    /// ([`Times::outlasts`](super::Times::outlasts)).
    pub const fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            seen: BTreeMap::new(),
        }
    }

    /// A node is there.
    pub fn handle_seen(&mut self, node: &NodeName, now: Instant) {
        match self.seen.get_mut(node) {
            Some(at) => *at = (*at).max(now),
            None => drop(self.seen.insert(node.clone(), now)),
        }
    }

    /// A roster that somebody else wrote: whoever is on it and was never seen counts from now.
    pub fn handle_roster(&mut self, roster: &Roster, now: Instant) {
        for node in roster.iter() {
            if !self.seen.contains_key(node) {
                self.seen.insert(node.clone(), now);
            }
        }
    }

    /// The roster that there should be, with `me` on it. Where there are more than a roster takes, those that
    /// were there before stay.
    pub fn roster(&mut self, me: &NodeName, before: &Roster, now: Instant) -> Roster {
        let lasts = self.lasts;
        self.seen.retain(|_, at| now.since(*at) <= lasts);
        let mut roster = Roster::lone(me.clone());
        let (stay, come): (Vec<_>, Vec<_>) =
            self.seen.keys().partition(|node| before.contains(node));
        for node in stay.into_iter().chain(come) {
            if roster.insert(node.clone()).is_err() {
                break;
            }
        }
        roster
    }

    /// How long ago a node was there; `None`: longer than counts.
    pub fn silence(&self, node: &NodeName, now: Instant) -> Option<Duration> {
        self.seen.get(node).map(|at| now.since(*at))
    }
}
