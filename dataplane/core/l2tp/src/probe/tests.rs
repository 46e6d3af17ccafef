//! A probe and an LNS that is one tunnel, in virtual time.

use core::ops::Add as _;

use lns_crypto::Secret;

use super::*;
use crate::{HostName, RetransmitConfig, SecretChoice, Secrets, emit_refusal};

const OURS: TunnelId = TunnelId(0x1111);
const THEIRS: TunnelId = TunnelId(0x2222);

fn config(name: &str, secret: Option<&str>) -> TunnelConfig {
    TunnelConfig {
        secrets: secret.map(|secret| Secrets::single(Secret::new(secret.as_bytes()))),
        hello: None,
        retransmit: RetransmitConfig {
            tries: 2,
            ..RetransmitConfig::default()
        },
        ..TunnelConfig::new(HostName::new(name.as_bytes()).unwrap())
    }
}

/// An LNS, as far as one tunnel goes.
struct Lns {
    config: Arc<TunnelConfig>,
    tunnel: Option<Tunnel>,
    /// The kind of message at which it dies: it takes in that one no more.
    deaf_from: Option<&'static str>,
}

/// Asks `lns` until there is an outcome; a round trip takes 10 ms. The third datagram from either side is the first
/// that arrives, if the line `loses`.
fn ask(secret: Option<&str>, lns: &mut Lns, loses: bool) -> Result<Said, ProbeError> {
    let mut rng = Rng::from_seed([3; 32]);
    let mut now = Instant::from_millis(1000);
    let mut probe = Probe::new(config("probe", secret), OURS, now, &mut rng);
    let mut out = Vec::new();
    let mut lost = if loses { 2 } else { 0 };
    loop {
        while probe.poll_transmit(now, &mut out) {
            if lost > 0 {
                lost -= 1;
                continue;
            }
            let later = now.add(Duration::from_millis(10));
            let answers = lns.take(&out, now, &mut rng);
            for answer in answers {
                now = now.max(later);
                probe.handle_datagram(&answer, now, &mut rng);
            }
        }
        if let Some(outcome) = probe.outcome() {
            return outcome.cloned();
        }
        let next = probe.poll_timeout().expect("an end in sight");
        now = now.max(next);
        probe.handle_timeout(now);
    }
}

impl Lns {
    fn new(secret: Option<&str>) -> Self {
        Self {
            config: Arc::new(config("lns1", secret)),
            tunnel: None,
            deaf_from: None,
        }
    }

    fn take(&mut self, payload: &[u8], now: Instant, rng: &mut Rng) -> Vec<Vec<u8>> {
        let Ok(Packet::Control(header, body)) = Packet::parse(payload) else {
            panic!("{payload:?}")
        };
        let kind = lns_wire::l2tp::MessageType::peek(body).map(lns_wire::l2tp::MessageType::label);
        if self.deaf_from.is_some() && kind.ok() == self.deaf_from {
            return vec![];
        }
        let mut answers = Vec::new();
        match (&mut self.tunnel, Message::parse(body)) {
            (None, Ok(Message::Sccrq(sccrq))) => {
                let config = Arc::clone(&self.config);
                let choice = SecretChoice::Current;
                match Tunnel::accept(config, THEIRS, &sccrq, choice, now, rng) {
                    Ok(tunnel) => self.tunnel = Some(tunnel),
                    Err(reason) => {
                        let mut out = Vec::new();
                        emit_refusal(sccrq.assigned_tunnel, reason, &mut out).unwrap();
                        answers.push(out);
                    }
                }
            }
            (Some(tunnel), _) => {
                tunnel.handle_control(header, body, now, rng).ok();
            }
            (None, _) => {}
        }
        let mut out = Vec::new();
        while let Some(tunnel) = &mut self.tunnel
            && tunnel.poll_transmit(now, &mut out)
        {
            answers.push(out.clone());
        }
        answers
    }

    /// Whether nothing of the tunnel is left but the patience to acknowledge its end again.
    fn is_rid_of_it(&self) -> bool {
        let state = self.tunnel.as_ref().map(Tunnel::state);
        matches!(
            state,
            None | Some(TunnelState::Lingering | TunnelState::Closed)
        )
    }
}

#[test]
fn an_lns_that_serves_says_who_it_is_and_keeps_nothing() {
    for secret in [None, Some("shared")] {
        let mut lns = Lns::new(secret);
        let said = ask(secret, &mut lns, false).unwrap();
        assert_eq!(&*said.host_name, b"lns1");
        assert_eq!(&*said.vendor, b"", "we name none");
        assert_eq!(said.version, ProtocolVersion::ONE);
        assert_eq!(said.receive_window, limits::RECEIVE_WINDOW);
        assert_eq!(said.round_trip, Duration::from_millis(10));
        assert_eq!(said.requests, 1);
        assert_eq!([said.challenges, said.responds], [secret.is_some(); 2]);
        assert!(lns.is_rid_of_it());
    }
}

#[test]
fn what_is_lost_is_sent_again_and_told() {
    let mut lns = Lns::new(Some("shared"));
    let said = ask(Some("shared"), &mut lns, true).unwrap();
    assert_eq!(said.requests, 3);
    assert_eq!(said.round_trip, Duration::from_millis(10));
    assert!(lns.is_rid_of_it());
}

#[test]
fn secrets_that_do_not_fit_are_told_apart() {
    let refused = |outcome| match outcome {
        Err(ProbeError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let other = ask(Some("shared"), &mut Lns::new(Some("another")), false);
    assert_eq!(other, Err(ProbeError::OtherSecret));
    let none = ask(None, &mut Lns::new(Some("shared")), false);
    assert_eq!(none, Err(ProbeError::WantsSecret));
    let refusal = refused(ask(Some("shared"), &mut Lns::new(None), false));
    assert_eq!(refusal.result, StopCcnResult::NOT_AUTHORIZED);
    assert_eq!(
        refusal.to_string(),
        "result 4 (not_authorized), \"not authorized\""
    );
}

#[test]
fn silence_is_told_by_where_it_began() {
    let silent = |from: &'static str| {
        let mut lns = Lns::new(None);
        lns.deaf_from = Some(from);
        ask(None, &mut lns, false).unwrap_err()
    };
    assert_eq!(silent("SCCRQ"), ProbeError::Silent { requests: 3 });
    assert_eq!(silent("SCCCN"), ProbeError::Lost);
    assert_eq!(silent("StopCCN"), ProbeError::Lost);
}

#[test]
fn what_is_no_message_of_the_tunnel_changes_nothing() {
    let mut rng = Rng::from_seed([3; 32]);
    let now = Instant::from_millis(1000);
    let mut probe = Probe::new(config("probe", None), OURS, now, &mut rng);
    let mut stop = Vec::new();
    emit_refusal(
        lns_wire::id::PeerTunnelId(0x1112),
        StopReason::Shutdown,
        &mut stop,
    )
    .unwrap();
    for payload in [&[][..], &[0xc8], b"HTTP/1.1 400 Bad Request\r\n", &stop] {
        probe.handle_datagram(payload, now, &mut rng);
        assert_eq!((probe.outcome(), probe.said()), (None, None));
    }
}
