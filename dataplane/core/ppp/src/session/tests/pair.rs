//! A session and a subscriber over a line that loses, doubles and reorders, in virtual time.

use core::net::Ipv4Addr;
use core::ops::Add as _;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use lns_crypto::{Rng, Secret};
use lns_tables::time::Instant;

use super::super::{Phase, Session};
use super::bench::{PASSWORD, SUBSCRIBER, seconds};
use super::client::{Account, Client};
use crate::{
    AddressGrant, AuthMethod, CloseReason, Config, Error, Event, GrantedAddress, Output,
    Parameters, Verdict,
};

const DNS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// What a line does to frames: chances in 256.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    lost: u16,
    doubled: u8,
    late: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum To {
    Session,
    Client,
}

#[derive(Debug)]
struct Pair {
    session: Session,
    client: Client,
    out: Output,
    now: Instant,
    rng: Rng,
    line: Line,
    /// What is under way, by time of arrival and order of departure.
    under_way: BTreeMap<(Instant, u64), (To, Vec<u8>)>,
    departures: u64,
    open: Option<Parameters>,
    closed: Option<CloseReason>,
}

impl Pair {
    fn new(seed: u8, methods: &[AuthMethod], account: Account, line: Line) -> Self {
        let mut rng = Rng::from_seed([seed; 32]);
        let config = Config {
            authentication: Box::from(methods),
            dns: [Some(DNS), None],
            ..Config::default()
        };
        let mut out = Output::default();
        let now = Instant::from_millis(1);
        let session = Session::start(&Arc::new(config), None, now, &mut rng, &mut out);
        let client = Client::start(account, now, &mut rng);
        Self {
            session,
            client,
            out,
            now,
            rng,
            line,
            under_way: BTreeMap::new(),
            departures: 0,
            open: None,
            closed: None,
        }
    }

    /// Runs until both are open and nothing is under way, or the session is over.
    fn settle(&mut self, limit: Duration) {
        self.run(limit, |pair| {
            pair.open.is_some() && pair.client.is_up() && pair.under_way.is_empty()
        });
    }

    /// Runs until `done`, or the session is over, or `limit` has passed.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now.add(limit);
        loop {
            self.collect();
            if self.closed.is_some() || done(self) {
                return;
            }
            let timers = self
                .session
                .poll_timeout()
                .into_iter()
                .chain([self.client.poll_timeout()]);
            let arrival = self.under_way.keys().next().map(|&(at, _)| at);
            let next = timers.chain(arrival).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            assert!(next >= self.now, "time goes back");
            self.now = next;
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now;
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session
                .handle_timeout(now, &mut self.rng, &mut self.out);
        }
        if self.client.poll_timeout() <= now {
            self.client.handle_timeout(now);
        }
        while let Some(entry) = self
            .under_way
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let (to, frame) = entry.remove();
            match to {
                To::Client => self.client.handle(&frame, now, &mut self.rng),
                To::Session => {
                    let result =
                        self.session
                            .handle_frame(&frame, now, &mut self.rng, &mut self.out);
                    assert!(!matches!(result, Err(Error::Malformed(_))), "{result:?}");
                }
            }
            self.collect();
        }
    }

    fn collect(&mut self) {
        while !self.out.events.is_empty() {
            let events = core::mem::take(&mut self.out.events);
            for event in events {
                self.event(event);
            }
        }
        let frames: Vec<_> = self
            .out
            .frames
            .iter()
            .map(|frame| (To::Client, frame.to_vec()))
            .collect();
        let back: Vec<_> = self
            .client
            .frames
            .iter()
            .map(|frame| (To::Session, frame.to_vec()))
            .collect();
        self.out.frames.clear();
        self.client.frames.clear();
        for (to, frame) in frames.into_iter().chain(back) {
            self.depart(to, &frame);
        }
    }

    fn depart(&mut self, to: To, frame: &[u8]) {
        let [lost, doubled, late, wait] = self.rng.array();
        let copies = if u16::from(lost) < self.line.lost {
            0
        } else {
            1 + usize::from(doubled < self.line.doubled)
        };
        for copy in 0..copies {
            let wait = if late < self.line.late {
                10 + u64::from(wait)
            } else {
                10
            };
            let at = self.now.add(Duration::from_millis(
                wait + 3 * u64::try_from(copy).unwrap(),
            ));
            self.departures += 1;
            self.under_way
                .insert((at, self.departures), (to, frame.to_vec()));
        }
    }

    fn event(&mut self, event: Event) {
        let Self {
            session,
            now,
            rng,
            out,
            ..
        } = self;
        match event {
            Event::Authenticate(request) => {
                let verdict = match request.verify(&Secret::new(PASSWORD)) {
                    Some(acceptance) => Verdict::Accept {
                        acceptance,
                        message: Box::default(),
                    },
                    None => Verdict::Reject {
                        message: Box::default(),
                        ms_chap_error: None,
                    },
                };
                session.handle_verdict(&verdict, *now, rng, out);
            }
            Event::AddressWanted { requested } => {
                assert_eq!(requested, None);
                let grant = AddressGrant {
                    address: GrantedAddress::Fixed(SUBSCRIBER),
                    local: None,
                    dns: None,
                };
                session.handle_address(Some(grant), *now, rng, out);
            }
            Event::Opened(parameters) => self.open = Some(parameters),
            Event::NetworkDown => assert!(self.open.take().is_some(), "down without up"),
            Event::EchoDue => session.handle_echo(Instant::ZERO, *now, out),
            Event::Closed(reason) => self.closed = Some(reason),
            Event::LcpOpened(_) | Event::Closing(_) | Event::Repeated | Event::Withdrawn => {}
        }
    }

    fn assert_up(&self) {
        let parameters = self
            .open
            .unwrap_or_else(|| panic!("not open: {:?}", self.session));
        assert_eq!(parameters.address, Some(SUBSCRIBER));
        assert_eq!(
            (parameters.mru, parameters.acfc, parameters.pfc),
            (1480, true, true)
        );
        assert!(self.client.is_up(), "{:?}", self.client);
        assert_eq!(self.client.ipcp.options.address, Some(SUBSCRIBER));
        assert_eq!(self.client.ipcp.options.dns, Some(DNS));
    }
}

const ALL: [AuthMethod; 3] = [AuthMethod::Chap, AuthMethod::MsChapV2, AuthMethod::Pap];

const fn alice(method: AuthMethod) -> Account {
    Account {
        name: b"alice",
        password: PASSWORD,
        method,
    }
}

#[test]
fn every_method_comes_up_on_a_clean_line_within_round_trips() {
    for method in ALL {
        let mut pair = Pair::new(1, &ALL, alice(method), Line::default());
        pair.settle(Duration::from_millis(200));
        pair.assert_up();
    }
}

#[test]
fn a_subscriber_whose_only_method_is_not_allowed_is_refused() {
    let mut pair = Pair::new(
        1,
        &[AuthMethod::Chap, AuthMethod::MsChapV2],
        alice(AuthMethod::Pap),
        Line::default(),
    );
    pair.settle(seconds(60));
    assert_eq!(pair.closed, Some(CloseReason::AuthenticationRefused));
}

#[test]
fn a_wrong_password_ends_the_session_whatever_the_method() {
    for method in ALL {
        let account = Account {
            password: b"hare",
            ..alice(method)
        };
        let mut pair = Pair::new(1, &ALL, account, Line::default());
        pair.settle(seconds(60));
        assert_eq!(pair.closed, Some(CloseReason::AuthenticationFailed));
        assert!(pair.client.refused);
    }
}

#[test]
fn lines_that_lose_double_and_reorder_come_up_too() {
    let lines = [
        Line {
            lost: 25,
            ..Line::default()
        },
        Line {
            doubled: 128,
            ..Line::default()
        },
        Line {
            late: 128,
            ..Line::default()
        },
        Line {
            lost: 25,
            doubled: 50,
            late: 50,
        },
    ];
    for line in lines {
        for seed in 0..32 {
            for method in ALL {
                let mut pair = Pair::new(seed, &ALL, alice(method), line);
                pair.settle(seconds(60));
                assert_eq!(pair.closed, None, "{line:?} {seed} {method:?}");
                pair.assert_up();
            }
        }
    }
}

#[test]
fn a_subscriber_that_starts_over_comes_up_again() {
    for method in ALL {
        let mut pair = Pair::new(3, &ALL, alice(method), Line::default());
        pair.settle(seconds(1));
        for _ in 0..3 {
            pair.assert_up();
            pair.client.renegotiate(pair.now);
            pair.now = pair.now.add(seconds(1));
            pair.settle(seconds(10));
        }
        pair.assert_up();
    }
}

#[test]
fn a_line_that_goes_dead_is_noticed_by_the_echo() {
    let mut pair = Pair::new(3, &ALL, alice(AuthMethod::Chap), Line::default());
    pair.settle(seconds(1));
    pair.assert_up();
    // The echo keeps a live one.
    pair.run(seconds(600), |_| false);
    assert_eq!((pair.closed, pair.session.phase()), (None, Phase::Network));
    pair.line.lost = 256;
    let before = pair.now;
    pair.run(seconds(600), |_| false);
    assert_eq!(pair.closed, Some(CloseReason::LostCarrier));
    // Thirty seconds of silence, four echoes, thirty seconds for the last.
    let took = pair.now.since(before);
    assert!((seconds(120)..=seconds(180)).contains(&took), "{took:?}");
}

impl Pair {
    /// Another node goes on with what was stored of the session.
    fn take_over(&mut self) {
        let image = self.session.image(self.now).expect("it is open");
        assert_eq!(Some(image.parameters()), self.open);
        let config = Arc::clone(&self.session.config);
        self.session = Session::restore(&config, image.clone(), self.now, &mut self.rng);
        assert_eq!(self.session.image(self.now), Some(image));
        self.out.clear();
    }
}

#[test]
fn a_takeover_of_an_open_session_is_noticed_by_no_subscriber() {
    for method in ALL {
        let mut pair = Pair::new(4, &ALL, alice(method), Line::default());
        let mut config = Config::clone(&pair.session.config);
        config.rechallenge = Some(seconds(40));
        let config = Arc::new(config);
        pair.session = Session::start(&config, None, pair.now, &mut pair.rng, &mut pair.out);
        pair.settle(seconds(1));
        for _ in 0..20 {
            pair.assert_up();
            let before = pair.client.lcp.options.magic();
            pair.take_over();
            // Echoes and challenges go on.
            pair.run(seconds(7), |_| false);
            pair.run(seconds(60), |pair| pair.under_way.is_empty());
            assert_eq!(pair.client.lcp.options.magic(), before, "LCP began anew");
            assert_eq!(pair.closed, None);
        }
        pair.assert_up();
        pair.take_over();
        pair.client.renegotiate(pair.now);
        pair.settle(seconds(10));
        pair.assert_up();
        pair.take_over();
        pair.line.lost = 256;
        pair.run(seconds(600), |_| false);
        assert!(pair.closed.is_some(), "a dead line is not noticed");
    }
}

#[test]
fn a_takeover_right_behind_our_last_word_comes_up_too() {
    let line = Line {
        lost: 40,
        doubled: 50,
        late: 50,
    };
    for seed in 0..64 {
        for method in ALL {
            let mut pair = Pair::new(seed, &ALL, alice(method), line);
            pair.run(seconds(60), |pair| pair.open.is_some());
            assert_eq!(pair.closed, None, "{seed} {method:?}");
            // Nothing of what it said last has left.
            pair.take_over();
            pair.settle(seconds(60));
            assert_eq!(pair.closed, None, "{seed} {method:?}");
            pair.assert_up();
        }
    }
}

#[test]
fn a_session_that_is_not_open_has_no_image() {
    let mut pair = Pair::new(4, &ALL, alice(AuthMethod::Chap), Line::default());
    assert_eq!(pair.session.image(pair.now), None);
    pair.settle(seconds(1));
    pair.client.renegotiate(pair.now);
    pair.run(seconds(1), |pair| pair.open.is_none());
    assert_eq!(pair.session.image(pair.now), None);
}
