//! RADIUS: the servers that subscribers are authenticated by, those that are told of their sessions, and
//! who may change a session that lives.
//!
//! What a status check may say is in [`crate::rules::radius`].

use core::net::IpAddr;
use std::collections::BTreeMap;

use ipnet::IpNet;
use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretReference;
use crate::format;

mod dynamic;
mod retransmission;
mod status_check;

pub use dynamic::{DynamicAuthorization, DynamicClient};
pub use retransmission::{AccountingRetransmission, AuthenticationRetransmission};
pub use status_check::{
    AccountingCheckType, AccountingStatusCheck, AuthenticationCheckType, AuthenticationStatusCheck,
};

/// RADIUS: who is asked, who is told, and who may change what lives.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.authentication) || has(self.accounting) || has(self.dynamicAuthorization)")
        .message("has no authentication, no accounting and no dynamicAuthorization; leave it out, or say what RADIUS is for"),
    validation = Rule::new("!has(self.nasAddress) || !isIP(self.nasAddress) || !has(self.authentication) || self.authentication.servers.all(s, !isIP(s.address) || ip(s.address).family() == ip(self.nasAddress).family())")
        .message(Message::Expression("'a server is of another family than nasAddress (' + self.nasAddress + '), and cannot be reached from there'".into()))
        .field_path(".authentication.servers"),
    validation = Rule::new("!has(self.nasAddress) || !isIP(self.nasAddress) || !has(self.accounting) || self.accounting.servers.all(s, !isIP(s.address) || ip(s.address).family() == ip(self.nasAddress).family())")
        .message(Message::Expression("'a server is of another family than nasAddress (' + self.nasAddress + '), and cannot be reached from there'".into()))
        .field_path(".accounting.servers"),
    validation = Rule::new("!has(self.nasAddress) || !isIP(self.nasAddress) || !has(self.accounting) || self.accounting.copies.all(s, !isIP(s.address) || ip(s.address).family() == ip(self.nasAddress).family())")
        .message(Message::Expression("'a server is of another family than nasAddress (' + self.nasAddress + '), and cannot be reached from there'".into()))
        .field_path(".accounting.copies"),
    validation = Rule::new("!has(self.nasAddress) || !isIP(self.nasAddress) || !has(self.dynamicAuthorization) || self.dynamicAuthorization.clients.all(c, c.from.all(f, !isCIDR(f) || cidr(f).ip().family() == ip(self.nasAddress).family()))")
        .message(Message::Expression("'a prefix in from is of another family than nasAddress (' + self.nasAddress + '); no client there can reach the LNS'".into()))
        .field_path(".dynamicAuthorization.clients"),
)]
pub struct Radius {
    /// The NAS-Identifier of every request (RFC 2865, section 5.32). Default: metadata.name. A change
    /// takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = crate::limits::HOST_NAME))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')")
        .message(Message::Expression("'\"' + self + '\" is no identifier: letters, digits and signs of ASCII only, no blanks'".into())))]
    pub nas_identifier: Option<String>,

    /// The address that all of RADIUS is sent from and that dynamic authorization comes to; told to
    /// servers as NAS-IP-Address or NAS-IPv6-Address. Default: the machine's own by route, which they are
    /// not told. A change takes effect at once; requests under way are asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<format::HostAddress>")]
    pub nas_address: Option<IpAddr>,

    /// How requests are spread over servers that live. `FailOver`: all to the first of the list.
    /// Balance: each to the one with the fewest under way. `KeyedBalance`: those of one subscriber to the
    /// same one. A change takes effect at once.
    #[serde(default)]
    pub load_balance: LoadBalance,

    /// The servers that check subscribers. When a change takes effect is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<RadiusAuthentication>,

    /// The servers that are told of sessions. When a change takes effect is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounting: Option<RadiusAccounting>,

    /// Who may change or end a session that lives (RFC 5176). When a change takes effect is said at each
    /// field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_authorization: Option<DynamicAuthorization>,
}

/// How requests are spread over servers that live.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalance {
    #[doc = "All to the first of the list that lives."]
    #[default]
    FailOver,
    #[doc = "Each to the one with the fewest under way."]
    Balance,
    #[doc = "Those of one subscriber to the same one."]
    KeyedBalance,
}

/// The servers that check subscribers (RFC 2865).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RadiusAuthentication {
    /// The servers, in the order of preference. A change takes effect at once; what is asked of one that
    /// is taken out is asked of the others.
    #[schemars(
        length(min = 1, max = crate::limits::RADIUS_SERVERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub servers: Vec<AuthenticationServer>,

    /// Who repeats a request that is not answered. Originate: the LNS, as retransmission says.
    /// Synchronous: the subscriber, each of whose repetitions is sent on as one. A change takes effect at
    /// once, for new requests.
    #[serde(default)]
    pub mode: RequestMode,

    /// What all connections to these servers may use together. When a change takes effect is said at
    /// each field.
    #[serde(default)]
    pub limits: RadiusLimits,

    /// How a server that does not answer is asked whether it lives. When a change takes effect is said
    /// at each field.
    #[serde(default)]
    pub status_check: AuthenticationStatusCheck,

    /// How a request that is not answered is repeated (RFC 5080, section 2.2.1). When a change takes
    /// effect is said at each field.
    #[serde(default)]
    pub retransmission: AuthenticationRetransmission,
}

/// Who repeats a request that is not answered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestMode {
    #[doc = "The LNS."]
    #[default]
    Originate,
    #[doc = "The subscriber; each of his repetitions is sent on as one."]
    Synchronous,
}

/// One server that checks subscribers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = secret_with_udp(),
    validation = no_secret_with_tls(),
    validation = tls_secret_with_tls(),
    validation = no_tls_secret_with_udp(),
    validation = no_tls_name_with_udp(),
)]
pub struct AuthenticationServer {
    /// What logs, metrics and commands call this server, and by which it is known after a change. A
    /// change takes effect at once, as if one server were taken out and another put in.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// Its address, IPv4 or IPv6. A change takes effect at once.
    #[schemars(with = "format::HostAddress")]
    pub address: IpAddr,

    /// Its port. Default: 1812, with transport: TLS 2083. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// UDP: datagrams, signed by a shared secret. TLS: `RadSec` (RFC 6614), both sides with a certificate.
    /// A change takes effect at once.
    #[serde(default)]
    pub transport: RadiusTransport,

    /// The Secret with the secret that is shared with this server: key current, and previous while it is
    /// being changed. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// The Secret with our certificate (tls.crt), its key (tls.key) and the authorities that the server's
    /// certificate may be of (ca.crt). A change takes effect at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<SecretReference>,

    /// The DNS name that the server's certificate must have. Default: its address. A change takes effect
    /// at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "format::object_name")]
    pub tls_server_name: Option<String>,

    /// Whether a reply must have a Message-Authenticator, without which it can be forged (CVE-2024-3596).
    /// Always: it must. Auto: once the server has sent one. Never: only with EAP. A change takes effect
    /// at once.
    #[serde(default)]
    pub require_message_authenticator: RequireMessageAuthenticator,

    /// The realms, what is behind the last @ of a user's name, that it is for; large and small letters
    /// are the same. Default: all that no other server names. A change takes effect at once.
    #[serde(default)]
    #[schemars(
        with = "Vec<format::Realm>",
        length(max = crate::limits::REALMS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub realms: Vec<String>,
}

/// How a server is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RadiusTransport {
    #[doc = "By datagrams, signed by a shared secret (RFC 2865)."]
    #[default]
    UDP,
    #[doc = "By TLS, both sides with a certificate (RFC 6614)."]
    TLS,
}

/// Whether a Message-Authenticator must be there (RFC 3579, section 3.2).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireMessageAuthenticator {
    #[doc = "It must."]
    #[default]
    Always,
    #[doc = "It must, once one was there."]
    Auto,
    #[doc = "It need not; one that is there must be right."]
    Never,
}

/// What all connections for one purpose may use together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RadiusLimits {
    /// Sockets to all servers of this list; each carries 255 requests. A change takes effect at once.
    #[serde(default = "max_connections")]
    #[schemars(range(min = 1, max = 256))]
    pub max_connections: u16,

    /// Requests that wait for their answer; one more is refused at once. A change takes effect at once,
    /// for new requests.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: u32,
}

impl Default for RadiusLimits {
    fn default() -> Self {
        Self {
            max_connections: max_connections(),
            max_in_flight: max_in_flight(),
        }
    }
}

/// The servers that are told of sessions (RFC 2866).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RadiusAccounting {
    /// The servers, in the order of preference. A change takes effect at once; records that wait go to
    /// the servers that are there then.
    #[schemars(
        length(min = 1, max = crate::limits::RADIUS_SERVERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub servers: Vec<AccountingServer>,

    /// What all connections to these servers may use together. When a change takes effect is said at
    /// each field.
    #[serde(default)]
    pub limits: RadiusLimits,

    /// How a server that does not answer is asked whether it lives. When a change takes effect is said
    /// at each field.
    #[serde(default)]
    pub status_check: AccountingStatusCheck,

    /// How a record that is not answered is repeated (RFC 5080, section 2.2.1), until the next server has
    /// its turn; none is given up. When a change takes effect is said at each field.
    #[serde(default)]
    pub retransmission: AccountingRetransmission,

    /// Seconds between two records of a session that goes on, spread by a tenth; 0 means none. An
    /// Acct-Interim-Interval of the server takes its place. A change takes effect at once.
    #[serde(default = "interim_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    #[x_kube(validation = Rule::new("self == 0 || self >= 60")
        .message("is below 60, the least that is allowed (RFC 2869, section 5.16); 0 means none"))]
    pub interim_seconds: u32,

    /// How a record says how old it is. `EventTimestamp`: by its date alone, so that a repetition is the
    /// same packet. `DelayTime`: by Acct-Delay-Time too, and each repetition is a new packet. A change
    /// takes effect at once.
    #[serde(default)]
    pub timestamps: AccountingTimestamps,

    /// Further servers, each of which is sent a copy of every record, once; nothing waits for their
    /// answers. A change takes effect at once.
    #[serde(default)]
    #[schemars(
        length(max = crate::limits::RADIUS_COPIES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub copies: Vec<AccountingServer>,

    /// Where records wait on disk. When a change takes effect is said at each field.
    #[serde(default)]
    pub spool: Spool,
}

/// One server that is told of sessions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = secret_with_udp(),
    validation = no_secret_with_tls(),
    validation = tls_secret_with_tls(),
    validation = no_tls_secret_with_udp(),
    validation = no_tls_name_with_udp(),
)]
pub struct AccountingServer {
    /// What logs, metrics and commands call this server, and by which it is known after a change. A
    /// change takes effect at once, as if one server were taken out and another put in.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// Its address, IPv4 or IPv6. A change takes effect at once.
    #[schemars(with = "format::HostAddress")]
    pub address: IpAddr,

    /// Its port. Default: 1813, with transport: TLS 2083. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,

    /// UDP: datagrams, signed by a shared secret. TLS: `RadSec` (RFC 6614), both sides with a certificate.
    /// A change takes effect at once.
    #[serde(default)]
    pub transport: RadiusTransport,

    /// The Secret with the secret that is shared with this server: key current, and previous while it is
    /// being changed. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// The Secret with our certificate (tls.crt), its key (tls.key) and the authorities that the server's
    /// certificate may be of (ca.crt). A change takes effect at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_ref: Option<SecretReference>,

    /// The DNS name that the server's certificate must have. Default: its address. A change takes effect
    /// at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "format::object_name")]
    pub tls_server_name: Option<String>,

    /// The realms, what is behind the last @ of a user's name, that it is for; large and small letters
    /// are the same. Default: all that no other server names. A change takes effect at once.
    #[serde(default)]
    #[schemars(
        with = "Vec<format::Realm>",
        length(max = crate::limits::REALMS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub realms: Vec<String>,
}

/// How a record says how old it is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountingTimestamps {
    #[doc = "By Event-Timestamp (RFC 2869, section 5.3) alone."]
    #[default]
    EventTimestamp,
    #[doc = "By Acct-Delay-Time (RFC 2866, section 5.2) too."]
    DelayTime,
}

/// Where records wait on disk for a server that takes them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Spool {
    /// Octets of all records that wait. When it is full the oldest interim records go first, and never
    /// one of a beginning or an end. A change takes effect at once.
    #[serde(default = "spool_max_bytes")]
    #[schemars(range(min = 1_048_576, max = 68_719_476_736_i64))]
    pub max_bytes: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max_bytes: spool_max_bytes(),
        }
    }
}

impl RadiusTransport {
    /// The port where nothing else is said; over UDP it depends on what the server is for.
    pub const fn port(self, over_udp: u16) -> u16 {
        match self {
            Self::UDP => over_udp,
            Self::TLS => 2083,
        }
    }
}

fn secret_with_udp() -> Rule {
    Rule::new("self.transport != 'UDP' || has(self.secretRef)")
        .message("is required with transport: UDP; name a Secret with the key current")
        .field_path(".secretRef")
}

fn no_secret_with_tls() -> Rule {
    Rule::new("self.transport != 'TLS' || !has(self.secretRef)")
        .message("must be absent with transport: TLS, where certificates prove who is who")
        .field_path(".secretRef")
}

fn tls_secret_with_tls() -> Rule {
    Rule::new("self.transport != 'TLS' || has(self.tlsSecretRef)")
        .message("is required with transport: TLS; name a Secret with the keys tls.crt, tls.key and ca.crt")
        .field_path(".tlsSecretRef")
}

fn no_tls_secret_with_udp() -> Rule {
    Rule::new("self.transport != 'UDP' || !has(self.tlsSecretRef)")
        .message("must be absent with transport: UDP, which has no certificates")
        .field_path(".tlsSecretRef")
}

fn no_tls_name_with_udp() -> Rule {
    Rule::new("self.transport != 'UDP' || !has(self.tlsServerName)")
        .message("must be absent with transport: UDP, which has no certificates")
        .field_path(".tlsServerName")
}

fn max_connections() -> u16 {
    8
}

fn max_in_flight() -> u32 {
    4096
}

fn interim_seconds() -> u32 {
    600
}

fn spool_max_bytes() -> u64 {
    268_435_456
}
