//! The options of IPCP as the side that gives out addresses sees them (RFC 1332, 3; RFC 1877, 1).

use core::net::Ipv4Addr;

use lns_crypto::Rng;
use lns_wire::ppp::ipcp::{IpcpOption, kind};
use lns_wire::ppp::{Options, Protocol, RawOption};

use crate::config::Config;
use crate::event::{AddressGrant, CloseReason, GrantedAddress};
use crate::layer::{Judgement, Negotiation, Patience};

/// What both sides have asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ipcp {
    /// Our end.
    pub(crate) local: Ipv4Addr,
    /// What the peer may have.
    pub(crate) grant: GrantedAddress,
    /// The name servers for it.
    pub(crate) dns: [Option<Ipv4Addr>; 2],
    /// What it was given, as we acknowledged it last.
    pub(crate) address: Option<Ipv4Addr>,
    /// The peer would not hear of our address.
    nameless: bool,
}

impl Ipcp {
    /// Nothing granted yet.
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            local: config.local_address,
            grant: GrantedAddress::PeerChooses,
            dns: config.dns,
            address: None,
            nameless: false,
        }
    }

    /// What the owner decided.
    pub(crate) fn grant(&mut self, grant: AddressGrant, config: &Config) {
        self.local = grant.local.unwrap_or(config.local_address);
        self.grant = grant.address;
        self.dns = grant.dns.unwrap_or(config.dns);
        self.address = None;
    }
}

impl Negotiation for Ipcp {
    const PROTOCOL: Protocol = Protocol::IPCP;
    const DISAGREED: CloseReason = CloseReason::NetworkTimeout;

    fn request(&self, _config: &Config, out: &mut Vec<u8>) {
        if !self.nameless {
            IpcpOption::Address(self.local).emit(out);
        }
    }

    fn judge(
        &mut self,
        options: Options<'_>,
        patience: Patience,
        _config: &Config,
        _rng: &mut Rng,
    ) -> Judgement {
        let mut review = Review::default();
        for option in options.iter() {
            review.option(option, patience, self.dns);
        }
        if !review.reject.is_empty() {
            return Judgement::Reject(review.reject);
        }
        match (self.grant, review.address) {
            (GrantedAddress::PeerChooses, address) => {
                return Judgement::Ask(address.filter(|&address| is_unicast(address)));
            }
            (GrantedAddress::Fixed(ours), Some(theirs)) if ours == theirs => {}
            (GrantedAddress::Fixed(ours), address) => match (patience, address) {
                (Patience::Left, _) => IpcpOption::Address(ours).emit(&mut review.nak),
                (Patience::Exhausted, Some(_)) => {
                    return Judgement::GiveUp(CloseReason::AddressRefused);
                }
                // It never asks, so it never will: an end whose address is set by hand (RFC 1332, 3.3).
                (Patience::Exhausted, None) => {}
            },
        }
        if !review.nak.is_empty() {
            return Judgement::Nak(review.nak);
        }
        self.address = review.address;
        Judgement::Ack
    }

    /// Our address is what the operator says it is, and what we did not ask for stays unasked.
    fn nakked(
        &mut self,
        _options: Options<'_>,
        _config: &Config,
        _rng: &mut Rng,
    ) -> Result<(), CloseReason> {
        Ok(())
    }

    fn rejected(&mut self, _options: Options<'_>, _config: &Config) -> Result<(), CloseReason> {
        self.nameless = true;
        Ok(())
    }

    fn restart(&mut self, _config: &Config) {
        self.nameless = false;
    }
}

/// The judgement of one Configure-Request while it is being read.
#[derive(Debug, Default)]
struct Review {
    address: Option<Ipv4Addr>,
    nak: Vec<u8>,
    reject: Vec<u8>,
}

impl Review {
    fn option(
        &mut self,
        raw: RawOption<'_>,
        patience: Patience,
        [primary, secondary]: [Option<Ipv4Addr>; 2],
    ) {
        match IpcpOption::parse(raw) {
            IpcpOption::Address(address) => self.address = Some(address),
            IpcpOption::PrimaryDns(asked) => {
                self.server(raw, patience, primary, asked, IpcpOption::PrimaryDns);
            }
            IpcpOption::SecondaryDns(asked) => {
                self.server(raw, patience, secondary, asked, IpcpOption::SecondaryDns);
            }
            IpcpOption::WrongLength {
                kind: kind::ADDRESS,
            } => self.address = Some(Ipv4Addr::UNSPECIFIED),
            IpcpOption::WrongLength { .. } | IpcpOption::Other(_) => {
                self.reject.extend_from_slice(raw.octets);
            }
        }
    }

    fn server(
        &mut self,
        raw: RawOption<'_>,
        patience: Patience,
        ours: Option<Ipv4Addr>,
        asked: Ipv4Addr,
        option: fn(Ipv4Addr) -> IpcpOption<'static>,
    ) {
        match (ours, patience) {
            (Some(ours), _) if ours == asked => {}
            (Some(ours), Patience::Left) => option(ours).emit(&mut self.nak),
            (None, _) | (Some(_), Patience::Exhausted) => self.reject.extend_from_slice(raw.octets),
        }
    }
}

/// Whether a host can have this address: not "this network", loopback, multicast or class E.
fn is_unicast(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !matches!(first, 0 | 127 | 224..=255)
}
