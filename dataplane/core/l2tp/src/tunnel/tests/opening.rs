//! How a tunnel opens: SCCRQ, SCCRP and SCCCN, late, repeated, crossing or overtaken (RFC 2661, 5.1).

use core::ops::Add as _;
use core::time::Duration;

use lns_crypto::Rng;
use lns_wire::id::PeerSessionId;
use lns_wire::l2tp::{
    ControlHeader, Icrq, Message, ProtocolVersion, ResultCode, Scccn, Sccrq, Seq16, StopCcn,
};

use super::{Bench, LOCAL, PEER, START, after, config, sccrq};
use crate::channel::Dropped;
use crate::config::SecretChoice;
use crate::error::Error;
use crate::limits;
use crate::reason::{CloseReason, StopReason};
use crate::tunnel::{Tie, Tunnel, TunnelEvent, TunnelState};

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
    assert_eq!(bench.handle(0, 3, &body, START), Ok(crate::Arrival::Early));
    assert_eq!(bench.tunnel.channel().kept, 1);
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
