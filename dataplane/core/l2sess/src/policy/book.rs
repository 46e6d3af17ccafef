//! The book in which the control keeps policies and chains.
//!
//! Every operation is whole or not at all. What a change does not touch stays the very same object: the
//! tables of a policy that is as before are not compiled again and go on counting, and so is a table
//! whose policy has only other timeouts, rates or Filter-Ids.
//!
//! A policy that goes while chains still have it stays for them what it was, until they go: whoever
//! removes it decides what its subscribers have instead ([`PolicyBook::retain_chains`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compile::measure;
use super::edition::{Chain, Compiled, Place, Policies, Table, place_of};
use super::refusal::{BookError, Left, filter_ids, invalid, too_large};
use super::rule::{OnChange, Policy};
use super::{ChainId, Epoch, PolicyId};
use crate::key::Direction;
use crate::limits;

/// Where the control keeps policies and chains.
#[derive(Debug)]
pub struct PolicyBook {
    lanes: usize,
    /// By number: those in force, and those that only chains have any more.
    pub(super) places: Vec<Option<Place>>,
    pub(super) numbers: BTreeMap<Arc<str>, PolicyId>,
    /// What each Filter-Id means.
    filter_ids: BTreeMap<Arc<str>, Arc<str>>,
    chains: Vec<Option<Arc<Chain>>>,
    by_names: BTreeMap<Arc<[Arc<str>]>, ChainId>,
    /// Where to look for a free number, so that the one that is free longest comes first.
    next_policy: usize,
    next_chain: u32,
    last_epoch: u32,
    pub(super) retired: Vec<Retired>,
    current: Arc<Policies>,
}

/// A table that has been replaced. A worker may still count by it.
#[derive(Debug)]
pub(super) struct Retired {
    policy: PolicyId,
    direction: Direction,
    table: Arc<Table>,
    /// What its successor has been given of it.
    carried: Vec<u64>,
}

/// Policies with their numbers, and where to look for the next free one.
type Numbered = (Vec<(PolicyId, Policy)>, usize);

impl Default for PolicyBook {
    /// A book for one worker thread.
    fn default() -> Self {
        Self::new(1)
    }
}

impl PolicyBook {
    /// A book without a policy, whose policies so many worker threads count hits of.
    pub fn new(lanes: usize) -> Self {
        Self {
            lanes,
            places: Vec::new(),
            numbers: BTreeMap::new(),
            filter_ids: BTreeMap::new(),
            chains: Vec::new(),
            by_names: BTreeMap::new(),
            next_policy: 0,
            next_chain: 0,
            last_epoch: 0,
            retired: Vec::new(),
            current: Policies::none(),
        }
    }

    /// What is in force.
    pub fn current(&self) -> &Arc<Policies> {
        &self.current
    }

    /// The policy that a Filter-Id means: by its name, else by its `filterIds`.
    pub fn resolve(&self, filter_id: &str) -> Option<&Arc<str>> {
        let named = self.numbers.get_key_value(filter_id);
        let named = named.filter(|(_, id)| self.in_force(**id).is_some());
        let named = named.map(|(name, _)| name);
        named.or_else(|| self.filter_ids.get(filter_id))
    }

    /// The chain of these policies, made if need be. No names: [`ChainId::NONE`].
    ///
    /// # Errors
    /// A [`BookError`]; nothing has changed.
    pub fn chain(&mut self, names: &[Arc<str>]) -> Result<ChainId, BookError> {
        if names.is_empty() {
            return Ok(ChainId::NONE);
        }
        if names.len() > limits::CHAIN {
            return Err(BookError::TooLong);
        }
        let mut policies = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|earlier| earlier == name) {
                return Err(BookError::Twice(Arc::clone(name)));
            }
            let id = self.numbers.get(name);
            let policy = id.and_then(|id| self.in_force(*id));
            let unknown = || BookError::Unknown(Arc::clone(name));
            policies.push(Arc::clone(policy.ok_or_else(unknown)?));
        }
        if let Some(id) = self.by_names.get(names) {
            return Ok(*id);
        }
        let id = self.free_chain().ok_or(BookError::TooManyChains)?;
        let names: Arc<[Arc<str>]> = names.into();
        let epoch = self.new_epoch();
        let chain = Chain::new(id, Arc::clone(&names), epoch, policies.into());
        set(&mut self.chains, place_of(id), Arc::new(chain));
        self.next_chain = id.0.wrapping_add(1);
        self.by_names.insert(names, id);
        self.publish();
        Ok(id)
    }

    /// Puts `policies` in the place of those before; each keeps its number while there is one of its
    /// name, and its counters, those of its rules by their names. Chains stay what they are.
    ///
    /// # Errors
    /// A [`BookError`]; nothing has changed.
    pub fn replace(&mut self, policies: Vec<Policy>) -> Result<(), BookError> {
        if policies.len() > limits::POLICIES {
            return Err(BookError::TooManyPolicies);
        }
        let (filter_ids, wrong) = filter_ids(&policies);
        wrong.into_iter().next().map_or(Ok(()), Err)?;
        let is_known = |policy: &&Policy| {
            let id = self.numbers.get(&policy.name);
            let before = id.and_then(|id| self.place(*id));
            before.is_some_and(|before| before.policy.policy == **policy)
        };
        for policy in policies.iter().filter(|policy| !is_known(policy)) {
            policy.check().map_err(|what| invalid(policy, what))?;
        }
        let (numbered, next_policy) = self.number(policies)?;
        let measured = self.measure(&numbered)?;
        let compiled: Vec<_> = numbered
            .into_iter()
            .zip(measured)
            .map(|((id, policy), entries)| self.compile(id, policy, entries))
            .collect();
        // From here on nothing fails.
        self.filter_ids = filter_ids;
        self.next_policy = next_policy;
        let anew: BTreeSet<PolicyId> = compiled
            .iter()
            .filter(|policy| self.is_judged_anew(policy))
            .map(|policy| policy.id)
            .collect();
        for place in self.places.iter_mut().flatten() {
            place.in_force = false;
        }
        for policy in compiled {
            self.put(policy);
        }
        self.link(&anew);
        self.forget();
        self.publish();
        self.settle();
        Ok(())
    }

    /// Nobody has this chain any more. What is in force stays as it is; the next edition is without it.
    pub fn give_up(&mut self, chain: ChainId) {
        let place = self.chains.get_mut(place_of(chain));
        let Some(place) = place.filter(|it| it.as_ref().is_some_and(|it| it.id == chain)) else {
            return;
        };
        if let Some(chain) = place.take() {
            self.by_names.remove(&chain.names);
        }
        if self.places.iter().flatten().any(|place| !place.in_force) {
            self.forget();
        }
    }

    /// Gives up the chains that `is_used` says nothing uses. Whoever calls it has told the workers first
    /// what the ports that had one of these have instead. Returns how many there were.
    pub fn retain_chains(&mut self, mut is_used: impl FnMut(ChainId) -> bool) -> usize {
        let before = self.by_names.len();
        self.by_names.retain(|_, id| is_used(*id));
        let gone = before.saturating_sub(self.by_names.len());
        if gone == 0 {
            return 0;
        }
        let left: BTreeSet<ChainId> = self.by_names.values().copied().collect();
        for place in &mut self.chains {
            *place = place.take().filter(|chain| left.contains(&chain.id));
        }
        self.forget();
        self.publish();
        gone
    }

    /// The chains that name this policy.
    pub fn chains_naming(&self, policy: &str) -> impl Iterator<Item = ChainId> {
        let chains = self.by_names.iter();
        chains.filter_map(move |(names, id)| names.iter().any(|it| **it == *policy).then_some(*id))
    }

    /// Adds to the counters what workers have counted by tables that were replaced meanwhile. The other
    /// operations do it, too.
    pub fn settle(&mut self) {
        for mut retired in core::mem::take(&mut self.retired) {
            // Nobody else has it, so nobody counts any more: what is read now is the whole.
            let is_last = Arc::get_mut(&mut retired.table).is_some();
            self.carry(&mut retired);
            if !is_last {
                self.retired.push(retired);
            }
        }
    }

    fn carry(&self, retired: &mut Retired) {
        let sums = retired.table.counters.sums();
        let policy = self.place(retired.policy).map(|it| &it.policy);
        let table = policy.and_then(|policy| policy.table(retired.direction));
        if let Some(table) = table.filter(|_| sums != retired.carried) {
            let before = retired.carried.iter().chain(core::iter::repeat(&0));
            let more = sums
                .iter()
                .zip(before)
                .map(|(now, was)| now.wrapping_sub(*was));
            table.carry(&retired.table, more);
        }
        retired.carried = sums;
    }

    fn place(&self, id: PolicyId) -> Option<&Place> {
        self.places.get(usize::from(id.0))?.as_ref()
    }

    fn in_force(&self, id: PolicyId) -> Option<&Arc<Compiled>> {
        let place = self.place(id).filter(|place| place.in_force);
        place.map(|place| &place.policy)
    }

    /// A number for each: its own, else one that is free. And where to look for the next one.
    fn number(&self, policies: Vec<Policy>) -> Result<Numbered, BookError> {
        let mut next = self.next_policy;
        let all = (0..limits::POLICY_NUMBERS).cycle();
        let all = all.skip(next % limits::POLICY_NUMBERS);
        let mut free = all
            .take(limits::POLICY_NUMBERS)
            .filter(|place| self.places.get(*place).is_none_or(Option::is_none));
        let mut numbered = Vec::with_capacity(policies.len());
        for policy in policies {
            let known = self.numbers.get(&policy.name).copied();
            let fresh = || {
                let place = free.next()?;
                next = place.saturating_add(1);
                u16::try_from(place).ok().map(PolicyId)
            };
            let id = known.or_else(fresh).ok_or(BookError::TooManyPolicies)?;
            numbered.push((id, policy));
        }
        Ok((numbered, next))
    }

    /// How many entries the tables of each policy have, once compiled.
    fn measure(&self, policies: &[(PolicyId, Policy)]) -> Result<Vec<[usize; 2]>, BookError> {
        let mut left = Left::default();
        let mut measure = |id: PolicyId, policy: &Policy, direction| {
            let Some(table) = policy.table(direction) else {
                return Ok(0);
            };
            let entries = match self.compiled(id, policy, direction) {
                Some(known) => known.entries,
                None => measure(table).map_err(|it| too_large(policy, direction, it))?,
            };
            left.take(policy, direction, entries)?;
            Ok(entries)
        };
        let both = policies.iter().map(|(id, policy)| {
            let input = measure(*id, policy, Direction::Input)?;
            Ok([input, measure(*id, policy, Direction::Output)?])
        });
        both.collect()
    }

    /// The table of a policy, if it is the one that is compiled already.
    fn compiled(&self, id: PolicyId, policy: &Policy, direction: Direction) -> Option<&Arc<Table>> {
        let before = &self.place(id)?.policy;
        let is_same = before.policy.table(direction) == policy.table(direction);
        before.table(direction).filter(|_| is_same)
    }

    /// What is compiled already is taken from there.
    fn compile(&self, id: PolicyId, policy: Policy, entries: [usize; 2]) -> Arc<Compiled> {
        let before = self.place(id).map(|place| &place.policy);
        if let Some(same) = before.filter(|before| before.policy == policy) {
            return Arc::clone(same);
        }
        let table = |direction, entries| {
            let table = policy.table(direction)?;
            let same = self.compiled(id, &policy, direction).cloned();
            Some(same.unwrap_or_else(|| Arc::new(Table::new(table, entries, self.lanes))))
        };
        let [input, output] = entries;
        Arc::new(Compiled {
            id,
            tables: [
                table(Direction::Input, input),
                table(Direction::Output, output),
            ],
            policy,
        })
    }

    fn is_judged_anew(&self, policy: &Compiled) -> bool {
        let new = &policy.policy;
        let old = self.place(policy.id).map(|place| &place.policy.policy);
        new.on_change == OnChange::Reclassify
            && old.is_some_and(|old| (&old.input, &old.output) != (&new.input, &new.output))
    }

    /// Puts a policy into its place and keeps the tables that it takes the place of, for their counters.
    fn put(&mut self, policy: Arc<Compiled>) {
        let before = self.place(policy.id).map(|place| Arc::clone(&place.policy));
        for (direction, old) in before.iter().flat_map(|before| before.each_table()) {
            let new = policy.table(direction);
            if new.is_some_and(|new| !Arc::ptr_eq(new, old)) {
                self.retired.push(Retired {
                    policy: policy.id,
                    direction,
                    table: Arc::clone(old),
                    carried: Vec::new(),
                });
            }
        }
        let name = Arc::clone(&policy.policy.name);
        self.numbers.insert(name, policy.id);
        let place = usize::from(policy.id.0);
        let in_force = true;
        set(&mut self.places, place, Place { policy, in_force });
    }

    /// Gives the chains what their policies are now.
    fn link(&mut self, anew: &BTreeSet<PolicyId>) {
        let mut chains = core::mem::take(&mut self.chains);
        for chain in chains.iter_mut().flatten() {
            let now = |policy: &Arc<Compiled>| {
                let place = self.place(policy.id);
                Arc::clone(place.map_or(policy, |place| &place.policy))
            };
            let policies: Box<[_]> = chain.policies.iter().map(now).collect();
            let mut pairs = policies.iter().zip(&chain.policies);
            if pairs.all(|(new, old)| Arc::ptr_eq(new, old)) {
                continue;
            }
            let is_anew = policies.iter().any(|policy| anew.contains(&policy.id));
            let epoch = if is_anew {
                self.new_epoch()
            } else {
                chain.epoch
            };
            let names = Arc::clone(&chain.names);
            *chain = Arc::new(Chain::new(chain.id, names, epoch, policies));
        }
        self.chains = chains;
    }

    /// Forgets policies that are neither in force nor in a chain.
    fn forget(&mut self) {
        let chains = self.chains.iter().flatten();
        let linked = chains.flat_map(|chain| chain.policies.iter().map(|policy| policy.id));
        let linked: BTreeSet<PolicyId> = linked.collect();
        let is_needed = |place: &Place| place.in_force || linked.contains(&place.policy.id);
        for place in &mut self.places {
            *place = place.take().filter(is_needed);
        }
        let places = &self.places;
        let is_there = |id: PolicyId| places.get(usize::from(id.0)).is_some_and(Option::is_some);
        self.numbers.retain(|_, id| is_there(*id));
    }

    /// The next number that leads to a free place. Numbers only grow, until after some billions they begin
    /// anew: a worker that still has an old one finds that it is another's.
    fn free_chain(&self) -> Option<ChainId> {
        let numbers = (0..=u32::MAX).map(|more| ChainId(self.next_chain.wrapping_add(more)));
        let is_free = |id: &ChainId| {
            let place = self.chains.get(place_of(*id));
            *id != ChainId::NONE && place.is_none_or(Option::is_none)
        };
        numbers.take(limits::CHAINS.saturating_add(1)).find(is_free)
    }

    /// One that no chain has had before. So a flow that a worker has opened by the policies that a port
    /// had before, and that outlived their end, is judged anew.
    const fn new_epoch(&mut self) -> Epoch {
        self.last_epoch = self.last_epoch.wrapping_add(1);
        Epoch(self.last_epoch)
    }

    fn publish(&mut self) {
        self.current = Arc::new(Policies {
            number: self.current.number.wrapping_add(1),
            all: self.places.clone(),
            chains: self.chains.clone(),
        });
    }
}

fn set<T>(places: &mut Vec<Option<T>>, place: usize, value: T) {
    if places.len() <= place {
        places.resize_with(place.saturating_add(1), || None);
    }
    if let Some(place) = places.get_mut(place) {
        *place = Some(value);
    }
}
