//! Files that are whole, too small, damaged, and not to be had.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

use std::fs;

use lns_radius::record::Record;
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, kind};
use tempfile::TempDir;

use super::*;

fn record(status: Status, number: u32) -> Change {
    let mut attributes = AttributeList::new();
    attributes.push_u32(kind::ACCT_SESSION_TIME, number);
    let record = Record {
        status,
        session: format!("session-{number:04}").into(),
        at: Instant::ZERO,
        attributes,
        realm: None,
        kept: None,
    };
    Change::Append(Entry::new(record, 1000 + u64::from(number)))
}

fn numbers(store: &mut Store) -> Vec<String> {
    let loaded = store.load(None, usize::MAX).unwrap();
    let session = |(_, entry): &(Place, Entry)| entry.session[8..].to_owned();
    loaded.entries.iter().map(session).collect()
}

/// A folder, and a file in it with these records.
fn with(limit: u64, changes: &[Change]) -> (TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let mut store = Store::open(&path, limit).unwrap();
    store.apply(changes).unwrap();
    (folder, path, store)
}

/// Octets of one record on disk.
fn octets_of_one() -> u64 {
    with(u64::MAX, &[record(Status::Interim, 1)])
        .2
        .content
        .octets
}

fn interims(range: core::ops::Range<u32>) -> Vec<Change> {
    range.map(|it| record(Status::Interim, it)).collect()
}

#[test]
fn what_was_written_is_there_again_in_its_order() {
    let (_folder, path, store) = with(u64::MAX, &interims(0..500));
    let before = store.content;
    drop(store);
    let mut store = Store::open(&path, u64::MAX).unwrap();
    assert_eq!(store.content, before);
    assert_eq!((before.records, before.oldest), (500, Some(1000)));
    let expected: Vec<_> = (0..500).map(|it| format!("{it:04}")).collect();
    assert_eq!(numbers(&mut store), expected);
    store.apply(&[record(Status::Stop, 500)]).unwrap();
    assert_eq!(numbers(&mut store).last().unwrap(), "0500");
}

#[test]
fn what_a_server_has_is_gone_and_its_octets_with_it() {
    let (_folder, path, mut store) = with(u64::MAX, &interims(0..3));
    let whole = store.content.octets;
    store.apply(&[Change::Remove(Place(0))]).unwrap();
    assert_eq!(numbers(&mut store), ["0001", "0002"]);
    assert_eq!(store.content.octets, whole / 3 * 2);
    assert_eq!(store.content.oldest, Some(1001));
    // A second time it changes nothing, nor does one that never was.
    let again = [Change::Remove(Place(0)), Change::Remove(Place(99))];
    store.apply(&again).unwrap();
    assert_eq!(store.content.octets, whole / 3 * 2);
    store
        .apply(&[Change::Remove(Place(1)), Change::Remove(Place(2))])
        .unwrap();
    assert_eq!((store.content.records, store.content.octets), (0, 0));
    drop(store);
    let store = Store::open(&path, u64::MAX).unwrap();
    assert_eq!((store.content.records, store.content.octets), (0, 0));
}

#[test]
fn records_are_read_a_part_at_a_time() {
    let (_folder, _, mut store) = with(u64::MAX, &interims(0..10));
    let mut after = None;
    let mut sizes = Vec::new();
    loop {
        let loaded = store.load(after, 4).unwrap();
        sizes.push(loaded.entries.len());
        if loaded.entries.is_empty() {
            break;
        }
        after = loaded.through;
    }
    assert_eq!(sizes, [4, 4, 2, 0]);
}

#[test]
fn without_room_the_oldest_interims_go_and_nothing_else_does() {
    let one = octets_of_one();
    let mut changes = vec![record(Status::On, 0)];
    changes.extend(interims(1..10));
    changes.push(record(Status::Start, 10));
    changes.push(record(Status::Stop, 11));
    let (_folder, path, mut store) = with(one * 6, &changes);
    assert_eq!(
        numbers(&mut store),
        ["0000", "0007", "0008", "0009", "0010", "0011"]
    );
    assert_eq!((store.dropped, store.content.octets), (6, one * 6));
    drop(store);
    // Without interims the limit gives way.
    let mut store = Store::open(&path, one).unwrap();
    let ends: Vec<_> = (12..40).map(|it| record(Status::Stop, it)).collect();
    store.apply(&ends).unwrap();
    assert_eq!(store.dropped, 3);
    assert_eq!(store.content.records, 3 + 28);
}

#[test]
fn a_lower_limit_is_kept_at_once() {
    let one = octets_of_one();
    let (_folder, _, mut store) = with(u64::MAX, &interims(0..10));
    store.apply(&[Change::Limit(one * 4)]).unwrap();
    assert_eq!(numbers(&mut store), ["0006", "0007", "0008", "0009"]);
}

#[test]
fn records_whose_turn_has_come_are_not_given_up() {
    let one = octets_of_one();
    let (_folder, _, mut store) = with(one * 10, &interims(0..10));
    assert_eq!(store.load(None, 3).unwrap().entries.len(), 3);
    store.apply(&interims(10..15)).unwrap();
    let left = numbers(&mut store);
    assert_eq!(left[..4], ["0000", "0001", "0002", "0008"]);
    assert_eq!(left.len(), 10);
}

#[test]
fn an_end_that_was_given_up_is_an_end() {
    let one = octets_of_one();
    let (_folder, _, mut store) = with(one, &[record(Status::Start, 0)]);
    store.apply(&interims(1..5)).unwrap();
    let loaded = store.load(None, 100).unwrap();
    assert_eq!(loaded.entries.len(), 1);
    assert_eq!(loaded.through, Some(Place(4)));
}

#[test]
fn a_place_is_not_given_twice_while_the_file_is_open() {
    let (_folder, _, mut store) = with(u64::MAX, &[record(Status::Start, 0)]);
    store.apply(&[Change::Remove(Place(0))]).unwrap();
    store.apply(&[record(Status::Start, 1)]).unwrap();
    store.reopen().unwrap();
    store.apply(&[record(Status::Stop, 1)]).unwrap();
    let places: Vec<_> = store.load(None, 9).unwrap().entries;
    let places: Vec<_> = places.iter().map(|(place, _)| place.0).collect();
    assert_eq!(places, [1, 2]);
}

/// A commit may be on disk though the disk has said that it failed.
#[test]
fn after_an_error_it_is_known_whether_the_last_changes_were_made() {
    let (_folder, _, mut store) = with(u64::MAX, &[record(Status::Start, 0)]);
    assert!(!store.reopen().unwrap());
    store.apply(&[record(Status::Stop, 1)]).unwrap();
    store.place -= 1;
    assert!(store.reopen().unwrap());
    store.apply(&[record(Status::Start, 2)]).unwrap();
    assert_eq!(numbers(&mut store), ["0000", "0001", "0002"]);
}

#[test]
fn a_record_that_cannot_be_read_is_taken_out_and_the_others_stay() {
    let (_folder, path, store) = with(u64::MAX, &interims(0..3));
    drop(store);
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(RECORDS)
        .unwrap()
        .insert(1, &b"\x01no record"[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let mut store = Store::open(&path, u64::MAX).unwrap();
    assert_eq!(numbers(&mut store), ["0000", "0002"]);
    assert_eq!(store.content.records, 2);
}

#[test]
fn a_record_of_another_version_is_kept_for_it_and_counted() {
    let (_folder, path, store) = with(u64::MAX, &interims(0..3));
    let whole = store.content;
    drop(store);
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut records = transaction.open_table(RECORDS).unwrap();
        let mut octets = records.get(1).unwrap().unwrap().value().to_vec();
        octets[0] = 2;
        records.insert(1, &*octets).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let mut store = Store::open(&path, u64::MAX).unwrap();
        let loaded = store.load(None, 9).unwrap();
        assert_eq!((loaded.entries.len(), loaded.foreign), (2, 1));
        assert_eq!(loaded.through, Some(Place(2)));
        assert_eq!(store.load(loaded.through, 9).unwrap().foreign, 0);
        // It is not given up for want of room either.
        store.apply(&[Change::Limit(1)]).unwrap();
        assert_eq!(store.content, whole);
    }
}

#[test]
fn a_damaged_file_is_moved_aside_and_another_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let (_other, whole_path, store) = with(u64::MAX, &interims(0..2000));
    drop(store);
    let whole = fs::read(&whole_path).unwrap();
    let mut upset = whole.clone();
    for at in (0..upset.len()).step_by(64) {
        upset[at] ^= 0x5a;
    }
    let damages: [&[u8]; 4] = [
        b"this is no database",
        &[0; 10_000],
        &whole[..whole.len() / 2],
        &upset,
    ];
    for (damage, number) in damages.iter().zip(1..) {
        fs::write(&path, damage).unwrap();
        let mut store = Store::open(&path, u64::MAX).unwrap();
        assert_eq!(store.content.records, 0, "{number}");
        store.apply(&[record(Status::Start, 7)]).unwrap();
        assert_eq!(numbers(&mut store), ["0007"]);
        drop(store);
        let aside = folder.path().join(format!("records.damaged-{number}"));
        assert_eq!(fs::read(aside).unwrap().len(), damage.len());
    }
}

/// Every octet of the file, one at a time: it is read as it was, or moved aside, and never anything else.
#[test]
fn a_flipped_bit_costs_at_most_the_file_and_never_the_process() {
    let (_folder, whole_path, store) = with(u64::MAX, &interims(0..3));
    drop(store);
    let whole = fs::read(&whole_path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for at in used.iter().step_by(used.len() / 40 + 1) {
        let mut flipped = whole.clone();
        flipped[*at] ^= 1;
        fs::write(&path, flipped).unwrap();
        let mut store = Store::open(&path, u64::MAX).unwrap();
        let found = numbers(&mut store);
        assert!(
            found.is_empty() || found == ["0000", "0001", "0002"],
            "{at}"
        );
        store.apply(&[record(Status::Start, 7)]).unwrap();
        drop(store);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_had_is_an_error_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(&folder.path().join("missing/records"), 1).unwrap_err();
    assert!(!is_damage(&error), "{error}");
    let path = folder.path().join("records");
    let _open = Store::open(&path, 1).unwrap();
    let error = Store::open(&path, 1).unwrap_err();
    assert!(!is_damage(&error), "{error}");
    assert!(path.exists());
}
