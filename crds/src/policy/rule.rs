//! One rule of a policy: what it is about, and what becomes of it.

use ipnet::IpNet;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Hex, Protocol, Span};
use crate::format;

/// One rule: what is said of a packet must hold, all of it; of a list, any. What is not said matches
/// every packet.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.family) || !has(self.source) || !isCIDR(self.source) || (self.family == 'IPv4') == (cidr(self.source).ip().family() == 4)")
        .message(Message::Expression("'\"' + self.source + '\" is not ' + self.family + ', which family asks for; no packet is both'".into()))
        .field_path(".source"),
    validation = Rule::new("!has(self.family) || !has(self.destination) || !isCIDR(self.destination) || (self.family == 'IPv4') == (cidr(self.destination).ip().family() == 4)")
        .message(Message::Expression("'\"' + self.destination + '\" is not ' + self.family + ', which family asks for; no packet is both'".into()))
        .field_path(".destination"),
    validation = Rule::new("!has(self.source) || !isCIDR(self.source) || !has(self.destination) || !isCIDR(self.destination) || cidr(self.source).ip().family() == cidr(self.destination).ip().family()")
        .message(Message::Expression("'\"' + self.destination + '\" is of another family than source \"' + self.source + '\"; no packet is both'".into()))
        .field_path(".destination"),
    validation = Rule::new("!has(self.protocol) || self.protocol != 'ICMP' || !((has(self.family) && self.family == 'IPv6') || (has(self.source) && isCIDR(self.source) && cidr(self.source).ip().family() == 6) || (has(self.destination) && isCIDR(self.destination) && cidr(self.destination).ip().family() == 6))")
        .message("\"ICMP\" is of IPv4, and the rule is about IPv6; write ICMPv6")
        .field_path(".protocol"),
    validation = Rule::new("!has(self.protocol) || self.protocol != 'ICMPv6' || !((has(self.family) && self.family == 'IPv4') || (has(self.source) && isCIDR(self.source) && cidr(self.source).ip().family() == 4) || (has(self.destination) && isCIDR(self.destination) && cidr(self.destination).ip().family() == 4))")
        .message("\"ICMPv6\" is of IPv6, and the rule is about IPv4; write ICMP")
        .field_path(".protocol"),
    validation = Rule::new("!has(self.sourcePorts) || (has(self.protocol) && self.protocol in ['TCP', 'UDP', 'UDPLite', 'SCTP', 'DCCP'])")
        .message("needs a protocol with ports: TCP, UDP, UDPLite, SCTP or DCCP; one rule is about one of them")
        .field_path(".sourcePorts"),
    validation = Rule::new("!has(self.destinationPorts) || (has(self.protocol) && self.protocol in ['TCP', 'UDP', 'UDPLite', 'SCTP', 'DCCP'])")
        .message("needs a protocol with ports: TCP, UDP, UDPLite, SCTP or DCCP; one rule is about one of them")
        .field_path(".destinationPorts"),
    validation = Rule::new("!has(self.icmpTypes) || (has(self.protocol) && self.protocol in ['ICMP', 'ICMPv6'])")
        .message("needs protocol: ICMP or ICMPv6")
        .field_path(".icmpTypes"),
    validation = Rule::new("!has(self.icmpCodes) || (has(self.protocol) && self.protocol in ['ICMP', 'ICMPv6'])")
        .message("needs protocol: ICMP or ICMPv6")
        .field_path(".icmpCodes"),
    validation = Rule::new("!has(self.tcpFlags) || (has(self.protocol) && self.protocol == 'TCP')")
        .message("needs protocol: TCP")
        .field_path(".tcpFlags"),
)]
pub struct PolicyRule {
    /// What commands and counters call this rule, and by which its counters go on after a change; one
    /// of its direction. A change takes effect at once.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// Packets of this IP only. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Family")]
    pub family: Option<Family>,

    /// The upper protocol: TCP, UDP, ICMP, `ICMPv6`, ESP, AH, GRE, IPIP, SCTP, `UDPLite`, DCCP, or
    /// the number of one without a name here, quoted. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<format::Protocol>")]
    pub protocol: Option<Protocol>,

    /// From where: a prefix, which says the family too. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<format::Cidr>")]
    pub source: Option<IpNet>,

    /// Where to: a prefix, which says the family too. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<format::Cidr>")]
    pub destination: Option<IpNet>,

    /// The sender's port: numbers or ranges, as "25" and "8000-8100". A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<format::Ports>",
        length(min = 1, max = crate::limits::RULE_PORTS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub source_ports: Vec<Span<u16>>,

    /// The receiver's port: numbers or ranges, as "25" and "8000-8100". A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<format::Ports>",
        length(min = 1, max = crate::limits::RULE_PORTS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub destination_ports: Vec<Span<u16>>,

    /// The type of an ICMP message: numbers or ranges, as "8" and "0-3". A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<format::IcmpNumbers>",
        length(min = 1, max = crate::limits::RULE_ICMP),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub icmp_types: Vec<Span<u8>>,

    /// The code of an ICMP message: numbers or ranges, as "4" and "0-3". A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<format::IcmpNumbers>",
        length(min = 1, max = crate::limits::RULE_ICMP),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub icmp_codes: Vec<Span<u8>>,

    /// Flags of TCP that are set, and flags that are not. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_flags: Option<TcpFlagsMatch>,

    /// The DSCP (RFC 2474), as numbers; 46 is EF. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = crate::limits::RULE_DSCP),
        inner(range(min = 0, max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub dscp: Vec<u8>,

    /// Octets of the packet with its IP header: numbers or ranges, as "64" and "0-1500". A change takes
    /// effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<format::Lengths>",
        length(min = 1, max = crate::limits::RULE_LENGTHS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub length: Vec<Span<u16>>,

    /// Octets anywhere in the packet, all of which must be as said; a packet that ends before them does
    /// not match. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = crate::limits::RULE_OCTETS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub octets: Vec<OctetsMatch>,

    /// Pass: the packet goes on, and nothing is remembered. Track: it goes on, and opens its flow, of
    /// which packets of both directions pass from then on. Drop: it does not go on. A change takes effect
    /// at once, for flows that are not open; what it does to open ones is said by onChange.
    pub action: Action,
}

/// Which IP.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    #[doc = "Version 4."]
    IPv4,
    #[doc = "Version 6."]
    IPv6,
}

/// What becomes of a packet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[doc = "It goes on, and nothing is remembered."]
    Pass,
    #[doc = "It goes on, and its flow is opened, both ways."]
    Track,
    #[doc = "It does not go on."]
    #[default]
    Drop,
}

/// Flags of TCP that must be as said.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.value.all(f, f in self.mask)")
        .message("has a flag that mask has not, which is not looked at; put it into both")
        .field_path(".value")
)]
pub struct TcpFlagsMatch {
    /// Of the flags in mask, those that are set; the others are not. A change takes effect at once.
    #[serde(default)]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub value: Vec<TcpFlag>,

    /// The flags that are looked at. A change takes effect at once.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub mask: Vec<TcpFlag>,
}

/// A flag of TCP (RFC 9293, section 3.1).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpFlag {
    #[doc = "No more data comes."]
    FIN,
    #[doc = "The beginning of a connection."]
    SYN,
    #[doc = "Its sudden end."]
    RST,
    #[doc = "Data is to be handed on."]
    PSH,
    #[doc = "The acknowledgement counts."]
    ACK,
    #[doc = "The urgent pointer counts."]
    URG,
    #[doc = "Congestion was seen (RFC 3168)."]
    ECE,
    #[doc = "The window was made smaller (RFC 3168)."]
    CWR,
}

/// Octets of the packet that must be as said.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("size(self.value) == size(self.mask)")
        .message(Message::Expression("'\"' + self.value + '\" is not as long as mask \"' + self.mask + '\"'".into()))
        .field_path(".value")
)]
pub struct OctetsMatch {
    /// Octets from the beginning of the IP header. A change takes effect at once.
    #[schemars(range(min = 0, max = crate::limits::OCTETS_AT))]
    pub at: u16,

    /// The bits that are looked at, in hexadecimal digits, two for an octet. A change takes effect at
    /// once.
    #[schemars(with = "format::Hex")]
    pub mask: Hex,

    /// What they must be; no bit is set that mask has not. A change takes effect at once.
    #[schemars(with = "format::Hex")]
    pub value: Hex,
}
