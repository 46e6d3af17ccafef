//! Output commit (spec: cluster, 2): what the node says of a change leaves when the change is stored, and
//! not before.
//!
//! The node's changes come in rounds: all that one batch of inputs brought about. A round gets a
//! [`Ticket`], and what the node wants sent waits for the ticket of the last round that was closed before.
//! Rounds are written in their order, a few at once, and those that wait meanwhile become one; a ticket is settled when its round and all before it
//! are stored, and, for a round in which something begins or ends, when replicas have it. Each change has a
//! [`Mark`] that grows, over masterships too.
//!
//! When the store is away, changes are kept, the newest of each key, and what waits leaves after a while
//! nevertheless: the journal is *degraded* then, and says so. When the store is back it gets all that was
//! kept, under marks of its own, and the journal is whole again when it has it.
//!
//! Of a node that others may replace, what is not stored leaves only when it is known that nobody had replaced
//! it when that was said ([`Journal::handle_vouched`]): one that is cut off from store, Lease and members
//! tells no LAC and no RADIUS server what the next master will never know of.
//!
//! Nothing here speaks with a store: rounds are given out ([`Journal::poll_round`]), and what became of
//! them is brought back.

mod confirmations;
mod mark;
mod recent;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lns_tables::time::Instant;

pub use confirmations::Confirmations;
pub use mark::Mark;
pub use recent::{Changed, Recent};

use crate::record::Epoch;

/// Rounds that are written at once: enough that none waits for the answer to the one before, few enough
/// that little has an unknown outcome when the store goes away.
const UNDER_WAY: usize = 8;

/// Changes of one round: a poll round of the node has some hundred, and one function call of Redis should
/// not hold up the others for long.
pub const ROUND: usize = 512;

/// How long a master without a store is silent about what it can say later: servers that hear nothing of a session for
/// several intervals take it for gone, and ten minutes is a common interval.
const SILENCE: Duration = Duration::from_mins(5);

/// What waits for a round, and what it waits for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// What happens to the record of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It says this.
    Put(Box<[u8]>),
    /// It is gone. A store forgets it unless it has a change that is as late: after an unknown outcome nobody
    /// knows which of a mastership's own marks it has, and the fence lets in nobody else's.
    Forget,
}

/// One change of a round.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write<K> {
    /// Of what.
    pub key: K,
    /// Which change.
    pub mark: Mark,
    /// What.
    pub change: Change,
}

/// Changes that are to be written, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Round<K> {
    /// To be given back with what became of it.
    pub ticket: Ticket,
    /// Replicas should have it before it counts as stored.
    pub lasting: bool,
    /// All of it.
    pub writes: Vec<Write<K>>,
}

/// How it stands with what is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// What leaves is stored.
    Whole,
    /// What leaves is not stored: the store is away, or has not caught up.
    Degraded,
}

/// How much a journal keeps and how long it has others wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// What waits leaves after this, though it is not stored.
    pub output: Duration,
    /// Changes that are kept while the store is away, newest per key; beyond it the node is asked for all
    /// that it has when the store is back.
    pub kept: usize,
}

impl Default for Patience {
    /// Half a second: less than a LAC waits before it says something again. As many changes as there may
    /// be sessions.
    fn default() -> Self {
        Self {
            output: Duration::from_millis(500),
            kept: 1 << 20,
        }
    }
}

/// The journal of one mastership.
#[derive(Debug)]
pub struct Journal<K> {
    patience: Patience,
    epoch: Epoch,
    seq: u64,
    /// What is stored of each key, as far as this journal has stored it.
    marks: BTreeMap<K, Mark>,
    /// The round that is being collected.
    open: Vec<(K, Option<Box<[u8]>>)>,
    open_lasting: bool,
    last: Ticket,
    /// All up to here is stored.
    stored: Ticket,
    /// All up to here may leave.
    settled: Ticket,
    /// Rounds that are closed and not given out.
    waiting: VecDeque<Round<K>>,
    /// Rounds that were given out, oldest first.
    under_way: VecDeque<UnderWay<K>>,
    /// While the store is away: what it has not.
    kept: BTreeMap<K, Option<Box<[u8]>>>,
    is_up: bool,
    standing: Standing,
    /// Since when it is degraded.
    degraded: Option<Instant>,
    /// More than may be kept was changed while the store was away.
    is_overrun: bool,
    /// What is not settled, and since when: the last ticket of each moment.
    unsettled: VecDeque<(Ticket, Instant)>,
    /// When nobody else was master for certain, of one who may be replaced.
    vouched: Option<Instant>,
    /// What it was when a newer one was asked for.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay<K> {
    round: Round<K>,
    is_stored: bool,
}

impl<K: Ord + Clone> Journal<K> {
    /// A journal without a store: it is [begun](Self::handle_claimed) when there is one.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            epoch: Epoch::NONE,
            seq: 0,
            marks: BTreeMap::new(),
            open: Vec::new(),
            open_lasting: false,
            last: Ticket::default(),
            stored: Ticket::default(),
            settled: Ticket::default(),
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            kept: BTreeMap::new(),
            is_up: false,
            standing: Standing::Whole,
            degraded: None,
            is_overrun: false,
            unsettled: VecDeque::new(),
            vouched: None,
            asked: None,
        }
    }

    /// A record that was in the store when it was read.
    pub fn handle_loaded(&mut self, key: K, mark: Mark) {
        self.marks.insert(key, mark);
    }

    /// A record that was in the store is not there any more.
    pub fn handle_gone(&mut self, key: &K) {
        self.marks.remove(key);
    }

    /// The store may have lost what it had, and has this now. The keys of records that it has not as they were
    /// stored last, or that only it has: the node gives them out again or forgets them, before
    /// [`handle_claimed`](Self::handle_claimed), so that the journal is whole only when the store has them.
    ///
    /// A journal that was never begun has stored nothing that could be missing, and knows of no record that it is
    /// to keep: of what another mastership has stored it would have everything forgotten.
    ///
    /// # Cost
    /// One step for each record.
    pub fn handle_digest(&mut self, digest: impl IntoIterator<Item = (K, Mark)>) -> Vec<K> {
        if self.epoch == Epoch::NONE {
            return Vec::new();
        }
        let known = core::mem::replace(&mut self.marks, digest.into_iter().collect());
        let differs = |(key, mark): &(&K, &Mark)| self.marks.get(*key) != Some(*mark);
        let lost = known.iter().filter(differs).map(|(key, _)| key);
        let foreign = self.marks.keys().filter(|key| !known.contains_key(key));
        lost.chain(foreign).cloned().collect()
    }

    /// The store has accepted this mastership: what is written from now on has its epoch, and marks behind
    /// `seq`.
    pub fn handle_claimed(&mut self, epoch: Epoch, seq: u64, now: Instant) {
        if epoch > self.epoch {
            self.seq = seq;
        } else {
            self.seq = self.seq.max(seq);
        }
        self.epoch = epoch;
        self.is_up = true;
        self.write_kept(now);
    }

    // What comes in from the node.

    /// A record says this from now on.
    pub fn put(&mut self, key: K, octets: &[u8], lasting: bool) {
        self.open_lasting |= lasting;
        self.open.push((key, Some(octets.into())));
    }

    /// A record is over and forgotten.
    pub fn forget(&mut self, key: K) {
        self.open.push((key, None));
    }

    /// All of a round has come. What the node wants sent from here on waits for this ticket.
    pub fn close(&mut self, now: Instant) -> Ticket {
        if self.open.is_empty() {
            return self.last;
        }
        let changes = core::mem::take(&mut self.open);
        let lasting = core::mem::take(&mut self.open_lasting);
        self.last = Ticket(self.last.0.saturating_add(1));
        if self.is_up {
            self.queue(changes, lasting);
        } else {
            self.keep(changes);
        }
        if self.standing == Standing::Degraded && !self.is_up && self.vouched.is_none() {
            // Nobody waits a second time for a store that is away.
            self.settled = self.last;
        } else {
            self.wait_from(now);
        }
        self.last
    }

    /// The last ticket is not settled. Each waits for its own time, however much is stored before it.
    fn wait_from(&mut self, now: Instant) {
        match self.unsettled.back_mut() {
            Some((ticket, since)) if *since == now => *ticket = self.last,
            Some(_) | None => self.unsettled.push_back((self.last, now)),
        }
    }

    fn settle(&mut self, through: Ticket) {
        self.settled = self.settled.max(through);
        let settled = self.settled;
        while self
            .unsettled
            .pop_front_if(|(ticket, _)| *ticket <= settled)
            .is_some()
        {}
    }

    fn queue(&mut self, changes: Vec<(K, Option<Box<[u8]>>)>, lasting: bool) {
        let mut writes = Vec::with_capacity(changes.len());
        for (key, octets) in changes {
            let change = match octets {
                Some(octets) => Change::Put(octets),
                None if self.marks.contains_key(&key) => Change::Forget,
                // It never was in the store.
                None => continue,
            };
            self.seq = self.seq.saturating_add(1);
            let mark = Mark {
                epoch: self.epoch,
                seq: self.seq,
            };
            match &change {
                Change::Put(_) => drop(self.marks.insert(key.clone(), mark)),
                Change::Forget => drop(self.marks.remove(&key)),
            }
            writes.push(Write { key, mark, change });
        }
        if self.under_way.len() >= UNDER_WAY
            && let Some(waiting) = self.waiting.back_mut()
            && waiting.writes.len().saturating_add(writes.len()) <= ROUND
        {
            // Else a slow store would have ever more of them to answer, one by one.
            waiting.ticket = self.last;
            waiting.lasting |= lasting;
            waiting.writes.append(&mut writes);
            return;
        }
        self.waiting.push_back(Round {
            ticket: self.last,
            lasting,
            writes,
        });
    }

    fn keep(&mut self, changes: Vec<(K, Option<Box<[u8]>>)>) {
        for (key, octets) in changes {
            if self.kept.len() >= self.patience.kept && !self.kept.contains_key(&key) {
                self.is_overrun = true;
                continue;
            }
            self.kept.insert(key, octets);
        }
    }

    // What goes to the store.

    /// The next round to be written. Rounds are to be written in this order.
    pub fn poll_round(&mut self) -> Option<&Round<K>> {
        if !self.is_up || self.under_way.len() >= UNDER_WAY {
            return None;
        }
        let round = self.waiting.pop_front()?;
        self.under_way.push_back(UnderWay {
            round,
            is_stored: false,
        });
        self.under_way.back().map(|it| &it.round)
    }

    /// A round is stored, and where it is lasting, replicas have it or were waited for.
    pub fn handle_stored(&mut self, ticket: Ticket) {
        for it in &mut self.under_way {
            if it.round.ticket == ticket {
                it.is_stored = true;
            }
        }
        while let Some(it) = self.under_way.pop_front_if(|it| it.is_stored) {
            self.stored = it.round.ticket;
        }
        self.settle(self.stored);
        self.recover();
    }

    /// This round and all before it are stored.
    pub fn handle_stored_through(&mut self, ticket: Ticket) {
        let tickets: Vec<Ticket> = self
            .under_way
            .iter()
            .map(|it| it.round.ticket)
            .filter(|it| *it <= ticket)
            .collect();
        for ticket in tickets {
            self.handle_stored(ticket);
        }
    }

    /// The store is away: what was given out has an unknown outcome, and is written again when it is back.
    pub fn handle_away(&mut self) {
        if !core::mem::replace(&mut self.is_up, false) {
            return;
        }
        let given_out = core::mem::take(&mut self.under_way);
        let waiting = core::mem::take(&mut self.waiting);
        let rounds = given_out.into_iter().map(|it| it.round).chain(waiting);
        let changes: Vec<_> = rounds
            .flat_map(|round| round.writes)
            .map(|write| match write.change {
                Change::Put(octets) => (write.key, Some(octets)),
                Change::Forget => {
                    // It may be there still.
                    self.marks.insert(write.key.clone(), write.mark);
                    (write.key, None)
                }
            })
            .collect();
        self.keep(changes);
    }

    /// The mastership is over, in this epoch. What the store may not have is given out once more, under marks of
    /// its own behind all that it has: for the next master, who may not reach the store either. What is known of
    /// the store stays, and nothing waits any more.
    pub fn handle_end(&mut self, epoch: Epoch) -> Vec<Write<K>> {
        self.handle_away();
        self.is_up = false;
        if epoch > self.epoch {
            (self.epoch, self.seq) = (epoch, 0);
        }
        let unstored = core::mem::take(&mut self.kept);
        let mut writes = Vec::with_capacity(unstored.len());
        for (key, octets) in unstored {
            self.seq = self.seq.saturating_add(1);
            let mark = self.last_mark();
            let change = if let Some(octets) = octets {
                self.marks.insert(key.clone(), mark);
                Change::Put(octets)
            } else {
                self.marks.remove(&key);
                Change::Forget
            };
            writes.push(Write { key, mark, change });
        }
        let marks = core::mem::take(&mut self.marks);
        *self = Self {
            marks,
            ..Self::new(self.patience)
        };
        writes
    }

    /// The store is back, and takes all that it has not.
    fn write_kept(&mut self, now: Instant) {
        let kept = core::mem::take(&mut self.kept);
        if kept.is_empty() {
            // All that the node has changed since, it has forgotten again.
            self.stored = self.last;
            self.settle(self.stored);
            return self.recover();
        }
        let mut changes: Vec<_> = kept.into_iter().collect();
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(ROUND));
            self.last = Ticket(self.last.0.saturating_add(1));
            self.queue(changes, true);
            changes = rest;
        }
        if self.standing == Standing::Degraded && self.unsettled.is_empty() {
            // Whoever waited for any of this has left.
            self.settle(self.last);
        } else {
            self.wait_from(now);
        }
    }

    fn recover(&mut self) {
        if self.stored >= self.settled {
            self.standing = Standing::Whole;
            self.degraded = None;
        }
    }

    /// Whether more was changed than could be kept, since this was asked last: the node is to give out all
    /// that it has.
    pub fn take_overrun(&mut self) -> bool {
        core::mem::take(&mut self.is_overrun)
    }

    // What may leave.

    /// Whether what waits for this ticket may leave.
    pub fn is_settled(&self, ticket: Ticket) -> bool {
        ticket <= self.settled
    }

    /// Whether something that is said again and again, and more of it each time, may be said now that its ticket is
    /// settled. What is not stored the next master would not know of, and would say less; to say nothing costs
    /// nothing, for a while.
    pub fn may_say_more(&self, ticket: Ticket, now: Instant) -> bool {
        let is_long = |since: Instant| now.since(since) >= SILENCE;
        ticket <= self.stored || self.vouched.is_none() || self.degraded.is_some_and(is_long)
    }

    /// The last ticket that is settled.
    pub const fn settled(&self) -> Ticket {
        self.settled
    }

    /// How it stands with what is stored.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether there is a store that takes what changes.
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// Changes that the store has not, for certain.
    pub fn unstored(&self) -> usize {
        let rounds = self.waiting.iter().map(|round| round.writes.len());
        let given_out = self.under_way.iter().map(|it| it.round.writes.len());
        rounds
            .chain(given_out)
            .fold(self.kept.len(), usize::saturating_add)
    }

    /// The mark of the last change.
    pub const fn last_mark(&self) -> Mark {
        Mark {
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    /// What is stored of a key, as far as this journal knows.
    pub fn mark(&self, key: &K) -> Option<Mark> {
        self.marks.get(key).copied()
    }

    // Time.

    /// All that is stored, as far as this journal knows.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.marks.keys()
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_question`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, since) = self.unsettled.front()?;
        let is_due = self.is_vouched(*since) || self.asked != self.vouched;
        is_due.then(|| *since + self.patience())
    }

    /// What has waited too long leaves, and all that waits if the store is known to be away; as far as nobody else
    /// was master. Whether the journal is degraded by that.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let Some(through) = self.late(now) else {
            return false;
        };
        self.settle(through);
        let is_first =
            core::mem::replace(&mut self.standing, Standing::Degraded) == Standing::Whole;
        self.degraded.get_or_insert(now);
        // Nobody waits a second time for a store that is away.
        if let Some(through) = self.late(now) {
            self.settle(through);
        }
        is_first
    }

    /// How long what waits has to, where nobody else can be master.
    fn patience(&self) -> Duration {
        let is_away = self.standing == Standing::Degraded && !self.is_up;
        if is_away {
            Duration::ZERO
        } else {
            self.patience.output
        }
    }

    fn late(&self, now: Instant) -> Option<Ticket> {
        let patience = self.patience();
        let late = self.unsettled.iter();
        let late =
            late.take_while(|(_, since)| *since + patience <= now && self.is_vouched(*since));
        late.last().map(|(ticket, _)| *ticket)
    }

    // The mastership.

    /// Nobody else was master at `at`. Before this is called the first time, nobody else can be.
    pub fn handle_vouched(&mut self, at: Instant) {
        self.vouched = self.vouched.max(Some(at));
    }

    /// Whether something has waited long enough and needs only that nobody else was master: to be found out at once,
    /// and told by [`Self::handle_vouched`]. Once for each answer.
    pub fn poll_question(&mut self, now: Instant) -> bool {
        let patience = self.patience();
        let waits = self
            .unsettled
            .front()
            .is_some_and(|(_, since)| *since + patience <= now && !self.is_vouched(*since));
        waits && core::mem::replace(&mut self.asked, self.vouched) != self.vouched
    }

    fn is_vouched(&self, since: Instant) -> bool {
        self.vouched.is_none_or(|at| since <= at)
    }
}
