//! Which policies a session has: found at its login from Filter-Ids or the defaults, kept until it logs
//! in anew, a server names others for it (at a re-challenge or by request), or it ends; told to the workers
//! before any session needs them.
//!
//! A session is bound to a chain: policies in their order. The book has one chain for each combination
//! that somebody has, and gives it up with the last one who has it.
//!
//! Not here: what a policy does with a packet (`lns_l2sess`), and where Filter-Ids come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_l2sess::ChainId;
use lns_l2sess::policy::{Policies, Policy, PolicyBook, Rates};
use lns_tables::path::{PathUpdate, SlotIndex};
use lns_tables::time::Instant;

use crate::config::UnknownFilterId;
use crate::explain::transcript::Step;
use crate::limits;
use crate::node::Node;
use crate::rejection::Rejection;
use crate::view::{self, BoundBy};

/// How a session has come to its policies. Nobody's until it has logged in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Binding {
    pub(crate) chain: ChainId,
    pub(crate) by: By,
    /// The Filter-Id that names no policy, for which it has the default ones.
    pub(crate) unknown: Option<Arc<str>>,
}

/// See [`Binding`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum By {
    /// It has not logged in.
    #[default]
    Nobody,
    /// By the default policies, which may be none.
    Default,
    /// By Filter-Ids.
    FilterId,
}

/// The policies, and how many sessions have which.
#[derive(Debug)]
pub(crate) struct Bindings {
    book: PolicyBook,
    /// What the workers have.
    told: Arc<Policies>,
    defaults: Vec<Arc<str>>,
    unknown: UnknownFilterId,
    /// The chains that sessions have: none that nobody has.
    uses: BTreeMap<ChainId, Uses>,
}

/// How many sessions have a chain.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    by_filter_id: u32,
    by_default: u32,
}

/// What a session is to have.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) by: By,
    pub(crate) unknown: Option<Arc<str>>,
}

/// Whom a reload of the policies concerns.
#[derive(Debug)]
struct Change {
    /// The default policies are others.
    defaults: bool,
    /// Chains with other rates.
    other_rates: BTreeSet<ChainId>,
}

impl Bindings {
    /// Nobody has any of `policies` yet.
    pub(crate) fn new(
        policies: Vec<Policy>,
        defaults: Vec<Arc<str>>,
        unknown: UnknownFilterId,
        workers: usize,
    ) -> Self {
        let mut this = Self {
            book: PolicyBook::new(workers),
            told: Policies::none(),
            defaults,
            unknown,
            uses: BTreeMap::new(),
        };
        if !this.is_same(&policies) {
            // They are valid. Were they not, none would be found here, and no login be let in by one.
            let _refused = this.book.replace(policies);
        }
        this
    }

    /// What is in force.
    pub(crate) fn policies(&self) -> &Arc<Policies> {
        self.book.current()
    }

    /// How fast a session with this chain may be; `None`: as fast as it goes.
    pub(crate) fn rates(&self, chain: ChainId) -> Option<Rates> {
        self.policies().chain(chain)?.rates()
    }

    /// The policies of a chain, in order.
    pub(crate) fn names(&self, chain: ChainId) -> &[Arc<str>] {
        self.policies()
            .chain(chain)
            .map_or(&[], |chain| chain.names())
    }

    /// What the workers have to be told before they hear of a session again, if anything.
    pub(crate) fn news(&mut self) -> Option<PathUpdate> {
        if self.told == *self.policies() {
            return None;
        }
        self.told = Arc::clone(self.policies());
        Some(PathUpdate::SetPolicies {
            policies: Arc::clone(&self.told),
        })
    }

    /// Whether a Filter-Id means a policy.
    pub(crate) fn knows(&self, filter_id: &str) -> bool {
        self.book.resolve(filter_id).is_some()
    }

    /// The policies that Filter-Ids mean, in order; none given: the default ones.
    fn resolve(&self, filter_ids: &[Arc<str>]) -> Result<Wanted, Rejection> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for filter_id in filter_ids {
            match (self.book.resolve(filter_id), self.unknown) {
                // One policy by two of its names.
                (Some(name), _) if names.contains(name) => {}
                (Some(name), _) => names.push(Arc::clone(name)),
                (None, UnknownFilterId::UseDefault) => {
                    return Ok(self.default(Some(Arc::clone(filter_id))));
                }
                (None, UnknownFilterId::Refuse) => {
                    return Err(Rejection::UnknownFilterId(Arc::clone(filter_id)));
                }
            }
        }
        Ok(if names.is_empty() {
            self.default(None)
        } else {
            Wanted {
                names,
                by: By::FilterId,
                unknown: None,
            }
        })
    }

    fn default(&self, unknown: Option<Arc<str>>) -> Wanted {
        Wanted {
            names: self.defaults.clone(),
            by: By::Default,
            unknown,
        }
    }

    /// One more session has what is wanted.
    fn take(&mut self, wanted: Wanted) -> Result<Binding, Rejection> {
        if wanted.names.len() > lns_l2sess::limits::CHAIN {
            return Err(Rejection::TooManyPolicies);
        }
        let chain = self.book.chain(&wanted.names);
        let chain = chain.map_err(|_| Rejection::NoPolicyChain)?;
        let is_new = chain != ChainId::NONE && !self.uses.contains_key(&chain);
        if is_new && wanted.by == By::FilterId && self.uses.len() >= limits::FILTER_ID_CHAINS {
            self.book.give_up(chain);
            return Err(Rejection::NoPolicyChain);
        }
        if chain != ChainId::NONE {
            let uses = self.uses.entry(chain).or_default();
            let count = uses.of(wanted.by);
            *count = count.saturating_add(1);
        }
        Ok(Binding {
            chain,
            by: wanted.by,
            unknown: wanted.unknown,
        })
    }

    /// A session has it no longer, and the workers have been told so.
    pub(crate) fn release(&mut self, binding: &Binding) {
        let Some(uses) = self.uses.get_mut(&binding.chain) else {
            return;
        };
        let count = uses.of(binding.by);
        *count = count.saturating_sub(1);
        if uses.is_none() {
            self.uses.remove(&binding.chain);
            self.book.give_up(binding.chain);
        }
    }

    /// Takes other policies and defaults. A chain with a policy that is gone stays what it was.
    fn replace(&mut self, policies: Vec<Policy>, defaults: Vec<Arc<str>>) -> Change {
        let is_other = self.defaults != defaults;
        self.defaults = defaults;
        let chains: Vec<_> = self.uses.keys().copied().collect();
        let before: Vec<_> = chains.iter().map(|chain| self.rates(*chain)).collect();
        if !self.is_same(&policies) {
            // They are valid. Were they not, those before would stay in force.
            let _refused = self.book.replace(policies);
        }
        let before = chains.into_iter().zip(before);
        let other_rates = before.filter(|(chain, before)| self.rates(*chain) != *before);
        Change {
            defaults: is_other,
            other_rates: other_rates.map(|(chain, _)| chain).collect(),
        }
    }

    fn is_same(&self, policies: &[Policy]) -> bool {
        let known = self.policies().policies();
        let known: BTreeMap<_, _> = known.map(|(_, policy)| (&policy.name, policy)).collect();
        known.len() == policies.len()
            && policies
                .iter()
                .all(|policy| known.get(&policy.name) == Some(&policy))
    }

    /// The chains that somebody has, with each of their policies that would go with `policies`.
    fn losing(&self, policies: &[Policy]) -> Vec<(ChainId, Arc<str>)> {
        let stay: BTreeSet<_> = policies.iter().map(|policy| &policy.name).collect();
        let known = self.policies().policies().map(|(_, policy)| &policy.name);
        let go = known.filter(|name| !stay.contains(name));
        go.flat_map(|name| {
            let chains = self.book.chains_naming(name);
            chains.map(|chain| (chain, Arc::clone(name)))
        })
        .collect()
    }

    /// Counts what workers have counted by policies that they have given up since. To be called now and
    /// then.
    pub(crate) fn settle(&mut self) {
        self.book.settle();
    }
}

impl Uses {
    const fn of(&mut self, by: By) -> &mut u32 {
        match by {
            By::FilterId => &mut self.by_filter_id,
            By::Default | By::Nobody => &mut self.by_default,
        }
    }

    const fn is_none(self) -> bool {
        self.by_filter_id == 0 && self.by_default == 0
    }
}

impl Binding {
    /// For an engineer.
    pub(crate) const fn bound_by(&self) -> BoundBy {
        match self.by {
            By::FilterId => BoundBy::FilterId,
            By::Default if self.chain.0 != ChainId::NONE.0 => BoundBy::Default,
            By::Default | By::Nobody => BoundBy::None,
        }
    }
}

impl Node {
    /// Binds a session that logs in to the policies that `filter_ids` mean, in their order; without any
    /// to the default ones.
    pub(crate) fn bind(
        &mut self,
        slot: SlotIndex,
        filter_ids: &[Arc<str>],
    ) -> Result<(), Rejection> {
        let wanted = self.bindings.resolve(filter_ids)?;
        self.rebind(slot, wanted)
    }

    /// The new chain is there, and the session has it, before the old one is given up.
    fn rebind(&mut self, slot: SlotIndex, wanted: Wanted) -> Result<(), Rejection> {
        let binding = self.bindings.take(wanted)?;
        self.tell_policies();
        let chain = binding.chain;
        let Some(session) = self.sessions.get_mut(slot) else {
            self.bindings.release(&binding);
            return Ok(());
        };
        let before = core::mem::replace(&mut session.binding, binding);
        if before.chain != chain {
            self.publish(slot);
        }
        self.bindings.release(&before);
        Ok(())
    }

    /// Gives a restored session the policies that it had. If one of them is gone, or there is no room for
    /// their chain, it has the default ones.
    pub(crate) fn bind_restored(&mut self, slot: SlotIndex, wanted: Wanted) {
        let unknown = wanted.unknown.clone();
        // The default policies are those of this node, whatever they were when the record was written.
        let wanted = match wanted.by {
            By::Default => self.bindings.default(unknown.clone()),
            By::Nobody | By::FilterId => wanted,
        };
        let bound = self
            .bindings
            .take(wanted)
            .or_else(|_| self.bindings.take(self.bindings.default(unknown)));
        self.tell_policies();
        let Ok(binding) = bound else {
            return;
        };
        match self.sessions.get_mut(slot) {
            Some(session) => session.binding = binding,
            None => self.bindings.release(&binding),
        }
    }

    fn tell_policies(&mut self) {
        self.path.extend(self.bindings.news());
    }

    /// Notes what a session that has logged in is bound to, where there is anything to tell.
    pub(crate) fn note_binding(&mut self, slot: SlotIndex, now: Instant) {
        let Some(session) = self.sessions.get(slot) else {
            return;
        };
        let binding = &session.binding;
        if binding.chain == ChainId::NONE && binding.unknown.is_none() {
            return;
        }
        let step = Step::Policies {
            names: self.bindings.names(binding.chain).into(),
            by: match binding.by {
                By::FilterId => "filter_id",
                By::Default | By::Nobody => "default",
            },
            unknown: binding.unknown.clone(),
        };
        self.note_step(slot, step, now);
    }

    /// Takes the policies of a new configuration over. Who has the default ones gets what they are now.
    /// Who has others hears of it only where their rates have changed, and keeps one that is gone, though
    /// nobody should have it: see [`policies_still_in_use`](Self::policies_still_in_use).
    ///
    /// # Cost
    /// Where somebody is concerned, one step for each session.
    pub(crate) fn change_policies(
        &mut self,
        policies: Vec<Policy>,
        defaults: Vec<Arc<str>>,
        unknown: UnknownFilterId,
    ) {
        self.bindings.unknown = unknown;
        let change = self.bindings.replace(policies, defaults);
        self.tell_policies();
        if !change.defaults && change.other_rates.is_empty() {
            return;
        }
        let (mut anew, mut with_other_rates) = (Vec::new(), Vec::new());
        for (slot, session) in self.sessions.range(0..self.sessions.span()) {
            let Binding { chain, by, .. } = session.binding;
            if change.defaults && by == By::Default {
                anew.push(slot);
            } else if change.other_rates.contains(&chain) {
                with_other_rates.push(slot);
            }
        }
        for slot in with_other_rates {
            self.publish(slot);
        }
        for slot in anew {
            let session = self.sessions.get(slot);
            let unknown = session.and_then(|session| session.binding.unknown.clone());
            let wanted = self.bindings.default(unknown);
            // There is always room for them: see `FILTER_ID_CHAINS`.
            let _bound = self.rebind(slot, wanted);
        }
    }

    // === What is shown ===

    /// The policies in force, and the chains of those that sessions have.
    pub fn policies(&self) -> &Arc<Policies> {
        self.bindings.policies()
    }

    /// How many sessions have each policy, in the order of names.
    pub fn policy_sessions(&self) -> Vec<view::PolicySessions> {
        let known = self.policies().policies();
        let mut found: BTreeMap<&Arc<str>, Uses> = known
            .map(|(_, policy)| (&policy.name, Uses::default()))
            .collect();
        for (chain, uses) in &self.bindings.uses {
            for name in self.bindings.names(*chain) {
                let sum = found.entry(name).or_default();
                sum.by_filter_id = sum.by_filter_id.saturating_add(uses.by_filter_id);
                sum.by_default = sum.by_default.saturating_add(uses.by_default);
            }
        }
        let shown = found.into_iter().map(|(name, uses)| view::PolicySessions {
            policy: name.to_string(),
            sessions: uses.by_filter_id.saturating_add(uses.by_default),
            by_filter_id: uses.by_filter_id,
        });
        shown.collect()
    }

    /// The policies that sessions have by Filter-Id and that would go with `policies`, by name. As long as
    /// there are any, [`handle_config`](Self::handle_config) should not be called with these.
    ///
    /// # Cost
    /// One step for each chain that is in use; where there is such a policy, also for each session.
    pub fn policies_still_in_use(&self, policies: &[Policy]) -> Vec<view::PolicyInUse> {
        let mut found: BTreeMap<Arc<str>, view::PolicyInUse> = BTreeMap::new();
        let mut of_chains: BTreeMap<ChainId, Vec<Arc<str>>> = BTreeMap::new();
        for (chain, name) in self.bindings.losing(policies) {
            let uses = self.bindings.uses.get(&chain).copied().unwrap_or_default();
            if uses.by_filter_id == 0 {
                continue;
            }
            let policy = name.to_string();
            let entry = found.entry(Arc::clone(&name));
            let entry = entry.or_insert_with(|| view::PolicyInUse {
                policy,
                sessions: 0,
                users: Vec::new(),
                has_others: false,
            });
            entry.sessions = entry.sessions.saturating_add(uses.by_filter_id);
            of_chains.entry(chain).or_default().push(name);
        }
        if found.is_empty() {
            return Vec::new();
        }
        for (_, session) in self.sessions.range(0..self.sessions.span()) {
            let Binding { chain, by, .. } = session.binding;
            let names = of_chains.get(&chain).filter(|_| by == By::FilterId);
            for name in names.into_iter().flatten() {
                if let (Some(policy), Some(user)) = (found.get_mut(name), &session.user) {
                    policy.note(&String::from_utf8_lossy(user));
                }
            }
        }
        found.into_values().collect()
    }
}

impl view::PolicyInUse {
    /// One who uses it, unless there are names enough.
    fn note(&mut self, user: &str) {
        if self.users.iter().any(|known| known == user) {
            return;
        }
        if self.users.len() < limits::USERS_NAMED {
            self.users.push(user.to_owned());
        } else {
            self.has_others = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use lns_l2sess::Timeouts;
    use lns_l2sess::policy::OnChange;

    use super::*;

    fn policy(name: String) -> Policy {
        Policy {
            name: name.into(),
            filter_ids: Vec::new(),
            input: None,
            output: None,
            timeouts: Timeouts::DEFAULT,
            on_change: OnChange::Keep,
            rates: None,
        }
    }

    /// All pairs and triples of different policies: more than there may be chains.
    fn combinations(policies: &[Policy]) -> Vec<Vec<Arc<str>>> {
        let mut found = Vec::new();
        for first in policies {
            for second in policies {
                for third in policies {
                    let names: BTreeSet<_> = [first, second, third].map(|it| &it.name).into();
                    if names.len() == 3 {
                        found.push([first, second, third].map(|it| Arc::clone(&it.name)).into());
                    }
                }
            }
        }
        found
    }

    #[test]
    fn default_policies_have_room_however_many_combinations_there_are_by_filter_id() {
        let policies: Vec<_> = (0..20).map(|n| policy(format!("p{n}"))).collect();
        let combinations = combinations(&policies);
        let default = vec![Arc::clone(&policies[0].name)];
        let mut bindings = Bindings::new(policies, default, UnknownFilterId::UseDefault, 1);
        let mut bind = |filter_ids: &[Arc<str>]| {
            let wanted = bindings.resolve(filter_ids)?;
            bindings.take(wanted)
        };
        let bound: Vec<_> = combinations.iter().map(|it| bind(it)).collect();
        let had = bound.iter().filter(|it| it.is_ok()).count();
        assert_eq!(had, limits::FILTER_ID_CHAINS);
        let last = bound.last().map(|it| it.as_ref().err());
        assert_eq!(last, Some(Some(&Rejection::NoPolicyChain)));
        assert!(bind(&combinations[0]).is_ok(), "somebody has it already");
        let default = bind(&[]).unwrap();
        assert_eq!(bindings.names(default.chain).len(), 1);
        // One that ends makes room.
        let first = bound.into_iter().next().unwrap().unwrap();
        bindings.release(&first);
        bindings.release(&first);
        let wanted = bindings.resolve(combinations.last().unwrap()).unwrap();
        assert!(
            bindings.take(wanted).is_err(),
            "the default chain has its place"
        );
        bindings.release(&default);
        let wanted = bindings.resolve(combinations.last().unwrap()).unwrap();
        assert!(bindings.take(wanted).is_ok());
    }
}
