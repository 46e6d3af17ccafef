//! The rules of the house that no compiler checks: which crate may use which, where files lie, how
//! large they are, what must not be in them, and that each promise has a test.
//!
//! Clippy has the rest (`clippy.toml`, `[workspace.lints]`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Lines of a file without its tests.
const MAX_LINES: usize = 800;

/// What each crate of ours may use of ours.
const LAYERS: &[(&str, &[&str])] = &[
    ("lns-wire", &[]),
    ("lns-crypto", &[]),
    ("lns-l2sess", &["lns-wire"]),
    ("lns-tables", &["lns-wire", "lns-crypto", "lns-l2sess"]),
    ("lns-l2tp", &["lns-wire", "lns-crypto", "lns-tables"]),
    ("lns-ppp", &["lns-wire", "lns-crypto", "lns-tables"]),
    ("lns-radius", &["lns-wire", "lns-crypto", "lns-tables"]),
    ("lns-cluster", &["lns-wire", "lns-crypto", "lns-tables"]),
    ("lns-lease", &["lns-wire", "lns-tables", "lns-cluster"]),
    (
        "lns-peers",
        &["lns-wire", "lns-crypto", "lns-tables", "lns-cluster"],
    ),
    ("lns-spool", &["lns-wire", "lns-tables", "lns-radius"]),
    ("lns-store", &["lns-api", "lns-crypto", "lns-cluster"]),
    ("lns-vault", &["lns-wire", "lns-tables", "lns-cluster"]),
    (
        "lns-node",
        &[
            "lns-wire",
            "lns-crypto",
            "lns-tables",
            "lns-l2sess",
            "lns-l2tp",
            "lns-ppp",
            "lns-radius",
        ],
    ),
    ("lns-datapath", &["lns-wire", "lns-tables", "lns-l2sess"]),
    ("lns-gate", &["lns-tables"]),
    ("lns-api", &["lns-wire", "lns-crypto"]),
    ("lns-objects", &["lns-api"]),
    (
        "lnsd",
        &[
            "lns-api",
            "lns-wire",
            "lns-crypto",
            "lns-tables",
            "lns-l2sess",
            "lns-l2tp",
            "lns-ppp",
            "lns-node",
            "lns-datapath",
            "lns-peers",
            "lns-radius",
            "lns-cluster",
            "lns-gate",
            "lns-lease",
            "lns-objects",
            "lns-peers",
            "lns-spool",
            "lns-store",
            "lns-vault",
        ],
    ),
    (
        "lns-fuzz",
        &[
            "lns-wire",
            "lns-crypto",
            "lns-tables",
            "lns-l2sess",
            "lns-l2tp",
            "lns-ppp",
            "lns-node",
            "lns-datapath",
            "lns-radius",
            "lns-cluster",
            "lns-peers",
        ],
    ),
    (
        "lns-sim",
        &[
            "lns-wire",
            "lns-crypto",
            "lns-tables",
            "lns-l2sess",
            "lns-cluster",
            "lns-radius",
            "lns-node",
            "lns-fuzz",
        ],
    ),
    (
        "lns-operator",
        &[
            "lns-api",
            "lns-tables",
            "lns-cluster",
            "lns-lease",
            "lns-store",
        ],
    ),
    ("kubectl-lns", &["lns-api"]),
    ("lns-e2e", &["lns-wire", "lns-crypto", "lns-api"]),
];

/// Crates of others that only these of ours may use.
const RESERVED: &[(&str, &[&str])] = &[
    (
        "tokio",
        &[
            "kubectl-lns",
            "lnsd",
            "lns-e2e",
            "lns-lease",
            "lns-objects",
            "lns-operator",
            "lns-peers",
            "lns-store",
        ],
    ),
    // Nothing else speaks with the store: what is written there is fenced, and never elects anybody.
    ("redis", &["lns-store"]),
    (
        "kube",
        &[
            "kubectl-lns",
            "lns-api",
            "lnsd",
            "lns-lease",
            "lns-objects",
            "lns-operator",
        ],
    ),
    (
        "k8s-openapi",
        &[
            "kubectl-lns",
            "lns-api",
            "lnsd",
            "lns-lease",
            "lns-objects",
            "lns-operator",
        ],
    ),
    ("ring", &["lns-peers"]),
    ("aide", &["lnsd"]),
    ("axum", &["lnsd", "lns-operator"]),
    ("rtnetlink", &["lnsd"]),
    ("netlink-packet-core", &["lns-gate"]),
    ("netlink-packet-route", &["lns-gate"]),
    ("netlink-sys", &["lns-gate"]),
    ("nftables", &["lnsd"]),
    ("redb", &["lns-spool"]),
    ("fjall", &["lns-vault"]),
    ("libc", &["lns-datapath"]),
    ("mimalloc", &["lnsd"]),
    ("tun", &["lns-e2e"]),
    ("tracing-subscriber", &["lnsd", "lns-operator"]),
    ("anyhow", &["lns-e2e"]),
    ("stateright", &[]),
];

/// What may lie at the top.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "operator",
    "dataplane",
    "charts",
    "crds",
    "e2e",
    "kubectl-lns",
];

/// What a rule says, and what finds out whether it holds.
type Rule = (&'static str, fn() -> Result<String>);

/// Runs every rule, prints a line each and `N passed, N failed`. Says whether all hold.
pub(crate) fn check() -> Result<bool> {
    let root = output("git", &["rev-parse", "--show-toplevel"])?;
    std::env::set_current_dir(root.trim())?;
    let rules: [Rule; 7] = [
        ("crates use what their layer may", layers),
        ("the top level is the design's", top_level),
        ("files are small enough", sizes),
        ("unsafe is in the datapath only", unsafe_code),
        ("files say what they are", headers),
        ("nothing is unfinished or switched off", unfinished),
        ("every promise names its test", promises),
    ];
    let mut failed = 0;
    for (name, rule) in rules {
        match rule() {
            Ok(note) => println!("ok    {name}{note}"),
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error:#}");
            }
        }
    }
    println!("{} passed, {failed} failed", rules.len() - failed);
    Ok(failed == 0)
}

fn layers() -> Result<String> {
    let text = output("cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    let ours: BTreeSet<_> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            wrong.push(format!("{name} has no layer"));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        // What only tests use does not reach the product.
        let real = dependencies
            .iter()
            .filter(|dependency| dependency["kind"].is_null());
        for used in real.filter_map(|dependency| dependency["name"].as_str()) {
            let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == used);
            let forbidden = if ours.contains(used) {
                !allowed.contains(&used)
            } else {
                reserved.is_some_and(|(_, users)| !users.contains(&name))
            };
            if forbidden {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    none(&wrong)?;
    Ok(format!(": {} crates", packages.len()))
}

fn top_level() -> Result<String> {
    let files = output("git", &["ls-files"])?;
    let others: BTreeSet<_> = files
        .lines()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.') && !TOP.contains(name))
        .map(str::to_owned)
        .collect();
    none(&others.into_iter().collect::<Vec<_>>())?;
    Ok(String::new())
}

fn sizes() -> Result<String> {
    let mut by_room: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, text) in sources()? {
        let lines = without_tests(&path, &text).lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{path} has {lines} lines without tests"));
        }
        let Some((room, _)) = path.split_once("/src/").filter(|_| lines > 0) else {
            continue;
        };
        by_room.entry(room.to_owned()).or_default().push(lines);
    }
    none(&wrong)?;
    let mut report = format!(
        "\n      {:<26} {:>5} {:>7} {:>5} {:>5}",
        "lines per file", "files", "median", "p90", "max"
    );
    for (room, mut lines) in by_room {
        lines.sort_unstable();
        let at = |percent| {
            lines
                .get((lines.len() - 1) * percent / 100)
                .copied()
                .unwrap_or(0)
        };
        report.push_str(&format!(
            "\n      {room:<26} {:>5} {:>7} {:>5} {:>5}",
            lines.len(),
            at(50),
            at(90),
            at(100)
        ));
    }
    Ok(report)
}

fn unsafe_code() -> Result<String> {
    let mut wrong = Vec::new();
    for (path, text) in sources()? {
        let in_datapath = path.starts_with("dataplane/datapath/");
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        if is_root && !in_datapath && !text.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{path} does not forbid unsafe code"));
        }
        let uses = ["unsafe {", "unsafe fn", "unsafe impl"]
            .iter()
            .any(|form| text.contains(form));
        if uses && !in_datapath && !path.ends_with("house.rs") {
            wrong.push(format!("{path} has unsafe code"));
        }
    }
    none(&wrong)?;
    Ok(String::new())
}

fn headers() -> Result<String> {
    let bare: Vec<_> = sources()?
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    none(&bare)?;
    Ok(String::new())
}

fn unfinished() -> Result<String> {
    // Put together here, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimplement", "ed!("),
        concat!("#[ign", "ore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("db", "g!("),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources()? {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    none(&wrong)?;
    Ok(String::new())
}

/// Each row of the specification names a test, a scenario, a scenario of the guest or a LAC script that
/// exists.
fn promises() -> Result<String> {
    let text = std::fs::read_to_string("dataplane/SPECIFICATION.md")?;
    let guest = std::fs::read_to_string("e2e/guest/scenarios.sh")?;
    let ours: String = sources()?.into_iter().map(|(_, text)| text).collect();
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let &[_, _, tests, _] = cells.as_slice() else {
            continue;
        };
        if tests.starts_with("--") || tests == "enforced by" {
            continue;
        }
        rows += 1;
        let names = tests.split('`').skip(1).step_by(2);
        let known = |name: &str| {
            name.contains('/')
                || ours.contains(&format!("fn {name}("))
                || ours.contains(&format!("name: \"{name}\""))
                // A row of `e2e/src/l2sess`.
                || ours.contains(&format!("(\n        \"{name}\","))
                || guest.contains(&format!("\"{name}|"))
                || Path::new(&format!("e2e/differential/scripts/{name}.txt")).exists()
        };
        if tests != "[pending]" && names.clone().next().is_none() {
            wrong.push(format!("line {}: names no test", number + 1));
        }
        let unknown = names.filter(|name| !known(name));
        wrong.extend(unknown.map(|name| format!("line {}: {name}", number + 1)));
    }
    none(&wrong)?;
    Ok(format!(": {rows} promises"))
}

/// Every Rust file under version control that exists, with its text.
fn sources() -> Result<Vec<(String, String)>> {
    output(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
        ],
    )?
    .lines()
    .filter(|path| Path::new(path).exists())
    .map(|path| Ok((path.to_owned(), std::fs::read_to_string(path)?)))
    .collect()
}

/// The part of a file before its tests; nothing of a file that is all tests.
fn without_tests<'a>(path: &str, text: &'a str) -> &'a str {
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
    match text.split_once("\n#[cfg(test)]\nmod tests {") {
        _ if is_test => "",
        Some((before, _)) => before,
        None => text,
    }
}

fn none(wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n      "))
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
