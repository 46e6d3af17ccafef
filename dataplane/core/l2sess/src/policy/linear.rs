//! What it means for a packet to match: one rule after the other.
//!
//! This is the meaning of a policy, and what the compiled form ([`super::compile`]) is held against; no
//! packet is judged by it. It covers what `spec` calls stateless matching; flows are not its affair.
//!
//! Family, addresses, protocol, DSCP, length and octets are in every packet: what a rule says of them
//! must hold. Ports, the type and code of ICMP, and TCP flags are in the upper header, and that may be
//! missing:
//!
//! - a later fragment has none. With [`LaterFragments::Match`] a rule is asked without what it says of
//!   the upper header, so that a rule for a port matches the later fragments of every port: what is
//!   refused by its first fragment is refused whole. With [`LaterFragments::Ignore`] a rule that says
//!   anything of the upper header does not match.
//! - a packet that ends before its ports, its type or its flags is matched by no rule that says
//!   anything of what is missing, whatever the option is.
//! - a packet of a protocol that has no ports, or is no ICMP or TCP, neither.
//!
//! The octets of a later fragment are its own: behind the IP header they are payload.

use super::rule::{Matches, OctetsMatch, PolicyTable, Prefix};
use super::{LaterFragments, Rule};
use crate::key::Family;
use crate::packet::{Packet, Upper};

/// The first rule of the table that matches, found the long way.
pub fn find(table: &PolicyTable, packet: &Packet<'_>, later: LaterFragments) -> Option<usize> {
    let matches = |rule: &Rule| matches(&rule.matches, packet, later);
    table.rules.iter().position(matches)
}

/// Whether all that a rule says holds.
pub fn matches(rule: &Matches, packet: &Packet<'_>, later: LaterFragments) -> bool {
    rule.family.is_none_or(|family| family == packet.family)
        && within(rule.source, packet.family, packet.source)
        && within(rule.destination, packet.family, packet.destination)
        && rule.protocol.is_none_or(|known| known == packet.protocol)
        && (rule.dscp.is_empty() || rule.dscp.contains(&packet.dscp))
        && (rule.length.is_empty() || rule.length.iter().any(|it| it.contains(&packet.length)))
        && rule.octets.iter().all(|it| has(it, packet.octets))
        && upper(rule, packet.upper, later)
}

fn within(prefix: Option<Prefix>, family: Family, address: u128) -> bool {
    prefix.is_none_or(|prefix| prefix.contains(family, address))
}

fn has(wanted: &OctetsMatch, octets: &[u8]) -> bool {
    let there = octets.get(usize::from(wanted.at)..).unwrap_or_default();
    let pattern = wanted.mask.iter().zip(&wanted.value);
    there.len() >= wanted.mask.len()
        && there
            .iter()
            .zip(pattern)
            .all(|(octet, (mask, value))| octet & mask == *value)
}

fn upper(rule: &Matches, upper: Upper, later: LaterFragments) -> bool {
    if upper == Upper::LaterFragment && later == LaterFragments::Match {
        return true;
    }
    let has_ports = !rule.source_ports.is_empty() || !rule.destination_ports.is_empty();
    let has_types = !rule.icmp_types.is_empty() || !rule.icmp_codes.is_empty();
    let (ports, message, flags) = match upper {
        Upper::Tcp {
            source,
            destination,
            flags,
        } => (Some((source, destination)), None, flags),
        Upper::Ports {
            source,
            destination,
        } => (Some((source, destination)), None, None),
        Upper::Icmp { kind, code, .. } => (None, Some((kind, code)), None),
        Upper::None | Upper::LaterFragment | Upper::Unreadable => (None, None, None),
    };
    let ports_hold = ports.is_some_and(|(source, destination)| {
        (rule.source_ports.is_empty() || rule.source_ports.iter().any(|it| it.contains(&source)))
            && (rule.destination_ports.is_empty()
                || rule
                    .destination_ports
                    .iter()
                    .any(|it| it.contains(&destination)))
    });
    let types_hold = message.is_some_and(|(kind, code)| {
        (rule.icmp_types.is_empty() || rule.icmp_types.iter().any(|it| it.contains(&kind)))
            && (rule.icmp_codes.is_empty() || rule.icmp_codes.iter().any(|it| it.contains(&code)))
    });
    let flags_hold = rule
        .tcp_flags
        .is_none_or(|wanted| flags.is_some_and(|flags| flags.0 & wanted.mask == wanted.value));
    (!has_ports || ports_hold) && (!has_types || types_hold) && flags_hold
}
