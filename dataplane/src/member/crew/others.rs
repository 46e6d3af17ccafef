//! A takeover without the store: what the other members have newer is taken in first, and as long as some of them
//! have not answered, nobody new is let in (spec: cluster, 2).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lns_cluster::journal::{Changed, Mark};
use lns_cluster::member::Heard;
use lns_cluster::{Epoch, NodeName};
use lns_datapath::clock;
use lns_peers::Speaker;
use lns_peers::limits::RECORDS;
use lns_peers::wire::{Answer, Failure, PeerRecord, Position, Question, RecordsPage};
use lns_store::Redis;
use tracing::{info, warn};

use super::{Back, Crew};
use crate::run::control::Asker;

/// What one member has said.
#[derive(Debug)]
pub(super) struct Said {
    records: Vec<PeerRecord>,
    is_whole: bool,
    reaches_store: bool,
}

/// Who is asked in a mastership, and what was heard.
#[derive(Debug)]
pub(super) struct Inquiry {
    epoch: Epoch,
    /// What is newer than this.
    after: Mark,
    /// Who has not told all that they have.
    unheard: BTreeSet<NodeName>,
    /// Who has been asked and has not answered.
    asked: BTreeSet<NodeName>,
    /// Of each record its last change.
    found: BTreeMap<String, (Mark, Option<Bytes>)>,
    reaches_store: bool,
}

impl Inquiry {
    fn take(&mut self, node: &NodeName, said: Result<Said, Failure>) {
        self.asked.remove(node);
        let said = match said {
            Ok(said) => said,
            Err(why) => return warn!(%node, "cannot be asked for records: {why}"),
        };
        self.reaches_store |= said.reaches_store;
        if said.is_whole {
            self.unheard.remove(node);
        }
        for record in said.records {
            let position = record.position();
            let Some(mark) = Mark::new(position.epoch, position.seq) else {
                continue;
            };
            let (key, octets) = record.into_parts();
            let entry = self.found.entry(key).or_insert((mark, None));
            if entry.0 <= mark {
                *entry = (mark, octets.map(Bytes::from));
            }
        }
    }

    /// What was heard since this was asked last, tunnels first, for a session is nothing without its own.
    fn take_found(&mut self) -> Vec<Changed<String, Bytes>> {
        let found = core::mem::take(&mut self.found);
        let mut changes: Vec<_> = found
            .into_iter()
            .map(|(key, (mark, octets))| Changed { key, mark, octets })
            .collect();
        changes.sort_by_key(|change| !change.key.starts_with("t/"));
        changes
    }

    fn heard(&self) -> Heard {
        if self.reaches_store {
            Heard::Store
        } else if self.unheard.is_empty() {
            Heard::All
        } else {
            Heard::Some
        }
    }
}

impl Crew {
    /// All on the roster are asked.
    pub(super) async fn ask_others(&mut self, epoch: Epoch) {
        let roster = self.standing.borrow().seen.roster.clone();
        let others = roster.iter().filter(|it| **it != self.parts.me);
        let inquiry = Inquiry {
            epoch,
            after: self.reached(),
            unheard: others.cloned().collect(),
            asked: BTreeSet::new(),
            found: BTreeMap::new(),
            reaches_store: false,
        };
        self.inquiry = Some(inquiry);
        self.ask_unheard();
        self.weigh().await;
    }

    /// Whoever has not told all, and is there, is asked again. Whoever is off the roster is not waited for.
    pub(super) async fn ask_again(&mut self) {
        let roster = self.standing.borrow().seen.roster.clone();
        let Some(inquiry) = &mut self.inquiry else {
            return;
        };
        inquiry.unheard.retain(|node| roster.contains(node));
        self.ask_unheard();
        self.weigh().await;
    }

    fn ask_unheard(&mut self) {
        let Some(inquiry) = &mut self.inquiry else {
            return;
        };
        for node in &inquiry.unheard {
            if !self.connected.contains_key(node) || !inquiry.asked.insert(node.clone()) {
                continue;
            }
            let (speaker, node) = (self.speaker.clone(), node.clone());
            let (epoch, after) = (inquiry.epoch, inquiry.after);
            self.beside.spawn(async move {
                let said = ask(&speaker, &node, after).await;
                Back::Others(epoch, node, said)
            });
        }
    }

    /// Somebody has answered, or has not.
    pub(super) async fn hear_others(
        &mut self,
        epoch: Epoch,
        node: &NodeName,
        said: Result<Said, Failure>,
    ) {
        let inquiry = self.inquiry.as_mut().filter(|it| it.epoch == epoch);
        if let Some(inquiry) = inquiry {
            inquiry.take(node, said);
            self.weigh().await;
        }
    }

    /// When all that were asked have answered, that is what there is to be known.
    async fn weigh(&mut self) {
        let Some(inquiry) = self.inquiry.as_ref().filter(|it| it.asked.is_empty()) else {
            return;
        };
        let (epoch, heard) = (inquiry.epoch, inquiry.heard());
        if heard != Heard::Store {
            self.take_in_heard().await;
        }
        self.member.handle_heard(epoch, heard, clock::now());
        if let Some(inquiry) = &mut self.inquiry {
            // If it comes to serve nevertheless, it asks again whether that is still so.
            inquiry.reaches_store = false;
        }
    }

    /// What was heard so far becomes known.
    pub(super) async fn take_in_heard(&mut self) {
        let Some(inquiry) = &mut self.inquiry else {
            return;
        };
        let found = inquiry.take_found();
        let is_whole = inquiry.unheard.is_empty();
        if found.is_empty() && is_whole {
            return;
        }
        info!(
            records = found.len(),
            unheard = inquiry.unheard.len(),
            "the other members have told what they have newer"
        );
        self.tell(move |control, now| {
            control
                .keeper
                .hear_others(&mut control.node, found, is_whole, now);
        })
        .await;
    }

    /// What this node answers: what it has newer than that, a page at a time.
    pub(super) async fn records_after(&self, position: Position) -> Result<Answer, Failure> {
        let after = Mark::new(position.epoch, position.seq).unwrap_or_default();
        let most = RECORDS.saturating_add(1);
        let newer = self
            .parts
            .asker
            .ask(move |control, _| control.keeper.newer(after, most));
        let newer = newer.await.map_err(|_| Failure::Unanswered)?;
        let reaches_store = self.member.is_loaded() && self.store_away.is_none();
        let page = newer.map_or_else(RecordsPage::unknown, |newer| {
            RecordsPage::of(newer.into_iter().filter_map(as_record))
        });
        Ok(Answer::Records(page.with_store(reaches_store)))
    }

    /// The store is there again: what it has, and nobody here has heard of, is ended.
    pub(super) fn look_at_store(&mut self, epoch: Epoch) {
        let (redis, asker) = (self.parts.redis.clone(), self.parts.asker.clone());
        let known = self.member.applied();
        self.beside
            .spawn(async move { Back::Store(epoch, look(&redis, &asker, known).await) });
    }

    /// What was found there.
    pub(super) async fn take_in_stored(&mut self, epoch: Epoch, stored: Option<Stored>) {
        let Some(stored) = stored else {
            // With the next claim it is looked at again.
            return;
        };
        self.is_incomplete = false;
        let Stored { marks, strays } = stored;
        if !strays.is_empty() {
            warn!(
                records = strays.len(),
                "the store has sessions that nobody has taken over: they are over"
            );
        }
        self.tell(move |control, now| {
            control
                .keeper
                .handle_digest(&mut control.node, marks, &strays, now);
        })
        .await;
        self.inquiry = None;
        self.member.handle_looked(epoch);
    }
}

/// What the store has: which change of which record, and the records that nobody here has heard of.
#[derive(Debug)]
pub(super) struct Stored {
    marks: Vec<(String, Mark)>,
    strays: BTreeMap<String, Bytes>,
}

async fn look(redis: &Redis, asker: &Asker, known: Mark) -> Option<Stored> {
    let mut digest = redis.digest().await.ok()?;
    let mut marks = Vec::new();
    while let Some(page) = digest.page().await.ok()? {
        marks.extend(page.into_iter().map(|(key, mark)| (key.to_string(), mark)));
    }
    let copy = marks.clone();
    let names = asker.ask(move |control, _| control.keeper.strays(&copy, known));
    let names = names.await.ok()?;
    let mut strays = BTreeMap::new();
    if !names.is_empty() {
        let mut load = redis.load().await.ok()?;
        while let Some(page) = load.page().await.ok()? {
            let page = page
                .into_iter()
                .map(|record| (record.key.to_string(), record.blob));
            strays.extend(page.filter(|(key, _)| names.contains(key)));
        }
    }
    Some(Stored { marks, strays })
}

/// All that a member has newer, page after page.
async fn ask(speaker: &Speaker, node: &NodeName, after: Mark) -> Result<Said, Failure> {
    let mut position = Position {
        epoch: after.epoch,
        seq: after.seq,
    };
    let mut records = Vec::new();
    loop {
        let answer = speaker.ask(node, Question::Records(position)).await?;
        let Answer::Records(page) = answer.into_value() else {
            return Err(Failure::Mismatch);
        };
        let (next, is_whole, reaches_store) = (page.next(), page.is_whole(), page.reaches_store());
        records.extend(page.into_records());
        match next {
            Some(next) if is_whole => position = next,
            Some(_) | None => {
                return Ok(Said {
                    records,
                    is_whole,
                    reaches_store,
                });
            }
        }
    }
}

fn as_record(change: Changed<String, Bytes>) -> Option<PeerRecord> {
    let Changed { key, mark, octets } = change;
    let position = Position {
        epoch: mark.epoch,
        seq: mark.seq,
    };
    // None is that long: the store takes no more either.
    PeerRecord::new(key, position, octets.map(Into::into)).ok()
}
