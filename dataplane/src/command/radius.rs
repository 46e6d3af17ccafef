//! `radius`: servers, their connections, what clients have asked, and the records that wait for servers;
//! `--watch` follows.

use jiff::Zoned;
use serde_json::{Value, json};

use super::client::Client;
use super::read::{pretty, print, rows};
use super::table::{Column, age, at, count, facts, number, octets, render, text, thousands};
use super::watch::{Screen, each_second};
use crate::cli::{Output, RadiusArguments};
use crate::failure::Failure;

/// The columns of a server.
const SERVERS: [Column; 18] = [
    text("SERVER", |server| at(server, &["name"])),
    text("FOR", |server| at(server, &["purpose"])),
    text("STATE", |server| at(server, &["state"])),
    text("REASON", |server| at(server, &["reason"])),
    number("IN FLIGHT", |server| number_at(server, "inFlight")),
    number("WAITING", |server| number_at(server, "backlog")),
    number("LAST REPLY", |server| since(server, "lastReplySeconds")),
    number("MEDIAN", |server| time(&server["rtt"], "medianSeconds")),
    number("P99", |server| time(&server["rtt"], "p99Seconds")),
    number("SENT", |server| number_at(server, "sent")),
    number("REPEATED", |server| number_at(server, "retransmissions")),
    number("DROPPED", dropped),
    number("CHECKS", |server| {
        let [answered, sent] = ["checksAnswered", "checks"].map(|key| number_at(server, key));
        format!("{answered}/{sent}")
    }),
    text("ADDRESS", |server| at(server, &["address"])).wide(),
    text("TRANSPORT", |server| at(server, &["transport"])).wide(),
    text("SECRET", |server| at(server, &["verifiedWith"])).wide(),
    text("CHECKED BY", |server| at(server, &["check"])).wide(),
    text("LAST ERROR", |server| at(server, &["error"])).wide(),
];

/// The columns of a connection.
const CONNECTIONS: [Column; 13] = [
    text("CONNECTION", |connection| at(connection, &["id"])),
    text("SERVER", |connection| at(connection, &["server"])),
    text("FOR", |connection| at(connection, &["purpose"])),
    text("STATE", state),
    number("IN FLIGHT", |connection| number_at(connection, "inFlight")),
    number("LAST REPLY", |connection| {
        since(connection, "lastReplySeconds")
    }),
    number("SENT", |connection| number_at(connection, "sent")),
    number("REPLIES", |connection| number_at(connection, "replies")),
    number("FREE IDS", |connection| number_at(connection, "freeIds")).wide(),
    number("PORT", |connection| at(connection, &["localPort"])).wide(),
    text("TRUNK", |connection| at(connection, &["trunkState"])).wide(),
    text("SOCKET", |connection| at(connection, &["socket"])).wide(),
    text("ON TRIAL", |connection| at(connection, &["onTrial"])).wide(),
];

/// The columns of what clients of dynamic authorization have asked.
const DYNAMIC: [Column; 4] = [
    text("CLIENT", |row| at(row, &["client"])),
    text("ASKED", |row| at(row, &["type"])),
    text("RESULT", |row| at(row, &["result"])),
    number("TIMES", |row| number_at(row, "count")),
];

/// `lnsd radius`
pub(crate) fn radius(arguments: &RadiusArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.read.state)?;
    let output = arguments.read.output;
    if arguments.watch {
        return each_second(output, |screen| frame(&client, output, screen));
    }
    let seen = client.read("/v1/radius", &[])?;
    print(&match output {
        Output::Json => pretty(&seen),
        Output::Table | Output::Wide => tables(&seen, output == Output::Wide),
    })
}

/// One picture of a `--watch`.
fn frame(client: &Client, output: Output, _screen: Screen) -> Result<String, Failure> {
    let seen = client.read("/v1/radius", &[])?;
    if output == Output::Json {
        return Ok(format!("{seen}\n"));
    }
    let now = Zoned::now().strftime("%H:%M:%S").to_string();
    Ok(format!("{now}\n{}", tables(&seen, output == Output::Wide)))
}

fn tables(seen: &Value, wide: bool) -> String {
    let (servers, dynamic) = (rows(seen, "servers"), rows(seen, "dynamic"));
    if servers.is_empty() && dynamic.is_empty() {
        return "the manifest names no RADIUS servers: nobody is asked or told\n".to_owned();
    }
    let connections = servers.iter().flat_map(|server| {
        rows(server, "connections").iter().map(|connection| {
            let mut row = connection.clone();
            if let Some(row) = row.as_object_mut() {
                let of = |key: &str| server.get(key).cloned().unwrap_or_default();
                row.insert("purpose".to_owned(), of("purpose"));
                row.insert("server".to_owned(), of("name"));
            }
            row
        })
    });
    let connections: Vec<_> = connections.collect();
    let mut out = render(&SERVERS, servers, wide);
    if !connections.is_empty() {
        out.push('\n');
        out.push_str(&render(&CONNECTIONS, &connections, wide));
    }
    if !dynamic.is_empty() {
        out.push('\n');
        out.push_str(&render(&DYNAMIC, dynamic, wide));
    }
    if let queue @ Value::Object(_) = &seen["queue"] {
        out.push('\n');
        out.push_str(&facts(&queue_facts(queue)));
    }
    out
}

/// The records that wait for accounting servers.
fn queue_facts(queue: &Value) -> Vec<(&'static str, String)> {
    let records = count(queue, &["records"]);
    let oldest = match queue["oldestSeconds"].as_u64() {
        Some(seconds) if records > 0 => format!(", the oldest {} old", age(seconds)),
        _ => String::new(),
    };
    let some = |key| match count(queue, &[key]) {
        0 => String::new(),
        count => format!("{} records", thousands(count)),
    };
    vec![
        (
            "Accounting queue",
            format!(
                "{} records, {}{oldest}",
                thousands(records),
                octets(count(queue, &["octets"]))
            ),
        ),
        ("  Under way", some("underWay")),
        ("  Not on disk yet", some("unwritten")),
        ("  Interims given up", some("droppedInterims")),
        ("  No server takes", some("undeliverable")),
        ("  Another version's", some("foreign")),
        (
            "  DISK FAILS",
            if queue["diskFails"] == json!(true) {
                "records wait in memory".to_owned()
            } else {
                String::new()
            },
        ),
    ]
}

/// The state of a connection, and whether its server is being asked whether it lives.
fn state(connection: &Value) -> String {
    let state = at(connection, &["state"]);
    if connection["checking"] == json!(true) {
        return state + ", checking";
    }
    state
}

/// Packets that were not believed or not waited for.
fn dropped(server: &Value) -> String {
    let by_reason = server["dropped"].as_object();
    let sum = by_reason
        .into_iter()
        .flatten()
        .filter_map(|(_, times)| times.as_u64())
        .sum();
    thousands(sum)
}

fn number_at(row: &Value, key: &str) -> String {
    thousands(count(row, &[key]))
}

/// How long ago, to a tenth of a second below ten.
fn since(row: &Value, key: &str) -> String {
    row[key].as_f64().map_or_else(String::new, |seconds| {
        if seconds < 10.0 {
            format!("{seconds:.1} s")
        } else {
            age(whole(seconds))
        }
    })
}

/// A time in milliseconds.
fn time(row: &Value, key: &str) -> String {
    row[key].as_f64().map_or_else(String::new, |seconds| {
        format!("{:.1} ms", seconds * 1_000.0)
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds for a person; a cast of a float saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Value {
        json!({
            "servers": [{
                    "name": "r1", "purpose": "authentication", "state": "up", "inFlight": 1_200, "backlog": 0,
                    "lastReplySeconds": 0.26, "sent": 54_321, "retransmissions": 2,
                    "rtt": { "medianSeconds": 0.0015, "p99Seconds": 0.25 },
                    "checks": 3, "checksAnswered": 2,
                    "dropped": { "late": 1, "bad_authenticator": 4 },
                    "connections": [
                        { "id": "0.1", "state": "active", "checking": false, "inFlight": 255, "sent": 9, "replies": 8 },
                        { "id": "1.1", "state": "zombie", "checking": true, "lastReplySeconds": 61.0 },
                    ],
            }],
            "dynamic": [
                { "client": "oss", "type": "coa", "result": "ack", "count": 1_008 },
                { "client": "none", "type": "unknown", "result": "stranger", "count": 9 },
            ],
            "queue": {
                "records": 1_200, "octets": 345_600, "oldestSeconds": 120, "droppedInterims": 3,
                "undeliverable": 0, "foreign": 0, "underWay": 0, "unwritten": 0, "diskFails": false,
            },
        })
    }

    #[test]
    fn servers_their_connections_and_what_clients_have_asked_are_shown() {
        let expected = "\
SERVER  FOR             STATE  REASON  IN FLIGHT  WAITING  LAST REPLY  MEDIAN       P99    SENT  REPEATED  DROPPED  CHECKS
r1      authentication  up     -           1,200        0       0.3 s  1.5 ms  250.0 ms  54,321         2        5     2/3

CONNECTION  SERVER  FOR             STATE             IN FLIGHT  LAST REPLY  SENT  REPLIES
0.1         r1      authentication  active                  255           -     9        8
1.1         r1      authentication  zombie, checking          0    00:01:01     0        0

CLIENT  ASKED    RESULT    TIMES
oss     coa      ack       1,008
none    unknown  stranger      9

Accounting queue     1,200 records, 345.6 kB, the oldest 00:02:00 old
  Interims given up  3 records
";
        assert_eq!(tables(&seen(), false), expected);
    }

    #[test]
    fn without_radius_that_is_said() {
        let none = json!({ "servers": [] });
        assert!(tables(&none, false).contains("names no RADIUS servers"));
    }
}
