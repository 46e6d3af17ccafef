//! Stories of the API server.

use std::time::Duration;

use anyhow::Result;

use super::Story;
use super::bed::{PATIENCE, Scene};
use super::kind::CONTROL_PLANE;
use crate::cluster::scene::{Expected, rest};

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-api-away",
    says: "the API server is away for half a minute: the master goes on by the members' promises",
    tell: |scene| away(scene, 30),
}];

pub(super) const LONG: &[Story] = &[
    Story {
        name: "kube-api-away-100-s",
        says: "the API server is away for 100 s",
        tell: |scene| away(scene, 100),
    },
    Story {
        name: "kube-api-away-10-min",
        says: "the API server is away for ten minutes",
        tell: |scene| away(scene, 600),
    },
];

/// Where the kubelet reads which pods of the control plane there are, and what takes one away.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const ASIDE: &str = "/etc/kubernetes/kube-apiserver.yaml";

fn away(scene: &mut Scene, seconds: u64) -> Result<Expected> {
    let kind = &scene.bed.kind;
    kind.on(CONTROL_PLANE, &["mv", MANIFEST, ASIDE])?;
    let gone = kind.wait(PATIENCE, "the API server is away", |kind| {
        Ok(kind.kubectl(&["get", "--raw", "/livez"]).is_err())
    });
    let new = gone.and_then(|()| {
        rest(seconds);
        scene.newcomers("meanwhile")
    });
    kind.on(CONTROL_PLANE, &["mv", ASIDE, MANIFEST])?;
    kind.wait(Duration::from_secs(180), "the API server is back", |kind| {
        Ok(kind.kubectl(&["get", "--raw", "/readyz"]).is_ok())
    })?;
    new?;
    Ok(Expected::default())
}
