//! What is shown of it.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use lns_cluster::NodeName;
use lns_datapath::clock;
use lns_store::State;
use lns_tables::time::Instant;

use super::super::view::{Peer, View};
use super::{Crew, FOREIGN};

/// A setting of the store's server that was changed since the start, with which records would be lost (rule S6).
fn would_lose(state: &State) -> Option<String> {
    let State::Up { server, .. } = state else {
        return None;
    };
    let setting = server.unsafe_setting.as_ref()?;
    Some(format!("{} would lose records: {setting}", server.address))
}

impl Crew {
    pub(super) fn show(&self) {
        let now = clock::now();
        let standing = self.standing.borrow();
        let (side, since) = self.member.side();
        let nodes = self.parts.directory.nodes.borrow();
        let known = nodes.entries.keys().chain(standing.seen.roster.iter());
        let names: BTreeSet<&NodeName> = known.chain(self.connected.keys()).collect();
        let peer = |node: &NodeName| {
            let entry = nodes.entries.get(node);
            let is_me = *node == self.parts.me;
            Peer {
                node: node.to_string(),
                is_here: is_me,
                is_connected: is_me || self.connected.contains_key(node),
                is_on_roster: standing.seen.roster.contains(node),
                is_ready: entry.is_some_and(|entry| entry.state.ready && entry.is_current(now)),
                aside: is_me
                    .then(|| self.said_of_aside())
                    .or_else(|| entry.and_then(|entry| entry.state.notes.get("aside")))
                    .map(str::to_owned),
                version: entry.map(|entry| entry.state.version.clone()),
                address: entry.and_then(|entry| entry.state.peer),
                loaded: if is_me {
                    Some(self.reached().to_string())
                } else {
                    entry
                        .and_then(|entry| entry.state.loaded)
                        .map(|it| it.to_string())
                },
                position: self.positions.get(node).map(ToString::to_string),
            }
        };
        let seen = self.parts.fence.seen();
        let gate = seen.state;
        let left = |until: Option<Instant>| until.map(|it| it.since(now).as_secs_f64());
        let view = View {
            node: self.parts.me.to_string(),
            side: side.label(),
            side_seconds: now.since(since).as_secs(),
            election: standing.state.label(),
            why: standing.why.map(lns_cluster::Event::label),
            election_seconds: now.since(standing.since).as_secs(),
            master: self.member.master().map(|(_, it)| it.node().to_string()),
            epoch: self.member.known().number(),
            authority_seconds: self.parts.stamp.left(now).as_secs_f64(),
            control_seconds: left(gate.as_ref().and_then(|it| it.control)),
            data_seconds: left(gate.as_ref().and_then(|it| it.data)),
            announce_seconds: left(gate.as_ref().and_then(|it| it.announce)),
            gate_dropped: gate.map(|it| it.dropped).unwrap_or_default(),
            gate_trouble: seen.trouble,
            lease_trouble: standing.trouble.as_ref().map(ToString::to_string),
            store_trouble: match &self.store_away {
                Some(why) => Some(why.to_string()),
                None => would_lose(&self.parts.redis.state().borrow()),
            },
            records_trouble: self.member.is_foreign().then(|| FOREIGN.to_owned()),
            applied: self.reached().to_string(),
            loaded: self.member.is_loaded(),
            unsure: self.member.is_unsure(),
            aside: self.said_of_aside(),
            switchovers: self.switchovers,
            members: names.into_iter().map(peer).collect(),
        };
        *self
            .parts
            .view
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = view;
    }
}
