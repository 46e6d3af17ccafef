//! The end of a process, and the one that goes on from the store.

use core::time::Duration;

use lns_node::config::Config;
use lns_node::{Beginning, Node, Unreadable};
use lns_tables::time::Instant;

use super::keeper::{Estate, Keeper, StoreSettings, date};
use super::queue::Item;
use super::{Watch, Workers, World, octets};

/// The salts of nodes after the first, and of the store.
const SALT: u64 = 1 << 32;
const STORE: u64 = 1 << 33;

/// Where in its doings a process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// Between two inputs.
    Idle,
    /// With the next input taken in, and nothing given to the store.
    Input,
    /// With the next changes on their way to the store, and nothing sent.
    Store,
    /// After so many of the next datagrams that wait for the store have been handed over.
    Output(u8),
}

/// Who goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heir {
    /// A node that reads the store then.
    Reader,
    /// The one that has followed, if there is one.
    Follower,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Death {
    /// Where it ends.
    pub moment: Moment,
    /// How long nobody is there.
    pub down: Duration,
    /// Who is there then.
    pub heir: Heir,
}

/// A node that follows the store, and its workers.
#[derive(Debug)]
struct Follower {
    node: Node,
    workers: Workers,
}

/// All that outlives a process.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) keeper: Keeper,
    config: Config,
    follower: Option<Follower>,
    follows: bool,
    /// What is going to happen to the process.
    armed: Option<Death>,
    /// Nobody is there, and who comes when.
    pub(super) vacancy: Option<(Heir, Instant)>,
    estate: Estate,
    /// Nodes that there have been.
    nodes: u64,
}

impl Keeping {
    pub(super) fn new(config: Config, settings: StoreSettings, seed: u64) -> Self {
        Self {
            keeper: Keeper::new(settings, octets(seed, STORE)),
            config,
            follower: None,
            follows: settings.follows,
            armed: None,
            vacancy: None,
            estate: Estate::default(),
            nodes: 0,
        }
    }

    /// A node that knows what is stored.
    fn reader(&mut self, seed: u64, now: Instant) -> Follower {
        self.nodes += 1;
        let seed = octets(seed, SALT + self.nodes);
        let mut node = Node::standby(self.config.clone(), seed, now);
        let mut useless = Vec::new();
        for (key, octets) in self.keeper.records() {
            match node.handle_record(key, octets, now, date(now)) {
                Ok(()) => {}
                // Its tunnel has gone, and was forgotten first.
                Err(Unreadable::NoTunnel) => useless.push(key),
                Err(error) => panic!("the record {key} cannot be read: {error:?}"),
            }
        }
        for key in useless {
            self.keeper.forget(key);
        }
        let mut reader = Follower {
            workers: Workers::new(node.index()),
            node,
        };
        reader.settle();
        reader
    }

    /// Who follows takes in what has changed in the store.
    pub(super) fn follow(&mut self, now: Instant) {
        let news = self.keeper.take_news();
        let Some(follower) = &mut self.follower else {
            return;
        };
        for (key, octets) in news {
            match octets {
                Some(octets) => {
                    let taken = follower.node.handle_record(key, &octets, now, date(now));
                    assert!(
                        matches!(taken, Ok(()) | Err(Unreadable::NoTunnel)),
                        "the record {key} cannot be followed: {taken:?}"
                    );
                }
                None => follower.node.handle_forgotten(key),
            }
        }
        follower.settle();
    }
}

impl Follower {
    fn settle(&mut self) {
        while let Some(update) = self.node.poll_path() {
            self.workers.apply(&update);
        }
        let mut octets = Vec::new();
        let is_still = self.node.poll_timeout().is_none()
            && self.node.poll_event().is_none()
            && self
                .node
                .poll_transmit(Instant::ZERO, &mut octets)
                .is_none();
        assert!(is_still, "a node that follows does something of its own");
    }
}

impl<W: Watch> World<W> {
    /// A world whose node keeps records in a store, under the eyes of `watch`.
    pub fn kept(config: Config, seed: u64, settings: StoreSettings, mut watch: W) -> Self {
        let now = super::START;
        let mut keeping = Keeping::new(config.clone(), settings, seed);
        let epoch = keeping.keeper.begin(now);
        let node = watch.call(|| {
            let mut node = Node::standby(config, octets(seed, 0), now);
            node.handle_takeover(epoch, Beginning::Start, now);
            node
        });
        if settings.follows {
            keeping.follower = Some(keeping.reader(seed, now));
        }
        Self::with(node, Some(keeping), seed, watch)
    }

    /// The process ends. Nothing happens where no records are kept, or nobody is there.
    pub fn kill(&mut self, death: Death) {
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        if keeping.vacancy.is_none() {
            keeping.armed = Some(death);
            self.dies_at(|moment| moment == Moment::Idle);
        }
    }

    /// Whether nobody is there.
    pub fn is_vacant(&self) -> bool {
        let keeping = self.keeping.as_ref();
        keeping.is_some_and(|keeping| keeping.vacancy.is_some())
    }

    /// Somebody is there at once, and nobody is going to die; the store is there, too.
    pub fn revive(&mut self) {
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        keeping.armed = None;
        if let Some((heir, _)) = keeping.vacancy.take() {
            self.succeed(heir);
        } else {
            keeping.keeper.come_back(self.now);
            self.settle_store();
        }
    }

    /// The store is away for a while.
    pub fn cut_store(&mut self, span: Duration) {
        if let Some(keeping) = self.keeping.as_mut().filter(|it| it.vacancy.is_none()) {
            keeping.keeper.go_away(span, self.now, &mut self.queue);
        }
    }

    /// Records in the store.
    pub fn stored(&self) -> usize {
        self.keeping.as_ref().map_or(0, |it| it.keeper.stored())
    }

    /// Lets the watch look at the node that follows as well, if there is one and it has all that there is to
    /// have.
    pub fn compare(&mut self, look: impl FnOnce(&mut W, &Node, &Node, Instant)) {
        let keeping = self.keeping.as_ref().filter(|it| it.vacancy.is_none());
        let keeping = keeping.filter(|it| it.keeper.is_quiet());
        if let Some(follower) = keeping.and_then(|it| it.follower.as_ref()) {
            look(&mut self.watch, &self.node, &follower.node, self.now);
        }
    }

    /// Everybody gets another configuration, also who comes later.
    pub fn reconfigure(&mut self, config: Config) {
        let now = self.now;
        if let Some(keeping) = &mut self.keeping {
            keeping.config = config.clone();
            keeping.estate.reconfigured = keeping.vacancy.is_some();
            if let Some(follower) = &mut keeping.follower {
                follower.node.handle_config(config.clone(), now);
                follower.settle();
            }
        }
        if !self.is_vacant() {
            self.with_node(|node, now| node.handle_config(config, now));
        }
    }

    /// Ends the process here if it is to end at such a moment; whether it has.
    pub(super) fn dies_at(&mut self, is_here: impl FnOnce(Moment) -> bool) -> bool {
        let Some(keeping) = &mut self.keeping else {
            return false;
        };
        let Some(death) = keeping.armed.take_if(|death| is_here(death.moment)) else {
            return false;
        };
        keeping.estate = keeping.keeper.die();
        // What it had not given to the store is lost with it.
        let mut octets = Vec::new();
        while let Some((key, _)) = self.node.poll_record(self.now, date(self.now), &mut octets) {
            keeping.estate.lost.insert(key);
        }
        keeping.follow(self.now);
        let back = keeping.keeper.back_at().unwrap_or_default();
        let at = (self.now + death.down).max(back);
        keeping.vacancy = Some((death.heir, at));
        self.queue.push(at, Item::Heir(self.process));
        self.process += 1;
        self.node_at = None;
        self.asleep = None;
        self.watch.dies(self.now);
        true
    }

    /// It is time for the next node.
    pub(super) fn inherit(&mut self) {
        let vacancy = self.keeping.as_mut().and_then(|it| it.vacancy.take());
        if let Some((heir, _)) = vacancy {
            self.succeed(heir);
        }
    }

    fn succeed(&mut self, heir: Heir) {
        let now = self.now;
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        let epoch = keeping.keeper.begin(now);
        let has_followed = keeping.follower.take_if(|_| heir == Heir::Follower);
        let next = match has_followed {
            Some(follower) => follower,
            None => keeping.reader(self.seed, now),
        };
        (self.node, self.workers) = (next.node, next.workers);
        if keeping.follows && keeping.follower.is_none() {
            keeping.follower = Some(keeping.reader(self.seed, now));
        }
        let estate = core::mem::take(&mut keeping.estate);
        let known = self.workers.known();
        self.watch.succeeds(&self.node, &known, &estate, now);
        self.node.handle_takeover(epoch, Beginning::Takeover, now);
        self.settle_node();
    }
}
