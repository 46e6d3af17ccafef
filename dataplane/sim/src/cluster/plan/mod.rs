//! What happens in one run of a cluster: how many sites, which times, what networks and servers do all the while, and
//! what befalls whom and when. Drawn from a seed, and can be taken apart piece by piece.
//!
//! Each seed has a subset of the faults, not all of them (swarm testing).

mod act;
mod draw;

use core::time::Duration;

use lns_cluster::Profile;
use lns_cluster::member::Times;

pub use act::{Act, Target};

use crate::world::Faults;

/// One run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// What it was drawn from; also what is drawn while it runs.
    pub seed: u64,
    /// What kind of run it is.
    pub kind: Kind,
    /// H, D and the rest.
    pub profile: Profile,
    /// S, in seconds.
    pub staleness: u16,
    /// The sites: how much their clocks are too fast, in millionths.
    pub sites: Vec<i32>,
    /// How long things go wrong.
    pub span: Duration,
    /// What becomes of requests to the API server.
    pub api: Ways,
    /// What becomes of what members say to each other.
    pub peers: Ways,
    /// What the store is like.
    pub store: StorePlan,
    /// What the RADIUS servers are like; `None`: there are none, and users are local.
    pub radius: Option<RadiusPlan>,
    /// What the network between LACs and sites does.
    pub faults: Faults,
    /// Routers spread packets, and not flows.
    pub sprays: bool,
    /// Lines of each LAC.
    pub lacs: Vec<u16>,
    /// Addresses in the pool, as bits of the prefix.
    pub pool: u8,
    /// What befalls whom, in order of time.
    pub acts: Vec<(Duration, Act)>,
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Sites that elect, claim, take over and step down, without tunnels.
    Election,
    /// The same with LACs and subscribers.
    Sessions,
    /// One fault after the other, with time between them to recover: nobody loses a session.
    Single,
}

impl Kind {
    /// The kind of the run of a seed.
    pub const fn of(seed: u64) -> Self {
        match seed % 4 {
            0 | 1 => Self::Election,
            2 => Self::Sessions,
            _ => Self::Single,
        }
    }
}

/// What becomes of requests or messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ways {
    /// How long one takes at most, milliseconds.
    pub delay: u16,
    /// How many in a thousand take longer.
    pub slow: u16,
    /// How long those take at most, milliseconds.
    pub longest: u16,
    /// How many in a thousand are lost on the way there.
    pub lost: u16,
    /// How many in a thousand are done, and the answer is lost.
    pub unanswered: u16,
}

/// What a store is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StorePlan {
    /// A question, or its answer, is on its way so long at most, milliseconds.
    pub latency: u16,
    /// Its replica is so far behind, milliseconds.
    pub lag: u16,
    /// The replica is waited for.
    pub waits: bool,
    /// The longest stream.
    pub stream: u16,
}

/// What RADIUS servers are like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RadiusPlan {
    /// They judge logins, and are not only told of sessions.
    pub judges: bool,
    /// From one record of a session to the next, seconds; zero: there are none in between.
    pub interim: u16,
    /// What becomes of questions and answers.
    pub ways: Ways,
}

impl Plan {
    /// Lines of all LACs.
    pub fn lines(&self) -> usize {
        self.lacs.iter().map(|lines| usize::from(*lines)).sum()
    }

    /// S and the rest.
    pub fn times(&self) -> Times {
        let staleness = Duration::from_secs(self.staleness.into());
        Times::of(staleness).with_wait(self.profile.timing().wait)
    }
}
