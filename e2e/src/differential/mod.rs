//! The same LAC scripts against Debian's l2tpns and against `lnsd`: where the two differ, a table says
//! what each does, what the RFC says, and why we do what we do.
//!
//! The scripts are in `e2e/differential/scripts`. Values that a server chooses for itself (ids,
//! addresses, texts) are not compared. Left out: traffic, load, and what happens after seconds.

mod answer;
mod control;
mod line;
mod play;
mod script;
mod server;
mod subscriber;
mod table;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use self::play::Observation;
use self::script::Script;
pub(crate) use self::server::{L2tpns, inside, unpack};

/// Where scripts, configuration and table are.
const FOLDER: &str = "e2e/differential";
/// The table.
const TABLE: &str = include_str!("../../differential/differences.md");

/// What both servers did, script by script.
type Courses = Vec<(Vec<Observation>, Vec<Observation>)>;

/// Plays the scripts whose names contain one of `names` (all without names), prints a line each and
/// `N passed, N failed`; with `show` every step. Says whether the table holds.
pub(crate) fn run(names: &[String], show: bool) -> Result<bool> {
    ensure!(
        Path::new(FOLDER).is_dir(),
        "there is no {FOLDER} here: run this at the top of the tree"
    );
    let scripts = scripts(Path::new(FOLDER))?;
    let rows = table::parse(TABLE)?;
    let chosen: Vec<_> = scripts
        .iter()
        .filter(|script| names.is_empty() || names.iter().any(|name| script.name.contains(name)))
        .collect();
    if chosen.is_empty() {
        bail!("no script is called {}", names.join(", "));
    }
    let courses = play_both(&chosen)?;
    let mut failed = 0;
    for (script, (theirs, ours)) in chosen.iter().zip(&courses) {
        if show {
            print_course(theirs, ours);
        }
        let row = rows.iter().find(|row| row.script == script.name);
        let seen = table::difference(&script.name, theirs, ours);
        match table::verdict(seen.as_ref(), row) {
            None => {
                let how = row.map_or("the same", |_| "as the table says");
                println!("ok    {:<32} {how}: {}", script.name, script.says);
            }
            Some(wrong) => {
                failed += 1;
                println!("FAIL  {:<32} {}\n      {wrong}", script.name, script.says);
            }
        }
    }
    let mut total = chosen.len();
    for row in &rows {
        if scripts.iter().all(|script| script.name != row.script) {
            failed += 1;
            total += 1;
            println!("FAIL  {:<32} a row without a script", row.script);
        }
    }
    println!("{} passed, {failed} failed", total - failed);
    Ok(failed == 0)
}

/// Plays all scripts on both servers at once.
fn play_both(chosen: &[&Script]) -> Result<Courses> {
    let root = unpack()?;
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| server::on_l2tpns(&root, chosen));
        let ours = server::on_lnsd(chosen);
        let theirs = theirs.join();
        let theirs = theirs.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (theirs, ours)
    });
    Ok(theirs?.into_iter().zip(ours?).collect())
}

fn scripts(folder: &Path) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder.join("scripts"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.context("a script's name is no text")?;
        let text = std::fs::read_to_string(&path)?;
        scripts.push(Script::parse(name, &text)?);
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

fn print_course(theirs: &[Observation], ours: &[Observation]) {
    for place in 0..theirs.len().max(ours.len()) {
        let of = |course: &[Observation]| course.get(place).cloned();
        let (their, our) = (of(theirs), of(ours));
        let step = their.as_ref().or(our.as_ref());
        let step = step.map_or("", |seen| seen.step.as_str());
        println!("      {step}");
        for (name, seen) in [("l2tpns", &their), ("lnsd", &our)] {
            let result = seen.as_ref().map_or("not reached", |seen| &seen.result);
            println!("        {name:<7} {result}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_read_and_every_row_has_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential");
        let scripts = scripts(&folder).unwrap();
        assert!(scripts.len() >= 40, "{}", scripts.len());
        for row in table::parse(TABLE).unwrap() {
            assert!(scripts.iter().any(|script| script.name == row.script));
        }
    }
}
