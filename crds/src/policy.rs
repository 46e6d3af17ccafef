//! `SessionPolicy`: what is done with the packets of the subscribers that it is given to.
//!
//! As with [`LnsCluster`](crate::LnsCluster), the doc comment of a field is its description in the
//! custom resource definition, and a field holds the parsed value. What the values mean to the
//! classifier is said in `dataplane/core/l2sess`.

mod rule;
mod values;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use rule::{Action, Family, OctetsMatch, PolicyRule, TcpFlag, TcpFlagsMatch};
pub use values::{Hex, Malformed, Protocol, Span};

use crate::format;
use crate::status::SessionPolicyStatus;

/// What one policy does, and for whom.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "kubelns.io",
    version = "v1alpha1",
    kind = "SessionPolicy",
    plural = "sessionpolicies",
    shortname = "spol",
    category = "kubelns",
    namespaced,
    derive = "PartialEq",
    status = "SessionPolicyStatus",
    doc = "A policy for subscribers' packets: which pass, which open a flow, which are dropped, and how fast.",
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status"
    ),
    printcolumn(
        name = "Clusters",
        type_ = "string",
        json_path = ".spec.clusterRefs[*].name"
    ),
    printcolumn(
        name = "Input",
        type_ = "string",
        json_path = ".spec.input.defaultAction",
        priority = 1
    ),
    printcolumn(
        name = "Output",
        type_ = "string",
        json_path = ".spec.output.defaultAction",
        priority = 1
    ),
    printcolumn(
        name = "Up",
        type_ = "integer",
        json_path = ".spec.rates.upBitsPerSecond",
        priority = 1
    ),
    printcolumn(
        name = "Down",
        type_ = "integer",
        json_path = ".spec.rates.downBitsPerSecond",
        priority = 1
    ),
    printcolumn(
        name = "OnChange",
        type_ = "string",
        json_path = ".spec.onChange",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SessionPolicySpec {
    /// The clusters that it is for, of the same namespace; for any other it is as if it were not
    /// there. A change takes effect at once.
    #[schemars(
        length(min = 1, max = crate::limits::CLUSTER_REFS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub cluster_refs: Vec<ClusterReference>,

    /// Values of Filter-Id (RFC 2865, section 5.11) that mean this policy, beside its name. A change
    /// takes effect at once, for whoever logs in from then on.
    #[serde(default)]
    #[schemars(
        with = "Vec<format::FilterId>",
        length(max = crate::limits::FILTER_IDS),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub filter_ids: Vec<String>,

    /// What is done with packets from the subscriber; without it, all pass. When a change takes effect
    /// is said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PolicyTable>,

    /// What is done with packets to the subscriber; without it, all pass. When a change takes effect is
    /// said at each field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PolicyTable>,

    /// How long a flow that this policy has opened lives without a packet. When a change takes effect
    /// is said at each field.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// What a change of the rules does to open flows. Keep: nothing, they live until they end.
    /// Reclassify: the next packet of each is judged by the rules as they are then. A change takes effect
    /// at once, for the changes that come with it or after it.
    #[serde(default)]
    pub on_change: OnChange,

    /// How fast a subscriber with this policy may be; without it, as fast as the line. Of several
    /// policies in a row the first that has rates decides. When a change takes effect is said at each
    /// field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
}

/// An `LnsCluster` of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReference {
    /// The cluster's name. A change takes effect when that of the field that holds the reference does.
    #[schemars(schema_with = "format::object_name")]
    pub name: String,
}

/// A `SessionPolicy` of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// The policy's name. A change takes effect when that of the field that holds the reference does.
    #[schemars(schema_with = "format::object_name")]
    pub name: String,
}

/// What is done with packets of one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTable {
    /// What becomes of a packet that no rule matches, if no later policy of the subscriber has this
    /// direction. Pass, Track, Drop: as in a rule. A change takes effect at once, for flows that are not
    /// open; what it does to open ones is said by onChange.
    #[serde(default)]
    pub default_action: Action,

    /// The rules; the first that matches decides. A packet of an open flow passes without them. A change
    /// takes effect at once, for flows that are not open; what it does to open ones is said by
    /// onChange.
    #[serde(default)]
    #[schemars(
        length(max = crate::limits::RULES),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub rules: Vec<PolicyRule>,
}

/// How long flows live without a packet, seconds. An active flow is noted every quarter of its timeout,
/// every 10 seconds at most, so that it may live that much longer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Seconds for UDP and every other protocol but TCP. A change takes effect at once.
    #[serde(default = "udp_idle_seconds")]
    #[schemars(schema_with = "format::timeout")]
    pub udp_idle_seconds: u32,

    /// Seconds for TCP whose both ends have agreed (RFC 5382, REQ-5, wants 7,440 at least). A change takes
    /// effect at once.
    #[serde(default = "tcp_idle_seconds")]
    #[schemars(schema_with = "format::timeout")]
    pub tcp_idle_seconds: u32,

    /// Seconds for TCP that is not established, or not any more. Such flows are the first to go when
    /// there is no room. A change takes effect at once.
    #[serde(default = "tcp_transient_seconds")]
    #[schemars(schema_with = "format::timeout")]
    pub tcp_transient_seconds: u32,

    /// Seconds for TCP after a RST, or after a FIN of each side and its acknowledgement. A change takes
    /// effect at once.
    #[serde(default = "tcp_closing_seconds")]
    #[schemars(schema_with = "format::timeout")]
    pub tcp_closing_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            udp_idle_seconds: udp_idle_seconds(),
            tcp_idle_seconds: tcp_idle_seconds(),
            tcp_transient_seconds: tcp_transient_seconds(),
            tcp_closing_seconds: tcp_closing_seconds(),
        }
    }
}

/// What a changed policy does to open flows.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    #[doc = "Nothing."]
    #[default]
    Keep,
    #[doc = "The next packet of each is judged anew."]
    Reclassify,
}

/// How fast a subscriber may be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Bits per second of IP packets from the subscriber; 0 means no limit. A change takes effect at
    /// once.
    #[serde(default)]
    #[schemars(range(min = 0, max = crate::limits::BITS_PER_SECOND))]
    pub up_bits_per_second: u64,

    /// Bits per second of IP packets to the subscriber; 0 means no limit. A change takes effect at once.
    #[serde(default)]
    #[schemars(range(min = 0, max = crate::limits::BITS_PER_SECOND))]
    pub down_bits_per_second: u64,

    /// Milliseconds' worth of the rate that may pass at once after silence, but never less than one
    /// packet. A change takes effect at once.
    #[serde(default = "burst_milliseconds")]
    #[schemars(range(min = 1, max = 10_000))]
    pub burst_milliseconds: u32,
}

fn udp_idle_seconds() -> u32 {
    300
}

fn tcp_idle_seconds() -> u32 {
    7_440
}

fn tcp_transient_seconds() -> u32 {
    120
}

fn tcp_closing_seconds() -> u32 {
    10
}

fn burst_milliseconds() -> u32 {
    200
}
