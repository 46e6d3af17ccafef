//! One end of a tunnel against octets and messages written by hand.

use core::time::Duration;

use lns_crypto::l2tp::challenge_response;
use lns_crypto::{Rng, Secret};
use lns_wire::l2tp::{
    Cdn, CdnResult, ControlHeader, GeneralError, Icrp, Icrq, Ocrq, Packet, ResultCode, Scccn,
    Seq16, StopCcn, StopCcnResult,
};

use proptest::prelude::*;

use super::*;
use crate::channel::Dropped;
use crate::config::{HostName, Secrets};
use crate::error::Error;

const LOCAL: TunnelId = TunnelId(0x2222);
const PEER: PeerTunnelId = PeerTunnelId(0x1111);
const START: Instant = Instant::from_millis(1_000);

fn after(seconds: u64) -> Instant {
    Instant::from_millis(START.as_millis() + seconds * 1_000)
}

fn config(secrets: Option<Secrets>) -> Arc<TunnelConfig> {
    Arc::new(TunnelConfig {
        secrets,
        ..TunnelConfig::new(HostName::new(*b"lns").unwrap())
    })
}

fn secrets() -> Secrets {
    Secrets {
        current: Secret::new(*b"new"),
        previous: Some(Secret::new(*b"old")),
    }
}

fn sccrq() -> Sccrq<'static> {
    Sccrq {
        version: ProtocolVersion::ONE,
        host_name: b"lac",
        framing: 3,
        assigned_tunnel: PEER,
        bearer: None,
        receive_window: Some(8),
        challenge: None,
        tie_breaker: None,
        firmware: None,
        vendor_name: None,
    }
}

/// A tunnel and the peer's side of its channel.
struct Bench {
    tunnel: Tunnel,
    rng: Rng,
    ns: u16,
}

impl Bench {
    fn accept(secrets: Option<Secrets>, sccrq: &Sccrq<'_>) -> Self {
        let mut rng = Rng::from_seed([1; 32]);
        let choice = SecretChoice::Current;
        let tunnel =
            Tunnel::accept(config(secrets), LOCAL, sccrq, choice, START, &mut rng).unwrap();
        Self { tunnel, rng, ns: 1 }
    }

    fn connect(secrets: Option<Secrets>) -> Self {
        let mut rng = Rng::from_seed([2; 32]);
        let tunnel = Tunnel::connect(config(secrets), LOCAL, START, &mut rng);
        Self { tunnel, rng, ns: 0 }
    }

    /// An LNS's tunnel that is up, with everything polled.
    fn established() -> Self {
        let mut bench = Self::accept(None, &sccrq());
        bench.sent(START);
        bench.receive(&Message::Scccn(Scccn::default())).unwrap();
        bench.sent(START);
        assert_eq!(bench.tunnel.poll_event(), Some(TunnelEvent::Established));
        bench
    }

    fn handle(&mut self, session: u16, ns: u16, body: &[u8], now: Instant) -> Result<(), Error> {
        let nr = self.tunnel.channel().ns;
        let header = ControlHeader {
            tunnel: LOCAL,
            session: SessionId(session),
            ns: Seq16(ns),
            nr,
        };
        self.tunnel.handle_control(header, body, now, &mut self.rng)
    }

    /// The next message comes, and acknowledges everything.
    fn receive(&mut self, message: &Message<'_>) -> Result<(), Error> {
        let mut body = Vec::new();
        message.emit(&mut body).unwrap();
        self.receive_octets(0, &body)
    }

    fn receive_octets(&mut self, session: u16, body: &[u8]) -> Result<(), Error> {
        let result = self.handle(session, self.ns, body, START);
        if result.is_ok() {
            self.ns += 1;
        }
        result
    }

    /// All payloads that go out, whole.
    fn sent(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        core::iter::from_fn(|| {
            self.tunnel
                .poll_transmit(now, &mut out)
                .then(|| out.clone())
        })
        .collect()
    }

    /// The one payload that goes out, and its body.
    fn answer(&mut self) -> (ControlHeader, Vec<u8>) {
        let mut sent = self.sent(START);
        assert_eq!(sent.len(), 1, "{sent:?}");
        match Packet::parse(&sent.remove(0)) {
            Ok(Packet::Control(header, body)) => (header, body.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    /// Result and error of the `StopCCN` that goes out.
    fn stop(&mut self) -> (StopCcnResult, Option<GeneralError>) {
        let (header, body) = self.answer();
        let Ok(Message::StopCcn(stop)) = Message::parse(&body) else {
            panic!("{body:?}")
        };
        assert_eq!((header.tunnel.0, stop.assigned_tunnel.0), (PEER.0, LOCAL.0));
        (StopCcnResult(stop.result.result), stop.result.error)
    }

    fn closed(&mut self) -> (CloseReason, Option<SecretChoice>) {
        match core::iter::from_fn(|| self.tunnel.poll_event()).last() {
            Some(TunnelEvent::Closed { reason, retry_with }) => (reason, retry_with),
            other => panic!("{other:?}"),
        }
    }
}

fn table<S: Copy, A: core::fmt::Debug>(
    states: &[S],
    label: impl Fn(S) -> &'static str,
    cell: impl Fn(S, MessageType) -> A,
) -> String {
    let row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        cells
            .fold(format!("{name:8}"), |row, cell| format!("{row} {cell:15}"))
            .trim_end()
            .to_owned()
    };
    let head = row("", &mut states.iter().map(|state| label(*state).to_owned()));
    MessageType::ALL.iter().fold(head, |text, kind| {
        let cells = &mut states
            .iter()
            .map(|state| format!("{:?}", cell(*state, *kind)));
        format!("{text}\n{}", row(kind.label(), cells))
    })
}

#[test]
fn the_table_of_tunnel_states_and_messages() {
    insta::assert_snapshot!(table(&TunnelState::ALL, TunnelState::label, action));
}

#[test]
fn the_table_of_call_states_and_messages() {
    use crate::{CallState, call_step};
    insta::assert_snapshot!(table(&CallState::ALL, CallState::label, call_step));
}

#[test]
fn an_sccrq_is_answered_with_these_octets() {
    let mut bench = Bench::accept(None, &sccrq());
    let octets: &[u8] = &[
        0xc8, 2, 0, 75, 0x11, 0x11, 0, 0, 0, 0, 0, 1, // to the peer's tunnel, Ns 0, Nr 1
        0x80, 8, 0, 0, 0, 0, 0, 2, // SCCRP
        0x80, 8, 0, 0, 0, 2, 1, 0, // Protocol Version 1.0
        0x80, 10, 0, 0, 0, 3, 0, 0, 0, 3, // Framing Capabilities
        0x80, 9, 0, 0, 0, 7, b'l', b'n', b's', // Host Name
        0x80, 8, 0, 0, 0, 9, 0x22, 0x22, // Assigned Tunnel ID
        0x80, 10, 0, 0, 0, 4, 0, 0, 0, 3, // Bearer Capabilities
        0x80, 8, 0, 0, 0, 10, 0, 128, // Receive Window Size
    ];
    let mut octets = octets.to_vec();
    octets[3] = u8::try_from(octets.len()).unwrap();
    assert_eq!(bench.sent(START), [octets]);
    assert_eq!(bench.tunnel.channel().peer_window, 8);
}

#[test]
fn an_sccrp_is_sent_again_only_for_an_sccrq_that_comes_again() {
    let mut bench = Bench::accept(None, &sccrq());
    let first = bench.sent(START);
    assert_eq!(
        bench.tunnel.poll_timeout(),
        Some(after(31)),
        "only the end of patience"
    );
    bench.tunnel.handle_timeout(after(10));
    assert_eq!(bench.sent(after(10)), Vec::<Vec<u8>>::new());
    let mut body = Vec::new();
    Message::Sccrq(sccrq()).emit(&mut body).unwrap();
    // It comes with no tunnel id, as the first one did.
    let header = ControlHeader::default();
    bench
        .tunnel
        .handle_control(header, &body, after(11), &mut bench.rng)
        .unwrap();
    assert_eq!(bench.sent(after(11)), first);
    bench.tunnel.handle_timeout(after(31));
    assert_eq!(
        bench.sent(after(31)),
        Vec::<Vec<u8>>::new(),
        "no word to who may not exist"
    );
    assert_eq!(bench.closed().0, CloseReason::NoAnswer);
    assert!(bench.tunnel.is_drained());
}

#[test]
fn an_sccrq_that_comes_late_is_acknowledged_and_nothing_else() {
    let mut bench = Bench::established();
    let mut body = Vec::new();
    Message::Sccrq(sccrq()).emit(&mut body).unwrap();
    let header = ControlHeader {
        nr: Seq16(0),
        ..ControlHeader::default()
    };
    bench
        .tunnel
        .handle_control(header, &body, START, &mut bench.rng)
        .unwrap();
    let (header, body) = bench.answer();
    assert_eq!((header.ns, header.nr, body.len()), (Seq16(1), Seq16(2), 0));
    assert_eq!(bench.tunnel.state(), TunnelState::Established);
}

#[test]
fn a_message_without_a_tunnel_id_that_is_no_repeated_sccrq_is_dropped() {
    let mut bench = Bench::established();
    let header = ControlHeader {
        ns: Seq16(2),
        nr: Seq16(1),
        ..ControlHeader::default()
    };
    let hello = [0x80, 8, 0, 0, 0, 0, 0, 6];
    let dropped = bench
        .tunnel
        .handle_control(header, &hello, START, &mut bench.rng);
    assert_eq!(dropped, Err(Error::WrongTunnel));
}

#[test]
fn a_lac_that_changes_its_mind_before_our_sccrp_arrives_is_heard() {
    let mut bench = Bench::accept(None, &sccrq());
    bench.sent(START);
    let mut body = Vec::new();
    let result = ResultCode {
        result: 6,
        error: None,
        advisory: b"reboot",
    };
    Message::StopCcn(StopCcn {
        assigned_tunnel: PEER,
        result,
    })
    .emit(&mut body)
    .unwrap();
    let header = ControlHeader {
        ns: Seq16(1),
        ..ControlHeader::default()
    };
    bench
        .tunnel
        .handle_control(header, &body, START, &mut bench.rng)
        .unwrap();
    assert_eq!(bench.tunnel.state(), TunnelState::Lingering);
}

#[test]
fn what_is_malformed_moves_nothing() {
    let mut bench = Bench::established();
    let before = bench.tunnel.channel();
    let icrq_cut_short = [0x80, 8, 0, 0, 0, 0, 0, 10, 0x80, 8, 0, 0, 0, 14, 0];
    let error = bench.receive_octets(0, &icrq_cut_short).unwrap_err();
    assert_eq!(error.label(), "avp_truncated");
    let early = bench
        .handle(0, bench.ns + 1, &icrq_cut_short, START)
        .unwrap_err();
    assert_eq!(early.label(), "avp_truncated");
    assert_eq!(
        bench.handle(0, bench.ns + 128, &[0], START),
        Err(Error::Dropped(Dropped::OutsideWindow))
    );
    assert_eq!(bench.tunnel.channel(), before);
    assert!(bench.sent(START).is_empty());
    // The same number with a good message passes.
    bench.receive(&Message::Hello).unwrap();
    assert_eq!(bench.tunnel.channel().nr, before.nr.next());
}

#[test]
fn an_unknown_mandatory_avp_ends_the_call_that_it_came_for_and_not_the_tunnel() {
    let mut bench = Bench::established();
    let unknown = [0x80, 6, 0, 9, 0, 77];
    let mut icrq = Vec::new();
    let message = Icrq {
        assigned_session: PeerSessionId(5),
        serial_number: 1,
        ..Icrq::default()
    };
    Message::Icrq(message).emit(&mut icrq).unwrap();
    icrq.extend_from_slice(&unknown);
    bench.receive_octets(0, &icrq).unwrap();
    let (header, body) = bench.answer();
    assert_eq!((header.session, header.nr), (SessionId(5), Seq16(bench.ns)));
    let Ok(Message::Cdn(cdn)) = Message::parse(&body) else {
        panic!("{body:?}")
    };
    assert_eq!(
        (cdn.result.result, cdn.result.error),
        (2, Some(GeneralError(8)))
    );
    assert_eq!(cdn.assigned_session, PeerSessionId::NONE);

    let mut iccn = vec![0x80, 8, 0, 0, 0, 0, 0, 12];
    iccn.extend_from_slice(&unknown);
    bench.receive_octets(9, &iccn).unwrap();
    let error = ParseError::UnknownMandatory {
        vendor: 9,
        kind: 77,
    };
    let event = TunnelEvent::InvalidCall {
        session: SessionId(9),
        kind: MessageType::Iccn,
        error,
    };
    assert_eq!(bench.tunnel.poll_event(), Some(event));
    assert_eq!(bench.tunnel.state(), TunnelState::Established);
}

#[test]
fn an_unknown_mandatory_avp_in_a_message_of_the_tunnel_ends_it() {
    let mut bench = Bench::established();
    bench
        .receive_octets(0, &[0x80, 8, 0, 0, 0, 0, 0, 6, 0x80, 6, 0, 9, 0, 77])
        .unwrap();
    assert_eq!(
        bench.stop(),
        (StopCcnResult::GENERAL_ERROR, Some(GeneralError(8)))
    );
    assert_eq!(bench.closed().0.label(), "unknown_mandatory_avp");
}

#[test]
fn an_unknown_message_is_ignored_without_the_m_bit_and_ends_the_tunnel_with_it() {
    let mut bench = Bench::established();
    bench.receive_octets(0, &[0, 8, 0, 0, 0, 0, 0, 99]).unwrap();
    assert_eq!(bench.answer().1, []);
    assert_eq!(bench.tunnel.state(), TunnelState::Established);
    bench
        .receive_octets(0, &[0x80, 8, 0, 0, 0, 0, 0, 99])
        .unwrap();
    assert_eq!(
        bench.stop(),
        (StopCcnResult::GENERAL_ERROR, Some(GeneralError(8)))
    );
}

#[test]
fn a_message_in_the_wrong_state_ends_the_tunnel_with_result_7() {
    let mut bench = Bench::accept(None, &sccrq());
    bench.sent(START);
    bench.receive(&Message::Hello).unwrap();
    assert_eq!(
        bench.stop(),
        (StopCcnResult::FSM_ERROR, Some(GeneralError::NONE))
    );
    assert_eq!(bench.closed().0, CloseReason::Local(StopReason::Fsm));
}

#[test]
fn an_outgoing_call_is_refused_and_the_tunnel_stays() {
    let mut bench = Bench::established();
    bench
        .receive(&Message::Ocrq(Ocrq {
            assigned_session: PeerSessionId(4),
            ..Ocrq::default()
        }))
        .unwrap();
    let (header, body) = bench.answer();
    let Ok(Message::Cdn(Cdn { result, .. })) = Message::parse(&body) else {
        panic!("{body:?}")
    };
    assert_eq!(
        (header.session, CdnResult(result.result)),
        (SessionId(4), CdnResult::NO_FACILITIES_EVER)
    );
    assert_eq!(bench.tunnel.poll_event(), None);
}

#[test]
fn calls_that_overtake_the_scccn_wait_for_it() {
    let mut bench = Bench::accept(None, &sccrq());
    bench.sent(START);
    let mut icrq = Vec::new();
    let message = Icrq {
        assigned_session: PeerSessionId(5),
        serial_number: 1,
        ..Icrq::default()
    };
    Message::Icrq(message).emit(&mut icrq).unwrap();
    bench.handle(0, 2, &icrq, START).unwrap();
    assert_eq!(bench.tunnel.poll_event(), None);
    bench.receive(&Message::Scccn(Scccn::default())).unwrap();
    assert_eq!(bench.tunnel.poll_event(), Some(TunnelEvent::Established));
    let Some(TunnelEvent::Call(call)) = bench.tunnel.poll_event() else {
        panic!("no call")
    };
    assert_eq!(call.message(), Ok(Message::Icrq(message)));
    assert_eq!(bench.tunnel.channel().nr, Seq16(3));
}

#[test]
fn before_the_peer_is_verified_little_is_kept() {
    let mut bench = Bench::accept(None, &sccrq());
    bench.sent(START);
    let mut body = Vec::new();
    while body.len() <= limits::KEPT_OCTETS_UNVERIFIED {
        let more = Icrq {
            assigned_session: PeerSessionId(5),
            called_number: Some(&[b'0'; 900]),
            ..Icrq::default()
        };
        Message::Icrq(more).emit(&mut body).unwrap();
    }
    assert_eq!(
        bench.handle(0, 2, &body, START),
        Err(Error::Dropped(Dropped::NoRoom))
    );
    bench.receive(&Message::Scccn(Scccn::default())).unwrap();
    assert_eq!(bench.handle(0, 3, &body, START), Ok(()));
    assert_eq!(bench.tunnel.channel().kept, 1);
}

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
fn a_version_other_than_1_0_is_refused() {
    for (version, revision) in [(0, 0), (1, 1), (2, 0)] {
        let sccrq = Sccrq {
            version: ProtocolVersion { version, revision },
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
        assert_eq!(refused.unwrap_err(), StopReason::Version);
    }
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

#[test]
fn of_two_sccrqs_that_cross_the_lower_tie_breaker_wins() {
    let bench = Bench::connect(None);
    let ours = bench.tunnel.tie_breaker.unwrap();
    assert_eq!(bench.tunnel.tie(Some(ours - 1)), Tie::Theirs);
    assert_eq!(bench.tunnel.tie(Some(ours + 1)), Tie::Ours);
    assert_eq!(bench.tunnel.tie(Some(ours)), Tie::Neither);
    assert_eq!(bench.tunnel.tie(None), Tie::Ours);
    assert_eq!(Bench::established().tunnel.tie(Some(0)), Tie::Both);
    let mut loser = bench;
    loser.tunnel.discard();
    assert_eq!(loser.closed().0, CloseReason::TieLost);
    assert!(loser.sent(START).is_empty() && loser.tunnel.is_drained());
}

#[test]
fn a_hello_goes_out_after_silence_in_control_and_data() {
    let mut bench = Bench::established();
    assert_eq!(bench.tunnel.poll_timeout(), Some(after(60)));
    bench.tunnel.note_activity(after(30));
    bench.tunnel.handle_timeout(after(60));
    assert!(bench.sent(after(60)).is_empty());
    assert_eq!(bench.tunnel.hello_at(), Some(after(90)));
    bench.tunnel.handle_timeout(after(90));
    let (header, body) = bench.answer();
    assert_eq!(
        (header.session, Message::parse(&body)),
        (SessionId::NONE, Ok(Message::Hello))
    );
    // Only what the peer sends proves that it is there: its ZLB does.
    bench.handle(0, bench.ns, &[], after(91)).unwrap();
    assert_eq!(bench.tunnel.hello_at(), Some(after(151)));
}

#[test]
fn the_peers_stopccn_is_acknowledged_as_often_as_it_comes() {
    let mut bench = Bench::established();
    let result = ResultCode {
        result: 2,
        error: Some(GeneralError::RESOURCES),
        advisory: &[b'x'; 400],
    };
    let mut body = Vec::new();
    Message::StopCcn(StopCcn {
        assigned_tunnel: PEER,
        result,
    })
    .emit(&mut body)
    .unwrap();
    let ns = bench.ns;
    bench.receive_octets(0, &body).unwrap();
    let CloseReason::Peer {
        result,
        error,
        advisory,
    } = bench.closed().0
    else {
        panic!("not the peer")
    };
    assert_eq!(
        (result.0, error, advisory.len()),
        (2, Some(GeneralError(4)), limits::ADVISORY)
    );
    for _ in 0..3 {
        let (header, acknowledgement) = bench.answer();
        assert_eq!((header.nr, acknowledgement.len()), (Seq16(ns + 1), 0));
        bench.handle(0, ns, &body, START).unwrap();
    }
    bench.sent(START);
    assert!(!bench.tunnel.is_drained());
    assert_eq!(bench.tunnel.poll_timeout(), Some(after(31)));
    bench.tunnel.handle_timeout(after(31));
    assert!(bench.tunnel.is_drained());
    assert_eq!(bench.handle(0, ns, &body, after(32)), Err(Error::Closed));
}

#[test]
fn our_stopccn_goes_out_until_it_is_acknowledged_and_takes_the_place_of_what_waits() {
    let mut bench = Bench::established();
    for session in 1..=100 {
        let icrp = Message::Icrp(Icrp {
            assigned_session: PeerSessionId(9),
        });
        bench
            .tunnel
            .send_call(PeerSessionId(session), &icrp, &mut bench.rng)
            .unwrap();
    }
    bench.tunnel.close(StopReason::Shutdown, START);
    assert_eq!(
        bench.stop(),
        (StopCcnResult::SHUTDOWN, Some(GeneralError::NONE))
    );
    let icrp = Message::Icrp(Icrp::default());
    let refused = bench
        .tunnel
        .send_call(PeerSessionId(1), &icrp, &mut bench.rng);
    assert_eq!(refused, Err(SendError::NotEstablished));
    bench.tunnel.handle_timeout(after(1));
    assert_eq!(bench.sent(after(1)).len(), 1);
    bench.handle(0, bench.ns, &[], after(1)).unwrap();
    assert_eq!(bench.closed().0, CloseReason::Local(StopReason::Shutdown));
    assert!(bench.tunnel.is_drained());
}

#[test]
fn an_sccrq_that_is_acknowledged_and_never_answered_ends_in_a_stopccn() {
    let mut bench = Bench::connect(None);
    bench.sent(START);
    bench.handle(0, 0, &[], START).unwrap();
    assert_eq!(
        bench.tunnel.poll_timeout(),
        Some(START.add(limits::TUNNEL_SETUP))
    );
    bench
        .tunnel
        .handle_timeout(START.add(Duration::from_secs(60)));
    assert_eq!(
        bench.closed().0,
        CloseReason::Local(StopReason::SetupTimeout)
    );
    assert_eq!(bench.sent(after(60)).len(), 1);
}

#[test]
fn a_tunnel_without_messages_is_small() {
    let size = size_of::<Tunnel>();
    assert!(size <= 512, "{size} octets for each of 65,535 tunnels");
    assert!(
        size_of::<crate::Call>() <= 16,
        "for each of a million calls"
    );
}

/// A good message with some octets changed, and whether it is for a session.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let icrq = Message::Icrq(Icrq {
        assigned_session: PeerSessionId(5),
        serial_number: 1,
        calling_number: Some(b"030"),
        ..Icrq::default()
    });
    let stop = Message::StopCcn(StopCcn {
        assigned_tunnel: PEER,
        result: ResultCode::default(),
    });
    let bodies = [Message::Hello, icrq, stop, Message::Sccrq(sccrq())].map(|message| {
        let mut body = Vec::new();
        message.emit(&mut body).unwrap();
        body
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(bodies.to_vec()), changes, any::<u8>()).prop_map(
        |(mut body, changes, cut)| {
            for (at, octet) in changes {
                let at = at.index(body.len());
                body[at] = octet;
            }
            body.truncate(body.len() - usize::from(cut % 16 == 0));
            body
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_acknowledged_and_handled_or_dropped_without_a_trace(
        body in prop_oneof![nearly_good(), prop::collection::vec(any::<u8>(), 1..80)],
        session in 0..3_u16,
        ahead in 0..200_u16,
        hidden in any::<bool>(),
    ) {
        let mut bench = if hidden {
            Bench::accept(Some(secrets()), &sccrq())
        } else {
            Bench::established()
        };
        bench.sent(START);
        let (before, state) = (bench.tunnel.channel(), bench.tunnel.state());
        let result = bench.handle(session, bench.ns + ahead, &body, START);
        let after = bench.tunnel.channel();
        if result.is_ok() && ahead == 0 {
            prop_assert_eq!(after.nr, before.nr.next());
        } else {
            prop_assert_eq!(after.nr, before.nr);
            prop_assert_eq!(bench.tunnel.state(), state);
            prop_assert!(bench.sent(START).is_empty());
        }
        if result.is_err() {
            prop_assert_eq!(after, before);
            prop_assert_eq!(bench.tunnel.poll_event(), None);
        }
    }
}
