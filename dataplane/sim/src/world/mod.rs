//! A world: the real node, its workers, LACs with their lines, and the network between them, in virtual
//! time under one queue.
//!
//! A step costs what the queue costs, whatever the number of LACs and lines. Who wants to look at what
//! goes in and out of the node brings a [`Watch`].
//!
//! Where records are kept ([`World::kept`]), the process can end at any moment, and another one goes on from
//! what is stored.

mod keeper;
mod network;
mod queue;
mod succession;
mod workers;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_cluster::journal::Ticket;
use lns_node::config::Config;
use lns_node::{Event, Node};
use lns_tables::path::{PathReport, PathUpdate};
use lns_tables::time::Instant;
use lns_wire::l2tp::Packet;

use crate::peers::{Lac, LacSettings, LineSettings};
pub use keeper::{Estate, StoreSettings};
use network::Network;
pub use network::{Direction, Faults};
use queue::{Item, Queue};
use succession::Keeping;
pub use succession::{Death, Heir, Moment};
pub use workers::{Slot, Workers};

/// The node's service address and port.
pub const SERVICE: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1701);

/// When worlds begin.
const START: Instant = Instant::from_millis(1_000);

/// Rounds of timers of one moment after which somebody's timer does not move on. A node that ends a
/// million sessions does so in batches of 256, all at one moment.
const STILL: u32 = 100_000;

/// Where a datagram to the node comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// From a LAC of the world, as it sent it.
    Lac(usize),
    /// From a LAC of the world, and changed on its way.
    Corrupted(usize),
    /// From nobody that the world knows.
    Forged,
}

/// Looks at everything that goes into the node and comes out of it.
pub trait Watch {
    /// A datagram is about to be given to the node.
    fn receives(
        &mut self,
        _origin: Origin,
        _from: SocketAddr,
        _octets: &[u8],
        _node: &Node,
        _now: Instant,
    ) {
    }
    /// The node has dealt with the last input, and everything that came of it has been seen.
    fn settled(&mut self, _node: &Node, _now: Instant) {}
    /// The node wants a datagram sent, which leaves at once or has to wait for the store.
    fn says(&mut self, _to: SocketAddr, _octets: &[u8], _now: Instant) {}
    /// What waits for the store leaves before it is stored, and the journal calls itself whole.
    fn leaks(&mut self, _to: SocketAddr, _now: Instant) {}
    /// The process has ended.
    fn dies(&mut self, _now: Instant) {}
    /// Another node has read what is stored, its workers know this, and it is about to take over.
    fn succeeds(&mut self, _node: &Node, _known: &[PathUpdate], _estate: &Estate, _now: Instant) {}
    /// A datagram left the node.
    fn sends(&mut self, _to: SocketAddr, _octets: &[u8], _now: Instant) {}
    /// The node told its workers something.
    fn path(&mut self, _update: &PathUpdate, _now: Instant) {}
    /// Something happened in the node.
    fn event(&mut self, _event: &Event, _now: Instant) {}
    /// Makes a call of the node; whoever counts what the node does counts here.
    fn call<R>(&mut self, call: impl FnOnce() -> R) -> R {
        call()
    }
}

/// Looks at nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Watch for Blind {}

/// Everything.
#[derive(Debug)]
pub struct World<W = Blind> {
    node: Node,
    now: Instant,
    lacs: Vec<Lac>,
    by_address: BTreeMap<SocketAddr, usize>,
    /// When each LAC is woken next.
    armed: Vec<Option<Instant>>,
    workers: Workers,
    network: Network,
    queue: Queue,
    node_at: Option<Instant>,
    /// Until then the node does nothing, and what comes meanwhile is lost or waits.
    asleep: Option<(Instant, bool)>,
    report_delay: Duration,
    /// Which process this is: reports to others are nobody's.
    process: u64,
    /// Records, where they are kept.
    keeping: Option<Keeping>,
    seed: u64,
    steps: u64,
    out: Vec<u8>,
    /// What the node sends: of its own making, and given back to it.
    sent: Vec<u8>,
    watch: W,
}

impl World<Blind> {
    /// A world with nobody in it but the node. What is drawn in it follows from `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        Self::watched(config, seed, Blind)
    }
}

impl<W: Watch> World<W> {
    /// The same under the eyes of `watch`.
    pub fn watched(config: Config, seed: u64, mut watch: W) -> Self {
        let node = watch.call(|| Node::new(config, octets(seed, 0), START));
        Self::with(node, None, seed, watch)
    }

    fn with(node: Node, keeping: Option<Keeping>, seed: u64, watch: W) -> Self {
        let now = START;
        let index = node.index();
        let mut this = Self {
            node_at: node.poll_timeout(),
            node,
            now,
            lacs: Vec::new(),
            by_address: BTreeMap::new(),
            armed: Vec::new(),
            workers: Workers::new(index),
            network: Network::new(octets(seed, 1)),
            queue: Queue::default(),
            asleep: None,
            report_delay: Duration::ZERO,
            process: 0,
            keeping,
            seed,
            steps: 0,
            out: Vec::new(),
            sent: Vec::new(),
            watch,
        };
        this.settle_node();
        this
    }

    // Who is there.

    /// A LAC, which asks for its tunnel at once. Its number.
    pub fn add_lac(&mut self, settings: LacSettings) -> usize {
        let number = self.lacs.len();
        let salt = u64::try_from(number).expect("few") + 2;
        self.by_address.insert(settings.address, number);
        self.lacs
            .push(Lac::new(settings, octets(self.seed, salt), self.now));
        self.armed.push(None);
        self.network.add_lac();
        self.settle_lac(number);
        number
    }

    /// A line of a LAC, which dials at once. Its number.
    pub fn add_line(&mut self, lac: usize, settings: LineSettings) -> usize {
        let now = self.now;
        self.with_lac(lac, |lac| lac.add_line(settings, now))
    }

    /// The LACs.
    pub fn lacs(&self) -> &[Lac] {
        &self.lacs
    }

    /// Tells a LAC something.
    pub fn with_lac<R>(&mut self, lac: usize, tell: impl FnOnce(&mut Lac) -> R) -> R {
        let told = tell(&mut self.lacs[lac]);
        self.settle_lac(lac);
        told
    }

    /// What the subscriber of a line was given; `None`: it is not up.
    pub fn address(&self, lac: usize, line: usize) -> Option<Ipv4Addr> {
        self.lacs[lac].lines()[line].subscriber().address()
    }

    /// Whether the subscriber of a line is up.
    pub fn is_up(&self, lac: usize, line: usize) -> bool {
        self.address(lac, line).is_some()
    }

    /// The node.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells the node something, as its process would.
    pub fn with_node<R>(&mut self, tell: impl FnOnce(&mut Node, Instant) -> R) -> R {
        let (node, now) = (&mut self.node, self.now);
        let told = self.watch.call(|| tell(node, now));
        self.settle_node();
        told
    }

    /// What the workers know.
    pub const fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Who watches.
    pub const fn watch(&self) -> &W {
        &self.watch
    }

    /// Who watches.
    pub const fn watch_mut(&mut self) -> &mut W {
        &mut self.watch
    }

    /// Lets the watch look at everything that the node shows.
    pub fn audit(&mut self, look: impl FnOnce(&mut W, &Node, Instant)) {
        look(&mut self.watch, &self.node, self.now);
    }

    /// The watch, at the end.
    pub fn into_watch(self) -> W {
        self.watch
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Things that have happened.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    // What befalls it.

    /// What the network does from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.network.faults = faults;
    }

    /// How often the network did something to a datagram.
    pub const fn faults_injected(&self) -> u64 {
        self.network.injected
    }

    /// Nothing passes between a LAC and the node in one direction from now on; or all does again.
    pub fn cut(&mut self, lac: usize, direction: Direction, is_cut: bool) {
        self.network.cut(lac, direction, is_cut);
    }

    /// What comes from a LAC is so much later than what comes from others.
    pub fn slow_down(&mut self, lac: usize, delay: Duration) {
        self.network.slow_down(lac, delay);
    }

    /// The workers answer so much later than they are asked.
    pub fn set_report_delay(&mut self, delay: Duration) {
        self.report_delay = delay;
    }

    /// The node does nothing for `span`. What comes meanwhile is `lost`, as when the machine is
    /// suspended, or waits for it, as when the process is stopped.
    pub fn pause_node(&mut self, span: Duration, lost: bool) {
        self.asleep = Some((self.now + span, lost));
    }

    /// The node goes on at once.
    pub fn wake_node(&mut self) {
        self.asleep = None;
    }

    /// A datagram of nobody's reaches the node now.
    pub fn forge(&mut self, from: SocketAddr, octets: Vec<u8>) {
        self.queue
            .push(self.now, Item::ToNode(Origin::Forged, from, octets));
    }

    // Time.

    /// Lets `span` pass, with all that happens in it.
    pub fn run(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Lets the time until `end` pass.
    pub fn run_until(&mut self, end: Instant) {
        let mut still = 0;
        while let Some(next) = self.next_at().filter(|next| *next <= end) {
            still = if next > self.now { 0 } else { still + 1 };
            assert!(
                still < STILL || self.queue.peek() <= Some(self.now),
                "a timer stands still"
            );
            self.now = self.now.max(next);
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn next_at(&self) -> Option<Instant> {
        let node = self.node_at.map(|at| match self.asleep {
            Some((until, _)) => at.max(until),
            None => at.max(self.now),
        });
        let keeper = self.keeper_at().map(|at| at.max(self.now));
        let all = [node, keeper, self.queue.peek()];
        all.into_iter().flatten().min()
    }

    /// When what waits has waited long enough.
    fn keeper_at(&self) -> Option<Instant> {
        let keeping = self.keeping.as_ref().filter(|it| it.vacancy.is_none())?;
        let at = keeping.keeper.poll_timeout()?;
        Some(self.asleep.map_or(at, |(until, _)| at.max(until)))
    }

    fn step(&mut self) {
        if self.asleep.is_some_and(|(until, _)| until <= self.now) {
            self.asleep = None;
        }
        while let Some(item) = self.queue.pop_due(self.now) {
            self.steps += 1;
            self.happen(item);
        }
        if self.keeper_at().is_some_and(|at| at <= self.now)
            && let Some(keeping) = &mut self.keeping
        {
            keeping.keeper.handle_timeout(self.now);
            self.settle_store();
        }
        if self.asleep.is_none() && self.node_at.is_some_and(|at| at <= self.now) {
            self.steps += 1;
            let (node, now) = (&mut self.node, self.now);
            self.watch.call(|| node.handle_timeout(now));
            self.settle_node();
        }
    }

    fn happen(&mut self, item: Item) {
        match (item, self.asleep) {
            (Item::ToNode(..), _) if self.is_vacant() => self.network.injected += 1,
            (Item::ToNode(..), Some((_, true))) => self.network.injected += 1,
            // The store goes on while the process does not.
            (Item::Store(connection, wire @ keeper::Wire::Arrives), _) => {
                self.happen_in_store(connection, wire);
            }
            (item @ (Item::ToNode(..) | Item::Report(..) | Item::Store(..)), Some((until, _))) => {
                self.queue.push(until, item);
            }
            (Item::ToNode(origin, from, octets), None) => self.deliver(origin, from, &octets),
            (Item::Report(process, report), None) => {
                if process == self.process {
                    self.report(&report);
                }
            }
            (Item::Store(connection, wire), None) => self.happen_in_store(connection, wire),
            (Item::Heir(process), _) => {
                if process + 1 == self.process {
                    self.inherit();
                }
            }
            (Item::ToLac(lac, octets), _) => {
                self.lacs[lac].handle_datagram(&octets, self.now);
                self.settle_lac(lac);
            }
            (Item::Lac(lac), _) => {
                // One that was set to an earlier time since then has been here already.
                if self.armed[lac].is_none_or(|at| at <= self.now) {
                    self.armed[lac] = None;
                    self.lacs[lac].handle_timeout(self.now);
                    self.settle_lac(lac);
                }
            }
        }
    }

    fn happen_in_store(&mut self, connection: u64, wire: keeper::Wire) {
        if let Some(keeping) = &mut self.keeping {
            keeping
                .keeper
                .handle(connection, wire, self.now, &mut self.queue);
            self.settle_store();
        }
    }

    /// What a worker does with a datagram.
    fn deliver(&mut self, origin: Origin, from: SocketAddr, octets: &[u8]) {
        self.watch
            .receives(origin, from, octets, &self.node, self.now);
        let (node, now) = (&mut self.node, self.now);
        match Packet::parse(octets) {
            Ok(Packet::Data(header, frame)) => {
                if self.workers.take(&header, frame, from, now) {
                    let (tunnel, session) = (header.tunnel, header.session);
                    self.watch
                        .call(|| node.handle_ppp(tunnel, session, from, frame, now));
                }
            }
            Ok(Packet::Control(..)) | Err(_) => {
                self.watch
                    .call(|| node.handle_control(SERVICE, from, octets, now));
            }
        }
        self.settle_node();
    }

    fn report(&mut self, report: &PathReport) {
        let (node, now) = (&mut self.node, self.now);
        self.watch.call(|| node.handle_report(report, now));
        self.settle_node();
    }

    // What comes out.

    /// Carries out what the node wants, in the order of the process: its workers first, then the store, then
    /// what leaves, and what is told of it at last.
    fn settle_node(&mut self) {
        self.settle_path();
        if self.dies_at(|moment| moment == Moment::Input) {
            return;
        }
        let Some(ticket) = self.store() else {
            return;
        };
        if !self.transmit(ticket) {
            return;
        }
        self.settle_store();
        let node = &mut self.node;
        while let Some(event) = self.watch.call(|| node.poll_event()) {
            self.watch.event(&event, self.now);
            // What the node allocated is freed where the node's doings are counted.
            self.watch.call(|| drop(event));
        }
        self.node_at = self.node.poll_timeout();
        self.watch.settled(&self.node, self.now);
    }

    fn settle_path(&mut self) {
        let mut reports = Vec::new();
        loop {
            let node = &mut self.node;
            while let Some(update) = self.watch.call(|| node.poll_path()) {
                self.watch.path(&update, self.now);
                reports.extend(self.workers.apply(&update));
            }
            if reports.is_empty() {
                break;
            }
            for report in reports.drain(..) {
                if self.report_delay.is_zero() {
                    let (node, now) = (&mut self.node, self.now);
                    self.watch.call(|| node.handle_report(&report, now));
                } else {
                    let item = Item::Report(self.process, report);
                    self.queue.push(self.now + self.report_delay, item);
                }
            }
        }
    }

    /// Gives what has changed to the store. What is sent now waits for the ticket; `None`: the process has
    /// ended.
    fn store(&mut self) -> Option<Ticket> {
        let Some(keeping) = &mut self.keeping else {
            return Some(Ticket::default());
        };
        let before = keeping.keeper.version();
        let ticket = keeping.keeper.take(&mut self.node, self.now);
        keeping.keeper.give_out(self.now, &mut self.queue);
        keeping.follow(self.now);
        let has_changed = keeping.keeper.version() > before;
        let dies = self.dies_at(|moment| moment == Moment::Store && has_changed);
        (!dies).then_some(ticket)
    }

    /// What the store has done is carried on: to who follows, and to what has waited for it.
    fn settle_store(&mut self) {
        let Some(keeping) = &mut self.keeping else {
            return;
        };
        keeping.keeper.give_out(self.now, &mut self.queue);
        keeping.follow(self.now);
        while let Some(mut waited) = self
            .keeping
            .as_mut()
            .and_then(|keeping| keeping.keeper.poll_output())
        {
            self.reveal(waited.transmit.remote, waited.version);
            self.send(waited.transmit, &mut waited.octets);
        }
    }

    /// Something leaves that waits for the store.
    fn reveal(&mut self, to: SocketAddr, version: u64) {
        let keeping = self.keeping.as_mut();
        if keeping.is_some_and(|keeping| !keeping.keeper.reveal(version)) {
            self.watch.leaks(to, self.now);
        }
    }

    /// Sends what may leave, and has the rest wait; whether the process is still there.
    fn transmit(&mut self, ticket: Ticket) -> bool {
        let mut out = core::mem::take(&mut self.sent);
        let mut handed_over = 0;
        loop {
            let (node, now) = (&mut self.node, self.now);
            let Some(transmit) = self.watch.call(|| node.poll_transmit(now, &mut out)) else {
                break;
            };
            self.watch.says(transmit.remote, &out, now);
            let waits = self.keeping.as_mut().filter(|_| transmit.waits);
            if let Some(keeping) = waits {
                handed_over += 1;
                if keeping.keeper.is_settled(ticket) {
                    let version = keeping.keeper.version();
                    self.reveal(transmit.remote, version);
                    self.send(transmit, &mut out);
                } else {
                    keeping.keeper.delay_output(ticket, transmit, &out);
                }
            } else {
                self.send(transmit, &mut out);
            }
            if self.dies_at(|moment| matches!(moment, Moment::Output(n) if n < handed_over)) {
                break;
            }
        }
        self.sent = out;
        !self.is_vacant()
    }

    fn send(&mut self, transmit: lns_node::Transmit, octets: &mut [u8]) {
        if let Some(sequence) = transmit.sequence {
            self.workers.number(sequence, octets);
        }
        self.watch.sends(transmit.remote, octets, self.now);
        if let Some(lac) = self.by_address.get(&transmit.remote) {
            self.network
                .carry_to_lac(*lac, octets, self.now, &mut self.queue);
        }
    }

    fn settle_lac(&mut self, number: usize) {
        let mut out = core::mem::take(&mut self.out);
        let lac = &mut self.lacs[number];
        while lac.poll_transmit(self.now, &mut out) {
            let from = lac.settings().address;
            self.network
                .carry_to_node(number, from, &out, self.now, &mut self.queue);
        }
        self.out = out;
        let Some(at) = lac.poll_timeout() else { return };
        let at = at.max(self.now);
        if self.armed[number].is_none_or(|armed| at < armed) {
            self.armed[number] = Some(at);
            self.queue.push(at, Item::Lac(number));
        }
    }

    /// The page table of the node, as its workers read it.
    pub fn index(&self) -> Arc<lns_tables::index::PageIndex> {
        self.node.index()
    }
}

/// 32 octets for a generator, all different for different `seed` and `salt`.
pub(crate) fn octets(seed: u64, salt: u64) -> [u8; 32] {
    let mut octets = [0; 32];
    octets[..8].copy_from_slice(&seed.to_be_bytes());
    octets[8..16].copy_from_slice(&salt.to_be_bytes());
    octets
}
