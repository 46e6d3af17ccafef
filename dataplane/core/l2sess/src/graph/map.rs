//! The graph: which nodes there are, and where each exit of a node leads.

use core::fmt;

use crate::key::{Direction, Family};
use crate::verdict::{Refusal, Verdict};

/// A node. The eight add and track nodes are those of the model; a session and a policy node of each
/// direction and family stand before them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NodeId {
    /// Looks the packet's flow up.
    Session(Direction, Family),
    /// Asks the port's policies.
    Policy(Direction, Family),
    /// Opens the packet's flow, in this direction and, mirrored, in the other.
    Add(Direction, Family),
    /// Sees every packet of an open flow but the first.
    Track(Direction, Family),
}

impl NodeId {
    /// What it does.
    pub const fn stage(self) -> Stage {
        match self {
            Self::Session(..) => Stage::Session,
            Self::Policy(..) => Stage::Policy,
            Self::Add(..) => Stage::Add,
            Self::Track(..) => Stage::Track,
        }
    }

    /// The node of a stage.
    pub const fn new(stage: Stage, direction: Direction, family: Family) -> Self {
        match stage {
            Stage::Session => Self::Session(direction, family),
            Stage::Policy => Self::Policy(direction, family),
            Stage::Add => Self::Add(direction, family),
            Stage::Track => Self::Track(direction, family),
        }
    }

    /// Of which packets.
    pub const fn direction(self) -> Direction {
        let (Self::Session(direction, _)
        | Self::Policy(direction, _)
        | Self::Add(direction, _)
        | Self::Track(direction, _)) = self;
        direction
    }

    /// Of which packets.
    pub const fn family(self) -> Family {
        let (Self::Session(_, family)
        | Self::Policy(_, family)
        | Self::Add(_, family)
        | Self::Track(_, family)) = self;
        family
    }

    /// All nodes.
    pub fn all() -> impl Iterator<Item = Self> {
        Direction::ALL.into_iter().flat_map(|direction| {
            Family::ALL
                .into_iter()
                .flat_map(move |family| Stage::ALL.map(|stage| Self::new(stage, direction, family)))
        })
    }

    /// Where the ways out of it lead: for those who draw the graph.
    pub fn ways(self) -> impl Iterator<Item = (Exit, Result<Self, Verdict>)> {
        let exits = self.stage().exits().iter().copied();
        exits.map(move |exit| {
            let to = match exit.leads_to() {
                Way::Node(stage) => Ok(Self::new(stage, self.direction(), self.family())),
                Way::End(verdict) => Err(verdict),
            };
            (exit, to)
        })
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, family) = (self.direction().label(), self.family().label());
        write!(f, "{direction}-{family}-{}", self.stage().label())
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// [`NodeId::Session`].
    Session,
    /// [`NodeId::Policy`].
    Policy,
    /// [`NodeId::Add`].
    Add,
    /// [`NodeId::Track`].
    Track,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Session, Self::Policy, Self::Add, Self::Track];

    /// The word for people and programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Policy => "policy",
            Self::Add => "add",
            Self::Track => "track",
        }
    }

    /// By which exits a packet leaves.
    pub const fn exits(self) -> &'static [Exit] {
        match self {
            Self::Session => &[Exit::Hit, Exit::Miss, Exit::Related],
            Self::Policy => &[Exit::Passed, Exit::Tracked, Exit::Dropped],
            Self::Add => &[
                Exit::Opened,
                Exit::Known,
                Exit::Untracked,
                Exit::Stateless,
                Exit::Full,
                Exit::Limit,
                Exit::Closed,
            ],
            Self::Track => &[
                Exit::Live,
                Exit::Expired,
                Exit::Gone,
                Exit::Unknown,
                Exit::Passed,
                Exit::Tracked,
                Exit::Dropped,
            ],
        }
    }
}

/// How a packet leaves a node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// Session: its flow is open.
    Hit,
    /// Session: no flow of it is.
    Miss,
    /// Session: it is an ICMP error about a packet of an open flow.
    Related,
    /// Policy: it goes on, and nothing is remembered. Track: the same, judged anew.
    Passed,
    /// Policy: it goes on, and its flow is to be opened. Track: the same, of one in its place.
    Tracked,
    /// Policy: it does not go on. Track: the same, judged anew.
    Dropped,
    /// Add: its flow is open.
    Opened,
    /// Add: its flow was open already.
    Known,
    /// Add: nothing tells its flow from others, or it answers what nobody asked.
    Untracked,
    /// Add: there was no room, and such packets go on.
    Stateless,
    /// Add: there was no room in the table.
    Full,
    /// Add: the port has as many flows as it may.
    Limit,
    /// Add: the port is closed.
    Closed,
    /// Track: it is one of its flow.
    Live,
    /// Track: its flow had been silent for too long.
    Expired,
    /// Track: another thread has ended its flow.
    Gone,
    /// Track: its flow has ended here, or it has none: what it is now is for policy to say.
    Unknown,
}

/// Where an [`Exit`] leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// To the node of that stage, of the same direction and family.
    Node(Stage),
    /// Out of the graph.
    End(Verdict),
}

impl Exit {
    /// Where it leads.
    pub const fn leads_to(self) -> Way {
        match self {
            Self::Hit | Self::Known => Way::Node(Stage::Track),
            Self::Miss | Self::Unknown => Way::Node(Stage::Policy),
            Self::Gone => Way::Node(Stage::Session),
            Self::Tracked => Way::Node(Stage::Add),
            Self::Related
            | Self::Passed
            | Self::Opened
            | Self::Untracked
            | Self::Stateless
            | Self::Live => Way::End(Verdict::Forward),
            Self::Dropped => Way::End(Verdict::Drop(Refusal::Policy)),
            Self::Full => Way::End(Verdict::Drop(Refusal::FlowTableFull)),
            Self::Limit => Way::End(Verdict::Drop(Refusal::FlowLimit)),
            Self::Closed => Way::End(Verdict::Drop(Refusal::PortClosed)),
            Self::Expired => Way::End(Verdict::Drop(Refusal::FlowExpired)),
        }
    }
}
