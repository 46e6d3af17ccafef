//! The LNS's two sides, towards the LACs and towards the core, and the datapath between them.

use core::net::IpAddr;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format;

/// Where and as whom LACs reach the LNS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The addresses on which the LNS answers, IPv4 or IPv6, without a prefix length. A change takes
    /// effect at the next start of the process.
    #[schemars(
        with = "Vec<format::Address>",
        length(min = 1, max = crate::limits::SERVICE_ADDRESSES),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub addresses: Vec<IpAddr>,

    /// The UDP port of L2TP (RFC 2661, section 8.1). A change takes effect at the next start of the
    /// process.
    #[serde(default = "l2tp_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// The Host Name that the LNS sends; some LACs check it. Default: metadata.name. A change takes
    /// effect for new tunnels; the name in CHAP challenges is the new one in each new session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = crate::limits::HOST_NAME))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')")
        .message(Message::Expression(
            "'\"' + self + '\" is no host name: letters, digits, dots, hyphens and underscores only, with a letter or digit at both ends'".into())))]
    pub host_name: Option<String>,

    /// How routers learn the addresses. A change takes effect at once.
    #[serde(default)]
    pub announce: Announce,
}

/// How routers learn the service's addresses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Announce {
    /// External: by hand or by other software; members answer pings of the addresses while they serve, so that
    /// routers can tell. L2: the master answers ARP for them on datapath.accessInterface. Says nothing where
    /// the LNS runs from a file: the machine has the addresses itself. A change takes effect at once.
    #[serde(default)]
    pub mode: AnnounceMode,
}

/// The ways in which routers learn an address.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnounceMode {
    #[doc = "The addresses are configured and routed by hand or by other software."]
    #[default]
    External,
    #[doc = "The master answers ARP for them."]
    L2,
}

/// The network behind the LNS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Core {
    /// Nodeless: subscribers reach the core and each other, and nothing of the node but ICMP on the
    /// pools' local addresses. Open: they are routed like any other host. A change takes effect at
    /// once.
    #[serde(default)]
    pub isolation: Isolation,

    /// The network interface by which subscribers' packets leave. Default: by route. A change takes
    /// effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[^/:[:space:]]+$') && self != '.' && self != '..'")
        .message(Message::Expression(
            "'\"' + self + '\" is no name of a network interface: no blanks, slashes or colons'".into())),
        validation = Rule::new("!(self in ['lo', 'lns0'])")
        .message(Message::Expression(
            "'\"' + self + '\" leads to no core network: lns0 is the subscribers, lo this machine'".into())))]
    pub interface: Option<String>,
}

/// What subscribers reach of the node itself.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    #[doc = "Nothing but ICMP on the pools' local addresses."]
    #[default]
    Nodeless,
    #[doc = "What the node's own firewall lets them."]
    Open,
}

/// How packets are moved.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Datapath {
    /// Auto: the fastest that the machine offers. TUN: the kernel's TUN device. A change takes effect
    /// at the next start of the process.
    #[serde(default)]
    pub mode: DatapathMode,

    /// Threads that move packets; 0 means one per core. A change takes effect at the next start of
    /// the process.
    #[serde(default)]
    #[schemars(range(min = 0, max = 256))]
    pub workers: u16,

    /// The network interface to the LACs, which service.announce.mode: L2 needs; with External, the one by
    /// which packets for LACs leave. Default: by route. Says nothing where the LNS runs from a file. A change
    /// takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[^/:[:space:]]+$') && self != '.' && self != '..'")
        .message(Message::Expression(
            "'\"' + self + '\" is no name of a network interface: no blanks, slashes or colons'".into())),
        validation = Rule::new("!(self in ['lo', 'lns0'])")
        .message(Message::Expression(
            "'\"' + self + '\" leads to no LAC: lns0 is the subscribers, lo this machine'".into())))]
    pub access_interface: Option<String>,

    /// The flows that policies open. When a change takes effect is said at each field.
    #[serde(default)]
    pub session_table: SessionTable,
}

/// The flows that policies open: how many, and what becomes of packets that fit no flow well.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SessionTable {
    /// Flows of one subscriber. One more takes the place of his oldest that is not established, and is
    /// refused where he has none. A change takes effect at once; open flows stay.
    #[serde(default = "per_session")]
    #[schemars(range(min = 1, max = crate::limits::FLOWS))]
    pub per_session: u32,

    /// Flows of all subscribers of a node; 0 means as many as fit into a quarter of the memory. A change
    /// takes effect at the next start of the process.
    #[serde(default)]
    #[schemars(range(min = 0, max = crate::limits::FLOWS))]
    pub entries: u32,

    /// What happens to a packet that opens a flow where there is no room and none can give way. Deny: it
    /// is dropped. Stateless: it passes, and what comes back is judged by itself. A change takes effect
    /// at once.
    #[serde(default)]
    pub when_full: WhenFull,

    /// What happens to an ICMP error about a packet of an open flow. Pass: it passes. Judge: the rules
    /// decide as for any packet. A change takes effect at once.
    #[serde(default)]
    pub icmp_errors: IcmpErrors,

    /// Whether a fragment other than the first, which has no ports, is matched by a rule with a protocol
    /// and ports. Match: it is, as if it had them. Ignore: it is not. A change takes effect at once.
    #[serde(default)]
    pub later_fragments: LaterFragments,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self {
            per_session: per_session(),
            entries: 0,
            when_full: WhenFull::default(),
            icmp_errors: IcmpErrors::default(),
            later_fragments: LaterFragments::default(),
        }
    }
}

/// What happens to a packet that opens a flow where there is no room.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    #[doc = "It is dropped."]
    #[default]
    Deny,
    #[doc = "It passes without a flow."]
    Stateless,
}

/// What happens to an ICMP error about a packet of an open flow.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IcmpErrors {
    #[doc = "It passes."]
    #[default]
    Pass,
    #[doc = "The rules decide."]
    Judge,
}

/// Whether a fragment without ports is matched by a rule with ports.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaterFragments {
    #[doc = "As if it had them."]
    #[default]
    Match,
    #[doc = "It is not."]
    Ignore,
}

/// The ways to move packets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatapathMode {
    #[doc = "The fastest that the machine offers."]
    #[default]
    Auto,
    #[doc = "The kernel's TUN device."]
    TUN,
}

fn per_session() -> u32 {
    400
}

fn l2tp_port() -> u16 {
    1701
}
