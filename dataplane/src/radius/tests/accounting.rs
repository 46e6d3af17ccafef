//! Records on their way: to the spool, from it to servers, and copies of them; and the whole thread.

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::channel;

use lns_crypto::Rng;
use lns_node::radius::Order;
use lns_radius::config::Purpose;
use lns_radius::record::{Record, Status};
use lns_radius::request::{Failure, Token};
use lns_tables::time::Instant;
use lns_wire::radius::{AttributeList, kind};
use tempfile::tempdir;
use tokio::time::sleep;

use super::bed::{Responder, access, run, server, settings};
use crate::radius::figures::rtts;
use crate::radius::ledger::Ledger;
use crate::radius::line::Settled;
use crate::radius::pool::Settings;
use crate::radius::service::service;
use crate::radius::setup::Setup;

/// Octets of the spool: more than any of this needs.
const SPOOL: u64 = 1 << 20;

/// Nobody keeps anything.
fn settled() -> Settled {
    Settled {
        numbers: channel().0,
        news: Arc::default(),
    }
}

fn record(status: Status, session: &str) -> Record {
    let mut attributes = AttributeList::new();
    attributes.push_u32(kind::ACCT_STATUS_TYPE, status.number());
    attributes
        .push(kind::ACCT_SESSION_ID, session.as_bytes())
        .unwrap();
    Record {
        status,
        session: session.into(),
        at: lns_datapath::clock::now(),
        attributes,
        realm: None,
        kept: None,
    }
}

/// A Start and a Stop of each of so many sessions.
fn records(sessions: u32) -> Vec<Record> {
    let of = |session: u32| {
        let name = format!("s{session}");
        [Status::Start, Status::Stop].map(|status| record(status, &name))
    };
    (0..sessions).flat_map(of).collect()
}

fn configure(ledger: &mut Ledger, servers: Option<Settings>, copies: Vec<Settings>) {
    let mut rng = Rng::from_seed([1; 32]);
    ledger.configure(servers, copies, None, (&mut rng, &rtts()));
}

fn told(responder: &Responder) -> Settings {
    settings(Purpose::Accounting, vec![responder.server("a1")])
}

async fn delivered(ledger: &Ledger) {
    while ledger.figures().records > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

fn count(responder: &Responder) -> u64 {
    responder.seen().values().sum()
}

#[test]
fn each_record_reaches_an_accounting_server_and_everyone_who_gets_copies() {
    run(async {
        let folder = tempdir().unwrap();
        let (one, copied) = (Responder::local().await, Responder::local().await);
        let mut ledger = Ledger::open(Some(folder.path()), SPOOL, settled()).unwrap();
        let further = vec![settings(Purpose::Copy, vec![copied.server("c1")])];
        configure(&mut ledger, Some(told(&one)), further);
        ledger.take(records(100));
        delivered(&ledger).await;
        assert_eq!(count(&one), 200);
        while count(&copied) < 200 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(count(&copied), 200);
        let purposes: Vec<_> = ledger.seen().iter().map(|seen| seen.view.purpose).collect();
        assert_eq!(purposes, [Purpose::Accounting, Purpose::Copy]);
    });
}

#[test]
fn records_wait_while_no_server_is_configured_also_those_that_were_under_way() {
    run(async {
        let folder = tempdir().unwrap();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = server("silent", silent.local_addr().unwrap());
        let mut ledger = Ledger::open(Some(folder.path()), SPOOL, settled()).unwrap();
        let silent = settings(Purpose::Accounting, vec![silent]);
        configure(&mut ledger, Some(silent), Vec::new());
        ledger.take(records(5));
        while ledger.figures().under_way == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        configure(&mut ledger, None, Vec::new());
        ledger.take(records(3));
        while ledger.figures().unwritten > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(ledger.figures().records, 16);
        assert!(ledger.seen().is_empty());

        let responder = Responder::local().await;
        configure(&mut ledger, Some(told(&responder)), Vec::new());
        delivered(&ledger).await;
        assert_eq!(count(&responder), 16);
        assert_eq!(ledger.figures().undeliverable, 0);
    });
}

#[test]
fn what_was_not_delivered_is_delivered_after_the_next_start() {
    run(async {
        let folder = tempdir().unwrap();
        let ledger = Ledger::open(Some(folder.path()), SPOOL, settled()).unwrap();
        ledger.take(records(7));
        // Its end waits for the disk.
        drop(ledger);
        sleep(Duration::from_millis(50)).await;

        let responder = Responder::local().await;
        let mut ledger = Ledger::open(Some(folder.path()), SPOOL, settled()).unwrap();
        configure(&mut ledger, Some(told(&responder)), Vec::new());
        delivered(&ledger).await;
        assert_eq!(count(&responder), 14);
    });
}

#[test]
fn the_thread_answers_orders_takes_other_servers_and_ends_when_all_records_are_told() {
    run(async {
        let folder = tempdir().unwrap();
        let (judge, book) = (Responder::local().await, Responder::local().await);
        let (mut service, mut line, ended) = service([3; 32], Some(folder.path().to_owned()));
        let asker = service.asker();
        assert!(asker.ask(|_| ()).await.is_err(), "nobody has asked for it");
        assert_eq!(service.configure(None).await, Ok(()));
        assert!(asker.ask(|_| ()).await.is_err(), "nor now");

        let setup = Setup {
            authentication: Some(settings(Purpose::Authentication, vec![judge.server("r1")])),
            accounting: Some(told(&book)),
            copies: Vec::new(),
            spool_max: SPOOL,
        };
        assert_eq!(service.configure(Some(setup.clone())).await, Ok(()));
        assert_eq!(line.order(Order::Ask(Box::new(access(1)))), None);
        let answered = next(&mut line).await;
        assert_eq!(answered.token, Token(1));
        assert!(answered.result.is_ok());

        let without_judges = Setup {
            authentication: None,
            ..setup
        };
        assert_eq!(service.configure(Some(without_judges)).await, Ok(()));
        assert_eq!(line.order(Order::Ask(Box::new(access(2)))), None);
        assert_eq!(next(&mut line).await.result, Err(Failure::NoServer));

        for record in records(50) {
            assert_eq!(line.order(Order::Record(Box::new(record))), None);
        }
        service.end(Duration::from_secs(5)).await;
        assert_eq!(count(&book), 100, "all that was ordered before the end");
        assert!(asker.ask(|_| ()).await.is_err(), "it has ended");
        assert!(ended.await.is_err(), "and who watches is told");
    });
}

async fn next(line: &mut crate::radius::line::Line) -> lns_radius::request::Outcome {
    loop {
        if let Some(outcome) = line.take() {
            return outcome;
        }
        line.wait().await;
    }
}

#[test]
fn a_record_that_is_older_than_the_machine_is_up_has_a_date_all_the_same() {
    run(async {
        let folder = tempdir().unwrap();
        let responder = Responder::local().await;
        let mut ledger = Ledger::open(Some(folder.path()), SPOOL, settled()).unwrap();
        configure(&mut ledger, Some(told(&responder)), Vec::new());
        let old = Record {
            at: Instant::ZERO,
            ..record(Status::Start, "s1")
        };
        ledger.take(vec![old]);
        delivered(&ledger).await;
        assert_eq!(count(&responder), 1);
    });
}
