//! The process: reload, drain, sudden death, and what it needs of the machine.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::{Scenario, expect, options, start, topology};
use crate::lac::{Lac, Options};
use crate::lnsd;
use crate::manifest::{self, Manifest, PASSWORD};
use crate::net::{self, Topology};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "reload-sighup",
        says: "SIGHUP takes a changed manifest over, sessions stay",
        run: || reload(true),
    },
    Scenario {
        name: "reload-file-change",
        says: "a changed file is taken over by itself, sessions stay",
        run: || reload(false),
    },
    Scenario {
        name: "reload-broken",
        says: "a broken manifest is refused and the old one goes on",
        run: reload_broken,
    },
    Scenario {
        name: "end-sigterm",
        says: "SIGTERM says StopCCN to each LAC, ends with 0, leaves nothing",
        run: sigterm,
    },
    Scenario {
        name: "end-kill-9",
        says: "killed with 1,000 sessions, started again: all dial in, nothing stale",
        run: kill_9,
    },
    Scenario {
        name: "start-port-taken",
        says: "a port already taken: one clear line, exit 1",
        run: port_taken,
    },
    Scenario {
        name: "start-no-address",
        says: "a service address that is not there: one clear line, exit 1",
        run: no_address,
    },
    Scenario {
        name: "start-address-taken",
        says: "a pool over the machine's own network: one clear line, exit 1, no route touched",
        run: address_taken,
    },
    Scenario {
        name: "start-no-privilege",
        says: "without privilege: one clear line, exit 1",
        run: no_privilege,
    },
    Scenario {
        name: "start-no-tun",
        says: "without /dev/net/tun: one clear line, exit 1",
        run: no_tun,
    },
];

fn reload(by_signal: bool) -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let lnsd = start(&topology, &manifest)?;
    let many = Options {
        sessions: 100,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;

    manifest.users.push(("late@isp".into(), PASSWORD.into()));
    manifest.lacs.insert(
        0,
        manifest::Lac {
            name: "wholesale-b",
            from: "198.51.100.20/32",
            ..manifest::Lac::default()
        },
    );
    lnsd.write_manifest(&manifest)?;
    if by_signal {
        lnsd.signal(Signal::SIGHUP)?;
    }
    lnsd.wait(Duration::from_secs(10), "the new LAC is listed", |lnsd| {
        let lacs = lnsd.rows("lacs", &["lacs"])?;
        Ok(lacs.iter().any(|lac| lac["name"] == "wholesale-b"))
    })?;
    let late = Options {
        from: net::OTHER_LAC,
        user: "late@isp".into(),
        ..options()
    };
    Lac::up(&topology.lac, late)?.close()?;
    expect(
        lac.count_up() == 100,
        format!("{} of 100 sessions stayed", lac.count_up()),
    )?;
    lac.close()?;
    Ok(String::new())
}

fn reload_broken() -> Result<String> {
    let topology = topology()?;
    let lnsd = start(&topology, &Manifest::default())?;
    let lac = Lac::up(&topology.lac, options())?;
    std::fs::write(
        lnsd.manifest_path(),
        "apiVersion: kubelns.io/v1alpha1\nkind: [",
    )?;
    lnsd.signal(Signal::SIGHUP)?;
    lnsd.wait(Duration::from_secs(10), "the log names the file", |lnsd| {
        Ok(lnsd.log().contains("cluster.yaml"))
    })?;
    Lac::up(&topology.lac, options())?.close()?;
    expect(lac.count_up() == 1, "the live session ended")?;
    lac.close()?;
    Ok(String::new())
}

fn sigterm() -> Result<String> {
    let topology = topology()?;
    let before = topology.lns.footprint()?;
    let mut lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        tunnels: 4,
        sessions: 200,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let started = Instant::now();
    lnsd.signal(Signal::SIGTERM)?;
    lac.ended(Duration::from_secs(10))?;
    let status = lnsd.wait_exit(Duration::from_secs(15))?;
    let took = started.elapsed().as_secs_f64();
    expect(status.success(), format!("lnsd ended with {status}"))?;
    let ends = lac.shared().tunnel_ends();
    expect(
        ends.len() == 4 && ends.iter().all(|end| end.starts_with("StopCCN")),
        format!("tunnels ended: {ends:?}"),
    )?;
    nothing_left(&topology, &before)?;
    Ok(format!("in {took:.1} s, {:?}", ends.first()))
}

fn kill_9() -> Result<String> {
    let topology = topology()?;
    let before = topology.lns.footprint()?;
    let mut lnsd = start(&topology, &Manifest::default())?;
    let many = Options {
        tunnels: 4,
        sessions: 1000,
        // The same ports again afterwards: the LNS must not take the LACs for their former selves.
        from_port: 20_000,
        ..options()
    };
    let lac = Lac::up(&topology.lac, many.clone())?;
    lnsd.signal(Signal::SIGKILL)?;
    lnsd.wait_exit(Duration::from_secs(5))?;
    lac.abandon()?;

    lnsd.restart()?;
    let again = Lac::up(&topology.lac, many)?;
    let report = again.report();
    expect(
        lnsd.status("sessions")? == 1000,
        "not 1,000 sessions are up after the restart",
    )?;
    expect(
        lnsd.status("overdue")? == 0,
        "the sweep found something overdue",
    )?;
    again.close()?;
    lnsd.signal(Signal::SIGTERM)?;
    let status = lnsd.wait_exit(Duration::from_secs(15))?;
    expect(status.success(), format!("lnsd ended with {status}"))?;
    nothing_left(&topology, &before)?;
    Ok(format!("{:.0} per second again", report.setups_per_second))
}

/// Whether links, routes, rules and packet filters are what they were before `lnsd` ran.
fn nothing_left(topology: &Topology, before: &str) -> Result<()> {
    let after = topology.lns.footprint()?;
    let new: Vec<_> = after
        .lines()
        .filter(|line| !before.lines().any(|known| known == *line))
        .collect();
    expect(new.is_empty(), format!("left behind: {}", new.join("; ")))
}

/// Runs `lnsd` to its end and expects exit code 1 and one line with `words`.
fn refused(topology: &Topology, manifest: &Manifest, words: &str) -> Result<String> {
    let (code, log) = lnsd::run_to_end(&topology.lns, &manifest.yaml())?;
    one_line(code, &log, words)
}

fn one_line(code: i32, log: &str, words: &str) -> Result<String> {
    expect(code == 1, format!("exit code {code}: {log}"))?;
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("lnsd:"))
        .collect();
    let [line] = &errors[..] else {
        bail!("{} lines of error: {log}", errors.len());
    };
    expect(
        line.contains(words),
        format!("the line has no `{words}`: {line}"),
    )?;
    Ok((*line).to_owned())
}

fn port_taken() -> Result<String> {
    let topology = topology()?;
    let socket = topology
        .lns
        .enter(|| UdpSocket::bind(SocketAddr::from((net::VIP, 1701))))??;
    let line = refused(&topology, &Manifest::default(), "1701")?;
    drop(socket);

    // A second one of ours is refused as well.
    let first = start(&topology, &Manifest::default())?;
    refused(&topology, &Manifest::default(), "")?;
    expect(first.status("tunnels")? == 0, "the first one suffered")?;
    Ok(line)
}

fn no_address() -> Result<String> {
    let topology = topology()?;
    topology
        .lns
        .ip(&[&format!("address del {}/32 dev lo", net::VIP)])?;
    refused(&topology, &Manifest::default(), &net::VIP.to_string())
}

fn address_taken() -> Result<String> {
    let topology = topology()?;
    let before = topology.lns.footprint()?;
    let over_the_core = Manifest {
        pools: vec![("default", "100.64.0.1", "203.0.113.0/24")],
        ..Manifest::default()
    };
    let line = refused(
        &topology,
        &over_the_core,
        "the address 203.0.113.1 of core0",
    )?;
    let after = topology.lns.footprint()?;
    let lost: Vec<_> = before
        .lines()
        .filter(|line| !after.lines().any(|left| left == *line))
        .collect();
    expect(lost.is_empty(), format!("lost: {}", lost.join("; ")))?;
    nothing_left(&topology, &before)?;
    Ok(line)
}

/// A folder with the manifest that everybody may use.
fn public_folder() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open)?;
    std::fs::write(
        folder.path().join("cluster.yaml"),
        Manifest::default().yaml(),
    )?;
    Ok(folder)
}

fn no_privilege() -> Result<String> {
    let topology = topology()?;
    let folder = public_folder()?;
    // The build's folder may be closed to others.
    let program = folder.path().join("lnsd");
    std::fs::copy(lnsd::program()?, &program)?;
    let output = topology.lns.output(
        Command::new(&program)
            .args(["run", "--manifest"])
            .arg(folder.path().join("cluster.yaml"))
            .arg("--state")
            .arg(folder.path().join("state"))
            .uid(65_534)
            .gid(65_534),
    )?;
    let log = String::from_utf8_lossy(&output.stderr);
    one_line(output.status.code().unwrap_or(-1), &log, "")
}

fn no_tun() -> Result<String> {
    let topology = topology()?;
    let folder = public_folder()?;
    let script = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let output = topology.lns.output(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(lnsd::program()?)
            .args(["run", "--manifest"])
            .arg(folder.path().join("cluster.yaml"))
            .arg("--state")
            .arg(folder.path().join("state")),
    )?;
    let log = String::from_utf8_lossy(&output.stderr);
    one_line(output.status.code().unwrap_or(-1), &log, "/dev/net/tun")
}
