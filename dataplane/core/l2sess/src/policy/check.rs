//! What must hold of a policy for this crate to do what its rules say: the book takes no other.
//!
//! Fields are named as in a manifest, whose reader says the same with more words. That a table is too
//! large once it is compiled is [`super::compile`]'s to say.

use core::fmt;
use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lns_wire::ip::protocol;

use super::rule::{Matches, OctetsMatch, Policy, PolicyTable, Prefix};
use crate::key::{Direction, Family};
use crate::limits;
use crate::state::Timeouts;

/// What is wrong with a field of a policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// Which field, from the policy on: `input.rules[3].destination`.
    pub field: String,
    /// Its value, and what is wrong with it.
    pub reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl core::error::Error for Invalid {}

/// Protocols whose header begins with ports: TCP, UDP, DCCP (RFC 4340), SCTP (RFC 9260), UDP-Lite
/// (RFC 3828).
const WITH_PORTS: [u8; 5] = [protocol::TCP, protocol::UDP, 33, 132, 136];

impl Policy {
    /// Whether all holds that this crate relies on.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        let wrong = self.wrong().into_iter().next();
        wrong.map_or(Ok(()), Err)
    }

    /// All fields that are wrong, in the order in which they are written.
    pub fn wrong(&self) -> Vec<Invalid> {
        let mut found = Found::default();
        found.name("name", &self.name);
        let mut known = BTreeSet::new();
        for (at, filter_id) in self.filter_ids.iter().enumerate() {
            let field = format!("filterIds[{at}]");
            if !known.insert(filter_id) {
                found.add(&field, format_args!("{filter_id:?} is there twice"));
            }
            found.name(&field, filter_id);
        }
        for direction in Direction::ALL {
            if let Some(table) = self.table(direction) {
                found.table(direction.label(), table);
            }
        }
        found.timeouts(self.timeouts);
        found.0
    }
}

#[derive(Default)]
struct Found(Vec<Invalid>);

impl Found {
    fn add(&mut self, field: &str, reason: fmt::Arguments<'_>) {
        self.0.push(Invalid {
            field: field.to_owned(),
            reason: reason.to_string(),
        });
    }

    fn name(&mut self, field: &str, name: &str) {
        let most = limits::NAME;
        if name.is_empty() {
            self.add(field, format_args!("\"\" is no name"));
        } else if name.len() > most {
            self.add(field, format_args!("{name:?} is longer than {most} octets"));
        }
    }

    fn timeouts(&mut self, timeouts: Timeouts) {
        let fields = [
            ("udpIdleSeconds", timeouts.udp_idle),
            ("tcpIdleSeconds", timeouts.tcp_idle),
            ("tcpTransientSeconds", timeouts.tcp_transient),
            ("tcpClosingSeconds", timeouts.tcp_closing),
        ];
        for (field, seconds) in fields {
            if seconds == 0 || seconds > limits::TIMEOUT {
                let reason = format_args!("{seconds} is not between 1 and {}", limits::TIMEOUT);
                self.add(&format!("timeouts.{field}"), reason);
            }
        }
    }

    fn table(&mut self, field: &str, table: &PolicyTable) {
        let (count, most) = (table.rules.len(), limits::RULES);
        if count > most {
            let reason = format_args!("{count} rules are more than {most}");
            return self.add(&format!("{field}.rules"), reason);
        }
        let mut names: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for (at, rule) in table.rules.iter().enumerate() {
            let field = format!("{field}.rules[{at}]");
            let name = format!("{field}.name");
            self.name(&name, &rule.name);
            if let Some(first) = names.insert(&rule.name, at) {
                let reason = format_args!("{:?} is the name of rules[{first}]", rule.name);
                self.add(&name, reason);
            }
            self.matches(&field, &rule.matches);
        }
    }

    fn matches(&mut self, rule: &str, said: &Matches) {
        let field = |name: &str| format!("{rule}.{name}");
        let source = said.source.map(|it| it.family);
        let named = said.family.map(|family| (family, "family"));
        let known = named.or(source.map(|family| (family, "source")));
        self.prefix(&field("source"), said.source, named);
        self.prefix(&field("destination"), said.destination, known);
        let has_ports = said.protocol.is_some_and(|it| WITH_PORTS.contains(&it));
        for (name, ranges) in [
            ("sourcePorts", &said.source_ports),
            ("destinationPorts", &said.destination_ports),
        ] {
            if !ranges.is_empty() && !has_ports {
                let reason = "needs protocol TCP, UDP, UDPLite, SCTP or DCCP";
                self.add(&field(name), format_args!("{reason}"));
            }
            self.ranges(&field(name), ranges);
        }
        let is_icmp = matches!(said.protocol, Some(protocol::ICMP | protocol::ICMPV6));
        for (name, ranges) in [
            ("icmpTypes", &said.icmp_types),
            ("icmpCodes", &said.icmp_codes),
        ] {
            if !ranges.is_empty() && !is_icmp {
                self.add(&field(name), format_args!("needs protocol ICMP or ICMPv6"));
            }
            self.ranges(&field(name), ranges);
        }
        self.flags(&field("tcpFlags"), said);
        self.dscp(&field("dscp"), &said.dscp);
        self.ranges(&field("length"), &said.length);
        self.octets(&field("octets"), &said.octets);
    }

    /// `known`: the family that the rule has already, and by which field.
    fn prefix(&mut self, field: &str, prefix: Option<Prefix>, known: Option<(Family, &str)>) {
        let Some(prefix) = prefix else {
            return;
        };
        let (family, bits) = (prefix.family.label(), prefix.family.bits());
        if let Some((other, by)) = known.filter(|(known, _)| *known != prefix.family) {
            let other = other.label();
            let reason =
                format_args!("{prefix} is {family}, and {by} is {other}; no packet is both");
            self.add(field, reason);
        }
        if prefix.length > bits {
            let reason = format_args!("{prefix} is longer than the {bits} bits of {family}");
            self.add(field, reason);
        } else if prefix.address & !prefix.mask() != 0 {
            let meant = Prefix {
                address: prefix.address & prefix.mask(),
                ..prefix
            };
            let reason = format_args!("{prefix} has bits behind its length; is {meant} meant?");
            self.add(field, reason);
        }
    }

    fn ranges<T: Copy + PartialOrd + fmt::Display>(
        &mut self,
        field: &str,
        ranges: &[RangeInclusive<T>],
    ) {
        let (count, most) = (ranges.len(), limits::RANGES);
        if count > most {
            let reason = format_args!("{count} ranges are more than {most}");
            return self.add(field, reason);
        }
        for (at, range) in ranges.iter().enumerate() {
            if range.is_empty() {
                let (first, last) = (range.start(), range.end());
                let reason = format_args!("{first}-{last} ends before it begins");
                self.add(&format!("{field}[{at}]"), reason);
            }
        }
    }

    fn flags(&mut self, field: &str, said: &Matches) {
        let Some(flags) = said.tcp_flags else {
            return;
        };
        if said.protocol != Some(protocol::TCP) {
            self.add(field, format_args!("needs protocol TCP"));
        }
        let (value, mask) = (flags.value, flags.mask);
        if value & !mask != 0 {
            let reason = format_args!("{value:02x} has flags that are not in the mask {mask:02x}");
            self.add(&format!("{field}.value"), reason);
        }
    }

    fn dscp(&mut self, field: &str, list: &[u8]) {
        let (count, most) = (list.len(), limits::RANGES);
        if count > most {
            return self.add(field, format_args!("{count} values are more than {most}"));
        }
        for (at, dscp) in list.iter().enumerate().filter(|(_, dscp)| **dscp > 63) {
            let reason = format_args!("{dscp} is above 63");
            self.add(&format!("{field}[{at}]"), reason);
        }
    }

    fn octets(&mut self, field: &str, octets: &[OctetsMatch]) {
        let (count, most) = (octets.len(), limits::OCTET_MATCHES);
        if count > most {
            return self.add(field, format_args!("{count} of them are more than {most}"));
        }
        for (at, wanted) in octets.iter().enumerate() {
            let field = |name: &str| format!("{field}[{at}].{name}");
            let (octets, most) = (wanted.mask.len(), limits::OCTETS);
            let value = wanted.value.len();
            if octets == 0 || octets > most {
                let reason = format_args!("{octets} octets are not between 1 and {most}");
                self.add(&field("mask"), reason);
            }
            if value != octets {
                let reason = format_args!("{value} octets under a mask of {octets}");
                self.add(&field("value"), reason);
            }
            let mut pairs = wanted.value.iter().zip(&wanted.mask);
            if pairs.any(|(value, mask)| value & !mask != 0) {
                let reason = format_args!("has bits that the mask has not");
                self.add(&field("value"), reason);
            }
            let end = usize::from(wanted.at).saturating_add(octets);
            if end > usize::from(u16::MAX) {
                let reason = format_args!("{} is where no packet reaches", wanted.at);
                self.add(&field("at"), reason);
            }
        }
    }
}
