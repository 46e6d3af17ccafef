//! Policies that are wrong: A05 of the acceptance list. Each error names the field and the value, and
//! nothing changes.

use anyhow::{Context as _, Result, ensure};

use super::cast::{Cast, Policy};
use super::packet::Way;
use super::stateful::tracked;
use super::{Row, alone, with_cases};
use crate::lnsd;
use crate::manifest::Manifest;

pub(super) const ROWS: &[Row] = &[alone(
    "a05-wrong-policies",
    "each wrong policy is refused with document, path and value; nothing changes",
    wrong,
)];

/// A rule that is wrong, and what is said of it behind the path of the rule.
const RULES: &[(&str, &str)] = &[
    (
        "source: 10.0.0.0/8, destination: \"2001:db8::/32\"",
        ".destination: ",
    ),
    ("source: 10.0.0.0/33", ".source: \"10.0.0.0/33\""),
    (
        "destination: \"2001:db8::/129\"",
        ".destination: \"2001:db8::/129\"",
    ),
    (
        "protocol: TCP, destinationPorts: [\"80-25\"]",
        ".destinationPorts[0]: \"80-25\"",
    ),
    (
        "protocol: TCP, destinationPorts: [\"65536\"]",
        ".destinationPorts[0]: \"65536\"",
    ),
    ("destinationPorts: [\"80\"]", ".destinationPorts"),
    ("protocol: TCP, icmpTypes: [\"8\"]", ".icmpTypes"),
    (
        "protocol: UDP, tcpFlags: { value: [SYN], mask: [SYN] }",
        ".tcpFlags",
    ),
    (
        "protocol: TCP, tcpFlags: { value: [SYN], mask: [ACK] }",
        ".tcpFlags.value",
    ),
    ("family: IPv6, protocol: ICMP", ".protocol"),
    (
        "octets: [ { at: 8, mask: \"0f\", value: \"10\" } ]",
        ".octets[0].value",
    ),
    ("colour: red", ".colour"),
    ("dscp: [64]", ".dscp[0]: 64"),
];

/// Lines of a specification that are wrong, and what is said of them.
const LINES: &[(&str, &str)] = &[
    (
        "timeouts: { udpIdleSeconds: 0 }",
        "spec.timeouts.udpIdleSeconds: 0",
    ),
    (
        "timeouts: { tcpIdleSeconds: 8388608 }",
        "spec.timeouts.tcpIdleSeconds: 8388608",
    ),
    ("onChange: Forget", "spec.onChange: \"Forget\""),
    (
        "rates: { upBitsPerSecond: -1 }",
        "spec.rates.upBitsPerSecond: -1",
    ),
];

fn wrong() -> Result<String> {
    let subscriber = vec![("a05", Way::Up, tracked(Way::Up))];
    with_cases(Manifest::default(), subscriber, |cases| {
        let case = cases.first().context("no case")?;
        let flow = case.seat(0)?.udp(4000, 53);
        case.passes(&flow.out())?;
        let rules = RULES.iter().map(|(rule, words)| {
            let rule = format!("{rule}, action: Drop");
            let policy = Policy::judging(Way::Up, &["action: Pass", &rule], "Drop");
            (policy, format!("spec.input.rules[1]{words}"))
        });
        let lines = LINES
            .iter()
            .map(|(line, words)| (Policy::default().more(line), (*words).to_owned()));
        let named = [long_name(), same_name()];
        let (mut count, last) = (0, Manifest::default());
        for (policy, words) in rules.chain(lines).chain(named) {
            let mut its = Cast::one(policy);
            its.name("wrong");
            let text = super::stage::text(&last, &its.policies);
            let (code, said) = lnsd::check(&text)?;
            let line = format!("SessionPolicy/wrong-0: {words}");
            ensure!(code == 2, "exit {code} and not 2 for {words}: {said}");
            ensure!(said.contains(&line), "no `{line}` in `{said}`");
            if count % 4 == 0 {
                let outcome = case
                    .stage
                    .reload(|_, policies| policies.extend(its.policies))?;
                let error = outcome.err().context("a reload takes it over")?;
                ensure!(error.contains(&line), "no `{line}` in `{error}`");
            }
            count += 1;
        }
        case.passes(&flow.back())?;
        let policies = case.stage.lnsd.rows("policies", &["policies"])?;
        ensure!(
            policies.len() == 2,
            "something changed: {} policies",
            policies.len()
        );
        Ok(format!("{count} cases"))
    })
}

fn long_name() -> (Policy, String) {
    let rule = format!("name: {}, action: Drop", "x".repeat(64));
    let policy = Policy::judging(Way::Up, &[&rule], "Drop");
    (policy, "spec.input.rules[0].name: ".to_owned())
}

fn same_name() -> (Policy, String) {
    let rules = ["name: same, action: Pass", "name: same, action: Drop"];
    let policy = Policy::judging(Way::Up, &rules, "Drop");
    let words = "spec.input.rules[1].name: \"same\" is there already, at [0]";
    (policy, words.to_owned())
}
