//! One end of a tunnel against octets and messages written by hand: the bench that the tests share, and
//! what a tunnel costs.

mod authentication;
mod closing;
mod hostile;
mod opening;
mod states;

use std::sync::Arc;

use lns_crypto::{Rng, Secret};
use lns_tables::time::Instant;
use lns_wire::id::{PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{
    ControlHeader, GeneralError, Message, Packet, ProtocolVersion, Scccn, Sccrq, Seq16,
    StopCcnResult,
};

use super::{Tunnel, TunnelEvent};
use crate::channel::Arrival;
use crate::config::{HostName, SecretChoice, Secrets, TunnelConfig};
use crate::error::Error;
use crate::reason::CloseReason;

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

    fn handle(
        &mut self,
        session: u16,
        ns: u16,
        body: &[u8],
        now: Instant,
    ) -> Result<Arrival, Error> {
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
    fn receive(&mut self, message: &Message<'_>) -> Result<Arrival, Error> {
        let mut body = Vec::new();
        message.emit(&mut body).unwrap();
        self.receive_octets(0, &body)
    }

    fn receive_octets(&mut self, session: u16, body: &[u8]) -> Result<Arrival, Error> {
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

#[test]
fn a_tunnel_without_messages_is_small() {
    let size = size_of::<Tunnel>();
    assert!(size <= 512, "{size} octets for each of 65,535 tunnels");
    assert!(
        size_of::<crate::Call>() <= 16,
        "for each of a million calls"
    );
}
