//! What a rule is about, in a few words.

use core::fmt::{self, Write as _};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

use lns_l2sess::Family;
use lns_l2sess::policy::{FlagsMatch, Matches, OctetsMatch, Prefix};

/// Protocols with a name of their own, as the manifest has them.
const PROTOCOLS: [(u8, &str); 11] = [
    (1, "ICMP"),
    (4, "IPIP"),
    (6, "TCP"),
    (17, "UDP"),
    (33, "DCCP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (58, "ICMPv6"),
    (132, "SCTP"),
    (136, "UDPLite"),
];

/// Flags of TCP, from the lowest bit up.
const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/// What a rule is about: `everything`, or what must hold.
pub(super) fn in_words(matches: &Matches) -> String {
    let mut words = Words(String::new());
    // A string takes everything.
    let _: fmt::Result = words.all(matches);
    if words.0.is_empty() {
        return "everything".to_owned();
    }
    words.0
}

struct Words(String);

impl Words {
    fn all(&mut self, matches: &Matches) -> fmt::Result {
        let named = [matches.source, matches.destination]
            .into_iter()
            .flatten()
            .next();
        // A prefix says which IP.
        if let (Some(family), None) = (matches.family, named) {
            self.say(family.label())?;
        }
        if let Some(number) = matches.protocol {
            match PROTOCOLS.iter().find(|(known, _)| *known == number) {
                Some((_, name)) => self.say(name)?,
                None => self.say(&format!("protocol {number}"))?,
            }
        }
        self.end("from", matches.source, &matches.source_ports)?;
        self.end("to", matches.destination, &matches.destination_ports)?;
        self.ranges("type", &matches.icmp_types)?;
        self.ranges("code", &matches.icmp_codes)?;
        if let Some(flags) = matches.tcp_flags {
            self.say(&tcp_flags(flags))?;
        }
        if !matches.dscp.is_empty() {
            self.say(&format!("dscp {}", list(matches.dscp.iter())))?;
        }
        self.ranges("length", &matches.length)?;
        matches
            .octets
            .iter()
            .try_for_each(|octets| self.say(&octets_match(octets)))
    }

    fn say(&mut self, words: &str) -> fmt::Result {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.write_str(words)
    }

    fn end(
        &mut self,
        way: &str,
        prefix: Option<Prefix>,
        ports: &[RangeInclusive<u16>],
    ) -> fmt::Result {
        if prefix.is_none() && ports.is_empty() {
            return Ok(());
        }
        self.say(way)?;
        if let Some(prefix) = prefix {
            self.say(&address(prefix))?;
        }
        self.ranges("port", ports)
    }

    fn ranges<T: PartialEq + fmt::Display>(
        &mut self,
        what: &str,
        ranges: &[RangeInclusive<T>],
    ) -> fmt::Result {
        if ranges.is_empty() {
            return Ok(());
        }
        let ranges = ranges.iter().map(|range| {
            if range.start() == range.end() {
                range.start().to_string()
            } else {
                format!("{}-{}", range.start(), range.end())
            }
        });
        self.say(&format!("{what} {}", list(ranges)))
    }
}

fn list(items: impl Iterator<Item = impl fmt::Display>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

fn address(prefix: Prefix) -> String {
    let Prefix {
        family,
        address,
        length,
    } = prefix;
    let address = match family {
        Family::IPv4 => {
            let [.., a, b, c, d] = address.to_be_bytes();
            Ipv4Addr::new(a, b, c, d).to_string()
        }
        Family::IPv6 => Ipv6Addr::from(address).to_string(),
    };
    if length == family.bits() {
        return address;
    }
    format!("{address}/{length}")
}

/// `flags SYN !ACK`: what must be set, and what must not.
fn tcp_flags(flags: FlagsMatch) -> String {
    let named = FLAGS.iter().zip(0_u32..).filter_map(|(name, bit)| {
        let flag = 1_u8.checked_shl(bit)?;
        let is_set = flags.value & flag != 0;
        (flags.mask & flag != 0).then(|| format!("{}{name}", if is_set { "" } else { "!" }))
    });
    format!("flags {}", named.collect::<Vec<_>>().join(" "))
}

/// `octets 8: 01/ff`: where, what, and which bits of it.
fn octets_match(octets: &OctetsMatch) -> String {
    let hex = |octets: &[u8]| {
        octets
            .iter()
            .fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
    };
    format!(
        "octets {}: {}/{}",
        octets.at,
        hex(&octets.value),
        hex(&octets.mask)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(family: Family, address: u128, length: u8) -> Prefix {
        Prefix {
            family,
            address,
            length,
        }
    }

    #[test]
    fn a_rule_without_conditions_is_about_everything() {
        assert_eq!(in_words(&Matches::default()), "everything");
    }

    #[test]
    fn a_rule_is_told_in_the_order_in_which_people_say_it() {
        let web = Matches {
            family: Some(Family::IPv4),
            source: Some(net(Family::IPv4, 0x6440_0000, 16)),
            destination: Some(net(Family::IPv4, 0xcb00_7107, 32)),
            protocol: Some(6),
            source_ports: vec![1024..=65_535],
            destination_ports: vec![80..=80, 8000..=8100],
            tcp_flags: Some(FlagsMatch {
                value: 0x02,
                mask: 0x12,
            }),
            ..Matches::default()
        };
        assert_eq!(
            in_words(&web),
            "TCP from 100.64.0.0/16 port 1024-65535 to 203.0.113.7 port 80,8000-8100 flags SYN !ACK"
        );
        let ping = Matches {
            family: Some(Family::IPv6),
            protocol: Some(58),
            icmp_types: vec![128..=129],
            icmp_codes: vec![0..=0],
            ..Matches::default()
        };
        assert_eq!(in_words(&ping), "IPv6 ICMPv6 type 128-129 code 0");
        let odd = Matches {
            destination: Some(net(Family::IPv6, 0x2001_0db8 << 96, 32)),
            protocol: Some(253),
            dscp: vec![46, 10],
            length: vec![40..=60],
            octets: vec![OctetsMatch {
                at: 8,
                mask: [0xff].into(),
                value: [1].into(),
            }],
            ..Matches::default()
        };
        assert_eq!(
            in_words(&odd),
            "protocol 253 to 2001:db8::/32 dscp 46,10 length 40-60 octets 8: 01/ff"
        );
    }
}
