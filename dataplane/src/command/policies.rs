//! `policies`: what is done with subscribers' packets, and how often each rule matched.

use lns_l2sess::policy::{Hits, Policy};
use serde_json::Value;

use super::client::Client;
use super::filter::known;
use super::read::{pretty, print, rows};
use super::table::{Column, age, at, bits, count, facts, number, render, text, thousands};
use crate::admin::policies::Summary;
use crate::cli::{Output, PoliciesArguments};
use crate::failure::Failure;

/// Both directions of a policy, as the manifest and as people call them.
const DIRECTIONS: [(&str, &str); 2] = [
    ("input", "Input (from subscriber)"),
    ("output", "Output (to subscriber)"),
];

/// `lnsd policies`
pub(crate) fn policies(arguments: &PoliciesArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.read.state)?;
    let wide = arguments.read.output == Output::Wide;
    if let Some(name) = &arguments.name {
        known(&client, ("policy", "policies"), name)?;
        // Names in the manifest are plain: none needs an escape in a path.
        let policy = client.read(&format!("/v1/policies/{name}"), &[])?;
        return print(&match arguments.read.output {
            Output::Json => pretty(&policy),
            Output::Table | Output::Wide => one(&policy, wide),
        });
    }
    let answer = client.read("/v1/policies", &[])?;
    print(&match arguments.read.output {
        Output::Json => pretty(&answer),
        Output::Table | Output::Wide => list(&answer, wide),
    })
}

/// What is shown of each policy, beside who has it.
const COLUMNS: [Column; 12] = [
    text("POLICY", |policy| at(policy, &["name"])),
    text("INPUT", |policy| table_in_words(&policy["input"])),
    text("OUTPUT", |policy| table_in_words(&policy["output"])),
    text("ON CHANGE", |policy| at(policy, &["onChange"])),
    number("UP", |policy| rate(policy, "upBitsPerSecond")),
    number("DOWN", |policy| rate(policy, "downBitsPerSecond")),
    text("FILTER IDS", |policy| at(policy, &["filterIds"])),
    number("BURST", burst).wide(),
    number("UDP IDLE", |policy| timeout(policy, "udpIdleSeconds")).wide(),
    number("TCP IDLE", |policy| timeout(policy, "tcpIdleSeconds")).wide(),
    number("TRANSIENT", |policy| timeout(policy, "tcpTransientSeconds")).wide(),
    number("CLOSING", |policy| timeout(policy, "tcpClosingSeconds")).wide(),
];

/// Who has it.
const SESSIONS: Column = number("SESSIONS", |policy| thousands(count(policy, &["sessions"])));

fn list(answer: &Value, wide: bool) -> String {
    let [name, rest @ ..] = COLUMNS;
    let columns: Vec<Column> = [name, SESSIONS].into_iter().chain(rest).collect();
    render(&columns, rows(answer, "policies"), wide)
}

/// Policies that nobody has yet.
pub(super) fn planned(policies: &[Policy]) -> String {
    let row = |policy: &Policy| serde_json::json!(Summary::new(policy, (0, 0), &Hits::default()));
    let rows: Vec<Value> = policies.iter().map(row).collect();
    render(&COLUMNS, &rows, false)
}

/// What is done in one direction, at a glance.
fn table_in_words(table: &Value) -> String {
    if table.is_null() {
        return "passes all".to_owned();
    }
    let default = at(table, &["defaultAction"]);
    match count(table, &["ruleCount"]) {
        0 => format!("{default} all"),
        1 => format!("1 rule, else {default}"),
        rules => format!("{} rules, else {default}", thousands(rules)),
    }
}

fn sessions(policy: &Value) -> String {
    let sessions = thousands(count(policy, &["sessions"]));
    match count(policy, &["sessionsByFilterId"]) {
        0 => sessions,
        named => format!("{sessions}, {} of them by Filter-Id", thousands(named)),
    }
}

fn rate(policy: &Value, key: &str) -> String {
    match count(policy, &["rates", key]) {
        0 => String::new(),
        rate => bits(rate),
    }
}

fn burst(policy: &Value) -> String {
    match count(policy, &["rates", "burstMilliseconds"]) {
        0 => String::new(),
        milliseconds => format!("{} ms", thousands(milliseconds)),
    }
}

fn timeout(policy: &Value, key: &str) -> String {
    age(count(policy, &["timeouts", key]))
}

/// One policy: what it is, then each direction's rules in the order in which they are asked.
fn one(policy: &Value, wide: bool) -> String {
    let mut out = facts(&[
        ("Policy", at(policy, &["name"])),
        ("Filter ids", at(policy, &["filterIds"])),
        ("Sessions", sessions(policy)),
        ("On change", at(policy, &["onChange"])),
        ("Rate up", rate(policy, "upBitsPerSecond")),
        ("Rate down", rate(policy, "downBitsPerSecond")),
        ("Burst", burst(policy)),
        ("UDP idle", timeout(policy, "udpIdleSeconds")),
        ("TCP idle", timeout(policy, "tcpIdleSeconds")),
        ("TCP transient", timeout(policy, "tcpTransientSeconds")),
        ("TCP closing", timeout(policy, "tcpClosingSeconds")),
    ]);
    for (direction, title) in DIRECTIONS {
        out.push('\n');
        out.push_str(title);
        out.push('\n');
        let table = &policy[direction];
        if table.is_null() {
            out.push_str("passes everything\n");
        } else {
            out.push_str(&rules(table, wide));
        }
    }
    out
}

fn rules(table: &Value, wide: bool) -> String {
    let columns = [
        number("NO", |rule| at(rule, &["place"])),
        text("RULE", |rule| at(rule, &["name"])),
        text("ACTION", |rule| at(rule, &["action"])),
        number("PACKETS", |rule| thousands(count(rule, &["hits"]))),
        text("MATCHES", |rule| at(rule, &["matches"])),
    ];
    let numbered = rows(table, "rules").iter().zip(1_u64..);
    let mut rules: Vec<Value> = numbered
        .map(|(rule, place)| {
            let mut rule = rule.clone();
            if let Value::Object(fields) = &mut rule {
                fields.insert("place".to_owned(), place.into());
            }
            rule
        })
        .collect();
    rules.push(serde_json::json!({
        "name": "(default)",
        "action": table["defaultAction"],
        "hits": table["defaultHits"],
        "matches": "what no rule of the chain matches",
    }));
    render(&columns, &rules, wide)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(input: &Value) -> Value {
        json!({
            "name": "residential", "filterIds": ["GOLD.in", "GOLD.out"], "sessions": 1234, "sessionsByFilterId": 34,
            "onChange": "Keep", "input": input, "output": null,
            "rates": { "upBitsPerSecond": 50_000_000, "downBitsPerSecond": 0, "burstMilliseconds": 200 },
            "timeouts": { "udpIdleSeconds": 300, "tcpIdleSeconds": 7440, "tcpTransientSeconds": 120, "tcpClosingSeconds": 10 },
        })
    }

    #[test]
    fn policies_are_a_line_each() {
        let answer =
            json!({ "policies": [policy(&json!({ "defaultAction": "Drop", "ruleCount": 12 }))] });
        assert_eq!(
            list(&answer, false),
            "\
POLICY       SESSIONS  INPUT                OUTPUT      ON CHANGE         UP  DOWN  FILTER IDS
residential     1,234  12 rules, else Drop  passes all  Keep       50 Mbit/s     -  GOLD.in GOLD.out
"
        );
        assert!(list(&answer, true).contains("200 ms  00:05:00  02:04:00   00:02:00  00:00:10"));
    }

    #[test]
    fn a_direction_is_told_in_a_few_words() {
        let table = |rules: u64| json!({ "defaultAction": "Drop", "ruleCount": rules });
        assert_eq!(
            [Value::Null, table(0), table(1), table(1_200)].map(|table| table_in_words(&table)),
            [
                "passes all",
                "Drop all",
                "1 rule, else Drop",
                "1,200 rules, else Drop"
            ]
        );
    }

    #[test]
    fn one_policy_shows_its_rules_in_order_and_how_often_each_matched() {
        let input = json!({
            "defaultAction": "Drop", "defaultHits": 7, "ruleCount": 2,
            "rules": [
                { "name": "no-smtp", "action": "Drop", "hits": 1200, "matches": "TCP to port 25" },
                { "name": "rest", "action": "Track", "hits": 0, "matches": "everything" },
            ],
        });
        let shown = one(&policy(&input), false);
        let (facts, tables) = shown.split_once("\n\n").unwrap();
        assert!(
            facts.contains("Rate up        50 Mbit/s\n") && !facts.contains("Rate down"),
            "{facts}"
        );
        assert!(
            facts.contains("1,234, 34 of them by Filter-Id\n"),
            "{facts}"
        );
        assert_eq!(
            tables,
            "\
Input (from subscriber)
NO  RULE       ACTION  PACKETS  MATCHES
 1  no-smtp    Drop      1,200  TCP to port 25
 2  rest       Track         0  everything
 -  (default)  Drop          7  what no rule of the chain matches

Output (to subscriber)
passes everything
"
        );
    }
}
