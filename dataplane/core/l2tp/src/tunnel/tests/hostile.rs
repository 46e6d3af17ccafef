//! Messages that are malformed, unknown, unwelcome or out of place.

use lns_wire::id::{PeerSessionId, SessionId};
use lns_wire::l2tp::{
    ControlHeader, GeneralError, Icrq, Message, MessageType, ParseError, ResultCode, Seq16,
    StopCcn, StopCcnResult,
};
use proptest::prelude::*;

use super::{Bench, PEER, START, sccrq, secrets};
use crate::channel::Dropped;
use crate::error::Error;
use crate::reason::{CloseReason, StopReason};
use crate::tunnel::{TunnelEvent, TunnelState};

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
    for (session, kind) in [(0, MessageType::Icrq), (9, MessageType::Iccn)] {
        let Some(TunnelEvent::InvalidCall {
            message,
            error: why,
        }) = bench.tunnel.poll_event()
        else {
            panic!("it is told")
        };
        assert_eq!((message.session(), why), (SessionId(session), error));
        assert_eq!(MessageType::peek(message.body()), Ok(kind));
    }
    assert_eq!(bench.tunnel.poll_event(), None);
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

#[test]
fn a_duplicate_that_cannot_be_read_acknowledges_nothing() {
    let mut bench = Bench::established();
    bench.receive(&Message::Hello).unwrap();
    bench.sent(START);
    bench.tunnel.queue(&Message::Hello);
    assert_eq!(bench.sent(START).len(), 1);
    let before = bench.tunnel.channel();
    assert_eq!(before.unacknowledged, 1);
    let cut = bench.handle(0, bench.ns - 1, &[0x80, 8, 0, 0, 0], super::after(1));
    assert!(matches!(cut, Err(Error::Malformed(_))), "{cut:?}");
    assert_eq!(bench.tunnel.channel(), before);
    assert_eq!(bench.tunnel.heard(), START);
    assert!(bench.sent(START).is_empty());
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
