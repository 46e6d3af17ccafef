//! The task that makes a node a member: it hears the Lease, the store and the other members, has
//! [`lns_cluster::member::Member`] decide, and carries out what that orders.
//!
//! One task owns all of it. It waits for nobody for longer than a question takes; what may take long (a reading of
//! the store's position, a question to the master) runs beside it and comes back.

mod aside;
mod configure;
mod finalize;
mod look;
mod others;
mod peers;
mod show;
mod store;
mod tidings;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lns_cluster::journal::Mark;
use lns_cluster::member::{Attendance, Gates, Member, Order, Side, Times};
use lns_cluster::{Epoch, Identity, NodeName, Roster};
use lns_datapath::{Home, Peer, Punt, clock};
use lns_lease::{Announcing, Directory, Handle, Question as Wanted, Standing, Told as Step};
use lns_peers::wire::{Answer, Failure, Message, Position};
use lns_peers::{Authenticated, ClusterId, Epochs, Events, PeerNumber, Peers, Speaker};
use lns_store::follower::{Follower, Told};
use lns_store::writer::Mastership;
use lns_store::{Fence as StoreFence, Redis};
use lns_tables::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use self::others::{Inquiry, Said, Stored};
use self::tidings::Tidings;
use super::AskedByMember;
use super::fence::Fence;
use super::stamp::Stamp;
use super::view::View;
use crate::admin::StatsSource;
use crate::config::ClusterSetup;
use crate::run::control::{Asker, Control};
use crate::run::keeper::{Finalized, StoreClock, StoreNews};

/// How often the gates are held again, and it is looked whether all is well.
const TICK: Duration = Duration::from_millis(400);

/// How often the master is asked where its stream is, and the store and the roster are looked after.
const LOOK: Duration = Duration::from_secs(1);

/// How often the store's clock is compared with ours.
const CLOCK: Duration = Duration::from_secs(30);

/// What is said while there are records that cannot be read.
const FOREIGN: &str = "the store has records of a later release, which this one cannot read: this node serves nobody until it has that release, too";

/// Things that the follower has read ahead of what was taken in.
pub(super) const AHEAD: usize = 4_096;

/// Of these so many are taken in at once: less than a millisecond of the control task's time.
const BATCH: usize = 256;

/// How long RADIUS has to begin or to rest. It needs a few milliseconds; a reload may be before it.
const RADIUS: Duration = Duration::from_secs(2);

/// What whoever has RADIUS is told: whether this node is the active one. It answers when that is so.
pub(crate) type Role = (bool, oneshot::Sender<()>);

/// What is asked of the task from outside.
#[derive(Debug)]
pub(crate) enum Command {
    /// A planned switchover; the answer says why not.
    StepDown(oneshot::Sender<Result<(), String>>),
    /// From now on records are written as only this release and later ones read them; the answer says why not.
    Finalize(oneshot::Sender<Result<Finalized, String>>),
    /// The node ends: it leaves the Lease to others, and this is answered when nothing is held any more.
    Leave(oneshot::Sender<()>),
}

/// What the task is made of.
pub(super) struct Parts {
    pub(super) me: NodeName,
    pub(super) peer: SocketAddr,
    pub(super) owner: Box<str>,
    pub(super) times: Times,
    pub(super) lease: Handle,
    pub(super) steps: mpsc::Receiver<Step>,
    pub(super) wanted: mpsc::Receiver<Wanted>,
    pub(super) announcing: Announcing,
    pub(super) directory: Directory,
    pub(super) peers: Peers,
    pub(super) events: Events,
    pub(super) epochs: Epochs,
    pub(super) redis: Redis,
    pub(super) store_news: mpsc::UnboundedReceiver<StoreNews>,
    pub(super) clock: StoreClock,
    pub(super) fence: Fence,
    pub(super) stamp: Stamp,
    pub(super) asker: Asker,
    pub(super) punts: mpsc::Sender<Punt>,
    pub(super) roles: mpsc::Sender<Role>,
    pub(super) cluster: ClusterId,
    /// What is in force, and what will be.
    pub(super) setup: ClusterSetup,
    pub(super) setups: watch::Receiver<ClusterSetup>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// What the workers have counted.
    pub(super) stats: StatsSource,
    pub(super) queried: mpsc::Sender<AskedByMember>,
    pub(super) master: Master,
    pub(super) view: Arc<Mutex<View>>,
}

/// Who is master, for those who hand things over to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Master(Arc<Mutex<Option<NodeName>>>);

impl Master {
    /// Who it is; `None`: this node, or nobody is known.
    pub(crate) fn other(&self) -> Option<NodeName> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, master: Option<NodeName>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = master;
    }
}

/// What ran beside the task, and has come back.
#[derive(Debug)]
enum Back {
    Position(Instant, Result<Authenticated<Answer>, Failure>),
    Fence(Result<Option<StoreFence>, lns_store::Error>),
    Clock(u64, Option<Duration>),
    Others(Epoch, NodeName, Result<Said, Failure>),
    Store(Epoch, Option<Stored>),
}

pub(super) struct Crew {
    parts: Parts,
    speaker: Speaker,
    standing: watch::Receiver<Standing>,
    member: Member,
    attendance: Attendance,
    follower: Option<Follower>,
    connected: BTreeMap<NodeName, (PeerNumber, Identity)>,
    beside: JoinSet<Back>,
    /// The roster that was asked for last.
    roster: Option<Roster>,
    /// Who has said last that it serves: there sessions have their home, until somebody else serves.
    home: Option<NodeName>,
    /// Since when it keeps what the store did not have when it was read.
    doubt: Option<Instant>,
    /// When nobody else was master, and what of that the control task was told.
    vouched: Instant,
    passed_on: Instant,
    /// Where the stream is, of a master.
    own: Option<Mark>,
    /// How far each member says that it is.
    positions: BTreeMap<NodeName, Mark>,
    /// This mastership began without the store, and has to look at what that has.
    is_incomplete: bool,
    /// What the other members are asked in it.
    inquiry: Option<Inquiry>,
    /// Why the store is away.
    store_away: Option<Arc<str>>,
    is_asking: bool,
    is_reading_fence: bool,
    /// What the gate was told last.
    held: Gates,
    leaving: Option<oneshot::Sender<()>>,
    /// Since when it does not answer routers any more, for it leaves.
    withdrawn: Option<Instant>,
    switchovers: u64,
    /// What the control task has said of itself last.
    tidings: Tidings,
}

impl Crew {
    pub(super) fn new(parts: Parts) -> Self {
        let now = clock::now();
        Self {
            speaker: parts.peers.speaker(),
            standing: parts.lease.standing(),
            member: Member::new(parts.me.clone(), parts.times, now),
            attendance: Attendance::new(parts.times.outlasts()),
            follower: Some(Follower::start(parts.redis.clone(), AHEAD)),
            connected: BTreeMap::new(),
            beside: JoinSet::new(),
            roster: None,
            home: None,
            doubt: None,
            vouched: Instant::ZERO,
            passed_on: Instant::ZERO,
            own: None,
            positions: BTreeMap::new(),
            is_incomplete: false,
            inquiry: None,
            store_away: None,
            is_asking: false,
            is_reading_fence: false,
            held: Gates::default(),
            leaving: None,
            withdrawn: None,
            switchovers: 0,
            tidings: Tidings::default(),
            parts,
        }
    }

    /// Works until the node has left, or a part that must not end has ended.
    pub(super) async fn serve(mut self) {
        let mut tick = interval(TICK);
        let mut look = interval(LOOK);
        let mut compare = interval(CLOCK);
        for each in [&mut tick, &mut look, &mut compare] {
            each.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            self.settle().await;
            if self.has_left() {
                return self.farewell().await;
            }
            let wake = self.wake(clock::now());
            // Whoever has much to say is not to keep the others waiting: all have the same turn.
            tokio::select! {
                changed = self.standing.changed() => {
                    if changed.is_err() {
                        return self.farewell().await;
                    }
                    self.hear_lease();
                }
                Some(step) = self.parts.steps.recv() => Self::log_step(&step),
                Some(wanted) = self.parts.wanted.recv() => self.ask_for_promise(wanted),
                event = self.parts.events.next() => match event {
                    Some(event) => self.hear_peer(event).await,
                    None => return error!("the peer channel has ended"),
                },
                Some(news) = self.parts.store_news.recv() => self.hear_store(news).await,
                Some(command) = self.parts.commands.recv() => self.obey(command).await,
                Ok(()) = self.parts.setups.changed() => self.configure().await,
                Some(Ok(back)) = self.beside.join_next() => self.take_back(back).await,
                told = next(&mut self.follower) => self.follow(told).await,
                _ = look.tick() => self.look().await,
                _ = compare.tick() => self.compare_clocks(),
                _ = tick.tick() => self.refresh(),
                () = sleep(wake) => {}
            }
        }
    }

    fn wake(&self, now: Instant) -> Duration {
        let at = self.member.poll_timeout();
        at.map_or(LOOK, |at| at.since(now).min(LOOK))
    }

    fn has_left(&self) -> bool {
        let is_over = |since| clock::now().since(since) >= self.parts.times.withdraw;
        self.withdrawn.is_some_and(is_over)
            && self.standing.borrow().state == lns_cluster::State::Stopped
    }

    /// Carries out what there is to do, and holds the gates.
    async fn settle(&mut self) {
        // If this task was kept waiting, the Lease was renewed meanwhile: an old view of it must not end anything.
        if self.standing.has_changed().unwrap_or_default() {
            self.hear_lease();
        }
        self.member.handle_timeout(clock::now());
        while let Some(order) = self.member.poll_order() {
            self.carry_out(order).await;
        }
        self.hold();
        if self.member.side().0 == Side::Serving && self.passed_on < self.vouched {
            self.vouch().await;
        }
    }

    /// Tells the control task until when nobody else was master.
    async fn vouch(&mut self) {
        let vouched = self.vouched;
        self.passed_on = vouched;
        self.tell(move |control, _| control.keeper.handle_vouched(vouched))
            .await;
    }

    /// Holds the gates for longer, and shows how it stands.
    fn refresh(&mut self) {
        self.held = Gates::default();
        self.hold();
        self.show();
    }

    /// What may pass, passes until then; what the process itself may say, too.
    fn hold(&mut self) {
        let gates = self.member.gates(clock::now());
        self.parts.stamp.set(gates.control);
        // What only lasts a little longer than was said can wait for the next tick.
        let is_news = gates.control != self.held.control
            || gates.data.is_some() != self.held.data.is_some()
            || gates.announce.is_some() != self.held.announce.is_some();
        if is_news {
            self.held = gates;
            self.parts.fence.hold(gates);
        }
    }

    // What is ordered.

    async fn carry_out(&mut self, order: Order) {
        match order {
            Order::Raise(epoch) => {
                self.parts.epochs.raise(epoch);
                let _ended = self.parts.lease.heard(epoch).await;
            }
            Order::Master(master) => {
                let other = master.filter(|it| it.node() != &self.parts.me);
                self.parts.master.set(other.map(|it| it.node().clone()));
                self.recall_who_serves().await;
            }
            Order::Claim(epoch) => self.claim(epoch).await,
            Order::CatchUp => {
                if let Some(follower) = &self.follower {
                    follower.catch_up();
                }
            }
            Order::AskOthers(epoch) => self.ask_others(epoch).await,
            Order::TakeOver {
                epoch,
                is_complete,
                admits,
            } => self.take_over(epoch, is_complete, admits).await,
            Order::Admit => {
                info!("it is known who has which ids and addresses: calls are let in again");
                self.inquiry = None;
                self.tell(|control, _| control.node.handle_admission(true))
                    .await;
            }
            Order::Demote => self.demote().await,
            Order::Resign => {
                self.inquiry = None;
                self.tell(|control, _| control.keeper.resign()).await;
            }
            Order::Release(epoch) => drop(self.parts.lease.closed(epoch).await),
            Order::StepDown => drop(self.parts.lease.step_down().await),
        }
    }

    async fn claim(&mut self, epoch: Epoch) {
        let mastership = Mastership {
            epoch,
            holder: self.standing.borrow().me.clone(),
            owner: self.parts.owner.clone(),
            roster: names(&self.standing.borrow().seen.roster),
        };
        self.tell(move |control, _| control.keeper.claim(mastership))
            .await;
    }

    async fn take_over(&mut self, epoch: Epoch, is_complete: bool, admits: bool) {
        let began = clock::now();
        if is_complete {
            self.inquiry = None;
        } else {
            self.take_in_heard().await;
        }
        // What it says first has to pass the gate.
        self.hold();
        self.set_radius(true).await;
        self.vouch().await;
        self.tell(move |control, now| control.take_over(epoch, admits, now))
            .await;
        self.follower = None;
        self.is_incomplete = !is_complete;
        self.doubt = None;
        self.parts.master.set(None);
        self.home = Some(self.parts.me.clone());
        self.say_that_it_serves(epoch);
        self.switchovers = self.switchovers.saturating_add(1);
        let took = clock::now().since(began);
        info!(
            epoch = epoch.number(),
            complete = is_complete,
            admits,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "this node is the active one"
        );
    }

    async fn demote(&mut self) {
        self.parts.stamp.set(None);
        self.parts.fence.close().await;
        self.tell(Control::demote).await;
        if let Some(own) = self.own.take() {
            self.member.handle_position(own, clock::now());
        }
        self.set_radius(false).await;
        self.follower = Some(Follower::start(self.parts.redis.clone(), AHEAD));
        self.roster = None;
        self.is_incomplete = false;
        warn!("this node is not the active one any more: it follows");
    }

    /// From now on packets of sessions that have a home are handed here.
    fn say_that_it_serves(&self, epoch: Epoch) {
        // Nothing of its own is in the stream yet.
        let position = Position { epoch, seq: 0 };
        for node in self.connected.keys() {
            // Whoever misses it asks within a second.
            let _lost = self.speaker.send(node, Message::Applied(position));
        }
    }

    /// A node says that it serves in this epoch, which makes it the home of sessions. Whoever had them before has
    /// forwarded their packets until now, since data is nobody's alone.
    pub(super) async fn serves_now(&mut self, node: &NodeName, epoch: Epoch) {
        let is_master = self
            .member
            .master()
            .is_some_and(|(of, it)| *of == epoch && it.node() == node);
        if is_master && self.home.as_ref() != Some(node) {
            self.home = Some(node.clone());
            self.find_home().await;
        }
    }

    /// The master may have said that it serves before it was known that it is the master.
    async fn recall_who_serves(&mut self) {
        let Some((epoch, master)) = self.member.master().cloned() else {
            return;
        };
        let said = self.positions.get(master.node());
        if said.is_some_and(|position| position.epoch == epoch) {
            self.serves_now(master.node(), epoch).await;
        }
    }

    /// Says to the workers where sessions have their home, as long as that is not here.
    async fn find_home(&self) {
        let Some(home) = self.home.as_ref().filter(|it| **it != self.parts.me) else {
            return;
        };
        let home = self
            .connected
            .get(home)
            .map_or(Home::Nowhere, |(number, _)| {
                let number = u8::try_from(number.index()).unwrap_or(u8::MAX);
                Home::Peer(Peer(number))
            });
        self.tell(move |control, _| control.path.set_home(home))
            .await;
    }

    async fn set_radius(&self, is_active: bool) {
        let (done, answer) = oneshot::channel();
        let told = async {
            if self.parts.roles.send((is_active, done)).await.is_ok() {
                let _gone = answer.await;
            }
        };
        if timeout(RADIUS, told).await.is_err() {
            warn!(is_active, "RADIUS takes long to follow");
        }
    }

    /// Has the control task do something, and waits until it has.
    async fn tell(&self, change: impl FnOnce(&mut Control, Instant) + Send + 'static) {
        // Whoever ends it ends the process.
        let _gone = self.parts.asker.ask(change).await;
    }

    // The Lease.

    fn hear_lease(&mut self) {
        let now = clock::now();
        let standing = self.standing.borrow_and_update().clone();
        if let Some(holder) = &standing.seen.holder {
            self.member.handle_epoch(standing.seen.epoch, Some(holder));
        }
        let authority = standing.authority(now);
        if let Some(authority) = authority {
            self.vouched = authority.vouched;
            self.member
                .handle_epoch(authority.epoch, Some(&standing.me));
        }
        self.attendance.handle_roster(&standing.seen.roster, now);
        self.member
            .handle_authority(authority, standing.closing, now);
    }

    fn log_step(step: &Step) {
        let transition = step.transition;
        info!(
            from = transition.from.label(),
            to = transition.to.label(),
            why = transition.on.label(),
            epoch = transition.epoch.number(),
            "election"
        );
    }

    fn ask_for_promise(&self, wanted: Wanted) {
        // It asks again with its next round.
        let _lost = self.speaker.send(&wanted.to, Message::Ask(wanted.ask));
    }

    // From outside.

    async fn obey(&mut self, command: Command) {
        match command {
            Command::StepDown(answer) => {
                let done = match self.member.side().0 {
                    Side::Serving => {
                        info!("stepping down, as asked");
                        self.parts
                            .lease
                            .step_down()
                            .await
                            .map_err(|ended| ended.to_string())
                    }
                    Side::Following | Side::Claiming | Side::Reading | Side::Asking => {
                        Err(self.not_master())
                    }
                };
                let _gone = answer.send(done);
            }
            Command::Finalize(answer) => {
                let done = self.finalize().await;
                let _gone = answer.send(done);
            }
            Command::Leave(done) => {
                self.leaving = Some(done);
                self.withdrawn = Some(clock::now());
                self.member.handle_leaving();
                let _ended = self.parts.lease.stop().await;
            }
        }
    }

    fn not_master(&self) -> String {
        match self.parts.master.other() {
            Some(master) => format!("this node is not the master: ask {master}"),
            None => "this node is not the master, and none is known".to_owned(),
        }
    }

    /// Nothing is held any more.
    async fn farewell(self) {
        let Parts {
            fence,
            peers,
            announcing,
            stamp,
            ..
        } = self.parts;
        stamp.set(None);
        drop(announcing.state);
        peers.close().await;
        fence.remove().await;
        if let Some(done) = self.leaving {
            let _waits = done.send(());
        }
    }
}

/// What the follower tells next; nothing ever comes where there is none.
async fn next(follower: &mut Option<Follower>) -> Told {
    match follower {
        Some(follower) => follower.next().await,
        None => core::future::pending().await,
    }
}

fn names(roster: &Roster) -> Bytes {
    let names: Vec<String> = roster.iter().map(ToString::to_string).collect();
    names.join("\n").into()
}

fn text(roster: &Roster) -> String {
    let names: Vec<String> = roster.iter().map(ToString::to_string).collect();
    names.join(" ")
}
