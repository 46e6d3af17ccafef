//! A process that is killed while it writes and removes: what it was told is on disk is there for the next
//! one, what it was told is gone is gone, and between the two nothing is missing.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test's own panics are its findings"
)]

use core::ops::Range;
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use lns_radius::record::{Record, Status};
use lns_radius::request::{Failure, Outcome, Request};
use lns_spool::{FILE, Spool};
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, kind};

/// Where the child writes; in the parent it is not set.
const FOLDER: &str = "LNS_SPOOL_KILL_FOLDER";

/// The numbers of the records that are there, first and end.
const THERE: &str = "LNS_SPOOL_KILL_THERE";

const NOW: Instant = Instant::from_millis(1);

fn number(record: u64) -> Record {
    let mut attributes = AttributeList::new();
    attributes
        .push(kind::ACCT_SESSION_ID, record.to_string().as_bytes())
        .unwrap();
    // As long as they are.
    attributes.push(kind::CLASS, &[7; 250]).unwrap();
    Record {
        status: Status::Start,
        session: record.to_string().into(),
        at: NOW,
        attributes,
        realm: None,
        kept: None,
    }
}

fn open(folder: &Path) -> (Spool, Receiver<()>) {
    let (wake, woken) = channel();
    let spool = Spool::open(folder, u64::MAX, channel().0, move || {
        let _unwanted = wake.send(());
    });
    (spool.unwrap(), woken)
}

/// Takes news until it is so.
fn until(spool: &mut Spool, woken: &Receiver<()>, so: impl Fn(&Spool) -> bool) {
    spool.handle_news();
    while !so(spool) {
        woken.recv_timeout(Duration::from_secs(60)).unwrap();
        spool.handle_news();
    }
}

/// A record is done with: here because no packet has room for it, which takes no signature.
fn remove(spool: &mut Spool, request: &Request) {
    let outcome = Outcome {
        token: request.token,
        server: None,
        rtt: None,
        sends: 0,
        result: Err(Failure::TooLarge),
    };
    spool.handle_outcome(&outcome, NOW);
}

/// Writes twenty and removes ten, without end, and says which are on disk.
fn work(folder: &Path, mut there: Range<u64>) -> ! {
    let (mut spool, woken) = open(folder);
    let mut out = std::io::stdout();
    loop {
        for _ in 0..20 {
            spool.handle_record(number(there.end), NOW, 1000);
            there.end += 1;
        }
        for _ in 0..10 {
            if let Some(request) = spool.poll_request(NOW, 1) {
                remove(&mut spool, &request);
                there.start += 1;
            }
        }
        let left = there.end - there.start;
        until(&mut spool, &woken, |spool| {
            let figures = spool.figures(1);
            figures.unwritten == 0 && figures.records == left
        });
        writeln!(out, "there {} {}", there.start, there.end).unwrap();
        out.flush().unwrap();
    }
}

/// Which records there are: from one number to another, each of them, in their order.
fn found(folder: &Path) -> Range<u64> {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.join(FILE), copy.path().join(FILE)).unwrap();
    let (mut spool, woken) = open(copy.path());
    let all = spool.figures(1).records;
    let mut numbers = Vec::new();
    while !spool.is_empty() {
        while let Some(request) = spool.poll_request(NOW, 1) {
            let id = request.attributes.iter().next().unwrap();
            let text = String::from_utf8(id.value.to_vec()).unwrap();
            numbers.push(text.parse().unwrap());
            remove(&mut spool, &request);
        }
        let read = u64::try_from(numbers.len()).unwrap();
        until(&mut spool, &woken, |spool| {
            spool.figures(1).records == all - read
        });
    }
    let first = numbers.first().copied().unwrap_or_default();
    let there = first..first + all;
    assert_eq!(numbers, there.clone().collect::<Vec<u64>>());
    there
}

fn said(line: &str) -> Option<Range<u64>> {
    let (_, numbers) = line.split_once("there ")?;
    let (start, end) = numbers.split_once(' ')?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

#[test]
fn what_was_said_to_be_on_disk_is_there_after_a_kill() {
    if let Some(folder) = env::var_os(FOLDER) {
        let there = env::var(THERE).unwrap();
        work(Path::new(&folder), said(&there).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut there = 0..0;
    for lines in [1, 2, 3, 5, 8, 13, 21] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("what_was_said_to_be_on_disk_is_there_after_a_kill")
            .env(FOLDER, folder.path())
            .env(THERE, format!("there {} {}", there.start, there.end))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut told = output.lines().map_while(Result::ok);
        let said = told.by_ref().filter_map(|line| said(&line)).nth(lines);
        // It goes on while it is killed.
        child.kill().unwrap();
        child.wait().unwrap();
        let said = said.unwrap();
        let found = found(folder.path());
        assert!(
            found.start >= said.start && found.end >= said.end,
            "{found:?}, {said:?}"
        );
        assert!(found.start >= there.start && found.end > there.end);
        there = found;
    }
    let damaged = fs::read_dir(folder.path()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("damaged")
    });
    assert!(!damaged, "a kill does no damage");
}
