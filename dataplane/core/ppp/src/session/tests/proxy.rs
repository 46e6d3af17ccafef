//! What a LAC has settled, in octets as RFC 2661, 4.4.5 has them: used where it fits, begun anew where
//! it does not.

use lns_crypto::Secret;
use lns_wire::ppp::Protocol;

use super::super::Phase;
use super::bench::{Bench, config, seconds};
use crate::automaton::State;
use crate::{
    AuthMethod, AuthRequest, CloseReason, Config, Credentials, Event, LcpRenegotiation,
    ProxiedAuthentication, Proxy, ProxyAuth, ProxyAuthKind, ProxyLcp,
};

/// MRU 1500, CHAP with MD5, magic 01020304: what the LAC asked of the subscriber.
const SENT_CHAP: &[u8] = b"\x01\x04\x05\xdc\x03\x05\xc2\x23\x05\x05\x06\x01\x02\x03\x04";
/// The same with PAP.
const SENT_PAP: &[u8] = b"\x01\x04\x05\xdc\x03\x04\xc0\x23\x05\x06\x01\x02\x03\x04";
/// MRU 1492, magic a1b2c3d4, PFC, ACFC: what the subscriber asked for.
const RECEIVED: &[u8] = b"\x01\x04\x05\xd4\x05\x06\xa1\xb2\xc3\xd4\x07\x02\x08\x02";

/// "welcome to the line" as a challenge, and what a subscriber with password "tortoise" answers to it
/// under identifier 0x1d: MD5 over 1d, the password, the challenge.
const CHALLENGE: &[u8] = b"welcome to the line";
const RESPONSE: &[u8] = b"\xdf\x32\x4b\x87\x7e\xe3\xb3\xd7\x27\xce\x8e\xa3\xa1\xc9\xf4\x2b";

const ALL: &[AuthMethod] = &[AuthMethod::Chap, AuthMethod::MsChapV2, AuthMethod::Pap];

fn start(
    config: Config,
    sent: &[u8],
    received: &[u8],
    authentication: Option<ProxyAuth<'_>>,
) -> Bench {
    let lcp = Some(ProxyLcp {
        last_sent: sent,
        last_received: received,
    });
    Bench::with_proxy(
        config,
        Some(&Proxy {
            lcp,
            authentication,
        }),
    )
}

const fn chap() -> ProxyAuth<'static> {
    ProxyAuth {
        kind: ProxyAuthKind::Chap,
        name: b"alice",
        challenge: CHALLENGE,
        id: 0x1d,
        response: RESPONSE,
    }
}

const fn pap(kind: ProxyAuthKind) -> ProxyAuth<'static> {
    ProxyAuth {
        kind,
        name: b"alice",
        challenge: b"",
        id: 0x1d,
        response: b"tortoise",
    }
}

fn overheard(bench: &mut Bench) -> Option<AuthRequest> {
    match bench.events().pop() {
        Some(Event::Authenticate(request)) => Some(request),
        _ => None,
    }
}

#[test]
fn a_subscriber_that_begins_a_proxied_lcp_anew_is_asked_as_often_as_any() {
    let mut bench = start(config(ALL), SENT_CHAP, RECEIVED, Some(chap()));
    bench.sent();
    bench.lcp(1, 1, RECEIVED).unwrap();
    let mut requests = 0;
    while !bench.session.phase().label().eq("Dead") {
        requests += bench.sent().iter().filter(|sent| sent.code == 1).count();
        let due = bench.session.poll_timeout().expect("it is not over");
        bench.now = due;
        bench
            .session
            .handle_timeout(bench.now, &mut bench.rng, &mut bench.out);
    }
    assert!(requests > 5, "{requests}");
}

#[test]
fn a_proxied_lcp_that_fits_is_open_at_once_and_nothing_is_sent() {
    let mut bench = start(config(ALL), SENT_CHAP, RECEIVED, Some(chap()));
    assert!(bench.sent().is_empty());
    let Some(Event::LcpOpened(parameters)) = bench.out.events.first() else {
        panic!("not open")
    };
    assert_eq!(parameters.authentication, AuthMethod::Chap);
    assert_eq!(
        (
            parameters.peer_mru,
            parameters.local_mru,
            parameters.proxied
        ),
        (1492, 1500, true)
    );
    let request = overheard(&mut bench).unwrap();
    assert!(request.proxied);
    assert_eq!(&*request.name, b"alice");
    assert!(request.verify(&Secret::new(*b"hare")).is_none());
    assert!(bench.judge(&request, b"tortoise"));
    let success = bench.sent().remove(0);
    assert_eq!(
        (success.protocol, success.code, success.id),
        (Protocol::CHAP, 3, 0x1d)
    );
    assert_eq!(
        success.octets[..2],
        [0xc2, 0x23],
        "the subscriber takes frames without FF03"
    );
    assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
    // Echoes carry the magic number that the LAC chose for us.
    bench.lcp(9, 1, &[0xa1, 0xb2, 0xc3, 0xd4]).unwrap();
    assert_eq!(bench.sent()[0].data, [1, 2, 3, 4]);
}

#[test]
fn a_proxied_password_is_judged_and_answered_with_the_proxied_identifier() {
    for kind in [ProxyAuthKind::Pap, ProxyAuthKind::Text] {
        let mut bench = start(config(ALL), SENT_PAP, RECEIVED, Some(pap(kind)));
        let request = overheard(&mut bench).unwrap();
        assert_eq!(
            request.credentials,
            Credentials::Pap {
                password: Secret::new(*b"tortoise")
            }
        );
        assert!(bench.judge(&request, b"tortoise"));
        let ack = bench.sent().remove(0);
        assert_eq!((ack.protocol, ack.code, ack.id), (Protocol::PAP, 2, 0x1d));
    }
}

#[test]
fn a_wrong_proxied_answer_is_refused_like_any_other() {
    let mut bench = start(config(ALL), SENT_CHAP, RECEIVED, Some(chap()));
    let request = overheard(&mut bench).unwrap();
    assert!(!bench.judge(&request, b"hare"));
    let failure = bench.sent().remove(0);
    assert_eq!((failure.code, failure.id), (4, 0x1d));
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationFailed)]
    );
}

#[test]
fn an_authentication_that_is_ignored_missing_or_of_another_kind_is_asked_for_again() {
    let short = ProxyAuth {
        response: b"short",
        ..chap()
    };
    let empty = ProxyAuth {
        challenge: b"",
        ..chap()
    };
    let name = [b'x'; 254];
    let long = ProxyAuth {
        name: &name,
        ..chap()
    };
    // It fits into a CHAP value and into no attribute of RADIUS.
    let challenge = [b'c'; 254];
    let wide = ProxyAuth {
        challenge: &challenge,
        ..chap()
    };
    let none = ProxyAuth {
        kind: ProxyAuthKind::None,
        ..chap()
    };
    let v1 = ProxyAuth {
        kind: ProxyAuthKind::MsChapV1,
        ..chap()
    };
    let other = ProxyAuth {
        kind: ProxyAuthKind::from(9),
        ..chap()
    };
    let unusable = [
        None,
        Some(short),
        Some(empty),
        Some(long),
        Some(wide),
        Some(none),
        Some(v1),
        Some(other),
    ];
    for authentication in unusable.into_iter().chain([Some(pap(ProxyAuthKind::Pap))]) {
        let mut bench = start(config(ALL), SENT_CHAP, RECEIVED, authentication);
        let challenge = bench.sent().remove(0);
        assert_eq!((challenge.protocol, challenge.code), (Protocol::CHAP, 1));
        assert!(overheard(&mut bench).is_none());
    }
    let ignoring = Config {
        proxied_authentication: ProxiedAuthentication::Ignore,
        ..config(ALL)
    };
    let mut bench = start(ignoring, SENT_CHAP, RECEIVED, Some(chap()));
    assert_eq!(bench.sent()[0].code, 1);
    assert!(overheard(&mut bench).is_none());
}

#[test]
fn no_authentication_fits_only_where_none_is_allowed() {
    let sent = b"\x01\x04\x05\xdc\x05\x06\x01\x02\x03\x04";
    let none = ProxyAuth {
        kind: ProxyAuthKind::None,
        name: b"",
        challenge: b"",
        id: 0,
        response: b"",
    };
    let mut bench = start(
        config(&[AuthMethod::Chap, AuthMethod::None]),
        sent,
        RECEIVED,
        Some(none),
    );
    let request = overheard(&mut bench).unwrap();
    assert_eq!(
        (request.credentials, request.name.len()),
        (Credentials::None, 0)
    );
    assert_eq!(bench.session.phase(), Phase::Authenticate);

    let bench = start(config(ALL), sent, RECEIVED, Some(none));
    assert_eq!(bench.session.lcp_state(), State::ReqSent);
}

#[test]
fn what_does_not_fit_is_negotiated_from_scratch() {
    let only_pap = config(&[AuthMethod::Pap]);
    let misfits: [(Config, &[u8], &[u8]); 9] = [
        // A method that we do not allow, and one that nobody knows.
        (only_pap, SENT_CHAP, RECEIVED),
        (config(ALL), b"\x03\x05\xc2\x23\x80", RECEIVED),
        // Multilink that the LAC agreed to, either way round.
        (
            config(ALL),
            b"\x03\x05\xc2\x23\x05\x11\x04\x05\xdc",
            RECEIVED,
        ),
        (config(ALL), SENT_CHAP, b"\x01\x04\x05\xd4\x11\x04\x05\xdc"),
        // The subscriber had the LAC authenticate itself.
        (config(ALL), SENT_CHAP, b"\x03\x04\xc0\x23"),
        // MRUs that are none.
        (
            config(ALL),
            b"\x01\x04\x00\x20\x03\x05\xc2\x23\x05",
            RECEIVED,
        ),
        (config(ALL), SENT_CHAP, b"\x01\x04\x00\x20"),
        // Lists that are none.
        (config(ALL), b"\x01\x04\x05", RECEIVED),
        (config(ALL), SENT_CHAP, b"\x01\x00"),
    ];
    for (config, sent, received) in misfits {
        let mut bench = start(config, sent, received, Some(chap()));
        assert_eq!(
            bench.session.lcp_state(),
            State::ReqSent,
            "{sent:?} {received:?}"
        );
        assert_eq!(bench.sent()[0].code, 1);
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn an_mru_other_than_ours_is_no_misfit() {
    for mru in [
        [0x05, 0xd4],
        [0x05, 0xdc],
        [0x05, 0x78],
        [0x23, 0x28],
        [0x00, 0x80],
    ] {
        let sent = [&[1, 4][..], &mru, &SENT_CHAP[4..]].concat();
        let received = [&[1, 4][..], &mru].concat();
        let bench = start(config(ALL), &sent, &received, Some(chap()));
        assert_eq!(bench.session.phase(), Phase::Authenticate);
        assert_eq!(bench.session.peer_mru(), u16::from_be_bytes(mru));
    }
}

#[test]
fn empty_requests_are_legal_and_mean_the_defaults() {
    let bench = start(config(&[AuthMethod::None]), b"", b"", None);
    assert_eq!(
        (bench.session.phase(), bench.session.peer_mru()),
        (Phase::Authenticate, 1500)
    );
}

#[test]
fn the_policy_decides_what_happens_to_a_proxied_lcp() {
    let policy = |lcp_renegotiation| Config {
        lcp_renegotiation,
        ..config(&[AuthMethod::Pap])
    };
    let bench = start(
        policy(LcpRenegotiation::Always),
        SENT_PAP,
        RECEIVED,
        Some(pap(ProxyAuthKind::Pap)),
    );
    assert_eq!(bench.session.lcp_state(), State::ReqSent);
    let bench = start(
        policy(LcpRenegotiation::Never),
        SENT_PAP,
        RECEIVED,
        Some(pap(ProxyAuthKind::Pap)),
    );
    assert_eq!(bench.session.lcp_state(), State::Opened);
    let mut bench = start(
        policy(LcpRenegotiation::Never),
        SENT_CHAP,
        RECEIVED,
        Some(chap()),
    );
    assert_eq!(bench.closed(), CloseReason::ProxyMismatch);
    // Where nothing was negotiated, nothing is renegotiated.
    let proxy = Proxy {
        lcp: None,
        authentication: Some(chap()),
    };
    let bench = Bench::with_proxy(policy(LcpRenegotiation::Never), Some(&proxy));
    assert_eq!(bench.session.lcp_state(), State::ReqSent);
}

#[test]
fn a_subscriber_may_renegotiate_what_was_taken_over() {
    let mut bench = start(
        config(ALL),
        SENT_PAP,
        RECEIVED,
        Some(pap(ProxyAuthKind::Pap)),
    );
    bench.events();
    bench.lcp(1, 200, RECEIVED).unwrap();
    let [request, ack] = &bench.sent()[..] else {
        panic!("a request and an Ack")
    };
    assert_eq!((request.code, ack.code), (1, 2));
    assert_eq!(
        request.data[4..9],
        [3, 5, 0xc2, 0x23, 5],
        "our own first choice is asked for"
    );
    bench.lcp(2, request.id, &request.data).unwrap();
    let Some(Event::LcpOpened(parameters)) = bench.events().pop() else {
        panic!("not open")
    };
    assert!(!parameters.proxied);
    assert_eq!(bench.sent()[0].code, 1, "and the subscriber is challenged");
}

#[test]
fn a_taken_over_session_that_goes_no_further_ends() {
    let mut bench = start(config(ALL), SENT_CHAP, RECEIVED, Some(chap()));
    bench.events();
    bench.advance(seconds(60));
    assert_eq!(
        bench.events(),
        [
            Event::Withdrawn,
            Event::Closing(CloseReason::AuthenticationTimeout)
        ]
    );
}
