//! `RadSec` over loopback, with certificates of the test.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use lns_crypto::Secret;
use lns_radius::config::{Purpose, Secrets, Server, Transport};
use lns_wire::radius::{MAX_PACKET, Packet};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::bed::{Bed, answer, run, server, settings};
use crate::radius::certificates::Authority;
use crate::radius::pool::{Settings, Tls};
use crate::radius::tls::server_name;

/// RFC 6614, 2.3
fn radsec() -> Secret {
    Secret::new(*b"radsec")
}

/// A server over TLS, and what it has seen.
struct Responder {
    address: SocketAddr,
    /// Connections that are open, by the client's port.
    open: Rc<RefCell<BTreeMap<u16, AbortHandle>>>,
    /// What clients have shown.
    shown: Rc<RefCell<Vec<CertificateDer<'static>>>>,
    /// How long it takes for each answer.
    slow: Rc<Cell<Duration>>,
    changed: Rc<Notify>,
}

impl Responder {
    async fn new(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let responder = Self {
            address: listener.local_addr().unwrap(),
            open: Rc::default(),
            shown: Rc::default(),
            slow: Rc::default(),
            changed: Rc::default(),
        };
        let (open, shown) = (Rc::clone(&responder.open), Rc::clone(&responder.shown));
        let (slow, changed) = (Rc::clone(&responder.slow), Rc::clone(&responder.changed));
        spawn_local(async move {
            loop {
                let (stream, from) = listener.accept().await.unwrap();
                let (acceptor, slow) = (acceptor.clone(), Rc::clone(&slow));
                let (shown, changed) = (Rc::clone(&shown), Rc::clone(&changed));
                let serving = spawn_local(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let certificates = stream.get_ref().1.peer_certificates().unwrap();
                    shown
                        .borrow_mut()
                        .push(certificates[0].clone().into_owned());
                    changed.notify_one();
                    let mut packet = vec![0; MAX_PACKET];
                    while stream.read_exact(&mut packet[..4]).await.is_ok() {
                        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                        stream.read_exact(&mut packet[4..length]).await.unwrap();
                        assert!(Packet::parse(&packet[..length]).is_ok());
                        sleep(slow.get()).await;
                        let reply = answer(&packet[..length], &radsec());
                        stream.write_all(&reply).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                });
                open.borrow_mut()
                    .insert(from.port(), serving.abort_handle());
            }
        });
        responder
    }

    /// Breaks one connection off; how many there are then.
    fn break_one(&self) -> usize {
        let mut open = self.open.borrow_mut();
        let (_, first) = open.pop_first().unwrap();
        first.abort();
        open.len()
    }
}

fn tls(address: SocketAddr, authority: &Authority) -> Settings {
    let server = Server {
        transport: Transport::Tls,
        secrets: Secrets {
            current: radsec(),
            previous: None,
        },
        ..server("r1", address)
    };
    let mut settings = settings(Purpose::Authentication, vec![server]);
    let ours = authority.issue(&["lns.example"]);
    let tls = Tls {
        identity: authority.identity(&ours),
        name: server_name(None, address.ip()).unwrap(),
    };
    settings.tls.insert("r1".into(), tls);
    settings
}

#[test]
fn requests_are_answered_over_tls_and_one_connection_that_breaks_leaves_its_sibling() {
    run(async {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&authority.issue(&["127.0.0.1"]));
        let responder = Responder::new(acceptor).await;
        let mut settings = tls(responder.address, &authority);
        settings.client.timing.initial = Duration::from_secs(5);
        settings.client.timing.duration = Duration::from_secs(10);
        let bed = Bed::new(settings);
        // More is asked at once than one connection carries, for so long that others are opened.
        responder.slow.set(Duration::from_millis(1));
        for outcome in bed.ask(0..1_000).await {
            assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            assert_eq!(outcome.sends, 1, "nothing is repeated on a stream");
        }
        assert!(bed.server("r1").connections.len() >= 2);
        responder.slow.set(Duration::ZERO);
        assert!(responder.break_one() >= 1);
        for outcome in bed.ask(1_000..2_000).await {
            assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        }
        let server = bed.server("r1");
        assert_eq!(server.counts.failed, 1, "one of them, and no other");
        assert_eq!(
            server.cause.map(lns_radius::event::Cause::label),
            Some("closed_by_peer")
        );
    });
}

#[test]
fn new_certificates_are_shown_by_new_connections_and_the_old_ones_live_on() {
    run(async {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&authority.issue(&["127.0.0.1"]));
        let responder = Responder::new(acceptor).await;
        let bed = Bed::new(tls(responder.address, &authority));
        assert!(bed.ask(0..1).await[0].result.is_ok());
        bed.desk.configure(tls(responder.address, &authority));
        assert!(bed.ask(1..2).await[0].result.is_ok());
        assert_eq!(responder.shown.borrow().len(), 1, "the connection lives on");
        responder.break_one();
        while responder.shown.borrow().len() < 2 {
            let token = 2 + bed.server("r1").counts.sent;
            let _either = bed.ask(token..token + 1).await;
            sleep(Duration::from_millis(50)).await;
        }
        let shown = responder.shown.borrow();
        assert_ne!(shown[0], shown[1]);
    });
}

#[test]
fn a_server_that_is_not_the_one_is_told_in_words() {
    run(async {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&authority.issue(&["192.0.2.5"]));
        let responder = Responder::new(acceptor).await;
        let bed = Bed::new(tls(responder.address, &authority));
        assert!(bed.ask(0..1).await[0].result.is_err());
        let server = bed.server("r1");
        assert_eq!(
            server.cause.map(lns_radius::event::Cause::label),
            Some("tls")
        );
        let seen = bed.desk.seen();
        let words = seen.figures.last_failure("r1").unwrap();
        assert!(words.contains("certificate"), "{words}");
    });
}
