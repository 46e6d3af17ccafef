//! Network namespaces: the LAC, the LNS and the core behind it, joined by veth pairs.
//!
//! ```text
//!   lac                      lns                        core
//!   198.51.100.10/24 ─acc0─ 198.51.100.1/24
//!                            192.0.2.1/32 on lo
//!                            203.0.113.1/24 ─core0─ 203.0.113.10/24
//! ```
//!
//! The names carry the id of the process that made them (`kl-1234-1-lac`), so that runs do not
//! meet, and so that a later run can tell which of them belong to a process that is gone.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::cleanup::{self, Leftover};

/// Where the LNS is reached: on the loopback interface of its namespace.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The LAC's address.
pub(crate) const LAC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// A second LAC in the same network.
pub(crate) const OTHER_LAC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
/// An address that no `lacs[].from` of ours covers.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 10);
/// The LNS's address towards the LACs.
pub(crate) const LNS_ACCESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The LNS's address towards the core.
pub(crate) const LNS_CORE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The host in the core that subscribers talk to.
pub(crate) const CORE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const PREFIX: &str = "kl-";

/// A network namespace that is deleted when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `name` and sets its loopback interface up.
    pub(crate) fn create(name: String) -> Result<Self> {
        cleanup::remember(Leftover::Namespace(name.clone()));
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Gives the namespace of a process, which somebody else made, the name `name`. Dropping it takes the name
    /// away, and the namespace is its owner's still.
    pub(crate) fn attach(name: String, process: u32) -> Result<Self> {
        cleanup::remember(Leftover::Namespace(name.clone()));
        run(Command::new("ip").args(["netns", "attach", &name, &process.to_string()]))?;
        Ok(Self { name })
    }

    /// Its name, as `ip netns list` shows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` commands in this namespace, one per item.
    pub(crate) fn ip(&self, commands: &[&str]) -> Result<()> {
        for command in commands {
            run(Command::new("ip")
                .args(["-n", &self.name])
                .args(command.split_whitespace()))?;
        }
        Ok(())
    }

    /// Writes a setting below `/proc/sys` as this namespace sees it.
    pub(crate) fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("writing {value} to {}", path.display()))
    }

    /// Reads a file, such as one below `/proc/sys/net`, as this namespace sees it.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        self.enter(|| std::fs::read_to_string(path))?
            .with_context(|| format!("reading {path}"))
    }

    /// Runs `work` on a thread inside this namespace. Sockets, interfaces and processes that it
    /// makes belong to the namespace for good.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                join_namespace(&self.name)?;
                Ok(work())
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a thread that stays inside this namespace.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<Result<T>> {
        let name = self.name.clone();
        std::thread::spawn(move || {
            join_namespace(&name)?;
            Ok(work())
        })
    }

    /// Starts a process inside this namespace.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.enter(|| command.spawn())?
            .with_context(|| format!("starting {program}"))
    }

    /// Runs a program to its end inside this namespace and gives what it printed.
    pub(crate) fn output(&self, command: &mut Command) -> Result<std::process::Output> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.enter(|| command.stdin(Stdio::null()).output())?
            .with_context(|| format!("running {program}"))
    }

    /// Loads nftables rules into this namespace.
    pub(crate) fn nft(&self, rules: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), rules)?;
        let output = self.output(Command::new("nft").arg("-f").arg(file.path()))?;
        if !output.status.success() {
            bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Everything of this namespace that a program could leave behind, as text: links, routes,
    /// rules, packet filters. Two equal snapshots mean that nothing was left.
    pub(crate) fn footprint(&self) -> Result<String> {
        let mut text = String::new();
        for command in [
            "ip -br link",
            "ip -4 route show table all",
            "ip -4 rule",
            "nft list ruleset",
        ] {
            let mut words = command.split_whitespace();
            let program = words.next().unwrap_or_default();
            let output = self.output(Command::new(program).args(words))?;
            text.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        Ok(text)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        cleanup::delete_namespace(&self.name);
        cleanup::forget(&Leftover::Namespace(std::mem::take(&mut self.name)));
    }
}

/// Makes a namespace for each of these roles.
pub(crate) fn namespaces<const N: usize>(roles: [&str; N]) -> Result<[Namespace; N]> {
    static RUN: AtomicU32 = AtomicU32::new(1);
    if !nix::unistd::geteuid().is_root() {
        bail!("network namespaces need root: run this with sudo");
    }
    remove_stale()?;
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let name = |role| format!("{PREFIX}{}-{run}-{role}", std::process::id());
    let made: Result<Vec<_>> = roles
        .iter()
        .map(|role| Namespace::create(name(role)))
        .collect();
    made?
        .try_into()
        .map_err(|_| anyhow::anyhow!("a namespace for each role"))
}

/// The three namespaces of a run.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Where the LAC and its subscribers live.
    pub(crate) lac: Namespace,
    /// Where `lnsd` runs.
    pub(crate) lns: Namespace,
    /// The network that subscribers reach.
    pub(crate) core: Namespace,
}

impl Topology {
    /// Makes the namespaces, links, addresses and routes.
    pub(crate) fn create() -> Result<Self> {
        let [lac, lns, core] = namespaces(["lac", "lns", "core"])?;
        let topology = Self { lac, lns, core };
        topology.wire()?;
        topology.wait_for_carrier()?;
        Ok(topology)
    }

    /// The names of all three.
    pub(crate) fn names(&self) -> [String; 3] {
        [&self.lac, &self.lns, &self.core].map(|space| space.name().to_owned())
    }

    /// Waits until the links of the LNS have noticed that their other ends are up; before, its routes
    /// are marked as dead.
    fn wait_for_carrier(&self) -> Result<()> {
        let give_up = Instant::now() + Duration::from_secs(5);
        loop {
            let output = self.lns.output(Command::new("ip").args(["-br", "link"]))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let links = text.lines().filter(|line| line.contains('@'));
            if links.filter(|line| line.contains(" UP ")).count() == 2 {
                return Ok(());
            }
            if Instant::now() >= give_up {
                bail!("the links of the LNS stay down: {text}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wire(&self) -> Result<()> {
        let Self { lac, lns, core } = self;
        lns.ip(&[
            &format!(
                "link add acc0 type veth peer name acc0 netns {}",
                lac.name()
            ),
            &format!(
                "link add core0 type veth peer name core0 netns {}",
                core.name()
            ),
            "link set acc0 up",
            "link set core0 up",
            &format!("address add {LNS_ACCESS}/24 dev acc0"),
            "address add 198.18.0.1/24 dev acc0",
            &format!("address add {LNS_CORE}/24 dev core0"),
            &format!("address add {VIP}/32 dev lo"),
        ])?;
        lac.ip(&[
            "link set acc0 up",
            &format!("address add {LAC}/24 dev acc0"),
            &format!("address add {OTHER_LAC}/24 dev acc0"),
            &format!("address add {STRANGER}/24 dev acc0"),
            &format!("route add {VIP}/32 via {LNS_ACCESS}"),
        ])?;
        core.ip(&[
            "link set core0 up",
            &format!("address add {CORE}/24 dev core0"),
            &format!("route add 100.64.0.0/10 via {LNS_CORE}"),
        ])?;
        lns.sysctl("net/ipv4/ip_forward", "1")
    }
}

/// The names of the namespaces of ours that exist now.
pub(crate) fn existing(names: &[String]) -> Vec<String> {
    names
        .iter()
        .filter(|name| namespace_file(name).exists())
        .cloned()
        .collect()
}

/// Removes namespaces that a run left which was killed with SIGKILL.
fn remove_stale() -> Result<()> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(maker) = name.strip_prefix(PREFIX).and_then(|rest| {
            let (id, role) = rest.split_once('-')?;
            role.split_once('-')?;
            id.parse::<u32>().ok()
        }) else {
            continue;
        };
        if !Path::new("/proc").join(maker.to_string()).exists() {
            cleanup::delete_namespace(&name);
        }
    }
    Ok(())
}

/// A name for a namespace that is somebody else's.
pub(crate) fn name_of(role: &str) -> String {
    format!("{PREFIX}{}-0-{role}", std::process::id())
}

fn join_namespace(name: &str) -> Result<()> {
    let file = std::fs::File::open(namespace_file(name))
        .with_context(|| format!("opening namespace {name}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering namespace {name}"))
}

fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Runs a program and fails with its own words.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
