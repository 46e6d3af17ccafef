//! Drivers with an API server that does as it is told.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod fake;

use std::collections::BTreeMap;

use lns_cluster::{Authority, NodeName, Timing};
use tokio::time::timeout;

use self::fake::{Fake, Mode};
use super::*;
use crate::{Cause, ClusterName, LeaseName};

const PATIENCE: Duration = Duration::from_secs(60);

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn config(node: &str) -> Config {
    Config {
        namespace: "lns".to_owned(),
        lease: LeaseName::master(&ClusterName::new("isp").unwrap()),
        labels: BTreeMap::new(),
        manager: "lns-dataplane".to_owned(),
        node: name(node),
        pod_uid: None,
        profile: Profile::FAST,
        candidates: Candidates::Rostered,
    }
}

fn open(node: &str) -> Config {
    Config {
        candidates: Candidates::Open,
        ..config(node)
    }
}

/// Waits until a driver stands as it should.
async fn stands(handle: &Handle, as_it_should: impl FnMut(&Standing) -> bool) -> Standing {
    let mut standing = handle.standing();
    let reached = timeout(PATIENCE, standing.wait_for(as_it_should)).await;
    reached
        .expect("in time")
        .expect("the driver goes on")
        .clone()
}

async fn master(handle: &Handle) -> Authority {
    let standing = stands(handle, |standing| standing.state == State::Holding).await;
    standing.authority.unwrap()
}

fn holder(server: &Fake) -> Option<String> {
    let lease = server.lease()?;
    Some(lease["spec"].get("holderIdentity")?.as_str()?.to_owned())
}

#[tokio::test]
async fn who_founds_is_master_with_the_first_epoch_and_says_so_in_the_lease() {
    let server = Fake::new();
    let driver = start(config("a"), server.client()).unwrap();
    driver.handle.may_found().await.unwrap();
    let authority = master(&driver.handle).await;
    assert_eq!(authority.epoch.number(), 1);
    assert!(driver.handle.authority().is_some());
    let standing = driver.handle.standing().borrow().clone();
    assert_eq!(standing.seen.holder.as_ref(), Some(&standing.me));
    assert_eq!(holder(&server), Some(standing.me.to_string()));
    let later = stands(&driver.handle, |standing| {
        standing
            .authority
            .is_some_and(|now| now.until > authority.until)
    });
    assert_eq!(later.await.authority.unwrap().epoch, authority.epoch);
}

#[tokio::test]
async fn the_lease_is_released_only_when_the_gate_is_closed() {
    let server = Fake::new();
    let Running { handle, task, .. } = start(open("a"), server.client()).unwrap();
    let epoch = master(&handle).await.epoch;
    handle.stop().await.unwrap();
    let closing = stands(&handle, |standing| standing.closing.is_some()).await;
    assert_eq!(closing.closing, Some(epoch));
    assert_eq!(closing.authority, None);
    let me = Some(closing.me.to_string());
    // Another mastership's gate is no answer.
    handle.closed(epoch.next().unwrap()).await.unwrap();
    tokio::time::sleep(Profile::FAST.timing().renew * 3).await;
    assert_eq!(holder(&server), me);
    assert!(!task.is_finished());

    handle.closed(epoch).await.unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!(holder(&server), None);
    let lease = server.lease().unwrap();
    assert_eq!(
        lease["metadata"]["annotations"]["kubelns.io/released"].as_str(),
        me.as_deref()
    );
    assert_eq!(handle.standing().borrow().state, State::Stopped);
    assert_eq!(handle.stop().await, Err(Ended));
}

#[tokio::test]
async fn one_that_steps_down_comes_after_the_others_and_as_somebody_else() {
    let server = Fake::new();
    let a = start(open("a"), server.client()).unwrap();
    let first = master(&a.handle).await.epoch;
    let before = a.handle.standing().borrow().me.clone();
    let b = start(open("b"), server.client()).unwrap();
    stands(&b.handle, |standing| {
        standing.seen.holder.as_ref() == Some(&before)
    })
    .await;

    a.handle.step_down().await.unwrap();
    stands(&a.handle, |standing| standing.closing.is_some()).await;
    a.handle.closed(first).await.unwrap();
    let second = master(&b.handle).await.epoch;
    assert_eq!(Some(second), first.next());
    let again = stands(&a.handle, |standing| standing.me != before).await;
    assert_eq!(
        (again.state, again.me.node()),
        (State::Waiting, before.node())
    );

    b.handle.stop().await.unwrap();
    stands(&b.handle, |standing| standing.closing.is_some()).await;
    b.handle.closed(second).await.unwrap();
    assert_eq!(Some(master(&a.handle).await.epoch), second.next());
}

#[tokio::test]
async fn who_is_not_master_steps_down_from_nothing() {
    let server = Fake::new();
    let driver = start(config("a"), server.client()).unwrap();
    let me = driver.handle.standing().borrow().me.clone();
    driver.handle.step_down().await.unwrap();
    driver.handle.may_found().await.unwrap();
    master(&driver.handle).await;
    assert_eq!(driver.handle.standing().borrow().me, me);
}

#[tokio::test]
async fn when_nobody_is_left_who_could_close_the_gate_nothing_is_released() {
    let server = Fake::new();
    let Running { handle, task, .. } = start(open("a"), server.client()).unwrap();
    master(&handle).await;
    let me = holder(&server);
    drop(handle);
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!(holder(&server), me);
}

#[tokio::test]
async fn without_the_api_server_authority_ends_and_a_new_one_has_a_higher_epoch() {
    let server = Fake::new();
    let mut driver = start(open("a"), server.client()).unwrap();
    let epoch = master(&driver.handle).await.epoch;
    server.set(Mode::Away);
    let lapsed = stands(&driver.handle, |standing| standing.state == State::Waiting).await;
    assert_eq!(lapsed.authority, None);
    assert_eq!(lapsed.why, Some(lns_cluster::Event::Lapsed));
    let trouble = lapsed.trouble.unwrap();
    assert_eq!(trouble.cause, Cause::Connection);
    assert!(trouble.text.contains("connection refused"));
    let later = stands(&driver.handle, |standing| standing.trouble.is_some()).await;
    assert_eq!(later.trouble.unwrap().since, trouble.since);

    server.set(Mode::Up);
    assert!(master(&driver.handle).await.epoch > epoch);
    stands(&driver.handle, |standing| standing.trouble.is_none()).await;
    let mut told = Vec::new();
    while let Ok(step) = driver.transitions.try_recv() {
        assert_eq!(step.untold, 0);
        told.push((step.transition.from.label(), step.transition.to.label()));
    }
    let steps = [
        ("waiting", "acquiring"),
        ("acquiring", "holding"),
        ("holding", "waiting"),
        ("waiting", "acquiring"),
        ("acquiring", "holding"),
    ];
    assert_eq!(told, steps);
}

#[tokio::test]
async fn an_api_server_that_never_answers_is_trouble_too_and_the_driver_goes_on() {
    let server = Fake::new();
    server.set(Mode::Hangs);
    let driver = start(open("a"), server.client()).unwrap();
    let hangs = |standing: &Standing| {
        let trouble = standing.trouble.as_ref();
        trouble.is_some_and(|trouble| trouble.cause == Cause::Timeout)
    };
    stands(&driver.handle, hangs).await;
    let before = driver.handle.alive();
    tokio::time::sleep(Profile::FAST.timing().renew * 3).await;
    let alive = driver.handle.alive();
    assert!(alive > before);
    let stuck_at = |millis| {
        driver
            .handle
            .is_stuck(alive + Duration::from_millis(millis))
    };
    assert!(!stuck_at(4000));
    assert!(stuck_at(60_000));
}

/// What `questions` has is carried to `to`, and the promises back.
fn channel(mut questions: mpsc::Receiver<Question>, back: Handle, to: Handle) {
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            if let Ok(Ok(promise)) = to.ask(question.ask).await {
                let _ended = back.promised(promise).await;
            }
        }
    });
}

#[tokio::test]
async fn promises_carry_a_master_through_an_outage_with_its_epoch() {
    let server = Fake::new();
    let a = start(config("a"), server.client()).unwrap();
    a.handle.may_found().await.unwrap();
    let epoch = master(&a.handle).await.epoch;
    let both = Roster::of([name("a"), name("b")]).unwrap();
    a.handle
        .roster(both.clone(), Notes::default())
        .await
        .unwrap();
    let b = start(config("b"), server.client()).unwrap();
    stands(&b.handle, |standing| standing.seen.roster == both).await;
    channel(a.questions, a.handle.clone(), b.handle.clone());
    drop(b.questions);

    server.set(Mode::Hangs);
    stands(&a.handle, |standing| standing.state == State::Extending).await;
    // Longer than H and D together.
    for _ in 0..20 {
        tokio::time::sleep(Profile::FAST.timing().hold / 8).await;
        assert!(
            a.handle
                .authority()
                .is_some_and(|authority| authority.epoch == epoch)
        );
        assert_eq!(b.handle.authority(), None);
    }
    server.set(Mode::Up);
    assert_eq!(master(&a.handle).await.epoch, epoch);
}

/// By itself this candidate would look again after a minute.
#[tokio::test]
async fn a_watch_makes_a_candidate_look_at_once() {
    let minute = Duration::from_secs(60);
    let slow = Profile::new(Timing {
        hold: minute * 3,
        wait: minute * 4,
        renew: minute,
        patience: minute,
        gap: minute * 3,
        drift: 10,
        grain: minute / 2,
    });
    let patient = Config {
        profile: slow.unwrap(),
        ..open("b")
    };
    let server = Fake::new();
    let a = start(open("a"), server.client()).unwrap();
    let epoch = master(&a.handle).await.epoch;
    let b = start(patient, server.client()).unwrap();
    let me = a.handle.standing().borrow().me.clone();
    stands(&b.handle, |standing| {
        standing.seen.holder.as_ref() == Some(&me)
    })
    .await;
    let looks = server.count("GET");
    a.handle.stop().await.unwrap();
    a.handle.closed(epoch).await.unwrap();
    assert_eq!(Some(master(&b.handle).await.epoch), epoch.next());
    assert!(server.count("GET") > looks);
}

#[tokio::test]
async fn a_watch_that_is_refused_is_opened_anew_and_nothing_depends_on_it() {
    let server = Fake::new();
    server.refuse_watches();
    let driver = start(open("a"), server.client()).unwrap();
    let epoch = master(&driver.handle).await.epoch;
    let opened = async {
        while server.count("WATCH") < 4 {
            tokio::time::sleep(Profile::FAST.timing().renew).await;
        }
    };
    timeout(PATIENCE, opened).await.unwrap();
    assert_eq!(driver.handle.authority().unwrap().epoch, epoch);
}

#[tokio::test]
async fn roster_and_notes_of_a_master_reach_members_and_outlive_a_deletion() {
    let server = Fake::new();
    let a = start(config("a"), server.client()).unwrap();
    a.handle.may_found().await.unwrap();
    let epoch = master(&a.handle).await.epoch;
    let both = Roster::of([name("a"), name("b")]).unwrap();
    let mut notes = Notes::default();
    notes.set("peers", "[]").unwrap();
    a.handle.roster(both.clone(), notes.clone()).await.unwrap();
    let b = start(config("b"), server.client()).unwrap();
    let all = |standing: &Standing| standing.seen.roster == both && standing.seen.notes == notes;
    stands(&b.handle, all).await;

    a.task.abort();
    server.delete();
    assert!(master(&b.handle).await.epoch > epoch);
    let lease = server.lease().unwrap();
    assert_eq!(
        lease["metadata"]["annotations"]["kubelns.io/roster"],
        "[\"a\",\"b\"]"
    );
    assert_eq!(lease["metadata"]["annotations"]["kubelns.io/peers"], "[]");
}

/// Each conflict makes it look and try again, but not without a pause.
#[tokio::test]
async fn where_every_write_conflicts_there_are_pauses_and_steps_that_nobody_takes_are_counted() {
    let server = Fake::new();
    server.set(Mode::Conflicts);
    let mut driver = start(open("a"), server.client()).unwrap();
    let first = timeout(PATIENCE, driver.transitions.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((first.transition.to, first.untold), (State::Acquiring, 0));
    let (began, asked) = (clock::now(), server.count("POST") + server.count("GET"));
    tokio::time::sleep(Profile::FAST.timing().renew * 8).await;
    let pause = Profile::FAST.timing().renew.mul_f64(BREATH);
    let asked = server.count("POST") + server.count("GET") - asked;
    let most = clock::now().since(began).as_nanos() / pause.as_nanos() + 2;
    assert!(
        asked > 10 && u128::try_from(asked).unwrap() <= most,
        "{asked} of {most}"
    );

    let mut untold = 0;
    while untold == 0 {
        let step = timeout(PATIENCE, driver.transitions.recv())
            .await
            .unwrap()
            .unwrap();
        untold = step.untold;
    }
    assert!(untold > 0);
    assert_eq!(driver.handle.authority(), None);
}
