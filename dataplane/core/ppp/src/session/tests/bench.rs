//! One session on a bench: frames go in by hand, and all that comes out is kept.

use core::net::Ipv4Addr;
use core::ops::Add as _;
use core::time::Duration;
use std::sync::Arc;

use lns_crypto::{Rng, Secret};
use lns_tables::time::Instant;
use lns_wire::ppp::{Code, Frame, Packet, Protocol, emit_packet};

use super::super::{Phase, Session};
use crate::{
    Acceptance, AddressGrant, AuthMethod, AuthRequest, CloseReason, Config, Error, Event,
    GrantedAddress, Output, Parameters, Proxy, Verdict,
};

pub(super) const SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 17);
pub(super) const PASSWORD: &[u8] = b"tortoise";
/// The magic number of the peer on the other end of the bench.
pub(super) const MAGIC: [u8; 4] = [0xab, 0xad, 0xca, 0xfe];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sent {
    pub(super) protocol: Protocol,
    pub(super) code: u8,
    pub(super) id: u8,
    pub(super) data: Vec<u8>,
    pub(super) octets: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) out: Output,
}

impl Bench {
    pub(super) fn new(config: Config) -> Self {
        Self::with_proxy(config, None)
    }

    pub(super) fn with_proxy(config: Config, proxy: Option<&Proxy<'_>>) -> Self {
        let mut rng = Rng::from_seed([7; 32]);
        let mut out = Output::default();
        let now = Instant::from_millis(1_000);
        let session = Session::start(&Arc::new(config), proxy, now, &mut rng, &mut out);
        Self {
            session,
            now,
            rng,
            out,
        }
    }

    /// A session of this method that is past LCP.
    pub(super) fn past_lcp(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.open_lcp();
        bench
    }

    /// A session that has been told who the peer is.
    pub(super) fn past_authentication(config: Config) -> Self {
        let mut bench = Self::past_lcp(Config {
            authentication: Box::from([AuthMethod::None]),
            ..config
        });
        assert!(matches!(
            bench.events()[..],
            [Event::LcpOpened(_), Event::Authenticate(_)]
        ));
        bench.accept();
        assert_eq!(bench.events(), [Event::AddressWanted { requested: None }]);
        bench
    }

    /// A session that is open.
    pub(super) fn open(config: Config) -> Self {
        let mut bench = Self::past_authentication(config);
        bench.grant(SUBSCRIBER);
        bench.open_ipcp();
        bench
    }

    pub(super) fn open_lcp(&mut self) {
        let [.., request] = &self.sent()[..] else {
            panic!("no Configure-Request")
        };
        assert_eq!((request.protocol, request.code), (Protocol::LCP, 1));
        self.lcp(1, 1, &magic_option()).unwrap();
        assert_eq!(self.sent()[0].code, 2);
        self.lcp(2, request.id, &request.data).unwrap();
    }

    pub(super) fn open_ipcp(&mut self) -> Parameters {
        let [.., request] = &self.sent()[..] else {
            panic!("no Configure-Request")
        };
        assert_eq!((request.protocol, request.code), (Protocol::IPCP, 1));
        self.ipcp(1, 1, &address_option(SUBSCRIBER)).unwrap();
        self.ipcp(2, request.id, &request.data).unwrap();
        assert_eq!(self.sent()[0].code, 2);
        let Some(Event::Opened(parameters)) = self.events().pop() else {
            panic!("not open")
        };
        parameters
    }

    pub(super) fn frame(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.session
            .handle_frame(octets, self.now, &mut self.rng, &mut self.out)
    }

    pub(super) fn packet(
        &mut self,
        protocol: Protocol,
        code: u8,
        id: u8,
        data: &[u8],
    ) -> Result<(), Error> {
        self.frame(&frame(protocol, code, id, data))
    }

    pub(super) fn lcp(&mut self, code: u8, id: u8, data: &[u8]) -> Result<(), Error> {
        self.packet(Protocol::LCP, code, id, data)
    }

    pub(super) fn ipcp(&mut self, code: u8, id: u8, data: &[u8]) -> Result<(), Error> {
        self.packet(Protocol::IPCP, code, id, data)
    }

    pub(super) fn accept(&mut self) {
        self.verdict(&Verdict::Accept {
            acceptance: Acceptance::default(),
            message: Box::default(),
        });
    }

    pub(super) fn reject(&mut self, message: &[u8]) {
        self.verdict(&Verdict::Reject {
            message: Box::from(message),
            ms_chap_error: None,
        });
    }

    pub(super) fn verdict(&mut self, verdict: &Verdict) {
        self.session
            .handle_verdict(verdict, self.now, &mut self.rng, &mut self.out);
    }

    /// Judges `request` as local users are judged.
    pub(super) fn judge(&mut self, request: &AuthRequest, password: &[u8]) -> bool {
        let verdict = match request.verify(&Secret::new(password)) {
            Some(acceptance) => Verdict::Accept {
                acceptance,
                message: Box::from(*b"welcome"),
            },
            None => Verdict::Reject {
                message: Box::from(*b"no such user"),
                ms_chap_error: None,
            },
        };
        self.verdict(&verdict);
        matches!(verdict, Verdict::Accept { .. })
    }

    pub(super) fn grant(&mut self, address: Ipv4Addr) {
        self.answer_address(Some(GrantedAddress::Fixed(address)));
    }

    pub(super) fn answer_address(&mut self, address: Option<GrantedAddress>) {
        let grant = address.map(|address| AddressGrant {
            address,
            local: None,
            dns: None,
        });
        self.session
            .handle_address(grant, self.now, &mut self.rng, &mut self.out);
    }

    /// Lets time pass, timeout by timeout.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now.add(by);
        while let Some(due) = self.session.poll_timeout().filter(|&due| due <= until) {
            assert!(due >= self.now, "a timeout in the past is never served");
            self.now = due;
            self.session
                .handle_timeout(self.now, &mut self.rng, &mut self.out);
            assert!(
                self.session.poll_timeout().is_none_or(|next| next > due),
                "a timeout that stays due"
            );
        }
        self.now = until;
    }

    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let sent = self.out.frames.iter().map(read).collect();
        self.out.frames.clear();
        sent
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.out.events)
    }

    /// The reason of the end, which must have come, and nothing after it.
    pub(super) fn closed(&mut self) -> CloseReason {
        let Some(Event::Closed(reason)) = self.events().pop() else {
            panic!("not closed")
        };
        assert_eq!(self.session.phase(), Phase::Dead);
        assert_eq!(self.session.poll_timeout(), None);
        reason
    }
}

pub(super) fn config(methods: &[AuthMethod]) -> Config {
    Config {
        authentication: Box::from(methods),
        echo: None,
        ..Config::default()
    }
}

pub(super) fn frame(protocol: Protocol, code: u8, id: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = protocol.0.to_be_bytes();
    let mut frame = vec![0xff, 0x03, high, low];
    emit_packet(&mut frame, Code(code), id, |out| {
        out.extend_from_slice(data);
    });
    frame
}

pub(super) fn read(octets: &[u8]) -> Sent {
    let frame = Frame::parse(octets).unwrap();
    let packet = Packet::parse(frame.information).unwrap();
    assert_eq!(packet.octets, frame.information, "we pad nothing");
    Sent {
        protocol: frame.protocol,
        code: packet.code.0,
        id: packet.id,
        data: packet.data.to_vec(),
        octets: octets.to_vec(),
    }
}

pub(super) fn magic_option() -> Vec<u8> {
    [&[5, 6], &MAGIC[..]].concat()
}

pub(super) fn address_option(address: Ipv4Addr) -> Vec<u8> {
    [&[3, 6], &address.octets()[..]].concat()
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
