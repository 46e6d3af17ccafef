//! `status`, `lacs`, `tunnels`, `sessions`, `session show`, `pools`.

use core::ops::ControlFlow;
use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::client::Client;
use super::failures::messages;
use super::filter;
use super::table::{age, at, bits, count, facts, number, octets, render, since, text, thousands};
use crate::admin::document;
use crate::cli::{Output, ReadArguments, SessionsArguments, ShowArguments, TunnelsArguments};
use crate::failure::Failure;

/// Rows asked for at once: as many as every list gives.
const PAGE: usize = 500;

/// `lnsd status`
pub(crate) fn status(arguments: &ReadArguments) -> Result<(), Failure> {
    let status = Client::new(&arguments.state)?.read("/v1/status", &[])?;
    print(&match arguments.output {
        Output::Json => pretty(&status),
        Output::Table => facts(&status_facts(&status)),
        Output::Wide => facts(&[status_facts(&status), more_of_status(&status)].concat()),
    })
}

fn status_facts(status: &Value) -> Vec<(&'static str, String)> {
    let opening = |path| match count(status, &[path]) {
        0 => String::new(),
        opening => format!(", {} opening", thousands(opening)),
    };
    let traffic = |packets, sum| {
        let traffic = &status["traffic"];
        format!(
            "{} packets, {}",
            thousands(count(traffic, &[packets])),
            octets(count(traffic, &[sum]))
        )
    };
    let overdue = count(status, &["overdue"]);
    let mut shown = vec![
        ("State", at(status, &["phase"])),
        ("Host name", at(status, &["hostName"])),
        ("Version", at(status, &["version"])),
        ("Up for", age(count(status, &["uptimeSeconds"]))),
    ];
    shown.extend(manifest_facts(status));
    shown.extend([
        (
            "Tunnels",
            format!(
                "{}{}",
                thousands(count(status, &["tunnels"])),
                opening("tunnelsOpening")
            ),
        ),
        (
            "Sessions",
            format!(
                "{} of {}{}",
                thousands(count(status, &["sessions"])),
                thousands(count(status, &["maxSessions"])),
                opening("sessionsOpening")
            ),
        ),
        ("Flows", flows(&status["flows"])),
        ("RADIUS", radius(rows(status, "radius"))),
        ("Records", records(&status["records"])),
        ("Cluster", cluster(&status["cluster"])),
        ("AWAY", at(status, &["cluster", "troubles"])),
        ("From subscribers", traffic("upPackets", "upOctets")),
        ("To subscribers", traffic("downPackets", "downOctets")),
        (
            "Dropped",
            format!(
                "{} packets",
                thousands(count(status, &["traffic", "dropped"]))
            ),
        ),
        (
            "OVERDUE",
            if overdue == 0 {
                String::new()
            } else {
                format!("{overdue} (a bug in lnsd: please report it)")
            },
        ),
    ]);
    shown
}

/// How many flows there are, of how many that fit.
fn flows(flows: &Value) -> String {
    let [in_use, capacity] = ["inUse", "capacity"].map(|key| thousands(count(flows, &[key])));
    format!("{in_use} of {capacity}")
}

/// Who is master, and what this node does: nothing of a node that serves alone.
fn cluster(cluster: &Value) -> String {
    if cluster.is_null() {
        return String::new();
    }
    let master = cluster["master"].as_str().unwrap_or("unknown");
    format!(
        "{} is {}, master {} (epoch {}); `lnsd members` has more",
        at(cluster, &["node"]),
        at(cluster, &["side"]),
        master.escape_debug(),
        count(cluster, &["epoch"]),
    )
}

/// Whether the next start would go on with what is up: nothing where all is well.
fn records(records: &Value) -> String {
    let mut said = Vec::new();
    if records["degraded"] == json!(true) {
        let why = if records["failing"] == json!(true) {
            "the disk fails, or the store is away"
        } else {
            "the disk or the store is slow"
        };
        let unstored = thousands(count(records, &["unstored"]));
        said.push(format!(
            "NOT STORED: {why}, {unstored} changes behind: what is up now is lost with the process"
        ));
    }
    match count(records, &["foreign"]) {
        0 => {}
        foreign => said.push(format!("{} of another version", thousands(foreign))),
    }
    match count(records, &["unreadable"]) {
        0 => {}
        unreadable => said.push(format!("{} could not be read", thousands(unreadable))),
    }
    match count(records, &["unreplicated"]) {
        0 => {}
        late => said.push(format!("replicas were late {} times", thousands(late))),
    }
    let (form, newest) = (count(records, &["form"]), count(records, &["newestForm"]));
    if form < newest {
        said.push(format!(
            "in form {form}, as the release before reads it, until `lnsd finalize-upgrade`"
        ));
    }
    said.join(", ")
}

/// What of RADIUS works and what does not: nothing without RADIUS.
fn radius(purposes: &[Value]) -> String {
    let each = purposes.iter().map(|of| {
        let failed = rows(of, "failed");
        let purpose = at(of, &["purpose"]);
        if of["allDown"] == json!(true) {
            return format!("{purpose} ALL DOWN");
        }
        if failed.is_empty() {
            return format!("{purpose} ok");
        }
        let servers = count(of, &["servers"]);
        format!(
            "{purpose} {} of {servers} down ({})",
            failed.len(),
            at(of, &["failed"])
        )
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The same by class.
fn flow_classes(flows: &Value) -> String {
    let by_class = flows.get("byClass").and_then(Value::as_object);
    let each = by_class.into_iter().flatten();
    let each = each.map(|(class, flows)| {
        let flows = flows.as_u64().unwrap_or_default();
        format!("{class} {}", thousands(flows))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What `-o wide` shows besides.
fn more_of_status(status: &Value) -> Vec<(&'static str, String)> {
    let manifest = &status["manifest"];
    vec![
        ("Reloads", thousands(count(manifest, &["reloads"]))),
        ("Refused reloads", thousands(count(manifest, &["refusals"]))),
        (
            "Tunnels opening",
            thousands(count(status, &["tunnelsOpening"])),
        ),
        (
            "Sessions opening",
            thousands(count(status, &["sessionsOpening"])),
        ),
        ("Draining", at(status, &["draining"])),
        ("Flows by class", flow_classes(&status["flows"])),
        (
            "Flows of a subscriber",
            format!(
                "{} at most",
                thousands(count(status, &["flows", "perSession"]))
            ),
        ),
        (
            "Octets from subscribers",
            thousands(count(status, &["traffic", "upOctets"])),
        ),
        (
            "Octets to subscribers",
            thousands(count(status, &["traffic", "downOctets"])),
        ),
    ]
}

fn manifest_facts(status: &Value) -> Vec<(&'static str, String)> {
    let mut shown = vec![
        (
            "Manifest",
            format!(
                "{}, in force for {}",
                at(status, &["manifest", "path"]),
                since(count(status, &["manifest", "loadedAt"]))
            ),
        ),
        ("  REFUSED", at(status, &["manifest", "error"])),
        ("  NOT SEEN", at(status, &["manifest", "trouble"])),
    ];
    let warnings = rows(&status["manifest"], "warnings");
    shown.extend(
        warnings
            .iter()
            .map(|warning| ("  Warning", at(warning, &[]))),
    );
    shown
}

/// `lnsd lacs`
pub(crate) fn lacs(arguments: &ReadArguments) -> Result<(), Failure> {
    let columns = [
        text("LAC", |lac| at(lac, &["name"])),
        text("ADMISSION", |lac| at(lac, &["admission"])),
        number("TUNNELS", |lac| thousands(count(lac, &["tunnels"]))),
        number("SESSIONS", |lac| thousands(count(lac, &["sessions"]))),
        number("SETUPS", |lac| thousands(count(lac, &["setups"]))),
        number("REFUSALS", |lac| thousands(count(lac, &["refusals"]))),
        text("REFUSED FOR", reasons),
        text("FROM", |lac| at(lac, &["from"])).wide(),
        text("HOST NAME", |lac| at(lac, &["hostName"])).wide(),
        number("MAX TUNNELS", |lac| at(lac, &["maxTunnels"])).wide(),
        number("MAX SESSIONS", |lac| at(lac, &["maxSessions"])).wide(),
        number("MAX SETUPS/S", |lac| at(lac, &["maxSetupsPerSecond"])).wide(),
    ];
    let refused_columns = [
        text("REFUSED LAC", |lac| at(lac, &["remote"])),
        text("HOST NAME", |lac| at(lac, &["hostName"])),
        text("REASON", |lac| at(lac, &["reason"])),
        number("COUNT", |lac| thousands(count(lac, &["count"]))),
        number("LAST SEEN", |lac| age(count(lac, &["secondsAgo"]))),
    ];
    let answer = Client::new(&arguments.state)?.read("/v1/lacs", &[])?;
    let wide = match arguments.output {
        Output::Json => return print(&pretty(&answer)),
        Output::Table => false,
        Output::Wide => true,
    };
    let mut out = render(&columns, rows(&answer, "lacs"), wide);
    let refused = rows(&answer, "refused");
    if !refused.is_empty() {
        out.push('\n');
        out.push_str(&render(&refused_columns, refused, wide));
    }
    print(&out)
}

/// How often it was refused for which reason.
fn reasons(lac: &Value) -> String {
    let by_reason = lac.get("refusalsByReason").and_then(Value::as_object);
    let each = by_reason.into_iter().flatten();
    let each = each.map(|(reason, count)| format!("{reason} {}", at(count, &[])));
    each.collect::<Vec<_>>().join(", ")
}

/// `lnsd pools`
pub(crate) fn pools(arguments: &ReadArguments) -> Result<(), Failure> {
    let columns = [
        text("POOL", |pool| at(pool, &["name"])),
        text("LOCAL ADDRESS", |pool| at(pool, &["localAddress"])),
        number("USED", |pool| thousands(count(pool, &["used"]))),
        number("FREE", |pool| thousands(count(pool, &["free"]))),
        number("RESTING", |pool| thousands(count(pool, &["resting"]))),
        number("EXCLUDED", |pool| thousands(count(pool, &["excluded"]))),
        number("REST", |pool| age(count(pool, &["reuseDelaySeconds"]))).wide(),
        number("IN USE", share).wide(),
        text("PREFIXES", |pool| at(pool, &["prefixes"])),
    ];
    let answer = Client::new(&arguments.state)?.read("/v1/pools", &[])?;
    print(&match arguments.output {
        Output::Json => pretty(&answer),
        Output::Table | Output::Wide => render(
            &columns,
            rows(&answer, "pools"),
            arguments.output == Output::Wide,
        ),
    })
}

/// How many of the addresses that can be given out somebody has, in percent.
fn share(pool: &Value) -> String {
    let [used, free, resting] = ["used", "free", "resting"].map(|state| count(pool, &[state]));
    let all = used + free + resting;
    (used * 100)
        .checked_div(all)
        .map_or_else(String::new, |percent| format!("{percent} %"))
}

/// `lnsd tunnels`
pub(crate) fn tunnels(arguments: &TunnelsArguments) -> Result<(), Failure> {
    let columns = [
        number("TUNNEL", |tunnel| at(tunnel, &["id"])),
        text("LAC", |tunnel| at(tunnel, &["lac"])),
        text("REMOTE", |tunnel| at(tunnel, &["remote"])),
        text("HOST NAME", |tunnel| at(tunnel, &["hostName"])),
        text("STATE", |tunnel| at(tunnel, &["state"])),
        number("SESSIONS", |tunnel| thousands(count(tunnel, &["sessions"]))),
        number("FOR", |tunnel| age(count(tunnel, &["seconds"]))),
        number("PEER ID", |tunnel| at(tunnel, &["peerId"])).wide(),
        text("LOCAL", |tunnel| at(tunnel, &["local"])).wide(),
        text("VENDOR", |tunnel| at(tunnel, &["vendor"])).wide(),
    ];
    let output = arguments.read.output;
    let query = [("lac", arguments.lac.clone())];
    let client = Client::new(&arguments.read.state)?;
    let found = pages(&client, "tunnels", &query, arguments.limit.rows(output))?;
    if found.rows.is_empty()
        && let Some(none) = filter::nothing(&client, "tunnel", &query)?
        && output != Output::Json
    {
        eprintln!("{none}");
        return Ok(());
    }
    print(&match output {
        Output::Json => pretty(&json!({ "tunnels": found.rows })),
        Output::Table | Output::Wide => render(&columns, &found.rows, output == Output::Wide),
    })?;
    found.say_if_cut(output);
    Ok(())
}

/// `lnsd sessions`
pub(crate) fn sessions(arguments: &SessionsArguments) -> Result<(), Failure> {
    let columns = [
        text("SESSION", |session| at(session, &["id"])),
        text("USER", |session| at(session, &["user"])),
        text("ADDRESS", |session| at(session, &["address"])),
        text("LAC", |session| at(session, &["lac"])),
        text("STAGE", |session| at(session, &["stage"])),
        number("FOR", |session| age(count(session, &["seconds"]))),
        number("UP", |session| octets(count(session, &["up", "octets"]))),
        number("DOWN", |session| {
            octets(count(session, &["down", "octets"]))
        }),
        text("CALLING", |session| at(session, &["callingNumber"])).wide(),
        text("CALLED", |session| at(session, &["calledNumber"])).wide(),
        text("POOL", |session| at(session, &["pool"])).wide(),
        text("ACCT SESSION ID", |session| at(session, &["acctSessionId"])).wide(),
        text("AUTHENTICATION", |session| at(session, &["authentication"])).wide(),
        number("MTU", |session| at(session, &["mtu"])).wide(),
        number("PEER ID", |session| at(session, &["peerSession"])).wide(),
    ];
    let output = arguments.read.output;
    let query = [
        ("user", arguments.user.clone()),
        ("lac", arguments.lac.clone()),
        (
            "address",
            arguments.address.map(|address| address.to_string()),
        ),
        ("callingNumber", arguments.calling_number.clone()),
        ("tunnel", arguments.tunnel.map(|tunnel| tunnel.to_string())),
        ("pool", arguments.pool.clone()),
    ];
    let client = Client::new(&arguments.read.state)?;
    let found = pages(&client, "sessions", &query, arguments.limit.rows(output))?;
    if found.rows.is_empty()
        && let Some(none) = filter::nothing(&client, "session", &query)?
        && output != Output::Json
    {
        eprintln!("{none}");
        return Ok(());
    }
    print(&match output {
        Output::Json => pretty(&json!({ "sessions": found.rows })),
        Output::Table | Output::Wide => render(&columns, &found.rows, output == Output::Wide),
    })?;
    found.say_if_cut(output);
    Ok(())
}

/// `lnsd session show`
pub(crate) fn session(arguments: &ShowArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.read.state)?;
    let path = format!("/v1/sessions/{}", arguments.id);
    let mut session = client.read(&path, &[])?;
    if arguments.messages
        && let Value::Object(more) = client.read(&format!("{path}/messages"), &[])?
        && let Value::Object(session) = &mut session
    {
        session.extend(more);
    }
    print(&match arguments.read.output {
        Output::Json => pretty(&session),
        Output::Table => facts(&session_facts(&session)) + &messages(&session),
        Output::Wide => {
            let all = [session_facts(&session), more_of_session(&session)].concat();
            facts(&all) + &messages(&session)
        }
    })
}

/// What `-o wide` shows besides.
fn more_of_session(session: &Value) -> Vec<(&'static str, String)> {
    let family = |direction, packets, sum| {
        let counters = &session[direction];
        let [packets, sum] = [packets, sum].map(|key| thousands(count(counters, &[key])));
        format!("{packets} packets, {sum} octets")
    };
    vec![
        ("Tunnel", at(session, &["tunnel"])),
        (
            "IPv4 from subscriber",
            family("up", "ipv4Packets", "ipv4Octets"),
        ),
        (
            "IPv4 to subscriber",
            family("down", "ipv4Packets", "ipv4Octets"),
        ),
        (
            "IPv6 from subscriber",
            family("up", "ipv6Packets", "ipv6Octets"),
        ),
        (
            "IPv6 to subscriber",
            family("down", "ipv6Packets", "ipv6Octets"),
        ),
    ]
}

/// The policies of a session, and how it has come to them.
fn policies(session: &Value) -> String {
    let names = at(session, &["policies"]);
    match session["boundBy"].as_str() {
        Some("FilterId") => format!("{names} (by Filter-Id)"),
        Some("Default") => format!("{names} (by default)"),
        Some(_) | None => "none: everything passes".to_owned(),
    }
}

/// How fast a subscriber may be, in words; nothing where no policy says so.
fn rates(rates: &Value) -> String {
    let rate = |key: &str| match count(rates, &[key]) {
        0 => "as fast as it goes".to_owned(),
        rate => bits(rate),
    };
    if rates.is_null() {
        return String::new();
    }
    format!(
        "{} up, {} down, bursts of {} ms",
        rate("upBitsPerSecond"),
        rate("downBitsPerSecond"),
        thousands(count(rates, &["burstMilliseconds"]))
    )
}

fn session_facts(session: &Value) -> Vec<(&'static str, String)> {
    let speed = |path| match count(session, &[path]) {
        0 => String::new(),
        bits => format!("{} bit/s", thousands(bits)),
    };
    let traffic = |direction| {
        let counters = &session[direction];
        format!(
            "{} packets, {}, {} dropped",
            thousands(count(counters, &["packets"])),
            octets(count(counters, &["octets"])),
            thousands(count(counters, &["dropped"]))
        )
    };
    let granted = &session["granted"];
    let list = |key: &str| {
        let all = granted[key].as_array().into_iter().flatten();
        let texts: Vec<_> = all.filter_map(Value::as_str).collect();
        texts.join(", ")
    };
    let remaining = session.get("remainingSeconds").and_then(Value::as_u64);
    vec![
        ("Session", at(session, &["id"])),
        ("User", at(session, &["user"])),
        ("Stage", at(session, &["stage"])),
        ("For", age(count(session, &["seconds"]))),
        ("Ends in", remaining.map(age).unwrap_or_default()),
        ("Address", at(session, &["address"])),
        ("Pool", at(session, &["pool"])),
        ("LAC", at(session, &["lac"])),
        ("LAC's session id", at(session, &["peerSession"])),
        ("Calling number", at(session, &["callingNumber"])),
        ("Called number", at(session, &["calledNumber"])),
        ("Call serial", at(session, &["callSerial"])),
        ("Acct-Session-Id", at(session, &["acctSessionId"])),
        ("Authentication", at(session, &["authentication"])),
        ("RADIUS server", at(granted, &["server"])),
        ("Name for accounting", at(granted, &["userName"])),
        ("Routes", list("routes")),
        ("Name servers", list("dns")),
        ("LCP from the LAC", at(session, &["proxiedLcp"])),
        (
            "Login from the LAC",
            at(session, &["proxiedAuthentication"]),
        ),
        ("MTU", at(session, &["mtu"])),
        ("Policies", policies(session)),
        ("Unknown Filter-Id", at(session, &["unknownFilterId"])),
        ("Rates", rates(&session["rates"])),
        ("Flows", thousands(count(session, &["flows"]))),
        ("Speed to subscriber", speed("txSpeed")),
        ("Speed from subscriber", speed("rxSpeed")),
        ("From subscriber", traffic("up")),
        ("To subscriber", traffic("down")),
    ]
}

/// `lnsd openapi`
pub(crate) fn openapi() -> Result<(), Failure> {
    print(document::text())
}

/// Rows of several pages.
pub(super) struct Found {
    /// Those that were wanted.
    pub(super) rows: Vec<Value>,
    /// There are more.
    pub(super) more: bool,
}

impl Found {
    /// People should know that they do not see all; what they see ends up on stdout alone.
    pub(super) fn say_if_cut(&self, output: Output) {
        if self.more && output != Output::Json {
            eprintln!("... the first {}; --limit 0 shows all", self.rows.len());
        }
    }
}

/// Asks page after page until `limit` rows are there.
pub(super) fn pages(
    client: &Client,
    what: &str,
    query: &[(&str, Option<String>)],
    limit: usize,
) -> Result<Found, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let mut query = query.to_vec();
        query.push(("limit", Some((limit - found.len()).min(PAGE).to_string())));
        query.push(("after", after));
        let mut answer = client.read(&format!("/v1/{what}"), &query)?;
        if let Some(Value::Array(rows)) = answer.get_mut(what).map(Value::take) {
            found.extend(rows);
        }
        after = answer
            .get("next")
            .and_then(Value::as_u64)
            .map(|next| next.to_string());
        if after.is_none() || found.len() >= limit {
            return Ok(Found {
                rows: found,
                more: after.is_some(),
            });
        }
    }
}

/// The list under a key of an answer.
pub(super) fn rows<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// An answer as programs read it.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Writes to stdout. A reader that closes the pipe has seen enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    show(text).map(|_| ())
}

/// The same, where more would follow: whether anybody reads it still.
pub(super) fn show(text: &str) -> Result<ControlFlow<()>, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::failed("cannot write", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_not_stored_cannot_be_overlooked_and_others_are_not_shown() {
        let shown = |records| facts(&status_facts(&json!({ "records": records })));
        let well = json!({
            "degraded": false, "failing": false, "unstored": 0, "foreign": 0, "form": 2, "newestForm": 2,
        });
        assert!(!shown(well).contains("Records"));
        let upgraded = shown(json!({ "form": 1, "newestForm": 2 }));
        assert!(
            upgraded.contains(
                "in form 1, as the release before reads it, until `lnsd finalize-upgrade`"
            ),
            "{upgraded}"
        );
        let ill = json!({ "degraded": true, "failing": true, "unstored": 1_200, "foreign": 3, "unreadable": 2, "unreplicated": 4 });
        let text = shown(ill);
        assert!(
            text.contains("NOT STORED: the disk fails, or the store is away, 1,200 changes"),
            "{text}"
        );
        assert!(
            text.contains("3 of another version, 2 could not be read, replicas were late 4 times"),
            "{text}"
        );
    }

    #[test]
    fn a_refused_manifest_is_seen_in_the_status() {
        let status = json!({
            "phase": "Serving", "hostName": "lns", "tunnels": 4, "sessions": 1000, "maxSessions": 1_000_000,
            "sessionsOpening": 2, "overdue": 0, "manifest": { "path": "cluster.yaml", "error": "spec.lacs is empty" },
        });
        let shown = facts(&status_facts(&status));
        assert!(
            shown.contains("  REFUSED         spec.lacs is empty\n"),
            "{shown}"
        );
        assert!(
            shown.contains("Sessions          1,000 of 1,000,000, 2 opening\n"),
            "{shown}"
        );
        assert!(!shown.contains("OVERDUE"), "{shown}");
        assert!(!shown.contains("NOT SEEN"), "{shown}");
        let away = json!({ "manifest": { "trouble": "the API server does not answer" } });
        let shown = facts(&status_facts(&away));
        assert!(
            shown.contains("  NOT SEEN        the API server does not answer\n"),
            "{shown}"
        );
    }

    #[test]
    fn servers_that_are_down_are_named_in_the_status_and_all_of_them_cannot_be_overlooked() {
        let radius = json!([
            { "purpose": "authentication", "servers": 3, "failed": ["r1", "r2"], "allDown": false },
            { "purpose": "accounting", "servers": 1, "failed": ["r1"], "allDown": true },
            { "purpose": "copy", "servers": 1, "failed": [], "allDown": false },
        ]);
        let shown = facts(&status_facts(&json!({ "radius": radius })));
        let line = "authentication 2 of 3 down (r1 r2), accounting ALL DOWN, copy ok\n";
        assert!(shown.contains(line), "{shown}");
        assert!(!facts(&status_facts(&json!({ "radius": [] }))).contains("RADIUS"));
    }

    #[test]
    fn each_warning_in_force_has_a_row_in_the_status() {
        let warnings = ["spec.pools[0]: small", "spec.lacs[1]: no secret"];
        let status =
            json!({ "manifest": { "path": "cluster.yaml", "error": null, "warnings": warnings } });
        let shown = facts(&status_facts(&status));
        let rows: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("  Warning"))
            .map(str::trim_start)
            .collect();
        assert_eq!(rows, warnings, "{shown}");
        let shown = facts(&status_facts(&json!({ "manifest": { "warnings": [] } })));
        assert!(!shown.contains("Warning"), "{shown}");
    }

    #[test]
    fn a_lac_shows_for_which_reasons_it_was_refused() {
        let lac = json!({ "refusalsByReason": { "draining": 3, "max_sessions": 12 } });
        assert_eq!(reasons(&lac), "draining 3, max_sessions 12");
        assert_eq!(reasons(&json!({ "refusalsByReason": {} })), "");
    }

    #[test]
    fn a_share_of_a_pool_is_of_what_can_be_given_out() {
        let pool = json!({ "used": 30, "free": 60, "resting": 10, "excluded": 900 });
        assert_eq!(share(&pool), "30 %");
        assert_eq!(share(&json!({ "excluded": 5 })), "");
    }

    #[test]
    fn a_session_shows_its_policies_its_rates_and_its_flows() {
        let rates = json!({ "upBitsPerSecond": 50_000_000, "downBitsPerSecond": 0, "burstMilliseconds": 200 });
        let session = json!({ "policies": ["gold", "no-smtp"], "boundBy": "FilterId", "rates": rates, "flows": 1234 });
        let shown = facts(&session_facts(&session));
        for line in [
            "Policies               gold no-smtp (by Filter-Id)\n",
            "Rates                  50 Mbit/s up, as fast as it goes down, bursts of 200 ms\n",
            "Flows                  1,234\n",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        let without = facts(&session_facts(
            &json!({ "policies": [], "boundBy": "None", "rates": null }),
        ));
        assert!(without.contains("none: everything passes"), "{without}");
        assert!(!without.contains("Rates"), "{without}");
    }

    #[test]
    fn the_status_shows_how_many_flows_there_are_and_of_what_class() {
        let status = json!({ "flows": { "inUse": 1234, "capacity": 2_000_000, "perSession": 400, "byClass": { "closing": 0, "udp": 1234 } } });
        let shown = facts(&status_facts(&status));
        assert!(
            shown.contains("Flows             1,234 of 2,000,000\n"),
            "{shown}"
        );
        let more = facts(&more_of_status(&status));
        assert!(
            more.contains("closing 0, udp 1,234") && more.contains("400 at most"),
            "{more}"
        );
    }

    #[test]
    fn a_session_shows_only_what_is_known() {
        let session = json!({ "id": "1.2", "user": null, "stage": "LCP", "seconds": 3, "proxiedLcp": false, "up": {}, "down": {} });
        let shown = facts(&session_facts(&session));
        assert!(
            shown.starts_with("Session                1.2\nStage                  LCP\n"),
            "{shown}"
        );
        assert!(!shown.contains("User"), "{shown}");
    }
}
