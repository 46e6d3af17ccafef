//! Policies that are refused: each field with its path, its value and the reason.

use super::*;
use crate::limits;
use crate::policy::{BookError, FlagsMatch, OctetsMatch, Rates, check};

/// What is said of a policy with this rule as its second.
fn said(matches: Matches) -> Vec<String> {
    let rules = vec![
        rule("first", Action::Pass, Matches::default()),
        rule("second", Action::Pass, matches),
    ];
    let policy = policy("p", Some(table(Action::Drop, rules)), None);
    let said: Vec<String> = policy.wrong().iter().map(ToString::to_string).collect();
    let mut book = PolicyBook::new(1);
    let first = said.first().map(|it| format!("policy \"p\": {it}"));
    let refused = book.replace(vec![policy.clone()]).err();
    assert_eq!(
        refused.map(|it| it.to_string()),
        first,
        "the book says the same"
    );
    let all: Vec<String> = check(&[policy]).iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), said.len());
    let prefix = "input.rules[1].";
    said.iter()
        .map(|it| it.strip_prefix(prefix).unwrap().to_owned())
        .collect()
}

#[test]
fn a05_addresses_of_two_families_are_refused() {
    let both = Matches {
        source: Some(prefix("10.0.0.0/8")),
        destination: Some(prefix("2001:db8::/32")),
        ..Matches::default()
    };
    let text = "destination: 2001:db8::/32 is IPv6, and source is IPv4; no packet is both";
    assert_eq!(said(both), [text]);
    let named = Matches {
        family: Some(Family::IPv6),
        source: Some(prefix("10.0.0.0/8")),
        destination: Some(prefix("10.1.0.0/16")),
        ..Matches::default()
    };
    let texts = [
        "source: 10.0.0.0/8 is IPv4, and family is IPv6; no packet is both",
        "destination: 10.1.0.0/16 is IPv4, and family is IPv6; no packet is both",
    ];
    assert_eq!(said(named), texts);
}

#[test]
fn a05_prefixes_that_are_too_long_or_have_bits_behind_their_length_are_refused() {
    let wrong = |text| Matches {
        source: Some(prefix(text)),
        ..Matches::default()
    };
    let too_long = "source: 10.0.0.0/33 is longer than the 32 bits of IPv4";
    assert_eq!(said(wrong("10.0.0.0/33")), [too_long]);
    let too_long = "source: 2001:db8::/129 is longer than the 128 bits of IPv6";
    assert_eq!(said(wrong("2001:db8::/129")), [too_long]);
    let bits = "source: 10.0.0.1/8 has bits behind its length; is 10.0.0.0/8 meant?";
    assert_eq!(said(wrong("10.0.0.1/8")), [bits]);
    assert_eq!(said(wrong("10.0.0.0/8")), [""; 0]);
    assert_eq!(said(wrong("10.0.0.1/32")), [""; 0]);
}

#[test]
fn a05_ranges_that_end_before_they_begin_are_refused() {
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    let ports = Matches {
        protocol: Some(TCP),
        source_ports: vec![1..=2, 20..=10],
        destination_ports: vec![1..=0],
        length: vec![1_500..=0],
        ..Matches::default()
    };
    let texts = [
        "sourcePorts[1]: 20-10 ends before it begins",
        "destinationPorts[0]: 1-0 ends before it begins",
        "length[0]: 1500-0 ends before it begins",
    ];
    assert_eq!(said(ports), texts);
}

#[test]
fn what_only_some_protocols_have_needs_one_of_them() {
    let all = |protocol| Matches {
        protocol,
        source_ports: vec![1..=2],
        destination_ports: vec![1..=2],
        icmp_types: vec![8..=8],
        icmp_codes: vec![0..=0],
        tcp_flags: Some(FlagsMatch { value: 2, mask: 18 }),
        ..Matches::default()
    };
    let ports = "Ports: needs protocol TCP, UDP, UDPLite, SCTP or DCCP";
    let [source, destination] = ["source", "destination"].map(|it| format!("{it}{ports}"));
    let icmp = ["icmpTypes", "icmpCodes"].map(|it| format!("{it}: needs protocol ICMP or ICMPv6"));
    let [types, codes] = icmp;
    let flags = "tcpFlags: needs protocol TCP".to_owned();
    for protocol in [None, Some(50)] {
        let texts = [&source, &destination, &types, &codes, &flags];
        assert_eq!(said(all(protocol)).iter().collect::<Vec<_>>(), texts);
    }
    assert_eq!(said(all(Some(TCP))), [types.clone(), codes.clone()]);
    for protocol in [UDP, 33, 132, 136] {
        assert_eq!(
            said(all(Some(protocol))),
            [types.clone(), codes.clone(), flags.clone()]
        );
    }
    for protocol in [1, 58] {
        assert_eq!(
            said(all(Some(protocol))),
            [source.clone(), destination.clone(), flags.clone()]
        );
    }
}

#[test]
fn flags_dscp_and_octets_that_no_packet_can_have_are_refused() {
    let octets = |at, mask: &[u8], value: &[u8]| OctetsMatch {
        at,
        mask: mask.into(),
        value: value.into(),
    };
    let wrong = Matches {
        protocol: Some(TCP),
        tcp_flags: Some(FlagsMatch {
            value: 0x12,
            mask: 0x02,
        }),
        dscp: vec![0, 63, 64],
        octets: vec![
            octets(0, &[], &[]),
            octets(0, &[0xff; 17], &[0; 17]),
            octets(0, &[0xff; 2], &[0]),
            octets(65_520, &[0xf0; 16], &[0x01; 16]),
        ],
        ..Matches::default()
    };
    let texts = [
        "tcpFlags.value: 12 has flags that are not in the mask 02",
        "dscp[2]: 64 is above 63",
        "octets[0].mask: 0 octets are not between 1 and 16",
        "octets[1].mask: 17 octets are not between 1 and 16",
        "octets[2].value: 1 octets under a mask of 2",
        "octets[3].value: has bits that the mask has not",
        "octets[3].at: 65520 is where no packet reaches",
    ];
    assert_eq!(said(wrong), texts);
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let long = Matches {
        protocol: Some(TCP),
        source_ports: vec![1..=2; 65],
        dscp: vec![1; 65],
        length: vec![1..=2; 64],
        octets: vec![
            OctetsMatch {
                at: 0,
                mask: [1].into(),
                value: [1].into()
            };
            5
        ],
        ..Matches::default()
    };
    let texts = [
        "sourcePorts: 65 ranges are more than 64",
        "dscp: 65 values are more than 64",
        "octets: 5 of them are more than 4",
    ];
    assert_eq!(said(long), texts);
    let rules = vec![rule("x", Action::Pass, Matches::default()); limits::RULES + 1];
    let long = policy("p", None, Some(table(Action::Drop, rules)));
    let text = "output.rules: 10001 rules are more than 10000";
    assert_eq!(long.check().unwrap_err().to_string(), text);
}

#[test]
fn names_that_are_empty_too_long_or_there_twice_are_refused() {
    let long: String = "n".repeat(254);
    let any = |name: &str| rule(name, Action::Pass, Matches::default());
    let rules = vec![any("a"), any(""), any("a"), any(&long)];
    let mut wrong = policy("", Some(table(Action::Drop, rules)), None);
    wrong.filter_ids = names(["gold", "gold", ""]).to_vec();
    let said: Vec<String> = wrong.wrong().iter().map(ToString::to_string).collect();
    let texts = [
        "name: \"\" is no name",
        "filterIds[1]: \"gold\" is there twice",
        "filterIds[2]: \"\" is no name",
        "input.rules[1].name: \"\" is no name",
        "input.rules[2].name: \"a\" is the name of rules[0]",
        &format!("input.rules[3].name: {long:?} is longer than 253 octets"),
    ];
    assert_eq!(said, texts);
}

#[test]
fn timeouts_are_between_one_second_and_what_the_clock_can_tell() {
    let mut wrong = policy("p", None, None);
    wrong.timeouts = Timeouts {
        udp_idle: 0,
        tcp_idle: limits::TIMEOUT,
        tcp_transient: limits::TIMEOUT + 1,
        tcp_closing: 1,
    };
    let said: Vec<String> = wrong.wrong().iter().map(ToString::to_string).collect();
    let texts = [
        "timeouts.udpIdleSeconds: 0 is not between 1 and 8000000",
        "timeouts.tcpTransientSeconds: 8000001 is not between 1 and 8000000",
    ];
    assert_eq!(said, texts);
}

#[test]
fn two_policies_of_one_name_or_one_filter_id_are_refused() {
    let with = |name: &str, filter_id: &str| {
        let mut policy = policy(name, None, None);
        policy.filter_ids = vec![filter_id.into()];
        policy
    };
    let mut book = PolicyBook::new(1);
    let twice = vec![with("a", "x"), with("a", "y")];
    assert_eq!(
        book.replace(twice.clone()),
        Err(BookError::SameName(name("a")))
    );
    assert_eq!(check(&twice), [BookError::SameName(name("a"))]);
    let error = book
        .replace(vec![with("a", "x"), with("b", "x")])
        .unwrap_err();
    let text = "policies \"a\" and \"b\" both have the Filter-Id \"x\"";
    assert_eq!(error.to_string(), text);
    let many = (0..=limits::POLICIES).map(|it| policy(&it.to_string(), None, None));
    let many: Vec<_> = many.collect();
    assert_eq!(check(&many), [BookError::TooManyPolicies]);
    assert_eq!(book.replace(many), Err(BookError::TooManyPolicies));
}

#[test]
fn tables_that_are_too_large_together_are_refused_by_the_policy_with_which_they_become_so() {
    // 62 x 62 x 30 entries for each family.
    let large = Matches {
        protocol: Some(UDP),
        source_ports: (0..62).map(|it| it * 2..=it * 2).collect(),
        destination_ports: (0..62).map(|it| it * 2..=it * 2).collect(),
        length: vec![1..=65_534],
        ..Matches::default()
    };
    let one = 62 * 62 * 30 * 2;
    let fit = limits::COMPILED_IN_ALL / one;
    let policies: Vec<_> = (0..=fit)
        .map(|number| {
            let rules = vec![rule("large", Action::Pass, large.clone())];
            policy(&number.to_string(), Some(table(Action::Drop, rules)), None)
        })
        .collect();
    let said = check(&policies);
    let text = format!(
        "policy \"{fit}\": input.rules[0] (\"large\"): with their combinations of ranges and lists \
         all policies have more than {} entries",
        limits::COMPILED_IN_ALL
    );
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].to_string(), text);
    let mut book = PolicyBook::new(1);
    assert_eq!(book.replace(policies), Err(said[0].clone()));
}

#[test]
fn a01_a_policy_that_says_all_there_is_to_say_is_taken_and_read_back_as_it_was() {
    let mut all = policy(
        "all",
        Some(table(Action::Track, matching::mixed())),
        Some(table(Action::Drop, Vec::new())),
    );
    all.filter_ids = names(["gold", "silver"]).to_vec();
    all.rates = Some(Rates {
        up: 1,
        down: 2,
        burst_milliseconds: 3,
    });
    let mut book = PolicyBook::new(2);
    assert_eq!(check(core::slice::from_ref(&all)), []);
    book.replace(vec![all.clone()]).unwrap();
    let policies = book.current().policies().map(|(_, policy)| policy);
    assert_eq!(policies.collect::<Vec<_>>(), [&all]);
}
