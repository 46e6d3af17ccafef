//! Runs a plan: the world is built, things go wrong for a while, then all is well again, and at the end
//! everybody leaves. What does not hold is told by its first violation.

use core::any::Any;
use core::cell::RefCell;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use lns_crypto::Secret;
use lns_node::config::DuplicateAction;
use lns_tables::time::Instant;
use lns_wire::id::PeerSessionId;
use lns_wire::l2tp::{Message, Ocrq};

use crate::config::{PREVIOUS, SECRET};
use crate::malice::{self, Corpus};
use crate::observe::{Invariant, Observer, Rules, Violation};
use crate::peers::{LacSettings, LineSettings, Login, Quirks};
use crate::plan::settings::{name, owned};
use crate::plan::{Act, Dice, Ending, LacPlan, LinePlan, LoginPlan, Plan, Settings};
use crate::world::{Faults, SERVICE, World};

/// How far the time goes before somebody looks whether it is worth going on.
const SLICE: Duration = Duration::from_secs(5);

/// Simulated time between two looks at everything that the node shows, for each twenty sessions.
const AUDIT: Duration = Duration::from_secs(20);

/// How long a tunnel of ours, or of a LAC's, is repeated at before it is given up.
const CYCLE: Duration = Duration::from_secs(31);

/// Why a session may end although all is well: the limits of a configuration.
const LIMITS: [&str; 2] = ["session_timeout", "idle_timeout"];

/// The salt of what is drawn while a plan runs.
const SALT: u64 = u64::MAX - 1;

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What did not hold first.
    pub violation: Option<Violation>,
    /// Time that passed in the world.
    pub simulated: Duration,
    /// Things that happened in it.
    pub steps: u64,
    /// Sessions that came up.
    pub sessions: u64,
    /// Calls that the node accepted.
    pub calls: u64,
    /// What went wrong, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// All that went in and out, as one number.
    pub hash: u64,
}

/// Panics are findings and told as such, not by a message and a backtrace of their own.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        PLACE.with_borrow_mut(|last| *last = place.unwrap_or_default());
    }));
}

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `plan`. The observer's tape is kept where `records` says so.
pub fn run(plan: &Plan, corpus: &Corpus, records: bool) -> (Report, Option<Observer>) {
    run_under(plan, &rules(plan), corpus, records)
}

/// The same with other rules.
pub fn run_under(
    plan: &Plan,
    rules: &Rules,
    corpus: &Corpus,
    records: bool,
) -> (Report, Option<Observer>) {
    let mut run = match catch_unwind(|| Run::new(plan, rules, records)) {
        Ok(run) => run,
        Err(panic) => return (panicked(&*panic, Instant::ZERO), None),
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.play(corpus))) {
        let found = panicked(&*panic, run.world.now()).violation;
        run.report.violation = run.report.violation.take().or(found);
    }
    run.finish()
}

fn panicked(panic: &(dyn Any + Send), at: Instant) -> Report {
    Report {
        violation: Some(Violation {
            invariant: Invariant::Panic,
            at,
            what: said(panic),
        }),
        ..Report::default()
    }
}

/// What a panic said, and where.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let place = PLACE.with_borrow(Clone::clone);
    format!("{} ({place})", text.unwrap_or_default())
}

/// Somebody who hangs up or comes back later.
#[derive(Clone, Copy, Debug)]
enum Later {
    Dial(usize, usize),
    Heal(usize, crate::world::Direction),
}

struct Run<'p> {
    plan: &'p Plan,
    world: World<Observer>,
    dice: Dice,
    later: BTreeMap<(Instant, u64), Later>,
    order: u64,
    audited: Instant,
    report: Report,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, rules: &Rules, records: bool) -> Self {
        let observer = Observer::new(rules, records);
        let config = plan.settings.config(plan);
        let mut world = World::kept(config, plan.seed, plan.store, observer);
        for (number, lac) in plan.lacs.iter().enumerate() {
            world.add_lac(lac_settings(plan, number));
            for (place, line) in lac.lines.iter().enumerate() {
                world.add_line(number, line_settings(number, place, line));
            }
        }
        world.set_faults(plan.faults);
        Self {
            plan,
            audited: world.now(),
            world,
            dice: Dice::new(plan.seed, SALT),
            later: BTreeMap::new(),
            order: 0,
            report: Report::default(),
        }
    }

    fn finish(mut self) -> (Report, Option<Observer>) {
        let seen = self.world.watch();
        let report = &mut self.report;
        report.violation = seen.violation().cloned().or(report.violation.take());
        report.simulated = self.world.now() - Instant::ZERO;
        report.steps = self.world.steps();
        (report.sessions, report.calls) = seen.counts();
        report.hash = seen.tape().hash();
        report
            .faults
            .insert("datagrams", self.world.faults_injected());
        (self.report, Some(self.world.into_watch()))
    }

    fn is_over(&self) -> bool {
        self.world.watch().violation().is_some()
    }

    fn play(&mut self, corpus: &Corpus) {
        self.go_wrong(corpus);
        if self.is_over() {
            return;
        }
        self.heal();
        match self.plan.ending {
            Ending::Heals => {
                self.expect("everybody is up", self.patience(), Self::missing);
                self.stay();
                self.leave();
            }
            Ending::Drains => {
                self.world.with_node(lns_node::Node::handle_drain);
                self.expect("the node has drained", CYCLE * 2, |run| {
                    (!run.world.node().is_drained()).then(|| "it drains".to_owned())
                });
                self.leave();
            }
        }
    }

    // While things go wrong.

    fn go_wrong(&mut self, corpus: &Corpus) {
        let start = self.world.now();
        let end = start + self.plan.span;
        let mut acts = self.plan.acts.iter().peekable();
        let mut hostiles: Vec<Instant> = vec![start; self.plan.hostiles.len()];
        while self.world.now() < end && !self.is_over() {
            let next = [
                acts.peek().map(|(at, _)| start + *at),
                hostiles.iter().min().copied(),
                self.later.keys().next().map(|(at, _)| *at),
                Some(self.world.now() + SLICE),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end).min(end);
            self.go_to(next);
            while let Some((_, act)) = acts.next_if(|(at, _)| start + *at <= next) {
                self.act(act);
            }
            for (hostile, at) in self.plan.hostiles.iter().zip(&mut hostiles) {
                if *at <= next {
                    let pause = u64::from(60_000_000 / hostile.per_minute.max(1));
                    *at = next + Duration::from_micros(pause);
                    let drawn = malice::draw(*hostile, corpus, self.world.watch(), &mut self.dice);
                    if let Some((from, octets)) = drawn {
                        *self.report.faults.entry("hostile").or_default() += 1;
                        self.world.forge(from, octets);
                    }
                }
            }
            self.catch_up();
        }
    }

    /// Lets time pass, and looks at everything now and then.
    fn go_to(&mut self, at: Instant) {
        self.world.run_until(at);
        if self.world.is_vacant() {
            return;
        }
        let status = self.world.node().status();
        let sessions = status.sessions + status.sessions_opening;
        if self.world.now() - self.audited >= AUDIT * (1 + sessions / 20) {
            self.audit();
        }
    }

    fn audit(&mut self) {
        let now = self.world.now();
        self.audited = now;
        self.world.audit(Observer::audit);
        self.world.compare(Observer::compare);
        let counted: Vec<_> = self.world.watch().octets().collect();
        for ((tunnel, session), octets) in counted {
            let workers = self.world.workers();
            let slot = workers
                .find(tunnel, session)
                .and_then(|slot| workers.slot(slot));
            let known = slot.map_or(0, |slot| slot.counters.up.ipv4_octets);
            if known != octets {
                let what =
                    format!("{tunnel}.{session} sent {octets} octets and is counted for {known}");
                self.world.watch_mut().report(Invariant::Octets, what, now);
            }
        }
    }

    fn catch_up(&mut self) {
        let now = self.world.now();
        while let Some(entry) = self
            .later
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            match entry.remove() {
                Later::Dial(lac, line) => self.world.with_lac(lac, |lac| lac.dial(line, now)),
                Later::Heal(lac, direction) => self.world.cut(lac, direction, false),
            }
        }
    }

    fn later(&mut self, after: Duration, what: Later) {
        self.order += 1;
        self.later
            .insert((self.world.now() + after, self.order), what);
    }

    fn act(&mut self, act: &Act) {
        *self.report.faults.entry(act.label()).or_default() += 1;
        let now = self.world.now();
        let lacs = self.plan.lacs.len();
        match act {
            Act::Reload(settings) => {
                self.reload(settings);
            }
            Act::Disconnect(n) => {
                let n = usize::try_from(*n).expect("32 bits");
                let session = self.world.watch().session(n);
                if let Some((tunnel, session)) = session.filter(|_| !self.world.is_vacant()) {
                    self.world
                        .with_node(|node, now| node.handle_disconnect(tunnel, session, now));
                }
            }
            Act::DisconnectTunnel(n) => {
                let n = usize::try_from(*n).expect("32 bits");
                let target = self.world.watch().target(n);
                if let Some(target) = target.filter(|_| !self.world.is_vacant()) {
                    let tunnel = target.tunnel;
                    self.world
                        .with_node(|node, now| node.handle_disconnect_tunnel(tunnel, now));
                }
            }
            Act::Cut(lac, direction, span) => {
                self.world.cut(lac % lacs, *direction, true);
                self.later(*span, Later::Heal(lac % lacs, *direction));
            }
            Act::Die(death) => self.world.kill(*death),
            Act::CutStore(span) => self.world.cut_store(*span),
            // Nobody is there who could stand still.
            Act::Pause(..) if self.world.is_vacant() => {}
            Act::Pause(span, lost) => {
                self.world.pause_node(*span, *lost);
                self.world.watch_mut().excuse(now + *span);
            }
            Act::ReportDelay(delay) => self.world.set_report_delay(*delay),
            Act::Restart(lac) => self.world.with_lac(lac % lacs, |lac| lac.restart(now)),
            Act::Redial(lac, line, after) => self.redial(lac % lacs, *line, *after),
            Act::Packet(lac, line, len) => self.packet(lac % lacs, *line, *len),
            Act::Slow(lac, delay) => self.world.slow_down(lac % lacs, *delay),
            Act::Talk(lac, times) => self.world.with_lac(lac % lacs, |lac| {
                for _ in 0..*times {
                    lac.send_message(&Message::Hello);
                }
            }),
            Act::Refused(lac, times) => self.world.with_lac(lac % lacs, |lac| {
                let ocrq = Message::Ocrq(Ocrq {
                    assigned_session: PeerSessionId(0xffff),
                    called_number: b"1",
                    ..Ocrq::default()
                });
                for _ in 0..*times {
                    lac.send_message(&ocrq);
                }
            }),
        }
    }

    fn redial(&mut self, lac: usize, line: usize, after: Duration) {
        if line < self.world.lacs()[lac].lines().len() {
            let now = self.world.now();
            self.world.with_lac(lac, |lac| lac.hang_up(line, now));
            self.later(after, Later::Dial(lac, line));
        }
    }

    fn packet(&mut self, lac: usize, line: usize, len: u16) {
        if line >= self.world.lacs()[lac].lines().len() {
            return;
        }
        let source = self
            .world
            .address(lac, line)
            .unwrap_or(Ipv4Addr::new(10, 0, 0, 1));
        let mut packet = vec![0; usize::from(len).max(20)];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&source.octets());
        self.world
            .with_lac(lac, |lac| lac.send_packet(line, &packet));
    }

    // When all is well again.

    fn heal(&mut self) {
        let now = self.world.now();
        self.world.set_faults(Faults::default());
        self.world.set_report_delay(Duration::ZERO);
        self.world.wake_node();
        self.world.revive();
        for later in core::mem::take(&mut self.later).into_values() {
            match later {
                Later::Dial(lac, line) => self.world.with_lac(lac, |lac| lac.dial(line, now)),
                Later::Heal(lac, direction) => self.world.cut(lac, direction, false),
            }
        }
        for (number, lac) in self.plan.lacs.iter().enumerate() {
            self.world.slow_down(number, Duration::ZERO);
            if !lac.conforms() {
                self.world.with_lac(number, |lac| lac.close(now));
            }
        }
        // Nobody has to go any more but who came under a limit.
        self.world.watch_mut().forget_limit();
        let settings = Settings {
            session: Duration::ZERO,
            idle: Duration::ZERO,
            ..self.plan.settings.clone()
        };
        self.reload(&settings);
    }

    /// Policies that somebody has by Filter-Id stay: a reload without them would be refused.
    fn reload(&mut self, settings: &Settings) {
        let mut config = settings.config(self.plan);
        let node = self.world.node();
        let in_use = node.policies_still_in_use(&config.policies);
        let known = node.policies().policies().map(|(_, policy)| policy);
        let kept = known.filter(|known| in_use.iter().any(|it| *it.policy == *known.name));
        let kept: Vec<_> = kept.cloned().collect();
        config.policies.extend(kept);
        self.world.reconfigure(config);
    }

    /// How long it may take until everybody is up again. One after the other: a LAC that the node has
    /// forgotten says HELLO after a minute, gives up and asks anew; the node says HELLO to a LAC that has
    /// gone, and gives up; it asks subscribers for signs of life until it knows that they have gone; the
    /// addresses that come free by all that have their rest. What is left over is for calls that fail on
    /// the way and are dialled again: each may take the minute that a bring-up lasts, and the pause.
    fn patience(&self) -> Duration {
        let settings = &self.plan.settings;
        let lac = Duration::from_secs(60) + CYCLE + Duration::from_secs(10);
        let node = settings.hello + CYCLE + settings.echo * (u32::from(settings.echo_failures) + 2);
        let dials = (Duration::from_secs(60) + Duration::from_secs(20)) * 3;
        let limits = self.plan.all_settings().map(|it| it.session.max(it.idle));
        lac + node + limits.max().unwrap_or_default() + settings.rest + dials
    }

    /// Who is up stays up: for two intervals of echoes, nobody who does nothing wrong is put down but by
    /// a limit of the configuration. Before that there is time once more for each side to find out what
    /// the other has forgotten: such sessions end rightly, beside the new ones of the same subscribers.
    fn stay(&mut self) {
        let leftovers = self.world.now() + self.patience();
        while self.world.now() < leftovers && !self.is_over() {
            self.go_to((self.world.now() + SLICE).min(leftovers));
        }
        let span = self.plan.settings.echo.max(SLICE) * 2;
        let owed: BTreeSet<_> = self
            .lines()
            .filter(|(lac, _, line)| line.login == LoginPlan::Own && self.is_owed(*lac, line))
            .map(|(lac, line, plan)| name(lac, line, plan.login).into_bytes())
            .collect();
        self.world.watch_mut().listen_for_ends();
        let end = self.world.now() + span;
        while self.world.now() < end && !self.is_over() {
            let next = (self.world.now() + SLICE).min(end);
            self.go_to(next);
        }
        let ends = self.world.watch_mut().take_ends();
        let wrong = ends.iter().find(|it| {
            let is_owed = it.user.as_ref().is_some_and(|user| owed.contains(&**user));
            is_owed && it.up.is_some() && !LIMITS.contains(&it.reason)
        });
        if let Some(wrong) = wrong {
            let what = format!("all is well, and a session ends: {wrong:?}");
            let now = self.world.now();
            self.world
                .watch_mut()
                .report(Invariant::Liveness, what, now);
        }
    }

    /// Who is missing, if somebody is.
    fn missing(&self) -> Option<String> {
        let settings = &self.plan.settings;
        let (mut wanted, mut up, mut others, mut first) = (0, 0, 0, None);
        for (lac, line, plan) in self.lines() {
            if self.is_owed(lac, plan) {
                wanted += 1;
                if self.world.is_up(lac, line) {
                    up += 1;
                } else {
                    first = first.or(Some((lac, line)));
                }
            } else if plan_holds(&self.plan.lacs[lac], plan) {
                others += 1;
            }
        }
        let room = settings.usable_addresses().min(settings.max_sessions);
        let owed = wanted.min(room.saturating_sub(others));
        let (lac, line) = first.filter(|_| up < owed)?;
        let it = &self.world.lacs()[lac].lines()[line];
        Some(format!(
            "{up} of {owed} are up; line {line} of LAC {lac} is not: {it:?}"
        ))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, usize, &LinePlan)> {
        self.plan.lacs.iter().enumerate().flat_map(|(lac, it)| {
            it.lines
                .iter()
                .enumerate()
                .map(move |(line, it)| (lac, line, it))
        })
    }

    /// Whether a line must be up when all is well.
    fn is_owed(&self, lac: usize, line: &LinePlan) -> bool {
        let is_alone = match line.login {
            // Without echoes an old call that hangs keeps its login for as long as it likes.
            LoginPlan::Own => {
                let refuses = self.plan.settings.duplicates.action == DuplicateAction::Refuse;
                !(refuses && self.plan.all_settings().any(|it| it.echo.is_zero()))
            }
            LoginPlan::Shared => self.plan.settings.duplicates.action == DuplicateAction::Allow,
            LoginPlan::Fixed | LoginPlan::Wrong => false,
        };
        let harmless = Quirks {
            odd_options: true,
            ..Quirks::default()
        };
        let conforms = line.quirks == Quirks::default() || line.quirks == harmless;
        self.plan.lacs[lac].conforms() && is_alone && conforms
    }

    /// Everybody leaves, and nothing is left.
    fn leave(&mut self) {
        let now = self.world.now();
        for lac in 0..self.plan.lacs.len() {
            for line in 0..self.plan.lacs[lac].lines.len() {
                self.world.with_lac(lac, |lac| lac.hang_up(line, now));
            }
        }
        self.world.run(Duration::from_secs(10));
        let now = self.world.now();
        for lac in 0..self.plan.lacs.len() {
            self.world.with_lac(lac, |lac| lac.close(now));
        }
        let settings = &self.plan.settings;
        let bound = settings.hello + CYCLE * 3 + Duration::from_secs(90);
        self.expect("nothing is left", bound, |run| {
            let (node, workers) = (run.world.node(), run.world.workers());
            let status = node.status();
            let tunnels = node.tunnels(None, 1, run.world.now()).0.len();
            let used: u64 = node.pools().iter().map(|pool| pool.used).sum();
            let policies = node.policy_sessions();
            let bound: u32 = policies.iter().map(|policy| policy.sessions).sum();
            let left = (
                status.sessions,
                status.sessions_opening,
                tunnels,
                used + u64::from(bound),
            );
            let known = (workers.sessions(), workers.tunnels().count());
            let stored = run.world.stored();
            let what = format!(
                "sessions, opening, tunnels, addresses and policies {left:?}; workers {known:?}; \
                 records {stored}"
            );
            (left != (0, 0, 0, 0) || known != (0, 0) || stored > 0).then_some(what)
        });
    }

    /// Waits until nothing is wrong any more.
    fn expect(&mut self, what: &str, bound: Duration, wrong: impl Fn(&Self) -> Option<String>) {
        let end = self.world.now() + bound;
        while !self.is_over() {
            let Some(wrong) = wrong(self) else {
                return self.audit();
            };
            let now = self.world.now();
            if now >= end {
                let what = format!("after {bound:?} it is not so that {what}: {wrong}");
                return self
                    .world
                    .watch_mut()
                    .report(Invariant::Liveness, what, now);
            }
            self.go_to(now + SLICE);
        }
    }
}

/// Whether a line that is owed nothing may hold an address all the same: not where its LAC has been closed,
/// or the login is never let in.
fn plan_holds(lac: &LacPlan, line: &LinePlan) -> bool {
    lac.conforms() && line.login != LoginPlan::Wrong
}

/// What the configurations of a plan promise.
pub fn rules(plan: &Plan) -> Rules {
    let all = || plan.all_settings();
    let echo = |it: &Settings| it.echo * (u32::from(it.echo_failures) + 2);
    let unless_none = |spans: Vec<Duration>| {
        let any_none = spans.iter().any(Duration::is_zero);
        let longest = spans.into_iter().max().unwrap_or_default();
        if any_none { Duration::ZERO } else { longest }
    };
    let pools: BTreeSet<_> = all().map(|it| (it.prefix, it.addresses, it.rest)).collect();
    let pools = pools.len();
    Rules {
        rest: if pools > 1 {
            Duration::ZERO
        } else {
            plan.settings.rest
        },
        owned: owned(),
        hello: all().map(|it| it.hello).max().unwrap_or_default(),
        echo: unless_none(all().map(echo).collect()),
        session: unless_none(all().map(|it| it.session).collect()),
        max_sessions: all().map(|it| it.max_sessions).max().unwrap_or_default(),
        commit: lns_cluster::journal::Patience::default().output,
        everybody_has_policies: all().all(|it| !it.filters.defaults.is_empty()),
    }
}

fn lac_settings(plan: &Plan, number: usize) -> LacSettings {
    let lac = &plan.lacs[number];
    let octet = u8::try_from(number + 1).expect("few LACs");
    let second = if lac.conforms() { 18 } else { 19 };
    let address = SocketAddr::from(([198, second, 0, octet], 1701));
    let secret = if lac.has_previous_secret {
        PREVIOUS
    } else {
        SECRET
    };
    LacSettings {
        secret: plan
            .settings
            .has_secret
            .then(|| Secret::new(secret.as_bytes())),
        challenges: lac.challenges,
        hides: lac.hides,
        window: lac.window,
        bugs: lac.bugs,
        ..LacSettings::new(address, SERVICE, &format!("lac{number}"))
    }
}

fn line_settings(lac: usize, place: usize, line: &LinePlan) -> LineSettings {
    let name = name(lac, place, line.login);
    let password = match line.login {
        LoginPlan::Wrong => "wrong",
        LoginPlan::Own | LoginPlan::Shared | LoginPlan::Fixed => &name,
    };
    let login = Login {
        quirks: line.quirks,
        echo: line.echo,
        ..Login::new(&name, password)
    };
    LineSettings {
        calling_number: Some(format!("030{lac:03}{place:05}").into_bytes().into()),
        channel: u32::try_from(place).ok(),
        proxied: line.proxied,
        sequencing: line.sequencing,
        ..LineSettings::new(login)
    }
}
