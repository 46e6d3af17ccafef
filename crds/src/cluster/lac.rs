//! The LACs: who may open a tunnel, how it proves itself, what it may take.

use ipnet::IpNet;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Authentication, SecretReference};
use crate::format;

/// One LAC, or a group of LACs under one contract.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Lac {
    /// What logs, metrics and commands call this entry, and by which its tunnels find it after a
    /// change: under another name it is another entry. A change takes effect at once, as if one entry
    /// were taken out and another put in.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// The prefixes from which its tunnels come, IPv4 or IPv6. A change takes effect for new tunnels.
    #[schemars(
        with = "Vec<format::Cidr>",
        length(min = 1, max = crate::limits::LAC_PREFIXES),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub from: Vec<IpNet>,

    /// A pattern for the LAC's Host Name: * stands for any run of characters, ? for one. A change
    /// takes effect for new tunnels.
    #[serde(default = "any_host_name")]
    #[schemars(length(min = 1, max = crate::limits::HOST_NAME))]
    #[x_kube(validation = Rule::new("self.matches('^[!-Z^-z|~]+$')")
        .message(Message::Expression(
            "'\"' + self + '\" is no pattern for a host name: * stands for any run of characters and ? for one; blanks, brackets, braces and backslashes are not known'".into())))]
    pub host_name: String,

    /// How LNS and LAC prove to each other who they are. A change takes effect for new tunnels.
    pub tunnel_authentication: TunnelAuthentication,

    /// Accept: tunnels and calls are taken. Drain: new tunnels and calls are refused and may be tried
    /// elsewhere, live ones stay. Refuse: the same without the hint. A change takes effect at once.
    #[serde(default)]
    pub admission: Admission,

    /// What the LACs of this entry may take together. A change takes effect at once, for what is new;
    /// nothing that lives is ended.
    #[serde(default)]
    pub limits: LacLimits,

    /// Seconds without a message from the LAC after which it is asked for a sign of life (HELLO,
    /// RFC 2661, section 6.5). A change takes effect for new tunnels.
    #[serde(default = "hello_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub hello_seconds: u16,

    /// Never: what the LAC negotiated with the subscriber is used as it is. `OnMismatch`: it is
    /// negotiated again where it does not fit. Always: it is negotiated again for every call. A
    /// change takes effect for new sessions.
    #[serde(default)]
    pub lcp_renegotiation: LcpRenegotiation,

    /// Octets of the largest IP packet that reaches this LAC unfragmented; subscribers' MSS follows
    /// from it. A change takes effect for new sessions.
    #[serde(default = "path_mtu")]
    #[schemars(range(min = 576, max = 9216))]
    pub path_mtu: u16,

    /// As ppp.authentication, for the subscribers of this entry only. A change takes effect for new
    /// sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = crate::limits::AUTHENTICATIONS),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    #[x_kube(
        validation = super::ppp::none_stands_alone(),
        validation = super::ppp::each_protocol_once(),
    )]
    pub authentication: Option<Vec<Authentication>>,
}

/// How LNS and LAC prove to each other who they are (RFC 2661, section 5.1.1).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode != 'Secret' || has(self.secretRef)")
        .message("is required with mode: Secret; name a Secret with the key current")
        .field_path(".secretRef"),
    validation = Rule::new("self.mode != 'None' || !has(self.secretRef)")
        .message("must be absent with mode: None; a secret that is not used protects nothing")
        .field_path(".secretRef"),
    validation = Rule::new("self.mode != 'None' || self.avpHiding == 'Never'")
        .message("\"Always\" needs mode: Secret; AVPs are hidden by the shared secret")
        .field_path(".avpHiding"),
)]
pub struct TunnelAuthentication {
    /// Secret: both sides prove that they know a shared secret. None: neither does; the LAC's address
    /// is all that is checked. A change takes effect for new tunnels.
    pub mode: TunnelAuthenticationMode,

    /// The Secret with the shared secret: key current, and previous while it is being changed. A
    /// change takes effect for new tunnels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// Always: what the LNS says about calls goes out hidden by the shared secret (RFC 2661, section
    /// 4.3); not every LAC understands it. Never: it goes out as it is. What a LAC hides is understood
    /// either way. A change takes effect for new tunnels.
    #[serde(default)]
    pub avp_hiding: AvpHiding,
}

/// Whether AVPs of call messages are hidden.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AvpHiding {
    #[doc = "They are not."]
    #[default]
    Never,
    #[doc = "All that may be hidden are."]
    Always,
}

/// Whether a tunnel is authenticated.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelAuthenticationMode {
    #[doc = "By a shared secret, both ways."]
    Secret,
    #[doc = "By the source address alone."]
    None,
}

/// What happens to a LAC's new tunnels and calls.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    #[doc = "They are taken."]
    #[default]
    Accept,
    #[doc = "New calls are refused and may be tried elsewhere; live ones stay."]
    Drain,
    #[doc = "New tunnels are refused as well."]
    Refuse,
}

/// What the LACs of one entry may take together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LacLimits {
    /// Tunnels at a time. A change takes effect at once, for new tunnels.
    #[serde(default = "max_tunnels")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_tunnels: u16,

    /// Sessions at a time. A change takes effect at once, for new sessions.
    #[serde(default = "max_sessions")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sessions: u32,

    /// New calls per second; one more is refused and may be tried again. A change takes effect at
    /// once, for new sessions.
    #[serde(default = "max_setups_per_second")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_setups_per_second: u32,
}

impl Default for LacLimits {
    fn default() -> Self {
        Self {
            max_tunnels: max_tunnels(),
            max_sessions: max_sessions(),
            max_setups_per_second: max_setups_per_second(),
        }
    }
}

/// What happens to the LCP that the LAC negotiated (RFC 2661, section 4.4.5).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LcpRenegotiation {
    #[doc = "It is used as it is; a call whose options we cannot serve is refused."]
    Never,
    #[doc = "It is used where it fits, and negotiated again where not."]
    #[default]
    OnMismatch,
    #[doc = "It is negotiated again for every call."]
    Always,
}

fn any_host_name() -> String {
    "*".to_owned()
}

fn hello_seconds() -> u16 {
    60
}

fn path_mtu() -> u16 {
    1500
}

fn max_tunnels() -> u16 {
    u16::MAX
}

fn max_sessions() -> u32 {
    1_000_000
}

fn max_setups_per_second() -> u32 {
    1000
}
