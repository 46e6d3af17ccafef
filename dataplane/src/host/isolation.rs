//! The nftables table that keeps subscribers away from the node (`core.isolation: Nodeless`).
//!
//! | hook | what it does |
//! |---|---|
//! | prerouting | what comes from subscribers, or goes to them from the core, is not tracked; what is for an address of the node, a broadcast, a multicast or link-local address is dropped, but ICMP echo with our ends of the links |
//! | input | the same once more for what the first hook could not know |
//! | forward | subscribers leave by the core's interface or to another subscriber |
//! | output | the node's own packets to subscribers are not tracked; redirects are not sent |
//!
//! All hooks come before connection tracking and before the usual `raw` chains. The table has a
//! fixed name, is replaced in one transaction, and nobody else's tables are touched.

use std::io;
use std::process::Stdio;

use ipnet::Ipv4Net;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{HostError, INTERFACE, Plan};

/// Our table, of the family `inet`.
pub(crate) const TABLE: &str = "kubelns";

/// Before `raw` (-300), hence before connection tracking (-200).
const PRIORITY: i32 = -310;

/// ICMP echo from and to all subscribers together: enough for every monitoring, nothing for a flood.
const ECHOES_PER_SECOND: u32 = 1000;

/// Installs the table for `plan`, in place of any earlier one.
pub(super) async fn install(plan: &Plan, core: &str) -> Result<(), HostError> {
    nft(&ruleset(plan, core)).await
}

/// Removes the table, if it is there. Without `nft` there can be none of ours.
pub(super) async fn remove() -> Result<(), HostError> {
    match nft(&json!({ "nftables": removal() })).await {
        Ok(()) | Err(HostError::NftMissing) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Adding before deleting makes the deletion succeed whether the table was there or not.
fn removal() -> Vec<Value> {
    let table = json!({ "table": { "family": "inet", "name": TABLE } });
    vec![json!({ "add": table }), json!({ "delete": table })]
}

fn ruleset(plan: &Plan, core: &str) -> Value {
    let mut commands = removal();
    commands.push(json!({ "add": { "table": { "family": "inet", "name": TABLE } } }));
    commands.extend(sets(plan));
    commands.extend([
        base_chain("prerouting"),
        base_chain("input"),
        base_chain("forward"),
        base_chain("output"),
        chain("from_subscribers"),
        chain("to_node"),
    ]);
    commands.extend(prerouting());
    commands.extend(input());
    commands.push(rule(
        "forward",
        vec![
            matches("==", meta("iifname"), json!(INTERFACE)),
            matches("!=", meta("oifname"), json!({ "set": [INTERFACE, core] })),
            counter(),
            verdict("drop"),
        ],
    ));
    commands.extend(output());
    json!({ "nftables": commands })
}

fn sets(plan: &Plan) -> [Value; 2] {
    let gateways: Vec<Value> = plan
        .gateways
        .iter()
        .map(|address| json!(address.to_string()))
        .collect();
    let prefixes: Vec<Ipv4Net> = plan.subscribers.keys().copied().collect();
    // The kernel refuses intervals that overlap.
    let subscribers: Vec<Value> = Ipv4Net::aggregate(&prefixes)
        .into_iter()
        .map(prefix)
        .collect();
    [
        json!({ "add": { "set": { "family": "inet", "table": TABLE, "name": "gateways", "type": "ipv4_addr", "elem": gateways } } }),
        json!({ "add": { "set": { "family": "inet", "table": TABLE, "name": "subscribers", "type": "ipv4_addr", "flags": ["interval"], "elem": subscribers } } }),
    ]
}

fn prerouting() -> Vec<Value> {
    let in_chain = |expressions| rule("from_subscribers", expressions);
    vec![
        rule(
            "prerouting",
            vec![
                matches("==", meta("iifname"), json!(INTERFACE)),
                json!({ "notrack": null }),
                jump("from_subscribers"),
            ],
        ),
        rule(
            "prerouting",
            vec![
                matches("==", ip("daddr"), json!("@subscribers")),
                json!({ "notrack": null }),
            ],
        ),
        in_chain(vec![
            matches("!=", meta("nfproto"), json!("ipv4")),
            counter(),
            verdict("drop"),
        ]),
        // The workers' own "fragmentation needed"; no subscriber can have this source.
        in_chain(vec![
            matches("==", ip("saddr"), json!("@gateways")),
            icmp(&["destination-unreachable"]),
            verdict("accept"),
        ]),
        in_chain(vec![
            matches("==", ip("daddr"), json!("@gateways")),
            icmp(&["echo-request", "echo-reply"]),
            json!({ "limit": { "rate": ECHOES_PER_SECOND, "per": "second", "burst": ECHOES_PER_SECOND } }),
            verdict("accept"),
        ]),
        in_chain(vec![
            matches("==", ip("daddr"), never_for_subscribers()),
            counter(),
            verdict("drop"),
        ]),
        in_chain(vec![
            matches(
                "==",
                json!({ "fib": { "result": "type", "flags": ["daddr"] } }),
                json!({ "set": ["local", "broadcast", "anycast", "multicast"] }),
            ),
            counter(),
            verdict("drop"),
        ]),
    ]
}

/// "This network", loopback, link-local (metadata services), multicast and everything above.
fn never_for_subscribers() -> Value {
    let prefixes: Vec<Value> = [
        ("0.0.0.0", 8),
        ("127.0.0.0", 8),
        ("169.254.0.0", 16),
        ("224.0.0.0", 3),
    ]
    .iter()
    .map(|(address, length)| json!({ "prefix": { "addr": address, "len": length } }))
    .collect();
    json!({ "set": prefixes })
}

fn input() -> Vec<Value> {
    vec![
        rule(
            "input",
            vec![
                matches("==", meta("iifname"), json!(INTERFACE)),
                jump("to_node"),
            ],
        ),
        // Through another node, which takes this one for a host of the core.
        rule(
            "input",
            vec![
                matches("!=", meta("iifname"), json!(INTERFACE)),
                matches("==", ip("saddr"), json!("@subscribers")),
                counter(),
                verdict("drop"),
            ],
        ),
        rule(
            "to_node",
            vec![
                matches("==", ip("daddr"), json!("@gateways")),
                icmp(&["echo-request", "echo-reply"]),
                verdict("accept"),
            ],
        ),
        rule(
            "to_node",
            vec![
                matches("==", ip("saddr"), json!("@gateways")),
                icmp(&["destination-unreachable"]),
                verdict("accept"),
            ],
        ),
        rule("to_node", vec![counter(), verdict("drop")]),
    ]
}

fn output() -> Vec<Value> {
    let leaves = || matches("==", meta("oifname"), json!(INTERFACE));
    vec![
        rule(
            "output",
            vec![leaves(), icmp(&["redirect"]), verdict("drop")],
        ),
        rule("output", vec![leaves(), json!({ "notrack": null })]),
    ]
}

fn base_chain(hook: &str) -> Value {
    json!({ "add": { "chain": {
        "family": "inet", "table": TABLE, "name": hook,
        "type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept",
    } } })
}

fn chain(name: &str) -> Value {
    json!({ "add": { "chain": { "family": "inet", "table": TABLE, "name": name } } })
}

fn rule(chain: &str, expressions: impl IntoIterator<Item = Value>) -> Value {
    json!({ "add": { "rule": { "family": "inet", "table": TABLE, "chain": chain, "expr": expressions.into_iter().collect::<Vec<_>>() } } })
}

fn matches(operator: &str, left: impl Into<Value>, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": operator, "left": left.into(), "right": right.into() } })
}

fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}

fn ip(field: &str) -> Value {
    json!({ "payload": { "protocol": "ip", "field": field } })
}

fn icmp(types: &[&str]) -> Value {
    matches(
        "==",
        json!({ "payload": { "protocol": "icmp", "field": "type" } }),
        json!({ "set": types }),
    )
}

fn jump(target: &str) -> Value {
    json!({ "jump": { "target": target } })
}

fn counter() -> Value {
    json!({ "counter": null })
}

fn verdict(name: &str) -> Value {
    json!({ name: null })
}

fn prefix(net: Ipv4Net) -> Value {
    json!({ "prefix": { "addr": net.network().to_string(), "len": net.prefix_len() } })
}

/// Hands one transaction to `nft`.
async fn nft(commands: &Value) -> Result<(), HostError> {
    let mut child = Command::new("nft")
        .args(["-j", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                HostError::NftMissing
            } else {
                HostError::Nft(error.to_string())
            }
        })?;
    if let Some(mut input) = child.stdin.take() {
        // A program that refuses early closes its end; its own words say more than our broken pipe.
        let _broken_pipe = input.write_all(commands.to_string().as_bytes()).await;
    }
    let output = child
        .wait_with_output()
        .await
        .map_err(|error| HostError::Nft(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(HostError::Nft(
        said.lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no reason given")
            .trim()
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::Isolation;
    use super::*;

    fn plan() -> Plan {
        let gateway = [100, 64, 0, 1].into();
        Plan {
            gateways: BTreeSet::from([gateway]),
            subscribers: ["100.64.0.0/16", "100.64.3.0/24", "203.0.113.7/32"]
                .iter()
                .map(|text| (text.parse().unwrap(), gateway))
                .collect::<BTreeMap<_, _>>(),
            excluded: BTreeSet::new(),
            core_interface: None,
            isolation: Isolation::Nodeless,
        }
    }

    #[test]
    fn the_rules_are_in_the_schema_of_nft() {
        let parsed: nftables::schema::Nftables<'_> =
            serde_json::from_value(ruleset(&plan(), "core0")).unwrap();
        assert_eq!(parsed.objects.len(), 2 + 1 + 2 + 6 + 7 + 5 + 1 + 2);
    }

    #[test]
    fn prefixes_that_overlap_become_one_interval() {
        let [_, subscribers] = sets(&plan());
        let elements = subscribers["add"]["set"]["elem"].as_array().unwrap();
        assert_eq!(elements.len(), 2, "{elements:?}");
    }

    #[test]
    fn installing_begins_with_the_removal_of_what_was_there() {
        let commands = ruleset(&plan(), "core0");
        assert_eq!(commands["nftables"][0]["add"]["table"]["name"], TABLE);
        assert_eq!(commands["nftables"][1]["delete"]["table"]["name"], TABLE);
    }
}
