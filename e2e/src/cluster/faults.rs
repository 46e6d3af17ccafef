//! One story for each fault of a node or a link. What is asserted is what every story ends with
//! ([`super::scene`]) and what this fault is about; times are printed.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::bed::PATIENCE;
use super::network::{Link, Place, Way};
use super::scene::{Expected, LONGER, Scene, rest};
use super::story::Story;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "cluster-three",
        says: "three nodes, one master: sessions through any of them, traffic both ways through all",
        tell: three,
    },
    Story {
        name: "cluster-stop-member",
        says: "a member is stopped for longer than D, and goes on",
        tell: stop_member,
    },
    Story {
        name: "cluster-cut-access",
        says: "the LACs' link to a member is cut: the router spreads over the others",
        tell: cut_access,
    },
    Story {
        name: "cluster-cut-member",
        says: "a member reaches neither API server nor store nor members: it sends routers away, and comes back",
        tell: cut_member,
    },
    Story {
        name: "cluster-kill-member",
        says: "a member is killed, and started again",
        tell: kill_member,
    },
    Story {
        name: "cluster-kill-master",
        says: "the master is killed: no session lost, no TCP connection reset, LCP not begun anew",
        tell: kill_master,
    },
    Story {
        name: "cluster-zombie",
        says: "the master is stopped for longer than D, and goes on: it says nothing more",
        tell: zombie,
    },
    Story {
        name: "cluster-cut-master",
        says: "the master reaches neither API server nor store nor members: another one follows",
        tell: |scene| cut_master(scene, Way::Both),
    },
    Story {
        name: "cluster-step-down",
        says: "a planned change of the master",
        tell: step_down,
    },
    Story {
        name: "cluster-all-at-once",
        says: "all nodes are killed at once, and started again: every session goes on",
        tell: all_at_once,
    },
];

pub(super) const LONG: &[Story] = &[
    Story {
        name: "cluster-cut-one-way",
        says: "the master hears all others, and nobody hears it",
        tell: |scene| cut_master(scene, Way::FromNode),
    },
    Story {
        name: "cluster-last-node",
        says: "all nodes but one are killed, the master among them",
        tell: last_node,
    },
    Story {
        name: "cluster-rolling-restart",
        says: "every node is restarted, one after the other",
        tell: rolling_restart,
    },
];

/// How long an authority lasts after its last renewal was sent, by the profile `Default`.
const HOLD: Duration = Duration::from_secs(4);

fn three(scene: &mut Scene<'_>) -> Result<Expected> {
    scene.newcomers("early")?;
    rest(3);
    Ok(Expected::default())
}

fn kill_master(scene: &mut Scene<'_>) -> Result<Expected> {
    let (second, _) = scene.kill_master()?;
    ensure!(scene.first != second, "a dead master answers");
    scene.newcomers("second")?;
    Ok(Expected::followed())
}

fn zombie(scene: &mut Scene<'_>) -> Result<Expected> {
    silenced(
        scene,
        |scene, master| scene.bed.node(master)?.signal(Signal::SIGSTOP),
        |scene, master| scene.bed.node(master)?.signal(Signal::SIGCONT),
    )
}

/// Some are hung up just when the master reaches nobody any more. What it would tell of them its follower does not
/// know: each has one Stop, by the follower, to whom LACs say it again.
fn cut_master(scene: &mut Scene<'_>, way: Way) -> Result<Expected> {
    let (leavers, before) = scene.leavers()?;
    let told = silenced(
        scene,
        |scene, master| {
            scene.bed.network.cut(Link::Management(master), way)?;
            leavers.hang_up_all()
        },
        |scene, master| scene.bed.network.mend(Link::Management(master)),
    )?;
    // Their tunnels are there still: what ended them is what their LAC has said again.
    scene.all_left(before)?;
    leavers.close()?;
    Ok(Expected {
        may_repeat: false,
        ..told
    })
}

/// A fault by which the first master loses its authority while it lives, and its end later: another one
/// follows, and the first says nothing in the cluster's name any more.
fn silenced(
    scene: &mut Scene<'_>,
    fault: impl FnOnce(&Scene<'_>, Place) -> Result<()>,
    end: impl FnOnce(&Scene<'_>, Place) -> Result<()>,
) -> Result<Expected> {
    let first = scene.first;
    fault(scene, first)?;
    let since = SystemTime::now() + HOLD;
    scene.another(&[first])?;
    scene.newcomers("second")?;
    rest(5);
    end(scene, first)?;
    scene.newcomers("third")?;
    rest(5);
    Ok(Expected {
        silent: Some((first, since)),
        ..Expected::followed()
    })
}

fn kill_member(scene: &mut Scene<'_>) -> Result<Expected> {
    let member = scene.member()?;
    scene.bed.end(member, Signal::SIGKILL)?;
    rest(3);
    scene.newcomers("second")?;
    scene.bed.launch(member)?;
    scene.bed.wait_ready(member)?;
    rest(3);
    Ok(Expected::default())
}

fn stop_member(scene: &mut Scene<'_>) -> Result<Expected> {
    let member = scene.member()?;
    scene.bed.node(member)?.signal(Signal::SIGSTOP)?;
    without(scene, member)?;
    rest(LONGER);
    scene.bed.node(member)?.signal(Signal::SIGCONT)?;
    scene.newcomers("back")?;
    Ok(Expected::default())
}

fn cut_access(scene: &mut Scene<'_>) -> Result<Expected> {
    let member = scene.member()?;
    scene.bed.network.cut(Link::Access(member), Way::Both)?;
    let alone = without(scene, member);
    rest(3);
    scene.bed.network.mend(Link::Access(member))?;
    alone?;
    scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    scene.newcomers("back")?;
    Ok(Expected::default())
}

fn cut_member(scene: &mut Scene<'_>) -> Result<Expected> {
    let member = scene.member()?;
    scene.bed.network.cut(Link::Management(member), Way::Both)?;
    let alone = without(scene, member);
    rest(LONGER);
    scene.bed.network.mend(Link::Management(member))?;
    alone?;
    scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    scene.newcomers("back")?;
    Ok(Expected::default())
}

/// The router has found out that a member is not to be had, and new sessions come up through the others.
fn without(scene: &Scene<'_>, member: Place) -> Result<()> {
    let others = Place::ALL.into_iter().filter(|place| *place != member);
    let others: Vec<_> = others.collect();
    scene.bed.router.wait_for(PATIENCE, &others)?;
    scene.newcomers("without")
}

fn step_down(scene: &mut Scene<'_>) -> Result<Expected> {
    let first = scene.first;
    let said = scene.bed.node(first)?.table(&["step-down"])?;
    let second = scene.another(&[first])?;
    ensure!(first != second, "nobody took over: {said}");
    scene.newcomers("second")?;
    Ok(Expected::handed_over(1))
}

fn last_node(scene: &mut Scene<'_>) -> Result<Expected> {
    let (first, member) = (scene.first, scene.member()?);
    for place in [first, member] {
        scene.bed.end(place, Signal::SIGKILL)?;
    }
    let master = scene.another(&[first, member])?;
    ensure!(![first, member].contains(&master), "a dead node is master");
    scene.newcomers("last")?;
    for place in [first, member] {
        scene.bed.launch(place)?;
    }
    for place in [first, member] {
        scene.bed.wait_ready(place)?;
    }
    Ok(Expected::followed())
}

fn all_at_once(scene: &mut Scene<'_>) -> Result<Expected> {
    for place in Place::ALL {
        scene.bed.node(place)?.signal(Signal::SIGKILL)?;
    }
    for place in Place::ALL {
        scene.bed.end(place, Signal::SIGKILL)?;
        scene.bed.launch(place)?;
    }
    for place in Place::ALL {
        scene.bed.wait_ready(place)?;
    }
    scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    scene.newcomers("again")?;
    Ok(Expected::followed())
}

fn rolling_restart(scene: &mut Scene<'_>) -> Result<Expected> {
    for place in Place::ALL {
        scene.bed.end(place, Signal::SIGTERM)?;
        scene.master()?;
        scene.newcomers(&format!("without-{}-", place.name()))?;
        scene.bed.launch(place)?;
        scene.bed.wait_ready(place)?;
        scene.bed.router.wait_for(PATIENCE, &Place::ALL)?;
    }
    Ok(Expected {
        changes: 3,
        ..Expected::default()
    })
}
