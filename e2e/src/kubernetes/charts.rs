//! Stories of the chart: an upgrade to another tag of the image, and back. What is in the image is the same: a story of
//! two releases needs two.

use anyhow::{Result, ensure};

use super::Story;
use super::bed::{Bed, IMAGE, PATIENCE, Scene};
use super::kind::node_of;
use crate::cluster::network::Place;
use crate::cluster::scene::Expected;

pub(super) const STORIES: &[Story] = &[Story {
    name: "kube-upgrade-rollback",
    says: "helm upgrade to another tag, and helm rollback: each pod is replaced, one after the other",
    tell: upgrade,
}];

/// The other image's tag.
const NEXT: &str = "next";

fn upgrade(scene: &mut Scene) -> Result<Expected> {
    let bed = &scene.bed;
    for place in Place::ALL {
        tag(bed, &node_of(place))?;
    }
    tag(bed, super::kind::CONTROL_PLANE)?;
    let revision = bed.revision()?;
    bed.upgrade(&[&format!("image.tag={NEXT}")])?;
    all_run(bed, NEXT)?;
    scene.newcomers("next")?;
    let bed = &scene.bed;
    bed.rollback(&revision)?;
    all_run(bed, "e2e")?;
    scene.newcomers("back")?;
    Ok(Expected::handed_over(2))
}

/// Gives the image on a node another name: what differs is the pods' template.
fn tag(bed: &Bed, node: &str) -> Result<()> {
    let names = [format!("{IMAGE}:e2e"), format!("{IMAGE}:{NEXT}")];
    let [from, to] = names.each_ref().map(String::as_str);
    let ctr = ["ctr", "-n", "k8s.io", "images", "tag", "--force"];
    bed.kind.on(node, &[&ctr[..], &[from, to]].concat())?;
    Ok(())
}

/// Waits until the operator and all members are of this image and serve.
fn all_run(bed: &Bed, tag: &str) -> Result<()> {
    let image = format!("{IMAGE}:{tag}");
    bed.kind
        .wait(3 * PATIENCE, "every pod has the image", |kind| {
            let path = "jsonpath={range .items[*]}{.spec.containers[0].image} {end}";
            let selector = "app.kubernetes.io/name in (lnsd,lns-operator)";
            let images = kind.kubectl(&["get", "pods", "-l", selector, "-o", path])?;
            let others: Vec<_> = images
                .split_whitespace()
                .filter(|it| *it != image)
                .collect();
            ensure!(others.is_empty(), "{} pods have another one", others.len());
            Ok(true)
        })?;
    bed.wait_ready(PATIENCE)
}
