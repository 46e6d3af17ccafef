//! `failures`: why logins failed, LACs were refused, and calls and tunnels ended.

use core::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::client::Client;
use super::filter::nothing;
use super::read::{pages, pretty, print, rows};
use super::table::{age, at, count, facts, number, render, text, thousands};
use crate::cli::{FailuresArguments, Output};
use crate::failure::Failure;

/// `lnsd failures`
pub(crate) fn failures(arguments: &FailuresArguments) -> Result<(), Failure> {
    let output = arguments.read.output;
    let with_messages = arguments.messages || output == Output::Json;
    let filters = [
        ("user", arguments.user.clone()),
        ("lac", arguments.lac.clone()),
        ("callingNumber", arguments.calling_number.clone()),
        ("remote", arguments.remote.map(|remote| remote.to_string())),
        (
            "stage",
            arguments.stage.map(|stage| stage.label().to_owned()),
        ),
        ("kind", arguments.kind.map(|kind| kind.label().to_owned())),
        (
            "sinceSeconds",
            arguments.since.map(|since| since.0.to_string()),
        ),
    ];
    let query = [
        &filters[..],
        &[("messages", Some(with_messages.to_string()))],
    ]
    .concat();
    let client = Client::new(&arguments.read.state)?;
    let found = pages(&client, "failures", &query, arguments.limit.rows(output))?;
    if found.rows.is_empty() {
        let line = nothing(&client, "failure", &filters)?;
        if output != Output::Json {
            let line = line.unwrap_or_else(|| "nothing failed and nothing ended".to_owned());
            eprintln!("{line} in the last 24 hours");
            return Ok(());
        }
    }
    print(&match output {
        Output::Json => pretty(&json!({ "failures": found.rows })),
        Output::Table | Output::Wide if arguments.messages => {
            found.rows.iter().map(block).collect()
        }
        Output::Table | Output::Wide => table(&found.rows, output == Output::Wide),
    })?;
    found.say_if_cut(output);
    Ok(())
}

fn table(found: &[Value], wide: bool) -> String {
    let columns = [
        text("LAST", |one| clock(&at(one, &["last"]))),
        number("COUNT", |one| thousands(count(one, &["count"]))),
        text("STAGE", |one| at(one, &["stage"])),
        text("REASON", reason),
        text("USER", |one| at(one, &["user"])),
        text("CALLING", |one| at(one, &["callingNumber"])),
        text("LAC", lac),
        number("WAS UP", up),
        text("FIRST", |one| clock(&at(one, &["first"]))).wide(),
        text("KIND", |one| at(one, &["kind"])).wide(),
        text("ADDRESS", |one| at(one, &["address"])).wide(),
        text("ID", id).wide(),
        text("REMOTE", |one| at(one, &["remote"])).wide(),
        text("HOST NAME", |one| at(one, &["hostName"])).wide(),
        text("CALLED", |one| at(one, &["calledNumber"])).wide(),
    ];
    let mut out = render(&columns, found, wide);
    out.push_str("\n--messages shows what was said before each\n");
    out
}

/// One failure with its messages.
fn block(one: &Value) -> String {
    let times = match count(one, &["count"]) {
        1 => clock(&at(one, &["last"])),
        times => format!(
            "{}, {} times since {}",
            clock(&at(one, &["last"])),
            thousands(times),
            clock(&at(one, &["first"]))
        ),
    };
    let mut out = facts(&[
        (
            "Failure",
            format!("{}: {}", at(one, &["stage"]), reason(one)),
        ),
        ("At", times),
        ("User", at(one, &["user"])),
        ("LAC", lac(one)),
        ("LAC's address", at(one, &["remote"])),
        ("Host name", at(one, &["hostName"])),
        ("Calling number", at(one, &["callingNumber"])),
        ("Called number", at(one, &["calledNumber"])),
        ("Tunnel.session", id(one)),
        ("Address", at(one, &["address"])),
        ("Was up", up(one)),
    ]);
    out.push_str(&messages(one));
    out.push('\n');
    out
}

/// The messages of an answer, a line each.
pub(super) fn messages(answer: &Value) -> String {
    let mut out = String::new();
    if answer["messagesCut"] == true {
        out.push_str("  ... what was said before is not kept\n");
    }
    for line in rows(answer, "messages") {
        // A string takes everything.
        let _: core::fmt::Result = writeln!(out, "  {}", message(line));
    }
    out
}

/// A message or step: when, whether it came or went, what it was, what became of it.
pub(super) fn message(line: &Value) -> String {
    let arrow = match line["direction"].as_str() {
        Some("in") => '<',
        Some("out") => '>',
        Some(_) | None => '-',
    };
    let result = match line["result"].as_str() {
        None | Some("ok") => String::new(),
        Some(result) => format!("  [{}]", result.replace('_', " ")),
    };
    let time = at(line, &["time"]);
    let time = zoned(&time).map_or(time, |time| time.strftime("%H:%M:%S%.3f").to_string());
    format!("{time} {arrow} {}{result}", at(line, &["text"]))
}

/// The time of day where this machine is, with the day if it is another.
fn clock(time: &str) -> String {
    let Some(zoned) = zoned(time) else {
        return time.to_owned();
    };
    let is_today = zoned.date() == Zoned::now().with_time_zone(TimeZone::system()).date();
    let format = if is_today {
        "%H:%M:%S"
    } else {
        "%b %d %H:%M:%S"
    };
    zoned.strftime(format).to_string()
}

fn zoned(time: &str) -> Option<Zoned> {
    let time: Timestamp = time.parse().ok()?;
    Some(time.to_zoned(TimeZone::system()))
}

fn reason(one: &Value) -> String {
    let (reason, detail) = (at(one, &["reason"]), at(one, &["detail"]));
    let detail = match &*reason {
        same if same == detail => String::new(),
        // The value, as it was written.
        "unknown_filter_id" | "unknown_pool" | "rejected" | "other_service" | "malformed_reply" => {
            detail
        }
        _ => detail.replace('_', " "),
    };
    let reason = reason.replace('_', " ");
    let took = match count(one, &["sessions"]) {
        0 => String::new(),
        sessions => format!(", with {} sessions", thousands(sessions)),
    };
    let by = by_server(one);
    if detail.is_empty() {
        format!("{reason}{by}{took}")
    } else {
        format!("{reason} ({detail}){by}{took}")
    }
}

/// Which server a call failed by, and how long it took to say so.
fn by_server(one: &Value) -> String {
    let server = at(one, &["radius", "server"]);
    if server.is_empty() || at(one, &["stage"]) != "RADIUS" {
        return String::new();
    }
    match one
        .pointer("/radius/rttMilliseconds")
        .and_then(Value::as_f64)
    {
        Some(rtt) => format!(", {server} in {rtt:.1} ms"),
        None => format!(", {server} was asked last"),
    }
}

/// The LAC's entry, or what is known of one that has none.
fn lac(one: &Value) -> String {
    let lac = at(one, &["lac"]);
    if lac.is_empty() {
        at(one, &["remote"])
    } else {
        lac
    }
}

fn up(one: &Value) -> String {
    let seconds = one["upSeconds"].as_u64();
    seconds.map(age).unwrap_or_default()
}

fn id(one: &Value) -> String {
    match (at(one, &["tunnel"]), at(one, &["session"])) {
        (tunnel, session) if session.is_empty() => tunnel,
        (tunnel, session) => format!("{tunnel}.{session}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_when_which_way_what_and_what_became_of_it() {
        let shown = |direction: &str, result: &str| {
            let time = "2026-11-25T21:46:40.123Z";
            message(
                &json!({ "time": time, "direction": direction, "result": result, "text": "ICRQ" }),
            )
        };
        assert!(shown("in", "ok").ends_with(".123 < ICRQ"));
        assert!(shown("in", "outside_window").ends_with(".123 < ICRQ  [outside window]"));
        assert!(shown("out", "ok").ends_with(".123 > ICRQ"));
    }

    #[test]
    fn a_reason_has_its_detail_and_what_it_cost() {
        let one = json!({ "reason": "no_answer", "sessions": 1200 });
        assert_eq!(reason(&one), "no answer, with 1,200 sessions");
        let one = json!({ "reason": "authentication_failed", "detail": "wrong_password" });
        assert_eq!(reason(&one), "authentication failed (wrong password)");
        let radius = json!({ "server": "r1", "rttMilliseconds": 12.04 });
        let no = json!({
            "stage": "RADIUS", "reason": "rejected", "detail": "Pay_first", "radius": radius,
        });
        assert_eq!(reason(&no), "rejected (Pay_first), r1 in 12.0 ms");
        let none = json!({
            "stage": "RADIUS", "reason": "timed_out", "detail": "timed_out",
            "radius": { "server": "r1", "rttMilliseconds": null },
        });
        assert_eq!(reason(&none), "timed out, r1 was asked last");
        let ended = json!({ "stage": "Up", "reason": "idle_timeout", "radius": radius });
        assert_eq!(reason(&ended), "idle timeout");
        let one = json!({ "reason": "unknown_filter_id", "detail": "GOLD_100M.in" });
        assert_eq!(reason(&one), "unknown filter id (GOLD_100M.in)");
    }
}
