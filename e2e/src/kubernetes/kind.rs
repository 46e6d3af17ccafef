//! The Kubernetes of kind: what the scripts of `e2e/kind` do, kubectl and helm, and files on a node.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cleanup::{self, Leftover};
use crate::cluster::network::Place;

/// Where everything of ours is.
pub(crate) const NAMESPACE: &str = "lns";
/// The node that has the control plane, and what the LNS stands on.
pub(crate) const CONTROL_PLANE: &str = "kubelns-control-plane";
const DOWN: &str = "e2e/kind/down";
/// What of the environment says where the cluster is.
const NAMES: [&str; 3] = ["DOCKER_HOST", "KUBECONFIG", "PATH"];

/// The node of a place, as Kubernetes and Docker call it.
pub(crate) fn node_of(place: Place) -> String {
    match place.0 {
        0 => "kubelns-worker".to_owned(),
        number => format!("kubelns-worker{}", number + 1),
    }
}

/// The place of a node.
pub(crate) fn place_of(node: &str) -> Option<Place> {
    Place::ALL.into_iter().find(|place| node_of(*place) == node)
}

/// A cluster that runs. Dropping it ends it, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Kind {
    environment: Vec<(String, String)>,
    is_kept: bool,
}

impl Kind {
    /// Brings it up.
    pub(crate) fn up(is_kept: bool) -> Result<Self> {
        let mut kind = Self {
            environment: Vec::new(),
            is_kept,
        };
        if !is_kept {
            cleanup::remember(Leftover::Script(DOWN));
        }
        text(&mut Command::new("e2e/kind/up"))?;
        let script = "source e2e/.cache/kind/env && env -0";
        let all = text(Command::new("bash").args(["-c", script]))?;
        let pairs = all.split('\0').filter_map(|pair| pair.split_once('='));
        let ours = pairs.filter(|(name, _)| NAMES.contains(name));
        // What was built together with this program is found behind all that: kubectl's plug-in.
        let beside = std::env::current_exe()?;
        let beside = beside.parent().context("this program is in no folder")?;
        let found = |(name, value): (&str, &str)| match name {
            "PATH" => (name.to_owned(), format!("{value}:{}", beside.display())),
            _ => (name.to_owned(), value.to_owned()),
        };
        kind.environment = ours.map(found).collect();
        Ok(kind)
    }

    /// A program that knows where the cluster is.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What kubectl prints, in our namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        // Who only looks gives up soon: the API server may be what is away.
        let soon = arguments.first() == Some(&"get");
        text(
            self.command("kubectl")
                .args(["--namespace", NAMESPACE])
                .args(soon.then_some("--request-timeout=10s"))
                .args(arguments),
        )
    }

    /// An object, or a list of them.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl get {arguments:?}"))
    }

    /// Applies a stream of manifests, as their owner.
    pub(crate) fn apply(&self, stream: &str) -> Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let mut child = self
            .command("kubectl")
            .args(["--namespace", NAMESPACE])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(stream.as_bytes())?;
        }
        succeeded("kubectl apply", &child.wait_with_output()?)
    }

    /// Changes parts of an object (RFC 7396).
    pub(crate) fn patch(&self, object: &str, change: &Value) -> Result<()> {
        let change = change.to_string();
        self.kubectl(&["patch", object, "--type=merge", "-p", &change])?;
        Ok(())
    }

    /// Puts a spec in place of the one that an object has.
    pub(crate) fn replace_spec(&self, object: &str, spec: &Value) -> Result<()> {
        let change = json!([{ "op": "replace", "path": "/spec", "value": spec }]).to_string();
        self.kubectl(&["patch", object, "--type=json", "-p", &change])?;
        Ok(())
    }

    /// What helm prints.
    pub(crate) fn helm(&self, arguments: &[&str]) -> Result<String> {
        text(
            self.command("helm")
                .args(["--namespace", NAMESPACE])
                .args(arguments),
        )
    }

    /// Runs a program on a node.
    pub(crate) fn on(&self, node: &str, program: &[&str]) -> Result<String> {
        text(self.command("docker").args(["exec", node]).args(program))
    }

    /// The first process of a node; none if it does not run.
    pub(crate) fn process(&self, node: &str) -> Result<Option<u32>> {
        let arguments = ["inspect", "-f", "{{.State.Pid}}", node];
        let answer = text(self.command("docker").args(arguments))?;
        let process: u32 = answer.trim().parse()?;
        Ok((process != 0).then_some(process))
    }

    /// A path on a node, as this machine has it.
    pub(crate) fn path(&self, node: &str, path: &str) -> Result<PathBuf> {
        let process = self.process(node)?;
        let process = process.with_context(|| format!("{node} does not run"))?;
        Ok(PathBuf::from(format!("/proc/{process}/root{path}")))
    }

    /// Waits until `what` holds; an error is an answer not given.
    pub(crate) fn wait(
        &self,
        patience: Duration,
        what: &str,
        mut holds: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let give_up = Instant::now() + patience;
        loop {
            let held = holds(self);
            if matches!(held, Ok(true)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "not within {} s: {what}{}",
                patience.as_secs(),
                held.err()
                    .map_or_else(String::new, |error| format!("; {error:#}"))
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        if !self.is_kept {
            cleanup::end_by(DOWN);
            cleanup::forget(&Leftover::Script(DOWN));
        }
    }
}

/// Runs one of the scripts of `e2e/kind`.
pub(crate) fn script(name: &str, arguments: &[&str]) -> Result<()> {
    text(Command::new(format!("e2e/kind/{name}")).args(arguments))?;
    Ok(())
}

/// A fault of a node, or its end.
pub(crate) fn fault(place: Place, what: &str) -> Result<()> {
    script("node", &[&node_of(place), what])
}

/// What a program prints. Fails with its own words.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(std::ffi::OsStr::to_string_lossy).collect();
    let shown: String = words.join(" ").chars().take(200).collect();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("running {shown}"))?;
    succeeded(&shown, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn succeeded(shown: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.trim().lines().collect();
    let last = lines.get(lines.len().saturating_sub(5)..);
    bail!("{shown}: {}", last.unwrap_or_default().join("\n"))
}
