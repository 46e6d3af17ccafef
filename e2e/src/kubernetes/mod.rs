//! Stories of a real Kubernetes: kind with three workers, the operator from its chart, a cluster of three that it
//! makes, Redis with Sentinels and FreeRADIUS in pods; LACs, subscribers and the router outside of it all.
//! `lns-e2e kubernetes [NAME...]`.
//!
//! All are told one after the other in one Kubernetes, with the same sessions. What is concluded of subscribers comes
//! from a capture outside of the nodes, from what they received, and from FreeRADIUS's detail file, as in
//! [`crate::cluster`], whose parts these are.
//!
//! | file | what |
//! |---|---|
//! | `kind` `outside` `frr` `objects` `bed` | Kubernetes, what is outside of it and its router, what is applied, everything together |
//! | `nodes` `pods` `aside` `control` | stories of nodes, of members' pods, of nodes that are drained or fenced, of the API server |
//! | `rollout` `charts` `rights` | stories of changes that replace pods |
//! | `plugin` `hooks` | stories of `kubectl lns`, and of what the chart runs in pods |
//! | `mistakes` `policies` | stories of what is applied: what is wrong, and what takes effect at once |
//! | `scan` `end` | what subscribers reach; how it all ends |
//!
//! Left out: several control planes, and nodes on which the store dies with a member.

mod aside;
mod bed;
mod charts;
mod control;
mod end;
mod frr;
mod hooks;
mod kind;
mod mistakes;
mod nodes;
mod objects;
mod outside;
mod plugin;
mod pods;
mod policies;
mod rights;
mod rollout;
mod scan;

use anyhow::{Context as _, Result, bail};

use self::bed::{Bed, Scene};
use crate::cluster::scene::{Expected, Ground as _};
use crate::scenario;

/// What happens under traffic.
#[derive(Clone, Copy)]
struct Story {
    /// What it is called on the command line.
    name: &'static str,
    /// What it shows, in a few words.
    says: &'static str,
    /// What happens, and what it must have come to.
    tell: fn(&mut Scene) -> Result<Expected>,
}

impl Story {
    fn title(&self) -> Title {
        Title {
            name: self.name,
            says: self.says,
        }
    }
}

/// What a line begins with.
#[derive(Clone, Copy)]
struct Title {
    name: &'static str,
    says: &'static str,
}

/// What is before all stories.
const START: Title = Title {
    name: "kube-start",
    says: "kind is up with all images; Redis, Sentinels and FreeRADIUS run in pods",
};
const INSTALL: Title = Title {
    name: "kube-install",
    says: "helm install and kubectl apply: the cluster is Ready, and subscribers dial in",
};
/// What is behind them.
const PROTECT: Title = Title {
    name: "kube-protect",
    says: "the cluster is deleted while sessions are up: they go on, and it says why it is still there",
};
const CLOSE: Title = Title {
    name: "kube-close",
    says: "everybody hangs up: each session has one Start and one Stop",
};
const DELETE: Title = Title {
    name: "kube-delete",
    says: "the deletion goes on; the cluster is made anew, and deleted while Redis is away: all of it goes",
};

fn short() -> Vec<Story> {
    [
        nodes::STORIES,
        pods::STORIES,
        aside::STORIES,
        control::STORIES,
        rollout::STORIES,
        charts::STORIES,
        plugin::STORIES,
        hooks::STORIES,
        rights::STORIES,
        mistakes::STORIES,
        policies::STORIES,
        scan::STORIES,
    ]
    .concat()
}

fn long() -> Vec<Story> {
    [
        nodes::LONG,
        control::LONG,
        rollout::LONG,
        hooks::LONG,
        mistakes::LONG,
    ]
    .concat()
}

/// Prints what there is.
pub(crate) fn list() {
    let stories = [short(), long()].concat();
    let stories = stories.iter().map(Story::title);
    for Title { name, says } in [START, INSTALL]
        .into_iter()
        .chain(stories)
        .chain([PROTECT, CLOSE, DELETE])
    {
        println!("{name:<28} {says}");
    }
}

/// Tells the stories whose names contain one of `names`, all without names, with so many sessions; `is_kept`: the
/// Kubernetes is left as it is at the end, and one that runs is used. Says whether all passed.
pub(crate) fn run(names: &[String], sessions: usize, is_long: bool, is_kept: bool) -> Result<bool> {
    let mut stories = if is_long { long() } else { short() };
    let is_chosen = |name: &str| {
        let mut words = names.iter();
        names.is_empty() || words.any(|word| name.contains(word.as_str()))
    };
    stories.retain(|it| is_chosen(it.name));
    let deletes = is_chosen(DELETE.name);
    if stories.is_empty() && !deletes && !is_chosen(INSTALL.name) {
        bail!(
            "no story is called {}; `--list` shows them",
            names.join(", ")
        );
    }
    let mut count = Count::default();
    tell(&stories, sessions, deletes, is_kept, &mut count);
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

/// What came of what was told.
#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
}

impl Count {
    /// Tells one, and says whether it passed.
    fn perform(&mut self, title: Title, run: impl FnOnce() -> Result<String>) -> bool {
        let well = scenario::perform(title.name, title.says, run);
        if well {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        well
    }
}

/// Behind the first thing that stands on nothing there is no other.
fn tell(stories: &[Story], sessions: usize, deletes: bool, is_kept: bool, count: &mut Count) {
    let (mut bed, mut scene) = (None, None);
    let well = count.perform(START, || {
        let bed = bed.insert(Bed::start(is_kept)?);
        Ok(std::mem::take(&mut bed.notes).join("; "))
    });
    let well = well
        && count.perform(INSTALL, || {
            let bed = bed.take().context("no Kubernetes")?;
            let (found, line) = install(bed, sessions)?;
            scene = Some(found);
            Ok(line)
        });
    let Some(mut scene) = scene.filter(|_| well) else {
        return;
    };
    for story in stories {
        let well = count.perform(story.title(), || {
            let seen = scene.act(story.tell);
            let seen = scene.bed.attest(seen)?;
            let notes = std::mem::take(&mut scene.bed.notes);
            Ok([notes, vec![seen.line]].concat().join("; "))
        });
        // The next one is told of sessions that are all there.
        if !well && let Err(error) = renew(&mut scene) {
            println!("      and no other story can be told: {error:#}");
            return;
        }
    }
    if deletes {
        count.perform(PROTECT, || {
            let seen = scene.act(end::protect);
            Ok(scene.bed.attest(seen)?.line)
        });
    }
    count.perform(CLOSE, || {
        let told = scene.close();
        let told = scene.bed.attest(told)?;
        Ok(format!(
            "{} sessions in all, {} records repeated",
            told.starts, told.repeated
        ))
    });
    if deletes {
        count.perform(DELETE, || {
            let ended = end::delete(&scene.bed);
            scene.bed.attest(ended)
        });
    }
}

fn install(mut bed: Bed, sessions: usize) -> Result<(Scene, String)> {
    let took = bed.install();
    let took = bed.attest(took)?;
    let first = bed
        .router
        .wait_for(bed::PATIENCE, &crate::cluster::network::Place::ALL);
    let first = bed.attest(first)?;
    bed.notes.clear();
    let scene = Scene::dial(bed, first, sessions)?;
    let line = format!(
        "{:.1} s from helm install to Ready; {sessions} sessions",
        took.as_secs_f64()
    );
    Ok((scene, line))
}

/// After a story that failed: everything runs again, and everybody dials in again.
fn renew(scene: &mut Scene) -> Result<()> {
    scene.bed.notes.clear();
    scene.bed.recover()?;
    scene.redial()
}
