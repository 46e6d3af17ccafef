//! What is routed to subscribers beside the pools: the prefixes that servers grant, and addresses that lie
//! in no pool. The workers learn the prefixes with the sessions; the machine must send all of it to them.
//!
//! A prefix belongs to the session that it was granted to last. Who had it before goes on without it: a
//! call that hangs, or a netmask that servers give to everybody, ends no session.

use std::collections::{BTreeMap, VecDeque};

use ipnet::Ipv4Net;
use lns_tables::path::{PathUpdate, SlotIndex};

use crate::node::Node;

/// What the machine must change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Packets for this prefix are the subscribers'. It may lie in what is theirs anyway.
    Add(Ipv4Net),
    /// Nobody has it any more.
    Remove(Ipv4Net),
}

/// Who has which prefix.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    sessions: BTreeMap<Ipv4Net, SlotIndex>,
    /// How often each prefix is wanted: one may be somebody's address and another's route.
    reached: BTreeMap<Ipv4Net, u32>,
    changes: VecDeque<Reach>,
}

impl Routes {
    /// Whether this session has the prefix.
    pub(crate) fn has(&self, route: Ipv4Net, slot: SlotIndex) -> bool {
        self.sessions.get(&route) == Some(&slot)
    }

    pub(crate) fn reach(&mut self, net: Ipv4Net) {
        let count = self.reached.entry(net).or_default();
        *count = count.saturating_add(1);
        if *count == 1 {
            self.changes.push_back(Reach::Add(net));
        }
    }

    pub(crate) fn give_up(&mut self, net: Ipv4Net) {
        let Some(count) = self.reached.get_mut(&net) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.reached.remove(&net);
            self.changes.push_back(Reach::Remove(net));
        }
    }
}

impl Node {
    /// The next change of what the machine must send to the subscribers' interface, oldest first. What it
    /// sends there by the manifest stays, whatever is removed here.
    pub fn poll_reach(&mut self) -> Option<Reach> {
        self.routes.changes.pop_front()
    }

    /// Gives a session that is up the prefixes that were granted to it.
    pub(crate) fn set_routes(&mut self, slot: SlotIndex) {
        let Some(granted) = self
            .sessions
            .get_mut(slot)
            .and_then(|session| session.granted.as_deref_mut())
        else {
            return;
        };
        let wanted = granted.grant.routes.iter().copied();
        // What it was given once and lost since is the other's.
        let new: Vec<Ipv4Net> = wanted
            .filter(|route| !granted.routes.contains(route))
            .collect();
        granted.routes.extend(&new);
        for route in new {
            self.give_route(slot, route);
        }
    }

    fn give_route(&mut self, slot: SlotIndex, route: Ipv4Net) {
        let before = self.routes.sessions.insert(route, slot);
        self.path.push_back(PathUpdate::SetRoute { slot, route });
        self.routes.reach(route);
        if let Some(loser) = before.filter(|loser| *loser != slot) {
            self.touch(loser);
        }
    }

    /// Gives a restored session the prefixes that it has and did not have `before`, and takes back those
    /// that it has no more.
    pub(crate) fn restore_routes(
        &mut self,
        slot: SlotIndex,
        before: &[Ipv4Net],
        now: &[(Ipv4Net, bool)],
    ) {
        let gone: Vec<Ipv4Net> = before
            .iter()
            .filter(|route| now.iter().all(|(it, _)| it != *route))
            .copied()
            .collect();
        self.clear_routes(slot, &gone);
        for &(route, has) in now {
            let had = before.contains(&route);
            if has && !self.routes.has(route, slot) {
                self.give_route(slot, route);
                if had {
                    self.routes.give_up(route);
                }
            } else if !had {
                // Lost since: it is reached for the sake of whoever has it, and given up with this one.
                self.routes.reach(route);
            }
        }
    }

    /// Takes prefixes back that a session had. Those that it lost to another are the other's.
    pub(crate) fn clear_routes(&mut self, slot: SlotIndex, had: &[Ipv4Net]) {
        for &route in had {
            // Wanted once by each that was given it.
            self.routes.give_up(route);
            if self.routes.sessions.get(&route) == Some(&slot) {
                self.routes.sessions.remove(&route);
                self.path.push_back(PathUpdate::ClearRoute { slot, route });
            }
        }
    }
}
