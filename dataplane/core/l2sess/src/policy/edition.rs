//! The policies and chains that are in force at a time: what workers look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::Classifier;
use super::counters::{Counters, Hits};
use super::fields::Asked;
use super::rule::{Action, Policy, PolicyTable, Rates};
use super::{ChainId, Epoch, Judgement, LaterFragments, PolicyId};
use crate::key::Direction;
use crate::limits;
use crate::packet::Packet;
use crate::state::Timeouts;

/// All policies and chains that are in force. It never changes; the book makes another one.
#[derive(Debug)]
pub struct Policies {
    pub(super) number: u64,
    pub(super) all: Vec<Option<Place>>,
    pub(super) chains: Vec<Option<Arc<Chain>>>,
}

/// What a policy's number stands for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) policy: Arc<Compiled>,
    /// Or it is gone, and only chains that are still in use have it.
    pub(super) in_force: bool,
}

impl PartialEq for Policies {
    /// Whether both are the same edition.
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Policies {}

impl Policies {
    /// No policy and no chain.
    pub fn none() -> Arc<Self> {
        Arc::new(Self {
            number: 0,
            all: Vec::new(),
            chains: Vec::new(),
        })
    }

    /// The chain of that number. `None` for [`ChainId::NONE`], of which all packets pass; and for one that
    /// does not exist, or not any more: whose that was must not pass anything.
    pub fn chain(&self, chain: ChainId) -> Option<&Chain> {
        let found = self.chains.get(place_of(chain)).and_then(Option::as_deref);
        found.filter(|found| found.id == chain)
    }

    /// The timeouts of a policy.
    pub fn timeouts(&self, policy: PolicyId) -> Timeouts {
        let place = self.place(policy);
        place.map_or(Timeouts::DEFAULT, |place| place.policy.policy.timeouts)
    }

    /// The policies, by number.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        let numbered = (0_u16..).map(PolicyId).zip(&self.all);
        numbered.filter_map(|(id, place)| {
            let place = place.as_ref().filter(|place| place.in_force)?;
            Some((id, &place.policy.policy))
        })
    }

    /// How often each rule and default of a policy has decided since it is there. What workers counted by
    /// an earlier edition is in it as far as the book has been asked for something since.
    ///
    /// Cost: the number of its rules times that of the lanes.
    pub fn hits(&self, policy: PolicyId) -> Option<Hits> {
        let policy = &self.place(policy)?.policy;
        let hits = |direction| Some(policy.table(direction)?.counters.hits());
        Some(Hits {
            input: hits(Direction::Input),
            output: hits(Direction::Output),
        })
    }

    pub(super) fn place(&self, policy: PolicyId) -> Option<&Place> {
        self.all.get(usize::from(policy.0))?.as_ref()
    }
}

/// Where a chain of that number would lie; [`ChainId::NONE`] lies where no chain has its number.
pub(super) fn place_of(chain: ChainId) -> usize {
    let chain = usize::try_from(chain.0).unwrap_or(usize::MAX);
    chain % limits::CHAINS
}

/// A policy, ready for use.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) id: PolicyId,
    pub(super) policy: Policy,
    pub(super) tables: [Option<Arc<Table>>; 2],
}

impl Compiled {
    pub(super) fn table(&self, direction: Direction) -> Option<&Arc<Table>> {
        let [input, output] = &self.tables;
        match direction {
            Direction::Input => input.as_ref(),
            Direction::Output => output.as_ref(),
        }
    }

    pub(super) fn each_table(&self) -> impl Iterator<Item = (Direction, &Arc<Table>)> {
        let tables = Direction::ALL.map(|direction| (direction, self.table(direction)));
        tables
            .into_iter()
            .filter_map(|(direction, table)| Some((direction, table?)))
    }
}

/// A table, ready for use.
#[derive(Debug)]
pub(super) struct Table {
    classifier: Classifier,
    /// By rule.
    names: Box<[Arc<str>]>,
    actions: Box<[Action]>,
    default: Action,
    /// How many the classifier has.
    pub(super) entries: usize,
    pub(super) counters: Counters,
}

impl Table {
    /// The table has been measured: it has so many entries.
    pub(super) fn new(table: &PolicyTable, entries: usize, lanes: usize) -> Self {
        let names = table.rules.iter().map(|rule| Arc::clone(&rule.name));
        Self {
            classifier: Classifier::new(table),
            names: names.collect(),
            actions: table.rules.iter().map(|rule| rule.action).collect(),
            default: table.default,
            entries,
            counters: Counters::new(lanes, table.rules.len()),
        }
    }

    /// Whether any of its rules, or its default, opens flows.
    fn tracks(&self) -> bool {
        let actions = self.actions.iter().chain([&self.default]);
        actions.into_iter().any(|action| *action == Action::Track)
    }

    fn find(&self, asked: &Asked<'_>) -> Option<(usize, Action)> {
        let rule = self.classifier.find(asked, || {})?;
        Some((rule, *self.actions.get(rule)?))
    }

    /// Adds the hits that the rules and the default of an earlier edition had to those of the same names.
    pub(super) fn carry(&self, from: &Self, hits: impl Iterator<Item = u64>) {
        let places: BTreeMap<&Arc<str>, usize> = self.names.iter().zip(0..).collect();
        let new = from.names.iter().map(|name| places.get(name).copied());
        let default = Some(self.names.len());
        for (place, hits) in new.chain([default]).zip(hits) {
            if let Some(place) = place {
                self.counters.carry(place, hits);
            }
        }
    }
}

/// A table, and whose it is.
type Bound = (PolicyId, Arc<Table>);

/// Policies in a row, as one subscriber has them.
#[derive(Debug)]
pub struct Chain {
    pub(super) id: ChainId,
    pub(super) names: Arc<[Arc<str>]>,
    pub(super) epoch: Epoch,
    pub(super) policies: Box<[Arc<Compiled>]>,
    /// Of them those that have a table, by direction.
    bound: [Box<[Bound]>; 2],
    /// Any of them has a table that tracks.
    tracks: bool,
}

impl Chain {
    pub(super) fn new(
        id: ChainId,
        names: Arc<[Arc<str>]>,
        epoch: Epoch,
        policies: Box<[Arc<Compiled>]>,
    ) -> Self {
        let bound = |direction| {
            let table = |policy: &Arc<Compiled>| {
                let table = policy.table(direction)?;
                Some((policy.id, Arc::clone(table)))
            };
            policies.iter().filter_map(table).collect()
        };
        let tables = policies.iter().flat_map(|policy| policy.each_table());
        let tracks = tables.into_iter().any(|(_, table)| table.tracks());
        Self {
            id,
            names,
            epoch,
            tracks,
            bound: [bound(Direction::Input), bound(Direction::Output)],
            policies,
        }
    }

    /// The names of its policies.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Another one after each change by which open flows must be judged anew; no two chains have the same.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether flows are opened by it, so that what becomes of a packet depends on those before it.
    pub const fn tracks(&self) -> bool {
        self.tracks
    }

    /// How fast a subscriber with it may be: what the first policy says that says anything.
    pub fn rates(&self) -> Option<Rates> {
        self.policies.iter().find_map(|policy| policy.policy.rates)
    }

    /// What the policies say of a packet that goes in `direction`: the first rule that matches, else the
    /// default of the last policy that has this direction; counted in `lane`, one of each worker thread.
    /// Where none has it, all packets pass, for [`PolicyId::NONE`].
    ///
    /// Allocates nothing. Cost: the number of different masks of the rules, not that of the rules.
    pub fn judge(
        &self,
        packet: &Packet<'_>,
        direction: Direction,
        lane: usize,
        later_fragments: LaterFragments,
    ) -> Judgement {
        let tables = self.tables(direction);
        let asked = Asked::new(packet, later_fragments);
        for (policy, table) in tables {
            if let Some((rule, action)) = table.find(&asked) {
                table.counters.count(lane, rule);
                let policy = *policy;
                return Judgement { action, policy };
            }
        }
        let Some((policy, table)) = tables.last() else {
            return Judgement {
                action: Action::Pass,
                policy: PolicyId::NONE,
            };
        };
        table.counters.count_default(lane);
        Judgement {
            action: table.default,
            policy: *policy,
        }
    }

    fn tables(&self, direction: Direction) -> &[Bound] {
        let [input, output] = &self.bound;
        match direction {
            Direction::Input => input,
            Direction::Output => output,
        }
    }
}
