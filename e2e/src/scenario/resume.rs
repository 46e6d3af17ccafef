//! Restarts that nobody notices: the process ends without a word, and the next one goes on with every
//! tunnel and session, by what is kept in the state folder.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::datapath::ping;
use super::{Scenario, expect, options, serve_http, start, topology};
use crate::cleanup::{self, Leftover};
use crate::http;
use crate::lac::{Lac, Options, Order, Stage};
use crate::lnsd::Lnsd;
use crate::manifest::{Manifest, PASSWORD};
use crate::net;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "resume-kill-9",
        says: "killed under a download, started again: no LAC and no subscriber notices",
        run: || restart(Signal::SIGKILL),
    },
    Scenario {
        name: "resume-quit",
        says: "SIGQUIT and a start: the same",
        run: || restart(Signal::SIGQUIT),
    },
    Scenario {
        name: "resume-disk-full",
        says: "a full disk: all go on dialling in, it is said, and stored when there is room again",
        run: disk_full,
    },
    Scenario {
        name: "resume-no-folder",
        says: "no folder for records: all dial in all the same, and it is said",
        run: no_folder,
    },
    Scenario {
        name: "resume-form",
        says: "a node that begins has the newest form of records, also after its restart: there is nothing to go back to",
        run: form,
    },
    Scenario {
        name: "resume-again-and-again",
        says: "killed ten times while subscribers dial in and hang up: all that want to are up",
        run: again_and_again,
    },
];

/// Each session by its id: its name in accounting, who it is and which address it has.
fn known(lnsd: &Lnsd<'_>) -> Result<BTreeMap<String, Vec<Value>>> {
    let rows = lnsd.rows("sessions", &["sessions"])?;
    let session = |row: &Value| {
        let part = |key: &str| row.get(key).cloned().unwrap_or_default();
        let id = row.get("id").and_then(Value::as_str).map(str::to_owned);
        let parts = ["acctSessionId", "user", "address", "slot", "peerSession"];
        Some((id?, parts.map(part).to_vec()))
    };
    rows.iter()
        .map(|row| session(row).with_context(|| format!("a session without an id: {row}")))
        .collect()
}

/// How often LCP was begun with each subscriber.
fn begun(lac: &Lac) -> Vec<u32> {
    let sessions = lac.shared().sessions();
    let heard = sessions.iter().map(|view| view.heard.configure_requests);
    heard.collect()
}

fn kill(lnsd: &mut Lnsd<'_>, by: Signal) -> Result<()> {
    lnsd.signal(by)?;
    lnsd.wait_exit(Duration::from_secs(10))?;
    lnsd.restart()
}

fn form() -> Result<String> {
    let topology = topology()?;
    let mut lnsd = start(&topology, &Manifest::default())?;
    let _lac = Lac::up(&topology.lac, options())?;
    for end in [Signal::SIGKILL, Signal::SIGTERM] {
        let status = lnsd.json(&["status"])?;
        let forms = ["/records/form", "/records/newestForm"].map(|it| status.pointer(it));
        expect(
            forms[0].is_some() && forms[0] == forms[1],
            format!("records have form {:?} of {:?}", forms[0], forms[1]),
        )?;
        let said = lnsd.table(&["finalize-upgrade"])?;
        expect(said.contains("there is nothing older to go back to"), &said)?;
        kill(&mut lnsd, end)?;
    }
    Ok("the newest form".to_owned())
}

fn restart(by: Signal) -> Result<String> {
    let topology = topology()?;
    let mut lnsd = start(&topology, &Manifest::default())?;
    let server = serve_http(&topology)?;
    let many = Options {
        tunnels: 4,
        sessions: 500,
        tun: Some("sub0".into()),
        ..options()
    };
    let lac = Lac::up(&topology.lac, many)?;
    let (before, lcp) = (known(&lnsd)?, begun(&lac));
    expect(before.len() == 500, format!("{} sessions", before.len()))?;
    let source = IpAddr::from(lac.address(0)?);
    let download = std::thread::scope(|scope| {
        let download = scope.spawn(|| topology.lac.enter(|| http::download(server, source, 200)));
        std::thread::sleep(Duration::from_millis(300));
        kill(&mut lnsd, by)?;
        let joined = download
            .join()
            .map_err(|_| anyhow!("the download failed"))?;
        joined?
    })?;
    expect(
        download.intact,
        format!("the download is damaged: {download:?}"),
    )?;
    let after = known(&lnsd)?;
    expect(before == after, "the sessions are not those of before")?;
    expect(lnsd.status("tunnels")? == 4, "not four tunnels are up")?;
    expect(begun(&lac) == lcp, "LCP was begun anew")?;
    let ends = lac.shared().tunnel_ends();
    expect(ends.is_empty(), format!("tunnels ended: {ends:?}"))?;
    for index in [0, 499] {
        let source = lac.address(index)?;
        let (arrived, text) = ping(&topology.lac, source, net::CORE, &[])?;
        expect(arrived, format!("{source} does not reach the core: {text}"))?;
    }

    // What is new comes up, and what is old ends.
    let newcomer = Options {
        from: net::OTHER_LAC,
        ..options()
    };
    let newcomer = Lac::up(&topology.lac, newcomer)?;
    let address = newcomer.address(0)?;
    expect(
        !lac.addresses().contains(&address),
        format!("{address} is given twice"),
    )?;
    newcomer.close()?;
    lac.order(Order::HangUp(1))?;
    lnsd.wait(Duration::from_secs(10), "one has hung up", |lnsd| {
        Ok(lnsd.status("sessions")? == 499)
    })?;
    lac.close()?;
    lnsd.wait(Duration::from_secs(10), "all are gone", |lnsd| {
        Ok(lnsd.status("sessions")? == 0 && lnsd.status("tunnels")? == 0)
    })?;
    Ok(format!("{:.0} Mbit/s over all of it", download.megabits()))
}

fn again_and_again() -> Result<String> {
    let topology = topology()?;
    let count = 400;
    let users = (0..count).map(|index| (format!("user{index}@isp"), PASSWORD.into()));
    let manifest = Manifest {
        users: users.collect(),
        ..Manifest::default()
    };
    let mut lnsd = start(&topology, &manifest)?;
    let dialling = Options {
        tunnels: 2,
        sessions: count,
        user: "user{}@isp".into(),
        rate: 100,
        ..options()
    };
    let lac = Lac::start(&topology.lac, dialling);
    for round in 0..10_usize {
        std::thread::sleep(Duration::from_millis(300));
        // Each of ten hangs up at the moment of a kill.
        if lac.session(round)?.stage == Stage::Up {
            lac.order(Order::HangUp(round))?;
        }
        kill(&mut lnsd, Signal::SIGKILL)?;
    }
    lac.settle(Duration::from_secs(60))?;
    let mut failures = lac.failures();
    failures.retain(|reason| reason != "hung up");
    expect(failures.is_empty(), format!("{failures:?}"))?;
    let up = lac.count_up();
    lnsd.wait(
        Duration::from_secs(20),
        "both sides count the same",
        |lnsd| Ok(usize::try_from(lnsd.status("sessions")?)? == lac.count_up()),
    )?;
    let addresses: std::collections::BTreeSet<_> = lac.addresses().into_iter().collect();
    expect(addresses.len() >= up, "an address is given twice")?;
    let ends = lac.shared().tunnel_ends();
    expect(ends.is_empty(), format!("tunnels ended: {ends:?}"))?;
    expect(up >= count - 10, format!("{up} of {count} are up"))?;
    lac.close()?;
    lnsd.wait(Duration::from_secs(10), "all are gone", |lnsd| {
        Ok(lnsd.status("sessions")? == 0)
    })?;
    Ok(format!("{up} of {count} up"))
}

/// A small disk of its own for a state folder; it is gone with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Result<Self> {
        std::fs::create_dir(&at)?;
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
        expect(mount.arg(&at).status()?.success(), "no disk can be made")?;
        cleanup::remember(Leftover::Mount(at.clone()));
        Ok(Self(at))
    }

    /// Fills it to the last octet.
    fn fill(&self) -> Result<()> {
        let mut ballast = std::fs::File::create(self.0.join("ballast"))?;
        for size in [65_536, 512, 1] {
            let octets = vec![0; size];
            while ballast.write_all(&octets).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        cleanup::unmount(&self.0);
        cleanup::forget(&Leftover::Mount(self.0.clone()));
    }
}

fn disk_full() -> Result<String> {
    let topology = topology()?;
    let folder = tempfile::tempdir()?;
    let disk = Disk::mount(folder.path().join("state"))?;
    let mut lnsd = Lnsd::start_in(&topology.lns, &Manifest::default().yaml(), folder)?;
    let some = || Options {
        sessions: 50,
        ..options()
    };
    let first = Lac::up(&topology.lac, some())?;
    let degraded = |lnsd: &Lnsd<'_>| -> Result<bool> {
        let status = lnsd.json(&["status"])?;
        Ok(status.pointer("/records/degraded") == Some(&Value::Bool(true)))
    };
    expect(!degraded(&lnsd)?, "it is degraded while there is room")?;

    disk.fill()?;
    let second = Options {
        from: net::OTHER_LAC,
        ..some()
    };
    let second = Lac::up(&topology.lac, second)?;
    lnsd.wait(
        Duration::from_secs(10),
        "it says that nothing is stored",
        degraded,
    )?;
    let said = lnsd.table(&["status"])?;
    expect(said.contains("NOT STORED"), said)?;
    expect(
        lnsd.metric("lns_records_degraded", &[])? == 1,
        "no metric says so",
    )?;

    disk.make_room()?;
    lnsd.wait(Duration::from_secs(20), "all is stored", |lnsd| {
        Ok(!degraded(lnsd)?)
    })?;
    let before = known(&lnsd)?;
    kill(&mut lnsd, Signal::SIGKILL)?;
    expect(
        known(&lnsd)? == before,
        "the sessions are not those of before",
    )?;
    expect(before.len() == 100, format!("{} sessions", before.len()))?;
    first.close()?;
    second.close()?;
    drop(lnsd);
    drop(disk);
    Ok(String::new())
}

fn no_folder() -> Result<String> {
    let topology = topology()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    std::fs::create_dir(&state)?;
    std::fs::write(state.join("records"), "in the way")?;
    let lnsd = Lnsd::start_in(&topology.lns, &Manifest::default().yaml(), folder)?;
    let some = Options {
        sessions: 50,
        ..options()
    };
    Lac::up(&topology.lac, some)?.close()?;
    let said = lnsd.table(&["status"])?;
    expect(said.contains("NOT STORED"), said)?;
    let log = lnsd.log();
    let line = log
        .lines()
        .find(|line| line.contains("/records cannot be opened"));
    Ok(line.context("the log does not say so")?.to_owned())
}
