//! What lnsd needs of a machine: `preflight` says whether that is there, and it serves with no more. And `handshake`,
//! which asks an LNS for a tunnel as a LAC does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Scenario, expect, options, start, topology};
use crate::http;
use crate::lac::{Lac, Options};
use crate::lnsd;
use crate::manifest::{self, Manifest};
use crate::net::{self, Namespace};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "handshake",
        says: "a tunnel is asked for and given back, with a secret and without",
        run: handshake,
    },
    Scenario {
        name: "handshake-refused",
        says: "each way to fail is one line that says what to look at, exit 1 or 2",
        run: refused,
    },
    Scenario {
        name: "preflight",
        says: "this machine passes, leaves nothing, and a running lnsd is no stranger",
        run: preflight,
    },
    Scenario {
        name: "preflight-faults",
        says: "a taken port, a missing capability, device, program or setting are told",
        run: faults,
    },
    Scenario {
        name: "least-rights",
        says: "with NET_ADMIN and NET_RAW alone, and nothing writable, sessions come up",
        run: least_rights,
    },
];

/// Runs `lnsd handshake` where the LAC is, with a secret in a file.
fn ask(space: &Namespace, secret: Option<&str>, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(lnsd::program()?);
    command
        .arg("handshake")
        .args(more)
        .env_remove("LNSD_TUNNEL_SECRET");
    let folder = tempfile::tempdir()?;
    if let Some(secret) = secret {
        let file = folder.path().join("secret");
        fs::write(&file, secret)?;
        command.arg("--secret-file").arg(&file);
    }
    space.output(&mut command)
}

/// What it says of an LNS that answered.
fn answer(output: &Output) -> Result<Value> {
    let (code, error) = ended(output);
    expect(code == 0, format!("exit {code}: {error}"))?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn ended(output: &Output) -> (i32, String) {
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (output.status.code().unwrap_or(-1), error)
}

fn handshake() -> Result<String> {
    let topology = topology()?;
    let mut manifest = Manifest::default();
    let lns = start(&topology, &manifest)?;
    let vip = net::VIP.to_string();
    let with_secret = ask(
        &topology.lac,
        Some(manifest::TUNNEL_SECRET),
        &[&vip, "-o", "json"],
    )?;
    let said = answer(&with_secret)?;
    for (field, value) in [
        ("hostName", json!("lns1.isp.example")),
        ("lnsProved", json!(true)),
        ("lnsChallenged", json!(true)),
        ("receiveWindow", json!(128)),
    ] {
        expect(said.get(field) == Some(&value), format!("{field}: {said}"))?;
    }
    expect(
        lns.status("tunnels")? == 0,
        "a tunnel stays when it has been given back",
    )?;
    // By the environment, and as a table.
    let by_environment = topology.lac.output(
        Command::new(lnsd::program()?)
            .args(["handshake", &format!("{vip}:1701")])
            .env("LNSD_TUNNEL_SECRET", manifest::TUNNEL_SECRET),
    )?;
    let table = String::from_utf8_lossy(&by_environment.stdout).into_owned();
    expect(
        table.contains("both sides have proved the secret"),
        format!("{table}{}", ended(&by_environment).1),
    )?;
    expect(
        !table.contains(manifest::TUNNEL_SECRET) && !lns.log().contains(manifest::TUNNEL_SECRET),
        "the secret was printed",
    )?;
    drop(lns);
    for lac in &mut manifest.lacs {
        lac.secret = None;
    }
    let lns = start(&topology, &manifest)?;
    let said = answer(&ask(&topology.lac, None, &[&vip, "-o", "json"])?)?;
    for field in ["lnsProved", "lnsChallenged"] {
        expect(
            said.get(field) == Some(&json!(false)),
            format!("{field}: {said}"),
        )?;
    }
    expect(lns.status("tunnels")? == 0, "a tunnel stays")?;
    let took = said.get("roundTripMilliseconds").and_then(Value::as_f64);
    Ok(format!("{:.1} ms", took.context("no round trip")?))
}

fn refused() -> Result<String> {
    let topology = topology()?;
    let lns = start(&topology, &Manifest::default())?;
    let vip = net::VIP.to_string();
    let nobody = format!("{vip}:1799");
    let stranger = net::STRANGER.to_string();
    let cases: [(Option<&str>, &[&str], i32, &str); 6] = [
        (
            Some("a-wrong-secret-of-a-lac"),
            &[&vip],
            1,
            "was made with another secret",
        ),
        (None, &[&vip], 1, "challenges, and no secret is given"),
        (None, &[&nobody], 1, "nothing serves this port"),
        (
            None,
            &[&vip, "--from", &stranger, "--tries", "1"],
            1,
            "no answer to 2 SCCRQs: is the address announced",
        ),
        (None, &[&vip, "--from", "::1"], 2, "another family"),
        (None, &["lns.example"], 2, "is no address"),
    ];
    for (secret, arguments, code, words) in cases {
        let began = Instant::now();
        let (ended, error) = ended(&ask(&topology.lac, secret, arguments)?);
        expect(
            ended == code && error.contains(words),
            format!("{arguments:?}: exit {ended}: {error}"),
        )?;
        expect(
            code == 2 || error.lines().count() == 1,
            format!("not one line: {error}"),
        )?;
        expect(
            began.elapsed() < Duration::from_secs(10),
            format!("{arguments:?} took {:?}", began.elapsed()),
        )?;
    }
    // Who has been shown no secret goes away by itself.
    lns.wait(Duration::from_secs(40), "no tunnel is left", |lns| {
        Ok(lns.status("tunnels")? == 0)
    })?;
    drop(lns);
    let mut open = Manifest::default();
    for lac in &mut open.lacs {
        lac.secret = None;
    }
    let _lns = start(&topology, &open)?;
    let secret = Some(manifest::TUNNEL_SECRET);
    let (code, error) = ended(&ask(&topology.lac, secret, &[&vip])?);
    expect(
        code == 1 && error.contains("StopCCN: result 4 (not_authorized)"),
        format!("exit {code}: {error}"),
    )?;
    Ok(format!("{} cases", cases.len() + 1))
}

/// Looks at the machine as it is in a namespace, with a program before it that takes something away.
fn look(space: &Namespace, before: &[&str], more: &[&str]) -> Result<(Output, Value)> {
    let program = lnsd::program()?;
    let mut command = match before {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    let output = space.output(command.args(["preflight", "-o", "json"]).args(more))?;
    let found = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{before:?} {more:?}: {}", ended(&output).1))?;
    Ok((output, found))
}

/// What a check has come to, and what it says.
fn outcome(found: &Value, check: &str) -> (String, String) {
    let checks = found.get("checks").and_then(Value::as_array);
    let mut named = checks.into_iter().flatten();
    let one = named.find(|one| one.get("check").is_some_and(|name| name == check));
    let text = |key: &str| {
        one.and_then(|one| one.get(key)?.as_str())
            .unwrap_or("nothing")
            .to_owned()
    };
    (
        text("outcome"),
        format!("{}: {}", text("found"), text("advice")),
    )
}

fn preflight() -> Result<String> {
    let topology = topology()?;
    let before = topology.lns.footprint()?;
    let (output, found) = look(&topology.lns, &[], &["--address", "192.0.2.1"])?;
    let (code, error) = ended(&output);
    expect(code == 0, format!("exit {code}: {error}\n{found:#}"))?;
    for check in [
        "kernel",
        "capabilities",
        "clock source",
        "boot time",
        "memory",
        "sysctls",
        "reverse path",
        "tun",
        "nft",
        "nftables",
        "L2TP port",
        "peers' port",
    ] {
        let (outcome, says) = outcome(&found, check);
        expect(
            outcome == "ok" || outcome == "warn",
            format!("{check}: {outcome}: {says}"),
        )?;
    }
    expect(
        topology.lns.footprint()? == before,
        "something stays behind",
    )?;
    // A node that is a member already.
    let lns = start(&topology, &Manifest::default())?;
    let (output, found) = look(&topology.lns, &[], &["--address", "192.0.2.1"])?;
    expect(output.status.success(), format!("{found:#}"))?;
    let (_, says) = outcome(&found, "L2TP port");
    expect(says.contains("has the lnsd of this node"), says)?;
    expect(
        lns.get("/readyz")?.0 == 200,
        "the running lnsd is disturbed",
    )?;
    Ok(outcome(&found, "nftables").1)
}

/// A program that takes something away from what it starts, options, and the check that then says so.
type Fault = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    &'static str,
);

const WITHOUT_NET_ADMIN: &[&str] = &[
    "setpriv",
    "--bounding-set",
    "-net_admin",
    "--inh-caps",
    "-net_admin",
];

const WITHOUT_DEVICE: &[&str] = &[
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs none /dev/net && exec \"$@\"",
    "sh",
];

const FAULTS: &[Fault] = &[
    (
        WITHOUT_NET_ADMIN,
        &[],
        "capabilities",
        "NET_ADMIN: the subscribers' interface",
    ),
    (WITHOUT_NET_ADMIN, &[], "nftables", "give NET_ADMIN"),
    (WITHOUT_DEVICE, &[], "tun", "/dev/net/tun does not exist"),
    (
        &["env", "PATH=/nowhere"],
        &[],
        "nft",
        "the program is not there: install nftables",
    ),
    (
        &[],
        &["--sysctls", "/sys/kernel"],
        "sysctls",
        "mount the node's /proc/sys/net",
    ),
];

fn faults() -> Result<String> {
    let topology = topology()?;
    let space = &topology.lns;
    let taken = space.enter(|| -> Result<_> {
        Ok((
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 1701))?,
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, 1702))?,
        ))
    })??;
    let (output, found) = look(space, &[], &[])?;
    let (code, error) = ended(&output);
    expect(
        code == 1 && error.contains("no member yet: L2TP port, peers' port"),
        format!("exit {code}: {error}"),
    )?;
    for check in ["L2TP port", "peers' port"] {
        let (outcome, says) = outcome(&found, check);
        expect(outcome == "fail" && says.contains("ss -lnp"), says)?;
    }
    drop(taken);
    for (before, more, check, words) in FAULTS {
        let (output, found) = look(space, before, more)?;
        let (outcome, says) = outcome(&found, check);
        expect(
            output.status.code() == Some(1) && outcome == "fail" && says.contains(words),
            format!("{check}: {outcome}: {says}"),
        )?;
    }
    let (output, found) = look(space, &[], &["--redis", "redis://127.0.0.1:1"])?;
    let (outcome, says) = outcome(&found, "redis");
    expect(output.status.code() == Some(1) && outcome == "fail", &says)?;
    Ok(format!("{} faults; {says}", FAULTS.len() + 3))
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// As a container of the operator's is in mode Capabilities: nothing can be written but the state and the node's
/// settings at a place of their own.
const CONFINED: &str = "mount --make-rprivate / && mount -t tmpfs none $0/state && mount --bind /proc/sys/net $0/sysctls \
    && mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && mount -o remount,bind,ro / \
    && exec setpriv --no-new-privs --bounding-set=-all,+net_admin,+net_raw --inh-caps=-all \"$@\"";

/// The bits of `NET_ADMIN` and `NET_RAW`.
const RIGHTS: &str = "0000000000003000";

fn least_rights() -> Result<String> {
    let topology = topology()?;
    let folder = tempfile::tempdir()?;
    for name in ["state", "sysctls"] {
        fs::create_dir(folder.path().join(name))?;
    }
    fs::write(
        folder.path().join("cluster.yaml"),
        Manifest::default().yaml(),
    )?;
    let inside = |name: &str| folder.path().join(name);
    let log = fs::File::create(inside("log"))?;
    let lnsd = topology.lns.spawn(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", CONFINED])
            .arg(folder.path())
            .arg(lnsd::program()?)
            .arg("run")
            .arg("--manifest")
            .arg(inside("cluster.yaml"))
            .arg("--state")
            .arg(inside("state"))
            .arg("--sysctls")
            .arg(inside("sysctls"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log),
    )?;
    let mut lnsd = Running(lnsd);
    let said = || fs::read_to_string(inside("log")).unwrap_or_default();
    let give_up = Instant::now() + Duration::from_secs(20);
    let ready = || http::get(SocketAddr::from(lnsd::ADMIN), "/readyz");
    while !matches!(topology.lns.enter(ready)?, Ok((200, _))) {
        expect(
            lnsd.0.try_wait()?.is_none() && Instant::now() < give_up,
            format!("it does not serve: {}", said()),
        )?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = fs::read_to_string(format!("/proc/{}/status", lnsd.0.id()))?;
    for line in [
        format!("CapEff:\t{RIGHTS}"),
        format!("CapBnd:\t{RIGHTS}"),
        "NoNewPrivs:\t1".to_owned(),
    ] {
        expect(status.contains(&line), format!("not {line}: {status}"))?;
    }
    let options = Options {
        sessions: 20,
        ..options()
    };
    Lac::up(&topology.lac, options)?.close()?;
    kill(Pid::from_raw(i32::try_from(lnsd.0.id())?), Signal::SIGTERM)?;
    let ended = lnsd.0.wait()?;
    expect(ended.success(), format!("{ended}: {}", said()))?;
    Ok(String::new())
}
