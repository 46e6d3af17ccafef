//! The policies that are in force, and the book in which the control keeps them.

use std::sync::Arc;

use super::rule::{OnChange, Policy, PolicyTable, Rates};
use super::{ChainId, Epoch, PolicyId};
use crate::key::Direction;
use crate::limits;
use crate::state::Timeouts;

/// All policies and chains that are in force: what workers look at. It never changes; the book makes
/// another one.
#[derive(Debug)]
pub struct Policies {
    number: u64,
    all: Vec<Option<Arc<Policy>>>,
    chains: Vec<Option<Arc<Chain>>>,
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

    /// The chain of that number; `None` for [`ChainId::NONE`], and for one that does not exist (any more).
    pub fn chain(&self, chain: ChainId) -> Option<&Chain> {
        let place = usize::try_from(chain.0).ok()?.checked_sub(1)?;
        self.chains.get(place)?.as_deref()
    }

    /// The timeouts of a policy.
    pub fn timeouts(&self, policy: PolicyId) -> Timeouts {
        let policy = self.all.get(usize::from(policy.0));
        let policy = policy.and_then(Option::as_deref);
        policy.map_or(Timeouts::DEFAULT, |policy| policy.timeouts)
    }

    /// The policies, by number.
    pub fn policies(&self) -> impl Iterator<Item = (PolicyId, &Policy)> {
        let numbered = (0_u16..).map(PolicyId).zip(&self.all);
        numbered.filter_map(|(id, policy)| Some((id, policy.as_deref()?)))
    }
}

/// Policies in a row, as one subscriber has them.
#[derive(Debug)]
pub struct Chain {
    names: Box<[Arc<str>]>,
    epoch: Epoch,
    tables: [Vec<(PolicyId, Arc<Policy>)>; 2],
    rates: Option<Rates>,
}

impl Chain {
    /// The names of its policies.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// How often it has changed in a way by which open flows must be judged anew.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether packets of that direction are judged at all.
    pub fn is_bound(&self, direction: Direction) -> bool {
        let [input, output] = &self.tables;
        match direction {
            Direction::Input => !input.is_empty(),
            Direction::Output => !output.is_empty(),
        }
    }

    /// How fast a subscriber with it may be: what the first policy says that says anything.
    pub const fn rates(&self) -> Option<Rates> {
        self.rates
    }
}

/// Where the control keeps policies and chains.
#[derive(Debug)]
pub struct PolicyBook {
    policies: Vec<Option<Arc<Policy>>>,
    chains: Vec<Option<Arc<Chain>>>,
    current: Arc<Policies>,
}

/// There are as many chains, or policies in a chain, as there may be, or no policy has that name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BookError {
    /// No policy has this name.
    Unknown(Arc<str>),
    /// The chain is longer than [`limits::CHAIN`].
    TooLong,
    /// It names one policy twice.
    Twice(Arc<str>),
    /// There are [`limits::CHAINS`] of them.
    TooManyChains,
    /// There are [`limits::POLICIES`] of them.
    TooManyPolicies,
}

impl Default for PolicyBook {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            chains: Vec::new(),
            current: Policies::none(),
        }
    }
}

impl PolicyBook {
    /// What is in force.
    pub fn current(&self) -> &Arc<Policies> {
        &self.current
    }

    /// The policy that a Filter-Id means: by its name, else by its `filterIds`.
    pub fn resolve(&self, filter_id: &str) -> Option<&Arc<str>> {
        let policies = || self.policies.iter().flatten();
        let named = policies().find(|policy| &*policy.name == filter_id);
        let listed = || {
            policies().find(|policy| policy.filter_ids.iter().any(|known| &**known == filter_id))
        };
        named.or_else(listed).map(|policy| &policy.name)
    }

    /// The chain of these policies, made if need be. No names: [`ChainId::NONE`].
    ///
    /// # Errors
    /// A [`BookError`]; nothing has changed.
    pub fn chain(&mut self, names: &[Arc<str>]) -> Result<ChainId, BookError> {
        if names.is_empty() {
            return Ok(ChainId::NONE);
        }
        let is_it =
            |chain: &Option<Arc<Chain>>| chain.as_ref().is_some_and(|it| *it.names == *names);
        if let Some(place) = self.chains.iter().position(is_it) {
            return Ok(number_of(place));
        }
        if names.len() > limits::CHAIN {
            return Err(BookError::TooLong);
        }
        let free = self.chains.iter().position(Option::is_none);
        let place = free.unwrap_or(self.chains.len());
        if place >= limits::CHAINS {
            return Err(BookError::TooManyChains);
        }
        let chain = Some(Arc::new(self.link(names, Epoch::default())?));
        match self.chains.get_mut(place) {
            Some(free) => *free = chain,
            None => self.chains.push(chain),
        }
        self.publish();
        Ok(number_of(place))
    }

    /// Nobody has this chain any more: its number may be another's from the next edition on. What is in
    /// force stays as it is.
    pub fn give_up(&mut self, chain: ChainId) {
        let place = usize::try_from(chain.0)
            .ok()
            .and_then(|it| it.checked_sub(1));
        if let Some(place) = place.and_then(|place| self.chains.get_mut(place)) {
            *place = None;
        }
    }

    /// Puts `policies` in the place of those before; each keeps its number while there is one of its
    /// name. Chains stay what they are; one that names a policy that is gone goes on without it.
    ///
    /// # Errors
    /// A [`BookError`]; nothing has changed.
    pub fn replace(&mut self, policies: Vec<Policy>) -> Result<(), BookError> {
        if policies.len() > limits::POLICIES {
            return Err(BookError::TooManyPolicies);
        }
        let before = core::mem::take(&mut self.policies);
        let mut after: Vec<Option<Arc<Policy>>> = vec![None; before.len()];
        let mut fresh = Vec::new();
        for policy in policies {
            let place = before
                .iter()
                .flatten()
                .position(|old| old.name == policy.name);
            match place.and_then(|place| after.get_mut(place)) {
                Some(place) => *place = Some(Arc::new(policy)),
                None => fresh.push(Arc::new(policy)),
            }
        }
        for policy in fresh {
            match after.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(policy),
                None => after.push(Some(policy)),
            }
        }
        let is_judged_anew = |name: &Arc<str>| {
            let find = |all: &[Option<Arc<Policy>>]| {
                all.iter().flatten().find(|it| it.name == *name).cloned()
            };
            match (find(&before), find(&after)) {
                (Some(old), Some(new)) => {
                    new.on_change == OnChange::Reclassify
                        && (&old.input, &old.output) != (&new.input, &new.output)
                }
                _ => false,
            }
        };
        let epochs: Vec<Epoch> = self
            .chains
            .iter()
            .map(|chain| {
                let Some(chain) = chain else {
                    return Epoch::default();
                };
                let anew = chain.names.iter().any(is_judged_anew);
                Epoch(chain.epoch.0.wrapping_add(u32::from(anew)))
            })
            .collect();
        self.policies = after;
        let chains = core::mem::take(&mut self.chains);
        self.chains = chains
            .iter()
            .zip(epochs)
            .map(|(chain, epoch)| {
                let Some(chain) = chain else {
                    return Ok(None);
                };
                let names: Vec<_> = chain
                    .names
                    .iter()
                    .filter(|name| self.find(name).is_some())
                    .cloned()
                    .collect();
                self.link(&names, epoch).map(|chain| Some(Arc::new(chain)))
            })
            .collect::<Result<_, _>>()?;
        self.publish();
        Ok(())
    }

    fn find(&self, name: &Arc<str>) -> Option<(PolicyId, &Arc<Policy>)> {
        let numbered = (0_u16..).map(PolicyId).zip(&self.policies);
        let mut there = numbered.filter_map(|(id, policy)| Some((id, policy.as_ref()?)));
        there.find(|(_, policy)| policy.name == *name)
    }

    fn link(&self, names: &[Arc<str>], epoch: Epoch) -> Result<Chain, BookError> {
        let mut tables = [Vec::new(), Vec::new()];
        let mut rates = None;
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|earlier| earlier == name) {
                return Err(BookError::Twice(Arc::clone(name)));
            }
            let (id, policy) = self
                .find(name)
                .ok_or_else(|| BookError::Unknown(Arc::clone(name)))?;
            rates = rates.or(policy.rates);
            let [input, output] = &mut tables;
            let both: [(&mut Vec<_>, &Option<PolicyTable>); 2] =
                [(input, &policy.input), (output, &policy.output)];
            for (tables, table) in both {
                if table.is_some() {
                    tables.push((id, Arc::clone(policy)));
                }
            }
        }
        Ok(Chain {
            names: names.into(),
            epoch,
            tables,
            rates,
        })
    }

    fn publish(&mut self) {
        self.current = Arc::new(Policies {
            number: self.current.number.wrapping_add(1),
            all: self.policies.clone(),
            chains: self.chains.clone(),
        });
    }
}

fn number_of(place: usize) -> ChainId {
    ChainId(u32::try_from(place).map_or(0, |place| place.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> Policy {
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

    #[test]
    fn a_chain_that_is_given_up_makes_room_and_stays_in_force_until_the_next_edition() {
        let mut book = PolicyBook::default();
        book.replace(vec![policy("a"), policy("b")]).unwrap();
        let names: [Arc<str>; 2] = ["a".into(), "b".into()];
        let both = book.chain(&names).unwrap();
        let second = book.chain(&names[1..]).unwrap();
        let before = Arc::clone(book.current());
        book.give_up(both);
        assert_eq!(book.current(), &before);
        assert_eq!(
            book.chain(&names[..1]),
            Ok(both),
            "its place is taken again"
        );
        assert_eq!(before.chain(both).unwrap().names(), names);
        assert_eq!(book.current().chain(both).unwrap().names(), &names[..1]);
        assert_eq!(book.chain(&names[1..]), Ok(second));
        book.give_up(second);
        book.replace(vec![policy("a")]).unwrap();
        assert!(book.current().chain(second).is_none());
        assert!(book.current().chain(both).is_some());
    }
}
