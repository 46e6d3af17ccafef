//! EAP between a peer and a server that the owner speaks for.

use lns_wire::ppp::Protocol;

use super::super::Phase;
use super::bench::{Bench, PASSWORD, SUBSCRIBER, Sent, config, seconds};
use crate::{
    AuthMethod, AuthRequest, CloseReason, Config, Credentials, Discard, Error, Event, Verdict,
    limits,
};

fn past_lcp() -> Bench {
    let mut bench = Bench::past_lcp(Config {
        rechallenge: Some(seconds(600)),
        ..config(&[AuthMethod::Eap])
    });
    assert!(matches!(bench.events()[..], [Event::LcpOpened(_)]));
    bench
}

/// The only frame of EAP that was sent.
fn one(bench: &mut Bench) -> Sent {
    let mut sent = bench.sent();
    sent.retain(|sent| sent.protocol == Protocol::EAP);
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn answer(bench: &mut Bench, id: u8, data: &[u8]) -> Result<(), Error> {
    bench.packet(Protocol::EAP, 2, id, data)
}

fn request(bench: &mut Bench) -> AuthRequest {
    let Some(Event::Authenticate(request)) = bench.events().pop() else {
        panic!("no request")
    };
    request
}

/// What goes to the server.
fn message(request: &AuthRequest) -> &[u8] {
    let Credentials::Eap { message } = &request.credentials else {
        panic!("no EAP")
    };
    message.expose()
}

fn go_on(bench: &mut Bench, id: u8, data: &[u8]) {
    bench.verdict(&Verdict::Continue {
        id,
        data: data.into(),
    });
}

#[test]
fn a_conversation_is_relayed_both_ways_and_ends_with_the_verdict() {
    for accepted in [true, false] {
        let mut bench = past_lcp();
        let identity = one(&mut bench);
        assert_eq!((identity.code, &identity.data[..]), (1, &[1][..]));
        answer(&mut bench, identity.id, b"\x01bob").unwrap();
        let first = request(&mut bench);
        assert_eq!(
            (&*first.name, first.method()),
            (&b"bob"[..], AuthMethod::Eap)
        );
        assert!(!first.repeated && !first.proxied);
        assert_eq!(
            message(&first),
            [&[2, identity.id, 0, 8, 1][..], b"bob"].concat()
        );
        go_on(&mut bench, 77, b"\x04challenge");
        let relayed = one(&mut bench);
        assert_eq!((relayed.code, relayed.id), (1, 77));
        assert_eq!(relayed.data, b"\x04challenge");
        answer(&mut bench, 77, b"\x04digest").unwrap();
        let second = request(&mut bench);
        assert_eq!(&*second.name, b"bob", "the name is that of the identity");
        assert_eq!(message(&second), b"\x02\x4d\x00\x0b\x04digest");
        if accepted {
            bench.accept();
        } else {
            bench.reject(b"said to nobody");
        }
        let last = one(&mut bench);
        let code = if accepted { 3 } else { 4 };
        assert_eq!((last.code, last.id, &last.data[..]), (code, 77, &[][..]));
        let event = if accepted {
            Event::AddressWanted { requested: None }
        } else {
            Event::Closing(CloseReason::AuthenticationFailed)
        };
        assert_eq!(bench.events(), [event]);
    }
}

#[test]
fn each_request_is_sent_again_until_it_is_answered_and_not_for_ever() {
    for rounds in [0, 1] {
        let mut bench = past_lcp();
        let mut sent = one(&mut bench);
        if rounds == 1 {
            answer(&mut bench, sent.id, b"\x01bob").unwrap();
            bench.events();
            go_on(&mut bench, 9, b"\x04challenge");
            sent = one(&mut bench);
        }
        for _ in 1..limits::MAX_CHALLENGE {
            bench.advance(limits::AUTH_RESTART);
            assert_eq!(one(&mut bench), sent, "octet for octet");
        }
        bench.advance(limits::AUTH_RESTART);
        assert_eq!(
            bench.events(),
            [Event::Closing(CloseReason::AuthenticationTimeout)]
        );
    }
}

#[test]
fn while_the_server_thinks_nothing_is_sent_and_a_repetition_is_told() {
    let mut bench = past_lcp();
    let identity = one(&mut bench);
    answer(&mut bench, identity.id, b"\x01bob").unwrap();
    bench.events();
    bench.advance(seconds(20));
    assert!(bench.sent().is_empty());
    answer(&mut bench, identity.id, b"\x01bob").unwrap();
    assert_eq!(bench.events(), [Event::Repeated]);
    bench.accept();
    let success = one(&mut bench);
    answer(&mut bench, identity.id, b"\x01bob").unwrap();
    assert_eq!(one(&mut bench), success, "a lost Success comes again");
}

#[test]
fn what_answers_nothing_changes_nothing() {
    let mut bench = past_lcp();
    let id = one(&mut bench).id;
    let phase = |discard| Err(Error::Discarded(discard));
    assert_eq!(
        answer(&mut bench, id.wrapping_add(1), b"\x01bob"),
        phase(Discard::Identifier)
    );
    for code in [1, 3, 4] {
        let sent = bench.packet(Protocol::EAP, code, id, b"\x01bob");
        assert_eq!(sent, phase(Discard::Phase), "code {code}");
    }
    assert!(answer(&mut bench, id, b"").is_err());
    assert!(answer(&mut bench, id, &[&[1][..], &[b'x'; 254]].concat()).is_err());
    assert_eq!((bench.events(), bench.sent()), (vec![], vec![]));
    let chap = bench.packet(Protocol::CHAP, 2, id, b"\x01xbob");
    assert_eq!(chap, phase(Discard::Phase));
    answer(&mut bench, id, b"\x01bob").unwrap();
    assert_eq!(&*request(&mut bench).name, b"bob");
    // What calls itself an identity later is none.
    go_on(&mut bench, 2, b"\x04challenge");
    answer(&mut bench, 2, b"\x01mallory").unwrap();
    assert_eq!(&*request(&mut bench).name, b"bob");
}

#[test]
fn a_conversation_without_end_has_one() {
    let mut bench = past_lcp();
    let mut id = one(&mut bench).id;
    for round in 0..limits::MAX_EAP_ROUNDS {
        answer(&mut bench, id, b"\x01bob").unwrap();
        bench.events();
        go_on(&mut bench, round, b"\x04more");
        id = one(&mut bench).id;
    }
    answer(&mut bench, id, b"\x04enough").unwrap();
    bench.events();
    go_on(&mut bench, 200, b"\x04more");
    assert_eq!(one(&mut bench).code, 4);
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationFailed)]
    );
}

#[test]
fn an_open_peer_is_asked_again_at_the_interval_or_when_its_owner_wants() {
    let mut bench = past_lcp();
    let first = one(&mut bench);
    answer(&mut bench, first.id, b"\x01bob").unwrap();
    bench.events();
    bench.accept();
    bench.sent();
    assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
    assert!(
        bench
            .session
            .ask_again(bench.now, &mut bench.rng, &mut bench.out)
    );
    assert!(
        bench
            .session
            .ask_again(bench.now, &mut bench.rng, &mut bench.out),
        "it is being asked"
    );
    let again = one(&mut bench);
    assert_eq!((again.code, &again.data[..]), (1, &[1][..]));
    assert_ne!(again.id, first.id);
    answer(&mut bench, again.id, b"\x01bob").unwrap();
    assert!(request(&mut bench).repeated);
    assert!(
        bench
            .session
            .ask_again(bench.now, &mut bench.rng, &mut bench.out),
        "it is being judged"
    );
    bench.accept();
    assert_eq!(one(&mut bench).code, 3);
    assert_eq!(
        (bench.events(), bench.session.phase()),
        (vec![], Phase::Network)
    );
}

#[test]
fn nobody_knows_whether_a_peer_that_is_in_is_still_it_so_it_stays_and_is_asked_again() {
    for method in [AuthMethod::Chap, AuthMethod::Eap] {
        let mut bench = Bench::past_lcp(Config {
            rechallenge: Some(seconds(600)),
            ..config(&[method])
        });
        let say = |bench: &mut Bench, id| match method {
            AuthMethod::Eap => answer(bench, id, b"\x01bob"),
            _ => bench.packet(Protocol::CHAP, 2, id, b"\x10sixteen octets!!bob"),
        };
        let respond = |bench: &mut Bench| {
            let asked = bench.sent().pop().unwrap();
            say(bench, asked.id).unwrap();
            bench.events();
            asked.id
        };
        respond(&mut bench);
        bench.accept();
        bench.sent();
        bench.grant(SUBSCRIBER);
        bench.open_ipcp();
        assert!(
            bench
                .session
                .ask_again(bench.now, &mut bench.rng, &mut bench.out)
        );
        let id = respond(&mut bench);
        bench.verdict(&Verdict::Undecided);
        assert_eq!((bench.sent(), bench.events()), (vec![], vec![]));
        // What it said comes again. A server of EAP has ended that conversation; any other is asked anew.
        let again = say(&mut bench, id);
        let events = bench.events();
        if method == AuthMethod::Eap {
            assert_eq!(again, Err(Discard::Repeated.into()));
            assert_eq!(events, []);
        } else {
            assert!(matches!(events[..], [Event::Authenticate(_)]));
            bench.verdict(&Verdict::Undecided);
        }
        bench.advance(seconds(599));
        assert!(bench.sent().is_empty());
        bench.advance(seconds(1));
        assert_ne!(respond(&mut bench), id, "it is another challenge");
        assert_eq!(bench.session.phase(), Phase::Network);
    }
}

#[test]
fn nobody_knows_who_a_new_peer_is_so_it_does_not_come_in() {
    let mut bench = Bench::past_lcp(config(&[AuthMethod::Pap]));
    for _ in 0..limits::MAX_ATTEMPTS {
        let text = [&[3][..], b"bob", &[8], PASSWORD].concat();
        let id = u8::try_from(bench.now.as_millis() / 1000 % 256).unwrap();
        bench.packet(Protocol::PAP, 1, id, &text).unwrap();
        bench.events();
        bench.verdict(&Verdict::Undecided);
        bench.now += seconds(1);
        assert_eq!(bench.sent().remove(0).code, 3);
    }
    bench.advance(seconds(20));
    assert_eq!(bench.closed(), CloseReason::AuthenticationFailed);
}

#[test]
fn who_begins_anew_or_leaves_takes_the_question_back() {
    for leaves in [true, false] {
        let mut bench = past_lcp();
        let identity = one(&mut bench);
        answer(&mut bench, identity.id, b"\x01bob").unwrap();
        bench.events();
        if leaves {
            bench.lcp(5, 1, &[]).unwrap();
        } else {
            bench.lcp(1, 9, &super::bench::magic_option()).unwrap();
        }
        assert_eq!(bench.events()[0], Event::Withdrawn);
        bench.sent();
        bench.accept();
        assert_eq!((bench.events(), bench.sent()), (vec![], vec![]), "too late");
    }
}
