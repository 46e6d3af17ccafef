//! From the node's record to the server's answer, over files and threads.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "small numbers of a test"
)]

use std::fs;
use std::sync::mpsc::{Receiver, channel};

use lns_radius::config::{Key, Require, Secrets};
use lns_radius::request::{Failure, Reply};
use lns_radius::verify::{Asked, Verifier};
use lns_wire::radius::{AttributeList, Id, kind};
use tempfile::TempDir;

use super::*;

/// Any longer and the thread is dead.
const PATIENCE: Duration = Duration::from_secs(60);

/// Now, in seconds since 1970, and since the machine was started.
const DATE: u64 = 1_795_000_000;
const MILLIS: u64 = DATE * 1000;
const NOW: Instant = Instant::from_millis(1_000_000);

struct Bench {
    folder: TempDir,
    spool: Spool,
    woken: Receiver<()>,
}

fn open(folder: TempDir, max_octets: u64) -> Bench {
    let (wake, woken) = channel();
    let spool = Spool::open(folder.path(), max_octets, channel().0, move || {
        let _unwanted = wake.send(());
    });
    Bench {
        folder,
        spool: spool.unwrap(),
        woken,
    }
}

fn fresh() -> Bench {
    open(tempfile::tempdir().unwrap(), u64::MAX)
}

impl Bench {
    fn tell(&mut self, status: Status, session: &str) {
        let record = Record {
            status,
            session: session.into(),
            at: NOW,
            attributes: AttributeList::new(),
            realm: Some("isp".into()),
            kept: None,
        };
        self.spool.handle_record(record, NOW, MILLIS);
    }

    /// Takes news until it is so.
    fn until(&mut self, so: impl Fn(&Spool) -> bool) {
        self.spool.handle_news();
        while !so(&self.spool) {
            self.woken.recv_timeout(PATIENCE).unwrap();
            self.spool.handle_news();
        }
    }

    /// Until all that was told is on disk, and as much of it loaded as there is room for.
    fn settle(&mut self) {
        self.until(|it| it.unwritten == 0 && !it.is_loading);
    }

    /// All that may be sent now.
    fn sent(&mut self) -> Vec<Request> {
        let spool = &mut self.spool;
        core::iter::from_fn(|| spool.poll_request(NOW, DATE)).collect()
    }

    fn end(&mut self, request: &Request, result: Result<Reply, Failure>) {
        let outcome = Outcome {
            token: request.token,
            server: None,
            rtt: None,
            sends: 1,
            result,
        };
        self.spool.handle_outcome(&outcome, NOW);
    }

    /// The process ends and another one begins.
    fn restart(self, max_octets: u64) -> Bench {
        drop(self.spool);
        open(self.folder, max_octets)
    }
}

/// An answer whose signature is right.
fn reply() -> Reply {
    let secrets = Secrets {
        current: lns_crypto::Secret::new(*b"secret"),
        previous: None,
    };
    let asked = Asked {
        code: Code::ACCOUNTING_REQUEST,
        id: Id(1),
        authenticator: [7; 16],
    };
    let mut octets = Vec::new();
    AttributeList::new()
        .emit(Code::ACCOUNTING_RESPONSE, asked.id, &[0; 16], &mut octets)
        .unwrap();
    lns_crypto::radius::sign_response(&mut octets, &asked.authenticator, &secrets.current).unwrap();
    let mut verifier = Verifier::new(Require::Always);
    let packet = verifier.answer(&octets, &asked, &secrets).unwrap();
    assert_eq!(packet.key(), Key::Current);
    Reply::new(&packet, asked.authenticator, &secrets)
}

fn session(request: &Request) -> String {
    let mut ids = request.attributes.iter().filter(|it| it.kind == 44);
    String::from_utf8(ids.next().unwrap().value.to_vec()).unwrap()
}

/// With an Acct-Session-Id, so that one is told from another.
fn named(status: Status, name: &str) -> Record {
    let mut attributes = AttributeList::new();
    attributes
        .push(kind::ACCT_SESSION_ID, name.as_bytes())
        .unwrap();
    Record {
        status,
        session: name.into(),
        at: NOW,
        attributes,
        realm: None,
        kept: None,
    }
}

#[test]
fn a_record_is_sent_to_nobody_before_it_is_on_disk() {
    let mut bench = fresh();
    bench.tell(Status::Start, "a");
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.spool.figures(DATE).unwritten, 1);
    bench.settle();
    let [request] = &bench.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(request.code, Code::ACCOUNTING_REQUEST);
    assert_eq!(request.realm.as_deref(), Some("isp"));
    // Whoever reads the file finds it.
    drop(bench.spool);
    let again = open(bench.folder, u64::MAX);
    assert_eq!(again.spool.figures(DATE).records, 1);
}

#[test]
fn the_date_of_a_record_is_when_it_happened_and_is_never_another() {
    let mut bench = fresh();
    let mut record = named(Status::Stop, "a");
    record.at = Instant::from_nanos(NOW.as_nanos() - 5_000_000_000);
    bench.spool.handle_record(record, NOW, MILLIS);
    bench.settle();
    let date = |request: &Request| {
        let mut dates = request.attributes.iter().filter(|it| it.kind == 55);
        dates.next().unwrap().u32().unwrap()
    };
    let later = NOW + Duration::from_secs(100);
    let request = bench.spool.poll_request(later, DATE + 100).unwrap();
    assert_eq!(u64::from(date(&request)), DATE - 5);
    assert_eq!(later.since(request.happened).as_secs(), 105);

    let mut again = bench.restart(u64::MAX);
    again.settle();
    // Another machine, or the same one after a boot: it was up for a minute only.
    let now = Instant::from_millis(60_000);
    let request = again.spool.poll_request(now, DATE + 1000).unwrap();
    assert_eq!(u64::from(date(&request)), DATE - 5);
    assert_eq!(request.happened, Instant::ZERO);
    assert_eq!(
        again.spool.figures(DATE + 1000).oldest,
        Some(Duration::from_secs(1005))
    );
}

#[test]
fn what_a_server_has_is_forgotten_and_what_none_has_is_there_after_a_restart() {
    let mut bench = fresh();
    for name in ["a", "b", "c"] {
        bench
            .spool
            .handle_record(named(Status::Start, name), NOW, MILLIS);
    }
    bench.settle();
    let requests = bench.sent();
    assert_eq!(requests.len(), 3);
    bench.end(&requests[1], Ok(reply()));
    bench.until(|it| it.content.records == 2);
    assert!(!bench.spool.is_empty());
    let mut again = bench.restart(u64::MAX);
    again.settle();
    let requests = again.sent();
    let names: Vec<_> = requests.iter().map(session).collect();
    assert_eq!(names, ["a", "c"]);
    for request in &requests {
        again.end(request, Ok(reply()));
    }
    again.until(Spool::is_empty);
    assert_eq!(again.spool.figures(DATE), Figures::default());
    assert!(again.restart(u64::MAX).spool.is_empty());
}

#[test]
fn while_servers_are_away_all_is_kept_and_goes_when_they_are_back() {
    let mut bench = fresh();
    for round in 0..1000 {
        let record = named(Status::Start, &format!("{round:04}"));
        bench.spool.handle_record(record, NOW, MILLIS);
    }
    bench.settle();
    let requests = bench.sent();
    assert_eq!(requests.len(), WINDOW);
    for request in &requests {
        bench.end(request, Err(Failure::TimedOut));
    }
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.spool.figures(DATE).records, 1000);
    assert!(bench.spool.poll_timeout().is_some());

    let mut now = bench.spool.poll_timeout().unwrap();
    let mut delivered = Vec::new();
    while !bench.spool.is_empty() {
        bench.settle();
        while let Some(request) = bench.spool.poll_request(now, DATE) {
            delivered.push(session(&request));
            let outcome = Outcome {
                token: request.token,
                server: None,
                rtt: None,
                sends: 1,
                result: Ok(reply()),
            };
            bench.spool.handle_outcome(&outcome, now);
        }
        if delivered.len() == 1000 {
            bench.until(Spool::is_empty);
        }
        now += Duration::from_millis(1);
    }
    // The one behind those that failed asks whether the servers are back; then all go in their order.
    assert_eq!(delivered.remove(0), "0255");
    let expected = (0..1000).filter(|round| *round != 255);
    let expected: Vec<_> = expected.map(|round| format!("{round:04}")).collect();
    assert_eq!(delivered, expected);
}

#[test]
fn what_no_server_takes_is_given_up_and_counted() {
    let mut bench = fresh();
    bench.tell(Status::Start, "a");
    bench.settle();
    let requests = bench.sent();
    bench.end(&requests[0], Err(Failure::TooLarge));
    bench.until(Spool::is_empty);
    assert_eq!(bench.spool.figures(DATE).undeliverable, 1);
}

#[test]
fn a_record_of_another_version_keeps_nobody_waiting_for_the_end() {
    let mut bench = fresh();
    bench.tell(Status::Start, "a");
    bench.settle();
    // As the thread says it when it has found one more.
    bench.spool.foreign = 1;
    bench.spool.content.records = 2;
    assert!(!bench.spool.is_empty());
    let requests = bench.sent();
    bench.spool.content.records = 1;
    assert!(bench.spool.is_empty());
    assert_eq!(bench.spool.figures(DATE).foreign, 1);
    assert_eq!(requests.len(), 1);
}

#[test]
fn interims_that_were_given_up_are_counted_and_what_is_left_is_shown() {
    let mut bench = open(tempfile::tempdir().unwrap(), 10_000);
    let names: Vec<_> = (0..2000).map(|it| it.to_string()).collect();
    bench.tell(Status::Start, "first");
    for name in &names {
        bench.tell(Status::Interim, name);
    }
    bench.tell(Status::Stop, "last");
    bench.settle();
    let figures = bench.spool.figures(DATE + 9);
    assert_eq!(figures.records + figures.dropped_interims, 2002);
    assert!(figures.dropped_interims > 1000);
    // Some were on their way before the others came.
    assert!(figures.octets <= 10_000 + 2 * WINDOW as u64 * 40);
    assert_eq!(figures.oldest, Some(Duration::from_secs(9)));
    // All that are left are on their way now: of those that come, none has room.
    bench.spool.set_max_octets(0);
    bench.tell(Status::Interim, "late");
    bench.tell(Status::Stop, "late");
    bench.settle();
    let now = bench.spool.figures(DATE);
    assert_eq!(now.dropped_interims, figures.dropped_interims + 1);
    assert_eq!(now.records, figures.records + 1);
}

#[test]
fn where_there_can_be_no_file_records_are_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    let mut bench = open(folder, u64::MAX);
    bench.tell(Status::Start, "a");
    bench.settle();
    let requests = bench.sent();
    assert_eq!(requests.len(), 1);
    bench.end(&requests[0], Ok(reply()));
    bench.until(Spool::is_empty);
}

#[test]
fn while_the_disk_is_behind_interims_give_way_and_nothing_else_does() {
    let mut bench = fresh();
    bench.spool.unwritten = UNWRITTEN;
    bench.tell(Status::Interim, "a");
    bench.tell(Status::Stop, "a");
    let figures = bench.spool.figures(DATE);
    assert_eq!(figures.dropped_interims, 1);
    bench.until(|it| it.content.records == 1);
}

/// A member of a cluster keeps records in the store until a server has them.
#[test]
fn without_a_file_it_is_told_which_records_a_server_has_and_none_before() {
    let (wake, woken) = channel();
    let (delivered, told) = channel();
    let spool = Spool::in_memory(u64::MAX, delivered, move || {
        let _unwanted = wake.send(());
    });
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench {
        folder,
        spool: spool.unwrap(),
        woken,
    };
    for (number, status, name) in [
        (4, Status::Start, "a"),
        (5, Status::Stop, "a"),
        (6, Status::Start, "b"),
    ] {
        let mut record = named(status, name);
        record.kept = Some(lns_radius::record::Kept { number, date: DATE });
        bench.spool.handle_record(record, NOW, MILLIS);
    }
    // One that nobody keeps.
    bench
        .spool
        .handle_record(named(Status::Interim, "b"), NOW, MILLIS);
    bench.settle();
    let first = bench.sent();
    assert_eq!(first.iter().map(session).collect::<Vec<_>>(), ["a", "b"]);
    assert!(told.try_recv().is_err(), "nothing was delivered yet");
    bench.end(&first[1], Ok(reply()));
    assert_eq!(told.try_recv(), Ok(6));
    bench.end(&first[0], Err(Failure::TimedOut));
    assert!(told.try_recv().is_err(), "no server has it");
    bench.spool.handle_change();
    for _ in 0..3 {
        for request in bench.sent() {
            bench.end(&request, Ok(reply()));
        }
        bench.settle();
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [4, 5]);
    bench.until(Spool::is_empty);
    assert_eq!(fs::read_dir(bench.folder.path()).unwrap().count(), 0);
}
