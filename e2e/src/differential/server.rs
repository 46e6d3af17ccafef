//! The two servers: `lnsd`, and Debian's l2tpns with FreeRADIUS for its users. Both have the same
//! secret, the same subscriber and the same addresses.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::play::{self, Observation};
use super::script::Script;
use crate::cleanup::{self, Leftover};
use crate::lnsd::{Lnsd, take_overdue};
use crate::manifest::{Lac, Manifest};
use crate::net::{Namespace, Topology};

/// How long l2tpns may take until it has made itself master of its cluster.
const START: Duration = Duration::from_secs(60);

/// Plays the scripts against `lnsd`.
pub(super) fn on_lnsd(scripts: &[&Script]) -> Result<Vec<Vec<Observation>>> {
    let topology = Topology::create()?;
    let lnsd = Lnsd::start(&topology.lns, &manifest())?;
    let played = play::play_all(&topology.lac, scripts)
        .with_context(|| format!("lnsd\n{}", lnsd.log_tail()))?;
    drop(lnsd);
    let overdue = take_overdue();
    ensure!(overdue == 0, "the sweep found {overdue} overdue");
    Ok(played)
}

/// Plays the scripts against l2tpns, which lies unpacked in `root`.
pub(super) fn on_l2tpns(root: &Path, scripts: &[&Script]) -> Result<Vec<Vec<Observation>>> {
    let topology = Topology::create()?;
    let mut l2tpns = L2tpns::start(&topology.lns, root)?;
    l2tpns.wait_ready(&topology.lac)?;
    let played = play::play_all(&topology.lac, scripts);
    played.with_context(|| format!("l2tpns\n{}", l2tpns.log()))
}

/// Unpacks l2tpns and FreeRADIUS where that is not done yet, and says where they are.
pub(crate) fn unpack() -> Result<PathBuf> {
    let output = Command::new(super::FOLDER.to_owned() + "/build")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("running e2e/differential/build")?;
    if !output.status.success() {
        bail!("e2e/differential/build failed");
    }
    let path = String::from_utf8_lossy(&output.stdout);
    Ok(PathBuf::from(path.trim()))
}

fn manifest() -> Manifest {
    Manifest {
        lacs: vec![
            Lac {
                name: "open",
                from: "198.51.100.20/32",
                secret: None,
                ..Lac::default()
            },
            Lac::default(),
        ],
        // l2tpns knows no MS-CHAPv2.
        authentication: "[CHAP, PAP]",
        ..Manifest::default()
    }
}

/// Puts configuration and the machine's devices over the folders of a root, for itself alone, and becomes
/// the program in it. `$1` is the root; then come a folder and its name in `/etc`, as often as wanted, `--`
/// and the program.
const ENTER: &str = r#"
    set -e
    root=$1
    shift
    while [ "$1" != -- ]; do
        mount --bind "$1" "$root/etc/$2"
        shift 2
    done
    shift
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" "$@"
"#;

/// A command in the unpacked `root`, to which the program and its arguments are still to be added. Each
/// folder of `configuration` lies in `/etc` there, by its name.
pub(crate) fn inside(root: &Path, configuration: &[(&Path, &str)]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", ENTER, "enter"])
        .arg(root);
    for (folder, name) in configuration {
        command.arg(folder).arg(name);
    }
    command.arg("--");
    command
}

/// l2tpns and its FreeRADIUS. Dropping it kills both.
pub(crate) struct L2tpns {
    children: Vec<(&'static str, Child)>,
    folder: tempfile::TempDir,
}

impl L2tpns {
    fn start(namespace: &Namespace, root: &Path) -> Result<Self> {
        let mut server = Self::configured(str::to_owned)?;
        let radius = [
            "/usr/sbin/freeradius",
            "-f",
            "-l",
            "stdout",
            "-d",
            "/etc/freeradius",
        ];
        server.spawn(namespace, root, "freeradius", &radius)?;
        server.spawn(namespace, root, "l2tpns", &["/usr/sbin/l2tpns"])?;
        Ok(server)
    }

    /// l2tpns alone, with `change` made to each of its files; who its users are is said elsewhere.
    pub(crate) fn alone(
        namespace: &Namespace,
        root: &Path,
        change: impl Fn(&str) -> String,
    ) -> Result<Self> {
        let mut server = Self::configured(change)?;
        server.spawn(namespace, root, "l2tpns", &["/usr/sbin/l2tpns"])?;
        Ok(server)
    }

    fn configured(change: impl Fn(&str) -> String) -> Result<Self> {
        let server = Self {
            children: Vec::new(),
            folder: tempfile::tempdir()?,
        };
        for (path, text) in CONFIGURATION {
            let path = server.folder.path().join(path);
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            std::fs::write(path, change(text))?;
        }
        Ok(server)
    }

    /// Waits until it takes tunnels.
    pub(crate) fn wait_ready(&mut self, lac: &Namespace) -> Result<()> {
        let give_up = Instant::now() + START;
        while !play::is_ready(lac)? {
            self.check()?;
            ensure!(
                Instant::now() < give_up,
                "l2tpns takes no tunnel\n{}",
                self.log()
            );
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        namespace: &Namespace,
        root: &Path,
        name: &'static str,
        program: &[&str],
    ) -> Result<()> {
        let log = std::fs::File::create(self.folder.path().join(name).with_extension("log"))?;
        let folder = |name| self.folder.path().join(name);
        let (l2tpns, radius) = (folder("l2tpns"), folder("freeradius"));
        let child = namespace.spawn(
            inside(root, &[(&l2tpns, "l2tpns"), (&radius, "freeradius")])
                .args(program)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
        )?;
        cleanup::remember(process(&child));
        self.children.push((name, child));
        Ok(())
    }

    /// Fails when one of the two has ended.
    fn check(&mut self) -> Result<()> {
        for (name, child) in &mut self.children {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log")))?;
                bail!("{name} ended with {status}\n{log}");
            }
        }
        Ok(())
    }

    /// The end of what both have said.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for (name, _) in &self.children {
            let path = self.folder.path().join(format!("{name}.log"));
            let octets = std::fs::read(path).unwrap_or_default();
            let log = String::from_utf8_lossy(&octets).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let first = lines.len().saturating_sub(12);
            for line in lines.get(first..).unwrap_or_default() {
                text.push_str(&format!("        | {name}: {line}\n"));
            }
        }
        text
    }
}

impl Drop for L2tpns {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            cleanup::forget(&process(child));
            // Both fail only if it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// What lies in `/etc`.
const CONFIGURATION: [(&str, &str); 5] = [
    (
        "l2tpns/startup-config",
        include_str!("../../differential/l2tpns/startup-config"),
    ),
    (
        "l2tpns/ip_pool",
        include_str!("../../differential/l2tpns/ip_pool"),
    ),
    ("l2tpns/users", ""),
    (
        "freeradius/radiusd.conf",
        include_str!("../../differential/freeradius/radiusd.conf"),
    ),
    (
        "freeradius/users",
        include_str!("../../differential/freeradius/users"),
    ),
];

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}
