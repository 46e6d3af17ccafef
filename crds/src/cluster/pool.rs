//! The pools: the addresses that subscribers get.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::format;

/// A pool of addresses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// What logs, metrics and commands call this pool. A change takes effect for new sessions; an
    /// address in use counts for the pool that its prefix is in.
    #[schemars(schema_with = "format::name")]
    pub name: String,

    /// The LNS's own end of every session of this pool; subscribers may ping it. It is never given
    /// out. A change takes effect for new sessions; the old address answers, and is not given out, until
    /// the last session that has it has ended.
    #[schemars(with = "format::Ipv4Address")]
    pub local_address: Ipv4Addr,

    /// The prefixes of which addresses are given out, the first and the last address of each too. A
    /// change takes effect for new sessions; a session whose address is taken away lives on.
    #[schemars(
        length(min = 1, max = crate::limits::POOL_PREFIXES),
        extend("x-kubernetes-list-type" = "atomic")
    )]
    pub prefixes: Vec<PoolPrefix>,

    /// Seconds before an address that came free is given out again, so that late packets for one
    /// subscriber do not reach the next. A change takes effect at once.
    #[serde(default = "reuse_delay_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub reuse_delay_seconds: u32,
}

/// One prefix of a pool.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!isCIDR(self.cidr) || self.exclude.all(e, e.contains(':') || !isCIDR(e) || cidr(self.cidr).containsCIDR(e))")
    .message(Message::Expression(
        "'of ' + self.exclude.join(', ') + ' not all is inside of ' + self.cidr + '; exclude only what the prefix has'".into()))
    .field_path(".exclude"))]
pub struct PoolPrefix {
    /// The prefix, IPv4. A change takes effect for new sessions.
    #[schemars(with = "format::PoolCidr")]
    pub cidr: Ipv4Net,

    /// Enabled: addresses are given out. Disabled: none is, and those in use stay until their sessions
    /// end. A change takes effect for new sessions.
    #[serde(default)]
    pub allocation: Allocation,

    /// Ranges inside the prefix that are not given out. A change takes effect for new sessions.
    #[serde(default)]
    #[schemars(
        with = "Vec<format::Ipv4Cidr>",
        length(max = crate::limits::EXCLUDES),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub exclude: Vec<Ipv4Net>,
}

/// Whether a prefix gives out addresses.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    #[doc = "It does."]
    #[default]
    Enabled,
    #[doc = "It does not any more; addresses in use stay until their sessions end."]
    Disabled,
}

fn reuse_delay_seconds() -> u32 {
    60
}
