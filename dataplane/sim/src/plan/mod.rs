//! What happens in one run: who is there, how they behave, what goes wrong and when. All of it is drawn
//! from a seed, and can be taken apart piece by piece.
//!
//! Each seed has a subset of the faults, not all of them: where everything goes wrong, nothing gets far
//! enough to go wrong in an interesting way (swarm testing).

mod act;
mod draw;
mod hostile;
mod policies;
pub(crate) mod settings;

use core::time::Duration;

pub use act::Act;
pub use draw::Dice;
pub use hostile::{Hostile, Malice};
pub use policies::Filters;
pub use settings::{Duplicate, Settings};

use crate::peers::{Bugs, Proxied, Quirks};
use crate::world::{Faults, StoreSettings};

/// One run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// What it was drawn from; also what is drawn while it runs.
    pub seed: u64,
    /// What kind of run it is.
    pub profile: Profile,
    /// How long things go wrong.
    pub span: Duration,
    /// The node's configuration at the beginning and, again, after `span`.
    pub settings: Settings,
    /// The LACs.
    pub lacs: Vec<LacPlan>,
    /// What the network does during `span`.
    pub faults: Faults,
    /// Where the node's records are kept.
    pub store: StoreSettings,
    /// What befalls the node and its peers, in order of time.
    pub acts: Vec<(Duration, Act)>,
    /// Who sends what it should not.
    pub hostiles: Vec<Hostile>,
    /// How it ends.
    pub ending: Ending,
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Profile {
    /// Minutes, with everything.
    Storm,
    /// An hour, in which little happens.
    Quiet,
    /// Subscribers come and go all the time.
    Churn,
    /// Thousands of subscribers for a few minutes.
    Crowd,
    /// So many messages that the numbers wrap.
    Wrap,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// All is well again: everybody comes up, then all leave.
    Heals,
    /// The node drains.
    Drains,
}

/// One LAC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LacPlan {
    /// What it does wrong; none for one that conforms.
    pub bugs: Bugs,
    /// It has the previous secret still.
    pub has_previous_secret: bool,
    /// It hides AVPs.
    pub hides: bool,
    /// It challenges the node.
    pub challenges: bool,
    /// The window that it offers.
    pub window: u16,
    /// Its lines.
    pub lines: Vec<LinePlan>,
}

/// One line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinePlan {
    /// Who logs in.
    pub login: LoginPlan,
    /// What the subscriber does wrong.
    pub quirks: Quirks,
    /// What the LAC settles before.
    pub proxied: Proxied,
    /// Data is numbered.
    pub sequencing: bool,
    /// The subscriber asks for signs of life this often.
    pub echo: Option<Duration>,
}

/// Who logs in on a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LoginPlan {
    /// A user of its own.
    Own,
    /// One that others have as well.
    Shared,
    /// The user with an address of its own.
    Fixed,
    /// A user of its own with a wrong password.
    Wrong,
}

impl LacPlan {
    /// Whether it does nothing wrong.
    pub fn conforms(&self) -> bool {
        self.bugs == Bugs::default()
    }
}

impl Plan {
    /// Lines of all LACs.
    pub fn lines(&self) -> usize {
        self.lacs.iter().map(|lac| lac.lines.len()).sum()
    }

    /// The settings that are ever in force.
    pub fn all_settings(&self) -> impl Iterator<Item = &Settings> {
        let later = self.acts.iter().filter_map(|(_, act)| match act {
            Act::Reload(settings) => Some(&**settings),
            _ => None,
        });
        core::iter::once(&self.settings).chain(later)
    }
}
