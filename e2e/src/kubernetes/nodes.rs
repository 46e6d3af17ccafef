//! Stories of nodes.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};

use super::Story;
use super::bed::{PATIENCE, Scene};
use super::kind::{fault, node_of};
use crate::cluster::network::Place;
use crate::cluster::scene::{Expected, rest};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "kube-node-kill",
        says: "the master's node is gone at once, and comes back",
        tell: kill,
    },
    Story {
        name: "kube-cut-api",
        says: "the master's node does not reach the API server: it goes on by the members' promises, and nobody follows",
        tell: cut_api,
    },
    Story {
        name: "kube-kubelet-stop",
        says: "the kubelet of the master's node is stopped until the node is NotReady: nothing changes for anybody",
        tell: kubelet_stop,
    },
];

pub(super) const LONG: &[Story] = &[
    Story {
        name: "kube-node-kill-again",
        says: "the master's node is gone at once, three times over",
        tell: |scene| {
            for _ in 0..2 {
                kill(scene)?;
                crate::cluster::scene::Ground::recover(&mut scene.bed)?;
                scene.first = scene.master()?;
            }
            let last = kill(scene)?;
            Ok(Expected { changes: 3, ..last })
        },
    },
    Story {
        name: "kube-node-pause",
        says: "no process of the master's node runs for longer than D: it says nothing more when it goes on",
        tell: pause,
    },
    Story {
        name: "kube-node-kill-member",
        says: "a member's node is gone at once, and comes back",
        tell: kill_member,
    },
];

/// How long an authority lasts after its last renewal was sent, by the profile `Default`.
const HOLD: Duration = Duration::from_secs(4);

fn kill(scene: &mut Scene) -> Result<Expected> {
    let first = scene.first;
    fault(first, "kill")?;
    let second = scene.another(&[first])?;
    scene.newcomers("second")?;
    // What Kubernetes tells of it comes later than what subscribers are served by.
    scene
        .bed
        .kind
        .wait(PATIENCE, "the status names the new master", |_| {
            Ok(scene.bed.active()? == second)
        })?;
    scene
        .bed
        .kind
        .wait(PATIENCE, "the cluster is degraded", |_| {
            let (status, _, message) = scene.bed.condition("Degraded")?;
            Ok(status == "True" && message.contains(&node_of(first)))
        })?;
    Ok(Expected::followed())
}

fn kill_member(scene: &mut Scene) -> Result<Expected> {
    let member = scene.member()?;
    fault(member, "kill")?;
    let others: Vec<_> = Place::ALL.into_iter().filter(|it| *it != member).collect();
    scene.bed.router.wait_for(PATIENCE, &others)?;
    scene.newcomers("without")?;
    Ok(Expected::default())
}

/// Longer than D, after which another one would have followed.
const LONGER: u64 = 12;

fn cut_api(scene: &mut Scene) -> Result<Expected> {
    let first = scene.first;
    fault(first, "cut-api")?;
    rest(LONGER);
    let new = scene.newcomers("meanwhile");
    let second = scene.master();
    fault(first, "mend-api")?;
    new?;
    let second = second?;
    ensure!(second == first, "{} became master", node_of(second));
    Ok(Expected::default())
}

fn pause(scene: &mut Scene) -> Result<Expected> {
    let first = scene.first;
    fault(first, "pause")?;
    let since = SystemTime::now() + HOLD;
    let another = scene.another(&[first]);
    let second = another.and_then(|_| scene.newcomers("second"));
    rest(5);
    fault(first, "unpause")?;
    second?;
    Ok(Expected {
        silent: Some((first, since)),
        ..Expected::followed()
    })
}

fn kubelet_stop(scene: &mut Scene) -> Result<Expected> {
    let (first, node) = (scene.first, node_of(scene.first));
    scene
        .bed
        .kind
        .on(&node, &["systemctl", "stop", "kubelet"])?;
    let noticed = scene
        .bed
        .kind
        .wait(PATIENCE, "the node is not Ready", |kind| {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            Ok(kind.kubectl(&["get", "node", &node, "-o", path])?.trim() != "True")
        });
    let new = noticed.and_then(|()| scene.newcomers("meanwhile"));
    let second = scene.master();
    scene
        .bed
        .kind
        .on(&node, &["systemctl", "start", "kubelet"])?;
    new?;
    let second = second?;
    ensure!(second == first, "{} became master", node_of(second));
    Ok(Expected::default())
}
