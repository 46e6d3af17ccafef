//! `lnsd` as a user runs it: a process in the LNS's namespace, a manifest on disk, the commands.
//!
//! Each JSON answer that is fetched here is held to the OpenAPI document of the same process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cleanup::{self, Leftover};
use crate::contract;
use crate::http;
use crate::manifest::Manifest;
use crate::net::Namespace;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);

/// What the back-stop sweeps of all processes have found overdue since it was last asked for.
static OVERDUE: AtomicU64 = AtomicU64::new(0);

/// What the back-stop sweeps have found since the last call. Anything but 0 is a bug of `lnsd`.
pub(crate) fn take_overdue() -> u64 {
    OVERDUE.swap(0, Ordering::Relaxed)
}

/// A running `lnsd`. Dropping it notes what its back-stop sweep has found, and kills it.
#[derive(Debug)]
pub(crate) struct Lnsd<'a> {
    namespace: &'a Namespace,
    child: Child,
    folder: tempfile::TempDir,
    /// What its command line says of where its configuration is.
    arguments: Vec<String>,
    /// Another program than that of this release.
    other: Option<PathBuf>,
    /// Its OpenAPI document, once it was needed.
    document: OnceLock<Value>,
}

impl<'a> Lnsd<'a> {
    /// Starts it and waits until it serves subscribers.
    pub(crate) fn start(namespace: &'a Namespace, manifest: &Manifest) -> Result<Self> {
        Self::start_text(namespace, &manifest.yaml())
    }

    /// The same with the manifest's text.
    pub(crate) fn start_text(namespace: &'a Namespace, manifest: &str) -> Result<Self> {
        Self::start_in(namespace, manifest, tempfile::tempdir()?)
    }

    /// The same in a folder whose `state` may be there already.
    pub(crate) fn start_in(
        namespace: &'a Namespace,
        manifest: &str,
        folder: tempfile::TempDir,
    ) -> Result<Self> {
        std::fs::write(folder.path().join("cluster.yaml"), manifest)?;
        let arguments = by_manifest(folder.path());
        let mut lnsd = Self::launch_in(namespace, arguments, folder, None)?;
        lnsd.wait_ready()?;
        Ok(lnsd)
    }

    /// Starts it with these arguments in place of a manifest, and waits for nothing; `other`: another program than that
    /// of this release.
    pub(crate) fn launch(
        namespace: &'a Namespace,
        arguments: Vec<String>,
        other: Option<PathBuf>,
    ) -> Result<Self> {
        Self::launch_in(namespace, arguments, tempfile::tempdir()?, other)
    }

    fn launch_in(
        namespace: &'a Namespace,
        arguments: Vec<String>,
        folder: tempfile::TempDir,
        other: Option<PathBuf>,
    ) -> Result<Self> {
        Ok(Self {
            child: spawn(namespace, folder.path(), &arguments, other.as_deref())?,
            namespace,
            folder,
            arguments,
            other,
            document: OnceLock::new(),
        })
    }

    /// Starts it again after it ended, with the same manifest and state folder.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.relaunch()?;
        self.wait_ready()
    }

    /// The same, and waits for nothing.
    pub(crate) fn relaunch(&mut self) -> Result<()> {
        let other = self.other.as_deref();
        self.child = spawn(self.namespace, self.folder.path(), &self.arguments, other)?;
        // That of another program is another one.
        self.document = OnceLock::new();
        Ok(())
    }

    /// From its next start on it is this program; `None`: the one of this release.
    pub(crate) fn install(&mut self, other: Option<PathBuf>) {
        self.other = other;
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Writes another manifest into the file that the process reads.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        // Written beside and moved over, so that the process never reads half of it.
        let new = self.folder.path().join("new");
        std::fs::write(&new, manifest.yaml())?;
        Ok(std::fs::rename(new, self.manifest_path())?)
    }

    /// Writes a manifest's text into that file and waits until it is in force, or refused with the
    /// text that is the inner error.
    pub(crate) fn reload(&self, text: &str) -> Result<std::result::Result<(), String>> {
        let outcomes = || -> Result<[u64; 2]> {
            let count = |result| self.metric("lns_reloads_total", &[result]);
            Ok([count("result=\"applied\"")?, count("result=\"refused\"")?])
        };
        let [applied, refused] = outcomes()?;
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, self.manifest_path())?;
        self.wait(START, "the changed manifest is in force or refused", |_| {
            Ok(outcomes()? != [applied, refused])
        })?;
        if outcomes()? == [applied + 1, refused] {
            return Ok(Ok(()));
        }
        let status = self.json(&["status"])?;
        let error = status.pointer("/manifest/error").and_then(Value::as_str);
        Ok(Err(error.unwrap_or_default().to_owned()))
    }

    /// Where the manifest is.
    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.folder.path().join("cluster.yaml")
    }

    /// Its admin socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("state/admin.sock")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(id, signal).with_context(|| format!("sending {signal}"))
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self, patience: Duration) -> Result<ExitStatus> {
        let give_up = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                cleanup::forget(&process(&self.child));
                return Ok(status);
            }
            ensure!(
                Instant::now() < give_up,
                "lnsd did not end within {} s\n{}",
                patience.as_secs(),
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What a command prints, for people.
    pub(crate) fn table(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?;
        ensure!(
            output.status.success(),
            "lnsd {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a command prints, for programs.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.table(&[arguments, &["-o", "json"]].concat())?;
        let answer: Value = serde_json::from_str(&text)
            .with_context(|| format!("lnsd {} -o json: {text}", arguments.join(" ")))?;
        if let Some((path, page)) = answered_by(arguments) {
            let mut answer = answer.clone();
            if page {
                // The command has joined the pages.
                let page = answer.as_object_mut().context("an answer without keys")?;
                page.insert("next".to_owned(), Value::Null);
                // And says itself whether it has stopped before the last one.
                page.remove("more");
            }
            self.hold_to_document(("GET", path), 200, &answer)?;
        }
        Ok(answer)
    }

    /// Fails if the answer to `method path` is not as the process's own document says.
    pub(crate) fn hold_to_document(
        &self,
        (method, path): (&str, &str),
        status: u16,
        answer: &Value,
    ) -> Result<()> {
        if self.document.get().is_none() {
            let admin = SocketAddr::from(ADMIN);
            let text = self.namespace.enter(|| http::get(admin, DOCUMENT))??.1;
            self.document.set(serde_json::from_str(&text)?).ok();
        }
        let document = self.document.get().unwrap_or(&Value::Null);
        contract::check(document, (method, path), status, answer)
            .map_err(|problems| anyhow!("{method} {path} is not as {DOCUMENT} says: {problems}"))
    }

    /// The rows of a command's JSON answer, below `key`.
    pub(crate) fn rows(&self, key: &str, arguments: &[&str]) -> Result<Vec<Value>> {
        let answer = self.json(arguments)?;
        let rows = answer
            .get(key)
            .unwrap_or(&answer)
            .as_array()
            .with_context(|| format!("no list `{key}` in {answer}"))?;
        Ok(rows.clone())
    }

    /// A number of `lnsd status`.
    pub(crate) fn status(&self, key: &str) -> Result<u64> {
        let answer = self.json(&["status"])?;
        answer
            .get(key)
            .and_then(Value::as_u64)
            .with_context(|| format!("no number `{key}` in {answer}"))
    }

    /// Runs a command of the same program against this process.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        self.namespace.output(
            Command::new(program()?)
                .args(arguments)
                .arg("--state")
                .arg(self.folder.path().join("state")),
        )
    }

    /// Starts a command of the same program against this process.
    pub(crate) fn spawn(&self, arguments: &[&str], stdout: Stdio) -> Result<Child> {
        self.namespace.spawn(
            Command::new(program()?)
                .args(arguments)
                .arg("--state")
                .arg(self.folder.path().join("state"))
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(Stdio::null()),
        )
    }

    /// The sum of a metric over all its series whose labels contain every one of `labels`, such as
    /// `reason="source_check"`. A metric that is not there is 0.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> Result<u64> {
        let text = self.get("/metrics")?.1;
        Ok(text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>() as u64)
    }

    /// The whole text of `/metrics` without comments, for comparison.
    pub(crate) fn metrics(&self) -> Result<Vec<String>> {
        let text = self.get("/metrics")?.1;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(str::to_owned).collect())
    }

    /// A GET of the admin address.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String)> {
        let admin = SocketAddr::from(ADMIN);
        let (status, text) = self.namespace.enter(|| http::get(admin, path))??;
        if path != DOCUMENT
            && let Ok(answer) = serde_json::from_str(&text)
        {
            self.hold_to_document(("GET", path), status, &answer)?;
        }
        Ok((status, text))
    }

    /// Waits until `what` holds.
    pub(crate) fn wait(
        &self,
        patience: Duration,
        what: &str,
        mut holds: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let give_up = Instant::now() + patience;
        while !holds(self)? {
            ensure!(
                Instant::now() < give_up,
                "not within {} s: {what}\n{}",
                patience.as_secs(),
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// MiB that it has in memory.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.memory_of("VmRSS:")
    }

    /// MiB, by the name of a figure in `/proc/PID/status`.
    pub(crate) fn memory_of(&self, figure: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(figure));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no {figure} of lnsd"))? / 1024)
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        let octets = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// The last lines of the log, indented, for a failure's message.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log())
    }

    /// CPU time of the process so far, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let field = |n| {
            rest.split_whitespace()
                .nth(n)
                .and_then(|n| n.parse::<u64>().ok())
        };
        let (user, system) = field(11).zip(field(12)).context("/proc/PID/stat")?;
        // Linux counts in hundredths of a second there, whatever its tick is.
        Ok(Duration::from_millis((user + system) * 10))
    }

    fn wait_ready(&mut self) -> Result<()> {
        let give_up = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait()? {
                cleanup::forget(&process(&self.child));
                bail!("lnsd ended with {status}\n{}", self.log_tail());
            }
            if matches!(self.get("/readyz"), Ok((200, _))) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "lnsd is not ready after {} s\n{}",
                START.as_secs(),
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Lnsd<'_> {
    fn drop(&mut self) {
        cleanup::forget(&process(&self.child));
        // One that has ended already says nothing more.
        OVERDUE.fetch_add(self.status("overdue").unwrap_or(0), Ordering::Relaxed);
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs `lnsd run` to its end, which is expected to come by itself: exit code and standard error.
pub(crate) fn run_to_end(namespace: &Namespace, manifest: &str) -> Result<(i32, String)> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("cluster.yaml"), manifest)?;
    end_of(namespace, folder.path(), &by_manifest(folder.path()))
}

/// The same with these arguments in place of a manifest.
pub(crate) fn run_with(namespace: &Namespace, arguments: &[String]) -> Result<(i32, String)> {
    end_of(namespace, tempfile::tempdir()?.path(), arguments)
}

fn end_of(namespace: &Namespace, folder: &Path, arguments: &[String]) -> Result<(i32, String)> {
    let mut child = spawn(namespace, folder, arguments, None)?;
    let give_up = Instant::now() + START;
    while child.try_wait()?.is_none() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(10));
    }
    cleanup::forget(&process(&child));
    let ended = child.try_wait()?;
    if ended.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let log = std::fs::read_to_string(folder.join("log"))?;
    let status = ended.with_context(|| format!("lnsd went on running\n{}", tail(&log)))?;
    Ok((status.code().unwrap_or(-1), log))
}

/// Runs `lnsd check` on a manifest's text: exit code and all that it printed.
pub(crate) fn check(manifest: &str) -> Result<(i32, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cluster.yaml");
    std::fs::write(&path, manifest)?;
    let output = Command::new(program()?)
        .args(["check", "--manifest"])
        .arg(&path)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// The program: `$LNSD`, or the one that was built beside this one.
pub(crate) fn program() -> Result<PathBuf> {
    let path = match std::env::var_os("LNSD") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("lnsd"),
    };
    ensure!(
        path.exists(),
        "there is no {}: build it with `cargo build -p lnsd`",
        path.display()
    );
    Ok(path)
}

/// Where the admin interface is in the namespace of the LNS.
pub(crate) const ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 9171);

/// What programs are told of the admin interface.
const DOCUMENT: &str = "/v1/openapi.json";

/// What a command shows as it is, and whether it is a page.
fn answered_by(arguments: &[&str]) -> Option<(&'static str, bool)> {
    match arguments.first() {
        Some(&"status") => Some(("/v1/status", false)),
        Some(&"lacs") => Some(("/v1/lacs", false)),
        Some(&"pools") => Some(("/v1/pools", false)),
        Some(&"session") => Some(("/v1/sessions/0.0", false)),
        Some(&"failures") => Some(("/v1/failures", true)),
        Some(&"flows") => Some(("/v1/flows", true)),
        Some(&"policies") if arguments.len() > 1 => Some(("/v1/policies/name", false)),
        Some(&"policies") => Some(("/v1/policies", false)),
        Some(&"tunnels") => Some(("/v1/tunnels", true)),
        Some(&"sessions") => Some(("/v1/sessions", true)),
        _ => None,
    }
}

/// What tells it of the manifest in this folder.
fn by_manifest(folder: &Path) -> Vec<String> {
    let manifest = folder.join("cluster.yaml");
    vec!["--manifest".into(), manifest.display().to_string()]
}

fn spawn(
    namespace: &Namespace,
    folder: &Path,
    arguments: &[String],
    other: Option<&Path>,
) -> Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let program = other.map_or_else(program, |other| Ok(other.to_owned()))?;
    let child = namespace.spawn(
        Command::new(program)
            .arg("run")
            .args(arguments)
            .args(["--admin", &SocketAddr::from(ADMIN).to_string()])
            .arg("--state")
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log),
    )?;
    cleanup::remember(process(&child));
    Ok(child)
}

fn process(child: &Child) -> Leftover {
    Leftover::Process(i32::try_from(child.id()).unwrap_or(0))
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let first = lines.len().saturating_sub(12);
    let tail = lines.get(first..).unwrap_or_default();
    tail.iter()
        .map(|line| format!("        | {line}\n"))
        .collect()
}
