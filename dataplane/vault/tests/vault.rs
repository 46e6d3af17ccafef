//! A vault over restarts, kills, damage and a second process.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's own panics are its findings"
)]

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::time::Instant;

use lns_cluster::Epoch;
use lns_cluster::journal::{Change, Mark, Round, Ticket, Write};
use lns_vault::{Entry, FOLDER, News, OpenError, Vault, last_mark};

fn open(folder: &Path) -> (Vault, Vec<Entry>) {
    Vault::open(folder, || ()).unwrap()
}

fn write(key: &str, seq: u64, octets: Option<&[u8]>) -> Write<String> {
    Write {
        key: key.to_owned(),
        mark: Mark {
            epoch: Epoch::new(7).unwrap(),
            seq,
        },
        change: octets.map_or(Change::Forget, |octets| Change::Put(octets.into())),
    }
}

fn round(writes: Vec<Write<String>>) -> Round<String> {
    Round {
        ticket: Ticket::default(),
        lasting: true,
        writes,
    }
}

fn await_stored(vault: &Vault) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while vault.poll_news() != Some(News::Stored(Ticket::default())) {
        assert!(Instant::now() < deadline, "nothing is stored");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.key).collect()
}

#[test]
fn what_was_stored_is_there_again_tunnels_first() {
    let folder = tempfile::tempdir().unwrap();
    let (vault, entries) = open(folder.path());
    assert!(entries.is_empty());
    vault.write(round(vec![
        write("s/1/2", 1, Some(b"session")),
        write("t/1", 2, Some(b"tunnel")),
        write("s/1/3", 3, Some(b"another")),
    ]));
    vault.write(round(vec![
        write("s/1/2", 4, Some(b"changed")),
        write("s/1/3", 5, None),
    ]));
    await_stored(&vault);
    drop(vault);
    let (_vault, entries) = open(folder.path());
    assert_eq!(keys(&entries), ["t/1", "s/1/2"]);
    assert_eq!(&*entries[1].octets, b"changed");
    assert_eq!(last_mark(&entries).seq, 4);
    assert_eq!(last_mark(&entries).epoch.number(), 7);
}

#[test]
fn a_hundred_thousand_records_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (vault, _) = open(folder.path());
    for part in 0..200_u64 {
        let writes = (0..500).map(|at| {
            let number = part * 500 + at;
            write(
                &format!("s/{}/{}", number % 8, number),
                number + 1,
                Some(&[7; 250]),
            )
        });
        vault.write(round(writes.collect()));
    }
    drop(vault);
    let (_vault, entries) = open(folder.path());
    assert_eq!(entries.len(), 100_000);
}

#[test]
fn a_second_process_is_told_that_there_is_a_first() {
    let folder = tempfile::tempdir().unwrap();
    let (_vault, _) = open(folder.path());
    let second = Vault::open(folder.path(), || ());
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    let text = second.err().unwrap().to_string();
    assert!(text.contains("another process"), "{text}");
}

#[test]
fn a_damaged_folder_is_moved_aside_and_another_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let (vault, _) = open(folder.path());
    vault.write(round(vec![write("t/1", 1, Some(b"tunnel"))]));
    drop(vault);
    let records = folder.path().join(FOLDER);
    for entry in fs::read_dir(&records).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(&path, b"this is none of it").unwrap();
        }
    }
    let (vault, entries) = open(folder.path());
    assert!(entries.is_empty());
    assert!(folder.path().join("records.damaged-0").exists());
    vault.write(round(vec![write("t/2", 1, Some(b"tunnel"))]));
    drop(vault);
    assert_eq!(keys(&open(folder.path()).1), ["t/2"]);
}

#[test]
fn a_folder_that_cannot_be_is_said_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FOLDER), b"a file").unwrap();
    let opened = Vault::open(folder.path(), || ());
    let text = opened.err().unwrap().to_string();
    assert!(text.contains("/records cannot be opened"), "{text}");
}
