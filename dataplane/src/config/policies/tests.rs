//! What policies become, and that both sides have the same bounds.

use lns_api::parse_manifest;
use lns_l2sess::limits;

use super::*;

const FULL: &str = include_str!("../../../../crds/examples/full.yaml");

/// What the last rule of the full example is about when this one stands in its place.
fn matches_of(rule: &str) -> Matches {
    let last = "{ name: rest, action: Track }";
    assert_eq!(FULL.matches(last).count(), 1);
    let text = FULL.replace(last, rule);
    let manifest = parse_manifest([("m.yaml", text.as_str())]).unwrap();
    let mut rules = policies(&manifest).remove(0).input.unwrap().rules;
    rules.pop().unwrap().matches
}

#[test]
fn every_field_of_a_policy_reaches_the_classifier() {
    let manifest = parse_manifest([("full.yaml", FULL)]).unwrap();
    let [policy] = &policies(&manifest)[..] else {
        panic!("{:?}", manifest.policies)
    };
    assert_eq!(&*policy.name, "residential");
    assert_eq!(policy.filter_ids, [Arc::from("GOLD_100M.in")]);
    assert_eq!(policy.timeouts, Timeouts::DEFAULT);
    assert_eq!(policy.on_change, OnChange::Keep);
    let rates = Rates {
        up: 50_000_000,
        down: 100_000_000,
        burst_milliseconds: 200,
    };
    assert_eq!(policy.rates, Some(rates));
    let input = policy.input.as_ref().unwrap();
    let names: Vec<_> = input.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names[..3], ["no-smtp", "web", "ping"]);
    assert_eq!(
        (input.default, input.rules[1].action, input.rules[2].action),
        (Action::Drop, Action::Pass, Action::Track)
    );
    let output = policy.output.as_ref().unwrap();
    let flags = FlagsMatch {
        value: 0x02,
        mask: 0x12,
    };
    assert_eq!(output.rules[0].matches.tcp_flags, Some(flags));
}

#[test]
fn every_field_of_a_rule_reaches_the_classifier() {
    let v4 = |address: [u8; 4], length| Prefix {
        family: Family::IPv4,
        address: u32::from_be_bytes(address).into(),
        length,
    };
    let web = "{ name: x, family: IPv4, protocol: TCP, source: 100.64.0.0/16, sourcePorts: [\"1024-65535\"], \
        destination: 203.0.113.0/24, destinationPorts: [\"80\", \"8000-8100\"], action: Pass }";
    let expected = Matches {
        family: Some(Family::IPv4),
        source: Some(v4([100, 64, 0, 0], 16)),
        destination: Some(v4([203, 0, 113, 0], 24)),
        protocol: Some(6),
        source_ports: vec![1024..=65535],
        destination_ports: vec![80..=80, 8000..=8100],
        ..Matches::default()
    };
    assert_eq!(matches_of(web), expected);
    let ping =
        "{ name: x, protocol: ICMP, icmpTypes: [\"8\"], icmpCodes: [\"0-3\"], action: Pass }";
    let expected = Matches {
        protocol: Some(1),
        icmp_types: vec![8..=8],
        icmp_codes: vec![0..=3],
        ..Matches::default()
    };
    assert_eq!(matches_of(ping), expected);
    let voice = "{ name: x, protocol: UDP, dscp: [46], length: [\"64-300\"], action: Pass }";
    let expected = Matches {
        protocol: Some(17),
        dscp: vec![46],
        length: vec![64..=300],
        ..Matches::default()
    };
    assert_eq!(matches_of(voice), expected);
    let least = "{ name: x, action: Pass }";
    assert_eq!(matches_of(least), Matches::default());
}

#[test]
fn a_direction_and_rates_that_are_absent_are_none() {
    let policy = "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\n\
        metadata: { name: a, namespace: lns }\nspec: { clusterRefs: [{ name: edge }], onChange: Reclassify }\n";
    let text = format!("{FULL}{policy}");
    let manifest = parse_manifest([("m.yaml", text.as_str())]).unwrap();
    let policies = policies(&manifest);
    let [least, _] = &policies[..] else {
        panic!("{policies:?}")
    };
    assert_eq!(&*least.name, "a", "in the order of the names");
    assert_eq!(
        (&least.input, &least.output, least.rates),
        (&None, &None, None)
    );
    assert_eq!(least.on_change, OnChange::Reclassify);
}

#[test]
fn an_ipv6_prefix_is_a_number_of_128_bits() {
    let matches =
        matches_of("{ name: x, source: \"2001:db8::/32\", protocol: ICMPv6, action: Pass }");
    let prefix = Prefix {
        family: Family::IPv6,
        address: 0x2001_0db8 << 96,
        length: 32,
    };
    assert_eq!((matches.source, matches.protocol), (Some(prefix), Some(58)));
}

#[test]
fn octets_and_flags_are_what_they_are_in_the_packet() {
    let octets = "{ name: x, octets: [{ at: 8, mask: fF00, value: \"0100\" }], action: Pass }";
    let expected = OctetsMatch {
        at: 8,
        mask: [0xff, 0x00].into(),
        value: [0x01, 0x00].into(),
    };
    assert_eq!(matches_of(octets).octets, [expected]);
    for (name, mask) in [
        ("FIN", 0x01),
        ("SYN", 0x02),
        ("RST", 0x04),
        ("PSH", 0x08),
        ("ACK", 0x10),
        ("URG", 0x20),
        ("ECE", 0x40),
        ("CWR", 0x80),
    ] {
        let rule =
            format!("{{ name: x, protocol: TCP, tcpFlags: {{ mask: [{name}] }}, action: Pass }}");
        let flags = FlagsMatch { value: 0, mask };
        assert_eq!(matches_of(&rule).tcp_flags, Some(flags), "{name}");
    }
}

/// What the reader accepts the classifier takes, and no bound of the reader is closer than need be.
#[test]
fn the_manifest_and_the_classifier_have_the_same_bounds() {
    use lns_api::limits as manifest;
    assert_eq!(manifest::POLICIES, limits::POLICIES);
    assert_eq!(usize::try_from(manifest::CHAIN), Ok(limits::CHAIN));
    assert_eq!(usize::try_from(manifest::RULES), Ok(limits::RULES));
    assert_eq!(
        usize::try_from(manifest::RULE_OCTETS),
        Ok(limits::OCTET_MATCHES)
    );
    assert_eq!(usize::try_from(manifest::OCTETS), Ok(limits::OCTETS));
    assert_eq!(usize::try_from(manifest::FILTER_ID), Ok(limits::NAME));
    for list in [
        manifest::RULE_PORTS,
        manifest::RULE_ICMP,
        manifest::RULE_DSCP,
        manifest::RULE_LENGTHS,
    ] {
        assert!(usize::try_from(list).unwrap() <= limits::RANGES);
    }
    assert_eq!(manifest::TIMEOUT_SECONDS, limits::TIMEOUT);
    assert_eq!(manifest::FLOWS, limits::ENTRIES);
}

/// Fifteen ranges of the sender times fifteen of the receiver, each cut into many prefixes.
#[test]
fn policies_that_would_be_too_large_are_refused_by_the_rule() {
    let ports: Vec<_> = (0..15)
        .map(|n| format!("\"{}-{}\"", 4096 * n + 1, 4096 * n + 4094))
        .collect();
    let ports = ports.join(", ");
    let rule = |number: u32| {
        format!(
            "    - {{ name: r{number}, protocol: TCP, sourcePorts: [{ports}], \
             destinationPorts: [{ports}], action: Pass }}\n"
        )
    };
    let rules: String = (0..8).map(rule).collect();
    let last = "    - { name: rest, action: Track }";
    let text = FULL.replace(last, &format!("{rules}{last}"));
    let manifest = parse_manifest([("m.yaml", text.as_str())]).unwrap();
    let wrong = crate::config::Setup::new(&manifest)
        .unwrap_err()
        .to_string();
    assert!(
        wrong.starts_with("SessionPolicy/residential: spec.input.rules["),
        "{wrong}"
    );
    let manifest = parse_manifest([("m.yaml", FULL)]).unwrap();
    assert!(crate::config::Setup::new(&manifest).is_ok());
}
