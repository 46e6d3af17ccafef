//! LCP: what is asked, what is taken, what ends it.

use core::time::Duration;

use lns_wire::ppp::Protocol;

use super::super::Phase;
use super::bench::{Bench, MAGIC, config, frame, magic_option, seconds};
use crate::automaton::State;
use crate::{AuthMethod, CloseReason, Config, Discard, Error, Event, limits};

const NO_AUTH: &[AuthMethod] = &[AuthMethod::None];

/// A session in each state that LCP can have under a session that lives.
fn in_each_state(mut each: impl FnMut(State, Bench)) {
    let fresh = || Bench::new(config(NO_AUTH));
    let mut bench = fresh();
    bench.sent();
    each(State::ReqSent, bench);

    let mut bench = fresh();
    let request = bench.sent().remove(0);
    bench.lcp(2, request.id, &request.data).unwrap();
    each(State::AckRcvd, bench);

    let mut bench = fresh();
    bench.lcp(1, 1, &[]).unwrap();
    bench.sent();
    each(State::AckSent, bench);

    let mut bench = Bench::past_lcp(config(NO_AUTH));
    bench.events();
    each(State::Opened, bench);

    let mut bench = Bench::past_lcp(config(NO_AUTH));
    bench
        .session
        .close(CloseReason::Requested, bench.now, &mut bench.out);
    bench.sent();
    bench.events();
    each(State::Closing, bench);

    let mut bench = Bench::past_lcp(config(NO_AUTH));
    bench.lcp(7, 1, &[1, 1, 0, 4]).unwrap();
    bench.sent();
    bench.events();
    each(State::Stopping, bench);
}

#[test]
fn the_first_request_asks_for_mru_authentication_and_magic_in_the_long_form() {
    let mut bench = Bench::new(config(&[AuthMethod::Chap]));
    let [request] = &bench.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(request.octets[..4], [0xff, 0x03, 0xc0, 0x21]);
    assert_eq!(request.data[..9], [1, 4, 0x05, 0xd4, 3, 5, 0xc2, 0x23, 5]);
    assert_eq!(request.data[9..11], [5, 6]);
    assert_ne!(request.data[11..15], [0; 4]);
    assert_eq!(request.data.len(), 15);
}

#[test]
fn a_silent_line_gets_the_first_request_again_after_100_ms_and_then_every_3_s() {
    let mut bench = Bench::new(config(NO_AUTH));
    let first = bench.sent().remove(0);
    bench.advance(Duration::from_millis(99));
    assert!(bench.sent().is_empty());
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.sent(), core::slice::from_ref(&first));
    bench.advance(Duration::from_millis(2_999));
    assert!(bench.sent().is_empty());
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.sent(), core::slice::from_ref(&first));
    // Ten in all, the early repetition not counted.
    bench.advance(seconds(24));
    assert_eq!(bench.sent().len(), 8);
    assert_eq!(bench.events(), []);
    bench.advance(seconds(3));
    assert_eq!(bench.closed(), CloseReason::LcpTimeout);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_line_that_answers_is_not_hurried() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    bench.advance(Duration::from_millis(50));
    bench.lcp(1, 1, &magic_option()).unwrap();
    assert_eq!(bench.sent().len(), 1);
    bench.advance(Duration::from_millis(2_999));
    assert!(bench.sent().is_empty());
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_legal_request_is_acknowledged_as_it_came() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    // MRU 1480, ACCM 000a0000, magic, PFC, ACFC.
    let options = [
        &[1, 4, 0x05, 0xc8, 2, 6, 0, 0x0a, 0, 0][..],
        &magic_option(),
        &[7, 2, 8, 2],
    ]
    .concat();
    bench.lcp(1, 9, &options).unwrap();
    let ack = bench.sent().remove(0);
    assert_eq!((ack.code, ack.id, ack.data), (2, 9, options));
    assert_eq!(bench.session.peer_mru(), 1480);
}

#[test]
fn illegal_values_and_wrong_lengths_get_a_nak_that_shows_better_ones() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    bench.lcp(1, 1, &[1, 4, 0, 64]).unwrap();
    bench
        .lcp(1, 2, &[1, 3, 5, 2, 3, 0, 7, 3, 0, 8, 4, 0, 0])
        .unwrap();
    bench.lcp(1, 3, &[5, 6, 0, 0, 0, 0]).unwrap();
    let naks = bench.sent();
    assert!(naks.iter().all(|nak| nak.code == 3));
    assert_eq!(naks[0].data, [1, 4, 0, 128]);
    assert_eq!(
        naks[1].data,
        [1, 4, 0x05, 0xdc, 2, 6, 0, 0, 0, 0, 7, 2, 8, 2]
    );
    assert_eq!(naks[2].data[..2], [5, 6]);
    assert_ne!(naks[2].data[2..], [0; 4]);
}

#[test]
fn what_is_nakked_too_often_is_rejected() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    for id in 0..limits::MAX_FAILURE {
        bench.lcp(1, id, &[1, 4, 0, 64]).unwrap();
        assert_eq!(bench.sent()[0].code, 3);
    }
    bench.lcp(1, 99, &[1, 4, 0, 64]).unwrap();
    let reject = bench.sent().remove(0);
    assert_eq!((reject.code, reject.data), (4, vec![1, 4, 0, 64]));
}

#[test]
fn what_a_subscriber_may_not_ask_for_is_rejected_and_nothing_else() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    // Authentication of us, quality, callback, MRRU, short sequence numbers, endpoint.
    let refused: [&[u8]; 7] = [
        &[3, 4, 0xc0, 0x23],
        &[3, 5, 0xc2, 0x23, 5],
        &[4, 8, 0xc0, 0x25, 0, 0, 0, 10],
        &[13, 3, 0],
        &[17, 4, 0x05, 0xdc],
        &[18, 2],
        &[19, 9, 3, 1, 2, 3, 4, 5, 6],
    ];
    for option in refused {
        let options = [&magic_option()[..], option, &[1, 4, 0, 64]].concat();
        bench.lcp(1, 5, &options).unwrap();
        let reject = bench.sent().remove(0);
        assert_eq!((reject.code, reject.id, &reject.data[..]), (4, 5, option));
    }
}

#[test]
fn all_unknown_options_go_into_one_bounded_reject() {
    let mut bench = Bench::new(config(NO_AUTH));
    bench.sent();
    let known = [1, 2, 5, 7, 8];
    let options: Vec<u8> = (0..=255)
        .filter(|kind| !known.contains(kind))
        .flat_map(|kind| [kind, 2])
        .collect();
    bench.lcp(1, 1, &options).unwrap();
    let [reject] = &bench.sent()[..] else {
        panic!("one answer")
    };
    assert_eq!((reject.code, &reject.data), (4, &options));

    // More than a peer must take is cut between two options.
    let long: Vec<u8> = (0..200)
        .flat_map(|_| [[99, 11].as_slice(), &[0; 9]].concat())
        .collect();
    bench.lcp(1, 2, &long).unwrap();
    let [reject] = &bench.sent()[..] else {
        panic!("one answer")
    };
    assert_eq!(reject.data.len(), (1500 - 4) / 11 * 11);
    assert_eq!(reject.data[..], long[..reject.data.len()]);
}

#[test]
fn a_nak_of_the_method_falls_back_to_what_is_suggested_or_else_next() {
    let methods = [AuthMethod::Chap, AuthMethod::MsChapV2, AuthMethod::Pap];
    let pap: &[u8] = &[3, 4, 0xc0, 0x23];
    let ms_chap_v1: &[u8] = &[3, 5, 0xc2, 0x23, 0x80];
    for (nak, next) in [(pap, AuthMethod::Pap), (ms_chap_v1, AuthMethod::MsChapV2)] {
        let mut bench = Bench::new(config(&methods));
        let request = bench.sent().remove(0);
        bench.lcp(3, request.id, nak).unwrap();
        assert_eq!(bench.session.authentication(), next);
        let again = bench.sent().remove(0);
        assert_eq!((again.code, again.id), (1, request.id.wrapping_add(1)));
        assert_ne!(again.data, request.data);
    }
}

#[test]
fn a_method_that_was_refused_is_not_asked_for_again() {
    let mut bench = Bench::new(config(&[AuthMethod::Chap, AuthMethod::Pap]));
    let request = bench.sent().remove(0);
    bench.lcp(3, request.id, &[3, 4, 0xc0, 0x23]).unwrap();
    let request = bench.sent().remove(0);
    bench.lcp(3, request.id, &[3, 5, 0xc2, 0x23, 5]).unwrap();
    assert_eq!(bench.sent()[0].code, 5, "a Terminate-Request");
    assert_eq!(
        bench.events(),
        [Event::Closing(CloseReason::AuthenticationRefused)]
    );
    bench.advance(seconds(6));
    assert_eq!(bench.closed(), CloseReason::AuthenticationRefused);
}

#[test]
fn a_peer_that_rejects_authentication_stays_out_unless_none_is_allowed() {
    for (methods, ends) in [
        (&[AuthMethod::Chap, AuthMethod::Pap][..], true),
        (&[AuthMethod::Chap, AuthMethod::None][..], false),
    ] {
        let mut bench = Bench::new(config(methods));
        let request = bench.sent().remove(0);
        bench.lcp(4, request.id, &request.data[4..9]).unwrap();
        assert_eq!(bench.session.phase() == Phase::Terminate, ends);
        assert_eq!(bench.sent()[0].code, if ends { 5 } else { 1 });
    }
}

#[test]
fn a_smaller_mru_is_followed_and_a_larger_one_is_not() {
    let mut bench = Bench::new(config(NO_AUTH));
    let request = bench.sent().remove(0);
    bench.lcp(3, request.id, &[1, 4, 0x05, 0x78]).unwrap();
    let request = bench.sent().remove(0);
    assert_eq!(request.data[..4], [1, 4, 0x05, 0x78]);
    let mut id = request.id;
    for _ in 1..limits::MAX_FAILURE {
        bench.lcp(3, id, &[1, 4, 0x05, 0xdc]).unwrap();
        let request = bench.sent().remove(0);
        assert_eq!(request.data[..4], [1, 4, 0x05, 0x78]);
        id = request.id;
    }
    bench.lcp(3, id, &[1, 4, 0x05, 0xdc]).unwrap();
    assert_eq!(
        bench.sent()[0].data[..2],
        [5, 6],
        "it is not asked any more"
    );
}

#[test]
fn rejected_options_are_left_out_and_forged_rejects_are_discarded() {
    let mut bench = Bench::new(config(NO_AUTH));
    let request = bench.sent().remove(0);
    let forged: [&[u8]; 3] = [&[], &[7, 2], &[1, 4, 0, 1]];
    for data in forged {
        assert_eq!(
            bench.lcp(4, request.id, data),
            Err(Error::Discarded(Discard::Mismatch))
        );
    }
    bench.lcp(4, request.id, &request.data).unwrap();
    assert_eq!(bench.sent()[0].data, []);
}

#[test]
fn answers_to_anything_but_the_last_request_are_discarded() {
    let mut bench = Bench::new(config(NO_AUTH));
    let request = bench.sent().remove(0);
    let stale = request.id.wrapping_sub(1);
    for code in 2..=4 {
        assert_eq!(
            bench.lcp(code, stale, &request.data),
            Err(Error::Discarded(Discard::Identifier))
        );
    }
    let mut other = request.data.clone();
    other[3] ^= 1;
    assert_eq!(
        bench.lcp(2, request.id, &other),
        Err(Error::Discarded(Discard::Mismatch))
    );
    assert_eq!(bench.session.lcp_state(), State::ReqSent);
    bench.lcp(2, request.id, &request.data).unwrap();
    assert_eq!(bench.session.lcp_state(), State::AckRcvd);
    // The same again, doubled on the way, undoes nothing.
    assert_eq!(
        bench.lcp(2, request.id, &request.data),
        Err(Error::Discarded(Discard::Identifier))
    );
    assert_eq!(bench.session.lcp_state(), State::AckRcvd);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_looped_line_is_noticed_and_ended() {
    let mut bench = Bench::new(config(&[AuthMethod::Chap]));
    for _ in 0..200 {
        let frames: Vec<Vec<u8>> = bench.sent().into_iter().map(|sent| sent.octets).collect();
        if frames.is_empty() {
            bench.advance(seconds(1));
        }
        for frame in frames {
            let _: Result<(), Error> = bench.frame(&frame);
        }
        if bench.session.phase() == Phase::Dead {
            break;
        }
    }
    assert_eq!(bench.closed(), CloseReason::LoopedBack);
}

#[test]
fn one_equal_magic_number_is_a_coincidence() {
    let mut bench = Bench::new(config(NO_AUTH));
    let request = bench.sent().remove(0);
    let ours = &request.data[4..10];
    bench.lcp(1, 1, ours).unwrap();
    let nak = bench.sent().remove(0);
    assert_eq!((nak.code, &nak.data[..2]), (3, &[5, 6][..]));
    assert_ne!(&nak.data[..], ours);
    bench.lcp(1, 2, &nak.data).unwrap();
    assert_eq!(bench.sent()[0].code, 2);
}

#[test]
fn echo_requests_are_answered_in_opened_with_our_magic_number() {
    let mut bench = Bench::new(config(NO_AUTH));
    let request = bench.sent().remove(0);
    let ours = request.data[6..10].to_vec();
    let ping = [&MAGIC[..], b"ping"].concat();
    assert_eq!(
        bench.lcp(9, 3, &ping),
        Err(Error::Discarded(Discard::Phase))
    );
    bench.lcp(1, 1, &magic_option()).unwrap();
    bench.lcp(2, request.id, &request.data).unwrap();
    bench.sent();
    bench.lcp(9, 3, &ping).unwrap();
    let reply = bench.sent().remove(0);
    assert_eq!((reply.code, reply.id), (10, 3));
    assert_eq!(reply.data, [&ours[..], b"ping"].concat());
    // Our own request coming back is no request.
    let looped = [&ours[..], b"ping"].concat();
    assert_eq!(
        bench.lcp(9, 3, &looped),
        Err(Error::Discarded(Discard::Loop))
    );
    assert!(bench.sent().is_empty());
    // Neither is one without a magic number.
    assert!(matches!(
        bench.lcp(9, 3, &[1, 2, 3]),
        Err(Error::Malformed(_))
    ));
}

#[test]
fn discard_requests_identification_and_time_remaining_are_ignored() {
    in_each_state(|state, mut bench| {
        for code in 11..=13 {
            bench.lcp(code, 1, &MAGIC).unwrap();
        }
        assert!(bench.sent().is_empty());
        assert_eq!(bench.session.lcp_state(), state);
    });
}

#[test]
fn an_unknown_code_is_rejected_in_each_state() {
    in_each_state(|state, mut bench| {
        for code in [0, 14, 15, 255] {
            bench.lcp(code, 77, &[0; 2000]).unwrap();
            let reject = bench.sent().remove(0);
            assert_eq!(
                (reject.code, reject.data.len()),
                (7, 1496),
                "cut to what the peer takes"
            );
            assert_eq!(reject.data[..4], [code, 77, 0x07, 0xd4]);
        }
        assert_eq!(bench.session.lcp_state(), state);
    });
}

#[test]
fn a_code_reject_of_what_lcp_cannot_do_without_ends_it_in_each_state() {
    for code in 0..=20 {
        in_each_state(|state, mut bench| {
            bench.lcp(7, 1, &[code, 1, 0, 4]).unwrap();
            let after = bench.session.lcp_state();
            match (state, (1..=7).contains(&code)) {
                (_, false) if state == State::AckRcvd => assert_eq!(after, State::ReqSent),
                (_, false) => assert_eq!(after, state),
                (State::Opened, true) => {
                    assert_eq!(after, State::Stopping);
                    assert_eq!(bench.sent()[0].code, 5);
                    let closing = Event::Closing(CloseReason::LcpRejected);
                    assert_eq!(bench.events(), [Event::Withdrawn, closing]);
                    bench.advance(seconds(6));
                    assert_eq!(bench.closed(), CloseReason::LcpRejected);
                }
                (State::Closing, true) => assert_eq!(bench.closed(), CloseReason::Requested),
                (_, true) => assert_eq!(bench.closed(), CloseReason::LcpRejected),
            }
        });
    }
}

#[test]
fn an_empty_code_reject_is_malformed() {
    in_each_state(|state, mut bench| {
        assert!(matches!(bench.lcp(7, 1, &[]), Err(Error::Malformed(_))));
        assert_eq!(bench.session.lcp_state(), state);
    });
}

#[test]
fn a_protocol_reject_of_lcp_ends_it_in_each_state() {
    in_each_state(|state, mut bench| {
        bench.lcp(8, 1, &[0xc0, 0x21, 1, 1, 0, 4]).unwrap();
        if state == State::Opened {
            assert_eq!(bench.session.lcp_state(), State::Stopping);
            bench.advance(seconds(6));
        }
        let expected = if state == State::Closing {
            CloseReason::Requested
        } else {
            CloseReason::LcpRejected
        };
        assert_eq!(bench.closed(), expected);
    });
}

#[test]
fn a_protocol_reject_of_anything_else_harms_nothing() {
    in_each_state(|state, mut bench| {
        let result = bench.lcp(8, 1, &[0x80, 0xfd, 1, 1, 0, 4]);
        if state == State::Opened {
            result.unwrap();
        } else {
            assert_eq!(result, Err(Error::Discarded(Discard::Phase)));
        }
        assert!(matches!(bench.lcp(8, 1, &[0x80]), Err(Error::Malformed(_))));
        assert_eq!(bench.session.lcp_state(), state);
        assert!(bench.sent().is_empty());
    });
}

#[test]
fn a_terminate_request_is_acknowledged_in_each_state_and_ends_what_is_open() {
    in_each_state(|state, mut bench| {
        bench.lcp(5, 42, b"bye").unwrap();
        let ack = bench.sent().remove(0);
        assert_eq!((ack.code, ack.id, ack.data), (6, 42, vec![]));
        let (after, closing) = match state {
            // Nothing was open, so nothing ends: negotiation goes on (RFC 1661, 4.1).
            State::ReqSent | State::AckRcvd | State::AckSent => (State::ReqSent, vec![]),
            State::Opened => (
                State::Stopping,
                vec![
                    Event::Withdrawn,
                    Event::Closing(CloseReason::PeerTerminated),
                ],
            ),
            _ => (state, vec![]),
        };
        assert_eq!(bench.session.lcp_state(), after);
        assert_eq!(bench.events(), closing);
    });
}

#[test]
fn who_asks_for_the_end_loses_its_line_one_restart_time_later_and_no_sooner() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench.lcp(5, 42, b"bye").unwrap();
    assert_eq!(
        bench.events(),
        [
            Event::NetworkDown,
            Event::Closing(CloseReason::PeerTerminated)
        ]
    );
    bench.sent();
    bench.advance(Duration::from_millis(2_990));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.session.phase(), Phase::Terminate);
    // It may ask again, if the Ack was lost.
    bench.lcp(5, 43, b"bye").unwrap();
    assert_eq!(bench.sent().remove(0).code, 6);
    bench.advance(seconds(3));
    assert_eq!(bench.closed(), CloseReason::PeerTerminated);
    assert!(bench.sent().is_empty());
}

#[test]
fn our_own_end_asks_twice_and_waits_for_the_answer() {
    let mut bench = Bench::past_lcp(config(NO_AUTH));
    bench.events();
    bench
        .session
        .close(CloseReason::Requested, bench.now, &mut bench.out);
    let request = bench.sent().remove(0);
    assert_eq!(request.code, 5);
    assert_eq!(bench.events(), [Event::Withdrawn], "nobody had judged it");
    bench.advance(seconds(3));
    let again = bench.sent().remove(0);
    assert_eq!(again.code, 5);
    bench.lcp(6, again.id, &[]).unwrap();
    assert_eq!(bench.closed(), CloseReason::Requested);

    let mut bench = Bench::past_lcp(config(NO_AUTH));
    bench
        .session
        .close(CloseReason::Requested, bench.now, &mut bench.out);
    bench.advance(seconds(6));
    assert_eq!(bench.sent().len(), 2);
    assert_eq!(bench.closed(), CloseReason::Requested);
}

#[test]
fn an_end_right_after_the_beginning_is_asked_for_again_and_nothing_else_is() {
    let mut bench = Bench::new(config(NO_AUTH));
    let close = |bench: &mut Bench| {
        bench
            .session
            .close(CloseReason::Requested, bench.now, &mut bench.out);
    };
    close(&mut bench);
    bench.advance(seconds(6));
    let codes: Vec<u8> = bench.sent().iter().map(|sent| sent.code).collect();
    assert_eq!(codes, [1, 5, 5]);
    assert_eq!(bench.closed(), CloseReason::Requested);
}

#[test]
fn a_request_in_opened_takes_everything_down_and_starts_over() {
    let mut bench = Bench::open(config(NO_AUTH));
    bench
        .lcp(1, 50, &[&magic_option()[..], &[1, 4, 0x05, 0x00]].concat())
        .unwrap();
    assert_eq!(bench.events(), [Event::NetworkDown]);
    assert_eq!(bench.session.phase(), Phase::Establish);
    let [request, ack] = &bench.sent()[..] else {
        panic!("a request and an Ack")
    };
    assert_eq!((request.code, ack.code), (1, 2));
    bench.lcp(2, request.id, &request.data).unwrap();
    let [Event::LcpOpened(parameters), Event::Authenticate(_)] = &bench.events()[..] else {
        panic!("opened")
    };
    assert_eq!(parameters.peer_mru, 1280);
    bench.accept();
    assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
    bench.grant(super::bench::SUBSCRIBER);
    assert_eq!(bench.open_ipcp().mru, 1280);
}

#[test]
fn a_peer_that_naks_without_end_is_given_up_after_twenty() {
    let mut bench = Bench::new(config(&[AuthMethod::Chap]));
    let mut rounds = 0;
    while let Some(request) = bench.sent().into_iter().find(|sent| sent.code == 1) {
        bench.lcp(3, request.id, &magic_option()).unwrap();
        rounds += 1;
        assert!(rounds <= 21, "it goes on for ever");
    }
    assert_eq!(rounds, 21);
    assert_eq!(bench.events(), [Event::Closing(CloseReason::LcpTimeout)]);
}

#[test]
fn a_peer_that_never_agrees_is_given_up_after_a_minute() {
    let mut bench = Bench::new(config(NO_AUTH));
    let mut request = bench.sent().remove(0);
    for _ in 0..70 {
        if bench.session.phase() == Phase::Dead || bench.session.phase() == Phase::Terminate {
            break;
        }
        // The identifier is right each time, so the tries begin anew each time; and they are too far
        // apart to be counted.
        bench.lcp(3, request.id, &magic_option()).unwrap();
        bench.advance(seconds(4));
        request = bench.sent().remove(0);
    }
    assert_eq!(bench.events(), [Event::Closing(CloseReason::LcpTimeout)]);
}

#[test]
fn before_lcp_is_open_everything_else_is_discarded() {
    let mut bench = Bench::new(config(&[AuthMethod::Pap]));
    bench.sent();
    for protocol in [
        Protocol::PAP,
        Protocol::CHAP,
        Protocol::IPCP,
        Protocol::CCP,
        Protocol::IPV4,
        Protocol(0xc0de | 1),
    ] {
        assert_eq!(
            bench.packet(protocol, 1, 1, &[0, 0]),
            Err(Error::Discarded(Discard::Phase))
        );
    }
    assert!(bench.sent().is_empty());
}

#[test]
fn lcp_is_understood_in_every_framing() {
    let long = frame(Protocol::LCP, 1, 1, &magic_option());
    for octets in [&long[..], &long[2..]] {
        let mut bench = Bench::new(config(NO_AUTH));
        bench.sent();
        bench.frame(octets).unwrap();
        assert_eq!(bench.sent()[0].code, 2);
    }
}

#[test]
fn the_peers_compression_is_used_for_everything_but_lcp() {
    let mut bench = Bench::new(config(&[AuthMethod::Chap]));
    let request = bench.sent().remove(0);
    bench.lcp(1, 1, &[7, 2, 8, 2]).unwrap();
    bench.lcp(2, request.id, &request.data).unwrap();
    let challenge = bench.sent().pop().unwrap();
    assert_eq!(
        challenge.octets[..2],
        [0xc2, 0x23],
        "no FF03, and CHAP's number has two octets"
    );
    bench
        .session
        .close(CloseReason::Requested, bench.now, &mut bench.out);
    assert_eq!(bench.sent()[0].octets[..4], [0xff, 0x03, 0xc0, 0x21]);
}

#[test]
fn echoes_are_sent_into_silence_and_end_it() {
    let mut bench = Bench::open(Config {
        echo: Config::default().echo,
        ..config(NO_AUTH)
    });
    let opened = bench.now;
    bench.advance(seconds(30));
    assert_eq!(bench.events(), [Event::EchoDue]);
    // The datapath heard something ten seconds ago: the next question is twenty seconds away.
    let heard = lns_tables::time::Instant::from_nanos(opened.as_nanos() + 20_000_000_000);
    bench.session.handle_echo(heard, bench.now, &mut bench.out);
    assert!(bench.sent().is_empty());
    bench.advance(seconds(19));
    assert_eq!(bench.events(), []);
    bench.advance(seconds(1));
    for sent in 1..=4 {
        assert_eq!(bench.events(), [Event::EchoDue]);
        bench.session.handle_echo(heard, bench.now, &mut bench.out);
        assert_eq!(bench.sent()[0].code, 9, "echo {sent}");
        bench.advance(seconds(30));
    }
    bench.events();
    bench.session.handle_echo(heard, bench.now, &mut bench.out);
    assert_eq!(bench.sent()[0].code, 5);
    assert_eq!(
        bench.events(),
        [Event::NetworkDown, Event::Closed(CloseReason::LostCarrier)]
    );
}

#[test]
fn an_echo_reply_counts_as_a_sign_of_life() {
    let mut bench = Bench::open(Config {
        echo: Config::default().echo,
        ..config(NO_AUTH)
    });
    let opened = bench.now;
    for _ in 0..20 {
        bench.advance(seconds(30));
        assert_eq!(bench.events(), [Event::EchoDue]);
        bench.session.handle_echo(opened, bench.now, &mut bench.out);
        if let Some(echo) = bench.sent().pop() {
            bench.lcp(10, echo.id, &MAGIC).unwrap();
        }
    }
    assert_eq!(bench.session.phase(), Phase::Network);
}

#[test]
fn a_peer_that_rejects_echo_requests_is_not_asked_again() {
    let mut bench = Bench::open(Config {
        echo: Config::default().echo,
        ..config(NO_AUTH)
    });
    bench.lcp(7, 1, &[9, 1, 0, 8, 0, 0, 0, 0]).unwrap();
    bench.advance(seconds(3_600));
    assert_eq!(bench.events(), []);
}
