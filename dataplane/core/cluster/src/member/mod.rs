//! What a member of a cluster does as masterships come and go, and what it may let pass meanwhile (spec:
//! cluster, 1 to 3 and 7.1; specification, 18).
//!
//! [`Member`] is told what the elector, the store and the master say, and gives out [`Order`]s, one after the
//! other: claim, read to the end, take over; step down, release. [`Member::gates`] says until when which
//! packets may pass this node.
//!
//! | side | what it is | ends by |
//! |---|---|---|
//! | following | takes records in, forwards, hands the rest to the master | an authority |
//! | claiming | has the Lease, waits for the store to take its claim | the claim; the end of its patience |
//! | reading | the claim stands; reads what the master before had stored | the end of the stream; the same |
//! | asking | has no store; asks the other members for what they have newer | their answers; the claim; the same |
//! | serving | is the active node | the end of its authority |
//!
//! A master that has no store for too long takes over with what it and the other members know. Unless all of them
//! have answered it lets nobody new in before it has heard the rest, or looked at what the store has. Where one of
//! them reaches the store it leaves the Lease to that one, once. One that never had any records leaves
//! the Lease to others, until nobody can be expected to have some ([`Times::cold`]).
//!
//! Somebody may ask a node to stand [`Aside`]. One that is drained hands over and is passed by, and stays there for
//! when nobody else is; one that is fenced serves nobody until that is lifted. So does one whose release cannot read
//! what the store has ([`Member::handle_foreign`]).
//!
//! [`Attendance`] says who is on the roster. Not here: the elector, what records say, sockets and clocks.

mod attendance;
#[cfg(test)]
mod tests;

use core::ops::Add as _;
use core::time::Duration;
use std::collections::VecDeque;

use lns_tables::time::Instant;

pub use self::attendance::Attendance;
use crate::authority::Authority;
use crate::candidacy::Candidacy;
use crate::journal::Mark;
use crate::record::{Epoch, Identity, NodeName};

/// Answers of the master whose positions are not applied yet. One is asked for each second, and what is
/// more than a minute behind reads everything anew.
const ANSWERS: usize = 64;

/// By how much clocks may differ in rate, in thousandths (rho).
const DRIFT: u32 = 10;

/// How long a member may take to hear of a takeover.
const HEARSAY: Duration = Duration::from_secs(3);

/// How long what may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Times {
    /// S: how long a member forwards without the master's word, on the clock of the master.
    pub staleness: Duration,
    /// How long a master waits for its claim, and then for the end of the stream.
    pub store: Duration,
    /// How long a master that has no store waits for what the other members have.
    pub others: Duration,
    /// From the start on: for so long a node without records does not serve, because others may have some.
    pub cold: Duration,
    /// How long routers may send packets here after the store and the master were heard last: as long as
    /// an election and a takeover may take, and not longer, because a LAC whose messages end here gives up.
    pub touch: Duration,
    /// How long routers go on with a node that says nothing more. It is renewed three times in that time.
    pub announce: Duration,
    /// How long a node forwards what still comes once it has ceased to answer routers: they miss three probes, and
    /// send its packets elsewhere.
    pub withdraw: Duration,
    /// After so much time without a packet a node that is being drained is out of use.
    pub quiet: Duration,
}

impl Default for Times {
    /// S as the manifest has it where it says nothing.
    fn default() -> Self {
        Self {
            staleness: Duration::from_secs(600),
            store: Duration::from_millis(1500),
            others: Duration::from_secs(1),
            cold: Duration::from_secs(120),
            touch: Duration::from_secs(60),
            announce: Duration::from_millis(1500),
            withdraw: Duration::from_millis(1500),
            quiet: Duration::from_secs(3),
        }
    }
}

impl Times {
    /// With this S.
    pub fn of(staleness: Duration) -> Self {
        Self {
            staleness,
            ..Self::default()
        }
    }

    /// Where a candidate waits so long (D) before it takes over.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        let takeover = self.store.saturating_mul(2).saturating_add(self.others);
        let takeover = takeover.saturating_add(HEARSAY);
        Self {
            touch: wait.saturating_add(takeover),
            ..self
        }
    }

    /// S on the clock of a member, which may be slow.
    pub fn forwards(&self) -> Duration {
        let rate = DRIFT.saturating_add(1000);
        let shrunk = self.staleness.saturating_mul(1000).checked_div(rate);
        shrunk.unwrap_or_default()
    }

    /// For how long somebody who is silent may go on forwarding, on the clock of the master.
    pub fn outlasts(&self) -> Duration {
        let more = self.staleness.saturating_mul(DRIFT).checked_div(1000);
        self.staleness.saturating_add(more.unwrap_or_default())
    }
}

lns_wire::labelled! {
    /// Which side a member is on.
    pub enum Side {
        /// Takes records in.
        Following = "following",
        /// Waits for its claim.
        Claiming = "claiming",
        /// Reads to the end of the stream.
        Reading = "reading",
        /// Has no store, and asks the other members.
        Asking = "asking",
        /// Is the active node.
        Serving = "serving",
    }
}

lns_wire::labelled! {
    /// Whether a node is to leave the service to the others.
    pub enum Aside {
        /// It serves as they do.
        No = "no",
        /// It is taken out of use as long as others are there: it hands over, is not answered for to routers, and
        /// forwards what still comes.
        Draining = "draining",
        /// Its service stops, whoever is there.
        Fenced = "fenced",
    }
}

/// What is to be done next. Each is done before the one behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// There is this epoch: nothing older is believed.
    Raise(Epoch),
    /// This is the master: what is the master's goes there; `None`: nobody is known.
    Master(Option<Identity>),
    /// Claim this mastership at the store.
    Claim(Epoch),
    /// Read what the store has, to its end.
    CatchUp,
    /// Ask the other members for what they have newer, and take it in.
    AskOthers(Epoch),
    /// Become the active node.
    TakeOver {
        /// In this mastership.
        epoch: Epoch,
        /// All that is stored was read.
        is_complete: bool,
        /// It is known who has which ids and addresses: somebody new may be let in.
        admits: bool,
    },
    /// From now on somebody new may be let in.
    Admit,
    /// Nothing more in the cluster's name: close the gate for control, drop what waits, and follow.
    Demote,
    /// Give the claim up.
    Resign,
    /// The gate is closed: the Lease of this mastership may be released.
    Release(Epoch),
    /// Leave the Lease to others.
    StepDown,
}

/// What the other members have said, when they were asked for what they have newer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// Everybody on the roster has answered, and it was taken in.
    All,
    /// Some have, and some could not be asked, or do not know all.
    Some,
    /// One of them reaches the store.
    Store,
}

/// Until when what may pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gates {
    /// What the master says.
    pub control: Option<Instant>,
    /// Subscribers' packets.
    pub data: Option<Instant>,
    /// Answers to routers.
    pub announce: Option<Instant>,
}

/// What it knows of what the cluster has.
#[derive(Clone, Copy, Debug)]
enum Knowledge {
    /// The records were not read yet.
    Nothing,
    /// All were read once.
    All,
    /// There are some that it cannot read.
    Foreign,
}

/// Whether a node is to leave the service to the others.
#[derive(Clone, Copy, Debug)]
struct Asked {
    what: Aside,
    since: Instant,
    /// It has handed over since then.
    has_handed_over: bool,
}

impl Asked {
    const fn new(what: Aside, since: Instant) -> Self {
        Self {
            what,
            since,
            has_handed_over: false,
        }
    }
}

/// One node of a cluster.
#[derive(Debug)]
pub struct Member {
    me: NodeName,
    times: Times,
    started: Instant,
    side: Side,
    since: Instant,
    authority: Option<Authority>,
    /// The mastership that was begun; of a member that follows, the last one.
    epoch: Epoch,
    /// The highest epoch that was heard of.
    known: Epoch,
    master: Option<(Epoch, Identity)>,
    knows: Knowledge,
    applied: Mark,
    /// When the master was asked, and up to where everything was to be applied then.
    answers: VecDeque<(Instant, Mark)>,
    /// What it forwards by was right at this moment.
    fresh: Option<Instant>,
    /// When it was last in step with store or master.
    touched: Option<Instant>,
    /// The mastership in which it has ordered to step down.
    stepped_down: Epoch,
    is_leaving: bool,
    aside: Asked,
    /// Packets that have passed, and since when there were no more.
    traffic: (u64, Instant),
    /// It serves, and does not know who has which ids and addresses.
    is_unsure: bool,
    /// When it has left the Lease to somebody who reaches the store.
    yielded: Option<Instant>,
    orders: VecDeque<Order>,
}

impl Member {
    /// One that has just started.
    pub fn new(me: NodeName, times: Times, now: Instant) -> Self {
        Self {
            me,
            times,
            started: now,
            side: Side::Following,
            since: now,
            authority: None,
            epoch: Epoch::NONE,
            known: Epoch::NONE,
            master: None,
            knows: Knowledge::Nothing,
            applied: Mark::ZERO,
            answers: VecDeque::new(),
            fresh: None,
            touched: None,
            stepped_down: Epoch::NONE,
            is_leaving: false,
            aside: Asked::new(Aside::No, now),
            traffic: (0, now),
            is_unsure: false,
            yielded: None,
            orders: VecDeque::new(),
        }
    }

    /// Which side it is on, and since when.
    pub const fn side(&self) -> (Side, Instant) {
        (self.side, self.since)
    }

    /// The highest epoch that was heard of.
    pub const fn known(&self) -> Epoch {
        self.known
    }

    /// Who is master, as far as is known.
    pub fn master(&self) -> Option<&(Epoch, Identity)> {
        self.master.as_ref()
    }

    /// Whether all records were read once: it can forward, and take over.
    pub const fn is_loaded(&self) -> bool {
        matches!(self.knows, Knowledge::All)
    }

    /// Whether the store has records that it cannot read.
    pub const fn is_foreign(&self) -> bool {
        matches!(self.knows, Knowledge::Foreign)
    }

    /// Up to which change it has all records.
    pub const fn applied(&self) -> Mark {
        self.applied
    }

    /// Whether it serves without knowing who has which ids and addresses: the others are to be asked further.
    pub const fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// From when what it forwards by was right for certain.
    pub const fn fresh(&self) -> Option<Instant> {
        self.fresh
    }

    /// What is to be done next.
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    // The elector.

    /// What the elector says now: the right to speak, and the mastership whose gate is to be closed.
    pub fn handle_authority(
        &mut self,
        authority: Option<Authority>,
        closing: Option<Epoch>,
        now: Instant,
    ) {
        self.authority = authority.filter(|it| now < it.until);
        self.check(now);
        if let Some(authority) = self.authority.filter(|_| self.side == Side::Following)
            && authority.epoch > self.epoch
        {
            self.begin(authority.epoch, now);
        }
        if let Some(epoch) = closing {
            self.orders.push_back(Order::Release(epoch));
        }
    }

    /// Somebody is, or was, master in this epoch. `None`: its holder is not known.
    pub fn handle_epoch(&mut self, epoch: Epoch, holder: Option<&Identity>) {
        if epoch > self.known {
            self.known = epoch;
            self.orders.push_back(Order::Raise(epoch));
        }
        let Some(holder) = holder else {
            return;
        };
        if self.master.as_ref().is_none_or(|(of, _)| *of < epoch) {
            self.master = Some((epoch, holder.clone()));
            // What an earlier master had answered is not this one's word.
            self.answers.clear();
            self.orders.push_back(Order::Master(Some(holder.clone())));
        }
    }

    // The store.

    /// The store has taken the claim of this mastership.
    pub fn handle_claimed(&mut self, epoch: Epoch, now: Instant) {
        if matches!(self.side, Side::Claiming | Side::Asking) && epoch == self.epoch {
            self.enter(Side::Reading, now);
            self.orders.push_back(Order::CatchUp);
        }
    }

    /// The store has somebody else as master.
    pub fn handle_lost(&mut self, epoch: Epoch, now: Instant) {
        self.handle_epoch(epoch, None);
        if self.side != Side::Following {
            self.orders.push_back(Order::StepDown);
            self.end(now);
        }
    }

    /// All records were read; changes up to this one are in it.
    pub fn handle_loaded(&mut self, position: Mark, now: Instant) {
        // Whoever wrote the last of them was master in that epoch, whatever the Lease says.
        self.handle_epoch(position.epoch, None);
        if !self.is_foreign() {
            self.knows = Knowledge::All;
        }
        // Also where the store was put back.
        self.applied = position;
        self.touch(now);
    }

    /// All changes up to this one were applied.
    pub fn handle_position(&mut self, position: Mark, now: Instant) {
        self.applied = self.applied.max(position);
        self.touch(now);
    }

    /// The store answers, and has nothing new.
    pub fn handle_store(&mut self, now: Instant) {
        if self.is_loaded() {
            self.touched = Some(now);
        }
    }

    /// All that the stream had at [`Order::CatchUp`] was applied.
    pub fn handle_caught_up(&mut self, now: Instant) {
        if self.side == Side::Reading {
            self.take_over(true, true, now);
        }
    }

    /// Whether the store has records of a release that this one cannot read. Who is up is not known here then: it
    /// forwards nothing, and leaves the Lease to others, whoever they are.
    pub fn handle_foreign(&mut self, is_foreign: bool) {
        if is_foreign {
            self.knows = Knowledge::Foreign;
        } else if self.is_foreign() {
            // They are read anew.
            self.knows = Knowledge::Nothing;
        }
        let is_beginning = matches!(self.side, Side::Claiming | Side::Reading | Side::Asking);
        if is_foreign && is_beginning && !self.has_stepped_down() {
            self.stepped_down = self.epoch;
            self.orders.push_back(Order::StepDown);
        }
    }

    /// What the store has, and this mastership did not know of, was looked at.
    pub fn handle_looked(&mut self, epoch: Epoch) {
        if epoch == self.epoch {
            self.admit();
        }
    }

    // The other members.

    /// What they have said in this mastership.
    pub fn handle_heard(&mut self, epoch: Epoch, heard: Heard, now: Instant) {
        let is_asking = self.side == Side::Asking || self.is_unsure;
        if !is_asking || epoch != self.epoch {
            return;
        }
        if heard == Heard::Store && self.may_yield(now) {
            self.yielded = Some(now);
            self.orders.push_back(Order::StepDown);
            return;
        }
        match (self.side, heard) {
            (Side::Asking, _) => self.take_over(false, heard == Heard::All, now),
            (_, Heard::All) => self.admit(),
            (_, Heard::Some | Heard::Store) => {}
        }
    }

    /// Whoever left it to somebody else and has it again serves: the other one cannot.
    fn may_yield(&self, now: Instant) -> bool {
        self.yielded
            .is_none_or(|at| Instant::add(at, self.times.cold) <= now)
    }

    fn admit(&mut self) {
        if core::mem::take(&mut self.is_unsure) {
            self.orders.push_back(Order::Admit);
        }
    }

    // The master.

    /// The master of this epoch, asked at `sent`, says that its stream is at `position`.
    pub fn handle_answer(&mut self, epoch: Epoch, position: Mark, sent: Instant, now: Instant) {
        if epoch != self.known || self.side != Side::Following {
            return;
        }
        if self.answers.len() < ANSWERS {
            self.answers.push_back((sent, position));
        }
        self.touch(now);
    }

    fn touch(&mut self, now: Instant) {
        if !self.is_loaded() {
            return;
        }
        self.touched = Some(now);
        let applied = self.applied;
        while let Some((sent, _)) = self
            .answers
            .pop_front_if(|(_, position)| *position <= applied)
        {
            self.fresh = self.fresh.max(Some(sent));
        }
    }

    /// The node is going to end: routers are to send its packets elsewhere from now on.
    pub const fn handle_leaving(&mut self) {
        self.is_leaving = true;
    }

    /// What is asked of the node. `others`: another member could follow it.
    pub fn handle_aside(&mut self, aside: Aside, others: bool, now: Instant) {
        if self.aside.what != aside {
            self.aside = Asked::new(aside, now);
        }
        let leaves = match aside {
            Aside::No => false,
            Aside::Draining => others && self.may_hand_over(now),
            Aside::Fenced => true,
        };
        if leaves && self.side != Side::Following && !self.has_stepped_down() {
            self.stepped_down = self.epoch;
            self.aside.has_handed_over = true;
            self.orders.push_back(Order::StepDown);
        }
    }

    /// Whoever has handed over and is master again has it because nobody else took it: the next try waits.
    fn may_hand_over(&self, now: Instant) -> bool {
        !self.aside.has_handed_over || Instant::add(self.since, self.times.cold) <= now
    }

    /// So many packets of subscribers have come here since the start.
    pub fn handle_traffic(&mut self, packets: u64, now: Instant) {
        if self.traffic.0 != packets {
            self.traffic = (packets, now);
        }
    }

    /// Whether it is to leave the service to the others.
    pub const fn aside(&self) -> Aside {
        self.aside.what
    }

    /// Whether it stands in the election.
    pub const fn candidacy(&self) -> Candidacy {
        match self.aside.what {
            _ if self.is_foreign() => Candidacy::No,
            Aside::No => Candidacy::Full,
            Aside::Draining => Candidacy::Last,
            Aside::Fenced => Candidacy::No,
        }
    }

    /// Whether it is being drained, and nothing comes any more: nobody misses it.
    pub fn is_drained(&self, now: Instant) -> bool {
        let idle = self.traffic.1.max(self.aside.since).max(self.since);
        self.aside.what == Aside::Draining
            && self.side == Side::Following
            && Instant::add(idle, self.times.quiet) <= now
    }

    // Time.

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.authority.map(|authority| authority.until);
        match self.side {
            Side::Following => None,
            Side::Serving => ends,
            // It has left the Lease to others.
            Side::Claiming | Side::Reading | Side::Asking if self.is_foreign() => ends,
            Side::Claiming | Side::Reading | Side::Asking => {
                let patience = self.patience();
                Some(ends.map_or(patience, |ends| ends.min(patience)))
            }
        }
    }

    /// The end of an authority, or of patience.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.check(now);
        let is_waiting = matches!(self.side, Side::Claiming | Side::Reading | Side::Asking);
        if !is_waiting || self.is_foreign() || now < self.patience() {
            return;
        }
        if self.side == Side::Asking {
            self.take_over(false, false, now);
        } else if self.is_loaded() {
            self.enter(Side::Asking, now);
            self.orders.push_back(Order::AskOthers(self.epoch));
        } else if now >= self.warm() {
            // Nobody has any records.
            self.take_over(false, true, now);
        } else if !self.has_stepped_down() {
            self.stepped_down = self.epoch;
            self.orders.push_back(Order::StepDown);
        }
    }

    /// Until when the store is waited for.
    fn patience(&self) -> Instant {
        let patience = Instant::add(self.since, self.times.store);
        match self.side {
            // It is being read for the first time: there is nothing to serve by.
            Side::Reading if !self.is_loaded() => self.warm().max(patience),
            // Nothing more to be done but to wait for the end of the authority, or of the cold.
            Side::Claiming if self.has_stepped_down() => self.warm().max(patience),
            Side::Asking => Instant::add(self.since, self.times.others),
            Side::Following | Side::Claiming | Side::Reading | Side::Serving => patience,
        }
    }

    fn has_stepped_down(&self) -> bool {
        self.stepped_down == self.epoch
    }

    fn warm(&self) -> Instant {
        Instant::add(self.started, self.times.cold)
    }

    // Changes of sides.

    fn begin(&mut self, epoch: Epoch, now: Instant) {
        self.epoch = epoch;
        self.enter(Side::Claiming, now);
        if epoch > self.known {
            self.known = epoch;
            self.orders.push_back(Order::Raise(epoch));
        }
        self.orders.push_back(Order::Claim(epoch));
    }

    fn take_over(&mut self, is_complete: bool, admits: bool, now: Instant) {
        if self.is_foreign() {
            return;
        }
        self.enter(Side::Serving, now);
        self.knows = Knowledge::All;
        self.is_unsure = !admits;
        self.answers.clear();
        self.orders.push_back(Order::TakeOver {
            epoch: self.epoch,
            is_complete,
            admits,
        });
    }

    /// Whether what was begun still stands.
    fn check(&mut self, now: Instant) {
        let stands = self
            .authority
            .is_some_and(|it| it.epoch == self.epoch && now < it.until);
        if self.side != Side::Following && !stands {
            self.end(now);
        }
    }

    fn end(&mut self, now: Instant) {
        if self.side == Side::Serving {
            // Up to here it was the master's word itself.
            let until = self.authority.map(|it| it.until.min(now));
            self.fresh = self.fresh.max(until);
            self.orders.push_back(Order::Demote);
        }
        self.orders.push_back(Order::Resign);
        self.is_unsure = false;
        self.enter(Side::Following, now);
    }

    fn enter(&mut self, side: Side, now: Instant) {
        self.side = side;
        self.since = now;
    }

    // The gates.

    /// Until when what may pass, as it is known now. To be asked again at each change, and each third of
    /// [`Times::announce`] at least.
    pub fn gates(&mut self, now: Instant) -> Gates {
        let authority = self.authority.filter(|it| now < it.until);
        let serves = self.side == Side::Serving && authority.is_some();
        if serves {
            self.fresh = self.fresh.max(Some(now));
            self.touched = Some(now);
        }
        let control = authority.filter(|_| serves).map(|it| it.until);
        let data = self.data_until().filter(|until| *until > now);
        let is_touched = self
            .touched
            .is_some_and(|at| now < Instant::add(at, self.times.touch));
        let is_aside = match self.aside.what {
            Aside::No => false,
            // Without another master there may be nobody else at all.
            Aside::Draining => !serves,
            Aside::Fenced => true,
        };
        let announce = data.filter(|_| is_touched && !self.is_leaving && !is_aside);
        Gates {
            control,
            data,
            announce: announce.map(|data| data.min(Instant::add(now, self.times.announce))),
        }
    }

    fn data_until(&self) -> Option<Instant> {
        let fresh = self.fresh.filter(|_| self.is_loaded())?;
        let until = Instant::add(fresh, self.times.forwards());
        if self.aside.what == Aside::Fenced {
            // What routers still send here is not lost.
            return Some(until.min(Instant::add(self.aside.since, self.times.withdraw)));
        }
        Some(until)
    }

    /// Its own name.
    pub const fn me(&self) -> &NodeName {
        &self.me
    }
}
