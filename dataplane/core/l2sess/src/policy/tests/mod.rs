//! Rules, packets and books for the tests of this room.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "small numbers of the tests' own"
)]

mod book;
mod check;
mod classifier;
mod matching;
mod model;
mod random;

use std::sync::Arc;

use super::{
    Action, LaterFragments, Matches, OnChange, Policy, PolicyBook, PolicyTable, Prefix, Rule,
};
use crate::key::{Direction, Family};
use crate::packet::{Packet, Upper};
use crate::state::{TcpFlags, Timeouts};

fn name(name: &str) -> Arc<str> {
    name.into()
}

fn names<const N: usize>(of: [&str; N]) -> [Arc<str>; N] {
    of.map(name)
}

fn rule(called: &str, action: Action, matches: Matches) -> Rule {
    Rule {
        name: name(called),
        matches,
        action,
    }
}

fn table(default: Action, rules: Vec<Rule>) -> PolicyTable {
    PolicyTable { rules, default }
}

fn policy(called: &str, input: Option<PolicyTable>, output: Option<PolicyTable>) -> Policy {
    Policy {
        name: name(called),
        filter_ids: Vec::new(),
        input,
        output,
        timeouts: Timeouts::DEFAULT,
        on_change: OnChange::Keep,
        rates: None,
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    let (family, address) = match address.parse().unwrap() {
        core::net::IpAddr::V4(address) => (Family::IPv4, u128::from(address.to_bits())),
        core::net::IpAddr::V6(address) => (Family::IPv6, address.to_bits()),
    };
    let length = length.parse().unwrap();
    Prefix {
        family,
        address,
        length,
    }
}

/// The subscriber and somebody else, of either family.
const fn ends(family: Family) -> (u128, u128) {
    match family {
        Family::IPv4 => (0x6440_0002, 0xcb00_7107),
        Family::IPv6 => (
            0x2001_0db8_0000_0001_0000_0000_0000_0002,
            0x2001_0db8_00ff_0000_0000_0000_0000_0007,
        ),
    }
}

/// A packet from the subscriber.
fn packet(family: Family, protocol: u8, upper: Upper) -> Packet<'static> {
    let (source, destination) = ends(family);
    Packet {
        octets: &[],
        family,
        source,
        destination,
        protocol,
        dscp: 0,
        length: 60,
        upper,
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

fn tcp(family: Family, destination: u16, flags: u8) -> Packet<'static> {
    let upper = Upper::Tcp {
        source: 40_000,
        destination,
        flags: Some(TcpFlags(flags)),
    };
    packet(family, TCP, upper)
}

fn udp(family: Family, destination: u16) -> Packet<'static> {
    let upper = Upper::Ports {
        source: 40_000,
        destination,
    };
    packet(family, UDP, upper)
}

/// What a chain of these policies does with a packet from the subscriber.
fn judged(policies: &[Policy], packet: &Packet<'_>) -> Action {
    let mut book = PolicyBook::new(1);
    book.replace(policies.to_vec()).unwrap();
    let names: Vec<_> = policies.iter().map(|it| Arc::clone(&it.name)).collect();
    let chain = book.chain(&names).unwrap();
    let chain = book.current().chain(chain).unwrap();
    let later = LaterFragments::Match;
    chain.judge(packet, Direction::Input, 0, later).action
}
