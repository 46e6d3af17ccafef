//! What a member shows of itself and of the others.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// The cluster, as this member sees it.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Members")]
pub(crate) struct View {
    /// This node.
    pub(crate) node: String,
    /// What it does: following, claiming, reading, asking, serving.
    pub(crate) side: &'static str,
    /// Since when, seconds ago.
    pub(crate) side_seconds: u64,
    /// Where its elector stands.
    pub(crate) election: &'static str,
    /// What led to that.
    pub(crate) why: Option<&'static str>,
    /// Since when, seconds ago.
    pub(crate) election_seconds: u64,
    /// Who is master, as far as is known.
    pub(crate) master: Option<String>,
    /// The highest epoch that was heard of.
    pub(crate) epoch: u64,
    /// For how much longer this node may speak in the cluster's name.
    pub(crate) authority_seconds: f64,
    /// For how much longer the kernel passes what a master says; null: it does not.
    pub(crate) control_seconds: Option<f64>,
    /// The same for subscribers' packets.
    pub(crate) data_seconds: Option<f64>,
    /// The same for answers to routers.
    pub(crate) announce_seconds: Option<f64>,
    /// Packets that the gate has dropped, by the chain that did.
    pub(crate) gate_dropped: BTreeMap<String, u64>,
    /// Why the gate cannot be held open, if it cannot.
    pub(crate) gate_trouble: Option<String>,
    /// Why the Lease could not be read or written last, if it could not.
    pub(crate) lease_trouble: Option<String>,
    /// Why the store is away, if it is, or why it would lose records.
    pub(crate) store_trouble: Option<String>,
    /// Why the cluster's records cannot be read, if they cannot.
    pub(crate) records_trouble: Option<String>,
    /// Up to which change it has the cluster's records.
    pub(crate) applied: String,
    /// Whether it has read all of them once.
    pub(crate) loaded: bool,
    /// It has taken over without the store, and lets nobody new in: it does not know yet who has which ids and
    /// addresses.
    pub(crate) unsure: bool,
    /// Whether this node leaves the service to the others: no, draining, drained, fenced.
    pub(crate) aside: &'static str,
    /// How often this node became the active one.
    pub(crate) switchovers: u64,
    /// All nodes that are known.
    pub(crate) members: Vec<Peer>,
}

/// One node.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Member")]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a column of its own in what people and programs read"
)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) node: String,
    /// Whether it is the node that says this.
    pub(crate) is_here: bool,
    /// Whether there is a connection to it.
    pub(crate) is_connected: bool,
    /// Whether it may become master, and its promise is needed.
    pub(crate) is_on_roster: bool,
    /// Whether it says that it can serve.
    pub(crate) is_ready: bool,
    /// Whether it leaves the service to the others, as it says: no, draining, drained, fenced.
    pub(crate) aside: Option<String>,
    /// Which software it is.
    pub(crate) version: Option<String>,
    /// Where members reach it.
    pub(crate) address: Option<SocketAddr>,
    /// Up to which change it has the records, as its Lease says.
    pub(crate) loaded: Option<String>,
    /// The same, as it said to this node, if this is the master.
    pub(crate) position: Option<String>,
}
