//! One process of a node of a cluster: the real elector, member, journal and node, and between them the steps of
//! `lnsd`, in its order and without its tasks.
//!
//! | file | does what `lnsd` does in |
//! |---|---|
//! | [`driver`] | `dataplane/lease/src/driver` |
//! | [`crew`], [`look`], [`hear`] | `dataplane/src/member/crew` |
//! | [`keeper`] | `dataplane/src/run/keeper` |
//! | [`control`] | `dataplane/src/run/control.rs` |
//! | [`office`] | `dataplane/src/radius` |
//! | [`writer`], [`follower`] | `dataplane/store/src/{writer,follower}` |
//!
//! Whoever changes one of those looks here, too. What is decided is decided in `lns_cluster` and `lns_node`.

mod commit;
mod control;
mod crew;
mod driver;
mod follower;
mod hear;
mod keeper;
mod look;
mod office;
mod writer;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_cluster::journal::Mark;
use lns_cluster::member::{Aside, Attendance, Gates, Member, Side, Times};
use lns_cluster::{
    Answer, Authority, Epoch, Identity, NodeName, Operation, Profile, RequestId, Roster,
};
use lns_node::config::Config;
use lns_node::{Event, Node, StoreTime};
use lns_tables::time::Instant;

pub(super) use self::commit::Commit;
use self::driver::Driver;
use self::follower::Follower;
use self::keeper::Keeper;
use self::office::Office;
pub(super) use self::office::{Answered, Asked};
use self::writer::Writer;
use super::api::Gist;
use super::peers::{Body, Message};
use super::store::{Fence, Op};
use crate::plan::Dice;
use crate::world::Workers;

/// How often the gates are held again.
const TICK: Duration = Duration::from_millis(400);

/// How often the master is asked where its stream is, and the rest is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// How long the answer of a member is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// Rounds in which a process does not come to rest.
const STILL: u32 = 100_000;

/// What a process wants done.
#[derive(Debug)]
pub(super) enum Effect {
    Api(RequestId, Operation),
    Store(u64, Op),
    /// The connection to the store is asked for what comes on the stream.
    Tail(u64),
    Peer(usize, Message),
    /// A datagram, and whether it leaves as data does.
    Send {
        to: SocketAddr,
        octets: Vec<u8>,
        as_data: bool,
    },
    /// Servers are asked, or told.
    Radius(Asked),
    /// Something happened in the node.
    Event(Event),
    /// It becomes the active one; all that was stored was read.
    TakesOver(Epoch, bool),
    /// It is the active one no more.
    Follows,
    /// The Lease is released while the gate is open (E6).
    ReleasesEarly,
    /// What waits for the store leaves before it is stored, and the journal calls itself whole. What that is.
    Leaks(String),
    /// A step that somebody may want to read.
    Remark(String),
}

/// What a process has around it.
pub(super) struct Env<'a> {
    /// Its own time.
    pub(super) now: Instant,
    /// The store's.
    pub(super) date: StoreTime,
    pub(super) gate: &'a mut Gates,
    pub(super) out: &'a mut Vec<Effect>,
    pub(super) dice: &'a mut Dice,
    /// Somebody reads remarks.
    pub(super) tells: bool,
    /// Whether it is asked to leave the service to the others, and whether there are any.
    pub(super) aside: (Aside, bool),
}

impl Env<'_> {
    fn remark(&mut self, what: impl FnOnce() -> String) {
        if self.tells {
            self.out.push(Effect::Remark(what()));
        }
    }
}

/// What a process is made of.
#[derive(Clone, Debug)]
pub(super) struct Make {
    pub(super) site: usize,
    pub(super) names: Arc<[NodeName]>,
    pub(super) profile: Profile,
    pub(super) times: Times,
    /// Rounds and claims wait for this replica.
    pub(super) replicas: bool,
    /// What its node is; `None`: it has none, and only elects.
    pub(super) config: Option<Arc<Config>>,
    pub(super) boot: u64,
    pub(super) life: u64,
    pub(super) seed: [u8; 32],
}

/// The node and its workers.
pub(super) struct Engine {
    pub(super) node: Node,
    pub(super) workers: Workers,
}

/// A process.
pub(super) struct Process {
    make: Make,
    driver: Driver,
    member: Member,
    attendance: Attendance,
    follower: Option<Follower>,
    writer: Writer,
    /// The connection to the store: which, and to which data.
    link: Option<(u64, u64)>,
    keeper: Keeper,
    office: Office,
    engine: Option<Box<Engine>>,
    connected: BTreeMap<usize, Identity>,
    roster: Option<Roster>,
    own: Option<Mark>,
    is_incomplete: bool,
    /// Since when it keeps what the store did not have when it was read.
    doubt: Option<Instant>,
    /// When nobody else was master.
    vouched: Instant,
    is_away: bool,
    asking: Option<Instant>,
    is_reading_fence: bool,
    held: Gates,
    /// The highest epoch that frames are believed from.
    epochs: Epoch,
    /// Who is master, if that is another.
    master: Option<usize>,
    stamp: Option<Instant>,
    tick_at: Instant,
    look_at: Instant,
    octets: Vec<u8>,
}

impl Process {
    pub(super) fn new(make: Make, env: &mut Env<'_>) -> Self {
        let now = env.now;
        let name = make.names[make.site].clone();
        let engine = make.config.as_ref().map(|config| {
            let node = Node::standby(Config::clone(config), make.seed, now);
            let workers = Workers::new(node.index());
            Box::new(Engine { node, workers })
        });
        *env.gate = Gates::default();
        Self {
            driver: Driver::new(&name, make.boot, make.life, make.profile),
            member: Member::new(name, make.times, now),
            attendance: Attendance::new(make.times.outlasts()),
            follower: Some(Follower::default()),
            writer: Writer::new(make.replicas),
            link: None,
            keeper: Keeper::default(),
            office: Office::default(),
            engine,
            connected: BTreeMap::new(),
            roster: None,
            own: None,
            is_incomplete: false,
            doubt: None,
            vouched: Instant::ZERO,
            is_away: false,
            asking: None,
            is_reading_fence: false,
            held: Gates::default(),
            epochs: Epoch::NONE,
            master: None,
            stamp: None,
            tick_at: now,
            look_at: now,
            octets: Vec::new(),
            make,
        }
    }

    // What it shows to whoever judges.

    pub(super) fn identity(&self) -> &Identity {
        self.driver.elector.me()
    }

    pub(super) fn authority(&self, now: Instant) -> Option<Authority> {
        self.driver.elector.authority(now)
    }

    pub(super) fn refused(&self) -> u32 {
        self.driver.elector.refused()
    }

    pub(super) fn side(&self) -> Side {
        self.member.side().0
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.member.is_loaded()
    }

    /// The mastership that it serves in.
    pub(super) fn serves(&self) -> Option<Epoch> {
        (self.side() == Side::Serving).then(|| self.member.known())
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.as_deref()
    }

    pub(super) const fn commit(&mut self) -> &mut Commit {
        &mut self.keeper.commit
    }

    /// Nothing waits for the store, and it has all.
    pub(super) fn is_quiet(&self) -> bool {
        self.keeper.is_quiet() && self.writer.is_at_rest()
    }

    /// The data of the store that it holds its mastership with.
    pub(super) fn held_with(&self) -> Option<u64> {
        self.writer.held_with()
    }

    /// Up to where it has all, and nothing of it is still being read, or in doubt.
    pub(super) fn reached(&self) -> Option<Mark> {
        if self.doubt.is_some() {
            return None;
        }
        match &self.follower {
            Some(follower) => follower.reached(),
            None => self.keeper.position(),
        }
    }

    /// Whether it knows a roster by which it may acquire.
    pub(super) fn knows_a_roster(&self) -> bool {
        let elector = &self.driver.elector;
        elector.view().roster().contains(elector.me().node())
    }

    pub(super) fn has_link(&self) -> bool {
        self.link.is_some()
    }

    // Time.

    /// When it has something to do.
    pub(super) fn poll_timeout(&self, now: Instant) -> Instant {
        let all = [
            Some(self.tick_at.min(self.look_at)),
            Some(self.driver.poll_timeout(now)),
            self.member.poll_timeout(),
            self.writer.poll_timeout(),
            self.keeper.poll_timeout(),
            self.office.poll_timeout(),
            self.engine.as_ref().and_then(|it| it.node.poll_timeout()),
        ];
        all.into_iter().flatten().min().unwrap_or(now)
    }

    /// Does what is due, and all that follows from what was heard.
    pub(super) fn settle(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        if self.look_at <= now {
            self.look_at = now + LOOK;
            self.look(env);
        }
        if self.tick_at <= now {
            self.tick_at = now + TICK;
            self.held = Gates::default();
        }
        for _ in 0..STILL {
            if self.keeper.poll_question(now) {
                self.driver.elector.handle_hint(now);
            }
            let mut is_busy = self.driver.round(env);
            if is_busy {
                self.hear_lease(now);
            }
            self.ask_for_promises(env);
            is_busy |= self.carry_out_orders(env);
            is_busy |= self.write(env);
            is_busy |= self.read(env);
            is_busy |= self.control(env);
            if !is_busy {
                return;
            }
        }
        panic!("a process does not come to rest");
    }

    // What comes.

    pub(super) fn answered(&mut self, id: RequestId, answer: Answer, env: &mut Env<'_>) {
        self.driver.answered(id, answer, env);
        self.settle(env);
    }

    pub(super) fn hinted(&mut self, gist: Option<&Gist>, env: &mut Env<'_>) {
        self.driver.hinted(gist, env);
        self.settle(env);
    }

    /// RADIUS servers say something.
    pub(super) fn radius_answers(&mut self, answered: Answered, env: &mut Env<'_>) {
        self.office.answered(answered, env.now);
        self.settle(env);
    }

    /// A planned switchover, if it is the master.
    pub(super) fn step_down(&mut self, env: &mut Env<'_>) {
        if self.side() == Side::Serving {
            self.driver.step_down(env.now);
        }
        self.settle(env);
    }

    /// The process ends in good order. Whether it may go now.
    pub(super) fn stop(&mut self, env: &mut Env<'_>) {
        self.driver.stop(env.now);
        self.settle(env);
    }

    pub(super) fn has_left(&self) -> bool {
        self.driver.has_stopped()
    }

    fn say(&self, to: usize, body: Body, env: &mut Env<'_>) {
        if self.connected.contains_key(&to) {
            let epoch = self.epochs;
            env.out.push(Effect::Peer(to, Message { epoch, body }));
        }
    }

    fn number(&self, node: &NodeName) -> Option<usize> {
        self.make.names.iter().position(|name| name == node)
    }
}

/// A fence as the store has it, to be heeded.
type Seen = Option<Fence>;
