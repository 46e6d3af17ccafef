//! The compiled form against the meaning of the rules, and its cost.

use core::cell::Cell;
use core::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

use super::random::{sample, tables};
use super::*;
use crate::limits;
use crate::policy::compile::{Classifier, Excess, TooLarge, measure};
use crate::policy::fields::Asked;
use crate::policy::linear;
use crate::policy::ranges::cut;

const BOTH: [LaterFragments; 2] = [LaterFragments::Match, LaterFragments::Ignore];

fn find(classifier: &Classifier, packet: &Packet<'_>, later: LaterFragments) -> Option<usize> {
    classifier.find(&Asked::new(packet, later), || {})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a28_compiled_and_linear_search_find_the_same_rule(
        table in tables(),
        seeds in vec(any::<u64>(), 64),
    ) {
        let classifier = Classifier::new(&table);
        for seed in seeds {
            let sample = sample(&table, seed);
            let packet = sample.packet();
            for later in BOTH {
                let found = find(&classifier, &packet, later);
                let right = linear::find(&table, &packet, later);
                prop_assert_eq!(found, right, "{:?} {:?}", packet, later);
            }
        }
    }

    #[test]
    fn a_range_is_cut_into_prefixes_that_hold_its_numbers_once_and_no_others(
        ends in vec((any::<u16>(), any::<u16>()), 0..4),
    ) {
        let ranges: Vec<RangeInclusive<u16>> = ends.into_iter().map(|(a, b)| a..=b).collect();
        let prefixes = cut(&ranges, 16);
        for number in 0..=u16::MAX {
            let holding = prefixes.iter().filter(|it| number & it.mask == it.value).count();
            let is_in = ranges.iter().any(|range| range.contains(&number));
            prop_assert_eq!(holding, usize::from(is_in), "{}", number);
        }
    }
}

#[test]
fn a28_is_about_packets_that_match_in_every_way() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut hits, mut all) = (0, 0);
    let mut said = [0_u32; 9];
    for round in 0..200 {
        let table = tables().new_tree(&mut runner).unwrap().current();
        for seed in 0..32 {
            let sample = sample(&table, round << 32 | seed);
            let packet = sample.packet();
            all += 1;
            let Some(rule) = linear::find(&table, &packet, LaterFragments::Ignore) else {
                continue;
            };
            hits += 1;
            let rule = &table.rules[rule].matches;
            let says = [
                rule.source.is_some(),
                rule.destination.is_some(),
                !rule.source_ports.is_empty(),
                !rule.destination_ports.is_empty(),
                !rule.icmp_types.is_empty(),
                rule.tcp_flags.is_some(),
                !rule.dscp.is_empty(),
                !rule.length.is_empty(),
                !rule.octets.is_empty(),
            ];
            for (count, says) in said.iter_mut().zip(says) {
                *count += u32::from(says);
            }
        }
    }
    assert!(hits * 3 > all, "{hits} of {all} match");
    assert!(said.iter().all(|count| *count > 20), "{said:?}");
}

#[test]
fn the_least_cut_of_a_range() {
    let masks = |range: RangeInclusive<u16>, bits| -> Vec<u16> {
        cut(&[range], bits).iter().map(|it| it.mask).collect()
    };
    assert_eq!(masks(0..=65_535, 16), [0]);
    assert_eq!(masks(0..=255, 8), [0]);
    assert_eq!(masks(8..=8, 8), [0xff]);
    assert_eq!(
        masks(1024..=65_535, 16),
        [0xfc00, 0xf800, 0xf000, 0xe000, 0xc000, 0x8000]
    );
    assert_eq!(cut(&[1..=65_534], 16).len(), 30);
    assert_eq!(
        cut(&[0..=1, 2..=3, 1..=2], 16).len(),
        1,
        "what touches is one"
    );
}

/// Rules of five masks, none of which matches port 7.
fn of_five_masks(rules: u16) -> PolicyTable {
    let rules = (0..rules).map(|number| {
        let host = |length: u8| Prefix {
            family: Family::IPv4,
            address: 0x0a00_0000 | u128::from(number) << (32 - length),
            length,
        };
        let port = 1_000 + number;
        let said = Matches {
            protocol: Some(TCP),
            ..Matches::default()
        };
        let matches = match number % 5 {
            0 => Matches {
                destination: Some(host(32)),
                destination_ports: vec![port..=port],
                ..said
            },
            1 => Matches {
                source: Some(host(30)),
                ..said
            },
            2 => Matches {
                destination: Some(host(31)),
                ..said
            },
            3 => Matches {
                family: Some(Family::IPv4),
                source_ports: vec![port..=port],
                ..said
            },
            _ => Matches {
                family: Some(Family::IPv4),
                destination_ports: vec![port..=port],
                dscp: vec![1 + (number % 50) as u8],
                ..said
            },
        };
        rule(&number.to_string(), Action::Pass, matches)
    });
    table(Action::Drop, rules.collect())
}

fn looks(classifier: &Classifier, packet: &Packet<'_>) -> (Option<usize>, u32) {
    let looks = Cell::new(0);
    let asked = Asked::new(packet, LaterFragments::Match);
    let found = classifier.find(&asked, || looks.set(looks.get() + 1));
    (found, looks.get())
}

#[test]
fn a_search_costs_masks_and_not_rules() {
    let few = Classifier::new(&of_five_masks(10));
    let many = Classifier::new(&of_five_masks(10_000));
    let miss = tcp(Family::IPv4, 7, 2);
    assert_eq!(looks(&few, &miss), (None, 5));
    assert_eq!(looks(&many, &miss), (None, 5));
    // The last rule is of the fifth mask; the first one of the first, after which none can come before.
    let last = |port, dscp| Packet {
        dscp,
        ..tcp(Family::IPv4, port, 2)
    };
    assert_eq!(looks(&few, &last(1_009, 10)), (Some(9), 5));
    assert_eq!(looks(&many, &last(10_999, 50)), (Some(9_999), 5));
    let first = Packet {
        destination: 0x0a00_0000,
        ..tcp(Family::IPv4, 1_000, 2)
    };
    assert_eq!(looks(&few, &first), (Some(0), 1));
    assert_eq!(looks(&many, &first), (Some(0), 1));
    let other = tcp(Family::IPv6, 7, 2);
    assert_eq!(looks(&many, &other), (None, 0), "no rule is about IPv6");
}

#[test]
fn no_row_of_a_hash_table_grows_long_with_many_rules() {
    let many = Classifier::new(&of_five_masks(10_000));
    // Of 10,000 in twice as many slots, a good hash makes one of about ln 10,000 / 0.19 = 48.
    assert!(many.longest_row() <= 64, "{}", many.longest_row());
}

fn with_ranges() -> Matches {
    Matches {
        protocol: Some(UDP),
        source_ports: vec![1..=65_534],
        destination_ports: (0..60).map(|it| it * 2..=it * 2).collect(),
        length: vec![1..=65_534],
        ..Matches::default()
    }
}

#[test]
fn what_would_be_gigantic_is_refused_by_its_rule_and_never_built() {
    let rules = vec![
        rule("small", Action::Pass, Matches::default()),
        rule("ranges", Action::Pass, with_ranges()),
        rule("again", Action::Pass, with_ranges()),
        rule("more", Action::Pass, with_ranges()),
    ];
    // Two families of 30 x 60 x 30 entries each: the third such rule is too much.
    let table = table(Action::Drop, rules);
    let excess = Excess::Entries;
    assert_eq!(measure(&table), Err(TooLarge { rule: 3, excess }));
    let mut book = PolicyBook::new(1);
    let error = book
        .replace(vec![policy("p", None, Some(table))])
        .unwrap_err();
    let limit = limits::COMPILED;
    assert_eq!(
        error.to_string(),
        format!(
            "policy \"p\": output.rules[3] (\"more\"): with its combinations of ranges and lists \
             the table has more than {limit} entries"
        )
    );
    assert_eq!(book.current().policies().count(), 0);
}

#[test]
fn too_many_masks_are_refused_by_the_rule_that_brings_the_first_one_too_many() {
    let rules = (0..=128_u8).flat_map(|length| {
        let of = move |source: bool| {
            let prefix = Prefix {
                family: Family::IPv6,
                address: 0,
                length,
            };
            let only = |is| Some(prefix).filter(|_| is);
            Matches {
                source: only(source),
                destination: only(!source),
                ..Matches::default()
            }
        };
        [of(true), of(false)]
    });
    let mut rules: Vec<_> = rules
        .enumerate()
        .map(|(number, matches)| rule(&number.to_string(), Action::Pass, matches))
        .collect();
    // Length 0 is the same mask in both places: 257 masks. The others bring as many again, of which the
    // 256th is one too many; the second of them is the first's.
    assert_eq!(measure(&table(Action::Drop, rules.clone())), Ok(258));
    let again: Vec<_> = rules.clone();
    rules.extend(again.into_iter().map(|mut rule| {
        rule.matches.protocol = Some(UDP);
        rule
    }));
    let excess = Excess::Masks(Family::IPv6);
    assert_eq!(limits::MASKS, 257 + 255);
    let rule = 258 + 256;
    assert_eq!(
        measure(&table(Action::Drop, rules)),
        Err(TooLarge { rule, excess })
    );
}
