//! The book: numbers, chains, counters and epochs over changes.

use std::collections::BTreeSet;

use super::*;
use crate::limits;
use crate::policy::edition::Table;
use crate::policy::{BookError, ChainId, Policies, PolicyId, Rates};

/// Drops UDP to port 53, tracks the rest, and has a table for the other direction.
fn no_dns(called: &str) -> Policy {
    let dns = Matches {
        protocol: Some(UDP),
        destination_ports: vec![53..=53],
        ..Matches::default()
    };
    let rules = vec![
        rule("dns", Action::Drop, dns),
        rule("rest", Action::Track, Matches::default()),
    ];
    let output = table(Action::Drop, Vec::new());
    policy(called, Some(table(Action::Drop, rules)), Some(output))
}

fn judge(book: &PolicyBook, chain: ChainId, packet: &Packet<'_>, lane: usize) -> Action {
    let policies = book.current();
    let chain = policies.chain(chain).unwrap();
    let later = LaterFragments::Match;
    chain.judge(packet, Direction::Input, lane, later).action
}

#[test]
fn a29_each_rule_counts_what_it_decides_in_the_lane_of_who_asks() {
    let mut book = PolicyBook::new(4);
    book.replace(vec![no_dns("a")]).unwrap();
    let chain = book.chain(&names(["a"])).unwrap();
    for lane in 0..4 {
        for _ in 0..3 {
            assert_eq!(
                judge(&book, chain, &udp(Family::IPv4, 53), lane),
                Action::Drop
            );
        }
        assert_eq!(
            judge(&book, chain, &tcp(Family::IPv6, 80, 2), lane),
            Action::Track
        );
    }
    let policies = book.current();
    let (id, _) = policies.policies().next().unwrap();
    let hits = policies.hits(id).unwrap();
    assert_eq!(hits.input.unwrap().rules, [12, 4]);
    assert_eq!(hits.output.unwrap().default, 0);
    let chain = policies.chain(chain).unwrap();
    let packet = udp(Family::IPv4, 9);
    let judgement = chain.judge(&packet, Direction::Output, 2, LaterFragments::Match);
    assert_eq!(judgement.action, Action::Drop);
    assert_eq!(policies.hits(id).unwrap().output.unwrap().default, 1);
}

#[test]
fn a23_the_first_match_over_a_chain_decides_and_no_match_is_the_last_ones_default() {
    let dns = no_dns("dns");
    let only_udp = Matches {
        protocol: Some(UDP),
        ..Matches::default()
    };
    let rules = vec![rule("udp", Action::Pass, only_udp)];
    let pass_udp = policy("udp", Some(table(Action::Drop, rules)), None);
    let packet = udp(Family::IPv4, 53);
    assert_eq!(
        judged(&[dns.clone(), pass_udp.clone()], &packet),
        Action::Drop
    );
    assert_eq!(
        judged(&[pass_udp.clone(), dns.clone()], &packet),
        Action::Pass
    );
    let empty = policy("empty", Some(table(Action::Track, Vec::new())), None);
    let packet = tcp(Family::IPv4, 80, 2);
    assert_eq!(
        judged(&[pass_udp.clone(), empty.clone()], &packet),
        Action::Track
    );
    assert_eq!(judged(&[empty, pass_udp], &packet), Action::Drop);
}

#[test]
fn a04_a_chain_of_unknown_policies_or_of_one_twice_is_refused_and_nothing_changes() {
    let mut book = PolicyBook::new(1);
    book.replace(vec![no_dns("a")]).unwrap();
    let before = book.current().clone();
    let unknown = book.chain(&names(["a", "b"]));
    assert_eq!(unknown, Err(BookError::Unknown(name("b"))));
    assert_eq!(
        book.chain(&names(["a", "a"])),
        Err(BookError::Twice(name("a")))
    );
    assert_eq!(*book.current(), before);
    assert_eq!(book.chain(&[]), Ok(ChainId::NONE));
}

#[test]
fn a_chain_that_is_given_up_stays_in_force_until_the_next_edition_and_its_number_is_no_others() {
    let mut book = PolicyBook::default();
    book.replace(vec![no_dns("a"), no_dns("b")]).unwrap();
    let both = book.chain(&names(["a", "b"])).unwrap();
    let second = book.chain(&names(["b"])).unwrap();
    let before = Arc::clone(book.current());
    book.give_up(both);
    book.give_up(both);
    assert_eq!(book.current(), &before);
    let first = book.chain(&names(["a"])).unwrap();
    assert_ne!(first, both);
    assert_eq!(before.chain(both).unwrap().names(), names(["a", "b"]));
    assert!(book.current().chain(both).is_none());
    assert_eq!(book.chain(&names(["b"])), Ok(second));
    book.give_up(second);
    book.replace(vec![no_dns("a")]).unwrap();
    assert!(book.current().chain(second).is_none());
    assert_eq!(book.current().chain(first).unwrap().names(), names(["a"]));
}

/// The compiled tables of a policy of the edition in force.
fn tables_of(book: &PolicyBook, of: &str) -> [Option<Arc<Table>>; 2] {
    let place = book.current().all.iter().flatten();
    let mut there = place.filter(|place| *place.policy.policy.name == *of);
    there.next().unwrap().policy.tables.clone()
}

fn is_same(before: &[Option<Arc<Table>>; 2], now: &[Option<Arc<Table>>; 2]) -> [bool; 2] {
    let same = |at: usize| match (&before[at], &now[at]) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (before, now) => before.is_none() && now.is_none(),
    };
    [same(0), same(1)]
}

/// Hits of the rules and the default for packets from the subscriber.
fn input_hits(book: &PolicyBook, of: &str) -> Vec<u64> {
    let policies = book.current();
    let mut all = policies.policies();
    let (id, _) = all.find(|(_, policy)| *policy.name == *of).unwrap();
    let mut hits = policies.hits(id).unwrap().input.unwrap();
    hits.rules.push(hits.default);
    hits.rules
}

#[test]
fn what_a_change_does_not_touch_is_not_compiled_again_and_goes_on_counting() {
    let (mut a, b) = (no_dns("a"), no_dns("b"));
    let mut book = PolicyBook::new(2);
    book.replace(vec![a.clone(), b.clone()]).unwrap();
    let chain_a = book.chain(&names(["a"])).unwrap();
    let chain_b = book.chain(&names(["b"])).unwrap();
    judge(&book, chain_a, &udp(Family::IPv4, 53), 0);
    judge(&book, chain_b, &udp(Family::IPv4, 53), 1);
    let (tables_a, tables_b) = (tables_of(&book, "a"), tables_of(&book, "b"));
    let before = Arc::clone(book.current());

    a.input.as_mut().unwrap().default = Action::Pass;
    book.replace(vec![b.clone(), a.clone()]).unwrap();
    assert_eq!(is_same(&tables_b, &tables_of(&book, "b")), [true, true]);
    assert_eq!(is_same(&tables_a, &tables_of(&book, "a")), [false, true]);
    let chain = |policies: &Policies, id: ChainId| {
        policies
            .chains
            .iter()
            .flatten()
            .find(|chain| chain.id == id)
            .cloned()
            .unwrap()
    };
    let (old, new) = (chain(&before, chain_b), chain(book.current(), chain_b));
    assert!(
        Arc::ptr_eq(&old, &new),
        "a chain without it is the very same"
    );
    assert_eq!(input_hits(&book, "a"), [1, 0, 0]);
    assert_eq!(input_hits(&book, "b"), [1, 0, 0]);

    let tables_a = tables_of(&book, "a");
    a.timeouts.udp_idle = 1;
    a.filter_ids = vec![name("gold")];
    a.on_change = OnChange::Reclassify;
    book.replace(vec![a, b]).unwrap();
    assert_eq!(is_same(&tables_a, &tables_of(&book, "a")), [true, true]);
    let (id, _) = book.current().policies().next().unwrap();
    assert_eq!(book.current().timeouts(id).udp_idle, 1);
}

#[test]
fn counters_go_over_to_the_rules_of_the_same_names_and_what_is_counted_late_is_not_lost() {
    let any = |called| rule(called, Action::Pass, Matches::default());
    let with = |rules: Vec<Rule>| policy("p", Some(table(Action::Drop, rules)), None);
    let mut book = PolicyBook::new(1);
    book.replace(vec![no_dns("p")]).unwrap();
    let chain = book.chain(&names(["p"])).unwrap();
    for _ in 0..5 {
        judge(&book, chain, &udp(Family::IPv4, 9), 0);
    }
    judge(&book, chain, &udp(Family::IPv4, 53), 0);
    // A worker goes on by this edition while the book is at the next ones.
    let held = Arc::clone(book.current());
    let late = || {
        let later = LaterFragments::Match;
        let chain = held.chain(chain).unwrap();
        chain.judge(&udp(Family::IPv4, 9), Direction::Input, 0, later);
    };
    book.replace(vec![with(vec![any("new"), any("rest"), any("dns")])])
        .unwrap();
    assert_eq!(input_hits(&book, "p"), [0, 5, 1, 0]);
    late();
    judge(&book, chain, &udp(Family::IPv4, 9), 0);
    book.replace(vec![with(vec![any("rest")])]).unwrap();
    assert_eq!(input_hits(&book, "p"), [6, 0]);
    late();
    book.settle();
    assert_eq!(input_hits(&book, "p"), [7, 0]);
    assert_eq!(book.retired.len(), 1, "the one that a worker still has");
    late();
    drop(held);
    book.settle();
    assert_eq!(input_hits(&book, "p"), [8, 0]);
    book.settle();
    assert_eq!(input_hits(&book, "p"), [8, 0]);
    assert_eq!(book.retired.len(), 0);
}

#[test]
fn an_epoch_moves_where_judgement_changes_and_the_policy_wants_it_and_nowhere_else() {
    let reclassify = |mut policy: Policy| {
        policy.on_change = OnChange::Reclassify;
        policy
    };
    let (a, b, c) = (no_dns("a"), reclassify(no_dns("b")), no_dns("c"));
    let mut book = PolicyBook::new(1);
    book.replace(vec![a.clone(), b.clone(), c.clone()]).unwrap();
    let all = book.chain(&names(["a", "b", "c"])).unwrap();
    let only_a = book.chain(&names(["a"])).unwrap();
    let only_b = book.chain(&names(["b"])).unwrap();
    let epochs = |book: &PolicyBook| {
        [all, only_a, only_b].map(|it| book.current().chain(it).unwrap().epoch().0)
    };
    let mut seen = BTreeSet::from([0]);
    let mut before = epochs(&book);
    assert!(
        before.iter().all(|epoch| seen.insert(*epoch)),
        "no two chains have one, nor what is opened without a chain"
    );
    let mut after = |policies: [&Policy; 3]| {
        book.replace(policies.map(Clone::clone).to_vec()).unwrap();
        let now = epochs(&book);
        let moved = core::array::from_fn(|at| now[at] != before[at]);
        let new = now.iter().zip(moved).filter(|(_, moved)| *moved);
        assert!(new.into_iter().all(|(epoch, _)| seen.insert(*epoch)));
        before = now;
        moved
    };
    let none = [false; 3];
    assert_eq!(after([&a, &b, &c]), none, "nothing is other");
    let mut other = b.clone();
    other.timeouts.udp_idle = 1;
    other.filter_ids = vec![name("gold")];
    other.rates = Some(Rates::default());
    assert_eq!(after([&a, &other, &c]), none, "no rule is other");
    let with_b = [true, false, true];
    other.input.as_mut().unwrap().rules.pop();
    assert_eq!(after([&a, &other, &c]), with_b, "the middle of a chain");
    assert_eq!(after([&a, &other, &c]), none);
    other.output.as_mut().unwrap().default = Action::Pass;
    assert_eq!(after([&a, &other, &c]), with_b, "the other direction");
    other.output = None;
    assert_eq!(after([&a, &other, &c]), with_b, "a direction less");
    let mut kept = a.clone();
    kept.input.as_mut().unwrap().rules.pop();
    assert_eq!(after([&kept, &other, &c]), none, "it keeps its flows");
    let changed = reclassify(kept.clone());
    assert_eq!(
        after([&changed, &other, &c]),
        none,
        "the rules are as they were"
    );
    assert_eq!(after([&reclassify(a), &other, &c]), [true, true, false]);
}

#[test]
fn a02_what_is_refused_changes_nothing() {
    let mut book = PolicyBook::new(1);
    book.replace(vec![no_dns("a")]).unwrap();
    let chain = book.chain(&names(["a"])).unwrap();
    judge(&book, chain, &udp(Family::IPv4, 53), 0);
    let before = Arc::clone(book.current());
    let mut other = no_dns("a");
    other.input.as_mut().unwrap().rules.clear();
    other.filter_ids = vec![name("gold")];
    let mut wrong = no_dns("b");
    wrong.timeouts.tcp_idle = 0;
    let error = book.replace(vec![other, wrong]).unwrap_err();
    let text = "policy \"b\": timeouts.tcpIdleSeconds: 0 is not between 1 and 8000000";
    assert_eq!(error.to_string(), text);
    assert!(Arc::ptr_eq(book.current(), &before));
    assert_eq!(book.resolve("gold"), None);
    assert_eq!(judge(&book, chain, &udp(Family::IPv4, 53), 0), Action::Drop);
    assert_eq!(input_hits(&book, "a"), [2, 0, 0]);
}

#[test]
fn a_filter_id_means_a_policy_by_its_name_first_and_none_that_is_gone() {
    let with = |called: &str, filter_ids: &[&str]| {
        let mut policy = no_dns(called);
        policy.filter_ids = filter_ids.iter().map(|it| name(it)).collect();
        policy
    };
    let mut book = PolicyBook::new(1);
    book.replace(vec![with("a", &["b", "gold"]), with("b", &["silver"])])
        .unwrap();
    let means = |book: &PolicyBook, filter_id| book.resolve(filter_id).map(ToString::to_string);
    assert_eq!(means(&book, "a").unwrap(), "a");
    assert_eq!(means(&book, "b").unwrap(), "b");
    assert_eq!(means(&book, "gold").unwrap(), "a");
    assert_eq!(means(&book, "silver").unwrap(), "b");
    assert_eq!(means(&book, "bronze"), None);
    book.chain(&names(["b"])).unwrap();
    book.replace(vec![with("a", &["b", "gold"])]).unwrap();
    assert_eq!(means(&book, "b").unwrap(), "a");
    assert_eq!(means(&book, "silver"), None);
}

#[test]
fn a_policy_keeps_its_number_and_one_that_is_free_rests_before_it_is_anothers() {
    let numbers = |book: &PolicyBook| -> Vec<(u16, String)> {
        let all = book.current().policies();
        all.map(|(PolicyId(id), policy)| (id, policy.name.to_string()))
            .collect()
    };
    let mut book = PolicyBook::new(1);
    book.replace(vec![no_dns("a"), no_dns("b"), no_dns("c")])
        .unwrap();
    book.replace(vec![no_dns("c"), no_dns("d"), no_dns("a")])
        .unwrap();
    let known = [
        (0, "a".to_owned()),
        (2, "c".to_owned()),
        (3, "d".to_owned()),
    ];
    assert_eq!(numbers(&book), known);
    book.replace(vec![no_dns("b")]).unwrap();
    assert_eq!(numbers(&book), [(4, "b".to_owned())]);
    let rest = limits::POLICY_NUMBERS - 5;
    for round in 0..rest {
        let other = if round % 2 == 0 { "x" } else { "y" };
        book.replace(vec![no_dns("b"), no_dns(other)]).unwrap();
    }
    book.replace(vec![no_dns("b"), no_dns("z")]).unwrap();
    assert_eq!(numbers(&book), [(0, "z".to_owned()), (4, "b".to_owned())]);
}

#[test]
fn a_policy_that_goes_stays_what_it_was_for_the_chains_that_have_it() {
    let mut book = PolicyBook::new(1);
    book.replace(vec![no_dns("a"), no_dns("b")]).unwrap();
    let both = book.chain(&names(["a", "b"])).unwrap();
    let packet = udp(Family::IPv4, 53);
    assert_eq!(judge(&book, both, &packet, 0), Action::Drop);
    let epoch = book.current().chain(both).unwrap().epoch();
    book.replace(vec![no_dns("b")]).unwrap();
    assert_eq!(judge(&book, both, &packet, 0), Action::Drop);
    assert_eq!(book.current().chain(both).unwrap().epoch(), epoch);
    assert_eq!(book.current().policies().count(), 1);
    assert_eq!(book.resolve("a"), None);
    assert_eq!(
        book.chain(&names(["a", "b"])),
        Err(BookError::Unknown(name("a")))
    );
    assert_eq!(book.chains_naming("a").collect::<Vec<_>>(), [both]);
    // It comes back: what the chain has is the new one.
    let mut other = no_dns("a");
    other.input.as_mut().unwrap().rules[0].action = Action::Pass;
    book.replace(vec![other, no_dns("b")]).unwrap();
    assert_eq!(judge(&book, both, &packet, 0), Action::Pass);
    assert_eq!(input_hits(&book, "a"), [3, 0, 0]);
    book.replace(vec![no_dns("b")]).unwrap();
    assert_eq!(book.retain_chains(|chain| chain != both), 1);
    assert!(book.places.iter().flatten().all(|place| place.in_force));
    assert!(!book.numbers.contains_key("a"));
}

#[test]
fn chains_are_given_up_when_nobody_has_them_and_their_numbers_lead_to_no_other() {
    let mut book = PolicyBook::new(1);
    let all: Vec<_> = (0..17)
        .map(|it| policy(&it.to_string(), None, None))
        .collect();
    book.replace(all).unwrap();
    let triples = (0..17).flat_map(|a| (0..17).flat_map(move |b| (0..17).map(move |c| [a, b, c])));
    let different = triples.filter(|[a, b, c]| a != b && b != c && a != c);
    let singles = (0..16).map(|one| vec![one]);
    let all: Vec<Vec<u8>> = different.map(Vec::from).chain(singles).collect();
    assert_eq!(all.len(), limits::CHAINS);
    let mut chain = |of: &[u8]| {
        let names: Vec<_> = of.iter().map(|it| name(&it.to_string())).collect();
        book.chain(&names)
    };
    let chains: Vec<_> = all.iter().map(|of| chain(of).unwrap()).collect();
    assert_eq!(chain(&[16]), Err(BookError::TooManyChains));
    assert_eq!(
        chain(&all[7]),
        Ok(chains[7]),
        "those that there are can be had"
    );
    let kept = chains[7];
    assert_eq!(
        book.retain_chains(|chain| chain == kept),
        limits::CHAINS - 1
    );
    assert_eq!(book.retain_chains(|chain| chain == kept), 0);
    let fresh = book.chain(&names(["16"])).unwrap();
    let policies = book.current();
    let left = chains
        .iter()
        .filter(|chain| policies.chain(**chain).is_some());
    assert_eq!(left.collect::<Vec<_>>(), [&kept]);
    assert!(!chains.contains(&fresh));
    assert!(policies.chain(fresh).is_some());
    assert!(policies.chain(ChainId::NONE).is_none());
}

#[test]
fn a_chains_rates_are_those_of_its_first_policy_that_has_any() {
    let with = |called, rates| Policy {
        rates,
        ..policy(called, None, None)
    };
    let rates = |up| {
        Some(Rates {
            up,
            down: 0,
            burst_milliseconds: 100,
        })
    };
    let mut book = PolicyBook::new(1);
    let all = vec![
        with("none", None),
        with("one", rates(1)),
        with("two", rates(2)),
    ];
    book.replace(all).unwrap();
    let mut of = |chain: &[Arc<str>]| {
        let chain = book.chain(chain).unwrap();
        book.current()
            .chain(chain)
            .unwrap()
            .rates()
            .map(|rates| rates.up)
    };
    assert_eq!(of(&names(["none"])), None);
    assert_eq!(of(&names(["none", "two", "one"])), Some(2));
    assert_eq!(of(&names(["one", "two"])), Some(1));
}

#[test]
fn no_two_lanes_share_a_cache_line() {
    let mut book = PolicyBook::new(3);
    book.replace(vec![no_dns("a")]).unwrap();
    let [input, output] = tables_of(&book, "a").map(Option::unwrap);
    let mut lines: Vec<usize> = Vec::new();
    for table in [input, output] {
        for lane in 0..3 {
            let cells = table.counters.addresses(lane).into_iter();
            let mut of_lane: Vec<_> = cells.map(|address| address / 128).collect();
            of_lane.dedup();
            lines.extend(of_lane);
        }
    }
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all);
}

#[test]
fn a_chain_tracks_where_any_rule_or_default_of_its_policies_does() {
    let passes = || Some(table(Action::Pass, vec![]));
    let by_rule = |action| {
        let rules = vec![
            rule("first", Action::Drop, Matches::default()),
            rule("second", action, Matches::default()),
        ];
        Some(table(Action::Pass, rules))
    };
    let mut book = PolicyBook::default();
    let all = |last| {
        vec![
            policy("plain", passes(), passes()),
            policy("outward", None, Some(table(Action::Track, vec![]))),
            policy("by-rule", by_rule(last), None),
            policy("empty", None, None),
        ]
    };
    book.replace(all(Action::Track)).unwrap();
    let tracks = |book: &mut PolicyBook, names: &[Arc<str>]| {
        let chain = book.chain(names).unwrap();
        book.current().chain(chain).unwrap().tracks()
    };
    assert!(!tracks(&mut book, &names(["plain", "empty"])));
    assert!(tracks(&mut book, &names(["outward"])));
    assert!(tracks(&mut book, &names(["plain", "by-rule"])));
    // A chain that somebody has is what its policies are.
    book.replace(all(Action::Drop)).unwrap();
    assert!(!tracks(&mut book, &names(["plain", "by-rule"])));
}
