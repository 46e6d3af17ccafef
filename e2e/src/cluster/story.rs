//! Stories that are told one after the other in one cluster, so that many faults meet the same thousands of
//! sessions: each has a verdict of its own ([`super::scene`]). Behind one that failed, the next one is told in
//! another cluster.

use anyhow::{Context as _, Result};

use super::network::{Announce, Network};
use super::objects::Wanted;
use super::scene::{Expected, Ground as _, Scene};
use crate::scenario;

/// A fault, told in a cluster under traffic.
#[derive(Clone, Copy)]
pub(crate) struct Story {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) says: &'static str,
    /// What happens, and what it must have come to.
    pub(crate) tell: fn(&mut Scene<'_>) -> Result<Expected>,
}

/// What is at the end of each cluster.
const END: (&str, &str) = (
    "cluster-end",
    "everybody hangs up: each session of the scene has one Start and one Stop",
);

/// Tells all of them with so many sessions. Gives how many lines were printed, and how many failed.
pub(crate) fn tell(stories: &[Story], sessions: usize) -> (usize, usize) {
    let (mut rest, mut lines, mut failed) = (stories, 0, 0);
    while !rest.is_empty() {
        let told = in_one_cluster(rest, sessions);
        rest = told.rest;
        lines += told.lines;
        failed += usize::from(told.failed);
    }
    (lines, failed)
}

/// What was told in one cluster.
struct Part<'a> {
    /// What is left for the next one.
    rest: &'a [Story],
    lines: usize,
    failed: bool,
}

fn in_one_cluster(stories: &[Story], sessions: usize) -> Part<'_> {
    let wanted = Wanted::default();
    let network = Network::create(Announce::External);
    let mut scene = None;
    for (number, story) in stories.iter().enumerate() {
        let well = scenario::perform(story.name, story.says, || {
            if scene.is_none() {
                let network = network.as_ref();
                let network = network.map_err(|error| anyhow::anyhow!("{error:#}"))?;
                scene = Some(Scene::open(network, &wanted, sessions)?);
            }
            let scene = scene.as_mut().context("no cluster")?;
            let seen = scene.act(story.tell);
            Ok(scene.bed.attest(seen)?.line)
        });
        if !well {
            return Part {
                rest: stories.get(number + 1..).unwrap_or_default(),
                lines: number + 1,
                failed: true,
            };
        }
    }
    let (name, says) = END;
    let well = scenario::perform(name, says, || {
        let scene = scene.as_mut().context("no cluster")?;
        let told = scene.close();
        let told = scene.bed.attest(told)?;
        Ok(format!(
            "{} sessions in all, {} records repeated",
            told.starts, told.repeated
        ))
    });
    Part {
        rest: &[],
        lines: stories.len() + 1,
        failed: !well,
    }
}
