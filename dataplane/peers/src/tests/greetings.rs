//! Who is not taken for a member, and what they are told.

use lns_cluster::Epoch;
use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::bed::{
    Bed, MEMBER, Node, PATIENCE, Plan, TIMING, cluster, epoch, hello, introduce, run,
};
use crate::greet::{Ours, open};
use crate::limits::HANDSHAKES_OTHERS;
use crate::tls::certificates::{Authority, Issued};
use crate::wire::{Body, Hello, Kind, RefusedFor, VERSION};
use crate::{ClusterId, Credentials, Event, Failed, FailedFor, Material, NotTaken, Timing};

/// What becomes of an attempt to reach `to`.
async fn attempt(to: &Node, credentials: Credentials, hello: Hello) -> Failed {
    let ours = Ours {
        hello,
        epoch: Epoch::NONE,
        credentials,
    };
    open(None, to.address, &ours).await.unwrap_err()
}

fn shown(bed: &Bed, issued: &Issued) -> Credentials {
    issued.credentials(&bed.authority, &cluster(), "b")
}

#[test]
fn a_certificate_of_another_authority_is_not_believed_by_either_side() {
    run(async {
        let (bed, other) = (Bed::new(), Bed::new());
        let a = bed.node("a").await;
        // Neither believes the other.
        let failed = attempt(&a, other.credentials("b"), hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        // One believes both, the other does not believe it.
        let both = format!(
            "{}{}",
            bed.authority.certificate, other.authority.certificate
        );
        let material = Material {
            authorities: both.as_bytes(),
            ..other.issued.with(&other.authority)
        };
        let credentials = Credentials::new(material, &cluster(), &super::bed::node("b")).unwrap();
        let failed = attempt(&a, credentials, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        a.until_failed("accept", "certificate").await;
        assert!(a.peers.figures().is_empty());
    });
}

#[test]
fn a_certificate_that_has_ended_is_not_believed_by_either_side() {
    run(async {
        let bed = Bed::new();
        let ended = bed.authority.issue_expired(&[MEMBER]);
        let a = bed.node("a").await;
        let failed = attempt(&a, shown(&bed, &ended), hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        assert!(failed.words.contains("CertificateExpired"), "{failed}");
        let b = Node::start(Plan {
            credentials: shown(&bed, &ended),
            ..bed.plan("b")
        })
        .await;
        let failed = attempt(&b, bed.credentials("c"), hello("c")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        assert!(failed.words.contains("expired"), "{failed}");
    });
}

#[test]
fn a_certificate_for_no_member_of_this_cluster_is_not_believed() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let other = ClusterId::new("lns", "other", "7d1c").unwrap();
        let issued = bed.authority.issue(&["other.lns.peers.kubelns.io"]);
        let credentials = issued.credentials(&bed.authority, &other, "b");
        // Its own rule finds ours wrong first; who goes by no rule is found out by the other side.
        let failed = attempt(&a, credentials.clone(), hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        let mut lax = bed.credentials("b");
        let mut config = rustls::ClientConfig::clone(&lax.client);
        config.client_auth_cert_resolver = credentials.client.client_auth_cert_resolver.clone();
        lax.client = config.into();
        let failed = attempt(&a, lax, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        a.until_failed("accept", "certificate").await;
    });
}

#[test]
fn a_certificate_for_one_use_only_is_not_believed() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let servers = [ExtendedKeyUsagePurpose::ServerAuth];
        let only = bed.authority.issue_for(&[MEMBER], &servers);
        let failed = attempt(&a, shown(&bed, &only), hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        let both = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let good = bed.authority.issue_for(&[MEMBER], &both);
        let ours = Ours {
            hello: hello("b"),
            epoch: Epoch::NONE,
            credentials: shown(&bed, &good),
        };
        assert!(open(None, a.address, &ours).await.is_ok());
    });
}

#[test]
fn a_certificate_of_a_node_is_good_for_that_node_only() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let issued = bed.authority.issue(&["b.edge.lns.peers.kubelns.io"]);
        let failed = attempt(&a, shown(&bed, &issued), hello("c")).await;
        assert_eq!(failed.why, FailedFor::RefusedByPeer(RefusedFor::Name));
        assert_eq!(
            failed.words,
            "the peer says: the certificate is not for c.edge.lns.peers.kubelns.io"
        );
        a.until_failed("accept", "name").await;
        let b = Node::start(Plan {
            credentials: shown(&bed, &issued),
            ..bed.plan("b")
        })
        .await;
        introduce(&mut [&a, &b].into_iter());
        assert_eq!(a.connected().await.node(), &b.name);
    });
}

#[test]
fn a_dialler_too_minds_for_which_node_the_certificate_is() {
    run(async {
        let bed = Bed::new();
        let issued = bed.authority.issue(&["b.edge.lns.peers.kubelns.io"]);
        // A node c with the key of b: it cannot be started as c, so it is started as b and lies.
        let liar = Node::start(Plan {
            name: "c",
            credentials: shown(&bed, &issued),
            ..bed.plan("c")
        })
        .await;
        let failed = attempt(&liar, bed.credentials("a"), hello("a")).await;
        assert_eq!(failed.why, FailedFor::Refused(RefusedFor::Name), "{failed}");
    });
}

#[test]
fn somebody_without_tls_or_without_a_certificate_is_told_nothing() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let mut plain = TcpStream::connect(a.address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _reset = plain.read_to_end(&mut answer).await;
        // An alert of TLS at most.
        assert!(
            answer.len() <= 7 && answer.first().is_none_or(|first| *first == 21),
            "{answer:?}"
        );
        a.until_failed("accept", "tls").await;
        let mut anonymous = bed.credentials("b");
        let mut config = rustls::ClientConfig::clone(&anonymous.client);
        config.client_auth_cert_resolver = std::sync::Arc::new(NoCertificate);
        anonymous.client = config.into();
        let failed = attempt(&a, anonymous, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
        a.until_failed("accept", "certificate").await;
    });
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn an_older_tls_and_another_protocol_are_not_spoken() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let change = |change: &dyn Fn(&mut rustls::ClientConfig)| {
            let mut credentials = bed.credentials("b");
            let mut config = rustls::ClientConfig::clone(&credentials.client);
            change(&mut config);
            credentials.client = config.into();
            credentials
        };
        let http = change(&|config| config.alpn_protocols = vec![b"http/1.1".to_vec()]);
        let failed = attempt(&a, http, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Tls, "{failed}");
        let none = change(&|config| config.alpn_protocols = Vec::new());
        let failed = attempt(&a, none, hello("b")).await;
        assert_eq!(failed.to_string(), "no peer channel is there");
        let roots = std::sync::Arc::new(rustls::RootCertStore::empty());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let old = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut credentials = bed.credentials("b");
        credentials.client = old.into();
        let failed = attempt(&a, credentials, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Tls, "{failed}");
    });
}

#[test]
fn another_cluster_is_refused_by_name() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let again = Hello {
            cluster: ClusterId::new("lns", "edge", "other").unwrap(),
            ..hello("b")
        };
        let failed = attempt(&a, bed.credentials("b"), again).await;
        assert_eq!(failed.why, FailedFor::RefusedByPeer(RefusedFor::Cluster));
        assert_eq!(
            failed.words,
            "the peer says: this is lns/edge (7d1c), and not lns/edge (other)"
        );
        a.until_failed("accept", "cluster").await;
    });
}

#[test]
fn nobody_is_the_node_that_it_speaks_to() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let failed = attempt(&a, bed.credentials("a"), hello("a")).await;
        assert_eq!(failed.why, FailedFor::RefusedByPeer(RefusedFor::OwnName));
    });
}

#[test]
fn versions_that_have_nothing_in_common_are_refused_by_number() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        let newer = Hello {
            version: VERSION + 2,
            oldest: VERSION + 1,
            ..hello("b")
        };
        let failed = attempt(&a, bed.credentials("b"), newer).await;
        assert_eq!(failed.why, FailedFor::RefusedByPeer(RefusedFor::Version));
        assert_eq!(
            failed.words,
            "the peer says: versions 1 to 1 are spoken here, and not 2 to 3"
        );
    });
}

#[test]
fn what_a_newer_version_says_beyond_ours_is_counted_and_skipped() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let newer = |hello: &mut Hello| hello.version = VERSION + 1;
        let mut b = bed.stranger("b", &a, newer).await;
        assert_eq!(a.connected().await.version(), VERSION);
        b.frame(900, epoch(1), b"who knows").await;
        b.frame(Kind::Applied.code(), epoch(1), b"\x01").await;
        b.frame(Kind::Applied.code(), epoch(1), b"\x01\x05").await;
        loop {
            if let Event::Message(message) = a.next().await {
                assert_eq!(message.value().kind(), Kind::Applied);
                break;
            }
        }
        a.until("b", |figures| {
            figures.not_taken == [(NotTaken::UnknownKind, 1), (NotTaken::Malformed, 1)]
        })
        .await;
        b.say(&Body::Hello(Box::new(hello("b"))), epoch(1)).await;
        a.until("b", |figures| {
            figures.not_taken.contains(&(NotTaken::Unexpected, 1))
        })
        .await;
    });
}

#[test]
fn a_greeting_of_a_newer_version_may_say_more() {
    let body = Body::Hello(Box::new(hello("b")));
    let whole = crate::wire::encode(&body, Epoch::NONE).unwrap();
    let body = &whole[crate::wire::HEADER..];
    let read = |body: &[u8]| {
        let frame = crate::wire::Frame {
            kind: Kind::Hello.code(),
            epoch: Epoch::NONE,
            body,
        };
        crate::wire::decode_greeting(frame)
    };
    assert!(read(body).unwrap().is_ok());
    let longer = [body, b"more"].concat();
    assert!(read(&longer).is_err());
    let at = body.windows(2).position(|two| two == [1, 1]).unwrap();
    let mut newer = longer;
    newer[at] = 2;
    assert_eq!(read(&newer).unwrap().unwrap().version, 2);
}

#[test]
fn a_first_frame_that_is_no_greeting_or_too_long_ends_the_connection() {
    run(async {
        let bed = Bed::new();
        let a = bed.node("a").await;
        for first in [
            &b"\0\0\0\x0a\0\x03\0\0\0\0\0\0\0\0"[..],
            b"\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x0b\0\0\0\0\0\0\0\0\0\0x",
        ] {
            let connector = tokio_rustls::TlsConnector::from(bed.credentials("b").client);
            let name = bed.credentials("b").name;
            let stream = TcpStream::connect(a.address).await.unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(first).await.unwrap();
            let mut answer = Vec::new();
            let _ended = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty());
        }
        a.until_failed("accept", "stream").await;
        assert!(a.peers.figures().is_empty());
    });
}

#[test]
fn a_stream_that_cannot_be_followed_ends_with_a_goodbye() {
    run(async {
        let bed = Bed::new();
        let mut a = bed.node("a").await;
        let mut b = bed.stranger("b", &a, |_| {}).await;
        a.connected().await;
        b.send(&u32::MAX.to_be_bytes()).await;
        let said = b.hear().await.map(|(body, _)| body);
        assert_eq!(said, Some(Body::Goodbye(crate::wire::Goodbye::Stream)));
        let Event::Disconnected(_, failed) = a.next().await else {
            panic!("it has ended");
        };
        assert_eq!(
            failed.to_string(),
            format!("a frame of {} octets", u32::MAX)
        );
    });
}

#[test]
fn strangers_who_hold_all_their_handshakes_keep_no_listed_peer_out() {
    run(async {
        let bed = Bed::new();
        let (mut a, b) = (bed.node("a").await, bed.node("b").await);
        a.peers.list(&[(b.name.clone(), b.address)].into()).unwrap();
        a.connected().await;
        drop(b);
        let b = bed.node("b").await;
        let mut strangers = Vec::new();
        for _ in 0..HANDSHAKES_OTHERS {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
            strangers.push(socket.connect(a.address).await.unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
        let mut one_more = socket.connect(a.address).await.unwrap();
        let ended = one_more.read(&mut [0]).await;
        assert!(
            !ended.is_ok_and(|octets| octets > 0),
            "it is let go at once"
        );
        a.until_failed("accept", "full").await;
        b.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        assert_eq!(a.connected().await.node(), &b.name);
    });
}

#[test]
fn whoever_fails_makes_room_for_the_next_only_after_a_while() {
    run(async {
        let bed = Bed::new();
        let mut a = Node::start(Plan {
            timing: Timing {
                penance: PATIENCE,
                ..TIMING
            },
            ..bed.plan("a")
        })
        .await;
        let b = bed.node("b").await;
        a.peers.list(&[(b.name.clone(), b.address)].into()).unwrap();
        a.connected().await;
        drop(b);
        for number in 0..=HANDSHAKES_OTHERS {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
            let mut stream = socket.connect(a.address).await.unwrap();
            // The last one may be closed already.
            let _sent = stream.write_all(b"no TLS at all").await;
            let _ended = stream.read_to_end(&mut Vec::new()).await;
            let why = if number < HANDSHAKES_OTHERS {
                "tls"
            } else {
                "full"
            };
            a.until_failed("accept", why).await;
        }
        let failed = u64::try_from(HANDSHAKES_OTHERS).unwrap();
        assert_eq!(
            a.peers.failures(),
            [("accept", "full", 1), ("accept", "tls", failed)]
        );
        // Members are not kept out by that.
        let b = bed.node("b").await;
        b.peers.list(&[(a.name.clone(), a.address)].into()).unwrap();
        assert_eq!(a.connected().await.node(), &b.name);
    });
}

#[test]
fn authorities_of_members_are_not_those_of_the_system() {
    // Whoever has a certificate of a public authority is a stranger: only `ca.crt` counts.
    let bed = Bed::new();
    let alone = Authority::new();
    let material = Material {
        authorities: alone.certificate.as_bytes(),
        ..bed.issued.with(&bed.authority)
    };
    run(async {
        let credentials = Credentials::new(material, &cluster(), &super::bed::node("b")).unwrap();
        let a = bed.node("a").await;
        let failed = attempt(&a, credentials, hello("b")).await;
        assert_eq!(failed.why, FailedFor::Certificate, "{failed}");
    });
}
