//! What is done each second: who is there, who is asked, who is on the roster.

use std::collections::BTreeMap;

use lns_cluster::journal::Mark;
use lns_cluster::member::{Aside, Side};
use lns_datapath::clock;
use lns_lease::Notes;
use lns_peers::wire::{Message, Position, Question};
use tracing::{debug, info};

use super::{Back, Crew, text};

impl Crew {
    pub(super) async fn look(&mut self) {
        self.list_peers();
        self.hear_tidings().await;
        self.stand_aside().await;
        self.say_how_it_stands();
        let (side, _) = self.member.side();
        match side {
            Side::Following => self.ask_master(),
            Side::Serving => {
                self.keep_roster().await;
                if self.member.is_unsure() {
                    self.ask_again().await;
                }
                let position = self.position().await;
                self.own = position
                    .and_then(|it| Mark::new(it.epoch, it.seq))
                    .or(self.own);
                self.confirm().await;
            }
            Side::Claiming | Side::Reading | Side::Asking => {}
        }
        if self.is_unfounded() {
            self.read_fence();
        }
        if self.store_away.is_none() && side == Side::Following {
            self.member.handle_store(clock::now());
        }
    }

    /// Whether somebody may have to found the cluster: nobody holds the Lease, or it lists nobody who could.
    pub(super) fn is_unfounded(&self) -> bool {
        let standing = self.standing.borrow();
        standing.seen.holder.is_none() || standing.seen.roster.is_empty()
    }

    /// What all on the roster say that they have, they know of: it need not rest for them. One that says nothing
    /// more is on the roster for as long as it may forward.
    async fn confirm(&self) {
        let roster = self.standing.borrow().seen.roster.clone();
        let others = roster.iter().filter(|node| **node != self.parts.me);
        let positions = others.map(|node| self.positions.get(node).copied());
        let all: Option<Vec<Mark>> = positions.collect();
        let confirmed = match all {
            Some(positions) => positions.into_iter().min().or(self.own),
            None => None,
        };
        if let Some(confirmed) = confirmed {
            self.tell(move |control, _| {
                control
                    .keeper
                    .handle_confirmed(&mut control.node, confirmed);
            })
            .await;
        }
    }

    fn list_peers(&self) {
        let nodes = self.parts.directory.nodes.borrow();
        let peers: BTreeMap<_, _> = nodes
            .entries
            .iter()
            .filter_map(|(node, entry)| Some((node.clone(), entry.state.peer?)))
            .collect();
        if let Err(full) = self.parts.peers.list(&peers) {
            debug!("{full}");
        }
    }

    fn say_how_it_stands(&mut self) {
        let is_fenced = self.member.aside() == Aside::Fenced;
        let is_ready = self.member.is_loaded() && self.member.fresh().is_some() && !is_fenced;
        let applied = self.reached();
        let peer = self.parts.peer;
        let notes = match self.notes() {
            Ok(notes) => Some(notes),
            Err(problem) => {
                debug!("what the node says of itself is not all told: {problem}");
                None
            }
        };
        self.parts.announcing.state.send_if_modified(|state| {
            let before = state.clone();
            state.ready = is_ready;
            state.loaded = self.member.is_loaded().then_some(applied);
            state.peer = Some(peer);
            if let Some(notes) = notes {
                state.notes = notes;
            }
            *state != before
        });
        // What is in doubt may be gone at the master, which must not take it for known.
        if let Some(master) = self.parts.master.other()
            && self.doubt.is_none()
        {
            let position = Position {
                epoch: applied.epoch,
                seq: applied.seq,
            };
            // It says so again in a second.
            let _lost = self.speaker.send(&master, Message::Applied(position));
        }
    }

    /// Up to which change it has all records: a master has those that it made.
    pub(super) fn reached(&self) -> Mark {
        let own = self.own.filter(|_| self.member.side().0 == Side::Serving);
        own.unwrap_or_default().max(self.member.applied())
    }

    fn ask_master(&mut self) {
        let Some(master) = self.parts.master.other() else {
            return;
        };
        if core::mem::replace(&mut self.is_asking, true) {
            return;
        }
        let (speaker, sent) = (self.speaker.clone(), clock::now());
        self.beside.spawn(async move {
            Back::Position(sent, speaker.ask(&master, Question::Position).await)
        });
    }

    /// Who is there goes onto the roster, who is gone for long off it.
    async fn keep_roster(&mut self) {
        let now = clock::now();
        for (node, entry) in &self.parts.directory.nodes.borrow().entries {
            if entry.is_current(now) {
                self.attendance.handle_seen(node, now);
            }
        }
        for node in self.connected.keys() {
            self.attendance.handle_seen(node, now);
        }
        let before = self.standing.borrow().seen.roster.clone();
        let roster = self.attendance.roster(&self.parts.me, &before, now);
        if self.roster.as_ref() != Some(&roster) {
            info!(nodes = %text(&roster), "the roster");
            let _ended = self
                .parts
                .lease
                .roster(roster.clone(), Notes::default())
                .await;
            self.roster = Some(roster);
        }
    }
}
