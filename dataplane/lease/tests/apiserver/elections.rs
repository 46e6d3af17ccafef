//! Elections in which nothing is wrong but that nodes stop and die.

use lns_cluster::{Profile, State};
use lns_lease::{Candidates, Cause, Config, clock};

use crate::world::{World, either, master, stands};

/// The one that waits does so for 45 s, and looks each 5 s: only a release that its watch shows makes it
/// master before this test gives up.
pub(crate) async fn two_have_one_master_and_a_release_hands_over_at_once(world: &World) {
    world.permit().await;
    let a = world.open("a");
    let epoch = master(&a.handle).await.epoch;
    let lease = world.lease().await.unwrap();
    let slow = Config {
        profile: Profile::SLOW,
        ..world.config("b", Candidates::Open)
    };
    let b = world.start(slow, None);
    let me = a.handle.standing().borrow().me.clone();
    stands(&b.handle, |standing| {
        standing.seen.holder.as_ref() == Some(&me)
    })
    .await;
    assert_eq!(
        lease.metadata.annotations.unwrap()["kubelns.io/epoch"],
        epoch.number().to_string()
    );

    let asked = clock::now();
    a.handle.stop().await.unwrap();
    let next = master(&b.handle).await;
    assert_eq!(Some(next.epoch), epoch.next());
    assert!(clock::now().since(asked) < Profile::SLOW.timing().wait);
    a.task.await.unwrap();
    assert_eq!(a.handle.standing().borrow().state, State::Stopped);
    let spec = world.lease().await.unwrap().spec.unwrap();
    assert_eq!(
        spec.holder_identity,
        Some(b.handle.standing().borrow().me.to_string())
    );
    assert_eq!(spec.lease_transitions, Some(2));
}

/// Four times, each time another of three.
pub(crate) async fn when_the_task_of_a_master_is_killed_another_takes_over_after_d(world: &World) {
    world.permit().await;
    let mut seats = ["a", "b", "c"].map(|node| world.open(node));
    let mut last = None;
    for round in 0..4 {
        let [a, b, c] = &seats;
        let at = tokio::select! {
            _ = master(&a.handle) => 0,
            _ = master(&b.handle) => 1,
            _ = master(&c.handle) => 2,
        };
        let standing = seats[at].handle.standing().borrow().clone();
        let epoch = standing.authority.unwrap().epoch;
        // Not the next one always: who has won, and hears of it late, waits, and takes another.
        assert!(last < Some(epoch));
        last = Some(epoch);
        seats[at].task.abort();
        let node = format!("{}{round}", standing.me.node());
        seats[at] = world.open(&node);
    }
    world.referee.has_seen(4).await;
}

pub(crate) async fn nothing_is_done_without_the_rights_to_do_it(world: &World) {
    let a = world.open("a");
    let standing = stands(&a.handle, |standing| standing.trouble.is_some()).await;
    let trouble = standing.trouble.unwrap();
    assert_eq!(trouble.cause, Cause::Forbidden);
    let text =
        "the API server answers 403: leases.coordination.k8s.io \"isp.master\" is forbidden: User";
    assert!(trouble.text.starts_with(text), "{trouble}");
    assert!(world.lease().await.is_none());

    world.permit().await;
    let b = world.open("b");
    either(&a.handle, &b.handle).await;
    stands(&a.handle, |standing| standing.trouble.is_none()).await;
}
