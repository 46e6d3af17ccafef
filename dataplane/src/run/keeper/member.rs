//! The keeper of a member of a cluster: takes in what the store tells while another node is master, claims and
//! takes over, and steps down.

#[cfg(test)]
mod tests;

use core::cmp::Reverse;
use core::sync::atomic::{AtomicI64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use lns_cluster::Epoch;
use lns_cluster::journal::{
    Change, Changed, Confirmations, Journal, Mark, Patience, Recent, Round, Write,
};
use lns_node::{Beginning, Node, RecordKey, Role, StoreTime, Unreadable};
use lns_radius::account::{self, Read};
use lns_store::follower::Told;
use lns_store::writer::{Mastership, Writer};
use lns_tables::time::Instant;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::storage::Storage;
use super::{AGAIN, BEHIND, Keeper, Output, form};

/// Records of accounting of a mastership, at most.
const NUMBERS: u64 = 1 << 32;

/// What the store says to a master, for whoever decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StoreNews {
    /// It has taken the claim.
    Claimed(Epoch),
    /// It has another master.
    Lost(Epoch),
    /// It is away.
    Away(Arc<str>),
    /// It is late, and what waits for it leaves as soon as it is known that nobody else was master meanwhile.
    Unvouched,
}

/// How far the store's clock is ahead of ours: ages of records are counted by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreClock(Arc<AtomicI64>);

impl StoreClock {
    /// The store's time was this when ours was that, milliseconds since 1970.
    pub(crate) fn set(&self, store: u64, ours: u64) {
        let ahead = i128::from(store) - i128::from(ours);
        self.0
            .store(i64::try_from(ahead).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn at(&self, ours: u64) -> u64 {
        ours.saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}

/// What only a member's keeper has.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) told: UnboundedSender<StoreNews>,
    /// The mastership that was claimed, and the place of its claim.
    pub(super) claimed: Option<(Epoch, u64)>,
    /// While everything is read anew: what has not been read yet.
    unread: Option<BTreeSet<String>>,
    /// Records that are of no use.
    useless: BTreeSet<String>,
    pub(super) clock: StoreClock,
    /// The mastership that was taken over last.
    epoch: Epoch,
    /// What is known is of a mastership that is over, and is nobody's once the store is read again.
    is_former: bool,
    /// There is something of which the store had nothing when it was read.
    is_doubtful: bool,
    /// For a master without the store.
    recent: Recent<String, Bytes>,
    /// For what rests until all members know.
    confirmations: Confirmations,
}

impl Membership {
    /// What is going to be written.
    pub(super) fn note(&mut self, round: &Round<String>) {
        for write in &round.writes {
            self.recent.push(changed(write));
        }
    }
}

fn changed(write: &Write<String>) -> Changed<String, Bytes> {
    Changed {
        key: write.key.clone(),
        mark: write.mark,
        octets: match &write.change {
            Change::Put(octets) => Some(Bytes::copy_from_slice(octets)),
            Change::Forget => None,
        },
    }
}

impl Keeper {
    /// Of a member, which begins by following.
    pub(crate) fn of_member(
        news: Arc<Notify>,
        writer: Writer,
        told: UnboundedSender<StoreNews>,
        clock: StoreClock,
    ) -> Self {
        Self::follower(news, Storage::Store(Box::new(writer)), told, clock)
    }

    fn follower(
        news: Arc<Notify>,
        storage: Storage,
        told: UnboundedSender<StoreNews>,
        clock: StoreClock,
    ) -> Self {
        let membership = Membership {
            told,
            claimed: None,
            unread: None,
            useless: BTreeSet::new(),
            clock,
            epoch: Epoch::NONE,
            is_former: false,
            is_doubtful: false,
            recent: Recent::default(),
            confirmations: Confirmations::default(),
        };
        Self::new(news, storage, Some(membership))
    }

    /// Claims a mastership at the store.
    pub(crate) fn claim(&mut self, mastership: Mastership) {
        if let Storage::Store(writer) = &self.storage {
            writer.claim(mastership);
        }
    }

    /// Gives it up.
    pub(crate) fn resign(&mut self) {
        if let Storage::Store(writer) = &self.storage {
            writer.resign();
        }
        if let Some(membership) = &mut self.membership {
            membership.claimed = None;
        }
    }

    /// Takes in what the store tells, in its order. What is not about records is left to its taker.
    pub(crate) fn follow(&mut self, node: &mut Node, told: Vec<Told>, now: Instant) {
        for told in told {
            match told {
                Told::Loading => self.begin_reading(node),
                Told::Record { key, mark, blob } => {
                    self.take_record(node, key.as_str(), mark, &blob, now);
                    self.note(key.as_str(), mark, Some(blob));
                }
                Told::Forgotten { key, mark } => {
                    self.forget_record(node, key.as_str(), mark);
                    self.note(key.as_str(), mark, None);
                }
                Told::Loaded { position } => self.handle_loaded(node, position, now),
                Told::Claim { .. } | Told::Position(_) | Told::CaughtUp | Told::Away(_) => {}
            }
        }
    }

    /// A change, as the stream tells it.
    fn note(&mut self, key: &str, mark: Mark, octets: Option<Bytes>) {
        if let Some(membership) = &mut self.membership {
            let key = key.to_owned();
            membership.recent.push(Changed { key, mark, octets });
        }
    }

    fn begin_reading(&mut self, node: &mut Node) {
        node.handle_reload();
        let keys = self.journal.keys().cloned().collect();
        let Some(membership) = &mut self.membership else {
            return;
        };
        membership.unread = Some(keys);
        // What was in doubt is read again, and what could not be read.
        membership.is_doubtful = false;
        self.foreign = 0;
        membership.recent.clear();
        if core::mem::take(&mut membership.is_former) {
            self.journal = Journal::new(Patience::default());
            self.kept.clear();
        }
    }

    /// Everything was read. What the store does not have may be gone, or the store was emptied or put back and the
    /// master is about to write it again: it is kept until the master says that it has.
    fn handle_loaded(&mut self, node: &mut Node, position: Mark, now: Instant) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        membership.recent.begin(position);
        let unread = membership.unread.as_ref().map_or(0, BTreeSet::len);
        membership.is_doubtful = unread > 0;
        if membership.is_doubtful {
            info!(
                records = unread,
                "this node knows what the store does not have, and keeps it until the master says that nothing is missing there"
            );
        } else {
            self.end_reading(node, now);
        }
    }

    /// Whether there are records that this release cannot read.
    pub(crate) const fn is_foreign(&self) -> bool {
        self.foreign > 0
    }

    /// Whether this node knows what the store did not have when it was read.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.membership.as_ref().is_some_and(|it| it.is_doubtful)
    }

    /// The master says that all that there is was written, and it was applied here.
    pub(crate) fn handle_written_again(&mut self, node: &mut Node, now: Instant) {
        if let Some(membership) = self.membership.as_mut().filter(|it| it.is_doubtful) {
            membership.is_doubtful = false;
            self.end_reading(node, now);
        }
    }

    /// What was not read is gone.
    fn end_reading(&mut self, node: &mut Node, now: Instant) {
        let membership = self.membership.as_mut();
        for key in membership
            .and_then(|it| it.unread.take())
            .unwrap_or_default()
        {
            self.journal.handle_gone(&key);
            if let Some(number) = account::number(&key) {
                self.kept.remove(&number);
            }
        }
        node.handle_reloaded(now);
    }

    fn take_record(&mut self, node: &mut Node, key: &str, mark: Mark, octets: &[u8], now: Instant) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        let key = key.to_owned();
        let known = self.journal.mark(&key);
        if known.is_some_and(|known| known > mark) {
            // A store that has lost the newest: nothing was read of this yet.
            return;
        }
        if let Some(unread) = &mut membership.unread {
            unread.remove(&key);
        }
        match self.take_in(node, &key, octets, now) {
            Ok(()) => {}
            // Its tunnel comes, and then it comes again.
            Err(Unreadable::NoTunnel | Unreadable::Active) => return,
            Err(Unreadable::Version) => self.foreign += 1,
            Err(why @ (Unreadable::Damaged | Unreadable::Unfit)) => {
                warn!(record = %key, why = why.label(), "the store has a session record that cannot be read: it is not applied");
                self.unreadable += 1;
                if let Some(membership) = &mut self.membership {
                    membership.useless.insert(key.clone());
                }
            }
        }
        self.journal.handle_loaded(key, mark);
    }

    fn forget_record(&mut self, node: &mut Node, key: &str, mark: Mark) {
        let key = key.to_owned();
        if self.journal.mark(&key).is_some_and(|known| known > mark) {
            return;
        }
        self.journal.handle_gone(&key);
        if let Some(number) = account::number(&key) {
            self.kept.remove(&number);
        } else if let Ok(key) = key.parse::<RecordKey>() {
            node.handle_forgotten(key);
        }
    }

    /// Nobody else was master at this time.
    pub(crate) fn handle_vouched(&mut self, at: Instant) {
        self.journal.handle_vouched(at);
    }

    /// The node becomes the active one in this mastership, and says again to accounting what is not with a
    /// server.
    pub(crate) fn take_over(&mut self, node: &mut Node, epoch: Epoch, now: Instant) {
        let Some(membership) = &mut self.membership else {
            return;
        };
        let unread = membership.unread.take();
        let doubtful = unread.filter(|_| core::mem::take(&mut membership.is_doubtful));
        membership.epoch = epoch;
        membership.is_former = false;
        membership.confirmations.clear();
        let useless = core::mem::take(&mut membership.useless);
        let claimed = membership.claimed.filter(|(of, _)| *of == epoch);
        // Where there was nobody there is nothing to take over.
        let is_first = self.journal.keys().next().is_none();
        let beginning = if is_first && claimed.is_some() {
            Beginning::Start
        } else {
            Beginning::Takeover
        };
        node.handle_takeover(epoch.number(), beginning, now);
        if let Some((epoch, seq)) = claimed {
            self.journal.handle_claimed(epoch, seq, now);
            if is_first && epoch.number() == 1 {
                self.begin_in_newest(node);
            }
        }
        // Records of accounting have numbers of this mastership: there may be some of others that it does not know.
        self.number = self.number.max(epoch.number().saturating_mul(NUMBERS));
        for key in useless {
            self.journal.forget(key);
        }
        self.find_lost(doubtful.unwrap_or_default());
        self.order_kept(now);
    }

    /// What this node knows and the store does not is stored before anything is said of it: tunnels, without
    /// which a session is nothing to whoever reads it, and then what is newest, since a LAC may not have heard of it.
    fn find_lost(&mut self, keys: BTreeSet<String>) {
        let mut lost: Vec<String> = keys.into_iter().collect();
        lost.sort_by_cached_key(|key| (key.starts_with("s/"), Reverse(self.journal.mark(key))));
        self.lost = lost.into();
    }

    pub(super) fn order_kept(&mut self, now: Instant) {
        let seconds = self.millis() / 1000;
        let settled = self.journal.settled();
        let mut useless = Vec::new();
        for (number, octets) in &self.kept {
            self.number = self.number.max(*number);
            match account::read(octets, *number, now, seconds) {
                Read::Record(record) => self.waiting.push_back((settled, Output::Record(record))),
                Read::Foreign => self.foreign += 1,
                Read::Useless => useless.push(*number),
            }
        }
        for number in useless {
            self.kept.remove(&number);
            self.journal.forget(account::key(number));
        }
    }

    /// The node is not the active one any more: what waited is another node's to say, and everything is read
    /// anew, when there is a store. Until then it knows what the store may not have, for the next master.
    pub(crate) fn demote(&mut self, node: &mut Node, now: Instant) {
        node.handle_demotion(now);
        self.resign();
        let is_overrun = self.journal.take_overrun();
        if let Some(membership) = &mut self.membership {
            let unstored = self.journal.handle_end(membership.epoch);
            membership.is_former = true;
            for write in &unstored {
                membership.recent.push(changed(write));
            }
            if is_overrun {
                membership.recent.clear();
            }
        }
        self.waiting.clear();
        self.ordered.clear();
        self.lost.clear();
        self.foreign = 0;
    }

    /// All that the node has done before `now` has a place in the stream, if the store is there.
    pub(super) fn note_written(&mut self, now: Instant) {
        if let Some(membership) = self.membership.as_mut().filter(|_| self.journal.is_up()) {
            membership
                .confirmations
                .handle_written(self.journal.last_mark(), now);
        }
    }

    /// All other members have all changes up to this one: what was given back before need not rest for them.
    pub(crate) fn handle_confirmed(&mut self, node: &mut Node, position: Mark) {
        let membership = self.membership.as_mut();
        if let Some(before) = membership.and_then(|it| it.confirmations.handle_confirmed(position))
        {
            node.handle_heard_by_all(before);
        }
    }

    /// The next changes after this one, `most` at most; `None`: there may be some that this node does not know.
    pub(crate) fn newer(&self, after: Mark, most: usize) -> Option<Vec<Changed<String, Bytes>>> {
        let newer = self.membership.as_ref()?.recent.newer(after)?;
        Some(newer.take(most).cloned().collect())
    }

    /// What other members have newer; of each record its last change, tunnels first. Once the node is the active
    /// one, what it did not know is ended. Unless this is all that there is (`is_whole`), it cannot be told others.
    pub(crate) fn hear_others(
        &mut self,
        node: &mut Node,
        found: Vec<Changed<String, Bytes>>,
        is_whole: bool,
        now: Instant,
    ) {
        let is_active = node.role() == Role::Active;
        for Changed { key, mark, octets } in found {
            match octets {
                Some(octets) if is_active => drop(self.end_stray(node, &key, &octets, now)),
                Some(octets) => self.take_record(node, &key, mark, &octets, now),
                None if is_active => {}
                None => self.forget_record(node, &key, mark),
            }
        }
        if let Some(membership) = self.membership.as_mut().filter(|_| !is_whole) {
            membership.recent.clear();
        }
    }

    /// Which of these records in the store nobody here has heard of, though they were changed after `known`.
    pub(crate) fn strays(&self, marks: &[(String, Mark)], known: Mark) -> BTreeSet<String> {
        let strays = marks
            .iter()
            .filter(|(key, mark)| *mark > known && self.journal.mark(key).is_none());
        strays.map(|(key, _)| key.clone()).collect()
    }

    /// The store has this, and may have lost what it had: what is missing is given out again, some of it in each
    /// round. What only it has is ended if it is among the `strays`, and forgotten.
    pub(crate) fn handle_digest(
        &mut self,
        node: &mut Node,
        marks: Vec<(String, Mark)>,
        strays: &BTreeMap<String, Bytes>,
        now: Instant,
    ) {
        if node.role() != Role::Active {
            return;
        }
        let mut lost = self.journal.handle_digest(marks);
        // A session is nothing to whoever reads it before its tunnel.
        lost.sort_by_key(|key| key.starts_with("s/"));
        for key in lost {
            let is_ended = strays
                .get(&key)
                .is_some_and(|octets| self.end_stray(node, &key, octets, now));
            if !is_ended {
                self.lost.push_back(key);
            }
        }
    }

    /// Whether there is more to be given out again, and the store keeps up with it.
    pub(super) fn gives_again(&self) -> bool {
        !self.lost.is_empty() && self.journal.unstored() < BEHIND
    }

    /// Gives out again some of what the store has lost, and has it forget what is nobody's.
    pub(super) fn give_again(&mut self, node: &mut Node) {
        if !self.gives_again() {
            return;
        }
        let some = self.lost.len().min(AGAIN);
        let keys: Vec<String> = self.lost.drain(..some).collect();
        for key in keys {
            if key == form::KEY {
                self.put_form();
                continue;
            }
            let is_ours = match (account::number(&key), key.parse::<RecordKey>()) {
                (Some(number), _) => self.keep_again(number),
                (None, Ok(record)) => node.handle_lost_record(record),
                (None, Err(_)) => false,
            };
            if !is_ours {
                self.journal.forget(key);
            }
        }
    }

    /// Nobody has taken this over: what accounting has to be told is told, and the node has a record that it is
    /// over. Whether the key still has a record.
    fn end_stray(&mut self, node: &mut Node, key: &str, octets: &[u8], now: Instant) -> bool {
        if let Some(number) = account::number(key) {
            return self.keep_stray(number, octets, now);
        }
        if key == form::KEY {
            // It holds from now on, and is stored again in this mastership.
            let is_ours = self.take_form(node, octets).is_ok();
            self.foreign += u64::from(!is_ours);
            return !is_ours;
        }
        let Ok(record) = key.parse::<RecordKey>() else {
            return false;
        };
        match node.handle_stray(record, octets, now, StoreTime(self.millis())) {
            Ok(is_stray) => is_stray,
            Err(Unreadable::Version) => {
                self.foreign += 1;
                true
            }
            Err(why) => {
                warn!(record = %key, why = why.label(), "a session record that nobody has taken over cannot be read: it is forgotten");
                self.unreadable += 1;
                false
            }
        }
    }

    fn keep_stray(&mut self, number: u64, octets: &[u8], now: Instant) -> bool {
        if self.kept.contains_key(&number) {
            return true;
        }
        let settled = self.journal.settled();
        match account::read(octets, number, now, self.millis() / 1000) {
            Read::Record(record) => self.waiting.push_back((settled, Output::Record(record))),
            Read::Foreign => self.foreign += 1,
            Read::Useless => return false,
        }
        self.kept.insert(number, octets.into());
        true
    }

    /// The last change that has a place in the stream; `None`: the store is away, and what changes has none; or it
    /// does not have all that there is.
    pub(crate) fn position(&self) -> Option<Mark> {
        let is_whole = self.journal.is_up() && self.lost.is_empty();
        is_whole.then(|| self.journal.last_mark())
    }

    fn keep_again(&mut self, number: u64) -> bool {
        let octets = self.kept.get(&number);
        if let Some(octets) = octets {
            self.journal.put(account::key(number), octets, true);
        }
        octets.is_some()
    }

    pub(super) fn tell(&self, news: StoreNews) {
        if let Some(membership) = &self.membership {
            // Who decides has ended, and so does the process.
            let _unwanted = membership.told.send(news);
        }
    }
}
