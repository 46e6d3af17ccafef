//! `flows`: who speaks with whom, as the session table has it; `--watch` follows, `--flush` clears.

use core::net::{IpAddr, SocketAddr};
use core::ops::ControlFlow;

use jiff::Zoned;
use serde_json::{Value, json};

use super::client::Client;
use super::filter;
use super::read::{print, rows, show};
use super::table::{Column, age, at, count, number, render, text, thousands};
use super::watch::{Screen, each_second};
use crate::admin::flows::flush::{FlushOrder, Flushed};
use crate::cli::{FlowFilter, FlowsArguments, Output};
use crate::failure::Failure;

/// Rows asked for at once, and aligned with one another.
const PAGE: usize = 1_000;

/// The columns of a flow.
const COLUMNS: [Column; 14] = [
    text("USER", |flow| at(flow, &["user"])),
    text("SESSION", |flow| at(flow, &["session"])),
    text("PROTOCOL", protocol),
    text("INSIDE", |flow| end(&flow["inside"])),
    text("WAY", |flow| way(flow).to_owned()),
    text("OUTSIDE", |flow| end(&flow["outside"])),
    text("CLASS", |flow| at(flow, &["class"])),
    number("IDLE", |flow| age(count(flow, &["idleSeconds"]))),
    number("EXPIRES IN", |flow| age(count(flow, &["expiresInSeconds"]))),
    number("AGE", |flow| age(count(flow, &["ageSeconds"]))).wide(),
    text("POLICY", |flow| at(flow, &["policy"])).wide(),
    text("TCP", tcp).wide(),
    number("EPOCH", |flow| at(flow, &["epoch"])).wide(),
    text("LAC", |flow| at(flow, &["lac"])).wide(),
];

/// `lnsd flows`
pub(crate) fn flows(arguments: &FlowsArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.read.state)?;
    let of = Wanted {
        client: &client,
        filter: &arguments.of,
        output: arguments.read.output,
        limit: arguments.limit(),
    };
    if arguments.flush {
        return flush(&of, arguments.all);
    }
    if arguments.watch {
        return each_second(of.output, |screen| of.frame(screen));
    }
    of.list()
}

/// Which flows are shown, and how.
struct Wanted<'a> {
    client: &'a Client,
    filter: &'a FlowFilter,
    output: Output,
    limit: usize,
}

impl Wanted<'_> {
    /// Shows a page as soon as it is there: nobody keeps a million rows.
    fn list(&self) -> Result<(), Failure> {
        let (mut shown, mut first) = (0, true);
        let end = self.pages(self.limit, |page| {
            let head = core::mem::take(&mut first);
            shown += page.len();
            match self.output {
                Output::Json => show(&json_rows(page, head)),
                Output::Table | Output::Wide if page.is_empty() => Ok(ControlFlow::Continue(())),
                Output::Table | Output::Wide => show(&table(
                    page,
                    self.output == Output::Wide,
                    shown == page.len(),
                )),
            }
        })?;
        if shown == 0
            && let Some(none) = filter::nothing(self.client, "flow", &self.filter.query())?
            && self.output != Output::Json
        {
            eprintln!("{none}");
            return Ok(());
        }
        match self.output {
            Output::Json => print(&json_tail(&end)),
            Output::Table | Output::Wide => {
                if shown == 0 {
                    print(&table(&[], self.output == Output::Wide, true))?;
                }
                if let Some(cut) = self.cut(shown, &end) {
                    eprintln!("{cut}");
                }
                Ok(())
            }
        }
    }

    /// One picture of a `--watch`.
    fn frame(&self, screen: Screen) -> Result<String, Failure> {
        let wide = self.output == Output::Wide;
        // Two lines are for the summary and the headings.
        let room = screen.room().saturating_sub(2).max(1);
        let mut found = Vec::new();
        let end = self.pages(self.limit.min(room), |page| {
            found.extend_from_slice(page);
            Ok(ControlFlow::Continue(()))
        })?;
        if self.output == Output::Json {
            return Ok(format!("{}\n", end.with(&found)));
        }
        let now = Zoned::now().strftime("%H:%M:%S").to_string();
        Ok(summary(&now, found.len(), &end) + &table(&found, wide, true))
    }

    /// Asks page after page and hands each to `take`, until there are `limit` rows or no more.
    fn pages(
        &self,
        limit: usize,
        mut take: impl FnMut(&[Value]) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<End, Failure> {
        let (mut taken, mut after) = (0, None);
        loop {
            let mut query = self.filter.query();
            query.push(("limit", Some((limit - taken).min(PAGE).to_string())));
            query.push(("after", after));
            let answer = self.client.read("/v1/flows", &query)?;
            let page = rows(&answer, "flows");
            taken += page.len();
            let enough = take(page)?.is_break() || taken >= limit;
            let next = answer.get("next").and_then(Value::as_u64);
            after = next.map(|next| next.to_string());
            if enough || after.is_none() {
                return Ok(End {
                    more: after.is_some(),
                    in_use: count(&answer, &["inUse"]),
                    capacity: count(&answer, &["capacity"]),
                });
            }
        }
    }

    /// What is said of flows that are not shown.
    fn cut(&self, shown: usize, end: &End) -> Option<String> {
        let shown = u64::try_from(shown).unwrap_or(u64::MAX);
        let is_everything = self.filter.is_everything();
        if !end.more || is_everything && shown >= end.in_use {
            return None;
        }
        let of = if is_everything {
            format!("of {} flows", thousands(end.in_use))
        } else {
            "that match, and there are more".to_owned()
        };
        let shown = thousands(shown);
        Some(format!("... the first {shown} {of}; --limit 0 shows all"))
    }
}

/// What is known when the last page has been read.
struct End {
    more: bool,
    in_use: u64,
    capacity: u64,
}

impl End {
    fn with(&self, flows: &[Value]) -> Value {
        json!({ "flows": flows, "inUse": self.in_use, "capacity": self.capacity, "more": self.more })
    }
}

fn json_rows(page: &[Value], first: bool) -> String {
    let mut out = String::new();
    for (index, row) in page.iter().enumerate() {
        out.push_str(if first && index == 0 {
            "{\"flows\":[\n"
        } else {
            ",\n"
        });
        out.push_str(&row.to_string());
    }
    if first && page.is_empty() {
        out.push_str("{\"flows\":[");
    }
    out
}

fn json_tail(end: &End) -> String {
    format!(
        "\n],\"inUse\":{},\"capacity\":{},\"more\":{}}}\n",
        end.in_use, end.capacity, end.more
    )
}

fn summary(now: &str, shown: usize, end: &End) -> String {
    let shown = thousands(u64::try_from(shown).unwrap_or(u64::MAX));
    let [in_use, capacity] = [end.in_use, end.capacity].map(thousands);
    let more = if end.more { "the first " } else { "" };
    format!("{now}  {more}{shown} shown, {in_use} of {capacity} flows in use\n")
}

/// A page of flows; only the first has headings.
fn table(page: &[Value], wide: bool, with_headings: bool) -> String {
    let table = render(&COLUMNS, page, wide);
    if with_headings {
        return table;
    }
    let rest = table.split_once('\n').map(|(_, rest)| rest.to_owned());
    rest.unwrap_or_default()
}

/// The name of the protocol, else its number; of ICMP with the type of the message.
fn protocol(flow: &Value) -> String {
    match (count(flow, &["protocol"]), &flow["icmp"]) {
        (6, _) => "tcp".to_owned(),
        (17, _) => "udp".to_owned(),
        (1 | 58, Value::Object(icmp)) => format!("icmp/{}", at(&icmp["type"], &[])),
        (number, _) => number.to_string(),
    }
}

/// An address with its port, if it has one.
fn end(end: &Value) -> String {
    let address = at(end, &["address"]);
    let parsed = address.parse::<IpAddr>().ok();
    let port = end["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    match (parsed, port) {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        _ => address,
    }
}

/// From who opened it to the other.
fn way(flow: &Value) -> &'static str {
    match flow["openedBy"].as_str() {
        Some("Subscriber") => "->",
        Some("Core") => "<-",
        Some(_) | None => "--",
    }
}

/// What has been seen of both ends, the subscriber's first.
fn tcp(flow: &Value) -> String {
    let seen = |end: &str| {
        let flags: Vec<_> = rows(&flow["tcpSeen"], end)
            .iter()
            .map(|flag| at(flag, &[]))
            .collect();
        if flags.is_empty() {
            "-".to_owned()
        } else {
            flags.join("+")
        }
    };
    if flow["tcpSeen"].is_null() {
        return String::new();
    }
    format!("{}/{}", seen("inside"), seen("outside"))
}

/// `lnsd flows --flush`
fn flush(of: &Wanted<'_>, all: bool) -> Result<(), Failure> {
    let filter = of.filter;
    if filter.is_everything() && !all {
        return Err(Failure::bad_input(
            "--flush clears the flows of a filter: give one, for instance --user NAME, or --all for every flow of every subscriber".to_owned(),
        ));
    }
    let mut order = FlushOrder::new(filter, all);
    let mut flushed = 0;
    loop {
        let done = of.client.order("/v1/flows/flush", &order)?;
        let done: Flushed = serde_json::from_value(done).map_err(|error| {
            Failure::failed("lnsd answers what this version does not know", error)
        })?;
        flushed += done.flushed;
        order.after = done.next;
        if order.after.is_none() {
            break;
        }
    }
    if of.output == Output::Json {
        return print(&format!("{}\n", json!({ "flushed": flushed })));
    }
    if flushed == 0
        && let Some(none) = filter::nothing(of.client, "flow", &filter.query())?
    {
        return Err(Failure::Failed(none));
    }
    print(&cleared(flushed))
}

fn cleared(flushed: u64) -> String {
    let flows = if flushed == 1 { "flow" } else { "flows" };
    format!("{} {flows} cleared\n", thousands(flushed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Value {
        json!({
            "session": "4711.12", "user": "alice", "lac": "wholesale-a", "protocol": 6,
            "inside": { "address": "100.64.0.5", "port": 40000 },
            "outside": { "address": "203.0.113.7", "port": 443 },
            "icmp": null, "openedBy": "Subscriber", "class": "established",
            "idleSeconds": 5, "expiresInSeconds": 7445, "ageSeconds": 60, "policy": "residential",
            "tcpSeen": { "inside": ["SYN", "ACK"], "outside": ["SYN"] }, "epoch": 3,
        })
    }

    fn ping() -> Value {
        json!({
            "session": "4711.13", "user": null, "lac": "wholesale-a", "protocol": 58,
            "inside": { "address": "2001:db8::5", "port": null },
            "outside": { "address": "2001:db8:1::7", "port": null },
            "icmp": { "type": 128, "code": null, "identifier": 77 }, "openedBy": "Core",
            "class": "udp", "idleSeconds": 0, "expiresInSeconds": 310, "ageSeconds": 1,
            "policy": null, "tcpSeen": null, "epoch": 0,
        })
    }

    const END: End = End {
        more: true,
        in_use: 1_234_567,
        capacity: 2_000_000,
    };

    #[test]
    fn a_flow_is_a_line_with_an_arrow_from_who_opened_it() {
        assert_eq!(
            table(&[flow(), ping()], false, true),
            "\
USER   SESSION  PROTOCOL  INSIDE            WAY  OUTSIDE          CLASS            IDLE  EXPIRES IN
alice  4711.12  tcp       100.64.0.5:40000  ->   203.0.113.7:443  established  00:00:05    02:04:05
-      4711.13  icmp/128  2001:db8::5       <-   2001:db8:1::7    udp          00:00:00    00:05:10
"
        );
    }

    #[test]
    fn a_wide_line_says_by_which_policy_and_what_tcp_has_seen() {
        let shown = table(&[flow(), ping()], true, true);
        let mut lines = shown.lines();
        let heading = lines.next().unwrap();
        assert!(
            heading.ends_with("AGE  POLICY       TCP          EPOCH  LAC"),
            "{heading}"
        );
        let first = lines.next().unwrap();
        assert!(
            first.ends_with("00:01:00  residential  SYN+ACK/SYN      3  wholesale-a"),
            "{first}"
        );
        let second = lines.next().unwrap();
        assert!(second.contains("00:00:01  -            -"), "{second}");
    }

    #[test]
    fn only_the_first_page_has_headings() {
        let next = table(&[flow()], false, false);
        assert!(
            next.starts_with("alice") && next.lines().count() == 1,
            "{next}"
        );
    }

    #[test]
    fn pages_of_json_are_one_document() {
        let text =
            json_rows(&[flow()], true) + &json_rows(&[ping(), flow()], false) + &json_tail(&END);
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed, END.with(&[flow(), ping(), flow()]));
        let empty = json_rows(&[], true) + &json_tail(&END);
        assert_eq!(
            serde_json::from_str::<Value>(&empty).unwrap(),
            END.with(&[])
        );
    }

    #[test]
    fn who_sees_a_part_is_told_of_how_many() {
        assert_eq!(
            summary("03:00:00", 22, &END),
            "03:00:00  the first 22 shown, 1,234,567 of 2,000,000 flows in use\n"
        );
        assert_eq!(
            [cleared(1), cleared(1_200)],
            ["1 flow cleared\n", "1,200 flows cleared\n"]
        );
    }
}
