//! The manifest's policies, as the classifier wants them.
//!
//! The manifest reader has validated every field. What only the classifier knows is how large its tables
//! become: many ranges and masks in one rule make many entries.

use core::fmt;
use core::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use lns_api::policy::{self, PolicyRule, Span};
use lns_api::{Manifest, SessionPolicy};
use lns_l2sess::policy::{
    Action, BookError, FlagsMatch, Matches, OctetsMatch, OnChange, Policy, PolicyTable, Prefix,
    Rates, Rule, check,
};
use lns_l2sess::{Family, Timeouts};

/// The policies of a manifest, in the order of their names.
///
/// # Errors
/// All that the classifier does not take them for.
pub(super) fn taken(manifest: &Manifest) -> Result<Vec<Policy>, Vec<BookError>> {
    let policies = policies(manifest);
    let wrong = check(&policies);
    if wrong.is_empty() {
        Ok(policies)
    } else {
        Err(wrong)
    }
}

/// What is wrong, in one line and with the paths of the manifest.
pub(super) fn told(wrong: &[BookError], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, error) in wrong.iter().enumerate() {
        let between = if index == 0 { "" } else { "; " };
        f.write_str(between)?;
        match error {
            BookError::TooLarge {
                policy,
                direction,
                rule,
                name,
                excess,
            } => {
                let direction = direction.label();
                write!(
                    f,
                    "SessionPolicy/{policy}: spec.{direction}.rules[{rule}]: {name:?}: {excess}"
                )?;
            }
            BookError::Invalid { policy, what } => {
                write!(f, "SessionPolicy/{policy}: spec.{what}")?;
            }
            BookError::Unknown(_)
            | BookError::TooLong
            | BookError::Twice(_)
            | BookError::TooManyChains
            | BookError::TooManyPolicies
            | BookError::SameName(_)
            | BookError::SameFilterId { .. } => write!(f, "{error}")?,
        }
    }
    Ok(())
}

fn policies(manifest: &Manifest) -> Vec<Policy> {
    manifest.policies.iter().map(one).collect()
}

fn one(policy: &SessionPolicy) -> Policy {
    let spec = &policy.spec;
    let timeouts = &spec.timeouts;
    Policy {
        name: policy.metadata.name.as_deref().unwrap_or_default().into(),
        filter_ids: spec
            .filter_ids
            .iter()
            .map(|text| Arc::from(&**text))
            .collect(),
        input: spec.input.as_ref().map(table),
        output: spec.output.as_ref().map(table),
        timeouts: Timeouts {
            udp_idle: timeouts.udp_idle_seconds,
            tcp_idle: timeouts.tcp_idle_seconds,
            tcp_transient: timeouts.tcp_transient_seconds,
            tcp_closing: timeouts.tcp_closing_seconds,
        },
        on_change: match spec.on_change {
            policy::OnChange::Keep => OnChange::Keep,
            policy::OnChange::Reclassify => OnChange::Reclassify,
        },
        rates: spec.rates.as_ref().map(|rates| Rates {
            up: rates.up_bits_per_second,
            down: rates.down_bits_per_second,
            burst_milliseconds: rates.burst_milliseconds,
        }),
    }
}

fn table(table: &policy::PolicyTable) -> PolicyTable {
    PolicyTable {
        rules: table.rules.iter().map(rule).collect(),
        default: action(table.default_action),
    }
}

fn rule(rule: &PolicyRule) -> Rule {
    Rule {
        name: rule.name.as_str().into(),
        matches: matches(rule),
        action: action(rule.action),
    }
}

fn matches(rule: &PolicyRule) -> Matches {
    Matches {
        family: rule.family.map(|family| match family {
            policy::Family::IPv4 => Family::IPv4,
            policy::Family::IPv6 => Family::IPv6,
        }),
        source: rule.source.map(prefix),
        destination: rule.destination.map(prefix),
        protocol: rule.protocol.map(|protocol| protocol.0),
        source_ports: spans(&rule.source_ports),
        destination_ports: spans(&rule.destination_ports),
        icmp_types: spans(&rule.icmp_types),
        icmp_codes: spans(&rule.icmp_codes),
        tcp_flags: rule.tcp_flags.as_ref().map(|flags| FlagsMatch {
            value: octet(&flags.value),
            mask: octet(&flags.mask),
        }),
        dscp: rule.dscp.clone(),
        length: spans(&rule.length),
        octets: rule.octets.iter().map(octets).collect(),
    }
}

fn action(action: policy::Action) -> Action {
    match action {
        policy::Action::Pass => Action::Pass,
        policy::Action::Track => Action::Track,
        policy::Action::Drop => Action::Drop,
    }
}

fn prefix(prefix: IpNet) -> Prefix {
    match prefix.trunc() {
        IpNet::V4(prefix) => Prefix {
            family: Family::IPv4,
            address: u32::from(prefix.addr()).into(),
            length: prefix.prefix_len(),
        },
        IpNet::V6(prefix) => Prefix {
            family: Family::IPv6,
            address: prefix.addr().into(),
            length: prefix.prefix_len(),
        },
    }
}

fn spans<T: Copy>(spans: &[Span<T>]) -> Vec<RangeInclusive<T>> {
    spans.iter().map(|span| span.first..=span.last).collect()
}

/// The flags in their octet of the TCP header (RFC 9293, 3.1).
fn octet(flags: &[policy::TcpFlag]) -> u8 {
    let bit = |flag: &policy::TcpFlag| match flag {
        policy::TcpFlag::FIN => 0x01,
        policy::TcpFlag::SYN => 0x02,
        policy::TcpFlag::RST => 0x04,
        policy::TcpFlag::PSH => 0x08,
        policy::TcpFlag::ACK => 0x10,
        policy::TcpFlag::URG => 0x20,
        policy::TcpFlag::ECE => 0x40,
        policy::TcpFlag::CWR => 0x80,
    };
    flags.iter().map(bit).fold(0, |octet, bit| octet | bit)
}

fn octets(octets: &policy::OctetsMatch) -> OctetsMatch {
    OctetsMatch {
        at: octets.at,
        mask: octets.mask.0.clone(),
        value: octets.value.0.clone(),
    }
}

#[cfg(test)]
mod tests;
