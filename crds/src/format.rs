//! The schemas of the texts that are more than text: addresses, prefixes, names.
//!
//! The rules sit on the value itself, so that the API server and the reader of files name the very
//! list item that is wrong. Their messages say what was given, because the API server prints only the
//! type of a refused value.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::limits;

/// Characters of the longest IPv6 address in text.
const ADDRESS: u32 = 45;
/// Characters of the longest IPv6 prefix in text.
const CIDR: u32 = 49;

/// Defines a type that stands for a string of some format in a schema.
macro_rules! text_format {
    ($(#[$doc:meta])* $name:ident, $longest:expr, [$(($rule:expr, $message:expr)),+ $(,)?]) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "maxLength": $longest,
                    "x-kubernetes-validations": [$({ "rule": $rule, "messageExpression": $message }),+],
                })
            }
        }
    };
}

/// A prefix without host bits. Nothing is guessed: `198.51.100.7/24` may mean the network or the host.
const HOST_BITS_RULE: &str = "!isCIDR(self) || cidr(self) == cidr(self).masked()";
const HOST_BITS_MESSAGE: &str = r#"'"' + self + '" has bits set behind its prefix length; clear them to mean the network, or write /32 (IPv6: /128) to mean the one address'"#;

/// Which IPv4 addresses no host can have: "this network", loopback, multicast, reserved (RFC 6890).
macro_rules! no_host {
    ($address:literal) => {
        concat!(
            "(cidr('0.0.0.0/8').containsIP(",
            $address,
            ") || cidr('127.0.0.0/8').containsIP(",
            $address,
            ") || cidr('224.0.0.0/3').containsIP(",
            $address,
            "))"
        )
    };
}

/// Only functions that the API server has; its size estimator knows the length of `self` and of
/// literals, so messages are made of these alone.
const IS_IPV4: &str = "isIP(self) && ip(self).family() == 4";
const IS_IPV4_CIDR: &str = "isCIDR(self) && cidr(self).ip().family() == 4";

text_format!(
    /// An IPv4 or IPv6 address on which the LNS can answer.
    Address, ADDRESS, [
        ("isIP(self)", r#"'"' + self + '" is no IP address'"#),
        ("!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLinkLocalUnicast() || cidr('224.0.0.0/4').containsIP(self) || cidr('ff00::/8').containsIP(self))",
         r#"'"' + self + '" is not an address that a LAC can be told to dial; name the very addresses'"#),
    ]
);

text_format!(
    /// An IPv4 or IPv6 address that one host can have; of a server, or our own.
    HostAddress, ADDRESS, [
        ("isIP(self)", r#"'"' + self + '" is no IP address'"#),
        ("!isIP(self) || !(ip(self).isUnspecified() || ip(self).isLinkLocalUnicast() || self == '255.255.255.255' || cidr('224.0.0.0/4').containsIP(self) || cidr('ff00::/8').containsIP(self))",
         r#"'"' + self + '" is not the address of one host'"#),
    ]
);

text_format!(
    /// What is behind the last @ of a user name.
    Realm, limits::REALM, [
        ("self.matches('^[!-)+-?A-~]+$')",
         r#"'"' + self + '" is no realm: what is behind the last @ of a user name, without the @; no blanks, and * is not known'"#),
    ]
);

text_format!(
    /// Where a Sentinel listens: a host, and a port if it is another than the usual one.
    SentinelAddress, limits::SENTINEL_ADDRESS, [
        ("self.matches('^([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\])(:[0-9]{1,5})?$') || (isIP(self) && ip(self).family() == 6)",
         r#"'"' + self + '" is no address of a Sentinel: HOST, HOST:PORT or [IPV6]:PORT'"#),
    ]
);

text_format!(
    /// An IPv4 address that a host can have.
    Ipv4Address, ADDRESS, [
        (IS_IPV4, r#"'"' + self + '" is no IPv4 address'"#),
        (concat!("!(isIP(self) && ip(self).family() == 4) || !", no_host!("self")),
         r#"'"' + self + '" is not an address that a host can have'"#),
    ]
);

text_format!(
    /// An IPv4 or IPv6 prefix.
    Cidr, CIDR, [
        ("isCIDR(self)", r#"'"' + self + '" is no CIDR'"#),
        (HOST_BITS_RULE, HOST_BITS_MESSAGE),
    ]
);

text_format!(
    /// An IPv4 prefix.
    Ipv4Cidr, CIDR, [
        ("isCIDR(self)", r#"'"' + self + '" is no CIDR'"#),
        ("!isCIDR(self) || cidr(self).ip().family() == 4", r#"'"' + self + '" is no IPv4 prefix'"#),
        (HOST_BITS_RULE, HOST_BITS_MESSAGE),
    ]
);

text_format!(
    /// An IPv4 prefix that subscribers can have addresses of.
    PoolCidr, CIDR, [
        ("isCIDR(self)", r#"'"' + self + '" is no CIDR'"#),
        ("!isCIDR(self) || cidr(self).ip().family() == 4", r#"'"' + self + '" is no IPv4 prefix; pools are IPv4 only'"#),
        (HOST_BITS_RULE, HOST_BITS_MESSAGE),
        (format!("!({IS_IPV4_CIDR}) || cidr(self).prefixLength() >= {}", limits::SHORTEST_POOL_PREFIX),
         format!(r#"'"' + self + '" is larger than a /{}; give the part of it that subscribers really get'"#, limits::SHORTEST_POOL_PREFIX)),
        (concat!("!(isCIDR(self) && cidr(self).ip().family() == 4) || !", no_host!("cidr(self).ip()")),
         r#"'"' + self + '" has no addresses that a host can have'"#),
    ]
);

mod policy;

pub(crate) use policy::{FilterId, Hex, IcmpNumbers, Lengths, Ports, Protocol, timeout};

/// The schema of the name of a list's entry: what a DNS label can be.
pub(crate) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "messageExpression": r#"'"' + self + '" is no name: small letters, digits and hyphens only, with a letter or digit at both ends'"#,
        }],
    })
}

/// The schema of the name of another object: what a DNS subdomain can be.
pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
            "messageExpression": r#"'"' + self + '" is no object name: small letters, digits, hyphens and dots only, with a letter or digit at both ends'"#,
        }],
    })
}

/// The schema of a label selector without expressions.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::NODE_LABELS,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// The schema of RADIUS attributes by name. Which there are, and what each may be, is in
/// [`crate::rules::radius`].
pub(crate) fn attributes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::CHECK_ATTRIBUTES,
        "additionalProperties": { "type": "string", "maxLength": limits::ATTRIBUTE },
    })
}
