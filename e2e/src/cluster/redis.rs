//! Redis with a replica, and a Sentinel that watches both, in the management network.
//!
//! Each has a configuration file of its own, which Redis and Sentinel rewrite after a failover: one that
//! is started again finds what it was told last.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::network::MANAGEMENT;
use crate::cleanup::{self, Leftover};
use crate::net::Namespace;

/// The ports of the two servers.
pub(crate) const PORTS: [u16; 2] = [6379, 6380];
/// The port of the Sentinel.
pub(crate) const SENTINEL: u16 = 26379;
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// All three. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    namespace: &'a Namespace,
    folder: tempfile::TempDir,
    children: Vec<(u16, Child)>,
}

impl<'a> Store<'a> {
    /// Starts all three and waits until the replica is in step.
    pub(crate) fn start(namespace: &'a Namespace) -> Result<Self> {
        let mut store = Self {
            namespace,
            folder: tempfile::tempdir()?,
            children: Vec::new(),
        };
        let [master, replica] = PORTS;
        for port in PORTS {
            let folder = store.folder.path().join(port.to_string());
            std::fs::create_dir(&folder)?;
            let mut text = format!(
                "bind {MANAGEMENT}\nport {port}\nprotected-mode no\ndir {}\nappendonly yes\nsave \"\"\n\
                 min-replicas-to-write 1\nmin-replicas-max-lag 5\nrepl-diskless-sync-delay 0\n",
                folder.display()
            );
            if port == replica {
                text.push_str(&format!("replicaof {MANAGEMENT} {master}\n"));
            }
            std::fs::write(folder.join("redis.conf"), text)?;
            store.restart(port)?;
        }
        store.wait("the replica is in step", |store| {
            let info = store.ask(replica, &["INFO", "replication"])?;
            Ok(info.contains("master_link_status:up"))
        })?;
        store.start_sentinel(master)?;
        Ok(store)
    }

    fn start_sentinel(&mut self, master: u16) -> Result<()> {
        let folder = self.folder.path().join(SENTINEL.to_string());
        std::fs::create_dir(&folder)?;
        let text = format!(
            "bind {MANAGEMENT}\nport {SENTINEL}\nprotected-mode no\ndir {}\n\
             sentinel monitor lns {MANAGEMENT} {master} 1\n\
             sentinel down-after-milliseconds lns 2000\nsentinel failover-timeout lns 10000\n",
            folder.display()
        );
        std::fs::write(folder.join("redis.conf"), text)?;
        self.restart(SENTINEL)?;
        self.wait("the Sentinel knows the replica", |store| {
            let known = store.ask(SENTINEL, &["SENTINEL", "MASTER", "lns"])?;
            let mut words = known.lines();
            let found = words.find(|word| *word == "num-slaves").is_some();
            Ok(found && words.next() == Some("1"))
        })
    }

    /// Starts the one at this port, also after [`Self::kill`].
    pub(crate) fn restart(&mut self, port: u16) -> Result<()> {
        let folder = self.folder.path().join(port.to_string());
        let child = spawn(self.namespace, &folder, port == SENTINEL)?;
        cleanup::remember(process(&child));
        self.children.retain(|(known, _)| *known != port);
        self.children.push((port, child));
        self.wait("a server answers", |store| {
            let answer = store.ask(port, &["PING"])?;
            Ok(answer.trim() == "PONG")
        })
    }

    /// Ends the one at this port as a power cut does.
    pub(crate) fn kill(&mut self, port: u16) -> Result<()> {
        let found = self.children.iter_mut().find(|(known, _)| *known == port);
        let (_, child) = found.context("no such server")?;
        cleanup::forget(&process(child));
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends the one at this port a signal.
    pub(crate) fn signal(&self, port: u16, signal: Signal) -> Result<()> {
        let found = self.children.iter().find(|(known, _)| *known == port);
        let (_, child) = found.context("no such server")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        kill(pid, signal).with_context(|| format!("sending {signal} to Redis"))
    }

    /// The port of the server that the Sentinel takes for the master.
    pub(crate) fn master(&self) -> Result<u16> {
        let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "lns"];
        let answer = self.ask(SENTINEL, &command)?;
        let port = answer.lines().nth(1).context("the Sentinel knows none")?;
        Ok(port.trim().parse()?)
    }

    /// What a server answers, as redis-cli prints it where no person reads.
    pub(crate) fn ask(&self, port: u16, command: &[&str]) -> Result<String> {
        let output = self.namespace.output(
            Command::new("redis-cli")
                .args(["-h", &MANAGEMENT.to_string(), "-p", &port.to_string()])
                .args(command),
        )?;
        Ok(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
    }

    /// Waits until Sentinel's master has its replica, and takes writes.
    pub(crate) fn wait_whole(&self) -> Result<()> {
        self.wait("a master with its replica", |store| {
            let info = store.ask(store.master()?, &["INFO", "replication"])?;
            Ok(info.contains("role:master") && info.contains("min_slaves_good_slaves:1"))
        })
    }

    /// Waits until `what` holds.
    pub(crate) fn wait(
        &self,
        what: &str,
        mut holds: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let give_up = Instant::now() + START;
        while !holds(self)? {
            ensure!(Instant::now() < give_up, "Redis, not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Store<'_> {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            cleanup::forget(&process(child));
            // Both fail only if it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn spawn(namespace: &Namespace, folder: &Path, is_sentinel: bool) -> Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let mut command = Command::new("redis-server");
    command.arg(folder.join("redis.conf"));
    if is_sentinel {
        command.arg("--sentinel");
    }
    namespace.spawn(
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log),
    )
}

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}
