//! `LnsCluster`: one L2TP network server and all that it needs to know.
//!
//! The doc comment of a field is its description in the custom resource definition. Each names the
//! unit, where there is one, and when a change takes effect. The fields are the parsed values
//! (addresses, prefixes), not their text; they are only built from a document that the schema and
//! the rules have passed.
//!
//! What is not built yet is not here, and is refused as unknown.

#[allow(
    clippy::struct_field_names,
    reason = "the names of the manifest's fields"
)]
mod lac;
mod members;
mod pool;
mod ppp;
#[allow(
    clippy::struct_field_names,
    reason = "the names of the manifest's fields"
)]
mod radius;
mod service;
mod subscribers;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use lac::{
    Admission, AvpHiding, Lac, LacLimits, LcpRenegotiation, TunnelAuthentication,
    TunnelAuthenticationMode,
};
pub use members::{
    Durability, Election, ElectionProfile, Forwarding, Peers, Redis, Sentinel, Store,
};
pub use pool::{Allocation, Pool, PoolPrefix};
pub use ppp::{Authentication, Echo, Ppp, ProxiedAuthentication};
pub use radius::{
    AccountingCheckType, AccountingRetransmission, AccountingServer, AccountingStatusCheck,
    AccountingTimestamps, AuthenticationCheckType, AuthenticationRetransmission,
    AuthenticationServer, AuthenticationStatusCheck, DynamicAuthorization, DynamicClient,
    LoadBalance, Radius, RadiusAccounting, RadiusAuthentication, RadiusLimits, RadiusTransport,
    RequestMode, RequireMessageAuthenticator, Spool,
};
pub use service::{
    Announce, AnnounceMode, Core, Datapath, DatapathMode, IcmpErrors, Isolation, LaterFragments,
    Service, SessionTable, WhenFull,
};
pub use subscribers::{
    DuplicateAction, DuplicateKey, Duplicates, LocalUsers, LocalUsersOrder, SecretReference,
    Subscribers, UnknownFilterId,
};

use crate::format;
use crate::status::LnsClusterStatus;

/// What one L2TP network server is to do.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kubelns.io",
    version = "v1alpha1",
    kind = "LnsCluster",
    plural = "lnsclusters",
    shortname = "lns",
    category = "kubelns",
    namespaced,
    derive = "PartialEq",
    doc = "One L2TP network server: where LACs reach it, which LACs, how subscribers log in and which addresses they get.",
    status = "LnsClusterStatus",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.active.node"),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.active.epoch"),
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members.ready"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.members.desired", priority = 1),
    printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.sessions", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 45 && !self.metadata.name.contains('.')")
        .message("metadata.name has a dot or more than 45 characters; names of other objects are made of it")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.pools.all(p, !self.service.addresses.exists(a, a == p.localAddress))")
        .message(Message::Expression(
            "'the localAddress of a pool is a service address (' + self.service.addresses.join(', ') + '); a subscriber would route the tunnel into itself: take another address'".into()))
        .field_path(".pools"),
    validation = Rule::new("size(self.service.addresses) == 0 || self.lacs.all(l, l.from.all(f, !isCIDR(f) || self.service.addresses.exists(a, !isIP(a) || ip(a).family() == cidr(f).ip().family())))")
        .message(Message::Expression(
            "'a prefix in from is of another family than every service address (' + self.service.addresses.join(', ') + '); no LAC there can reach the LNS'".into()))
        .field_path(".lacs"),
    validation = Rule::new("has(self.subscribers.localUsers) || (has(self.radius) && has(self.radius.authentication)) || self.lacs.all(l, has(l.authentication) ? l.authentication == ['None'] : self.ppp.authentication == ['None'])")
        .message("is required: subscribers must authenticate and there is nothing to check them against; name a Secret with users.yaml or the servers of radius.authentication, or set authentication: [None]")
        .field_path(".subscribers.localUsers"),
    validation = Rule::new("!has(self.subscribers.localUsers) || self.subscribers.localUsers.order != 'After' || (has(self.radius) && has(self.radius.authentication))")
        .message("\"After\" needs spec.radius.authentication: there are no servers that come first")
        .field_path(".subscribers.localUsers.order"),
    validation = Rule::new("!('EAP' in self.ppp.authentication) || self.lacs.all(l, has(l.authentication)) || (has(self.radius) && has(self.radius.authentication) && (!has(self.subscribers.localUsers) || self.subscribers.localUsers.order != 'Only'))")
        .message("EAP needs servers that are asked: spec.radius.authentication, and another order of localUsers than Only")
        .field_path(".ppp.authentication"),
    validation = Rule::new("self.lacs.all(l, !has(l.authentication) || !('EAP' in l.authentication)) || (has(self.radius) && has(self.radius.authentication) && (!has(self.subscribers.localUsers) || self.subscribers.localUsers.order != 'Only'))")
        .message("an entry has authentication EAP, which needs servers that are asked: spec.radius.authentication, and another order of localUsers than Only")
        .field_path(".lacs"),
    validation = Rule::new("!has(self.store) || has(self.peers)")
        .message("is required with spec.store: members that share a store talk to each other; name a Secret in peers.tlsSecretRef")
        .field_path(".peers"),
    validation = Rule::new("!has(self.peers) || has(self.store)")
        .message("is required with spec.peers: members that talk to each other share a store; give store.redis.url")
        .field_path(".store"),
    validation = Rule::new("self.election.profile != 'Slow' || self.forwarding.stalenessSeconds >= 120")
        .message("is less than 120 with election.profile: Slow, by which a takeover alone can take 50 seconds")
        .field_path(".forwarding.stalenessSeconds"),
)]
pub struct LnsClusterSpec {
    /// Which nodes become members: those that carry all these labels. Says nothing where the
    /// LNS runs from a file. A change takes effect at once.
    #[serde(default)]
    #[schemars(extend("maxProperties" = crate::limits::NODE_LABELS), schema_with = "format::labels")]
    pub node_selector: BTreeMap<String, String>,

    /// Whether a deletion waits while there are sessions. They go on meanwhile, and so does all
    /// else. Says nothing where the LNS runs from a file. A change takes effect at once.
    #[serde(default = "deletion_protection")]
    pub deletion_protection: bool,

    /// Where and as whom LACs reach the LNS. When a change takes effect is said at each field.
    pub service: Service,

    /// The LACs that may open tunnels. The first entry that matches a tunnel's first message decides;
    /// a LAC that matches none is refused silently, counted and listed. A change takes effect for
    /// new tunnels, where a field does not say otherwise. Taking an entry out takes effect at once:
    /// its tunnels and sessions stay, and no new call comes in through them.
    #[schemars(length(min = 1, max = crate::limits::LACS), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = Rule::new("self.all(l, self.exists_one(m, m.name == l.name))")
        .message("two LACs have the same name; give each entry its own"))]
    pub lacs: Vec<Lac>,

    /// How PPP is spoken with subscribers. A change takes effect for new sessions.
    #[serde(default)]
    pub ppp: Ppp,

    /// The network behind the LNS. When a change takes effect is said at each field.
    #[serde(default)]
    pub core: Core,

    /// Who the subscribers are. When a change takes effect is said at each field.
    #[serde(default)]
    pub subscribers: Subscribers,

    /// The addresses that subscribers get; the pools are tried in the order given. A change takes
    /// effect for new sessions, where a field does not say otherwise.
    #[schemars(
        length(min = 1, max = crate::limits::POOLS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub pools: Vec<Pool>,

    /// The RADIUS servers, and who may change what lives. When a change takes effect is said at each
    /// field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radius: Option<Radius>,

    /// Where the members of a cluster keep what a takeover goes on from. Needed by `lnsd run --cluster`; says
    /// nothing where the LNS runs from a file. When a change takes effect is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,

    /// The channel between the members of a cluster. Needed by `lnsd run --cluster`; says nothing where the
    /// LNS runs from a file. When a change takes effect is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,

    /// How members forward. When a change takes effect is said at each field.
    #[serde(default)]
    pub forwarding: Forwarding,

    /// How members choose their master. When a change takes effect is said at each field.
    #[serde(default)]
    pub election: Election,

    /// How packets are moved. When a change takes effect is said at each field.
    #[serde(default)]
    pub datapath: Datapath,
}

impl LnsCluster {
    /// The Host Name that the LNS sends (RFC 2661, section 4.4.3): the one of the manifest, or the
    /// resource's own name.
    pub fn host_name(&self) -> &str {
        let named = self.spec.service.host_name.as_deref();
        named.or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

impl LnsClusterSpec {
    /// The authentication protocols to offer to subscribers who come through `lac`, in order.
    pub fn authentication<'a>(&'a self, lac: &'a Lac) -> &'a [Authentication] {
        lac.authentication
            .as_deref()
            .unwrap_or(&self.ppp.authentication)
    }
}

const fn deletion_protection() -> bool {
    true
}
