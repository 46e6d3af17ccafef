//! Routes as text (RFC 2865, 5.22), and the pairs in a Cisco-AVPair that an LNS understands:
//!
//! | pair | meaning |
//! |---|---|
//! | `lcp:interface-config[#N]=service-policy input\|output N` | N kbit/s from or to the subscriber |
//! | `lcp:interface-config[#N]=rate-limit input\|output [access-group N] N ...` | N bit/s |
//! | `throttle=N`, `throttle=no`, `throttle=yes` | N kbit/s in both directions; no limit; what the policies say |
//! | `ip:route=NET MASK [GATEWAY]`, `ip:route=NET/LENGTH [GATEWAY]` | a route to the subscriber |
//! | `ip:dns-servers=FIRST [SECOND]` | name servers |
//!
//! Several pairs may be in one attribute, with a comma between them, and a value in quotation marks.
//! Of a route the gateway does not matter: a point-to-point link has one other end. A pair with another
//! key or another command is not ours; one of ours whose numbers are none is malformed.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::limits;

/// One pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pair {
    /// Somebody else's.
    Unknown,
    /// Bits per second from the subscriber; 0: no limit.
    Up(u64),
    /// To the subscriber.
    Down(u64),
    /// In each direction.
    Both(u64),
    /// In each direction what the policies say.
    OfPolicies,
    /// What lies behind the subscriber.
    Route(Ipv4Net),
    /// Name servers.
    Dns([Option<Ipv4Addr>; 2]),
}

/// A pair of ours has no meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// The pairs in the text of one attribute.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Result<Pair, Malformed>> {
    text.split(',').map(pair)
}

fn pair(text: &str) -> Result<Pair, Malformed> {
    let Some((key, value)) = text.trim().split_once('=') else {
        return Ok(Pair::Unknown);
    };
    let value = value.trim().trim_matches(['"', '\'']);
    let key = key.split_once('#').map_or(key, |(key, _)| key);
    match key.trim() {
        "lcp:interface-config" => interface(value),
        "throttle" => throttle(value),
        "ip:route" => route(value).map(Pair::Route).ok_or(Malformed),
        "ip:dns-servers" => dns(value),
        _ => Ok(Pair::Unknown),
    }
}

/// A command of the interface. A policy that has a name and no number is one of Cisco's.
fn interface(command: &str) -> Result<Pair, Malformed> {
    let mut words = command.split_whitespace();
    let (Some(verb), Some(direction)) = (words.next(), words.next()) else {
        return Ok(Pair::Unknown);
    };
    let made: fn(u64) -> Pair = match direction {
        "input" => Pair::Up,
        "output" => Pair::Down,
        _ => return Ok(Pair::Unknown),
    };
    let mut rate = words.next().ok_or(Malformed)?;
    match verb {
        "service-policy" if !rate.starts_with(|first: char| first.is_ascii_digit()) => {
            Ok(Pair::Unknown)
        }
        "service-policy" => kilobits(rate).map(made),
        "rate-limit" => {
            if rate == "access-group" {
                rate = words.nth(1).ok_or(Malformed)?;
            }
            bits(rate).map(made)
        }
        _ => Ok(Pair::Unknown),
    }
}

/// `yes` is the rate of the manifest: that of the policies.
fn throttle(value: &str) -> Result<Pair, Malformed> {
    match value {
        "yes" => Ok(Pair::OfPolicies),
        "no" => Ok(Pair::Both(0)),
        rate => kilobits(rate).map(Pair::Both),
    }
}

fn dns(value: &str) -> Result<Pair, Malformed> {
    let mut servers = value.split_whitespace();
    let mut next = || servers.next().map(str::parse::<Ipv4Addr>).transpose();
    let first = next().map_err(|_| Malformed)?.ok_or(Malformed)?;
    let second = next().map_err(|_| Malformed)?;
    Ok(Pair::Dns([Some(first), second]))
}

/// A Framed-Route: net, gateway and metrics. Without a length it has that of its class (RFC 2865, 5.22).
pub(crate) fn framed_route(text: &str) -> Option<Ipv4Net> {
    let mut words = text.split_whitespace();
    let net = words.next()?;
    let rest = words.try_for_each(|word| is_address(word).or_else(|| is_number(word)));
    rest?;
    if let Some((address, length)) = net.split_once('/') {
        return prefix(address.parse().ok()?, length.parse().ok()?);
    }
    let address: Ipv4Addr = net.parse().ok()?;
    let [first, ..] = address.octets();
    let length = match first {
        ..128 => 8,
        128..192 => 16,
        192..224 => 24,
        224.. => return None,
    };
    prefix(address, length)
}

/// The route of an AV pair: also with the mask as a word of its own.
fn route(text: &str) -> Option<Ipv4Net> {
    let (net, rest) = text.split_once(' ').unwrap_or((text, ""));
    if net.contains('/') {
        return framed_route(text);
    }
    let mut words = rest.split_whitespace();
    let mask = words.next()?.parse().ok()?;
    words.try_for_each(|word| is_address(word).or_else(|| is_number(word)))?;
    let length = ipnet::ipv4_mask_to_prefix(mask).ok()?;
    prefix(net.parse().ok()?, length)
}

fn is_address(word: &str) -> Option<()> {
    word.parse::<Ipv4Addr>().is_ok().then_some(())
}

fn is_number(word: &str) -> Option<()> {
    word.parse::<i64>().is_ok().then_some(())
}

/// A prefix that can be somebody's: bits behind its length are left out.
fn prefix(address: Ipv4Addr, length: u8) -> Option<Ipv4Net> {
    let is_nobodys = address.is_multicast() || address.is_loopback() || address.is_unspecified();
    if is_nobodys || length < limits::WIDEST_ROUTE {
        return None;
    }
    Ipv4Net::new(address, length).ok().map(|net| net.trunc())
}

fn bits(text: &str) -> Result<u64, Malformed> {
    in_range(text.parse().ok())
}

fn kilobits(text: &str) -> Result<u64, Malformed> {
    in_range(
        text.parse()
            .ok()
            .and_then(|rate: u64| rate.checked_mul(1000)),
    )
}

fn in_range(rate: Option<u64>) -> Result<u64, Malformed> {
    rate.filter(|rate| *rate <= limits::GRANTED_RATE)
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Pair, Malformed> {
        let mut all = pairs(text);
        let first = all.next().unwrap();
        assert!(all.next().is_none(), "{text} is one pair");
        first
    }

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn rates_are_read_in_kilobits_as_l2tpns_has_them_and_in_bits_as_cisco_does() {
        let key = "lcp:interface-config#1";
        let expected = [
            (
                format!("{key}=service-policy input 2000"),
                Pair::Up(2_000_000),
            ),
            (
                format!("{key}=service-policy output 10000"),
                Pair::Down(10_000_000),
            ),
            (
                format!("{key}=rate-limit input 128000 8000 8000 conform-action transmit"),
                Pair::Up(128_000),
            ),
            (
                format!("{key}=rate-limit output access-group 101 64000 1 1"),
                Pair::Down(64_000),
            ),
            (format!("{key}=service-policy output GOLD"), Pair::Unknown),
            (format!("{key}=ip vrf forwarding X"), Pair::Unknown),
            (
                "lcp:interface-config=service-policy input 1".to_owned(),
                Pair::Up(1000),
            ),
            ("throttle=28".to_owned(), Pair::Both(28_000)),
            ("throttle=no".to_owned(), Pair::Both(0)),
            ("throttle=yes".to_owned(), Pair::OfPolicies),
            ("throttle=\"28\"".to_owned(), Pair::Both(28_000)),
            ("shell:priv-lvl=15".to_owned(), Pair::Unknown),
            ("nothing".to_owned(), Pair::Unknown),
        ];
        for (text, pair) in expected {
            assert_eq!(one(&text), Ok(pair), "{text}");
        }
        for text in [
            "throttle=fast",
            "throttle=",
            "throttle=18446744073709551615",
            "throttle=100000001",
            "lcp:interface-config=service-policy input",
            "lcp:interface-config=service-policy input 2x",
            "lcp:interface-config=rate-limit input much",
        ] {
            assert_eq!(one(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn several_pairs_stand_in_one_attribute() {
        let text = "lcp:interface-config#1=service-policy input 1,lcp:interface-config#2=service-policy output 2";
        let all: Vec<_> = pairs(text).collect();
        assert_eq!(all, [Ok(Pair::Up(1000)), Ok(Pair::Down(2000))]);
    }

    #[test]
    fn routes_are_read_with_length_mask_or_class_and_no_other_way() {
        for (text, expected) in [
            ("192.0.2.8/29 0.0.0.0 1", "192.0.2.8/29"),
            ("192.0.2.9/29", "192.0.2.8/29"),
            ("10.1.2.3 100.64.0.9 1 2 -1 3 400", "10.0.0.0/8"),
            ("172.16.0.0 0.0.0.0", "172.16.0.0/16"),
            ("192.168.1.0", "192.168.1.0/24"),
            ("203.0.113.7/32", "203.0.113.7/32"),
        ] {
            assert_eq!(framed_route(text), Some(net(expected)), "{text}");
        }
        for text in [
            "",
            "x",
            "192.0.2.0/33",
            "192.0.2.0/",
            "0.0.0.0/0",
            "10.0.0.0/7",
            "224.0.0.0/24",
            "240.0.0.1",
            "127.0.0.0/8",
            "192.0.2.0/24 gateway",
            "192.0.2.0/24 0.0.0.0 x",
        ] {
            assert_eq!(framed_route(text), None, "{text}");
        }
        for (text, expected) in [
            ("ip:route=192.0.2.0 255.255.255.248", "192.0.2.0/29"),
            (
                "ip:route=192.0.2.0 255.255.255.248 10.0.0.1 1",
                "192.0.2.0/29",
            ),
            ("ip:route=192.0.2.0/29 10.0.0.1", "192.0.2.0/29"),
        ] {
            assert_eq!(one(text), Ok(Pair::Route(net(expected))), "{text}");
        }
        for text in [
            "ip:route=192.0.2.0",
            "ip:route=192.0.2.0 255.0.255.0",
            "ip:route=x/8",
        ] {
            assert_eq!(one(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn name_servers_are_one_or_two() {
        let [first, second] = [[192, 0, 2, 53], [192, 0, 2, 54]].map(Ipv4Addr::from);
        assert_eq!(
            one("ip:dns-servers=192.0.2.53"),
            Ok(Pair::Dns([Some(first), None]))
        );
        assert_eq!(
            one("ip:dns-servers=192.0.2.53 192.0.2.54"),
            Ok(Pair::Dns([Some(first), Some(second)]))
        );
        for text in [
            "ip:dns-servers=",
            "ip:dns-servers=x",
            "ip:dns-servers=192.0.2.53 y",
        ] {
            assert_eq!(one(text), Err(Malformed), "{text}");
        }
    }
}
