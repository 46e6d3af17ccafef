//! A whole PPP session, by steps: `lns_ppp::Session`.
//!
//! The first octet is the method, modulo 5: 0 None, 1 PAP, 2 CHAP, 3 MS-CHAPv2, 4 EAP. Each step is an
//! octet, modulo 12, and what belongs to it:
//!
//! - 00 `( frame )`: a frame.
//! - 01 code: a packet with the protocol, identifier and data of the last that the session sent.
//! - 02 protocol (two octets), code, identifier, `( data )`: a packet.
//! - 03 n: n half seconds pass.
//! - 04: the owner accepts what it was asked; 05: it rejects it, at whatever time.
//! - 06 n: the owner grants 100.64.0.n; 0: the peer chooses; 255: nothing.
//! - 07: the owner closes.
//! - 08: the peer negotiates LCP to its end, as a good one would, and IPCP if it is its turn.
//! - 09 n: the owner answers what it was asked for an echo: heard n half seconds ago.
//! - 0a identifier `( data )`: the owner goes on with that Request of EAP, at whatever time.
//! - 0b: the owner cannot tell.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::Rng;
use lns_ppp::{
    Acceptance, AddressGrant, AuthMethod, CloseReason, Config, Echo, Event, GrantedAddress, Output,
    Phase, Session, Verdict,
};
use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Frame, Framing, Packet, Protocol, emit_packet};

use crate::Outcome;
use crate::ops::Ops;

/// Takes the steps.
pub(crate) fn run(input: &[u8]) -> Outcome {
    let mut ops = Ops::new(input);
    let method = match ops.u8() % 5 {
        0 => AuthMethod::None,
        1 => AuthMethod::Pap,
        2 => AuthMethod::Chap,
        3 => AuthMethod::MsChapV2,
        _ => AuthMethod::Eap,
    };
    let mut bench = Bench::new(method);
    let mut verdict = Ok(());
    while let Some(step) = ops.step() {
        if let Some(result) = bench.take(step, &mut ops) {
            verdict = result;
        }
        bench.settle();
    }
    let then = format!("{:?}", bench.session.phase());
    bench.leave_alone();
    Outcome { verdict, then }
}

/// A packet of the session's.
#[derive(Clone, Debug)]
struct Sent {
    protocol: Protocol,
    code: u8,
    id: u8,
    data: Vec<u8>,
}

struct Bench {
    session: Session,
    now: Instant,
    rng: Rng,
    out: Output,
    last: Option<Sent>,
    /// IP may pass.
    open: bool,
    over: bool,
}

impl Bench {
    fn new(method: AuthMethod) -> Self {
        let config = Arc::new(Config {
            authentication: Box::from([method]),
            echo: Some(Echo {
                interval: Duration::from_secs(30),
                failures: 4,
            }),
            rechallenge: Some(Duration::from_secs(45)),
            ..Config::default()
        });
        let mut rng = Rng::from_seed([7; 32]);
        let mut out = Output::default();
        let now = Instant::from_millis(1_000);
        let session = Session::start(&config, None, now, &mut rng, &mut out);
        let mut bench = Self {
            session,
            now,
            rng,
            out,
            last: None,
            open: false,
            over: false,
        };
        bench.settle();
        bench
    }

    fn take(&mut self, step: u8, ops: &mut Ops<'_>) -> Option<Result<(), &'static str>> {
        match step % 12 {
            0 => return Some(self.frame(ops.octets())),
            1 => {
                let code = ops.u8();
                let sent = self.last.clone()?;
                let answer = frame(sent.protocol, code, sent.id, &sent.data);
                return Some(self.frame(&answer));
            }
            2 => {
                let (protocol, code, id) = (Protocol(ops.u16()), ops.u8(), ops.u8());
                return Some(self.frame(&frame(protocol, code, id, ops.octets())));
            }
            3 => {
                let halves = ops.u8();
                self.wait(Duration::from_millis(500 * u64::from(halves)));
            }
            4 => self.judge(&Verdict::Accept {
                acceptance: Acceptance::default(),
                message: Box::default(),
            }),
            5 => self.judge(&Verdict::Reject {
                message: Box::from(*b"no"),
                ms_chap_error: None,
            }),
            6 => self.grant(ops.u8()),
            7 => self
                .session
                .close(CloseReason::Requested, self.now, &mut self.out),
            8 => self.negotiate(),
            10 => {
                let id = ops.u8();
                let data = ops.octets().into();
                self.judge(&Verdict::Continue { id, data });
            }
            11 => self.judge(&Verdict::Undecided),
            _ => {
                let ago = Duration::from_millis(500 * u64::from(ops.u8()));
                let heard = Instant::ZERO + self.now.since(Instant::ZERO).saturating_sub(ago);
                self.session.handle_echo(heard, self.now, &mut self.out);
            }
        }
        None
    }

    /// One frame, and what must hold of any.
    fn frame(&mut self, octets: &[u8]) -> Result<(), &'static str> {
        let (phase, timeout) = (self.session.phase(), self.session.poll_timeout());
        let states = (self.session.lcp_state(), self.session.ipcp_state());
        let result = self
            .session
            .handle_frame(octets, self.now, &mut self.rng, &mut self.out);
        let sent: usize = self.out.frames.iter().map(<[u8]>::len).sum();
        assert!(self.out.frames.len() <= 3, "{}", self.out.frames.len());
        assert!(sent <= octets.len() + 128, "{sent} for {}", octets.len());
        assert!(self.out.events.len() <= 4);
        if let Err(error) = result {
            let looped = error.label() == "loop";
            assert!(self.out.frames.is_empty() || looped, "{error} is answered");
            let after = (self.session.lcp_state(), self.session.ipcp_state());
            assert!(after == states || looped, "{error} changes a state");
            assert!(self.session.phase() == phase || looped);
            assert!(self.session.poll_timeout() == timeout || looped);
        }
        result.map_err(|error| error.label())
    }

    fn judge(&mut self, verdict: &Verdict) {
        self.session
            .handle_verdict(verdict, self.now, &mut self.rng, &mut self.out);
    }

    fn grant(&mut self, last: u8) {
        let address = match last {
            0 => Some(GrantedAddress::PeerChooses),
            255 => None,
            _ => Some(GrantedAddress::Fixed(Ipv4Addr::new(100, 64, 0, last))),
        };
        let grant = address.map(|address| AddressGrant {
            address,
            local: None,
            dns: None,
        });
        self.session
            .handle_address(grant, self.now, &mut self.rng, &mut self.out);
    }

    /// The peer asks for nothing and takes everything.
    fn negotiate(&mut self) {
        for _ in 0..2 {
            let Some(sent) = self.last.clone() else {
                return;
            };
            if sent.code != 1 || sent.protocol != Protocol::LCP && sent.protocol != Protocol::IPCP {
                return;
            }
            let options: &[u8] = if sent.protocol == Protocol::LCP {
                &[5, 6, 0xab, 0xad, 0xca, 0xfe]
            } else {
                &[3, 6, 100, 64, 0, 17]
            };
            let request = frame(sent.protocol, 1, 1, options);
            let _: Result<(), &str> = self.frame(&request);
            self.settle();
            let answer = frame(sent.protocol, 2, sent.id, &sent.data);
            let _: Result<(), &str> = self.frame(&answer);
            self.settle();
        }
    }

    fn wait(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= until) {
            assert!(due >= self.now, "a timeout in the past is never served");
            self.now = due;
            self.session
                .handle_timeout(self.now, &mut self.rng, &mut self.out);
            let next = self.session.poll_timeout();
            assert!(
                next.is_none_or(|next| next > due),
                "a timeout that stays due"
            );
            self.settle();
        }
        self.now = until;
    }

    /// Takes what came out: up before down, nothing after the end.
    fn settle(&mut self) {
        for event in self.out.events.drain(..) {
            assert!(!self.over, "{event:?} after the end");
            match event {
                Event::Opened(_) => assert!(!core::mem::replace(&mut self.open, true)),
                Event::NetworkDown => assert!(core::mem::replace(&mut self.open, false)),
                Event::Closed(_) => {
                    assert!(!self.open, "closed while IP may pass");
                    self.over = true;
                }
                Event::Authenticate(request) => assert!(request.name.len() <= 253),
                Event::LcpOpened(_)
                | Event::Repeated
                | Event::Withdrawn
                | Event::AddressWanted { .. }
                | Event::EchoDue
                | Event::Closing(_) => {}
            }
        }
        for octets in self.out.frames.iter() {
            let frame = Frame::parse(octets).expect("our own frames are right");
            let packet = Packet::parse(frame.information).expect("and what is in them");
            assert_eq!(packet.octets, frame.information, "we pad nothing");
            self.last = Some(Sent {
                protocol: frame.protocol,
                code: packet.code.0,
                id: packet.id,
                data: packet.data.to_vec(),
            });
        }
        self.out.clear();
        assert_eq!(self.over, self.session.phase() == Phase::Dead);
        // An open session whose peer has rejected echoes waits for nothing.
        assert!(self.over || self.open || self.session.poll_timeout().is_some());
    }

    /// A peer that says nothing more: the session ends, or it was open.
    fn leave_alone(&mut self) {
        self.wait(Duration::from_secs(180));
        match self.session.phase() {
            Phase::Dead => assert!(self.over && self.session.poll_timeout().is_none()),
            Phase::Network => assert!(self.open),
            stuck @ (Phase::Establish | Phase::Authenticate | Phase::Terminate) => {
                panic!("stuck in {stuck:?}")
            }
        }
    }
}

/// A frame with that packet in it.
pub(crate) fn frame(protocol: Protocol, code: u8, id: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Framing::default().emit_header(protocol, &mut frame);
    emit_packet(&mut frame, Code(code), id, |out| {
        out.extend_from_slice(data);
    });
    frame
}
