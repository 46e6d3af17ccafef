//! An API server that stops, is slow or breaks connections.

use core::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use lns_cluster::{NodeName, Profile, Roster, State};
use lns_lease::{Candidates, Cause, Notes, Running, Standing};

use crate::world::{World, either, master, stands};

/// H and D together: whoever has authority after that has it anew, or by promises.
fn long() -> Duration {
    let timing = Profile::FAST.timing();
    timing.hold + timing.wait
}

pub(crate) async fn an_api_server_that_stops_ends_an_authority_without_promises(world: &World) {
    world.permit().await;
    let (a, b) = (world.open("a"), world.open("b"));
    let (_, last) = either(&a.handle, &b.handle).await;
    let stopped = world.stop("kube-apiserver");
    for driver in [&a, &b] {
        let in_trouble = |standing: &Standing| {
            let cause = standing.trouble.as_ref().map(|trouble| trouble.cause);
            standing.state == State::Waiting && cause == Some(Cause::Timeout)
        };
        stands(&driver.handle, in_trouble).await;
    }
    tokio::time::sleep(long()).await;
    assert_eq!((a.handle.authority(), b.handle.authority()), (None, None));
    drop(stopped);
    let (_, next) = either(&a.handle, &b.handle).await;
    assert!(next.epoch > last.epoch);
}

/// Questions of one are carried to the other, and promises back.
fn channel(from: &mut Running, to: &Running) {
    let (_, nothing) = tokio::sync::mpsc::channel(1);
    let mut questions = core::mem::replace(&mut from.questions, nothing);
    let (back, to) = (from.handle.clone(), to.handle.clone());
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            if let Ok(Ok(promise)) = to.ask(question.ask).await {
                let _ended = back.promised(promise).await;
            }
        }
    });
}

/// Two nodes that know each other; the first is master.
async fn cluster(world: &World) -> (Running, Running) {
    world.permit().await;
    let rostered = |node| world.start(world.config(node, Candidates::Rostered), None);
    let (mut a, mut b) = (rostered("a"), rostered("b"));
    a.handle.may_found().await.unwrap();
    master(&a.handle).await;
    let both = Roster::of(["a", "b"].map(|node| NodeName::new(node).unwrap())).unwrap();
    a.handle
        .roster(both.clone(), Notes::default())
        .await
        .unwrap();
    for driver in [&a, &b] {
        stands(&driver.handle, |standing| standing.seen.roster == both).await;
    }
    channel(&mut a, &b);
    channel(&mut b, &a);
    (a, b)
}

/// For longer than H and D, and then it is the same mastership as before.
async fn goes_on_without(world: &World, program: &str) {
    let (a, b) = cluster(world).await;
    let epoch = a.handle.authority().unwrap().epoch;
    let stopped = world.stop(program);
    stands(&a.handle, |standing| standing.state == State::Extending).await;
    for _ in 0..40 {
        tokio::time::sleep(long() / 20).await;
        let authority = a.handle.authority();
        assert_eq!(authority.map(|authority| authority.epoch), Some(epoch));
    }
    drop(stopped);
    assert_eq!(master(&a.handle).await.epoch, epoch);
    assert_eq!(b.handle.authority(), None);
    assert_eq!(world.referee.masterships(), 1);

    // And without the other's promises it ends.
    b.task.abort();
    let stopped = world.stop(program);
    stands(&a.handle, |standing| standing.state == State::Waiting).await;
    assert_eq!(a.handle.authority(), None);
    drop(stopped);
    assert!(master(&a.handle).await.epoch > epoch);
}

pub(crate) async fn promises_carry_a_master_while_the_api_server_is_stopped(world: &World) {
    goes_on_without(world, "kube-apiserver").await;
}

pub(crate) async fn promises_carry_a_master_while_the_store_of_the_api_server_is_stopped(
    world: &World,
) {
    goes_on_without(world, "etcd").await;
}

pub(crate) async fn answers_that_are_a_little_late_cost_nothing(world: &World) {
    world.permit().await;
    let proxy = world.proxy().await;
    let a = world.start(world.config("a", Candidates::Open), Some(&proxy));
    let epoch = master(&a.handle).await.epoch;
    let b = world.open("b");
    // One request is out at a time, so two of them have to be answered within H.
    proxy.hold_back(Profile::FAST.timing().hold.mul_f64(0.3));
    tokio::time::sleep(long() * 2).await;
    assert_eq!(
        a.handle.authority().map(|authority| authority.epoch),
        Some(epoch)
    );
    assert_eq!(b.handle.authority(), None);
    assert_eq!(world.referee.masterships(), 1);
}

/// The answer to its last renewal comes so late that who counted from it would still be master when
/// another one is.
pub(crate) async fn an_authority_counts_from_the_send_of_a_renewal(world: &World) {
    world.permit().await;
    let proxy = world.proxy().await;
    let a = world.start(world.config("a", Candidates::Open), Some(&proxy));
    let first = master(&a.handle).await;
    let b = world.open("b");
    stands(&b.handle, |standing| standing.seen.epoch == first.epoch).await;
    proxy.hold_back(Profile::FAST.timing().patience.mul_f64(0.9));
    let version = |lease: Option<Lease>| lease.unwrap().metadata.resource_version;
    let before = version(world.lease().await);
    while version(world.lease().await) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.close();
    assert!(master(&b.handle).await.epoch > first.epoch);
}

/// First the master's, then the other's, and so on: what was written counts, and nobody knows it.
pub(crate) async fn answers_that_are_four_seconds_late_never_make_two_masters(world: &World) {
    world.permit().await;
    let late = Duration::from_secs(4);
    let proxies = [world.proxy().await, world.proxy().await];
    let through = |node, proxy| world.start(world.config(node, Candidates::Open), Some(proxy));
    let drivers = [through("a", &proxies[0]), through("b", &proxies[1])];
    let (is_a, mut last) = either(&drivers[0].handle, &drivers[1].handle).await;
    let mut slow = usize::from(!is_a);
    for _ in 0..3 {
        proxies[slow].hold_back(late);
        let other = 1 - slow;
        let next = master(&drivers[other].handle).await;
        assert!(next.epoch > last.epoch);
        assert_eq!(drivers[slow].handle.authority(), None);
        proxies[slow].hold_back(Duration::ZERO);
        (slow, last) = (other, next);
    }
    for proxy in &proxies {
        proxy.hold_back(late);
    }
    tokio::time::sleep(long() * 2).await;
    for proxy in &proxies {
        proxy.hold_back(Duration::ZERO);
    }
    let (_, next) = either(&drivers[0].handle, &drivers[1].handle).await;
    assert!(next.epoch > last.epoch);
}

pub(crate) async fn connections_that_break_are_made_anew(world: &World) {
    world.permit().await;
    let proxy = world.proxy().await;
    let a = world.start(world.config("a", Candidates::Open), Some(&proxy));
    let epoch = master(&a.handle).await.epoch;
    for _ in 0..20 {
        tokio::time::sleep(long() / 10).await;
        proxy.cut();
    }
    assert_eq!(
        a.handle.authority().map(|authority| authority.epoch),
        Some(epoch)
    );
    assert_eq!(world.referee.masterships(), 1);
}
