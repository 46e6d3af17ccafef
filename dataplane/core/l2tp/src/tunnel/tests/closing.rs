//! Hellos, and how a tunnel that was up ends (RFC 2661, 5.5 and 5.7).

use lns_wire::id::{PeerSessionId, SessionId};
use lns_wire::l2tp::{GeneralError, Icrp, Message, ResultCode, Seq16, StopCcn, StopCcnResult};

use super::{Bench, PEER, START, after};
use crate::error::{Error, SendError};
use crate::limits;
use crate::reason::{CloseReason, StopReason};

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
