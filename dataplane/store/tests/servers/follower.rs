//! Followers: everything first, then every change; whatever happens to the server, they end with what it has.

use std::collections::BTreeMap;

use bytes::Bytes;
use lns_cluster::journal::Mark;
use lns_store::follower::{Follower, Told};
use lns_store::{Key, Redis};
use tokio::time::timeout;

use crate::follow::{end, traffic};
use crate::replicas::Trio;
use crate::rig::{
    LONG, Process, claim, config, content, epoch, forget, holder, key, mark, put, store, until, up,
    write,
};

/// A member that follows, with what the follower tells.
struct Member {
    follower: Follower,
    records: BTreeMap<Key, (Mark, Bytes)>,
    /// While everything is read: what was not yet.
    unread: Option<BTreeMap<Key, (Mark, Bytes)>>,
    /// Everything was read so often.
    loads: u32,
    position: Mark,
}

impl Member {
    fn start(store: &Redis, ahead: usize) -> Self {
        Self {
            follower: Follower::start(store.clone(), ahead),
            records: BTreeMap::new(),
            unread: None,
            loads: 0,
            position: Mark::ZERO,
        }
    }

    /// Takes what comes next.
    async fn next(&mut self) -> Told {
        let told = timeout(LONG, self.follower.next()).await;
        let told = told.expect("nothing comes");
        self.take(told.clone());
        told
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Loading => self.unread = Some(self.records.clone()),
            Told::Record { key, mark, blob } => {
                if let Some(unread) = &mut self.unread {
                    unread.remove(&key);
                }
                let there = self.records.entry(key).or_default();
                if mark > there.0 {
                    *there = (mark, blob);
                }
            }
            Told::Forgotten { key, mark } => {
                if self.records.get(&key).is_some_and(|it| it.0 <= mark) {
                    self.records.remove(&key);
                }
            }
            Told::Loaded { position } => {
                for key in self.unread.take().expect("not loading").into_keys() {
                    self.records.remove(&key);
                }
                self.loads += 1;
                self.position = position;
            }
            Told::Position(mark) => {
                assert!(self.unread.is_none() && mark > self.position);
                self.position = mark;
            }
            Told::Claim { .. } | Told::CaughtUp | Told::Away(_) => {}
        }
    }

    async fn until(&mut self, mut so: impl FnMut(&Self, &Told) -> bool) {
        loop {
            let told = self.next().await;
            if so(self, &told) {
                return;
            }
        }
    }

    async fn caught_up(&mut self) {
        self.follower.catch_up();
        self.until(|_, told| *told == Told::CaughtUp).await;
    }

    fn rows(&self) -> Vec<(String, String, String)> {
        let row = |(key, (mark, blob)): (&Key, &(Mark, Bytes))| {
            let blob = String::from_utf8_lossy(blob).into_owned();
            (key.to_string(), mark.to_string(), blob)
        };
        let mut rows: Vec<_> = self.records.iter().map(row).collect();
        rows.sort_by_key(|(path, ..)| (!path.starts_with("t/"), path.clone()));
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_followers_end_with_what_is_there_though_one_falls_behind_the_trimming() {
    let server = Process::start().await;
    let mut small = config(&server.url());
    small.stream_entries = 200;
    let master = Redis::start(small).unwrap();
    up(&master).await;
    claim(&master, "a", mark(7, 1)).await;
    let other = store(&server).await;
    let (mut prompt, mut slow) = (Member::start(&other, 1_000), Member::start(&other, 1));
    // It has read everything, and takes nothing more until all is written.
    slow.until(|it, _| it.loads == 1).await;
    let writing = async {
        for round in traffic() {
            let written = master.write(&holder("a"), &round).await;
            for result in written.results {
                result.unwrap();
            }
        }
    };
    tokio::join!(writing, prompt.until(|it, _| it.position == end()));
    slow.until(|it, _| it.position == end()).await;
    assert!(slow.loads > 1);
    let stored = content(&master).await;
    assert!(stored.len() > 500, "{}", stored.len());
    assert!(prompt.rows() == stored && slow.rows() == stored);
}

#[tokio::test]
async fn everything_is_told_in_its_order() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    for (seq, path) in (2..).zip(["s/1/1", "t/1"]) {
        write(&store, "a", put(path, mark(7, seq), "x"))
            .await
            .unwrap();
    }
    let mut member = Member::start(&store, 1);
    let record = |path: &str, seq: u64, blob: &'static [u8]| Told::Record {
        key: key(path),
        mark: mark(7, seq),
        blob: Bytes::from_static(blob),
    };
    let position = mark(7, 3);
    for expected in [
        Told::Loading,
        record("t/1", 3, b"x"),
        record("s/1/1", 2, b"x"),
        Told::Loaded { position },
    ] {
        assert_eq!(member.next().await, expected);
    }
    write(&store, "a", put("t/1", mark(7, 4), "y"))
        .await
        .unwrap();
    assert_eq!(member.next().await, record("t/1", 4, b"y"));
    assert_eq!(member.next().await, Told::Position(mark(7, 4)));
    write(&store, "a", forget("t/1", mark(7, 5))).await.unwrap();
    let (key, mark_) = (key("t/1"), mark(7, 5));
    assert_eq!(member.next().await, Told::Forgotten { key, mark: mark_ });
    assert_eq!(member.next().await, Told::Position(mark_));
    claim(&store, "b", mark(8, 1)).await;
    let claimed = Told::Claim {
        epoch: epoch(8),
        holder: holder("b"),
        roster: Bytes::from_static(b"a b"),
    };
    assert_eq!(member.next().await, claimed);
    assert_eq!(member.next().await, Told::Position(mark(8, 1)));
    assert_eq!(member.follower.poll(), None);
}

#[tokio::test]
async fn reading_to_the_end_is_told_behind_all_that_was_there() {
    let server = Process::start().await;
    let store = store(&server).await;
    // Of a stream that has nothing, too.
    let mut member = Member::start(&store, 1);
    member.caught_up().await;
    claim(&store, "a", mark(7, 1)).await;
    for seq in 2..500 {
        write(&store, "a", put("t/1", mark(7, seq), "x"))
            .await
            .unwrap();
        if seq % 100 == 0 {
            member.caught_up().await;
            assert_eq!(member.rows(), content(&store).await);
        }
    }
    // Asked before anything was read.
    let mut late = Member::start(&store, 1);
    late.caught_up().await;
    assert_eq!(late.rows(), content(&store).await);
    // While everything has to be read anew.
    server.tell(&["FLUSHALL"]).await;
    claim(&store, "b", mark(8, 1)).await;
    write(&store, "b", put("t/2", mark(8, 2), "y"))
        .await
        .unwrap();
    member.caught_up().await;
    assert_eq!(member.rows(), content(&store).await);
}

#[tokio::test]
async fn a_server_in_another_life_is_read_anew() {
    let mut server = Process::with(&["--appendfsync", "always"]).await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    let mut member = Member::start(&store, 8);
    member.caught_up().await;
    server.kill();
    member.until(|_, told| matches!(told, Told::Away(_))).await;
    // Asked while there is nobody who could answer.
    member.follower.catch_up();
    server.restart().await;
    member.until(|_, told| *told == Told::CaughtUp).await;
    assert_eq!(member.loads, 2);
    // Another connection to the same life is not.
    let (link, _) = up(&store).await;
    server.tell(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let mut seq = 2;
    until("something is written over the next one", async || {
        seq += 1;
        let written = write(&store, "a", put("t/1", mark(7, seq), "y")).await;
        written.is_ok() && up(&store).await.0 > link
    })
    .await;
    member.until(|it, _| it.position == mark(7, seq)).await;
    assert_eq!(member.loads, 2);
    assert_eq!(member.rows(), content(&store).await);
}

#[tokio::test]
async fn what_a_failover_has_lost_is_swept() {
    let mut trio = Trio::start().await;
    let store = trio.store().await;
    let link = claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("t/1", mark(7, 2), "kept"))
        .await
        .unwrap();
    let waited = store.wait(link, epoch(7), &holder("a"), 1, LONG).await;
    assert_eq!(waited.unwrap(), 1);
    trio.cut().await;
    write(&store, "a", put("t/2", mark(7, 3), "lost"))
        .await
        .unwrap();
    let mut member = Member::start(&store, 8);
    member.caught_up().await;
    assert_eq!(member.records.len(), 2);
    trio.fail_over(&store).await;
    member.caught_up().await;
    assert_eq!(member.loads, 2);
    assert_eq!(member.rows(), content(&store).await);
    assert_eq!(member.records.len(), 1);
}
