//! What a changed manifest would do, and what it does: asked before, and looked at after.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::datapath::ping;
use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD, TUNNEL_SECRET};
use crate::net::Topology;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "check-against-running",
        says: "what a manifest would change, and how many sessions end; then it is so",
        run: check,
    },
    Scenario {
        name: "reload-core",
        says: "isolation and the core's interface change at once, sessions stay",
        run: core,
    },
    Scenario {
        name: "reload-local-address",
        says: "a former local address answers who has it, nobody gets it; one in use is refused",
        run: local_address,
    },
];

/// Longer than it takes until somebody looks for what no session uses any more.
const LEFTOVERS: Duration = Duration::from_secs(30);

/// Enough for whatever happens within one reload.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit code, table and error of `lnsd check --against running` for this manifest.
fn ask(lnsd: &Lnsd<'_>, text: &str, more: &[&str]) -> Result<(i32, String, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cluster.yaml");
    std::fs::write(&path, text)?;
    let path = path.to_str().context("a path")?;
    let arguments = [&["check", "--against", "running", "--manifest", path], more].concat();
    let output = lnsd.command(&arguments)?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ok((code, text(&output.stdout), text(&output.stderr)))
}

fn check() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        tunnels: 2,
        sessions: 20,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let now = Manifest::default().yaml();
    let same = ask(&lnsd, &now, &[])?;
    expect(
        same == (0, "Nothing would change.\n".to_owned(), String::new()),
        format!("the same manifest: {same:?}"),
    )?;

    let new = now
        .replace("pathMtu: 1500", "pathMtu: 1400")
        .replace("helloSeconds: 60", "helloSeconds: 30")
        .replace(PASSWORD, "another-long-password");
    let (code, table, error) = ask(&lnsd, &new, &[])?;
    expect(code == 0, format!("exit {code}: {error}"))?;
    for line in [
        "spec.lacs[wholesale-a].helloSeconds  60      30                  new tunnels   2 tunnels",
        "spec.lacs[wholesale-a].pathMtu       1500    1400                new sessions  20 sessions",
        "Secret/users: users.yaml             -       1 password changed  new sessions  20 sessions",
        "A reload takes this over: 0 of 20 sessions end.",
    ] {
        expect(
            table.lines().any(|found| found == line),
            format!("no `{line}` in\n{table}"),
        )?;
    }
    let port = now.replace("port: 1701", "port: 1702");
    let (code, table, error) = ask(&lnsd, &port, &[])?;
    let restart = "This needs a restart: all 20 sessions end (spec.service.port).\n";
    expect(
        code == 1 && table.ends_with(restart) && error.contains("a reload refuses this"),
        format!("another port: exit {code}\n{table}"),
    )?;
    let taken = now.replace("100.64.0.0/16", "203.0.113.0/24");
    let (code, _, refusal) = ask(&lnsd, &taken, &[])?;
    expect(
        code == 1 && refusal.contains("belongs to the address 203.0.113.1 of core0"),
        format!("a pool over the core's network: exit {code}: {refusal}"),
    )?;
    let (_, json, _) = ask(&lnsd, &new, &["-o", "json"])?;
    let answer: Value = serde_json::from_str(&json)?;
    lnsd.hold_to_document(("POST", "/v1/check"), 200, &answer)?;
    let said = json + &table + &lnsd.log();
    expect(
        ![PASSWORD, TUNNEL_SECRET, "another-long-password"]
            .iter()
            .any(|secret| said.contains(secret)),
        "a secret was printed",
    )?;
    let status = lnsd.json(&["status"])?;
    let manifest = status.get("manifest").context("no manifest in status")?;
    expect(
        manifest.get("reloads") == Some(&Value::from(0)) && !lnsd.log().contains("in force"),
        "asking changed something",
    )?;
    one_at_a_time(&lnsd, &new)?;
    takes_over(&lnsd, &new, &lac)?;
    lac.close()?;
    Ok(String::new())
}

/// While somebody sends a manifest and does not come to its end, another one is turned away in words,
/// and reads go on.
fn one_at_a_time(lnsd: &Lnsd<'_>, new: &str) -> Result<()> {
    let socket = lnsd.manifest_path().with_file_name("state");
    let mut slow = UnixStream::connect(socket.join("admin.sock"))?;
    slow.write_all(
        b"POST /v1/check HTTP/1.1\r\nhost: lnsd\r\ncontent-type: application/json\r\n\
          content-length: 1000000\r\n\r\n{",
    )?;
    lnsd.wait(PATIENCE, "the slow manifest holds its place", |lnsd| {
        let (code, _, error) = ask(lnsd, new, &[])?;
        let is_told = error == "lnsd: another manifest is being compared: try again\n";
        Ok(code == 1 && is_told)
    })?;
    expect(lnsd.status("sessions")? == 20, "status waits for it")?;
    drop(slow);
    lnsd.wait(PATIENCE, "its place is free again", |lnsd| {
        Ok(ask(lnsd, new, &[])?.0 == 0)
    })
}

/// The reload does what was said, and logs it.
fn takes_over(lnsd: &Lnsd<'_>, new: &str, lac: &Lac) -> Result<()> {
    reload(lnsd, new)?;
    let log = lnsd.log();
    let line = log.lines().find(|line| line.contains("in force"));
    let line = line.context("no line of the reload")?;
    for part in [
        "cause=\"file\"",
        "changes=3",
        "spec.lacs[wholesale-a].helloSeconds, spec.lacs[wholesale-a].pathMtu, Secret/users: users.yaml",
    ] {
        expect(line.contains(part), format!("no `{part}` in `{line}`"))?;
    }
    expect(lac.count_up() == 20, "a session ended")
}

/// Has the process take this text over.
fn reload(lnsd: &Lnsd<'_>, text: &str) -> Result<()> {
    let lines = |lnsd: &Lnsd<'_>| lnsd.log().matches("in force").count();
    let before = lines(lnsd);
    // Moved over from beside, so that the process sees no half of it.
    let beside = lnsd.manifest_path().with_extension("beside");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, lnsd.manifest_path())?;
    lnsd.wait(PATIENCE, "the changed manifest is in force", |lnsd| {
        Ok(lines(lnsd) > before)
    })
}

/// The rules that keep subscribers away from the node; nothing where there are none.
fn rules(topology: &Topology) -> Result<String> {
    let mut list = Command::new("nft");
    let output = topology
        .lns
        .output(list.args(["list", "table", "inet", "kubelns"]))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn core() -> Result<String> {
    let topology = topology()?;
    topology.lns.ip(&[
        "link add core1 type veth peer name core1-peer",
        "link set core1 up",
    ])?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    let first = rules(&topology)?;
    expect(
        first.contains("\"core0\"") && !first.contains("\"core1\""),
        format!("rules at the start:\n{first}"),
    )?;
    let other = Manifest::default()
        .yaml()
        .replace("interface: core0", "interface: core1");
    reload(&lnsd, &other)?;
    let second = rules(&topology)?;
    expect(
        second.contains("\"core1\"") && !second.contains("\"core0\""),
        format!("rules with another interface:\n{second}"),
    )?;
    let forwarding = topology
        .lns
        .read("/proc/sys/net/ipv4/conf/core1/forwarding")?;
    expect(forwarding.trim() == "1", "core1 does not forward")?;
    let open = other.replace("isolation: Nodeless", "isolation: Open");
    reload(&lnsd, &open)?;
    let third = rules(&topology)?;
    expect(third.is_empty(), format!("rules with Open:\n{third}"))?;
    reload(&lnsd, &Manifest::default().yaml())?;
    expect(rules(&topology)? == first, "the rules are not as at first")?;
    expect(lac.count_up() == 1, "the session ended")?;
    lac.close()?;
    Ok(String::new())
}

/// Two subscribers of a pool of eight addresses, whose local address changes under one of them.
fn local_address() -> Result<String> {
    let topology = topology()?;
    let manifest = Manifest {
        pools: vec![("default", "100.64.0.1", "100.64.0.0/29")],
        subscribers: "duplicates: { key: [UserName], action: Allow }".into(),
        ..Manifest::default()
    };
    let lnsd = start(&topology, &manifest)?;
    let with_hosts = |tun: &str, sessions| Options {
        sessions,
        tun: Some(tun.to_owned()),
        routes: vec!["100.64.0.1/32".to_owned()],
        ..options()
    };
    let first = Lac::up(&topology.lac, with_hosts("sub0", 1))?;
    let source = first.address(0)?;
    let former = Ipv4Addr::new(100, 64, 0, 1);
    answers(&topology, source, former, "before the reload")?;

    let now = manifest.yaml();
    taken(&lnsd, &now, source)?;

    let new = now.replace("localAddress: 100.64.0.1", "localAddress: 100.64.0.7");
    reload(&lnsd, &new)?;
    answers(&topology, source, former, "after the reload")?;
    // The first look is right after the reload; the next ones are seen by what they leave alone.
    expect(
        gateways(&topology)? == ["100.64.0.1", "100.64.0.7"],
        "the addresses of lns0",
    )?;
    // Eight addresses, two ends of ours, one is held: five are left.
    let many = Options {
        sessions: 6,
        ..options()
    };
    let others = Lac::start(&topology.lac, many);
    others.settle(PATIENCE)?;
    let given = others.addresses();
    expect(
        given.len() == 5 && !given.contains(&former),
        format!("given out beside {source}: {given:?}"),
    )?;
    answers(&topology, source, former, "with a full pool")?;
    expect(first.count_up() == 1, "the session ended")?;
    others.close()?;
    first.close()?;

    lnsd.wait(LEFTOVERS, "the former local address is gone", |lnsd| {
        let is_told = lnsd.log().lines().any(|line| {
            line.contains("no session uses what an earlier manifest had")
                && line.contains("local_addresses=\"100.64.0.1\"")
        });
        Ok(is_told && gateways(&topology)? == ["100.64.0.7"])
    })?;
    // It rests for a second; then it is an ordinary address of the pool.
    lnsd.wait(PATIENCE, "every address is free", |lnsd| {
        let pools = lnsd.json(&["pools"])?;
        Ok(pools.pointer("/pools/0/free") == Some(&Value::from(7)))
    })?;
    let all = Options {
        sessions: 7,
        ..options()
    };
    let last = Lac::up(&topology.lac, all)?;
    expect(last.addresses().contains(&former), "it is not given out")?;
    last.close()?;
    Ok(String::new())
}

/// A local address that a session has is refused, beforehand and by the reload, and nothing changes.
fn taken(lnsd: &Lnsd<'_>, now: &str, holder: Ipv4Addr) -> Result<()> {
    let wrong = now.replace(
        "localAddress: 100.64.0.1",
        &format!("localAddress: {holder}"),
    );
    let why = format!("spec.pools[default].localAddress: {holder} is a subscriber's address now");
    let (code, _, said) = ask(lnsd, &wrong, &[])?;
    expect(
        code == 1 && said.contains(&why) && said.contains("lnsd disconnect --session"),
        format!("asked beforehand: exit {code}: {said}"),
    )?;
    let beside = lnsd.manifest_path().with_extension("beside");
    std::fs::write(&beside, &wrong)?;
    std::fs::rename(&beside, lnsd.manifest_path())?;
    lnsd.wait(PATIENCE, "the reload is refused", |lnsd| {
        let status = lnsd.json(&["status"])?;
        let error = status.pointer("/manifest/error").and_then(Value::as_str);
        Ok(error.is_some_and(|error| error.contains(&why)))
    })?;
    let pools = lnsd.json(&["pools"])?;
    expect(
        pools.pointer("/pools/0/localAddress") == Some(&Value::from("100.64.0.1")),
        format!("the refused manifest is in force: {pools}"),
    )
}

/// What the subscribers' interface has as its own.
fn gateways(topology: &Topology) -> Result<Vec<String>> {
    let mut list = Command::new("ip");
    let output = topology
        .lns
        .output(list.args(["-4", "-o", "address", "show", "dev", "lns0"]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace();
    let addresses = words.filter_map(|word| word.strip_suffix("/32"));
    let mut found: Vec<_> = addresses.map(ToOwned::to_owned).collect();
    found.sort();
    Ok(found)
}

fn answers(topology: &Topology, source: Ipv4Addr, to: Ipv4Addr, when: &str) -> Result<()> {
    let (arrived, text) = ping(&topology.lac, source, to, &[])?;
    expect(arrived, format!("{to} does not answer {when}: {text}"))
}
