//! The schemas of the texts of a `SessionPolicy`.
//!
//! They stand in lists of lists, and the API server multiplies the cost of a rule by all their
//! lengths: there is one rule for each, and its pattern is short.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

use crate::limits;

/// One number or two, of at most so many digits; none above the greatest, and the smaller one first. Two
/// rules, since the API server bounds the cost of each.
macro_rules! span {
    ($(#[$doc:meta])* $name:ident, $longest:literal, $digits:literal, $greatest:literal, $message:expr) => {
        text_format!(
            $(#[$doc])*
            $name, $longest, [
                (concat!("self.matches('^[0-9]{1,", $digits, "}(-[0-9]{1,", $digits, "})?$')"), $message),
                (concat!(
                    "self.contains('-') ? int(self.split('-')[0]) <= int(self.split('-')[1]) && int(self.split('-')[1]) <= ",
                    $greatest, " : int(self) <= ", $greatest,
                ), $message),
            ]
        );
    };
}

span!(
    /// Ports.
    Ports, 11, 5, 65535,
    r#"'"' + self + '" is no port and no range of them: 0 to 65535, the smaller one first, as "25" or "8000-8100"'"#
);

span!(
    /// Lengths of packets.
    Lengths, 11, 5, 65535,
    r#"'"' + self + '" is no length and no range of them: 0 to 65535, the smaller one first, as "64" or "0-1500"'"#
);

span!(
    /// Types or codes of ICMP messages.
    IcmpNumbers, 7, 3, 255,
    r#"'"' + self + '" is no number and no range of them: 0 to 255, the smaller one first, as "8" or "0-3"'"#
);

text_format!(
    /// An upper protocol. `crate::policy::Protocol` has the same names.
    Protocol, 7, [(
        "self in ['TCP', 'UDP', 'ICMP', 'ICMPv6', 'ESP', 'AH', 'GRE', 'IPIP', 'SCTP', 'UDPLite', 'DCCP'] || \
         (self.matches('^(0|[1-9][0-9]{0,2})$') && int(self) <= 255 && \
         !(int(self) in [1, 4, 6, 17, 33, 47, 50, 51, 58, 132, 136]))",
        r#"'"' + self + '" is no protocol: TCP, UDP, ICMP, ICMPv6, ESP, AH, GRE, IPIP, SCTP, UDPLite, DCCP, or the number, 0 to 255, of another one'"#)]
);

text_format!(
    /// Octets in hexadecimal digits.
    Hex, 2 * limits::OCTETS, [("self.matches('^([0-9a-fA-F]{2})+$')",
        r#"'"' + self + '" is no octets: two hexadecimal digits for each, as "ff00"'"#)]
);

text_format!(
    /// A value of Filter-Id.
    FilterId, limits::FILTER_ID, [("self.matches('^[!-~]([ -~]*[!-~])?$')",
        r#"'"' + self + '" is no Filter-Id here: printable ASCII only, without a blank at the ends'"#)]
);

/// The schema of a timeout. 0 is within the bounds, so that it gets an answer of its own.
pub(crate) fn timeout(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": limits::TIMEOUT_SECONDS,
        "x-kubernetes-validations": [{
            "rule": "self > 0",
            "message": "0 is too short: an active flow is noted every quarter of its timeout, in whole seconds, so that one of 1 second is the shortest that outlives its own packets",
        }],
    })
}
