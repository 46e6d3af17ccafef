//! How many flows fit: what the manifest says, or what fits into a part of the memory.

use core::fmt;

use lns_api::cluster;
use lns_l2sess::graph::{IcmpErrors, Options, WhenFull};
use lns_l2sess::key::HashSeed;
use lns_l2sess::policy::LaterFragments;
use lns_l2sess::table::{FlowTable, TableConfig};

use super::memory;
use crate::command::table::thousands;

/// The part of the memory limit that flows may fill where the manifest names no number.
const SHARE: u64 = 4;

/// Flows there are room for at least, however little memory the kernel says there is.
const FEWEST: u32 = 4_096;

/// The number where the kernel does not say how much memory there is: 32 MiB.
const UNKNOWN: u32 = 1 << 18;

/// The session table, as the datapath wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flows {
    /// How many fit; fixed at the start.
    pub(crate) entries: Entries,
    /// What is done where there is a choice.
    pub(crate) options: Options,
}

impl Flows {
    /// Of the manifest, for so many sessions.
    pub(super) fn new(table: &cluster::SessionTable, sessions: u32) -> Self {
        let bounds = Bounds {
            table: lns_l2sess::limits::ENTRIES,
            per_session: table.per_session,
            sessions,
            octets: octets(),
        };
        Self {
            entries: Entries::new(table.entries, &bounds),
            options: Options {
                per_port: table.per_session,
                when_full: match table.when_full {
                    cluster::WhenFull::Deny => WhenFull::Deny,
                    cluster::WhenFull::Stateless => WhenFull::Stateless,
                },
                icmp_errors: match table.icmp_errors {
                    cluster::IcmpErrors::Pass => IcmpErrors::Pass,
                    cluster::IcmpErrors::Judge => IcmpErrors::Judge,
                },
                later_fragments: match table.later_fragments {
                    cluster::LaterFragments::Match => LaterFragments::Match,
                    cluster::LaterFragments::Ignore => LaterFragments::Ignore,
                },
            },
        }
    }
}

/// What a table takes for one flow, octets.
fn octets() -> u64 {
    const FLOWS: u32 = 1 << 20;
    let table = TableConfig {
        entries: FLOWS,
        ports: 0,
        seed: HashSeed(0, 0),
    };
    FlowTable::octets(&table).div_ceil(FLOWS.into())
}

/// How many flows the session table is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entries {
    /// What the manifest says; 0: what fits.
    pub(crate) wanted: u32,
    /// What that means on this machine.
    pub(crate) number: u32,
    /// What the process may use, octets, where that has decided.
    pub(crate) memory: Option<u64>,
}

/// What bounds the number of flows, beside memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most that a table takes.
    pub(super) table: u32,
    /// Flows of a session.
    pub(super) per_session: u32,
    /// Sessions.
    pub(super) sessions: u32,
    /// Memory of one flow, octets.
    pub(super) octets: u64,
}

impl Entries {
    /// What `wanted` means here.
    pub(super) fn new(wanted: u32, bounds: &Bounds) -> Self {
        Self::with(wanted, bounds, memory::limit())
    }

    fn with(wanted: u32, bounds: &Bounds, memory: Option<u64>) -> Self {
        if wanted != 0 {
            return Self {
                wanted,
                number: wanted.min(bounds.table),
                memory: None,
            };
        }
        let fits = memory.map(|octets| octets / SHARE / bounds.octets.max(1));
        let fits = fits.map_or(UNKNOWN, |flows| u32::try_from(flows).unwrap_or(u32::MAX));
        let useful = bounds.per_session.saturating_mul(bounds.sessions);
        Self {
            wanted,
            number: fits.min(useful).max(FEWEST).min(bounds.table),
            memory,
        }
    }

    /// What a process that runs with `running` has, once it goes by this.
    pub(crate) const fn in_place_of(self, running: &Self) -> Self {
        Self {
            number: running.number,
            ..self
        }
    }

    /// Whether a running process with this table is what `newer` asks for.
    pub(crate) fn is_served_by(&self, running: &Self) -> bool {
        self.wanted == running.wanted || self.number == running.number
    }
}

impl fmt::Display for Entries {
    /// The number, and where it is from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = thousands(self.number.into());
        f.write_str(&number)?;
        match (self.wanted, self.memory) {
            (0, Some(octets)) => {
                write!(
                    f,
                    ", what fits into a quarter of {} MiB of memory",
                    octets >> 20
                )
            }
            (0, None) => f.write_str(", since the kernel does not say how much memory there is"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        table: 1 << 24,
        per_session: 400,
        sessions: 100_000,
        octets: 128,
    };

    fn fits(memory: Option<u64>, bounds: &Bounds) -> u32 {
        Entries::with(0, bounds, memory).number
    }

    #[test]
    fn without_a_number_a_quarter_of_the_memory_is_for_flows() {
        assert_eq!(fits(Some(1 << 30), &BOUNDS), 1 << 21);
        assert_eq!(
            fits(Some(1 << 40), &BOUNDS),
            1 << 24,
            "as many as a table takes"
        );
        assert_eq!(fits(None, &BOUNDS), UNKNOWN);
        assert_eq!(fits(Some(0), &BOUNDS), FEWEST);
    }

    #[test]
    fn a_flow_takes_no_more_than_what_is_promised() {
        assert!((64..=128).contains(&octets()), "{}", octets());
    }

    #[test]
    fn the_number_is_told_with_where_it_is_from() {
        let told = |wanted, memory| Entries::with(wanted, &BOUNDS, memory).to_string();
        assert_eq!(
            told(0, Some(1 << 30)),
            "2,097,152, what fits into a quarter of 1024 MiB of memory"
        );
        assert_eq!(told(5_000, Some(1 << 30)), "5,000");
        assert!(told(0, None).starts_with("262,144, since"));
    }

    #[test]
    fn a_reload_makes_no_table_larger() {
        let running = Entries::with(0, &BOUNDS, Some(1 << 30));
        let newer = Entries::with(0, &BOUNDS, Some(2 << 30));
        assert_eq!(newer.in_place_of(&running).number, running.number);
    }

    #[test]
    fn nobody_keeps_room_for_more_than_all_sessions_may_have() {
        let few = Bounds {
            sessions: 1_000,
            ..BOUNDS
        };
        assert_eq!(fits(Some(1 << 30), &few), 400_000);
    }

    #[test]
    fn a_number_is_what_it_says_and_at_most_what_a_table_takes() {
        let number = |wanted| Entries::with(wanted, &BOUNDS, Some(1 << 30)).number;
        assert_eq!([number(1_000), number(u32::MAX)], [1_000, 1 << 24]);
    }

    #[test]
    fn the_same_wish_needs_no_other_table_though_there_is_more_memory_now() {
        let of = |wanted, memory| Entries::with(wanted, &BOUNDS, Some(memory));
        assert!(of(0, 2 << 30).is_served_by(&of(0, 1 << 30)));
        assert!(
            of(1 << 21, 1 << 30).is_served_by(&of(0, 1 << 30)),
            "it has as many"
        );
        assert!(!of(1 << 20, 1 << 30).is_served_by(&of(0, 1 << 30)));
        assert!(!of(0, 1 << 30).is_served_by(&of(5_000, 1 << 30)));
    }
}
