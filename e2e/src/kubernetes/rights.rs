//! A story of members that get what they need by name, in place of everything. They keep to that in the stories behind
//! it.

use anyhow::{Result, ensure};

use super::Story;
use super::bed::{Bed, PATIENCE, Scene};
use super::kind::node_of;
use super::{hooks, pods};
use crate::cluster::network::Place;
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-capabilities",
    says: "members with NET_ADMIN and NET_RAW alone, under seccomp, and preflight with the same: they serve, and the master is killed",
    tell: capabilities,
}];

/// What the kernel says of such a process: both capabilities (bits 12 and 13), nothing to be gained, a filter.
const CONFINED: [&str; 5] = [
    "CapEff:\t0000000000003000",
    "CapPrm:\t0000000000003000",
    "CapBnd:\t0000000000003000",
    "NoNewPrivs:\t1",
    "Seccomp:\t2",
];

fn capabilities(scene: &mut Scene) -> Result<Expected> {
    hooks::upgrade(&scene.bed, &["dataplane.security=Capabilities"])?;
    are_confined(&scene.bed)?;
    scene.bed.wait_ready(PATIENCE)?;
    scene.newcomers("confined")?;
    let first = scene.master()?;
    pods::kill_process(&scene.bed, first)?;
    scene.another(&[first])?;
    scene.newcomers("second")?;
    are_confined(&scene.bed)?;
    Ok(Expected {
        changes: 2,
        ..Expected::followed()
    })
}

/// Waits until each member is.
fn are_confined(bed: &Bed) -> Result<()> {
    let what = "every member has these rights alone";
    bed.kind.wait(3 * PATIENCE, what, |kind| {
        for node in Place::ALL.map(node_of) {
            let process = kind.on(&node, &["pidof", "lnsd"])?;
            let status = format!("/proc/{}/status", process.trim());
            let status = kind.on(&node, &["cat", &status])?;
            for line in CONFINED {
                let found = status.lines().any(|it| it == line);
                ensure!(found, "{node} has no {line} in: {status}");
            }
        }
        Ok(true)
    })
}
