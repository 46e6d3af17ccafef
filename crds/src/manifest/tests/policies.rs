//! Policies: what of one is refused, what between them, and what they become.

use super::*;
use crate::policy::{Action, Protocol, Span, TcpFlag};

const POLICY: &str = "\
---
apiVersion: kubelns.io/v1alpha1
kind: SessionPolicy
metadata: { name: residential }
spec:
  clusterRefs: [{ name: edge }]
  filterIds: [GOLD]
  input:
    defaultAction: Drop
    rules:
    - { name: first, action: Drop }
    - { name: web, protocol: TCP, action: Track }
";

/// The minimal example with the policy, in which `to` stands for `from`.
fn text(from: &str, to: &str) -> String {
    assert_eq!(POLICY.matches(from).count(), 1, "{from:?}");
    format!("{MINIMAL}{}", POLICY.replacen(from, to, 1))
}

/// Two policies, of which the second is so.
fn second(name: &str, spec: &str) -> String {
    let second = format!(
        "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\nmetadata: {{ name: {name} }}\nspec: {spec}\n"
    );
    format!("{MINIMAL}{POLICY}{second}")
}

fn errors(text: &str) -> Vec<String> {
    parse(text).err().unwrap_or_default()
}

fn refused_policies(table: &[Row<'_>]) {
    let mut wrong = String::new();
    for (from, to, expected) in table {
        let found = errors(&text(from, to));
        if found != *expected {
            writeln!(wrong, "{from:?} -> {to:?}\n    {}", found.join("\n    ")).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const WEB: &str = "{ name: web, protocol: TCP, action: Track }";
const SPEC_END: &str = "  filterIds: [GOLD]\n";

const A_RULE_THAT_IS_WRONG: &[Row<'_>] = &[
    (
        WEB,
        "{ name: web, protocol: TCP, destinationPorts: [\"90-80\"], action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].destinationPorts[0]: "90-80" is no port and no range of them: 0 to 65535, the smaller one first, as "25" or "8000-8100""#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: TCP, sourcePorts: [\"1\", \"65536\", \"x\", \"1-2-3\"], action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].sourcePorts[1]: "65536" is no port and no range of them: 0 to 65535, the smaller one first, as "25" or "8000-8100""#,
            r#"SessionPolicy/residential: spec.input.rules[1].sourcePorts[2]: "x" is no port and no range of them: 0 to 65535, the smaller one first, as "25" or "8000-8100""#,
            r#"SessionPolicy/residential: spec.input.rules[1].sourcePorts[3]: "1-2-3" is no port and no range of them: 0 to 65535, the smaller one first, as "25" or "8000-8100""#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: TCP, destinationPorts: [80], action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].destinationPorts[0]: must be a string, and is the number 80",
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: TCP, destinationPorts: [], action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].destinationPorts: has 0 entries; 1 is the least",
        ],
    ),
    (
        WEB,
        "{ name: web, destinationPorts: [\"80\"], action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].destinationPorts: needs a protocol with ports: TCP, UDP, UDPLite, SCTP or DCCP; one rule is about one of them",
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: GRE, sourcePorts: [\"80\"], action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].sourcePorts: needs a protocol with ports: TCP, UDP, UDPLite, SCTP or DCCP; one rule is about one of them",
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: UDP, icmpTypes: [\"8\"], icmpCodes: [\"0\"], tcpFlags: { mask: [SYN] }, action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].icmpCodes: needs protocol: ICMP or ICMPv6",
            "SessionPolicy/residential: spec.input.rules[1].icmpTypes: needs protocol: ICMP or ICMPv6",
            "SessionPolicy/residential: spec.input.rules[1].tcpFlags: needs protocol: TCP",
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: ICMP, icmpTypes: [\"256\"], icmpCodes: [\"3-1\"], action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].icmpCodes[0]: "3-1" is no number and no range of them: 0 to 255, the smaller one first, as "8" or "0-3""#,
            r#"SessionPolicy/residential: spec.input.rules[1].icmpTypes[0]: "256" is no number and no range of them: 0 to 255, the smaller one first, as "8" or "0-3""#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: tcp, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "tcp" is no protocol: TCP, UDP, ICMP, ICMPv6, ESP, AH, GRE, IPIP, SCTP, UDPLite, DCCP, or the number, 0 to 255, of another one"#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: \"6\", action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "6" is no protocol: TCP, UDP, ICMP, ICMPv6, ESP, AH, GRE, IPIP, SCTP, UDPLite, DCCP, or the number, 0 to 255, of another one"#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: \"256\", action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "256" is no protocol: TCP, UDP, ICMP, ICMPv6, ESP, AH, GRE, IPIP, SCTP, UDPLite, DCCP, or the number, 0 to 255, of another one"#,
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: TCP, tcpFlags: { value: [SYN, RST], mask: [SYN, ACK] }, action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].tcpFlags.value: has a flag that mask has not, which is not looked at; put it into both",
        ],
    ),
    (
        WEB,
        "{ name: web, protocol: TCP, tcpFlags: { value: [XMAS], mask: [SYN] }, action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].tcpFlags.value: has a flag that mask has not, which is not looked at; put it into both",
            r#"SessionPolicy/residential: spec.input.rules[1].tcpFlags.value[0]: "XMAS" is none of FIN, SYN, RST, PSH, ACK, URG, ECE, CWR"#,
        ],
    ),
    (
        WEB,
        "{ name: web, dscp: [46, 64], length: [\"1500-64\"], action: Track }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].dscp[1]: 64 is not within 0 to 63",
            r#"SessionPolicy/residential: spec.input.rules[1].length[0]: "1500-64" is no length and no range of them: 0 to 65535, the smaller one first, as "64" or "0-1500""#,
        ],
    ),
    (
        WEB,
        "{ name: first, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].name: "first" is there already, at [0]"#,
        ],
    ),
    (
        WEB,
        "{ name: web, action: Accept }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].action: "Accept" is none of Pass, Track, Drop"#,
        ],
    ),
    (
        WEB,
        "{ name: web, destinationPort: [\"80\"] }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].action: is required",
            "SessionPolicy/residential: spec.input.rules[1].destinationPort: unknown field; destinationPorts is known",
        ],
    ),
];

#[test]
fn a_rule_that_is_wrong() {
    refused_policies(A_RULE_THAT_IS_WRONG);
}

const FAMILIES_AND_PREFIXES_THAT_DO_NOT_WORK_OUT: &[Row<'_>] = &[
    (
        WEB,
        "{ name: web, source: 100.64.0.0/33, action: Track }",
        &[r#"SessionPolicy/residential: spec.input.rules[1].source: "100.64.0.0/33" is no CIDR"#],
    ),
    (
        WEB,
        "{ name: web, destination: \"2001:db8::/129\", action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].destination: "2001:db8::/129" is no CIDR"#,
        ],
    ),
    (
        WEB,
        "{ name: web, source: 100.64.0.1/16, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].source: "100.64.0.1/16" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address"#,
        ],
    ),
    (
        WEB,
        "{ name: web, source: 100.64.0.0/16, destination: \"2001:db8::/32\", action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].destination: "2001:db8::/32" is of another family than source "100.64.0.0/16"; no packet is both"#,
        ],
    ),
    (
        WEB,
        "{ name: web, family: IPv6, source: 100.64.0.0/16, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].source: "100.64.0.0/16" is not IPv6, which family asks for; no packet is both"#,
        ],
    ),
    (
        WEB,
        "{ name: web, family: IPv4, destination: \"2001:db8::/32\", action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].destination: "2001:db8::/32" is not IPv4, which family asks for; no packet is both"#,
        ],
    ),
    (
        WEB,
        "{ name: web, family: IPv6, protocol: ICMP, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "ICMP" is of IPv4, and the rule is about IPv6; write ICMPv6"#,
        ],
    ),
    (
        WEB,
        "{ name: web, destination: \"2001:db8::/32\", protocol: ICMP, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "ICMP" is of IPv4, and the rule is about IPv6; write ICMPv6"#,
        ],
    ),
    (
        WEB,
        "{ name: web, family: IPv4, protocol: ICMPv6, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "ICMPv6" is of IPv6, and the rule is about IPv4; write ICMP"#,
        ],
    ),
    (
        WEB,
        "{ name: web, source: 100.64.0.0/16, protocol: ICMPv6, action: Track }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].protocol: "ICMPv6" is of IPv6, and the rule is about IPv4; write ICMP"#,
        ],
    ),
    (
        WEB,
        "{ name: web, family: IP, action: Track }",
        &[r#"SessionPolicy/residential: spec.input.rules[1].family: "IP" is none of IPv4, IPv6"#],
    ),
];

#[test]
fn families_and_prefixes_that_do_not_work_out() {
    refused_policies(FAMILIES_AND_PREFIXES_THAT_DO_NOT_WORK_OUT);
}

const OCTETS_THAT_ARE_WRONG: &[Row<'_>] = &[
    (
        WEB,
        "{ name: web, octets: [{ at: 8, mask: ff, value: \"01\" }, { at: 8, mask: ffff, value: \"01\" }], action: Drop }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].octets[1].value: "01" is not as long as mask "ffff""#,
        ],
    ),
    (
        WEB,
        "{ name: web, octets: [{ at: 8, mask: \"0f\", value: \"11\" }], action: Drop }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].octets[0].value: "11" has a bit that mask "0f" has not, so that no packet matches"#,
        ],
    ),
    (
        WEB,
        "{ name: web, octets: [{ at: 8, mask: \"00\", value: \"00\" }], action: Drop }",
        &[
            r#"SessionPolicy/residential: spec.input.rules[1].octets[0].mask: "00" looks at no bit, so that every packet matches"#,
        ],
    ),
    (
        WEB,
        "{ name: web, octets: [{ at: 9216, mask: \"fff\", value: \"0xf\" }], action: Drop }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].octets[0].at: 9216 is not within 0 to 9215",
            r#"SessionPolicy/residential: spec.input.rules[1].octets[0].mask: "fff" is no octets: two hexadecimal digits for each, as "ff00""#,
            r#"SessionPolicy/residential: spec.input.rules[1].octets[0].value: "0xf" is no octets: two hexadecimal digits for each, as "ff00""#,
        ],
    ),
    (
        WEB,
        "{ name: web, octets: [{ at: 8, mask: ff, value: 01 }], action: Drop }",
        &[
            "SessionPolicy/residential: spec.input.rules[1].octets[0].value: must be a string, and is the number 1",
        ],
    ),
];

#[test]
fn octets_that_are_wrong() {
    refused_policies(OCTETS_THAT_ARE_WRONG);
}

const TIMEOUTS_AND_RATES_THAT_ARE_WRONG: &[Row<'_>] = &[
    (
        SPEC_END,
        "  timeouts: { udpIdleSeconds: 0, tcpIdleSeconds: 8000001 }\n",
        &[
            "SessionPolicy/residential: spec.timeouts.tcpIdleSeconds: 8000001 is not within 0 to 8000000",
            "SessionPolicy/residential: spec.timeouts.udpIdleSeconds: 0 is too short: an active flow is noted every quarter of its timeout, in whole seconds, so that one of 1 second is the shortest that outlives its own packets",
        ],
    ),
    (
        SPEC_END,
        "  rates: { upBitsPerSecond: -1, downBitsPerSecond: 100000000001, burstMilliseconds: 0 }\n",
        &[
            "SessionPolicy/residential: spec.rates.burstMilliseconds: 0 is not within 1 to 10000",
            "SessionPolicy/residential: spec.rates.downBitsPerSecond: 100000000001 is not within 0 to 100000000000",
            "SessionPolicy/residential: spec.rates.upBitsPerSecond: -1 is not within 0 to 100000000000",
        ],
    ),
    (
        SPEC_END,
        "  onChange: Forget\n",
        &[r#"SessionPolicy/residential: spec.onChange: "Forget" is none of Keep, Reclassify"#],
    ),
];

#[test]
fn timeouts_and_rates_that_are_wrong() {
    refused_policies(TIMEOUTS_AND_RATES_THAT_ARE_WRONG);
    let least = text(
        SPEC_END,
        "  timeouts: { udpIdleSeconds: 1 }\n  rates: { upBitsPerSecond: 1 }\n",
    );
    assert_eq!(errors(&least), [""; 0]);
}

const NAMES_AND_REFERENCES_THAT_ARE_WRONG: &[Row<'_>] = &[
    (
        "clusterRefs: [{ name: edge }]",
        "clusterRefs: []",
        &["SessionPolicy/residential: spec.clusterRefs: has 0 entries; 1 is the least"],
    ),
    (
        "clusterRefs: [{ name: edge }]",
        "clusterRefs: [{ name: edge }, { name: edge }]",
        &[r#"SessionPolicy/residential: spec.clusterRefs[1]: "edge" is there already, at [0]"#],
    ),
    (
        "filterIds: [GOLD]",
        "filterIds: [GOLD, residential, GOLD, \" x\"]",
        &[
            r#"SessionPolicy/residential: spec.filterIds[2]: "GOLD" is there already, at [0]"#,
            r#"SessionPolicy/residential: spec.filterIds[3]: " x" is no Filter-Id here: printable ASCII only, without a blank at the ends"#,
            r#"SessionPolicy/residential: spec.filterIds[1]: "residential" is the name of SessionPolicy/residential, which it means already"#,
        ],
    ),
    (
        "metadata: { name: residential }",
        "metadata: { name: Residential }",
        &[
            r#"SessionPolicy/Residential: metadata.name: "Residential" is no name: small letters, digits and hyphens only, with a letter or digit at both ends"#,
        ],
    ),
];

#[test]
fn names_and_references_of_a_policy_that_are_wrong() {
    refused_policies(NAMES_AND_REFERENCES_THAT_ARE_WRONG);
    let long = "x".repeat(254);
    let found = errors(&text("filterIds: [GOLD]", &format!("filterIds: [{long}]")));
    assert_eq!(
        found,
        [format!(
            "SessionPolicy/residential: spec.filterIds[0]: {long:?} has 254 characters; 253 are the most"
        )]
    );
    let found = errors(&text(
        WEB,
        &format!("{{ name: {}, action: Drop }}", &long[..64]),
    ));
    assert_eq!(
        found,
        [format!(
            "SessionPolicy/residential: spec.input.rules[1].name: {:?} has 64 characters; 63 are the most",
            &long[..64]
        )]
    );
}

#[test]
fn a_filter_id_means_one_policy() {
    let spec = "{ clusterRefs: [{ name: edge }], filterIds: [SILVER, GOLD, residential] }";
    assert_eq!(
        errors(&second("business", spec)),
        [
            r#"SessionPolicy/business: spec.filterIds[2]: "residential" is the name of SessionPolicy/residential, which it means already"#,
            r#"SessionPolicy/residential: spec.filterIds[0]: "GOLD" means SessionPolicy/business already"#,
        ]
    );
    let elsewhere = spec.replace("edge", "other");
    assert_eq!(errors(&second("business", &elsewhere)), [""; 0]);
    let twice = "SessionPolicy/residential: is there twice, first in m.yaml";
    let spec = "{ clusterRefs: [{ name: edge }] }";
    assert_eq!(errors(&second("residential", spec))[0], twice);
}

#[test]
fn a_policy_that_the_cluster_names_must_be_there_and_once() {
    let refs = |refs: &str| {
        let field = "  subscribers:\n";
        let text = text(SPEC_END, SPEC_END);
        assert_eq!(text.matches(field).count(), 1);
        errors(&text.replace(field, &format!("{field}    defaultPolicyRefs: {refs}\n")))
    };
    assert_eq!(refs("[{ name: residential }]"), [""; 0]);
    assert_eq!(
        refs("[{ name: residential }, { name: nowhere }]"),
        [
            r#"LnsCluster/edge: spec.subscribers.defaultPolicyRefs[1].name: "nowhere" is no SessionPolicy for this cluster"#
        ]
    );
    assert_eq!(
        refs("[{ name: residential }, { name: residential }]"),
        [
            r#"LnsCluster/edge: spec.subscribers.defaultPolicyRefs[1]: "residential" is there already, at [0]"#
        ]
    );
    assert_eq!(
        refs("[{ name: GOLD }]"),
        [
            r#"LnsCluster/edge: spec.subscribers.defaultPolicyRefs[0].name: "GOLD" is no object name: small letters, digits, hyphens and dots only, with a letter or digit at both ends"#,
            r#"LnsCluster/edge: spec.subscribers.defaultPolicyRefs[0].name: "GOLD" is no SessionPolicy for this cluster"#,
        ],
        "references are by name; Filter-Ids are what RADIUS says"
    );
}

#[test]
fn a_policy_for_another_cluster_or_of_another_namespace_is_not_used_and_that_is_said() {
    let warnings = |text: &str| {
        let manifest = parse(text).unwrap();
        assert!(manifest.policies.is_empty());
        manifest.warnings
    };
    assert_eq!(
        warnings(&text("{ name: edge }", "{ name: rim }")),
        [
            "SessionPolicy/residential: spec.clusterRefs: does not name LnsCluster/edge: it is not used"
        ]
    );
    assert_eq!(
        warnings(&text(
            "{ name: residential }",
            "{ name: residential, namespace: lns }"
        )),
        [
            r#"SessionPolicy/residential: metadata.namespace: "lns" is not "default", the namespace of LnsCluster/edge: it is not used"#
        ]
    );
    let wrong = text("{ name: edge }", "{ name: rim }").replace("Track", "Accept");
    assert_eq!(
        errors(&wrong).len(),
        1,
        "what is wrong is wrong for whomever"
    );
}

#[test]
fn more_policies_than_a_node_holds_are_refused() {
    let mut text = MINIMAL.to_owned();
    for number in 0..=limits::POLICIES {
        write!(
            text,
            "---\napiVersion: kubelns.io/v1alpha1\nkind: SessionPolicy\nmetadata: {{ name: p{number} }}\nspec: {{ clusterRefs: [{{ name: edge }}] }}\n"
        )
        .unwrap();
    }
    assert_eq!(
        errors(&text),
        ["LnsCluster/edge: 1025 SessionPolicies are for this cluster; 1024 are the most"]
    );
}

#[test]
fn policies_of_a_user_that_are_wrong() {
    let user = |policies: &str| {
        let alice = format!("alice@isp.example: {{ password: hunter2, policies: {policies} }}");
        errors(&text(SPEC_END, SPEC_END).replace(ALICE, &alice))
    };
    let line = |message: &str| {
        [format!(
            "Secret/users: users.yaml: alice@isp.example: {message}"
        )]
    };
    assert_eq!(user("[GOLD]"), [""; 0]);
    assert_eq!(
        user("[GOLD, residential]"),
        line(r#"policies[1]: "residential" means "residential", which is there already, at [0]"#)
    );
    assert_eq!(
        user("[other, other]"),
        line(r#"policies[1]: "other" means "other", which is there already, at [0]"#)
    );
    assert_eq!(
        user("GOLD"),
        line("policies: must be a list of values of Filter-Id, and is a string")
    );
    assert_eq!(
        user("[]"),
        line("policies: is empty; leave it out to mean the default policies")
    );
    assert_eq!(
        user("[GOLD, 7]"),
        line("policies[1]: must be a string, and is a number; quote it")
    );
    assert_eq!(
        user("[\"\"]"),
        line("policies[0]: has 0 octets; a Filter-Id has 1 to 253")
    );
    assert_eq!(
        user("[a, b, c, d, e, f, g, h, i]"),
        line("policies: has 9 entries; 8 are the most")
    );
}

#[test]
fn a_filter_id_of_no_policy_is_a_warning_that_says_what_becomes_of_the_login() {
    let (alice, bob) = (
        "alice@isp.example: { password: x, policies: [silver] }",
        "password: \"change me too\"",
    );
    let text = text(SPEC_END, SPEC_END)
        .replace(ALICE, alice)
        .replace(bob, "password: x, policies: [GOLD, silver]");
    assert_eq!(
        parse(&text).unwrap().warnings,
        [
            r#"Secret/users: users.yaml: alice@isp.example and 1 more: policies: "silver" is no SessionPolicy for this cluster and no filterId of one; who has it gets the default policies (unknownFilterId: UseDefault)"#
        ]
    );
    let refuse = text.replace(
        "  subscribers:\n",
        "  subscribers:\n    unknownFilterId: Refuse\n",
    );
    assert_eq!(
        parse(&refuse).unwrap().warnings,
        [
            r#"Secret/users: users.yaml: alice@isp.example and 1 more: policies: "silver" is no SessionPolicy for this cluster and no filterId of one; who has it cannot log in (unknownFilterId: Refuse)"#
        ]
    );
    let mut users = String::new();
    for number in 10..20 {
        writeln!(
            users,
            "    u{number}: {{ password: x, policies: [p{number}] }}"
        )
        .unwrap();
    }
    let many = text.replace("    alice@isp", &format!("{users}    alice@isp"));
    let warnings = parse(&many).unwrap().warnings;
    assert_eq!(warnings.len(), limits::WARNINGS + 1);
    assert_eq!(
        warnings[limits::WARNINGS],
        "Secret/users: users.yaml: 3 more values of policies are unknown"
    );
}

#[test]
fn the_policy_of_the_full_example_becomes_what_it_says() {
    let manifest = parse(FULL).unwrap();
    let [policy] = &manifest.policies[..] else {
        panic!("{:?}", manifest.policies)
    };
    assert_eq!(policy.metadata.name.as_deref(), Some("residential"));
    let input = policy.spec.input.as_ref().unwrap();
    assert_eq!(input.default_action, Action::Drop);
    let web = &input.rules[1];
    assert_eq!(web.protocol, Some(Protocol::TCP));
    assert_eq!(web.destination, Some("203.0.113.0/24".parse().unwrap()));
    let ports = [(80, 80), (8000, 8100)].map(|(first, last)| Span { first, last });
    assert_eq!(web.destination_ports, ports);
    let ospf = input.rules.iter().find(|rule| rule.name == "no-ospf");
    assert_eq!(ospf.unwrap().protocol, Some(Protocol(89)));
    let flags = policy.spec.output.as_ref().unwrap().rules[0]
        .tcp_flags
        .as_ref();
    assert_eq!(flags.unwrap().mask, [TcpFlag::SYN, TcpFlag::ACK]);
    let user = &manifest.users["bob@isp.example"];
    assert_eq!(user.policies, ["GOLD_100M.in"]);
}

#[test]
fn the_residential_example_is_accepted_without_a_warning_beside_a_cluster() {
    let policy = include_str!("../../../examples/residential.yaml");
    let manifest = parse(&format!("{MINIMAL}---\n{policy}")).unwrap();
    assert_eq!(manifest.warnings, [""; 0]);
    let [policy] = &manifest.policies[..] else {
        panic!("{:?}", manifest.policies)
    };
    assert_eq!(policy.spec.timeouts.tcp_idle_seconds, 7_440);
    assert_eq!(policy.spec.rates.as_ref().unwrap().burst_milliseconds, 200);
}

/// One that says least: its defaults are those of the reference.
#[test]
fn a_policy_has_defaults_and_a_direction_that_is_absent_is_none() {
    let text = second("least", "{ clusterRefs: [{ name: edge }], output: {} }");
    let manifest = parse(&text).unwrap();
    let spec = &manifest.policies[0].spec;
    assert_eq!(
        manifest.policies[0].metadata.name.as_deref(),
        Some("least"),
        "by name"
    );
    assert_eq!((&spec.input, &spec.rates), (&None, &None));
    let output = spec.output.as_ref().unwrap();
    assert_eq!(
        (output.default_action, output.rules.len()),
        (Action::Drop, 0)
    );
    let timeouts = &spec.timeouts;
    assert_eq!(
        (timeouts.udp_idle_seconds, timeouts.tcp_idle_seconds),
        (300, 7_440)
    );
    assert_eq!(
        (timeouts.tcp_transient_seconds, timeouts.tcp_closing_seconds),
        (120, 10)
    );
}

/// As many rules as there may be, with everything that a rule of TCP can say. How long it takes is a
/// matter of the whole, not of the square of it.
#[test]
fn the_largest_policy_is_accepted() {
    let rules = |direction: &str| {
        let mut text = format!("  {direction}:\n    rules:\n");
        for number in 0..limits::RULES {
            let (high, low) = (number / 256, number % 256);
            writeln!(
                text,
                "    - {{ name: r{number}, protocol: TCP, source: 10.{high}.{low}.0/24, \
                 destinationPorts: [\"{number}\"], action: Drop }}"
            )
            .unwrap();
        }
        text
    };
    let (input, output) = (rules("input"), rules("output"));
    let text = second(
        "large",
        &format!("\n  clusterRefs: [{{ name: edge }}]\n{input}{output}"),
    );
    let manifest = parse(&text).unwrap();
    let tables = [
        &manifest.policies[0].spec.input,
        &manifest.policies[0].spec.output,
    ];
    for table in tables {
        assert_eq!(table.as_ref().unwrap().rules.len(), 10_000);
    }
}
