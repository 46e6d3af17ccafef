//! Why policies are not taken, and by whom that is found.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::Invalid;
use super::compile::{Excess, TooLarge, measure};
use super::rule::Policy;
use crate::key::Direction;
use crate::limits;

/// Why the book does not do what it is asked for. Nothing has changed.
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
    /// Two policies have this name.
    SameName(Arc<str>),
    /// Two policies have this Filter-Id.
    SameFilterId {
        /// Which Filter-Id.
        filter_id: Arc<str>,
        /// Whose it is.
        first: Arc<str>,
        /// Who wants it, too.
        second: Arc<str>,
    },
    /// A field of a policy is wrong.
    Invalid {
        /// Whose field.
        policy: Arc<str>,
        /// Which one, and why.
        what: Invalid,
    },
    /// A table would be too large once it is compiled.
    TooLarge {
        /// Whose table.
        policy: Arc<str>,
        /// Of which direction.
        direction: Direction,
        /// The number of the rule with which it becomes so.
        rule: usize,
        /// Its name.
        name: Arc<str>,
        /// What there is too much of.
        excess: Excess,
    },
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no policy {name:?}"),
            Self::TooLong => write!(f, "more than {} policies for one subscriber", limits::CHAIN),
            Self::Twice(name) => write!(f, "policy {name:?} is named twice for one subscriber"),
            Self::TooManyChains => write!(
                f,
                "subscribers have {} combinations of policies, which is the most",
                limits::CHAINS
            ),
            Self::TooManyPolicies => write!(f, "more than {} policies", limits::POLICIES),
            Self::SameName(name) => write!(f, "two policies are named {name:?}"),
            Self::SameFilterId {
                filter_id,
                first,
                second,
            } => write!(
                f,
                "policies {first:?} and {second:?} both have the Filter-Id {filter_id:?}"
            ),
            Self::Invalid { policy, what } => write!(f, "policy {policy:?}: {what}"),
            Self::TooLarge {
                policy,
                direction,
                rule,
                name,
                excess,
            } => {
                let direction = direction.label();
                write!(
                    f,
                    "policy {policy:?}: {direction}.rules[{rule}] ({name:?}): {excess}"
                )
            }
        }
    }
}

impl core::error::Error for BookError {}

/// All that is wrong with policies: what a book would not take them for, one after the other.
///
/// Cost: that of compiling them, nearly.
pub fn check(policies: &[Policy]) -> Vec<BookError> {
    let (_, mut wrong) = filter_ids(policies);
    if policies.len() > limits::POLICIES {
        wrong.push(BookError::TooManyPolicies);
    }
    let mut left = Left::default();
    for policy in policies {
        let fields = policy.wrong();
        let is_right = fields.is_empty();
        wrong.extend(fields.into_iter().map(|what| invalid(policy, what)));
        for direction in Direction::ALL.into_iter().filter(|_| is_right) {
            let Some(table) = policy.table(direction) else {
                continue;
            };
            let entries = measure(table).map_err(|it| too_large(policy, direction, it));
            let taken = entries.and_then(|entries| left.take(policy, direction, entries));
            wrong.extend(taken.err());
        }
    }
    wrong
}

/// How many entries all tables may still have.
pub(super) struct Left(usize);

impl Default for Left {
    fn default() -> Self {
        Self(limits::COMPILED_IN_ALL)
    }
}

impl Left {
    pub(super) fn take(
        &mut self,
        policy: &Policy,
        direction: Direction,
        entries: usize,
    ) -> Result<(), BookError> {
        let rules = policy.table(direction).map_or(0, |table| table.rules.len());
        let what = TooLarge {
            rule: rules.saturating_sub(1),
            excess: Excess::EntriesInAll,
        };
        let rest = self.0.checked_sub(entries);
        self.0 = rest.ok_or_else(|| too_large(policy, direction, what))?;
        Ok(())
    }
}

/// What each Filter-Id means.
pub(super) type FilterIds = BTreeMap<Arc<str>, Arc<str>>;

pub(super) fn invalid(policy: &Policy, what: Invalid) -> BookError {
    let policy = Arc::clone(&policy.name);
    BookError::Invalid { policy, what }
}

pub(super) fn too_large(policy: &Policy, direction: Direction, what: TooLarge) -> BookError {
    let TooLarge { rule, excess } = what;
    let table = policy.table(direction);
    let named = table.and_then(|table| table.rules.get(rule));
    BookError::TooLarge {
        policy: Arc::clone(&policy.name),
        direction,
        rule,
        name: named.map_or_else(|| "".into(), |rule| Arc::clone(&rule.name)),
        excess,
    }
}

/// What each Filter-Id means, and which names and Filter-Ids two policies have.
pub(super) fn filter_ids(policies: &[Policy]) -> (FilterIds, Vec<BookError>) {
    let mut names = BTreeSet::new();
    let mut filter_ids = FilterIds::new();
    let mut wrong = Vec::new();
    for policy in policies {
        if !names.insert(&policy.name) {
            wrong.push(BookError::SameName(Arc::clone(&policy.name)));
            continue;
        }
        for filter_id in &policy.filter_ids {
            let second = Arc::clone(&policy.name);
            let first = filter_ids.insert(Arc::clone(filter_id), Arc::clone(&second));
            // That one policy has it twice is said of that policy.
            if let Some(first) = first.filter(|first| *first != second) {
                wrong.push(BookError::SameFilterId {
                    filter_id: Arc::clone(filter_id),
                    first,
                    second,
                });
            }
        }
    }
    (filter_ids, wrong)
}
