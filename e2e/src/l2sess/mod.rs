//! The acceptance rows of the classifier that speak of traffic: real packets through a running `lnsd`,
//! both ends ours. `lns-e2e l2sess [NAME...]`.
//!
//! Rows of one group share an `lnsd`: each has policies, subscribers and a host beyond the core of its
//! own, so that those that wait do so at the same time. A row is played with flows that begin on the
//! subscriber's side, with flows that begin on the other, or both; its name begins with its number in the
//! acceptance list.
//!
//! IPv4 only, as long as subscribers have no IPv6.

mod case;
mod cast;
mod changes;
mod errors;
mod limits;
mod packet;
mod ports;
mod rates;
mod stage;
mod stateful;
mod stateless;
mod timeouts;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use self::case::{Case, Late};
use self::cast::{Cast, Policy};
pub(crate) use self::limits::syn_flood;
use self::packet::Way;
use self::stage::Stage;
use crate::lac::{Lac, Options};
use crate::lnsd::{Lnsd, take_overdue};
use crate::manifest::{Manifest, PASSWORD};
use crate::net::Topology;
use crate::scenario;

/// How often a row is played for which the machine was too slow.
const ATTEMPTS: u16 = 3;

/// One row of the acceptance list.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// What it is called on the command line.
    name: &'static str,
    /// What it shows, in a few words.
    says: &'static str,
    /// How it is played.
    play: Play,
}

/// How a row is played.
#[derive(Clone, Copy)]
enum Play {
    /// Beside the others of its group, in each of these ways.
    Beside {
        ways: &'static [Way],
        cast: fn(Way) -> Cast,
        run: fn(&Case<'_>) -> Result<()>,
    },
    /// With an `lnsd` of its own. The text says what was measured, if anything was.
    Alone(fn() -> Result<String>),
}

/// A row with flows that begin on the subscriber's side, and again on the other.
const fn both(
    name: &'static str,
    says: &'static str,
    cast: fn(Way) -> Cast,
    run: fn(&Case<'_>) -> Result<()>,
) -> Row {
    let ways = &[Way::Up, Way::Down];
    let play = Play::Beside { ways, cast, run };
    Row { name, says, play }
}

/// A row that has no two ways.
const fn once(
    name: &'static str,
    says: &'static str,
    cast: fn(Way) -> Cast,
    run: fn(&Case<'_>) -> Result<()>,
) -> Row {
    let ways = &[Way::Up];
    let play = Play::Beside { ways, cast, run };
    Row { name, says, play }
}

/// A row with an `lnsd` of its own.
const fn alone(name: &'static str, says: &'static str, run: fn() -> Result<String>) -> Row {
    let play = Play::Alone(run);
    Row { name, says, play }
}

fn all() -> Vec<Row> {
    [
        stateless::ROWS,
        stateful::ROWS,
        timeouts::ROWS,
        changes::ROWS,
        errors::ROWS,
        limits::ROWS,
        ports::ROWS,
        rates::ROWS,
    ]
    .concat()
}

/// The user name of a session.
fn user(session: usize) -> String {
    user_pattern().replace("{}", &session.to_string())
}

fn user_pattern() -> String {
    "user{}@isp".to_owned()
}

/// Prints what there is.
pub(crate) fn list() {
    for row in all() {
        println!("{:<34} {}", row.name, row.says);
    }
}

/// Runs the rows whose names contain one of `names` (all without names), prints a line each and
/// `N passed, N failed`. Says whether all passed.
pub(crate) fn run(names: &[String]) -> Result<bool> {
    let is_chosen =
        |row: &Row| names.is_empty() || names.iter().any(|name| row.name.contains(name.as_str()));
    let chosen: Vec<_> = all().into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!(
            "no row is called {}; `lns-e2e l2sess --list` shows them",
            names.join(", ")
        );
    }
    let report = Mutex::new(Report::default());
    let (beside, alone): (Vec<_>, Vec<_>) = chosen
        .iter()
        .partition::<Vec<&Row>, _>(|row| matches!(row.play, Play::Beside { .. }));
    if !beside.is_empty() {
        let result = together(&beside, &report);
        let result = match take_overdue() {
            0 => result,
            found => result.and(Err(anyhow!("the sweep found {found} overdue"))),
        };
        if let Err(error) = result {
            println!("FAIL what the rows have in common\n      {error:#}");
            locked(&report)?.failed += 1;
        }
    }
    for row in alone {
        if let Play::Alone(run) = row.play {
            let started = Instant::now();
            let result = std::panic::catch_unwind(run);
            let result = result.unwrap_or_else(|_| Err(anyhow!("panicked")));
            let result = match take_overdue() {
                0 => result,
                found => result.and(Err(anyhow!("the sweep found {found} overdue"))),
            };
            locked(&report)?.note(row, started.elapsed(), &result)?;
        }
    }
    let report = locked(&report)?;
    println!("{} passed, {} failed", report.passed, report.failed);
    Ok(report.failed == 0)
}

fn locked<T>(mutex: &Mutex<T>) -> Result<std::sync::MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| anyhow!("a row panicked"))
}

/// What was printed so far.
#[derive(Debug, Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    fn note(&mut self, row: &Row, took: Duration, result: &Result<String>) -> Result<()> {
        let colour = std::io::stdout().is_terminal();
        let mark = match (result, colour) {
            (Ok(_), true) => "\x1b[32mok  \x1b[0m",
            (Ok(_), false) => "ok  ",
            (Err(_), true) => "\x1b[31mFAIL\x1b[0m",
            (Err(_), false) => "FAIL",
        };
        let note = match result {
            Ok(note) if !note.is_empty() => format!(": {note}"),
            _ => String::new(),
        };
        println!(
            "{mark} {:<34} {:>6.1} s  {}{note}",
            row.name,
            took.as_secs_f64(),
            row.says
        );
        match result {
            Ok(_) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                println!("      {}", format!("{error:#}").trim_end());
            }
        }
        Ok(std::io::stdout().flush()?)
    }
}

/// Plays rows beside each other on one stage.
fn together(rows: &[&Row], report: &Mutex<Report>) -> Result<()> {
    let mut roles = Vec::new();
    let mut owned = Vec::new();
    for row in rows {
        let Play::Beside { ways, cast, .. } = row.play else {
            continue;
        };
        let number = row.name.split('-').next().unwrap_or(row.name);
        owned.push((*row, roles.len()..roles.len() + ways.len()));
        for way in ways {
            roles.push((
                format!("{number}-{}-{}", way.label(), roles.len()),
                *way,
                cast(*way),
            ));
        }
    }
    on_stage(Manifest::default(), roles, |mut cases| {
        std::thread::scope(|scope| {
            for (row, part) in owned.into_iter().rev() {
                let mut its = cases.split_off(part.start);
                scope.spawn(move || {
                    let started = Instant::now();
                    let result = play_row(row, &mut its);
                    if let Ok(mut report) = report.lock() {
                        report.note(row, started.elapsed(), &result).ok();
                    }
                });
            }
        });
        Ok(())
    })
}

/// Starts `lnsd` with the policies and subscribers of `roles`, each with a name that no other has, and
/// does `work` with a case for each.
fn on_stage<T>(
    mut manifest: Manifest,
    roles: Vec<(String, Way, Cast)>,
    work: impl FnOnce(Vec<Case<'_>>) -> Result<T>,
) -> Result<T> {
    // Markers pass whatever the default policies are.
    let open = Policy::default().named("open");
    manifest.users = vec![(user(0), entry(&[&open.name]))];
    let (mut policies, mut parts) = (vec![open], Vec::new());
    for (name, way, mut role) in roles {
        role.name(&name);
        let names: Vec<_> = role.policies.iter().map(|it| it.name.clone()).collect();
        let first = manifest.users.len();
        for has in &role.subscribers {
            let has: Vec<_> = has.iter().filter_map(|place| names.get(*place)).collect();
            let entry = (user(manifest.users.len()), entry(&has));
            manifest.users.push(entry);
        }
        let sessions: Vec<_> = (first..manifest.users.len()).collect();
        policies.extend(role.policies);
        parts.push((way, sessions, names));
    }
    let topology = Topology::create()?;
    stage::prepare(&topology)?;
    let lnsd = Lnsd::start_text(&topology.lns, &stage::text(&manifest, &policies))?;
    let options = Options {
        sessions: manifest.users.len(),
        user: user_pattern(),
        capture: true,
        ..scenario::options()
    };
    let lac = Lac::up(&topology.lac, options)?;
    let stage = Stage::new(&topology, &lnsd, &lac, manifest, policies)?;
    let cases: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(owner, (way, sessions, names))| Case::new(&stage, owner, way, sessions, names))
        .collect::<Result<_>>()?;
    let result = stage.attend(|| work(cases))?;
    lac.close()?;
    Ok(result)
}

/// Does `work` with the cases of `roles` on a stage of their own.
fn with_cases(
    manifest: Manifest,
    roles: Vec<(&str, Way, Cast)>,
    work: impl FnOnce(&[Case<'_>]) -> Result<String>,
) -> Result<String> {
    let roles = roles
        .into_iter()
        .map(|(name, way, role)| (name.to_owned(), way, role));
    on_stage(manifest, roles.collect(), |cases| {
        let note = work(&cases)?;
        for case in &cases {
            case.finish()?;
        }
        Ok(note)
    })
}

/// The entry of a subscriber in `users.yaml` who has these policies.
fn entry(policies: &[&String]) -> String {
    let policies: Vec<_> = policies.iter().map(|name| name.as_str()).collect();
    match policies.as_slice() {
        [] => PASSWORD.to_owned(),
        names => format!(
            "{{ password: {PASSWORD}, policies: [{}] }}",
            names.join(", ")
        ),
    }
}

/// Plays a row in all its ways at once.
fn play_row(row: &Row, cases: &mut [Case<'_>]) -> Result<String> {
    let Play::Beside { run, .. } = row.play else {
        return Ok(String::new());
    };
    std::thread::scope(|scope| {
        let playing: Vec<_> = cases
            .iter_mut()
            .map(|case| (case.way, scope.spawn(move || play(run, case))))
            .collect();
        for (way, thread) in playing {
            let result = thread.join().unwrap_or_else(|_| Err(anyhow!("panicked")));
            result.with_context(|| way.label())?;
        }
        Ok(String::new())
    })
}

/// Plays a row one way, again if the machine was too slow for it.
fn play(run: fn(&Case<'_>) -> Result<()>, case: &mut Case<'_>) -> Result<()> {
    loop {
        let result = run(case).and_then(|()| case.finish());
        let is_late = result.as_ref().is_err_and(anyhow::Error::is::<Late>);
        case.attempt += 1;
        if !is_late || case.attempt >= ATTEMPTS {
            return result;
        }
        case.accept_all();
    }
}
