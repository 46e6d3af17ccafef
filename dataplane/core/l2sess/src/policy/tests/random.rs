//! Random rules, and packets that are made from them so that many match.

use core::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::policy::{FlagsMatch, OctetsMatch};

/// A packet with its octets.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    octets: Vec<u8>,
    packet: Packet<'static>,
}

impl Sample {
    pub(super) fn packet(&self) -> Packet<'_> {
        Packet {
            octets: &self.octets,
            ..self.packet
        }
    }
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    let family = select(Family::ALL.to_vec());
    let length = select(vec![0_u8, 1, 8, 24, 31, 32, 64, 127, 128]);
    (family, length, 0_u128..4).prop_map(|(family, length, host)| {
        let length = length.min(family.bits());
        let address = ends(family).0 + host;
        let prefix = Prefix {
            family,
            address,
            length,
        };
        let address = address & prefix.mask();
        Prefix { address, ..prefix }
    })
}

fn ports() -> impl Strategy<Value = Vec<RangeInclusive<u16>>> {
    let first = prop_oneof![
        Just(0_u16),
        Just(53),
        Just(1024),
        Just(65_500),
        any::<u16>()
    ];
    let range = (first, 0_u16..12).prop_map(|(first, more)| first..=first.saturating_add(more));
    let range = prop_oneof![
        9 => range,
        1 => Just(0..=u16::MAX),
        1 => Just(1024..=u16::MAX),
    ];
    prop_oneof![3 => Just(Vec::new()), 2 => vec(range, 1..3)]
}

fn octet_ranges() -> impl Strategy<Value = Vec<RangeInclusive<u8>>> {
    let range = (any::<u8>(), 0_u8..9).prop_map(|(first, more)| first..=first.saturating_add(more));
    prop_oneof![1 => Just(Vec::new()), 1 => vec(range, 1..3)]
}

fn octets() -> impl Strategy<Value = OctetsMatch> {
    let mask = select(vec![0xff_u8, 0xf0, 0x01, 0x00]);
    let octets = vec((mask, any::<u8>()), 1..4);
    (0_u16..44, octets).prop_map(|(at, octets)| OctetsMatch {
        at,
        mask: octets.iter().map(|(mask, _)| *mask).collect(),
        value: octets.iter().map(|(mask, value)| mask & value).collect(),
    })
}

fn matches() -> impl Strategy<Value = Matches> {
    let protocol = select(vec![TCP, TCP, UDP, UDP, 1, 58, 50]);
    let length = (any::<u16>(), 0_u16..40);
    let length = length.prop_map(|(first, more)| first..=first.saturating_add(more));
    let flags = (any::<u8>(), any::<u8>()).prop_map(|(mask, value)| FlagsMatch {
        value: value & mask,
        mask,
    });
    let addresses = (
        weighted(0.3, select(Family::ALL.to_vec())),
        weighted(0.3, prefixes()),
        weighted(0.3, prefixes()),
    );
    let upper = (
        weighted(0.6, protocol),
        (ports(), ports()),
        (octet_ranges(), octet_ranges()),
        weighted(0.2, flags),
    );
    let rest = (
        prop_oneof![4 => Just(Vec::new()), 1 => vec(0_u8..64, 1..4)],
        prop_oneof![6 => Just(Vec::new()), 1 => vec(length, 1..2)],
        prop_oneof![6 => Just(Vec::new()), 1 => vec(octets(), 1..3)],
    );
    let is_sane = prop::bool::weighted(0.8);
    let all = (addresses, upper, rest).prop_map(|(addresses, upper, rest)| Matches {
        family: addresses.0,
        source: addresses.1,
        destination: addresses.2,
        protocol: upper.0,
        source_ports: upper.1.0,
        destination_ports: upper.1.1,
        icmp_types: upper.2.0,
        icmp_codes: upper.2.1,
        tcp_flags: upper.3,
        dscp: rest.0,
        length: rest.1,
        octets: rest.2,
    });
    (all, is_sane).prop_map(|(all, is_sane)| if is_sane { sane(all) } else { all })
}

/// Without what no packet of its protocol has.
fn sane(mut rule: Matches) -> Matches {
    if !matches!(rule.protocol, Some(1 | 58)) {
        rule.icmp_types.clear();
        rule.icmp_codes.clear();
    }
    if !matches!(rule.protocol, Some(TCP | UDP)) {
        rule.source_ports.clear();
        rule.destination_ports.clear();
    }
    rule.tcp_flags = rule.tcp_flags.filter(|_| rule.protocol == Some(TCP));
    rule
}

/// A table of rules that say all there is to say.
pub(super) fn tables() -> impl Strategy<Value = PolicyTable> {
    let action = select(vec![Action::Pass, Action::Track, Action::Drop]);
    let rules = vec((matches(), action.clone()), 0..14);
    (rules, action).prop_map(|(rules, default)| {
        let rules = rules.into_iter().enumerate();
        let rules =
            rules.map(|(number, (matches, action))| rule(&number.to_string(), action, matches));
        table(default, rules.collect())
    })
}

/// Numbers, all of them from one: what makes a packet from a rule.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.roll() % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    fn address(&mut self, family: Family, prefix: Option<Prefix>) -> u128 {
        let near = ends(family).0 + u128::from(self.below(4));
        match prefix {
            Some(prefix) if !self.one_in(8) => {
                let host = if self.one_in(2) {
                    near
                } else {
                    u128::from(self.roll()) << 40
                };
                (prefix.address | host & !prefix.mask()) & all(family)
            }
            _ => near,
        }
    }

    fn within<T: Copy + Into<u64> + TryFrom<u64>>(
        &mut self,
        ranges: &[RangeInclusive<T>],
        or: u64,
    ) -> T {
        let any = ranges.get(self.below(ranges.len().max(1) as u64) as usize);
        let number = match any {
            Some(range) => {
                let (first, last): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
                match self.below(8) {
                    0 => last + 1,
                    1 => first.wrapping_sub(1),
                    2 => first,
                    3 => last,
                    _ => first + self.below(last - first + 1),
                }
            }
            None => self.below(or),
        };
        T::try_from(number % or).ok().unwrap()
    }

    fn upper(&mut self, rule: &Matches) -> (u8, Upper) {
        let any = [TCP, UDP, 1, 58, 50, 6][self.below(6) as usize];
        let known = rule.protocol.filter(|_| !self.one_in(8));
        let protocol = known.unwrap_or(any);
        let source = self.within(&rule.source_ports, 1 << 16);
        let destination = self.within(&rule.destination_ports, 1 << 16);
        let upper = match protocol {
            _ if self.one_in(6) => Upper::LaterFragment,
            _ if self.one_in(12) => Upper::Unreadable,
            TCP => {
                let roll = self.roll() as u8;
                let wanted = rule.tcp_flags.filter(|_| !self.one_in(6));
                let flags = wanted.map_or(roll, |it| it.value | roll & !it.mask);
                let flags = Some(TcpFlags(flags)).filter(|_| !self.one_in(6));
                Upper::Tcp {
                    source,
                    destination,
                    flags,
                }
            }
            UDP => Upper::Ports {
                source,
                destination,
            },
            1 | 58 => Upper::Icmp {
                kind: self.within(&rule.icmp_types, 1 << 8),
                code: self.within(&rule.icmp_codes, 1 << 8),
                identifier: source,
            },
            _ => Upper::None,
        };
        (protocol, upper)
    }

    fn octets(&mut self, rule: &Matches) -> Vec<u8> {
        let length = if self.one_in(8) { self.below(48) } else { 60 };
        let mut octets: Vec<u8> = (0..length).map(|_| self.roll() as u8).collect();
        for wanted in &rule.octets {
            let pattern = wanted.mask.iter().zip(&wanted.value);
            let there = octets.iter_mut().skip(usize::from(wanted.at));
            for (octet, (mask, value)) in there.zip(pattern) {
                *octet = *octet & !mask | value;
            }
        }
        if self.one_in(8) && !octets.is_empty() {
            let at = self.below(octets.len() as u64) as usize;
            octets[at] ^= 1;
        }
        octets
    }
}

const fn all(family: Family) -> u128 {
    match family {
        Family::IPv4 => 0xffff_ffff,
        Family::IPv6 => u128::MAX,
    }
}

/// A packet that a rule of the table was made for, mostly.
pub(super) fn sample(table: &PolicyTable, seed: u64) -> Sample {
    let mut dice = Dice(seed);
    let any = Matches::default();
    let rules = &table.rules;
    let chosen = rules.get(dice.below(rules.len() as u64 + 1) as usize);
    let rule = chosen.map_or(&any, |rule| &rule.matches);
    let prefix = rule.source.or(rule.destination);
    let family = prefix.map(|prefix| prefix.family).or(rule.family);
    let family = family.unwrap_or_else(|| Family::ALL[dice.below(2) as usize]);
    let (protocol, upper) = dice.upper(rule);
    let dscp = rule.dscp.first().filter(|_| !dice.one_in(6));
    let packet = Packet {
        octets: &[],
        family,
        source: dice.address(family, rule.source),
        destination: dice.address(family, rule.destination),
        protocol,
        dscp: dscp.copied().unwrap_or_else(|| dice.below(64) as u8),
        length: dice.within(&rule.length, 1 << 16),
        upper,
    };
    Sample {
        octets: dice.octets(rule),
        packet,
    }
}
