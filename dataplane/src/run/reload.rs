//! Takes over a changed manifest while sessions live on.
//!
//! A manifest is taken over whole or not at all: one that is invalid, or asks for something that a
//! running process cannot change, leaves the old one in force, and `lnsd status` says so. Prefixes
//! that the new one has no longer stay routed until the last session in them has ended.
//!
//! Who takes manifests over also says what one would change: [`Comparer`].

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_api::{Change as Difference, Manifest, diff, read_manifest};
use lns_node::view::SessionFilter;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::comparison::Comparison;
use super::control::{Asker, Gone};
use super::situation::Situation;
use crate::config::Setup;
use crate::host::{Host, Plan};

/// How long a changed file must rest: editors write in several steps.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How often it is looked whether the last session of a removed prefix has ended.
const LEFTOVER_INTERVAL: Duration = Duration::from_secs(10);

/// Slots per question when looking for sessions of removed prefixes.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// Changed fields that the log names; a larger change is read in the manifest itself.
const LOGGED_CHANGES: usize = 16;

/// Comparisons that wait: they are asked for one by one.
const COMPARISON_QUEUE: usize = 1;

/// Asks what a manifest would change.
#[derive(Clone, Debug)]
pub(crate) struct Comparer {
    questions: mpsc::Sender<Question>,
}

/// A manifest, and who wants to know.
#[derive(Debug)]
pub(super) struct Question {
    manifest: Manifest,
    answer: oneshot::Sender<Comparison>,
}

/// The way to ask, and what comes out at its other end.
pub(super) fn comparisons() -> (Comparer, mpsc::Receiver<Question>) {
    let (questions, asked) = mpsc::channel(COMPARISON_QUEUE);
    (Comparer { questions }, asked)
}

impl Comparer {
    /// What `manifest` would change in the running process. Changes nothing.
    pub(crate) async fn compare(&self, manifest: Manifest) -> Result<Comparison, Gone> {
        let (answer, answered) = oneshot::channel();
        let question = Question { manifest, answer };
        self.questions.send(question).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

/// What keeps node and machine as the manifest says.
#[derive(Debug)]
pub(super) struct Reloader {
    path: PathBuf,
    manifest: Manifest,
    setup: Setup,
    host: Host,
    asker: Asker,
    situation: Arc<Situation>,
    /// The machine still has more than the manifest says.
    leftovers: bool,
}

impl Reloader {
    /// With `manifest` in force.
    pub(super) fn new(
        path: PathBuf,
        manifest: Manifest,
        setup: Setup,
        host: Host,
        asker: Asker,
        situation: Arc<Situation>,
    ) -> Self {
        Self {
            path,
            manifest,
            setup,
            host,
            asker,
            situation,
            leftovers: false,
        }
    }

    /// Reloads whenever `changes` says so, until nobody can; then gives itself back. Answers
    /// `questions` in between.
    pub(super) async fn serve(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut questions: mpsc::Receiver<Question>,
    ) -> Self {
        let mut look_at = Instant::now() + LEFTOVER_INTERVAL;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(Change::File) => {
                        sleep(DEBOUNCE).await;
                        while changes.try_recv().is_ok() {}
                        self.reload(Change::File).await;
                    }
                    Some(Change::Signal) => self.reload(Change::Signal).await,
                    None => return self,
                },
                Some(Question { manifest, answer }) = questions.recv() => {
                    if let Ok(comparison) = self.compare(&manifest).await {
                        // Who has stopped waiting needs no answer.
                        let _unwanted = answer.send(comparison);
                    }
                }
                () = sleep_until(look_at), if self.leftovers => {
                    self.remove_leftovers().await;
                    look_at = Instant::now() + LEFTOVER_INTERVAL;
                }
            }
        }
    }

    /// Takes back what outlives the process, and says what could not be.
    pub(super) async fn remove(mut self) {
        for problem in self.host.remove().await {
            warn!("{problem}");
        }
    }

    async fn compare(&self, manifest: &Manifest) -> Result<Comparison, Gone> {
        let (needs_restart, refusal) = match Setup::new(manifest) {
            Ok(setup) => {
                let plan = setup.host.clone().with_leftovers_of(&self.setup.host);
                let possible = self.host.check(&plan).await;
                let refusal = possible.err().map(|problem| problem.to_string());
                (self.setup.needs_restart(&setup), refusal)
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let changes = diff(&self.manifest, manifest);
        Comparison::new(changes, &needs_restart, refusal, &self.asker).await
    }

    async fn reload(&mut self, change: Change) {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read_manifest(&path)).await;
        match read {
            Ok(Ok(manifest)) if manifest == self.manifest => self.unchanged(change),
            Ok(Ok(manifest)) => self.take_over(manifest, change).await,
            Ok(Err(problems)) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                refuse(&self.path, &self.situation, &problems);
            }
            Err(failed) => self.refuse(format!("the manifest could not be read: {failed}")),
        }
    }

    fn unchanged(&self, change: Change) {
        let put_right = self.situation.unchanged();
        match change {
            Change::File | Change::Signal if put_right => {
                info!(manifest = %self.path.display(), "the manifest is right again: it says what is in force");
            }
            Change::Signal => {
                info!(manifest = %self.path.display(), "SIGHUP: the manifest has not changed");
            }
            Change::File => {
                debug!(manifest = %self.path.display(), "the manifest says what it said before");
            }
        }
    }

    fn refuse(&self, why: String) {
        refuse(&self.path, &self.situation, &[why]);
    }

    async fn take_over(&mut self, manifest: Manifest, cause: Change) {
        let setup = match Setup::new(&manifest) {
            Ok(setup) => setup,
            Err(error) => return self.refuse(error.to_string()),
        };
        let fields = self.setup.needs_restart(&setup);
        if !fields.is_empty() {
            return self.refuse(format!(
                "restart needed: {} cannot change in a running process",
                fields.join(" and ")
            ));
        }
        let before = self.setup.host.clone();
        if let Err(problem) = self
            .host
            .apply(setup.host.clone().with_leftovers_of(&before))
            .await
        {
            if let Err(second) = self.host.apply(before).await {
                error!("and the machine could not be put back: {second}");
            }
            return self.refuse(problem.to_string());
        }
        if let Err(Refused(why)) = self.configure(&setup).await {
            return self.refuse(why);
        }
        self.leftovers = !before.is_within(&setup.host);
        for warning in &manifest.warnings {
            warn!("{warning}");
        }
        let changes = diff(&self.manifest, &manifest);
        info!(
            manifest = %self.path.display(),
            cause = cause.label(),
            changes = changes.len(),
            changed = named(&changes),
            "the changed manifest is in force"
        );
        self.situation.taken_over(manifest.warnings.clone());
        self.situation.show(&manifest);
        (self.manifest, self.setup) = (manifest, setup);
    }

    /// Gives workers and node their part.
    async fn configure(&self, setup: &Setup) -> Result<(), Refused> {
        let (pools, icmp_source) = (setup.pools.clone(), setup.icmp_source);
        let config = setup.node.clone();
        let done = self.asker.ask(move |control, now| {
            control.path.set_pools(&pools, icmp_source)?;
            control.node.handle_config(config, now);
            Ok(())
        });
        match done.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(lns_datapath::tables::NoMemory { .. })) => Err(Refused(
                "no memory for the tables of the new pools".to_owned(),
            )),
            Err(Gone) => Err(Refused("lnsd is ending".to_owned())),
        }
    }

    /// Takes away what only ended sessions had needed.
    async fn remove_leftovers(&mut self) {
        let wanted: Vec<Ipv4Net> = self.setup.host.subscribers.keys().copied().collect();
        if self.any_session_outside(wanted).await != Ok(false) {
            return;
        }
        match self.host.apply(self.setup.host.clone()).await {
            Ok(()) => {
                info!("the last session of the removed prefixes has ended; their routes are gone");
                self.leftovers = false;
            }
            Err(problem) => error!("routes of removed prefixes could not be taken away: {problem}"),
        }
    }

    async fn any_session_outside(&self, wanted: Vec<Ipv4Net>) -> Result<bool, Gone> {
        let wanted = Arc::new(wanted);
        let mut after = None;
        loop {
            let wanted = Arc::clone(&wanted);
            let question = self.asker.ask(move |control, now| {
                let page = control.node.sessions(
                    &SessionFilter::default(),
                    after,
                    SLOTS_PER_QUESTION,
                    now,
                );
                let mut addresses = page.sessions.iter().filter_map(|session| session.address);
                (
                    addresses.any(|address| !wanted.iter().any(|prefix| prefix.contains(&address))),
                    page.next,
                )
            });
            match question.await? {
                (true, _) => return Ok(true),
                (false, None) => return Ok(false),
                (false, next) => after = next,
            }
        }
    }
}

/// Keeps the old manifest: a line for each problem, and the first of them in the status.
fn refuse(path: &Path, situation: &Situation, problems: &[String]) {
    for problem in problems {
        error!(manifest = %path.display(), "the changed manifest is refused, the old one stays in force: {problem}");
    }
    let first = problems.first().cloned().unwrap_or_default();
    situation.refused(match problems.len().saturating_sub(1) {
        0 => first,
        more => format!("{first} (and {more} more)"),
    });
}

/// Why a valid manifest was not taken over.
struct Refused(String);

/// Why to look at the manifest again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Something happened to the file.
    File,
    /// SIGHUP.
    Signal,
}

impl Change {
    const fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "SIGHUP",
        }
    }
}

/// The fields that differ, as many as a log line should have.
fn named(changes: &[Difference]) -> String {
    let paths = changes.iter().map(|change| change.path.as_str());
    let named: Vec<_> = paths.take(LOGGED_CHANGES).collect();
    let named = named.join(", ");
    match changes.len().saturating_sub(LOGGED_CHANGES) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Watches the manifest. The folder is watched, not the file: editors and Kubernetes replace files.
pub(super) fn watch(
    path: &Path,
    changes: mpsc::Sender<Change>,
) -> notify::Result<RecommendedWatcher> {
    let (folder, name) = if path.is_dir() {
        (path.to_owned(), None)
    } else {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        (folder.to_owned(), path.file_name().map(ToOwned::to_owned))
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        let ours = |path: &PathBuf| {
            name.is_none() || path.file_name() == name.as_deref() || is_mount(path)
        };
        if is_change(event.kind) && event.paths.iter().any(ours) {
            // A full channel already holds a change that is not dealt with.
            let _told_already = changes.try_send(Change::File);
        }
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// A mounted `ConfigMap` or Secret changes by its link `..data`.
fn is_mount(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "..data")
}

/// Reading, which we do ourselves, is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

impl Plan {
    /// Whether everything of this plan is in `other`, too.
    fn is_within(&self, other: &Self) -> bool {
        self.gateways.is_subset(&other.gateways)
            && self
                .subscribers
                .keys()
                .all(|prefix| other.subscribers.contains_key(prefix))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::journal::tests::logged;
    use super::*;

    async fn told(changes: &mut mpsc::Receiver<Change>) -> bool {
        tokio::time::timeout(Duration::from_secs(5), changes.recv()).await == Ok(Some(Change::File))
    }

    async fn quiet(changes: &mut mpsc::Receiver<Change>) -> bool {
        sleep(Duration::from_millis(100)).await;
        while changes.try_recv().is_ok() {}
        tokio::time::timeout(DEBOUNCE, changes.recv())
            .await
            .is_err()
    }

    #[tokio::test]
    async fn a_file_is_seen_when_written_and_when_replaced_but_not_when_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.yaml");
        fs::write(&path, "a").unwrap();
        let (sender, mut changes) = mpsc::channel(1);
        let _watcher = watch(&path, sender).unwrap();

        fs::read(&path).unwrap();
        fs::write(folder.path().join("other.yaml"), "x").unwrap();
        assert!(
            quiet(&mut changes).await,
            "reading or another file counted as a change"
        );

        fs::write(&path, "b").unwrap();
        assert!(told(&mut changes).await, "written in place");
        assert!(quiet(&mut changes).await);

        let fresh = folder.path().join(".cluster.yaml.swp");
        fs::write(&fresh, "c").unwrap();
        fs::rename(&fresh, &path).unwrap();
        assert!(told(&mut changes).await, "replaced by rename");
    }

    #[test]
    fn the_log_names_the_changed_fields_up_to_a_bound() {
        let change = |index| Difference {
            path: format!("spec.lacs[a{index}].pathMtu"),
            before: None,
            after: None,
            effect: lns_api::Effect::NewSessions,
            scope: diff::Scope::Everybody,
        };
        let changes: Vec<_> = (0..20).map(change).collect();
        assert_eq!(named(&[]), "");
        assert_eq!(
            named(&changes[..2]),
            "spec.lacs[a0].pathMtu, spec.lacs[a1].pathMtu"
        );
        assert!(named(&changes[..16]).ends_with("spec.lacs[a15].pathMtu"));
        assert!(named(&changes).ends_with("spec.lacs[a15].pathMtu and 4 more"));
    }

    #[test]
    fn a_refusal_is_one_line_per_problem_and_the_status_has_the_first() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        let path = Path::new("cluster.yaml");
        for (problems, status) in [
            (&["no pool"][..], "no pool"),
            (&["no LAC", "no name", "no core"], "no LAC (and 2 more)"),
        ] {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let lines = logged(|| refuse(path, &situation, &problems));
            assert_eq!(lines.len(), problems.len(), "{lines:?}");
            for (line, problem) in lines.iter().zip(&problems) {
                assert!(line.contains(problem), "{line}");
            }
            assert_eq!(situation.manifest().error.as_deref(), Some(status));
        }
    }

    #[tokio::test]
    async fn any_file_of_a_folder_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, mut changes) = mpsc::channel(1);
        let _watcher = watch(folder.path(), sender).unwrap();
        fs::write(folder.path().join("users.yaml"), "x").unwrap();
        assert!(told(&mut changes).await);
    }
}
