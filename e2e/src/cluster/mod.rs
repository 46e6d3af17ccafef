//! Stories of a cluster: three `lnsd` in namespaces behind a router, with a real API server, Redis with
//! Sentinel and FreeRADIUS. `lns-e2e cluster [NAME...]`.
//!
//! Faults are signals by pid and cuts of links, under traffic. What is concluded comes from a capture
//! outside of the nodes, from what the subscribers received, and from FreeRADIUS's detail file; never
//! from what a node says of itself.
//!
//! | file | what |
//! |---|---|
//! | `network` `router` `neighbours` | namespaces, and who is sent what |
//! | `apiserver` `proxy` `rights` `objects` | the API server, how nodes reach it and what they may do there, the cluster's objects |
//! | `redis` `bed` | the store; everything together |
//! | `flows` `capture` `verdict` | traffic, what nodes say, what may be concluded |
//! | `scene` `story` | what all stories have in common, and many of them in one cluster |
//! | `ground` | proves what the others stand on |
//! | `faults` `aside` `outages` `wrap` `octets` `random` | stories of one cluster under traffic |
//! | `apart` `input` `upgrade` | stories that need a cluster of their own |

mod apart;
mod apiserver;
mod aside;
pub(crate) mod bed;
mod bench;
pub(crate) mod capture;
mod demo;
mod faults;
pub(crate) mod flows;
mod ground;
mod input;
mod neighbours;
pub(crate) mod network;
pub(crate) mod objects;
mod octets;
mod outages;
mod proxy;
mod random;
mod redis;
mod rights;
pub(crate) mod router;
pub(crate) mod scene;
mod story;
mod upgrade;
pub(crate) mod verdict;
mod wrap;

use anyhow::{Result, bail};

pub(crate) use self::bench::{BenchOptions, run as bench};
pub(crate) use self::demo::run as demo;
use self::story::Story;
use crate::scenario::{self, Scenario};

/// What there is of one length.
struct Programme {
    /// Each in a world of its own.
    apart: Vec<Scenario>,
    /// One after the other in one cluster.
    together: Vec<Story>,
}

impl Programme {
    fn short() -> Self {
        Self {
            apart: [ground::SCENARIOS, apart::SCENARIOS, input::SCENARIOS].concat(),
            together: [
                faults::STORIES,
                aside::STORIES,
                outages::STORIES,
                wrap::STORIES,
            ]
            .concat(),
        }
    }

    fn long() -> Self {
        Self {
            apart: upgrade::SCENARIOS.to_vec(),
            together: [
                faults::LONG,
                outages::LONG,
                octets::STORIES,
                random::STORIES,
                random::LONG,
            ]
            .concat(),
        }
    }

    fn lines(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let apart = self.apart.iter().map(|it| (it.name, it.says));
        apart.chain(self.together.iter().map(|it| (it.name, it.says)))
    }
}

/// Prints what there is.
pub(crate) fn list() {
    for programme in [Programme::short(), Programme::long()] {
        for (name, says) in programme.lines() {
            println!("{name:<28} {says}");
        }
    }
}

/// Runs the stories whose names contain one of `names`, all without names; those that are told together, with so many
/// sessions. Says whether all passed.
pub(crate) fn run(names: &[String], sessions: usize, long: bool) -> Result<bool> {
    let mut programme = if long {
        Programme::long()
    } else {
        Programme::short()
    };
    let is_chosen = |name: &str| {
        let mut words = names.iter();
        names.is_empty() || words.any(|word| name.contains(word.as_str()))
    };
    programme.apart.retain(|it| is_chosen(it.name));
    programme.together.retain(|it| is_chosen(it.name));
    if programme.lines().next().is_none() {
        bail!(
            "no story is called {}; `--list` shows them",
            names.join(", ")
        );
    }
    let mut failed = 0;
    for each in &programme.apart {
        failed += usize::from(!scenario::perform(each.name, each.says, each.run));
    }
    let (lines, failed_together) = story::tell(&programme.together, sessions);
    failed += failed_together;
    let passed = programme.apart.len() + lines - failed;
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}
