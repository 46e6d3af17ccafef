//! The store, as far as what the functions of its library do (`dataplane/store/src/remote/functions.lua`): the fence, records
//! that protect themselves, the stream under marks that grow; a replica that is behind, and what is lost with that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lns_cluster::journal::{Change, Mark, Ticket, Write};
use lns_cluster::{Epoch, Identity, Roster};
use lns_tables::time::Instant;

use super::key::Key;

/// What a record says.
pub(super) type Blob = Arc<[u8]>;

/// Who is master, as far as the store knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fence {
    pub(super) epoch: Epoch,
    pub(super) holder: Identity,
    pub(super) roster: Roster,
}

/// An entry of the stream.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Put(Key, Blob),
    Forget(Key),
    Claim(Identity),
}

/// A question.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Claim {
        mark: Mark,
        holder: Identity,
        roster: Roster,
    },
    Round {
        ticket: Ticket,
        lasting: bool,
        epoch: Epoch,
        holder: Identity,
        writes: Arc<[Write<Key>]>,
    },
    Beat {
        epoch: Epoch,
        holder: Identity,
    },
    /// All marks, for a writer whose claim was taken, or for who began without the store.
    Digest(Asker),
    Fence,
    /// Where the stream ends, for who reads to its end.
    Position,
    /// The same, before a reading of all.
    LoadPosition,
    LoadTunnels(Mark),
    LoadSessions(Mark),
}

/// Who wants all marks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asker {
    Writer,
    /// The crew, in this mastership.
    Crew(Epoch),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// The claim was taken; the fence had it already.
    Claimed {
        again: bool,
    },
    /// All of it is written.
    Written {
        ticket: Ticket,
        lasting: bool,
    },
    /// Replicas have it, or were waited for.
    Replicated(Ticket),
    Beaten,
    /// For the writer.
    Refused(Refusal),
    Digest(Asker, Vec<(Key, Mark)>),
    Fence(Option<Fence>),
    Position(Mark),
    LoadPosition(Mark),
    Tunnels(Mark, Vec<(Key, Mark, Blob)>),
    Sessions(Mark, Vec<(Key, Mark, Blob)>),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// The fence has this epoch, or none.
    NotHolder(Epoch),
    StaleEpoch(Epoch),
    /// The record, or the stream, is at this mark.
    Stale(Mark),
}

/// All that a server has.
#[derive(Clone, Debug, Default)]
struct Data {
    fence: Option<Fence>,
    records: BTreeMap<Key, (Mark, Blob)>,
    stream: VecDeque<(Mark, Entry)>,
    last: Mark,
    has_trimmed: bool,
}

/// What a replica is told.
#[derive(Clone, Debug)]
enum Told {
    Entry(Mark, Entry),
    Fence(Fence),
}

/// The server that is asked, and the replica behind it.
#[derive(Debug)]
pub(super) struct Store {
    data: Data,
    replica: Data,
    /// What the replica has not, and when it will have it.
    behind: VecDeque<(Instant, Told)>,
    /// Which data it is that is served.
    pub(super) origin: u64,
    /// The longest stream.
    most: usize,
    /// It may have lost what it had acknowledged, so often.
    pub(super) losses: u64,
    /// The highest epoch whose claim was acknowledged with all replicas, since the last loss.
    pub(super) claimed: Epoch,
    /// Entries of the stream, ever.
    pub(super) entries: u64,
}

impl Store {
    pub(super) fn new(most: usize) -> Self {
        Self {
            data: Data::default(),
            replica: Data::default(),
            behind: VecDeque::new(),
            origin: 0,
            most,
            losses: 0,
            claimed: Epoch::NONE,
            entries: 0,
        }
    }

    // The functions.

    /// `lns_claim`: whether the fence had it already.
    pub(super) fn claim(
        &mut self,
        mark: Mark,
        holder: &Identity,
        roster: &Roster,
        replicated: Instant,
    ) -> Result<bool, Refusal> {
        let fence = self.data.fence.as_ref();
        let current = fence.map_or(Epoch::NONE, |fence| fence.epoch);
        let is_other = fence.is_some_and(|fence| fence.holder != *holder);
        if mark.epoch < current || (mark.epoch == current && is_other) {
            return Err(Refusal::StaleEpoch(current));
        }
        let again = mark.epoch == current && fence.is_some();
        let entry = Entry::Claim(holder.clone());
        self.append(mark, entry, replicated)?;
        let fence = Fence {
            epoch: mark.epoch,
            holder: holder.clone(),
            roster: roster.clone(),
        };
        self.behind
            .push_back((replicated, Told::Fence(fence.clone())));
        self.data.fence = Some(fence);
        Ok(again)
    }

    /// `lns_put` and `lns_forget`.
    pub(super) fn write(
        &mut self,
        epoch: Epoch,
        holder: &Identity,
        write: &Write<Key>,
        replicated: Instant,
    ) -> Result<(), Refusal> {
        self.fenced(epoch, holder)?;
        let known = self.data.records.get(&write.key).map(|(mark, _)| *mark);
        let entry = match &write.change {
            Change::Forget if known.is_none() => return Ok(()),
            Change::Forget => Entry::Forget(write.key),
            Change::Put(blob) => Entry::Put(write.key, blob.as_ref().into()),
        };
        if let Some(known) = known.filter(|known| write.mark <= *known) {
            return Err(Refusal::Stale(known));
        }
        self.append(write.mark, entry, replicated)
    }

    /// `lns_beat`.
    pub(super) fn beat(&self, epoch: Epoch, holder: &Identity) -> Result<(), Refusal> {
        self.fenced(epoch, holder)
    }

    fn fenced(&self, epoch: Epoch, holder: &Identity) -> Result<(), Refusal> {
        match &self.data.fence {
            Some(fence) if fence.epoch == epoch && fence.holder == *holder => Ok(()),
            fence => Err(Refusal::NotHolder(
                fence.as_ref().map_or(Epoch::NONE, |fence| fence.epoch),
            )),
        }
    }

    fn append(&mut self, mark: Mark, entry: Entry, replicated: Instant) -> Result<(), Refusal> {
        if mark <= self.data.last {
            return Err(Refusal::Stale(self.data.last));
        }
        self.entries += 1;
        let told = Told::Entry(mark, entry.clone());
        self.data.take(mark, entry, self.most);
        self.behind.push_back((replicated, told));
        Ok(())
    }

    // What is read.

    pub(super) fn fence(&self) -> Option<&Fence> {
        self.data.fence.as_ref()
    }

    pub(super) const fn position(&self) -> Mark {
        self.data.last
    }

    /// All records of one kind.
    pub(super) fn records(&self, tunnels: bool) -> Vec<(Key, Mark, Blob)> {
        let records = self.data.records.iter();
        let records = records.filter(|(key, _)| key.is_tunnel() == tunnels);
        records
            .map(|(key, (mark, blob))| (*key, *mark, Arc::clone(blob)))
            .collect()
    }

    pub(super) fn digest(&self) -> Vec<(Key, Mark)> {
        let records = self.data.records.iter();
        records.map(|(key, (mark, _))| (*key, *mark)).collect()
    }

    /// What comes behind `position`; `None`: some of that is gone.
    pub(super) fn follow(&self, position: Mark) -> Option<Vec<(Mark, Entry)>> {
        let first = self.data.stream.front().map(|(mark, _)| *mark);
        let is_gone = first.is_some_and(|first| first > position);
        if is_gone && (position != Mark::ZERO || self.data.has_trimmed) {
            return None;
        }
        let behind = self
            .data
            .stream
            .partition_point(|(mark, _)| *mark <= position);
        Some(self.data.stream.range(behind..).cloned().collect())
    }

    // What befalls it.

    /// Another server is asked from now on: the replica, with what it has by now. Whether anything was lost.
    pub(super) fn fail_over(&mut self, now: Instant) -> bool {
        self.replicate(now);
        let has_lost = !self.behind.is_empty();
        self.behind.clear();
        self.data = self.replica.clone();
        self.origin += 1;
        self.note_loss(has_lost);
        has_lost
    }

    /// Somebody says FLUSHALL.
    pub(super) fn flush(&mut self) {
        self.behind.clear();
        self.data = Data::default();
        self.replica = Data::default();
        self.note_loss(true);
    }

    fn note_loss(&mut self, has_lost: bool) {
        if has_lost {
            self.losses += 1;
            self.claimed = Epoch::NONE;
        }
    }

    fn replicate(&mut self, now: Instant) {
        while let Some((_, told)) = self.behind.pop_front_if(|(at, _)| *at <= now) {
            match told {
                Told::Entry(mark, entry) => self.replica.take(mark, entry, self.most),
                Told::Fence(fence) => self.replica.fence = Some(fence),
            }
        }
    }

    /// Lets the replica have what it has by now. Only so that not too much waits.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.behind.len() > 64 {
            self.replicate(now);
        }
    }
}

impl Data {
    fn take(&mut self, mark: Mark, entry: Entry, most: usize) {
        match &entry {
            Entry::Put(key, blob) => drop(self.records.insert(*key, (mark, Arc::clone(blob)))),
            Entry::Forget(key) => drop(self.records.remove(key)),
            Entry::Claim(_) => {}
        }
        self.stream.push_back((mark, entry));
        self.last = mark;
        if self.stream.len() > most {
            self.stream.pop_front();
            self.has_trimmed = true;
        }
    }
}
