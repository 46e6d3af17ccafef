//! What somebody does to a Lease by hand.

use core::time::Duration;

use kube::api::{DeleteParams, PostParams};
use lns_cluster::{Event, Profile, State};
use lns_lease::{Candidates, Running, Told};
use serde_json::{Value, json};

use crate::world::{World, either, master, stands};

/// The next step of a driver that leads somewhere.
async fn step(driver: &mut Running, to: State) -> Told {
    loop {
        let told = driver.transitions.recv().await.unwrap();
        if told.transition.to == to {
            return told;
        }
    }
}

pub(crate) async fn a_deleted_lease_is_written_anew_after_d_with_a_higher_epoch(world: &World) {
    world.permit().await;
    let mut a = world.open("a");
    let epoch = master(&a.handle).await.epoch;
    let held = step(&mut a, State::Holding).await;
    assert_eq!(held.transition.on, Event::Won);
    world
        .leases
        .delete("isp.master", &DeleteParams::default())
        .await
        .unwrap();
    let gone = step(&mut a, State::Waiting).await;
    assert_eq!(gone.transition.on, Event::Gone);
    let again = step(&mut a, State::Acquiring).await;
    assert!(again.at.since(gone.at) >= Profile::FAST.timing().wait);
    assert!(master(&a.handle).await.epoch > epoch);
}

pub(crate) async fn a_lease_that_is_edited_by_hand_costs_a_mastership_and_no_more(world: &World) {
    world.permit().await;
    let (a, b) = (world.open("a"), world.open("b"));
    let (_, mut last) = either(&a.handle, &b.handle).await;
    let edits = [
        json!({ "spec": { "holderIdentity": null } }),
        json!({ "spec": { "holderIdentity": "b/somebody/else" } }),
        json!({ "metadata": { "annotations": { "kubelns.io/epoch": null } } }),
    ];
    for edit in edits {
        world.edit(edit.clone()).await;
        let next = replaced(&a, &b, last.epoch).await;
        assert!(next.epoch > last.epoch, "{edit}");
        last = next;
    }
    // What is no part of the record costs nothing, and stays.
    let label = json!({ "metadata": { "labels": { "team": "core", "kubelns.io/cluster": null } } });
    world.edit(label).await;
    let holder = world.holder().await;
    let until = |standing: &lns_lease::Standing| {
        let authority = standing.authority;
        authority.is_some_and(|now| {
            now.epoch == last.epoch && now.until > last.until + Duration::from_secs(3)
        })
    };
    tokio::select! {
        _ = stands(&a.handle, until) => {}
        _ = stands(&b.handle, until) => {}
    }
    let lease = world.lease().await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity, holder);
    let labels = lease.metadata.labels.unwrap();
    assert_eq!(
        (&*labels["team"], &*labels["kubelns.io/cluster"]),
        ("core", "isp")
    );
}

/// The next mastership after that of `epoch`.
async fn replaced(a: &Running, b: &Running, epoch: lns_cluster::Epoch) -> lns_cluster::Authority {
    let other = |standing: &lns_lease::Standing| {
        standing
            .authority
            .is_some_and(|authority| authority.epoch != epoch)
    };
    let standing = tokio::select! {
        standing = stands(&a.handle, other) => standing,
        standing = stands(&b.handle, other) => standing,
    };
    standing.authority.unwrap()
}

/// A master hears nothing any more, another takes over and hears nothing either, and right then the Lease
/// says again what it said before: whoever still waits must not take that for unchanged.
pub(crate) async fn a_lease_that_is_restored_from_a_copy_makes_no_second_master(world: &World) {
    world.permit().await;
    let proxies = [
        world.proxy().await,
        world.proxy().await,
        world.proxy().await,
    ];
    let mut drivers = Vec::new();
    for (node, proxy) in ["a", "b", "c"].into_iter().zip(&proxies) {
        drivers.push(world.start(world.config(node, Candidates::Open), Some(proxy)));
    }
    let late = Profile::FAST.timing().wait * 2;
    for _ in 0..2 {
        let first = one_of(&drivers).await;
        proxies[first].hold_back(late);
        stands(&drivers[first].handle, |standing| {
            standing.state == State::Waiting
        })
        .await;
        let lease = world.lease().await.unwrap();
        let copy = json!({ "metadata": { "annotations": lease.metadata.annotations }, "spec": lease.spec });

        let second = one_of(&drivers).await;
        proxies[second].hold_back(late);
        let epoch = drivers[second]
            .handle
            .authority()
            .map(|authority| authority.epoch);
        world.edit(copy).await;
        let third = one_of(&drivers).await;
        assert!(third != first && third != second);
        assert!(
            drivers[third]
                .handle
                .authority()
                .map(|authority| authority.epoch)
                > epoch
        );
        for proxy in &proxies {
            proxy.hold_back(Duration::ZERO);
        }
    }
}

/// Waits until one is master that is not known to hear nothing: by now, its authority is over.
async fn one_of(drivers: &[Running]) -> usize {
    let masters = drivers.iter().enumerate().map(|(at, driver)| {
        Box::pin(async move {
            let before = driver.handle.standing().borrow().authority;
            let newer = |standing: &lns_lease::Standing| {
                standing
                    .authority
                    .is_some_and(|now| before.is_none_or(|before| now.until > before.until))
            };
            stands(&driver.handle, newer).await;
            at
        })
    });
    futures::future::select_all(masters).await.0
}

/// Whatever the API server lets anybody write.
fn nonsense() -> Vec<Value> {
    let huge = "9".repeat(40);
    let annotations = |epoch: &str, serial: &str, roster: &str| {
        json!({
            "kubelns.io/epoch": epoch,
            "kubelns.io/serial": serial,
            "kubelns.io/released": "nobody",
            "kubelns.io/roster": roster,
        })
    };
    vec![
        json!({ "metadata": { "annotations": annotations("-1", "many", "{}") } }),
        json!({ "metadata": { "annotations": annotations(&huge, &huge, "[1, null]") } }),
        json!({ "metadata": { "annotations": annotations("", "\u{0}", &"[".repeat(1000)) } }),
        json!({ "spec": { "holderIdentity": "nobody", "leaseTransitions": i32::MAX } }),
        json!({ "spec": { "holderIdentity": "/", "renewTime": "9999-12-31T23:59:59.999999Z" } }),
        json!({ "spec": null }),
    ]
}

pub(crate) async fn nonsense_in_a_lease_is_unknown_and_overwritten(world: &World) {
    world.permit().await;
    // Somebody was there first, and left no room.
    let much = "x".repeat(250 * 1024);
    let first = json!({
        "metadata": { "name": "isp.master", "annotations": { "example.org/much": much, "kubelns.io/epoch": "-7" } },
        "spec": { "holderIdentity": "somebody", "leaseDurationSeconds": 1 },
    });
    let first = serde_json::from_value(first).unwrap();
    world
        .leases
        .create(&PostParams::default(), &first)
        .await
        .unwrap();
    let (a, b) = (world.open("a"), world.open("b"));
    let (_, mut last) = either(&a.handle, &b.handle).await;
    for edit in nonsense() {
        world.edit(edit.clone()).await;
        let next = replaced(&a, &b, last.epoch).await;
        assert!(next.epoch > last.epoch, "{edit}");
        last = next;
    }
    let lease = world.lease().await.unwrap();
    let annotations = lease.metadata.annotations.unwrap();
    assert_eq!(
        annotations["kubelns.io/epoch"],
        last.epoch.number().to_string()
    );
    assert!(!a.task.is_finished() && !b.task.is_finished());
}
