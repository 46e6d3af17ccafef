//! Who has which policies in a run, and how they change.
//!
//! They are drawn with dice of their own: what a seed means otherwise does not depend on them.

use std::sync::Arc;

use lns_l2sess::Timeouts;
use lns_l2sess::policy::{Action, OnChange, Policy, PolicyTable, Rates};
use lns_node::config::{Config, UnknownFilterId};

use super::{Dice, Plan};

/// The salt of the first settings; those of reloads follow.
const SALT: u64 = u64::MAX - 1_000;

/// Policies that there may be: `p0` and on, each with a Filter-Id `f0` and on.
const POLICIES: u8 = 5;

/// What is varied of the policies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filters {
    /// Which policies there are, and which edition of each.
    pub policies: Vec<(u8, u8)>,
    /// The default ones, of those.
    pub defaults: Vec<u8>,
    /// A login with an unknown Filter-Id is refused.
    pub refuses: bool,
    /// By which users find their Filter-Ids; none: nobody has any.
    pub users: Option<u8>,
    /// Somebody may have a Filter-Id that nobody knows.
    pub has_unknown: bool,
}

impl Filters {
    fn draw(dice: &mut Dice) -> Self {
        let policies: Vec<_> = (0..POLICIES)
            .filter(|_| dice.percent(80))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|n| (n, u8::try_from(dice.below(6)).expect("few")))
            .collect();
        let mut defaults = Vec::new();
        for _ in 0..dice.below(3) {
            let (n, _) = match policies.len() {
                0 => break,
                len => policies[dice.place(len)],
            };
            if !defaults.contains(&n) {
                defaults.push(n);
            }
        }
        Self {
            policies,
            defaults,
            refuses: dice.percent(20),
            users: dice
                .percent(80)
                .then(|| u8::try_from(dice.below(256)).expect("an octet")),
            has_unknown: dice.percent(30),
        }
    }

    /// Puts the policies into a configuration, and gives its users theirs.
    pub(super) fn put(&self, config: &mut Config) {
        config.policies = self
            .policies
            .iter()
            .map(|(n, it)| policy(*n, *it))
            .collect();
        let subscribers = &mut config.subscribers;
        let defaults = self.defaults.iter();
        subscribers.default_policies = defaults.map(|n| format!("p{n}").into()).collect();
        subscribers.unknown_filter_id = if self.refuses {
            UnknownFilterId::Refuse
        } else {
            UnknownFilterId::UseDefault
        };
        for (name, user) in &mut subscribers.users {
            user.policies = self.of_user(name);
        }
    }

    /// By the name, so that most keep theirs.
    fn of_user(&self, name: &[u8]) -> Vec<Arc<str>> {
        let Some(salt) = self.users else {
            return Vec::new();
        };
        let sum = name
            .iter()
            .fold(salt, |sum, octet| sum.wrapping_mul(31).wrapping_add(*octet));
        let is_there = |n: &u8| self.policies.iter().any(|(there, _)| there == n);
        let wanted = [sum % POLICIES, (sum / 16) % POLICIES];
        let wanted = wanted.into_iter().take(usize::from(sum % 3));
        let mut found: Vec<Arc<str>> = wanted
            .filter(is_there)
            .map(|n| format!("{}{n}", if sum.is_multiple_of(2) { 'p' } else { 'f' }).into())
            .collect();
        if self.has_unknown && sum.is_multiple_of(11) {
            found.push("nobody".into());
        }
        found
    }
}

/// One edition of a policy: what it does with packets, and how fast they may be.
fn policy(n: u8, edition: u8) -> Policy {
    let table = PolicyTable {
        rules: Vec::new(),
        default: [Action::Pass, Action::Track, Action::Drop][usize::from(edition % 3)],
    };
    Policy {
        name: format!("p{n}").into(),
        filter_ids: vec![format!("f{n}").into()],
        input: Some(table.clone()),
        output: n.is_multiple_of(2).then_some(table),
        timeouts: Timeouts::DEFAULT,
        on_change: if n < 2 {
            OnChange::Keep
        } else {
            OnChange::Reclassify
        },
        rates: (n != 1).then_some(Rates {
            up: u64::from(edition / 2) * 1_000_000,
            down: 10_000_000,
            burst_milliseconds: 100,
        }),
    }
}

impl Plan {
    /// Draws the policies of all settings. In the first ones, which are also the last, everybody who is
    /// known is let in.
    pub(super) fn draw_filters(&mut self) {
        let mut filters = (0..).map(|n| Filters::draw(&mut Dice::new(self.seed, SALT - n)));
        let mut draw = || filters.next().expect("there is no end to them");
        let first = draw();
        self.settings.filters = Filters {
            has_unknown: first.has_unknown && !first.refuses,
            ..first
        };
        let before = self.settings.filters.clone();
        for (_, act) in &mut self.acts {
            if let super::Act::Reload(settings) = act {
                let drawn = draw();
                settings.filters = match drawn.users {
                    // Most reloads change one thing, or nothing, of them.
                    Some(n) if n % 4 == 0 => before.clone(),
                    Some(n) if n % 4 == 1 => Filters {
                        defaults: before.defaults.iter().rev().copied().collect(),
                        ..before.clone()
                    },
                    Some(_) | None => drawn,
                };
            }
        }
    }
}
