//! The store in a file: what is said to be stored is there, whatever becomes of the process, and what cannot be
//! opened is told.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's own panics are its findings"
)]

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use lns_cluster::Epoch;
use lns_store::{Embedded, Error, FILE, Key, Mark, OpenError, Record, Refusal, Write};

/// Where the child writes; in the parent it is not set.
const FOLDER: &str = "LNS_STORE_KILL_FOLDER";

fn mark(epoch: u64, seq: u64) -> Mark {
    Mark::new(Epoch::new(epoch).unwrap(), seq).unwrap()
}

fn put(path: &str, mark: Mark, blob: &'static str) -> Write {
    Write::Put {
        key: path.parse().unwrap(),
        mark,
        blob: Bytes::from_static(blob.as_bytes()),
    }
}

fn forget(path: &str, mark: Mark, at: Mark) -> Write {
    let key = path.parse().unwrap();
    Write::Forget { key, mark, at }
}

async fn load(store: &Embedded) -> Vec<Record> {
    let mut load = store.load();
    let mut records = Vec::new();
    while let Some(page) = load.page().await.unwrap() {
        records.extend(page);
    }
    records
}

async fn paths(store: &Embedded) -> Vec<String> {
    let records = load(store).await;
    let path = |record: &Record| format!("{}@{}", record.key, record.mark);
    records.iter().map(path).collect()
}

#[tokio::test]
async fn records_are_there_after_a_restart_tunnels_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let mut writes = vec![put("s/1/1", mark(1, 1), "a"), put("a/9", mark(1, 2), "b")];
    writes.extend((3..4_000).map(|seq| put(&format!("t/{seq}"), mark(1, seq), "c")));
    writes.push(put("z/1", mark(1, 4_000), ""));
    let results = store.write(writes.clone()).await;
    assert!(results.iter().all(Result::is_ok));
    drop(store);
    let store = Embedded::open(folder.path()).unwrap();
    let records = load(&store).await;
    assert_eq!(records.len(), writes.len());
    let (tunnels, others) = records.split_at(3_997);
    assert!(tunnels.iter().all(|record| record.key.is_tunnel()));
    let others: Vec<_> = others.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(others, ["a/9", "s/1/1", "z/1"]);
    assert_eq!(records.last().unwrap().blob, "");
}

#[tokio::test]
async fn records_protect_themselves_as_in_redis() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let refusals = store
        .write(vec![
            put("t/1", mark(2, 5), "a"),
            put("t/1", mark(2, 5), "b"),
            put("t/1", mark(1, 9), "c"),
            forget("t/1", mark(2, 6), mark(2, 4)),
            put("t/1", mark(2, 10), "d"),
            forget("t/1", mark(2, 11), mark(2, 10)),
            forget("t/1", mark(2, 12), mark(2, 10)),
            put("t/2", mark(2, 13), "e"),
        ])
        .await;
    let refusals: Vec<_> = refusals
        .into_iter()
        .map(|result| match result {
            Ok(()) => None,
            Err(Error::Refused(refusal)) => Some(refusal),
            Err(error) => panic!("{error}"),
        })
        .collect();
    let stored = mark(2, 5);
    let stale = || Some(Refusal::StaleSeq { stored });
    let changed = Some(Refusal::Changed { stored });
    assert_eq!(
        refusals,
        [None, stale(), stale(), changed, None, None, None, None]
    );
    assert_eq!(paths(&store).await, ["t/2@2-13"]);
}

#[tokio::test]
async fn many_who_write_at_once_are_each_answered_with_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(Embedded::open(folder.path()).unwrap());
    let mut writers = Vec::new();
    for writer in 0..32_u64 {
        let store = std::sync::Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            for seq in 1..20 {
                let path = format!("s/{writer}/1");
                let (good, stale) = (put(&path, mark(1, seq), "x"), put(&path, mark(1, seq), "y"));
                let results = store.write(vec![good, stale]).await;
                assert!(results[0].is_ok() && results[1].is_err());
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let records = load(&store).await;
    assert_eq!(records.len(), 32);
    assert!(
        records
            .iter()
            .all(|record| record.blob == "x" && record.mark == mark(1, 19))
    );
}

#[tokio::test]
async fn a_file_that_another_has_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let refused = Embedded::open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked(_)));
    let path = folder.path().join(FILE);
    assert_eq!(
        refused.to_string(),
        format!(
            "{} is in use by another process: stop that one first, or name another folder with --state",
            path.display()
        )
    );
    drop(store);
    Embedded::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Embedded::open(&folder.path().join("missing")).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.ends_with("cannot be opened: I/O error: No such file or directory (os error 2)"),
        "{told}"
    );
}

#[tokio::test]
async fn a_file_that_is_damaged_is_moved_aside_and_another_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let damages = [b"no database".to_vec(), vec![0; 100_000]];
    for (number, damage) in damages.into_iter().enumerate() {
        fs::write(&path, &damage).unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        assert!(load(&store).await.is_empty());
        let written = store.write(vec![put("t/1", mark(1, 1), "x")]).await;
        assert!(written[0].is_ok());
        let aside = folder.path().join(format!("{FILE}.damaged-{}", number + 1));
        assert_eq!(fs::read(aside).unwrap(), damage);
    }
}

/// Writes until it is killed, and says what is stored.
fn child(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Embedded::open(folder).unwrap();
        let first = load(&store)
            .await
            .iter()
            .map(|record| record.mark.seq())
            .max();
        for seq in first.unwrap_or(0) + 1.. {
            let write = put(&format!("s/{}/1", seq % 50), mark(1, seq), "x");
            assert!(store.write(vec![write]).await[0].is_ok());
            println!("stored {seq}");
            std::io::stdout().flush().unwrap();
        }
    });
}

#[tokio::test]
async fn what_was_said_to_be_stored_is_there_after_a_kill() {
    if let Some(folder) = env::var_os(FOLDER) {
        std::thread::spawn(move || child(Path::new(&folder)))
            .join()
            .unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..5 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "what_was_said_to_be_stored_is_there_after_a_kill",
                "--exact",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let stored = lines.filter_map(|line| line.unwrap().strip_prefix("stored ")?.parse().ok());
        last = stored.take(60).last().unwrap_or(last);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Embedded::open(folder.path()).unwrap();
        let records = load(&store).await;
        let found = records
            .iter()
            .map(|record| record.mark.seq())
            .max()
            .unwrap();
        assert!(found >= last, "{found} {last}");
        let key: Key = format!("s/{}/1", last % 50).parse().unwrap();
        assert!(
            records
                .iter()
                .any(|record| record.key == key && record.mark.seq() >= last)
        );
    }
    assert!(last >= 300);
}
