//! Challenges, their answers and the choice of the secret (RFC 2661, 5.1.1), and no password in print.

use lns_crypto::l2tp::challenge_response;
use lns_crypto::{Rng, Secret};
use lns_wire::id::PeerSessionId;
use lns_wire::l2tp::{
    GeneralError, Message, ProtocolVersion, ResultCode, Scccn, Sccrp, Sccrq, StopCcn, StopCcnResult,
};

use super::{Bench, LOCAL, PEER, START, after, config, sccrq, secrets};
use crate::config::SecretChoice;
use crate::reason::{CloseReason, StopReason};
use crate::tunnel::{Tunnel, TunnelState};

#[test]
fn a_password_in_a_message_that_waits_is_never_printed() {
    let mut bench = Bench::established();
    let proxy = lns_wire::l2tp::Proxy {
        authen_response: Some(b"canary"),
        ..Default::default()
    };
    let message = Message::Iccn(lns_wire::l2tp::Iccn {
        proxy,
        ..Default::default()
    });
    bench
        .tunnel
        .send_call(PeerSessionId(1), &message, &mut bench.rng)
        .unwrap();
    let mut body = Vec::new();
    message.emit(&mut body).unwrap();
    bench.handle(1, bench.ns + 1, &body, START).unwrap();
    bench.receive_octets(1, &body).unwrap();
    bench.handle(1, bench.ns + 3, &body, START).unwrap();
    let printed = format!("{:?}", bench.tunnel);
    assert!(
        printed.contains("CallMessage") && printed.contains("Kept"),
        "{printed}"
    );
    assert!(!printed.contains("99, 97, 110"), "{printed}");
}

#[test]
fn a_challenge_without_a_secret_to_answer_it_is_refused() {
    let sccrq = Sccrq {
        challenge: Some(b"who are you"),
        ..sccrq()
    };
    let mut rng = Rng::from_seed([1; 32]);
    let refused = Tunnel::accept(
        config(None),
        LOCAL,
        &sccrq,
        SecretChoice::Current,
        START,
        &mut rng,
    );
    assert_eq!(refused.unwrap_err(), StopReason::NotAuthorized);
}

/// The challenge in the SCCRP that goes out, and its answer to ours.
fn challenged(bench: &mut Bench) -> (Vec<u8>, Option<[u8; 16]>) {
    let (_, body) = bench.answer();
    let Ok(Message::Sccrp(sccrp)) = Message::parse(&body) else {
        panic!("{body:?}")
    };
    (sccrp.challenge.unwrap().to_vec(), sccrp.challenge_response)
}

#[test]
fn a_lac_may_prove_the_current_or_the_previous_secret() {
    for (secret, choice) in [
        (&b"new"[..], SecretChoice::Current),
        (b"old", SecretChoice::Previous),
    ] {
        let mut bench = Bench::accept(
            Some(secrets()),
            &Sccrq {
                challenge: Some(b"who are you"),
                ..sccrq()
            },
        );
        let (challenge, response) = challenged(&mut bench);
        assert_eq!(
            response,
            Some(challenge_response(2, &Secret::new(*b"new"), b"who are you"))
        );
        let response = challenge_response(3, &Secret::new(secret), &challenge);
        bench
            .receive(&Message::Scccn(Scccn {
                challenge_response: Some(response),
            }))
            .unwrap();
        assert_eq!(bench.tunnel.state(), TunnelState::Established);
        assert_eq!(bench.tunnel.secret_choice(), choice);
        assert_eq!(bench.tunnel.issued_challenge(), None);
    }
}

#[test]
fn a_wrong_or_missing_proof_ends_the_tunnel_with_result_4() {
    for right_octet in [true, false] {
        let mut bench = Bench::accept(Some(secrets()), &sccrq());
        let (challenge, _) = challenged(&mut bench);
        // The answer for an SCCRP is no answer in an SCCCN.
        let response = challenge_response(2, &Secret::new(*b"new"), &challenge);
        let response = right_octet.then_some(response);
        bench
            .receive(&Message::Scccn(Scccn {
                challenge_response: response,
            }))
            .unwrap();
        assert_eq!(
            bench.stop(),
            (StopCcnResult::NOT_AUTHORIZED, Some(GeneralError::NONE))
        );
        assert_eq!(
            bench.closed(),
            (CloseReason::Local(StopReason::NotAuthorized), None)
        );
    }
}

#[test]
fn a_lac_that_leaves_after_our_answer_is_tried_with_the_other_secret() {
    let stop = |result| {
        let result = ResultCode {
            result,
            error: None,
            advisory: b"",
        };
        Message::StopCcn(StopCcn {
            assigned_tunnel: PEER,
            result,
        })
    };
    let mut bench = Bench::accept(
        Some(secrets()),
        &Sccrq {
            challenge: Some(b"who"),
            ..sccrq()
        },
    );
    bench.sent(START);
    bench.receive(&stop(4)).unwrap();
    assert_eq!(bench.closed().1, Some(SecretChoice::Previous));
    // In silence too.
    let mut bench = Bench::accept(
        Some(secrets()),
        &Sccrq {
            challenge: Some(b"who"),
            ..sccrq()
        },
    );
    bench.sent(START);
    bench.tunnel.handle_timeout(after(31));
    assert_eq!(bench.closed().1, Some(SecretChoice::Previous));
    // Without a challenge there was nothing to refuse.
    let mut bench = Bench::accept(Some(secrets()), &sccrq());
    bench.sent(START);
    bench.receive(&stop(4)).unwrap();
    assert_eq!(bench.closed().1, None);
}

#[test]
fn our_own_challenge_is_not_answered_when_it_comes_back() {
    let mut bench = Bench::connect(Some(secrets()));
    let (_, body) = bench.answer();
    let Ok(Message::Sccrq(ours)) = Message::parse(&body) else {
        panic!("{body:?}")
    };
    let challenge = ours.challenge.unwrap();
    let sccrp = Sccrp {
        version: ProtocolVersion::ONE,
        host_name: b"mirror",
        framing: 3,
        assigned_tunnel: PEER,
        bearer: None,
        receive_window: None,
        challenge: Some(challenge),
        challenge_response: Some(challenge_response(2, &Secret::new(*b"new"), challenge)),
        firmware: None,
        vendor_name: None,
    };
    bench.receive(&Message::Sccrp(sccrp)).unwrap();
    assert_eq!(
        bench.stop(),
        (StopCcnResult::NOT_AUTHORIZED, Some(GeneralError::NONE))
    );
}
