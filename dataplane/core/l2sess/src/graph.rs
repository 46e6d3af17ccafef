//! The nodes of the classifier and the way between them: sections 1 and 6 of the model, with the
//! limits of section 5.
//!
//! A node does one thing and leaves by an [`Exit`]; which node or verdict an exit leads to is written
//! once, in [`Exit::leads_to`], for each direction and family alike. [`Classifier::classify`] begins at
//! the session node; whoever has decided by other means hands a packet to any node with
//! [`Classifier::enter`], for instance to an add node so that its flow is open from here on.

mod ahead;
mod events;
mod map;
mod nodes;
mod options;

use core::sync::atomic::{AtomicU32, Ordering};

use lns_wire::ip::IpError;

pub use ahead::Coming;
pub use events::{Event, Events};
pub use map::{Exit, NodeId, Stage, Way};
pub use options::{IcmpErrors, Options, WhenFull};

use events::Lanes;
use nodes::Walk;
use options::Shared;

use crate::key::{Direction, PortId};
use crate::packet::Packet;
use crate::policy::{ChainId, Policies};
use crate::state::Seconds;
use crate::table::{FlowTable, Hit, NoMemory, TableConfig};
use crate::verdict::{Refusal, Verdict};

/// Nodes that a packet passes at most. From the session node to an end it is four; more only when
/// other threads end the flow under it, once for each round.
const HOPS: usize = 32;

/// A packet, where it is, and when.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Which worker thread asks: events are counted by thread.
    pub lane: usize,
    /// Whose packet it is.
    pub port: PortId,
    /// The port's policies.
    pub chain: ChainId,
    /// Which way it goes.
    pub direction: Direction,
    /// The packet from its IP header on.
    pub packet: &'a [u8],
    /// When.
    pub now: Seconds,
}

/// The classifier of a node: the session table and the nodes around it. Any number of threads may use
/// it at once; each counts in a lane of its own.
#[derive(Debug)]
pub struct Classifier {
    table: FlowTable,
    options: Shared,
    /// Until when flows are resumed; [`NO_GRACE`]: they are not.
    grace: AtomicU32,
    events: Lanes,
}

/// No second has this number.
const NO_GRACE: u32 = u32::MAX;

impl Classifier {
    /// A classifier with an empty table, all ports closed; for so many worker threads.
    ///
    /// # Errors
    /// [`NoMemory`]: the table does not fit.
    pub fn new(table: &TableConfig, lanes: usize) -> Result<Self, NoMemory> {
        Ok(Self {
            table: FlowTable::new(table)?,
            options: Shared::new(Options::default()),
            grace: AtomicU32::new(NO_GRACE),
            events: Lanes::new(lanes),
        })
    }

    /// The session table. What ends flows is better asked of the classifier, which counts it.
    pub const fn table(&self) -> &FlowTable {
        &self.table
    }

    /// What is to be done where there is a choice. Workers heed it from their next packet on.
    pub fn set_options(&self, options: Options) {
        self.options.set(options);
    }

    /// What was last set.
    pub fn options(&self) -> Options {
        self.options.get()
    }

    /// Until then, flows are resumed that another node had open: a packet to a subscriber that policy would
    /// drop opens its flow if it cannot be a flow's first (TCP without SYN, UDP) and policy tracks what
    /// it seems to answer. So whoever takes a session over cuts no connection in which only the other side
    /// speaks; until then a stranger who forges such an answer is let in.
    pub fn resume_until(&self, end: Seconds) {
        self.grace.store(end.get(), Ordering::Relaxed);
    }

    /// Whether flows are resumed now.
    fn resumes(&self, now: Seconds) -> bool {
        match self.grace.load(Ordering::Relaxed) {
            NO_GRACE => false,
            // It is over as soon as it lies in the past; the sweep sees to it before the count comes around.
            end => now.since(Seconds::new(end.into())) == 0,
        }
    }

    /// What becomes of a packet of a port.
    ///
    /// A port of [`ChainId::NONE`] has no policies: all its packets go on. Of a chain that is not in
    /// `policies` none do. Allocates nothing; takes no lock unless a flow is added or ends. Cost: of a
    /// packet whose flow is open two or three cache lines, else that of
    /// [`judge`](crate::policy::Chain::judge), and of [`add`](FlowTable::add) if it opens one.
    #[inline]
    pub fn classify(&self, policies: &Policies, visit: &Visit<'_>) -> Verdict {
        if visit.chain == ChainId::NONE {
            return Verdict::Forward;
        }
        match Packet::parse(visit.packet) {
            Ok(packet) if packet.hides_tcp_flags() => Verdict::Drop(Refusal::Malformed),
            Ok(packet) => {
                let node = NodeId::Session(visit.direction, packet.family);
                self.enter(node, policies, visit, &packet)
            }
            Err(
                IpError::Truncated
                | IpError::Version
                | IpError::HeaderLength
                | IpError::TotalLength,
            ) => Verdict::Drop(Refusal::Malformed),
        }
    }

    /// Hands a packet to a node, and returns what becomes of it in the end.
    ///
    /// An add node opens the packet's flow though no rule says so; with the timeouts of
    /// [`PolicyId::NONE`](crate::policy::PolicyId::NONE), since no policy is behind it. A track node
    /// looks the flow up. `packet` must be what `visit` has. A node that is not of the packet's
    /// direction and family drops it.
    #[inline]
    pub fn enter(
        &self,
        node: NodeId,
        policies: &Policies,
        visit: &Visit<'_>,
        packet: &Packet<'_>,
    ) -> Verdict {
        if node.direction() != visit.direction || node.family() != packet.family {
            return Verdict::Drop(Refusal::Malformed);
        }
        let chain = policies.chain(visit.chain);
        if chain.is_none() && visit.chain != ChainId::NONE {
            return Verdict::Drop(Refusal::PortClosed);
        }
        let mut walk = Walk::new(self, policies, chain, visit, packet);
        let mut stage = node.stage();
        for _ in 0..HOPS {
            match walk.pass(stage).leads_to() {
                Way::Node(next) => stage = next,
                Way::End(verdict) => return verdict,
            }
        }
        Verdict::Drop(Refusal::FlowExpired)
    }

    /// Ends flows that have been silent for too long at `now`; looks at up to `budget` of them. `true`:
    /// there is more to do at once. For a thread beside the workers, four times a second.
    pub fn sweep(&self, policies: &Policies, now: Seconds, budget: usize) -> bool {
        if !self.resumes(now) {
            self.grace.store(NO_GRACE, Ordering::Relaxed);
        }
        let swept = self.table.sweep(now, policies, budget);
        self.events.count_beside(Event::Swept, swept.expired);
        swept.more
    }

    /// Opens a port: flows may be added to it from here on.
    pub fn open(&self, port: PortId) {
        self.table.open(port);
    }

    /// Closes a port and ends its flows; returns how many.
    pub fn close(&self, port: PortId) -> usize {
        self.cleared(self.table.close(port))
    }

    /// Ends the flows of a port, since its policies are others or somebody asks for it; returns how many.
    pub fn clear(&self, port: PortId) -> usize {
        self.cleared(self.table.clear(port))
    }

    /// Ends one flow, since somebody asks for it. `true` if it was this call that did it.
    pub fn wipe(&self, hit: &Hit) -> bool {
        self.cleared(usize::from(self.table.wipe(hit))) > 0
    }

    /// Ends all flows; returns how many.
    pub fn clear_all(&self) -> usize {
        self.cleared(self.table.clear_all())
    }

    fn cleared(&self, flows: usize) -> usize {
        self.events.count_beside(Event::Cleared, flows);
        flows
    }

    /// What has happened since the start, by all threads. Cost: the number of lanes, and that of
    /// [`counts`](FlowTable::counts).
    pub fn events(&self) -> Events {
        // One new flow may take the place of several, and a flow may give way to one that in the end
        // does not come: the table knows.
        self.events
            .sum()
            .with(Event::Evicted, self.table.counts().evicted)
    }
}
