//! The other end: a subscriber that negotiates on the same automaton, answers challenges and asks for
//! an address.

use core::net::Ipv4Addr;
use core::ops::Add as _;

use lns_crypto::{Rng, Secret, chap, mschapv2};
use lns_tables::time::Instant;
use lns_wire::ppp::ipcp::IpcpOption;
use lns_wire::ppp::lcp::{LcpOption, kind};
use lns_wire::ppp::{
    ChapPacket, Code, Frame, Framing, MsChapV2Response, Options, Packet, PapRequest, Protocol,
    emit_chap_value,
};

use super::bench::seconds;
use crate::automaton::Event;
use crate::config::{AuthMethod, Config};
use crate::event::CloseReason;
use crate::layer::{Judgement, Layer, Negotiation, Patience, Signal};
use crate::link::{Link, NEVER};
use crate::output::Frames;

/// What the subscriber knows and how it logs in.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: &'static [u8],
    pub(super) password: &'static [u8],
    pub(super) method: AuthMethod,
}

#[derive(Debug)]
pub(super) struct ClientLcp {
    magic: u32,
    account: Account,
}

impl ClientLcp {
    /// Another one shows that LCP has begun anew.
    pub(super) const fn magic(&self) -> u32 {
        self.magic
    }
}

impl Negotiation for ClientLcp {
    const PROTOCOL: Protocol = Protocol::LCP;
    const DISAGREED: CloseReason = CloseReason::LcpTimeout;

    fn request(&self, _: &Config, out: &mut Vec<u8>) {
        LcpOption::Mru(1480).emit(out);
        LcpOption::Magic(self.magic).emit(out);
        LcpOption::Pfc.emit(out);
        LcpOption::Acfc.emit(out);
    }

    fn judge(&mut self, options: Options<'_>, _: Patience, _: &Config, _: &mut Rng) -> Judgement {
        let ours = self.account.method.protocol().unwrap();
        let theirs = options
            .iter()
            .find(|option| option.kind == kind::AUTHENTICATION)
            .unwrap();
        if LcpOption::parse(theirs) == LcpOption::Authentication(ours) {
            return Judgement::Ack;
        }
        let mut nak = Vec::new();
        LcpOption::Authentication(ours).emit(&mut nak);
        Judgement::Nak(nak)
    }

    fn nakked(&mut self, _: Options<'_>, _: &Config, rng: &mut Rng) -> Result<(), CloseReason> {
        self.magic = rng.u32();
        Ok(())
    }

    fn rejected(&mut self, options: Options<'_>, _: &Config) -> Result<(), CloseReason> {
        panic!("an LNS takes all of this: {options:?}");
    }

    fn restart(&mut self, _: &Config) {}
}

#[derive(Debug, Default)]
pub(super) struct ClientIpcp {
    pub(super) address: Option<Ipv4Addr>,
    pub(super) dns: Option<Ipv4Addr>,
}

impl Negotiation for ClientIpcp {
    const PROTOCOL: Protocol = Protocol::IPCP;
    const DISAGREED: CloseReason = CloseReason::NetworkTimeout;

    fn request(&self, _: &Config, out: &mut Vec<u8>) {
        IpcpOption::Address(self.address.unwrap_or(Ipv4Addr::UNSPECIFIED)).emit(out);
        IpcpOption::PrimaryDns(self.dns.unwrap_or(Ipv4Addr::UNSPECIFIED)).emit(out);
    }

    fn judge(&mut self, _: Options<'_>, _: Patience, _: &Config, _: &mut Rng) -> Judgement {
        Judgement::Ack
    }

    fn nakked(&mut self, options: Options<'_>, _: &Config, _: &mut Rng) -> Result<(), CloseReason> {
        for option in options.iter() {
            match IpcpOption::parse(option) {
                IpcpOption::Address(address) => self.address = Some(address),
                IpcpOption::PrimaryDns(address) => self.dns = Some(address),
                other => panic!("not asked for: {other:?}"),
            }
        }
        Ok(())
    }

    fn rejected(&mut self, options: Options<'_>, _: &Config) -> Result<(), CloseReason> {
        panic!("an LNS takes all of this: {options:?}");
    }

    fn restart(&mut self, _: &Config) {}
}

/// A subscriber.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) lcp: Layer<ClientLcp>,
    pub(super) ipcp: Layer<ClientIpcp>,
    pub(super) refused: bool,
    pub(super) frames: Frames,
    known: bool,
    /// The challenge that has no verdict yet.
    challenge: Option<(u8, Vec<u8>)>,
    retry: Instant,
    config: Config,
}

impl Client {
    pub(super) fn start(account: Account, now: Instant, rng: &mut Rng) -> Self {
        let mut client = Self {
            lcp: Layer::new(
                ClientLcp {
                    magic: rng.u32(),
                    account,
                },
                0,
            ),
            ipcp: Layer::new(ClientIpcp::default(), 0),
            refused: false,
            frames: Frames::default(),
            known: false,
            challenge: None,
            retry: NEVER,
            config: Config::default(),
        };
        let mut link = link(now, &mut client.frames);
        client.lcp.open(&client.config, &mut link);
        client
    }

    pub(super) fn renegotiate(&mut self, now: Instant) {
        let mut link = link(now, &mut self.frames);
        let signal = self.lcp.command(Event::Down, &self.config, &mut link);
        self.lcp.open(&self.config, &mut link);
        self.signal(signal, now);
    }

    pub(super) fn is_up(&self) -> bool {
        self.lcp.is_opened() && self.ipcp.is_opened()
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.lcp
            .deadline()
            .min(self.ipcp.deadline())
            .min(self.retry)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let mut link = link(now, &mut self.frames);
        if self.lcp.deadline() <= now {
            let signal = self.lcp.handle_timeout(&self.config, &mut link);
            self.signal(signal, now);
        }
        let mut link = super::client::link(now, &mut self.frames);
        if self.ipcp.deadline() <= now {
            let _: Signal = self.ipcp.handle_timeout(&self.config, &mut link);
        }
        if self.retry <= now {
            self.log_in(now);
        }
    }

    pub(super) fn handle(&mut self, octets: &[u8], now: Instant, rng: &mut Rng) {
        let frame = Frame::parse(octets).unwrap();
        let packet = Packet::parse(frame.information).unwrap();
        let mut link = link(now, &mut self.frames);
        match frame.protocol {
            Protocol::LCP if packet.code == Code::ECHO_REQUEST => {
                let magic = self.lcp.options.magic.to_be_bytes();
                link.send(Protocol::LCP, Code::ECHO_REPLY, packet.id, |out| {
                    out.extend_from_slice(&magic);
                });
            }
            Protocol::LCP => {
                if let Ok(signal) = self
                    .lcp
                    .handle_packet(&packet, &self.config, rng, &mut link)
                {
                    self.signal(signal, now);
                }
            }
            Protocol::IPCP if self.known => {
                let _ = self
                    .ipcp
                    .handle_packet(&packet, &self.config, rng, &mut link);
            }
            Protocol::PAP if packet.code == Code(2) => self.known(now),
            Protocol::PAP => self.refused = true,
            Protocol::CHAP if self.lcp.is_opened() => self.handle_chap(&packet, now),
            // What comes before its layer is ready is lost, as it is with real peers.
            _ => {}
        }
    }

    fn signal(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Up if self.account().method == AuthMethod::Pap => self.log_in(now),
            Signal::Down => {
                self.known = false;
                self.challenge = None;
                self.retry = NEVER;
                let mut link = link(now, &mut self.frames);
                let _: Signal = self.ipcp.command(Event::Down, &self.config, &mut link);
            }
            Signal::None | Signal::Up | Signal::Finished => {}
            Signal::Ask(_) | Signal::GiveUp(_) => panic!("{signal:?}"),
        }
    }

    fn handle_chap(&mut self, packet: &Packet<'_>, now: Instant) {
        match ChapPacket::parse(packet).unwrap() {
            ChapPacket::Challenge(challenge) => {
                self.challenge = Some((packet.id, challenge.value.to_vec()));
                self.log_in(now);
            }
            ChapPacket::Success(_) => self.known(now),
            ChapPacket::Failure(_) => self.refused = true,
            ChapPacket::Response(_) => panic!("we challenge nobody"),
        }
    }

    /// Says who it is, again and again until there is a verdict.
    fn log_in(&mut self, now: Instant) {
        let account = self.account().clone();
        self.retry = now.add(seconds(3));
        let mut link = link(now, &mut self.frames);
        let Some((id, challenge)) = &self.challenge else {
            link.send(Protocol::PAP, Code(1), 1, |out| {
                PapRequest {
                    name: account.name,
                    password: account.password,
                }
                .emit(out);
            });
            return;
        };
        let secret = Secret::new(account.password);
        let value = match account.method {
            AuthMethod::Chap => chap::response(*id, &secret, challenge).to_vec(),
            _ => ms_chap_v2(challenge[..].try_into().unwrap(), account.name, &secret),
        };
        link.send(Protocol::CHAP, Code(2), *id, |out| {
            emit_chap_value(out, &value, account.name);
        });
    }

    fn known(&mut self, now: Instant) {
        self.retry = NEVER;
        if !core::mem::replace(&mut self.known, true) {
            let mut link = link(now, &mut self.frames);
            self.ipcp.open(&self.config, &mut link);
        }
    }

    const fn account(&self) -> &Account {
        &self.lcp.options.account
    }
}

fn ms_chap_v2(challenge: &[u8; 16], user_name: &[u8], secret: &Secret) -> Vec<u8> {
    let exchange = mschapv2::Exchange {
        authenticator_challenge: challenge,
        peer_challenge: &[3; 16],
        user_name,
    };
    let mut value = Vec::new();
    let nt_response = exchange.nt_response(secret);
    MsChapV2Response {
        peer_challenge: [3; 16],
        nt_response,
        flags: 0,
    }
    .emit(&mut value);
    value
}

fn link(now: Instant, frames: &mut Frames) -> Link<'_> {
    Link {
        now,
        frames,
        framing: Framing::default(),
        mtu: 1500,
    }
}
