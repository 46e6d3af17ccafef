//! `lns-e2e demo --cluster`: three nodes, and the end of their master, for a person to watch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::network::Place;
use super::objects::{CLUSTER, Wanted};
use super::scene::{Expected, Scene, play, rest};
use crate::demo::{Screen, print};

const SUBSCRIBERS: usize = 1000;

/// Runs it. An error means that something did not work as it should.
pub(crate) fn run() -> Result<()> {
    let screen = Screen::new();
    screen.heading(&format!(
        "Three nodes behind a router, an API server, Redis with Sentinel, FreeRADIUS; {SUBSCRIBERS} subscribers dial in"
    ))?;
    let wanted = Wanted::default();
    let story = |scene: &mut Scene<'_>| story(screen, scene);
    let line = play(SUBSCRIBERS, &wanted, story, |_| Ok(()))?;
    screen.heading("What subscribers, LACs and FreeRADIUS have noticed")?;
    for part in line.split("; ") {
        screen.done(part)?;
    }
    Ok(())
}

fn story(screen: Screen, scene: &mut Scene<'_>) -> Result<Expected> {
    let first = scene.first;
    screen.done(&format!(
        "{SUBSCRIBERS} sessions through all three as members of {CLUSTER}; {} is master",
        first.name()
    ))?;
    members(screen, scene, first)?;
    screen.heading(&format!(
        "kill -9 of {}, the master, under traffic",
        first.name()
    ))?;
    let (second, at) = scene.kill_master()?;
    let took = at.elapsed().unwrap_or(Duration::ZERO).as_secs_f64();
    screen.done(&format!(
        "{} is master after {took:.1} s; no LAC and no subscriber has noticed",
        second.name()
    ))?;
    scene.all_up()?;
    scene.newcomers("second")?;
    screen.done("new subscribers come up")?;
    members(screen, scene, second)?;
    scene.bed.launch(first)?;
    scene.bed.wait_ready(first)?;
    screen.done(&format!("{} is started again, and a member", first.name()))?;
    screen.heading(&format!("lnsd step-down on {}", second.name()))?;
    for line in scene.bed.node(second)?.table(&["step-down"])?.lines() {
        print(&format!("  {line}"))?;
    }
    let third = scene.another(&[second])?;
    screen.done(&format!("{} is master", third.name()))?;
    screen.heading(&format!(
        "SIGSTOP of {}, and SIGCONT when it is too late",
        third.name()
    ))?;
    scene.bed.node(third)?.signal(Signal::SIGSTOP)?;
    let fourth = scene.another(&[third]);
    rest(2);
    scene.bed.node(third)?.signal(Signal::SIGCONT)?;
    let fourth = fourth?;
    rest(2);
    scene.all_up()?;
    screen.done(&format!(
        "{} is master; {} says nothing more in the cluster's name, and forwards as a member",
        fourth.name(),
        third.name()
    ))?;
    members(screen, scene, fourth)?;
    Ok(Expected {
        changes: 3,
        ..Expected::followed()
    })
}

fn members(screen: Screen, scene: &Scene<'_>, on: Place) -> Result<()> {
    screen.heading(&format!("lnsd members, on {}", on.name()))?;
    let table = scene.bed.node(on)?.table(&["members"]);
    for line in table.context("lnsd members")?.lines() {
        print(&format!("  {line}"))?;
    }
    Ok(())
}
