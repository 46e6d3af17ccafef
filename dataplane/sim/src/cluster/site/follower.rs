//! Following the store: as `dataplane/store/src/follower.rs` has it. All records, tunnels first, then every change; anew
//! where there is a gap, or other data than was read.

use std::collections::VecDeque;

use lns_cluster::journal::Mark;
use lns_cluster::{Epoch, Identity};

use super::{Effect, Env};
use crate::cluster::key::Key;
use crate::cluster::store::{Blob, Entry, Op, Reply};

/// What a follower tells.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Loading,
    Record(Key, Mark, Blob),
    Forgotten(Key, Mark),
    Claim(Epoch, Identity),
    Loaded(Mark),
    Position(Mark),
    CaughtUp,
    Away,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Everything is to be read.
    Anew,
    /// It is being read, of this data.
    Loading(u64),
    /// The stream is followed from here on, of this data.
    Tail(u64, Mark),
}

/// A follower.
#[derive(Debug)]
pub(super) struct Follower {
    stage: Stage,
    /// Something is out.
    is_asking: bool,
    /// The stream is asked for on this connection.
    tails: Option<u64>,
    /// Somebody wants to be told that he has caught up.
    is_wanted: bool,
    until: Option<Mark>,
    has_told: bool,
    told: VecDeque<Told>,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            stage: Stage::Anew,
            is_asking: false,
            tails: None,
            is_wanted: false,
            until: None,
            has_told: false,
            told: VecDeque::new(),
        }
    }
}

impl Follower {
    /// Reads to the end of the stream.
    pub(super) const fn catch_up(&mut self) {
        self.is_wanted = true;
        self.until = None;
    }

    pub(super) fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Up to where the stream was read, if it is followed.
    pub(super) const fn cursor(&self) -> Option<Mark> {
        match self.stage {
            Stage::Tail(_, position) => Some(position),
            Stage::Anew | Stage::Loading(_) => None,
        }
    }

    /// The same, if all of that was taken.
    pub(super) fn reached(&self) -> Option<Mark> {
        self.cursor().filter(|_| self.told.is_empty())
    }

    /// Asks what is to be asked.
    pub(super) fn poll(&mut self, link: Option<(u64, u64)>, env: &mut Env<'_>) {
        let Some((link, origin)) = link else {
            return;
        };
        if let Stage::Loading(of) | Stage::Tail(of, _) = self.stage
            && of != origin
        {
            self.stage = Stage::Anew;
            self.is_asking = false;
        }
        if self.is_asking {
            return;
        }
        match self.stage {
            Stage::Anew => {
                self.told.push_back(Told::Loading);
                self.stage = Stage::Loading(origin);
                self.ask(link, Op::LoadPosition, env);
            }
            Stage::Loading(_) => {}
            Stage::Tail(_, position) => {
                if self.tails != Some(link) {
                    self.tails = Some(link);
                    env.out.push(Effect::Tail(link));
                }
                if self.is_wanted && self.until.is_none() {
                    self.ask(link, Op::Position, env);
                }
                self.catches_up(position);
            }
        }
    }

    fn ask(&mut self, link: u64, op: Op, env: &mut Env<'_>) {
        self.is_asking = true;
        env.out.push(Effect::Store(link, op));
    }

    fn catches_up(&mut self, position: Mark) {
        if self.until.is_some_and(|until| position >= until) {
            self.is_wanted = false;
            self.until = None;
            self.told.push_back(Told::CaughtUp);
        }
    }

    pub(super) fn answered(&mut self, reply: Reply, link: u64, env: &mut Env<'_>) {
        self.is_asking = false;
        match (reply, self.stage) {
            (Reply::Position(until), Stage::Tail(_, position)) => {
                self.until = Some(until);
                self.catches_up(position);
            }
            (Reply::LoadPosition(position), Stage::Loading(_)) => {
                self.ask(link, Op::LoadTunnels(position), env);
            }
            (Reply::Tunnels(position, records), Stage::Loading(_)) => {
                self.tell_records(records);
                self.ask(link, Op::LoadSessions(position), env);
            }
            (Reply::Sessions(position, records), Stage::Loading(origin)) => {
                self.tell_records(records);
                self.has_told = false;
                self.told.push_back(Told::Loaded(position));
                self.until = self.is_wanted.then_some(position);
                self.stage = Stage::Tail(origin, position);
                self.tails = None;
            }
            // Of a reading that was given up.
            _ => {}
        }
    }

    fn tell_records(&mut self, records: Vec<(Key, Mark, Blob)>) {
        let records = records.into_iter();
        self.told
            .extend(records.map(|(key, mark, blob)| Told::Record(key, mark, blob)));
    }

    /// What came behind the position; `None`: some of that is gone.
    pub(super) fn followed(&mut self, entries: Option<Vec<(Mark, Entry)>>) {
        let Stage::Tail(origin, position) = self.stage else {
            return;
        };
        let Some(entries) = entries else {
            self.stage = Stage::Anew;
            self.is_asking = false;
            return;
        };
        self.has_told = false;
        let last = entries.last().map_or(position, |(mark, _)| *mark);
        let is_new = !entries.is_empty();
        for (mark, entry) in entries {
            self.told.push_back(match entry {
                Entry::Put(key, blob) => Told::Record(key, mark, blob),
                Entry::Forget(key) => Told::Forgotten(key, mark),
                Entry::Claim(holder) => Told::Claim(mark.epoch, holder),
            });
        }
        if is_new {
            self.told.push_back(Told::Position(last));
        }
        self.stage = Stage::Tail(origin, last);
    }

    pub(super) fn lose_link(&mut self) {
        self.is_asking = false;
        self.tails = None;
        if let Stage::Loading(_) = self.stage {
            self.stage = Stage::Anew;
        }
        if !core::mem::replace(&mut self.has_told, true) {
            self.told.push_back(Told::Away);
        }
    }
}
