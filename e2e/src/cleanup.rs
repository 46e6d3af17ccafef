//! What a run must not leave behind: the processes that it started and the network namespaces that
//! it made.
//!
//! Owners remove their things when they are dropped, which covers a normal end, an error and a
//! panic. This list covers the rest: on SIGINT or SIGTERM it is emptied before the process ends.
//! Only a SIGKILL gets past it; [`crate::net::Topology`] removes what such a run left.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

/// One thing to remove.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Leftover {
    /// A child process, by its id.
    Process(i32),
    /// A named network namespace.
    Namespace(String),
    /// What is mounted there.
    Mount(PathBuf),
    /// What this script ends.
    Script(&'static str),
}

static LIST: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

/// Remembers `leftover` until [`forget`] is called for it.
pub(crate) fn remember(leftover: Leftover) {
    list().push(leftover);
}

/// Takes `leftover` from the list; its owner has removed it.
pub(crate) fn forget(leftover: &Leftover) {
    list().retain(|known| known != leftover);
}

/// Deletes a namespace by name. A missing one is not an error.
pub(crate) fn delete_namespace(name: &str) {
    let deleted = Command::new("ip")
        .args(["netns", "delete", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = deleted {
        eprintln!("namespace {name} stays: {error}");
    }
}

/// Runs a script that ends something.
pub(crate) fn end_by(script: &str) {
    match Command::new(script).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("{script} ended with {status}"),
        Err(error) => eprintln!("{script}: {error}"),
    }
}

/// Unmounts what is mounted at `at`, whoever uses it still.
pub(crate) fn unmount(at: &Path) {
    let unmounted = Command::new("umount")
        .arg("--lazy")
        .arg(at)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = unmounted {
        eprintln!("{} stays mounted: {error}", at.display());
    }
}

/// Runs `work` on a thread of its own and gives its result; on SIGINT or SIGTERM removes everything
/// on the list and ends the process with the shell's exit code for that signal.
pub(crate) fn guard<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("work".into())
            .spawn(move || done.send(work()).is_ok())?;
        tokio::select! {
            result = ended => match result {
                Ok(result) => result,
                Err(_) => anyhow::bail!("the run ended with a panic"),
            },
            _ = interrupt.recv() => abandon(130),
            _ = terminate.recv() => abandon(143),
        }
    })
}

fn abandon(code: i32) -> ! {
    // The lock is kept: a worker that is about to start something more waits for it until the end.
    let mut list = list();
    for leftover in list.drain(..).rev() {
        match leftover {
            Leftover::Process(id) => {
                // It may have ended by itself, and then there is nothing to do.
                kill(Pid::from_raw(id), Signal::SIGKILL).ok();
            }
            Leftover::Namespace(name) => delete_namespace(&name),
            Leftover::Mount(at) => unmount(&at),
            Leftover::Script(path) => end_by(path),
        }
    }
    eprintln!("interrupted: processes ended, namespaces removed");
    std::process::exit(code)
}

fn list() -> MutexGuard<'static, Vec<Leftover>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}
