//! A process that is killed while it writes: what it was told is on disk is there for the next one.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test's own panics are its findings"
)]

use core::time::Duration;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use lns_radius::record::{Record, Status};
use lns_spool::Spool;
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, kind};

/// Where the child writes; in the parent it is not set.
const FOLDER: &str = "LNS_SPOOL_KILL_FOLDER";

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
    }
}

/// Writes without end, and says how many records are on disk.
fn write(folder: &Path) -> ! {
    let (wake, woken) = channel();
    let mut spool = Spool::open(folder, u64::MAX, move || {
        let _unwanted = wake.send(());
    })
    .unwrap();
    let mut next = spool.figures(1).records;
    let mut out = std::io::stdout();
    loop {
        for _ in 0..20 {
            spool.handle_record(number(next), NOW, 1);
            next += 1;
        }
        woken.recv_timeout(Duration::from_secs(60)).unwrap();
        spool.handle_news();
        let figures = spool.figures(1);
        let stored = figures.records - u64::try_from(figures.unwritten).unwrap();
        writeln!(out, "stored {stored}").unwrap();
        out.flush().unwrap();
    }
}

/// How many records there are, each of which is in its place.
fn found(folder: &Path) -> u64 {
    let (wake, woken) = channel();
    let mut spool = Spool::open(folder, u64::MAX, move || {
        let _unwanted = wake.send(());
    })
    .unwrap();
    let all = spool.figures(1).records;
    let mut read = 0;
    // What fits into the window is in order; the others are behind it.
    while read < all.min(100) {
        spool.handle_news();
        while let Some(request) = spool.poll_request(NOW, 1) {
            let id = request.attributes.iter().next().unwrap();
            assert_eq!(id.value, read.to_string().as_bytes());
            read += 1;
        }
        if read < all.min(100) {
            woken.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
    all
}

#[test]
fn what_was_said_to_be_on_disk_is_there_after_a_kill() {
    if let Some(folder) = env::var_os(FOLDER) {
        write(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for (kills, lines) in [1, 2, 3, 5, 8, 13].into_iter().enumerate() {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("what_was_said_to_be_on_disk_is_there_after_a_kill")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut stored = output.lines().map_while(Result::ok).filter_map(|line| {
            let (_, number) = line.split_once("stored ")?;
            number.parse::<u64>().ok()
        });
        let said = stored.nth(lines).unwrap();
        // It goes on writing while it is killed.
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found(folder.path());
        assert!(found >= said, "{found} of {said} after {kills} kills");
        assert!(found > last);
        last = found;
    }
    let damaged = std::fs::read_dir(folder.path()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("damaged")
    });
    assert!(!damaged, "a kill does no damage");
}
