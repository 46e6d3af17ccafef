//! Takes over a changed manifest while sessions live on.
//!
//! A manifest is taken over whole or not at all: one that is invalid, or asks for something that a
//! running process cannot change, leaves the old one in force, and `lnsd status` says so. Prefixes and
//! local addresses that the new one has no longer stay on the machine, as leftovers, until the last
//! session that uses them has ended; only then may the pools give such an address out.
//!
//! Who takes manifests over also says what one would change: [`Comparer`].

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_api::{Change as Difference, Manifest, diff};
use lns_datapath::FlowsHandle;
use lns_node::config::{self, Pool};
use lns_node::radius::Reach;
use lns_node::view::{self, SessionFilter};
use lns_tables::time;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::comparison::Comparison;
use super::control::{Asker, Control, Gone};
use super::situation::Situation;
use super::source::{Membership, Read, Source};
use crate::config::Setup;
use crate::host::{Host, Plan, Used};
use crate::member::Role;
use crate::radius::dynamic::{Desk, Wanted};
use crate::radius::service::Service;

/// How long a changed file must rest: editors write in several steps.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How often it is looked whether the last session that uses a leftover has ended.
const LEFTOVER_INTERVAL: Duration = Duration::from_secs(10);

/// Slots per question when looking for sessions that use leftovers.
const SLOTS_PER_QUESTION: u32 = 1_024;

/// Changed fields, or leftovers, that the log names; a larger change is read in the manifest itself.
const LOGGED_CHANGES: usize = 16;

/// Comparisons that wait: they are asked for one by one.
const COMPARISON_QUEUE: usize = 1;

/// Why nothing is taken over any more.
const ENDING: &str = "lnsd is ending";

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

/// What a manifest is carried out by, beside the machine.
#[derive(Debug)]
pub(super) struct Hands {
    /// The control task.
    pub(super) asker: Asker,
    /// The classifier.
    pub(super) flows: FlowsHandle,
    /// RADIUS.
    pub(super) radius: Service,
    /// Who may change or end sessions.
    pub(super) desk: Desk,
}

/// Where a manifest has requests to change or end sessions come in.
pub(super) fn desk(setup: &Setup) -> Option<Wanted> {
    setup.radius.as_ref()?.desk()
}

/// What keeps node and machine as the manifest says.
#[derive(Debug)]
pub(super) struct Reloader {
    source: Source,
    manifest: Manifest,
    setup: Setup,
    host: Host,
    hands: Hands,
    situation: Arc<Situation>,
    /// RADIUS is this node's to speak: it is the active one.
    has_radius: bool,
    /// The machine still has more than the manifest says.
    leftovers: bool,
}

impl Reloader {
    /// With `manifest` in force.
    pub(super) fn new(
        source: Source,
        manifest: Manifest,
        setup: Setup,
        host: Host,
        hands: Hands,
        situation: Arc<Situation>,
    ) -> Self {
        // A member's is, when it is told so.
        let has_radius = matches!(source, Source::File(_));
        Self {
            source,
            manifest,
            setup,
            host,
            hands,
            situation,
            has_radius,
            leftovers: false,
        }
    }

    /// Reloads whenever `changes` says so, until nobody can; then gives itself back. Answers
    /// `questions` in between, and routes to subscribers what sessions bring.
    pub(super) async fn serve(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut questions: mpsc::Receiver<Question>,
        mut reaches: mpsc::Receiver<Reach>,
        mut roles: mpsc::Receiver<Role>,
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
                    Some(change) => self.reload(change).await,
                    None => return self,
                },
                change = self.source.changed() => self.reload(change).await,
                Some(Question { manifest, answer }) = questions.recv() => {
                    if let Ok(comparison) = self.compare(&manifest).await {
                        // Who has stopped waiting needs no answer.
                        let _unwanted = answer.send(comparison);
                    }
                }
                Some((is_active, done)) = roles.recv() => {
                    self.speak_radius(is_active).await;
                    // Who has stopped waiting goes on without.
                    let _late = done.send(());
                }
                Some(change) = reaches.recv() => {
                    if let Err(problem) = self.host.reach(change).await {
                        error!("what is routed to a subscriber: {problem}");
                    }
                }
                () = sleep_until(look_at), if self.leftovers => {
                    self.remove_leftovers().await;
                    look_at = Instant::now() + LEFTOVER_INTERVAL;
                }
            }
        }
    }

    /// Whether RADIUS is this node's to speak, from now on.
    async fn speak_radius(&mut self, is_active: bool) {
        self.has_radius = is_active;
        if !is_active {
            return self.hands.radius.rest().await;
        }
        let setup = self.setup.radius_thread.clone();
        if let Err(problem) = self.hands.radius.configure(setup).await {
            error!("RADIUS cannot be spoken: {problem}");
        }
    }

    /// Ends RADIUS, and gives servers so long to take the last records; then takes back what outlives the
    /// process, and says what could not be.
    pub(super) async fn end(mut self, last_records: Duration) {
        self.hands.radius.end(last_records).await;
        for problem in self.host.remove().await {
            warn!("{problem}");
        }
    }

    async fn compare(&self, manifest: &Manifest) -> Result<Comparison, Gone> {
        let (needs_restart, refusal) = match (Setup::new(manifest), self.source.member(manifest)) {
            (Ok(setup), Ok(membership)) => {
                let refusal = self.refusal(&setup).await?;
                (self.needs_restart(&setup, membership.as_ref()), refusal)
            }
            (Err(error), _) => (Vec::new(), Some(error.to_string())),
            (_, Err(problems)) => (Vec::new(), Some(problems.join("; "))),
        };
        let changes = diff(&self.manifest, manifest);
        Comparison::new(changes, &needs_restart, refusal, &self.hands.asker).await
    }

    /// The fields in which a set-up asks for what this process cannot change.
    fn needs_restart(&self, setup: &Setup, membership: Option<&Membership>) -> Vec<&'static str> {
        let mut fields = self.setup.needs_restart(setup);
        fields.extend(membership.iter().flat_map(|it| &it.needs_restart));
        fields
    }

    /// Why a set-up would be refused now, by the machine or for a subscriber; `None`: as far as is known,
    /// it would not.
    async fn refusal(&self, setup: &Setup) -> Result<Option<String>, Gone> {
        let plan = setup.host.clone().with_leftovers_of(self.in_place());
        if let Err(problem) = self.host.check(&plan).await {
            return Ok(Some(problem.to_string()));
        }
        let config = setup.node.clone();
        let taken = self
            .hands
            .asker
            .ask(move |control, now| taken_away(control, &config, now));
        taken.await
    }

    /// What the machine has of ours: what is in force, and leftovers.
    fn in_place(&self) -> &Plan {
        self.host.applied().unwrap_or(&self.setup.host)
    }

    async fn reload(&mut self, change: Change) {
        if change == Change::Trouble {
            return self.situation.trouble(self.source.trouble());
        }
        match self.source.read().await {
            Read::Valid(manifest) if *manifest == self.manifest => self.unchanged(change),
            Read::Valid(manifest) => self.take_over(*manifest, change).await,
            Read::Wrong(problems) => refuse(&self.source, &self.situation, &problems),
            Read::Nothing => {}
        }
    }

    fn unchanged(&self, change: Change) {
        self.source.unchanged();
        let put_right = self.situation.unchanged();
        match change {
            _ if put_right => {
                info!(manifest = %self.source, "the manifest is right again: it says what is in force");
            }
            Change::Signal => {
                info!(manifest = %self.source, "SIGHUP: the manifest has not changed");
            }
            Change::File | Change::Objects | Change::Trouble => {
                debug!(manifest = %self.source, "the manifest says what it said before");
            }
        }
    }

    fn refuse(&self, why: String) {
        refuse(&self.source, &self.situation, &[why]);
    }

    async fn take_over(&mut self, manifest: Manifest, cause: Change) {
        let mut setup = match Setup::new(&manifest) {
            Ok(setup) => setup,
            Err(error) => return self.refuse(error.to_string()),
        };
        let membership = match self.source.member(&manifest) {
            Ok(membership) => membership,
            Err(problems) => return refuse(&self.source, &self.situation, &problems),
        };
        if let Some(membership) = &membership {
            setup = setup.of_member(membership.rest());
        }
        let fields = self.needs_restart(&setup, membership.as_ref());
        if !fields.is_empty() {
            return self.refuse(format!(
                "restart needed: {} cannot change in a running process",
                fields.join(" and ")
            ));
        }
        match self.refusal(&setup).await {
            Ok(None) => {}
            Ok(Some(why)) => return self.refuse(why),
            Err(Gone) => return self.refuse(ENDING.to_owned()),
        }
        setup.flows.entries = setup.flows.entries.in_place_of(&self.setup.flows.entries);
        let before = self.in_place().clone();
        let plan = setup.host.clone().with_leftovers_of(&before);
        if let Err(problem) = self.host.apply(plan).await {
            self.put_back(before).await;
            return self.refuse(problem.to_string());
        }
        if let Err(Refused(why)) = self.configure_desk(&setup).await {
            self.put_back(before).await;
            return self.refuse(why);
        }
        self.leftovers = !before.beside(&setup.host).is_empty();
        for warning in &manifest.warnings {
            warn!("{warning}");
        }
        let changes = diff(&self.manifest, &manifest);
        info!(
            manifest = %self.source,
            cause = cause.label(),
            changes = changes.len(),
            changed = named(paths(&changes)),
            "the changed manifest is in force"
        );
        self.situation.taken_over(manifest.warnings.clone());
        self.situation.show(&manifest);
        self.source.taken_over(membership);
        (self.manifest, self.setup) = (manifest, setup);
        // What nobody uses need not wait.
        if self.leftovers {
            self.remove_leftovers().await;
        }
    }

    async fn put_back(&mut self, before: Plan) {
        if let Err(problem) = self.host.apply(before).await {
            error!("and the machine could not be put back: {problem}");
        }
    }

    /// Gives all of them their part, if the address of dynamic authorization can be had.
    async fn configure_desk(&mut self, setup: &Setup) -> Result<(), Refused> {
        let listening = self.hands.desk.configure(desk(setup)).await;
        let configured = match listening {
            Ok(()) => self.configure_all(setup).await,
            Err(problem) => Err(Refused(problem)),
        };
        if configured.is_err() {
            // What was there before could be had, and can.
            if let Err(problem) = self.hands.desk.configure(desk(&self.setup)).await {
                error!("and requests to change or end sessions are not taken: {problem}");
            }
        }
        configured
    }

    /// Gives RADIUS, workers and node their part. Servers are there before they are asked, and asked no
    /// more before they are gone.
    async fn configure_all(&mut self, setup: &Setup) -> Result<(), Refused> {
        if !self.has_radius {
            // It begins with what is in force then.
            return self.configure(setup).await;
        }
        if setup.radius_thread.is_some() {
            let added = self
                .hands
                .radius
                .configure(setup.radius_thread.clone())
                .await;
            added.map_err(Refused)?;
        }
        let configured = self.configure(setup).await;
        let in_force = match &configured {
            Ok(()) if setup.radius_thread.is_some() => return configured,
            Ok(()) => None,
            Err(_) => self.setup.radius_thread.clone(),
        };
        self.hands
            .radius
            .configure(in_force)
            .await
            .map_err(Refused)?;
        configured
    }

    /// Gives workers and node their part.
    async fn configure(&self, setup: &Setup) -> Result<(), Refused> {
        let (pools, icmp_source) = (setup.pools.clone(), setup.icmp_source);
        let (config, options) = (setup.node.clone(), setup.flows.options);
        let flows = self.hands.flows.clone();
        let done = self.hands.asker.ask(move |control, now| {
            // Somebody may have got it since it was asked for the first time.
            if let Some(why) = taken_away(control, &config, now) {
                return Err(Refused(why));
            }
            control.path.set_pools(&pools, icmp_source).map_err(
                |lns_datapath::tables::NoMemory { .. }| {
                    Refused("no memory for the tables of the new pools".to_owned())
                },
            )?;
            flows.set_options(options);
            control.node.handle_config(config, now);
            Ok(())
        });
        done.await
            .unwrap_or_else(|Gone| Err(Refused(ENDING.to_owned())))
    }

    /// Takes away what only ended sessions had needed, and then lets the pools have it.
    async fn remove_leftovers(&mut self) {
        let before = self.in_place().clone();
        let left = before.beside(&self.setup.host);
        let Ok(used) = self.used(&before, &left).await else {
            return;
        };
        let plan = self.setup.host.clone().with_used_of(&before, &used);
        self.leftovers = !plan.beside(&self.setup.host).is_empty();
        let gone = before.beside(&plan);
        if gone.is_empty() {
            return;
        }
        if let Err(problem) = self.host.apply(plan).await {
            self.leftovers = true;
            return error!("what no session uses any more could not be taken away: {problem}");
        }
        info!(
            local_addresses = named(gone.gateways.iter()),
            prefixes = named(gone.prefixes.iter()),
            "no session uses what an earlier manifest had: it is gone from the machine"
        );
        // Who is gone needs no addresses.
        let _ending = self
            .hands
            .asker
            .ask(move |control, now| {
                for address in gone.gateways {
                    control.node.handle_free_local(address, now);
                }
            })
            .await;
    }

    /// What of `left` live sessions use; `before` is all that the machine has.
    async fn used(&self, before: &Plan, left: &Used) -> Result<Used, Gone> {
        let gateways = self
            .hands
            .asker
            .ask(|control, _| control.node.local_addresses_in_use().collect())
            .await?;
        let prefixes = if left.prefixes.is_empty() {
            BTreeSet::new()
        } else {
            let found = self.prefixes_in_use(before).await?;
            found.intersection(&left.prefixes).copied().collect()
        };
        Ok(Used { gateways, prefixes })
    }

    /// The prefixes of `before` in which sessions have their addresses, but for those that the manifest
    /// in force covers.
    async fn prefixes_in_use(&self, before: &Plan) -> Result<BTreeSet<Ipv4Net>, Gone> {
        let plans = Arc::new((before.clone(), self.setup.host.clone()));
        let (mut found, mut after) = (BTreeSet::new(), None);
        loop {
            let plans = Arc::clone(&plans);
            let question = self.hands.asker.ask(move |control, now| {
                let everybody = SessionFilter::default();
                let page = control
                    .node
                    .sessions(&everybody, after, SLOTS_PER_QUESTION, now);
                let (before, wanted) = &*plans;
                let addresses = page.sessions.iter().filter_map(|session| session.address);
                let prefixes: Vec<_> = addresses
                    .filter(|address| wanted.prefix_of(*address).is_none())
                    .filter_map(|address| before.prefix_of(address))
                    .collect();
                (prefixes, page.next)
            });
            let (prefixes, next) = question.await?;
            found.extend(prefixes);
            after = next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Why `config` cannot be taken over: subscribers have what it takes away.
fn taken_away(control: &Control, config: &config::Config, now: time::Instant) -> Option<String> {
    local_address_taken(control, &config.pools, now).or_else(|| {
        let in_use = control.node.policies_still_in_use(&config.policies);
        let each: Vec<_> = in_use.iter().map(still_in_use).collect();
        (!each.is_empty()).then(|| each.join("; "))
    })
}

fn still_in_use(policy: &view::PolicyInUse) -> String {
    let view::PolicyInUse {
        policy,
        sessions,
        users,
        has_others,
    } = policy;
    let sessions = match sessions {
        1 => "1 session".to_owned(),
        more => format!("{more} sessions"),
    };
    let others = if *has_others { ", and others" } else { "" };
    let named: Vec<_> = users
        .iter()
        .map(|user| user.escape_debug().to_string())
        .collect();
    let way_out = users.first().map_or_else(String::new, |user| {
        format!(" (`lnsd disconnect --user {}`)", user.escape_debug())
    });
    format!(
        "SessionPolicy/{policy}: is used by {sessions} by Filter-Id ({}{others}): keep it until they \
         have ended, or end them first{way_out}",
        named.join(", ")
    )
}

/// Why the local addresses of `pools` cannot be ours: a subscriber has one of them.
fn local_address_taken(control: &Control, pools: &[Pool], now: time::Instant) -> Option<String> {
    let (pool, holder) = control.node.local_address_holder(pools, now)?;
    Some(taken(pool, &holder))
}

fn taken(pool: &Pool, holder: &view::Session) -> String {
    let Pool {
        name,
        local_address,
        ..
    } = pool;
    let who = match &holder.user {
        Some(user) => format!("of {user:?}"),
        None => format!("through {}", holder.lac),
    };
    format!(
        "spec.pools[{name}].localAddress: {local_address} is a subscriber's address now, in session \
         {id} {who}: choose another one, or end that session first (`lnsd disconnect --session {id}`)",
        id = holder.id
    )
}

/// Keeps the old manifest: a line for each problem, and the first of them in the status.
fn refuse(source: &Source, situation: &Situation, problems: &[String]) {
    for problem in problems {
        error!(manifest = %source, "the changed manifest is refused, the old one stays in force: {problem}");
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
    /// Something happened to the objects.
    Objects,
    /// It cannot be seen whether something happened to them, or can be again.
    Trouble,
}

impl Change {
    const fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "SIGHUP",
            Self::Objects => "objects",
            Self::Trouble => "trouble",
        }
    }
}

/// The names of things, as many as a log line should have.
fn named(all: impl ExactSizeIterator<Item: fmt::Display>) -> String {
    let more = all.len().saturating_sub(LOGGED_CHANGES);
    let named: Vec<_> = all
        .take(LOGGED_CHANGES)
        .map(|name| name.to_string())
        .collect();
    let named = named.join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The fields that differ.
fn paths(changes: &[Difference]) -> impl ExactSizeIterator<Item = &str> {
    changes.iter().map(|change| change.path.as_str())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::comparison;
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
        assert_eq!(named(paths(&[])), "");
        assert_eq!(
            named(paths(&changes[..2])),
            "spec.lacs[a0].pathMtu, spec.lacs[a1].pathMtu"
        );
        assert!(named(paths(&changes[..16])).ends_with("spec.lacs[a15].pathMtu"));
        assert!(named(paths(&changes)).ends_with("spec.lacs[a15].pathMtu and 4 more"));
    }

    #[test]
    fn a_local_address_that_a_subscriber_has_is_refused_with_field_holder_and_way_out() {
        let pool = Pool {
            name: "default".into(),
            local_address: [100, 64, 0, 5].into(),
            addresses: config::PoolConfig::default(),
        };
        let mut holder = comparison::tests::session();
        assert_eq!(
            taken(&pool, &holder),
            "spec.pools[default].localAddress: 100.64.0.5 is a subscriber's address now, in session \
             4711.12 of \"bob\": choose another one, or end that session first (`lnsd disconnect \
             --session 4711.12`)"
        );
        holder.user = None;
        assert!(taken(&pool, &holder).contains("4711.12 through wholesale-a: "));
    }

    #[test]
    fn a_policy_that_sessions_have_by_filter_id_is_kept_and_the_refusal_says_who_has_it() {
        let mut in_use = view::PolicyInUse {
            policy: "gold".to_owned(),
            sessions: 5,
            users: ["alice", "bob", "carol"].map(str::to_owned).to_vec(),
            has_others: true,
        };
        assert_eq!(
            still_in_use(&in_use),
            "SessionPolicy/gold: is used by 5 sessions by Filter-Id (alice, bob, carol, and others): keep \
             it until they have ended, or end them first (`lnsd disconnect --user alice`)"
        );
        (in_use.sessions, in_use.has_others) = (1, false);
        in_use.users.truncate(1);
        assert!(still_in_use(&in_use).contains("by 1 session by Filter-Id (alice): keep"));
    }

    #[test]
    fn a_refusal_is_one_line_per_problem_and_the_status_has_the_first() {
        let situation = Situation::new("cluster.yaml".into(), Vec::new());
        let source = Source::File("cluster.yaml".into());
        for (problems, status) in [
            (&["no pool"][..], "no pool"),
            (&["no LAC", "no name", "no core"], "no LAC (and 2 more)"),
        ] {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let lines = logged(|| refuse(&source, &situation, &problems));
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
