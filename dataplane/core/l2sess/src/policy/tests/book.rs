//! The book: numbers, chains, counters and epochs over changes.

use super::*;
use crate::policy::{BookError, ChainId};

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
