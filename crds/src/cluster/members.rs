//! What the members of a cluster share: the store, the channel between them, the election, and how long
//! one forwards by itself.
//!
//! All of it is for `lnsd run --cluster`. A file may have it, so that the same manifest serves in both
//! places. What a member needs beyond these rules (that a store is there at all, say) is looked at by
//! the member, for a file needs none of it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretReference;
use crate::format;

/// Where the members keep what a takeover goes on from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// A Redis, version 7.0 or newer, or a Valkey. When a change takes effect is said at each field.
    pub redis: Redis,
}

/// A Redis, and what is demanded of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.caSecretRef) || self.url.startsWith('rediss://') || !(self.url.startsWith('redis://') || self.url.startsWith('unix://'))")
        .message("must be absent without TLS; write rediss:// in the URL")
        .field_path(".caSecretRef"),
    validation = Rule::new("!has(self.sentinel) || !self.url.startsWith('unix://')")
        .message("must be absent with a unix:// URL: what Sentinels tell are addresses")
        .field_path(".sentinel"),
    validation = Rule::new("!has(self.replicas) || self.durability != 'Single'")
        .message("must be absent with durability: Single, which waits for no replica")
        .field_path(".replicas"),
)]
pub struct Redis {
    /// Where it is: `redis://HOST:PORT/DATABASE`, `rediss://` for TLS, or `unix:///PATH`; port and database
    /// may be left out. With sentinel, the Sentinels say where it is, and the URL whether TLS is spoken, also
    /// with them, and which database. User and password are in a Secret. A change takes effect at once: all
    /// records are written to the new one.
    #[schemars(length(min = 1, max = crate::limits::STORE_URL))]
    #[x_kube(
        validation = Rule::new("!self.contains('@')")
            .message("has a user or a password in it, where everybody can read them; name a Secret in credentialsSecretRef"),
        validation = Rule::new("self.contains('@') || self.matches('^rediss?://[^/?#]+(/[0-9]*)?$') || self.matches('^unix:///[^?#]+$')")
            .message(Message::Expression(
                "'\"' + self + '\" is no store: redis://HOST:PORT, rediss://HOST:PORT (TLS) or unix:///PATH; behind HOST:PORT may stand /DATABASE'".into())),
    )]
    pub url: String,

    /// The Secret with what we log in with: key password, and username, which by default is the default
    /// user. Absent: we do not log in. A change takes effect at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,

    /// The Secret with the authorities that the server's certificate may be of: key ca.crt. Absent: those
    /// of the system. A change takes effect at once, for new connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretReference>,

    /// Replicas that are to have a record before what it says is told to anybody: all that are configured
    /// there. Default: 1 with durability: Replicated. A change takes effect at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::limits::STORE_REPLICAS))]
    pub replicas: Option<u8>,

    /// Replicated: it must have replicas, and must refuse writes that reach none of them. Single: it may be
    /// alone; what it loses, the members' memory has, and nobody once all of them have ended too. A change
    /// takes effect at once.
    #[serde(default)]
    pub durability: Durability,

    /// The Sentinels that say which server is the master. Absent: the one of the URL is. When a change
    /// takes effect is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
}

impl Redis {
    /// How many replicas are to have a record.
    pub fn wanted_replicas(&self) -> u8 {
        match self.durability {
            Durability::Replicated => self.replicas.unwrap_or(1),
            Durability::Single => 0,
        }
    }
}

/// What is demanded of a store.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    #[doc = "Every record is to be on replicas, too."]
    #[default]
    Replicated,
    #[doc = "The server may be alone."]
    Single,
}

/// The Sentinels of a Redis.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sentinel {
    /// What the Sentinels call the master. A change takes effect at once.
    #[schemars(length(min = 1, max = crate::limits::HOST_NAME))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._-]+$')")
        .message(Message::Expression(
            "'\"' + self + '\" is no name of a master: letters, digits, dots, hyphens and underscores only'".into())))]
    pub master: String,

    /// The Sentinels, each as HOST, HOST:PORT or `[IPV6]:PORT`; the port is 26379 by default. A change takes
    /// effect at once.
    #[schemars(
        with = "Vec<format::SentinelAddress>",
        length(min = 1, max = crate::limits::SENTINELS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub addresses: Vec<String>,
}

/// The channel between the members.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Peers {
    /// The TCP and UDP port of the nodes at which members reach each other. A change takes effect at the next
    /// start of the process.
    #[serde(default = "peer_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// The Secret by which members know each other, of type kubernetes.io/tls: a certificate for
    /// CLUSTER.NAMESPACE.peers.kubelns.io and its key (tls.crt, tls.key), and the authorities that a peer's
    /// certificate may be of (ca.crt). A change takes effect at once, for new connections.
    pub tls_secret_ref: SecretReference,
}

/// How members forward.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Forwarding {
    /// Seconds for which a member forwards without having heard from the master that it knows everything.
    /// Ids and pool addresses that become free wait as long until they are given out again, so that nobody
    /// forwards for a session that has ended. No less than 60: an election is long over by then. Says nothing
    /// where the LNS runs from a file. A change takes effect at once.
    #[serde(default = "staleness_seconds")]
    #[schemars(range(min = 60, max = crate::limits::STALENESS_SECONDS))]
    pub staleness_seconds: u32,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            staleness_seconds: staleness_seconds(),
        }
    }
}

/// How members choose their master.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Election {
    /// Default: a dead master is replaced within 5 to 7 seconds, and one that does not reach the API server
    /// for 4 seconds steps down, where not all others have promised to wait. Fast: within 3 to 4, and for 2;
    /// for API servers that always answer at once. Slow: within 45 to 50, and for 30; for API servers that
    /// are far away or overloaded. Says nothing where the LNS runs from a file. A change takes effect at the
    /// next start of the process.
    #[serde(default)]
    pub profile: ElectionProfile,
}

/// The times of an election.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ElectionProfile {
    #[doc = "Held for 4 seconds, taken over after 5."]
    #[default]
    Default,
    #[doc = "Held for 2 seconds, taken over after 3."]
    Fast,
    #[doc = "Held for 30 seconds, taken over after 45."]
    Slow,
}

fn peer_port() -> u16 {
    1702
}

fn staleness_seconds() -> u32 {
    600
}
