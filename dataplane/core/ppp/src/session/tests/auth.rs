//! PAP, CHAP and MS-CHAPv2, right and wrong, again and again.

use core::time::Duration;

use lns_crypto::{Secret, chap, mschapv2};
use lns_wire::ppp::{MsChapV2Response, Protocol};

use super::super::Phase;
use super::bench::{Bench, PASSWORD, Sent, config, seconds};
use crate::{
    Acceptance, AuthMethod, AuthRequest, CloseReason, Config, Credentials, Discard, Error, Event,
    Verdict, limits,
};

fn past_lcp(method: AuthMethod) -> Bench {
    let mut bench = Bench::past_lcp(config(&[method]));
    assert!(matches!(bench.events()[..], [Event::LcpOpened(_)]));
    bench
}

fn request(bench: &mut Bench) -> AuthRequest {
    let Some(Event::Authenticate(request)) = bench.events().pop() else {
        panic!("no request")
    };
    request
}

fn pap(bench: &mut Bench, id: u8, name: &[u8], password: &[u8]) -> Result<(), Error> {
    let text = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    bench.packet(Protocol::PAP, 1, id, &[text(name), text(password)].concat())
}

/// The data of a Response to `challenge`, as the RFCs want it.
fn response(method: AuthMethod, challenge: &Sent, name: &[u8], password: &[u8]) -> Vec<u8> {
    assert_eq!(
        (challenge.protocol, challenge.code, challenge.data[0]),
        (Protocol::CHAP, 1, 16)
    );
    let value: [u8; 16] = challenge.data[1..17].try_into().unwrap();
    let secret = Secret::new(password);
    let mut data = Vec::new();
    if method == AuthMethod::MsChapV2 {
        let exchange = mschapv2::Exchange {
            authenticator_challenge: &value,
            peer_challenge: &[9; 16],
            user_name: name,
        };
        data.push(49);
        let nt_response = exchange.nt_response(&secret);
        MsChapV2Response {
            peer_challenge: [9; 16],
            nt_response,
            flags: 0,
        }
        .emit(&mut data);
    } else {
        data.push(16);
        data.extend_from_slice(&chap::response(challenge.id, &secret, &value));
    }
    data.extend_from_slice(name);
    data
}

fn challenge(bench: &mut Bench) -> Sent {
    let sent = bench.sent().pop().unwrap();
    assert_eq!((sent.protocol, sent.code), (Protocol::CHAP, 1));
    sent
}

#[test]
fn a_right_pap_password_is_acknowledged() {
    let mut bench = past_lcp(AuthMethod::Pap);
    assert!(bench.sent().is_empty(), "PAP waits for the peer");
    pap(&mut bench, 5, b"alice", PASSWORD).unwrap();
    let request = request(&mut bench);
    assert_eq!(&*request.name, b"alice");
    assert!(!request.proxied && !request.repeated);
    assert!(bench.judge(&request, PASSWORD));
    let ack = bench.sent().remove(0);
    assert_eq!((ack.protocol, ack.code, ack.id), (Protocol::PAP, 2, 5));
    assert_eq!(ack.data, b"\x07welcome");
    assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
    assert_eq!(bench.session.name(), b"alice");
}

#[test]
fn a_wrong_pap_password_may_be_tried_three_times() {
    let mut bench = past_lcp(AuthMethod::Pap);
    for id in 1..=limits::MAX_ATTEMPTS {
        pap(&mut bench, id, b"alice", b"hare").unwrap();
        let request = request(&mut bench);
        assert!(!bench.judge(&request, PASSWORD));
        let nak = bench.sent().remove(0);
        assert_eq!(
            (nak.code, nak.id, &nak.data[..]),
            (3, id, &b"\x0cno such user"[..])
        );
        if id < limits::MAX_ATTEMPTS {
            bench.advance(seconds(9));
            assert_eq!(bench.events(), []);
        }
    }
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationFailed)]
    );
    bench.advance(seconds(6));
    assert_eq!(bench.closed(), CloseReason::AuthenticationFailed);
}

#[test]
fn a_right_password_after_a_wrong_one_comes_in() {
    let mut bench = past_lcp(AuthMethod::Pap);
    pap(&mut bench, 1, b"alice", b"hare").unwrap();
    let first = request(&mut bench);
    bench.judge(&first, PASSWORD);
    bench.advance(seconds(9));
    pap(&mut bench, 2, b"alice", PASSWORD).unwrap();
    let second = request(&mut bench);
    assert!(bench.judge(&second, PASSWORD));
    bench.advance(seconds(20));
    assert_eq!(bench.session.phase(), Phase::Network);
}

#[test]
fn a_pap_peer_that_gives_up_after_a_nak_failed_to_authenticate() {
    let mut bench = past_lcp(AuthMethod::Pap);
    pap(&mut bench, 1, b"alice", b"hare").unwrap();
    bench.reject(b"");
    bench.lcp(5, 9, &[]).unwrap();
    bench.advance(seconds(3));
    assert_eq!(bench.closed(), CloseReason::AuthenticationFailed);

    let mut bench = past_lcp(AuthMethod::Pap);
    pap(&mut bench, 1, b"alice", b"hare").unwrap();
    bench.reject(b"");
    bench.advance(seconds(10));
    assert!(
        bench
            .events()
            .contains(&Event::Closing(CloseReason::AuthenticationFailed))
    );
}

#[test]
fn a_repeated_pap_request_gets_the_same_answer_again() {
    let mut bench = past_lcp(AuthMethod::Pap);
    pap(&mut bench, 1, b"alice", PASSWORD).unwrap();
    bench.events();
    // Another identifier, as most peers have it: the answer is to the last.
    pap(&mut bench, 2, b"alice", PASSWORD).unwrap();
    assert_eq!(bench.events(), [Event::Repeated]);
    assert_eq!(
        pap(&mut bench, 3, b"mallory", PASSWORD),
        Err(Error::Discarded(Discard::Repeated))
    );
    pap(&mut bench, 1, b"alice", PASSWORD).unwrap();
    assert_eq!(bench.events(), [Event::Repeated]);
    bench.reject(b"no");
    let nak = bench.sent();
    pap(&mut bench, 1, b"alice", PASSWORD).unwrap();
    assert_eq!(bench.sent(), nak);
    assert_eq!(bench.events(), []);
    pap(&mut bench, 2, b"alice", PASSWORD).unwrap();
    bench.accept();
    bench.sent();
    bench.events();
    // A lost Ack: the request comes again, and whatever it says the answer is the one that was given.
    pap(&mut bench, 3, b"mallory", b"guess").unwrap();
    let ack = bench.sent().remove(0);
    assert_eq!((ack.code, ack.id), (2, 3));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.session.name(), b"alice");
}

#[test]
fn right_chap_responses_succeed_and_ours_proves_itself_for_mschapv2() {
    for method in [AuthMethod::Chap, AuthMethod::MsChapV2] {
        let mut bench = past_lcp(method);
        let challenge = challenge(&mut bench);
        assert_eq!(challenge.data[17..], *b"lns");
        let data = response(method, &challenge, b"alice", PASSWORD);
        bench
            .packet(Protocol::CHAP, 2, challenge.id, &data)
            .unwrap();
        let request = request(&mut bench);
        assert_eq!(request.method(), method);
        assert!(bench.judge(&request, PASSWORD));
        let success = bench.sent().remove(0);
        assert_eq!((success.code, success.id), (3, challenge.id));
        if method == AuthMethod::MsChapV2 {
            assert_eq!(success.data.len(), 42 + 3 + 7);
            assert!(success.data.starts_with(b"S=") && success.data.ends_with(b" M=welcome"));
        } else {
            assert_eq!(success.data, b"welcome");
        }
        assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
        // A lost Success: the response comes again and gets it again.
        bench
            .packet(Protocol::CHAP, 2, challenge.id, &data)
            .unwrap();
        assert_eq!(bench.sent(), [success]);
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn a_wrong_chap_response_ends_the_session_with_a_failure() {
    for method in [AuthMethod::Chap, AuthMethod::MsChapV2] {
        let mut bench = past_lcp(method);
        let challenge = challenge(&mut bench);
        let data = response(method, &challenge, b"alice", b"hare");
        bench
            .packet(Protocol::CHAP, 2, challenge.id, &data)
            .unwrap();
        let request = request(&mut bench);
        assert!(!bench.judge(&request, PASSWORD));
        let [failure, terminate] = &bench.sent()[..] else {
            panic!("a Failure and a Terminate-Request")
        };
        assert_eq!(
            (failure.code, failure.id, terminate.code),
            (4, challenge.id, 5)
        );
        if method == AuthMethod::MsChapV2 {
            let text = String::from_utf8(failure.data.clone()).unwrap();
            let rest = text.strip_prefix("E=691 R=0 C=").unwrap();
            assert!(rest[..32].bytes().all(|digit| digit.is_ascii_hexdigit()));
            assert_eq!(&rest[32..], " V=3 M=no such user");
        } else {
            assert_eq!(failure.data, b"no such user");
        }
        assert_eq!(
            bench.events(),
            [Event::Closing(CloseReason::AuthenticationFailed)]
        );
    }
}

#[test]
fn a_challenge_without_an_answer_is_repeated_every_three_seconds_ten_times() {
    let mut bench = past_lcp(AuthMethod::Chap);
    let first = challenge(&mut bench);
    for _ in 1..limits::MAX_CHALLENGE {
        bench.advance(Duration::from_millis(2_999));
        assert!(bench.sent().is_empty());
        bench.advance(Duration::from_millis(1));
        assert_eq!(bench.sent(), core::slice::from_ref(&first));
    }
    bench.advance(seconds(3));
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationTimeout)]
    );
}

#[test]
fn a_pap_peer_that_says_nothing_is_given_up_after_a_minute() {
    let mut bench = past_lcp(AuthMethod::Pap);
    bench.advance(seconds(59));
    assert_eq!(bench.events(), []);
    bench.advance(seconds(1));
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationTimeout)]
    );
}

#[test]
fn responses_to_other_challenges_and_of_other_sizes_are_discarded() {
    let mut bench = past_lcp(AuthMethod::Chap);
    let challenge = challenge(&mut bench);
    let data = response(AuthMethod::Chap, &challenge, b"alice", PASSWORD);
    let stale = challenge.id.wrapping_sub(1);
    assert_eq!(
        bench.packet(Protocol::CHAP, 2, stale, &data),
        Err(Error::Discarded(Discard::Identifier))
    );
    for wrong in [&data[1..], &[0], &[], &[49], &[15; 16], &[200, 1]] {
        let result = bench.packet(Protocol::CHAP, 2, challenge.id, wrong);
        assert!(matches!(result, Err(Error::Malformed(_))), "{wrong:?}");
    }
    for code in [1, 3, 4] {
        let result = bench.packet(Protocol::CHAP, code, challenge.id, &data);
        assert_eq!(result, Err(Error::Discarded(Discard::Phase)));
    }
    assert!(matches!(
        bench.packet(Protocol::CHAP, 5, challenge.id, &data),
        Err(Error::Malformed(_))
    ));
    assert_eq!(
        pap(&mut bench, 1, b"alice", PASSWORD),
        Err(Error::Discarded(Discard::Phase))
    );
    assert_eq!(bench.events(), []);
    assert!(bench.sent().is_empty());
    // Nothing of it was in the way of the right one.
    bench
        .packet(Protocol::CHAP, 2, challenge.id, &data)
        .unwrap();
    let request = request(&mut bench);
    assert!(bench.judge(&request, PASSWORD));
}

#[test]
fn empty_names_and_passwords_are_passed_on_and_names_past_253_octets_are_not() {
    let mut bench = past_lcp(AuthMethod::Pap);
    assert!(matches!(
        pap(&mut bench, 1, &[b'x'; 254], b""),
        Err(Error::Malformed(_))
    ));
    assert_eq!(bench.events(), []);
    pap(&mut bench, 1, b"", b"").unwrap();
    let request = request(&mut bench);
    assert_eq!(request.name.len(), 0);
    assert_eq!(
        request.credentials,
        Credentials::Pap {
            password: Secret::new(*b"")
        }
    );
    assert!(bench.judge(&request, b""));

    let mut bench = past_lcp(AuthMethod::Chap);
    let challenge = challenge(&mut bench);
    let long = response(AuthMethod::Chap, &challenge, &[b'x'; 254], b"");
    assert!(matches!(
        bench.packet(Protocol::CHAP, 2, challenge.id, &long),
        Err(Error::Malformed(_))
    ));
    let data = response(AuthMethod::Chap, &challenge, &[b'x'; 253], b"");
    bench
        .packet(Protocol::CHAP, 2, challenge.id, &data)
        .unwrap();
    let request = super::auth::request(&mut bench);
    assert!(bench.judge(&request, b""));
}

#[test]
fn an_open_chap_session_is_challenged_again_and_stays_open() {
    for method in [AuthMethod::Chap, AuthMethod::MsChapV2] {
        let mut bench = Bench::past_lcp(Config {
            rechallenge: Some(seconds(600)),
            ..config(&[method])
        });
        let mut last = challenge(&mut bench);
        for round in 0..3 {
            let data = response(method, &last, b"alice", PASSWORD);
            bench.packet(Protocol::CHAP, 2, last.id, &data).unwrap();
            let request = request(&mut bench);
            assert_eq!(request.repeated, round > 0);
            assert!(bench.judge(&request, PASSWORD));
            if round == 0 {
                bench.events();
                bench.grant(super::bench::SUBSCRIBER);
                bench.open_ipcp();
            }
            bench.sent();
            bench.advance(seconds(600));
            assert_eq!(
                bench.events(),
                [],
                "no word of a re-challenge reaches the network"
            );
            let next = challenge(&mut bench);
            assert_eq!(next.id, last.id.wrapping_add(1));
            assert_ne!(next.data, last.data);
            // The answer to the old one is worth nothing now.
            assert!(bench.packet(Protocol::CHAP, 2, last.id, &data).is_err());
            last = next;
        }
        assert_eq!(bench.session.phase(), Phase::Network);
    }
}

#[test]
fn a_re_challenge_that_fails_or_is_not_answered_ends_the_session() {
    for answers in [true, false] {
        let mut bench = Bench::past_lcp(Config {
            rechallenge: Some(seconds(600)),
            ..config(&[AuthMethod::Chap])
        });
        let first = challenge(&mut bench);
        let data = response(AuthMethod::Chap, &first, b"alice", PASSWORD);
        bench.packet(Protocol::CHAP, 2, first.id, &data).unwrap();
        bench.accept();
        bench.events();
        bench.grant(super::bench::SUBSCRIBER);
        bench.open_ipcp();
        bench.advance(seconds(600));
        if answers {
            let second = challenge(&mut bench);
            let data = response(AuthMethod::Chap, &second, b"alice", b"hare");
            bench.packet(Protocol::CHAP, 2, second.id, &data).unwrap();
            let request = request(&mut bench);
            bench.judge(&request, PASSWORD);
            assert_eq!(bench.sent()[0].code, 4);
        } else {
            bench.advance(seconds(30));
        }
        let reason = if answers {
            CloseReason::AuthenticationFailed
        } else {
            CloseReason::AuthenticationTimeout
        };
        assert_eq!(bench.events(), [Event::NetworkDown, Event::Closing(reason)]);
    }
}

#[test]
fn a_verdict_that_nobody_waits_for_changes_nothing() {
    let mut bench = past_lcp(AuthMethod::Pap);
    bench.accept();
    bench.reject(b"");
    assert_eq!(bench.events(), []);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.session.phase(), Phase::Authenticate);
}

#[test]
fn long_texts_are_cut_to_what_a_packet_carries() {
    for (method, len) in [(AuthMethod::Pap, 256), (AuthMethod::Chap, 255)] {
        let mut bench = past_lcp(method);
        if method == AuthMethod::Pap {
            pap(&mut bench, 1, b"a", b"b").unwrap();
        } else {
            let challenge = challenge(&mut bench);
            let data = response(method, &challenge, b"a", b"b");
            bench
                .packet(Protocol::CHAP, 2, challenge.id, &data)
                .unwrap();
        }
        bench.verdict(&Verdict::Accept {
            acceptance: Acceptance::default(),
            message: vec![b'x'; 999].into(),
        });
        assert_eq!(bench.sent()[0].data.len(), len);
    }
}

#[test]
fn a_protocol_reject_of_the_agreed_method_ends_the_session() {
    let mut bench = past_lcp(AuthMethod::Chap);
    bench.lcp(8, 1, &[0xc0, 0x23, 1, 1, 0, 4]).unwrap();
    assert_eq!(bench.session.phase(), Phase::Authenticate);
    bench.lcp(8, 1, &[0xc2, 0x23, 1, 1, 0, 4]).unwrap();
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationRefused)]
    );
}

#[test]
fn network_protocols_are_discarded_until_the_peer_is_known() {
    let mut bench = past_lcp(AuthMethod::Chap);
    bench.sent();
    for protocol in [
        Protocol::IPCP,
        Protocol::CCP,
        Protocol::IPV4,
        Protocol::IPV6CP,
    ] {
        let result = bench.packet(protocol, 1, 1, &[]);
        assert_eq!(result, Err(Error::Discarded(Discard::Phase)));
    }
    assert!(bench.sent().is_empty());
}

#[test]
fn no_credentials_are_never_right() {
    let mut bench = past_lcp(AuthMethod::Pap);
    pap(&mut bench, 1, b"alice", PASSWORD).unwrap();
    let request = AuthRequest {
        credentials: Credentials::None,
        ..request(&mut bench)
    };
    assert_eq!(request.verify(&Secret::new(*b"")), None);
}
