//! What a member of a cluster has to say of the cluster.

use core::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Labels, Page, one};
use crate::member::View;

/// All sides that a member may be on.
const SIDES: [&str; 5] = ["following", "claiming", "reading", "asking", "serving"];

/// Writes what the view has; nothing for a node that serves alone.
pub(super) fn write(page: &mut Page, view: Option<&View>) {
    let Some(view) = view else {
        return;
    };
    page.gauge("epoch", "The highest epoch that was heard of", view.epoch);
    seconds(
        page,
        "authority_seconds",
        "For how much longer this node may speak in the cluster's name",
        view.authority_seconds,
    );
    seconds(
        page,
        "forwarding_seconds",
        "For how much longer this node forwards without the master's word",
        view.data_seconds.unwrap_or_default(),
    );
    page.gauges(
        "member_side",
        "1 for what this member does: following, claiming, reading, asking, serving",
        SIDES.map(|side| (one("side", side), u64::from(view.side == side))),
    );
    page.gauge(
        "members_connected",
        "Members to which there is a connection",
        view.members
            .iter()
            .filter(|member| member.is_connected && !member.is_here)
            .count()
            .try_into()
            .unwrap_or(u64::MAX),
    );
    page.gauges(
        "dependency_away",
        "1: the node goes on without it for now",
        [
            ("api_server", view.lease_trouble.is_some()),
            ("store", view.store_trouble.is_some()),
            ("gate", view.gate_trouble.is_some()),
        ]
        .map(|(name, is_away)| (one("dependency", name), is_away.into())),
    );
    page.gauge(
        "admission_closed",
        "1: this master has taken over without the store and lets nobody new in before it knows who has which ids and addresses",
        view.unsure.into(),
    );
    page.counter(
        "switchovers",
        "How often this node became the active one",
        view.switchovers,
    );
    page.counters(
        "gate_drops",
        "Packets that the gate in the kernel has dropped, by what was closed",
        view.gate_dropped
            .iter()
            .map(|(chain, packets)| (one("kind", chain), *packets)),
    );
}

fn seconds(page: &mut Page, name: &str, help: &str, value: f64) {
    let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    family.get_or_create(&Labels::new()).set(value);
    page.0.register(name, help, family);
}
