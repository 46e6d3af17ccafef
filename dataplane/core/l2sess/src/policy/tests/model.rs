//! The book against a plain model: any order of changes, logins, logouts and packets, with workers that
//! go on by editions that are long past.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits;
use crate::policy::{ChainId, Policies};

/// A policy is here the set of its rules: bit `n` is rule `n`, for UDP to port `n`.
type Rules = u8;
/// Which one of those that had that name.
type Identity = (usize, u32);

#[derive(Clone, Debug)]
enum Step {
    /// The policies are these, by number.
    Replace(Vec<Option<Rules>>),
    /// Somebody with these policies logs in.
    Chain(Vec<usize>),
    /// The last one with this chain logs out.
    GiveUp(prop::sample::Index),
    /// A worker takes the edition that is in force.
    Hold,
    /// It goes on to a newer one.
    Release(prop::sample::Index),
    /// A packet to this port, judged by the edition of a worker, or the one in force.
    Packet(Option<prop::sample::Index>, prop::sample::Index, u16),
}

fn steps() -> impl Strategy<Value = Step> {
    let policies = vec(prop::option::weighted(0.7, 0_u8..8), 3);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        2 => policies.prop_map(Step::Replace),
        3 => vec(0_usize..3, 1..3).prop_map(Step::Chain),
        1 => index().prop_map(Step::GiveUp),
        1 => Just(Step::Hold),
        1 => index().prop_map(Step::Release),
        8 => (prop::option::of(index()), index(), 0_u16..4)
            .prop_map(|(edition, chain, port)| Step::Packet(edition, chain, port)),
    ]
}

/// What is in force at a time: the chains, and of each its policies with their rules.
type Edition = BTreeMap<ChainId, Vec<(Identity, Rules)>>;

#[derive(Default)]
struct Model {
    policies: BTreeMap<usize, (Identity, Rules)>,
    in_force: Vec<usize>,
    chains: BTreeMap<ChainId, Vec<usize>>,
    edition: Edition,
    /// By policy and rule; the last place is the default's.
    hits: BTreeMap<(Identity, usize), u64>,
    births: u32,
}

const DEFAULT: usize = 8;

impl Model {
    fn replace(&mut self, wanted: &[Option<Rules>]) {
        self.in_force.clear();
        for (number, rules) in wanted.iter().enumerate() {
            let Some(rules) = *rules else {
                continue;
            };
            self.births += 1;
            let identity = (number, self.births);
            let (identity, known) = self.policies.entry(number).or_insert((identity, rules));
            *known = rules;
            let identity = *identity;
            let has = |rule: usize| rule == DEFAULT || rules & (1 << rule) != 0;
            self.hits
                .retain(|(of, rule), _| *of != identity || has(*rule));
            self.in_force.push(number);
        }
        self.forget();
        self.publish();
    }

    fn forget(&mut self) {
        let is_known = |number: &usize| {
            self.in_force.contains(number) || self.chains.values().flatten().any(|it| it == number)
        };
        self.policies.retain(|number, _| is_known(number));
    }

    fn publish(&mut self) {
        let chains = self.chains.iter();
        let linked = chains.map(|(id, of)| (*id, of.iter().map(|it| self.policies[it]).collect()));
        self.edition = linked.collect();
    }

    /// What decides by that edition; a hit of what there is no more is nobody's.
    fn packet(&mut self, edition: &Edition, chain: ChainId, port: u16) {
        let policies = &edition[&chain];
        let matches = |(_, rules): &&(Identity, Rules)| rules & (1 << port) != 0;
        let found = policies.iter().find(matches);
        let (decides, rule) = match found {
            Some((identity, _)) => (*identity, usize::from(port)),
            None => (policies.last().unwrap().0, DEFAULT),
        };
        let now = self
            .policies
            .get(&decides.0)
            .filter(|(now, _)| *now == decides);
        if now.is_some_and(|(_, rules)| rule == DEFAULT || rules & (1 << rule) != 0) {
            *self.hits.entry((decides, rule)).or_default() += 1;
        }
    }
}

fn built(number: usize, rules: Rules) -> Policy {
    let there = (0..8).filter(|rule| rules & (1 << rule) != 0);
    let rules = there.map(|port: u16| {
        let matches = Matches {
            protocol: Some(UDP),
            destination_ports: vec![port..=port],
            ..Matches::default()
        };
        rule(&port.to_string(), Action::Pass, matches)
    });
    let input = table(Action::Drop, rules.collect());
    policy(&number.to_string(), Some(input), None)
}

fn compare(book: &PolicyBook, model: &Model) {
    let policies = book.current();
    let shown = policies
        .policies()
        .map(|(_, policy)| policy.name.to_string());
    let mut shown: Vec<_> = shown.collect();
    shown.sort();
    let expected: Vec<_> = model.in_force.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected);
    assert_eq!(book.numbers.len(), model.policies.len());
    for (number, (identity, rules)) in &model.policies {
        let id = book.numbers[&*number.to_string()];
        let hits = book.places[usize::from(id.0)].as_ref().unwrap();
        let hits = hits.policy.table(Direction::Input).unwrap().counters.hits();
        let there = (0..8).filter(|rule| rules & (1 << rule) != 0);
        let count = |rule| {
            model
                .hits
                .get(&(*identity, rule))
                .copied()
                .unwrap_or_default()
        };
        assert_eq!(hits.rules, there.map(count).collect::<Vec<_>>());
        assert_eq!(hits.default, count(DEFAULT));
    }
    for (id, chain) in &model.edition {
        let found = policies.chain(*id).unwrap();
        let names = found.names().iter().map(ToString::to_string);
        let expected = chain.iter().map(|((number, _), _)| number.to_string());
        assert_eq!(names.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

fn run(steps: Vec<Step>) {
    let mut book = PolicyBook::new(2);
    let mut model = Model::default();
    let mut held: Vec<(Arc<Policies>, Edition)> = Vec::new();
    for step in steps {
        match step {
            Step::Replace(wanted) => {
                let all = wanted.iter().enumerate();
                let all = all.filter_map(|(number, rules)| Some(built(number, (*rules)?)));
                book.replace(all.collect()).unwrap();
                model.replace(&wanted);
            }
            Step::Chain(of) => {
                let names: Vec<_> = of.iter().map(|it| name(&it.to_string())).collect();
                let is_right = of.iter().all(|it| model.in_force.contains(it))
                    && (of.len() == 1 || of[0] != of[1]);
                let chain = book.chain(&names);
                assert_eq!(chain.is_ok(), is_right);
                if let Ok(chain) = chain {
                    let known = model.chains.insert(chain, of.clone());
                    assert!(
                        known.is_none_or(|known| known == of),
                        "a number of another's"
                    );
                    if !model.edition.contains_key(&chain) {
                        model.publish();
                    }
                }
            }
            Step::GiveUp(which) => {
                let chains: Vec<_> = model.chains.keys().copied().collect();
                if !chains.is_empty() {
                    let chain = *which.get(&chains);
                    book.give_up(chain);
                    model.chains.remove(&chain);
                    model.forget();
                }
            }
            Step::Hold => held.push((Arc::clone(book.current()), model.edition.clone())),
            Step::Release(which) => {
                if !held.is_empty() {
                    held.remove(which.index(held.len()));
                }
            }
            Step::Packet(edition, chain, port) => {
                let current = (Arc::clone(book.current()), model.edition.clone());
                let edition = edition.filter(|_| !held.is_empty());
                let (policies, edition) = edition.map_or(&current, |which| which.get(&held));
                let chains: Vec<_> = edition.keys().copied().collect();
                if !chains.is_empty() {
                    let id = *chain.get(&chains);
                    let packet = udp(Family::IPv6, port);
                    let found = policies.chain(id).unwrap();
                    found.judge(
                        &packet,
                        Direction::Input,
                        usize::from(port),
                        LaterFragments::Match,
                    );
                    model.packet(edition, id, port);
                }
            }
        }
        book.settle();
        compare(&book, &model);
    }
    drop(held);
    book.settle();
    assert_eq!(book.retired.len(), 0);
    assert!(book.places.len() <= limits::POLICY_NUMBERS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a07_whatever_is_done_to_the_book_no_hit_is_lost_and_no_number_is_anothers(
        steps in vec(steps(), 1..60),
    ) {
        run(steps);
    }
}
