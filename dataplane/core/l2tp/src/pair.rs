//! Two tunnels, a LAC's and an LNS's, in virtual time on a line that loses, repeats and delays.

use core::ops::Add as _;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use lns_crypto::{Rng, Secret};
use lns_tables::time::Instant;
use lns_wire::id::{PeerTunnelId, SessionId, TunnelId};
use lns_wire::l2tp::{Iccn, Icrq, Message, Packet, Proxy};

use crate::{
    Call, CallAction, CdnReason, CloseReason, HostName, KeptMessage, MessageNumber,
    RetransmitConfig, SecretChoice, Secrets, StopReason, Tunnel, TunnelConfig, TunnelEvent,
    TunnelImage, TunnelState, emit_refusal, hiding, limits,
};

const LAC: TunnelId = TunnelId(0x1111);
const LNS: TunnelId = TunnelId(0x2222);

/// What the line does to a payload, in percent, and how long it takes at most, in milliseconds.
#[derive(Clone, Copy)]
struct Line {
    loss: u16,
    repeat: u16,
    delay: u16,
}

const CLEAN: Line = Line {
    loss: 0,
    repeat: 0,
    delay: 1,
};

/// An end and its calls: the parts of a node that a tunnel needs.
struct End {
    tunnel: Option<Tunnel>,
    config: Arc<TunnelConfig>,
    /// Of the LNS, what it remembers of the LAC.
    choice: SecretChoice,
    calls: Vec<Call>,
    events: VecDeque<TunnelEvent>,
    connected: Vec<u16>,
    sent: usize,
    /// What its calls have said.
    said: Vec<MessageNumber>,
    /// How often, in percent, its node dies between what it stores and what it sends.
    mortality: u16,
    takeovers: usize,
}

struct Pair {
    lac: End,
    lns: End,
    now: Instant,
    rng: Rng,
    line: Line,
    /// When a payload arrives, whether at the LNS, and what it is.
    under_way: Vec<(Instant, bool, Vec<u8>)>,
}

fn config(name: &str, secrets: impl Into<Option<Secrets>>) -> TunnelConfig {
    TunnelConfig {
        secrets: secrets.into(),
        ..TunnelConfig::new(HostName::new(name.as_bytes()).unwrap())
    }
}

fn secrets(current: &str, previous: Option<&str>) -> Secrets {
    let secret = |text: &str| Secret::new(text.as_bytes());
    Secrets {
        current: secret(current),
        previous: previous.map(secret),
    }
}

impl Pair {
    fn new(lac: TunnelConfig, lns: TunnelConfig, line: Line, seed: u8) -> Self {
        let end = |config| End {
            tunnel: None,
            config: Arc::new(config),
            choice: SecretChoice::Current,
            calls: vec![],
            events: VecDeque::new(),
            connected: vec![],
            sent: 0,
            said: vec![],
            mortality: 0,
            takeovers: 0,
        };
        let (lac, lns) = (end(lac), end(lns));
        let rng = Rng::from_seed([seed; 32]);
        Self {
            lac,
            lns,
            now: Instant::from_millis(1_000),
            rng,
            line,
            under_way: vec![],
        }
    }

    /// The LAC asks for a tunnel.
    fn dial(&mut self) {
        let config = Arc::clone(&self.lac.config);
        self.lac.tunnel = Some(Tunnel::connect(config, LAC, self.now, &mut self.rng));
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now.add(Duration::from_secs(seconds));
        self.flush();
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.arrive();
            for tunnel in [&mut self.lac.tunnel, &mut self.lns.tunnel]
                .into_iter()
                .flatten()
            {
                tunnel.handle_timeout(self.now);
            }
            self.flush();
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<Instant> {
        let timers =
            [&self.lac, &self.lns].map(|end| end.tunnel.as_ref().and_then(Tunnel::poll_timeout));
        self.under_way
            .iter()
            .map(|(at, ..)| *at)
            .chain(timers.into_iter().flatten())
            .min()
    }

    fn arrive(&mut self) {
        let (due, later) = core::mem::take(&mut self.under_way)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.under_way = later;
        let due: Vec<(Instant, bool, Vec<u8>)> = due;
        for (_, to_lns, payload) in due {
            let Ok(Packet::Control(header, body)) = Packet::parse(&payload) else {
                panic!("{payload:?}")
            };
            if to_lns && self.lns.tunnel.is_none() {
                self.accept(body);
                continue;
            }
            let end = if to_lns { &mut self.lns } else { &mut self.lac };
            if let Some(tunnel) = &mut end.tunnel {
                // What comes too late, or too early for the window, is dropped: that is the line's fault.
                let _: Result<crate::Arrival, crate::Error> =
                    tunnel.handle_control(header, body, self.now, &mut self.rng);
            }
        }
    }

    fn accept(&mut self, body: &[u8]) {
        let config = Arc::clone(&self.lns.config);
        let Ok((clear, _)) = hiding::open(body, config.secrets.as_ref(), self.lns.choice) else {
            return;
        };
        // A late message of an old tunnel finds none.
        let Ok(Message::Sccrq(sccrq)) = Message::parse(&clear) else {
            return;
        };
        match Tunnel::accept(
            config,
            LNS,
            &sccrq,
            self.lns.choice,
            self.now,
            &mut self.rng,
        ) {
            Ok(tunnel) => self.lns.tunnel = Some(tunnel),
            Err(reason) => {
                let mut out = Vec::new();
                emit_refusal(sccrq.assigned_tunnel, reason, &mut out).unwrap();
                self.under_way.push((self.now, false, out));
            }
        }
    }

    fn flush(&mut self) {
        let (rng, line) = (&mut self.rng, self.line);
        for (end, to_lns) in [(&mut self.lac, true), (&mut self.lns, false)] {
            let End {
                tunnel: Some(tunnel),
                ..
            } = end
            else {
                continue;
            };
            while let Some(event) = tunnel.poll_event() {
                if let TunnelEvent::Closed {
                    retry_with: Some(choice),
                    ..
                } = event
                {
                    end.choice = choice;
                }
                if let TunnelEvent::Call(message) = &event {
                    let message_in = message.message().unwrap();
                    let at = usize::from(message.session().0);
                    on_call(
                        tunnel,
                        (&mut end.calls, &mut end.connected, &mut end.said),
                        at,
                        &message_in,
                        rng,
                    );
                }
                end.events.push_back(event);
            }
            let stored = stored(tunnel, &end.said, self.now);
            let mut out = Vec::new();
            while tunnel.poll_transmit(self.now, &mut out) {
                if let Some((image, of_calls)) = &stored
                    && rng.u16() % 100 < end.mortality
                {
                    let config = Arc::clone(&end.config);
                    let (image, of_calls) = (image.clone(), of_calls.clone());
                    *tunnel = Tunnel::restore(config, tunnel.local(), image, of_calls, self.now);
                    end.takeovers += 1;
                    continue;
                }
                end.sent += 1;
                let copies = usize::from(rng.u16() % 100 >= line.loss)
                    + usize::from(rng.u16() % 100 < line.repeat);
                for _ in 0..copies {
                    let delay = Duration::from_millis(u64::from(rng.u16() % line.delay + 1));
                    self.under_way
                        .push((self.now.add(delay), to_lns, out.clone()));
                }
            }
            if tunnel.is_drained() {
                end.tunnel = None;
            }
        }
    }

    /// The LAC announces `count` calls.
    fn call(&mut self, count: u16) {
        let tunnel = self.lac.tunnel.as_mut().unwrap();
        for _ in 0..count {
            let id = u16::try_from(self.lac.calls.len()).unwrap() + 1;
            self.lac.calls.push(Call::offer(SessionId(id)));
            let icrq = Icrq {
                assigned_session: lns_wire::id::PeerSessionId(id),
                serial_number: id.into(),
                calling_number: Some(b"0301234567"),
                ..Icrq::default()
            };
            tunnel
                .send_call(
                    lns_wire::id::PeerSessionId::NONE,
                    &Message::Icrq(icrq),
                    &mut self.rng,
                )
                .unwrap();
        }
    }

    fn states(&self) -> [Option<TunnelState>; 2] {
        [&self.lac, &self.lns].map(|end| end.tunnel.as_ref().map(Tunnel::state))
    }

    fn is_up(&self) -> bool {
        self.states() == [Some(TunnelState::Established); 2]
    }
}

/// What a node would have stored of a tunnel and its calls.
fn stored(
    tunnel: &Tunnel,
    said: &[MessageNumber],
    now: Instant,
) -> Option<(TunnelImage, Vec<KeptMessage>)> {
    let image = tunnel.image(now)?;
    let of_calls = said.iter().filter_map(|number| tunnel.kept(*number));
    Some((image, of_calls.collect()))
}

/// Does with a call's message what a node would. Session ids are places in `calls`, from 1.
fn on_call(
    tunnel: &mut Tunnel,
    (calls, connected, said): (&mut Vec<Call>, &mut Vec<u16>, &mut Vec<MessageNumber>),
    at: usize,
    message: &Message<'_>,
    rng: &mut Rng,
) {
    if let Message::Icrq(icrq) = message {
        assert_eq!(icrq.calling_number, Some(&b"0301234567"[..]));
        let id = u16::try_from(calls.len()).unwrap() + 1;
        let call = Call::answer(SessionId(id), icrq);
        said.push(tunnel.send_call(call.peer(), &call.icrp(), rng).unwrap());
        calls.push(call);
        return;
    }
    let call = &mut calls[at - 1];
    match call.handle(message) {
        CallAction::Replied => {
            let proxy = Proxy {
                authen_name: Some(b"user@isp"),
                ..Proxy::default()
            };
            let iccn = Message::Iccn(Iccn {
                proxy,
                ..Iccn::default()
            });
            tunnel.send_call(call.peer(), &iccn, rng).unwrap();
            connected.push(call.local().0);
        }
        CallAction::Connected => {
            let Message::Iccn(iccn) = message else {
                panic!("{message:?}")
            };
            assert_eq!(iccn.proxy.authen_name, Some(&b"user@isp"[..]));
            connected.push(call.local().0);
        }
        action @ (CallAction::Closed
        | CallAction::Refused(_)
        | CallAction::Errors(_)
        | CallAction::LinkInfo(_)
        | CallAction::Ignored) => panic!("{action:?}"),
    }
}

fn closed(end: &mut End) -> Option<CloseReason> {
    end.events.drain(..).find_map(|event| match event {
        TunnelEvent::Closed { reason, .. } => Some(reason),
        TunnelEvent::Established | TunnelEvent::Call(_) | TunnelEvent::InvalidCall { .. } => None,
    })
}

#[test]
fn a_tunnel_comes_up_with_and_without_a_secret() {
    for secret in [None, Some(secrets("s3cret", None))] {
        let mut pair = Pair::new(
            config("lac", secret.clone()),
            config("lns", secret),
            CLEAN,
            1,
        );
        pair.dial();
        pair.run(1);
        assert!(pair.is_up());
        let (lac, lns) = (
            pair.lac.tunnel.as_ref().unwrap(),
            pair.lns.tunnel.as_ref().unwrap(),
        );
        assert_eq!(
            (lac.peer(), lns.peer()),
            (PeerTunnelId(LNS.0), PeerTunnelId(LAC.0))
        );
        assert_eq!(
            (lac.peer_name(), lns.peer_name()),
            (&b"lns"[..], &b"lac"[..])
        );
        assert_eq!(lns.peer_vendor(), b"kubelns");
        assert_eq!(pair.lac.sent, 2, "SCCRQ, SCCCN");
        assert_eq!(pair.lns.sent, 2, "SCCRP, ZLB");
    }
}

#[test]
fn a_secret_that_one_side_lacks_or_has_otherwise_brings_nothing_up() {
    let cases = [
        (Some(secrets("one", None)), Some(secrets("two", None))),
        (Some(secrets("one", None)), None),
        (None, Some(secrets("two", None))),
    ];
    for (lac, lns) in cases {
        let mut pair = Pair::new(config("lac", lac), config("lns", lns), CLEAN, 1);
        pair.dial();
        pair.run(5);
        assert!(!pair.is_up());
        let label = closed(&mut pair.lac).unwrap();
        assert!(label.label().ends_with("not_authorized"), "{label:?}");
        pair.run(60);
        assert_eq!(pair.states(), [None, None], "both are drained");
    }
}

#[test]
fn a_lac_with_the_previous_secret_comes_up_at_its_second_attempt() {
    let mut pair = Pair::new(
        config("lac", secrets("old", None)),
        config("lns", secrets("new", Some("old"))),
        CLEAN,
        1,
    );
    pair.dial();
    pair.run(5);
    assert!(!pair.is_up());
    assert_eq!(
        closed(&mut pair.lac),
        Some(CloseReason::Local(StopReason::NotAuthorized))
    );
    assert_eq!(
        closed(&mut pair.lns).unwrap().label(),
        "peer_not_authorized"
    );
    assert_eq!(pair.lns.choice, SecretChoice::Previous);
    pair.run(40);
    pair.dial();
    pair.run(1);
    assert!(pair.is_up());
    // And when the LAC has changed too, what is remembered of it is wrong once.
    pair.lac
        .tunnel
        .as_mut()
        .unwrap()
        .close(StopReason::Requested, pair.now);
    pair.run(40);
    pair.lac.config = Arc::new(config("lac", secrets("new", None)));
    pair.dial();
    pair.run(5);
    assert!(!pair.is_up());
    pair.run(40);
    pair.dial();
    pair.run(1);
    assert!(pair.is_up());
}

#[test]
fn calls_come_up_once_each_over_any_line_hidden_or_not() {
    for seed in 0..40 {
        let line = Line {
            loss: u16::from(seed % 4) * 10,
            repeat: 20,
            delay: 300,
        };
        let secret = (seed % 2 == 0).then(|| secrets("s3cret", None));
        let hide = seed % 2 == 0;
        // Nobody gives up: six losses in a row do happen where a third is lost.
        let retransmit = RetransmitConfig {
            tries: 20,
            ..RetransmitConfig::default()
        };
        let lac = TunnelConfig {
            retransmit,
            hide,
            ..config("lac", secret.clone())
        };
        let lns = TunnelConfig {
            retransmit,
            hide,
            ..config("lns", secret)
        };
        let mut pair = Pair::new(lac, lns, line, seed);
        pair.dial();
        pair.run(60);
        assert!(pair.is_up(), "seed {seed}");
        pair.call(150);
        pair.run(600);
        let all: Vec<u16> = (1..=150).collect();
        assert_eq!(pair.lac.connected, all, "seed {seed}");
        assert_eq!(pair.lns.connected, all, "seed {seed}");
        pair.lns
            .tunnel
            .as_mut()
            .unwrap()
            .close(StopReason::Shutdown, pair.now);
        pair.run(300);
        assert_eq!(pair.states(), [None, None], "seed {seed}");
    }
}

#[test]
fn hidden_calls_show_neither_number_nor_name() {
    let secret = secrets("s3cret", None);
    let lac = TunnelConfig {
        hide: true,
        ..config("lac", secret.clone())
    };
    let mut pair = Pair::new(lac, config("lns", secret), CLEAN, 3);
    pair.dial();
    pair.run(1);
    pair.call(1);
    let mut out = Vec::new();
    assert!(
        pair.lac
            .tunnel
            .as_mut()
            .unwrap()
            .poll_transmit(pair.now, &mut out)
    );
    assert!(!out.windows(10).any(|octets| octets == b"0301234567"));
    pair.under_way.push((pair.now, true, out));
    pair.run(1);
    assert_eq!(pair.lns.connected, [1]);
}

#[test]
fn when_everything_is_lost_both_sides_give_up_after_31_seconds() {
    let mut pair = Pair::new(config("lac", None), config("lns", None), CLEAN, 1);
    pair.dial();
    pair.run(1);
    assert!(pair.is_up());
    pair.line.loss = 100;
    pair.call(1);
    pair.run(30);
    assert!(pair.lac.tunnel.is_some());
    pair.run(1);
    assert_eq!(closed(&mut pair.lac), Some(CloseReason::NoAnswer));
    assert!(pair.lac.tunnel.is_none(), "a StopCCN would not arrive");
    // The LNS notices by its HELLO after 60 seconds of silence.
    pair.run(60);
    assert_eq!(closed(&mut pair.lns), Some(CloseReason::NoAnswer));
}

#[test]
fn silent_tunnels_stay_up_by_hello() {
    let mut pair = Pair::new(config("lac", None), config("lns", None), CLEAN, 1);
    pair.dial();
    pair.run(1);
    let before = pair.lns.sent;
    pair.run(3_600);
    assert!(pair.is_up());
    let hellos = pair.lns.sent - before;
    assert!(
        (59..=122).contains(&hellos),
        "HELLOs of one side are heard by the other: {hellos}"
    );
}

/// A line on which a takeover may come at any moment, and a LAC that must not notice.
fn mortal(seed: u8, mortality: u16) -> Pair {
    let secret = secrets("s3cret", None);
    let line = Line {
        loss: 10,
        repeat: 10,
        delay: 40,
    };
    let mut lns = config("lns", secret.clone());
    lns.hello = Some(Duration::from_secs(20));
    let mut pair = Pair::new(config("lac", secret), lns, line, seed);
    pair.lns.mortality = mortality;
    pair
}

#[test]
fn a_takeover_at_any_moment_is_noticed_by_no_lac() {
    let mut takeovers = 0;
    for seed in 0..100 {
        let mut pair = mortal(seed, 10);
        pair.dial();
        pair.run(40);
        assert!(pair.is_up(), "seed {seed}: {:?}", pair.states());
        pair.call(100);
        pair.run(200);
        assert!(pair.is_up(), "seed {seed}: {:?}", pair.states());
        for end in [&pair.lac, &pair.lns] {
            assert!(end.connected.iter().copied().eq(1..=100), "seed {seed}");
        }
        takeovers += pair.lns.takeovers;
    }
    assert!(takeovers > 1000, "{takeovers}");
}

#[test]
fn a_tunnel_that_ends_goes_on_ending_after_a_takeover() {
    for seed in 0..50 {
        let mut pair = mortal(seed, 20);
        pair.lns.mortality = 0;
        pair.dial();
        pair.run(40);
        pair.lns.mortality = 20;
        let tunnel = pair.lns.tunnel.as_mut().unwrap();
        tunnel.close(StopReason::Requested, pair.now);
        pair.run(70);
        assert_eq!(pair.states(), [None, None], "seed {seed}");
        let reason = closed(&mut pair.lac);
        assert!(
            matches!(reason, Some(CloseReason::Peer { .. })),
            "{reason:?}"
        );
    }
}

#[test]
fn takeovers_around_the_wrap_of_ns_lose_nothing() {
    for first in [32_766_u64, 65_534, (1 << 16) + 65_534] {
        let lns = Arc::new(config("lns", None));
        let image = TunnelImage {
            peer: PeerTunnelId(LAC.0),
            state: TunnelState::Established,
            choice: SecretChoice::Current,
            challenge: None,
            was_challenged: false,
            peer_name: Box::default(),
            peer_vendor: Box::default(),
            silent: Duration::ZERO,
            remaining: None,
            channel: crate::ChannelImage {
                acknowledged: first,
                queued: first,
                received: 7,
                peer_window: 4,
                messages: vec![],
            },
        };
        let now = Instant::from_millis(1_000);
        let mut rng = Rng::from_seed([0; 32]);
        let mut tunnel = Tunnel::restore(Arc::clone(&lns), LNS, image, [], now);
        let mut said = vec![];
        for id in 1..=4 {
            let peer = lns_wire::id::PeerSessionId(id);
            let icrq = Icrq {
                assigned_session: peer,
                ..Icrq::default()
            };
            let call = Call::answer(SessionId(id), &icrq);
            said.push(tunnel.send_call(peer, &call.icrp(), &mut rng).unwrap());
        }
        let numbers: Vec<u64> = said.iter().map(|number| number.0).collect();
        assert_eq!(numbers, [first, first + 1, first + 2, first + 3]);
        let (image, of_calls) = stored(&tunnel, &said, now).unwrap();
        let mut tunnel = Tunnel::restore(lns, LNS, image, of_calls, now);
        let mut seen = vec![];
        let mut out = Vec::new();
        while tunnel.poll_transmit(now, &mut out) {
            let Ok(Packet::Control(header, body)) = Packet::parse(&out) else {
                panic!("{out:?}")
            };
            assert!(matches!(Message::parse(body), Ok(Message::Icrp(_))));
            assert_eq!(
                (header.session.0, header.nr.0),
                (1 + u16::try_from(seen.len()).unwrap(), 7)
            );
            seen.push(header.ns.0);
            let zlb = lns_wire::l2tp::ControlHeader {
                tunnel: LNS,
                session: SessionId::NONE,
                ns: lns_wire::l2tp::Seq16(7),
                nr: header.ns.plus(1),
            };
            tunnel.handle_control(zlb, &[], now, &mut rng).unwrap();
        }
        let expected: Vec<u16> = (first..first + 4)
            .map(|ns| u16::try_from(ns & 0xffff).unwrap())
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(tunnel.channel().unacknowledged, 0);
    }
}

#[test]
fn what_was_acknowledged_after_the_record_was_written_is_acknowledged_after_a_takeover() {
    let lns = Arc::new(config("lns", None));
    let now = Instant::from_millis(1_000);
    let mut rng = Rng::from_seed([0; 32]);
    let mut pair = Pair::new(config("lac", None), config("lns", None), CLEAN, 1);
    pair.dial();
    pair.run(1);
    let tunnel = pair.lns.tunnel.as_mut().unwrap();
    for id in 1..=9 {
        let peer = lns_wire::id::PeerSessionId(id);
        tunnel
            .refuse_call(peer, CdnReason::NoFacilitiesNow, &mut rng)
            .unwrap();
    }
    // More than the windows let out at once have left and come since.
    let image = TunnelImage {
        channel: crate::ChannelImage {
            peer_window: 1,
            ..tunnel.image(now).unwrap().channel
        },
        ..tunnel.image(now).unwrap()
    };
    let queued = u16::try_from(image.channel.queued).unwrap();
    let mut restored = Tunnel::restore(lns, LNS, image, [], now);
    let zlb = lns_wire::l2tp::ControlHeader {
        tunnel: LNS,
        session: SessionId::NONE,
        ns: restored.channel().nr,
        nr: lns_wire::l2tp::Seq16(queued),
    };
    restored.handle_control(zlb, &[], now, &mut rng).unwrap();
    assert_eq!(restored.channel().unacknowledged, 0);
    assert!(!restored.poll_transmit(now, &mut Vec::new()));
}

/// The node before had acknowledged two messages that no record has.
#[test]
fn a_lac_that_is_ahead_of_all_records_is_understood_after_a_takeover() {
    let now = Instant::from_millis(1_000);
    let mut rng = Rng::from_seed([0; 32]);
    let mut pair = Pair::new(config("lac", None), config("lns", None), CLEAN, 1);
    pair.dial();
    pair.run(1);
    let image = pair.lns.tunnel.as_mut().unwrap().image(now).unwrap();
    let lns = Arc::new(config("lns", None));
    let mut restored = Tunnel::restore(lns, LNS, image, [], now);
    let mut hello = Vec::new();
    Message::Hello.emit(&mut hello).unwrap();
    let header = lns_wire::l2tp::ControlHeader {
        tunnel: LNS,
        session: SessionId::NONE,
        ns: restored.channel().nr.plus(2),
        nr: restored.channel().ns,
    };
    for seconds in [0, 1, 3, 7] {
        let now = now + Duration::from_secs(seconds);
        let nr = restored.channel().nr;
        assert_eq!(nr.plus(2), header.ns, "not before {seconds} s");
        restored
            .handle_control(header, &hello, now, &mut rng)
            .unwrap();
    }
    assert_eq!(restored.channel().nr, header.ns.plus(1));
}

#[test]
fn a_message_that_is_in_nobodys_record_leaves_no_gap() {
    let lns = Arc::new(config("lns", None));
    let now = Instant::from_millis(1_000);
    let mut rng = Rng::from_seed([0; 32]);
    let mut pair = Pair::new(config("lac", None), config("lns", None), CLEAN, 1);
    pair.dial();
    pair.run(1);
    let tunnel = pair.lns.tunnel.as_mut().unwrap();
    let before = tunnel.image(now).unwrap().channel;
    let refused = limits::KEPT_MESSAGES + 2;
    for id in 1..=u16::try_from(refused).unwrap() {
        let peer = lns_wire::id::PeerSessionId(id);
        tunnel
            .refuse_call(peer, CdnReason::NoFacilitiesNow, &mut rng)
            .unwrap();
    }
    let image = tunnel.image(now).unwrap();
    assert_eq!(image.channel.messages.len(), limits::KEPT_MESSAGES);
    assert_eq!(
        image.channel.queued - before.queued,
        u64::try_from(refused).unwrap()
    );
    let restored = Tunnel::restore(lns, LNS, image, [], now);
    for at in 0..refused {
        let number = MessageNumber(before.queued + u64::try_from(at).unwrap());
        let kept = restored.kept(number).unwrap();
        let is_hello = matches!(Message::parse(&kept.body), Ok(Message::Hello));
        assert_eq!(is_hello, at >= limits::KEPT_MESSAGES, "{at}");
    }
}
