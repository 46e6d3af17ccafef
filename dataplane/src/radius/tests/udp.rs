//! Datagrams over loopback.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use lns_radius::config::Purpose;
use lns_radius::request::{Failure, Token};
use lns_radius::server::ServerState;
use lns_radius::trunk::TrunkState;
use lns_wire::radius::Code;

use super::bed::{Bed, Responder, run, server, settings};

#[test]
fn requests_are_answered_and_come_from_the_address_of_the_nas() {
    run(async {
        for (nas, at) in [("127.0.0.9", "127.0.0.1"), ("::1", "::1")] {
            let (nas, at): (IpAddr, IpAddr) = (nas.parse().unwrap(), at.parse().unwrap());
            let responder = Responder::new(at).await;
            let mut settings = settings(Purpose::Authentication, vec![responder.server("r1")]);
            settings.source = Some(nas);
            let bed = Bed::new(settings);
            for outcome in bed.ask(0..20).await {
                let reply = outcome.result.unwrap();
                assert_eq!(reply.packet().unwrap().code, Code::ACCESS_ACCEPT);
                assert_eq!((outcome.server.as_deref(), outcome.sends), (Some("r1"), 1));
            }
            assert!(responder.seen().keys().all(|from| from.ip() == nas));
            assert!(bed.desk.is_idle());
        }
    });
}

#[test]
fn after_a_change_of_the_nas_address_all_is_asked_from_the_new_one() {
    run(async {
        let responder = Responder::local().await;
        let from = |nas: [u8; 4]| {
            let mut settings = settings(Purpose::Authentication, vec![responder.server("r1")]);
            settings.source = Some(nas.into());
            settings
        };
        let bed = Bed::new(from([127, 0, 0, 8]));
        assert!(bed.ask(0..1).await[0].result.is_ok());
        bed.desk.configure(from([127, 0, 0, 9]));
        let mut token = 1;
        while bed.ask(token..token + 1).await[0].result.is_err() {
            token += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let seen: Vec<_> = responder.seen().keys().map(SocketAddr::ip).collect();
        assert_eq!(seen, [IpAddr::from([127, 0, 0, 8]), [127, 0, 0, 9].into()]);
    });
}

#[test]
fn an_address_that_is_not_ours_is_said_in_words_and_fails_what_is_asked() {
    run(async {
        let responder = Responder::local().await;
        let mut settings = settings(Purpose::Authentication, vec![responder.server("r1")]);
        settings.source = Some([192, 0, 2, 77].into());
        let bed = Bed::new(settings);
        let ended = bed.ask(0..1).await;
        assert!(ended[0].result.is_err());
        let seen = bed.desk.seen();
        let words = seen.figures.last_failure("r1").unwrap();
        assert!(words.contains("Cannot assign requested address"), "{words}");
    });
}

#[test]
fn r04_port_unreachable_fails_the_connection_that_it_is_for_and_no_other() {
    run(async {
        let gone = Responder::local().await.address;
        // A port that was bound and is not any more: its kernel answers by ICMP.
        let nobody = {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap()
        };
        assert_ne!(gone, nobody);
        let alive = Responder::local().await;
        let servers = vec![server("gone", nobody), alive.server("alive")];
        let bed = Bed::new(settings(Purpose::Authentication, servers));
        for outcome in bed.ask(0..10).await {
            assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            assert_eq!(outcome.server.as_deref(), Some("alive"));
        }
        let [gone, alive] = ["gone", "alive"].map(|name| bed.server(name));
        assert!(gone.counts.failed >= 1);
        let seen = bed.desk.seen();
        let words = seen.figures.last_failure("gone").unwrap();
        assert!(words.contains("Connection refused"), "{words}");
        assert_eq!((alive.counts.failed, alive.state), (0, ServerState::Up));
        // It did not take a timeout to find out.
        assert_eq!(gone.counts.timeouts, 0);
    });
}

#[test]
fn r07_of_several_source_ports_one_that_is_not_answered_is_a_zombie_and_all_requests_succeed() {
    run(async {
        let responder = Responder::local().await;
        let with = |initial| {
            let mut settings = settings(Purpose::Authentication, vec![responder.server("r1")]);
            settings.client.timing.initial = initial;
            settings.client.timing.count = 0;
            settings.client.timing.duration = Duration::from_secs(10);
            settings
        };
        // More is asked at once than one connection carries, for so long that others are opened.
        responder.slow.set(Duration::from_millis(1));
        let bed = Bed::new(with(Duration::from_secs(5)));
        for outcome in bed.ask(0..1_000).await {
            assert!(outcome.result.is_ok());
        }
        responder.slow.set(Duration::ZERO);
        bed.desk.configure(with(Duration::from_millis(200)));
        let ports: Vec<_> = responder.seen().into_keys().collect();
        assert!(ports.len() >= 2, "{ports:?}");
        responder.ignore(ports[0]);
        for round in 1..4 {
            let tokens = round * 1_000..(round + 1) * 1_000;
            for outcome in bed.ask(tokens).await {
                assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            }
        }
        let server = bed.server("r1");
        assert_eq!(server.state, ServerState::Up);
        let zombies = server
            .connections
            .iter()
            .filter(|connection| connection.state == TrunkState::Inactive)
            .count();
        let active = server
            .connections
            .iter()
            .filter(|connection| matches!(connection.state, TrunkState::Active | TrunkState::Full))
            .count();
        // The one that is not answered may have been closed by now.
        assert!(zombies <= 1, "{:?}", server.connections);
        assert!(active >= 1, "{:?}", server.connections);
    });
}

#[test]
fn who_has_no_servers_any_more_answers_everything_at_once() {
    run(async {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let silent = server("silent", silent.local_addr().unwrap());
        let bed = Bed::new(settings(Purpose::Authentication, vec![silent]));
        bed.desk.ask([super::bed::access(1)]);
        bed.desk.without_servers();
        let ended = bed.ended(1).await;
        assert!(ended[0].result.is_err());
        let refused = bed.ask(2..3).await;
        assert_eq!(refused[0].result, Err(Failure::NoServer));
        assert_eq!(refused[0].token, Token(2));
    });
}

#[test]
fn t1_1_answers_to_copies_are_taken_from_the_socket_and_counted_and_nothing_is_refused_by_icmp() {
    run(async {
        let responder = Responder::local().await;
        let bed = Bed::new(settings(Purpose::Copy, vec![responder.server("copy")]));
        bed.desk.ask((0..50).map(super::bed::record));
        let ended = bed.ended(50).await;
        assert_eq!(ended.len(), 50);
        // Each is answered, though nobody waits for it; an ICMP error would end the responder.
        for _ in 0..100 {
            let dropped: u64 = bed.server("copy").dropped.iter().map(|(_, n)| n).sum();
            if dropped == 50 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let server = bed.server("copy");
        let dropped: Vec<_> = server
            .dropped
            .iter()
            .filter(|(_, times)| *times > 0)
            .collect();
        assert_eq!(dropped, [&("unasked", 50)]);
        assert_eq!(responder.seen().values().sum::<u64>(), 50);
        assert_eq!(server.counts.retransmissions, 0);
    });
}
