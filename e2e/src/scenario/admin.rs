//! The admin interface: the support bundle, who changed what, bad input, and more questions than it
//! can bear.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;
use nix::sys::signal::Signal;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options};
use crate::lnsd::{self, Lnsd};
use crate::manifest::Manifest;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "report-bundle",
        says: "lnsd report collects tables, log, manifest and machine, and overwrites nothing",
        run: bundle,
    },
    Scenario {
        name: "admin-audit",
        says: "each change is logged with who and what: disconnect, reload, end",
        run: audit,
    },
    Scenario {
        name: "admin-bad-input",
        says: "what matches nothing or does not exist, and who may not ask: one line, the right exit code",
        run: bad_input,
    },
];

/// The files of a bundle by their names, without the folder that all are in.
fn unpacked(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let name = name.split_once('/').context("a file without folder")?.1;
        let (name, mut text) = (name.to_owned(), Vec::new());
        entry.read_to_end(&mut text)?;
        files.insert(name, String::from_utf8_lossy(&text).into_owned());
    }
    Ok(files)
}

/// Runs `lnsd report` and unpacks what it wrote.
pub(super) fn report(lnsd: &Lnsd<'_>) -> Result<(BTreeMap<String, String>, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report.tar.gz");
    let output = lnsd.command(&["report", "-w", &path.display().to_string()])?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    expect(output.status.success(), &said)?;
    Ok((unpacked(&path)?, said))
}

fn bundle() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        sessions: 20,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let (files, said) = report(&lnsd)?;
    let here = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let process = format!("Pid:\t{}\n", lnsd.id());
    for (file, words) in [
        ("report.txt", "lnsd 0."),
        ("status.json", "\"sessions\": 20"),
        ("lacs.json", "wholesale-a"),
        ("pools.json", "100.64.0.0/16"),
        ("flows.json", "\"truncated\": false"),
        ("policies.json", "\"policies\": []"),
        ("tunnels.json", "\"truncated\": false"),
        ("sessions.json", "user@isp"),
        ("metrics.txt", "\nlns_sessions{state=\"up\"} 20\n"),
        ("manifest.yaml", "current: (20 octets, left out)"),
        ("openapi.json", "/v1/manifest"),
        ("log.txt", "session up"),
        ("process/cmdline", "--manifest"),
        ("process/status", process.as_str()),
        ("process/limits", "Max open files"),
        ("machine/kernel", here.trim()),
        ("machine/sysctls", "ipv4/conf/lns0/forwarding = 1"),
        ("machine/rules", "table inet kubelns"),
        ("machine/interfaces", "lns0"),
        ("machine/routes", "100.64.0.0/16 dev lns0 proto 171"),
    ] {
        let text = files
            .get(file)
            .with_context(|| format!("no {file} in {:?}", files.keys()))?;
        expect(
            text.contains(words),
            format!("no {words:?} in {file}:\n{text}"),
        )?;
    }
    expect(
        !files.contains_key("problems.txt"),
        format!("problems: {:?}", files.get("problems.txt")),
    )?;
    expect(said.contains("no password and no secret"), said)?;
    let logged = lnsd.log();
    let text = files.get("log.txt").map(String::as_str).unwrap_or_default();
    expect(
        logged.starts_with(text),
        "the bundle has other lines than stderr",
    )?;
    for confidential in ["/v1/manifest", "/v1/logs"] {
        let (status, text) = lnsd.get(confidential)?;
        expect(
            status == 404,
            format!("{confidential} over TCP: {status} {text}"),
        )?;
    }
    lac.close()?;
    Ok(format!("{} files", files.len()))
}

/// The line of the log that has all these words.
fn logged(lnsd: &Lnsd<'_>, words: &[&str]) -> Result<()> {
    let log = lnsd.log();
    let found = log
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)));
    expect(found, format!("no line with {words:?} in\n{log}"))
}

fn audit() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let mut lnsd = start(&topology, &manifest)?;
    let who = ["uid=0", "by=root", "pid=", "process=lnsd"];
    let many = Options {
        sessions: 5,
        ..options()
    };
    for (option, value, what, count) in [
        ("--user", "user@isp", "user=user@isp", "disconnected=5"),
        ("--pool", "default", "pool=default", "disconnected=5"),
    ] {
        let lac = Lac::up(&topology.lac, many.clone())?;
        lnsd.table(&["disconnect", option, value])?;
        logged(&lnsd, &[&who[..], &[what, count]].concat())?;
        lac.close()?;
    }
    let lac = Lac::up(&topology.lac, options())?;
    let [session] = &lnsd.rows("sessions", &["sessions"])?[..] else {
        bail!("not one session");
    };
    let id = session["id"].as_str().unwrap_or_default().to_owned();
    let tunnel = session["tunnel"].to_string();
    lnsd.table(&["disconnect", "--session", &id])?;
    let what = format!("session={id}");
    logged(&lnsd, &[&who[..], &[&what, "disconnected=1"]].concat())?;
    lnsd.table(&["disconnect", "--tunnel", &tunnel])?;
    let what = format!("tunnel={tunnel}");
    logged(&lnsd, &[&who[..], &[&what, "disconnected=0"]].concat())?;
    lac.abandon()?;

    for cause in ["SIGHUP", "file"] {
        manifest
            .users
            .push((format!("{cause}@isp"), "a-long-password".into()));
        lnsd.write_manifest(&manifest)?;
        if cause == "SIGHUP" {
            lnsd.signal(Signal::SIGHUP)?;
        }
        let count = manifest.users.len() as u64 - 1;
        lnsd.wait(Duration::from_secs(10), "a reload", |lnsd| {
            Ok(lnsd.metric("lns_reloads_total", &[])? == count)
        })?;
    }
    logged(&lnsd, &["cause=", "the changed manifest is in force"])?;
    lnsd.signal(Signal::SIGTERM)?;
    lnsd.wait_exit(Duration::from_secs(20))?;
    logged(&lnsd, &["ending: ", "cause=\"SIGTERM\""])?;
    Ok(String::new())
}

/// Commands, and the exit code and the line that each gets from a process with nobody in it.
const BAD_INPUT: &[(&[&str], i32, &str)] = &[
    (
        &["sessions", "--user", "nobody"],
        0,
        "no session matches --user nobody",
    ),
    (
        &["sessions", "--calling-number", "5", "--address", "10.0.0.1"],
        0,
        "no session matches --address 10.0.0.1 --calling-number 5",
    ),
    (
        &["flows", "--user", "nobody", "--class", "udp"],
        0,
        "no flow matches --user nobody --class udp",
    ),
    (
        &["flows", "--session", "1.2"],
        1,
        "lnsd: there is no session 1.2: `lnsd sessions` lists those that there are",
    ),
    (
        &["flows", "--lac", "wholesale"],
        2,
        "there is no LAC \"wholesale\": is it wholesale-a?",
    ),
    (
        &["flows", "--flush"],
        2,
        "--flush clears the flows of a filter: give one, for instance --user NAME, or --all for every flow of every subscriber",
    ),
    (
        &["flows", "--flush", "--user", "nobody"],
        1,
        "lnsd: no flow matches --user nobody",
    ),
    (
        &["policies", "residential"],
        2,
        "there is no policy \"residential\": there is none",
    ),
    (
        &[
            "flows",
            "--flush",
            "--address",
            "100.64.0.9",
            "--remote",
            "203.0.113.7:443",
        ],
        1,
        "lnsd: no flow matches --address 100.64.0.9 --remote 203.0.113.7:443",
    ),
    (
        &["tunnels", "--lac", "wholesale-a"],
        0,
        "no tunnel matches --lac wholesale-a",
    ),
    (
        &["tunnels", "--lac", "wholesale"],
        2,
        "there is no LAC \"wholesale\": is it wholesale-a?",
    ),
    (
        &["sessions", "--pool", "defualt"],
        2,
        "there is no pool \"defualt\": is it default?",
    ),
    (
        &["disconnect", "--pool", "other"],
        2,
        "there is no pool \"other\": there are default",
    ),
    (
        &["disconnect", "--user", "nobody"],
        1,
        "lnsd: no session matches: `lnsd sessions` shows who is there",
    ),
    (
        &["session", "show", "1.2"],
        1,
        "lnsd: there is no session 1.2: `lnsd sessions` lists those that there are",
    ),
    (
        &["disconnect", "--tunnel", "7"],
        1,
        "lnsd: there is no tunnel 7",
    ),
];

fn bad_input() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    for (arguments, code, line) in BAD_INPUT {
        let output = lnsd.command(arguments)?;
        told(&output, *code, line).with_context(|| arguments.join(" "))?;
    }
    let none = lnsd.rows("sessions", &["sessions", "--user", "nobody"])?;
    expect(none.is_empty(), "sessions of nobody")?;
    not_allowed(&lnsd)?;
    Ok(String::new())
}

/// Nothing on standard output, one line on standard error.
fn told(output: &std::process::Output, code: i32, line: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    expect(output.stdout.is_empty(), "something on standard output")?;
    expect(
        output.status.code() == Some(code) && said == format!("{line}\n"),
        format!("{}: {said}", output.status),
    )
}

/// Asks as a user who may not.
fn not_allowed(lnsd: &Lnsd<'_>) -> Result<()> {
    // The build's folder may be closed to others.
    let folder = tempfile::tempdir()?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open)?;
    let program = folder.path().join("lnsd");
    std::fs::copy(lnsd::program()?, &program)?;
    let socket = lnsd.socket();
    let state = socket.parent().context("the socket's folder")?;
    let output = Command::new(&program)
        .args(["status", "--state"])
        .arg(state)
        .uid(65_534)
        .gid(65_534)
        .output()?;
    let line = format!(
        "lnsd: not allowed to ask at {}: run as the user of lnsd",
        socket.display()
    );
    told(&output, 1, &line)
}
