//! Loading everything and following the stream: nothing is missed, and a gap is told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lns_cluster::journal::{Mark, Write};
use lns_store::{Event, Followed, Key, Redis, Refusal, Tail};
use tokio::time::timeout;

use crate::rig::{
    LONG, Process, claim, config, content, down, forget, holder, mark, put, refusal, rows, store,
    up, write,
};

/// What comes next that is not nothing.
async fn next(tail: &mut Tail) -> Followed {
    let next = timeout(LONG, async {
        loop {
            match tail.next().await {
                Followed::Entries(entries) if entries.is_empty() => {}
                other => return other,
            }
        }
    });
    next.await.expect("nothing comes")
}

/// The changes that come next, as texts.
async fn changes(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let entries = match next(tail).await {
            Followed::Entries(entries) => entries,
            other => panic!("{other:?}"),
        };
        for entry in entries {
            let what = match entry.event {
                Event::Put { key, blob } => format!("{key}={}", String::from_utf8_lossy(&blob)),
                Event::Forget { key } => format!("{key} forgotten"),
                Event::Claim { holder, roster } => {
                    format!("{holder} claims with {}", String::from_utf8_lossy(&roster))
                }
                Event::Unknown => "?".to_owned(),
            };
            told.push(format!("{} {what}", entry.mark));
        }
    }
    told
}

#[tokio::test]
async fn the_stream_has_every_change_in_order() {
    let server = Process::start().await;
    let store = store(&server).await;
    let mut tail = store.tail(Mark::ZERO);
    claim(&store, "a", mark(7, 1)).await;
    let writes = [
        put("t/1", mark(7, 2), "x"),
        put("t/1", mark(7, 2), "refused"),
        put("t/1", mark(7, 4), "y"),
        forget("t/1", mark(7, 5)),
    ];
    for write in writes {
        store.write(&holder("a"), &[write]).await;
    }
    claim(&store, "b", mark(9, 1)).await;
    let expected = [
        "7-1 a/pod/boot/1 claims with a b",
        "7-2 t/1=x",
        "7-4 t/1=y",
        "7-5 t/1 forgotten",
        "9-1 b/pod/boot/1 claims with a b",
    ];
    assert_eq!(changes(&mut tail, 5).await, expected);
    assert_eq!(tail.position(), mark(9, 1));
    // From a position on, without it.
    assert_eq!(changes(&mut store.tail(mark(7, 4)), 2).await, expected[3..]);
}

#[tokio::test]
async fn what_another_release_has_written_is_told_as_unknown() {
    let server = Process::start().await;
    let store = store(&server).await;
    let stream = "{lns:isp/edge}:stream";
    for (id, fields) in [
        ("1-1", &["z", "a"][..]),
        ("1-2", &["k", "t/1", "w", "a"]),
        ("1-3", &["k", "no path", "v", "a"]),
        ("1-4", &["f", "t/1", "m", "a"]),
        ("1-5", &["c", "nobody", "r", "a"]),
        ("1-6", &["f", "no path"]),
    ] {
        server.tell(&[&["XADD", stream, id], fields].concat()).await;
    }
    let told = changes(&mut store.tail(Mark::ZERO), 6).await;
    assert_eq!(told, ["1-1 ?", "1-2 ?", "1-3 ?", "1-4 ?", "1-5 ?", "1-6 ?"]);
}

#[tokio::test]
async fn a_gap_is_told_and_whoever_loads_then_misses_nothing() {
    let server = Process::start().await;
    let mut small = config(&server.url());
    small.stream_entries = 100;
    let store = Redis::start(small).unwrap();
    up(&store).await;
    let mut before = store.tail(Mark::ZERO);
    claim(&store, "a", mark(7, 1)).await;
    assert_eq!(changes(&mut before, 1).await.len(), 1);
    let writes: Vec<_> = (2..1_000)
        .map(|seq| put("t/1", mark(7, seq), &seq.to_string()))
        .collect();
    let written = store.write(&holder("a"), &writes).await;
    assert!(written.results.iter().all(Result::is_ok));

    assert!(matches!(next(&mut before).await, Followed::Gap));
    let mut never = store.tail(Mark::ZERO);
    assert!(matches!(next(&mut never).await, Followed::Gap));
    let mut load = store.load().await.unwrap();
    assert_eq!(load.position(), mark(7, 999));
    while load.page().await.unwrap().is_some() {}
    let mut after = store.tail(load.position());
    write(&store, "a", put("t/1", mark(7, 1_000), "end"))
        .await
        .unwrap();
    assert_eq!(changes(&mut after, 1).await, ["7-1000 t/1=end"]);
}

#[tokio::test]
async fn who_keeps_up_with_a_stream_that_is_trimmed_has_no_gap() {
    let server = Process::start().await;
    let mut small = config(&server.url());
    small.stream_entries = 100;
    let store = Redis::start(small).unwrap();
    up(&store).await;
    claim(&store, "a", mark(7, 1)).await;
    let mut tail = store.tail(Mark::ZERO);
    changes(&mut tail, 1).await;
    for seq in 2..800 {
        write(&store, "a", put("t/1", mark(7, seq), "x"))
            .await
            .unwrap();
        assert_eq!(changes(&mut tail, 1).await, [format!("7-{seq} t/1=x")]);
    }
}

#[tokio::test]
async fn tunnels_are_loaded_before_everything_else() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    let path = |number: u64| match number % 3 {
        0 => format!("t/{number}"),
        1 => format!("a/{number}"),
        _ => format!("s/{number}/1"),
    };
    let writes: Vec<_> = (2..5_000)
        .map(|seq| put(&path(seq), mark(7, seq), "x"))
        .collect();
    store.write(&holder("a"), &writes).await;
    // What is not a record of this cluster is not loaded.
    server.tell(&["SET", "t/4711", "7-1 x"]).await;
    server.tell(&["SET", "{lns:isp/edge}:note", "7-1 x"]).await;
    server.tell(&["SET", "{lns:isp/edge}:t/damaged", "x"]).await;

    let mut load = store.load().await.unwrap();
    let mut loaded = Vec::new();
    while let Some(records) = load.page().await.unwrap() {
        loaded.extend(records);
    }
    let first_other = loaded.iter().position(|record| !record.key.is_tunnel());
    let first_other = first_other.unwrap();
    assert!(
        loaded[first_other..]
            .iter()
            .all(|record| !record.key.is_tunnel())
    );
    let marks: BTreeMap<_, _> = loaded.iter().map(|it| (it.key.clone(), it.mark)).collect();
    assert_eq!((marks.len(), load.damaged()), (writes.len(), 1));

    // The digest has the same, without blobs.
    let mut digest = store.digest().await.unwrap();
    let mut same = BTreeMap::new();
    while let Some(page) = digest.page().await.unwrap() {
        same.extend(page);
    }
    assert_eq!(same, marks);
}

#[tokio::test]
async fn what_changes_during_a_load_is_in_the_stream_behind_its_position() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    let writes = |first: u64| -> Vec<_> {
        (0..5_000)
            .map(|number| put(&format!("s/{number}/1"), mark(7, first + number), "x"))
            .collect()
    };
    store.write(&holder("a"), &writes(2)).await;
    let mut load = store.load().await.unwrap();
    // The first page that has any, and then everything changes.
    while load.page().await.unwrap().unwrap().is_empty() {}
    let changed = store.write(&holder("a"), &writes(5_002)).await;
    assert!(changed.results.iter().all(Result::is_ok));
    while load.page().await.unwrap().is_some() {}
    let told = changes(&mut store.tail(load.position()), 5_000).await;
    assert_eq!(told[0], "7-5002 s/0/1=x");
    assert_eq!(told[4_999], "7-10001 s/4999/1=x");
}

/// A member's copy.
#[derive(Default)]
struct Copy {
    records: BTreeMap<Key, (Mark, Bytes)>,
    /// It sleeps before it follows for the first time, until so many changes more were made.
    sleeps: u64,
    gaps: u32,
}

impl Copy {
    fn take(&mut self, key: Key, mark: Mark, blob: Bytes) {
        let there = self.records.entry(key).or_default();
        if mark > there.0 {
            *there = (mark, blob);
        }
    }

    /// Loads, and follows until the last change; loads again after a gap.
    async fn follow(&mut self, store: &Redis) {
        loop {
            self.records.clear();
            let mut load = store.load().await.unwrap();
            while let Some(records) = load.page().await.unwrap() {
                for record in records {
                    self.take(record.key, record.mark, record.blob);
                }
            }
            let until = load.position().seq + core::mem::take(&mut self.sleeps);
            while store.load().await.unwrap().position().seq < until {}
            if self.apply(store.tail(load.position())).await {
                return;
            }
            self.gaps += 1;
        }
    }

    /// `false`: there is a gap.
    async fn apply(&mut self, mut tail: Tail) -> bool {
        while tail.position() < end() {
            let entries = match next(&mut tail).await {
                Followed::Entries(entries) => entries,
                Followed::Gap => return false,
                Followed::Away(reason) => panic!("{reason}"),
            };
            for entry in entries {
                match entry.event {
                    Event::Put { key, blob } => self.take(key, entry.mark, blob),
                    Event::Forget { key } => {
                        let known = self.records.get(&key);
                        if known.is_some_and(|(mark, _)| *mark <= entry.mark) {
                            self.records.remove(&key);
                        }
                    }
                    Event::Claim { .. } => {}
                    Event::Unknown => panic!("{entry:?}"),
                }
            }
        }
        true
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

/// Rounds of changes.
const ROUNDS: u64 = 200;

/// Changes of a round.
const ROUND: u64 = 50;

/// The last change.
pub fn end() -> Mark {
    mark(7, ROUNDS * ROUND + 2)
}

/// Changes as they come in a cluster: records come, change and go.
pub fn traffic() -> Vec<Vec<Write<Key>>> {
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut seq = 1;
    let mut draw = 1_u64;
    let mut rounds: Vec<Vec<Write<Key>>> = (0..ROUNDS)
        .map(|_| {
            (0..ROUND)
                .map(|_| {
                    seq += 1;
                    // A fixed sequence: the test is about order, not about numbers.
                    draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let path = format!(
                        "{}/{}",
                        ["t", "s"][(draw >> 40) as usize % 2],
                        (draw >> 33) % 700
                    );
                    let mark = mark(7, seq);
                    if draw >> 62 == 0 && there.remove(&path) {
                        return forget(&path, mark);
                    }
                    let change = put(&path, mark, &seq.to_string());
                    there.insert(path);
                    change
                })
                .collect()
        })
        .collect();
    rounds.push(vec![put("z/end", end(), "end")]);
    rounds
}

/// How many gaps there were for who sleeps at first.
async fn followed_under_traffic(stream_entries: u32, sleeps: u64) -> u32 {
    let server = Process::start().await;
    let mut writes = config(&server.url());
    writes.stream_entries = stream_entries;
    let master = Redis::start(writes).unwrap();
    up(&master).await;
    claim(&master, "a", mark(7, 1)).await;
    let member = store(&server).await;
    let (mut early, mut late) = (Copy::default(), Copy::default());
    late.sleeps = sleeps;
    let writing = async {
        for round in traffic() {
            let written = master.write(&holder("a"), &round).await;
            for result in written.results {
                result.unwrap();
            }
        }
    };
    let joining = async {
        // In the midst of it.
        while member.fence().await.unwrap().is_none() || content(&member).await.len() < 200 {}
        late.follow(&member).await;
    };
    tokio::join!(writing, early.follow(&member), joining);
    let stored = content(&master).await;
    assert!(stored.len() > 500, "{}", stored.len());
    for copy in [&early, &late] {
        let rows = copy.rows();
        let differs = rows.iter().zip(&stored).find(|(row, stored)| row != stored);
        assert!(
            rows == stored,
            "{} of {}: {differs:?}",
            rows.len(),
            stored.len()
        );
    }
    late.gaps
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_and_following_miss_nothing_while_others_write() {
    assert_eq!(followed_under_traffic(1_000_000, 0).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_behind_the_trimming_misses_nothing_either() {
    assert!(followed_under_traffic(200, 1_000).await > 0);
}

#[tokio::test]
async fn a_server_that_is_flushed_is_a_gap_and_has_no_master() {
    let server = Process::start().await;
    let store = store(&server).await;
    claim(&store, "a", mark(7, 1)).await;
    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    let mut tail = store.tail(Mark::ZERO);
    changes(&mut tail, 2).await;
    server.tell(&["FLUSHALL"]).await;
    let result = write(&store, "a", put("t/1", mark(7, 3), "y")).await;
    let refused = refusal(result);
    assert!(
        matches!(&refused, Refusal::NotHolder(by) if by.epoch.is_none()),
        "{refused}"
    );
    claim(&store, "a", mark(7, 4)).await;
    write(&store, "a", put("t/1", mark(7, 5), "y"))
        .await
        .unwrap();
    assert!(matches!(next(&mut tail).await, Followed::Gap));
    assert_eq!(content(&store).await, rows(&[("t/1", "7-5", "y")]));
}

#[tokio::test]
async fn following_goes_on_after_a_restart_of_the_server() {
    let mut server = Process::with(&["--appendfsync", "always"]).await;
    let store = store(&server).await;
    let origin = up(&store).await.1.origin.clone();
    claim(&store, "a", mark(7, 1)).await;
    let mut tail = store.tail(Mark::ZERO);
    changes(&mut tail, 1).await;
    server.kill();
    let told = timeout(LONG, async {
        loop {
            if let Followed::Away(reason) = tail.next().await {
                return reason;
            }
        }
    });
    told.await.expect("it is not told");
    down(&store).await;
    server.restart().await;
    let again = up(&store).await.1.origin.clone();
    assert_ne!(again, origin);
    write(&store, "a", put("t/1", mark(7, 2), "x"))
        .await
        .unwrap();
    let entry = timeout(LONG, async {
        loop {
            match tail.next().await {
                Followed::Entries(entries) if !entries.is_empty() => return entries,
                Followed::Entries(_) | Followed::Away(_) => {}
                Followed::Gap => panic!("there is none"),
            }
        }
    });
    assert_eq!(entry.await.expect("nothing comes")[0].mark, mark(7, 2));
}
