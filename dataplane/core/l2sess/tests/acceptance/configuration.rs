//! A01 to A08: policies come and go.

use std::sync::Arc;

use lns_l2sess::policy::{
    Action, BookError, FlagsMatch, Matches, OctetsMatch, OnChange, Policy, PolicyBook, Prefix,
    Rates,
};
use lns_l2sess::{Family, PortId, Timeouts};

use crate::support::bed::*;
use crate::support::*;

fn prefix(family: Family, address: u128, length: u8) -> Prefix {
    Prefix {
        family,
        address,
        length,
    }
}

/// What eighteen rules of every kind match.
fn kinds() -> Vec<Matches> {
    let v6 = 0x2001_0db8_u128 << 96;
    let set = |change: fn(&mut Matches, u128)| {
        let mut matches = Matches::default();
        change(&mut matches, v6);
        matches
    };
    vec![
        set(|_, _| ()),
        set(|m, _| m.family = Some(Family::IPv4)),
        set(|m, _| m.family = Some(Family::IPv6)),
        set(|m, _| m.protocol = Some(6)),
        set(|m, _| m.protocol = Some(17)),
        set(|m, _| m.protocol = Some(1)),
        set(|m, _| m.protocol = Some(58)),
        set(|m, _| m.source = Some(prefix(Family::IPv4, 0x0a00_0000, 8))),
        set(|m, _| m.destination = Some(prefix(Family::IPv4, 0xcb00_7101, 32))),
        set(|m, v6| m.source = Some(prefix(Family::IPv6, v6, 32))),
        set(|m, v6| m.destination = Some(prefix(Family::IPv6, v6 | 1, 128))),
        set(|m, _| (m.protocol, m.destination_ports) = (Some(6), vec![80..=80])),
        set(|m, _| (m.protocol, m.source_ports) = (Some(17), vec![1024..=65_535])),
        set(|m, _| (m.protocol, m.destination_ports) = (Some(6), vec![25..=25, 8_000..=8_100])),
        set(|m, _| {
            (m.protocol, m.icmp_types, m.icmp_codes) = (Some(1), vec![8..=8], vec![0..=0]);
        }),
        set(|m, _| {
            let flags = FlagsMatch {
                value: SYN,
                mask: SYN | ACK,
            };
            (m.protocol, m.tcp_flags) = (Some(6), Some(flags));
        }),
        set(|m, _| (m.dscp, m.length) = (vec![46, 0], vec![0..=100])),
        set(|m, _| {
            m.octets = vec![OctetsMatch {
                at: 8,
                mask: Box::new([0xff]),
                value: Box::new([1]),
            }];
        }),
    ]
}

fn mixed() -> Policy {
    let actions = [Action::Pass, Action::Drop, Action::Track];
    let rules = kinds().into_iter().zip(actions.into_iter().cycle());
    let named = |(at, (matches, action))| rule(&format!("rule-{at}"), action, matches);
    let rules: Vec<_> = rules.enumerate().map(named).collect();
    assert_eq!(rules.len(), 18);
    let (input, output) = (
        Some(table(rules.clone(), Action::Drop)),
        Some(table(rules, Action::Pass)),
    );
    Policy {
        filter_ids: vec!["GOLD.in".into()],
        timeouts: Timeouts {
            udp_idle: 7,
            ..Timeouts::DEFAULT
        },
        on_change: OnChange::Reclassify,
        rates: Some(Rates {
            up: 1,
            down: 2,
            burst_milliseconds: 3,
        }),
        ..policy("mixed", input, output)
    }
}

#[test]
fn a01_a_policy_of_eighteen_mixed_rules_is_read_back_identical() {
    let mut book = PolicyBook::default();
    book.replace(vec![mixed()]).unwrap();
    let all: Vec<_> = book
        .current()
        .policies()
        .map(|(_, policy)| policy.clone())
        .collect();
    assert_eq!(all, [mixed()]);
    assert_eq!(book.resolve("GOLD.in"), book.resolve("mixed"));
}

#[test]
fn a02_a04_an_unknown_policy_or_one_that_is_named_twice_is_refused_and_nothing_changes() {
    let mut book = PolicyBook::default();
    book.replace(vec![mixed()]).unwrap();
    let mixed: Arc<str> = "mixed".into();
    let chain = book.chain(&[Arc::clone(&mixed)]).unwrap();
    let before = Arc::clone(book.current());
    let unknown: Arc<str> = "nobody".into();
    assert_eq!(
        book.chain(&[Arc::clone(&mixed), Arc::clone(&unknown)]),
        Err(BookError::Unknown(unknown))
    );
    let twice = [Arc::clone(&mixed), Arc::clone(&mixed)];
    assert_eq!(
        book.chain(&twice),
        Err(BookError::Twice(Arc::clone(&mixed)))
    );
    assert_eq!(*book.current(), before);
    assert!(book.current().chain(chain).is_some());
}

#[test]
fn a03_the_book_knows_which_chains_name_a_policy() {
    let mut book = PolicyBook::default();
    book.replace(vec![mixed(), reflect(UP)]).unwrap();
    let chain = book.chain(&["mixed".into()]).unwrap();
    assert_eq!(book.chains_naming("mixed").collect::<Vec<_>>(), [chain]);
    assert_eq!(book.chains_naming("reflect").count(), 0);
}

#[test]
fn a07_a_port_that_is_closed_leaves_nothing_and_its_number_is_used_again() {
    for case in Case::all() {
        let bed = case.bed();
        let elsewhere = PortId(2);
        assert_eq!(
            bed.send_at(elsewhere, case.opener, &case.udp(case.opener)),
            lns_l2sess::Verdict::Forward
        );
        for _ in 0..3 {
            for port in 0..50 {
                assert!(bed.passes(
                    case.opener,
                    &case.packet(case.opener, 17, &udp(port, 53, 0))
                ));
            }
            assert_eq!(bed.flows(), 51);
            assert_eq!(bed.classifier.close(PORT), 50);
            assert_eq!(bed.flows(), 1);
            assert!(bed.classifier.table().flows_of(PORT, 10).is_empty());
            bed.classifier.open(PORT);
            let back = case.packet(case.back(), 17, &udp(53, 7, 0));
            assert!(
                !bed.passes(case.back(), &back),
                "nothing of the port before is known"
            );
        }
    }
}

#[test]
fn a08_an_empty_policy_drops_all_and_no_policy_passes_all() {
    for case in Case::all() {
        let nothing = Bed::new(Vec::new());
        let empty = Bed::new(vec![one_way(case.opener, Vec::new(), Action::Drop)]);
        for packet in [case.udp(case.opener), case.tcp(case.opener, ACK)] {
            assert!(nothing.passes(case.opener, &packet));
            assert!(!empty.passes(case.opener, &packet));
        }
        // The direction that it says nothing of passes.
        assert!(empty.passes(case.back(), &case.udp(case.back())));
    }
}
