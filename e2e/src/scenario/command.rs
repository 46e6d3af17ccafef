//! What people type and programs read: manifests with errors, the commands, the admin address.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options};
use crate::lnsd;
use crate::manifest::Manifest;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "manifest-errors",
        says: "each error names document, path and value; exit 2 from check and run",
        run: manifest_errors,
    },
    Scenario {
        name: "manifest-demo",
        says: "the manifest of the demo is valid",
        run: demo_manifest,
    },
    Scenario {
        name: "command-tables",
        says: "status, lacs, tunnels, sessions, pools as tables and as JSON agree",
        run: tables,
    },
    Scenario {
        name: "command-not-running",
        says: "a command without a running lnsd: one line, exit 1",
        run: not_running,
    },
    Scenario {
        name: "admin-http",
        says: "healthz, readyz, metrics and reads of v1; changes are not for HTTP",
        run: admin_http,
    },
];

fn manifest_errors() -> Result<String> {
    let good = Manifest::default().yaml();
    let cases = [
        (
            "100.64.0.0/16",
            "100.64.0.0/33",
            "spec.pools[0].prefixes[0].cidr: \"100.64.0.0/33\"",
        ),
        (
            "admission: Accept",
            "admission: Perhaps",
            "spec.lacs[0].admission: \"Perhaps\"",
        ),
        ("port: 1701", "port: 0", "spec.service.port: 0"),
        (
            "addresses: [192.0.2.1]",
            "addresses: [nowhere]",
            "spec.service.addresses[0]: \"nowhere\"",
        ),
        (
            "pathMtu: 1500",
            "pathMtu: 1500\n    colour: red",
            "spec.lacs[0].colour",
        ),
        (
            "    port: 1701\n",
            "    port: 1701\n    port: 1702\n",
            "port",
        ),
        (
            "stringData: { current:",
            "stringData: { former:",
            "spec.lacs[0].tunnelAuthentication.secretRef",
        ),
        ("kind: LnsCluster", "kind: LnsClutter", "LnsClutter"),
    ];
    let topology = topology()?;
    let (code, text) = lnsd::check(&good)?;
    expect(code == 0, format!("the good manifest: exit {code}: {text}"))?;
    for (right, wrong, words) in cases {
        let broken = good.replacen(right, wrong, 1);
        expect(broken != good, format!("`{right}` is not in the manifest"))?;
        let (code, text) = lnsd::check(&broken)?;
        expect(
            code == 2,
            format!("{wrong}: check ends with {code}: {text}"),
        )?;
        expect(
            text.contains(words),
            format!("{wrong}: no `{words}` in: {text}"),
        )?;
        expect(
            !text.contains(crate::manifest::PASSWORD)
                && !text.contains(crate::manifest::TUNNEL_SECRET),
            "a secret was printed",
        )?;
        let (code, log) = lnsd::run_to_end(&topology.lns, &broken)?;
        expect(code == 2, format!("{wrong}: run ends with {code}: {log}"))?;
    }
    Ok(format!("{} cases", cases.len()))
}

fn demo_manifest() -> Result<String> {
    let (code, text) = lnsd::check(&crate::demo::manifest()?)?;
    expect(code == 0, text)?;
    Ok(String::new())
}

fn tables() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let options = Options {
        tunnels: 2,
        sessions: 20,
        ..options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    for (command, key, rows) in [
        ("lacs", "lacs", 1),
        ("tunnels", "tunnels", 2),
        ("sessions", "sessions", 20),
        ("pools", "pools", 1),
        ("flows", "flows", 0),
        ("policies", "policies", 0),
    ] {
        let json = lnsd.rows(key, &[command])?;
        expect(
            json.len() == rows,
            format!("{command}: {} rows", json.len()),
        )?;
        for format in ["table", "wide"] {
            let table = lnsd.table(&[command, "-o", format])?;
            expect(
                table.lines().count() > rows,
                format!("{command} -o {format} prints\n{table}"),
            )?;
            expect(!table.contains('\u{1b}'), "colours in a pipe")?;
        }
    }
    wide_is_wider(&lnsd)?;
    let limited = lnsd.rows("sessions", &["sessions", "--limit", "3"])?;
    expect(
        limited.len() == 3,
        format!("--limit 3 gives {}", limited.len()),
    )?;
    let none = lnsd.rows("sessions", &["sessions", "--user", "nobody"])?;
    expect(none.is_empty(), "--user nobody gives sessions")?;
    expect(
        lnsd.status("sessions")? == 20,
        "status shows another number",
    )?;
    expect(lnsd.table(&["status"])?.contains("20"), "status as a table")?;
    let text = lnsd.table(&["sessions", "-o", "json"])? + &lnsd.log();
    expect(
        !text.contains(crate::manifest::PASSWORD) && !text.contains(crate::manifest::TUNNEL_SECRET),
        "a secret was printed",
    )?;
    lac.close()?;
    lnsd.wait(
        Duration::from_secs(20),
        "every address has rested",
        |lnsd| {
            let pools = lnsd.rows("pools", &["pools"])?;
            Ok(pools
                .iter()
                .all(|pool| pool["used"] == 0 && pool["resting"] == 0))
        },
    )?;
    Ok(String::new())
}

/// `-o wide` has more columns, or more rows where there is one thing only.
fn wide_is_wider(lnsd: &lnsd::Lnsd<'_>) -> Result<()> {
    let sessions = lnsd.rows("sessions", &["sessions", "--limit", "1"])?;
    let id = sessions
        .first()
        .and_then(|session| session.get("id")?.as_str());
    let id = id.context("no session")?;
    let show = ["session", "show", id];
    for command in [
        &["lacs"][..],
        &["pools"],
        &["tunnels"],
        &["sessions"],
        &["flows"],
        &["policies"],
        &["status"],
        &show,
    ] {
        let table = lnsd.table(command)?;
        let wide = lnsd.table(&[command, &["-o", "wide"]].concat())?;
        let heading = |text: &str| text.lines().next().map_or(0, str::len);
        let wider = heading(&wide) > heading(&table);
        let longer = wide.lines().count() > table.lines().count();
        expect(
            wider || longer,
            format!("{} -o wide shows no more:\n{wide}", command.join(" ")),
        )?;
    }
    Ok(())
}

fn not_running() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let output = std::process::Command::new(lnsd::program()?)
        .args(["status", "--state"])
        .arg(folder.path())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    expect(
        output.status.code() == Some(1),
        format!("{}: {text}", output.status),
    )?;
    expect(text.lines().count() == 1, format!("not one line: {text}"))?;
    Ok(text.trim().to_owned())
}

fn admin_http() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/lacs",
        "/v1/tunnels",
        "/v1/sessions",
        "/v1/pools",
        "/v1/flows",
        "/v1/policies",
        "/v1/openapi.json",
    ] {
        let (status, text) = lnsd.get(path)?;
        expect(status == 200, format!("{path}: {status} {text}"))?;
    }
    expect(lnsd.get("/v1/nothing")?.0 == 404, "/v1/nothing is not 404")?;
    for change in ["/v1/disconnect", "/v1/flows/flush"] {
        let (status, _) = lnsd.get(change)?;
        expect(
            status == 404 || status == 405,
            format!("GET {change}: {status}"),
        )?;
    }
    let document: Value = serde_json::from_str(&lnsd.get("/v1/openapi.json")?.1)?;
    let paths = document
        .get("paths")
        .and_then(Value::as_object)
        .context("no paths in the OpenAPI document")?;
    expect(paths.contains_key("/v1/sessions"), "no /v1/sessions in it")?;
    for name in [
        "lns_sessions",
        "lns_tunnels",
        "lns_packets_total",
        "lns_drops_total",
        "lns_pool_addresses",
        "lns_flows",
        "lns_flow_events_total",
        "lns_capacity_ratio{resource=\"flows\"}",
    ] {
        let text = lnsd.get("/metrics")?.1;
        expect(
            text.contains(&format!("\n{name}")),
            format!("no metric {name}"),
        )?;
    }
    expect(lnsd.metric("lns_sessions", &[])? >= 1, "lns_sessions is 0")?;
    lac.close()?;
    Ok(String::new())
}
