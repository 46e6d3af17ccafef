//! Fields of the policies, and those of the cluster that say who has which.
//!
//! Shown here is that a reload gives the node the new value and nothing else, and that nobody's session
//! ends for it. What the value does to packets is shown by the scenarios.

use std::sync::Arc;

use lns_api::Effect::AtOnce;
use lns_l2sess::policy::{Action, FlagsMatch, OnChange, Policy, PolicyTable, Prefix, Rule};
use lns_l2sess::{Direction, Family};
use lns_node::config::UnknownFilterId;

use super::stage::{Edit, Stage};
use super::{Proof, proof};

/// Two proofs, one for each direction, of each of these fields of a rule: in the rule of that name one
/// text stands for another, and the rule is then what the function makes of it.
macro_rules! of_rules {
    ($($field:literal, $rule:literal, $from:literal => $to:literal, $becomes:expr;)+) => {
        &[$(
            proof(concat!("SessionPolicy: spec.input.rules[].", $field), AtOnce, |stage| {
                rule(stage, Direction::Input, $rule, ($from, $to), $becomes);
            }),
            proof(concat!("SessionPolicy: spec.output.rules[].", $field), AtOnce, |stage| {
                rule(stage, Direction::Output, $rule, ($from, $to), $becomes);
            }),
        )+]
    };
}

pub(super) const OF_RULES: &[Proof] = of_rules! {
    "name", "tcp", "-tcp," => "-new,", |it| it.name = it.name.replace("tcp", "new").into();
    "family", "any", "IPv6" => "IPv4", |it| it.matches.family = Some(Family::IPv4);
    "protocol", "any", "family" => "protocol: UDP, family", |it| it.matches.protocol = Some(17);
    "source", "tcp", "192.0.2.0/24" => "192.0.2.7/32", |it| it.matches.source = Some(host([192, 0, 2, 7]));
    "destination", "tcp", "203.0.113.0/24" => "203.0.113.9/32",
        |it| it.matches.destination = Some(host([203, 0, 113, 9]));
    "sourcePorts", "tcp", "1024-65535" => "0-65535", |it| it.matches.source_ports = vec![0..=65535];
    "destinationPorts", "tcp", "[\"25\"]" => "[\"25\", \"465\"]",
        |it| it.matches.destination_ports = vec![25..=25, 465..=465];
    "icmpTypes", "icmp", "icmpTypes: [\"8\"]" => "icmpTypes: [\"0\", \"8\"]",
        |it| it.matches.icmp_types = vec![0..=0, 8..=8];
    "icmpCodes", "icmp", "icmpCodes: [\"0\"]" => "icmpCodes: [\"0-3\"]",
        |it| it.matches.icmp_codes = vec![0..=3];
    "tcpFlags.value", "flags", "value: [SYN]" => "value: [ACK]",
        |it| it.matches.tcp_flags = Some(FlagsMatch { value: 0x10, mask: 0x12 });
    "tcpFlags.mask", "flags", "[SYN, ACK]" => "[SYN, ACK, RST]",
        |it| it.matches.tcp_flags = Some(FlagsMatch { value: 0x02, mask: 0x16 });
    "dscp", "any", "[46]" => "[46, 34]", |it| it.matches.dscp = vec![46, 34];
    "length", "any", "\"64\"" => "\"64-128\"", |it| it.matches.length = vec![64..=128];
    "octets", "any", "at: 8" => "at: 9", |it| it.matches.octets[0].at = 9;
    "action", "tcp", "action: Drop" => "action: Pass", |it| it.action = Action::Pass;
};

pub(super) const PROOFS: &[Proof] = &[
    proof("SessionPolicy", AtOnce, come_and_go),
    proof("SessionPolicy: spec.clusterRefs", AtOnce, cluster_order),
    proof("SessionPolicy: spec.clusterRefs[].name", AtOnce, clusters),
    proof("SessionPolicy: spec.filterIds", AtOnce, |stage| {
        of_policy(stage, ("[GOLD]", "[GOLD, SILVER]"), |policy| {
            policy.filter_ids.push("SILVER".into());
        });
    }),
    proof("SessionPolicy: spec.input.defaultAction", AtOnce, |stage| {
        default_action(stage, "input", Direction::Input);
    }),
    proof(
        "SessionPolicy: spec.output.defaultAction",
        AtOnce,
        |stage| {
            default_action(stage, "output", Direction::Output);
        },
    ),
    proof("SessionPolicy: spec.input.rules", AtOnce, |stage| {
        order(stage, Direction::Input);
    }),
    proof("SessionPolicy: spec.output.rules", AtOnce, |stage| {
        order(stage, Direction::Output);
    }),
    proof(
        "SessionPolicy: spec.timeouts.udpIdleSeconds",
        AtOnce,
        |stage| {
            let edit = ("udpIdleSeconds: 300", "udpIdleSeconds: 30");
            of_policy(stage, edit, |policy| policy.timeouts.udp_idle = 30);
        },
    ),
    proof(
        "SessionPolicy: spec.timeouts.tcpIdleSeconds",
        AtOnce,
        |stage| {
            let edit = ("tcpIdleSeconds: 7440", "tcpIdleSeconds: 744");
            of_policy(stage, edit, |policy| policy.timeouts.tcp_idle = 744);
        },
    ),
    proof(
        "SessionPolicy: spec.timeouts.tcpTransientSeconds",
        AtOnce,
        |stage| {
            let edit = ("tcpTransientSeconds: 120", "tcpTransientSeconds: 12");
            of_policy(stage, edit, |policy| policy.timeouts.tcp_transient = 12);
        },
    ),
    proof(
        "SessionPolicy: spec.timeouts.tcpClosingSeconds",
        AtOnce,
        |stage| {
            let edit = ("tcpClosingSeconds: 10", "tcpClosingSeconds: 1");
            of_policy(stage, edit, |policy| policy.timeouts.tcp_closing = 1);
        },
    ),
    proof("SessionPolicy: spec.onChange", AtOnce, |stage| {
        of_policy(
            stage,
            ("onChange: Keep", "onChange: Reclassify"),
            |policy| {
                policy.on_change = OnChange::Reclassify;
            },
        );
    }),
    proof(
        "SessionPolicy: spec.rates.upBitsPerSecond",
        AtOnce,
        |stage| {
            let edit = ("upBitsPerSecond: 50000000", "upBitsPerSecond: 0");
            of_policy(stage, edit, |policy| policy.rates.as_mut().unwrap().up = 0);
        },
    ),
    proof(
        "SessionPolicy: spec.rates.downBitsPerSecond",
        AtOnce,
        |stage| {
            let edit = ("downBitsPerSecond: 100000000", "downBitsPerSecond: 0");
            of_policy(stage, edit, |policy| {
                policy.rates.as_mut().unwrap().down = 0;
            });
        },
    ),
    proof(
        "SessionPolicy: spec.rates.burstMilliseconds",
        AtOnce,
        |stage| {
            let edit = ("burstMilliseconds: 200", "burstMilliseconds: 20");
            of_policy(stage, edit, |policy| {
                policy.rates.as_mut().unwrap().burst_milliseconds = 20;
            });
        },
    ),
    proof("spec.subscribers.defaultPolicyRefs", AtOnce, |stage| {
        stage.begin_with(&[(REFS, "[{ name: residential }, { name: business }]")]);
        let edit = (
            "[{ name: residential }, { name: business }]",
            "[{ name: business }, { name: residential }]",
        );
        defaults(stage, edit, &["business", "residential"]);
    }),
    proof(
        "spec.subscribers.defaultPolicyRefs[].name",
        AtOnce,
        |stage| {
            defaults(stage, (REFS, "[{ name: business }]"), &["business"]);
        },
    ),
    proof("spec.subscribers.unknownFilterId", AtOnce, |stage| {
        let call = stage.alice();
        stage.change(&[("unknownFilterId: UseDefault", "unknownFilterId: Refuse")]);
        let subscribers = &stage.setup.node.subscribers;
        assert_eq!(subscribers.unknown_filter_id, UnknownFilterId::Refuse);
        assert!(stage.is_up(call));
    }),
];

const REFS: &str = "[{ name: residential }]";

/// The reload gives the node these policies: those before as `change` makes them.
fn policies(stage: &mut Stage, edits: &[Edit<'_>], change: impl FnOnce(&mut Vec<Policy>)) {
    let call = stage.alice();
    let mut expected = stage.setup.node.policies.clone();
    change(&mut expected);
    stage.change(edits);
    assert_eq!(stage.setup.node.policies, expected);
    assert!(stage.is_up(call));
}

/// The same where only the policy that everybody has is another.
fn of_policy(stage: &mut Stage, edit: Edit<'_>, change: impl FnOnce(&mut Policy)) {
    policies(stage, &[edit], |policies| {
        let mut residential = policies.iter_mut().filter(|it| &*it.name == "residential");
        change(residential.next().expect("the policy"));
    });
}

fn table(policy: &mut Policy, direction: Direction) -> &mut PolicyTable {
    let table = match direction {
        Direction::Input => policy.input.as_mut(),
        Direction::Output => policy.output.as_mut(),
    };
    table.expect("rules of that direction")
}

/// The line of the manifest with this rule.
fn line(stage: &Stage, direction: Direction, name: &str) -> String {
    let prefix = match direction {
        Direction::Input => "in",
        Direction::Output => "out",
    };
    let begin = format!("    - {{ name: {prefix}-{name},");
    let mut lines = stage.text().lines();
    let line = lines.find(|line| line.starts_with(&begin));
    line.expect("a rule").to_owned()
}

fn rule(
    stage: &mut Stage,
    direction: Direction,
    name: &str,
    (from, to): Edit<'_>,
    change: fn(&mut Rule),
) {
    let old = line(stage, direction, name);
    assert_eq!(old.matches(from).count(), 1, "{from} in {old}");
    let new = old.replacen(from, to, 1);
    of_policy(stage, (&old, &new), |policy| {
        let rules = &mut table(policy, direction).rules;
        let mut of_name = rules.iter_mut().filter(|it| it.name.ends_with(name));
        change(of_name.next().expect("the rule"));
    });
}

fn order(stage: &mut Stage, direction: Direction) {
    let (first, second) = (
        line(stage, direction, "tcp"),
        line(stage, direction, "flags"),
    );
    let (old, new) = (format!("{first}\n{second}"), format!("{second}\n{first}"));
    of_policy(stage, (&old, &new), |policy| {
        table(policy, direction).rules.swap(0, 1);
    });
}

fn default_action(stage: &mut Stage, field: &str, direction: Direction) {
    let of = |action: &str| format!("  {field}:\n    defaultAction: {action}\n");
    of_policy(stage, (&of("Track"), &of("Drop")), |policy| {
        table(policy, direction).default = Action::Drop;
    });
}

fn host(address: [u8; 4]) -> Prefix {
    Prefix {
        family: Family::IPv4,
        address: u32::from_be_bytes(address).into(),
        length: 32,
    }
}

fn come_and_go(stage: &mut Stage) {
    let names = |stage: &Stage| -> Vec<String> {
        let policies = stage.setup.node.policies.iter();
        policies.map(|policy| policy.name.to_string()).collect()
    };
    let call = stage.alice();
    assert_eq!(names(stage), ["business", "residential"]);
    stage.change(&[(
        "{ name: business, namespace",
        "{ name: wholesale, namespace",
    )]);
    assert_eq!(names(stage), ["residential", "wholesale"]);
    assert!(stage.is_up(call));
}

/// In which order a policy names its clusters says nothing.
fn cluster_order(stage: &mut Stage) {
    let edit = (
        "[{ name: edge }, { name: rim }]",
        "[{ name: rim }, { name: edge }]",
    );
    policies(stage, &[edit], |_| {});
}

/// One that names another cluster instead of this is there no more; of others nothing is seen.
fn clusters(stage: &mut Stage) {
    policies(stage, &[("{ name: rim }", "{ name: brim }")], |_| {});
    let edit = (
        "clusterRefs: [{ name: edge }] }",
        "clusterRefs: [{ name: rim }] }",
    );
    policies(stage, &[edit], |policies| {
        policies.retain(|policy| &*policy.name != "business");
    });
}

fn defaults(stage: &mut Stage, edit: Edit<'_>, names: &[&str]) {
    let call = stage.alice();
    stage.change(&[edit]);
    let expected: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
    assert_eq!(stage.setup.node.subscribers.default_policies, expected);
    assert!(stage.is_up(call));
}
