//! Rules, tables and policies, as they are written.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;
use std::sync::Arc;

use crate::key::{Direction, Family};
use crate::state::Timeouts;

/// What becomes of a packet that matches.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// It goes on, and nothing is remembered.
    Pass,
    /// It goes on, and its flow is opened in both directions.
    Track,
    /// It does not.
    Drop,
}

impl Action {
    /// The word for people and programs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Track => "Track",
            Self::Drop => "Drop",
        }
    }
}

/// One rule: all that is said of [`Matches`] must hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Its name, one of its table.
    pub name: Arc<str>,
    /// What it is about.
    pub matches: Matches,
    /// What becomes of such a packet.
    pub action: Action,
}

/// What a rule is about. What is not said matches everything; a list matches what any of it does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matches {
    /// Which IP.
    pub family: Option<Family>,
    /// From where. Says which IP, too.
    pub source: Option<Prefix>,
    /// Where to.
    pub destination: Option<Prefix>,
    /// The upper protocol.
    pub protocol: Option<u8>,
    /// The sender's port. Needs a protocol with ports.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// The receiver's port.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// The type of an ICMP message. Needs ICMP or `ICMPv6`.
    pub icmp_types: Vec<RangeInclusive<u8>>,
    /// Its code.
    pub icmp_codes: Vec<RangeInclusive<u8>>,
    /// TCP flags.
    pub tcp_flags: Option<FlagsMatch>,
    /// The DSCP, each below 64.
    pub dscp: Vec<u8>,
    /// The length of the packet with its header, octets.
    pub length: Vec<RangeInclusive<u16>>,
    /// Octets anywhere in the packet; all of these must match. A packet that ends before does not.
    pub octets: Vec<OctetsMatch>,
}

/// An address prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix {
    /// Which IP.
    pub family: Family,
    /// The address as a number, IPv4 in the low 32 bits; bits beyond the length are 0.
    pub address: u128,
    /// Its length, bits; at most those of the family.
    pub length: u8,
}

impl Prefix {
    /// The bits of an address that it says something of.
    pub fn mask(&self) -> u128 {
        let all: u128 = match self.family {
            Family::IPv4 => 0xffff_ffff,
            Family::IPv6 => u128::MAX,
        };
        match all.checked_shr(u32::from(self.length)) {
            Some(rest) => all & !rest,
            None => all,
        }
    }

    /// Whether the address is one of those.
    pub fn contains(&self, family: Family, address: u128) -> bool {
        family == self.family && address & self.mask() == self.address
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match (self.family, u32::try_from(self.address)) {
            (Family::IPv4, Ok(address)) => IpAddr::from(Ipv4Addr::from_bits(address)),
            _ => IpAddr::from(Ipv6Addr::from_bits(self.address)),
        };
        write!(f, "{address}/{}", self.length)
    }
}

/// TCP flags that must be as said: `flags & mask == value`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlagsMatch {
    /// What they must be; nothing outside the mask.
    pub value: u8,
    /// Which are looked at.
    pub mask: u8,
}

/// Octets that must be as said: `octets[at + i] & mask[i] == value[i]`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct OctetsMatch {
    /// Where, from the beginning of the IP header.
    pub at: u16,
    /// Which bits are looked at; 1 to [`limits::OCTETS`](crate::limits::OCTETS) octets.
    pub mask: Box<[u8]>,
    /// What they must be; as long as the mask, nothing outside it.
    pub value: Box<[u8]>,
}

/// The rules of one direction. The first that matches decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyTable {
    /// In order.
    pub rules: Vec<Rule>,
    /// What becomes of a packet that none matches, if this is the last table of the chain.
    pub default: Action,
}

/// What a changed policy does to flows that are open.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum OnChange {
    /// Nothing: they live until they end.
    #[default]
    Keep,
    /// The next packet of each is judged by the policy as it is then.
    Reclassify,
}

/// How fast a subscriber may be. 0 bits per second: no limit.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Rates {
    /// From the subscriber, bits per second of IP packets.
    pub up: u64,
    /// To the subscriber.
    pub down: u64,
    /// How much may pass at once after silence: so many milliseconds' worth.
    pub burst_milliseconds: u32,
}

/// A policy: what is done with a subscriber's packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Its name, the key over a reload.
    pub name: Arc<str>,
    /// Values of Filter-Id that mean it, beside its name.
    pub filter_ids: Vec<Arc<str>>,
    /// For packets from the subscriber; without it, all pass.
    pub input: Option<PolicyTable>,
    /// For packets to him.
    pub output: Option<PolicyTable>,
    /// Of the flows that it opens.
    pub timeouts: Timeouts,
    /// What a change does to them.
    pub on_change: OnChange,
    /// How fast a subscriber with this policy may be.
    pub rates: Option<Rates>,
}

impl Policy {
    /// The rules for packets of that direction.
    pub const fn table(&self, direction: Direction) -> Option<&PolicyTable> {
        match direction {
            Direction::Input => self.input.as_ref(),
            Direction::Output => self.output.as_ref(),
        }
    }
}
