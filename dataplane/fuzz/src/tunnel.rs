//! A control connection, by steps: `lns_l2tp::Tunnel`.
//!
//! The first octet: bit 0 set, we asked for the tunnel; else the peer did, and its SCCRQ has just been
//! answered. Bit 1 set: there is a secret. Each step is an octet and what belongs to it:
//!
//! - 00 session (two octets) `( body )`: a control message with the right tunnel and numbers.
//! - 01 n m session `( body )`: the same, with Ns n and Nr m (signed octets) beyond the right ones.
//! - 02 `( datagram )`: octets as they are.
//! - 03 n: n half seconds pass.
//! - 04: a ZLB that acknowledges all.
//! - 05 n session: a message that is right as such: 0 SCCCN, 1 SCCRP, 2 ICRQ, 3 ICCN, 4 CDN,
//!   5 `StopCCN`, 6 HELLO, 7 OCRQ.
//! - 06: we close.
//! - 07 session: we answer a call of that peer's session.

use core::time::Duration;
use std::sync::Arc;

use lns_crypto::l2tp::challenge_response;
use lns_crypto::{Rng, Secret};
use lns_l2tp::{
    HostName, SecretChoice, Secrets, StopReason, Tunnel, TunnelConfig, TunnelEvent, TunnelState,
};
use lns_tables::time::Instant;
use lns_wire::id::{PeerSessionId, PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    Cdn, ControlHeader, Iccn, Icrp, Icrq, Message, Ocrq, Packet, ProtocolVersion, ResultCode,
    Scccn, Sccrp, Sccrq, StopCcn,
};

use crate::Outcome;
use crate::ops::Ops;

const SECRET: &[u8] = b"a tunnel secret of sixteen";
const LOCAL: TunnelId = TunnelId(0x0101);
const PEER: PeerTunnelId = PeerTunnelId(0x0202);

/// Takes the steps.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut ops = Ops::new(input);
    let kind = ops.u8();
    let mut bench = Bench::new(kind & 1 != 0, kind & 2 != 0);
    let mut verdict = Ok(());
    while let Some(step) = ops.step() {
        if let Some(result) = bench.take(step, &mut ops) {
            verdict = result;
        }
        bench.settle();
    }
    let then = bench.tunnel.state().label().to_owned();
    bench.leave_alone();
    Outcome { verdict, then }
}

struct Bench {
    tunnel: Tunnel,
    now: Instant,
    rng: Rng,
    closed: bool,
    /// Octets that came out since the last step.
    sent: usize,
}

impl Bench {
    fn new(initiator: bool, secret: bool) -> Self {
        let mut rng = Rng::from_seed([9; 32]);
        let now = Instant::from_millis(1_000);
        let mut config = TunnelConfig::new(HostName::new(*b"lns").expect("a name"));
        config.secrets = secret.then(|| Secrets::single(Secret::new(SECRET)));
        let config = Arc::new(config);
        let tunnel = if initiator {
            Tunnel::connect(config, LOCAL, now, &mut rng)
        } else {
            let choice = SecretChoice::Current;
            Tunnel::accept(config, LOCAL, &sccrq(), choice, now, &mut rng)
                .expect("a good SCCRQ is accepted")
        };
        let mut bench = Self {
            tunnel,
            now,
            rng,
            closed: false,
            sent: 0,
        };
        bench.settle();
        bench
    }

    fn take(&mut self, step: u8, ops: &mut Ops<'_>) -> Option<Result<(), &'static str>> {
        match step % 8 {
            0 => {
                let session = SessionId(ops.u16());
                return Some(self.control(self.header(session), ops.octets()));
            }
            1 => {
                let (ns, nr) = (sign(ops.u8()), sign(ops.u8()));
                let mut header = self.header(SessionId(ops.u16()));
                header.ns = header.ns.plus(ns);
                header.nr = header.nr.plus(nr);
                return Some(self.control(header, ops.octets()));
            }
            2 => {
                return match Packet::parse(ops.octets()) {
                    Ok(Packet::Control(header, body)) => Some(self.control(header, body)),
                    Ok(Packet::Data(..)) => None,
                    Err(error) => Some(Err(error.label())),
                };
            }
            3 => {
                let halves = ops.u8();
                self.wait(Duration::from_millis(500 * u64::from(halves)));
            }
            4 => return Some(self.control(self.header(SessionId::NONE), &[])),
            5 => {
                let which = ops.u8();
                let body = self.right(which);
                return Some(self.control(self.header(SessionId(ops.u16())), &body));
            }
            6 => self.tunnel.close(StopReason::Requested, self.now),
            _ => {
                let session = PeerSessionId(ops.u16());
                let answer = Message::Icrp(Icrp {
                    assigned_session: PeerSessionId(1),
                });
                let up = self.tunnel.state() == TunnelState::Established;
                let sent = self.tunnel.send_call(session, &answer, &mut self.rng);
                assert!(up || sent.is_err());
            }
        }
        None
    }

    /// The header of the next message in order.
    fn header(&self, session: SessionId) -> ControlHeader {
        let status = self.tunnel.channel();
        ControlHeader {
            tunnel: LOCAL,
            session,
            ns: status.nr,
            nr: status.ns,
        }
    }

    /// One message, and what must hold of any.
    fn control(&mut self, header: ControlHeader, body: &[u8]) -> Result<(), &'static str> {
        let before = (
            self.tunnel.state(),
            self.tunnel.channel(),
            self.tunnel.heard(),
        );
        let timeout = self.tunnel.poll_timeout();
        let result = self
            .tunnel
            .handle_control(header, body, self.now, &mut self.rng);
        if let Err(error) = result {
            let after = (
                self.tunnel.state(),
                self.tunnel.channel(),
                self.tunnel.heard(),
            );
            assert_eq!(after, before, "{error} changes something");
            assert_eq!(self.tunnel.poll_timeout(), timeout, "{error} moves a timer");
            assert!(self.tunnel.poll_event().is_none(), "{error} is an event");
        }
        let kept = self.tunnel.channel().kept;
        assert!(kept < 128, "{kept} messages are kept");
        self.settle();
        // All that waits behind the window may follow an acknowledgement; without one there is an
        // answer, or what was sent comes again.
        let limit = 2_000 + 128 * 300;
        assert!(
            self.sent <= limit,
            "{} octets for {}",
            self.sent,
            body.len()
        );
        if result.is_err() {
            assert_eq!(self.sent, 0, "what is dropped is not answered");
        }
        result.map(|_| ()).map_err(|error| error.label())
    }

    /// The body of a message that is right as such.
    fn right(&self, which: u8) -> Vec<u8> {
        let result = ResultCode {
            result: 1,
            ..ResultCode::default()
        };
        let session = PeerSessionId(0x0303);
        let answer = |number| {
            let challenge = self.tunnel.issued_challenge()?;
            Some(challenge_response(number, &Secret::new(SECRET), challenge))
        };
        let message = match which % 8 {
            0 => Message::Scccn(Scccn {
                challenge_response: answer(3),
            }),
            1 => Message::Sccrp(Sccrp {
                version: ProtocolVersion::ONE,
                host_name: b"lac",
                framing: 3,
                assigned_tunnel: PEER,
                bearer: None,
                receive_window: Some(8),
                challenge: None,
                challenge_response: answer(2),
                firmware: None,
                vendor_name: None,
            }),
            2 => Message::Icrq(Icrq {
                assigned_session: session,
                serial_number: 1,
                ..Icrq::default()
            }),
            3 => Message::Iccn(Iccn::default()),
            4 => Message::Cdn(Cdn {
                assigned_session: session,
                result,
                ..Cdn::default()
            }),
            5 => Message::StopCcn(StopCcn {
                assigned_tunnel: PEER,
                result,
            }),
            6 => Message::Hello,
            _ => Message::Ocrq(Ocrq {
                assigned_session: session,
                called_number: b"1",
                ..Ocrq::default()
            }),
        };
        let mut body = Vec::new();
        message.emit(&mut body).expect("it fits");
        body
    }

    fn wait(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(due) = self.tunnel.poll_timeout().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.tunnel.handle_timeout(self.now);
            self.settle();
            let next = self.tunnel.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timeout that stays due"
            );
        }
        self.now = until;
    }

    /// Takes what came out: one end, nothing after it, and datagrams that can be read.
    fn settle(&mut self) {
        self.sent = 0;
        while let Some(event) = self.tunnel.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            match event {
                TunnelEvent::Call(message) => assert!(message.message().is_ok()),
                TunnelEvent::Closed { .. } => self.closed = true,
                TunnelEvent::Established | TunnelEvent::InvalidCall { .. } => {}
            }
        }
        let mut out = Vec::new();
        while self.tunnel.poll_transmit(self.now, &mut out) {
            self.sent += out.len();
            let Ok(Packet::Control(header, body)) = Packet::parse(&out) else {
                panic!("our own datagrams are right")
            };
            assert_eq!(header.tunnel.0, self.tunnel.peer().0);
            assert!(body.is_empty() || Message::parse(body).is_ok());
        }
        let open = self.tunnel.state().is_open();
        assert_eq!(open, !self.closed);
        assert!(!open || self.tunnel.poll_timeout().is_some(), "no timer");
    }

    /// A peer that says nothing more is given up: HELLO, then the retransmissions.
    fn leave_alone(&mut self) {
        self.wait(Duration::from_secs(300));
        assert!(self.tunnel.is_drained(), "{:?}", self.tunnel.state());
        assert_eq!(self.tunnel.poll_timeout(), None);
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

/// A signed octet as steps of a sequence number.
fn sign(octet: u8) -> u16 {
    i16::from(octet.cast_signed()).cast_unsigned()
}
