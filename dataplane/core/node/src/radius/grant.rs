//! What an Access-Accept grants a subscriber, or a CoA-Request changes (RFC 2865, 5; RFC 2869, 5; RFC
//! 2548, 2.6; Cisco's and Ascend's attributes), read whole before anything of it is done.
//!
//! A value that its attribute cannot have is an error that names the attribute: half of a grant is worse
//! than none. So are two different values of an attribute that is there once at most. Attributes that
//! are not here are left alone, as RFC 2865, 5 wants.
//!
//! Left out: IPv6, multilink, tunnels of the subscriber's own, compression, callbacks, filters that are
//! written out in the packet.

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::Arc;

use ipnet::Ipv4Net;
use lns_l2sess::policy::Rates;
use lns_wire::radius::kind::{self, vendor};
use lns_wire::radius::{Attribute, Packet};

use super::avpair::{self, Pair};
use super::vendors::{self, Inner};
use crate::limits;

/// What is granted. What a server does not speak of is `None` or empty, and the manifest decides it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// Framed-IP-Address as it came: 255.255.255.254 and .255 mean what RFC 2865, 5.8 says.
    pub address: Option<Ipv4Addr>,
    /// Framed-IP-Netmask. With an address of its own the subscriber has all of that net.
    pub netmask: Option<Ipv4Addr>,
    /// Framed-Route and Cisco's `ip:route`: what lies behind the subscriber.
    pub routes: Vec<Ipv4Net>,
    /// Framed-Pool: from which pool the address comes.
    pub pool: Option<Arc<str>>,
    /// Framed-MTU: the subscriber is sent no larger packet, octets; 64 at least.
    pub mtu: Option<u16>,
    /// Filter-Ids in their order.
    pub filter_ids: Vec<Arc<str>>,
    /// Session-Timeout; zero: no end, whatever the manifest says.
    pub session_timeout: Option<Duration>,
    /// Idle-Timeout; zero: no end, whatever the manifest says.
    pub idle_timeout: Option<Duration>,
    /// What happens when the Session-Timeout is over.
    pub termination_action: Option<TerminationAction>,
    /// Acct-Interim-Interval, 60 seconds at least (RFC 2869, 5.16); zero: no interims.
    pub interim: Option<Duration>,
    /// Class, each as it came: for accounting (RFC 2865, 5.25).
    pub classes: Vec<Box<[u8]>>,
    /// State: for the next Access-Request of this session, if there is one (RFC 2865, 5.24).
    pub state: Option<Box<[u8]>>,
    /// Port-Limit: how many sessions this user may have at once.
    pub port_limit: Option<u32>,
    /// Name servers by any vendor's attribute.
    pub dns: [Option<Ipv4Addr>; 2],
    /// How fast the subscriber may be, whatever his policies say.
    pub rates: GrantedRates,
    /// Rates that were granted before hold no more.
    pub no_former_rates: bool,
    /// All Reply-Messages, one behind the other; cut to what PAP and CHAP carry.
    pub reply_message: Box<[u8]>,
    /// User-Name: who it is for accounting (RFC 2865, 5.1).
    pub user_name: Option<Arc<[u8]>>,
}

/// What happens when the Session-Timeout is over (RFC 2865, 5.29).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TerminationAction {
    /// The session ends: also where none is granted.
    Default,
    /// The subscriber is asked who he is again, where his method can be asked again, and the servers
    /// judge him anew; else the session ends.
    Ask,
}

/// Rates, each direction by itself: `None` is what the policies say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GrantedRates {
    /// From the subscriber, bits of IP packets per second; 0: no limit.
    pub up: Option<u64>,
    /// To the subscriber.
    pub down: Option<u64>,
}

/// Why a packet grants nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GrantError {
    /// An attribute has a value that it cannot have.
    Malformed(&'static str),
    /// An attribute is there twice, with two values.
    Contradictory(&'static str),
    /// There are more of one attribute than a session may have.
    TooMany(&'static str),
}

impl GrantError {
    /// The attribute, by the name of the registry.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Malformed(name) | Self::Contradictory(name) | Self::TooMany(name) => name,
        }
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(name) => write!(f, "{name} is malformed"),
            Self::Contradictory(name) => write!(f, "{name} comes twice, with two values"),
            Self::TooMany(name) => write!(f, "{name} comes too often"),
        }
    }
}

impl GrantedRates {
    /// The policies' rates with what is granted in their place.
    pub fn over(self, policies: Option<Rates>) -> Rates {
        let without = Rates {
            burst_milliseconds: limits::GRANTED_BURST_MILLISECONDS,
            ..Rates::default()
        };
        let rates = policies.unwrap_or(without);
        Rates {
            up: self.up.unwrap_or(rates.up),
            down: self.down.unwrap_or(rates.down),
            ..rates
        }
    }

    /// Whether nothing is granted.
    pub const fn is_empty(self) -> bool {
        self.up.is_none() && self.down.is_none()
    }
}

impl Grant {
    /// Reads what a packet grants. Its signature was right.
    ///
    /// # Errors
    /// [`GrantError`], for the first attribute that is not as it must be.
    pub fn parse(packet: &Packet<'_>) -> Result<Self, GrantError> {
        let mut grant = Self::default();
        for attribute in packet.attributes() {
            if let Some(vendors) = vendors::read(&attribute) {
                let (whose, inner) = vendors.map_err(|_| malformed(&attribute))?;
                grant.vendor(whose, inner, &attribute)?;
            } else {
                grant.read(&attribute)?;
            }
        }
        let mut reply = packet.joined(kind::REPLY_MESSAGE);
        reply.truncate(limits::REPLY_MESSAGE);
        grant.reply_message = reply.into();
        grant.add_net()?;
        Ok(grant)
    }

    /// Takes over what `newer` has of all that can change while a session is up.
    pub(crate) fn amend(&mut self, newer: &Self) {
        fn set<T: Clone>(place: &mut Option<T>, newer: Option<&T>) {
            if let Some(newer) = newer {
                *place = Some(newer.clone());
            }
        }
        set(&mut self.session_timeout, newer.session_timeout.as_ref());
        set(&mut self.idle_timeout, newer.idle_timeout.as_ref());
        set(
            &mut self.termination_action,
            newer.termination_action.as_ref(),
        );
        set(&mut self.interim, newer.interim.as_ref());
        set(&mut self.state, newer.state.as_ref());
        if newer.no_former_rates {
            self.rates = GrantedRates::default();
        }
        set(&mut self.rates.up, newer.rates.up.as_ref());
        set(&mut self.rates.down, newer.rates.down.as_ref());
        if !newer.classes.is_empty() {
            self.classes.clone_from(&newer.classes);
        }
        if !newer.filter_ids.is_empty() {
            self.filter_ids.clone_from(&newer.filter_ids);
        }
    }

    fn read(&mut self, attribute: &Attribute<'_>) -> Result<(), GrantError> {
        let wrong = malformed(attribute);
        match attribute.kind {
            kind::FRAMED_IP_ADDRESS => once(&mut self.address, address(attribute)?, attribute),
            kind::FRAMED_IP_NETMASK => once(&mut self.netmask, netmask(attribute)?, attribute),
            kind::FRAMED_ROUTE => {
                let text = text(attribute)?;
                let route = avpair::framed_route(text).ok_or(wrong)?;
                self.route(route, name(attribute))
            }
            kind::FRAMED_POOL => once(&mut self.pool, text(attribute)?.into(), attribute),
            kind::FRAMED_MTU => once(&mut self.mtu, mtu(attribute)?, attribute),
            kind::FILTER_ID => {
                let filter_id = text(attribute)?.into();
                push(
                    &mut self.filter_ids,
                    filter_id,
                    limits::FILTER_IDS,
                    attribute,
                )
            }
            kind::SESSION_TIMEOUT => {
                once(&mut self.session_timeout, seconds(attribute)?, attribute)
            }
            kind::IDLE_TIMEOUT => once(&mut self.idle_timeout, seconds(attribute)?, attribute),
            kind::TERMINATION_ACTION => {
                let action = match number(attribute)? {
                    0 => TerminationAction::Default,
                    1 => TerminationAction::Ask,
                    _ => return Err(wrong),
                };
                once(&mut self.termination_action, action, attribute)
            }
            kind::ACCT_INTERIM_INTERVAL => {
                let interval = seconds(attribute)?;
                let interval = if interval.is_zero() {
                    interval
                } else {
                    interval.max(limits::SHORTEST_INTERIM)
                };
                once(&mut self.interim, interval, attribute)
            }
            kind::CLASS => {
                let class = octets(attribute)?.into();
                push(&mut self.classes, class, limits::CLASSES, attribute)
            }
            kind::STATE => once(&mut self.state, octets(attribute)?.into(), attribute),
            kind::PORT_LIMIT => once(&mut self.port_limit, number(attribute)?, attribute),
            kind::USER_NAME => once(&mut self.user_name, octets(attribute)?.into(), attribute),
            _ => Ok(()),
        }
    }

    /// All that is in one Vendor-Specific.
    fn vendor(
        &mut self,
        whose: u32,
        inner: Inner<'_>,
        attribute: &Attribute<'_>,
    ) -> Result<(), GrantError> {
        if ![vendor::CISCO, vendor::MICROSOFT, vendor::ASCEND].contains(&whose) {
            return Ok(());
        }
        for inner in inner {
            let inner = inner.map_err(|_| malformed(attribute))?;
            match (whose, inner.kind) {
                (vendor::CISCO, vendor::CISCO_AVPAIR) => self.pair(&inner)?,
                (vendor::MICROSOFT, vendor::MS_PRIMARY_DNS) => {
                    self.dns(0, &inner, "MS-Primary-DNS-Server")?;
                }
                (vendor::MICROSOFT, vendor::MS_SECONDARY_DNS) => {
                    self.dns(1, &inner, "MS-Secondary-DNS-Server")?;
                }
                (vendor::ASCEND, vendor::ASCEND_PRIMARY_DNS) => {
                    self.dns(0, &inner, "Ascend-Client-Primary-DNS")?;
                }
                (vendor::ASCEND, vendor::ASCEND_SECONDARY_DNS) => {
                    self.dns(1, &inner, "Ascend-Client-Secondary-DNS")?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One name server. What came first counts: servers say the same in several vendors' attributes.
    fn dns(
        &mut self,
        at: usize,
        inner: &Attribute<'_>,
        name: &'static str,
    ) -> Result<(), GrantError> {
        let address = inner.ipv4().map_err(|_| GrantError::Malformed(name))?;
        self.set_dns(at, address);
        Ok(())
    }

    fn set_dns(&mut self, at: usize, address: Ipv4Addr) {
        if let Some(place) = self.dns.get_mut(at)
            && !address.is_unspecified()
        {
            place.get_or_insert(address);
        }
    }

    fn pair(&mut self, inner: &Attribute<'_>) -> Result<(), GrantError> {
        let name = "Cisco-AVPair";
        let text = core::str::from_utf8(inner.value).map_err(|_| GrantError::Malformed(name))?;
        for pair in avpair::pairs(text) {
            match pair.map_err(|_| GrantError::Malformed(name))? {
                Pair::Unknown => {}
                Pair::Up(rate) => self.rates.up = Some(rate),
                Pair::Down(rate) => self.rates.down = Some(rate),
                Pair::Both(rate) => {
                    self.rates = GrantedRates {
                        up: Some(rate),
                        down: Some(rate),
                    };
                }
                Pair::OfPolicies => {
                    self.rates = GrantedRates::default();
                    self.no_former_rates = true;
                }
                Pair::Route(route) => self.route(route, name)?,
                Pair::Dns(servers) => {
                    for (at, server) in servers.into_iter().enumerate() {
                        self.set_dns(at, server.unwrap_or(Ipv4Addr::UNSPECIFIED));
                    }
                }
            }
        }
        Ok(())
    }

    fn route(&mut self, route: Ipv4Net, name: &'static str) -> Result<(), GrantError> {
        if self.routes.contains(&route) {
            return Ok(());
        }
        if self.routes.len() >= limits::ROUTES {
            return Err(GrantError::TooMany(name));
        }
        self.routes.push(route);
        Ok(())
    }

    /// A netmask beside an address of the subscriber's own makes all of that net his.
    fn add_net(&mut self) -> Result<(), GrantError> {
        let (Some(address), Some(netmask)) = (self.address, self.netmask) else {
            return Ok(());
        };
        if address.octets().starts_with(&[255, 255, 255]) || netmask == Ipv4Addr::BROADCAST {
            return Ok(());
        }
        let name = "Framed-IP-Netmask";
        let net =
            Ipv4Net::with_netmask(address, netmask).map_err(|_| GrantError::Malformed(name))?;
        self.route(net.trunc(), name)
    }
}

fn name(attribute: &Attribute<'_>) -> &'static str {
    kind::name(attribute.kind).unwrap_or("attribute")
}

fn malformed(attribute: &Attribute<'_>) -> GrantError {
    GrantError::Malformed(name(attribute))
}

/// Sets what may be there once.
fn once<T: PartialEq>(
    place: &mut Option<T>,
    value: T,
    attribute: &Attribute<'_>,
) -> Result<(), GrantError> {
    match place {
        Some(before) if *before != value => Err(GrantError::Contradictory(name(attribute))),
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// Adds one of what may be there several times.
fn push<T>(
    list: &mut Vec<T>,
    value: T,
    most: usize,
    attribute: &Attribute<'_>,
) -> Result<(), GrantError> {
    if list.len() >= most {
        return Err(GrantError::TooMany(name(attribute)));
    }
    list.push(value);
    Ok(())
}

fn number(attribute: &Attribute<'_>) -> Result<u32, GrantError> {
    attribute.u32().map_err(|_| malformed(attribute))
}

fn seconds(attribute: &Attribute<'_>) -> Result<Duration, GrantError> {
    number(attribute).map(|seconds| Duration::from_secs(seconds.into()))
}

fn mtu(attribute: &Attribute<'_>) -> Result<u16, GrantError> {
    let mtu = u16::try_from(number(attribute)?).ok();
    mtu.filter(|mtu| *mtu >= limits::SMALLEST_FRAMED_MTU)
        .ok_or(malformed(attribute))
}

/// A host's address, or one of the two that are none (RFC 2865, 5.8).
fn address(attribute: &Attribute<'_>) -> Result<Ipv4Addr, GrantError> {
    let address = attribute.ipv4().map_err(|_| malformed(attribute))?;
    let is_none = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    if is_none {
        return Err(malformed(attribute));
    }
    Ok(address)
}

/// A mask of leading ones, as long as a route may be wide.
fn netmask(attribute: &Attribute<'_>) -> Result<Ipv4Addr, GrantError> {
    let mask = attribute.ipv4().map_err(|_| malformed(attribute))?;
    let length = ipnet::ipv4_mask_to_prefix(mask).ok();
    length
        .filter(|length| *length >= limits::WIDEST_ROUTE)
        .map(|_| mask)
        .ok_or(malformed(attribute))
}

fn text<'a>(attribute: &Attribute<'a>) -> Result<&'a str, GrantError> {
    core::str::from_utf8(octets(attribute)?).map_err(|_| malformed(attribute))
}

/// No attribute is empty (RFC 2865, 5).
fn octets<'a>(attribute: &Attribute<'a>) -> Result<&'a [u8], GrantError> {
    if attribute.value.is_empty() {
        return Err(malformed(attribute));
    }
    Ok(attribute.value)
}

#[cfg(test)]
mod tests;
