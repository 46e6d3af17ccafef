//! A store, a second node that follows the first by it and takes over, and a third one that only follows.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use lns_node::config::Config;
use lns_node::radius::{Order, Reach};
use lns_node::{Beginning, Node, RecordChange, RecordForm, RecordKey, StoreTime};
use lns_tables::time::Instant;

use super::World;
use super::workers::{Workers, settle_standby};

/// A store, and a second node with workers of its own that follows the first.
#[derive(Debug)]
pub struct Followed {
    pub store: BTreeMap<RecordKey, Vec<u8>>,
    pub standby: Node,
    pub workers: Workers,
    pub reached: BTreeSet<Ipv4Net>,
    /// How often, in thousand rounds, the first one dies.
    pub mortality: u32,
    pub takeovers: u64,
    /// Octets of all records of sessions that were stored, and how many they were.
    pub written: (usize, usize),
    pub(super) config: Config,
}

impl World {
    /// The same, with a store and a second node.
    pub fn followed(config: Config, seed: u8) -> Self {
        let mut world = Self::new(config.clone(), seed);
        world.node = Node::standby(config.clone(), [seed; 32], Instant::ZERO);
        world
            .node
            .handle_takeover(config.epoch, Beginning::Start, Instant::ZERO);
        if seed % 2 == 1 {
            world.node.handle_form(RecordForm::NEWEST);
        }
        world.followed = Some(Followed {
            store: BTreeMap::new(),
            standby: Node::standby(config.clone(), [seed ^ 0xaa; 32], Instant::ZERO),
            workers: Workers::new(),
            reached: BTreeSet::new(),
            mortality: 0,
            takeovers: 0,
            written: (0, 0),
            config,
        });
        world
    }

    /// The store's clock has nothing in common with the node's, which tells records' ages all the same.
    pub(super) fn date(&self) -> StoreTime {
        StoreTime(1_795_000_000_000 + self.now.as_millis())
    }

    pub(super) fn dies(&mut self) -> bool {
        let mortality = self.followed.as_ref().map_or(0, |it| it.mortality);
        mortality > 0 && self.rng.u32() % 1000 < mortality
    }

    /// Stores what has changed, and tells the second node. What accounting is told is stored with it.
    pub(super) fn store(&mut self) {
        let (now, date) = (self.now, self.date());
        let Some(followed) = &mut self.followed else {
            return;
        };
        let mut octets = Vec::new();
        while let Some((key, change)) = self.node.poll_record(now, date, &mut octets) {
            match change {
                RecordChange::Put { .. } => {
                    if matches!(key, RecordKey::Session(..)) {
                        followed.written.0 += octets.len();
                        followed.written.1 += 1;
                    }
                    followed.store.insert(key, octets.clone());
                    let taken = followed.standby.handle_record(key, &octets, now, date);
                    assert_eq!(taken, Ok(()), "{key}");
                    if let Some((third, _)) = &mut self.third {
                        assert_eq!(third.handle_record(key, &octets, now, date), Ok(()));
                    }
                }
                RecordChange::Forget => {
                    followed.store.remove(&key);
                    followed.standby.handle_forgotten(key);
                    if let Some((third, _)) = &mut self.third {
                        third.handle_forgotten(key);
                    }
                }
            }
        }
        followed.settle(now);
        while let Some(order) = self.node.poll_order() {
            if matches!(order, Order::Ask(_) | Order::Cancel(_) | Order::Repeat(_)) {
                self.server.take(&order, now);
            }
            self.orders.push(order);
        }
    }

    /// The node loses its authority and lives: the second one takes over, and it follows that one.
    pub fn step_down(&mut self) {
        let (now, date) = (self.now, self.date());
        let who = self.names[0];
        self.take_over_by(false);
        let (mut node, mut workers, mut reached) = self.dead.take().expect("one has just died");
        node.handle_demotion(now);
        node.handle_reload();
        let followed = self.followed.as_mut().expect("somebody follows");
        for (key, octets) in &followed.store {
            assert_eq!(node.handle_record(*key, octets, now, date), Ok(()), "{key}");
        }
        node.handle_reloaded(now);
        core::mem::swap(&mut followed.standby, &mut node);
        core::mem::swap(&mut followed.workers, &mut workers);
        core::mem::swap(&mut followed.reached, &mut reached);
        followed.settle(now);
        // Nobody has died.
        self.names[1] = who;
        self.tell_master();
    }

    /// The node is gone, with all that it had not sent: the second one, or one that reads the store anew,
    /// takes over.
    pub fn take_over(&mut self) {
        let reads_anew = self.rng.u32().is_multiple_of(2);
        self.take_over_by(reads_anew);
        self.dead = None;
    }

    /// The same, by the second one, or by one that `reads_anew`.
    pub fn take_over_by(&mut self, reads_anew: bool) {
        let (now, date) = (self.now, self.date());
        let followed = self.followed.as_mut().expect("somebody follows");
        followed.takeovers += 1;
        // Each process draws other numbers.
        let [first, second] = [0, 1].map(|which| {
            let number = 2 * followed.takeovers + which;
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_be_bytes());
            seed
        });
        if reads_anew {
            followed.standby = followed.fresh(first, now, date);
            followed.workers = Workers::new();
            followed.reached.clear();
            followed.settle(now);
            self.lives += 1;
            self.names[1].1 = self.lives;
        }
        let fresh = followed.fresh(second, now, date);
        let next = core::mem::replace(&mut followed.standby, fresh);
        let node = core::mem::replace(&mut self.node, next);
        let next = core::mem::replace(&mut followed.workers, Workers::new());
        let workers = core::mem::replace(&mut self.workers, next);
        let next = core::mem::take(&mut followed.reached);
        let reached = core::mem::replace(&mut self.reached, next);
        self.dead = Some((node, workers, reached));
        followed.settle(now);
        self.names.swap(0, 1);
        self.lives += 1;
        self.names[1].1 = self.lives;
        let epoch = followed.config.epoch + followed.takeovers;
        // Whoever was asked, answers a process that is gone.
        self.server.forget();
        self.node.handle_takeover(epoch, Beginning::Takeover, now);
        // Those of the node before may have had the other form.
        self.node.handle_form(RecordForm::NEWEST);
        self.tell_master();
    }

    /// One more node follows.
    pub fn add_third(&mut self) {
        let followed = self.followed.as_ref().expect("somebody follows");
        let mut third = Node::standby(followed.config.clone(), [3; 32], self.now);
        for (key, octets) in &followed.store {
            let taken = third.handle_record(*key, octets, self.now, self.date());
            assert_eq!(taken, Ok(()), "{key}");
        }
        self.third = Some((third, Workers::new()));
        self.tell_master();
    }

    /// Who follows learns who is active.
    pub fn tell_master(&mut self) {
        let followed = self.followed.as_mut().expect("somebody follows");
        let epoch = followed.config.epoch + followed.takeovers;
        if let Some(caught) = self.reports {
            followed.standby.handle_master(epoch, caught, self.now);
            if let Some((third, _)) = &mut self.third {
                third.handle_master(epoch, caught, self.now);
            }
        }
    }

    /// Who follows looks at its sessions, and the active node takes the reports.
    pub(super) fn exchange(&mut self) {
        let now = self.now;
        let (Some(_), Some(followed)) = (self.reports, &mut self.followed) else {
            return;
        };
        let (name, life) = self.names[1];
        let second = Some((name, life, &mut followed.standby, &mut followed.workers));
        let third = self
            .third
            .as_mut()
            .map(|(node, workers)| ("c", 0, node, workers));
        let epoch = followed.config.epoch + followed.takeovers;
        for (name, life, node, workers) in second.into_iter().chain(third) {
            node.handle_timeout(now);
            settle_standby(node, workers, now);
            while let Some(reports) = node.poll_reports(3, now) {
                assert_eq!(reports.epoch, epoch);
                let life = life.to_string();
                self.node
                    .handle_reports_of(name, &life, &reports.sessions, now);
            }
        }
    }
}

impl Followed {
    /// A node that has read the store.
    pub(super) fn fresh(&self, seed: [u8; 32], now: Instant, date: StoreTime) -> Node {
        let mut node = Node::standby(self.config.clone(), seed, now);
        for (key, octets) in &self.store {
            assert_eq!(node.handle_record(*key, octets, now, date), Ok(()), "{key}");
        }
        node
    }

    /// The second node's workers learn what it has learned.
    pub(super) fn settle(&mut self, now: Instant) {
        settle_standby(&mut self.standby, &mut self.workers, now);
        while let Some(change) = self.standby.poll_reach() {
            match change {
                Reach::Add(net) => assert!(self.reached.insert(net), "{net} is added twice"),
                Reach::Remove(net) => assert!(self.reached.remove(&net), "{net} was not there"),
            }
        }
        assert!(self.standby.poll_order().is_none() && self.standby.poll_event().is_none());
        let mut octets = Vec::new();
        assert_eq!(self.standby.poll_transmit(Instant::ZERO, &mut octets), None);
    }
}
