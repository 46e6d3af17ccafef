//! How it ends: the cluster is deleted, with Redis and without.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::bed::{Bed, CLUSTER, MEMBERS, PATIENCE, Scene};
use super::objects;
use crate::cluster::scene::Expected;

/// Deletes the cluster while sessions are up, which it does not do. It is on its way out from then on.
pub(super) fn protect(scene: &mut Scene) -> Result<Expected> {
    let kind = &scene.bed.kind;
    kind.kubectl(&["delete", CLUSTER, "--wait=false"])?;
    kind.wait(PATIENCE, "the cluster says why it is there", |_| {
        let (status, reason, message) = scene.bed.condition("Stalled")?;
        ensure!(
            status == "True" && message.contains("spec.deletionProtection"),
            "{status}, {reason}: {message}"
        );
        Ok(true)
    })?;
    scene.newcomers("ending")?;
    Ok(Expected::default())
}

/// Deletes the cluster; makes it anew, and deletes it while Redis is away.
pub(super) fn delete(bed: &Bed) -> Result<String> {
    let with = gone(bed)?;
    bed.kind.apply(&objects::cluster()?)?;
    bed.wait_ready(PATIENCE)?;
    bed.kind
        .kubectl(&["scale", "deployment", "-l", "part=store", "--replicas=0"])?;
    bed.kind.kubectl(&[
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "part=store",
        "--timeout=60s",
    ])?;
    let without = gone(bed)?;
    bed.kind.helm(&["uninstall", "lns", "--wait"])?;
    Ok(format!("{with} s with Redis, {without} s without"))
}

/// Deletes it and waits until nothing of it is there; gives the seconds.
fn gone(bed: &Bed) -> Result<u64> {
    let began = Instant::now();
    bed.kind
        .kubectl(&["delete", CLUSTER, "--ignore-not-found", "--timeout=120s"])?;
    bed.kind.wait(PATIENCE, "nothing is left of it", |kind| {
        let left = kind.kubectl(&[
            "get",
            "daemonsets,pods,roles,rolebindings,serviceaccounts",
            "-l",
            MEMBERS,
            "-o",
            "name",
        ])?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(true)
    })?;
    Ok(began.elapsed().as_secs())
}
