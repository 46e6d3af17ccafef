//! One story for each fault of what a cluster stands on: the API server with the Lease, and Redis.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::objects::LEASE;
use super::redis;
use super::scene::{Expected, Scene, rest};
use super::story::Story;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "cluster-api-away",
        says: "the API server stands still for 30 s: the master goes on, new sessions come up",
        tell: |scene| api_away(scene, 30),
    },
    Story {
        name: "cluster-api-late",
        says: "what the API server says is 4 s late: one master, and one that is killed meanwhile is followed",
        tell: api_late,
    },
    Story {
        name: "cluster-lease-deleted",
        says: "somebody deletes the Lease",
        tell: lease_deleted,
    },
    Story {
        name: "cluster-lease-nonsense",
        says: "somebody writes nonsense into the Lease: it is unknown, and held again",
        tell: lease_nonsense,
    },
    Story {
        name: "cluster-redis-failover",
        says: "the master of Redis is killed: Sentinel has another one, no session lost",
        tell: redis_failover,
    },
    Story {
        name: "cluster-redis-flushed",
        says: "Redis stands still, is emptied, and then the master is killed: no session lost",
        tell: redis_flushed,
    },
];

pub(super) const LONG: &[Story] = &[
    Story {
        name: "cluster-redis-away",
        says: "both Redis stand still, and the master is killed: it is followed without a store, no session lost",
        tell: redis_away,
    },
    Story {
        name: "cluster-api-away-long",
        says: "the API server stands still for 100 s: the master goes on, new sessions come up",
        tell: |scene| api_away(scene, 100),
    },
    Story {
        name: "cluster-lease-emptied",
        says: "somebody empties the Lease's holder",
        tell: lease_emptied,
    },
];

/// Later than H: whatever a node asks is answered when its authority would be over.
pub(super) const LATE: Duration = Duration::from_secs(4);

fn api_away(scene: &mut Scene<'_>, seconds: u64) -> Result<Expected> {
    scene.bed.api.signal(Signal::SIGSTOP)?;
    let away = away(scene, seconds);
    scene.bed.api.signal(Signal::SIGCONT)?;
    away?;
    scene.newcomers("back")?;
    rest(5);
    Ok(Expected::default())
}

fn away(scene: &Scene<'_>, seconds: u64) -> Result<()> {
    for round in 0..seconds / 10 {
        rest(10);
        scene.all_up()?;
        scene.newcomers(&format!("away{round}-"))?;
    }
    Ok(())
}

fn api_late(scene: &mut Scene<'_>) -> Result<Expected> {
    let first = scene.first;
    scene.bed.api.proxy.hold_back(LATE)?;
    rest(12);
    scene.newcomers("late")?;
    let master = scene.master()?;
    ensure!(first == master, "answers that are late cost a mastership");
    scene.bed.end(first, Signal::SIGKILL)?;
    // Nobody's write is answered while an authority from it would last, so nobody may follow yet.
    rest(8);
    scene.bed.api.proxy.hold_back(Duration::ZERO)?;
    scene.another(&[first])?;
    scene.newcomers("second")?;
    Ok(Expected::followed())
}

fn redis_failover(scene: &mut Scene<'_>) -> Result<Expected> {
    let before = scene.bed.store.master()?;
    scene.bed.store.kill(before)?;
    scene.newcomers("meanwhile")?;
    let store = &scene.bed.store;
    store.wait("Sentinel has another master", |store| {
        Ok(store.master()? != before)
    })?;
    scene.newcomers("promoted")?;
    scene.bed.store.restart(before)?;
    scene.bed.store.wait_whole()?;
    rest(5);
    scene.kill_master()?;
    scene.newcomers("second")?;
    Ok(Expected::followed())
}

fn redis_flushed(scene: &mut Scene<'_>) -> Result<Expected> {
    let port = scene.bed.store.master()?;
    scene.bed.store.signal(port, Signal::SIGSTOP)?;
    // Not for so long that Sentinel gives up.
    rest(1);
    scene.bed.store.signal(port, Signal::SIGCONT)?;
    scene.newcomers("meanwhile")?;
    scene.bed.store.ask(port, &["FLUSHALL"])?;
    scene.newcomers("flushed")?;
    rest(10);
    scene.kill_master()?;
    scene.newcomers("second")?;
    Ok(Expected::followed())
}

fn redis_away(scene: &mut Scene<'_>) -> Result<Expected> {
    let all = |scene: &Scene<'_>, signal| {
        let mut ports = redis::PORTS.into_iter();
        ports.try_for_each(|port| scene.bed.store.signal(port, signal))
    };
    all(scene, Signal::SIGSTOP)?;
    let followed = followed_without_store(scene);
    all(scene, Signal::SIGCONT)?;
    followed?;
    scene.bed.store.wait_whole()?;
    scene.newcomers("back")?;
    Ok(Expected::followed())
}

fn followed_without_store(scene: &mut Scene<'_>) -> Result<()> {
    rest(LATE.as_secs());
    scene.newcomers("alone")?;
    // What the master tells without a store, only it knows: their Stops have left when it dies.
    rest(LATE.as_secs());
    scene.kill_master()?;
    // Longer than a LAC waits for an answer before it says something again.
    rest(10);
    scene.all_up()
}

fn lease_deleted(scene: &mut Scene<'_>) -> Result<Expected> {
    scene.bed.api.delete(LEASE)?;
    by_hand(scene)
}

fn lease_emptied(scene: &mut Scene<'_>) -> Result<Expected> {
    let nobody = json!({ "spec": { "holderIdentity": "" } });
    scene.bed.api.patch(LEASE, &nobody)?;
    by_hand(scene)
}

fn lease_nonsense(scene: &mut Scene<'_>) -> Result<Expected> {
    let lease = scene.bed.api.get(LEASE)?;
    let annotations = lease.pointer("/metadata/annotations");
    let names = annotations.and_then(Value::as_object);
    let names = names.into_iter().flat_map(|names| names.keys());
    let nonsense: serde_json::Map<_, _> = names
        .map(|name| (name.clone(), json!("-1, \u{fffd} or { not yaml")))
        .collect();
    ensure!(!nonsense.is_empty(), "a Lease without notes: {lease}");
    let written = json!({
        "metadata": { "annotations": nonsense },
        "spec": {
            "holderIdentity": "//// \u{1f937} ////",
            "leaseDurationSeconds": 1,
            "leaseTransitions": 2_147_483_647,
        },
    });
    scene.bed.api.patch(LEASE, &written)?;
    let expected = by_hand(scene)?;
    let lease = scene.bed.api.get(LEASE)?;
    let holder = lease.pointer("/spec/holderIdentity");
    let holder = holder.and_then(Value::as_str).unwrap_or_default();
    ensure!(holder.starts_with('n'), "no node holds the Lease: {lease}");
    Ok(expected)
}

/// After somebody has laid hands on the Lease: somebody is master again, and it is held.
fn by_hand(scene: &Scene<'_>) -> Result<Expected> {
    rest(10);
    scene.master()?;
    scene.newcomers("second")?;
    let lease = scene.bed.api.get(LEASE)?;
    let holder = lease.pointer("/spec/holderIdentity");
    ensure!(
        holder.is_some_and(|holder| holder != ""),
        "nobody holds the Lease: {lease}"
    );
    Ok(Expected::followed())
}
